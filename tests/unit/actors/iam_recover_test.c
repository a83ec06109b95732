/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another token for an admin who lost theirs (aegis admin-token), and the first
 * one: what becomes of them when nobody signs, writes or records.
 */
#include "iam_fleet.h"

#include <exec.h>
#include <iam.h>

#include <sys/stat.h>
#include <unistd.h>

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

static const char *
file_path(void)
{
	static char path[600];

	snprintf(path, sizeof(path), "%s/" IAM_RECOVERED_FILE,
	    ag_kit_state_dir(f->kit));
	return path;
}

/* What the file holds; NULL: there is none. */
static char *
file_token(void)
{
	FILE *file = fopen(file_path(), "r");
	char text[4200];
	bool read;

	if (file == NULL)
		return NULL;
	read = fgets(text, sizeof(text), file) != NULL;
	fclose(file);
	assert_true(read);
	text[strcspn(text, "\n")] = '\0';
	return strdup(text);
}

/* The word, and everybody else does their part. */
static const char *
told(const char *word)
{
	ag_kit_tell(f->kit, word);
	play(f, 0, NULL);
	return ag_kit_said(f->kit);
}

/* The word, up to the message of this type that follows it. */
static const struct ag_kit_sent *
told_until(uint16_t type)
{
	const struct ag_kit_sent *sent;

	ag_kit_tell(f->kit, "admin-token");
	while ((sent = ag_kit_next(f->kit)) != NULL && sent->type != type)
		if (sent->type == AG_MSG_ROT_SIGN_ASK)
			rot_sign(f, sent);
	assert_non_null(sent);
	return sent;
}

static struct ended
whoami(const char *token)
{
	return request(f, AG_MSG_WHOAMI, ASK(.token = token), NULL);
}

static void
works_again(void)
{
	char *token;

	assert_memory_equal(told("admin-token"), "admin-token done ", 17);
	token = file_token();
	assert_non_null(token);
	expect(whoami(token), AG_OK, NULL);
	free(token);
}

