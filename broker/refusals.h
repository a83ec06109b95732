/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the broker tells audit of refused frames: at most so many a second and
 * row, so that a row gone wrong cannot fill the log; the rest is counted and
 * told as a number. Pure: time comes in.
 */
#ifndef AEGIS_BROKER_REFUSALS_H
#define AEGIS_BROKER_REFUSALS_H

#include "topology.h"

enum {
	REFUSALS_PER_S_MAX = 10,
	REFUSALS_WINDOW_MS = 1000,
};

struct refusals_row {
	uint64_t window_ms;  /* when the running second began; 0: none runs */
	unsigned told;       /* in it */
	uint64_t suppressed; /* not told yet */
	struct judged last;  /* of the suppressed ones */
};

struct refusals {
	struct refusals_row rows[TOPOLOGY_SLOTS_MAX];
};

/* May this refusal be told now? *suppressed: how many to say with it. If not,
 * it is counted as suppressed. */
bool refusals_note(struct refusals *r, unsigned from, const struct judged *what,
    uint64_t now_ms, uint64_t *suppressed);
/* It could not be told after all (audit is away): counts it back. */
void refusals_return(struct refusals *r, unsigned from,
    const struct judged *what, uint64_t suppressed);
/* A row whose second is over and of which something is still to be told; false
 * if none. The caller tells `what` with `suppressed`, or returns it. */
bool refusals_due(struct refusals *r, uint64_t now_ms, unsigned *from,
    struct judged *what, uint64_t *suppressed);

#endif
