/* SPDX-License-Identifier: Apache-2.0 */
/* Somebody else's policies are asked last, and only a clear yes counts. */
#include "iam_fleet.h"

#include "iam.h"

#include <jansson.h>

#define ALL "permit (principal, action, resource);"

static struct fleet *f;

static int
setup(void **state)
{
	f = fleet_new("opa: {url: \"http://127.0.0.1:1/v1/data/a\"}\n");
	key(f, "default", INVOICE, "invoice", "env", "prod", false);
	return 0;
}

static int
teardown(void **state)
{
	fleet_free(f);
	return 0;
}

/* Asks to sign; what is asked besides, NULL: nothing. */
static const struct ag_kit_sent *
asked(const char *token, const char *selector)
{
	Ag__SignAsk ask = sign_ask();
	struct asking a = ASK(.token = token, .selector = selector);
	uint8_t id[AG_UUID_BYTES];
	const struct ag_kit_sent *sent;

	deliver(f, AG_MSG_KEY_SIGN, &a, &ask, id);
	while ((sent = ag_kit_next(f->kit)) != NULL)
		if (sent->type == AG_MSG_EVALUATE_ASK)
			return sent;
	return NULL;
}

static void
answer(const struct ag_kit_sent *sent, bool allow, const char *id,
    const char *why)
{
	Ag__EvaluateReply reply = AG__EVALUATE_REPLY__INIT;

	reply.allow = allow;
	reply.decision_id = (char *)id;
	reply.why = (char *)why;
	ag_kit_answer(f->kit, sent, AG_MSG_EVALUATE_REPLY, &reply);
}

static struct ended
end(void)
{
	struct ended e = { 0 };

	play(f, AG_MSG_KEY_SIGN, &e);
	return e;
}

static void
refused(struct ended e, const char *reason)
{
	assert_int_equal(e.err, AG_PERMISSION_DENIED);
	assert_string_equal(e.reason, reason);
	assert_string_equal(e.rule, "opa");
	assert_non_null(e.grant);
	assert_string_equal(e.grant->resource_id, INVOICE);
	ended_free(&e);
}

static void
test_yes(void **state)
{
	const struct ag_kit_sent *sent = asked(f->admin, "invoice");
	const Ag__EvaluateAsk *ask;
	const char *action, *name, *env, *kind, *role;
	struct ended e;
	json_t *input;

	assert_non_null(sent);
	assert_int_equal(sent->to_role, AG_ROLE_EVALUATOR);
	ask = sent->body;
	input = json_loadb((const char *)ask->input.data, ask->input.len, 0,
	    NULL);
	assert_int_equal(json_unpack(input, "{s:{s:s,s:{s:s,s:{s:s}},s:{s:[{s:s}],"
	    "s:[s]}}}", "input", "action", &action, "resource", "name", &name,
	    "labels", "env", &env, "principal", "chain", "kind", &kind, "roles",
	    &role), 0);
	assert_string_equal(action, "key.sign");
	assert_string_equal(name, "invoice");
	assert_string_equal(env, "prod");
	assert_string_equal(kind, "human");
	assert_string_equal(role, "admin");
	json_decref(input);
	answer(sent, true, "dec-1", NULL);
	e = end();
	assert_int_equal(e.err, AG_OK);
	assert_true(e.passed);
	assert_string_equal(e.grant->decision_id, "dec-1");
	ended_free(&e);
}

static void
test_no(void **state)
{
	struct ended e;
	const struct ag_kit_sent *sent;

	answer(asked(f->admin, "invoice"), false, "dec-2", NULL);
	e = end();
	assert_string_equal(e.grant->decision_id, "dec-2");
	refused(e, "evaluator_denied");
	answer(asked(f->admin, "invoice"), false, NULL, "timeout");
	refused(end(), "evaluator_unavailable");
	/* It died, it is late, it is not there. */
	sent = asked(f->admin, "invoice");
	ag_kit_answer_error(f->kit, sent, AG_NOBODY, NULL);
	refused(end(), "evaluator_unavailable");
	assert_non_null(asked(f->admin, "invoice"));
	ag_kit_advance(f->kit, 74);
	assert_null(ag_kit_find(f->kit, AG_MSG_OUTCOME_EVENT));
	ag_kit_advance(f->kit, 10);
	refused(end(), "evaluator_unavailable");
}

