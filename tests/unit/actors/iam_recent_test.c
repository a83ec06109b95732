/* SPDX-License-Identifier: Apache-2.0 */
/* What was admitted lately, as policies see it; and when keys may be used. */
#include "iam_fleet.h"

#include "iam.h"

#include <stdio.h>

static struct fleet *f;

#define PERMIT "permit (principal, action, resource);"
#define DAY_MS INT64_C(86400000)

static int
setup(void **state)
{
	f = fleet_new(NULL);
	key(f, "default", INVOICE, "invoice", "env", "prod", false);
	key(f, "default", TREASURY, "treasury", NULL, NULL, false);
	return 0;
}

static int
teardown(void **state)
{
	fleet_free(f);
	return 0;
}

static void
put(const char *text)
{
	Ag__PolicySetAsk ask = AG__POLICY_SET_ASK__INIT;

	ask.text = (char *)text;
	expect(request(f, AG_MSG_POLICY_SET, ASK(.token = f->admin,
	    .selector = "base"), &ask), AG_OK, NULL);
}

/* How many of n pass. */
static unsigned
passes(const char *token, const char *name, unsigned n)
{
	unsigned passed = 0;

	while (n-- > 0) {
		struct ended e = sign(f, token, name);

		passed += e.err == AG_OK;
		if (e.err != AG_OK)
			assert_string_equal(e.reason, "no_matching_rule");
		ended_free(&e);
	}
	return passed;
}

/* Two windows at once; each principal, action and resource by itself. */
static void
test_two_windows(void **state)
{
	char *bob = person(f, f->admin, AG__KIND__V__human, "bob", "key-user");
	char *token = token_of(f, f->admin, bob, NULL);

	put(PERMIT "@id(\"fast\") forbid (principal, action in "
	    "Aegis::Action::\"use\", resource is Aegis::Key) when { "
	    "context.recent.second > 1 || context.recent.day > 5 };");
	assert_int_equal(passes(f->admin, "invoice", 3), 1);
	/* Another key, another principal, another action. */
	assert_int_equal(passes(f->admin, "treasury", 2), 1);
	assert_int_equal(passes(token, "invoice", 2), 1);
	expect(request(f, AG_MSG_KEY_VERIFY, ASK(.token = f->admin,
	    .selector = "invoice"), NULL), AG_OK, NULL);
	for (int i = 0; i < 10; i++) { /* what was refused does not count */
		ag_kit_advance(f->kit, 1100);
		assert_int_equal(passes(f->admin, "invoice", 2), i < 4);
	}
	free(bob);
	free(token);
}

/* A span counts a tenth too long at most, and never too short. */
static void
test_edges_of_a_span(void **state)
{
	put(PERMIT "forbid (principal, action in Aegis::Action::\"use\", "
	    "resource is Aegis::Key) when { context.recent.minute > 1 };");
	assert_int_equal(passes(f->admin, "invoice", 1), 1);
	ag_kit_advance(f->kit, 59999);
	assert_int_equal(passes(f->admin, "invoice", 1), 0);
	ag_kit_advance(f->kit, 6001);
	assert_int_equal(passes(f->admin, "invoice", 1), 1);
}

static void
test_items_of_a_batch(void **state)
{
	put(PERMIT "forbid (principal, action in Aegis::Action::\"use\", "
	    "resource is Aegis::Key) when { context.recent.hour > 10 };");
	expect(request(f, AG_MSG_KEY_BATCH, ASK(.token = f->admin, .selector =
	    "invoice", .scope_op = "sign", .items = 7), NULL), AG_OK, NULL);
	/* A batch is what its items are. */
	expect(request(f, AG_MSG_KEY_BATCH, ASK(.token = f->admin, .selector =
	    "invoice", .scope_op = "sign", .items = 4), NULL),
	    AG_PERMISSION_DENIED, "no_matching_rule");
	assert_int_equal(passes(f->admin, "invoice", 5), 3);
}

