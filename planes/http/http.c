/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP/1.1 request from bytes (RFC 9112). http_parser finds the framing;
 * here are the bounds, the fields we know, and the words for refusing.
 */
#include "http.h"

#include <aegis/proto.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct known {
	const char *name;
	size_t len;
};
#define KNOWN(text) { text, sizeof(text) - 1 }
static const struct known known[FIELD_COUNT] = {
	[FIELD_AUTHORIZATION] = KNOWN("authorization"),
	[FIELD_CONTENT_TYPE] = KNOWN("content-type"),
	[FIELD_TRANSFER_ENCODING] = KNOWN("transfer-encoding"),
	[FIELD_HOST] = KNOWN("host"),
	[FIELD_EXPECT] = KNOWN("expect"),
	[FIELD_REQUEST_ID] = KNOWN("x-request-id"),
	[FIELD_TRACEPARENT] = KNOWN("traceparent"),
	[FIELD_IDEMPOTENCY_KEY] = KNOWN("idempotency-key"),
	[FIELD_IF_MATCH] = KNOWN("if-match"),
	[FIELD_STEP_UP] = KNOWN("aegis-step-up"),
	[FIELD_DEV_IDENTITY] = KNOWN("aegis-dev-identity"),
	[FIELD_APPROVAL] = KNOWN("aegis-approval"),
	[FIELD_BREAK_GLASS] = KNOWN("aegis-break-glass"),
	[FIELD_REASON] = KNOWN("aegis-reason"),
	[FIELD_USER_AGENT] = KNOWN("user-agent"),
	[FIELD_LAST_EVENT_ID] = KNOWN("last-event-id"),
	[FIELD_FORWARDED_FOR] = KNOWN("x-forwarded-for"),
	[FIELD_ORIGIN] = KNOWN("origin"),
	[FIELD_MCP_VERSION] = KNOWN("mcp-protocol-version"),
	[FIELD_MCP_METHOD] = KNOWN("mcp-method"),
	[FIELD_MCP_NAME] = KNOWN("mcp-name"),
	[FIELD_MCP_PARAM] = KNOWN("mcp-param-key"),
	[FIELD_MCP_SESSION] = KNOWN("mcp-session-id"),
	[FIELD_SLACK_SIGNATURE] = KNOWN("x-slack-signature"),
	[FIELD_SLACK_TIMESTAMP] = KNOWN("x-slack-request-timestamp"),
};

void
refuse_set(struct refuse *refuse, ag_err err, const char *reason,
    const char *field, const char *fmt, ...)
{
	va_list ap;

	refuse->err = err;
	refuse->reason = reason;
	snprintf(refuse->field, sizeof(refuse->field), "%s", field == NULL ? "" : field);
	va_start(ap, fmt);
	vsnprintf(refuse->detail, sizeof(refuse->detail), fmt, ap);
	va_end(ap);
}

/* What a callback returns to stop the parser. */
static int
bad(struct http_reader *reader, ag_err err, const char *reason,
    const char *detail)
{
	refuse_set(&reader->refuse, err, reason, NULL, "%s", detail);
	return -1;
}

static bool
head_add(struct http_reader *reader, const char *bytes, size_t len)
{
	size_t cap = reader->head_cap;
	char *head;

	if (reader->head_len + len > cap) {
		while (cap < reader->head_len + len)
			cap = cap == 0 ? HTTP_HEAD_FIRST_BYTES : cap * 2;
		if ((head = realloc(reader->head, cap)) == NULL)
			return false;
		reader->head = head;
		reader->head_cap = cap;
	}
	memcpy(reader->head + reader->head_len, bytes, len);
	reader->head_len += len;
	return true;
}

/* ------------------------------------------------------------- callbacks */

static int
on_target(http_parser *parser, const char *at, size_t len)
{
	struct http_reader *reader = parser->data;

	return head_add(reader, at, len) ? 0 :
	    bad(reader, AG_HEADERS_TOO_LARGE, NULL, "out of memory");
}

