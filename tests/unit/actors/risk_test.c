/* SPDX-License-Identifier: Apache-2.0 */
/* The risk actor: passes on, refuses with its verdict, learns, remembers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <aegis/kit.h>

extern const struct ag_actor ag_actor_risk;

static const char agent[] = "agt_0123456789abcdef0123456789abcdef";
static const char key[] = "key_0123456789abcdef0123456789abcdef";

static void
grant_init(Ag__Grant *g, struct ag_kit *kit)
{
	ag__grant__init(g);
	g->op = AG_MSG_KEY_SIGN;
	g->tenant = (char *)"default";
	g->actor_id = (char *)agent;
	g->has_actor_kind = 1;
	g->actor_kind = AG__KIND__V__agent;
	g->resource_type = (char *)"key";
	g->resource_id = (char *)key;
	g->source_address = (char *)"10.0.0.1";
	g->has_scope_count = 1;
	g->scope_count = 1;
	g->has_credential_issued_at = 1;
	g->occurred_at = ag_kit_now(kit);
	g->credential_issued_at = ag_kit_now(kit);
}

static Ag__SignAsk
sign_ask(void)
{
	Ag__SignAsk ask = AG__SIGN_ASK__INIT;

	ask.message_b64.data = (uint8_t *)"invoice";
	ask.message_b64.len = 7;
	return ask;
}

static void
passes_to_the_shard(void **state)
{
	struct ag_kit *kit = ag_kit_new(&ag_actor_risk, NULL, NULL);
	const struct ag_kit_sent *sent;
	Ag__SignAsk ask = sign_ask();
	Ag__Grant g;

	grant_init(&g, kit);
	ag_kit_operate(kit, AG_MSG_KEY_SIGN, &g, &ask);
	sent = ag_kit_find(kit, AG_MSG_KEY_SIGN);
	assert_non_null(sent);
	assert_int_equal(sent->to, ag_shard(ag_kit_ctx(kit), AG_ROLE_KEYS, key));
	assert_non_null(sent->env->verdict);
	assert_int_equal(sent->env->verdict->decision, AG__DECISION__V__allow);
	assert_int_equal(sent->env->verdict->n_factors, 9);
	assert_string_equal(sent->env->verdict->factors[0]->name, "rate");
	assert_string_equal(sent->env->verdict->factors[7]->name, "scope_breadth");
	assert_string_equal(sent->env->verdict->model_version, "2");
	assert_float_equal(sent->env->verdict->score, 0.05, 1e-6);
	assert_false(sent->env->verdict->degraded);
	assert_true(sent->env->has_grant && sent->env->has_grant_mac);
	ag_kit_free(&kit);
}

static void
passes_other_nouns(void **state)
{
	static const struct {
		uint16_t op;
		enum ag_role role;
	} cases[] = {
		{ AG_MSG_WHOAMI, AG_ROLE_IAM },
		{ AG_MSG_RECOMMENDATION_READ, AG_ROLE_RESPONDER },
		{ AG_MSG_AUDIT_READ, AG_ROLE_HISTORY },
	};
	struct ag_kit *kit = ag_kit_new(&ag_actor_risk, NULL, NULL);
	Ag__Nothing nothing = AG__NOTHING__INIT;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct ag_kit_sent *sent;
		Ag__Grant g;

		grant_init(&g, kit);
		g.resource_type = g.resource_id = NULL;
		ag_kit_operate(kit, cases[i].op, &g, &nothing);
		sent = ag_kit_find(kit, cases[i].op);
		assert_non_null(sent);
		assert_int_equal(sent->to_role, cases[i].role);
	}
	ag_kit_free(&kit);
}

static void
expect_refusal(const char *config, Ag__Kind__V kind, const char *reason,
    Ag__Decision__V decision)
{
	struct ag_kit *kit = ag_kit_new(&ag_actor_risk, config, NULL);
	const struct ag_kit_sent *sent;
	const Ag__OutcomeEvent *o;
	Ag__SignAsk ask = sign_ask();
	Ag__Grant g;

	grant_init(&g, kit);
	g.actor_kind = kind;
	ag_kit_operate(kit, AG_MSG_KEY_SIGN, &g, &ask);
	sent = ag_kit_find(kit, AG_MSG_OUTCOME_EVENT);
	assert_non_null(sent);
	o = sent->body;
	assert_int_equal(o->outcome, AG__OUTCOME_KIND__V__denied);
	assert_non_null(o->refusal);
	assert_int_equal(o->refusal->err, AG_PERMISSION_DENIED);
	assert_string_equal(o->refusal->reason_code, reason);
	assert_non_null(o->verdict);
	assert_int_equal(o->verdict->decision, decision);
	ag_kit_free(&kit);
}

static void
refuses(void **state)
{
	/* An agent's score is at least 0.05: an edge met exactly. */
	expect_refusal("risk: {step_up: 0.05, deny: 0.9}\n",
	    AG__KIND__V__agent, "risk_step_up", AG__DECISION__V__step_up);
	expect_refusal("risk: {step_up: 0.01, deny: 0.05}\n",
	    AG__KIND__V__agent, "risk_deny", AG__DECISION__V__deny);
	expect_refusal("risk: {step_up: 0, deny: 0.9}\n",
	    AG__KIND__V__human, "step_up_not_enrolled",
	    AG__DECISION__V__step_up);
}

