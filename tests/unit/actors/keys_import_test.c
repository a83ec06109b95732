/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Import of wrapped key material, through a shard and a root of trust: what is
 * right comes in, what is wrong is refused with the reason, and every importer
 * ends: used, tried too often, or over.
 */
#include "keys_fixture.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#define OAEP AG__WRAPPING_ALGORITHM__V__RSAES_OAEP_SHA_256
#define KEY_WRAP AG__WRAPPING_ALGORITHM__V__RSA_AES_KEY_WRAP_SHA_256

struct importer {
	char id[AG_ID_SIZE];
	int algorithm;
	EVP_PKEY *pkey;
	int64_t expires_at;
};

static struct importer
importer_new(struct fixture *f, int algorithm)
{
	Ag__ImportParametersAsk ask = AG__IMPORT_PARAMETERS_ASK__INIT;
	const Ag__ImportParametersReply *r;
	struct importer i = { .algorithm = algorithm };
	BIO *bio;

	ask.wrapping_algorithm = (Ag__WrappingAlgorithm__V)algorithm;
	assert_int_equal(operate(f, AG_MSG_KEY_IMPORT_PARAMETERS, NULL, &ask), AG_OK);
	r = (const Ag__ImportParametersReply *)f->reply;
	snprintf(i.id, sizeof(i.id), "%s", r->import_id);
	i.expires_at = r->expires_at;
	bio = BIO_new_mem_buf(r->public_key_pem, -1);
	i.pkey = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
	BIO_free(bio);
	assert_non_null(i.pkey);
	assert_int_equal(EVP_PKEY_get_bits(i.pkey), 4096);
	return i;
}

static size_t
oaep(EVP_PKEY *pkey, const uint8_t *in, size_t len, uint8_t *out)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
	size_t n = 512;

	assert_int_equal(EVP_PKEY_encrypt_init(ctx), 1);
	assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING), 1);
	assert_int_equal(EVP_PKEY_CTX_set_rsa_oaep_md(ctx, EVP_sha256()), 1);
	assert_int_equal(EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_sha256()), 1);
	assert_int_equal(EVP_PKEY_encrypt(ctx, out, &n, in, len), 1);
	EVP_PKEY_CTX_free(ctx);
	return n;
}

static size_t
wrap(const struct importer *i, const uint8_t *in, size_t len, uint8_t *out)
{
	static const uint8_t kek[32] = { 7, 7, 7 };
	EVP_CIPHER_CTX *ctx;
	int n = 0;

	if (i->algorithm == OAEP)
		return oaep(i->pkey, in, len, out);
	oaep(i->pkey, kek, sizeof(kek), out);
	ctx = EVP_CIPHER_CTX_new();
	EVP_CIPHER_CTX_set_flags(ctx, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
	assert_int_equal(EVP_EncryptInit_ex(ctx, EVP_aes_256_wrap_pad(), NULL, kek, NULL), 1);
	assert_int_equal(EVP_EncryptUpdate(ctx, out + 512, &n, in, (int)len), 1);
	EVP_CIPHER_CTX_free(ctx);
	return 512 + (size_t)n;
}

static ag_err
import_bytes(struct fixture *f, const struct importer *i, int spec, const char *id,
    uint8_t *bytes, size_t len)
{
	Ag__KeyImportAsk ask = AG__KEY_IMPORT_ASK__INIT;

	ask.key_spec = (Ag__KeySpec__V)spec;
	ask.import_id = (char *)(uintptr_t)i->id;
	ask.has_wrapping_algorithm = ask.has_wrapped_key_b64 = true;
	ask.wrapping_algorithm = (Ag__WrappingAlgorithm__V)i->algorithm;
	ask.wrapped_key_b64 = (ProtobufCBinaryData){ len, bytes };
	return operate(f, AG_MSG_KEY_IMPORT, id, &ask);
}

static ag_err
import_material(struct fixture *f, const struct importer *i, int spec, const char *id,
    const uint8_t *material, size_t len)
{
	uint8_t wrapped[8192];

	return import_bytes(f, i, spec, id, wrapped, wrap(i, material, len, wrapped));
}

static EVP_PKEY *
rsa_with_exponent(unsigned bits, unsigned long e)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	BIGNUM *exponent = BN_new();
	EVP_PKEY *pkey = NULL;

	BN_set_word(exponent, e);
	assert_int_equal(EVP_PKEY_keygen_init(ctx), 1);
	assert_int_equal(EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, (int)bits), 1);
	assert_int_equal(EVP_PKEY_CTX_set1_rsa_keygen_pubexp(ctx, exponent), 1);
	assert_int_equal(EVP_PKEY_generate(ctx, &pkey), 1);
	BN_free(exponent);
	EVP_PKEY_CTX_free(ctx);
	return pkey;
}

