/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files that actors write themselves (the audit log's segments, the root of
 * trust's slots): real ones, but a process can die at every call, a write be
 * torn there, the disk be full or fail, and the power take what was not synced.
 */
#include "sim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { SECTOR = 512, UNSYNCED_MAX = 4096 };

int __real_open64(const char *path, int flags, ...);
ssize_t __real_pwrite64(int fd, const void *bytes, size_t len, off_t at);
ssize_t __real_pwritev64v2(int fd, const struct iovec *parts, int count, off_t at,
    int flags);
int __real_fdatasync(int fd);
int __real_fsync(int fd);
int __real_rename(const char *from, const char *to);
int __real_unlink(const char *path);
int __wrap_open64(const char *path, int flags, ...);
ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t len, off_t at);
ssize_t __wrap_pwritev64v2(int fd, const struct iovec *parts, int count, off_t at,
    int flags);
int __wrap_fdatasync(int fd);
int __wrap_fsync(int fd);
int __wrap_rename(const char *from, const char *to);
int __wrap_unlink(const char *path);

/* What a sector held before a write that was not synced yet. */
struct unsynced {
	int fd; /* of our own, so that it outlives the writer's */
	unsigned slot, start; /* who wrote it, in which of its lives */
	ino_t ino;
	off_t at;
	size_t len;
	uint8_t *old;
};
static struct unsynced unsynced[UNSYNCED_MAX];
static unsigned unsynced_count;

bool
disk_operation(void)
{
	struct proc *p = sim.now;

	if (p == NULL)
		return false; /* the simulator's own */
	if (!p->zombie && p->dies_in >= 0 && p->dies_in-- == 0) {
		sim_trace("dies %s at a storage operation", p->name);
		p->zombie = true;
	}
	return p->zombie;
}

static bool
ours(void)
{
	return sim.machine && sim.now != NULL;
}

static void
drop(unsigned i)
{
	close(unsynced[i].fd);
	free(unsynced[i].old);
	memmove(&unsynced[i], &unsynced[i + 1],
	    (--unsynced_count - i) * sizeof(unsynced[0]));
}

static void
synced(int fd)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return;
	for (unsigned i = 0; i < unsynced_count;)
		if (unsynced[i].ino == st.st_ino)
			drop(i);
		else
			i++;
}

void
files_forget(void)
{
	while (unsynced_count > 0)
		drop(unsynced_count - 1);
}

static void
note(int fd, size_t len, off_t at)
{
	struct unsynced *u = &unsynced[unsynced_count];
	struct stat st;

	if (unsynced_count == UNSYNCED_MAX || fstat(fd, &st) != 0)
		ag_panic("more unsynced writes than the simulator keeps");
	*u = (struct unsynced){ .slot = sim.now->slot,
		.start = sim.now->starts, .fd = dup(fd), .ino = st.st_ino, .at = at,
		.len = len, .old = calloc(1, len + 1) };
	/* Behind the end there was nothing: zeros, as the file system has it. */
	if (u->fd < 0 || u->old == NULL || pread(fd, u->old, len, at) < 0)
		ag_panic("the simulator cannot read what it overwrites");
	unsynced_count++;
}

/* Who goes on must not build on what only the cache has of an earlier life. */
void
files_check(const struct proc *p)
{
	struct stat st;

	for (unsigned i = 0; i < unsynced_count; i++)
		if (unsynced[i].slot == p->slot &&
		    unsynced[i].start != p->starts &&
		    fstat(unsynced[i].fd, &st) == 0 && st.st_nlink > 0)
			sim_wrong("%s goes on over what an earlier start has not "
			    "synced", p->name);
}

/* Newest first, each sector by itself: the cache wrote some of them. */
void
disk_power_lost(void)
{
	while (unsynced_count > 0) {
		struct unsynced *u = &unsynced[unsynced_count - 1];

		for (size_t i = 0; i < u->len; i += SECTOR) {
			size_t n = u->len - i < SECTOR ? u->len - i : SECTOR;

			if (rng_chance(&sim.chance, 500) && __real_pwrite64(u->fd,
			        u->old + i, n, u->at + (off_t)i) != (ssize_t)n)
				ag_panic("the simulator cannot take a write back");
		}
		drop(unsynced_count - 1);
	}
}

