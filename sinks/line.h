/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the sinks that write lines share.
 */
#ifndef SINKS_LINE_H
#define SINKS_LINE_H

#include "feed.h"

enum { LINE_BYTES_MAX = 64 << 10 }; /* with its newline */

/* The event as one line with its newline; longer than LINE_BYTES_MAX: without
 * its params and chain, and with params.cut saying so. line_free it. */
ag_err line_of(const Ag__Event *event, char **line, size_t *len) AG_MUST;
/* The same of what audit recorded. */
ag_err line_of_item(const struct feed_item *item, char **line, size_t *len)
    AG_MUST;
void line_free(char *line);
/* All of it; AG_IO. Blocks as the descriptor does. */
ag_err line_write(int fd, const char *bytes, size_t len) AG_MUST;

#endif
