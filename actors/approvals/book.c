/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A projection of the facts approval:<id>: by id, per tenant newest first, by
 * what makes two requests the same, and of those that wait: whose they are
 * (root, requester, id) and until when.
 */
#include "approvals.h"

#include <aegis/bytes.h>

#include <stdio.h>
#include <string.h>

/* Newest first: the time is written as its complement. */
static bool
order_key(struct key *key, const Ag__Approval *a)
{
	key->len = 0;
	return key_add(key, a->tenant, strlen(a->tenant) + 1) &&
	    key_add_time(key, a->requested_at, true) &&
	    key_add(key, a->id, strlen(a->id));
}

static bool
open_key(struct key *key, const char *root, const char *requester,
    const char *id)
{
	key->len = 0;
	return key_add(key, root, strlen(root) + 1) &&
	    (requester == NULL ||
	    key_add(key, requester, strlen(requester) + 1)) &&
	    (id == NULL || key_add(key, id, strlen(id)));
}

static bool
due_key(struct key *key, const Ag__Approval *a)
{
	key->len = 0;
	return key_add_time(key, a->expires_at, false) &&
	    key_add(key, a->id, strlen(a->id));
}

/* Since when it is good for nothing. */
static bool
ended_key(struct key *key, const Ag__Approval *a)
{
	key->len = 0;
	return key_add_time(key, a->has_usable_until_at ? a->usable_until_at :
	    a->decided_at, false) && key_add(key, a->id, strlen(a->id));
}

static const char *
root_of(const Ag__Approval *a)
{
	return a->n_chain > 0 ? a->chain[0]->id : a->requester->id;
}

/* ------------------------------------------------------------------ writing */

static bool
may_follow(const Ag__Approval *old, const Ag__Approval *a)
{
	enum approval_state from, to = approval_state_named(a->state);

	if (old == NULL)
		return to == APPROVAL_PENDING;
	from = approval_state_named(old->state);
	/* A decision among several that are needed, or a use. */
	if (from == to)
		return (to == APPROVAL_PENDING && a->n_decisions > old->n_decisions) ||
		    (to == APPROVAL_APPROVED && a->used > old->used);
	return approval_may_become(from, to);
}

static ag_err
put_waiting(struct ag_ctx *ctx, const Ag__Approval *a)
{
	struct key key;
	ag_err err;

	if (!due_key(&key, a))
		return AG_CORRUPT;
	if ((err = ag_store_put(ctx, T_DUE, key.bytes, key.len, "", 1)) != AG_OK)
		return err;
	if (!open_key(&key, root_of(a), a->requester->id, a->id))
		return AG_CORRUPT;
	return ag_store_put(ctx, T_OPEN, key.bytes, key.len, "", 1);
}

static ag_err
drop_waiting(struct ag_ctx *ctx, const Ag__Approval *a)
{
	struct key key;
	ag_err err;

	if (!due_key(&key, a))
		return AG_CORRUPT;
	err = ag_store_del(ctx, T_DUE, key.bytes, key.len);
	if (err != AG_OK && err != AG_ITEM_NOT_FOUND)
		return err;
	if (!open_key(&key, root_of(a), a->requester->id, a->id))
		return AG_CORRUPT;
	err = ag_store_del(ctx, T_OPEN, key.bytes, key.len);
	if (err != AG_OK && err != AG_ITEM_NOT_FOUND)
		return err;
	if (!ended_key(&key, a))
		return AG_CORRUPT;
	return ag_store_put(ctx, T_ENDED, key.bytes, key.len, "", 1);
}

static ag_err
put(struct ag_ctx *ctx, const Ag__Approval *a, uint64_t version)
{
	struct key key;
	uint8_t *packed, *value;
	size_t len;
	ag_err err;

	if (!order_key(&key, a))
		return AG_CORRUPT;
	if ((packed = ag_pack(ctx, a, &len)) == NULL ||
	    (value = ag_alloc(ctx, len + 8)) == NULL)
		return AG_NO_MEMORY;
	ag_put_be64(value, version);
	memcpy(value + 8, packed, len);
	err = ag_store_put(ctx, T_BY_TIME, key.bytes, key.len, value, len + 8);
	return err != AG_OK ? err :
	    ag_store_put(ctx, T_BY_ID, a->id, strlen(a->id), key.bytes, key.len);
}

