/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Out of memory while a request is answered, at every place where memory is
 * asked for. Either it makes no difference (the answer is the whole one), or
 * the request fails on our side (no refusal of the asker), nothing is changed, nothing is held on to,
 * and the same request asked again is answered.
 */
#include "iam_memory.h"

#include <credentials.h>
#include <iam.h>
#include <rulebook.h>

static struct fleet *f;
static struct iam *iam;
static struct ag_actor actor;
static bool committed;
static unsigned serial;
/* Of the request that is under way. */
static char *id, name[AG_NAME_MAX + 1], other[AG_NAME_MAX + 1];
static struct agent walker;

/* What is journaled is applied: iam_memory_test is about that. */
static ag_err
apply(void *state, struct ag_ctx *ctx, const struct ag_fact_record *record)
{
	unsigned kept = fail_at;
	ag_err err;

	fail_at = 0;
	committed = true;
	err = ag_actor_iam.apply(state, ctx, record);
	fail_at = kept;
	return err;
}

#define RULES "permit (principal, action, resource);" \
	"forbid (principal, action, resource is Aegis::Key) when { " \
	"resource.hasTag(\"env\") && resource.getTag(\"env\") == \"none\" };"

static struct ended
put(const char *doc, const char *text)
{
	Ag__PolicySetAsk ask = AG__POLICY_SET_ASK__INIT;

	ask.text = (char *)text;
	return request(f, AG_MSG_POLICY_SET, ASK(.token = f->admin,
	    .selector = doc), &ask);
}

static int
setup(void **state)
{
	actor = ag_actor_iam;
	actor.apply = apply;
	fleet_actor = &actor;
	f = fleet_new(NULL);
	iam = ag_kit_state(f->kit);
	key(f, "default", INVOICE, "invoice", "env", "prod", false);
	expect(put("base", RULES), AG_OK, NULL);
	expect(put("base", RULES), AG_OK, NULL);
	walker = agent_of(f, f->admin, "key:invoice:sign", 3);
	return 0;
}

static int
teardown(void **state)
{
	agent_free(&walker);
	fleet_free(f);
	free(id);
	return 0;
}

/* ------------------------------------------------------------ what is asked */

static void
before_none(void)
{
	serial++;
	snprintf(name, sizeof(name), "name-%u", serial);
	snprintf(other, sizeof(other), "other-%u", serial);
}

static void
before_person(void)
{
	before_none();
	free(id);
	id = person(f, f->admin, AG__KIND__V__human, name, "key-user");
}

static struct ended
reason(uint16_t op, const char *selector)
{
	Ag__ReasonAsk ask = AG__REASON_ASK__INIT;

	ask.reason = (char *)"because";
	return request(f, op, ASK(.token = f->admin, .selector = selector),
	    &ask);
}

static void
before_suspended(void)
{
	before_person();
	expect(reason(AG_MSG_PRINCIPAL_SUSPEND, name), AG_OK, NULL);
}

static void
before_token(void)
{
	struct iam_token *token;

	before_person();
	free(token_of(f, f->admin, name, "key:invoice:sign"));
	token = iam_node_find(iam, id)->tokens;
	assert_non_null(token);
	snprintf(name, sizeof(name), "%s", token->jti);
}

static void
before_agent(void)
{
	struct agent above, below;

	before_none();
	above = agent_of(f, f->admin, "key:invoice:sign", 3);
	below = agent_of(f, above.token, "key:invoice:sign", 1);
	free(id);
	id = strdup(above.id);
	agent_free(&above);
	agent_free(&below);
}

static void
before_suspended_agent(void)
{
	before_agent();
	expect(reason(AG_MSG_AGENT_SUSPEND, id), AG_OK, NULL);
}