/* Ours come first; what ours are not asked about is not asked there. */
static void
test_not_asked(void **state)
{
	Ag__PolicySetAsk ask = AG__POLICY_SET_ASK__INIT;

	ask.text = (char *)"forbid (principal, action, resource);";
	expect(request(f, AG_MSG_POLICY_SET, ASK(.token = f->admin,
	    .selector = "base"), &ask), AG_OK, NULL);
	expect(request(f, AG_MSG_WHOAMI, ASK(.token = f->admin), NULL), AG_OK,
	    NULL);
	assert_null(asked(f->admin, "invoice"));
	ask.text = (char *)ALL;
	expect(request(f, AG_MSG_POLICY_SET, ASK(.token = f->admin,
	    .selector = "base"), &ask), AG_OK, NULL);
	answer(asked(f->admin, "invoice"), true, NULL, NULL);
	expect(end(), AG_OK, NULL);
	/* What is not there is said before. */
	assert_null(asked(f->admin, "no-such-key"));
}

/* A credential that ends while it is thought about goes no further. */
static void
test_ended_meanwhile(void **state)
{
	struct agent a;
	const struct ag_kit_sent *sent;
	Ag__AgentStateFact gone = AG__AGENT_STATE_FACT__INIT;
	struct iam *iam = ag_kit_state(f->kit);
	char stream[80];
	struct ended e;

	iam->evaluates = false; /* while it is issued */
	a = agent_of(f, f->admin, "key:invoice:sign", 0);
	iam->evaluates = true;
	sent = asked(a.token, "invoice");
	assert_non_null(sent);
	gone.agent_id = a.id;
	gone.state = (char *)"revoked";
	gone.reason = (char *)"because";
	gone.at = ag_kit_now(f->kit);
	snprintf(stream, sizeof(stream), "agent:%s", a.id);
	fact(f, stream, 2, AG_MSG_AGENT_STATE_FACT, &gone);
	answer(sent, true, "dec-3", NULL);
	e = end();
	assert_int_equal(e.err, AG_UNAUTHENTICATED);
	assert_string_equal(e.reason, "token_revoked");
	ended_free(&e);
	agent_free(&a);
}

/* ------------------------------------------------------ what ends something */

static int
setup_hook(void **state)
{
	f = fleet_new("break_glass: {destructive: true}\nopa: {hook_url: "
	    "\"http://127.0.0.1:1/hook\", url: \"http://127.0.0.1:1/v1/data/a\"}\n");
	key(f, "default", INVOICE, "invoice", "env", "test", false);
	((struct iam *)ag_kit_state(f->kit))->evaluates = false;
	return 0;
}

/* Asks to destroy; who is asked besides. NULL: nobody, it wants a scope. */
static const struct ag_kit_sent *
destroying(const char *token)
{
	Ag__KeyDestroyAsk ask = AG__KEY_DESTROY_ASK__INIT;
	struct asking a = ASK(.token = token, .selector = "invoice");
	uint8_t id[AG_UUID_BYTES];
	const struct ag_kit_sent *sent;

	ask.reason = (char *)"old";
	deliver(f, AG_MSG_KEY_DESTROY, &a, &ask, id);
	while ((sent = ag_kit_next(f->kit)) != NULL) {
		const Ag__OutcomeEvent *out = sent->body;

		if (sent->type == AG_MSG_EVALUATE_ASK)
			return sent;
		if (sent->type != AG_MSG_OUTCOME_EVENT)
			continue;
		assert_non_null(out->refusal);
		assert_string_equal(out->refusal->reason_code,
		    "break_glass_scope_missing");
		assert_string_equal(out->refusal->rule, "break-glass");
		return NULL;
	}
	fail();
	return NULL;
}

static struct ended
destroyed(void)
{
	struct ended e = { 0 };

	play(f, AG_MSG_KEY_DESTROY, &e);
	return e;
}

static char *
ender(const char *name, const char *scope)
{
	Ag__RoleSetAsk ask = AG__ROLE_SET_ASK__INIT;
	char *scopes[2] = { (char *)"key:*:*", (char *)scope }, *id, *token;

	ask.scopes = scopes;
	ask.n_scopes = 2;
	expect(request(f, AG_MSG_ROLE_SET, ASK(.token = f->admin,
	    .selector = name), &ask), AG_OK, NULL);
	id = person(f, f->admin, AG__KIND__V__human, name, name);
	token = token_of(f, f->admin, id, NULL);
	free(id);
	return token;
}

