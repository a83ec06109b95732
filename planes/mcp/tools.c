/* SPDX-License-Identifier: Apache-2.0 */
#include "tools.h"

#include "schema.h"

#include <stdio.h>
#include <string.h>

#define NONE false
#define KEY true
#define READ (TOOL_READ | TOOL_AGAIN)
#define AGAIN TOOL_AGAIN
static const struct tool tools[] = {
#define TOOL(name, op, key, hints, left_out, title, description) \
	{ #name, AG_MSG_##op, key, hints, { left_out }, title, description },
#include "tools.def"
#undef TOOL
};
#undef NONE
#undef KEY
#undef READ
#undef AGAIN
enum { TOOL_COUNT = sizeof(tools) / sizeof(tools[0]) };

const struct tool *
tool_at(unsigned i)
{
	return i < TOOL_COUNT ? &tools[i] : NULL;
}

const struct tool *
tool_named(const char *name)
{
	unsigned i;

	for (i = 0; i < TOOL_COUNT; i++)
		if (strcmp(tools[i].name, name) == 0)
			return &tools[i];
	return NULL;
}

const struct ag_operation *
tool_operation(const struct tool *tool)
{
	return ag_operation_find(tool->op);
}

/* ----------------------------------------------------------------- scopes */

/* <kind>:<selector>:<op>: the kind ends at the first colon, the op begins
 * after the last. */
static bool
scope_fits(const char *scope, const struct ag_operation *op)
{
	const char *first = strchr(scope, ':'), *last = strrchr(scope, ':');
	const char *kind = ag_kind_name(op->kind);
	size_t kind_len = first == NULL ? 0 : (size_t)(first - scope);

	if (first == NULL || first == last)
		return false;
	if (strncmp(scope, "*:", 2) != 0 &&
	    (strlen(kind) != kind_len || memcmp(scope, kind, kind_len) != 0))
		return false;
	if (strcmp(last + 1, "*") != 0 && strcmp(last + 1, op->op) != 0)
		return false;
	/* What is about no one thing needs the right to all. */
	return (op->flags & AG_OP_ALL) == 0 || strncmp(first, ":*:", 3) == 0;
}

bool
tool_is_shown(const struct tool *tool, char *const *scopes, size_t n)
{
	const struct ag_operation *op = tool_operation(tool);
	size_t i;

	if (op->kind == AG_KIND_ANY)
		return true;
	for (i = 0; i < n; i++)
		if (scope_fits(scopes[i], op))
			return true;
	return false;
}

const char *
tool_scope(const struct tool *tool, char out[64])
{
	const struct ag_operation *op = tool_operation(tool);

	if (op->kind == AG_KIND_ANY)
		return NULL;
	snprintf(out, 64, "%s:%s:%s", ag_kind_name(op->kind),
	    (op->flags & AG_OP_ALL) != 0 ? "*" : "<key>", op->op);
	return out;
}

/* ---------------------------------------------------------------- schemas */

/* What the schema refers to; the list grows while its rows are printed. */
static void
add_definitions(struct text *out, struct schemas *schemas)
{
	unsigned i;

	if (schemas->count == 0)
		return;
	text_str(out, ",\"$defs\":{");
	for (i = 0; i < schemas->count; i++) {
		text_str(out, i == 0 ? "" : ",");
		schema_define(out, schemas, schemas->rows[i].d,
		    schemas->rows[i].input);
	}
	text_char(out, '}');
}

void
tool_input(struct text *out, const struct tool *tool)
{
	const ProtobufCMessageDescriptor *d = tool_operation(tool)->ask;
	struct schemas schemas = { .at = "#/$defs/" };
	const char *comma = tool->key ? "," : "";

	text_str(out, "{\"type\":\"object\",\"properties\":{");
	if (tool->key)
		text_str(out, "\"key\":{\"type\":\"string\",\"minLength\":1,"
		    "\"maxLength\":63,\"description\":\"The key's id or alias.\"}");
	schema_members(out, &schemas, d, true, tool->left_out, comma);
	text_printf(out, "},\"required\":[%s", tool->key ? "\"key\"" : "");
	schema_required(out, d, true, tool->left_out, comma);
	text_str(out, "],\"additionalProperties\":false");
	add_definitions(out, &schemas);
	text_char(out, '}');
}

void
tool_output(struct text *out, const struct tool *tool)
{
	const ProtobufCMessageDescriptor *d = tool_operation(tool)->reply;
	struct schemas schemas = { .at = "#/$defs/" };

	text_str(out, "{\"type\":\"object\",\"properties\":{");
	schema_members(out, &schemas, d, false, NULL, "");
	text_str(out, "},\"required\":[");
	schema_required(out, d, false, NULL, "");
	text_char(out, ']');
	add_definitions(out, &schemas);
	text_char(out, '}');
}

static const char *
yes(bool is)
{
	return is ? "true" : "false";
}

void
tool_print(struct text *out, const struct tool *tool)
{
	bool read = (tool->hints & TOOL_READ) != 0;
	char scope[64];

	text_printf(out, "{\"name\":\"%s\",\"title\":", tool->name);
	text_json(out, tool->title);
	text_str(out, ",\"description\":");
	text_json(out, tool->description);
	text_str(out, ",\"inputSchema\":");
	tool_input(out, tool);
	text_str(out, ",\"outputSchema\":");
	tool_output(out, tool);
	text_printf(out, ",\"annotations\":{\"readOnlyHint\":%s,"
	    "\"destructiveHint\":false,\"idempotentHint\":%s,"
	    "\"openWorldHint\":false},\"_meta\":{\"io.aegis/scope\":", yes(read),
	    yes((tool->hints & TOOL_AGAIN) != 0));
	text_json(out, tool_scope(tool, scope));
	text_str(out, "}}");
}
