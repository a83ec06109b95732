/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Somebody holds many more scopes than it uses, or got many more than it had.
 * Unused: for a whole window (14 days) it held at least so many, and what it did
 * in that time could have needed fewer: one scope at most for each operation
 * and key, so the finding is never about a scope that was used. Widened: it
 * holds so many more than at the last finding, or than it was first seen with.
 * At most one finding in the cool-down; an unchanged one again after a window.
 */
#include "detector.h"

#include "../rows.h"

#include <stdio.h>
#include <string.h>

enum { USES_MAX = 64 };

struct row {
	uint32_t scopes;   /* it holds; the most of late */
	uint32_t before;   /* it held when it was first seen or last told of */
	uint32_t accepted; /* a person said that this many are right */
	uint32_t unused;
	int64_t since_ms;  /* it holds that many */
	int64_t widest_ms; /* last time that it did */
	int64_t said_ms;
	struct {
		uint32_t item; /* operation and key */
		uint16_t day;
		uint16_t unused;
	} uses[USES_MAX];
};

static bool
wants(const Ag__Event *event)
{
	return anomaly_is_allowed(event) && event->has_scope_count &&
	    event->scope_count > 0;
}

static void
use(struct row *row, const Ag__Event *event, struct anomaly_finding *out)
{
	const char *key = anomaly_key(event);
	uint32_t both[2] = { rows_hash(event->operation,
	    strlen(event->operation)), key == NULL ? 0 :
	    rows_hash(key, strlen(key)) };
	uint32_t item = rows_hash((const char *)both, sizeof(both));
	uint16_t day = anomaly_day(event->occurred_at);
	unsigned slot = 0;

	for (unsigned i = 0; i < USES_MAX; i++) {
		if (row->uses[i].item == item) {
			slot = i;
			break;
		}
		if (row->uses[i].day < row->uses[slot].day)
			slot = i;
	}
	if (row->uses[slot].item == item && row->uses[slot].day >= day)
		return;
	out->same = false;
	row->uses[slot].item = item;
	row->uses[slot].day = day;
}

static uint32_t
used(const struct row *row, const struct anomaly_limits *limits, int64_t at_ms)
{
	uint16_t from = anomaly_day(at_ms - limits->window_ms);
	uint32_t n = 0;

	for (unsigned i = 0; i < USES_MAX; i++)
		n += row->uses[i].item != 0 && row->uses[i].day >= from;
	return n;
}

/* Agents of one line may differ: the widest of them counts, while there is one
 * in a window. */
static void
measure(struct row *row, const struct anomaly_limits *limits,
    const Ag__Event *event, struct anomaly_finding *out)
{
	uint32_t scopes = event->scope_count;
	int64_t at_ms = event->occurred_at;
	bool wider = scopes > row->scopes;

	if (!wider && (scopes < row->scopes ?
	    at_ms - row->widest_ms <= limits->window_ms :
	    at_ms - row->widest_ms < 3600000))
		return;
	out->same = false;
	row->widest_ms = at_ms;
	if (scopes == row->scopes)
		return;
	row->scopes = scopes;
	row->since_ms = at_ms;
	if (row->before == 0 || scopes < row->before)
		row->before = scopes;
}

static Ag__Severity__V
severity(const struct anomaly_limits *limits, uint32_t scopes)
{
	return scopes >= limits->high ? AG__SEVERITY__V__high :
	    scopes >= limits->medium ? AG__SEVERITY__V__medium :
	    AG__SEVERITY__V__low;
}

static bool
say(struct row *row, const struct anomaly_limits *limits,
    const Ag__Event *event, uint32_t scopes, struct anomaly_finding *out)
{
	out->same = false;
	out->severity = severity(limits, scopes);
	row->said_ms = event->occurred_at;
	row->before = row->scopes;
	anomaly_detail(out, "scopes", "%u", row->scopes);
	return true;
}

static bool
look(void *memory, const struct anomaly_limits *limits, const Ag__Event *event,
    struct anomaly_finding *out)
{
	struct row *row = memory;
	int64_t at_ms = event->occurred_at, quiet_ms = at_ms - row->said_ms;
	uint32_t added, idle;

	out->same = true;
	use(row, event, out);
	measure(row, limits, event, out);
	if (row->scopes <= row->accepted ||
	    (row->said_ms != 0 && quiet_ms < limits->cooldown_ms))
		return false;
	added = row->scopes - row->before;
	if (row->scopes > row->before && added >= limits->low) {
		snprintf(out->summary, sizeof(out->summary),
		    "It holds %u scopes; it had %u", row->scopes, row->before);
		anomaly_detail(out, "before", "%u", row->before);
		return say(row, limits, event, added, out);
	}
	if (row->scopes < limits->low ||
	    at_ms - row->since_ms < limits->history_ms ||
	    (row->said_ms != 0 && quiet_ms < limits->window_ms))
		return false;
	idle = used(row, limits, at_ms);
	idle = row->scopes > idle ? row->scopes - idle : 0;
	if (idle < limits->low)
		return false;
	snprintf(out->summary, sizeof(out->summary),
	    "It holds %u scopes and did not use %u of them in %lld days",
	    row->scopes, idle, (long long)limits->window_ms / 86400000);
	anomaly_detail(out, "unused", "%u", idle);
	return say(row, limits, event, idle, out);
}

static void
learn(void *memory, const struct anomaly_limits *limits, int64_t since_ms)
{
	struct row *row = memory;

	row->accepted = row->scopes;
}

const struct anomaly_detector anomaly_scope_creep = {
	.name = "scope_creep",
	.row_size = sizeof(struct row),
	.of_line = true,
	.wants = wants,
	.look = look,
	.learn = learn,
};
