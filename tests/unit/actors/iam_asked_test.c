/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked about policies, and changes nothing: lint and import, what is in
 * force, whether what was opened may go on, and why something is decided. */
#include "iam_fleet.h"

#include "iam.h"

/* "breaks" fails wherever it is asked: there is no such number. */
#define BOOK "@id(\"all\") permit (principal, action, resource);\n" \
	"@id(\"breaks\") forbid (principal, action == Aegis::Action::\"key.sign\"," \
	" resource) when { context.items + 9223372036854775807 > 0 };\n" \
	"@id(\"closed\") @reason(\"not today\") forbid (principal, " \
	"action == Aegis::Action::\"key.encrypt\", resource);\n" \
	"@id(\"busy\") forbid (principal, action == Aegis::Action::\"key.decrypt\"," \
	" resource) when { context.recent.minute > 5 || context.under_way > 3 };"

static struct fleet *f;

static int
setup(void **state)
{
	f = fleet_new(NULL);
	key(f, "default", INVOICE, "invoice", "env", "prod", false);
	return 0;
}

static int
teardown(void **state)
{
	fleet_free(f);
	return 0;
}

static void
policy(const char *name, const char *text)
{
	Ag__PolicySetAsk ask = AG__POLICY_SET_ASK__INIT;

	ask.text = (char *)text;
	expect(request(f, AG_MSG_POLICY_SET, ASK(.token = f->admin,
	    .selector = name), &ask), AG_OK, NULL);
}

/* ------------------------------------------------------------------- drafts */

static struct ended
lint(Ag__PolicyDraft **drafts, size_t count, bool alone)
{
	Ag__PolicyLintAsk ask = AG__POLICY_LINT_ASK__INIT;

	ask.documents = drafts;
	ask.n_documents = count;
	ask.has_alone = ask.alone = alone;
	return request(f, AG_MSG_POLICY_LINT, ASK(.token = f->admin), &ask);
}

static void
linted(struct ended e, bool clean, uint32_t policies, const char *rule)
{
	const Ag__PolicyLintReply *reply = e.reply;

	assert_int_equal(e.err, AG_OK);
	assert_non_null(reply);
	assert_int_equal(reply->clean, clean);
	assert_int_equal(reply->policies, policies);
	assert_int_equal(reply->n_findings == 0, clean);
	if (rule != NULL)
		assert_string_equal(reply->findings[0]->rule, rule);
	ended_free(&e);
}

/* Of what is in force, with the drafts in the place of those of their name. */
static void
test_lint(void **state)
{
	Ag__PolicyDraft a = AG__POLICY_DRAFT__INIT, b = AG__POLICY_DRAFT__INIT;
	Ag__PolicyDraft *drafts[] = { &a, &b }, many[AG_RULES_DOCS_MAX + 1],
	    *all[AG_RULES_DOCS_MAX + 1];
	char names[AG_RULES_DOCS_MAX + 1][16];

	linted(lint(NULL, 0, false), true, 0, NULL);
	policy("base", "@id(\"all\") permit (principal, action, resource);");
	linted(lint(NULL, 0, false), true, 1, NULL);
	a.name = (char *)"more";
	a.text = (char *)"@id(\"never\") permit (principal, action, resource) "
	    "when { context.items < 0 && context.items > 0 };";
	linted(lint(drafts, 1, false), false, 2, NULL);
	linted(lint(drafts, 1, true), false, 1, NULL);
	/* In the place of what is there; without text: as if it were gone. */
	a.name = (char *)"base";
	a.text = NULL;
	linted(lint(drafts, 1, false), true, 0, NULL);
	a.text = (char *)"permit (";
	linted(lint(drafts, 1, false), false, 0, NULL);
	/* Names that are none, or two of one. */
	a.name = b.name = (char *)"Base";
	expect(lint(drafts, 1, false), AG_INVALID_FIELD, "bad_alias");
	a.name = b.name = (char *)"base";
	expect(lint(drafts, 2, false), AG_INVALID_FIELD, "conflicting_fields");
	for (unsigned i = 0; i <= AG_RULES_DOCS_MAX; i++) {
		ag__policy_draft__init(&many[i]);
		snprintf(names[i], sizeof(names[i]), "doc-%u", i);
		many[i].name = names[i];
		many[i].text = (char *)"";
		all[i] = &many[i];
	}
	expect(lint(all, AG_RULES_DOCS_MAX + 1, true), AG_INVALID_FIELD,
	    "out_of_range");
}

