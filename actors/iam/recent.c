/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters behind context.recent. They are taken where a request is admitted,
 * in the one process that admits, so what came at the same time is counted one
 * by one. Spans slide in tenths and count up to a tenth longer than they are
 * named, never shorter.
 *
 * Memory is bounded for each principal and each tenant; what cannot be counted
 * is "many", so that a limit holds and a flood of names makes nobody's counts
 * forgotten. Rows are in the snapshot: a restart keeps them, a crash forgets the
 * last second at most.
 */
#include "recent.h"

#include "call.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY_MS INT64_C(86400000)
#define HOUR_MS INT64_C(3600000)

enum {
	FIRST_ROWS = 8,
	ROW_KEY = AG_ID_SIZE + 20, /* "<node>/u<16 hex>", "<node>/k<16 hex>" */
	SWEEP_ROWS = 64,           /* looked at in a tick */
};

static const struct iam_limit spans[IAM_RECENT_SPANS] = {
	{ 1, 1000 }, { 1, 60 * 1000 }, { 1, 3600 * 1000 }, { 1, 86400 * 1000 },
};

struct use {
	uint64_t what; /* hash of action and resource */
	int64_t at;    /* of the last one */
	bool dirty;
	struct iam_window spans[IAM_RECENT_SPANS];
};
struct seen {
	uint64_t key;
	int64_t at;
	bool dirty;
};
struct iam_recent {
	struct use *uses;
	struct seen *keys;
	unsigned use_count, use_room, key_count, key_room;
	bool dirty;
	struct iam_node *next_dirty;
};

/* As a row of the snapshot has it. */
struct stored {
	int64_t at;
	struct iam_window spans[IAM_RECENT_SPANS]; /* of a use only */
};

static uint64_t
hash_of(const char *action, const char *resource)
{
	char text[256];
	uint8_t hash[32];
	uint64_t out;
	int n = snprintf(text, sizeof(text), "%s\n%s", action, resource);

	ag_sha256(text, n < 0 || n >= (int)sizeof(text) ? sizeof(text) - 1 :
	    (size_t)n, hash);
	memcpy(&out, hash, sizeof(out));
	return out;
}

/* -------------------------------------------------------------------- rows */

static bool
is_over(int64_t at, int64_t now)
{
	return at + DAY_MS + DAY_MS / IAM_WINDOW_PARTS < now;
}

static struct use *
use_find(struct iam_recent *r, uint64_t what)
{
	for (unsigned i = 0; r != NULL && i < r->use_count; i++)
		if (r->uses[i].what == what)
			return &r->uses[i];
	return NULL;
}

static struct seen *
key_find(struct iam_recent *r, uint64_t key)
{
	for (unsigned i = 0; r != NULL && i < r->key_count; i++)
		if (r->keys[i].key == key)
			return &r->keys[i];
	return NULL;
}

/* Forgets what no span reaches any more. */
static void
reclaim(struct iam_node *node, int64_t now)
{
	struct iam_recent *r = node->recent;
	unsigned n = 0;

	if (r == NULL)
		return;
	for (unsigned i = 0; i < r->use_count; i++)
		if (!is_over(r->uses[i].at, now))
			r->uses[n++] = r->uses[i];
	node->tenant->recent_uses -= r->use_count - n;
	r->use_count = n;
	n = 0;
	for (unsigned i = 0; i < r->key_count; i++)
		if (!is_over(r->keys[i].at, now))
			r->keys[n++] = r->keys[i];
	node->tenant->recent_keys -= r->key_count - n;
	r->key_count = n;
}

static bool
room_for_use(const struct iam_node *node)
{
	return node->tenant->recent_uses < IAM_RECENT_TENANT_USES &&
	    (node->recent == NULL ||
	    node->recent->use_count < IAM_RECENT_USES_MAX);
}

static bool
room_for_key(const struct iam_node *node)
{
	return node->tenant->recent_keys < IAM_RECENT_TENANT_KEYS &&
	    (node->recent == NULL ||
	    node->recent->key_count < IAM_RECENT_KEYS_MAX);
}

/* Doubles; false: no memory. */
static bool
grow(void **array, unsigned *room, unsigned count, size_t size)
{
	unsigned n = *room == 0 ? FIRST_ROWS : 2 * *room;
	void *more;

	if (count < *room)
		return true;
	if ((more = realloc(*array, n * size)) == NULL)
		return false;
	*array = more;
	*room = n;
	return true;
}

static struct iam_recent *
recent_of(struct iam_node *node)
{
	if (node->recent == NULL)
		node->recent = calloc(1, sizeof(*node->recent));
	return node->recent;
}

/* NULL: no memory; whether there is room was asked before. */
static struct use *
use_add(struct iam_node *node, uint64_t what)
{
	struct iam_recent *r = recent_of(node);
	struct use *use;

	if (r == NULL || !grow((void **)&r->uses, &r->use_room, r->use_count,
	    sizeof(*r->uses)))
		return NULL;
	use = &r->uses[r->use_count++];
	memset(use, 0, sizeof(*use));
	use->what = what;
	node->tenant->recent_uses++;
	return use;
}

