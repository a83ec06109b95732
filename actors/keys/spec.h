/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each key_spec and each algorithm is: the tables of contract §4.
 */
#ifndef KEYS_SPEC_H
#define KEYS_SPEC_H

#include <aegis/aegis.h>

enum spec_kind { SPEC_RSA, SPEC_EC, SPEC_ED, SPEC_SYMMETRIC };

enum family {
	FAMILY_PSS,
	FAMILY_PKCS1,
	FAMILY_ECDSA,
	FAMILY_EDDSA,
	FAMILY_OAEP,
	FAMILY_AEAD,
	FAMILY_KW,
	FAMILY_HMAC,
};

enum {
	ALGORITHMS_MAX = 6, /* of one spec and purpose */
	USAGES_MAX = 9,
	HMAC_KEY_BYTES_MIN = 16, /* of imported ones */
	HMAC_KEY_BYTES_MAX = 128,
};

struct algorithm {
	Ag__Algorithm__V id;
	enum family family;
	const char *name; /* OpenSSL's digest or cipher */
	unsigned size;    /* bytes of the digest */
};

/* Bits of Usage, (1 << value). */
#define USE(u) (1u << AG__USAGE__V__##u)

struct spec {
	Ag__KeySpec__V id;
	enum spec_kind kind;
	const char *name; /* OpenSSL's key type or group; AEAD's: cipher */
	unsigned bits;    /* RSA: modulus; EC: bytes of a coordinate; symmetric: key bytes */
	const char *crv;  /* JWK */
	const char *jwk_alg;
	/* Default first; 0 ends. */
	Ag__Algorithm__V sign[ALGORITHMS_MAX + 1];
	Ag__Algorithm__V crypt[ALGORITHMS_MAX + 1];
	Ag__Algorithm__V wrap[ALGORITHMS_MAX + 1];
	Ag__Algorithm__V mac[ALGORITHMS_MAX + 1];
	unsigned usage;     /* default group */
	unsigned usage_alt; /* the other group; 0: none */
};

/* NULL: this build does not know it. */
const struct spec *spec_find(int id);
/* May the material of a symmetric key of this spec have this length? */
bool spec_length_fits(const struct spec *spec, size_t len);
const struct algorithm *algorithm_find(int id);
/* The default of the list, or `wanted` if the list has it; NULL if not. */
const struct algorithm *algorithm_pick(const Ag__Algorithm__V *list,
    bool has_wanted, int wanted);
/* May a key of this spec have exactly these usages? public_only: the private
 * half is not here, so only what the public half does. */
bool spec_usage_allowed(const struct spec *spec, unsigned usage,
    bool public_only);
unsigned spec_usage_default(const struct spec *spec, bool public_only);
/* "sign", "generate-data-key" … as in a scope. */
const char *usage_name(int usage);

#endif
