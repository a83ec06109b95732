/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of a schema to what they name. Within a namespace N a plain name X is
 * the common type N::X, the entity type N::X, then X of no namespace, then
 * Cedar's own. To shadow a name of no namespace is refused, so that no schema
 * means another thing when a declaration is added.
 */
#include "lex.h"
#include "schema.h"

#include <stdlib.h>

enum {
	TYPE_DEPTH_MAX = 256,  /* types within types, through names too */
	TWICE_MAX = 512, /* attributes of a record with one name twice */
};

struct named_common {
	struct ag_cedar_str name; /* with its namespace */
	const struct cedar_raw_namespace *ns;
	struct cedar_raw_type *type;
};

struct resolver {
	struct ag_cedar_schema *schema;
	struct ag_cedar_arena *arena;
	struct cedar_raw_namespace *raw;
	struct named_common *commons; /* by name */
	uint32_t common_count;
	struct cedar_lexer at; /* for the places of problems */
	enum ag_cedar_err err;
};

#define REFUSE(r, place, ...) \
	((r)->err != AG_CEDAR_OK ? (r)->err : ((r)->err = refuse(r, place, \
	__VA_ARGS__)))

static enum ag_cedar_err
refuse(struct resolver *r, size_t at, const char *format, struct ag_cedar_str s)
{
	if (r->at.text.len != 0)
		return cedar_lex_problem(&r->at, AG_CEDAR_INVALID, at, format,
		    (int)(s.len > 80 ? 80 : s.len), s.p);
	return cedar_problem(r->at.problem, AG_CEDAR_INVALID, format,
	    (int)(s.len > 80 ? 80 : s.len), s.p);
}

static void *
get(struct resolver *r, size_t size)
{
	void *p = ag_cedar_alloc(r->arena, size);

	if (p == NULL && r->err == AG_CEDAR_OK)
		r->err = cedar_no_memory(r->at.problem);
	return p;
}

static struct ag_cedar_str
join(struct resolver *r, struct ag_cedar_str ns, struct ag_cedar_str name)
{
	char *p;

	if (ns.len == 0)
		return name;
	p = get(r, ns.len + name.len + 3);
	if (p == NULL)
		return (struct ag_cedar_str){ NULL, 0 };
	memcpy(p, ns.p, ns.len);
	memcpy(p + ns.len, "::", 2);
	memcpy(p + ns.len + 2, name.p, name.len);
	return (struct ag_cedar_str){ p, ns.len + name.len + 2 };
}

static bool
is_plain(struct ag_cedar_str name)
{
	return memchr(name.p, ':', name.len) == NULL;
}

/* ------------------------------------------------------------------- own */

static const struct {
	const char *name;
	struct cedar_type type;
} own[] = {
	{ "Long", { .kind = CEDAR_TYPE_LONG } },
	{ "String", { .kind = CEDAR_TYPE_STRING } },
	{ "Bool", { .kind = CEDAR_TYPE_BOOL } },
	{ "decimal", { .kind = CEDAR_TYPE_EXT, .ext = AG_CEDAR_DECIMAL } },
	{ "ipaddr", { .kind = CEDAR_TYPE_EXT, .ext = AG_CEDAR_IPADDR } },
	{ "datetime", { .kind = CEDAR_TYPE_EXT, .ext = AG_CEDAR_DATETIME } },
	{ "duration", { .kind = CEDAR_TYPE_EXT, .ext = AG_CEDAR_DURATION } },
};

static const struct cedar_type *
own_type(struct ag_cedar_str name)
{
	static const char prefix[] = "__cedar::";
	size_t len = sizeof(prefix) - 1;

	if (name.len > len && memcmp(name.p, prefix, len) == 0)
		name = (struct ag_cedar_str){ name.p + len, name.len - len };
	for (size_t i = 0; i < CEDAR_COUNT(own); i++)
		if (cedar_is(name, own[i].name))
			return &own[i].type;
	return NULL;
}

static bool
is_keyword(struct ag_cedar_str name)
{
	static const char *const words[] = { "Bool", "Boolean", "Entity",
		"Extension", "Long", "Record", "Set", "String" };

	for (size_t i = 0; i < CEDAR_COUNT(words); i++)
		if (cedar_is(name, words[i]))
			return true;
	return false;
}

