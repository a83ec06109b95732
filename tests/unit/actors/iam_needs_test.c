/* SPDX-License-Identifier: Apache-2.0 */
/* Whose agreement a request needs, and that nothing that is had for a while is
 * given for good. */
#include "iam_fleet.h"

#include <aegis/bytes.h>

#include <access.h>
#include <iam.h>

#define DUAL "approvals: {dual_control: [" \
	"{operation: key.decrypt, label: env=prod, group: leads}, " \
	"{operation: key.rotate}]}\n"

static struct fleet *f;

static int
setup(void **state)
{
	f = fleet_new(DUAL);
	key(f, "default", INVOICE, "invoice", "env", "prod", false);
	key(f, "default", TREASURY, "treasury", "env", "test", false);
	return 0;
}

static int
teardown(void **state)
{
	fleet_free(f);
	return 0;
}

/* The group that must agree; "-": nobody must. */
static void
needs(uint16_t op, const char *what, const char *scope_op, const void *body,
    const char *group)
{
	struct ended e = request(f, op, ASK(.token = f->admin, .selector = what,
	    .scope_op = scope_op), body);

	assert_int_equal(e.err, AG_OK);
	assert_true(e.passed);
	assert_int_equal(e.grant->n_needs, strcmp(group, "-") != 0);
	if (e.grant->n_needs > 0)
		assert_string_equal(e.grant->needs[0]->group, group);
	ended_free(&e);
}

/* --------------------------------------------------------------- dual control */

/* A batch of it is it. */
static void
test_batch(void **state)
{
	Ag__BatchAsk ask = AG__BATCH_ASK__INIT;

	needs(AG_MSG_KEY_BATCH, "invoice", "decrypt", &ask, "leads");
	needs(AG_MSG_KEY_BATCH, "invoice", "encrypt", &ask, "-");
	needs(AG_MSG_KEY_BATCH, "treasury", "decrypt", &ask, "-");
}

static void
relabel(const char *what, const char *name, const char *value, const char *null,
    const char *group)
{
	Ag__KeyUpdateAsk ask = AG__KEY_UPDATE_ASK__INIT;
	Ag__Pair pair = AG__PAIR__INIT, *pairs[1] = { &pair };
	char *nulls[1] = { (char *)null };

	pair.key = (char *)name;
	pair.value = (char *)value;
	ask.labels = pairs;
	ask.n_labels = name != NULL;
	ask.nulls = nulls;
	ask.n_nulls = null != NULL;
	needs(AG_MSG_KEY_UPDATE, what, NULL, &ask, group);
}

/* The label that protects it goes only as what it protects does. */
static void
test_label_stays(void **state)
{
	relabel("invoice", "env", NULL, NULL, "leads");
	relabel("invoice", "env", "test", NULL, "leads");
	relabel("invoice", NULL, NULL, "/labels", "leads");
	relabel("invoice", "team", "red", "/labels", "leads");
	relabel("invoice", "env", "prod", NULL, "-");
	relabel("invoice", "team", "red", NULL, "-");
	relabel("invoice", NULL, NULL, "/rotation", "-");
	relabel("treasury", "env", NULL, NULL, "-"); /* has another value */
	relabel("treasury", NULL, NULL, "/labels", "-");
}

/* What an agent ends, a person is asked about first; not its own and below. */
static void
test_agents_end_nothing_alone(void **state)
{
	static const struct { uint16_t op; const char *scope; } ends[] = {
		{ AG_MSG_KEY_DEACTIVATE, "key:treasury:deactivate" },
		{ AG_MSG_KEY_DESTROY, "key:treasury:destroy" },
		{ AG_MSG_KEY_FREEZE, "key:treasury:freeze" },
	};
	Ag__ReasonAsk why = AG__REASON_ASK__INIT;
	Ag__KeyDestroyAsk destroy = AG__KEY_DESTROY_ASK__INIT;
	struct agent agent;
	struct ended e;

	why.reason = destroy.reason = (char *)"old";
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		const void *body = ends[i].op == AG_MSG_KEY_DESTROY ?
		    (const void *)&destroy : &why;
		bool freezes = ends[i].op == AG_MSG_KEY_FREEZE;

		agent = agent_of(f, f->admin, ends[i].scope, 0);
		e = request(f, ends[i].op, ASK(.token = agent.token,
		    .selector = "treasury"), body);
		assert_true(e.passed);
		assert_int_equal(e.grant->n_needs, freezes ? 0 : 1);
		if (!freezes)
			assert_string_equal(e.grant->needs[0]->rule,
			    "agents-end-nothing-alone");
		ended_free(&e);
		needs(ends[i].op, "treasury", NULL, body, "-"); /* a person */
		e = request(f, AG_MSG_AGENT_REVOKE, ASK(.token = agent.token,
		    .selector = agent.id), &why);
		assert_int_equal(e.grant->n_needs, 0); /* itself */
		ended_free(&e);
		agent_free(&agent);
	}
}

