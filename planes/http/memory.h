/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request's memory: a pool with a ceiling that JSON and messages are built
 * in, and the text that answers are printed to. Pure: no context, no socket.
 */
#ifndef PLANE_MEMORY_H
#define PLANE_MEMORY_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	POOL_FIRST_BYTES = 64 << 10, /* kept; one ordinary request fits */
	POOL_CHUNK_BYTES = 1 << 20,
	POOL_MAX_BYTES = 64 << 20,   /* meeting it is RequestTooLarge/json_memory */
	TEXT_FIRST_BYTES = 16 << 10,
	TEXT_KEEP_BYTES = 1 << 20,    /* a larger buffer is given back */
	TEXT_MAX_BYTES = 32 << 20,
};

struct pool_chunk;
struct pool {
	struct pool_chunk *first;
	struct pool_chunk *now;
	size_t total;
	bool full; /* the ceiling was met since the last reset */
};

bool pool_init(struct pool *pool);
void pool_fini(struct pool *pool);
/* 16-byte aligned, not zeroed; NULL at the ceiling. */
void *pool_alloc(struct pool *pool, size_t size);
void *pool_zalloc(struct pool *pool, size_t size);
char *pool_strndup(struct pool *pool, const char *s, size_t len);
/* Wipes what was used: plaintexts and tokens pass through here. */
void pool_reset(struct pool *pool);

/* Text that grows up to TEXT_MAX_BYTES; `failed` says that it did not. */
struct text {
	char *bytes;
	size_t len;
	size_t cap;
	bool failed;
};

void text_fini(struct text *out);
void text_reset(struct text *out, bool wipe);
bool text_room(struct text *out, size_t more);
void text_add(struct text *out, const void *bytes, size_t len);
void text_str(struct text *out, const char *s);
void text_char(struct text *out, char c);
void text_u64(struct text *out, uint64_t v);
void text_i64(struct text *out, int64_t v);
void text_number(struct text *out, double v);
void text_printf(struct text *out, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* A JSON string with its quotes; what is not UTF-8 becomes U+FFFD. NULL: null. */
void text_json(struct text *out, const char *s);
void text_base64(struct text *out, const uint8_t *bytes, size_t len);

/* Bytes of the UTF-8 character at s (RFC 3629), 0 if it is none. */
size_t utf8_step(const uint8_t *s, size_t len);
bool utf8_valid(const char *s, size_t len);

#endif
