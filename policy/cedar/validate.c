/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Validation of a set: each policy and template in every environment that the
 * schema allows; its names; and that its scope can apply to anything at all.
 */
#include "check.h"
#include "set.h"

#include <stdio.h>

enum { STEPS_MAX = 100000000 }; /* of the checker, for one policy */

struct validating {
	const struct ag_cedar_set *set;
	const struct ag_cedar_schema *schema;
	struct ag_cedar_arena arena; /* of one policy */
	ag_cedar_finding_fn *report;
	void *arg;
	size_t *errors;
	const struct cedar_policy *policy; /* or a template, made to look so */
	const struct cedar_expr **said;    /* places that have an error */
	size_t said_count;
	bool no_memory;
};

static void
find(struct validating *v, bool is_error, size_t at, const char *text)
{
	struct ag_cedar_finding f = { .policy_id = v->policy->id.p,
		.is_error = is_error };
	const struct cedar_body *body = v->policy->body;

	(void)cedar_problem(&f.problem, is_error ? AG_CEDAR_INVALID :
	    AG_CEDAR_OK, "%s", text);
	if (body->has_source) {
		f.problem.at = at;
		cedar_place(body->source, at, &f.problem.line,
		    &f.problem.column);
	}
	*v->errors += is_error;
	if (v->report != NULL)
		v->report(v->arg, &f);
}

static void
find_name(struct validating *v, size_t at, const char *format,
    struct ag_cedar_str name)
{
	char text[AG_CEDAR_PROBLEM_SIZE];

	(void)snprintf(text, sizeof(text), format,
	    (int)(name.len > 120 ? 120 : name.len), name.p);
	find(v, true, at, text);
}

/* One error a place: the same one comes again in other environments. */
static void
oops(void *arg, const struct cedar_expr *at, const char *text)
{
	struct validating *v = arg;

	for (size_t i = 0; i < v->said_count; i++)
		if (v->said[i] == at)
			return;
	if (!cedar_grow(&v->arena, &v->said, v->said_count, sizeof(*v->said))) {
		v->no_memory = true;
		return;
	}
	v->said[v->said_count++] = at;
	find(v, true, at->at, text);
}

/* ------------------------------------------------------------------- names */

static void
check_type_name(struct validating *v, size_t at, struct ag_cedar_str name)
{
	if (!cedar_is_action_type(name) &&
	    cedar_schema_etype(v->schema, name) == NULL)
		find_name(v, at, "the schema has no entity type `%.*s`", name);
}

static void
check_uid(struct validating *v, size_t at, const struct ag_cedar_uid *uid)
{
	const struct cedar_etype *type = cedar_schema_etype(v->schema,
	    uid->type);
	bool found = type == NULL || type->choice_count == 0;

	check_type_name(v, at, uid->type);
	if (cedar_is_action_type(uid->type)) {
		if (cedar_schema_action(v->schema, uid) == NULL)
			find_name(v, at, "the schema has no action `%.*s`",
			    uid->id);
		return;
	}
	for (uint32_t i = 0; type != NULL && i < type->choice_count; i++)
		found |= cedar_str_equal(type->choices[i], uid->id);
	if (!found)
		find_name(v, at, "`%.*s` is none of the ids that the schema "
		    "lists for this type", uid->id);
}

/* Recursion is bounded by the expression's height. */
static void
check_names(struct validating *v, const struct cedar_expr *e)
{
	if (e->is_folded)
		e = e->was;
	switch ((enum cedar_op)e->op) {
	case CEDAR_LIT:
		if (e->lit.kind == AG_CEDAR_ENTITY)
			check_uid(v, e->at, e->lit.entity);
		return;
	case CEDAR_SET_OF:
	case CEDAR_RECORD_OF:
	case CEDAR_CALL:
		for (uint32_t i = 0; i < e->count; i++)
			check_names(v, e->items[i]);
		return;
	case CEDAR_TYPE_IS:
		check_type_name(v, e->at, e->name);
		break;
	default:
		break;
	}
	if (e->a != NULL)
		check_names(v, e->a);
	if (e->b != NULL)
		check_names(v, e->b);
	if (e->c != NULL)
		check_names(v, e->c);
}

static void
check_scope_names(struct validating *v)
{
	const struct cedar_body *body = v->policy->body;

	for (int dim = 0; dim < CEDAR_DIMS; dim++) {
		const struct cedar_scope *s = &body->scope[dim];

		if (s->type.len != 0)
			check_type_name(v, s->at, s->type);
		for (uint32_t i = 0; i < s->uid_count; i++)
			check_uid(v, s->at, &s->uids[i]);
	}
}

/* ------------------------------------------------------------------ scopes */

