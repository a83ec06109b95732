/* SPDX-License-Identifier: Apache-2.0 */
/* A tenant's policy documents, and what the station makes of them. */
#include "iam_fleet.h"

#include "iam.h"

static struct fleet *f;

static int
setup(void **state)
{
	f = fleet_new(NULL);
	key(f, "default", INVOICE, "invoice", "env", "prod", false);
	key(f, "default", TREASURY, NULL, NULL, NULL, false);
	return 0;
}

static int
teardown(void **state)
{
	fleet_free(f);
	return 0;
}

#define ALL "permit (principal, action, resource);"

static struct ended
put(const char *by, const char *name, const char *text)
{
	Ag__PolicySetAsk ask = AG__POLICY_SET_ASK__INIT;

	ask.text = (char *)text;
	return request(f, AG_MSG_POLICY_SET, ASK(.token = by, .selector = name),
	    &ask);
}

static struct ended
rollback(const char *by, const char *name, uint64_t version)
{
	Ag__PolicyRollbackAsk ask = AG__POLICY_ROLLBACK_ASK__INIT;

	ask.version = version;
	ask.reason = (char *)"because";
	return request(f, AG_MSG_POLICY_ROLLBACK, ASK(.token = by,
	    .selector = name), &ask);
}

static void
ruled(struct ended e, const char *rule, uint64_t version)
{
	assert_int_equal(e.err, rule == NULL ? AG_OK : AG_PERMISSION_DENIED);
	if (rule != NULL) {
		assert_string_equal(e.reason, "no_matching_rule");
		assert_string_equal(e.rule, rule);
	}
	assert_non_null(e.grant);
	assert_non_null(e.grant->policy);
	assert_int_equal(e.grant->policy->version, version);
	ended_free(&e);
}

static void
test_life(void **state)
{
	struct ended e = put(f->admin, "base", ALL);
	Ag__Policy *p = e.reply;

	assert_int_equal(e.err, AG_OK);
	assert_int_equal(p->version, 1);
	assert_int_equal(p->policy_version, 1);
	assert_string_equal(p->text, ALL);
	ended_free(&e);
	ruled(sign(f, f->admin, "invoice"), NULL, 1);
	expect(put(f->admin, "base", "forbid (principal, action, resource);"),
	    AG_OK, NULL);
	ruled(sign(f, f->admin, "invoice"), "base/0", 2);
	e = rollback(f->admin, "base", 1);
	p = e.reply;
	assert_int_equal(p->version, 3);
	assert_int_equal(p->restored_from, 1);
	assert_string_equal(p->text, ALL);
	ended_free(&e);
	ruled(sign(f, f->admin, "invoice"), NULL, 3);
	because(f, AG_MSG_POLICY_DELETE, f->admin, "base", AG_OK, NULL);
	ruled(sign(f, f->admin, "invoice"), "default-deny", 4);
	because(f, AG_MSG_POLICY_DELETE, f->admin, "base", AG_ITEM_NOT_FOUND,
	    NULL);
}

static void
key_became(uint64_t n, Ag__KeyState__V state, uint32_t version)
{
	Ag__KeyStateFact k = AG__KEY_STATE_FACT__INIT;

	k.key_id = (char *)INVOICE;
	k.state = state;
	k.has_version = version != 0;
	k.version = version;
	fact(f, "key:" INVOICE, n, AG_MSG_KEY_STATE_FACT, &k);
}

/* What a key is now is what policies see, whatever came before. */
static void
test_state_of_a_key(void **state)
{
	Ag__KeyVersionFact next = AG__KEY_VERSION_FACT__INIT;

	next.key_id = (char *)INVOICE;
	next.version = 2;
	expect(put(f->admin, "base", "permit (principal, action, resource is "
	    "Aegis::Key) when { resource.state == \"Active\" && "
	    "resource.backend == \"software\" };"), AG_OK, NULL);
	ruled(sign(f, f->admin, "invoice"), "default-deny", 1); /* PreActive */
	key_became(2, AG__KEY_STATE__V__Active, 0);
	ruled(sign(f, f->admin, "invoice"), NULL, 1);
	/* An old version's end is not the key's. */
	fact(f, "key:" INVOICE, 3, AG_MSG_KEY_VERSION_FACT, &next);
	key_became(4, AG__KEY_STATE__V__Compromised, 1);
	ruled(sign(f, f->admin, "invoice"), NULL, 1);
	key_became(5, AG__KEY_STATE__V__Deactivated, 0);
	ruled(sign(f, f->admin, "invoice"), "default-deny", 1);
	/* There is no way back. */
	key_became(6, AG__KEY_STATE__V__Active, 0);
	ruled(sign(f, f->admin, "invoice"), "default-deny", 1);
	expect(put(f->admin, "base", "permit (principal, action, resource is "
	    "Aegis::Key) when { resource.backend == \"other\" || "
	    "resource.state == \"Deactivated\" };"), AG_OK, NULL);
	ruled(sign(f, f->admin, "invoice"), NULL, 2);
}

