/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trips, asks, the stash, persistence and parking, by an actor made for it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <aegis/kit.h>
#include <ctx.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct probe {
	unsigned applied, started, finished, timers;
	char order[64];
};

static ag_err
probe_init(void *state, struct ag_ctx *ctx)
{
	(void)state;
	(void)ctx;
	return AG_OK;
}

static ag_err
probe_apply(void *state, struct ag_ctx *ctx, const struct ag_fact_record *r)
{
	(void)ctx;
	assert_int_equal(r->type, AG_MSG_NAME_TAKEN_FACT);
	((struct probe *)state)->applied++;
	return AG_OK;
}

/* Answers at once. */
static ag_err
on_key_read(void *state, struct ag_ctx *ctx, const void *msg)
{
	Ag__Nothing nothing = AG__NOTHING__INIT;

	(void)state;
	(void)msg;
	if (strcmp(ag_grant(ctx)->resource_id, "key_bad") == 0)
		return ag_refuse(ctx, AG_ITEM_NOT_FOUND, NULL, "/key", "no %s",
		    "key_bad");
	ag_note_param(ctx, "colour", "blue");
	return ag_reply(ctx, AG_MSG_KEY_READ, &nothing);
}

/* Asks the root of trust first. */
static ag_err
then_loaded(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	Ag__VerifyReply reply = AG__VERIFY_REPLY__INIT;

	(void)msg;
	assert_int_equal(*(int *)memo, 42);
	((struct probe *)state)->finished++;
	if (status != AG_OK)
		return status;
	reply.key_id = ag_grant(ctx)->resource_id; /* the trip is restored */
	reply.algorithm = AG__ALGORITHM__V__ED25519;
	return ag_reply(ctx, AG_MSG_KEY_VERIFY, &reply);
}

static ag_err
on_key_verify(void *state, struct ag_ctx *ctx, const void *msg)
{
	Ag__RotDestroyAsk ask = AG__ROT_DESTROY_ASK__INIT;
	int memo = 42;

	(void)msg;
	((struct probe *)state)->started++;
	ask.tenant = ask.key_id = (char *)"x";
	return ag_ask(ctx, ag_slot_named(ctx, "software"), AG_MSG_ROT_DESTROY_ASK,
	    &ask, AG_MSG_DONE_REPLY, 500, then_loaded, &memo, sizeof(memo));
}

/* Changes its stream. */
static ag_err
on_key_activate(void *state, struct ag_ctx *ctx, const void *msg)
{
	Ag__NameTakenFact fact = AG__NAME_TAKEN_FACT__INIT;
	Ag__Nothing reply = AG__NOTHING__INIT;
	const char *id = ag_grant(ctx)->resource_id;
	struct probe *p = state;
	struct ag_fact facts[] = { { ag_printf(ctx, "key:%s", id), p->applied,
	    AG_MSG_NAME_TAKEN_FACT, &fact } };
	ag_err err = ag_enter(ctx, facts[0].stream, true);

	(void)msg;
	if (err != AG_OK)
		return err;
	p->started++;
	strncat(p->order, ag_grant(ctx)->client_request_id,
	    sizeof(p->order) - strlen(p->order) - 1);
	fact.tenant = fact.name = fact.id = (char *)id;
	return ag_persist(ctx, facts, 1, AG_MSG_KEY_ACTIVATE, &reply, NULL, NULL,
	    NULL, 0);
}

/* Parks until an order lets go. */
static ag_err
on_key_rotate(void *state, struct ag_ctx *ctx, const void *msg)
{
	Ag__Nothing reply = AG__NOTHING__INIT;
	struct probe *p = state;

	(void)msg;
	if (p->started++ == 0)
		return ag_stash_on(ctx, "hold", 50, "response");
	return ag_reply(ctx, AG_MSG_KEY_ROTATE, &reply);
}

static ag_err
on_ruling(void *state, struct ag_ctx *ctx, const void *msg)
{
	(void)state;
	(void)msg;
	ag_stash_release(ctx, "hold");
	return AG_OK;
}

static ag_err
on_act(void *state, struct ag_ctx *ctx, const void *msg)
{
	Ag__ActReply done = AG__ACT_REPLY__INIT;

	(void)state;
	(void)msg;
	return ag_reply(ctx, AG_MSG_ACT_REPLY, &done);
}

static ag_err
slow(void *job)
{
	*(int *)job = 7;
	return AG_OK;
}

static ag_err
then_worked(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *job)
{
	Ag__Nothing reply = AG__NOTHING__INIT;

	(void)state;
	(void)msg;
	assert_int_equal(status, AG_OK);
	assert_int_equal(*(int *)job, 7);
	return ag_reply(ctx, AG_MSG_KEY_DEACTIVATE, &reply);
}

static int job_memory;

static ag_err
on_key_deactivate(void *state, struct ag_ctx *ctx, const void *msg)
{
	(void)state;
	(void)msg;
	return ag_work(ctx, slow, &job_memory, then_worked);
}

/* Forgets to answer. */
static ag_err
on_key_freeze(void *state, struct ag_ctx *ctx, const void *msg)
{
	(void)state;
	(void)ctx;
	(void)msg;
	return AG_OK;
}

/* The trip may be over, or let go, by the time that this runs. */
static ag_err
then_late(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	Ag__Nothing reply = AG__NOTHING__INIT;

	(void)status;
	(void)msg;
	((struct probe *)state)->finished++;
	if (*(bool *)memo)
		ag_stash_release(ctx, "hold");
	return ag_reply(ctx, ag_type(ctx), &reply);
}

