/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens under broken glass, as the journal tells of both. */
#include "iam_fleet.h"

#include "access.h"
#include "iam.h"

#define GLASS "brk_00000000000000000000000000000001"

static struct fleet *f;

static int
setup(void **state)
{
	f = fleet_new(NULL);
	key(f, "default", INVOICE, "invoice-2026", NULL, NULL, false);
	return 0;
}

static int
teardown(void **state)
{
	fleet_free(f);
	return 0;
}

static void
glass(const char *person, const char *state_name, int64_t expires_at,
    uint64_t version)
{
	Ag__BreakGlassFact fact_of = AG__BREAK_GLASS_FACT__INIT;
	Ag__BreakGlass g = AG__BREAK_GLASS__INIT;
	Ag__Link link = AG__LINK__INIT;
	Ag__Resource resource = AG__RESOURCE__INIT;

	link.id = (char *)person;
	link.kind = AG__KIND__V__human;
	resource.type = (char *)"key";
	resource.id = (char *)INVOICE;
	g.id = (char *)GLASS;
	g.state = (char *)state_name;
	g.principal = &link;
	g.resource = &resource;
	g.reason_code = (char *)"incident";
	g.justification = (char *)"because it must be";
	g.opened_at = ag_kit_now(f->kit);
	g.expires_at = expires_at;
	g.tenant = (char *)"default";
	fact_of.glass = &g;
	fact_of.at = ag_kit_now(f->kit);
	fact(f, "glass:" GLASS, version, AG_MSG_BREAK_GLASS_FACT, &fact_of);
}

static struct iam_token *
token(const char *person, const char *jti, const char *of)
{
	Ag__TokenIssuedFact t = AG__TOKEN_ISSUED_FACT__INIT;
	char stream[96];

	t.jti = (char *)jti;
	t.principal_id = (char *)person;
	t.tenant = (char *)"default";
	t.issued_at = ag_kit_now(f->kit);
	t.expires_at = t.issued_at + 60000;
	t.break_glass = (char *)of;
	snprintf(stream, sizeof(stream), "token:%s", jti);
	fact(f, stream, 1, AG_MSG_TOKEN_ISSUED_FACT, &t);
	return iam_token_find(ag_kit_state(f->kit), jti);
}

static void
test_a_token_ends_with_its_glass(void **state)
{
	char *id = person(f, f->admin, AG__KIND__V__human, "olga", "admin");
	struct iam_token *under, *other;

	glass(id, "active", ag_kit_now(f->kit) + 60000, 1);
	assert_true(iam_glass_open(ag_kit_state(f->kit), GLASS,
	    ag_kit_now(f->kit)));
	assert_false(iam_glass_open(ag_kit_state(f->kit), GLASS,
	    ag_kit_now(f->kit) + 60000));
	under = token(id, "11111111-1111-7111-8111-111111111111", GLASS);
	other = token(id, "22222222-2222-7222-8222-222222222222", NULL);
	assert_string_equal(under->glass, GLASS);
	assert_null(other->glass);
	assert_int_equal(under->revoked_at, 0);
	glass(id, "closed", ag_kit_now(f->kit) + 60000, 2);
	assert_int_not_equal(under->revoked_at, 0);
	assert_int_equal(other->revoked_at, 0);
	assert_false(iam_glass_open(ag_kit_state(f->kit), GLASS,
	    ag_kit_now(f->kit)));
	free(id);
}

/* Signed while it was open, journaled when it was not: it is good for nothing. */
static void
test_a_token_that_came_too_late(void **state)
{
	char *id = person(f, f->admin, AG__KIND__V__human, "olga", "admin");

	glass(id, "active", ag_kit_now(f->kit) + 60000, 1);
	glass(id, "closed", ag_kit_now(f->kit) + 60000, 2);
	assert_int_not_equal(token(id, "11111111-1111-7111-8111-111111111111",
	    GLASS)->revoked_at, 0);
	free(id);
}

/* ---------------------------------------------------------------- requests */

#define CLOSED "permit (principal, action, resource);\n" \
	"@id(\"soft\") @overridable @reason(\"payroll is closed\")\n" \
	"forbid (principal, action == Aegis::Action::\"key.sign\", resource);"

static void
policy(const char *text)
{
	Ag__PolicySetAsk ask = AG__POLICY_SET_ASK__INIT;

	ask.text = (char *)text;
	expect(request(f, AG_MSG_POLICY_SET, ASK(.token = f->admin,
	    .selector = "base"), &ask), AG_OK, NULL);
}

