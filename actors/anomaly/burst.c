/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sliding window of sixty buckets, and bursts with hysteresis.
 */
#include "detector.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* How far behind an event of another node may be and still mean nothing for
 * the window; beyond it a clock was set back. */
enum { BEHIND_MAX_MS = 3600000 };

static void
window_forward(struct anomaly_window *window, int64_t bucket)
{
	int64_t steps = bucket - window->last;

	if (steps >= ANOMALY_BUCKETS || steps <= -ANOMALY_BUCKETS) {
		/* All of it is past (or the clock was set back). */
		memset(window, 0, sizeof(*window));
		window->last = bucket;
		return;
	}
	for (; steps > 0; steps--) {
		uint32_t *next;

		window->last++;
		next = &window->buckets[window->last % ANOMALY_BUCKETS];
		window->sum -= *next;
		*next = 0;
	}
}

uint32_t
anomaly_window_add(struct anomaly_window *window,
    const struct anomaly_limits *limits, int64_t at_ms, uint32_t n)
{
	int64_t bucket_ms = limits->window_ms >= ANOMALY_BUCKETS ?
	    limits->window_ms / ANOMALY_BUCKETS : 1;
	int64_t bucket = at_ms > 0 ? at_ms / bucket_ms : 0;
	int64_t behind = window->last - bucket;

	/* A node that lags must not empty what the others filled. */
	if (limits->shared && behind >= ANOMALY_BUCKETS &&
	    behind <= BEHIND_MAX_MS / bucket_ms)
		return window->sum;
	window_forward(window, bucket);
	/* An event that comes late goes where it belongs. */
	window->buckets[bucket % ANOMALY_BUCKETS] += n;
	window->sum += n;
	return window->sum;
}

static int32_t
level_of(const struct anomaly_limits *limits, double factor)
{
	return factor >= limits->high ? 3 : factor >= limits->medium ? 2 :
	    factor >= limits->low ? 1 : 0;
}

bool
anomaly_burst_step(struct anomaly_burst *burst,
    const struct anomaly_limits *limits, double factor, const Ag__Event *event,
    struct anomaly_finding *out)
{
	static const Ag__Severity__V severities[] = {
		[1] = AG__SEVERITY__V__low,
		[2] = AG__SEVERITY__V__medium,
		[3] = AG__SEVERITY__V__high,
	};
	int32_t level = level_of(limits, factor);
	int64_t now = event->occurred_at;

	if (burst->level > 0 && factor < limits->low / 2)
		burst->level = 0;
	if (burst->level == 0) {
		if (level == 0 || (burst->bursts > 0 &&
		    now - burst->seen_ms < limits->cooldown_ms))
			return false;
		burst->bursts++;
		snprintf(burst->event_id, sizeof(burst->event_id), "%s",
		    event->event_id);
	}
	burst->seen_ms = now;
	if (level <= burst->level)
		return false;
	burst->level = level;
	out->severity = severities[level];
	snprintf(out->since, sizeof(out->since), "%s", burst->event_id);
	return true;
}

void
anomaly_detail(struct anomaly_finding *finding, const char *key,
    const char *fmt, ...)
{
	struct anomaly_detail *detail = &finding->details[finding->detail_count];
	va_list ap;

	if (finding->detail_count == ANOMALY_DETAILS_MAX)
		return;
	finding->detail_count++;
	detail->key = key;
	va_start(ap, fmt);
	vsnprintf(detail->value, sizeof(detail->value), fmt, ap);
	va_end(ap);
}

bool
anomaly_is_agent(const Ag__Event *event)
{
	return event->actor->has_kind &&
	    event->actor->kind == AG__KIND__V__agent;
}

bool
anomaly_is_allowed(const Ag__Event *event)
{
	return event->outcome == AG__OUTCOME_KIND__V__allowed;
}

const char *
anomaly_key(const Ag__Event *event)
{
	if (event->resource == NULL || event->resource->id == NULL ||
	    event->resource->type == NULL ||
	    strcmp(event->resource->type, "key") != 0 ||
	    strcmp(event->operation, "key.create") == 0 ||
	    strcmp(event->operation, "key.import") == 0)
		return NULL;
	return event->resource->id;
}

uint16_t
anomaly_day(int64_t at_ms)
{
	int64_t day = at_ms / 86400000;

	return (uint16_t)(day < 0 ? 0 : day > UINT16_MAX ? UINT16_MAX : day);
}
