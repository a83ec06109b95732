/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strict typing, as the reference has it: literals and what the schema knows of
 * actions and hierarchies make some expressions surely true or surely false;
 * what cannot be reached is not checked. `has` and `hasTag` make known what may
 * then be read.
 */
#include "check.h"

#include <stdio.h>

const struct cedar_type *
cedar_check_oops(struct cedar_check *c, const struct cedar_expr *at, const char *format, ...)
{
	char text[AG_CEDAR_PROBLEM_SIZE];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	c->oops(c->arg, at, text);
	return NULL;
}

static const struct cedar_expr *
unfolded(const struct cedar_expr *e)
{
	return e->is_folded ? e->was : e;
}

void *
cedar_check_get(struct cedar_check *c, size_t size)
{
	void *p = ag_cedar_alloc(c->arena, size);

	c->no_memory |= p == NULL;
	return p;
}

/* ------------------------------------------------------------------ knowns */

static bool
same_known(const struct cedar_known *a, const struct cedar_known *b)
{
	if ((a->tag == NULL) != (b->tag == NULL) ||
	    !cedar_expr_equal(a->of, b->of))
		return false;
	return a->tag == NULL ? cedar_str_equal(a->attr, b->attr) :
	    cedar_expr_equal(a->tag, b->tag);
}

bool
cedar_check_holds(struct cedar_check *c, struct cedar_knowns set,
    const struct cedar_known *one)
{
	for (const struct cedar_known *k = set.first; k != NULL; k = k->next) {
		if (c->steps == 0)
			return false;
		c->steps--;
		if (same_known(k, one))
			return true;
	}
	return false;
}

void
cedar_check_put(struct cedar_check *c, struct cedar_knowns *set,
    const struct cedar_known *one)
{
	struct cedar_known *copy = cedar_check_get(c, sizeof(*copy));

	if (copy == NULL)
		return;
	*copy = *one;
	copy->next = set->first;
	set->first = copy;
	set->count++;
}

static struct cedar_knowns
both(struct cedar_check *c, struct cedar_knowns a, struct cedar_knowns b)
{
	struct cedar_knowns small = a.count < b.count ? a : b;
	struct cedar_knowns out = a.count < b.count ? b : a;

	for (const struct cedar_known *k = small.first; k != NULL; k = k->next)
		cedar_check_put(c, &out, k);
	return out;
}

static struct cedar_knowns
common(struct cedar_check *c, struct cedar_knowns a, struct cedar_knowns b)
{
	struct cedar_knowns out = { NULL, 0 };

	for (const struct cedar_known *k = a.first; k != NULL; k = k->next)
		if (cedar_check_holds(c, b, k))
			cedar_check_put(c, &out, k);
	return out;
}

/* ------------------------------------------------------------ expectations */

static bool
is_bool(const struct cedar_type *t)
{
	return t->kind <= CEDAR_TYPE_BOOL;
}

bool
cedar_check_is_entity(const struct cedar_type *t)
{
	return t->kind == CEDAR_TYPE_ENTITY || t->kind == CEDAR_TYPE_ANY_ENTITY ||
	    t->kind == CEDAR_TYPE_NEVER;
}

const struct cedar_type *
cedar_check_unexpected(struct cedar_check *c, const struct cedar_expr *e,
    const struct cedar_type *t, const char *what)
{
	char text[160];

	cedar_type_print(t, text, sizeof(text));
	return cedar_check_oops(c, e, "%s is needed here, this is %s", what, text);
}

/* The expression's type, if it is of the kind (or of nothing). */
const struct cedar_type *
cedar_check_kind(struct cedar_check *c, const struct cedar_expr *e,
    struct cedar_knowns before, struct cedar_knowns *after,
    enum cedar_type_kind kind, const char *what)
{
	struct cedar_knowns ignored = { NULL, 0 };
	const struct cedar_type *t = cedar_check_expr(c, e, before,
	    after == NULL ? &ignored : after);

	if (t == NULL || t->kind == CEDAR_TYPE_NEVER)
		return t;
	if (kind == CEDAR_TYPE_BOOL ? is_bool(t) :
	    kind == CEDAR_TYPE_ANY_ENTITY ? cedar_check_is_entity(t) :
	    t->kind == (uint8_t)kind)
		return t;
	return cedar_check_unexpected(c, e, t, what);
}

