/* SPDX-License-Identifier: Apache-2.0 */
/*
 * At least once, in order, over crashes of anybody.
 */
#include "pending.h"

#include <string.h>

static void
pos_key(uint64_t pos, uint8_t key[8])
{
	for (unsigned i = 0; i < 8; i++)
		key[i] = (uint8_t)(pos >> (56 - 8 * i));
}

bool
pending_full(const struct pending_ring *ring)
{
	return ring->tail - ring->head == PENDING_MAX;
}

unsigned
pending_count(const struct pending_ring *ring)
{
	return (unsigned)(ring->tail - ring->head);
}

static struct pending *
find(struct pending_ring *ring, uint64_t pos)
{
	for (uint64_t i = ring->head; i < ring->tail; i++) {
		struct pending *p = &ring->places[i % PENDING_MAX];

		if (p->pos == pos && !p->done)
			return p;
	}
	return NULL;
}

static void
settle(struct pending_ring *ring, struct ag_ctx *ctx, struct pending *p)
{
	uint8_t key[8];

	if (!p->answered || p->missing != 0 || p->no_response != 0)
		return;
	pos_key(p->pos, key);
	if (ag_store_del(ctx, ring->table, key, sizeof(key)) != AG_OK)
		ag_log(ctx, AG_WARN, "ANOMALY-STORE", "pos=%llu",
		    (unsigned long long)p->pos);
	p->done = true;
	while (ring->head < ring->tail &&
	    ring->places[ring->head % PENDING_MAX].done)
		ring->head++;
}

/* What the same question will never be answered otherwise. */
static bool
is_permanent(ag_err err)
{
	return err == AG_BAD_MESSAGE || err == AG_REQUEST_TOO_LARGE ||
	    err == AG_INVALID_FIELD;
}

/* One that nobody takes must not keep its place, and in the end the ring, from
 * those that come after it. */
static void
give_up(struct pending_ring *ring, struct ag_ctx *ctx, struct pending *p,
    ag_err err)
{
	ag_log(ctx, AG_ERROR, "ASSESS-REFUSED",
	    "pos=%llu detection=%s code=%s why=\"it is given up\"",
	    (unsigned long long)p->pos, p->detections[0],
	    ag_err_row(err)->name);
	p->answered = true;
	p->missing = p->no_response = 0;
	settle(ring, ctx, p);
}

static ag_err
on_answer(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct pending_ring *ring = pending_ring_of(state);
	uint64_t pos;
	struct pending *p;

	memcpy(&pos, memo, sizeof(pos));
	if ((p = find(ring, pos)) == NULL)
		return AG_OK;
	p->in_flight = false;
	if (status == AG_OK) {
		p->answered = true;
		p->answered_ms = ag_mono_ms(ctx);
		settle(ring, ctx, p);
	} else if (is_permanent(status)) {
		give_up(ring, ctx, p, status);
	} else {
		ag_log(ctx, AG_WARN, "ASSESS-RETRY", "pos=%llu code=%s",
		    (unsigned long long)pos, ag_err_row(status)->name);
	}
	return AG_OK;
}

static void
ask(struct pending_ring *ring, struct ag_ctx *ctx, struct pending *p,
    const Ag__AssessAsk *what)
{
	ag_err err = ag_ask(ctx, ag_slot(ctx, AG_ROLE_RESPONDER, 0),
	    AG_MSG_ASSESS_ASK, what, AG_MSG_DONE_REPLY, PENDING_ANSWER_MS,
	    on_answer, &p->pos, sizeof(p->pos));

	p->in_flight = err == AG_PENDING;
	p->asked = (uint8_t)(p->asked + (p->asked < UINT8_MAX));
	if (is_permanent(err))
		give_up(ring, ctx, p, err);
}

static void
record(struct ag_ctx *ctx, struct pending *p, Ag__AssessPending *what)
{
	p->recorded_ms = ag_mono_ms(ctx);
	for (size_t i = 0; i < what->n_detections; i++)
		if ((p->missing & 1u << i) &&
		    ag_record(ctx, what->detections[i]) != AG_OK)
			ag_log(ctx, AG_WARN, "DETECTION-RETRY", "event=%s",
			    what->detections[i]->event_id);
}

