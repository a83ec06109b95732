/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decisions made again: equal, different in every way that there is, and
 * honest where an input is missing.
 */
#include "replay.h"

#include <scope.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <weigh.h>
/* cmocka wants the above first */
#include <cmocka.h>

struct fixture {
	Ag__Event event;
	Ag__Resource resource;
	Ag__Reach reach;
	Ag__ReachLink links[3], *list[3];
	char *held[2];
	Ag__Verdict verdict;
	Ag__RiskInput input;
	Ag__Factor factors[RISK_FACTORS], *factor_list[RISK_FACTORS];
};

static void
weighed(struct fixture *f)
{
	struct ag_risk_input in = { .learned = 300, .per_s = 250.5,
		.peak_per_s = 12.25f, .hour_near = 3, .hour_total = 900,
		.op_seen = 2, .op_total = 700, .address = RISK_NEW,
		.key = RISK_KNOWN, .new_key_share = 0.125f, .kind = RISK_AGENT,
		.credential_age_ms = 3600000, .scope_count = 4, .prod = true };
	struct risk_score s;

	ag_risk_weigh(&in, &s);
	ag__risk_input__init(&f->input);
	f->input.learned = in.learned;
	f->input.per_s = in.per_s;
	f->input.peak_per_s = in.peak_per_s;
	f->input.hour_near = in.hour_near;
	f->input.hour_total = in.hour_total;
	f->input.op_seen = in.op_seen;
	f->input.op_total = in.op_total;
	f->input.address = in.address;
	f->input.key = in.key;
	f->input.new_key_share = in.new_key_share;
	f->input.kind = in.kind;
	f->input.credential_age_ms = in.credential_age_ms;
	f->input.scope_count = in.scope_count;
	f->input.prod = in.prod;
	ag__verdict__init(&f->verdict);
	for (unsigned i = 0; i < RISK_FACTORS; i++) {
		ag__factor__init(&f->factors[i]);
		f->factors[i].name = (char *)risk_factor_names[i];
		f->factors[i].value = s.values[i];
		f->factors[i].contribution = s.contributions[i];
		f->factor_list[i] = &f->factors[i];
	}
	f->verdict.factors = f->factor_list;
	f->verdict.n_factors = RISK_FACTORS;
	f->verdict.score = s.score;
	f->verdict.degraded = s.degraded;
	f->verdict.decision = AG__DECISION__V__allow;
	f->verdict.model_version = (char *)RISK_MODEL_VERSION;
	f->verdict.has_step_up = f->verdict.has_deny = true;
	f->verdict.step_up = 0.7;
	f->verdict.deny = 0.9;
	f->verdict.input = &f->input;
	f->event.risk = &f->verdict;
}

/* An agent signed with a key, by its own scope and its parent's. */
static int
setup(void **state)
{
	static struct fixture f;

	ag__event__init(&f.event);
	f.event.event_id = (char *)"evt_01890000000070008000000000000001";
	f.event.operation = (char *)"key.sign";
	f.event.event_type = AG__EVENT_TYPE__V__request;
	f.event.outcome = AG__OUTCOME_KIND__V__allowed;
	ag__resource__init(&f.resource);
	f.resource.id = (char *)"key_01890000000070008000000000000002";
	f.resource.alias = (char *)"invoice-2026";
	f.event.resource = &f.resource;
	ag__reach__init(&f.reach);
	f.reach.kind = AG_SCOPE_KEY;
	f.reach.op = (char *)"sign";
	for (unsigned i = 0; i < 3; i++) {
		ag__reach_link__init(&f.links[i]);
		f.list[i] = &f.links[i];
	}
	f.links[0].by = (char *)"key:invoice-2026:sign";
	f.links[1].by = (char *)"key:*:*";
	f.reach.links = f.list;
	f.reach.n_links = 2;
	f.event.reach = &f.reach;
	weighed(&f);
	*state = &f;
	return 0;
}

static void
expect(struct fixture *f, enum replay_result scope, enum replay_result risk)
{
	struct replay_event r;

	replay_event(&f->event, &r);
	if (r.scope != scope || r.risk != risk)
		fail_msg("scope %d, risk %d: %s", r.scope, r.risk, r.why);
	assert_int_equal(r.why[0] != '\0',
	    scope == REPLAY_DIFFERENT || risk == REPLAY_DIFFERENT);
}

static void
equal(void **state)
{
	struct fixture *f = *state;

	expect(f, REPLAY_EQUAL, REPLAY_EQUAL);
	/* By the key's id. */
	f->links[0].by = (char *)"key:key_01890000000070008000000000000002:sign";
	expect(f, REPLAY_EQUAL, REPLAY_EQUAL);
}

