/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Out of memory while a fact of the journal is applied, at every place where
 * memory is asked for. The fact fails and comes again; after that everything is
 * as if nothing had failed, in memory and in the snapshot's rows.
 */
#include "iam_memory.h"

#include <factors.h>
#include <iam.h>
#include <issuers.h>
#include <reach.h>
#include <rulebook.h>

/* ------------------------------------------------------------------ facts */

static struct fleet *f;
static struct iam *iam;
static struct ag_ctx *ctx;
static struct iam_tenant *tenant;
static uint64_t seq = 5000000;
static unsigned serial;

static int
setup(void **state)
{
	f = fleet_new(NULL);
	iam = ag_kit_state(f->kit);
	ctx = ag_kit_ctx(f->kit);
	tenant = iam_tenant_find(iam, "default");
	return 0;
}

static int
teardown(void **state)
{
	fleet_free(f);
	return 0;
}

static ag_err
apply(uint16_t type, uint64_t version, const void *msg)
{
	struct ag_fact_record r = { .seq = ++seq, .version = version,
		.stream = "any", .type = type, .fact = msg, .committed_at = 1,
		.tenant = "default", .author = "keys.0" };

	return ag_actor_iam.apply(iam, ctx, &r);
}

/* Is there a row of the snapshot? */
static bool
has_row(enum iam_table_name table, const char *key)
{
	const uint8_t *bytes;
	size_t len;

	return ag_store_get(ctx, table, key, strlen(key), &bytes, &len) == AG_OK;
}

/* Each of these makes one fact about things of its own (number i), applies
 * it, and looks whether it is wholly there. */
struct row {
	const char *name;
	ag_err (*apply)(unsigned i);
	void (*check)(unsigned i);
	void (*before)(unsigned i); /* or NULL */
};

static char *
text_of(const char *prefix, unsigned i)
{
	static char ring[8][96];
	static unsigned at;
	char *out = ring[at++ % 8];

	snprintf(out, sizeof(ring[0]), "%s%u", prefix, i);
	return out;
}

static char *
id_of(const char *prefix, unsigned i)
{
	static char ring[8][AG_ID_SIZE];
	static unsigned at;
	char *out = ring[at++ % 8];

	snprintf(out, AG_ID_SIZE, "%s_%032u", prefix, i);
	return out;
}

static ag_err
principal(unsigned i, uint64_t version, const char *role)
{
	Ag__PrincipalFact fact = AG__PRINCIPAL_FACT__INIT;
	Ag__Principal p = AG__PRINCIPAL__INIT;
	Ag__External external = AG__EXTERNAL__INIT;
	Ag__RoleGrant grant = AG__ROLE_GRANT__INIT, *grants[1] = { &grant };

	grant.name = (char *)role;
	external.issuer = (char *)"https://issuer.example";
	external.subject = text_of("subject-", i);
	p.id = id_of("hum", i);
	p.kind = AG__KIND__V__human;
	p.name = text_of("name-", i);
	p.tenant = (char *)"default";
	p.state = (char *)"active";
	p.totp = (char *)"none";
	p.roles = grants;
	p.n_roles = 1;
	p.external = &external;
	p.revision = version;
	fact.principal = &p;
	return apply(AG_MSG_PRINCIPAL_FACT, version, &fact);
}

static ag_err
principal_apply(unsigned i)
{
	return principal(i, 1, "admin");
}

static void
principal_check(unsigned i)
{
	const struct iam_node *node = iam_node_find(iam, id_of("hum", i));

	assert_non_null(node);
	assert_ptr_equal(iam_principal_find(iam, tenant, text_of("name-", i)),
	    node);
	assert_ptr_equal(iam_external_find(iam, "https://issuer.example",
	    text_of("subject-", i)), node);
	assert_int_equal(node->role_count, 1);
	assert_int_equal(node->version, 1);
	assert_int_equal(node->chain_len, 1);
	assert_true(node->packed_len > 0);
	assert_true(has_row(IAM_T_PRINCIPALS, node->id));
}

