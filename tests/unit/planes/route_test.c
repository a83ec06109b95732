/* SPDX-License-Identifier: Apache-2.0 */
/* The route tree: what is found, what is not, what may not be. */
#include "route.h"

#include <aegis/proto.h>

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct route_match match;
static char path[1024];

static const struct route_match *
find(enum route_method method, const char *text)
{
	strncpy(path, text, sizeof(path) - 1);
	route_find(method, path, &match);
	return &match;
}

static void
test_found(void **state)
{
	(void)state;
	find(METHOD_POST, "/v1/keys/invoice-2026/sign");
	assert_non_null(match.route);
	assert_int_equal(match.route->op, AG_MSG_KEY_SIGN);
	assert_int_equal(match.param_count, 1);
	assert_string_equal(match.params[0], "invoice-2026");
	find(METHOD_PUT, "/v1/principals/alice/roles/key-admin");
	assert_int_equal(match.route->op, AG_MSG_ROLE_GRANT);
	assert_string_equal(match.params[0], "alice");
	assert_string_equal(match.params[1], "key-admin");
}

static void
test_literal_before_parameter(void **state)
{
	(void)state;
	assert_int_equal(find(METHOD_POST, "/v1/agents/revoke")->route->op,
	    AG_MSG_AGENT_REVOKE_MANY);
	assert_int_equal(find(METHOD_GET, "/v1/audit/stream")->route->op,
	    AG_MSG_AUDIT_STREAM);
	assert_int_equal(find(METHOD_GET, "/v1/audit/evt_1")->route->op,
	    AG_MSG_AUDIT_READ);
}

static void
test_every_route_finds_itself(void **state)
{
	const struct route *route;
	unsigned i;

	(void)state;
	for (i = 0; (route = route_at(i)) != NULL; i++)
		assert_ptr_equal(find(route->method, route->path)->route, route);
	assert_true(i > 50);
}

/* Asked by planes of tools only. */
static bool
is_elsewhere(const struct ag_operation *op)
{
	return op->type == AG_MSG_TOOL_CONNECT || op->type == AG_MSG_TOOL_LIST ||
	    op->type == AG_MSG_AUDIT_OWN || op->type == AG_MSG_TOOL_CALL;
}

static void
test_every_operation_has_a_route(void **state)
{
	const struct ag_operation *op;
	const struct route *route;
	unsigned i, j;

	(void)state;
	for (i = 0; (op = ag_operation_at(i)) != NULL; i++) {
		for (j = 0; (route = route_at(j)) != NULL && route->op != op->type; j++)
			;
		if (route == NULL && !is_elsewhere(op))
			fail_msg("no route for %s", op->name);
	}
}

static void
test_refused(void **state)
{
	static const char *const none[] = { "/", "", "/v1", "/v1/keys/", "/v1//keys",
		"/v1/keys/a/b", "/v2/keys", "v1/keys", "/v1/keys/a/sign/" };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		find(METHOD_GET, none[i]);
		assert_null(match.route);
		assert_int_equal(match.allow, 0);
	}
	find(METHOD_DELETE, "/v1/keys/a/sign");
	assert_null(match.route);
	assert_int_equal(match.allow, 1 << METHOD_POST);
	/* Reserved: no event has that name. */
	find(METHOD_GET, "/v1/audit/export");
	assert_null(match.route);
	assert_int_equal(match.allow, 0);
	assert_non_null(find(METHOD_GET, "/v1/audit/evt_1")->route);
	find(METHOD_COUNT, "*"); /* OPTIONS * */
	assert_null(match.route);
	assert_int_equal(match.allow, (1 << METHOD_COUNT) - 1);
	find(METHOD_COUNT, "/v1/keys/a");
	assert_int_equal(match.allow,
	    1 << METHOD_GET | 1 << METHOD_PATCH | 1 << METHOD_DELETE);
}

static void
test_escapes(void **state)
{
	(void)state;
	assert_string_equal(find(METHOD_GET, "/v1/keys/a%2Fb")->params[0], "a/b");
	assert_true(find(METHOD_GET, "/v1/keys/a%00b")->bad);
	assert_true(find(METHOD_GET, "/v1/keys/a%zz")->bad);
	assert_true(find(METHOD_GET, "/v1/keys/a%")->bad);
	assert_true(find(METHOD_GET, "/v1/keys/%ff")->bad);
	assert_false(find(METHOD_GET, "/v1/keys/%c3%a9")->bad);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found),
		cmocka_unit_test(test_literal_before_parameter),
		cmocka_unit_test(test_every_route_finds_itself),
		cmocka_unit_test(test_every_operation_has_a_route),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_escapes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