static void
test_refused(void **state)
{
	char *bob = person(f, f->admin, AG__KIND__V__human, "bob", "key-user");
	char *token = token_of(f, f->admin, bob, NULL);

	expect(put(token, "base", ALL), AG_PERMISSION_DENIED, "scope_missing");
	expect(put(f->admin, "No", ALL), AG_INVALID_FIELD, "bad_alias");
	expect(put(f->admin, "base", "permit"), AG_INVALID_FIELD, "bad_policy");
	expect(put(f->admin, "base", ""), AG_INVALID_FIELD, "bad_policy");
	expect(rollback(f->admin, "base", 1), AG_ITEM_NOT_FOUND, NULL);
	/* Nothing was kept: scopes alone decide. */
	expect(sign(f, f->admin, "invoice"), AG_OK, NULL);
	expect(put(f->admin, "base", ALL), AG_OK, NULL);
	expect(rollback(f->admin, "base", 0), AG_INVALID_FIELD, "unknown_value");
	expect(rollback(f->admin, "base", UINT64_MAX), AG_INVALID_FIELD,
	    "unknown_value");
	free(bob);
	free(token);
}

/* Old versions go, the newest stay; the row's key has room for both names. */
static void
test_versions_are_bounded(void **state)
{
	Ag__PolicyReadAsk ask = AG__POLICY_READ_ASK__INIT;

	for (int i = 0; i < IAM_DOC_VERSIONS_MAX + 3; i++)
		expect(put(f->admin, "base", ALL), AG_OK, NULL);
	ask.has_version = true;
	ask.version = 3;
	expect(request(f, AG_MSG_POLICY_READ, ASK(.token = f->admin,
	    .selector = "base"), &ask), AG_ITEM_NOT_FOUND, NULL);
	ask.version = 4;
	expect(request(f, AG_MSG_POLICY_READ, ASK(.token = f->admin,
	    .selector = "base"), &ask), AG_OK, NULL);
}

/* Long versions go sooner; the one in force never. */
static void
test_long_versions(void **state)
{
	static char text[AG_RULES_TEXT_MAX];
	Ag__PolicyReadAsk ask = AG__POLICY_READ_ASK__INIT;

	memset(text, ' ', sizeof(text) - 1);
	memcpy(text, ALL, sizeof(ALL) - 1);
	for (int i = 0; i < 7; i++)
		expect(put(f->admin, "base", text), AG_OK, NULL);
	ask.has_version = true;
	ask.version = 3;
	expect(request(f, AG_MSG_POLICY_READ, ASK(.token = f->admin,
	    .selector = "base"), &ask), AG_ITEM_NOT_FOUND, NULL);
	ask.version = 7 - IAM_DOC_KEPT_BYTES_MAX / AG_RULES_TEXT_MAX + 1;
	expect(request(f, AG_MSG_POLICY_READ, ASK(.token = f->admin,
	    .selector = "base"), &ask), AG_OK, NULL);
	ruled(sign(f, f->admin, "invoice"), NULL, 7);
}

/* Scopes stay underneath: a policy never gives. */
static void
test_the_floor_stays(void **state)
{
	char *bob = person(f, f->admin, AG__KIND__V__human, "bob", "auditor");
	char *token = token_of(f, f->admin, bob, NULL);

	expect(put(f->admin, "base", ALL), AG_OK, NULL);
	expect(sign(f, token, "invoice"), AG_PERMISSION_DENIED, "scope_missing");
	free(bob);
	free(token);
}

