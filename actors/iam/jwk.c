/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JWK sets (RFC 7517, RFC 7518 §6, RFC 8037) and the signatures made with
 * their keys. A key has one algorithm, given by what it is and never by the
 * token, so there is nothing to confuse.
 */
#include "jwk.h"

#include <jansson.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <string.h>

enum {
	P256_BYTES = 32,
	RSA_BITS_MIN = 2048, RSA_BYTES_MAX = 1024,
	ED25519_BYTES = 32, ED25519_SIGNATURE = 64,
};

static const struct {
	const char *name;
	enum iam_alg alg;
} algs[] = {
	{ "ES256", IAM_ES256 }, { "RS256", IAM_RS256 },
	{ "EdDSA", IAM_EDDSA }, { "HS256", IAM_HS256 },
};

enum iam_alg
iam_alg_named(const char *name)
{
	for (size_t i = 0; i < sizeof(algs) / sizeof(algs[0]); i++)
		if (strcmp(algs[i].name, name) == 0)
			return algs[i].alg;
	return 0;
}

/* ------------------------------------------------------------------- keys */

static bool
member(const json_t *jwk, const char *name, uint8_t *out, size_t size,
    size_t *len)
{
	const json_t *v = json_object_get(jwk, name);

	return json_is_string(v) && ag_base64url_parse(json_string_value(v),
	    json_string_length(v), out, size, len);
}

static EVP_PKEY *
from_params(const char *type, OSSL_PARAM_BLD *build)
{
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY *pkey = NULL;

	if (params == NULL || ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
		pkey = NULL;
	EVP_PKEY_CTX_free(ctx);
	OSSL_PARAM_free(params);
	return pkey;
}

/* The point is on the curve, the modulus is one. */
static EVP_PKEY *
checked(EVP_PKEY *pkey)
{
	EVP_PKEY_CTX *ctx = pkey == NULL ? NULL : EVP_PKEY_CTX_new(pkey, NULL);
	bool good = ctx != NULL && EVP_PKEY_public_check(ctx) == 1;

	EVP_PKEY_CTX_free(ctx);
	if (good)
		return pkey;
	EVP_PKEY_free(pkey);
	return NULL;
}

static EVP_PKEY *
make_ec(const json_t *jwk)
{
	uint8_t point[1 + 2 * P256_BYTES + 3] = { 4 }; /* uncompressed */
	OSSL_PARAM_BLD *build;
	EVP_PKEY *pkey = NULL;
	size_t x, y;

	/* RFC 7518 §6.2.1.2: exactly as long as the field. */
	if (!member(jwk, "x", point + 1, P256_BYTES + 3, &x) ||
	    x != P256_BYTES || !member(jwk, "y", point + 1 + P256_BYTES,
	    P256_BYTES + 3, &y) || y != P256_BYTES)
		return NULL;
	if ((build = OSSL_PARAM_BLD_new()) == NULL)
		return NULL;
	if (OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME,
	    "P-256", 0) == 1 && OSSL_PARAM_BLD_push_octet_string(build,
	    OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * P256_BYTES) == 1)
		pkey = checked(from_params("EC", build));
	OSSL_PARAM_BLD_free(build);
	return pkey;
}

static EVP_PKEY *
make_rsa(const json_t *jwk)
{
	uint8_t modulus[RSA_BYTES_MAX + 3], exponent[8 + 3];
	size_t n_len, e_len;
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	BIGNUM *n = NULL, *e = NULL;
	EVP_PKEY *pkey = NULL;

	if (build != NULL && member(jwk, "n", modulus, sizeof(modulus), &n_len) &&
	    member(jwk, "e", exponent, sizeof(exponent), &e_len)) {
		n = BN_bin2bn(modulus, (int)n_len, NULL);
		e = BN_bin2bn(exponent, (int)e_len, NULL);
	}
	if (n != NULL && e != NULL && BN_num_bits(n) >= RSA_BITS_MIN &&
	    BN_num_bits(n) <= RSA_BYTES_MAX * 8 && BN_is_odd(e) &&
	    !BN_is_one(e) &&
	    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
	    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) == 1)
		pkey = checked(from_params("RSA", build));
	BN_free(n);
	BN_free(e);
	OSSL_PARAM_BLD_free(build);
	return pkey;
}

static EVP_PKEY *
make_ed25519(const json_t *jwk)
{
	uint8_t x[ED25519_BYTES + 3];
	size_t len;

	if (!member(jwk, "x", x, sizeof(x), &len) || len != ED25519_BYTES)
		return NULL;
	return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, x, len);
}

static const struct kind {
	const char *kty, *crv; /* crv NULL: there is none */
	enum iam_alg alg;
	const char *name;
	EVP_PKEY *(*make)(const json_t *jwk);
} kinds[] = {
	{ "EC", "P-256", IAM_ES256, "ES256", make_ec },
	{ "RSA", NULL, IAM_RS256, "RS256", make_rsa },
	{ "OKP", "Ed25519", IAM_EDDSA, "EdDSA", make_ed25519 },
};

static bool
is_word(const json_t *jwk, const char *name, const char *word)
{
	const char *text = json_string_value(json_object_get(jwk, name));

	return text != NULL && strcmp(text, word) == 0;
}

