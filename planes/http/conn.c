/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections: accepting, reading one request at a time, writing, and the
 * ends of each state. Bounds: their number, unread input, unsent output, and
 * absolute times that no further byte extends.
 */
#include "plane.h"

#include <errno.h>
#include <event2/buffer.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void conn_pump(struct conn *conn);

/* ------------------------------------------------------------------ lists */

/* What came meanwhile is read now, or was said in vain. */
static void
conn_hear(struct conn *conn)
{
	struct evbuffer *input;

	conn->deaf = false;
	if (conn->bev == NULL)
		return;
	input = bufferevent_get_input(conn->bev);
	if (conn->state != CONN_IDLE)
		evbuffer_drain(input, evbuffer_get_length(input));
	bufferevent_enable(conn->bev, EV_READ);
}

void
conn_place(struct conn *conn, enum conn_state state)
{
	struct plane *plane = conn->plane;

	if (conn->state != CONN_NONE)
		TAILQ_REMOVE(&plane->lists[conn->state], conn, link);
	conn->state = state;
	if (state == CONN_NONE)
		return;
	conn->due_ms = ag_mono_ms(plane->ctx) + plane->state_ms[state];
	TAILQ_INSERT_TAIL(&plane->lists[state], conn, link);
	if (conn->deaf && (state == CONN_IDLE || state == CONN_STREAM ||
	    state == CONN_CLOSING))
		conn_hear(conn);
}

/* Every byte that no socket took yet, on whatever way it came and goes. */
static void
on_unsent(struct evbuffer *output, const struct evbuffer_cb_info *info,
    void *arg)
{
	struct conn *conn = arg;

	(void)output;
	conn->counted += info->n_added - info->n_deleted;
	conn->plane->unsent += info->n_added - info->n_deleted;
}

static void
close_socket(struct conn *conn)
{
	if (conn->bev == NULL)
		return;
	/* It may be freed later than now, when we are gone. */
	evbuffer_remove_cb(bufferevent_get_output(conn->bev), on_unsent, conn);
	bufferevent_free(conn->bev);
	conn->bev = NULL;
	conn->plane->unsent -= conn->counted;
	conn->counted = 0;
}

static void
conn_free(struct conn *conn)
{
	struct plane *plane = conn->plane;

	conn_place(conn, CONN_NONE);
	request_forget(conn);
	close_socket(conn);
	http_fini(&conn->in);
	share_give(conn);
	if (plane->protocol->forget != NULL)
		plane->protocol->forget(conn);
	if (conn->gone != NULL)
		*conn->gone = true;
	free(conn);
	ag_metric_set(plane->ctx, PM_CONNECTIONS, --plane->conn_count);
}

static bool
is_under_way(const struct conn *conn)
{
	return conn->state == CONN_ASKED || conn->state == CONN_ASKED_SLOW ||
	    conn->state == CONN_TOLD || conn->state == CONN_LOCAL;
}

void
conn_drop(struct conn *conn)
{
	if (conn->state == CONN_STREAM)
		conn->plane->protocol->stream->stop(conn);
	if (!is_under_way(conn)) {
		conn_free(conn);
		return;
	}
	close_socket(conn);
}

/* ---------------------------------------------------------------- writing */

static size_t
unsent(const struct conn *conn)
{
	return evbuffer_get_length(bufferevent_get_output(conn->bev));
}

/* A reader that is too slow for what it asked loses its connection. */
static bool
has_room(const struct conn *conn, size_t len)
{
	size_t own = unsent(conn) + len;

	if (own <= PLANE_OUTPUT_SMALL || (own <= PLANE_OUTPUT_BYTES_MAX &&
	    conn->plane->unsent + len <= PLANE_OUTPUT_TOTAL_MAX))
		return true;
	ag_metric_add(conn->plane->ctx, PM_UNSENT_DROPPED, 1);
	return false;
}

