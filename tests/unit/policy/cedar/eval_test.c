/* SPDX-License-Identifier: Apache-2.0 */
/* Every operator and function: what the reference makes of it. */
#include "test.h"

enum { NO = -1, YES = -2 }; /* else: the fault */

static const struct {
	const char *text;
	int want;
} rows[] = {
#include "eval_rows.def"
};

static struct ag_cedar_request request;

static int
setup(void **state)
{
	(void)state;
	request = (struct ag_cedar_request){ .principal = test_uid("U", "a"),
		.action = test_uid("Action", "x"), .resource = test_uid("R", "r") };
	return 0;
}

static int
evaluate(const char *text, const struct ag_cedar_entities *entities,
    struct ag_cedar_problem *p)
{
	struct ag_cedar_arena arena;
	struct ag_cedar_value v;
	enum ag_cedar_err err;
	int got = 0;

	ag_cedar_arena_init(&arena, TEST_MEMORY);
	err = ag_cedar_evaluate(&arena, text, strlen(text), entities, &request,
	    &v, p);
	if (err == AG_CEDAR_OK)
		got = v.kind != AG_CEDAR_BOOL ? AG_CEDAR_FAULT_TYPE :
		    v.boolean ? YES : NO;
	for (int f = AG_CEDAR_FAULT_NONE; err == AG_CEDAR_INVALID &&
	    f <= AG_CEDAR_FAULT_MEMORY; f++)
		if (strcmp(p->text, ag_cedar_fault_name(f)) == 0)
			got = f;
	ag_cedar_arena_fini(&arena);
	return got;
}

static void
same_as_the_reference(void **state)
{
	struct ag_cedar_problem p;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int got = evaluate(rows[i].text, NULL, &p);

		if (got != rows[i].want)
			fail_msg("%s: %d, not %d: %s", rows[i].text, got,
			    rows[i].want, p.text);
	}
}

/* The same again as conditions of policies: folding changes nothing. */
static void
folded_is_the_same(void **state)
{
	uint8_t bytes[64 << 10];
	char text[512];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ag_cedar_arena scratch;
		struct ag_cedar_answer a;
		struct ag_cedar_set *set;

		(void)snprintf(text, sizeof(text), "permit(principal,action,"
		    "resource) when { %s };", rows[i].text);
		set = test_set(text);
		ag_cedar_arena_over(&scratch, bytes, sizeof(bytes));
		assert_int_equal(ag_cedar_decide(set, NULL, &request, &scratch,
		    &a), AG_CEDAR_OK);
		if (a.allow != (rows[i].want == YES) ||
		    a.failure_count != (rows[i].want > 0) ||
		    (rows[i].want > 0 && (int)a.failures[0].fault !=
		    rows[i].want))
			fail_msg("%s", text);
		ag_cedar_set_free(&set);
	}
}

static void
attributes_and_tags(void **state)
{
	static const char json[] = "[{\"uid\":{\"type\":\"U\",\"id\":\"a\"},"
	    "\"attrs\":{\"n\":1,\"friend\":{\"__entity\":{\"type\":\"U\",\"id\":"
	    "\"b\"}},\"r\":{\"x y\":{\"if\":true}},\"when\":{\"__extn\":{\"fn\":"
	    "\"datetime\",\"arg\":\"2024-01-01\"}}},\"parents\":[{\"type\":\"G\","
	    "\"id\":\"g\"}],\"tags\":{\"t\":[1,2]}},{\"uid\":{\"type\":\"G\","
	    "\"id\":\"g\"},\"attrs\":{},\"parents\":[{\"type\":\"G\",\"id\":"
	    "\"top\"}]},{\"uid\":{\"type\":\"U\",\"id\":\"b\"},\"attrs\":{"
	    "\"n\":2},\"parents\":[]}]";
	static const struct {
		const char *text;
		int want;
	} more[] = {
		{ "principal.n == 1", YES },
		{ "principal.friend.n == 2", YES },
		{ "principal.friend == U::\"b\"", YES },
		{ "principal[\"r\"][\"x y\"][\"if\"]", YES },
		{ "principal has r && principal.r has \"x y\"", YES },
		{ "principal has friend.n", YES },
		{ "principal has friend.m", NO },
		{ "principal has nobody.m", NO },
		{ "principal.m == 1", AG_CEDAR_FAULT_NO_ATTR },
		{ "principal.friend.friend", AG_CEDAR_FAULT_NO_ATTR },
		{ "U::\"c\".n == 1", AG_CEDAR_FAULT_NO_ENTITY },
		{ "U::\"c\" has n", NO },
		{ "principal.n.m", AG_CEDAR_FAULT_TYPE },
		{ "principal.hasTag(\"t\")", YES },
		{ "principal.hasTag(\"u\")", NO },
		{ "principal.getTag(\"t\").contains(2)", YES },
		{ "principal.getTag(\"u\") == 1", AG_CEDAR_FAULT_NO_TAG },
		{ "U::\"c\".getTag(\"t\") == 1", AG_CEDAR_FAULT_NO_ENTITY },
		{ "principal in G::\"g\"", YES },
		{ "principal in G::\"top\"", YES },
		{ "principal in G::\"other\"", NO },
		{ "principal in [G::\"other\", G::\"top\"]", YES },
		{ "principal.friend in G::\"g\"", NO },
		{ "G::\"g\" in G::\"top\"", YES },
		{ "G::\"top\" in G::\"g\"", NO },
		{ "principal is U in G::\"top\"", YES },
		{ "principal.when.toDate() == datetime(\"2024-01-01\")", YES },
		{ "principal.when.offset(duration(\"1d\")) > principal.when", YES },
	};
	struct ag_cedar_entities *e = test_entities(json);
	struct ag_cedar_problem p;

	(void)state;
	for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
		int got = evaluate(more[i].text, e, &p);

		if (got != more[i].want)
			fail_msg("%s: %d, not %d: %s", more[i].text, got,
			    more[i].want, p.text);
	}
	ag_cedar_entities_free(&e);
}

