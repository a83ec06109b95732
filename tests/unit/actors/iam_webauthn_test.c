/* SPDX-License-Identifier: Apache-2.0 */
/* FIDO2 keys: the bytes, both ceremonies, and what the journal tells of them. */
#include "iam_authenticator.h"

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

/* ------------------------------------------------------------------- the bytes */

static void
test_cbor_is_strict(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		bool good;
	} rows[] = {
#define ROW(text, good) { text, sizeof(text) - 1, good }
#define AUTH "\x68" "authData" "\x41" "x"
#define FMT "\x63" "fmt" "\x64" "none"
#define STMT "\x67" "attStmt" "\xa0"
		ROW("\xa3" FMT STMT AUTH, true), ROW("\xa3" AUTH STMT FMT, true),
		ROW("\xa3" FMT STMT AUTH "\0", false),   /* something is left */
		ROW("\xa2" FMT STMT, false),             /* two members */
		ROW("\xa3" FMT FMT AUTH, false),         /* one twice */
		ROW("\xa3" FMT STMT AUTH "x", false),
		ROW("\xa4" FMT STMT AUTH "\x61" "x" "\0", false), /* four */
		ROW("\xbf" FMT STMT AUTH "\xff", false), /* without an end */
		ROW("\xa3" FMT "\x67" "attStmt" "\x80" AUTH, false), /* a list */
		ROW("\xa3" "\x63" "fmt" "\x60" STMT AUTH, false), /* no format */
		ROW("\xa3" "\x63" "fmt" "\x64" "no\0e" STMT AUTH, false),
		ROW("\xa3" "\x63" "fmt" "\x70" "0123456789abcdef" STMT AUTH, false),
		/* A list of 2^32 - 1 in nine bytes. */
		ROW("\xa3" FMT "\x67" "attStmt" "\xa1\x00\x9a\xff\xff\xff\xff" AUTH, false),
		ROW("\xa3" FMT "\x67" "attStmt" "\xa1\x00\x5b\xff\xff\xff\xff\xff\xff\xff\xff" AUTH, false),
		/* Eight lists in one another, a tag, a reserved head. */
		ROW("\xa3" FMT "\x67" "attStmt" "\xa1\x00\x81\x81\x81\x81\x81\x81\x81\x80" AUTH, false),
		ROW("\xa3" FMT "\x67" "attStmt" "\xa1\x00\x81\x81\x80" AUTH, true),
		ROW("\xa3" FMT "\x67" "attStmt" "\xa1\x00\xc0\x00" AUTH, false),
		ROW("\xa3" FMT "\x67" "attStmt" "\xa1\x00\x1c" AUTH, false),
		ROW("", false), ROW("\xa3", false), ROW("x", false),
	};
	struct iam_fido_object out;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (iam_fido_object_read(BYTES(rows[i].bytes, rows[i].len), &out) !=
		    rows[i].good)
			print_error("row %zu\n", i);
		assert_int_equal(iam_fido_object_read(BYTES(rows[i].bytes,
		    rows[i].len), &out), rows[i].good);
	}
	assert_true(iam_fido_object_read(BYTES(rows[1].bytes, rows[1].len), &out));
	assert_string_equal(out.format, "none");
	assert_int_equal(out.auth.len, 1);
}

/* Every prefix of it, and a byte more, is refused. */
static void
test_authenticator_data_is_whole(void **state)
{
	struct key k = key_new(1);
	struct iam_fido_auth auth;
	uint8_t bytes[256];
	size_t len = auth_data(&k, IAM_FIDO_UP, 7, true, bytes);

	assert_true(iam_fido_auth_read(BYTES(bytes, len), &auth));
	assert_int_equal(auth.count, 7);
	assert_int_equal(auth.id.len, 16);
	assert_int_equal(auth.flags, IAM_FIDO_UP | IAM_FIDO_AT);
	for (size_t n = 0; n < len; n++)
		assert_false(iam_fido_auth_read(BYTES(bytes, n), &auth));
	bytes[len] = 0xa0;
	assert_false(iam_fido_auth_read(BYTES(bytes, len + 1), &auth));
	bytes[32] |= IAM_FIDO_ED; /* now it is an extension */
	assert_true(iam_fido_auth_read(BYTES(bytes, len + 1), &auth));
	bytes[53] = 2; /* 2 × 256 + 16 bytes of id: more than there are */
	assert_false(iam_fido_auth_read(BYTES(bytes, len + 1), &auth));
	EVP_PKEY_free(k.pkey);
}

