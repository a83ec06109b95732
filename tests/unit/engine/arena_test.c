/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

static void
zeroed_and_aligned(void **state)
{
	struct ag_arena *a;

	assert_int_equal(ag_arena_new(1 << 20, &a), AG_OK);
	for (int turn = 0; turn < 3; turn++) {
		for (size_t n = 0; n < 3000; n += 7) {
			uint8_t *p = ag_arena_alloc(a, n);

			assert_non_null(p);
			assert_int_equal((uintptr_t)p % 16, 0);
			for (size_t i = 0; i < n; i++)
				if (p[i] != 0)
					fail_msg("byte %zu of %zu is set", i, n);
			memset(p, 0xa5, n);
			if (ag_arena_used(a) > 900000)
				break;
		}
		ag_arena_wipe(a);
		assert_int_equal(ag_arena_used(a), 0);
	}
	ag_arena_free(&a);
	assert_null(a);
	ag_arena_free(&a);
}

static void
ceiling_is_an_error(void **state)
{
	struct ag_arena *a;
	size_t got = 0;

	assert_int_equal(ag_arena_new(200000, &a), AG_OK);
	assert_null(ag_arena_alloc(a, 200001));
	assert_null(ag_arena_alloc(a, SIZE_MAX));
	assert_null(ag_arena_alloc(a, SIZE_MAX - 8));
	while (ag_arena_alloc(a, 1000) != NULL)
		got += 1000;
	assert_in_range(got, 150000, 200000);
	ag_arena_wipe(a);
	assert_non_null(ag_arena_alloc(a, 1000));
	ag_arena_free(&a);
	assert_int_equal(ag_arena_new(0, &a), AG_OK);
	assert_null(ag_arena_alloc(a, 1));
	ag_arena_free(&a);
}

/* 1 MiB of two-byte unknown fields would be 47 MB in half a million pieces. */
static void
amplification_meets_the_ceiling(void **state)
{
	enum { LEN = 1 << 20 };
	uint8_t *bytes = malloc(LEN);
	struct ag_arena *a;

	for (int i = 0; i < LEN; i += 2) {
		bytes[i] = 15 << 3; /* field 15, varint */
		bytes[i + 1] = 1;
	}
	assert_int_equal(ag_arena_new(4 << 20, &a), AG_OK);
	assert_null(protobuf_c_message_unpack(&ag__envelope__descriptor,
	    ag_arena_allocator(a), LEN, bytes));
	ag_arena_wipe(a);
	assert_non_null(protobuf_c_message_unpack(&ag__envelope__descriptor,
	    ag_arena_allocator(a), 2000, bytes));
	ag_arena_free(&a);
	free(bytes);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zeroed_and_aligned),
		cmocka_unit_test(ceiling_is_an_error),
		cmocka_unit_test(amplification_meets_the_ceiling),
	};

	return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
