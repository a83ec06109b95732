/* SPDX-License-Identifier: Apache-2.0 */
/* The golden table of scopes (P02), and the built-in roles. */
#include "roles.h"
#include "scope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* The one key that the table asks about. */
static const struct ag_scope_label labels[] = {
	{ "tier", "critical" }, { "team", "a:b" }, { "env", "" },
	{ "note", "on paper" },
};
static const struct ag_scope_target invoice = {
	.id = "key_0123456789abcdef0123456789abcdef",
	.alias = "invoice-2026",
	.labels = labels,
	.label_count = 4,
};

enum verdict { NO, YES, BAD };

static const struct {
	const char *scope;
	enum ag_scope_kind kind;
	const char *op;
	bool everything; /* asked for `*` */
	enum verdict want;
} golden[] = {
	/* the same name, and nothing that only looks like it */
	{ "key:invoice-2026:sign", AG_SCOPE_KEY, "sign", false, YES },
	{ "key:invoice-202:sign", AG_SCOPE_KEY, "sign", false, NO },
	{ "key:invoice-20266:sign", AG_SCOPE_KEY, "sign", false, NO },
	{ "key:invoice-2026:sig", AG_SCOPE_KEY, "sign", false, NO },
	{ "key:invoice-2026:sign2", AG_SCOPE_KEY, "sign", false, NO },
	{ "key:invoice-2026:verify", AG_SCOPE_KEY, "sign", false, NO },
	{ "key:invoice:sign", AG_SCOPE_KEY, "sign", false, NO },
	{ "key:invoice-2026:sign", AG_SCOPE_AGENT, "sign", false, NO },
	{ "agent:invoice-2026:sign", AG_SCOPE_KEY, "sign", false, NO },
	{ "key:key_0123456789abcdef0123456789abcdef:sign", AG_SCOPE_KEY, "sign", false, YES },
	{ "key:key_0123456789abcdef0123456789abcdee:sign", AG_SCOPE_KEY, "sign", false, NO },
	{ "key:0123456789abcdef0123456789abcdef:sign", AG_SCOPE_KEY, "sign", false, NO },
	/* wildcards, only where they are written */
	{ "*:invoice-2026:sign", AG_SCOPE_KEY, "sign", false, YES },
	{ "*:invoice-2026:sign", AG_SCOPE_TOOL, "sign", false, YES },
	{ "key:*:sign", AG_SCOPE_KEY, "sign", false, YES },
	{ "key:*:sign", AG_SCOPE_KEY, "verify", false, NO },
	{ "key:*:sign", AG_SCOPE_AUDIT, "sign", false, NO },
	{ "key:invoice-2026:*", AG_SCOPE_KEY, "sign", false, YES },
	{ "key:invoice-2026:*", AG_SCOPE_KEY, "destroy", false, YES },
	{ "key:other:*", AG_SCOPE_KEY, "sign", false, NO },
	{ "*:*:*", AG_SCOPE_KEY, "sign", false, YES },
	{ "*:*:*", AG_SCOPE_SYSTEM, "honey", true, YES },
	{ "*:*:read", AG_SCOPE_KEY, "read", true, YES },
	{ "*:*:read", AG_SCOPE_KEY, "sign", true, NO },
	{ "key:*:*", AG_SCOPE_AGENT, "issue", true, NO },
	/* everything is asked for: only `*` is everything */
	{ "key:invoice-2026:create", AG_SCOPE_KEY, "create", true, NO },
	{ "key:label=tier=critical:list", AG_SCOPE_KEY, "list", true, NO },
	{ "key:*:create", AG_SCOPE_KEY, "create", true, YES },
	{ "audit:*:read", AG_SCOPE_AUDIT, "read", true, YES },
	/* labels */
	{ "key:label=tier=critical:sign", AG_SCOPE_KEY, "sign", false, YES },
	{ "key:label=tier=critica:sign", AG_SCOPE_KEY, "sign", false, NO },
	{ "key:label=tier=critical2:sign", AG_SCOPE_KEY, "sign", false, NO },
	{ "key:label=tie=critical:sign", AG_SCOPE_KEY, "sign", false, NO },
	{ "key:label=tier=critical:verify", AG_SCOPE_KEY, "sign", false, NO },
	{ "key:label=team=a:b:sign", AG_SCOPE_KEY, "sign", false, YES },
	{ "key:label=team=a:sign", AG_SCOPE_KEY, "sign", false, NO },
	{ "key:label=env=:sign", AG_SCOPE_KEY, "sign", false, YES },
	{ "key:label=tier=:sign", AG_SCOPE_KEY, "sign", false, NO },
	{ "key:label=note=on paper:sign", AG_SCOPE_KEY, "sign", false, YES },
	{ "key:label=tier=*:sign", AG_SCOPE_KEY, "sign", false, NO },
	{ "key:label=team=a=b:sign", AG_SCOPE_KEY, "sign", false, NO },
	/* what is no scope */
	{ "", AG_SCOPE_KEY, "sign", false, BAD },
	{ ":", AG_SCOPE_KEY, "sign", false, BAD },
	{ "::", AG_SCOPE_KEY, "sign", false, BAD },
	{ "key", AG_SCOPE_KEY, "sign", false, BAD },
	{ "key:sign", AG_SCOPE_KEY, "sign", false, BAD },
	{ "agents:issue", AG_SCOPE_AGENT, "issue", false, BAD },
	{ "keys:a:sign", AG_SCOPE_KEY, "sign", false, BAD },
	{ "KEY:a:sign", AG_SCOPE_KEY, "sign", false, BAD },
	{ "ke*:a:sign", AG_SCOPE_KEY, "sign", false, BAD },
	{ "key::sign", AG_SCOPE_KEY, "sign", false, BAD },
	{ "key:a:", AG_SCOPE_KEY, "sign", false, BAD },
	{ ":a:sign", AG_SCOPE_KEY, "sign", false, BAD },
	{ "key:invoice-*:sign", AG_SCOPE_KEY, "sign", false, BAD },
	{ "key:**:sign", AG_SCOPE_KEY, "sign", false, BAD },
	{ "key:Invoice:sign", AG_SCOPE_KEY, "sign", false, BAD },
	{ "key:-a:sign", AG_SCOPE_KEY, "sign", false, BAD },
	{ "key:a b:sign", AG_SCOPE_KEY, "sign", false, BAD },
	{ "key:a/b:sign", AG_SCOPE_KEY, "sign", false, BAD },
	{ "key:a:b:sign", AG_SCOPE_KEY, "sign", false, BAD },
	{ "key:a:Sign", AG_SCOPE_KEY, "sign", false, BAD },
	{ "key:a:s*", AG_SCOPE_KEY, "sign", false, BAD },
	{ "key:a:sign ", AG_SCOPE_KEY, "sign", false, BAD },
	{ " key:a:sign", AG_SCOPE_KEY, "sign", false, BAD },
	{ "key:label=tier:sign", AG_SCOPE_KEY, "sign", false, BAD },
	{ "key:label==x:sign", AG_SCOPE_KEY, "sign", false, BAD },
	{ "key:label=Tier=x:sign", AG_SCOPE_KEY, "sign", false, BAD },
	{ "key:label=tier=a\nb:sign", AG_SCOPE_KEY, "sign", false, BAD },
	{ "key:label=tier=\001:sign", AG_SCOPE_KEY, "sign", false, BAD },
	{ "key:label=tier=a\177:sign", AG_SCOPE_KEY, "sign", false, BAD },
	{ "key:label=:sign", AG_SCOPE_KEY, "sign", false, BAD },
	{ "key:label:sign", AG_SCOPE_KEY, "sign", false, NO }, /* a name */
	{ "key:labelled:sign", AG_SCOPE_KEY, "sign", false, NO }, /* another */
};

