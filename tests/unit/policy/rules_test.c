/* SPDX-License-Identifier: Apache-2.0 */
/* What Aegis makes of Cedar: the schema, what a document may say, decisions. */
#include "rules.h"
#include "vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct ag_cedar_schema *schema;
static _Alignas(16) uint8_t scratch[AG_RULES_SCRATCH];

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

/* ------------------------------------------------------------------ schema */

static void
test_schema(void **state)
{
	static const struct {
		const char *operation, *group;
	} rows[] = {
		{ "key.sign", "use" }, { "key.random", "use" },
		{ "key.verify", "use" }, { "key.read", "read" },
		{ "key.list", "read" }, { "key.create", "manage" },
		{ "key.destroy", "destroy" }, { "key.cancel-destroy", "manage" },
		{ "principal.delete", "destroy" }, { "agent.revoke", "manage" },
		{ "audit.query", "read" }, { "system.dismiss", "manage" },
		{ "principal.whoami", NULL }, { "policy.update", NULL },
		{ "key.batch", NULL }, { "key.sing", NULL }, { "", NULL },
	};
	char *text = ag_rules_schema_text();

	assert_non_null(text);
	assert_non_null(strstr(text, "entity Agent in [Agent, Human, Service]"));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *group = NULL;

		assert_int_equal(ag_rules_action_group(rows[i].operation, &group),
		    rows[i].group != NULL);
		if (rows[i].group != NULL)
			assert_string_equal(group, rows[i].group);
	}
	free(text);
}

/* --------------------------------------------------------------- documents */

static struct ag_rules_findings *
check(const char *text)
{
	static struct ag_rules_findings found;
	struct ag_rules_doc doc = { "doc", text, strlen(text) };

	assert_int_equal(ag_rules_check(schema, &doc, &found), AG_CEDAR_OK);
	return &found;
}

#define ALL "permit (principal, action, resource)"

