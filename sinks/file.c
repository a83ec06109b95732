/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file: one line of JSON an event, appended to a file. What a turn brought is
 * on the disk before the cursor moves past it: after a crash a line may be
 * there twice (its event_id says so), none is missing. The file may be moved
 * away (logrotate): a new one is begun within a second, or at once on SIGHUP.
 */
#include <aegis/aegis.h>
#include <aegis/event.h>

#include "line.h"

#include <event2/event.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOOK_MS = 1000, BUFFER_BYTES = 1 << 20 };

enum { WRITTEN, SYNCS };
static const struct ag_metric_row metrics[] = {
	{ "file_written_total", "Events written", AG_COUNTER },
	{ "file_syncs_total", "Times the file was synced", AG_COUNTER },
};

struct file {
	char path[PATH_MAX];
	int fd; /* -1: not open */
	dev_t dev;
	ino_t ino;
	bool broken; /* a write failed half-way: begin a line of its own */
	struct event *hup;
	struct ag_ctx *ctx; /* for the signal's callback */
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
file_open(struct file *file, struct ag_ctx *ctx)
{
	struct stat st;

	file->fd = open(file->path,
	    O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (file->fd < 0 || fstat(file->fd, &st) != 0) {
		ag_log(ctx, AG_ERROR, "SINK-OPEN", "path=%s error=%s",
		    file->path, strerror(errno));
		return AG_IO;
	}
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

/* Writes and syncs what is in the buffer. */
static ag_err
file_write(struct file *file, struct ag_ctx *ctx)
{
	ag_err err;

	if (file->len == 0)
		return AG_OK;
	if (file->fd < 0 && (err = file_open(file, ctx)) != AG_OK)
		return err;
	/* Half a line may be there from a full disk; it is ended. */
	if (file->broken && line_write(file->fd, "\n", 1) != AG_OK)
		return AG_IO;
	file->broken = false;
	if (line_write(file->fd, file->buffer, file->len) != AG_OK) {
		ag_log(ctx, AG_ERROR, "SINK-WRITE", "path=%s error=%s",
		    file->path, strerror(errno));
		file->broken = true;
		return AG_IO;
	}
	if (fdatasync(file->fd) != 0 && errno != EINVAL && errno != EROFS) {
		ag_log(ctx, AG_ERROR, "SINK-SYNC", "path=%s error=%s",
		    file->path, strerror(errno));
		return AG_IO;
	}
	ag_metric_add(ctx, SYNCS, 1);
	file->len = 0;
	return AG_OK;
}

static ag_err
on_audit(void *state, struct ag_ctx *ctx, const Ag__Event *event, uint64_t pos)
{
	struct file *file = state;
	char *line;
	size_t len;
	ag_err err = line_of(event, &line, &len);

	if (err != AG_OK)
		return err;
	if (file->len + len > sizeof(file->buffer))
		err = file_write(file, ctx);
	if (err == AG_OK) {
		memcpy(file->buffer + file->len, line, len);
		file->len += len;
		ag_metric_add(ctx, WRITTEN, 1);
	}
	line_free(line);
	return err;
}

/* Nothing is committed past what is not on the disk: without it, the process
 * ends, and the next one begins at the cursor. */
static ag_err
flush(void *state, struct ag_ctx *ctx)
{
	return file_write(state, ctx);
}

static bool
was_moved(const struct file *file)
{
	struct stat st;

	return stat(file->path, &st) != 0 || st.st_dev != file->dev ||
	    st.st_ino != file->ino;
}

static void
on_look(void *state, struct ag_ctx *ctx)
{
	struct file *file = state;

	if (file->fd >= 0 && was_moved(file))
		file_close(file);
	if (file->fd < 0 && file_open(file, ctx) != AG_OK)
		file_close(file);
	ag_set_ready(ctx, file->fd >= 0, file->fd >= 0 ? "" : "cannot open");
}

static void
on_hup(evutil_socket_t fd, short what, void *arg)
{
	struct file *file = arg;

	file_close(file);
	on_look(file, file->ctx);
}

static ag_err
init(void *state, struct ag_ctx *ctx)
{
	struct file *file = state;
	const char *path = ag_config_str(ctx, "sinks[].path", ag_index(ctx));
	int n;

	file->fd = -1;
	file->ctx = ctx;
	if (path == NULL) {
		ag_log(ctx, AG_ERROR, "SINK-OPEN", "path=missing");
		return AG_USAGE;
	}
	n = snprintf(file->path, sizeof(file->path), "%s%s%s",
	    path[0] == '/' ? "" : ag_state_dir(ctx), path[0] == '/' ? "" : "/",
	    path);
	if (n < 0 || (size_t)n >= sizeof(file->path))
		return AG_USAGE;
	return file_open(file, ctx);
}

static ag_err
ready(void *state, struct ag_ctx *ctx)
{
	struct file *file = state;

	if (ag_event_base(ctx) != NULL) {
		file->hup = evsignal_new(ag_event_base(ctx), SIGHUP, on_hup,
		    file);
		if (file->hup == NULL || event_add(file->hup, NULL) != 0)
			return AG_NO_MEMORY;
	}
	return ag_every(ctx, LOOK_MS, on_look);
}

static void
fini(void *state, struct ag_ctx *ctx)
{
	struct file *file = state;

	if (file->hup != NULL)
		event_free(file->hup);
	if (file_write(file, ctx) != AG_OK)
		ag_log(ctx, AG_ERROR, "SINK-WRITE", "what=stop");
	file_close(file);
}

const struct ag_actor ag_actor_file = {
	.name = "file",
	.state_size = sizeof(struct file),
	.init = init,
	.ready = ready,
	.on_audit = on_audit,
	.audit_pace_ms = 10,
	.flush = flush,
	.fini = fini,
	AG_METRICS(metrics),
};
