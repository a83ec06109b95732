/* SPDX-License-Identifier: Apache-2.0 */
#include "shares.h"

#include "call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	SHARES_MAX = 8192,    /* windows in use at once; power of two */
	PROBES = 8,
	SHARE_ID = 16,
	NAME_BYTES = 256,
	BLOCKS = 100,         /* a node holds at most this part of its part */
	BLOCK_MAX = 10000,
	LATE_MS = 100,        /* on top of shared.timeout_ms: nobody answers */
	LOCAL_MS = 1000,      /* no question of a window for so long */
	IDLE_MS = 250,        /* who is not used gives its permits back */
	NONE_MIN_MS = 20, NONE_MAX_MS = 250, /* no question after a no */
	LOOK_EVERY_MS = 25,
	WAIT_MS = 5000,       /* a net; the deadline comes before */
};

struct iam_share {
	uint8_t id[SHARE_ID];
	bool used;
	bool asking;
	struct iam_limit limit;
	uint32_t want;          /* that was asked for */
	uint32_t permits;
	uint32_t waiting;       /* items of requests that wait */
	uint32_t backlog;       /* … that waited, and come again */
	uint32_t left;          /* for all, when it was asked */
	uint64_t part;          /* of the window, that permits were counted in */
	uint64_t until_ms;      /* permits may be used */
	uint64_t asked_ms;
	uint64_t local_until_ms; /* nobody answered: this node's part */
	uint64_t none_until_ms; /* the answer was no */
	unsigned retry_ms, reset_ms;
	uint64_t touched_ms, serial;
};

struct iam_shares {
	bool there;         /* Redis is */
	unsigned nodes;     /* that share; at least shared.nodes */
	unsigned nodes_min;
	unsigned timeout_ms;
	unsigned asking;    /* shares that have a question under way */
	uint64_t serial;    /* of the request that is judged */
	uint64_t idle_at_ms;
	struct iam_share *begun[IAM_BEGUN_MAX]; /* by that request */
	unsigned begun_count;
	struct iam_share rows[SHARES_MAX];
};

/* ---------------------------------------------------------------- the table */

static struct iam_share *
find(struct iam_shares *s, const uint8_t id[SHARE_ID], bool add)
{
	struct iam_share *oldest = NULL;
	uint32_t at;

	memcpy(&at, id, sizeof(at));
	for (unsigned i = 0; i < PROBES; i++) {
		struct iam_share *row = &s->rows[(at + i) % SHARES_MAX];

		if (row->used && memcmp(row->id, id, SHARE_ID) == 0)
			return row;
		if (oldest == NULL || !row->used || (oldest->used &&
		    row->touched_ms < oldest->touched_ms))
			oldest = row;
	}
	/* Nor one that this very request uses, or that others wait for. */
	if (!add || (oldest->used && (oldest->asking ||
	    oldest->serial == s->serial)))
		return NULL;
	memset(oldest, 0, sizeof(*oldest));
	memcpy(oldest->id, id, SHARE_ID);
	oldest->used = true;
	return oldest;
}

/* The same on every node, and no name in it. */
static bool
id_of(const char *kind, const char *name, const struct iam_limit *limit,
    uint8_t id[SHARE_ID])
{
	char text[NAME_BYTES];
	uint8_t hash[32];
	int n = snprintf(text, sizeof(text), "%s/%u/%s", kind, limit->window_ms,
	    name);

	if (n < 0 || (size_t)n >= sizeof(text))
		return false;
	ag_sha256(text, (size_t)n, hash);
	memcpy(id, hash, SHARE_ID);
	return true;
}

/* ------------------------------------------------------------------- asking */

static const char *
park_name(struct ag_ctx *ctx, const struct iam_share *share)
{
	char hex[2 * SHARE_ID + 1];

	ag_hex(share->id, SHARE_ID, hex);
	return ag_printf(ctx, "share:%s", hex);
}

