/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Traces: what a station adds to the marks that came, and whom it asked.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <aegis/kit.h>

#include <stdlib.h>

enum { PLANE_SLOT = 900 };

static ag_err
then_loaded(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	Ag__VerifyReply reply = AG__VERIFY_REPLY__INIT;

	(void)state;
	(void)msg;
	(void)memo;
	if (status != AG_OK)
		return status;
	reply.key_id = ag_grant(ctx)->resource_id;
	reply.algorithm = AG__ALGORITHM__V__ED25519;
	return ag_reply(ctx, AG_MSG_KEY_VERIFY, &reply);
}

/* Asks the root of trust first. */
static ag_err
on_key_verify(void *state, struct ag_ctx *ctx, const void *msg)
{
	Ag__RotDestroyAsk ask = AG__ROT_DESTROY_ASK__INIT;

	(void)state;
	(void)msg;
	ask.tenant = ask.key_id = (char *)"x";
	return ag_ask(ctx, ag_slot_named(ctx, "software"), AG_MSG_ROT_DESTROY_ASK,
	    &ask, AG_MSG_DONE_REPLY, 500, then_loaded, NULL, 0);
}

static ag_err
init(void *state, struct ag_ctx *ctx)
{
	(void)state;
	(void)ctx;
	return AG_OK;
}

static const struct ag_row rows[] = {
	{ AG_MSG_KEY_VERIFY, on_key_verify },
};

static const struct ag_actor station = {
	.name = "keys",
	.state_size = 1,
	AG_ROWS(rows),
	.init = init,
};

static int
setup(void **state)
{
	*state = ag_kit_new(&station, NULL, NULL);
	return 0;
}

static int
teardown(void **state)
{
	ag_kit_free((struct ag_kit **)state);
	return 0;
}

/* As risk sends it on, with what came so far; trace NULL: nobody wants to know. */
static void
operate(struct ag_kit *kit, Ag__Trace *trace)
{
	Ag__Envelope env = AG__ENVELOPE__INIT;
	Ag__Verdict verdict = AG__VERDICT__INIT;
	Ag__VerifyAsk ask = AG__VERIFY_ASK__INIT;
	Ag__Grant grant = AG__GRANT__INIT;
	uint8_t bytes[64], digest[32];

	ag_sha256(bytes, ag__verify_ask__pack(&ask, bytes), digest);
	grant.op = AG_MSG_KEY_VERIFY;
	grant.resource_id = (char *)"key_a";
	grant.has_body_digest = true;
	grant.body_digest.data = digest;
	grant.body_digest.len = sizeof(digest);
	ag_kit_grant(kit, &grant, &env);
	verdict.decision = AG__DECISION__V__allow;
	verdict.model_version = (char *)"kit";
	env.verdict = &verdict;
	env.trace = trace;
	ag_kit_deliver(kit, AG_ROLE_RISK, 0, AG_MSG_KEY_VERIFY, &env, &ask);
	free(env.grant.data);
	free(env.grant_mac.data);
}

static const struct ag_kit_sent *
answered(struct ag_kit *kit, ag_err err)
{
	const struct ag_kit_sent *ask = ag_kit_find(kit, AG_MSG_ROT_DESTROY_ASK);
	Ag__Done done = AG__DONE__INIT;
	const struct ag_kit_sent *sent;

	assert_non_null(ask);
	assert_null(ask->env->trace); /* it is told nothing of it */
	ag_kit_advance(kit, 7);
	if (err == AG_OK)
		ag_kit_answer(kit, ask, AG_MSG_DONE_REPLY, &done);
	else
		ag_kit_answer_error(kit, ask, err, NULL);
	sent = ag_kit_find(kit, AG_MSG_OUTCOME_EVENT);
	assert_non_null(sent);
	return sent;
}

static void
a_station_adds_its_time_and_whom_it_asked(void **state)
{
	struct ag_kit *kit = *state;
	Ag__Mark before = AG__MARK__INIT, *marks[] = { &before };
	Ag__Trace trace = AG__TRACE__INIT;
	const Ag__Trace *got;

	before.slot = PLANE_SLOT;
	before.begin_us = 5;
	before.end_us = 6;
	trace.parent_id = (char *)"b7ad6b7169203331";
	trace.marks = marks;
	trace.n_marks = 1;
	operate(kit, &trace);
	got = answered(kit, AG_OK)->env->trace;
	assert_non_null(got);
	assert_string_equal(got->parent_id, "b7ad6b7169203331");
	assert_int_equal(got->n_marks, 3);
	assert_int_equal(got->marks[0]->slot, PLANE_SLOT);
	assert_int_equal(got->marks[0]->end_us, 6);
	assert_int_equal(got->marks[1]->slot, ag_self(ag_kit_ctx(kit)));
	assert_false(got->marks[1]->has_under);
	assert_int_equal(got->marks[1]->end_us - got->marks[1]->begin_us, 7000);
	assert_int_equal(got->marks[2]->slot,
	    ag_slot_named(ag_kit_ctx(kit), "software"));
	assert_int_equal(got->marks[2]->under, got->marks[1]->slot);
	assert_int_equal(got->marks[2]->end_us - got->marks[2]->begin_us, 7000);
}

static void
a_refusal_has_its_times_too(void **state)
{
	Ag__Trace trace = AG__TRACE__INIT;
	const Ag__Trace *got;

	operate(*state, &trace);
	got = answered(*state, AG_UNAVAILABLE)->env->trace;
	assert_non_null(got);
	assert_int_equal(got->n_marks, 2);
}

static void
who_is_not_asked_adds_nothing(void **state)
{
	operate(*state, NULL);
	assert_null(answered(*state, AG_OK)->env->trace);
}

/* A station before us that marks without end. */
static void
marks_are_bounded(void **state)
{
	static Ag__Mark before[200];
	static Ag__Mark *marks[200];
	Ag__Trace trace = AG__TRACE__INIT;

	for (size_t i = 0; i < 200; i++) {
		ag__mark__init(&before[i]);
		marks[i] = &before[i];
	}
	trace.marks = marks;
	trace.n_marks = 200;
	operate(*state, &trace);
	assert_true(answered(*state, AG_OK)->env->trace->n_marks <= 40);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_station_adds_its_time_and_whom_it_asked),
		TEST(a_refusal_has_its_times_too),
		TEST(who_is_not_asked_adds_nothing),
		TEST(marks_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
