/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parsed keys and signatures. Contexts are prepared once and used again: with
 * that a P-256 signature costs what its arithmetic costs.
 */
#include "crypto.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

enum { DER_BYTES_MAX = 16384 };

ag_err
no(struct why *why, ag_err err, const char *reason_code, const char *field,
    const char *detail)
{
	*why = (struct why){ reason_code, field, detail };
	return err;
}

/* ------------------------------------------------------------ parsed keys */

static bool
is_spec(const EVP_PKEY *pkey, const struct spec *spec)
{
	char group[32] = "";

	if (spec->kind == SPEC_EC)
		return EVP_PKEY_is_a(pkey, "EC") &&
		    EVP_PKEY_get_group_name(pkey, group, sizeof(group), NULL) == 1 &&
		    strcmp(group, spec->name) == 0;
	if (!EVP_PKEY_is_a(pkey, spec->name))
		return false;
	return spec->kind != SPEC_RSA || EVP_PKEY_get_bits(pkey) == (int)spec->bits;
}

ag_err
parsed_private(const struct spec *spec, struct ag_secret **material,
    struct parsed *out)
{
	const uint8_t *der = ag_secret_bytes(*material);
	size_t len = ag_secret_len(*material);
	PKCS8_PRIV_KEY_INFO *info;

	*out = (struct parsed){ .spec = spec };
	if (spec->kind == SPEC_SYMMETRIC) {
		if (!spec_length_fits(spec, len))
			return AG_CORRUPT;
		out->raw = *material;
		*material = NULL;
		return AG_OK;
	}
	info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &der, (long)len);
	if (info != NULL)
		out->pkey = EVP_PKCS82PKEY(info);
	PKCS8_PRIV_KEY_INFO_free(info);
	ag_secret_free(material);
	if (out->pkey == NULL || !is_spec(out->pkey, spec)) {
		ERR_clear_error();
		parsed_fini(out);
		return AG_CORRUPT;
	}
	return AG_OK;
}

ag_err
parsed_public(const struct spec *spec, const uint8_t *der, size_t len,
    struct parsed *out)
{
	const uint8_t *end = der;

	*out = (struct parsed){ .spec = spec };
	if (len == 0 || len > DER_BYTES_MAX)
		return AG_CORRUPT;
	out->pkey = d2i_PUBKEY(NULL, &end, (long)len);
	if (out->pkey == NULL || end != der + len || !is_spec(out->pkey, spec)) {
		ERR_clear_error();
		parsed_fini(out);
		return AG_CORRUPT;
	}
	return AG_OK;
}

void
parsed_fini(struct parsed *p)
{
	cipher_forget(p);
	EVP_PKEY_CTX_free(p->sign_ctx);
	EVP_PKEY_CTX_free(p->verify_ctx);
	EVP_MD_CTX_free(p->ed_sign);
	EVP_PKEY_free(p->pkey);
	ag_secret_free(&p->raw);
	*p = (struct parsed){ 0 };
}

/* What no signature under it would be worth anything with (RFC 8017 §3.1).
 * Small exponents are others' choice: they verify. */
static bool
is_sound_rsa(const EVP_PKEY *pkey)
{
	BIGNUM *n = NULL, *e = NULL;
	bool ok = EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &n) == 1 &&
	    EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &e) == 1 &&
	    BN_is_odd(n) && BN_is_odd(e) && !BN_is_one(e);

	BN_free(n);
	BN_free(e);
	return ok;
}

ag_err
public_from_pem(const struct spec *spec, const char *pem, uint8_t **der,
    size_t *der_len, struct why *why)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	char *name = NULL, *header = NULL, *name2 = NULL, *header2 = NULL;
	uint8_t *bytes = NULL, *bytes2 = NULL;
	struct parsed p = { 0 };
	long len = 0, len2 = 0;
	ag_err err = AG_INVALID_FIELD;
	bool sound = true;
	int der_size;

	*der = NULL;
	if (bio == NULL || PEM_read_bio(bio, &name, &header, &bytes, &len) != 1 ||
	    strcmp(name, PEM_STRING_PUBLIC) != 0 ||
	    PEM_read_bio(bio, &name2, &header2, &bytes2, &len2) == 1)
		goto out;
	if (parsed_public(spec, bytes, (size_t)len, &p) != AG_OK)
		goto out;
	if (spec->kind == SPEC_RSA && !is_sound_rsa(p.pkey)) {
		sound = false;
		goto out;
	}
	/* Kept as we would write it. */
	if ((der_size = i2d_PUBKEY(p.pkey, der)) <= 0)
		goto out;
	*der_len = (size_t)der_size;
	err = AG_OK;