bool
cedar_scope_type(const struct ag_cedar_schema *schema,
    const struct cedar_policy *policy, int dim, const struct cedar_etype *type)
{
	const struct cedar_scope *s = &policy->body->scope[dim];
	const struct ag_cedar_uid *uid = cedar_scope_uid(policy, dim);
	const struct cedar_etype *of = uid == NULL ? NULL :
	    cedar_schema_etype(schema, uid->type);
	bool is = s->type.len == 0 || cedar_str_equal(s->type, type->name);

	switch ((enum cedar_scope_kind)s->kind) {
	case CEDAR_SCOPE_ANY:
		return true;
	case CEDAR_SCOPE_IS:
		return is;
	case CEDAR_SCOPE_EQ:
		return uid == NULL || cedar_str_equal(uid->type, type->name);
	case CEDAR_SCOPE_IN:
	case CEDAR_SCOPE_IS_IN:
		return is && (uid == NULL || (of != NULL &&
		    (of == type || cedar_etype_below(type, of))));
	}
	return false;
}

bool
cedar_scope_action(const struct ag_cedar_schema *schema,
    const struct cedar_policy *policy, const struct cedar_action *action)
{
	const struct cedar_scope *s = &policy->body->scope[CEDAR_A];
	bool yes = false;

	if (s->kind == CEDAR_SCOPE_ANY)
		return true;
	for (uint32_t i = 0; i < s->uid_count; i++) {
		const struct cedar_action *of = cedar_schema_action(schema,
		    &s->uids[i]);

		if (of == NULL)
			return false;
		yes |= s->kind == CEDAR_SCOPE_EQ ? of == action :
		    cedar_action_in(action, of);
	}
	return yes;
}

static bool
any_matches(const struct validating *v, int dim,
    struct cedar_etype *const *types, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (cedar_scope_type(v->schema, v->policy, dim, types[i]))
			return true;
	return false;
}

static void
check_application(struct validating *v)
{
	for (uint32_t i = 0; i < v->schema->action_count; i++) {
		const struct cedar_action *a = v->schema->actions[i];

		if (cedar_scope_action(v->schema, v->policy, a) && any_matches(v, CEDAR_P,
		    a->principals, a->principal_count) && any_matches(v, CEDAR_R,
		    a->resources, a->resource_count))
			return;
	}
	find(v, true, v->policy->body->at, "no action that the scope allows "
	    "applies to its principal and its resource; compare it with appliesTo "
	    "in the schema");
}

/* ------------------------------------------------------------ environments */

/* The tree that a part of the scope stands for; NULL: no memory. */
static struct cedar_expr *
leaf(struct cedar_check *c, enum cedar_op op, const struct ag_cedar_uid *uid)
{
	struct cedar_expr *e = ag_cedar_alloc(c->arena, sizeof(*e));

	c->no_memory |= e == NULL;
	if (e == NULL)
		return NULL;
	e->op = (uint8_t)op;
	if (uid != NULL)
		e->lit = ag_cedar_entity(uid);
	return e;
}

static struct cedar_expr *
scope_set(struct cedar_check *c, const struct cedar_scope *s)
{
	struct cedar_expr *e = leaf(c, CEDAR_SET_OF, NULL);
	struct cedar_expr **items = ag_cedar_alloc(c->arena,
	    s->uid_count * sizeof(*items));

	c->no_memory |= items == NULL;
	if (e == NULL || items == NULL)
		return NULL;
	e->items = items;
	e->count = s->uid_count;
	for (uint32_t i = 0; i < s->uid_count; i++)
		if ((items[i] = leaf(c, CEDAR_LIT, &s->uids[i])) == NULL)
			return NULL;
	return e;
}

static const struct cedar_type *
scope_type(struct validating *v, struct cedar_check *c, int dim)
{
	static const enum cedar_op vars[] = { CEDAR_PRINCIPAL, CEDAR_ACTION,
		CEDAR_RESOURCE };
	const struct cedar_scope *s = &v->policy->body->scope[dim];
	struct cedar_knowns none = { NULL, 0 };
	struct cedar_expr *e, *of = NULL;

	/* `action in []` is never true, whatever an empty set's type is. */
	if (s->kind == CEDAR_SCOPE_ANY)
		return &cedar_type_true;
	if (dim == CEDAR_A && s->uid_count == 0)
		return &cedar_type_false;
	e = leaf(c, s->kind == CEDAR_SCOPE_EQ ? CEDAR_EQ :
	    s->kind == CEDAR_SCOPE_IN ? CEDAR_IN : CEDAR_TYPE_IS, NULL);
	if (s->has_slot)
		of = leaf(c, dim == CEDAR_P ? CEDAR_SLOT_PRINCIPAL :
		    CEDAR_SLOT_RESOURCE, NULL);
	else if (dim == CEDAR_A && s->kind == CEDAR_SCOPE_IN && s->uid_count > 1)
		of = scope_set(c, s);
	else if (s->kind != CEDAR_SCOPE_IS)
		of = leaf(c, CEDAR_LIT, s->uids);
	if (e == NULL || c->no_memory)
		return NULL;
	e->at = s->at;
	e->name = s->type;
	e->a = leaf(c, vars[dim], NULL);
	e->b = of;
	return e->a == NULL ? NULL : cedar_check_expr(c, e, none, &none);
}

