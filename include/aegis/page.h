/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages of lists. A cursor is opaque: who holds it can neither read nor change
 * it, and it is good for an hour, for one tenant, one list and one question.
 */
#ifndef AEGIS_PAGE_H
#define AEGIS_PAGE_H

#include <aegis/err.h>

#include <stddef.h>
#include <stdint.h>

struct ag_ctx;

enum {
	AG_PAGE_DEFAULT = 100,
	AG_PAGE_MAX = 1000,
	AG_PLACE_MAX = 192,          /* bytes of a place in a list */
	AG_CURSOR_MS = 3600 * 1000,
};

struct ag_page {
	uint32_t limit;
	/* Where the page before ended, with a NUL behind it; 0: from the start. */
	size_t place_len;
	uint8_t place[AG_PLACE_MAX + 1];
	uint8_t question[32]; /* what its cursors are bound to */
};

/*
 * Reads `limit` (field 100) and `cursor` (field 101) of ask, the message of
 * the operation that is being answered; all its other fields are the question.
 * Otherwise refuses with AG_INVALID_FIELD. ask may be a changed copy, if it is
 * changed in the same way for each page.
 */
ag_err ag_page_read(struct ag_ctx *ctx, const void *ask, struct ag_page *page)
    AG_MUST;
/* The cursor of the page that begins after this place (≤ AG_PLACE_MAX bytes);
 * in the arena, NULL: no memory. */
char *ag_page_cursor(struct ag_ctx *ctx, const struct ag_page *page,
    const void *place, size_t place_len);

#endif
