/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A credential on its way: the root of trust holds the issuer's key, so a
 * token is signed there, and only then is it journaled and shown. Until then
 * it is a draft; a draft that dies leaves nothing.
 */
#include "credentials.h"
#include "exec.h"
#include "handlers.h"
#include "iam.h"

#include <stdlib.h>
#include <string.h>

struct signing {
	struct iam_draft *draft;
	iam_signed *then;
};

static void
draft_free(struct iam *iam, struct iam_draft *d)
{
	if (d->token != NULL)
		ag_wipe(d->token, strlen(d->token));
	free(d->token);
	free(d->input);
	free(d->packed);
	for (size_t i = 0; i < d->scope_count; i++)
		free(d->scopes[i]);
	free(d->scopes);
	free(d);
	iam->drafts--;
}

/* It is signed and used, or it came to nothing. */
static void
draft_end(struct iam *iam, struct ag_ctx *ctx, struct iam_draft *d, ag_err err)
{
	if (d->token == NULL && d->failed != NULL)
		d->failed(iam, ctx, err);
	draft_free(iam, d);
}

ag_err
iam_draft_new(struct iam *iam, struct ag_ctx *ctx, struct iam_draft **out)
{
	struct iam_draft *d;
	uint8_t uuid[AG_UUID_BYTES];

	if (iam->drafts >= IAM_DRAFTS_MAX)
		return AG_FULL;
	d = calloc(1, sizeof(*d));
	if (d == NULL)
		return AG_NO_MEMORY;
	ag_uuid7(ag_now_ms(ctx), uuid);
	ag_uuid_text(uuid, d->jti);
	iam->drafts++;
	*out = d;
	return AG_OK;
}

ag_err
iam_draft_keep(struct iam_draft *d, const void *msg, char *const *scopes,
    size_t count)
{
	if ((d->scopes = calloc(count + 1, sizeof(*d->scopes))) == NULL)
		return AG_NO_MEMORY;
	for (size_t i = 0; i < count; i++) {
		if ((d->scopes[i] = strdup(scopes[i])) == NULL)
			return AG_NO_MEMORY;
		d->scope_count = i + 1;
	}
	/* Last: a draft that has it is whole, and may be signed. */
	d->packed_len = protobuf_c_message_get_packed_size(msg);
	if ((d->packed = malloc(d->packed_len + 1)) == NULL)
		return AG_NO_MEMORY;
	protobuf_c_message_pack(msg, d->packed);
	return AG_OK;
}

unsigned
iam_rot_slot(struct ag_ctx *ctx)
{
	unsigned slot = ag_slot_named(ctx, "software");

	return slot != AG_SLOT_NONE ? slot : ag_slot(ctx, AG_ROLE_ROT, 0);
}

ag_err
iam_rot_secret(struct ag_ctx *ctx, const char *purpose, ag_then *then)
{
	Ag__RotSecretAsk ask = AG__ROT_SECRET_ASK__INIT;

	ask.purpose = (char *)purpose;
	ask.reply_key.data = (uint8_t *)(uintptr_t)ag_seal_key(ctx);
	ask.reply_key.len = AG_SEAL_KEY_BYTES;
	return ag_ask(ctx, iam_rot_slot(ctx), AG_MSG_ROT_SECRET_ASK, &ask,
	    AG_MSG_ROT_SECRET_REPLY, IAM_ROT_TIMEOUT_MS, then, NULL, 0);
}

static ag_err ask_signature(struct iam *iam, struct ag_ctx *ctx,
    const struct signing *signing);

static ag_then sign_again;

static ag_err
take_signature(struct iam *iam, struct ag_ctx *ctx, struct signing *s,
    const Ag__RotSignReply *reply)
{
	struct iam_draft *d = s->draft;

	if (strcmp(reply->key_id, d->kid) != 0) {
		/* The issuer key was replaced: once more, with the new one. The
		 * timer fetches it: an ask from here would be this trip's. */
		iam->keys_wanted = true;
		if (d->retried)
			return ag_refuse(ctx, AG_UNAVAILABLE, "rot", NULL,
			    "The issuer key is changing.");
		d->retried = true;
		return ag_after(ctx, IAM_KEYS_SETTLE_MS, sign_again, s,
		    sizeof(*s));
	}
	d->token = iam_jwt_finish(d->input, reply->signature.data,
	    reply->signature.len);
	return d->token == NULL ? AG_GENERAL_FAILURE : s->then(iam, ctx, d);
}

static ag_err
on_signature(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct iam *iam = state;
	struct signing s = *(struct signing *)memo;
	bool again = false;
	ag_err err;

	if (status == AG_OK) {
		bool retried = s.draft->retried;

		err = take_signature(iam, ctx, &s, msg);
		again = err == AG_PENDING && s.draft->token == NULL &&
		    s.draft->retried && !retried;
	} else {
		ag_log(ctx, AG_WARN, "SIGN-FAILED", "err=%s",
		    ag_err_row(status)->name);
		err = ag_refuse(ctx, AG_UNAVAILABLE, "rot", NULL,
		    "The root of trust did not sign.");
	}
	if (!again)
		draft_end(iam, ctx, s.draft, err);
	return err;
}

