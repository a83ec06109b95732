/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Known answers: NIST's GCM, RFC 8439, RFC 8032, RFC 6979, RFC 4231, RFC 3394,
 * RFC 5649; and the context's canonical form.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <aegis/kit.h>
#include <crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

extern const struct ag_actor ag_actor_keys;

static size_t
hex(const char *text, uint8_t *out)
{
	size_t len = strlen(text) / 2;

	if (len > 0)
		assert_true(ag_hex_parse(text, out, len));
	return len;
}

static struct parsed
symmetric(int spec, const char *key)
{
	struct ag_secret *secret;
	struct parsed p;
	uint8_t bytes[64];
	size_t len = hex(key, bytes);

	assert_int_equal(ag_secret_copy(bytes, len, &secret), AG_OK);
	assert_int_equal(parsed_private(spec_find(spec), &secret, &p), AG_OK);
	assert_null(secret);
	return p;
}

static const struct {
	int spec;
	const char *key, *iv, *aad, *plain, *cipher, *tag;
} aeads[] = {
	/* McGrew and Viega, The Galois/Counter Mode, test cases 13, 14, 16; 4 */
	{ AG__KEY_SPEC__V__AES_256, "0000000000000000000000000000000000000000000000000000000000000000",
	    "000000000000000000000000", "", "", "", "530f8afbc74536b9a963b4f1c4cb738b" },
	{ AG__KEY_SPEC__V__AES_256, "0000000000000000000000000000000000000000000000000000000000000000",
	    "000000000000000000000000", "", "00000000000000000000000000000000",
	    "cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919" },
	{ AG__KEY_SPEC__V__AES_256, "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
	    "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2",
	    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
	    "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
	    "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
	    "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
	    "76fc6ece0f4e1768cddf8853bb2d551b" },
	{ AG__KEY_SPEC__V__AES_128, "feffe9928665731c6d6a8f9467308308",
	    "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2",
	    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
	    "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
	    "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
	    "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091",
	    "5bc94fbc3221a5db94fae95ae7121a47" },
	/* RFC 8439 §2.8.2 */
	{ AG__KEY_SPEC__V__CHACHA20_POLY1305,
	    "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
	    "070000004041424344454647", "50515253c0c1c2c3c4c5c6c7",
	    "4c616469657320616e642047656e746c656d656e206f662074686520636c6173"
	    "73206f66202739393a204966204920636f756c64206f6666657220796f75206f"
	    "6e6c79206f6e652074697020666f7220746865206675747572652c2073756e73"
	    "637265656e20776f756c642062652069742e",
	    "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
	    "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
	    "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
	    "3ff4def08e4b7a9de576d26586cec64b6116",
	    "1ae10b594f09e26a7e902ecbd0600691" },
};

static void
test_aead(void **state)
{
	for (size_t i = 0; i < sizeof(aeads) / sizeof(aeads[0]); i++) {
		struct parsed p = symmetric(aeads[i].spec, aeads[i].key);
		uint8_t iv[12], aad[64], plain[128], cipher[128], tag[16] = { 0 }, out[128];
		struct text t = { .aad = aad };

		hex(aeads[i].iv, iv);
		t.aad_len = hex(aeads[i].aad, aad);
		t.len = hex(aeads[i].plain, plain);
		hex(aeads[i].cipher, cipher);
		hex(aeads[i].tag, tag);
		t.in = cipher;
		assert_int_equal(aead_decrypt(&p, &t, iv, tag, out), AG_OK);
		assert_memory_equal(out, plain, t.len);
		tag[15] ^= 1;
		memset(out, 0xaa, sizeof(out));
		assert_int_equal(aead_decrypt(&p, &t, iv, tag, out), AG_CRYPTOGRAPHIC_FAILURE);
		for (size_t b = 0; b < t.len; b++) /* nothing unauthenticated is left */
			assert_int_equal(out[b], 0);
		/* Ours, read by OpenSSL's other half: a fresh IV each time. */
		t.in = plain;
		assert_int_equal(aead_encrypt(&p, &t, iv, out, tag), AG_OK);
		t.in = out;
		assert_int_equal(aead_decrypt(&p, &t, iv, tag, cipher), AG_OK);
		assert_memory_equal(cipher, plain, t.len);
		parsed_fini(&p);
	}
}

/* Two keys in turns, both ways, a forgery between them, and a key that ends
 * while its schedule is kept: nobody is served with another's. */
