/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A turn's memory: a bump allocator with a ceiling. Messages are unpacked
 * through it, so that bytes of a peer that would amplify (1 MiB of unknown
 * fields becomes 47 MB) meet the ceiling as an error.
 *
 * Invariant: every byte of a chunk past `used` is zero. Chunks come from
 * calloc, and the wipe zeroes exactly what was used; so memory is handed out
 * zeroed without a memset on the way, and no turn sees another's bytes.
 */
#include "engine.h"

#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif
#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

enum {
	ALIGN = 16,
	CHUNK_FIRST_BYTES = 64 << 10,
	CHUNK_BYTES_MAX = 4 << 20, /* of a chunk that is not one big piece */
	KEEP_BYTES = 1 << 20,      /* kept from turn to turn */
};

struct chunk {
	struct chunk *next;
	size_t size; /* of bytes */
	size_t used;
	size_t unused; /* keeps bytes aligned */
	uint8_t bytes[];
};
_Static_assert(sizeof(struct chunk) % ALIGN == 0, "chunk bytes are aligned");

struct ag_arena {
	struct chunk *now; /* the one that is bumped */
	struct chunk *first;
	size_t max_bytes;
	size_t reserved; /* sum of the chunks' sizes, at most max_bytes */
	ProtobufCAllocator allocator;
};

static struct chunk *
chunk_new(struct ag_arena *arena, size_t size)
{
	struct chunk *c = calloc(1, sizeof(*c) + size);

	if (c == NULL)
		return NULL;
	c->size = size;
	arena->reserved += size;
	ASAN_POISON_MEMORY_REGION(c->bytes, size);
	return c;
}

static void *
take(struct chunk *c, size_t size, size_t rounded)
{
	uint8_t *p = c->bytes + c->used;

	c->used += rounded;
	ASAN_UNPOISON_MEMORY_REGION(p, size);
	(void)size;
	return p;
}

/* The next chunk: one kept from an earlier turn, or a new one, twice as big. */
static void *
alloc_slow(struct ag_arena *arena, size_t size, size_t rounded)
{
	struct chunk *c = arena->now->next;
	size_t left = arena->max_bytes - arena->reserved;
	size_t want = arena->now->size * 2;

	if (c == NULL || c->size < rounded) {
		if (rounded > left)
			return NULL;
		if (want > CHUNK_BYTES_MAX)
			want = CHUNK_BYTES_MAX;
		if (want > left)
			want = left & ~(size_t)(ALIGN - 1);
		if (want < rounded)
			want = rounded;
		if ((c = chunk_new(arena, want)) == NULL)
			return NULL;
		c->next = arena->now->next;
		arena->now->next = c;
	}
	arena->now = c;
	return take(c, size, rounded);
}

void *
ag_arena_alloc(struct ag_arena *arena, size_t size)
{
	size_t rounded = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);

	if (rounded < size) /* overflow */
		return NULL;
	if (rounded == 0) /* protobuf-c takes NULL for a failure */
		rounded = ALIGN;
	if (rounded <= arena->now->size - arena->now->used)
		return take(arena->now, size, rounded);
	return alloc_slow(arena, size, rounded);
}

static void *
pb_alloc(void *data, size_t size)
{
	return ag_arena_alloc(data, size);
}

static void
pb_free(void *data, void *p)
{
	/* Everything goes at once, when the turn ends. */
	(void)data;
	(void)p;
}

ag_err
ag_arena_new(size_t max_bytes, struct ag_arena **out)
{
	struct ag_arena *arena = calloc(1, sizeof(*arena));
	size_t first = CHUNK_FIRST_BYTES;

	*out = NULL;
	if (arena == NULL)
		return AG_NO_MEMORY;
	if (first > max_bytes)
		first = max_bytes & ~(size_t)(ALIGN - 1);
	arena->max_bytes = max_bytes;
	if ((arena->first = chunk_new(arena, first)) == NULL) {
		free(arena);
		return AG_NO_MEMORY;
	}
	arena->now = arena->first;
	arena->allocator = (ProtobufCAllocator){
		.alloc = pb_alloc, .free = pb_free, .allocator_data = arena,
	};
	*out = arena;
	return AG_OK;
}

static void
chunk_wipe(struct chunk *c)
{
	ASAN_UNPOISON_MEMORY_REGION(c->bytes, c->size);
	explicit_bzero(c->bytes, c->used);
	c->used = 0;
}

static void
chunk_drop(struct ag_arena *arena, struct chunk *c)
{
	arena->reserved -= c->size;
	free(c);
}

void
ag_arena_wipe(struct ag_arena *arena)
{
	struct chunk *c = arena->first, *next;
	size_t kept = 0;

	for (struct chunk **link = &arena->first; c != NULL; c = next) {
		next = c->next;
		chunk_wipe(c);
		/* The first always stays; what is big goes back. */
		if (c != arena->first && kept + c->size > KEEP_BYTES) {
			*link = next;
			chunk_drop(arena, c);
			continue;
		}
		ASAN_POISON_MEMORY_REGION(c->bytes, c->size);
		kept += c->size;
		link = &c->next;
	}
	arena->now = arena->first;
}

void
ag_arena_free(struct ag_arena **arena)
{
	struct chunk *c, *next;

	if (*arena == NULL)
		return;
	for (c = (*arena)->first; c != NULL; c = next) {
		next = c->next;
		chunk_wipe(c);
		chunk_drop(*arena, c);
	}
	free(*arena);
	*arena = NULL;
}

ProtobufCAllocator *
ag_arena_allocator(struct ag_arena *arena)
{
	return &arena->allocator;
}

size_t
ag_arena_used(const struct ag_arena *arena)
{
	size_t used = 0;

	for (const struct chunk *c = arena->first; c != NULL; c = c->next)
		used += c->used;
	return used;
}
