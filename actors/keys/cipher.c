/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encryption. An AEAD context would keep the key's schedule in ordinary
 * memory (OpenSSL has no other way), so it is set up from the locked key for
 * each use, or for those of one turn's part of a batch, and wiped after it.
 */
#include "crypto.h"

#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <string.h>

enum { IVS = 128 };

static const EVP_CIPHER *
cipher(const struct spec *spec)
{
	static struct {
		const struct spec *spec;
		EVP_CIPHER *cipher;
	} known[8];

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (known[i].spec == NULL) {
			known[i].cipher = EVP_CIPHER_fetch(NULL, spec->name, NULL);
			known[i].spec = spec;
		}
		if (known[i].spec == spec)
			return known[i].cipher;
	}
	return NULL;
}

static EVP_CIPHER_CTX *
cipher_ctx(void)
{
	static EVP_CIPHER_CTX *ctx; /* one thread, wiped after each use */

	if (ctx == NULL)
		ctx = EVP_CIPHER_CTX_new();
	return ctx;
}

/* Whose schedule is in the context between two uses. */
static struct {
	bool on;
	const struct parsed *of; /* NULL: nobody's */
	bool encrypt;
} held;

static void
let_go(void)
{
	EVP_CIPHER_CTX_reset(cipher_ctx());
	held.of = NULL;
}

void
cipher_hold(bool on)
{
	held.on = on;
	if (!on && held.of != NULL)
		let_go();
}

void
cipher_forget(const struct parsed *p)
{
	if (held.of == p && p != NULL)
		let_go();
}

/* Another IV is all that it takes if the key is still there. */
static bool
begin(EVP_CIPHER_CTX *ctx, struct parsed *p, const uint8_t *iv, bool encrypt)
{
	if (held.of == p && held.encrypt == encrypt)
		return EVP_CipherInit_ex2(ctx, NULL, NULL, iv, encrypt, NULL) == 1;
	if (held.of != NULL)
		let_go();
	return EVP_CipherInit_ex2(ctx, cipher(p->spec), ag_secret_bytes(p->raw),
	    iv, encrypt, NULL) == 1;
}

static void
end(struct parsed *p, bool encrypt, bool ok)
{
	if (ok && held.on) {
		held.of = p;
		held.encrypt = encrypt;
		return;
	}
	let_go();
	ERR_clear_error();
}

size_t
cipher_room(const struct spec *spec, size_t len)
{
	return len + (spec->kind == SPEC_RSA ? spec->bits / 8 : 0) + 1;
}

static bool
run(EVP_CIPHER_CTX *ctx, const struct text *t, uint8_t *out)
{
	int n = 0;

	if (t->len > INT32_MAX || t->aad_len > INT32_MAX)
		return false;
	if (t->aad_len > 0 &&
	    EVP_CipherUpdate(ctx, NULL, &n, t->aad, (int)t->aad_len) != 1)
		return false;
	if (t->len > 0 && EVP_CipherUpdate(ctx, out, &n, t->in, (int)t->len) != 1)
		return false;
	return EVP_CipherFinal_ex(ctx, out + t->len, &n) == 1;
}

/* Drawn for many at once: a draw costs as much as encrypting 500 bytes. */
static bool
new_iv(uint8_t iv[IV_BYTES])
{
	static uint8_t drawn[IVS * IV_BYTES];
	static size_t left; /* of IVS; one thread */

	if (left == 0) {
		if (RAND_bytes(drawn, sizeof(drawn)) != 1)
			return false;
		left = IVS;
	}
	memcpy(iv, drawn + --left * IV_BYTES, IV_BYTES);
	return true;
}

ag_err
aead_encrypt(struct parsed *p, const struct text *t, uint8_t iv[IV_BYTES],
    uint8_t *out, uint8_t tag[TAG_BYTES])
{
	EVP_CIPHER_CTX *ctx = cipher_ctx();
	bool ok;

	if (ctx == NULL)
		return AG_NO_MEMORY;
	ok = new_iv(iv) && begin(ctx, p, iv, true) && run(ctx, t, out) &&
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, tag) == 1;
	end(p, true, ok);
	return ok ? AG_OK : AG_GENERAL_FAILURE;
}