static const struct cedar_type *
boolean(struct cedar_check *c, const struct cedar_expr *e,
    struct cedar_knowns before, struct cedar_knowns *after)
{
	return cedar_check_kind(c, e, before, after, CEDAR_TYPE_BOOL, "a boolean");
}

static const struct cedar_type *
singleton(bool yes)
{
	return yes ? &cedar_type_true : &cedar_type_false;
}

/* Both sides must be able to be equal. */
const struct cedar_type *
cedar_check_equal(struct cedar_check *c, const struct cedar_expr *e,
    const struct cedar_type *a, const struct cedar_type *b,
    const struct cedar_type *result)
{
	char x[120], y[120];

	if (cedar_type_join(c->arena, a, b, &c->steps) != NULL)
		return result;
	cedar_type_print(a, x, sizeof(x));
	cedar_type_print(b, y, sizeof(y));
	return cedar_check_oops(c, e, "%s and %s are never equal; compare what has one type",
	    x, y);
}

/* ---------------------------------------------------------------- literals */

static const struct cedar_type *
entity_of(struct cedar_check *c, struct ag_cedar_str name)
{
	struct cedar_type *t = cedar_check_get(c, sizeof(*t));

	if (t != NULL)
		*t = (struct cedar_type){ .kind = CEDAR_TYPE_ENTITY,
			.name = name };
	return t;
}

/* What the schema does not know is an error of another pass. */
static const struct cedar_type *
literal(struct cedar_check *c, const struct cedar_expr *e)
{
	const struct ag_cedar_uid *uid;

	switch (e->lit.kind) {
	case AG_CEDAR_BOOL:
		return singleton(e->lit.boolean);
	case AG_CEDAR_LONG:
		return &cedar_type_long;
	case AG_CEDAR_STRING:
		return &cedar_type_string;
	case AG_CEDAR_ENTITY:
		uid = e->lit.entity;
		if (cedar_is_action_type(uid->type) ?
		    cedar_schema_action(c->schema, uid) == NULL :
		    cedar_schema_etype(c->schema, uid->type) == NULL)
			return NULL;
		return entity_of(c, uid->type);
	default: /* folded only, and those are unfolded here */
		return cedar_type_ext(e->lit.kind);
	}
}

const struct ag_cedar_uid *
cedar_check_uid(const struct cedar_check *c, const struct cedar_expr *e)
{
	if (e->op == CEDAR_ACTION)
		return &c->env.action->uid;
	return e->op == CEDAR_LIT && !e->is_folded &&
	    e->lit.kind == AG_CEDAR_ENTITY ? e->lit.entity : NULL;
}

static const struct cedar_type *
slot(struct cedar_check *c, const struct cedar_etype *type)
{
	static const struct cedar_type any = { .kind = CEDAR_TYPE_ANY_ENTITY };

	return type == NULL ? &any : entity_of(c, type->name);
}

/* ------------------------------------------------------------- connectives */

static const struct cedar_type *
conditional(struct cedar_check *c, const struct cedar_expr *e,
    struct cedar_knowns before, struct cedar_knowns *after)
{
	struct cedar_knowns test = { NULL, 0 }, yes = { NULL, 0 },
	    no = { NULL, 0 };
	const struct cedar_type *t = boolean(c, e->a, before, &test), *a, *b;

	if (t == NULL)
		return NULL;
	if (t->kind == CEDAR_TYPE_TRUE) {
		t = cedar_check_expr(c, e->b, both(c, before, test), &yes);
		*after = both(c, yes, test);
		return t;
	}
	if (t->kind == CEDAR_TYPE_FALSE)
		return cedar_check_expr(c, e->c, before, after);
	a = cedar_check_expr(c, e->b, both(c, before, test), &yes);
	b = cedar_check_expr(c, e->c, before, &no);
	if (a == NULL || b == NULL)
		return NULL;
	*after = common(c, both(c, yes, test), no);
	t = cedar_type_join(c->arena, a, b, &c->steps);
	return t != NULL ? t :
	    cedar_check_oops(c, e, "the two branches have no type in common");
}

const struct cedar_type *
cedar_check_and(struct cedar_check *c, const struct cedar_type *a,
    const struct cedar_type *b)
{
	(void)c;
	if (b->kind == CEDAR_TYPE_FALSE || a->kind == CEDAR_TYPE_FALSE)
		return &cedar_type_false;
	if (b->kind == CEDAR_TYPE_TRUE)
		return a;
	return a->kind == CEDAR_TYPE_TRUE ? b : &cedar_type_bool;
}

