/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree: the Merkle trees that proofs are made of (RFC 6962 §2.1). Nobody pays
 * for them before the first is asked for: then every tenant's leaves are
 * hashed once, in steps, and the roots of complete groups of 256 are kept, 56
 * bytes each; the leaves of the one or two groups that a path needs are hashed
 * again from the log.
 */
#include "tree.h"

#include <stdlib.h>
#include <string.h>

enum { HASH_STEP = 5000 };

struct group {
	uint8_t root[AG_HASH_BYTES];
	uint64_t segment, offset, pos; /* of its first event */
};

struct tree {
	struct tree *next;
	char tenant[AG_SEG_TENANT_MAX + 1];
	struct ag_merkle gone; /* leaves that were cut off: only their peaks */
	uint64_t base;         /* groups before this one are gone altogether */
	struct group *groups;  /* from base on; the last one may be incomplete */
	size_t count, cap;
	struct ag_merkle part; /* of the last group */
};

struct leaves {
	uint64_t group; /* + 1; 0: free */
	uint8_t hash[GROUP_LEAVES][AG_HASH_BYTES];
};

static struct tree *
tree_of(struct history *h, const char *tenant)
{
	const struct anchor *anchor;
	struct tree *t;

	for (t = h->trees; t != NULL; t = t->next) {
		if (strcmp(t->tenant, tenant) == 0)
			return t;
	}
	if ((t = calloc(1, sizeof(*t))) == NULL)
		return NULL;
	strcpy(t->tenant, tenant);
	if ((anchor = index_anchor(h, tenant)) != NULL) {
		t->gone = anchor->tree;
		t->base = t->gone.size / GROUP_LEAVES;
		/* The leaves of a group that are gone are whole subtrees. */
		t->part.size = t->gone.size % GROUP_LEAVES;
		memcpy(t->part.peaks, t->gone.peaks,
		    GROUP_LEVEL * sizeof(t->part.peaks[0]));
	}
	t->next = h->trees;
	return h->trees = t;
}

static ag_err
tree_add(struct tree *t, const struct ag_seg_record *record)
{
	uint8_t leaf[AG_HASH_BYTES];
	struct group *g;

	if (t->part.size == 0 || t->count == 0) {
		if (t->count == t->cap) {
			size_t cap = t->cap ? 2 * t->cap : 64;
			struct group *p = realloc(t->groups, cap * sizeof(*p));

			if (p == NULL)
				return AG_NO_MEMORY;
			t->groups = p;
			t->cap = cap;
		}
		g = &t->groups[t->count++];
		g->segment = record->segment;
		g->offset = record->offset;
		g->pos = record->pos;
	}
	ag_merkle_leaf(record->body, record->body_len, leaf);
	ag_merkle_add(&t->part, leaf);
	if (t->part.size == GROUP_LEAVES) {
		ag_merkle_root(&t->part, t->groups[t->count - 1].root);
		t->part.size = 0;
	}
	return AG_OK;
}

ag_err
tree_step(struct history *h, bool *more)
{
	struct ag_seg_record record;
	struct tree *t;
	ag_err err = AG_OK;

	if (h->tree_reader == NULL) {
		if ((err = ag_segs_open(h->dir, &h->tree_reader)) != AG_OK)
			return err;
		h->trees_next = h->first;
	}
	for (unsigned i = 0; i < HASH_STEP && h->trees_next <= h->head;) {
		if ((err = ag_segs_next(h->tree_reader, &record)) != AG_OK)
			return err;
		if (record.kind != AG_SEG_EVENT)
			continue;
		if ((t = tree_of(h, record.tenant)) == NULL ||
		    (err = tree_add(t, &record)) != AG_OK)
			return AG_NO_MEMORY;
		h->trees_next = record.pos + 1;
		i++;
	}
	*more = h->trees_next <= h->head;
	return AG_OK;
}

void
tree_fini(struct history *h)
{
	while (h->trees != NULL) {
		struct tree *next = h->trees->next;

		free(h->trees->groups);
		free(h->trees);
		h->trees = next;
	}
	ag_segs_close(&h->tree_reader);
	h->trees_next = 0;
}

/* -------------------------------------------------------------- the hashes */

