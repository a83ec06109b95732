/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Public halves: PEM, JWK (RFC 7517, 7518, 8037), JWK set.
 */
#include "keys.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

enum { NUMBER_BYTES_MAX = 1024 };

static ag_err
open_public(struct keys *k, struct ag_ctx *ctx, struct hot **out)
{
	const char *id = ag_grant(ctx)->resource_id;
	const struct spec *spec;
	ag_err err;

	if (id != NULL && (err = ag_enter(ctx, keys_stream(ctx, id), false)) != AG_OK)
		return err;
	if ((err = keys_open(k, ctx, out)) != AG_OK)
		return err;
	spec = spec_find((*out)->stored->key->key_spec);
	if (spec == NULL || spec->kind == SPEC_SYMMETRIC)
		return ag_refuse(ctx, AG_ITEM_NOT_FOUND, NULL, NULL,
		    "A symmetric key has no public half.");
	return AG_OK;
}

static EVP_PKEY *
public_of(const ProtobufCBinaryData *der)
{
	const uint8_t *p = der->data;

	return der->len == 0 ? NULL : d2i_PUBKEY(NULL, &p, (long)der->len);
}

char *
keys_pem(struct ag_ctx *ctx, const ProtobufCBinaryData *der)
{
	EVP_PKEY *pkey = public_of(der);
	BIO *bio = BIO_new(BIO_s_mem());
	char *text = NULL, *data;
	long len;

	if (pkey != NULL && bio != NULL && PEM_write_bio_PUBKEY(bio, pkey) == 1 &&
	    (len = BIO_get_mem_data(bio, &data)) > 0)
		text = ag_printf(ctx, "%.*s", (int)len, data);
	BIO_free(bio);
	EVP_PKEY_free(pkey);
	return text;
}

ag_err
on_key_public(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__KeyPublicAsk *ask = msg;
	Ag__KeyPublicReply reply = AG__KEY_PUBLIC_REPLY__INIT;
	struct hot *hot;
	ag_err err;

	if ((err = open_public(state, ctx, &hot)) != AG_OK)
		return err;
	reply.key_id = hot->id;
	reply.key_version = ask->has_version ? ask->version : hot->stored->key->version;
	reply.key_spec = hot->stored->key->key_spec;
	if ((err = keys_check(ctx, KEY_OP_PUBLIC, hot->stored, reply.key_version)) != AG_OK)
		return err;
	reply.public_key_pem = keys_pem(ctx,
	    &hot->stored->public_key_der[reply.key_version - 1]);
	if (reply.public_key_pem == NULL)
		return AG_GENERAL_FAILURE;
	return ag_reply(ctx, AG_MSG_KEY_PUBLIC, &reply);
}

/* ----------------------------------------------------------------------- JWK */

static char *
b64(struct ag_ctx *ctx, const uint8_t *bytes, size_t len)
{
	char *text = ag_alloc(ctx, ag_base64_size(len) + 1);

	if (text != NULL)
		ag_base64url(bytes, len, text);
	return text;
}

/* A parameter as base64url; width 0: without leading zeros. */
static char *
number(struct ag_ctx *ctx, const EVP_PKEY *pkey, const char *name, int width)
{
	uint8_t bytes[NUMBER_BYTES_MAX];
	BIGNUM *bn = NULL;
	char *text = NULL;
	int n;

	if (EVP_PKEY_get_bn_param(pkey, name, &bn) != 1)
		return NULL;
	n = width > 0 ? width : BN_num_bytes(bn);
	if (n <= NUMBER_BYTES_MAX && BN_bn2binpad(bn, bytes, n) == n)
		text = b64(ctx, bytes, (size_t)n);
	BN_free(bn);
	return text;
}

