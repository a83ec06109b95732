/* SPDX-License-Identifier: Apache-2.0 */
/* Other issuers' public keys (RFC 7517) and the algorithms they sign with. */
#ifndef AEGIS_ACTORS_IAM_JWK_H
#define AEGIS_ACTORS_IAM_JWK_H

#include "iam.h"

enum iam_alg {
	IAM_ES256 = 1 << 0, IAM_RS256 = 1 << 1, IAM_EDDSA = 1 << 2,
	IAM_HS256 = 1 << 3,
};
enum {
	IAM_JWKS_BYTES_MAX = 64 << 10, /* of a file */
	IAM_SIGNATURE_MAX = 1024,      /* bytes: RSA of 8192 bits */
	IAM_SECRET_MIN = 32, IAM_SECRET_MAX = 1024, /* bytes, of HS256 */
};

struct iam_jwk {
	char kid[IAM_KID_MAX + 1];
	enum iam_alg alg;
	EVP_PKEY *pkey;
};
struct iam_jwks {
	struct iam_jwk keys[IAM_FOREIGN_KEYS_MAX];
	unsigned count;
};

/* 0: none of ours. */
enum iam_alg iam_alg_named(const char *name);
/*
 * Keys of other kinds than ES256, RS256 and EdDSA sign with are passed over;
 * one that is malformed, weak, private, without kid, or whose kid another has
 * makes the whole set bad (AG_CORRUPT, why: a word for the log).
 */
ag_err iam_jwks_parse(const char *text, size_t len, struct iam_jwks *out,
    const char **why) AG_MUST;
void iam_jwks_free(struct iam_jwks *set);
/* NULL: no such kid. */
const struct iam_jwk *iam_jwks_find(const struct iam_jwks *set, const char *kid);
/* Is the signature of this token by this key? */
bool iam_jwk_verify(const struct iam_jwk *key, const struct iam_jwt *jwt)
    AG_MUST;
bool iam_hs256_verify(struct ag_secret *secret, const struct iam_jwt *jwt)
    AG_MUST;

#endif
