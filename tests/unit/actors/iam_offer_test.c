/* SPDX-License-Identifier: Apache-2.0 */
/* Policies of the folder that is watched: all of a change, or nothing of it. */
#include "iam_fleet.h"

#include "iam.h"

#define ALL "permit (principal, action, resource);"
#define NONE "forbid (principal, action, resource);"

static struct fleet *f;

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

/* What came of an offer. */
struct end {
	ag_err err;
	char reason[40], field[64], detail[200];
	uint32_t changed;
	Ag__OutcomeEvent *event; /* NULL: nothing changed */
};

static void
end_of(struct end *e, const struct ag_kit_sent *sent)
{
	const Ag__PolicyOfferReply *reply = sent->body;
	const Ag__ErrorReply *error = sent->body;
	const Ag__Refusal *why;

	e->err = AG_OK;
	if (sent->type == AG_MSG_POLICY_OFFER_REPLY) {
		e->changed = reply->changed;
		return;
	}
	assert_int_equal(sent->type, AG_MSG_ERROR_REPLY);
	why = error->refusal;
	e->err = (ag_err)why->err;
	snprintf(e->reason, sizeof(e->reason), "%s", why->reason_code == NULL ?
	    "" : why->reason_code);
	snprintf(e->field, sizeof(e->field), "%s", why->field == NULL ? "" :
	    why->field);
	snprintf(e->detail, sizeof(e->detail), "%s", why->detail == NULL ? "" :
	    why->detail);
}

/* Pairs of name and text (NULL: gone), NULL behind the last. */
static struct end
offer(const char *tenant, const char *const *pairs)
{
	static uint64_t n;
	Ag__Envelope env = AG__ENVELOPE__INIT;
	Ag__PolicyOfferAsk ask = AG__POLICY_OFFER_ASK__INIT;
	Ag__PolicyOfferDoc docs[80], *list[80];
	const struct ag_kit_sent *sent;
	struct end e = { .err = AG_ERR_COUNT };

	ask.tenant = (char *)tenant;
	ask.documents = list;
	for (; pairs[2 * ask.n_documents] != NULL; ask.n_documents++) {
		Ag__PolicyOfferDoc *d = list[ask.n_documents] =
		    &docs[ask.n_documents];

		ag__policy_offer_doc__init(d);
		d->name = (char *)pairs[2 * ask.n_documents];
		d->text = (char *)pairs[2 * ask.n_documents + 1];
	}
	env.has_corr = true;
	env.corr = ++n;
	ag_kit_deliver(f->kit, AG_ROLE_WATCHER, 0, AG_MSG_POLICY_OFFER_ASK,
	    &env, &ask);
	for (;;) {
		ag_kit_work(f->kit);
		while (ag_kit_journal(f->kit))
			continue;
		if ((sent = ag_kit_next(f->kit)) == NULL)
			break;
		if (sent->type == AG_MSG_OUTCOME_EVENT)
			e.event = ag__outcome_event__unpack(NULL, sent->len,
			    sent->bytes);
		else if (sent->to_role == AG_ROLE_WATCHER)
			end_of(&e, sent);
	}
	assert_int_not_equal(e.err, AG_ERR_COUNT);
	return e;
}
#define OFFER(...) \
	offer("default", (const char *const[]){ __VA_ARGS__, NULL })

static void
changed(struct end e, uint32_t count)
{
	if (e.err != AG_OK)
		print_error("%s %s %s\n", e.reason, e.field, e.detail);
	assert_int_equal(e.err, AG_OK);
	assert_int_equal(e.changed, count);
	assert_int_equal(e.event != NULL, count > 0);
	if (e.event != NULL)
		ag__outcome_event__free_unpacked(e.event, NULL);
}

static void
refused(struct end e, ag_err err, const char *reason, const char *field)
{
	assert_int_equal(e.err, err);
	assert_string_equal(e.reason, reason);
	assert_string_equal(e.field, field);
	assert_null(e.event);
}

static void
ruled(const char *rule, uint64_t version)
{
	struct ended e = sign(f, f->admin, "invoice");

	assert_int_equal(e.err, rule == NULL ? AG_OK : AG_PERMISSION_DENIED);
	if (rule != NULL)
		assert_string_equal(e.rule, rule);
	if (version > 0)
		assert_int_equal(e.grant->policy->version, version);
	ended_free(&e);
}

static struct ended
put(const char *name, const char *text)
{
	Ag__PolicySetAsk ask = AG__POLICY_SET_ASK__INIT;

	ask.text = (char *)text;
	return request(f, AG_MSG_POLICY_SET, ASK(.token = f->admin,
	    .selector = name), &ask);
}

