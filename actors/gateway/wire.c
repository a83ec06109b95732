/* SPDX-License-Identifier: Apache-2.0 */
#include "wire.h"

#include <stdlib.h>
#include <string.h>

#ifndef AEGIS_VERSION
#define AEGIS_VERSION "0.1.0"
#endif
#define META "io.modelcontextprotocol/"

/* ------------------------------------------------------------------- requests */

json_t *
wire_initialize(void)
{
	return json_pack("{s:s, s:{}, s:{s:s, s:s}}", "protocolVersion", WIRE_THEN,
	    "capabilities", "clientInfo", "name", "aegis", "version", AEGIS_VERSION);
}

/* Every request of the current revision says who asks. */
static bool
add_meta(json_t *params)
{
	return json_object_set_new(params, "_meta", json_pack("{s:s, s:{}, s:{s:s, s:s}}",
	    META "protocolVersion", WIRE_NOW, META "clientCapabilities",
	    META "clientInfo", "name", "aegis", "version", AEGIS_VERSION)) == 0;
}

char *
wire_request(bool modern, uint64_t id, const char *method, json_t *params)
{
	json_t *root = json_pack("{s:s, s:s}", "jsonrpc", "2.0", "method", method);
	char *text = NULL;

	if (params == NULL && modern)
		params = json_object();
	if (root != NULL &&
	    (id == 0 || json_object_set_new(root, "id", json_integer((json_int_t)id)) == 0) &&
	    (!modern || add_meta(params)) &&
	    (params == NULL || json_object_set(root, "params", params) == 0))
		text = json_dumps(root, JSON_COMPACT);
	json_decref(params);
	json_decref(root);
	return text;
}

/* -------------------------------------------------------------------- answers */

/* jansson makes eighty bytes of one: counted before it is let loose. */
bool
wire_is_bounded(const char *text, size_t len)
{
	size_t depth = 0, values = 0, i;
	bool quoted = false;

	for (i = 0; i < len; i++) {
		if (quoted) {
			if (text[i] == '\\')
				i++;
			else
				quoted = text[i] != '"';
			continue;
		}
		quoted = text[i] == '"';
		if (text[i] == '{' || text[i] == '[') {
			depth++;
			values++;
		} else if (text[i] == '}' || text[i] == ']') {
			depth -= depth > 0;
		} else if (text[i] == ',') {
			values++;
		}
		if (depth > WIRE_DEPTH_MAX || values > WIRE_VALUES_MAX)
			return false;
	}
	return true;
}

json_t *
wire_parse(const char *text, size_t len)
{
	return wire_is_bounded(text, len) ?
	    json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL) : NULL;
}

static json_t *
answer_of(json_t *root, uint64_t id)
{
	const json_t *its = json_object_get(root, "id");

	if (json_is_integer(its) && (uint64_t)json_integer_value(its) == id &&
	    (json_object_get(root, "result") != NULL ||
	    json_object_get(root, "error") != NULL))
		return root;
	json_decref(root);
	return NULL;
}

/* One event's data, its lines joined (WHATWG, server-sent events). */
static json_t *
take_event(char *data, size_t *data_len, uint64_t id)
{
	json_t *root = *data_len == 0 ? NULL : wire_parse(data, *data_len);

	*data_len = 0;
	return root == NULL ? NULL : answer_of(root, id);
}

static json_t *
answer_in_stream(const char *body, size_t len, uint64_t id)
{
	char *data = malloc(len + 1);
	size_t data_len = 0, at = 0, line;
	json_t *found = NULL;

	while (data != NULL && found == NULL && at < len) {
		for (line = 0; at + line < len && body[at + line] != '\n' &&
		    body[at + line] != '\r'; line++)
			;
		if (line == 0) {
			found = take_event(data, &data_len, id);
		} else if (line >= 5 && memcmp(body + at, "data:", 5) == 0) {
			size_t skip = line > 5 && body[at + 5] == ' ' ? 6 : 5;

			memcpy(data + data_len, body + at + skip, line - skip);
			data_len += line - skip;
		}
		at += line;
		at += at + 1 < len && body[at] == '\r' && body[at + 1] == '\n' ? 2 : 1;
	}
	if (data != NULL && found == NULL)
		found = take_event(data, &data_len, id);
	free(data);
	return found;
}

json_t *
wire_answer(const char *body, size_t len, bool stream, uint64_t id)
{
	json_t *root;

	if (stream)
		return answer_in_stream(body, len, id);
	root = wire_parse(body, len);
	return root == NULL ? NULL : answer_of(root, id);
}