/* Keys without alias go by their id; labels that change bind at once. */
static void
test_keys(void **state)
{
	Ag__KeyUpdatedFact u = AG__KEY_UPDATED_FACT__INIT;
	Ag__Pair pair = AG__PAIR__INIT, *pairs[1] = { &pair };

	expect(put(f->admin, "base", "permit (principal, action, resource == "
	    "Aegis::Key::\"" TREASURY "\");permit (principal, action in "
	    "Aegis::Action::\"use\", resource is Aegis::Key) when { "
	    "resource.hasTag(\"env\") && resource.getTag(\"env\") == \"prod\" };"),
	    AG_OK, NULL);
	ruled(sign(f, f->admin, TREASURY), NULL, 1);
	ruled(sign(f, f->admin, "invoice"), NULL, 1);
	ruled(sign(f, f->admin, INVOICE), NULL, 1);
	u.key_id = (char *)INVOICE;
	u.labels = pairs;
	u.n_labels = 1;
	pair.key = (char *)"env";
	pair.value = (char *)"test";
	fact(f, "key:" INVOICE, 2, AG_MSG_KEY_UPDATED_FACT, &u);
	ruled(sign(f, f->admin, "invoice"), "default-deny", 1);
	ruled(sign(f, f->admin, "nowhere"), "default-deny", 1);
}

/* The set of another tenant is another's. */
static void
test_tenants(void **state)
{
	char *theirs = tenant_of(f, "acme");
	struct ended e;

	key(f, "acme", FOREIGN, "invoice", NULL, NULL, false);
	expect(put(f->admin, "base", "forbid (principal, action, resource);"),
	    AG_OK, NULL);
	ruled(sign(f, f->admin, "invoice"), "base/0", 1);
	e = sign(f, theirs, "invoice");
	assert_int_equal(e.err, AG_OK);
	assert_null(e.grant->policy);
	ended_free(&e);
	expect(put(theirs, "base", ALL), AG_OK, NULL);
	ruled(sign(f, theirs, "invoice"), NULL, 1);
	ruled(sign(f, f->admin, "invoice"), "base/0", 1);
	expect(rollback(theirs, "base", 2), AG_INVALID_FIELD, "unknown_value");
	free(theirs);
}

/* From the snapshot alone. */
static void
test_restart(void **state)
{
	struct fleet *again;
	char dir[] = "/tmp/iam-policies-XXXXXX", command[64];
	EVP_PKEY *issuer = f->issuer;
	struct ended e;

	assert_non_null(mkdtemp(dir));
	EVP_PKEY_up_ref(issuer);
	EVP_PKEY_up_ref(issuer);
	again = fleet_on(NULL, dir, issuer);
	fleet_free(f);
	f = again;
	key(f, "default", INVOICE, "invoice", NULL, NULL, false);
	key_became(2, AG__KEY_STATE__V__Active, 0);
	expect(put(f->admin, "base", ALL), AG_OK, NULL);
	expect(put(f->admin, "stop", "forbid (principal, action == "
	    "Aegis::Action::\"key.sign\", resource) when { resource.state == "
	    "\"Active\" };"), AG_OK, NULL);
	fleet_free(f);
	f = fleet_on(NULL, dir, issuer);
	e = sign(f, f->admin, "invoice");
	ruled(e, "stop/0", 2);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
}

/* Everything about policies is decided by scopes alone. */
static void
test_nobody_is_locked_out(void **state)
{
	expect(put(f->admin, "wall", "forbid (principal, action, resource);"),
	    AG_OK, NULL);
	ruled(sign(f, f->admin, "invoice"), "wall/0", 1);
	expect(request(f, AG_MSG_WHOAMI, ASK(.token = f->admin), NULL), AG_OK,
	    NULL);
	expect(request(f, AG_MSG_POLICY_LIST, ASK(.token = f->admin), NULL),
	    AG_OK, NULL);
	expect(put(f->admin, "wall", ALL), AG_OK, NULL);
	ruled(sign(f, f->admin, "invoice"), NULL, 2);
}

static struct ended
ask_about(uint16_t op, const char *by, const char *whom)
{
	Ag__ReasonAsk ask = AG__REASON_ASK__INIT;

	ask.reason = (char *)"because";
	return request(f, op, ASK(.token = by, .selector = whom), &ask);
}

/* People and agents are what a policy is about, too; the event remembers who
 * they were. */
