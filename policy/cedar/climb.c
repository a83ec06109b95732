/* SPDX-License-Identifier: Apache-2.0 */
/* Who is above whom in a schema: entity types may be in a cycle, actions not. */
#include "schema.h"

enum { CLIMB_DEPTH_MAX = 4096 }; /* entity types or actions above each other */

struct climber {
	struct ag_cedar_schema *schema;
	struct ag_cedar_problem *problem;
	enum ag_cedar_err err;
};

static bool
too_deep(struct climber *r, unsigned depth)
{
	if (depth <= CLIMB_DEPTH_MAX)
		return false;
	if (r->err == AG_CEDAR_OK)
		r->err = cedar_problem(r->problem, AG_CEDAR_LIMIT,
		    "a hierarchy is more than %d levels high", CLIMB_DEPTH_MAX);
	return true;
}

/* Puts `from` below all that is above it, each once. */
static void
climb(struct climber *r, struct cedar_etype *from, struct cedar_etype *at,
    unsigned depth)
{
	if (too_deep(r, depth))
		return;
	for (uint32_t i = 0; i < at->parent_count && r->err == AG_CEDAR_OK; i++) {
		struct cedar_etype *p = at->parents[i];

		if (cedar_etype_below(from, p))
			continue;
		if (!cedar_grow(&r->schema->arena, &p->below, p->below_count,
		    sizeof(struct cedar_etype *))) {
			r->err = cedar_no_memory(r->problem);
			return;
		}
		p->below[p->below_count++] = from;
		climb(r, from, p, depth + 1);
	}
}

static void
climb_action(struct climber *r, struct cedar_action *a, unsigned depth)
{
	if (a->mark == 1)
		r->err = cedar_problem(r->problem, AG_CEDAR_INVALID, "the action "
		    "`%.*s` is in itself; take one group away",
		    (int)(a->uid.id.len > 80 ? 80 : a->uid.id.len), a->uid.id.p);
	if (a->mark != 0 || r->err != AG_CEDAR_OK || too_deep(r, depth))
		return;
	a->mark = 1;
	for (uint32_t i = 0; i < a->parent_count && r->err == AG_CEDAR_OK; i++) {
		struct cedar_action *p = a->parents[i];

		climb_action(r, p, depth + 1);
		for (uint32_t k = 0; k <= p->above_count &&
		    r->err == AG_CEDAR_OK; k++) {
			struct cedar_action *one = k == p->above_count ? p :
			    p->above[k];

			if (one != a && cedar_action_in(a, one))
				continue;
			if (!cedar_grow(&r->schema->arena, &a->above, a->above_count,
			    sizeof(struct cedar_action *))) {
				r->err = cedar_no_memory(r->problem);
				return;
			}
			a->above[a->above_count++] = one;
		}
	}
	a->mark = 2;
}

enum ag_cedar_err
cedar_schema_close(struct ag_cedar_schema *schema,
    struct ag_cedar_problem *problem)
{
	struct climber r = { .schema = schema, .problem = problem };

	for (uint32_t i = 0; i < schema->etype_count && r.err == AG_CEDAR_OK; i++)
		climb(&r, schema->etypes[i], schema->etypes[i], 0);
	for (uint32_t i = 0; i < schema->action_count && r.err == AG_CEDAR_OK; i++)
		climb_action(&r, schema->actions[i], 0);
	return r.err;
}
