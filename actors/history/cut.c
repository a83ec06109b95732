/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cut: audit removes the oldest segments when the configuration bounds the
 * log; the index forgets what was in them, and keeps where each chain stood.
 */
#include "history.h"

#include <aegis/bytes.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CUT_STEP = 1024 /* rows of checkpoints removed at a time */ };

static bool
take_anchor(void *arg, const Ag__LogTenant *tenant)
{
	struct history *h = arg;
	struct anchor *a;

	if (h->anchor_count == h->anchor_cap) {
		size_t cap = h->anchor_cap ? 2 * h->anchor_cap : 16;
		struct anchor *p = realloc(h->anchors, cap * sizeof(*p));

		if (p == NULL)
			return false;
		h->anchors = p;
		h->anchor_cap = cap;
	}
	a = &h->anchors[h->anchor_count];
	if (strlen(tenant->tenant) > AG_SEG_TENANT_MAX ||
	    !ag_seg_tree(tenant, &a->tree))
		return false;
	strcpy(a->tenant, tenant->tenant);
	a->seq = tenant->seq;
	memcpy(a->hash, tenant->hash.data, AG_HASH_BYTES);
	h->anchor_count++;
	return true;
}

const struct anchor *
index_anchor(const struct history *h, const char *tenant)
{
	for (size_t i = 0; i < h->anchor_count; i++) {
		if (strcmp(h->anchors[i].tenant, tenant) == 0)
			return &h->anchors[i];
	}
	return NULL;
}

/* Blocks before the first event go; the one it lies in begins with it. */
static ag_err
cut_blocks(struct history *h, struct ag_ctx *ctx)
{
	size_t gone = 0;
	uint8_t key[8];
	ag_err err = AG_OK;

	while (err == AG_OK && gone < h->block_count &&
	    h->block_base + gone < block_of(h->first)) {
		ag_put_be64(key, h->block_base + gone++);
		err = ag_store_del(ctx, T_BLOCKS, key, sizeof(key));
		if (err == AG_ITEM_NOT_FOUND)
			err = AG_OK; /* the last one is not stored yet */
	}
	h->block_base += gone;
	h->block_count -= gone;
	memmove(h->blocks, h->blocks + gone, h->block_count * sizeof(*h->blocks));
	if (h->block_count > 0 && h->blocks[0].segment < h->first) {
		h->blocks[0].segment = h->blocks[0].pos = h->first;
		h->blocks[0].offset = AG_SEG_HEADER_BYTES;
	}
	return err;
}

struct old_rows {
	const struct history *h;
	struct ag_ctx *ctx;
	uint8_t (*keys)[TENANT_KEY];
	size_t lens[CUT_STEP], count;
};

static bool
find_old(void *arg, const uint8_t *key, size_t len, const uint8_t *row,
    size_t row_len)
{
	struct old_rows *old = arg;
	const struct anchor *a;

	(void)row;
	(void)row_len;
	if (len < 9 || len > TENANT_KEY || key[len - 9] != '\0')
		return true;
	a = index_anchor(old->h, (const char *)key);
	if (a == NULL || ag_get_be64(key + len - 8) >= a->seq)
		return true;
	memcpy(old->keys[old->count], key, len);
	old->lens[old->count++] = len;
	return old->count < CUT_STEP;
}

/* Heads over nothing but what is gone: nobody can check them any more. */
static ag_err
cut_checkpoints(struct history *h, struct ag_ctx *ctx)
{
	struct old_rows old = { .h = h, .ctx = ctx };
	ag_err err;

	if ((old.keys = malloc(CUT_STEP * sizeof(*old.keys))) == NULL)
		return AG_NO_MEMORY;
	do {
		old.count = 0;
		err = ag_store_scan(ctx, T_CHECKPOINTS, NULL, 0, find_old, &old);
		for (size_t i = 0; err == AG_OK && i < old.count; i++)
			err = ag_store_del(ctx, T_CHECKPOINTS, old.keys[i],
			    old.lens[i]);
	} while (err == AG_OK && old.count == CUT_STEP);
	free(old.keys);
	return err;
}

static bool
is_there(const struct history *h)
{
	char path[AG_SEG_PATH_MAX];

	snprintf(path, sizeof(path), "%s/%016llx.seg", h->dir,
	    (unsigned long long)h->first);
	return access(path, F_OK) == 0;
}

ag_err
index_cut(struct history *h, struct ag_ctx *ctx)
{
	uint64_t segment, offset, pos;
	const uint64_t *firsts;
	size_t count;
	ag_err err;

	if (is_there(h))
		return AG_OK;
	if ((err = ag_segs_list(h->scan_reader, &firsts, &count)) != AG_OK ||
	    count == 0 || firsts[0] == h->first)
		return err; /* audit has not begun yet */
	h->first = firsts[0];
	h->anchor_count = 0;
	if ((err = ag_segs_state(h->scan_reader, h->first, take_anchor, h)) !=
	        AG_OK ||
	    (err = cut_blocks(h, ctx)) != AG_OK ||
	    (err = cut_checkpoints(h, ctx)) != AG_OK)
		return err;
	tree_fini(h);
	/* Behind the cut by a whole segment: on from where it is kept. */
	ag_segs_where(h->index_reader, &segment, &offset, &pos);
	if (h->indexed < h->first || (segment != 0 && segment < h->first)) {
		ag_segs_close(&h->index_reader);
		if ((err = ag_segs_open(h->dir, &h->index_reader)) != AG_OK)
			return err;
		index_restart(h);
	}
	ag_log(ctx, AG_INFO, "HISTORY-CUT", "first=%llu",
	    (unsigned long long)h->first);
	return AG_OK;
}
