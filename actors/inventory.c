/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inventory: the list of keys, with filters and cursors.
 * Hears key_list (risk; iam while risk is away). Follows the journal live, so
 * that a client finds in the list what it has just created.
 * Keeps every key's state by tenant and id; ids grow with time, so a cursor is
 * a position in them and stays true under writes.
 */
#include "keys/fold.h"

#include <aegis/page.h>

#include <scope.h>
#include <string.h>

enum {
	TABLE_KEYS,    /* tenant 0 key id → KeyStored */
	TABLE_TENANTS, /* key id → tenant */
	LOOKED_AT_MAX = 50000, /* per page: then a short page and a cursor */
	SCOPES_MAX = 256,
	LABELS_MAX = 64,
	ROW_KEY_MAX = AG_NAME_MAX + 1 + AG_ID_SIZE,
};

/* ------------------------------------------------------------------- facts */

static size_t
row_key(const char *tenant, const char *id, uint8_t out[ROW_KEY_MAX])
{
	size_t t = strnlen(tenant, AG_NAME_MAX), i = strnlen(id, AG_ID_SIZE - 1);

	memcpy(out, tenant, t);
	out[t] = 0;
	memcpy(out + t + 1, id, i);
	return t + 1 + i;
}

/* The key as it was before the fact; *out NULL: there was none. */
static ag_err
stored_of(struct ag_ctx *ctx, const char *id, Ag__KeyStored **out)
{
	uint8_t key[ROW_KEY_MAX];
	const uint8_t *value;
	char tenant[AG_NAME_MAX + 1] = "";
	size_t len;
	ag_err err = ag_store_get(ctx, TABLE_TENANTS, id, strlen(id), &value, &len);

	*out = NULL;
	if (err == AG_ITEM_NOT_FOUND)
		return AG_OK;
	if (err != AG_OK)
		return err;
	if (len > AG_NAME_MAX)
		return AG_CORRUPT;
	memcpy(tenant, value, len);
	len = row_key(tenant, id, key);
	if ((err = ag_store_get(ctx, TABLE_KEYS, key, len, &value, &len)) != AG_OK)
		return err;
	*out = fold_unpack(ctx, value, len);
	return *out == NULL ? AG_CORRUPT : AG_OK;
}

static ag_err
apply(void *state, struct ag_ctx *ctx, const struct ag_fact_record *record)
{
	const char *id = fold_key_id(record->stream);
	Ag__KeyStored *stored;
	uint8_t key[ROW_KEY_MAX], *bytes;
	const char *tenant;
	size_t len, key_len;
	ag_err err;

	if (id == NULL || strlen(id) >= AG_ID_SIZE)
		return AG_OK;
	if ((err = stored_of(ctx, id, &stored)) != AG_OK)
		return err;
	if (stored != NULL && stored->seq >= record->seq)
		return AG_OK; /* seen */
	if ((err = fold(ctx, &stored, record->type, record->fact, record->seq)) != AG_OK)
		return err;
	tenant = stored->key->tenant;
	key_len = row_key(tenant, id, key);
	if ((bytes = ag_pack(ctx, stored, &len)) == NULL)
		return AG_NO_MEMORY;
	if ((err = ag_store_put(ctx, TABLE_KEYS, key, key_len, bytes, len)) != AG_OK)
		return err;
	return ag_store_put(ctx, TABLE_TENANTS, id, strlen(id), tenant, strlen(tenant));
}

/* -------------------------------------------------------------------- list */

struct list {
	struct ag_ctx *ctx;
	const Ag__KeyListAsk *ask;
	const Ag__Grant *grant;
	struct ag_scope scopes[SCOPES_MAX];
	size_t scope_count;
	const char *label_key, *label_value;
	size_t tenant_len;
	struct ag_page page;
	unsigned looked_at;
	Ag__Key **items;
	size_t count;
	bool more;
	char last[AG_ID_SIZE]; /* looked at */
	ag_err err;
};

static bool
has_label(const Ag__Key *key, const char *name, const char *value)
{
	for (size_t i = 0; i < key->n_labels; i++)
		if (strcmp(key->labels[i]->key, name) == 0 &&
		    strcmp(key->labels[i]->value, value) == 0)
			return true;
	return false;
}

static bool
has_usage(const Ag__Key *key, Ag__Usage__V usage)
{
	for (size_t i = 0; i < key->n_usage; i++)
		if (key->usage[i] == usage)
			return true;
	return false;
}

static bool
is_wanted(const struct list *l, const Ag__Key *key)
{
	const Ag__KeyListAsk *ask = l->ask;

	if (key->has_honey && key->honey && !(l->grant->has_sees_honey && l->grant->sees_honey))
		return false;
	if ((ask->has_state && key->state != ask->state) ||
	    (ask->has_key_spec && key->key_spec != ask->key_spec) ||
	    (ask->has_usage && !has_usage(key, ask->usage)))
		return false;
	if (l->label_key != NULL && !has_label(key, l->label_key, l->label_value))
		return false;
	return ask->alias_prefix == NULL || (key->alias != NULL &&
	    strncmp(key->alias, ask->alias_prefix, strlen(ask->alias_prefix)) == 0);
}

