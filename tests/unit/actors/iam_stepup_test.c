/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that wait for a second factor: answered by themselves, wanted by
 * policies, and where several nodes share which codes were used. */
#include "iam_factor.h"

#include "iam.h"

#define CAREFUL "permit (principal, action, resource);\n" \
	"@id(\"second\") @step_up(\"totp\")\n" \
	"permit (principal, action == Aegis::Action::\"key.sign\", resource);"

static void
policy(const char *text)
{
	Ag__PolicySetAsk ask = AG__POLICY_SET_ASK__INIT;

	ask.text = (char *)text;
	expect(request(f, AG_MSG_POLICY_SET, ASK(.token = f->admin,
	    .selector = "base"), &ask), AG_OK, NULL);
}

static int
setup(void **state)
{
	f = fleet_new(NULL);
	key(f, "default", INVOICE, "invoice", NULL, NULL, false);
	return 0;
}

static int
teardown(void **state)
{
	fleet_free(f);
	return 0;
}

static struct ended
answer(const struct someone *s, const char *id, const char *code)
{
	Ag__ChallengeAnswerAsk ask = AG__CHALLENGE_ANSWER_ASK__INIT;

	ask.totp = (char *)code;
	return request(f, AG_MSG_CHALLENGE_ANSWER, ASK(.token = s->token,
	    .selector = id), &ask);
}

/* Its state as its owner reads it. */
static void
reads(const struct someone *s, const char *id, const char *state, unsigned left)
{
	struct ended e = request(f, AG_MSG_CHALLENGE_READ, ASK(.token = s->token,
	    .selector = id), NULL);
	const Ag__Challenge *c = e.reply;

	assert_int_equal(e.err, AG_OK);
	assert_non_null(c);
	assert_string_equal(c->id, id);
	assert_string_equal(c->state, state);
	assert_int_equal(c->tries_left, left);
	assert_int_equal(c->n_methods, 1);
	assert_string_equal(c->methods[0], "totp");
	assert_null(c->webauthn);
	ended_free(&e);
}

/* Answered on another device, say: the request then names it, with no code. */
static void
test_answered_by_itself(void **state)
{
	struct someone s = enrolled("ivan"), other = enrolled("judy");
	char id[AG_ID_SIZE];

	asked(&s, "invoice", "hello", id);
	reads(&s, id, "open", 5);
	expect(sign_with(&s, "invoice", "hello", id), AG_STEP_UP_FAILED,
	    "code_wrong");
	ag_kit_advance(f->kit, 30000); /* past the step of the confirmation */
	expect(answer(&s, id, "000000"), AG_STEP_UP_FAILED, "code_wrong");
	reads(&s, id, "open", 4);
	expect(answer(&s, id, code_at(s.secret, 0)), AG_OK, NULL);
	reads(&s, id, "answered", 3);
	expect(answer(&s, id, code_at(s.secret, 1)), AG_STEP_UP_FAILED,
	    "challenge_spent");
	/* For the identical request, once. */
	expect(sign_with(&s, "invoice", "hullo", id), AG_STEP_UP_FAILED,
	    "request_changed");
	expect(sign_with(&s, "invoice", "hello", id), AG_OK, NULL);
	reads(&s, id, "spent", 3);
	expect(sign_with(&s, "invoice", "hello", id), AG_STEP_UP_FAILED,
	    "challenge_spent");
	someone_free(&s);
	someone_free(&other);
}

static void
test_answers_refused(void **state)
{
	Ag__ChallengeAnswerAsk ask = AG__CHALLENGE_ANSWER_ASK__INIT;
	Ag__WebauthnAssertion with = AG__WEBAUTHN_ASSERTION__INIT;
	struct someone s = enrolled("ivan"), other = enrolled("judy");
	char id[AG_ID_SIZE];

	asked(&s, "invoice", "hello", id);
	ag_kit_advance(f->kit, 30000);
	/* Another's looks like none. */
	expect(answer(&other, id, code_at(other.secret, 0)), AG_ITEM_NOT_FOUND,
	    "");
	expect(answer(&s, "chl_00000000000000000000000000000001", "000000"),
	    AG_ITEM_NOT_FOUND, "");
	expect(answer(&s, "chl_1", "000000"), AG_ITEM_NOT_FOUND, "");
	expect(answer(&s, id, "00000"), AG_INVALID_FIELD, "out_of_range");
	expect(answer(&s, id, NULL), AG_INVALID_FIELD, "missing");
	with.credential_id_b64 = with.client_data_json_b64 =
	    with.authenticator_data_b64 = with.signature_b64 =
	    (ProtobufCBinaryData){ 1, (uint8_t *)"x" };
	ask.webauthn = &with;
	expect(request(f, AG_MSG_CHALLENGE_ANSWER, ASK(.token = s.token,
	    .selector = id), &ask), AG_PERMISSION_DENIED,
	    "step_up_not_enrolled");
	ask.totp = (char *)"000000";
	expect(request(f, AG_MSG_CHALLENGE_ANSWER, ASK(.token = s.token,
	    .selector = id), &ask), AG_INVALID_FIELD, "conflicting_fields");
	for (int i = 0; i < 5; i++)
		expect(answer(&s, id, "000000"), AG_STEP_UP_FAILED, "code_wrong");
	expect(answer(&s, id, code_at(s.secret, 0)), AG_STEP_UP_FAILED,
	    "challenge_spent");
	ag_kit_advance(f->kit, 300000);
	expect(answer(&s, id, code_at(s.secret, 0)), AG_ITEM_NOT_FOUND, "");
	someone_free(&s);
	someone_free(&other);
}

