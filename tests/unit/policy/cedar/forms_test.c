/* SPDX-License-Identifier: Apache-2.0 */
/* The other forms: JSON policies, JSON schemas, JSON values, formatted text. */
#include "test.h"

/* ------------------------------------------------------------ JSON policies */

static const struct {
	const char *text, *json;
} policies[] = {
	{ "permit(principal == ?principal, action, resource is A::B in ?resource);",
	    "{\"effect\":\"permit\",\"principal\":{\"op\":\"==\",\"slot\":"
	    "\"?principal\"},\"action\":{\"op\":\"All\"},\"resource\":{\"op\":"
	    "\"is\",\"entity_type\":\"A::B\",\"in\":{\"slot\":\"?resource\"}},"
	    "\"conditions\":[]}" },
	{ "@a @b(\"x\") forbid(principal, action in [Action::\"x\", "
	    "Action::\"y\"], resource in T::\"t\") when { context has a.b } "
	    "unless { \"a*\" like \"a\\*b*\" };",
	    "{\"effect\":\"forbid\",\"principal\":{\"op\":\"All\"},\"action\":{"
	    "\"op\":\"in\",\"entities\":[{\"type\":\"Action\",\"id\":\"x\"},{"
	    "\"type\":\"Action\",\"id\":\"y\"}]},\"resource\":{\"op\":\"in\","
	    "\"entity\":{\"type\":\"T\",\"id\":\"t\"}},\"conditions\":[{\"kind\":"
	    "\"when\",\"body\":{\"&&\":{\"left\":{\"has\":{\"left\":{\"Var\":"
	    "\"context\"},\"attr\":\"a\"}},\"right\":{\"has\":{\"left\":{\".\":{"
	    "\"left\":{\"Var\":\"context\"},\"attr\":\"a\"}},\"attr\":\"b\"}}}}},{"
	    "\"kind\":\"unless\",\"body\":{\"like\":{\"left\":{\"Value\":\"a*\"},"
	    "\"pattern\":[{\"Literal\":\"a\"},{\"Literal\":\"*\"},{\"Literal\":"
	    "\"b\"},\"Wildcard\"]}}}],\"annotations\":{\"a\":null,\"b\":\"x\"}}" },
	{ "W { if !(1 + -2 < 3) then [ip(\"::1\")] else {a: principal is T in "
	    "T::\"t\"} };",
	    "{\"effect\":\"permit\",\"principal\":{\"op\":\"All\"},\"action\":{"
	    "\"op\":\"All\"},\"resource\":{\"op\":\"All\"},\"conditions\":[{"
	    "\"kind\":\"when\",\"body\":{\"if-then-else\":{\"if\":{\"!\":{\"arg\":{"
	    "\"<\":{\"left\":{\"+\":{\"left\":{\"Value\":1},\"right\":{\"Value\":"
	    "-2}}},\"right\":{\"Value\":3}}}}},\"then\":{\"Set\":[{\"ip\":[{"
	    "\"Value\":\"::1\"}]}]},\"else\":{\"Record\":{\"a\":{\"is\":{\"left\":{"
	    "\"Var\":\"principal\"},\"entity_type\":\"T\",\"in\":{\"Value\":{"
	    "\"__entity\":{\"type\":\"T\",\"id\":\"t\"}}}}}}}}}}]}" },
};

/* Text gives the JSON of the reference, which gives it back, compiled or not. */
static void
policies_in_json(void **state)
{
	char room[512], *json;

	(void)state;
	for (size_t i = 0; i < sizeof(policies) / sizeof(policies[0]); i++) {
		struct ag_cedar_set *set = test_set(test_policy(policies[i].text,
		    room, sizeof(room)));
		struct ag_cedar_problem p;

		assert_int_equal(ag_cedar_policy_json(set, 0, &json), AG_CEDAR_OK);
		assert_string_equal(json, policies[i].json);
		free(json);
		assert_int_equal(ag_cedar_policy_json(set, 1, &json),
		    AG_CEDAR_UNKNOWN);
		assert_null(json);
		ag_cedar_set_free(&set);
		assert_int_equal(ag_cedar_set_new(TEST_MEMORY, &set), AG_CEDAR_OK);
		if (ag_cedar_set_json(set, "p", policies[i].json,
		    strlen(policies[i].json), &p) != AG_CEDAR_OK)
			fail_msg("%s", p.text);
		assert_int_equal(ag_cedar_policy_json(set, 0, &json), AG_CEDAR_OK);
		assert_string_equal(json, policies[i].json);
		free(json);
		ag_cedar_set_free(&set);
	}
}

