/* SPDX-License-Identifier: Apache-2.0 */
/* Other issuers' keys and signatures: the RFCs' own vectors, and every key
 * that must not be taken (I02, I05). */
#include "iam_fleet.h"

#include <ctx.h>

#include "issuers.h"
#include "jwk.h"

/* RFC 7515 A.1 to A.3, RFC 8037 A.4: {"iss":"joe",…} but for the last. */
#define JOE "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
#define HS256_TOKEN "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." JOE \
	".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
#define HS256_KEY "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"
#define RS256_TOKEN "eyJhbGciOiJSUzI1NiJ9." JOE \
	".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7" \
	"AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4" \
	"BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K" \
	"0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqv" \
	"hJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrB" \
	"p0igcN_IoypGlUPQGe77Rw"
#define RS256_N "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"
#define ES256_TOKEN "eyJhbGciOiJFUzI1NiJ9." JOE \
	".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
#define ES256_X "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define ES256_Y "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
#define EDDSA_TOKEN "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc." \
	"hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
#define EDDSA_X "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"

#define EC(kid) "{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"" kid "\",\"x\":\"" \
	ES256_X "\",\"y\":\"" ES256_Y "\"}"
#define RSA_KEY(kid) "{\"kty\":\"RSA\",\"kid\":\"" kid "\",\"n\":\"" RS256_N \
	"\",\"e\":\"AQAB\"}"
#define OKP(kid) "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"" kid \
	"\",\"x\":\"" EDDSA_X "\"}"
#define SET(keys) "{\"keys\":[" keys "]}"

static bool
verifies(const struct iam_jwks *set, const char *kid, const char *token)
{
	const struct iam_jwk *key = iam_jwks_find(set, kid);
	struct iam_jwt jwt;

	assert_non_null(key);
	return iam_jwt_open(token, strlen(token), &jwt) == NULL &&
	    iam_jwk_verify(key, &jwt);
}

static void
test_rfc_vectors(void **state)
{
	static const char *const tokens[] = { ES256_TOKEN, RS256_TOKEN,
		EDDSA_TOKEN };
	static const char *const kids[] = { "e", "r", "o" };
	const char text[] = SET(EC("e") "," RSA_KEY("r") "," OKP("o"));
	struct iam_jwks set;
	const char *why;

	assert_int_equal(iam_jwks_parse(text, strlen(text), &set, &why), AG_OK);
	assert_int_equal(set.count, 3);
	assert_null(iam_jwks_find(&set, "x"));
	assert_null(iam_jwks_find(&set, ""));
	for (int i = 0; i < 3; i++)
		for (int j = 0; j < 3; j++) {
			char bent[2048];

			/* Of its own key only, and not bent. */
			assert_int_equal(verifies(&set, kids[j], tokens[i]),
			    i == j);
			snprintf(bent, sizeof(bent), "%s", tokens[i]);
			bent[30] ^= 1;
			assert_false(verifies(&set, kids[j], bent));
			snprintf(bent, sizeof(bent), "%s", tokens[i]);
			bent[strlen(bent) - 5] = bent[strlen(bent) - 5] == 'A' ?
			    'B' : 'A';
			assert_false(verifies(&set, kids[j], bent));
			bent[strlen(bent) - 4] = '\0';
			assert_false(verifies(&set, kids[j], bent));
		}
	iam_jwks_free(&set);
}

static void
test_hs256_vector(void **state)
{
	struct fleet *f = fleet_new(NULL); /* for the locked region */
	struct ag_secret *secret, *other;
	struct iam_jwt jwt;
	uint8_t key[80];
	size_t len;

	assert_true(ag_base64url_parse(HS256_KEY, strlen(HS256_KEY), key,
	    sizeof(key), &len));
	assert_int_equal(ag_secret_copy(key, len, &secret), AG_OK);
	assert_int_equal(ag_secret_copy(key, len - 1, &other), AG_OK);
	assert_null(iam_jwt_open(HS256_TOKEN, strlen(HS256_TOKEN), &jwt));
	assert_true(iam_hs256_verify(secret, &jwt));
	assert_false(iam_hs256_verify(other, &jwt));
	jwt.signature_len--;
	assert_false(iam_hs256_verify(secret, &jwt));
	ag_secret_free(&secret);
	ag_secret_free(&other);
	fleet_free(f);
}

