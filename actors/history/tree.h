/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tenants' Merkle trees, for those who prove something with them.
 */
#ifndef HISTORY_TREE_H
#define HISTORY_TREE_H

#include "history.h"

enum { CACHED_GROUPS = 4 };

/* One proof being made; in the turn's arena but for its cache. */
struct proving {
	struct history *h;
	struct tree *tree;
	struct leaves *cache[CACHED_GROUPS];
	unsigned cache_next;
	uint64_t size; /* leaves of the tree that is proved with */
	uint8_t path[PROOF_PATH_MAX][AG_HASH_BYTES];
	size_t path_len;
};

/* Hashes on towards the head; *more: not there yet. */
ag_err tree_step(struct history *h, bool *more) AG_MUST;
/* Of the grant's tenant, with its first `size` leaves, which are hashed. */
ag_err tree_begin(struct history *h, struct ag_ctx *ctx, uint64_t size,
    struct proving **out) AG_MUST;
void tree_end(struct proving *p); /* the path stays */
/* The largest power of two below n. */
uint64_t tree_split(uint64_t n);
ag_err tree_leaf(struct proving *p, uint64_t index, uint8_t out[AG_HASH_BYTES])
    AG_MUST;
/* MTH of leaves lo … lo + n - 1. AG_ITEM_NOT_FOUND: they were cut off, and
 * that subtree is not among the peaks that are kept. */
ag_err tree_root(struct proving *p, uint64_t lo, uint64_t n,
    uint8_t out[AG_HASH_BYTES]) AG_MUST;
/* The path as an answer's list, in the turn's arena. */
ag_err tree_take(struct proving *p, struct ag_ctx *ctx,
    ProtobufCBinaryData **list, size_t *count) AG_MUST;

/* ---- proof.c */
/* The tenant's newest checkpoint over at least `over` events; *out NULL: there
 * is none yet. In the turn's arena. */
ag_err proof_newest(struct history *h, struct ag_ctx *ctx, uint64_t over,
    Ag__Checkpoint **out) AG_MUST;

#endif