static void
test_aead_held(void **state)
{
	enum { ROUNDS = 40 };
	struct parsed keys[2];
	uint8_t iv[2][12], plain[100], sealed[2][100], tag[2][16], out[100];

	(void)state;
	memset(plain, 7, sizeof(plain));
	for (unsigned i = 0; i < 2; i++)
		keys[i] = symmetric(aeads[i].spec, aeads[i].key);
	cipher_hold(true);
	for (unsigned n = 0; n < ROUNDS; n++) {
		unsigned i = n / 3 % 2;
		struct text t = { .in = plain, .len = sizeof(plain) };

		if (n == ROUNDS / 2) {
			parsed_fini(&keys[0]);
			keys[0] = symmetric(aeads[1].spec, aeads[1].key);
		}
		assert_int_equal(aead_encrypt(&keys[i], &t, iv[i], sealed[i],
		    tag[i]), AG_OK);
		t.in = sealed[i];
		/* Alone, as whoever else has the key reads it. */
		cipher_hold(n % 4 < 2);
		assert_int_equal(aead_decrypt(&keys[i], &t, iv[i], tag[i], out),
		    AG_OK);
		assert_memory_equal(out, plain, sizeof(plain));
		cipher_hold(true);
		tag[i][n % 16] ^= 1;
		assert_int_equal(aead_decrypt(&keys[i], &t, iv[i], tag[i], out),
		    AG_CRYPTOGRAPHIC_FAILURE);
		tag[i][n % 16] ^= 1;
		assert_int_equal(aead_decrypt(&keys[i], &t, iv[i], tag[i], out),
		    AG_OK);
		assert_memory_equal(out, plain, sizeof(plain));
	}
	cipher_hold(false);
	for (unsigned i = 0; i < 2; i++)
		parsed_fini(&keys[i]);
}

static const uint8_t ed_prefix[] = { 0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03,
	0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20 };

/* RFC 8032 §7.1 TEST 3, and again: the context is used twice. */
static void
test_ed25519(void **state)
{
	uint8_t der[48], expected[64], message[2], sig[SIGNATURE_BYTES_MAX];
	struct ag_secret *secret;
	struct parsed p;
	const struct algorithm *a = algorithm_find(AG__ALGORITHM__V__ED25519);
	struct message m = { message, 2, false };
	size_t len;
	bool valid;

	memcpy(der, ed_prefix, 16);
	hex("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7", der + 16);
	hex("af82", message);
	hex("6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
	    "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a", expected);
	assert_int_equal(ag_secret_copy(der, sizeof(der), &secret), AG_OK);
	assert_int_equal(parsed_private(spec_find(AG__KEY_SPEC__V__ED25519), &secret, &p), AG_OK);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(keys_sign(&p, a, &m, false, sig, &len), AG_OK);
		assert_int_equal(len, 64);
		assert_memory_equal(sig, expected, 64);
	}
	assert_int_equal(keys_verify(&p, a, &m, sig, 64, false, &valid), AG_OK);
	assert_true(valid);
	assert_int_equal(keys_verify(&p, a, &m, sig, 65, false, &valid), AG_OK);
	assert_false(valid);
	parsed_fini(&p);
}

/* RFC 6979 A.2.5: P-256, SHA-256, "sample". */
static void
test_ecdsa(void **state)
{
	static const char spki[] = "3059301306072a8648ce3d020106082a8648ce3d03010703420004"
	    "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
	    "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";
	uint8_t der[128], sig[64], bad[SIGNATURE_BYTES_MAX];
	struct message m = { (const uint8_t *)"sample", 6, false };
	const struct algorithm *a = algorithm_find(AG__ALGORITHM__V__ECDSA_SHA_256);
	struct parsed p;
	bool valid;

	assert_int_equal(parsed_public(spec_find(AG__KEY_SPEC__V__EC_P256), der,
	    hex(spki, der), &p), AG_OK);
	hex("efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
	    "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8", sig);
	assert_int_equal(keys_verify(&p, a, &m, sig, 64, true, &valid), AG_OK);
	assert_true(valid);
	memset(bad, 0, sizeof(bad));
	for (size_t len = 0; len <= 80; len++) {
		assert_int_equal(keys_verify(&p, a, &m, bad, len, true, &valid), AG_OK);
		assert_false(valid);
		assert_int_equal(keys_verify(&p, a, &m, bad, len, false, &valid), AG_OK);
		assert_false(valid);
	}
	parsed_fini(&p);
	/* Not of the spec that was said. */
	assert_int_equal(parsed_public(spec_find(AG__KEY_SPEC__V__EC_SECP256K1), der,
	    hex(spki, der), &p), AG_CORRUPT);
	assert_int_equal(parsed_public(spec_find(AG__KEY_SPEC__V__EC_P256), der,
	    hex(spki, der) - 1, &p), AG_CORRUPT);
}

