/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bus: the only file that knows ZeroMQ.
 *
 * An actor has one DEALER, connected to the endpoint of its own row. The
 * broker binds one DEALER per row (a ROUTER can be aborted by a peer that
 * claims the next automatic routing id, and HANDOVER steals traffic, both in
 * libzmq 4.3.4). Who is behind a socket is decided by the ZAP handler: name
 * and token by PLAIN, the uid by the kernel. A message without the User-Id
 * that this handler gave is dropped.
 *
 * Descriptors: ZMQ_FD is edge-like. It tells that something happened, and any
 * call on the socket may eat the signal; so a socket that was sent to is
 * looked at again before anybody waits.
 */
#include "engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <zmq.h>

enum {
	FRAME_SLACK = 4096, /* envelopes beside the largest body */
	ZAP_FRAMES = 8,     /* RFC 27: version … username, password */
	MONITOR_EVENTS = ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED |
	    ZMQ_EVENT_DISCONNECTED,
	EPOLL_BATCH = 64,
	/* Debian's zmq.h keeps the name among the drafts; the library has it. */
	ZAP_ENFORCE_DOMAIN = 93,
};

struct ag_bus {
	void *zmq;
	void *socket; /* to the broker */
	zmq_msg_t in;
	bool in_open;
	/* Some call may have eaten the descriptor's signal since it was last seen
	 * that nothing waits. Each look is a poll and two more system calls. */
	bool unsure;
};

static bool
set_int(void *socket, int option, int value)
{
	return zmq_setsockopt(socket, option, &value, sizeof(value)) == 0;
}

static bool
set_common(void *socket, unsigned queue_max)
{
	int64_t size_max = AG_FRAME_BYTES_MAX + FRAME_SLACK;

	return set_int(socket, ZMQ_SNDHWM, (int)queue_max) &&
	    set_int(socket, ZMQ_RCVHWM, (int)queue_max) &&
	    set_int(socket, ZMQ_LINGER, 0) &&
	    zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &size_max,
	        sizeof(size_max)) == 0;
}

static bool
readable(void *socket)
{
	int events = 0;
	size_t size = sizeof(events);

	return zmq_getsockopt(socket, ZMQ_EVENTS, &events, &size) == 0 &&
	    (events & ZMQ_POLLIN) != 0;
}

static int
socket_fd(void *socket)
{
	int fd = -1;
	size_t size = sizeof(fd);

	if (zmq_getsockopt(socket, ZMQ_FD, &fd, &size) != 0)
		return -1;
	return fd;
}

/* ------------------------------------------------------ an actor's side */

static void *
dealer_connect(void *zmq, const char *endpoint, const char *name,
    const uint8_t token[32], unsigned queue_max)
{
	void *socket = zmq_socket(zmq, ZMQ_DEALER);
	char password[65];
	bool ok;

	ag_hex(token, 32, password);
	ok = socket != NULL && set_common(socket, queue_max) &&
	    set_int(socket, ZMQ_RECONNECT_IVL, 20) &&
	    zmq_setsockopt(socket, ZMQ_PLAIN_USERNAME, name,
	        strlen(name)) == 0 &&
	    zmq_setsockopt(socket, ZMQ_PLAIN_PASSWORD, password, 64) == 0 &&
	    zmq_connect(socket, endpoint) == 0;
	ag_wipe(password, sizeof(password));
	if (ok)
		return socket;
	ag_log_plain(AG_ERROR, "BUS-CONNECT", "endpoint=%s error=%s", endpoint,
	    zmq_strerror(zmq_errno()));
	if (socket != NULL)
		zmq_close(socket);
	return NULL;
}

ag_err
ag_bus_connect(const char *endpoint, const char *name, const uint8_t token[32],
    unsigned queue_max, struct ag_bus **out)
{
	struct ag_bus *bus = calloc(1, sizeof(*bus));

	if (bus == NULL)
		return AG_NO_MEMORY;
	bus->zmq = zmq_ctx_new();
	if (bus->zmq != NULL)
		bus->socket = dealer_connect(bus->zmq, endpoint, name, token,
		    queue_max);
	if (bus->socket == NULL) {
		ag_bus_close(&bus, 0);
		return AG_IO;
	}
	*out = bus;
	return AG_OK;
}

