/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The request's pool and the answer's text.
 */
#include "memory.h"

#include <aegis/id.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pool_chunk {
	struct pool_chunk *next;
	size_t size;
	size_t used;
	size_t unused; /* keeps bytes[] aligned */
	uint8_t bytes[];
};

static struct pool_chunk *
chunk_new(size_t size)
{
	struct pool_chunk *chunk = malloc(sizeof(*chunk) + size);

	if (chunk == NULL)
		return NULL;
	chunk->next = NULL;
	chunk->size = size;
	chunk->used = 0;
	return chunk;
}

bool
pool_init(struct pool *pool)
{
	memset(pool, 0, sizeof(*pool));
	pool->first = chunk_new(POOL_FIRST_BYTES);
	pool->now = pool->first;
	pool->total = POOL_FIRST_BYTES;
	return pool->first != NULL;
}

void
pool_fini(struct pool *pool)
{
	if (pool->first == NULL)
		return;
	pool_reset(pool);
	free(pool->first);
	memset(pool, 0, sizeof(*pool));
}

static bool
pool_grow(struct pool *pool, size_t size)
{
	size_t want = size > POOL_CHUNK_BYTES ? size : POOL_CHUNK_BYTES;
	struct pool_chunk *chunk;

	if (want > POOL_MAX_BYTES || pool->total > POOL_MAX_BYTES - want ||
	    (chunk = chunk_new(want)) == NULL) {
		pool->full = true;
		return false;
	}
	pool->now->next = chunk;
	pool->now = chunk;
	pool->total += want;
	return true;
}

void *
pool_alloc(struct pool *pool, size_t size)
{
	void *p;

	if (size > POOL_MAX_BYTES) {
		pool->full = true;
		return NULL;
	}
	size = (size + 15) & ~(size_t)15;
	if (pool->now->size - pool->now->used < size && !pool_grow(pool, size))
		return NULL;
	p = pool->now->bytes + pool->now->used;
	pool->now->used += size;
	return p;
}

void *
pool_zalloc(struct pool *pool, size_t size)
{
	void *p = pool_alloc(pool, size);

	if (p != NULL)
		memset(p, 0, size);
	return p;
}

char *
pool_strndup(struct pool *pool, const char *s, size_t len)
{
	char *copy = pool_alloc(pool, len + 1);

	if (copy == NULL)
		return NULL;
	memcpy(copy, s, len);
	copy[len] = '\0';
	return copy;
}

void
pool_reset(struct pool *pool)
{
	struct pool_chunk *chunk = pool->first->next, *next;

	explicit_bzero(pool->first->bytes, pool->first->used);
	pool->first->used = 0;
	pool->first->next = NULL;
	for (; chunk != NULL; chunk = next) {
		next = chunk->next;
		explicit_bzero(chunk->bytes, chunk->used);
		free(chunk);
	}
	pool->now = pool->first;
	pool->total = POOL_FIRST_BYTES;
	pool->full = false;
}

/* ------------------------------------------------------------------ text */

void
text_fini(struct text *out)
{
	text_reset(out, true);
	free(out->bytes);
	memset(out, 0, sizeof(*out));
}

void
text_reset(struct text *out, bool wipe)
{
	if (wipe && out->bytes != NULL)
		explicit_bzero(out->bytes, out->len);
	if (out->cap > TEXT_KEEP_BYTES) {
		free(out->bytes);
		out->bytes = NULL;
		out->cap = 0;
	}
	out->len = 0;
	out->failed = false;
}

/* Not realloc: what moves may be a plaintext, and the old place is wiped. */
static bool
text_grow(struct text *out, size_t need)
{
	size_t cap = out->cap == 0 ? TEXT_FIRST_BYTES : out->cap;
	char *bytes;

	while (cap < need)
		cap *= 2;
	if (need > TEXT_MAX_BYTES || (bytes = malloc(cap)) == NULL) {
		out->failed = true;
		return false;
	}
	if (out->bytes != NULL) {
		memcpy(bytes, out->bytes, out->len);
		explicit_bzero(out->bytes, out->len);
		free(out->bytes);
	}
	out->bytes = bytes;
	out->cap = cap;
	return true;
}

bool
text_room(struct text *out, size_t more)
{
	if (out->failed)
		return false;
	if (out->cap - out->len >= more)
		return true;
	return text_grow(out, out->len + more);
}

