/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Somebody works from a network (/24, /48) that it never came from. Allowed
 * requests only, so that what is refused never becomes ordinary.
 */
#include "novelty.h"

#include "../habit.h"

#include <stdio.h>

static bool
wants(const Ag__Event *event)
{
	return anomaly_is_allowed(event) && event->source_address != NULL &&
	    *event->source_address != '\0';
}

static bool
look(void *row, const struct anomaly_limits *limits, const Ag__Event *event,
    struct anomaly_finding *out)
{
	char network[64];
	uint32_t count;

	out->same = true;
	if (!novelty_see(row, limits, event,
	    habit_network(event->source_address), &count, out))
		return false;
	habit_network_text(event->source_address, network, sizeof(network));
	snprintf(out->summary, sizeof(out->summary),
	    "%s from %s, where it never came from", event->operation, network);
	anomaly_detail(out, "network", "%s", network);
	anomaly_detail(out, "address", "%s", event->source_address);
	anomaly_detail(out, "new_networks", "%u", count);
	return true;
}

static void
learn(void *row, const struct anomaly_limits *limits, int64_t since_ms)
{
	novelty_learn(row, limits, since_ms);
}

const struct anomaly_detector anomaly_new_address = {
	.name = "new_address",
	.row_size = sizeof(struct novelty),
	.of_line = true,
	.wants = wants,
	.look = look,
	.learn = learn,
};
