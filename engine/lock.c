/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams with a change under way: later trips for the same stream wait here
 * (the stash), others go on. The same table parks trips on a name until
 * somebody lets them go. Waiters run again from the start of their handler, in
 * the order in which they came.
 */
#include "ctx.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 1024 };

static unsigned
bucket_of(const char *name)
{
	uint32_t h = 2166136261u; /* FNV-1a: names are ours, not a peer's */

	for (; *name != '\0'; name++)
		h = (h ^ (uint8_t)*name) * 16777619u;
	return h % BUCKETS;
}

static struct lock **
lock_at(struct ag_ctx *ctx, const char *name)
{
	struct lock **at = &ctx->locks[bucket_of(name)];

	while (*at != NULL && strcmp((*at)->name, name) != 0)
		at = &(*at)->next;
	return at;
}

static struct lock *
lock_get(struct ag_ctx *ctx, const char *name)
{
	struct lock **at = lock_at(ctx, name);

	if (*at == NULL && strlen(name) < STREAM_NAME_MAX) {
		*at = calloc(1, sizeof(**at));
		if (*at != NULL)
			strcpy((*at)->name, name);
	}
	return *at;
}

static ag_err
wait_on(struct ag_ctx *ctx, struct lock *lock)
{
	struct ag_trip *trip = ctx->trip;
	ag_err err;

	if (ctx->stashed >= AG_STASH_MAX)
		return AG_FULL;
	if ((err = trip_keep(ctx, trip)) != AG_OK)
		return err;
	trip->next = NULL;
	if (lock->first == NULL)
		lock->first = trip;
	else
		lock->last->next = trip;
	lock->last = trip;
	trip->waits++;
	trip->parked_on = lock;
	ctx->stashed++;
	ag_em_add(ctx, EM_STASHED, 1);
	return AG_PENDING;
}

ag_err
ag_enter(struct ag_ctx *ctx, const char *stream, bool exclusive)
{
	struct ag_trip *trip = ctx->trip;
	struct lock *lock = *lock_at(ctx, stream);

	if (lock != NULL && lock->holder == trip)
		return AG_OK;
	if (lock != NULL && lock->holder != NULL)
		return wait_on(ctx, lock);
	if (!exclusive)
		return AG_OK;
	for (int i = 0; i < LOCKS_PER_TRIP; i++) {
		if (trip->locks[i] != NULL)
			continue;
		if (lock == NULL)
			lock = lock_get(ctx, stream);
		if (lock == NULL)
			return AG_NO_MEMORY;
		lock->holder = trip;
		trip->locks[i] = lock;
		return AG_OK;
	}
	ag_panic("a trip holds more than %d streams", LOCKS_PER_TRIP);
}

/* All who wait on it are run again; the lock goes. */
static void
lock_open(struct ag_ctx *ctx, struct lock *lock)
{
	struct lock **at = lock_at(ctx, lock->name);

	for (struct ag_trip *trip = lock->first; trip != NULL; trip = trip->next) {
		trip->parked_on = NULL;
		ctx->stashed--;
	}
	if (lock->first != NULL) {
		if (ctx->run_first == NULL)
			ctx->run_first = lock->first;
		else
			ctx->run_last->next = lock->first;
		ctx->run_last = lock->last;
		ctx->turned = true;
	}
	*at = lock->next;
	free(lock);
}

void
lock_release_all(struct ag_ctx *ctx, struct ag_trip *trip)
{
	for (int i = 0; i < LOCKS_PER_TRIP; i++) {
		if (trip->locks[i] == NULL)
			continue;
		lock_open(ctx, trip->locks[i]);
		trip->locks[i] = NULL;
	}
}

void
ag_leave(struct ag_ctx *ctx, const char *stream)
{
	struct lock *lock = *lock_at(ctx, stream);

	for (int i = 0; lock != NULL && i < LOCKS_PER_TRIP; i++) {
		if (ctx->trip->locks[i] != lock)
			continue;
		ctx->trip->locks[i] = NULL;
		lock_open(ctx, lock);
		return;
	}
}

/* What ag_set_grant left is in the turn's arena: kept for the refusal. */
static ag_err
keep_grant(struct ag_trip *trip)
{
	free(trip->park_grant);
	trip->park_grant = NULL;
	if (trip->grant_bytes == NULL)
		return AG_OK;
	trip->park_grant = malloc(trip->grant_len + 1);
	if (trip->park_grant == NULL)
		return AG_NO_MEMORY;
	memcpy(trip->park_grant, trip->grant_bytes, trip->grant_len);
	trip->park_grant_len = trip->grant_len;
	memcpy(trip->park_mac, trip->grant_mac, AG_MAC_BYTES);
	return AG_OK;
}

ag_err
ag_stash_on(struct ag_ctx *ctx, const char *name, unsigned timeout_ms,
    const char *reason_code)
{
	struct lock *lock = lock_get(ctx, name);
	struct timer timer = { .kind = TIMER_PARK, .trip = ctx->trip,
		.due_ms = ag_mono_ms(ctx) + timeout_ms };
	ag_err err;

	if (lock == NULL || keep_grant(ctx->trip) != AG_OK)
		return AG_NO_MEMORY;
	timer.park = ++ctx->trip->park;
	if ((err = timer_add(ctx, &timer)) != AG_OK)
		return err;
	free(ctx->trip->park_reason);
	ctx->trip->park_reason = strdup(reason_code);
	err = wait_on(ctx, lock);
	if (err != AG_PENDING)
		ctx->trip->park++; /* the timer will find it gone */
	return err;
}

void
ag_stash_release(struct ag_ctx *ctx, const char *name)
{
	struct lock *lock = *lock_at(ctx, name);

	if (lock != NULL)
		lock_open(ctx, lock);
}

/* Takes one waiting trip out of the lock that it waits on. */
void
lock_forget_parked(struct ag_ctx *ctx, struct ag_trip *trip)
{
	struct lock *lock = trip->parked_on;
	struct ag_trip *before = NULL, *t;

	if (lock == NULL)
		return;
	for (t = lock->first; t != NULL && t != trip; t = t->next)
		before = t;
	if (t == NULL)
		return;
	if (before == NULL)
		lock->first = trip->next;
	else
		before->next = trip->next;
	if (lock->last == trip)
		lock->last = before;
	trip->next = NULL;
	trip->parked_on = NULL;
	ctx->stashed--;
	if (lock->first == NULL && lock->holder == NULL)
		lock_open(ctx, lock);
}

/* At the process's end. Who waits is dropped with all trips. */
void
lock_drop_all(struct ag_ctx *ctx)
{
	for (unsigned i = 0; i < BUCKETS; i++) {
		while (ctx->locks[i] != NULL) {
			struct lock *lock = ctx->locks[i];

			ctx->locks[i] = lock->next;
			free(lock);
		}
	}
}