/* At most two distinct keys in an hour; the same ones go on. */
static void
test_distinct_keys(void **state)
{
	char id[AG_ID_SIZE], alias[16];

	put(PERMIT "forbid (principal, action in Aegis::Action::\"use\", "
	    "resource is Aegis::Key) when { context.recent.keys_hour > 50 };");
	for (int i = 0; i < 60; i++) {
		snprintf(id, sizeof(id), "key_%032x", 0x1000 + i);
		snprintf(alias, sizeof(alias), "k%d", i);
		key(f, "default", id, alias, NULL, NULL, false);
		assert_int_equal(passes(f->admin, alias, 1), i < 50);
	}
	assert_int_equal(passes(f->admin, "k0", 3), 3);
	assert_int_equal(passes(f->admin, "k50", 1), 0);
	ag_kit_advance(f->kit, 3600 * 1000 + 1);
	assert_int_equal(passes(f->admin, "k50", 1), 1);
}

/* Where there is no room to count, a limit holds; what has its row goes on;
 * and rows that no span reaches make room. */
static void
test_room(void **state)
{
	struct iam *iam = ag_kit_state(f->kit);
	struct iam_recent_query q = { .action = "key.sign", .resource = INVOICE,
		.is_key = true, .items = 1, .real = true };
	struct ag_rules_recent counts;
	char id[AG_ID_SIZE];

	put(PERMIT "forbid (principal, action in Aegis::Action::\"use\", "
	    "resource is Aegis::Key) when { context.recent.day > 100 };");
	for (int i = 0; i < IAM_RECENT_KEYS_MAX + 2; i++) {
		snprintf(id, sizeof(id), "key_%032x", 0x1000 + i);
		key(f, "default", id, NULL, NULL, NULL, false);
		assert_int_equal(passes(f->admin, id, 1),
		    i < IAM_RECENT_KEYS_MAX);
	}
	snprintf(id, sizeof(id), "key_%032x", 0x1000);
	assert_int_equal(passes(f->admin, id, 1), 1);
	/* A day later, without the timers of a day. */
	q.node = iam_principal_find(iam, iam_tenant_find(iam, "default"),
	    "admin");
	q.now = ag_kit_now(f->kit);
	iam_recent_look(iam, &q, &counts);
	assert_int_equal(counts.second, AG_RULES_MANY);
	assert_int_equal(counts.keys_day, AG_RULES_MANY);
	/* A question about another time sees what was, and changes nothing. */
	q.real = false;
	q.now += DAY_MS + DAY_MS / 10 + 1;
	iam_recent_look(iam, &q, &counts);
	assert_int_equal(counts.day, AG_RULES_MANY);
	q.now = -1;
	iam_recent_look(iam, &q, &counts);
	q.now = ag_kit_now(f->kit);
	assert_int_equal(passes(f->admin, "key_00000000000000000000000000001000", 1), 1);
	q.real = true;
	q.now += DAY_MS + DAY_MS / 10 + 1;
	iam_recent_look(iam, &q, &counts);
	assert_int_equal(counts.day, 1);
	assert_int_equal(counts.keys_day, 1);
}

/* The set in force does not look at counts: nothing is counted. */
static void
test_not_asked(void **state)
{
	put(PERMIT);
	assert_int_equal(passes(f->admin, "invoice", 5), 5);
	put(PERMIT "forbid (principal, action in Aegis::Action::\"use\", "
	    "resource is Aegis::Key) when { context.recent.day > 1 };");
	assert_int_equal(passes(f->admin, "invoice", 5), 1);
}

/* Counts are in the snapshot. */
static void
test_restart(void **state)
{
	char dir[] = "/tmp/iam-recent-XXXXXX", command[64];
	EVP_PKEY *issuer = f->issuer;

	assert_non_null(mkdtemp(dir));
	EVP_PKEY_up_ref(issuer);
	EVP_PKEY_up_ref(issuer);
	fleet_free(f);
	f = fleet_on(NULL, dir, issuer);
	key(f, "default", INVOICE, "invoice", NULL, NULL, false);
	key(f, "default", TREASURY, "treasury", NULL, NULL, false);
	put(PERMIT "forbid (principal, action in Aegis::Action::\"use\", "
	    "resource is Aegis::Key) when { context.recent.day > 3 || "
	    "context.recent.keys_day > 1 };");
	assert_int_equal(passes(f->admin, "invoice", 2), 2);
	fleet_free(f);
	f = fleet_on(NULL, dir, issuer);
	assert_int_equal(passes(f->admin, "treasury", 1), 0);
	assert_int_equal(passes(f->admin, "invoice", 5), 1);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
}

