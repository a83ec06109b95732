/* SPDX-License-Identifier: Apache-2.0 */
/* Roles that a tenant makes: what they give, now; who may make them; and that
 * no change leaves a tenant without an admin. */
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

/* scope, inherit: one each, or NULL. */
static struct ended
set_role(const char *by, const char *name, const char *scope,
    const char *inherit)
{
	Ag__RoleSetAsk ask = AG__ROLE_SET_ASK__INIT;
	char *scopes[1] = { (char *)scope }, *inherits[1] = { (char *)inherit };

	ask.scopes = scopes;
	ask.n_scopes = scope != NULL;
	ask.inherits = inherits;
	ask.n_inherits = inherit != NULL;
	return request(f, AG_MSG_ROLE_SET, ASK(.token = by, .selector = name),
	    &ask);
}

static struct ended
grant(const char *by, const char *who, const char *role, int64_t from,
    int64_t until)
{
	Ag__RoleGrantAsk ask = AG__ROLE_GRANT_ASK__INIT;

	ask.role = (char *)role;
	ask.has_valid_from = from != 0;
	ask.valid_from = from;
	ask.has_valid_until = until != 0;
	ask.valid_until = until;
	return request(f, AG_MSG_ROLE_GRANT, ASK(.token = by, .selector = who),
	    &ask);
}

static struct ended
ungrant(const char *by, const char *who, const char *role)
{
	Ag__RoleGrantAsk ask = AG__ROLE_GRANT_ASK__INIT;

	ask.role = (char *)role;
	return request(f, AG_MSG_ROLE_UNGRANT, ASK(.token = by,
	    .selector = who), &ask);
}

/* Three levels; every change binds on the next call. */
static void
test_inherited(void **state)
{
	char *bob = person(f, f->admin, AG__KIND__V__human, "bob", NULL);
	char *token = token_of(f, f->admin, bob, NULL);
	struct ended e = set_role(f->admin, "base", "key:invoice:sign", NULL);
	Ag__Role *role = e.reply;

	assert_int_equal(e.err, AG_OK);
	assert_int_equal(role->revision, 1);
	assert_false(role->builtin);
	ended_free(&e);
	expect(set_role(f->admin, "middle", NULL, "base"), AG_OK, NULL);
	expect(set_role(f->admin, "top", "key:invoice:read", "middle"), AG_OK,
	    NULL);
	expect(sign(f, token, "invoice"), AG_PERMISSION_DENIED, "scope_missing");
	expect(grant(f->admin, "bob", "top", 0, 0), AG_OK, NULL);
	expect(sign(f, token, "invoice"), AG_OK, NULL);
	expect(set_role(f->admin, "base", "key:invoice:verify", NULL), AG_OK,
	    NULL);
	expect(sign(f, token, "invoice"), AG_PERMISSION_DENIED, "scope_missing");
	expect(set_role(f->admin, "base", "key:*:*", NULL), AG_OK, NULL);
	expect(sign(f, token, "invoice"), AG_OK, NULL);
	because(f, AG_MSG_ROLE_DELETE, f->admin, "middle", AG_OK, NULL);
	expect(sign(f, token, "invoice"), AG_PERMISSION_DENIED, "scope_missing");
	free(bob);
	free(token);
}

/* An agent never has more than its chain's roles give now. */
static void
test_agents_of_a_role(void **state)
{
	char *bob = person(f, f->admin, AG__KIND__V__human, "bob", "agent-issuer");
	char *token = token_of(f, f->admin, bob, NULL);
	struct agent a;

	expect(set_role(f->admin, "signer", "key:invoice:sign", NULL), AG_OK,
	    NULL);
	expect(grant(f->admin, "bob", "signer", 0, 0), AG_OK, NULL);
	a = agent_of(f, token, "key:invoice:sign", 0);
	expect(sign(f, a.token, "invoice"), AG_OK, NULL);
	expect(set_role(f->admin, "signer", "key:invoice:verify", NULL), AG_OK,
	    NULL);
	expect(sign(f, a.token, "invoice"), AG_PERMISSION_DENIED,
	    "parent_scope_missing");
	agent_free(&a);
	free(bob);
	free(token);
}

static void
test_cycle(void **state)
{
	expect(set_role(f->admin, "a", "key:invoice:sign", "a"),
	    AG_INVALID_FIELD, "unknown_value");
	expect(set_role(f->admin, "a", "key:invoice:sign", NULL), AG_OK, NULL);
	expect(set_role(f->admin, "a", NULL, "a"), AG_ILLEGAL_OPERATION,
	    "role_cycle");
	expect(set_role(f->admin, "b", NULL, "a"), AG_OK, NULL);
	expect(set_role(f->admin, "c", NULL, "b"), AG_OK, NULL);
	expect(set_role(f->admin, "a", NULL, "c"), AG_ILLEGAL_OPERATION,
	    "role_cycle");
	expect(set_role(f->admin, "a", NULL, "key-user"), AG_OK, NULL);
}

