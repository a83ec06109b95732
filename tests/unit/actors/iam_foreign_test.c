/* SPDX-License-Identifier: Apache-2.0 */
/* Other issuers' tokens at the station: whose they are, who is introduced, and
 * what becomes of them when keys, roles or the journal say no. */
#include "iam_fleet.h"

#include "issuers.h"
#include "jwk.h"

#include <sys/stat.h>

#define IDP "https://idp.example/realm"
#define NEW "https://new.example"
#define ODD "https://odd.example"
#define SECRET "a shared secret of more than 32 bytes, and a half"

static struct fleet *f;
static char dir[64];
static EVP_PKEY *idp;

static void
file_put(const char *name, const char *text, mode_t mode)
{
	char path[128], fresh[140];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	snprintf(fresh, sizeof(fresh), "%s.new", path);
	file = fopen(fresh, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(fresh, mode), 0);
	assert_int_equal(rename(fresh, path), 0);
}

/* The public part of this key, under this name. */
static void
keys_put(EVP_PKEY *key, const char *kid)
{
	uint8_t raw[32];
	size_t len = sizeof(raw);
	char x[64], text[256];

	assert_int_equal(EVP_PKEY_get_raw_public_key(key, raw, &len), 1);
	ag_base64url(raw, len, x);
	snprintf(text, sizeof(text), "{\"keys\":[{\"kty\":\"OKP\",\"crv\":"
	    "\"Ed25519\",\"kid\":\"%s\",\"x\":\"%s\"}]}", kid, x);
	file_put("keys", text, 0644);
}

static void
folder(void)
{
	strcpy(dir, "/tmp/aegis-foreign-XXXXXX");
	assert_non_null(mkdtemp(dir));
	idp = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	keys_put(idp, "t1");
	file_put("secret", SECRET "\n", 0600);
	file_put("open", SECRET, 0644);
	file_put("short", "31 bytes are not enough for it.", 0600);
	file_put("bad", "{\"keys\":[]}", 0644);
}

static void
folder_end(void)
{
	char command[128];

	EVP_PKEY_free(idp);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
}

static const char *
row(const char *issuer, const char *file, const char *more)
{
	static char text[4][1024];
	static unsigned n;
	char *out = text[n++ % 4];

	snprintf(out, sizeof(text[0]), "{issuer: '%s', algorithms: [EdDSA], "
	    "jwks_file: '%s/%s'%s}", issuer, dir, file, more);
	return out;
}

static const char *
shared(const char *file)
{
	static char text[512];

	snprintf(text, sizeof(text), "{issuer: 'https://lab', algorithms: [HS256], "
	    "hs256_secret_file: '%s/%s'}", dir, file);
	return text;
}

static const char *
config_of(const char *a, const char *b, const char *c)
{
	static char text[2048];

	snprintf(text, sizeof(text), "auth: {issuers: [%s%s%s%s%s]}\n", a,
	    b == NULL ? "" : ", ", b == NULL ? "" : b, c == NULL ? "" : ", ",
	    c == NULL ? "" : c);
	return text;
}

static void
external(const char *name, const char *issuer, const char *subject)
{
	Ag__PrincipalCreateAsk ask = AG__PRINCIPAL_CREATE_ASK__INIT;
	Ag__External id = AG__EXTERNAL__INIT;

	ask.kind = AG__KIND__V__human;
	ask.name = (char *)name;
	ask.external = &id;
	id.issuer = (char *)issuer;
	id.subject = (char *)subject;
	expect(request(f, AG_MSG_PRINCIPAL_CREATE, ASK(.token = f->admin), &ask),
	    AG_OK, NULL);
}

static int
setup(void **state)
{
	folder();
	f = fleet_new(config_of(row(IDP, "keys", ""),
	    row(NEW, "keys", ", default_roles: [auditor]"),
	    row(ODD, "keys", ", default_roles: [none-such]")));
	external("sam", IDP, "s-1");
	return 0;
}

static int
teardown(void **state)
{
	fleet_free(f);
	folder_end();
	return 0;
}

