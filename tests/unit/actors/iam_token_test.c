/* SPDX-License-Identifier: Apache-2.0 */
/* JWTs of our own issuer: the good one, and every way to bend it (I01, I07). */
#include "iam.h"

#include <openssl/hmac.h>
#include <openssl/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const int64_t NOW = INT64_C(1790000000000);
static EVP_PKEY *issuer, *stranger;
static struct iam_keyring ring;

static void
add_key(EVP_PKEY *pkey, const char *kid, int64_t from, int64_t until)
{
	Ag__RotKey key = AG__ROT_KEY__INIT;

	key.key_id = (char *)kid;
	key.public_key_der.data = NULL;
	key.public_key_der.len = (size_t)i2d_PUBKEY(pkey,
	    &key.public_key_der.data);
	key.from_at = from;
	key.has_until_at = until != 0;
	key.until_at = until;
	assert_int_equal(iam_keyring_add(&ring, &key), AG_OK);
	OPENSSL_free(key.public_key_der.data);
}

/* base64url(header).base64url(payload), signed by whom. */
static char *
make(EVP_PKEY *by, const char *header, const char *payload)
{
	size_t h = strlen(header), p = strlen(payload), len = 64;
	char *input = malloc(2 * (h + p) + 16), *token;
	uint8_t signature[64];
	EVP_MD_CTX *md = EVP_MD_CTX_new();

	ag_base64url((const uint8_t *)header, h, input);
	strcat(input, ".");
	ag_base64url((const uint8_t *)payload, p, input + strlen(input));
	assert_int_equal(EVP_DigestSignInit(md, NULL, NULL, NULL, by), 1);
	assert_int_equal(EVP_DigestSign(md, signature, &len,
	    (const uint8_t *)input, strlen(input)), 1);
	EVP_MD_CTX_free(md);
	token = iam_jwt_finish(input, signature, len);
	assert_non_null(token);
	free(input);
	return token;
}

static const char *
judge(const char *token, size_t len, struct iam_claims *claims)
{
	struct iam_jwt jwt;
	const char *why = iam_jwt_open(token, len, &jwt);

	return why != NULL ? why : iam_jwt_verify(&ring, "aegis", &jwt, NOW,
	    claims);
}

static const char *
verify_text(const char *token)
{
	struct iam_claims claims;

	return judge(token, strlen(token), &claims);
}

static const char *
verify(EVP_PKEY *by, const char *header, const char *payload)
{
	char *token = make(by, header, payload);
	const char *why = verify_text(token);

	free(token);
	return why;
}

#define HEADER "{\"alg\":\"EdDSA\",\"kid\":\"k1\",\"typ\":\"JWT\"}"
#define CLAIMS_BUT(iss, aud, times, more) \
	"{\"iss\":\"" iss "\",\"sub\":\"hum_1\",\"aud\":" aud "," times \
	",\"jti\":\"j1\"" more "}"
#define TIMES "\"iat\":1789999000,\"exp\":1790001000"
#define GOOD CLAIMS_BUT("aegis", "\"aegis\"", TIMES, "")

static void
test_good(void **state)
{
	assert_null(verify(issuer, HEADER, GOOD));
	assert_null(verify(issuer, HEADER, CLAIMS_BUT("aegis",
	    "[\"x\",\"aegis\"]", TIMES, "")));
	assert_null(verify(issuer, HEADER, CLAIMS_BUT("aegis", "\"aegis\"", TIMES,
	    ",\"nbf\":1790000029,\"scope\":\"a b\"")));
	assert_null(verify(issuer, HEADER, CLAIMS_BUT("aegis", "\"aegis\"", TIMES,
	    ",\"aegis_kind\":\"agent\",\"aegis_parent\":\"hum_1\"")));
}

