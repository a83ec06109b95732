/* SPDX-License-Identifier: Apache-2.0 */
/* The wall clock, held to the monotonic one. */
#include "engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct ag_clock start = { INT64_C(1800000000000), 5000 };

enum { HOUR_MS = 3600000 };

/* Wall and monotonic time, as so long after the start. */
#define WALL(ms) (start.wall_ms + (ms))
#define MONO(ms) (start.mono_ms + (uint64_t)(ms))

static void
test_goes_with_the_clock(void **state)
{
	(void)state;
	for (int64_t at = 0; at < 10 * HOUR_MS; at += 7 * 60000) {
		assert_int_equal(ag_clock_held(&start, WALL(at), MONO(at)), WALL(at));
		assert_int_equal(ag_clock_jump(&start, WALL(at), MONO(at)), 0);
	}
}

static void
test_set_back_it_goes_on(void **state)
{
	(void)state;
	/* Two hours in, somebody sets it back by one. */
	for (int64_t at = 2 * HOUR_MS; at < 4 * HOUR_MS; at += 60000) {
		assert_int_equal(ag_clock_held(&start, WALL(at - HOUR_MS), MONO(at)),
		    WALL(at));
		assert_int_equal(ag_clock_jump(&start, WALL(at - HOUR_MS), MONO(at)),
		    -HOUR_MS);
	}
}

/* A token of ten minutes, ended an hour ago: no clock makes it good again. */
static void
test_what_has_ended_stays_ended(void **state)
{
	const int64_t ends = WALL(600000);

	(void)state;
	for (int64_t back = 0; back < 100 * (int64_t)HOUR_MS; back += HOUR_MS / 2)
		assert_true(ag_clock_held(&start, WALL(HOUR_MS - back),
		    MONO(HOUR_MS)) >= ends);
	assert_true(ag_clock_held(&start, 0, MONO(HOUR_MS)) >= ends);
	assert_true(ag_clock_held(&start, INT64_MIN / 2, MONO(HOUR_MS)) >= ends);
}

static void
test_set_ahead_is_believed_and_noticed(void **state)
{
	(void)state;
	assert_int_equal(ag_clock_held(&start, WALL(9 * HOUR_MS), MONO(HOUR_MS)),
	    WALL(9 * HOUR_MS));
	assert_int_equal(ag_clock_jump(&start, WALL(9 * HOUR_MS), MONO(HOUR_MS)),
	    8 * HOUR_MS);
	/* and back to what is right: nothing has ended that had not */
	assert_int_equal(ag_clock_held(&start, WALL(HOUR_MS), MONO(HOUR_MS)),
	    WALL(HOUR_MS));
	assert_int_equal(ag_clock_jump(&start, WALL(HOUR_MS), MONO(HOUR_MS)), 0);
}

static void
test_small_steps_are_no_jump(void **state)
{
	(void)state;
	assert_int_equal(ag_clock_jump(&start, WALL(HOUR_MS - AG_CLOCK_BACK_MS),
	    MONO(HOUR_MS)), 0);
	assert_int_equal(ag_clock_jump(&start, WALL(HOUR_MS - AG_CLOCK_BACK_MS - 1),
	    MONO(HOUR_MS)), -AG_CLOCK_BACK_MS - 1);
	assert_int_equal(ag_clock_jump(&start, WALL(HOUR_MS + AG_CLOCK_AHEAD_MS),
	    MONO(HOUR_MS)), 0);
	assert_int_equal(ag_clock_jump(&start, WALL(HOUR_MS + AG_CLOCK_AHEAD_MS + 1),
	    MONO(HOUR_MS)), AG_CLOCK_AHEAD_MS + 1);
	/* however small: not back */
	assert_int_equal(ag_clock_held(&start, WALL(HOUR_MS - 1), MONO(HOUR_MS)),
	    WALL(HOUR_MS));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_goes_with_the_clock),
		cmocka_unit_test(test_set_back_it_goes_on),
		cmocka_unit_test(test_what_has_ended_stays_ended),
		cmocka_unit_test(test_set_ahead_is_believed_and_noticed),
		cmocka_unit_test(test_small_steps_are_no_jump),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
