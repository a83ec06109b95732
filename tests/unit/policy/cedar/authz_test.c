/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decisions: deny unless permitted, forbid wins, what fails says nothing; links
 * of templates; and that the index finds exactly what a search through all
 * policies finds.
 */
#include "set.h"
#include "test.h"

enum { SCRATCH = 256 << 10 };
static uint8_t bytes[SCRATCH];

static struct ag_cedar_answer
decide(const struct ag_cedar_set *set, const struct ag_cedar_entities *e,
    const struct ag_cedar_request *r)
{
	struct ag_cedar_arena scratch;
	struct ag_cedar_answer a;

	ag_cedar_arena_over(&scratch, bytes, sizeof(bytes));
	assert_int_equal(ag_cedar_decide(set, e, r, &scratch, &a), AG_CEDAR_OK);
	return a;
}

static struct ag_cedar_request
ask(const char *principal, const char *action, const char *resource)
{
	return (struct ag_cedar_request){ .principal = test_uid("U", principal),
		.action = test_uid("Action", action),
		.resource = test_uid("R", resource) };
}

static void
who_wins(void **state)
{
	static const struct {
		const char *text;
		bool allow;
		const char *reasons, *failures; /* digits of the policies */
	} rows[] = {
		{ "", false, "", "" },
		{ "permit(principal,action,resource);", true, "0", "" },
		{ "permit(principal,action,resource) when { false };", false, "",
		    "" },
		{ "permit(principal,action,resource) unless { false };", true, "0",
		    "" },
		{ "forbid(principal,action,resource);", false, "0", "" },
		{ "permit(principal,action,resource);"
		    "permit(principal == U::\"a\",action,resource);", true, "01",
		    "" },
		{ "permit(principal,action,resource);"
		    "forbid(principal,action,resource);", false, "1", "" },
		{ "forbid(principal,action,resource);"
		    "permit(principal,action,resource);"
		    "forbid(principal is U,action,resource);", false, "02", "" },
		{ "permit(principal,action,resource) when { context.x };", false,
		    "", "0" },
		{ "permit(principal,action,resource) when { 1 };", false, "", "0" },
		{ "permit(principal,action,resource);"
		    "forbid(principal,action,resource) when { context.x };", true,
		    "0", "1" },
		{ "permit(principal,action,resource) when { false } when { 1 };",
		    false, "", "" },
		{ "permit(principal,action,resource) when { true } unless { 1 };",
		    false, "", "0" },
		{ "permit(principal,action in [],resource);", false, "", "" },
		{ "permit(principal,action in [Action::\"x\",Action::\"y\"],"
		    "resource);", true, "0", "" },
		{ "permit(principal == U::\"b\",action,resource) when { 1 };",
		    false, "", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ag_cedar_set *set = test_set(rows[i].text);
		struct ag_cedar_request r = ask("a", "x", "r");
		struct ag_cedar_answer a = decide(set, NULL, &r);

		if (a.allow != rows[i].allow ||
		    a.reason_count != strlen(rows[i].reasons) ||
		    a.failure_count != strlen(rows[i].failures))
			fail_msg("%s", rows[i].text);
		for (size_t k = 0; k < a.reason_count; k++)
			assert_int_equal('0' + (int)a.reasons[k],
			    rows[i].reasons[k]);
		for (size_t k = 0; k < a.failure_count; k++) {
			assert_int_equal('0' + (int)a.failures[k].policy,
			    rows[i].failures[k]);
			assert_int_not_equal(a.failures[k].line, 0);
		}
		ag_cedar_set_free(&set);
	}
}

static void
templates(void **state)
{
	static const char text[] =
	    "permit(principal == ?principal, action, resource in ?resource);"
	    "forbid(principal is U in ?principal, action, resource);"
	    "permit(principal,action,resource == R::\"open\");";
	struct ag_cedar_entities *e = test_entities("[{\"uid\":{\"type\":\"R\","
	    "\"id\":\"r\"},\"attrs\":{},\"parents\":[{\"type\":\"F\",\"id\":\"f\""
	    "}]},{\"uid\":{\"type\":\"U\",\"id\":\"bad\"},\"attrs\":{},"
	    "\"parents\":[{\"type\":\"G\",\"id\":\"g\"}]}]");
	struct ag_cedar_uid a = test_uid("U", "a"), bad = test_uid("U", "bad"),
	    f = test_uid("F", "f"), g = test_uid("G", "g");
	struct ag_cedar_policy_info info;
	struct ag_cedar_problem p;
	struct ag_cedar_request r;
	struct ag_cedar_set *set;

	(void)state;
	assert_int_equal(ag_cedar_set_new(TEST_MEMORY, &set), AG_CEDAR_OK);
	assert_int_equal(ag_cedar_set_text(set, "policy", text, strlen(text),
	    &p), AG_CEDAR_OK);
	assert_int_equal(ag_cedar_template_count(set), 2);
	assert_int_equal(ag_cedar_set_count(set), 1);
	assert_int_equal(ag_cedar_set_link(set, "policy0", "l0", &a, &f, &p),
	    AG_CEDAR_OK);
	assert_int_equal(ag_cedar_set_link(set, "policy0", "l1", &bad, &f, &p),
	    AG_CEDAR_OK);
	assert_int_equal(ag_cedar_set_link(set, "policy1", "l2", &g, NULL, &p),
	    AG_CEDAR_OK);
	/* A slot too few, one too many, a name taken, no such template. */
	assert_int_equal(ag_cedar_set_link(set, "policy0", "l3", &a, NULL, &p),
	    AG_CEDAR_INVALID);
	assert_int_equal(ag_cedar_set_link(set, "policy1", "l3", &a, &f, &p),
	    AG_CEDAR_INVALID);
	assert_int_equal(ag_cedar_set_link(set, "policy1", "l0", &a, NULL, &p),
	    AG_CEDAR_DUPLICATE);
	assert_int_equal(ag_cedar_set_link(set, "policy2", "l3", &a, &f, &p),
	    AG_CEDAR_UNKNOWN);
	assert_int_equal(ag_cedar_set_compile(set), AG_CEDAR_OK);
	r = ask("a", "x", "r");
	assert_true(decide(set, e, &r).allow);
	r = ask("b", "x", "r");
	assert_false(decide(set, e, &r).allow);
	r = ask("b", "x", "open");
	assert_true(decide(set, e, &r).allow);
	r = ask("bad", "x", "r");
	assert_false(decide(set, e, &r).allow);
	assert_int_equal(decide(set, e, &r).reasons[0], 3);
	ag_cedar_policy_info(set, 3, &info);
	assert_string_equal(info.id, "l2");
	assert_string_equal(info.template_id, "policy1");
	ag_cedar_set_free(&set);
	ag_cedar_entities_free(&e);
}

/* Too little scratch is never an allow. */
static void
too_little_scratch(void **state)
{
	struct ag_cedar_set *set = test_set("permit(principal,action,resource);"
	    "forbid(principal,action,resource) when { [principal, action]"
	    ".contains(principal) };");
	struct ag_cedar_request r = ask("a", "x", "r");
	struct ag_cedar_arena scratch;
	struct ag_cedar_answer a;
	unsigned refused = 0;

	(void)state;
	for (size_t size = 0; size < 1024; size += 8) {
		enum ag_cedar_err err;

		ag_cedar_arena_over(&scratch, bytes, size);
		err = ag_cedar_decide(set, NULL, &r, &scratch, &a);
		assert_false(a.allow);
		refused += err == AG_CEDAR_NO_MEMORY;
		if (err == AG_CEDAR_OK)
			assert_int_equal(a.reason_count, 1);
	}
	assert_true(refused > 0 && refused < 1024 / 8);
	ag_cedar_set_free(&set);
}

/* ------------------------------------------------------------------- index */

static uint32_t seed = 1;

static uint32_t
dice(uint32_t n)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % n;
}

