/* SPDX-License-Identifier: Apache-2.0 */
/* The gateway in the kit; what it asks of tool servers is answered by hand. */
#include "gateway_fetch.h"

#define CONFIG "gateway:\n" \
	"  enabled: true\n" \
	"  breaker_failures: 2\n" \
	"  servers:\n" \
	"    - {name: box, url: 'http://127.0.0.1:1/mcp', protocol: '2026-07-28'," \
	" concurrency: 1}\n" \
	"  tools:\n" \
	"    - {tool: box/wipe, risk: destructive}\n"
#define TOOL(name) "{\"name\":\"" name "\",\"description\":\"D\"," \
	"\"inputSchema\":{\"type\":\"object\"}}"

/* The last question, which is no longer waited for. */
static struct asked
last(void)
{
	assert_true(ask_count > 0);
	return asked[--ask_count];
}

static void
say(const char *result)
{
	struct asked a = last();

	answer(&a, result, "");
}

static void
fail_with(const char *why, bool timed_out)
{
	struct asked a = last();

	fail_as(&a, why, timed_out);
}

static int
setup(void **state)
{
	(void)state;
	kit = ag_kit_new(&ag_actor_gateway, CONFIG, NULL);
	gateway = ag_kit_state(kit);
	ag_kit_advance(kit, 250);
	assert_true(is_asked("tools/list"));
	say("\"result\":{\"tools\":[" TOOL("get") "," TOOL("wipe") "]}");
	assert_true(ag_kit_journal(kit));
	assert_non_null(ag_kit_find(kit, AG_MSG_OUTCOME_EVENT)); /* of that */
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	fetch_drop();
	ag_kit_free(&kit);
	return 0;
}

/* may_end: whether who calls may end something; < 0: that is no matter. */
static void
call_by(const char *path, const char *arguments, int may_end)
{
	Ag__ToolCallAsk ask = AG__TOOL_CALL_ASK__INIT;
	Ag__Grant grant = AG__GRANT__INIT;

	grant.resource_id = (char *)(uintptr_t)path;
	grant.has_reply_key = true;
	grant.reply_key.data = (uint8_t *)(uintptr_t)ag_seal_key(ag_kit_ctx(kit));
	grant.reply_key.len = AG_SEAL_KEY_BYTES;
	ask.has_arguments = arguments != NULL;
	ask.arguments.data = (uint8_t *)(uintptr_t)arguments;
	ask.arguments.len = arguments == NULL ? 0 : strlen(arguments);
	grant.has_may_end = may_end >= 0;
	grant.may_end = may_end > 0;
	ag_kit_operate(kit, AG_MSG_TOOL_CALL, &grant, &ask);
}

static void
call(const char *path, const char *arguments)
{
	call_by(path, arguments, -1);
}

static const Ag__OutcomeEvent *
outcome(void)
{
	const struct ag_kit_sent *sent = ag_kit_find(kit, AG_MSG_OUTCOME_EVENT);

	assert_non_null(sent);
	return sent->body;
}

static void
assert_refused(ag_err err, const char *reason)
{
	const Ag__OutcomeEvent *o = outcome();

	assert_non_null(o->refusal);
	assert_int_equal(o->refusal->err, err);
	if (reason == NULL)
		assert_null(o->refusal->reason_code);
	else
		assert_string_equal(o->refusal->reason_code, reason);
}

static void
test_the_first_list_is_accepted(void **state)
{
	const Ag__ToolCatalogEvent *catalog;
	const struct ag_kit_sent *sent;

	(void)state;
	assert_int_equal(gateway->servers[0]->version, 1);
	assert_int_equal(gateway->servers[0]->tools[0].state, TOOL_ACCEPTED);
	/* Planes of tools learn of what may be called, and only of that. */
	gateway->said_ms = 0; /* though they have it */
	catalog_publish(gateway);
	ag_kit_advance(kit, 1);
	do
		assert_non_null(sent = ag_kit_find(kit, AG_MSG_TOOL_CATALOG_EVENT));
	while (((const Ag__ToolCatalogEvent *)sent->body)->n_tools == 0);
	catalog = sent->body;
	assert_int_equal(catalog->n_tools, 1);
	assert_string_equal(catalog->tools[0]->tool, "get");
}

static void
test_a_call(void **state)
{
	const Ag__OutcomeEvent *o;

	(void)state;
	call("box/get", "{}");
	assert_int_equal(gateway->servers[0]->calls, 1);
	assert_true(is_asked("\"name\":\"get\""));
	say("\"result\":{\"content\":[]}");
	o = outcome();
	assert_null(o->refusal);
	assert_true(o->has_sealed && o->sealed);
	assert_int_equal(gateway->servers[0]->calls, 0);
	assert_false(gateway->jobs[0].used);
}

static void
test_refused_calls(void **state)
{
	unsigned before = asks_ever;

	(void)state;
	call("box/none", NULL);
	assert_refused(AG_ITEM_NOT_FOUND, NULL);
	call("other/get", NULL);
	assert_refused(AG_ITEM_NOT_FOUND, NULL);
	call("box/wipe", NULL);
	assert_refused(AG_PERMISSION_DENIED, "tool_destructive");
	call("box/get", "[]");
	assert_refused(AG_INVALID_FIELD, "wrong_type");
	call("box/get", "{\"a\":1}");
	assert_refused(AG_INVALID_FIELD, "unknown_field");
	assert_int_equal(asks_ever, before);
}