static enum http_field
field_known(const char *name, size_t len)
{
	unsigned i;

	for (i = 0; i < FIELD_COUNT; i++)
		if (known[i].len == len && strncasecmp(known[i].name, name, len) == 0)
			break;
	return i;
}

/* The field under way is whole: a known one keeps its value, in the place of
 * its name; any other goes. */
static int
field_end(struct http_reader *reader)
{
	size_t name_len = reader->value_at - reader->name_at;
	enum http_field field;

	if (reader->name_at == 0) { /* the target ends where the first field begins */
		reader->target_len = reader->head_len;
		return head_add(reader, "", 1) ? 0 : -1;
	}
	/* http_parser takes blanks in names, which others would read as another
	 * field (RFC 9112 §5.1: refused). */
	if (memchr(reader->head + reader->name_at, ' ', name_len) != NULL)
		return bad(reader, AG_MALFORMED_REQUEST, "http",
		    "a blank in a header field's name");
	field = field_known(reader->head + reader->name_at, name_len);
	if (field == FIELD_COUNT) {
		reader->head_len = reader->name_at;
		return 0;
	}
	if (reader->fields[field] != 0)
		return bad(reader, AG_MALFORMED_REQUEST, "http",
		    "a header field is repeated");
	reader->head_len -= name_len;
	memmove(reader->head + reader->name_at, reader->head + reader->value_at,
	    reader->head_len - reader->name_at);
	reader->fields[field] = (uint32_t)reader->name_at;
	return head_add(reader, "", 1) ? 0 : -1;
}

static int
on_name(http_parser *parser, const char *at, size_t len)
{
	struct http_reader *reader = parser->data;

	if (memchr(at, ' ', len) != NULL)
		return bad(reader, AG_MALFORMED_REQUEST, "http",
		    "a field's name has a blank in it");
	if (reader->stage == STAGE_BODY)
		return 0; /* a trailer */
	if (reader->name_at == 0 || reader->value_at != 0) {
		if (field_end(reader) != 0)
			return -1;
		reader->name_at = reader->head_len;
		reader->value_at = 0;
	}
	return head_add(reader, at, len) ? 0 : -1;
}

static int
on_value(http_parser *parser, const char *at, size_t len)
{
	struct http_reader *reader = parser->data;

	if (reader->stage == STAGE_BODY)
		return 0;
	if (reader->value_at == 0)
		reader->value_at = reader->head_len;
	return head_add(reader, at, len) ? 0 : -1;
}

/* An absolute target, "http://host/path?query": its path moves to the front. */
static int
target_absolute(struct http_reader *reader)
{
	struct http_parser_url url;
	size_t end;

	http_parser_url_init(&url);
	if (reader->target_len > UINT16_MAX ||
	    http_parser_parse_url(reader->head, reader->target_len,
	    reader->parser.method == HTTP_CONNECT, &url) != 0 ||
	    (url.field_set & 1 << UF_USERINFO) != 0)
		return bad(reader, AG_MALFORMED_REQUEST, "http", "bad request target");
	end = reader->target_len;
	reader->target_len = 0;
	if ((url.field_set & 1 << UF_PATH) != 0) {
		reader->target_len = end - url.field_data[UF_PATH].off;
		memmove(reader->head, reader->head + url.field_data[UF_PATH].off,
		    reader->target_len);
	}
	reader->head[reader->target_len] = '\0';
	return 0;
}

/* A fragment is never sent (RFC 9112 §3.2). */
static int
target_split(struct http_reader *reader)
{
	char *query;

	if (reader->head[0] != '/' && target_absolute(reader) != 0)
		return -1;
	if (memchr(reader->head, '#', reader->target_len) != NULL)
		return bad(reader, AG_MALFORMED_REQUEST, "http", "bad request target");
	query = memchr(reader->head, '?', reader->target_len);
	if (query != NULL) {
		reader->query_at = (size_t)(query - reader->head) + 1;
		reader->target_len = reader->query_at - 1;
	}
	return 0;
}

