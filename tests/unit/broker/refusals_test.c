/* SPDX-License-Identifier: Apache-2.0 */
#include "refusals.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const struct judged what = { .to = 3, .type = 0x1110, .why = "no such route" };

static void
ten_a_second_are_told(void **state)
{
	static struct refusals r;
	uint64_t suppressed = 0;
	unsigned told = 0;

	for (int i = 0; i < 1000; i++)
		told += refusals_note(&r, 5, &what, 1000, &suppressed);
	assert_int_equal(told, REFUSALS_PER_S_MAX);
	/* another row has its own count */
	assert_true(refusals_note(&r, 6, &what, 1000, &suppressed));
	/* the next second tells how many there were */
	assert_true(refusals_note(&r, 5, &what, 2000, &suppressed));
	assert_int_equal(suppressed, 990);
	assert_true(refusals_note(&r, 5, &what, 2001, &suppressed));
	assert_int_equal(suppressed, 0);
}

static void
the_rest_is_told_when_it_is_over(void **state)
{
	static struct refusals r;
	struct judged last = { 0 };
	uint64_t suppressed = 0;
	unsigned from = 0;

	for (int i = 0; i < 25; i++)
		(void)refusals_note(&r, 5, &what, 1000, &suppressed);
	assert_false(refusals_due(&r, 1500, &from, &last, &suppressed));
	assert_true(refusals_due(&r, 2000, &from, &last, &suppressed));
	assert_int_equal(from, 5);
	assert_int_equal(suppressed, 14); /* and the one that is told: 15 */
	assert_int_equal(last.type, what.type);
	assert_false(refusals_due(&r, 3000, &from, &last, &suppressed));
}

static void
nothing_is_forgotten_while_audit_is_away(void **state)
{
	static struct refusals r;
	struct judged last = { 0 };
	uint64_t suppressed = 0, total = 0;
	unsigned from = 0;

	for (int i = 0; i < 7; i++) {
		assert_true(refusals_note(&r, 9, &what, 1000, &suppressed));
		refusals_return(&r, 9, &what, suppressed);
	}
	assert_true(refusals_due(&r, 2000, &from, &last, &suppressed));
	refusals_return(&r, from, &last, suppressed);
	assert_false(refusals_due(&r, 2001, &from, &last, &suppressed));
	assert_true(refusals_due(&r, 3000, &from, &last, &suppressed));
	total = suppressed + 1;
	assert_int_equal(total, 7);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ten_a_second_are_told),
		cmocka_unit_test(the_rest_is_told_when_it_is_over),
		cmocka_unit_test(nothing_is_forgotten_while_audit_is_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
