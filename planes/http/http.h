/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP/1.1 request from bytes: http_parser with our bounds, and why a
 * request is refused. Pure: bytes in, stage out; no socket, clock or context.
 */
#ifndef PLANE_HTTP_H
#define PLANE_HTTP_H

#include "route.h"

#include <aegis/err.h>

#include <http_parser.h>

enum {
	HTTP_HEAD_FIRST_BYTES = 1024,
	HTTP_BODY_KEEP_BYTES = 16 << 10, /* a larger buffer goes after its request */
	HTTP_FEED_MAX_BYTES = 1 << 30,
	REFUSE_FIELD_SIZE = 128,
	REFUSE_DETAIL_SIZE = 160,
};

/* Why not. err AG_OK: nothing was refused. */
struct refuse {
	ag_err err;
	const char *reason; /* static text, or NULL */
	char field[REFUSE_FIELD_SIZE];
	char detail[REFUSE_DETAIL_SIZE];
};
void refuse_set(struct refuse *refuse, ag_err err, const char *reason,
    const char *field, const char *fmt, ...) AG_PRINTF(5, 6);

/* What all readers' bodies take together. */
struct http_bodies {
	size_t held, max;
};

struct http_limits {
	size_t header_bytes; /* request line and fields */
	size_t body_bytes;
	size_t batch_bytes;  /* a batch's body */
	struct http_bodies *bodies; /* NULL: not counted */
};

/* The fields that mean something to us; all others are skipped. */
enum http_field {
	FIELD_AUTHORIZATION,
	FIELD_CONTENT_TYPE,
	FIELD_TRANSFER_ENCODING,
	FIELD_HOST,
	FIELD_EXPECT,
	FIELD_REQUEST_ID,
	FIELD_TRACEPARENT,
	FIELD_IDEMPOTENCY_KEY,
	FIELD_IF_MATCH,
	FIELD_STEP_UP,
	FIELD_DEV_IDENTITY,
	FIELD_APPROVAL,
	FIELD_BREAK_GLASS,
	FIELD_REASON,
	FIELD_USER_AGENT,
	FIELD_LAST_EVENT_ID,
	FIELD_FORWARDED_FOR,
	FIELD_ORIGIN,
	FIELD_MCP_VERSION,
	FIELD_MCP_METHOD,
	FIELD_MCP_NAME,
	FIELD_MCP_PARAM,
	FIELD_MCP_SESSION,
	FIELD_SLACK_SIGNATURE,
	FIELD_SLACK_TIMESTAMP,
	FIELD_COUNT,
};

enum http_stage {
	STAGE_FRESH, /* not a byte yet */
	STAGE_HEAD,
	STAGE_BODY,
	STAGE_WHOLE, /* call http_next() before more is fed */
	STAGE_BAD,   /* refuse says why; the connection cannot go on */
};

struct http_reader {
	http_parser parser;
	const struct http_limits *limits;
	enum http_stage stage;
	struct refuse refuse;
	size_t fed;           /* bytes of this stage */

	/* Head: the target, then the values of known fields, NUL-terminated. */
	char *head;
	size_t head_len;
	size_t head_cap;
	uint32_t fields[FIELD_COUNT]; /* offset in head; 0: absent */
	size_t name_at;       /* of the field under way */
	size_t value_at;      /* 0: its name is still coming */
	size_t path_at;       /* the decoded copy that match points into */
	size_t query_at;      /* 0: no query */
	size_t target_len;
	bool head_only;       /* HEAD: the answer has no body */
	bool keep_alive;
	bool expect;          /* 100-continue */
	struct route_match match;

	uint8_t *body;
	size_t body_len;
	size_t body_cap;
	size_t body_counted; /* of it, in limits->bodies and own_bodies */
	struct http_bodies *own_bodies; /* of its address; NULL: not counted */
	size_t body_max;

	/* Lines are checked beside the parser. */
	const char *mark; /* of the bytes being fed: checked up to here */
	bool after_cr;
	bool after_chunk; /* a chunk's data has just been read */
};

void http_init(struct http_reader *reader, const struct http_limits *limits);
void http_fini(struct http_reader *reader);
/* Forgets the request; the next one may be fed. */
void http_next(struct http_reader *reader);
/* Feeds bytes; returns how many were taken, up to the request's end; nothing
 * is taken after it. len 0: the peer sends no more. */
size_t http_feed(struct http_reader *reader, const void *bytes, size_t len);
/* The field's value, NULL if absent. */
const char *http_field(const struct http_reader *reader, enum http_field field);
/* Is its Content-Type application/json? A form's? */
bool http_is_json(const struct http_reader *reader);
bool http_is_form(const struct http_reader *reader);
const char *http_method(const struct http_reader *reader);
/* Path without query, as it came. Borrowed; *len bytes. */
const char *http_path(const struct http_reader *reader, size_t *len);
/* Query as it came, NULL if there was none. */
char *http_query(struct http_reader *reader);

#endif