static ag_err
ask_late(struct ag_ctx *ctx, bool release)
{
	Ag__RotDestroyAsk ask = AG__ROT_DESTROY_ASK__INIT;

	ask.tenant = ask.key_id = (char *)"x";
	return ag_ask(ctx, ag_slot_named(ctx, "software"), AG_MSG_ROT_DESTROY_ASK,
	    &ask, AG_MSG_DONE_REPLY, 500, then_late, &release, sizeof(release));
}

/* Answers while it still asks. */
static ag_err
on_key_public(void *state, struct ag_ctx *ctx, const void *msg)
{
	Ag__Nothing reply = AG__NOTHING__INIT;

	(void)state;
	(void)msg;
	assert_int_equal(ask_late(ctx, false), AG_PENDING);
	return ag_reply(ctx, AG_MSG_KEY_PUBLIC, &reply);
}

/* Asks and parks; run again, it answers. */
static ag_err
ask_and_park(struct probe *p, struct ag_ctx *ctx, bool release)
{
	Ag__Nothing reply = AG__NOTHING__INIT;

	if (p->started++ > 0)
		return ag_reply(ctx, ag_type(ctx), &reply);
	assert_int_equal(ask_late(ctx, release), AG_PENDING);
	return ag_stash_on(ctx, "hold", 50, "response");
}

static ag_err
on_key_cancel(void *state, struct ag_ctx *ctx, const void *msg)
{
	(void)msg;
	return ask_and_park(state, ctx, false);
}

static ag_err
on_key_jwk(void *state, struct ag_ctx *ctx, const void *msg)
{
	(void)msg;
	return ask_and_park(state, ctx, true);
}

static const struct ag_row rows[] = {
	{ AG_MSG_KEY_PUBLIC, on_key_public },
	{ AG_MSG_KEY_CANCEL_DESTROY, on_key_cancel },
	{ AG_MSG_KEY_JWK, on_key_jwk },
	{ AG_MSG_KEY_READ, on_key_read },
	{ AG_MSG_KEY_VERIFY, on_key_verify },
	{ AG_MSG_KEY_ACTIVATE, on_key_activate },
	{ AG_MSG_KEY_ROTATE, on_key_rotate },
	{ AG_MSG_KEY_DEACTIVATE, on_key_deactivate },
	{ AG_MSG_KEY_FREEZE, on_key_freeze },
	{ AG_MSG_STREAM_STOP_ORDER, on_ruling },
	{ AG_MSG_ACT_ASK, on_act },
};

static const struct ag_actor probe = {
	.name = "keys",
	.state_size = sizeof(struct probe),
	AG_ROWS(rows),
	.init = probe_init,
	.apply = probe_apply,
	.follow = AG_FOLLOW_START,
};

static int
setup(void **state)
{
	*state = ag_kit_new(&probe, NULL, NULL);
	return 0;
}

static int
teardown(void **state)
{
	ag_kit_free((struct ag_kit **)state);
	return 0;
}

static void
operate(struct ag_kit *kit, uint16_t op, const char *key, const char *tag,
    uint8_t *idem)
{
	Ag__Grant grant = AG__GRANT__INIT;
	Ag__Nothing nothing = AG__NOTHING__INIT;
	Ag__VerifyAsk verify = AG__VERIFY_ASK__INIT;
	Ag__KeyPublicAsk public = AG__KEY_PUBLIC_ASK__INIT;
	Ag__ReasonAsk reason = AG__REASON_ASK__INIT;

	reason.reason = (char *)"test";
	grant.resource_id = (char *)key;
	grant.client_request_id = (char *)tag;
	if (idem != NULL) {
		grant.has_idem = true;
		grant.idem.data = idem;
		grant.idem.len = 32;
	}
	ag_kit_operate(kit, op, &grant,
	    op == AG_MSG_KEY_VERIFY ? (void *)&verify :
	    op == AG_MSG_KEY_PUBLIC ? (void *)&public :
	    op == AG_MSG_KEY_DEACTIVATE || op == AG_MSG_KEY_FREEZE ?
	    (void *)&reason : (void *)&nothing);
}

static const Ag__OutcomeEvent *
outcome(struct ag_kit *kit)
{
	const struct ag_kit_sent *sent = ag_kit_find(kit, AG_MSG_OUTCOME_EVENT);

	assert_non_null(sent);
	assert_int_equal(sent->to_role, AG_ROLE_AUDIT);
	return sent->body;
}

static void
assert_no_outcome(struct ag_kit *kit)
{
	assert_null(ag_kit_find(kit, AG_MSG_OUTCOME_EVENT));
}

static void
a_reply_is_one_allowed_outcome(void **state)
{
	const Ag__OutcomeEvent *out;

	operate(*state, AG_MSG_KEY_READ, "key_1", "a", NULL);
	out = outcome(*state);
	assert_int_equal(out->outcome, AG__OUTCOME_KIND__V__allowed);
	assert_string_equal(out->operation, "key.read");
	assert_int_equal(out->reply_type, AG_MSG_KEY_READ);
	assert_int_equal(out->n_params, 2);
	assert_string_equal(out->params[0]->value, "blue");
	assert_string_equal(out->params[1]->key, "provenance");
	assert_true(out->has_grant && out->has_grant_mac);
	assert_non_null(out->verdict);
	assert_no_outcome(*state);
}