/* Straight to the socket when nothing waits: it saves two epoll_ctl and a
 * round of the loop for each answer. What does not fit goes the long way. */
void
conn_write(struct conn *conn, const void *bytes, size_t len)
{
	ssize_t sent = 0;

	if (conn->bev == NULL || conn->broken)
		return;
	if (conn->plain && unsent(conn) == 0) {
		sent = send(bufferevent_getfd(conn->bev), bytes, len,
		    MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent < 0 && errno != EAGAIN && errno != EINTR) {
			conn->broken = true;
			return;
		}
		sent = sent < 0 ? 0 : sent;
	}
	if ((size_t)sent == len)
		return;
	if (!has_room(conn, len - (size_t)sent) ||
	    bufferevent_write(conn->bev, (const char *)bytes + sent,
	    len - (size_t)sent) != 0)
		conn->broken = true;
}

/* The answer to bytes that we did not read would be lost in a reset if we
 * just closed: say that we are done and let the client end it. */
static void
conn_linger(struct conn *conn)
{
	conn_place(conn, CONN_CLOSING);
	if (unsent(conn) > 0)
		return; /* on_write goes on */
	if (conn->plain)
		shutdown(bufferevent_getfd(conn->bev), SHUT_WR);
	if (conn->eof || conn->in.stage != STAGE_BAD)
		conn_free(conn);
}

void
conn_done(struct conn *conn)
{
	request_forget(conn);
	if (conn->bev == NULL || conn->broken) {
		conn_free(conn);
		return;
	}
	if (conn->last || conn->eof || conn->plane->draining ||
	    !conn->in.keep_alive) {
		conn_linger(conn);
		return;
	}
	http_next(&conn->in);
	conn->own.err = AG_OK;
	if (conn->limited >= LIMIT_TOLD_MAX) {
		conn->deaf = true;
		bufferevent_disable(conn->bev, EV_READ);
		conn_place(conn, CONN_CALM);
		return;
	}
	conn_place(conn, CONN_IDLE);
	if (conn->gone == NULL &&
	    evbuffer_get_length(bufferevent_get_input(conn->bev)) > 0)
		conn_pump(conn);
}

/* ---------------------------------------------------------------- reading */

static bool
is_reading(const struct conn *conn)
{
	return conn->state >= CONN_FRESH && conn->state <= CONN_BODY;
}

/* A part of a request has been read; what is next? */
static void
conn_advance(struct conn *conn, enum http_stage before)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";

	switch (conn->in.stage) {
	case STAGE_FRESH:
		break;
	case STAGE_HEAD:
		if (before == STAGE_FRESH)
			conn_place(conn, CONN_HEAD);
		break;
	case STAGE_BODY:
		if (before == STAGE_BODY)
			break;
		conn_place(conn, CONN_BODY);
		if (conn->in.expect)
			conn_write(conn, go_on, sizeof(go_on) - 1);
		break;
	case STAGE_WHOLE:
		request_start(conn);
		break;
	case STAGE_BAD:
		request_refuse_framing(conn);
		break;
	}
}

/* One request after the other out of the input. An answer that is written at
 * once brings us back here by way of conn_done, and may free the connection, hence `gone`. */
static void
conn_pump(struct conn *conn)
{
	struct evbuffer *input = bufferevent_get_input(conn->bev);
	struct evbuffer_iovec part;
	enum http_stage before;
	bool gone = false;
	size_t took;

	conn->gone = &gone;
	while (is_reading(conn) && evbuffer_get_length(input) > 0 &&
	    evbuffer_peek(input, -1, NULL, &part, 1) >= 1) {
		before = conn->in.stage;
		took = http_feed(&conn->in, part.iov_base, part.iov_len);
		evbuffer_drain(input, took);
		conn_advance(conn, before);
		if (gone)
			return; /* it was answered and closed */
	}
	conn->gone = NULL;
}

/* Input at its high mark makes libevent call on_read without end, and the
 * loop never ends its round: nothing else of this process would run. */
