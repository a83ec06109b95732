/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Destructions whose window is over. First the root of trust erases the
 * wrapping keys, then the fact says so: a crash in between repeats the
 * erasure, which is idempotent, and never claims one that did not happen. So only
 * the node that has the material plans it (KeyStored.elsewhere).
 */
#include "keys.h"

#include <string.h>

struct doom {
	char id[AG_ID_SIZE];
	uint32_t next; /* version to erase */
	uint32_t last;
};

size_t
keys_due_key(int64_t at, const char *id, uint8_t out[DUE_KEY_BYTES])
{
	size_t len = strnlen(id, AG_ID_SIZE);

	for (int i = 7; i >= 0; i--, at >>= 8)
		out[i] = (uint8_t)at;
	memcpy(out + 8, id, len);
	return 8 + len;
}

ag_err
keys_plan(struct ag_ctx *ctx, const char *id, bool had, int64_t before, bool has,
    int64_t after)
{
	uint8_t key[DUE_KEY_BYTES];
	size_t len;
	ag_err err;

	if (had == has && (!had || before == after))
		return AG_OK;
	if (had) {
		len = keys_due_key(before, id, key);
		err = ag_store_del(ctx, TABLE_DUE, key, len);
		if (err != AG_OK && err != AG_ITEM_NOT_FOUND)
			return err;
	}
	if (!has)
		return AG_OK;
	len = keys_due_key(after, id, key);
	return ag_store_put(ctx, TABLE_DUE, key, len, "", 1);
}

ag_err
keys_event(struct ag_ctx *ctx, const Ag__Key *key, const char *what,
    char id[AG_ID_SIZE], Ag__OutcomeEvent *event)
{
	uint8_t digest[32];
	char *cause = ag_printf(ctx, "%s:%s:%llu", what, key->id,
	    (unsigned long long)key->revision);

	ag__outcome_event__init(event);
	event->operation = ag_printf(ctx, "key.%s", what);
	if (cause == NULL || event->operation == NULL)
		return AG_NO_MEMORY;
	ag_sha256(cause, strlen(cause), digest);
	ag_id_from_uuid("evt", digest, id);
	event->event_id = id;
	event->event_type = AG__EVENT_TYPE__V__lifecycle;
	event->outcome = AG__OUTCOME_KIND__V__allowed;
	event->resource_type = (char *)(uintptr_t)"key";
	event->resource_id = key->id;
	event->resource_alias = key->alias;
	event->tenant = key->tenant;
	return AG_OK;
}

static ag_err
on_destroyed(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct keys *k = state;
	const struct doom *doom = memo;
	struct hot *hot = cache_key(&k->cache, ctx, doom->id);

	if (hot == NULL)
		return AG_OK;
	hot->destroying = false;
	if (status != AG_OK) {
		/* Somebody changed the key meanwhile, or no journal: next tick. */
		ag_log(ctx, AG_WARN, "KEY-DESTROY-AGAIN", "key=%s err=%s", doom->id,
		    ag_err_row(status)->name);
		return AG_OK;
	}
	ag_metric_add(ctx, METRIC_DESTROYED, 1);
	ag_log(ctx, AG_INFO, "KEY-DESTROYED", "key=%s", doom->id);
	return AG_OK;
}

static ag_err
persist_destroyed(struct ag_ctx *ctx, struct hot *hot, const struct doom *doom)
{
	const Ag__KeyStored *s = hot->stored;
	Ag__KeyStateFact fact = AG__KEY_STATE_FACT__INIT;
	struct ag_fact f = { keys_stream(ctx, hot->id), s->key->revision,
		AG_MSG_KEY_STATE_FACT, &fact };
	Ag__OutcomeEvent event;
	char event_id[AG_ID_SIZE];
	ag_err err;

	if (f.stream == NULL)
		return AG_NO_MEMORY;
	if ((err = keys_event(ctx, s->key, "destroyed", event_id, &event)) != AG_OK)
		return err;
	event.reason = (char *)(uintptr_t)"the window is over";
	fact.key_id = hot->id;
	fact.state = AG__KEY_STATE__V__Destroyed;
	fact.has_version = s->has_destroy_version;
	fact.version = s->destroy_version;
	fact.at = ag_now_ms(ctx);
	return ag_persist_recorded(ctx, &f, 1, &event, on_destroyed, doom,
	    sizeof(*doom));
}

