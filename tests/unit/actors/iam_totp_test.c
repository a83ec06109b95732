/* SPDX-License-Identifier: Apache-2.0 */
/* One-time codes, enrolment, and requests that wait for a code. */
#include "iam_factor.h"

#include <aegis/metrics.h>
#include <aegis/secret.h>

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

/* ------------------------------------------------------------- the codes */

/* RFC 6238, appendix B (SHA-1), its last six digits. */
static void
test_rfc6238_vectors(void **state)
{
	static const struct {
		int64_t at_s;
		const char *code;
	} rows[] = {
		{ 59, "287082" }, { 1111111109, "081804" },
		{ 1111111111, "050471" }, { 1234567890, "005924" },
		{ 2000000000, "279037" }, { 20000000000, "353130" },
	};
	const uint8_t *secret = (const uint8_t *)"12345678901234567890";
	char code[7];
	uint64_t step;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t at = (uint64_t)rows[i].at_s / 30;

		assert_true(iam_otp_code(secret, 20, at, code));
		assert_string_equal(code, rows[i].code);
		for (int64_t off = -60; off <= 60; off += 30) {
			bool in = off >= -30 && off <= 30;

			step = 0;
			assert_int_equal(iam_otp_match(secret, 20,
			    (rows[i].at_s + off) * 1000, rows[i].code, &step), in);
			if (in)
				assert_int_equal(step, at);
		}
	}
}

