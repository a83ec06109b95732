/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a shard holds in memory: hot keys (their state) and parsed keys (ready
 * for use), each bounded, least recently used out first.
 */
#ifndef KEYS_CACHE_H
#define KEYS_CACHE_H

#include "crypto.h"

enum {
	TABLE_KEYS,   /* key id → KeyStored */
	TABLE_DUE,    /* destroy_at BE8 ‖ key id → nothing */
	TABLE_ROTATE, /* when to look BE8 ‖ key id → nothing */
	TABLE_NOTES,  /* "epoch" → epoch BE8, ended in order (1) */
	CACHE_BUCKETS = 4096,
	/* Of the locked region; the rest is for what comes and goes. */
	PARSED_SECRET_BYTES_MAX = AG_SECRET_REGION_BYTES / 4 * 3,
};

struct link {
	struct link *prev, *next; /* of the LRU ring */
};

struct hot {
	struct link lru; /* first */
	struct hot *chain;
	char id[AG_ID_SIZE];
	Ag__KeyStored *stored; /* on the heap; operations are counted here */
	bool dirty;            /* operations are not in the store */
	bool reserving;        /* a block is asked for */
	bool destroying;
	bool rotating;
	uint32_t rotate_told;  /* version whose operations made it due */
};

struct parsed_entry {
	struct link lru; /* first */
	struct parsed_entry *chain;
	char id[AG_ID_SIZE];
	uint32_t version;
	bool is_private;
	struct parsed key;
};

struct cache {
	struct link hots, parsed; /* ring heads: next is the newest */
	struct hot *hot_table[CACHE_BUCKETS];
	struct parsed_entry *parsed_table[CACHE_BUCKETS];
	size_t hot_count, hot_max, parsed_count, parsed_max;
	uint64_t epoch; /* since the last start that followed a crash */
	bool unplanned; /* the store is of before TABLE_ROTATE, or new */
};

void cache_init(struct cache *c, size_t hot_max, size_t parsed_max);
/* Writes back what is dirty, wipes the rest. */
void cache_fini(struct cache *c, struct ag_ctx *ctx);

/* The key, from memory or the store; NULL: no such key here. Valid until the
 * next call. */
struct hot *cache_key(struct cache *c, struct ag_ctx *ctx, const char *id);
/* The key's state has changed: into the store and memory. */
ag_err cache_put(struct cache *c, struct ag_ctx *ctx, const char *id,
    const Ag__KeyStored *stored) AG_MUST;
struct parsed *cache_find(struct cache *c, const char *id, uint32_t version,
    bool is_private);
/* Takes *key; AG_FULL, AG_NO_MEMORY. */
ag_err cache_add(struct cache *c, const char *id, uint32_t version,
    bool is_private, struct parsed *key, struct parsed **out) AG_MUST;
/* Wipes everything parsed of this key. */
void cache_drop(struct cache *c, const char *id);
/* The same for all keys of a tenant. */
void cache_drop_tenant(struct cache *c, struct ag_ctx *ctx, const char *tenant);

#endif
