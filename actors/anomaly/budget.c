/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An agent was allowed more operations of one kind in an hour (the window, by
 * the clock) than it has a budget for. Nothing is usual here: low, medium and
 * high are the budget, and without one (low 0) nobody is judged. A batch counts
 * as its items. Each budget of each hour is told of once a severity.
 */
#include "detector.h"

#include <stdio.h>
#include <string.h>

enum { KINDS = 12 /* remembered of one agent; the least used gives way */ };

struct kind {
	char operation[32]; /* "": free */
	uint64_t count;
	int32_t level; /* said in this window: 0 none, 1 low, 2 medium, 3 high */
	char event_id[AG_ID_SIZE]; /* with which it went over */
};

struct row {
	int64_t window; /* since 1970 */
	struct kind kinds[KINDS];
};

static bool
wants(const Ag__Event *event)
{
	return anomaly_is_agent(event) && anomaly_is_allowed(event);
}

static struct kind *
kind_of(struct row *row, const char *operation)
{
	struct kind *least = &row->kinds[0];

	for (unsigned i = 0; i < KINDS; i++) {
		struct kind *kind = &row->kinds[i];

		if (strncmp(kind->operation, operation,
		    sizeof(kind->operation) - 1) == 0)
			return kind;
		if (kind->count < least->count)
			least = kind;
	}
	memset(least, 0, sizeof(*least));
	snprintf(least->operation, sizeof(least->operation), "%s", operation);
	return least;
}

/* A severity without a number of its own is not reached. */
static int32_t
level_of(const struct anomaly_limits *limits, uint64_t count)
{
	if (limits->high > 0 && count > (uint64_t)limits->high)
		return 3;
	if (limits->medium > 0 && count > (uint64_t)limits->medium)
		return 2;
	return limits->low > 0 && count > (uint64_t)limits->low ? 1 : 0;
}

static bool
look(void *memory, const struct anomaly_limits *limits, const Ag__Event *event,
    struct anomaly_finding *out)
{
	static const Ag__Severity__V severities[] = {
		[1] = AG__SEVERITY__V__low,
		[2] = AG__SEVERITY__V__medium,
		[3] = AG__SEVERITY__V__high,
	};
	struct row *row = memory;
	int64_t window = event->occurred_at / limits->window_ms;
	struct kind *kind;
	int32_t level;

	out->same = limits->low == 0 && limits->medium == 0 &&
	    limits->high == 0;
	if (out->same || window < row->window)
		return false; /* no budget, or an hour that is over */
	if (window > row->window) {
		memset(row, 0, sizeof(*row));
		row->window = window;
	}
	kind = kind_of(row, event->operation);
	kind->count += event->has_items ? event->items : 1;
	level = level_of(limits, kind->count);
	if (level <= kind->level)
		return false;
	if (kind->level == 0)
		snprintf(kind->event_id, sizeof(kind->event_id), "%s",
		    event->event_id);
	kind->level = level;
	out->severity = severities[level];
	snprintf(out->since, sizeof(out->since), "%s", kind->event_id);
	snprintf(out->summary, sizeof(out->summary),
	    "%llu of %s within %lld seconds, more than its budget",
	    (unsigned long long)kind->count, kind->operation,
	    (long long)limits->window_ms / 1000);
	anomaly_detail(out, "operation", "%s", kind->operation);
	anomaly_detail(out, "count", "%llu", (unsigned long long)kind->count);
	anomaly_detail(out, "window_s", "%lld",
	    (long long)limits->window_ms / 1000);
	return true;
}

const struct anomaly_detector anomaly_budget = {
	.name = "budget",
	.row_size = sizeof(struct row),
	.wants = wants,
	.look = look,
};
