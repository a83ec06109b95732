/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Somebody asked for a key that exists and that it has no scope for. A key that
 * does not exist is a typing mistake or a probe: refusal_burst counts it.
 * What an agent does ends with the first finding. Nothing ends a person or a
 * service by itself, so of these each key is said once in the window.
 * Critical: the key is labelled tier=critical, or it is the third distinct one
 * (anomaly.scope_violation.high) within the window (ten minutes). High: any other.
 */
#include "detector.h"

#include "../rows.h"

#include <stdio.h>
#include <string.h>

enum { DISTINCT_MAX = 8 };

struct row {
	struct {
		uint32_t key;
		uint32_t unused;
		int64_t at_ms;
	} seen[DISTINCT_MAX];
	int64_t said_ms;
	int32_t said; /* severity, for the cool-down */
	int32_t unused;
};

static bool
wants(const Ag__Event *event)
{
	/* A honey key's finding says more. */
	return event->outcome == AG__OUTCOME_KIND__V__denied &&
	    !event->honey && event->actor != NULL && event->reason_code != NULL &&
	    strcmp(event->reason_code, "scope_missing") == 0 &&
	    event->resource != NULL && event->resource->id != NULL &&
	    event->resource->type != NULL &&
	    strcmp(event->resource->type, "key") == 0;
}

/* Notes the key; how many distinct ones the window saw. again: it was one of
 * them, or there are more than are told apart. */
static unsigned
distinct(struct row *row, const char *key_id, int64_t now, int64_t window_ms,
    bool *again)
{
	uint32_t key = rows_hash(key_id, strlen(key_id));
	unsigned slot = 0, count = 0;

	for (unsigned i = 0; i < DISTINCT_MAX; i++) {
		if (row->seen[i].key == key) {
			slot = i;
			break;
		}
		if (row->seen[i].at_ms < row->seen[slot].at_ms)
			slot = i;
	}
	*again = row->seen[slot].key != 0 &&
	    now - row->seen[slot].at_ms <= window_ms;
	row->seen[slot].key = key;
	row->seen[slot].at_ms = now;
	for (unsigned i = 0; i < DISTINCT_MAX; i++)
		count += row->seen[i].key != 0 &&
		    now - row->seen[i].at_ms <= window_ms;
	return count;
}

static bool
look(void *memory, const struct anomaly_limits *limits, const Ag__Event *event,
    struct anomaly_finding *out)
{
	struct row *row = memory;
	const char *name = event->resource->alias != NULL ?
	    event->resource->alias : event->resource->id;
	bool again;
	unsigned keys = distinct(row, event->resource->id, event->occurred_at,
	    limits->window_ms, &again);

	out->severity = event->tier_critical || keys >= limits->high ?
	    AG__SEVERITY__V__critical : AG__SEVERITY__V__high;
	if (row->said >= (int32_t)out->severity &&
	    (event->occurred_at - row->said_ms < limits->cooldown_ms ||
	    (again && !anomaly_is_agent(event))))
		return false;
	row->said = (int32_t)out->severity;
	row->said_ms = event->occurred_at;
	snprintf(out->summary, sizeof(out->summary),
	    "%s on key %.64s without a scope for it", event->operation, name);
	anomaly_detail(out, "operation", "%s", event->operation);
	anomaly_detail(out, "key", "%s", event->resource->id);
	if (event->resource->alias != NULL)
		anomaly_detail(out, "alias", "%s", event->resource->alias);
	anomaly_detail(out, "distinct_keys", "%u", keys);
	if (event->tier_critical)
		anomaly_detail(out, "tier", "critical");
	return true;
}

const struct anomaly_detector anomaly_scope_violation = {
	.name = "scope_violation",
	.row_size = sizeof(struct row),
	.wants = wants,
	.look = look,
};
