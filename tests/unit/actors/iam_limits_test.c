/* SPDX-License-Identifier: Apache-2.0 */
/* Rate windows (RL01), the token cache and networks: the pure parts of iam. */
#include "iam.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { HITS = 20000 };

/* However the hits fall, no span of the window's length holds more than N. */
static void
property(unsigned seed, uint32_t rate, uint32_t window_ms, unsigned step_max)
{
	struct iam_limit limit = { rate, window_ms };
	struct iam_window w = { 0 };
	uint64_t *passed = calloc(HITS, sizeof(*passed));
	size_t count = 0, first = 0;
	uint64_t now = 1000000 + seed;

	for (int i = 0; i < HITS; i++) {
		now += (unsigned)rand_r(&seed) % step_max;
		if (rand_r(&seed) % 500 == 0)
			now += window_ms / 2;
		if (!iam_window_look(&w, &limit, now, 1).ok)
			continue;
		iam_window_take(&w, &limit, now, 1);
		passed[count++] = now;
		while (passed[first] + window_ms <= now)
			first++;
		assert_true(count - first <= rate);
	}
	assert_true(count > rate); /* and it does open again */
	free(passed);
}

static void
test_never_more(void **state)
{
	property(1, 100, 60000, 300);
	property(2, 7, 1000, 50);
	property(3, 1, 1000, 2000);
	property(4, 6000, 60000, 3);
	property(5, 10, 7, 2); /* not a multiple of the parts */
}

static void
test_exactly_n(void **state)
{
	struct iam_limit limit = { 50, 10000 };
	struct iam_window w = { 0 };
	struct iam_room room;
	unsigned ok = 0;

	for (int i = 0; i < 10000; i++) {
		room = iam_window_look(&w, &limit, 5000000 + (uint64_t)i / 10, 1);
		if (room.ok) {
			iam_window_take(&w, &limit, 5000000 + (uint64_t)i / 10, 1);
			ok++;
			assert_int_equal(room.left, 50 - ok);
		}
	}
	assert_int_equal(ok, 50);
	assert_false(room.ok);
	assert_int_equal(room.left, 0);
	assert_in_range(room.retry_s, 1, 11);
	assert_in_range(room.reset_s, 1, 10); /* RateLimit: t is at most w */
	/* after the time that it told, there is room */
	assert_true(iam_window_look(&w, &limit, 5001000 + room.retry_s *
	    UINT64_C(1000), 1).ok);
}

static void
test_items(void **state)
{
	struct iam_limit limit = { 100, 1000 }, none = { 0, 1000 };
	struct iam_window w = { 0 };

	assert_true(iam_window_look(&w, &limit, 99000, 100).ok);
	assert_false(iam_window_look(&w, &limit, 99000, 101).ok);
	iam_window_take(&w, &limit, 99000, 60);
	assert_true(iam_window_look(&w, &limit, 99001, 40).ok);
	assert_false(iam_window_look(&w, &limit, 99001, 41).ok);
	assert_int_equal(iam_window_look(&w, &limit, 99001, 41).left, 40);
	/* a clock that steps back frees nothing; no limit is no limit */
	assert_false(iam_window_look(&w, &limit, 1000, 41).ok);
	assert_true(iam_window_look(&w, &none, 1, UINT32_MAX).ok);
}

