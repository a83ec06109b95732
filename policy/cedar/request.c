/* SPDX-License-Identifier: Apache-2.0 */
/* Entities, contexts and requests in Cedar's JSON formats. */
#include "entity.h"
#include "json.h"
#include "schema.h"

/* ---------------------------------------------------------------- entities */

/* Each member as its attribute's type; a schema's entity has no others. */
static enum ag_cedar_err
typed_record(struct cedar_json *j, const json_t *from,
    const struct cedar_type *type, const char *name,
    struct ag_cedar_value *out)
{
	const json_t *member = json_object_get(from, name);
	size_t len = cedar_json_enter(j, name);
	enum ag_cedar_err err;

	if (member == NULL) {
		cedar_json_leave(j, len);
		return AG_CEDAR_OK;
	}
	if (!json_is_object(member))
		return cedar_json_problem(j, AG_CEDAR_INVALID,
		    "an object is needed here");
	err = cedar_json_value(j, member, type, out);
	if (err == AG_CEDAR_OK && out->kind != AG_CEDAR_RECORD)
		return cedar_json_problem(j, AG_CEDAR_INVALID,
		    "a record is needed here");
	if (err == AG_CEDAR_OK)
		cedar_json_leave(j, len);
	return err;
}

static enum ag_cedar_err
parents(struct cedar_json *j, const json_t *from, struct ag_cedar_entity *out)
{
	const json_t *list = json_object_get(from, "parents");
	size_t count = json_array_size(list), len, inner;
	struct ag_cedar_uid *uids = ag_cedar_alloc(j->arena,
	    count * sizeof(*uids));
	enum ag_cedar_err err = AG_CEDAR_OK;

	len = cedar_json_enter(j, "parents");
	if (!json_is_array(list))
		return cedar_json_problem(j, AG_CEDAR_INVALID,
		    "an array is needed here");
	if (uids == NULL)
		return cedar_no_memory(j->problem);
	for (size_t i = 0; i < count && err == AG_CEDAR_OK; i++) {
		inner = cedar_json_enter_at(j, i);
		err = cedar_json_uid(j, json_array_get(list, i), &uids[i]);
		if (err == AG_CEDAR_OK)
			cedar_json_leave(j, inner);
	}
	out->parents = uids;
	out->parent_count = count;
	if (err == AG_CEDAR_OK)
		cedar_json_leave(j, len);
	return err;
}

static enum ag_cedar_err
entity(struct cedar_json *j, const json_t *from,
    const struct ag_cedar_schema *schema, struct ag_cedar_entity *out)
{
	static const char *const names[] = { "uid", "attrs", "parents", "tags" };
	const struct cedar_etype *type;
	enum ag_cedar_err err = cedar_json_members(j, from, names, 4, 3);
	size_t len;

	if (err != AG_CEDAR_OK)
		return err;
	len = cedar_json_enter(j, "uid");
	err = cedar_json_uid(j, json_object_get(from, "uid"), &out->uid);
	if (err != AG_CEDAR_OK)
		return err;
	cedar_json_leave(j, len);
	type = schema == NULL ? NULL : cedar_schema_etype(schema, out->uid.type);
	err = typed_record(j, from, type == NULL ? NULL : type->shape, "attrs",
	    &out->attrs);
	if (err == AG_CEDAR_OK)
		err = typed_record(j, from, type == NULL || type->tags == NULL ?
		    NULL : &type->tags_record, "tags", &out->tags);
	if (err == AG_CEDAR_OK)
		err = parents(j, from, out);
	if (err == AG_CEDAR_OK && schema != NULL)
		err = cedar_conforms_entity(schema, out, j);
	return err;
}

enum ag_cedar_err
ag_cedar_entities_json(struct ag_cedar_entities *entities,
    const struct ag_cedar_schema *schema, const char *text, size_t len,
    struct ag_cedar_problem *problem)
{
	struct cedar_json j;
	json_t *root;
	enum ag_cedar_err err = cedar_json_load(&j, &entities->arena, text, len,
	    problem, &root);

	if (err == AG_CEDAR_OK && !json_is_array(root))
		err = cedar_json_problem(&j, AG_CEDAR_INVALID,
		    "an array of entities is needed");
	for (size_t i = 0; err == AG_CEDAR_OK && i < json_array_size(root); i++) {
		struct ag_cedar_entity one = { .parent_count = 0 };
		size_t at = cedar_json_enter_at(&j, i);

		err = entity(&j, json_array_get(root, i), schema, &one);
		if (err != AG_CEDAR_OK)
			break;
		err = ag_cedar_entities_add(entities, &one);
		if (err == AG_CEDAR_DUPLICATE)
			(void)cedar_json_problem(&j, err, "the entity is there "
			    "twice, and not the same");
		else if (err == AG_CEDAR_NO_MEMORY)
			(void)cedar_no_memory(problem);
		else if (err != AG_CEDAR_OK)
			(void)cedar_json_problem(&j, err, "there are more than "
			    "%d entities", AG_CEDAR_ENTITY_MAX);
		cedar_json_leave(&j, at);
	}
	json_decref(root);
	return err;
}

/* ---------------------------------------------------------------- requests */

static enum ag_cedar_err
context(struct cedar_json *j, const json_t *from, struct ag_cedar_value *out)
{
	enum ag_cedar_err err;

	if (!json_is_object(from))
		return cedar_json_problem(j, AG_CEDAR_INVALID,
		    "the context is an object");
	err = cedar_json_value(j, from, NULL, out);
	if (err == AG_CEDAR_OK && out->kind != AG_CEDAR_RECORD)
		err = cedar_json_problem(j, AG_CEDAR_INVALID,
		    "the context is a record");
	return err;
}

enum ag_cedar_err
ag_cedar_context_json(struct ag_cedar_arena *arena, const char *text,
    size_t len, struct ag_cedar_value *out, struct ag_cedar_problem *problem)
{
	struct cedar_json j;
	json_t *root;
	enum ag_cedar_err err = cedar_json_load(&j, arena, text, len, problem,
	    &root);

	if (err == AG_CEDAR_OK)
		err = context(&j, root, out);
	json_decref(root);
	return err;
}

enum ag_cedar_err
ag_cedar_request_json(struct ag_cedar_arena *arena, const char *text,
    size_t len, struct ag_cedar_request *out, struct ag_cedar_problem *problem)
{
	static const char *const names[] = { "principal", "action", "resource",
		"context" };
	struct ag_cedar_uid *uids[] = { &out->principal, &out->action,
		&out->resource };
	struct cedar_json j;
	json_t *root;
	enum ag_cedar_err err = cedar_json_load(&j, arena, text, len, problem,
	    &root);
	size_t at;

	memset(out, 0, sizeof(*out));
	if (err == AG_CEDAR_OK)
		err = cedar_json_members(&j, root, names, 4, 3);
	for (int i = 0; i < 3 && err == AG_CEDAR_OK; i++) {
		at = cedar_json_enter(&j, names[i]);
		err = cedar_json_uid(&j, json_object_get(root, names[i]),
		    uids[i]);
		if (err == AG_CEDAR_OK)
			cedar_json_leave(&j, at);
	}
	out->context = cedar_empty_record;
	if (err == AG_CEDAR_OK && json_object_get(root, "context") != NULL) {
		(void)cedar_json_enter(&j, "context");
		err = context(&j, json_object_get(root, "context"),
		    &out->context);
	}
	json_decref(root);
	return err;
}
