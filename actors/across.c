/* SPDX-License-Identifier: Apache-2.0 */
/*
 * across: what pattern is this event part of, wherever its node is?
 * Hears the topic of Kafka that all nodes' sinks write to, as a member of a
 * group, and the node's own audit log for what became of its detections. Says
 * what anomaly says, with the same ids for the same findings, so that what both
 * find is one recommendation. Keeps what is not settled in the store, and
 * counts in memory only: whoever is given a partition reads it again from the
 * longest window on. Habits that take days to learn are anomaly's.
 */
#include <aegis/aegis.h>
#include <aegis/event.h>

#include <string.h>

#include "across/heard.h"
#include "across/stream.h"
#include "anomaly/assess.h"

enum {
	POLL_MS = 20,
	ROUND_MAX = 256,      /* records at a time: their events share a turn */
	SEEN_MAX = 1 << 17,   /* event ids, by hash */
	WINDOW_MAX_MS = 3600000,
};

static const char *const tables[] = { "rows", "pending", NULL };

enum { UNREADABLE = ASSESS_PENDING + 1, REPEATED, PARTITIONS };
static const struct ag_metric_row metrics[] = {
	{ "across_events_total", "Events of all nodes looked at", AG_COUNTER },
	{ "across_detections_total", "Recommendations made", AG_COUNTER },
	{ "across_pending", "Findings that are not settled", AG_GAUGE },
	{ "across_unreadable_total", "Records that are no events, or none that a node would write", AG_COUNTER },
	{ "across_repeated_total", "Records seen before", AG_COUNTER },
	{ "across_partitions", "Partitions that this node reads", AG_GAUGE },
};

struct across {
	struct assessor assessor;
	struct stream *stream;
	Ag__Event *waiting; /* a record that found no room; protobuf-c's memory */
	uint64_t pos;       /* of the last one looked at */
	uint64_t seen[SEEN_MAX];
	bool troubled;
};

/* Kafka delivers at least once, and so do the sinks. A record that was taken
 * for another costs nothing but that event; of two in 2^64. */
static bool
seen_before(struct across *across, const char *id)
{
	uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */

	for (const char *c = id; *c != '\0'; c++)
		hash = (hash ^ (uint8_t)*c) * UINT64_C(1099511628211);
	if (across->seen[hash % SEEN_MAX] == hash)
		return true;
	across->seen[hash % SEEN_MAX] = hash;
	return false;
}

static void
release(struct across *across)
{
	if (across->waiting != NULL)
		ag__event__free_unpacked(across->waiting, NULL);
	across->waiting = NULL;
}

/* Other partitions: all that was counted comes again. */
static void
begin_anew(struct across *across, struct ag_ctx *ctx)
{
	release(across);
	memset(across->seen, 0, sizeof(across->seen));
	ag_metric_set(ctx, PARTITIONS, stream_partitions(across->stream));
	if (assess_forget(&across->assessor) != AG_OK)
		ag_stop(ctx, 1);
}

/* False: no room now. */
static bool
look(struct across *across, struct ag_ctx *ctx)
{
	ag_err err = assess(&across->assessor, ctx, across->waiting, across->pos + 1);

	if (err == AG_FULL)
		return false;
	across->pos++;
	if (err != AG_OK) {
		ag_log(ctx, AG_ERROR, "ACROSS-LOST", "event=%s error=%s",
		    across->waiting->event_id, ag_err_row(err)->name);
	}
	release(across);
	return true;
}

static void
take(struct across *across, struct ag_ctx *ctx, const uint8_t *value, size_t len)
{
	Ag__Event *event = heard_event(value, len);

	if (event == NULL) {
		ag_metric_add(ctx, UNREADABLE, 1);
	} else if (seen_before(across, event->event_id)) {
		ag__event__free_unpacked(event, NULL);
		ag_metric_add(ctx, REPEATED, 1);
	} else {
		across->waiting = event;
	}
}

static void
tell_trouble(struct across *across, struct ag_ctx *ctx)
{
	const char *why = stream_trouble(across->stream);

	if (across->troubled == (why[0] != '\0'))
		return;
	across->troubled = why[0] != '\0';
	ag_set_degraded(ctx, across->troubled ? why : NULL);
	ag_log(ctx, across->troubled ? AG_WARN : AG_INFO,
	    across->troubled ? "ACROSS-AWAY" : "ACROSS-THERE", "why=\"%s\"", why);
}

static void
on_poll(void *state, struct ag_ctx *ctx)
{
	struct across *across = state;

	/* All that was given out is stored and answered by now, or waits. */
	if (across->waiting == NULL && pending_count(&across->assessor.pending) == 0)
		stream_settled(across->stream);
	for (unsigned i = 0; i < ROUND_MAX; i++) {
		const uint8_t *value;
		bool dealt = false;
		size_t len = 0;

		if (across->waiting != NULL && !look(across, ctx))
			break;
		value = stream_next(across->stream, &len, &dealt);
		if (dealt)
			begin_anew(across, ctx);
		if (value == NULL)
			break;
		take(across, ctx, value, len);
	}
	tell_trouble(across, ctx);
}

/* The longest window of those that only count. What is learned over days is
 * not judged by an hour. */
static int64_t
choose(struct assessor *assessor)
{
	int64_t longest = 0;

	for (unsigned d = 0; d < anomaly_detector_count; d++) {
		struct anomaly_limits *limits = &assessor->limits[d];

		if (anomaly_detectors[d]->of_line || limits->history_ms > 0 ||
		    limits->window_ms > WINDOW_MAX_MS)
			limits->enabled = false;
		if (limits->enabled && limits->window_ms > longest)
			longest = limits->window_ms;
	}
	return longest;
}

static ag_err
init(void *state, struct ag_ctx *ctx)
{
	struct across *across = state;

	return assess_init(&across->assessor, ctx, false);
}

static ag_err
ready(void *state, struct ag_ctx *ctx)
{
	struct across *across = state;
	ag_err err = assess_ready(&across->assessor, ctx);

	/* Ahead of what an earlier start has left unsettled. */
	across->pos = (uint64_t)ag_now_ms(ctx) << 20;
	if (err == AG_OK)
		err = stream_open(ctx, choose(&across->assessor),
		    &across->stream);
	return err == AG_OK ? ag_every(ctx, POLL_MS, on_poll) : err;
}

static ag_err
on_audit(void *state, struct ag_ctx *ctx, const Ag__Event *event, uint64_t pos)
{
	struct across *across = state;

	(void)pos;
	assess_seen(&across->assessor, ctx, event);
	return AG_OK;
}

static void
fini(void *state, struct ag_ctx *ctx)
{
	struct across *across = state;

	(void)ctx;
	release(across);
	stream_close(&across->stream);
	assess_fini(&across->assessor);
}

const struct ag_actor ag_actor_across = {
	.name = "across",
	.state_size = sizeof(struct across),
	.init = init,
	.ready = ready,
	.on_audit = on_audit,
	.audit_skips = ag_event_reasons,
	.audit_pace_ms = 50,
	.fini = fini,
	.tables = tables,
	AG_METRICS(metrics),
};