/* Where ending things is a scope of its own, a row that allows it is not enough. */
static void
test_destructive_calls(void **state)
{
	unsigned before = asks_ever;

	(void)state;
	gateway->servers[0]->tools[1].allowed = true;
	call_by("box/wipe", NULL, 0);
	assert_refused(AG_PERMISSION_DENIED, "tool_destructive");
	assert_int_equal(asks_ever, before);
	call_by("box/wipe", NULL, 1);
	say("\"result\":{\"content\":[]}");
	assert_null(outcome()->refusal);
	call_by("box/get", NULL, 0);
	say("\"result\":{\"content\":[]}");
	assert_null(outcome()->refusal);
	call("box/wipe", NULL);
	say("\"result\":{\"content\":[]}");
	assert_null(outcome()->refusal);
	assert_int_equal(risk_of("what is not known"), RISK_DESTRUCTIVE);
}

static void
test_one_at_a_time(void **state)
{
	(void)state;
	call("box/get", NULL);
	call("box/get", NULL);
	assert_refused(AG_UNAVAILABLE, "overloaded");
	say("\"result\":{\"content\":[]}");
	assert_null(outcome()->refusal);
}

static void
test_the_breaker(void **state)
{
	unsigned before;

	(void)state;
	call("box/get", NULL);
	fail_with("timed out", true);
	assert_refused(AG_DEADLINE_EXCEEDED, "outcome_unknown");
	call("box/get", NULL);
	fail_with("refused", false);
	assert_refused(AG_UNAVAILABLE, "tool");
	before = asks_ever;
	call("box/get", NULL);
	assert_refused(AG_UNAVAILABLE, "tool");
	assert_int_equal(asks_ever, before);
	/* After its time one may try, and only one. */
	gateway->servers[0]->open_until_ms = 1;
	gateway->servers[0]->concurrency = 5;
	call("box/get", NULL);
	assert_int_equal(asks_ever, before + 1);
	call("box/get", NULL);
	assert_refused(AG_UNAVAILABLE, "tool");
	say("\"result\":{\"content\":[]}");
	assert_null(outcome()->refusal);
	assert_false(server_is_open(gateway->servers[0]));
}

/* What is no result of a tool passes nothing on. */
static void
test_hostile_results(void **state)
{
	static const char *const results[] = { "\"result\":{}",
		"\"result\":{\"content\":7}", "\"result\":[]",
		"\"result\":{\"content\":[],\"resultType\":\"input_required\"}",
		"\"x\":1" };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
		call("box/get", NULL);
		say(results[i]);
		assert_refused(AG_UNAVAILABLE, "tool");
		gateway->servers[0]->failures = 0;
	}
}

/* Too long an answer is what its caller asked for: it closes nothing for others. */
static void
test_long_answers_leave_the_breaker_alone(void **state)
{
	const struct fetch_answer got = { .failure = "its answer is too long",
		.cut = true, .bytes = "", .session = "" };
	struct server *server = gateway->servers[0];
	struct asked a;
	unsigned i;

	(void)state;
	server->failures = 1;
	server->open_until_ms = 1; /* the first is the one that may try */
	for (i = 0; i < 3; i++) {
		call("box/get", NULL);
		a = last();
		answer_with(&a, &got);
		assert_refused(AG_UNAVAILABLE, "tool");
		assert_int_equal(server->failures, 1);
		assert_int_equal(server->calls, 0);
		assert_false(server_is_open(server));
	}
}

static const char *
param(const Ag__OutcomeEvent *o, const char *key)
{
	size_t i;

	for (i = 0; i < o->n_params; i++)
		if (strcmp(o->params[i]->key, key) == 0)
			return o->params[i]->value;
	return "";
}

/* A secret that the cut would halve, and one behind an escape. */
static void
test_errors_are_sieved_before_they_are_cut(void **state)
{
	char text[GATEWAY_ERROR_TEXT_MAX + 100];
	const Ag__OutcomeEvent *o;
	size_t fill;

	(void)state;
	/* "The tool's server answered with an error: " is before it. */
	fill = GATEWAY_ERROR_TEXT_MAX - 42 - 12;
	snprintf(text, sizeof(text), "\"error\":{\"message\":\"%*s"
	    "AKIAIOSFODNN7EXAMPLE\"}", (int)fill, "");
	call("box/get", NULL);
	say(text);
	o = outcome();
	assert_null(o->refusal);
	assert_string_equal(param(o, "redactions"), "1");
	call("box/get", NULL);
	say("\"error\":{\"message\":\"{\\\"a\\\":\\\"b\\\\nAKIAIOSFODNN7EXAMPLE"
	    "\\\"}\"}");
	o = outcome();
	assert_null(o->refusal);
	assert_string_equal(param(o, "redactions"), "1");
	call("box/get", NULL);
	say("\"error\":{\"message\":7}");
	o = outcome();
	assert_null(o->refusal);
	assert_string_equal(param(o, "tool_error"), "true");
	assert_string_equal(param(o, "redactions"), "");
}