static void
test_documents(void **state)
{
	static const struct {
		const char *text;
		const char *error; /* NULL: good */
		unsigned line, column;
	} rows[] = {
		{ ALL ";", NULL, 0, 0 },
		{ "@id(\"a.b-c_1\") @reason(\"why\") @description(\"x\") " ALL ";",
		    NULL, 0, 0 },
		{ "@step_up(\"totp\") " ALL ";", NULL, 0, 0 },
		{ "\n @id(\"\") " ALL ";", "@id is", 2, 2 },
		{ "@id(\"A\") " ALL ";", "@id is", 1, 1 },
		{ "@id(\"7\") " ALL ";", "not a number", 1, 1 },
		{ "@id " ALL ";", "@id is", 1, 1 },
		{ "@id(\"a/b\") " ALL ";", "@id is", 1, 1 },
		{ "@id(\"x\") " ALL ";\n@id(\"x\") " ALL ";", "same @id", 2, 1 },
		{ "@reason(\"a\\nb\") " ALL ";", "@reason has", 1, 1 },
		{ "@reason " ALL ";", "@reason has", 1, 1 },
		{ "@step_up " ALL ";", "@step_up is", 1, 1 },
		{ "@step_up(\"TOTP\") " ALL ";", "@step_up is", 1, 1 },
		{ "@step_up(\"totp\") forbid (principal, action, resource);",
		    "stands at a permit", 1, 1 },
		{ "@approval(\"a\") " ALL ";", NULL, 0, 0 },
		{ "@approval(\"sre-leads, quorum 2, window 15m\") " ALL ";", NULL, 0, 0 },
		{ "@approval " ALL ";", "@approval is", 1, 1 },
		{ "@approval(\"a, quorum 0\") " ALL ";", "@approval is", 1, 1 },
		{ "@approval(\"a\") forbid (principal, action, resource);",
		    "stands at a permit", 1, 1 },
		{ "@overridable " ALL ";", "@overridable stands at", 1, 1 },
		{ "@overridable(\"x\") forbid (principal, action, resource);",
		    "@overridable stands alone", 1, 1 },
		{ "@overridable forbid (principal, action, resource);", NULL, 0, 0 },
		{ "@overridable @approval(\"a\") " ALL ";", NULL, 0, 0 },
		{ "@require_session " ALL ";", NULL, 0, 0 },
		{ "@require_session(\"yes\") " ALL ";", "stands alone", 1, 1 },
		{ "@require_session forbid (principal, action, resource);",
		    "stands at a permit", 1, 1 },
		{ "@constraint(\"rate\") forbid (principal, action, resource);", NULL, 0, 0 },
		{ "@constraint(\"speed\") forbid (principal, action, resource);",
		    "@constraint is", 1, 1 },
		{ "@constraint forbid (principal, action, resource);",
		    "@constraint is", 1, 1 },
		{ "@constraint(\"rate\") " ALL ";", "stands at a forbid", 1, 1 },
		{ "@timeout(\"10ms\") " ALL ";", NULL, 0, 0 },
		{ "@timeout(\"60s\") " ALL ";", NULL, 0, 0 },
		{ "@timeout(\"9ms\") " ALL ";", "@timeout is", 1, 1 },
		{ "@timeout(\"61s\") " ALL ";", "@timeout is", 1, 1 },
		{ "@timeout(\"1m\") " ALL ";", "@timeout is", 1, 1 },
		{ "@timeout(\"2\") " ALL ";", "@timeout is", 1, 1 },
		{ "@timeout(\"2s\") forbid (principal, action, resource);",
		    "stands at a permit", 1, 1 },
		{ "@max_ttl(\"15m\") " ALL ";", NULL, 0, 0 },
		{ "@max_ttl(\"60s\") " ALL ";", NULL, 0, 0 },
		{ "@max_ttl(\"30d\") " ALL ";", NULL, 0, 0 },
		{ "@max_ttl(\"59s\") " ALL ";", "@max_ttl is", 1, 1 },
		{ "@max_ttl(\"31d\") " ALL ";", "@max_ttl is", 1, 1 },
		{ "@max_ttl(\"0m\") " ALL ";", "@max_ttl is", 1, 1 },
		{ "@max_ttl(\"15\") " ALL ";", "@max_ttl is", 1, 1 },
		{ "@max_ttl(\"15ms\") " ALL ";", "@max_ttl is", 1, 1 },
		{ "@max_ttl(\"15m \") " ALL ";", "@max_ttl is", 1, 1 },
		{ "@max_ttl(\"-15m\") " ALL ";", "@max_ttl is", 1, 1 },
		{ "@max_ttl(\"99999999999s\") " ALL ";", "@max_ttl is", 1, 1 },
		{ "@max_ttl " ALL ";", "@max_ttl is", 1, 1 },
		{ "@max_ttl(\"15m\") forbid (principal, action, resource);",
		    "stands at a permit", 1, 1 },
		{ "@max_ttl(\"15m\") permit (principal, action == "
		    "Aegis::Action::\"agent.issue\", resource);", NULL, 0, 0 },
		{ "@max_ttl(\"15m\") permit (principal, action in "
		    "Aegis::Action::\"manage\", resource);", NULL, 0, 0 },
		{ "@max_ttl(\"15m\") permit (principal, action == "
		    "Aegis::Action::\"key.sign\", resource);",
		    "not about agent.issue", 1, 1 },
		{ "@setp_up(\"totp\") " ALL ";", "means nothing", 1, 1 },
		{ "permit (principal == ?principal, action, resource);",
		    "templates", 0, 0 },
		{ "", "no policy", 0, 0 },
		{ ALL, "", 1, 37 },
		{ ALL " when { resource.alias == \"x\" };", "alias", 1, 54 },
		{ ALL " when { resource is Aegis::Key && resource has alias && "
		    "resource.alias == \"x\" };", NULL, 0, 0 },
		{ ALL " when { context.source.isInRange(ip(\"10.0.0.0/8\")) };",
		    NULL, 0, 0 },
		{ ALL " when { context.source == ip(\"10.0.0.0/99\") };", "is none", 1, 63 },
		{ "permit (principal == User::\"x\", action, resource);", "User", 1,
		    9 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct ag_rules_findings *f = check(rows[i].text);

		if ((rows[i].error == NULL) != (f->errors == 0))
			fail_msg("row %zu: %zu errors: %s", i, f->errors,
			    f->count == 0 ? "" : f->items[0].text);
		if (rows[i].error == NULL)
			continue;
		if (strstr(f->items[0].text, rows[i].error) == NULL ||
		    f->items[0].line != rows[i].line ||
		    (rows[i].column != f->items[0].column))
			fail_msg("row %zu: %u:%u: %s", i, f->items[0].line,
			    f->items[0].column, f->items[0].text);
	}
}

/* However many warnings there are, an error is among what is shown. */
static void
test_errors_are_shown(void **state)
{
	static char text[40000];
	const struct ag_rules_findings *f;
	size_t at = 0;
	bool seen = false;

	for (int i = 0; i < 100; i++)
		at += (size_t)sprintf(text + at, "permit (principal, action == "
		    "Aegis::Action::\"key.sign\", resource is Aegis::Tool);\n");
	(void)sprintf(text + at, "permit (principal, action, resource) "
	    "when { principal.nothing };");
	f = check(text);
	assert_true(f->count <= AG_RULES_FINDINGS_MAX && f->errors > 0);
	for (size_t i = 0; i < f->count; i++)
		seen = seen || f->items[i].is_error;
	assert_true(seen);
}

static void
test_too_long(void **state)
{
	static char text[AG_RULES_TEXT_MAX + 2];

	memset(text, ' ', AG_RULES_TEXT_MAX + 1);
	assert_int_equal(check(text)->errors, 1);
	memcpy(text, ALL ";", sizeof(ALL ";") - 1);
	text[AG_RULES_TEXT_MAX] = '\0';
	assert_int_equal(check(text)->errors, 0);
}

/* --------------------------------------------------------------- decisions */

static struct ag_rules_ask
sign_of_an_agent(void)
{
	static const char *const roles[] = { "key-user" };
	static const struct ag_rules_label labels[] = { { "env", "prod" } };

	return (struct ag_rules_ask){ .tenant = "default",
		.action = "key.sign", .principal = { .links = {
		{ AG_RULES_AGENT, "agt_1", "clerk", "model-x" },
		{ AG_RULES_AGENT, "agt_0", "boss", NULL },
		{ AG_RULES_HUMAN, "hum_1", "alice", NULL } }, .count = 3,
		.roles = roles, .role_count = 1 }, .resource = {
		.about = AG_RULES_KEY, .id = "key_1", .name = "payroll",
		.spec = "EC_P256", .labels = labels, .label_count = 1 },
		.at_ms = INT64_C(1700000000000), .source = "10.1.2.3",
		.plane = "rest", .credential_age_ms = 5000, .items = 1 };
}

static void
decide(const char *text, const struct ag_rules_ask *ask,
    enum ag_rules_decision want, const char *rule)
{
	struct ag_rules_doc doc = { "d", text, strlen(text) };
	struct ag_rules *rules;
	struct ag_rules_answer a;

	assert_int_equal(ag_rules_new(&doc, 1, &rules), AG_CEDAR_OK);
	ag_rules_decide(rules, ask, scratch, &a);
	if (a.decision != want || (rule == NULL) != (a.rule == NULL) ||
	    (rule != NULL && strcmp(rule, a.rule) != 0))
		fail_msg("%s: %s by %s", text, ag_rules_decision_name(a.decision),
		    a.rule == NULL ? "nothing" : a.rule);
	ag_rules_free(&rules);
}

/* deny > step_up > allow, whatever the order of the policies. */
static void
test_lattice(void **state)
{
	static const struct {
		const char *texts[3];
		enum ag_rules_decision want;
		const char *rule;
	} rows[] = {
		{ { "", "", "" }, AG_RULES_DENY, NULL },
		{ { "@id(\"p\")" ALL ";", "", "" }, AG_RULES_ALLOW, "d/p" },
		{ { "@id(\"p\")" ALL ";", "@id(\"s\")@step_up(\"totp\")" ALL ";",
		    "" }, AG_RULES_STEP_UP, "d/s" },
		{ { "@id(\"p\")" ALL ";", "@id(\"s\")@step_up(\"totp\")" ALL ";",
		    "@id(\"f\") forbid(principal,action,resource);" },
		    AG_RULES_DENY, "d/f" },
		{ { "@id(\"s\")@step_up(\"totp\")" ALL " when { false };",
		    "@id(\"p\")" ALL ";", "" }, AG_RULES_ALLOW, "d/p" },
		{ { "@id(\"f\") forbid(principal,action,resource) when "
		    "{ 9223372036854775807 + context.items > 0 };",
		    "@id(\"p\")" ALL ";", "" }, AG_RULES_ALLOW, "d/p" },
		{ { "@id(\"p\")" ALL ";", "@id(\"s\")@step_up(\"totp\")" ALL ";",
		    "@id(\"a\")@approval(\"x\")" ALL ";" }, AG_RULES_APPROVAL,
		    "d/a" },
		{ { "@id(\"p\")" ALL ";", "@id(\"a\")@approval(\"x\")" ALL ";",
		    "@id(\"f\") forbid(principal,action,resource);" },
		    AG_RULES_DENY, "d/f" },
		{ { "@id(\"a\")@approval(\"x\")" ALL " when { false };",
		    "@id(\"p\")" ALL ";", "" }, AG_RULES_ALLOW, "d/p" },
	};
	static const int orders[6][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
		{ 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };
	struct ag_rules_ask ask = sign_of_an_agent();

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (size_t k = 0; k < 6; k++) {
			char text[1024];

			(void)snprintf(text, sizeof(text), "%s%s%s",
			    rows[i].texts[orders[k][0]],
			    rows[i].texts[orders[k][1]],
			    rows[i].texts[orders[k][2]]);
			decide(text, &ask, rows[i].want, rows[i].rule);
		}
}

/* The order in which policies are written decides nothing: a thousand shuffles
 * of a dozen, of which some permit, some want more, some forbid, some fail. */
static void
test_shuffled(void **state)
{
	static const char *const policies[] = {
		"@id(\"p1\")" ALL " when { context.items < 3 };",
		"@id(\"p2\")" ALL " when { context.items > 1 };",
		"@id(\"p3\") permit(principal in Aegis::Human::\"alice\", action, resource);",
		"@id(\"s1\")@step_up(\"totp\")" ALL " when { context.items == 2 };",
		"@id(\"s2\")@step_up(\"totp\")" ALL " when { context.items > 5 };",
		"@id(\"a1\")@approval(\"x\")" ALL " when { context.items == 3 };",
		"@id(\"a2\")@approval(\"y\")" ALL " when { context.items > 6 };",
		"@id(\"f1\") forbid(principal,action,resource) when { context.items == 4 };",
		"@id(\"f2\") forbid(principal,action,resource) when { context.items > 7 };",
		"@id(\"e1\") forbid(principal,action,resource) when "
		    "{ 9223372036854775807 + context.items > 0 };",
		"@id(\"e2\") permit(principal,action,resource) when "
		    "{ 9223372036854775807 + context.items > 0 };",
		"@id(\"n1\") permit(principal == Aegis::Human::\"nobody\", action, resource);",
	};
	enum { POLICIES = sizeof(policies) / sizeof(policies[0]), ASKS = 10 };
	enum ag_rules_decision want[ASKS] = { AG_RULES_DENY };
	unsigned order[POLICIES], seen[8] = { 0 };
	struct ag_rules_ask ask = sign_of_an_agent();
	uint64_t seed = 7;

	for (unsigned i = 0; i < POLICIES; i++)
		order[i] = i;
	for (unsigned round = 0; round <= 1000; round++) {
		char text[4096] = "";
		struct ag_rules_doc doc = { "d", text, 0 };
		struct ag_rules *rules;

		for (unsigned i = 0; i < POLICIES; i++)
			strcat(text, policies[order[i]]);
		doc.len = strlen(text);
		assert_int_equal(ag_rules_new(&doc, 1, &rules), AG_CEDAR_OK);
		for (unsigned k = 0; k < ASKS; k++) {
			struct ag_rules_answer a;

			ask.items = k + 1;
			ag_rules_decide(rules, &ask, scratch, &a);
			if (round == 0)
				want[k] = a.decision;
			else if (a.decision != want[k])
				fail_msg("round %u, items %u: %s, was %s", round,
				    k + 1, ag_rules_decision_name(a.decision),
				    ag_rules_decision_name(want[k]));
			seen[a.decision]++;
		}
		ag_rules_free(&rules);
		for (unsigned i = POLICIES - 1; i > 0; i--) {
			unsigned k, was = order[i];

			seed = seed * UINT64_C(6364136223846793005) + 1;
			k = (unsigned)(seed >> 33) % (i + 1);
			order[i] = order[k];
			order[k] = was;
		}
	}
	/* Every kind of answer was among them. */
	assert_true(seen[AG_RULES_DENY] > 0 && seen[AG_RULES_STEP_UP] > 0 &&
	    seen[AG_RULES_APPROVAL] > 0 && seen[AG_RULES_ALLOW] > 0);
}

/* What @approval says, and nothing that only looks like it. */
static void
test_needs(void **state)
{
	static const struct {
		const char *text, *group; /* NULL: refused */
		unsigned quorum, window_s;
	} rows[] = {
		{ "leads", "leads", 1, 0 },
		{ "sre-leads, quorum 2", "sre-leads", 2, 0 },
		{ "a, quorum 10, window 90s", "a", 10, 90 },
		{ "a, window 15m", "a", 1, 900 },
		{ "a, window 1d", "a", 1, 86400 },
		{ "", NULL, 0, 0 }, { "A", NULL, 0, 0 }, { "-a", NULL, 0, 0 },
		{ "a ", NULL, 0, 0 }, { "a,quorum 2", NULL, 0, 0 },
		{ "a, quorum", NULL, 0, 0 }, { "a, quorum 11", NULL, 0, 0 },
		{ "a, quorum 2 ", NULL, 0, 0 }, { "a, quorum -1", NULL, 0, 0 },
		{ "a, quorum 2x", NULL, 0, 0 }, { "a, window 0s", NULL, 0, 0 },
		{ "a, window 25h", NULL, 0, 0 }, { "a, window 86400d", NULL, 0, 0 },
		{ "a, window 15", NULL, 0, 0 }, { "a, window 15m, quorum 2", NULL, 0, 0 },
		{ "a, window 1s, window 1s", NULL, 0, 0 }, { "a, ", NULL, 0, 0 },
		{ "a, quorum 1, window 1s, x", NULL, 0, 0 },
		{ "a, quorum 99999999999999999999", NULL, 0, 0 },
	};
	struct ag_rules_need need = { .quorum = 0 };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool good = ag_rules_need_parse(rows[i].text,
		    strlen(rows[i].text), &need);

		if (good != (rows[i].group != NULL) || (good &&
		    (strcmp(need.group, rows[i].group) != 0 ||
		    need.quorum != rows[i].quorum ||
		    need.window_s != rows[i].window_s)))
			fail_msg("%s: %d %s %u %u", rows[i].text, good, need.group,
			    need.quorum, need.window_s);
	}
	assert_false(ag_rules_need_parse("a\0b", 3, &need));
}

/* Of several permits all needs count, of one group the stricter word; a second
 * factor besides; and what nobody can ask for is denied. */
static void
test_needs_add_up(void **state)
{
	static const char text[] =
	    "@approval(\"a, window 10m\")" ALL ";"
	    "@approval(\"a, quorum 2, window 5m\")" ALL ";"
	    "@approval(\"b\")" ALL ";@step_up(\"totp\")" ALL ";";
	struct ag_rules_doc doc = { "d", text, strlen(text) };
	struct ag_rules_ask ask = sign_of_an_agent();
	struct ag_rules_answer a;
	struct ag_rules *rules;

	assert_int_equal(ag_rules_new(&doc, 1, &rules), AG_CEDAR_OK);
	ag_rules_decide(rules, &ask, scratch, &a);
	assert_int_equal(a.decision, AG_RULES_APPROVAL);
	assert_true(a.step_up);
	assert_int_equal(a.need_count, 2);
	for (size_t i = 0; i < a.need_count; i++)
		if (strcmp(a.needs[i].group, "a") == 0) {
			assert_int_equal(a.needs[i].quorum, 2);
			assert_int_equal(a.needs[i].window_s, 300);
			assert_string_equal(a.needs[i].rule, "d/1");
		} else {
			assert_int_equal(a.needs[i].quorum, 1);
			assert_int_equal(a.needs[i].window_s, 0);
		}
	ag_rules_free(&rules);
	decide("@approval(\"a\")" ALL ";@approval(\"b\")" ALL ";@approval(\"c\")"
	    ALL ";@approval(\"d\")" ALL ";@id(\"e\")@approval(\"e\")" ALL ";", &ask,
	    AG_RULES_DENY, "d/e");
}

/* A broken glass takes away what says so, and nothing else; it gives nothing. */
static void
test_override(void **state)
{
#define SOFT "@id(\"soft\")@overridable forbid(principal,action,resource);"
#define HARD "@id(\"hard\")forbid(principal,action,resource);"
	static const struct {
		const char *text;
		enum ag_rules_decision without, with;
		const char *rule; /* with */
		bool overridden;
	} rows[] = {
		{ "@id(\"p\")" ALL ";" SOFT, AG_RULES_DENY, AG_RULES_ALLOW, "d/p", true },
		{ "@id(\"p\")" ALL ";" SOFT HARD, AG_RULES_DENY, AG_RULES_DENY, "d/soft", false },
		{ SOFT, AG_RULES_DENY, AG_RULES_DENY, "d/soft", false },
		{ "@id(\"p\")" ALL " when { false };" SOFT, AG_RULES_DENY, AG_RULES_DENY, "d/soft", false },
		{ "", AG_RULES_DENY, AG_RULES_DENY, NULL, false },
		{ "@id(\"s\")@step_up(\"totp\")" ALL ";" SOFT, AG_RULES_DENY, AG_RULES_STEP_UP, "d/s", true },
		{ "@id(\"a\")@approval(\"x\")" ALL ";" SOFT, AG_RULES_DENY, AG_RULES_APPROVAL, "d/a", true },
		{ "@id(\"a\")@overridable @approval(\"x\")" ALL ";", AG_RULES_APPROVAL, AG_RULES_ALLOW, "d/a", true },
		{ "@id(\"a\")@overridable @approval(\"x\")" ALL ";@id(\"b\")@approval(\"y\")" ALL ";",
		    AG_RULES_APPROVAL, AG_RULES_APPROVAL, "d/b", true },
		{ "@id(\"p\")" ALL ";", AG_RULES_ALLOW, AG_RULES_ALLOW, "d/p", false },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ag_rules_doc doc = { "d", rows[i].text, strlen(rows[i].text) };
		struct ag_rules_ask ask = sign_of_an_agent();
		struct ag_rules_answer a;
		struct ag_rules *rules;

		assert_int_equal(ag_rules_new(&doc, rows[i].text[0] == '\0' ? 0 : 1,
		    &rules), AG_CEDAR_OK);
		assert_int_equal(ag_rules_overridable(rules),
		    strstr(rows[i].text, "@overridable") != NULL);
		ag_rules_decide(rules, &ask, scratch, &a);
		assert_int_equal(a.decision, rows[i].without);
		assert_false(a.overridden);
		ask.break_glass = true;
		ag_rules_decide(rules, &ask, scratch, &a);
		if (a.decision != rows[i].with || a.overridden != rows[i].overridden ||
		    (rows[i].rule != NULL && strcmp(a.rule, rows[i].rule) != 0))
			fail_msg("row %zu: %s by %s", i,
			    ag_rules_decision_name(a.decision),
			    a.rule == NULL ? "nothing" : a.rule);
		ag_rules_free(&rules);
	}
#undef SOFT
#undef HARD
}

/* Nothing stands for a credential that is kept here: neither a yes of people,
 * nor a second factor, nor a broken glass. */
static void
test_sessions(void **state)
{
#define OURS "@id(\"ours\")@require_session "
	static const struct {
		const char *text;
		enum ag_rules_decision kept;
	} rows[] = {
		{ OURS ALL ";", AG_RULES_ALLOW },
		{ "@id(\"p\")" ALL ";" OURS ALL ";", AG_RULES_ALLOW },
		{ OURS "@approval(\"x\")@overridable " ALL ";", AG_RULES_ALLOW },
		{ OURS "@step_up(\"totp\")" ALL ";", AG_RULES_STEP_UP },
		{ OURS ALL ";@overridable forbid(principal,action,resource);",
		    AG_RULES_ALLOW },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ag_rules_doc doc = { "d", rows[i].text, strlen(rows[i].text) };
		struct ag_rules_ask ask = sign_of_an_agent();
		struct ag_rules_answer a;
		struct ag_rules *rules;

		assert_int_equal(ag_rules_new(&doc, 1, &rules), AG_CEDAR_OK);
		ask.break_glass = true;
		ask.tracked = true;
		ag_rules_decide(rules, &ask, scratch, &a);
		assert_int_equal(a.decision, rows[i].kept);
		ask.tracked = false;
		ag_rules_decide(rules, &ask, scratch, &a);
		assert_int_equal(a.decision, AG_RULES_DENY);
		assert_string_equal(a.rule, "d/ours");
		assert_string_equal(a.reason_code, "session_required");
		assert_int_equal(a.need_count, 0);
		ag_rules_free(&rules);
	}
#undef OURS
}

/* Each attribute of the entities and of the context is what was asked. */
static void
test_what_policies_see(void **state)
{
	static const char *const yes[] = {
		"principal == Aegis::Agent::\"agt_1\"",
		"principal in Aegis::Agent::\"agt_0\"",
		"principal in Aegis::Human::\"alice\"",
		"principal in Aegis::Role::\"key-user\"",
		"principal is Aegis::Agent",
		"principal.id == \"agt_1\" && principal.label == \"clerk\"",
		"principal.depth == 2 && principal.model == \"model-x\"",
		"principal.tenant == \"default\"",
		"action in Aegis::Action::\"use\"",
		"resource == Aegis::Key::\"payroll\"",
		"resource.id == \"key_1\" && resource.alias == \"payroll\"",
		"resource.spec == \"EC_P256\" && resource.tenant == \"default\"",
		"resource.hasTag(\"env\") && resource.getTag(\"env\") == \"prod\"",
		"context.at == datetime(\"2023-11-14T22:13:20Z\")",
		"context.source == ip(\"10.1.2.3\")",
		"context.plane == \"rest\" && context.items == 1",
		"context.credential_age == duration(\"5s\")",
		"!context.stepped_up",
	};
	static const char *const no[] = {
		"principal in Aegis::Human::\"alic\"",
		"principal in Aegis::Agent::\"agt_2\"",
		"principal in Aegis::Role::\"admin\"",
		"principal is Aegis::Human", "action in Aegis::Action::\"read\"",
		"resource == Aegis::Key::\"key_1\"", "resource.hasTag(\"team\")",
		"context.stepped_up",
	};
	struct ag_rules_ask ask = sign_of_an_agent();
	char text[256];

	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
		(void)snprintf(text, sizeof(text), ALL " when { %s };", yes[i]);
		decide(text, &ask, AG_RULES_ALLOW, "d/0");
	}
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
		(void)snprintf(text, sizeof(text), ALL " when { %s };", no[i]);
		decide(text, &ask, AG_RULES_DENY, NULL);
	}
}

