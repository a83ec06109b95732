/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strict typing, as the reference has it: literals and what the schema knows of
 * actions and hierarchies make some expressions surely true or surely false;
 * what cannot be reached is not checked. `has` and `hasTag` make known what may
 * then be read.
 */
#include "check.h"

#include "ext.h"
#include "value.h"

#include <stdio.h>

static const struct cedar_type *
oops(struct cedar_check *c, const struct cedar_expr *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static const struct cedar_type *
oops(struct cedar_check *c, const struct cedar_expr *at, const char *format, ...)
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

static void *
get(struct cedar_check *c, size_t size)
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

static bool
holds(struct cedar_check *c, struct cedar_knowns set,
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

static void
put(struct cedar_check *c, struct cedar_knowns *set,
    const struct cedar_known *one)
{
	struct cedar_known *copy = get(c, sizeof(*copy));

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
		put(c, &out, k);
	return out;
}

static struct cedar_knowns
common(struct cedar_check *c, struct cedar_knowns a, struct cedar_knowns b)
{
	struct cedar_knowns out = { NULL, 0 };

	for (const struct cedar_known *k = a.first; k != NULL; k = k->next)
		if (holds(c, b, k))
			put(c, &out, k);
	return out;
}

/* ------------------------------------------------------------ expectations */

static bool
is_bool(const struct cedar_type *t)
{
	return t->kind <= CEDAR_TYPE_BOOL;
}

static bool
is_entity(const struct cedar_type *t)
{
	return t->kind == CEDAR_TYPE_ENTITY || t->kind == CEDAR_TYPE_ANY_ENTITY ||
	    t->kind == CEDAR_TYPE_NEVER;
}

static const struct cedar_type *
unexpected(struct cedar_check *c, const struct cedar_expr *e,
    const struct cedar_type *t, const char *what)
{
	char text[160];

	cedar_type_print(t, text, sizeof(text));
	return oops(c, e, "%s is needed here, this is %s", what, text);
}

/* The expression's type, if it is of the kind (or of nothing). */
static const struct cedar_type *
of_kind(struct cedar_check *c, const struct cedar_expr *e,
    struct cedar_knowns before, struct cedar_knowns *after,
    enum cedar_type_kind kind, const char *what)
{
	struct cedar_knowns ignored = { NULL, 0 };
	const struct cedar_type *t = cedar_check_expr(c, e, before,
	    after == NULL ? &ignored : after);

	if (t == NULL || t->kind == CEDAR_TYPE_NEVER)
		return t;
	if (kind == CEDAR_TYPE_BOOL ? is_bool(t) :
	    kind == CEDAR_TYPE_ANY_ENTITY ? is_entity(t) :
	    t->kind == (uint8_t)kind)
		return t;
	return unexpected(c, e, t, what);
}

static const struct cedar_type *
boolean(struct cedar_check *c, const struct cedar_expr *e,
    struct cedar_knowns before, struct cedar_knowns *after)
{
	return of_kind(c, e, before, after, CEDAR_TYPE_BOOL, "a boolean");
}

static const struct cedar_type *
singleton(bool yes)
{
	return yes ? &cedar_type_true : &cedar_type_false;
}

/* Both sides must be able to be equal. */
static const struct cedar_type *
compatible(struct cedar_check *c, const struct cedar_expr *e,
    const struct cedar_type *a, const struct cedar_type *b,
    const struct cedar_type *result)
{
	char x[120], y[120];

	if (cedar_type_join(c->arena, a, b, &c->steps) != NULL)
		return result;
	cedar_type_print(a, x, sizeof(x));
	cedar_type_print(b, y, sizeof(y));
	return oops(c, e, "%s and %s are never equal; compare what has one type",
	    x, y);
}

/* ---------------------------------------------------------------- literals */

static const struct cedar_type *
entity_of(struct cedar_check *c, struct ag_cedar_str name)
{
	struct cedar_type *t = get(c, sizeof(*t));

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
	    oops(c, e, "the two branches have no type in common");
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
	return compatible(c, e, a, b, &cedar_type_bool);
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
		return unexpected(c, e->a, a, "a Long, a datetime or a duration");
	if (!has_order(b) && b->kind != CEDAR_TYPE_NEVER)
		return unexpected(c, e->b, b, "a Long, a datetime or a duration");
	if (a->kind != CEDAR_TYPE_NEVER && b->kind != CEDAR_TYPE_NEVER &&
	    !cedar_subtype(a, b, &c->steps))
		return unexpected(c, e->b, b, "the type of the left side");
	return &cedar_type_bool;
}

static const struct cedar_type *
arithmetic(struct cedar_check *c, const struct cedar_expr *e,
    struct cedar_knowns before)
{
	const struct cedar_type *a = of_kind(c, e->a, before, NULL,
	    CEDAR_TYPE_LONG, "a Long");
	const struct cedar_type *b = e->b == NULL ? a : of_kind(c, e->b, before,
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
	const struct cedar_type *a = of_kind(c, e->a, before, NULL,
	    CEDAR_TYPE_ANY_ENTITY, "an entity");
	const struct cedar_type *b = cedar_check_expr(c, e->b, before, &ignored);
	const struct cedar_type *known, *of;

	if (a == NULL || b == NULL)
		return NULL;
	of = b->kind == CEDAR_TYPE_SET ? b->element : b;
	if (of == NULL || !is_entity(of))
		return unexpected(c, e->b, b, "an entity or a set of entities");
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
	const struct cedar_type *a = of_kind(c, e->a, before, NULL,
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

/* ------------------------------------------------------------- attributes */

static const struct cedar_attr *
attribute(struct cedar_check *c, const struct cedar_type *t,
    struct ag_cedar_str name)
{
	const struct cedar_etype *e;

	if (t->kind == CEDAR_TYPE_RECORD)
		return cedar_type_attr(t, name);
	if (t->kind != CEDAR_TYPE_ENTITY)
		return NULL;
	e = cedar_schema_etype(c->schema, t->name);
	return e == NULL ? NULL : cedar_type_attr(e->shape, name);
}

static const struct cedar_type *
holder(struct cedar_check *c, const struct cedar_expr *e,
    struct cedar_knowns before)
{
	struct cedar_knowns ignored = { NULL, 0 };
	const struct cedar_type *t = cedar_check_expr(c, e, before, &ignored);

	if (t == NULL || is_entity(t) || t->kind == CEDAR_TYPE_RECORD)
		return t;
	return unexpected(c, e, t, "an entity or a record");
}

static const struct cedar_type *
read_attribute(struct cedar_check *c, const struct cedar_expr *e,
    struct cedar_knowns before)
{
	const struct cedar_type *t = holder(c, e->a, before);
	struct cedar_known one = { .of = e->a, .attr = e->name };
	const struct cedar_attr *attr;
	char text[120];

	if (t == NULL)
		return NULL;
	attr = attribute(c, t, e->name);
	if (attr == NULL) {
		cedar_type_print(t, text, sizeof(text));
		return oops(c, e, "%s has no attribute `%.*s`", text,
		    (int)(e->name.len > 80 ? 80 : e->name.len), e->name.p);
	}
	if (!attr->required && !holds(c, before, &one))
		return oops(c, e, "the attribute `%.*s` may be absent; ask for it "
		    "first, with `has`",
		    (int)(e->name.len > 80 ? 80 : e->name.len), e->name.p);
	return attr->type;
}

static const struct cedar_type *
has_attribute(struct cedar_check *c, const struct cedar_expr *e,
    struct cedar_knowns before, struct cedar_knowns *after)
{
	const struct cedar_type *t = holder(c, e->a, before);
	struct cedar_known one = { .of = e->a, .attr = e->name };
	const struct cedar_attr *attr;

	if (t == NULL)
		return NULL;
	attr = attribute(c, t, e->name);
	if (attr == NULL)
		return t->kind == CEDAR_TYPE_ANY_ENTITY ||
		    t->kind == CEDAR_TYPE_NEVER ? &cedar_type_bool :
		    &cedar_type_false;
	put(c, after, &one);
	/* An entity need not exist, so a required attribute is not sure. */
	return (attr->required && t->kind == CEDAR_TYPE_RECORD) ||
	    holds(c, before, &one) ? &cedar_type_true : &cedar_type_bool;
}

static const struct cedar_type *
tag(struct cedar_check *c, const struct cedar_expr *e,
    struct cedar_knowns before, struct cedar_knowns *after)
{
	const struct cedar_type *a = of_kind(c, e->a, before, NULL,
	    CEDAR_TYPE_ANY_ENTITY, "an entity");
	const struct cedar_type *b = of_kind(c, e->b, before, NULL,
	    CEDAR_TYPE_STRING, "a String");
	struct cedar_known one = { .of = e->a, .tag = e->b };
	const struct cedar_etype *type;
	bool known;

	if (a == NULL || b == NULL)
		return NULL;
	known = holds(c, before, &one);
	type = a->kind == CEDAR_TYPE_ENTITY ?
	    cedar_schema_etype(c->schema, a->name) : NULL;
	if (e->op == CEDAR_HAS_TAG) {
		put(c, after, &one);
		if (type == NULL || type->tags == NULL)
			return &cedar_type_false;
		return known ? &cedar_type_true : &cedar_type_bool;
	}
	if (!known)
		return oops(c, e, "the tag may be absent; ask for it first, with "
		    "`hasTag`");
	if (type == NULL || type->tags == NULL)
		return oops(c, e, "entities of this type have no tags");
	return type->tags;
}

/* -------------------------------------------------------- sets and records */

static const struct cedar_type *
set_of(struct cedar_check *c, const struct cedar_expr *e,
    struct cedar_knowns before)
{
	const struct cedar_type *all = &cedar_type_never, *one;
	struct cedar_knowns ignored = { NULL, 0 };
	struct cedar_type *t = get(c, sizeof(*t));
	bool ok = t != NULL;

	for (uint32_t i = 0; i < e->count; i++) {
		one = cedar_check_expr(c, e->items[i], before, &ignored);
		ok &= one != NULL;
		if (!ok || all == NULL)
			continue;
		all = cedar_type_join(c->arena, all, one, &c->steps);
	}
	if (e->count == 0)
		return oops(c, e, "the type of an empty set is unknown; use one "
		    "with an element, or an attribute");
	if (!ok)
		return NULL;
	if (all == NULL)
		return oops(c, e, "the elements of the set have no type in "
		    "common");
	*t = (struct cedar_type){ .kind = CEDAR_TYPE_SET,
		.depth = (uint16_t)(all->depth + 1), .element = all };
	return t;
}

static const struct cedar_type *
record_of(struct cedar_check *c, const struct cedar_expr *e,
    struct cedar_knowns before)
{
	struct cedar_knowns ignored = { NULL, 0 };
	struct cedar_type *t = get(c, sizeof(*t));
	struct cedar_attr *attrs = get(c, e->count * sizeof(*attrs));
	bool ok = t != NULL && attrs != NULL;

	for (uint32_t i = 0; i < e->count && attrs != NULL; i++) {
		attrs[i] = (struct cedar_attr){ e->names[i],
			cedar_check_expr(c, e->items[i], before, &ignored), true };
		ok &= attrs[i].type != NULL;
	}
	if (!ok)
		return NULL;
	*t = (struct cedar_type){ .kind = CEDAR_TYPE_RECORD, .attrs = attrs,
		.attr_count = e->count };
	return t;
}

static const struct cedar_type *
contains(struct cedar_check *c, const struct cedar_expr *e,
    struct cedar_knowns before)
{
	struct cedar_knowns ignored = { NULL, 0 };
	const struct cedar_type *a = of_kind(c, e->a, before, NULL,
	    CEDAR_TYPE_SET, "a set"), *b;

	if (e->b == NULL)
		return a == NULL ? NULL : &cedar_type_bool;
	b = e->op == CEDAR_CONTAINS ? cedar_check_expr(c, e->b, before, &ignored) :
	    of_kind(c, e->b, before, NULL, CEDAR_TYPE_SET, "a set");
	if (a == NULL || b == NULL)
		return NULL;
	if (e->op == CEDAR_CONTAINS && (a->kind != CEDAR_TYPE_SET ||
	    a->element == NULL))
		return &cedar_type_bool;
	return compatible(c, e, e->op == CEDAR_CONTAINS ? a->element : a, b,
	    &cedar_type_bool);
}

/* --------------------------------------------------------------- functions */

/* A constructor takes a literal, and one that it can read. */
static bool
constructs(struct cedar_check *c, const struct cedar_expr *e)
{
	struct ag_cedar_value value;

	for (uint32_t i = 0; i < e->count; i++)
		if (e->items[i]->op != CEDAR_LIT || e->items[i]->is_folded) {
			(void)oops(c, e, "`%s` takes a literal string only; pass "
			    "the value itself in the request", e->ext->name);
			return false;
		}
	if (e->count != 1 || e->items[0]->lit.kind != AG_CEDAR_STRING)
		return true;
	if (e->ext->call(c->arena, &e->items[0]->lit, &value) ==
	    AG_CEDAR_FAULT_NONE)
		return true;
	(void)oops(c, e, "%s(\"%.*s\") is none", e->ext->name,
	    (int)(e->items[0]->lit.string.len > 80 ? 80 :
	    e->items[0]->lit.string.len), e->items[0]->lit.string.p);
	return false;
}

static const struct cedar_type *
call(struct cedar_check *c, const struct cedar_expr *e,
    struct cedar_knowns before)
{
	bool ok = true;

	if (e->count != e->ext->arg_count)
		return oops(c, e, "`%s` takes %u argument%s, not %u", e->ext->name,
		    e->ext->arg_count, e->ext->arg_count == 1 ? "" : "s",
		    e->count);
	if (e->ext->is_constructor && !constructs(c, e))
		return NULL;
	for (uint32_t i = 0; i < e->count; i++) {
		const struct cedar_type *want = cedar_type_ext(e->ext->args[i]);
		struct cedar_knowns ignored = { NULL, 0 };
		const struct cedar_type *t = cedar_check_expr(c, e->items[i],
		    before, &ignored);
		char text[40];

		cedar_type_print(want, text, sizeof(text));
		ok &= t != NULL && (cedar_subtype(t, want, &c->steps) ||
		    unexpected(c, e->items[i], t, text) != NULL);
	}
	return ok ? cedar_type_ext(e->ext->result) : NULL;
}

/* ---------------------------------------------------------------- dispatch */

const struct cedar_type *
cedar_check_expr(struct cedar_check *c, const struct cedar_expr *e,
    struct cedar_knowns before, struct cedar_knowns *after)
{
	const struct cedar_type *t;

	e = unfolded(e);
	if (c->steps == 0 || c->no_memory)
		return NULL;
	c->steps--;
	switch ((enum cedar_op)e->op) {
	case CEDAR_LIT:
		return literal(c, e);
	case CEDAR_PRINCIPAL:
		return &c->principal;
	case CEDAR_ACTION:
		return &c->action;
	case CEDAR_RESOURCE:
		return &c->resource;
	case CEDAR_CONTEXT:
		return c->env.action->context;
	case CEDAR_SLOT_PRINCIPAL:
		return slot(c, c->env.slot[CEDAR_P]);
	case CEDAR_SLOT_RESOURCE:
		return slot(c, c->env.slot[CEDAR_R]);
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
		return contains(c, e, before);
	case CEDAR_GET_TAG:
	case CEDAR_HAS_TAG:
		return tag(c, e, before, after);
	case CEDAR_GET:
		return read_attribute(c, e, before);
	case CEDAR_HAS:
		return has_attribute(c, e, before, after);
	case CEDAR_LIKE:
		t = of_kind(c, e->a, before, NULL, CEDAR_TYPE_STRING, "a String");
		return t == NULL ? NULL : &cedar_type_bool;
	case CEDAR_TYPE_IS:
		return type_test(c, e, before);
	case CEDAR_SET_OF:
		return set_of(c, e, before);
	case CEDAR_RECORD_OF:
		return record_of(c, e, before);
	case CEDAR_CALL:
		return call(c, e, before);
	case CEDAR_LIT_LONG:
		break;
	}
	return NULL;
}
