/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Evaluates expressions: one function an operator, in a table. Anything wrong
 * ends the evaluation of this policy, never that of the request.
 */
#include "eval.h"

#include "ext.h"

void
cedar_eval_begin(struct cedar_eval *ev, struct ag_cedar_arena *scratch,
    const struct ag_cedar_entities *entities,
    const struct ag_cedar_request *request)
{
	*ev = (struct cedar_eval){ .scratch = scratch, .entities = entities,
		.request = request };
	if (request == NULL)
		return;
	ev->known[CEDAR_P] = cedar_entity_find(entities, &request->principal);
	ev->known[CEDAR_A] = cedar_entity_find(entities, &request->action);
	ev->known[CEDAR_R] = cedar_entity_find(entities, &request->resource);
}

static const struct cedar_code *
first(const struct cedar_code *e)
{
	return e + 1;
}

static const struct cedar_code *
second(const struct cedar_code *e)
{
	return e + e->b;
}

static const struct cedar_code *
third(const struct cedar_code *e)
{
	return e + e->c;
}

static const struct cedar_code *
item(const struct cedar_code *e, uint32_t i)
{
	return e + e->list->items[i];
}

static bool
fail(struct cedar_eval *ev, const struct cedar_code *at,
    enum ag_cedar_fault fault)
{
	if (ev->fault == AG_CEDAR_FAULT_NONE) {
		ev->fault = fault;
		ev->at = at;
	}
	return false;
}

static bool
of_kind(struct cedar_eval *ev, const struct cedar_code *e,
    enum ag_cedar_kind kind, struct ag_cedar_value *out)
{
	if (!cedar_evaluate(ev, e, out))
		return false;
	return out->kind == kind || fail(ev, e, AG_CEDAR_FAULT_TYPE);
}

bool
cedar_evaluate_bool(struct cedar_eval *ev, const struct cedar_code *e, bool *out)
{
	struct ag_cedar_value v;

	if (!of_kind(ev, e, AG_CEDAR_BOOL, &v))
		return false;
	*out = v.boolean;
	return true;
}

static const struct cedar_entity *
find(const struct cedar_eval *ev, const struct ag_cedar_uid *uid)
{
	const struct ag_cedar_request *r = ev->request;

	if (r != NULL && uid == &r->principal)
		return ev->known[CEDAR_P];
	if (r != NULL && uid == &r->resource)
		return ev->known[CEDAR_R];
	return cedar_entity_find(ev->entities, uid);
}

/* ----------------------------------------------------- leaves and branches */

static bool
on_literal(struct cedar_eval *ev, const struct cedar_code *e,
    struct ag_cedar_value *out)
{
	(void)ev;
	*out = *e->value;
	return true;
}

static bool
on_long(struct cedar_eval *ev, const struct cedar_code *e,
    struct ag_cedar_value *out)
{
	(void)ev;
	*out = ag_cedar_long(e->number);
	return true;
}

static bool
on_variable(struct cedar_eval *ev, const struct cedar_code *e,
    struct ag_cedar_value *out)
{
	const struct ag_cedar_request *r = ev->request;

	if (r == NULL)
		return fail(ev, e, AG_CEDAR_FAULT_TYPE);
	if (e->op == CEDAR_CONTEXT)
		*out = r->context.kind == AG_CEDAR_RECORD ? r->context :
		    cedar_empty_record;
	else
		*out = ag_cedar_entity(e->op == CEDAR_PRINCIPAL ?
		    &r->principal : e->op == CEDAR_ACTION ? &r->action :
		    &r->resource);
	return true;
}

static bool
on_if(struct cedar_eval *ev, const struct cedar_code *e,
    struct ag_cedar_value *out)
{
	bool yes;

	return cedar_evaluate_bool(ev, first(e), &yes) &&
	    cedar_evaluate(ev, yes ? second(e) : third(e), out);
}

static bool
on_and(struct cedar_eval *ev, const struct cedar_code *e,
    struct ag_cedar_value *out)
{
	bool yes;

	if (!cedar_evaluate_bool(ev, first(e), &yes) ||
	    (yes && !cedar_evaluate_bool(ev, second(e), &yes)))
		return false;
	*out = ag_cedar_bool(yes);
	return true;
}

