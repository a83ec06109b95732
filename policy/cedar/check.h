/* SPDX-License-Identifier: Apache-2.0 */
/* The strict type checker: one policy, in one environment. */
#ifndef AEGIS_POLICY_CEDAR_CHECK_H
#define AEGIS_POLICY_CEDAR_CHECK_H

#include "schema.h"

/* One of the requests that the schema allows, by types. */
struct cedar_env {
	const struct cedar_action *action;
	const struct cedar_etype *principal, *resource;
	/* Of the template's slots; NULL: it has none. */
	const struct cedar_etype *slot[CEDAR_DIMS];
};

/* What is known to be there: the attribute or tag of an expression. Sets of
 * them are lists that share their tails. */
struct cedar_known {
	const struct cedar_expr *of;
	struct ag_cedar_str attr;
	const struct cedar_expr *tag; /* NULL: it is an attribute */
	const struct cedar_known *next;
};

struct cedar_knowns {
	const struct cedar_known *first;
	size_t count;
};

struct cedar_check {
	struct ag_cedar_arena *arena;
	const struct ag_cedar_schema *schema;
	struct cedar_env env;
	struct cedar_type principal, action, resource;
	uint64_t steps; /* that are left */
	bool no_memory;
	/* Called for each error. */
	void (*oops)(void *arg, const struct cedar_expr *at, const char *text);
	void *arg;
};

/* The type of a literal, or of `action`, if it is one of Cedar's entities. */
const struct ag_cedar_uid *cedar_check_uid(const struct cedar_check *c,
    const struct cedar_expr *e);

/*
 * The type of e, where the knowns before hold; adds to *after what holds if it
 * is true. NULL: there was an error, which was said.
 */
const struct cedar_type *cedar_check_expr(struct cedar_check *c,
    const struct cedar_expr *e, struct cedar_knowns before,
    struct cedar_knowns *after);

/* The same of a condition, which must be boolean; adds to *known. */
const struct cedar_type *cedar_check_condition(struct cedar_check *c,
    const struct cedar_expr *e, bool is_unless, struct cedar_knowns *known);

/* As binary operators do it, for the scope too. */
const struct cedar_type *cedar_check_and(struct cedar_check *c,
    const struct cedar_type *a, const struct cedar_type *b);

/* Is `in` between these types possible at all? */
bool cedar_check_may_be_in(const struct cedar_check *c,
    struct ag_cedar_str lower, struct ag_cedar_str upper);

#endif