out:
	if (!sound)
		err = no(why, AG_INVALID_FIELD, "out_of_range", "/public_key_pem",
		    "An RSA key has an odd modulus and an odd exponent of 3 or more.");
	else if (err != AG_OK)
		err = no(why, AG_INVALID_FIELD, "wrong_type", "/public_key_pem",
		    "One PEM block PUBLIC KEY with a key of this key_spec is wanted.");
	parsed_fini(&p);
	OPENSSL_free(name);
	OPENSSL_free(header);
	OPENSSL_clear_free(bytes, len > 0 ? (size_t)len : 0);
	OPENSSL_free(name2);
	OPENSSL_free(header2);
	OPENSSL_clear_free(bytes2, len2 > 0 ? (size_t)len2 : 0);
	BIO_free(bio);
	ERR_clear_error();
	return err;
}

/* ------------------------------------------------------------- signatures */

/* Digests by name, fetched once: a lookup costs more than a hash. */
static const EVP_MD *
digest(const char *name)
{
	static struct {
		const char *name;
		EVP_MD *md;
	} known[] = { { "SHA256", NULL }, { "SHA384", NULL }, { "SHA512", NULL } };

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcmp(known[i].name, name) != 0)
			continue;
		if (known[i].md == NULL)
			known[i].md = EVP_MD_fetch(NULL, name, NULL);
		return known[i].md;
	}
	return NULL;
}

ag_err
message_check(const struct algorithm *a, const struct message *m, struct why *why)
{
	if (!m->is_digest)
		return AG_OK;
	if (a->family == FAMILY_EDDSA)
		return no(why, AG_INVALID_FIELD, "algorithm_mismatch", "/message_type",
		    "This algorithm signs the message itself, not a digest.");
	if (m->len != a->size)
		return no(why, AG_INVALID_FIELD, "out_of_range", "/message_b64",
		    "A digest has the length of the algorithm's hash.");
	return AG_OK;
}

static ag_err
prepare(EVP_PKEY_CTX **ctx, const struct algorithm **current, EVP_PKEY *pkey,
    const struct algorithm *a, bool to_sign)
{
	const EVP_MD *md = digest(a->name);
	int ok;

	if (*ctx != NULL && *current == a)
		return AG_OK;
	EVP_PKEY_CTX_free(*ctx);
	*current = NULL;
	if ((*ctx = EVP_PKEY_CTX_new(pkey, NULL)) == NULL || md == NULL)
		return AG_NO_MEMORY;
	ok = to_sign ? EVP_PKEY_sign_init(*ctx) : EVP_PKEY_verify_init(*ctx);
	if (ok == 1 && a->family == FAMILY_PSS)
		ok = EVP_PKEY_CTX_set_rsa_padding(*ctx, RSA_PKCS1_PSS_PADDING);
	else if (ok == 1 && a->family == FAMILY_PKCS1)
		ok = EVP_PKEY_CTX_set_rsa_padding(*ctx, RSA_PKCS1_PADDING);
	if (ok == 1)
		ok = EVP_PKEY_CTX_set_signature_md(*ctx, md);
	if (ok == 1 && a->family == FAMILY_PSS)
		ok = EVP_PKEY_CTX_set_rsa_pss_saltlen(*ctx, RSA_PSS_SALTLEN_DIGEST);
	if (ok != 1) {
		ERR_clear_error();
		return AG_GENERAL_FAILURE;
	}
	*current = a;
	return AG_OK;
}

/* The bytes that are signed: the digest, ours or the caller's. */
static bool
hashed(const struct algorithm *a, const struct message *m,
    uint8_t buf[EVP_MAX_MD_SIZE], const uint8_t **out, size_t *len)
{
	unsigned n = 0;

	*out = buf;
	if (m->is_digest) {
		*out = m->data;
		*len = m->len;
		return true;
	}
	if (EVP_Digest(m->data, m->len, buf, &n, digest(a->name), NULL) != 1)
		return false;
	*len = n;
	return true;
}

/* r ‖ s of fixed width (IEEE P1363) from DER, in place. */
static bool
der_to_p1363(uint8_t *sig, size_t *len, size_t width)
{
	const uint8_t *p = sig;
	ECDSA_SIG *rs = d2i_ECDSA_SIG(NULL, &p, (long)*len);
	bool ok = rs != NULL &&
	    BN_bn2binpad(ECDSA_SIG_get0_r(rs), sig, (int)width) == (int)width &&
	    BN_bn2binpad(ECDSA_SIG_get0_s(rs), sig + width, (int)width) == (int)width;

	ECDSA_SIG_free(rs);
	*len = 2 * width;
	return ok;
}