static void
person_init(Ag__Grant *g, struct ag_kit *kit, uint8_t digest[32])
{
	grant_init(g, kit);
	g->actor_id = (char *)"hum_0123456789abcdef0123456789abcdef";
	g->actor_kind = AG__KIND__V__human;
	memset(digest, 5, 32);
	g->has_step_up_digest = 1;
	g->step_up_digest.data = digest;
	g->step_up_digest.len = 32;
}

/* Who has a second factor is asked for it, by a challenge of iam's. */
static void
asks_for_a_factor(void **state)
{
	struct ag_kit *kit = ag_kit_new(&ag_actor_risk,
	    "risk: {step_up: 0, deny: 0.9}\n", NULL);
	Ag__ChallengeReply reply = AG__CHALLENGE_REPLY__INIT;
	const struct ag_kit_sent *sent;
	const Ag__OutcomeEvent *o;
	Ag__SignAsk ask = sign_ask();
	uint8_t digest[32];
	Ag__Grant g;

	person_init(&g, kit, digest);
	ag_kit_operate(kit, AG_MSG_KEY_SIGN, &g, &ask);
	sent = ag_kit_find(kit, AG_MSG_CHALLENGE_ASK);
	assert_non_null(sent);
	assert_int_equal(sent->to_role, AG_ROLE_IAM);
	assert_memory_equal(((const Ag__ChallengeAsk *)sent->body)->digest.data,
	    digest, 32);
	reply.challenge_id = (char *)"chl_0123456789abcdef0123456789abcdef";
	reply.expires_at = 42;
	ag_kit_answer(kit, sent, AG_MSG_CHALLENGE_REPLY, &reply);
	sent = ag_kit_find(kit, AG_MSG_OUTCOME_EVENT);
	assert_non_null(sent);
	o = sent->body;
	assert_int_equal(o->refusal->err, AG_STEP_UP_REQUIRED);
	assert_string_equal(o->refusal->challenge_id, reply.challenge_id);
	assert_int_equal(o->refusal->expires_at, 42);
	assert_int_equal(o->verdict->decision, AG__DECISION__V__step_up);
	/* Nobody to ask: refused, not let through. */
	person_init(&g, kit, digest);
	ag_kit_operate(kit, AG_MSG_KEY_SIGN, &g, &ask);
	sent = ag_kit_find(kit, AG_MSG_CHALLENGE_ASK);
	ag_kit_answer_error(kit, sent, AG_UNAVAILABLE, NULL);
	sent = ag_kit_find(kit, AG_MSG_OUTCOME_EVENT);
	assert_int_equal(((const Ag__OutcomeEvent *)sent->body)->refusal->err,
	    AG_UNAVAILABLE);
	ag_kit_free(&kit);
}

/* A good code makes up for a step-up, never for a denial; and not for agents. */
static void
a_factor_makes_up(void **state)
{
	struct ag_kit *kit = ag_kit_new(&ag_actor_risk,
	    "risk: {step_up: 0, deny: 0.9}\n", NULL);
	const struct ag_kit_sent *sent;
	Ag__SignAsk ask = sign_ask();
	uint8_t digest[32];
	Ag__Grant g;

	person_init(&g, kit, digest);
	g.step_up = (char *)"chl_0123456789abcdef0123456789abcdef";
	ag_kit_operate(kit, AG_MSG_KEY_SIGN, &g, &ask);
	sent = ag_kit_find(kit, AG_MSG_KEY_SIGN);
	assert_non_null(sent);
	assert_int_equal(sent->to_role, AG_ROLE_KEYS);
	assert_int_equal(sent->env->verdict->decision,
	    AG__DECISION__V__step_up);
	ag_kit_free(&kit);
	kit = ag_kit_new(&ag_actor_risk, "risk: {step_up: 0, deny: 0}\n", NULL);
	person_init(&g, kit, digest);
	g.step_up = (char *)"chl_0123456789abcdef0123456789abcdef";
	ag_kit_operate(kit, AG_MSG_KEY_SIGN, &g, &ask);
	assert_null(ag_kit_find(kit, AG_MSG_KEY_SIGN));
	ag_kit_free(&kit);
}