/* RFC 6901, and cut at a whole character. */
static void
a_pointer_names_a_member(void **state)
{
	struct ag_ctx *ctx = ag_kit_ctx(*state);
	char *text, name[100];

	assert_string_equal(ag_pointer(ctx, "labels", "a~b/c"), "/labels/a~0b~1c");
	assert_string_equal(ag_pointer(ctx, "labels", ""), "/labels/");
	memset(name, 'x', sizeof(name));
	memcpy(name + 95, "\xc3\xa9", 3);
	text = ag_pointer(ctx, "labels", name);
	assert_int_equal(strlen(text), strlen("/labels/") + 97 - 2);
}

static void
an_error_is_one_refusal_with_its_reason(void **state)
{
	const Ag__OutcomeEvent *out;

	operate(*state, AG_MSG_KEY_READ, "key_bad", "a", NULL);
	out = outcome(*state);
	assert_int_equal(out->outcome, AG__OUTCOME_KIND__V__failed);
	assert_int_equal(out->refusal->err, AG_ITEM_NOT_FOUND);
	assert_string_equal(out->refusal->field, "/key");
	assert_string_equal(out->refusal->detail, "no key_bad");
	assert_no_outcome(*state);
}

static void
a_handler_that_forgets_to_answer_is_a_general_failure(void **state)
{
	operate(*state, AG_MSG_KEY_FREEZE, "key_1", "a", NULL);
	assert_int_equal(outcome(*state)->refusal->err, AG_GENERAL_FAILURE);
}

static void
a_forged_grant_is_not_worked_on(void **state)
{
	Ag__Envelope env = AG__ENVELOPE__INIT;
	Ag__Grant grant = AG__GRANT__INIT;
	Ag__Nothing nothing = AG__NOTHING__INIT;
	uint8_t mac[32] = { 1 }, packed[512];

	grant.op = AG_MSG_KEY_READ;
	grant.resource_id = grant.tenant = (char *)"key_1";
	env.has_grant = env.has_grant_mac = true;
	env.grant.data = packed;
	env.grant.len = ag__grant__pack(&grant, packed);
	env.grant_mac.data = mac;
	env.grant_mac.len = sizeof(mac);
	ag_kit_deliver(*state, AG_ROLE_RISK, 0, AG_MSG_KEY_READ, &env, &nothing);
	assert_null(ag_kit_next(*state));
}

static void
a_body_that_iam_did_not_see_is_not_worked_on(void **state)
{
	Ag__Envelope env = AG__ENVELOPE__INIT;
	Ag__Grant grant = AG__GRANT__INIT;
	Ag__Nothing nothing = AG__NOTHING__INIT;
	uint8_t digest[32] = { 0 };

	grant.op = AG_MSG_KEY_READ;
	grant.resource_id = (char *)"key_1";
	grant.has_body_digest = true;
	grant.body_digest.data = digest;
	grant.body_digest.len = sizeof(digest);
	ag_kit_grant(*state, &grant, &env);
	ag_kit_deliver(*state, AG_ROLE_RISK, 0, AG_MSG_KEY_READ, &env, &nothing);
	assert_null(ag_kit_next(*state));
	free(env.grant.data);
	free(env.grant_mac.data);
}

static void
without_a_verdict_it_is_refused(void **state)
{
	Ag__Envelope env = AG__ENVELOPE__INIT;
	Ag__Grant grant = AG__GRANT__INIT;
	Ag__ReasonAsk reason = AG__REASON_ASK__INIT;
	uint8_t digest[32], body[16];
	size_t len;

	reason.reason = (char *)"x";
	len = ag__reason_ask__pack(&reason, body);
	ag_sha256(body, len, digest);
	grant.op = AG_MSG_KEY_FREEZE;
	grant.has_body_digest = true;
	grant.body_digest.data = digest;
	grant.body_digest.len = sizeof(digest);
	grant.has_degraded = grant.degraded = true; /* not a read: no excuse */
	ag_kit_grant(*state, &grant, &env);
	ag_kit_deliver(*state, AG_ROLE_IAM, 0, AG_MSG_KEY_FREEZE, &env, &reason);
	assert_string_equal(outcome(*state)->refusal->reason_code, "risk");
	free(env.grant.data);
	free(env.grant_mac.data);
}

static void
garbage_frames_are_survived(void **state)
{
	static const uint8_t junk[40] = { 1, 0, 3, 0, 0xff, 0xff, 1, 0 };

	for (size_t len = 0; len <= sizeof(junk); len++)
		ag_kit_deliver_bytes(*state, AG_ROLE_RISK, 0, junk, len);
	assert_null(ag_kit_next(*state));
	operate(*state, AG_MSG_KEY_READ, "key_1", "a", NULL);
	assert_int_equal(outcome(*state)->outcome, AG__OUTCOME_KIND__V__allowed);
}

/* By a line it may ask before the broker has told us that it is there. */
static void
who_asks_is_answered_though_nobody_said_it_is_there(void **state)
{
	struct ag_ctx *ctx = ag_kit_ctx(*state);
	Ag__PeerEvent down = AG__PEER_EVENT__INIT;
	Ag__ActAsk ask = AG__ACT_ASK__INIT;
	Ag__Envelope env = AG__ENVELOPE__INIT;
	const struct ag_kit_sent *sent;

	down.slot = ag_slot(ctx, AG_ROLE_RESPONDER, 0);
	ag_kit_deliver(*state, AG_ROLE_NONE, 0, AG_MSG_PEER_EVENT, NULL, &down);
	assert_false(ag_slot_up(ctx, down.slot));
	env.has_corr = true;
	env.corr = 7;
	ag_kit_deliver(*state, AG_ROLE_RESPONDER, 0, AG_MSG_ACT_ASK, &env, &ask);
	sent = ag_kit_find(*state, AG_MSG_ACT_REPLY);
	assert_non_null(sent);
	assert_int_equal(sent->to, down.slot);
	assert_int_equal(sent->env->corr, 7);
}