static void
principal_before(unsigned i)
{
	assert_int_equal(principal_apply(i), AG_OK);
}

static ag_err
state_apply(unsigned i)
{
	Ag__PrincipalStateFact fact = AG__PRINCIPAL_STATE_FACT__INIT;

	fact.id = id_of("hum", i);
	fact.state = (char *)"suspended";
	fact.reason = (char *)"because";
	return apply(AG_MSG_PRINCIPAL_STATE_FACT, 2, &fact);
}

static void
state_check(unsigned i)
{
	const struct iam_node *node = iam_node_find(iam, id_of("hum", i));
	const uint8_t *bytes;
	Ag__Principal *p;
	size_t len;

	assert_int_equal(node->state, IAM_SUSPENDED);
	assert_int_equal(node->version, 2);
	assert_int_equal(ag_store_get(ctx, IAM_T_PRINCIPALS, node->id,
	    strlen(node->id), &bytes, &len), AG_OK);
	p = ag__principal__unpack(NULL, len, bytes);
	assert_string_equal(p->state, "suspended");
	ag__principal__free_unpacked(p, NULL);
}

static ag_err
totp_apply(unsigned i)
{
	uint8_t wrapped[IAM_OTP_WRAPPED] = { 7 };
	Ag__TotpFact fact = AG__TOTP_FACT__INIT;

	fact.principal_id = id_of("hum", i);
	fact.state = (char *)"confirmed";
	fact.has_wrapped = true;
	fact.wrapped = (ProtobufCBinaryData){ sizeof(wrapped), wrapped };
	fact.at = 77;
	return apply(AG_MSG_TOTP_FACT, 2, &fact);
}

/* A second factor that a restart forgets would be none. */
static void
totp_check(unsigned i)
{
	const struct iam_node *node = iam_node_find(iam, id_of("hum", i));

	assert_true(iam_totp_enrolled(node));
	assert_int_equal(node->version, 2);
	assert_true(has_row(IAM_T_TOTP, node->id));
}

static void
webauthn_before(unsigned i)
{
	uint8_t wrapped[IAM_OTP_WRAPPED] = { 7 };
	Ag__TotpFact fact = AG__TOTP_FACT__INIT;

	principal_before(i);
	fact.principal_id = id_of("hum", i);
	fact.state = (char *)"pending";
	fact.has_wrapped = true;
	fact.wrapped = (ProtobufCBinaryData){ sizeof(wrapped), wrapped };
	assert_int_equal(apply(AG_MSG_TOTP_FACT, 2, &fact), AG_OK);
	assert_true(has_row(IAM_T_TOTP, fact.principal_id));
}

static ag_err
webauthn_apply(unsigned i)
{
	Ag__WebauthnFact fact = AG__WEBAUTHN_FACT__INIT;
	uint8_t some[64] = { 9 };

	fact.principal_id = id_of("hum", i);
	fact.state = (char *)"enrolled";
	fact.name = (char *)"blue";
	fact.has_credential_id = fact.has_public_key = fact.has_aaguid =
	    fact.has_algorithm = true;
	fact.credential_id = fact.aaguid = (ProtobufCBinaryData){ 16, some };
	fact.public_key = (ProtobufCBinaryData){ sizeof(some), some };
	fact.algorithm = -7; /* ES256 */
	fact.attestation = (char *)"none";
	return apply(AG_MSG_WEBAUTHN_FACT, 1, &fact);
}

/* The key is there, and the code that was begun before it is not. */
static void
webauthn_check(unsigned i)
{
	const struct iam_node *node = iam_node_find(iam, id_of("hum", i));
	const uint8_t *bytes;
	Ag__Principal *p;
	size_t len;

	assert_int_equal(iam_methods(node), AG_METHOD_WEBAUTHN);
	assert_null(node->totp);
	assert_int_equal(node->version, 2);
	assert_true(has_row(IAM_T_WEBAUTHN, node->id));
	assert_false(has_row(IAM_T_TOTP, node->id));
	assert_int_equal(ag_store_get(ctx, IAM_T_PRINCIPALS, node->id,
	    strlen(node->id), &bytes, &len), AG_OK);
	p = ag__principal__unpack(NULL, len, bytes);
	assert_string_equal(p->totp, "none");
	ag__principal__free_unpacked(p, NULL);
	p = ag__principal__unpack(NULL, node->packed_len, node->packed);
	assert_string_equal(p->totp, "none");
	ag__principal__free_unpacked(p, NULL);
}

