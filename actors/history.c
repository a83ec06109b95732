/* SPDX-License-Identifier: Apache-2.0 */
/*
 * history: answers questions about the audit log, from its segments.
 * Hears the audit.* and sink operations, audit_poke_event, stream_stop_order and
 * stream_credit_order (planes). Says stream_item_event (planes); asks audit
 * how far the log is durable, and reads no further; iam whether those who opened
 * a stream may still read; tells sinks to pause (sink_order_ask).
 * Keeps a small index (a row per 1,024 events) and the checkpoints, both
 * rebuilt from the segments when they are not there. A tenant sees its own
 * events only: every answer is filtered by the grant's tenant.
 */
#include "history/history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	WAIT_MS = 50,    /* between two pokes when no stream waits for them */
	TICK_S_MS = 1000,
	MEMO_MAX = AG_MEMO_BYTES_MAX - 64,
};

static const char *const tables[] = { "blocks", "checkpoints", NULL };

void
head_is(struct history *h, uint64_t head)
{
	if (head > h->head)
		h->head = head;
}

/* ------------------------------------------------------------- for a trip */

struct head_memo {
	ag_then *then;
	size_t size;
	_Alignas(max_align_t) uint8_t memo[MEMO_MAX];
};

/* Until the index reaches the head, then on with the trip. */
static ag_err
head_index(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct history *h = state;
	struct head_memo *m = memo;
	bool more = false;
	ag_err err = status;

	(void)msg;
	if (err == AG_OK)
		err = index_step(h, ctx, &more);
	if (err == AG_OK && more)
		err = ag_after(ctx, 0, head_index, m,
		    offsetof(struct head_memo, memo) + m->size);
	if (err == AG_PENDING)
		return err;
	return m->then(h, ctx, err, NULL, m->memo);
}

static ag_err
on_head(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	const Ag__AuditPullReply *reply = msg;

	if (status == AG_OK)
		head_is(state, reply->head_pos);
	else
		status = ag_refuse(ctx, AG_UNAVAILABLE, "audit", NULL,
		    "the audit log's head is not known");
	return head_index(state, ctx, status, NULL, memo);
}

ag_err
head_ask(struct history *h, struct ag_ctx *ctx, ag_then *then, const void *memo,
    size_t memo_size)
{
	Ag__AuditPullAsk ask = AG__AUDIT_PULL_ASK__INIT;
	struct head_memo m = { .then = then, .size = memo_size };

	if (memo_size > sizeof(m.memo))
		return AG_FULL;
	if (memo_size > 0)
		memcpy(m.memo, memo, memo_size);
	ask.from_pos = h->head + 1;
	ask.max = 0;
	return ag_ask(ctx, ag_slot(ctx, AG_ROLE_AUDIT, 0), AG_MSG_AUDIT_PULL_ASK,
	    &ask, AG_MSG_AUDIT_PULL_REPLY, ASK_MS, on_head, &m,
	    offsetof(struct head_memo, memo) + memo_size);
}

/* --------------------------------------------------------- following along */

static void
follow(struct history *h, struct ag_ctx *ctx)
{
	bool more = false;

	if (index_step(h, ctx, &more) != AG_OK)
		return; /* logged; questions will say so */
	if (more)
		h->want_wait = true;
	if (h->stream_count > 0)
		stream_pump(h, ctx);
}

static ag_err
on_waited(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	const Ag__AuditPullReply *reply = msg;
	struct history *h = state;

	(void)memo;
	h->waiting = false;
	if (status != AG_OK)
		return AG_OK; /* the tick asks again */
	head_is(h, reply->head_pos);
	if (reply->next_pos <= reply->head_pos)
		h->want_wait = true; /* more came meanwhile: not registered */
	follow(h, ctx);
	return AG_OK;
}

/* Tells audit that we have read all and want to be poked. */
static void
wait_for_more(struct history *h, struct ag_ctx *ctx)
{
	Ag__AuditPullAsk ask = AG__AUDIT_PULL_ASK__INIT;
	unsigned audit = ag_slot(ctx, AG_ROLE_AUDIT, 0);

	if (h->waiting || !ag_slot_up(ctx, audit))
		return;
	h->want_wait = false;
	ask.from_pos = h->head + 1;
	ask.max = 0;
	h->waiting = ag_ask(ctx, audit, AG_MSG_AUDIT_PULL_ASK, &ask,
	    AG_MSG_AUDIT_PULL_REPLY, ASK_MS, on_waited, NULL, 0) == AG_PENDING;
}

static ag_err
wait_again(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct history *h = state;

	(void)ctx;
	(void)status;
	(void)msg;
	(void)memo;
	h->want_wait = true;
	return AG_OK;
}

static ag_err
pump_again(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct history *h = state;

	(void)status;
	(void)msg;
	(void)memo;
	h->pump_planned = false;
	stream_pump(h, ctx);
	return AG_OK;
}

