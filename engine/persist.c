/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Persistent actors: a change is an append to the journal; only when the
 * journal has it is it applied, and only then is it answered. The append
 * carries the outcome, too, so that a crash behind it loses no record
 * (follow.c delivers it again), and the answer for a repeated Idempotency-Key.
 */
#include "ctx.h"

#include <stdlib.h>
#include <string.h>

/* What is remembered until the journal answers. */
struct append {
	ag_then *then;
	void *then_memo; /* owned */
	size_t then_memo_size;
	uint16_t reply_type;
	uint8_t *reply; /* owned; may hold a secret: wiped */
	size_t reply_len;
	Ag__JournalAppendAsk *ask; /* owned copy, for apply */
	bool own; /* its outcome is its own, not the trip's */
	unsigned waited_ms; /* for outcomes that are delivered again */
};

static const unsigned WAIT_STEP_MS = 5;
static const unsigned WAIT_MAX_MS = 2000;

static void
append_free(struct append *a)
{
	if (a->reply != NULL)
		ag_wipe(a->reply, a->reply_len);
	if (a->then_memo != NULL)
		ag_wipe(a->then_memo, a->then_memo_size);
	free(a->reply);
	free(a->then_memo);
	if (a->ask != NULL)
		ag__journal_append_ask__free_unpacked(a->ask, NULL);
	memset(a, 0, sizeof(*a));
}

/* The facts of our own append, applied as they were committed. */
static ag_err
apply_own(struct ag_ctx *ctx, const struct append *a,
    const Ag__JournalAppendReply *reply)
{
	ag_err err = AG_OK;

	for (size_t i = 0; i < a->ask->n_changes && err == AG_OK; i++) {
		const Ag__Change *c = a->ask->changes[i];
		Ag__JournalRecord record = AG__JOURNAL_RECORD__INIT;

		record.seq = reply->first_seq + i;
		record.stream = c->stream;
		record.version = c->expected_version + 1;
		record.type = c->type;
		record.event = c->event;
		record.committed_at = reply->committed_at;
		record.tenant = a->ask->tenant;
		record.author = ctx->boot->self->name;
		err = follow_apply(ctx, &record);
	}
	return err;
}

static ag_err
finish_append(struct ag_ctx *ctx, struct append *a, ag_err status)
{
	if (a->then != NULL)
		return a->then(ctx->state, ctx, status, NULL, a->then_memo);
	if (status != AG_OK)
		return status;
	if (ctx->trip == NULL || a->reply == NULL)
		return AG_OK;
	return trip_answer_packed(ctx, a->reply_type, a->reply, a->reply_len);
}

/* No answer; or one that shows that an earlier one was lost. */
static bool
append_doubtful(struct ag_ctx *ctx, ag_err status,
    const Ag__JournalAppendReply *reply, size_t changes)
{
	/* The last is the journal's own word for it. */
	if (status == AG_TIMEOUT || status == AG_NOBODY ||
	    status == AG_DEADLINE_EXCEEDED)
		return ctx->kit == NULL;
	if (reply == NULL || ctx->actor->follow == AG_FOLLOW_LIVE)
		return false;
	/* Pushed before the answer: it is applied, or it was lost. */
	if (ctx->live)
		return reply->first_seq + changes - 1 > ctx->journal_pos;
	return reply->has_prev_seq && reply->prev_seq > ctx->journal_pos;
}

/* The change is done, or will be found not to be: the record says that it is
 * unknown, and the journal's outcome, if there is one, follows it. */
static ag_err
end_doubtful(struct ag_ctx *ctx, struct append *a)
{
	ag_err err = ag_refuse(ctx, AG_DEADLINE_EXCEEDED, NULL, NULL,
	    "whether it was done is not known yet");

	follow_resync(ctx);
	return finish_append(ctx, a, err);
}

