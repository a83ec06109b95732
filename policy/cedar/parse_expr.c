/* SPDX-License-Identifier: Apache-2.0 */
/* Expressions, by precedence; chains are loops, brackets are recursion. */
#include "parse.h"

struct cedar_expr *
cedar_make(struct ag_cedar_arena *arena, enum cedar_op op,
    struct cedar_expr *a, struct cedar_expr *b, struct cedar_expr *c)
{
	struct cedar_expr *of[3] = { a, b, c };
	struct cedar_expr *e = ag_cedar_alloc(arena, sizeof(*e));

	if (e == NULL)
		return NULL;
	e->op = (uint8_t)op;
	for (int i = 0; i < 3; i++)
		if (of[i] != NULL && of[i]->height >= e->height)
			e->height = (uint16_t)(of[i]->height + 1);
	if (op != CEDAR_LIT) {
		e->a = a;
		e->b = b;
		e->c = c;
	}
	return e;
}

bool
cedar_too_high(struct cedar_parser *p, const struct cedar_expr *e)
{
	if (e->height < AG_CEDAR_HEIGHT_MAX)
		return false;
	if (p->err == AG_CEDAR_OK)
		p->err = cedar_lex_problem(&p->lexer, AG_CEDAR_LIMIT, e->at,
		    "the expression has more than %d levels; split the policy",
		    AG_CEDAR_HEIGHT_MAX);
	return true;
}

struct cedar_expr *
cedar_node(struct cedar_parser *p, enum cedar_op op, size_t at,
    struct cedar_expr *a, struct cedar_expr *b, struct cedar_expr *c)
{
	struct cedar_expr *e;

	if (p->err != AG_CEDAR_OK)
		return NULL;
	e = cedar_make(p->arena, op, a, b, c);
	if (e == NULL) {
		p->err = cedar_no_memory(p->lexer.problem);
		return NULL;
	}
	e->at = (uint32_t)at;
	return cedar_too_high(p, e) ? NULL : e;
}

/* -------------------------------------------------------------- operators */

static struct cedar_expr *
product(struct cedar_parser *p)
{
	struct cedar_expr *e = cedar_term(p);
	size_t at;

	while (e != NULL && p->err == AG_CEDAR_OK) {
		at = p->token.at;
		if (p->token.kind == '/' || p->token.kind == '%') {
			CEDAR_REFUSE(p, at, "`%c` is not in the language; there "
			    "are + - and *", p->token.kind);
			return NULL;
		}
		if (!cedar_accept(p, '*'))
			break;
		e = cedar_node(p, CEDAR_MUL, at, e, cedar_term(p), NULL);
	}
	return p->err == AG_CEDAR_OK ? e : NULL;
}

static struct cedar_expr *
sum(struct cedar_parser *p)
{
	struct cedar_expr *e = product(p);
	size_t at;

	while (e != NULL && p->err == AG_CEDAR_OK) {
		at = p->token.at;
		if (cedar_accept(p, '+'))
			e = cedar_node(p, CEDAR_ADD, at, e, product(p), NULL);
		else if (cedar_accept(p, '-'))
			e = cedar_node(p, CEDAR_SUB, at, e, product(p), NULL);
		else
			break;
	}
	return p->err == AG_CEDAR_OK ? e : NULL;
}

/* a has b.c is a has b && a.b has c. */
static struct cedar_expr *
has(struct cedar_parser *p, size_t at, struct cedar_expr *of)
{
	struct cedar_expr *all = NULL, *one;
	struct ag_cedar_str name;
	bool is_word = p->token.kind == CEDAR_T_IDENT, more = true;

	while (more) {
		if (!(is_word ? cedar_attribute_word(p, &name) :
		    cedar_attribute_name(p, &name)))
			return NULL;
		one = cedar_node(p, CEDAR_HAS, at, of, NULL, NULL);
		if (one == NULL)
			return NULL;
		one->name = name;
		all = all == NULL ? one :
		    cedar_node(p, CEDAR_AND, at, all, one, NULL);
		more = is_word && cedar_accept(p, '.');
		if (!more)
			break;
		of = cedar_node(p, CEDAR_GET, at, of, NULL, NULL);
		if (of == NULL)
			return NULL;
		of->name = name;
	}
	if (p->err == AG_CEDAR_OK && strchr(".[(+-*", p->token.kind < 256 &&
	    p->token.kind != 0 ? p->token.kind : '?') != NULL) {
		CEDAR_REFUSE(p, p->token.at, "behind `has` is one string, or "
		    "names with dots between them");
		return NULL;
	}
	if (p->token.kind == CEDAR_T_PATH) {
		(void)cedar_unexpected(p, "an operator (an attribute has no "
		    "namespace)");
		return NULL;
	}
	return p->err == AG_CEDAR_OK ? all : NULL;
}

static struct cedar_expr *
like(struct cedar_parser *p, size_t at, struct cedar_expr *of)
{
	struct cedar_pattern *pattern = ag_cedar_alloc(p->arena,
	    sizeof(*pattern));
	struct cedar_expr *e;
	bool *star;

	if (p->token.kind != CEDAR_T_STRING) {
		(void)cedar_unexpected(p, "a pattern in quotes");
		return NULL;
	}
	if (pattern == NULL) {
		p->err = cedar_no_memory(p->lexer.problem);
		return NULL;
	}
	p->err = cedar_unquote(p->arena, &p->lexer, &p->token, &pattern->text,
	    &star);
	cedar_next(p);
	if (p->err != AG_CEDAR_OK)
		return NULL;
	pattern->star = star;
	if ((e = cedar_node(p, CEDAR_LIKE, at, of, NULL, NULL)) != NULL)
		e->pattern = pattern;
	return e;
}