void
ag_bus_close(struct ag_bus **busp, unsigned linger_ms)
{
	struct ag_bus *bus = *busp;

	*busp = NULL;
	if (bus == NULL)
		return;
	if (bus->in_open)
		zmq_msg_close(&bus->in);
	if (bus->socket != NULL) {
		set_int(bus->socket, ZMQ_LINGER, (int)linger_ms);
		zmq_close(bus->socket);
	}
	if (bus->zmq != NULL)
		zmq_ctx_term(bus->zmq);
	free(bus);
}

int
ag_bus_fd(struct ag_bus *bus)
{
	return socket_fd(bus->socket);
}

bool
ag_bus_waiting(struct ag_bus *bus)
{
	bus->unsure = bus->unsure && readable(bus->socket);
	return bus->unsure;
}

ag_err
ag_bus_recv(struct ag_bus *bus, const uint8_t **bytes, size_t *len)
{
	if (bus->in_open)
		zmq_msg_close(&bus->in);
	bus->in_open = false;
	zmq_msg_init(&bus->in);
	if (zmq_msg_recv(&bus->in, bus->socket, ZMQ_DONTWAIT) < 0) {
		zmq_msg_close(&bus->in);
		/* It looked: what comes from now on signals. */
		bus->unsure = errno != EAGAIN;
		return errno == EAGAIN ? AG_ITEM_NOT_FOUND : AG_IO;
	}
	bus->unsure = true;
	bus->in_open = true;
	*bytes = zmq_msg_data(&bus->in);
	*len = zmq_msg_size(&bus->in);
	return AG_OK;
}

static void
free_frame(void *bytes, void *hint)
{
	(void)hint;
	free(bytes);
}

/* Small frames are copied into libzmq's own message, large ones handed over. */
ag_err
ag_bus_send(struct ag_bus *bus, uint8_t *bytes, size_t len)
{
	enum { COPY_MAX = 1024 };
	zmq_msg_t msg;

	bus->unsure = true;
	if (len <= COPY_MAX) {
		int sent = zmq_send(bus->socket, bytes, len, ZMQ_DONTWAIT);

		free(bytes);
		if (sent >= 0)
			return AG_OK;
		return errno == EAGAIN ? AG_FULL : AG_IO;
	}
	if (zmq_msg_init_data(&msg, bytes, len, free_frame, NULL) != 0) {
		free(bytes);
		return AG_NO_MEMORY;
	}
	if (zmq_msg_send(&msg, bus->socket, ZMQ_DONTWAIT) < 0) {
		ag_err err = errno == EAGAIN ? AG_FULL : AG_IO;

		zmq_msg_close(&msg);
		return err;
	}
	return AG_OK;
}

/* ------------------------------------------------------ the broker's side */

struct row {
	bool open;
	unsigned slot;
	char name[64];
	char endpoint[160];
	uint8_t token_hash[32];
	void *socket;
	void *monitor;
	int fd, monitor_fd;
	bool look;      /* may have frames: look before waiting */
	bool partial;   /* in the middle of a message of several frames */
	/* A connection that the handshake refused ends with the same event as
	 * the one that passed; only the descriptor tells them apart. */
	bool live;      /* one passed the handshake */
	int live_fd;    /* its descriptor, known from its first frame; or -1 */
	unsigned uid;         /* who may come */
	unsigned connections; /* all, with those that did not pass */
};

struct ag_switch {
	void *zmq;
	void *zap;
	int zap_fd;
	int epoll;
	int extra_fd;
	unsigned uid;
	unsigned slots_max;
	unsigned slots_used; /* behind the last row that was ever open */
	unsigned queue_max;
	uint64_t denied;
	struct row *rows;      /* by slot */
	zmq_msg_t *forwarding; /* during on_frame */
	ag_switch_on_peer *on_peer;
	void *peer_arg;
	ag_switch_on_ready *on_ready;
	void *ready_arg;
};

