/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shared: what several nodes have in common and forget again: how much of a rate
 * is used, and what is good once and was used. It is in Redis (shared/link.c).
 * Hears shared_want_order, shared_once_ask (iam). Says shared_got_event and
 * shared_state_event (iam).
 * Keeps nothing. What it does not know it says it does not know, within
 * shared.timeout_ms; what follows from that iam decides (proto/failures.def).
 */
#include "shared/link.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

enum {
	TICK_EVERY_MS = 20,
	BEAT_EVERY_MS = 1000,
	WINDOW_BYTES = 16,
	ONCE_BYTES = 32,
	WINDOW_MS_MAX = 3600 * 1000,
	KEPT_MS_MAX = 24 * 3600 * 1000,
	NODE_BYTES = 8,
};

enum { M_THERE, M_AWAY, M_ASKED, M_UNKNOWN, M_ANSWER_US, M_NODES };

static const struct ag_metric_row metrics[] = {
	[M_THERE] = { "shared_there", "Redis answers", AG_GAUGE },
	[M_AWAY] = { "shared_away_total", "Times that Redis was lost",
	    AG_COUNTER },
	[M_ASKED] = { "shared_asked_total", "Questions to Redis", AG_COUNTER },
	[M_UNKNOWN] = { "shared_unknown_total",
	    "Questions without an answer in time", AG_COUNTER },
	[M_ANSWER_US] = { "shared_answer_us", "Time to an answer of Redis",
	    AG_HISTOGRAM_US },
	[M_NODES] = { "shared_nodes", "Nodes that share", AG_GAUGE },
};

struct shared {
	struct link *link;
	char node[2 * NODE_BYTES + 1];
	uint64_t beat_at_ms;
	unsigned nodes; /* heard of lately; 0: not yet */
	char detail[64]; /* for the health page; "": all is well */
};

/* ------------------------------------------------------------------- telling */

static void
tell(struct shared *s, struct ag_ctx *ctx)
{
	Ag__SharedStateEvent ev = AG__SHARED_STATE_EVENT__INIT;
	unsigned iam = ag_slot(ctx, AG_ROLE_IAM, 0);

	ev.there = link_there(s->link);
	ev.nodes = s->nodes;
	/* Who is not there is told when it is. */
	if (ag_slot_up(ctx, iam) &&
	    ag_send(ctx, iam, AG_MSG_SHARED_STATE_EVENT, &ev) != AG_OK)
		ag_log(ctx, AG_WARN, "SHARED-UNSAID", "there=%d", ev.there);
}

static void
on_state(void *state, struct ag_ctx *ctx, bool there, const char *why)
{
	struct shared *s = state;

	ag_metric_set(ctx, M_THERE, there);
	if (!there)
		ag_metric_add(ctx, M_AWAY, 1);
	ag_log(ctx, why == NULL ? AG_INFO : AG_WARN, there ? "SHARED-THERE" :
	    "SHARED-AWAY", "why=%s", why == NULL ? "" : why);
	s->detail[0] = '\0';
	if (why != NULL) {
		snprintf(s->detail, sizeof(s->detail), "redis: %.55s", why);
		ag_note_error(ctx, s->detail);
	}
	s->beat_at_ms = 0;
	tell(s, ctx);
}

static void
on_peer(void *state, struct ag_ctx *ctx, unsigned slot, bool up)
{
	if (up && ag_slot_role(ctx, slot) == AG_ROLE_IAM)
		tell(state, ctx);
}

/* --------------------------------------------------------------------- rates */

struct want {
	uint8_t window[WINDOW_BYTES];
	uint64_t asked_ms, sent_us;
	uint32_t want, part_ms, window_ms;
};

static ag_err
say_got(struct ag_ctx *ctx, Ag__SharedGotEvent *ev)
{
	ag_err err = ag_send(ctx, ag_slot(ctx, AG_ROLE_IAM, 0),
	    AG_MSG_SHARED_GOT_EVENT, ev);

	return err == AG_NOBODY ? AG_OK : err; /* then it has forgotten, too */
}

static uint32_t
bounded(int64_t n, uint32_t max)
{
	return n < 0 ? 0 : n > max ? max : (uint32_t)n;
}

