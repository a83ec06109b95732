/* SPDX-License-Identifier: Apache-2.0 */
/* The store of entities: a table by name; each knows all that it is in. */
#ifndef AEGIS_POLICY_CEDAR_ENTITY_H
#define AEGIS_POLICY_CEDAR_ENTITY_H

#include "value.h"

struct cedar_entity {
	struct ag_cedar_uid uid;
	struct ag_cedar_value attrs, tags; /* records */
	const struct ag_cedar_uid *parents;
	size_t parent_count;
	/* All above it, by hash; filled in by close. Those of its parents that
	 * are not in the store are here too. */
	const struct ag_cedar_uid **ancestors;
	size_t ancestor_count;
	uint8_t mark; /* of close: 0 new, 1 on the way, 2 done */
};

struct ag_cedar_entities {
	struct ag_cedar_arena arena;
	struct cedar_entity **table; /* open addressing, a power of two */
	struct cedar_entity **order; /* as they came */
	size_t size, count;
	struct ag_cedar_str types[32]; /* the first names of types */
	size_t type_count;
	bool is_closed;
};

/* NULL: not in the store, which may be NULL itself. */
const struct cedar_entity *cedar_entity_find(
    const struct ag_cedar_entities *entities, const struct ag_cedar_uid *uid);

/* Is a the same as, or below, b? a's entity may be unknown (NULL). */
bool cedar_entity_in(const struct ag_cedar_uid *a,
    const struct cedar_entity *entity, const struct ag_cedar_uid *b);

#endif
