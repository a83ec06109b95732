/* SPDX-License-Identifier: Apache-2.0 */
/* Client secrets, what they are exchanged for, and what a token is. */
#include "iam_fleet.h"

#include "phc.h"

#include <aegis/secret.h>

static struct fleet *f;

static int
setup(void **state)
{
	f = fleet_new(NULL);
	return 0;
}

static int
teardown(void **state)
{
	fleet_free(f);
	return 0;
}

static void
test_phc(void **state)
{
	struct ag_secret *one, *other;
	char a[IAM_PHC_SIZE], b[IAM_PHC_SIZE];

	assert_int_equal(ag_secret_copy("swordfish", 9, &one), AG_OK);
	assert_int_equal(ag_secret_copy("swordfisi", 9, &other), AG_OK);
	assert_int_equal(iam_phc_make(one, a), AG_OK);
	assert_int_equal(iam_phc_make(one, b), AG_OK);
	assert_memory_equal(a, "$argon2id$v=19$m=19456,t=2,p=1$", 31);
	assert_string_not_equal(a, b); /* salted */
	assert_true(iam_phc_match(a, one));
	assert_true(iam_phc_match(b, one));
	assert_false(iam_phc_match(a, other));
	assert_false(iam_phc_match(iam_phc_nobody, one));
	assert_true(iam_phc_valid(a));
	assert_true(iam_phc_valid(iam_phc_nobody));
	assert_false(iam_phc_valid("swordfish"));
	ag_secret_free(&one);
	ag_secret_free(&other);
}

/* What a client sends; lasts until the next. */
static const char *
basic(const char *id, const char *secret)
{
	static char text[400];
	char plain[256];

	snprintf(plain, sizeof(plain), "%s:%s", id, secret);
	ag_base64((const uint8_t *)plain, strlen(plain), text);
	return text;
}

static char *
secret_of(const char *who)
{
	struct ended e = request(f, AG_MSG_CLIENT_SECRET,
	    ASK(.token = f->admin, .selector = who), NULL);
	const Ag__ClientSecretReply *reply = e.reply;
	char *secret;

	assert_int_equal(e.err, AG_OK);
	assert_int_equal(strlen(reply->client_secret), 43);
	secret = strdup(reply->client_secret);
	ended_free(&e);
	return secret;
}

static struct ended
exchange(const char *id, const char *secret, const char *grant,
    const char *scope)
{
	Ag__ClientTokenAsk ask = AG__CLIENT_TOKEN_ASK__INIT;

	ask.grant_type = (char *)grant;
	ask.scope = (char *)scope;
	return request(f, AG_MSG_CLIENT_TOKEN,
	    ASK(.token = basic(id, secret)), &ask);
}

#define CREDENTIALS "client_credentials"

static void
test_exchanged(void **state)
{
	char *id = person(f, f->admin, AG__KIND__V__service, "robot", "key-user");
	char *secret = secret_of("robot"), *token;
	const Ag__ClientTokenReply *reply;
	const Ag__WhoamiReply *me;
	struct ended e = exchange(id, secret, CREDENTIALS, NULL);

	assert_int_equal(e.err, AG_OK);
	reply = e.reply;
	assert_string_equal(reply->token_type, "Bearer");
	assert_int_equal(reply->expires_in, 3600);
	assert_int_equal(reply->expires_at - reply->issued_at, 3600 * 1000);
	assert_null(reply->scope);
	assert_string_equal(e.grant->actor_id, id);
	token = strdup(reply->access_token);
	ended_free(&e);
	e = request(f, AG_MSG_WHOAMI, ASK(.token = token), NULL);
	assert_int_equal(e.err, AG_OK);
	me = e.reply;
	assert_string_equal(me->id, id);
	assert_string_equal(me->credential->issuer, "aegis");
	ended_free(&e);

	/* Narrower, and no wider. */
	e = exchange(id, secret, CREDENTIALS, "key:*:sign key:*:verify");
	assert_int_equal(e.err, AG_OK);
	assert_string_equal(((Ag__ClientTokenReply *)e.reply)->scope,
	    "key:*:sign key:*:verify");
	ended_free(&e);
	expect(exchange(id, secret, CREDENTIALS, "key:*:destroy"),
	    AG_PERMISSION_DENIED, "scope_missing");
	expect(exchange(id, secret, CREDENTIALS, "key:*:sign  key:*:verify"),
	    AG_INVALID_FIELD, "bad_scope");
	expect(exchange(id, secret, "password", NULL), AG_INVALID_FIELD,
	    "unknown_value");
	free(id);
	free(secret);
	free(token);
}

