/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Somebody is refused again and again: permission denied (403), or something
 * that is not there (404), counted in a window (a minute). Not counted: rate limits,
 * credentials, and refusals that a suspension causes.
 */
#include "detector.h"

#include <stdio.h>
#include <string.h>

struct row {
	struct anomaly_window window;
	struct anomaly_burst burst;
};

static bool
wants(const Ag__Event *event)
{
	return event->code != NULL &&
	    (strcmp(event->code, "PermissionDenied") == 0 ||
	    strcmp(event->code, "ItemNotFound") == 0);
}

static bool
look(void *memory, const struct anomaly_limits *limits, const Ag__Event *event,
    struct anomaly_finding *out)
{
	struct row *row = memory;
	uint32_t count = anomaly_window_add(&row->window, limits,
	    event->occurred_at, 1);

	if (!anomaly_burst_step(&row->burst, limits, count, event, out))
		return false;
	snprintf(out->summary, sizeof(out->summary),
	    "%u refusals within %lld seconds", count,
	    (long long)limits->window_ms / 1000);
	anomaly_detail(out, "refusals", "%u", count);
	anomaly_detail(out, "window_s", "%lld",
	    (long long)limits->window_ms / 1000);
	return true;
}

const struct anomaly_detector anomaly_refusal_burst = {
	.name = "refusal_burst",
	.row_size = sizeof(struct row),
	.wants = wants,
	.look = look,
};
