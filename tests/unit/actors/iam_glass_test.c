/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens under broken glass, as the journal tells of both. */
#include "iam_fleet.h"

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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_token_ends_with_its_glass,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_token_that_came_too_late,
		    setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
