/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proof: shows that an event is under a signed checkpoint (RFC 6962 §2.1.1).
 */
#include "tree.h"

#include <aegis/bytes.h>

#include <string.h>

enum { RETRY_MS = 200, TRIES_MAX = 10 };

/* One question on its way. */
struct proof {
	struct found found;
	unsigned tries;
};

/* PATH(m, D[n]) of RFC 6962, from the top; the answer wants it from the leaf. */
static ag_err
path(struct proving *p, uint64_t index)
{
	uint8_t down[PROOF_PATH_MAX][AG_HASH_BYTES];
	uint64_t lo = 0, n = p->size, k;
	size_t len = 0;
	ag_err err = AG_OK;

	for (; err == AG_OK && n > 1; len++) {
		k = tree_split(n);
		if (index - lo < k) {
			err = tree_root(p, lo + k, n - k, down[len]);
			n = k;
		} else {
			err = tree_root(p, lo, k, down[len]);
			lo += k;
			n -= k;
		}
	}
	for (size_t i = 0; err == AG_OK && i < len; i++)
		memcpy(p->path[i], down[len - 1 - i], AG_HASH_BYTES);
	p->path_len = len;
	return err;
}

/* ----------------------------------------------------------------- answering */

struct newest {
	struct ag_ctx *ctx;
	const char *tenant;
	size_t key_len;
	Ag__Checkpoint *checkpoint;
};

static bool
visit_newest(void *arg, const uint8_t *key, size_t len, const uint8_t *row,
    size_t row_len)
{
	struct newest *n = arg;

	if (len != n->key_len + 8 || memcmp(key, n->tenant, n->key_len) != 0)
		return false;
	n->checkpoint = ag_unpack(n->ctx, &ag__checkpoint__descriptor, row,
	    row_len);
	return n->checkpoint != NULL;
}

/* The last row of the tenant at or after that size. Looked for in halves, so
 * that a long list is not walked. */
ag_err
proof_newest(struct history *h, struct ag_ctx *ctx, uint64_t over,
    Ag__Checkpoint **out)
{
	const char *tenant = ag_grant(ctx)->tenant;
	struct newest n = { .ctx = ctx, .tenant = tenant,
		.key_len = strlen(tenant) + 1 };
	uint8_t key[TENANT_KEY];
	uint64_t low = over, high = h->head + 1;
	ag_err err = AG_OK;

	*out = NULL;
	memcpy(key, tenant, n.key_len);
	while (err == AG_OK && low < high) {
		uint64_t mid = high - low > 4096 ? low + (high - low) / 2 : low;

		ag_put_be64(key + n.key_len, mid);
		n.checkpoint = NULL;
		err = ag_store_scan(ctx, T_CHECKPOINTS, key, n.key_len + 8,
		    visit_newest, &n);
		if (n.checkpoint != NULL)
			*out = n.checkpoint;
		/* The scan went to the tenant's last row: nothing is newer. */
		if (n.checkpoint != NULL || mid == low)
			break;
		high = mid;
	}
	return err;
}

static ag_err
answer(struct history *h, struct ag_ctx *ctx, const struct found *found,
    Ag__Checkpoint *checkpoint)
{
	Ag__AuditProofReply reply = AG__AUDIT_PROOF_REPLY__INIT;
	uint8_t *leaf = ag_alloc(ctx, AG_HASH_BYTES);
	struct proving *p;
	ag_err err;

	if (leaf == NULL)
		return AG_NO_MEMORY;
	if ((err = tree_begin(h, ctx, checkpoint->size, &p)) != AG_OK)
		return err;
	if ((err = tree_leaf(p, found->seq - 1, leaf)) == AG_OK)
		err = path(p, found->seq - 1);
	tree_end(p);
	if (err != AG_OK || (err = tree_take(p, ctx, &reply.path_b64,
	        &reply.n_path_b64)) != AG_OK)
		return err;
	reply.event_id = ag_grant(ctx)->resource_id;
	reply.leaf_hash_b64.data = leaf;
	reply.leaf_hash_b64.len = AG_HASH_BYTES;
	reply.index = found->seq - 1;
	reply.size = checkpoint->size;
	reply.checkpoint = checkpoint;
	return ag_reply(ctx, AG_MSG_AUDIT_PROOF, &reply);
}

static ag_err proof_later(void *state, struct ag_ctx *ctx, ag_err status,
    const void *msg, void *memo);

static ag_err
proof_step(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct history *h = state;
	struct proof *proof = memo;
	Ag__Checkpoint *checkpoint;
	bool more = false;
	ag_err err = status;

	(void)msg;
	if (err == AG_OK && (err = index_cut(h, ctx)) == AG_OK &&
	    proof->found.pos < h->first)
		return ag_refuse(ctx, AG_ITEM_NOT_FOUND, NULL, NULL,
		    "there is no such event"); /* any more */
	if (err == AG_OK)
		err = tree_step(h, &more);
	if (err != AG_OK)
		return err;
	if (more)
		return ag_after(ctx, 0, proof_step, proof, sizeof(*proof));
	err = proof_newest(h, ctx, proof->found.seq, &checkpoint);
	if (err != AG_OK)
		return err;
	if (checkpoint != NULL)
		return answer(h, ctx, &proof->found, checkpoint);
	/* Recorded, but not signed yet: a head is never a second away. */
	if (proof->tries++ == TRIES_MAX)
		return ag_refuse(ctx, AG_UNAVAILABLE, "audit", NULL,
		    "no checkpoint covers the event yet");
	return ag_after(ctx, RETRY_MS, proof_later, proof, sizeof(*proof));
}

static ag_err
proof_later(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	(void)msg;
	if (status != AG_OK)
		return status;
	return head_ask(state, ctx, proof_step, memo, sizeof(struct proof));
}

static ag_err
on_proof_found(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct proof proof = { .tries = 0 };

	if (status == AG_ITEM_NOT_FOUND)
		return ag_refuse(ctx, AG_ITEM_NOT_FOUND, NULL, NULL,
		    "there is no such event");
	if (status != AG_OK)
		return status;
	proof.found = *(struct found *)memo;
	return proof_step(state, ctx, AG_OK, msg, &proof);
}

ag_err
on_audit_proof(void *state, struct ag_ctx *ctx, const void *msg)
{
	(void)msg;
	return find_event(state, ctx, ag_grant(ctx)->resource_id, on_proof_found);
}
