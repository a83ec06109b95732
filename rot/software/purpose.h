/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fleet's own keys: what signs tokens and checkpoints, and one secret each
 * for those who keep something sealed. Both are replaced by the clock. The
 * issuer's old key stays valid, and is shown, until its overlap ends; the one
 * that signed checkpoints is erased when the next begins, and shown for ever.
 */
#ifndef SOFTWARE_PURPOSE_H
#define SOFTWARE_PURPOSE_H

#include "vault.h"

#include <openssl/evp.h>

enum {
	PURPOSES = 2,
	PURPOSE_KEYS_MAX = 8,     /* of one purpose that are not over */
	PURPOSE_SHOWN_MAX = 64,   /* of those that are shown for ever */
	PURPOSE_ID_TEXT = 17,     /* 16 hex digits and NUL */
	PURPOSE_LEAD_MS = 60000,  /* a key is shown so long before it signs */
};

/* Ed25519. */
struct purpose_key {
	EVP_PKEY *pkey;
	EVP_MD_CTX *signer; /* prepared, reused */
	char id[PURPOSE_ID_TEXT];
	uint32_t version;
	int64_t from_at, until_at; /* until INT64_MAX: the newest */
};
struct purpose {
	struct purpose_key keys[PURPOSE_KEYS_MAX]; /* oldest first */
	unsigned count;
	uint32_t last_version;
	int64_t rotate_ms; /* 0: its key stays */
	int64_t overlap_ms;
};
struct purposes {
	struct purpose of[PURPOSES];
};

/* Made at the first start. Says in the log why not. */
ag_err purposes_open(struct purposes *p, struct vault *v, struct ag_ctx *ctx)
    AG_MUST;
void purposes_close(struct purposes *p);
/* What is due: a new key, and the end of old ones. */
void purposes_tick(struct purposes *p, struct vault *v, struct ag_ctx *ctx);
ag_err purposes_sign(struct purposes *p, struct ag_ctx *ctx,
    const Ag__RotSignAsk *ask) AG_MUST;
ag_err purposes_keys(struct purposes *p, struct ag_ctx *ctx,
    const Ag__RotKeysAsk *ask) AG_MUST;
ag_err purposes_secret(struct vault *v, struct ag_ctx *ctx,
    const Ag__RotSecretAsk *ask) AG_MUST;

#endif
