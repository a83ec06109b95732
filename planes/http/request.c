/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request from its last byte to its end: numbered, admitted, bound, sent to
 * iam; or refused by ourselves, which is recorded like everything else before
 * it is answered. No answer leaves without its record, but 503
 * Unavailable/audit, which is counted and owed to the log.
 */
#include "plane.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum {
	REQUEST_OVERHEAD_BYTES = 512,
	VISIBLE_MAX = 64,
	/* Without one more unrecorded answer: longer than any of an outage waits. */
	OWED_QUIET_MS = 3000,
};

/* ------------------------------------------------------------ bookkeeping */

struct conn *
request_find(struct plane *plane, uint64_t n)
{
	struct conn *conn = plane->buckets[n % PLANE_BUCKETS];

	while (conn != NULL && conn->n != n)
		conn = conn->next;
	return conn;
}

static void
request_number(struct conn *conn)
{
	struct plane *plane = conn->plane;
	struct conn **bucket;

	if (conn->n != 0)
		return;
	conn->n = ++plane->n;
	bucket = &plane->buckets[conn->n % PLANE_BUCKETS];
	conn->next = *bucket;
	*bucket = conn;
	ag_metric_set(plane->ctx, PM_IN_FLIGHT, ++plane->in_flight);
}

void
request_forget(struct conn *conn)
{
	struct plane *plane = conn->plane;
	struct conn **link;

	if (conn->credit > 0)
		ag_credit_give(plane->ctx, conn->credit);
	conn->credit = 0;
	if (conn->n == 0)
		return;
	link = &plane->buckets[conn->n % PLANE_BUCKETS];
	while (*link != NULL && *link != conn)
		link = &(*link)->next;
	if (*link != NULL)
		*link = conn->next;
	conn->n = 0;
	ag_metric_set(plane->ctx, PM_IN_FLIGHT, --plane->in_flight);
}

