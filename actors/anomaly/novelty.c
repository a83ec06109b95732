/* SPDX-License-Identifier: Apache-2.0 */
#include "novelty.h"

#include <string.h>

/* Something new on nearly every day; below, each is told of. */
enum { USUAL_PERCENT = 80 };

static int
find_known(const struct novelty *n, uint32_t item)
{
	for (int i = 0; i < NOVELTY_KNOWN; i++)
		if (n->known[i] == item)
			return i;
	return -1;
}

bool
novelty_knows(const struct novelty *n, uint32_t item)
{
	return find_known(n, item) >= 0;
}

void
novelty_add(struct novelty *n, int64_t at_ms, uint32_t item)
{
	int slot = find_known(n, item);

	for (int i = 0; slot < 0 && i < NOVELTY_TRIED; i++)
		if (n->tried[i].item == item)
			memset(&n->tried[i], 0, sizeof(n->tried[i]));
	if (slot < 0) {
		slot = 0;
		for (int i = 1; i < NOVELTY_KNOWN; i++)
			if (n->known[slot] != 0 &&
			    (n->known[i] == 0 ||
			    n->known_day[i] < n->known_day[slot]))
				slot = i;
	}
	n->known[slot] = item;
	n->known_day[slot] = anomaly_day(at_ms);
}

/* A new day: what was new yesterday is averaged in. During the first half of
 * the history nearly all is new, which says nothing. */
static void
roll(struct novelty *n, const struct anomaly_limits *limits, int64_t at_ms)
{
	uint16_t day = anomaly_day(at_ms);

	if (day <= n->today)
		return;
	if (n->today != 0 && (int64_t)n->today * 86400000 - n->since_ms >=
	    limits->history_ms / 2) {
		n->usual += ((float)n->today_most - n->usual) *
		    (n->days == 0 ? 1.0f : 0.3f);
		n->days += n->days < UINT16_MAX;
	}
	n->today = day;
	n->today_most = 0;
}

static bool
is_history_over(const struct novelty *n, const struct anomaly_limits *limits,
    int64_t at_ms)
{
	return n->events >= NOVELTY_EVENTS &&
	    at_ms - n->since_ms >= limits->history_ms;
}

/* True: it is known, or on probation and was said when that began. */
static bool
is_old(struct novelty *n, const Ag__Event *event, uint32_t item,
    struct anomaly_finding *out)
{
	uint16_t day = anomaly_day(event->occurred_at);
	int i = find_known(n, item);

	if (i >= 0) {
		uint16_t idle = day > n->known_day[i] ?
		    (uint16_t)(day - n->known_day[i]) : 0;

		out->same &= idle == 0;
		if (idle <= NOVELTY_KNOWN_DAYS) {
			n->known_day[i] = (uint16_t)(n->known_day[i] + idle);
			return true;
		}
		n->known[i] = 0;
		return false;
	}
	for (i = 0; i < NOVELTY_TRIED; i++) {
		if (n->tried[i].item != item)
			continue;
		if (day <= n->tried[i].day)
			return true;
		out->same = false;
		if (day - n->tried[i].day > NOVELTY_TRIED_DAYS) {
			n->tried[i].item = 0;
			return false;
		}
		n->tried[i].day = day;
		if (++n->tried[i].days >= NOVELTY_DAYS)
			novelty_add(n, event->occurred_at, item);
		return true;
	}
	return false;
}

static void
try(struct novelty *n, int64_t at_ms, uint32_t item)
{
	int slot = 0;

	for (int i = 1; i < NOVELTY_TRIED; i++)
		if (n->tried[slot].item != 0 && (n->tried[i].item == 0 ||
		    n->tried[i].at_ms < n->tried[slot].at_ms))
			slot = i;
	n->tried[slot].item = item;
	n->tried[slot].day = anomaly_day(at_ms);
	n->tried[slot].days = 1;
	n->tried[slot].at_ms = at_ms;
}

bool
novelty_see(struct novelty *n, const struct anomaly_limits *limits,
    const Ag__Event *event, uint32_t item, uint32_t *count,
    struct anomaly_finding *out)
{
	int64_t at_ms = event->occurred_at;
	uint32_t most;
	double factor;
	bool judged;

	if (n->since_ms == 0)
		n->since_ms = at_ms;
	if (n->events < NOVELTY_EVENTS) {
		n->events++;
		out->same = false;
	}
	if (anomaly_day(at_ms) > n->today)
		out->same = false;
	roll(n, limits, at_ms);
	if (is_old(n, event, item, out))
		return false;
	out->same = false;
	judged = is_history_over(n, limits, at_ms);
	*count = anomaly_window_add(&n->window, limits, at_ms, 1);
	if (*count == 1)
		n->burst.level = 0; /* nothing new for a whole window */
	factor = *count / (1 + (n->usual >= (float)USUAL_PERCENT / 100 ?
	    (double)n->usual : 0));
	/* While it is judged, what is usual grows slowly: by less than one a day
	 * beyond what it is. */
	most = judged && *count > n->usual + 1 ? (uint32_t)n->usual + 1 : *count;
	if (most > n->today_most)
		n->today_most = most;
	if (!judged || factor < limits->low) {
		novelty_add(n, at_ms, item);
		return false;
	}
	try(n, at_ms, item);
	return anomaly_burst_step(&n->burst, limits, factor, event, out);
}

void
novelty_learn(struct novelty *n, const struct anomaly_limits *limits,
    int64_t since_ms)
{
	uint32_t count = 0;

	for (int i = 0; i < NOVELTY_TRIED; i++) {
		int64_t at_ms = n->tried[i].at_ms;

		if (n->tried[i].item == 0 || at_ms < since_ms ||
		    at_ms - since_ms > limits->window_ms)
			continue;
		count++;
		novelty_add(n, at_ms, n->tried[i].item);
	}
	/* One item is learned as that item. Many say that many are usual. */
	if (count > 1 && (float)count > n->usual)
		n->usual = (float)count;
}