ag_err
book_apply(struct ag_ctx *ctx, const Ag__Approval *a, uint64_t version)
{
	const Ag__Approval *old;
	bool waits = approval_state_named(a->state) == APPROVAL_PENDING;
	ag_err err;

	if (a->tenant == NULL || a->match.len != APPROVAL_MATCH)
		return AG_CORRUPT;
	old = book_find(ctx, a->id);
	if (old != NULL && old->revision >= version)
		return AG_OK; /* the snapshot has it */
	if (!may_follow(old, a)) {
		ag_log(ctx, AG_ERROR, "APPROVAL-FACT", "approval=%s from=%s to=%s",
		    a->id, old == NULL ? "none" : old->state, a->state);
		return AG_OK;
	}
	if ((err = put(ctx, a, version)) != AG_OK)
		return err;
	if (old == NULL && (err = ag_store_put(ctx, T_BY_MATCH, a->match.data,
	    a->match.len, a->id, strlen(a->id))) != AG_OK)
		return err;
	return waits ? put_waiting(ctx, a) : drop_waiting(ctx, a);
}

/* ------------------------------------------------------------------ reading */

static Ag__Approval *
unpack(struct ag_ctx *ctx, const uint8_t *value, size_t len)
{
	Ag__Approval *a = len < 8 ? NULL : ag_unpack(ctx,
	    &ag__approval__descriptor, value + 8, len - 8);

	if (a != NULL)
		a->revision = ag_get_be64(value);
	return a;
}

Ag__Approval *
book_find(struct ag_ctx *ctx, const char *id)
{
	const uint8_t *value;
	struct key key;
	size_t len;

	if (ag_store_get(ctx, T_BY_ID, id, strlen(id), &value, &len) != AG_OK ||
	    len > sizeof(key.bytes))
		return NULL;
	memcpy(key.bytes, value, len);
	if (ag_store_get(ctx, T_BY_TIME, key.bytes, len, &value, &len) != AG_OK)
		return NULL;
	return unpack(ctx, value, len);
}

Ag__Approval *
book_match(struct ag_ctx *ctx, const uint8_t match[APPROVAL_MATCH])
{
	const uint8_t *value;
	char id[AG_ID_SIZE] = "";
	size_t len;

	if (ag_store_get(ctx, T_BY_MATCH, match, APPROVAL_MATCH, &value, &len) !=
	    AG_OK || len >= sizeof(id))
		return NULL;
	memcpy(id, value, len);
	return book_find(ctx, id);
}

struct counting {
	struct key root, own;
	unsigned own_count, all_count;
};

static bool
count(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
    size_t value_len)
{
	struct counting *c = arg;

	(void)value;
	(void)value_len;
	if (!key_starts(key, key_len, &c->root))
		return false;
	c->all_count++;
	c->own_count += key_starts(key, key_len, &c->own);
	return true;
}

void
book_open(struct ag_ctx *ctx, const char *root, const char *requester,
    unsigned *own, unsigned *all)
{
	struct counting c = { .own_count = 0 };

	*own = *all = UINT32_MAX;
	if (!open_key(&c.root, root, NULL, NULL) ||
	    !open_key(&c.own, root, requester, NULL) ||
	    ag_store_scan(ctx, T_OPEN, c.root.bytes, c.root.len, count, &c) !=
	    AG_OK)
		return;
	*own = c.own_count;
	*all = c.all_count;
}

static const char told[] = "told"; /* a row of T_DUE that was told about */

struct due {
	int64_t now;
	bool untold;
	char (*ids)[AG_ID_SIZE];
	unsigned count, max;
};

static bool
due(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
    size_t value_len)
{
	struct due *d = arg;

	if (key_len <= 8 || key_len - 8 >= AG_ID_SIZE || d->count == d->max ||
	    (int64_t)ag_get_be64(key) > d->now)
		return false;
	if (d->untold && value_len == sizeof(told) &&
	    memcmp(value, told, sizeof(told)) == 0)
		return true;
	memcpy(d->ids[d->count], key + 8, key_len - 8);
	d->ids[d->count++][key_len - 8] = '\0';
	return true;
}

unsigned
book_due(struct ag_ctx *ctx, enum approvals_table table, int64_t now,
    char ids[][AG_ID_SIZE], unsigned max)
{
	struct due d = { .now = now, .ids = ids, .max = max };

	return ag_store_scan(ctx, table, NULL, 0, due, &d) == AG_OK ? d.count : 0;
}

