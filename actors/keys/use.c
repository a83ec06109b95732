/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One use of a key from its arrival to its answer: the state machine first,
 * then, if the version is not in memory, the root of trust. Who finds a key
 * cold takes its stream exclusively for the load, so that the others wait for
 * that and find it warm.
 */
#include "use.h"

#include <string.h>

#define BATCH(name) offsetof(Ag__BatchAsk, n_##name), offsetof(Ag__BatchAsk, name), \
	offsetof(Ag__BatchResult, name)

static const struct use_row rows[] = {
	{ AG_MSG_KEY_SIGN, AG__USAGE__V__sign, KEY_OP_PROTECT, plan_sign, run_sign,
	    &ag__sign_ask__descriptor, &ag__sign_reply__descriptor, BATCH(sign) },
	{ AG_MSG_KEY_VERIFY, AG__USAGE__V__verify, KEY_OP_PROCESS, plan_verify,
	    run_verify, &ag__verify_ask__descriptor, &ag__verify_reply__descriptor,
	    BATCH(verify) },
	{ AG_MSG_KEY_ENCRYPT, AG__USAGE__V__encrypt, KEY_OP_PROTECT, plan_encrypt,
	    run_encrypt, &ag__encrypt_ask__descriptor, &ag__encrypt_reply__descriptor,
	    BATCH(encrypt) },
	{ AG_MSG_KEY_DECRYPT, AG__USAGE__V__decrypt, KEY_OP_PROCESS, plan_decrypt,
	    run_decrypt, &ag__decrypt_ask__descriptor, &ag__decrypt_reply__descriptor,
	    BATCH(decrypt) },
	{ AG_MSG_KEY_DATA_KEY, AG__USAGE__V__generate_data_key, KEY_OP_PROTECT,
	    plan_data_key, run_data_key, &ag__data_key_ask__descriptor,
	    &ag__data_key_reply__descriptor, 0, 0, 0 },
	{ AG_MSG_KEY_WRAP, AG__USAGE__V__wrap, KEY_OP_PROTECT, plan_wrap, run_wrap,
	    &ag__wrap_ask__descriptor, &ag__wrap_reply__descriptor, 0, 0, 0 },
	{ AG_MSG_KEY_UNWRAP, AG__USAGE__V__unwrap, KEY_OP_PROCESS, plan_unwrap,
	    run_unwrap, &ag__unwrap_ask__descriptor, &ag__unwrap_reply__descriptor,
	    0, 0, 0 },
	{ AG_MSG_KEY_MAC, AG__USAGE__V__mac, KEY_OP_PROTECT, plan_mac, run_mac,
	    &ag__mac_ask__descriptor, &ag__mac_reply__descriptor, 0, 0, 0 },
	{ AG_MSG_KEY_MAC_VERIFY, AG__USAGE__V__mac_verify, KEY_OP_PROCESS,
	    plan_mac_verify, run_mac_verify, &ag__mac_verify_ask__descriptor,
	    &ag__mac_verify_reply__descriptor, 0, 0, 0 },
};

const struct use_row *
use_row_for(uint16_t type)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].type == type)
			return &rows[i];
	return NULL;
}

const struct use_row *
use_row_for_usage(int usage)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if ((int)rows[i].usage == usage && rows[i].items_at != 0)
			return &rows[i];
	return NULL;
}

struct parsed *
use_private(struct use *u, uint32_t version)
{
	return cache_find(&u->k->cache, u->hot->id, version, true);
}

struct parsed *
use_public(struct use *u, uint32_t version)
{
	struct parsed *p = cache_find(&u->k->cache, u->hot->id, version, false);
	const Ag__KeyStored *s = u->hot->stored;
	struct parsed fresh;

	if (p != NULL)
		return p;
	if (version == 0 || version > s->n_public_key_der ||
	    parsed_public(u->spec, s->public_key_der[version - 1].data,
	    s->public_key_der[version - 1].len, &fresh) != AG_OK ||
	    cache_add(&u->k->cache, u->hot->id, version, false, &fresh, &p) != AG_OK)
		return NULL;
	return p;
}

ag_err
plan_version(bool has, uint32_t named, uint32_t unnamed, struct plan *plan,
    struct why *why)
{
	if (has && named == 0)
		return no(why, AG_INVALID_FIELD, "out_of_range", "/key_version",
		    "The key has no such version.");
	plan->version = has ? named : unnamed;
	return AG_OK;
}

ag_err
use_state(const struct use *u, enum key_op op, uint32_t version, struct why *why)
{
	const Ag__KeyVersion *v = fold_version(u->hot->stored, version);
	struct standing standing;
	struct verdict verdict;

	if (v == NULL)
		return no(why, AG_INVALID_FIELD, "out_of_range", "/key_version",
		    "The key has no such version.");
	standing.state = v->state;
	standing.pending = keys_pending(u->hot->stored, version);
	standing.frozen = u->hot->stored->key->frozen;
	verdict = state_check(op, &standing);
	return verdict.err == AG_OK ? AG_OK :
	    no(why, verdict.err, verdict.reason_code, NULL, verdict.detail);
}