static ag_err
send(struct ag_ctx *ctx, const struct iam_share *share, uint32_t want,
    uint32_t need, uint32_t give)
{
	Ag__SharedWantOrder order = AG__SHARED_WANT_ORDER__INIT;

	order.window.data = (uint8_t *)(uintptr_t)share->id;
	order.window.len = SHARE_ID;
	order.rate = share->limit.rate;
	order.window_ms = share->limit.window_ms;
	order.want = want;
	order.need = need;
	order.has_give = order.has_give_part = give > 0;
	order.give = give;
	order.give_part = share->part;
	order.asked_ms = share->asked_ms;
	return ag_send(ctx, ag_slot(ctx, AG_ROLE_SHARED, 0),
	    AG_MSG_SHARED_WANT_ORDER, &order);
}

/* What was counted and not used. If it gets lost it stays counted. */
static void
give_back(struct ag_ctx *ctx, struct iam_share *share)
{
	if (share->permits > 0 && send(ctx, share, 0, 0, share->permits) != AG_OK)
		ag_log(ctx, AG_DEBUG, "SHARES-KEPT", "permits=%u",
		    share->permits);
	share->permits = 0;
}

static uint32_t
block_of(const struct iam_shares *s, const struct iam_limit *limit)
{
	uint32_t block = limit->rate / (BLOCKS * s->nodes);

	return block < 1 ? 1 : block > BLOCK_MAX ? BLOCK_MAX : block;
}

static bool
is_local(const struct iam_shares *s, const struct iam_share *share,
    uint64_t now_ms)
{
	return !s->there || share == NULL || now_ms < share->local_until_ms;
}

static void
ask(struct iam_shares *s, struct ag_ctx *ctx, struct iam_share *share,
    uint32_t need, uint64_t now_ms)
{
	uint32_t block = block_of(s, &share->limit);

	if (need > 0 && share->backlog > 0)
		block = share->backlog > BLOCK_MAX ? BLOCK_MAX : share->backlog;
	share->backlog = 0;
	share->want = need > block ? need : block;
	share->asked_ms = now_ms;
	if (send(ctx, share, share->want, need, 0) != AG_OK) {
		share->local_until_ms = now_ms + LOCAL_MS;
		return;
	}
	share->asking = true;
	s->asking++;
}

struct iam_share *
iam_share_begin(struct call *c, const char *kind, const char *name,
    const struct iam_limit *limit)
{
	struct iam_shares *s = c->iam->shares;
	struct iam_share *share;
	uint8_t id[SHARE_ID];

	if (s == NULL || limit->rate == 0 || s->begun_count == IAM_BEGUN_MAX ||
	    !id_of(kind, name, limit, id) || (share = find(s, id, true)) == NULL)
		return NULL;
	share->limit = *limit;
	share->serial = s->serial;
	share->touched_ms = c->mono;
	s->begun[s->begun_count++] = share;
	if (is_local(s, share, c->mono))
		return share;
	if (c->mono >= share->until_ms)
		give_back(c->ctx, share);
	if (share->permits < c->items && c->items <= limit->rate &&
	    c->mono >= share->none_until_ms && !share->asking)
		ask(s, c->ctx, share, c->items, c->mono);
	return share;
}

/* Whoever comes while nobody knows waits for the answer. */
static bool
must_wait(const struct call *c, const struct iam_share *share)
{
	return share->asking && share->permits < c->items &&
	    c->items <= share->limit.rate && c->mono >= share->none_until_ms &&
	    !is_local(c->iam->shares, share, c->mono);
}