static struct ended
import(const char *text)
{
	Ag__PolicyImportAsk ask = AG__POLICY_IMPORT_ASK__INIT;

	ask.text = (char *)text;
	return request(f, AG_MSG_POLICY_IMPORT, ASK(.token = f->admin), &ask);
}

static void
test_import(void **state)
{
	struct ended e = import("version: 1\nrules:\n  - name: a\n"
	    "    effect: allow\n    conditions: {users: alice}\n");
	const Ag__PolicyImportReply *reply = e.reply;

	assert_int_equal(e.err, AG_OK);
	assert_int_equal(reply->policies, 1);
	assert_non_null(strstr(reply->text, "principal in Aegis::Human::"));
	ended_free(&e);
	e = import("version: 1\nrules:\n  - name: a\n    effect: maybe\n"
	    "    conditions: {any: true}\n");
	assert_int_equal(e.err, AG_INVALID_FIELD);
	assert_string_equal(e.reason, "bad_policy");
	assert_string_equal(e.field, "/text");
	assert_memory_equal(e.outcome->refusal->detail, "4:", 2);
	ended_free(&e);
}

/* ----------------------------------------------------------------- in force */

static const struct ag_kit_sent *
ask_iam(uint16_t type, const void *body)
{
	Ag__Envelope env = AG__ENVELOPE__INIT;

	env.has_corr = true;
	env.corr = 7;
	ag_kit_deliver(f->kit, AG_ROLE_HISTORY, 0, type, &env, body);
	return ag_kit_next(f->kit);
}

static void
test_what_is_in_force(void **state)
{
	Ag__RulesAsk ask = AG__RULES_ASK__INIT;
	const struct ag_kit_sent *sent;
	const Ag__RulesReply *reply;

	policy("b", BOOK);
	policy("a", "permit (principal, action, resource);");
	policy("c", "permit (principal, action, resource);");
	because(f, AG_MSG_POLICY_DELETE, f->admin, "c", AG_OK, NULL);
	for (unsigned i = 0; i < 2; i++) {
		ask.tenant = (char *)(i == 0 ? "default" : "none-such");
		sent = ask_iam(AG_MSG_RULES_ASK, &ask);
		assert_non_null(sent);
		assert_int_equal(sent->type, AG_MSG_RULES_REPLY);
		reply = sent->body;
		assert_int_equal(reply->n_documents, i == 0 ? 2 : 0);
		if (i == 0) {
			assert_string_equal(reply->documents[0]->key, "a");
			assert_string_equal(reply->documents[1]->key, "b");
			assert_string_equal(reply->documents[1]->value, BOOK);
		}
	}
}

/* ---------------------------------------------------------------- standing */

/* May a stream of events that bob opened go on? */
static ag_err
stands(const char *who, const char *tenant, uint32_t kind, uint16_t operation)
{
	Ag__StandingAsk ask = AG__STANDING_ASK__INIT;
	const struct ag_kit_sent *sent;

	ask.actor_id = (char *)who;
	ask.tenant = (char *)tenant;
	ask.kind = kind;
	ask.op = (char *)"read";
	ask.has_operation = operation != 0;
	ask.operation = operation;
	ask.plane = ag_slot(ag_kit_ctx(f->kit), AG_ROLE_PLANE, 0);
	ask.credential_issued_at = ag_kit_now(f->kit) - 1000;
	sent = ask_iam(AG_MSG_STANDING_ASK, &ask);
	assert_non_null(sent);
	return sent->type == AG_MSG_DONE_REPLY ? AG_OK :
	    (ag_err)sent->env->status;
}