/* --------------------------------------------------------------- look-ups */

static struct named_common *
find_common(const struct resolver *r, struct ag_cedar_str name)
{
	size_t low = 0, high = r->common_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = cedar_str_order(r->commons[middle].name, name);

		if (order == 0)
			return &r->commons[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* Is there an action of this type? */
static bool
has_actions(const struct resolver *r, struct ag_cedar_str type)
{
	for (uint32_t i = 0; i < r->schema->action_count; i++)
		if (cedar_str_equal(r->schema->actions[i]->uid.type, type))
			return true;
	return false;
}

static struct cedar_etype *
find_etype(struct resolver *r, const struct cedar_raw_namespace *ns,
    struct ag_cedar_str name)
{
	struct cedar_etype *found = NULL;

	if (is_plain(name) && ns->name.len != 0)
		found = cedar_schema_etype(r->schema, join(r, ns->name, name));
	return found != NULL ? found : cedar_schema_etype(r->schema, name);
}

/* ------------------------------------------------------------------- types */

static const struct cedar_type *type(struct resolver *r,
    const struct cedar_raw_namespace *ns, struct cedar_raw_type *raw,
    unsigned depth);

static int
attr_order(const void *a, const void *b)
{
	const struct cedar_attr *x = a, *y = b;

	return cedar_str_order(x->name, y->name);
}

static const struct cedar_type *
record(struct resolver *r, const struct cedar_raw_namespace *ns,
    struct cedar_raw_type *raw, unsigned depth)
{
	struct cedar_type *t = get(r, sizeof(*t));
	struct cedar_attr *attrs = get(r, raw->attr_count * sizeof(*attrs));
	uint32_t n = 0;

	if (t == NULL || attrs == NULL)
		return NULL;
	for (uint32_t i = 0; i < raw->attr_count; i++) {
		bool again = false;

		/* Of two with one name the later counts. */
		for (uint32_t k = i + 1; k < raw->attr_count && !again &&
		    raw->attr_count < TWICE_MAX; k++)
			again = cedar_str_equal(raw->attrs[i].name,
			    raw->attrs[k].name);
		if (again)
			continue;
		attrs[n] = (struct cedar_attr){ raw->attrs[i].name,
			type(r, ns, raw->attrs[i].type, depth + 1),
			raw->attrs[i].required };
		if (attrs[n].type == NULL)
			return NULL;
		if (attrs[n].type->depth >= t->depth)
			t->depth = (uint16_t)(attrs[n].type->depth + 1);
		n++;
	}
	qsort(attrs, n, sizeof(*attrs), attr_order);
	for (uint32_t i = 1; i < n; i++)
		if (cedar_str_equal(attrs[i].name, attrs[i - 1].name)) {
			REFUSE(r, raw->at, "the attribute `%.*s` is there twice",
			    attrs[i].name);
			return NULL;
		}
	t->kind = CEDAR_TYPE_RECORD;
	t->attrs = attrs;
	t->attr_count = n;
	return t;
}

static const struct cedar_type *
entity_type(struct resolver *r, struct ag_cedar_str name)
{
	struct cedar_type *t = get(r, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->kind = CEDAR_TYPE_ENTITY;
	t->name = name;
	return t;
}

/* A common type, resolved where it was declared, once. */
static const struct cedar_type *
common(struct resolver *r, struct named_common *c, unsigned depth)
{
	if (c->type->resolved != NULL)
		return c->type->resolved;
	if (c->type->mark) {
		REFUSE(r, c->type->at, "the type `%.*s` is made of itself",
		    c->name);
		return NULL;
	}
	c->type->mark = 1;
	c->type->resolved = type(r, c->ns, c->type, depth + 1);
	c->type->mark = 0;
	return c->type->resolved;
}

/* The name as it is, of all that may be named so. */
static const struct cedar_type *
exact(struct resolver *r, struct ag_cedar_str name, uint8_t kind,
    unsigned depth)
{
	struct named_common *c = kind == CEDAR_RAW_ENTITY ? NULL :
	    find_common(r, name);
	struct cedar_etype *e;

	if (c != NULL)
		return common(r, c, depth);
	if (kind == CEDAR_RAW_COMMON)
		return NULL;
	if ((e = cedar_schema_etype(r->schema, name)) != NULL)
		return entity_type(r, e->name);
	return cedar_is_action_type(name) && has_actions(r, name) ?
	    entity_type(r, name) : NULL;
}

static const struct cedar_type *
named(struct resolver *r, const struct cedar_raw_namespace *ns,
    const struct cedar_raw_type *raw, unsigned depth)
{
	const struct cedar_type *found = NULL;

	if (is_plain(raw->name) && ns->name.len != 0)
		found = exact(r, join(r, ns->name, raw->name), raw->kind, depth);
	if (found == NULL && r->err == AG_CEDAR_OK)
		found = exact(r, raw->name, raw->kind, depth);
	if (found == NULL && r->err == AG_CEDAR_OK &&
	    raw->kind != CEDAR_RAW_ENTITY)
		found = own_type(raw->name);
	if (found == NULL)
		REFUSE(r, raw->at, "there is no type `%.*s`; declare it with "
		    "`entity` or `type`", raw->name);
	return found;
}

static const struct cedar_type *
type(struct resolver *r, const struct cedar_raw_namespace *ns,
    struct cedar_raw_type *raw, unsigned depth)
{
	const struct cedar_type *element;
	struct cedar_type *t;

	if (r->err != AG_CEDAR_OK)
		return NULL;
	if (depth > TYPE_DEPTH_MAX) {
		r->err = cedar_problem(r->at.problem, AG_CEDAR_LIMIT,
		    "types are more than %d deep within each other",
		    TYPE_DEPTH_MAX);
		return NULL;
	}
	switch ((enum cedar_raw_kind)raw->kind) {
	case CEDAR_RAW_NAME:
	case CEDAR_RAW_ENTITY:
	case CEDAR_RAW_COMMON:
		return named(r, ns, raw, depth);
	case CEDAR_RAW_RECORD:
		return record(r, ns, raw, depth);
	case CEDAR_RAW_SET:
		element = type(r, ns, raw->element, depth + 1);
		if (element == NULL || (t = get(r, sizeof(*t))) == NULL)
			return NULL;
		*t = (struct cedar_type){ .kind = CEDAR_TYPE_SET,
			.depth = (uint16_t)(element->depth + 1),
			.element = element };
		return t;
	case CEDAR_RAW_PRIMITIVE:
		if ((t = get(r, sizeof(*t))) == NULL)
			return NULL;
		*t = (struct cedar_type){ .kind = raw->primitive,
			.ext = raw->ext };
		return t;
	}
	return NULL;
}

/* ------------------------------------------------------------ declarations */

static int
etype_order(const void *a, const void *b)
{
	return cedar_str_order((*(struct cedar_etype *const *)a)->name,
	    (*(struct cedar_etype *const *)b)->name);
}

static int
common_order(const void *a, const void *b)
{
	return cedar_str_order(((const struct named_common *)a)->name,
	    ((const struct named_common *)b)->name);
}

static void
declare(struct resolver *r, const struct cedar_raw_namespace *ns)
{
	struct ag_cedar_schema *s = r->schema;

	for (uint32_t i = 0; i < ns->entity_count; i++) {
		struct cedar_etype *e = get(r, sizeof(*e));

		if (e == NULL)
			return;
		e->name = join(r, ns->name, ns->entities[i].name);
		s->etypes[s->etype_count++] = e;
		if (cedar_is_action_type(e->name))
			REFUSE(r, ns->entities[i].at, "`%.*s` is the type of "
			    "actions; an entity type needs another name", e->name);
	}
	for (uint32_t i = 0; i < ns->common_count; i++) {
		r->commons[r->common_count++] = (struct named_common){
			join(r, ns->name, ns->commons[i].name), ns,
			ns->commons[i].type };
		if (is_keyword(ns->commons[i].name))
			REFUSE(r, ns->commons[i].at, "`%.*s` is a word of the "
			    "schema language; take another name",
			    ns->commons[i].name);
	}
	for (uint32_t i = 0; i < ns->action_count; i++) {
		struct cedar_action *a = get(r, sizeof(*a));

		if (a == NULL)
			return;
		a->uid = ag_cedar_uid(join(r, ns->name, cedar_str("Action")),
		    ns->actions[i].id);
		if (cedar_schema_action(s, &a->uid) != NULL)
			REFUSE(r, ns->actions[i].at, "the action `%.*s` is "
			    "declared twice", ns->actions[i].id);
		s->actions[s->action_count++] = a;
	}
}

/* A namespace may not declare again what there is without one. */
static void
no_shadows(struct resolver *r, const struct cedar_raw_namespace *ns)
{
	static const char text[] = "`%.*s` is declared without a namespace too, "
	    "which this would shadow; take another name";

	if (ns->name.len == 0)
		return;
	for (uint32_t i = 0; i < ns->entity_count; i++)
		if (find_common(r, ns->entities[i].name) != NULL ||
		    cedar_schema_etype(r->schema, ns->entities[i].name) != NULL)
			REFUSE(r, ns->entities[i].at, text, ns->entities[i].name);
	for (uint32_t i = 0; i < ns->common_count; i++)
		if (find_common(r, ns->commons[i].name) != NULL ||
		    cedar_schema_etype(r->schema, ns->commons[i].name) != NULL)
			REFUSE(r, ns->commons[i].at, text, ns->commons[i].name);
	for (uint32_t i = 0; i < ns->action_count; i++) {
		struct ag_cedar_uid uid = ag_cedar_uid(cedar_str("Action"),
		    ns->actions[i].id);

		if (cedar_schema_action(r->schema, &uid) != NULL)
			REFUSE(r, ns->actions[i].at, text, ns->actions[i].id);
	}
}

static void
declare_all(struct resolver *r)
{
	struct ag_cedar_schema *s = r->schema;
	size_t etypes = 0, commons = 0, actions = 0;

	for (struct cedar_raw_namespace *ns = r->raw; ns != NULL; ns = ns->next) {
		etypes += ns->entity_count;
		commons += ns->common_count;
		actions += ns->action_count;
		for (struct cedar_raw_namespace *o = ns->next; o != NULL;
		    o = o->next)
			if (cedar_str_equal(o->name, ns->name))
				REFUSE(r, 0, "the namespace `%.*s` is there "
				    "twice", o->name);
	}
	s->etypes = get(r, etypes * sizeof(struct cedar_etype *));
	s->actions = get(r, actions * sizeof(struct cedar_action *));
	r->commons = get(r, commons * sizeof(*r->commons));
	for (struct cedar_raw_namespace *ns = r->raw; ns != NULL &&
	    r->err == AG_CEDAR_OK; ns = ns->next)
		declare(r, ns);
	if (r->err != AG_CEDAR_OK)
		return;
	qsort(s->etypes, s->etype_count, sizeof(struct cedar_etype *),
	    etype_order);
	qsort(r->commons, r->common_count, sizeof(*r->commons), common_order);
	for (uint32_t i = 1; i < s->etype_count; i++)
		if (cedar_str_equal(s->etypes[i]->name, s->etypes[i - 1]->name))
			REFUSE(r, 0, "the entity type `%.*s` is declared twice",
			    s->etypes[i]->name);
	for (uint32_t i = 1; i < r->common_count; i++)
		if (cedar_str_equal(r->commons[i].name, r->commons[i - 1].name))
			REFUSE(r, r->commons[i].type->at, "the type `%.*s` is "
			    "declared twice", r->commons[i].name);
	for (struct cedar_raw_namespace *ns = r->raw; ns != NULL; ns = ns->next)
		no_shadows(r, ns);
}

/* ------------------------------------------------------------- definitions */

static void
etypes_of(struct resolver *r, const struct cedar_raw_namespace *ns,
    const struct cedar_raw_name *names, uint32_t count,
    struct cedar_etype ***out, uint32_t *out_count)
{
	*out = get(r, count * sizeof(**out));
	*out_count = count;
	for (uint32_t i = 0; i < count && r->err == AG_CEDAR_OK; i++) {
		(*out)[i] = find_etype(r, ns, names[i].name);
		if ((*out)[i] == NULL)
			REFUSE(r, names[i].at, "there is no entity type `%.*s`; "
			    "declare it with `entity`", names[i].name);
	}
}

static void
define_etype(struct resolver *r, const struct cedar_raw_namespace *ns,
    const struct cedar_raw_entity *raw)
{
	static const struct cedar_type empty = { .kind = CEDAR_TYPE_RECORD };
	struct cedar_etype *e = cedar_schema_etype(r->schema,
	    join(r, ns->name, raw->name));

	if (e == NULL)
		return;
	etypes_of(r, ns, raw->parents, raw->parent_count, &e->parents,
	    &e->parent_count);
	e->choices = raw->choices;
	e->choice_count = raw->choice_count;
	e->shape = raw->shape == NULL ? &empty : type(r, ns, raw->shape, 0);
	e->tags = raw->tags == NULL ? NULL : type(r, ns, raw->tags, 0);
	e->any_tag = (struct cedar_attr){ .type = e->tags };
	e->tags_record = (struct cedar_type){ .kind = CEDAR_TYPE_RECORD,
		.attrs = &e->any_tag, .attr_count = 1 };
	if (e->shape != NULL && e->shape->kind != CEDAR_TYPE_RECORD)
		REFUSE(r, raw->at, "the shape of `%.*s` is no record", raw->name);
}

static struct cedar_action *
action_named(struct resolver *r, const struct cedar_raw_namespace *ns,
    const struct ag_cedar_uid *raw)
{
	struct ag_cedar_str type = raw->type.len == 0 ? cedar_str("Action") :
	    raw->type;
	struct cedar_action *found = NULL;
	struct ag_cedar_uid uid;

	if (is_plain(type) && ns->name.len != 0) {
		uid = ag_cedar_uid(join(r, ns->name, type), raw->id);
		found = cedar_schema_action(r->schema, &uid);
	}
	uid = ag_cedar_uid(type, raw->id);
	return found != NULL ? found : cedar_schema_action(r->schema, &uid);
}

static void
define_action(struct resolver *r, const struct cedar_raw_namespace *ns,
    const struct cedar_raw_action *raw)
{
	static const struct cedar_type empty = { .kind = CEDAR_TYPE_RECORD };
	struct ag_cedar_uid uid = ag_cedar_uid(join(r, ns->name,
	    cedar_str("Action")), raw->id);
	struct cedar_action *a = cedar_schema_action(r->schema, &uid);

	if (a == NULL)
		return;
	a->parents = get(r, raw->parent_count * sizeof(struct cedar_action *));
	for (uint32_t i = 0; i < raw->parent_count && r->err == AG_CEDAR_OK; i++) {
		a->parents[i] = action_named(r, ns, &raw->parents[i]);
		if (a->parents[i] == NULL)
			REFUSE(r, raw->at, "there is no action `%.*s`; declare it "
			    "with `action`", raw->parents[i].id);
	}
	a->parent_count = raw->parent_count;
	a->applies = raw->applies;
	etypes_of(r, ns, raw->principals, raw->principal_count, &a->principals,
	    &a->principal_count);
	etypes_of(r, ns, raw->resources, raw->resource_count, &a->resources,
	    &a->resource_count);
	a->context = raw->context == NULL ? &empty :
	    type(r, ns, raw->context, 0);
	if (a->context != NULL && a->context->kind != CEDAR_TYPE_RECORD)
		REFUSE(r, raw->at, "the context of `%.*s` is no record", raw->id);
}

enum ag_cedar_err
cedar_schema_resolve(struct ag_cedar_schema *schema,
    struct cedar_raw_namespace *raw, struct ag_cedar_str text,
    struct ag_cedar_problem *problem)
{
	struct resolver r = { .schema = schema, .arena = &schema->arena,
		.raw = raw, .at = { .text = text, .problem = problem } };

	declare_all(&r);
	for (struct cedar_raw_namespace *ns = raw; ns != NULL; ns = ns->next) {
		for (uint32_t i = 0; i < ns->common_count &&
		    r.err == AG_CEDAR_OK; i++)
			(void)common(&r, find_common(&r, join(&r, ns->name,
			    ns->commons[i].name)), 0);
		for (uint32_t i = 0; i < ns->entity_count &&
		    r.err == AG_CEDAR_OK; i++)
			define_etype(&r, ns, &ns->entities[i]);
		for (uint32_t i = 0; i < ns->action_count &&
		    r.err == AG_CEDAR_OK; i++)
			define_action(&r, ns, &ns->actions[i]);
	}
	return r.err == AG_CEDAR_OK ? cedar_schema_close(schema, problem) : r.err;
}
