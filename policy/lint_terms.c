/* SPDX-License-Identifier: Apache-2.0 */
/* Bounds on terms, and what follows from them. */
#include "lint_terms.h"

#include "ext.h"
#include "value.h"

enum { DEPTH_MAX = 64 /* of what is taken apart; below, it is one term */ };

/* ------------------------------------------------------- from an expression */

static bool
is_number(const struct ag_cedar_value *v)
{
	return v->kind == AG_CEDAR_LONG || v->kind == AG_CEDAR_DURATION ||
	    v->kind == AG_CEDAR_DATETIME;
}

/* One side a literal, the other not. */
static bool
sides(const struct cedar_expr *e, const struct cedar_expr **term,
    const struct ag_cedar_value **value, bool *swapped)
{
	*swapped = e->a->op == CEDAR_LIT;
	*term = *swapped ? e->b : e->a;
	*value = *swapped ? &e->a->lit : &e->b->lit;
	return (e->a->op == CEDAR_LIT) != (e->b->op == CEDAR_LIT);
}

static void
range(struct lint_bound *b, enum cedar_op op, const struct ag_cedar_value *v)
{
	b->shape = LINT_RANGE;
	b->kind = v->kind;
	b->lo = INT64_MIN;
	b->hi = INT64_MAX;
	if (op == CEDAR_LT && v->number == INT64_MIN)
		b->lo = 1, b->hi = 0; /* nothing is */
	else if (op == CEDAR_GT && v->number == INT64_MAX)
		b->lo = 1, b->hi = 0;
	else if (op == CEDAR_LT)
		b->hi = v->number - 1;
	else if (op == CEDAR_LE)
		b->hi = v->number;
	else if (op == CEDAR_GT)
		b->lo = v->number + 1;
	else
		b->lo = v->number;
}

/* x < 5, 5 <= x, not x > 3: which side of which number? */
static bool
compared(struct lint_bound *b, const struct cedar_expr *e, bool negated)
{
	static const enum cedar_op mirror[] = { [CEDAR_LT] = CEDAR_GT,
		[CEDAR_LE] = CEDAR_GE, [CEDAR_GT] = CEDAR_LT,
		[CEDAR_GE] = CEDAR_LE },
	    other[] = { [CEDAR_LT] = CEDAR_GE, [CEDAR_LE] = CEDAR_GT,
		[CEDAR_GT] = CEDAR_LE, [CEDAR_GE] = CEDAR_LT };
	const struct ag_cedar_value *v;
	enum cedar_op op = (enum cedar_op)e->op;
	bool swapped;

	if (op < CEDAR_LT || op > CEDAR_GE || !sides(e, &b->term, &v, &swapped) ||
	    !is_number(v))
		return false;
	op = swapped ? mirror[op] : op;
	range(b, negated ? other[op] : op, v);
	return true;
}

static bool
equalled(struct lint_bound *b, const struct cedar_expr *e, bool negated)
{
	const struct ag_cedar_value *v;
	bool swapped;

	if ((e->op != CEDAR_EQ && e->op != CEDAR_NEQ) ||
	    !sides(e, &b->term, &v, &swapped))
		return false;
	if (e->op == CEDAR_NEQ)
		negated = !negated;
	b->shape = negated ? LINT_NONE_OF : LINT_ONE_OF;
	if (!negated && is_number(v)) {
		b->shape = LINT_RANGE;
		b->kind = v->kind;
		b->lo = b->hi = v->number;
		return true;
	}
	b->values = v;
	b->count = 1;
	return true;
}

/* ["a", "b"].contains(x) */
static bool
contained(struct lint_bound *b, const struct cedar_expr *e, bool negated)
{
	if (e->op != CEDAR_CONTAINS || e->a->op != CEDAR_LIT ||
	    e->a->lit.kind != AG_CEDAR_SET || e->b->op == CEDAR_LIT)
		return false;
	b->term = e->b;
	b->shape = negated ? LINT_NONE_OF : LINT_ONE_OF;
	b->values = e->a->lit.set->items;
	b->count = e->a->lit.set->count;
	return true;
}

static void
take_one(struct lint_terms *t, const struct cedar_expr *e, bool negated)
{
	struct lint_bound *b;

	if (t->count == LINT_BOUNDS_MAX) {
		t->whole = false;
		return;
	}
	b = &t->at[t->count++];
	memset(b, 0, sizeof(*b));
	b->said = e;
	b->negated = negated;
	if (compared(b, e, negated) || equalled(b, e, negated) ||
	    contained(b, e, negated))
		return;
	b->term = e; /* must be true, or false */
	b->shape = LINT_ONE_OF;
	b->one = ag_cedar_bool(!negated);
	b->values = &b->one;
	b->count = 1;
}

