/* SPDX-License-Identifier: Apache-2.0 */
#include "dead.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static uint64_t
lines_in(const char *path)
{
	FILE *f = fopen(path, "re");
	uint64_t n = 0;
	int c;

	if (f == NULL)
		return 0;
	while ((c = getc(f)) != EOF)
		n += c == '\n';
	fclose(f);
	return n;
}

ag_err
dead_open(struct dead *dead, struct ag_ctx *ctx, const char *name)
{
	int n, m;

	n = snprintf(dead->path, sizeof(dead->path), "%s/sinks",
	    ag_state_dir(ctx));
	if (n < 0 || (size_t)n >= sizeof(dead->path) ||
	    (mkdir(dead->path, 0700) != 0 && errno != EEXIST))
		return AG_IO;
	n = snprintf(dead->path, sizeof(dead->path), "%s/sinks/%s.dead",
	    ag_state_dir(ctx), name);
	m = snprintf(dead->again, sizeof(dead->again), "%s/sinks/%s.dead.again",
	    ag_state_dir(ctx), name);
	if (n < 0 || (size_t)n >= sizeof(dead->path) || m < 0 ||
	    (size_t)m >= sizeof(dead->again))
		return AG_IO;
	dead->count = lines_in(dead->path) + lines_in(dead->again);
	return AG_OK;
}

static json_t *
letter(struct ag_ctx *ctx, const struct feed_item *item, const char *error)
{
	char at[AG_TIME_TEXT], *base64 = malloc(ag_base64_size(item->len));
	Ag__Event *event = feed_event(item), shown;
	json_t *line = NULL;

	if (event != NULL && base64 != NULL) {
		ag_event_shown(event, &shown);
		ag_base64(item->bytes, item->len, base64);
		ag_time_text(ag_now_ms(ctx), at);
		line = json_pack("{s:I, s:s, s:s, s:o, s:s}", "pos",
		    (json_int_t)item->pos, "at", at, "error", error, "event",
		    ag_json_message(&shown.base), "event_b64", base64);
	}
	feed_event_free(event);
	free(base64);
	return line;
}

static bool
write_line(int fd, const char *text)
{
	size_t len = strlen(text), at = 0;

	while (at < len) {
		ssize_t n = write(fd, text + at, len - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		at += (size_t)n;
	}
	return write(fd, "\n", 1) == 1 && fdatasync(fd) == 0;
}

ag_err
dead_put(struct dead *dead, struct ag_ctx *ctx, const struct feed_item *item,
    const char *error)
{
	json_t *line = letter(ctx, item, error);
	char *text = line == NULL ? NULL : json_dumps(line, JSON_COMPACT);
	int fd = text == NULL ? -1 : open(dead->path,
	    O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	off_t before = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
	bool room = before >= 0 && before < DEAD_BYTES_MAX;
	ag_err err = room && write_line(fd, text) ? AG_OK : AG_IO;

	/* Half a line would be in the way of the next one. */
	if (err != AG_OK && room && ftruncate(fd, before) != 0)
		ag_log(ctx, AG_ERROR, "DEAD-LETTER", "path=%s error=%s",
		    dead->path, strerror(errno));
	if (fd >= 0)
		close(fd);
	free(text);
	json_decref(line);
	if (err == AG_OK)
		dead->count++;
	return err;
}

bool
dead_is_again(const struct dead *dead)
{
	return access(dead->again, F_OK) == 0;
}

/* Those that are being sent again come first; then the file of the others takes
 * their place. */
ag_err
dead_again(struct dead *dead)
{
	if (dead_is_again(dead))
		return AG_OK;
	dead->offset = dead->next = 0;
	if (rename(dead->path, dead->again) != 0 && errno != ENOENT)
		return AG_IO;
	return AG_OK;
}

static ag_err
parse(const char *line, struct feed_item *item)
{
	json_t *o = json_loads(line, 0, NULL);
	const char *text = json_string_value(json_object_get(o, "event_b64"));
	size_t room = text == NULL ? 0 : strlen(text) + 1;
	Ag__Event *event = NULL;
	ag_err err = AG_CORRUPT;

	memset(item, 0, sizeof(*item));
	if (text != NULL && (item->bytes = malloc(room)) != NULL &&
	    ag_base64_parse(text, room - 1, item->bytes, room, &item->len) &&
	    (event = feed_event(item)) != NULL) {
		item->pos = (uint64_t)json_integer_value(
		    json_object_get(o, "pos"));
		item->at = event->occurred_at;
		err = AG_OK;
	}
	feed_event_free(event);
	json_decref(o);
	if (err != AG_OK)
		free(item->bytes);
	return err;
}

ag_err
dead_take(struct dead *dead, struct feed_item *items, size_t max, size_t *count)
{
	FILE *f = fopen(dead->again, "re");
	char *line = NULL;
	size_t cap = 0;
	ssize_t n = 0;

	*count = 0;
	if (f == NULL)
		return errno == ENOENT ? AG_OK : AG_IO;
	if (fseek(f, dead->offset, SEEK_SET) != 0) {
		fclose(f);
		return AG_IO;
	}
	/* A line that cannot be read is of somebody else's making: passed over. */
	while (*count < max && (n = getline(&line, &cap, f)) > 0)
		if (parse(line, &items[*count]) == AG_OK)
			(*count)++;
	dead->next = ftell(f);
	free(line);
	fclose(f);
	if (*count > 0)
		return AG_OK;
	if (unlink(dead->again) != 0)
		return AG_IO;
	dead->count = lines_in(dead->path);
	return AG_OK;
}

void
dead_taken(struct dead *dead, size_t count)
{
	dead->offset = dead->next;
	dead->count -= count < dead->count ? count : dead->count;
}
