/* SPDX-License-Identifier: Apache-2.0 */
/*
 * find: one event by its id, and the answers that need nothing but the index:
 * checkpoints and public keys.
 */
#include "history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NEAR_MS = 60000, KEYS_FILE_MAX = 64 << 10, KEYS_MAX = 64 };

/* ---------------------------------------------------------------- by its id */

/* Ids carry the time they were made; first the blocks near it, then all. */
struct find {
	char event_id[AG_ID_SIZE];
	int64_t made_at;
	bool near;
	uint64_t block; /* next to look at, downwards; + 1 */
	ag_then *then;
};

static int64_t
id_time(const char *event_id)
{
	const char *hex = strchr(event_id, '_');
	uint8_t bytes[6];
	char text[13];
	int64_t ms = 0;

	if (hex == NULL || strlen(hex + 1) < 12)
		return 0;
	memcpy(text, hex + 1, 12);
	text[12] = '\0';
	if (!ag_hex_parse(text, bytes, sizeof(bytes)))
		return 0;
	for (unsigned i = 0; i < sizeof(bytes); i++)
		ms = ms << 8 | bytes[i];
	return ms;
}

static bool
is_near(const struct history *h, const struct find *f, uint64_t b)
{
	const struct block *block = block_at(h, b);

	return block != NULL && block->min_at - NEAR_MS <= f->made_at &&
	    f->made_at <= block->max_at + NEAR_MS;
}

static ag_err
look_in_block(struct history *h, const struct find *f, const char *tenant,
    uint64_t b, struct found *out)
{
	struct ag_seg_record record;
	ag_err err = block_seek(h, h->scan_reader, b);
	uint64_t last = (b + 1) * BLOCK_EVENTS;

	if (last > h->head)
		last = h->head;
	while (err == AG_OK) {
		if ((err = ag_segs_next(h->scan_reader, &record)) != AG_OK)
			break;
		if (record.kind != AG_SEG_EVENT)
			continue;
		if (event_is(record.body, record.body_len, f->event_id) &&
		    strcmp(record.tenant, tenant) == 0) {
			out->pos = record.pos;
			out->seq = event_seq(record.body, record.body_len);
			out->segment = record.segment;
			out->offset = record.offset;
			memcpy(out->hash, record.hash, AG_HASH_BYTES);
			return AG_OK;
		}
		if (record.pos >= last)
			return AG_ITEM_NOT_FOUND;
	}
	return err;
}

static ag_err
find_step(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct history *h = state;
	struct find f;
	struct found found;
	unsigned looked = 0;
	ag_err err = status;

	(void)msg;
	memcpy(&f, memo, sizeof(f));
	if (status != AG_OK)
		return f.then(h, ctx, status, NULL, &found);
	if (index_cut(h, ctx) != AG_OK)
		return f.then(h, ctx, AG_CORRUPT, NULL, &found);
	if (f.block == 0 || f.block > block_end(h))
		f.block = block_end(h);
	while (f.block > h->block_base && looked < SCAN_STEP) {
		uint64_t b = f.block - 1;

		if (is_near(h, &f, b) == f.near) {
			err = look_in_block(h, &f, ag_grant(ctx)->tenant, b, &found);
			if (err != AG_ITEM_NOT_FOUND)
				return f.then(h, ctx, err, NULL, &found);
			looked += BLOCK_EVENTS;
		}
		f.block--;
		if (f.block == h->block_base && f.near) {
			f.near = false;
			f.block = block_end(h);
		}
	}
	if (f.block <= h->block_base)
		return f.then(h, ctx, AG_ITEM_NOT_FOUND, NULL, &found);
	return ag_after(ctx, 0, find_step, &f, sizeof(f));
}

ag_err
find_event(struct history *h, struct ag_ctx *ctx, const char *event_id,
    ag_then *then)
{
	struct find f = { .near = true, .then = then };

	if (event_id == NULL || !ag_id_valid(event_id, "evt"))
		return ag_refuse(ctx, AG_ITEM_NOT_FOUND, NULL, NULL,
		    "there is no such event");
	strcpy(f.event_id, event_id);
	f.made_at = id_time(event_id);
	return head_ask(h, ctx, find_step, &f, sizeof(f));
}