static bool
count_row(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
    size_t value_len)
{
	++*(unsigned *)arg;
	return true;
}

static unsigned
rows_kept(void)
{
	unsigned n = 0;

	assert_int_equal(ag_store_scan(ag_kit_ctx(f->kit), IAM_T_RECENT, NULL, 0,
	    count_row, &n), AG_OK);
	return n;
}

/* What counts no longer leaves the snapshot, and the room that is bounded. */
static void
test_what_is_over_is_swept(void **state)
{
	struct iam *iam = ag_kit_state(f->kit);
	struct iam_tenant *tenant = iam_tenant_find(iam, "default");

	put(PERMIT "forbid (principal, action in Aegis::Action::\"use\", "
	    "resource is Aegis::Key) when { context.recent.day > 3 || "
	    "context.recent.keys_day > 2 };");
	assert_int_equal(passes(f->admin, "invoice", 3), 3);
	assert_int_equal(passes(f->admin, "treasury", 1), 1);
	later(f, 2000);
	assert_true(rows_kept() >= 2);
	assert_true(tenant->recent_uses > 0 && tenant->recent_keys > 0);
	ag_kit_advance(f->kit, DAY_MS / 10 * 11 + 60000); /* a span is a tenth long */
	later(f, 30000);
	assert_int_equal(rows_kept(), 0);
	assert_int_equal(tenant->recent_uses + tenant->recent_keys, 0);
	assert_int_equal(passes(f->admin, "invoice", 4), 3);
}

/* ------------------------------------------------------------------- hours */

/* The windows are of another zone; whatever else a policy permits. */
static void
test_allowed_windows(void **state)
{
	static const char day[] = "key_00000000000000000000000000000010",
	    never[] = "key_00000000000000000000000000000011",
	    nowhere[] = "key_00000000000000000000000000000012";
	char text[64];
	time_t now = (time_t)(ag_kit_now(f->kit) / 1000);
	struct tm tm;
	struct ended e;

	assert_non_null(gmtime_r(&now, &tm));
	/* From now on, for an hour, in a zone that is two hours ahead. */
	snprintf(text, sizeof(text), "daily %02d:00-%02d:00 Etc/GMT-2",
	    (tm.tm_hour + 2) % 24, (tm.tm_hour + 3) % 24);
	key(f, "default", day, "day", "allowed_windows", text, false);
	key(f, "default", never, "never", "allowed_windows", "whenever", false);
	key(f, "default", nowhere, "nowhere", "allowed_windows",
	    "daily 00:00-24:00 Middle/Earth", false);
	expect(sign(f, f->admin, "day"), AG_OK, NULL);
	expect(sign(f, f->admin, "never"), AG_OUTSIDE_ALLOWED_WINDOW, NULL);
	expect(sign(f, f->admin, "nowhere"), AG_OUTSIDE_ALLOWED_WINDOW, NULL);
	/* Reading is no use. */
	expect(request(f, AG_MSG_KEY_READ, ASK(.token = f->admin, .selector =
	    "never"), NULL), AG_OK, NULL);
	ag_kit_advance(f->kit, (3600 - tm.tm_min * 60 - tm.tm_sec) *
	    INT64_C(1000) - ag_kit_now(f->kit) % 1000 - 1);
	expect(sign(f, f->admin, "day"), AG_OK, NULL);
	ag_kit_advance(f->kit, 1);
	e = sign(f, f->admin, "day");
	assert_int_equal(e.err, AG_OUTSIDE_ALLOWED_WINDOW);
	assert_string_equal(e.rule, "allowed_windows");
	ended_free(&e);
	expect(request(f, AG_MSG_KEY_BATCH, ASK(.token = f->admin, .selector =
	    "day", .scope_op = "sign", .items = 2), NULL),
	    AG_OUTSIDE_ALLOWED_WINDOW, NULL);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_two_windows), T(test_edges_of_a_span),
		T(test_items_of_a_batch), T(test_distinct_keys), T(test_room),
		T(test_not_asked), T(test_restart), T(test_what_is_over_is_swept),
		T(test_allowed_windows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