ag_err
aead_decrypt(struct parsed *p, const struct text *t, const uint8_t iv[IV_BYTES],
    const uint8_t tag[TAG_BYTES], uint8_t *out)
{
	EVP_CIPHER_CTX *ctx = cipher_ctx();
	uint8_t expected[TAG_BYTES];
	bool ok;

	if (ctx == NULL)
		return AG_NO_MEMORY;
	memcpy(expected, tag, TAG_BYTES);
	ok = begin(ctx, p, iv, false) &&
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, expected) == 1 &&
	    run(ctx, t, out);
	end(p, false, ok);
	if (!ok)
		ag_wipe(out, t->len); /* never unauthenticated plaintext */
	return ok ? AG_OK : AG_CRYPTOGRAPHIC_FAILURE;
}

/* ------------------------------------------------------------- key wrapping */

static const EVP_CIPHER *
kw_cipher(const struct spec *spec, const struct algorithm *a)
{
	static EVP_CIPHER *known[3][2]; /* by key size and padding */
	bool pad = a->id == AG__ALGORITHM__V__AES_KWP;
	EVP_CIPHER **c = &known[spec->bits / 8 - 2][pad];
	char name[32];

	if (*c == NULL) {
		snprintf(name, sizeof(name), "AES-%u-WRAP%s", spec->bits * 8,
		    pad ? "-PAD" : "");
		*c = EVP_CIPHER_fetch(NULL, name, NULL);
	}
	return *c;
}

/* One call takes the whole key: the modes are not streams. */
static bool
kw_run(struct parsed *p, const struct algorithm *a, bool wrap, const uint8_t *in,
    size_t len, uint8_t *out, size_t *out_len)
{
	EVP_CIPHER_CTX *ctx = cipher_ctx();
	int n = 0, last = 0;
	bool ok;

	if (ctx == NULL || len > KW_BYTES_MAX + KW_MORE)
		return false;
	if (held.of != NULL)
		let_go();
	EVP_CIPHER_CTX_set_flags(ctx, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
	ok = EVP_CipherInit_ex2(ctx, kw_cipher(p->spec, a), ag_secret_bytes(p->raw),
	    NULL, wrap, NULL) == 1 &&
	    EVP_CipherUpdate(ctx, out, &n, in, (int)len) == 1 && n > 0 &&
	    EVP_CipherFinal_ex(ctx, out + n, &last) == 1;
	EVP_CIPHER_CTX_reset(ctx);
	ERR_clear_error();
	*out_len = ok ? (size_t)(n + last) : 0;
	return ok;
}

ag_err
kw_wrap(struct parsed *p, const struct algorithm *a, const uint8_t *in, size_t len,
    uint8_t *out, size_t *out_len)
{
	return kw_run(p, a, true, in, len, out, out_len) ? AG_OK : AG_GENERAL_FAILURE;
}

ag_err
kw_unwrap(struct parsed *p, const struct algorithm *a, const uint8_t *in,
    size_t len, uint8_t *out, size_t *out_len)
{
	/* What is shorter or no multiple is no wrapped key (RFC 3394 §2.2.2,
	 * RFC 5649 §4.2); OpenSSL reads whole blocks without looking. */
	size_t least = a->id == AG__ALGORITHM__V__AES_KWP ? 16 : 24;

	if (len < least || len % 8 != 0 ||
	    !kw_run(p, a, false, in, len, out, out_len)) {
		ag_wipe(out, len);
		return AG_CRYPTOGRAPHIC_FAILURE;
	}
	return AG_OK;
}

/* --------------------------------------------------------------------- OAEP */

static EVP_PKEY_CTX *
oaep(struct parsed *p, const struct algorithm *a, const struct text *t, bool encrypt)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(p->pkey, NULL);
	OSSL_PARAM params[5], *q = params;
	char *md = (char *)(uintptr_t)a->name;

	*q++ = OSSL_PARAM_construct_utf8_string("pad-mode", (char[]){ "oaep" }, 0);
	*q++ = OSSL_PARAM_construct_utf8_string("digest", md, 0);
	*q++ = OSSL_PARAM_construct_utf8_string("mgf1-digest", md, 0);
	if (t->aad_len > 0)
		*q++ = OSSL_PARAM_construct_octet_string("oaep-label",
		    (void *)(uintptr_t)t->aad, t->aad_len);
	*q = OSSL_PARAM_construct_end();
	if (ctx == NULL || (encrypt ? EVP_PKEY_encrypt_init_ex(ctx, params) :
	    EVP_PKEY_decrypt_init_ex(ctx, params)) != 1) {
		EVP_PKEY_CTX_free(ctx);
		return NULL;
	}
	return ctx;
}

