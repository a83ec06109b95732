/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory with a ceiling: all that a text becomes goes at once. Zeroed when it
 * is handed out. Not the engine's arena, because policy/ includes nothing, and
 * because scratch lies over bytes of the caller.
 */
#include "core.h"

#include <stdlib.h>

enum {
	ALIGN = 16,
	CHUNK_FIRST_BYTES = 4 << 10,
	CHUNK_BYTES_MAX = 1 << 20, /* of a chunk that is not one big piece */
};

struct ag_cedar_chunk {
	struct ag_cedar_chunk *next;
	size_t size; /* of bytes */
	uint8_t bytes[];
};
_Static_assert(sizeof(struct ag_cedar_chunk) % ALIGN == 0, "chunks align");

void
ag_cedar_arena_init(struct ag_cedar_arena *arena, size_t max)
{
	*arena = (struct ag_cedar_arena){ .left = max, .max = max };
}

void
ag_cedar_arena_over(struct ag_cedar_arena *arena, void *bytes, size_t size)
{
	size_t skip = (size_t)(-(uintptr_t)bytes & (ALIGN - 1));

	*arena = (struct ag_cedar_arena){ .max = 0 };
	if (skip > size)
		skip = size;
	arena->begin = (uint8_t *)bytes + skip;
	arena->at = arena->begin;
	arena->end = (uint8_t *)bytes + size;
}

static bool
chunk_add(struct ag_cedar_arena *arena, size_t need)
{
	size_t want = arena->chunks == NULL ? CHUNK_FIRST_BYTES :
	    arena->chunks->size * 2;
	struct ag_cedar_chunk *chunk;

	if (want > CHUNK_BYTES_MAX)
		want = CHUNK_BYTES_MAX;
	if (want > arena->left)
		want = arena->left & ~(size_t)(ALIGN - 1);
	if (want < need)
		want = need;
	if (want > arena->left)
		return false;
	chunk = malloc(sizeof(*chunk) + want);
	if (chunk == NULL)
		return false;
	arena->left -= want;
	chunk->size = want;
	chunk->next = arena->chunks;
	arena->chunks = chunk;
	arena->at = chunk->bytes;
	arena->end = chunk->bytes + want;
	return true;
}

void *
ag_cedar_alloc(struct ag_cedar_arena *arena, size_t size)
{
	size_t rounded = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	uint8_t *p;

	if (rounded < size)
		return NULL;
	if (rounded == 0)
		rounded = ALIGN;
	if (rounded > (size_t)(arena->end - arena->at) &&
	    (arena->begin != NULL || !chunk_add(arena, rounded)))
		return NULL;
	p = arena->at;
	arena->at += rounded;
	return memset(p, 0, rounded);
}

void
ag_cedar_arena_reset(struct ag_cedar_arena *arena)
{
	struct ag_cedar_chunk *chunk = arena->chunks, *next;

	if (arena->begin != NULL)
		arena->at = arena->begin;
	if (chunk == NULL)
		return;
	for (; chunk->next != NULL; chunk = next) {
		next = chunk->next;
		free(chunk);
	}
	arena->chunks = chunk;
	arena->left = arena->max - chunk->size;
	arena->at = chunk->bytes;
	arena->end = chunk->bytes + chunk->size;
}

void
ag_cedar_arena_fini(struct ag_cedar_arena *arena)
{
	struct ag_cedar_chunk *chunk = arena->chunks, *next;

	for (; chunk != NULL; chunk = next) {
		next = chunk->next;
		free(chunk);
	}
	*arena = (struct ag_cedar_arena){ .max = 0 };
}

bool
cedar_grow(struct ag_cedar_arena *arena, void *array, size_t count,
    size_t item_size)
{
	void **at = array, *bigger;

	/* Full when the count is 0 or a power of two from 4 on. */
	if (count != 0 && (count < 4 || (count & (count - 1)) != 0))
		return true;
	bigger = ag_cedar_alloc(arena, (count == 0 ? 4 : count * 2) * item_size);
	if (bigger == NULL)
		return false;
	if (count != 0)
		memcpy(bigger, *at, count * item_size);
	*at = bigger;
	return true;
}
