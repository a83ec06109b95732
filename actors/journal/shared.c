/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shared: the truth is in PostgreSQL, where several nodes append to it. A turn's
 * appends and look-ups are one round trip: they are gathered while its messages
 * are worked on and sent, with the question for what is new, when it ends; the
 * statement `append` commits by itself. What comes back enters this node's copy
 * (tail.c), and only then is anybody answered.
 *
 * The loop waits for that trip, as it waits for the disk otherwise, but never
 * longer than journal.postgres.timeout_ms; and while nobody is there it does
 * not wait at all: changes are refused with 503 at once. What was sent when the
 * connection broke may have been done. Its asker is told so, and
 * hears of the records, if there are any, when they are read.
 */
#include "fact.h"
#include "shared.h"

#include <stdlib.h>
#include <string.h>

static const enum column_type types[PARAM_COUNT] = {
	[A_COUNT] = COLUMN_INT4, [A_TENANT] = COLUMN_TEXT,
	[A_ACTOR] = COLUMN_TEXT, [A_AUTHOR] = COLUMN_TEXT,
	[A_REQUEST] = COLUMN_BYTES, [A_OUTCOME] = COLUMN_BYTES,
	[A_IDEM] = COLUMN_BYTES, [A_BODY] = COLUMN_BYTES,
	[A_REPLY_TYPE] = COLUMN_INT4, [A_REPLY] = COLUMN_BYTES,
	[C_STREAM] = COLUMN_TEXT, [C_EXPECTED] = COLUMN_INT8,
	[C_TYPE] = COLUMN_INT4, [C_FACT] = COLUMN_BYTES,
	[C_ENDED] = COLUMN_BOOL,
};

enum { FIXED = 3, O_STATUS = 0, O_FIRST, O_LAST, O_PREV, O_STREAM, O_VERSION };
enum { DONE = 0, MOVED = 1, REPEATED = 2, ENDED = 3 }; /* o_status */

static void
clear(struct shared *s)
{
	for (unsigned i = 0; i < PARAM_COUNT; i++)
		column_clear(&s->params[i], types[i]);
	column_clear(&s->lookups, COLUMN_BYTES);
	PQclear(s->appended);
	PQclear(s->answers);
	s->appended = s->answers = NULL;
	s->first = s->last = 0;
	s->asked_count = 0;
}

/* ------------------------------------------------------------------ gathering */

static int
ends(struct ag_ctx *ctx, const Ag__Change *change)
{
	uint16_t type = (uint16_t)change->type;

	return fact_ends(type, !fact_tells(type) ? NULL : ag_unpack(ctx,
	    ag_message_find(type)->body, change->event.data, change->event.len));
}

static void
optional(struct column *c, protobuf_c_boolean has,
    const ProtobufCBinaryData *bytes)
{
	if (has)
		column_bytes(c, bytes->data, bytes->len);
	else
		column_null(c);
}

static void
gather(struct shared *s, struct ag_ctx *ctx, const Ag__JournalAppendAsk *ask)
{
	struct column *p = s->params;

	column_number(&p[A_COUNT], ask->n_changes);
	column_text(&p[A_TENANT], ask->tenant);
	column_text(&p[A_ACTOR], ask->actor_id);
	column_text(&p[A_AUTHOR], ag_slot_name(ctx, ag_from(ctx)));
	optional(&p[A_REQUEST], ask->has_request_id, &ask->request_id);
	optional(&p[A_OUTCOME], ask->has_outcome, &ask->outcome);
	optional(&p[A_IDEM], ask->has_idem, &ask->idem);
	optional(&p[A_BODY], ask->has_idem, &ask->body_digest);
	column_number(&p[A_REPLY_TYPE], ask->reply_type);
	column_bytes(&p[A_REPLY], ask->reply.data,
	    ask->has_reply ? ask->reply.len : 0);
	for (size_t i = 0; i < ask->n_changes; i++) {
		const Ag__Change *change = ask->changes[i];
		int ended = ends(ctx, change);

		column_text(&p[C_STREAM], change->stream);
		column_number(&p[C_EXPECTED], change->expected_version);
		column_number(&p[C_TYPE], change->type);
		column_bytes(&p[C_FACT], change->event.data, change->event.len);
		if (ended < 0)
			column_null(&p[C_ENDED]);
		else
			column_number(&p[C_ENDED], (uint64_t)ended);
	}
}