/* What an epoll entry is about, in its 64 bits: kind and slot. */
enum watch_kind { WATCH_ROW, WATCH_MONITOR, WATCH_ZAP, WATCH_EXTRA, WATCH_OTHER };

static bool
watch(struct ag_switch *sw, int fd, enum watch_kind kind, unsigned slot)
{
	struct epoll_event ev = { .events = EPOLLIN,
		.data.u64 = (uint64_t)kind << 32 | slot };

	return epoll_ctl(sw->epoll, EPOLL_CTL_ADD, fd, &ev) == 0;
}

ag_err
ag_switch_new(unsigned slots_max, unsigned queue_max, unsigned uid,
    struct ag_switch **out)
{
	struct ag_switch *sw = calloc(1, sizeof(*sw));

	if (sw == NULL)
		return AG_NO_MEMORY;
	sw->extra_fd = -1;
	sw->uid = uid;
	sw->slots_max = slots_max;
	sw->queue_max = queue_max;
	sw->rows = calloc(slots_max, sizeof(*sw->rows));
	sw->epoll = epoll_create1(EPOLL_CLOEXEC);
	sw->zmq = zmq_ctx_new();
	if (sw->zmq != NULL)
		sw->zap = zmq_socket(sw->zmq, ZMQ_REP);
	if (sw->rows == NULL || sw->epoll < 0 || sw->zap == NULL ||
	    zmq_bind(sw->zap, "inproc://zeromq.zap.01") != 0 ||
	    !watch(sw, sw->zap_fd = socket_fd(sw->zap), WATCH_ZAP, 0)) {
		ag_switch_free(&sw);
		return AG_IO;
	}
	*out = sw;
	return AG_OK;
}

void
ag_switch_free(struct ag_switch **swp)
{
	struct ag_switch *sw = *swp;

	*swp = NULL;
	if (sw == NULL)
		return;
	for (unsigned i = 0; sw->rows != NULL && i < sw->slots_max; i++)
		ag_switch_close(sw, i);
	if (sw->zap != NULL)
		zmq_close(sw->zap);
	if (sw->zmq != NULL)
		zmq_ctx_term(sw->zmq);
	if (sw->epoll >= 0)
		close(sw->epoll);
	free(sw->rows);
	free(sw);
}

static void
report_peer(struct ag_switch *sw, unsigned slot, bool up)
{
	if (sw->on_peer != NULL)
		sw->on_peer(sw->peer_arg, slot, up);
}

void
ag_switch_close(struct ag_switch *sw, unsigned slot)
{
	struct row *row = &sw->rows[slot];
	bool was_live = row->live;

	if (!row->open)
		return;
	epoll_ctl(sw->epoll, EPOLL_CTL_DEL, row->fd, NULL);
	if (row->monitor != NULL) {
		epoll_ctl(sw->epoll, EPOLL_CTL_DEL, row->monitor_fd, NULL);
		zmq_socket_monitor(row->socket, NULL, 0);
		zmq_close(row->monitor);
	}
	zmq_close(row->socket);
	memset(row, 0, sizeof(*row));
	if (was_live)
		report_peer(sw, slot, false);
}

static bool
open_monitor(struct ag_switch *sw, struct row *row)
{
	char name[96];

	snprintf(name, sizeof(name), "inproc://monitor.%u.%p", row->slot,
	    row->socket);
	if (zmq_socket_monitor(row->socket, name, MONITOR_EVENTS) != 0)
		return false;
	row->monitor = zmq_socket(sw->zmq, ZMQ_PAIR);
	if (row->monitor == NULL || zmq_connect(row->monitor, name) != 0)
		return false;
	row->monitor_fd = socket_fd(row->monitor);
	return watch(sw, row->monitor_fd, WATCH_MONITOR, row->slot);
}