static struct ended
sign_under(const char *by, const char *what, const char *id)
{
	Ag__SignAsk ask = sign_ask();

	return request(f, AG_MSG_KEY_SIGN, ASK(.token = by, .selector = what,
	    .break_glass = id), &ask);
}

static struct ended
break_it(const char *by, const char *what)
{
	Ag__BreakGlassOpenAsk ask = AG__BREAK_GLASS_OPEN_ASK__INIT;

	ask.key = (char *)what;
	ask.reason_code = (char *)"incident";
	ask.justification = (char *)"because it must be";
	return request(f, AG_MSG_BREAK_GLASS_OPEN, ASK(.token = by), &ask);
}

/* It overrides what says so, for its key, its person and its time. */
static void
test_what_it_overrides(void **state)
{
	char *olga = person(f, f->admin, AG__KIND__V__human, "olga", "admin");
	char *hers = token_of(f, f->admin, olga, NULL);
	struct agent agent = agent_of(f, hers, "key:invoice-2026:sign", 0);
	struct ended e;

	key(f, "default", TREASURY, "treasury", NULL, NULL, false);
	policy(CLOSED);
	expect(sign(f, hers, "invoice-2026"), AG_PERMISSION_DENIED,
	    "no_matching_rule");
	expect(sign_under(hers, "invoice-2026", GLASS), AG_PERMISSION_DENIED,
	    "break_glass_over"); /* there is none */
	glass(olga, "active", ag_kit_now(f->kit) + 60000, 1);
	e = sign_under(hers, "invoice-2026", GLASS);
	assert_true(e.passed);
	assert_string_equal(e.grant->break_glass, GLASS);
	assert_true(e.grant->policy->break_glass);
	ended_free(&e);
	expect(sign(f, hers, "invoice-2026"), AG_PERMISSION_DENIED,
	    "no_matching_rule"); /* only who says so */
	expect(sign_under(hers, "treasury", GLASS), AG_PERMISSION_DENIED,
	    "break_glass_other");
	expect(sign_under(f->admin, "invoice-2026", GLASS), AG_PERMISSION_DENIED,
	    "break_glass_over");
	expect(sign_under(agent.token, "invoice-2026", GLASS),
	    AG_PERMISSION_DENIED, "not_for_agents");
	expect(sign_under(hers, "invoice-2026", "brk_1"), AG_INVALID_FIELD,
	    "wrong_type");
	ag_kit_advance(f->kit, 60000);
	expect(sign_under(hers, "invoice-2026", GLASS), AG_PERMISSION_DENIED,
	    "break_glass_over");
	agent_free(&agent);
	free(olga);
	free(hers);
}

/* Who may no longer open one may no longer use one. */
static void
test_the_right_goes(void **state)
{
	char *olga = person(f, f->admin, AG__KIND__V__human, "olga", "admin");
	char *hers = token_of(f, f->admin, olga, NULL);
	Ag__RoleGrantAsk user = AG__ROLE_GRANT_ASK__INIT;

	policy(CLOSED);
	glass(olga, "active", ag_kit_now(f->kit) + 60000, 1);
	expect(sign_under(hers, "invoice-2026", GLASS), AG_OK, NULL);
	user.role = (char *)"key-user";
	expect(request(f, AG_MSG_ROLE_GRANT, ASK(.token = f->admin,
	    .selector = "olga"), &user), AG_OK, NULL);
	user.role = (char *)"admin";
	user.reason = (char *)"because";
	expect(request(f, AG_MSG_ROLE_UNGRANT, ASK(.token = f->admin,
	    .selector = "olga"), &user), AG_OK, NULL);
	expect(sign_under(hers, "invoice-2026", GLASS), AG_PERMISSION_DENIED,
	    "break_glass_over");
	free(olga);
	free(hers);
}