static const struct cedar_type *
conjunction(struct cedar_check *c, const struct cedar_expr *e,
    struct cedar_knowns before, struct cedar_knowns *after)
{
	struct cedar_knowns left = { NULL, 0 }, right = { NULL, 0 };
	const struct cedar_type *a = boolean(c, e->a, before, &left), *b;

	if (a == NULL || a->kind == CEDAR_TYPE_FALSE)
		return a;
	b = boolean(c, e->b, both(c, before, left), &right);
	if (b == NULL)
		return NULL;
	if (b->kind != CEDAR_TYPE_FALSE)
		*after = both(c, left, right);
	return cedar_check_and(c, a, b);
}

static const struct cedar_type *
disjunction(struct cedar_check *c, const struct cedar_expr *e,
    struct cedar_knowns before, struct cedar_knowns *after)
{
	struct cedar_knowns left = { NULL, 0 }, right = { NULL, 0 };
	const struct cedar_type *a = boolean(c, e->a, before, &left), *b;

	if (a == NULL)
		return NULL;
	if (a->kind == CEDAR_TYPE_TRUE) {
		*after = left;
		return a;
	}
	if ((b = boolean(c, e->b, before, &right)) == NULL)
		return NULL;
	if (b->kind == CEDAR_TYPE_TRUE) {
		*after = right;
		return b;
	}
	if (b->kind == CEDAR_TYPE_FALSE) {
		*after = left;
		return a;
	}
	if (a->kind == CEDAR_TYPE_FALSE) {
		*after = right;
		return b;
	}
	*after = common(c, right, left);
	return &cedar_type_bool;
}

static const struct cedar_type *
negated(const struct cedar_type *t)
{
	if (t == NULL || t->kind == CEDAR_TYPE_TRUE)
		return t == NULL ? NULL : &cedar_type_false;
	return t->kind == CEDAR_TYPE_FALSE ? &cedar_type_true : &cedar_type_bool;
}

const struct cedar_type *
cedar_check_condition(struct cedar_check *c, const struct cedar_expr *e,
    bool is_unless, struct cedar_knowns *known)
{
	struct cedar_knowns after = { NULL, 0 };
	const struct cedar_type *t = boolean(c, e, *known, &after);

	if (is_unless)
		return negated(t);
	*known = both(c, *known, after);
	return t;
}

/* --------------------------------------------------------------- relations */

static const struct cedar_type *
equality(struct cedar_check *c, const struct cedar_expr *e,
    struct cedar_knowns before)
{
	struct cedar_knowns ignored = { NULL, 0 };
	const struct cedar_type *a = cedar_check_expr(c, e->a, before, &ignored);
	const struct cedar_type *b = cedar_check_expr(c, e->b, before, &ignored);
	const struct ag_cedar_uid *x = cedar_check_uid(c, e->a);
	const struct ag_cedar_uid *y = cedar_check_uid(c, e->b);

	if (a == NULL || b == NULL)
		return NULL;
	if (a->kind == CEDAR_TYPE_ENTITY && b->kind == CEDAR_TYPE_ENTITY &&
	    !cedar_str_equal(a->name, b->name))
		return &cedar_type_false;
	if (x != NULL && y != NULL)
		return singleton(ag_cedar_uid_equal(x, y));
	if ((x != NULL || (e->a->op == CEDAR_LIT && !e->a->is_folded)) &&
	    (y != NULL || (e->b->op == CEDAR_LIT && !e->b->is_folded)))
		return singleton(x == NULL && y == NULL &&
		    ag_cedar_equal(&e->a->lit, &e->b->lit));
	return cedar_check_equal(c, e, a, b, &cedar_type_bool);
}

static bool
has_order(const struct cedar_type *t)
{
	return t->kind == CEDAR_TYPE_LONG || (t->kind == CEDAR_TYPE_EXT &&
	    (t->ext == AG_CEDAR_DATETIME || t->ext == AG_CEDAR_DURATION));
}

static const struct cedar_type *
comparison(struct cedar_check *c, const struct cedar_expr *e,
    struct cedar_knowns before)
{
	struct cedar_knowns ignored = { NULL, 0 };
	const struct cedar_type *a = cedar_check_expr(c, e->a, before, &ignored);
	const struct cedar_type *b = cedar_check_expr(c, e->b, before, &ignored);

