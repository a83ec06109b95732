/* SPDX-License-Identifier: Apache-2.0 */
/* When people last agreed to the same, as policies see it. */
#include "iam_fleet.h"

#include "iam.h"

#define LATELY \
	"permit (principal, action, resource); @id(\"lately\") forbid " \
	"(principal, action == Aegis::Action::\"key.sign\", resource) unless { " \
	"context has since_approval && context.since_approval <= " \
	"duration(\"15m\") };"
#define MINUTE INT64_C(60000)

static struct fleet *f;
static char *me; /* the admin's id */
static EVP_PKEY *issuer;
static char dir[64];

static void
policy(const char *text)
{
	Ag__PolicySetAsk ask = AG__POLICY_SET_ASK__INIT;

	ask.text = (char *)text;
	expect(request(f, AG_MSG_POLICY_SET, ASK(.token = f->admin,
	    .selector = "base"), &ask), AG_OK, NULL);
}

static int
setup(void **state)
{
	struct ended e;

	strcpy(dir, "/tmp/iam-agreed-XXXXXX");
	assert_non_null(mkdtemp(dir));
	issuer = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	EVP_PKEY_up_ref(issuer);
	f = fleet_on(NULL, dir, issuer);
	key(f, "default", INVOICE, "invoice", NULL, NULL, false);
	key(f, "default", TREASURY, "treasury", NULL, NULL, false);
	e = sign(f, f->admin, "invoice");
	assert_int_equal(e.err, AG_OK);
	me = strdup(e.grant->actor_id);
	ended_free(&e);
	policy(LATELY);
	return 0;
}

static int
teardown(void **state)
{
	char command[80];

	fleet_free(f);
	free(me);
	EVP_PKEY_free(issuer);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
	return 0;
}

/* What the approvals write when people decided. */
static void
decided(const char *id, uint64_t n, const char *state, const char *who,
    const char *operation, const char *key_id, int64_t at)
{
	Ag__ApprovalFact fact_said = AG__APPROVAL_FACT__INIT;
	Ag__Approval a = AG__APPROVAL__INIT;
	Ag__Resource resource = AG__RESOURCE__INIT;
	Ag__Link requester = AG__LINK__INIT;
	char stream[80];

	requester.id = (char *)who;
	requester.kind = AG__KIND__V__human;
	resource.type = (char *)"key";
	resource.id = (char *)key_id;
	a.id = (char *)id;
	a.state = (char *)state;
	a.operation = (char *)operation;
	a.resource = &resource;
	a.requester = &requester;
	a.requested_at = a.expires_at = at;
	a.has_decided_at = true;
	a.decided_at = at;
	fact_said.approval = &a;
	fact_said.at = at;
	snprintf(stream, sizeof(stream), "approval:%s", id);
	fact(f, stream, n, AG_MSG_APPROVAL_FACT, &fact_said);
}

static void
ruled(const char *selector, bool good)
{
	struct ended e = sign(f, f->admin, selector);

	assert_int_equal(e.err, good ? AG_OK : AG_PERMISSION_DENIED);
	if (!good)
		assert_string_equal(e.rule, "base/lately");
	ended_free(&e);
}

static void
test_a_span(void **state)
{
	int64_t now = ag_kit_now(f->kit);
	struct ended e;

	ruled("invoice", false);
	decided("apr_1", 1, "pending", me, "key.sign", INVOICE, now);
	decided("apr_2", 1, "denied", me, "key.sign", INVOICE, now);
	decided("apr_3", 1, "approved", me, "key.decrypt", INVOICE, now);
	decided("apr_4", 1, "approved", "hum_other", "key.sign", INVOICE, now);
	decided("apr_5", 1, "approved", me, "key.sign", TREASURY, now);
	ruled("invoice", false);
	ruled("treasury", true);
	decided("apr_6", 1, "approved", me, "key.sign", INVOICE, now);
	e = sign(f, f->admin, "invoice");
	assert_int_equal(e.err, AG_OK);
	assert_true(e.grant->policy->has_since_approval_ms); /* for who decides again */
	ended_free(&e);
	/* To the end of the span, and no longer. */
	ag_kit_advance(f->kit, 15 * MINUTE - (ag_kit_now(f->kit) - now));
	ruled("invoice", true);
	ag_kit_advance(f->kit, 1);
	ruled("invoice", false);
	/* An older one, told again when it is used, does not put it back. */
	decided("apr_6", 2, "approved", me, "key.sign", INVOICE, now);
	ruled("invoice", false);
	decided("apr_7", 1, "approved", me, "key.sign", INVOICE,
	    ag_kit_now(f->kit));
	ruled("invoice", true);
}

static void
test_a_day(void **state)
{
	policy("permit (principal, action, resource) when { context has "
	    "since_approval };");
	decided("apr_1", 1, "approved", me, "key.sign", INVOICE,
	    ag_kit_now(f->kit) - 24 * 60 * MINUTE + MINUTE);
	expect(sign(f, f->admin, "invoice"), AG_OK, NULL);
	ag_kit_advance(f->kit, MINUTE);
	expect(sign(f, f->admin, "invoice"), AG_PERMISSION_DENIED, NULL);
}

static void
test_restart(void **state)
{
	decided("apr_1", 1, "approved", me, "key.sign", INVOICE,
	    ag_kit_now(f->kit));
	ruled("invoice", true);
	fleet_free(f);
	EVP_PKEY_up_ref(issuer);
	f = fleet_on(NULL, dir, issuer);
	ruled("invoice", true);
	ruled("treasury", false);
}

/* More than there is room for: the oldest are forgotten, which is a no. */
static void
test_room(void **state)
{
	int64_t now = ag_kit_now(f->kit);
	char id[40], other[40];

	decided("apr_0", 1, "approved", me, "key.sign", INVOICE, now - MINUTE);
	for (int i = 1; i <= 3 * IAM_AGREED_MAX; i++) {
		snprintf(id, sizeof(id), "apr_%d", i);
		snprintf(other, sizeof(other), "hum_%d", i);
		decided(id, 1, "approved", other, "key.sign", INVOICE, now);
	}
	ruled("invoice", false);
	decided("apr_x", 1, "approved", me, "key.sign", INVOICE, now + 1);
	ruled("invoice", true);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(test_a_span), T(test_a_day), T(test_restart), T(test_room),
	};

	return cmocka_run_group_tests_name("iam_agreed", tests, NULL, NULL);
}