/* True, if the policy can be satisfied in this environment (or has errors). */
static bool
check_env(struct validating *v, const struct cedar_env *env, uint64_t *steps)
{
	struct cedar_check c = { .arena = &v->arena, .schema = v->schema,
		.env = *env, .steps = *steps, .oops = oops, .arg = v };
	struct cedar_knowns known = { NULL, 0 };
	const struct cedar_type *all = &cedar_type_true, *t;

	c.principal = (struct cedar_type){ .kind = CEDAR_TYPE_ENTITY,
		.name = env->principal->name };
	c.resource = (struct cedar_type){ .kind = CEDAR_TYPE_ENTITY,
		.name = env->resource->name };
	c.action = (struct cedar_type){ .kind = CEDAR_TYPE_ENTITY,
		.name = env->action->uid.type };
	for (int dim = 0; dim < CEDAR_DIMS && all != NULL &&
	    all->kind != CEDAR_TYPE_FALSE; dim++) {
		t = scope_type(v, &c, dim);
		all = t == NULL ? NULL : cedar_check_and(&c, all, t);
	}
	for (const struct cedar_condition *x = v->policy->body->conditions;
	    x != NULL && all != NULL && all->kind != CEDAR_TYPE_FALSE;
	    x = x->next) {
		t = cedar_check_condition(&c, x->expr, x->is_unless, &known);
		all = t == NULL ? NULL : cedar_check_and(&c, all, t);
	}
	v->no_memory |= c.no_memory;
	*steps = c.steps;
	return all == NULL || all->kind != CEDAR_TYPE_FALSE;
}

/* The entity types that may fill a slot, where var is of the type. */
static bool
fills(const struct cedar_scope *s, const struct cedar_etype *type,
    const struct cedar_etype *var)
{
	return type == var || (s->kind != CEDAR_SCOPE_EQ &&
	    cedar_etype_below(var, type));
}

static bool
check_slots(struct validating *v, struct cedar_env *env, uint64_t *steps,
    int dim)
{
	const struct cedar_scope *s;
	bool yes = false;

	if (dim == CEDAR_A)
		return check_slots(v, env, steps, CEDAR_R);
	if (dim == CEDAR_DIMS)
		return check_env(v, env, steps);
	s = &v->policy->body->scope[dim];
	if (!s->has_slot)
		return check_slots(v, env, steps, dim + 1);
	for (uint32_t i = 0; i < v->schema->etype_count && !v->no_memory; i++) {
		const struct cedar_etype *type = v->schema->etypes[i];

		if (!fills(s, type, dim == CEDAR_P ? env->principal :
		    env->resource))
			continue;
		env->slot[dim] = type;
		yes |= check_slots(v, env, steps, dim + 1);
	}
	env->slot[dim] = NULL;
	return yes;
}

static void
check_types(struct validating *v)
{
	uint64_t steps = STEPS_MAX;
	bool possible = false;

	for (uint32_t i = 0; i < v->schema->action_count; i++) {
		struct cedar_env env = { .action = v->schema->actions[i] };

		for (uint32_t p = 0; p < env.action->principal_count; p++)
			for (uint32_t r = 0; r < env.action->resource_count;
			    r++) {
				env.principal = env.action->principals[p];
				env.resource = env.action->resources[r];
				possible |= check_slots(v, &env, &steps, CEDAR_P);
				if (v->no_memory)
					return;
			}
	}
	if (steps == 0)
		find(v, true, v->policy->body->at,
		    "the policy takes too long to check; split it");
	else if (!possible)
		find(v, false, v->policy->body->at,
		    "the policy can never apply: its conditions are always false");
}

/* ---------------------------------------------------------------- the set */

static void
begin(struct validating *v, const struct cedar_policy *policy)
{
	ag_cedar_arena_reset(&v->arena);
	v->policy = policy;
	v->said = NULL;
	v->said_count = 0;
}

enum ag_cedar_err
ag_cedar_set_validate(const struct ag_cedar_set *set,
    const struct ag_cedar_schema *schema, size_t max_bytes,
    ag_cedar_finding_fn *report, void *arg, size_t *errors)
{
	struct validating v = { .set = set, .schema = schema, .report = report,
		.arg = arg, .errors = errors };

	*errors = 0;
	ag_cedar_arena_init(&v.arena, max_bytes);
	for (struct cedar_body *b = set->bodies; b != NULL && !v.no_memory;
	    b = b->next) {
		struct cedar_policy as_policy = { .id = b->id, .body = b };

		begin(&v, &as_policy);
		check_scope_names(&v);
		for (struct cedar_condition *c = b->conditions; c != NULL;
		    c = c->next)
			check_names(&v, c->expr);
		check_application(&v);
		check_types(&v);
	}
	for (size_t i = 0; i < set->policy_count && !v.no_memory; i++) {
		if (!set->policies[i].body->is_template)
			continue;
		begin(&v, &set->policies[i]);
		for (int dim = 0; dim < CEDAR_DIMS; dim++)
			if (set->policies[i].slot[dim] != NULL)
				check_type_name(&v, set->policies[i].body->at,
				    set->policies[i].slot[dim]->type);
		check_application(&v);
	}
	ag_cedar_arena_fini(&v.arena);
	return v.no_memory ? AG_CEDAR_NO_MEMORY : AG_CEDAR_OK;
}
