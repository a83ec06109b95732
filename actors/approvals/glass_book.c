/* SPDX-License-Identifier: Apache-2.0 */
/* What the journal says of broken glass, as rows: per tenant, person and key
 * newest first, and of those that are open, until when. */
#include "approvals.h"

#include <aegis/bytes.h>

#include <string.h>

static bool
row_key(struct key *key, const char *whose, const Ag__BreakGlass *g)
{
	key->len = 0;
	return key_add(key, whose, strlen(whose) + 1) &&
	    key_add_time(key, g->opened_at, true) &&
	    key_add(key, g->id, strlen(g->id));
}

static bool
due_key(struct key *key, const Ag__BreakGlass *g)
{
	key->len = 0;
	return key_add_time(key, g->expires_at, false) &&
	    key_add(key, g->id, strlen(g->id));
}

static bool
ended_key(struct key *key, const Ag__BreakGlass *g)
{
	key->len = 0;
	return key_add_time(key, g->has_ended_at ? g->ended_at : g->expires_at,
	    false) && key_add(key, g->id, strlen(g->id));
}

static bool
pair_key(struct key *key, const char *person, const char *thing)
{
	key->len = 0;
	return key_add(key, person, strlen(person) + 1) &&
	    key_add(key, thing, strlen(thing));
}

static ag_err
put_row(struct ag_ctx *ctx, const Ag__BreakGlass *g, uint64_t version)
{
	struct key key;
	uint8_t *packed, *value;
	size_t len;
	ag_err err;

	if (!row_key(&key, g->tenant, g))
		return AG_CORRUPT;
	if ((packed = ag_pack(ctx, g, &len)) == NULL ||
	    (value = ag_alloc(ctx, len + 8)) == NULL)
		return AG_NO_MEMORY;
	ag_put_be64(value, version);
	memcpy(value + 8, packed, len);
	err = ag_store_put(ctx, T_GLASS, key.bytes, key.len, value, len + 8);
	return err != AG_OK ? err : ag_store_put(ctx, T_GLASS_ID, g->id,
	    strlen(g->id), key.bytes, key.len);
}

static ag_err
put_of(struct ag_ctx *ctx, enum approvals_table table, const char *whose,
    const Ag__BreakGlass *g)
{
	struct key key;

	if (!row_key(&key, whose, g))
		return AG_CORRUPT;
	return ag_store_put(ctx, table, key.bytes, key.len, "", 1);
}

/* The same person and key again is the same stream, so its version counts on. */
static bool
may_follow(const Ag__BreakGlass *old, const Ag__BreakGlass *g)
{
	enum glass_state to = glass_state_named(g->state);

	if (old == NULL || strcmp(old->id, g->id) != 0)
		return to == GLASS_ACTIVE && (old == NULL ||
		    glass_state_named(old->state) != GLASS_ACTIVE);
	return glass_may_become(glass_state_named(old->state), to);
}

static ag_err
put_ended(struct ag_ctx *ctx, const Ag__BreakGlass *g)
{
	struct key key;

	return !ended_key(&key, g) ? AG_CORRUPT :
	    ag_store_put(ctx, T_GLASS_ENDED, key.bytes, key.len, "", 1);
}

ag_err
glass_apply(struct ag_ctx *ctx, const Ag__BreakGlass *g, uint64_t version)
{
	const char *person = g->principal->id;
	const Ag__BreakGlass *old;
	struct key key;
	ag_err err;

	if (g->tenant == NULL || g->resource->id == NULL)
		return AG_CORRUPT;
	old = glass_last(ctx, person, g->resource->id);
	if (old != NULL && old->revision >= version)
		return AG_OK; /* the snapshot has it */
	if (!may_follow(old, g)) {
		ag_log(ctx, AG_ERROR, "GLASS-FACT", "glass=%s from=%s to=%s", g->id,
		    old == NULL ? "none" : old->state, g->state);
		return AG_OK;
	}
	if (old != NULL && strcmp(old->id, g->id) != 0 &&
	    (err = put_ended(ctx, old)) != AG_OK)
		return err;
	if ((err = put_row(ctx, g, version)) != AG_OK ||
	    (err = put_of(ctx, T_GLASS_USER, person, g)) != AG_OK ||
	    (err = put_of(ctx, T_GLASS_KEY, g->resource->id, g)) != AG_OK)
		return err;
	if (!pair_key(&key, person, g->resource->id))
		return AG_CORRUPT;
	if ((err = ag_store_put(ctx, T_GLASS_OPEN, key.bytes, key.len, g->id,
	    strlen(g->id))) != AG_OK)
		return err;
	if (!due_key(&key, g))
		return AG_CORRUPT;
	if (glass_state_named(g->state) == GLASS_ACTIVE)
		return ag_store_put(ctx, T_GLASS_DUE, key.bytes, key.len, "", 1);
	err = ag_store_del(ctx, T_GLASS_DUE, key.bytes, key.len);
	return err == AG_ITEM_NOT_FOUND || err == AG_OK ? put_ended(ctx, g) : err;
}

static ag_err
forget(struct ag_ctx *ctx, const Ag__BreakGlass *g)
{
	const Ag__BreakGlass *last = glass_last(ctx, g->principal->id,
	    g->resource->id);
	struct key key;
	ag_err err = AG_OK;

	if (!ended_key(&key, g))
		return AG_CORRUPT;
	if ((err = ag_store_del(ctx, T_GLASS_ENDED, key.bytes, key.len)) != AG_OK ||
	    (last != NULL && strcmp(last->id, g->id) == 0))
		return err; /* when it is no longer the last, it comes back */
	if (row_key(&key, g->principal->id, g))
		err = ag_store_del(ctx, T_GLASS_USER, key.bytes, key.len);
	if (err == AG_OK && row_key(&key, g->resource->id, g))
		err = ag_store_del(ctx, T_GLASS_KEY, key.bytes, key.len);
	if (err == AG_OK && row_key(&key, g->tenant, g))
		err = ag_store_del(ctx, T_GLASS, key.bytes, key.len);
	return err != AG_OK ? err :
	    ag_store_del(ctx, T_GLASS_ID, g->id, strlen(g->id));
}

