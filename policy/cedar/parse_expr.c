/* SPDX-License-Identifier: Apache-2.0 */
/* Expressions, by precedence; chains are loops, brackets are recursion. */
#include "ext.h"
#include "parse.h"

enum { UNARY_MAX = 4 }; /* ! or - in a row, as the language has it */

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

static bool
too_high(struct cedar_parser *p, const struct cedar_expr *e)
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
	return too_high(p, e) ? NULL : e;
}

static struct cedar_expr *
literal(struct cedar_parser *p, size_t at, struct ag_cedar_value value)
{
	struct cedar_expr *e = cedar_node(p, CEDAR_LIT, at, NULL, NULL, NULL);

	if (e != NULL)
		e->lit = value;
	return e;
}

/* --------------------------------------------------------------- literals */

/* A number with its sign, so that the least one can be written. */
static struct cedar_expr *
number(struct cedar_parser *p, size_t at, bool negative)
{
	const struct ag_cedar_str digits = p->token.text;
	uint64_t value = 0, max = (uint64_t)INT64_MAX + negative;

	for (size_t i = 0; i < digits.len; i++) {
		uint64_t digit = (uint64_t)(digits.p[i] - '0');

		if (value > (max - digit) / 10) {
			CEDAR_REFUSE(p, at, "the integer is too %s; it must be "
			    "within -9223372036854775808 and "
			    "9223372036854775807", negative ? "small" : "large");
			return NULL;
		}
		value = value * 10 + digit;
	}
	cedar_next(p);
	return literal(p, at, ag_cedar_long((int64_t)(negative ?
	    UINT64_C(0) - value : value)));
}

static struct cedar_expr *
string(struct cedar_parser *p)
{
	size_t at = p->token.at;
	struct ag_cedar_str s;

	p->err = cedar_unquote(p->arena, &p->lexer, &p->token, &s, NULL);
	cedar_next(p);
	return p->err != AG_CEDAR_OK ? NULL : literal(p, at, ag_cedar_string(s));
}

/* Expressions up to the closing bracket, a comma after the last allowed. */
static struct cedar_expr *
list(struct cedar_parser *p, enum cedar_op op, size_t at, int close,
    struct cedar_expr *first)
{
	struct cedar_expr **items = NULL, *e;
	uint32_t count = 0;
	uint16_t height = 0;

	while (p->err == AG_CEDAR_OK && (first != NULL ||
	    p->token.kind != close)) {
		struct cedar_expr *item = first != NULL ? first :
		    cedar_expression(p);
		bool was_first = first != NULL;

		first = NULL;
		if (item == NULL)
			return NULL;
		if (!cedar_grow(p->arena, &items, count, sizeof(*items))) {
			p->err = cedar_no_memory(p->lexer.problem);
			return NULL;
		}
		items[count++] = item;
		if (item->height >= height)
			height = (uint16_t)(item->height + 1);
		if (!was_first && !cedar_accept(p, ','))
			break;
	}
	(void)cedar_expect(p, close, close == ')' ? "`,` or `)`" : "`,` or `]`");
	if ((e = cedar_node(p, op, at, NULL, NULL, NULL)) == NULL)
		return NULL;
	e->items = items;
	e->count = count;
	e->height = height;
	return too_high(p, e) ? NULL : e;
}

/* ---------------------------------------------------------------- records */

/* A name without quotes may be no reserved word. */
static bool
attribute_word(struct cedar_parser *p, struct ag_cedar_str *out)
{
	*out = p->token.text;
	if (p->token.kind != CEDAR_T_IDENT)
		return cedar_unexpected(p, "the name of an attribute");
	if (cedar_is_reserved(*out)) {
		CEDAR_REFUSE(p, p->token.at, "`%.*s` is reserved; as an "
		    "attribute it is written [\"%.*s\"], or \"%.*s\" in a "
		    "record", (int)out->len, out->p, (int)out->len, out->p,
		    (int)out->len, out->p);
		return false;
	}
	cedar_next(p);
	return p->err == AG_CEDAR_OK;
}