/* A token under it says what it is for, which is its key, and ends with it. */
static void
test_a_token_under_it(void **state)
{
	char *olga = person(f, f->admin, AG__KIND__V__human, "olga", "admin");
	char *hers = token_of(f, f->admin, olga, NULL), *under;
	Ag__TokenIssueAsk ask = AG__TOKEN_ISSUE_ASK__INIT;
	char *scopes[2] = { (char *)"key:invoice-2026:sign",
		(char *)"key:treasury:sign" };
	const Ag__TokenIssueReply *reply;
	struct asking as = ASK(.token = hers, .selector = "olga",
	    .break_glass = GLASS);
	struct ended e;

	key(f, "default", TREASURY, "treasury", NULL, NULL, false);
	policy(CLOSED);
	glass(olga, "active", ag_kit_now(f->kit) + 60000, 1);
	expect(request(f, AG_MSG_TOKEN_ISSUE, as, &ask), AG_INVALID_FIELD,
	    "missing");
	ask.scopes = scopes;
	ask.n_scopes = 2;
	e = request(f, AG_MSG_TOKEN_ISSUE, as, &ask);
	assert_int_equal(e.err, AG_INVALID_FIELD);
	assert_string_equal(e.reason, "bad_scope");
	assert_string_equal(e.field, "/scopes/1");
	ended_free(&e);
	scopes[1] = (char *)"key:*:sign";
	expect(request(f, AG_MSG_TOKEN_ISSUE, as, &ask), AG_INVALID_FIELD,
	    "bad_scope");
	ask.n_scopes = 1;
	e = request(f, AG_MSG_TOKEN_ISSUE, as, &ask);
	assert_int_equal(e.err, AG_OK);
	reply = e.reply;
	/* Whatever is usual: it is over with the glass. */
	assert_true(reply->expires_at <= ag_kit_now(f->kit) + 60000);
	under = strdup(reply->token);
	ended_free(&e);
	e = sign(f, under, "invoice-2026"); /* without saying it again */
	assert_true(e.passed);
	assert_string_equal(e.grant->break_glass, GLASS);
	ended_free(&e);
	expect(sign(f, under, "treasury"), AG_PERMISSION_DENIED, NULL);
	glass(olga, "closed", ag_kit_now(f->kit) + 60000, 2);
	expect(sign(f, under, "invoice-2026"), AG_UNAUTHENTICATED, NULL);
	free(under);
	free(olga);
	free(hers);
}

/* Nothing is opened that overrides nothing, nor for a key that is not there. */
static void
test_opening(void **state)
{
	struct agent agent = agent_of(f, f->admin, "key:invoice-2026:sign", 0);

	expect(break_it(f->admin, "invoice-2026"), AG_PERMISSION_DENIED,
	    "nothing_overridable");
	policy("permit (principal, action, resource);");
	expect(break_it(f->admin, "invoice-2026"), AG_PERMISSION_DENIED,
	    "nothing_overridable");
	policy(CLOSED);
	expect(break_it(f->admin, "none-such"), AG_ITEM_NOT_FOUND, "");
	expect(break_it(agent.token, "invoice-2026"), AG_PERMISSION_DENIED,
	    "not_for_agents");
	/* It takes a second factor, which the admin has not. */
	expect(break_it(f->admin, "invoice-2026"), AG_PERMISSION_DENIED,
	    "step_up_not_enrolled");
	agent_free(&agent);
}

/* More than there is room for, and ids that are none. */
static void
test_hostile_facts(void **state)
{
	struct iam *iam = ag_kit_state(f->kit);
	Ag__BreakGlassFact fact_of = AG__BREAK_GLASS_FACT__INIT;
	Ag__BreakGlass g = AG__BREAK_GLASS__INIT;
	Ag__Link link = AG__LINK__INIT;
	Ag__Resource resource = AG__RESOURCE__INIT;
	char id[AG_ID_SIZE + 8];
	const char *last = "brk_00000000000000000000000000000100";

	link.id = (char *)"hum_00000000000000000000000000000001";
	resource.id = (char *)INVOICE;
	g.id = id;
	g.state = (char *)"active";
	g.principal = &link;
	g.resource = &resource;
	g.expires_at = ag_kit_now(f->kit) + 60000;
	fact_of.glass = &g;
	for (unsigned i = 0; i <= IAM_GLASS_MAX; i++) {
		snprintf(id, sizeof(id), "brk_%032x", i);
		assert_int_equal(iam_glass_take(iam, &fact_of), AG_OK);
		assert_int_equal(iam_glass_open(iam, id, ag_kit_now(f->kit)),
		    i < IAM_GLASS_MAX);
	}
	assert_string_equal(id, last); /* had no room: overrides nothing */
	snprintf(id, sizeof(id), "brk_%032x", 7);
	g.state = (char *)"closed";
	assert_int_equal(iam_glass_take(iam, &fact_of), AG_OK);
	g.state = (char *)"active";
	resource.id = (char *)"key_00000000000000000000000000000001234567";
	assert_int_equal(iam_glass_take(iam, &fact_of), AG_CORRUPT);
	resource.id = NULL;
	assert_int_equal(iam_glass_take(iam, &fact_of), AG_CORRUPT);
	assert_false(iam_glass_open(iam, id, ag_kit_now(f->kit)));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_token_ends_with_its_glass),
		TEST(test_a_token_that_came_too_late),
		TEST(test_what_it_overrides),
		TEST(test_the_right_goes),
		TEST(test_a_token_under_it),
		TEST(test_opening),
		TEST(test_hostile_facts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
