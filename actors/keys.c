/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keys: one shard of the keys; each key an actor of its own, with its stream
 * in the journal.
 * Hears the key operations (risk; iam for reads while risk is away) and
 * act_ask (responder). Says rot_generate_ask, rot_load_ask, rot_destroy_ask
 * and journal appends.
 * Keeps the state of its keys in its store, of the hot ones in memory, and
 * parsed keys in the locked region. What a key is follows from its facts
 * (keys/fold.c); what may be done with it is a table (keys/state.c).
 */
#include "keys/use.h"

#include <string.h>

const char *
keys_stream(struct ag_ctx *ctx, const char *id)
{
	return ag_printf(ctx, "key:%s", id);
}

bool
keys_pending(const Ag__KeyStored *s, uint32_t version)
{
	return s->key->has_destroy_at &&
	    (!s->has_destroy_version || s->destroy_version == version);
}

ag_err
keys_refuse(struct ag_ctx *ctx, ag_err err, const struct why *why)
{
	if (err == AG_CRYPTOGRAPHIC_FAILURE) /* one text for every cause */
		return ag_refuse(ctx, err, NULL, NULL, "The cryptographic operation failed.");
	if (why->detail == NULL)
		return err;
	return ag_refuse(ctx, err, why->reason_code, why->field, "%s", why->detail);
}

bool
keys_elsewhere(struct ag_ctx *ctx, ag_err status)
{
	return status == AG_ITEM_NOT_FOUND &&
	    strcmp(ag_config_str(ctx, "journal.kind", 0), "postgres") == 0;
}

ag_err
keys_rot_failed(struct ag_ctx *ctx, ag_err status)
{
	const Ag__Refusal *said = ag_refusal(ctx);

	if (status == AG_NOBODY || status == AG_TIMEOUT || status == AG_FULL ||
	    status == AG_UNAVAILABLE)
		return ag_refuse(ctx, AG_UNAVAILABLE, "rot", NULL,
		    "The root of trust does not answer.");
	if (status == AG_INVALID_FIELD || status == AG_CRYPTOGRAPHIC_FAILURE)
		return ag_refuse(ctx, status, said->reason_code, said->field, "%s",
		    said->detail == NULL ? "The root of trust refuses it." : said->detail);
	ag_log(ctx, keys_elsewhere(ctx, status) ? AG_WARN : AG_ERROR,
	    "KEY-MATERIAL", "err=%s", ag_err_row(status)->name);
	if (keys_elsewhere(ctx, status))
		return ag_refuse(ctx, AG_UNAVAILABLE, "rot", NULL, "This node's root "
		    "of trust does not have this key; the node that made it has.");
	return status == AG_FEATURE_NOT_SUPPORTED ? ag_refuse(ctx, status, "key_spec",
	    "/key_spec", "The root of trust does not make such keys.") :
	    AG_GENERAL_FAILURE;
}

ag_err
keys_open(struct keys *k, struct ag_ctx *ctx, struct hot **out)
{
	const Ag__Grant *grant = ag_grant(ctx);
	const char *id = grant->resource_id;
	struct hot *hot = NULL;

	if (id != NULL && ag_id_valid(id, "key"))
		hot = cache_key(&k->cache, ctx, id);
	/* Of another tenant: as if it existed nowhere. */
	if (hot == NULL || strcmp(hot->stored->key->tenant, grant->tenant) != 0)
		return ag_refuse(ctx, AG_ITEM_NOT_FOUND, NULL, NULL,
		    "There is no such key.");
	*out = hot;
	return AG_OK;
}

ag_err
keys_check(struct ag_ctx *ctx, enum key_op op, const Ag__KeyStored *s,
    uint32_t version)
{
	const Ag__KeyVersion *v = fold_version(s, version);
	struct standing standing = { 0 };
	struct verdict verdict;

	if (v == NULL)
		return ag_refuse(ctx, AG_ITEM_NOT_FOUND, NULL, NULL,
		    "There is no such version of the key.");
	standing.state = v->state;
	standing.pending = keys_pending(s, version);
	standing.frozen = s->key->frozen;
	verdict = state_check(op, &standing);
	if (verdict.err == AG_OK)
		return AG_OK;
	return ag_refuse(ctx, verdict.err, verdict.reason_code, NULL, "%s",
	    verdict.detail);
}

