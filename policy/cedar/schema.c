/* SPDX-License-Identifier: Apache-2.0 */
/* Schemas, once resolved: look-ups, and whether data conforms to them. */
#include "schema.h"

#include "entity.h"
#include "json.h"

#include <stdlib.h>

void
ag_cedar_schema_free(struct ag_cedar_schema **schema)
{
	if (*schema == NULL)
		return;
	ag_cedar_arena_fini(&(*schema)->arena);
	free(*schema);
	*schema = NULL;
}

const struct cedar_attr *
cedar_type_attr(const struct cedar_type *type, struct ag_cedar_str name)
{
	size_t low = 0, high = type->attr_count;

	/* The record of tags has one attribute without a name: any. */
	if (type->kind != CEDAR_TYPE_RECORD)
		return NULL;
	if (high == 1 && type->attrs[0].name.p == NULL)
		return &type->attrs[0];
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = cedar_str_order(type->attrs[middle].name, name);

		if (order == 0)
			return &type->attrs[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

struct cedar_etype *
cedar_schema_etype(const struct ag_cedar_schema *schema,
    struct ag_cedar_str name)
{
	size_t low = 0, high = schema->etype_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = cedar_str_order(schema->etypes[middle]->name, name);

		if (order == 0)
			return schema->etypes[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

struct cedar_action *
cedar_schema_action(const struct ag_cedar_schema *schema,
    const struct ag_cedar_uid *uid)
{
	for (uint32_t i = 0; i < schema->action_count; i++)
		if (ag_cedar_uid_equal(&schema->actions[i]->uid, uid))
			return schema->actions[i];
	return NULL;
}

bool
cedar_etype_below(const struct cedar_etype *a, const struct cedar_etype *b)
{
	for (uint32_t i = 0; i < b->below_count; i++)
		if (b->below[i] == a)
			return true;
	return false;
}

bool
cedar_action_in(const struct cedar_action *a, const struct cedar_action *b)
{
	for (uint32_t i = 0; i < a->above_count; i++)
		if (a->above[i] == b)
			return true;
	return a == b;
}

enum ag_cedar_err
ag_cedar_entities_actions(struct ag_cedar_entities *entities,
    const struct ag_cedar_schema *schema)
{
	enum ag_cedar_err err = AG_CEDAR_OK;

	for (uint32_t i = 0; i < schema->action_count && err == AG_CEDAR_OK;
	    i++) {
		const struct cedar_action *a = schema->actions[i];
		struct ag_cedar_entity e = { .uid = a->uid,
			.parent_count = a->parent_count };
		struct ag_cedar_uid *parents = ag_cedar_alloc(&entities->arena,
		    a->parent_count * sizeof(*parents));

		if (parents == NULL)
			return AG_CEDAR_NO_MEMORY;
		for (uint32_t k = 0; k < a->parent_count; k++)
			parents[k] = a->parents[k]->uid;
		e.parents = parents;
		if (cedar_entity_find(entities, &a->uid) == NULL)
			err = ag_cedar_entities_add(entities, &e);
	}
	return err;
}

/* -------------------------------------------------------------- conformance */

static bool
is_choice(const struct cedar_etype *type, struct ag_cedar_str id)
{
	for (uint32_t i = 0; i < type->choice_count; i++)
		if (cedar_str_equal(type->choices[i], id))
			return true;
	return type->choice_count == 0;
}

/* Its type is the schema's; an enum's entity is one of it. */
static bool
knows(const struct ag_cedar_schema *schema, const struct ag_cedar_uid *uid)
{
	const struct cedar_etype *type = cedar_schema_etype(schema, uid->type);

	if (cedar_is_action_type(uid->type))
		return cedar_schema_action(schema, uid) != NULL;
	return type != NULL && is_choice(type, uid->id);
}

static bool
conforms_record(const struct ag_cedar_schema *schema,
    const struct ag_cedar_record *record, const struct cedar_type *type)
{
	for (size_t i = 0; i < record->count; i++) {
		const struct cedar_attr *attr = cedar_type_attr(type,
		    record->fields[i].name);

		if (attr == NULL || !cedar_conforms(schema,
		    &record->fields[i].value, attr->type))
			return false;
	}
	for (uint32_t i = 0; i < type->attr_count; i++) {
		struct ag_cedar_value v = { .kind = AG_CEDAR_RECORD,
			.record = record };

		if (type->attrs[i].required &&
		    cedar_record_get(&v, type->attrs[i].name) == NULL)
			return false;
	}
	return true;
}

/* Recursion is bounded by the value's depth. */
bool
cedar_conforms(const struct ag_cedar_schema *schema,
    const struct ag_cedar_value *value, const struct cedar_type *type)
{
	switch ((enum cedar_type_kind)type->kind) {
	case CEDAR_TYPE_TRUE:
	case CEDAR_TYPE_FALSE:
	case CEDAR_TYPE_BOOL:
		return value->kind == AG_CEDAR_BOOL;
	case CEDAR_TYPE_LONG:
		return value->kind == AG_CEDAR_LONG;
	case CEDAR_TYPE_STRING:
		return value->kind == AG_CEDAR_STRING;
	case CEDAR_TYPE_EXT:
		return (uint8_t)value->kind == type->ext;
	case CEDAR_TYPE_ENTITY:
		return value->kind == AG_CEDAR_ENTITY &&
		    cedar_str_equal(value->entity->type, type->name) &&
		    knows(schema, value->entity);
	case CEDAR_TYPE_ANY_ENTITY:
		return value->kind == AG_CEDAR_ENTITY;
	case CEDAR_TYPE_RECORD:
		return value->kind == AG_CEDAR_RECORD &&
		    conforms_record(schema, value->record, type);
	case CEDAR_TYPE_SET:
		if (value->kind != AG_CEDAR_SET)
			return false;
		for (size_t i = 0; i < value->set->count; i++)
			if (!cedar_conforms(schema, &value->set->items[i],
			    type->element))
				return false;
		return true;
	case CEDAR_TYPE_NEVER:
		return false;
	}
	return false;
}

/* An action must be exactly that of the schema. */
static enum ag_cedar_err
conforms_action(const struct ag_cedar_schema *schema,
    const struct ag_cedar_entity *entity, struct cedar_json *j)
{
	const struct cedar_action *action = cedar_schema_action(schema,
	    &entity->uid);

	if (action == NULL)
		return cedar_json_problem(j, AG_CEDAR_INVALID,
		    "the schema has no such action");
	for (size_t i = 0; i < entity->parent_count; i++) {
		const struct cedar_action *parent = cedar_schema_action(schema,
		    &entity->parents[i]);

		if (parent == NULL || parent == action ||
		    !cedar_action_in(action, parent))
			return cedar_json_problem(j, AG_CEDAR_INVALID,
			    "the schema does not have the action in this group");
	}
	return AG_CEDAR_OK;
}

static enum ag_cedar_err
conforms_parents(const struct ag_cedar_schema *schema,
    const struct ag_cedar_entity *entity, const struct cedar_etype *type,
    struct cedar_json *j)
{
	for (size_t i = 0; i < entity->parent_count; i++) {
		const struct cedar_etype *parent = cedar_schema_etype(schema,
		    entity->parents[i].type);

		if (parent == NULL || !cedar_etype_below(type, parent))
			return cedar_json_problem(j, AG_CEDAR_INVALID,
			    "in the schema %.*s is not in %.*s",
			    (int)entity->uid.type.len, entity->uid.type.p,
			    (int)entity->parents[i].type.len,
			    entity->parents[i].type.p);
		if (!is_choice(parent, entity->parents[i].id))
			return cedar_json_problem(j, AG_CEDAR_INVALID,
			    "the parent is none of the enum's ids");
	}
	return AG_CEDAR_OK;
}

enum ag_cedar_err
cedar_conforms_entity(const struct ag_cedar_schema *schema,
    const struct ag_cedar_entity *entity, struct cedar_json *j)
{
	const struct cedar_etype *type = cedar_schema_etype(schema,
	    entity->uid.type);
	const struct ag_cedar_value *attrs = entity->attrs.kind ==
	    AG_CEDAR_RECORD ? &entity->attrs : &cedar_empty_record;
	const struct ag_cedar_value *tags = entity->tags.kind ==
	    AG_CEDAR_RECORD ? &entity->tags : &cedar_empty_record;

	if (cedar_is_action_type(entity->uid.type))
		return conforms_action(schema, entity, j);
	if (type == NULL)
		return cedar_json_problem(j, AG_CEDAR_INVALID, "the schema has "
		    "no entity type %.*s", (int)entity->uid.type.len,
		    entity->uid.type.p);
	if (!is_choice(type, entity->uid.id))
		return cedar_json_problem(j, AG_CEDAR_INVALID,
		    "the id is none of the enum's");
	if (!conforms_record(schema, attrs->record, type->shape))
		return cedar_json_problem(j, AG_CEDAR_INVALID, "the attributes "
		    "are not those that the schema has for %.*s: one is missing, "
		    "too many, or of another type", (int)type->name.len,
		    type->name.p);
	for (size_t i = 0; i < tags->record->count; i++)
		if (type->tags == NULL || !cedar_conforms(schema,
		    &tags->record->fields[i].value, type->tags))
			return cedar_json_problem(j, AG_CEDAR_INVALID,
			    "the tags are not those that the schema has for %.*s",
			    (int)type->name.len, type->name.p);
	return conforms_parents(schema, entity, type, j);
}

static bool
is_one_of(struct cedar_etype *const *types, uint32_t count,
    const struct ag_cedar_uid *uid)
{
	for (uint32_t i = 0; i < count; i++)
		if (cedar_str_equal(types[i]->name, uid->type))
			return is_choice(types[i], uid->id);
	return false;
}

enum ag_cedar_err
ag_cedar_request_validate(const struct ag_cedar_schema *schema,
    const struct ag_cedar_request *request, struct ag_cedar_problem *problem)
{
	const struct cedar_action *action = cedar_schema_action(schema,
	    &request->action);
	const struct ag_cedar_value *context = request->context.kind ==
	    AG_CEDAR_RECORD ? &request->context : &cedar_empty_record;

	if (problem != NULL)
		memset(problem, 0, sizeof(*problem));
	if (action == NULL)
		return cedar_problem(problem, AG_CEDAR_INVALID,
		    "the schema has no action %.*s::\"%.*s\"",
		    (int)request->action.type.len, request->action.type.p,
		    (int)request->action.id.len, request->action.id.p);
	if (!is_one_of(action->principals, action->principal_count,
	    &request->principal))
		return cedar_problem(problem, AG_CEDAR_INVALID, "the action does "
		    "not apply to a principal %.*s",
		    (int)request->principal.type.len, request->principal.type.p);
	if (!is_one_of(action->resources, action->resource_count,
	    &request->resource))
		return cedar_problem(problem, AG_CEDAR_INVALID, "the action does "
		    "not apply to a resource %.*s",
		    (int)request->resource.type.len, request->resource.type.p);
	if (!cedar_conforms(schema, context, action->context))
		return cedar_problem(problem, AG_CEDAR_INVALID, "the context is "
		    "not the one that the schema has for this action: an "
		    "attribute is missing, too many, or of another type");
	return AG_CEDAR_OK;
}
