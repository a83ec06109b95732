/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers without end: server-sent events (text/event-stream) in chunks.
 */
#include "plane.h"

void
stream_begin(struct conn *conn, const char *extra)
{
	struct text *out = &conn->plane->out;
	bool chunked = conn->in.parser.http_minor != 0;

	if (conn->credit > 0) /* an open stream is no request under way */
		ag_credit_give(conn->plane->ctx, conn->credit);
	conn->credit = 0;
	conn->last = true;
	answer_head(conn, out, 200);
	text_str(out, extra);
	text_str(out, "Content-Type: text/event-stream\r\n");
	text_str(out, chunked ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n");
	conn_write(conn, out->bytes, out->len);
	text_reset(out, false);
	ag_metric_add(conn->plane->ctx, PM_STREAMS, 1);
	conn_place(conn, CONN_STREAM);
}

/* HTTP/1.1: a chunk (RFC 9112 §7.1); HTTP/1.0: until the connection ends. */
void
stream_write(struct conn *conn, const char *text, size_t len)
{
	struct text *out = &conn->plane->out;

	if (conn->in.parser.http_minor == 0) {
		conn_write(conn, text, len);
		return;
	}
	text_printf(out, "%zx\r\n", len);
	text_add(out, text, len);
	text_str(out, "\r\n");
	if (out->failed)
		conn->broken = true;
	else
		conn_write(conn, out->bytes, out->len);
	text_reset(out, false);
}

void
stream_finish(struct conn *conn)
{
	if (conn->in.parser.http_minor != 0)
		conn_write(conn, "0\r\n\r\n", 5);
	conn->last = true;
	conn_done(conn);
}

void
stream_keep_alive(struct conn *conn)
{
	static const char line[] = ": keep-alive\n\n";

	conn_place(conn, CONN_STREAM);
	stream_write(conn, line, sizeof(line) - 1);
	if (conn->broken)
		conn_drop(conn);
}
