/* SPDX-License-Identifier: Apache-2.0 */
/* Cedar's JSON schema format: namespaces of entity types, actions and types. */
#include "json.h"
#include "schema.h"

#include <stdlib.h>

struct reader {
	struct cedar_json j;
	enum ag_cedar_err err; /* the first one */
	unsigned depth;
};

#define REFUSE(r, ...) ((r)->err != AG_CEDAR_OK ? (r)->err : \
	((r)->err = cedar_json_problem(&(r)->j, AG_CEDAR_INVALID, __VA_ARGS__)))

static struct cedar_raw_type *type(struct reader *r, const json_t *from);

static void *
get(struct reader *r, size_t size)
{
	void *p = r->err == AG_CEDAR_OK ? ag_cedar_alloc(r->j.arena, size) : NULL;

	if (p == NULL && r->err == AG_CEDAR_OK)
		r->err = cedar_no_memory(r->j.problem);
	return p;
}

static bool
members(struct reader *r, const json_t *from, const char *const *names,
    size_t count)
{
	if (r->err == AG_CEDAR_OK)
		r->err = cedar_json_members(&r->j, from, names, count, 0);
	return r->err == AG_CEDAR_OK;
}

static void
string(struct reader *r, const json_t *from, struct ag_cedar_str *out)
{
	if (r->err == AG_CEDAR_OK)
		r->err = cedar_json_string(&r->j, from, out);
}

static bool
is_path(struct ag_cedar_str name)
{
	static const char own[] = "__cedar::";

	if (name.len > sizeof(own) - 1 &&
	    memcmp(name.p, own, sizeof(own) - 1) == 0)
		name = (struct ag_cedar_str){ name.p + sizeof(own) - 1,
			name.len - (sizeof(own) - 1) };
	return cedar_is_type_name(name);
}

static void
path(struct reader *r, const json_t *from, struct ag_cedar_str *out)
{
	string(r, from, out);
	if (r->err == AG_CEDAR_OK && !is_path(*out))
		REFUSE(r, "`%.*s` is no name of a type",
		    (int)(out->len > 60 ? 60 : out->len), out->p);
}

/* A name of a declaration: one identifier. */
static void
declared(struct reader *r, const char *key, struct ag_cedar_str *out)
{
	*out = cedar_json_name(&r->j, key);
	if (out->p == NULL && r->err == AG_CEDAR_OK)
		r->err = cedar_no_memory(r->j.problem);
	if (r->err == AG_CEDAR_OK && (!cedar_is_ident(*out) ||
	    cedar_is_reserved(*out)))
		REFUSE(r, "`%.60s` cannot be declared; it must be an identifier "
		    "that is not reserved", key);
}

/* ------------------------------------------------------------------- types */

static void
attributes(struct reader *r, const json_t *from, struct cedar_raw_type *out)
{
	const json_t *required;
	const char *key;
	json_t *value;
	size_t len;

	if (r->err == AG_CEDAR_OK && !json_is_object(from))
		REFUSE(r, "an object of attributes is needed here");
	out->attrs = get(r, json_object_size(from) * sizeof(*out->attrs));
	json_object_foreach((json_t *)(uintptr_t)from, key, value) {
		struct cedar_raw_attr *a;

		if (r->err != AG_CEDAR_OK)
			return;
		a = &out->attrs[out->attr_count++];
		len = cedar_json_enter(&r->j, key);
		a->name = cedar_json_name(&r->j, key);
		required = json_object_get(value, "required");
		if (required != NULL && !json_is_boolean(required))
			REFUSE(r, "the member \"required\" is true or false");
		a->required = required == NULL || json_is_true(required);
		a->type = type(r, value);
		if (r->err == AG_CEDAR_OK)
			cedar_json_leave(&r->j, len);
	}
}

static void
on_set(struct reader *r, const json_t *from, struct cedar_raw_type *out)
{
	size_t len = cedar_json_enter(&r->j, "element");

	out->kind = CEDAR_RAW_SET;
	if (json_object_get(from, "element") == NULL)
		REFUSE(r, "the type of the elements is missing");
	out->element = type(r, json_object_get(from, "element"));
	if (r->err == AG_CEDAR_OK)
		cedar_json_leave(&r->j, len);
}

