/* SPDX-License-Identifier: Apache-2.0 */
/* Schemas: what is one; what conforms to one; what policies it refuses. */
#include "test.h"

static const struct {
	const char *text;
	bool ok;
} rows[] = {
#include "schema_rows.def"
};

static void
same_as_the_reference(void **state)
{
	struct ag_cedar_schema *schema;
	struct ag_cedar_problem p;
	enum ag_cedar_err err;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		err = ag_cedar_schema_parse(rows[i].text, strlen(rows[i].text),
		    TEST_MEMORY, &schema, &p);
		if ((err == AG_CEDAR_OK) != rows[i].ok)
			fail_msg("%s: %s", rows[i].text, p.text);
		assert_true((schema == NULL) == (err != AG_CEDAR_OK));
		if (err != AG_CEDAR_OK)
			assert_int_equal(p.code, err);
		ag_cedar_schema_free(&schema);
	}
}

static const char schema_text[] =
    "entity Team; entity Human in [Team] { age: Long, nick?: String,"
    " at: __cedar::ipaddr, since?: __cedar::datetime } tags String;\n"
    "entity Key { owner: Human, labels: Set<String>, meta?: { a?: Long, b: Bool } };\n"
    "entity Color enum [\"red\", \"blue\"];\n"
    "action use; action sign, verify in [use] appliesTo { principal: Human,"
    " resource: Key, context: { mfa?: Bool, n: Long } };\n"
    "action paint appliesTo { principal: Human, resource: Color };";

static const struct {
	const char *text;
	int errors;      /* 0: valid */
	const char *says;
} policies[] = {
	{ "permit(principal, action, resource);", 0, "" },
	{ "W { principal.age > 18 };", 0, "" },
	{ "W { principal.nick == \"x\" };", 1, "may be absent" },
	{ "W { principal has nick && principal.nick == \"x\" };", 0, "" },
	{ "W { principal has nick || principal.nick == \"x\" };", 1, "absent" },
	{ "W { !(principal has nick) || principal.nick == \"x\" };", 1, "absent" },
	{ "W { if principal has nick then principal.nick == \"x\" else true };", 0,
	    "" },
	{ "W { principal.nmae == 1 };", 1, "no attribute" },
	{ "W { principal.nmae == 1 };", 1, "it has `age`, `at`, `nick`, `since`" },
	{ "W { principal.age == \"x\" };", 1, "never equal" },
	{ "W { principal.age };", 1, "boolean" },
	{ "W { principal has getTag && true };", 0, "" },
	{ "W { principal.getTag(\"a\") == \"x\" };", 1, "hasTag" },
	{ "W { principal.hasTag(\"a\") && principal.getTag(\"a\") == \"x\" };", 0,
	    "" },
	{ "W { principal.hasTag(\"a\") && principal.getTag(\"b\") == \"x\" };", 1,
	    "hasTag" },
	{ "W { [] == [1] };", 1, "empty set" },
	{ "W { [1, \"a\"].contains(1) };", 1, "in common" },
	{ "W { ip(\"1.2.3\").isIpv4() };", 1, "is none" },
	{ "W { ip(context.x).isIpv4() };", 1, "literal" },
	{ "W { principal.at.isIpv4() };", 0, "" },
	{ "W { principal == Hunan::\"a\" };", 1, "no entity type" },
	{ "W { principal == resource };", 0, "" },
	{ "W { principal in Team::\"a\" };", 0, "" },
	{ "W { resource == Color::\"green\" };", 1, "none of the ids" },
	{ "permit(principal, action == Action::\"sing\", resource);", 2,
	    "no action" },
	{ "permit(principal, action == Action::\"sign\", resource is Color);", 1,
	    "applies to" },
	{ "permit(principal, action in Action::\"use\", resource) when { "
	    "context.n == 1 };", 0, "" },
	{ "permit(principal, action, resource) when { context.n == 1 };", 1,
	    "no attribute" },
	{ "permit(principal, action == Action::\"sign\", resource) when { "
	    "resource.owner == principal && resource.labels.contains(\"x\") && "
	    "resource has meta.a && resource.meta.a < 3 };", 0, "" },
	{ "permit(principal == ?principal, action, resource in ?resource);", 0,
	    "" },
	{ "permit(principal in ?principal, action == Action::\"sign\", resource) "
	    "when { principal.age == true };", 1, "never equal" },
};

struct found {
	int errors, warnings;
	char text[AG_CEDAR_PROBLEM_SIZE];
};

