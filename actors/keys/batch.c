/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many uses of one key in one request. What is wrong with an item is that
 * item's error; what is wrong with the key refuses the whole.
 */
#include "use.h"

#include <string.h>

enum {
	SLICE_US = 10000, /* other keys' requests wait for no more of it */
	SLICE_GAP_MS = 1,
};

static size_t
count_of(const Ag__BatchAsk *ask, const struct use_row *row)
{
	size_t n;

	memcpy(&n, (const char *)ask + row->count_at, sizeof(n));
	return n;
}

static const void *const *
items_of(const Ag__BatchAsk *ask, const struct use_row *row)
{
	const void *const *items;

	memcpy(&items, (const char *)ask + row->items_at, sizeof(items));
	return items;
}

static ag_err
batch_check(struct use *u, const Ag__BatchAsk *ask, struct batch *b)
{
	const Ag__Grant *grant = ag_grant(u->ctx);
	size_t all = ask->n_sign + ask->n_verify + ask->n_encrypt + ask->n_decrypt;

	b->row = use_row_for_usage(ask->operation);
	if (b->row == NULL)
		return ag_refuse(u->ctx, AG_INVALID_FIELD, "unknown_value", "/operation",
		    "sign, verify, encrypt or decrypt is wanted.");
	b->count = count_of(ask, b->row);
	if (all != b->count || b->count == 0 || b->count > BATCH_ITEMS_MAX)
		return ag_refuse(u->ctx, AG_INVALID_FIELD, "out_of_range", "/items",
		    "1 to %d items of the operation are wanted.", BATCH_ITEMS_MAX);
	/* iam checked the scope of what the plane named: it must be this. */
	if (grant->scope_op == NULL ||
	    strcmp(grant->scope_op, usage_name(ask->operation)) != 0 ||
	    (grant->has_items && grant->items != b->count))
		return ag_refuse(u->ctx, AG_PERMISSION_DENIED, "scope_missing", NULL,
		    "The scope was checked for another operation.");
	if ((u->usage & 1u << b->row->usage) == 0)
		return ag_refuse(u->ctx, AG_ILLEGAL_OPERATION, "usage", NULL,
		    "The key is not for this use.");
	b->items = items_of(ask, b->row);
	return AG_OK;
}

static bool
is_of_key(ag_err err)
{
	return err == AG_INVALID_KEY_STATE || err == AG_KEY_COMPROMISED ||
	    err == AG_USAGE_LIMIT_EXCEEDED;
}

static ag_err
want_version(struct use *u, struct batch *b, const struct plan *plan)
{
	if (!plan->is_private)
		return AG_OK;
	for (size_t i = 0; i < b->version_count; i++)
		if (b->versions[i] == plan->version)
			return AG_OK;
	if (b->version_count == LOADS_MAX)
		return ag_refuse(u->ctx, AG_INVALID_FIELD, "out_of_range", "/items",
		    "At most %d key versions in one batch.", LOADS_MAX);
	b->versions[b->version_count++] = plan->version;
	return AG_OK;
}

static ag_err
plan_item(struct use *u, struct batch *b, size_t i)
{
	struct plan *plan = &b->plans[i];
	ag_err err;

	err = b->row->plan(u, b->items[i], plan, &b->whys[i]);
	if (err == AG_OK && plan->version != 0)
		err = use_state(u, b->row->op, plan->version, &b->whys[i]);
	if (err == AG_OK)
		err = use_seals(u, plan, b->count, &b->whys[i]);
	if (is_of_key(err))
		return keys_refuse(u->ctx, err, &b->whys[i]);
	b->errs[i] = err;
	return err == AG_OK ? want_version(u, b, plan) : AG_OK;
}

ag_err
batch_plan(struct use *u, const Ag__BatchAsk *ask, struct batch *b)
{
	ag_err err;

	*b = (struct batch){ 0 };
	if ((err = batch_check(u, ask, b)) != AG_OK)
		return err;
	b->part = part_find(u, b->count);
	b->done = b->part == NULL ? 0 : part_done(b->part);
	b->plans = ag_alloc(u->ctx, b->count * sizeof(*b->plans));
	b->errs = ag_alloc(u->ctx, b->count * sizeof(*b->errs));
	b->whys = ag_alloc(u->ctx, b->count * sizeof(*b->whys));
	if (b->plans == NULL || b->errs == NULL || b->whys == NULL)
		return AG_NO_MEMORY;
	for (size_t i = b->done; i < b->count; i++)
		if ((err = plan_item(u, b, i)) != AG_OK)
			return err;
	return AG_OK;
}

static ag_err
item_error(struct use *u, ag_err err, const struct why *why, Ag__BatchResult *r)
{
	Ag__Refusal *refusal = ag_alloc(u->ctx, sizeof(*refusal));

	if (refusal == NULL)
		return AG_NO_MEMORY;
	ag__refusal__init(refusal);
	refusal->err = err;
	refusal->reason_code = (char *)(uintptr_t)why->reason_code;
	refusal->field = (char *)(uintptr_t)why->field;
	refusal->detail = (char *)(uintptr_t)(err == AG_CRYPTOGRAPHIC_FAILURE ?
	    "The cryptographic operation failed." : why->detail);
	r->error = refusal;
	return AG_OK;
}

