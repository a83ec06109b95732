/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Somebody does much more in a minute than it usually does. The factor is the
 * excess over what is usual: 1 is twice as much, 3 is four times.
 *
 * Usual is the moving average of its own minutes, but at least a quarter of
 * what the principal limit allows, so that a first batch job is no spike; for
 * who has been watched for half an hour of active minutes, a fortieth. Without
 * a limit nobody is judged before that. Minutes of a burst are not learned,
 * nor is anything that was refused.
 */
#include "detector.h"

#include <stdio.h>

enum { ESTABLISHED_MINUTES = 30, USUAL_MIN = 60 };

struct row {
	struct anomaly_window window;
	struct anomaly_burst burst;
	int64_t minute; /* that is being counted, since 1970 */
	uint32_t minute_count;
	uint32_t minutes; /* learned */
	double usual;     /* a minute */
	bool odd;         /* the minute met `low`, said or not: not learned */
};

static bool
wants(const Ag__Event *event)
{
	return event->outcome == AG__OUTCOME_KIND__V__allowed;
}

static void
learn(struct row *row, int64_t at_ms, uint32_t n)
{
	int64_t minute = at_ms / 60000;

	if (minute > row->minute) {
		if (row->minute_count > 0 && !row->odd) {
			row->usual += (row->minute_count - row->usual) *
			    (row->minutes == 0 ? 1 : 0.2);
			row->minutes++;
		}
		row->minute = minute;
		row->minute_count = 0;
		row->odd = false;
	}
	row->minute_count += n;
}

/* What nobody is suspected for; 0: no idea. */
static double
least_usual(const struct row *row, const struct anomaly_limits *limits)
{
	bool established = row->minutes >= ESTABLISHED_MINUTES;

	if (limits->ordinary > 0)
		return limits->ordinary / (established ? 40 : 4);
	return established ? USUAL_MIN : 0;
}

static bool
look(void *memory, const struct anomaly_limits *limits, const Ag__Event *event,
    struct anomaly_finding *out)
{
	struct row *row = memory;
	uint32_t n = event->has_items && event->items > 0 ? event->items : 1;
	uint32_t count = anomaly_window_add(&row->window, event->occurred_at, n);
	double least = least_usual(row, limits);
	double usual = row->usual > least ? row->usual : least;
	double factor = least > 0 ? (count - usual) / usual : 0;

	learn(row, event->occurred_at, n);
	row->odd |= least > 0 && factor >= limits->low;
	if (least == 0 || !anomaly_burst_step(&row->burst, limits, factor,
	    event, out))
		return false;
	snprintf(out->summary, sizeof(out->summary),
	    "%u operations within %d seconds, %.0f are usual", count,
	    ANOMALY_WINDOW_S, usual);
	anomaly_detail(out, "operations", "%u", count);
	anomaly_detail(out, "usual", "%.0f", usual);
	anomaly_detail(out, "window_s", "%d", ANOMALY_WINDOW_S);
	return true;
}

const struct anomaly_detector anomaly_rate_spike = {
	.name = "rate_spike",
	.row_size = sizeof(struct row),
	.wants = wants,
	.look = look,
};