unsigned
book_soon(struct ag_ctx *ctx, int64_t until, char ids[][AG_ID_SIZE],
    unsigned max)
{
	struct due d = { .now = until, .untold = true, .ids = ids, .max = max };

	return ag_store_scan(ctx, T_DUE, NULL, 0, due, &d) == AG_OK ? d.count : 0;
}

ag_err
book_told(struct ag_ctx *ctx, const Ag__Approval *a)
{
	struct key key;

	return !due_key(&key, a) ? AG_CORRUPT :
	    ag_store_put(ctx, T_DUE, key.bytes, key.len, told, sizeof(told));
}

/* Another one may be the newest of the same request by now. */
static ag_err
forget(struct ag_ctx *ctx, const Ag__Approval *a)
{
	const Ag__Approval *newest = book_match(ctx, a->match.data);
	struct key key;
	ag_err err = AG_OK;

	if (newest != NULL && strcmp(newest->id, a->id) == 0)
		err = ag_store_del(ctx, T_BY_MATCH, a->match.data, a->match.len);
	if (err == AG_OK)
		err = ag_store_del(ctx, T_BY_ID, a->id, strlen(a->id));
	if (err == AG_OK && order_key(&key, a))
		err = ag_store_del(ctx, T_BY_TIME, key.bytes, key.len);
	if (err == AG_OK && ended_key(&key, a))
		err = ag_store_del(ctx, T_ENDED, key.bytes, key.len);
	return err;
}

unsigned
book_purge(struct ag_ctx *ctx, int64_t before)
{
	char ids[APPROVAL_PURGE_EACH][AG_ID_SIZE];
	unsigned n = book_due(ctx, T_ENDED, before, ids, APPROVAL_PURGE_EACH);
	unsigned gone = 0;

	for (unsigned i = 0; i < n; i++) {
		const Ag__Approval *a = book_find(ctx, ids[i]);

		if (a != NULL && forget(ctx, a) == AG_OK)
			gone++;
	}
	return gone;
}

bool
book_in_chain(const Ag__Approval *a, const char *id)
{
	if (id == NULL)
		return true; /* nobody is not somebody else */
	for (size_t i = 0; i < a->n_chain; i++)
		if (strcmp(a->chain[i]->id, id) == 0)
			return true;
	return strcmp(a->requester->id, id) == 0;
}

bool
book_visible(struct ag_ctx *ctx, const Ag__Approval *a)
{
	const Ag__Grant *grant = ag_grant(ctx);

	return strcmp(a->tenant, grant->tenant) == 0 &&
	    (grant->approver || book_in_chain(a, grant->actor_id));
}

/* ------------------------------------------------------------------- pages */

static bool
fits(const Ag__ApprovalListAsk *ask, const Ag__Approval *a)
{
	const Ag__Resource *r = a->resource;

	return (!ask->has_since || a->requested_at >= ask->since) &&
	    (ask->state == NULL || strcmp(ask->state, a->state) == 0) &&
	    (ask->requester == NULL ||
	    strcmp(ask->requester, a->requester->id) == 0 ||
	    (a->requester->name != NULL &&
	    strcmp(ask->requester, a->requester->name) == 0)) &&
	    (ask->resource == NULL || (r != NULL &&
	    ((r->id != NULL && strcmp(ask->resource, r->id) == 0) ||
	    (r->alias != NULL && strcmp(ask->resource, r->alias) == 0))));
}

static bool
take(struct ag_ctx *ctx, const void *ask, const uint8_t *value, size_t len,
    void **item)
{
	Ag__Approval *a = unpack(ctx, value, len);

	if (a != NULL && book_visible(ctx, a) && fits(ask, a))
		*item = a;
	return a != NULL;
}

ag_err
book_list(struct ag_ctx *ctx, const Ag__ApprovalListAsk *ask,
    Ag__ApprovalListReply *reply)
{
	struct rows_page page;
	ag_err err;

	if (ask->state != NULL &&
	    approval_state_named(ask->state) == APPROVAL_STATES)
		return ag_refuse(ctx, AG_INVALID_FIELD, "unknown_value", "?state",
		    "pending, approved, denied, expired or cancelled");
	if ((err = rows_page(ctx, T_BY_TIME, ask, take, &page)) != AG_OK)
		return err;
	reply->items = (Ag__Approval **)page.items;
	reply->n_items = page.count;
	reply->next_cursor = page.next_cursor;
	return AG_OK;
}
