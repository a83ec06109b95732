/* SPDX-License-Identifier: Apache-2.0 */
/* Policies and values to JSON, as the reference writes them. */
#include "est.h"
#include "ext.h"
#include "json.h"
#include "set.h"

#include <inttypes.h>
#include <stdio.h>

const struct cedar_est_row cedar_est_rows[] = {
	{ "!", CEDAR_NOT, CEDAR_EST_ARG }, { "neg", CEDAR_NEG, CEDAR_EST_ARG },
	{ "isEmpty", CEDAR_IS_EMPTY, CEDAR_EST_ARG },
	{ "&&", CEDAR_AND, CEDAR_EST_BOTH }, { "||", CEDAR_OR, CEDAR_EST_BOTH },
	{ "==", CEDAR_EQ, CEDAR_EST_BOTH }, { "!=", CEDAR_NEQ, CEDAR_EST_BOTH },
	{ "<", CEDAR_LT, CEDAR_EST_BOTH }, { "<=", CEDAR_LE, CEDAR_EST_BOTH },
	{ ">", CEDAR_GT, CEDAR_EST_BOTH }, { ">=", CEDAR_GE, CEDAR_EST_BOTH },
	{ "in", CEDAR_IN, CEDAR_EST_BOTH }, { "+", CEDAR_ADD, CEDAR_EST_BOTH },
	{ "-", CEDAR_SUB, CEDAR_EST_BOTH }, { "*", CEDAR_MUL, CEDAR_EST_BOTH },
	{ "contains", CEDAR_CONTAINS, CEDAR_EST_BOTH },
	{ "containsAll", CEDAR_CONTAINS_ALL, CEDAR_EST_BOTH },
	{ "containsAny", CEDAR_CONTAINS_ANY, CEDAR_EST_BOTH },
	{ "getTag", CEDAR_GET_TAG, CEDAR_EST_BOTH },
	{ "hasTag", CEDAR_HAS_TAG, CEDAR_EST_BOTH },
	{ ".", CEDAR_GET, CEDAR_EST_ATTR }, { "has", CEDAR_HAS, CEDAR_EST_ATTR },
};
const size_t cedar_est_row_count = CEDAR_COUNT(cedar_est_rows);
const char *const cedar_est_vars[4] = { "principal", "action", "resource",
	"context" };

/* jansson's functions take NULL for what failed before: NULL comes out. */
static json_t *
string(struct ag_cedar_str s)
{
	return json_stringn(s.len == 0 ? "" : s.p, s.len);
}

static json_t *
uid(const struct ag_cedar_uid *u)
{
	return json_pack("{s:o,s:o}", "type", string(u->type), "id",
	    string(u->id));
}

static int
member(json_t *object, struct ag_cedar_str name, json_t *value)
{
	return json_object_setn_new_nocheck(object, name.len == 0 ? "" : name.p,
	    name.len, value);
}

/* ------------------------------------------------------------------ values */

static json_t *
extension(const struct ag_cedar_value *v)
{
	const struct cedar_ext *ext = cedar_ext_constructor(v->kind);
	char text[64];

	if (v->kind == AG_CEDAR_IPADDR)
		return json_pack("{s:{s:s,s:o}}", "__extn", "fn", ext->name,
		    "arg", string(v->ip->text));
	if (v->kind == AG_CEDAR_DECIMAL) {
		uint64_t n = v->number < 0 ? UINT64_C(0) - (uint64_t)v->number :
		    (uint64_t)v->number;

		(void)snprintf(text, sizeof(text), "%s%" PRIu64 ".%04" PRIu64,
		    v->number < 0 ? "-" : "", n / 10000, n % 10000);
	} else {
		(void)snprintf(text, sizeof(text), "%" PRId64 "ms", v->number);
	}
	if (v->kind == AG_CEDAR_DATETIME)
		return json_pack("{s:{s:s,s:[{s:{s:s,s:s}},{s:{s:s,s:s}}]}}",
		    "__extn", "fn", "offset", "args", "__extn", "fn", "datetime",
		    "arg", "1970-01-01", "__extn", "fn", "duration", "arg", text);
	return json_pack("{s:{s:s,s:s}}", "__extn", "fn", ext->name, "arg", text);
}

