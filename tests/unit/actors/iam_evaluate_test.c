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

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(test_yes), T(test_no), T(test_not_asked),
		T(test_ended_meanwhile),
	};

	return cmocka_run_group_tests_name("iam_evaluate", tests, NULL, NULL);
}
