/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of sets and records, and the one order of all values. */
#ifndef AEGIS_POLICY_CEDAR_VALUE_H
#define AEGIS_POLICY_CEDAR_VALUE_H

#include "core.h"

struct ag_cedar_items {
	size_t count;
	const struct ag_cedar_value *items; /* ascending, none twice */
};

struct ag_cedar_record {
	size_t count;
	const struct ag_cedar_field *fields; /* by name, none twice */
};

/* A total order, in which equal is the language's ==. Depth is bounded by
 * that of the values. */
int cedar_value_order(const struct ag_cedar_value *a,
    const struct ag_cedar_value *b);
bool cedar_set_has(const struct ag_cedar_value *set,
    const struct ag_cedar_value *item);

/* NULL: the record has no such attribute, or is zeroed. */
const struct ag_cedar_value *cedar_record_get(
    const struct ag_cedar_value *record, struct ag_cedar_str name);

/* The same as the public ones, but they take over (and order) the array. */
enum ag_cedar_err cedar_set_take(struct ag_cedar_arena *arena,
    struct ag_cedar_value *items, size_t count, struct ag_cedar_value *out);
enum ag_cedar_err cedar_record_take(struct ag_cedar_arena *arena,
    struct ag_cedar_field *fields, size_t count, struct ag_cedar_value *out);

/* In place, without memory of its own; less compares two places. Items have at
 * most the size of a field. */
void cedar_sort(void *array, size_t count, size_t size,
    bool (*less)(const void *array, size_t a, size_t b));

/* "a string", "a set", … for messages. */
const char *cedar_kind_name(enum ag_cedar_kind kind);

/* A record without attributes. */
extern const struct ag_cedar_value cedar_empty_record;

#endif