static void
test_about_parties(void **state)
{
	struct agent a = agent_of(f, f->admin, "key:invoice:sign", 2),
	    b = agent_of(f, f->admin, "key:invoice:sign", 2),
	    below = agent_of(f, a.token, "key:invoice:sign", 1);
	char *bob = person(f, f->admin, AG__KIND__V__human, "bob", "auditor");
	char text[400];
	struct ended e;

	free(person(f, f->admin, AG__KIND__V__human, "carol", NULL));
	snprintf(text, sizeof(text), ALL "forbid (principal, action, "
	    "resource in Aegis::Agent::\"%s\");forbid (principal, action == "
	    "Aegis::Action::\"principal.suspend\", resource == "
	    "Aegis::Human::\"bob\");", a.id);
	expect(put(f->admin, "base", text), AG_OK, NULL);
	e = ask_about(AG_MSG_AGENT_SUSPEND, f->admin, below.id);
	assert_int_equal(e.grant->policy->n_party, 3);
	assert_string_equal(e.grant->policy->party[2]->id, below.id);
	assert_int_equal(e.grant->policy->n_party_models, 2);
	assert_string_equal(e.grant->policy->party_models[0], "model-x");
	ruled(e, "base/1", 1);
	ruled(ask_about(AG_MSG_AGENT_SUSPEND, f->admin, a.id), "base/1", 1);
	ruled(ask_about(AG_MSG_AGENT_SUSPEND, f->admin, b.id), NULL, 1);
	e = ask_about(AG_MSG_PRINCIPAL_SUSPEND, f->admin, "bob");
	assert_int_equal(e.grant->policy->n_party_roles, 1);
	assert_string_equal(e.grant->policy->party_roles[0], "auditor");
	assert_int_equal(e.grant->policy->n_party_models, 0);
	ruled(e, "base/2", 1);
	ruled(ask_about(AG_MSG_PRINCIPAL_SUSPEND, f->admin, "carol"), NULL, 1);
	/* Of nobody: said to be unknown, and found out after the rules. */
	e = ask_about(AG_MSG_PRINCIPAL_SUSPEND, f->admin, "nobody");
	assert_int_equal(e.err, AG_ITEM_NOT_FOUND);
	assert_true(e.grant->policy->unknown);
	ended_free(&e);
	free(bob);
	agent_free(&a);
	agent_free(&b);
	agent_free(&below);
}

/* The set in force is kept compiled, for each tenant and version of its own: the
 * first request after a change meets the new one, and no other tenant does. */
static void
test_changes_are_seen_at_once(void **state)
{
	static const char *const texts[] = { ALL,
		"forbid (principal, action, resource);" };
	char *acme = tenant_of(f, "acme");

	key(f, "acme", "key_00000000000000000000000000000020", "invoice", NULL,
	    NULL, false);
	for (uint64_t i = 0; i < 50; i++) {
		expect(put(f->admin, "base", texts[i % 2]), AG_OK, NULL);
		if (i > 0)
			ruled(sign(f, acme, "invoice"), i % 2 == 0 ? NULL :
			    "base/0", i);
		ruled(sign(f, f->admin, "invoice"), i % 2 == 0 ? NULL : "base/0",
		    i + 1);
		expect(put(acme, "base", texts[1 - i % 2]), AG_OK, NULL);
		ruled(sign(f, f->admin, "invoice"), i % 2 == 0 ? NULL : "base/0",
		    i + 1);
		ruled(sign(f, acme, "invoice"), i % 2 == 0 ? "base/0" : NULL,
		    i + 1);
	}
	free(acme);
}

