/* SPDX-License-Identifier: Apache-2.0 */
/* Agents and tokens that ended: they leave memory, and everything that could
 * be asked about them still can. */
#include "iam_fleet.h"

#include "iam.h"

enum { KEPT_MS = 60 * 1000, SOON_MS = 5 * 1000 };

#define CONFIG "limits: {ended_kept_s: 60, tenant: {agents: 9, tokens: 3}}\n"

static struct fleet *f;

static int
setup(void **state)
{
	f = fleet_new(CONFIG);
	return 0;
}

static int
teardown(void **state)
{
	fleet_free(f);
	return 0;
}

static bool
in_memory(const char *id)
{
	return iam_node_find(ag_kit_state(f->kit), id) != NULL;
}

static Ag__Agent *
view_of(const char *id, struct ended *e)
{
	*e = request(f, AG_MSG_AGENT_READ, ASK(.token = f->admin,
	    .selector = id), NULL);
	assert_int_equal(e->err, AG_OK);
	return e->reply;
}

static void
same_view(const Ag__Agent *a, const Ag__Agent *b)
{
	uint8_t *bytes[2];
	size_t len[2] = { ag__agent__get_packed_size(a),
		ag__agent__get_packed_size(b) };

	assert_int_equal(len[0], len[1]);
	bytes[0] = malloc(len[0]);
	bytes[1] = malloc(len[1]);
	ag__agent__pack(a, bytes[0]);
	ag__agent__pack(b, bytes[1]);
	assert_memory_equal(bytes[0], bytes[1], len[0]);
	free(bytes[0]);
	free(bytes[1]);
}

static void
test_leaves_and_is_read(void **state)
{
	struct agent top = agent_of(f, f->admin, "key:x:sign", 1);
	struct agent below = agent_of(f, top.token, "key:x:sign", 0);
	struct ended before, after;
	Ag__Agent *was, *is;

	because(f, AG_MSG_AGENT_REVOKE, f->admin, top.id, AG_OK, NULL);
	was = view_of(below.id, &before);
	assert_string_equal(was->state, "revoked");
	assert_string_equal(was->revoke_reason, "because");
	later(f, KEPT_MS - SOON_MS);
	assert_true(in_memory(top.id));
	later(f, 2 * SOON_MS);
	assert_false(in_memory(top.id));
	assert_false(in_memory(below.id));
	is = view_of(below.id, &after);
	same_view(was, is);
	assert_int_equal(is->n_chain, 3);
	assert_true(in_memory(top.id)); /* with the links above it */
	ended_free(&before);
	ended_free(&after);
	because(f, AG_MSG_AGENT_SUSPEND, f->admin, top.id, AG_ILLEGAL_OPERATION,
	    "transition");
	because(f, AG_MSG_AGENT_REVOKE, f->admin, top.id, AG_OK, NULL);
	expect(sign(f, below.token, "x"), AG_UNAUTHENTICATED, "token_revoked");
	later(f, 4 * SOON_MS);
	assert_false(in_memory(top.id));
	expect(sign(f, below.token, "x"), AG_UNAUTHENTICATED, "token_revoked");
	agent_free(&top);
	agent_free(&below);
}

static void
test_of_others_nothing(void **state)
{
	struct agent a = agent_of(f, f->admin, "key:x:sign", 0);
	char *other = tenant_of(f, "acme");

	because(f, AG_MSG_AGENT_REVOKE, f->admin, a.id, AG_OK, NULL);
	later(f, KEPT_MS + SOON_MS);
	assert_false(in_memory(a.id));
	expect(request(f, AG_MSG_AGENT_READ, ASK(.token = other,
	    .selector = a.id), NULL), AG_ITEM_NOT_FOUND, NULL);
	assert_false(in_memory(a.id));
	expect(request(f, AG_MSG_AGENT_READ, ASK(.token = f->admin,
	    .selector = "agt_"), NULL), AG_ITEM_NOT_FOUND, NULL);
	free(other);
	agent_free(&a);
}

/* What left makes room. */
static void
test_quota_is_given_back(void **state)
{
	struct agent a[9];
	char *scopes[] = { (char *)"key:x:sign" };
	Ag__AgentIssueAsk ask = agent_ask(scopes, 1);
	struct ended e;

	for (int i = 0; i < 9; i++)
		a[i] = agent_of(f, f->admin, "key:x:sign", 0);
	because(f, AG_MSG_AGENT_REVOKE, f->admin, a[0].id, AG_OK, NULL);
	expect(request(f, AG_MSG_AGENT_ISSUE, ASK(.token = f->admin), &ask),
	    AG_RATE_LIMITED, "account");
	later(f, KEPT_MS + SOON_MS);
	expect(request(f, AG_MSG_AGENT_ISSUE, ASK(.token = f->admin), &ask),
	    AG_OK, NULL);
	/* One that is looked at again takes no room. */
	view_of(a[0].id, &e);
	ended_free(&e);
	because(f, AG_MSG_AGENT_REVOKE, f->admin, a[1].id, AG_OK, NULL);
	later(f, KEPT_MS + SOON_MS);
	view_of(a[0].id, &e);
	ended_free(&e);
	expect(request(f, AG_MSG_AGENT_ISSUE, ASK(.token = f->admin), &ask),
	    AG_OK, NULL);
	expect(request(f, AG_MSG_AGENT_ISSUE, ASK(.token = f->admin), &ask),
	    AG_RATE_LIMITED, "account");
	for (int i = 0; i < 9; i++)
		agent_free(&a[i]);
}

