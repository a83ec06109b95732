/* SPDX-License-Identifier: Apache-2.0 */
/* Statements about policies: made, read back, and refused for what they are. */
#include "signed.h"

#include <aegis/id.h>

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define TEXT "permit (principal, action, resource);"
#define SOON INT64_C(2000000000000)
#define NOW INT64_C(1900000000000)

static EVP_PKEY *key, *other;
static struct ag_signer signers[2];
static struct ag_signed base;

static void
identify(EVP_PKEY *pkey, char id[AG_SIGNED_HEX_SIZE])
{
	BIO *bio = BIO_new(BIO_s_mem());
	EVP_PKEY *again;
	char *pem;
	long len;

	assert_int_equal(PEM_write_bio_PUBKEY(bio, pkey), 1);
	len = BIO_get_mem_data(bio, &pem);
	again = ag_signed_public(pem, (size_t)len, id);
	assert_non_null(again);
	EVP_PKEY_free(again);
	BIO_free(bio);
}

static int
setup(void **state)
{
	key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	other = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	memset(signers, 0, sizeof(signers));
	identify(key, signers[0].id);
	signers[0].name = "alice";
	signers[0].until = INT64_MAX;
	signers[0].key = key;
	memset(&base, 0, sizeof(base));
	strcpy(base.tenant, "default");
	strcpy(base.name, "base");
	base.version = 3;
	ag_signed_digest(TEXT, strlen(TEXT), base.sha256);
	base.expires_at = SOON;
	strcpy(base.signer, signers[0].id);
	return 0;
}

static int
teardown(void **state)
{
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
	return 0;
}

static const struct ag_signed_want wanted = { .tenant = "default",
	.name = "base", .text = TEXT, .len = sizeof(TEXT) - 1, .after = 2,
	.now = NOW };

static enum ag_signed_fault
check(const char *text, const struct ag_signed_want *want)
{
	struct ag_signed said;

	return ag_signed_check(text, signers, 1, want, &said);
}

static void
test_round_trip(void **state)
{
	char text[AG_SIGNED_TEXT_SIZE];
	struct ag_signed said;

	assert_true(ag_signed_make(&base, key, text));
	assert_true(ag_signed_read(text, &said));
	assert_memory_equal(&said, &base, sizeof(said));
	assert_int_equal(check(text, &wanted), AG_SIGNED_OK);
}

/* Each thing that is bound, bent; the reasons are all different. */
static void
test_what_is_bound(void **state)
{
	char text[AG_SIGNED_TEXT_SIZE];
	struct ag_signed_want want;

	assert_true(ag_signed_make(&base, key, text));
#define BENT(member, value, fault) \
	(want = wanted, want.member = (value), \
	    assert_int_equal(check(text, &want), fault))
	BENT(tenant, "other", AG_SIGNED_OTHER_TENANT);
	BENT(name, "other", AG_SIGNED_OTHER_NAME);
	BENT(text, NULL, AG_SIGNED_ALTERED);
	BENT(len, sizeof(TEXT) - 2, AG_SIGNED_ALTERED);
	BENT(after, 3, AG_SIGNED_OLDER);
	BENT(after, 4, AG_SIGNED_OLDER);
	BENT(now, SOON, AG_SIGNED_EXPIRED);
	BENT(now, SOON - 1, AG_SIGNED_OK);
	want = wanted;
	want.after = 3;
	want.again = true;
	assert_int_equal(check(text, &want), AG_SIGNED_OK);
	assert_int_equal(check(NULL, &wanted), AG_SIGNED_MISSING);
	assert_int_equal(check("", &wanted), AG_SIGNED_MISSING);
	for (int i = 1; i < AG_SIGNED_FAULTS; i++)
		for (int j = 1; j < i; j++)
			assert_string_not_equal(ag_signed_reason(i),
			    ag_signed_reason(j));
}

static void
test_signers(void **state)
{
	char text[AG_SIGNED_TEXT_SIZE];
	struct ag_signed_want want = wanted;
	struct ag_signed said;

	assert_true(ag_signed_make(&base, key, text));
	assert_int_equal(ag_signed_check(text, signers, 0, &wanted, &said),
	    AG_SIGNED_UNKNOWN_SIGNER);
	signers[0].until = NOW;
	assert_int_equal(check(text, &wanted), AG_SIGNED_SIGNER_EXPIRED);
	want.now = NOW - 1;
	assert_int_equal(check(text, &want), AG_SIGNED_OK);
	signers[0].until = INT64_MAX;
	signers[0].tenant = "acme";
	assert_int_equal(check(text, &wanted), AG_SIGNED_UNKNOWN_SIGNER);
	/* Somebody who says that it was alice. */
	signers[0].tenant = NULL;
	assert_true(ag_signed_make(&base, other, text));
	assert_int_equal(check(text, &wanted), AG_SIGNED_BAD);
}

