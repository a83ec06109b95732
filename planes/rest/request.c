/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request from its last byte to its end: numbered, admitted, bound, sent to
 * iam; or refused by ourselves, which is recorded like everything else before
 * it is answered. No answer leaves without its record, but 503
 * Unavailable/audit, which is counted and owed to the log.
 */
#include "rest.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { REQUEST_OVERHEAD_BYTES = 512, VISIBLE_MAX = 64 };

/* ------------------------------------------------------------ bookkeeping */

struct conn *
request_find(struct rest *rest, uint64_t n)
{
	struct conn *conn = rest->buckets[n % REST_BUCKETS];

	while (conn != NULL && conn->n != n)
		conn = conn->next;
	return conn;
}

static void
request_number(struct conn *conn)
{
	struct rest *rest = conn->rest;
	struct conn **bucket;

	if (conn->n != 0)
		return;
	conn->n = ++rest->n;
	bucket = &rest->buckets[conn->n % REST_BUCKETS];
	conn->next = *bucket;
	*bucket = conn;
	ag_metric_set(rest->ctx, RM_IN_FLIGHT, ++rest->in_flight);
}

void
request_forget(struct conn *conn)
{
	struct rest *rest = conn->rest;
	struct conn **link;

	if (conn->credit > 0)
		ag_credit_give(rest->ctx, conn->credit);
	conn->credit = 0;
	if (conn->n == 0)
		return;
	link = &rest->buckets[conn->n % REST_BUCKETS];
	while (*link != NULL && *link != conn)
		link = &(*link)->next;
	if (*link != NULL)
		*link = conn->next;
	conn->n = 0;
	ag_metric_set(rest->ctx, RM_IN_FLIGHT, --rest->in_flight);
}

void
request_stamp(struct conn *conn)
{
	struct ag_ctx *ctx = conn->rest->ctx;

	conn->occurred_at = ag_now_ms(ctx);
	conn->received_us = ag_mono_us(ctx);
	conn->retry_after_s = 0;
	ag_uuid7(conn->occurred_at, conn->request_id);
	ag_metric_add(ctx, RM_REQUESTS, 1);
}

/* ------------------------------------------- what a request says of itself */

/* Visible ASCII, 1 to VISIBLE_MAX. */
static bool
is_visible(const char *text)
{
	size_t len = strlen(text), i;

	for (i = 0; i < len; i++)
		if (text[i] <= ' ' || text[i] > '~')
			return false;
	return len > 0 && len <= VISIBLE_MAX;
}

/* For the log: no control characters, no more than REST_USER_AGENT_MAX. */
static char *
user_agent(struct conn *conn)
{
	const char *text = http_field(&conn->in, FIELD_USER_AGENT);
	char *copy;
	size_t len, i;

	if (text == NULL)
		return NULL;
	len = strnlen(text, REST_USER_AGENT_MAX);
	if ((copy = pool_strndup(&conn->rest->pool, text, len)) == NULL)
		return NULL;
	for (i = 0; i < len; i++)
		if (copy[i] < ' ' || copy[i] > '~')
			copy[i] = '?';
	return copy;
}

static bool
hex_run(const char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if ((text[i] < '0' || text[i] > '9') && (text[i] < 'a' || text[i] > 'f'))
			return false;
	return true;
}

/* W3C Trace Context §3.2: version-trace-parent-flags. */
bool
request_trace(const struct conn *conn, char *trace, char *flags)
{
	static const char none[] = "00000000000000000000000000000000";
	const char *text = http_field(&conn->in, FIELD_TRACEPARENT);

	if (text == NULL || strlen(text) < 55 || !hex_run(text, 2) ||
	    text[2] != '-' || !hex_run(text + 3, 32) || text[35] != '-' ||
	    !hex_run(text + 36, 16) || text[52] != '-' || !hex_run(text + 53, 2) ||
	    (text[55] != '\0' && (text[55] != '-' || memcmp(text, "00", 2) == 0)) ||
	    memcmp(text, "ff", 2) == 0 || memcmp(text + 3, none, 32) == 0 ||
	    memcmp(text + 36, none, 16) == 0)
		return false;
	memcpy(trace, text + 3, 32);
	trace[32] = '\0';
	memcpy(flags, text + 53, 2);
	flags[2] = '\0';
	return true;
}