static const char *
scope(char *out, size_t size, const char *var, const char *type)
{
	unsigned form = dice(6), id = dice(6);

	if (form == 3)
		(void)snprintf(out, size, "%s in G::\"%u\"", var, id);
	else if (form == 0)
		(void)snprintf(out, size, "%s", var);
	else if (form == 1)
		(void)snprintf(out, size, "%s == %s::\"%u\"", var, type, id);
	else if (form == 2)
		(void)snprintf(out, size, "%s in %s::\"%u\"", var, type, id);
	else if (form == 4)
		(void)snprintf(out, size, "%s is %s", var, type);
	else
		(void)snprintf(out, size, "%s is %s in G::\"%u\"", var, type, id);
	return out;
}

static const char *
action_scope(char *out, size_t size)
{
	unsigned form = dice(4), id = dice(6);

	if (form == 0)
		(void)snprintf(out, size, "action");
	else if (form == 1)
		(void)snprintf(out, size, "action == Action::\"%u\"", id);
	else if (form == 2)
		(void)snprintf(out, size, "action in Action::\"%u\"", id);
	else
		(void)snprintf(out, size, "action in [Action::\"%u\", "
		    "Action::\"%u\", Action::\"%u\"]", id, dice(6), dice(6));
	return out;
}

static char *
many_policies(unsigned count)
{
	char *text = malloc(count * 256u + 1), p[80], a[120], r[80];
	size_t at = 0;

	assert_non_null(text);
	text[0] = '\0';
	for (unsigned i = 0; i < count; i++)
		at += (size_t)sprintf(text + at, "%s(%s, %s, %s)%s;\n",
		    dice(60) == 0 ? "forbid" : "permit",
		    scope(p, sizeof(p), "principal", dice(2) ? "U" : "V"),
		    action_scope(a, sizeof(a)),
		    scope(r, sizeof(r), "resource", dice(2) ? "R" : "S"),
		    dice(9) == 0 ? " when { context.x }" : "");
	return text;
}

