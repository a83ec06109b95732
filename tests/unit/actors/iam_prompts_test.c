/* SPDX-License-Identifier: Apache-2.0 */
/* What of a prompt goes on from iam, and what of it is kept. */
#include "iam_fleet.h"

#define SECRET "AKIA" "Q3EXAMPLEQ3EXAMP"
#define CARD "4111-1111-1111-1111"
#define CARD_ALSO "4111 1111 1111 1111"

static struct fleet *f;

static int
setup_text(void **state)
{
	(void)state;
	f = fleet_new("audit:\n  prompts: text\n");
	return 0;
}

static int
setup_hash(void **state)
{
	(void)state;
	f = fleet_new(NULL);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	fleet_free(f);
	return 0;
}

/* The grant of a request with that prompt, whose key is there by then. */
static struct ended
say(const char *prompt)
{
	struct ended e;

	expect(request(f, AG_MSG_WHOAMI, ASK(.token = f->admin), NULL), AG_OK,
	    NULL);
	e = request(f, AG_MSG_WHOAMI, ASK(.token = f->admin, .prompt = prompt),
	    NULL);
	if (e.err == AG_UNAVAILABLE) { /* the key has been asked for */
		ended_free(&e);
		e = request(f, AG_MSG_WHOAMI, ASK(.token = f->admin,
		    .prompt = prompt), NULL);
	}
	assert_int_equal(e.err, AG_OK);
	assert_non_null(e.grant);
	assert_true(e.grant->has_prompt_hash && e.grant->prompt_keyed);
	return e;
}

static void
test_a_hash_has_no_text(void **state)
{
	struct ended e = say("for Oslo");

	(void)state;
	assert_null(e.grant->prompt);
	ended_free(&e);
}

/* Nobody behind iam is shown it: not risk, not the executor, not the journal. */
static void
test_what_looks_like_a_secret_ends_here(void **state)
{
	struct ended e = say("for Oslo");
	char card[64];
	const char *second;

	(void)state;
	assert_string_equal(e.grant->prompt, "for Oslo");
	ended_free(&e);
	e = say("with " SECRET ", " SECRET "\nplease");
	assert_memory_equal(e.grant->prompt, "with [redacted:cloud_key:", 25);
	assert_null(strstr(e.grant->prompt, "Q3EXAMPLE"));
	second = strstr(e.grant->prompt + 6, "[redacted:");
	assert_non_null(second); /* the same, so it is said in the same way */
	assert_memory_equal(e.grant->prompt + 5, second, 53);
	assert_string_equal(strchr(e.grant->prompt, '\n'), "\nplease");
	ended_free(&e);
	/* A card is one value however it is spelt. */
	e = say(CARD);
	snprintf(card, sizeof(card), "%s", e.grant->prompt);
	assert_memory_equal(card, "[redacted:card:", 15);
	ended_free(&e);
	e = say(CARD_ALSO);
	assert_string_equal(e.grant->prompt, card);
	ended_free(&e);
	/* One that was cut short takes the rest with it. */
	e = say("-----BEGIN PRIVATE KEY-----\nMC4CAQ");
	assert_memory_equal(e.grant->prompt, "[redacted:pem:", 14);
	assert_null(strstr(e.grant->prompt, "MC4CAQ"));
	ended_free(&e);
}

/* The journal forgets nothing: a change has the prompt's hash there, and its
 * text with the event only. */
static void
test_the_journal_has_no_text(void **state)
{
	Ag__PrincipalCreateAsk ask = AG__PRINCIPAL_CREATE_ASK__INIT;
	const struct ag_kit_sent *sent;
	const Ag__JournalAppendAsk *append;
	struct ended e = say("for Oslo");
	Ag__OutcomeEvent *kept;
	Ag__Grant *grant;
	uint8_t id[16];

	(void)state;
	ended_free(&e);
	ask.kind = AG__KIND__V__human;
	ask.name = (char *)"prompted";
	deliver(f, AG_MSG_PRINCIPAL_CREATE, &ASK(.token = f->admin,
	    .prompt = "make one for Oslo"), &ask, id);
	sent = ag_kit_next(f->kit);
	assert_int_equal(sent->to_role, AG_ROLE_RISK);
	from_risk(f, sent);
	sent = ag_kit_find(f->kit, AG_MSG_JOURNAL_APPEND_ASK);
	assert_non_null(sent);
	append = sent->body;
	assert_true(append->has_outcome);
	assert_null(memmem(sent->bytes, sent->len, "Oslo", 4));
	kept = ag__outcome_event__unpack(NULL, append->outcome.len,
	    append->outcome.data);
	assert_non_null(kept);
	grant = ag__grant__unpack(NULL, kept->grant.len, kept->grant.data);
	assert_non_null(grant);
	assert_null(grant->prompt);
	assert_true(grant->has_prompt_hash);
	assert_non_null(grant->actor_id);
	ag__grant__free_unpacked(grant, NULL);
	ag__outcome_event__free_unpacked(kept, NULL);
	ag_kit_answer_error(f->kit, sent, AG_CONFLICT, NULL);
	play(f, AG_MSG_PRINCIPAL_CREATE, &e);
	assert_int_equal(e.err, AG_ALREADY_EXISTS);
	assert_string_equal(e.grant->prompt, "make one for Oslo");
	ended_free(&e);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_hash_has_no_text, setup_hash, teardown),
		cmocka_unit_test_setup_teardown(test_what_looks_like_a_secret_ends_here, setup_text, teardown),
		cmocka_unit_test_setup_teardown(test_the_journal_has_no_text, setup_text, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