static void
test_refused(void **state)
{
	Ag__RoleSetAsk many = AG__ROLE_SET_ASK__INIT;
	char *texts[IAM_SCOPES_MAX + 1];

	expect(set_role(f->admin, "admin", "key:x:sign", NULL),
	    AG_PERMISSION_DENIED, "system_attribute");
	because(f, AG_MSG_ROLE_DELETE, f->admin, "auditor", AG_PERMISSION_DENIED,
	    "system_attribute");
	expect(set_role(f->admin, "Bad", "key:x:sign", NULL), AG_INVALID_FIELD,
	    "bad_alias");
	expect(set_role(f->admin, "r", "key:x", NULL), AG_INVALID_FIELD,
	    "bad_scope");
	expect(set_role(f->admin, "r", "key:x:fly", NULL), AG_INVALID_FIELD,
	    "bad_scope");
	expect(set_role(f->admin, "r", NULL, "nobody"), AG_INVALID_FIELD,
	    "unknown_value");
	because(f, AG_MSG_ROLE_DELETE, f->admin, "nobody", AG_ITEM_NOT_FOUND,
	    NULL);
	for (unsigned i = 0; i <= IAM_SCOPES_MAX; i++)
		texts[i] = (char *)"key:x:sign";
	many.scopes = texts;
	many.n_scopes = IAM_SCOPES_MAX + 1;
	expect(request(f, AG_MSG_ROLE_SET, ASK(.token = f->admin,
	    .selector = "r"), &many), AG_INVALID_FIELD, "out_of_range");
	expect(set_role(f->admin, "r", "key:x:sign", NULL), AG_OK, NULL);
	because(f, AG_MSG_ROLE_DELETE, f->admin, "r", AG_OK, NULL);
	expect(set_role(f->admin, "r", "key:x:sign", NULL), AG_ALREADY_EXISTS,
	    "name");
	expect(grant(f->admin, "admin", "r", 0, 0), AG_ITEM_NOT_FOUND, NULL);
	expect(request(f, AG_MSG_ROLE_READ, ASK(.token = f->admin,
	    .selector = "r"), NULL), AG_ITEM_NOT_FOUND, NULL);
}

/* Who may change principals cannot climb by changing what roles give. */
static void
test_no_climbing(void **state)
{
	char *eve = person(f, f->admin, AG__KIND__V__human, "eve", NULL);
	char *token;

	expect(set_role(f->admin, "clerk", "principal:*:*", NULL), AG_OK, NULL);
	expect(set_role(f->admin, "boss", "key:*:*", NULL), AG_OK, NULL);
	expect(grant(f->admin, "eve", "clerk", 0, 0), AG_OK, NULL);
	token = token_of(f, f->admin, eve, NULL);
	expect(set_role(token, "mine", "principal:*:read", NULL), AG_OK, NULL);
	expect(grant(token, "eve", "mine", 0, 0), AG_OK, NULL);
	expect(set_role(token, "mine", "key:*:sign", NULL), AG_PERMISSION_DENIED,
	    "role_missing");
	expect(set_role(token, "mine", NULL, "boss"), AG_PERMISSION_DENIED,
	    "role_missing");
	expect(set_role(token, "mine", NULL, "admin"), AG_PERMISSION_DENIED,
	    "role_missing");
	/* Nor take from those above. */
	expect(set_role(token, "boss", "principal:*:read", NULL),
	    AG_PERMISSION_DENIED, "role_missing");
	because(f, AG_MSG_ROLE_DELETE, token, "boss", AG_PERMISSION_DENIED,
	    "role_missing");
	expect(grant(token, "eve", "boss", 0, 0), AG_PERMISSION_DENIED,
	    "role_missing");
	free(eve);
	free(token);
}