ag_err
ag_switch_open(struct ag_switch *sw, const struct ag_switch_row *want)
{
	struct row *row;

	if (want->slot >= sw->slots_max)
		return AG_FULL;
	ag_switch_close(sw, want->slot);
	row = &sw->rows[want->slot];
	if (want->slot >= sw->slots_used)
		sw->slots_used = want->slot + 1;
	row->slot = want->slot;
	row->open = true;
	snprintf(row->name, sizeof(row->name), "%s", want->name);
	snprintf(row->endpoint, sizeof(row->endpoint), "%s", want->endpoint);
	memcpy(row->token_hash, want->token_hash, 32);
	row->uid = want->has_uid ? want->uid : sw->uid;
	row->socket = zmq_socket(sw->zmq, ZMQ_DEALER);
	if (row->socket == NULL)
		goto fail;
	row->fd = socket_fd(row->socket);
	/* The ZAP domain is the row's name: that is how the handler knows which
	 * door was knocked at. */
	if (!set_common(row->socket, sw->queue_max) ||
	    !set_int(row->socket, ZMQ_PLAIN_SERVER, 1) ||
	    !set_int(row->socket, ZAP_ENFORCE_DOMAIN, 1) ||
	    zmq_setsockopt(row->socket, ZMQ_ZAP_DOMAIN, row->name,
	        strlen(row->name)) != 0 ||
	    !watch(sw, row->fd, WATCH_ROW, row->slot) ||
	    !open_monitor(sw, row) ||
	    zmq_bind(row->socket, row->endpoint) != 0)
		goto fail;
	row->look = true;
	return AG_OK;
fail:
	ag_log_plain(AG_ERROR, "BUS-BIND", "row=%s endpoint=%s error=%s",
	    want->name, want->endpoint, zmq_strerror(zmq_errno()));
	if (row->socket != NULL)
		ag_switch_close(sw, want->slot);
	else
		memset(row, 0, sizeof(*row));
	return AG_IO;
}

static void
note_connection(struct row *row, uint16_t what, int fd)
{
	switch (what) {
	case ZMQ_EVENT_ACCEPTED:
		row->connections++;
		break;
	case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
		row->live = true;
		row->live_fd = -1;
		break;
	case ZMQ_EVENT_DISCONNECTED:
		if (row->connections > 0)
			row->connections--;
		if (row->connections == 0 || (fd >= 0 && fd == row->live_fd))
			row->live = false;
		if (!row->live)
			row->live_fd = -1;
		break;
	}
}

/* Connections come and go: the row is up while the one that passed lives. */
static void
drain_monitor(struct ag_switch *sw, struct row *row)
{
	zmq_msg_t event, address;

	while (row->open && row->monitor != NULL) {
		uint16_t what = 0;
		int32_t value = -1;
		bool before = row->live;

		zmq_msg_init(&event);
		if (zmq_msg_recv(&event, row->monitor, ZMQ_DONTWAIT) < 0) {
			zmq_msg_close(&event);
			return;
		}
		if (zmq_msg_size(&event) >= sizeof(what) + sizeof(value)) {
			const uint8_t *p = zmq_msg_data(&event);

			memcpy(&what, p, sizeof(what));
			memcpy(&value, p + sizeof(what), sizeof(value));
		}
		zmq_msg_close(&event);
		zmq_msg_init(&address);
		zmq_msg_recv(&address, row->monitor, ZMQ_DONTWAIT);
		zmq_msg_close(&address);
		note_connection(row, what, value);
		row->look = true;
		if (before != row->live)
			report_peer(sw, row->slot, row->live);
	}
}

static struct row *
row_named(struct ag_switch *sw, const char *name, size_t len)
{
	for (unsigned i = 0; i < sw->slots_max; i++)
		if (sw->rows[i].open && strlen(sw->rows[i].name) == len &&
		    memcmp(sw->rows[i].name, name, len) == 0)
			return &sw->rows[i];
	return NULL;
}

/* "localhost:uid:gid:pid", "…:uid:gid:pid": the uid, or -1. */
static long
peer_uid(const char *address, size_t len)
{
	char text[128], *colon, *end;
	long uid;

	if (len >= sizeof(text))
		return -1;
	memcpy(text, address, len);
	text[len] = '\0';
	colon = strchr(text, ':');
	if (colon == NULL)
		return -1;
	uid = strtol(colon + 1, &end, 10);
	return end == colon + 1 || *end != ':' ? -1 : uid;
}

