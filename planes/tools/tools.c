/* SPDX-License-Identifier: Apache-2.0 */
#include "tools.h"

#include "schema.h"

#include <aegis/id.h>

#include <stdio.h>
#include <string.h>

#define NONE NULL
#define KEY "key"
#define AGENT "agent"
#define READ (TOOL_READ | TOOL_AGAIN)
#define AGAIN TOOL_AGAIN
#define ENDS TOOL_ENDS
static const struct tool tools[] = {
#define TOOL(name, op, about, hints, left_out, title, description) \
	{ #name, AG_MSG_##op, about, hints, { left_out }, title, description },
#include "tools.def"
#undef TOOL
};
#undef NONE
#undef KEY
#undef AGENT
#undef READ
#undef AGAIN
#undef ENDS
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
	snprintf(out, 64, (op->flags & AG_OP_ALL) != 0 ? "%s:*:%s" : "%s:<%s>:%s",
	    ag_kind_name(op->kind), (op->flags & AG_OP_ALL) != 0 ? op->op :
	    tool->about, op->op);
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
	const char *comma = tool->about != NULL ? "," : "";

	text_str(out, "{\"type\":\"object\",\"properties\":{");
	if (tool->about != NULL)
		text_printf(out, "\"%s\":{\"type\":\"string\",\"minLength\":1,"
		    "\"maxLength\":63,\"description\":\"The %s's id%s.\"}",
		    tool->about, tool->about,
		    tool_operation(tool)->kind == AG_KIND_KEY ? " or alias" : "");
	schema_members(out, &schemas, d, true, tool->left_out, comma);
	text_str(out, "},\"required\":[");
	if (tool->about != NULL)
		text_printf(out, "\"%s\"", tool->about);
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

/* -------------------------------------------------------------------- calls */

/* What the tool is about is the operation's selector; it is no member. */
static void *
bind_arguments(struct pool *pool, const struct tool *tool, json_t *arguments,
    struct tool_ask *ask, struct refuse *refuse)
{
	const json_t *about = tool->about == NULL ? NULL :
	    json_object_get(arguments, tool->about);
	const char *text = json_string_value(about);
	size_t len = json_string_length(about);

	if (tool->about == NULL)
		return codec_bind_object(pool, tool_operation(tool)->ask,
		    arguments, NULL, refuse);
	if (text == NULL || len == 0 || len > AG_NAME_MAX || strlen(text) != len) {
		char *field = pool_zalloc(pool, strlen(tool->about) + 2);

		if (field != NULL)
			strcpy(stpcpy(field, "/"), tool->about);
		refuse_set(refuse, AG_INVALID_FIELD, about == NULL ? "missing" :
		    "wrong_type", field, "the %s is named by a string",
		    tool->about);
		return NULL;
	}
	ask->selector = pool_strndup(pool, text, len);
	return codec_bind_object(pool, tool_operation(tool)->ask, arguments,
	    tool->about, refuse);
}

void
tool_bind(struct pool *pool, const struct tool *tool, json_t *arguments,
    const char *at, struct tool_ask *ask, struct refuse *refuse)
{
	ask->op = tool->op;
	ask->msg = NULL;
	ask->selector = NULL;
	if (arguments != NULL && !json_is_object(arguments)) {
		refuse_set(refuse, AG_INVALID_FIELD, "wrong_type", at,
		    "the arguments must be an object");
		return;
	}
	if (json_object_get(arguments, tool->left_out[0]) != NULL) {
		refuse_set(refuse, AG_INVALID_FIELD, "unknown_field", NULL,
		    "this tool does not take %s", tool->left_out[0]);
		return;
	}
	ask->msg = bind_arguments(pool, tool, arguments, ask, refuse);
	if (ask->msg != NULL && tool->op == AG_MSG_KEY_DATA_KEY) {
		((Ag__DataKeyAsk *)ask->msg)->has_without_plaintext = 1;
		((Ag__DataKeyAsk *)ask->msg)->without_plaintext = 1;
	}
}
