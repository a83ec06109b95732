/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A message of MCP from arbitrary bytes: five lines of HTTP fields (empty:
 * absent), then the body. Whatever comes, it is an operation with its message,
 * or refused for a reason; its id is JSON.
 */
#include "message.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FIELDS_BYTES = 4096 };

static struct pool pool;

/* The next line of the copy, NULL if it is empty. */
static const char *
line(char **at)
{
	char *begin = *at, *end = strchr(begin, '\n');

	if (end == NULL)
		return NULL;
	*end = '\0';
	*at = end + 1;
	return *begin == '\0' ? NULL : begin;
}

static void
check(const struct call *call, const struct tool_ask *ask,
    const struct refuse *refuse)
{
	const struct ag_operation *op = ag_operation_find(ask->op);
	struct text out = { 0 };

	if (op == NULL || (ask->msg == NULL) != (refuse->err != AG_OK))
		abort();
	if (ask->msg != NULL && ((ProtobufCMessage *)ask->msg)->descriptor != op->ask)
		abort(); /* another operation's message */
	if (call->id[0] != '\0') {
		json_t *id = json_loads(call->id, JSON_DECODE_ANY, NULL);

		if (id == NULL)
			abort(); /* an answer would be no JSON */
		json_decref(id);
	}
	if (ask->msg != NULL && op->type == AG_MSG_KEY_DATA_KEY &&
	    !((Ag__DataKeyAsk *)ask->msg)->without_plaintext)
		abort();
	if (ask->msg != NULL)
		codec_print(&out, ask->msg);
	text_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char fields[FIELDS_BYTES + 1];
	size_t len = size < FIELDS_BYTES ? size : FIELDS_BYTES, i, lines = 0;
	struct refuse refuse = { .err = AG_OK };
	struct mcp_fields said = { .gateway = size % 2 == 0 };
	struct tool_ask ask;
	struct call call;
	char *at = fields;

	if (pool.first == NULL) {
		codec_init();
		if (!pool_init(&pool))
			abort();
	}
	for (i = 0; i < len && lines < 5; i++)
		lines += data[i] == '\n';
	if (lines < 5)
		return 0;
	memcpy(fields, data, i);
	fields[i] = '\0';
	if (strlen(fields) != i)
		return 0; /* a field has no NUL: http.c */
	said.version = line(&at);
	said.method = line(&at);
	said.name = line(&at);
	said.session = line(&at);
	said.param = line(&at);
	mcp_read(&pool, &said, data + i, size - i, &call, &ask, &refuse);
	check(&call, &ask, &refuse);
	pool_reset(&pool);
	return 0;
}