/* What is not known is no reason to allow. */
static void
test_unknown(void **state)
{
	struct ag_rules_ask ask = sign_of_an_agent();

	ask.resource = (struct ag_rules_resource){ .about = AG_RULES_KEY,
		.unknown = true, .name = "payroll" };
	decide(ALL " when { resource == Aegis::Key::\"payroll\" };", &ask,
	    AG_RULES_ALLOW, "d/0");
	decide(ALL " when { resource.spec == \"EC_P256\" };", &ask,
	    AG_RULES_DENY, NULL);
	ask = sign_of_an_agent();
	ask.source = NULL;
	decide(ALL " when { context.source.isInRange(ip(\"0.0.0.0/0\")) };",
	    &ask, AG_RULES_DENY, NULL);
	decide("forbid (principal, action, resource) unless "
	    "{ context.source.isInRange(ip(\"10.0.0.0/8\")) };" ALL ";", &ask,
	    AG_RULES_DENY, "d/0");
	ask = sign_of_an_agent();
	ask.action = "key.fly";
	decide(ALL ";", &ask, AG_RULES_DENY, NULL);
	ask.action = "policy.update";
	decide(ALL ";", &ask, AG_RULES_DENY, NULL);
}

/* Who asks about oneself, and about somebody above. */
static void
test_parties(void **state)
{
	struct ag_rules_ask ask = sign_of_an_agent();

	ask.action = "agent.revoke";
	ask.resource = (struct ag_rules_resource){ .about = AG_RULES_PARTY,
		.party = ask.principal };
	decide(ALL " when { principal == resource };", &ask, AG_RULES_ALLOW,
	    "d/0");
	ask.resource.party.count = 1;
	ask.resource.party.links[0] = ask.principal.links[2];
	decide("permit (principal, action, resource == Aegis::Human::\"alice\") "
	    "when { principal in resource };", &ask, AG_RULES_ALLOW, "d/0");
	ask.action = "key.list";
	ask.resource = (struct ag_rules_resource){ .about = AG_RULES_TENANT };
	decide("permit (principal, action, resource == "
	    "Aegis::Tenant::\"default\");", &ask, AG_RULES_ALLOW, "d/0");
}

