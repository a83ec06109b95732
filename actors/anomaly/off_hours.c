/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Somebody works at an hour when it never does. Per hour of the week (UTC) an
 * average over weeks says whether it was active then; Monday to Friday are
 * compared with each other, and so are Saturday and Sunday. The factor is how
 * many hours the nearest usual hour is away, and three more on a weekend for whom
 * it is free. What is usual needs two days that agree; what was odd counts half, so it needs four, or a person.
 */
#include "detector.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	HOURS = 24 * 7, /* 0: Monday, midnight */
	WEEKEND = 24 * 5,
	ACTIVE_MIN = 20, /* hours that a history needs besides its time */
	WEEKEND_AWAY = 3,
	DAY_MS = 86400000,
	HOUR_MS = 3600000,
};

/* Two days of late, or four odd ones. */
#define USUAL 0.5

struct row {
	int64_t since_ms; /* 0: nothing yet */
	uint32_t active;  /* hours learned, saturating at ACTIVE_MIN */
	int32_t judged_hour; /* hours since 1970, the last that was judged */
	struct {
		float usual;   /* as of its week */
		uint16_t week; /* since 1970, of the last activity */
		uint16_t unused;
	} hours[HOURS];
	struct anomaly_burst burst;
};

static unsigned
hour_of_week(int64_t at_ms)
{
	/* 1970-01-01 was a Thursday. */
	int64_t h = (at_ms / HOUR_MS + 72) % HOURS;

	return (unsigned)(h < 0 ? h + HOURS : h);
}

static uint16_t
week_of(int64_t at_ms)
{
	int64_t w = (at_ms / HOUR_MS + 72) / HOURS;

	return (uint16_t)(w < 0 ? 0 : w > UINT16_MAX ? UINT16_MAX : w);
}

/* Faded by 0.7 a week. */
static double
usual_now(const struct row *row, unsigned h, uint16_t week)
{
	double v = (double)row->hours[h].usual;

	for (int w = row->hours[h].week; v > 0.01 && w < week; w++)
		v *= 0.7;
	return v;
}

/* Of every step-th hour in between. */
static double
sum_of(const struct row *row, unsigned from, unsigned to, unsigned step,
    uint16_t week)
{
	double sum = 0;

	for (unsigned h = from; h < to; h += step)
		sum += usual_now(row, h, week);
	return sum;
}

/* The same hour of all days of its kind; on a weekend, also of the others. */
static bool
is_usual(const struct row *row, unsigned hour, bool weekend, uint16_t week)
{
	return sum_of(row, hour, WEEKEND, 24, week) >= USUAL ||
	    (weekend && sum_of(row, WEEKEND + hour, HOURS, 24, week) >= USUAL);
}

/* Hours to the nearest usual hour, and WEEKEND_AWAY more on a weekend for whom
 * it is free. No usual hour at all: no idea, 0. */
static int
away(const struct row *row, unsigned h, uint16_t week)
{
	bool weekend = h >= WEEKEND;
	int free = weekend && sum_of(row, WEEKEND, HOURS, 1, week) < USUAL ?
	    WEEKEND_AWAY : 0;

	for (unsigned d = 0; d <= 12; d++)
		if (is_usual(row, (h + 24 - d) % 24, weekend, week) ||
		    is_usual(row, (h + d) % 24, weekend, week))
			return (int)d + free;
	return 0;
}

static void
count(struct row *row, unsigned h, uint16_t week, double weight)
{
	double now = usual_now(row, h, week);

	if (now > 0 && row->hours[h].week == week)
		return; /* once a week */
	row->hours[h].usual = (float)(now + weight);
	row->hours[h].week = week;
	if (row->active < ACTIVE_MIN)
		row->active++;
}

/* A weekend is judged when two went by. */
static bool
is_history_over(const struct row *row, const struct anomaly_limits *limits,
    int64_t at_ms, bool weekend)
{
	int64_t age = at_ms - row->since_ms;

	return row->active >= ACTIVE_MIN && age >= limits->history_ms &&
	    (!weekend || age >= 12 * (int64_t)DAY_MS);
}

static bool
look(void *memory, const struct anomaly_limits *limits, const Ag__Event *event,
    struct anomaly_finding *out)
{
	static const char *const days[] = { "Monday", "Tuesday", "Wednesday",
		"Thursday", "Friday", "Saturday", "Sunday" };
	struct row *row = memory;
	int64_t at_ms = event->occurred_at;
	int32_t this_hour = (int32_t)(at_ms / HOUR_MS);
	unsigned h = hour_of_week(at_ms);
	uint16_t week = week_of(at_ms);
	int hours;

	out->same = row->judged_hour == this_hour;
	if (out->same)
		return false; /* once an hour */
	row->judged_hour = this_hour;
	if (row->since_ms == 0)
		row->since_ms = at_ms;
	hours = is_history_over(row, limits, at_ms, h >= WEEKEND) ?
	    away(row, h, week) : 0;
	count(row, h, week, hours >= limits->low ? 0.15 : 0.3);
	if (!anomaly_burst_step(&row->burst, limits, hours, event, out))
		return false;
	snprintf(out->summary, sizeof(out->summary),
	    "%s at %02u:00 UTC on a %s, %d hours from when it usually works",
	    event->operation, h % 24, days[h / 24], hours);
	anomaly_detail(out, "hour", "%u", h % 24);
	anomaly_detail(out, "weekday", "%s", days[h / 24]);
	anomaly_detail(out, "hours_away", "%d", hours);
	return true;
}

static void
learn(void *memory, const struct anomaly_limits *limits, int64_t since_ms)
{
	struct row *row = memory;
	unsigned h = hour_of_week(since_ms);

	row->hours[h].usual = 1;
	row->hours[h].week = week_of(since_ms);
}

const struct anomaly_detector anomaly_off_hours = {
	.name = "off_hours",
	.row_size = sizeof(struct row),
	.of_line = true,
	.wants = anomaly_is_allowed,
	.look = look,
	.learn = learn,
};
