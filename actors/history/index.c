/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index: where every 1,024th event lies and which times its block spans; and
 * the checkpoints. A few bytes per block, so that a question reads only what
 * it must and a restart reads nothing twice.
 */
#include "history.h"

#include <aegis/bytes.h>

#include <stdlib.h>
#include <string.h>

enum { BLOCK_ROW = 32 };

uint64_t
block_of(uint64_t pos)
{
	return (pos - 1) / BLOCK_EVENTS;
}

uint64_t
block_end(const struct history *h)
{
	return h->block_base + h->block_count;
}

struct block *
block_at(const struct history *h, uint64_t block)
{
	if (block < h->block_base || block >= block_end(h))
		return NULL;
	return &h->blocks[block - h->block_base];
}

static struct block *
block_add(struct history *h)
{
	if (h->block_count == h->block_cap) {
		size_t cap = h->block_cap ? 2 * h->block_cap : 256;
		struct block *p = realloc(h->blocks, cap * sizeof(*p));

		if (p == NULL)
			return NULL;
		h->blocks = p;
		h->block_cap = cap;
	}
	return &h->blocks[h->block_count++];
}

static ag_err
block_store(struct ag_ctx *ctx, uint64_t i, const struct block *b)
{
	uint8_t key[8], row[BLOCK_ROW];

	ag_put_be64(key, i);
	ag_put_be64(row, b->segment);
	ag_put_be64(row + 8, b->offset);
	ag_put_be64(row + 16, (uint64_t)b->min_at);
	ag_put_be64(row + 24, (uint64_t)b->max_at);
	return ag_store_put(ctx, T_BLOCKS, key, sizeof(key), row, sizeof(row));
}

static bool
load_block(void *arg, const uint8_t *key, size_t key_len, const uint8_t *row,
    size_t len)
{
	struct history *h = arg;
	struct block *b;

	if (key_len != 8 || len != BLOCK_ROW)
		return false;
	if (h->block_count == 0)
		h->block_base = ag_get_be64(key);
	/* Complete ones only, without a gap; the rest is indexed anew. */
	if (ag_get_be64(key) != block_end(h) || (b = block_add(h)) == NULL)
		return false;
	b->segment = ag_get_be64(row);
	b->offset = ag_get_be64(row + 8);
	b->pos = 1 + (block_end(h) - 1) * BLOCK_EVENTS;
	b->min_at = (int64_t)ag_get_be64(row + 16);
	b->max_at = (int64_t)ag_get_be64(row + 24);
	return true;
}

void
index_restart(struct history *h)
{
	h->block_count = 0;
	h->block_base = block_of(h->first);
	h->indexed = h->first;
}

ag_err
index_init(struct history *h, struct ag_ctx *ctx)
{
	const struct block *last;
	ag_err err;

	h->first = 1;
	if ((err = ag_segs_open(h->dir, &h->index_reader)) != AG_OK ||
	    (err = ag_segs_open(h->dir, &h->scan_reader)) != AG_OK ||
	    (err = ag_store_scan(ctx, T_BLOCKS, NULL, 0, load_block, h)) != AG_OK ||
	    (err = index_cut(h, ctx)) != AG_OK)
		return err;
	if (h->block_count == 0) {
		index_restart(h);
		return AG_OK;
	}
	/* Read the last one again: that is where the rest goes on. */
	last = &h->blocks[--h->block_count];
	h->indexed = last->pos;
	err = ag_segs_seek(h->index_reader, last->segment, last->offset,
	    last->pos);
	if (err != AG_OK)
		index_restart(h); /* of another log than this one */
	return AG_OK;
}

static ag_err
take_event(struct history *h, struct ag_ctx *ctx,
    const struct ag_seg_record *record)
{
	struct block *b;
	ag_err err;

	if (block_of(record->pos) == block_end(h)) {
		if ((b = block_add(h)) == NULL)
			return AG_NO_MEMORY;
		b->pos = record->pos;
		b->segment = record->segment;
		b->offset = record->offset;
		b->min_at = b->max_at = record->at;
	}
	b = &h->blocks[h->block_count - 1];
	if (record->at < b->min_at)
		b->min_at = record->at;
	if (record->at > b->max_at)
		b->max_at = record->at;
	h->indexed = record->pos + 1;
	stream_look(h, ctx, record);
	if (record->pos % BLOCK_EVENTS != 0)
		return AG_OK;
	err = block_store(ctx, block_end(h) - 1, b);
	ag_metric_add(ctx, M_INDEXED, BLOCK_EVENTS);
	return err;
}

static ag_err
take_checkpoint(struct ag_ctx *ctx, const struct ag_seg_record *record)
{
	Ag__Checkpoint *c = ag_unpack(ctx, &ag__checkpoint__descriptor,
	    record->body, record->body_len);
	uint8_t key[TENANT_KEY];
	size_t len = strlen(record->tenant) + 1;

	if (c == NULL)
		return AG_OK; /* verify will say so */
	memcpy(key, record->tenant, len);
	ag_put_be64(key + len, c->size);
	return ag_store_put(ctx, T_CHECKPOINTS, key, len + 8, record->body,
	    record->body_len);
}

static bool
control_ok(const struct ag_seg_record *record)
{
	uint8_t hash[AG_HASH_BYTES];

	ag_seg_hash(record->kind, record->tenant, record->body, record->body_len,
	    hash);
	return memcmp(hash, record->hash, AG_HASH_BYTES) == 0;
}