void
text_add(struct text *out, const void *bytes, size_t len)
{
	if (len == 0 || !text_room(out, len))
		return;
	memcpy(out->bytes + out->len, bytes, len);
	out->len += len;
}

void
text_str(struct text *out, const char *s)
{
	text_add(out, s, strlen(s));
}

void
text_char(struct text *out, char c)
{
	if (text_room(out, 1))
		out->bytes[out->len++] = c;
}

void
text_u64(struct text *out, uint64_t v)
{
	char digits[20];
	size_t i = sizeof(digits);

	do {
		digits[--i] = (char)('0' + v % 10);
		v /= 10;
	} while (v != 0);
	text_add(out, digits + i, sizeof(digits) - i);
}

void
text_i64(struct text *out, int64_t v)
{
	if (v < 0)
		text_char(out, '-');
	text_u64(out, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

/* JSON has no infinity and no NaN; they are null. */
void
text_number(struct text *out, double v)
{
	char text[32];

	if (!isfinite(v)) {
		text_str(out, "null");
		return;
	}
	snprintf(text, sizeof(text), "%.15g", v);
	if (strtod(text, NULL) != v)
		snprintf(text, sizeof(text), "%.17g", v);
	text_str(out, text);
}

void
text_printf(struct text *out, const char *fmt, ...)
{
	va_list ap, again;
	int len;

	va_start(ap, fmt);
	va_copy(again, ap);
	len = vsnprintf(NULL, 0, fmt, ap);
	if (len >= 0 && text_room(out, (size_t)len + 1)) {
		vsnprintf(out->bytes + out->len, (size_t)len + 1, fmt, again);
		out->len += (size_t)len;
	}
	va_end(again);
	va_end(ap);
}

size_t
utf8_step(const uint8_t *s, size_t len)
{
	if (len == 0)
		return 0;
	if (s[0] < 0x80)
		return 1;
	if (s[0] < 0xc2 || s[0] > 0xf4 || len < 2 || (s[1] & 0xc0) != 0x80)
		return 0;
	if (s[0] < 0xe0)
		return 2;
	/* overlong forms, surrogates, beyond U+10FFFF */
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f) ||
	    len < 3 || (s[2] & 0xc0) != 0x80)
		return 0;
	if (s[0] < 0xf0)
		return 3;
	return len >= 4 && (s[3] & 0xc0) == 0x80 ? 4 : 0;
}

bool
utf8_valid(const char *s, size_t len)
{
	const uint8_t *p = (const uint8_t *)s;
	size_t i = 0, step;

	for (; i < len; i += step)
		if ((step = utf8_step(p + i, len - i)) == 0)
			return false;
	return true;
}

static void
text_escape(struct text *out, uint8_t c)
{
	static const char short_forms[] = "\"\"\\\\\bb\ff\nn\rr\tt";
	unsigned i;

	for (i = 0; short_forms[i] != '\0'; i += 2)
		if ((uint8_t)short_forms[i] == c) {
			text_char(out, '\\');
			text_char(out, short_forms[i + 1]);
			return;
		}
	text_printf(out, "\\u%04x", c);
}

static bool
plain(uint8_t c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

void
text_json(struct text *out, const char *s)
{
	const uint8_t *p = (const uint8_t *)s;
	size_t i = 0, from = 0, len, step;

	if (s == NULL) {
		text_str(out, "null");
		return;
	}
	len = strlen(s);
	text_char(out, '"');
	while (i < len) {
		while (i < len && plain(p[i]))
			i++;
		text_add(out, p + from, i - from);
		if (i == len)
			break;
		step = utf8_step(p + i, len - i);
		if (step == 0)
			text_str(out, "\xef\xbf\xbd");
		else if (step == 1)
			text_escape(out, p[i]);
		else
			text_add(out, p + i, step);
		i += step == 0 ? 1 : step;
		from = i;
	}
	text_char(out, '"');
}

void
text_base64(struct text *out, const uint8_t *bytes, size_t len)
{
	size_t size = ag_base64_size(len);

	text_char(out, '"');
	if (text_room(out, size)) {
		ag_base64(bytes, len, out->bytes + out->len);
		out->len += size - 1;
	}
	text_char(out, '"');
}
