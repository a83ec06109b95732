/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was found and is not settled: the responder has not answered, or a
 * detection or the response to it is not in the audit log yet. It is kept in
 * the store, so that all of it happens at least once, in the order of the
 * events. A repeat changes nothing: ids are derived from the event.
 */
#ifndef ANOMALY_PENDING_H
#define ANOMALY_PENDING_H

#include <aegis/aegis.h>

enum {
	PENDING_MAX = 1024,
	PENDING_DETECTIONS_MAX = 8,
	PENDING_RETRY_MS = 250,
	PENDING_ANSWER_MS = 3000,  /* of the responder */
	PENDING_RECORD_MS = 3000,  /* until a detection is recorded again */
};

struct pending {
	uint64_t pos; /* of the event in the audit log: its key in the store */
	bool done;
	bool in_flight;
	bool answered;
	/* Bit i: not seen in the log yet is … */
	uint8_t missing;       /* … detection i */
	uint8_t no_response;   /* … the response to it */
	uint8_t asked;         /* how often, up to 255 */
	uint64_t recorded_ms;
	uint64_t answered_ms;
	char detections[PENDING_DETECTIONS_MAX][AG_ID_SIZE];
};

/* A ring: what is old is asked again before what is new. */
struct pending_ring {
	unsigned table;
	/* Somebody else of this node may have recorded the same before: audit drops
	 * the repeat, which we then wait for in vain. What was answered and said
	 * twice, PENDING_RECORD_MS apart, counts as safe. */
	bool shared;
	uint64_t head, tail; /* of places; place % PENDING_MAX is the index */
	struct pending places[PENDING_MAX];
};

bool pending_full(const struct pending_ring *ring);
/* Keeps it, records the detections and asks the responder. AG_FULL. */
ag_err pending_add(struct pending_ring *ring, struct ag_ctx *ctx, uint64_t pos,
    Ag__AssessPending *what) AG_MUST;
/* A detection, or a response, of the log: if it is ours, it is safe there. */
void pending_seen(struct pending_ring *ring, struct ag_ctx *ctx,
    const Ag__Event *event);
/* From the store, at start. */
ag_err pending_load(struct pending_ring *ring, struct ag_ctx *ctx) AG_MUST;
/* Says again what was not settled in time. */
void pending_retry(struct pending_ring *ring, struct ag_ctx *ctx);
unsigned pending_count(const struct pending_ring *ring);

/* The actor's ring, of its state. */
struct pending_ring *pending_ring_of(void *state);

#endif
