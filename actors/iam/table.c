/* SPDX-License-Identifier: Apache-2.0 */
/* A hash table of pointers. It grows when facts are applied, never on the way
 * of a request. */
#include "iam.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_SLOTS = 64, KEY_BYTES_MAX = 512 };

static uint64_t
hash_of(const struct iam_table *t, const char *scope, const char *key)
{
	uint8_t text[KEY_BYTES_MAX], out[crypto_shorthash_BYTES];
	size_t n = strnlen(scope, 128), m = strnlen(key, KEY_BYTES_MAX - 130);
	uint64_t h;

	memcpy(text, scope, n);
	text[n] = '/';
	memcpy(text + n + 1, key, m);
	crypto_shorthash(out, text, n + 1 + m, t->seed);
	memcpy(&h, out, sizeof(h));
	return h;
}

void
iam_table_init(struct iam_table *t, size_t max)
{
	memset(t, 0, sizeof(*t));
	t->max = max;
	randombytes_buf(t->seed, sizeof(t->seed));
}

void
iam_table_fini(struct iam_table *t)
{
	free(t->slots);
	t->slots = NULL;
	t->count = 0;
}

void *
iam_table_get(const struct iam_table *t, iam_same *same, const char *scope,
    const char *key)
{
	uint64_t h;

	if (t->slots == NULL)
		return NULL;
	h = hash_of(t, scope, key);
	for (size_t i = h & t->mask; t->slots[i].item != NULL;
	    i = (i + 1) & t->mask)
		if (t->slots[i].hash == h && same(t->slots[i].item, scope, key))
			return t->slots[i].item;
	return NULL;
}

static void
put(struct iam_slot *slots, size_t mask, struct iam_slot slot)
{
	size_t i = slot.hash & mask;

	while (slots[i].item != NULL)
		i = (i + 1) & mask;
	slots[i] = slot;
}

static ag_err
grow(struct iam_table *t)
{
	size_t n = t->slots == NULL ? FIRST_SLOTS : 2 * (t->mask + 1);
	struct iam_slot *slots = calloc(n, sizeof(*slots));

	if (slots == NULL)
		return AG_NO_MEMORY;
	for (size_t i = 0; t->slots != NULL && i <= t->mask; i++)
		if (t->slots[i].item != NULL)
			put(slots, n - 1, t->slots[i]);
	free(t->slots);
	t->slots = slots;
	t->mask = n - 1;
	return AG_OK;
}

ag_err
iam_table_add(struct iam_table *t, const char *scope, const char *key,
    void *item)
{
	struct iam_slot slot = { .item = item };
	ag_err err;

	if (t->count >= t->max)
		return AG_FULL;
	if (t->slots == NULL || 2 * (t->count + 1) > t->mask + 1)
		if ((err = grow(t)) != AG_OK)
			return err;
	slot.hash = hash_of(t, scope, key);
	put(t->slots, t->mask, slot);
	t->count++;
	return AG_OK;
}

/* Shifts back what was pushed on by the one that leaves. */
void
iam_table_del(struct iam_table *t, const char *scope, const char *key,
    const void *item)
{
	size_t i, j;

	if (t->slots == NULL)
		return;
	i = hash_of(t, scope, key) & t->mask;
	while (t->slots[i].item != item) {
		if (t->slots[i].item == NULL)
			return;
		i = (i + 1) & t->mask;
	}
	for (j = (i + 1) & t->mask; t->slots[j].item != NULL;
	    j = (j + 1) & t->mask) {
		size_t home = t->slots[j].hash & t->mask;

		if (((j - home) & t->mask) >= ((j - i) & t->mask)) {
			t->slots[i] = t->slots[j];
			i = j;
		}
	}
	t->slots[i].item = NULL;
	t->count--;
}