static void
test_context(void **state)
{
	struct ag_kit *kit = ag_kit_new(&ag_actor_keys, NULL, NULL);
	struct ag_ctx *ctx = ag_kit_ctx(kit);
	Ag__Pair a = AG__PAIR__INIT, b = AG__PAIR__INIT, *list[2] = { &b, &a };
	struct why why = { 0 };
	uint8_t *out, *aad;
	size_t len, aad_len;

	a.key = (char *)(uintptr_t)"a";
	a.value = (char *)(uintptr_t)"1";
	b.key = (char *)(uintptr_t)"b";
	b.value = (char *)(uintptr_t)"";
	assert_int_equal(context_bytes(ctx, list, 2, &out, &len, &why), AG_OK);
	assert_int_equal(len, 19);
	assert_memory_equal(out, "\0\0\0\1a\0\0\0\0011\0\0\0\1b\0\0\0\0", 19);
	assert_int_equal(bound_aad(ctx, "t", "key_1", 258, out, 2, &aad, &aad_len), AG_OK);
	assert_int_equal(aad_len, 5 + 9 + 8 + 6);
	assert_memory_equal(aad, "\0\0\0\1t\0\0\0\5key_1\0\0\0\4\0\0\1\2\0\0\0\2\0\0", aad_len);
	ag_kit_free(&kit);
}

/* RFC 4231 §4, test cases 1 to 5; the fifth is cut to 128 bits. A key of fewer
 * than 16 bytes (the second) is none of ours: HMAC pads it with zeros, so do we.
 * The keys of cases 6 and 7 are longer than ours may be. */
static const struct {
	const char *key, *data, *mac[3];
} rfc4231[] = {
	{ "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265",
	    { "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
	    "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6",
	    "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde"
	    "daa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854" } },
	{ "4a656665000000000000000000000000", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
	    { "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
	    "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
	    "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
	    "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737" } },
	{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	    "dddddddddddddddddddddddddddddddddddddddddddddddddd"
	    "dddddddddddddddddddddddddddddddddddddddddddddddddd",
	    { "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
	    "88062608d3e6ad8a0aa2ace014c8a86f0aa635d947ac9febe83ef4e55966144b2a5ab39dc13814b94e3ab6e101a34f27",
	    "fa73b0089d56a284efb0f0756c890be9b1b5dbdd8ee81a3655f83e33b2279d39"
	    "bf3e848279a722c806b485a47e67c807b946a337bee8942674278859e13292fb" } },
	{ "0102030405060708090a0b0c0d0e0f10111213141516171819",
	    "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"
	    "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd",
	    { "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
	    "3e8a69b7783c25851933ab6290af6ca77a9981480850009cc5577c6e1f573b4e6801dd23c4a7d679ccf8a386c674cffb",
	    "b0ba465637458c6990e5a8c5f61d4af7e576d97ff94b872de76f8050361ee3db"
	    "a91ca5c11aa25eb4d679275cc5788063a5f19741120c4f2de2adebeb10a298dd" } },
	{ "0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c",
	    "546573742057697468205472756e636174696f6e",
	    { "a3b6167473100ee06e0c796c2955552b", "3abf34c3503b2a23a46efc619baef897",
	    "415fad6271580a531d4179bc891d87a6" } },
};

static void
test_hmac(void **state)
{
	static const int specs[] = { AG__KEY_SPEC__V__HMAC_SHA256,
		AG__KEY_SPEC__V__HMAC_SHA384, AG__KEY_SPEC__V__HMAC_SHA512 };

	for (size_t i = 0; i < sizeof(rfc4231) / sizeof(rfc4231[0]); i++) {
		for (size_t s = 0; s < 3; s++) {
			struct parsed p = symmetric(specs[s], rfc4231[i].key);
			const struct algorithm *a = algorithm_pick(p.spec->mac, false, 0);
			uint8_t data[128], wanted[64], mac[MAC_BYTES_MAX];
			size_t len = hex(rfc4231[i].data, data), n = hex(rfc4231[i].mac[s], wanted);

			for (int again = 0; again < 2; again++) {
				assert_int_equal(keys_mac(&p, a, data, len, mac), AG_OK);
				assert_memory_equal(mac, wanted, n);
			}
			parsed_fini(&p);
		}
	}
}