	if (a == NULL || b == NULL)
		return NULL;
	if (a->kind == CEDAR_TYPE_NEVER && b->kind == CEDAR_TYPE_NEVER)
		return NULL;
	if (!has_order(a) && a->kind != CEDAR_TYPE_NEVER)
		return cedar_check_unexpected(c, e->a, a, "a Long, a datetime or a duration");
	if (!has_order(b) && b->kind != CEDAR_TYPE_NEVER)
		return cedar_check_unexpected(c, e->b, b, "a Long, a datetime or a duration");
	if (a->kind != CEDAR_TYPE_NEVER && b->kind != CEDAR_TYPE_NEVER &&
	    !cedar_subtype(a, b, &c->steps))
		return cedar_check_unexpected(c, e->b, b, "the type of the left side");
	return &cedar_type_bool;
}

static const struct cedar_type *
arithmetic(struct cedar_check *c, const struct cedar_expr *e,
    struct cedar_knowns before)
{
	const struct cedar_type *a = cedar_check_kind(c, e->a, before, NULL,
	    CEDAR_TYPE_LONG, "a Long");
	const struct cedar_type *b = e->b == NULL ? a : cedar_check_kind(c, e->b, before,
	    NULL, CEDAR_TYPE_LONG, "a Long");

	return a == NULL || b == NULL ? NULL : &cedar_type_long;
}

/* --------------------------------------------------------------- hierarchy */

bool
cedar_check_may_be_in(const struct cedar_check *c, struct ag_cedar_str lower,
    struct ag_cedar_str upper)
{
	const struct cedar_etype *a = cedar_schema_etype(c->schema, lower);
	const struct cedar_etype *b = cedar_schema_etype(c->schema, upper);

	if (cedar_str_equal(lower, upper) ||
	    (a != NULL && b != NULL && cedar_etype_below(a, b)))
		return true;
	for (uint32_t i = 0; i < c->schema->action_count; i++) {
		const struct cedar_action *x = c->schema->actions[i];

		for (uint32_t k = 0; k < x->above_count &&
		    cedar_str_equal(x->uid.type, lower); k++)
			if (cedar_str_equal(x->above[k]->uid.type, upper))
				return true;
	}
	return false;
}

/* Of an action and literals only: then the schema has the answer. false: it
 * is no such case. *out NULL: an action is unknown. */
static bool
action_in(struct cedar_check *c, const struct cedar_expr *e,
    const struct cedar_type **out)
{
	const struct cedar_expr *rhs = unfolded(e->b);
	const struct ag_cedar_uid *a = cedar_check_uid(c, e->a), *b;
	const struct cedar_action *lower, *upper;
	uint32_t count = rhs->op == CEDAR_SET_OF ? rhs->count : 1;
	bool yes = false;

	if (a == NULL || !cedar_is_action_type(a->type))
		return false;
	*out = NULL;
	lower = cedar_schema_action(c->schema, a);
	for (uint32_t i = 0; i < count; i++)
		if (cedar_check_uid(c, rhs->op == CEDAR_SET_OF ? rhs->items[i] :
		    rhs) == NULL)
			return false;
	for (uint32_t i = 0; i < count; i++) {
		b = cedar_check_uid(c, rhs->op == CEDAR_SET_OF ? rhs->items[i] :
		    rhs);
		if (!cedar_is_action_type(b->type))
			continue;
		upper = cedar_schema_action(c->schema, b);
		if (upper == NULL || lower == NULL)
			return true;
		yes |= cedar_action_in(lower, upper);
	}
	*out = singleton(yes);
	return true;
}

static const struct cedar_type *
membership(struct cedar_check *c, const struct cedar_expr *e,
    struct cedar_knowns before)
{
	struct cedar_knowns ignored = { NULL, 0 };
	const struct cedar_type *a = cedar_check_kind(c, e->a, before, NULL,
	    CEDAR_TYPE_ANY_ENTITY, "an entity");
	const struct cedar_type *b = cedar_check_expr(c, e->b, before, &ignored);
	const struct cedar_type *known, *of;

	if (a == NULL || b == NULL)
		return NULL;
	of = b->kind == CEDAR_TYPE_SET ? b->element : b;
	if (of == NULL || !cedar_check_is_entity(of))
		return cedar_check_unexpected(c, e->b, b, "an entity or a set of entities");
	if (action_in(c, e, &known))
		return known;
	if (a->kind == CEDAR_TYPE_ENTITY && of->kind == CEDAR_TYPE_ENTITY &&
	    !cedar_check_may_be_in(c, a->name, of->name))
		return &cedar_type_false;
	return &cedar_type_bool;
}

