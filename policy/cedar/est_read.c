/* SPDX-License-Identifier: Apache-2.0 */
/* Expressions of Cedar's JSON policy format: the same rules as for the text. */
#include "est.h"
#include "ext.h"
#include "parse.h"

static struct cedar_expr *
make(struct cedar_est *r, enum cedar_op op, struct cedar_expr *a,
    struct cedar_expr *b, struct cedar_expr *c)
{
	struct cedar_expr *e;

	if (r->err != AG_CEDAR_OK)
		return NULL;
	if ((e = cedar_make(r->j.arena, op, a, b, c)) == NULL)
		r->err = cedar_no_memory(r->j.problem);
	else if (e->height >= AG_CEDAR_HEIGHT_MAX)
		r->err = cedar_json_problem(&r->j, AG_CEDAR_LIMIT, "the expression "
		    "has more than %d levels; split the policy",
		    AG_CEDAR_HEIGHT_MAX);
	return r->err == AG_CEDAR_OK ? e : NULL;
}

/* The member's cedar_est_expression, with its place. */
struct cedar_expr *
cedar_est_child(struct cedar_est *r, const json_t *of, const char *name)
{
	size_t len = cedar_json_enter(&r->j, name);
	const json_t *from = json_object_get(of, name);
	struct cedar_expr *e;

	if (from == NULL)
		CEDAR_EST_REFUSE(r, "this is missing");
	e = r->err == AG_CEDAR_OK ? cedar_est_expression(r, from) : NULL;
	if (r->err == AG_CEDAR_OK)
		cedar_json_leave(&r->j, len);
	return e;
}

bool
cedar_est_text(struct cedar_est *r, const json_t *of, const char *name,
    struct ag_cedar_str *out)
{
	if (r->err == AG_CEDAR_OK && !json_is_string(json_object_get(of, name)))
		CEDAR_EST_REFUSE(r, "the member \"%s\" must be a string", name);
	if (r->err == AG_CEDAR_OK)
		r->err = cedar_json_string(&r->j, json_object_get(of, name), out);
	return r->err == AG_CEDAR_OK;
}

bool
cedar_est_type_name(struct cedar_est *r, const json_t *of, struct ag_cedar_str *out)
{
	if (!cedar_est_text(r, of, "entity_type", out))
		return false;
	if (!cedar_is_type_name(*out))
		CEDAR_EST_REFUSE(r, "`%.*s` is no entity type",
		    (int)(out->len > 60 ? 60 : out->len), out->p);
	return r->err == AG_CEDAR_OK;
}

/* ---------------------------------------------------------------- sequences */

static struct cedar_expr *
list(struct cedar_est *r, enum cedar_op op, size_t count)
{
	struct cedar_expr *e = make(r, op, NULL, NULL, NULL);

	if (e == NULL)
		return NULL;
	e->items = ag_cedar_alloc(r->j.arena, count * sizeof(*e->items));
	e->names = ag_cedar_alloc(r->j.arena, count * sizeof(*e->names));
	e->ext = NULL;
	e->count = 0;
	if (e->items == NULL || e->names == NULL)
		r->err = cedar_no_memory(r->j.problem);
	return r->err == AG_CEDAR_OK ? e : NULL;
}

static void
list_put(struct cedar_est *r, struct cedar_expr *e, struct cedar_expr *item)
{
	if (item == NULL)
		return;
	e->items[e->count++] = item;
	if (item->height >= e->height)
		e->height = (uint16_t)(item->height + 1);
	if (e->height >= AG_CEDAR_HEIGHT_MAX)
		r->err = cedar_json_problem(&r->j, AG_CEDAR_LIMIT, "the expression "
		    "has more than %d levels; split the policy",
		    AG_CEDAR_HEIGHT_MAX);
}

static struct cedar_expr *
sequence(struct cedar_est *r, enum cedar_op op, const json_t *from,
    struct cedar_expr *(*read)(struct cedar_est *r, const json_t *from))
{
	struct cedar_expr *e = list(r, op, json_array_size(from));

	if (e != NULL && !json_is_array(from))
		CEDAR_EST_REFUSE(r, "an array is needed here");
	for (size_t i = 0; r->err == AG_CEDAR_OK && i < json_array_size(from);
	    i++) {
		size_t len = cedar_json_enter_at(&r->j, i);

		list_put(r, e, read(r, json_array_get(from, i)));
		if (r->err == AG_CEDAR_OK)
			cedar_json_leave(&r->j, len);
	}
	return r->err == AG_CEDAR_OK ? e : NULL;
}

/* Moves the last attribute to where its name belongs. */
static void
sink(struct cedar_expr *e)
{
	for (uint32_t i = e->count - 1; i > 0 &&
	    cedar_str_order(e->names[i], e->names[i - 1]) < 0; i--) {
		struct ag_cedar_str name = e->names[i];
		struct cedar_expr *item = e->items[i];

		e->names[i] = e->names[i - 1];
		e->items[i] = e->items[i - 1];
		e->names[i - 1] = name;
		e->items[i - 1] = item;
	}
}