static bool
attribute_name(struct cedar_parser *p, struct ag_cedar_str *out)
{
	if (p->token.kind == CEDAR_T_STRING) {
		p->err = cedar_unquote(p->arena, &p->lexer, &p->token, out, NULL);
		cedar_next(p);
		return p->err == AG_CEDAR_OK;
	}
	return attribute_word(p, out);
}

/* Puts the attribute where its name belongs; ascending, none twice. */
static bool
record_put(struct cedar_parser *p, struct cedar_expr *e, size_t at,
    struct ag_cedar_str name, struct cedar_expr *value)
{
	uint32_t low = 0, high = e->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		int order = cedar_str_order(e->names[middle], name);

		if (order == 0) {
			CEDAR_REFUSE(p, at, "the record has the attribute "
			    "`%.*s` twice", (int)(name.len > 60 ? 60 : name.len),
			    name.p);
			return false;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (!cedar_grow(p->arena, &e->items, e->count, sizeof(*e->items)) ||
	    !cedar_grow(p->arena, &e->names, e->count, sizeof(*e->names))) {
		p->err = cedar_no_memory(p->lexer.problem);
		return false;
	}
	memmove(e->items + low + 1, e->items + low,
	    (e->count - low) * sizeof(*e->items));
	memmove(e->names + low + 1, e->names + low,
	    (e->count - low) * sizeof(*e->names));
	e->items[low] = value;
	e->names[low] = name;
	e->count++;
	return true;
}

static struct cedar_expr *
record(struct cedar_parser *p, size_t at)
{
	struct cedar_expr *e = cedar_node(p, CEDAR_RECORD_OF, at, NULL, NULL,
	    NULL), *value;
	struct ag_cedar_str name;