static void
on_record(struct reader *r, const json_t *from, struct cedar_raw_type *out)
{
	size_t len = cedar_json_enter(&r->j, "attributes");

	out->kind = CEDAR_RAW_RECORD;
	if (json_is_true(json_object_get(from, "additionalAttributes")))
		REFUSE(r, "additionalAttributes is not supported: all attributes "
		    "are to be declared");
	attributes(r, json_object_get(from, "attributes"), out);
	if (r->err == AG_CEDAR_OK)
		cedar_json_leave(&r->j, len);
}

static void
on_entity(struct reader *r, const json_t *from, struct cedar_raw_type *out)
{
	out->kind = CEDAR_RAW_ENTITY;
	path(r, json_object_get(from, "name"), &out->name);
}

static void
on_either(struct reader *r, const json_t *from, struct cedar_raw_type *out)
{
	out->kind = CEDAR_RAW_NAME;
	path(r, json_object_get(from, "name"), &out->name);
}

static void
on_extension(struct reader *r, const json_t *from, struct cedar_raw_type *out)
{
	static const struct {
		const char *name;
		uint8_t kind;
	} exts[] = { { "decimal", AG_CEDAR_DECIMAL }, { "ipaddr",
		AG_CEDAR_IPADDR }, { "datetime", AG_CEDAR_DATETIME },
		{ "duration", AG_CEDAR_DURATION } };
	const char *name = json_string_value(json_object_get(from, "name"));

	out->kind = CEDAR_RAW_PRIMITIVE;
	out->primitive = CEDAR_TYPE_EXT;
	for (size_t i = 0; name != NULL && i < CEDAR_COUNT(exts); i++)
		if (strcmp(name, exts[i].name) == 0) {
			out->ext = exts[i].kind;
			return;
		}
	REFUSE(r, "the member \"name\" is one of decimal, ipaddr, datetime, "
	    "duration");
}

static const struct {
	const char *name;
	uint8_t primitive; /* if there is no function */
	void (*read)(struct reader *r, const json_t *from,
	    struct cedar_raw_type *out);
} kinds[] = {
	{ "Long", CEDAR_TYPE_LONG, NULL }, { "String", CEDAR_TYPE_STRING, NULL },
	{ "Boolean", CEDAR_TYPE_BOOL, NULL }, { "Bool", CEDAR_TYPE_BOOL, NULL },
	{ "Set", 0, on_set }, { "Record", 0, on_record },
	{ "Entity", 0, on_entity }, { "EntityOrCommon", 0, on_either },
	{ "Extension", 0, on_extension },
};

static void
type_inside(struct reader *r, const json_t *from, struct cedar_raw_type *out)
{
	static const char *const names[] = { "type", "element", "attributes",
		"additionalAttributes", "name", "required", "annotations" };
	const json_t *name = json_object_get(from, "type");

	if (!members(r, from, names, CEDAR_COUNT(names)))
		return;
	if (!json_is_string(name)) {
		REFUSE(r, "the member \"type\" is missing");
		return;
	}
	for (size_t i = 0; i < CEDAR_COUNT(kinds); i++) {
		if (strcmp(json_string_value(name), kinds[i].name) != 0)
			continue;
		out->kind = CEDAR_RAW_PRIMITIVE;
		out->primitive = kinds[i].primitive;
		if (kinds[i].read != NULL)
			kinds[i].read(r, from, out);
		return;
	}
	out->kind = CEDAR_RAW_COMMON;
	path(r, name, &out->name);
}

static struct cedar_raw_type *
type(struct reader *r, const json_t *from)
{
	struct cedar_raw_type *out = get(r, sizeof(*out));

	if (out == NULL)
		return NULL;
	if (++r->depth > AG_CEDAR_NEST_MAX)
		r->err = cedar_json_problem(&r->j, AG_CEDAR_LIMIT,
		    "types nest more than %d deep", AG_CEDAR_NEST_MAX);
	else
		type_inside(r, from, out);
	r->depth--;
	return r->err == AG_CEDAR_OK ? out : NULL;
}