/* The copy that routing takes apart. */
static int
path_copy(struct http_reader *reader)
{
	size_t len = reader->target_len, at = reader->head_len;
	size_t cap = reader->head_cap;
	char *head = reader->head;

	if (cap - at < len + 1) {
		if ((head = realloc(head, at + len + 1)) == NULL)
			return bad(reader, AG_HEADERS_TOO_LARGE, NULL, "out of memory");
		reader->head = head;
		reader->head_cap = at + len + 1;
	}
	memcpy(head + at, head, len);
	head[at + len] = '\0';
	reader->path_at = at;
	reader->head_len = at + len + 1;
	return 0;
}

static int
framing_check(struct http_reader *reader)
{
	const http_parser *p = &reader->parser;
	const char *coding = http_field(reader, FIELD_TRANSFER_ENCODING);
	const char *expect = http_field(reader, FIELD_EXPECT);
	const char *host = http_field(reader, FIELD_HOST);

	if (p->http_major != 1 || p->http_minor > 1)
		return bad(reader, AG_MALFORMED_REQUEST, "http", "HTTP/1.1 is spoken here");
	if (p->http_minor == 1 && (host == NULL || *host == '\0'))
		return bad(reader, AG_MALFORMED_REQUEST, "http", "Host is missing");
	if (coding != NULL &&
	    (p->http_minor == 0 || strcasecmp(coding, "chunked") != 0))
		return bad(reader, AG_MALFORMED_REQUEST, "http",
		    "the only transfer coding is chunked");
	if (expect != NULL && strcasecmp(expect, "100-continue") != 0)
		return bad(reader, AG_MALFORMED_REQUEST, "http", "unknown expectation");
	reader->expect = expect != NULL && p->http_minor == 1;
	return 0;
}

static int
on_head_end(http_parser *parser)
{
	struct http_reader *reader = parser->data;
	enum route_method method =
	    route_method_named(http_method_str(parser->method));
	bool batch;

	if (field_end(reader) != 0 || framing_check(reader) != 0 ||
	    target_split(reader) != 0 || path_copy(reader) != 0)
		return -1;
	parser->upgrade = 0; /* an Upgrade field is ignored (RFC 9110 §7.8) */
	reader->head_only = parser->method == HTTP_HEAD;
	route_find(method, reader->head + reader->path_at, &reader->match);
	if (reader->match.bad)
		return bad(reader, AG_MALFORMED_REQUEST, "http", "bad path");
	batch = reader->match.route != NULL &&
	    reader->match.route->op == AG_MSG_KEY_BATCH;
	reader->body_max = batch ? reader->limits->batch_bytes :
	    reader->limits->body_bytes;
	if ((parser->flags & F_CONTENTLENGTH) != 0 &&
	    parser->content_length > reader->body_max)
		return bad(reader, AG_REQUEST_TOO_LARGE, "body", "the body is too large");
	reader->stage = STAGE_BODY;
	reader->fed = 0;
	return 0;
}

/* All connections' bodies together, and one address's, are bounded: most of them come from people
 * whom nobody has asked for a credential yet. */
static bool
body_count(struct http_reader *reader, size_t cap)
{
	struct http_bodies *all[] = { reader->limits->bodies, reader->own_bodies };
	unsigned i;

	for (i = 0; i < 2; i++)
		if (all[i] != NULL && cap > reader->body_counted &&
		    all[i]->held + (cap - reader->body_counted) > all[i]->max)
			return false;
	for (i = 0; i < 2; i++)
		if (all[i] != NULL)
			all[i]->held += cap - reader->body_counted;
	reader->body_counted = cap;
	return true;
}

static bool
body_room(struct http_reader *reader, size_t len)
{
	size_t cap = reader->body_cap == 0 ? 1024 : reader->body_cap;
	uint8_t *body;

	if (reader->body_cap - reader->body_len >= len)
		return true;
	while (cap < reader->body_len + len)
		cap *= 2;
	if (!body_count(reader, cap) || (body = malloc(cap)) == NULL) {
		bad(reader, AG_UNAVAILABLE, "overloaded",
		    "too many bodies are under way");
		return false;
	}
	if (reader->body != NULL) {
		memcpy(body, reader->body, reader->body_len);
		explicit_bzero(reader->body, reader->body_len);
		free(reader->body);
	}
	reader->body = body;
	reader->body_cap = cap;
	return true;
}

