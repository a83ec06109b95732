/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Project Wycheproof's vectors against the cryptography itself: all of every
 * file. The folder is the first argument; without it every file is skipped.
 * Valid must succeed and invalid must not; acceptable may do either. A
 * parameter that the interface refuses before any key is touched (an IV of
 * another length, an HMAC key of fewer than 16 bytes) counts as refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <aegis/aegis.h>
#include <crypto.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BYTES_MAX = 1 << 17, AS_IS = 0, P1363 = 1 };

static const char *folder;

struct file {
	const char *name;
	/* Did it succeed? Fails the test itself when ours differs from theirs. */
	bool (*run)(const struct file *file, const json_t *group, const json_t *test);
	int spec, algorithm; /* spec 0: of the group's keySize */
	int form;
};

struct bytes {
	uint8_t *data;
	size_t len;
};

static struct bytes
hex_of(const json_t *object, const char *member)
{
	const char *text = json_string_value(json_object_get(object, member));
	struct bytes b = { NULL, text == NULL ? 0 : strlen(text) / 2 };

	b.data = malloc(b.len + 1);
	assert_non_null(b.data);
	if (b.len > 0)
		assert_true(ag_hex_parse(text, b.data, b.len));
	return b;
}

static bool
is_valid(const json_t *test)
{
	return strcmp(json_string_value(json_object_get(test, "result")), "valid") == 0;
}

/* ------------------------------------------------------------- verification */

static bool
run_verify_one(const struct file *file, const json_t *group, const json_t *test)
{
	const struct spec *spec = spec_find(file->spec);
	const struct algorithm *a = algorithm_find(file->algorithm);
	const char *pem = json_string_value(json_object_get(group, "publicKeyPem"));
	struct bytes msg = hex_of(test, "msg"), sig = hex_of(test, "sig");
	struct message m = { msg.data, msg.len, false };
	struct parsed p = { 0 };
	struct why why = { 0 };
	uint8_t *der = NULL;
	size_t len;
	bool valid = false;

	if (public_from_pem(spec, pem, &der, &len, &why) == AG_OK &&
	    parsed_public(spec, der, len, &p) == AG_OK)
		assert_int_equal(keys_verify(&p, a, &m, sig.data, sig.len,
		    file->form == P1363, &valid), AG_OK);
	parsed_fini(&p);
	OPENSSL_free(der);
	free(msg.data);
	free(sig.data);
	return valid;
}

/* ----------------------------------------------------------- symmetric keys */

static int
aes_of(const json_t *group)
{
	switch (json_integer_value(json_object_get(group, "keySize"))) {
	case 128:
		return AG__KEY_SPEC__V__AES_128;
	case 192:
		return AG__KEY_SPEC__V__AES_192;
	}
	return AG__KEY_SPEC__V__AES_256;
}

static bool
parse_key(int spec, const json_t *test, struct parsed *p)
{
	struct bytes key = hex_of(test, "key");
	struct ag_secret *secret;
	ag_err err;

	assert_int_equal(ag_secret_copy(key.data, key.len, &secret), AG_OK);
	free(key.data);
	err = parsed_private(spec_find(spec), &secret, p);
	ag_secret_free(&secret);
	return err == AG_OK;
}

static bool
run_aead(const struct file *file, const json_t *group, const json_t *test)
{
	struct bytes iv = hex_of(test, "iv"), aad = hex_of(test, "aad");
	struct bytes msg = hex_of(test, "msg"), ct = hex_of(test, "ct"), tag = hex_of(test, "tag");
	struct text t = { ct.data, ct.len, aad.data, aad.len };
	uint8_t *out = malloc(BYTES_MAX);
	struct parsed p;
	bool ok = false;

	if (iv.len == IV_BYTES && tag.len == TAG_BYTES &&
	    parse_key(file->spec != 0 ? file->spec : aes_of(group), test, &p)) {
		ok = aead_decrypt(&p, &t, iv.data, tag.data, out) == AG_OK;
		if (ok)
			assert_memory_equal(out, msg.data, msg.len);
		parsed_fini(&p);
	} else if (is_valid(test)) {
		ok = true; /* refused before any key is touched */
		assert_true(iv.len != IV_BYTES);
	}
	free(out);
	free(iv.data);
	free(aad.data);
	free(msg.data);
	free(ct.data);
	free(tag.data);
	return ok;
}