unsigned
keys_usage_bits(const Ag__Key *key)
{
	unsigned bits = 0;

	for (size_t i = 0; i < key->n_usage; i++)
		bits |= 1u << key->usage[i];
	return bits;
}

/* ------------------------------------------------------------------- facts */

/* After these a parsed key may no longer be used: it leaves memory at once. */
static bool
ends_use(uint16_t type)
{
	return type == AG_MSG_KEY_STATE_FACT || type == AG_MSG_KEY_FROZEN_FACT ||
	    type == AG_MSG_KEY_DESTROY_PLANNED_FACT;
}

static ag_err
apply(void *state, struct ag_ctx *ctx, const struct ag_fact_record *record)
{
	struct keys *k = state;
	const char *id = fold_key_id(record->stream);
	Ag__KeyStored *stored = NULL;
	struct hot *hot;
	bool had = false, had_next = false;
	int64_t before = 0, next_before = 0;
	ag_err err;

	if (id == NULL)
		id = fold_counted_id(record->stream);
	if (id == NULL || ag_shard(ctx, AG_ROLE_KEYS, id) != ag_self(ctx))
		return AG_OK;
	if ((hot = cache_key(&k->cache, ctx, id)) != NULL) {
		size_t len;
		uint8_t *bytes = ag_pack(ctx, hot->stored, &len);

		if (hot->stored->seq >= record->seq)
			return AG_OK; /* seen */
		if (bytes == NULL || (stored = fold_unpack(ctx, bytes, len)) == NULL)
			return AG_NO_MEMORY;
		had = stored->key->has_destroy_at;
		before = stored->key->destroy_at;
		if (stored->key->rotation != NULL) {
			had_next = stored->key->rotation->has_next_at;
			next_before = stored->key->rotation->next_at;
		}
	}
	if ((err = fold(ctx, &stored, record->type, record->fact, record->seq)) != AG_OK)
		return err;
	/* As the journal calls the rows of other nodes. */
	if (record->type == AG_MSG_KEY_CREATED_FACT &&
	    strchr(record->author, '/') != NULL)
		stored->has_elsewhere = stored->elsewhere = true;
	if (!k->live)
		fold_bound(stored); /* who reserved this is no more */
	if (ends_use(record->type))
		cache_drop(&k->cache, id);
	if ((err = keys_plan(ctx, id, had, before, stored->key->has_destroy_at &&
	    !stored->elsewhere, stored->key->destroy_at)) != AG_OK ||
	    (err = keys_plan_rotation(ctx, stored->key, had_next, next_before)) != AG_OK)
		return err;
	return cache_put(&k->cache, ctx, id, stored);
}

/* ------------------------------------------------------------------- rows */

static void
on_gauges(void *state, struct ag_ctx *ctx)
{
	struct keys *k = state;

	ag_metric_set(ctx, METRIC_HOT, k->cache.hot_count);
	ag_metric_set(ctx, METRIC_PARSED, k->cache.parsed_count);
}

static void
on_second(void *state, struct ag_ctx *ctx)
{
	(void)parts_drop_stale(state, ctx);
	on_gauges(state, ctx);
}

static ag_err
keys_init(void *state, struct ag_ctx *ctx)
{
	struct keys *k = state;
	size_t keys = (size_t)ag_config_int(ctx, "keys.cache_keys");

	/* Both halves of a key may be parsed; its state costs little. */
	cache_init(&k->cache, keys * 4, keys * 2);
	k->destroy_min_window_s = ag_config_int(ctx, "keys.destroy_min_window_s");
	return count_epoch_begin(&k->cache, ctx);
}

/* Only now: a destruction may have been cancelled in what was just replayed. */
static ag_err
keys_ready(void *state, struct ag_ctx *ctx)
{
	struct keys *k = state;
	ag_err err = count_epoch_running(&k->cache, ctx);

	k->live = true;
	if (err == AG_OK && k->cache.unplanned)
		err = keys_replan_rotations(ctx);
	if (err == AG_OK)
		err = ag_every(ctx, DUE_EVERY_MS, keys_due);
	if (err == AG_OK)
		err = ag_every(ctx, DUE_EVERY_MS, keys_rotate_due);
	return err == AG_OK ? ag_every(ctx, EVERY_SECOND_MS, on_second) : err;
}

