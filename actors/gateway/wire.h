/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire: what is said to a tool server and what it answers, in both revisions of
 * MCP. An upstream is a stranger: its JSON is bounded before it is parsed. Pure.
 */
#ifndef GATEWAY_WIRE_H
#define GATEWAY_WIRE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_THEN "2025-11-25"
#define WIRE_NOW "2026-07-28"

enum {
	WIRE_DEPTH_MAX = 32,
	WIRE_VALUES_MAX = 20000, /* a value takes about a hundred bytes */
};

/* The body of a request, or of a notification (id 0). params is taken over and
 * may be NULL. free() it; NULL: no memory. */
char *wire_request(bool modern, uint64_t id, const char *method, json_t *params);
/* The parameters of initialize. */
json_t *wire_initialize(void);
/* Few enough values, not too deep: counted without parsing. */
bool wire_is_bounded(const char *text, size_t len);
/* JSON within bounds, without repeated members; NULL: it is none. */
json_t *wire_parse(const char *text, size_t len);
/* The answer to `id` in a body, which is one message or a stream of events.
 * NULL: there is none. */
json_t *wire_answer(const char *body, size_t len, bool stream, uint64_t id);

#endif
