/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Following the two logs. The journal: everything since the snapshot at start,
 * live afterwards for who wants it, with a gap noticed and pulled. The audit
 * log: in order, from a durable cursor. And, after audit or this process was
 * away, outcomes of committed changes are delivered again from the journal.
 */
#include "ctx.h"

#include <string.h>

enum { REDELIVER_RETRY_MS = 100 };

static void pull_journal(struct ag_ctx *ctx);
static void pull_audit(struct ag_ctx *ctx);
static void ask_head(struct ag_ctx *ctx);
static void ask_marks(struct ag_ctx *ctx);

/* ------------------------------------------------------------- the journal */

ag_err
follow_apply(struct ag_ctx *ctx, const Ag__JournalRecord *record)
{
	const struct ag_message *m = ag_message_find((uint16_t)record->type);
	struct ag_fact_record fact = {
		.seq = record->seq, .version = record->version,
		.stream = record->stream, .type = (uint16_t)record->type,
		.committed_at = record->committed_at, .tenant = record->tenant,
		.author = record->author,
	};
	ag_err err;

	if (m == NULL || m->group != AG_GROUP_FACT)
		return AG_CORRUPT;
	fact.fact = ag_unpack(ctx, m->body, record->event.data,
	    record->event.len);
	if (fact.fact == NULL)
		return AG_CORRUPT;
	err = ctx->actor->apply(ctx->state, ctx, &fact);
	if (err != AG_OK) {
		ag_log(ctx, AG_ERROR, "APPLY-ERROR", "seq=%llu type=%s error=%s",
		    (unsigned long long)record->seq, m->name,
		    ag_err_row(err)->name);
		return err;
	}
	if (record->seq > ctx->journal_pos)
		ctx->journal_pos = record->seq;
	return AG_OK;
}

static ag_err
on_journal_pulled(void *state, struct ag_ctx *ctx, ag_err status,
    const void *msg, void *memo)
{
	const Ag__JournalPullReply *reply = msg;
	const bool *resync = memo;
	ag_err err = status;

	(void)state;
	ctx->following = false;
	for (size_t i = 0; err == AG_OK && i < reply->n_records; i++)
		if (reply->records[i]->seq > ctx->journal_pos)
			err = follow_apply(ctx, reply->records[i]);
	if (err != AG_OK)
		return err; /* tried again by the tick */
	if (ctx->journal_pos < reply->head_seq) {
		pull_journal(ctx);
		return AG_OK;
	}
	/* One that was asked before the doubt came says nothing about it. */
	if (*resync)
		ctx->resync = false;
	run_caught_up(ctx);
	return AG_OK;
}

static void
pull_journal(struct ag_ctx *ctx)
{
	Ag__JournalPullAsk ask = AG__JOURNAL_PULL_ASK__INIT;
	bool resync = ctx->resync;

	if (ctx->following || ctx->kit != NULL)
		return;
	ask.from_seq = ctx->journal_pos + 1;
	ask.max = PULL_RECORDS;
	ctx->following = ag_ask(ctx, ag_slot(ctx, AG_ROLE_JOURNAL, 0),
	    AG_MSG_JOURNAL_PULL_ASK, &ask, AG_MSG_JOURNAL_PULL_REPLY,
	    JOURNAL_TIMEOUT_MS, on_journal_pulled, &resync, sizeof(resync)) ==
	    AG_PENDING;
}

/*
 * The answer of an append is lost, and with it what our state should be: until
 * the journal has told, nobody is served from what may be an old one.
 */
void
follow_resync(struct ag_ctx *ctx)
{
	struct ag_trip *trip = ctx->trip;

	if (ctx->kit != NULL)
		return;
	if (!ctx->resync)
		ag_log(ctx, AG_WARN, "JOURNAL-RESYNC", "from=%llu",
		    (unsigned long long)ctx->journal_pos + 1);
	ctx->resync = ctx->marks_pending = true;
	ctx->trip = NULL;
	pull_journal(ctx);
	ctx->trip = trip;
}

void
follow_journal_record(struct ag_ctx *ctx, const uint8_t *body, size_t len)
{
	const Ag__JournalRecord *record = ag_unpack(ctx,
	    &ag__journal_record__descriptor, body, len);

	if (record == NULL) {
		ag_em_add(ctx, EM_MALFORMED, 1);
		return;
	}
	/* Whoever wrote it had no answer: its outcome is said from here. */
	if (record->unanswered && strcmp(record->author,
	        ctx->boot->self->name) == 0)
		ctx->marks_pending = true;
	/* Also while a pull is under way: its answer may be lost with a broker,
	 * and it skips what is known by then. */
	if (record->seq <= ctx->journal_pos)
		return;
	if (record->seq > ctx->journal_pos + 1) {
		pull_journal(ctx);
		return;
	}
	if (follow_apply(ctx, record) != AG_OK)
		pull_journal(ctx);
}

