/* SPDX-License-Identifier: Apache-2.0 */
/* Agents: issuing within what the parent holds, the chain, revocation of the
 * subtree, what the registry shows, and all of it after a restart. */
#include "iam_fleet.h"

static struct fleet *f;

static int
setup(void **state)
{
	f = fleet_new(NULL);
	key(f, "default", INVOICE, "invoice-2026", NULL, NULL, false);
	key(f, "default", TREASURY, "treasury-master", "tier", "critical", false);
	return 0;
}

static int
teardown(void **state)
{
	fleet_free(f);
	return 0;
}

static struct ended
issue(const char *by, Ag__AgentIssueAsk *ask)
{
	return request(f, AG_MSG_AGENT_ISSUE, ASK(.token = by), ask);
}

static Ag__Agent *
agent_view(const char *by, const char *id, struct ended *e)
{
	*e = request(f, AG_MSG_AGENT_READ, ASK(.token = by, .selector = id), NULL);
	assert_int_equal(e->err, AG_OK);
	return e->reply;
}

static void
test_issue(void **state)
{
	char *scopes[] = { (char *)"key:invoice-2026:sign" };
	Ag__AgentIssueAsk ask = agent_ask(scopes, 1);
	struct ended e = issue(f->admin, &ask);
	Ag__AgentIssueReply *r = e.reply;
	struct ended e2;
	Ag__Agent *view;

	assert_int_equal(e.err, AG_OK);
	assert_string_equal(r->token_type, "Bearer");
	assert_int_equal(r->expires_at - r->issued_at, 3600 * 1000);
	assert_int_equal(r->n_chain, 2);
	assert_string_equal(r->chain[1]->id, r->agent_id);
	view = agent_view(f->admin, r->agent_id, &e2);
	assert_string_equal(view->state, "live");
	assert_string_equal(view->label, "claude");
	assert_string_equal(view->model, "model-x");
	assert_string_equal(view->parent, r->parent);
	assert_string_equal(view->root, r->parent);
	assert_string_equal(view->jti, r->jti);
	assert_int_equal(view->depth, 1);
	assert_int_equal(view->revision, 1);
	assert_int_equal(view->n_chain, 2);
	assert_false(view->has_last_activity_at);
	ended_free(&e2);
	ended_free(&e);
}

static void
test_issue_refused(void **state)
{
	static const struct {
		const char *scope;
		ag_err err;
		const char *reason;
	} rows[] = {
		{ "key:*:sign", AG_INVALID_FIELD, "bad_scope" },
		{ "*:*:*", AG_INVALID_FIELD, "bad_scope" },
		{ "keys:a:sign", AG_INVALID_FIELD, "bad_scope" },
		{ "agents:issue", AG_INVALID_FIELD, "bad_scope" },
		{ "", AG_INVALID_FIELD, "bad_scope" },
		{ "key:invoice-2026:fly", AG_INVALID_FIELD, "bad_scope" },
		{ "key:treasury-master:destroy", AG_PERMISSION_DENIED,
		    "parent_scope_missing" },
		{ "agent:x:issue", AG_OK, NULL }, /* agent-issuer has it */
	};
	char *who = person(f, f->admin, AG__KIND__V__human, "ref",
	    "agent-issuer");
	char *token = token_of(f, f->admin, who, NULL);

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *scopes[] = { (char *)rows[i].scope };
		Ag__AgentIssueAsk ask = agent_ask(scopes, 1);

		expect(issue(token, &ask), rows[i].err, rows[i].reason);
	}
	free(who);
	free(token);
}

