/* SPDX-License-Identifier: Apache-2.0 */
/* A request in Cedar's words: entities, principal, action, resource, context. */
#ifndef AEGIS_POLICY_RULES_REQUEST_H
#define AEGIS_POLICY_RULES_REQUEST_H

#include "rules.h"

struct rules_request {
	struct ag_cedar_request request;
	struct ag_cedar_entities *entities; /* in the memory given */
	struct ag_cedar_arena *arena;
};

/* False: the memory is too small for it. Borrows the ask's texts. What is
 * counted is left out where the set does not look at it. */
bool rules_request_make(struct rules_request *r, const struct ag_rules_ask *ask,
    const struct ag_rules *rules, void *bytes, size_t size);

#endif