static void
test_base32(void **state)
{
	char out[IAM_OTP_BASE32];

	iam_otp_base32((const uint8_t *)"12345678901234567890", out);
	assert_string_equal(out, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
}

static void
test_wrap_is_bound(void **state)
{
	struct ag_secret *key, *other, *secret, *out = NULL;
	uint8_t wrapped[IAM_OTP_WRAPPED], bad[IAM_OTP_WRAPPED];
	uint8_t one[32] = { 1 }, two[32] = { 2 };

	assert_int_equal(ag_secret_copy(one, 32, &key), AG_OK);
	assert_int_equal(ag_secret_copy(two, 32, &other), AG_OK);
	assert_int_equal(ag_secret_copy("12345678901234567890", 20, &secret),
	    AG_OK);
	assert_int_equal(iam_otp_wrap(key, "hum_1", secret, wrapped), AG_OK);
	assert_int_equal(iam_otp_unwrap(key, "hum_1", wrapped, &out), AG_OK);
	assert_memory_equal(ag_secret_bytes(out), "12345678901234567890", 20);
	ag_secret_free(&out);
	assert_int_equal(iam_otp_unwrap(key, "hum_2", wrapped, &out), AG_CORRUPT);
	assert_int_equal(iam_otp_unwrap(other, "hum_1", wrapped, &out),
	    AG_CORRUPT);
	for (size_t i = 0; i < sizeof(wrapped); i++) {
		memcpy(bad, wrapped, sizeof(bad));
		bad[i] ^= 0x40;
		assert_int_equal(iam_otp_unwrap(key, "hum_1", bad, &out),
		    AG_CORRUPT);
		assert_null(out);
	}
	ag_secret_free(&key);
	ag_secret_free(&other);
	ag_secret_free(&secret);
}

/* -------------------------------------------------------------- enrolment */

static const char *
totp_state(const char *who)
{
	static char text[16];
	struct ended e = request(f, AG_MSG_PRINCIPAL_READ,
	    ASK(.token = f->admin, .selector = who), NULL);

	assert_int_equal(e.err, AG_OK);
	snprintf(text, sizeof(text), "%s", ((Ag__Principal *)e.reply)->totp);
	ended_free(&e);
	return text;
}

static void
test_enrol(void **state)
{
	uint8_t first[20], second[20];
	char *id = person(f, f->admin, AG__KIND__V__human, "eve", "key-user");
	char *token = token_of(f, f->admin, id, NULL), used[7];
	struct ended e;

	expect(confirm(token, "eve", "123456"), AG_ITEM_NOT_FOUND, NULL);
	e = request(f, AG_MSG_TOTP_BEGIN, ASK(.token = token,
	    .selector = "eve"), NULL);
	secret_of(&e, first);
	ended_free(&e);
	assert_string_equal(totp_state("eve"), "pending");
	/* One that was not confirmed is replaced, by an admin, too. */
	e = request(f, AG_MSG_TOTP_BEGIN, ASK(.token = f->admin,
	    .selector = "eve"), NULL);
	secret_of(&e, second);
	ended_free(&e);
	assert_memory_not_equal(first, second, 20);
	expect(confirm(token, "eve", code_at(first, 0)), AG_STEP_UP_FAILED,
	    "code_wrong");
	expect(confirm(token, "eve", "12345"), AG_INVALID_FIELD, "out_of_range");
	expect(confirm(token, "eve", "12345a"), AG_INVALID_FIELD, "out_of_range");
	/* Only whose it is. */
	expect(confirm(f->admin, "eve", code_at(second, 0)),
	    AG_PERMISSION_DENIED, "scope_missing");
	strcpy(used, code_at(second, 0));
	expect(confirm(token, "eve", used), AG_OK, NULL);
	assert_string_equal(totp_state("eve"), "confirmed");
	expect(confirm(token, "eve", used), AG_ILLEGAL_OPERATION, "transition");
	expect(request(f, AG_MSG_TOTP_BEGIN, ASK(.token = token,
	    .selector = "eve"), NULL), AG_ILLEGAL_OPERATION, "transition");
	free(id);
	free(token);
}

static void
test_enrol_whom(void **state)
{
	char *svc = person(f, f->admin, AG__KIND__V__service, "robot", NULL);
	char *id = person(f, f->admin, AG__KIND__V__human, "frank", "key-user");
	char *token = token_of(f, f->admin, id, NULL);
	struct agent agent = agent_of(f, f->admin, "principal:frank:update", 0);

	expect(request(f, AG_MSG_TOTP_BEGIN, ASK(.token = f->admin,
	    .selector = "robot"), NULL), AG_ILLEGAL_OPERATION, "transition");
	/* An agent may have the scope; a second factor is never its business. */
	expect(request(f, AG_MSG_TOTP_BEGIN, ASK(.token = agent.token,
	    .selector = "frank"), NULL), AG_PERMISSION_DENIED, "not_for_agents");
	expect(request(f, AG_MSG_TOTP_BEGIN, ASK(.token = token,
	    .selector = "robot"), NULL), AG_PERMISSION_DENIED, "scope_missing");
	agent_free(&agent);
	free(svc);
	free(id);
	free(token);
}

static void
test_remove(void **state)
{
	struct someone s = enrolled("grace");

	because(f, AG_MSG_TOTP_REMOVE, s.token, "grace", AG_PERMISSION_DENIED,
	    "scope_missing");
	because(f, AG_MSG_TOTP_REMOVE, f->admin, "grace", AG_OK, NULL);
	assert_string_equal(totp_state("grace"), "none");
	because(f, AG_MSG_TOTP_REMOVE, f->admin, "grace", AG_ITEM_NOT_FOUND,
	    NULL);
	someone_free(&s);
}

/* A repeat of the enrolment does not show the secret again. */
static void
test_secret_once(void **state)
{
	char *id = person(f, f->admin, AG__KIND__V__human, "heidi", NULL);
	char *token = token_of(f, f->admin, id, NULL);
	const struct ag_kit_sent *sent;
	Ag__JournalIdemReply unknown = AG__JOURNAL_IDEM_REPLY__INIT;
	uint8_t uuid[16];

	deliver(f, AG_MSG_TOTP_BEGIN, &ASK(.token = token, .selector = "heidi",
	    .idem = "once"), NULL, uuid);
	sent = ag_kit_next(f->kit);
	assert_int_equal(sent->to_role, AG_ROLE_RISK);
	from_risk(f, sent);
	sent = ag_kit_find(f->kit, AG_MSG_JOURNAL_IDEM_ASK);
	assert_non_null(sent);
	ag_kit_answer(f->kit, sent, AG_MSG_JOURNAL_IDEM_REPLY, &unknown);
	sent = ag_kit_find(f->kit, AG_MSG_JOURNAL_APPEND_ASK);
	assert_non_null(sent);
	assert_true(((const Ag__JournalAppendAsk *)sent->body)->has_reply);
	assert_int_equal(((const Ag__JournalAppendAsk *)sent->body)->reply.len,
	    0);
	ag_kit_answer_error(f->kit, sent, AG_CONFLICT, NULL);
	play(f, 0, NULL);
	free(id);
	free(token);
}

/* ---------------------------------------------------------------- step-up */

static uint64_t
replays(void)
{
	struct ag_metrics_block *blocks;
	uint64_t value = UINT64_MAX;
	size_t n;

	assert_int_equal(ag_metrics_read(ag_run_dir(ag_kit_ctx(f->kit)), &blocks,
	    &n), AG_OK);
	for (size_t i = 0; i < n; i++)
		for (uint32_t j = 0; j < blocks[i].count; j++)
			if (strcmp(blocks[i].metrics[j].name,
			    "iam_replays_rejected_total") == 0)
				value = blocks[i].metrics[j].value;
	free(blocks);
	return value;
}

static void
test_step_up(void **state)
{
	struct someone s = enrolled("ivan"), other = enrolled("judy");
	char id[AG_ID_SIZE], used[7];
	struct ended e;

	key(f, "default", INVOICE, "invoice", NULL, NULL, false);
	asked(&s, "invoice", "hello", id);
	ag_kit_advance(f->kit, 30000); /* past the step of the confirmation */
	strcpy(used, code_at(s.secret, 0));
	/* Not another's code, nor another's challenge. */
	expect(sign_with(&s, "invoice", "hello",
	    header(id, code_at(other.secret, 0))), AG_STEP_UP_FAILED,
	    "code_wrong");
	expect(sign_with(&other, "invoice", "hello",
	    header(id, code_at(other.secret, 0))), AG_STEP_UP_FAILED,
	    "challenge_expired");
	/* The identical request only. */
	expect(sign_with(&s, "invoice", "hullo", header(id, used)),
	    AG_STEP_UP_FAILED, "request_changed");
	expect(sign_with(&s, INVOICE, "hello", header(id, used)),
	    AG_STEP_UP_FAILED, "request_changed");
	e = sign_with(&s, "invoice", "hello", header(id, used));
	assert_int_equal(e.err, AG_OK);
	assert_true(e.passed);
	assert_string_equal(e.grant->step_up, id);
	ended_free(&e);
	/* Once; and the code is used for every other challenge, too. */
	expect(sign_with(&s, "invoice", "hello", header(id, used)),
	    AG_STEP_UP_FAILED, "challenge_spent");
	asked(&s, "invoice", "again", id);
	expect(sign_with(&s, "invoice", "again", header(id, used)),
	    AG_STEP_UP_FAILED, "code_used");
	assert_int_equal(replays(), 2);
	expect(sign_with(&s, "invoice", "again", header(id,
	    code_at(s.secret, 1))), AG_OK, NULL);
	assert_int_equal(replays(), 2);
	someone_free(&s);
	someone_free(&other);
}

static void
test_step_up_ends(void **state)
{
	struct someone s = enrolled("mallory");
	char id[AG_ID_SIZE];

	key(f, "default", INVOICE, "invoice", NULL, NULL, false);
	asked(&s, "invoice", "hello", id);
	ag_kit_advance(f->kit, 300000);
	expect(sign_with(&s, "invoice", "hello", header(id,
	    code_at(s.secret, 0))), AG_STEP_UP_FAILED, "challenge_expired");
	asked(&s, "invoice", "hello", id);
	for (int i = 0; i < 5; i++)
		expect(sign_with(&s, "invoice", "hello", header(id, "000000")),
		    AG_STEP_UP_FAILED, "code_wrong");
	expect(sign_with(&s, "invoice", "hello", header(id,
	    code_at(s.secret, 0))), AG_STEP_UP_FAILED, "challenge_spent");
	/* New challenges do not buy endless guesses. */
	for (int i = 5; i < 20; i++) {
		if (i % 5 == 0)
			asked(&s, "invoice", "hello", id);
		expect(sign_with(&s, "invoice", "hello", header(id, "000000")),
		    AG_STEP_UP_FAILED, "code_wrong");
	}
	asked(&s, "invoice", "hello", id);
	expect(sign_with(&s, "invoice", "hello", header(id,
	    code_at(s.secret, 0))), AG_RATE_LIMITED, "account");
	someone_free(&s);
}

static void
test_step_up_header(void **state)
{
	static const char *const bad[] = { "", "totp=123456", "chl_1 totp=123456",
		"chl_00000000000000000000000000000001 totp=12345",
		"chl_00000000000000000000000000000001 totp=1234567",
		"chl_00000000000000000000000000000001 TOTP=123456",
		"chl_00000000000000000000000000000001  totp=12345",
		"key_00000000000000000000000000000001 totp=123456",
		"chl_0000000000000000000000000000000G totp=123456" };
	struct someone s = enrolled("niaj");
	struct ended e;

	key(f, "default", INVOICE, "invoice", NULL, NULL, false);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		expect(sign_with(&s, "invoice", "x", bad[i]), AG_INVALID_FIELD,
		    "wrong_type");
	expect(sign_with(&s, "invoice", "x",
	    "chl_00000000000000000000000000000001 totp=123456"),
	    AG_STEP_UP_FAILED, "challenge_expired");
	/* Nobody without a factor gets a digest, so risk cannot ask for one. */
	e = sign(f, f->admin, "invoice");
	assert_false(e.grant->has_step_up_digest);
	assert_null(e.grant->step_up);
	ended_free(&e);
	someone_free(&s);
}

/* A challenge flood of one person leaves others' challenges alone. */
static void
test_challenge_share(void **state)
{
	struct someone s = enrolled("olivia"), flood = enrolled("peggy");
	char id[AG_ID_SIZE], other[AG_ID_SIZE];

	key(f, "default", INVOICE, "invoice", NULL, NULL, false);
	asked(&s, "invoice", "hello", id);
	for (int i = 0; i < 1100; i++)
		asked(&flood, "invoice", "hello", other);
	ag_kit_advance(f->kit, 60000);
	expect(sign_with(&s, "invoice", "hello", header(id,
	    code_at(s.secret, 0))), AG_OK, NULL);
	someone_free(&s);
	someone_free(&flood);
}

/* The bulk revocation wants the factor whatever risk says, if there is one. */
static void
test_bulk_revoke(void **state)
{
	Ag__AgentRevokeManyAsk ask = AG__AGENT_REVOKE_MANY_ASK__INIT;
	struct someone s = enrolled("rupert");
	struct ended e;
	char id[AG_ID_SIZE];

	ask.label = (char *)"none-such";
	ask.reason = (char *)"because";
	expect(request(f, AG_MSG_AGENT_REVOKE_MANY, ASK(.token = f->admin),
	    &ask), AG_OK, NULL);
	e = request(f, AG_MSG_AGENT_REVOKE_MANY, ASK(.token = s.token), &ask);
	assert_int_equal(e.err, AG_STEP_UP_REQUIRED);
	strcpy(id, e.outcome->refusal->challenge_id);
	ended_free(&e);
	ag_kit_advance(f->kit, 30000);
	expect(request(f, AG_MSG_AGENT_REVOKE_MANY, ASK(.token = s.token,
	    .step_up = header(id, code_at(s.secret, 0))), &ask), AG_OK, NULL);
	/* Looking needs none. */
	ask.has_dry_run = ask.dry_run = true;
	expect(request(f, AG_MSG_AGENT_REVOKE_MANY, ASK(.token = s.token), &ask),
	    AG_OK, NULL);
	someone_free(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc6238_vectors),
		cmocka_unit_test(test_base32),
		cmocka_unit_test_setup_teardown(test_wrap_is_bound, setup, teardown),
		cmocka_unit_test_setup_teardown(test_enrol, setup, teardown),
		cmocka_unit_test_setup_teardown(test_enrol_whom, setup, teardown),
		cmocka_unit_test_setup_teardown(test_remove, setup, teardown),
		cmocka_unit_test_setup_teardown(test_secret_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_step_up, setup, teardown),
		cmocka_unit_test_setup_teardown(test_step_up_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_step_up_header, setup, teardown),
		cmocka_unit_test_setup_teardown(test_challenge_share, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bulk_revoke, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