/* What the copy knows already need not be asked: streams only grow. */
static ag_err
check_moved(struct ag_ctx *ctx, const Ag__JournalAppendAsk *ask)
{
	for (size_t i = 0; i < ask->n_changes; i++) {
		const Ag__Change *change = ask->changes[i];
		uint64_t version;
		ag_err err = stream_version(ctx, change->stream, &version);

		if (err != AG_OK)
			return err;
		if (version <= change->expected_version)
			continue;
		ag_metric_add(ctx, M_CONFLICTS, 1);
		return ag_refuse(ctx, AG_CONFLICT, NULL, NULL,
		    "%s is at version %llu, not %llu", change->stream,
		    (unsigned long long)version,
		    (unsigned long long)change->expected_version);
	}
	return AG_OK;
}

/* ----------------------------------------------------------------- answering */

struct memo {
	size_t row; /* of the appends */
	uint8_t idem[IDEM_BYTES], body[32];
};

static ag_err
unsaid(struct ag_ctx *ctx, ag_err status)
{
	if (status == AG_TIMEOUT)
		return ag_refuse(ctx, AG_DEADLINE_EXCEEDED, NULL, NULL,
		    "the database was lost; whether it was done is not known yet");
	ag_refuse_retry(ctx, 1);
	return ag_refuse(ctx, status, "journal", NULL,
	    "the database cannot be reached now");
}

static ag_err
on_appended(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *arg)
{
	const struct memo *memo = arg;
	struct journal *j = state;
	struct shared *s = j->shared;
	Ag__JournalAppendReply reply = AG__JOURNAL_APPEND_REPLY__INIT;
	int row = (int)memo->row;

	(void)msg;
	if (status != AG_OK)
		return unsaid(ctx, status);
	switch (atoi(PQgetvalue(s->appended, row, O_STATUS))) {
	case DONE:
		reply.first_seq = strtoull(PQgetvalue(s->appended, row, O_FIRST),
		    NULL, 10);
		reply.committed_at = s->at_ms;
		reply.has_prev_outcome = true;
		reply.prev_outcome = strtoull(PQgetvalue(s->appended, row,
		    O_PREV), NULL, 10);
		return ag_reply(ctx, AG_MSG_JOURNAL_APPEND_REPLY, &reply);
	case REPEATED:
		return ag_refuse(ctx, AG_CONFLICT, NULL, NULL,
		    "this Idempotency-Key has its answer");
	case ENDED:
		return ag_refuse(ctx, AG_CONFLICT, NULL, NULL,
		    "%s has ended: there is no way back",
		    PQgetvalue(s->appended, row, O_STREAM));
	default: /* MOVED */
		ag_metric_add(ctx, M_CONFLICTS, 1);
		return ag_refuse(ctx, AG_CONFLICT, NULL, NULL,
		    "%s is at version %s", PQgetvalue(s->appended, row, O_STREAM),
		    PQgetvalue(s->appended, row, O_VERSION));
	}
}

static ag_err
on_looked_up(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *arg)
{
	Ag__JournalIdemAsk ask = AG__JOURNAL_IDEM_ASK__INIT;
	struct journal *j = state;
	PGresult *r = j->shared->answers;
	struct memo *memo = arg;

	(void)msg;
	if (status != AG_OK)
		return unsaid(ctx, AG_UNAVAILABLE); /* nothing was to be done */
	ask.body_digest.data = memo->body;
	ask.body_digest.len = sizeof(memo->body);
	for (int i = 0; i < PQntuples(r); i++) {
		const uint8_t *type = (const uint8_t *)PQgetvalue(r, i, 2);

		if (PQgetlength(r, i, 0) != IDEM_BYTES ||
		    PQgetlength(r, i, 1) != sizeof(memo->body) ||
		    memcmp(PQgetvalue(r, i, 0), memo->idem, IDEM_BYTES) != 0)
			continue;
		return idem_answer(ctx, &ask,
		    (const uint8_t *)PQgetvalue(r, i, 1),
		    (uint32_t)type[2] << 8 | type[3],
		    (const uint8_t *)PQgetvalue(r, i, 3),
		    (size_t)PQgetlength(r, i, 3));
	}
	return idem_answer(ctx, &ask, NULL, 0, NULL, 0);
}