/* No grant: nothing is passed on, and the process lives. */
static void
survives_no_grant(void **state)
{
	struct ag_kit *kit = ag_kit_new(&ag_actor_risk, NULL, NULL);
	Ag__Envelope env = AG__ENVELOPE__INIT;
	Ag__SignAsk ask = sign_ask();
	Ag__Grant g;

	ag_kit_deliver(kit, AG_ROLE_IAM, 0, AG_MSG_KEY_SIGN, &env, &ask);
	assert_null(ag_kit_find(kit, AG_MSG_KEY_SIGN));
	grant_init(&g, kit);
	ag_kit_operate(kit, AG_MSG_KEY_SIGN, &g, &ask);
	assert_non_null(ag_kit_find(kit, AG_MSG_KEY_SIGN));
	ag_kit_free(&kit);
}

static void
learn(struct ag_kit *kit, unsigned n, const char *address,
    Ag__OutcomeKind__V outcome, uint64_t *pos)
{
	for (unsigned i = 0; i < n; i++) {
		Ag__Event e = AG__EVENT__INIT;
		Ag__EventActor actor = AG__EVENT_ACTOR__INIT;
		Ag__Resource resource = AG__RESOURCE__INIT;

		e.event_id = (char *)"evt_00000000000000000000000000000000";
		e.tenant = (char *)"default";
		e.event_type = AG__EVENT_TYPE__V__request;
		e.occurred_at = ag_kit_now(kit);
		e.operation = (char *)"key.sign";
		e.actor = &actor;
		actor.id = (char *)agent;
		e.resource = &resource;
		resource.type = (char *)"key";
		resource.id = (char *)key;
		e.source_address = (char *)address;
		e.outcome = outcome;
		assert_int_equal(ag_kit_audit(kit, &e, ++*pos), AG_OK);
	}
}

static double
score_from(struct ag_kit *kit, const char *address)
{
	const struct ag_kit_sent *sent;
	Ag__SignAsk ask = sign_ask();
	Ag__Grant g;

	grant_init(&g, kit);
	g.source_address = (char *)address;
	ag_kit_operate(kit, AG_MSG_KEY_SIGN, &g, &ask);
	sent = ag_kit_find(kit, AG_MSG_KEY_SIGN);
	assert_non_null(sent);
	return sent->env->verdict->score;
}

/* What was refused never becomes ordinary; what was allowed does, and a
 * restart does not forget it. */
static void
learns_and_remembers(void **state)
{
	char dir[] = "/tmp/aegis-risk-XXXXXX", command[64];
	struct ag_kit *kit;
	uint64_t pos = 0;

	assert_non_null(mkdtemp(dir));
	kit = ag_kit_new(&ag_actor_risk, NULL, dir);
	learn(kit, 300, "10.0.0.1", AG__OUTCOME_KIND__V__allowed, &pos);
	assert_float_equal(score_from(kit, "10.0.0.7"), 0.05, 1e-6);
	assert_float_equal(score_from(kit, "10.9.9.9"), 0.25, 1e-6);
	learn(kit, 300, "10.9.9.9", AG__OUTCOME_KIND__V__denied, &pos);
	assert_float_equal(score_from(kit, "10.9.9.9"), 0.25, 1e-6);
	ag_kit_free(&kit);
	kit = ag_kit_new(&ag_actor_risk, NULL, dir);
	assert_float_equal(score_from(kit, "10.9.9.9"), 0.25, 1e-6);
	learn(kit, 1, "10.9.9.9", AG__OUTCOME_KIND__V__allowed, &pos);
	assert_float_equal(score_from(kit, "10.9.9.9"), 0.05, 1e-6);
	ag_kit_free(&kit);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
}

/* A tenant's thresholds are its own; what it leaves out is everybody's. */
static void
thresholds_of_a_tenant(void **state)
{
	static const struct {
		const char *tenant;
		const char *reason; /* NULL: it passes */
	} cases[] = {
		{ "default", NULL }, { "strict", "risk_deny" },
		{ "careful", "risk_step_up" }, { "other", NULL },
	};
	struct ag_kit *kit = ag_kit_new(&ag_actor_risk,
	    "risk:\n  per_tenant:\n    strict: {step_up: 0.04, deny: 0.05}\n"
	    "    careful: {step_up: 0.05}\n", NULL);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct ag_kit_sent *sent;
		Ag__SignAsk ask = sign_ask();
		Ag__Grant g;

		grant_init(&g, kit);
		g.tenant = (char *)cases[i].tenant;
		ag_kit_operate(kit, AG_MSG_KEY_SIGN, &g, &ask);
		if (cases[i].reason == NULL) {
			assert_non_null(ag_kit_find(kit, AG_MSG_KEY_SIGN));
			continue;
		}
		sent = ag_kit_find(kit, AG_MSG_OUTCOME_EVENT);
		assert_non_null(sent);
		assert_string_equal(((const Ag__OutcomeEvent *)sent->body)->
		    refusal->reason_code, cases[i].reason);
	}
	ag_kit_free(&kit);
}

