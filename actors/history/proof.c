/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proof: shows that an event is under a signed checkpoint (RFC 6962 §2.1.1).
 * Nobody pays for it before the first is asked for: then every tenant's leaves
 * are hashed once, in steps, and the roots of complete groups of 256 are kept,
 * 56 bytes each; the leaves of the one or two groups that a path needs are
 * hashed again from the log.
 */
#include "history.h"

#include <stdlib.h>
#include <string.h>

enum { HASH_STEP = 5000, RETRY_MS = 200, TRIES_MAX = 10, CACHED_GROUPS = 4 };

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

struct proving {
	struct history *h;
	struct tree *tree;
	struct leaves *cache[CACHED_GROUPS];
	unsigned cache_next;
	uint64_t size;
	uint8_t path[PROOF_PATH_MAX][AG_HASH_BYTES];
	size_t path_len;
};

/* One question on its way. */
struct proof {
	struct found found;
	unsigned tries;
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

/* Hashes on towards the head; *more: not there yet. */
static ag_err
trees_step(struct history *h, bool *more)
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
proof_fini(struct history *h)
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

static uint64_t
split(uint64_t n) /* largest power of two below n */
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

/* MTH of leaves lo … lo + n - 1. Recursion is as deep as the tree: ≤ 64. */
static ag_err
range_root(struct proving *p, uint64_t lo, uint64_t n, uint8_t out[AG_HASH_BYTES])
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
	k = split(n);
	if ((err = range_root(p, lo, k, left)) != AG_OK ||
	    (err = range_root(p, lo + k, n - k, right)) != AG_OK)
		return err;
	ag_merkle_node(left, right, out);
	return AG_OK;
}

/* PATH(m, D[n]) of RFC 6962, from the top; the answer wants it from the leaf. */
static ag_err
path(struct proving *p, uint64_t index)
{
	uint8_t down[PROOF_PATH_MAX][AG_HASH_BYTES];
	uint64_t lo = 0, n = p->size, k;
	size_t len = 0;
	ag_err err = AG_OK;

	for (; err == AG_OK && n > 1; len++) {
		k = split(n);
		if (index - lo < k) {
			err = range_root(p, lo + k, n - k, down[len]);
			n = k;
		} else {
			err = range_root(p, lo, k, down[len]);
			lo += k;
			n -= k;
		}
	}
	for (size_t i = 0; err == AG_OK && i < len; i++)
		memcpy(p->path[i], down[len - 1 - i], AG_HASH_BYTES);
	p->path_len = len;
	return err;
}

/* ----------------------------------------------------------------- answering */

struct newest {
	struct ag_ctx *ctx;
	const char *tenant;
	size_t key_len;
	uint64_t over; /* leaves that it must cover */
	Ag__Checkpoint *checkpoint;
};

static bool
visit_newest(void *arg, const uint8_t *key, size_t len, const uint8_t *row,
    size_t row_len)
{
	struct newest *n = arg;

	if (len != n->key_len + 8 || memcmp(key, n->tenant, n->key_len) != 0)
		return false;
	n->checkpoint = ag_unpack(n->ctx, &ag__checkpoint__descriptor, row,
	    row_len);
	return n->checkpoint != NULL;
}

/* The newest one that covers the event: the last row of the tenant at or after
 * that size. Looked for in halves, so that a long list is not walked. */
static ag_err
newest(struct newest *n, uint64_t head)
{
	uint8_t key[AG_SEG_TENANT_MAX + 9];
	uint64_t low = n->over, high = head + 1;
	Ag__Checkpoint *best = NULL;
	ag_err err = AG_OK;

	memcpy(key, n->tenant, n->key_len);
	while (err == AG_OK && low < high) {
		uint64_t mid = high - low > 4096 ? low + (high - low) / 2 : low;

		for (unsigned i = 0; i < 8; i++)
			key[n->key_len + i] = (uint8_t)(mid >> (56 - 8 * i));
		n->checkpoint = NULL;
		err = ag_store_scan(n->ctx, T_CHECKPOINTS, key, n->key_len + 8,
		    visit_newest, n);
		if (n->checkpoint != NULL)
			best = n->checkpoint;
		/* The scan went to the tenant's last row: nothing is newer. */
		if (n->checkpoint != NULL || mid == low)
			break;
		high = mid;
	}
	n->checkpoint = best;
	return err;
}

