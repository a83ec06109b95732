/* SPDX-License-Identifier: Apache-2.0 */
/* The approvals at their edges: the last moment that counts and the first that
 * does not, the last byte, and what each decision rests on by itself. */
#include "approvals_fleet.h"

#define SHORT "approvals: {ttl_s: 60, window_s: 10, denied_s: 20}\n"

static void
test_used_in_time(void **state)
{
	struct ag_kit *kit = fleet(SHORT);
	char id[AG_ID_SIZE], late[AG_ID_SIZE];

	strcpy(id, decrypt(kit, "a", NULL).id);
	strcpy(late, decrypt(kit, "b", NULL).id);
	decide(kit, AG_MSG_APPROVAL_APPROVE, id, alice, "leads");
	decide(kit, AG_MSG_APPROVAL_APPROVE, late, alice, "leads");
	ag_kit_advance(kit, 9999);
	EXPECT(decrypt(kit, "a", NULL), AG_APPROVAL_REQUIRED, "approved");
	assert_true(decrypt(kit, "a", id).passed);
	ag_kit_advance(kit, 1);
	EXPECT(decrypt(kit, "b", late), AG_APPROVAL_REQUIRED, "expired");
	/* Too late, it is no answer to the question any more. */
	EXPECT(decrypt(kit, "b", NULL), AG_APPROVAL_REQUIRED, "pending");
	ag_kit_free(&kit);
}

static void
test_decided_in_time(void **state)
{
	struct ag_kit *kit = fleet(SHORT);
	char id[AG_ID_SIZE], late[AG_ID_SIZE];

	strcpy(id, decrypt(kit, "a", NULL).id);
	strcpy(late, decrypt(kit, "b", NULL).id);
	ag_kit_advance(kit, 59999);
	assert_string_equal(decrypt(kit, "b", NULL).id, late);
	assert_string_equal(decide(kit, AG_MSG_APPROVAL_APPROVE, id, alice,
	    "leads").state, "approved");
	ag_kit_advance(kit, 1);
	assert_true(play(kit).appended); /* it ends by itself */
	EXPECT(decide(kit, AG_MSG_APPROVAL_APPROVE, late, alice, "leads"),
	    AG_ILLEGAL_OPERATION, "transition");
	assert_string_not_equal(decrypt(kit, "b", NULL).id, late);
	ag_kit_free(&kit);
}

static void
test_refused_for_a_while(void **state)
{
	struct ag_kit *kit = fleet(SHORT);
	char id[AG_ID_SIZE];

	strcpy(id, decrypt(kit, "a", NULL).id);
	decide(kit, AG_MSG_APPROVAL_DENY, id, alice, "leads");
	ag_kit_advance(kit, 19999);
	EXPECT(decrypt(kit, "a", NULL), AG_APPROVAL_REQUIRED, "denied");
	ag_kit_advance(kit, 1);
	EXPECT(decrypt(kit, "a", NULL), AG_APPROVAL_REQUIRED, "pending");
	EXPECT(decrypt(kit, "a", id), AG_APPROVAL_REQUIRED, "denied");
	ag_kit_free(&kit);
}

static struct end
comment(struct ag_kit *kit, const char *id, size_t bytes)
{
	Ag__ApprovalDecideAsk ask = AG__APPROVAL_DECIDE_ASK__INIT;
	Ag__Grant g = AG__GRANT__INIT;
	char text[APPROVAL_COMMENT_MAX + 2], *roles[] = { (char *)"leads" };

	memset(text, 'c', sizeof(text));
	text[bytes] = '\0';
	ask.comment = text;
	g.actor_id = alice;
	g.has_actor_kind = 1;
	g.actor_kind = AG__KIND__V__human;
	g.resource_id = (char *)id;
	g.has_approver = g.approver = 1;
	g.roles = roles;
	g.n_roles = 1;
	ag_kit_operate(kit, AG_MSG_APPROVAL_APPROVE, &g, &ask);
	return play(kit);
}

static void
test_comments(void **state)
{
	struct ag_kit *kit = fleet(NULL);
	char id[AG_ID_SIZE];

	strcpy(id, decrypt(kit, "a", NULL).id);
	EXPECT(comment(kit, id, APPROVAL_COMMENT_MAX + 1), AG_INVALID_FIELD,
	    "out_of_range");
	assert_string_equal(comment(kit, id, APPROVAL_COMMENT_MAX).state,
	    "approved");
	ag_kit_free(&kit);
}