/* ----------------------------------------------------------- the audit log */

static const Ag__Event *
unpack_event(struct ag_ctx *ctx, const uint8_t *bytes, size_t len)
{
	const uint8_t *skips = ctx->actor->audit_skips;
	uint8_t *brief;

	if (skips != NULL) {
		if ((brief = ag_alloc(ctx, len)) == NULL)
			return NULL;
		len = ag_wire_without(bytes, len, skips, brief);
		bytes = brief;
	}
	return ag_unpack(ctx, &ag__event__descriptor, bytes, len);
}

ag_err
follow_audit_event(struct ag_ctx *ctx, const uint8_t *bytes, size_t len,
    uint64_t pos)
{
	const struct ag_actor *actor = ctx->actor;
	const Ag__Event *event;
	ag_err err = AG_OK;

	if (actor->audit_wanted == NULL || actor->audit_wanted(ctx->state)) {
		if ((event = unpack_event(ctx, bytes, len)) == NULL)
			return AG_CORRUPT;
		ctx->audit_bytes = bytes;
		ctx->audit_len = len;
		err = actor->on_audit(ctx->state, ctx, event, pos);
	}
	ctx->audit_bytes = NULL;
	if (err == AG_OK)
		ctx->audit_pos = pos + 1;
	return err;
}

static ag_err
on_audit_pulled(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	const Ag__AuditPullReply *reply = msg;
	ag_err err = status;

	(void)state;
	(void)memo;
	ctx->pulling = false;
	if (err == AG_OK)
		ctx->audit_head = reply->head_pos;
	/* Older than the log is kept: nobody can have it any more. */
	if (err == AG_OK && reply->has_first_pos &&
	    reply->first_pos > ctx->audit_pos) {
		ag_log(ctx, AG_WARN, "AUDIT-MISSED", "from=%llu to=%llu",
		    (unsigned long long)ctx->audit_pos,
		    (unsigned long long)reply->first_pos - 1);
		ctx->audit_pos = reply->first_pos;
	}
	for (size_t i = 0; err == AG_OK && i < reply->n_items; i++) {
		const Ag__AuditItem *item = reply->items[i];

		if (item->pos < ctx->audit_pos)
			continue;
		err = follow_audit_event(ctx, item->event.data, item->event.len,
		    item->pos);
	}
	if (err != AG_OK)
		return AG_OK; /* the actor is not done with it: the tick goes on */
	if (reply->next_pos > ctx->audit_pos)
		ctx->audit_pos = reply->next_pos;
	if (ctx->audit_pos < reply->head_pos)
		pull_audit(ctx);
	return AG_OK;
}

/* Who takes no events for now still learns how far behind it is. */
static ag_err
on_head_heard(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	const Ag__AuditPullReply *reply = msg;

	(void)state;
	(void)memo;
	ctx->pulling = false;
	if (status == AG_OK)
		ctx->audit_head = reply->head_pos;
	if (!ctx->audit_held)
		pull_audit(ctx);
	return AG_OK;
}

static void
ask_head(struct ag_ctx *ctx)
{
	Ag__AuditPullAsk ask = AG__AUDIT_PULL_ASK__INIT;

	ask.from_pos = ctx->audit_pos;
	ask.max = 0;
	ctx->pulling = ag_ask(ctx, ag_slot(ctx, AG_ROLE_AUDIT, 0),
	    AG_MSG_AUDIT_PULL_ASK, &ask, AG_MSG_AUDIT_PULL_REPLY,
	    JOURNAL_TIMEOUT_MS, on_head_heard, NULL, 0) == AG_PENDING;
}

static void
pull_audit(struct ag_ctx *ctx)
{
	Ag__AuditPullAsk ask = AG__AUDIT_PULL_ASK__INIT;

	if (ctx->pulling || !ctx->ready || ctx->stopping || ctx->kit != NULL)
		return;
	if (ctx->audit_held) {
		ask_head(ctx);
		return;
	}
	ctx->pull_last_ms = ag_mono_ms(ctx);
	ask.from_pos = ctx->audit_pos;
	ask.max = PULL_RECORDS;
	ctx->pulling = ag_ask(ctx, ag_slot(ctx, AG_ROLE_AUDIT, 0),
	    AG_MSG_AUDIT_PULL_ASK, &ask, AG_MSG_AUDIT_PULL_REPLY,
	    JOURNAL_TIMEOUT_MS, on_audit_pulled, NULL, 0) == AG_PENDING;
}