/* Of a change that is not a request's: nobody else says it. */
static ag_err
say_own(struct ag_ctx *ctx, struct append *a, uint64_t seq, uint64_t prev)
{
	Ag__OutcomeEvent *outcome = ag_unpack(ctx,
	    &ag__outcome_event__descriptor, a->ask->outcome.data,
	    a->ask->outcome.len);

	if (outcome == NULL)
		return AG_NO_MEMORY;
	outcome->has_journal_seq = outcome->has_journal_prev = true;
	outcome->journal_seq = seq;
	outcome->journal_prev = prev;
	return ag_record(ctx, outcome);
}

/* What became of the outcome that the append carried. */
static void
outcome_begin(struct ag_ctx *ctx, struct append *a,
    const Ag__JournalAppendReply *reply)
{
	uint64_t seq = reply->first_seq + a->ask->n_changes - 1;

	if (a->ask->has_outcome && ctx->outcome_last < seq)
		ctx->outcome_last = seq;
	if (ctx->redelivering) {
		/* It goes with the others, in order. */
		ctx->redeliver_again = true;
		if (ctx->trip != NULL && a->ask->has_outcome && !a->own)
			ctx->trip->ended = true;
	} else if (a->ask->has_outcome && ctx->trip != NULL && !a->own) {
		ctx->trip->journal_seq = seq;
		ctx->trip->journal_prev = reply->prev_outcome;
	} else if (a->ask->has_outcome && say_own(ctx, a, seq,
	    reply->prev_outcome) != AG_OK) {
		ctx->marks_pending = true;
	}
}

static ag_err
on_appended(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	const Ag__JournalAppendReply *reply = msg;
	struct append *a = memo;
	ag_err err;

	(void)state;
	if (append_doubtful(ctx, status, reply, a->ask->n_changes)) {
		err = end_doubtful(ctx, a);
		append_free(a);
		return err;
	}
	if (status == AG_OK && !ctx->live)
		status = apply_own(ctx, a, reply);
	if (reply != NULL)
		outcome_begin(ctx, a, reply);
	err = finish_append(ctx, a, status);
	append_free(a);
	return err;
}

/* The memo, and what it owns, passes on: AG_PENDING. Else it is the caller's. */
static ag_err
append_send(struct ag_ctx *ctx, const struct append *a)
{
	return ag_ask(ctx, ag_slot(ctx, AG_ROLE_JOURNAL, 0),
	    AG_MSG_JOURNAL_APPEND_ASK, a->ask, AG_MSG_JOURNAL_APPEND_REPLY,
	    JOURNAL_TIMEOUT_MS, on_appended, a, sizeof(*a));
}

static ag_err
then_send(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo);

/* Outcomes before this one are on their way to audit: it takes its turn. */
static ag_err
append_when_told(struct ag_ctx *ctx, struct append *a)
{
	/* A change whose record cannot be delivered must not happen now. */
	if (!ag_slot_up(ctx, ag_slot(ctx, AG_ROLE_AUDIT, 0)))
		return ag_refuse(ctx, AG_UNAVAILABLE, "audit", NULL,
		    "the audit log is not there");
	if (!ctx->redelivering)
		return append_send(ctx, a);
	if ((a->waited_ms += WAIT_STEP_MS) > WAIT_MAX_MS)
		return ag_refuse(ctx, AG_UNAVAILABLE, "audit", NULL,
		    "the audit log is still being told what it missed");
	return ag_after(ctx, WAIT_STEP_MS, then_send, a, sizeof(*a));
}

static ag_err
then_send(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct append *a = memo;
	ag_err err = append_when_told(ctx, a);

	(void)state;
	(void)status;
	(void)msg;
	if (err != AG_PENDING) {
		err = finish_append(ctx, a, err);
		append_free(a);
	}
	return err;
}

/* At the end of the process: of an append whose answer will not come. */
void
persist_forget(ag_then *then, void *memo)
{
	if (then == on_appended || then == then_send)
		append_free(memo);
}

