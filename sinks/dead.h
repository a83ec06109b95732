/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dead letters: what a receiver refused for good, as lines of JSON in
 * sinks/<sink>.dead of the state directory:
 *   {"pos":…,"at":"…","error":"…","event":{…},"event_b64":"…"}
 * event is what people read, event_b64 what is sent again.
 */
#ifndef SINKS_DEAD_H
#define SINKS_DEAD_H

#include "feed.h"

/* Of the file of one sink: past it the sink waits, and nothing is lost. */
#define DEAD_BYTES_MAX (INT64_C(1) << 30)

struct dead {
	char path[FEED_PATH_MAX];  /* new ones */
	char again[FEED_PATH_MAX]; /* being sent again */
	uint64_t count;            /* in both */
	long offset;               /* in again: what was dealt with */
	long next;                 /* behind the batch under way */
};

/* The folder, and how many there are from before. */
ag_err dead_open(struct dead *dead, struct ag_ctx *ctx, const char *name)
    AG_MUST;
/* One more, on the disk when it returns AG_OK. AG_IO: not written, or full. */
ag_err dead_put(struct dead *dead, struct ag_ctx *ctx,
    const struct feed_item *item, const char *error) AG_MUST;
/* What there is now is to be sent again. AG_OK also when there is nothing. */
ag_err dead_again(struct dead *dead) AG_MUST;
bool dead_is_again(const struct dead *dead);
/* The next of them, at most max; bytes are the caller's to free. count 0: that
 * was all, and their file is gone. */
ag_err dead_take(struct dead *dead, struct feed_item *items, size_t max,
    size_t *count) AG_MUST;
void dead_taken(struct dead *dead, size_t count); /* the batch is dealt with */

#endif
