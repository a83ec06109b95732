/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wrap, unwrap, mac, mac-verify and random through the actor: every key and
 * algorithm, what is refused, and that answers which are secrets travel sealed.
 */
#include "keys_fixture.h"

#define A(x) AG__ALGORITHM__V__##x
#define RAW AG__CIPHER_FORMAT__V__raw

static const char *
new_key_for(struct fixture *f, int spec, Ag__Usage__V first, Ag__Usage__V second)
{
	Ag__KeyCreateAsk ask = AG__KEY_CREATE_ASK__INIT;
	Ag__Usage__V usage[] = { first, second };
	const char *id = new_id(f);

	ask.key_spec = (Ag__KeySpec__V)spec;
	ask.has_activate = ask.activate = true;
	ask.usage = usage;
	ask.n_usage = 2;
	assert_int_equal(operate(f, AG_MSG_KEY_CREATE, id, &ask), AG_OK);
	return id;
}

static ag_err
wrap(struct fixture *f, const char *id, int algorithm, bool raw, const uint8_t *key,
    size_t len)
{
	Ag__WrapAsk ask = AG__WRAP_ASK__INIT;

	ask.key_b64 = (ProtobufCBinaryData){ len, (uint8_t *)(uintptr_t)key };
	ask.has_algorithm = algorithm != 0;
	ask.algorithm = (Ag__Algorithm__V)algorithm;
	ask.has_format = raw;
	ask.format = RAW;
	return operate(f, AG_MSG_KEY_WRAP, id, &ask);
}

static ag_err
unwrap(struct fixture *f, const char *id, int algorithm, bool raw,
    const uint8_t *wrapped, size_t len)
{
	Ag__UnwrapAsk ask = AG__UNWRAP_ASK__INIT;

	ask.wrapped_key_b64 = (ProtobufCBinaryData){ len, (uint8_t *)(uintptr_t)wrapped };
	ask.has_algorithm = algorithm != 0;
	ask.algorithm = (Ag__Algorithm__V)algorithm;
	ask.has_format = raw;
	ask.format = RAW;
	return operate(f, AG_MSG_KEY_UNWRAP, id, &ask);
}

static size_t
wrapped_of(struct fixture *f, uint8_t out[2048])
{
	const Ag__WrapReply *r = (const Ag__WrapReply *)f->reply;

	assert_true(r->wrapped_key_b64.len <= 2048);
	memcpy(out, r->wrapped_key_b64.data, r->wrapped_key_b64.len);
	return r->wrapped_key_b64.len;
}

static const uint8_t dek[32] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };

static void
test_wrap_every_algorithm(void **state)
{
	static const struct {
		int spec, algorithm, said;
	} cases[] = {
		{ SPEC(AES_128), 0, A(AES_KWP) }, { SPEC(AES_192), A(AES_KW), A(AES_KW) },
		{ SPEC(AES_256), A(AES_GCM), A(AES_GCM) }, { SPEC(AES_256), A(AES_KWP), A(AES_KWP) },
		{ SPEC(RSA_2048), 0, A(RSAES_OAEP_SHA_256) },
		{ SPEC(RSA_2048), A(RSAES_OAEP_SHA_512), A(RSAES_OAEP_SHA_512) },
	};
	static const size_t lengths[] = { 16, 24, 32 };
	struct fixture f;
	uint8_t bytes[2048];
	const char *other;

	fixture_new(&f, NULL);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *id = new_key_for(&f, cases[i].spec, AG__USAGE__V__wrap, AG__USAGE__V__unwrap);

		other = new_key_for(&f, cases[i].spec, AG__USAGE__V__wrap, AG__USAGE__V__unwrap);
		for (size_t l = 0; l < 6; l++) {
			size_t len = lengths[l / 2], n;
			bool raw = l % 2 == 1;
			const Ag__UnwrapReply *r;

			assert_int_equal(wrap(&f, id, cases[i].algorithm, raw, dek, len), AG_OK);
			assert_int_equal(((const Ag__WrapReply *)f.reply)->algorithm, cases[i].said);
			n = wrapped_of(&f, bytes);
			assert_int_equal(unwrap(&f, id, raw ? cases[i].said : 0, raw, bytes, n), AG_OK);
			r = (const Ag__UnwrapReply *)f.reply;
			assert_int_equal(r->key_b64.len, len);
			assert_memory_equal(r->key_b64.data, dek, len);
			assert_true(f.sealed);
			/* Under another key, bent, or cut: one and the same. */
			assert_int_equal(unwrap(&f, other, raw ? cases[i].said : 0, raw, bytes, n),
			    AG_CRYPTOGRAPHIC_FAILURE);
			assert_int_equal(unwrap(&f, id, raw ? cases[i].said : 0, raw, bytes, n - 1),
			    AG_CRYPTOGRAPHIC_FAILURE);
			bytes[n - 1] ^= 1;
			assert_int_equal(unwrap(&f, id, raw ? cases[i].said : 0, raw, bytes, n),
			    AG_CRYPTOGRAPHIC_FAILURE);
			assert_string_equal(f.detail, "The cryptographic operation failed.");
		}
	}
	fixture_free(&f);
}