static void
test_bad_sets(void **state)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{ "", "json" }, { "{}", "json" }, { "[]", "json" },
		{ "{\"keys\":{}}", "json" }, { "{\"keys\":[]}", "no-key" },
		{ "{\"keys\":[", "json" },
		{ SET(EC("a") "," EC("a")), "kid-twice" },
		{ SET("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" ES256_X
		    "\",\"y\":\"" ES256_Y "\"}"), "kid" },
		{ SET(EC("")), "kid" },
		/* Not on the curve; too short; too long. */
		{ SET("{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"a\",\"x\":\""
		    ES256_Y "\",\"y\":\"" ES256_X "\"}"), "key" },
		{ SET("{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"a\",\"x\":\"AQ\","
		    "\"y\":\"" ES256_X "\"}"), "key" },
		{ SET("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"a\","
		    "\"x\":\"AQ\"}"), "key" },
		/* RSA of 1024 bits or less, and with an exponent of one. */
		{ SET("{\"kty\":\"RSA\",\"kid\":\"a\",\"n\":\"" ES256_X
		    "\",\"e\":\"AQAB\"}"), "key" },
		{ SET("{\"kty\":\"RSA\",\"kid\":\"a\",\"n\":\"" RS256_N
		    "\",\"e\":\"AQ\"}"), "key" },
		/* Private parts, and a shared secret where public keys are. */
		{ SET(EC("a") ",{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"b\","
		    "\"x\":\"" ES256_X "\",\"y\":\"" ES256_Y "\",\"d\":\"AQ\"}"),
		    "private" },
		{ SET(EC("a") ",{\"kty\":\"oct\",\"kid\":\"b\",\"k\":\"AQ\"}"),
		    "private" },
	};
	struct iam_jwks set;
	const char *why;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (iam_jwks_parse(rows[i].text, strlen(rows[i].text), &set,
		    &why) != AG_CORRUPT)
			print_error("taken: %s\n", rows[i].text);
		assert_non_null(why);
		assert_string_equal(why, rows[i].why);
		assert_int_equal(set.count, 0);
	}
}

/* Keys of other kinds are no reason to refuse the rest of a set. */
static void
test_other_kinds(void **state)
{
	const char text[] = SET(
	    "{\"kty\":\"EC\",\"crv\":\"P-384\",\"kid\":\"a\",\"x\":\"AQ\",\"y\":\"AQ\"},"
	    "{\"kty\":\"OKP\",\"crv\":\"X25519\",\"kid\":\"b\",\"x\":\"" EDDSA_X "\"},"
	    "{\"kty\":\"RSA\",\"use\":\"enc\",\"kid\":\"c\",\"n\":\"AQ\",\"e\":\"AQAB\"},"
	    "{\"kty\":\"RSA\",\"alg\":\"PS256\",\"kid\":\"d\",\"n\":\"AQ\",\"e\":\"AQAB\"},"
	    "{\"kty\":\"EC\",\"alg\":\"EdDSA\",\"crv\":\"P-256\",\"kid\":\"e\",\"x\":\""
	    ES256_X "\",\"y\":\"" ES256_Y "\"}," EC("good"));
	struct iam_jwks set;
	const char *why;

	assert_int_equal(iam_jwks_parse(text, strlen(text), &set, &why), AG_OK);
	assert_int_equal(set.count, 1);
	assert_non_null(iam_jwks_find(&set, "good"));
	iam_jwks_free(&set);
}

/* ------------------------------------------------------- whom it speaks of */