/*
 * RFC 27. frames: version, request id, domain, address, identity, mechanism,
 * username, password. Yes only to: PLAIN, the row's own name, its token, our
 * uid. If somebody is connected there already: later (a peer that gets a "no"
 * never tries again, and the one before may just be going).
 */
enum zap_answer { ZAP_YES = 200, ZAP_LATER = 300, ZAP_NO = 400 };

static enum zap_answer
admit(struct ag_switch *sw, zmq_msg_t *f, unsigned count, struct row **out)
{
	uint8_t token[32], hash[32];
	char hex[65];
	struct row *row;
	bool ok;

	if (count != ZAP_FRAMES || zmq_msg_size(&f[5]) != 5 ||
	    memcmp(zmq_msg_data(&f[5]), "PLAIN", 5) != 0)
		return ZAP_NO;
	row = row_named(sw, zmq_msg_data(&f[2]), zmq_msg_size(&f[2]));
	if (row == NULL || zmq_msg_size(&f[6]) != strlen(row->name) ||
	    memcmp(zmq_msg_data(&f[6]), row->name, strlen(row->name)) != 0 ||
	    zmq_msg_size(&f[7]) != 64)
		return ZAP_NO;
	memcpy(hex, zmq_msg_data(&f[7]), 64);
	hex[64] = '\0';
	ok = ag_hex_parse(hex, token, sizeof(token));
	if (ok)
		ag_sha256(token, sizeof(token), hash);
	ok = ok && ag_secret_equal(hash, row->token_hash, sizeof(hash));
	ag_wipe(hex, sizeof(hex));
	ag_wipe(token, sizeof(token));
	if (!ok ||
	    peer_uid(zmq_msg_data(&f[3]), zmq_msg_size(&f[3])) != (long)row->uid)
		return ZAP_NO;
	drain_monitor(sw, row);
	if (row->live)
		return ZAP_LATER;
	*out = row;
	return ZAP_YES;
}

static void
answer_zap(struct ag_switch *sw, zmq_msg_t *f, enum zap_answer answer,
    const struct row *row)
{
	const char *status = answer == ZAP_YES ? "200" :
	    answer == ZAP_LATER ? "300" : "400";
	const char *text = row != NULL ? "OK" : "denied";
	const char *user = row != NULL ? row->name : "";

	zmq_send(sw->zap, "1.0", 3, ZMQ_SNDMORE);
	zmq_send(sw->zap, zmq_msg_data(&f[1]), zmq_msg_size(&f[1]), ZMQ_SNDMORE);
	zmq_send(sw->zap, status, 3, ZMQ_SNDMORE);
	zmq_send(sw->zap, text, strlen(text), ZMQ_SNDMORE);
	zmq_send(sw->zap, user, strlen(user), ZMQ_SNDMORE);
	zmq_send(sw->zap, "", 0, 0);
}

static void
serve_zap(struct ag_switch *sw)
{
	while (readable(sw->zap)) {
		zmq_msg_t frames[ZAP_FRAMES];
		unsigned count = 0;
		int more = 1;
		struct row *row = NULL;
		enum zap_answer answer;

		while (more && count < ZAP_FRAMES) {
			zmq_msg_init(&frames[count]);
			if (zmq_msg_recv(&frames[count], sw->zap, ZMQ_DONTWAIT) < 0)
				break;
			more = zmq_msg_more(&frames[count]);
			count++;
		}
		while (more) { /* more frames than RFC 27 has: not ours */
			zmq_msg_t rest;

			zmq_msg_init(&rest);
			if (zmq_msg_recv(&rest, sw->zap, ZMQ_DONTWAIT) < 0)
				break;
			more = zmq_msg_more(&rest);
			zmq_msg_close(&rest);
			count = 0;
		}
		if (count < 2)
			return;
		answer = admit(sw, frames, count, &row);
		if (answer != ZAP_YES)
			sw->denied++;
		answer_zap(sw, frames, answer, row);
		for (unsigned i = 0; i < count; i++)
			zmq_msg_close(&frames[i]);
	}
}

