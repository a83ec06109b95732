/* SPDX-License-Identifier: Apache-2.0 */
/* More scope for a while: who may ask for what, that it counts when people agreed
 * and not before, and that it is over by itself. */
#include "iam_fleet.h"

#include "access.h"
#include "iam.h"

#define RULES "grants: {rules: [" \
	"{scope: 'key:invoice:*', group: leads, quorum: 2, ttl_max_s: 600}, " \
	"{scope: 'key:treasury:sign', group: board, ttl_max_s: 3600}]}\n"
#define APPROVAL "apr_00000000000000000000000000000001"

static struct fleet *f;
static char *bob, *token;

static int
setup(void **state)
{
	f = fleet_new(RULES);
	key(f, "default", INVOICE, "invoice", NULL, NULL, false);
	key(f, "default", TREASURY, "treasury", NULL, NULL, false);
	bob = person(f, f->admin, AG__KIND__V__human, "bob", NULL);
	token = token_of(f, f->admin, bob, NULL);
	return 0;
}

static int
teardown(void **state)
{
	free(bob);
	free(token);
	fleet_free(f);
	return 0;
}

static Ag__AccessAsk
wanted(char **scopes, size_t count, uint32_t ttl_s)
{
	Ag__AccessAsk ask = AG__ACCESS_ASK__INIT;

	ask.scopes = scopes;
	ask.n_scopes = count;
	ask.reason = (char *)"month end";
	ask.has_ttl_s = ttl_s != 0;
	ask.ttl_s = ttl_s;
	return ask;
}

/* One scope, asked for by this credential. */
static struct ended
want(const char *by, const char *scope, uint32_t ttl_s, const char *approval)
{
	char *scopes[1] = { (char *)scope };
	Ag__AccessAsk ask = wanted(scopes, 1, ttl_s);

	f->risk_waits = true;
	return request(f, AG_MSG_ACCESS_REQUEST, ASK(.token = by,
	    .approval = approval), &ask);
}

static void
refused(const char *by, const char *scope, uint32_t ttl_s, ag_err err,
    const char *reason, const char *field)
{
	struct ended e = want(by, scope, ttl_s, NULL);

	assert_int_equal(e.err, err);
	assert_string_equal(e.reason, reason);
	assert_string_equal(e.field, field);
	ended_free(&e);
}

/* Risk let it go on, and `from` sends it to iam, which executes it. */
static struct ended
execute(enum ag_role from, const Ag__AccessAsk *ask, const char *approval)
{
	const struct ag_kit_sent *sent;
	Ag__Verdict verdict = AG__VERDICT__INIT;
	struct ended e = { 0 };
	Ag__Envelope env;
	uint8_t id[AG_UUID_BYTES];

	deliver(f, AG_MSG_ACCESS_REQUEST, &ASK(.token = token,
	    .approval = approval), ask, id);
	sent = ag_kit_find(f->kit, AG_MSG_ACCESS_REQUEST);
	assert_non_null(sent);
	assert_int_equal(sent->to_role, AG_ROLE_RISK);
	verdict.decision = AG__DECISION__V__allow;
	verdict.model_version = (char *)"kit";
	env = *sent->env;
	env.verdict = &verdict;
	ag_kit_deliver(f->kit, from, 0, sent->type, &env, sent->body);
	play(f, AG_MSG_ACCESS_REQUEST, &e);
	return e;
}

/* Granted: its id. */
static char *
had(char **scopes, size_t count, uint32_t ttl_s)
{
	Ag__AccessAsk ask = wanted(scopes, count, ttl_s);
	struct ended e = execute(AG_ROLE_APPROVALS, &ask, APPROVAL);
	Ag__Access *a = e.reply;
	char *id;

	assert_int_equal(e.err, AG_OK);
	assert_non_null(a);
	assert_string_equal(a->state, "active");
	assert_string_equal(a->principal->id, bob);
	assert_string_equal(a->approval_id, APPROVAL);
	assert_int_equal(a->n_scopes, count);
	assert_int_equal(a->expires_at - a->granted_at,
	    (ttl_s == 0 ? 900 : ttl_s) * 1000);
	id = strdup(a->id);
	ended_free(&e);
	return id;
}