static ag_err
pack_changes(struct ag_ctx *ctx, const struct ag_fact *facts, size_t count,
    Ag__JournalAppendAsk *ask)
{
	Ag__Change *changes = ag_alloc(ctx, count * sizeof(*changes));
	Ag__Change **list = ag_alloc(ctx, count * sizeof(*list));

	if (changes == NULL || list == NULL)
		return AG_NO_MEMORY;
	for (size_t i = 0; i < count; i++) {
		Ag__Change *c = list[i] = &changes[i];

		ag__change__init(c);
		c->stream = (char *)facts[i].stream;
		c->expected_version = facts[i].expected_version;
		c->type = facts[i].type;
		c->event.data = ag_pack(ctx, facts[i].fact, &c->event.len);
		if (c->event.data == NULL)
			return AG_NO_MEMORY;
	}
	ask->changes = list;
	ask->n_changes = count;
	return AG_OK;
}

static bool
cannot_seal(struct ag_ctx *ctx, const Ag__Grant *grant)
{
	const struct ag_operation *op = ag_operation_find(ag_type(ctx));

	return op != NULL && (op->flags & AG_OP_SECRET) != 0 &&
	    (!grant->has_reply_key || grant->reply_key.len != AG_SEAL_KEY_BYTES);
}

/*
 * What the journal keeps of what is to be said: it forgets nothing and redacts
 * nothing, so a prompt's text is not among it. One that is told again from there
 * has the prompt's hash alone. Its grant is not the one that iam signed, which
 * is not looked at then. An answer is kept only where the record is made of it
 * (AG_OP_TOLD).
 */
static ag_err
pack_outcome(struct ag_ctx *ctx, const Ag__Grant *grant, uint16_t reply_type,
    const void *reply, Ag__JournalAppendAsk *ask)
{
	const struct ag_operation *op = ag_operation_find(ag_type(ctx));
	Ag__OutcomeEvent outcome;
	Ag__Grant kept;

	trip_outcome(ctx, AG_OK, &outcome);
	if (reply != NULL && op != NULL && (op->flags & AG_OP_TOLD) != 0) {
		outcome.has_reply_type = outcome.has_reply = true;
		outcome.reply_type = reply_type;
		outcome.reply.data = ag_pack(ctx, reply, &outcome.reply.len);
		if (outcome.reply.data == NULL)
			return AG_NO_MEMORY;
	}
	if (grant->prompt != NULL) {
		kept = *grant;
		kept.prompt = NULL;
		outcome.grant.data = ag_pack(ctx, &kept, &outcome.grant.len);
		outcome.has_grant_mac = false;
		if (outcome.grant.data == NULL)
			return AG_NO_MEMORY;
	}
	ask->has_outcome = true;
	ask->outcome.data = ag_pack(ctx, &outcome, &ask->outcome.len);
	return ask->outcome.data == NULL ? AG_NO_MEMORY : AG_OK;
}

/* What a repeat of the request is to be told. */
static ag_err
pack_kept(struct ag_ctx *ctx, const Ag__Grant *grant, uint16_t reply_type,
    const void *reply, Ag__JournalAppendAsk *ask)
{
	ask->has_idem = ask->has_body_digest = true;
	ask->idem = grant->idem;
	ask->body_digest = grant->body_digest;
	ask->has_reply_type = ask->has_reply = true;
	ask->reply_type = reply_type;
	ask->reply.data = ag_pack(ctx, reply, &ask->reply.len);
	return ask->reply.data == NULL ? AG_NO_MEMORY : AG_OK;
}

static void
pack_who(const Ag__Grant *grant, Ag__JournalAppendAsk *ask)
{
	ask->tenant = grant->tenant;
	ask->actor_id = grant->actor_id;
	ask->has_request_id = true;
	ask->request_id = grant->request_id;
}

/* Who, for whom, and what is to be said about it, from the trip; apart: it is
 * not what the trip comes to, so nothing is said. */
