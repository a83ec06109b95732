/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers of fixtures: one result, or a stream that says something first, or
 * asks the client and waits.
 */
#include "mcp.h"

#include <aegis/id.h>

#include <string.h>

static void
ask_id(const struct conn *conn, char out[24])
{
	memcpy(out, "\"fixture-", 9);
	ag_hex(conn->request_id + AG_UUID_BYTES - 6, 6, out + 9);
	memcpy(out + 21, "\"", 2);
}

static void
print_answer(const struct call *call, struct text *out)
{
	const struct fixture *fixture = &call->fixture;
	size_t len;

	text_printf(out, "{\"jsonrpc\":\"2.0\",\"id\":%s,\"%s\":{", call->id,
	    fixture->error ? "error" : "result");
	if (fixture->input)
		text_str(out, "\"resultType\":\"input_required\",");
	else if (!fixture->error)
		mcp_result_open(call, out);
	text_str(out, fixture->text);
	len = out->len;
	if (!out->failed && len > 0 && out->bytes[len - 1] == ',')
		out->len--; /* nothing followed */
	text_str(out, "}}");
}

static void
stream_event(struct conn *conn, const char *data, size_t len)
{
	struct text event = { 0 };

	text_str(&event, "event: message\ndata: ");
	text_add(&event, data, len);
	text_str(&event, "\n\n");
	if (!event.failed)
		stream_write(conn, event.bytes, event.len);
	text_fini(&event);
}

static void
stream_result(struct conn *conn)
{
	struct text answer = { 0 };

	print_answer(&mcp_conn_of(conn)->call, &answer);
	if (!answer.failed)
		stream_event(conn, answer.bytes, answer.len);
	text_fini(&answer);
	session_forget(conn);
	stream_finish(conn);
}

static void
stream_ask(struct conn *conn)
{
	struct text ask = { 0 };
	char id[24];

	ask_id(conn, id);
	text_printf(&ask, "{\"jsonrpc\":\"2.0\",\"id\":%s,%s}", id,
	    mcp_conn_of(conn)->call.fixture.before);
	if (!ask.failed)
		stream_event(conn, ask.bytes, ask.len);
	text_fini(&ask);
	if (conn->broken)
		conn_drop(conn);
}

void
fixture_answer(struct conn *conn)
{
	const struct call *call = &mcp_conn_of(conn)->call;
	const char *line = call->fixture.before, *end;
	struct text *out = &conn->plane->out;
	unsigned status = call->fixture.error ? 400 : 200;
	size_t body_at;

	if (!call->fixture.stream) {
		answer_head(conn, out, status);
		body_at = answer_type(out, "application/json");
		print_answer(call, out);
		answer_send(conn, status, body_at, false);
		return;
	}
	session_stream(conn, session_named(conn));
	if (call->fixture.asks) {
		stream_ask(conn);
		return;
	}
	for (; (end = strchr(line, '\n')) != NULL; line = end + 1)
		stream_event(conn, line, (size_t)(end - line));
	stream_result(conn);
}

void
fixture_answered(struct conn *conn)
{
	const char *id = mcp_conn_of(conn)->call.id;
	struct mcp_conn *at, *next;
	char asked[24];

	for (at = TAILQ_FIRST(&mcp_of(conn)->streams); at != NULL; at = next) {
		next = TAILQ_NEXT(at, stream_link);
		ask_id(&at->conn, asked);
		if (at->call.kind == CALL_FIXTURE && strcmp(asked, id) == 0)
			stream_result(&at->conn);
	}
}