#define HEAD "{\"effect\":\"permit\",\"principal\":{\"op\":\"All\"},\"action\":" \
    "{\"op\":\"All\"},\"resource\":{\"op\":\"All\"},\"conditions\":[{\"kind\":" \
    "\"when\",\"body\":"
#define TAIL "}]}"

static const struct {
	const char *json, *says;
} refused[] = {
	{ "{}", "\"effect\"" },
	{ HEAD "{}" TAIL, "/conditions/0/body" },
	{ HEAD "{\"Var\":\"nobody\"}" TAIL, "/Var" },
	{ HEAD "{\"foo\":[]}" TAIL, "`foo`" },
	{ HEAD "{\"&&\":{\"left\":{\"Value\":true}}}" TAIL, "/&&/right" },
	{ HEAD "{\"Value\":1.5}" TAIL, "no such number" },
	{ HEAD "{\"Value\":null}" TAIL, "null" },
	{ HEAD "{\"Slot\":\"?principal\"}" TAIL, "`Slot`" },
	{ HEAD "{\"is\":{\"left\":{\"Var\":\"principal\"},\"entity_type\":\"a b\"}}"
	    TAIL, "`a b`" },
	{ HEAD "{\"Value\":{\"__extn\":{\"fn\":\"isIpv4\",\"arg\":\"x\"}}}" TAIL,
	    "isIpv4" },
	{ "{\"effect\":\"permit\",\"principal\":{\"op\":\"==\",\"slot\":"
	    "\"?resource\"},\"action\":{\"op\":\"All\"},\"resource\":{\"op\":"
	    "\"All\"},\"conditions\":[]}", "?principal" },
	{ "{\"effect\":\"permit\",\"principal\":{\"op\":\"All\"},\"action\":{"
	    "\"op\":\"==\",\"entity\":{\"type\":\"T\",\"id\":\"x\"}},\"resource\":"
	    "{\"op\":\"All\"},\"conditions\":[]}", "Action" },
};

static void
policies_in_json_that_are_refused(void **state)
{
	struct ag_cedar_problem p;
	struct ag_cedar_set *set;

	(void)state;
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		assert_int_equal(ag_cedar_set_new(TEST_MEMORY, &set), AG_CEDAR_OK);
		if (ag_cedar_set_json(set, "p", refused[i].json,
		    strlen(refused[i].json), &p) != AG_CEDAR_INVALID ||
		    strstr(p.text, refused[i].says) == NULL)
			fail_msg("%s: %s", refused[i].json, p.text);
		ag_cedar_set_free(&set);
	}
}

static void
sets_in_json(void **state)
{
	static const char json[] = "{\"staticPolicies\":{\"all\":{\"effect\":"
	    "\"forbid\",\"principal\":{\"op\":\"is\",\"entity_type\":\"V\"},"
	    "\"action\":{\"op\":\"All\"},\"resource\":{\"op\":\"All\"},"
	    "\"conditions\":[]}},\"templates\":{\"t\":{\"effect\":\"permit\","
	    "\"principal\":{\"op\":\"==\",\"slot\":\"?principal\"},\"action\":{"
	    "\"op\":\"All\"},\"resource\":{\"op\":\"All\"},\"conditions\":[]}},"
	    "\"templateLinks\":[{\"templateId\":\"t\",\"newId\":\"l\",\"values\":{"
	    "\"?principal\":{\"type\":\"U\",\"id\":\"a\"}}}]}";
	struct ag_cedar_request r = { .principal = test_uid("U", "a"),
		.action = test_uid("Action", "x"), .resource = test_uid("R", "r") };
	struct ag_cedar_policy_info info;
	struct ag_cedar_arena scratch;
	struct ag_cedar_answer a;
	struct ag_cedar_problem p;
	struct ag_cedar_set *set;
	uint8_t bytes[4096];

	(void)state;
	assert_int_equal(ag_cedar_set_new(TEST_MEMORY, &set), AG_CEDAR_OK);
	if (ag_cedar_set_json_all(set, json, strlen(json), &p) != AG_CEDAR_OK)
		fail_msg("%s", p.text);
	assert_int_equal(ag_cedar_set_compile(set), AG_CEDAR_OK);
	ag_cedar_arena_over(&scratch, bytes, sizeof(bytes));
	assert_int_equal(ag_cedar_decide(set, NULL, &r, &scratch, &a),
	    AG_CEDAR_OK);
	assert_true(a.allow);
	ag_cedar_policy_info(set, a.reasons[0], &info);
	assert_string_equal(info.id, "l");
	assert_int_equal(info.line, 0);
	ag_cedar_set_free(&set);
}