static struct ended
external(struct fleet *f, const char *name, const char *issuer,
    const char *subject)
{
	Ag__PrincipalCreateAsk ask = AG__PRINCIPAL_CREATE_ASK__INIT;
	Ag__External id = AG__EXTERNAL__INIT;

	ask.kind = AG__KIND__V__human;
	ask.name = (char *)name;
	ask.external = &id;
	id.issuer = (char *)issuer;
	id.subject = (char *)subject;
	return request(f, AG_MSG_PRINCIPAL_CREATE, ASK(.token = f->admin), &ask);
}

/* Two raw identities are never one principal, nor one identity two (I38). */
static void
test_identity_is_unique(void **state)
{
	struct fleet *f = fleet_new(NULL);
	struct iam *iam = ag_kit_state(f->kit);
	Ag__PrincipalUpdateAsk move = AG__PRINCIPAL_UPDATE_ASK__INIT;
	Ag__ExternalPatch id = AG__EXTERNAL_PATCH__INIT;

	expect(external(f, "ann", "https://a", "1"), AG_OK, NULL);
	expect(external(f, "bea", "https://a", "1"), AG_ALREADY_EXISTS, "name");
	/* Near misses are others: the pair counts, not its concatenation. */
	expect(external(f, "cid", "https://a1", ""), AG_INVALID_FIELD, NULL);
	expect(external(f, "dan", "https://", "a1"), AG_OK, NULL);
	expect(external(f, "eli", "https://A", "1"), AG_OK, NULL);
	expect(external(f, "fay", "https://a", "1 "), AG_OK, NULL);
	assert_string_equal(iam_external_find(iam, "https://a", "1")->name, "ann");
	assert_string_equal(iam_external_find(iam, "https://A", "1")->name, "eli");
	assert_null(iam_external_find(iam, "https://a", "2"));
	assert_null(iam_external_find(iam, "https://a1", ""));
	/* Moved by an update, freed by a deletion. */
	move.external = &id;
	id.issuer = (char *)"https://a";
	id.subject = (char *)"1";
	expect(request(f, AG_MSG_PRINCIPAL_UPDATE, ASK(.token = f->admin,
	    .selector = "dan"), &move), AG_ALREADY_EXISTS, "name");
	id.subject = (char *)"2";
	expect(request(f, AG_MSG_PRINCIPAL_UPDATE, ASK(.token = f->admin,
	    .selector = "ann"), &move), AG_OK, NULL);
	assert_null(iam_external_find(iam, "https://a", "1"));
	assert_string_equal(iam_external_find(iam, "https://a", "2")->name, "ann");
	because(f, AG_MSG_PRINCIPAL_DELETE, f->admin, "ann", AG_OK, NULL);
	assert_null(iam_external_find(iam, "https://a", "2"));
	expect(external(f, "gus", "https://a", "2"), AG_OK, NULL);
	fleet_free(f);
}