	if (e == NULL)
		return NULL;
	e->items = NULL;
	e->names = NULL;
	e->count = 0;
	e->ext = NULL;
	while (p->err == AG_CEDAR_OK && p->token.kind != '}') {
		size_t name_at = p->token.at;

		if (!attribute_name(p, &name) ||
		    !cedar_expect(p, ':', "`:` and the attribute's value") ||
		    (value = cedar_expression(p)) == NULL ||
		    !record_put(p, e, name_at, name, value))
			return NULL;
		if (value->height >= e->height)
			e->height = (uint16_t)(value->height + 1);
		if (!cedar_accept(p, ','))
			break;
	}
	if (!cedar_expect(p, '}', "`,` or `}`") || too_high(p, e))
		return NULL;
	return e;
}

/* ------------------------------------------------------- names and calls */

static struct cedar_expr *
function_call(struct cedar_parser *p, size_t at, struct ag_cedar_str name)
{
	const struct cedar_ext *ext = cedar_ext_find(name);
	struct cedar_expr *e;

	if (ext == NULL) {
		CEDAR_REFUSE(p, at, "there is no function `%.*s`; there are "
		    "ip, decimal, datetime and duration", (int)name.len, name.p);
		return NULL;
	}
	if (ext->is_method) {
		CEDAR_REFUSE(p, at, "`%.*s` is a method; call it like "
		    "x.%.*s(…)", (int)name.len, name.p, (int)name.len, name.p);
		return NULL;
	}
	if (!cedar_enter(p))
		return NULL;
	e = list(p, CEDAR_CALL, at, ')', NULL);
	cedar_leave(p);
	if (e != NULL)
		e->ext = ext;
	return e;
}

/* A variable, an entity, or a call, all of which begin with a name. */
static struct cedar_expr *
named(struct cedar_parser *p)
{
	static const char *const variables[] = { "principal", "action",
		"resource", "context" };
	size_t at = p->token.at;
	struct ag_cedar_str name, id;
	struct ag_cedar_uid *uid;

	if (!cedar_parse_path(p, &name))
		return NULL;
	if (cedar_accept(p, CEDAR_T_PATH)) {
		uid = ag_cedar_alloc(p->arena, sizeof(*uid));
		if (p->token.kind != CEDAR_T_STRING) {
			(void)cedar_unexpected(p, "the entity's id in quotes");
			return NULL;
		}
		p->err = uid == NULL ? cedar_no_memory(p->lexer.problem) :
		    cedar_unquote(p->arena, &p->lexer, &p->token, &id, NULL);
		cedar_next(p);
		if (p->err != AG_CEDAR_OK)
			return NULL;
		*uid = ag_cedar_uid(name, id);
		return literal(p, at, ag_cedar_entity(uid));
	}
	for (int i = 0; i < 4; i++)
		if (cedar_is(name, variables[i])) {
			if (p->token.kind == '(')
				CEDAR_REFUSE(p, at, "`%.*s` is a variable and "
				    "cannot be called", (int)name.len, name.p);
			return cedar_node(p, CEDAR_PRINCIPAL + (unsigned)i, at,
			    NULL, NULL, NULL);
		}
	if (cedar_accept(p, '('))
		return function_call(p, at, name);
	CEDAR_REFUSE(p, at, "`%.*s` is no variable; there are principal, action, "
	    "resource and context. A string is written \"%.*s\", an entity "
	    "%.*s::\"id\"", (int)name.len, name.p, (int)name.len, name.p,
	    (int)name.len, name.p);
	return NULL;
}

static struct cedar_expr *
primary(struct cedar_parser *p)
{
	size_t at = p->token.at;
	struct cedar_expr *e = NULL;

	if (p->err != AG_CEDAR_OK)
		return NULL;
	if (p->token.kind == CEDAR_T_NUMBER)
		return number(p, at, false);
	if (p->token.kind == CEDAR_T_STRING)
		return string(p);
	if (p->token.kind == CEDAR_T_SLOT) {
		CEDAR_REFUSE(p, at, "the slot %.*s may only be in the scope",
		    (int)p->token.text.len, p->token.text.p);
		return NULL;
	}
	if (cedar_at_word(p, "true") || cedar_at_word(p, "false")) {
		bool is_true = cedar_at_word(p, "true");

		cedar_next(p);
		return literal(p, at, ag_cedar_bool(is_true));
	}
	if (p->token.kind == CEDAR_T_IDENT)
		return named(p);
	if (p->token.kind != '(' && p->token.kind != '[' &&
	    p->token.kind != '{') {
		(void)cedar_unexpected(p, "an expression");
		return NULL;
	}
	if (!cedar_enter(p))
		return NULL;
	if (cedar_accept(p, '(')) {
		e = cedar_expression(p);
		(void)cedar_expect(p, ')', "an operator or `)`");
	} else if (cedar_accept(p, '[')) {
		e = list(p, CEDAR_SET_OF, at, ']', NULL);
	} else if (cedar_accept(p, '{')) {
		e = record(p, at);
	}
	cedar_leave(p);
	return p->err == AG_CEDAR_OK ? e : NULL;
}

/* ---------------------------------------------------------------- members */

static const struct {
	const char *name;
	uint8_t op, args;
} methods[] = {
	{ "contains", CEDAR_CONTAINS, 1 },
	{ "containsAll", CEDAR_CONTAINS_ALL, 1 },
	{ "containsAny", CEDAR_CONTAINS_ANY, 1 },
	{ "isEmpty", CEDAR_IS_EMPTY, 0 },
	{ "getTag", CEDAR_GET_TAG, 1 },
	{ "hasTag", CEDAR_HAS_TAG, 1 },
};

static struct cedar_expr *
method_call(struct cedar_parser *p, struct cedar_expr *of, size_t at,
    struct ag_cedar_str name)
{
	const struct cedar_ext *ext;
	struct cedar_expr *e = list(p, CEDAR_CALL, at, ')', of);