static const struct {
	const char *header, *payload, *why;
	bool by_stranger;
} bent[] = {
	{ "{\"alg\":\"none\",\"kid\":\"k1\"}", GOOD, "token_algorithm", false },
	{ "{\"alg\":\"NONE\",\"kid\":\"k1\"}", GOOD, "token_algorithm", false },
	{ "{\"alg\":\"HS256\",\"kid\":\"k1\"}", GOOD, "token_algorithm", false },
	{ "{\"alg\":\"RS256\",\"kid\":\"k1\"}", GOOD, "token_algorithm", false },
	{ "{\"alg\":\"ES256\",\"kid\":\"k1\"}", GOOD, "token_algorithm", false },
	{ "{\"alg\":\"eddsa\",\"kid\":\"k1\"}", GOOD, "token_algorithm", false },
	{ "{\"alg\":\"\",\"kid\":\"k1\"}", GOOD, "token_algorithm", false },
	{ "{\"kid\":\"k1\"}", GOOD, "token_malformed", false },
	{ "{\"alg\":7,\"kid\":\"k1\"}", GOOD, "token_malformed", false },
	{ "{\"alg\":\"EdDSA\",\"alg\":\"none\",\"kid\":\"k1\"}", GOOD, "token_malformed", false },
	{ "{\"alg\":\"EdDSA\",\"kid\":\"k1\",\"crit\":[\"exp\"]}", GOOD, "token_malformed", false },
	{ "{\"alg\":\"EdDSA\",\"kid\":\"k1\",\"b64\":false}", GOOD, "token_malformed", false },
	{ "[\"EdDSA\"]", GOOD, "token_malformed", false },
	{ "{", GOOD, "token_malformed", false },
	{ "", GOOD, "token_malformed", false },
	{ "{\"alg\":\"EdDSA\"}", GOOD, "token_signature", false },
	{ "{\"alg\":\"EdDSA\",\"kid\":\"k9\"}", GOOD, "token_signature", false },
	{ "{\"alg\":\"EdDSA\",\"kid\":\"retired\"}", GOOD, "token_signature", false },
	{ HEADER, GOOD, "token_signature", true },
	{ HEADER, "", "token_malformed", false },
	{ HEADER, "{}", "token_claims", false },
	{ HEADER, "[1]", "token_malformed", false },
	{ HEADER, "{\"iss\":\"aegis\"", "token_malformed", false },
	{ HEADER, CLAIMS_BUT("other", "\"aegis\"", TIMES, ""), "token_issuer", false },
	{ HEADER, CLAIMS_BUT("aegis", "\"other\"", TIMES, ""), "token_audience", false },
	{ HEADER, CLAIMS_BUT("aegis", "[]", TIMES, ""), "token_audience", false },
	{ HEADER, CLAIMS_BUT("aegis", "[[\"aegis\"]]", TIMES, ""), "token_audience", false },
	{ HEADER, CLAIMS_BUT("aegis", "{\"aegis\":1}", TIMES, ""), "token_audience", false },
	{ HEADER, CLAIMS_BUT("aegis", "\"aegis\"", "\"iat\":1,\"exp\":1790000000", ""), "token_expired", false },
	{ HEADER, CLAIMS_BUT("aegis", "\"aegis\"", "\"iat\":1,\"exp\":2", ""), "token_expired", false },
	{ HEADER, CLAIMS_BUT("aegis", "\"aegis\"", "\"iat\":1790000031,\"exp\":1790001000", ""), "token_not_yet_valid", false },
	{ HEADER, CLAIMS_BUT("aegis", "\"aegis\"", TIMES, ",\"nbf\":1790000031"), "token_not_yet_valid", false },
	{ HEADER, CLAIMS_BUT("aegis", "\"aegis\"", "\"iat\":1", ""), "token_claims", false },
	{ HEADER, CLAIMS_BUT("aegis", "\"aegis\"", "\"exp\":1790001000", ""), "token_claims", false },
	{ HEADER, CLAIMS_BUT("aegis", "\"aegis\"", "\"iat\":1,\"exp\":\"1790001000\"", ""), "token_claims", false },
	{ HEADER, CLAIMS_BUT("aegis", "\"aegis\"", "\"iat\":1,\"exp\":1.5e12", ""), "token_claims", false },
	{ HEADER, CLAIMS_BUT("aegis", "\"aegis\"", "\"iat\":-1,\"exp\":1790001000", ""), "token_claims", false },
	{ HEADER, CLAIMS_BUT("aegis", "\"aegis\"", "\"iat\":1,\"exp\":9223372036854775807", ""), "token_claims", false },
	{ HEADER, CLAIMS_BUT("aegis", "\"aegis\"", TIMES, ",\"nbf\":\"x\""), "token_claims", false },
	{ HEADER, CLAIMS_BUT("aegis", "\"aegis\"", TIMES, ",\"aegis_kind\":\"agent\""), "token_claims", false },
	{ HEADER, CLAIMS_BUT("aegis", "\"aegis\"", TIMES, ",\"aegis_kind\":1"), "token_claims", false },
	{ HEADER, CLAIMS_BUT("aegis", "\"aegis\"", TIMES, ",\"aegis_parent\":\"\""), "token_claims", false },
	{ HEADER, CLAIMS_BUT("aegis", "\"aegis\"", TIMES, ",\"jti\":\"j2\""), "token_malformed", false },
	{ HEADER, "{\"iss\":\"aegis\",\"sub\":\"\",\"aud\":\"aegis\",\"iat\":1,\"exp\":1790001000,\"jti\":\"j\"}", "token_claims", false },
	{ HEADER, "{\"iss\":\"aegis\",\"sub\":\"s\",\"iat\":1,\"exp\":1790001000,\"jti\":\"j\"}", "token_claims", false },
};