/* What is to be said of who it is. */
struct says {
	const char *issuer, *subject, *audience, *kid, *alg, *jti;
	int64_t from_s, until_s; /* from now; NULL and 0: as usual */
};
#define SAYS(...) (struct says){ __VA_ARGS__ }

static const char *
or(const char *text, const char *usual)
{
	return text != NULL ? text : usual;
}

static char *
token(EVP_PKEY *by, struct says s)
{
	char head[128], body[512], *input, *out;
	int64_t now_s = ag_kit_now(f->kit) / 1000;
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	uint8_t signature[64];
	size_t len = sizeof(signature), n;

	snprintf(head, sizeof(head), "{\"alg\":\"%s\",\"kid\":\"%s\"}",
	    or(s.alg, "EdDSA"), or(s.kid, "t1"));
	snprintf(body, sizeof(body), "{\"iss\":\"%s\",\"sub\":\"%s\",\"aud\":"
	    "\"%s\",\"jti\":\"%s\",\"iat\":%lld,\"exp\":%lld}",
	    or(s.issuer, IDP), or(s.subject, "s-1"), or(s.audience, "aegis"),
	    or(s.jti, "theirs"), (long long)(now_s + s.from_s),
	    (long long)(now_s + (s.until_s == 0 ? 600 : s.until_s)));
	input = calloc(1, 2 * (sizeof(head) + sizeof(body)));
	assert_non_null(input);
	ag_base64url((const uint8_t *)head, strlen(head), input);
	n = strlen(input);
	input[n++] = '.';
	ag_base64url((const uint8_t *)body, strlen(body), input + n);
	assert_int_equal(EVP_DigestSignInit(md, NULL, NULL, NULL, by), 1);
	assert_int_equal(EVP_DigestSign(md, signature, &len,
	    (const uint8_t *)input, strlen(input)), 1);
	EVP_MD_CTX_free(md);
	out = iam_jwt_finish(input, signature, len);
	assert_non_null(out);
	free(input);
	return out;
}

static struct ended
whoami(struct says s)
{
	char *text = token(idp, s);
	struct ended e = request(f, AG_MSG_WHOAMI, ASK(.token = text), NULL);

	free(text);
	return e;
}

static void
test_whose_it_is(void **state)
{
	char *text;

	for (unsigned i = 0; i < 2; i++) { /* verified, and remembered */
		struct ended e = whoami(SAYS(.jti = NULL));

		assert_int_equal(e.err, AG_OK);
		assert_string_equal(e.grant->actor_name, "sam");
		assert_string_equal(e.grant->issuer, IDP);
		assert_string_equal(e.grant->jti, "theirs");
		ended_free(&e);
	}
	expect(whoami(SAYS(.subject = "s-2")), AG_UNAUTHENTICATED, "token_claims");
	expect(whoami(SAYS(.issuer = "https://idp.example/realm2")),
	    AG_UNAUTHENTICATED, "token_issuer");
	expect(whoami(SAYS(.audience = "other")), AG_UNAUTHENTICATED,
	    "token_audience");
	expect(whoami(SAYS(.from_s = -900, .until_s = -31)), AG_UNAUTHENTICATED,
	    "token_expired");
	expect(whoami(SAYS(.from_s = 32)), AG_UNAUTHENTICATED,
	    "token_not_yet_valid");
	expect(whoami(SAYS(.kid = "t2")), AG_UNAUTHENTICATED, "token_signature");
	expect(whoami(SAYS(.alg = "HS256")), AG_UNAUTHENTICATED,
	    "token_algorithm");
	expect(whoami(SAYS(.alg = "none")), AG_UNAUTHENTICATED, "token_algorithm");
	expect(whoami(SAYS(.alg = "ES256")), AG_UNAUTHENTICATED,
	    "token_algorithm");
	text = token(f->issuer, SAYS(.jti = NULL)); /* our own key is not theirs */
	expect(request(f, AG_MSG_WHOAMI, ASK(.token = text), NULL),
	    AG_UNAUTHENTICATED, "token_signature");
	free(text);
}

