/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decision itself, on chains built by hand: who stands at which moment, who
 * reaches what, and what is told about it. No request, no journal.
 */
#include "iam_fleet.h"

#include <access.h>
#include <iam.h>
#include <reach.h>

enum { NOW = 1000000, LINKS = IAM_DEPTH_MAX + 1 };

static struct fleet *f;
static struct iam *iam;
static struct ag_ctx *ctx;
static struct iam_tenant *tenant;

static struct iam_role roles[2];
/* A person and agents below each other; links[0] is the person. */
static struct iam_node links[LINKS];

static void
scopes_set(struct iam_scopes *scopes, const char *one, const char *two)
{
	char *texts[2] = { (char *)one, (char *)two };

	iam_scopes_free(scopes);
	assert_int_equal(iam_scopes_make(texts, one == NULL ? 0 : two == NULL ?
	    1 : 2, scopes), AG_OK);
}

static int
build(void **state)
{
	f = fleet_new(NULL);
	iam = ag_kit_state(f->kit);
	ctx = ag_kit_ctx(f->kit);
	tenant = iam_tenant_find(iam, "default");
	key(f, "default", INVOICE, "invoice-2026", "tier", "low", false);
	key(f, "default", TREASURY, "treasury-master", NULL, NULL, false);
	return 0;
}

static int
destroy(void **state)
{
	for (unsigned i = 0; i < LINKS; i++)
		iam_scopes_free(&links[i].scopes);
	scopes_set(&roles[0].scopes, NULL, NULL);
	scopes_set(&roles[1].scopes, NULL, NULL);
	fleet_free(f);
	return 0;
}

/* Every link lives, expires at NOW + 1 and may sign with every key. */
static int
setup(void **state)
{
	tenant->active = true;
	tenant->deleting = tenant->deleted = false;
	scopes_set(&roles[0].scopes, "key:*:*", NULL);
	for (unsigned i = 0; i < LINKS; i++) {
		struct iam_scopes kept = links[i].scopes;

		links[i] = (struct iam_node){ .tenant = tenant, .scopes = kept,
			.name = (char *)"walker",
			.parent = i == 0 ? NULL : &links[i - 1], .depth = i };
		snprintf(links[i].id, sizeof(links[i].id), "agt_%032u", i);
		links[i].token.expires_at = i == 0 ? 0 : NOW + 1;
		scopes_set(&links[i].scopes, i == 0 ? NULL : "key:*:sign", NULL);
	}
	links[0].roles[0] = (struct iam_role_held){ &roles[0], NOW, NOW + 1 };
	links[0].role_count = 1;
	return 0;
}

/* ---------------------------------------------------------------- standing */

static void
test_stands(void **state)
{
	for (unsigned i = 0; i < LINKS; i++)
		assert_int_equal(iam_standing(&links[i], NOW), IAM_STANDS);
	assert_null(iam_gone_by(&links[LINKS - 1]));
}

/* A credential ends at its very millisecond; a person's row has no such end. */
static void
test_expiry_is_exact(void **state)
{
	links[2].token.expires_at = NOW;
	assert_int_equal(iam_standing(&links[2], NOW - 1), IAM_STANDS);
	assert_int_equal(iam_standing(&links[2], NOW), IAM_SELF_EXPIRED);
	assert_int_equal(iam_standing(&links[3], NOW - 1), IAM_STANDS);
	assert_int_equal(iam_standing(&links[3], NOW), IAM_ABOVE_SUSPENDED);
	assert_int_equal(iam_standing(&links[1], NOW), IAM_STANDS);
	assert_int_equal(iam_standing(&links[0], NOW), IAM_STANDS);
}

static void
test_suspended(void **state)
{
	links[1].state = IAM_SUSPENDED;
	assert_int_equal(iam_standing(&links[0], NOW), IAM_STANDS);
	assert_int_equal(iam_standing(&links[1], NOW), IAM_SELF_SUSPENDED);
	assert_int_equal(iam_standing(&links[2], NOW), IAM_ABOVE_SUSPENDED);
	assert_int_equal(iam_standing(&links[LINKS - 1], NOW),
	    IAM_ABOVE_SUSPENDED);
	links[1].state = IAM_LIVE;
	links[0].state = IAM_SUSPENDED;
	assert_int_equal(iam_standing(&links[0], NOW), IAM_SELF_SUSPENDED);
	assert_int_equal(iam_standing(&links[1], NOW), IAM_ABOVE_SUSPENDED);
}