static uint32_t
act(struct ag_kit *kit, const char *action, const char *target,
    const char *cause)
{
	Ag__Envelope env = AG__ENVELOPE__INIT;
	Ag__ActAsk ask = AG__ACT_ASK__INIT;
	const struct ag_kit_sent *sent;

	env.has_corr = true;
	env.corr = 7;
	ask.action = (char *)action;
	ask.tenant = (char *)"default";
	ask.target = (char *)target;
	ask.recommendation_id = (char *)cause;
	ask.cause_event_id = (char *)"evt_1";
	ask.reason = (char *)"AnomalyAlert(rec_1)";
	ag_kit_deliver(kit, AG_ROLE_RESPONDER, 0, AG_MSG_ACT_ASK, &env, &ask);
	sent = ag_kit_next(kit);
	assert_non_null(sent);
	return sent->type == AG_MSG_ACT_REPLY ?
	    ((const Ag__ActReply *)sent->body)->count : 1000 + sent->env->status;
}

static bool
passes(struct ag_kit *kit, Ag__Kind__V kind, const char *step_up)
{
	const struct ag_kit_sent *sent;
	Ag__SignAsk ask = sign_ask();
	Ag__Grant g;

	grant_init(&g, kit);
	g.actor_kind = kind;
	g.step_up = (char *)step_up;
	ag_kit_operate(kit, AG_MSG_KEY_SIGN, &g, &ask);
	sent = ag_kit_next(kit);
	assert_non_null(sent);
	if (sent->type == AG_MSG_KEY_SIGN)
		return true;
	assert_int_equal(sent->type, AG_MSG_OUTCOME_EVENT);
	assert_int_equal(((const Ag__OutcomeEvent *)sent->body)->verdict->
	    decision, AG__DECISION__V__step_up);
	return false;
}

/* H02: step_up, by the responder: once for one cause, over a restart, until the
 * second factor was shown or its time is over. */
static void
wary_until_a_step_up(void **state)
{
	char dir[] = "/tmp/aegis-risk-XXXXXX", command[64];
	struct ag_kit *kit;

	assert_non_null(mkdtemp(dir));
	kit = ag_kit_new(&ag_actor_risk, NULL, dir);
	assert_true(passes(kit, AG__KIND__V__human, NULL));
	assert_int_equal(act(kit, "step_up", agent, "rec_1"), 1);
	assert_int_equal(act(kit, "step_up", agent, "rec_1"), 0);
	assert_false(passes(kit, AG__KIND__V__human, NULL));
	ag_kit_free(&kit);
	kit = ag_kit_new(&ag_actor_risk, NULL, dir);
	assert_false(passes(kit, AG__KIND__V__agent, NULL));
	assert_true(passes(kit, AG__KIND__V__human, "chl_1"));
	assert_true(passes(kit, AG__KIND__V__human, NULL));
	assert_int_equal(act(kit, "step_up", agent, "rec_1"), 0); /* repeated */
	assert_true(passes(kit, AG__KIND__V__human, NULL));
	assert_int_equal(act(kit, "step_up", agent, "rec_2"), 1);
	assert_false(passes(kit, AG__KIND__V__agent, NULL));
	ag_kit_advance(kit, 15 * 60 * 1000 + 1);
	assert_true(passes(kit, AG__KIND__V__agent, NULL));
	assert_int_equal(act(kit, "revoke_agent", agent, "rec_3"),
	    1000 + AG_FEATURE_NOT_SUPPORTED);
	for (unsigned i = 0; i < 1000; i++) { /* bounded; the newest stay */
		char id[AG_ID_SIZE];

		snprintf(id, sizeof(id), "agt_%032u", i);
		assert_int_equal(act(kit, "step_up", id, "rec_4"), 1);
	}
	assert_int_equal(act(kit, "step_up", agent, "rec_5"), 1);
	assert_false(passes(kit, AG__KIND__V__agent, NULL));
	ag_kit_free(&kit);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(passes_to_the_shard),
		cmocka_unit_test(passes_other_nouns),
		cmocka_unit_test(refuses),
		cmocka_unit_test(asks_for_a_factor),
		cmocka_unit_test(a_factor_makes_up),
		cmocka_unit_test(survives_no_grant),
		cmocka_unit_test(learns_and_remembers),
		cmocka_unit_test(thresholds_of_a_tenant),
		cmocka_unit_test(wary_until_a_step_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
