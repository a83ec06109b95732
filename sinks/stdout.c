/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stdout: one line of JSON an event, on standard output, for whoever collects
 * the output of `aegis up`. A reader that does not read stops this sink and
 * nothing else.
 */
#include "feed.h"
#include "line.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum { LOOK_MS = 200, PIECE_BYTES = 4096 };

/* A pipe that takes PIECE_BYTES when poll says so (PIPE_BUF, pipe(7)) does not
 * block; whoever does not read is waited for in steps, so that we can end. */
static ag_err
put(struct feed_batch *batch, const char *bytes, size_t len)
{
	struct pollfd out = { .fd = STDOUT_FILENO, .events = POLLOUT };
	ag_err err = AG_OK;

	while (err == AG_OK && len > 0) {
		size_t n = len < PIECE_BYTES ? len : PIECE_BYTES;

		while (poll(&out, 1, LOOK_MS) == 0) {
			feed_trouble(batch->feed, "nobody reads");
			if (feed_stopping(batch->feed))
				return AG_TIMEOUT;
		}
		err = line_write(STDOUT_FILENO, bytes, n);
		bytes += n;
		len -= n;
	}
	return err;
}

static ag_err
stdout_deliver(void *own, struct feed_batch *batch)
{
	ag_err err = AG_OK;
	char *line;
	size_t len;

	(void)own;
	for (; err == AG_OK && batch->done < batch->count; batch->done++) {
		err = line_of_item(&batch->items[batch->done], &line, &len);
		if (err == AG_OK) {
			err = put(batch, line, len);
			line_free(line);
		}
		if (err != AG_OK)
			return feed_fail(batch, err, "write: %s", strerror(errno));
	}
	return err;
}

static ag_err
stdout_start(void *own, struct feed *feed, struct ag_ctx *ctx)
{
	(void)own;
	(void)feed;
	(void)ctx;
	return AG_OK;
}

static const struct feed_sink sink = {
	.own_size = 1,
	.batch_max = 512,
	.open = stdout_start,
	.deliver = stdout_deliver,
};

FEED_ACTOR(stdout, sink);