static ag_err
pack_trip(struct ag_ctx *ctx, Ag__JournalAppendAsk *ask, uint16_t reply_type,
    const void *replay, const Ag__OutcomeEvent *own, bool apart)
{
	const Ag__Grant *grant = ag_grant(ctx);
	ag_err err = AG_OK;

	ask->tenant = (char *)"system";
	if (apart && grant != NULL)
		pack_who(grant, ask);
	if (apart || (grant == NULL && own == NULL))
		return AG_OK;
	if (grant == NULL) {
		ask->has_outcome = true;
		ask->outcome.data = ag_pack(ctx, own, &ask->outcome.len);
		return ask->outcome.data == NULL ? AG_NO_MEMORY : AG_OK;
	}
	/* Not done first, and found then that its answer cannot be sealed. */
	if (cannot_seal(ctx, grant))
		return AG_BAD_MESSAGE;
	pack_who(grant, ask);
	if (grant->has_idem && replay != NULL)
		err = pack_kept(ctx, grant, reply_type, replay, ask);
	return err != AG_OK ? err :
	    pack_outcome(ctx, grant, reply_type, replay, ask);
}

static ag_err
remember(struct ag_ctx *ctx, struct append *a, const Ag__JournalAppendAsk *ask,
    uint16_t reply_type, const void *reply, ag_then *then, const void *memo,
    size_t memo_size)
{
	size_t len;
	uint8_t *bytes = ag_pack(ctx, ask, &len);

	if (bytes != NULL)
		a->ask = ag__journal_append_ask__unpack(NULL, len, bytes);
	if (a->ask == NULL)
		return AG_NO_MEMORY;
	a->reply_type = reply_type;
	a->then = then;
	if (reply != NULL) {
		a->reply_len = protobuf_c_message_get_packed_size(reply);
		a->reply = malloc(a->reply_len + 1);
		if (a->reply == NULL)
			return AG_NO_MEMORY;
		protobuf_c_message_pack(reply, a->reply);
	}
	if (memo_size > 0) {
		a->then_memo = malloc(memo_size);
		if (a->then_memo == NULL)
			return AG_NO_MEMORY;
		memcpy(a->then_memo, memo, memo_size);
		a->then_memo_size = memo_size;
	}
	return AG_OK;
}

static ag_err
persist(struct ag_ctx *ctx, const struct ag_fact *facts, size_t count,
    uint16_t reply_type, const void *reply, const void *replay,
    const Ag__OutcomeEvent *own, bool apart, ag_then *then, const void *memo,
    size_t memo_size)
{
	Ag__JournalAppendAsk ask = AG__JOURNAL_APPEND_ASK__INIT;
	struct append a = { 0 };
	ag_err err;

	if ((err = pack_changes(ctx, facts, count, &ask)) != AG_OK ||
	    (err = pack_trip(ctx, &ask, reply_type,
	        replay != NULL ? replay : reply, own, apart)) != AG_OK)
		return err;
	a.own = own != NULL && ag_grant(ctx) == NULL;
	err = remember(ctx, &a, &ask, reply_type, reply, then, memo, memo_size);
	if (err == AG_OK)
		err = append_when_told(ctx, &a);
	if (err != AG_PENDING)
		append_free(&a);
	return err;
}

ag_err
ag_persist(struct ag_ctx *ctx, const struct ag_fact *facts, size_t count,
    uint16_t reply_type, const void *reply, const void *replay, ag_then *then,
    const void *memo, size_t memo_size)
{
	return persist(ctx, facts, count, reply_type, reply, replay, NULL, false,
	    then, memo, memo_size);
}

ag_err
ag_persist_recorded(struct ag_ctx *ctx, const struct ag_fact *facts,
    size_t count, const Ag__OutcomeEvent *outcome, ag_then *then,
    const void *memo, size_t memo_size)
{
	return persist(ctx, facts, count, 0, NULL, NULL, outcome, false, then,
	    memo, memo_size);
}