ag_err
iam_shares_ready(struct call *c)
{
	struct iam_shares *s = c->iam->shares;
	ag_err err;

	for (unsigned i = 0; s != NULL && i < s->begun_count; i++) {
		const char *name;

		if (!must_wait(c, s->begun[i]))
			continue;
		/* The grant is for the refusal, should there be one. */
		if ((err = ag_set_grant(c->ctx, &c->grant)) != AG_OK)
			return err;
		if ((name = park_name(c->ctx, s->begun[i])) == NULL)
			return AG_NO_MEMORY;
		s->begun[i]->waiting += c->items;
		return ag_stash_on(c->ctx, name, WAIT_MS, "overloaded");
	}
	return AG_OK;
}

/* ------------------------------------------------------------ what it answers */

static void
answered(struct iam_shares *s, struct ag_ctx *ctx, struct iam_share *share)
{
	const char *name = park_name(ctx, share);

	share->asking = false;
	share->backlog = share->waiting;
	share->waiting = 0;
	s->asking--;
	if (name != NULL)
		ag_stash_release(ctx, name);
}

static void
refused(struct iam_share *share, uint64_t now_ms)
{
	uint64_t pause = share->limit.window_ms / 40;

	pause = pause < NONE_MIN_MS ? NONE_MIN_MS :
	    pause > NONE_MAX_MS ? NONE_MAX_MS : pause;
	share->none_until_ms = now_ms + pause;
}

static void
got(struct ag_ctx *ctx, struct iam_share *share, const Ag__SharedGotEvent *ev,
    uint64_t now_ms)
{
	uint64_t until = share->asked_ms + ev->part_ms;
	uint32_t n = ev->got <= share->want ? ev->got : 0;

	if (share->permits > 0 && (ev->part != share->part ||
	    now_ms >= share->until_ms))
		give_back(ctx, share);
	share->left = ev->left;
	share->retry_ms = ev->retry_ms;
	share->reset_ms = ev->reset_ms;
	if (n == 0) {
		refused(share, now_ms);
		return;
	}
	if (share->permits == 0 || until > share->until_ms)
		share->until_ms = until;
	share->part = ev->part;
	share->permits += n;
	/* The part was over when the answer came: too slow for this window. */
	if (now_ms >= share->until_ms) {
		give_back(ctx, share);
		share->local_until_ms = now_ms + LOCAL_MS;
	}
}

ag_err
iam_on_shared_got(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__SharedGotEvent *ev = msg;
	struct iam_shares *s = ((struct iam *)state)->shares;
	uint64_t now_ms = ag_mono_ms(ctx);
	struct iam_share *share;

	if (s == NULL || ev->window.len != SHARE_ID)
		return AG_BAD_MESSAGE;
	share = find(s, ev->window.data, false);
	if (share == NULL || !share->asking || share->asked_ms != ev->asked_ms)
		return AG_OK; /* nobody waits for it any more */
	if (!ev->has_got || !ev->has_left || !ev->has_part_ms || !ev->has_part ||
	    !ev->has_retry_ms || !ev->has_reset_ms) {
		share->local_until_ms = now_ms + LOCAL_MS;
	} else {
		got(ctx, share, ev, now_ms);
	}
	answered(s, ctx, share);
	return AG_OK;
}

ag_err
iam_on_shared_state(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__SharedStateEvent *ev = msg;
	struct iam_shares *s = ((struct iam *)state)->shares;

	(void)ctx;
	if (s == NULL)
		return AG_BAD_MESSAGE;
	s->there = ev->there;
	s->nodes = ev->nodes > s->nodes_min ? ev->nodes : s->nodes_min;
	return AG_OK;
}

/* Questions that nobody answers, and permits that nobody uses. */
static void
look_around(void *state, struct ag_ctx *ctx)
{
	struct iam_shares *s = ((struct iam *)state)->shares;
	uint64_t now_ms = ag_mono_ms(ctx);
	bool idle = now_ms >= s->idle_at_ms;

	if (!idle && s->asking == 0)
		return;
	if (idle)
		s->idle_at_ms = now_ms + IDLE_MS;
	for (unsigned i = 0; i < SHARES_MAX; i++) {
		struct iam_share *share = &s->rows[i];

		if (share->asking && now_ms > share->asked_ms + s->timeout_ms +
		    LATE_MS) {
			share->local_until_ms = now_ms + LOCAL_MS;
			answered(s, ctx, share);
		}
		if (idle && share->permits > 0 && !share->asking &&
		    (now_ms >= share->until_ms ||
		    now_ms >= share->touched_ms + IDLE_MS))
			give_back(ctx, share);
	}
}