/* RFC 3394 §4.1 to §4.6, RFC 5649 §6. */
static const struct {
	int spec, algorithm;
	const char *kek, *key, *wrapped;
} wraps[] = {
	{ AG__KEY_SPEC__V__AES_128, AG__ALGORITHM__V__AES_KW, "000102030405060708090a0b0c0d0e0f",
	    "00112233445566778899aabbccddeeff", "1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5" },
	{ AG__KEY_SPEC__V__AES_192, AG__ALGORITHM__V__AES_KW,
	    "000102030405060708090a0b0c0d0e0f1011121314151617",
	    "00112233445566778899aabbccddeeff", "96778b25ae6ca435f92b5b97c050aed2468ab8a17ad84e5d" },
	{ AG__KEY_SPEC__V__AES_256, AG__ALGORITHM__V__AES_KW,
	    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
	    "00112233445566778899aabbccddeeff", "64e8c3f9ce0f5ba263e9777905818a2a93c8191e7d6e8ae7" },
	{ AG__KEY_SPEC__V__AES_192, AG__ALGORITHM__V__AES_KW,
	    "000102030405060708090a0b0c0d0e0f1011121314151617",
	    "00112233445566778899aabbccddeeff0001020304050607",
	    "031d33264e15d33268f24ec260743edce1c6c7ddee725a936ba814915c6762d2" },
	{ AG__KEY_SPEC__V__AES_256, AG__ALGORITHM__V__AES_KW,
	    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
	    "00112233445566778899aabbccddeeff0001020304050607",
	    "a8f9bc1612c68b3ff6e6f4fbe30e71e4769c8b80a32cb8958cd5d17d6b254da1" },
	{ AG__KEY_SPEC__V__AES_256, AG__ALGORITHM__V__AES_KW,
	    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
	    "00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f",
	    "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21" },
	{ AG__KEY_SPEC__V__AES_192, AG__ALGORITHM__V__AES_KWP,
	    "5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8",
	    "c37b7e6492584340bed12207808941155068f738",
	    "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a" },
	{ AG__KEY_SPEC__V__AES_192, AG__ALGORITHM__V__AES_KWP,
	    "5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8",
	    "466f7250617369", "afbeb0f07dfbf5419200f2ccb50bb24f" },
};

static void
test_key_wrap(void **state)
{
	for (size_t i = 0; i < sizeof(wraps) / sizeof(wraps[0]); i++) {
		struct parsed p = symmetric(wraps[i].spec, wraps[i].kek);
		const struct algorithm *a = algorithm_find(wraps[i].algorithm);
		uint8_t key[64], wrapped[64], out[64 + KW_MORE];
		size_t len = hex(wraps[i].key, key), n = hex(wraps[i].wrapped, wrapped), out_len;

		assert_int_equal(kw_wrap(&p, a, key, len, out, &out_len), AG_OK);
		assert_int_equal(out_len, n);
		assert_memory_equal(out, wrapped, n);
		assert_int_equal(kw_unwrap(&p, a, wrapped, n, out, &out_len), AG_OK);
		assert_int_equal(out_len, len);
		assert_memory_equal(out, key, len);
		for (size_t bit = 0; bit < n * 8; bit += 7) {
			wrapped[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_int_equal(kw_unwrap(&p, a, wrapped, n, out, &out_len),
			    AG_CRYPTOGRAPHIC_FAILURE);
			wrapped[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		for (size_t cut = 0; cut < n; cut++)
			assert_int_equal(kw_unwrap(&p, a, wrapped, cut, out, &out_len),
			    AG_CRYPTOGRAPHIC_FAILURE);
		parsed_fini(&p);
	}
}

static void
test_specs(void **state)
{
	const struct spec *rsa = spec_find(AG__KEY_SPEC__V__RSA_2048);

	const struct spec *hmac = spec_find(AG__KEY_SPEC__V__HMAC_SHA256);

	for (int id = AG__KEY_SPEC__V__RSA_2048; id <= AG__KEY_SPEC__V__HMAC_SHA512; id++)
		assert_int_equal(spec_find(id)->id, id);
	assert_null(spec_find(99));
	assert_false(spec_length_fits(hmac, 15));
	assert_true(spec_length_fits(hmac, 16));
	assert_true(spec_length_fits(hmac, 128));
	assert_false(spec_length_fits(hmac, 129));
	assert_false(spec_length_fits(spec_find(AG__KEY_SPEC__V__AES_192), 32));
	assert_false(spec_usage_allowed(rsa, 0, false));
	assert_true(spec_usage_allowed(rsa, USE(sign), false));
	assert_true(spec_usage_allowed(rsa, USE(encrypt) | USE(unwrap), false));
	assert_false(spec_usage_allowed(rsa, USE(sign) | USE(encrypt), false));
	assert_false(spec_usage_allowed(rsa, USE(sign), true));
	assert_true(spec_usage_allowed(rsa, USE(encrypt), true));
	assert_null(algorithm_pick(rsa->sign, true, AG__ALGORITHM__V__ECDSA_SHA_256));
	assert_int_equal(algorithm_pick(rsa->sign, false, 0)->id,
	    AG__ALGORITHM__V__RSASSA_PSS_SHA_256);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_aead),
		cmocka_unit_test(test_aead_held),
		cmocka_unit_test(test_ed25519),
		cmocka_unit_test(test_ecdsa),
		cmocka_unit_test(test_context),
		cmocka_unit_test(test_hmac),
		cmocka_unit_test(test_key_wrap),
		cmocka_unit_test(test_specs),
	};

	if (ag_secret_init() != AG_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
