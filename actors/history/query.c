/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query: GET /v1/audit. Walks the index's blocks, forward or backward, a
 * bounded number of events per turn, and remembers where the matches lie; the
 * page is read and said at the end.
 */
#include "history.h"

#include <stdlib.h>
#include <string.h>

struct match {
	uint64_t segment, offset, pos;
	uint8_t prev[AG_HASH_BYTES];
	bool has_prev;
};

/* One question on its way through the turns. */
struct query {
	bool desc;
	uint32_t limit;
	uint64_t next;  /* asc: first pos to look at; desc: first pos not to */
	uint64_t end;   /* asc: last pos */
	size_t bytes;
	size_t count;
	bool full;      /* the page is; there is more */
	struct match matches[QUERY_LIMIT_MAX];
	/* desc: of the block being walked, oldest first */
	size_t block_count;
	struct match block[BLOCK_EVENTS];
};

/* ----------------------------------------------------------------- cursors */

enum { CURSOR_BYTES = 1 + 8 + 8 + 16 };

/* Time and tenant go in, so that a cursor is good for what it was made for. */
static void
cursor_sum(struct ag_ctx *ctx, const uint8_t *head, const void *filter,
    size_t filter_len, uint8_t out[16])
{
	const char *tenant = ag_grant(ctx)->tenant;
	size_t tenant_len = strlen(tenant) + 1;
	uint8_t digest[AG_HASH_BYTES], *all;

	all = ag_alloc(ctx, 17 + tenant_len + filter_len);
	if (all == NULL) {
		memset(out, 0, 16);
		return;
	}
	memcpy(all, head, 17);
	memcpy(all + 17, tenant, tenant_len);
	if (filter_len > 0)
		memcpy(all + 17 + tenant_len, filter, filter_len);
	ag_sha256(all, 17 + tenant_len + filter_len, digest);
	memcpy(out, digest, 16);
}

char *
cursor_make(struct ag_ctx *ctx, uint64_t value, const void *filter,
    size_t filter_len)
{
	uint64_t until = (uint64_t)(ag_now_ms(ctx) + CURSOR_TTL_MS);
	uint8_t bytes[CURSOR_BYTES] = { 1 };
	char *text = ag_alloc(ctx, ag_base64_size(sizeof(bytes)));

	for (unsigned i = 0; i < 8; i++) {
		bytes[1 + i] = (uint8_t)(value >> 8 * i);
		bytes[9 + i] = (uint8_t)(until >> 8 * i);
	}
	cursor_sum(ctx, bytes, filter, filter_len, bytes + 17);
	if (text != NULL)
		ag_base64url(bytes, sizeof(bytes), text);
	return text;
}

ag_err
cursor_parse(struct ag_ctx *ctx, const char *cursor, const void *filter,
    size_t filter_len, uint64_t *value)
{
	uint8_t bytes[CURSOR_BYTES], sum[16];
	uint64_t until = 0;
	size_t len;

	if (!ag_base64url_parse(cursor, strlen(cursor), bytes, sizeof(bytes),
	        &len) || len != sizeof(bytes) || bytes[0] != 1)
		goto bad;
	cursor_sum(ctx, bytes, filter, filter_len, sum);
	if (memcmp(sum, bytes + 17, sizeof(sum)) != 0)
		goto bad;
	*value = 0;
	for (unsigned i = 8; i-- > 0;) {
		*value = *value << 8 | bytes[1 + i];
		until = until << 8 | bytes[9 + i];
	}
	if (until >= (uint64_t)ag_now_ms(ctx))
		return AG_OK;
bad:
	return ag_refuse(ctx, AG_INVALID_FIELD, "bad_cursor", "?cursor",
	    "the cursor is not one of this question, or older than an hour");
}

/* The question without what may differ from page to page. */
static ag_err
filter_bytes(struct ag_ctx *ctx, const Ag__AuditQueryAsk *ask, uint8_t **out,
    size_t *len)
{
	Ag__AuditQueryAsk copy = *ask;

	copy.cursor = NULL;
	copy.has_limit = false;
	copy.limit = 0;
	*out = ag_pack(ctx, &copy, len);
	return *out == NULL ? AG_NO_MEMORY : AG_OK;
}

/* ----------------------------------------------------------------- walking */

static void
note(struct match *m, const struct ag_seg_record *record, const uint8_t *prev)
{
	m->segment = record->segment;
	m->offset = record->offset;
	m->pos = record->pos;
	m->has_prev = prev != NULL;
	if (prev != NULL)
		memcpy(m->prev, prev, AG_HASH_BYTES);
}

