/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Somebody touched a key that nobody has a reason to touch. Always critical.
 * Those who may see what it is (they plant and tend them) are allowed to, so
 * an allowed use by a person or a service is no finding.
 */
#include "detector.h"

#include <stdio.h>

static bool
wants(const Ag__Event *event)
{
	return event->has_honey && event->honey &&
	    (event->outcome == AG__OUTCOME_KIND__V__denied ||
	    anomaly_is_agent(event));
}

static bool
look(void *row, const struct anomaly_limits *limits, const Ag__Event *event,
    struct anomaly_finding *out)
{
	out->severity = AG__SEVERITY__V__critical;
	snprintf(out->summary, sizeof(out->summary), "%s on a honey key",
	    event->operation);
	anomaly_detail(out, "operation", "%s", event->operation);
	if (event->resource != NULL && event->resource->id != NULL)
		anomaly_detail(out, "key", "%s", event->resource->id);
	if (event->resource != NULL && event->resource->alias != NULL)
		anomaly_detail(out, "alias", "%s", event->resource->alias);
	return true;
}

const struct anomaly_detector anomaly_honey_key = {
	.name = "honey_key",
	.wants = wants,
	.look = look,
};