static struct seen *
key_add(struct iam_node *node, uint64_t key)
{
	struct iam_recent *r = recent_of(node);
	struct seen *seen;

	if (r == NULL || !grow((void **)&r->keys, &r->key_room, r->key_count,
	    sizeof(*r->keys)))
		return NULL;
	seen = &r->keys[r->key_count++];
	*seen = (struct seen){ .key = key };
	node->tenant->recent_keys++;
	return seen;
}

/* -------------------------------------------------------------------- look */

static void
many(struct ag_rules_recent *out)
{
	*out = (struct ag_rules_recent){ AG_RULES_MANY, AG_RULES_MANY,
		AG_RULES_MANY, AG_RULES_MANY, AG_RULES_MANY, AG_RULES_MANY };
}

/* How many keys were there since, with this one? */
static int64_t
keys_since(const struct iam_recent *r, int64_t since, const uint64_t *with)
{
	int64_t n = with != NULL;

	for (unsigned i = 0; r != NULL && i < r->key_count; i++)
		n += r->keys[i].at >= since &&
		    (with == NULL || r->keys[i].key != *with);
	return n;
}

static bool
can_count(const struct iam_recent_query *q, uint64_t what, uint64_t key)
{
	struct iam_recent *r = q->node->recent;

	return (use_find(r, what) != NULL || room_for_use(q->node)) &&
	    (!q->is_key || key_find(r, key) != NULL || room_for_key(q->node));
}

void
iam_recent_look(struct iam *iam, const struct iam_recent_query *q,
    struct ag_rules_recent *out)
{
	const char *resource = q->resource == NULL ? "" : q->resource;
	uint64_t key = hash_of("", resource), what = hash_of(q->action, resource),
	    *with = q->is_key ? &key : NULL;
	int64_t *const at[] = { &out->second, &out->minute, &out->hour,
		&out->day };
	struct use *use;

	(void)iam;
	/* What is over goes by the real time only, not by one that is asked
	 * about. */
	if (q->real && !can_count(q, what, key))
		reclaim(q->node, q->now);
	if (!can_count(q, what, key)) {
		many(out);
		return;
	}
	use = use_find(q->node->recent, what);
	for (int i = 0; i < IAM_RECENT_SPANS; i++) {
		struct iam_window copy = { 0 }; /* summing moves a window on */

		if (use != NULL)
			copy = use->spans[i];
		*at[i] = q->items + (int64_t)iam_window_sum(&copy, &spans[i],
		    q->now < 0 ? 0 : (uint64_t)q->now);
	}
	out->keys_hour = keys_since(q->node->recent, q->now - HOUR_MS, with);
	out->keys_day = keys_since(q->node->recent, q->now - DAY_MS, with);
}

/* -------------------------------------------------------------------- take */

static void
mark(struct iam *iam, struct iam_node *node)
{
	if (node->recent->dirty)
		return;
	node->recent->dirty = true;
	node->recent->next_dirty = iam->recent_dirty;
	iam->recent_dirty = node;
}

void
iam_recent_take(struct iam *iam, const struct iam_recent_query *q)
{
	const char *resource = q->resource == NULL ? "" : q->resource;
	uint64_t key = hash_of("", resource), what = hash_of(q->action, resource);
	struct use *use = use_find(q->node->recent, what);
	struct seen *seen = key_find(q->node->recent, key);

	if (use == NULL && room_for_use(q->node))
		use = use_add(q->node, what);
	if (use != NULL) {
		for (int i = 0; i < IAM_RECENT_SPANS; i++)
			iam_window_take(&use->spans[i], &spans[i],
			    (uint64_t)q->now, q->items);
		use->at = q->now;
		use->dirty = true;
		mark(iam, q->node);
	}
	if (!q->is_key)
		return;
	if (seen == NULL && room_for_key(q->node))
		seen = key_add(q->node, key);
	if (seen != NULL) {
		seen->at = q->now;
		seen->dirty = true;
		mark(iam, q->node);
	}
}

/* ---------------------------------------------------------------- snapshot */

static ag_err
put(struct ag_ctx *ctx, const struct iam_node *node, char kind, uint64_t what,
    const void *value, size_t size)
{
	char key[ROW_KEY];
	int n = snprintf(key, sizeof(key), "%s/%c%016" PRIx64, node->id, kind,
	    what);

	return ag_store_put(ctx, IAM_T_RECENT, key, (size_t)n, value, size);
}

static ag_err
flush_node(struct ag_ctx *ctx, struct iam_node *node)
{
	struct iam_recent *r = node->recent;
	ag_err err = AG_OK;

	for (unsigned i = 0; i < r->use_count && err == AG_OK; i++) {
		struct stored row = { .at = r->uses[i].at };

		if (!r->uses[i].dirty)
			continue;
		memcpy(row.spans, r->uses[i].spans, sizeof(row.spans));
		err = put(ctx, node, 'u', r->uses[i].what, &row, sizeof(row));
		r->uses[i].dirty = err != AG_OK;
	}
	for (unsigned i = 0; i < r->key_count && err == AG_OK; i++) {
		if (!r->keys[i].dirty)
			continue;
		err = put(ctx, node, 'k', r->keys[i].key, &r->keys[i].at,
		    sizeof(r->keys[i].at));
		r->keys[i].dirty = err != AG_OK;
	}
	return err;
}