/* What is gone says so before all that could come back. */
static void
test_gone_comes_first(void **state)
{
	links[1].state = IAM_GONE;
	links[2].state = IAM_SUSPENDED;
	links[3].token.expires_at = NOW;
	assert_int_equal(iam_standing(&links[1], NOW), IAM_SELF_GONE);
	assert_int_equal(iam_standing(&links[2], NOW), IAM_ABOVE_GONE);
	assert_int_equal(iam_standing(&links[3], NOW), IAM_ABOVE_GONE);
	assert_ptr_equal(iam_gone_by(&links[3]), &links[1]);
	assert_ptr_equal(iam_gone_by(&links[1]), &links[1]);
	assert_null(iam_gone_by(&links[0]));
	tenant->active = false;
	assert_int_equal(iam_standing(&links[1], NOW), IAM_TENANT_SUSPENDED);
	tenant->deleting = true;
	assert_int_equal(iam_standing(&links[0], NOW), IAM_SELF_GONE);
	tenant->active = true;
	assert_int_equal(iam_standing(&links[0], NOW), IAM_SELF_GONE);
	tenant->deleting = false;
	tenant->deleted = true;
	assert_int_equal(iam_standing(&links[0], NOW), IAM_SELF_GONE);
}

static void
test_below(void **state)
{
	assert_true(iam_is_below(&links[1], &links[0]));
	assert_true(iam_is_below(&links[LINKS - 1], &links[0]));
	assert_false(iam_is_below(&links[1], &links[1])); /* not below itself */
	assert_false(iam_is_below(&links[0], &links[1]));
	assert_false(iam_is_below(&links[0], &links[0]));
}

/* ------------------------------------------------------------------- reach */

static bool
may_sign(const struct iam_node *node, const struct iam_token *token,
    int64_t now_ms)
{
	return iam_holds(node, token, now_ms, AG_SCOPE_KEY, "sign", NULL);
}

/* A role counts from its first moment, and no longer at its last. */
static void
test_role_times(void **state)
{
	assert_false(may_sign(&links[0], NULL, NOW - 1));
	assert_true(may_sign(&links[0], NULL, NOW));
	assert_false(may_sign(&links[0], NULL, NOW + 1));
	/* and for all below it */
	assert_false(may_sign(&links[3], NULL, NOW + 1));
	/* Of several, any one that is valid is enough. */
	scopes_set(&roles[1].scopes, "audit:*:read", "key:*:sign");
	links[0].roles[1] = (struct iam_role_held){ &roles[1], NOW + 1,
		INT64_MAX };
	links[0].role_count = 2;
	assert_true(may_sign(&links[0], NULL, NOW + 1));
	assert_true(may_sign(&links[3], NULL, NOW + 1));
	/* An agent's roles, had it any, give it nothing. */
	links[3].roles[0] = links[0].roles[1];
	links[3].role_count = 1;
	scopes_set(&links[3].scopes, NULL, NULL);
	assert_false(may_sign(&links[3], NULL, NOW + 1));
}

/* What ends something wants its scope written out: no star is enough. */
static void
test_written_out(void **state)
{
	static const struct { const char *scope; bool is; } held[] = {
		{ "system:*:break-glass", true }, { "system:*:*", false },
		{ "*:*:break-glass", false }, { "*:*:*", false },
		{ "system:*:approve", false },
	};

	for (size_t i = 0; i < sizeof(held) / sizeof(held[0]); i++) {
		scopes_set(&roles[0].scopes, held[i].scope, NULL);
		assert_int_equal(iam_may_end(&links[0], NULL, NOW), held[i].is);
	}
}

