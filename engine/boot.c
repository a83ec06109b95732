/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptor 3: what the supervisor tells a child, once and whole, and the
 * few words back. Framing both ways: for messages u32 little-endian length,
 * then the packed message; for words, a line.
 */
#include "engine.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LENGTH_BYTES = 4, WORD_MAX = 255 };

/* The descriptor may be non-blocking; here it is waited for. */
static ag_err
wait_for(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	while (poll(&p, 1, -1) < 0)
		if (errno != EINTR)
			return AG_IO;
	return AG_OK;
}

static ag_err
read_all(int fd, uint8_t *out, size_t len)
{
	ssize_t n;

	while (len > 0) {
		n = read(fd, out, len);
		if (n > 0) {
			out += n;
			len -= (size_t)n;
		} else if (n == 0) {
			return AG_NOBODY; /* the other side is gone */
		} else if (errno == EAGAIN) {
			if (wait_for(fd, POLLIN) != AG_OK)
				return AG_IO;
		} else if (errno != EINTR) {
			return AG_IO;
		}
	}
	return AG_OK;
}

/* A socketpair as a rule, so that a dead reader is an error and no signal;
 * a pipe will do. */
static ssize_t
put(int fd, const uint8_t *bytes, size_t len)
{
	ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);

	return n < 0 && errno == ENOTSOCK ? write(fd, bytes, len) : n;
}

static ag_err
write_all(int fd, const uint8_t *bytes, size_t len)
{
	ssize_t n;

	while (len > 0) {
		n = put(fd, bytes, len);
		if (n >= 0) {
			bytes += n;
			len -= (size_t)n;
		} else if (errno == EAGAIN) {
			if (wait_for(fd, POLLOUT) != AG_OK)
				return AG_IO;
		} else if (errno != EINTR) {
			return errno == EPIPE ? AG_NOBODY : AG_IO;
		}
	}
	return AG_OK;
}

ag_err
ag_boot_read(int fd, Ag__Boot **out)
{
	uint8_t head[LENGTH_BYTES], *bytes;
	uint32_t len;
	ag_err err;

	*out = NULL;
	if ((err = read_all(fd, head, sizeof(head))) != AG_OK)
		return err;
	len = (uint32_t)head[0] | (uint32_t)head[1] << 8 |
	    (uint32_t)head[2] << 16 | (uint32_t)head[3] << 24;
	if (len == 0 || len > AG_BOOT_BYTES_MAX)
		return AG_BAD_MESSAGE;
	if ((bytes = malloc(len)) == NULL)
		return AG_NO_MEMORY;
	if ((err = read_all(fd, bytes, len)) == AG_OK) {
		*out = ag__boot__unpack(NULL, len, bytes);
		if (*out == NULL)
			err = AG_BAD_MESSAGE;
	}
	ag_wipe(bytes, len); /* it held the token and the MAC key */
	free(bytes);
	return err;
}

ag_err
ag_boot_write(int fd, const Ag__Boot *boot)
{
	size_t len = ag__boot__get_packed_size(boot);
	uint8_t *bytes;
	ag_err err;

	if (len == 0 || len > AG_BOOT_BYTES_MAX)
		return AG_FULL;
	if ((bytes = malloc(LENGTH_BYTES + len)) == NULL)
		return AG_NO_MEMORY;
	for (unsigned i = 0; i < LENGTH_BYTES; i++)
		bytes[i] = (uint8_t)(len >> (8 * i));
	ag__boot__pack(boot, bytes + LENGTH_BYTES);
	err = write_all(fd, bytes, LENGTH_BYTES + len);
	ag_wipe(bytes, LENGTH_BYTES + len);
	free(bytes);
	return err;
}

/* Standard output is the log, too, where it was the same file. */
static void
take_log(int fd)
{
	struct stat out, err;
	bool both = fstat(STDOUT_FILENO, &out) == 0 &&
	    fstat(STDERR_FILENO, &err) == 0 && out.st_dev == err.st_dev &&
	    out.st_ino == err.st_ino;

	if (dup2(fd, STDERR_FILENO) >= 0 && both)
		(void)dup2(fd, STDOUT_FILENO);
	close(fd);
}

ssize_t
ag_boot_hear(int fd, void *out, size_t size)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec part = { out, size };
	struct msghdr head = { .msg_iov = &part, .msg_iovlen = 1,
		.msg_control = control.bytes, .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(fd, &head, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	const struct cmsghdr *c;
	int log;

	if (n < 0)
		return n;
	for (c = CMSG_FIRSTHDR(&head); c != NULL;
	    c = CMSG_NXTHDR(&head, (struct cmsghdr *)(uintptr_t)c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS ||
		    c->cmsg_len != CMSG_LEN(sizeof(log)))
			continue;
		memcpy(&log, CMSG_DATA(c), sizeof(log));
		take_log(log);
	}
	return n;
}

ag_err
ag_boot_tell(int fd, const char *line)
{
	char text[WORD_MAX + 1];
	size_t n = strlen(line);

	if (n >= WORD_MAX || strchr(line, '\n') != NULL)
		ag_panic("not one short line: %s", line);
	memcpy(text, line, n);
	text[n++] = '\n';
	return write_all(fd, (const uint8_t *)text, n);
}
