/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file: one line of JSON an event, appended to a file. What a batch brought is
 * on the disk before the cursor moves past it: after a crash a line may be
 * there twice (its event_id says so), none is missing. The file may be moved
 * away (logrotate): a new one is begun within a second, or at once on SIGHUP.
 */
#include "feed.h"
#include "line.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUFFER_BYTES = 1 << 20 };

struct file {
	char path[FEED_PATH_MAX];
	int fd; /* -1: not open */
	dev_t dev;
	ino_t ino;
	bool broken; /* a write failed half-way: begin a line of its own */
	size_t len; /* in the buffer */
	char buffer[BUFFER_BYTES];
};

/* A crash or a full disk may have left half a line at the end. */
static bool
ends_broken(const struct file *file, const struct stat *st)
{
	char last = '\n';
	int fd;

	if (!S_ISREG(st->st_mode) || st->st_size == 0)
		return false;
	if ((fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)) < 0)
		return false;
	if (pread(fd, &last, 1, st->st_size - 1) != 1)
		last = '\n';
	close(fd);
	return last != '\n';
}

static ag_err
file_open(struct file *file)
{
	struct stat st;

	file->fd = open(file->path,
	    O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (file->fd < 0 || fstat(file->fd, &st) != 0)
		return AG_IO;
	file->dev = st.st_dev;
	file->ino = st.st_ino;
	file->broken = ends_broken(file, &st);
	return AG_OK;
}

static void
file_close(struct file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	file->fd = -1;
}

static bool
was_moved(const struct file *file)
{
	struct stat st;

	return stat(file->path, &st) != 0 || st.st_dev != file->dev ||
	    st.st_ino != file->ino;
}

/* Writes what is in the buffer. */
static ag_err
file_write(struct file *file)
{
	/* Half a line may be there from a full disk; it is ended. */
	if (file->broken && line_write(file->fd, "\n", 1) != AG_OK)
		return AG_IO;
	file->broken = false;
	if (line_write(file->fd, file->buffer, file->len) != AG_OK) {
		file->broken = true;
		return AG_IO;
	}
	file->len = 0;
	return AG_OK;
}

static ag_err
put(struct file *file, const struct feed_item *item)
{
	ag_err err;
	char *line;
	size_t len;

	if ((err = line_of_item(item, &line, &len)) != AG_OK)
		return err;
	if (file->len + len > sizeof(file->buffer))
		err = file_write(file);
	if (err == AG_OK) {
		memcpy(file->buffer + file->len, line, len);
		file->len += len;
	}
	line_free(line);
	return err;
}

static ag_err
file_deliver(void *own, struct feed_batch *batch)
{
	struct file *file = own;
	ag_err err = AG_OK;

	if (file->fd >= 0 && (batch->hup || was_moved(file)))
		file_close(file);
	if (file->fd < 0 && (err = file_open(file)) != AG_OK)
		return feed_fail(batch, err, "open: %s", strerror(errno));
	file->len = 0;
	for (size_t i = 0; err == AG_OK && i < batch->count; i++)
		err = put(file, &batch->items[i]);
	if (err == AG_OK)
		err = file_write(file);
	if (err == AG_OK && fdatasync(file->fd) != 0 && errno != EINVAL &&
	    errno != EROFS)
		err = AG_IO;
	return err == AG_OK ? err :
	    feed_fail(batch, err, "write: %s", strerror(errno));
}

static ag_err
file_start(void *own, struct feed *feed, struct ag_ctx *ctx)
{
	const char *path = feed_option(feed, "path");
	struct file *file = own;
	ag_err err;

	file->fd = -1;
	if (path == NULL)
		return AG_USAGE;
	if ((err = feed_path(feed, path, file->path)) == AG_OK)
		err = file_open(file);
	if (err != AG_OK)
		ag_log(ctx, AG_ERROR, "SINK-OPEN", "path=%s error=%s", path,
		    strerror(errno));
	return err;
}

static void
file_stop(void *own)
{
	file_close(own);
}

static const struct feed_sink sink = {
	.own_size = sizeof(struct file),
	.batch_max = 2048,
	.tends = true,
	.open = file_start,
	.deliver = file_deliver,
	.close = file_stop,
};

FEED_ACTOR(file, sink);