static void
keys_fini(void *state, struct ag_ctx *ctx)
{
	struct keys *k = state;

	parts_fini(k);
	cache_fini(&k->cache, ctx);
	/* The counters of what was hot, and that they are exact. */
	if (k->live && count_epoch_end(&k->cache, ctx) != AG_OK)
		ag_log(ctx, AG_WARN, "KEY-COUNT", "the counters are not kept");
}

/* Nothing of a tenant that ended stays ready for use. */
static ag_err
on_tenant_ended(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__TenantEndedOrder *order = msg;
	struct keys *k = state;

	cache_drop_tenant(&k->cache, ctx, order->tenant);
	on_gauges(k, ctx);
	return AG_OK;
}

static const struct ag_row rows[] = {
	{ AG_MSG_KEY_SIGN, on_key_use },
	{ AG_MSG_KEY_VERIFY, on_key_use },
	{ AG_MSG_KEY_ENCRYPT, on_key_use },
	{ AG_MSG_KEY_DECRYPT, on_key_use },
	{ AG_MSG_KEY_DATA_KEY, on_key_use },
	{ AG_MSG_KEY_WRAP, on_key_use },
	{ AG_MSG_KEY_UNWRAP, on_key_use },
	{ AG_MSG_KEY_MAC, on_key_use },
	{ AG_MSG_KEY_MAC_VERIFY, on_key_use },
	{ AG_MSG_KEY_BATCH, on_key_use },
	{ AG_MSG_KEY_RANDOM, on_key_random },
	{ AG_MSG_KEY_CREATE, on_key_create },
	{ AG_MSG_KEY_IMPORT_PARAMETERS, on_key_import_parameters },
	{ AG_MSG_KEY_IMPORT, on_key_import },
	{ AG_MSG_KEY_READ, on_key_read },
	{ AG_MSG_KEY_UPDATE, on_key_update },
	{ AG_MSG_KEY_ACTIVATE, on_key_activate },
	{ AG_MSG_KEY_DEACTIVATE, on_key_deactivate },
	{ AG_MSG_KEY_ROTATE, on_key_rotate },
	{ AG_MSG_KEY_COMPROMISE, on_key_compromise },
	{ AG_MSG_KEY_DESTROY, on_key_destroy },
	{ AG_MSG_KEY_CANCEL_DESTROY, on_key_cancel_destroy },
	{ AG_MSG_KEY_FREEZE, on_key_freeze },
	{ AG_MSG_KEY_UNFREEZE, on_key_unfreeze },
	{ AG_MSG_KEY_PUBLIC, on_key_public },
	{ AG_MSG_KEY_JWK, on_key_jwk },
	{ AG_MSG_KEY_JWKS, on_key_jwks },
	{ AG_MSG_ACT_ASK, on_act_ask },
	{ AG_MSG_TENANT_ENDED_ORDER, on_tenant_ended },
};

static const char *const tables[] = { "keys", "due", "rotate", "notes", NULL };

static const struct ag_metric_row metrics[] = {
	[METRIC_LOADS] = { "key_loads_total", "Key versions loaded from the root of trust", AG_COUNTER },
	[METRIC_HOT] = { "keys_hot", "Keys whose state is in memory", AG_GAUGE },
	[METRIC_PARSED] = { "keys_parsed", "Parsed keys ready for use", AG_GAUGE },
	[METRIC_ROTATED] = { "keys_rotated_total", "Key versions made by a rotation policy", AG_COUNTER },
	[METRIC_BACKEND] = { "key_backend_seconds", "From asking the root of trust for a key to having it", AG_HISTOGRAM_US },
	[METRIC_DESTROYED] = { "keys_destroyed_total", "Key versions destroyed", AG_COUNTER },
};

const struct ag_actor ag_actor_keys = {
	.name = "keys",
	.state_size = sizeof(struct keys),
	AG_ROWS(rows),
	.init = keys_init,
	.ready = keys_ready,
	.apply = apply,
	.fini = keys_fini,
	.follow = AG_FOLLOW_START,
	.tables = tables,
	AG_METRICS(metrics),
};
