/* SPDX-License-Identifier: Apache-2.0 */
/* What policies constrain: rate, bytes, operations, concurrency, time. */
#include "iam_fleet.h"

#include "under_way.h"

static struct fleet *f;

#define PERMIT "permit (principal, action, resource);"

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

static void
put(const char *text)
{
	Ag__PolicySetAsk ask = AG__POLICY_SET_ASK__INIT;

	ask.text = (char *)text;
	expect(request(f, AG_MSG_POLICY_SET, ASK(.token = f->admin,
	    .selector = "base"), &ask), AG_OK, NULL);
}

static struct ended
sign_bytes(size_t count)
{
	static uint8_t bytes[8192];
	Ag__SignAsk ask = AG__SIGN_ASK__INIT;

	ask.message_b64.data = bytes;
	ask.message_b64.len = count;
	return request(f, AG_MSG_KEY_SIGN, ASK(.token = f->admin,
	    .selector = "invoice"), &ask);
}

static void
test_reasons(void **state)
{
	put(PERMIT
	    "@constraint(\"rate\") forbid (principal, action == "
	    "Aegis::Action::\"key.verify\", resource) when { "
	    "context.recent.minute > 1 };"
	    "@constraint(\"bytes\") forbid (principal, action in "
	    "Aegis::Action::\"use\", resource) when { context.bytes > 4096 };"
	    "@constraint(\"operations\") forbid (principal, action in "
	    "Aegis::Action::\"use\", resource is Aegis::Key) unless { "
	    "[Aegis::Action::\"key.sign\", Aegis::Action::\"key.verify\"]"
	    ".contains(action) };");
	expect(request(f, AG_MSG_KEY_VERIFY, ASK(.token = f->admin,
	    .selector = "invoice"), NULL), AG_OK, NULL);
	expect(request(f, AG_MSG_KEY_VERIFY, ASK(.token = f->admin,
	    .selector = "invoice"), NULL), AG_PERMISSION_DENIED,
	    "constraint_rate");
	expect(sign_bytes(4000), AG_OK, NULL);
	expect(sign_bytes(4097), AG_PERMISSION_DENIED, "constraint_bytes");
	expect(request(f, AG_MSG_KEY_ENCRYPT, ASK(.token = f->admin,
	    .selector = "invoice"), NULL), AG_PERMISSION_DENIED,
	    "constraint_operations");
}

static void
ended(uint64_t place, unsigned plane)
{
	Ag__RequestEndedEvent event = AG__REQUEST_ENDED_EVENT__INIT;
	Ag__Envelope env = AG__ENVELOPE__INIT;

	event.under_way = place;
	ag_kit_deliver(f->kit, AG_ROLE_PLANE, plane, AG_MSG_REQUEST_ENDED_EVENT,
	    &env, &event);
	play(f, 0, NULL);
}

/* Two at once; the third only when one of them ended, or could not end any
 * more. Whoever is no plane of it ends nothing. */
static void
test_concurrency(void **state)
{
	struct ended one, two;

	put(PERMIT "@constraint(\"concurrency\") forbid (principal, action in "
	    "Aegis::Action::\"use\", resource) when { context.under_way > 2 };");
	one = sign_bytes(1);
	two = sign_bytes(1);
	assert_true(one.passed && one.grant->has_under_way);
	assert_true(two.passed && two.grant->under_way != one.grant->under_way);
	expect(sign_bytes(1), AG_PERMISSION_DENIED, "constraint_concurrency");
	/* Another operation is another matter. */
	expect(request(f, AG_MSG_KEY_VERIFY, ASK(.token = f->admin,
	    .selector = "invoice"), NULL), AG_OK, NULL);
	ended(one.grant->under_way, 1);
	ended(one.grant->under_way + (1 << 20), 0);
	ended(0, 0);
	ended(UINT64_MAX, 0);
	expect(sign_bytes(1), AG_PERMISSION_DENIED, "constraint_concurrency");
	ended(one.grant->under_way, 0);
	ended(one.grant->under_way, 0); /* once */
	expect(sign_bytes(1), AG_OK, NULL);
	expect(sign_bytes(1), AG_PERMISSION_DENIED, "constraint_concurrency");
	ag_kit_advance(f->kit, AG_DEADLINE_MS);
	expect(sign_bytes(1), AG_PERMISSION_DENIED, "constraint_concurrency");
	ag_kit_advance(f->kit, 1001);
	expect(sign_bytes(1), AG_OK, NULL);
	ended_free(&one);
	ended_free(&two);
}

