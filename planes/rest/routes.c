/* SPDX-License-Identifier: Apache-2.0 */
/*
 * routes.def as the table that routing, OpenAPI and the pages read.
 */
#include "rest.h"

const struct route plane_routes[] = {
#define PAGE(method, path, name, summary) \
	{ METHOD_##method, path, 0, PAGE_##name, NULL, summary },
#define ROUTE(method, path, op, location, summary) \
	{ METHOD_##method, path, AG_MSG_##op, PAGE_NONE, location, summary },
#include "routes.def"
#undef PAGE
#undef ROUTE
};
/* Names for later (GET /v1/audit/{event_id} is not asked for an event of that
 * name). */
const char *const plane_reserved[] = { "/v1/audit/export", NULL };
const unsigned plane_route_count = sizeof(plane_routes) / sizeof(plane_routes[0]);