/* A pattern that makes careless matchers exponential. */
static void
patterns(void **state)
{
	static const char text[] = "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\""
	    " like \"*a*a*a*a*a*a*a*a*a*a*a*a*b\"";
	struct ag_cedar_problem p;

	(void)state;
	assert_int_equal(evaluate(text, NULL, &p), NO);
	assert_int_equal(evaluate("\"a*b\" like \"a\\*b\"", NULL, &p), YES);
	assert_int_equal(evaluate("\"axb\" like \"a\\*b\"", NULL, &p), NO);
	assert_int_equal(evaluate("\"abcabc\" like \"*abc\"", NULL, &p), YES);
	assert_int_equal(evaluate("\"\" like \"**\"", NULL, &p), YES);
	assert_int_equal(evaluate("\"ab\" like \"a\"", NULL, &p), NO);
}

static void
values_that_programs_build(void **state)
{
	struct ag_cedar_arena arena;
	struct ag_cedar_value a[3], set, same, record, ip;
	struct ag_cedar_field f[2];

	(void)state;
	ag_cedar_arena_init(&arena, TEST_MEMORY);
	a[0] = ag_cedar_long(2);
	a[1] = ag_cedar_string(test_str("x"));
	a[2] = ag_cedar_long(2);
	assert_int_equal(ag_cedar_set_value(&arena, a, 3, &set), AG_CEDAR_OK);
	assert_int_equal(ag_cedar_set_value(&arena, a, 2, &same), AG_CEDAR_OK);
	assert_true(ag_cedar_equal(&set, &same));
	f[0] = (struct ag_cedar_field){ test_str("b"), set };
	f[1] = (struct ag_cedar_field){ test_str("a"), ag_cedar_bool(true) };
	assert_int_equal(ag_cedar_record_value(&arena, f, 2, &record),
	    AG_CEDAR_OK);
	f[1].name = test_str("b");
	assert_int_equal(ag_cedar_record_value(&arena, f, 2, &record),
	    AG_CEDAR_DUPLICATE);
	assert_int_equal(ag_cedar_extension_value(&arena, "ip",
	    test_str("10.0.0.0/8"), &ip), AG_CEDAR_OK);
	assert_int_equal(ag_cedar_extension_value(&arena, "ip", test_str("10"),
	    &ip), AG_CEDAR_INVALID);
	assert_int_equal(ag_cedar_extension_value(&arena, "isIpv4",
	    test_str("10"), &ip), AG_CEDAR_UNKNOWN);
	/* A set in a set …, to the limit. */
	for (int i = 2; i <= AG_CEDAR_VALUE_DEPTH_MAX; i++)
		assert_int_equal(ag_cedar_set_value(&arena, &set, 1, &set),
		    AG_CEDAR_OK);
	assert_int_equal(ag_cedar_set_value(&arena, &set, 1, &set),
	    AG_CEDAR_LIMIT);
	ag_cedar_arena_fini(&arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_as_the_reference),
		cmocka_unit_test(folded_is_the_same),
		cmocka_unit_test(attributes_and_tags),
		cmocka_unit_test(patterns),
		cmocka_unit_test(values_that_programs_build),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