static void
conn_deafen(struct conn *conn)
{
	if (evbuffer_get_length(bufferevent_get_input(conn->bev)) <
	    PLANE_INPUT_BYTES_MAX)
		return;
	conn->deaf = true;
	bufferevent_disable(conn->bev, EV_READ);
}

static void
on_read(struct bufferevent *bev, void *arg)
{
	struct conn *conn = arg;
	struct evbuffer *input = bufferevent_get_input(bev);

	if (is_reading(conn))
		conn_pump(conn);
	else if (conn->state == CONN_CLOSING || conn->state == CONN_STREAM)
		evbuffer_drain(input, evbuffer_get_length(input));
	else
		conn_deafen(conn);
}

static void
on_write(struct bufferevent *bev, void *arg)
{
	struct conn *conn = arg;

	(void)bev;
	if (conn->state == CONN_CLOSING)
		conn_linger(conn);
	else if (conn->state == CONN_STREAM)
		conn->plane->protocol->stream->written(conn);
}

/* The client sends no more. It may still read: what it asked is answered; half
 * a request is refused like any other bad framing. */
static void
on_eof(struct conn *conn)
{
	conn->eof = true;
	if (is_under_way(conn) || conn->state == CONN_CREDIT)
		return;
	if (conn->state == CONN_HEAD || conn->state == CONN_BODY) {
		http_feed(&conn->in, "", 0);
		if (conn->in.stage == STAGE_BAD)
			request_refuse_framing(conn);
		else if (conn->in.stage == STAGE_WHOLE)
			request_start(conn);
		return;
	}
	if (conn->state != CONN_CLOSING || unsent(conn) == 0)
		conn_drop(conn);
}

static void
on_event(struct bufferevent *bev, short what, void *arg)
{
	struct conn *conn = arg;

	(void)bev;
	if ((what & BEV_EVENT_EOF) != 0 && (what & BEV_EVENT_ERROR) == 0)
		on_eof(conn);
	else if ((what & (BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT)) != 0)
		conn_drop(conn);
}

/* -------------------------------------------------------------- accepting */

/* NULL: there are too many, of all or of this address. */
static struct conn *
conn_new(struct plane *plane, const struct sockaddr *peer)
{
	struct conn *conn;

	if (plane->conn_count >= plane->conn_max || plane->draining ||
	    (conn = calloc(1, plane->protocol->conn_size)) == NULL)
		return NULL;
	conn->plane = plane;
	conn->plain = plane->tls == NULL;
	address_set(conn, peer);
	conn->proxied = address_is_trusted(plane, peer);
	http_init(&conn->in, &plane->limits);
	if (share_take(conn))
		return conn;
	free(conn);
	return NULL;
}

struct conn *
conn_open(struct plane *plane, int fd, const struct sockaddr *peer)
{
	struct conn *conn = conn_new(plane, peer);
	int on = 1;

	if (conn == NULL) {
		ag_metric_add(plane->ctx, PM_REFUSED_CONNECTIONS, 1);
		close(fd);
		return NULL;
	}
	evutil_make_socket_nonblocking(fd);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	conn->bev = conn->plain ? bufferevent_socket_new(plane->base, fd,
	    BEV_OPT_CLOSE_ON_FREE) : tls_bufferevent(plane, fd);
	if (conn->bev == NULL) {
		share_give(conn);
		free(conn);
		close(fd);
		return NULL;
	}
	bufferevent_setcb(conn->bev, on_read, on_write, on_event, conn);
	if (evbuffer_add_cb(bufferevent_get_output(conn->bev), on_unsent, conn) ==
	    NULL)
		conn->broken = true;
	bufferevent_setwatermark(conn->bev, EV_READ, 0, PLANE_INPUT_BYTES_MAX);
	bufferevent_enable(conn->bev, EV_READ | EV_WRITE);
	ag_metric_set(plane->ctx, PM_CONNECTIONS, ++plane->conn_count);
	conn_place(conn, CONN_FRESH);
	return conn;
}