static struct cedar_expr *
type_is(struct cedar_parser *p, size_t at, struct cedar_expr *of)
{
	struct ag_cedar_str type;
	struct cedar_expr *in = NULL, *e;

	if (p->token.kind != CEDAR_T_IDENT) {
		(void)cedar_unexpected(p, "the name of an entity type (without "
		    "quotes)");
		return NULL;
	}
	if (!cedar_parse_path(p, &type))
		return NULL;
	if (p->token.kind == CEDAR_T_PATH) {
		CEDAR_REFUSE(p, p->token.at, "behind `is` is the name of a type, "
		    "not an entity; to compare, write `==`");
		return NULL;
	}
	if (cedar_at_word(p, "in")) {
		cedar_next(p);
		if ((in = sum(p)) == NULL)
			return NULL;
	}
	if ((e = cedar_node(p, CEDAR_TYPE_IS, at, of, in, NULL)) != NULL)
		e->name = type;
	return e;
}

static const struct {
	int kind; /* of the token, or IDENT and its word */
	const char *word;
	uint8_t op;
} relations[] = {
	{ '<', NULL, CEDAR_LT }, { CEDAR_T_LE, NULL, CEDAR_LE },
	{ '>', NULL, CEDAR_GT }, { CEDAR_T_GE, NULL, CEDAR_GE },
	{ CEDAR_T_EQ, NULL, CEDAR_EQ }, { CEDAR_T_NEQ, NULL, CEDAR_NEQ },
	{ CEDAR_T_IDENT, "in", CEDAR_IN }, { CEDAR_T_IDENT, "has", CEDAR_HAS },
	{ CEDAR_T_IDENT, "like", CEDAR_LIKE },
	{ CEDAR_T_IDENT, "is", CEDAR_TYPE_IS },
};

/* The row of the relation at the token, -1: none is there. */
static int
relation_at(const struct cedar_parser *p)
{
	for (size_t i = 0; i < CEDAR_COUNT(relations); i++)
		if (p->token.kind == relations[i].kind &&
		    (relations[i].word == NULL ||
		    cedar_at_word(p, relations[i].word)))
			return (int)i;
	return -1;
}

static struct cedar_expr *
relation(struct cedar_parser *p)
{
	struct cedar_expr *e = sum(p);
	int row = relation_at(p);
	size_t at = p->token.at;

	if (e == NULL)
		return NULL;
	if (p->token.kind == '=') {
		CEDAR_REFUSE(p, at, "`=` is no operator; write `==`");
		return NULL;
	}
	if (row < 0)
		return e;
	cedar_next(p);
	switch (relations[row].op) {
	case CEDAR_HAS:
		e = has(p, at, e);
		break;
	case CEDAR_LIKE:
		e = like(p, at, e);
		break;
	case CEDAR_TYPE_IS:
		e = type_is(p, at, e);
		break;
	default:
		e = cedar_node(p, relations[row].op, at, e, sum(p), NULL);
	}
	if (e != NULL && p->err == AG_CEDAR_OK && relation_at(p) >= 0) {
		CEDAR_REFUSE(p, p->token.at, "relations do not chain; put one in "
		    "brackets");
		return NULL;
	}
	return p->err == AG_CEDAR_OK ? e : NULL;
}

static struct cedar_expr *
conjunction(struct cedar_parser *p)
{
	struct cedar_expr *e = relation(p);

	for (size_t at = p->token.at; e != NULL &&
	    cedar_accept(p, CEDAR_T_AND); at = p->token.at)
		e = cedar_node(p, CEDAR_AND, at, e, relation(p), NULL);
	return p->err == AG_CEDAR_OK ? e : NULL;
}

struct cedar_expr *
cedar_expression(struct cedar_parser *p)
{
	struct cedar_expr *e, *then, *otherwise;
	size_t at = p->token.at;

	if (p->err != AG_CEDAR_OK)
		return NULL;
	if (cedar_at_word(p, "if")) {
		cedar_next(p);
		if (!cedar_enter(p))
			return NULL;
		e = cedar_expression(p);
		if (e == NULL || !cedar_at_word(p, "then")) {
			(void)cedar_unexpected(p, "`then`");
			return NULL;
		}
		cedar_next(p);
		then = cedar_expression(p);
		if (then == NULL || !cedar_at_word(p, "else")) {
			(void)cedar_unexpected(p, "`else`");
			return NULL;
		}
		cedar_next(p);
		otherwise = cedar_expression(p);
		cedar_leave(p);
		return cedar_node(p, CEDAR_IF, at, e, then, otherwise);
	}
	e = conjunction(p);
	for (at = p->token.at; e != NULL && cedar_accept(p, CEDAR_T_OR);
	    at = p->token.at)
		e = cedar_node(p, CEDAR_OR, at, e, conjunction(p), NULL);
	return p->err == AG_CEDAR_OK ? e : NULL;
}