static void
test_wrap_refuses(void **state)
{
	static const uint8_t long_key[16385];
	struct fixture f;
	const char *aes, *rsa, *only;
	uint8_t bytes[2048];
	size_t n;

	fixture_new(&f, NULL);
	aes = new_key(&f, SPEC(AES_256), true);
	rsa = new_key_for(&f, SPEC(RSA_2048), AG__USAGE__V__wrap, AG__USAGE__V__unwrap);
	only = new_key_for(&f, SPEC(AES_256), AG__USAGE__V__encrypt, AG__USAGE__V__decrypt);
	assert_int_equal(wrap(&f, only, 0, false, dek, 16), AG_ILLEGAL_OPERATION);
	assert_string_equal(f.reason_code, "usage");
	assert_int_equal(wrap(&f, aes, A(RSAES_OAEP_SHA_256), false, dek, 16), AG_INVALID_FIELD);
	assert_string_equal(f.reason_code, "algorithm_mismatch");
	assert_int_equal(wrap(&f, aes, A(CHACHA20_POLY1305), false, dek, 16), AG_INVALID_FIELD);
	assert_int_equal(wrap(&f, aes, 0, false, dek, 0), AG_INVALID_FIELD);
	assert_string_equal(f.field, "/key_b64");
	assert_int_equal(wrap(&f, aes, 0, false, long_key, sizeof(long_key)), AG_INVALID_FIELD);
	assert_int_equal(wrap(&f, aes, 0, false, long_key, 16384), AG_OK);
	assert_int_equal(wrap(&f, aes, A(AES_KW), false, dek, 8), AG_INVALID_FIELD);
	assert_int_equal(wrap(&f, aes, A(AES_KW), false, dek, 20), AG_INVALID_FIELD);
	assert_int_equal(wrap(&f, aes, A(AES_KWP), false, dek, 1), AG_OK);
	assert_int_equal(wrap(&f, rsa, 0, false, long_key, 191), AG_INVALID_FIELD);
	assert_int_equal(wrap(&f, rsa, 0, false, long_key, 190), AG_OK);
	/* The Aegis form says which algorithm; another one named is a mistake. */
	assert_int_equal(wrap(&f, aes, A(AES_KW), false, dek, 16), AG_OK);
	n = wrapped_of(&f, bytes);
	assert_int_equal(unwrap(&f, aes, A(AES_KWP), false, bytes, n), AG_INVALID_FIELD);
	assert_string_equal(f.reason_code, "algorithm_mismatch");
	/* An older version, unnamed: the Aegis form finds it, the raw one does not. */
	assert_int_equal(operate_plain(&f, AG_MSG_KEY_ROTATE, aes), AG_OK);
	assert_int_equal(unwrap(&f, aes, A(AES_KW), false, bytes, n), AG_OK);
	assert_int_equal(((const Ag__UnwrapReply *)f.reply)->key_version, 1);
	assert_int_equal(unwrap(&f, aes, A(AES_KW), true, bytes + 6, n - 6), AG_CRYPTOGRAPHIC_FAILURE);
	for (size_t i = 0; i < n; i++) /* hostile: no length of it reads beyond */
		assert_int_equal(unwrap(&f, aes, 0, false, bytes, i), AG_CRYPTOGRAPHIC_FAILURE);
	fixture_free(&f);
}

