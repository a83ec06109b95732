/* SPDX-License-Identifier: Apache-2.0 */
/* max_uses: counted exactly while iam lives, never exceeded, whatever crashes;
 * and like, which copies the rest. */
#include "iam_fleet.h"

#include "iam.h"

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

static struct agent
limited(const char *by, uint64_t max_uses, unsigned max_depth)
{
	char *scopes[] = { (char *)"key:invoice:sign" };
	Ag__AgentIssueAsk ask = agent_ask(scopes, 1);
	Ag__AgentIssueReply *reply;
	struct agent a;
	struct ended e;

	ask.max_depth = max_depth;
	ask.has_max_uses = max_uses > 0;
	ask.max_uses = max_uses;
	e = request(f, AG_MSG_AGENT_ISSUE, ASK(.token = by), &ask);
	assert_int_equal(e.err, AG_OK);
	reply = e.reply;
	a.id = strdup(reply->agent_id);
	a.token = strdup(reply->token);
	a.jti = strdup(reply->jti);
	ended_free(&e);
	return a;
}

/* How many of n calls pass. */
static unsigned
calls(const struct agent *a, unsigned n)
{
	unsigned passed = 0;

	while (n-- > 0) {
		struct ended e = sign(f, a->token, "invoice");

		if (e.passed)
			passed++;
		else
			assert_int_equal(e.err, AG_USAGE_LIMIT_EXCEEDED);
		ended_free(&e);
	}
	return passed;
}

static void
test_exactly(void **state)
{
	static const unsigned bounds[] = { 1, 2, 15, 16, 17, 33, 100 };

	for (unsigned i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
		struct agent a = limited(f->admin, bounds[i], 0);

		assert_int_equal(calls(&a, bounds[i] + 5), bounds[i]);
		expect(sign(f, a.token, "invoice"), AG_USAGE_LIMIT_EXCEEDED,
		    "max_uses");
		agent_free(&a);
	}
}

/* What was refused before is no use. */
static void
test_refused_is_no_use(void **state)
{
	struct agent a = limited(f->admin, 2, 0);

	for (int i = 0; i < 5; i++)
		expect(request(f, AG_MSG_PRINCIPAL_READ, ASK(.token = a.token,
		    .selector = "admin"), NULL), AG_PERMISSION_DENIED,
		    "scope_missing");
	assert_int_equal(calls(&a, 5), 2);
	agent_free(&a);
}

static void
test_batch_counts_items(void **state)
{
	struct agent a = limited(f->admin, 10, 0);
	Ag__BatchAsk ask = AG__BATCH_ASK__INIT;
	struct asking as = ASK(.token = a.token, .selector = "invoice",
	    .scope_op = "sign", .items = 7);

	ask.operation = AG__USAGE__V__sign;
	expect(request(f, AG_MSG_KEY_BATCH, as, &ask), AG_OK, NULL);
	expect(request(f, AG_MSG_KEY_BATCH, as, &ask), AG_USAGE_LIMIT_EXCEEDED,
	    "max_uses");
	assert_int_equal(calls(&a, 5), 3);
	agent_free(&a);
}

/* An agent does not issue its way out of its bound. */
static void
test_those_below_use_it_up(void **state)
{
	struct agent top = limited(f->admin, 6, 2);
	struct agent below = limited(top.token, 100, 1); /* one use of top */
	struct agent last = limited(below.token, 0, 0);  /* and one of both */

	assert_int_equal(calls(&last, 10), 4);
	assert_int_equal(calls(&below, 3), 0);
	assert_int_equal(calls(&top, 3), 0);
	agent_free(&top);
	agent_free(&below);
	agent_free(&last);
}

/* Many at once, while the journal has not answered: all wait, none is lost,
 * and no more pass than may. */
static void
test_waits_for_the_journal(void **state)
{
	struct agent a = limited(f->admin, 3, 0);
	struct asking as = ASK(.token = a.token, .selector = "invoice");
	Ag__SignAsk ask = sign_ask();
	uint8_t id[AG_UUID_BYTES];
	const struct ag_kit_sent *sent;
	unsigned passed = 0, refused = 0;

	for (int i = 0; i < 8; i++)
		deliver(f, AG_MSG_KEY_SIGN, &as, &ask, id);
	for (int i = 0; i < 8; i++)
		while (ag_kit_journal(f->kit))
			continue;
	while ((sent = ag_kit_next(f->kit)) != NULL) {
		if (sent->type == AG_MSG_KEY_SIGN)
			passed++;
		if (sent->type == AG_MSG_OUTCOME_EVENT)
			refused++;
	}
	assert_int_equal(passed, 3);
	assert_int_equal(refused, 5);
	agent_free(&a);
}

static void
test_without_journal_none(void **state)
{
	struct agent a = limited(f->admin, 3, 0);
	struct asking as = ASK(.token = a.token, .selector = "invoice");
	Ag__SignAsk ask = sign_ask();
	uint8_t id[AG_UUID_BYTES];
	const struct ag_kit_sent *sent;
	unsigned passed = 0, refused = 0;

	deliver(f, AG_MSG_KEY_SIGN, &as, &ask, id);
	ag_kit_advance(f->kit, 10000);
	while ((sent = ag_kit_next(f->kit)) != NULL) {
		passed += sent->type == AG_MSG_KEY_SIGN;
		refused += sent->type == AG_MSG_OUTCOME_EVENT;
	}
	assert_int_equal(passed, 0);
	assert_true(refused >= 1);
	agent_free(&a);
}