static size_t
pkcs8(EVP_PKEY *pkey, uint8_t *out)
{
	PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(pkey);
	int n = i2d_PKCS8_PRIV_KEY_INFO(info, &out);

	PKCS8_PRIV_KEY_INFO_free(info);
	assert_true(n > 0);
	return (size_t)n;
}

static const uint8_t aes[32] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 };

static void
test_symmetric(void **state)
{
	Ag__EncryptAsk ask = AG__ENCRYPT_ASK__INIT;
	const Ag__EncryptReply *r;
	struct fixture f;
	struct importer i;
	struct parsed p;
	struct ag_secret *secret;
	struct text t = { 0 };
	uint8_t bytes[512] = { 0 }, plain[64];
	const Ag__Key *key;
	const char *id;

	fixture_new(&f, NULL);
	i = importer_new(&f, OAEP);
	assert_int_equal(i.expires_at, ag_kit_now(f.rot) + 3600000);
	id = new_id(&f);
	/* Nothing of what is wrong uses it up: a length, garbage, wrong material. */
	assert_int_equal(import_bytes(&f, &i, SPEC(AES_256), id, bytes, 32), AG_INVALID_FIELD);
	assert_string_equal(f.reason_code, "out_of_range");
	assert_int_equal(import_bytes(&f, &i, SPEC(AES_256), id, bytes, 512),
	    AG_CRYPTOGRAPHIC_FAILURE);
	assert_int_equal(import_material(&f, &i, SPEC(AES_256), id, aes, 31), AG_INVALID_FIELD);
	assert_string_equal(f.reason_code, "out_of_range");
	f.tenant = "elsewhere";
	assert_int_equal(import_material(&f, &i, SPEC(AES_256), id, aes, 32), AG_INVALID_FIELD);
	assert_string_equal(f.reason_code, "unknown_value");
	f.tenant = NULL;
	assert_int_equal(import_material(&f, &i, SPEC(AES_256), id, aes, 32), AG_OK);
	key = (const Ag__Key *)f.reply;
	assert_string_equal(key->versions[0]->origin, "imported");
	assert_int_equal(key->state, STATE(PreActive));
	assert_int_equal(key->n_usage, 5);
	assert_int_equal(import_material(&f, &i, SPEC(AES_256), new_id(&f), aes, 32),
	    AG_INVALID_FIELD); /* once */
	assert_string_equal(f.reason_code, "unknown_value");
	/* It is that key: what it encrypts opens with the original. */
	assert_int_equal(operate_plain(&f, AG_MSG_KEY_ACTIVATE, id), AG_OK);
	ask.plaintext_b64 = TEXT("invoice 17");
	ask.has_format = true;
	ask.format = AG__CIPHER_FORMAT__V__raw;
	assert_int_equal(operate(&f, AG_MSG_KEY_ENCRYPT, id, &ask), AG_OK);
	r = (const Ag__EncryptReply *)f.reply;
	assert_int_equal(ag_secret_copy(aes, 32, &secret), AG_OK);
	assert_int_equal(parsed_private(spec_find(SPEC(AES_256)), &secret, &p), AG_OK);
	t.in = r->ciphertext_b64.data;
	t.len = r->ciphertext_b64.len;
	assert_int_equal(aead_decrypt(&p, &t, r->iv_b64.data, r->tag_b64.data, plain), AG_OK);
	assert_memory_equal(plain, "invoice 17", 10);
	parsed_fini(&p);
	/* And rotates like every other. */
	assert_int_equal(operate_plain(&f, AG_MSG_KEY_ROTATE, id), AG_OK);
	key = (const Ag__Key *)f.reply;
	assert_string_equal(key->versions[1]->origin, "generated");
	EVP_PKEY_free(i.pkey);
	fixture_free(&f);
}