static bool
matches(struct ag_ctx *ctx, const struct filter *f,
    const struct ag_seg_record *record, unsigned *unpacked)
{
	const Ag__Event *event;

	if (!filter_maybe(f, record))
		return false;
	++*unpacked;
	event = ag_unpack(ctx, &ag__event__descriptor, record->body,
	    record->body_len);
	return event != NULL && filter_match(f, event);
}

/* A block of which no event can be in the time asked for. */
static bool
block_out(const struct history *h, const Ag__AuditQueryAsk *ask, uint64_t b)
{
	const struct block *block = block_at(h, b);

	return block == NULL || (ask->has_since && block->max_at < ask->since) ||
	    (ask->has_until && block->min_at >= ask->until);
}

struct walk {
	struct history *h;
	struct ag_ctx *ctx;
	struct query *q;
	struct filter filter;
	unsigned looked, unpacked;
};

/* The page is full when one more than it holds has been seen. */
static bool
take(struct query *q, const struct match *m, size_t body_len)
{
	if (q->count == q->limit || (q->count > 0 &&
	    q->bytes + body_len > QUERY_BYTES_MAX)) {
		q->full = true;
		return false;
	}
	q->matches[q->count++] = *m;
	q->bytes += body_len;
	return true;
}

/* Events from..to of one block, in order; true: go on. */
static ag_err
walk_block(struct walk *w, uint64_t b, uint64_t from, uint64_t to)
{
	struct ag_segs *segs = w->h->scan_reader;
	uint8_t prev[AG_HASH_BYTES];
	struct ag_seg_record record;
	bool has_prev = false;
	struct match m;
	ag_err err;

	w->q->block_count = 0;
	if ((err = block_seek(w->h, segs, b)) != AG_OK)
		return err;
	for (uint64_t pos = 0; pos < to;) {
		if ((err = ag_segs_next(segs, &record)) != AG_OK)
			return err;
		if (record.kind != AG_SEG_EVENT)
			continue;
		pos = record.pos;
		w->looked++;
		if (pos >= from && matches(w->ctx, &w->filter, &record, &w->unpacked)) {
			note(&m, &record, has_prev ? prev : NULL);
			if (w->q->desc)
				w->q->block[w->q->block_count++] = m;
			else if (!take(w->q, &m, record.body_len))
				return AG_OK;
		}
		if (!w->q->desc)
			w->q->next = pos + 1;
		if (strcmp(record.tenant, w->filter.tenant) == 0) {
			memcpy(prev, record.hash, AG_HASH_BYTES);
			has_prev = true;
		}
	}
	return AG_OK;
}

static ag_err
walk_up(struct walk *w)
{
	struct query *q = w->q;
	ag_err err = AG_OK;

	while (err == AG_OK && !q->full && q->next <= q->end &&
	    w->looked < SCAN_STEP && w->unpacked < MATCH_STEP) {
		uint64_t b = block_of(q->next), to = (b + 1) * BLOCK_EVENTS;

		if (block_out(w->h, w->filter.ask, b)) {
			q->next = to + 1;
			continue;
		}
		err = walk_block(w, b, q->next, to < q->end ? to : q->end);
	}
	return err;
}

static ag_err
walk_down(struct walk *w)
{
	struct query *q = w->q;
	ag_err err = AG_OK;

	while (err == AG_OK && !q->full && q->next > w->h->first &&
	    w->looked < SCAN_STEP && w->unpacked < MATCH_STEP) {
		uint64_t b = block_of(q->next - 1), from = b * BLOCK_EVENTS + 1;

		if (block_out(w->h, w->filter.ask, b)) {
			q->next = from;
			continue;
		}
		if ((err = walk_block(w, b, from, q->next - 1)) != AG_OK)
			break;
		q->next = from;
		for (size_t i = q->block_count; i-- > 0;) {
			if (!take(q, &q->block[i], 1024))
				break;
		}
		if (q->full)
			q->next = q->matches[q->count - 1].pos;
	}
	return err;
}

/* ------------------------------------------------------------------ answer */

static ag_err
read_match(struct history *h, struct ag_ctx *ctx, const char *tenant,
    struct match *m, Ag__Event **out)
{
	struct ag_seg_record record;
	uint8_t *hash, *prev;
	uint64_t pos, seq;
	ag_err err;

	hash = ag_alloc(ctx, AG_HASH_BYTES);
	prev = ag_alloc(ctx, AG_HASH_BYTES);
	if (hash == NULL || prev == NULL)
		return AG_NO_MEMORY;
	if (!m->has_prev) {
		err = index_previous(h, tenant, m->pos, m->prev, &pos, &seq);
		if (err != AG_OK)
			return err;
	}
	err = ag_segs_seek(h->scan_reader, m->segment, m->offset, m->pos);
	if (err != AG_OK || (err = ag_segs_next(h->scan_reader, &record)) != AG_OK)
		return err;
	*out = ag_unpack(ctx, &ag__event__descriptor, record.body,
	    record.body_len);
	if (*out == NULL)
		return AG_NO_MEMORY;
	memcpy(hash, record.hash, AG_HASH_BYTES);
	memcpy(prev, m->prev, AG_HASH_BYTES);
	event_public(*out, hash, prev);
	return AG_OK;
}