/* Some sectors of a write arrive, in any order. */
static void
tear(int fd, const uint8_t *bytes, size_t len, off_t at)
{
	unsigned share = rng_below(&sim.chance, 1001);

	for (size_t i = 0; i < len;) {
		size_t n = SECTOR - (size_t)(at + (off_t)i) % SECTOR;

		if (n > len - i)
			n = len - i;
		if (rng_chance(&sim.chance, share) && __real_pwrite64(fd,
		        bytes + i, n, at + (off_t)i) != (ssize_t)n)
			ag_panic("the simulator cannot write");
		i += n;
	}
}

/* What becomes of a write: -1: it is not done; 0: go on with it. */
static int
fate(int fd, const uint8_t *bytes, size_t len, off_t at, bool through)
{
	struct proc *p = sim.now;
	bool was = p->zombie;
	struct stat st;

	if (disk_operation()) {
		if (!was)
			tear(fd, bytes, len, at);
		return 1; /* nobody will see what this says */
	}
	if (p->broken && through) {
		p->broken = false;
		p->excused = true;
		tear(fd, bytes, len, at);
		errno = EIO;
		return -1;
	}
	if (p->full && fstat(fd, &st) == 0 && at + (off_t)len > st.st_size) {
		p->excused = true;
		errno = ENOSPC;
		return -1;
	}
	return 0;
}

/* What was written through is there, whatever was to be written before it. */
static void
written_through(int fd, const uint8_t *bytes, size_t len, off_t at)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return;
	for (unsigned i = 0; i < unsynced_count; i++) {
		struct unsynced *u = &unsynced[i];
		off_t from = u->at > at ? u->at : at;
		off_t to = u->at + (off_t)u->len < at + (off_t)len ?
		    u->at + (off_t)u->len : at + (off_t)len;

		if (u->ino == st.st_ino && from < to)
			memcpy(u->old + (from - u->at), bytes + (from - at),
			    (size_t)(to - from));
	}
}

ssize_t
__wrap_pwrite64(int fd, const void *bytes, size_t len, off_t at)
{
	int f;

	if (!ours())
		return __real_pwrite64(fd, bytes, len, at);
	if ((f = fate(fd, bytes, len, at, false)) != 0)
		return f < 0 ? -1 : (ssize_t)len;
	note(fd, len, at);
	return __real_pwrite64(fd, bytes, len, at);
}

ssize_t
__wrap_pwritev64v2(int fd, const struct iovec *parts, int count, off_t at,
    int flags)
{
	int f;

	if (!ours())
		return __real_pwritev64v2(fd, parts, count, at, flags);
	if (count != 1)
		ag_panic("the simulator knows writes of one part");
	f = fate(fd, parts->iov_base, parts->iov_len, at, true);
	if (f != 0)
		return f < 0 ? -1 : (ssize_t)parts->iov_len;
	written_through(fd, parts->iov_base, parts->iov_len, at);
	return __real_pwrite64(fd, parts->iov_base, parts->iov_len, at);
}

/* The disk is memory here: what counts is that the cache is empty now. */
static int
sync_file(int fd)
{
	struct proc *p = sim.now;

	if (disk_operation())
		return 0;
	if (p->broken) {
		p->broken = false;
		p->excused = true;
		errno = EIO;
		return -1;
	}
	synced(fd);
	return 0;
}

int
__wrap_fdatasync(int fd)
{
	return ours() ? sync_file(fd) : __real_fdatasync(fd);
}

int
__wrap_fsync(int fd)
{
	return ours() ? sync_file(fd) : __real_fsync(fd);
}

int
__wrap_rename(const char *from, const char *to)
{
	if (ours() && disk_operation())
		return 0;
	return __real_rename(from, to);
}

int
__wrap_unlink(const char *path)
{
	if (ours() && disk_operation())
		return 0;
	return __real_unlink(path);
}

int
__wrap_open64(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = (flags & O_CREAT) != 0 ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	if (ours() && (flags & (O_CREAT | O_TRUNC)) != 0 && disk_operation()) {
		errno = EIO;
		return -1;
	}
	return __real_open64(path, flags, mode);
}