/* What is held for a while may be used, not given away. */
static void
test_lasting(void **state)
{
	struct iam_query q = { .how = IAM_Q_MATCH, .kind = AG_SCOPE_KEY,
		.op = "decrypt" };
	struct iam_access access = { .expires_at = NOW + 1 };

	scopes_set(&roles[0].scopes, "key:*:sign", NULL);
	scopes_set(&access.scopes, "key:*:decrypt", NULL);
	links[0].access = &access;
	assert_int_equal(iam_reach(&links[0], NULL, NOW, &q), IAM_HAS);
	assert_int_equal(iam_reach(&links[0], NULL, NOW + 1, &q),
	    IAM_OWN_MISSING);
	q.lasting = true;
	assert_int_equal(iam_reach(&links[0], NULL, NOW, &q), IAM_OWN_MISSING);
	q.op = "sign";
	assert_int_equal(iam_reach(&links[0], NULL, NOW, &q), IAM_HAS);
	scopes_set(&access.scopes, NULL, NULL);
}

/* What somebody has for a while ends at its very millisecond, too; for an agent
 * it takes every link above, as ever. */
static void
test_access_times(void **state)
{
	struct iam_access over = { .expires_at = 0 },
	    access = { .expires_at = NOW + 1, .next = &over };

	scopes_set(&over.scopes, "key:*:sign", NULL);
	scopes_set(&access.scopes, "key:*:sign", NULL);
	scopes_set(&links[2].scopes, NULL, NULL);
	assert_false(may_sign(&links[2], NULL, NOW));
	links[2].access = &access;
	assert_true(may_sign(&links[2], NULL, NOW));
	access.expires_at = NOW;
	assert_false(may_sign(&links[2], NULL, NOW));
	access.expires_at = NOW + 1;
	scopes_set(&links[1].scopes, "key:*:read", NULL);
	assert_false(may_sign(&links[2], NULL, NOW));
	links[2].access = NULL;
	iam_scopes_free(&over.scopes);
	iam_scopes_free(&access.scopes);
}

/* Every link must hold it, and it is said which one does not. */
static void
test_weakest_link(void **state)
{
	struct iam_trail trail = { 0 };
	struct iam_query q = { .how = IAM_Q_MATCH, .kind = AG_SCOPE_KEY,
		.op = "sign", .trail = &trail };

	for (unsigned weak = 0; weak < LINKS; weak++) {
		setup(NULL);
		if (weak == 0)
			links[0].role_count = 0;
		else
			scopes_set(&links[weak].scopes, "key:*:verify", NULL);
		for (unsigned i = 0; i < LINKS; i++) {
			enum iam_reach want = i < weak ? IAM_HAS : i == weak ?
			    IAM_OWN_MISSING : IAM_PARENT_MISSING;

			memset(&trail, 0, sizeof(trail));
			assert_int_equal(iam_reach(&links[i], NULL, NOW, &q),
			    want);
			assert_ptr_equal(trail.refused_by,
			    i < weak ? NULL : &links[weak]);
			assert_int_equal(trail.count, i < weak ? i + 1 :
			    i - weak);
		}
	}
}

/* A credential narrows its own holder, and only if it names scopes. */
static void
test_credential(void **state)
{
	struct iam_trail trail = { 0 };
	struct iam_query q = { .how = IAM_Q_MATCH, .kind = AG_SCOPE_KEY,
		.op = "sign", .trail = &trail };
	struct iam_token token = { .node = &links[0] };

	assert_int_equal(iam_reach(&links[0], &token, NOW, &q), IAM_HAS);
	assert_int_equal(trail.count, 1);
	assert_false(trail.narrowed);
	scopes_set(&token.scopes, "audit:*:read", "key:*:sign");
	memset(&trail, 0, sizeof(trail));
	assert_int_equal(iam_reach(&links[0], &token, NOW, &q), IAM_HAS);
	assert_int_equal(trail.count, 2);
	assert_true(trail.narrowed);
	assert_ptr_equal(trail.by[0], &roles[0].scopes.items[0]);
	assert_ptr_equal(trail.by[1], &token.scopes.items[1]);
	scopes_set(&token.scopes, "key:*:verify", NULL);
	memset(&trail, 0, sizeof(trail));
	assert_int_equal(iam_reach(&links[0], &token, NOW, &q), IAM_OWN_MISSING);
	assert_ptr_equal(trail.refused_by, &links[0]);
	assert_ptr_equal(trail.refused_credential, &token.scopes);
	assert_false(trail.narrowed);
	/* What it names and its holder has not, it does not give. */
	scopes_set(&token.scopes, "system:*:tenant", NULL);
	assert_false(iam_holds(&links[0], &token, NOW, AG_SCOPE_SYSTEM, "tenant",
	    NULL));
	scopes_set(&token.scopes, NULL, NULL);
}