static void
test_refused(void **state)
{
	char *id = person(f, f->admin, AG__KIND__V__service, "robot", "key-user");
	char *secret = secret_of("robot"), *second, wrong[64], *human;
	Ag__ClientTokenAsk ask = AG__CLIENT_TOKEN_ASK__INIT;
	static const char *const bad[] = { "", "?", "c3Zj", /* svc */
		"OnNlY3JldA==", /* :secret */ "c3ZjXzE6" /* svc_1: */ };
	struct ended e;

	ask.grant_type = (char *)CREDENTIALS;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		expect(request(f, AG_MSG_CLIENT_TOKEN, ASK(.token = bad[i]),
		    &ask), AG_UNAUTHENTICATED, "token_malformed");
	expect(request(f, AG_MSG_CLIENT_TOKEN, ASK(.token = NULL), &ask),
	    AG_UNAUTHENTICATED, "token_missing");
	/* A token is no client's secret. */
	expect(request(f, AG_MSG_CLIENT_TOKEN, ASK(.token = f->admin), &ask),
	    AG_UNAUTHENTICATED, "token_malformed");
	strcpy(wrong, secret);
	wrong[42] = wrong[42] == 'A' ? 'E' : 'A';
	expect(exchange(id, wrong, CREDENTIALS, NULL), AG_UNAUTHENTICATED,
	    "invalid_client");
	expect(exchange("svc_0123456789abcdef0123456789abcdef", secret,
	    CREDENTIALS, NULL), AG_UNAUTHENTICATED, "invalid_client");

	/* Another one replaces it; taken away, none is left. */
	second = secret_of("robot");
	assert_string_not_equal(secret, second);
	expect(exchange(id, secret, CREDENTIALS, NULL), AG_UNAUTHENTICATED,
	    "invalid_client");
	expect(exchange(id, second, CREDENTIALS, NULL), AG_OK, NULL);
	{
		Ag__ReasonAsk why = AG__REASON_ASK__INIT;

		why.reason = (char *)"it leaked";
		e = request(f, AG_MSG_CLIENT_SECRET_REMOVE,
		    ASK(.token = f->admin, .selector = "robot"), &why);
		assert_int_equal(e.err, AG_OK);
		assert_false(((Ag__Principal *)e.reply)->has_client_secret_at);
		ended_free(&e);
		expect(request(f, AG_MSG_CLIENT_SECRET_REMOVE,
		    ASK(.token = f->admin, .selector = "robot"), &why),
		    AG_ITEM_NOT_FOUND, NULL);
	}
	expect(exchange(id, second, CREDENTIALS, NULL), AG_UNAUTHENTICATED,
	    "invalid_client");

	/* For services, by people who may do all that the service may. */
	human = person(f, f->admin, AG__KIND__V__human, "eve", "agent-issuer");
	expect(request(f, AG_MSG_CLIENT_SECRET, ASK(.token = f->admin,
	    .selector = "eve"), NULL), AG_ILLEGAL_OPERATION, "transition");
	free(human);
	free(secret);
	free(second);
	free(id);
}

static void
test_no_more_than_the_maker(void **state)
{
	char *id = person(f, f->admin, AG__KIND__V__service, "boss", "admin");
	char *eve = person(f, f->admin, AG__KIND__V__human, "eve", "admin");
	char *token = token_of(f, f->admin, "eve", "principal:boss:issue");

	expect(request(f, AG_MSG_CLIENT_SECRET, ASK(.token = token,
	    .selector = "boss"), NULL), AG_PERMISSION_DENIED, "scope_missing");
	free(id);
	free(eve);
	free(token);
}

static void
principal_state(uint16_t op, const char *who)
{
	Ag__ReasonAsk why = AG__REASON_ASK__INIT;

	why.reason = (char *)"test";
	expect(request(f, op, ASK(.token = f->admin, .selector = who), &why),
	    AG_OK, NULL);
}

