/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the actors that detect have in common: anomaly, over the node's own log,
 * and across, over the log of all nodes.
 */
#ifndef ANOMALY_ASSESS_H
#define ANOMALY_ASSESS_H

#include <aegis/aegis.h>

#include "detector.h"
#include "pending.h"
#include "../rows.h"

enum {
	ASSESS_DETECTORS_MAX = 16,
	ACTORS_MAX = 8192, /* rows of a detector; the one used longest ago goes */
};

/* The first tables and metrics of either actor. */
enum { ASSESS_ROWS, ASSESS_UNSETTLED };
enum { ASSESS_EVENTS, ASSESS_FOUND, ASSESS_PENDING };

/* The first member of the actor's state. */
struct assessor {
	struct anomaly_limits limits[ASSESS_DETECTORS_MAX];
	struct rows *rows[ASSESS_DETECTORS_MAX]; /* NULL: remembers nothing */
	struct pending_ring pending;
	/* Rows are in the store, with the cursor, and what is usual is learned;
	 * and iam may hold the agent for the ruling. */
	bool stored;
};

ag_err assess_init(struct assessor *assessor, struct ag_ctx *ctx, bool stored)
    AG_MUST;
ag_err assess_ready(struct assessor *assessor, struct ag_ctx *ctx) AG_MUST;
/* The event, at a place that no other event has. AG_FULL: too much is not
 * settled; nothing has changed, the same again later. */
ag_err assess(struct assessor *assessor, struct ag_ctx *ctx,
    const Ag__Event *event, uint64_t pos) AG_MUST;
/* An event of this node's log: a detection or response there is safe. */
void assess_seen(struct assessor *assessor, struct ag_ctx *ctx,
    const Ag__Event *event);
/* Stores the rows that changed. */
ag_err assess_flush(struct assessor *assessor, struct ag_ctx *ctx) AG_MUST;
/* Every row is as at the beginning. */
ag_err assess_forget(struct assessor *assessor) AG_MUST;
void assess_fini(struct assessor *assessor);

#endif