static ag_err
agent_apply(unsigned i)
{
	Ag__AgentIssuedFact fact = AG__AGENT_ISSUED_FACT__INIT;
	Ag__Agent a = AG__AGENT__INIT;
	char *scopes[] = { (char *)"key:a:sign", (char *)"key:b:sign" };
	char *cidrs[] = { (char *)"192.0.2.0/24" };

	a.id = id_of("agt", i);
	a.label = (char *)"walker";
	a.tenant = (char *)"default";
	a.state = (char *)"live";
	a.parent = a.root = id_of("hum", i);
	a.depth = 1;
	a.scopes = scopes;
	a.n_scopes = 2;
	a.source_cidrs = cidrs;
	a.n_source_cidrs = 1;
	a.model = (char *)"model-x";
	a.jti = text_of("jti-", i);
	a.issued_at = 1;
	a.expires_at = INT64_MAX;
	fact.agent = &a;
	return apply(AG_MSG_AGENT_ISSUED_FACT, 1, &fact);
}

static void
agent_check(unsigned i)
{
	const struct iam_node *node = iam_node_find(iam, id_of("agt", i));

	assert_non_null(node);
	assert_int_equal(node->scopes.count, 2);
	assert_int_equal(node->cidr_count, 1);
	assert_string_equal(node->model, "model-x");
	assert_int_equal(node->chain_len, 2);
	assert_ptr_equal(node->parent->first_child, node);
	assert_null(node->next_sibling);
	assert_ptr_equal(iam_token_find(iam, text_of("jti-", i)), &node->token);
	assert_true(has_row(IAM_T_AGENTS, node->id));
}

static void
agent_before(unsigned i)
{
	principal_before(i);
	assert_int_equal(agent_apply(i), AG_OK);
}

static ag_err
revoke_apply(unsigned i)
{
	Ag__AgentStateFact fact = AG__AGENT_STATE_FACT__INIT;

	fact.agent_id = id_of("agt", i);
	fact.state = (char *)"revoked";
	fact.reason = (char *)"because";
	fact.at = 9;
	return apply(AG_MSG_AGENT_STATE_FACT, 2, &fact);
}

static void
revoke_check(unsigned i)
{
	const struct iam_node *node = iam_node_find(iam, id_of("agt", i));

	assert_int_equal(node->state, IAM_GONE);
	assert_int_equal(node->version, 2);
	assert_int_equal(node->state_at, 9);
}

static ag_err
token_apply(unsigned i)
{
	Ag__TokenIssuedFact fact = AG__TOKEN_ISSUED_FACT__INIT;
	char *scopes[] = { (char *)"key:a:sign" };

	fact.jti = text_of("tok-", i);
	fact.principal_id = id_of("hum", i);
	fact.tenant = (char *)"default";
	fact.expires_at = INT64_MAX;
	fact.scopes = scopes;
	fact.n_scopes = 1;
	return apply(AG_MSG_TOKEN_ISSUED_FACT, 1, &fact);
}

static void
token_check(unsigned i)
{
	const struct iam_token *token = iam_token_find(iam, text_of("tok-", i));

	assert_non_null(token);
	assert_int_equal(token->scopes.count, 1);
	assert_ptr_equal(token->node->tokens, token);
	assert_null(token->next);
	assert_true(has_row(IAM_T_TOKENS, token->jti));
}