unsigned
glass_purge(struct ag_ctx *ctx, int64_t before)
{
	char ids[APPROVAL_PURGE_EACH][AG_ID_SIZE];
	unsigned n = book_due(ctx, T_GLASS_ENDED, before, ids,
	    APPROVAL_PURGE_EACH), gone = 0;

	for (unsigned i = 0; i < n; i++) {
		const Ag__BreakGlass *g = glass_find(ctx, ids[i]);

		if (g != NULL && forget(ctx, g) == AG_OK)
			gone += glass_find(ctx, ids[i]) == NULL;
	}
	return gone;
}

/* ------------------------------------------------------------------ reading */

static Ag__BreakGlass *
unpack(struct ag_ctx *ctx, const uint8_t *value, size_t len)
{
	Ag__BreakGlass *g = len < 8 ? NULL : ag_unpack(ctx,
	    &ag__break_glass__descriptor, value + 8, len - 8);

	if (g != NULL)
		g->revision = ag_get_be64(value);
	return g;
}

Ag__BreakGlass *
glass_find(struct ag_ctx *ctx, const char *id)
{
	const uint8_t *value;
	struct key key;
	size_t len;

	if (ag_store_get(ctx, T_GLASS_ID, id, strlen(id), &value, &len) !=
	    AG_OK || len > sizeof(key.bytes))
		return NULL;
	memcpy(key.bytes, value, len);
	if (ag_store_get(ctx, T_GLASS, key.bytes, len, &value, &len) != AG_OK)
		return NULL;
	return unpack(ctx, value, len);
}

Ag__BreakGlass *
glass_last(struct ag_ctx *ctx, const char *person, const char *thing)
{
	const uint8_t *value;
	char id[AG_ID_SIZE] = "";
	struct key key;
	size_t len;

	if (!pair_key(&key, person, thing) || ag_store_get(ctx, T_GLASS_OPEN,
	    key.bytes, key.len, &value, &len) != AG_OK || len >= sizeof(id))
		return NULL;
	memcpy(id, value, len);
	return glass_find(ctx, id);
}

struct counting {
	struct key prefix;
	uint8_t until[8]; /* opened before it: no more */
	char *newest;
	unsigned count;
};

static bool
count(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
    size_t value_len)
{
	struct counting *c = arg;
	size_t at = c->prefix.len;

	(void)value;
	(void)value_len;
	if (!key_starts(key, key_len, &c->prefix) || key_len < at + 8 ||
	    key_len - at - 8 >= AG_ID_SIZE)
		return false;
	if (c->newest[0] == '\0') {
		memcpy(c->newest, key + at + 8, key_len - at - 8);
		c->newest[key_len - at - 8] = '\0';
	}
	if (memcmp(key + at, c->until, sizeof(c->until)) > 0)
		return false;
	c->count++;
	return true;
}

unsigned
glass_since(struct ag_ctx *ctx, enum approvals_table table, const char *whose,
    int64_t since, char newest[AG_ID_SIZE])
{
	struct counting c = { .newest = newest };

	newest[0] = '\0';
	ag_put_be64(c.until, ~(uint64_t)since);
	if (!key_add(&c.prefix, whose, strlen(whose) + 1) ||
	    ag_store_scan(ctx, table, c.prefix.bytes, c.prefix.len, count, &c) !=
	    AG_OK)
		return UINT32_MAX;
	return c.count;
}

bool
glass_visible(struct ag_ctx *ctx, const Ag__BreakGlass *g)
{
	const Ag__Grant *grant = ag_grant(ctx);

	return strcmp(g->tenant, grant->tenant) == 0 && (grant->approver ||
	    (grant->actor_id != NULL &&
	    strcmp(g->principal->id, grant->actor_id) == 0));
}

/* ------------------------------------------------------------------- pages */

static bool
is_named(const char *asked, const char *id, const char *name)
{
	return asked == NULL || (id != NULL && strcmp(asked, id) == 0) ||
	    (name != NULL && strcmp(asked, name) == 0);
}

static bool
fits(const Ag__BreakGlassListAsk *ask, const Ag__BreakGlass *g)
{
	return (!ask->has_since || g->opened_at >= ask->since) &&
	    (ask->state == NULL || strcmp(ask->state, g->state) == 0) &&
	    is_named(ask->principal, g->principal->id, g->principal->name) &&
	    is_named(ask->key, g->resource->id, g->resource->alias);
}

static bool
take(struct ag_ctx *ctx, const void *ask, const uint8_t *value, size_t len,
    void **item)
{
	Ag__BreakGlass *g = unpack(ctx, value, len);

	if (g != NULL && glass_visible(ctx, g) && fits(ask, g))
		*item = g;
	return g != NULL;
}

ag_err
glass_page(struct ag_ctx *ctx, const Ag__BreakGlassListAsk *ask,
    Ag__BreakGlassListReply *reply)
{
	struct rows_page page;
	ag_err err = rows_page(ctx, T_GLASS, ask, take, &page);

	if (err != AG_OK)
		return err;
	reply->items = (Ag__BreakGlass **)page.items;
	reply->n_items = page.count;
	reply->next_cursor = page.next_cursor;
	return AG_OK;
}
