/* SPDX-License-Identifier: Apache-2.0 */
/* JSON as C strings, for the tables of the fixtures. */
#ifndef MCP_FIXTURE_TEXT_H
#define MCP_FIXTURE_TEXT_H

#include "mcp.h"

#define META "io.modelcontextprotocol/"
#define PNG "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8Dw" \
	"HwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
#define WAV "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA="
#define TEXT(s) "{\"type\":\"text\",\"text\":\"" s "\"}"
#define IMAGE "{\"type\":\"image\",\"data\":\"" PNG "\",\"mimeType\":\"image/png\"}"
#define CONTENT(items) "\"content\":[" items "]"
#define RESOURCE(uri, mime, text) "{\"type\":\"resource\",\"resource\":{\"uri\":" \
	"\"" uri "\",\"mimeType\":\"" mime "\",\"text\":\"" text "\"}}"
#define NOTE(method, params) "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/" \
	method "\",\"params\":{" params "}}\n"
#define LOG(text) NOTE("message", "\"level\":\"info\",\"data\":\"" text "\"")
#define SCHEMA(properties) "\"requestedSchema\":{\"type\":\"object\"," \
	"\"properties\":{" properties "}}"
#define MESSAGE(role, content) "{\"role\":\"" role "\",\"content\":" content "}"

/* Are both there and the same, or is neither? */
bool fixture_same(const char *a, const char *b);
bool fixture_is_declared(const json_t *meta, const char *capability);

/* ---- fixtures_input.c: what wants more input (2026-07-28) */
bool fixture_bind_input(struct call *call, const char *method,
    const char *name, json_t *params, const json_t *meta,
    struct refuse *refuse);
/* The name of the i-th one that is a tool, NULL past the end. */
const char *fixture_input_tool(unsigned i);

#endif