/* What a turn left to be done, here: it belongs to no message. */
static ag_err
flush(void *state, struct ag_ctx *ctx)
{
	struct history *h = state;

	if (h->want_pump && !h->pump_planned)
		h->pump_planned = ag_after(ctx, 1, pump_again, NULL, 0) == AG_PENDING;
	h->want_pump = false;
	if (h->want_wait_later &&
	    ag_after(ctx, WAIT_MS, wait_again, NULL, 0) != AG_PENDING)
		h->want_wait = true;
	h->want_wait_later = false;
	if (h->want_wait)
		wait_for_more(h, ctx);
	stream_ask(h, ctx);
	return AG_OK;
}

static ag_err
on_poke(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__AuditPokeEvent *poke = msg;
	struct history *h = state;

	if (ag_from_role(ctx) != AG_ROLE_AUDIT)
		return AG_BAD_MESSAGE;
	head_is(h, poke->head_pos);
	follow(h, ctx);
	/* If nobody watches, looking now and then is enough. */
	if (h->stream_count > 0)
		h->want_wait = true;
	else
		h->want_wait_later = true;
	return AG_OK;
}

static void
on_second(void *state, struct ag_ctx *ctx)
{
	struct history *h = state;

	h->want_wait = true; /* the net under a lost poke */
	if (index_cut(h, ctx) != AG_OK)
		ag_log(ctx, AG_WARN, "HISTORY-UNCUT", "first=%llu",
		    (unsigned long long)h->first);
	stream_tick(h, ctx);
}

/* -------------------------------------------------------------------- hooks */

static ag_err
init(void *state, struct ag_ctx *ctx)
{
	struct history *h = state;
	ag_err err;

	if ((size_t)snprintf(h->dir, sizeof(h->dir), "%s/audit",
	        ag_state_dir(ctx)) >= sizeof(h->dir))
		return AG_USAGE;
	if ((err = index_init(h, ctx)) != AG_OK)
		return err;
	return ag_every(ctx, TICK_S_MS, on_second);
}

static ag_err
ready(void *state, struct ag_ctx *ctx)
{
	struct history *h = state;

	(void)ctx;
	h->want_wait = true;
	return AG_OK;
}

static void
peer(void *state, struct ag_ctx *ctx, unsigned slot, bool up)
{
	struct history *h = state;

	if (!up)
		stream_drop_slot(h, slot);
	else if (ag_slot_role(ctx, slot) == AG_ROLE_AUDIT)
		h->want_wait = true;
}

static void
fini(void *state, struct ag_ctx *ctx)
{
	struct history *h = state;

	(void)ctx;
	stream_fini(h);
	tree_fini(h);
	ag_segs_close(&h->index_reader);
	ag_segs_close(&h->scan_reader);
	free(h->blocks);
	free(h->anchors);
}

static const struct ag_row rows[] = {
	{ AG_MSG_AUDIT_QUERY, on_audit_query },
	{ AG_MSG_AUDIT_OWN, on_audit_query },
	{ AG_MSG_AUDIT_READ, on_audit_read },
	{ AG_MSG_AUDIT_STREAM, on_audit_stream },
	{ AG_MSG_AUDIT_PROOF, on_audit_proof },
	{ AG_MSG_AUDIT_CHECKPOINTS, on_audit_checkpoints },
	{ AG_MSG_AUDIT_CONSISTENCY, on_audit_consistency },
	{ AG_MSG_POLICY_SIMULATE, on_policy_simulate },
	{ AG_MSG_AUDIT_PUBLIC_KEY, on_audit_public_key },
	{ AG_MSG_SINK_LIST, on_sink_list },
	{ AG_MSG_SINK_READ, on_sink_read },
	{ AG_MSG_SINK_PAUSE, on_sink_order },
	{ AG_MSG_SINK_RESUME, on_sink_order },
	{ AG_MSG_SINK_REDELIVER, on_sink_order },
	{ AG_MSG_AUDIT_POKE_EVENT, on_poke },
	{ AG_MSG_STREAM_STOP_ORDER, on_stream_stop },
	{ AG_MSG_STREAM_CREDIT_ORDER, on_stream_credit },
};

static const struct ag_metric_row metrics[] = {
	[M_INDEXED] = { "history_indexed_total", "Events indexed", AG_COUNTER },
	[M_QUERIES] = { "history_queries_total", "Questions answered", AG_COUNTER },
	[M_STREAMS] = { "history_streams", "Open event streams", AG_GAUGE },
	[M_LAGGED] = { "history_lagged_total", "Streams closed for being behind",
	    AG_COUNTER },
};

const struct ag_actor ag_actor_history = {
	.name = "history",
	.state_size = sizeof(struct history),
	AG_ROWS(rows),
	AG_METRICS(metrics),
	.init = init,
	.ready = ready,
	.flush = flush,
	.peer = peer,
	.fini = fini,
	.tables = tables,
};