static void
test_golden(void **state)
{
	for (size_t i = 0; i < sizeof(golden) / sizeof(golden[0]); i++) {
		struct ag_scope scope;
		enum verdict got = BAD;

		if (ag_scope_parse(golden[i].scope, &scope))
			got = ag_scope_matches(&scope, golden[i].kind,
			    golden[i].op, golden[i].everything ? NULL : &invoice)
			    ? YES : NO;
		if (got != golden[i].want)
			print_error("row %zu: %s\n", i, golden[i].scope);
		assert_int_equal(got, golden[i].want);
	}
}

static const char many[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

static void
test_lengths(void **state)
{
	struct ag_scope scope;
	char text[400];

	snprintf(text, sizeof(text), "key:%.*s:sign", 63, "aaaaaaaaaaaaaaaaaaaa"
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
	assert_true(ag_scope_parse(text, &scope));
	snprintf(text, sizeof(text), "key:%.*s:sign", 64, "aaaaaaaaaaaaaaaaaaaa"
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
	assert_false(ag_scope_parse(text, &scope));
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_false(ag_scope_parse(text, &scope));
	memcpy(text, "key:label=a=", 12);
	memcpy(text + 12 + 128, ":sign", 6);
	assert_true(ag_scope_parse(text, &scope));
	memset(text + 12 + 128, 'a', 6);
	memcpy(text + 12 + 129, ":sign", 6);
	assert_false(ag_scope_parse(text, &scope));
}

/* The longest scope there is, and one byte more, at each part's own limit. */
static void
test_longest(void **state)
{
	struct ag_scope scope;
	char text[400];
	int len;

	len = snprintf(text, sizeof(text), "principal:label=%.*s=%.*s:%.*s",
	    AG_SCOPE_NAME_MAX, many, AG_SCOPE_VALUE_MAX, many, 32, many);
	assert_true(ag_scope_parse(text, &scope));
	assert_int_equal(scope.name_len, AG_SCOPE_NAME_MAX);
	assert_int_equal(scope.value_len, AG_SCOPE_VALUE_MAX);
	/* Every part within its limit never makes the whole too long. */
	assert_in_range(len, AG_SCOPE_VALUE_MAX, AG_SCOPE_TEXT_MAX);
	snprintf(text, sizeof(text), "key:a:%.*s", AG_SCOPE_OP_MAX + 1, many);
	assert_false(ag_scope_parse(text, &scope));
}

/* Labels in memory of their own: nothing beside them is read. */
static void
test_last_label(void **state)
{
	struct ag_scope_label *own = malloc(sizeof(labels));
	struct ag_scope_target target = { .id = "key_1", .alias = "a",
		.labels = own, .label_count = sizeof(labels) / sizeof(labels[0]) };
	struct ag_scope scope;

	memcpy(own, labels, sizeof(labels));
	assert_true(ag_scope_parse("key:label=nobody=has:sign", &scope));
	assert_false(ag_scope_matches(&scope, AG_SCOPE_KEY, "sign", &target));
	assert_true(ag_scope_parse("key:label=note=on paper:sign", &scope));
	assert_true(ag_scope_matches(&scope, AG_SCOPE_KEY, "sign", &target));
	free(own);
}

static const struct {
	const char *holder, *asked;
	bool resolved, want;
} implied[] = {
	{ "*:*:*", "key:a:sign", false, true },
	{ "*:*:*", "*:*:*", false, true },
	{ "key:*:*", "*:*:*", false, false },
	{ "key:*:*", "key:*:sign", false, true },
	{ "key:*:sign", "key:*:*", false, false },
	{ "key:*:sign", "key:a:sign", false, true },
	{ "key:a:sign", "key:a:sign", false, true },
	{ "key:a:sign", "key:ab:sign", false, false },
	{ "key:a:*", "key:a:sign", false, true },
	{ "key:a:sign", "key:a:*", false, false },
	{ "key:a:sign", "key:a:verify", false, false },
	{ "key:a:sign", "key:*:sign", false, false },
	{ "key:a:sign", "*:a:sign", false, false },
	{ "*:a:sign", "key:a:sign", false, true },
	/* another name of the same key, or a label that it carries */
	{ "key:invoice-2026:sign", "key:key_0123456789abcdef0123456789abcdef:sign", true, true },
	{ "key:key_0123456789abcdef0123456789abcdef:sign", "key:invoice-2026:sign", true, true },
	{ "key:key_0123456789abcdef0123456789abcdef:sign", "key:invoice-2026:sign", false, false },
	{ "key:label=tier=critical:sign", "key:invoice-2026:sign", true, true },
	{ "key:label=tier=low:sign", "key:invoice-2026:sign", true, false },
	{ "key:label=tier=critical:sign", "key:label=tier=critical:sign", false, true },
	{ "key:label=tier=critical:sign", "key:label=tier=low:sign", true, false },
	{ "key:invoice-2026:sign", "key:label=tier=critical:sign", true, false },
	{ "key:label=tier=critical:sign", "*:invoice-2026:sign", true, false },
};

static void
test_implies(void **state)
{
	for (size_t i = 0; i < sizeof(implied) / sizeof(implied[0]); i++) {
		struct ag_scope holder, asked;
		bool got;

		assert_true(ag_scope_parse(implied[i].holder, &holder));
		assert_true(ag_scope_parse(implied[i].asked, &asked));
		got = ag_scope_implies(&holder, &asked,
		    implied[i].resolved ? &invoice : NULL);
		if (got != implied[i].want)
			print_error("row %zu: %s\n", i, implied[i].asked);
		assert_int_equal(got, implied[i].want);
	}
}

static void
test_names(void **state)
{
	struct ag_scope s;

	assert_true(ag_scope_parse("key:ghost:sign", &s));
	assert_true(ag_scope_names(&s, AG_SCOPE_KEY, "sign", "ghost"));
	assert_false(ag_scope_names(&s, AG_SCOPE_KEY, "sign", "ghosts"));
	assert_false(ag_scope_names(&s, AG_SCOPE_KEY, "read", "ghost"));
	assert_true(ag_scope_parse("key:*:sign", &s));
	assert_true(ag_scope_names(&s, AG_SCOPE_KEY, "sign", "ghost"));
	assert_true(ag_scope_parse("key:label=a=b:sign", &s));
	assert_false(ag_scope_names(&s, AG_SCOPE_KEY, "sign", "ghost"));
}

static void
test_ops(void **state)
{
	struct ag_scope s;

	/* the first and the last of the table */
	assert_true(ag_scope_parse("key:*:create", &s));
	assert_true(ag_scope_op_known(&s));
	assert_true(ag_scope_parse("tool:a:call", &s));
	assert_true(ag_scope_op_known(&s));
	assert_true(ag_scope_parse("key:a:generate-data-key", &s));
	assert_true(ag_scope_op_known(&s));
	assert_true(ag_scope_parse("key:a:*", &s));
	assert_true(ag_scope_op_known(&s));
	assert_true(ag_scope_parse("key:a:fly", &s)); /* read back: harmless */
	assert_false(ag_scope_op_known(&s));
}

/* "<server>/<tool>" is a tool's name and nobody else's. */
static void
test_tool_names(void **state)
{
	static const char *const good[] = { "tool:weather/Forecast_1.b-c:call",
		"tool:w/F:call", "tool:2go/f:call", "tool:a-b/f:call" };
	static const char *const bad[] = { "key:weather/forecast:sign",
		"tool:/f:call", "tool:weather/:call", "tool:/:call",
		"tool:Weather/f:call", "tool:-w/f:call", "tool:w.x/f:call",
		"tool:w/-f:call", "tool:w/f/g:call", "tool:w/f g:call",
		"tool:w\x01/f:call" };
	char text[100] = "tool:w/";
	struct ag_scope s;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(ag_scope_parse(good[i], &s));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(ag_scope_parse(bad[i], &s));
	/* As long as any name, and no longer. */
	memset(text + 7, 'f', AG_SCOPE_NAME_MAX - 2);
	memcpy(text + 5 + AG_SCOPE_NAME_MAX, ":call", 6);
	assert_true(ag_scope_parse(text, &s));
	memset(text + 7, 'f', AG_SCOPE_NAME_MAX - 1);
	memcpy(text + 6 + AG_SCOPE_NAME_MAX, ":call", 6);
	assert_false(ag_scope_parse(text, &s));
}

/* Whatever the text, parsing neither reads past it nor accepts what it would
 * not print again. */
static void
test_grammar_random(void **state)
{
	static const char alphabet[] = "key:*=alb.-_ :agent\x01\x7f\xc3";
	unsigned seed = 7;

	for (int i = 0; i < 200000; i++) {
		struct ag_scope s;
		size_t len = (size_t)rand_r(&seed) % 24;
		char *text = malloc(len + 1);

		for (size_t j = 0; j < len; j++)
			text[j] = alphabet[(size_t)rand_r(&seed) %
			    (sizeof(alphabet) - 1)];
		text[len] = '\0';
		if (ag_scope_parse(text, &s)) {
			assert_non_null(strchr(text, ':'));
			assert_true(s.op > text && s.op <= text + len);
			assert_true(s.name_at + s.name_len <= (long)len);
			assert_true(s.value_at + s.value_len <= (long)len);
			assert_true(ag_scope_implies(&s, &s, NULL));
		}
		free(text);
	}
}

static void
test_roles(void **state)
{
	static const char *const names[] = { "admin", "agent-issuer", "auditor",
		"key-admin", "key-user" };
	struct ag_scope s;

	for (size_t i = 0; i < 5; i++) {
		const struct ag_policy_role *role = ag_policy_role_at(i);

		assert_string_equal(role->name, names[i]);
		assert_ptr_equal(role, ag_policy_role_named(names[i]));
		for (size_t j = 0; role->scopes[j] != NULL; j++)
			assert_true(ag_scope_parse(role->scopes[j], &s));
	}
	assert_null(ag_policy_role_at(5));
	assert_null(ag_policy_role_named("root"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_longest),
		cmocka_unit_test(test_last_label),
		cmocka_unit_test(test_implies),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_ops),
		cmocka_unit_test(test_tool_names),
		cmocka_unit_test(test_grammar_random),
		cmocka_unit_test(test_roles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