	if (e == NULL)
		return NULL;
	for (size_t i = 0; i < CEDAR_COUNT(methods); i++) {
		if (!cedar_is(name, methods[i].name))
			continue;
		if (e->count != methods[i].args + 1u) {
			CEDAR_REFUSE(p, at, "`%s` takes %u argument%s, not %u",
			    methods[i].name, methods[i].args,
			    methods[i].args == 1 ? "" : "s", e->count - 1);
			return NULL;
		}
		return cedar_node(p, methods[i].op, at, of,
		    e->count == 2 ? e->items[1] : NULL, NULL);
	}
	ext = cedar_ext_find(name);
	if (ext == NULL)
		CEDAR_REFUSE(p, at, "there is no method `%.*s`", (int)name.len,
		    name.p);
	else if (!ext->is_method)
		CEDAR_REFUSE(p, at, "`%.*s` is a function; call it like %.*s(…)",
		    (int)name.len, name.p, (int)name.len, name.p);
	e->ext = ext;
	return p->err == AG_CEDAR_OK ? e : NULL;
}

static struct cedar_expr *
dot(struct cedar_parser *p, struct cedar_expr *of)
{
	size_t at = p->token.at;
	struct ag_cedar_str name;
	struct cedar_expr *e;

	if (!attribute_word(p, &name))
		return NULL;
	if (cedar_accept(p, '(')) {
		e = cedar_enter(p) ? method_call(p, of, at, name) : NULL;
		cedar_leave(p);
		return e;
	}
	if ((e = cedar_node(p, CEDAR_GET, at, of, NULL, NULL)) != NULL)
		e->name = name;
	return e;
}

static struct cedar_expr *
subscript(struct cedar_parser *p, struct cedar_expr *of)
{
	size_t at = p->token.at;
	struct ag_cedar_str name;
	struct cedar_expr *e;

	if (p->token.kind != CEDAR_T_STRING) {
		(void)cedar_unexpected(p, "the attribute's name in quotes");
		return NULL;
	}
	if (!attribute_name(p, &name) || !cedar_expect(p, ']', "`]`"))
		return NULL;
	if ((e = cedar_node(p, CEDAR_GET, at, of, NULL, NULL)) != NULL)
		e->name = name;
	return e;
}

static struct cedar_expr *
member(struct cedar_parser *p, struct cedar_expr *e)
{
	while (e != NULL && p->err == AG_CEDAR_OK) {
		if (p->token.kind == '(') {
			CEDAR_REFUSE(p, p->token.at, "only functions and methods "
			    "are called: f(x) or x.f(y)");
			return NULL;
		}
		if (cedar_accept(p, '.'))
			e = dot(p, e);
		else if (cedar_accept(p, '['))
			e = subscript(p, e);
		else
			break;
	}
	return p->err == AG_CEDAR_OK ? e : NULL;
}

/* A number without an attribute behind it. */
static bool
is_bare_number(const struct cedar_parser *p)
{
	struct cedar_lexer ahead = p->lexer;
	int kind;

	ahead.problem = NULL;
	if (p->token.kind != CEDAR_T_NUMBER)
		return false;
	kind = cedar_lex(&ahead).kind;
	return kind != '.' && kind != '[' && kind != '(';
}

/* ! and - do not mix; a minus right before a number belongs to it. */
static struct cedar_expr *
unary(struct cedar_parser *p)
{
	size_t at[UNARY_MAX];
	int sign = p->token.kind, count = 0;
	struct cedar_expr *e;

	if (sign != '!' && sign != '-')
		return member(p, primary(p));
	while (p->err == AG_CEDAR_OK && p->token.kind == sign) {
		if (count == UNARY_MAX) {
			CEDAR_REFUSE(p, p->token.at, "at most %d `%c` in a row "
			    "are allowed", UNARY_MAX, sign);
			return NULL;
		}
		at[count++] = p->token.at;
		cedar_next(p);
	}
	if (p->err != AG_CEDAR_OK)
		return NULL;
	if (p->token.kind == '!' || p->token.kind == '-') {
		(void)cedar_unexpected(p, "an expression (put it in brackets)");
		return NULL;
	}
	if (sign == '-' && is_bare_number(p))
		e = number(p, at[--count], true);
	else
		e = member(p, primary(p));
	while (e != NULL && count > 0)
		e = cedar_node(p, sign == '!' ? CEDAR_NOT : CEDAR_NEG,
		    at[--count], e, NULL, NULL);
	return e;
}

/* -------------------------------------------------------------- operators */

static struct cedar_expr *
product(struct cedar_parser *p)
{
	struct cedar_expr *e = unary(p);
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
		e = cedar_node(p, CEDAR_MUL, at, e, unary(p), NULL);
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
		if (!(is_word ? attribute_word : attribute_name)(p, &name))
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