static bool
on_or(struct cedar_eval *ev, const struct cedar_code *e,
    struct ag_cedar_value *out)
{
	bool yes;

	if (!cedar_evaluate_bool(ev, first(e), &yes) ||
	    (!yes && !cedar_evaluate_bool(ev, second(e), &yes)))
		return false;
	*out = ag_cedar_bool(yes);
	return true;
}

static bool
on_not(struct cedar_eval *ev, const struct cedar_code *e,
    struct ag_cedar_value *out)
{
	bool yes;

	if (!cedar_evaluate_bool(ev, first(e), &yes))
		return false;
	*out = ag_cedar_bool(!yes);
	return true;
}

/* ------------------------------------------------- arithmetic and relations */

static bool
on_negate(struct cedar_eval *ev, const struct cedar_code *e,
    struct ag_cedar_value *out)
{
	if (!of_kind(ev, first(e), AG_CEDAR_LONG, out))
		return false;
	return !__builtin_sub_overflow(INT64_C(0), out->number, &out->number) ||
	    fail(ev, e, AG_CEDAR_FAULT_OVERFLOW);
}

static bool
on_arithmetic(struct cedar_eval *ev, const struct cedar_code *e,
    struct ag_cedar_value *out)
{
	struct ag_cedar_value b;
	bool over;

	if (!of_kind(ev, first(e), AG_CEDAR_LONG, out) ||
	    !of_kind(ev, second(e), AG_CEDAR_LONG, &b))
		return false;
	if (e->op == CEDAR_ADD)
		over = __builtin_add_overflow(out->number, b.number, &out->number);
	else if (e->op == CEDAR_SUB)
		over = __builtin_sub_overflow(out->number, b.number, &out->number);
	else
		over = __builtin_mul_overflow(out->number, b.number, &out->number);
	return !over || fail(ev, e, AG_CEDAR_FAULT_OVERFLOW);
}

static bool
on_equal(struct cedar_eval *ev, const struct cedar_code *e,
    struct ag_cedar_value *out)
{
	struct ag_cedar_value a, b;

	if (!cedar_evaluate(ev, first(e), &a) || !cedar_evaluate(ev, second(e), &b))
		return false;
	*out = ag_cedar_bool(ag_cedar_equal(&a, &b) == (e->op == CEDAR_EQ));
	return true;
}

/* Long, datetime and duration have an order; both sides must be of one. */
static bool
on_compare(struct cedar_eval *ev, const struct cedar_code *e,
    struct ag_cedar_value *out)
{
	struct ag_cedar_value a, b;
	bool less, same;

	if (!cedar_evaluate(ev, first(e), &a) || !cedar_evaluate(ev, second(e), &b))
		return false;
	if (a.kind != b.kind || (a.kind != AG_CEDAR_LONG &&
	    a.kind != AG_CEDAR_DATETIME && a.kind != AG_CEDAR_DURATION))
		return fail(ev, e, AG_CEDAR_FAULT_TYPE);
	less = a.number < b.number;
	same = a.number == b.number;
	*out = ag_cedar_bool(e->op == CEDAR_LT ? less :
	    e->op == CEDAR_LE ? less || same :
	    e->op == CEDAR_GT ? !less && !same : !less);
	return true;
}

/* ------------------------------------------------------------- hierarchies */

/* Is the entity in b, or in one of b? All of b must be entities. */
static bool
in_value(struct cedar_eval *ev, const struct cedar_code *at,
    const struct ag_cedar_uid *a, const struct ag_cedar_value *b, bool *yes)
{
	const struct cedar_entity *entity;

	*yes = false;
	if (b->kind != AG_CEDAR_ENTITY && b->kind != AG_CEDAR_SET)
		return fail(ev, at, AG_CEDAR_FAULT_TYPE);
	entity = find(ev, a);
	if (b->kind == AG_CEDAR_ENTITY) {
		*yes = cedar_entity_in(a, entity, b->entity);
		return true;
	}
	for (size_t i = 0; i < b->set->count; i++)
		if (b->set->items[i].kind != AG_CEDAR_ENTITY)
			return fail(ev, at, AG_CEDAR_FAULT_TYPE);
	for (size_t i = 0; i < b->set->count && !*yes; i++)
		*yes = cedar_entity_in(a, entity, b->set->items[i].entity);
	return true;
}

