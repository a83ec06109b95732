/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query: GET /v1/audit. Walks the index's blocks, forward or backward, a
 * bounded number of events per turn, and remembers where the matches lie; the
 * page is read and said at the end.
 */
#include "history.h"

#include <aegis/bytes.h>

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
	struct ag_page page;
	uint64_t next;  /* asc: first pos to look at; desc: first pos not to */
	uint64_t end;   /* asc: last pos */
	size_t bytes;
	size_t count;
	bool full;      /* the page is; there is more */
	struct match matches[AG_PAGE_MAX];
	/* desc: of the block being walked, oldest first */
	size_t block_count;
	struct match block[BLOCK_EVENTS];
};

/* ----------------------------------------------------------------- cursors */

char *
cursor_make(struct ag_ctx *ctx, const struct ag_page *page, uint64_t place)
{
	uint8_t bytes[8];

	ag_put_be64(bytes, place);
	return ag_page_cursor(ctx, page, bytes, sizeof(bytes));
}

uint64_t
cursor_place(const struct ag_page *page)
{
	return page->place_len == 8 ? ag_get_be64(page->place) : 0;
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
	if (q->count == q->page.limit || (q->count > 0 &&
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

/* What is asked, in the turn's arena; NULL: no memory. Who asks for their own
 * events gets them and no others. */
static Ag__AuditQueryAsk *
ask_of(struct ag_ctx *ctx)
{
	const Ag__Grant *grant = ag_grant(ctx);
	Ag__AuditQueryAsk *ask;
	Ag__AuditOwnAsk *own;
	size_t len;
	const uint8_t *body = ag_body(ctx, &len);

	if (grant->op != AG_MSG_AUDIT_OWN)
		return ag_unpack(ctx, &ag__audit_query_ask__descriptor, body, len);
	own = ag_unpack(ctx, &ag__audit_own_ask__descriptor, body, len);
	if (own == NULL || (ask = ag_alloc(ctx, sizeof(*ask))) == NULL)
		return NULL;
	ag__audit_query_ask__init(ask);
	ask->actor = grant->actor_id;
	ask->has_since = own->has_since;
	ask->since = own->since;
	ask->has_until = own->has_until;
	ask->until = own->until;
	ask->operation = own->operation;
	ask->has_outcome = own->has_outcome;
	ask->outcome = own->outcome;
	ask->has_limit = own->has_limit;
	ask->limit = own->limit;
	ask->cursor = own->cursor;
	return ask;
}

static ag_err
answer(struct history *h, struct ag_ctx *ctx, struct query *q)
{
	Ag__AuditQueryReply reply = AG__AUDIT_QUERY_REPLY__INIT;
	const char *tenant = ag_grant(ctx)->tenant;
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
		reply.next_cursor = cursor_make(ctx, &q->page, q->next);
		if (reply.next_cursor == NULL)
			return AG_NO_MEMORY;
	}
	return ag_reply(ctx, (uint16_t)ag_grant(ctx)->op, &reply);
}

static ag_err
query_step(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct walk w = { .h = state, .ctx = ctx };
	struct query *q;
	Ag__AuditQueryAsk *ask;
	ag_err err = status;

	(void)msg;
	memcpy(&q, memo, sizeof(q));
	ask = ask_of(ctx);
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
		err = answer(w.h, ctx, q);
	}
	free(q);
	return err;
}

ag_err
on_audit_query(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__AuditQueryAsk *ask = ask_of(ctx);
	struct ag_page page;
	struct query *q;
	ag_err err;

	(void)msg;
	if (ask == NULL)
		return AG_NO_MEMORY;
	if ((err = ag_page_read(ctx, ask, &page)) != AG_OK)
		return err;
	if (ask->order != NULL && strcmp(ask->order, "asc") != 0 &&
	    strcmp(ask->order, "desc") != 0)
		return ag_refuse(ctx, AG_INVALID_FIELD, "unknown_value", "?order",
		    "order is asc or desc");
	if ((q = malloc(sizeof(*q))) == NULL)
		return AG_NO_MEMORY;
	q->desc = ask->order == NULL || strcmp(ask->order, "desc") == 0;
	q->page = page;
	q->next = cursor_place(&page);
	q->end = 0;
	q->bytes = q->count = q->block_count = 0;
	q->full = false;
	ag_metric_add(ctx, M_QUERIES, 1);
	err = head_ask(state, ctx, query_step, &q, sizeof(q));
	if (err != AG_PENDING)
		free(q);
	return err;
}
