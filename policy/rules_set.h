/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of rules share: a set and what its annotations came to. */
#ifndef AEGIS_POLICY_RULES_SET_H
#define AEGIS_POLICY_RULES_SET_H

#include "rules.h"

struct ag_rules_policy {
	char name[AG_RULES_RULE_SIZE];
	char *reason; /* NULL: none */
	bool step_up;
	bool overridable;
	bool require_session;
	const char *constraint; /* the reason_code of its deny; NULL: none of its own */
	unsigned timeout_ms;    /* 0: none */
	unsigned max_ttl_s;     /* 0: none */
	struct ag_rules_need need; /* quorum 0: none */
};
/* Counts it, and keeps it if there is room; the last place is for an error: it
 * must not be lost among warnings. */
void rules_finding_add(struct ag_rules_findings *out,
    const struct ag_rules_finding *f);

struct ag_rules {
	struct ag_cedar_set *set;
	struct ag_rules_policy *policies; /* by the set's index */
	size_t count;
	bool wants_recent, wants_under_way;
};

#endif