static ag_err
then_paced(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	(void)state;
	(void)status;
	(void)msg;
	(void)memo;
	ctx->pull_planned = false;
	pull_audit(ctx);
	return AG_OK;
}

/* There is more: now, or when this consumer's pace allows. */
void
follow_poke(struct ag_ctx *ctx)
{
	uint64_t now = ag_mono_ms(ctx);
	uint64_t due = ctx->pull_last_ms + ctx->actor->audit_pace_ms;

	if (ctx->pull_planned)
		return;
	if (now < due && ag_after(ctx, (unsigned)(due - now), then_paced, NULL,
	        0) == AG_PENDING)
		ctx->pull_planned = true;
	else
		pull_audit(ctx);
}

const uint8_t *
ag_audit_bytes(struct ag_ctx *ctx, size_t *len)
{
	*len = ctx->audit_len;
	return ctx->audit_bytes;
}

uint64_t
ag_audit_next(struct ag_ctx *ctx)
{
	return ctx->audit_pos == 0 ? 1 : ctx->audit_pos;
}

uint64_t
ag_audit_head(struct ag_ctx *ctx)
{
	return ctx->audit_head;
}

void
ag_audit_done(struct ag_ctx *ctx, uint64_t next)
{
	ctx->audit_own = true;
	ctx->audit_done = next;
}

void
ag_audit_hold(struct ag_ctx *ctx, bool hold)
{
	struct ag_trip *trip = ctx->trip;

	if (ctx->audit_held == hold)
		return;
	ctx->audit_held = hold;
	if (hold)
		return;
	ctx->trip = NULL;
	pull_audit(ctx);
	ctx->trip = trip;
}

/* -------------------------------------------- outcomes, delivered again */

static ag_err
on_redeliver_pulled(void *state, struct ag_ctx *ctx, ag_err status,
    const void *msg, void *memo);

static ag_err
pull_for_redelivery(struct ag_ctx *ctx)
{
	Ag__JournalPullAsk ask = AG__JOURNAL_PULL_ASK__INIT;

	ask.from_seq = ctx->redeliver_from;
	ask.max = PULL_RECORDS;
	ask.author = ctx->boot->self->name;
	return ag_ask(ctx, ag_slot(ctx, AG_ROLE_JOURNAL, 0),
	    AG_MSG_JOURNAL_PULL_ASK, &ask, AG_MSG_JOURNAL_PULL_REPLY,
	    REDELIVER_TIMEOUT_MS, on_redeliver_pulled, NULL, 0);
}

static ag_err
redeliver(struct ag_ctx *ctx, const Ag__JournalRecord *record)
{
	Ag__OutcomeEvent *outcome;

	if (!record->has_outcome)
		return AG_OK;
	outcome = ag_unpack(ctx, &ag__outcome_event__descriptor,
	    record->outcome.data, record->outcome.len);
	if (outcome == NULL)
		return AG_CORRUPT;
	outcome->has_journal_seq = outcome->has_redelivered = true;
	outcome->journal_seq = record->seq;
	outcome->has_journal_prev = record->has_prev_outcome;
	outcome->journal_prev = record->prev_outcome;
	outcome->redelivered = true;
	if (ctx->outcome_last < record->seq)
		ctx->outcome_last = record->seq;
	return ag_record(ctx, outcome);
}

static void
redelivery_done(struct ag_ctx *ctx)
{
	ctx->redelivering = false;
	ctx->marks_pending = ctx->redeliver_again;
	ctx->redeliver_again = false;
	if (ctx->marks_pending)
		ask_marks(ctx);
}

static ag_err
on_redeliver_pulled(void *state, struct ag_ctx *ctx, ag_err status,
    const void *msg, void *memo)
{
	const Ag__JournalPullReply *reply = msg;
	ag_err err = status;

	(void)state;
	(void)memo;
	for (size_t i = 0; err == AG_OK && i < reply->n_records; i++) {
		err = redeliver(ctx, reply->records[i]);
		ctx->redeliver_from = reply->records[i]->seq + 1;
	}
	if (err == AG_OK && reply->n_records > 0)
		return pull_for_redelivery(ctx);
	if (err == AG_OK)
		redelivery_done(ctx);
	else
		ctx->redelivering = false; /* marks_pending: the tick begins anew */
	return AG_OK;
}