/* NULL: none. Something else than a bearer token is a token that is malformed,
 * and iam's to refuse. */
static const char *
credential(const struct conn *conn)
{
	const char *text = http_field(&conn->in, FIELD_AUTHORIZATION);

	if (text == NULL)
		return NULL;
	if (strncasecmp(text, "Bearer ", 7) != 0)
		return "";
	text += 7;
	return text + strspn(text, " ");
}

static const struct ag_operation *
operation(const struct conn *conn)
{
	const struct route *route = conn->in.match.route;

	return route == NULL ? NULL : ag_operation_find(route->op);
}

/* Everything but the credential. Strings last until the pool is reset or the
 * connection's next request. */
static void
request_fill(struct conn *conn, Ag__Request *request)
{
	const char *id = http_field(&conn->in, FIELD_REQUEST_ID);
	char trace[33], flags[3];

	ag__request__init(request);
	request->request_id.data = conn->request_id;
	request->request_id.len = sizeof(conn->request_id);
	request->boot = ag_boot(conn->rest->ctx);
	request->n = conn->n;
	request->occurred_at = conn->occurred_at;
	request->received_us = conn->received_us;
	request->source_address = conn->address;
	request->user_agent = user_agent(conn);
	if (id != NULL && is_visible(id))
		request->client_request_id = (char *)(uintptr_t)id;
	if (request_trace(conn, trace, flags))
		request->trace_id = pool_strndup(&conn->rest->pool, trace, 32);
	if (conn->in.match.param_count > 0)
		request->selector = (char *)(uintptr_t)conn->in.match.params[0];
}

/* --------------------------------------------------- refused by ourselves */

static Ag__OutcomeKind__V
outcome_kind(ag_err err)
{
	int status = ag_err_row(err)->http;

	if (err == AG_DEADLINE_EXCEEDED)
		return AG__OUTCOME_KIND__V__unknown;
	return status == 401 || status == 403 || status == 429 ?
	    AG__OUTCOME_KIND__V__denied : AG__OUTCOME_KIND__V__failed;
}

static ag_err
outcome_send(struct rest *rest, Ag__Request *request, const struct refuse *refuse,
    const char *name, uint64_t suppressed)
{
	Ag__OutcomeEvent outcome = AG__OUTCOME_EVENT__INIT;
	Ag__Refusal refusal = AG__REFUSAL__INIT;

	refusal.err = refuse->err;
	refusal.reason_code = (char *)(uintptr_t)refuse->reason;
	if (refuse->field[0] != '\0')
		refusal.field = (char *)(uintptr_t)refuse->field;
	refusal.detail = (char *)(uintptr_t)refuse->detail;
	outcome.event_type = AG__EVENT_TYPE__V__request;
	outcome.request = request;
	outcome.outcome = outcome_kind(refuse->err);
	outcome.operation = (char *)(uintptr_t)name;
	outcome.refusal = &refusal;
	outcome.has_status = 1;
	outcome.status = (uint32_t)ag_err_row(refuse->err)->http;
	outcome.has_suppressed = suppressed > 0;
	outcome.suppressed = suppressed;
	return ag_send(rest->ctx, rest_audit(rest), AG_MSG_OUTCOME_EVENT, &outcome);
}

/* conn->own goes to audit; the answer waits for it. */
static void
request_tell(struct conn *conn)
{
	const struct ag_operation *op = operation(conn);
	struct rest *rest = conn->rest;
	Ag__Request request;
	ag_err err;

	request_number(conn);
	request_fill(conn, &request);
	conn_place(conn, CONN_TOLD);
	err = outcome_send(rest, &request, &conn->own,
	    op == NULL ? "system.request" : op->operation, 0);
	pool_reset(&rest->pool);
	if (err != AG_OK)
		request_unrecorded(conn);
}