/* NULL: a key that is not for what we verify; no reason to refuse the rest. */
static const struct kind *
kind_of(const json_t *jwk)
{
	if (json_object_get(jwk, "use") != NULL && !is_word(jwk, "use", "sig"))
		return NULL;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const struct kind *k = &kinds[i];

		if (!is_word(jwk, "kty", k->kty) ||
		    (k->crv != NULL && !is_word(jwk, "crv", k->crv)))
			continue;
		return json_object_get(jwk, "alg") == NULL ||
		    is_word(jwk, "alg", k->name) ? k : NULL;
	}
	return NULL;
}

static const char *
take(struct iam_jwks *set, const json_t *jwk)
{
	const struct kind *kind = kind_of(jwk);
	const char *kid = json_string_value(json_object_get(jwk, "kid"));
	struct iam_jwk *key = &set->keys[set->count];

	if (json_object_get(jwk, "d") != NULL || json_object_get(jwk, "k") != NULL)
		return "private"; /* published by mistake: burnt */
	if (kind == NULL)
		return NULL;
	if (kid == NULL || kid[0] == '\0' || strlen(kid) > IAM_KID_MAX)
		return "kid";
	if (iam_jwks_find(set, kid) != NULL)
		return "kid-twice";
	if (set->count == IAM_FOREIGN_KEYS_MAX)
		return "too-many";
	if ((key->pkey = kind->make(jwk)) == NULL)
		return "key";
	strcpy(key->kid, kid);
	key->alg = kind->alg;
	set->count++;
	return NULL;
}

ag_err
iam_jwks_parse(const char *text, size_t len, struct iam_jwks *out,
    const char **why)
{
	json_t *json = len > IAM_JWKS_BYTES_MAX ? NULL :
	    json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	json_t *keys = json_object_get(json, "keys"), *jwk;
	size_t i;

	memset(out, 0, sizeof(*out));
	*why = json_is_array(keys) ? NULL : "json";
	json_array_foreach(keys, i, jwk)
		if (*why == NULL)
			*why = take(out, jwk);
	if (*why == NULL && out->count == 0)
		*why = "no-key";
	json_decref(json);
	ERR_clear_error();
	if (*why == NULL)
		return AG_OK;
	iam_jwks_free(out);
	return AG_CORRUPT;
}

void
iam_jwks_free(struct iam_jwks *set)
{
	for (unsigned i = 0; i < set->count; i++)
		EVP_PKEY_free(set->keys[i].pkey);
	memset(set, 0, sizeof(*set));
}

const struct iam_jwk *
iam_jwks_find(const struct iam_jwks *set, const char *kid)
{
	for (unsigned i = 0; i < set->count; i++)
		if (strcmp(set->keys[i].kid, kid) == 0)
			return &set->keys[i];
	return NULL;
}

/* -------------------------------------------------------------- signatures */

/* r and s, 32 bytes each (RFC 7518 §3.4), as OpenSSL wants them. */
static unsigned char *
ecdsa_der(const uint8_t *signature, size_t len, int *der_len)
{
	ECDSA_SIG *sig = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(signature, P256_BYTES, NULL);
	BIGNUM *s = BN_bin2bn(signature + P256_BYTES, P256_BYTES, NULL);
	unsigned char *der = NULL;

	if (len != 2 * P256_BYTES || sig == NULL || r == NULL || s == NULL ||
	    ECDSA_SIG_set0(sig, r, s) != 1) {
		BN_free(r);
		BN_free(s);
	} else {
		*der_len = i2d_ECDSA_SIG(sig, &der);
	}
	ECDSA_SIG_free(sig);
	return der;
}

static bool
verified(const struct iam_jwk *key, const uint8_t *signature, size_t len,
    const struct iam_jwt *jwt)
{
	const EVP_MD *hash = key->alg == IAM_EDDSA ? NULL : EVP_sha256();
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool good = md != NULL &&
	    EVP_DigestVerifyInit(md, NULL, hash, NULL, key->pkey) == 1 &&
	    EVP_DigestVerify(md, signature, len, (const uint8_t *)jwt->header,
	    jwt->header_len + 1 + jwt->payload_len) == 1;

	EVP_MD_CTX_free(md);
	ERR_clear_error();
	return good;
}

bool
iam_jwk_verify(const struct iam_jwk *key, const struct iam_jwt *jwt)
{
	uint8_t signature[IAM_SIGNATURE_MAX + 3];
	unsigned char *der;
	size_t len;
	int der_len = 0;
	bool good;

	if (iam_jwt_signature(jwt, signature, sizeof(signature), &len) != NULL)
		return false;
	if (key->alg != IAM_ES256)
		return verified(key, signature, len, jwt);
	if (len != 2 * P256_BYTES)
		return false;
	der = ecdsa_der(signature, len, &der_len);
	good = der != NULL && der_len > 0 &&
	    verified(key, der, (size_t)der_len, jwt);
	OPENSSL_free(der);
	return good;
}

bool
iam_hs256_verify(struct ag_secret *secret, const struct iam_jwt *jwt)
{
	uint8_t given[32 + 3], mac[32];
	unsigned mac_len = 0;
	size_t len;

	if (iam_jwt_signature(jwt, given, sizeof(given), &len) != NULL ||
	    len != sizeof(mac))
		return false;
	return HMAC(EVP_sha256(), ag_secret_bytes(secret),
	    (int)ag_secret_len(secret), (const uint8_t *)jwt->header,
	    jwt->header_len + 1 + jwt->payload_len, mac, &mac_len) != NULL &&
	    mac_len == sizeof(mac) && ag_secret_equal(mac, given, sizeof(mac));
}
