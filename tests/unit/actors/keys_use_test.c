/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Using keys through the actor: sign, verify, encrypt, decrypt, data keys,
 * batches; what is refused before a key is touched; loading and caching.
 */
#include "keys_fixture.h"

#define NO_WINDOW "keys:\n  destroy_min_window_s: 0\n"

static const Ag__SignReply *
sign(struct fixture *f, const char *id, const char *text)
{
	Ag__SignAsk ask = AG__SIGN_ASK__INIT;

	ask.message_b64 = (ProtobufCBinaryData){ strlen(text), (uint8_t *)(uintptr_t)text };
	assert_int_equal(operate(f, AG_MSG_KEY_SIGN, id, &ask), AG_OK);
	return (const Ag__SignReply *)f->reply;
}

static bool
verifies(struct fixture *f, const char *id, const char *text,
    const uint8_t *sig, size_t len, bool p1363)
{
	Ag__VerifyAsk ask = AG__VERIFY_ASK__INIT;

	ask.message_b64 = (ProtobufCBinaryData){ strlen(text), (uint8_t *)(uintptr_t)text };
	ask.signature_b64 = (ProtobufCBinaryData){ len, (uint8_t *)(uintptr_t)sig };
	ask.has_signature_format = p1363;
	ask.signature_format = AG__SIGNATURE_FORMAT__V__p1363;
	assert_int_equal(operate(f, AG_MSG_KEY_VERIFY, id, &ask), AG_OK);
	return ((const Ag__VerifyReply *)f->reply)->valid;
}

static void
test_sign_and_verify_every_spec(void **state)
{
	static const int specs[] = { SPEC(EC_P256), SPEC(EC_P384), SPEC(EC_P521),
		SPEC(EC_SECP256K1), SPEC(ED25519), SPEC(ED448), SPEC(RSA_2048) };
	struct fixture f;
	uint8_t sig[1024];
	size_t len;

	fixture_new(&f, NULL);
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		const char *id = new_key(&f, specs[i], true);
		const Ag__SignReply *r = sign(&f, id, "invoice 17");

		len = r->signature_b64.len;
		memcpy(sig, r->signature_b64.data, len);
		assert_int_equal(r->key_version, 1);
		assert_true(verifies(&f, id, "invoice 17", sig, len, false));
		assert_false(verifies(&f, id, "invoice 18", sig, len, false));
		sig[len / 2] ^= 1;
		assert_false(verifies(&f, id, "invoice 17", sig, len, false));
		assert_false(verifies(&f, id, "invoice 17", sig, 0, false));
	}
	fixture_free(&f);
}

static void
test_every_rsa_algorithm(void **state)
{
	struct fixture f;
	uint8_t sig[256];
	const char *id;

	fixture_new(&f, NULL);
	id = new_key(&f, SPEC(RSA_2048), true);
	for (int a = AG__ALGORITHM__V__RSASSA_PSS_SHA_256;
	    a <= AG__ALGORITHM__V__RSASSA_PKCS1_V1_5_SHA_512; a++) {
		Ag__SignAsk ask = AG__SIGN_ASK__INIT;
		Ag__VerifyAsk v = AG__VERIFY_ASK__INIT;

		ask.message_b64 = v.message_b64 = TEXT("m");
		ask.has_algorithm = v.has_algorithm = true;
		ask.algorithm = v.algorithm = (Ag__Algorithm__V)a;
		assert_int_equal(operate(&f, AG_MSG_KEY_SIGN, id, &ask), AG_OK);
		memcpy(sig, ((const Ag__SignReply *)f.reply)->signature_b64.data, 256);
		v.signature_b64 = (ProtobufCBinaryData){ 256, sig };
		assert_int_equal(operate(&f, AG_MSG_KEY_VERIFY, id, &v), AG_OK);
		assert_true(((const Ag__VerifyReply *)f.reply)->valid);
		v.algorithm = (Ag__Algorithm__V)(a == 1 ? 2 : a - 1);
		assert_int_equal(operate(&f, AG_MSG_KEY_VERIFY, id, &v), AG_OK);
		assert_false(((const Ag__VerifyReply *)f.reply)->valid);
	}
	fixture_free(&f);
}