static bool
on_in(struct cedar_eval *ev, const struct cedar_code *e,
    struct ag_cedar_value *out)
{
	struct ag_cedar_value a, b;
	bool yes;

	if (!of_kind(ev, first(e), AG_CEDAR_ENTITY, &a) ||
	    !cedar_evaluate(ev, second(e), &b) ||
	    !in_value(ev, second(e), a.entity, &b, &yes))
		return false;
	*out = ag_cedar_bool(yes);
	return true;
}

static bool
on_is(struct cedar_eval *ev, const struct cedar_code *e,
    struct ag_cedar_value *out)
{
	struct ag_cedar_value a;

	if (!of_kind(ev, first(e), AG_CEDAR_ENTITY, &a))
		return false;
	*out = ag_cedar_bool(cedar_str_equal(a.entity->type, e->value->string));
	return true;
}

/* -------------------------------------------------------------------- sets */

static bool
on_contains(struct cedar_eval *ev, const struct cedar_code *e,
    struct ag_cedar_value *out)
{
	struct ag_cedar_value set, item;

	if (!of_kind(ev, first(e), AG_CEDAR_SET, &set) ||
	    !cedar_evaluate(ev, second(e), &item))
		return false;
	*out = ag_cedar_bool(cedar_set_has(&set, &item));
	return true;
}

static bool
on_contains_some(struct cedar_eval *ev, const struct cedar_code *e,
    struct ag_cedar_value *out)
{
	bool all = e->op == CEDAR_CONTAINS_ALL, yes = all;
	struct ag_cedar_value a, b;

	if (!of_kind(ev, first(e), AG_CEDAR_SET, &a) ||
	    !of_kind(ev, second(e), AG_CEDAR_SET, &b))
		return false;
	for (size_t i = 0; i < b.set->count && yes == all; i++)
		yes = cedar_set_has(&a, &b.set->items[i]);
	*out = ag_cedar_bool(yes);
	return true;
}

static bool
on_is_empty(struct cedar_eval *ev, const struct cedar_code *e,
    struct ag_cedar_value *out)
{
	struct ag_cedar_value set;

	if (!of_kind(ev, first(e), AG_CEDAR_SET, &set))
		return false;
	*out = ag_cedar_bool(set.set->count == 0);
	return true;
}

static bool
on_set(struct cedar_eval *ev, const struct cedar_code *e,
    struct ag_cedar_value *out)
{
	struct ag_cedar_value *items = ag_cedar_alloc(ev->scratch,
	    e->list->count * sizeof(*items));
	enum ag_cedar_err err;

	if (items == NULL)
		return fail(ev, e, AG_CEDAR_FAULT_MEMORY);
	for (uint32_t i = 0; i < e->list->count; i++)
		if (!cedar_evaluate(ev, item(e, i), &items[i]))
			return false;
	err = cedar_set_take(ev->scratch, items, e->list->count, out);
	return err == AG_CEDAR_OK || fail(ev, e, err == AG_CEDAR_NO_MEMORY ?
	    AG_CEDAR_FAULT_MEMORY : AG_CEDAR_FAULT_DEPTH);
}

static bool
on_record(struct cedar_eval *ev, const struct cedar_code *e,
    struct ag_cedar_value *out)
{
	struct ag_cedar_field *fields = ag_cedar_alloc(ev->scratch,
	    e->list->count * sizeof(*fields));
	enum ag_cedar_err err;

	if (fields == NULL)
		return fail(ev, e, AG_CEDAR_FAULT_MEMORY);
	for (uint32_t i = 0; i < e->list->count; i++) {
		fields[i].name = e->list->names[i];
		if (!cedar_evaluate(ev, item(e, i), &fields[i].value))
			return false;
	}
	err = cedar_record_take(ev->scratch, fields, e->list->count, out);
	return err == AG_CEDAR_OK || fail(ev, e, err == AG_CEDAR_NO_MEMORY ?
	    AG_CEDAR_FAULT_MEMORY : AG_CEDAR_FAULT_DEPTH);
}

/* ------------------------------------------------------ attributes and tags */