static void
test_timeout(void **state)
{
	struct ended e;
	uint64_t now = ag_mono_ms(ag_kit_ctx(f->kit));

	put("@timeout(\"2s\") " PERMIT "@timeout(\"200ms\") permit (principal, "
	    "action == Aegis::Action::\"key.sign\", resource);");
	e = sign_bytes(1);
	assert_true(e.passed && e.grant->short_deadline);
	assert_in_range(e.grant->deadline_ms, now, now + 200 + 1000);
	assert_int_equal(e.grant->policy->timeout_ms, 200);
	ended_free(&e);
	/* It was received a while ago, and waited for something. */
	e = request(f, AG_MSG_KEY_SIGN, ASK(.token = f->admin,
	    .selector = "invoice", .waited_ms = 150), NULL);
	assert_true(e.passed);
	ended_free(&e);
	e = request(f, AG_MSG_KEY_SIGN, ASK(.token = f->admin,
	    .selector = "invoice", .waited_ms = 201), NULL);
	assert_string_equal(e.rule, "base/1");
	expect(e, AG_DEADLINE_EXCEEDED, "constraint_timeout");
	e = request(f, AG_MSG_KEY_VERIFY, ASK(.token = f->admin,
	    .selector = "invoice", .waited_ms = 201), NULL);
	assert_true(e.passed && e.grant->policy->timeout_ms == 2000);
	ended_free(&e);
}

static int64_t
lifetime(const char *selector, unsigned ttl_s)
{
	char *scopes[] = { (char *)"key:invoice:sign" };
	Ag__AgentIssueAsk agent = AG__AGENT_ISSUE_ASK__INIT;
	Ag__TokenIssueAsk token = AG__TOKEN_ISSUE_ASK__INIT;
	struct ended e;
	int64_t ms;

	agent.label = (char *)"claude";
	agent.scopes = scopes;
	agent.n_scopes = 1;
	agent.has_ttl_s = token.has_ttl_s = ttl_s > 0;
	agent.ttl_s = token.ttl_s = ttl_s;
	e = selector == NULL ? request(f, AG_MSG_AGENT_ISSUE,
	    ASK(.token = f->admin), &agent) : request(f, AG_MSG_TOKEN_ISSUE,
	    ASK(.token = f->admin, .selector = selector), &token);
	assert_int_equal(e.err, AG_OK);
	ms = selector == NULL ?
	    ((Ag__AgentIssueReply *)e.reply)->expires_at -
	    ((Ag__AgentIssueReply *)e.reply)->issued_at :
	    ((Ag__TokenIssueReply *)e.reply)->expires_at -
	    ((Ag__TokenIssueReply *)e.reply)->issued_at;
	ended_free(&e);
	return ms / 1000;
}

/* What is issued lives at most as long as the shortest word of the permits that
 * match, and as ever without any. */
static void
test_max_ttl(void **state)
{
	put(PERMIT "@max_ttl(\"2h\") permit (principal, action in "
	    "Aegis::Action::\"manage\", resource);"
	    "@max_ttl(\"15m\") permit (principal, action == "
	    "Aegis::Action::\"agent.issue\", resource);");
	assert_int_equal(lifetime(NULL, 0), 900);
	assert_int_equal(lifetime(NULL, 901), 900);
	assert_int_equal(lifetime(NULL, 900), 900);
	assert_int_equal(lifetime(NULL, 899), 899);
	assert_int_equal(lifetime("admin", 0), 7200);
	assert_int_equal(lifetime("admin", 60), 60);
	put(PERMIT "@max_ttl(\"15m\") permit (principal, action, resource) "
	    "when { context.plane == \"kmip\" };");
	assert_int_equal(lifetime(NULL, 0), 3600);
}