/* Of several windows the shortest counts, whichever comes first; where none is
 * said, the house's. */
static void
test_windows(void **state)
{
	static const struct { unsigned one, two; int64_t ms; } rows[] = {
		{ 30, 20, 20000 }, { 20, 30, 20000 }, { 20, 20, 20000 },
		{ 30, 0, 30000 }, { 0, 30, 30000 }, { 0, 0, 10000 } };
	struct ag_kit *kit = fleet(SHORT);
	Ag__Approval a = AG__APPROVAL__INIT;

	a.needs = need_list;
	a.n_needs = 2;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		needs[0].has_window_s = rows[i].one > 0;
		needs[0].window_s = rows[i].one;
		needs[1].has_window_s = rows[i].two > 0;
		needs[1].window_s = rows[i].two;
		decide_approve(ag_kit_state(kit), &a, 1000);
		assert_string_equal(a.state, "approved");
		assert_int_equal(a.decided_at, 1000);
		assert_int_equal(a.usable_until_at, 1000 + rows[i].ms);
	}
	ag_kit_free(&kit);
}

/* A yes counts for its groups; a no for none; each group has its own number. */
static void
test_met(void **state)
{
	char *leads[] = { (char *)"leads" }, *boss[] = { (char *)"boss" },
	    *both[] = { (char *)"leads", (char *)"boss" };
	Ag__ApprovalDecision one = AG__APPROVAL_DECISION__INIT, two = one;
	Ag__ApprovalDecision *list[] = { &one, &two };
	Ag__Approval a = AG__APPROVAL__INIT;

	need(0, "leads", 1);
	need(1, "boss", 1);
	one.by = alice;
	two.by = dora;
	one.decision = two.decision = (char *)"approved";
	one.groups = leads;
	two.groups = boss;
	one.n_groups = two.n_groups = 1;
	a.decisions = list;
	assert_false(decide_met(&a)); /* nobody was asked */
	a.needs = need_list;
	a.n_needs = 1;
	assert_false(decide_met(&a));
	a.n_decisions = 1;
	assert_true(decide_met(&a));
	a.n_needs = 2;
	assert_false(decide_met(&a));
	a.n_decisions = 2;
	assert_true(decide_met(&a));
	two.decision = (char *)"denied";
	assert_false(decide_met(&a));
	a.n_decisions = 1;
	one.groups = both;
	one.n_groups = 2;
	assert_true(decide_met(&a));
	needs[0].quorum = 2;
	assert_false(decide_met(&a));
}

/* No rule speaks without what it is about: each word of it by itself. */
static void
test_auto_words(void **state)
{
	struct ag_kit *kit = fleet("approvals: {auto: [{name: x, operation: "
	    "key.decrypt, group: leads, kind: agent}]}\n");
	const struct approvals *s = ag_kit_state(kit);
	Ag__Approval a = AG__APPROVAL__INIT;
	Ag__Link who = AG__LINK__INIT;
	int64_t now = ag_kit_now(kit);

	who.id = agent;
	who.kind = AG__KIND__V__agent;
	a.requester = &who;
	a.operation = (char *)"key.decrypt";
	a.needs = need_list;
	a.n_needs = 1;
	assert_true(auto_fits(s, &a, now));
	a.operation = (char *)"key.sign";
	assert_false(auto_fits(s, &a, now));
	a.operation = (char *)"key.decrypt";
	who.kind = AG__KIND__V__service;
	assert_false(auto_fits(s, &a, now));
	who.kind = AG__KIND__V__agent;
	needs[0].quorum = 0;
	assert_false(auto_fits(s, &a, now));
	needs[0].quorum = 2;
	assert_false(auto_fits(s, &a, now));
	needs[0].quorum = 1;
	needs[0].rule = (char *)"dual-control";
	assert_false(auto_fits(s, &a, now));
	needs[0].rule = (char *)"d/rule";
	a.n_needs = 2; /* nobody speaks for the other group */
	assert_false(auto_fits(s, &a, now));
	ag_kit_free(&kit);
}

/* ------------------------------------------------------------------- ahead */