void
request_refuse(struct conn *conn, ag_err err, const char *reason,
    const char *detail)
{
	refuse_set(&conn->own, err, reason, NULL, "%s", detail);
	request_tell(conn);
}

void
request_refuse_framing(struct conn *conn)
{
	request_stamp(conn);
	ag_metric_add(conn->rest->ctx, RM_FRAMING, 1);
	conn->last = true;
	conn->own = conn->in.refuse;
	request_tell(conn);
}

/* The cause, under the id that the client is told. */
static void
say_failed(struct conn *conn, const char *event, const char *cause)
{
	const struct ag_operation *op = operation(conn);
	char id[AG_UUID_TEXT];

	ag_uuid_text(conn->request_id, id);
	ag_log(conn->rest->ctx, AG_WARN, event, "request_id=%s operation=%s "
	    "cause=\"%s\"", id, op == NULL ? "-" : op->operation, cause);
}

void
request_unrecorded(struct conn *conn)
{
	struct rest *rest = conn->rest;

	ag_metric_add(rest->ctx, RM_UNRECORDED, 1);
	say_failed(conn, "REQUEST-UNRECORDED", "audit did not record it in time");
	rest->owed++;
	refuse_set(&conn->own, AG_UNAVAILABLE,
	    "audit", NULL,
	    "the answer could not be recorded");
	answer_own(conn);
}

void
request_timeout(struct conn *conn)
{
	const struct ag_operation *op = operation(conn);
	bool changes = op == NULL || (op->flags & AG_OP_READ) == 0;

	ag_metric_add(conn->rest->ctx, RM_TIMEOUTS, 1);
	say_failed(conn, "REQUEST-TIMEOUT", "no station answered in time");
	request_refuse(conn, AG_DEADLINE_EXCEEDED,
	    changes ? "outcome_unknown" : NULL, changes ?
	    "the answer did not come in time; it may still have been done" :
	    "the answer did not come in time");
}

void
request_overloaded(struct conn *conn)
{
	ag_metric_add(conn->rest->ctx, RM_OVERLOADS, 1);
	conn->retry_after_s = 1;
	request_refuse(conn, AG_UNAVAILABLE, "overloaded",
	    "too many requests are under way");
}

/* An event that stands for many: it has a number and an id of its own, and
 * nobody waits for it. */
bool
request_report(struct rest *rest, const struct refuse *refuse,
    const char *address, uint64_t count)
{
	Ag__Request request = AG__REQUEST__INIT;
	uint8_t id[AG_UUID_BYTES];

	if (!ag_slot_up(rest->ctx, rest_audit(rest)))
		return false;
	ag_uuid7(ag_now_ms(rest->ctx), id);
	request.request_id.data = id;
	request.request_id.len = sizeof(id);
	request.boot = ag_boot(rest->ctx);
	request.n = ++rest->n;
	request.occurred_at = ag_now_ms(rest->ctx);
	request.received_us = ag_mono_us(rest->ctx);
	request.source_address = (char *)(uintptr_t)address;
	return outcome_send(rest, &request, refuse, "system.request", count) == AG_OK;
}

/* Answers that left without a record, in one event of no request. */
void
request_pay_debt(struct rest *rest)
{
	Ag__OutcomeEvent outcome = AG__OUTCOME_EVENT__INIT;
	Ag__Refusal refusal = AG__REFUSAL__INIT;

	if (rest->owed == 0 || !ag_slot_up(rest->ctx, rest_audit(rest)))
		return;
	refusal.err = AG_UNAVAILABLE;
	refusal.reason_code = (char *)(uintptr_t)"audit";
	outcome.event_type = AG__EVENT_TYPE__V__system;
	outcome.outcome = AG__OUTCOME_KIND__V__failed;
	outcome.operation = (char *)(uintptr_t)"system.unrecorded";
	outcome.refusal = &refusal;
	outcome.has_suppressed = 1;
	outcome.suppressed = rest->owed;
	if (ag_send(rest->ctx, rest_audit(rest), AG_MSG_OUTCOME_EVENT,
	    &outcome) == AG_OK)
		rest->owed = 0;
}