/* Two documents: their names keep policies apart; an empty set denies. */
static void
test_sets(void **state)
{
	struct ag_rules_doc docs[2] = { { "a", ALL ";", sizeof(ALL ";") - 1 },
		{ "b", ALL ";" ALL ";", 2 * (sizeof(ALL ";") - 1) } };
	struct ag_rules_ask ask = sign_of_an_agent();
	struct ag_rules_answer answer;
	struct ag_rules *rules;

	assert_int_equal(ag_rules_new(docs, 2, &rules), AG_CEDAR_OK);
	assert_int_equal(ag_rules_count(rules), 3);
	assert_string_equal(ag_rules_name(rules, 2), "b/1");
	ag_rules_free(&rules);
	assert_null(rules);
	assert_int_equal(ag_rules_new(NULL, 0, &rules), AG_CEDAR_OK);
	ag_rules_decide(rules, &ask, scratch, &answer);
	assert_int_equal(answer.decision, AG_RULES_DENY);
	ag_rules_free(&rules);
	docs[0].len = 4;
	assert_int_not_equal(ag_rules_new(docs, 1, &rules), AG_CEDAR_OK);
	assert_null(rules);
}

/* --------------------------------------------------------------- vectors */

static const char *vectors_file;

static void
bad_vector(void *arg, const struct ag_vector_result *r)
{
	if (!r->good)
		print_error("%s/%zu: want %s by %s, got %s by %s %s\n", r->name,
		    r->index, r->want == NULL ? "-" : r->want,
		    r->want_rule == NULL ? "any" : r->want_rule,
		    r->got == NULL ? "-" : r->got,
		    r->got_rule == NULL ? "none" : r->got_rule,
		    r->problem == NULL ? "" : r->problem);
}