static void
test_cache(void **state)
{
	struct iam_cache *cache = calloc(1, sizeof(*cache));
	struct iam_token *tokens = calloc(IAM_CACHE_MAX + 1, sizeof(*tokens));
	uint8_t hash[32];

	assert_int_equal(iam_cache_init(cache), AG_OK);
	for (uint32_t i = 0; i <= IAM_CACHE_MAX; i++) {
		ag_sha256(&i, sizeof(i), hash);
		iam_cache_put(cache, hash, &tokens[i], 1000 + i);
	}
	/* the first one had to go, nobody else */
	for (uint32_t i = 0; i <= IAM_CACHE_MAX; i += 1000) {
		ag_sha256(&i, sizeof(i), hash);
		assert_ptr_equal(iam_cache_get(cache, hash, 999),
		    i == 0 ? NULL : &tokens[i]);
	}
	/* what was used last stays, when room is made */
	for (uint32_t i = IAM_CACHE_MAX + 1; i < IAM_CACHE_MAX + 900; i++) {
		ag_sha256(&i, sizeof(i), hash);
		iam_cache_put(cache, hash, &tokens[0], 1 << 30);
	}
	ag_sha256(&(uint32_t){ 1000 }, 4, hash);
	assert_non_null(iam_cache_get(cache, hash, 999));
	ag_sha256(&(uint32_t){ 500 }, 4, hash);
	assert_null(iam_cache_get(cache, hash, 999));
	/* at its end it is gone, and stays so */
	ag_sha256(&(uint32_t){ 2000 }, 4, hash);
	assert_non_null(iam_cache_get(cache, hash, 2999));
	assert_null(iam_cache_get(cache, hash, 3000));
	assert_null(iam_cache_get(cache, hash, 999));
	iam_cache_clear(cache);
	ag_sha256(&(uint32_t){ 1000 }, 4, hash);
	assert_null(iam_cache_get(cache, hash, 999));
	iam_cache_fini(cache);
	free(cache);
	free(tokens);
}

static void
test_networks(void **state)
{
	static const char *const bad[] = { "", "/", "10.0.0.0", "10.0.0.0/",
		"10.0.0.0/33", "10.0.0.1/8", "10.0.0/8", "10.0.0.0/08",
		"10.0.0.0/ 8", "10.0.0.0/-1", "::/129", "::1/127", "x/8",
		"::ffff:10.0.0.0/104", "10.0.0.0/8/8" };
	struct iam_cidr c;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(iam_cidr_parse(bad[i], &c));
	assert_true(iam_cidr_parse("10.1.0.0/15", &c) == false);
	assert_true(iam_cidr_parse("10.2.0.0/15", &c));
	assert_true(iam_cidr_has(&c, "10.3.255.255"));
	assert_true(iam_cidr_has(&c, "::ffff:10.2.0.1"));
	assert_false(iam_cidr_has(&c, "10.4.0.0"));
	assert_false(iam_cidr_has(&c, "::1"));
	assert_false(iam_cidr_has(&c, NULL));
	assert_false(iam_cidr_has(&c, "nonsense"));
	assert_true(iam_cidr_parse("2001:db8::/33", &c));
	assert_true(iam_cidr_has(&c, "2001:db8:7fff::1"));
	assert_false(iam_cidr_has(&c, "2001:db8:8000::1"));
	assert_true(iam_cidr_parse("0.0.0.0/0", &c));
	assert_true(iam_cidr_has(&c, "192.0.2.1"));
}

static bool
same_text(const void *item, const char *scope, const char *key)
{
	return strcmp(item, key) == 0;
}

static void
test_table(void **state)
{
	struct iam_table t;
	char (*names)[16] = calloc(3000, sizeof(*names));

	iam_table_init(&t, 2999);
	for (int i = 0; i < 3000; i++) {
		snprintf(names[i], sizeof(names[i]), "n%d", i);
		assert_int_equal(iam_table_add(&t, "", names[i], names[i]),
		    i < 2999 ? AG_OK : AG_FULL);
	}
	for (int i = 0; i < 2999; i += 2)
		iam_table_del(&t, "", names[i], names[i]);
	for (int i = 0; i < 2999; i++)
		assert_ptr_equal(iam_table_get(&t, same_text, "", names[i]),
		    i % 2 == 0 ? NULL : names[i]);
	assert_int_equal(t.count, 1499);
	iam_table_fini(&t);
	free(names);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_never_more),
		cmocka_unit_test(test_exactly_n),
		cmocka_unit_test(test_items),
		cmocka_unit_test(test_cache),
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
