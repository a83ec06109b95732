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

enum {
	CREDIT_STEP = STREAM_EVENTS_MAX / 4,
	LAGGED_PERIODS_MAX = 4, /* of PLANE_KEEP_ALIVE_MS, to read what waits */
};

static struct rest_conn *
stream_of(const struct conn *conn)
{
	return (struct rest_conn *)(uintptr_t)conn;
}

static void
credit(struct conn *conn, uint32_t events)
{
	Ag__StreamCreditOrder order = AG__STREAM_CREDIT_ORDER__INIT;
	struct ag_ctx *ctx = conn->plane->ctx;

	order.stream = conn->n;
	order.boot = ag_boot(ctx);
	order.events = events;
	if (ag_send(ctx, ag_slot(ctx, AG_ROLE_HISTORY, 0),
	    AG_MSG_STREAM_CREDIT_ORDER, &order) != AG_OK)
		ag_log(ctx, AG_DEBUG, "STREAM-CREDIT", "n=%llu",
		    (unsigned long long)conn->n);
}

static void
stream_stop(struct conn *conn)
{
	Ag__StreamStopOrder order = AG__STREAM_STOP_ORDER__INIT;
	struct ag_ctx *ctx = conn->plane->ctx;

	order.stream = conn->n;
	order.boot = ag_boot(ctx);
	if (ag_send(ctx, ag_slot(ctx, AG_ROLE_HISTORY, 0),
	    AG_MSG_STREAM_STOP_ORDER, &order) != AG_OK)
		ag_log(ctx, AG_DEBUG, "STREAM-STOP", "n=%llu",
		    (unsigned long long)conn->n);
}

static void
stream_written(struct conn *conn)
{
	if (stream_of(conn)->lagged > 0) {
		stream_finish(conn); /* it has read that it is behind */
		return;
	}
	if (stream_of(conn)->unread >= CREDIT_STEP) {
		credit(conn, stream_of(conn)->unread);
		stream_of(conn)->unread = 0;
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
	    stream_of(conn)->unread > STREAM_EVENTS_MAX;
}

static void
say(struct conn *conn, const Ag__StreamItemEvent *item)
{
	struct text text = { 0 };

	print_item(&text, item);
	if (!text.failed)
		stream_write(conn, text.bytes, text.len);
	text_fini(&text);
}

/* The last word stands behind all that the reader has not read: it has a
 * minute to come to it. */
static void
stream_last_word(struct conn *conn)
{
	stream_of(conn)->lagged = 1;
	if (conn->broken)
		conn_drop(conn);
	else if (evbuffer_get_length(bufferevent_get_output(conn->bev)) == 0)
		stream_finish(conn);
	else
		conn_place(conn, CONN_STREAM);
}

static void
stream_lagged(struct conn *conn)
{
	Ag__StreamItemEvent item = AG__STREAM_ITEM_EVENT__INIT;

	item.has_lagged_seq = 1;
	item.lagged_seq = stream_of(conn)->last_seq;
	stream_stop(conn);
	say(conn, &item);
	stream_last_word(conn);
}

/* After each PLANE_KEEP_ALIVE_MS of nothing. */
static void
stream_quiet(struct conn *conn)
{
	if (stream_of(conn)->lagged == 0)
		stream_keep_alive(conn);
	else if (stream_of(conn)->lagged++ < LAGGED_PERIODS_MAX)
		conn_place(conn, CONN_STREAM);
	else
		conn_drop(conn);
}

static void
stream_end(struct conn *conn, const char *code)
{
	Ag__StreamItemEvent item = AG__STREAM_ITEM_EVENT__INIT;

	item.end_code = (char *)(uintptr_t)code;
	stream_stop(conn);
	say(conn, &item);
	stream_finish(conn);
}

static void
stream_now(struct conn *conn, const Ag__StreamItemEvent *item)
{
	if (stream_of(conn)->lagged > 0)
		return; /* nothing comes after the last word */
	say(conn, item);
	if (conn->broken) {
		conn_drop(conn);
		return;
	}
	if (item->event == NULL) {
		if (item->has_lagged_seq)
			stream_last_word(conn);
		else
			stream_finish(conn);
		return;
	}
	stream_of(conn)->last_seq = item->event->seq;
	stream_of(conn)->unread++;
	if (is_behind(conn)) {
		stream_lagged(conn);
		return;
	}
	/* The kernel took it: as good as read. */
	if (evbuffer_get_length(bufferevent_get_output(conn->bev)) == 0)
		stream_written(conn);
}

void
stream_item(struct plane *plane, const Ag__StreamItemEvent *item)
{
	struct conn *conn = item->boot == ag_boot(plane->ctx) ?
	    request_find(plane, item->stream) : NULL;

	if (conn == NULL)
		return;
	if (conn->state == CONN_STREAM) {
		stream_now(conn, item);
		return;
	}
	/* History was quicker than audit: kept until the answer is out. */
	if (conn->state == CONN_ASKED && stream_of(conn)->early.len < STREAM_BYTES_MAX) {
		print_item(&stream_of(conn)->early, item);
		if (item->event != NULL)
			stream_of(conn)->last_seq = item->event->seq;
		stream_of(conn)->unread++;
	}
}

void
stream_open(struct conn *conn, const Ag__DeliverEvent *deliver)
{
	struct text rate = { 0 };

	if (conn->bev == NULL) {
		stream_stop(conn);
		conn_done(conn);
		return;
	}
	answer_rate(&rate, deliver);
	text_char(&rate, '\0');
	stream_begin(conn, rate.failed ? "" : rate.bytes);
	text_fini(&rate);
	stream_write(conn, "retry: 1000\n\n", 13);
	if (stream_of(conn)->early.len > 0 && !stream_of(conn)->early.failed)
		stream_write(conn, stream_of(conn)->early.bytes, stream_of(conn)->early.len);
	text_fini(&stream_of(conn)->early);
	credit(conn, STREAM_EVENTS_MAX - (stream_of(conn)->unread > STREAM_EVENTS_MAX ?
	    STREAM_EVENTS_MAX : stream_of(conn)->unread));
	if (conn->broken)
		conn_drop(conn);
}

void
stream_forget(struct conn *conn)
{
	text_fini(&stream_of(conn)->early);
}

const struct protocol_stream rest_stream = {
	.keep_alive = stream_quiet,
	.written = stream_written,
	.stop = stream_stop,
	.end = stream_end,
};