static void
test_digest_and_p1363(void **state)
{
	struct fixture f;
	Ag__SignAsk ask = AG__SIGN_ASK__INIT;
	uint8_t digest[32], sig[64];
	const char *id;

	fixture_new(&f, NULL);
	id = new_key(&f, SPEC(EC_P256), true);
	ag_sha256("abc", 3, digest);
	ask.message_b64 = (ProtobufCBinaryData){ 32, digest };
	ask.has_message_type = ask.has_signature_format = true;
	ask.message_type = AG__MESSAGE_TYPE__V__digest;
	ask.signature_format = AG__SIGNATURE_FORMAT__V__p1363;
	assert_int_equal(operate(&f, AG_MSG_KEY_SIGN, id, &ask), AG_OK);
	assert_int_equal(((const Ag__SignReply *)f.reply)->signature_b64.len, 64);
	memcpy(sig, ((const Ag__SignReply *)f.reply)->signature_b64.data, 64);
	assert_true(verifies(&f, id, "abc", sig, 64, true));
	assert_false(verifies(&f, id, "abc", sig, 63, true));
	assert_false(verifies(&f, id, "abc", sig, 64, false)); /* it is no DER */
	ask.message_b64.len = 31;
	assert_int_equal(operate(&f, AG_MSG_KEY_SIGN, id, &ask), AG_INVALID_FIELD);
	assert_string_equal(f.reason_code, "out_of_range");
	id = new_key(&f, SPEC(ED25519), true);
	ask.message_b64.len = 32;
	assert_int_equal(operate(&f, AG_MSG_KEY_SIGN, id, &ask), AG_INVALID_FIELD);
	assert_string_equal(f.reason_code, "algorithm_mismatch");
	fixture_free(&f);
}

static void
test_wrong_use_reaches_no_root_of_trust(void **state)
{
	struct fixture f;
	Ag__SignAsk s = AG__SIGN_ASK__INIT;
	Ag__EncryptAsk e = AG__ENCRYPT_ASK__INIT;
	Ag__DataKeyAsk d = AG__DATA_KEY_ASK__INIT;
	const char *aes, *ec;

	fixture_new(&f, NULL);
	aes = new_key(&f, SPEC(AES_256), true);
	ec = new_key(&f, SPEC(EC_P256), true);
	s.message_b64 = TEXT("m");
	e.plaintext_b64 = TEXT("m");
	d.data_key_spec = SPEC(AES_256);
	assert_int_equal(operate(&f, AG_MSG_KEY_SIGN, aes, &s), AG_ILLEGAL_OPERATION);
	assert_string_equal(f.reason_code, "usage");
	assert_int_equal(operate(&f, AG_MSG_KEY_ENCRYPT, ec, &e), AG_ILLEGAL_OPERATION);
	assert_int_equal(operate(&f, AG_MSG_KEY_DATA_KEY, ec, &d), AG_ILLEGAL_OPERATION);
	s.has_algorithm = true;
	s.algorithm = AG__ALGORITHM__V__RSASSA_PSS_SHA_256;
	assert_int_equal(operate(&f, AG_MSG_KEY_SIGN, ec, &s), AG_INVALID_FIELD);
	assert_string_equal(f.reason_code, "algorithm_mismatch");
	assert_int_equal(f.loads, 0);
	fixture_free(&f);
}

/* Loads once for many who wait; state changes wipe what was loaded. */
static void
test_single_flight_and_wipe(void **state)
{
	struct fixture f;
	Ag__SignAsk ask = AG__SIGN_ASK__INIT;
	struct keys *k;
	const char *id;

	fixture_new(&f, NULL);
	id = new_key(&f, SPEC(EC_P256), true);
	k = ag_kit_state(f.keys);
	ask.message_b64 = TEXT("m");
	for (int i = 0; i < 5; i++)
		fixture_send(&f, AG_MSG_KEY_SIGN, id, &ask);
	fixture_settle(&f);
	assert_int_equal(f.outcomes, 6);
	assert_int_equal(f.err, AG_OK);
	assert_int_equal(f.loads, 1);
	assert_int_equal(read_key(&f, id)->versions[0]->operations, 5);
	assert_int_equal(k->cache.parsed_count, 1);
	assert_int_equal(operate_reason(&f, AG_MSG_KEY_COMPROMISE, id), AG_OK);
	assert_int_equal(k->cache.parsed_count, 0);
	assert_int_equal(operate(&f, AG_MSG_KEY_SIGN, id, &ask), AG_KEY_COMPROMISED);
	fixture_free(&f);
}