static bool
run_kw(const struct file *file, const json_t *group, const json_t *test)
{
	const struct algorithm *a = algorithm_find(file->algorithm);
	struct bytes msg = hex_of(test, "msg"), ct = hex_of(test, "ct");
	uint8_t *out = malloc(BYTES_MAX);
	struct parsed p;
	size_t len = 0;
	bool ok;

	assert_true(parse_key(aes_of(group), test, &p));
	ok = kw_unwrap(&p, a, ct.data, ct.len, out, &len) == AG_OK &&
	    len == msg.len && memcmp(out, msg.data, len) == 0;
	if (is_valid(test)) {
		assert_int_equal(kw_wrap(&p, a, msg.data, msg.len, out, &len), AG_OK);
		assert_int_equal(len, ct.len);
		assert_memory_equal(out, ct.data, len);
	}
	parsed_fini(&p);
	free(out);
	free(msg.data);
	free(ct.data);
	return ok;
}

static bool
run_hmac(const struct file *file, const json_t *group, const json_t *test)
{
	const struct algorithm *a = algorithm_find(file->algorithm);
	struct bytes msg = hex_of(test, "msg"), tag = hex_of(test, "tag");
	uint8_t mac[MAC_BYTES_MAX];
	struct parsed p;
	bool ok;

	assert_true(parse_key(file->spec, test, &p));
	assert_true(tag.len >= MAC_BYTES_MIN && tag.len <= a->size);
	assert_int_equal(keys_mac(&p, a, msg.data, msg.len, mac), AG_OK);
	ok = memcmp(mac, tag.data, tag.len) == 0;
	parsed_fini(&p);
	free(msg.data);
	free(tag.data);
	return ok;
}

static bool
run_oaep(const struct file *file, const json_t *group, const json_t *test)
{
	struct bytes der = hex_of(group, "privateKeyPkcs8"), ct = hex_of(test, "ct");
	struct bytes msg = hex_of(test, "msg"), label = hex_of(test, "label");
	struct text t = { ct.data, ct.len, label.data, label.len };
	struct ag_secret *secret;
	struct parsed p;
	uint8_t *out = malloc(BYTES_MAX);
	size_t len = 0;
	bool ok;

	assert_int_equal(ag_secret_copy(der.data, der.len, &secret), AG_OK);
	assert_int_equal(parsed_private(spec_find(file->spec), &secret, &p), AG_OK);
	ok = oaep_decrypt(&p, algorithm_find(file->algorithm), &t, out, &len) == AG_OK &&
	    len == msg.len && memcmp(out, msg.data, len) == 0;
	parsed_fini(&p);
	free(out);
	free(der.data);
	free(ct.data);
	free(msg.data);
	free(label.data);
	return ok;
}

/* -------------------------------------------------------------------- files */

#define S(x) AG__KEY_SPEC__V__##x
#define A(x) AG__ALGORITHM__V__##x