static struct ag_cedar_entities *
some_entities(void)
{
	static const char *const types[] = { "U", "V", "R", "S", "Action" };
	struct ag_cedar_entities *e;
	struct ag_cedar_problem p;
	char ids[6][4], gs[6][4];

	assert_int_equal(ag_cedar_entities_new(TEST_MEMORY, &e), AG_CEDAR_OK);
	for (unsigned i = 0; i < 6; i++) {
		(void)sprintf(ids[i], "%u", i);
		(void)sprintf(gs[i], "%u", i);
	}
	for (unsigned t = 0; t < 5; t++)
		for (unsigned i = 0; i < 6; i++) {
			/* Each is in the next of its type, and in a group. */
			struct ag_cedar_uid parents[2] = {
				test_uid(types[t], ids[(i + 1) % 6]),
				test_uid(t == 4 ? "Action" : "G",
				    t == 4 ? ids[5] : gs[i / 2]) };
			struct ag_cedar_entity one = {
				.uid = test_uid(types[t], ids[i]),
				.parents = i < 5 ? parents : parents + 1,
				.parent_count = i < 5 ? 2 : t != 4 };

			assert_int_equal(ag_cedar_entities_add(e, &one),
			    AG_CEDAR_OK);
		}
	assert_int_equal(ag_cedar_entities_close(e, &p), AG_CEDAR_OK);
	return e;
}

/* A set of one policy has no index to speak of: its answer is the truth. */
static void
index_finds_what_a_search_finds(void **state)
{
	enum { POLICIES = 300, REQUESTS = 200 };
	struct ag_cedar_entities *e = some_entities();
	struct ag_cedar_set *set, *alone[POLICIES];
	char *text = many_policies(POLICIES), *line, *next;
	unsigned allowed = 0;

	(void)state;
	set = test_set(text);
	line = text;
	for (unsigned i = 0; i < POLICIES; i++, line = next + 1) {
		next = strchr(line, '\n');
		*next = '\0';
		alone[i] = test_set(line);
	}
	for (unsigned n = 0; n < REQUESTS; n++) {
		char p[4], a[4], r[4];
		struct ag_cedar_request q;
		bool says[POLICIES], fails[POLICIES], permit = false,
		    forbid = false;
		struct ag_cedar_answer answer;
		size_t reasons = 0, failures = 0;

		(void)sprintf(p, "%u", dice(7));
		(void)sprintf(a, "%u", dice(7));
		(void)sprintf(r, "%u", dice(7));
		q = (struct ag_cedar_request){
			.principal = test_uid(dice(2) ? "U" : "V", p),
			.action = test_uid("Action", a),
			.resource = test_uid(dice(2) ? "R" : "S", r) };
		for (unsigned i = 0; i < POLICIES; i++) {
			answer = decide(alone[i], e, &q);
			says[i] = answer.reason_count != 0;
			fails[i] = answer.failure_count != 0;
			permit |= says[i] && answer.allow;
			forbid |= says[i] && !answer.allow;
			failures += fails[i];
		}
		answer = decide(set, e, &q);
		assert_int_equal(answer.allow, permit && !forbid);
		assert_int_equal(answer.failure_count, failures);
		for (size_t i = 0; i < answer.failure_count; i++)
			assert_true(fails[answer.failures[i].policy]);
		for (unsigned i = 0; i < POLICIES; i++)
			reasons += says[i] &&
			    set->policies[i].body->forbid == forbid;
		assert_int_equal(answer.reason_count, reasons);
		for (size_t i = 0; i < answer.reason_count; i++) {
			assert_true(says[answer.reasons[i]]);
			assert_true(i == 0 ||
			    answer.reasons[i] > answer.reasons[i - 1]);
		}
		allowed += answer.allow;
	}
	assert_true(allowed > 0 && allowed < REQUESTS);
	for (unsigned i = 0; i < POLICIES; i++)
		ag_cedar_set_free(&alone[i]);
	ag_cedar_set_free(&set);
	ag_cedar_entities_free(&e);
	free(text);
}

/* ---------------------------------------------------------------- entities */