static void
on_accept(struct evconnlistener *listener, evutil_socket_t fd,
    struct sockaddr *peer, int len, void *arg)
{
	(void)listener;
	(void)len;
	conn_open(arg, fd, peer);
}

ag_err
conn_listen(struct plane *plane, int fd)
{
	if (plane->base == NULL)
		return AG_OK; /* the kit: connections come by hand */
	if (evutil_make_socket_nonblocking(fd) != 0)
		return AG_IO;
	plane->listener = evconnlistener_new(plane->base, on_accept, plane,
	    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	return plane->listener == NULL ? AG_IO : AG_OK;
}

/* ------------------------------------------------------------------- ends */

static void
head_late(struct conn *conn)
{
	refuse_set(&conn->in.refuse, AG_REQUEST_TIMEOUT, "header", NULL,
	    "the header took too long");
	conn->in.stage = STAGE_BAD;
	request_refuse_framing(conn);
}

static void
body_late(struct conn *conn)
{
	refuse_set(&conn->in.refuse, AG_REQUEST_TIMEOUT, "body", NULL,
	    "the body took too long");
	conn->in.stage = STAGE_BAD;
	request_refuse_framing(conn);
}

/* It was told often enough to come back later: now it is heard again. */
static void
conn_again(struct conn *conn)
{
	conn_place(conn, CONN_IDLE);
	if (evbuffer_get_length(bufferevent_get_input(conn->bev)) > 0)
		conn_pump(conn);
}

static void
stream_late(struct conn *conn)
{
	conn->plane->protocol->stream->keep_alive(conn);
}

/* What the end of each state's time means. A row takes the connection out of
 * its list, or to the list's tail. */
static void (*const ends[CONN_STATES])(struct conn *) = {
	[CONN_FRESH] = conn_drop,
	[CONN_IDLE] = conn_drop,
	[CONN_HEAD] = head_late,
	[CONN_BODY] = body_late,
	[CONN_CALM] = conn_again,
	[CONN_CREDIT] = request_overloaded,
	[CONN_ASKED] = request_timeout,
	[CONN_ASKED_SLOW] = request_timeout,
	[CONN_TOLD] = request_unrecorded,
	[CONN_STREAM] = stream_late,
	[CONN_CLOSING] = conn_drop,
};

void
conn_sweep(struct plane *plane)
{
	uint64_t now = ag_mono_ms(plane->ctx);
	struct conn *conn;
	unsigned state;

	for (state = 0; state < CONN_STATES; state++)
		while (ends[state] != NULL &&
		    (conn = TAILQ_FIRST(&plane->lists[state])) != NULL &&
		    conn->due_ms <= now)
			ends[state](conn);
}

/* Nothing new: idle connections end, what is under way goes on. */
void
conn_drain(struct plane *plane)
{
	struct conn *conn;

	plane->draining = true;
	if (plane->listener != NULL)
		evconnlistener_free(plane->listener);
	plane->listener = NULL;
	while ((conn = TAILQ_FIRST(&plane->lists[CONN_FRESH])) != NULL ||
	    (conn = TAILQ_FIRST(&plane->lists[CONN_IDLE])) != NULL ||
	    (conn = TAILQ_FIRST(&plane->lists[CONN_CALM])) != NULL)
		conn_drop(conn);
	while ((conn = TAILQ_FIRST(&plane->lists[CONN_STREAM])) != NULL)
		plane->protocol->stream->end(conn, "Unavailable");
}

void
conn_close_all(struct plane *plane)
{
	struct conn *conn;
	unsigned state;

	for (state = 0; state < CONN_STATES; state++)
		while ((conn = TAILQ_FIRST(&plane->lists[state])) != NULL) {
			if (state == CONN_STREAM)
				plane->protocol->stream->stop(conn);
			conn_free(conn);
		}
}