static void
test_private(void **state)
{
	EVP_PKEY *p256 = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "prime256v1");
	EVP_PKEY *p384 = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "secp384r1");
	EVP_PKEY *weak = rsa_with_exponent(2048, 3);
	Ag__SignAsk ask = AG__SIGN_ASK__INIT;
	const Ag__SignReply *r;
	struct fixture f;
	struct importer i;
	uint8_t der[4096];
	EVP_MD_CTX *md;
	const char *id;
	size_t len;

	fixture_new(&f, NULL);
	i = importer_new(&f, KEY_WRAP);
	id = new_id(&f);
	len = pkcs8(p384, der);
	assert_int_equal(import_material(&f, &i, SPEC(EC_P256), id, der, len), AG_INVALID_FIELD);
	assert_string_equal(f.reason_code, "wrong_type");
	len = pkcs8(weak, der);
	assert_int_equal(import_material(&f, &i, SPEC(RSA_2048), id, der, len), AG_INVALID_FIELD);
	assert_string_equal(f.reason_code, "out_of_range");
	len = pkcs8(p256, der);
	der[len++] = 0; /* something behind it */
	assert_int_equal(import_material(&f, &i, SPEC(EC_P256), id, der, len), AG_INVALID_FIELD);
	assert_string_equal(f.reason_code, "wrong_type");
	assert_int_equal(import_bytes(&f, &i, SPEC(EC_P256), id, der, 1 + len), AG_INVALID_FIELD);
	assert_string_equal(f.reason_code, "out_of_range"); /* unwrapped */
	assert_int_equal(import_material(&f, &i, SPEC(EC_P256), id, der, len - 1), AG_OK);
	assert_int_equal(operate_plain(&f, AG_MSG_KEY_ACTIVATE, id), AG_OK);
	ask.message_b64 = TEXT("m");
	assert_int_equal(operate(&f, AG_MSG_KEY_SIGN, id, &ask), AG_OK);
	r = (const Ag__SignReply *)f.reply;
	md = EVP_MD_CTX_new();
	assert_int_equal(EVP_DigestVerifyInit(md, NULL, EVP_sha256(), NULL, p256), 1);
	assert_int_equal(EVP_DigestVerify(md, r->signature_b64.data, r->signature_b64.len,
	    (const uint8_t *)"m", 1), 1);
	EVP_MD_CTX_free(md);
	EVP_PKEY_free(p256);
	EVP_PKEY_free(p384);
	EVP_PKEY_free(weak);
	EVP_PKEY_free(i.pkey);
	fixture_free(&f);
}

static void
test_importers_end(void **state)
{
	struct fixture f;
	struct importer tried, late;
	uint8_t garbage[512] = { 1 };

	fixture_new(&f, NULL);
	tried = importer_new(&f, OAEP);
	late = importer_new(&f, OAEP);
	for (int n = 0; n < 5; n++)
		assert_int_equal(import_bytes(&f, &tried, SPEC(AES_256), new_id(&f), garbage, 512),
		    AG_CRYPTOGRAPHIC_FAILURE);
	assert_int_equal(import_material(&f, &tried, SPEC(AES_256), new_id(&f), aes, 32),
	    AG_INVALID_FIELD);
	assert_string_equal(f.reason_code, "unknown_value");
	late.algorithm = KEY_WRAP;
	assert_int_equal(import_material(&f, &late, SPEC(AES_256), new_id(&f), aes, 32),
	    AG_INVALID_FIELD);
	assert_string_equal(f.reason_code, "conflicting_fields");
	late.algorithm = OAEP;
	fixture_advance(&f, 3600000);
	assert_int_equal(import_material(&f, &late, SPEC(AES_256), new_id(&f), aes, 32),
	    AG_INVALID_FIELD);
	assert_string_equal(f.reason_code, "unknown_value");
	EVP_PKEY_free(tried.pkey);
	EVP_PKEY_free(late.pkey);
	fixture_free(&f);
}

/* Refused before the root of trust hears of it. */
static void
test_parts(void **state)
{
	Ag__KeyImportAsk ask = AG__KEY_IMPORT_ASK__INIT;
	struct fixture f;

	fixture_new(&f, NULL);
	ask.key_spec = SPEC(AES_256);
	assert_int_equal(operate(&f, AG_MSG_KEY_IMPORT, new_id(&f), &ask), AG_INVALID_FIELD);
	assert_string_equal(f.field, "/import_id");
	ask.import_id = (char *)(uintptr_t)"imp_0190a0000000700080000000000000aa";
	assert_int_equal(operate(&f, AG_MSG_KEY_IMPORT, new_id(&f), &ask), AG_INVALID_FIELD);
	assert_string_equal(f.field, "/wrapping_algorithm");
	ask.has_wrapping_algorithm = true;
	ask.wrapping_algorithm = OAEP;
	assert_int_equal(operate(&f, AG_MSG_KEY_IMPORT, new_id(&f), &ask), AG_INVALID_FIELD);
	assert_string_equal(f.field, "/wrapped_key_b64");
	ask.public_key_pem = (char *)(uintptr_t)"-----BEGIN PUBLIC KEY-----\n";
	assert_int_equal(operate(&f, AG_MSG_KEY_IMPORT, new_id(&f), &ask), AG_INVALID_FIELD);
	assert_string_equal(f.reason_code, "conflicting_fields");
	ask.has_wrapping_algorithm = false;
	ask.import_id = NULL;
	assert_int_equal(operate(&f, AG_MSG_KEY_IMPORT, new_id(&f), &ask), AG_INVALID_FIELD);
	assert_string_equal(f.field, "/public_key_pem");
	assert_int_equal(f.generates, 0);
	fixture_free(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_symmetric),
		cmocka_unit_test(test_private),
		cmocka_unit_test(test_importers_end),
		cmocka_unit_test(test_parts),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