static void
test_issue_bounds(void **state)
{
	char *scopes[65];
	Ag__AgentIssueAsk ask;
	char *cidrs[] = { (char *)"10.0.0.1/8" };

	for (int i = 0; i < 65; i++)
		scopes[i] = (char *)"key:invoice-2026:sign";
	ask = agent_ask(scopes, 65);
	expect(issue(f->admin, &ask), AG_INVALID_FIELD, "out_of_range");
	ask = agent_ask(scopes, 0);
	expect(issue(f->admin, &ask), AG_INVALID_FIELD, "missing");
	ask = agent_ask(scopes, 1);
	ask.has_ttl_s = true;
	ask.ttl_s = 59;
	expect(issue(f->admin, &ask), AG_INVALID_FIELD, "out_of_range");
	ask.ttl_s = 86401;
	expect(issue(f->admin, &ask), AG_INVALID_FIELD, "out_of_range");
	ask.ttl_s = 60;
	ask.max_depth = 11;
	expect(issue(f->admin, &ask), AG_INVALID_FIELD, "out_of_range");
	ask.max_depth = 10;
	expect(issue(f->admin, &ask), AG_OK, NULL);
	ask.label = (char *)"";
	expect(issue(f->admin, &ask), AG_INVALID_FIELD, "out_of_range");
	ask.label = (char *)"a\nb";
	expect(issue(f->admin, &ask), AG_INVALID_FIELD, "out_of_range");
	ask.label = (char *)"x";
	ask.has_max_uses = true;
	expect(issue(f->admin, &ask), AG_INVALID_FIELD, "out_of_range");
	ask.max_uses = 1000000001;
	expect(issue(f->admin, &ask), AG_INVALID_FIELD, "out_of_range");
	ask.has_max_uses = false;
	ask.source_cidrs = cidrs;
	ask.n_source_cidrs = 1;
	expect(issue(f->admin, &ask), AG_INVALID_FIELD, "unknown_value");
	ask.n_source_cidrs = 0;
	ask.parent = (char *)"nobody";
	expect(issue(f->admin, &ask), AG_ITEM_NOT_FOUND, NULL);
}

static void
test_networks(void **state)
{
	char *scopes[] = { (char *)"key:invoice-2026:sign" };
	char *cidrs[] = { (char *)"10.0.0.0/8", (char *)"2001:db8::/32" };
	Ag__AgentIssueAsk ask = agent_ask(scopes, 1);
	struct ended e;
	char *token;

	ask.source_cidrs = cidrs;
	ask.n_source_cidrs = 2;
	e = issue(f->admin, &ask);
	assert_int_equal(e.err, AG_OK);
	token = strdup(((Ag__AgentIssueReply *)e.reply)->token);
	ended_free(&e);
	expect(request(f, AG_MSG_WHOAMI, ASK(.token = token,
	    .address = "10.9.8.7"), NULL), AG_OK, NULL);
	expect(request(f, AG_MSG_WHOAMI, ASK(.token = token,
	    .address = "11.0.0.1"), NULL), AG_PERMISSION_DENIED,
	    "source_address");
	free(token);
}

/* An agent that is bound to a network does not issue itself out of it. */
static void
test_networks_of_the_chain(void **state)
{
	char *scopes[] = { (char *)"key:invoice-2026:sign" };
	char *cidrs[] = { (char *)"10.0.0.0/8" };
	Ag__AgentIssueAsk ask = agent_ask(scopes, 1);
	struct ended e;
	char *parent, *child;

	ask.max_depth = 1;
	ask.source_cidrs = cidrs;
	ask.n_source_cidrs = 1;
	e = issue(f->admin, &ask);
	assert_int_equal(e.err, AG_OK);
	parent = strdup(((Ag__AgentIssueReply *)e.reply)->token);
	ended_free(&e);
	ask.max_depth = 0;
	ask.n_source_cidrs = 0;
	e = request(f, AG_MSG_AGENT_ISSUE, ASK(.token = parent,
	    .address = "10.1.1.1"), &ask);
	assert_int_equal(e.err, AG_OK);
	child = strdup(((Ag__AgentIssueReply *)e.reply)->token);
	ended_free(&e);
	expect(request(f, AG_MSG_WHOAMI, ASK(.token = child,
	    .address = "10.9.8.7"), NULL), AG_OK, NULL);
	expect(request(f, AG_MSG_WHOAMI, ASK(.token = child,
	    .address = "11.0.0.1"), NULL), AG_PERMISSION_DENIED,
	    "source_address");
	free(parent);
	free(child);
}

static void
test_child_ends_with_parent(void **state)
{
	char *scopes[] = { (char *)"key:invoice-2026:sign" };
	Ag__AgentIssueAsk ask = agent_ask(scopes, 1);
	struct ended e, e2;
	Ag__AgentIssueReply *p, *c;

	ask.has_ttl_s = true;
	ask.ttl_s = 600;
	ask.max_depth = 1;
	e = issue(f->admin, &ask);
	p = e.reply;
	ask.ttl_s = 3600;
	ask.max_depth = 0;
	ag_kit_advance(f->kit, 1500);
	e2 = issue(p->token, &ask);
	assert_int_equal(e2.err, AG_OK);
	c = e2.reply;
	assert_int_equal(c->expires_at, p->expires_at);
	ag_kit_advance(f->kit, 600 * 1000);
	expect(request(f, AG_MSG_WHOAMI, ASK(.token = c->token), NULL),
	    AG_UNAUTHENTICATED, "token_expired");
	ended_free(&e);
	ended_free(&e2);
}