static void
test_gone(void **state)
{
	struct ag_signed_want want = wanted;
	char text[AG_SIGNED_TEXT_SIZE];

	ag_signed_digest(NULL, 0, base.sha256);
	assert_true(ag_signed_make(&base, key, text));
	assert_int_equal(check(text, &want), AG_SIGNED_ALTERED);
	want.text = NULL;
	assert_int_equal(check(text, &want), AG_SIGNED_OK);
}

/* Any character changed makes it none, or not the signer's. */
static void
test_no_byte_is_free(void **state)
{
	char text[AG_SIGNED_TEXT_SIZE];
	size_t len;

	assert_true(ag_signed_make(&base, key, text));
	len = strlen(text);
	for (size_t i = 0; i < len; i++) {
		char was = text[i];

		text[i] = was == 'A' ? 'B' : 'A';
		assert_int_not_equal(check(text, &wanted), AG_SIGNED_OK);
		text[i] = '\0';
		assert_int_not_equal(check(text, &wanted), AG_SIGNED_OK);
		text[i] = '!'; /* no base64 at all */
		assert_int_not_equal(check(text, &wanted), AG_SIGNED_OK);
		text[i] = was;
	}
	assert_int_equal(check(text, &wanted), AG_SIGNED_OK);
}

/* header.payload of these texts, really signed. */
static void
signed_as(const char *header, const char *payload, char *out)
{
	uint8_t signature[64];
	size_t len = sizeof(signature), end;
	EVP_MD_CTX *md = EVP_MD_CTX_new();

	ag_base64url((const uint8_t *)header, strlen(header), out);
	strcat(out, ".");
	ag_base64url((const uint8_t *)payload, strlen(payload),
	    out + strlen(out));
	assert_int_equal(EVP_DigestSignInit(md, NULL, NULL, NULL, key), 1);
	assert_int_equal(EVP_DigestSign(md, signature, &len,
	    (const uint8_t *)out, strlen(out)), 1);
	EVP_MD_CTX_free(md);
	end = strlen(out);
	out[end] = '.';
	ag_base64url(signature, len, out + end + 1);
}

/* Well signed, but not written in the one form. */
static void
test_one_form(void **state)
{
	char header[200], payload[400], text[AG_SIGNED_TEXT_SIZE];
	struct ag_signed said;
	static const char *const payloads[] = {
		"{\"name\":\"base\",\"exp\":2000000000,\"sha256\":\"%s\",\"tenant\":\"default\",\"version\":3}",
		"{\"exp\": 2000000000,\"name\":\"base\",\"sha256\":\"%s\",\"tenant\":\"default\",\"version\":3}",
		"{\"exp\":2000000000,\"name\":\"base\",\"sha256\":\"%s\",\"tenant\":\"default\",\"version\":3,\"x\":1}",
		"{\"exp\":2000000000,\"name\":\"base\",\"sha256\":\"%s\",\"tenant\":\"default\",\"version\":0}",
		"{\"exp\":2000000000,\"name\":\"base\",\"sha256\":\"%s\",\"tenant\":\"default\",\"version\":-3}",
		"{\"exp\":2000000000,\"name\":\"BASE\",\"sha256\":\"%s\",\"tenant\":\"default\",\"version\":3}",
		"{\"exp\":2e9,\"name\":\"base\",\"sha256\":\"%s\",\"tenant\":\"default\",\"version\":3}",
		"{\"exp\":9223372036854775807,\"name\":\"base\",\"sha256\":\"%s\",\"tenant\":\"default\",\"version\":3}",
		"{\"exp\":2000000000,\"name\":\"base\",\"name\":\"base\",\"sha256\":\"%s\",\"tenant\":\"default\",\"version\":3}",
		"%s", "", "[]", "null",
	};

	snprintf(header, sizeof(header), "{\"alg\":\"EdDSA\",\"kid\":\"%s\","
	    "\"typ\":\"aegis-policy\"}", signers[0].id);
	snprintf(payload, sizeof(payload), "{\"exp\":2000000000,\"name\":\"base\","
	    "\"sha256\":\"%s\",\"tenant\":\"default\",\"version\":3}",
	    base.sha256);
	signed_as(header, payload, text);
	assert_int_equal(check(text, &wanted), AG_SIGNED_OK);
	for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++) {
		char *odd = malloc(600);

		assert_non_null(odd);
		/* Each has the digest in it, or nothing. */
		if (strstr(payloads[i], "%s") != NULL) {
			const char *at = strstr(payloads[i], "%s");

			sprintf(odd, "%.*s%s%s", (int)(at - payloads[i]),
			    payloads[i], base.sha256, at + 2);
		} else {
			strcpy(odd, payloads[i]);
		}
		signed_as(header, odd, text);
		assert_false(ag_signed_read(text, &said));
		free(odd);
	}
	/* Another algorithm, another type: not ours. */
	snprintf(header, sizeof(header), "{\"alg\":\"none\",\"kid\":\"%s\","
	    "\"typ\":\"aegis-policy\"}", signers[0].id);
	signed_as(header, payload, text);
	assert_int_equal(check(text, &wanted), AG_SIGNED_MALFORMED);
	snprintf(header, sizeof(header), "{\"alg\":\"EdDSA\",\"kid\":\"%s\","
	    "\"typ\":\"JWT\"}", signers[0].id);
	signed_as(header, payload, text);
	assert_int_equal(check(text, &wanted), AG_SIGNED_MALFORMED);
}

