/* SPDX-License-Identifier: Apache-2.0 */
#include "cache.h"

#include "fold.h"

#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------- small parts */

static void
link_out(struct link *l)
{
	l->prev->next = l->next;
	l->next->prev = l->prev;
}

static void
link_front(struct link *head, struct link *l)
{
	l->next = head->next;
	l->prev = head;
	head->next->prev = l;
	head->next = l;
}

static void
touch(struct link *head, struct link *l)
{
	if (head->next == l)
		return;
	link_out(l);
	link_front(head, l);
}

/* FNV-1a; ids are ours, not a caller's, and random in their second half. */
static unsigned
bucket(const char *id, uint32_t salt)
{
	uint64_t h = UINT64_C(14695981039346656037) ^ salt;

	for (; *id != '\0'; id++)
		h = (h ^ (unsigned char)*id) * UINT64_C(1099511628211);
	return (unsigned)((h ^ (h >> 32)) % CACHE_BUCKETS);
}

void
cache_init(struct cache *c, size_t hot_max, size_t parsed_max)
{
	c->hots.prev = c->hots.next = &c->hots;
	c->parsed.prev = c->parsed.next = &c->parsed;
	c->hot_max = hot_max > 0 ? hot_max : 1;
	c->parsed_max = parsed_max > 0 ? parsed_max : 1;
}

/* ---------------------------------------------------------------- hot keys */

static ag_err
store_key(struct ag_ctx *ctx, const char *id, const Ag__KeyStored *stored)
{
	size_t len;
	uint8_t *bytes = ag_pack(ctx, stored, &len);

	if (bytes == NULL)
		return AG_NO_MEMORY;
	return ag_store_put(ctx, TABLE_KEYS, id, strlen(id), bytes, len);
}

static void
hot_free(struct cache *c, struct hot *hot)
{
	struct hot **p = &c->hot_table[bucket(hot->id, 0)];

	while (*p != hot)
		p = &(*p)->chain;
	*p = hot->chain;
	link_out(&hot->lru);
	c->hot_count--;
	ag__key_stored__free_unpacked(hot->stored, NULL);
	free(hot);
}

/* Passivation: the key leaves memory, with its exact counters in the store. */
static void
hot_rest(struct cache *c, struct ag_ctx *ctx, struct hot *hot)
{
	if (hot->dirty && store_key(ctx, hot->id, hot->stored) != AG_OK)
		ag_log(ctx, AG_WARN, "KEY-COUNT", "key=%s", hot->id);
	hot_free(c, hot);
}

static struct hot *
hot_find(struct cache *c, const char *id)
{
	struct hot *hot = c->hot_table[bucket(id, 0)];

	while (hot != NULL && strcmp(hot->id, id) != 0)
		hot = hot->chain;
	if (hot != NULL)
		touch(&c->hots, &hot->lru);
	return hot;
}

static struct hot *
hot_new(struct cache *c, struct ag_ctx *ctx, const char *id,
    const uint8_t *bytes, size_t len)
{
	Ag__KeyStored *stored = ag__key_stored__unpack(NULL, len, bytes);
	struct hot *hot = stored == NULL ? NULL : calloc(1, sizeof(*hot));
	unsigned b = bucket(id, 0);

	if (hot == NULL || strlen(id) >= sizeof(hot->id)) {
		if (stored != NULL)
			ag__key_stored__free_unpacked(stored, NULL);
		free(hot);
		return NULL;
	}
	memcpy(hot->id, id, strlen(id) + 1);
	hot->stored = stored;
	hot->chain = c->hot_table[b];
	c->hot_table[b] = hot;
	link_front(&c->hots, &hot->lru);
	c->hot_count++;
	while (c->hot_count > c->hot_max)
		hot_rest(c, ctx, (struct hot *)c->hots.prev);
	return hot;
}

struct hot *
cache_key(struct cache *c, struct ag_ctx *ctx, const char *id)
{
	struct hot *hot = hot_find(c, id);
	const uint8_t *bytes;
	size_t len;

	if (hot != NULL)
		return hot;
	if (ag_store_get(ctx, TABLE_KEYS, id, strlen(id), &bytes, &len) != AG_OK ||
	    (hot = hot_new(c, ctx, id, bytes, len)) == NULL)
		return NULL;
	if (hot->stored->epoch != c->epoch) {
		/* Since then a process that counted has crashed. */
		fold_bound(hot->stored);
		hot->stored->has_epoch = hot->dirty = true;
		hot->stored->epoch = c->epoch;
	}
	return hot;
}

