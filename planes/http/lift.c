/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A body with a backslash or a DEL in it is left alone. In all others a string
 * ends at the next quote, and one that begins with DEL in what was parsed can
 * only be a word of ours: DEL and the string's number.
 */
#include "lift.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORD = 0x7f, WORD_SIZE = 24 };
_Static_assert((int)WORD_SIZE <= (int)LIFT_MIN, "what is left is never longer");

/* Printable ASCII: it is the string's value, and needs no look at UTF-8. */
static bool
is_plain(const char *s, size_t len)
{
	uint8_t special = 0;

	for (size_t i = 0; i < len; i++)
		special |= (uint8_t)((uint8_t)s[i] < ' ') |
		    ((uint8_t)s[i] & 0x80);
	return special == 0;
}

/* Names of members stay: they are looked up, compared and told. */
static bool
is_name(const char *behind, const char *end)
{
	while (behind < end && (*behind == ' ' || *behind == '\t' ||
	    *behind == '\n' || *behind == '\r'))
		behind++;
	return behind < end && *behind == ':';
}

static char *
put(char *to, const char *from, const char *end)
{
	memcpy(to, from, (size_t)(end - from));
	return to + (end - from);
}

static char *
put_word(char *to, struct lift *out, const char *string, size_t len)
{
	out->list[out->count] = (struct lifted){ string, len };
	return to + snprintf(to, WORD_SIZE, "%c%zu", WORD, out->count++);
}

bool
lift_out(struct pool *pool, const uint8_t *body, size_t len, struct lift *out)
{
	const char *p = (const char *)body, *end = p + len, *open, *close;
	char *to;

	*out = (struct lift){ 0 };
	if (len < LIFT_MIN + 2 || memchr(p, '\\', len) != NULL ||
	    memchr(p, WORD, len) != NULL)
		return false;
	/* Each takes its own length and two quotes at least. */
	out->list = pool_alloc(pool, (len / (LIFT_MIN + 2) + 1) *
	    sizeof(*out->list));
	to = pool_alloc(pool, len);
	out->text = to;
	if (out->list == NULL || to == NULL)
		return false;
	while ((open = memchr(p, '"', (size_t)(end - p))) != NULL &&
	    (close = memchr(open + 1, '"', (size_t)(end - open - 1))) != NULL) {
		size_t n = (size_t)(close - open - 1);

		to = put(to, p, open + 1);
		if (n >= LIFT_MIN && is_plain(open + 1, n) &&
		    !is_name(close + 1, end))
			to = put_word(to, out, open + 1, n);
		else
			to = put(to, open + 1, close);
		*to++ = '"';
		p = close + 1;
	}
	to = put(to, p, end);
	out->len = (size_t)(to - out->text);
	return out->count > 0;
}

const struct lifted *
lift_find(const struct lift *lift, const char *word)
{
	size_t i;

	if (lift->count == 0 || word[0] != WORD)
		return NULL;
	i = strtoul(word + 1, NULL, 10);
	return i < lift->count ? &lift->list[i] : NULL;
}