static unsigned
pages(const char *state, unsigned limit, char ids[][AG_ID_SIZE])
{
	Ag__AgentListAsk ask = AG__AGENT_LIST_ASK__INIT;
	char *cursor = NULL;
	unsigned count = 0;

	ask.state = (char *)state;
	ask.has_limit = true;
	ask.limit = limit;
	do {
		struct ended e;
		Ag__AgentListReply *reply;

		ask.cursor = cursor;
		e = request(f, AG_MSG_AGENT_LIST, ASK(.token = f->admin), &ask);
		assert_int_equal(e.err, AG_OK);
		reply = e.reply;
		assert_true(reply->n_items <= limit);
		for (size_t i = 0; i < reply->n_items; i++)
			strcpy(ids[count++], reply->items[i]->id);
		free(cursor);
		cursor = reply->next_cursor == NULL ? NULL :
		    strdup(reply->next_cursor);
		ended_free(&e);
	} while (cursor != NULL);
	return count;
}

/* Pages go through those in memory and those that left it, in one order. */
static void
test_listed(void **state)
{
	char ids[16][AG_ID_SIZE];
	struct agent a[7];
	struct ended e;

	for (int i = 0; i < 7; i++) {
		a[i] = agent_of(f, f->admin, "key:x:sign", 0);
		later(f, 2); /* ids of one millisecond have no order */
		if (i % 2 == 0)
			because(f, AG_MSG_AGENT_REVOKE, f->admin, a[i].id, AG_OK,
			    NULL);
		if (i == 3)
			later(f, KEPT_MS + SOON_MS);
	}
	assert_false(in_memory(a[2].id));
	for (unsigned limit = 1; limit < 9; limit++) {
		assert_int_equal(pages(NULL, limit, ids), 7);
		for (int i = 0; i < 7; i++)
			assert_string_equal(ids[i], a[i].id);
	}
	view_of(a[2].id, &e); /* in memory again, and still listed once */
	ended_free(&e);
	assert_int_equal(pages("revoked", 3, ids), 4);
	assert_string_equal(ids[1], a[2].id);
	assert_int_equal(pages("live", 3, ids), 3);
	assert_int_equal(pages("expired", 3, ids), 0);
	for (int i = 0; i < 7; i++)
		agent_free(&a[i]);
}

static void
counted(const char *id, Ag__OutcomeKind__V outcome)
{
	static uint64_t pos;
	Ag__Event event = AG__EVENT__INIT;
	Ag__EventActor actor = AG__EVENT_ACTOR__INIT;

	event.event_id = (char *)"evt_1";
	event.tenant = (char *)"default";
	event.event_type = AG__EVENT_TYPE__V__request;
	event.occurred_at = ag_kit_now(f->kit);
	event.operation = (char *)"key.sign";
	event.outcome = outcome;
	actor.id = (char *)id;
	event.actor = &actor;
	assert_int_equal(ag_kit_audit(f->kit, &event, ++pos), AG_OK);
}

/* The audit log may be behind. */
static void
test_counts_go_on(void **state)
{
	struct agent a = agent_of(f, f->admin, "key:x:sign", 0);
	struct ended e;
	Ag__Agent *view;

	counted(a.id, AG__OUTCOME_KIND__V__allowed);
	because(f, AG_MSG_AGENT_REVOKE, f->admin, a.id, AG_OK, NULL);
	later(f, KEPT_MS + SOON_MS);
	assert_false(in_memory(a.id));
	counted(a.id, AG__OUTCOME_KIND__V__allowed);
	counted(a.id, AG__OUTCOME_KIND__V__denied);
	view_of(a.id, &e);
	ended_free(&e);
	counted(a.id, AG__OUTCOME_KIND__V__denied); /* while recalled */
	view = view_of(a.id, &e);
	assert_int_equal(view->allowed_count, 2);
	assert_int_equal(view->refused_count, 2);
	ended_free(&e);
	later(f, 4 * SOON_MS);
	assert_false(in_memory(a.id));
	view = view_of(a.id, &e);
	assert_int_equal(view->refused_count, 2);
	ended_free(&e);
	agent_free(&a);
}