void
request_stamp(struct conn *conn)
{
	const struct route *route = conn->in.match.route;
	struct ag_ctx *ctx = conn->plane->ctx;

	conn->occurred_at = ag_now_ms(ctx);
	conn->received_us = ag_mono_us(ctx);
	conn->retry_after_s = 0;
	conn->op = route == NULL ? NULL : ag_operation_find(route->op);
	ag_uuid7(conn->occurred_at, conn->request_id);
	ag_metric_add(ctx, PM_REQUESTS, 1);
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

/* For the log: no control characters, no more than PLANE_USER_AGENT_MAX. */
static char *
user_agent(struct conn *conn)
{
	const char *text = http_field(&conn->in, FIELD_USER_AGENT);
	char *copy;
	size_t len, i;

	if (text == NULL)
		return NULL;
	len = strnlen(text, PLANE_USER_AGENT_MAX);
	if ((copy = pool_strndup(&conn->plane->pool, text, len)) == NULL)
		return NULL;
	for (i = 0; i < len; i++)
		if (copy[i] < ' ' || copy[i] > '~')
			copy[i] = '?';
	return copy;
}

/* NULL: none. Of another scheme than the operation's it is malformed, and iam's
 * to refuse. */
const char *
request_credential(const struct conn *conn)
{
	bool basic = conn->op != NULL && (conn->op->flags & AG_OP_BASIC) != 0;
	const char *text = http_field(&conn->in, FIELD_AUTHORIZATION);
	const char *scheme = basic ? "Basic " : "Bearer ";

	if (text == NULL)
		return NULL;
	if (strncasecmp(text, scheme, strlen(scheme)) != 0)
		return "";
	text += strlen(scheme);
	return text + strspn(text, " ");
}

/* Everything but the credential. Strings last until the pool is reset or the
 * connection's next request. */
static void
request_fill(struct conn *conn, Ag__Request *request)
{
	const char *id = http_field(&conn->in, FIELD_REQUEST_ID);

	ag__request__init(request);
	request->request_id.data = conn->request_id;
	request->request_id.len = sizeof(conn->request_id);
	request->boot = ag_boot(conn->plane->ctx);
	request->n = conn->n;
	request->occurred_at = conn->occurred_at;
	request->received_us = conn->received_us;
	request->source_address = conn->address;
	request->user_agent = user_agent(conn);
	if (id != NULL && is_visible(id))
		request->client_request_id = (char *)(uintptr_t)id;
	trace_fill(conn, request);
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
outcome_send(struct plane *plane, Ag__Request *request, const struct refuse *refuse,
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
	return ag_send(plane->ctx, plane_audit(plane), AG_MSG_OUTCOME_EVENT, &outcome);
}

/* conn->own goes to audit; the answer waits for it. */
static void
request_tell(struct conn *conn)
{
	const struct ag_operation *op = conn->op;
	struct plane *plane = conn->plane;
	Ag__Request request;
	ag_err err;

	request_number(conn);
	request_fill(conn, &request);
	conn_place(conn, CONN_TOLD);
	err = outcome_send(plane, &request, &conn->own,
	    op == NULL ? "system.request" : op->operation, 0);
	pool_reset(&plane->pool);
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
	ag_metric_add(conn->plane->ctx, PM_FRAMING, 1);
	conn->last = true;
	conn->own = conn->in.refuse;
	request_tell(conn);
}

/* The cause, under the id that the client is told. */
static void
say_failed(struct conn *conn, const char *event, const char *cause)
{
	const struct ag_operation *op = conn->op;
	char id[AG_UUID_TEXT];

	ag_uuid_text(conn->request_id, id);
	ag_log(conn->plane->ctx, AG_WARN, event, "request_id=%s operation=%s "
	    "cause=\"%s\"", id, op == NULL ? "-" : op->operation, cause);
}

void
request_unrecorded(struct conn *conn)
{
	struct plane *plane = conn->plane;

	ag_metric_add(plane->ctx, PM_UNRECORDED, 1);
	say_failed(conn, "REQUEST-UNRECORDED", "audit did not record it in time");
	plane->owed++;
	plane->owed_ms = ag_mono_ms(plane->ctx);
	refuse_set(&conn->own, AG_UNAVAILABLE,
	    "audit", NULL,
	    "the answer could not be recorded");
	answer_own(conn);
}

void
request_timeout(struct conn *conn)
{
	const struct ag_operation *op = conn->op;
	bool changes = op == NULL || (op->flags & AG_OP_READ) == 0;

	ag_metric_add(conn->plane->ctx, PM_TIMEOUTS, 1);
	say_failed(conn, "REQUEST-TIMEOUT", "no station answered in time");
	request_refuse(conn, AG_DEADLINE_EXCEEDED,
	    changes ? "outcome_unknown" : NULL, changes ?
	    "the answer did not come in time; it may still have been done" :
	    "the answer did not come in time");
}

void
request_overloaded(struct conn *conn)
{
	ag_metric_add(conn->plane->ctx, PM_OVERLOADS, 1);
	conn->retry_after_s = 1;
	request_refuse(conn, AG_UNAVAILABLE, "overloaded",
	    "too many requests are under way");
}

/* An event that stands for many: it has a number and an id of its own, and
 * nobody waits for it. */
bool
request_report(struct plane *plane, const struct refuse *refuse,
    const char *address, uint64_t count)
{
	Ag__Request request = AG__REQUEST__INIT;
	uint8_t id[AG_UUID_BYTES];

	if (!ag_slot_up(plane->ctx, plane_audit(plane)))
		return false;
	ag_uuid7(ag_now_ms(plane->ctx), id);
	request.request_id.data = id;
	request.request_id.len = sizeof(id);
	request.boot = ag_boot(plane->ctx);
	request.n = ++plane->n;
	request.occurred_at = ag_now_ms(plane->ctx);
	request.received_us = ag_mono_us(plane->ctx);
	request.source_address = (char *)(uintptr_t)address;
	return outcome_send(plane, &request, refuse, "system.request", count) == AG_OK;
}

/* Answers that left without a record, in one event of no request: not before the
 * last of them has left, as far as can be known. */
void
request_pay_debt(struct plane *plane, bool now)
{
	Ag__OutcomeEvent outcome = AG__OUTCOME_EVENT__INIT;
	Ag__Refusal refusal = AG__REFUSAL__INIT;

	if (plane->owed == 0 || !ag_slot_up(plane->ctx, plane_audit(plane)) ||
	    (!now && ag_mono_ms(plane->ctx) < plane->owed_ms + OWED_QUIET_MS))
		return;
	refusal.err = AG_UNAVAILABLE;
	refusal.reason_code = (char *)(uintptr_t)"audit";
	outcome.event_type = AG__EVENT_TYPE__V__system;
	outcome.outcome = AG__OUTCOME_KIND__V__failed;
	outcome.operation = (char *)(uintptr_t)"system.unrecorded";
	outcome.refusal = &refusal;
	outcome.has_suppressed = 1;
	outcome.suppressed = plane->owed;
	if (ag_send(plane->ctx, plane_audit(plane), AG_MSG_OUTCOME_EVENT,
	    &outcome) == AG_OK)
		plane->owed = 0;
}

/* ------------------------------------------------------------ on the ring */

/* Fields of the head that only some operations take. */
bool
request_conditions(struct conn *conn, Ag__Request *request,
    struct refuse *refuse)
{
	const char *key = http_field(&conn->in, FIELD_IDEMPOTENCY_KEY);
	const char *path, *method = http_method(&conn->in);
	size_t path_len, method_len = strlen(method);

	request->credential = (char *)(uintptr_t)request_credential(conn);
	request->if_match =
	    (char *)(uintptr_t)http_field(&conn->in, FIELD_IF_MATCH);
	request->step_up = (char *)(uintptr_t)http_field(&conn->in, FIELD_STEP_UP);
	request->dev_identity =
	    (char *)(uintptr_t)http_field(&conn->in, FIELD_DEV_IDENTITY);
	request->approval = (char *)(uintptr_t)http_field(&conn->in, FIELD_APPROVAL);
	request->break_glass =
	    (char *)(uintptr_t)http_field(&conn->in, FIELD_BREAK_GLASS);
	request->said = (char *)(uintptr_t)http_field(&conn->in, FIELD_REASON);
	if (key == NULL || (conn->op->flags & AG_OP_IDEM) == 0)
		return true;
	if (!is_visible(key)) {
		refuse_set(refuse, AG_INVALID_FIELD, "out_of_range",
		    "Idempotency-Key", "1 to 64 visible ASCII characters");
		return false;
	}
	request->idempotency_key = (char *)(uintptr_t)key;
	path = http_path(&conn->in, &path_len);
	request->route = pool_zalloc(&conn->plane->pool, method_len + path_len + 2);
	if (request->route != NULL) {
		memcpy(request->route, method, method_len);
		request->route[method_len] = ' ';
		memcpy(request->route + method_len + 1, path, path_len);
	}
	return true;
}

/* What is refused goes to iam all the same, which says who it was. */
static void *
refused_message(struct conn *conn, Ag__Request *request)
{
	struct pool *pool = &conn->plane->pool;
	struct refuse ignored = { .err = AG_OK };
	Ag__Refusal *refusal = request->refusal;
	void *msg = pool_zalloc(pool, conn->op->ask->sizeof_message);

	if (msg == NULL) { /* the pool was filled by what is refused */
		pool_reset(pool);
		request_fill(conn, request);
		if (!request_conditions(conn, request, &ignored))
			request->idempotency_key = NULL;
		request->refusal = refusal;
		msg = pool_zalloc(pool, conn->op->ask->sizeof_message);
	}
	protobuf_c_message_init(conn->op->ask, msg);
	return msg;
}

static void
request_ask(struct conn *conn)
{
	struct plane *plane = conn->plane;
	Ag__Refusal refusal = AG__REFUSAL__INIT;
	struct refuse refuse = { .err = AG_OK };
	enum conn_state state;
	Ag__Request request;
	void *msg;
	ag_err err;

	request_number(conn);
	request_fill(conn, &request);
	msg = plane->protocol->bind(conn, &request, &refuse);
	if (msg == NULL) {
		refusal.err = refuse.err;
		refusal.reason_code = (char *)(uintptr_t)refuse.reason;
		refusal.field = refuse.field[0] == '\0' ? NULL : refuse.field;
		refusal.detail = refuse.detail;
		request.refusal = &refusal;
		msg = refused_message(conn, &request);
	}
	state = (conn->op->flags & AG_OP_SLOW) != 0 ? CONN_ASKED_SLOW : CONN_ASKED;
	conn_place(conn, state);
	err = ag_request(plane->ctx, conn->op->type, &request,
	    ag_mono_ms(plane->ctx) + plane->state_ms[state], msg);
	pool_reset(&plane->pool);
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

	if (!ag_credit_take(conn->plane->ctx, bytes))
		return false;
	conn->credit = bytes;
	request_ask(conn);
	return true;
}

void
request_admit_waiting(struct plane *plane)
{
	struct conn *conn;

	while ((conn = TAILQ_FIRST(&plane->lists[CONN_CREDIT])) != NULL &&
	    request_admit(conn))
		;
}

static bool
request_limited(struct conn *conn)
{
	if (limit_allows(conn, &conn->retry_after_s)) {
		conn->limited = 0;
		return false;
	}
	conn->limited++;
	/* Recorded with the others of this address, not by itself. */
	refuse_set(&conn->own, AG_RATE_LIMITED, "address", NULL,
	    "too many requests from this address");
	answer_own(conn);
	return true;
}

void
request_start(struct conn *conn)
{
	struct plane *plane = conn->plane;
	const struct route_match *match = &conn->in.match;

	request_stamp(conn);
	if (conn->proxied)
		address_forwarded(conn);
	if (plane->protocol->check != NULL && !plane->protocol->check(conn))
		return;
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
	if (match->route->op == 0) {
		plane->protocol->page(conn);
		return;
	}
	if (request_limited(conn))
		return;
	if (!ag_slot_up(plane->ctx, plane_audit(plane))) {
		request_unrecorded(conn); /* fail closed, before anything is done */
		return;
	}
	if (!ag_slot_up(plane->ctx, plane_iam(plane))) {
		conn->retry_after_s = 1;
		request_refuse(conn, AG_UNAVAILABLE, "starting",
		    "the service is starting");
		return;
	}
	if (plane->draining) {
		conn->retry_after_s = 1;
		request_refuse(conn, AG_UNAVAILABLE, "draining",
		    "the service is stopping");
		return;
	}
	/* First come, first served: nobody overtakes those who wait. */
	if (!TAILQ_EMPTY(&plane->lists[CONN_CREDIT]) || !request_admit(conn))
		conn_place(conn, CONN_CREDIT);
}