/* ------------------------------------------------------------- one request */

bool
iam_shares_on(const struct iam *iam)
{
	return iam->shares != NULL;
}

struct iam_limit
iam_shares_part(const struct iam *iam, const struct iam_limit *limit)
{
	struct iam_limit part = *limit;

	if (iam->shares != NULL && limit->rate > 0) {
		part.rate = limit->rate / iam->shares->nodes;
		if (part.rate == 0)
			part.rate = 1;
	}
	return part;
}

static unsigned
seconds(unsigned ms)
{
	return ms < 1000 ? 1 : (ms + 999) / 1000;
}

struct iam_room
iam_share_look(struct call *c, struct iam_share *share, struct iam_window *w,
    const struct iam_limit *limit)
{
	struct iam_shares *s = c->iam->shares;
	struct iam_limit part;
	struct iam_room room;
	uint64_t left;

	if (s == NULL || limit->rate == 0)
		return iam_window_look(w, limit, c->mono, c->items);
	if (is_local(s, share, c->mono)) {
		part = iam_shares_part(c->iam, limit);
		return iam_window_look(w, &part, c->mono, c->items);
	}
	/* A node by itself never does more than all may, whatever Redis says. */
	room = iam_window_look(w, limit, c->mono, c->items);
	if (!room.ok)
		return room;
	room.ok = share->permits >= c->items;
	left = (uint64_t)share->left + share->permits -
	    (room.ok ? c->items : 0);
	if (left < room.left)
		room.left = (uint32_t)left;
	if (share->reset_ms > 0)
		room.reset_s = seconds(share->reset_ms);
	if (!room.ok)
		room.retry_s = seconds(share->retry_ms);
	return room;
}

void
iam_share_take(struct call *c, struct iam_share *share, struct iam_window *w,
    const struct iam_limit *limit)
{
	struct iam_shares *s = c->iam->shares;
	uint32_t block;

	iam_window_take(w, limit, c->mono, c->items);
	if (s == NULL || limit->rate == 0)
		return;
	if (is_local(s, share, c->mono)) {
		ag_metric_add(c->ctx, IAM_M_LOCAL, 1);
		return;
	}
	share->permits -= c->items <= share->permits ? c->items : share->permits;
	/* Ahead; a rate so small that a block is one is asked for as it is used. */
	block = block_of(s, limit);
	if (block > 1 && share->permits < block / 2 && !share->asking &&
	    c->mono >= share->none_until_ms)
		ask(s, c->ctx, share, 0, c->mono);
}

void
iam_shares_request(struct iam *iam)
{
	if (iam->shares == NULL)
		return;
	iam->shares->serial++;
	iam->shares->begun_count = 0;
}

ag_err
iam_shares_init(struct iam *iam, struct ag_ctx *ctx)
{
	struct iam_shares *s;

	if (ag_config_int(ctx, "shared.enabled") == 0)
		return AG_OK;
	if ((s = calloc(1, sizeof(*s))) == NULL)
		return AG_NO_MEMORY;
	s->nodes = s->nodes_min = (unsigned)ag_config_int(ctx, "shared.nodes");
	s->timeout_ms = (unsigned)ag_config_int(ctx, "shared.timeout_ms");
	iam->shares = s;
	return ag_every(ctx, LOOK_EVERY_MS, look_around);
}

void
iam_shares_fini(struct iam *iam)
{
	free(iam->shares);
	iam->shares = NULL;
}