static unsigned
expiries_said(const char *id)
{
	const struct ag_kit_sent *sent;
	unsigned n = 0;

	while ((sent = ag_kit_next(f->kit)) != NULL) {
		const Ag__OutcomeEvent *out = sent->body;

		if (sent->type == AG_MSG_OUTCOME_EVENT && out->operation != NULL &&
		    strcmp(out->operation, "agent.expire") == 0 &&
		    strcmp(out->resource_id, id) == 0) {
			assert_string_equal(out->event_id + 4, id + 4);
			assert_true(out->has_journal_seq);
			n++;
		}
	}
	return n;
}

static void
test_expiry_is_a_fact(void **state)
{
	struct agent a = agent_of(f, f->admin, "key:x:sign", 0);
	struct agent b = agent_of(f, f->admin, "key:x:sign", 0);
	struct ended e;
	Ag__Agent *view;

	because(f, AG_MSG_AGENT_REVOKE, f->admin, b.id, AG_OK, NULL);
	later(f, 3600 * 1000 + SOON_MS);
	assert_int_equal(expiries_said(a.id), 1);
	view = view_of(a.id, &e);
	assert_string_equal(view->state, "expired");
	assert_int_equal(view->revision, 2);
	assert_false(view->has_revoked_at);
	ended_free(&e);
	later(f, KEPT_MS + SOON_MS);
	assert_false(in_memory(a.id));
	assert_int_equal(expiries_said(a.id), 0);
	view = view_of(a.id, &e);
	assert_string_equal(view->state, "expired");
	ended_free(&e);
	/* Its signature says so without us. */
	expect(sign(f, a.token, "x"), AG_UNAUTHENTICATED, "token_expired");
	/* Who was revoked does not expire. */
	view = view_of(b.id, &e);
	assert_string_equal(view->state, "revoked");
	assert_int_equal(view->revision, 2);
	ended_free(&e);
	agent_free(&a);
	agent_free(&b);
}

/* The journal was away: said later, and still once. */
static void
test_expiry_waits_for_the_journal(void **state)
{
	struct agent a = agent_of(f, f->admin, "key:x:sign", 0);
	struct iam *iam = ag_kit_state(f->kit);
	const struct ag_kit_sent *sent;

	later(f, 3600 * 1000 - SOON_MS);
	ag_kit_advance(f->kit, 2 * SOON_MS);
	while ((sent = ag_kit_next(f->kit)) != NULL)
		if (sent->type == AG_MSG_JOURNAL_APPEND_ASK)
			ag_kit_answer_error(f->kit, sent, AG_UNAVAILABLE,
			    "journal");
	assert_false(iam_node_find(iam, a.id)->expired);
	later(f, SOON_MS);
	assert_true(iam_node_find(iam, a.id)->expired);
	assert_int_equal(iam->expiring, 0);
	assert_int_equal(expiries_said(a.id), 1);
	agent_free(&a);
}

static void
test_state_fact_brings_back(void **state)
{
	struct agent a = agent_of(f, f->admin, "key:x:sign", 0);
	Ag__AgentStateFact late = AG__AGENT_STATE_FACT__INIT;
	char stream[64];
	struct ended e;
	Ag__Agent *view;

	later(f, 3600 * 1000 + KEPT_MS + SOON_MS);
	assert_false(in_memory(a.id));
	late.agent_id = a.id;
	late.state = (char *)"revoked";
	late.reason = (char *)"after all";
	late.at = ag_kit_now(f->kit);
	snprintf(stream, sizeof(stream), "agent:%s", a.id);
	fact(f, stream, 3, AG_MSG_AGENT_STATE_FACT, &late);
	fact(f, stream, 3, AG_MSG_AGENT_STATE_FACT, &late);
	view = view_of(a.id, &e);
	assert_string_equal(view->state, "revoked");
	assert_string_equal(view->revoke_reason, "after all");
	ended_free(&e);
	later(f, KEPT_MS + SOON_MS);
	assert_false(in_memory(a.id));
	view = view_of(a.id, &e);
	assert_string_equal(view->state, "revoked");
	ended_free(&e);
	agent_free(&a);
}

static void
old_agent(const char *parent, unsigned i)
{
	Ag__AgentIssuedFact issued = AG__AGENT_ISSUED_FACT__INIT;
	Ag__AgentStateFact expired = AG__AGENT_STATE_FACT__INIT;
	Ag__Agent agent = AG__AGENT__INIT;
	char id[AG_ID_SIZE], jti[AG_ID_SIZE], stream[64];

	snprintf(id, sizeof(id), "agt_%032x", i);
	snprintf(jti, sizeof(jti), "jti-%u", i);
	snprintf(stream, sizeof(stream), "agent:%s", id);
	issued.agent = &agent;
	agent.id = expired.agent_id = id;
	agent.label = (char *)"old";
	agent.tenant = (char *)"default";
	agent.state = (char *)"live";
	agent.parent = agent.root = (char *)parent;
	agent.jti = jti;
	agent.issued_at = 1;
	agent.expires_at = expired.at = 1000;
	expired.state = (char *)"expired";
	expired.reason = (char *)"its time is over";
	fact(f, stream, 1, AG_MSG_AGENT_ISSUED_FACT, &issued);
	fact(f, stream, 2, AG_MSG_AGENT_STATE_FACT, &expired);
}

