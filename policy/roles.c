/* SPDX-License-Identifier: Apache-2.0 */
/* The built-in roles, as the reference prints them. */
#include "roles.h"

#include <string.h>

static const struct ag_policy_role roles[] = {
	{ "admin", { "*:*:*" } },
	{ "agent-issuer", { "agent:*:*" } },
	{ "auditor", { "audit:*:read", "*:*:read", "*:*:list" } },
	{ "key-admin", { "key:*:*" } },
	{ "key-user", { "key:*:sign", "key:*:verify", "key:*:encrypt",
	    "key:*:decrypt", "key:*:wrap", "key:*:unwrap",
	    "key:*:generate-data-key", "key:*:mac", "key:*:mac-verify",
	    "key:*:public-key", "key:*:read" } },
};

const struct ag_policy_role *
ag_policy_role_at(size_t i)
{
	return i < sizeof(roles) / sizeof(roles[0]) ? &roles[i] : NULL;
}

const struct ag_policy_role *
ag_policy_role_named(const char *name)
{
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
		if (strcmp(roles[i].name, name) == 0)
			return &roles[i];
	return NULL;
}