static void
test_depth(void **state)
{
	char *scopes[] = { (char *)"key:invoice-2026:sign" };
	Ag__AgentIssueAsk ask = agent_ask(scopes, 1);
	struct agent a = agent_of(f, f->admin, scopes[0], 2), b, c, n;
	struct ended e;

	b = agent_of(f, a.token, scopes[0], 1);
	c = agent_of(f, b.token, scopes[0], 0);
	expect(issue(c.token, &ask), AG_DELEGATION_DEPTH_EXCEEDED, NULL);
	ask.max_depth = 2;
	expect(issue(a.token, &ask), AG_DELEGATION_DEPTH_EXCEEDED, NULL);
	ask.max_depth = 0;
	n = agent_of(f, f->admin, scopes[0], 0);
	expect(issue(n.token, &ask), AG_PERMISSION_DENIED,
	    "delegate_not_allowed");
	/* an agent issues only below itself */
	ask.parent = n.id;
	expect(issue(a.token, &ask), AG_PERMISSION_DENIED,
	    "delegate_not_allowed");
	/* wider than the parent */
	scopes[0] = (char *)"key:treasury-master:sign";
	ask.parent = NULL;
	expect(issue(a.token, &ask), AG_PERMISSION_DENIED,
	    "parent_scope_missing");
	e = request(f, AG_MSG_AGENT_CHAIN, ASK(.token = f->admin,
	    .selector = c.id), NULL);
	assert_int_equal(((Ag__ChainReply *)e.reply)->n_items, 4);
	assert_string_equal(((Ag__ChainReply *)e.reply)->items[0]->name, "admin");
	assert_string_equal(((Ag__ChainReply *)e.reply)->items[3]->id, c.id);
	ended_free(&e);
	agent_free(&a);
	agent_free(&b);
	agent_free(&c);
	agent_free(&n);
}

static void
test_depth_off(void **state)
{
	struct fleet *was = f;
	char *scopes[] = { (char *)"key:invoice-2026:sign" };
	Ag__AgentIssueAsk ask = agent_ask(scopes, 1);

	f = fleet_new("agents: {depth_max: 0}\n");
	ask.max_depth = 1;
	expect(issue(f->admin, &ask), AG_DELEGATION_DEPTH_EXCEEDED, NULL);
	ask.max_depth = 0;
	expect(issue(f->admin, &ask), AG_OK, NULL);
	fleet_free(f);
	f = was;
}

/* Nobody issues their way up by naming a stronger parent. */
static void
test_no_climbing(void **state)
{
	char *who = person(f, f->admin, AG__KIND__V__human, "cli",
	    "agent-issuer");
	char *token = token_of(f, f->admin, who, NULL);
	char *scopes[] = { (char *)"key:treasury-master:sign" };
	Ag__AgentIssueAsk ask = agent_ask(scopes, 1);
	Ag__TokenIssueAsk tok = AG__TOKEN_ISSUE_ASK__INIT;

	ask.parent = (char *)"admin";
	expect(issue(token, &ask), AG_PERMISSION_DENIED, "parent_scope_missing");
	expect(request(f, AG_MSG_TOKEN_ISSUE, ASK(.token = token,
	    .selector = "admin"), &tok), AG_PERMISSION_DENIED, "scope_missing");
	free(who);
	free(token);
}

static void
test_self_and_below(void **state)
{
	struct agent a = agent_of(f, f->admin, "key:invoice-2026:sign", 1);
	struct agent b = agent_of(f, a.token, "key:invoice-2026:sign", 0);

	expect(request(f, AG_MSG_AGENT_READ, ASK(.token = a.token,
	    .selector = a.id), NULL), AG_OK, NULL);
	expect(request(f, AG_MSG_AGENT_READ, ASK(.token = b.token,
	    .selector = a.id), NULL), AG_PERMISSION_DENIED, "scope_missing");
	because(f, AG_MSG_AGENT_REVOKE, b.token, a.id, AG_PERMISSION_DENIED,
	    "scope_missing");
	because(f, AG_MSG_AGENT_SUSPEND, a.token, b.id, AG_PERMISSION_DENIED,
	    "scope_missing");
	because(f, AG_MSG_AGENT_REVOKE, a.token, b.id, AG_OK, NULL);
	expect(request(f, AG_MSG_WHOAMI, ASK(.token = b.token), NULL),
	    AG_UNAUTHENTICATED, "token_revoked");
	because(f, AG_MSG_AGENT_REVOKE, a.token, a.id, AG_OK, NULL);
	expect(request(f, AG_MSG_WHOAMI, ASK(.token = a.token), NULL),
	    AG_UNAUTHENTICATED, "token_revoked");
	agent_free(&a);
	agent_free(&b);
}