static void
test_client_data(void **state)
{
	static const uint8_t challenge[32] = { 1, 2, 3 }, other[32] = { 9 };
	static const char *const bad[] = { "", "{", "[]", "null", "\"x\"",
		"{\"type\":\"webauthn.get\",\"type\":\"webauthn.get\"}", "{}x" };
	char text[512];
	size_t n = client_data("webauthn.get", challenge, "https://localhost",
	    text);

	assert_int_equal(iam_fido_client_check(&party, "webauthn.get", challenge,
	    BYTES(text, n)), IAM_FIDO_OK);
	assert_int_equal(iam_fido_client_check(&party, "webauthn.create",
	    challenge, BYTES(text, n)), IAM_FIDO_CEREMONY);
	assert_int_equal(iam_fido_client_check(&party, "webauthn.get", other,
	    BYTES(text, n)), IAM_FIDO_WRONG_CHALLENGE);
	n = client_data("webauthn.get", challenge, "http://localhost", text);
	assert_int_equal(iam_fido_client_check(&party, "webauthn.get", challenge,
	    BYTES(text, n)), IAM_FIDO_ORIGIN);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(iam_fido_client_check(&party, "webauthn.get",
		    challenge, BYTES(bad[i], strlen(bad[i]))),
		    IAM_FIDO_CLIENT_DATA);
	memset(text, ' ', sizeof(text));
	assert_int_equal(iam_fido_client_check(&party, "webauthn.get", challenge,
	    BYTES(text, IAM_FIDO_CLIENT_MAX + 1)), IAM_FIDO_CLIENT_DATA);
}

/* --------------------------------------------------------------- the ceremonies */

static enum iam_fido_end
registration(struct key *k, const struct iam_fido_party *p, uint8_t flags,
    uint32_t count, struct iam_fido_key *out)
{
	static const uint8_t challenge[32] = { 1 };
	uint8_t auth[256], whole[512];
	char client[512];
	size_t n = client_data("webauthn.create", challenge, origins[0], client);
	size_t len = object(auth, auth_data(k, flags, count, true, auth), whole);

	return iam_fido_register(p, challenge, BYTES(client, n),
	    BYTES(whole, len), out);
}

static enum iam_fido_end
assertion(struct key *k, const struct iam_fido_party *p,
    const struct iam_fido_key *known, uint8_t flags, uint32_t count,
    uint32_t *now)
{
	static const uint8_t challenge[32] = { 2 };
	uint8_t auth[64], signature[80];
	char client[512];
	size_t n = client_data("webauthn.get", challenge, origins[0], client);
	size_t len = auth_data(k, flags, count, false, auth);
	size_t s = sign_it(k, auth, len, client, n, signature);

	return iam_fido_assert(p, challenge, known, BYTES(client, n),
	    BYTES(auth, len), BYTES(signature, s), now);
}