static void
test_disabled(void **state)
{
	char *id = person(f, f->admin, AG__KIND__V__service, "robot", "key-user");
	char *secret = secret_of("robot");

	principal_state(AG_MSG_PRINCIPAL_SUSPEND, "robot");
	expect(exchange(id, secret, CREDENTIALS, NULL), AG_PRINCIPAL_SUSPENDED,
	    "by_person");
	/* Whether it is suspended only who knows the secret is told. */
	expect(exchange(id, "guess", CREDENTIALS, NULL), AG_UNAUTHENTICATED,
	    "invalid_client");
	expect(request(f, AG_MSG_CLIENT_SECRET, ASK(.token = f->admin,
	    .selector = "robot"), NULL), AG_ILLEGAL_OPERATION, "transition");
	principal_state(AG_MSG_PRINCIPAL_RESUME, "robot");
	expect(exchange(id, secret, CREDENTIALS, NULL), AG_OK, NULL);
	principal_state(AG_MSG_PRINCIPAL_DELETE, "robot");
	expect(exchange(id, secret, CREDENTIALS, NULL), AG_UNAUTHENTICATED, NULL);
	free(id);
	free(secret);
}

/* Hashing is bounded: who comes beyond is asked to come again. */
static void
test_bounded(void **state)
{
	enum { MANY = 10, BOUND = 8 };
	char *id = person(f, f->admin, AG__KIND__V__service, "robot", "key-user");
	char *secret = secret_of("robot");
	struct asking a = ASK(.token = basic(id, secret));
	Ag__ClientTokenAsk ask = AG__CLIENT_TOKEN_ASK__INIT;
	const struct ag_kit_sent *sent;
	unsigned refused = 0;

	ask.grant_type = (char *)CREDENTIALS;
	for (unsigned i = 0; i < MANY; i++) {
		uint8_t rq[AG_UUID_BYTES];

		deliver(f, AG_MSG_CLIENT_TOKEN, &a, &ask, rq);
		while ((sent = ag_kit_next(f->kit)) != NULL) {
			const Ag__OutcomeEvent *o = sent->body;

			assert_int_equal(sent->type, AG_MSG_OUTCOME_EVENT);
			assert_int_equal(o->refusal->err, AG_UNAVAILABLE);
			assert_string_equal(o->refusal->reason_code,
			    "overloaded");
			assert_int_equal(o->refusal->retry_after_s, 1);
			refused++;
		}
	}
	assert_int_equal(refused, MANY - BOUND);
	play(f, 0, NULL);
	expect(exchange(id, secret, CREDENTIALS, NULL), AG_OK, NULL);
	free(id);
	free(secret);
}

/* The snapshot has the hash, and who was taken one away has none again. */
static void
test_kept(void **state)
{
	char dir[] = "/tmp/iam-clients-XXXXXX", command[64];
	EVP_PKEY *issuer = f->issuer;
	char *id, *bare, *secret, *gone;
	Ag__ReasonAsk why = AG__REASON_ASK__INIT;

	assert_non_null(mkdtemp(dir));
	EVP_PKEY_up_ref(issuer);
	EVP_PKEY_up_ref(issuer);
	fleet_free(f);
	f = fleet_on(NULL, dir, issuer);
	id = person(f, f->admin, AG__KIND__V__service, "robot", "key-user");
	bare = person(f, f->admin, AG__KIND__V__service, "other", "key-user");
	secret = secret_of("robot");
	gone = secret_of("other");
	why.reason = (char *)"it leaked";
	expect(request(f, AG_MSG_CLIENT_SECRET_REMOVE, ASK(.token = f->admin,
	    .selector = "other"), &why), AG_OK, NULL);
	fleet_free(f);
	f = fleet_on(NULL, dir, issuer);
	expect(exchange(id, secret, CREDENTIALS, NULL), AG_OK, NULL);
	expect(exchange(bare, gone, CREDENTIALS, NULL), AG_UNAUTHENTICATED,
	    "invalid_client");
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
	free(id);
	free(bare);
	free(secret);
	free(gone);
}