static ag_err
key_apply(unsigned i)
{
	Ag__KeyCreatedFact k = AG__KEY_CREATED_FACT__INIT;
	Ag__Pair pair = AG__PAIR__INIT, *pairs[1] = { &pair };

	k.key_id = id_of("key", i);
	k.alias = text_of("alias-", i);
	k.key_spec = AG__KEY_SPEC__V__EC_P256;
	k.rot = (char *)"software";
	k.origin = (char *)"generated";
	k.tenant = (char *)"default";
	pair.key = (char *)"tier";
	pair.value = (char *)"critical";
	k.labels = pairs;
	k.n_labels = 1;
	return apply(AG_MSG_KEY_CREATED_FACT, 1, &k);
}

static void
key_check(unsigned i)
{
	const struct iam_key *k = iam_key_find(iam, tenant, id_of("key", i));

	assert_non_null(k);
	assert_ptr_equal(iam_key_find(iam, tenant, text_of("alias-", i)), k);
	assert_int_equal(k->target.label_count, 1);
	assert_true(k->critical);
	assert_true(has_row(IAM_T_KEYS, k->id));
}

static void
key_before(unsigned i)
{
	assert_int_equal(key_apply(i), AG_OK);
}

static ag_err
label_apply(unsigned i)
{
	Ag__KeyUpdatedFact fact = AG__KEY_UPDATED_FACT__INIT;
	Ag__Pair pair = AG__PAIR__INIT, gone = AG__PAIR__INIT,
	    *pairs[2] = { &pair, &gone };

	fact.key_id = id_of("key", i);
	pair.key = (char *)"team";
	pair.value = (char *)"blue";
	gone.key = (char *)"tier";
	fact.labels = pairs;
	fact.n_labels = 2;
	return apply(AG_MSG_KEY_UPDATED_FACT, 2, &fact);
}

static void
label_check(unsigned i)
{
	const struct iam_key *k = iam_key_find(iam, tenant, id_of("key", i));

	assert_false(k->critical);
	assert_int_equal(k->target.label_count, 1);
	assert_string_equal(k->labels[0].value, "blue");
}

static ag_err
tenant_apply(unsigned i)
{
	Ag__TenantFact fact = AG__TENANT_FACT__INIT;

	fact.name = text_of("tenant-", i);
	fact.state = (char *)"active";
	return apply(AG_MSG_TENANT_FACT, 1, &fact);
}

static void
tenant_check(unsigned i)
{
	const struct iam_tenant *t = iam_tenant_find(iam, text_of("tenant-", i));

	assert_non_null(t);
	assert_true(t->active);
	assert_true(has_row(IAM_T_TENANTS, t->name));
}

static void
tenant_before(unsigned i)
{
	assert_int_equal(tenant_apply(i), AG_OK);
}

static ag_err
role_apply(unsigned i)
{
	Ag__RoleFact fact = AG__ROLE_FACT__INIT;
	Ag__Role role = AG__ROLE__INIT;
	char *scopes[] = { (char *)"key:*:sign" };
	char *inherits[] = { (char *)"auditor" };

	role.name = text_of("role-", i);
	role.scopes = scopes;
	role.n_scopes = 1;
	role.inherits = inherits;
	role.n_inherits = 1;
	role.revision = 1;
	fact.role = &role;
	fact.tenant = text_of("tenant-", i);
	fact.state = (char *)"active";
	return apply(AG_MSG_ROLE_FACT, 1, &fact);
}

static void
role_check(unsigned i)
{
	const struct iam_role *role = iam_role_find(iam, iam_tenant_find(iam,
	    text_of("tenant-", i)), text_of("role-", i));

	assert_non_null(role);
	assert_false(role->gone);
	assert_int_equal(role->scopes.count, 4); /* its own, the auditor's three */
}

static ag_err
policy_apply(unsigned i)
{
	Ag__PolicyFact fact = AG__POLICY_FACT__INIT;

	fact.tenant = text_of("tenant-", i);
	fact.name = (char *)"base";
	fact.state = (char *)"active";
	fact.text = (char *)"permit (principal, action, resource);";
	fact.has_policies = true;
	fact.policies = 1;
	fact.policy_version = 1;
	return apply(AG_MSG_POLICY_FACT, 1, &fact);
}

