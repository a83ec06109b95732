/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sign: heads of the tenants' trees, signed by the root of trust and kept as
 * CHECKPOINT records; the signature of a cut.
 */
#include "audit.h"

#include <string.h>

enum { TEXT_MAX = 512 };

struct head {
	char tenant[AG_SEG_TENANT_MAX + 1];
	uint64_t size;
	uint8_t root[AG_HASH_BYTES];
	int64_t created_at;
};

unsigned
sign_rot(struct ag_ctx *ctx)
{
	unsigned slot = ag_slot_named(ctx, "software");

	return slot != AG_SLOT_NONE ? slot : ag_slot(ctx, AG_ROLE_ROT, 0);
}

static ag_err
ask_signature(struct ag_ctx *ctx, char *text, size_t len, ag_then *then,
    const void *memo, size_t memo_size)
{
	Ag__RotSignAsk ask = AG__ROT_SIGN_ASK__INIT;

	ask.purpose = (char *)"checkpoint";
	ask.message.data = (uint8_t *)text;
	ask.message.len = len;
	return ag_ask(ctx, sign_rot(ctx), AG_MSG_ROT_SIGN_ASK, &ask,
	    AG_MSG_ROT_SIGN_REPLY, ROT_TIMEOUT_MS, then, memo, memo_size);
}

ag_err
sign_text(struct ag_ctx *ctx, char *text, size_t len, ag_then *then)
{
	return ask_signature(ctx, text, len, then, NULL, 0);
}

/* No record is signed by a key that stands in the log only behind it. */
ag_err
sign_status(struct audit *a, ag_err status, const Ag__RotSignReply *reply)
{
	if (status != AG_OK || keys_find(a, reply->key_id) != NULL)
		return status;
	a->keys_stale = true;
	return AG_UNAVAILABLE;
}

/* ------------------------------------------------------------------ heads */

static ag_err
on_head_signed(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct audit *a = state;
	const Ag__RotSignReply *reply = msg;
	const struct head *head = memo;
	struct tenant *t = chain_tenant(a, head->tenant, false);
	Ag__Checkpoint checkpoint = AG__CHECKPOINT__INIT;

	if (t == NULL)
		return AG_OK;
	t->signing = false;
	if (sign_status(a, status, reply) != AG_OK)
		return AG_OK; /* the next tick asks again */
	checkpoint.size = head->size;
	checkpoint.root_b64.data = (uint8_t *)head->root;
	checkpoint.root_b64.len = AG_HASH_BYTES;
	checkpoint.created_at = head->created_at;
	checkpoint.key_id = reply->key_id;
	checkpoint.signature_b64 = reply->signature;
	if (chain_control(a, AG_SEG_CHECKPOINT, t->name, head->created_at,
	        &checkpoint) != AG_OK)
		return AG_OK;
	t->signed_size = head->size;
	t->signed_ms = ag_mono_ms(ctx);
	ag_metric_add(ctx, M_CHECKPOINTS, 1);
	return AG_OK;
}

static void
sign_head(struct ag_ctx *ctx, struct tenant *t)
{
	struct head head = { .size = t->tree.size, .created_at = ag_now_ms(ctx) };
	char text[TEXT_MAX];
	size_t len;

	strcpy(head.tenant, t->name);
	ag_merkle_root(&t->tree, head.root);
	len = ag_seg_checkpoint_text(text, sizeof(text), head.tenant, head.size,
	    head.root, head.created_at);
	t->signing = ask_signature(ctx, text, len, on_head_signed, &head,
	    sizeof(head)) == AG_PENDING;
}

/* Everything appended is durable here. now: the log is quiet, or somebody
 * leaves; do not wait for the second to pass. */
void
sign_heads(struct audit *a, struct ag_ctx *ctx, bool now)
{
	uint64_t mono_ms = ag_mono_ms(ctx);

	if (!ag_slot_up(ctx, sign_rot(ctx)))
		return;
	for (unsigned i = 0; i < a->tenant_count; i++) {
		struct tenant *t = a->tenants[i];

		if (t->signing || t->tree.size == t->signed_size)
			continue;
		if (now || t->tree.size - t->signed_size >= a->every_events ||
		    mono_ms - t->signed_ms >= a->every_ms)
			sign_head(ctx, t);
	}
}

/* -------------------------------------------------------------------- cut */

static ag_err
on_cut_signed(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct audit *a = state;
	const Ag__RotSignReply *reply = msg;

	(void)ctx;
	(void)memo;
	a->cut_signing = false;
	if (sign_status(a, status, reply) != AG_OK)
		return AG_OK;
	a->cut.key_id = reply->key_id;
	a->cut.has_signature = true;
	a->cut.signature = reply->signature;
	if (chain_control(a, AG_SEG_RECOVERED, "", a->cut.created_at,
	        &a->cut) == AG_OK)
		a->cut.bytes = 0;
	a->cut.key_id = NULL;
	a->cut.has_signature = false;
	return AG_OK;
}

void
sign_cut(struct audit *a, struct ag_ctx *ctx)
{
	char text[TEXT_MAX];
	size_t len;

	if (a->cut.bytes == 0 || a->cut_signing || !ag_slot_up(ctx, sign_rot(ctx)))
		return;
	len = ag_seg_recovered_text(text, sizeof(text), a->cut.segment,
	    a->cut.offset, a->cut.bytes, a->cut_digest, a->cut.pos,
	    a->cut.created_at);
	a->cut_signing = ask_signature(ctx, text, len, on_cut_signed, NULL, 0) ==
	    AG_PENDING;
}