static ag_err
wait_turn(struct shared *s, struct ag_ctx *ctx, bool append,
    const struct memo *memo)
{
	struct asked *asked = &s->asked[s->asked_count];
	ag_err err;

	if (s->state != THERE || s->filling)
		return unsaid(ctx, AG_UNAVAILABLE);
	if (s->asked_count == ASKED_MAX)
		return AG_FULL;
	asked->append = append;
	err = ag_wait(ctx, append ? on_appended : on_looked_up, memo,
	    sizeof(*memo), &asked->ticket);
	if (err == AG_PENDING)
		s->asked_count++;
	return err;
}

static ag_err
shared_append(struct journal *j, struct ag_ctx *ctx,
    const Ag__JournalAppendAsk *ask)
{
	struct shared *s = j->shared;
	struct memo memo = { .row = s->params[A_COUNT].count };
	ag_err err = check_moved(ctx, ask);

	if (err == AG_OK)
		err = wait_turn(s, ctx, true, &memo);
	if (err == AG_PENDING)
		gather(s, ctx, ask);
	return err;
}

static ag_err
shared_idem(struct journal *j, struct ag_ctx *ctx, const Ag__JournalIdemAsk *ask)
{
	struct shared *s = j->shared;
	struct memo memo = { .row = 0 };
	ag_err err;

	memcpy(memo.idem, ask->idem.data, sizeof(memo.idem));
	memcpy(memo.body, ask->body_digest.data, sizeof(memo.body));
	err = wait_turn(s, ctx, false, &memo);
	if (err == AG_PENDING)
		column_bytes(&s->lookups, ask->idem.data, ask->idem.len);
	return err;
}

/* ------------------------------------------------------------- the round trip */

static bool
send_append(struct shared *s)
{
	const char *values[FIXED + PARAM_COUNT];
	int lens[FIXED + PARAM_COUNT], formats[FIXED + PARAM_COUNT] = { 0 };
	char at[24];

	s->at_ms = ag_now_ms(s->ctx);
	snprintf(at, sizeof(at), "%lld", (long long)s->at_ms);
	values[0] = s->node;
	values[1] = s->epoch;
	values[2] = at;
	for (unsigned i = 0; i < PARAM_COUNT; i++) {
		formats[FIXED + i] = 1;
		values[FIXED + i] = column_value(&s->params[i], &lens[FIXED + i]);
		if (values[FIXED + i] == NULL)
			return false;
	}
	return PQsendQueryPrepared(s->link.conn, "append", FIXED + PARAM_COUNT,
	    values, lens, formats, 0) == 1 && PQpipelineSync(s->link.conn) == 1;
}

static bool
send_lookups(struct shared *s)
{
	char now[24];
	int lens[2] = { 0 }, formats[2] = { 1, 0 };
	const char *values[2] = { column_value(&s->lookups, &lens[0]), now };

	snprintf(now, sizeof(now), "%lld", (long long)ag_now_ms(s->ctx));
	return values[0] != NULL && PQsendQueryPrepared(s->link.conn, "lookup", 2,
	    values, lens, formats, 1) == 1 && PQpipelineSync(s->link.conn) == 1;
}

/* What the appends became: the first and last record of them. */
static void
note_range(struct shared *s)
{
	const PGresult *r = s->appended;

	for (int i = 0; i < PQntuples(r); i++) {
		if (atoi(PQgetvalue(r, i, O_STATUS)) != DONE)
			continue;
		if (s->first == 0)
			s->first = strtoull(PQgetvalue(r, i, O_FIRST), NULL, 10);
		s->last = strtoull(PQgetvalue(r, i, O_LAST), NULL, 10);
	}
}

/* Until the copy has all that was appended. */
static ag_err
catch_up(struct shared *s, uint64_t until_ms)
{
	int rows;
	ag_err err = tail_receive(s, until_ms, &rows);

	while (err == AG_OK && s->journal->head < s->last && rows > 0)
		if ((err = tail_send(s)) == AG_OK)
			err = tail_receive(s, until_ms, &rows);
	return err == AG_OK && s->journal->head < s->last ? AG_CORRUPT : err;
}

static void
settle(struct shared *s, ag_err err)
{
	if (err == AG_UNAVAILABLE)
		session_refused(s);
	else if (err != AG_OK)
		session_away(s);
}