/* An agent's chain is all that is told, never more than there is room for. */
static void
test_trail_is_bounded(void **state)
{
	struct iam_node deep[IAM_TRAIL_MAX + 4];
	struct iam_trail *trail = calloc(1, sizeof(*trail));
	struct iam_query q = { .how = IAM_Q_MATCH, .kind = AG_SCOPE_KEY,
		.op = "sign", .trail = trail };
	unsigned n = sizeof(deep) / sizeof(deep[0]);

	for (unsigned i = 0; i < n; i++) {
		deep[i] = links[1];
		deep[i].parent = i == 0 ? &links[0] : &deep[i - 1];
	}
	assert_int_equal(iam_reach(&deep[n - 1], NULL, NOW, &q), IAM_HAS);
	assert_int_equal(trail->count, IAM_TRAIL_MAX);
	assert_null(trail->refused_by);
	free(trail);
}

static void
test_asked_by_name(void **state)
{
	struct iam_query q = { .how = IAM_Q_NAME, .kind = AG_SCOPE_KEY,
		.op = "sign", .selector = "ghost" };

	scopes_set(&links[1].scopes, "key:ghost:sign", NULL);
	assert_int_equal(iam_reach(&links[1], NULL, NOW, &q), IAM_HAS);
	q.selector = "phantom";
	assert_int_equal(iam_reach(&links[1], NULL, NOW, &q), IAM_OWN_MISSING);
	/* A way of asking that this build does not know finds nothing. */
	q.how = 99;
	assert_int_equal(iam_reach(&links[1], NULL, NOW, &q), IAM_OWN_MISSING);
}

/* ----------------------------------------------------------------- resolve */

static bool
resolve(const char *text, struct ag_scope_target *out)
{
	struct ag_scope scope;

	assert_true(ag_scope_parse(text, &scope));
	memset(out, 0xff, sizeof(*out));
	return iam_resolve(iam, tenant, &scope, out);
}

static void
test_resolve(void **state)
{
	struct agent a = agent_of(f, f->admin, "key:invoice-2026:sign", 0);
	const struct iam_node *admin = iam_principal_find(iam, tenant, "admin");
	struct ag_scope_target target, none;
	char text[200];

	memset(&none, 0, sizeof(none));
	assert_true(resolve("key:invoice-2026:sign", &target));
	assert_string_equal(target.id, INVOICE);
	assert_int_equal(target.label_count, 1);
	assert_false(resolve("key:ghost:sign", &target));
	assert_memory_equal(&target, &none, sizeof(none));
	assert_false(resolve("key:*:sign", &target));
	assert_memory_equal(&target, &none, sizeof(none));
	assert_false(resolve("key:label=tier=low:sign", &target));
	assert_memory_equal(&target, &none, sizeof(none));
	/* A principal has a name, an agent only an id; neither is the other. */
	assert_true(resolve("principal:admin:read", &target));
	assert_string_equal(target.id, admin->id);
	assert_string_equal(target.alias, "admin");
	snprintf(text, sizeof(text), "agent:%s:read", a.id);
	assert_true(resolve(text, &target));
	assert_string_equal(target.id, a.id);
	assert_null(target.alias);
	snprintf(text, sizeof(text), "principal:%s:read", a.id);
	assert_false(resolve(text, &target));
	assert_false(resolve("agent:admin:read", &target));
	/* Nothing of another kind is looked for. */
	assert_false(resolve("tool:admin:call", &target));
	assert_false(resolve("system:admin:read", &target));
	assert_false(resolve("*:admin:read", &target));
	assert_memory_equal(&target, &none, sizeof(none));
	agent_free(&a);
}

/* --------------------------------------------------------------- effective */

static size_t
effective(const struct iam_node *node, const struct iam_token *token,
    const char *only_op, char ***out)
{
	return iam_effective(iam, ctx, node, token, only_op, out);
}