/* ------------------------------------------------------------------- reading */

static ag_err
on_read_found(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct history *h = state;
	struct found *found = memo;
	struct ag_seg_record record;
	uint8_t prev[AG_HASH_BYTES];
	uint64_t pos, seq;
	Ag__Event *event;
	ag_err err;

	(void)msg;
	if (status == AG_ITEM_NOT_FOUND)
		return ag_refuse(ctx, AG_ITEM_NOT_FOUND, NULL, NULL,
		    "there is no such event");
	if (status != AG_OK)
		return status;
	err = index_previous(h, ag_grant(ctx)->tenant, found->pos, prev, &pos, &seq);
	if (err != AG_OK ||
	    (err = ag_segs_seek(h->scan_reader, found->segment, found->offset,
	        found->pos)) != AG_OK ||
	    (err = ag_segs_next(h->scan_reader, &record)) != AG_OK)
		return err;
	event = ag_unpack(ctx, &ag__event__descriptor, record.body,
	    record.body_len);
	if (event == NULL)
		return AG_CORRUPT;
	event_public(event, found->hash, prev);
	return ag_reply(ctx, AG_MSG_AUDIT_READ, event);
}

ag_err
on_audit_read(void *state, struct ag_ctx *ctx, const void *msg)
{
	(void)msg;
	return find_event(state, ctx, ag_grant(ctx)->resource_id, on_read_found);
}

/* --------------------------------------------------------------- checkpoints */

struct checkpoints {
	struct ag_ctx *ctx;
	const char *tenant;
	size_t key_len; /* of the tenant and its 0 */
	uint64_t below; /* sizes from here on were on earlier pages */
	uint32_t limit;
	Ag__Checkpoint **ring; /* the newest `limit` so far */
	uint64_t seen;
};

static bool
visit_checkpoint(void *arg, const uint8_t *key, size_t len, const uint8_t *row,
    size_t row_len)
{
	struct checkpoints *c = arg;
	Ag__Checkpoint *one;

	if (len != c->key_len + 8 || memcmp(key, c->tenant, c->key_len) != 0)
		return false;
	one = ag_unpack(c->ctx, &ag__checkpoint__descriptor, row, row_len);
	if (one == NULL || one->size >= c->below)
		return false;
	c->ring[c->seen++ % c->limit] = one;
	return true;
}

/* Sizes grow, so the newest are the last rows; a page looks at a window of
 * sizes below its cursor and widens it until the page is full. */
static ag_err
collect(struct checkpoints *c)
{
	uint8_t from[AG_SEG_TENANT_MAX + 9];
	uint64_t span = (uint64_t)c->limit * 64, first;
	ag_err err;

	memcpy(from, c->tenant, c->key_len);
	do {
		first = c->below > span ? c->below - span : 0;
		for (unsigned i = 0; i < 8; i++)
			from[c->key_len + i] = (uint8_t)(first >> (56 - 8 * i));
		c->seen = 0;
		err = ag_store_scan(c->ctx, T_CHECKPOINTS, from, c->key_len + 8,
		    visit_checkpoint, c);
		span *= 16;
	} while (err == AG_OK && c->seen <= c->limit && first > 0);
	return err;
}