static bool
may_read(const struct list *l, const Ag__Key *key)
{
	struct ag_scope_label labels[LABELS_MAX];
	struct ag_scope_target target = { key->id, key->alias, labels, 0 };

	if (l->grant->has_read_all && l->grant->read_all)
		return true;
	for (size_t i = 0; i < key->n_labels && i < LABELS_MAX; i++)
		labels[target.label_count++] = (struct ag_scope_label){
			key->labels[i]->key, key->labels[i]->value };
	for (size_t i = 0; i < l->scope_count; i++)
		if (ag_scope_matches(&l->scopes[i], AG_SCOPE_KEY, "read", &target))
			return true;
	return false;
}

/* For the answer: without versions, honey only to who may see it. */
static bool
take(struct list *l, const uint8_t *value, size_t len)
{
	Ag__KeyStored *s = fold_unpack(l->ctx, value, len);

	if (s == NULL) {
		l->err = AG_NO_MEMORY;
		return false;
	}
	s->key->n_versions = 0;
	s->key->versions = NULL;
	if (!(l->grant->has_sees_honey && l->grant->sees_honey))
		s->key->has_honey = false;
	l->items[l->count++] = s->key;
	return true;
}

static bool
visit(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
    size_t value_len)
{
	struct list *l = arg;
	Ag__KeyStored *s;
	bool wanted;

	if (key_len <= l->tenant_len || key_len - l->tenant_len >= AG_ID_SIZE ||
	    memcmp(key, l->grant->tenant, l->tenant_len) != 0)
		return false; /* the next tenant's */
	if (memcmp(key + l->tenant_len, l->last, key_len - l->tenant_len) == 0)
		return true; /* the cursor's own */
	if (l->count == l->page.limit || l->looked_at == LOOKED_AT_MAX) {
		l->more = true;
		return false;
	}
	l->looked_at++;
	/* On the heap: what is not wanted must not fill the turn's memory. */
	if ((s = ag__key_stored__unpack(NULL, value_len, value)) == NULL) {
		l->err = AG_NO_MEMORY;
		return false;
	}
	wanted = is_wanted(l, s->key) && may_read(l, s->key);
	ag__key_stored__free_unpacked(s, NULL);
	memcpy(l->last, key + l->tenant_len, key_len - l->tenant_len);
	l->last[key_len - l->tenant_len] = '\0';
	return !wanted || take(l, value, value_len);
}

/* label=k=v; the value may hold further equals signs. */
static ag_err
read_label(struct list *l)
{
	char *text, *equals;

	if (l->ask->label == NULL)
		return AG_OK;
	if ((text = ag_strdup(l->ctx, l->ask->label)) == NULL)
		return AG_NO_MEMORY;
	if ((equals = strchr(text, '=')) == NULL || equals == text)
		return ag_refuse(l->ctx, AG_INVALID_FIELD, "wrong_type", "?label",
		    "A label is asked for as key=value.");
	*equals = '\0';
	l->label_key = text;
	l->label_value = equals + 1;
	return AG_OK;
}

static ag_err
read_ask(struct list *l)
{
	ag_err err = ag_page_read(l->ctx, l->ask, &l->page);

	if (err != AG_OK)
		return err;
	if (l->page.place_len >= sizeof(l->last))
		return AG_GENERAL_FAILURE;
	memcpy(l->last, l->page.place, l->page.place_len);
	l->items = ag_alloc(l->ctx, l->page.limit * sizeof(*l->items));
	if (l->items == NULL)
		return AG_NO_MEMORY;
	for (size_t i = 0; i < l->grant->n_read_scopes && l->scope_count < SCOPES_MAX; i++)
		if (ag_scope_parse(l->grant->read_scopes[i], &l->scopes[l->scope_count]))
			l->scope_count++;
	l->tenant_len = strlen(l->grant->tenant) + 1; /* with its NUL, as in the row */
	return read_label(l);
}

static ag_err
on_key_list(void *state, struct ag_ctx *ctx, const void *msg)
{
	Ag__KeyListReply reply = AG__KEY_LIST_REPLY__INIT;
	struct list *l = ag_alloc(ctx, sizeof(*l));
	uint8_t from[ROW_KEY_MAX];
	size_t from_len;
	ag_err err;

	if (l == NULL)
		return AG_NO_MEMORY;
	l->ctx = ctx;
	l->ask = msg;
	l->grant = ag_grant(ctx);
	if ((err = read_ask(l)) != AG_OK)
		return err;
	from_len = row_key(l->grant->tenant, l->last, from);
	if ((err = ag_store_scan(ctx, TABLE_KEYS, from, from_len, visit, l)) != AG_OK ||
	    (err = l->err) != AG_OK)
		return err;
	reply.items = l->items;
	reply.n_items = l->count;
	if (l->more && (reply.next_cursor = ag_page_cursor(ctx, &l->page, l->last,
	    strlen(l->last))) == NULL)
		return AG_NO_MEMORY;
	return ag_reply(ctx, AG_MSG_KEY_LIST, &reply);
}

static ag_err
inventory_init(void *state, struct ag_ctx *ctx)
{
	return AG_OK;
}

static const struct ag_row rows[] = {
	{ AG_MSG_KEY_LIST, on_key_list },
};

static const char *const tables[] = { "keys", "tenants", NULL };

const struct ag_actor ag_actor_inventory = {
	.name = "inventory",
	AG_ROWS(rows),
	.init = inventory_init,
	.apply = apply,
	.follow = AG_FOLLOW_LIVE,
	.tables = tables,
};
