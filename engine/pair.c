/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pair: one way from one process to another, for frames. Its two ends are
 * sockets that the supervisor made and each side inherited, so nobody connects
 * and nobody has to prove who it is: whoever holds the end was given it.
 *
 * SOCK_SEQPACKET keeps packets whole when a process dies between two of them;
 * what its successor says starts a frame anew. A packet is the number of bytes
 * of the frame, the place in it (both u32 LE), and bytes of the frame.
 */
#include "engine.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	PACKET_HEADER = 8,
	PACKET_BYTES = 64 << 10, /* of a frame; any kernel's send buffer holds it */
	SEND_BUFFER = 1 << 20,   /* asked for; net.core.wmem_max may say less */
	WAITING_BYTES_MAX = 64 << 20, /* for one who does not hear */
};

static void
put32(uint8_t *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, sizeof(v));
}

static uint32_t
get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

ag_err
ag_pair_make(int ends[2])
{
	int bytes = SEND_BUFFER;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
	        ends) != 0)
		return AG_IO;
	/* One way only. A smaller buffer is a slower line, not a wrong one. */
	(void)setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	if (shutdown(ends[0], SHUT_RD) == 0)
		return AG_OK;
	close(ends[0]);
	close(ends[1]);
	return AG_IO;
}

/* ------------------------------------------------------------------- saying */

/* A frame that the socket had no room for, or the rest of one. */
struct waiting {
	struct waiting *next;
	size_t len, done;
	uint8_t bytes[];
};

struct ag_pair_out {
	int fd;
	unsigned count, count_max;
	size_t bytes; /* of the waiting frames */
	struct waiting *first, *last;
};

ag_err
ag_pair_out_open(int fd, unsigned queue_max, struct ag_pair_out **outp)
{
	struct ag_pair_out *out = calloc(1, sizeof(*out));

	if (out == NULL)
		return AG_NO_MEMORY;
	out->fd = fd;
	out->count_max = queue_max;
	*outp = out;
	return AG_OK;
}