static void
test_bent(void **state)
{
	for (size_t i = 0; i < sizeof(bent) / sizeof(bent[0]); i++) {
		const char *why = verify(bent[i].by_stranger ? stranger : issuer,
		    bent[i].header, bent[i].payload);

		if (why == NULL || strcmp(why, bent[i].why) != 0)
			print_error("row %zu: %s\n", i, why == NULL ? "good" : why);
		assert_non_null(why);
		assert_string_equal(why, bent[i].why);
	}
}

/* The public key used as an HMAC key, as RFC 8725 §2.1 warns of. */
static void
test_hs256_confusion(void **state)
{
	char input[1024], token[1200];
	uint8_t mac[32];
	unsigned len = sizeof(mac);
	static const char header[] = "{\"alg\":\"HS256\",\"kid\":\"k1\"}";

	ag_base64url((const uint8_t *)header, strlen(header), input);
	strcat(input, ".");
	ag_base64url((const uint8_t *)GOOD, strlen(GOOD), input + strlen(input));
	HMAC(EVP_sha256(), ring.keys[0].raw, 32, (const uint8_t *)input,
	    strlen(input), mac, &len);
	snprintf(token, sizeof(token), "%s.", input);
	ag_base64url(mac, sizeof(mac), token + strlen(token));
	assert_string_equal(verify_text(token), "token_algorithm");
}

/* Every single byte changed: never good. */
static void
test_tampered(void **state)
{
	char *token = make(issuer, HEADER, GOOD);
	size_t len = strlen(token);

	for (size_t i = 0; i < len; i++) {
		char was = token[i];

		token[i] = was == 'A' ? 'B' : 'A';
		assert_non_null(verify_text(token));
		token[i] = '.';
		assert_true(was == '.' || verify_text(token) != NULL);
		token[i] = was;
	}
	for (size_t i = 0; i < len; i++) {
		struct iam_claims claims;

		assert_non_null(judge(token, i, &claims)); /* cut off */
	}
	assert_null(verify_text(token));
	free(token);
}

