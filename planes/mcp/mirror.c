/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP fields that repeat what the body says, for those who stand between and
 * read no bodies (2026-07-28, Streamable HTTP, "Server Validation").
 */
#include "message.h"

#include <aegis/id.h>

#include <string.h>

#define BASE64_OPEN "=?base64?"
#define BASE64_CLOSE "?="

enum {
	OPEN_LEN = sizeof(BASE64_OPEN) - 1,
	CLOSE_LEN = sizeof(BASE64_CLOSE) - 1,
};

const char *
mirror_trimmed(struct pool *pool, const char *field)
{
	size_t len;

	if (field == NULL)
		return NULL;
	field += strspn(field, " \t");
	len = strlen(field);
	if (len == 0 || (field[len - 1] != ' ' && field[len - 1] != '\t'))
		return field;
	while (len > 0 && (field[len - 1] == ' ' || field[len - 1] == '\t'))
		len--;
	return pool_strndup(pool, field, len);
}

/* What stands for a value that does not fit into a field is decoded; without
 * both ends it is the value. NULL: not base64, or no text. In the pool. */
static const char *
decoded(struct pool *pool, const char *field)
{
	size_t len = strlen(field), out_len;
	char *out;

	if (len < OPEN_LEN + CLOSE_LEN ||
	    strncmp(field, BASE64_OPEN, OPEN_LEN) != 0 ||
	    strcmp(field + len - CLOSE_LEN, BASE64_CLOSE) != 0)
		return field;
	len -= OPEN_LEN + CLOSE_LEN;
	if ((out = pool_zalloc(pool, len + 1)) == NULL ||
	    !ag_base64_parse(field + OPEN_LEN, len, (uint8_t *)out, len + 1,
	    &out_len) || strlen(out) != out_len)
		return NULL;
	return out;
}

bool
mirror_agrees(struct pool *pool, const char *field, const char *value)
{
	if (field == NULL || value == NULL || (field = decoded(pool, field)) == NULL)
		return false;
	return strcmp(field, value) == 0;
}
