/* SPDX-License-Identifier: Apache-2.0 */
/*
 * anomaly: what pattern is this event part of?
 * Hears the audit log, in order. Says detections to audit, and to the
 * responder what it found in an event: also that it found nothing, for an
 * event whose agent iam holds, because the hold waits for the ruling.
 * Keeps a row per detector and actor, and what is not settled yet, in the
 * store with the cursor: a restart goes on as if it had not happened. Events
 * that detection and response made themselves are never looked at. Two events
 * change what is usual by themselves: an agent was issued (its scopes seed its
 * line's rows), and a person dismissed a recommendation with `learn`.
 */
#include <aegis/aegis.h>
#include <aegis/event.h>

#include "anomaly/assess.h"

static const char *const tables[] = { "rows", "pending", NULL };

static const struct ag_metric_row metrics[] = {
	{ "anomaly_events_total", "Events looked at", AG_COUNTER },
	{ "anomaly_detections_total", "Recommendations made", AG_COUNTER },
	{ "anomaly_pending", "Findings that are not settled", AG_GAUGE },
};

struct anomaly {
	struct assessor assessor;
};

static ag_err
on_audit(void *state, struct ag_ctx *ctx, const Ag__Event *event, uint64_t pos)
{
	struct anomaly *anomaly = state;

	assess_seen(&anomaly->assessor, ctx, event);
	return assess(&anomaly->assessor, ctx, event, pos);
}

static ag_err
flush(void *state, struct ag_ctx *ctx)
{
	struct anomaly *anomaly = state;

	return assess_flush(&anomaly->assessor, ctx);
}

static ag_err
init(void *state, struct ag_ctx *ctx)
{
	struct anomaly *anomaly = state;

	return assess_init(&anomaly->assessor, ctx, true);
}

static ag_err
ready(void *state, struct ag_ctx *ctx)
{
	struct anomaly *anomaly = state;

	return assess_ready(&anomaly->assessor, ctx);
}

static void
fini(void *state, struct ag_ctx *ctx)
{
	struct anomaly *anomaly = state;

	assess_fini(&anomaly->assessor);
}

const struct ag_actor ag_actor_anomaly = {
	.name = "anomaly",
	.state_size = sizeof(struct anomaly),
	.init = init,
	.ready = ready,
	.on_audit = on_audit,
	.audit_skips = ag_event_reasons,
	.audit_pace_ms = 2,
	.flush = flush,
	.fini = fini,
	.tables = tables,
	AG_METRICS(metrics),
};