static void
test_raw_unwrap_names_its_version(void **state)
{
	struct fixture f;
	Ag__UnwrapAsk ask = AG__UNWRAP_ASK__INIT;
	uint8_t bytes[2048];
	const char *id;
	size_t n;

	fixture_new(&f, NULL);
	id = new_key(&f, SPEC(AES_128), true);
	assert_int_equal(wrap(&f, id, A(AES_KW), true, dek, 32), AG_OK);
	n = wrapped_of(&f, bytes);
	assert_int_equal(n, 40);
	assert_int_equal(operate_plain(&f, AG_MSG_KEY_ROTATE, id), AG_OK);
	ask.wrapped_key_b64 = (ProtobufCBinaryData){ n, bytes };
	ask.has_algorithm = ask.has_format = ask.has_key_version = true;
	ask.algorithm = A(AES_KW);
	ask.format = RAW;
	ask.key_version = 1;
	assert_int_equal(operate(&f, AG_MSG_KEY_UNWRAP, id, &ask), AG_OK);
	assert_memory_equal(((const Ag__UnwrapReply *)f.reply)->key_b64.data, dek, 32);
	for (uint32_t none = 0; none <= 3; none += 3) {
		ask.key_version = none;
		assert_int_equal(operate(&f, AG_MSG_KEY_UNWRAP, id, &ask), AG_INVALID_FIELD);
		assert_string_equal(f.field, "/key_version");
	}
	ask.has_format = false;
	assert_int_equal(operate(&f, AG_MSG_KEY_UNWRAP, id, &ask), AG_INVALID_FIELD);
	assert_string_equal(f.reason_code, "conflicting_fields");
	fixture_free(&f);
}

/* ---------------------------------------------------------------------- MAC */

static ag_err
mac(struct fixture *f, const char *id, const char *text, uint32_t length)
{
	Ag__MacAsk ask = AG__MAC_ASK__INIT;

	ask.message_b64 = (ProtobufCBinaryData){ strlen(text), (uint8_t *)(uintptr_t)text };
	ask.has_mac_length = length != 0;
	ask.mac_length = length;
	return operate(f, AG_MSG_KEY_MAC, id, &ask);
}

static bool
mac_verifies(struct fixture *f, const char *id, const char *text, const uint8_t *bytes,
    size_t len, uint32_t length, uint32_t version)
{
	Ag__MacVerifyAsk ask = AG__MAC_VERIFY_ASK__INIT;

	ask.message_b64 = (ProtobufCBinaryData){ strlen(text), (uint8_t *)(uintptr_t)text };
	ask.mac_b64 = (ProtobufCBinaryData){ len, (uint8_t *)(uintptr_t)bytes };
	ask.has_mac_length = length != 0;
	ask.mac_length = length;
	ask.has_key_version = version != 0;
	ask.key_version = version;
	assert_int_equal(operate(f, AG_MSG_KEY_MAC_VERIFY, id, &ask), AG_OK);
	return ((const Ag__MacVerifyReply *)f->reply)->valid;
}

static size_t
mac_of(struct fixture *f, uint8_t out[64])
{
	const Ag__MacReply *r = (const Ag__MacReply *)f->reply;

	memcpy(out, r->mac_b64.data, r->mac_b64.len);
	return r->mac_b64.len;
}

static void
test_mac_every_spec(void **state)
{
	static const int specs[] = { SPEC(HMAC_SHA256), SPEC(HMAC_SHA384), SPEC(HMAC_SHA512) };
	struct fixture f;
	uint8_t bytes[64];

	fixture_new(&f, NULL);
	for (size_t i = 0; i < 3; i++) {
		const char *id = new_key(&f, specs[i], true);
		size_t full = 32 + 16 * i;

		assert_int_equal(mac(&f, id, "invoice 17", 0), AG_OK);
		assert_int_equal(mac_of(&f, bytes), full);
		assert_true(mac_verifies(&f, id, "invoice 17", bytes, full, 0, 0));
		assert_false(mac_verifies(&f, id, "invoice 18", bytes, full, 0, 0));
		/* A shorter one only if that is said. */
		assert_false(mac_verifies(&f, id, "invoice 17", bytes, 16, 0, 0));
		assert_true(mac_verifies(&f, id, "invoice 17", bytes, 16, 16, 0));
		assert_false(mac_verifies(&f, id, "invoice 17", bytes, full, 16, 0));
		bytes[full - 1] ^= 1;
		assert_false(mac_verifies(&f, id, "invoice 17", bytes, full, 0, 0));
		assert_int_equal(mac(&f, id, "invoice 17", 16), AG_OK);
		assert_int_equal(mac_of(&f, bytes), 16);
		assert_int_equal(mac(&f, id, "m", 15), AG_INVALID_FIELD);
		assert_string_equal(f.field, "/mac_length");
		assert_int_equal(mac(&f, id, "m", (uint32_t)full + 1), AG_INVALID_FIELD);
		assert_int_equal(mac(&f, id, "", 0), AG_OK);
	}
	assert_int_equal(mac(&f, new_key(&f, SPEC(AES_256), true), "m", 0), AG_ILLEGAL_OPERATION);
	fixture_free(&f);
}

