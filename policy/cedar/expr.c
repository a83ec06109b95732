/* SPDX-License-Identifier: Apache-2.0 */
/* Trees: what is the same, and what is constant. */
#include "ext.h"
#include "eval.h"

static bool
same_list(const struct cedar_expr *a, const struct cedar_expr *b)
{
	if (a->count != b->count || (a->op == CEDAR_CALL && a->ext != b->ext))
		return false;
	for (uint32_t i = 0; i < a->count; i++)
		if ((a->op == CEDAR_RECORD_OF &&
		    !cedar_str_equal(a->names[i], b->names[i])) ||
		    !cedar_expr_equal(a->items[i], b->items[i]))
			return false;
	return true;
}

static bool
same_or_none(const struct cedar_expr *a, const struct cedar_expr *b)
{
	return a == NULL || b == NULL ? a == b : cedar_expr_equal(a, b);
}

bool
cedar_expr_equal(const struct cedar_expr *a, const struct cedar_expr *b)
{
	if (a == b)
		return true;
	if (a->is_folded)
		a = a->was;
	if (b->is_folded)
		b = b->was;
	if (a->op != b->op || a->height != b->height)
		return false;
	switch (a->op) {
	case CEDAR_LIT:
		return ag_cedar_equal(&a->lit, &b->lit);
	case CEDAR_SET_OF:
	case CEDAR_RECORD_OF:
	case CEDAR_CALL:
		return same_list(a, b);
	case CEDAR_GET:
	case CEDAR_HAS:
	case CEDAR_TYPE_IS:
		if (!cedar_str_equal(a->name, b->name))
			return false;
		break;
	case CEDAR_LIKE:
		if (!cedar_str_equal(a->pattern->text, b->pattern->text) ||
		    memcmp(a->pattern->star, b->pattern->star,
		    a->pattern->text.len) != 0)
			return false;
		break;
	default:
		break;
	}
	return same_or_none(a->a, b->a) && same_or_none(a->b, b->b) &&
	    same_or_none(a->c, b->c);
}

/* Only what needs memory is worth folding: sets, records, constructors. */
bool
cedar_fold(struct ag_cedar_arena *arena, struct cedar_expr *e)
{
	struct cedar_coder coder = { .arena = arena };
	struct cedar_eval ev;
	struct ag_cedar_value value;
	bool is_list = e->op == CEDAR_SET_OF || e->op == CEDAR_RECORD_OF ||
	    e->op == CEDAR_CALL, is_constant = is_list;

	if (e->op == CEDAR_LIT)
		return true;
	for (uint32_t i = 0; is_list && i < e->count; i++) {
		if (!cedar_fold(arena, e->items[i]))
			return false;
		is_constant &= e->items[i]->op == CEDAR_LIT;
	}
	if (!is_list)
		return (e->a == NULL || cedar_fold(arena, e->a)) &&
		    (e->b == NULL || cedar_fold(arena, e->b)) &&
		    (e->c == NULL || cedar_fold(arena, e->c));
	if (!is_constant)
		return true;
	(void)cedar_code_expr(&coder, e);
	if (coder.no_memory)
		return false;
	cedar_eval_begin(&ev, arena, NULL, NULL);
	if (!cedar_evaluate(&ev, coder.nodes, &value))
		/* It fails again, with its place, whenever it is asked. */
		return ev.fault != AG_CEDAR_FAULT_MEMORY;
	e->was = ag_cedar_alloc(arena, sizeof(*e->was));
	if (e->was == NULL)
		return false;
	*e->was = *e;
	e->op = CEDAR_LIT;
	e->is_folded = true;
	e->lit = value;
	return true;
}
