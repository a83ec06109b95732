/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main: the same for every row of fleet.def; the build says which actor.
 */
#include <aegis/aegis.h>

extern const struct ag_actor AG_ACTOR;

int
main(void)
{
	return ag_main(&AG_ACTOR);
}
