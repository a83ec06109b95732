/* SPDX-License-Identifier: Apache-2.0 */
/*
 * consistency: shows that the tree under a newer checkpoint begins with the
 * one under an older (RFC 6962 §2.1.2): nothing that was signed was changed or
 * taken out since.
 */
#include "tree.h"

#include <aegis/bytes.h>

#include <string.h>

struct between {
	uint64_t first, second; /* events; second 0: the newest checkpoint's */
};

/* PROOF(first, D[size]), from the top; the answer wants it from below. */
static ag_err
prove(struct proving *p, uint64_t first)
{
	uint8_t down[PROOF_PATH_MAX + 1][AG_HASH_BYTES];
	uint64_t lo = 0, m = first, n = p->size, k;
	bool whole = true; /* what is left of the older tree is all of it */
	size_t len = 0;
	ag_err err = AG_OK;

	for (; err == AG_OK && m < n; len++) {
		k = tree_split(n);
		if (m <= k) {
			err = tree_root(p, lo + k, n - k, down[len]);
			n = k;
		} else {
			err = tree_root(p, lo, k, down[len]);
			lo += k;
			m -= k;
			n -= k;
			whole = false;
		}
	}
	if (err == AG_OK && !whole)
		err = tree_root(p, lo, n, down[len++]);
	if (err != AG_OK || len > PROOF_PATH_MAX)
		return err != AG_OK ? err : AG_CORRUPT;
	for (size_t i = 0; i < len; i++)
		memcpy(p->path[i], down[len - 1 - i], AG_HASH_BYTES);
	p->path_len = len;
	return AG_OK;
}

/* The tenant's checkpoint over exactly so many events. */
static ag_err
checkpoint_at(struct ag_ctx *ctx, uint64_t size, Ag__Checkpoint **out)
{
	const char *tenant = ag_grant(ctx)->tenant;
	size_t len = strlen(tenant) + 1, row_len;
	uint8_t key[TENANT_KEY];
	const uint8_t *row;
	ag_err err;

	memcpy(key, tenant, len);
	ag_put_be64(key + len, size);
	err = ag_store_get(ctx, T_CHECKPOINTS, key, len + 8, &row, &row_len);
	if (err != AG_OK)
		return err;
	*out = ag_unpack(ctx, &ag__checkpoint__descriptor, row, row_len);
	return *out == NULL ? AG_NO_MEMORY : AG_OK;
}

static ag_err
no_checkpoint(struct ag_ctx *ctx, uint64_t size)
{
	return ag_refuse(ctx, AG_ITEM_NOT_FOUND, NULL, NULL,
	    "No checkpoint that is kept covers %llu events.",
	    (unsigned long long)size);
}

static ag_err
answer(struct history *h, struct ag_ctx *ctx, const struct between *b)
{
	Ag__AuditConsistencyReply reply = AG__AUDIT_CONSISTENCY_REPLY__INIT;
	struct proving *p;
	ag_err err = checkpoint_at(ctx, b->first, &reply.first);

	if (err == AG_ITEM_NOT_FOUND)
		return no_checkpoint(ctx, b->first);
	if (err != AG_OK)
		return err;
	err = b->second == 0 ? proof_newest(h, ctx, b->first, &reply.second) :
	    checkpoint_at(ctx, b->second, &reply.second);
	if (err == AG_ITEM_NOT_FOUND)
		return no_checkpoint(ctx, b->second);
	if (err != AG_OK)
		return err;
	if ((err = tree_begin(h, ctx, reply.second->size, &p)) != AG_OK)
		return err;
	err = prove(p, b->first);
	tree_end(p);
	if (err != AG_OK || (err = tree_take(p, ctx, &reply.path_b64,
	        &reply.n_path_b64)) != AG_OK)
		return err;
	return ag_reply(ctx, AG_MSG_AUDIT_CONSISTENCY, &reply);
}

static ag_err
step(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct history *h = state;
	bool more = false;
	ag_err err = status;

	(void)msg;
	if (err == AG_OK)
		err = index_cut(h, ctx);
	if (err == AG_OK)
		err = tree_step(h, &more);
	if (err != AG_OK)
		return err;
	return more ? ag_after(ctx, 0, step, memo, sizeof(struct between)) :
	    answer(h, ctx, memo);
}

ag_err
on_audit_consistency(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__AuditConsistencyAsk *ask = msg;
	struct between b = { ask->first, ask->has_second ? ask->second : 0 };

	if (b.first == 0)
		return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range", "?first",
		    "The events under the older checkpoint, from 1.");
	if (ask->has_second && b.second < b.first)
		return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range", "?second",
		    "Not less than first.");
	return head_ask(state, ctx, step, &b, sizeof(b));
}