static bool
fill_numbers(struct ag_ctx *ctx, const struct spec *spec, const EVP_PKEY *pkey,
    Ag__Jwk *jwk)
{
	uint8_t raw[NUMBER_BYTES_MAX];
	size_t len = sizeof(raw);

	if (spec->kind == SPEC_RSA) {
		jwk->kty = (char *)(uintptr_t)"RSA";
		jwk->n = number(ctx, pkey, OSSL_PKEY_PARAM_RSA_N, 0);
		jwk->e = number(ctx, pkey, OSSL_PKEY_PARAM_RSA_E, 0);
		return jwk->n != NULL && jwk->e != NULL;
	}
	jwk->crv = (char *)(uintptr_t)spec->crv;
	if (spec->kind == SPEC_ED) {
		jwk->kty = (char *)(uintptr_t)"OKP";
		if (EVP_PKEY_get_raw_public_key(pkey, raw, &len) == 1)
			jwk->x = b64(ctx, raw, len);
		return jwk->x != NULL;
	}
	jwk->kty = (char *)(uintptr_t)"EC";
	jwk->x = number(ctx, pkey, OSSL_PKEY_PARAM_EC_PUB_X, (int)spec->bits);
	jwk->y = number(ctx, pkey, OSSL_PKEY_PARAM_EC_PUB_Y, (int)spec->bits);
	return jwk->x != NULL && jwk->y != NULL;
}

static ag_err
jwk_of(struct ag_ctx *ctx, const Ag__KeyStored *s, uint32_t version, Ag__Jwk *jwk)
{
	const struct spec *spec = spec_find(s->key->key_spec);
	EVP_PKEY *pkey = public_of(&s->public_key_der[version - 1]);
	bool signs = (keys_usage_bits(s->key) & (USE(sign) | USE(verify))) != 0;
	bool ok = pkey != NULL && fill_numbers(ctx, spec, pkey, jwk);

	EVP_PKEY_free(pkey);
	jwk->kid = ag_printf(ctx, "%s.%u", s->key->id, version);
	/* An RSA key does several: none is named. */
	jwk->alg = (char *)(uintptr_t)spec->jwk_alg;
	jwk->use = (char *)(uintptr_t)(signs ? "sig" : "enc");
	return ok && jwk->kid != NULL ? AG_OK : AG_GENERAL_FAILURE;
}

ag_err
on_key_jwk(void *state, struct ag_ctx *ctx, const void *msg)
{
	Ag__Jwk jwk = AG__JWK__INIT;
	struct hot *hot;
	ag_err err;

	if ((err = open_public(state, ctx, &hot)) != AG_OK ||
	    (err = keys_check(ctx, KEY_OP_PUBLIC, hot->stored,
	    hot->stored->key->version)) != AG_OK ||
	    (err = jwk_of(ctx, hot->stored, hot->stored->key->version, &jwk)) != AG_OK)
		return err;
	return ag_reply(ctx, AG_MSG_KEY_JWK, &jwk);
}

/* All versions that are not destroyed, newest first. */
ag_err
on_key_jwks(void *state, struct ag_ctx *ctx, const void *msg)
{
	Ag__JwksReply reply = AG__JWKS_REPLY__INIT;
	const Ag__KeyStored *s;
	struct hot *hot;
	Ag__Jwk *jwk;
	ag_err err;

	if ((err = open_public(state, ctx, &hot)) != AG_OK)
		return err;
	s = hot->stored;
	reply.keys = ag_alloc(ctx, s->key->n_versions * sizeof(*reply.keys));
	if (reply.keys == NULL)
		return AG_NO_MEMORY;
	for (uint32_t v = s->key->version; v >= 1; v--) {
		if (s->public_key_der[v - 1].len == 0)
			continue;
		if ((jwk = ag_alloc(ctx, sizeof(*jwk))) == NULL)
			return AG_NO_MEMORY;
		ag__jwk__init(jwk);
		if ((err = jwk_of(ctx, s, v, jwk)) != AG_OK)
			return err;
		reply.keys[reply.n_keys++] = jwk;
	}
	return ag_reply(ctx, AG_MSG_KEY_JWKS, &reply);
}
