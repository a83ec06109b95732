/* SPDX-License-Identifier: Apache-2.0 */
/* What a tenant may have at once: a precise refusal at its quota, nothing of
 * it for others, and a share of every table that nobody can take away. */
#include "iam_fleet.h"

#include "iam.h"

#define CONFIG \
	"limits:\n  tenant: {principals: 3, agents: 2, tokens: 3, keys: 2}\n"

static struct fleet *
full_fleet(char **other)
{
	struct fleet *f = fleet_new(CONFIG);

	*other = tenant_of(f, "acme");
	return f;
}

static struct ended
issue(struct fleet *f, const char *by)
{
	char *scopes[] = { (char *)"key:x:sign" };
	Ag__AgentIssueAsk ask = agent_ask(scopes, 1);

	return request(f, AG_MSG_AGENT_ISSUE, ASK(.token = by), &ask);
}

static void
test_agents(void **state)
{
	char *other;
	struct fleet *f = full_fleet(&other);
	struct ended e;

	expect(issue(f, f->admin), AG_OK, NULL);
	expect(issue(f, f->admin), AG_OK, NULL);
	e = issue(f, f->admin);
	assert_true(e.retry_after_s > 0);
	expect(e, AG_RATE_LIMITED, "account");
	expect(issue(f, other), AG_OK, NULL);
	expect(issue(f, other), AG_OK, NULL);
	expect(issue(f, other), AG_RATE_LIMITED, "account");
	free(other);
	fleet_free(f);
}

static struct ended
make_person(struct fleet *f, const char *by, const char *name)
{
	Ag__PrincipalCreateAsk ask = AG__PRINCIPAL_CREATE_ASK__INIT;

	ask.kind = AG__KIND__V__service;
	ask.name = (char *)name;
	return request(f, AG_MSG_PRINCIPAL_CREATE, ASK(.token = by), &ask);
}

/* Deleted ones count: their names are taken for ever. */
static void
test_principals(void **state)
{
	char *other;
	struct fleet *f = full_fleet(&other);

	expect(make_person(f, f->admin, "a"), AG_OK, NULL);
	expect(make_person(f, f->admin, "b"), AG_OK, NULL);
	expect(make_person(f, f->admin, "c"), AG_RATE_LIMITED, "account");
	because(f, AG_MSG_PRINCIPAL_DELETE, f->admin, "a", AG_OK, NULL);
	expect(make_person(f, f->admin, "c"), AG_RATE_LIMITED, "account");
	expect(make_person(f, other, "c"), AG_OK, NULL);
	free(other);
	fleet_free(f);
}

static void
test_tokens(void **state)
{
	Ag__TokenIssueAsk ask = AG__TOKEN_ISSUE_ASK__INIT;
	char *other;
	struct fleet *f = full_fleet(&other);
	struct asking a = ASK(.token = f->admin, .selector = "admin");

	expect(request(f, AG_MSG_TOKEN_ISSUE, a, &ask), AG_OK, NULL);
	expect(request(f, AG_MSG_TOKEN_ISSUE, a, &ask), AG_OK, NULL);
	expect(request(f, AG_MSG_TOKEN_ISSUE, a, &ask), AG_RATE_LIMITED,
	    "account");
	a.token = other;
	expect(request(f, AG_MSG_TOKEN_ISSUE, a, &ask), AG_OK, NULL);
	free(other);
	fleet_free(f);
}

static void
test_keys(void **state)
{
	Ag__KeyCreateAsk ask = AG__KEY_CREATE_ASK__INIT;
	char *other, *nobody, *bare;
	struct fleet *f = full_fleet(&other);

	ask.key_spec = AG__KEY_SPEC__V__EC_P256;
	key(f, "default", INVOICE, "a", NULL, NULL, false);
	expect(request(f, AG_MSG_KEY_CREATE, ASK(.token = f->admin), &ask),
	    AG_OK, NULL);
	key(f, "default", TREASURY, "b", NULL, NULL, false);
	/* Seen twice, counted once. */
	key(f, "default", TREASURY, "b", NULL, NULL, false);
	expect(request(f, AG_MSG_KEY_CREATE, ASK(.token = f->admin), &ask),
	    AG_RATE_LIMITED, "account");
	expect(request(f, AG_MSG_KEY_CREATE, ASK(.token = other), &ask), AG_OK,
	    NULL);
	/* Who may make none learns nothing of how many there are. */
	nobody = person(f, f->admin, AG__KIND__V__human, "nobody", NULL);
	bare = token_of(f, f->admin, nobody, "key:x:read");
	expect(request(f, AG_MSG_KEY_CREATE, ASK(.token = bare), &ask),
	    AG_PERMISSION_DENIED, "scope_missing");
	free(nobody);
	free(bare);
	free(other);
	fleet_free(f);
}

/* The common part is used up: who is below its share still gets in. */
static void
test_share(void **state)
{
	struct iam *iam = calloc(1, sizeof(*iam));
	struct iam_tenant greedy = { .name = "greedy" }, late = { .name = "late" };
	unsigned before;

	for (unsigned i = 0; i < IAM_COUNTS; i++)
		iam->quota[i] = UINT32_MAX;
	while (iam_quota_room(iam, &greedy, IAM_C_AGENTS))
		iam_quota_count(iam, &greedy, IAM_C_AGENTS, true);
	assert_true(greedy.used[IAM_C_AGENTS] + AG_PENDING_MAX < IAM_AGENTS_MAX);
	/* Every other tenant can still take its share. */
	for (before = 0; iam_quota_room(iam, &late, IAM_C_AGENTS); before++)
		iam_quota_count(iam, &late, IAM_C_AGENTS, true);
	assert_true(before >= 100);
	assert_true(greedy.used[IAM_C_AGENTS] + AG_PENDING_MAX +
	    before * (IAM_TENANTS_MAX - 1) <= IAM_AGENTS_MAX);
	iam_quota_count(iam, &greedy, IAM_C_AGENTS, false);
	assert_true(iam_quota_room(iam, &greedy, IAM_C_AGENTS));
	assert_true(iam_quota_room(iam, &late, IAM_C_AGENTS));
	while (greedy.used[IAM_C_AGENTS] > 0)
		iam_quota_count(iam, &greedy, IAM_C_AGENTS, false);
	assert_int_equal(iam->common[IAM_C_AGENTS], 0);
	free(iam);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_agents),
		cmocka_unit_test(test_principals),
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_share),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
