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

/* Can an entity of the type be what this part of the scope asks for? */
bool cedar_scope_type(const struct ag_cedar_schema *schema,
    const struct cedar_policy *policy, int dim, const struct cedar_etype *type);
/* Is the action one that the scope names? An unknown one names none. */
bool cedar_scope_action(const struct ag_cedar_schema *schema,
    const struct cedar_policy *policy, const struct cedar_action *action);

/* ------------------------------------------------ for the two files of it */

/* Says the error; always NULL. */
const struct cedar_type *cedar_check_oops(struct cedar_check *c,
    const struct cedar_expr *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
const struct cedar_type *cedar_check_unexpected(struct cedar_check *c,
    const struct cedar_expr *e, const struct cedar_type *t, const char *what);

/* Memory; NULL is noted. */
void *cedar_check_get(struct cedar_check *c, size_t size);
bool cedar_check_holds(struct cedar_check *c, struct cedar_knowns set,
    const struct cedar_known *one);
void cedar_check_put(struct cedar_check *c, struct cedar_knowns *set,
    const struct cedar_known *one);
bool cedar_check_is_entity(const struct cedar_type *t);

/* The expression's type, if it is of the kind (or of nothing). */
const struct cedar_type *cedar_check_kind(struct cedar_check *c,
    const struct cedar_expr *e, struct cedar_knowns before,
    struct cedar_knowns *after, enum cedar_type_kind kind, const char *what);

/* result, if values of the two types can be equal. */
const struct cedar_type *cedar_check_equal(struct cedar_check *c,
    const struct cedar_expr *e, const struct cedar_type *a,
    const struct cedar_type *b, const struct cedar_type *result);

/* One kind of expression each. */
const struct cedar_type *cedar_check_attribute(struct cedar_check *c,
    const struct cedar_expr *e, struct cedar_knowns before);
const struct cedar_type *cedar_check_has(struct cedar_check *c,
    const struct cedar_expr *e, struct cedar_knowns before,
    struct cedar_knowns *after);
const struct cedar_type *cedar_check_tag(struct cedar_check *c,
    const struct cedar_expr *e, struct cedar_knowns before,
    struct cedar_knowns *after);
const struct cedar_type *cedar_check_set(struct cedar_check *c,
    const struct cedar_expr *e, struct cedar_knowns before);
const struct cedar_type *cedar_check_record(struct cedar_check *c,
    const struct cedar_expr *e, struct cedar_knowns before);
const struct cedar_type *cedar_check_contains(struct cedar_check *c,
    const struct cedar_expr *e, struct cedar_knowns before);
const struct cedar_type *cedar_check_call(struct cedar_check *c,
    const struct cedar_expr *e, struct cedar_knowns before);

/* Is `in` between these types possible at all? */
bool cedar_check_may_be_in(const struct cedar_check *c,
    struct ag_cedar_str lower, struct ag_cedar_str upper);

#endif
