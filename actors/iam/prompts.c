/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prompts: what a host says somebody asked of a model. The text ends here,
 * unless audit.prompts wants it in the log: what goes on is its HMAC-SHA256
 * under a key of the root of trust, by tenant, so that who has a text can have
 * it compared and who has the log cannot guess it.
 */
#include "call.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

enum { PROMPT_KEY = 32, PROMPT_HASH = 32 };

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
hash_prompt(struct call *c, uint8_t *out)
{
	const char *tenant = c->node->tenant->name, *prompt = c->rq->prompt;
	size_t tenant_len = strlen(tenant) + 1, prompt_len = strlen(prompt);
	uint8_t *text = ag_alloc(c->ctx, tenant_len + prompt_len);
	unsigned len = 0;

	if (text == NULL)
		return false;
	memcpy(text, tenant, tenant_len); /* with its NUL: no two say the same */
	memcpy(text + tenant_len, prompt, prompt_len);
	return HMAC(EVP_sha256(), ag_secret_bytes(c->iam->prompt_key), PROMPT_KEY,
	    text, tenant_len + prompt_len, out, &len) != NULL && len == PROMPT_HASH;
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
	if ((hash = ag_alloc(c->ctx, PROMPT_HASH)) == NULL || !hash_prompt(c, hash))
		return AG_NO_MEMORY;
	c->grant.has_prompt_hash = true;
	c->grant.prompt_hash.data = hash;
	c->grant.prompt_hash.len = PROMPT_HASH;
	c->grant.has_prompt_keyed = c->grant.prompt_keyed = true;
	if (strcmp(ag_config_str(c->ctx, "audit.prompts", 0), "text") == 0)
		c->grant.prompt = c->rq->prompt;
	return AG_OK;
}
