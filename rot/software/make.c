/* SPDX-License-Identifier: Apache-2.0 */
#include "make.h"

#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <string.h>

#define S(x) AG__KEY_SPEC__V__##x

static const struct make_spec specs[] = {
	{ S(RSA_2048), "RSA", NULL, 2048, true, 0, 0 },
	{ S(RSA_3072), "RSA", NULL, 3072, true, 0, 0 },
	{ S(RSA_4096), "RSA", NULL, 4096, true, 0, 0 },
	{ S(EC_P256), "EC", "prime256v1", 0, false, 0, 0 },
	{ S(EC_P384), "EC", "secp384r1", 0, false, 0, 0 },
	{ S(EC_P521), "EC", "secp521r1", 0, false, 0, 0 },
	{ S(EC_SECP256K1), "EC", "secp256k1", 0, false, 0, 0 },
	{ S(ED25519), "ED25519", NULL, 0, false, 0, 0 },
	{ S(ED448), "ED448", NULL, 0, false, 0, 0 },
	{ S(AES_128), NULL, NULL, 16, false, 0, 0 },
	{ S(AES_192), NULL, NULL, 24, false, 0, 0 },
	{ S(AES_256), NULL, NULL, 32, false, 0, 0 },
	{ S(CHACHA20_POLY1305), NULL, NULL, 32, false, 0, 0 },
	{ S(HMAC_SHA256), NULL, NULL, 32, false, 16, 128 },
	{ S(HMAC_SHA384), NULL, NULL, 48, false, 16, 128 },
	{ S(HMAC_SHA512), NULL, NULL, 64, false, 16, 128 },
};

const struct make_spec *
make_spec_find(int id)
{
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++)
		if ((int)specs[i].id == id)
			return &specs[i];
	return NULL;
}

EVP_PKEY *
make_pkey(const struct make_spec *spec)
{
	EVP_PKEY *pkey;

	if (spec->group != NULL)
		pkey = EVP_PKEY_Q_keygen(NULL, NULL, spec->type, spec->group);
	else
		pkey = EVP_PKEY_Q_keygen(NULL, NULL, spec->type, spec->size);
	if (pkey == NULL)
		ERR_clear_error();
	return pkey;
}

ag_err
make_raw(const struct make_spec *spec, struct ag_secret **out)
{
	ag_err err = ag_secret_new(spec->size, out);

	if (err == AG_OK && RAND_priv_bytes(ag_secret_bytes(*out), (int)spec->size) != 1) {
		ag_secret_free(out);
		return AG_GENERAL_FAILURE;
	}
	return err;
}

ag_err
make_material(EVP_PKEY *pkey, struct ag_secret **out)
{
	PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(pkey);
	int len = info == NULL ? -1 : i2d_PKCS8_PRIV_KEY_INFO(info, NULL);
	ag_err err = AG_GENERAL_FAILURE;
	uint8_t *p;

	*out = NULL;
	if (len > 0 && (err = ag_secret_new((size_t)len, out)) == AG_OK) {
		p = ag_secret_bytes(*out);
		if (i2d_PKCS8_PRIV_KEY_INFO(info, &p) != len) {
			ag_secret_free(out);
			err = AG_GENERAL_FAILURE;
		}
	}
	PKCS8_PRIV_KEY_INFO_free(info); /* cleanses the key in it */
	ERR_clear_error();
	return err;
}

EVP_PKEY *
make_parse(struct ag_secret *material)
{
	const uint8_t *p = ag_secret_bytes(material);
	PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &p,
	    (long)ag_secret_len(material));
	EVP_PKEY *pkey = info == NULL ? NULL : EVP_PKCS82PKEY(info);

	PKCS8_PRIV_KEY_INFO_free(info);
	ERR_clear_error();
	return pkey;
}

bool
make_length_fits(const struct make_spec *spec, size_t len)
{
	if (spec->most == 0)
		return len == spec->size;
	return len >= spec->least && len <= spec->most;
}

bool
make_is(const struct make_spec *spec, EVP_PKEY *pkey)
{
	char group[32] = "";

	return EVP_PKEY_is_a(pkey, spec->type) &&
	    (spec->size == 0 || EVP_PKEY_get_bits(pkey) == (int)spec->size) &&
	    (spec->group == NULL || (EVP_PKEY_get_group_name(pkey, group,
	    sizeof(group), NULL) == 1 && strcmp(group, spec->group) == 0));
}

bool
make_fits(const struct make_spec *spec, struct ag_secret *material)
{
	EVP_PKEY *pkey;
	bool fits;

	if (spec->type == NULL)
		return make_length_fits(spec, ag_secret_len(material));
	if ((pkey = make_parse(material)) == NULL)
		return false;
	fits = make_is(spec, pkey);
	EVP_PKEY_free(pkey);
	ERR_clear_error();
	return fits;
}

uint8_t *
make_public(struct ag_ctx *ctx, EVP_PKEY *pkey, size_t *len)
{
	uint8_t *der = NULL, *copy = NULL;
	int n = i2d_PUBKEY(pkey, &der);

	if (n > 0 && (copy = ag_alloc(ctx, (size_t)n)) != NULL)
		memcpy(copy, der, (size_t)n);
	*len = copy == NULL ? 0 : (size_t)n;
	OPENSSL_free(der);
	return copy;
}

ag_err
make_now(const struct make_spec *spec, struct ag_secret **out)
{
	EVP_PKEY *pkey;
	ag_err err;

	if (spec->type == NULL)
		return make_raw(spec, out);
	if ((pkey = make_pkey(spec)) == NULL)
		return AG_GENERAL_FAILURE;
	err = make_material(pkey, out);
	EVP_PKEY_free(pkey);
	return err;
}
