/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cryptography of a key version: OpenSSL's EVP over a parsed key. No
 * context, clock or message but the request's own fields.
 */
#ifndef KEYS_CRYPTO_H
#define KEYS_CRYPTO_H

#include "spec.h"

#include <openssl/evp.h>

enum {
	SIGNATURE_BYTES_MAX = 1024,
	IV_BYTES = 12,
	TAG_BYTES = 16,
	KW_MORE = 16,        /* 8 of the integrity check, up to 7 of padding */
	KW_BYTES_MAX = 16384, /* of a key that is wrapped */
	MAC_BYTES_MAX = 64,
	MAC_BYTES_MIN = 16,  /* a MAC may be cut to this (SP 800-107 §5.3.3) */
	HEADER_BYTES = 6, /* 01 ‖ algorithm ‖ key version, BE */
	CONTEXT_PAIRS_MAX = 32,
	CONTEXT_BYTES_MAX = 4096,
};

/* Why not, where there is no context to tell: a batch's items. */
struct why {
	const char *reason_code, *field, *detail;
};
ag_err no(struct why *why, ag_err err, const char *reason_code,
    const char *field, const char *detail) AG_MUST;

/* A key version ready for use. */
struct parsed {
	const struct spec *spec;
	EVP_PKEY *pkey;          /* asymmetric */
	struct ag_secret *raw;   /* symmetric */
	EVP_PKEY_CTX *sign_ctx;  /* prepared for sign_alg, reused */
	const struct algorithm *sign_alg;
	EVP_PKEY_CTX *verify_ctx;
	const struct algorithm *verify_alg;
	EVP_MD_CTX *ed_sign;     /* prepared for EdDSA */
};

/* Takes material (PKCS#8 DER or raw bytes): nulled. */
ag_err parsed_private(const struct spec *spec, struct ag_secret **material,
    struct parsed *out) AG_MUST;
ag_err parsed_public(const struct spec *spec, const uint8_t *der, size_t len,
    struct parsed *out) AG_MUST;
void parsed_fini(struct parsed *p);

/* A PEM SubjectPublicKeyInfo, alone in text, of this spec; its DER, to be
 * freed with OPENSSL_free. */
ag_err public_from_pem(const struct spec *spec, const char *pem,
    uint8_t **der, size_t *der_len, struct why *why) AG_MUST;

struct message {
	const uint8_t *data;
	size_t len;
	bool is_digest;
};
ag_err message_check(const struct algorithm *a, const struct message *m,
    struct why *why) AG_MUST;

ag_err keys_sign(struct parsed *p, const struct algorithm *a,
    const struct message *m, bool p1363, uint8_t out[SIGNATURE_BYTES_MAX],
    size_t *out_len) AG_MUST;
/* *valid; AG_OK for every signature, however malformed. */
ag_err keys_verify(struct parsed *p, const struct algorithm *a,
    const struct message *m, const uint8_t *sig, size_t sig_len, bool p1363,
    bool *valid) AG_MUST;

/* Bytes of plaintext or ciphertext, and what they are bound to. */
struct text {
	const uint8_t *in;
	size_t len;
	const uint8_t *aad;
	size_t aad_len;
};
/* Bytes that oaep_encrypt and the AEADs may write: len + RSA's modulus. */
size_t cipher_room(const struct spec *spec, size_t len);
/* Until it is off again the AEADs may keep the last key's schedule, instead of
 * making it anew for each use: on for one turn's part of a batch. */
void cipher_hold(bool on);
void cipher_forget(const struct parsed *p); /* it ends */
/* iv: random, made here. out has room for t->len. */
ag_err aead_encrypt(struct parsed *p, const struct text *t,
    uint8_t iv[IV_BYTES], uint8_t *out, uint8_t tag[TAG_BYTES]) AG_MUST;
ag_err aead_decrypt(struct parsed *p, const struct text *t,
    const uint8_t iv[IV_BYTES], const uint8_t tag[TAG_BYTES], uint8_t *out)
    AG_MUST;
ag_err oaep_encrypt(struct parsed *p, const struct algorithm *a,
    const struct text *t, uint8_t *out, size_t *out_len) AG_MUST;
ag_err oaep_decrypt(struct parsed *p, const struct algorithm *a,
    const struct text *t, uint8_t *out, size_t *out_len) AG_MUST;

/*
 * RFC 3394 (AES_KW: n ≥ 16, a multiple of 8) and RFC 5649 (AES_KWP). A wrapped
 * key has at most KW_MORE bytes more than the key; out has room for that.
 */
ag_err kw_wrap(struct parsed *p, const struct algorithm *a, const uint8_t *in,
    size_t len, uint8_t *out, size_t *out_len) AG_MUST;
/* out has room for len. AG_CRYPTOGRAPHIC_FAILURE for whatever does not open. */
ag_err kw_unwrap(struct parsed *p, const struct algorithm *a, const uint8_t *in,
    size_t len, uint8_t *out, size_t *out_len) AG_MUST;
/* HMAC (FIPS 198-1): a->size bytes. */
ag_err keys_mac(struct parsed *p, const struct algorithm *a, const uint8_t *data,
    size_t len, uint8_t out[MAC_BYTES_MAX]) AG_MUST;

/*
 * AAD of an Aegis ciphertext: tenant, key id, version (4 bytes BE), context,
 * each preceded by its length (4 bytes BE). The context of pairs: sorted by
 * key, key and value each preceded by its length; of aad_b64: those bytes.
 * In the turn's arena.
 */
ag_err context_bytes(struct ag_ctx *ctx, Ag__Pair *const *pairs, size_t n,
    uint8_t **out, size_t *len, struct why *why) AG_MUST;
ag_err bound_aad(struct ag_ctx *ctx, const char *tenant, const char *key_id,
    uint32_t version, const uint8_t *context, size_t context_len,
    uint8_t **out, size_t *len) AG_MUST;

#endif