/*
 * http_parser as Debian builds it takes any two bytes where CR LF must stand,
 * and a bare LF. Everything but the body's own bytes is lines, so: every CR is
 * followed by LF, every LF comes after CR, and a chunk's data ends in CR.
 */
static bool
lines_ok(struct http_reader *reader, const char *at, size_t len)
{
	const char *cr;
	size_t line;

	if (len > 0 && reader->after_chunk && *at != '\r')
		return false;
	reader->after_chunk = reader->after_chunk && len == 0;
	while (len > 0) {
		if (reader->after_cr) {
			reader->after_cr = false;
			if (*at++ != '\n')
				return false;
			len--;
			continue;
		}
		cr = memchr(at, '\r', len);
		line = cr == NULL ? len : (size_t)(cr - at);
		if (memchr(at, '\n', line) != NULL)
			return false;
		reader->after_cr = cr != NULL;
		at += line + (cr != NULL);
		len -= line + (cr != NULL);
	}
	return true;
}

static int
bad_line(struct http_reader *reader)
{
	return bad(reader, AG_MALFORMED_REQUEST, "http", "lines end in CR LF");
}

static int
on_body(http_parser *parser, const char *at, size_t len)
{
	struct http_reader *reader = parser->data;

	if (!lines_ok(reader, reader->mark, (size_t)(at - reader->mark)))
		return bad_line(reader);
	reader->mark = at + len;
	reader->after_chunk = (parser->flags & F_CHUNKED) != 0;
	if (len > reader->body_max - reader->body_len)
		return bad(reader, AG_REQUEST_TOO_LARGE, "body", "the body is too large");
	if (!body_room(reader, len))
		return -1;
	memcpy(reader->body + reader->body_len, at, len);
	reader->body_len += len;
	return 0;
}

static int
on_end(http_parser *parser)
{
	struct http_reader *reader = parser->data;

	reader->stage = STAGE_WHOLE;
	reader->keep_alive = http_should_keep_alive(parser) != 0;
	http_parser_pause(parser, 1);
	return 0;
}

static const http_parser_settings settings = {
	.on_url = on_target,
	.on_header_field = on_name,
	.on_header_value = on_value,
	.on_headers_complete = on_head_end,
	.on_body = on_body,
	.on_message_complete = on_end,
};

/* ----------------------------------------------------------------- public */

void
http_init(struct http_reader *reader, const struct http_limits *limits)
{
	memset(reader, 0, sizeof(*reader));
	reader->limits = limits;
	http_next(reader);
}

void
http_fini(struct http_reader *reader)
{
	if (reader->head != NULL)
		explicit_bzero(reader->head, reader->head_cap);
	if (reader->body != NULL)
		explicit_bzero(reader->body, reader->body_cap);
	free(reader->head);
	free(reader->body);
	body_count(reader, 0);
	reader->head = NULL;
	reader->body = NULL;
}

/* Wiped only as far as written: the head held a token, the body may have held
 * a plaintext. */
void
http_next(struct http_reader *reader)
{
	if (reader->head != NULL)
		explicit_bzero(reader->head, reader->head_len);
	if (reader->body != NULL)
		explicit_bzero(reader->body, reader->body_len);
	if (reader->body_cap > HTTP_BODY_KEEP_BYTES) {
		free(reader->body);
		reader->body = NULL;
		reader->body_cap = 0;
		body_count(reader, 0);
	}
	http_parser_init(&reader->parser, HTTP_REQUEST);
	reader->parser.data = reader;
	reader->stage = STAGE_FRESH;
	reader->refuse.err = AG_OK;
	reader->fed = 0;
	reader->head_len = 0;
	memset(reader->fields, 0, sizeof(reader->fields));
	reader->name_at = reader->value_at = 0;
	reader->path_at = reader->query_at = reader->target_len = 0;
	reader->head_only = reader->keep_alive = reader->expect = false;
	memset(&reader->match, 0, sizeof(reader->match));
	reader->body_len = 0;
	reader->body_max = 0;
	reader->mark = NULL;
	reader->after_cr = reader->after_chunk = false;
}