static void
test_subtree(void **state)
{
	const char *scope = "key:invoice-2026:sign";
	struct agent a = agent_of(f, f->admin, scope, 2);
	struct agent b = agent_of(f, a.token, scope, 1);
	struct agent c = agent_of(f, b.token, scope, 0);
	struct agent d = agent_of(f, a.token, scope, 0);
	Ag__ReasonAsk why = AG__REASON_ASK__INIT;
	struct ended e;
	Ag__AgentRevokeReply *r;
	Ag__Agent *view;

	why.reason = (char *)"rogue";
	because(f, AG_MSG_AGENT_REVOKE, f->admin, d.id, AG_OK, NULL);
	e = request(f, AG_MSG_AGENT_REVOKE, ASK(.token = f->admin,
	    .selector = a.id), &why);
	r = e.reply;
	assert_int_equal(r->revoked, 3); /* d was gone before */
	assert_false(r->already);
	assert_memory_equal(r->event_id, "evt_", 4);
	ended_free(&e);
	e = request(f, AG_MSG_AGENT_REVOKE, ASK(.token = f->admin,
	    .selector = b.id), &why);
	r = e.reply;
	assert_int_equal(r->revoked, 0);
	assert_true(r->already);
	ended_free(&e);
	view = agent_view(f->admin, c.id, &e);
	assert_string_equal(view->state, "revoked");
	assert_true(view->has_revoked_at);
	assert_string_equal(view->revoke_reason, "rogue");
	ended_free(&e);
	expect(sign(f, c.token, "invoice-2026"), AG_UNAUTHENTICATED,
	    "token_revoked");
	agent_free(&a);
	agent_free(&b);
	agent_free(&c);
	agent_free(&d);
}

static void
test_like(void **state)
{
	struct agent a = agent_of(f, f->admin, "key:invoice-2026:sign", 0);
	Ag__AgentIssueAsk ask = agent_ask(NULL, 0);
	struct ended e;

	ask.like = a.id;
	ask.model = NULL;
	expect(issue(f->admin, &ask), AG_ILLEGAL_OPERATION, "transition");
	because(f, AG_MSG_AGENT_REVOKE, f->admin, a.id, AG_OK, NULL);
	e = issue(f->admin, &ask);
	assert_int_equal(e.err, AG_OK);
	assert_string_equal(((Ag__AgentIssueReply *)e.reply)->scopes[0],
	    "key:invoice-2026:sign");
	ended_free(&e);
	agent_free(&a);
}

static void
test_suspend(void **state)
{
	struct agent a = agent_of(f, f->admin, "key:invoice-2026:sign", 1);
	struct agent b = agent_of(f, a.token, "key:invoice-2026:sign", 0);

	because(f, AG_MSG_AGENT_SUSPEND, f->admin, a.id, AG_OK, NULL);
	because(f, AG_MSG_AGENT_SUSPEND, f->admin, a.id, AG_OK, NULL);
	expect(sign(f, a.token, "invoice-2026"), AG_PRINCIPAL_SUSPENDED,
	    "by_person");
	expect(sign(f, b.token, "invoice-2026"), AG_UNAUTHENTICATED,
	    "parent_inactive");
	because(f, AG_MSG_AGENT_RESUME, f->admin, a.id, AG_OK, NULL);
	expect(sign(f, b.token, "invoice-2026"), AG_OK, NULL);
	because(f, AG_MSG_AGENT_REVOKE, f->admin, a.id, AG_OK, NULL);
	because(f, AG_MSG_AGENT_RESUME, f->admin, a.id, AG_ILLEGAL_OPERATION,
	    "transition");
	because(f, AG_MSG_AGENT_RESUME, f->admin, "agt_x", AG_ITEM_NOT_FOUND,
	    NULL);
	agent_free(&a);
	agent_free(&b);
}