static void
take(struct lint_terms *t, const struct cedar_expr *e, bool negated, int depth)
{
	if (depth == DEPTH_MAX) {
		take_one(t, e, negated);
	} else if (e->op == CEDAR_NOT) {
		take(t, e->a, !negated, depth + 1);
	} else if (e->op == (negated ? CEDAR_OR : CEDAR_AND)) {
		take(t, e->a, negated, depth + 1);
		take(t, e->b, negated, depth + 1);
	} else if (e->op == CEDAR_LIT && e->lit.kind == AG_CEDAR_BOOL &&
	    e->lit.boolean != negated) {
		return; /* says nothing */
	} else {
		take_one(t, e, negated);
	}
}

bool
lint_terms_of(struct ag_cedar_arena *arena, const struct cedar_body *body,
    struct lint_bound *room, struct lint_terms *out)
{
	
	*out = (struct lint_terms){ .at = room, .whole = true };
	for (const struct cedar_condition *c = body->conditions; c != NULL;
	    c = c->next)
		take(out, c->expr, c->is_unless, 0);
	out->at = ag_cedar_alloc(arena, (out->count + 1) * sizeof(*out->at));
	if (out->at == NULL)
		return false;
	for (size_t i = 0; i < out->count; i++) {
		out->at[i] = room[i];
		if (room[i].values == &room[i].one)
			out->at[i].values = &out->at[i].one;
	}
	return true;
}

/* ------------------------------------------------------------------ compare */

static bool
same_term(const struct lint_bound *a, const struct lint_bound *b)
{
	return cedar_expr_equal(a->term, b->term);
}

static bool
has(const struct lint_bound *b, const struct ag_cedar_value *v)
{
	for (size_t i = 0; i < b->count; i++)
		if (ag_cedar_equal(&b->values[i], v))
			return true;
	return false;
}

/* How many of a's values b has. */
static size_t
shared(const struct lint_bound *a, const struct lint_bound *b)
{
	size_t n = 0;

	for (size_t i = 0; i < a->count; i++)
		n += has(b, &a->values[i]);
	return n;
}

static bool
excludes(const struct lint_bound *a, const struct lint_bound *b)
{
	if (a->shape == LINT_RANGE && b->shape == LINT_RANGE)
		return a->hi < b->lo || b->hi < a->lo;
	if (a->shape == LINT_ONE_OF && b->shape == LINT_ONE_OF)
		return shared(a, b) == 0;
	if (a->shape == LINT_ONE_OF && b->shape == LINT_NONE_OF)
		return shared(a, b) == a->count;
	return false;
}

bool
lint_contradiction(const struct lint_terms *terms, const struct lint_bound **a,
    const struct lint_bound **b)
{
	for (size_t i = 0; i < terms->count; i++) {
		*a = *b = &terms->at[i];
		if (((*a)->shape == LINT_RANGE && (*a)->lo > (*a)->hi) ||
		    ((*a)->shape == LINT_ONE_OF && (*a)->count == 0) ||
		    ((*a)->term->op == CEDAR_LIT && excludes(*a,
		    &(struct lint_bound){ .shape = LINT_ONE_OF,
		    .values = &(*a)->term->lit, .count = 1 })))
			return true;
		for (size_t k = 0; k < i; k++) {
			*b = &terms->at[k];
			if (same_term(*a, *b) && (excludes(*a, *b) ||
			    excludes(*b, *a)))
				return true;
		}
	}
	return false;
}

/* ------------------------------------------------------------------ implies */

/* Its evaluation cannot fail, whoever asks about whatever. */
static bool
is_total(const struct cedar_expr *e, int depth)
{
	if (depth == DEPTH_MAX)
		return false;
	switch ((enum cedar_op)e->op) {
	case CEDAR_LIT:
	case CEDAR_PRINCIPAL:
	case CEDAR_ACTION:
	case CEDAR_RESOURCE:
	case CEDAR_CONTEXT:
		return true;
	case CEDAR_GET: /* nearly all that the context has, it always has */
		return (e->a->op == CEDAR_CONTEXT || e->a->op == CEDAR_GET) &&
		    is_total(e->a, depth + 1) &&
		    !cedar_is(e->name, "since_step_up") &&
		    !cedar_is(e->name, "since_approval");
	case CEDAR_NOT:
	case CEDAR_HAS:
		return is_total(e->a, depth + 1);
	case CEDAR_AND:
	case CEDAR_OR:
	case CEDAR_EQ:
	case CEDAR_NEQ:
	case CEDAR_LT:
	case CEDAR_LE:
	case CEDAR_GT:
	case CEDAR_GE:
	case CEDAR_CONTAINS:
	case CEDAR_HAS_TAG:
		return is_total(e->a, depth + 1) && is_total(e->b, depth + 1);
	case CEDAR_CALL: /* times can overflow; these cannot */
		if (strncmp(e->ext->name, "is", 2) != 0 &&
		    strcmp(e->ext->name, "toTime") != 0)
			return false;
		for (uint32_t i = 0; i < e->count; i++)
			if (!is_total(e->items[i], depth + 1))
				return false;
		return true;
	default:
		return false;
	}
}