ag_err
use_wants(struct use *u, uint32_t version)
{
	u->wants = version;
	return AG_PENDING;
}

ag_err
use_versions(struct use *u, const void *ask, const struct plan *plan,
    use_check *check, uint32_t *version, bool *valid, struct why *why)
{
	uint32_t v = plan->version != 0 ? plan->version : u->hot->stored->key->version;
	uint32_t least = plan->version != 0 ? plan->version : 1;
	struct why first = { 0 }, ignored;
	ag_err err, first_err = AG_OK;
	bool tried = false;

	if (v - least >= VERIFY_VERSIONS_MAX)
		least = v - VERIFY_VERSIONS_MAX + 1;
	*valid = false;
	for (; v >= least && !*valid; v--) {
		err = use_state(u, KEY_OP_PROCESS, v, first_err == AG_OK ? &first : &ignored);
		if (err != AG_OK) {
			first_err = first_err == AG_OK ? err : first_err;
			continue;
		}
		if ((err = check(u, ask, plan, v, valid)) != AG_OK)
			return err;
		if (*valid || !tried)
			*version = v;
		tried = true;
	}
	if (!tried)
		*why = first;
	return tried ? AG_OK : first_err;
}

ag_err
use_seals(const struct use *u, const struct plan *plan, uint64_t n, struct why *why)
{
	if (!plan->seals || count_seals_left(u->hot, plan->version, n))
		return AG_OK;
	return no(why, AG_USAGE_LIMIT_EXCEEDED, "gcm_invocations", NULL,
	    "The key version has encrypted 2^32 times, which is all that random IVs allow: rotate it.");
}

/* ------------------------------------------------------------------ loading */

struct load {
	uint32_t version;
	unsigned loads;
	uint64_t asked_us;
};

static ag_err use_again(struct keys *k, struct ag_ctx *ctx, const void *msg,
    unsigned loads);

static ag_err
keep_loaded(struct keys *k, struct ag_ctx *ctx, const Ag__RotLoadReply *reply,
    uint32_t version, uint64_t asked_us)
{
	struct ag_secret *material = NULL;
	struct parsed parsed, *kept;
	struct hot *hot;
	const struct spec *spec;
	ag_err err;

	if ((err = keys_open(k, ctx, &hot)) != AG_OK)
		return err;
	if ((spec = spec_find(hot->stored->key->key_spec)) == NULL)
		return AG_CORRUPT;
	if ((err = ag_unseal(ctx, reply->material, &material)) != AG_OK)
		return err;
	err = parsed_private(spec, &material, &parsed);
	ag_secret_free(&material);
	if (err != AG_OK)
		return err;
	ag_metric_add(ctx, METRIC_LOADS, 1);
	ag_metric_observe_us(ctx, METRIC_BACKEND, ag_mono_us(ctx) - asked_us);
	return cache_add(&k->cache, hot->id, version, true, &parsed, &kept);
}

static ag_err
on_loaded(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	const struct load *load = memo;
	const struct ag_operation *op = ag_operation_find(ag_type(ctx));
	const uint8_t *body;
	const void *ask;
	size_t len;
	ag_err err;

	if (status != AG_OK)
		return keys_rot_failed(ctx, status);
	if ((err = keep_loaded(state, ctx, msg, load->version,
	    load->asked_us)) != AG_OK)
		return err == AG_CORRUPT ? keys_rot_failed(ctx, err) : err;
	body = ag_body(ctx, &len);
	if ((ask = ag_unpack(ctx, op->ask, body, len)) == NULL)
		return AG_NO_MEMORY;
	return use_again(state, ctx, ask, load->loads);
}

static ag_err
load(struct use *u, uint32_t version, unsigned loads)
{
	Ag__RotLoadAsk ask = AG__ROT_LOAD_ASK__INIT;
	struct load memo = { version, loads + 1, ag_mono_us(u->ctx) };

	if (loads >= LOADS_MAX)
		return AG_FULL; /* what came in went out again: too small a region */
	ask.tenant = u->hot->stored->key->tenant;
	ask.key_id = u->hot->id;
	ask.version = version;
	ask.reply_key.data = (uint8_t *)(uintptr_t)ag_seal_key(u->ctx);
	ask.reply_key.len = AG_SEAL_KEY_BYTES;
	return ag_ask(u->ctx, ag_slot_named(u->ctx, "software"), AG_MSG_ROT_LOAD_ASK,
	    &ask, AG_MSG_ROT_LOAD_REPLY, ROT_TIMEOUT_MS, on_loaded, &memo, sizeof(memo));
}

