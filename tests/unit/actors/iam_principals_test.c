/* SPDX-License-Identifier: Apache-2.0 */
/* People, services, their roles and tokens; tenants and the wall between. */
#include "iam_fleet.h"

#include <iam.h>

#include <sys/stat.h>

static struct fleet *f;

static int
setup(void **state)
{
	f = fleet_new(NULL);
	return 0;
}

static int
teardown(void **state)
{
	fleet_free(f);
	return 0;
}

static struct ended
create(const char *by, Ag__Kind__V kind, const char *name, const char *role)
{
	Ag__PrincipalCreateAsk ask = AG__PRINCIPAL_CREATE_ASK__INIT;
	char *roles[1] = { (char *)role };

	ask.kind = kind;
	ask.name = (char *)name;
	ask.roles = roles;
	ask.n_roles = role == NULL ? 0 : 1;
	return request(f, AG_MSG_PRINCIPAL_CREATE, ASK(.token = by), &ask);
}

static void
test_bootstrap(void **state)
{
	char path[600];
	struct stat st;

	snprintf(path, sizeof(path), "%s/admin.token", ag_kit_state_dir(f->kit));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void
test_create(void **state)
{
	struct ended e = create(f->admin, AG__KIND__V__human, "alice", "key-user");
	Ag__Principal *p = e.reply;

	assert_int_equal(e.err, AG_OK);
	assert_memory_equal(p->id, "hum_", 4);
	assert_string_equal(p->state, "active");
	assert_string_equal(p->roles[0]->name, "key-user");
	assert_string_equal(p->totp, "none");
	assert_int_equal(p->revision, 1);
	assert_non_null(p->created_by);
	ended_free(&e);
	expect(create(f->admin, AG__KIND__V__service, "alice", NULL),
	    AG_ALREADY_EXISTS, "name");
	expect(create(f->admin, AG__KIND__V__agent, "bot", NULL),
	    AG_INVALID_FIELD, "unknown_value");
	expect(create(f->admin, AG__KIND__V__human, "Bob", NULL),
	    AG_INVALID_FIELD, "bad_alias");
	expect(create(f->admin, AG__KIND__V__human, "hum_x", NULL),
	    AG_INVALID_FIELD, "bad_alias");
	expect(create(f->admin, AG__KIND__V__human, "bob", "root"),
	    AG_INVALID_FIELD, "unknown_value");
	e = request(f, AG_MSG_PRINCIPAL_READ, ASK(.token = f->admin,
	    .selector = "alice"), NULL);
	assert_string_equal(((Ag__Principal *)e.reply)->name, "alice");
	ended_free(&e);
	expect(request(f, AG_MSG_PRINCIPAL_READ, ASK(.token = f->admin,
	    .selector = "nobody"), NULL), AG_ITEM_NOT_FOUND, NULL);
}

/* The journal knows the name, the directory not yet: the race is lost there. */
static void
test_create_race(void **state)
{
	Ag__PrincipalCreateAsk ask = AG__PRINCIPAL_CREATE_ASK__INIT;
	struct ended e = { 0 };
	uint8_t id[16];
	const struct ag_kit_sent *sent;

	ask.kind = AG__KIND__V__human;
	ask.name = (char *)"racer";
	deliver(f, AG_MSG_PRINCIPAL_CREATE, &ASK(.token = f->admin), &ask, id);
	sent = ag_kit_next(f->kit);
	assert_int_equal(sent->to_role, AG_ROLE_RISK);
	from_risk(f, sent);
	sent = ag_kit_find(f->kit, AG_MSG_JOURNAL_APPEND_ASK);
	assert_non_null(sent);
	ag_kit_answer_error(f->kit, sent, AG_CONFLICT, NULL);
	play(f, AG_MSG_PRINCIPAL_CREATE, &e);
	assert_int_equal(e.err, AG_ALREADY_EXISTS);
	ended_free(&e);
}

static void
test_no_roles_above_own(void **state)
{
	char *who = person(f, f->admin, AG__KIND__V__human, "own", "admin");
	char *token = token_of(f, f->admin, who, "principal:*:*");
	Ag__RoleGrantAsk role = AG__ROLE_GRANT_ASK__INIT;

	expect(create(token, AG__KIND__V__human, "puppet", "admin"),
	    AG_PERMISSION_DENIED, "role_missing");
	expect(create(token, AG__KIND__V__human, "puppet", NULL), AG_OK, NULL);
	role.role = (char *)"key-user";
	expect(request(f, AG_MSG_ROLE_GRANT, ASK(.token = token,
	    .selector = "puppet"), &role), AG_PERMISSION_DENIED, "role_missing");
	role.role = (char *)"none-such";
	expect(request(f, AG_MSG_ROLE_GRANT, ASK(.token = f->admin,
	    .selector = "puppet"), &role), AG_ITEM_NOT_FOUND, NULL);
	role.role = (char *)"key-user";
	role.has_valid_until = true;
	role.valid_until = 5;
	expect(request(f, AG_MSG_ROLE_GRANT, ASK(.token = f->admin,
	    .selector = "puppet"), &role), AG_INVALID_FIELD, "out_of_range");
	free(who);
	free(token);
}

static void
test_update(void **state)
{
	Ag__PrincipalUpdateAsk ask = AG__PRINCIPAL_UPDATE_ASK__INIT;
	Ag__Pair a = AG__PAIR__INIT, b = AG__PAIR__INIT, *pairs[2] = { &a, &b };
	char *who = person(f, f->admin, AG__KIND__V__human, "upd", NULL);
	struct ended e;

	a.key = (char *)"team";
	a.value = (char *)"pay";
	b.key = (char *)"floor";
	b.value = (char *)"2";
	ask.labels = pairs;
	ask.n_labels = 2;
	expect(request(f, AG_MSG_PRINCIPAL_UPDATE, ASK(.token = f->admin,
	    .selector = who), &ask), AG_OK, NULL);
	a.value = NULL; /* null removes */
	b.value = (char *)"3";
	e = request(f, AG_MSG_PRINCIPAL_UPDATE, ASK(.token = f->admin,
	    .selector = who, .if_match = "\"2\""), &ask);
	assert_int_equal(((Ag__Principal *)e.reply)->n_labels, 1);
	assert_string_equal(((Ag__Principal *)e.reply)->labels[0]->value, "3");
	assert_int_equal(((Ag__Principal *)e.reply)->revision, 3);
	ended_free(&e);
	expect(request(f, AG_MSG_PRINCIPAL_UPDATE, ASK(.token = f->admin,
	    .selector = who, .if_match = "\"2\""), &ask),
	    AG_PRECONDITION_FAILED, NULL);
	b.key = (char *)"BAD";
	expect(request(f, AG_MSG_PRINCIPAL_UPDATE, ASK(.token = f->admin,
	    .selector = who), &ask), AG_INVALID_FIELD, "out_of_range");
	free(who);
}

static void
test_last_admin(void **state)
{
	struct fleet *was = f;
	Ag__RoleGrantAsk role = AG__ROLE_GRANT_ASK__INIT;
	char *other;

	f = fleet_new(NULL);
	role.role = (char *)"admin";
	because(f, AG_MSG_PRINCIPAL_SUSPEND, f->admin, "admin",
	    AG_ILLEGAL_OPERATION, "last_admin");
	because(f, AG_MSG_PRINCIPAL_DELETE, f->admin, "admin",
	    AG_ILLEGAL_OPERATION, "last_admin");
	expect(request(f, AG_MSG_ROLE_UNGRANT, ASK(.token = f->admin,
	    .selector = "admin"), &role), AG_ILLEGAL_OPERATION, "last_admin");
	other = person(f, f->admin, AG__KIND__V__human, "second", "admin");
	because(f, AG_MSG_PRINCIPAL_SUSPEND, f->admin, other, AG_OK, NULL);
	because(f, AG_MSG_PRINCIPAL_SUSPEND, f->admin, "admin",
	    AG_ILLEGAL_OPERATION, "last_admin");
	free(other);
	fleet_free(f);
	f = was;
}

static void
test_list(void **state)
{
	Ag__PrincipalListAsk ask = AG__PRINCIPAL_LIST_ASK__INIT;
	char *who = person(f, f->admin, AG__KIND__V__service, "lst", "auditor");
	struct ended e;

	ask.role = (char *)"auditor";
	e = request(f, AG_MSG_PRINCIPAL_LIST, ASK(.token = f->admin), &ask);
	assert_int_equal(((Ag__PrincipalListReply *)e.reply)->n_items, 1);
	ended_free(&e);
	because(f, AG_MSG_PRINCIPAL_DELETE, f->admin, who, AG_OK, NULL);
	e = request(f, AG_MSG_PRINCIPAL_LIST, ASK(.token = f->admin), &ask);
	assert_int_equal(((Ag__PrincipalListReply *)e.reply)->n_items, 0);
	ended_free(&e);
	ask.state = (char *)"deleted";
	e = request(f, AG_MSG_PRINCIPAL_LIST, ASK(.token = f->admin), &ask);
	assert_int_equal(((Ag__PrincipalListReply *)e.reply)->n_items, 1);
	ended_free(&e);
	/* deleted is for ever, and so is the name */
	because(f, AG_MSG_PRINCIPAL_RESUME, f->admin, who, AG_ILLEGAL_OPERATION,
	    "transition");
	expect(create(f->admin, AG__KIND__V__service, "lst", NULL),
	    AG_ALREADY_EXISTS, "name");
	free(who);
}

static void
test_tokens(void **state)
{
	char *who = person(f, f->admin, AG__KIND__V__human, "tok", "key-user");
	char *one = token_of(f, f->admin, who, NULL);
	char *two = token_of(f, f->admin, who, NULL), *jti;
	Ag__TokenIssueAsk ask = AG__TOKEN_ISSUE_ASK__INIT;
	char *bad[] = { (char *)"key:sign" };
	Ag__PageAsk page = AG__PAGE_ASK__INIT;
	Ag__ReasonAsk why = AG__REASON_ASK__INIT;
	Ag__TokenListReply *list;
	struct ended e;

	ask.has_ttl_s = true;
	ask.ttl_s = 30 * 86400 + 1;
	expect(request(f, AG_MSG_TOKEN_ISSUE, ASK(.token = f->admin,
	    .selector = who), &ask), AG_INVALID_FIELD, "out_of_range");
	ask.ttl_s = 60;
	ask.scopes = bad;
	ask.n_scopes = 1;
	expect(request(f, AG_MSG_TOKEN_ISSUE, ASK(.token = f->admin,
	    .selector = who), &ask), AG_INVALID_FIELD, "bad_scope");
	expect(request(f, AG_MSG_WHOAMI, ASK(.token = one), NULL), AG_OK, NULL);
	e = request(f, AG_MSG_TOKEN_LIST, ASK(.token = f->admin,
	    .selector = "tok"), &page);
	list = e.reply;
	assert_int_equal(list->n_items, 2);
	assert_true(list->items[0]->has_last_used_at);
	assert_false(list->items[1]->has_last_used_at);
	jti = strdup(list->items[0]->jti);
	ended_free(&e);
	/* own: no scope needed */
	why.reason = (char *)"lost";
	e = request(f, AG_MSG_TOKEN_REVOKE, ASK(.token = two, .selector = jti),
	    &why);
	assert_int_equal(e.err, AG_OK);
	assert_false(((Ag__TokenRevokeReply *)e.reply)->already);
	ended_free(&e);
	expect(request(f, AG_MSG_WHOAMI, ASK(.token = one), NULL),
	    AG_UNAUTHENTICATED, "token_revoked");
	expect(request(f, AG_MSG_WHOAMI, ASK(.token = two), NULL), AG_OK, NULL);
	e = request(f, AG_MSG_TOKEN_REVOKE, ASK(.token = f->admin,
	    .selector = jti), &why);
	assert_true(((Ag__TokenRevokeReply *)e.reply)->already);
	ended_free(&e);
	why.reason = (char *)"";
	expect(request(f, AG_MSG_TOKEN_REVOKE, ASK(.token = two,
	    .selector = jti), &why), AG_INVALID_FIELD, "out_of_range");
	free(jti);
	free(one);
	free(two);
	free(who);
}

/* What the root of trust does not sign does not exist. */
static void
test_rot_away(void **state)
{
	Ag__TokenIssueAsk ask = AG__TOKEN_ISSUE_ASK__INIT;
	struct ended e = { 0 };
	const struct ag_kit_sent *sent;
	uint8_t id[16];

	deliver(f, AG_MSG_TOKEN_ISSUE, &ASK(.token = f->admin,
	    .selector = "admin"), &ask, id);
	sent = ag_kit_find(f->kit, AG_MSG_TOKEN_ISSUE);
	from_risk(f, sent);
	sent = ag_kit_find(f->kit, AG_MSG_ROT_SIGN_ASK);
	ag_kit_answer_error(f->kit, sent, AG_TIMEOUT, NULL);
	play(f, AG_MSG_TOKEN_ISSUE, &e);
	assert_int_equal(e.err, AG_UNAVAILABLE);
	assert_string_equal(e.reason, "rot");
	ended_free(&e);
}

static void
test_replay_holds_no_token(void **state)
{
	Ag__TokenIssueAsk ask = AG__TOKEN_ISSUE_ASK__INIT;
	const struct ag_kit_sent *sent;
	const Ag__JournalAppendAsk *append;
	Ag__TokenIssueReply *kept;
	struct ended e = { 0 };
	uint8_t id[16];

	deliver(f, AG_MSG_TOKEN_ISSUE, &ASK(.token = f->admin,
	    .selector = "admin", .idem = "once"), &ask, id);
	from_risk(f, ag_kit_find(f->kit, AG_MSG_TOKEN_ISSUE));
	assert_false(ag_kit_journal(f->kit)); /* the question: unknown */
	rot_sign(f, ag_kit_find(f->kit, AG_MSG_ROT_SIGN_ASK));
	sent = ag_kit_find(f->kit, AG_MSG_JOURNAL_APPEND_ASK);
	append = sent->body;
	assert_true(append->has_idem);
	kept = ag__token_issue_reply__unpack(NULL, append->reply.len,
	    append->reply.data);
	assert_null(kept->token);
	ag__token_issue_reply__free_unpacked(kept, NULL);
	ag_kit_answer_error(f->kit, sent, AG_UNAVAILABLE, NULL);
	play(f, AG_MSG_TOKEN_ISSUE, &e);
	ended_free(&e);
}

static void
test_roles(void **state)
{
	Ag__PageAsk page = AG__PAGE_ASK__INIT;
	struct ended e = request(f, AG_MSG_ROLE_LIST, ASK(.token = f->admin),
	    &page);

	assert_int_equal(((Ag__RoleListReply *)e.reply)->n_items, 5);
	ended_free(&e);
	e = request(f, AG_MSG_ROLE_READ, ASK(.token = f->admin,
	    .selector = "auditor"), NULL);
	assert_int_equal(((Ag__Role *)e.reply)->n_scopes, 3);
	ended_free(&e);
	expect(request(f, AG_MSG_ROLE_READ, ASK(.token = f->admin,
	    .selector = "root"), NULL), AG_ITEM_NOT_FOUND, NULL);
}

static void
test_tenants(void **state)
{
	Ag__TenantCreateAsk ask = AG__TENANT_CREATE_ASK__INIT;
	Ag__PageAsk page = AG__PAGE_ASK__INIT;
	char *alice = person(f, f->admin, AG__KIND__V__human, "walled", NULL);
	struct ended e;
	struct agent a = agent_of(f, f->admin, "key:x:sign", 0);
	char *other;

	ask.name = (char *)"acme";
	ask.admin_name = (char *)"admin";
	e = request(f, AG_MSG_TENANT_CREATE, ASK(.token = f->admin), &ask);
	assert_int_equal(e.err, AG_OK);
	other = strdup(((Ag__Tenant *)e.reply)->admin->token);
	ended_free(&e);
	expect(request(f, AG_MSG_TENANT_CREATE, ASK(.token = f->admin), &ask),
	    AG_ALREADY_EXISTS, "name");
	ask.name = (char *)"system";
	expect(request(f, AG_MSG_TENANT_CREATE, ASK(.token = f->admin), &ask),
	    AG_INVALID_FIELD, "bad_alias");
	e = request(f, AG_MSG_WHOAMI, ASK(.token = other), NULL);
	assert_string_equal(((Ag__WhoamiReply *)e.reply)->tenant, "acme");
	ended_free(&e);
	/* its admin sees nothing of ours, by name or by id, and no tenants */
	expect(request(f, AG_MSG_PRINCIPAL_READ, ASK(.token = other,
	    .selector = alice), NULL), AG_ITEM_NOT_FOUND, NULL);
	expect(request(f, AG_MSG_PRINCIPAL_READ, ASK(.token = other,
	    .selector = "walled"), NULL), AG_ITEM_NOT_FOUND, NULL);
	expect(request(f, AG_MSG_AGENT_READ, ASK(.token = other,
	    .selector = a.id), NULL), AG_ITEM_NOT_FOUND, NULL);
	because(f, AG_MSG_AGENT_REVOKE, other, a.id, AG_ITEM_NOT_FOUND, NULL);
	because(f, AG_MSG_TOKEN_REVOKE, other, a.jti, AG_ITEM_NOT_FOUND, NULL);
	because(f, AG_MSG_PRINCIPAL_DELETE, other, alice, AG_ITEM_NOT_FOUND,
	    NULL);
	expect(request(f, AG_MSG_TENANT_LIST, ASK(.token = other), &page),
	    AG_PERMISSION_DENIED, "scope_missing");
	key(f, "default", INVOICE, "shared-name", NULL, NULL, false);
	key(f, "acme", FOREIGN, "shared-name", NULL, NULL, false);
	expect(sign(f, other, INVOICE), AG_ITEM_NOT_FOUND, NULL);
	e = sign(f, other, "shared-name");
	assert_true(e.passed);
	assert_string_equal(e.grant->resource_id, FOREIGN);
	assert_string_equal(e.grant->tenant, "acme");
	ended_free(&e);
	e = request(f, AG_MSG_TENANT_LIST, ASK(.token = f->admin), &page);
	assert_int_equal(((Ag__TenantListReply *)e.reply)->n_items, 2);
	ended_free(&e);
	free(other);
	free(alice);
	agent_free(&a);
}

static void
test_agent_token_by_jti(void **state)
{
	struct agent a = agent_of(f, f->admin, "key:x:sign", 0);

	because(f, AG_MSG_TOKEN_REVOKE, f->admin, a.jti, AG_OK, NULL);
	expect(request(f, AG_MSG_WHOAMI, ASK(.token = a.token), NULL),
	    AG_UNAUTHENTICATED, "token_revoked");
	because(f, AG_MSG_TOKEN_REVOKE, f->admin, a.jti, AG_OK, NULL);
	because(f, AG_MSG_TOKEN_REVOKE, f->admin, "no-such-jti",
	    AG_ITEM_NOT_FOUND, NULL);
	agent_free(&a);
}

static void
test_jwks(void **state)
{
	Ag__Envelope env = AG__ENVELOPE__INIT;
	Ag__JwksAsk ask = AG__JWKS_ASK__INIT;
	const struct ag_kit_sent *sent;
	const Ag__JwksReply *reply;

	env.has_corr = true;
	env.corr = 5;
	ag_kit_deliver(f->kit, AG_ROLE_PLANE, 1, AG_MSG_JWKS_ASK, &env, &ask);
	sent = ag_kit_find(f->kit, AG_MSG_JWKS_REPLY);
	assert_non_null(sent);
	reply = sent->body;
	assert_int_equal(reply->n_keys, 1);
	assert_string_equal(reply->keys[0]->kid, "k1");
	assert_string_equal(reply->keys[0]->crv, "Ed25519");
	assert_int_equal(strlen(reply->keys[0]->x), 43);
}

/* What is asked for must be one of what there is. */
static void
test_filters_are_words(void **state)
{
	Ag__PrincipalListAsk ask = AG__PRINCIPAL_LIST_ASK__INIT;

	ask.state = (char *)"asleep";
	expect(request(f, AG_MSG_PRINCIPAL_LIST, ASK(.token = f->admin), &ask),
	    AG_INVALID_FIELD, "unknown_value");
	ask.state = NULL;
	ask.role = (char *)"nothing-like-it";
	expect(request(f, AG_MSG_PRINCIPAL_LIST, ASK(.token = f->admin), &ask),
	    AG_INVALID_FIELD, "unknown_value");
}

/* A page ends where it was told to, and the next begins there. */
static void
test_pages(void **state)
{
	Ag__PrincipalListAsk ask = AG__PRINCIPAL_LIST_ASK__INIT;
	Ag__PrincipalListReply *page;
	char *cursor, *first;
	struct ended e;

	free(person(f, f->admin, AG__KIND__V__human, "page-one", NULL));
	free(person(f, f->admin, AG__KIND__V__human, "page-two", NULL));
	ask.has_limit = true;
	ask.limit = 1;
	e = request(f, AG_MSG_PRINCIPAL_LIST, ASK(.token = f->admin), &ask);
	page = e.reply;
	assert_int_equal(page->n_items, 1);
	assert_non_null(page->next_cursor);
	cursor = strdup(page->next_cursor);
	first = strdup(page->items[0]->id);
	ended_free(&e);
	ask.cursor = cursor;
	e = request(f, AG_MSG_PRINCIPAL_LIST, ASK(.token = f->admin), &ask);
	page = e.reply;
	assert_int_equal(page->n_items, 1);
	assert_string_not_equal(page->items[0]->id, first);
	ended_free(&e);
	/* It is of that question only. */
	ask.state = (char *)"active";
	expect(request(f, AG_MSG_PRINCIPAL_LIST, ASK(.token = f->admin), &ask),
	    AG_INVALID_FIELD, "bad_cursor");
	free(cursor);
	free(first);
}

static void
test_too_many(void **state)
{
	enum { ROLES = 33, LABELS = 32 };
	Ag__PrincipalCreateAsk create_ask = AG__PRINCIPAL_CREATE_ASK__INIT;
	Ag__PrincipalUpdateAsk ask = AG__PRINCIPAL_UPDATE_ASK__INIT;
	char *who = person(f, f->admin, AG__KIND__V__human, "many", NULL);
	char *roles[ROLES], names[LABELS + 1][8];
	Ag__Pair pairs[LABELS + 1], *list[LABELS + 1];

	for (unsigned i = 0; i < ROLES; i++)
		roles[i] = (char *)"auditor";
	create_ask.kind = AG__KIND__V__human;
	create_ask.name = (char *)"many-roles";
	create_ask.roles = roles;
	create_ask.n_roles = ROLES;
	expect(request(f, AG_MSG_PRINCIPAL_CREATE, ASK(.token = f->admin),
	    &create_ask), AG_INVALID_FIELD, "out_of_range");
	create_ask.n_roles = 2; /* the same one twice */
	expect(request(f, AG_MSG_PRINCIPAL_CREATE, ASK(.token = f->admin),
	    &create_ask), AG_INVALID_FIELD, "conflicting_fields");
	for (unsigned i = 0; i <= LABELS; i++) {
		ag__pair__init(&pairs[i]);
		snprintf(names[i], sizeof(names[i]), "l%u", i);
		pairs[i].key = names[i];
		pairs[i].value = (char *)"v";
		list[i] = &pairs[i];
	}
	ask.labels = list;
	ask.n_labels = LABELS;
	expect(request(f, AG_MSG_PRINCIPAL_UPDATE, ASK(.token = f->admin,
	    .selector = who), &ask), AG_OK, NULL);
	ask.labels = list + LABELS;
	ask.n_labels = 1;
	expect(request(f, AG_MSG_PRINCIPAL_UPDATE, ASK(.token = f->admin,
	    .selector = who), &ask), AG_INVALID_FIELD, "out_of_range");
	free(who);
}

/* Nothing of who is deleted is changed, and no role is taken that is not held. */
static void
test_the_deleted_stay_as_they_were(void **state)
{
	Ag__PrincipalUpdateAsk ask = AG__PRINCIPAL_UPDATE_ASK__INIT;
	Ag__RoleGrantAsk role = AG__ROLE_GRANT_ASK__INIT;
	Ag__Pair a = AG__PAIR__INIT, *pairs[1] = { &a };
	char *who = person(f, f->admin, AG__KIND__V__human, "over", NULL);

	role.role = (char *)"auditor";
	expect(request(f, AG_MSG_ROLE_UNGRANT, ASK(.token = f->admin,
	    .selector = who), &role), AG_ITEM_NOT_FOUND, NULL);
	because(f, AG_MSG_PRINCIPAL_DELETE, f->admin, who, AG_OK, NULL);
	a.key = (char *)"team";
	a.value = (char *)"pay";
	ask.labels = pairs;
	ask.n_labels = 1;
	expect(request(f, AG_MSG_PRINCIPAL_UPDATE, ASK(.token = f->admin,
	    .selector = who), &ask), AG_ILLEGAL_OPERATION, "transition");
	because(f, AG_MSG_PRINCIPAL_SUSPEND, f->admin, who,
	    AG_ILLEGAL_OPERATION, "transition");
	expect(request(f, AG_MSG_ROLE_GRANT, ASK(.token = f->admin,
	    .selector = who), &role), AG_ILLEGAL_OPERATION, "transition");
	free(who);
}

/* A token that was revoked is none after a restart either, from the snapshot
 * alone; one that was not lives on. */
static void
test_revoked_after_a_restart(void **state)
{
	char dir[] = "/tmp/iam-revoked-XXXXXX", command[64], jti[AG_ID_SIZE];
	EVP_PKEY *issuer = f->issuer;
	char *who, *gone, *kept;
	struct fleet *again;

	assert_non_null(mkdtemp(dir));
	EVP_PKEY_up_ref(issuer);
	EVP_PKEY_up_ref(issuer);
	again = fleet_on(NULL, dir, issuer);
	fleet_free(f);
	f = again;
	who = person(f, f->admin, AG__KIND__V__human, "alice", "auditor");
	gone = token_of(f, f->admin, who, NULL);
	snprintf(jti, sizeof(jti), "%s", iam_node_find(ag_kit_state(f->kit),
	    who)->tokens->jti);
	kept = token_of(f, f->admin, who, NULL);
	because(f, AG_MSG_TOKEN_REVOKE, f->admin, jti, AG_OK, NULL);
	expect(request(f, AG_MSG_WHOAMI, ASK(.token = gone), NULL),
	    AG_UNAUTHENTICATED, NULL);
	fleet_free(f);
	f = fleet_on(NULL, dir, issuer);
	expect(request(f, AG_MSG_WHOAMI, ASK(.token = gone), NULL),
	    AG_UNAUTHENTICATED, NULL);
	expect(request(f, AG_MSG_WHOAMI, ASK(.token = kept), NULL), AG_OK, NULL);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
	free(who);
	free(gone);
	free(kept);
}

static struct ended
may(const char *by, uint16_t op, const char *principal, const char *action,
    const char *resource)
{
	Ag__AuthzCheckAsk ask = AG__AUTHZ_CHECK_ASK__INIT;

	ask.principal = (char *)principal;
	ask.action = (char *)action;
	ask.resource = (char *)resource;
	return request(f, op, ASK(.token = by), &ask);
}

static void
decided(struct ended e, const char *decision, const char *reason)
{
	const Ag__AuthzCheckReply *reply = e.reply;

	assert_int_equal(e.err, AG_OK);
	assert_string_equal(reply->decision, decision);
	if (reason != NULL)
		assert_string_equal(reply->reason_code, reason);
	ended_free(&e);
}

/* May they? As the station would say, without asking it. */
static void
test_may_they(void **state)
{
	static const uint16_t ops[] = { AG_MSG_AUTHZ_CHECK,
		AG_MSG_AUTHZ_EXPLAIN };
	char *bob = person(f, f->admin, AG__KIND__V__human, "bob", "key-user");
	struct agent a = agent_of(f, f->admin, "key:invoice:sign", 0);
	Ag__AuthzCheckAsk one = AG__AUTHZ_CHECK_ASK__INIT,
	    two = AG__AUTHZ_CHECK_ASK__INIT, *items[] = { &one, &two };
	Ag__AuthzBulkAsk bulk = AG__AUTHZ_BULK_ASK__INIT;
	Ag__AuthzBulkReply *reply;
	struct ended e;

	key(f, "default", INVOICE, "invoice", NULL, NULL, false);
	key(f, "default", HONEY, "bait", NULL, NULL, true);
#define MAY(who, action, what) may(f->admin, AG_MSG_AUTHZ_CHECK, who, action, what)
	decided(MAY("bob", "key.sign", "invoice"), "allow", NULL);
	decided(MAY("bob", "key.destroy", "invoice"), "deny", "scope_missing");
	decided(MAY(a.id, "key.sign", "invoice"), "allow", NULL);
	decided(MAY(a.id, "agent.issue", NULL), "deny", "delegate_not_allowed");
	decided(MAY(a.id, "agent.revoke", a.id), "allow", NULL);
	decided(MAY(a.id, "principal.read", "bob"), "deny", "scope_missing");
	for (size_t i = 0; i < 2; i++) {
		expect(may(f->admin, ops[i], "bob", "key.fly", "invoice"),
		    AG_INVALID_FIELD, "unknown_value");
		expect(may(f->admin, ops[i], "bob", "key.sign", NULL),
		    AG_INVALID_FIELD, "missing");
		expect(may(f->admin, ops[i], "nobody", "key.sign", "invoice"),
		    AG_INVALID_FIELD, "unknown_value");
	}
	expect(request(f, AG_MSG_AUTHZ_BULK, ASK(.token = f->admin), &bulk),
	    AG_INVALID_FIELD, "out_of_range");
	/* One that is no question spoils no other. */
	one.principal = two.principal = (char *)"bob";
	one.action = (char *)"key.sign";
	two.action = (char *)"key.fly";
	one.resource = two.resource = (char *)"invoice";
	bulk.items = items;
	bulk.n_items = 2;
	e = request(f, AG_MSG_AUTHZ_BULK, ASK(.token = f->admin), &bulk);
	reply = e.reply;
	assert_int_equal(e.err, AG_OK);
	assert_int_equal(reply->n_items, 2);
	assert_string_equal(reply->items[0]->result->decision, "allow");
	assert_null(reply->items[0]->error);
	assert_null(reply->items[1]->result);
	assert_string_equal(reply->items[1]->error->reason_code, "unknown_value");
	ended_free(&e);
	/* An agent that ended may nothing, and who is suspended neither. */
	because(f, AG_MSG_PRINCIPAL_SUSPEND, f->admin, "bob", AG_OK, NULL);
	decided(MAY("bob", "key.sign", "invoice"), "deny", NULL);
	because(f, AG_MSG_AGENT_REVOKE, f->admin, a.id, AG_OK, NULL);
	decided(MAY(a.id, "key.sign", "invoice"), "deny", NULL);
	agent_free(&a);
	free(bob);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bootstrap),
		cmocka_unit_test(test_create),
		cmocka_unit_test(test_create_race),
		cmocka_unit_test(test_no_roles_above_own),
		cmocka_unit_test(test_update),
		cmocka_unit_test(test_last_admin),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_rot_away),
		cmocka_unit_test(test_replay_holds_no_token),
		cmocka_unit_test(test_roles),
		cmocka_unit_test(test_tenants),
		cmocka_unit_test(test_agent_token_by_jti),
		cmocka_unit_test(test_jwks),
		cmocka_unit_test(test_filters_are_words),
		cmocka_unit_test(test_pages),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_the_deleted_stay_as_they_were),
		cmocka_unit_test(test_may_they),
		cmocka_unit_test(test_revoked_after_a_restart),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
