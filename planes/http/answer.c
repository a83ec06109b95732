/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers: status line, fields, body, in one buffer and one write. The length
 * is written into its place when the body is known (leading blanks before a
 * field's value are no part of it, RFC 9110 §5.5).
 */
#include "plane.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { LENGTH_DIGITS = 9 }; /* TEXT_MAX_BYTES has eight */

#define LENGTH_FIELD "Content-Length:          \r\n\r\n"

const char *
answer_id(const struct conn *conn, char out[AG_UUID_TEXT])
{
	ag_uuid_text(conn->request_id, out);
	return out;
}

static const char *
date(struct plane *plane)
{
	int64_t now = ag_now_ms(plane->ctx) / 1000;
	time_t seconds = (time_t)now;
	struct tm tm;

	if (now != plane->date_s) {
		plane->date_s = now;
		gmtime_r(&seconds, &tm);
		strftime(plane->date, sizeof(plane->date),
		    "%a, %d %b %Y %H:%M:%S GMT", &tm);
	}
	return plane->date;
}

static bool
will_close(const struct conn *conn)
{
	return conn->last || conn->eof || conn->plane->draining ||
	    !conn->in.keep_alive;
}

void
answer_head(struct conn *conn, struct text *out, unsigned status)
{
	char id[AG_UUID_TEXT];

	text_str(out, "HTTP/1.1 ");
	text_u64(out, status);
	text_char(out, ' ');
	text_str(out, http_status_str((enum http_status)status));
	text_str(out, "\r\nDate: ");
	text_str(out, date(conn->plane));
	text_str(out, "\r\nX-Request-Id: ");
	text_str(out, answer_id(conn, id));
	text_str(out, "\r\nCache-Control: no-store\r\n"
	    "X-Content-Type-Options: nosniff\r\n");
	if (!conn->plain)
		text_str(out, "Strict-Transport-Security: max-age=31536000\r\n");
	if (will_close(conn))
		text_str(out, "Connection: close\r\n");
	else if (conn->in.parser.http_minor == 0)
		text_str(out, "Connection: keep-alive\r\n");
	if (conn->in.stage == STAGE_WHOLE)
		trace_answer(conn, out);
}

size_t
answer_type(struct text *out, const char *type)
{
	if (type != NULL) {
		text_str(out, "Content-Type: ");
		text_str(out, type);
		text_str(out, "\r\n");
	}
	text_str(out, LENGTH_FIELD);
	return out->len;
}

static void
count(struct conn *conn, unsigned status)
{
	struct ag_ctx *ctx = conn->plane->ctx;

	ag_metric_add(ctx, status < 400 ? PM_2XX : status < 500 ? PM_4XX : PM_5XX, 1);
	if (status == 400 || status == 413 || status == 415 || status == 422)
		ag_metric_add(ctx, PM_INVALID, 1);
	ag_metric_observe_us(ctx, PM_LATENCY,
	    ag_mono_us(ctx) - conn->received_us);
}

void
answer_send(struct conn *conn, unsigned status, size_t body_at, bool wipe)
{
	struct text *out = &conn->plane->out;
	char digits[LENGTH_DIGITS + 1];

	count(conn, status);
	if (out->failed) {
		ag_log(conn->plane->ctx, AG_ERROR, "ANSWER-TOO-BIG", "status=%u",
		    status);
		conn->broken = true;
	} else {
		snprintf(digits, sizeof(digits), "%*u", LENGTH_DIGITS,
		    (unsigned)(out->len - body_at));
		memcpy(out->bytes + body_at - 4 - LENGTH_DIGITS, digits,
		    LENGTH_DIGITS);
		conn_write(conn, out->bytes,
		    conn->in.head_only ? body_at : out->len);
	}
	text_reset(out, wipe);
	conn_done(conn);
}

/* ----------------------------------------------------------------- errors */

/* By what a challenge can be answered; a code, if nothing is said. */
static const struct {
	unsigned method;
	const char *name;
} methods[] = {
	{ AG_METHOD_TOTP, "totp" }, { AG_METHOD_WEBAUTHN, "webauthn" },
};

static void
print_methods(struct text *out, const Ag__Refusal *refusal, const char *before,
    const char *between, const char *after)
{
	unsigned has = refusal->has_methods ? refusal->methods : AG_METHOD_TOTP;
	const char *first = "";

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if ((has & methods[i].method) != 0) {
			text_printf(out, "%s%s%s%s", first, before,
			    methods[i].name, after);
			first = between;
		}
}

void
answer_acr(struct text *out, const Ag__Refusal *refusal)
{
	text_str(out, "acr_values=\"");
	print_methods(out, refusal, "urn:aegis:acr:", " ", "");
	text_str(out, "\"");
}

static void
add_challenge(const struct conn *conn, struct text *out,
    const Ag__Refusal *refusal)
{
	ag_err err = (ag_err)refusal->err;
	const char *reason = refusal->reason_code;

	if (conn->op != NULL && (conn->op->flags & AG_OP_BASIC) != 0)
		text_str(out, "WWW-Authenticate: Basic realm=\"aegis\", "
		    "charset=\"UTF-8\"\r\n");
	else if (err == AG_STEP_UP_REQUIRED || err == AG_STEP_UP_FAILED) {
		text_str(out, "WWW-Authenticate: Bearer "
		    "error=\"insufficient_user_authentication\", ");
		answer_acr(out, refusal);
		text_str(out, "\r\n");
	} else if (reason != NULL && strcmp(reason, "token_missing") == 0)
		text_str(out, "WWW-Authenticate: Bearer realm=\"aegis\"\r\n");
	else
		text_str(out, "WWW-Authenticate: Bearer realm=\"aegis\", "
		    "error=\"invalid_token\"\r\n");
}

static void
add_allow(const struct conn *conn, struct text *out)
{
	unsigned allow = conn->in.match.allow, i;
	const char *comma = "";

	text_str(out, "Allow: ");
	for (i = 0; i < METHOD_COUNT; i++)
		if ((allow & 1U << i) != 0) {
			text_str(out, comma);
			text_str(out, route_method_name(i));
			comma = ", ";
		}
	text_str(out, "\r\n");
}

static void
add_step_up(struct text *out, const Ag__Refusal *refusal)
{
	char until[AG_TIME_TEXT];

	if (refusal->challenge_id == NULL)
		return;
	ag_time_text(refusal->expires_at, until);
	text_str(out, ",\"challenge_id\":");
	text_json(out, refusal->challenge_id);
	text_str(out, ",\"methods\":[");
	print_methods(out, refusal, "\"", ",", "\"");
	text_printf(out, "],\"expires_at\":\"%s\"", until);
}

static void
add_approval(struct text *out, const Ag__Refusal *refusal)
{
	char until[AG_TIME_TEXT];

	if (refusal->approval_id == NULL)
		return;
	ag_time_text(refusal->expires_at, until);
	text_str(out, ",\"approval_id\":");
	text_json(out, refusal->approval_id);
	text_printf(out, ",\"expires_at\":\"%s\"", until);
}

void
answer_problem_print(struct conn *conn, struct text *out,
    const Ag__Refusal *refusal)
{
	const struct ag_err_row *row = ag_err_row((ag_err)refusal->err);
	char id[AG_UUID_TEXT];

	text_printf(out, "{\"type\":\"urn:aegis:error:%s\",\"title\":", row->code);
	text_json(out, row->title);
	text_printf(out, ",\"status\":%d,\"detail\":", row->http);
	text_json(out, refusal->detail);
	text_printf(out, ",\"code\":\"%s\",\"reason_code\":", row->code);
	text_json(out, refusal->reason_code);
	text_printf(out, ",\"request_id\":\"%s\",\"hint\":", answer_id(conn, id));
	text_json(out, refusal->hint);
	text_str(out, ",\"field\":");
	text_json(out, refusal->field);
	if (refusal->rule != NULL) {
		text_str(out, ",\"rule\":");
		text_json(out, refusal->rule);
	}
	add_step_up(out, refusal);
	add_approval(out, refusal);
	text_char(out, '}');
}

void
answer_rate(struct text *out, const Ag__DeliverEvent *deliver)
{
	if (deliver != NULL && deliver->provenance != NULL)
		text_printf(out, "Aegis-Provenance: %s\r\n", deliver->provenance);
	if (deliver == NULL || deliver->n_rate < 2)
		return;
	text_printf(out, "RateLimit-Policy: %s\r\nRateLimit: %s\r\n",
	    deliver->rate[0], deliver->rate[1]);
}

void
answer_retry(struct conn *conn, struct text *out, const Ag__Refusal *refusal)
{
	int status = ag_err_row((ag_err)refusal->err)->http;
	unsigned retry_s = refusal->has_retry_after_s ? refusal->retry_after_s :
	    conn->retry_after_s;

	if (status == 429 || status == 503)
		text_printf(out, "Retry-After: %u\r\n", retry_s == 0 ? 1 : retry_s);
}

void
answer_problem(struct conn *conn, const Ag__Refusal *refusal,
    const Ag__DeliverEvent *deliver)
{
	const struct ag_err_row *row = ag_err_row((ag_err)refusal->err);
	unsigned status = (unsigned)row->http;
	struct text *out = &conn->plane->out;
	size_t body_at;

	if (conn->bev == NULL) { /* nobody there to hear it */
		conn_done(conn);
		return;
	}
	answer_head(conn, out, status);
	answer_rate(out, deliver);
	if (status == 401)
		add_challenge(conn, out, refusal);
	if (status == 405)
		add_allow(conn, out);
	answer_retry(conn, out, refusal);
	body_at = answer_type(out, "application/problem+json");
	answer_problem_print(conn, out, refusal);
	answer_send(conn, status, body_at, false);
}

void
answer_own(struct conn *conn)
{
	Ag__Refusal refusal = AG__REFUSAL__INIT;

	refusal.err = conn->own.err;
	refusal.reason_code = (char *)(uintptr_t)conn->own.reason;
	refusal.detail = conn->own.detail;
	refusal.field = conn->own.field[0] == '\0' ? NULL : conn->own.field;
	conn->plane->protocol->problem(conn, &refusal, NULL);
}

void
answer_failed(struct conn *conn, const char *detail)
{
	refuse_set(&conn->own, AG_GENERAL_FAILURE, NULL, NULL, "%s", detail);
	answer_own(conn);
}

/* ---------------------------------------------------------------- success */

static void *
open_reply(struct plane *plane, const struct ag_operation *op,
    const Ag__DeliverEvent *deliver)
{
	const uint8_t *bytes = deliver->reply.data;
	size_t len = deliver->reply.len;
	Ag__Sealed *sealed;

	if (deliver->has_sealed && deliver->sealed) {
		sealed = ag_unpack(plane->ctx, &ag__sealed__descriptor, bytes, len);
		if (sealed == NULL ||
		    ag_unseal_answer(plane->ctx, sealed, &bytes, &len) != AG_OK)
			return NULL;
	} else if ((op->flags & AG_OP_SECRET) != 0 && !(deliver->has_replayed &&
	    deliver->replayed)) { /* what is kept for a repeat holds no secret */
		return NULL; /* what must come sealed and did not is nobody's */
	}
	return ag_unpack(plane->ctx, op->reply, bytes, len);
}

void *
answer_open(struct conn *conn, const Ag__DeliverEvent *deliver)
{
	void *reply = open_reply(conn->plane, conn->op, deliver);

	if (reply != NULL)
		return reply;
	ag_log(conn->plane->ctx, AG_ERROR, "REPLY-MALFORMED", "op=%s",
	    conn->op->name);
	answer_failed(conn, "the answer could not be read");
	return NULL;
}

bool
answer_is_secret(const struct ag_operation *op)
{
	return (op->flags & AG_OP_SECRET) != 0 || op->type == AG_MSG_TOKEN_ISSUE ||
	    op->type == AG_MSG_AGENT_ISSUE || op->type == AG_MSG_TENANT_CREATE;
}

void
answer_deliver(struct conn *conn, const Ag__DeliverEvent *deliver)
{
	const struct protocol *protocol = conn->plane->protocol;

	if (deliver->refusal != NULL && deliver->status >= 400)
		protocol->problem(conn, deliver->refusal, deliver);
	else if (deliver->status >= 400 && conn->own.err != AG_OK)
		answer_own(conn);
	else if (deliver->status >= 400 || conn->op == NULL)
		answer_failed(conn, "something failed inside");
	else
		protocol->reply(conn, deliver);
}

void
answer_page(struct conn *conn, unsigned status, const char *type,
    const char *extra, const void *body, size_t len)
{
	struct text *out = &conn->plane->out;
	size_t body_at;

	if (conn->bev == NULL) {
		conn_done(conn);
		return;
	}
	answer_head(conn, out, status);
	text_str(out, extra);
	body_at = answer_type(out, type);
	text_add(out, body, len);
	answer_send(conn, status, body_at, false);
}