static void
test_states(void **state)
{
	struct fixture f;
	Ag__SignAsk ask = AG__SIGN_ASK__INIT;
	uint8_t sig[256];
	size_t len;
	const char *id;

	fixture_new(&f, NULL);
	id = new_key(&f, SPEC(EC_P256), false);
	ask.message_b64 = TEXT("m");
	assert_int_equal(operate(&f, AG_MSG_KEY_SIGN, id, &ask), AG_INVALID_KEY_STATE);
	assert_string_equal(f.reason_code, "pre_active");
	assert_int_equal(f.loads, 0);
	assert_int_equal(operate_plain(&f, AG_MSG_KEY_ACTIVATE, id), AG_OK);
	len = sign(&f, id, "m")->signature_b64.len;
	memcpy(sig, ((const Ag__SignReply *)f.reply)->signature_b64.data, len);
	assert_int_equal(operate_reason(&f, AG_MSG_KEY_FREEZE, id), AG_OK);
	assert_int_equal(operate(&f, AG_MSG_KEY_SIGN, id, &ask), AG_INVALID_KEY_STATE);
	assert_string_equal(f.reason_code, "frozen");
	assert_int_equal(operate_reason(&f, AG_MSG_KEY_UNFREEZE, id), AG_OK);
	assert_int_equal(operate_reason(&f, AG_MSG_KEY_DEACTIVATE, id), AG_OK);
	assert_int_equal(operate(&f, AG_MSG_KEY_SIGN, id, &ask), AG_INVALID_KEY_STATE);
	assert_string_equal(f.reason_code, "deactivated");
	assert_true(verifies(&f, id, "m", sig, len, false));
	fixture_free(&f);
}

static void
test_verify_finds_the_version(void **state)
{
	struct fixture f;
	Ag__VerifyAsk ask = AG__VERIFY_ASK__INIT;
	uint8_t sig[256];
	size_t len;
	const char *id;

	fixture_new(&f, NULL);
	id = new_key(&f, SPEC(EC_P256), true);
	len = sign(&f, id, "m")->signature_b64.len;
	memcpy(sig, ((const Ag__SignReply *)f.reply)->signature_b64.data, len);
	for (int i = 0; i < 3; i++)
		assert_int_equal(operate_plain(&f, AG_MSG_KEY_ROTATE, id), AG_OK);
	assert_true(verifies(&f, id, "m", sig, len, false));
	assert_int_equal(((const Ag__VerifyReply *)f.reply)->key_version, 1);
	ask.message_b64 = TEXT("m");
	ask.signature_b64 = (ProtobufCBinaryData){ len, sig };
	ask.has_key_version = true;
	ask.key_version = 2;
	assert_int_equal(operate(&f, AG_MSG_KEY_VERIFY, id, &ask), AG_OK);
	assert_false(((const Ag__VerifyReply *)f.reply)->valid);
	ask.key_version = 5;
	assert_int_equal(operate(&f, AG_MSG_KEY_VERIFY, id, &ask), AG_INVALID_FIELD);
	fixture_free(&f);
}

/* ------------------------------------------------------------- encryption */

static Ag__Pair ctx_a, ctx_b;
static Ag__Pair *ab[] = { &ctx_a, &ctx_b }, *ba[] = { &ctx_b, &ctx_a };

static void
contexts(void)
{
	ag__pair__init(&ctx_a);
	ag__pair__init(&ctx_b);
	ctx_a.key = (char *)(uintptr_t)"a";
	ctx_a.value = (char *)(uintptr_t)"1";
	ctx_b.key = (char *)(uintptr_t)"b";
	ctx_b.value = (char *)(uintptr_t)"2";
}

