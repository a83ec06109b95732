/* SPDX-License-Identifier: Apache-2.0 */
/* token.c: JWTs, and those of our own issuer; pure but for OpenSSL */
#ifndef AEGIS_ACTORS_IAM_JWT_H
#define AEGIS_ACTORS_IAM_JWT_H

#include <aegis/aegis.h>

#include <openssl/evp.h>

#include "bounds.h"
#include "directory.h"

struct iam_issuer_key {
	char kid[64];
	EVP_PKEY *pkey;
	uint8_t raw[32];
	int64_t from_at, until_at; /* INT64_MAX: not retired */
};
struct iam_keyring {
	struct iam_issuer_key keys[IAM_ISSUER_KEYS_MAX];
	unsigned count;
	EVP_MD_CTX *md;
};

struct iam_claims {
	char sub[IAM_SUBJECT_MAX + 1], jti[IAM_JTI_MAX + 1];
	char kind[16], tenant[64], parent[64];
	int64_t iat_ms, exp_ms, nbf_ms;
};
/* A token in its parts, borrowed; only its header was looked at. */
struct iam_jwt {
	const char *header, *payload, *signature;
	size_t header_len, payload_len, signature_len;
	char alg[8];             /* "": none that is known */
	char kid[IAM_KID_MAX + 1]; /* "": none */
};
/* NULL, or the reason_code. */
const char *iam_jwt_open(const char *token, size_t len, struct iam_jwt *out);
const char *iam_jwt_signature(const struct iam_jwt *jwt, uint8_t *out,
    size_t size, size_t *len);
/* After the signature only. */
const char *iam_jwt_claims(const struct iam_jwt *jwt, const char *issuer,
    const char *audience, int64_t now_ms, struct iam_claims *out);
void iam_keyring_fini(struct iam_keyring *ring);
ag_err iam_keyring_add(struct iam_keyring *ring, const Ag__RotKey *key) AG_MUST;
/* Does the token say that one of these, retired or not, signed it? */
bool iam_keyring_has(const struct iam_keyring *ring, const struct iam_jwt *jwt);
bool iam_keyring_same(const struct iam_keyring *a, const struct iam_keyring *b);
/* When the token's key ends; INT64_MAX: not yet known to. */
int64_t iam_keyring_until(const struct iam_keyring *ring,
    const struct iam_jwt *jwt);
/* The one that signs now, or NULL. */
const struct iam_issuer_key *iam_keyring_current(const struct iam_keyring *ring,
    int64_t now_ms);
/* NULL if the token is good (out is then whole, as it is for one that only
 * expired); otherwise the reason_code. */
const char *iam_jwt_verify(struct iam_keyring *ring, const char *audience,
    const struct iam_jwt *jwt, int64_t now_ms, struct iam_claims *out);
/* authn.c. The signature is good: is it the credential that the journal knows? */
bool iam_token_known(const struct iam_token *token,
    const struct iam_claims *claims);
/* header.payload, malloc'd; NULL: no memory. scopes may be NULL. */
char *iam_jwt_input(const char *kid, const char *audience,
    const struct iam_claims *claims, char *const *scopes, size_t scope_count);
/* Adds the signature; malloc'd. */
char *iam_jwt_finish(const char *input, const uint8_t *signature, size_t len);

#endif