static void
test_no_statement(void **state)
{
	static const char *const texts[] = { "", ".", "..", "a", "a.b", "a.b.c",
		"eyJhIjoxfQ.eyJhIjoxfQ." };
	struct ag_signed said;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_false(ag_signed_read(texts[i], &said));
}

static void
test_keys(void **state)
{
	char id[AG_SIGNED_HEX_SIZE], *pem;
	EVP_PKEY *ec = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	BIO *bio = BIO_new(BIO_s_mem());
	long len;

	assert_int_equal(PEM_write_bio_PUBKEY(bio, ec), 1);
	len = BIO_get_mem_data(bio, &pem);
	assert_null(ag_signed_public(pem, (size_t)len, id));
	assert_null(ag_signed_private(pem, (size_t)len, id));
	BIO_free(bio);
	/* Under a passphrase: refused, nobody is asked. */
	bio = BIO_new(BIO_s_mem());
	assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, key,
	    EVP_aes_256_cbc(), "secret", 6, NULL, NULL), 1);
	len = BIO_get_mem_data(bio, &pem);
	assert_null(ag_signed_private(pem, (size_t)len, id));
	BIO_free(bio);
	assert_null(ag_signed_public("no key", 6, id));
	EVP_PKEY_free(ec);
}

static bool
round_trips(const struct ag_signed *what)
{
	char text[AG_SIGNED_TEXT_SIZE];
	struct ag_signed said;

	return ag_signed_make(what, key, text) && ag_signed_read(text, &said) &&
	    memcmp(&said, what, sizeof(said)) == 0;
}

/* The first and last of what can be said, and the one beside. */
static void
test_edges(void **state)
{
	char header[200], payload[400], text[AG_SIGNED_TEXT_SIZE + 200];
	struct ag_signed edge, said;

#define EDGE(yes, ...) (edge = base, __VA_ARGS__, \
	    assert_int_equal(round_trips(&edge), yes))
	EDGE(true, edge.version = 1);
	EDGE(false, edge.version = 0);
	EDGE(true, edge.version = INT64_C(9007199254740991));
	EDGE(false, edge.version = INT64_C(9007199254740992));
	EDGE(true, edge.expires_at = 1000);
	EDGE(false, edge.expires_at = 0);
	EDGE(false, edge.expires_at = -1000);
	EDGE(false, edge.expires_at = 1001);
	EDGE(false, edge.signer[0] = 'A'); /* hex, but not in its one form */
	EDGE(false, edge.sha256[0] = 'A');
	EDGE(false, edge.sha256[0] = 'x');
	EDGE(false, edge.sha256[63] = '\0');
	EDGE(false, edge.signer[63] = '\0');
	EDGE(false, edge.signer[0] = '\0');
	/* The longest names there are: all of it has room. */
	EDGE(true, memset(edge.name, 'n', AG_NAME_MAX),
	    edge.name[AG_NAME_MAX] = '\0',
	    memset(edge.tenant, 't', AG_NAME_MAX),
	    edge.tenant[AG_NAME_MAX] = '\0');
	/* The last second that has milliseconds, and the one after it. */
	snprintf(header, sizeof(header), "{\"alg\":\"EdDSA\",\"kid\":\"%s\","
	    "\"typ\":\"aegis-policy\"}", signers[0].id);
	for (int i = 0; i < 2; i++) {
		snprintf(payload, sizeof(payload), "{\"exp\":%lld,\"name\":"
		    "\"base\",\"sha256\":\"%s\",\"tenant\":\"default\","
		    "\"version\":3}", (long long)(INT64_MAX / 1000 + i),
		    base.sha256);
		signed_as(header, payload, text);
		assert_int_equal(ag_signed_read(text, &said), i == 0);
	}
	snprintf(payload, sizeof(payload), "{\"exp\":0,\"name\":\"base\","
	    "\"sha256\":\"%s\",\"tenant\":\"default\",\"version\":3}",
	    base.sha256);
	signed_as(header, payload, text);
	assert_false(ag_signed_read(text, &said));
}