/* ------------------------------------------------------------ introspection */

static struct ended
introspect(const char *by, const char *token)
{
	Ag__TokenIntrospectAsk ask = AG__TOKEN_INTROSPECT_ASK__INIT;

	ask.token = (char *)token;
	return request(f, AG_MSG_TOKEN_INTROSPECT, ASK(.token = by), &ask);
}

static void
expect_no_more(const char *token)
{
	struct ended e = introspect(f->admin, token);
	const Ag__TokenIntrospectReply *r = e.reply;
	static const Ag__TokenIntrospectReply none =
	    AG__TOKEN_INTROSPECT_REPLY__INIT;

	assert_int_equal(e.err, AG_OK);
	assert_false(r->active);
	/* active is all that it says. */
	assert_int_equal(protobuf_c_message_get_packed_size(&r->base),
	    protobuf_c_message_get_packed_size(&none.base));
	ended_free(&e);
}

static void
test_introspected(void **state)
{
	char *id = person(f, f->admin, AG__KIND__V__service, "robot", "key-user");
	char *token = token_of(f, f->admin, "robot", "key:*:sign"), bent[4096];
	struct agent agent = agent_of(f, f->admin, "key:vault:sign", 0);
	const Ag__TokenIntrospectReply *r;
	Ag__ReasonAsk why = AG__REASON_ASK__INIT;
	struct ended e = introspect(f->admin, token);

	assert_int_equal(e.err, AG_OK);
	r = e.reply;
	assert_true(r->active);
	assert_string_equal(r->sub, id);
	assert_string_equal(r->client_id, id);
	assert_string_equal(r->username, "robot");
	assert_string_equal(r->scope, "key:*:sign");
	assert_string_equal(r->iss, "aegis");
	assert_string_equal(r->aud, "aegis");
	assert_string_equal(r->token_type, "Bearer");
	assert_string_equal(r->aegis_kind, "service");
	assert_string_equal(r->aegis_tenant, "default");
	assert_null(r->aegis_parent);
	assert_int_equal(r->exp - r->iat, 12 * 3600);
	/* Nothing of what makes it a credential. */
	assert_null(memmem(e.outcome->reply.data, e.outcome->reply.len,
	    strrchr(token, '.') + 1, 20));
	ended_free(&e);

	e = introspect(f->admin, agent.token);
	r = e.reply;
	assert_true(r->active);
	assert_string_equal(r->sub, agent.id);
	assert_string_equal(r->aegis_kind, "agent");
	assert_non_null(r->aegis_parent);
	ended_free(&e);

	/* For who may ask so. */
	expect(introspect(token, token), AG_PERMISSION_DENIED, "scope_missing");
	expect(introspect(agent.token, agent.token), AG_PERMISSION_DENIED,
	    "scope_missing");

	/* What is no good credential is not told from what is none. */
	strcpy(bent, token);
	bent[strlen(bent) - 2] ^= 1;
	expect_no_more(bent);
	expect_no_more("");
	expect_no_more("a.b.c");
	memset(bent, 'a', sizeof(bent) - 1);
	bent[sizeof(bent) - 1] = '\0';
	expect_no_more(bent);
	why.reason = (char *)"test";
	expect(request(f, AG_MSG_AGENT_REVOKE, ASK(.token = f->admin,
	    .selector = agent.id), &why), AG_OK, NULL);
	expect_no_more(agent.token);
	principal_state(AG_MSG_PRINCIPAL_SUSPEND, "robot");
	expect_no_more(token);
	principal_state(AG_MSG_PRINCIPAL_RESUME, "robot");
	e = introspect(f->admin, token);
	assert_true(((Ag__TokenIntrospectReply *)e.reply)->active);
	ended_free(&e);
	ag_kit_advance(f->kit, 12 * 3600 * 1000 + 1000);
	play(f, 0, NULL);
	expect_no_more(token);
	agent_free(&agent);
	free(id);
	free(token);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_phc, setup, teardown),
		cmocka_unit_test_setup_teardown(test_exchanged, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_more_than_the_maker,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(test_disabled, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(test_introspected, setup,
		    teardown),
	};

	return cmocka_run_group_tests_name("iam_clients", tests, NULL, NULL);
}
