/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A row of iam's snapshot that is not what iam wrote: whichever it is, nothing
 * of the snapshot is believed, and the journal is read from its start.
 */
#include "iam_fleet.h"

#include "iam.h"

static const uint8_t garbage[] = { 0xff, 0xff, 0xff };

static const struct damage {
	const char *what;
	enum iam_table_name table;
	const char *key;
} garbled[] = {
	{ "tenant", IAM_T_TENANTS, "x" },
	{ "role", IAM_T_ROLES, "default/x" },
	{ "policy", IAM_T_POLICIES, "default/x/1" },
	{ "principal", IAM_T_PRINCIPALS, "x" },
	{ "key", IAM_T_KEYS, "x" },
	{ "token", IAM_T_TOKENS, "x" },
	{ "end of a token", IAM_T_TOKEN_ENDS, "x" },
	{ "agent", IAM_T_AGENTS, "x" },
	{ "uses", IAM_T_USES, "x" },
	{ "broken glass", IAM_T_GLASS, "x" },
	{ "access", IAM_T_ACCESS, "x" },
	{ "client secret", IAM_T_CLIENTS, "x" },
	{ "second factor", IAM_T_TOTP, "x" },
	{ "step of a second factor", IAM_T_TOTP_STEPS, "x" },
	{ "activity", IAM_T_ACTIVITY, "x" },
	{ "hold, of an id that is none", IAM_T_HOLDS,
	    "agt_0123456789012345678901234567890123456789" },
};

/* alice is there; her id. Then `damage` is done, and iam starts again. */
static bool
knows_alice_after(ag_err (*damage)(struct ag_ctx *ctx, const void *arg),
    const void *arg)
{
	EVP_PKEY *issuer = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	char dir[] = "/tmp/iam-damage-XXXXXX", command[64];
	struct fleet *f;
	char *alice;
	bool known;

	assert_non_null(mkdtemp(dir));
	EVP_PKEY_up_ref(issuer);
	f = fleet_on(NULL, dir, issuer);
	alice = person(f, f->admin, AG__KIND__V__human, "alice", "auditor");
	assert_non_null(iam_node_find(ag_kit_state(f->kit), alice));
	if (damage != NULL)
		assert_int_equal(damage(ag_kit_ctx(f->kit), arg), AG_OK);
	fleet_free(f);
	f = fleet_on(NULL, dir, issuer);
	known = iam_node_find(ag_kit_state(f->kit), alice) != NULL;
	fleet_free(f);
	free(alice);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
	return known;
}

static ag_err
garble(struct ag_ctx *ctx, const void *arg)
{
	const struct damage *d = arg;

	return ag_store_put(ctx, d->table, d->key, strlen(d->key), garbage,
	    sizeof(garbage));
}

static void
test_sound(void **state)
{
	(void)state;
	assert_true(knows_alice_after(NULL, NULL));
}

static void
test_garbled(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(garbled) / sizeof(garbled[0]); i++)
		if (knows_alice_after(garble, &garbled[i]))
			fail_msg("%s", garbled[i].what);
}

static ag_err
orphan(struct ag_ctx *ctx, const void *arg)
{
	Ag__Agent a = AG__AGENT__INIT;

	(void)arg;
	a.id = (char *)"agt_00000000000000000000000000000001";
	a.tenant = (char *)"default";
	a.label = a.jti = (char *)"x";
	a.state = (char *)"live";
	a.parent = a.root = (char *)"hum_00000000000000000000000000000002";
	return iam_store_msg(ctx, IAM_T_AGENTS, a.id, &a);
}

/* Of whom nobody can say whether it may. */
static void
test_an_agent_of_nobody(void **state)
{
	(void)state;
	assert_false(knows_alice_after(orphan, NULL));
}

static ag_err
factor_of_nobody(struct ag_ctx *ctx, const void *arg)
{
	Ag__TotpFact fact = AG__TOTP_FACT__INIT;

	(void)arg;
	fact.principal_id = (char *)"hum_00000000000000000000000000000002";
	fact.state = (char *)"none";
	return iam_store_msg(ctx, IAM_T_TOTP, fact.principal_id, &fact);
}

static void
test_a_factor_of_nobody(void **state)
{
	(void)state;
	assert_false(knows_alice_after(factor_of_nobody, NULL));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sound),
		cmocka_unit_test(test_garbled),
		cmocka_unit_test(test_an_agent_of_nobody),
		cmocka_unit_test(test_a_factor_of_nobody),
	};

	return cmocka_run_group_tests_name("iam_damage", tests, NULL, NULL);
}