static const struct {
	const char *json, *says;
	enum ag_cedar_err want;
} refused[] = {
	{ "", "no JSON", AG_CEDAR_SYNTAX },
	{ "{}", "array", AG_CEDAR_INVALID },
	{ "[{\"uid\":{\"type\":\"A\",\"id\":\"a\"},\"attrs\":{}}]", "parents",
	    AG_CEDAR_INVALID },
	{ "[{\"uid\":{\"type\":\"A b\",\"id\":\"a\"},\"attrs\":{},\"parents\":[]}]",
	    "/0/uid", AG_CEDAR_INVALID },
	{ "[{\"uid\":{\"type\":\"A\",\"id\":\"a\"},\"attrs\":{\"x\":1.5},"
	    "\"parents\":[]}]", "/0/attrs/x", AG_CEDAR_INVALID },
	{ "[{\"uid\":{\"type\":\"A\",\"id\":\"a\"},\"attrs\":{\"x\":[null]},"
	    "\"parents\":[]}]", "/0/attrs/x/0", AG_CEDAR_INVALID },
	{ "[{\"uid\":{\"type\":\"A\",\"id\":\"a\"},\"attrs\":{\"x\":"
	    "9223372036854775808},\"parents\":[]}]", "no JSON",
	    AG_CEDAR_SYNTAX },
	{ "[{\"uid\":{\"type\":\"A\",\"id\":\"a\"},\"attrs\":{\"x\":{\"__extn\":"
	    "{\"fn\":\"ip\",\"arg\":\"x\"}}},\"parents\":[]}]", "is none",
	    AG_CEDAR_INVALID },
	{ "[{\"uid\":{\"type\":\"A\",\"id\":\"a\"},\"attrs\":{},\"parents\":[],"
	    "\"more\":1}]", "\"more\"", AG_CEDAR_INVALID },
	{ "[{\"uid\":{\"type\":\"A\",\"id\":\"a\"},\"attrs\":{\"x\":1},"
	    "\"parents\":[]},{\"uid\":{\"type\":\"A\",\"id\":\"a\"},\"attrs\":{},"
	    "\"parents\":[]}]", "twice", AG_CEDAR_DUPLICATE },
};

static void
entities_that_are_refused(void **state)
{
	struct ag_cedar_problem p;

	(void)state;
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		struct ag_cedar_entities *e;

		assert_int_equal(ag_cedar_entities_new(TEST_MEMORY, &e),
		    AG_CEDAR_OK);
		if (ag_cedar_entities_json(e, NULL, refused[i].json,
		    strlen(refused[i].json), &p) != refused[i].want ||
		    strstr(p.text, refused[i].says) == NULL)
			fail_msg("%s: %s", refused[i].json, p.text);
		ag_cedar_entities_free(&e);
	}
}

static void
cycles_are_refused(void **state)
{
	static const char json[] = "[{\"uid\":{\"type\":\"A\",\"id\":\"a\"},"
	    "\"attrs\":{},\"parents\":[{\"type\":\"A\",\"id\":\"b\"}]},{\"uid\":{"
	    "\"type\":\"A\",\"id\":\"b\"},\"attrs\":{},\"parents\":[{\"type\":"
	    "\"A\",\"id\":\"a\"}]}]";
	struct ag_cedar_entities *e;
	struct ag_cedar_problem p;

	(void)state;
	assert_int_equal(ag_cedar_entities_new(TEST_MEMORY, &e), AG_CEDAR_OK);
	assert_int_equal(ag_cedar_entities_json(e, NULL, json, strlen(json), &p),
	    AG_CEDAR_OK);
	assert_int_equal(ag_cedar_entities_close(e, &p), AG_CEDAR_INVALID);
	assert_non_null(strstr(p.text, "cycle"));
	ag_cedar_entities_free(&e);
}

static void
names_may_hold_nul(void **state)
{
	static const char json[] = "[{\"uid\":{\"type\":\"U\",\"id\":\"a\\u0000\"},"
	    "\"attrs\":{\"x\\u0000y\":\"\\ufdd0\\\\u0000\"},\"parents\":[]}]";
	struct ag_cedar_entities *e = test_entities(json);
	struct ag_cedar_set *set = test_set("permit(principal,action,resource) "
	    "when { principal == U::\"a\\0\" && principal[\"x\\0y\"] == "
	    "\"\\u{fdd0}\\\\u0000\" };");
	struct ag_cedar_request r = ask("a", "x", "r");

	(void)state;
	assert_false(decide(set, e, &r).allow);
	r.principal = ag_cedar_uid(test_str("U"),
	    (struct ag_cedar_str){ "a\0", 2 });
	assert_true(decide(set, e, &r).allow);
	ag_cedar_set_free(&set);
	ag_cedar_entities_free(&e);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_wins),
		cmocka_unit_test(templates),
		cmocka_unit_test(too_little_scratch),
		cmocka_unit_test(index_finds_what_a_search_finds),
		cmocka_unit_test(entities_that_are_refused),
		cmocka_unit_test(cycles_are_refused),
		cmocka_unit_test(names_may_hold_nul),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
