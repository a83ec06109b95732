/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Event streams: GET /v1/audit/stream after its answer. History sends events
 * against credit; we give credit as the client's socket takes them. A reader
 * too far behind is told so and closed.
 */
#include "rest.h"

#include <event2/buffer.h>
#include <stdio.h>
#include <string.h>

enum { CREDIT_STEP = STREAM_EVENTS_MAX / 4 };

static void
credit(struct conn *conn, uint32_t events)
{
	Ag__StreamCreditOrder order = AG__STREAM_CREDIT_ORDER__INIT;
	struct ag_ctx *ctx = conn->rest->ctx;

	order.stream = conn->n;
	order.boot = ag_boot(ctx);
	order.events = events;
	if (ag_send(ctx, ag_slot(ctx, AG_ROLE_HISTORY, 0),
	    AG_MSG_STREAM_CREDIT_ORDER, &order) != AG_OK)
		ag_log(ctx, AG_DEBUG, "STREAM-CREDIT", "n=%llu",
		    (unsigned long long)conn->n);
}

void
stream_stop(struct conn *conn)
{
	Ag__StreamStopOrder order = AG__STREAM_STOP_ORDER__INIT;
	struct ag_ctx *ctx = conn->rest->ctx;

	order.stream = conn->n;
	order.boot = ag_boot(ctx);
	if (ag_send(ctx, ag_slot(ctx, AG_ROLE_HISTORY, 0),
	    AG_MSG_STREAM_STOP_ORDER, &order) != AG_OK)
		ag_log(ctx, AG_DEBUG, "STREAM-STOP", "n=%llu",
		    (unsigned long long)conn->n);
}

/* HTTP/1.1: a chunk (RFC 9112 §7.1); HTTP/1.0: until the connection ends. */
static void
write_text(struct conn *conn, const char *text, size_t len)
{
	struct text *out = &conn->rest->out;

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

static void
end_stream(struct conn *conn)
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
	write_text(conn, line, sizeof(line) - 1);
	if (conn->broken)
		conn_drop(conn);
}

void
stream_written(struct conn *conn)
{
	if (conn->unread >= CREDIT_STEP) {
		credit(conn, conn->unread);
		conn->unread = 0;
	}
}

static void
print_item(struct text *out, const Ag__StreamItemEvent *item)
{
	if (item->event != NULL) {
		text_printf(out, "id: %llu\nevent: audit\ndata: ",
		    (unsigned long long)item->event->seq);
		codec_print(out, item->event);
		text_str(out, "\n\n");
	} else if (item->has_lagged_seq) {
		text_printf(out, "event: lagged\ndata: {\"last_seq\":%llu}\n\n",
		    (unsigned long long)item->lagged_seq);
	} else {
		text_str(out, "event: end\ndata: {\"code\":");
		text_json(out, item->end_code);
		text_str(out, "}\n\n");
	}
}

/* Too far behind: unsent bytes, or events that it has no credit for. */
static bool
is_behind(const struct conn *conn)
{
	struct evbuffer *output = bufferevent_get_output(conn->bev);

	return evbuffer_get_length(output) > STREAM_BYTES_MAX ||
	    conn->unread > STREAM_EVENTS_MAX;
}

static void
stream_lagged(struct conn *conn)
{
	Ag__StreamItemEvent item = AG__STREAM_ITEM_EVENT__INIT;
	struct text text = { 0 };

	item.has_lagged_seq = 1;
	item.lagged_seq = conn->last_seq;
	print_item(&text, &item);
	stream_stop(conn);
	if (!text.failed)
		write_text(conn, text.bytes, text.len);
	text_fini(&text);
	end_stream(conn);
}

void
stream_end(struct conn *conn, const char *code)
{
	Ag__StreamItemEvent item = AG__STREAM_ITEM_EVENT__INIT;
	struct text text = { 0 };

	item.end_code = (char *)(uintptr_t)code;
	print_item(&text, &item);
	stream_stop(conn);
	if (!text.failed)
		write_text(conn, text.bytes, text.len);
	text_fini(&text);
	end_stream(conn);
}

static void
stream_now(struct conn *conn, const Ag__StreamItemEvent *item)
{
	struct text text = { 0 };
	bool ends = item->event == NULL;

	print_item(&text, item);
	if (!text.failed)
		write_text(conn, text.bytes, text.len);
	text_fini(&text);
	if (conn->broken) {
		conn_drop(conn);
		return;
	}
	if (ends) {
		end_stream(conn);
		return;
	}
	conn->last_seq = item->event->seq;
	conn->unread++;
	if (is_behind(conn)) {
		stream_lagged(conn);
		return;
	}
	/* The kernel took it: as good as read. */
	if (evbuffer_get_length(bufferevent_get_output(conn->bev)) == 0)
		stream_written(conn);
}

void
stream_item(struct rest *rest, const Ag__StreamItemEvent *item)
{
	struct conn *conn = item->boot == ag_boot(rest->ctx) ?
	    request_find(rest, item->stream) : NULL;

	if (conn == NULL)
		return;
	if (conn->state == CONN_STREAM) {
		stream_now(conn, item);
		return;
	}
	/* History was quicker than audit: kept until the answer is out. */
	if (conn->state == CONN_ASKED && conn->early.len < STREAM_BYTES_MAX) {
		print_item(&conn->early, item);
		if (item->event != NULL)
			conn->last_seq = item->event->seq;
		conn->unread++;
	}
}

void
stream_open(struct conn *conn)
{
	struct text *out = &conn->rest->out;
	bool chunked = conn->in.parser.http_minor != 0;

	if (conn->bev == NULL) {
		stream_stop(conn);
		conn_done(conn);
		return;
	}
	if (conn->credit > 0) /* an open stream is no request under way */
		ag_credit_give(conn->rest->ctx, conn->credit);
	conn->credit = 0;
	conn->last = true;
	answer_head(conn, out, 200);
	text_str(out, "Content-Type: text/event-stream\r\n");
	text_str(out, chunked ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n");
	conn_write(conn, out->bytes, out->len);
	text_reset(out, false);
	ag_metric_add(conn->rest->ctx, RM_STREAMS, 1);
	conn_place(conn, CONN_STREAM);
	write_text(conn, "retry: 1000\n\n", 13);
	if (conn->early.len > 0 && !conn->early.failed)
		write_text(conn, conn->early.bytes, conn->early.len);
	text_fini(&conn->early);
	credit(conn, STREAM_EVENTS_MAX - (conn->unread > STREAM_EVENTS_MAX ?
	    STREAM_EVENTS_MAX : conn->unread));
	if (conn->broken)
		conn_drop(conn);
}