static void
test_delete_person(void **state)
{
	char *alice = person(f, f->admin, AG__KIND__V__human, "del", "admin");
	char *token = token_of(f, f->admin, alice, NULL);
	struct agent a = agent_of(f, token, "key:invoice-2026:sign", 1);
	struct agent b = agent_of(f, a.token, "key:invoice-2026:sign", 0);
	Ag__ReasonAsk why = AG__REASON_ASK__INIT;
	struct ended e;

	because(f, AG_MSG_PRINCIPAL_SUSPEND, f->admin, alice, AG_OK, NULL);
	expect(sign(f, token, "invoice-2026"), AG_PRINCIPAL_SUSPENDED,
	    "by_person");
	expect(sign(f, b.token, "invoice-2026"), AG_UNAUTHENTICATED,
	    "parent_inactive");
	because(f, AG_MSG_PRINCIPAL_RESUME, f->admin, alice, AG_OK, NULL);
	expect(sign(f, b.token, "invoice-2026"), AG_OK, NULL);
	why.reason = (char *)"left";
	e = request(f, AG_MSG_PRINCIPAL_DELETE, ASK(.token = f->admin,
	    .selector = "del"), &why);
	assert_int_equal(((Ag__Principal *)e.reply)->revoked, 2);
	assert_string_equal(((Ag__Principal *)e.reply)->state, "deleted");
	ended_free(&e);
	expect(sign(f, token, "invoice-2026"), AG_UNAUTHENTICATED,
	    "token_revoked");
	expect(sign(f, b.token, "invoice-2026"), AG_UNAUTHENTICATED,
	    "token_revoked");
	agent_free(&a);
	agent_free(&b);
	free(alice);
	free(token);
}

static void
test_list_pages(void **state)
{
	Ag__AgentListAsk ask = AG__AGENT_LIST_ASK__INIT;
	struct agent agents[5];
	char *who = person(f, f->admin, AG__KIND__V__human, "lis", "admin");
	char *token = token_of(f, f->admin, who, NULL), *cursor;
	Ag__AgentListReply *r;
	struct ended e;

	for (int i = 0; i < 5; i++)
		agents[i] = agent_of(f, token, "key:invoice-2026:sign", 0);
	because(f, AG_MSG_AGENT_REVOKE, token, agents[1].id, AG_OK, NULL);
	ask.parent = (char *)"lis";
	ask.state = (char *)"live";
	ask.has_limit = true;
	ask.limit = 3;
	e = request(f, AG_MSG_AGENT_LIST, ASK(.token = f->admin), &ask);
	r = e.reply;
	assert_int_equal(r->n_items, 3);
	assert_string_equal(r->items[0]->id, agents[0].id);
	assert_string_equal(r->items[2]->id, agents[3].id);
	assert_non_null(r->next_cursor);
	cursor = strdup(r->next_cursor);
	ended_free(&e);
	ask.cursor = cursor;
	e = request(f, AG_MSG_AGENT_LIST, ASK(.token = f->admin), &ask);
	r = e.reply;
	assert_int_equal(r->n_items, 1);
	assert_string_equal(r->items[0]->id, agents[4].id);
	assert_null(r->next_cursor);
	ended_free(&e);
	/* of another query, too old, bent */
	ask.state = (char *)"revoked";
	expect(request(f, AG_MSG_AGENT_LIST, ASK(.token = f->admin), &ask),
	    AG_INVALID_FIELD, "bad_cursor");
	ask.state = (char *)"live";
	ask.cursor = (char *)"AAAA";
	expect(request(f, AG_MSG_AGENT_LIST, ASK(.token = f->admin), &ask),
	    AG_INVALID_FIELD, "bad_cursor");
	ask.cursor = cursor;
	ag_kit_advance(f->kit, 3600 * 1000);
	expect(request(f, AG_MSG_AGENT_LIST, ASK(.token = f->admin), &ask),
	    AG_INVALID_FIELD, "bad_cursor");
	ask.cursor = NULL;
	ask.state = (char *)"expired";
	e = request(f, AG_MSG_AGENT_LIST, ASK(.token = f->admin), &ask);
	assert_int_equal(((Ag__AgentListReply *)e.reply)->n_items, 3);
	ended_free(&e);
	ask.limit = 1001;
	expect(request(f, AG_MSG_AGENT_LIST, ASK(.token = f->admin), &ask),
	    AG_INVALID_FIELD, "out_of_range");
	ask.limit = 1;
	ask.state = (char *)"dead";
	expect(request(f, AG_MSG_AGENT_LIST, ASK(.token = f->admin), &ask),
	    AG_INVALID_FIELD, "unknown_value");
	for (int i = 0; i < 5; i++)
		agent_free(&agents[i]);
	free(cursor);
	free(who);
	free(token);
}

