/* SPDX-License-Identifier: Apache-2.0 */
/* Typing of what holds data: attributes, tags, sets, records, functions. */
#include "check.h"

#include "ext.h"

#include <stdio.h>
#include <string.h>

/* ------------------------------------------------------------- attributes */

/* The record that holds its attributes; NULL: none is known. */
static const struct cedar_type *
shape_of(struct cedar_check *c, const struct cedar_type *t)
{
	const struct cedar_etype *e;

	if (t->kind == CEDAR_TYPE_RECORD)
		return t;
	if (t->kind != CEDAR_TYPE_ENTITY)
		return NULL;
	e = cedar_schema_etype(c->schema, t->name);
	return e == NULL ? NULL : e->shape;
}

static const struct cedar_attr *
attribute(struct cedar_check *c, const struct cedar_type *t,
    struct ag_cedar_str name)
{
	const struct cedar_type *shape = shape_of(c, t);

	return shape == NULL ? NULL : cedar_type_attr(shape, name);
}

/* What would be right: the names that there are, as many as there is room for. */
static const struct cedar_type *
no_attribute(struct cedar_check *c, const struct cedar_expr *e,
    const struct cedar_type *t)
{
	const struct cedar_type *shape = shape_of(c, t);
	char text[120], has[AG_CEDAR_PROBLEM_SIZE / 2] = "";
	size_t used = 0;

	cedar_type_print(t, text, sizeof(text));
	for (uint32_t i = 0; shape != NULL && i < shape->attr_count; i++) {
		struct ag_cedar_str name = shape->attrs[i].name;

		if (used + name.len + sizeof(", `` …") >= sizeof(has)) {
			strcpy(has + used, " …");
			break;
		}
		used += (size_t)sprintf(has + used, "%s`%.*s`", i == 0 ? "" : ", ",
		    (int)name.len, name.p);
	}
	return cedar_check_oops(c, e, "%s has no attribute `%.*s`%s%s", text,
	    (int)(e->name.len > 40 ? 40 : e->name.len), e->name.p,
	    has[0] == '\0' ? "" : "; it has ", has);
}

static const struct cedar_type *
holder(struct cedar_check *c, const struct cedar_expr *e,
    struct cedar_knowns before)
{
	struct cedar_knowns ignored = { NULL, 0 };
	const struct cedar_type *t = cedar_check_expr(c, e, before, &ignored);

	if (t == NULL || cedar_check_is_entity(t) || t->kind == CEDAR_TYPE_RECORD)
		return t;
	return cedar_check_unexpected(c, e, t, "an entity or a record");
}

const struct cedar_type *
cedar_check_attribute(struct cedar_check *c, const struct cedar_expr *e,
    struct cedar_knowns before)
{
	const struct cedar_type *t = holder(c, e->a, before);
	struct cedar_known one = { .of = e->a, .attr = e->name };
	const struct cedar_attr *attr;

	if (t == NULL)
		return NULL;
	attr = attribute(c, t, e->name);
	if (attr == NULL)
		return no_attribute(c, e, t);
	if (!attr->required && !cedar_check_holds(c, before, &one))
		return cedar_check_oops(c, e, "the attribute `%.*s` may be absent; ask for it "
		    "first, with `has`",
		    (int)(e->name.len > 80 ? 80 : e->name.len), e->name.p);
	return attr->type;
}

const struct cedar_type *
cedar_check_has(struct cedar_check *c, const struct cedar_expr *e,
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
	cedar_check_put(c, after, &one);
	/* An entity need not exist, so a required attribute is not sure. */
	return (attr->required && t->kind == CEDAR_TYPE_RECORD) ||
	    cedar_check_holds(c, before, &one) ? &cedar_type_true : &cedar_type_bool;
}

const struct cedar_type *
cedar_check_tag(struct cedar_check *c, const struct cedar_expr *e,
    struct cedar_knowns before, struct cedar_knowns *after)
{
	const struct cedar_type *a = cedar_check_kind(c, e->a, before, NULL,
	    CEDAR_TYPE_ANY_ENTITY, "an entity");
	const struct cedar_type *b = cedar_check_kind(c, e->b, before, NULL,
	    CEDAR_TYPE_STRING, "a String");
	struct cedar_known one = { .of = e->a, .tag = e->b };
	const struct cedar_etype *type;
	bool known;

