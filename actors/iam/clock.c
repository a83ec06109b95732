/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is the machine's clock one that credentials may live by? iam asks, because
 * it is iam that ends them. The engine keeps time from going back; here it is
 * only noticed, said once, and shown until it is right again.
 */
#include "iam.h"

#include <stdlib.h>

static void
show(struct ag_ctx *ctx, int64_t jump_s)
{
	char detail[64];

	snprintf(detail, sizeof(detail), "clock set %s by %lld s",
	    jump_s < 0 ? "back" : "ahead", llabs((long long)jump_s));
	ag_set_degraded(ctx, detail);
}

void
iam_clock_look(void *state, struct ag_ctx *ctx)
{
	struct iam *iam = state;
	int64_t jump_s = ag_clock_jump_ms(ctx) / 1000, was_s = iam->clock_jump_s;

	if (jump_s != 0)
		show(ctx, jump_s);
	if (llabs((long long)(jump_s - was_s)) <= (jump_s == 0 ? 0 : 1))
		return; /* nothing new: clocks are read one after the other */
	iam->clock_jump_s = jump_s;
	if (jump_s != 0) {
		ag_log(ctx, AG_WARN, "CLOCK-JUMPED", "by_s=%lld held=%s",
		    (long long)jump_s, jump_s < 0 ? "yes" : "no");
		return;
	}
	ag_set_degraded(ctx, NULL);
	ag_log(ctx, AG_INFO, "CLOCK-RIGHT", "was_by_s=%lld", (long long)was_s);
}