/* A factor that went takes its open challenges with it. */
static void
test_factor_goes(void **state)
{
	struct someone s = enrolled("ivan");
	char id[AG_ID_SIZE];

	asked(&s, "invoice", "hello", id);
	ag_kit_advance(f->kit, 30000);
	because(f, AG_MSG_TOTP_REMOVE, f->admin, "ivan", AG_OK, NULL);
	expect(answer(&s, id, code_at(s.secret, 0)), AG_ITEM_NOT_FOUND, "");
	someone_free(&s);
}

/* Risk asks for who has none, or for what is no request's digest. */
static void
test_risk_asks_in_vain(void **state)
{
	char *bob = person(f, f->admin, AG__KIND__V__human, "bob", NULL);
	Ag__ChallengeAsk ask = AG__CHALLENGE_ASK__INIT;
	struct someone s = enrolled("ivan");
	uint8_t digest[32] = { 1 };
	const char *const whom[] = { bob, "hum_00000000000000000000000000000009",
		s.id };

	for (unsigned i = 0; i < 3; i++) {
		Ag__Envelope env = AG__ENVELOPE__INIT;
		const struct ag_kit_sent *sent;

		ask.principal_id = (char *)(uintptr_t)whom[i];
		ask.digest = (ProtobufCBinaryData){ i == 2 ? 31 : 32, digest };
		env.has_corr = true;
		env.corr = 80 + i;
		ag_kit_deliver(f->kit, AG_ROLE_RISK, 0, AG_MSG_CHALLENGE_ASK,
		    &env, &ask);
		sent = ag_kit_next(f->kit);
		assert_non_null(sent);
		assert_int_equal(sent->type, AG_MSG_ERROR_REPLY);
	}
	free(bob);
	someone_free(&s);
}

/* A policy wants it, whatever risk says; who can have none is told so. */
static void
test_policy_wants_it(void **state)
{
	char *bob, *token, id[AG_ID_SIZE];
	struct someone s;
	struct agent agent;
	struct ended e;

	s = enrolled("ivan");
	bob = person(f, f->admin, AG__KIND__V__human, "bob", "admin");
	token = token_of(f, f->admin, bob, NULL);
	agent = agent_of(f, f->admin, "key:invoice:sign", 0);
	policy(CAREFUL);
	expect(sign(f, token, "invoice"), AG_PERMISSION_DENIED,
	    "step_up_not_enrolled");
	expect(sign(f, agent.token, "invoice"), AG_PERMISSION_DENIED,
	    "step_up_not_enrolled");
	e = sign_with(&s, "invoice", "hello", NULL);
	assert_int_equal(e.err, AG_STEP_UP_REQUIRED);
	assert_string_equal(e.rule, "base/second");
	assert_int_equal(e.outcome->refusal->expires_at,
	    ag_kit_now(f->kit) + 300000);
	strcpy(id, e.outcome->refusal->challenge_id);
	ended_free(&e);
	ag_kit_advance(f->kit, 30000);
	expect(sign_with(&s, "invoice", "hello", header(id, code_at(s.secret,
	    0))), AG_OK, NULL);
	agent_free(&agent);
	free(bob);
	free(token);
	someone_free(&s);
}

/* -------------------------------------------------- nodes that share codes */

static bool elsewhere; /* the code was used on another node */

static int
setup_shared(void **state)
{
	Ag__SharedStateEvent there = AG__SHARED_STATE_EVENT__INIT;

	f = fleet_new("limits: {principal: {rate: 0}, key: {rate: 0}}\n"
	    "shared: {enabled: true, redis: \"unix:/none\", nodes: 2}\n");
	key(f, "default", INVOICE, "invoice", NULL, NULL, false);
	there.there = true;
	there.nodes = 2;
	ag_kit_deliver(f->kit, AG_ROLE_SHARED, 0, AG_MSG_SHARED_STATE_EVENT, NULL,
	    &there);
	return 0;
}

/* Redis, asked about one code; true: it was asked. */
static bool
redis_says(ag_err err)
{
	Ag__SharedOnceReply reply = AG__SHARED_ONCE_REPLY__INIT;
	const struct ag_kit_sent *sent = ag_kit_find(f->kit,
	    AG_MSG_SHARED_ONCE_ASK);

	if (sent == NULL)
		return false;
	assert_int_equal(sent->to_role, AG_ROLE_SHARED);
	reply.first = !elsewhere;
	if (err == AG_OK)
		ag_kit_answer(f->kit, sent, AG_MSG_SHARED_ONCE_REPLY, &reply);
	else
		ag_kit_answer_error(f->kit, sent, err, NULL);
	return true;
}