/* What Redis says is cut to what was asked: it may be lying. */
static void
on_got(void *state, struct ag_ctx *ctx, const int64_t *numbers, unsigned n,
    const void *memo)
{
	Ag__SharedGotEvent ev = AG__SHARED_GOT_EVENT__INIT;
	struct want w;

	(void)state;
	memcpy(&w, memo, sizeof(w));
	ag_metric_observe_us(ctx, M_ANSWER_US, ag_mono_us(ctx) - w.sent_us);
	if (n == 0)
		ag_metric_add(ctx, M_UNKNOWN, 1);
	if (w.want == 0)
		return; /* only given back */
	ev.window = (ProtobufCBinaryData){ sizeof(w.window), w.window };
	ev.asked_ms = w.asked_ms;
	if (n == LINK_NUMBERS) {
		ev.has_got = ev.has_left = ev.has_part_ms = ev.has_part =
		    ev.has_retry_ms = ev.has_reset_ms = true;
		ev.got = bounded(numbers[0], w.want);
		ev.left = bounded(numbers[1], UINT32_MAX);
		ev.part_ms = bounded(numbers[2], w.part_ms);
		ev.part = numbers[3] < 0 ? 0 : (uint64_t)numbers[3];
		ev.retry_ms = bounded(numbers[4], 2 * w.window_ms);
		ev.reset_ms = bounded(numbers[5], 2 * w.window_ms);
	}
	if (say_got(ctx, &ev) != AG_OK)
		ag_log(ctx, AG_WARN, "SHARED-UNSAID", "got=%u", ev.got);
}

static ag_err
on_want(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__SharedWantOrder *o = msg;
	struct shared *s = state;
	Ag__SharedGotEvent none = AG__SHARED_GOT_EVENT__INIT;
	struct want w = { .asked_ms = o->asked_ms, .want = o->want };
	char hex[2 * WINDOW_BYTES + 1];
	struct link_call call = { .script = SCRIPT_TAKE, .words_count = 6,
		.numbers = LINK_NUMBERS, .done = on_got, .memo = &w,
		.memo_len = sizeof(w) };

	_Static_assert(sizeof(w) <= LINK_MEMO_MAX, "the memo holds a want");
	if (o->window.len != WINDOW_BYTES || o->window_ms == 0 ||
	    o->window_ms > WINDOW_MS_MAX || o->need > o->want)
		return AG_BAD_MESSAGE;
	memcpy(w.window, o->window.data, WINDOW_BYTES);
	w.sent_us = ag_mono_us(ctx);
	w.window_ms = o->window_ms;
	w.part_ms = (o->window_ms + 9) / 10;
	ag_hex(o->window.data, WINDOW_BYTES, hex);
	call.keys[0] = ag_printf(ctx, "w:%s", hex);
	call.words[0] = ag_printf(ctx, "%u", o->window_ms);
	call.words[1] = ag_printf(ctx, "%u", o->rate);
	call.words[2] = ag_printf(ctx, "%u", o->want);
	call.words[3] = ag_printf(ctx, "%u", o->need);
	call.words[4] = ag_printf(ctx, "%u", o->has_give ? o->give : 0);
	call.words[5] = ag_printf(ctx, "%llu",
	    (unsigned long long)(o->has_give_part ? o->give_part : 0));
	if (call.words[5] == NULL)
		return AG_NO_MEMORY;
	ag_metric_add(ctx, M_ASKED, 1);
	if (link_call(s->link, &call) == AG_OK || o->want == 0)
		return AG_OK;
	ag_metric_add(ctx, M_UNKNOWN, 1);
	none.window = o->window;
	none.asked_ms = o->asked_ms;
	return say_got(ctx, &none);
}

/* ---------------------------------------------------------------- good once */

static ag_err
unknown(struct ag_ctx *ctx)
{
	ag_refuse_retry(ctx, 1);
	return ag_refuse(ctx, AG_UNAVAILABLE, "replay", NULL,
	    "whether it was used already is not known now");
}

static ag_err
then_once(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	Ag__SharedOnceReply reply = AG__SHARED_ONCE_REPLY__INIT;

	(void)state;
	(void)msg;
	(void)memo;
	if (status != AG_OK && status != AG_CONFLICT)
		return unknown(ctx);
	reply.first = status == AG_OK;
	return ag_reply(ctx, AG_MSG_SHARED_ONCE_REPLY, &reply);
}

