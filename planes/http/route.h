/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The routes of this plane as a tree, looked up by path. Pure.
 */
#ifndef PLANE_ROUTE_H
#define PLANE_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	ROUTE_PARAMS_MAX = 2,
	ROUTE_SEGMENT_MAX = 512, /* bytes of one decoded path segment */
};

enum route_method {
	METHOD_GET,
	METHOD_POST,
	METHOD_PUT,
	METHOD_PATCH,
	METHOD_DELETE,
	METHOD_COUNT, /* none that any route has */
};

struct route {
	enum route_method method;
	const char *path;     /* "/v1/keys/{key}/sign" */
	uint16_t op;          /* message type; 0 for a page */
	unsigned page;        /* of the plane's own; 0: an operation */
	const char *location; /* prefix of Location, then the answer's id; or NULL */
	const char *summary;
};

/* The plane's own table, from its routes.def. */
extern const struct route plane_routes[];
extern const unsigned plane_route_count;
/* Paths that a parameter would take and that are no route, with NULL behind. */
extern const char *const plane_reserved[];

struct route_match {
	const struct route *route; /* NULL: none has this path and method */
	unsigned allow;            /* bit per method of this path; 0: no such path */
	const char *params[ROUTE_PARAMS_MAX]; /* decoded, NUL-terminated */
	unsigned param_count;
	bool bad; /* a bad escape, NUL or not UTF-8 */
};

/* The status of its success, by the operation. */
unsigned route_success(const struct route *route);
/* The i-th route in table order, NULL past the end. */
const struct route *route_at(unsigned i);
/* path (without query) is decoded in place and must stay while match is used. */
void route_find(enum route_method method, char *path, struct route_match *match);
const char *route_method_name(enum route_method method);
/* GET → METHOD_GET …; METHOD_COUNT for any other. */
enum route_method route_method_named(const char *name);
/* Decodes %XX in place (and + to a space if plus); false if bad. */
bool route_unescape(char *text, bool plus);

#endif