static void
test_shapes(void **state)
{
	static const char *const shapes[] = { "", ".", "..", "...", "a.b", "a.b.c",
		"a.b.c.d", "Bearer x", "e30.e30.", "e30.e30.AA", ".e30.e30" };
	char *big = malloc(IAM_TOKEN_BYTES_MAX + 2), *token, *more;

	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		assert_non_null(verify_text(shapes[i]));
	memset(big, 'a', IAM_TOKEN_BYTES_MAX + 1);
	big[IAM_TOKEN_BYTES_MAX + 1] = '\0';
	assert_string_equal(verify_text(big), "token_malformed");
	/* padding, or bytes behind the signature */
	token = make(issuer, HEADER, GOOD);
	more = malloc(strlen(token) + 8);
	sprintf(more, "%s=", token);
	assert_non_null(verify_text(more));
	sprintf(more, "%s.AA", token);
	assert_non_null(verify_text(more));
	sprintf(more, "%sAAAA", token);
	assert_non_null(verify_text(more));
	sprintf(more, " %s", token);
	assert_non_null(verify_text(more));
	free(more);
	free(token);
	free(big);
}

static void
test_issue(void **state)
{
	struct iam_claims in = { .sub = "agt_1", .jti = "j", .kind = "agent",
		.tenant = "default", .parent = "hum_1", .iat_ms = NOW - 1000,
		.exp_ms = NOW + 60000 }, out;
	char *scopes[] = { (char *)"key:a:sign", (char *)"key:b:*" };
	char *input = iam_jwt_input("k1", "aegis", &in, scopes, 2), *token;
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	uint8_t signature[64];
	size_t len = 64;

	assert_int_equal(EVP_DigestSignInit(md, NULL, NULL, NULL, issuer), 1);
	assert_int_equal(EVP_DigestSign(md, signature, &len,
	    (const uint8_t *)input, strlen(input)), 1);
	token = iam_jwt_finish(input, signature, len);
	assert_null(judge(token, strlen(token), &out));
	assert_string_equal(out.sub, in.sub);
	assert_string_equal(out.parent, in.parent);
	assert_string_equal(out.tenant, in.tenant);
	assert_int_equal(out.exp_ms, in.exp_ms);
	assert_null(iam_jwt_finish(input, signature, 63));
	EVP_MD_CTX_free(md);
	free(token);
	free(input);
}

/* 64 of the longest scopes still make a token that we take ourselves. */
static void
test_issue_big(void **state)
{
	struct iam_claims in = { .sub = "agt_1", .jti = "j", .kind = "agent",
		.tenant = "default", .parent = "hum_1" };
	char text[200], *scopes[64], *input;

	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (int i = 0; i < 64; i++)
		scopes[i] = text;
	input = iam_jwt_input("k1", "aegis", &in, scopes, 64);
	assert_true(strlen(input) < IAM_TOKEN_BYTES_MAX - 100);
	free(input);
}

static void
test_current(void **state)
{
	assert_string_equal(iam_keyring_current(&ring, NOW)->kid, "k1");
	assert_string_equal(iam_keyring_current(&ring, NOW + 5000)->kid, "k2");
	assert_non_null(iam_keyring_current(&ring, 0));
}

static int
setup(void **state)
{
	issuer = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	stranger = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	add_key(issuer, "k1", NOW - 1000, 0);
	add_key(issuer, "retired", NOW - 9000, NOW - 1);
	add_key(stranger, "k2", NOW + 5000, 0);
	return 0;
}

static int
teardown(void **state)
{
	iam_keyring_fini(&ring);
	EVP_PKEY_free(issuer);
	EVP_PKEY_free(stranger);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bent),
		cmocka_unit_test(test_hs256_confusion),
		cmocka_unit_test(test_tampered),
		cmocka_unit_test(test_shapes),
		cmocka_unit_test(test_issue),
		cmocka_unit_test(test_issue_big),
		cmocka_unit_test(test_current),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