/* One frame of a row; false when there is none. */
static bool
take_frame(struct ag_switch *sw, struct row *row, ag_switch_on_frame *on_frame,
    void *arg)
{
	zmq_msg_t msg;
	const char *user;
	bool partial = row->partial;

	zmq_msg_init(&msg);
	if (zmq_msg_recv(&msg, row->socket, ZMQ_DONTWAIT) < 0) {
		zmq_msg_close(&msg);
		return false;
	}
	row->partial = zmq_msg_more(&msg);
	user = zmq_msg_gets(&msg, "User-Id");
	if (user == NULL || strcmp(user, row->name) != 0 || partial ||
	    row->partial) {
		zmq_msg_close(&msg);
		return true;
	}
	if (row->live_fd < 0)
		row->live_fd = zmq_msg_get(&msg, ZMQ_SRCFD);
	sw->forwarding = &msg;
	on_frame(arg, row->slot, zmq_msg_data(&msg), zmq_msg_size(&msg));
	sw->forwarding = NULL;
	zmq_msg_close(&msg);
	return true;
}

static void
look_at_rows(struct ag_switch *sw, ag_switch_on_frame *on_frame, void *arg)
{
	for (unsigned slot = 0; slot < sw->slots_used; slot++) {
		struct row *row = &sw->rows[slot];
		unsigned n = 0;

		if (!row->open || !row->look)
			continue;
		row->look = false;
		while (n < AG_TURN_FRAMES_MAX && row->open &&
		    take_frame(sw, row, on_frame, arg))
			n++;
		if (n == AG_TURN_FRAMES_MAX)
			row->look = true;
	}
}

static void
note_event(struct ag_switch *sw, uint64_t data, bool *extra)
{
	unsigned slot = (uint32_t)data;

	switch ((enum watch_kind)(data >> 32)) {
	case WATCH_ROW:
		/* Receiving until there is nothing takes the signal off the
		 * descriptor: reading ZMQ_EVENTS first would be one call more. */
		sw->rows[slot].look = sw->rows[slot].open;
		break;
	case WATCH_MONITOR:
		if (sw->rows[slot].open && readable(sw->rows[slot].monitor))
			drain_monitor(sw, &sw->rows[slot]);
		break;
	case WATCH_ZAP:
		serve_zap(sw);
		break;
	case WATCH_EXTRA:
		*extra = true;
		break;
	case WATCH_OTHER:
		sw->on_ready(sw->ready_arg, slot);
		break;
	}
}

static bool
anything_to_look_at(const struct ag_switch *sw)
{
	for (unsigned slot = 0; slot < sw->slots_used; slot++)
		if (sw->rows[slot].open && sw->rows[slot].look)
			return true;
	return false;
}

ag_err
ag_switch_turn(struct ag_switch *sw, int timeout_ms, int extra_fd, bool *extra,
    ag_switch_on_frame *on_frame, ag_switch_on_peer *on_peer, void *arg)
{
	struct epoll_event events[EPOLL_BATCH];
	int n;

	sw->on_peer = on_peer;
	sw->peer_arg = arg;
	*extra = false;
	if (extra_fd != sw->extra_fd) {
		if (sw->extra_fd >= 0)
			epoll_ctl(sw->epoll, EPOLL_CTL_DEL, sw->extra_fd, NULL);
		if (extra_fd >= 0 && !watch(sw, extra_fd, WATCH_EXTRA, 0))
			return AG_IO;
		sw->extra_fd = extra_fd;
	}
	n = epoll_wait(sw->epoll, events, EPOLL_BATCH,
	    anything_to_look_at(sw) ? 0 : timeout_ms);
	if (n < 0 && errno != EINTR)
		return AG_IO;
	for (int i = 0; i < n; i++)
		note_event(sw, events[i].data.u64, extra);
	look_at_rows(sw, on_frame, arg);
	return AG_OK;
}