static void
test_mac_verify_finds_the_version(void **state)
{
	Ag__KeyCompromiseAsk gone = AG__KEY_COMPROMISE_ASK__INIT;
	Ag__MacVerifyAsk ask = AG__MAC_VERIFY_ASK__INIT;
	struct fixture f;
	uint8_t bytes[64];
	const char *id;
	unsigned loads;

	fixture_new(&f, NULL);
	id = new_key(&f, SPEC(HMAC_SHA256), true);
	assert_int_equal(mac(&f, id, "m", 0), AG_OK);
	mac_of(&f, bytes);
	for (int i = 0; i < 3; i++)
		assert_int_equal(operate_plain(&f, AG_MSG_KEY_ROTATE, id), AG_OK);
	loads = f.loads;
	assert_true(mac_verifies(&f, id, "m", bytes, 32, 0, 0));
	assert_int_equal(((const Ag__MacVerifyReply *)f.reply)->key_version, 1);
	assert_int_equal(f.loads, loads + 3); /* version 1 was in memory */
	assert_true(mac_verifies(&f, id, "m", bytes, 32, 0, 1));
	assert_false(mac_verifies(&f, id, "m", bytes, 32, 0, 4));
	assert_int_equal(f.loads, loads + 3);
	/* What is compromised counts for nothing. */
	gone.reason = (char *)(uintptr_t)"leaked";
	gone.has_version = true;
	gone.version = 1;
	assert_int_equal(operate(&f, AG_MSG_KEY_COMPROMISE, id, &gone), AG_OK);
	assert_false(mac_verifies(&f, id, "m", bytes, 32, 0, 0));
	ask.message_b64 = TEXT("m");
	ask.mac_b64 = (ProtobufCBinaryData){ 32, bytes };
	ask.has_key_version = true;
	ask.key_version = 1;
	assert_int_equal(operate(&f, AG_MSG_KEY_MAC_VERIFY, id, &ask), AG_KEY_COMPROMISED);
	ask.key_version = 0;
	assert_int_equal(operate(&f, AG_MSG_KEY_MAC_VERIFY, id, &ask), AG_INVALID_FIELD);
	fixture_free(&f);
}

/* ------------------------------------------------------------------- random */

static void
test_random(void **state)
{
	Ag__RandomAsk ask = AG__RANDOM_ASK__INIT;
	const Ag__RandomReply *r;
	struct fixture f;
	uint8_t first[4096];

	fixture_new(&f, NULL);
	ask.length = sizeof(first);
	assert_int_equal(operate(&f, AG_MSG_KEY_RANDOM, NULL, &ask), AG_OK);
	r = (const Ag__RandomReply *)f.reply;
	assert_true(f.sealed);
	assert_int_equal(r->random_b64.len, sizeof(first));
	memcpy(first, r->random_b64.data, sizeof(first));
	assert_int_equal(operate(&f, AG_MSG_KEY_RANDOM, NULL, &ask), AG_OK);
	r = (const Ag__RandomReply *)f.reply;
	assert_memory_not_equal(first, r->random_b64.data, sizeof(first));
	ask.length = 1;
	assert_int_equal(operate(&f, AG_MSG_KEY_RANDOM, NULL, &ask), AG_OK);
	ask.length = 0;
	assert_int_equal(operate(&f, AG_MSG_KEY_RANDOM, NULL, &ask), AG_INVALID_FIELD);
	assert_string_equal(f.field, "/length");
	ask.length = 4097;
	assert_int_equal(operate(&f, AG_MSG_KEY_RANDOM, NULL, &ask), AG_INVALID_FIELD);
	assert_int_equal(f.appends, 0);
	fixture_free(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wrap_every_algorithm),
		cmocka_unit_test(test_wrap_refuses),
		cmocka_unit_test(test_raw_unwrap_names_its_version),
		cmocka_unit_test(test_mac_every_spec),
		cmocka_unit_test(test_mac_verify_finds_the_version),
		cmocka_unit_test(test_random),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
