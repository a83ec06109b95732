/* SPDX-License-Identifier: Apache-2.0 */
/* Terms: literals, names, calls, sets, records, and what is read of them. */
#include "ext.h"
#include "parse.h"

enum { UNARY_MAX = 4 }; /* ! or - in a row, as the language has it */

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
	return cedar_too_high(p, e) ? NULL : e;
}

/* ---------------------------------------------------------------- records */

/* A name without quotes may be no reserved word. */
bool
cedar_attribute_word(struct cedar_parser *p, struct ag_cedar_str *out)
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

bool
cedar_attribute_name(struct cedar_parser *p, struct ag_cedar_str *out)
{
	if (p->token.kind == CEDAR_T_STRING) {
		p->err = cedar_unquote(p->arena, &p->lexer, &p->token, out, NULL);
		cedar_next(p);
		return p->err == AG_CEDAR_OK;
	}
	return cedar_attribute_word(p, out);
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

		if (!cedar_attribute_name(p, &name) ||
		    !cedar_expect(p, ':', "`:` and the attribute's value") ||
		    (value = cedar_expression(p)) == NULL ||
		    !record_put(p, e, name_at, name, value))
			return NULL;
		if (value->height >= e->height)
			e->height = (uint16_t)(value->height + 1);
		if (!cedar_accept(p, ','))
			break;
	}
	if (!cedar_expect(p, '}', "`,` or `}`") || cedar_too_high(p, e))
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

	if (!cedar_attribute_word(p, &name))
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
	if (!cedar_attribute_name(p, &name) || !cedar_expect(p, ']', "`]`"))
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
struct cedar_expr *
cedar_term(struct cedar_parser *p)
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