ag_err
ag_persist_before(struct ag_ctx *ctx, const struct ag_fact *facts, size_t count,
    ag_then *then, const void *memo, size_t memo_size)
{
	return persist(ctx, facts, count, 0, NULL, NULL, NULL, true, then, memo,
	    memo_size);
}

ag_err
ag_persist_apart(struct ag_ctx *ctx, const struct ag_fact *facts, size_t count,
    ag_then *then, const void *memo, size_t memo_size)
{
	struct ag_trip *trip = ctx->trip;
	ag_err err;

	ctx->trip = NULL;
	err = persist(ctx, facts, count, 0, NULL, NULL, NULL, true, then, memo,
	    memo_size);
	ctx->trip = trip;
	return err;
}

/* ------------------------------------------------------ Idempotency-Key */

/* Of a change the append keeps the answer; what changed nothing has none. Secrets
 * are not kept, and no operation with a secret answer changes nothing. */
bool
persist_is_owed(const struct ag_ctx *ctx)
{
	const struct ag_trip *trip = ctx->trip;

	return trip->idem_checked && trip->journal_seq == 0 &&
	    (ag_operation_find(trip->type)->flags & AG_OP_SECRET) == 0;
}

/* An append without a change: it is answered when the journal has its answer. */
ag_err
persist_answer(struct ag_ctx *ctx, uint16_t type, const void *reply)
{
	Ag__JournalAppendAsk ask = AG__JOURNAL_APPEND_ASK__INIT;
	const Ag__Grant *grant = ag_grant(ctx);
	struct append a = { 0 };
	ag_err err = pack_kept(ctx, grant, type, reply, &ask);

	pack_who(grant, &ask);
	if (err == AG_OK)
		err = remember(ctx, &a, &ask, type, reply, NULL, NULL, 0);
	if (err == AG_OK)
		err = append_send(ctx, &a);
	if (err != AG_PENDING)
		append_free(&a);
	return err;
}

static ag_err
on_idem(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	const Ag__JournalIdemReply *reply = msg;
	const struct ag_operation *op = ag_operation_find(ag_type(ctx));
	const void *body;

	(void)memo;
	if (status != AG_OK)
		return status;
	if (reply->known && !reply->same)
		return ag_refuse(ctx, AG_IDEMPOTENCY_MISMATCH, NULL,
		    "Idempotency-Key", "this key was used with another body");
	if (reply->known)
		return trip_answer(ctx, AG_OK, (uint16_t)reply->reply_type,
		    reply->reply.data, reply->reply.len, false, true);
	ctx->trip->idem_checked = true;
	for (size_t i = 0; i < ctx->actor->row_count; i++) {
		if (ctx->actor->rows[i].type != op->type)
			continue;
		body = ag_unpack(ctx, op->ask, ctx->trip->body,
		    ctx->trip->body_len);
		return body == NULL ? AG_BAD_MESSAGE :
		    ctx->actor->rows[i].handle(state, ctx, body);
	}
	return AG_BAD_MESSAGE;
}

/* Before the handler: concurrent repeats wait for the first one's end. */
ag_err
persist_idem(struct ag_ctx *ctx)
{
	const Ag__Grant *grant = ag_grant(ctx);
	Ag__JournalIdemAsk ask = AG__JOURNAL_IDEM_ASK__INIT;
	char name[STREAM_NAME_MAX] = "idem:";
	ag_err err;

	if (grant->idem.len != 32)
		return AG_BAD_MESSAGE;
	ag_hex(grant->idem.data, grant->idem.len, name + strlen(name));
	if ((err = ag_enter(ctx, name, true)) != AG_OK)
		return err;
	ask.idem = grant->idem;
	ask.body_digest = grant->body_digest;
	return ag_ask(ctx, ag_slot(ctx, AG_ROLE_JOURNAL, 0),
	    AG_MSG_JOURNAL_IDEM_ASK, &ask, AG_MSG_JOURNAL_IDEM_REPLY,
	    JOURNAL_TIMEOUT_MS, on_idem, NULL, 0);
}
