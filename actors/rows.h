/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fixed number of rows of one size, one per id: what risk and the detectors
 * remember of principals. The row used longest ago in its set gives way, so a
 * lookup costs the same however full the table is.
 */
#ifndef ACTORS_ROWS_H
#define ACTORS_ROWS_H

#include <aegis/aegis.h>

enum { ROWS_WAYS = 8 };

struct rows;

/* count: a multiple of ROWS_WAYS. Memory is touched as ids come. NULL: none
 * left. */
struct rows *rows_new(unsigned count, size_t row_size);
void rows_free(struct rows **rows);
/* The id's row, zeroed if it had none. If another id had to give way, it is
 * written to evicted, which is empty otherwise. NULL: not an id. */
void *rows_get(struct rows *rows, const char *id, char evicted[AG_ID_SIZE]);
unsigned rows_count(const struct rows *rows);
/* The row (from rows_get) differs from what is stored. */
void rows_touch(struct rows *rows, const void *row);
/* Hands out at most max touched rows, which count as stored then. Stops at
 * the first error; that row stays touched. */
typedef ag_err rows_visit(void *arg, const char *id, const void *row);
ag_err rows_save(struct rows *rows, unsigned max, rows_visit *visit, void *arg)
    AG_MUST;

/* FNV-1a, never 0. */
uint32_t rows_hash(const char *text, size_t len);

#endif
