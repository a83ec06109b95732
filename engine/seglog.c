/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seglog: writes the audit log's segments. Space is zero-filled ahead of need,
 * so that a sync has only data to write (half the cost of one that also
 * extends the file), and so that a full disk is met before anything changed.
 */
#include "engine.h"
#include "seglog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
	GROWTH = 4,          /* a spare is at most this much larger than now */
	SPARE_AT_DIVISOR = 4, /* make it when a quarter is used */
	BUFFER_MIN = 256 << 10,
};

struct ag_seglog {
	char dir[AG_SEG_PATH_MAX - 32];
	int fd;
	uint64_t segment_bytes; /* size of a full-grown segment */
	uint64_t segment, size; /* the current file */
	uint64_t offset;        /* what is durable ends here */
	uint64_t pos;           /* of the next event */
	uint32_t batch;
	uint8_t *buf;
	size_t len, cap;
	bool spare_making;
	uint64_t spare_bytes; /* 0: there is none */
	uint64_t spare_retry; /* rooms to ask before the next try */
};

size_t
ag_seglog_cost(size_t tenant_len, size_t body_len)
{
	return seg_aligned(AG_SEG_RECORD_BYTES + tenant_len + body_len);
}

static ag_err
write_all(int fd, const uint8_t *bytes, size_t len, uint64_t offset)
{
	while (len > 0) {
		ssize_t n = pwrite(fd, bytes, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 && errno == ENOSPC ? AG_FULL : AG_IO;
		bytes += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return AG_OK;
}

/*
 * On disk when it returns: one call that writes through, a third faster than
 * write and fdatasync (docs/performance.md). Only what it writes is synced, so
 * everything else here syncs its own. What it says of a failure is final, as
 * with fdatasync: nobody tries again.
 */
static ag_err
write_through(int fd, const uint8_t *bytes, size_t len, uint64_t offset)
{
	while (len > 0) {
		struct iovec part = { (void *)(uintptr_t)bytes, len };
		ssize_t n = pwritev2(fd, &part, 1, (off_t)offset, RWF_DSYNC);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return AG_IO;
		bytes += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return AG_OK;
}

/* ------------------------------------------------------------ the spare */

ag_err
ag_seglog_spare_make(const struct ag_seglog_spare *spare)
{
	static const uint8_t zeros[AG_SEG_STEP_BYTES];
	ag_err err = AG_OK;
	int fd = open(spare->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC,
	    0640); /* the group: history, where it has a uid of its own */

	if (fd < 0)
		return errno == ENOSPC ? AG_FULL : AG_IO;
	/* In steps, so that no other sync waits behind a large one. */
	for (uint64_t at = 0; err == AG_OK && at < spare->bytes;) {
		uint64_t n = spare->bytes - at;

		if (n > sizeof(zeros))
			n = sizeof(zeros);
		err = write_all(fd, zeros, n, at);
		if (err == AG_OK && fdatasync(fd) != 0)
			err = errno == ENOSPC ? AG_FULL : AG_IO;
		at += n;
	}
	close(fd);
	if (err != AG_OK)
		unlink(spare->path);
	return err;
}

bool
ag_seglog_is_roomy(const struct ag_seglog *log)
{
	return log->spare_bytes != 0 ||
	    log->offset + log->len < log->size / SPARE_AT_DIVISOR;
}

bool
ag_seglog_spare_due(struct ag_seglog *log, struct ag_seglog_spare *spare)
{
	if (log->spare_making || ag_seglog_is_roomy(log))
		return false;
	spare->bytes = log->size * GROWTH;
	if (spare->bytes > log->segment_bytes)
		spare->bytes = log->segment_bytes;
	snprintf(spare->path, sizeof(spare->path), "%s/spare", log->dir);
	log->spare_making = true;
	return true;
}

void
ag_seglog_spare_done(struct ag_seglog *log, const struct ag_seglog_spare *spare,
    ag_err result)
{
	log->spare_making = false;
	if (result != AG_OK)
		return;
	log->spare_bytes = spare->bytes;
	log->spare_retry = 0;
}

/* ------------------------------------------------------- a new segment */

static ag_err
dir_sync(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ag_err err = AG_OK;

	if (fd < 0)
		return AG_IO;
	if (fsync(fd) != 0)
		err = AG_IO;
	close(fd);
	return err;
}

static void
segment_path(const char *dir, uint64_t first, char out[AG_SEG_PATH_MAX])
{
	snprintf(out, AG_SEG_PATH_MAX, "%s/%016llx.seg", dir,
	    (unsigned long long)first);
}

/* Turns the zero-filled file `path` into the segment that begins at `first`. */
static ag_err
segment_begin(const char *dir, const char *path, uint64_t first, uint64_t size,
    int *out)
{
	uint8_t header[AG_SEG_HEADER_BYTES] = { 0 };
	char name[AG_SEG_PATH_MAX];
	ag_err err = AG_IO;
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return AG_IO;
	memcpy(header, SEG_MAGIC, sizeof(SEG_MAGIC));
	seg_put(header + 8, first, 8);
	seg_put(header + 16, size, 8);
	segment_path(dir, first, name);
	if (access(name, F_OK) == 0)
		goto out; /* never over another segment */
	if ((err = write_all(fd, header, sizeof(header), 0)) != AG_OK)
		goto out;
	err = AG_IO;
	if (fdatasync(fd) != 0 || rename(path, name) != 0)
		goto out;
	err = dir_sync(dir);
out:
	if (err != AG_OK)
		close(fd);
	else
		*out = fd;
	return err;
}

static ag_err
log_new(const char *dir, uint64_t segment_bytes, struct ag_seglog **out)
{
	struct ag_seglog *log;

	if (strlen(dir) >= sizeof(log->dir))
		return AG_USAGE;
	if ((log = calloc(1, sizeof(*log))) == NULL)
		return AG_NO_MEMORY;
	log->fd = -1;
	log->segment_bytes = segment_bytes < AG_SEG_BYTES_MIN ?
	    AG_SEG_BYTES_MIN : segment_bytes;
	log->cap = BUFFER_MIN;
	log->buf = malloc(log->cap);
	if (log->buf == NULL) {
		free(log);
		return AG_NO_MEMORY;
	}
	strcpy(log->dir, dir);
	*out = log;
	return AG_OK;
}

ag_err
ag_seglog_create(const char *dir, uint64_t segment_bytes, struct ag_seglog **out)
{
	struct ag_seglog_spare spare = { .bytes = AG_SEG_BYTES_MIN };
	struct ag_seglog *log = NULL;
	ag_err err;

	if (mkdir(dir, 0700) != 0 && errno != EEXIST)
		return AG_IO;
	if ((err = log_new(dir, segment_bytes, &log)) != AG_OK)
		return err;
	snprintf(spare.path, sizeof(spare.path), "%s/spare", dir);
	if ((err = ag_seglog_spare_make(&spare)) == AG_OK)
		err = segment_begin(dir, spare.path, 1, spare.bytes, &log->fd);
	if (err != AG_OK) {
		ag_seglog_close(&log);
		return err;
	}
	log->segment = log->pos = 1;
	log->size = spare.bytes;
	log->offset = AG_SEG_HEADER_BYTES;
	log->batch = 1;
	*out = log;
	return AG_OK;
}

/* Zeroes what a crash left behind `offset`. Only what is not zero is written;
 * but all is synced: an earlier start may have zeroed it and died before its
 * sync, and then the cache alone knows. */
static ag_err
cut(int fd, uint64_t offset, uint64_t size)
{
	static const uint8_t zeros[64 << 10];
	uint8_t now[sizeof(zeros)];
	ag_err err;

	while (offset < size) {
		size_t n = size - offset < sizeof(now) ? size - offset : sizeof(now);
		ssize_t got = pread(fd, now, n, (off_t)offset);

		if (got <= 0)
			return AG_IO;
		if (memcmp(now, zeros, (size_t)got) != 0) {
			err = write_all(fd, zeros, (size_t)got, offset);
			if (err != AG_OK)
				return err;
		}
		offset += (uint64_t)got;
	}
	return fdatasync(fd) != 0 ? AG_IO : AG_OK;
}

ag_err
ag_seglog_resume(const char *dir, uint64_t segment_bytes, uint64_t segment,
    uint64_t offset, uint64_t pos, uint32_t batch, struct ag_seglog **out)
{
	struct ag_seglog *log = NULL;
	char path[AG_SEG_PATH_MAX];
	struct stat st;
	ag_err err;

	if ((err = log_new(dir, segment_bytes, &log)) != AG_OK)
		return err;
	/* A spare that a crash left is of unknown completeness. */
	snprintf(path, sizeof(path), "%s/spare", dir);
	unlink(path);
	segment_path(dir, segment, path);
	err = AG_IO;
	log->fd = open(path, O_RDWR | O_CLOEXEC);
	if (log->fd < 0 || fstat(log->fd, &st) != 0)
		goto fail;
	if ((err = cut(log->fd, offset, (uint64_t)st.st_size)) != AG_OK)
		goto fail;
	log->segment = segment;
	log->size = (uint64_t)st.st_size;
	log->offset = offset;
	log->pos = pos;
	log->batch = batch + 1;
	*out = log;
	return AG_OK;
fail:
	ag_seglog_close(&log);
	return err;
}

void
ag_seglog_close(struct ag_seglog **log)
{
	if (*log == NULL)
		return;
	if ((*log)->fd >= 0)
		close((*log)->fd);
	free((*log)->buf);
	free(*log);
	*log = NULL;
}

/* ------------------------------------------------------------ appending */

static void
buffer_grow(struct ag_seglog *log, size_t need)
{
	size_t cap = log->cap;
	uint8_t *buf;

	while (cap < need)
		cap *= 2;
	if (cap == log->cap)
		return;
	/* Bounded by the mailbox: what one turn can bring. */
	buf = realloc(log->buf, cap);
	if (buf == NULL)
		ag_panic("no memory for %zu bytes of log", cap);
	log->buf = buf;
	log->cap = cap;
}

void
ag_seglog_append(struct ag_seglog *log, enum ag_seg_kind kind,
    const char *tenant, int64_t at, const uint8_t hash[AG_HASH_BYTES],
    const void *body, size_t len)
{
	size_t tenant_len = strlen(tenant), cost = ag_seglog_cost(tenant_len, len);
	uint8_t *p;

	if (tenant_len > AG_SEG_TENANT_MAX || len > AG_SEG_BODY_MAX ||
	    log->offset + log->len + cost > log->size)
		ag_panic("append of %zu bytes without room", len);
	buffer_grow(log, log->len + cost);
	p = log->buf + log->len;
	memset(p, 0, AT_HASH);
	seg_put(p + AT_LENGTH, len, 4);
	p[AT_KIND] = (uint8_t)kind;
	p[AT_TENANT_LEN] = (uint8_t)tenant_len;
	seg_put(p + AT_MARK, SEG_MARK, 2);
	seg_put(p + AT_BATCH, log->batch, 4);
	seg_put(p + AT_TIME, (uint64_t)at, 8);
	memcpy(p + AT_HASH, hash, AG_HASH_BYTES);
	memcpy(p + AG_SEG_RECORD_BYTES, tenant, tenant_len);
	p += AG_SEG_RECORD_BYTES + tenant_len;
	if (len > 0)
		memcpy(p, body, len);
	memset(p + len, 0, cost - AG_SEG_RECORD_BYTES - tenant_len - len);
	log->len += cost;
	if (kind == AG_SEG_EVENT)
		log->pos++;
}

ag_err
ag_seglog_sync(struct ag_seglog *log)
{
	if (log->len == 0)
		return AG_OK;
	if (write_through(log->fd, log->buf, log->len, log->offset) != AG_OK)
		return AG_IO;
	log->offset += log->len;
	log->len = 0;
	log->batch++;
	return AG_OK;
}

/* The new file is there, by name, before the old one says that it goes on; and
 * every event before that name is on disk before the new file is there. */
static ag_err
roll(struct ag_seglog *log)
{
	struct ag_seglog_spare spare = { .bytes = log->spare_bytes };
	uint8_t hash[AG_HASH_BYTES];
	ag_err err;
	int fd;

	if (log->segment == log->pos)
		return AG_FULL; /* not one event in it: nothing to name the next by */
	if ((err = ag_seglog_sync(log)) != AG_OK)
		return err;
	snprintf(spare.path, sizeof(spare.path), "%s/spare", log->dir);
	if (spare.bytes == 0) {
		/* Load outran the worker: a small one, now. */
		snprintf(spare.path, sizeof(spare.path), "%s/spare.now", log->dir);
		spare.bytes = AG_SEG_BYTES_MIN;
		if ((err = ag_seglog_spare_make(&spare)) != AG_OK)
			return err;
	} else {
		log->spare_bytes = 0;
	}
	err = segment_begin(log->dir, spare.path, log->pos, spare.bytes, &fd);
	if (err != AG_OK)
		return AG_IO;
	ag_seg_hash(AG_SEG_END, "", "", 0, hash);
	ag_seglog_append(log, AG_SEG_END, "", 0, hash, "", 0);
	if ((err = ag_seglog_sync(log)) != AG_OK) {
		close(fd);
		return err;
	}
	close(log->fd);
	log->fd = fd;
	log->segment = log->pos;
	log->size = spare.bytes;
	log->offset = AG_SEG_HEADER_BYTES;
	return AG_OK;
}

ag_err
ag_seglog_room(struct ag_seglog *log, size_t bytes, bool *rolled)
{
	uint64_t end = log->offset + log->len + bytes + AG_SEG_RECORD_BYTES;
	ag_err err;

	*rolled = false;
	if (end <= log->size)
		return AG_OK;
	if (bytes > AG_SEG_BYTES_MIN - AG_SEG_HEADER_BYTES - AG_SEG_RECORD_BYTES)
		return AG_REQUEST_TOO_LARGE;
	if (log->spare_retry > 0) {
		log->spare_retry--;
		return AG_FULL;
	}
	if ((err = roll(log)) == AG_FULL)
		log->spare_retry = 256;
	*rolled = err == AG_OK;
	return err;
}

bool
ag_seglog_pending(const struct ag_seglog *log)
{
	return log->len > 0;
}

uint64_t
ag_seglog_next_pos(const struct ag_seglog *log)
{
	return log->pos;
}