static struct ended
role_set(void)
{
	Ag__RoleSetAsk ask = AG__ROLE_SET_ASK__INIT;
	char *scopes[] = { (char *)"key:invoice:sign" }, *up[] = { (char *)"auditor" };

	ask.scopes = scopes;
	ask.n_scopes = 1;
	ask.inherits = up;
	ask.n_inherits = 1;
	return request(f, AG_MSG_ROLE_SET, ASK(.token = f->admin,
	    .selector = name), &ask);
}

static void
before_role(void)
{
	before_none();
	expect(role_set(), AG_OK, NULL);
}

static void
before_tenant(void)
{
	before_none();
	free(tenant_of(f, name));
}

static void
before_policy(void)
{
	before_none();
	expect(put("second", RULES), AG_OK, NULL);
	expect(put("second", RULES " "), AG_OK, NULL);
}

static struct ended
create(void)
{
	Ag__PrincipalCreateAsk ask = AG__PRINCIPAL_CREATE_ASK__INIT;
	Ag__External external = AG__EXTERNAL__INIT;
	Ag__Pair pair = AG__PAIR__INIT, *pairs[] = { &pair };
	char *roles[] = { (char *)"key-user", (char *)"auditor" };

	ask.kind = AG__KIND__V__human;
	ask.name = name;
	ask.roles = roles;
	ask.n_roles = 2;
	external.issuer = (char *)"https://issuer.example";
	external.subject = name;
	ask.external = &external;
	pair.key = (char *)"team";
	pair.value = (char *)"blue";
	ask.labels = pairs;
	ask.n_labels = 1;
	return request(f, AG_MSG_PRINCIPAL_CREATE, ASK(.token = f->admin), &ask);
}

static struct ended
update(void)
{
	Ag__PrincipalUpdateAsk ask = AG__PRINCIPAL_UPDATE_ASK__INIT;
	Ag__ExternalPatch external = AG__EXTERNAL_PATCH__INIT;
	Ag__Pair pair = AG__PAIR__INIT, *pairs[] = { &pair };

	external.issuer = (char *)"https://issuer.example";
	external.subject = name;
	ask.external = &external;
	pair.key = (char *)"team";
	pair.value = (char *)"red";
	ask.labels = pairs;
	ask.n_labels = 1;
	return request(f, AG_MSG_PRINCIPAL_UPDATE, ASK(.token = f->admin,
	    .selector = name), &ask);
}

static struct ended
role_of(uint16_t op, const char *role)
{
	Ag__RoleGrantAsk ask = AG__ROLE_GRANT_ASK__INIT;

	ask.role = (char *)role;
	return request(f, op, ASK(.token = f->admin, .selector = name), &ask);
}

static struct ended grant(void) { return role_of(AG_MSG_ROLE_GRANT, "auditor"); }
static struct ended ungrant(void) { return role_of(AG_MSG_ROLE_UNGRANT, "key-user"); }

static struct ended
token_issue(void)
{
	Ag__TokenIssueAsk ask = AG__TOKEN_ISSUE_ASK__INIT;
	char *scopes[] = { (char *)"key:invoice:sign", (char *)"key:*:list" };

	ask.scopes = scopes;
	ask.n_scopes = 2;
	return request(f, AG_MSG_TOKEN_ISSUE, ASK(.token = f->admin,
	    .selector = name), &ask);
}

static struct ended
tenant_create(void)
{
	Ag__TenantCreateAsk ask = AG__TENANT_CREATE_ASK__INIT;

	ask.name = name;
	ask.admin_name = (char *)"admin";
	return request(f, AG_MSG_TENANT_CREATE, ASK(.token = f->admin), &ask);
}

static struct ended
agent_issue_by(const char *token)
{
	char *scopes[] = { (char *)"key:invoice:sign" };
	char *cidrs[] = { (char *)"192.0.2.0/24" };
	Ag__AgentIssueAsk ask = agent_ask(scopes, 1);

	ask.max_depth = 1;
	ask.source_cidrs = cidrs;
	ask.n_source_cidrs = 1;
	return request(f, AG_MSG_AGENT_ISSUE, ASK(.token = token), &ask);
}