static void
test_revoke_many(void **state)
{
	Ag__AgentRevokeManyAsk ask = AG__AGENT_REVOKE_MANY_ASK__INIT;
	char *who = person(f, f->admin, AG__KIND__V__human, "man", "admin");
	char *token = token_of(f, f->admin, who, NULL);
	struct agent a = agent_of(f, token, "key:invoice-2026:sign", 1);
	struct agent b = agent_of(f, a.token, "key:invoice-2026:sign", 0);
	struct agent c = agent_of(f, token, "key:invoice-2026:sign", 0);
	Ag__AgentRevokeManyReply *r;
	struct ended e;

	ask.reason = (char *)"r";
	expect(request(f, AG_MSG_AGENT_REVOKE_MANY, ASK(.token = f->admin), &ask),
	    AG_INVALID_FIELD, "missing");
	ask.parent = a.id; /* b alone */
	ask.has_dry_run = ask.dry_run = true;
	e = request(f, AG_MSG_AGENT_REVOKE_MANY, ASK(.token = f->admin), &ask);
	assert_int_equal(((Ag__AgentRevokeManyReply *)e.reply)->matched, 1);
	ended_free(&e);
	ask.parent = (char *)"man"; /* a and c, and b below a */
	e = request(f, AG_MSG_AGENT_REVOKE_MANY, ASK(.token = f->admin), &ask);
	assert_int_equal(((Ag__AgentRevokeManyReply *)e.reply)->matched, 3);
	ended_free(&e);
	ask.parent = NULL;
	ask.root = (char *)"man";
	e = request(f, AG_MSG_AGENT_REVOKE_MANY, ASK(.token = f->admin), &ask);
	r = e.reply;
	assert_int_equal(r->matched, 3);
	assert_int_equal(r->revoked, 0);
	ended_free(&e);
	expect(sign(f, c.token, "invoice-2026"), AG_OK, NULL);
	ask.dry_run = false;
	e = request(f, AG_MSG_AGENT_REVOKE_MANY, ASK(.token = f->admin), &ask);
	r = e.reply;
	assert_int_equal(r->matched, 3);
	assert_int_equal(r->revoked, 3);
	assert_int_equal(r->n_items, 3);
	ended_free(&e);
	expect(sign(f, b.token, "invoice-2026"), AG_UNAUTHENTICATED,
	    "token_revoked");
	expect(sign(f, c.token, "invoice-2026"), AG_UNAUTHENTICATED,
	    "token_revoked");
	agent_free(&a);
	agent_free(&b);
	agent_free(&c);
	free(who);
	free(token);
}

static uint32_t count_items; /* of a batch; 0: none */

static void
count(const char *id, Ag__OutcomeKind__V outcome, Ag__EventType__V type,
    uint64_t pos)
{
	Ag__Event event = AG__EVENT__INIT;
	Ag__EventActor actor = AG__EVENT_ACTOR__INIT;

	event.event_id = (char *)"evt_1";
	event.tenant = (char *)"default";
	event.event_type = type;
	event.occurred_at = ag_kit_now(f->kit);
	event.operation = (char *)"key.sign";
	event.outcome = outcome;
	event.has_items = count_items > 0;
	event.items = count_items;
	actor.id = (char *)id;
	event.actor = &actor;
	assert_int_equal(ag_kit_audit(f->kit, &event, pos), AG_OK);
}