static struct cedar_expr *
record(struct cedar_est *r, const json_t *from,
    struct cedar_expr *(*read)(struct cedar_est *r, const json_t *from))
{
	struct cedar_expr *e = list(r, CEDAR_RECORD_OF, json_object_size(from));
	const char *key;
	json_t *member;

	if (e != NULL && !json_is_object(from))
		CEDAR_EST_REFUSE(r, "an object is needed here");
	json_object_foreach((json_t *)(uintptr_t)from, key, member) {
		size_t len;

		if (r->err != AG_CEDAR_OK)
			break;
		len = cedar_json_enter(&r->j, key);
		e->names[e->count] = cedar_json_name(&r->j, key);
		if (e->names[e->count].p == NULL)
			r->err = cedar_no_memory(r->j.problem);
		list_put(r, e, r->err == AG_CEDAR_OK ? read(r, member) : NULL);
		if (r->err == AG_CEDAR_OK) {
			cedar_json_leave(&r->j, len);
			sink(e);
		}
	}
	return r->err == AG_CEDAR_OK ? e : NULL;
}

/* ------------------------------------------------------------------- leaves */

static struct cedar_expr *literal(struct cedar_est *r, const json_t *from);

/* {"fn","arg"} within a value: the call of a constructor. */
static struct cedar_expr *
value_call(struct cedar_est *r, const json_t *from)
{
	struct cedar_expr *e = list(r, CEDAR_CALL, 1);
	struct ag_cedar_str name;

	if (e == NULL || !cedar_est_text(r, from, "fn", &name))
		return NULL;
	e->ext = cedar_ext_find(name);
	if (e->ext == NULL || !e->ext->is_constructor)
		CEDAR_EST_REFUSE(r, "there is no function `%.*s`", (int)name.len, name.p);
	if (json_object_get(from, "arg") == NULL)
		CEDAR_EST_REFUSE(r, "the member \"arg\" is missing");
	if (r->err == AG_CEDAR_OK)
		list_put(r, e, literal(r, json_object_get(from, "arg")));
	return r->err == AG_CEDAR_OK ? e : NULL;
}

/* A constant: sets, records and extensions become what the text would. */
static struct cedar_expr *
literal_inside(struct cedar_est *r, const json_t *from)
{
	bool is_one = json_object_size(from) == 1;
	struct cedar_expr *e;

	if (is_one && json_object_get(from, "__extn") != NULL)
		return value_call(r, json_object_get(from, "__extn"));
	if (json_is_array(from))
		return sequence(r, CEDAR_SET_OF, from, literal);
	if (json_is_object(from) && !(is_one &&
	    json_object_get(from, "__entity") != NULL))
		return record(r, from, literal);
	if ((e = make(r, CEDAR_LIT, NULL, NULL, NULL)) == NULL)
		return NULL;
	r->err = cedar_json_value(&r->j, from, NULL, &e->lit);
	return r->err == AG_CEDAR_OK ? e : NULL;
}

static struct cedar_expr *
literal(struct cedar_est *r, const json_t *from)
{
	struct cedar_expr *e = NULL;

	if (++r->depth > AG_CEDAR_HEIGHT_MAX)
		CEDAR_EST_REFUSE(r, "this nests too deep");
	else
		e = literal_inside(r, from);
	r->depth--;
	return e;
}

static struct cedar_expr *
variable(struct cedar_est *r, const json_t *from)
{
	for (unsigned i = 0; json_is_string(from) && i < 4; i++)
		if (strcmp(json_string_value(from), cedar_est_vars[i]) == 0)
			return make(r, CEDAR_PRINCIPAL + i, NULL, NULL, NULL);
	CEDAR_EST_REFUSE(r, "Var is one of principal, action, resource, context");
	return NULL;
}

/* Of "Wildcard" and {"Literal": "…"}. */
static struct cedar_expr *
like(struct cedar_est *r, const json_t *from)
{
	const json_t *parts = json_object_get(from, "pattern");
	struct cedar_expr *e = make(r, CEDAR_LIKE, cedar_est_child(r, from, "left"), NULL,
	    NULL);
	struct cedar_pattern *p = ag_cedar_alloc(r->j.arena, sizeof(*p));
	size_t size = 1, len = 0;
	bool *star;
	char *out;

	for (size_t i = 0; i < json_array_size(parts); i++)
		size += 1 + json_string_length(json_object_get(
		    json_array_get(parts, i), "Literal"));
	out = ag_cedar_alloc(r->j.arena, size);
	star = ag_cedar_alloc(r->j.arena, size);
	if (e == NULL || p == NULL || out == NULL || star == NULL) {
		if (r->err == AG_CEDAR_OK)
			r->err = cedar_no_memory(r->j.problem);
		return NULL;
	}
	if (!json_is_array(parts))
		CEDAR_EST_REFUSE(r, "the member \"pattern\" must be an array");
	for (size_t i = 0; i < json_array_size(parts) && r->err == AG_CEDAR_OK;
	    i++) {
		const json_t *part = json_array_get(parts, i);
		struct ag_cedar_str s;

		if (json_is_string(part) &&
		    strcmp(json_string_value(part), "Wildcard") == 0) {
			star[len] = true;
			out[len++] = '*';
		} else if (cedar_est_text(r, part, "Literal", &s)) {
			memcpy(out + len, s.p, s.len);
			len += s.len;
		}
	}
	*p = (struct cedar_pattern){ { out, len }, star };
	e->pattern = p;
	return r->err == AG_CEDAR_OK ? e : NULL;
}