static struct ended agent_issue(void) { return agent_issue_by(f->admin); }
static struct ended agent_below(void) { return agent_issue_by(walker.token); }

static struct ended
revoke_many(void)
{
	Ag__AgentRevokeManyAsk ask = AG__AGENT_REVOKE_MANY_ASK__INIT;

	ask.parent = id;
	ask.reason = (char *)"because";
	return request(f, AG_MSG_AGENT_REVOKE_MANY, ASK(.token = f->admin), &ask);
}

static struct ended policy_set(void) { return put("second", RULES "  "); }
static struct ended policy_delete(void) { return reason(AG_MSG_POLICY_DELETE, "second"); }

static struct ended
policy_rollback(void)
{
	Ag__PolicyRollbackAsk ask = AG__POLICY_ROLLBACK_ASK__INIT;
	const struct iam_doc *doc = iam_doc_find(iam_tenant_find(iam, "default"),
	    "second");

	ask.version = doc->version - 1;
	ask.reason = (char *)"because";
	return request(f, AG_MSG_POLICY_ROLLBACK, ASK(.token = f->admin,
	    .selector = "second"), &ask);
}

static struct ended
policy_validate(void)
{
	Ag__PolicyValidateAsk ask = AG__POLICY_VALIDATE_ASK__INIT;

	ask.text = (char *)"permit (principal, action, resource) when { no.no };";
	return request(f, AG_MSG_POLICY_VALIDATE, ASK(.token = f->admin), &ask);
}

static struct ended
ask_for(uint16_t op, const char *selector)
{
	return request(f, op, ASK(.token = f->admin, .selector = selector), NULL);
}

static Ag__AuthzCheckAsk
check_ask(void)
{
	Ag__AuthzCheckAsk ask = AG__AUTHZ_CHECK_ASK__INIT;

	ask.principal = walker.id;
	ask.action = (char *)"key.sign";
	ask.resource = (char *)"invoice";
	return ask;
}

static struct ended
authz(uint16_t op)
{
	Ag__AuthzCheckAsk ask = check_ask();

	return request(f, op, ASK(.token = f->admin), &ask);
}

static struct ended
bulk(void)
{
	Ag__AuthzCheckAsk one = check_ask(), two = check_ask(),
	    *items[] = { &one, &two };
	Ag__AuthzBulkAsk ask = AG__AUTHZ_BULK_ASK__INIT;

	two.resource = (char *)"nothing";
	ask.items = items;
	ask.n_items = 2;
	return request(f, AG_MSG_AUTHZ_BULK, ASK(.token = f->admin), &ask);
}