static void
an_ask_resumes_its_trip(void **state)
{
	struct probe *p = ag_kit_state(*state);
	Ag__Done done = AG__DONE__INIT;
	const struct ag_kit_sent *ask;

	operate(*state, AG_MSG_KEY_VERIFY, "key_7", "a", NULL);
	ask = ag_kit_find(*state, AG_MSG_ROT_DESTROY_ASK);
	assert_non_null(ask);
	assert_int_equal(p->finished, 0);
	ag_kit_answer(*state, ask, AG_MSG_DONE_REPLY, &done);
	assert_int_equal(p->finished, 1);
	ag_kit_answer(*state, ask, AG_MSG_DONE_REPLY, &done); /* again: nobody listens */
	assert_int_equal(p->finished, 1);
	assert_int_equal(outcome(*state)->outcome, AG__OUTCOME_KIND__V__allowed);
}

static void
an_ask_without_answer_ends_in_unavailable(void **state)
{
	const Ag__OutcomeEvent *out;

	operate(*state, AG_MSG_KEY_VERIFY, "key_7", "a", NULL);
	ag_kit_advance(*state, 501);
	out = outcome(*state);
	assert_int_equal(out->refusal->err, AG_UNAVAILABLE);
	assert_string_equal(out->refusal->reason_code, "rot");
	ag_kit_advance(*state, 5000);
	assert_no_outcome(*state);
}