static void
paths(struct reader *r, const json_t *from, struct cedar_raw_name **out,
    uint32_t *count)
{
	if (r->err == AG_CEDAR_OK && from != NULL && !json_is_array(from))
		REFUSE(r, "an array of entity types is needed here");
	*out = get(r, json_array_size(from) * sizeof(**out));
	for (size_t i = 0; r->err == AG_CEDAR_OK && i < json_array_size(from); i++)
		path(r, json_array_get(from, i), &(*out)[(*count)++].name);
}

/* ------------------------------------------------------------ declarations */

static void
entity(struct reader *r, const char *key, const json_t *from,
    struct cedar_raw_entity *out)
{
	static const char *const names[] = { "memberOfTypes", "shape", "tags",
		"enum", "annotations" };
	const json_t *choices = json_object_get(from, "enum");
	const json_t *shape = json_object_get(from, "shape");
	const json_t *tags = json_object_get(from, "tags");

	declared(r, key, &out->name);
	if (!members(r, from, names, CEDAR_COUNT(names)))
		return;
	if (choices != NULL && (json_array_size(choices) == 0 || shape != NULL ||
	    tags != NULL || json_object_get(from, "memberOfTypes") != NULL))
		REFUSE(r, "an enum has ids, and nothing else");
	out->choices = get(r, json_array_size(choices) * sizeof(*out->choices));
	for (size_t i = 0; r->err == AG_CEDAR_OK &&
	    i < json_array_size(choices); i++)
		string(r, json_array_get(choices, i),
		    &out->choices[out->choice_count++]);
	paths(r, json_object_get(from, "memberOfTypes"), &out->parents,
	    &out->parent_count);
	if (shape != NULL)
		out->shape = type(r, shape);
	if (tags != NULL)
		out->tags = type(r, tags);
}

static void
parents(struct reader *r, const json_t *from, struct cedar_raw_action *out)
{
	static const char *const names[] = { "id", "type" };

	if (r->err == AG_CEDAR_OK && from != NULL && !json_is_array(from))
		REFUSE(r, "memberOf is an array of actions");
	out->parents = get(r, json_array_size(from) * sizeof(*out->parents));
	for (size_t i = 0; r->err == AG_CEDAR_OK && i < json_array_size(from);
	    i++) {
		const json_t *one = json_array_get(from, i);
		struct ag_cedar_str type_name = { NULL, 0 }, id = { NULL, 0 };

		if (!members(r, one, names, 2))
			return;
		string(r, json_object_get(one, "id"), &id);
		if (json_object_get(one, "type") != NULL)
			path(r, json_object_get(one, "type"), &type_name);
		out->parents[out->parent_count++] = ag_cedar_uid(type_name, id);
	}
}

static void
action(struct reader *r, const char *key, const json_t *from,
    struct cedar_raw_action *out)
{
	static const char *const names[] = { "memberOf", "appliesTo",
		"attributes", "annotations" };
	static const char *const inner[] = { "principalTypes", "resourceTypes",
		"context" };
	const json_t *applies = json_object_get(from, "appliesTo");

	out->id = cedar_json_name(&r->j, key);
	if (!members(r, from, names, CEDAR_COUNT(names)))
		return;
	if (json_object_size(json_object_get(from, "attributes")) != 0)
		REFUSE(r, "actions have no attributes");
	parents(r, json_object_get(from, "memberOf"), out);
	if (applies == NULL || json_is_null(applies) ||
	    !members(r, applies, inner, 3))
		return;
	out->applies = true;
	if (json_object_get(applies, "principalTypes") == NULL ||
	    json_object_get(applies, "resourceTypes") == NULL)
		REFUSE(r, "appliesTo needs principalTypes and resourceTypes");
	paths(r, json_object_get(applies, "principalTypes"), &out->principals,
	    &out->principal_count);
	paths(r, json_object_get(applies, "resourceTypes"), &out->resources,
	    &out->resource_count);
	if (json_object_get(applies, "context") != NULL)
		out->context = type(r, json_object_get(applies, "context"));
}