static bool
p1363_to_der(const uint8_t *sig, size_t len, size_t width, uint8_t *der,
    size_t *der_len)
{
	ECDSA_SIG *rs;
	BIGNUM *r = NULL, *s = NULL;
	int n = -1;

	if (len != 2 * width || (rs = ECDSA_SIG_new()) == NULL)
		return false;
	r = BN_bin2bn(sig, (int)width, NULL);
	s = BN_bin2bn(sig + width, (int)width, NULL);
	if (r != NULL && s != NULL && ECDSA_SIG_set0(rs, r, s) == 1) {
		r = s = NULL;
		n = i2d_ECDSA_SIG(rs, &der);
	}
	BN_free(r);
	BN_free(s);
	ECDSA_SIG_free(rs);
	*der_len = n > 0 ? (size_t)n : 0;
	return n > 0;
}

static ag_err
sign_eddsa(struct parsed *p, const struct message *m, uint8_t *out, size_t *out_len)
{
	if (p->ed_sign == NULL) {
		if ((p->ed_sign = EVP_MD_CTX_new()) == NULL)
			return AG_NO_MEMORY;
		if (EVP_DigestSignInit(p->ed_sign, NULL, NULL, NULL, p->pkey) != 1) {
			EVP_MD_CTX_free(p->ed_sign);
			p->ed_sign = NULL;
			ERR_clear_error();
			return AG_GENERAL_FAILURE;
		}
	}
	*out_len = SIGNATURE_BYTES_MAX;
	if (EVP_DigestSign(p->ed_sign, out, out_len, m->data, m->len) == 1)
		return AG_OK;
	ERR_clear_error();
	return AG_GENERAL_FAILURE;
}

ag_err
keys_sign(struct parsed *p, const struct algorithm *a, const struct message *m,
    bool p1363, uint8_t out[SIGNATURE_BYTES_MAX], size_t *out_len)
{
	uint8_t buf[EVP_MAX_MD_SIZE];
	const uint8_t *tbs;
	size_t tbs_len;
	ag_err err;

	if (a->family == FAMILY_EDDSA)
		return sign_eddsa(p, m, out, out_len);
	if ((err = prepare(&p->sign_ctx, &p->sign_alg, p->pkey, a, true)) != AG_OK)
		return err;
	*out_len = SIGNATURE_BYTES_MAX;
	if (!hashed(a, m, buf, &tbs, &tbs_len) ||
	    EVP_PKEY_sign(p->sign_ctx, out, out_len, tbs, tbs_len) != 1 ||
	    (a->family == FAMILY_ECDSA && p1363 &&
	    !der_to_p1363(out, out_len, p->spec->bits))) {
		ERR_clear_error();
		return AG_GENERAL_FAILURE;
	}
	return AG_OK;
}

static bool
verify_eddsa(struct parsed *p, const struct message *m, const uint8_t *sig,
    size_t sig_len)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx != NULL &&
	    EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, p->pkey) == 1 &&
	    EVP_DigestVerify(ctx, sig, sig_len, m->data, m->len) == 1;

	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	return ok;
}

ag_err
keys_verify(struct parsed *p, const struct algorithm *a, const struct message *m,
    const uint8_t *sig, size_t sig_len, bool p1363, bool *valid)
{
	uint8_t buf[EVP_MAX_MD_SIZE], der[SIGNATURE_BYTES_MAX];
	const uint8_t *tbs;
	size_t tbs_len;
	ag_err err;

	*valid = false;
	if (a->family == FAMILY_EDDSA) {
		*valid = verify_eddsa(p, m, sig, sig_len);
		return AG_OK;
	}
	if ((err = prepare(&p->verify_ctx, &p->verify_alg, p->pkey, a, false)) != AG_OK)
		return err;
	if (!hashed(a, m, buf, &tbs, &tbs_len))
		return AG_GENERAL_FAILURE;
	if (a->family == FAMILY_ECDSA && p1363) {
		if (!p1363_to_der(sig, sig_len, p->spec->bits, der, &sig_len))
			return AG_OK;
		sig = der;
	}
	*valid = EVP_PKEY_verify(p->verify_ctx, sig, sig_len, tbs, tbs_len) == 1;
	if (!*valid)
		ERR_clear_error();
	return AG_OK;
}