/* A set that a restart forgets would let everybody through. */
static void
policy_check(unsigned i)
{
	struct iam_tenant *t = iam_tenant_find(iam, text_of("tenant-", i));
	const struct iam_doc *doc = iam_doc_find(t, "base");
	char row[2 * AG_NAME_MAX];

	assert_non_null(doc);
	assert_string_equal(doc->text, "permit (principal, action, resource);");
	assert_int_equal(doc->version, 1);
	assert_int_equal(t->book->version, 1);
	assert_int_equal(t->book->count, 1);
	assert_int_equal(doc->kept, doc->len);
	snprintf(row, sizeof(row), "%s/base/00000001", t->name);
	assert_true(has_row(IAM_T_POLICIES, row));
}

static const struct row rows[] = {
	{ "principal", principal_apply, principal_check, NULL },
	{ "state", state_apply, state_check, principal_before },
	{ "totp", totp_apply, totp_check, principal_before },
	{ "webauthn", webauthn_apply, webauthn_check, webauthn_before },
	{ "agent", agent_apply, agent_check, principal_before },
	{ "revoke", revoke_apply, revoke_check, agent_before },
	{ "token", token_apply, token_check, principal_before },
	{ "key", key_apply, key_check, NULL },
	{ "label", label_apply, label_check, key_before },
	{ "tenant", tenant_apply, tenant_check, NULL },
	{ "role", role_apply, role_check, tenant_before },
	{ "policy", policy_apply, policy_check, tenant_before },
};

static void
applied_again(const struct row *row, unsigned i, unsigned place)
{
	ag_err err = row->apply(i);

	if (err != AG_OK)
		fail_msg("%s, place %u: again %s", row->name, place,
		    ag_err_row(err)->name);
	row->check(i);
}

static void
test_it_comes_again(void **state)
{
	enum { PLACES_MAX = 500 };

	for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
		unsigned failed = 0;

		for (unsigned place = 1; ; place++) {
			unsigned i = ++serial;
			ag_err err;

			assert_in_range(place, 1, PLACES_MAX);
			if (rows[r].before != NULL)
				rows[r].before(i);
			asked = 0;
			fail_at = place;
			err = rows[r].apply(i);
			fail_at = 0;
			if (asked < place) { /* it asks no more often */
				assert_int_equal(err, AG_OK);
				rows[r].check(i);
				break;
			}
			if (err != AG_OK)
				failed++;
			applied_again(&rows[r], i, place);
		}
		print_message("%s: %u places\n", rows[r].name, failed);
		assert_true(failed > 0);
	}
}