static void
test_both_ceremonies(void **state)
{
	struct iam_fido_party elsewhere = party, strict = party;
	struct key k = key_new(1), other = key_new(2);
	struct iam_fido_key known, off;
	uint32_t now = 0;

	elsewhere.rp_id = "other";
	strict.verification = true;
	assert_int_equal(registration(&k, &elsewhere, IAM_FIDO_UP, 0, &known),
	    IAM_FIDO_RP_ID);
	assert_int_equal(registration(&k, &party, IAM_FIDO_UV, 0, &known),
	    IAM_FIDO_PRESENCE);
	assert_int_equal(registration(&k, &strict, IAM_FIDO_UP, 0, &known),
	    IAM_FIDO_VERIFICATION);
	assert_int_equal(registration(&k, &party, IAM_FIDO_UP, 3, &known),
	    IAM_FIDO_OK);
	assert_string_equal(known.attestation, "none");
	assert_string_equal(iam_fido_algorithm(known.algorithm), "ES256");
	assert_int_equal(known.sign_count, 3);
	assert_int_equal(known.key_len, 64);

	assert_int_equal(assertion(&k, &elsewhere, &known, IAM_FIDO_UP, 4, &now),
	    IAM_FIDO_RP_ID);
	assert_int_equal(assertion(&k, &party, &known, 0, 4, &now),
	    IAM_FIDO_PRESENCE);
	assert_int_equal(assertion(&k, &strict, &known, IAM_FIDO_UP, 4, &now),
	    IAM_FIDO_VERIFICATION);
	assert_int_equal(assertion(&other, &party, &known, IAM_FIDO_UP, 4, &now),
	    IAM_FIDO_SIGNATURE);
	for (uint32_t count = 0; count < 6; count++)
		assert_int_equal(assertion(&k, &party, &known, IAM_FIDO_UP, count,
		    &now), count > 3 ? IAM_FIDO_OK : IAM_FIDO_COUNT);
	assert_int_equal(now, 5);
	/* One that does not count never moves; once it did, it must. */
	known.sign_count = 0;
	assert_int_equal(assertion(&k, &party, &known, IAM_FIDO_UP, 0, &now),
	    IAM_FIDO_OK);
	/* A point that is on no curve is no key. */
	off = known;
	off.key[63] ^= 1;
	assert_false(iam_fido_key_valid(off.algorithm, BYTES(off.key, 64)));
	assert_int_equal(assertion(&k, &party, &off, IAM_FIDO_UP, 9, &now),
	    IAM_FIDO_SIGNATURE);
	EVP_PKEY_free(k.pkey);
	EVP_PKEY_free(other.pkey);
}

static void
test_every_end_has_words(void **state)
{
	for (int i = IAM_FIDO_CLIENT_DATA; i < IAM_FIDO_NO_MEMORY; i++) {
		assert_non_null(iam_fido_word((enum iam_fido_end)i)->reason);
		assert_non_null(iam_fido_word((enum iam_fido_end)i)->detail);
	}
}

/* ------------------------------------------------------------- through the actor */

static struct ended
removal(const char *token, const char *who, const char *name)
{
	Ag__WebauthnRemoveAsk ask = AG__WEBAUTHN_REMOVE_ASK__INIT;

	ask.credential = (char *)name;
	ask.reason = (char *)"because";
	return request(f, AG_MSG_WEBAUTHN_REMOVE, ASK(.token = token,
	    .selector = who), &ask);
}

static void
test_enrol_list_remove(void **state)
{
	char *id = person(f, f->admin, AG__KIND__V__human, "eve", "key-user");
	char *bot = person(f, f->admin, AG__KIND__V__service, "bot", "key-user");
	char *token = token_of(f, f->admin, id, NULL);
	struct key k = key_new(1), second = key_new(2);
	struct ended e;

	expect(begin(f->admin, "bot", "blue"), AG_ILLEGAL_OPERATION, "transition");
	expect(begin(token, "eve", "no spaces"), AG_INVALID_FIELD,
	    "out_of_range");
	assert_false(iam_second_factor(node_of("eve")));
	enrol(token, "eve", &k, "blue");
	assert_int_equal(iam_methods(node_of("eve")), AG_METHOD_WEBAUTHN);
	/* Without a step-up there is no second one, and no code. */
	expect(begin(token, "eve", "red"), AG_STEP_UP_REQUIRED, NULL);
	expect(request(f, AG_MSG_TOTP_BEGIN, ASK(.token = token,
	    .selector = "eve"), NULL), AG_STEP_UP_REQUIRED, NULL);
	expect(removal(token, "eve", "blue"), AG_PERMISSION_DENIED,
	    "scope_missing");
	/* Made by an admin it needs none; the same credential is there once. */
	e = begin(f->admin, "eve", "red");
	expect(confirm(token, "eve", &k, e.reply), AG_ALREADY_EXISTS, "name");
	ended_free(&e);
	e = begin(f->admin, "eve", "red");
	expect(confirm(token, "eve", &second, e.reply), AG_OK, NULL);
	expect(confirm(token, "eve", &second, e.reply), AG_ALREADY_EXISTS,
	    "name");
	ended_free(&e);
	assert_int_equal(iam_webauthn_count(node_of("eve")), 2);
	expect(removal(token, "eve", "red"), AG_STEP_UP_REQUIRED, NULL);
	expect(removal(f->admin, "eve", "red"), AG_OK, NULL);
	expect(removal(f->admin, "eve", "red"), AG_ITEM_NOT_FOUND, NULL);
	expect(removal(f->admin, "eve", "blue"), AG_OK, NULL);
	assert_false(iam_second_factor(node_of("eve")));
	EVP_PKEY_free(k.pkey);
	EVP_PKEY_free(second.pkey);
	free(token);
	free(bot);
	free(id);
}