static size_t
encrypt(struct fixture *f, const char *id, uint8_t *out)
{
	Ag__EncryptAsk ask = AG__ENCRYPT_ASK__INIT;
	const Ag__EncryptReply *r;

	ask.plaintext_b64 = TEXT("a secret");
	ask.context = ab;
	ask.n_context = 2;
	assert_int_equal(operate(f, AG_MSG_KEY_ENCRYPT, id, &ask), AG_OK);
	r = (const Ag__EncryptReply *)f->reply;
	memcpy(out, r->ciphertext_b64.data, r->ciphertext_b64.len);
	return r->ciphertext_b64.len;
}

static ag_err
decrypt(struct fixture *f, const char *id, uint8_t *bytes, size_t len, Ag__Pair **context,
    size_t n)
{
	Ag__DecryptAsk ask = AG__DECRYPT_ASK__INIT;

	ask.ciphertext_b64 = (ProtobufCBinaryData){ len, bytes };
	ask.context = context;
	ask.n_context = n;
	return operate(f, AG_MSG_KEY_DECRYPT, id, &ask);
}

static void
test_encrypt_is_bound(void **state)
{
	static const int specs[] = { SPEC(AES_256), SPEC(AES_128), SPEC(CHACHA20_POLY1305) };
	struct fixture f;
	uint8_t c[512];
	size_t len;

	fixture_new(&f, NULL);
	contexts();
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		const char *id = new_key(&f, specs[i], true), *other = new_key(&f, specs[i], true);
		const Ag__DecryptReply *r;
		char detail[512];

		len = encrypt(&f, id, c);
		assert_int_equal(len, 6 + 12 + 8 + 16);
		assert_int_equal(c[0], 1);
		assert_int_equal(c[5], 1); /* version */
		assert_int_equal(decrypt(&f, id, c, len, ba, 2), AG_OK);
		r = (const Ag__DecryptReply *)f.reply;
		assert_int_equal(r->plaintext_b64.len, 8);
		assert_memory_equal(r->plaintext_b64.data, "a secret", 8);
		/* Every failure is the same one, to the letter. */
		assert_int_equal(decrypt(&f, id, c, len, ab, 1), AG_CRYPTOGRAPHIC_FAILURE);
		strcpy(detail, f.detail);
		assert_string_equal(f.reason_code, "");
		assert_string_equal(f.field, "");
		for (size_t at = 0; at < len; at++) {
			c[at] ^= 1;
			assert_int_equal(decrypt(&f, id, c, len, ab, 2), AG_CRYPTOGRAPHIC_FAILURE);
			assert_string_equal(f.detail, detail);
			c[at] ^= 1;
		}
		for (size_t n = 0; n < len; n++) {
			assert_int_equal(decrypt(&f, id, c, n, ab, 2), AG_CRYPTOGRAPHIC_FAILURE);
			assert_string_equal(f.detail, detail);
		}
		assert_int_equal(decrypt(&f, other, c, len, ab, 2), AG_CRYPTOGRAPHIC_FAILURE);
		assert_string_equal(f.detail, detail);
	}
	fixture_free(&f);
}

static void
test_old_versions_stay_readable(void **state)
{
	struct fixture f;
	uint8_t c[512];
	size_t len;
	const char *id;

	fixture_new(&f, NULL);
	contexts();
	id = new_key(&f, SPEC(AES_256), true);
	len = encrypt(&f, id, c);
	for (int i = 0; i < 3; i++)
		assert_int_equal(operate_plain(&f, AG_MSG_KEY_ROTATE, id), AG_OK);
	assert_int_equal(decrypt(&f, id, c, len, ab, 2), AG_OK);
	assert_int_equal(((const Ag__DecryptReply *)f.reply)->key_version, 1);
	encrypt(&f, id, c);
	assert_int_equal(c[5], 4);
	fixture_free(&f);
}