static void
common(struct reader *r, const char *key, const json_t *from,
    struct cedar_raw_common *out)
{
	declared(r, key, &out->name);
	out->type = type(r, from);
}

static void
namespace(struct reader *r, const json_t *from, struct cedar_raw_namespace *ns)
{
	static const char *const names[] = { "entityTypes", "actions",
		"commonTypes", "annotations" };
	const json_t *parts[3];
	const char *key;
	json_t *value;
	size_t len[2];

	if (r->err == AG_CEDAR_OK)
		r->err = cedar_json_members(&r->j, from, names, 4, 2);
	for (int i = 0; i < 3; i++)
		parts[i] = json_object_get(from, names[i]);
	ns->entities = get(r, json_object_size(parts[0]) * sizeof(*ns->entities));
	ns->actions = get(r, json_object_size(parts[1]) * sizeof(*ns->actions));
	ns->commons = get(r, json_object_size(parts[2]) * sizeof(*ns->commons));
	for (int i = 0; i < 3; i++) {
		if (r->err == AG_CEDAR_OK && parts[i] != NULL &&
		    !json_is_object(parts[i]))
			REFUSE(r, "the member \"%s\" must be an object", names[i]);
		len[0] = cedar_json_enter(&r->j, names[i]);
		json_object_foreach((json_t *)(uintptr_t)parts[i], key, value) {
			if (r->err != AG_CEDAR_OK)
				return;
			len[1] = cedar_json_enter(&r->j, key);
			if (i == 0)
				entity(r, key, value,
				    &ns->entities[ns->entity_count++]);
			else if (i == 1)
				action(r, key, value,
				    &ns->actions[ns->action_count++]);
			else
				common(r, key, value,
				    &ns->commons[ns->common_count++]);
			if (r->err == AG_CEDAR_OK)
				cedar_json_leave(&r->j, len[1]);
		}
		if (r->err == AG_CEDAR_OK)
			cedar_json_leave(&r->j, len[0]);
	}
}

static struct cedar_raw_namespace *
namespaces(struct reader *r, const json_t *root)
{
	struct cedar_raw_namespace *first = NULL, *ns;
	const char *key;
	json_t *value;
	size_t len;

	if (r->err == AG_CEDAR_OK && !json_is_object(root))
		REFUSE(r, "an object of namespaces is needed");
	json_object_foreach((json_t *)(uintptr_t)root, key, value) {
		if ((ns = get(r, sizeof(*ns))) == NULL)
			return NULL;
		ns->name = cedar_json_name(&r->j, key);
		len = cedar_json_enter(&r->j, key);
		if (ns->name.len != 0 && !cedar_is_type_name(ns->name))
			REFUSE(r, "`%.60s` is no name of a namespace", key);
		namespace(r, value, ns);
		if (r->err == AG_CEDAR_OK)
			cedar_json_leave(&r->j, len);
		ns->next = first;
		first = ns;
	}
	return first;
}

enum ag_cedar_err
ag_cedar_schema_json(const char *text, size_t len, size_t max_bytes,
    struct ag_cedar_schema **out, struct ag_cedar_problem *problem)
{
	struct ag_cedar_schema *schema = calloc(1, sizeof(*schema));
	struct cedar_raw_namespace *raw;
	struct reader r = { .depth = 0 };
	json_t *root = NULL;

	*out = NULL;
	if (schema == NULL)
		return cedar_no_memory(problem);
	ag_cedar_arena_init(&schema->arena, max_bytes);
	r.err = cedar_json_load(&r.j, &schema->arena, text, len, problem, &root);
	raw = namespaces(&r, root);
	if (r.err == AG_CEDAR_OK)
		r.err = cedar_schema_resolve(schema, raw,
		    (struct ag_cedar_str){ NULL, 0 }, problem);
	json_decref(root);
	if (r.err != AG_CEDAR_OK)
		ag_cedar_schema_free(&schema);
	*out = schema;
	return r.err;
}