/* What is not offered takes no room from what is. */
static void
test_hidden_tools_take_no_room(void **state)
{
	const Ag__ToolCatalogEvent *catalog = NULL;
	struct tool *tools = gateway->servers[0]->tools;
	const struct ag_kit_sent *sent;
	bool seen = false;

	(void)state;
	free(tools[0].description);
	tools[0].description = malloc(GATEWAY_CATALOG_MAX + 1);
	assert_non_null(tools[0].description);
	memset(tools[0].description, 'x', GATEWAY_CATALOG_MAX);
	tools[0].description[GATEWAY_CATALOG_MAX] = '\0';
	tools[0].state = TOOL_UNFIT;
	tools[1].allowed = true;
	while (ag_kit_next(kit) != NULL)
		; /* what was said before */
	catalog_publish(gateway);
	ag_kit_advance(kit, 1);
	while (!seen) {
		assert_non_null(sent = ag_kit_find(kit, AG_MSG_TOOL_CATALOG_EVENT));
		catalog = sent->body;
		seen = catalog->n_tools > 0;
	}
	assert_int_equal(catalog->n_tools, 1);
	assert_string_equal(catalog->tools[0]->tool, "wipe");
}

static void
accept(const char *tool, const char *digest)
{
	Ag__ToolAcceptAsk ask = AG__TOOL_ACCEPT_ASK__INIT;
	Ag__Grant grant = AG__GRANT__INIT;
	char *tools[] = { (char *)(uintptr_t)tool };
	char *digests[] = { (char *)(uintptr_t)digest };

	grant.resource_id = (char *)(uintptr_t)"box";
	ask.reason = (char *)(uintptr_t)"read it";
	ask.tools = tools;
	ask.n_tools = tool != NULL;
	ask.digests = digests;
	ask.n_digests = 1;
	ag_kit_operate(kit, AG_MSG_TOOL_SERVER_ACCEPT, &grant, &ask);
}

/* With a digest that tool is accepted, and nothing that came with it. */
static void
test_only_what_was_read_is_accepted(void **state)
{
	struct tool *tools = gateway->servers[0]->tools;
	const Ag__OutcomeEvent *o;
	char digest[65];

	(void)state;
	ag_kit_advance(kit, 61000);
	say("\"result\":{\"tools\":[{\"name\":\"get\",\"description\":\"E\","
	    "\"inputSchema\":{\"type\":\"object\"}}," TOOL("steal") "]}");
	assert_int_equal(tools[0].state, TOOL_CHANGED);
	assert_int_equal(tools[1].state, TOOL_NEW);
	ag_hex(tools[0].digest, sizeof(tools[0].digest), digest);
	accept("box/steal", digest);
	do
		o = outcome();
	while (o->refusal == NULL);
	assert_int_equal(o->refusal->err, AG_CONFLICT);
	accept(NULL, digest);
	assert_true(ag_kit_journal(kit));
	assert_int_equal(tools[0].state, TOOL_ACCEPTED);
	assert_int_equal(tools[1].state, TOOL_NEW);
}

static void
test_a_changed_tool_stands_still(void **state)
{
	Ag__ToolAcceptAsk ask = AG__TOOL_ACCEPT_ASK__INIT;
	Ag__Grant grant = AG__GRANT__INIT;
	const Ag__OutcomeEvent *o;

	(void)state;
	ag_kit_advance(kit, 61000);
	assert_true(is_asked("tools/list"));
	say("\"result\":{\"tools\":[{\"name\":\"get\",\"description\":\"E\","
	    "\"inputSchema\":{\"type\":\"object\"}}]}");
	do
		o = outcome();
	while (strcmp(o->operation, "tool.changed") != 0);
	assert_int_equal(o->outcome, AG__OUTCOME_KIND__V__denied);
	call("box/get", NULL);
	assert_refused(AG_ILLEGAL_OPERATION, "tool_not_accepted");
	/* Accepted: the journal says so, then it may be called. */
	grant.resource_id = (char *)(uintptr_t)"box";
	ask.reason = (char *)(uintptr_t)"read it";
	ag_kit_operate(kit, AG_MSG_TOOL_SERVER_ACCEPT, &grant, &ask);
	assert_int_equal(gateway->servers[0]->tools[0].state, TOOL_CHANGED);
	assert_true(ag_kit_journal(kit));
	assert_int_equal(gateway->servers[0]->tools[0].state, TOOL_ACCEPTED);
	assert_int_equal(gateway->servers[0]->version, 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_the_first_list_is_accepted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_call, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused_calls, setup, teardown),
		cmocka_unit_test_setup_teardown(test_destructive_calls, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_at_a_time, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_breaker, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_results, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_answers_leave_the_breaker_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_errors_are_sieved_before_they_are_cut, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hidden_tools_take_no_room, setup, teardown),
		cmocka_unit_test_setup_teardown(test_only_what_was_read_is_accepted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_changed_tool_stands_still, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