static ag_err
run_item(struct use *u, struct batch *b, size_t i)
{
	Ag__BatchResult *result = b->results[i];
	const struct use_row *row = b->row;
	ProtobufCMessage *reply;
	ag_err err = b->errs[i];

	if (err == AG_OK) {
		if ((reply = ag_alloc(u->ctx, row->reply->sizeof_message)) == NULL)
			return AG_NO_MEMORY;
		row->reply->message_init(reply);
		err = row->run(u, b->items[i], &b->plans[i], reply, &b->whys[i]);
		if (err == AG_NO_MEMORY)
			return err;
		if (is_of_key(err))
			return keys_refuse(u->ctx, err, &b->whys[i]);
		if (err == AG_OK) {
			memcpy((char *)result + row->result_at, &reply, sizeof(reply));
			b->marks[i].version = u->used;
			b->marks[i].seals = b->plans[i].seals;
		}
	}
	if (err == AG_OK)
		return AG_OK;
	return item_error(u, err, &b->whys[i], result);
}

/* All or none: what waits for the journal is done again. */
static ag_err
count_all(struct use *u, const struct batch *b)
{
	uint32_t versions = u->hot->stored->key->version;
	struct taking *used = ag_alloc(u->ctx, (versions + 1) * sizeof(*used));
	ag_err err;

	if (used == NULL)
		return AG_NO_MEMORY;
	for (size_t i = 0; i < b->count; i++) {
		if (b->marks[i].version == 0)
			continue;
		used[b->marks[i].version].operations++;
		used[b->marks[i].version].seals += b->marks[i].seals;
	}
	for (uint32_t v = 1; v <= versions; v++) {
		used[v].version = v;
		if (used[v].operations > 0 &&
		    (err = count_ready(u, &used[v])) != AG_OK)
			return err;
	}
	for (uint32_t v = 1; v <= versions; v++)
		if (used[v].operations > 0)
			count_take(u, &used[v]);
	return AG_OK;
}

/* What was done in earlier turns is given out in this one: the key's standing
 * now is what counts. */
static ag_err
check_kept(struct use *u, const struct batch *b)
{
	struct why why = { 0 };
	uint32_t checked = 0;

	for (size_t i = 0; i < b->count; i++) {
		uint32_t version = b->marks[i].version;
		ag_err err;

		if (version == 0 || version == checked)
			continue;
		if ((err = use_state(u, b->row->op, version, &why)) != AG_OK)
			return keys_refuse(u->ctx, err, &why);
		checked = version;
	}
	return AG_OK;
}

static bool
too_late(struct ag_ctx *ctx)
{
	const Ag__Envelope *env = ag_env(ctx);

	return env->has_deadline_ms && env->deadline_ms != 0 &&
	    ag_mono_ms(ctx) > env->deadline_ms;
}

/* As many as the turn has time for; one at least. */
static ag_err
run_slice(struct use *u, struct batch *b)
{
	uint64_t begun = ag_mono_us(u->ctx);
	Ag__BatchResult *results = ag_alloc(u->ctx, b->count * sizeof(*results));
	ag_err err;

	b->results = ag_alloc(u->ctx, b->count * sizeof(*b->results));
	b->marks = ag_alloc(u->ctx, b->count * sizeof(*b->marks));
	if (results == NULL || b->results == NULL || b->marks == NULL)
		return AG_NO_MEMORY;
	if (too_late(u->ctx))
		return AG_DEADLINE_EXCEEDED; /* nobody waits for the rest */
	for (size_t first = b->done; b->done < b->count; b->done++) {
		if (b->done > first && ag_mono_us(u->ctx) - begun >= SLICE_US)
			return AG_OK;
		ag__batch_result__init(&results[b->done]);
		b->results[b->done] = &results[b->done];
		if ((err = run_item(u, b, b->done)) != AG_OK)
			return err;
	}
	return AG_OK;
}

static ag_err
batch_answer(struct use *u, struct batch *b)
{
	Ag__BatchReply reply = AG__BATCH_REPLY__INIT;
	ag_err err;

	if (b->part != NULL && ((err = part_fetch(u, b)) != AG_OK ||
	    (err = check_kept(u, b)) != AG_OK))
		return err;
	if ((err = count_all(u, b)) != AG_OK)
		return err;
	for (size_t i = 0; i < b->count; i++)
		reply.failed += b->results[i]->error != NULL;
	reply.results = b->results;
	reply.n_results = b->count;
	reply.operation = b->row->usage;
	reply.key_id = u->hot->id;
	ag_note_items(u->ctx, (uint32_t)b->count, reply.failed);
	return ag_reply(u->ctx, AG_MSG_KEY_BATCH, &reply);
}

ag_err
batch_run(struct use *u, struct batch *b)
{
	size_t first = b->done;
	ag_err err;

	cipher_hold(true);
	err = run_slice(u, b);
	cipher_hold(false);
	/* Small ones end here; of a larger one what is done is kept. */
	if (err == AG_OK && (b->part != NULL || b->done < b->count))
		err = part_keep(u, b, first);
	if (err == AG_OK && b->done < b->count)
		return ag_after(u->ctx, SLICE_GAP_MS, use_resumed, NULL, 0);
	if (err == AG_OK)
		err = batch_answer(u, b);
	if (err != AG_PENDING)
		part_drop(u, b->part);
	return err;
}