/* What all ranges on this term leave of it. */
static bool
range_within(const struct lint_terms *terms, const struct lint_bound *one)
{
	int64_t lo = INT64_MIN, hi = INT64_MAX;
	bool any = false;

	for (size_t i = 0; i < terms->count; i++) {
		const struct lint_bound *b = &terms->at[i];

		if (b->shape != LINT_RANGE || !same_term(b, one))
			continue;
		any = true;
		lo = b->lo > lo ? b->lo : lo;
		hi = b->hi < hi ? b->hi : hi;
	}
	return any && one->lo <= lo && hi <= one->hi;
}

static bool
narrower(const struct lint_bound *b, const struct lint_bound *one)
{
	if (one->shape == LINT_ONE_OF)
		return b->shape == LINT_ONE_OF && shared(b, one) == b->count;
	if (b->shape == LINT_ONE_OF)
		return shared(b, one) == 0;
	if (b->shape == LINT_NONE_OF)
		return shared(one, b) == one->count;
	for (size_t i = 0; i < one->count; i++) /* a range that leaves them out */
		if (!is_number(&one->values[i]) ||
		    (b->lo <= one->values[i].number &&
		    one->values[i].number <= b->hi))
			return false;
	return true;
}

static bool
implies_simply(const struct lint_terms *terms, const struct lint_bound *one)
{
	if (one->shape == LINT_RANGE)
		return range_within(terms, one);
	for (size_t i = 0; i < terms->count; i++)
		if (same_term(&terms->at[i], one) && narrower(&terms->at[i], one))
			return true;
	return false;
}

/* Of `a || b` one is enough, if neither can fail. */
static bool
implies_expr(const struct lint_terms *terms, const struct cedar_expr *e,
    bool negated, int depth)
{
	struct lint_bound room[1];
	struct lint_terms single = { .at = room, .whole = true };
	
	if (depth == DEPTH_MAX)
		return false;
	if (e->op == CEDAR_NOT)
		return implies_expr(terms, e->a, !negated, depth + 1);
	if (e->op == (negated ? CEDAR_OR : CEDAR_AND))
		return implies_expr(terms, e->a, negated, depth + 1) &&
		    implies_expr(terms, e->b, negated, depth + 1);
	if (e->op == (negated ? CEDAR_AND : CEDAR_OR) && is_total(e, 0) &&
	    (implies_expr(terms, e->a, negated, depth + 1) ||
	    implies_expr(terms, e->b, negated, depth + 1)))
		return true;
	memset(room, 0, sizeof(room));
	take_one(&single, e, negated);
	return implies_simply(terms, room);
}

bool
lint_implies(const struct lint_terms *terms, const struct lint_bound *one)
{
	return implies_simply(terms, one) ||
	    implies_expr(terms, one->said, one->negated, 0);
}

bool
lint_implies_all(const struct lint_terms *terms, const struct lint_terms *all)
{
	if (!all->whole)
		return false;
	for (size_t i = 0; i < all->count; i++)
		if (!lint_implies(terms, &all->at[i]))
			return false;
	return true;
}

/* ------------------------------------------------------------------ windows */

/* The ranges on the term of `of` as one; false: something else bounds it. */
static bool
window(const struct lint_terms *terms, const struct lint_bound *of,
    int64_t *lo, int64_t *hi)
{
	*lo = INT64_MIN;
	*hi = INT64_MAX;
	for (size_t i = 0; i < terms->count; i++) {
		const struct lint_bound *b = &terms->at[i];

		if (!same_term(b, of))
			continue;
		if (b->shape != LINT_RANGE)
			return false;
		*lo = b->lo > *lo ? b->lo : *lo;
		*hi = b->hi < *hi ? b->hi : *hi;
	}
	return *lo <= *hi && *lo != INT64_MIN && *hi != INT64_MAX;
}

/* All of x, but for this term, is in y. */
static bool
rest_in(const struct lint_terms *x, const struct lint_terms *y,
    const struct lint_bound *but)
{
	for (size_t i = 0; i < x->count; i++)
		if (!same_term(&x->at[i], but) && !implies_simply(y, &x->at[i]))
			return false;
	return true;
}

bool
lint_overlap(const struct lint_terms *x, const struct lint_terms *y,
    struct lint_windows *out)
{
	for (size_t i = 0; i < x->count; i++) {
		const struct lint_bound *b = &x->at[i];

		if (b->shape != LINT_RANGE || (b->kind != AG_CEDAR_DURATION &&
		    b->kind != AG_CEDAR_DATETIME) ||
		    !window(x, b, &out->lo[0], &out->hi[0]) ||
		    !window(y, b, &out->lo[1], &out->hi[1]))
			continue;
		out->kind = b->kind;
		return out->lo[0] <= out->hi[1] && out->lo[1] <= out->hi[0] &&
		    rest_in(x, y, b) && rest_in(y, x, b);
	}
	return false;
}