static void
test_what_may_be_asked_for(void **state)
{
	char *both[2] = { (char *)"key:invoice:sign", (char *)"key:treasury:sign" };
	char *many[17];
	struct agent agent;
	Ag__AccessAsk ask;
	struct ended e;

	refused(token, "key:invoice", 60, AG_INVALID_FIELD, "bad_scope",
	    "/scopes/0");
	refused(token, "key:invoice:eat", 60, AG_INVALID_FIELD, "bad_scope",
	    "/scopes/0");
	refused(token, "key:treasury:decrypt", 60, AG_PERMISSION_DENIED,
	    "no_matching_rule", "/scopes/0");
	refused(token, "key:*:sign", 60, AG_PERMISSION_DENIED,
	    "no_matching_rule", "/scopes/0");
	refused(token, "key:invoice:sign", 59, AG_INVALID_FIELD, "out_of_range",
	    "/ttl_s");
	refused(token, "key:invoice:sign", 601, AG_INVALID_FIELD, "out_of_range",
	    "/ttl_s");
	/* What is not said is 900 s, which is more than this rule gives. */
	refused(token, "key:invoice:sign", 0, AG_INVALID_FIELD, "out_of_range",
	    "/ttl_s");
	f->risk_waits = false;
	agent = agent_of(f, f->admin, "key:invoice:read", 0);
	refused(agent.token, "key:*:sign", 60, AG_INVALID_FIELD, "bad_scope",
	    "/scopes/0");
	agent_free(&agent);
	/* None, too many, and no reason. */
	ask = wanted(both, 0, 60);
	expect(request(f, AG_MSG_ACCESS_REQUEST, ASK(.token = token), &ask),
	    AG_INVALID_FIELD, "missing");
	for (size_t i = 0; i < 17; i++)
		many[i] = both[0];
	ask = wanted(many, 17, 60);
	expect(request(f, AG_MSG_ACCESS_REQUEST, ASK(.token = token), &ask),
	    AG_INVALID_FIELD, "out_of_range");
	ask = wanted(both, 1, 60);
	ask.reason = (char *)"line\nbreak";
	expect(request(f, AG_MSG_ACCESS_REQUEST, ASK(.token = token), &ask),
	    AG_INVALID_FIELD, "out_of_range");
	/* Each scope's group must agree; people see what for. */
	ask = wanted(both, 2, 60);
	e = request(f, AG_MSG_ACCESS_REQUEST, ASK(.token = token), &ask);
	assert_true(e.passed);
	assert_int_equal(e.grant->n_needs, 2);
	assert_string_equal(e.grant->needs[0]->group, "leads");
	assert_int_equal(e.grant->needs[0]->quorum, 2);
	assert_string_equal(e.grant->needs[1]->group, "board");
	assert_int_equal(e.grant->needs[1]->quorum, 1);
	assert_int_equal(e.grant->n_asked, 2);
	assert_string_equal(e.grant->asked[0]->value,
	    "key:invoice:sign key:treasury:sign");
	assert_string_equal(e.grant->asked[1]->value, "60");
	assert_string_equal(e.grant->said, "month end");
	ended_free(&e);
	expect(want(token, "key:invoice:sign", 60, "apr_x"), AG_INVALID_FIELD,
	    "wrong_type");
}

/* It is the approvals that may say that people agreed, about an approval. */
static void
test_only_by_the_approvals(void **state)
{
	char *scopes[1] = { (char *)"key:invoice:sign" };
	Ag__AccessAsk ask = wanted(scopes, 1, 60);
	struct ended e;

	expect(sign(f, token, "invoice"), AG_PERMISSION_DENIED, "scope_missing");
	expect(execute(AG_ROLE_RISK, &ask, APPROVAL), AG_PERMISSION_DENIED,
	    "no_matching_rule");
	e = execute(AG_ROLE_APPROVALS, &ask, NULL);
	assert_int_not_equal(e.err, AG_OK);
	ended_free(&e);
	expect(sign(f, token, "invoice"), AG_PERMISSION_DENIED, "scope_missing");
}

/* It counts at once, for as long as was said, and needs nobody to end it. */
static void
test_for_a_while(void **state)
{
	char *scopes[2] = { (char *)"key:invoice:sign", (char *)"key:invoice:read" };
	char *id = had(scopes, 2, 60);

	assert_memory_equal(id, "grt_", 4);
	expect(sign(f, token, "invoice"), AG_OK, NULL);
	expect(sign(f, token, "treasury"), AG_PERMISSION_DENIED, "scope_missing");
	ag_kit_advance(f->kit, 59999);
	expect(sign(f, token, "invoice"), AG_OK, NULL);
	ag_kit_advance(f->kit, 1);
	expect(sign(f, token, "invoice"), AG_PERMISSION_DENIED, "scope_missing");
	free(id);
}

static bool
one_more(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
    size_t value_len)
{
	(*(size_t *)arg)++;
	return true;
}

static size_t
rows(void)
{
	size_t n = 0;

	assert_int_equal(ag_store_scan(ag_kit_ctx(f->kit), IAM_T_ACCESS, NULL, 0,
	    one_more, &n), AG_OK);
	return n;
}

/* Who has as many as fit asks in vain, until one of them is over. */
static void
test_as_many_as_fit(void **state)
{
	char *scopes[1] = { (char *)"key:treasury:sign" };

	for (unsigned i = 0; i < 16; i++)
		free(had(scopes, 1, i == 0 ? 60 : 3600));
	assert_int_equal(rows(), 16);
	expect(want(token, "key:treasury:sign", 60, NULL), AG_RATE_LIMITED,
	    "account");
	ag_kit_advance(f->kit, 60000);
	expect(want(token, "key:treasury:sign", 60, NULL), AG_OK, NULL);
	/* The sweeper leaves no row of what is over. */
	f->risk_waits = false;
	later(f, 3600 * 1000);
	assert_int_equal(rows(), 0);
}