/* ------------------------------------------------------------ on the ring */

static bool
is_json(const char *type)
{
	size_t len = type == NULL ? 0 : strcspn(type, "; \t");

	return len == 16 && strncasecmp(type, "application/json", 16) == 0;
}

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

static void *
bind_input(struct conn *conn, const struct ag_operation *op,
    struct codec_batch *batch, struct refuse *refuse)
{
	enum route_method method = conn->in.match.route->method;
	struct http_reader *in = &conn->in;
	struct pool *pool = &conn->rest->pool;

	if (method == METHOD_GET || method == METHOD_DELETE) {
		if (in->body_len == 0)
			return codec_bind_query(pool, op->ask, http_query(in), refuse);
		refuse_set(refuse, AG_MALFORMED_REQUEST, "http", NULL,
		    "%s takes no body", route_method_name(method));
		return NULL;
	}
	if (in->body_len > 0 && !is_json(http_field(in, FIELD_CONTENT_TYPE))) {
		refuse_set(refuse, AG_UNSUPPORTED_MEDIA_TYPE, NULL, "Content-Type",
		    "application/json is expected");
		return NULL;
	}
	if (http_query(in) != NULL && codec_bind_query(pool,
	    &ag__nothing__descriptor, http_query(in), refuse) == NULL)
		return NULL;
	return codec_bind_body(pool, op->ask, in->body, in->body_len, batch, refuse);
}

/* The message of the operation, or NULL and why. */
static void *
request_bind(struct conn *conn, const struct ag_operation *op,
    Ag__Request *request, struct refuse *refuse)
{
	struct codec_batch batch = { 0, NULL };
	void *msg = bind_input(conn, op, &batch, refuse);

	if (msg == NULL || (op->ask == &ag__audit_query_ask__descriptor &&
	    !bind_stream(conn, op->type, msg, refuse)))
		return NULL;
	if (conn->in.match.param_count > 1)
		codec_set_string(msg, "role", conn->in.match.params[1]);
	if (batch.items > 0) {
		request->has_items = 1;
		request->items = batch.items;
		request->scope_op = (char *)(uintptr_t)batch.scope_op;
	}
	return msg;
}

/* Fields of the head that only some operations take. */
static bool
request_conditions(struct conn *conn, const struct ag_operation *op,
    Ag__Request *request, struct refuse *refuse)
{
	const char *key = http_field(&conn->in, FIELD_IDEMPOTENCY_KEY);
	const char *path, *method = http_method(&conn->in);
	size_t path_len, method_len = strlen(method);

	request->credential = (char *)(uintptr_t)credential(conn);
	request->if_match =
	    (char *)(uintptr_t)http_field(&conn->in, FIELD_IF_MATCH);
	request->step_up = (char *)(uintptr_t)http_field(&conn->in, FIELD_STEP_UP);
	request->dev_identity =
	    (char *)(uintptr_t)http_field(&conn->in, FIELD_DEV_IDENTITY);
	if (key == NULL || (op->flags & AG_OP_IDEM) == 0)
		return true;
	if (!is_visible(key)) {
		refuse_set(refuse, AG_INVALID_FIELD, "out_of_range",
		    "Idempotency-Key", "1 to 64 visible ASCII characters");
		return false;
	}
	request->idempotency_key = (char *)(uintptr_t)key;
	path = http_path(&conn->in, &path_len);
	request->route = pool_zalloc(&conn->rest->pool, method_len + path_len + 2);
	if (request->route != NULL) {
		memcpy(request->route, method, method_len);
		request->route[method_len] = ' ';
		memcpy(request->route + method_len + 1, path, path_len);
	}
	return true;
}