/* One member of it may change alone, but half of it names nobody. */
static void
test_identity_changes(void **state)
{
	struct fleet *f = fleet_new(NULL);
	struct iam *iam = ag_kit_state(f->kit);
	static const struct {
		const char *issuer, *subject, *null; /* of the patch */
		const char *field;                   /* NULL: it is taken */
		const char *after;                   /* of https://a; NULL: none */
	} rows[] = {
		{ NULL, "2", NULL, NULL, "2" },
		{ NULL, NULL, "/external/issuer", "/external", "2" },
		{ NULL, "3", "/external/subject", "/external", "2" },
		{ NULL, NULL, "/labels", NULL, "2" },
		{ "https://a", "4", NULL, NULL, "4" },
		{ NULL, NULL, "/external", NULL, NULL },
		{ NULL, "5", NULL, "/external/issuer", NULL },
		{ "https://a", NULL, NULL, "/external/subject", NULL },
	};

	expect(external(f, "ann", "https://a", "1"), AG_OK, NULL);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		Ag__PrincipalUpdateAsk ask = AG__PRINCIPAL_UPDATE_ASK__INIT;
		Ag__ExternalPatch id = AG__EXTERNAL_PATCH__INIT;
		char *nulls[1] = { (char *)rows[i].null };
		struct ended e;

		id.issuer = (char *)rows[i].issuer;
		id.subject = (char *)rows[i].subject;
		ask.nulls = nulls;
		ask.n_nulls = rows[i].null != NULL;
		if (rows[i].null == NULL || strlen(rows[i].null) > 9)
			ask.external = &id;
		e = request(f, AG_MSG_PRINCIPAL_UPDATE, ASK(.token = f->admin,
		    .selector = "ann"), &ask);
		assert_int_equal(e.err, rows[i].field == NULL ? AG_OK :
		    AG_INVALID_FIELD);
		assert_string_equal(e.field, rows[i].field == NULL ? "" :
		    rows[i].field);
		ended_free(&e);
		for (char n = '1'; n <= '5'; n++) {
			char subject[2] = { n, '\0' };

			assert_int_equal(iam_external_find(iam, "https://a",
			    subject) != NULL, rows[i].after != NULL &&
			    rows[i].after[0] == n);
		}
	}
	fleet_free(f);
}

/* Without configured issuers nobody else's token is looked at, and without
 * the option nobody is believed. */
static void
test_off_by_default(void **state)
{
	struct fleet *f = fleet_new(NULL);

	expect(sign(f, ES256_TOKEN, "x"), AG_UNAUTHENTICATED, "token_algorithm");
	expect(sign(f, HS256_TOKEN, "x"), AG_UNAUTHENTICATED, "token_algorithm");
	expect(request(f, AG_MSG_WHOAMI, ASK(.dev_identity = "admin"), NULL),
	    AG_UNAUTHENTICATED, "token_missing");
	fleet_free(f);
}

/* Where both the start and the configuration say that it is for trying out:
 * whoever says who they are is believed, by name or id. */
static void
test_believed(void **state)
{
	struct fleet *f = fleet_new("environment: dev\n");
	char wide[80];
	struct ended e;

	ag_kit_ctx(f->kit)->boot->dev_identity = true;
	e = request(f, AG_MSG_WHOAMI, ASK(.dev_identity = "admin"), NULL);
	assert_int_equal(e.err, AG_OK);
	assert_string_equal(e.grant->actor_name, "admin");
	assert_string_equal(e.grant->issuer, "unsafe-dev-identity");
	ended_free(&e);
	expect(request(f, AG_MSG_WHOAMI, ASK(.dev_identity = "nobody"), NULL),
	    AG_UNAUTHENTICATED, "token_claims");
	memset(wide, 'x', sizeof(wide) - 1);
	wide[sizeof(wide) - 1] = '\0';
	expect(request(f, AG_MSG_WHOAMI, ASK(.dev_identity = wide), NULL),
	    AG_UNAUTHENTICATED, "token_claims");
	/* A credential that is brought is looked at all the same. */
	expect(request(f, AG_MSG_WHOAMI, ASK(.token = "x",
	    .dev_identity = "admin"), NULL), AG_UNAUTHENTICATED, NULL);
	fleet_free(f);
	f = fleet_new("environment: prod\nrot: {software: {accept_risk: true}}\n");
	ag_kit_ctx(f->kit)->boot->dev_identity = true;
	expect(request(f, AG_MSG_WHOAMI, ASK(.dev_identity = "admin"), NULL),
	    AG_UNAUTHENTICATED, "token_missing");
	fleet_free(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc_vectors),
		cmocka_unit_test(test_hs256_vector),
		cmocka_unit_test(test_bad_sets),
		cmocka_unit_test(test_other_kinds),
		cmocka_unit_test(test_identity_is_unique),
		cmocka_unit_test(test_identity_changes),
		cmocka_unit_test(test_off_by_default),
		cmocka_unit_test(test_believed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
