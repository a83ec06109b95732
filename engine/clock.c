/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wall clock is held to what the monotonic clock says has passed since the
 * fleet was started. Set back, it does not take time back: a credential that
 * has ended stays ended, and no event is older than the one before it. Set
 * ahead, it is believed, because that only ends things sooner.
 */
#include "engine.h"

static int64_t
by_monotonic(const struct ag_clock *clock, uint64_t mono_ms)
{
	return clock->wall_ms + (int64_t)(mono_ms - clock->mono_ms);
}

int64_t
ag_clock_held(const struct ag_clock *clock, int64_t wall_ms, uint64_t mono_ms)
{
	int64_t least = by_monotonic(clock, mono_ms);

	return wall_ms < least ? least : wall_ms;
}

int64_t
ag_clock_jump(const struct ag_clock *clock, int64_t wall_ms, uint64_t mono_ms)
{
	int64_t jump = wall_ms - by_monotonic(clock, mono_ms);

	return jump < -AG_CLOCK_BACK_MS || jump > AG_CLOCK_AHEAD_MS ? jump : 0;
}
