/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking: a message with a correlation number, and a continuation that runs
 * exactly once, with the reply or with the reason why there is none.
 */
#include "ctx.h"

#include <stdlib.h>
#include <string.h>

static const uint32_t NO_ASK = UINT32_MAX;

/* A correlation number is generation and index; one that was answered or timed
 * out has another generation, so a late reply finds nobody. Generations begin
 * at random: nor does one that an earlier start of this process asked for. */
static uint64_t
corr_of(uint32_t index, uint32_t generation)
{
	return (uint64_t)generation << 32 | index;
}

static struct ask *
ask_find(struct ag_ctx *ctx, uint64_t corr)
{
	uint32_t index = (uint32_t)corr;
	struct ask *ask;

	if (index >= ctx->ask_count)
		return NULL;
	ask = &ctx->asks[index];
	return ask->used && ask->generation == corr >> 32 ? ask : NULL;
}

bool
ask_waits(struct ag_ctx *ctx, uint64_t corr)
{
	return ask_find(ctx, corr) != NULL;
}

static bool
asks_grow(struct ag_ctx *ctx)
{
	uint32_t count = ctx->ask_count == 0 ? 64 : ctx->ask_count * 2;
	struct ask *asks;

	if (count > AG_PENDING_MAX)
		return false;
	asks = realloc(ctx->asks, count * sizeof(*asks));
	if (asks == NULL)
		return false;
	memset(asks + ctx->ask_count, 0,
	    (count - ctx->ask_count) * sizeof(*asks));
	for (uint32_t i = ctx->ask_count; i < count; i++) {
		ag_random(&asks[i].generation, sizeof(asks[i].generation));
		asks[i].next_free = i + 1 < count ? i + 1 : NO_ASK;
	}
	ctx->ask_free = ctx->ask_count;
	ctx->asks = asks;
	ctx->ask_count = count;
	return true;
}

static struct ask *
ask_take(struct ag_ctx *ctx)
{
	struct ask *ask;

	if ((ctx->ask_count == 0 || ctx->ask_free == NO_ASK) && !asks_grow(ctx))
		return NULL;
	ask = &ctx->asks[ctx->ask_free];
	ctx->ask_free = ask->next_free;
	if (++ask->generation == 0) /* 0: no answer is wanted */
		ask->generation = 1;
	ask->used = true;
	ctx->ask_used++;
	return ask;
}

static void
ask_put(struct ag_ctx *ctx, struct ask *ask)
{
	ask->used = false;
	ask->memo = NULL;
	ask->trip = NULL;
	ask->next_free = ctx->ask_free;
	ctx->ask_free = (uint32_t)(ask - ctx->asks);
	ctx->ask_used--;
}