static struct cedar_expr *
type_is(struct cedar_est *r, const json_t *from)
{
	struct cedar_expr *a = cedar_est_child(r, from, "left"), *in = NULL, *e;
	struct ag_cedar_str name;

	if (a == NULL || !cedar_est_type_name(r, from, &name))
		return NULL;
	if (json_object_get(from, "in") != NULL)
		in = cedar_est_child(r, from, "in");
	if ((e = make(r, CEDAR_TYPE_IS, a, in, NULL)) != NULL)
		e->name = name;
	return e;
}

static struct cedar_expr *
branch(struct cedar_est *r, const json_t *from)
{
	struct cedar_expr *a = cedar_est_child(r, from, "if");
	struct cedar_expr *b = cedar_est_child(r, from, "then");

	return make(r, CEDAR_IF, a, b, cedar_est_child(r, from, "else"));
}

static struct cedar_expr *
row(struct cedar_est *r, const struct cedar_est_row *row, const json_t *from)
{
	struct cedar_expr *a = cedar_est_child(r, from,
	    row->form == CEDAR_EST_ARG ? "arg" : "left"), *b = NULL, *e;
	struct ag_cedar_str attr = { NULL, 0 };

	if (row->form == CEDAR_EST_BOTH)
		b = cedar_est_child(r, from, "right");
	if (row->form == CEDAR_EST_ATTR && !cedar_est_text(r, from, "attr", &attr))
		return NULL;
	e = make(r, row->op, a, b, NULL);
	if (e != NULL && row->form == CEDAR_EST_ATTR)
		e->name = attr;
	return e;
}

/* ------------------------------------------------------------- expressions */

static struct cedar_expr *
all(struct cedar_est *r, const json_t *from)
{
	return record(r, from, cedar_est_expression);
}

static struct cedar_expr *
set(struct cedar_est *r, const json_t *from)
{
	return sequence(r, CEDAR_SET_OF, from, cedar_est_expression);
}

static const struct {
	const char *name;
	struct cedar_expr *(*read)(struct cedar_est *r, const json_t *from);
} forms[] = {
	{ "Value", literal }, { "Var", variable }, { "like", like },
	{ "is", type_is }, { "if-then-else", branch }, { "Set", set },
	{ "Record", all },
};

static struct cedar_expr *
named(struct cedar_est *r, const char *name, const json_t *from)
{
	const struct cedar_ext *ext = cedar_ext_find(cedar_str(name));
	struct cedar_expr *e;

	for (size_t i = 0; i < CEDAR_COUNT(forms); i++)
		if (strcmp(name, forms[i].name) == 0)
			return forms[i].read(r, from);
	for (size_t i = 0; i < cedar_est_row_count; i++)
		if (strcmp(name, cedar_est_rows[i].name) == 0)
			return row(r, &cedar_est_rows[i], from);
	if (ext == NULL) {
		CEDAR_EST_REFUSE(r, "there is no operator or function `%.60s`", name);
		return NULL;
	}
	if (ext->is_method && json_array_size(from) == 0)
		CEDAR_EST_REFUSE(r, "the method `%s` needs what it is called on", name);
	e = sequence(r, CEDAR_CALL, from, cedar_est_expression);
	if (e != NULL)
		e->ext = ext;
	return e;
}

struct cedar_expr *
cedar_est_expression(struct cedar_est *r, const json_t *from)
{
	void *only = json_object_iter((json_t *)(uintptr_t)from);
	struct cedar_expr *e = NULL;
	size_t len;

	if (r->err != AG_CEDAR_OK)
		return NULL;
	if (++r->depth > AG_CEDAR_HEIGHT_MAX || json_object_size(from) != 1) {
		CEDAR_EST_REFUSE(r, r->depth > AG_CEDAR_HEIGHT_MAX ? "this nests too deep" :
		    "an expression is an object of one member");
		return NULL;
	}
	len = cedar_json_enter(&r->j, json_object_iter_key(only));
	e = named(r, json_object_iter_key(only), json_object_iter_value(only));
	if (r->err == AG_CEDAR_OK)
		cedar_json_leave(&r->j, len);
	r->depth--;
	return r->err == AG_CEDAR_OK ? e : NULL;
}