/* ------------------------------------------------------------------ one use */

/* All that had to be loaded is here: nobody waits for the rest of it. */
static ag_err
let_others(struct use *u)
{
	const char *stream = keys_stream(u->ctx, u->hot->id);

	if (stream == NULL)
		return AG_NO_MEMORY;
	ag_leave(u->ctx, stream);
	return AG_OK;
}

static ag_err
use_one(struct use *u, const struct use_row *row, const void *ask, unsigned loads)
{
	struct why why = { 0 };
	struct plan plan = { 0 };
	struct taking taking = { .operations = 1 };
	ProtobufCMessage *reply;
	ag_err err;

	if ((u->usage & 1u << row->usage) == 0)
		return ag_refuse(u->ctx, AG_ILLEGAL_OPERATION, "usage", NULL,
		    "The key is not for this use.");
	if ((err = row->plan(u, ask, &plan, &why)) != AG_OK)
		return keys_refuse(u->ctx, err, &why);
	if (plan.version != 0 &&
	    (err = use_state(u, row->op, plan.version, &why)) != AG_OK)
		return keys_refuse(u->ctx, err, &why);
	if ((err = use_seals(u, &plan, 1, &why)) != AG_OK)
		return keys_refuse(u->ctx, err, &why);
	if (plan.is_private && plan.version != 0 &&
	    use_private(u, plan.version) == NULL)
		return load(u, plan.version, loads);
	if ((reply = ag_alloc(u->ctx, row->reply->sizeof_message)) == NULL)
		return AG_NO_MEMORY;
	row->reply->message_init(reply);
	err = row->run(u, ask, &plan, reply, &why);
	if (err == AG_PENDING)
		return load(u, u->wants, loads);
	if (err != AG_OK)
		return keys_refuse(u->ctx, err, &why);
	taking.version = u->used;
	taking.seals = plan.seals;
	if ((err = let_others(u)) != AG_OK ||
	    (err = count_ready(u, &taking)) != AG_OK)
		return err;
	count_take(u, &taking);
	return ag_reply(u->ctx, row->type, reply);
}

static ag_err
use_batch(struct use *u, const Ag__BatchAsk *ask, unsigned loads)
{
	struct batch batch;
	ag_err err = batch_plan(u, ask, &batch);

	if (err != AG_OK) {
		part_drop(u, batch.part);
		return err;
	}
	for (size_t i = 0; i < batch.version_count; i++)
		if (use_private(u, batch.versions[i]) == NULL)
			return load(u, batch.versions[i], loads);
	err = let_others(u);
	return err == AG_OK ? batch_run(u, &batch) : err;
}

static ag_err
use_again(struct keys *k, struct ag_ctx *ctx, const void *msg, unsigned loads)
{
	const struct use_row *row = use_row_for(ag_type(ctx));
	struct use u = { .k = k, .ctx = ctx };
	ag_err err;

	if ((err = keys_open(k, ctx, &u.hot)) != AG_OK)
		return err;
	if ((u.spec = spec_find(u.hot->stored->key->key_spec)) == NULL)
		return ag_refuse(ctx, AG_FEATURE_NOT_SUPPORTED, "key_spec", NULL,
		    "This build does not know the key's key_spec.");
	u.usage = keys_usage_bits(u.hot->stored->key);
	return row != NULL ? use_one(&u, row, msg, loads) : use_batch(&u, msg, loads);
}

/* A guess, cheap: is the newest version's private half missing here? */
static bool
is_cold(struct keys *k, struct ag_ctx *ctx, const char *id)
{
	struct hot *hot = cache_key(&k->cache, ctx, id);

	return hot != NULL && cache_find(&k->cache, id, hot->stored->key->version,
	    true) == NULL;
}

ag_err
on_key_use(void *state, struct ag_ctx *ctx, const void *msg)
{
	const char *id = ag_grant(ctx)->resource_id;
	char stream[AG_ID_SIZE + 8] = "key:";
	bool cold;
	ag_err err;

	if (id == NULL || !ag_id_valid(id, "key"))
		return ag_refuse(ctx, AG_ITEM_NOT_FOUND, NULL, NULL,
		    "There is no such key.");
	memcpy(stream + 4, id, strlen(id) + 1);
	cold = ag_type(ctx) != AG_MSG_KEY_VERIFY && is_cold(state, ctx, id);
	if ((err = ag_enter(ctx, stream, cold)) != AG_OK)
		return err;
	return use_again(state, ctx, msg, 0);
}

ag_err
use_resumed(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	size_t len;
	const uint8_t *body = ag_body(ctx, &len);
	const void *ask = ag_unpack(ctx, ag_operation_find(ag_type(ctx))->ask, body,
	    len);

	return ask == NULL ? AG_NO_MEMORY : on_key_use(state, ctx, ask);
}
