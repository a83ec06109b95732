/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tools: tools.def as a table, who may see which, and how each is
 * described. Pure.
 */
#ifndef MCP_TOOLS_H
#define MCP_TOOLS_H

#include "memory.h"

#include <aegis/proto.h>

enum tool_hint {
	TOOL_READ = 1 << 0,  /* changes nothing */
	TOOL_AGAIN = 1 << 1, /* twice is once */
};

struct tool {
	const char *name;
	uint16_t op;
	bool key;       /* its argument `key` is the selector */
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
/* The whole definition, as tools/list has it. */
void tool_print(struct text *out, const struct tool *tool);

#endif