/* The record that the attributes of a value are in. A missing entity has
 * none: *out is NULL then. */
static bool
attributes(struct cedar_eval *ev, const struct cedar_code *at,
    const struct ag_cedar_value *of, const struct ag_cedar_value **out)
{
	const struct cedar_entity *entity;

	*out = NULL;
	if (of->kind == AG_CEDAR_RECORD) {
		*out = of;
		return true;
	}
	if (of->kind != AG_CEDAR_ENTITY)
		return fail(ev, at, AG_CEDAR_FAULT_TYPE);
	entity = find(ev, of->entity);
	if (entity != NULL)
		*out = &entity->attrs;
	return true;
}

static bool
on_get(struct cedar_eval *ev, const struct cedar_code *e,
    struct ag_cedar_value *out)
{
	const struct ag_cedar_value *record, *found;
	struct ag_cedar_value of;

	if (!cedar_evaluate(ev, first(e), &of) ||
	    !attributes(ev, first(e), &of, &record))
		return false;
	if (record == NULL)
		return fail(ev, e, AG_CEDAR_FAULT_NO_ENTITY);
	found = cedar_record_get(record, e->value->string);
	if (found == NULL)
		return fail(ev, e, AG_CEDAR_FAULT_NO_ATTR);
	*out = *found;
	return true;
}

static bool
on_has(struct cedar_eval *ev, const struct cedar_code *e,
    struct ag_cedar_value *out)
{
	const struct ag_cedar_value *record;
	struct ag_cedar_value of;

	if (!cedar_evaluate(ev, first(e), &of) ||
	    !attributes(ev, first(e), &of, &record))
		return false;
	*out = ag_cedar_bool(record != NULL &&
	    cedar_record_get(record, e->value->string) != NULL);
	return true;
}

static bool
on_tag(struct cedar_eval *ev, const struct cedar_code *e,
    struct ag_cedar_value *out)
{
	const struct ag_cedar_value *found = NULL;
	const struct cedar_entity *entity;
	struct ag_cedar_value of, name;

	if (!of_kind(ev, first(e), AG_CEDAR_ENTITY, &of) ||
	    !of_kind(ev, second(e), AG_CEDAR_STRING, &name))
		return false;
	entity = find(ev, of.entity);
	if (entity != NULL)
		found = cedar_record_get(&entity->tags, name.string);
	if (e->op == CEDAR_HAS_TAG) {
		*out = ag_cedar_bool(found != NULL);
		return true;
	}
	if (found == NULL)
		return fail(ev, e, entity == NULL ? AG_CEDAR_FAULT_NO_ENTITY :
		    AG_CEDAR_FAULT_NO_TAG);
	*out = *found;
	return true;
}

/* --------------------------------------------------------------- the rest */

/* Greedy with one step back to the last star: linear but for that. */
bool
cedar_matches(const struct cedar_pattern *pattern, struct ag_cedar_str text)
{
	const struct ag_cedar_str *p = &pattern->text;
	size_t i = 0, k = 0, star = SIZE_MAX, from = 0;

	while (k < text.len) {
		if (i < p->len && pattern->star[i]) {
			star = i++;
			from = k;
		} else if (i < p->len && p->p[i] == text.p[k]) {
			i++;
			k++;
		} else if (star != SIZE_MAX) {
			i = star + 1;
			k = ++from;
		} else {
			return false;
		}
	}
	while (i < p->len && pattern->star[i])
		i++;
	return i == p->len;
}

static bool
on_like(struct cedar_eval *ev, const struct cedar_code *e,
    struct ag_cedar_value *out)
{
	struct ag_cedar_value text;

	if (!of_kind(ev, first(e), AG_CEDAR_STRING, &text))
		return false;
	*out = ag_cedar_bool(cedar_matches(e->pattern, text.string));
	return true;
}

static bool
on_call(struct cedar_eval *ev, const struct cedar_code *e,
    struct ag_cedar_value *out)
{
	struct ag_cedar_value args[CEDAR_EXT_ARGS_MAX];
	enum ag_cedar_fault fault;