static void
test_standing(void **state)
{
	char *bob = person(f, f->admin, AG__KIND__V__human, "bob", "auditor");
	char *eve = person(f, f->admin, AG__KIND__V__human, "eve", "key-user");

	assert_int_equal(stands(bob, "default", AG_KIND_AUDIT, 0), AG_OK);
	assert_int_equal(stands(bob, "other", AG_KIND_AUDIT, 0),
	    AG_UNAUTHENTICATED);
	assert_int_equal(stands("hum_00000000000000000000000000000009",
	    "default", AG_KIND_AUDIT, 0), AG_UNAUTHENTICATED);
	assert_int_equal(stands(eve, "default", AG_KIND_AUDIT, 0),
	    AG_PERMISSION_DENIED);
	assert_int_equal(stands(bob, "default", AG_KIND_ANY, 0), AG_BAD_MESSAGE);
	/* Policies, where the tenant has some and they are asked. */
	assert_int_equal(stands(bob, "default", AG_KIND_AUDIT,
	    AG_MSG_AUDIT_STREAM), AG_OK);
	policy("base", "permit (principal, action, resource);");
	assert_int_equal(stands(bob, "default", AG_KIND_AUDIT,
	    AG_MSG_AUDIT_STREAM), AG_OK);
	assert_int_equal(stands(bob, "default", AG_KIND_AUDIT, 0xffff),
	    AG_BAD_MESSAGE);
	policy("base", "permit (principal, action, resource);\nforbid (principal "
	    "== Aegis::Human::\"bob\", action, resource);");
	assert_int_equal(stands(bob, "default", AG_KIND_AUDIT,
	    AG_MSG_AUDIT_STREAM), AG_PERMISSION_DENIED);
	assert_int_equal(stands(bob, "default", AG_KIND_AUDIT, 0), AG_OK);
	because(f, AG_MSG_PRINCIPAL_SUSPEND, f->admin, "bob", AG_OK, NULL);
	assert_int_not_equal(stands(bob, "default", AG_KIND_AUDIT, 0), AG_OK);
	free(bob);
	free(eve);
}

/* --------------------------------------------------------------------- why */

static struct ended
ask_why(uint16_t op, const char *action, const Ag__AuthzContext *context)
{
	Ag__AuthzCheckAsk ask = AG__AUTHZ_CHECK_ASK__INIT;

	ask.action = (char *)action;
	ask.resource = (char *)"invoice";
	ask.context = (Ag__AuthzContext *)(uintptr_t)context;
	return request(f, op, ASK(.token = f->admin), &ask);
}

static const char *
attribute(const Ag__AuthzExplainReply *reply, const char *name)
{
	for (size_t i = 0; i < reply->n_attributes; i++)
		if (strcmp(reply->attributes[i]->key, name) == 0)
			return reply->attributes[i]->value;
	return "-";
}

/* Which policies decided, which failed and where, and what they saw. */
static void
test_explained(void **state)
{
	Ag__AuthzContext context = AG__AUTHZ_CONTEXT__INIT;
	Ag__AuthzRecent recent = AG__AUTHZ_RECENT__INIT;
	const Ag__AuthzExplainReply *reply;
	struct ended e;

	policy("base", BOOK);
	e = ask_why(AG_MSG_AUTHZ_EXPLAIN, "key.sign", NULL);
	assert_int_equal(e.err, AG_OK);
	reply = e.reply;
	assert_true(reply->result->allowed);
	assert_int_equal(reply->n_policies, 2);
	assert_string_equal(reply->policies[0]->rule, "base/all");
	assert_string_equal(reply->policies[0]->said, "decided");
	assert_string_equal(reply->policies[0]->effect, "permit");
	assert_string_equal(reply->policies[1]->rule, "base/breaks");
	assert_string_equal(reply->policies[1]->said, "failed");
	assert_non_null(strstr(reply->policies[1]->detail, " at 2:"));
	assert_int_equal(reply->result->n_errors, 1);
	assert_string_equal(attribute(reply, "action"), "key.sign");
	assert_string_equal(attribute(reply, "resource tag env"), "prod");
	assert_string_equal(attribute(reply, "context.recent.minute"), "1");
	assert_string_equal(attribute(reply, "context.since_step_up"), "-");
	ended_free(&e);
	e = ask_why(AG_MSG_AUTHZ_EXPLAIN, "key.encrypt", NULL);
	reply = e.reply;
	assert_false(reply->result->allowed);
	assert_string_equal(reply->result->rule, "base/closed");
	assert_string_equal(reply->policies[0]->reason, "not today");
	assert_string_equal(reply->policies[0]->effect, "forbid");
	ended_free(&e);
	/* As if it had been used so often, and so much were under way. */
	context.recent = &recent;
	context.has_bytes = context.has_under_way = context.has_since_step_up_s =
	    context.has_since_approval_s = context.has_credential_age_s = true;
	context.bytes = 10;
	context.since_step_up_s = 2;
	context.since_approval_s = 3;
	context.credential_age_s = 4;
	context.source_address = (char *)"198.51.100.7";
	context.plane = (char *)"mcp";
	for (unsigned i = 0; i < 3; i++) {
		recent.has_minute = i == 1;
		recent.minute = 6;
		context.under_way = i == 2 ? 4 : 3;
		e = ask_why(AG_MSG_AUTHZ_EXPLAIN, "key.decrypt", &context);
		assert_int_equal(e.err, AG_OK);
		reply = e.reply;
		assert_int_equal(reply->result->allowed, i == 0);
		assert_string_equal(attribute(reply, "context.recent.minute"),
		    i == 1 ? "6" : "1");
		assert_string_equal(attribute(reply, "context.under_way"),
		    i == 2 ? "4" : "3");
		assert_string_equal(attribute(reply, "context.since_step_up"),
		    "2000ms");
		ended_free(&e);
	}
}