static void
on_finding(void *arg, const struct ag_cedar_finding *f)
{
	struct found *found = arg;

	assert_string_equal(f->policy_id, "policy0");
	assert_int_not_equal(f->problem.line, 0);
	if (f->is_error && found->errors++ == 0)
		strcpy(found->text, f->problem.text);
	found->warnings += !f->is_error;
}

static struct ag_cedar_schema *
read_schema(void)
{
	struct ag_cedar_schema *schema;
	struct ag_cedar_problem p;

	if (ag_cedar_schema_parse(schema_text, strlen(schema_text), TEST_MEMORY,
	    &schema, &p) != AG_CEDAR_OK)
		fail_msg("%u:%u %s", p.line, p.column, p.text);
	return schema;
}

static struct found
validate(const struct ag_cedar_schema *schema, const char *text)
{
	struct found found = { 0 };
	struct ag_cedar_set *set;
	char room[512];
	size_t errors;

	set = test_set(test_policy(text, room, sizeof(room)));
	assert_int_equal(ag_cedar_set_validate(set, schema, TEST_MEMORY,
	    on_finding, &found, &errors), AG_CEDAR_OK);
	assert_int_equal((int)errors, found.errors);
	ag_cedar_set_free(&set);
	return found;
}

static void
policies_are_checked(void **state)
{
	struct ag_cedar_schema *schema = read_schema();

	(void)state;
	for (size_t i = 0; i < sizeof(policies) / sizeof(policies[0]); i++) {
		struct found f = validate(schema, policies[i].text);

		if ((f.errors == 0) != (policies[i].errors == 0) ||
		    (f.errors != 0 && strstr(f.text, policies[i].says) == NULL))
			fail_msg("%s: %d errors: %s", policies[i].text, f.errors,
			    f.text);
	}
	ag_cedar_schema_free(&schema);
}

static void
what_never_applies_is_warned_of(void **state)
{
	struct ag_cedar_schema *schema = read_schema();

	(void)state;
	assert_int_equal(validate(schema, "W { false };").warnings, 1);
	assert_int_equal(validate(schema, "W { principal is Team };").warnings, 1);
	assert_int_equal(validate(schema, "W { true };").warnings, 0);
	ag_cedar_schema_free(&schema);
}

static const struct {
	const char *json;
	bool ok;
} entities[] = {
	{ "[]", true },
	{ "[{\"uid\":{\"type\":\"Human\",\"id\":\"a\"},\"attrs\":{\"age\":1,"
	    "\"at\":\"10.0.0.1\"},\"parents\":[]}]", true },
	{ "[{\"uid\":{\"type\":\"Human\",\"id\":\"a\"},\"attrs\":{\"age\":1,"
	    "\"at\":\"10.0.0\"},\"parents\":[]}]", false },
	{ "[{\"uid\":{\"type\":\"Human\",\"id\":\"a\"},\"attrs\":{\"age\":\"1\","
	    "\"at\":\"10.0.0.1\"},\"parents\":[]}]", false },
	{ "[{\"uid\":{\"type\":\"Human\",\"id\":\"a\"},\"attrs\":{\"age\":1},"
	    "\"parents\":[]}]", false },
	{ "[{\"uid\":{\"type\":\"Human\",\"id\":\"a\"},\"attrs\":{\"age\":1,"
	    "\"at\":\"::1\",\"x\":1},\"parents\":[]}]", false },
	{ "[{\"uid\":{\"type\":\"Human\",\"id\":\"a\"},\"attrs\":{\"age\":1,"
	    "\"at\":\"::1\"},\"parents\":[{\"type\":\"Team\",\"id\":\"t\"}],"
	    "\"tags\":{\"k\":\"v\"}}]", true },
	{ "[{\"uid\":{\"type\":\"Human\",\"id\":\"a\"},\"attrs\":{\"age\":1,"
	    "\"at\":\"::1\"},\"parents\":[{\"type\":\"Key\",\"id\":\"t\"}]}]",
	    false },
	{ "[{\"uid\":{\"type\":\"Human\",\"id\":\"a\"},\"attrs\":{\"age\":1,"
	    "\"at\":\"::1\"},\"parents\":[],\"tags\":{\"k\":1}}]", false },
	{ "[{\"uid\":{\"type\":\"Key\",\"id\":\"a\"},\"attrs\":{\"owner\":{"
	    "\"type\":\"Human\",\"id\":\"a\"},\"labels\":[\"x\"]},\"parents\":"
	    "[]}]", true },
	{ "[{\"uid\":{\"type\":\"Key\",\"id\":\"a\"},\"attrs\":{\"owner\":{"
	    "\"type\":\"Team\",\"id\":\"a\"},\"labels\":[\"x\"]},\"parents\":"
	    "[]}]", false },
	{ "[{\"uid\":{\"type\":\"Nobody\",\"id\":\"a\"},\"attrs\":{},\"parents\":"
	    "[]}]", false },
	{ "[{\"uid\":{\"type\":\"Color\",\"id\":\"red\"},\"attrs\":{},"
	    "\"parents\":[]}]", true },
	{ "[{\"uid\":{\"type\":\"Color\",\"id\":\"green\"},\"attrs\":{},"
	    "\"parents\":[]}]", false },
	{ "[{\"uid\":{\"type\":\"Action\",\"id\":\"sign\"},\"attrs\":{},"
	    "\"parents\":[{\"type\":\"Action\",\"id\":\"use\"}]}]", true },
	{ "[{\"uid\":{\"type\":\"Action\",\"id\":\"use\"},\"attrs\":{},"
	    "\"parents\":[{\"type\":\"Action\",\"id\":\"sign\"}]}]", false },
};