static ag_err erase_next(struct keys *k, struct ag_ctx *ctx, struct doom *doom);

static ag_err
on_erased(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct keys *k = state;
	struct doom doom = *(const struct doom *)memo;
	struct hot *hot = cache_key(&k->cache, ctx, doom.id);
	ag_err err;

	if (hot == NULL)
		return AG_OK;
	if (status == AG_OK) {
		doom.next++;
		err = erase_next(k, ctx, &doom);
		if (err == AG_PENDING)
			return err;
		status = err;
	}
	hot->destroying = false;
	if (!k->rot_missing)
		ag_log(ctx, AG_WARN, "KEY-DESTROY-AGAIN", "key=%s err=%s", doom.id,
		    ag_err_row(status)->name);
	k->rot_missing = true;
	return AG_OK;
}

/* The next version with material; when none is left, the fact. */
static ag_err
erase_next(struct keys *k, struct ag_ctx *ctx, struct doom *doom)
{
	Ag__RotDestroyAsk ask = AG__ROT_DESTROY_ASK__INIT;
	struct hot *hot = cache_key(&k->cache, ctx, doom->id);

	if (hot == NULL)
		return AG_ITEM_NOT_FOUND;
	for (; doom->next <= doom->last; doom->next++) {
		const Ag__KeyVersion *v = fold_version(hot->stored, doom->next);

		if (v == NULL || v->has_destroyed_at)
			continue;
		ask.tenant = hot->stored->key->tenant;
		ask.key_id = hot->id;
		ask.version = doom->next;
		return ag_ask(ctx, ag_slot_named(ctx, "software"),
		    AG_MSG_ROT_DESTROY_ASK, &ask, AG_MSG_DONE_REPLY, ROT_TIMEOUT_MS,
		    on_erased, doom, sizeof(*doom));
	}
	k->rot_missing = false;
	return persist_destroyed(ctx, hot, doom);
}

static void
begin(struct keys *k, struct ag_ctx *ctx, const char *id)
{
	struct hot *hot = cache_key(&k->cache, ctx, id);
	struct doom doom = { .next = 1 };
	ag_err err;

	if (hot == NULL || hot->destroying || !hot->stored->key->has_destroy_at)
		return;
	memcpy(doom.id, hot->id, sizeof(doom.id));
	doom.last = hot->stored->key->version;
	if (hot->stored->has_destroy_version)
		doom.next = doom.last = hot->stored->destroy_version;
	cache_drop(&k->cache, id);
	hot->destroying = true;
	err = erase_next(k, ctx, &doom);
	if (err != AG_PENDING)
		hot->destroying = false;
}

static bool
visit_due(void *arg, const uint8_t *key, size_t len, const uint8_t *value,
    size_t value_len)
{
	struct keys_due_scan *scan = arg;
	int64_t at = 0;

	for (int i = 0; i < 8 && len > 8; i++)
		at = (int64_t)((uint64_t)at << 8 | key[i]);
	if (len <= 8 || len - 8 >= AG_ID_SIZE || at > scan->now ||
	    scan->count == DUE_AT_ONCE)
		return false;
	scan->at[scan->count] = at;
	memcpy(scan->ids[scan->count], key + 8, len - 8);
	scan->ids[scan->count++][len - 8] = '\0';
	return true;
}

ag_err
keys_due_look(struct ag_ctx *ctx, unsigned table, struct keys_due_scan *scan)
{
	scan->now = ag_now_ms(ctx);
	scan->count = 0;
	return ag_store_scan(ctx, table, NULL, 0, visit_due, scan);
}

void
keys_due(void *state, struct ag_ctx *ctx)
{
	struct keys_due_scan *scan = ag_alloc(ctx, sizeof(*scan));

	if (scan == NULL || keys_due_look(ctx, TABLE_DUE, scan) != AG_OK)
		return;
	for (unsigned i = 0; i < scan->count; i++)
		begin(state, ctx, scan->ids[i]);
}