static const struct cedar_type *
type_test(struct cedar_check *c, const struct cedar_expr *e,
    struct cedar_knowns before)
{
	const struct cedar_type *a = cedar_check_kind(c, e->a, before, NULL,
	    CEDAR_TYPE_ANY_ENTITY, "an entity"), *is, *in;

	if (a == NULL || a->kind == CEDAR_TYPE_NEVER)
		return NULL;
	is = a->kind == CEDAR_TYPE_ENTITY ?
	    singleton(cedar_str_equal(a->name, e->name)) : &cedar_type_bool;
	if (e->b == NULL || is->kind == CEDAR_TYPE_FALSE)
		return is;
	in = membership(c, e, before);
	return in == NULL ? NULL : cedar_check_and(c, is, in);
}

static const struct cedar_type *
likeness(struct cedar_check *c, const struct cedar_expr *e,
    struct cedar_knowns before)
{
	const struct cedar_type *t = cedar_check_kind(c, e->a, before, NULL,
	    CEDAR_TYPE_STRING, "a String");

	return t == NULL ? NULL : &cedar_type_bool;
}

/* ---------------------------------------------------------------- dispatch */

/* What has no parts. */
static const struct cedar_type *
leaf(struct cedar_check *c, const struct cedar_expr *e)
{
	return e->op == CEDAR_PRINCIPAL ? &c->principal :
	    e->op == CEDAR_ACTION ? &c->action :
	    e->op == CEDAR_RESOURCE ? &c->resource :
	    e->op == CEDAR_CONTEXT ? c->env.action->context :
	    e->op == CEDAR_SLOT_PRINCIPAL ? slot(c, c->env.slot[CEDAR_P]) :
	    e->op == CEDAR_SLOT_RESOURCE ? slot(c, c->env.slot[CEDAR_R]) :
	    literal(c, e);
}

/* Longer than others, because the switch names every operator: the compiler
 * finds the one that is missing. */
const struct cedar_type *
cedar_check_expr(struct cedar_check *c, const struct cedar_expr *e,
    struct cedar_knowns before, struct cedar_knowns *after)
{
	e = unfolded(e);
	if (c->steps == 0 || c->no_memory)
		return NULL;
	c->steps--;
	switch ((enum cedar_op)e->op) {
	case CEDAR_LIT:
	case CEDAR_PRINCIPAL:
	case CEDAR_ACTION:
	case CEDAR_RESOURCE:
	case CEDAR_CONTEXT:
	case CEDAR_SLOT_PRINCIPAL:
	case CEDAR_SLOT_RESOURCE:
		return leaf(c, e);
	case CEDAR_IF:
		return conditional(c, e, before, after);
	case CEDAR_AND:
		return conjunction(c, e, before, after);
	case CEDAR_OR:
		return disjunction(c, e, before, after);
	case CEDAR_NOT:
		return negated(boolean(c, e->a, before, NULL));
	case CEDAR_EQ:
		return equality(c, e, before);
	case CEDAR_NEQ:
		return negated(equality(c, e, before));
	case CEDAR_LT:
	case CEDAR_LE:
	case CEDAR_GT:
	case CEDAR_GE:
		return comparison(c, e, before);
	case CEDAR_NEG:
	case CEDAR_ADD:
	case CEDAR_SUB:
	case CEDAR_MUL:
		return arithmetic(c, e, before);
	case CEDAR_IN:
		return membership(c, e, before);
	case CEDAR_CONTAINS:
	case CEDAR_CONTAINS_ALL:
	case CEDAR_CONTAINS_ANY:
	case CEDAR_IS_EMPTY:
		return cedar_check_contains(c, e, before);
	case CEDAR_GET_TAG:
	case CEDAR_HAS_TAG:
		return cedar_check_tag(c, e, before, after);
	case CEDAR_GET:
		return cedar_check_attribute(c, e, before);
	case CEDAR_HAS:
		return cedar_check_has(c, e, before, after);
	case CEDAR_LIKE:
		return likeness(c, e, before);
	case CEDAR_TYPE_IS:
		return type_test(c, e, before);
	case CEDAR_SET_OF:
		return cedar_check_set(c, e, before);
	case CEDAR_RECORD_OF:
		return cedar_check_record(c, e, before);
	case CEDAR_CALL:
		return cedar_check_call(c, e, before);
	case CEDAR_LIT_LONG:
		break;
	}
	return NULL;
}
