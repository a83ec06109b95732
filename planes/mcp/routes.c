/* SPDX-License-Identifier: Apache-2.0 */
/*
 * routes.def as the table that routing reads.
 */
#include "mcp.h"

const struct route plane_routes[] = {
#define PAGE(method, path, name, summary) \
	{ METHOD_##method, path, 0, PAGE_##name, NULL, summary },
#define ROUTE(method, path, op, location, summary) \
	{ METHOD_##method, path, AG_MSG_##op, 0, location, summary },
#include "routes.def"
#undef PAGE
#undef ROUTE
};
const unsigned plane_route_count = sizeof(plane_routes) / sizeof(plane_routes[0]);
const char *const plane_reserved[] = { NULL };