static void
on_once_known(void *state, struct ag_ctx *ctx, const int64_t *numbers,
    unsigned n, const void *memo)
{
	uint64_t ticket;

	(void)state;
	memcpy(&ticket, memo, sizeof(ticket));
	if (n == 0)
		ag_metric_add(ctx, M_UNKNOWN, 1);
	ag_resume(ctx, ticket, n != 1 || numbers[0] < 0 ? AG_UNAVAILABLE :
	    numbers[0] == 1 ? AG_OK : AG_CONFLICT);
}

static ag_err
on_once(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__SharedOnceAsk *ask = msg;
	struct shared *s = state;
	char hex[2 * ONCE_BYTES + 1];
	uint64_t ticket;
	struct link_call call = { .script = SCRIPT_ONCE, .words_count = 2,
		.numbers = 1, .done = on_once_known, .memo = &ticket,
		.memo_len = sizeof(ticket) };
	ag_err err;

	if (ask->id.len != ONCE_BYTES || ask->kept_ms == 0 ||
	    ask->kept_ms > KEPT_MS_MAX)
		return AG_BAD_MESSAGE;
	if (!link_there(s->link) || link_forgets(s->link))
		return unknown(ctx);
	ag_hex(ask->id.data, ONCE_BYTES, hex);
	call.keys[0] = ag_printf(ctx, "o:%s", hex);
	call.keys[1] = "born";
	call.words[0] = ag_printf(ctx, "%u", ask->kept_ms);
	call.words[1] = ag_printf(ctx, "%u", ask->age_ms);
	if (call.words[1] == NULL)
		return AG_NO_MEMORY;
	ag_metric_add(ctx, M_ASKED, 1);
	if ((err = ag_wait(ctx, then_once, NULL, 0, &ticket)) != AG_PENDING)
		return err;
	if (link_call(s->link, &call) == AG_OK)
		return AG_PENDING;
	ag_unwait(ctx, ticket);
	return unknown(ctx);
}

/* --------------------------------------------------------------------- life */

static void
on_beat(void *state, struct ag_ctx *ctx, const int64_t *numbers, unsigned n,
    const void *memo)
{
	struct shared *s = state;
	unsigned nodes = n != 1 ? 0 : bounded(numbers[0], 1024);
	int64_t said = ag_config_int(ctx, "shared.nodes");

	(void)memo;
	if (nodes == 0 || nodes == s->nodes)
		return;
	s->nodes = nodes;
	ag_metric_set(ctx, M_NODES, nodes);
	if (nodes > said)
		ag_log(ctx, AG_WARN, "SHARED-NODES", "there=%u shared.nodes=%lld",
		    nodes, (long long)said);
	tell(s, ctx);
}

static void
on_tick(void *state, struct ag_ctx *ctx)
{
	struct shared *s = state;
	struct link_call call = { .script = SCRIPT_BEAT, .words_count = 1,
		.numbers = 1, .done = on_beat,
		.keys = { "nodes", "born" } };

	link_tick(s->link);
	/* Again and again: a start says that all is well when it has ended. */
	ag_set_degraded(ctx, s->detail[0] == '\0' ? NULL : s->detail);
	if (!link_there(s->link) || ag_mono_ms(ctx) < s->beat_at_ms)
		return;
	s->beat_at_ms = ag_mono_ms(ctx) + BEAT_EVERY_MS;
	call.words[0] = s->node;
	if (link_call(s->link, &call) != AG_OK)
		s->beat_at_ms = 0;
}

static ag_err
init(void *state, struct ag_ctx *ctx)
{
	struct shared *s = state;
	uint8_t node[NODE_BYTES];
	ag_err err = link_new(ctx, on_state, s, &s->link);

	if (err != AG_OK)
		return err;
	strcpy(s->detail, "redis: not reached yet");
	randombytes_buf(node, sizeof(node));
	ag_hex(node, sizeof(node), s->node);
	return ag_every(ctx, TICK_EVERY_MS, on_tick);
}

static void
fini(void *state, struct ag_ctx *ctx)
{
	struct shared *s = state;

	(void)ctx;
	link_free(&s->link);
}

static const struct ag_row rows[] = {
	{ AG_MSG_SHARED_WANT_ORDER, on_want },
	{ AG_MSG_SHARED_ONCE_ASK, on_once },
};

const struct ag_actor ag_actor_shared = {
	.name = "shared",
	.state_size = sizeof(struct shared),
	AG_ROWS(rows),
	.init = init,
	.peer = on_peer,
	.fini = fini,
	AG_METRICS(metrics),
};