/* A policy that fails is named in the event, too, and skipped. */
static void
test_failed_at_the_station(void **state)
{
	struct ended e;
	Ag__EncryptAsk ask = AG__ENCRYPT_ASK__INIT;

	policy("base", BOOK);
	e = sign(f, f->admin, "invoice");
	assert_true(e.passed);
	assert_int_equal(e.grant->policy->n_failed, 1);
	assert_memory_equal(e.grant->policy->failed[0], "base/breaks: ", 13);
	ended_free(&e);
	ask.plaintext_b64.data = (uint8_t *)"x";
	ask.plaintext_b64.len = 1;
	e = request(f, AG_MSG_KEY_ENCRYPT, ASK(.token = f->admin,
	    .selector = "invoice"), &ask);
	assert_int_equal(e.err, AG_PERMISSION_DENIED);
	assert_string_equal(e.rule, "base/closed");
	assert_non_null(strstr(e.outcome->refusal->detail, "not today"));
	ended_free(&e);
}

/* What a name may be, and where one stands, as the station would say. */
static void
test_questions(void **state)
{
	Ag__AuthzCheckAsk ask = AG__AUTHZ_CHECK_ASK__INIT;
	Ag__AuthzContext context = AG__AUTHZ_CONTEXT__INIT;
	Ag__AgentIssueAsk issue;
	char *scopes[1] = { (char *)"key:invoice:sign" };
	char *near[1] = { (char *)"192.0.2.0/24" }, wide[80];
	struct ended e;

	memset(wide, 'x', 79);
	wide[79] = '\0';
	ask.action = (char *)"key.list";
	ask.resource = (char *)"invoice";
	expect(request(f, AG_MSG_AUTHZ_CHECK, ASK(.token = f->admin), &ask),
	    AG_INVALID_FIELD, "conflicting_fields");
	ask.action = (char *)"key.sign";
	ask.resource = wide;
	expect(request(f, AG_MSG_AUTHZ_CHECK, ASK(.token = f->admin), &ask),
	    AG_INVALID_FIELD, "out_of_range");
	ask.resource = (char *)"invoice";
	ask.principal = wide;
	expect(request(f, AG_MSG_AUTHZ_CHECK, ASK(.token = f->admin), &ask),
	    AG_INVALID_FIELD, "unknown_value");
	/* An agent that is bound to networks, asked from within and without. */
	issue = agent_ask(scopes, 1);
	issue.source_cidrs = near;
	issue.n_source_cidrs = 1;
	e = request(f, AG_MSG_AGENT_ISSUE, ASK(.token = f->admin), &issue);
	assert_int_equal(e.err, AG_OK);
	ask.principal = strdup(((Ag__AgentIssueReply *)e.reply)->agent_id);
	ended_free(&e);
	ask.context = &context;
	for (unsigned i = 0; i < 2; i++) {
		const Ag__AuthzCheckReply *reply;

		context.source_address = (char *)(i == 0 ? "192.0.2.9" :
		    "198.51.100.9");
		e = request(f, AG_MSG_AUTHZ_CHECK, ASK(.token = f->admin), &ask);
		reply = e.reply;
		assert_int_equal(reply->allowed, i == 0);
		if (i == 1)
			assert_string_equal(reply->reason_code, "source_address");
		ended_free(&e);
	}
	/* Only people may open glass, whatever it holds. */
	ask.action = (char *)"approval.approve";
	ask.resource = NULL;
	e = request(f, AG_MSG_AUTHZ_CHECK, ASK(.token = f->admin), &ask);
	if (e.err == AG_OK)
		assert_false(((Ag__AuthzCheckReply *)e.reply)->allowed);
	ended_free(&e);
	free(ask.principal);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_lint),
		TEST(test_import),
		TEST(test_what_is_in_force),
		TEST(test_standing),
		TEST(test_explained),
		TEST(test_failed_at_the_station),
		TEST(test_questions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