static void
entities_conform(void **state)
{
	struct ag_cedar_schema *schema = read_schema();
	struct ag_cedar_problem p;

	(void)state;
	for (size_t i = 0; i < sizeof(entities) / sizeof(entities[0]); i++) {
		struct ag_cedar_entities *e;
		enum ag_cedar_err err;

		assert_int_equal(ag_cedar_entities_new(TEST_MEMORY, &e),
		    AG_CEDAR_OK);
		err = ag_cedar_entities_json(e, schema, entities[i].json,
		    strlen(entities[i].json), &p);
		if ((err == AG_CEDAR_OK) != entities[i].ok)
			fail_msg("%s: %s", entities[i].json, p.text);
		ag_cedar_entities_free(&e);
	}
	ag_cedar_schema_free(&schema);
}

static void
requests_conform(void **state)
{
	static const struct {
		const char *json;
		bool ok;
	} requests[] = {
		{ "{\"principal\":{\"type\":\"Human\",\"id\":\"a\"},\"action\":{"
		    "\"type\":\"Action\",\"id\":\"sign\"},\"resource\":{\"type\":"
		    "\"Key\",\"id\":\"k\"},\"context\":{\"n\":1}}", true },
		{ "{\"principal\":{\"type\":\"Human\",\"id\":\"a\"},\"action\":{"
		    "\"type\":\"Action\",\"id\":\"sign\"},\"resource\":{\"type\":"
		    "\"Key\",\"id\":\"k\"},\"context\":{}}", false },
		{ "{\"principal\":{\"type\":\"Team\",\"id\":\"a\"},\"action\":{"
		    "\"type\":\"Action\",\"id\":\"sign\"},\"resource\":{\"type\":"
		    "\"Key\",\"id\":\"k\"},\"context\":{\"n\":1}}", false },
		{ "{\"principal\":{\"type\":\"Human\",\"id\":\"a\"},\"action\":{"
		    "\"type\":\"Action\",\"id\":\"use\"},\"resource\":{\"type\":"
		    "\"Key\",\"id\":\"k\"},\"context\":{\"n\":1}}", false },
		{ "{\"principal\":{\"type\":\"Human\",\"id\":\"a\"},\"action\":{"
		    "\"type\":\"Action\",\"id\":\"paint\"},\"resource\":{\"type\":"
		    "\"Color\",\"id\":\"green\"},\"context\":{}}", false },
	};
	struct ag_cedar_schema *schema = read_schema();
	struct ag_cedar_arena arena;
	struct ag_cedar_request r;
	struct ag_cedar_problem p;

	(void)state;
	ag_cedar_arena_init(&arena, TEST_MEMORY);
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		assert_int_equal(ag_cedar_request_json(&arena, requests[i].json,
		    strlen(requests[i].json), &r, &p), AG_CEDAR_OK);
		if ((ag_cedar_request_validate(schema, &r, &p) == AG_CEDAR_OK) !=
		    requests[i].ok)
			fail_msg("%s: %s", requests[i].json, p.text);
	}
	ag_cedar_arena_fini(&arena);
	ag_cedar_schema_free(&schema);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_as_the_reference),
		cmocka_unit_test(policies_are_checked),
		cmocka_unit_test(what_never_applies_is_warned_of),
		cmocka_unit_test(entities_conform),
		cmocka_unit_test(requests_conform),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