/* A confirmation that waits for the journal, and loses there. */
static void
loses(const char *token, struct key *k, bool moved, ag_err err,
    const char *reason)
{
	Ag__WebauthnConfirmAsk ask = AG__WEBAUTHN_CONFIRM_ASK__INIT;
	Ag__WebauthnFact used = AG__WEBAUTHN_FACT__INIT;
	const struct iam_node *node = node_of("eve");
	struct ended e = begin(f->admin, "eve", "red"), end = { 0 };
	const struct ag_kit_sent *sent;
	uint8_t uuid[AG_UUID_BYTES];
	char stream[IAM_STREAM_MAX];
	struct made made;

	assert_int_equal(e.err, AG_OK);
	make(&made, k, e.reply, &ask);
	deliver(f, AG_MSG_WEBAUTHN_CONFIRM, &ASK(.token = token,
	    .selector = "eve"), &ask, uuid);
	sent = ag_kit_next(f->kit);
	assert_int_equal(sent->to_role, AG_ROLE_RISK);
	from_risk(f, sent);
	sent = ag_kit_find(f->kit, AG_MSG_JOURNAL_APPEND_ASK);
	assert_non_null(sent);
	if (moved) { /* on another node */
		used.principal_id = (char *)(uintptr_t)node->id;
		used.name = (char *)"blue";
		used.state = (char *)"used";
		snprintf(stream, sizeof(stream), "webauthn:%s", node->id);
		fact(f, stream, node->webauthn->version + 1,
		    AG_MSG_WEBAUTHN_FACT, &used);
	}
	ag_kit_answer_error(f->kit, sent, AG_CONFLICT, NULL);
	play(f, AG_MSG_WEBAUTHN_CONFIRM, &end);
	expect(end, err, reason);
	ended_free(&e);
}

static void
test_whose_conflict_it_is(void **state)
{
	char *id = person(f, f->admin, AG__KIND__V__human, "eve", "key-user");
	char *token = token_of(f, f->admin, id, NULL);
	struct key k = key_new(1), second = key_new(2);

	enrol(token, "eve", &k, "blue");
	loses(token, &second, false, AG_ALREADY_EXISTS, "name");
	loses(token, &second, true, AG_CONFLICT, NULL);
	EVP_PKEY_free(k.pkey);
	EVP_PKEY_free(second.pkey);
	free(token);
	free(id);
}

static void
test_keys_are_few(void **state)
{
	char *id = person(f, f->admin, AG__KIND__V__human, "eve", "key-user");
	char *token = token_of(f, f->admin, id, NULL), name[8];
	struct key k = key_new(1);
	struct ended e;

	for (uint8_t i = 0; i < IAM_WEBAUTHN_EACH; i++) {
		snprintf(name, sizeof(name), "k%u", i);
		memset(k.id, i + 1, sizeof(k.id));
		e = begin(f->admin, "eve", name);
		expect(confirm(token, "eve", &k, e.reply), AG_OK, NULL);
		ended_free(&e);
	}
	expect(begin(f->admin, "eve", "more"), AG_ILLEGAL_OPERATION, "transition");
	EVP_PKEY_free(k.pkey);
	free(token);
	free(id);
}

/* ------------------------------------- what was begun before a factor was there */

static struct ended
code_begin(const char *token, const char *who)
{
	return request(f, AG_MSG_TOTP_BEGIN, ASK(.token = token,
	    .selector = who), NULL);
}

/* The code of now of what is begun or confirmed. */
static const char *
code_of(const char *who)
{
	const struct iam *iam = ag_kit_state(f->kit);
	struct iam_node *node = node_of(who);
	struct ag_secret *secret = NULL;
	static char code[7];

	assert_non_null(node->totp);
	assert_int_equal(iam_otp_unwrap(iam->totp_key, node->id,
	    node->totp->wrapped, &secret), AG_OK);
	assert_true(iam_otp_code(ag_secret_bytes(secret), ag_secret_len(secret),
	    (uint64_t)ag_kit_now(f->kit) / 30000, code));
	ag_secret_free(&secret);
	return code;
}

