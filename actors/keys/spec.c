/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key specs, algorithms and usages: one row each (contract §4).
 */
#include "spec.h"

#define A(x) AG__ALGORITHM__V__##x

static const struct algorithm algorithms[] = {
	{ A(RSASSA_PSS_SHA_256), FAMILY_PSS, "SHA256", 32 },
	{ A(RSASSA_PSS_SHA_384), FAMILY_PSS, "SHA384", 48 },
	{ A(RSASSA_PSS_SHA_512), FAMILY_PSS, "SHA512", 64 },
	{ A(RSASSA_PKCS1_V1_5_SHA_256), FAMILY_PKCS1, "SHA256", 32 },
	{ A(RSASSA_PKCS1_V1_5_SHA_384), FAMILY_PKCS1, "SHA384", 48 },
	{ A(RSASSA_PKCS1_V1_5_SHA_512), FAMILY_PKCS1, "SHA512", 64 },
	{ A(RSAES_OAEP_SHA_256), FAMILY_OAEP, "SHA256", 32 },
	{ A(RSAES_OAEP_SHA_384), FAMILY_OAEP, "SHA384", 48 },
	{ A(RSAES_OAEP_SHA_512), FAMILY_OAEP, "SHA512", 64 },
	{ A(ECDSA_SHA_256), FAMILY_ECDSA, "SHA256", 32 },
	{ A(ECDSA_SHA_384), FAMILY_ECDSA, "SHA384", 48 },
	{ A(ECDSA_SHA_512), FAMILY_ECDSA, "SHA512", 64 },
	{ A(ED25519), FAMILY_EDDSA, "ED25519", 0 },
	{ A(ED448), FAMILY_EDDSA, "ED448", 0 },
	{ A(AES_GCM), FAMILY_AEAD, NULL, 0 },
	{ A(AES_KWP), FAMILY_KW, NULL, 0 },
	{ A(AES_KW), FAMILY_KW, NULL, 0 },
	{ A(CHACHA20_POLY1305), FAMILY_AEAD, NULL, 0 },
	{ A(HMAC_SHA_256), FAMILY_HMAC, "SHA256", 32 },
	{ A(HMAC_SHA_384), FAMILY_HMAC, "SHA384", 48 },
	{ A(HMAC_SHA_512), FAMILY_HMAC, "SHA512", 64 },
};

#define RSA_SIGN .sign = { A(RSASSA_PSS_SHA_256), A(RSASSA_PSS_SHA_384), \
	A(RSASSA_PSS_SHA_512), A(RSASSA_PKCS1_V1_5_SHA_256), \
	A(RSASSA_PKCS1_V1_5_SHA_384), A(RSASSA_PKCS1_V1_5_SHA_512) }
#define OAEP { A(RSAES_OAEP_SHA_256), A(RSAES_OAEP_SHA_384), A(RSAES_OAEP_SHA_512) }
#define SIGNING (USE(sign) | USE(verify))
#define CRYPTING (USE(encrypt) | USE(decrypt) | USE(wrap) | USE(unwrap))
#define S(x) AG__KEY_SPEC__V__##x

#define RSA(n) { S(RSA_##n), SPEC_RSA, "RSA", n, RSA_SIGN, .crypt = OAEP, \
	.wrap = OAEP, .usage = SIGNING, .usage_alt = CRYPTING }
#define EC(id, group, bytes, crv, alg, ...) { S(id), SPEC_EC, group, bytes, crv, \
	alg, .sign = { __VA_ARGS__ }, .usage = SIGNING }
#define ED(id, bytes, crv) { S(id), SPEC_ED, #id, bytes, crv, "EdDSA", \
	.sign = { A(id) }, .usage = SIGNING }
#define AES(n) { S(AES_##n), SPEC_SYMMETRIC, "AES-" #n "-GCM", n / 8, \
	.crypt = { A(AES_GCM) }, .wrap = { A(AES_KWP), A(AES_KW), A(AES_GCM) }, \
	.usage = CRYPTING | USE(generate_data_key) }
#define HMAC(n) { S(HMAC_SHA##n), SPEC_SYMMETRIC, NULL, n / 8, \
	.mac = { A(HMAC_SHA_##n) }, .usage = USE(mac) | USE(mac_verify) }

static const struct spec specs[] = {
	RSA(2048), RSA(3072), RSA(4096),
	EC(EC_P256, "prime256v1", 32, "P-256", "ES256",
	    A(ECDSA_SHA_256), A(ECDSA_SHA_384), A(ECDSA_SHA_512)),
	EC(EC_P384, "secp384r1", 48, "P-384", "ES384",
	    A(ECDSA_SHA_384), A(ECDSA_SHA_256), A(ECDSA_SHA_512)),
	EC(EC_P521, "secp521r1", 66, "P-521", "ES512",
	    A(ECDSA_SHA_512), A(ECDSA_SHA_256), A(ECDSA_SHA_384)),
	EC(EC_SECP256K1, "secp256k1", 32, "secp256k1", "ES256K",
	    A(ECDSA_SHA_256), A(ECDSA_SHA_384), A(ECDSA_SHA_512)),
	ED(ED25519, 32, "Ed25519"), ED(ED448, 57, "Ed448"),
	AES(128), AES(192), AES(256),
	{ S(CHACHA20_POLY1305), SPEC_SYMMETRIC, "ChaCha20-Poly1305", 32,
	    .crypt = { A(CHACHA20_POLY1305) },
	    .usage = USE(encrypt) | USE(decrypt) | USE(generate_data_key) },
	HMAC(256), HMAC(384), HMAC(512),
};

bool
spec_length_fits(const struct spec *spec, size_t len)
{
	if (spec->mac[0] != 0)
		return len >= HMAC_KEY_BYTES_MIN && len <= HMAC_KEY_BYTES_MAX;
	return len == spec->bits;
}

const struct spec *
spec_find(int id)
{
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++)
		if ((int)specs[i].id == id)
			return &specs[i];
	return NULL;
}

const struct algorithm *
algorithm_find(int id)
{
	for (size_t i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); i++)
		if ((int)algorithms[i].id == id)
			return &algorithms[i];
	return NULL;
}

const struct algorithm *
algorithm_pick(const Ag__Algorithm__V *list, bool has_wanted, int wanted)
{
	if (!has_wanted)
		return list[0] == 0 ? NULL : algorithm_find(list[0]);
	for (; *list != 0; list++)
		if ((int)*list == wanted)
			return algorithm_find(wanted);
	return NULL;
}

static const unsigned public_usage = USE(verify) | USE(encrypt) | USE(wrap);

bool
spec_usage_allowed(const struct spec *spec, unsigned usage, bool public_only)
{
	if (usage == 0 || (public_only && (usage & ~public_usage) != 0))
		return false;
	return (usage & ~spec->usage) == 0 ||
	    (spec->usage_alt != 0 && (usage & ~spec->usage_alt) == 0);
}

unsigned
spec_usage_default(const struct spec *spec, bool public_only)
{
	return public_only ? spec->usage & public_usage : spec->usage;
}

const char *
usage_name(int usage)
{
	static const char *const names[USAGES_MAX + 1] = { "", "sign", "verify",
		"encrypt", "decrypt", "wrap", "unwrap", "generate-data-key", "mac",
		"mac-verify" };

	return usage >= 1 && usage <= USAGES_MAX ? names[usage] : "";
}
