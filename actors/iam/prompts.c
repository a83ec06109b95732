/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prompts: what a host says somebody asked of a model. The text ends here,
 * unless audit.prompts wants it in the log: what goes on is its HMAC-SHA256
 * under a key of the root of trust, by tenant, so that who has a text can have
 * it compared and who has the log cannot guess it. A text that is kept goes on
 * without what looks like a secret: nobody behind iam sees that.
 */
#include "call.h"

#include "audit/guard.h"
#include "credentials.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

enum {
	PROMPT_KEY = 32,
	PROMPT_HASH = 32,
	SHOWN = 16, /* bytes of the hash of what was taken out, as in audit/redact.c */
	GROWTH = 5, /* 53 characters at most instead of 11 at least (a PEM label) */
};

static ag_err
on_key(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct iam *iam = state;
	const Ag__RotSecretReply *reply = msg;
	ag_err err = status;

	(void)memo;
	iam->asking_prompt_key = false;
	if (err == AG_OK && iam->prompt_key == NULL)
		err = ag_unseal(ctx, reply->material, &iam->prompt_key);
	if (err == AG_OK && ag_secret_len(iam->prompt_key) != PROMPT_KEY) {
		ag_secret_free(&iam->prompt_key);
		err = AG_BAD_MESSAGE;
	}
	if (err != AG_OK)
		ag_log(ctx, AG_WARN, "PROMPT-KEY", "err=%s", ag_err_row(err)->name);
	return AG_OK; /* the next prompt asks again */
}

static void
fetch_key(struct iam *iam, struct ag_ctx *ctx)
{
	if (iam->asking_prompt_key)
		return;
	iam->asking_prompt_key = iam_rot_secret(ctx, "prompts", on_key) ==
	    AG_PENDING;
}

static bool
hash_of(struct call *c, const char *value, size_t value_len,
    uint8_t out[PROMPT_HASH])
{
	const char *tenant = c->node->tenant->name;
	size_t tenant_len = strlen(tenant) + 1;
	uint8_t *text = ag_alloc(c->ctx, tenant_len + value_len);
	unsigned len = 0;

	if (text == NULL)
		return false;
	memcpy(text, tenant, tenant_len); /* with its NUL: no two say the same */
	memcpy(text + tenant_len, value, value_len);
	return HMAC(EVP_sha256(), ag_secret_bytes(c->iam->prompt_key), PROMPT_KEY,
	    text, tenant_len + value_len, out, &len) != NULL && len == PROMPT_HASH;
}

/* As audit replaces it elsewhere, under the key of prompts: the same secret in
 * two prompts is found again. A card is hashed however it is spelt. */
static const char *
replacement(struct call *c, const struct guard_hit *hit)
{
	char digits[GUARD_CARD_DIGITS_MAX], shown[2 * SHOWN + 1];
	const char *value = c->rq->prompt + hit->at;
	uint8_t hash[PROMPT_HASH];
	size_t len = hit->len;
	bool ok;

	if (strcmp(hit->what, "card") == 0) {
		len = guard_digits(value, len, digits);
		value = digits;
	}
	ok = hash_of(c, value, len, hash);
	ag_wipe(digits, sizeof(digits));
	if (!ok)
		return NULL;
	ag_hex(hash, SHOWN, shown);
	return ag_printf(c->ctx, "[redacted:%s:%s]", hit->what, shown);
}

/* The text as it may go on; NULL: no memory. */
static char *
guarded(struct call *c)
{
	char *text = c->rq->prompt, *out, *to;
	size_t len = strlen(text), from = 0;
	struct guard_hit hit;
	struct guard g;

	guard_begin(&g, text, len);
	if (!guard_next(&g, &hit))
		return text;
	if ((out = to = ag_alloc(c->ctx, GROWTH * len + 1)) == NULL)
		return NULL;
	do {
		const char *instead = replacement(c, &hit);

		if (instead == NULL)
			return NULL;
		to = mempcpy(to, text + from, hit.at - from);
		to = stpcpy(to, instead);
		from = hit.at + hit.len;
	} while (guard_next(&g, &hit));
	memcpy(to, text + from, len - from + 1);
	return out;
}

/* Asked for at the first prompt: most fleets never see one. Until the key is
 * there, a request that brings one waits for it by coming again. */
ag_err
iam_prompt(struct call *c)
{
	uint8_t *hash;

	if (c->rq->prompt == NULL)
		return AG_OK;
	if (c->iam->prompt_key == NULL) {
		fetch_key(c->iam, c->ctx);
		ag_refuse_retry(c->ctx, 1);
		return REFUSE(c, AG_UNAVAILABLE, "rot", NULL,
		    "The key for prompts is not there yet.");
	}
	if ((hash = ag_alloc(c->ctx, PROMPT_HASH)) == NULL ||
	    !hash_of(c, c->rq->prompt, strlen(c->rq->prompt), hash))
		return AG_NO_MEMORY;
	c->grant.has_prompt_hash = true;
	c->grant.prompt_hash.data = hash;
	c->grant.prompt_hash.len = PROMPT_HASH;
	c->grant.has_prompt_keyed = c->grant.prompt_keyed = true;
	if (strcmp(ag_config_str(c->ctx, "audit.prompts", 0), "text") == 0 &&
	    (c->grant.prompt = guarded(c)) == NULL)
		return AG_NO_MEMORY;
	return AG_OK;
}