ag_err
cache_put(struct cache *c, struct ag_ctx *ctx, const char *id,
    const Ag__KeyStored *stored)
{
	struct hot *hot = hot_find(c, id);
	Ag__KeyStored *copy;
	uint8_t *bytes;
	size_t len;

	if ((bytes = ag_pack(ctx, stored, &len)) == NULL)
		return AG_NO_MEMORY;
	if (hot != NULL) {
		if ((copy = ag__key_stored__unpack(NULL, len, bytes)) == NULL)
			return AG_NO_MEMORY;
		ag__key_stored__free_unpacked(hot->stored, NULL);
		hot->stored = copy;
	}
	return ag_store_put(ctx, TABLE_KEYS, id, strlen(id), bytes, len);
}

/* -------------------------------------------------------------- parsed keys */

static void
entry_free(struct cache *c, struct parsed_entry *e)
{
	struct parsed_entry **p = &c->parsed_table[bucket(e->id, e->version)];

	while (*p != e)
		p = &(*p)->chain;
	*p = e->chain;
	link_out(&e->lru);
	c->parsed_count--;
	parsed_fini(&e->key);
	free(e);
}

struct parsed *
cache_find(struct cache *c, const char *id, uint32_t version, bool is_private)
{
	struct parsed_entry *e = c->parsed_table[bucket(id, version)];

	while (e != NULL && (e->version != version || e->is_private != is_private ||
	    strcmp(e->id, id) != 0))
		e = e->chain;
	if (e == NULL)
		return NULL;
	touch(&c->parsed, &e->lru);
	return &e->key;
}

static void
make_room(struct cache *c)
{
	struct link *l = c->parsed.prev, *prev;

	while (c->parsed_count >= c->parsed_max)
		entry_free(c, (struct parsed_entry *)c->parsed.prev);
	for (l = c->parsed.prev; l != &c->parsed &&
	    ag_secret_used() > PARSED_SECRET_BYTES_MAX; l = prev) {
		prev = l->prev;
		if (((struct parsed_entry *)l)->is_private)
			entry_free(c, (struct parsed_entry *)l);
	}
}

ag_err
cache_add(struct cache *c, const char *id, uint32_t version, bool is_private,
    struct parsed *key, struct parsed **out)
{
	struct parsed_entry *e;
	unsigned b = bucket(id, version);

	make_room(c);
	if (strlen(id) >= sizeof(e->id) || (e = calloc(1, sizeof(*e))) == NULL) {
		parsed_fini(key);
		return AG_NO_MEMORY;
	}
	memcpy(e->id, id, strlen(id) + 1);
	e->version = version;
	e->is_private = is_private;
	e->key = *key;
	*key = (struct parsed){ 0 };
	e->chain = c->parsed_table[b];
	c->parsed_table[b] = e;
	link_front(&c->parsed, &e->lru);
	c->parsed_count++;
	*out = &e->key;
	return AG_OK;
}

void
cache_drop(struct cache *c, const char *id)
{
	struct link *l, *next;

	for (l = c->parsed.next; l != &c->parsed; l = next) {
		next = l->next;
		if (strcmp(((struct parsed_entry *)l)->id, id) == 0)
			entry_free(c, (struct parsed_entry *)l);
	}
}

void
cache_drop_tenant(struct cache *c, struct ag_ctx *ctx, const char *tenant)
{
	struct link *l, *next;
	struct hot *hot;

	for (l = c->parsed.next; l != &c->parsed; l = next) {
		next = l->next;
		hot = cache_key(c, ctx, ((struct parsed_entry *)l)->id);
		if (hot == NULL || strcmp(hot->stored->key->tenant, tenant) == 0)
			entry_free(c, (struct parsed_entry *)l);
	}
}

void
cache_fini(struct cache *c, struct ag_ctx *ctx)
{
	if (c->hots.next == NULL)
		return; /* never begun */
	while (c->parsed.next != &c->parsed)
		entry_free(c, (struct parsed_entry *)c->parsed.next);
	while (c->hots.next != &c->hots)
		hot_rest(c, ctx, (struct hot *)c->hots.next);
}