static ag_err
on_marks(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	const Ag__AuditMarksReply *reply = msg;
	ag_err err;

	(void)state;
	(void)memo;
	ctx->redeliver_from = 1;
	if (status == AG_OK)
		for (size_t i = 0; i < reply->n_marks; i++)
			if (strcmp(reply->marks[i]->author,
			        ctx->boot->self->name) == 0)
				ctx->redeliver_from =
				    reply->marks[i]->journal_seq + 1;
	err = status == AG_OK ? pull_for_redelivery(ctx) : status;
	if (err != AG_PENDING)
		ctx->redelivering = false;
	return AG_OK;
}

/* Only who appends with outcomes has any to deliver. */
static void
ask_marks(struct ag_ctx *ctx)
{
	Ag__AuditMarksAsk ask = AG__AUDIT_MARKS_ASK__INIT;

	if (ctx->redelivering || !ctx->caught_up)
		return;
	ctx->redelivering = ag_ask(ctx, ag_slot(ctx, AG_ROLE_AUDIT, 0),
	    AG_MSG_AUDIT_MARKS_ASK, &ask, AG_MSG_AUDIT_MARKS_REPLY,
	    REDELIVER_TIMEOUT_MS, on_marks, NULL, 0) == AG_PENDING;
}

/*
 * Whatever lost an outcome (a full disk, a broker that died, a frame too many):
 * audit's mark has not passed it when all we said before has arrived.
 */
static ag_err
on_checked(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	const Ag__AuditMarksReply *reply = msg;
	const uint64_t *said = memo;
	uint64_t mark = 0;

	(void)state;
	ctx->checking = false;
	if (status != AG_OK)
		return AG_OK;
	for (size_t i = 0; i < reply->n_marks; i++)
		if (strcmp(reply->marks[i]->author, ctx->boot->self->name) == 0)
			mark = reply->marks[i]->journal_seq;
	if (mark < *said)
		ctx->marks_pending = true; /* the next tick delivers again */
	else
		ctx->outcome_kept = *said;
	return AG_OK;
}

static void
check_marks(struct ag_ctx *ctx)
{
	Ag__AuditMarksAsk ask = AG__AUDIT_MARKS_ASK__INIT;

	if (ctx->checking || ctx->redelivering || ctx->marks_pending ||
	    ctx->kit != NULL || ctx->outcome_last <= ctx->outcome_kept)
		return;
	ctx->checking = ag_ask(ctx, ag_slot(ctx, AG_ROLE_AUDIT, 0),
	    AG_MSG_AUDIT_MARKS_ASK, &ask, AG_MSG_AUDIT_MARKS_REPLY,
	    JOURNAL_TIMEOUT_MS, on_checked, &ctx->outcome_last,
	    sizeof(ctx->outcome_last)) == AG_PENDING;
}

static bool
writes_journal(struct ag_ctx *ctx)
{
	enum ag_role role = ctx->slots[ctx->self].role;

	return ctx->actor->follow != AG_FOLLOW_NONE &&
	    ag_route_allowed(role, AG_ROLE_JOURNAL, AG_GROUP_JOURNAL);
}

/* -------------------------------------------------------------- occasions */

/* At start, from the tick, and when journal or audit come back. */
void
follow_start(struct ag_ctx *ctx)
{
	struct ag_trip *trip = ctx->trip;

	ctx->trip = NULL; /* none of these asks belongs to a trip */
	if (ctx->actor->follow == AG_FOLLOW_NONE)
		run_caught_up(ctx);
	else if (!ctx->caught_up || ctx->resync || ctx->live)
		pull_journal(ctx);
	if (ctx->marks_pending && writes_journal(ctx))
		ask_marks(ctx);
	check_marks(ctx);
	if (ctx->actor->on_audit != NULL)
		pull_audit(ctx);
	ctx->trip = trip;
}

static bool
must_know_at_once(const struct ag_ctx *ctx)
{
	return ctx->live && ctx->caught_up;
}

void
follow_broker_new(struct ag_ctx *ctx)
{
	if (must_know_at_once(ctx))
		ctx->gap = true;
}

void
follow_peer_up(struct ag_ctx *ctx, unsigned slot, bool changed)
{
	enum ag_role role = ag_slot_role(ctx, slot);

	if (role == AG_ROLE_JOURNAL && must_know_at_once(ctx) &&
	    (changed || ctx->gap)) {
		ctx->gap = false;
		ctx->following = false; /* its answer went the same way */
		follow_resync(ctx);
	}
	if (!changed)
		return;
	if (role == AG_ROLE_AUDIT)
		ctx->marks_pending = true;
	if (role == AG_ROLE_AUDIT || role == AG_ROLE_JOURNAL)
		follow_start(ctx);
}
