/* SPDX-License-Identifier: Apache-2.0 */
/* From trees to what is evaluated. */
#include "code.h"

enum { KNOWN_FIRST = 64 };

/* --------------------------------------------------------------- interning */

static uint32_t
value_hash(const struct ag_cedar_value *v)
{
	return v->kind == AG_CEDAR_STRING ? cedar_hash(v->string, 1) :
	    v->entity->hash;
}

static size_t
place(const struct cedar_coder *c, const struct ag_cedar_value *v)
{
	size_t i = value_hash(v) & (c->known_size - 1);

	while (c->known[i] != NULL && !ag_cedar_equal(c->known[i], v))
		i = (i + 1) & (c->known_size - 1);
	return i;
}

static bool
known_grow(struct cedar_coder *c)
{
	const struct ag_cedar_value **old = c->known;
	size_t old_size = c->known_size;

	if (c->known_count * 2 < c->known_size)
		return true;
	c->known_size = old_size == 0 ? KNOWN_FIRST : old_size * 2;
	c->known = ag_cedar_alloc(c->arena,
	    c->known_size * sizeof(const struct ag_cedar_value *));
	if (c->known == NULL) {
		c->known = old;
		c->known_size = old_size;
		return false;
	}
	for (size_t i = 0; i < old_size; i++)
		if (old[i] != NULL)
			c->known[place(c, old[i])] = old[i];
	return true;
}

const struct ag_cedar_value *
cedar_intern(struct cedar_coder *c, struct ag_cedar_value v)
{
	bool is_plain = v.kind == AG_CEDAR_STRING || v.kind == AG_CEDAR_ENTITY;
	struct ag_cedar_value *copy;
	size_t i = 0;

	if (is_plain && !known_grow(c)) {
		c->no_memory = true;
		return NULL;
	}
	if (is_plain) {
		i = place(c, &v);
		if (c->known[i] != NULL)
			return c->known[i];
	}
	copy = ag_cedar_alloc(c->arena, sizeof(*copy));
	if (copy == NULL) {
		c->no_memory = true;
		return NULL;
	}
	*copy = v;
	if (is_plain) {
		c->known[i] = copy;
		c->known_count++;
	}
	return copy;
}

/* -------------------------------------------------------------------- nodes */

static uint32_t
node(struct cedar_coder *c, uint8_t op, uint32_t at)
{
	if (c->no_memory || !cedar_grow(c->arena, &c->nodes, c->count,
	    sizeof(*c->nodes))) {
		c->no_memory = true;
		return 0;
	}
	c->nodes[c->count] = (struct cedar_code){ .op = op, .at = at - c->from };
	return c->count++;
}

static void
list(struct cedar_coder *c, uint32_t here, const struct cedar_expr *e)
{
	struct cedar_code_list *l = ag_cedar_alloc(c->arena, sizeof(*l) +
	    e->count * sizeof(l->items[0]));

	if (l == NULL) {
		c->no_memory = true;
		return;
	}
	l->count = e->count;
	l->ext = e->op == CEDAR_CALL ? e->ext : NULL;
	l->names = e->op == CEDAR_RECORD_OF ? e->names : NULL;
	for (uint32_t i = 0; i < e->count && !c->no_memory; i++)
		l->items[i] = cedar_code_expr(c, e->items[i]) - here;
	if (!c->no_memory)
		c->nodes[here].list = l;
}

/* x is T in y: x is T && x in y. */
static uint32_t
is_in(struct cedar_coder *c, const struct cedar_expr *e)
{
	struct cedar_expr is = *e, in = *e;
	uint32_t here = node(c, CEDAR_AND, e->at), b;

	is.b = NULL;
	in.op = CEDAR_IN;
	(void)cedar_code_expr(c, &is);
	b = cedar_code_expr(c, &in) - here;
	if (!c->no_memory)
		c->nodes[here].b = b;
	return here;
}

/* Recursion is bounded by the expression's height. */
uint32_t
cedar_code_expr(struct cedar_coder *c, const struct cedar_expr *e)
{
	uint32_t here, b = 0, otherwise = 0;

	if (e->op == CEDAR_TYPE_IS && e->b != NULL)
		return is_in(c, e);
	here = node(c, e->op, e->at);
	if (c->no_memory)
		return 0;
	switch ((enum cedar_op)e->op) {
	case CEDAR_LIT:
		if (e->lit.kind == AG_CEDAR_LONG) {
			c->nodes[here].op = CEDAR_LIT_LONG;
			c->nodes[here].number = e->lit.number;
		} else {
			c->nodes[here].value = cedar_intern(c, e->lit);
		}
		return here;
	case CEDAR_SET_OF:
	case CEDAR_RECORD_OF:
	case CEDAR_CALL:
		list(c, here, e);
		return here;
	case CEDAR_GET:
	case CEDAR_HAS:
	case CEDAR_TYPE_IS:
		c->nodes[here].value = cedar_intern(c, ag_cedar_string(e->name));
		break;
	case CEDAR_LIKE:
		c->nodes[here].pattern = e->pattern;
		break;
	default:
		break;
	}
	if (e->a != NULL)
		(void)cedar_code_expr(c, e->a);
	if (e->b != NULL)
		b = cedar_code_expr(c, e->b) - here;
	if (e->c != NULL)
		otherwise = cedar_code_expr(c, e->c) - here;
	if (b != 0 && !c->no_memory) {
		c->nodes[here].b = b;
		c->nodes[here].c = otherwise;
	}
	return here;
}

uint32_t
cedar_code_conditions(struct cedar_coder *c,
    const struct cedar_condition *conditions)
{
	uint32_t here = c->count, both = 0;
	bool more = conditions->next != NULL;

	/* The rest is the second operand: it is evaluated after this one. */
	if (more)
		both = node(c, CEDAR_AND, conditions->expr->at);
	if (conditions->is_unless)
		(void)node(c, CEDAR_NOT, conditions->expr->at);
	(void)cedar_code_expr(c, conditions->expr);
	if (more && !c->no_memory) {
		uint32_t b = cedar_code_conditions(c, conditions->next) - both;

		if (!c->no_memory)
			c->nodes[both].b = b;
	}
	return here;
}