/* A subject of another tenant is nobody of the issuer's. */
static void
test_its_tenant_alone(void **state)
{
	Ag__PrincipalCreateAsk ask = AG__PRINCIPAL_CREATE_ASK__INIT;
	Ag__External id = AG__EXTERNAL__INIT;
	char *far = tenant_of(f, "far");

	ask.kind = AG__KIND__V__human;
	ask.name = (char *)"zoe";
	ask.external = &id;
	id.issuer = (char *)IDP;
	id.subject = (char *)"s-9";
	expect(request(f, AG_MSG_PRINCIPAL_CREATE, ASK(.token = far), &ask),
	    AG_OK, NULL);
	expect(whoami(SAYS(.subject = "s-9")), AG_UNAUTHENTICATED, "token_claims");
	free(far);
}

/* Time passes for them who wait to be introduced. */
static struct ended
introduced(struct says s)
{
	struct ended e = { 0 };
	char *text = token(idp, s);
	uint8_t id[AG_UUID_BYTES];

	deliver(f, AG_MSG_WHOAMI, &ASK(.token = text), NULL, id);
	play(f, AG_MSG_WHOAMI, &e);
	assert_false(e.over);
	ag_kit_advance(f->kit, 100);
	play(f, AG_MSG_WHOAMI, &e);
	free(text);
	return e;
}

static void
test_introduced(void **state)
{
	struct ended e = introduced(SAYS(.issuer = NEW, .subject = "n-1"));
	const struct iam_node *node;

	assert_int_equal(e.err, AG_OK);
	assert_memory_equal(e.grant->actor_name, "ext-", 4);
	ended_free(&e);
	node = iam_external_find(ag_kit_state(f->kit), NEW, "n-1");
	assert_non_null(node);
	assert_int_equal(node->role_count, 1);
	assert_string_equal(node->roles[0].role->name, "auditor");
	/* Known from then on, at once. */
	expect(whoami(SAYS(.issuer = NEW, .subject = "n-1", .jti = "b")), AG_OK,
	    NULL);
	/* With fewer rights than were meant nobody is introduced; who comes
	 * again at once does not wait again. */
	expect(introduced(SAYS(.issuer = ODD, .subject = "o-1")), AG_UNAVAILABLE,
	    "overloaded");
	expect(whoami(SAYS(.issuer = ODD, .subject = "o-1", .jti = "b")),
	    AG_UNAVAILABLE, "overloaded");
	assert_null(iam_external_find(ag_kit_state(f->kit), ODD, "o-1"));
}

/* The journal says no: nobody is introduced, and who waits is told. */
static void
test_not_introduced(void **state)
{
	char *text = token(idp, SAYS(.issuer = NEW, .subject = "n-2"));
	const struct ag_kit_sent *sent;
	struct ended e = { 0 };
	uint8_t id[AG_UUID_BYTES];

	deliver(f, AG_MSG_WHOAMI, &ASK(.token = text), NULL, id);
	ag_kit_advance(f->kit, 100);
	sent = ag_kit_find(f->kit, AG_MSG_JOURNAL_APPEND_ASK);
	assert_non_null(sent);
	ag_kit_answer_error(f->kit, sent, AG_CONFLICT, NULL);
	play(f, AG_MSG_WHOAMI, &e);
	expect(e, AG_UNAVAILABLE, "overloaded");
	assert_null(iam_external_find(ag_kit_state(f->kit), NEW, "n-2"));
	free(text);
}

/* So many wait at a time; who comes beyond is asked to come again. */
static void
test_newcomers_are_bounded(void **state)
{
	char subject[32];
	struct ended e = { 0 };

	for (unsigned i = 0; i < IAM_NEWCOMERS_MAX; i++) {
		snprintf(subject, sizeof(subject), "m-%u", i);
		e = whoami(SAYS(.issuer = NEW, .subject = subject));
		assert_false(e.over);
		ended_free(&e);
	}
	expect(whoami(SAYS(.issuer = NEW, .subject = "m-one-more")),
	    AG_UNAVAILABLE, "overloaded");
	ag_kit_advance(f->kit, 100);
	play(f, AG_MSG_WHOAMI, NULL);
	assert_non_null(iam_external_find(ag_kit_state(f->kit), NEW, "m-0"));
	assert_non_null(iam_external_find(ag_kit_state(f->kit), NEW, "m-63"));
	expect(introduced(SAYS(.issuer = NEW, .subject = "m-one-more")), AG_OK,
	    NULL);
}