/* Pages of documents and of versions, in their order, none twice. */
static void
test_pages(void **state)
{
	static const char *const names[] = { "a", "b", "c" };
	Ag__PageAsk ask = AG__PAGE_ASK__INIT;
	char *cursor = NULL;

	for (int i = 0; i < 3; i++)
		expect(put(f->admin, names[2 - i], ALL), AG_OK, NULL);
	ask.has_limit = true;
	ask.limit = 1;
	for (int i = 0; i < 3; i++) {
		struct ended e;
		Ag__PolicyListReply *reply;

		ask.cursor = cursor;
		e = request(f, AG_MSG_POLICY_LIST, ASK(.token = f->admin), &ask);
		reply = e.reply;
		assert_int_equal(e.err, AG_OK);
		assert_int_equal(reply->n_items, 1);
		assert_string_equal(reply->items[0]->name, names[i]);
		assert_null(reply->items[0]->text);
		free(cursor);
		cursor = reply->next_cursor == NULL ? NULL :
		    strdup(reply->next_cursor);
		assert_int_equal(cursor != NULL, i < 2);
		ended_free(&e);
	}
	for (int i = 0; i < 2; i++)
		expect(put(f->admin, "a", ALL), AG_OK, NULL);
	for (uint64_t v = 3; v > 0; v--) {
		struct ended e;
		Ag__PolicyListReply *reply;

		ask.cursor = cursor;
		e = request(f, AG_MSG_POLICY_VERSIONS, ASK(.token = f->admin,
		    .selector = "a"), &ask);
		reply = e.reply;
		assert_int_equal(e.err, AG_OK);
		assert_int_equal(reply->n_items, 1);
		assert_int_equal(reply->items[0]->version, v);
		free(cursor);
		cursor = reply->next_cursor == NULL ? NULL :
		    strdup(reply->next_cursor);
		assert_int_equal(cursor != NULL, v > 1);
		ended_free(&e);
	}
	ask.cursor = (char *)"no cursor";
	expect(request(f, AG_MSG_POLICY_LIST, ASK(.token = f->admin), &ask),
	    AG_INVALID_FIELD, NULL);
	expect(request(f, AG_MSG_POLICY_VERSIONS, ASK(.token = f->admin,
	    .selector = "a"), &ask), AG_INVALID_FIELD, NULL);
	expect(request(f, AG_MSG_POLICY_VERSIONS, ASK(.token = f->admin,
	    .selector = "none"), NULL), AG_ITEM_NOT_FOUND, NULL);
}

/* The append of what was asked for as the journal gets it; it is refused. */
static void
kept_is(uint16_t op, const void *ask, const char *text)
{
	const Ag__JournalAppendAsk *append;
	const struct ag_kit_sent *sent = NULL;
	Ag__OutcomeEvent *kept;
	Ag__Policy *told;
	struct ended e = { 0 };
	uint8_t id[16];

	deliver(f, op, &ASK(.token = f->admin, .selector = "base"), ask, id);
	from_risk(f, ag_kit_find(f->kit, op));
	for (int i = 0; sent == NULL && i < 10; i++) {
		ag_kit_work(f->kit); /* compiled */
		sent = ag_kit_find(f->kit, AG_MSG_JOURNAL_APPEND_ASK);
	}
	assert_non_null(sent);
	append = sent->body;
	kept = ag__outcome_event__unpack(NULL, append->outcome.len,
	    append->outcome.data);
	assert_non_null(kept);
	assert_int_equal(kept->reply_type, op);
	told = ag__policy__unpack(NULL, kept->reply.len, kept->reply.data);
	assert_non_null(told);
	assert_string_equal(told->name, "base");
	assert_int_equal(told->policy_version, 3);
	if (text == NULL)
		assert_null(told->text);
	else
		assert_string_equal(told->text, text);
	ag__policy__free_unpacked(told, NULL);
	ag__outcome_event__free_unpacked(kept, NULL);
	ag_kit_answer_error(f->kit, sent, AG_UNAVAILABLE, NULL);
	play(f, op, &e);
	ended_free(&e);
}

/* Found by reading: the record that the journal keeps of a change had no text, so
 * one that was told again from there left the log without what decides since. */
static void
test_the_journal_keeps_what_the_record_needs(void **state)
{
	Ag__PolicySetAsk set = AG__POLICY_SET_ASK__INIT;
	Ag__PolicyDeleteAsk gone = AG__POLICY_DELETE_ASK__INIT;
	Ag__PolicyRollbackAsk back = AG__POLICY_ROLLBACK_ASK__INIT;

	expect(put(f->admin, "base", ALL), AG_OK, NULL);
	expect(put(f->admin, "base", ALL " " ALL), AG_OK, NULL);
	set.text = (char *)ALL " " ALL " " ALL;
	kept_is(AG_MSG_POLICY_SET, &set, set.text);
	back.version = 1;
	back.reason = (char *)"because";
	kept_is(AG_MSG_POLICY_ROLLBACK, &back, ALL);
	gone.reason = (char *)"because";
	kept_is(AG_MSG_POLICY_DELETE, &gone, NULL);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(test_life), T(test_refused), T(test_versions_are_bounded),
		T(test_long_versions), T(test_state_of_a_key),
		T(test_the_floor_stays), T(test_keys), T(test_tenants),
		T(test_restart), T(test_nobody_is_locked_out),
		T(test_about_parties), T(test_pages),
		T(test_changes_are_seen_at_once),
		T(test_the_journal_keeps_what_the_record_needs),
	};

	return cmocka_run_group_tests_name("iam_policies", tests, NULL, NULL);
}
