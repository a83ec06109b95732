/* SPDX-License-Identifier: Apache-2.0 */
/* A machine's clock that jumps is seen on the health page until it is right. */
#include "ctx.h"

#include <aegis/kit.h>

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

extern const struct ag_actor ag_actor_iam;

enum { LOOK_MS = 1500, HOUR_MS = 3600000 };

static struct ag_kit *kit;
static struct ag_ctx *ctx;

static int
set_up(void **state)
{
	(void)state;
	kit = ag_kit_new(&ag_actor_iam, NULL, NULL);
	ctx = ag_kit_ctx(kit);
	ctx->metrics->ready = 1;
	ag_set_degraded(ctx, NULL);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	ag_kit_free(&kit);
	return 0;
}

static const char *
detail_after(int64_t jump_ms)
{
	ctx->manual_wall_ms += jump_ms;
	ag_kit_advance(kit, LOOK_MS);
	return ctx->metrics->detail;
}

static void
test_time_that_passes_is_no_jump(void **state)
{
	(void)state;
	for (int i = 0; i < 50; i++)
		assert_string_equal(detail_after(0), "");
	assert_string_equal(detail_after(-1000), "");
	assert_string_equal(detail_after(30000), "");
}

static void
test_set_back_is_seen_until_it_is_right(void **state)
{
	(void)state;
	assert_string_equal(detail_after(-HOUR_MS), "clock set back by 3600 s");
	assert_string_equal(detail_after(0), "clock set back by 3600 s");
	assert_string_equal(detail_after(HOUR_MS / 2), "clock set back by 1800 s");
	assert_string_equal(detail_after(HOUR_MS / 2), "");
}

static void
test_set_ahead_is_seen(void **state)
{
	(void)state;
	assert_string_equal(detail_after(24 * (int64_t)HOUR_MS),
	    "clock set ahead by 86400 s");
	assert_string_equal(detail_after(-24 * (int64_t)HOUR_MS), "");
}

static void
test_what_does_not_work_keeps_its_reason(void **state)
{
	(void)state;
	ag_set_ready(ctx, false, "another reason");
	assert_string_equal(detail_after(-HOUR_MS), "another reason");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_time_that_passes_is_no_jump,
		    set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_set_back_is_seen_until_it_is_right, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_set_ahead_is_seen, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(
		    test_what_does_not_work_keeps_its_reason, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