static void
deep_json(void **state)
{
	enum { DEPTH = 1500 };
	char *text = malloc(DEPTH * 16 + 512);
	struct ag_cedar_problem p;
	struct ag_cedar_set *set;
	size_t at = (size_t)sprintf(text, "%s", HEAD);

	(void)state;
	for (int i = 0; i < DEPTH; i++)
		at += (size_t)sprintf(text + at, "{\"!\":{\"arg\":");
	at += (size_t)sprintf(text + at, "{\"Value\":true}");
	for (int i = 0; i < DEPTH; i++)
		at += (size_t)sprintf(text + at, "}}");
	(void)sprintf(text + at, "%s", TAIL);
	assert_int_equal(ag_cedar_set_new(TEST_MEMORY, &set), AG_CEDAR_OK);
	assert_int_not_equal(ag_cedar_set_json(set, "p", text, strlen(text), &p),
	    AG_CEDAR_OK);
	assert_int_not_equal(p.text[0], '\0');
	ag_cedar_set_free(&set);
	free(text);
}

/* ------------------------------------------------------------- JSON schemas */

static const struct {
	const char *json;
	bool ok;
} schemas[] = {
	{ "{}", true },
	{ "{\"\":{\"entityTypes\":{\"A\":{}},\"actions\":{\"a\":{\"appliesTo\":{"
	    "\"principalTypes\":[\"A\"],\"resourceTypes\":[\"A\"],\"context\":{"
	    "\"type\":\"Record\",\"attributes\":{\"x\":{\"type\":\"Long\","
	    "\"required\":false}}}}}}}}", true },
	{ "{\"\":{\"entityTypes\":{\"A\":{\"shape\":{\"type\":\"Record\","
	    "\"attributes\":{\"x\":{\"type\":\"Set\",\"element\":{\"type\":"
	    "\"Entity\",\"name\":\"A\"}},\"y\":{\"type\":\"Extension\",\"name\":"
	    "\"ipaddr\"},\"z\":{\"type\":\"T\"}}},\"tags\":{\"type\":\"String\"}}},"
	    "\"actions\":{},\"commonTypes\":{\"T\":{\"type\":\"Boolean\"}}}}",
	    true },
	{ "{\"\":{\"entityTypes\":{\"A\":{\"enum\":[\"x\"]}},\"actions\":{}}}",
	    true },
	{ "{\"\":{\"entityTypes\":{\"A\":{\"enum\":[]}},\"actions\":{}}}", false },
	{ "{\"\":{\"entityTypes\":{\"A\":{\"memberOfTypes\":[\"B\"]}},\"actions\":"
	    "{}}}", false },
	{ "{\"\":{\"entityTypes\":{},\"actions\":{\"a\":{\"memberOf\":[{\"id\":"
	    "\"b\"}]}}}}", false },
	{ "{\"\":{\"entityTypes\":{},\"actions\":{\"a\":{\"memberOf\":[{\"id\":"
	    "\"b\"}]},\"b\":{}}}}", true },
	{ "{\"\":{\"entityTypes\":{\"A\":{\"shape\":{\"type\":\"Record\","
	    "\"attributes\":{\"x\":{\"type\":\"Nothing\"}}}}},\"actions\":{}}}",
	    false },
	{ "{\"\":{\"entityTypes\":{\"A\":{\"shpae\":{}}},\"actions\":{}}}", false },
	{ "{\"a b\":{\"entityTypes\":{},\"actions\":{}}}", false },
	{ "{\"\":{\"entityTypes\":{}}}", false },
	{ "[]", false },
};

static void
schemas_in_json(void **state)
{
	struct ag_cedar_schema *schema;
	struct ag_cedar_problem p;

	(void)state;
	for (size_t i = 0; i < sizeof(schemas) / sizeof(schemas[0]); i++) {
		enum ag_cedar_err err = ag_cedar_schema_json(schemas[i].json,
		    strlen(schemas[i].json), TEST_MEMORY, &schema, &p);

		if ((err == AG_CEDAR_OK) != schemas[i].ok)
			fail_msg("%s: %s", schemas[i].json, p.text);
		ag_cedar_schema_free(&schema);
	}
}

/* ---------------------------------------------------------------- formatter */

