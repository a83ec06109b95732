/* SPDX-License-Identifier: Apache-2.0 */
/*
 * routes.def as the table that routing reads.
 */
#include "route.h"

#include <aegis/proto.h>

const struct route plane_routes[] = {
#define ROUTE(method, path, op, location, summary) \
	{ METHOD_##method, path, AG_MSG_##op, 0, location, summary },
#include "routes.def"
#undef ROUTE
};
const unsigned plane_route_count = sizeof(plane_routes) / sizeof(plane_routes[0]);
const char *const plane_reserved[] = { NULL };