static ag_err
answer(struct history *h, struct ag_ctx *ctx, struct query *q,
    const Ag__AuditQueryAsk *ask)
{
	Ag__AuditQueryReply reply = AG__AUDIT_QUERY_REPLY__INIT;
	const char *tenant = ag_grant(ctx)->tenant;
	uint8_t *filter;
	size_t len;
	ag_err err;

	reply.items = ag_alloc(ctx, (q->count + 1) * sizeof(*reply.items));
	if (reply.items == NULL)
		return AG_NO_MEMORY;
	for (size_t i = 0; i < q->count; i++) {
		err = read_match(h, ctx, tenant, &q->matches[i], &reply.items[i]);
		if (err != AG_OK)
			return err;
		reply.n_items++;
	}
	if (q->full) {
		if ((err = filter_bytes(ctx, ask, &filter, &len)) != AG_OK)
			return err;
		reply.next_cursor = cursor_make(ctx, q->next, filter, len);
		if (reply.next_cursor == NULL)
			return AG_NO_MEMORY;
	}
	return ag_reply(ctx, AG_MSG_AUDIT_QUERY, &reply);
}

static ag_err
query_step(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct walk w = { .h = state, .ctx = ctx };
	struct query *q;
	const uint8_t *body;
	Ag__AuditQueryAsk *ask;
	size_t len;
	ag_err err = status;

	(void)msg;
	memcpy(&q, memo, sizeof(q));
	body = ag_body(ctx, &len);
	ask = ag_unpack(ctx, &ag__audit_query_ask__descriptor, body, len);
	if (err == AG_OK && ask == NULL)
		err = AG_NO_MEMORY;
	if (err == AG_OK)
		err = index_cut(w.h, ctx);
	if (err == AG_OK && q->end == 0) { /* the first step: how far it goes */
		q->end = w.h->head;
		if (q->next == 0)
			q->next = q->desc ? q->end + 1 : w.h->first;
		else if (q->desc && q->next > q->end + 1)
			q->next = q->end + 1;
	}
	if (err == AG_OK) {
		if (!q->desc && q->next < w.h->first)
			q->next = w.h->first; /* cut off since the page before */
		w.q = q;
		filter_init(&w.filter, ask, ag_grant(ctx)->tenant);
		err = q->desc ? walk_down(&w) : walk_up(&w);
	}
	if (err == AG_OK && !q->full &&
	    (q->desc ? q->next > w.h->first : q->next <= q->end)) {
		err = ag_after(ctx, 0, query_step, &q, sizeof(q));
		if (err == AG_PENDING)
			return AG_PENDING;
	} else if (err == AG_OK) {
		err = answer(w.h, ctx, q, ask);
	}
	free(q);
	return err;
}

ag_err
on_audit_query(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__AuditQueryAsk *ask = msg;
	uint32_t limit = ask->has_limit ? ask->limit : QUERY_LIMIT;
	struct query *q;
	uint64_t next = 0;
	uint8_t *filter;
	size_t len;
	ag_err err;

	if (limit < 1 || limit > QUERY_LIMIT_MAX)
		return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range", "?limit",
		    "limit is 1 to %d", QUERY_LIMIT_MAX);
	if (ask->order != NULL && strcmp(ask->order, "asc") != 0 &&
	    strcmp(ask->order, "desc") != 0)
		return ag_refuse(ctx, AG_INVALID_FIELD, "unknown_value", "?order",
		    "order is asc or desc");
	if (ask->cursor != NULL) {
		if ((err = filter_bytes(ctx, ask, &filter, &len)) != AG_OK)
			return err;
		err = cursor_parse(ctx, ask->cursor, filter, len, &next);
		if (err != AG_OK)
			return err;
	}
	if ((q = malloc(sizeof(*q))) == NULL)
		return AG_NO_MEMORY;
	q->desc = ask->order == NULL || strcmp(ask->order, "desc") == 0;
	q->limit = limit;
	q->next = next;
	q->end = 0;
	q->bytes = q->count = q->block_count = 0;
	q->full = false;
	ag_metric_add(ctx, M_QUERIES, 1);
	err = head_ask(state, ctx, query_step, &q, sizeof(q));
	if (err != AG_PENDING)
		free(q);
	return err;
}