static ag_err started;

static ag_err
start(void *state, struct ag_ctx *ctx)
{
	started = iam_duals_init(state, ctx);
	iam_duals_fini(state);
	return AG_OK;
}

static ag_err
start_with(const char *row)
{
	struct ag_actor actor = ag_actor_iam;
	char config[200];
	struct ag_kit *kit;

	actor.init = start;
	actor.ready = NULL;
	actor.fini = NULL;
	snprintf(config, sizeof(config), "approvals: {dual_control: [{%s}]}\n",
	    row);
	kit = ag_kit_new(&actor, config, NULL);
	ag_kit_free(&kit);
	return started;
}

/* What could never ask anybody is no protection: said at the start. */
static void
test_dead_rows(void **state)
{
	assert_int_equal(start_with("operation: key.decrypt"), AG_OK);
	assert_int_equal(start_with("operation: key.batch, label: a=b"), AG_OK);
	assert_int_equal(start_with("operation: principal.delete"), AG_OK);
	assert_int_equal(start_with("operation: key.create"), AG_OK);
	assert_int_equal(start_with("operation: key.create, label: a=b"),
	    AG_USAGE);
	assert_int_equal(start_with("operation: key.import, label: a=b"),
	    AG_USAGE);
	assert_int_equal(start_with("operation: principal.delete, label: a=b"),
	    AG_USAGE);
	assert_int_equal(start_with("operation: key.sign, label: a"), AG_USAGE);
	assert_int_equal(start_with("operation: approval.approve"), AG_USAGE);
	assert_int_equal(start_with("operation: break-glass.open"), AG_USAGE);
	assert_int_equal(start_with("operation: grant.list"), AG_USAGE);
	assert_int_equal(start_with("operation: key.eat"), AG_USAGE);
}

/* ------------------------------------------------------------ for a while */

static void
lend(char *who, const char *scope)
{
	Ag__AccessFact lent = AG__ACCESS_FACT__INIT;
	Ag__Access access = AG__ACCESS__INIT;
	Ag__Link link = AG__LINK__INIT;
	char *scopes[1] = { (char *)scope };

	link.id = who;
	access.id = (char *)"acc_00000000000000000000000000000001";
	access.state = (char *)"active";
	access.principal = &link;
	access.scopes = scopes;
	access.n_scopes = 1;
	access.reason = (char *)"month end";
	access.expires_at = ag_kit_now(f->kit) + 60000;
	lent.access = &access;
	fact(f, "access:1", 1, AG_MSG_ACCESS_FACT, &lent);
}

static struct ended
issue(const char *token, const char *parent)
{
	char *scopes[1] = { (char *)"key:invoice:sign" };
	Ag__AgentIssueAsk ask = agent_ask(scopes, 1);

	ask.parent = (char *)parent;
	return request(f, AG_MSG_AGENT_ISSUE, ASK(.token = token), &ask);
}

static void
test_lent(void **state)
{
	char *bob = person(f, f->admin, AG__KIND__V__human, "bob", NULL), *token;
	char *scopes[1] = { (char *)"key:invoice:sign" };
	char *both[2] = { (char *)"principal:*:update", (char *)"agent:*:issue" };
	Ag__RoleSetAsk ask = AG__ROLE_SET_ASK__INIT;
	Ag__RoleGrantAsk give = AG__ROLE_GRANT_ASK__INIT;

	ask.scopes = both;
	ask.n_scopes = 2;
	expect(request(f, AG_MSG_ROLE_SET, ASK(.token = f->admin,
	    .selector = "giver"), &ask), AG_OK, NULL);
	give.role = (char *)"giver";
	expect(request(f, AG_MSG_ROLE_GRANT, ASK(.token = f->admin,
	    .selector = "bob"), &give), AG_OK, NULL);
	token = token_of(f, f->admin, bob, NULL);
	lend(bob, "key:invoice:sign");
	expect(sign(f, token, "invoice"), AG_OK, NULL);
	ask.scopes = scopes;
	ask.n_scopes = 1;
	expect(request(f, AG_MSG_ROLE_SET, ASK(.token = token,
	    .selector = "signer"), &ask), AG_PERMISSION_DENIED, NULL);
	/* Below bob it ends with what bob has; below another it would not. */
	expect(issue(token, "admin"), AG_PERMISSION_DENIED,
	    "parent_scope_missing");
	expect(issue(token, NULL), AG_OK, NULL);
	free(bob);
	free(token);
}