static const struct {
	const char *text, *want;
} formatted[] = {
	{ "", "" },
	{ "permit(principal,action,resource);",
	    "permit(principal, action, resource);\n" },
	{ "@id(\"a\")@b permit(principal==U::\"a\",action in[Action::\"x\"],"
	    "resource)when{!principal.a&&-1==- 2};// end",
	    "@id(\"a\")\n@b\npermit(principal == U::\"a\", action in [Action::\"x\"]"
	    ", resource)\nwhen {\n  !principal.a && -1 == -2\n}; // end\n" },
	{ "// one\n\n\n\npermit(principal,action,resource);permit(principal,action,"
	    "resource);\n// two",
	    "// one\npermit(principal, action, resource);\n\npermit(principal, "
	    "action, resource);\n\n// two\n" },
	{ "permit(principal, action, // which\nresource);",
	    "permit(\n  principal,\n  action, // which\n  resource\n);\n" },
	{ "W { [1,2].contains(1) && {a:1,\"b c\":2}[\"a\"] == 1 && (if true then 1 "
	    "else 2) == ip(\"::1\").isInRange(ip(\"::/0\")) };",
	    "permit(principal, action, resource)\nwhen {\n  [1, 2].contains(1) &&\n"
	    "  { a: 1, \"b c\": 2 }[\"a\"] == 1 &&\n  (if true then 1 else 2) == "
	    "ip(\"::1\").isInRange(ip(\"::/0\"))\n};\n" },
};

static void
one_form(void **state)
{
	struct ag_cedar_arena arena;
	struct ag_cedar_problem p;
	char room[512], *once, *twice;
	size_t len, again;

	(void)state;
	ag_cedar_arena_init(&arena, TEST_MEMORY);
	for (size_t i = 0; i < sizeof(formatted) / sizeof(formatted[0]); i++) {
		const char *text = test_policy(formatted[i].text, room,
		    sizeof(room));

		assert_int_equal(ag_cedar_format(&arena, text, strlen(text), &once,
		    &len, &p), AG_CEDAR_OK);
		assert_string_equal(once, formatted[i].want);
		assert_int_equal(ag_cedar_format(&arena, once, len, &twice, &again,
		    &p), AG_CEDAR_OK);
		assert_string_equal(twice, once);
	}
	assert_int_equal(ag_cedar_format(&arena, "permit", 6, &once, &len, &p),
	    AG_CEDAR_SYNTAX);
	ag_cedar_arena_fini(&arena);
}

static void
values_in_json(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{ "[1, true, \"x\\0\"]", "[true,1,\"x\\u0000\"]" },
		{ "{b: U::\"a\", a: {}}",
		    "{\"a\":{},\"b\":{\"__entity\":{\"type\":\"U\",\"id\":\"a\"}}}" },
		{ "decimal(\"-1.5\")",
		    "{\"__extn\":{\"fn\":\"decimal\",\"arg\":\"-1.5000\"}}" },
		{ "ip(\"10.0.0.0/8\")",
		    "{\"__extn\":{\"fn\":\"ip\",\"arg\":\"10.0.0.0/8\"}}" },
		{ "duration(\"1m\")",
		    "{\"__extn\":{\"fn\":\"duration\",\"arg\":\"60000ms\"}}" },
	};
	struct ag_cedar_arena arena;
	struct ag_cedar_problem p;
	struct ag_cedar_value v;

	(void)state;
	ag_cedar_arena_init(&arena, TEST_MEMORY);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *json;

		assert_int_equal(ag_cedar_evaluate(&arena, rows[i].text,
		    strlen(rows[i].text), NULL, NULL, &v, &p), AG_CEDAR_OK);
		json = ag_cedar_value_json(&v);
		assert_string_equal(json, rows[i].want);
		free(json);
	}
	/* A datetime reads back as what it was. */
	assert_int_equal(ag_cedar_evaluate(&arena, "{a: datetime(\"2024-02-29\")}",
	    27, NULL, NULL, &v, &p), AG_CEDAR_OK);
	{
		char *json = ag_cedar_value_json(&v);
		struct ag_cedar_value again;

		assert_int_equal(ag_cedar_context_json(&arena, json, strlen(json),
		    &again, &p), AG_CEDAR_OK);
		assert_true(ag_cedar_equal(&v, &again));
		free(json);
	}
	ag_cedar_arena_fini(&arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(policies_in_json),
		cmocka_unit_test(policies_in_json_that_are_refused),
		cmocka_unit_test(sets_in_json),
		cmocka_unit_test(deep_json),
		cmocka_unit_test(schemas_in_json),
		cmocka_unit_test(one_form),
		cmocka_unit_test(values_in_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