static void
test_nothing_decrypts_after_destroy(void **state)
{
	struct fixture f;
	uint8_t c[512];
	size_t len;
	const char *id;

	fixture_new(&f, NO_WINDOW);
	contexts();
	id = new_key(&f, SPEC(AES_256), true);
	len = encrypt(&f, id, c);
	assert_int_equal(operate_reason(&f, AG_MSG_KEY_DEACTIVATE, id), AG_OK);
	assert_int_equal(decrypt(&f, id, c, len, ab, 2), AG_OK);
	assert_int_equal(destroy_key(&f, id, 0), AG_OK);
	assert_int_equal(decrypt(&f, id, c, len, ab, 2), AG_INVALID_KEY_STATE);
	fixture_advance(&f, 1000);
	assert_int_equal(decrypt(&f, id, c, len, ab, 2), AG_INVALID_KEY_STATE);
	assert_string_equal(f.reason_code, "destroyed");
	fixture_free(&f);
}

/* A tenant's end takes its parsed keys out of memory at once, nobody else's. */
static void
test_a_tenant_ends(void **state)
{
	struct fixture f;
	Ag__TenantEndedOrder order = AG__TENANT_ENDED_ORDER__INIT;
	const struct cache *cache;
	uint8_t c[512];

	fixture_new(&f, NULL);
	contexts();
	cache = &((const struct keys *)ag_kit_state(f.keys))->cache;
	(void)encrypt(&f, new_key(&f, SPEC(AES_256), true), c);
	f.tenant = "acme";
	(void)encrypt(&f, new_key(&f, SPEC(AES_256), true), c);
	(void)encrypt(&f, new_key(&f, SPEC(AES_128), true), c);
	assert_int_equal(cache->parsed_count, 3);
	order.tenant = (char *)(uintptr_t)"nobody";
	ag_kit_deliver(f.keys, AG_ROLE_IAM, 0, AG_MSG_TENANT_ENDED_ORDER, NULL,
	    &order);
	assert_int_equal(cache->parsed_count, 3);
	order.tenant = (char *)(uintptr_t)"acme";
	ag_kit_deliver(f.keys, AG_ROLE_IAM, 0, AG_MSG_TENANT_ENDED_ORDER, NULL,
	    &order);
	assert_int_equal(cache->parsed_count, 1);
	fixture_free(&f);
}

static void
test_raw_format(void **state)
{
	struct fixture f;
	Ag__EncryptAsk e = AG__ENCRYPT_ASK__INIT;
	Ag__DecryptAsk d = AG__DECRYPT_ASK__INIT;
	const Ag__EncryptReply *r;
	uint8_t c[64], iv[16] = { 0 }, tag[16];
	const char *id;

	fixture_new(&f, NULL);
	contexts();
	id = new_key(&f, SPEC(AES_256), true);
	e.plaintext_b64 = TEXT("text");
	e.has_format = e.has_aad_b64 = true;
	e.format = AG__CIPHER_FORMAT__V__raw;
	e.aad_b64 = TEXT("aad");
	assert_int_equal(operate(&f, AG_MSG_KEY_ENCRYPT, id, &e), AG_OK);
	r = (const Ag__EncryptReply *)f.reply;
	assert_int_equal(r->ciphertext_b64.len, 4);
	memcpy(c, r->ciphertext_b64.data, 4);
	memcpy(iv, r->iv_b64.data, 12);
	memcpy(tag, r->tag_b64.data, 16);
	d.ciphertext_b64 = (ProtobufCBinaryData){ 4, c };
	d.has_format = d.has_iv_b64 = d.has_tag_b64 = d.has_aad_b64 = true;
	d.format = e.format;
	d.iv_b64 = (ProtobufCBinaryData){ 12, iv };
	d.tag_b64 = (ProtobufCBinaryData){ 16, tag };
	d.aad_b64 = e.aad_b64;
	assert_int_equal(operate(&f, AG_MSG_KEY_DECRYPT, id, &d), AG_OK);
	assert_memory_equal(((const Ag__DecryptReply *)f.reply)->plaintext_b64.data, "text", 4);
	d.has_aad_b64 = false;
	assert_int_equal(operate(&f, AG_MSG_KEY_DECRYPT, id, &d), AG_CRYPTOGRAPHIC_FAILURE);
	d.has_key_version = true; /* 0 is no version */
	assert_int_equal(operate(&f, AG_MSG_KEY_DECRYPT, id, &d), AG_INVALID_FIELD);
	assert_string_equal(f.field, "/key_version");
	d.has_key_version = false;
	d.iv_b64.len = 16;
	assert_int_equal(operate(&f, AG_MSG_KEY_DECRYPT, id, &d), AG_INVALID_FIELD);
	assert_string_equal(f.field, "/iv_b64");
	e.context = ab;
	e.n_context = 2;
	assert_int_equal(operate(&f, AG_MSG_KEY_ENCRYPT, id, &e), AG_INVALID_FIELD);
	assert_string_equal(f.reason_code, "conflicting_fields");
	fixture_free(&f);
}

