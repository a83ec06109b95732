/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counting uses. A version's operations, and of these its encryptions under
 * random IVs, are counted in memory; the journal is told in blocks what they
 * will not exceed before it is told again. So a crash leaves an upper bound,
 * and a request touches the journal only when a block is used up and the next
 * one, asked for at half of it, is not there yet.
 */
#include "use.h"

#include <aegis/bytes.h>

enum {
	COUNT_BLOCK = 65536,
	/* A rotation after N operations must not come early by more than this
	 * part of N because of a crash. */
	COUNT_BLOCK_PART = 8,
	COUNT_WAIT_MS = 5000,
	EPOCH_BYTES = 9,
};

/* SP 800-38D §8.3: at most 2^32 invocations under one key with random 96-bit
 * IVs. ChaCha20-Poly1305 has IVs of the same length, so the same bound. */
static const uint64_t seals_max = UINT64_C(1) << 32;

static const Ag__KeyCount none = { .base = { 0 } };

static const Ag__KeyCount *
count_of(const struct hot *hot, uint32_t version)
{
	/* Of before there were blocks: nothing is reserved. */
	return version == 0 || version > hot->stored->n_counts ? &none :
	    hot->stored->counts[version - 1];
}

static uint64_t
block_of(const Ag__Key *key, uint64_t wanted)
{
	const Ag__Rotation *r = key->rotation;
	uint64_t block = COUNT_BLOCK;

	if (r != NULL && r->has_after_operations &&
	    r->after_operations / COUNT_BLOCK_PART < block)
		block = r->after_operations / COUNT_BLOCK_PART;
	return block < wanted ? wanted : block;
}

static const char *
stream_of(struct ag_ctx *ctx, const char *id)
{
	return ag_printf(ctx, "counted:%s", id);
}

static ag_err
on_reserved(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct hot *hot = cache_key(&((struct keys *)state)->cache, ctx, memo);
	const char *stream = stream_of(ctx, memo);

	if (hot != NULL)
		hot->reserving = false;
	if (status != AG_OK)
		ag_log(ctx, AG_WARN, "KEY-COUNT", "key=%s err=%s", (const char *)memo,
		    ag_err_row(status)->name);
	if (stream != NULL)
		ag_stash_release(ctx, stream); /* whoever waits looks again */
	return AG_OK;
}

static ag_err
reserve(struct ag_ctx *ctx, struct hot *hot, uint32_t version, uint64_t wanted)
{
	const Ag__KeyVersion *v = fold_version(hot->stored, version);
	const Ag__KeyCount *count = count_of(hot, version);
	uint64_t block = block_of(hot->stored->key, wanted);
	Ag__KeyCountedFact fact = AG__KEY_COUNTED_FACT__INIT;
	struct ag_fact f = { stream_of(ctx, hot->id), hot->stored->counted,
		AG_MSG_KEY_COUNTED_FACT, &fact };
	ag_err err;

	if (f.stream == NULL)
		return AG_NO_MEMORY;
	fact.key_id = hot->id;
	fact.version = version;
	fact.reserved_to = v->operations + block;
	fact.has_sealed_to = spec_find(hot->stored->key->key_spec)->crypt[0] != 0;
	fact.sealed_to = count->sealed + block;
	fact.at = ag_now_ms(ctx);
	err = ag_persist_apart(ctx, &f, 1, on_reserved, hot->id, sizeof(hot->id));
	hot->reserving = err == AG_PENDING;
	return err;
}

bool
count_seals_left(const struct hot *hot, uint32_t version, uint64_t n)
{
	return count_of(hot, version)->sealed + n <= seals_max;
}

static bool
is_reserved(const struct hot *hot, const struct taking *t)
{
	const Ag__KeyVersion *v = fold_version(hot->stored, t->version);
	const Ag__KeyCount *count = count_of(hot, t->version);

	return v->operations + t->operations <= count->reserved &&
	    count->sealed + t->seals <= count->sealed_reserved;
}

/* Half of a block is left: time for the next one. */
static bool
is_low(const struct hot *hot, uint32_t version)
{
	const Ag__KeyVersion *v = fold_version(hot->stored, version);
	const Ag__KeyCount *count = count_of(hot, version);
	uint64_t half = block_of(hot->stored->key, 1) / 2;

	return count->reserved - v->operations < half;
}

ag_err
count_ready(struct use *u, const struct taking *t)
{
	const char *stream;
	ag_err err;

	if (is_reserved(u->hot, t))
		return AG_OK;
	if (!u->hot->reserving &&
	    (err = reserve(u->ctx, u->hot, t->version, t->operations)) != AG_PENDING)
		return ag_refuse(u->ctx, AG_UNAVAILABLE, "journal", NULL,
		    "The key's use cannot be counted now.");
	if ((stream = stream_of(u->ctx, u->hot->id)) == NULL)
		return AG_NO_MEMORY;
	return ag_stash_on(u->ctx, stream, COUNT_WAIT_MS, "journal");
}

void
count_take(struct use *u, const struct taking *t)
{
	struct hot *hot = u->hot;
	Ag__KeyVersion *v = fold_version(hot->stored, t->version);
	ag_err err = AG_PENDING;

	v->operations += t->operations;
	hot->stored->counts[t->version - 1]->sealed += t->seals;
	hot->dirty = true;
	if (!hot->reserving && is_low(hot, t->version))
		err = reserve(u->ctx, hot, t->version, 1);
	if (err != AG_PENDING) /* who finds the block empty will ask again */
		ag_log(u->ctx, AG_WARN, "KEY-COUNT", "key=%s err=%s", hot->id,
		    ag_err_row(err)->name);
	if (t->version == hot->stored->key->version)
		keys_rotate_counted(u->ctx, hot);
}

/* -------------------------------------------------------------------- epochs */

static ag_err
epoch_put(struct ag_ctx *ctx, uint64_t epoch, bool ended)
{
	uint8_t value[EPOCH_BYTES];

	ag_put_be64(value, epoch);
	value[8] = ended;
	return ag_store_put(ctx, TABLE_NOTES, "epoch", 5, value, sizeof(value));
}

ag_err
count_epoch_begin(struct cache *c, struct ag_ctx *ctx)
{
	const uint8_t *value;
	size_t len;
	ag_err err = ag_store_get(ctx, TABLE_NOTES, "epoch", 5, &value, &len);

	c->epoch = 1;
	c->unplanned = err == AG_ITEM_NOT_FOUND;
	if (err == AG_OK && len == EPOCH_BYTES)
		c->epoch = ag_get_be64(value) + (value[8] == 0);
	else if (err != AG_ITEM_NOT_FOUND)
		return err == AG_OK ? AG_CORRUPT : err;
	return AG_OK;
}

ag_err
count_epoch_running(struct cache *c, struct ag_ctx *ctx)
{
	ag_err err = epoch_put(ctx, c->epoch, false);

	return err == AG_OK ? ag_store_commit(ctx) : err;
}

ag_err
count_epoch_end(struct cache *c, struct ag_ctx *ctx)
{
	ag_err err = epoch_put(ctx, c->epoch, true);

	return err == AG_OK ? ag_store_commit(ctx) : err;
}