	if (a == NULL || b == NULL)
		return NULL;
	known = cedar_check_holds(c, before, &one);
	type = a->kind == CEDAR_TYPE_ENTITY ?
	    cedar_schema_etype(c->schema, a->name) : NULL;
	if (e->op == CEDAR_HAS_TAG) {
		cedar_check_put(c, after, &one);
		if (type == NULL || type->tags == NULL)
			return &cedar_type_false;
		return known ? &cedar_type_true : &cedar_type_bool;
	}
	if (!known)
		return cedar_check_oops(c, e, "the tag may be absent; ask for it first, with "
		    "`hasTag`");
	if (type == NULL || type->tags == NULL)
		return cedar_check_oops(c, e, "entities of this type have no tags");
	return type->tags;
}

/* -------------------------------------------------------- sets and records */

const struct cedar_type *
cedar_check_set(struct cedar_check *c, const struct cedar_expr *e,
    struct cedar_knowns before)
{
	const struct cedar_type *all = &cedar_type_never, *one;
	struct cedar_knowns ignored = { NULL, 0 };
	struct cedar_type *t = cedar_check_get(c, sizeof(*t));
	bool ok = t != NULL;

	for (uint32_t i = 0; i < e->count; i++) {
		one = cedar_check_expr(c, e->items[i], before, &ignored);
		ok &= one != NULL;
		if (!ok || all == NULL)
			continue;
		all = cedar_type_join(c->arena, all, one, &c->steps);
	}
	if (e->count == 0)
		return cedar_check_oops(c, e, "the type of an empty set is unknown; use one "
		    "with an element, or an attribute");
	if (!ok)
		return NULL;
	if (all == NULL)
		return cedar_check_oops(c, e, "the elements of the set have no type in "
		    "common");
	*t = (struct cedar_type){ .kind = CEDAR_TYPE_SET,
		.depth = (uint16_t)(all->depth + 1), .element = all };
	return t;
}

const struct cedar_type *
cedar_check_record(struct cedar_check *c, const struct cedar_expr *e,
    struct cedar_knowns before)
{
	struct cedar_knowns ignored = { NULL, 0 };
	struct cedar_type *t = cedar_check_get(c, sizeof(*t));
	struct cedar_attr *attrs = cedar_check_get(c, e->count * sizeof(*attrs));
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

const struct cedar_type *
cedar_check_contains(struct cedar_check *c, const struct cedar_expr *e,
    struct cedar_knowns before)
{
	struct cedar_knowns ignored = { NULL, 0 };
	const struct cedar_type *a = cedar_check_kind(c, e->a, before, NULL,
	    CEDAR_TYPE_SET, "a set"), *b;

	if (e->b == NULL)
		return a == NULL ? NULL : &cedar_type_bool;
	b = e->op == CEDAR_CONTAINS ? cedar_check_expr(c, e->b, before, &ignored) :
	    cedar_check_kind(c, e->b, before, NULL, CEDAR_TYPE_SET, "a set");
	if (a == NULL || b == NULL)
		return NULL;
	if (e->op == CEDAR_CONTAINS && (a->kind != CEDAR_TYPE_SET ||
	    a->element == NULL))
		return &cedar_type_bool;
	return cedar_check_equal(c, e, e->op == CEDAR_CONTAINS ? a->element : a, b,
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
			(void)cedar_check_oops(c, e, "`%s` takes a literal string only; pass "
			    "the value itself in the request", e->ext->name);
			return false;
		}
	if (e->count != 1 || e->items[0]->lit.kind != AG_CEDAR_STRING)
		return true;
	if (e->ext->call(c->arena, &e->items[0]->lit, &value) ==
	    AG_CEDAR_FAULT_NONE)
		return true;
	(void)cedar_check_oops(c, e, "%s(\"%.*s\") is none", e->ext->name,
	    (int)(e->items[0]->lit.string.len > 80 ? 80 :
	    e->items[0]->lit.string.len), e->items[0]->lit.string.p);
	return false;
}

const struct cedar_type *
cedar_check_call(struct cedar_check *c, const struct cedar_expr *e,
    struct cedar_knowns before)
{
	bool ok = true;

	if (e->count != e->ext->arg_count)
		return cedar_check_oops(c, e, "`%s` takes %u argument%s, not %u", e->ext->name,
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
		    cedar_check_unexpected(c, e->items[i], t, text) != NULL);
	}
	return ok ? cedar_type_ext(e->ext->result) : NULL;
}