/* The golden ones, which tests/vectors/make_policy.py made without us. */
static void
test_golden(void **state)
{
	static char text[1 << 20];
	struct ag_vector_sums sums = { 0 };
	char problem[256] = "";
	FILE *in = fopen(vectors_file, "r");
	size_t len;

	assert_non_null(in);
	len = fread(text, 1, sizeof(text), in);
	(void)fclose(in);
	if (!ag_vectors_run(schema, text, len, bad_vector, NULL, &sums, problem))
		fail_msg("%s", problem);
	assert_true(sums.cases >= 15 && sums.requests >= 300);
	assert_int_equal(sums.bad, 0);
}

/* A test that cannot be asked, or is not met, is bad; a file that is none is
 * refused. */
static void
test_bad_vectors(void **state)
{
	static const char world[] = "{\"world\":{\"principals\":{\"a\":{\"kind\":"
	    "\"human\"}}},\"cases\":[{\"name\":\"n\",\"policies\":{\"d\":"
	    "\"permit(principal,action,resource);\"},\"requests\":[%s]}]}";
	static const struct {
		const char *request;
		size_t bad;
	} rows[] = {
		{ "{\"principal\":\"a\",\"action\":\"key.list\",\"expect\":\"allow\"}", 0 },
		{ "{\"principal\":\"a\",\"action\":\"key.list\",\"expect\":\"deny\"}", 1 },
		{ "{\"principal\":\"a\",\"action\":\"key.list\",\"expect\":\"allow\",\"rule\":\"d/1\"}", 1 },
		{ "{\"principal\":\"b\",\"action\":\"key.list\",\"expect\":\"allow\"}", 1 },
		{ "{\"principal\":\"a\",\"action\":\"key.lost\",\"expect\":\"allow\"}", 1 },
		{ "{\"principal\":\"a\",\"action\":\"key.list\",\"expect\":\"allow\",\"contxt\":{}}", 1 },
		{ "{\"principal\":\"a\",\"action\":\"key.list\",\"expect\":\"allow\",\"context\":{\"at\":\"noon\"}}", 1 },
		{ "{\"principal\":\"a\",\"action\":\"key.list\",\"expect\":\"allow\",\"reason_code\":\"no_matching_rule\"}", 1 },
		{ "{\"principal\":\"a\",\"action\":\"key.list\",\"expect\":\"allow\",\"timeout_ms\":7}", 1 },
		{ "{\"principal\":\"a\",\"action\":\"key.list\",\"expect\":\"allow\",\"timeout_ms\":0}", 0 },
		{ "{\"principal\":\"a\",\"action\":\"key.list\",\"expect\":\"allow\",\"max_ttl_s\":7}", 1 },
		{ "{\"principal\":\"a\",\"action\":\"key.list\",\"expect\":\"allow\",\"max_ttl_s\":0}", 0 },
		{ "7", 1 },
		{ "", 1 },
	};
	struct ag_vector_sums sums;
	char text[1024], problem[256];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memset(&sums, 0, sizeof(sums));
		(void)snprintf(text, sizeof(text), world, rows[i].request);
		assert_true(ag_vectors_run(schema, text, strlen(text), NULL, NULL,
		    &sums, problem));
		if (sums.bad != rows[i].bad)
			fail_msg("row %zu: %zu bad", i, sums.bad);
	}
	assert_false(ag_vectors_run(schema, "{", 1, NULL, NULL, &sums, problem));
	assert_false(ag_vectors_run(schema, "{}", 2, NULL, NULL, &sums, problem));
}

int
main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_schema),
		cmocka_unit_test(test_documents),
		cmocka_unit_test(test_errors_are_shown),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_lattice),
		cmocka_unit_test(test_shuffled),
		cmocka_unit_test(test_needs),
		cmocka_unit_test(test_needs_add_up),
		cmocka_unit_test(test_override),
		cmocka_unit_test(test_sessions),
		cmocka_unit_test(test_what_policies_see),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_parties),
		cmocka_unit_test(test_sets),
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_bad_vectors),
	};

	vectors_file = argc > 1 ? argv[1] : "tests/vectors/policy.json";

	return cmocka_run_group_tests_name("policy_rules", tests, setup, teardown);
}