static void
parser_failed(struct http_reader *reader)
{
	enum http_errno err = HTTP_PARSER_ERRNO(&reader->parser);

	reader->stage = STAGE_BAD;
	if (reader->refuse.err != AG_OK)
		return; /* a callback said why */
	if (err == HPE_HEADER_OVERFLOW)
		refuse_set(&reader->refuse, AG_HEADERS_TOO_LARGE, NULL, NULL,
		    "the header is too large");
	else
		refuse_set(&reader->refuse, AG_MALFORMED_REQUEST, "http", NULL, "%s",
		    http_errno_description(err));
}

/* How much of len this stage may still take; 0: its bound is met. */
static size_t
stage_room(struct http_reader *reader, size_t len)
{
	/* Chunk sizes and extensions count, too: one byte a chunk is six. */
	size_t max = reader->stage == STAGE_BODY ?
	    2 * reader->body_max + (64 << 10) : reader->limits->header_bytes;

	return max > reader->fed ? (len < max - reader->fed ? len : max - reader->fed)
	    : 0;
}

size_t
http_feed(struct http_reader *reader, const void *bytes, size_t len)
{
	size_t done = 0, room, took;
	enum http_stage stage;

	if (reader->stage >= STAGE_WHOLE)
		return 0;
	do {
		room = stage_room(reader, len - done);
		if (reader->stage == STAGE_FRESH && len > 0)
			reader->stage = STAGE_HEAD;
		if (room == 0 && len > 0) {
			if (reader->stage == STAGE_BODY)
				bad(reader, AG_REQUEST_TOO_LARGE, "body",
				    "the body is too large");
			else
				bad(reader, AG_HEADERS_TOO_LARGE, NULL,
				    "the header is too large");
			reader->stage = STAGE_BAD;
			return done;
		}
		stage = reader->stage;
		reader->mark = (const char *)bytes + done;
		took = http_parser_execute(&reader->parser, &settings,
		    reader->mark, room);
		done += took;
		if (reader->stage == stage)
			reader->fed += took;
		if (reader->stage != STAGE_WHOLE &&
		    HTTP_PARSER_ERRNO(&reader->parser) != HPE_OK)
			parser_failed(reader);
		if (reader->stage != STAGE_BAD && len > 0 && !lines_ok(reader,
		    reader->mark, (size_t)((const char *)bytes + done - reader->mark))) {
			bad_line(reader);
			reader->stage = STAGE_BAD;
		}
	} while (reader->stage < STAGE_WHOLE && done < len);
	if (len == 0 && reader->stage != STAGE_WHOLE && reader->stage != STAGE_FRESH)
		parser_failed(reader);
	return done;
}

const char *
http_field(const struct http_reader *reader, enum http_field field)
{
	uint32_t at = reader->fields[field];

	return at == 0 ? NULL : reader->head + at;
}

static bool
is_type(const struct http_reader *reader, const char *wanted)
{
	const char *type = http_field(reader, FIELD_CONTENT_TYPE);
	size_t len = type == NULL ? 0 : strcspn(type, "; \t");

	return len == strlen(wanted) && strncasecmp(type, wanted, len) == 0;
}

bool
http_is_json(const struct http_reader *reader)
{
	return is_type(reader, "application/json");
}

bool
http_is_form(const struct http_reader *reader)
{
	return is_type(reader, "application/x-www-form-urlencoded");
}

const char *
http_method(const struct http_reader *reader)
{
	return http_method_str(reader->parser.method);
}

const char *
http_path(const struct http_reader *reader, size_t *len)
{
	*len = reader->target_len;
	return reader->head == NULL ? "" : reader->head;
}

char *
http_query(struct http_reader *reader)
{
	return reader->query_at == 0 ? NULL : reader->head + reader->query_at;
}