static void
test_effective(void **state)
{
	struct iam_token token = { .node = &links[0] };
	struct iam_access access = { 0 };
	char **out;

	links[0].roles[0] = (struct iam_role_held){ &roles[0], 0, INT64_MAX };
	scopes_set(&roles[0].scopes, "key:*:*", "audit:*:read");
	assert_int_equal(effective(&links[0], NULL, NULL, &out), 2);
	assert_string_equal(out[0], "key:*:*");
	assert_string_equal(out[1], "audit:*:read");
	/* narrowed by the credential; what both say is said once */
	scopes_set(&token.scopes, "key:*:sign", "audit:*:read");
	assert_int_equal(effective(&links[0], &token, NULL, &out), 2);
	assert_string_equal(out[0], "key:*:sign");
	assert_string_equal(out[1], "audit:*:read");
	/* only what allows this operation */
	assert_int_equal(effective(&links[0], &token, "sign", &out), 1);
	assert_string_equal(out[0], "key:*:sign");
	assert_int_equal(effective(&links[0], NULL, "sign", &out), 1);
	assert_string_equal(out[0], "key:*:*");
	assert_int_equal(effective(&links[0], &token, "destroy", &out), 0);
	/* What is held for a while is said until its very millisecond. */
	scopes_set(&access.scopes, "key:*:sign", NULL);
	links[0].access = &access;
	access.expires_at = ag_now_ms(ctx) + 1;
	assert_int_equal(effective(&links[0], NULL, NULL, &out), 3);
	assert_string_equal(out[0], "key:*:sign");
	access.expires_at = ag_now_ms(ctx);
	assert_int_equal(effective(&links[0], NULL, NULL, &out), 2);
	links[0].access = NULL;
	iam_scopes_free(&access.scopes);
	/* Two roles that give the same. */
	links[0].roles[1] = links[0].roles[0];
	links[0].role_count = 2;
	assert_int_equal(effective(&links[0], NULL, NULL, &out), 2);
	scopes_set(&token.scopes, NULL, NULL);
}

/* What a link above lost, nobody below has; another name of the same is as
 * good as the name that the link above holds. */
static void
test_effective_below(void **state)
{
	char **out;

	links[0].roles[0] = (struct iam_role_held){ &roles[0], 0, INT64_MAX };
	scopes_set(&links[1].scopes, "key:" INVOICE ":*", "key:label=tier=low:read");
	scopes_set(&links[2].scopes, "key:invoice-2026:sign",
	    "key:treasury-master:sign");
	assert_int_equal(effective(&links[2], NULL, NULL, &out), 1);
	assert_string_equal(out[0], "key:invoice-2026:sign");
	scopes_set(&links[2].scopes, "key:invoice-2026:read", "key:ghost:sign");
	assert_int_equal(effective(&links[2], NULL, NULL, &out), 1);
	assert_string_equal(out[0], "key:invoice-2026:read");
	scopes_set(&roles[0].scopes, "audit:*:read", NULL);
	assert_int_equal(effective(&links[2], NULL, NULL, &out), 0);
}

/* Without memory there is nothing to hold; it does not write beyond. */
static void
test_effective_without_memory(void **state)
{
	size_t size = 1 << 20;
	char **out;

	links[0].roles[0] = (struct iam_role_held){ &roles[0], 0, INT64_MAX };
	while (size > 0)
		if (ag_alloc(ctx, size) == NULL)
			size /= 2;
	assert_int_equal(effective(&links[0], NULL, NULL, &out), 0);
	assert_null(out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_stands, setup),
		cmocka_unit_test_setup(test_expiry_is_exact, setup),
		cmocka_unit_test_setup(test_suspended, setup),
		cmocka_unit_test_setup(test_gone_comes_first, setup),
		cmocka_unit_test_setup(test_below, setup),
		cmocka_unit_test_setup(test_role_times, setup),
		cmocka_unit_test_setup(test_written_out, setup),
		cmocka_unit_test_setup(test_lasting, setup),
		cmocka_unit_test_setup(test_access_times, setup),
		cmocka_unit_test_setup(test_weakest_link, setup),
		cmocka_unit_test_setup(test_credential, setup),
		cmocka_unit_test_setup(test_trail_is_bounded, setup),
		cmocka_unit_test_setup(test_asked_by_name, setup),
		cmocka_unit_test_setup(test_resolve, setup),
		cmocka_unit_test_setup(test_effective, setup),
		cmocka_unit_test_setup(test_effective_below, setup),
		cmocka_unit_test_setup(test_effective_without_memory, setup),
	};

	return cmocka_run_group_tests(tests, build, destroy);
}