static void
test_last_admin(void **state)
{
	char *ann = person(f, f->admin, AG__KIND__V__human, "ann", NULL);
	int64_t now = ag_kit_now(f->kit);

	expect(set_role(f->admin, "root", NULL, "admin"), AG_OK, NULL);
	expect(ungrant(f->admin, "admin", "admin"), AG_ILLEGAL_OPERATION,
	    "last_admin");
	expect(grant(f->admin, "admin", "admin", 0, now + 60000),
	    AG_ILLEGAL_OPERATION, "last_admin");
	expect(grant(f->admin, "admin", "admin", now + 60000, 0),
	    AG_ILLEGAL_OPERATION, "last_admin");
	because(f, AG_MSG_PRINCIPAL_SUSPEND, f->admin, "admin",
	    AG_ILLEGAL_OPERATION, "last_admin");
	/* Another one by way of a role of one's own is as good. */
	expect(grant(f->admin, "ann", "root", 0, 0), AG_OK, NULL);
	expect(ungrant(f->admin, "admin", "admin"), AG_OK, NULL);
	free(ann);
}

/* ann is the only admin, through a role: that role must stay what it is. */
static void
test_last_admin_role(void **state)
{
	char *ann = person(f, f->admin, AG__KIND__V__human, "ann", NULL);
	char *token;

	expect(set_role(f->admin, "root", NULL, "admin"), AG_OK, NULL);
	expect(grant(f->admin, "ann", "root", 0, 0), AG_OK, NULL);
	token = token_of(f, f->admin, ann, NULL);
	because(f, AG_MSG_PRINCIPAL_SUSPEND, token, "admin", AG_OK, NULL);
	expect(set_role(token, "root", "key:*:*", NULL), AG_ILLEGAL_OPERATION,
	    "last_admin");
	because(f, AG_MSG_ROLE_DELETE, token, "root", AG_ILLEGAL_OPERATION,
	    "last_admin");
	expect(ungrant(token, "ann", "root"), AG_ILLEGAL_OPERATION,
	    "last_admin");
	because(f, AG_MSG_PRINCIPAL_RESUME, token, "admin", AG_OK, NULL);
	expect(set_role(token, "root", "key:*:*", NULL), AG_OK, NULL);
	free(ann);
	free(token);
}

/* From its first millisecond to the one before its last. */
static void
test_valid_times(void **state)
{
	char *bob = person(f, f->admin, AG__KIND__V__human, "bob", NULL);
	char *token = token_of(f, f->admin, bob, NULL);
	int64_t now = ag_kit_now(f->kit);

	expect(set_role(f->admin, "signer", "key:invoice:sign", NULL), AG_OK,
	    NULL);
	expect(grant(f->admin, "bob", "signer", now + 10000, now + 5000),
	    AG_INVALID_FIELD, "out_of_range");
	expect(grant(f->admin, "bob", "signer", 0, now), AG_INVALID_FIELD,
	    "out_of_range");
	expect(grant(f->admin, "bob", "signer", now + 10000, now + 20000),
	    AG_OK, NULL);
	later(f, 9999);
	expect(sign(f, token, "invoice"), AG_PERMISSION_DENIED, "scope_missing");
	later(f, 1);
	expect(sign(f, token, "invoice"), AG_OK, NULL);
	later(f, 9999);
	expect(sign(f, token, "invoice"), AG_OK, NULL);
	later(f, 1);
	expect(sign(f, token, "invoice"), AG_PERMISSION_DENIED, "scope_missing");
	free(bob);
	free(token);
}

static void
test_list_and_tenants(void **state)
{
	Ag__PageAsk page = AG__PAGE_ASK__INIT;
	char *other = tenant_of(f, "acme");
	Ag__RoleListReply *list;
	struct ended e;

	expect(set_role(f->admin, "b-role", "key:x:sign", NULL), AG_OK, NULL);
	expect(set_role(other, "b-role", "key:y:sign", NULL), AG_OK, NULL);
	expect(set_role(other, "z-role", NULL, "b-role"), AG_OK, NULL);
	expect(request(f, AG_MSG_ROLE_READ, ASK(.token = f->admin,
	    .selector = "z-role"), NULL), AG_ITEM_NOT_FOUND, NULL);
	expect(set_role(f->admin, "c", NULL, "z-role"), AG_INVALID_FIELD,
	    "unknown_value");
	page.has_limit = true;
	page.limit = 4;
	e = request(f, AG_MSG_ROLE_LIST, ASK(.token = f->admin), &page);
	list = e.reply;
	assert_int_equal(list->n_items, 4);
	assert_string_equal(list->items[3]->name, "b-role");
	assert_string_equal(list->items[3]->scopes[0], "key:x:sign");
	page.cursor = strdup(list->next_cursor);
	ended_free(&e);
	e = request(f, AG_MSG_ROLE_LIST, ASK(.token = f->admin), &page);
	list = e.reply;
	assert_int_equal(list->n_items, 2);
	assert_string_equal(list->items[1]->name, "key-user");
	assert_null(list->next_cursor);
	ended_free(&e);
	expect(request(f, AG_MSG_ROLE_LIST, ASK(.token = other), &page),
	    AG_INVALID_FIELD, "bad_cursor");
	free(page.cursor);
	free(other);
}

