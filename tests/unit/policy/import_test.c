/* SPDX-License-Identifier: Apache-2.0 */
/* Rules in YAML as Cedar: what they become, what is refused and where. */
#include "import.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define RULE(more) "version: 1\nrules:\n  - name: a\n    effect: allow\n" more
#define TWO(first, second) "version: 1\nrules:\n  - {name: a, " first "}\n" \
	"  - {name: b, " second "}\n"

static struct ag_cedar_schema *schema;

static int
setup(void **state)
{
	return ag_rules_schema_new(&schema) == AG_CEDAR_OK ? 0 : -1;
}

static int
teardown(void **state)
{
	ag_cedar_schema_free(&schema);
	return 0;
}

/* What was taken is valid as it stands. */
static void
is_valid(const char *text)
{
	struct ag_rules_doc doc = { "doc", text, strlen(text) };
	static struct ag_rules_findings found;

	assert_int_equal(ag_rules_check(schema, &doc, &found), AG_CEDAR_OK);
	if (found.count > 0)
		fail_msg("%s: %s", text, found.items[0].text);
}

static void
test_taken(void **state)
{
	static const struct {
		const char *yaml, *cedar; /* which is in it */
	} rows[] = {
		{ RULE("    conditions: {any: true}"),
		    "@id(\"a\")\npermit (principal, action, resource);\n" },
		{ RULE("    reason: because\n    conditions: {users: alice}"),
		    "@reason(\"because\")\npermit (principal, action, resource)\n"
		    "when { principal in Aegis::Human::\"alice\" };" },
		{ RULE("    conditions: {users: [a, b], roles: admin}"),
		    "when { (principal in Aegis::Human::\"a\" || principal in "
		    "Aegis::Human::\"b\" || principal in Aegis::Role::\"admin\") "
		    "};" },
		{ RULE("    conditions: {agents: agt_1, services: robot}"),
		    "principal in Aegis::Service::\"robot\" || principal in "
		    "Aegis::Agent::\"agt_1\"" },
		{ RULE("    conditions: {kinds: [human, service]}"),
		    "(principal is Aegis::Human || principal is Aegis::Service)" },
		{ RULE("    conditions: {actions: [key.sign, read]}"),
		    "action in [Aegis::Action::\"key.sign\", "
		    "Aegis::Action::\"read\"], resource);" },
		{ RULE("    conditions: {keys: [x, y]}"),
		    "resource is Aegis::Key)\nwhen { (resource == "
		    "Aegis::Key::\"x\" || resource == Aegis::Key::\"y\") };" },
		{ RULE("    conditions: {labels: {env: prod, team: hr}}"),
		    "resource.hasTag(\"env\") && resource.getTag(\"env\") == "
		    "\"prod\" && resource.hasTag(\"team\")" },
		{ RULE("    conditions: {plane: [mcp]}"),
		    "context.plane == \"mcp\"" },
		{ RULE("    conditions: {source: [10.0.0.0/8, '::1']}"),
		    "(context.source.isInRange(ip(\"10.0.0.0/8\")) || "
		    "context.source.isInRange(ip(\"::1\")))" },
		{ RULE("    conditions: {time: {days: mon-fri, hours: "
		    "'08:00-18:00'}}"), "[\"mon\", \"tue\", \"wed\", \"thu\", "
		    "\"fri\"].contains(context.weekday) && context.at.toTime() >= "
		    "duration(\"8h0m\") && context.at.toTime() < "
		    "duration(\"18h0m\")" },
		{ RULE("    conditions: {time: {days: [sun], hours: "
		    "'22:00-06:00', tz: UTC}}"), "(([\"sun\"]."
		    "contains(context.weekday) && context.at.toTime() >= "
		    "duration(\"22h0m\")) || ([\"mon\"].contains(context.weekday) "
		    "&& context.at.toTime() < duration(\"6h0m\")))" },
		{ RULE("    conditions: {stepped_up: true, max_credential_age: "
		    "15m}"), "context.credential_age <= duration(\"900s\") && "
		    "context.stepped_up" },
		{ TWO("effect: step_up, conditions: {actions: destroy}",
		    "effect: deny, conditions: {any: true}"),
		    "@step_up(\"totp\")\npermit (principal, action in "
		    "[Aegis::Action::\"destroy\"], resource);\n" },
		/* Their order does not matter: stricter first, or apart. */
		{ TWO("effect: deny, conditions: {kinds: agent}",
		    "effect: allow, conditions: {actions: use}"), "forbid" },
		{ TWO("effect: allow, conditions: {plane: rest}",
		    "effect: deny, conditions: {plane: mcp}"), "forbid" },
		{ TWO("effect: allow, conditions: {actions: key.sign}",
		    "effect: deny, conditions: {actions: read}"), "forbid" },
		{ TWO("effect: allow, conditions: {labels: {env: test}}",
		    "effect: deny, conditions: {labels: {env: prod}}"), "forbid" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ag_import out;

		assert_true(ag_import_yaml(rows[i].yaml, strlen(rows[i].yaml),
		    &out));
		if (out.text == NULL)
			fail_msg("%s: %s", rows[i].yaml, out.problem);
		if (strstr(out.text, rows[i].cedar) == NULL)
			fail_msg("%s became %s", rows[i].yaml, out.text);
		is_valid(out.text);
		free(out.text);
	}
}

static void
test_refused(void **state)
{
	static const struct {
		const char *yaml;
		uint32_t line;
		const char *problem;
	} rows[] = {
		{ "", 1, "it is empty" },
		{ "[", 2, "it is no YAML" },
		{ "a", 1, "the file is a mapping" },
		{ "version: 2\nrules: []", 1, "the version is 1" },
		{ "version: 1\nrules: []", 2, "a list of 1 to 500" },
		{ "version: 1", 1, "it has no rules" },
		{ "version: 1\nother: x", 2, "\"other\" is not known" },
		{ "version: 1\nversion: 1", 2, "is there twice" },
		{ "version: 1\nrules:\n  - x", 3, "a rule is a mapping" },
		{ "version: 1\nrules:\n  - {name: a}", 3, "a name and an effect" },
		{ "version: 1\nrules:\n  - {effect: allow}", 3,
		    "a name and an effect" },
		{ "version: 1\nrules:\n  - {name: A, effect: allow}", 3,
		    "a rule's name is" },
		{ "version: 1\nrules:\n  - {name: '7', effect: allow}", 3,
		    "a rule's name is" },
		{ "version: 1\nrules:\n  - {name: a, effect: permit}", 3,
		    "an effect is allow, step_up or deny" },
		{ "version: 1\nrules:\n  - {name: d, effect: deny, conditions: "
		    "{any: true}}", 1, "no rules beside the default" },
		{ RULE(""), 3, "a rule has conditions" },
		{ RULE("    conditions: {}"), 3, "a rule has conditions" },
		{ RULE("    conditions: {any: true, users: a}"), 3,
		    "stands alone" },
		{ RULE("    conditions: {any: false}"), 5, "any is true" },
		{ RULE("    max_duration: 15m\n    conditions: {any: true}"), 5,
		    "max_duration cannot be kept" },
		{ RULE("    conditions: {posture: {encrypted: true}}"), 5,
		    "the device of a caller is not known" },
		{ RULE("    conditions: {weather: rain}"), 5,
		    "\"weather\" is not known" },
		{ RULE("    conditions: {users: []}"), 5, "a list of 1 to 64" },
		{ RULE("    conditions: {users: [{a: b}]}"), 5,
		    "is none of users" },
		{ RULE("    conditions: {users: 'a\"b'}"), 5, "is none of users" },
		{ RULE("    conditions: {plane: [phone]}"), 5,
		    "\"phone\" is none of plane" },
		{ RULE("    conditions: {actions: key.sing}"), 5,
		    "\"key.sing\" is none of actions" },
		{ RULE("    conditions: {source: 10.0.0.300}"), 5,
		    "is none of source" },
		{ RULE("    conditions: {labels: {env: 'a\"b'}}"), 5,
		    "labels are" },
		{ RULE("    conditions: {time: {hours: '8-18'}}"), 5,
		    "is no time" },
		{ RULE("    conditions: {time: {hours: '08:00-18:00', tz: "
		    "Europe/Berlin}}"), 5, "policies know UTC only" },
		{ RULE("    conditions: {max_credential_age: soon}"), 5,
		    "an age is such as" },
		{ RULE("    reason: 'say \"x\"'\n    conditions: {any: true}"), 5,
		    "a reason is one line" },
		{ TWO("effect: allow, conditions: {any: true}",
		    "effect: deny, conditions: {kinds: agent}"), 4,
		    "the order of a and b matters" },
		{ TWO("effect: allow, conditions: {actions: [use]}",
		    "effect: deny, conditions: {actions: [key.sign]}"), 4,
		    "the order of a and b matters" },
		{ TWO("effect: allow, conditions: {users: alice}",
		    "effect: step_up, conditions: {actions: destroy}"), 4,
		    "put b first" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ag_import out;

		assert_true(ag_import_yaml(rows[i].yaml, strlen(rows[i].yaml),
		    &out));
		if (out.text != NULL || out.line != rows[i].line ||
		    strstr(out.problem, rows[i].problem) == NULL)
			fail_msg("%s: %u: %s", rows[i].yaml, out.line,
			    out.problem);
	}
}

static void
test_hostile(void **state)
{
	static const char laughs[] = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, "
	    "*b]\nversion: 1\nrules: *c\n";
	char *deep = calloc(1, 100001), *long_text = calloc(1, 300000);
	struct ag_import out;

	assert_true(ag_import_yaml(laughs, sizeof(laughs) - 1, &out));
	assert_null(out.text);
	memset(deep, '[', 100000);
	assert_true(ag_import_yaml(deep, 100000, &out));
	assert_null(out.text);
	assert_non_null(strstr(out.problem, "nested more than 32 deep"));
	memset(long_text, ' ', 299999);
	assert_true(ag_import_yaml(long_text, 299999, &out));
	assert_null(out.text);
	assert_non_null(strstr(out.problem, "too long"));
	assert_true(ag_import_yaml("version: \"1\\0\"", 14, &out));
	assert_null(out.text);
	free(deep);
	free(long_text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_taken),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