	if (e->list->count != e->list->ext->arg_count) {
		/* Arguments are evaluated first: their fault is the fault. */
		for (uint32_t i = 0; i < e->list->count; i++)
			if (!cedar_evaluate(ev, item(e, i), out))
				return false;
		return fail(ev, e, AG_CEDAR_FAULT_ARITY);
	}
	for (uint32_t i = 0; i < e->list->count; i++)
		if (!cedar_evaluate(ev, item(e, i), &args[i]))
			return false;
	for (uint32_t i = 0; i < e->list->count; i++)
		if ((uint8_t)args[i].kind != e->list->ext->args[i])
			return fail(ev, item(e, i), AG_CEDAR_FAULT_TYPE);
	fault = e->list->ext->call(ev->scratch, args, out);
	return fault == AG_CEDAR_FAULT_NONE || fail(ev, e, fault);
}

static bool (*const handlers[])(struct cedar_eval *, const struct cedar_code *,
    struct ag_cedar_value *) = {
	[CEDAR_LIT] = on_literal, [CEDAR_PRINCIPAL] = on_variable,
	[CEDAR_ACTION] = on_variable, [CEDAR_RESOURCE] = on_variable,
	[CEDAR_CONTEXT] = on_variable,
	[CEDAR_IF] = on_if,
	[CEDAR_AND] = on_and, [CEDAR_OR] = on_or, [CEDAR_NOT] = on_not,
	[CEDAR_NEG] = on_negate, [CEDAR_EQ] = on_equal,
	[CEDAR_NEQ] = on_equal, [CEDAR_LT] = on_compare,
	[CEDAR_LE] = on_compare, [CEDAR_GT] = on_compare,
	[CEDAR_GE] = on_compare, [CEDAR_IN] = on_in,
	[CEDAR_ADD] = on_arithmetic, [CEDAR_SUB] = on_arithmetic,
	[CEDAR_MUL] = on_arithmetic, [CEDAR_CONTAINS] = on_contains,
	[CEDAR_CONTAINS_ALL] = on_contains_some,
	[CEDAR_CONTAINS_ANY] = on_contains_some,
	[CEDAR_IS_EMPTY] = on_is_empty, [CEDAR_GET_TAG] = on_tag,
	[CEDAR_HAS_TAG] = on_tag, [CEDAR_GET] = on_get, [CEDAR_HAS] = on_has,
	[CEDAR_LIKE] = on_like, [CEDAR_TYPE_IS] = on_is,
	[CEDAR_SET_OF] = on_set, [CEDAR_RECORD_OF] = on_record,
	[CEDAR_CALL] = on_call, [CEDAR_LIT_LONG] = on_long,
};

bool
cedar_evaluate(struct cedar_eval *ev, const struct cedar_code *e,
    struct ag_cedar_value *out)
{
	return handlers[e->op](ev, e, out);
}

const char *
ag_cedar_fault_name(enum ag_cedar_fault fault)
{
	static const char *const names[] = { "none", "type", "no_entity",
		"no_attribute", "no_tag", "overflow", "arity", "extension",
		"depth", "memory" };

	return (size_t)fault < CEDAR_COUNT(names) ? names[fault] : "none";
}

enum ag_cedar_err
ag_cedar_evaluate(struct ag_cedar_arena *arena, const char *text, size_t len,
    const struct ag_cedar_entities *entities,
    const struct ag_cedar_request *request, struct ag_cedar_value *out,
    struct ag_cedar_problem *problem)
{
	struct cedar_coder coder = { .arena = arena };
	struct cedar_expr *e;
	struct cedar_eval ev;
	enum ag_cedar_err err = cedar_parse_expr(arena,
	    (struct ag_cedar_str){ text, len }, &e, problem);

	if (err != AG_CEDAR_OK)
		return err;
	(void)cedar_code_expr(&coder, e);
	if (coder.no_memory)
		return cedar_no_memory(problem);
	cedar_eval_begin(&ev, arena, entities, request);
	if (cedar_evaluate(&ev, coder.nodes, out))
		return AG_CEDAR_OK;
	err = cedar_problem(problem, AG_CEDAR_INVALID, "%s",
	    ag_cedar_fault_name(ev.fault));
	if (problem != NULL) {
		problem->at = ev.at->at;
		cedar_place((struct ag_cedar_str){ text, len }, ev.at->at,
		    &problem->line, &problem->column);
	}
	return err;
}
