/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that a FIDO2 key answers for: what it is asked, what it may say, and
 * that another start knows the key and how far it has counted. */
#include "iam_authenticator.h"

static char *eve, *token;
static struct key key_of_eve;

static void
people(const char *config, const char *dir, EVP_PKEY *issuer)
{
	f = dir == NULL ? fleet_new(config) : fleet_on(config, dir, issuer);
	key(f, "default", INVOICE, "invoice", NULL, NULL, false);
	eve = person(f, f->admin, AG__KIND__V__human, "eve", "key-user");
	token = token_of(f, f->admin, eve, NULL);
	key_of_eve = key_new(1);
	enrol(token, "eve", &key_of_eve, "blue");
}

static int
setup(void **state)
{
	people(NULL, NULL, NULL);
	return 0;
}

static int
teardown(void **state)
{
	EVP_PKEY_free(key_of_eve.pkey);
	free(eve);
	free(token);
	fleet_free(f);
	return 0;
}

static struct ended
sign_with(const char *step_up)
{
	Ag__SignAsk ask = sign_ask();

	return request(f, AG_MSG_KEY_SIGN, ASK(.token = token,
	    .selector = "invoice", .step_up = step_up), &ask);
}

/* What risk asks for the request that it got. */
static void
challenged(char out[AG_ID_SIZE])
{
	struct ended e = sign_with(NULL);
	Ag__ChallengeAsk ask = AG__CHALLENGE_ASK__INIT;
	Ag__Envelope env = AG__ENVELOPE__INIT;
	const struct ag_kit_sent *sent;

	assert_true(e.passed && e.grant->has_step_up_digest);
	ask.principal_id = e.grant->actor_id;
	ask.digest = e.grant->step_up_digest;
	env.has_corr = true;
	env.corr = 77;
	ag_kit_deliver(f->kit, AG_ROLE_RISK, 0, AG_MSG_CHALLENGE_ASK, &env, &ask);
	sent = ag_kit_find(f->kit, AG_MSG_CHALLENGE_REPLY);
	assert_non_null(sent);
	assert_int_equal(((const Ag__ChallengeReply *)sent->body)->methods,
	    AG_METHOD_WEBAUTHN);
	strcpy(out, ((const Ag__ChallengeReply *)sent->body)->challenge_id);
	ended_free(&e);
}

/* As its owner reads it; the caller frees it. */
static struct ended
read_challenge(const char *id, const char *is)
{
	struct ended e = request(f, AG_MSG_CHALLENGE_READ, ASK(.token = token,
	    .selector = id), NULL);
	const Ag__Challenge *c = e.reply;

	assert_int_equal(e.err, AG_OK);
	assert_string_equal(c->state, is);
	assert_int_equal(c->n_methods, 1);
	assert_string_equal(c->methods[0], "webauthn");
	assert_int_equal(c->webauthn != NULL, strcmp(is, "open") == 0);
	return e;
}

/* How an answer is wrong. */
enum bend { NOT, OTHER_KEY, UNKNOWN_KEY, OTHER_ORIGIN, OTHER_NONCE, NOT_THERE,
	OLD_COUNT };

static struct ended
answer(const char *id, uint32_t count, enum bend bend)
{
	Ag__ChallengeAnswerAsk ask = AG__CHALLENGE_ANSWER_ASK__INIT;
	Ag__WebauthnAssertion with = AG__WEBAUTHN_ASSERTION__INIT;
	struct ended read = read_challenge(id, "open"), e;
	const Ag__WebauthnRequest *rq = ((Ag__Challenge *)read.reply)->webauthn;
	struct key other = key_new(2);
	uint8_t auth[64], signature[80], nonce[32];
	char client[512];

	assert_string_equal(rq->rp_id, "localhost");
	assert_int_equal(rq->n_credential_ids_b64, 1);
	assert_memory_equal(rq->credential_ids_b64[0].data, key_of_eve.id, 16);
	memcpy(nonce, rq->challenge_b64.data, sizeof(nonce));
	nonce[0] ^= bend == OTHER_NONCE;
	with.client_data_json_b64.data = (uint8_t *)client;
	with.client_data_json_b64.len = client_data("webauthn.get", nonce,
	    bend == OTHER_ORIGIN ? "https://example.com" : rq->origins[0],
	    client);
	with.authenticator_data_b64.data = auth;
	with.authenticator_data_b64.len = auth_data(&key_of_eve,
	    bend == NOT_THERE ? 0 : IAM_FIDO_UP, count, false, auth);
	with.signature_b64.data = signature;
	with.signature_b64.len = sign_it(bend == OTHER_KEY ? &other :
	    &key_of_eve, auth, with.authenticator_data_b64.len, client,
	    with.client_data_json_b64.len, signature);
	with.credential_id_b64.data = bend == UNKNOWN_KEY ? other.id :
	    key_of_eve.id;
	with.credential_id_b64.len = 16;
	ask.webauthn = &with;
	e = request(f, AG_MSG_CHALLENGE_ANSWER, ASK(.token = token,
	    .selector = id), &ask);
	EVP_PKEY_free(other.pkey);
	ended_free(&read);
	return e;
}