static ag_err
answer(struct history *h, struct ag_ctx *ctx, const struct found *found,
    Ag__Checkpoint *checkpoint)
{
	Ag__AuditProofReply reply = AG__AUDIT_PROOF_REPLY__INIT;
	struct proving *p = ag_alloc(ctx, sizeof(*p));
	const char *tenant = ag_grant(ctx)->tenant;
	uint8_t *leaf = ag_alloc(ctx, AG_HASH_BYTES);
	struct leaves *l;
	ag_err err;

	if (p == NULL || leaf == NULL)
		return AG_NO_MEMORY;
	p->h = h;
	p->size = checkpoint->size;
	p->tree = tree_of(h, tenant);
	if (p->tree == NULL)
		return AG_NO_MEMORY;
	if (p->tree->count == 0 || (p->tree->base + p->tree->count - 1) *
	    GROUP_LEAVES + (p->tree->part.size == 0 ? GROUP_LEAVES :
	    p->tree->part.size) < p->size)
		return AG_CORRUPT;
	err = load_group(p, (found->seq - 1) / GROUP_LEAVES, &l);
	if (err == AG_OK) {
		memcpy(leaf, l->hash[(found->seq - 1) % GROUP_LEAVES], AG_HASH_BYTES);
		err = path(p, found->seq - 1);
	}
	for (unsigned i = 0; i < CACHED_GROUPS; i++)
		free(p->cache[i]);
	if (err != AG_OK)
		return err;
	reply.event_id = ag_grant(ctx)->resource_id;
	reply.leaf_hash_b64.data = leaf;
	reply.leaf_hash_b64.len = AG_HASH_BYTES;
	reply.index = found->seq - 1;
	reply.size = checkpoint->size;
	reply.checkpoint = checkpoint;
	reply.path_b64 = ag_alloc(ctx, (p->path_len + 1) * sizeof(*reply.path_b64));
	if (reply.path_b64 == NULL)
		return AG_NO_MEMORY;
	for (size_t i = 0; i < p->path_len; i++) {
		reply.path_b64[i].data = p->path[i];
		reply.path_b64[i].len = AG_HASH_BYTES;
	}
	reply.n_path_b64 = p->path_len;
	return ag_reply(ctx, AG_MSG_AUDIT_PROOF, &reply);
}

static ag_err proof_later(void *state, struct ag_ctx *ctx, ag_err status,
    const void *msg, void *memo);

static ag_err
proof_step(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct history *h = state;
	struct proof *proof = memo;
	struct newest n = { .ctx = ctx };
	bool more = false;
	ag_err err = status;

	(void)msg;
	if (err == AG_OK && (err = index_cut(h, ctx)) == AG_OK &&
	    proof->found.pos < h->first)
		return ag_refuse(ctx, AG_ITEM_NOT_FOUND, NULL, NULL,
		    "there is no such event"); /* any more */
	if (err == AG_OK)
		err = trees_step(h, &more);
	if (err != AG_OK)
		return err;
	if (more)
		return ag_after(ctx, 0, proof_step, proof, sizeof(*proof));
	n.tenant = ag_grant(ctx)->tenant;
	n.key_len = strlen(n.tenant) + 1;
	n.over = proof->found.seq;
	if ((err = newest(&n, h->head)) != AG_OK)
		return err;
	if (n.checkpoint != NULL)
		return answer(h, ctx, &proof->found, n.checkpoint);
	/* Recorded, but not signed yet: a head is never a second away. */
	if (proof->tries++ == TRIES_MAX)
		return ag_refuse(ctx, AG_UNAVAILABLE, "audit", NULL,
		    "no checkpoint covers the event yet");
	return ag_after(ctx, RETRY_MS, proof_later, proof, sizeof(*proof));
}

static ag_err
proof_later(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	(void)msg;
	if (status != AG_OK)
		return status;
	return head_ask(state, ctx, proof_step, memo, sizeof(struct proof));
}

static ag_err
on_proof_found(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct proof proof = { .tries = 0 };

	if (status == AG_ITEM_NOT_FOUND)
		return ag_refuse(ctx, AG_ITEM_NOT_FOUND, NULL, NULL,
		    "there is no such event");
	if (status != AG_OK)
		return status;
	proof.found = *(struct found *)memo;
	return proof_step(state, ctx, AG_OK, msg, &proof);
}

ag_err
on_audit_proof(void *state, struct ag_ctx *ctx, const void *msg)
{
	(void)msg;
	return find_event(state, ctx, ag_grant(ctx)->resource_id, on_proof_found);
}