static ag_err
ask_fill(struct ag_ctx *ctx, struct ask *ask, const void *memo, size_t memo_size)
{
	ag_err err;

	ask->memo = NULL;
	ask->memo_size = memo_size;
	ask->trip = NULL;
	if (memo_size > 0) {
		if ((ask->memo = malloc(memo_size)) == NULL)
			return AG_NO_MEMORY;
		memcpy(ask->memo, memo, memo_size);
	}
	if (ctx->trip != NULL) {
		if ((err = trip_keep(ctx, ctx->trip)) != AG_OK)
			return err;
		ask->trip = ctx->trip;
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

/* What a station's absence is called in an answer. */
static const char *
reason_for(struct ag_ctx *ctx, unsigned to)
{
	switch (ag_slot_role(ctx, to)) {
	case AG_ROLE_JOURNAL:
		return "journal";
	case AG_ROLE_ROT:
		return "rot";
	case AG_ROLE_AUDIT:
		return "audit";
	case AG_ROLE_RISK:
		return "risk";
	default: /* any other station: it is being restarted */
		return "starting";
	}
}

ag_err
ag_ask(struct ag_ctx *ctx, unsigned to, uint16_t type, const void *msg,
    uint16_t reply_type, unsigned timeout_ms, ag_then *then, const void *memo,
    size_t memo_size)
{
	Ag__Envelope env = AG__ENVELOPE__INIT;
	char stamp[AG_STAMP_SIZE];
	struct timer timer = { .kind = TIMER_ASK,
		.due_ms = ag_mono_ms(ctx) + timeout_ms };
	struct ask *ask;
	ag_err err;

	if (memo_size > AG_MEMO_BYTES_MAX || (ask = ask_take(ctx)) == NULL)
		return AG_FULL;
	ask->to = to;
	ask->reply_type = reply_type;
	ask->then = then;
	env.has_corr = true;
	env.corr = corr_of((uint32_t)(ask - ctx->asks), ask->generation);
	env.has_deadline_ms = true;
	env.deadline_ms = timer.due_ms;
	timer.corr = env.corr;
	if (ag_slot_role(ctx, to) == AG_ROLE_ROT && trip_stamp(ctx, stamp))
		env.stamp = stamp;
	err = ask_fill(ctx, ask, memo, memo_size);
	/* The timer first: what was sent cannot be taken back, a timer without
	 * its ask finds nobody. */
	if (err == AG_OK)
		err = timer_add(ctx, &timer);
	if (err == AG_OK)
		err = out_add(ctx, to, type, &env, msg);
	if (err != AG_OK) {
		memo_free(ask->memo, memo_size);
		ask_put(ctx, ask);
		if (err == AG_NOBODY)
			return ag_refuse(ctx, AG_UNAVAILABLE, reason_for(ctx, to),
			    NULL, "%s is not there", ag_slot_name(ctx, to));
		return err;
	}
	if (ask->trip != NULL)
		ask->trip->waits++;
	if (ask->trip != NULL && ask->trip->trace != NULL)
		ask->begun_us = ag_mono_us(ctx);
	ag_em_add(ctx, EM_ASKS, 1);
	return AG_PENDING;
}

ag_err
ag_wait(struct ag_ctx *ctx, ag_then *then, const void *memo, size_t memo_size,
    uint64_t *ticket)
{
	struct ask *ask;
	ag_err err;

	if (memo_size > AG_MEMO_BYTES_MAX || (ask = ask_take(ctx)) == NULL)
		return AG_FULL;
	ask->to = AG_SLOT_NONE; /* nobody's answer ends it */
	ask->reply_type = 0;
	ask->then = then;
	if ((err = ask_fill(ctx, ask, memo, memo_size)) != AG_OK) {
		memo_free(ask->memo, memo_size);
		ask_put(ctx, ask);
		return err;
	}
	if (ask->trip != NULL)
		ask->trip->waits++;
	*ticket = corr_of((uint32_t)(ask - ctx->asks), ask->generation);
	return AG_PENDING;
}

/* Hands the end of an ask to its continuation, with its trip restored. */
static void
finish(struct ag_ctx *ctx, struct ask *slot, ag_err status, const uint8_t *body,
    size_t body_len)
{
	struct ask ask = *slot;
	const struct ag_message *m = ag_message_find(ask.reply_type);
	const void *msg = NULL;
	ag_err err = AG_OK;

	ask_put(ctx, slot);
	ctx->turned = true;
	if (ask.trip != NULL) {
		ask.trip->waits--;
		trace_asked(ctx, ask.trip, ask.to, ask.begun_us);
		err = trip_enter(ctx, ask.trip);
	}
	if (err == AG_OK && status == AG_OK && m != NULL) {
		msg = ag_unpack(ctx, m->body, body, body_len);
		if (msg == NULL)
			status = AG_BAD_MESSAGE;
	}
	if (status != AG_OK)
		ctx->status_refusal.err = status;
	if (err == AG_OK)
		err = ask.then(ctx->state, ctx, status, msg, ask.memo);
	if (ctx->trip != NULL)
		trip_leave(ctx, err);
	else if (err != AG_OK && err != AG_PENDING)
		ag_log(ctx, AG_WARN, "ASK-ERROR", "type=%s error=%s",
		    m == NULL ? "-" : m->name, ag_err_row(err)->name);
	ag__refusal__init(&ctx->status_refusal);
	memo_free(ask.memo, ask.memo_size);
	ag_arena_wipe(ctx->arena);
}

static void
finish_unanswered(struct ag_ctx *ctx, struct ask *ask, ag_err err,
    const char *detail)
{
	ag__refusal__init(&ctx->status_refusal);
	ctx->status_refusal.reason_code = (char *)reason_for(ctx, ask->to);
	ctx->status_refusal.detail = (char *)detail;
	finish(ctx, ask, err, NULL, 0);
}

void
ag_unwait(struct ag_ctx *ctx, uint64_t ticket)
{
	struct ask *ask = ask_find(ctx, ticket);

	if (ask == NULL || ask->to != AG_SLOT_NONE)
		return;
	if (ask->trip != NULL)
		ask->trip->waits--;
	memo_free(ask->memo, ask->memo_size);
	ask_put(ctx, ask);
}

void
ag_resume(struct ag_ctx *ctx, uint64_t ticket, ag_err status)
{
	struct ask *ask = ask_find(ctx, ticket);

	if (ask == NULL || ask->to != AG_SLOT_NONE)
		return;
	ag__refusal__init(&ctx->status_refusal);
	finish(ctx, ask, status, NULL, 0);
}

void
ask_reply(struct ag_ctx *ctx, unsigned from, uint16_t type,
    const Ag__Envelope *env, const uint8_t *body, size_t body_len)
{
	struct ask *ask = ask_find(ctx, env->corr);
	ag_err status = env->has_status ? (ag_err)env->status : AG_OK;
	Ag__ErrorReply *error = NULL;

	/* Late, or from somebody who was not asked: nobody listens. */
	if (ask == NULL || ask->to != from)
		return;
	ag__refusal__init(&ctx->status_refusal);
	if (type == AG_MSG_ERROR_REPLY) {
		/* Kept apart from the arena, which the continuation resets. */
		error = ag__error_reply__unpack(NULL, body_len, body);
		if (status == AG_OK || status >= AG_ERR_COUNT)
			status = AG_GENERAL_FAILURE;
		if (error != NULL)
			ctx->status_refusal = *error->refusal;
	} else if (status != AG_OK || type != ask->reply_type) {
		status = AG_BAD_MESSAGE;
	}
	finish(ctx, ask, status, body, body_len);
	if (error != NULL)
		ag__error_reply__free_unpacked(error, NULL);
}

void
ask_timeout(struct ag_ctx *ctx, uint64_t corr)
{
	struct ask *ask = ask_find(ctx, corr);

	if (ask == NULL)
		return;
	ag_em_add(ctx, EM_TIMEOUTS, 1);
	finish_unanswered(ctx, ask, AG_TIMEOUT, "no answer in time");
}

void
ask_peer_down(struct ag_ctx *ctx, unsigned slot)
{
	for (uint32_t i = 0; i < ctx->ask_count; i++)
		if (ctx->asks[i].used && ctx->asks[i].to == slot)
			finish_unanswered(ctx, &ctx->asks[i], AG_NOBODY,
			    "it went away");
}

void
ask_drop_all(struct ag_ctx *ctx)
{
	for (uint32_t i = 0; i < ctx->ask_count; i++)
		if (ctx->asks[i].used) {
			persist_forget(ctx->asks[i].then, ctx->asks[i].memo);
			memo_free(ctx->asks[i].memo, ctx->asks[i].memo_size);
		}
	free(ctx->asks);
	ctx->asks = NULL;
	ctx->ask_count = 0;
}