static ag_err
on_checkpoints_head(void *state, struct ag_ctx *ctx, ag_err status,
    const void *msg, void *memo)
{
	Ag__CheckpointListReply reply = AG__CHECKPOINT_LIST_REPLY__INIT;
	struct checkpoints c = { .ctx = ctx };
	struct history *h = state;
	const struct ag_page *page = memo;
	uint64_t count, place = cursor_place(page);
	ag_err err;

	(void)msg;
	if (status != AG_OK)
		return status;
	c.tenant = ag_grant(ctx)->tenant;
	c.key_len = strlen(c.tenant) + 1;
	c.limit = page->limit;
	c.below = place == 0 ? h->head + 1 : place;
	c.ring = ag_alloc(ctx, c.limit * sizeof(*c.ring));
	reply.items = ag_alloc(ctx, c.limit * sizeof(*reply.items));
	if (c.ring == NULL || reply.items == NULL)
		return AG_NO_MEMORY;
	if ((err = collect(&c)) != AG_OK)
		return err;
	count = c.seen < c.limit ? c.seen : c.limit;
	for (uint64_t i = 0; i < count; i++)
		reply.items[reply.n_items++] = c.ring[(c.seen - 1 - i) % c.limit];
	if (c.seen > c.limit) {
		reply.next_cursor = cursor_make(ctx, page,
		    reply.items[reply.n_items - 1]->size);
		if (reply.next_cursor == NULL)
			return AG_NO_MEMORY;
	}
	return ag_reply(ctx, AG_MSG_AUDIT_CHECKPOINTS, &reply);
}

ag_err
on_audit_checkpoints(void *state, struct ag_ctx *ctx, const void *msg)
{
	struct ag_page page;
	ag_err err = ag_page_read(ctx, msg, &page);

	return err != AG_OK ? err :
	    head_ask(state, ctx, on_checkpoints_head, &page, sizeof(page));
}

/* ---------------------------------------------------------------- public keys */

/* audit/public-key.pem: "key_id:" and "from_seq:" lines before each block. */
static ag_err
parse_keys(struct ag_ctx *ctx, char *text, Ag__AuditKeyListReply *reply)
{
	static const char end_line[] = "-----END PUBLIC KEY-----\n";
	Ag__AuditKey *keys = ag_alloc(ctx, KEYS_MAX * sizeof(*keys));
	char *at = text, *begin, *end;

	reply->items = ag_alloc(ctx, KEYS_MAX * sizeof(*reply->items));
	if (keys == NULL || reply->items == NULL)
		return AG_NO_MEMORY;
	while (reply->n_items < KEYS_MAX &&
	    (begin = strstr(at, "-----BEGIN PUBLIC KEY-----")) != NULL &&
	    (end = strstr(begin, end_line)) != NULL) {
		Ag__AuditKey *key = &keys[reply->n_items];
		char id[65] = "";
		unsigned long long from = 1;

		end += sizeof(end_line) - 1;
		if (sscanf(at, " key_id: %64s from_seq: %llu", id, &from) < 1)
			id[0] = '\0';
		ag__audit_key__init(key);
		key->key_id = ag_strdup(ctx, id);
		key->public_key_pem = ag_alloc(ctx, (size_t)(end - begin) + 1);
		if (key->key_id == NULL || key->public_key_pem == NULL)
			return AG_NO_MEMORY;
		memcpy(key->public_key_pem, begin, (size_t)(end - begin));
		key->from_seq = from;
		reply->items[reply->n_items++] = key;
		at = end;
	}
	return AG_OK;
}

/* A file of our own folder: read here, since no message carries it. */
ag_err
on_audit_public_key(void *state, struct ag_ctx *ctx, const void *msg)
{
	Ag__AuditKeyListReply reply = AG__AUDIT_KEY_LIST_REPLY__INIT;
	struct history *h = state;
	const char *path = ag_printf(ctx, "%s/public-key.pem", h->dir);
	char *text = ag_alloc(ctx, KEYS_FILE_MAX + 1);
	FILE *file;
	size_t len;
	ag_err err;

	(void)msg;
	if (path == NULL || text == NULL)
		return AG_NO_MEMORY;
	if ((file = fopen(path, "re")) == NULL)
		return ag_refuse(ctx, AG_UNAVAILABLE, "starting", NULL,
		    "the key is not there yet");
	len = fread(text, 1, KEYS_FILE_MAX, file);
	fclose(file);
	text[len] = '\0';
	if ((err = parse_keys(ctx, text, &reply)) != AG_OK)
		return err;
	return ag_reply(ctx, AG_MSG_AUDIT_PUBLIC_KEY, &reply);
}
