/* SPDX-License-Identifier: Apache-2.0 */
/*
 * routes.def as a tree of path segments. A literal segment goes before a
 * parameter, and there is no way back: /v1/agents/revoke is never the agent
 * "revoke".
 */
#include "route.h"

#include "memory.h"

#include <aegis/err.h>
#include <aegis/id.h>
#include <aegis/proto.h>

#include <string.h>

enum { NODES_MAX = 256 };

struct node {
	const char *text; /* literal, not terminated; NULL: parameter */
	size_t len;
	struct node *child;   /* literals first, the parameter last */
	struct node *sibling;
	const struct route *by_method[METHOD_COUNT];
};

unsigned
route_success(const struct route *route)
{
	const struct ag_operation *op = ag_operation_find(route->op);

	return op != NULL && (op->flags & AG_OP_MAKES) != 0 ? 201 : 200;
}

/* Built from the table on first use, constant from then on. */
static struct node nodes[NODES_MAX];
static unsigned node_count;

static const char *const method_names[] = {
	[METHOD_GET] = "GET",
	[METHOD_POST] = "POST",
	[METHOD_PUT] = "PUT",
	[METHOD_PATCH] = "PATCH",
	[METHOD_DELETE] = "DELETE",
	[METHOD_COUNT] = "",
};

const char *
route_method_name(enum route_method method)
{
	return method_names[method];
}

enum route_method
route_method_named(const char *name)
{
	unsigned i;

	for (i = 0; i < METHOD_COUNT; i++)
		if (strcmp(method_names[i], name) == 0)
			break;
	return i;
}

const struct route *
route_at(unsigned i)
{
	return i < plane_route_count ? &plane_routes[i] : NULL;
}

static struct node *
node_new(const char *text, size_t len)
{
	struct node *node = &nodes[node_count++];

	if (node_count > NODES_MAX)
		ag_panic("NODES_MAX is too small for the routes");
	node->text = text;
	node->len = len;
	return node;
}

static struct node *
node_under(struct node *parent, const char *text, size_t len)
{
	struct node **link = &parent->child;
	bool param = text[0] == '{';

	for (; *link != NULL; link = &(*link)->sibling) {
		if (param ? (*link)->text == NULL :
		    (*link)->text != NULL && (*link)->len == len &&
		    memcmp((*link)->text, text, len) == 0)
			return *link;
		if ((*link)->text == NULL)
			break; /* a literal goes in before the parameter */
	}
	parent = node_new(param ? NULL : text, len);
	parent->sibling = *link;
	*link = parent;
	return parent;
}

static struct node *
node_of(const char *path)
{
	struct node *node = &nodes[0];
	const char *at;
	size_t len;

	for (at = path; *at == '/'; at += len) {
		len = strcspn(++at, "/");
		node = node_under(node, at, len);
	}
	return node;
}

static void
tree_build(void)
{
	const struct route *route = plane_routes;
	const char *const *reserved;

	node_new("", 0);
	for (; route < plane_routes + plane_route_count; route++)
		node_of(route->path)->by_method[route->method] = route;
	for (reserved = plane_reserved; *reserved != NULL; reserved++)
		(void)node_of(*reserved); /* found, with no method: no route */
}

/* `*`, the server itself (RFC 9110 §9.3.7): whatever any route takes. */
static void
allow_all(struct route_match *match)
{
	unsigned i;

	for (i = 0; i < plane_route_count; i++)
		match->allow |= 1U << plane_routes[i].method;
}

bool
route_unescape(char *text, bool plus)
{
	return ag_percent_decode(text, plus) && utf8_valid(text, strlen(text));
}

/* The child that takes this segment; the parameter is the last of them. */
static struct node *
node_match(const struct node *parent, const char *text, size_t len)
{
	struct node *node = parent->child;

	for (; node != NULL; node = node->sibling)
		if (node->text == NULL ? len > 0 :
		    node->len == len && memcmp(node->text, text, len) == 0)
			break;
	return node;
}

static const struct node *
tree_walk(char *path, struct route_match *match)
{
	const struct node *node = &nodes[0];
	char *at = path, *end;

	if (*at != '/')
		return NULL;
	while (node != NULL && at != NULL) {
		end = strchr(++at, '/');
		if (end != NULL)
			*end = '\0'; /* for good: at may become a parameter */
		if (!route_unescape(at, false)) {
			match->bad = true;
			return NULL;
		}
		node = node_match(node, at, strlen(at));
		if (node != NULL && node->text == NULL) {
			if (strlen(at) > ROUTE_SEGMENT_MAX ||
			    match->param_count == ROUTE_PARAMS_MAX)
				return NULL;
			match->params[match->param_count++] = at;
		}
		at = end;
	}
	return node;
}

void
route_find(enum route_method method, char *path, struct route_match *match)
{
	const struct node *node;
	unsigned i;

	if (node_count == 0)
		tree_build();
	memset(match, 0, sizeof(*match));
	if (strcmp(path, "*") == 0) {
		allow_all(match);
		return;
	}
	node = tree_walk(path, match);
	if (node == NULL)
		return;
	for (i = 0; i < METHOD_COUNT; i++)
		if (node->by_method[i] != NULL)
			match->allow |= 1U << i;
	if (method < METHOD_COUNT)
		match->route = node->by_method[method];
}