#define REASON(what, op, selector) static struct ended what(void) \
	{ return reason(AG_MSG_##op, selector); }
#define READ(what, op, selector) static struct ended what(void) \
	{ return ask_for(AG_MSG_##op, selector); }
REASON(suspend, PRINCIPAL_SUSPEND, name)
REASON(resume, PRINCIPAL_RESUME, name)
REASON(delete, PRINCIPAL_DELETE, name)
REASON(token_revoke, TOKEN_REVOKE, name)
REASON(role_delete, ROLE_DELETE, name)
REASON(tenant_suspend, TENANT_SUSPEND, name)
REASON(agent_suspend, AGENT_SUSPEND, id)
REASON(agent_resume, AGENT_RESUME, id)
REASON(agent_revoke, AGENT_REVOKE, id)
READ(whoami, WHOAMI, NULL)
READ(principals, PRINCIPAL_LIST, NULL)
READ(principal, PRINCIPAL_READ, "admin")
READ(tokens, TOKEN_LIST, "admin")
READ(roles, ROLE_LIST, NULL)
READ(role, ROLE_READ, "auditor")
READ(tenants, TENANT_LIST, NULL)
READ(agents, AGENT_LIST, NULL)
READ(agent, AGENT_READ, walker.id)
READ(chain, AGENT_CHAIN, walker.id)
READ(usage, AGENT_USAGE, walker.id)
READ(policies, POLICY_LIST, NULL)
READ(policy, POLICY_READ, "base")
READ(versions, POLICY_VERSIONS, "base")
READ(schema, POLICY_SCHEMA, NULL)
READ(effective, EFFECTIVE, "admin")
READ(grants, ACCESS_LIST, NULL)
READ(keys_of_people, WEBAUTHN_LIST, "admin")
REASON(tenant_resume, TENANT_RESUME, name)
READ(totp_begin, TOTP_BEGIN, name)
static struct ended check(void) { return authz(AG_MSG_AUTHZ_CHECK); }
static struct ended explain(void) { return authz(AG_MSG_AUTHZ_EXPLAIN); }

static struct ended
introspect(void)
{
	Ag__TokenIntrospectAsk ask = AG__TOKEN_INTROSPECT_ASK__INIT;

	ask.token = walker.token;
	return request(f, AG_MSG_TOKEN_INTROSPECT, ASK(.token = f->admin), &ask);
}

static void
before_sleeping_tenant(void)
{
	before_tenant();
	expect(tenant_suspend(), AG_OK, NULL);
}

static struct ended sign_by_agent(void) { return sign(f, walker.token, "invoice"); }

static const struct row {
	const char *name;
	struct ended (*ask)(void);
	void (*before)(void);
} reads[] = {
	{ "whoami", whoami, before_none }, { "principals", principals, before_none },
	{ "principal", principal, before_none }, { "tokens", tokens, before_none },
	{ "roles", roles, before_none }, { "role", role, before_none },
	{ "tenants", tenants, before_none }, { "agents", agents, before_none },
	{ "agent", agent, before_none }, { "chain", chain, before_none },
	{ "usage", usage, before_none }, { "policies", policies, before_none },
	{ "policy", policy, before_none }, { "versions", versions, before_none },
	{ "schema", schema, before_none }, { "effective", effective, before_none },
	{ "check", check, before_none }, { "explain", explain, before_none },
	{ "bulk", bulk, before_none }, { "validate", policy_validate, before_none },
	{ "introspect", introspect, before_none }, { "grants", grants, before_none },
	{ "webauthn", keys_of_people, before_none },
}, writes[] = {
	{ "create", create, before_none }, { "update", update, before_person },
	{ "suspend", suspend, before_person }, { "resume", resume, before_suspended },
	{ "delete", delete, before_person }, { "grant", grant, before_person },
	{ "ungrant", ungrant, before_person },
	{ "token", token_issue, before_person },
	{ "token revoke", token_revoke, before_token },
	{ "role set", role_set, before_none }, { "role reset", role_set, before_role },
	{ "role delete", role_delete, before_role },
	{ "tenant", tenant_create, before_none },
	{ "tenant suspend", tenant_suspend, before_tenant },
	{ "tenant resume", tenant_resume, before_sleeping_tenant },
	{ "totp", totp_begin, before_person },
	{ "agent issue", agent_issue, before_none },
	{ "agent below", agent_below, before_none },
	{ "agent suspend", agent_suspend, before_agent },
	{ "agent resume", agent_resume, before_suspended_agent },
	{ "agent revoke", agent_revoke, before_agent },
	{ "revoke many", revoke_many, before_agent },
	{ "policy set", policy_set, before_policy },
	{ "policy rollback", policy_rollback, before_policy },
	{ "policy delete", policy_delete, before_policy },
	{ "sign", sign_by_agent, before_none },
};

/* ---------------------------------------------------------------- the walk */

enum { PLACES_MAX = 800, PLACE_MS = 1000 };

static struct ended
refused_at(const struct row *row, unsigned place)
{
	struct ended e;

	ag_kit_advance(f->kit, PLACE_MS); /* no rate is reached */
	row->before();
	committed = false;
	asked = 0;
	fail_at = place;
	e = row->ask();
	fail_at = 0;
	/* The outside is not told more than that it failed. */
	if (e.err != AG_OK && e.err != AG_GENERAL_FAILURE)
		fail_msg("%s, place %u: %s/%s", row->name, place,
		    ag_err_row(e.err)->name, e.reason);
	if (!e.over && !e.passed)
		fail_msg("%s, place %u: no end", row->name, place);
	if (iam->drafts != 0)
		fail_msg("%s, place %u: a draft stays", row->name, place);
	return e;
}

static void
again(const struct row *row, unsigned place)
{
	struct ended e = row->ask();

	if (e.err != AG_OK)
		fail_msg("%s, place %u: again %s/%s", row->name, place,
		    ag_err_row(e.err)->name, e.reason);
	ended_free(&e);
}

/* An answer in spite of it is the whole one. */
static void
whole(const struct row *row, unsigned place, const struct ended *e)
{
	struct ended full = row->ask();
	const ProtobufCMessage *got = e->reply, *want = full.reply;
	size_t len;
	uint8_t *a, *b;

	assert_non_null(got);
	assert_non_null(want);
	len = protobuf_c_message_get_packed_size(want);
	if (protobuf_c_message_get_packed_size(got) != len)
		fail_msg("%s, place %u: not the whole answer", row->name, place);
	a = malloc(len + 1);
	b = malloc(len + 1);
	protobuf_c_message_pack(got, a);
	protobuf_c_message_pack(want, b);
	assert_memory_equal(a, b, len);
	free(a);
	free(b);
	ended_free(&full);
}

static void
walk(const struct row *row, bool reads_only)
{
	unsigned failed = 0;

	for (unsigned place = 1; ; place++) {
		struct ended e = refused_at(row, place);
		bool over = asked < place, refusal = e.err != AG_OK;

		assert_in_range(place, 1, PLACES_MAX);
		if (reads_only && !over && !refusal)
			whole(row, place, &e);
		ended_free(&e);
		failed += refusal;
		if (over) { /* it asks no more often */
			assert_false(refusal);
			break;
		}
		if (refusal && !committed)
			again(row, place);
	}
	print_message("%s: %u places\n", row->name, failed);
	assert_true(failed > 0);
}

static void
test_reads(void **state)
{
	for (size_t i = 0; i < sizeof(reads) / sizeof(reads[0]); i++)
		walk(&reads[i], true);
}

static void
test_writes(void **state)
{
	for (size_t i = 0; i < sizeof(writes) / sizeof(writes[0]); i++)
		walk(&writes[i], false);
}

/* What could not be kept whole has nothing that may be signed. */
static void
test_half_a_draft(void **state)
{
	char *scopes[] = { (char *)"key:a:sign", (char *)"key:b:sign" };
	Ag__TokenIssuedFact fact = AG__TOKEN_ISSUED_FACT__INIT;
	unsigned failed = 0;

	fact.jti = fact.principal_id = fact.tenant = (char *)"x";
	for (unsigned place = 1; ; place++) {
		struct iam_draft d = { 0 };
		ag_err err;

		asked = 0;
		fail_at = place;
		err = iam_draft_keep(&d, &fact, scopes, 2);
		fail_at = 0;
		assert_int_equal(d.packed != NULL, err == AG_OK);
		for (size_t i = 0; i < d.scope_count; i++)
			free(d.scopes[i]);
		free(d.scopes);
		free(d.packed);
		if (asked < place) {
			assert_int_equal(d.scope_count, 2);
			break;
		}
		assert_int_equal(err, AG_NO_MEMORY);
		failed++;
	}
	assert_int_equal(failed, 4);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_reads, setup, teardown),
		cmocka_unit_test_setup_teardown(test_writes, setup, teardown),
		cmocka_unit_test(test_half_a_draft),
	};

	return cmocka_run_group_tests_name("iam_memory_asks", tests, NULL, NULL);
}