/* Enrolled where Redis is asked about the code that confirms it. */
static struct someone
enrolled_shared(const char *name)
{
	Ag__TotpConfirmAsk ask = AG__TOTP_CONFIRM_ASK__INIT;
	const struct ag_kit_sent *sent;
	uint8_t id[AG_UUID_BYTES];
	struct ended e = { 0 };
	struct someone s;

	s.id = person(f, f->admin, AG__KIND__V__human, name, "admin");
	s.token = token_of(f, f->admin, s.id, NULL);
	e = request(f, AG_MSG_TOTP_BEGIN, ASK(.token = s.token,
	    .selector = name), NULL);
	secret_of(&e, s.secret);
	ended_free(&e);
	ask.code = (char *)(uintptr_t)code_at(s.secret, 0);
	deliver(f, AG_MSG_TOTP_CONFIRM, &ASK(.token = s.token, .selector = name),
	    &ask, id);
	sent = ag_kit_find(f->kit, AG_MSG_TOTP_CONFIRM);
	assert_non_null(sent);
	from_risk(f, sent);
	assert_true(redis_says(AG_OK));
	play(f, AG_MSG_TOTP_CONFIRM, &e);
	expect(e, AG_OK, NULL);
	ag_kit_advance(f->kit, 30000);
	return s;
}

static struct ended
sign_shared(const struct someone *s, const char *id, ag_err said)
{
	Ag__SignAsk ask = sign_ask();
	struct ended e = { 0 };
	uint8_t request_id[AG_UUID_BYTES];

	ask.message_b64.data = (uint8_t *)"hello";
	ask.message_b64.len = 5;
	deliver(f, AG_MSG_KEY_SIGN, &ASK(.token = s->token,
	    .selector = "invoice", .step_up = header(id, code_at(s->secret, 0))),
	    &ask, request_id);
	assert_true(redis_says(said));
	play(f, AG_MSG_KEY_SIGN, &e);
	return e;
}

static struct ended
answer_shared(const struct someone *s, const char *id, ag_err said)
{
	Ag__ChallengeAnswerAsk ask = AG__CHALLENGE_ANSWER_ASK__INIT;
	const struct ag_kit_sent *sent;
	struct ended e = { 0 };
	uint8_t request_id[AG_UUID_BYTES];

	ask.totp = (char *)(uintptr_t)code_at(s->secret, 0);
	deliver(f, AG_MSG_CHALLENGE_ANSWER, &ASK(.token = s->token,
	    .selector = id), &ask, request_id);
	sent = ag_kit_find(f->kit, AG_MSG_CHALLENGE_ANSWER);
	assert_non_null(sent);
	from_risk(f, sent);
	assert_true(redis_says(said));
	play(f, AG_MSG_CHALLENGE_ANSWER, &e);
	return e;
}

/* One code is good once on all nodes together; what nobody can say was not used
 * is not good. */
static void
test_once_on_all_nodes(void **state)
{
	struct someone s;
	char id[AG_ID_SIZE];

	elsewhere = false;
	s = enrolled_shared("ivan");
	asked(&s, "invoice", "hello", id);
	expect(sign_shared(&s, id, AG_UNAVAILABLE), AG_UNAVAILABLE, "overloaded");
	elsewhere = true;
	expect(sign_shared(&s, id, AG_OK), AG_STEP_UP_FAILED, "code_used");
	elsewhere = false;
	expect(sign_shared(&s, id, AG_OK), AG_OK, NULL);
	someone_free(&s);
}

static void
test_answered_once_on_all_nodes(void **state)
{
	struct someone s;
	char id[AG_ID_SIZE];

	elsewhere = false;
	s = enrolled_shared("ivan");
	asked(&s, "invoice", "hello", id);
	elsewhere = true;
	expect(answer_shared(&s, id, AG_OK), AG_STEP_UP_FAILED, "code_used");
	elsewhere = false;
	expect(answer_shared(&s, id, AG_UNAVAILABLE), AG_UNAVAILABLE,
	    "overloaded");
	expect(answer_shared(&s, id, AG_OK), AG_OK, NULL);
	expect(sign_with(&s, "invoice", "hello", id), AG_OK, NULL);
	someone_free(&s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_answered_by_itself),
		TEST(test_answers_refused),
		TEST(test_factor_goes),
		TEST(test_risk_asks_in_vain),
		TEST(test_policy_wants_it),
		cmocka_unit_test_setup_teardown(test_once_on_all_nodes,
		    setup_shared, teardown),
		cmocka_unit_test_setup_teardown(test_answered_once_on_all_nodes,
		    setup_shared, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
