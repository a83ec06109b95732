/* SPDX-License-Identifier: Apache-2.0 */
/*
 * columns: PostgreSQL's arrays, in the binary format of parameters (array_recv
 * in its source): one a column of what a turn appends.
 */
#ifndef AEGIS_JOURNAL_COLUMNS_H
#define AEGIS_JOURNAL_COLUMNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum column_type { /* the types' numbers, as of pg_type.dat */
	COLUMN_BOOL = 16, COLUMN_BYTES = 17, COLUMN_INT8 = 20, COLUMN_INT4 = 23,
	COLUMN_TEXT = 25,
};

struct column {
	enum column_type type;
	uint32_t count;
	uint8_t *bytes; /* owned; grows, and is kept for the next turn */
	size_t len, cap;
	bool failed; /* there was no memory */
};

void column_clear(struct column *c, enum column_type type);
void column_free(struct column *c);
void column_bytes(struct column *c, const void *bytes, size_t len);
void column_text(struct column *c, const char *text); /* NULL: null */
void column_number(struct column *c, uint64_t number); /* INT8, INT4, BOOL */
void column_null(struct column *c);
/* The parameter; NULL: no memory. */
const char *column_value(struct column *c, int *len);

#endif