static void
request_ask(struct conn *conn)
{
	struct rest *rest = conn->rest;
	const struct ag_operation *op = operation(conn);
	Ag__Refusal refusal = AG__REFUSAL__INIT;
	enum conn_state state = (op->flags & AG_OP_SLOW) != 0 ? CONN_ASKED_SLOW :
	    CONN_ASKED;
	struct refuse refuse = { .err = AG_OK };
	Ag__Request request;
	void *msg;
	ag_err err;

	request_number(conn);
	request_fill(conn, &request);
	msg = request_bind(conn, op, &request, &refuse);
	if (!request_conditions(conn, op, &request, &refuse))
		msg = NULL;
	if (msg == NULL) { /* iam says who it was, and refuses it */
		refusal.err = refuse.err;
		refusal.reason_code = (char *)(uintptr_t)refuse.reason;
		refusal.field = refuse.field[0] == '\0' ? NULL : refuse.field;
		refusal.detail = refuse.detail;
		request.refusal = &refusal;
		msg = pool_zalloc(&rest->pool, op->ask->sizeof_message);
		if (msg == NULL) { /* the pool was filled by what is refused */
			pool_reset(&rest->pool);
			request_fill(conn, &request);
			request_conditions(conn, op, &request, &refuse);
			request.refusal = &refusal;
			msg = pool_zalloc(&rest->pool, op->ask->sizeof_message);
		}
		protobuf_c_message_init(op->ask, msg);
	}
	conn_place(conn, state);
	err = ag_request(rest->ctx, op->type, &request,
	    ag_mono_ms(rest->ctx) + rest->state_ms[state], msg);
	pool_reset(&rest->pool);
	if (err != AG_OK)
		request_refuse(conn, AG_UNAVAILABLE,
		    err == AG_NOBODY ? "starting" : "overloaded",
		    "the request could not be passed on");
}

/* Takes credit and sends the request on; false: there is none. */
static bool
request_admit(struct conn *conn)
{
	size_t bytes = conn->in.body_len + REQUEST_OVERHEAD_BYTES;

	if (!ag_credit_take(conn->rest->ctx, bytes))
		return false;
	conn->credit = bytes;
	request_ask(conn);
	return true;
}

void
request_admit_waiting(struct rest *rest)
{
	struct conn *conn;

	while ((conn = TAILQ_FIRST(&rest->lists[CONN_CREDIT])) != NULL &&
	    request_admit(conn))
		;
}

static bool
request_limited(struct conn *conn)
{
	if (limit_allows(conn, &conn->retry_after_s))
		return false;
	/* Recorded with the others of this address, not by itself. */
	refuse_set(&conn->own, AG_RATE_LIMITED, "address", NULL,
	    "too many requests from this address");
	answer_own(conn);
	return true;
}

void
request_start(struct conn *conn)
{
	struct rest *rest = conn->rest;
	const struct route_match *match = &conn->in.match;

	request_stamp(conn);
	if (conn->proxied)
		address_forwarded(conn);
	if (match->route == NULL) {
		if (match->allow == 0 && route_method_named(
		    http_method(&conn->in)) != METHOD_COUNT)
			request_refuse(conn, AG_ROUTE_NOT_FOUND, NULL,
			    "there is no such route");
		else
			request_refuse(conn, AG_METHOD_NOT_ALLOWED, NULL,
			    "the route does not take this method");
		return;
	}
	if (match->route->page != PAGE_NONE) {
		page_answer(conn);
		return;
	}
	if (request_limited(conn))
		return;
	if (!ag_slot_up(rest->ctx, rest_audit(rest))) {
		request_unrecorded(conn); /* fail closed, before anything is done */
		return;
	}
	if (!ag_slot_up(rest->ctx, rest_iam(rest))) {
		conn->retry_after_s = 1;
		request_refuse(conn, AG_UNAVAILABLE, "starting",
		    "the service is starting");
		return;
	}
	if (rest->draining) {
		conn->retry_after_s = 1;
		request_refuse(conn, AG_UNAVAILABLE, "draining",
		    "the service is stopping");
		return;
	}
	/* First come, first served: nobody overtakes those who wait. */
	if (!TAILQ_EMPTY(&rest->lists[CONN_CREDIT]) || !request_admit(conn))
		conn_place(conn, CONN_CREDIT);
}