static const struct file files[] = {
	{ "ecdsa_secp256r1_sha256_test", run_verify_one, S(EC_P256), A(ECDSA_SHA_256), AS_IS },
	{ "ecdsa_secp256r1_sha256_p1363_test", run_verify_one, S(EC_P256), A(ECDSA_SHA_256), P1363 },
	{ "ecdsa_secp256k1_sha256_test", run_verify_one, S(EC_SECP256K1), A(ECDSA_SHA_256), AS_IS },
	{ "ecdsa_secp384r1_sha384_test", run_verify_one, S(EC_P384), A(ECDSA_SHA_384), AS_IS },
	{ "ed25519_test", run_verify_one, S(ED25519), A(ED25519), AS_IS },
	{ "rsa_signature_2048_sha256_test", run_verify_one, S(RSA_2048), A(RSASSA_PKCS1_V1_5_SHA_256), AS_IS },
	{ "rsa_signature_3072_sha512_test", run_verify_one, S(RSA_3072), A(RSASSA_PKCS1_V1_5_SHA_512), AS_IS },
	{ "rsa_pss_2048_sha256_mgf1_32_test", run_verify_one, S(RSA_2048), A(RSASSA_PSS_SHA_256), AS_IS },
	{ "rsa_pss_4096_sha512_mgf1_64_test", run_verify_one, S(RSA_4096), A(RSASSA_PSS_SHA_512), AS_IS },
	{ "rsa_oaep_2048_sha256_mgf1sha256_test", run_oaep, S(RSA_2048), A(RSAES_OAEP_SHA_256), AS_IS },
	{ "rsa_oaep_3072_sha256_mgf1sha256_test", run_oaep, S(RSA_3072), A(RSAES_OAEP_SHA_256), AS_IS },
	{ "aes_gcm_test", run_aead, 0, A(AES_GCM), AS_IS },
	{ "chacha20_poly1305_test", run_aead, S(CHACHA20_POLY1305), A(CHACHA20_POLY1305), AS_IS },
	{ "aes_wrap_test", run_kw, 0, A(AES_KW), AS_IS },
	{ "aes_kwp_test", run_kw, 0, A(AES_KWP), AS_IS },
	{ "hmac_sha256_test", run_hmac, S(HMAC_SHA256), A(HMAC_SHA_256), AS_IS },
	{ "hmac_sha512_test", run_hmac, S(HMAC_SHA512), A(HMAC_SHA_512), AS_IS },
	/* Primitives that are not offered. */
	{ "hkdf_sha256_test", NULL, 0, 0, 0 },
	{ "x25519_test", NULL, 0, 0, 0 },
	{ "json_web_key_test", NULL, 0, 0, 0 },
	{ "json_web_signature_test", NULL, 0, 0, 0 },
};

static bool
is_wrong(const json_t *test, bool succeeded)
{
	const char *result = json_string_value(json_object_get(test, "result"));

	return (strcmp(result, "valid") == 0 && !succeeded) ||
	    (strcmp(result, "invalid") == 0 && succeeded);
}

static unsigned
play_group(const struct file *file, const json_t *group, unsigned *wrong)
{
	const json_t *test;
	unsigned count = 0;
	size_t i;

	json_array_foreach(json_object_get(group, "tests"), i, test) {
		count++;
		if (!is_wrong(test, file->run(file, group, test)))
			continue;
		++*wrong;
		print_error("%s: tcId %lld (%s) is %s\n", file->name,
		    (long long)json_integer_value(json_object_get(test, "tcId")),
		    json_string_value(json_object_get(test, "comment")),
		    json_string_value(json_object_get(test, "result")));
	}
	return count;
}

static void
test_file(void **state)
{
	const struct file *file = *state;
	char path[4096];
	json_t *vectors, *group;
	unsigned count = 0, wrong = 0;
	size_t i;

	if (folder == NULL || file->run == NULL) {
		print_message("skipped %s: %s\n", file->name, file->run == NULL ?
		    "its primitive is not offered" : "no folder of vectors is given");
		skip();
	}
	snprintf(path, sizeof(path), "%s/%s.json", folder, file->name);
	if ((vectors = json_load_file(path, 0, NULL)) == NULL) {
		print_message("skipped %s: not in the folder\n", file->name);
		skip();
	}
	json_array_foreach(json_object_get(vectors, "testGroups"), i, group)
		count += play_group(file, group, &wrong);
	assert_int_equal(count, json_integer_value(json_object_get(vectors, "numberOfTests")));
	assert_int_equal(wrong, 0);
	json_decref(vectors);
}

int
main(int argc, char **argv)
{
	enum { COUNT = sizeof(files) / sizeof(files[0]) };
	struct CMUnitTest tests[COUNT];

	folder = argc > 1 ? argv[1] : NULL;
	if (ag_secret_init() != AG_OK)
		return 1;
	for (size_t i = 0; i < COUNT; i++)
		tests[i] = (struct CMUnitTest){ files[i].name, test_file, NULL, NULL,
			(void *)(uintptr_t)&files[i] };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