/* No star stands for the scope, and the hook's clear yes is needed besides. */
static void
test_hook(void **state)
{
	struct iam *iam = ag_kit_state(f->kit);
	char *token = ender("ender", "system:*:break-glass"),
	    *all = ender("all", "system:*:*"),
	    *stars = ender("stars", "*:*:break-glass");
	const struct ag_kit_sent *sent;
	struct ended e;

	assert_null(destroying(f->admin));
	assert_null(destroying(all));
	assert_null(destroying(stars));
	sent = destroying(token);
	assert_non_null(sent);
	assert_true(((const Ag__EvaluateAsk *)sent->body)->hook);
	answer(sent, true, "dec-1", NULL);
	e = destroyed();
	assert_true(e.passed && e.err == AG_OK);
	assert_null(e.grant->decision_id);
	ended_free(&e);
	answer(destroying(token), false, NULL, NULL);
	e = destroyed();
	assert_string_equal(e.rule, "opa.hook");
	expect(e, AG_PERMISSION_DENIED, "hook_denied");
	answer(destroying(token), false, NULL, "status");
	expect(destroyed(), AG_PERMISSION_DENIED, "hook_unavailable");
	ag_kit_answer_error(f->kit, destroying(token), AG_NOBODY, NULL);
	expect(destroyed(), AG_PERMISSION_DENIED, "hook_unavailable");
	assert_non_null(destroying(token));
	ag_kit_advance(f->kit, 526);
	expect(destroyed(), AG_PERMISSION_DENIED, "hook_unavailable");
	/* OPA is asked after it, in the same words. */
	iam->evaluates = true;
	answer(destroying(token), true, NULL, NULL);
	sent = ag_kit_find(f->kit, AG_MSG_EVALUATE_ASK);
	assert_non_null(sent);
	assert_false(((const Ag__EvaluateAsk *)sent->body)->hook);
	answer(sent, false, "dec-2", NULL);
	e = destroyed();
	assert_string_equal(e.rule, "opa");
	assert_string_equal(e.grant->decision_id, "dec-2");
	expect(e, AG_PERMISSION_DENIED, "evaluator_denied");
	free(token);
	free(all);
	free(stars);
}

/* What ends nothing is not the hook's matter, and needs no such scope. */
static void
test_hook_not_asked(void **state)
{
	char *token = ender("worker", "principal:*:read");

	assert_null(asked(token, "invoice"));
	expect(request(f, AG_MSG_KEY_ROTATE, ASK(.token = token,
	    .selector = "invoice"), NULL), AG_OK, NULL);
	assert_null(destroying(token));
	free(token);
}

/* Nobody is asked ahead about what they say no to. */
static void
test_ahead(void **state)
{
	Ag__ApprovalRequestAsk ask = AG__APPROVAL_REQUEST_ASK__INIT;
	Ag__PolicySetAsk set = AG__POLICY_SET_ASK__INIT;
	struct asking a = ASK(.token = f->admin);

	set.text = (char *)"@approval(\"leads\") " ALL;
	expect(request(f, AG_MSG_POLICY_SET, ASK(.token = f->admin,
	    .selector = "base"), &set), AG_OK, NULL);
	ask.operation = (char *)"key.sign";
	ask.resource = (char *)"invoice";
	ask.reason = (char *)"later";
	for (unsigned yes = 0; yes < 2; yes++) {
		const struct ag_kit_sent *sent;
		const Ag__EvaluateAsk *said;
		const char *action;
		uint8_t id[AG_UUID_BYTES];
		struct ended e = { 0 };
		json_t *input;

		deliver(f, AG_MSG_APPROVAL_REQUEST, &a, &ask, id);
		do
			assert_non_null(sent = ag_kit_next(f->kit));
		while (sent->type != AG_MSG_EVALUATE_ASK);
		said = sent->body;
		input = json_loadb((const char *)said->input.data,
		    said->input.len, 0, NULL);
		assert_int_equal(json_unpack(input, "{s:{s:s}}", "input",
		    "action", &action), 0);
		assert_string_equal(action, "key.sign");
		json_decref(input);
		answer(sent, yes == 1, NULL, NULL);
		play(f, AG_MSG_APPROVAL_REQUEST, &e);
		if (yes == 0) {
			refused(e, "evaluator_denied");
			continue;
		}
		assert_true(e.passed);
		assert_string_equal(e.grant->ahead->needs[0]->group, "leads");
		ended_free(&e);
	}
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(test_yes), T(test_no), T(test_not_asked),
		T(test_ended_meanwhile),
		cmocka_unit_test_setup_teardown(test_hook, setup_hook, teardown),
		cmocka_unit_test_setup_teardown(test_hook_not_asked, setup_hook,
		    teardown),
		cmocka_unit_test_setup_teardown(test_ahead, setup, teardown),
	};

	return cmocka_run_group_tests_name("iam_evaluate", tests, NULL, NULL);
}