/* After a crash no more is left than there was. */
static void
test_restart(void **state)
{
	char dir[] = "/tmp/aegis-iam-XXXXXX", command[64];
	EVP_PKEY *issuer = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	struct fleet *was = f;
	struct agent one, many;
	struct iam *iam;
	uint64_t used;

	assert_non_null(mkdtemp(dir));
	EVP_PKEY_up_ref(issuer);
	f = fleet_on(NULL, dir, issuer);
	key(f, "default", INVOICE, "invoice", NULL, NULL, false);
	one = limited(f->admin, 5, 0);
	many = limited(f->admin, 160, 0);
	assert_int_equal(calls(&one, 2), 2);
	assert_int_equal(calls(&many, 41), 41);
	fleet_free(f);
	f = fleet_on(NULL, dir, issuer);
	iam = ag_kit_state(f->kit);
	/* In blocks of one: exact. */
	assert_int_equal(iam_node_find(iam, one.id)->used, 2);
	/* A sixteenth at most was lost, and none came back. */
	used = iam_node_find(iam, many.id)->used;
	assert_true(used >= 41 && used < 41 + 10);
	assert_int_equal(iam_node_find(iam, many.id)->reserved, used);
	fleet_free(f);
	f = was;
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
	agent_free(&one);
	agent_free(&many);
}

/* Another node of the same journal sets uses aside: they are not this one's. */
static void
elsewhere(const struct agent *a, uint64_t version, uint64_t reserved_to)
{
	Ag__AgentUsesFact uses = AG__AGENT_USES_FACT__INIT;
	char stream[64];
	struct ag_fact_record r = { .seq = 2000000 + version,
		.version = version, .stream = stream,
		.type = AG_MSG_AGENT_USES_FACT, .fact = &uses,
		.committed_at = ag_kit_now(f->kit), .tenant = "default",
		.author = "00c0ffee/iam" };

	uses.agent_id = a->id;
	uses.reserved_to = reserved_to;
	uses.at = ag_kit_now(f->kit);
	snprintf(stream, sizeof(stream), "uses:%s", a->id);
	assert_int_equal(ag_actor_iam.apply(ag_kit_state(f->kit),
	    ag_kit_ctx(f->kit), &r), AG_OK);
}

static void
test_other_nodes_uses(void **state)
{
	struct agent a = limited(f->admin, 100, 0);
	const struct iam_node *node;

	/* What this node had set aside it still has: five of its block of six. */
	assert_int_equal(calls(&a, 1), 1);
	node = iam_node_find(ag_kit_state(f->kit), a.id);
	assert_int_equal(node->reserved, 6);
	elsewhere(&a, 2, 56);
	assert_int_equal(node->used, 51);
	assert_int_equal(calls(&a, 5), 5);
	assert_int_equal(node->used, node->reserved);
	/* A record that comes twice counts once. */
	elsewhere(&a, 2, 56);
	assert_int_equal(node->used, 56);
	/* And when the other has set the rest aside, nothing is left here. */
	elsewhere(&a, 3, 100);
	assert_int_equal(calls(&a, 3), 0);
	agent_free(&a);
}

/* A leftover: label, scopes, model, purpose and networks, not the bound. */
static void
test_like(void **state)
{
	char *scopes[] = { (char *)"key:invoice:sign" };
	char *networks[] = { (char *)"10.0.0.0/8", (char *)"2001:db8::/32" };
	Ag__AgentIssueAsk ask = agent_ask(scopes, 1), again =
	    AG__AGENT_ISSUE_ASK__INIT;
	Ag__Agent *view;
	struct ended e;
	char *id;

	ask.source_cidrs = networks;
	ask.n_source_cidrs = 2;
	ask.purpose = (char *)"invoices";
	e = request(f, AG_MSG_AGENT_ISSUE, ASK(.token = f->admin), &ask);
	id = strdup(((Ag__AgentIssueReply *)e.reply)->agent_id);
	ended_free(&e);
	expect(request(f, AG_MSG_AGENT_ISSUE, ASK(.token = f->admin), &again),
	    AG_INVALID_FIELD, "missing");
	again.like = id;
	expect(request(f, AG_MSG_AGENT_ISSUE, ASK(.token = f->admin), &again),
	    AG_ILLEGAL_OPERATION, "transition");
	because(f, AG_MSG_AGENT_REVOKE, f->admin, id, AG_OK, NULL);
	later(f, 3700 * 1000); /* it left memory long ago */
	e = request(f, AG_MSG_AGENT_ISSUE, ASK(.token = f->admin), &again);
	assert_int_equal(e.err, AG_OK);
	free(id);
	id = strdup(((Ag__AgentIssueReply *)e.reply)->agent_id);
	ended_free(&e);
	e = request(f, AG_MSG_AGENT_READ, ASK(.token = f->admin, .selector = id),
	    NULL);
	view = e.reply;
	assert_string_equal(view->label, "claude");
	assert_string_equal(view->model, "model-x");
	assert_string_equal(view->purpose, "invoices");
	assert_string_equal(view->scopes[0], scopes[0]);
	assert_int_equal(view->n_source_cidrs, 2);
	assert_string_equal(view->source_cidrs[1], networks[1]);
	ended_free(&e);
	free(id);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_exactly),
		TEST(test_refused_is_no_use),
		TEST(test_batch_counts_items),
		TEST(test_those_below_use_it_up),
		TEST(test_waits_for_the_journal),
		TEST(test_without_journal_none),
		TEST(test_restart),
		TEST(test_other_nodes_uses),
		TEST(test_like),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
