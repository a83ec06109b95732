/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key material: made, written as PKCS#8 DER or raw bytes, read again.
 */
#ifndef SOFTWARE_MAKE_H
#define SOFTWARE_MAKE_H

#include <aegis/aegis.h>
#include <openssl/evp.h>

struct make_spec {
	Ag__KeySpec__V id;
	const char *type;  /* OpenSSL's; NULL: raw bytes */
	const char *group; /* EC */
	size_t size;       /* RSA: bits; raw: bytes */
	bool slow;         /* not in the loop */
	size_t least, most; /* raw, from elsewhere: bytes; 0: size alone */
};

const struct make_spec *make_spec_find(int id); /* NULL: unknown */
/* Thread-safe. NULL: OpenSSL could not. */
EVP_PKEY *make_pkey(const struct make_spec *spec);
ag_err make_raw(const struct make_spec *spec, struct ag_secret **out) AG_MUST;
ag_err make_material(EVP_PKEY *pkey, struct ag_secret **out) AG_MUST;
/* In the loop, slow or not. */
ag_err make_now(const struct make_spec *spec, struct ag_secret **out) AG_MUST;
/* NULL: no such key in it. */
EVP_PKEY *make_parse(struct ag_secret *material);
bool make_length_fits(const struct make_spec *spec, size_t len); /* raw */
/* Is this a key of that spec? */
bool make_is(const struct make_spec *spec, EVP_PKEY *pkey);
/* Is this material of that spec? */
bool make_fits(const struct make_spec *spec, struct ag_secret *material);
/* SubjectPublicKeyInfo, in the turn's arena; NULL: failed. */
uint8_t *make_public(struct ag_ctx *ctx, EVP_PKEY *pkey, size_t *len);

#endif
