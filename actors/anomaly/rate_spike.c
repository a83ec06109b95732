/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Somebody does much more in a window (a minute) than it usually does. The
 * factor is the excess over what is usual: 1 is twice as much, 3 is four times.
 *
 * Usual is the moving average of its own windows, but at least a quarter of
 * what the principal limit allows, so that a first batch job is no spike; for
 * who has been watched for thirty active windows, a fortieth. Without a limit
 * nobody is judged before that. Windows of a burst are not learned, nor is
 * anything that was refused; and what is usual grows by a quarter a day at most,
 * so that nobody teaches it a flood drop by drop.
 */
#include "detector.h"

#include <stdio.h>

enum { ESTABLISHED = 30, USUAL_MIN = 60 /* a minute */, DAY_MS = 86400000 };
#define GROWTH 1.25 /* a day, at most */

struct row {
	struct anomaly_window window;
	struct anomaly_burst burst;
	int64_t period; /* that is being counted, since 1970 */
	int64_t day;
	double yesterday; /* what was usual when the day began */
	uint32_t period_count;
	uint32_t periods; /* learned */
	double usual;     /* a period */
	uint32_t said;    /* operations in the last finding */
	bool odd;         /* the period met `low`, said or not: not learned */
};

/* What nobody is suspected for; 0: no idea. */
static double
least_usual(const struct row *row, const struct anomaly_limits *limits)
{
	bool established = row->periods >= ESTABLISHED;

	if (limits->ordinary > 0)
		return limits->ordinary / (established ? 40 : 4);
	return established ? USUAL_MIN * (double)limits->window_ms / 60000 : 0;
}

static void
learn_period(struct row *row, const struct anomaly_limits *limits, int64_t at_ms)
{
	double most;

	if (at_ms / DAY_MS != row->day) {
		row->day = at_ms / DAY_MS;
		row->yesterday = row->usual;
	}
	row->usual += (row->period_count - row->usual) *
	    (row->periods == 0 ? 1 : 0.2);
	if (row->periods++ < ESTABLISHED) {
		row->yesterday = row->usual;
		return;
	}
	most = row->yesterday * GROWTH;
	if (most < least_usual(row, limits))
		most = least_usual(row, limits);
	if (row->usual > most)
		row->usual = most;
}

static void
count(struct row *row, const struct anomaly_limits *limits, int64_t at_ms,
    uint32_t n)
{
	int64_t period = at_ms / limits->window_ms;

	if (period > row->period) {
		if (row->period_count > 0 && !row->odd)
			learn_period(row, limits, at_ms);
		row->period = period;
		row->period_count = 0;
		row->odd = false;
	}
	row->period_count += n;
}

static bool
look(void *memory, const struct anomaly_limits *limits, const Ag__Event *event,
    struct anomaly_finding *out)
{
	struct row *row = memory;
	uint32_t n = event->has_items && event->items > 0 ? event->items : 1;
	uint32_t done = anomaly_window_add(&row->window, limits,
	    event->occurred_at, n);
	double least = least_usual(row, limits);
	double usual = row->usual > least ? row->usual : least;
	double factor = least > 0 ? (done - usual) / usual : 0;

	count(row, limits, event->occurred_at, n);
	row->odd |= least > 0 && factor >= limits->low;
	if (least == 0 || !anomaly_burst_step(&row->burst, limits, factor,
	    event, out))
		return false;
	snprintf(out->summary, sizeof(out->summary),
	    "%u operations within %lld seconds, %.0f are usual", done,
	    (long long)limits->window_ms / 1000, usual);
	row->said = done;
	anomaly_detail(out, "operations", "%u", done);
	anomaly_detail(out, "usual", "%.0f", usual);
	anomaly_detail(out, "window_s", "%lld",
	    (long long)limits->window_ms / 1000);
	return true;
}

static void
learn(void *memory, const struct anomaly_limits *limits, int64_t since_ms)
{
	struct row *row = memory;

	if (row->said > row->usual)
		row->usual = row->yesterday = row->said;
}

const struct anomaly_detector anomaly_rate_spike = {
	.name = "rate_spike",
	.row_size = sizeof(struct row),
	.wants = anomaly_is_allowed,
	.look = look,
	.learn = learn,
};