static struct pending *
place(struct pending_ring *ring, uint64_t pos, const Ag__AssessPending *what)
{
	struct pending *p = &ring->places[ring->tail++ % PENDING_MAX];

	memset(p, 0, sizeof(*p));
	p->pos = pos;
	for (size_t i = 0; i < what->n_detections &&
	    i < PENDING_DETECTIONS_MAX; i++) {
		const char *id = what->detections[i]->event_id;

		p->missing |= (uint8_t)(1u << i);
		p->no_response |= (uint8_t)(1u << i);
		if (id != NULL && strlen(id) < AG_ID_SIZE)
			memcpy(p->detections[i], id, strlen(id) + 1);
	}
	return p;
}

ag_err
pending_add(struct pending_ring *ring, struct ag_ctx *ctx, uint64_t pos,
    Ag__AssessPending *what)
{
	uint8_t key[8], *bytes;
	size_t len;
	struct pending *p;
	ag_err err;

	if (pending_full(ring))
		return AG_FULL;
	if ((bytes = ag_pack(ctx, what, &len)) == NULL)
		return AG_NO_MEMORY;
	pos_key(pos, key);
	err = ag_store_put(ctx, ring->table, key, sizeof(key), bytes, len);
	if (err != AG_OK)
		return err;
	p = place(ring, pos, what);
	record(ctx, p, what);
	ask(ring, ctx, p, what->ask);
	return AG_OK;
}

void
pending_seen(struct pending_ring *ring, struct ag_ctx *ctx,
    const Ag__Event *event)
{
	bool response = event->event_type == AG__EVENT_TYPE__V__response;
	const char *detection = response ? event->cause_event_id :
	    event->event_id;

	for (uint64_t i = ring->head; detection != NULL && i < ring->tail; i++) {
		struct pending *p = &ring->places[i % PENDING_MAX];
		uint8_t *open = response ? &p->no_response : &p->missing;

		for (unsigned d = 0; d < PENDING_DETECTIONS_MAX; d++)
			if ((*open & 1u << d) && !p->done &&
			    strcmp(p->detections[d], detection) == 0) {
				*open &= (uint8_t)~(1u << d);
				settle(ring, ctx, p);
				return;
			}
	}
}

struct loading {
	struct pending_ring *ring;
	struct ag_ctx *ctx;
};

static bool
load(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
    size_t value_len)
{
	struct loading *l = arg;
	const Ag__AssessPending *what = ag_unpack(l->ctx,
	    &ag__assess_pending__descriptor, value, value_len);
	uint64_t pos = 0;

	for (size_t i = 0; i < key_len && i < 8; i++)
		pos = pos << 8 | key[i];
	if (what != NULL)
		place(l->ring, pos, what);
	return !pending_full(l->ring);
}

ag_err
pending_load(struct pending_ring *ring, struct ag_ctx *ctx)
{
	struct loading loading = { ring, ctx };

	return ag_store_scan(ctx, ring->table, NULL, 0, load, &loading);
}

void
pending_retry(struct pending_ring *ring, struct ag_ctx *ctx)
{
	uint64_t now = ag_mono_ms(ctx);

	for (uint64_t i = ring->head; i < ring->tail; i++) {
		struct pending *p = &ring->places[i % PENDING_MAX];
		bool again = p->missing != 0 &&
		    now - p->recorded_ms >= PENDING_RECORD_MS;
		Ag__AssessPending *what;
		const uint8_t *value;
		uint8_t key[8];
		size_t len;
		bool late = !p->done && p->answered &&
		    now - p->answered_ms >= PENDING_RECORD_MS;

		if (ring->shared && late && p->asked > 1) {
			p->missing = p->no_response = 0;
			settle(ring, ctx, p);
		}
		/* The record of the response was lost: the responder says it again. */
		if (late && (p->no_response != 0 ||
		        (ring->shared && p->missing != 0)))
			p->answered = false;
		if (p->done || (!again && (p->answered || p->in_flight)))
			continue;
		pos_key(p->pos, key);
		if (ag_store_get(ctx, ring->table, key, sizeof(key), &value,
		    &len) != AG_OK || (what = ag_unpack(ctx,
		    &ag__assess_pending__descriptor, value, len)) == NULL)
			continue;
		if (again)
			record(ctx, p, what);
		if (!p->answered && !p->in_flight)
			ask(ring, ctx, p, what->ask);
	}
}