/* Asked ahead, agreed to, and good for that request, once. */
static void
test_ahead(void **state)
{
	struct ag_kit *kit = fleet(NULL);
	struct end end = ask_ahead(kit, "a", NULL);
	char id[AG_ID_SIZE];

	assert_int_equal(end.err, AG_OK);
	assert_string_equal(end.state, "pending");
	assert_true(end.appended && !end.passed);
	strcpy(id, end.id);
	/* The same question, ahead or not; another body is another. */
	end = ask_ahead(kit, "a", NULL);
	assert_string_equal(end.id, id);
	assert_false(end.appended);
	assert_string_equal(decrypt(kit, "a", NULL).id, id);
	assert_string_not_equal(ask_ahead(kit, "b", NULL).id, id);
	EXPECT(decrypt(kit, "a", id), AG_APPROVAL_REQUIRED, "pending");
	EXPECT(decide(kit, AG_MSG_APPROVAL_APPROVE, id, root, "leads"),
	    AG_PERMISSION_DENIED, "own_request");
	decide(kit, AG_MSG_APPROVAL_APPROVE, id, alice, "leads");
	end = ask_ahead(kit, "a", NULL);
	assert_string_equal(end.id, id);
	assert_string_equal(end.state, "approved");
	EXPECT(decrypt(kit, "b", id), AG_APPROVAL_REQUIRED, "mismatch");
	assert_true(decrypt(kit, "a", id).passed);
	EXPECT(decrypt(kit, "a", id), AG_APPROVAL_REQUIRED, "used");
	/* Used up: a new question. */
	end = ask_ahead(kit, "a", NULL);
	assert_string_equal(end.state, "pending");
	assert_string_not_equal(end.id, id);
	ag_kit_free(&kit);
}

/* A no is a no, and floods are capped, ahead as well. */
static void
test_ahead_refused(void **state)
{
	struct ag_kit *kit = fleet("approvals: {pending_max: 2}\n");
	char id[AG_ID_SIZE];

	strcpy(id, ask_ahead(kit, "a", NULL).id);
	decide(kit, AG_MSG_APPROVAL_DENY, id, alice, "leads");
	EXPECT(ask_ahead(kit, "a", NULL), AG_APPROVAL_REQUIRED, "denied");
	assert_string_equal(ask_ahead(kit, "b", NULL).state, "pending");
	EXPECT(decrypt(kit, "c", NULL), AG_APPROVAL_REQUIRED, "pending");
	EXPECT(ask_ahead(kit, "d", NULL), AG_RATE_LIMITED, "account");
	assert_string_equal(ask_ahead(kit, "c", NULL).state, "pending");
	ag_kit_free(&kit);
}

/* About nothing, of nobody, or beside another operation: nothing is asked. */
static void
test_ahead_hostile(void **state)
{
	struct ag_kit *kit = fleet(NULL);
	Ag__DecryptAsk ask = AG__DECRYPT_ASK__INIT;
	Ag__Ahead ahead = AG__AHEAD__INIT;
	uint8_t digest[32] = { 0 };
	Ag__Grant g;

	ahead.op = AG_MSG_KEY_DECRYPT;
	ahead.needs = need_list;
	ahead.n_needs = 1;
	ahead.digest.data = digest;
	ahead.digest.len = 31;
	EXPECT(ask_ahead(kit, "a", &ahead), AG_GENERAL_FAILURE, "");
	ahead.digest.len = 32;
	ahead.n_needs = 0;
	EXPECT(ask_ahead(kit, "a", &ahead), AG_GENERAL_FAILURE, "");
	ahead.n_needs = 1;
	ahead.op = 1;
	EXPECT(ask_ahead(kit, "a", &ahead), AG_GENERAL_FAILURE, "");
	ahead.op = AG_MSG_KEY_DECRYPT;
	from_agent(&g, NULL);
	g.n_needs = 0;
	g.ahead = &ahead; /* of a request that says that it needs nobody */
	ag_kit_operate(kit, AG_MSG_KEY_DECRYPT, &g, &ask);
	EXPECT(play(kit), AG_GENERAL_FAILURE, "");
	assert_string_equal(ask_ahead(kit, "a", &ahead).state, "pending");
	ag_kit_free(&kit);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_used_in_time),
		cmocka_unit_test(test_decided_in_time),
		cmocka_unit_test(test_refused_for_a_while),
		cmocka_unit_test(test_comments),
		cmocka_unit_test(test_windows),
		cmocka_unit_test(test_met),
		cmocka_unit_test(test_auto_words),
		cmocka_unit_test(test_ahead),
		cmocka_unit_test(test_ahead_refused),
		cmocka_unit_test(test_ahead_hostile),
	};

	return cmocka_run_group_tests_name("approvals_edges", tests, NULL, NULL);
}