/* A journal with more agents than memory may hold is read all the same. */
static void
test_long_journal(void **state)
{
	struct iam *iam = ag_kit_state(f->kit);
	struct iam_node *admin = iam_principal_find(iam,
	    iam_tenant_find(iam, "default"), "admin");
	struct ended e;

	iam->ready = false;
	for (unsigned i = 1; i <= 5000; i++)
		old_agent(admin->id, i);
	assert_true(iam->agents.count < 2500);
	/* Read again from its start: nothing is there twice. */
	old_agent(admin->id, 17);
	assert_false(in_memory("agt_00000000000000000000000000000011"));
	iam->ready = true;
	view_of("agt_00000000000000000000000000000011", &e);
	ended_free(&e);
}

static unsigned
token_count(struct ended *e)
{
	Ag__PageAsk ask = AG__PAGE_ASK__INIT;

	*e = request(f, AG_MSG_TOKEN_LIST, ASK(.token = f->admin,
	    .selector = "admin"), &ask);
	assert_int_equal(e->err, AG_OK);
	return (unsigned)((Ag__TokenListReply *)e->reply)->n_items;
}

static void
test_tokens(void **state)
{
	Ag__TokenIssueAsk ask = AG__TOKEN_ISSUE_ASK__INIT;
	struct asking a = ASK(.token = f->admin, .selector = "admin");
	struct ended e = request(f, AG_MSG_TOKEN_ISSUE, a, &ask);
	char *jti = strdup(((Ag__TokenIssueReply *)e.reply)->jti);
	char *text = strdup(((Ag__TokenIssueReply *)e.reply)->token);
	Ag__TokenListReply *list;

	ended_free(&e);
	expect(sign(f, text, "x"), AG_ITEM_NOT_FOUND, NULL); /* and cached */
	expect(request(f, AG_MSG_TOKEN_ISSUE, a, &ask), AG_OK, NULL);
	expect(request(f, AG_MSG_TOKEN_ISSUE, a, &ask), AG_RATE_LIMITED,
	    "account");
	because(f, AG_MSG_TOKEN_REVOKE, f->admin, jti, AG_OK, NULL);
	later(f, KEPT_MS + 40 * 1000);
	assert_null(iam_token_find(ag_kit_state(f->kit), jti));
	expect(sign(f, text, "x"), AG_UNAUTHENTICATED, "token_revoked");
	expect(request(f, AG_MSG_TOKEN_ISSUE, a, &ask), AG_OK, NULL);
	assert_int_equal(token_count(&e), 4);
	list = e.reply;
	for (size_t i = 0; i + 1 < list->n_items; i++)
		assert_true(strcmp(list->items[i]->jti,
		    list->items[i + 1]->jti) < 0);
	assert_string_equal(list->items[1]->jti, jti);
	assert_true(list->items[1]->has_revoked_at);
	assert_true(list->items[1]->has_last_used_at);
	ended_free(&e);
	free(jti);
	free(text);
}

/* The snapshot has them. */
static void
test_restart(void **state)
{
	char dir[] = "/tmp/aegis-iam-XXXXXX", command[64];
	EVP_PKEY *issuer = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	struct fleet *was = f;
	struct agent a;
	struct ended e;

	assert_non_null(mkdtemp(dir));
	EVP_PKEY_up_ref(issuer);
	f = fleet_on(CONFIG, dir, issuer);
	a = agent_of(f, f->admin, "key:x:sign", 0);
	because(f, AG_MSG_AGENT_REVOKE, f->admin, a.id, AG_OK, NULL);
	later(f, KEPT_MS + SOON_MS);
	fleet_free(f);
	f = fleet_on(CONFIG, dir, issuer);
	assert_false(in_memory(a.id));
	assert_string_equal(view_of(a.id, &e)->state, "revoked");
	ended_free(&e);
	fleet_free(f);
	f = was;
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
	agent_free(&a);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_leaves_and_is_read),
		TEST(test_of_others_nothing),
		TEST(test_quota_is_given_back),
		TEST(test_listed),
		TEST(test_counts_go_on),
		TEST(test_expiry_is_a_fact),
		TEST(test_expiry_waits_for_the_journal),
		TEST(test_state_fact_brings_back),
		TEST(test_long_journal),
		TEST(test_tokens),
		TEST(test_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