static ag_err
load_group(struct proving *p, uint64_t group, struct leaves **out)
{
	const struct group *g = &p->tree->groups[group - p->tree->base];
	struct ag_seg_record record;
	struct leaves *l;
	unsigned n = 0;
	ag_err err;

	if (group == p->tree->base)
		n = (unsigned)(p->tree->gone.size % GROUP_LEAVES);

	for (unsigned i = 0; i < CACHED_GROUPS; i++) {
		if (p->cache[i] != NULL && p->cache[i]->group == group + 1) {
			*out = p->cache[i];
			return AG_OK;
		}
	}
	l = p->cache[p->cache_next];
	if (l == NULL && (l = malloc(sizeof(*l))) == NULL)
		return AG_NO_MEMORY;
	p->cache[p->cache_next] = l;
	p->cache_next = (p->cache_next + 1) % CACHED_GROUPS;
	l->group = 0;
	err = ag_segs_seek(p->h->scan_reader, g->segment, g->offset, g->pos);
	while (err == AG_OK && n < GROUP_LEAVES &&
	    group * GROUP_LEAVES + n < p->size) {
		err = ag_segs_next(p->h->scan_reader, &record);
		if (err == AG_OK && record.kind == AG_SEG_EVENT &&
		    strcmp(record.tenant, p->tree->tenant) == 0)
			ag_merkle_leaf(record.body, record.body_len, l->hash[n++]);
	}
	if (err != AG_OK)
		return err;
	l->group = group + 1;
	*out = l;
	return AG_OK;
}

uint64_t
tree_split(uint64_t n)
{
	uint64_t k = 1;

	while (k * 2 < n)
		k *= 2;
	return k;
}

/*
 * Of leaves that were cut off, only the largest whole subtrees are known. A
 * path from a leaf that is kept needs no others: whatever lies beside it and is
 * gone altogether has a parent that is not.
 */
static ag_err
gone_root(const struct tree *t, uint64_t lo, uint64_t n,
    uint8_t out[AG_HASH_BYTES])
{
	unsigned level = (unsigned)__builtin_ctzll(n);

	if ((n & (n - 1)) != 0 || !(t->gone.size >> level & 1) ||
	    lo != (t->gone.size >> level >> 1) << level << 1)
		return AG_ITEM_NOT_FOUND;
	memcpy(out, t->gone.peaks[level], AG_HASH_BYTES);
	return AG_OK;
}

/* Recursion is as deep as the tree: ≤ 64. */
ag_err
tree_root(struct proving *p, uint64_t lo, uint64_t n, uint8_t out[AG_HASH_BYTES])
{
	uint8_t left[AG_HASH_BYTES], right[AG_HASH_BYTES];
	struct leaves *l;
	uint64_t k;
	ag_err err;

	if (lo + n <= p->tree->gone.size)
		return gone_root(p->tree, lo, n, out);
	if (n == GROUP_LEAVES && lo % GROUP_LEAVES == 0) {
		memcpy(out, p->tree->groups[lo / GROUP_LEAVES - p->tree->base].root,
		    AG_HASH_BYTES);
		return AG_OK;
	}
	if (n == 1) {
		if ((err = load_group(p, lo / GROUP_LEAVES, &l)) == AG_OK)
			memcpy(out, l->hash[lo % GROUP_LEAVES], AG_HASH_BYTES);
		return err;
	}
	k = tree_split(n);
	if ((err = tree_root(p, lo, k, left)) != AG_OK ||
	    (err = tree_root(p, lo + k, n - k, right)) != AG_OK)
		return err;
	ag_merkle_node(left, right, out);
	return AG_OK;
}

/* --------------------------------------------------------------- for a proof */

ag_err
tree_begin(struct history *h, struct ag_ctx *ctx, uint64_t size,
    struct proving **out)
{
	struct proving *p = ag_alloc(ctx, sizeof(*p));

	if (p == NULL)
		return AG_NO_MEMORY;
	p->h = h;
	p->size = size;
	p->tree = tree_of(h, ag_grant(ctx)->tenant);
	if (p->tree == NULL)
		return AG_NO_MEMORY;
	if (p->tree->count == 0 || (p->tree->base + p->tree->count - 1) *
	    GROUP_LEAVES + (p->tree->part.size == 0 ? GROUP_LEAVES :
	    p->tree->part.size) < p->size)
		return AG_CORRUPT;
	*out = p;
	return AG_OK;
}

void
tree_end(struct proving *p)
{
	for (unsigned i = 0; i < CACHED_GROUPS; i++)
		free(p->cache[i]);
}

ag_err
tree_leaf(struct proving *p, uint64_t index, uint8_t out[AG_HASH_BYTES])
{
	struct leaves *l;
	ag_err err = load_group(p, index / GROUP_LEAVES, &l);

	if (err == AG_OK)
		memcpy(out, l->hash[index % GROUP_LEAVES], AG_HASH_BYTES);
	return err;
}

ag_err
tree_take(struct proving *p, struct ag_ctx *ctx, ProtobufCBinaryData **list,
    size_t *count)
{
	*list = ag_alloc(ctx, (p->path_len + 1) * sizeof(**list));
	if (*list == NULL)
		return AG_NO_MEMORY;
	for (size_t i = 0; i < p->path_len; i++) {
		(*list)[i].data = p->path[i];
		(*list)[i].len = AG_HASH_BYTES;
	}
	*count = p->path_len;
	return AG_OK;
}
