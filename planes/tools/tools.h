/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What agents use instead of routes: tools.def as a table, who may see which,
 * how each is described, and what a call of one comes to. For the planes that
 * agents speak. Pure.
 */
#ifndef PLANE_TOOLS_H
#define PLANE_TOOLS_H

#include "codec.h"

enum tool_hint {
	TOOL_READ = 1 << 0,  /* changes nothing */
	TOOL_AGAIN = 1 << 1, /* twice is once */
	TOOL_ENDS = 1 << 2,  /* destructive: what it ends does not come back */
};

struct tool {
	const char *name;
	uint16_t op;
	const char *about; /* its argument that is the selector; NULL: none */
	unsigned hints;
	const char *left_out[2]; /* ends in NULL */
	const char *title;
	const char *description;
};

/* NULL: there is no such tool. */
const struct tool *tool_named(const char *name);
/* In the order of the table, NULL past the end. */
const struct tool *tool_at(unsigned i);
const struct ag_operation *tool_operation(const struct tool *tool);
/* Do these effective scopes let the tool do something? What exactly, iam says
 * when it is called. */
bool tool_is_shown(const struct tool *tool, char *const *scopes, size_t n);
/* "key:<key>:sign"; NULL: none is needed. */
const char *tool_scope(const struct tool *tool, char out[64]);
/* JSON Schema 2020-12 of its arguments, and of what it answers. */
void tool_input(struct text *out, const struct tool *tool);
void tool_output(struct text *out, const struct tool *tool);
/* What a call comes to, in the pool. */
struct tool_ask {
	uint16_t op;
	void *msg;            /* of that operation; NULL: refused */
	const char *selector; /* NULL: none */
};

/* The message of the tool's operation from its arguments (NULL: none), which
 * are taken apart. ask->op is set in any case; ask->msg NULL: refuse says why.
 * at: where the arguments are, for refusals. */
void tool_bind(struct pool *pool, const struct tool *tool, json_t *arguments,
    const char *at, struct tool_ask *ask, struct refuse *refuse);

#endif