/* Sends from *done on. AG_FULL: the rest has to wait. */
static ag_err
send_frame(int fd, const uint8_t *bytes, size_t len, size_t *done)
{
	while (*done < len) {
		uint8_t header[PACKET_HEADER];
		size_t n = len - *done < PACKET_BYTES ? len - *done :
		    PACKET_BYTES;
		struct iovec parts[] = { { header, sizeof(header) },
			{ (uint8_t *)(uintptr_t)bytes + *done, n } };
		struct msghdr packet = { .msg_iov = parts, .msg_iovlen = 2 };

		put32(header, (uint32_t)len);
		put32(header + 4, (uint32_t)*done);
		if (sendmsg(fd, &packet, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
			*done += n;
		else if (errno != EINTR)
			return errno == EAGAIN || errno == ENOBUFS ? AG_FULL :
			    AG_IO;
	}
	return AG_OK;
}

ag_err
ag_pair_out_send(struct ag_pair_out *out, const uint8_t *bytes, size_t len)
{
	struct waiting *rest;
	size_t done = 0;
	ag_err err = out->first != NULL ? AG_FULL :
	    send_frame(out->fd, bytes, len, &done);

	if (err != AG_FULL || out->count == out->count_max ||
	    out->bytes + len > WAITING_BYTES_MAX)
		return err;
	if ((rest = malloc(sizeof(*rest) + len)) == NULL)
		return AG_NO_MEMORY;
	rest->next = NULL;
	rest->len = len;
	rest->done = done;
	memcpy(rest->bytes, bytes, len);
	if (out->first == NULL)
		out->first = rest;
	else
		out->last->next = rest;
	out->last = rest;
	out->count++;
	out->bytes += len;
	return AG_OK;
}

static void
drop_first(struct ag_pair_out *out)
{
	struct waiting *first = out->first;

	out->first = first->next;
	out->count--;
	out->bytes -= first->len;
	free(first);
}

bool
ag_pair_out_waits(const struct ag_pair_out *out)
{
	return out->first != NULL;
}

bool
ag_pair_out_is_crowded(const struct ag_pair_out *out)
{
	return out->count >= out->count_max / 4 ||
	    out->bytes >= WAITING_BYTES_MAX / 4;
}

size_t
ag_pair_out_unheard(const struct ag_pair_out *out)
{
	int bytes;

	return ioctl(out->fd, SIOCOUTQ, &bytes) == 0 && bytes > 0 ?
	    (size_t)bytes : 0;
}

void
ag_pair_out_flush(struct ag_pair_out *out)
{
	while (out->first != NULL) {
		struct waiting *first = out->first;

		if (send_frame(out->fd, first->bytes, first->len,
		        &first->done) == AG_FULL)
			return;
		drop_first(out); /* said, or nobody will ever hear it */
	}
}

void
ag_pair_out_forget(struct ag_pair_out *out)
{
	while (out->first != NULL)
		drop_first(out);
}

void
ag_pair_out_close(struct ag_pair_out **outp, unsigned linger_ms)
{
	struct ag_pair_out *out = *outp;
	struct pollfd fd;

	*outp = NULL;
	if (out == NULL)
		return;
	fd = (struct pollfd){ .fd = out->fd, .events = POLLOUT };
	/* As long as whoever hears goes on taking. */
	while (out->first != NULL && poll(&fd, 1, (int)linger_ms) == 1)
		ag_pair_out_flush(out);
	ag_pair_out_forget(out);
	close(out->fd);
	free(out);
}

/* ------------------------------------------------------------------ hearing */

struct ag_pair_room {
	uint8_t packets[AG_TURN_FRAMES_MAX][PACKET_HEADER + PACKET_BYTES];
};

struct ag_pair_in {
	int fd;
	uint8_t *frame; /* one of several packets, as far as it is there */
	size_t len, have;
};

ag_err
ag_pair_room_new(struct ag_pair_room **room)
{
	/* Only what packets fill is ever touched. */
	*room = malloc(sizeof(**room));
	return *room == NULL ? AG_NO_MEMORY : AG_OK;
}

void
ag_pair_room_free(struct ag_pair_room **room)
{
	free(*room);
	*room = NULL;
}

ag_err
ag_pair_in_open(int fd, struct ag_pair_in **inp)
{
	struct ag_pair_in *in = calloc(1, sizeof(*in));

	if (in == NULL)
		return AG_NO_MEMORY;
	in->fd = fd;
	*inp = in;
	return AG_OK;
}

static void
forget(struct ag_pair_in *in)
{
	free(in->frame);
	in->frame = NULL;
	in->have = in->len = 0;
}

/* A packet of a longer frame; true: the frame is whole. What does not go on
 * where the last one ended is of one who died, or joined in the middle. */
static bool
gather(struct ag_pair_in *in, uint8_t *bytes, size_t n, size_t len, size_t at)
{
	if (at == 0) {
		forget(in);
		in->frame = malloc(len);
		in->len = len;
	}
	if (in->frame == NULL || at != in->have || len != in->len) {
		forget(in);
		return false;
	}
	memcpy(in->frame + at, bytes, n);
	in->have += n;
	return in->have == len;
}

static bool
take_packet(struct ag_pair_in *in, uint8_t *packet, size_t size,
    ag_pair_on_frame *on_frame, void *arg)
{
	size_t n, len, at;

	if (size < PACKET_HEADER)
		return false;
	n = size - PACKET_HEADER;
	len = get32(packet);
	at = get32(packet + 4);
	if (len > AG_FRAME_BYTES_MAX || at > len || n > len - at)
		return false;
	if (n == len) {
		forget(in);
		on_frame(arg, packet + PACKET_HEADER, len);
	} else if (gather(in, packet + PACKET_HEADER, n, len, at)) {
		on_frame(arg, in->frame, len);
		forget(in);
	}
	return true;
}

/* Not so after an empty packet. */
static bool
has_ended(const struct ag_pair_in *in)
{
	struct pollfd fd = { .fd = in->fd, .events = POLLRDHUP };

	return poll(&fd, 1, 0) == 1 && (fd.revents & POLLRDHUP) != 0;
}

ag_err
ag_pair_in_turn(struct ag_pair_in *in, struct ag_pair_room *room,
    unsigned *malformed, ag_pair_on_frame *on_frame, void *arg)
{
	struct mmsghdr packets[AG_TURN_FRAMES_MAX] = { 0 };
	struct iovec places[AG_TURN_FRAMES_MAX];
	int count;

	for (unsigned i = 0; i < AG_TURN_FRAMES_MAX; i++) {
		places[i].iov_base = room->packets[i];
		places[i].iov_len = sizeof(room->packets[i]);
		packets[i].msg_hdr.msg_iov = &places[i];
		packets[i].msg_hdr.msg_iovlen = 1;
	}
	count = recvmmsg(in->fd, packets, AG_TURN_FRAMES_MAX, MSG_DONTWAIT,
	    NULL);
	if (count < 0)
		return errno == EAGAIN || errno == EINTR ? AG_OK : AG_IO;
	for (int i = 0; i < count; i++) {
		if (packets[i].msg_len == 0 && has_ended(in))
			return AG_NOBODY;
		if ((packets[i].msg_hdr.msg_flags & MSG_TRUNC) != 0 ||
		    !take_packet(in, room->packets[i], packets[i].msg_len,
		        on_frame, arg))
			++*malformed;
	}
	return AG_OK;
}

void
ag_pair_in_skip(struct ag_pair_in *in)
{
	uint8_t byte;

	while (recv(in->fd, &byte, sizeof(byte), MSG_DONTWAIT) > 0)
		;
	forget(in);
}

void
ag_pair_in_close(struct ag_pair_in **inp)
{
	struct ag_pair_in *in = *inp;

	*inp = NULL;
	if (in == NULL)
		return;
	forget(in);
	close(in->fd);
	free(in);
}