ag_err
iam_recent_flush(struct iam *iam, struct ag_ctx *ctx)
{
	while (iam->recent_dirty != NULL) {
		struct iam_node *node = iam->recent_dirty;
		ag_err err = flush_node(ctx, node);

		if (err != AG_OK)
			return err;
		node->recent->dirty = false;
		iam->recent_dirty = node->recent->next_dirty;
	}
	return AG_OK;
}

struct loading {
	struct iam *iam;
	ag_err err;
};

/* "<node>/<kind><16 hex>"; false: it is none. */
static bool
read_key(const uint8_t *key, size_t len, char id[AG_ID_SIZE], char *kind,
    uint64_t *what)
{
	char text[ROW_KEY], *slash;

	if (len >= sizeof(text))
		return false;
	memcpy(text, key, len);
	text[len] = '\0';
	if ((slash = strchr(text, '/')) == NULL || slash - text >= AG_ID_SIZE)
		return false;
	*slash = '\0';
	memcpy(id, text, (size_t)(slash - text) + 1);
	*kind = slash[1];
	return sscanf(slash + 2, "%16" SCNx64, what) == 1;
}

/* Whoever is gone is not loaded; the sweep takes the row. */
static bool
load_row(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
    size_t len)
{
	struct loading *l = arg;
	struct iam_node *node;
	struct stored row;
	char id[AG_ID_SIZE], kind;
	uint64_t what;
	struct seen *seen;
	struct use *use;

	if (!read_key(key, key_len, id, &kind, &what) ||
	    len != (kind == 'u' ? sizeof(row) : sizeof(row.at))) {
		l->err = AG_CORRUPT;
		return false;
	}
	if ((node = iam_node_find(l->iam, id)) == NULL)
		return true;
	memcpy(&row, value, len);
	if (kind == 'u' && room_for_use(node) &&
	    (use = use_add(node, what)) != NULL) {
		use->at = row.at;
		memcpy(use->spans, row.spans, sizeof(use->spans));
	} else if (kind == 'k' && room_for_key(node) &&
	    (seen = key_add(node, what)) != NULL) {
		seen->at = row.at;
	}
	return true;
}

ag_err
iam_recent_load(struct iam *iam, struct ag_ctx *ctx)
{
	struct loading l = { iam, AG_OK };
	ag_err err = ag_store_scan(ctx, IAM_T_RECENT, NULL, 0, load_row, &l);

	return err != AG_OK ? err : l.err;
}

/* ------------------------------------------------------------------- sweep */

struct sweep {
	struct iam *iam;
	int64_t now;
	unsigned looked, count;
	char rows[SWEEP_ROWS][ROW_KEY];
	size_t lens[SWEEP_ROWS];
};

static bool
sweep_row(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
    size_t len)
{
	struct sweep *s = arg;
	struct iam_node *node;
	char id[AG_ID_SIZE], kind;
	uint64_t what;
	int64_t at;

	if (key_len >= ROW_KEY || len < sizeof(at))
		return true;
	memcpy(s->iam->recent_at, key, key_len);
	s->iam->recent_at_len = key_len;
	memcpy(&at, value, sizeof(at));
	if (is_over(at, s->now)) {
		memcpy(s->rows[s->count], key, key_len);
		s->lens[s->count++] = key_len;
		if (read_key(key, key_len, id, &kind, &what) &&
		    (node = iam_node_find(s->iam, id)) != NULL)
			reclaim(node, s->now);
	}
	return ++s->looked < SWEEP_ROWS;
}

void
iam_recent_sweep(struct iam *iam, struct ag_ctx *ctx)
{
	struct sweep s = { .iam = iam, .now = ag_now_ms(ctx) };

	_Static_assert(sizeof(iam->recent_at) >= ROW_KEY, "a row's key fits");
	if (ag_store_scan(ctx, IAM_T_RECENT, iam->recent_at, iam->recent_at_len,
	    sweep_row, &s) != AG_OK || s.looked < SWEEP_ROWS)
		iam->recent_at_len = 0; /* from the beginning */
	for (unsigned i = 0; i < s.count; i++)
		if (ag_store_del(ctx, IAM_T_RECENT, s.rows[i], s.lens[i]) != AG_OK)
			return;
}

void
iam_recent_free(struct iam *iam, struct iam_node *node)
{
	struct iam_recent *r = node->recent;
	struct iam_node **at = &iam->recent_dirty;

	if (r == NULL)
		return;
	while (r->dirty && *at != NULL && *at != node)
		at = &(*at)->recent->next_dirty;
	if (r->dirty && *at == node)
		*at = r->next_dirty;
	node->tenant->recent_uses -= r->use_count;
	node->tenant->recent_keys -= r->key_count;
	free(r->uses);
	free(r->keys);
	free(r);
	node->recent = NULL;
}