/* A key that went is not believed within a second, nor what was verified with
 * it; a file that is no set changes nothing. */
static void
test_keys_change(void **state)
{
	EVP_PKEY *next = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	char *with_old = token(idp, SAYS(.until_s = 60000)), *with_new;

	expect(request(f, AG_MSG_WHOAMI, ASK(.token = with_old), NULL), AG_OK,
	    NULL);
	file_put("keys", "{\"keys\":[", 0644);
	ag_kit_advance(f->kit, 1000);
	expect(request(f, AG_MSG_WHOAMI, ASK(.token = with_old), NULL), AG_OK,
	    NULL);
	keys_put(next, "t1");
	ag_kit_advance(f->kit, 1000);
	expect(request(f, AG_MSG_WHOAMI, ASK(.token = with_old), NULL),
	    AG_UNAUTHENTICATED, "token_signature");
	with_new = token(next, SAYS(.jti = NULL));
	expect(request(f, AG_MSG_WHOAMI, ASK(.token = with_new), NULL), AG_OK,
	    NULL);
	EVP_PKEY_free(next);
	free(with_old);
	free(with_new);
}

static ag_err started;

static ag_err
start(void *state, struct ag_ctx *ctx)
{
	started = iam_issuers_init(state, ctx);
	iam_issuers_fini(state);
	return AG_OK;
}

static ag_err
start_with(const char *config)
{
	struct ag_actor actor = ag_actor_iam;
	struct ag_kit *kit;

	actor.init = start;
	actor.ready = NULL;
	actor.fini = NULL;
	kit = ag_kit_new(&actor, config, NULL);
	ag_kit_free(&kit);
	return started;
}

/* What cannot be believed, or could be read by others, does not start. */
static void
test_configuration(void **state)
{
	char roles[512] = ", default_roles: [r", wide[400];

	folder();
	assert_int_equal(start_with(config_of(row(IDP, "keys", ""), NULL, NULL)),
	    AG_OK);
	assert_int_equal(start_with(config_of(row("aegis", "keys", ""), NULL,
	    NULL)), AG_USAGE);
	memset(wide, 'x', IAM_ISSUER_MAX + 1);
	wide[IAM_ISSUER_MAX + 1] = '\0';
	assert_int_equal(start_with(config_of(row(wide, "keys", ""), NULL, NULL)),
	    AG_USAGE);
	assert_int_equal(start_with(config_of(row(IDP, "none", ""), NULL, NULL)),
	    AG_USAGE);
	assert_int_equal(start_with(config_of(row(IDP, "bad", ""), NULL, NULL)),
	    AG_USAGE);
	assert_int_equal(start_with(config_of(row(IDP, ".", ""), NULL, NULL)),
	    AG_USAGE);
	assert_int_equal(start_with(config_of(shared("secret"), NULL, NULL)),
	    AG_OK);
	assert_int_equal(start_with(config_of(shared("open"), NULL, NULL)),
	    AG_USAGE);
	assert_int_equal(start_with(config_of(shared("short"), NULL, NULL)),
	    AG_USAGE);
	assert_int_equal(start_with(config_of(shared("none"), NULL, NULL)),
	    AG_USAGE);
	for (unsigned i = 0; i < IAM_ROLES_MAX; i++)
		strcat(roles, ", r");
	strcat(roles, "]");
	assert_int_equal(start_with(config_of(row(IDP, "keys", roles), NULL,
	    NULL)), AG_USAGE);
	folder_end();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_whose_it_is),
		TEST(test_its_tenant_alone),
		TEST(test_introduced),
		TEST(test_not_introduced),
		TEST(test_newcomers_are_bounded),
		TEST(test_keys_change),
		cmocka_unit_test(test_configuration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