static struct ended
code_confirm(const char *token, const char *who, const char *code)
{
	Ag__TotpConfirmAsk ask = AG__TOTP_CONFIRM_ASK__INIT;

	ask.code = (char *)(uintptr_t)code;
	return request(f, AG_MSG_TOTP_CONFIRM, ASK(.token = token,
	    .selector = who), &ask);
}

/* In memory, in what is shown, and in the snapshot. */
static void
no_code(const char *who)
{
	const struct iam_node *node = node_of(who);
	struct ag_ctx *ctx = ag_kit_ctx(f->kit);
	Ag__Principal *p;
	const uint8_t *bytes;
	size_t len;

	assert_null(node->totp);
	assert_int_equal(ag_store_get(ctx, IAM_T_TOTP, node->id,
	    strlen(node->id), &bytes, &len), AG_ITEM_NOT_FOUND);
	assert_int_equal(ag_store_get(ctx, IAM_T_PRINCIPALS, node->id,
	    strlen(node->id), &bytes, &len), AG_OK);
	p = ag__principal__unpack(NULL, len, bytes);
	assert_non_null(p);
	assert_string_equal(p->totp, "none");
	assert_int_equal(p->revision, node->version);
	ag__principal__free_unpacked(p, NULL);
	p = iam_principal_view(ctx, node);
	assert_string_equal(p->totp, "none");
}

/* Who had the token before there was a factor keeps no way around it. */
static void
test_a_key_ends_codes_that_were_begun(void **state)
{
	char *id = person(f, f->admin, AG__KIND__V__human, "eve", "key-user");
	char *token = token_of(f, f->admin, id, NULL), thief[7];
	struct key k = key_new(1);

	expect(code_begin(token, "eve"), AG_OK, NULL);
	strcpy(thief, code_of("eve"));
	enrol(token, "eve", &k, "blue");
	no_code("eve");
	expect(code_confirm(token, "eve", thief), AG_ITEM_NOT_FOUND, NULL);
	expect(code_begin(token, "eve"), AG_STEP_UP_REQUIRED, NULL);
	assert_int_equal(iam_methods(node_of("eve")), AG_METHOD_WEBAUTHN);
	/* Begun while there is a key it is confirmed; and stays. */
	expect(code_begin(f->admin, "eve"), AG_OK, NULL);
	expect(code_confirm(token, "eve", code_of("eve")), AG_OK, NULL);
	expect(removal(f->admin, "eve", "blue"), AG_OK, NULL);
	assert_int_equal(iam_methods(node_of("eve")), AG_METHOD_TOTP);
	EVP_PKEY_free(k.pkey);
	free(token);
	free(id);
}

static void
test_a_factor_ends_keys_that_were_begun(void **state)
{
	char *id = person(f, f->admin, AG__KIND__V__human, "eve", "key-user");
	char *token = token_of(f, f->admin, id, NULL);
	struct key k = key_new(1), thief = key_new(2);
	struct ended first = begin(token, "eve", "red"), second;

	assert_int_equal(first.err, AG_OK);
	expect(code_begin(token, "eve"), AG_OK, NULL);
	expect(code_confirm(token, "eve", code_of("eve")), AG_OK, NULL);
	expect(confirm(token, "eve", &thief, first.reply), AG_STEP_UP_FAILED,
	    "challenge_expired");
	ended_free(&first);
	because(f, AG_MSG_TOTP_REMOVE, f->admin, "eve", AG_OK, NULL);
	first = begin(token, "eve", "red");
	second = begin(token, "eve", "blue");
	expect(confirm(token, "eve", &k, second.reply), AG_OK, NULL);
	expect(confirm(token, "eve", &thief, first.reply), AG_STEP_UP_FAILED,
	    "challenge_expired");
	assert_int_equal(iam_webauthn_count(node_of("eve")), 1);
	ended_free(&first);
	ended_free(&second);
	EVP_PKEY_free(k.pkey);
	EVP_PKEY_free(thief.pkey);
	free(token);
	free(id);
}