/* A signature of another length is none, and nothing is read behind the text. */
static void
test_lengths(void **state)
{
	char text[AG_SIGNED_TEXT_SIZE], *odd;
	struct ag_signed said;
	size_t len;

	assert_true(ag_signed_make(&base, key, text));
	len = strlen(text);
	for (size_t cut = 1; cut < 4; cut++) {
		odd = strndup(text, len - cut);
		assert_non_null(odd);
		assert_false(ag_signed_read(odd, &said));
		free(odd);
	}
	odd = malloc(2 * AG_SIGNED_TEXT_SIZE);
	assert_non_null(odd);
	for (size_t more = 1; more < AG_SIGNED_TEXT_SIZE; more += 7) {
		memset(odd, 'A', more);
		memcpy(odd + more, text, len + 1);
		assert_false(ag_signed_read(odd, &said));
	}
	free(odd);
}

/* PEM of the size that is taken, and of a byte more. */
static void
test_pem_size(void **state)
{
	char id[AG_SIGNED_HEX_SIZE], pem[AG_SIGNED_PEM_MAX + 1], *text;
	BIO *bio = BIO_new(BIO_s_mem());
	EVP_PKEY *again;
	long len;

	assert_int_equal(PEM_write_bio_PUBKEY(bio, key), 1);
	len = BIO_get_mem_data(bio, &text);
	memset(pem, '\n', sizeof(pem));
	memcpy(pem, text, (size_t)len);
	again = ag_signed_public(pem, AG_SIGNED_PEM_MAX, id);
	assert_non_null(again);
	assert_string_equal(id, signers[0].id);
	EVP_PKEY_free(again);
	assert_null(ag_signed_public(pem, AG_SIGNED_PEM_MAX + 1, id));
	BIO_free(bio);
}

/* Of several signers each signs for its own tenant, or for all. */
static void
test_several(void **state)
{
	struct ag_signer some[3];
	char text[AG_SIGNED_TEXT_SIZE];
	struct ag_signed said, by = base;

	memset(some, 0, sizeof(some));
	for (unsigned i = 0; i < 3; i++) {
		some[i].name = "x";
		some[i].until = INT64_MAX;
		some[i].key = i == 0 ? other : key;
		identify(some[i].key, some[i].id);
	}
	some[1].tenant = "acme"; /* the same key, for another tenant only */
	some[2].tenant = "default";
	assert_true(ag_signed_make(&by, key, text));
	assert_int_equal(ag_signed_check(text, some, 3, &wanted, &said),
	    AG_SIGNED_OK);
	assert_int_equal(ag_signed_check(text, some, 2, &wanted, &said),
	    AG_SIGNED_UNKNOWN_SIGNER);
	strcpy(by.signer, some[0].id);
	assert_true(ag_signed_make(&by, other, text));
	assert_int_equal(ag_signed_check(text, some, 3, &wanted, &said),
	    AG_SIGNED_OK);
}

/* What cannot be said is not signed. */
static void
test_unsayable(void **state)
{
	char text[AG_SIGNED_TEXT_SIZE];
	struct ag_signed odd;

#define NOT(...) (odd = base, __VA_ARGS__, \
	    assert_false(ag_signed_make(&odd, key, text)))
	NOT(strcpy(odd.tenant, "a\"b"));
	NOT(strcpy(odd.name, ""));
	NOT(odd.version = 0);
	NOT(odd.version = INT64_MAX);
	NOT(odd.expires_at = 1);
	NOT(odd.expires_at = 0);
	NOT(odd.signer[0] = 'X');
	NOT(odd.sha256[63] = '\0');
	odd = base;
	odd.version = 1; /* the first of a document */
	assert_true(ag_signed_make(&odd, key, text));
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(test_round_trip), T(test_what_is_bound), T(test_signers),
		T(test_gone), T(test_no_byte_is_free), T(test_one_form),
		T(test_no_statement), T(test_keys), T(test_unsayable),
		T(test_edges), T(test_lengths), T(test_pem_size), T(test_several),
	};

	return cmocka_run_group_tests_name("policy_signed", tests, NULL, NULL);
}