/* The snapshot alone brings back who is who, what was revoked and counted. */
static void
test_counts_and_restart(void **state)
{
	char dir[] = "/tmp/aegis-iam-XXXXXX", command[64];
	EVP_PKEY *issuer = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	struct fleet *was = f;
	struct agent a, b, s;
	struct ended e;
	Ag__Agent *view;

	assert_non_null(mkdtemp(dir));
	EVP_PKEY_up_ref(issuer);
	f = fleet_on(NULL, dir, issuer);
	key(f, "default", INVOICE, "invoice-2026", "tier", "critical", false);
	a = agent_of(f, f->admin, "key:invoice-2026:sign", 1);
	b = agent_of(f, a.token, "key:" INVOICE ":sign", 0);
	s = agent_of(f, f->admin, "key:label=tier=critical:sign", 0);
	count(a.id, AG__OUTCOME_KIND__V__allowed, AG__EVENT_TYPE__V__request, 1);
	count(a.id, AG__OUTCOME_KIND__V__allowed, AG__EVENT_TYPE__V__request, 2);
	count(a.id, AG__OUTCOME_KIND__V__denied, AG__EVENT_TYPE__V__request, 3);
	count(a.id, AG__OUTCOME_KIND__V__failed, AG__EVENT_TYPE__V__request, 4);
	count(a.id, AG__OUTCOME_KIND__V__unknown, AG__EVENT_TYPE__V__request, 5);
	count(a.id, AG__OUTCOME_KIND__V__allowed,
	    AG__EVENT_TYPE__V__outcome_late, 6);
	count(a.id, AG__OUTCOME_KIND__V__allowed, AG__EVENT_TYPE__V__response, 7);
	count("agt_nobody", AG__OUTCOME_KIND__V__allowed,
	    AG__EVENT_TYPE__V__request, 8);
	count_items = 10; /* a batch counts as its items */
	count(a.id, AG__OUTCOME_KIND__V__allowed, AG__EVENT_TYPE__V__request, 9);
	count_items = 0;
	because(f, AG_MSG_AGENT_REVOKE, f->admin, b.id, AG_OK, NULL);
	because(f, AG_MSG_AGENT_SUSPEND, f->admin, s.id, AG_OK, NULL);
	fleet_free(f);

	f = fleet_on(NULL, dir, issuer);
	expect(sign(f, a.token, "invoice-2026"), AG_OK, NULL);
	expect(sign(f, b.token, "invoice-2026"), AG_UNAUTHENTICATED,
	    "token_revoked");
	expect(sign(f, s.token, "invoice-2026"), AG_PRINCIPAL_SUSPENDED,
	    "by_person");
	view = agent_view(f->admin, a.id, &e);
	assert_int_equal(view->allowed_count, 13);
	assert_int_equal(view->refused_count, 2);
	assert_true(view->has_last_activity_at);
	assert_string_equal(view->model, "model-x");
	ended_free(&e);
	view = agent_view(f->admin, b.id, &e);
	assert_string_equal(view->parent, a.id);
	assert_int_equal(view->n_chain, 3);
	assert_int_equal(view->revision, 2);
	assert_string_equal(view->state, "revoked");
	ended_free(&e);
	fleet_free(f);
	f = was;
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
	agent_free(&a);
	agent_free(&b);
	agent_free(&s);
}

static void
test_expiry_said_once(void **state)
{
	struct agent a = agent_of(f, f->admin, "key:invoice-2026:sign", 0);
	const struct ag_kit_sent *sent;
	int said = 0;

	later(f, 3600 * 1000 + 10000);
	later(f, 60 * 1000);
	while ((sent = ag_kit_next(f->kit)) != NULL) {
		const Ag__OutcomeEvent *out = sent->body;

		if (sent->type != AG_MSG_OUTCOME_EVENT ||
		    strcmp(out->resource_id, a.id) != 0)
			continue;
		assert_int_equal(out->event_type, AG__EVENT_TYPE__V__lifecycle);
		assert_string_equal(out->operation, "agent.expire");
		assert_string_equal(out->tenant, "default");
		said++;
	}
	assert_int_equal(said, 1);
	agent_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_issue),
		cmocka_unit_test(test_issue_refused),
		cmocka_unit_test(test_issue_bounds),
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_networks_of_the_chain),
		cmocka_unit_test(test_child_ends_with_parent),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_depth_off),
		cmocka_unit_test(test_no_climbing),
		cmocka_unit_test(test_self_and_below),
		cmocka_unit_test(test_subtree),
		cmocka_unit_test(test_like),
		cmocka_unit_test(test_suspend),
		cmocka_unit_test(test_delete_person),
		cmocka_unit_test(test_list_pages),
		cmocka_unit_test(test_revoke_many),
		cmocka_unit_test(test_counts_and_restart),
		cmocka_unit_test(test_expiry_said_once),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