static Ag__ApprovalRequestAsk
ahead_of(const char *operation, const char *resource)
{
	Ag__ApprovalRequestAsk ask = AG__APPROVAL_REQUEST_ASK__INIT;

	ask.operation = (char *)operation;
	ask.resource = (char *)resource;
	ask.has_request = 1;
	ask.request.data = (uint8_t *)"\x0a\x01x";
	ask.request.len = 3;
	ask.reason = (char *)"at night";
	return ask;
}

/* Who issued an agent below another, or a token, is told; its parent is not.
 * Ahead of the request as well. */
static void
test_behind(void **state)
{
	const char *admin = iam_principal_find(ag_kit_state(f->kit),
	    iam_tenant_find(ag_kit_state(f->kit), "default"), "admin")->id;
	char *bob = person(f, f->admin, AG__KIND__V__human, "bob", "admin");
	char *given = token_of(f, f->admin, bob, NULL);
	char *own = token_of(f, given, bob, NULL), *scopes[1] = {
		(char *)"key:invoice:rotate" };
	Ag__AgentIssueAsk ask = agent_ask(scopes, 1);
	Ag__ApprovalRequestAsk ahead = ahead_of("key.rotate", "invoice");

	for (unsigned i = 0; i < 4; i++) {
		const char *token = i == 0 ? given : own;
		char *issued = NULL;
		struct ended e;

		if (i >= 2) {
			ask.parent = i == 2 ? NULL : (char *)"bob";
			e = request(f, AG_MSG_AGENT_ISSUE, ASK(.token =
			    i == 2 ? own : f->admin), &ask);
			assert_non_null(e.reply);
			token = issued = strdup(((Ag__AgentIssueReply *)
			    e.reply)->token);
			ended_free(&e);
		}
		e = request(f, AG_MSG_KEY_ROTATE, ASK(.token = token,
		    .selector = "invoice"), NULL);
		assert_true(e.passed && e.grant->n_needs == 1);
		assert_int_equal(e.grant->n_behind, i == 0 || i == 3);
		if (e.grant->n_behind == 1)
			assert_string_equal(e.grant->behind[0], admin);
		ended_free(&e);
		e = request(f, AG_MSG_APPROVAL_REQUEST, ASK(.token = token), &ahead);
		assert_true(e.passed && e.grant->ahead != NULL);
		assert_int_equal(e.grant->n_behind, i == 0 || i == 3);
		ended_free(&e);
		free(issued);
	}
	free(bob);
	free(given);
	free(own);
}

/* ------------------------------------------------------------------- ahead */

/* What it would need is in the grant; it itself needs nobody and goes to the
 * approvals, as its caller and about its key. */
static void
test_ahead(void **state)
{
	Ag__ApprovalRequestAsk ask = ahead_of("key.decrypt", "invoice");
	struct agent agent = agent_of(f, f->admin, "key:invoice:decrypt", 0);
	uint8_t digest[32];
	struct ended e;

	e = request(f, AG_MSG_APPROVAL_REQUEST, ASK(.token = agent.token), &ask);
	assert_int_equal(e.err, AG_OK);
	assert_true(e.passed);
	assert_int_equal(e.grant->op, AG_MSG_APPROVAL_REQUEST);
	assert_int_equal(e.grant->n_needs, 0);
	assert_string_equal(e.grant->actor_id, agent.id);
	assert_string_equal(e.grant->resource_id, INVOICE);
	assert_string_equal(e.grant->said, "at night");
	assert_non_null(e.grant->ahead);
	assert_int_equal(e.grant->ahead->op, AG_MSG_KEY_DECRYPT);
	assert_int_equal(e.grant->ahead->n_needs, 1);
	assert_string_equal(e.grant->ahead->needs[0]->group, "leads");
	ag_sha256("\x0a\x01x", 3, digest);
	assert_int_equal(e.grant->ahead->digest.len, 32);
	assert_memory_equal(e.grant->ahead->digest.data, digest, 32);
	ended_free(&e);
	agent_free(&agent);
}

