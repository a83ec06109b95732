/* SPDX-License-Identifier: Apache-2.0 */
#include "columns.h"

#include <stdlib.h>
#include <string.h>

enum {
	HEAD_BYTES = 20, /* dimensions, nulls, type, count, first index */
	EMPTY_BYTES = 12, /* an array without elements has no dimension */
};

static void
put32(uint8_t *out, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		out[i] = (uint8_t)(v >> (24 - 8 * i));
}

static bool
room(struct column *c, size_t need)
{
	size_t cap = c->cap == 0 ? 4096 : c->cap;
	uint8_t *bytes;

	while (cap < need)
		cap *= 2;
	if (cap == c->cap)
		return true;
	if ((bytes = realloc(c->bytes, cap)) == NULL) {
		c->failed = true;
		return false;
	}
	c->bytes = bytes;
	c->cap = cap;
	return true;
}

/* Where one element of len bytes goes; NULL: there is no room. */
static uint8_t *
element(struct column *c, size_t len, uint32_t says)
{
	size_t need = c->len + 4 + len;
	uint8_t *at;

	if (!room(c, need))
		return NULL;
	at = c->bytes + c->len;
	put32(at, says);
	c->len = need;
	c->count++;
	return at + 4;
}

void
column_clear(struct column *c, enum column_type type)
{
	c->type = type;
	c->count = 0;
	c->len = HEAD_BYTES;
	c->failed = false;
}

void
column_free(struct column *c)
{
	free(c->bytes);
	memset(c, 0, sizeof(*c));
}

void
column_bytes(struct column *c, const void *bytes, size_t len)
{
	uint8_t *at = element(c, len, (uint32_t)len);

	if (at != NULL && len > 0)
		memcpy(at, bytes, len);
}

void
column_text(struct column *c, const char *text)
{
	if (text == NULL)
		column_null(c);
	else
		column_bytes(c, text, strlen(text));
}

void
column_number(struct column *c, uint64_t number)
{
	size_t len = c->type == COLUMN_INT8 ? 8 : c->type == COLUMN_INT4 ? 4 : 1;
	uint8_t *at = element(c, len, (uint32_t)len);

	for (size_t i = 0; at != NULL && i < len; i++)
		at[i] = (uint8_t)(number >> (8 * (len - 1 - i)));
}

void
column_null(struct column *c)
{
	if (element(c, 0, UINT32_MAX) == NULL)
		c->failed = true;
}

const char *
column_value(struct column *c, int *len)
{
	/* What never had an element has no bytes yet. */
	if (!room(c, HEAD_BYTES) || c->failed || c->len > INT32_MAX)
		return NULL;
	put32(c->bytes, c->count == 0 ? 0 : 1);
	put32(c->bytes + 4, 1); /* there may be nulls */
	put32(c->bytes + 8, c->type);
	put32(c->bytes + 12, c->count);
	put32(c->bytes + 16, 1);
	*len = (int)(c->count == 0 ? EMPTY_BYTES : c->len);
	return (const char *)c->bytes;
}