/* What was begun with a stolen key goes with the key. */
static void
test_a_removal_ends_what_was_begun(void **state)
{
	char *id = person(f, f->admin, AG__KIND__V__human, "eve", "key-user");
	char *token = token_of(f, f->admin, id, NULL), code[7];
	struct key k = key_new(1), thief = key_new(2);
	struct ended e;

	enrol(token, "eve", &k, "blue");
	expect(code_begin(f->admin, "eve"), AG_OK, NULL);
	strcpy(code, code_of("eve"));
	e = begin(f->admin, "eve", "red");
	assert_int_equal(e.err, AG_OK);
	expect(removal(f->admin, "eve", "blue"), AG_OK, NULL);
	no_code("eve");
	expect(code_confirm(token, "eve", code), AG_ITEM_NOT_FOUND, NULL);
	expect(confirm(token, "eve", &thief, e.reply), AG_STEP_UP_FAILED,
	    "challenge_expired");
	ended_free(&e);
	assert_false(iam_second_factor(node_of("eve")));
	EVP_PKEY_free(k.pkey);
	EVP_PKEY_free(thief.pkey);
	free(token);
	free(id);
}

/* What the journal should never tell, and what it tells twice. */
static void
test_facts(void **state)
{
	char *id = person(f, f->admin, AG__KIND__V__human, "eve", "key-user");
	struct iam *iam = ag_kit_state(f->kit);
	Ag__WebauthnFact fact = AG__WEBAUTHN_FACT__INIT;
	struct ag_fact_record r = { .seq = 1 << 20, .version = 1, .stream = "s",
		.type = AG_MSG_WEBAUTHN_FACT, .fact = &fact, .tenant = "default",
		.author = "iam.0" };
	struct key k = key_new(1);
	struct iam_fido_key known;

	assert_int_equal(registration(&k, &party, IAM_FIDO_UP, 3, &known),
	    IAM_FIDO_OK);
	fact.principal_id = (char *)"hum_00000000000000000000000000000000";
	fact.state = (char *)"enrolled";
	iam_webauthn_describe(&fact, "blue", &known);
	assert_int_equal(iam_webauthn_apply(iam, ag_kit_ctx(f->kit), &r),
	    AG_CORRUPT);
	fact.principal_id = id;
	fact.algorithm = 5;
	assert_int_equal(iam_webauthn_apply(iam, ag_kit_ctx(f->kit), &r),
	    AG_CORRUPT);
	fact.algorithm = known.algorithm;
	fact.attestation = (char *)"trusted";
	assert_int_equal(iam_webauthn_apply(iam, ag_kit_ctx(f->kit), &r),
	    AG_CORRUPT);
	fact.attestation = (char *)"none";
	assert_int_equal(iam_webauthn_apply(iam, ag_kit_ctx(f->kit), &r), AG_OK);
	assert_int_equal(iam_webauthn_count(node_of("eve")), 1);
	fact.state = (char *)"used";
	fact.sign_count = 9;
	assert_int_equal(iam_webauthn_apply(iam, ag_kit_ctx(f->kit), &r), AG_OK);
	assert_int_equal(iam_webauthn_named(node_of("eve"),
	    "blue")->key.sign_count, 3); /* version 1 was seen */
	r.version = 2;
	assert_int_equal(iam_webauthn_apply(iam, ag_kit_ctx(f->kit), &r), AG_OK);
	assert_int_equal(iam_webauthn_named(node_of("eve"),
	    "blue")->key.sign_count, 9);
	r.version = 3;
	fact.state = (char *)"lost";
	assert_int_equal(iam_webauthn_apply(iam, ag_kit_ctx(f->kit), &r),
	    AG_CORRUPT);
	EVP_PKEY_free(k.pkey);
	free(id);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cbor_is_strict),
		cmocka_unit_test(test_authenticator_data_is_whole),
		cmocka_unit_test(test_client_data),
		cmocka_unit_test(test_both_ceremonies),
		cmocka_unit_test(test_every_end_has_words),
		cmocka_unit_test_setup_teardown(test_enrol_list_remove, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_whose_conflict_it_is, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_keys_are_few, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_a_key_ends_codes_that_were_begun, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_a_factor_ends_keys_that_were_begun, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_a_removal_ends_what_was_begun, setup, teardown),
		cmocka_unit_test_setup_teardown(test_facts, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
