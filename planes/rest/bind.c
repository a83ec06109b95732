/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A REST request as the message of its operation: body or query, the path's
 * parameters, and what the head adds.
 */
#include "rest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SECOND_MAX = 32 }; /* bytes of a path parameter's name */

/* Members from headers: where an event stream goes on, and which query
 * parameters are a stream's alone. */
static bool
bind_stream(struct conn *conn, uint16_t op, void *msg, struct refuse *refuse)
{
	const char *last = http_field(&conn->in, FIELD_LAST_EVENT_ID);
	Ag__AuditQueryAsk *ask = msg;

	if (op == AG_MSG_AUDIT_QUERY && ask->has_from_seq) {
		refuse_set(refuse, AG_INVALID_FIELD, "unknown_field", "?from_seq",
		    "of the stream only");
		return false;
	}
	if (op != AG_MSG_AUDIT_STREAM || last == NULL)
		return true;
	if (*last < '0' || *last > '9' || strlen(last) > 18 ||
	    strspn(last, "0123456789") != strlen(last)) {
		refuse_set(refuse, AG_INVALID_FIELD, "wrong_type", "Last-Event-ID",
		    "a sequence number is expected");
		return false;
	}
	ask->has_from_seq = 1;
	ask->from_seq = strtoull(last, NULL, 10) + 1;
	return true;
}

/* A form, as those who send clicks on do. Its bytes are what they signed, and iam
 * reads them: nothing that is read here could be trusted more than this plane. */
static void *
bind_callback(struct conn *conn, struct refuse *refuse)
{
	struct http_reader *in = &conn->in;
	struct pool *pool = &conn->plane->pool;
	Ag__CallbackAsk *ask;

	if (!http_is_form(in)) {
		refuse_set(refuse, AG_UNSUPPORTED_MEDIA_TYPE, NULL, "Content-Type",
		    "application/x-www-form-urlencoded is expected");
		return NULL;
	}
	if ((ask = pool_alloc(pool, sizeof(*ask))) == NULL) {
		refuse_set(refuse, AG_REQUEST_TOO_LARGE, "body", NULL,
		    "the body is too large");
		return NULL;
	}
	ag__callback_ask__init(ask);
	ask->has_body = true;
	ask->body.data = in->body;
	ask->body.len = in->body_len;
	ask->signature = (char *)(uintptr_t)http_field(in, FIELD_SLACK_SIGNATURE);
	ask->timestamp = (char *)(uintptr_t)http_field(in, FIELD_SLACK_TIMESTAMP);
	return ask;
}

static void *
bind_input(struct conn *conn, const struct ag_operation *op,
    struct codec_batch *batch, struct refuse *refuse)
{
	enum route_method method = conn->in.match.route->method;
	struct http_reader *in = &conn->in;
	struct pool *pool = &conn->plane->pool;

	if (method == METHOD_GET || method == METHOD_DELETE) {
		if (in->body_len == 0)
			return codec_bind_query(pool, op->ask, http_query(in), refuse);
		refuse_set(refuse, AG_MALFORMED_REQUEST, "http", NULL,
		    "%s takes no body", route_method_name(method));
		return NULL;
	}
	if (op->type == AG_MSG_APPROVAL_CALLBACK)
		return bind_callback(conn, refuse);
	if (in->body_len > 0 && !http_is_json(in)) {
		refuse_set(refuse, AG_UNSUPPORTED_MEDIA_TYPE, NULL, "Content-Type",
		    "application/json is expected");
		return NULL;
	}
	if (http_query(in) != NULL && codec_bind_query(pool,
	    &ag__nothing__descriptor, http_query(in), refuse) == NULL)
		return NULL;
	return codec_bind_body(pool, op->ask, in->body, in->body_len, batch, refuse);
}

/* The second name in a path is the member of that name. */
static void
set_second(const struct conn *conn, void *msg)
{
	const char *at = strrchr(conn->in.match.route->path, '{');
	char name[SECOND_MAX];

	if (conn->in.match.param_count < 2)
		return;
	(void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(at + 1, "}"),
	    at + 1);
	codec_set_string(msg, name, conn->in.match.params[1]);
}

static void *
bind_message(struct conn *conn, Ag__Request *request, struct refuse *refuse)
{
	const struct ag_operation *op = conn->op;
	struct codec_batch batch = { 0, NULL };
	void *msg = bind_input(conn, op, &batch, refuse);

	if (msg == NULL || (op->ask == &ag__audit_query_ask__descriptor &&
	    !bind_stream(conn, op->type, msg, refuse)))
		return NULL;
	set_second(conn, msg);
	if (batch.items > 0) {
		request->has_items = 1;
		request->items = batch.items;
		request->scope_op = (char *)(uintptr_t)batch.scope_op;
	}
	return msg;
}

void *
rest_bind(struct conn *conn, Ag__Request *request, struct refuse *refuse)
{
	void *msg = bind_message(conn, request, refuse);

	return request_conditions(conn, request, refuse) ? msg : NULL;
}