static const char *
new_rsa_for_encryption(struct fixture *f)
{
	Ag__KeyCreateAsk ask = AG__KEY_CREATE_ASK__INIT;
	Ag__Usage__V usage[] = { AG__USAGE__V__encrypt, AG__USAGE__V__decrypt };
	const char *id = new_id(f);

	ask.key_spec = SPEC(RSA_2048);
	ask.has_activate = ask.activate = true;
	ask.usage = usage;
	ask.n_usage = 2;
	assert_int_equal(operate(f, AG_MSG_KEY_CREATE, id, &ask), AG_OK);
	return id;
}

static void
test_rsa_oaep(void **state)
{
	struct fixture f;
	Ag__EncryptAsk e = AG__ENCRYPT_ASK__INIT;
	uint8_t c[512], big[191] = { 0 };
	size_t len;
	const char *id;

	fixture_new(&f, NULL);
	contexts();
	id = new_rsa_for_encryption(&f);
	len = encrypt(&f, id, c);
	assert_int_equal(len, 6 + 256);
	assert_int_equal(f.loads, 0); /* the public half suffices */
	assert_int_equal(decrypt(&f, id, c, len, ba, 2), AG_OK);
	assert_memory_equal(((const Ag__DecryptReply *)f.reply)->plaintext_b64.data, "a secret", 8);
	assert_int_equal(decrypt(&f, id, c, len, ab, 1), AG_CRYPTOGRAPHIC_FAILURE);
	c[100] ^= 1;
	assert_int_equal(decrypt(&f, id, c, len, ab, 2), AG_CRYPTOGRAPHIC_FAILURE);
	assert_int_equal(decrypt(&f, id, c, len - 1, ab, 2), AG_CRYPTOGRAPHIC_FAILURE);
	e.plaintext_b64 = (ProtobufCBinaryData){ 191, big }; /* 190 is the most */
	assert_int_equal(operate(&f, AG_MSG_KEY_ENCRYPT, id, &e), AG_INVALID_FIELD);
	e.plaintext_b64.len = 190;
	assert_int_equal(operate(&f, AG_MSG_KEY_ENCRYPT, id, &e), AG_OK);
	fixture_free(&f);
}

static void
test_data_keys(void **state)
{
	struct fixture f;
	Ag__DataKeyAsk ask = AG__DATA_KEY_ASK__INIT;
	const Ag__DataKeyReply *r;
	uint8_t first[32], c[128];
	size_t len;
	const char *id;

	fixture_new(&f, NULL);
	contexts();
	id = new_key(&f, SPEC(AES_256), true);
	ask.data_key_spec = SPEC(AES_256);
	ask.context = ab;
	ask.n_context = 2;
	assert_int_equal(operate(&f, AG_MSG_KEY_DATA_KEY, id, &ask), AG_OK);
	r = (const Ag__DataKeyReply *)f.reply;
	assert_int_equal(r->plaintext_b64.len, 32);
	memcpy(first, r->plaintext_b64.data, 32);
	len = r->ciphertext_b64.len;
	memcpy(c, r->ciphertext_b64.data, len);
	assert_int_equal(decrypt(&f, id, c, len, ba, 2), AG_OK);
	assert_memory_equal(((const Ag__DecryptReply *)f.reply)->plaintext_b64.data, first, 32);
	assert_int_equal(operate(&f, AG_MSG_KEY_DATA_KEY, id, &ask), AG_OK);
	assert_memory_not_equal(((const Ag__DataKeyReply *)f.reply)->plaintext_b64.data, first, 32);
	ask.has_without_plaintext = ask.without_plaintext = true;
	assert_int_equal(operate(&f, AG_MSG_KEY_DATA_KEY, id, &ask), AG_OK);
	assert_false(((const Ag__DataKeyReply *)f.reply)->has_plaintext_b64);
	ask.data_key_spec = SPEC(RSA_2048);
	assert_int_equal(operate(&f, AG_MSG_KEY_DATA_KEY, id, &ask), AG_INVALID_FIELD);
	fixture_free(&f);
}