ag_err
oaep_encrypt(struct parsed *p, const struct algorithm *a, const struct text *t,
    uint8_t *out, size_t *out_len)
{
	EVP_PKEY_CTX *ctx = oaep(p, a, t, true);
	bool ok;

	*out_len = p->spec->bits / 8;
	ok = ctx != NULL && EVP_PKEY_encrypt(ctx, out, out_len, t->in, t->len) == 1;
	EVP_PKEY_CTX_free(ctx);
	ERR_clear_error();
	return ok ? AG_OK : AG_GENERAL_FAILURE;
}

ag_err
oaep_decrypt(struct parsed *p, const struct algorithm *a, const struct text *t,
    uint8_t *out, size_t *out_len)
{
	EVP_PKEY_CTX *ctx = oaep(p, a, t, false);
	bool ok;

	*out_len = p->spec->bits / 8;
	ok = ctx != NULL && t->len == *out_len &&
	    EVP_PKEY_decrypt(ctx, out, out_len, t->in, t->len) == 1;
	EVP_PKEY_CTX_free(ctx);
	ERR_clear_error();
	return ok ? AG_OK : AG_CRYPTOGRAPHIC_FAILURE;
}

/* ----------------------------------------------------------------- context */

static uint8_t *
put_part(uint8_t *p, const void *bytes, size_t len)
{
	p[0] = (uint8_t)(len >> 24);
	p[1] = (uint8_t)(len >> 16);
	p[2] = (uint8_t)(len >> 8);
	p[3] = (uint8_t)len;
	if (len > 0)
		memcpy(p + 4, bytes, len);
	return p + 4 + len;
}

static void
sort_pairs(const Ag__Pair **pairs, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		const Ag__Pair *p = pairs[i];
		size_t j = i;

		for (; j > 0 && strcmp(pairs[j - 1]->key, p->key) > 0; j--)
			pairs[j] = pairs[j - 1];
		pairs[j] = p;
	}
}

ag_err
context_bytes(struct ag_ctx *ctx, Ag__Pair *const *pairs, size_t n,
    uint8_t **out, size_t *len, struct why *why)
{
	const Ag__Pair *sorted[CONTEXT_PAIRS_MAX];
	uint8_t *p;

	*len = 0;
	if (n > CONTEXT_PAIRS_MAX)
		return no(why, AG_INVALID_FIELD, "out_of_range", "/context",
		    "At most 32 pairs.");
	for (size_t i = 0; i < n; i++) {
		if (pairs[i]->value == NULL)
			return no(why, AG_INVALID_FIELD, "wrong_type", "/context",
			    "Every value is a string.");
		*len += 8 + strlen(pairs[i]->key) + strlen(pairs[i]->value);
		sorted[i] = pairs[i];
	}
	if (*len > CONTEXT_BYTES_MAX + 8 * n)
		return no(why, AG_INVALID_FIELD, "out_of_range", "/context",
		    "At most 4096 bytes.");
	sort_pairs(sorted, n);
	if ((p = *out = ag_alloc(ctx, *len + 1)) == NULL)
		return AG_NO_MEMORY;
	for (size_t i = 0; i < n; i++) {
		if (i > 0 && strcmp(sorted[i]->key, sorted[i - 1]->key) == 0)
			return no(why, AG_INVALID_FIELD, "conflicting_fields", "/context",
			    "A key occurs twice.");
		p = put_part(p, sorted[i]->key, strlen(sorted[i]->key));
		p = put_part(p, sorted[i]->value, strlen(sorted[i]->value));
	}
	return AG_OK;
}

ag_err
bound_aad(struct ag_ctx *ctx, const char *tenant, const char *key_id,
    uint32_t version, const uint8_t *context, size_t context_len,
    uint8_t **out, size_t *len)
{
	size_t tenant_len = strlen(tenant), id_len = strlen(key_id);
	uint8_t be[4] = { (uint8_t)(version >> 24), (uint8_t)(version >> 16),
		(uint8_t)(version >> 8), (uint8_t)version };
	uint8_t *p;

	*len = 16 + tenant_len + id_len + sizeof(be) + context_len;
	if ((p = *out = ag_alloc(ctx, *len)) == NULL)
		return AG_NO_MEMORY;
	p = put_part(p, tenant, tenant_len);
	p = put_part(p, key_id, id_len);
	p = put_part(p, be, sizeof(be));
	put_part(p, context, context_len);
	return AG_OK;
}