/* Recursion is bounded by the value's depth. */
static json_t *
value(const struct ag_cedar_value *v)
{
	json_t *out;

	switch (v->kind) {
	case AG_CEDAR_BOOL:
		return json_boolean(v->boolean);
	case AG_CEDAR_LONG:
		return json_integer(v->number);
	case AG_CEDAR_STRING:
		return string(v->string);
	case AG_CEDAR_ENTITY:
		return json_pack("{s:o}", "__entity", uid(v->entity));
	case AG_CEDAR_SET:
		out = json_array();
		for (size_t i = 0; i < v->set->count; i++)
			(void)json_array_append_new(out, value(&v->set->items[i]));
		return out;
	case AG_CEDAR_RECORD:
		out = json_object();
		for (size_t i = 0; i < v->record->count; i++)
			(void)member(out, v->record->fields[i].name,
			    value(&v->record->fields[i].value));
		return out;
	case AG_CEDAR_DECIMAL:
	case AG_CEDAR_IPADDR:
	case AG_CEDAR_DATETIME:
	case AG_CEDAR_DURATION:
		return extension(v);
	}
	return NULL;
}

char *
ag_cedar_value_json(const struct ag_cedar_value *v)
{
	json_t *json = value(v);
	char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);

	json_decref(json);
	return text;
}

/* ------------------------------------------------------------- expressions */

static json_t *expression(const struct cedar_expr *e);

/* One member a character, stars between them. */
static json_t *
pattern(const struct cedar_pattern *p)
{
	json_t *out = json_array();
	size_t len;

	for (size_t i = 0; i < p->text.len; i += len) {
		len = 1;
		if (p->star[i]) {
			(void)json_array_append_new(out, json_string("Wildcard"));
			continue;
		}
		while (i + len < p->text.len && (p->text.p[i + len] & 0xc0) == 0x80)
			len++;
		(void)json_array_append_new(out, json_pack("{s:o}", "Literal",
		    json_stringn(p->text.p + i, len)));
	}
	return out;
}

static json_t *
list(const struct cedar_expr *e)
{
	json_t *items = e->op == CEDAR_RECORD_OF ? json_object() : json_array();

	for (uint32_t i = 0; i < e->count; i++)
		if (e->op == CEDAR_RECORD_OF)
			(void)member(items, e->names[i], expression(e->items[i]));
		else
			(void)json_array_append_new(items,
			    expression(e->items[i]));
	return json_pack("{s:o}", e->op == CEDAR_RECORD_OF ? "Record" :
	    e->op == CEDAR_SET_OF ? "Set" : e->ext->name, items);
}

static json_t *
row(const struct cedar_expr *e)
{
	for (size_t i = 0; i < cedar_est_row_count; i++) {
		const struct cedar_est_row *r = &cedar_est_rows[i];

		if (r->op != e->op)
			continue;
		if (r->form == CEDAR_EST_ARG)
			return json_pack("{s:{s:o}}", r->name, "arg",
			    expression(e->a));
		if (r->form == CEDAR_EST_ATTR)
			return json_pack("{s:{s:o,s:o}}", r->name, "left",
			    expression(e->a), "attr", string(e->name));
		return json_pack("{s:{s:o,s:o}}", r->name, "left",
		    expression(e->a), "right", expression(e->b));
	}
	return NULL;
}

static json_t *
type_is(const struct cedar_expr *e)
{
	json_t *is = json_pack("{s:o,s:o}", "left", expression(e->a),
	    "entity_type", string(e->name));

	if (e->b != NULL)
		(void)json_object_set_new(is, "in", expression(e->b));
	return json_pack("{s:o}", "is", is);
}