static size_t
listed(const char *by, const char *who, uint32_t limit, char **cursor)
{
	Ag__AccessListAsk ask = AG__ACCESS_LIST_ASK__INIT;
	Ag__AccessListReply *reply;
	struct ended e;
	size_t n;

	ask.principal = (char *)who;
	ask.has_limit = limit != 0;
	ask.limit = limit;
	ask.cursor = cursor == NULL ? NULL : *cursor;
	f->risk_waits = false;
	e = request(f, AG_MSG_ACCESS_LIST, ASK(.token = by), &ask);
	assert_int_equal(e.err, AG_OK);
	reply = e.reply;
	n = reply->n_items;
	for (size_t i = 0; i < n; i++)
		assert_string_equal(reply->items[i]->principal->id, bob);
	if (cursor != NULL) {
		free(*cursor);
		*cursor = reply->next_cursor == NULL ? NULL :
		    strdup(reply->next_cursor);
	}
	ended_free(&e);
	return n;
}

/* One's own; who may approve sees everybody's. Nothing that is over. */
static void
test_list(void **state)
{
	char *scopes[1] = { (char *)"key:treasury:sign" }, *cursor = NULL;
	char *eve = person(f, f->admin, AG__KIND__V__human, "eve", NULL);
	char *other = token_of(f, f->admin, eve, NULL);

	assert_int_equal(listed(token, NULL, 0, NULL), 0);
	for (unsigned i = 0; i < 5; i++)
		free(had(scopes, 1, i == 0 ? 60 : 3600));
	assert_int_equal(listed(token, NULL, 0, NULL), 5);
	assert_int_equal(listed(other, NULL, 0, NULL), 0);
	assert_int_equal(listed(f->admin, NULL, 0, NULL), 5);
	assert_int_equal(listed(f->admin, "bob", 0, NULL), 5);
	assert_int_equal(listed(f->admin, bob, 0, NULL), 5);
	assert_int_equal(listed(f->admin, "eve", 0, NULL), 0);
	assert_int_equal(listed(token, NULL, 2, &cursor), 2);
	assert_non_null(cursor);
	assert_int_equal(listed(token, NULL, 2, &cursor), 2);
	assert_non_null(cursor);
	assert_int_equal(listed(token, NULL, 2, &cursor), 1);
	assert_null(cursor);
	ag_kit_sleep(f->kit, 60000);
	assert_int_equal(listed(token, NULL, 0, NULL), 4);
	free(eve);
	free(other);
}

/* What another start knows of it; and what no fact may say. */
static void
test_facts(void **state)
{
	Ag__AccessFact fact = AG__ACCESS_FACT__INIT;
	Ag__Access access = AG__ACCESS__INIT;
	Ag__Link link = AG__LINK__INIT;
	char *scopes[1] = { (char *)"key:treasury:sign" };
	struct iam *iam = ag_kit_state(f->kit);
	struct iam_node *node = iam_node_find(iam, bob);

	link.id = (char *)"hum_00000000000000000000000000000009";
	access.id = (char *)"grt_00000000000000000000000000000001";
	access.state = (char *)"active";
	access.principal = &link;
	access.scopes = scopes;
	access.n_scopes = 1;
	access.reason = (char *)"x";
	access.expires_at = ag_kit_now(f->kit) + 60000;
	fact.access = &access;
	/* Of nobody that is in memory: nothing to do. */
	assert_int_equal(iam_access_take(iam, &fact), AG_OK);
	link.id = bob;
	assert_int_equal(iam_access_take(iam, &fact), AG_OK);
	assert_non_null(node->access);
	assert_int_equal(iam_access_take(iam, &fact), AG_OK); /* once */
	assert_null(node->access->next);
	access.id = (char *)"grt_00000000000000000000000000000001234567";
	assert_int_equal(iam_access_take(iam, &fact), AG_CORRUPT);
	access.id = (char *)"grt_00000000000000000000000000000002";
	scopes[0] = (char *)"no scope";
	assert_int_equal(iam_access_take(iam, &fact), AG_INVALID_FIELD);
	assert_null(node->access->next);
}

static ag_err started;

static ag_err
start(void *state, struct ag_ctx *ctx)
{
	started = iam_access_init(state, ctx);
	iam_access_fini(state);
	return AG_OK;
}

/* A rule that no scope can be read from is said at the start. */
static void
test_bad_rule(void **state)
{
	struct ag_actor actor = ag_actor_iam;
	struct ag_kit *kit;

	actor.init = start;
	actor.ready = NULL;
	actor.fini = NULL;
	kit = ag_kit_new(&actor, "grants: {rules: [{scope: key, group: a}]}\n",
	    NULL);
	ag_kit_free(&kit);
	assert_int_equal(started, AG_USAGE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_what_may_be_asked_for),
		TEST(test_only_by_the_approvals),
		TEST(test_for_a_while),
		TEST(test_as_many_as_fit),
		TEST(test_list),
		TEST(test_facts),
		cmocka_unit_test(test_bad_rule),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