static void
refused(const char *token, const Ag__ApprovalRequestAsk *ask, ag_err err,
    const char *reason, const char *field)
{
	struct ended e = request(f, AG_MSG_APPROVAL_REQUEST, ASK(.token = token),
	    ask);

	assert_int_equal(e.err, err);
	assert_string_equal(e.reason, reason);
	assert_string_equal(e.field, field);
	assert_false(e.passed);
	ended_free(&e);
}

/* Who could not do it is not heard; nor where nobody has to agree. */
static void
test_ahead_refused(void **state)
{
	Ag__ApprovalRequestAsk ask = ahead_of("key.decrypt", "invoice");
	Ag__PolicySetAsk set = AG__POLICY_SET_ASK__INIT;
	struct agent agent = agent_of(f, f->admin, "key:treasury:decrypt", 0);
	struct ended e;

	ask.resource = (char *)"treasury";
	refused(agent.token, &ask, AG_ILLEGAL_OPERATION, "no_approval_needed", "");
	ask.resource = (char *)"no-such-key";
	refused(agent.token, &ask, AG_PERMISSION_DENIED, "scope_missing", "");
	refused(f->admin, &ask, AG_ITEM_NOT_FOUND, "", "");
	set.text = (char *)"permit (principal, action, resource); forbid "
	    "(principal, action == Aegis::Action::\"key.decrypt\", resource);";
	expect(request(f, AG_MSG_POLICY_SET, ASK(.token = f->admin,
	    .selector = "base"), &set), AG_OK, NULL);
	ask.resource = (char *)"invoice";
	refused(f->admin, &ask, AG_PERMISSION_DENIED, "no_matching_rule", "");
	/* Last: whoever steps out of its scope here is held, as there. */
	refused(agent.token, &ask, AG_PERMISSION_DENIED, "scope_missing", "");
	e = request(f, AG_MSG_WHOAMI, ASK(.token = agent.token), NULL);
	assert_false(e.over || e.passed);
	ended_free(&e);
	agent_free(&agent);
}

/* Each field, and what would go in a circle. */
static void
test_ahead_hostile(void **state)
{
	static const char *const operations[] = { "key.sing", "",
		"approval.approve", "approval.request", "break-glass.open",
		"key.batch" };
	static const char *const names[] = { "", "in voice", "invoice\n", "inv\x7f",
		"\xe2\x80\xaeinvoice" };
	Ag__ApprovalRequestAsk ask = ahead_of("key.decrypt", "invoice");
	char name[129], reason[258];

	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
		ask.operation = (char *)operations[i];
		refused(f->admin, &ask, AG_INVALID_FIELD, "unknown_value",
		    "/operation");
	}
	ask.operation = (char *)"key.decrypt";
	ask.resource = NULL;
	refused(f->admin, &ask, AG_INVALID_FIELD, "missing", "/resource");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		ask.resource = (char *)names[i];
		refused(f->admin, &ask, AG_INVALID_FIELD, "out_of_range",
		    "/resource");
	}
	memset(name, 'x', sizeof(name));
	name[128] = '\0';
	ask.resource = name;
	refused(f->admin, &ask, AG_INVALID_FIELD, "out_of_range", "/resource");
	ask.operation = (char *)"key.create"; /* has no id yet */
	ask.resource = (char *)"invoice";
	refused(f->admin, &ask, AG_INVALID_FIELD, "out_of_range", "/resource");
	ask.operation = (char *)"key.decrypt";
	memset(reason, 'x', sizeof(reason));
	reason[257] = '\0';
	ask.reason = reason;
	refused(f->admin, &ask, AG_INVALID_FIELD, "out_of_range", "/reason");
	ask.reason = (char *)"";
	refused(f->admin, &ask, AG_INVALID_FIELD, "out_of_range", "/reason");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_batch, setup, teardown),
		cmocka_unit_test_setup_teardown(test_label_stays, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_agents_end_nothing_alone, setup,
		    teardown),
		cmocka_unit_test(test_dead_rows),
		cmocka_unit_test_setup_teardown(test_lent, setup, teardown),
		cmocka_unit_test_setup_teardown(test_behind, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ahead, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ahead_refused, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_ahead_hostile, setup,
		    teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