static ag_err
ask_signature(struct iam *iam, struct ag_ctx *ctx, const struct signing *signing)
{
	struct iam_draft *d = signing->draft;
	const struct iam_issuer_key *key = iam_keyring_current(&iam->ring,
	    ag_now_ms(ctx));
	Ag__RotSignAsk ask = AG__ROT_SIGN_ASK__INIT;

	if (key == NULL)
		return ag_refuse(ctx, AG_UNAVAILABLE, "rot", NULL,
		    "There is no issuer key.");
	strcpy(d->kid, key->kid);
	free(d->input);
	d->input = iam_jwt_input(d->kid, iam->audience, &d->claims, d->scopes,
	    d->scope_count);
	if (d->input == NULL)
		return AG_NO_MEMORY;
	ask.purpose = (char *)"issuer";
	ask.message.data = (uint8_t *)d->input;
	ask.message.len = strlen(d->input);
	return ag_ask(ctx, iam_rot_slot(ctx), AG_MSG_ROT_SIGN_ASK, &ask,
	    AG_MSG_ROT_SIGN_REPLY, IAM_ROT_TIMEOUT_MS, on_signature, signing,
	    sizeof(*signing));
}

static ag_err
sign_again(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct iam *iam = state;
	struct signing s = *(struct signing *)memo;
	ag_err err = ask_signature(iam, ctx, &s);

	if (err != AG_PENDING)
		draft_end(iam, ctx, s.draft, err);
	return err;
}

ag_err
iam_draft_sign(struct iam *iam, struct ag_ctx *ctx, struct iam_draft *draft,
    iam_signed *then)
{
	struct signing s = { draft, then };
	ag_err err;

	strcpy(draft->claims.jti, draft->jti);
	draft->claims.iat_ms = draft->issued_at;
	draft->claims.exp_ms = draft->expires_at;
	err = draft->packed == NULL ? AG_NO_MEMORY :
	    ask_signature(iam, ctx, &s);
	if (err != AG_PENDING)
		draft_free(iam, draft);
	return err;
}

/* ------------------------------------------------------------ public keys */

static ag_err
on_keys(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct iam *iam = state;
	const Ag__RotKeysReply *reply = msg;
	struct iam_keyring fresh = { 0 };
	ag_err err = status;

	iam->asking_keys = false;
	for (size_t i = 0; err == AG_OK && i < reply->n_keys; i++)
		err = iam_keyring_add(&fresh, reply->keys[i]);
	if (err != AG_OK || fresh.count == 0) {
		iam_keyring_fini(&fresh);
		ag_log(ctx, AG_WARN, "ISSUER-KEYS", "err=%s",
		    ag_err_row(err)->name);
		return AG_OK; /* the timer asks again */
	}
	if (iam_keyring_same(&iam->ring, &fresh)) {
		iam_keyring_fini(&fresh);
		iam_boot_continue(iam, ctx);
		return AG_OK;
	}
	/* A key that went must not live on in the cache. */
	iam_keyring_fini(&iam->ring);
	iam->ring = fresh;
	iam_cache_clear(&iam->cache);
	iam_boot_continue(iam, ctx);
	return AG_OK;
}

void
iam_fetch_keys(struct iam *iam, struct ag_ctx *ctx)
{
	Ag__RotKeysAsk ask = AG__ROT_KEYS_ASK__INIT;

	if (iam->asking_keys)
		return;
	ask.purpose = (char *)"issuer";
	iam->asking_keys = ag_ask(ctx, iam_rot_slot(ctx), AG_MSG_ROT_KEYS_ASK, &ask,
	    AG_MSG_ROT_KEYS_REPLY, IAM_ROT_TIMEOUT_MS, on_keys, NULL, 0) ==
	    AG_PENDING;
}

ag_err
iam_on_jwks(void *state, struct ag_ctx *ctx, const void *msg)
{
	struct iam *iam = state;
	Ag__JwksReply reply = AG__JWKS_REPLY__INIT;
	Ag__Jwk *jwk = ag_alloc(ctx, IAM_ISSUER_KEYS_MAX * sizeof(*jwk));
	int64_t now = ag_now_ms(ctx);

	reply.keys = iam_array(ctx, IAM_ISSUER_KEYS_MAX);
	if (jwk == NULL || reply.keys == NULL)
		return AG_NO_MEMORY;
	for (unsigned i = 0; i < iam->ring.count; i++) {
		const struct iam_issuer_key *key = &iam->ring.keys[i];
		char *x = ag_alloc(ctx, ag_base64_size(sizeof(key->raw)));

		if (x == NULL)
			return AG_NO_MEMORY;
		if (key->until_at <= now)
			continue;
		ag_base64url(key->raw, sizeof(key->raw), x);
		ag__jwk__init(&jwk[i]);
		jwk[i].kty = (char *)"OKP";
		jwk[i].crv = (char *)"Ed25519";
		jwk[i].x = x;
		jwk[i].kid = (char *)key->kid;
		jwk[i].alg = (char *)"EdDSA";
		jwk[i].use = (char *)"sig";
		reply.keys[reply.n_keys++] = &jwk[i];
	}
	return ag_reply(ctx, AG_MSG_JWKS_REPLY, &reply);
}