static void
test_context_limits(void **state)
{
	struct fixture f;
	Ag__EncryptAsk ask = AG__ENCRYPT_ASK__INIT;
	Ag__Pair pairs[33], *list[33], twice = AG__PAIR__INIT;
	char keys[33][16], *big = malloc(5000);
	const char *id;

	fixture_new(&f, NULL);
	id = new_key(&f, SPEC(AES_256), true);
	for (int i = 0; i < 33; i++) {
		ag__pair__init(&pairs[i]);
		snprintf(keys[i], sizeof(keys[i]), "k%d", i);
		pairs[i].key = keys[i];
		pairs[i].value = (char *)(uintptr_t)"v";
		list[i] = &pairs[i];
	}
	ask.plaintext_b64 = TEXT("m");
	ask.context = list;
	ask.n_context = 32;
	assert_int_equal(operate(&f, AG_MSG_KEY_ENCRYPT, id, &ask), AG_OK);
	ask.n_context = 33;
	assert_int_equal(operate(&f, AG_MSG_KEY_ENCRYPT, id, &ask), AG_INVALID_FIELD);
	memset(big, 'x', 4999);
	big[4999] = '\0';
	pairs[0].value = big;
	ask.n_context = 1;
	assert_int_equal(operate(&f, AG_MSG_KEY_ENCRYPT, id, &ask), AG_INVALID_FIELD);
	pairs[0].value = NULL;
	assert_int_equal(operate(&f, AG_MSG_KEY_ENCRYPT, id, &ask), AG_INVALID_FIELD);
	twice.key = keys[1];
	twice.value = (char *)(uintptr_t)"other";
	list[0] = &twice;
	ask.n_context = 2;
	assert_int_equal(operate(&f, AG_MSG_KEY_ENCRYPT, id, &ask), AG_INVALID_FIELD);
	free(big);
	fixture_free(&f);
}

/* ----------------------------------------------------------------- batches */

static void
test_batch(void **state)
{
	enum { N = 100 };
	struct fixture f;
	Ag__BatchAsk ask = AG__BATCH_ASK__INIT;
	Ag__SignAsk items[N], *list[N];
	const Ag__BatchReply *r;
	const char *id;

	fixture_new(&f, NULL);
	id = new_key(&f, SPEC(EC_P256), true);
	for (int i = 0; i < N; i++) {
		ag__sign_ask__init(&items[i]);
		items[i].message_b64 = TEXT("m");
		list[i] = &items[i];
	}
	items[7].has_algorithm = true;
	items[7].algorithm = AG__ALGORITHM__V__AES_GCM;
	ask.operation = AG__USAGE__V__sign;
	ask.sign = list;
	ask.n_sign = N;
	f.scope_op = "sign";
	f.items = N;
	assert_int_equal(operate(&f, AG_MSG_KEY_BATCH, id, &ask), AG_OK);
	r = (const Ag__BatchReply *)f.reply;
	assert_int_equal(r->n_results, N);
	assert_int_equal(r->failed, 1);
	assert_int_equal(r->results[7]->error->err, AG_INVALID_FIELD);
	assert_null(r->results[7]->sign);
	assert_true(r->results[8]->sign->signature_b64.len > 60);
	assert_int_equal(f.loads, 1);
	assert_int_equal(read_key(&f, id)->versions[0]->operations, N - 1);
	/* What iam checked must be what is done. */
	f.scope_op = "verify";
	assert_int_equal(operate(&f, AG_MSG_KEY_BATCH, id, &ask), AG_PERMISSION_DENIED);
	f.scope_op = "sign";
	f.items = 1;
	assert_int_equal(operate(&f, AG_MSG_KEY_BATCH, id, &ask), AG_PERMISSION_DENIED);
	f.items = N;
	ask.operation = AG__USAGE__V__decrypt;
	f.scope_op = "decrypt";
	assert_int_equal(operate(&f, AG_MSG_KEY_BATCH, id, &ask), AG_INVALID_FIELD);
	/* The key's state refuses the whole. */
	ask.operation = AG__USAGE__V__sign;
	f.scope_op = "sign";
	assert_int_equal(operate_reason(&f, AG_MSG_KEY_FREEZE, id), AG_OK);
	assert_int_equal(operate(&f, AG_MSG_KEY_BATCH, id, &ask), AG_INVALID_KEY_STATE);
	fixture_free(&f);
}

