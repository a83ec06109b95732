/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything that happens later: deadlines of asks, ag_after, ag_every and the
 * patience of parked trips, in one heap ordered by time. An entry whose cause
 * is gone is recognised by its generation when it comes up, or when room is
 * wanted: most asks are answered long before their time.
 */
#include "ctx.h"

#include <stdlib.h>
#include <string.h>

enum { TIMERS_MAX = AG_PENDING_MAX * 4 };

static bool
earlier(const struct timer *a, const struct timer *b)
{
	if (a->due_ms != b->due_ms)
		return a->due_ms < b->due_ms;
	return a->order < b->order;
}

static void
swap(struct timer *a, struct timer *b)
{
	struct timer t = *a;

	*a = *b;
	*b = t;
}

static void
sift_down(struct ag_ctx *ctx, size_t i)
{
	for (;;) {
		size_t least = i, left = 2 * i + 1, right = 2 * i + 2;

		if (left < ctx->timer_count &&
		    earlier(&ctx->timers[left], &ctx->timers[least]))
			least = left;
		if (right < ctx->timer_count &&
		    earlier(&ctx->timers[right], &ctx->timers[least]))
			least = right;
		if (least == i)
			return;
		swap(&ctx->timers[i], &ctx->timers[least]);
		i = least;
	}
}

/* Of an ask that has ended, or a trip that is not parked any more. */
static bool
is_over(struct ag_ctx *ctx, const struct timer *timer)
{
	switch (timer->kind) {
	case TIMER_ASK:
		return !ask_waits(ctx, timer->corr);
	case TIMER_PARK:
		return !trip_is_parked(timer->trip, timer->park);
	case TIMER_AFTER:
	case TIMER_EVERY:
		break;
	}
	return false;
}

static void
sweep(struct ag_ctx *ctx)
{
	size_t kept = 0;

	for (size_t i = 0; i < ctx->timer_count; i++)
		if (!is_over(ctx, &ctx->timers[i]))
			ctx->timers[kept++] = ctx->timers[i];
	ctx->timer_count = kept;
	for (size_t i = kept / 2; i-- > 0;)
		sift_down(ctx, i);
}

/* For one more. Grown only if half of it is wanted, so that a sweep costs as
 * much as the entries that came since the last one. */
static ag_err
make_room(struct ag_ctx *ctx)
{
	size_t cap = ctx->timer_cap == 0 ? 64 : ctx->timer_cap * 2;
	struct timer *timers;

	if (ctx->timer_count < ctx->timer_cap)
		return AG_OK;
	sweep(ctx);
	if (cap > TIMERS_MAX)
		return ctx->timer_count < ctx->timer_cap ? AG_OK : AG_FULL;
	if (ctx->timer_count < ctx->timer_cap / 2)
		return AG_OK;
	timers = realloc(ctx->timers, cap * sizeof(*timers));
	if (timers == NULL)
		return AG_NO_MEMORY;
	ctx->timers = timers;
	ctx->timer_cap = cap;
	return AG_OK;
}

ag_err
timer_add(struct ag_ctx *ctx, const struct timer *timer)
{
	ag_err err = make_room(ctx);
	size_t i = ctx->timer_count;

	if (err != AG_OK)
		return err;
	ctx->timers[i] = *timer;
	ctx->timers[i].order = ++ctx->timer_order;
	ctx->timer_count++;
	while (i > 0 && earlier(&ctx->timers[i], &ctx->timers[(i - 1) / 2])) {
		swap(&ctx->timers[i], &ctx->timers[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	return AG_OK;
}

static void
memo_free(void *memo, size_t size)
{
	if (memo != NULL)
		ag_wipe(memo, size);
	free(memo);
}

static void
fire_after(struct ag_ctx *ctx, struct timer *timer)
{
	ag_err err;

	if (timer->trip != NULL) {
		timer->trip->waits--;
		if (trip_enter(ctx, timer->trip) == AG_OK)
			trip_leave(ctx, timer->then(ctx->state, ctx, AG_OK, NULL,
			    timer->memo));
	} else {
		err = timer->then(ctx->state, ctx, AG_OK, NULL, timer->memo);
		if (err != AG_OK && err != AG_PENDING)
			ag_log(ctx, AG_WARN, "TIMER-ERROR", "error=%s",
			    ag_err_row(err)->name);
		ag_arena_wipe(ctx->arena);
	}
	memo_free(timer->memo, timer->memo_size);
}

static void
fire(struct ag_ctx *ctx, struct timer *timer)
{
	switch (timer->kind) {
	case TIMER_ASK:
		ask_timeout(ctx, timer->corr);
		break;
	case TIMER_PARK:
		trip_park_expired(ctx, timer->trip, timer->park);
		break;
	case TIMER_AFTER:
		fire_after(ctx, timer);
		break;
	case TIMER_EVERY:
		timer->every(ctx->state, ctx);
		ag_arena_wipe(ctx->arena);
		break;
	}
	ctx->turned = true;
}

void
timer_run(struct ag_ctx *ctx)
{
	uint64_t now = ag_mono_ms(ctx);

	while (ctx->timer_count > 0 && ctx->timers[0].due_ms <= now) {
		struct timer timer = ctx->timers[0];

		if (timer.kind == TIMER_EVERY) { /* keeps its place */
			ctx->timers[0].due_ms = now + timer.period_ms;
			ctx->timers[0].order = ++ctx->timer_order;
		} else {
			ctx->timers[0] = ctx->timers[--ctx->timer_count];
		}
		sift_down(ctx, 0);
		fire(ctx, &timer);
	}
}

uint64_t
timer_next_ms(struct ag_ctx *ctx)
{
	return ctx->timer_count == 0 ? UINT64_MAX : ctx->timers[0].due_ms;
}

void
timer_drop_all(struct ag_ctx *ctx)
{
	for (size_t i = 0; i < ctx->timer_count; i++) {
		persist_forget(ctx->timers[i].then, ctx->timers[i].memo);
		memo_free(ctx->timers[i].memo, ctx->timers[i].memo_size);
	}
	free(ctx->timers);
	ctx->timers = NULL;
	ctx->timer_count = ctx->timer_cap = 0;
}

ag_err
ag_every(struct ag_ctx *ctx, unsigned period_ms, ag_on_timer *fn)
{
	struct timer timer = { .kind = TIMER_EVERY, .every = fn,
		.period_ms = period_ms, .due_ms = ag_mono_ms(ctx) + period_ms };

	return timer_add(ctx, &timer);
}

ag_err
ag_after(struct ag_ctx *ctx, unsigned delay_ms, ag_then *then, const void *memo,
    size_t memo_size)
{
	struct timer timer = { .kind = TIMER_AFTER, .then = then,
		.memo_size = memo_size, .due_ms = ag_mono_ms(ctx) + delay_ms };
	ag_err err;

	if (memo_size > AG_MEMO_BYTES_MAX)
		return AG_FULL;
	if (memo_size > 0) {
		timer.memo = malloc(memo_size);
		if (timer.memo == NULL)
			return AG_NO_MEMORY;
		memcpy(timer.memo, memo, memo_size);
	}
	if (ctx->trip != NULL) {
		if ((err = trip_keep(ctx, ctx->trip)) != AG_OK) {
			memo_free(timer.memo, memo_size);
			return err;
		}
		timer.trip = ctx->trip;
	}
	if ((err = timer_add(ctx, &timer)) != AG_OK) {
		memo_free(timer.memo, memo_size);
		return err;
	}
	if (ctx->trip != NULL)
		ctx->trip->waits++;
	return AG_PENDING;
}