/* Recursion is bounded by the expression's height. */
static json_t *
expression(const struct cedar_expr *e)
{
	if (e->is_folded)
		e = e->was;
	switch ((enum cedar_op)e->op) {
	case CEDAR_LIT:
		return json_pack("{s:o}", "Value", value(&e->lit));
	case CEDAR_PRINCIPAL:
	case CEDAR_ACTION:
	case CEDAR_RESOURCE:
	case CEDAR_CONTEXT:
		return json_pack("{s:s}", "Var",
		    cedar_est_vars[e->op - CEDAR_PRINCIPAL]);
	case CEDAR_IF:
		return json_pack("{s:{s:o,s:o,s:o}}", "if-then-else", "if",
		    expression(e->a), "then", expression(e->b), "else",
		    expression(e->c));
	case CEDAR_LIKE:
		return json_pack("{s:{s:o,s:o}}", "like", "left",
		    expression(e->a), "pattern", pattern(e->pattern));
	case CEDAR_TYPE_IS:
		return type_is(e);
	case CEDAR_SET_OF:
	case CEDAR_RECORD_OF:
	case CEDAR_CALL:
		return list(e);
	default:
		return row(e);
	}
}

/* ---------------------------------------------------------------- policies */

static json_t *
scope_entity(const struct cedar_scope *s, int dim)
{
	if (s->has_slot)
		return json_pack("{s:s}", "slot", dim == CEDAR_P ? "?principal" :
		    "?resource");
	return json_pack("{s:o}", "entity", uid(s->uids));
}

static json_t *
scope(const struct cedar_scope *s, int dim)
{
	static const char *const ops[] = { "All", "==", "in", "is", "is" };
	json_t *out = json_pack("{s:s}", "op", ops[s->kind]), *entities;

	if (s->kind == CEDAR_SCOPE_IS || s->kind == CEDAR_SCOPE_IS_IN)
		(void)json_object_set_new(out, "entity_type", string(s->type));
	if (s->kind == CEDAR_SCOPE_IS_IN)
		(void)json_object_set_new(out, "in", scope_entity(s, dim));
	if (s->kind != CEDAR_SCOPE_EQ && s->kind != CEDAR_SCOPE_IN)
		return out;
	if (dim != CEDAR_A || s->uid_count == 1) {
		entities = scope_entity(s, dim);
		(void)json_object_update(out, entities);
		json_decref(entities);
		return out;
	}
	entities = json_array();
	for (uint32_t i = 0; i < s->uid_count; i++)
		(void)json_array_append_new(entities, uid(&s->uids[i]));
	(void)json_object_set_new(out, "entities", entities);
	return out;
}

static json_t *
policy(const struct cedar_body *b)
{
	json_t *conditions = json_array(), *annotations = json_object(), *out;

	for (const struct cedar_condition *c = b->conditions; c != NULL;
	    c = c->next)
		(void)json_array_append_new(conditions, json_pack("{s:s,s:o}",
		    "kind", c->is_unless ? "unless" : "when", "body",
		    expression(c->expr)));
	for (uint32_t i = 0; i < b->annotation_count; i++)
		(void)member(annotations, b->annotations[i].name,
		    b->annotations[i].has_value ?
		    string(b->annotations[i].value) : json_null());
	out = json_pack("{s:s,s:o,s:o,s:o,s:o}", "effect",
	    b->forbid ? "forbid" : "permit",
	    "principal", scope(&b->scope[CEDAR_P], CEDAR_P),
	    "action", scope(&b->scope[CEDAR_A], CEDAR_A),
	    "resource", scope(&b->scope[CEDAR_R], CEDAR_R),
	    "conditions", conditions);
	if (b->annotation_count != 0)
		(void)json_object_set(out, "annotations", annotations);
	json_decref(annotations);
	return out;
}

enum ag_cedar_err
ag_cedar_policy_json(const struct ag_cedar_set *set, size_t n, char **out)
{
	const struct cedar_body *b = set->bodies;
	json_t *json;

	*out = NULL;
	for (; b != NULL && n > 0; n--)
		b = b->next;
	if (b == NULL)
		return AG_CEDAR_UNKNOWN;
	json = policy(b);
	*out = json_dumps(json, JSON_COMPACT);
	json_decref(json);
	return *out == NULL ? AG_CEDAR_NO_MEMORY : AG_CEDAR_OK;
}