static void
scope_bent(void **state)
{
	static const char *const others[] = { "key:invoice-2027:sign",
		"key:invoice-2026:verify", "agent:invoice-2026:sign", "nonsense",
		"key:label=tier=critical:sign" };
	struct fixture *f = *state;

	for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		f->links[1].by = (char *)others[i];
		expect(f, REPLAY_DIFFERENT, REPLAY_EQUAL);
	}
}

static void
a_refusal(void **state)
{
	struct fixture *f = *state;

	f->event.risk = NULL;
	f->links[1].by = NULL;
	f->held[0] = (char *)"key:other:sign";
	f->held[1] = (char *)"key:*:verify";
	f->links[1].held = f->held;
	f->links[1].n_held = 2;
	f->event.outcome = AG__OUTCOME_KIND__V__denied;
	f->event.reason_code = (char *)"parent_scope_missing";
	expect(f, REPLAY_EQUAL, REPLAY_NONE);
	/* Its own credential lacked it: then the reason is another. */
	f->links[1].has_credential = f->links[1].credential = true;
	expect(f, REPLAY_DIFFERENT, REPLAY_NONE);
	f->event.reason_code = (char *)"scope_missing";
	expect(f, REPLAY_EQUAL, REPLAY_NONE);
	/* It held one that allows. */
	f->held[1] = (char *)"key:*:sign";
	expect(f, REPLAY_DIFFERENT, REPLAY_NONE);
	f->held[1] = (char *)"key:*:verify";
	/* Allowed all the same. */
	f->event.outcome = AG__OUTCOME_KIND__V__allowed;
	f->event.reason_code = NULL;
	expect(f, REPLAY_DIFFERENT, REPLAY_NONE);
	/* Not everything it held is recorded: nobody can say. */
	f->event.reason_code = (char *)"scope_missing";
	f->links[1].has_cut = f->links[1].cut = true;
	expect(f, REPLAY_UNKNOWN, REPLAY_NONE);
}

static void
risk_bent(void **state)
{
	struct fixture *f = *state;

	f->verdict.score += 1e-6;
	expect(f, REPLAY_EQUAL, REPLAY_DIFFERENT);
	weighed(f);
	f->factors[RISK_RATE].value = 0.123;
	expect(f, REPLAY_EQUAL, REPLAY_DIFFERENT);
	weighed(f);
	f->input.address = RISK_KNOWN;
	expect(f, REPLAY_EQUAL, REPLAY_DIFFERENT);
	weighed(f);
	f->input.peak_per_s = 0;
	f->input.per_s = 100;
	expect(f, REPLAY_EQUAL, REPLAY_DIFFERENT);
	weighed(f);
	f->verdict.deny = f->verdict.score; /* it should have been denied */
	expect(f, REPLAY_EQUAL, REPLAY_DIFFERENT);
	f->verdict.decision = AG__DECISION__V__deny; /* … and was not */
	expect(f, REPLAY_EQUAL, REPLAY_DIFFERENT);
	f->event.outcome = AG__OUTCOME_KIND__V__denied;
	expect(f, REPLAY_EQUAL, REPLAY_EQUAL);
	/* The responder was wary: a step-up, whatever the score. */
	weighed(f);
	f->verdict.decision = AG__DECISION__V__step_up;
	expect(f, REPLAY_EQUAL, REPLAY_DIFFERENT);
	f->verdict.has_wary = f->verdict.wary = true;
	expect(f, REPLAY_EQUAL, REPLAY_EQUAL);
}

static void
missing_inputs(void **state)
{
	struct fixture *f = *state;

	f->verdict.input = NULL;
	f->event.reach = NULL;
	expect(f, REPLAY_NONE, REPLAY_UNKNOWN);
	weighed(f);
	f->verdict.model_version = (char *)"0"; /* of other functions than these */
	expect(f, REPLAY_NONE, REPLAY_UNKNOWN);
	weighed(f);
	f->verdict.has_deny = false;
	expect(f, REPLAY_NONE, REPLAY_UNKNOWN);
	/* Hostile: words out of range, no factors. */
	weighed(f);
	f->input.kind = 77;
	f->input.address = 99;
	expect(f, REPLAY_NONE, REPLAY_DIFFERENT);
	weighed(f);
	f->verdict.n_factors = 0;
	expect(f, REPLAY_NONE, REPLAY_DIFFERENT);
	f->event.risk = NULL;
	expect(f, REPLAY_NONE, REPLAY_NONE);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, setup)
	const struct CMUnitTest tests[] = {
		TEST(equal),
		TEST(scope_bent),
		TEST(a_refusal),
		TEST(risk_bent),
		TEST(missing_inputs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
