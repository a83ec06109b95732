/* SPDX-License-Identifier: Apache-2.0 */
#include "state.h"

#include <string.h>

/* Whoever waits may be let go in four ways; nothing that ended comes back.
 * Using what was approved is no transition: it is counted in `used`. */
static const bool table[APPROVAL_STATES][APPROVAL_STATES] = {
	[APPROVAL_PENDING] = {
		[APPROVAL_APPROVED] = true,
		[APPROVAL_DENIED] = true,
		[APPROVAL_EXPIRED] = true,
		[APPROVAL_CANCELLED] = true,
	},
};

static const char *const names[APPROVAL_STATES] = {
	[APPROVAL_PENDING] = "pending",
	[APPROVAL_APPROVED] = "approved",
	[APPROVAL_DENIED] = "denied",
	[APPROVAL_EXPIRED] = "expired",
	[APPROVAL_CANCELLED] = "cancelled",
};

const char *
approval_state_name(enum approval_state state)
{
	return (unsigned)state < APPROVAL_STATES ? names[state] : "unknown";
}

enum approval_state
approval_state_named(const char *name)
{
	for (unsigned i = 0; name != NULL && i < APPROVAL_STATES; i++)
		if (strcmp(names[i], name) == 0)
			return (enum approval_state)i;
	return APPROVAL_STATES;
}

bool
approval_may_become(enum approval_state from, enum approval_state to)
{
	return (unsigned)from < APPROVAL_STATES &&
	    (unsigned)to < APPROVAL_STATES && table[from][to];
}