static void
test_if_match(void **state)
{
	Ag__RoleSetAsk ask = AG__ROLE_SET_ASK__INIT;

	expect(set_role(f->admin, "r", "key:x:sign", NULL), AG_OK, NULL);
	expect(request(f, AG_MSG_ROLE_SET, ASK(.token = f->admin,
	    .selector = "r", .if_match = "\"7\""), &ask),
	    AG_PRECONDITION_FAILED, NULL);
	expect(request(f, AG_MSG_ROLE_SET, ASK(.token = f->admin,
	    .selector = "r", .if_match = "\"1\""), &ask), AG_OK, NULL);
}

/* A tenant has a bounded number, and one that inherits all of a wide tree is
 * refused. */
static void
test_bounds(void **state)
{
	Ag__RoleSetAsk ask = AG__ROLE_SET_ASK__INIT;
	char texts[IAM_SCOPES_MAX][48], names[12][16];
	char *scopes[IAM_SCOPES_MAX], *inherits[12];

	ask.scopes = scopes;
	ask.n_scopes = IAM_SCOPES_MAX;
	for (unsigned i = 0; i < 9; i++) {
		for (unsigned j = 0; j < IAM_SCOPES_MAX; j++) {
			snprintf(texts[j], sizeof(texts[j]), "key:k%u-%u:sign", i,
			    j);
			scopes[j] = texts[j];
		}
		snprintf(names[i], sizeof(names[i]), "wide%u", i);
		inherits[i] = names[i];
		expect(request(f, AG_MSG_ROLE_SET, ASK(.token = f->admin,
		    .selector = names[i]), &ask), AG_OK, NULL);
	}
	ask.n_scopes = 0;
	ask.inherits = inherits;
	ask.n_inherits = 8;
	expect(request(f, AG_MSG_ROLE_SET, ASK(.token = f->admin,
	    .selector = "all"), &ask), AG_OK, NULL);
	ask.n_inherits = 9;
	expect(request(f, AG_MSG_ROLE_SET, ASK(.token = f->admin,
	    .selector = "all"), &ask), AG_INVALID_FIELD, "out_of_range");
	for (unsigned i = 10; i < IAM_TENANT_ROLES_MAX; i++) {
		snprintf(names[0], sizeof(names[0]), "r%u", i);
		expect(set_role(f->admin, names[0], "key:x:sign", NULL), AG_OK,
		    NULL);
	}
	expect(set_role(f->admin, "more", "key:x:sign", NULL), AG_RATE_LIMITED,
	    "account");
}

static void
test_restart(void **state)
{
	char dir[] = "/tmp/aegis-iam-XXXXXX", command[64];
	EVP_PKEY *issuer = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	struct fleet *was = f;
	char *bob, *token;

	assert_non_null(mkdtemp(dir));
	EVP_PKEY_up_ref(issuer);
	f = fleet_on(NULL, dir, issuer);
	key(f, "default", INVOICE, "invoice", NULL, NULL, false);
	bob = person(f, f->admin, AG__KIND__V__human, "bob", NULL);
	token = token_of(f, f->admin, bob, NULL);
	expect(set_role(f->admin, "base", "key:invoice:sign", NULL), AG_OK, NULL);
	expect(set_role(f->admin, "top", NULL, "base"), AG_OK, NULL);
	expect(set_role(f->admin, "old", "key:*:*", NULL), AG_OK, NULL);
	expect(grant(f->admin, "bob", "top", 0, 0), AG_OK, NULL);
	because(f, AG_MSG_ROLE_DELETE, f->admin, "old", AG_OK, NULL);
	fleet_free(f);
	f = fleet_on(NULL, dir, issuer);
	expect(sign(f, token, "invoice"), AG_OK, NULL);
	expect(set_role(f->admin, "old", "key:x:sign", NULL), AG_ALREADY_EXISTS,
	    "name");
	fleet_free(f);
	f = was;
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
	free(bob);
	free(token);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_inherited),
		TEST(test_agents_of_a_role),
		TEST(test_cycle),
		TEST(test_refused),
		TEST(test_no_climbing),
		TEST(test_last_admin),
		TEST(test_last_admin_role),
		TEST(test_valid_times),
		TEST(test_list_and_tenants),
		TEST(test_if_match),
		TEST(test_bounds),
		TEST(test_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