static void
test_batch_decrypt_of_many_versions(void **state)
{
	struct fixture f;
	Ag__BatchAsk ask = AG__BATCH_ASK__INIT;
	Ag__DecryptAsk items[4], *list[4];
	uint8_t c[4][128];
	const Ag__BatchReply *r;
	const char *id;

	fixture_new(&f, NULL);
	contexts();
	id = new_key(&f, SPEC(AES_256), true);
	for (int i = 0; i < 4; i++) {
		ag__decrypt_ask__init(&items[i]);
		items[i].ciphertext_b64 = (ProtobufCBinaryData){ encrypt(&f, id, c[i]), c[i] };
		items[i].context = ab;
		items[i].n_context = 2;
		list[i] = &items[i];
		if (i < 3)
			assert_int_equal(operate_plain(&f, AG_MSG_KEY_ROTATE, id), AG_OK);
	}
	c[2][30] ^= 1;
	ask.operation = AG__USAGE__V__decrypt;
	ask.decrypt = list;
	ask.n_decrypt = 4;
	f.scope_op = "decrypt";
	assert_int_equal(operate(&f, AG_MSG_KEY_BATCH, id, &ask), AG_OK);
	r = (const Ag__BatchReply *)f.reply;
	assert_int_equal(r->failed, 1);
	assert_int_equal(r->results[2]->error->err, AG_CRYPTOGRAPHIC_FAILURE);
	assert_int_equal(r->results[0]->decrypt->key_version, 1);
	assert_int_equal(r->results[3]->decrypt->key_version, 4);
	fixture_free(&f);
}

/* --------------------------------------------------- memory and restarts */

static void
test_caches_are_bounded(void **state)
{
	struct fixture f;
	struct keys *k;
	const char *ids[12];

	fixture_new(&f, "keys:\n  cache_keys: 2\n");
	k = ag_kit_state(f.keys);
	for (int i = 0; i < 12; i++) {
		ids[i] = new_key(&f, SPEC(EC_P256), true);
		sign(&f, ids[i], "m");
		sign(&f, ids[i], "m");
	}
	assert_true(k->cache.hot_count <= 8);
	assert_true(k->cache.parsed_count <= 4);
	/* Passivated and back: nothing forgotten. */
	for (int i = 0; i < 12; i++)
		assert_int_equal(read_key(&f, ids[i])->versions[0]->operations, 2);
	sign(&f, ids[0], "m");
	assert_int_equal(read_key(&f, ids[0])->versions[0]->operations, 3);
	fixture_free(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sign_and_verify_every_spec),
		cmocka_unit_test(test_every_rsa_algorithm),
		cmocka_unit_test(test_digest_and_p1363),
		cmocka_unit_test(test_wrong_use_reaches_no_root_of_trust),
		cmocka_unit_test(test_single_flight_and_wipe),
		cmocka_unit_test(test_states),
		cmocka_unit_test(test_verify_finds_the_version),
		cmocka_unit_test(test_encrypt_is_bound),
		cmocka_unit_test(test_old_versions_stay_readable),
		cmocka_unit_test(test_nothing_decrypts_after_destroy),
		cmocka_unit_test(test_a_tenant_ends),
		cmocka_unit_test(test_raw_format),
		cmocka_unit_test(test_rsa_oaep),
		cmocka_unit_test(test_data_keys),
		cmocka_unit_test(test_context_limits),
		cmocka_unit_test(test_batch),
		cmocka_unit_test(test_batch_decrypt_of_many_versions),
		cmocka_unit_test(test_caches_are_bounded),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