bool
ag_switch_is_live(const struct ag_switch *sw, unsigned slot)
{
	return slot < sw->slots_max && sw->rows[slot].open &&
	    sw->rows[slot].live;
}

static ag_err
deliverable(struct ag_switch *sw, unsigned to)
{
	return ag_switch_is_live(sw, to) ? AG_OK : AG_NOBODY;
}

ag_err
ag_switch_forward(struct ag_switch *sw, unsigned to)
{
	ag_err err = deliverable(sw, to);

	if (err != AG_OK)
		return err;
	sw->rows[to].look = true; /* sending may have eaten its signal */
	if (zmq_msg_send(sw->forwarding, sw->rows[to].socket, ZMQ_DONTWAIT) < 0)
		return errno == EAGAIN ? AG_FULL : AG_IO;
	zmq_msg_init(sw->forwarding);
	return AG_OK;
}

ag_err
ag_switch_send(struct ag_switch *sw, unsigned to, const uint8_t *bytes,
    size_t len)
{
	ag_err err = deliverable(sw, to);

	if (err != AG_OK)
		return err;
	sw->rows[to].look = true;
	if (zmq_send(sw->rows[to].socket, bytes, len, ZMQ_DONTWAIT) < 0)
		return errno == EAGAIN ? AG_FULL : AG_IO;
	return AG_OK;
}

ag_err
ag_switch_also(struct ag_switch *sw, int fd, unsigned n,
    ag_switch_on_ready *on_ready, void *arg)
{
	sw->on_ready = on_ready;
	sw->ready_arg = arg;
	return watch(sw, fd, WATCH_OTHER, n) ? AG_OK : AG_IO;
}

void
ag_switch_no_more(struct ag_switch *sw, int fd)
{
	epoll_ctl(sw->epoll, EPOLL_CTL_DEL, fd, NULL);
}

uint64_t
ag_switch_denied(const struct ag_switch *sw)
{
	return sw->denied;
}

/* ------------------------------------------------------------- topics */

struct ag_topics {
	void *zmq;
	void *socket;
	bool wanted;
};

ag_err
ag_topics_open(const char *endpoint, unsigned queue_max, struct ag_topics **out)
{
	struct ag_topics *topics = calloc(1, sizeof(*topics));

	if (topics == NULL)
		return AG_NO_MEMORY;
	topics->zmq = zmq_ctx_new();
	if (topics->zmq != NULL)
		topics->socket = zmq_socket(topics->zmq, ZMQ_XPUB);
	if (topics->socket == NULL || !set_common(topics->socket, queue_max) ||
	    zmq_bind(topics->socket, endpoint) != 0) {
		ag_log_plain(AG_ERROR, "TOPICS-BIND", "endpoint=%s error=%s",
		    endpoint, zmq_strerror(zmq_errno()));
		ag_topics_close(&topics);
		return AG_IO;
	}
	*out = topics;
	return AG_OK;
}

/* An XPUB hears who subscribes. That somebody left is not believed: any
 * subscriber could say it for the others. */
bool
ag_topics_wanted(struct ag_topics *topics)
{
	char word[16];

	while (zmq_recv(topics->socket, word, sizeof(word), ZMQ_DONTWAIT) > 0)
		if (word[0] == 1)
			topics->wanted = true;
	return topics->wanted;
}

ag_err
ag_topics_publish(struct ag_topics *topics, const char *topic, const void *bytes,
    size_t len)
{
	if (zmq_send(topics->socket, topic, strlen(topic),
	        ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0 ||
	    zmq_send(topics->socket, bytes, len, ZMQ_DONTWAIT) < 0)
		return AG_IO;
	return AG_OK;
}

void
ag_topics_close(struct ag_topics **topicsp)
{
	struct ag_topics *topics = *topicsp;

	*topicsp = NULL;
	if (topics == NULL)
		return;
	if (topics->socket != NULL)
		zmq_close(topics->socket);
	if (topics->zmq != NULL)
		zmq_ctx_term(topics->zmq);
	free(topics);
}