/* A tenant that has its part gets no more of it, and takes none of others'. */
static void
test_places_of_a_tenant(void **state)
{
	unsigned ours = 0, theirs = 0;
	struct iam_under_way_query a = { "hum_1", "key.sign", "key_1", 1000,
		&ours, IAM_UNDER_WAY_PART };
	struct iam_under_way_query b = { "hum_2", "key.sign", "key_2", 1000,
		&theirs, IAM_UNDER_WAY_PART };
	struct iam_under_way *u;
	uint64_t first;

	assert_int_equal(iam_under_way_new(&u), AG_OK);
	first = iam_under_way_take(u, &a, 3, 5000);
	for (unsigned i = 1; i < IAM_UNDER_WAY_PART; i++)
		assert_int_not_equal(iam_under_way_take(u, &a, 3, 9000), 0);
	assert_int_equal(iam_under_way_take(u, &a, 3, 9000), 0);
	assert_int_equal(iam_under_way_look(u, &a), -1);
	assert_int_equal(iam_under_way_look(u, &b), 1);
	assert_int_not_equal(iam_under_way_take(u, &b, 3, 9000), 0);
	assert_int_equal(theirs, 1);
	iam_under_way_end(u, first, 3);
	assert_int_equal(ours, IAM_UNDER_WAY_PART - 1);
	assert_int_not_equal(iam_under_way_take(u, &a, 3, 9000), 0);
	/* What cannot end any more makes room, for its tenant, too. */
	a.now_ms = 10001;
	assert_int_equal(iam_under_way_look(u, &a), 1);
	assert_int_equal(ours, 0);
	iam_under_way_free(&u);
}

/* Beyond what there is room for, nothing is counted, and that is said. */
static void
test_places(void **state)
{
	struct iam_under_way_query q = { .who = "hum_1",
		.action = "key.sign", .resource = "key_1", .now_ms = 1000 };
	struct iam_under_way *u;
	uint64_t first;

	assert_int_equal(iam_under_way_new(&u), AG_OK);
	assert_int_equal(iam_under_way_look(u, &q), 1);
	first = iam_under_way_take(u, &q, 3, 5000);
	for (unsigned i = 1; i < IAM_UNDER_WAY_MAX; i++)
		assert_int_not_equal(iam_under_way_take(u, &q, 3, 9000), 0);
	assert_int_equal(iam_under_way_take(u, &q, 3, 9000), 0);
	assert_int_equal(iam_under_way_look(u, &q), -1);
	q.resource = "key_2";
	assert_int_equal(iam_under_way_look(u, &q), -1);
	iam_under_way_end(u, first, 3);
	assert_int_equal(iam_under_way_look(u, &q), 1);
	q.resource = "key_1";
	assert_int_equal(iam_under_way_look(u, &q), IAM_UNDER_WAY_MAX);
	first = iam_under_way_take(u, &q, 3, 5000); /* the same place again */
	q.now_ms = 6000;
	assert_int_equal(iam_under_way_look(u, &q), -1);
	q.now_ms = 6001; /* that one alone cannot end any more */
	assert_int_equal(iam_under_way_look(u, &q), IAM_UNDER_WAY_MAX);
	q.now_ms = 10001;
	assert_int_equal(iam_under_way_look(u, &q), 1);
	iam_under_way_end(u, first, 3);
	assert_int_equal(iam_under_way_look(u, &q), 1);
	iam_under_way_free(&u);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_reasons, setup, teardown),
		cmocka_unit_test_setup_teardown(test_concurrency, setup, teardown),
		cmocka_unit_test_setup_teardown(test_timeout, setup, teardown),
		cmocka_unit_test_setup_teardown(test_max_ttl, setup, teardown),
		cmocka_unit_test(test_places_of_a_tenant),
		cmocka_unit_test(test_places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