/* Facts that fit nothing: refused as corrupt, and nothing is left of them. */
static void
test_facts_that_fit_nothing(void **state)
{
	size_t principals = iam->principals.count, agents = iam->agents.count;
	Ag__TokenRevokedFact end = AG__TOKEN_REVOKED_FACT__INIT;
	Ag__TenantFact none = AG__TENANT_FACT__INIT;
	Ag__AgentIssuedFact issued = AG__AGENT_ISSUED_FACT__INIT;
	Ag__PrincipalFact created = AG__PRINCIPAL_FACT__INIT;
	Ag__Principal p = AG__PRINCIPAL__INIT;
	Ag__Agent a = AG__AGENT__INIT;
	char longer[2 * AG_NAME_MAX];

	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	/* of nobody */
	assert_int_equal(state_apply(9999), AG_CORRUPT);
	assert_int_equal(totp_apply(9999), AG_CORRUPT);
	assert_int_equal(agent_apply(9999), AG_CORRUPT);
	assert_int_equal(revoke_apply(9999), AG_CORRUPT);
	assert_int_equal(token_apply(9999), AG_CORRUPT);
	assert_int_equal(label_apply(9999), AG_CORRUPT);
	assert_int_equal(role_apply(9999), AG_CORRUPT);
	assert_null(iam_token_find(iam, "tok-9999"));
	/* of no tenant; with names that are too long */
	created.principal = &p;
	p.id = id_of("hum", 9999);
	p.name = (char *)"nobody";
	p.tenant = (char *)"nowhere";
	p.state = (char *)"active";
	p.totp = (char *)"none";
	assert_int_equal(apply(AG_MSG_PRINCIPAL_FACT, 1, &created), AG_CORRUPT);
	p.tenant = (char *)"default";
	p.id = longer;
	assert_int_equal(apply(AG_MSG_PRINCIPAL_FACT, 1, &created), AG_CORRUPT);
	p.id = (char *)"hum";
	assert_int_equal(apply(AG_MSG_PRINCIPAL_FACT, 1, &created), AG_CORRUPT);
	none.name = longer;
	none.state = (char *)"active";
	assert_int_equal(apply(AG_MSG_TENANT_FACT, 1, &none), AG_CORRUPT);
	/* an agent whose scope or network is none */
	issued.agent = &a;
	principal_before(9998);
	a.id = id_of("agt", 9998);
	a.label = (char *)"walker";
	a.tenant = (char *)"default";
	a.state = (char *)"live";
	a.parent = a.root = id_of("hum", 9998);
	a.jti = (char *)"jti-9998";
	a.scopes = (char *[]){ (char *)"no scope" };
	a.n_scopes = 1;
	assert_int_not_equal(apply(AG_MSG_AGENT_ISSUED_FACT, 1, &issued), AG_OK);
	a.n_scopes = 0;
	a.source_cidrs = (char *[]){ (char *)"192.0.2.1/24" };
	a.n_source_cidrs = 1;
	assert_int_equal(apply(AG_MSG_AGENT_ISSUED_FACT, 1, &issued), AG_CORRUPT);
	assert_null(iam_node_find(iam, a.id));
	assert_null(iam_token_find(iam, "jti-9998"));
	assert_int_equal(iam->agents.count, agents);
	assert_int_equal(iam->principals.count, principals + 1);
	/* The end of a token that left memory is no news. */
	end.jti = (char *)"long-gone";
	end.reason = (char *)"because";
	assert_int_equal(apply(AG_MSG_TOKEN_REVOKED_FACT, 1, &end), AG_OK);
}

/* A word that this build does not know lets nobody through. */
static void
test_an_unknown_state_is_none(void **state)
{
	Ag__PrincipalStateFact fact = AG__PRINCIPAL_STATE_FACT__INIT;
	const struct iam_node *node;

	principal_before(9000);
	node = iam_node_find(iam, id_of("hum", 9000));
	assert_int_equal(iam_standing(node, 1), IAM_STANDS);
	fact.id = id_of("hum", 9000);
	fact.state = (char *)"quarantined";
	fact.reason = (char *)"because";
	assert_int_equal(apply(AG_MSG_PRINCIPAL_STATE_FACT, 2, &fact), AG_OK);
	assert_int_equal(iam_standing(node, 1), IAM_SELF_GONE);
}

/* What was seen already changes nothing: a snapshot may be newer. */
static void
test_seen_facts_change_nothing(void **state)
{
	const struct iam_node *node;

	principal_before(9100);
	assert_int_equal(state_apply(9100), AG_OK);
	node = iam_node_find(iam, id_of("hum", 9100));
	principal_before(9100); /* version 1 again */
	assert_int_equal(node->state, IAM_SUSPENDED);
	assert_int_equal(node->version, 2);
	assert_int_equal(totp_apply(9100), AG_OK); /* version 2: seen */
	assert_false(iam_totp_enrolled(node));
	agent_before(9101);
	assert_int_equal(revoke_apply(9101), AG_OK);
	assert_int_equal(agent_apply(9101), AG_OK);
	assert_int_equal(iam_node_find(iam, id_of("agt", 9101))->state, IAM_GONE);
	assert_int_equal(revoke_apply(9101), AG_OK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_it_comes_again),
		cmocka_unit_test(test_facts_that_fit_nothing),
		cmocka_unit_test(test_an_unknown_state_is_none),
		cmocka_unit_test(test_seen_facts_change_nothing),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
