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
	{ A(CHACHA20_POLY1305), FAMILY_AEAD, NULL, 0 },
};

#define RSA_SIGN { A(RSASSA_PSS_SHA_256), A(RSASSA_PSS_SHA_384), \
	A(RSASSA_PSS_SHA_512), A(RSASSA_PKCS1_V1_5_SHA_256), \
	A(RSASSA_PKCS1_V1_5_SHA_384), A(RSASSA_PKCS1_V1_5_SHA_512) }
#define RSA_CRYPT { A(RSAES_OAEP_SHA_256), A(RSAES_OAEP_SHA_384), A(RSAES_OAEP_SHA_512) }
#define SIGNING (USE(sign) | USE(verify))
#define CRYPTING (USE(encrypt) | USE(decrypt) | USE(wrap) | USE(unwrap))
#define S(x) AG__KEY_SPEC__V__##x

static const struct spec specs[] = {
	{ S(RSA_2048), SPEC_RSA, "RSA", 2048, NULL, NULL, true, RSA_SIGN, RSA_CRYPT,
	    SIGNING, CRYPTING },
	{ S(RSA_3072), SPEC_RSA, "RSA", 3072, NULL, NULL, true, RSA_SIGN, RSA_CRYPT,
	    SIGNING, CRYPTING },
	/* Making one takes longer than a request may: import only. */
	{ S(RSA_4096), SPEC_RSA, "RSA", 4096, NULL, NULL, false, RSA_SIGN, RSA_CRYPT,
	    SIGNING, CRYPTING },
	{ S(EC_P256), SPEC_EC, "prime256v1", 32, "P-256", "ES256", true,
	    { A(ECDSA_SHA_256), A(ECDSA_SHA_384), A(ECDSA_SHA_512) }, { 0 }, SIGNING, 0 },
	{ S(EC_P384), SPEC_EC, "secp384r1", 48, "P-384", "ES384", true,
	    { A(ECDSA_SHA_384), A(ECDSA_SHA_256), A(ECDSA_SHA_512) }, { 0 }, SIGNING, 0 },
	{ S(EC_P521), SPEC_EC, "secp521r1", 66, "P-521", "ES512", true,
	    { A(ECDSA_SHA_512), A(ECDSA_SHA_256), A(ECDSA_SHA_384) }, { 0 }, SIGNING, 0 },
	{ S(EC_SECP256K1), SPEC_EC, "secp256k1", 32, "secp256k1", "ES256K", true,
	    { A(ECDSA_SHA_256), A(ECDSA_SHA_384), A(ECDSA_SHA_512) }, { 0 }, SIGNING, 0 },
	{ S(ED25519), SPEC_ED, "ED25519", 32, "Ed25519", "EdDSA", true,
	    { A(ED25519) }, { 0 }, SIGNING, 0 },
	{ S(ED448), SPEC_ED, "ED448", 57, "Ed448", "EdDSA", true,
	    { A(ED448) }, { 0 }, SIGNING, 0 },
	{ S(AES_128), SPEC_SYMMETRIC, "AES-128-GCM", 16, NULL, NULL, true, { 0 },
	    { A(AES_GCM) }, CRYPTING | USE(generate_data_key), 0 },
	{ S(AES_192), SPEC_SYMMETRIC, "AES-192-GCM", 24, NULL, NULL, true, { 0 },
	    { A(AES_GCM) }, CRYPTING | USE(generate_data_key), 0 },
	{ S(AES_256), SPEC_SYMMETRIC, "AES-256-GCM", 32, NULL, NULL, true, { 0 },
	    { A(AES_GCM) }, CRYPTING | USE(generate_data_key), 0 },
	{ S(CHACHA20_POLY1305), SPEC_SYMMETRIC, "ChaCha20-Poly1305", 32, NULL, NULL,
	    true, { 0 }, { A(CHACHA20_POLY1305) },
	    USE(encrypt) | USE(decrypt) | USE(generate_data_key), 0 },
};

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