static uint32_t
counted(void)
{
	struct ended e = request(f, AG_MSG_WEBAUTHN_LIST, ASK(.token = token,
	    .selector = "eve"), NULL);
	const Ag__WebauthnListReply *list = e.reply;
	uint32_t count;

	assert_int_equal(e.err, AG_OK);
	assert_int_equal(list->n_items, 1);
	assert_string_equal(list->items[0]->name, "blue");
	assert_string_equal(list->items[0]->algorithm, "ES256");
	assert_string_equal(list->items[0]->attestation, "none");
	count = list->items[0]->sign_count;
	assert_int_equal(list->items[0]->has_last_used_at, count > 0);
	ended_free(&e);
	return count;
}

static void
test_it_answers(void **state)
{
	char id[AG_ID_SIZE];
	struct ended e;

	assert_int_equal(counted(), 0);
	challenged(id);
	expect(sign_with(id), AG_STEP_UP_FAILED, "code_wrong"); /* no answer yet */
	expect(answer(id, 7, NOT), AG_OK, NULL);
	e = read_challenge(id, "answered");
	ended_free(&e);
	assert_int_equal(counted(), 7);
	expect(sign_with(id), AG_OK, NULL);
	expect(sign_with(id), AG_STEP_UP_FAILED, "challenge_spent");
	e = read_challenge(id, "spent");
	ended_free(&e);
}

/* Nothing but that key, there and then, for that challenge; and five times. */
static void
test_it_answers_wrongly(void **state)
{
	static const enum bend bends[] = { OTHER_KEY, UNKNOWN_KEY, OTHER_ORIGIN,
		OTHER_NONCE, NOT_THERE };
	char id[AG_ID_SIZE], code[AG_ID_SIZE + 16];

	challenged(id);
	for (size_t i = 0; i < sizeof(bends) / sizeof(bends[0]); i++)
		expect(answer(id, 1, bends[i]), AG_STEP_UP_FAILED, NULL);
	expect(answer(id, 1, NOT), AG_STEP_UP_FAILED, "challenge_spent");
	assert_int_equal(counted(), 0);
	/* A key that counts backwards is a copy of it. */
	challenged(id);
	expect(answer(id, 7, NOT), AG_OK, NULL);
	challenged(id);
	expect(answer(id, 7, OLD_COUNT), AG_STEP_UP_FAILED, NULL);
	expect(answer(id, 8, NOT), AG_OK, NULL);
	/* Who has no codes answers with none. */
	challenged(id);
	snprintf(code, sizeof(code), "%s totp=123456", id);
	expect(sign_with(code), AG_STEP_UP_FAILED, "code_wrong");
}

/* Another start: the key, and how far it had counted. */
static void
test_it_is_known_after_a_restart(void **state)
{
	EVP_PKEY *issuer = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	char dir[] = "/tmp/iam-webauthn-XXXXXX", command[64], id[AG_ID_SIZE];

	assert_non_null(mkdtemp(dir));
	EVP_PKEY_up_ref(issuer);
	people(NULL, dir, issuer);
	challenged(id);
	expect(answer(id, 7, NOT), AG_OK, NULL);
	fleet_free(f);
	f = fleet_on(NULL, dir, issuer);
	assert_int_equal(counted(), 7);
	challenged(id);
	expect(answer(id, 7, OLD_COUNT), AG_STEP_UP_FAILED, NULL);
	teardown(NULL);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
}

static ag_err started;

static ag_err
start(void *state, struct ag_ctx *ctx)
{
	started = iam_webauthn_init(state, ctx);
	return AG_OK;
}

/* From where keys may be used: as many places as fit, or the one of the name. */
static void
test_origins(void **state)
{
	struct ag_actor actor = ag_actor_iam;
	char config[1200] = "auth: {webauthn: {rp_id: example.com, origins: [";
	struct ag_kit *kit;

	actor.init = start;
	actor.ready = NULL;
	actor.fini = NULL;
	for (unsigned i = 0; i <= IAM_ORIGINS_MAX; i++)
		sprintf(config + strlen(config), "%s'https://a%u.example.com'",
		    i == 0 ? "" : ", ", i);
	strcat(config, "]}}\n");
	kit = ag_kit_new(&actor, config, NULL);
	ag_kit_free(&kit);
	assert_int_equal(started, AG_USAGE);
	kit = ag_kit_new(&actor, "auth: {webauthn: {rp_id: example.com, origins: "
	    "['https://a.example.com']}}\n", NULL);
	assert_int_equal(started, AG_OK);
	assert_int_equal(((struct iam *)ag_kit_state(kit))->party.origin_count, 1);
	assert_string_equal(((struct iam *)ag_kit_state(kit))->party.origins[0],
	    "https://a.example.com");
	ag_kit_free(&kit);
	kit = ag_kit_new(&actor, "auth: {webauthn: {rp_id: example.com}}\n", NULL);
	assert_string_equal(((struct iam *)ag_kit_state(kit))->party.origins[0],
	    "https://example.com");
	ag_kit_free(&kit);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_it_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_it_answers_wrongly, setup,
		    teardown),
		cmocka_unit_test(test_it_is_known_after_a_restart),
		cmocka_unit_test(test_origins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