/* The statuses of the look-ups and of the appends. */
static void
round_trip(struct shared *s, ag_err *lookups, ag_err *appends)
{
	uint64_t until = pg_mono_ms() + s->server.timeout_ms;
	bool append = s->params[A_COUNT].count > 0, lookup = s->lookups.count > 0;
	ag_err err = AG_OK;

	*lookups = *appends = AG_UNAVAILABLE;
	/* What was not sent whole was not done: a statement ends with its sync. */
	if ((lookup && !send_lookups(s)) || (append && !send_append(s))) {
		snprintf(s->link.said, sizeof(s->link.said), "cannot send");
		session_away(s);
		return;
	}
	if (tail_send(s) != AG_OK)
		err = AG_IO;
	if (err == AG_OK && lookup)
		err = *lookups = pipeline_result(s, until, &s->answers);
	if (err == AG_UNAVAILABLE && append)
		err = AG_OK; /* one statement's refusal is not the next one's */
	if (err == AG_OK && append)
		err = pipeline_result(s, until, &s->appended);
	if (append)
		*appends = err == AG_IO || err == AG_TIMEOUT ? AG_TIMEOUT : err;
	if (err == AG_OK && append)
		note_range(s);
	if (err == AG_OK || err == AG_UNAVAILABLE) {
		ag_err tail = catch_up(s, until);

		/* Committed, but not to be told before it is known here. */
		if (tail != AG_OK && *appends == AG_OK)
			*appends = AG_TIMEOUT;
		err = tail != AG_OK ? tail : err;
	}
	settle(s, err);
}

static ag_err
shared_flush(struct journal *j, struct ag_ctx *ctx)
{
	struct shared *s = j->shared;
	ag_err lookups = AG_UNAVAILABLE, appends = AG_UNAVAILABLE;
	uint64_t begun_us = ag_mono_us(ctx);

	if (s->asked_count > 0) {
		if (s->state == THERE)
			round_trip(s, &lookups, &appends);
		for (size_t i = 0; i < s->asked_count; i++)
			ag_resume(ctx, s->asked[i].ticket,
			    s->asked[i].append ? appends : lookups);
		clear(s);
		ag_metric_observe_us(ctx, M_COMMIT_US, ag_mono_us(ctx) - begun_us);
	}
	if (!j->dirty)
		return AG_OK;
	records_mark(j, ctx);
	ag_metric_set(ctx, M_HEAD, j->head);
	if (ag_mono_ms(ctx) < s->commit_at_ms)
		return AG_OK;
	s->commit_at_ms = ag_mono_ms(ctx) + COMMIT_EVERY_MS;
	records_commit(j, ctx);
	return AG_OK;
}

static void
shared_purge(struct journal *j, struct ag_ctx *ctx)
{
	struct shared *s = j->shared;
	PGresult *result = NULL;
	char now[24];
	const char *const values[] = { now };
	ag_err err = AG_IO;

	if (s->state != THERE || s->filling)
		return;
	snprintf(now, sizeof(now), "%lld", (long long)ag_now_ms(ctx));
	if (pipeline_send(s, "purge", 1, values, false))
		err = pipeline_result(s, pg_mono_ms() + s->server.timeout_ms,
		    &result);
	PQclear(result);
	settle(s, err);
}

static void
shared_close(struct journal *j)
{
	struct shared *s = j->shared;

	if (s == NULL)
		return;
	clear(s);
	session_close(s);
	for (unsigned i = 0; i < PARAM_COUNT; i++)
		column_free(&s->params[i]);
	column_free(&s->lookups);
	free(s->asked);
	free(s);
	j->shared = NULL;
}

static ag_err
shared_open(struct journal *j, struct ag_ctx *ctx)
{
	struct shared *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return AG_NO_MEMORY;
	j->shared = s;
	j->several = true;
	s->ctx = ctx;
	s->journal = j;
	s->asked = calloc(ASKED_MAX, sizeof(*s->asked));
	if (s->asked == NULL)
		return AG_NO_MEMORY;
	clear(s);
	return session_open(s);
}

const struct backend journal_shared = {
	.name = "postgres",
	.open = shared_open,
	.close = shared_close,
	.append = shared_append,
	.idem = shared_idem,
	.flush = shared_flush,
	.peer_up = lease_tell,
	.purge = shared_purge,
};
