/* SPDX-License-Identifier: Apache-2.0 */
/* Keys with a residency: used from the networks of their regions only. */
#include "iam_fleet.h"

#include "iam.h"

#define REGIONS \
	"residency: {regions: [{name: eu, networks: [192.0.2.0/24, " \
	"\"2001:db8:1::/48\"]}, {name: uk, networks: [198.51.100.0/24]}, " \
	"{name: eu, networks: [203.0.113.0/25]}]}\n"

static struct fleet *f;

static int
setup(void **state)
{
	f = fleet_new(REGIONS);
	return 0;
}

static int
teardown(void **state)
{
	fleet_free(f);
	return 0;
}

static struct ended
sign_from(const char *alias, const char *address)
{
	Ag__SignAsk ask = sign_ask();

	return request(f, AG_MSG_KEY_SIGN, ASK(.token = f->admin,
	    .selector = alias, .address = address), &ask);
}

static void
refused(struct ended e)
{
	assert_int_equal(e.err, AG_RESIDENCY_VIOLATION);
	assert_string_equal(e.rule, "residency");
	assert_non_null(e.grant);
	ended_free(&e);
}

static void
test_regions(void **state)
{
	static const char eu[] = "key_00000000000000000000000000000010",
	    both[] = "key_00000000000000000000000000000011",
	    none[] = "key_00000000000000000000000000000012",
	    free_key[] = "key_00000000000000000000000000000013";

	key(f, "default", eu, "eu", "residency", "eu", false);
	key(f, "default", both, "both", "residency", "uk+eu", false);
	key(f, "default", none, "mars", "residency", "mars", false);
	key(f, "default", free_key, "free", "env", "eu", false);
	expect(sign_from("eu", "192.0.2.1"), AG_OK, NULL);
	expect(sign_from("eu", "2001:db8:1::9"), AG_OK, NULL);
	expect(sign_from("eu", "203.0.113.127"), AG_OK, NULL);
	refused(sign_from("eu", "203.0.113.128"));
	refused(sign_from("eu", "198.51.100.7"));
	refused(sign_from("eu", "2001:db8:2::9"));
	expect(sign_from("both", "198.51.100.7"), AG_OK, NULL);
	expect(sign_from("both", "192.0.2.1"), AG_OK, NULL);
	refused(sign_from("both", "10.0.0.1"));
	refused(sign_from("mars", "192.0.2.1"));
	refused(sign_from("eu", "no address"));
	refused(sign_from("eu", ""));
	expect(sign_from("free", "10.0.0.1"), AG_OK, NULL);
	/* Part of a name is none. */
	key(f, "default", "key_00000000000000000000000000000014", "e",
	    "residency", "e+u+europe", false);
	refused(sign_from("e", "192.0.2.1"));
}

/* Use is bound; to read what it is, is not. A batch is what its items are. */
static void
test_uses(void **state)
{
	key(f, "default", INVOICE, "invoice", "residency", "uk", false);
	expect(request(f, AG_MSG_KEY_READ, ASK(.token = f->admin, .selector =
	    "invoice"), NULL), AG_OK, NULL);
	refused(request(f, AG_MSG_KEY_BATCH, ASK(.token = f->admin, .selector =
	    "invoice", .scope_op = "sign", .items = 2), NULL));
	refused(sign_from("invoice", NULL)); /* 192.0.2.1 */
}

/* Without any region, a key that has one is nowhere to be used. */
static void
test_no_regions(void **state)
{
	fleet_free(f);
	f = fleet_new(NULL);
	key(f, "default", INVOICE, "invoice", "residency", "eu", false);
	refused(sign_from("invoice", "192.0.2.1"));
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(test_regions), T(test_uses), T(test_no_regions),
	};

	return cmocka_run_group_tests_name("iam_residency", tests, NULL, NULL);
}