static void
a_change_waits_for_the_journal_and_others_for_the_change(void **state)
{
	struct probe *p = ag_kit_state(*state);

	operate(*state, AG_MSG_KEY_ACTIVATE, "key_1", "a", NULL);
	operate(*state, AG_MSG_KEY_ACTIVATE, "key_1", "b", NULL);
	operate(*state, AG_MSG_KEY_ACTIVATE, "key_1", "c", NULL);
	assert_string_equal(p->order, "a");
	assert_true(ag_kit_journal(*state));
	assert_string_equal(p->order, "ab");
	assert_true(ag_kit_journal(*state));
	assert_true(ag_kit_journal(*state));
	assert_false(ag_kit_journal(*state));
	assert_string_equal(p->order, "abc");
	assert_int_equal(p->applied, 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(outcome(*state)->outcome,
		    AG__OUTCOME_KIND__V__allowed);
	assert_no_outcome(*state);
}

/* Audit comes back: our engine asks how far it got. */
static const struct ag_kit_sent *
audit_comes_back(struct ag_kit *kit)
{
	Ag__PeerEvent peer = AG__PEER_EVENT__INIT;

	peer.slot = ag_slot(ag_kit_ctx(kit), AG_ROLE_AUDIT, 0);
	ag_kit_deliver(kit, AG_ROLE_NONE, 0, AG_MSG_PEER_EVENT, NULL, &peer);
	peer.up = true;
	ag_kit_deliver(kit, AG_ROLE_NONE, 0, AG_MSG_PEER_EVENT, NULL, &peer);
	return ag_kit_find(kit, AG_MSG_AUDIT_MARKS_ASK);
}

static void
a_change_takes_its_turn_behind_outcomes_said_again(void **state)
{
	Ag__AuditMarksReply marks = AG__AUDIT_MARKS_REPLY__INIT;
	Ag__JournalPullReply pull = AG__JOURNAL_PULL_REPLY__INIT;
	const struct ag_kit_sent *ask = audit_comes_back(*state);

	assert_non_null(ask);
	operate(*state, AG_MSG_KEY_ACTIVATE, "key_1", "a", NULL);
	ag_kit_advance(*state, 20);
	ag_kit_answer(*state, ask, AG_MSG_AUDIT_MARKS_REPLY, &marks);
	ask = ag_kit_next(*state); /* nothing was appended before it */
	assert_non_null(ask);
	assert_int_equal(ask->type, AG_MSG_JOURNAL_PULL_ASK);
	ag_kit_answer(*state, ask, AG_MSG_JOURNAL_PULL_REPLY, &pull);
	assert_no_outcome(*state);
	ag_kit_advance(*state, 10);
	assert_true(ag_kit_journal(*state));
	assert_int_equal(outcome(*state)->outcome, AG__OUTCOME_KIND__V__allowed);
	assert_no_outcome(*state);
}

static void
a_change_waits_so_long_only(void **state)
{
	Ag__AuditMarksReply marks = AG__AUDIT_MARKS_REPLY__INIT;
	Ag__JournalPullReply pull = AG__JOURNAL_PULL_REPLY__INIT;
	Ag__JournalRecord record = AG__JOURNAL_RECORD__INIT, *records = &record;
	const struct ag_kit_sent *ask = audit_comes_back(*state);
	const Ag__OutcomeEvent *out;

	assert_non_null(ask);
	operate(*state, AG_MSG_KEY_ACTIVATE, "key_1", "a", NULL);
	ag_kit_answer(*state, ask, AG_MSG_AUDIT_MARKS_REPLY, &marks);
	record.stream = record.tenant = record.author = (char *)"x";
	pull.records = &records;
	pull.n_records = 1;
	for (unsigned ms = 0; ms < 1990; ms += 398) { /* there is always one more */
		ag_kit_advance(*state, 398);
		ask = ag_kit_next(*state);
		assert_non_null(ask);
		assert_int_equal(ask->type, AG_MSG_JOURNAL_PULL_ASK);
		record.seq++;
		ag_kit_answer(*state, ask, AG_MSG_JOURNAL_PULL_REPLY, &pull);
	}
	ag_kit_advance(*state, 20);
	out = outcome(*state);
	assert_int_equal(out->refusal->err, AG_UNAVAILABLE);
	assert_string_equal(out->refusal->reason_code, "audit");
	assert_no_outcome(*state);
}

/* Audit goes again meanwhile: there is nobody to tell, so it is not done. */
static void
a_change_that_waits_does_not_outlive_audit(void **state)
{
	Ag__PeerEvent gone = AG__PEER_EVENT__INIT;

	assert_non_null(audit_comes_back(*state));
	operate(*state, AG_MSG_KEY_ACTIVATE, "key_1", "a", NULL);
	gone.slot = ag_slot(ag_kit_ctx(*state), AG_ROLE_AUDIT, 0);
	ag_kit_deliver(*state, AG_ROLE_NONE, 0, AG_MSG_PEER_EVENT, NULL, &gone);
	ag_kit_advance(*state, 600);
	assert_null(ag_kit_find(*state, AG_MSG_JOURNAL_APPEND_ASK));
}

/* Its ask was lost with a broker: soon it goes on without the answer. */
static void
a_change_does_not_wait_for_what_is_lost(void **state)
{
	assert_non_null(audit_comes_back(*state));
	operate(*state, AG_MSG_KEY_ACTIVATE, "key_1", "a", NULL);
	ag_kit_advance(*state, 490);
	assert_null(ag_kit_next(*state));
	ag_kit_advance(*state, 20);
	assert_true(ag_kit_journal(*state));
	assert_int_equal(outcome(*state)->outcome, AG__OUTCOME_KIND__V__allowed);
}

/* The fleet stops meanwhile: what waited is freed with the rest. */
static void
a_change_may_wait_when_all_ends(void **state)
{
	assert_non_null(audit_comes_back(*state));
	operate(*state, AG_MSG_KEY_ACTIVATE, "key_1", "a", NULL);
	ag_kit_advance(*state, 20);
	assert_null(ag_kit_next(*state));
}

static void
other_streams_go_on(void **state)
{
	struct probe *p = ag_kit_state(*state);

	operate(*state, AG_MSG_KEY_ACTIVATE, "key_1", "a", NULL);
	operate(*state, AG_MSG_KEY_ACTIVATE, "key_2", "b", NULL);
	assert_string_equal(p->order, "ab");
}

static void
a_lost_race_is_a_conflict_and_changes_nothing(void **state)
{
	struct probe *p = ag_kit_state(*state);

	p->applied = 5; /* so it expects a version that is not there */
	operate(*state, AG_MSG_KEY_ACTIVATE, "key_1", "a", NULL);
	assert_true(ag_kit_journal(*state));
	assert_int_equal(outcome(*state)->refusal->err, AG_CONFLICT);
	assert_int_equal(p->applied, 5);
}

static void
an_idempotent_repeat_gets_the_first_answer(void **state)
{
	struct probe *p = ag_kit_state(*state);
	uint8_t idem[32] = { 9 };
	Ag__JournalIdemReply known = AG__JOURNAL_IDEM_REPLY__INIT;
	const struct ag_kit_sent *ask;
	const Ag__OutcomeEvent *out;

	operate(*state, AG_MSG_KEY_ACTIVATE, "key_1", "a", idem);
	operate(*state, AG_MSG_KEY_ACTIVATE, "key_1", "b", idem);
	assert_int_equal(p->started, 0);
	assert_true(ag_kit_journal(*state)); /* unknown; commits */
	assert_int_equal(outcome(*state)->outcome, AG__OUTCOME_KIND__V__allowed);
	ask = ag_kit_find(*state, AG_MSG_JOURNAL_IDEM_ASK);
	assert_non_null(ask);
	known.known = true;
	known.has_same = known.same = true;
	known.has_reply_type = known.has_reply = true;
	known.reply_type = AG_MSG_KEY_ACTIVATE;
	ag_kit_answer(*state, ask, AG_MSG_JOURNAL_IDEM_REPLY, &known);
	out = outcome(*state);
	assert_true(out->replayed);
	assert_int_equal(p->started, 1);
}

/* Found by a stranger: what changed nothing was done anew by a repeat. */
static void
an_answer_without_a_change_is_kept(void **state)
{
	uint8_t idem[32] = { 9 };
	Ag__JournalIdemReply unknown = AG__JOURNAL_IDEM_REPLY__INIT;
	Ag__JournalAppendReply kept = AG__JOURNAL_APPEND_REPLY__INIT;
	const struct ag_kit_sent *ask;
	const Ag__JournalAppendAsk *append;
	const Ag__OutcomeEvent *out;

	((struct probe *)ag_kit_state(*state))->started = 1; /* no parking */
	operate(*state, AG_MSG_KEY_ROTATE, "key_1", "a", idem);
	ask = ag_kit_find(*state, AG_MSG_JOURNAL_IDEM_ASK);
	assert_non_null(ask);
	ag_kit_answer(*state, ask, AG_MSG_JOURNAL_IDEM_REPLY, &unknown);
	ask = ag_kit_next(*state); /* and nothing is said before it */
	assert_non_null(ask);
	assert_int_equal(ask->type, AG_MSG_JOURNAL_APPEND_ASK);
	append = ask->body;
	assert_int_equal(append->n_changes, 0);
	assert_true(append->has_idem && append->has_reply);
	assert_false(append->has_outcome);
	assert_memory_equal(append->idem.data, idem, sizeof(idem));
	assert_int_equal(append->reply_type, AG_MSG_KEY_ROTATE);
	assert_string_equal(append->tenant, "default");
	kept.first_seq = 1;
	ag_kit_answer(*state, ask, AG_MSG_JOURNAL_APPEND_REPLY, &kept);
	out = outcome(*state);
	assert_int_equal(out->outcome, AG__OUTCOME_KIND__V__allowed);
	assert_int_equal(out->reply_type, AG_MSG_KEY_ROTATE);
	assert_false(out->has_journal_seq);
	assert_no_outcome(*state);
}

/* And what cannot be kept is not answered. */
static void
an_answer_that_is_not_kept_is_a_refusal(void **state)
{
	uint8_t idem[32] = { 9 };
	Ag__JournalIdemReply unknown = AG__JOURNAL_IDEM_REPLY__INIT;

	((struct probe *)ag_kit_state(*state))->started = 1;
	operate(*state, AG_MSG_KEY_ROTATE, "key_1", "a", idem);
	ag_kit_answer(*state, ag_kit_find(*state, AG_MSG_JOURNAL_IDEM_ASK),
	    AG_MSG_JOURNAL_IDEM_REPLY, &unknown);
	ag_kit_answer_error(*state,
	    ag_kit_find(*state, AG_MSG_JOURNAL_APPEND_ASK), AG_UNAVAILABLE,
	    "journal");
	assert_int_equal(outcome(*state)->refusal->err, AG_UNAVAILABLE);
	assert_no_outcome(*state);
}

static void
an_idempotency_key_with_another_body_is_refused(void **state)
{
	uint8_t idem[32] = { 9 };
	Ag__JournalIdemReply known = AG__JOURNAL_IDEM_REPLY__INIT;
	const struct ag_kit_sent *ask;

	operate(*state, AG_MSG_KEY_ACTIVATE, "key_1", "a", idem);
	ask = ag_kit_find(*state, AG_MSG_JOURNAL_IDEM_ASK);
	known.known = true;
	ag_kit_answer(*state, ask, AG_MSG_JOURNAL_IDEM_REPLY, &known);
	assert_int_equal(outcome(*state)->refusal->err, AG_IDEMPOTENCY_MISMATCH);
}

static void
answer_ask(struct ag_kit *kit, const struct ag_kit_sent *ask)
{
	Ag__Done done = AG__DONE__INIT;

	assert_non_null(ask);
	ag_kit_answer(kit, ask, AG_MSG_DONE_REPLY, &done);
}

static void
a_parked_trip_runs_again_when_let_go(void **state)
{
	Ag__StreamStopOrder order = AG__STREAM_STOP_ORDER__INIT;

	operate(*state, AG_MSG_KEY_ROTATE, "key_1", "a", NULL);
	assert_no_outcome(*state);
	ag_kit_deliver(*state, AG_ROLE_PLANE, 0, AG_MSG_STREAM_STOP_ORDER, NULL,
	    &order);
	assert_int_equal(outcome(*state)->outcome, AG__OUTCOME_KIND__V__allowed);
	ag_kit_advance(*state, 1000);
	assert_no_outcome(*state);
}

/* Found by reading: an answered ask's timer stayed until its time, and more than
 * 13,000 asks of five seconds a second left no room for others. */
static void
an_answered_ask_leaves_no_timer(void **state)
{
	struct ag_ctx *ctx = ag_kit_ctx(*state);
	struct probe *p = ag_kit_state(*state);

	for (unsigned i = 0; i < 1000; i++) {
		operate(*state, AG_MSG_KEY_VERIFY, "key_1", "a", NULL);
		answer_ask(*state, ag_kit_find(*state, AG_MSG_ROT_DESTROY_ASK));
		assert_int_equal(outcome(*state)->outcome,
		    AG__OUTCOME_KIND__V__allowed);
	}
	assert_int_equal(p->finished, 1000);
	assert_in_range(ctx->timer_cap, 1, 128);
	/* One that has none still meets its time. */
	operate(*state, AG_MSG_KEY_VERIFY, "key_1", "a", NULL);
	ag_kit_advance(*state, 501);
	assert_int_equal(p->finished, 1001);
	assert_int_equal(outcome(*state)->refusal->err, AG_UNAVAILABLE);
}

/* Found by reading: the patience of a trip that was let go kept what it had
 * asked for, a secret maybe, for as long as it had been given. */
static void
a_trip_let_go_leaves_nothing(void **state)
{
	Ag__StreamStopOrder order = AG__STREAM_STOP_ORDER__INIT;
	struct ag_ctx *ctx = ag_kit_ctx(*state);
	struct probe *p = ag_kit_state(*state);
	unsigned trips = 0;

	for (unsigned i = 0; i < 1000; i++) {
		p->started = 0;
		operate(*state, AG_MSG_KEY_ROTATE, "key_1", "a", NULL);
		ag_kit_deliver(*state, AG_ROLE_PLANE, 0,
		    AG_MSG_STREAM_STOP_ORDER, NULL, &order);
		assert_int_equal(outcome(*state)->outcome,
		    AG__OUTCOME_KIND__V__allowed);
	}
	for (const struct ag_trip *t = ctx->trip_all; t != NULL; t = t->all) {
		assert_null(t->copy);
		trips++;
	}
	assert_in_range(trips, 1, 4);
	assert_in_range(ctx->timer_cap, 1, 128);
	/* The patience of one that was here before is not the next one's. */
	ag_kit_advance(*state, 30);
	p->started = 0;
	operate(*state, AG_MSG_KEY_ROTATE, "key_1", "a", NULL);
	ag_kit_advance(*state, 40);
	assert_no_outcome(*state);
	ag_kit_advance(*state, 20);
	assert_int_equal(outcome(*state)->refusal->err, AG_UNAVAILABLE);
}

static void
a_parked_trip_loses_patience(void **state)
{
	const Ag__OutcomeEvent *out;

	operate(*state, AG_MSG_KEY_ROTATE, "key_1", "a", NULL);
	ag_kit_advance(*state, 49);
	assert_no_outcome(*state);
	ag_kit_advance(*state, 2);
	out = outcome(*state);
	assert_int_equal(out->refusal->err, AG_UNAVAILABLE);
	assert_string_equal(out->refusal->reason_code, "response");
	assert_no_outcome(*state);
}

static void
an_expired_trip_is_not_worked_on(void **state)
{
	struct probe *p = ag_kit_state(*state);

	operate(*state, AG_MSG_KEY_ACTIVATE, "key_1", "a", NULL);
	operate(*state, AG_MSG_KEY_ACTIVATE, "key_1", "b", NULL);
	ag_kit_advance(*state, AG_DEADLINE_MS + 1);
	ag_kit_journal(*state);
	assert_string_equal(p->order, "a"); /* b's client has gone */
}

/* The envelope's deadline is a station's word; the grant's is iam's. */
static void
a_grant_kept_beyond_its_deadline_is_not_worked_on(void **state)
{
	Ag__Envelope env = AG__ENVELOPE__INIT;
	Ag__Verdict verdict = AG__VERDICT__INIT;
	Ag__Grant grant = AG__GRANT__INIT;
	Ag__Nothing nothing = AG__NOTHING__INIT;
	uint8_t digest[32];

	ag_sha256("", 0, digest);
	grant.op = AG_MSG_KEY_READ;
	grant.resource_id = (char *)"key_1";
	grant.has_body_digest = true;
	grant.body_digest.data = digest;
	grant.body_digest.len = sizeof(digest);
	ag_kit_grant(*state, &grant, &env);
	verdict.decision = AG__DECISION__V__allow;
	verdict.model_version = (char *)"kit";
	env.verdict = &verdict;
	ag_kit_deliver(*state, AG_ROLE_RISK, 0, AG_MSG_KEY_READ, &env, &nothing);
	assert_int_equal(outcome(*state)->outcome, AG__OUTCOME_KIND__V__allowed);
	ag_kit_advance(*state, AG_DEADLINE_MS + 1);
	env.deadline_ms += 60000;
	ag_kit_deliver(*state, AG_ROLE_RISK, 0, AG_MSG_KEY_READ, &env, &nothing);
	assert_no_outcome(*state);
	free(env.grant.data);
	free(env.grant_mac.data);
}

/* A policy's deadline is before the asker's, who waits to hear of it. */
static void
a_short_deadline_that_is_past_is_said(void **state)
{
	Ag__Envelope env = AG__ENVELOPE__INIT;
	Ag__Verdict verdict = AG__VERDICT__INIT;
	Ag__Grant grant = AG__GRANT__INIT;
	Ag__Nothing nothing = AG__NOTHING__INIT;
	const Ag__OutcomeEvent *out;
	uint8_t digest[32];

	ag_sha256("", 0, digest);
	grant.op = AG_MSG_KEY_READ;
	grant.resource_id = (char *)"key_1";
	grant.has_body_digest = true;
	grant.body_digest.data = digest;
	grant.body_digest.len = sizeof(digest);
	grant.has_short_deadline = grant.short_deadline = true;
	grant.deadline_ms = ag_mono_ms(ag_kit_ctx(*state)) + 50;
	ag_kit_grant(*state, &grant, &env);
	verdict.decision = AG__DECISION__V__allow;
	verdict.model_version = (char *)"kit";
	env.verdict = &verdict;
	env.deadline_ms += 60000;
	ag_kit_advance(*state, 50);
	ag_kit_deliver(*state, AG_ROLE_RISK, 0, AG_MSG_KEY_READ, &env, &nothing);
	assert_int_equal(outcome(*state)->outcome, AG__OUTCOME_KIND__V__allowed);
	ag_kit_advance(*state, 1);
	ag_kit_deliver(*state, AG_ROLE_RISK, 0, AG_MSG_KEY_READ, &env, &nothing);
	out = outcome(*state);
	assert_int_equal(out->refusal->err, AG_DEADLINE_EXCEEDED);
	assert_string_equal(out->refusal->reason_code, "constraint_timeout");
	ag_kit_advance(*state, 60001); /* nobody waits any more */
	ag_kit_deliver(*state, AG_ROLE_RISK, 0, AG_MSG_KEY_READ, &env, &nothing);
	assert_no_outcome(*state);
	free(env.grant.data);
	free(env.grant_mac.data);
}

/* Whoever ends it: one outcome, and what comes later finds it over. */
static void
a_trip_may_end_while_it_asks(void **state)
{
	struct probe *p = ag_kit_state(*state);

	operate(*state, AG_MSG_KEY_PUBLIC, "key_1", "a", NULL);
	answer_ask(*state, ag_kit_find(*state, AG_MSG_ROT_DESTROY_ASK));
	assert_int_equal(p->finished, 1);
	assert_int_equal(outcome(*state)->outcome, AG__OUTCOME_KIND__V__allowed);
	assert_no_outcome(*state);
	operate(*state, AG_MSG_KEY_PUBLIC, "key_1", "b", NULL);
	ag_kit_advance(*state, 501);
	assert_int_equal(p->finished, 2);
	assert_non_null(ag_kit_find(*state, AG_MSG_OUTCOME_EVENT));
	assert_no_outcome(*state);
}

static void
a_trip_may_end_while_it_asks_and_is_parked(void **state)
{
	struct probe *p = ag_kit_state(*state);

	operate(*state, AG_MSG_KEY_CANCEL_DESTROY, "key_1", "a", NULL);
	answer_ask(*state, ag_kit_find(*state, AG_MSG_ROT_DESTROY_ASK));
	assert_int_equal(outcome(*state)->outcome, AG__OUTCOME_KIND__V__allowed);
	ag_kit_advance(*state, 60); /* its patience ends, too */
	assert_no_outcome(*state);
	assert_int_equal(p->started, 1);
}

static void
a_parked_trip_that_lost_patience_may_still_ask(void **state)
{
	struct probe *p = ag_kit_state(*state);
	const struct ag_kit_sent *ask;

	operate(*state, AG_MSG_KEY_CANCEL_DESTROY, "key_1", "a", NULL);
	ag_kit_advance(*state, 60);
	ask = ag_kit_find(*state, AG_MSG_ROT_DESTROY_ASK);
	answer_ask(*state, ask);
	assert_int_equal(p->finished, 1);
	assert_int_equal(outcome(*state)->refusal->err, AG_UNAVAILABLE);
	assert_no_outcome(*state);
}

static void
a_trip_let_go_and_answered_is_not_run_again(void **state)
{
	struct probe *p = ag_kit_state(*state);

	operate(*state, AG_MSG_KEY_JWK, "key_1", "a", NULL);
	answer_ask(*state, ag_kit_find(*state, AG_MSG_ROT_DESTROY_ASK));
	assert_int_equal(outcome(*state)->outcome, AG__OUTCOME_KIND__V__allowed);
	ag_kit_advance(*state, 600);
	assert_no_outcome(*state);
	assert_int_equal(p->started, 1);
}

static void
slow_work_comes_back(void **state)
{
	operate(*state, AG_MSG_KEY_DEACTIVATE, "key_1", "a", NULL);
	assert_no_outcome(*state);
	ag_kit_work(*state);
	assert_int_equal(outcome(*state)->outcome, AG__OUTCOME_KIND__V__allowed);
}

/* Somebody who stood still answers what was asked before we were restarted. */
static void
an_answer_for_an_earlier_start_finds_nobody(void **state)
{
	struct ag_kit *earlier = ag_kit_new(&probe, NULL, NULL);
	const struct ag_kit_sent *ask;
	uint64_t corr;

	operate(earlier, AG_MSG_KEY_VERIFY, "key_1", "a", NULL);
	ask = ag_kit_find(earlier, AG_MSG_ROT_DESTROY_ASK);
	assert_non_null(ask);
	corr = ask->env->corr;
	operate(*state, AG_MSG_KEY_VERIFY, "key_1", "a", NULL);
	ask = ag_kit_find(*state, AG_MSG_ROT_DESTROY_ASK);
	assert_non_null(ask);
	assert_int_not_equal(ask->env->corr, corr);
	((Ag__Envelope *)(uintptr_t)ask->env)->corr = corr;
	answer_ask(*state, ask);
	assert_no_outcome(*state);
	ag_kit_free(&earlier);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_reply_is_one_allowed_outcome),
		T(an_error_is_one_refusal_with_its_reason),
		T(a_pointer_names_a_member),
		T(a_handler_that_forgets_to_answer_is_a_general_failure),
		T(a_forged_grant_is_not_worked_on),
		T(a_body_that_iam_did_not_see_is_not_worked_on),
		T(without_a_verdict_it_is_refused),
		T(garbage_frames_are_survived),
		T(who_asks_is_answered_though_nobody_said_it_is_there),
		T(an_ask_resumes_its_trip),
		T(an_ask_without_answer_ends_in_unavailable),
		T(a_change_waits_for_the_journal_and_others_for_the_change),
		T(a_change_takes_its_turn_behind_outcomes_said_again),
		T(a_change_waits_so_long_only),
		T(a_change_that_waits_does_not_outlive_audit),
		T(a_change_does_not_wait_for_what_is_lost),
		T(a_change_may_wait_when_all_ends),
		T(other_streams_go_on),
		T(a_lost_race_is_a_conflict_and_changes_nothing),
		T(an_idempotent_repeat_gets_the_first_answer),
		T(an_answer_without_a_change_is_kept),
		T(an_answer_that_is_not_kept_is_a_refusal),
		T(an_idempotency_key_with_another_body_is_refused),
		T(a_parked_trip_runs_again_when_let_go),
		T(an_answered_ask_leaves_no_timer),
		T(a_trip_let_go_leaves_nothing),
		T(a_parked_trip_loses_patience),
		T(an_expired_trip_is_not_worked_on),
		T(a_short_deadline_that_is_past_is_said),
		T(a_grant_kept_beyond_its_deadline_is_not_worked_on),
		T(a_trip_may_end_while_it_asks),
		T(a_trip_may_end_while_it_asks_and_is_parked),
		T(a_parked_trip_that_lost_patience_may_still_ask),
		T(a_trip_let_go_and_answered_is_not_run_again),
		T(slow_work_comes_back),
		T(an_answer_for_an_earlier_start_finds_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