static void
test_another_token(void **state)
{
	const char *said = told("admin-token");
	const Ag__WhoamiReply *who;
	struct ended e;
	struct stat st;
	char *token = file_token();

	assert_memory_equal(said, "admin-token done ", 17);
	assert_int_equal(strlen(said + 17), AG_UUID_TEXT - 1);
	assert_int_equal(stat(file_path(), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_non_null(token);
	assert_null(strstr(said, token)); /* the word goes into logs */
	e = whoami(token);
	assert_int_equal(e.err, AG_OK);
	who = e.reply;
	assert_string_equal(who->name, "admin");
	assert_string_equal(who->credential->jti, said + 17);
	/* It may do what an admin may, for half a day. */
	assert_int_equal(who->credential->expires_at - who->credential->issued_at,
	    INT64_C(12) * 3600 * 1000);
	ended_free(&e);
	free(person(f, token, AG__KIND__V__human, "bob", "key-user"));
	free(token);
}

/* The record names who has it, and is the token's own: once for ever. */
static void
test_it_is_recorded(void **state)
{
	const struct ag_kit_sent *sent = told_until(AG_MSG_JOURNAL_APPEND_ASK);
	const Ag__JournalAppendAsk *ask = sent->body;
	Ag__TokenIssuedFact *fact;

	assert_int_equal(ask->n_changes, 1);
	assert_memory_equal(ask->changes[0]->stream, "token:", 6);
	assert_int_equal(ask->changes[0]->expected_version, 0);
	assert_int_equal(ask->changes[0]->type, AG_MSG_TOKEN_ISSUED_FACT);
	fact = ag__token_issued_fact__unpack(NULL, ask->changes[0]->event.len,
	    ask->changes[0]->event.data);
	assert_non_null(fact);
	assert_string_equal(fact->jti, ask->changes[0]->stream + 6);
	assert_int_equal(fact->n_scopes, 0);
	ag__token_issued_fact__free_unpacked(fact, NULL);
}

static void
test_nobody(void **state)
{
	struct iam *iam = ag_kit_state(f->kit);
	Ag__PrincipalStateFact gone = AG__PRINCIPAL_STATE_FACT__INIT;
	struct iam_node *admin = iam_principal_find(iam, iam_tenant_find(iam,
	    "default"), "admin");
	char *theirs = tenant_of(f, "acme");
	char stream[IAM_STREAM_MAX];

	/* A service with the role, and another tenant's admin, are none. */
	free(person(f, f->admin, AG__KIND__V__service, "robot", "admin"));
	free(person(f, f->admin, AG__KIND__V__human, "eve", "auditor"));
	gone.id = admin->id;
	gone.state = (char *)"suspended";
	gone.reason = (char *)"because";
	snprintf(stream, sizeof(stream), "principal:%s", admin->id);
	fact(f, stream, admin->version + 1, AG_MSG_PRINCIPAL_STATE_FACT, &gone);
	assert_string_equal(told("admin-token"), "admin-token refused nobody");
	assert_null(file_token());
	expect(whoami(theirs), AG_OK, NULL);
	free(theirs);
}

static void
test_not_ready(void **state)
{
	struct ag_kit *kit = ag_kit_new(&ag_actor_iam, NULL, NULL);

	ag_kit_tell(kit, "admin-token");
	assert_string_equal(ag_kit_said(kit), "admin-token refused starting");
	ag_kit_free(&kit);
}

/* Nobody signs: said so, and the word may be said again. */
static void
test_no_signature(void **state)
{
	struct iam *iam = ag_kit_state(f->kit);

	ag_kit_answer_error(f->kit, told_until(AG_MSG_ROT_SIGN_ASK),
	    AG_UNAVAILABLE, "rot");
	assert_string_equal(ag_kit_said(f->kit),
	    "admin-token refused UNAVAILABLE");
	assert_null(file_token());
	assert_int_equal(iam->drafts, 0);
	works_again();
}

/* The issuer key is another twice in a row: given up, not for ever. */
static void
test_key_keeps_changing(void **state)
{
	struct iam *iam = ag_kit_state(f->kit);
	Ag__RotSignReply reply = AG__ROT_SIGN_REPLY__INIT;
	const struct ag_kit_sent *sent = told_until(AG_MSG_ROT_SIGN_ASK);
	uint8_t signature[64] = { 1 };

	reply.key_id = (char *)"k2";
	reply.signature = (ProtobufCBinaryData){ sizeof(signature), signature };
	ag_kit_answer(f->kit, sent, AG_MSG_ROT_SIGN_REPLY, &reply);
	assert_int_equal(iam->drafts, 1); /* once more, with the new one */
	ag_kit_advance(f->kit, IAM_KEYS_SETTLE_MS);
	sent = ag_kit_find(f->kit, AG_MSG_ROT_SIGN_ASK);
	assert_non_null(sent);
	ag_kit_answer(f->kit, sent, AG_MSG_ROT_SIGN_REPLY, &reply);
	assert_string_equal(ag_kit_said(f->kit),
	    "admin-token refused UNAVAILABLE");
	assert_int_equal(iam->drafts, 0);
	works_again();
}

/* What cannot be written is not recorded either. */
static void
test_no_file(void **state)
{
	const struct ag_kit_sent *sent;

	assert_int_equal(mkdir(file_path(), 0700), 0);
	ag_kit_tell(f->kit, "admin-token");
	while ((sent = ag_kit_next(f->kit)) != NULL) {
		assert_int_not_equal(sent->type, AG_MSG_JOURNAL_APPEND_ASK);
		if (sent->type == AG_MSG_ROT_SIGN_ASK)
			rot_sign(f, sent);
	}
	assert_memory_equal(ag_kit_said(f->kit), "admin-token refused ", 20);
	assert_int_equal(rmdir(file_path()), 0);
	works_again();
}

/* A token that the journal does not know lets nobody in. */
static void
test_not_journaled(void **state)
{
	char *token;

	ag_kit_answer_error(f->kit, told_until(AG_MSG_JOURNAL_APPEND_ASK),
	    AG_CONFLICT, NULL);
	assert_string_equal(ag_kit_said(f->kit), "admin-token refused CONFLICT");
	token = file_token();
	assert_non_null(token);
	expect(whoami(token), AG_UNAUTHENTICATED, NULL);
	free(token);
	works_again();
}

/* One at a time: the second word waits for the first one's answer. */
static void
test_one_at_a_time(void **state)
{
	const struct ag_kit_sent *sent;
	unsigned asks = 0;

	ag_kit_tell(f->kit, "admin-token");
	ag_kit_tell(f->kit, "admin-token");
	while ((sent = ag_kit_next(f->kit)) != NULL) {
		if (sent->type == AG_MSG_ROT_SIGN_ASK) {
			asks++;
			rot_sign(f, sent);
		}
		while (ag_kit_journal(f->kit))
			continue;
	}
	assert_int_equal(asks, 1);
	assert_memory_equal(ag_kit_said(f->kit), "admin-token done ", 17);
	works_again();
}

static void
test_unknown_word(void **state)
{
	assert_string_equal(told("admin-tokens"), "");
	assert_string_equal(told(""), "");
	assert_null(file_token());
	expect(whoami(f->admin), AG_OK, NULL);
}

/* The first start: nobody signs at first, and the timer tries again. */
static void
test_first_start_without_signature(void **state)
{
	struct fleet first = { .issuer = EVP_PKEY_Q_keygen(NULL, NULL,
	    "ED25519") };
	const struct iam *iam;
	const struct ag_kit_sent *sent;
	unsigned refused = 0;

	first.kit = ag_kit_new(&ag_actor_iam, NULL, NULL);
	iam = ag_kit_state(first.kit);
	for (int i = 0; refused == 0 && i < 20; i++) {
		while ((sent = ag_kit_next(first.kit)) != NULL) {
			if (sent->type == AG_MSG_ROT_KEYS_ASK) {
				rot_keys(&first, sent);
			} else if (sent->type == AG_MSG_ROT_SECRET_ASK) {
				rot_secret(&first, sent);
			} else if (sent->type == AG_MSG_ROT_SIGN_ASK) {
				ag_kit_answer_error(first.kit, sent,
				    AG_UNAVAILABLE, "rot");
				refused++;
			}
		}
		ag_kit_advance(first.kit, 50);
	}
	assert_int_equal(refused, 1);
	assert_false(iam->ready);
	assert_int_equal(iam->tenant_count, 0);
	for (int i = 0; !iam->ready && i < 20; i++) {
		ag_kit_advance(first.kit, 200);
		play(&first, 0, NULL);
	}
	assert_true(iam->ready);
	assert_int_equal(iam->tenant_count, 1);
	assert_int_equal(iam->drafts, 0);
	ag_kit_free(&first.kit);
	EVP_PKEY_free(first.issuer);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(test_another_token), T(test_it_is_recorded), T(test_nobody),
		T(test_not_ready), T(test_no_signature),
		T(test_key_keeps_changing), T(test_no_file),
		T(test_not_journaled), T(test_one_at_a_time),
		T(test_unknown_word), T(test_first_start_without_signature),
	};

	return cmocka_run_group_tests_name("iam_recover", tests, NULL, NULL);
}
