/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An actor that does nothing, as a stand-in for every row of the fleet where
 * a test is about starting, ending and the switch, and not about what is said.
 */
#include <aegis/aegis.h>

static ag_err
init(void *state, struct ag_ctx *ctx)
{
	return AG_OK;
}

static const struct ag_actor idle = {
	.name = "idle",
	.state_size = 1,
	.init = init,
};

int
main(void)
{
	return ag_main(&idle);
}