ag_err
index_step(struct history *h, struct ag_ctx *ctx, bool *more)
{
	struct ag_seg_record record;
	unsigned budget = INDEX_STEP;
	uint64_t segment, offset, pos;
	ag_err err = AG_OK;

	*more = false;
	if (h->head == 0)
		return AG_OK;
	if ((err = index_cut(h, ctx)) != AG_OK)
		return err;
	while (err == AG_OK && budget-- > 0) {
		ag_segs_where(h->index_reader, &segment, &offset, &pos);
		err = ag_segs_next(h->index_reader, &record);
		if (err != AG_OK)
			break;
		/* Behind the head audit may be writing: not yet. */
		if (record.pos > h->head && (record.kind == AG_SEG_EVENT ||
		    !control_ok(&record)))
			return ag_segs_seek(h->index_reader, record.segment,
			    record.offset, record.pos);
		if (record.kind == AG_SEG_EVENT)
			err = take_event(h, ctx, &record);
		else if (record.kind == AG_SEG_CHECKPOINT)
			err = take_checkpoint(ctx, &record);
	}
	if (h->indexed > h->head && err != AG_OK && err != AG_NO_MEMORY)
		return AG_OK; /* the end, or a record that is half written */
	*more = err == AG_OK && h->indexed <= h->head;
	if (err == AG_CORRUPT)
		ag_log(ctx, AG_ERROR, "HISTORY-CORRUPT", "pos=%llu what=\"%s\"",
		    (unsigned long long)h->indexed, ag_segs_why(h->index_reader));
	return err == AG_ITEM_NOT_FOUND ? AG_CORRUPT : err;
}

ag_err
block_seek(struct history *h, struct ag_segs *segs, uint64_t block)
{
	const struct block *b = block_at(h, block);

	if (b == NULL)
		return AG_ITEM_NOT_FOUND;
	return ag_segs_seek(segs, b->segment, b->offset, b->pos);
}

ag_err
index_previous(struct history *h, const char *tenant, uint64_t below,
    uint8_t hash[AG_HASH_BYTES], uint64_t *pos, uint64_t *seq)
{
	struct ag_seg_record record;
	const struct anchor *anchor = index_anchor(h, tenant);
	ag_err err;

	memset(hash, 0, AG_HASH_BYTES);
	*pos = *seq = 0;
	if (anchor != NULL) {
		memcpy(hash, anchor->hash, AG_HASH_BYTES);
		*seq = anchor->seq;
	}
	if (below <= h->first)
		return AG_OK;
	for (uint64_t b = block_of(below - 1) + 1;
	    b-- > h->block_base && *pos == 0;) {
		if ((err = block_seek(h, h->scan_reader, b)) != AG_OK)
			return err;
		for (;;) {
			if ((err = ag_segs_next(h->scan_reader, &record)) != AG_OK)
				return err;
			if (record.kind != AG_SEG_EVENT)
				continue;
			if (record.pos >= below)
				break;
			if (strcmp(record.tenant, tenant) == 0) {
				memcpy(hash, record.hash, AG_HASH_BYTES);
				*pos = record.pos;
				*seq = event_seq(record.body, record.body_len);
			}
			if (record.pos == below - 1 || record.pos % BLOCK_EVENTS == 0)
				break;
		}
	}
	return AG_OK;
}

/* ------------------------------------------------- a look at packed events */

/* The canonical bytes begin with event_id (field 1, at most 127 bytes) and seq
 * (field 2, varint): docs/audit-format.md. */
uint64_t
event_seq(const uint8_t *body, size_t len)
{
	uint64_t seq = 0;
	size_t at;

	if (len < 2 || body[0] != 0x0a || body[1] > 127)
		return 0;
	at = 2 + (size_t)body[1];
	if (at >= len || body[at++] != 0x10)
		return 0;
	for (unsigned shift = 0; at < len && shift < 64; shift += 7, at++) {
		seq |= (uint64_t)(body[at] & 0x7f) << shift;
		if (!(body[at] & 0x80))
			return seq;
	}
	return 0;
}

bool
event_is(const uint8_t *body, size_t len, const char *event_id)
{
	size_t id_len = strlen(event_id);

	return id_len <= 127 && len > id_len + 2 && body[0] == 0x0a &&
	    body[1] == id_len && memcmp(body + 2, event_id, id_len) == 0;
}

void
event_public(Ag__Event *event, const uint8_t hash[AG_HASH_BYTES],
    const uint8_t prev[AG_HASH_BYTES])
{
	event->has_held = event->has_tier_critical = event->has_honey = false;
	event->has_scope_count = event->has_credential_issued_at = false;
	event->has_plane_boot = event->has_plane_n = false;
	event->has_journal_seq = event->has_recorded_us = false;
	event->author = event->reason = NULL;
	event->reach = NULL;
	event->policy = NULL;
	event->policy_change = NULL;
	event->n_policy_changes = event->n_spans = 0;
	event->parent_id = NULL;
	if (event->risk != NULL) {
		event->risk->input = NULL;
		event->risk->has_step_up = event->risk->has_deny = false;
	}
	event->has_hash_b64 = event->has_prev_hash_b64 = true;
	event->hash_b64.data = (uint8_t *)hash;
	event->hash_b64.len = AG_HASH_BYTES;
	event->prev_hash_b64.data = (uint8_t *)prev;
	event->prev_hash_b64.len = AG_HASH_BYTES;
}