static void
test_taken(void **state)
{
	struct end e = OFFER("base", ALL, "stop", "forbid (principal, action == "
	    "Aegis::Action::\"key.sign\", resource);");
	const Ag__OutcomeEvent *event = e.event;
	Ag__PolicyOfferReply *said;

	assert_non_null(event);
	assert_string_equal(event->operation, "policy.offer");
	assert_string_equal(event->tenant, "default");
	assert_string_equal(event->params[0]->value, "base stop");
	assert_true(event->has_journal_seq);
	said = ag__policy_offer_reply__unpack(NULL, event->reply.len,
	    event->reply.data);
	assert_non_null(said);
	assert_int_equal(said->n_changes, 2);
	assert_string_equal(said->changes[0]->text, ALL);
	assert_int_equal(said->changes[1]->policy_version, 1);
	ag__policy_offer_reply__free_unpacked(said, NULL);
	changed(e, 2);
	ruled("stop/0", 1);
	/* The same again is nothing; what is left out is gone. */
	changed(OFFER("base", ALL, "stop", "forbid (principal, action == "
	    "Aegis::Action::\"key.sign\", resource);"), 0);
	changed(OFFER("base", ALL), 1);
	ruled(NULL, 2);
	changed(OFFER("base", NONE, "more", ALL), 2);
	ruled("base/0", 3);
}

/* A bad one among good ones: nothing of it. */
static void
test_refused_whole(void **state)
{
	struct end e;

	changed(OFFER("base", ALL), 1);
	e = OFFER("base", NONE, "wrong", "permit (principal, action, "
	    "resource)\nwhen { principal.rol == 1 };");
	assert_memory_equal(e.detail, "2:", 2);
	refused(e, AG_INVALID_FIELD, "bad_policy", "wrong");
	ruled(NULL, 1);
	refused(OFFER("base", NONE, "No", ALL), AG_INVALID_FIELD, "bad_alias",
	    "/documents/1/name");
	refused(OFFER("base", NONE, "base", ALL), AG_INVALID_FIELD,
	    "conflicting_fields", "base");
	refused(offer("nobody", (const char *const[]){ "base", ALL, NULL }),
	    AG_ITEM_NOT_FOUND, "", "");
	ruled(NULL, 1);
	/* The next one is taken: nothing is left locked. */
	changed(OFFER("base", NONE), 1);
	ruled("base/0", 2);
}

static void
test_bounds(void **state)
{
	static const char *pairs[2 * 70 + 1];
	static char names[70][8], long_text[300000];
	size_t len = 0;

	for (int i = 0; i < 70; i++) {
		snprintf(names[i], sizeof(names[i]), "n%d", i);
		pairs[2 * i] = names[i];
		pairs[2 * i + 1] = ALL;
	}
	refused(offer("default", pairs), AG_INVALID_FIELD, "out_of_range", "");
	for (int i = 0; i < 1001; i++)
		len += (size_t)sprintf(long_text + len, ALL);
	pairs[1] = pairs[3] = long_text;
	pairs[4] = NULL;
	refused(offer("default", pairs), AG_RATE_LIMITED, "account", "");
	pairs[2] = NULL;
	changed(offer("default", pairs), 1);
}

/* What people put stays theirs, until the folder has one of that name. */
static void
test_beside_people(void **state)
{
	expect(put("mine", ALL), AG_OK, NULL);
	changed(OFFER("base", "forbid (principal, action == "
	    "Aegis::Action::\"key.create\", resource);"), 1);
	ruled(NULL, 2);
	expect(put("base", NONE), AG_OK, NULL);
	ruled("base/0", 3);
	changed(OFFER("base", ALL), 1);
	ruled(NULL, 4);
	changed(OFFER("other", ALL), 2); /* base is gone, mine is not */
	ruled(NULL, 5);
	changed(OFFER("other", ALL, "mine", NONE), 1);
	ruled("mine/0", 6);
	changed(OFFER("other", ALL), 1);
	ruled(NULL, 7);
}

static void
test_enforced(void **state)
{
	fleet_free(f);
	f = fleet_new("policies: {enforce: true}\n");
	key(f, "default", INVOICE, "invoice", NULL, NULL, false);
	refused(OFFER("base", ALL), AG_PERMISSION_DENIED, "signature_missing",
	    "base");
	ruled(NULL, 0); /* there never was a policy */
}

/* Only the watcher may: nobody else has the right to say it. */
static void
test_routes(void **state)
{
	for (int role = 1; role < AG_ROLE_COUNT; role++)
		assert_int_equal(ag_route_refusal((enum ag_role)role, AG_ROLE_IAM,
		    AG_MSG_POLICY_OFFER_ASK) == NULL, role == AG_ROLE_WATCHER);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(test_taken), T(test_refused_whole), T(test_bounds),
		T(test_beside_people), T(test_enforced), T(test_routes),
	};

	return cmocka_run_group_tests_name("iam_offer", tests, NULL, NULL);
}
