/* SPDX-License-Identifier: Apache-2.0 */
/* The built-in roles: names for sets of scopes. */
#ifndef AEGIS_POLICY_ROLES_H
#define AEGIS_POLICY_ROLES_H

#include <stddef.h>

enum { AG_ROLE_SCOPES_MAX = 16 };

struct ag_policy_role {
	const char *name;
	const char *scopes[AG_ROLE_SCOPES_MAX]; /* NULL-terminated */
};

/* The i-th of the table, NULL past the end. */
const struct ag_policy_role *ag_policy_role_at(size_t i);
const struct ag_policy_role *ag_policy_role_named(const char *name);

#endif
