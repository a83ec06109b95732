/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The topic that every node's kafka sink writes to, read as a member of a
 * consumer group: who has a partition has all that was done below one root
 * (the record's key), wherever it was done. librdkafka has threads of its own;
 * nothing here waits, but when partitions are given out (a second at most).
 */
#ifndef ACROSS_STREAM_H
#define ACROSS_STREAM_H

#include <aegis/aegis.h>

struct stream;

/* rewind_ms: how far before now a partition is read again when it is given to
 * us, or from what the group has committed, if that is earlier. AG_USAGE: what
 * was configured; the log says what. */
ag_err stream_open(struct ag_ctx *ctx, int64_t rewind_ms, struct stream **out)
    AG_MUST;
void stream_close(struct stream **stream);
/* The next record's value, borrowed until the next call; NULL: none is there.
 * *dealt is set when partitions were given out since the last call: from here
 * on all comes again from where they were set back to. */
const uint8_t *stream_next(struct stream *stream, size_t *len, bool *dealt);
/* What stream_next gave out up to now is settled. */
void stream_settled(struct stream *stream);
/* Why there is nothing to read; "": a broker is there. */
const char *stream_trouble(const struct stream *stream);
unsigned stream_partitions(const struct stream *stream);

#endif
