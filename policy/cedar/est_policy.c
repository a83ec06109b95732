/* SPDX-License-Identifier: Apache-2.0 */
/* Policies, templates, links and sets of Cedar's JSON policy format. */
#include "est.h"
#include "set.h"

/* ------------------------------------------------------------------ scopes */

static void
scope_uid(struct cedar_est *r, const json_t *from, int dim,
    struct cedar_scope *out)
{
	struct ag_cedar_uid *uid;

	if (r->err != AG_CEDAR_OK || !cedar_grow(r->j.arena, &out->uids,
	    out->uid_count, sizeof(*uid))) {
		if (r->err == AG_CEDAR_OK)
			r->err = cedar_no_memory(r->j.problem);
		return;
	}
	uid = &out->uids[out->uid_count++];
	r->err = cedar_json_uid(&r->j, from, uid);
	if (r->err == AG_CEDAR_OK && dim == CEDAR_A &&
	    !cedar_is_action_type(uid->type))
		CEDAR_EST_REFUSE(r, "`%.*s` is no type of actions; it must be Action, or "
		    "end in ::Action", (int)uid->type.len, uid->type.p);
}

static void
scope_entity(struct cedar_est *r, const json_t *from, int dim,
    struct cedar_scope *out)
{
	const json_t *slot = json_object_get(from, "slot");
	const json_t *entities = json_object_get(from, "entities");

	if (slot != NULL && dim != CEDAR_A) {
		out->has_slot = true;
		if (!json_is_string(slot) || strcmp(json_string_value(slot),
		    dim == CEDAR_P ? "?principal" : "?resource") != 0)
			CEDAR_EST_REFUSE(r, "the slot here is %s", dim == CEDAR_P ?
			    "?principal" : "?resource");
		return;
	}
	if (entities != NULL && dim == CEDAR_A && out->kind == CEDAR_SCOPE_IN) {
		out->is_list = true;
		if (!json_is_array(entities))
			CEDAR_EST_REFUSE(r, "the member \"entities\" must be an array");
		for (size_t i = 0; i < json_array_size(entities); i++)
			scope_uid(r, json_array_get(entities, i), dim, out);
		return;
	}
	if (json_object_get(from, "entity") == NULL)
		CEDAR_EST_REFUSE(r, "the member \"entity\" is missing");
	else
		scope_uid(r, json_object_get(from, "entity"), dim, out);
}

static void
scope(struct cedar_est *r, const json_t *policy, int dim, struct cedar_scope *out)
{
	static const struct {
		const char *name;
		uint8_t kind;
	} ops[] = { { "All", CEDAR_SCOPE_ANY }, { "==", CEDAR_SCOPE_EQ },
		{ "in", CEDAR_SCOPE_IN }, { "is", CEDAR_SCOPE_IS } };
	const json_t *from = json_object_get(policy, cedar_est_vars[dim]);
	const char *op = json_string_value(json_object_get(from, "op"));
	size_t len = cedar_json_enter(&r->j, cedar_est_vars[dim]), i = 0;

	while (op != NULL && i < CEDAR_COUNT(ops) && strcmp(ops[i].name, op) != 0)
		i++;
	if (op == NULL || i == CEDAR_COUNT(ops) ||
	    (dim == CEDAR_A && ops[i].kind == CEDAR_SCOPE_IS)) {
		CEDAR_EST_REFUSE(r, "the member \"op\" must be one of All, ==, in%s",
		    dim == CEDAR_A ? "" : ", is");
		return;
	}
	out->kind = ops[i].kind;
	if (out->kind == CEDAR_SCOPE_IS) {
		if (!cedar_est_type_name(r, from, &out->type))
			return;
		out->type_hash = cedar_hash(out->type, 0);
		if (json_object_get(from, "in") != NULL) {
			out->kind = CEDAR_SCOPE_IS_IN;
			scope_entity(r, json_object_get(from, "in"), dim, out);
		}
	} else if (out->kind != CEDAR_SCOPE_ANY) {
		scope_entity(r, from, dim, out);
	}
	if (r->err == AG_CEDAR_OK)
		cedar_json_leave(&r->j, len);
}

/* ---------------------------------------------------------------- policies */

static void
conditions(struct cedar_est *r, const json_t *from, struct cedar_body *b)
{
	struct cedar_condition **link = &b->conditions, *c;
	size_t len = cedar_json_enter(&r->j, "conditions");

	if (r->err == AG_CEDAR_OK && !json_is_array(from))
		CEDAR_EST_REFUSE(r, "an array is needed here");
	for (size_t i = 0; i < json_array_size(from) && r->err == AG_CEDAR_OK;
	    i++) {
		const json_t *one = json_array_get(from, i);
		const char *kind = json_string_value(json_object_get(one, "kind"));
		size_t at = cedar_json_enter_at(&r->j, i);

		if ((c = ag_cedar_alloc(r->j.arena, sizeof(*c))) == NULL) {
			r->err = cedar_no_memory(r->j.problem);
			return;
		}
		c->is_unless = kind != NULL && strcmp(kind, "unless") == 0;
		if (!c->is_unless && (kind == NULL || strcmp(kind, "when") != 0))
			CEDAR_EST_REFUSE(r, "the member \"kind\" is when or unless");
		c->expr = cedar_est_child(r, one, "body");
		*link = c;
		link = &c->next;
		if (r->err == AG_CEDAR_OK)
			cedar_json_leave(&r->j, at);
	}
	if (r->err == AG_CEDAR_OK)
		cedar_json_leave(&r->j, len);
}

static void
annotations(struct cedar_est *r, const json_t *from, struct cedar_body *b)
{
	struct cedar_annotation *a;
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)from, key, value) {
		if (r->err != AG_CEDAR_OK)
			return;
		if (!cedar_grow(r->j.arena, &b->annotations, b->annotation_count,
		    sizeof(*a))) {
			r->err = cedar_no_memory(r->j.problem);
			return;
		}
		a = &b->annotations[b->annotation_count++];
		a->name = cedar_json_name(&r->j, key);
		a->has_value = !json_is_null(value);
		if (!cedar_is_ident(a->name))
			CEDAR_EST_REFUSE(r, "`%.60s` is no name of an annotation", key);
		if (r->err == AG_CEDAR_OK && a->has_value)
			r->err = cedar_json_string(&r->j, value, &a->value);
	}
}

static struct cedar_body *
body(struct cedar_est *r, struct ag_cedar_str id, const json_t *from)
{
	static const char *const names[] = { "effect", "principal", "action",
		"resource", "conditions", "annotations" };
	const char *effect = json_string_value(json_object_get(from, "effect"));
	struct cedar_body *b = ag_cedar_alloc(r->j.arena, sizeof(*b));

	r->err = b == NULL ? cedar_no_memory(r->j.problem) :
	    cedar_json_members(&r->j, from, names, 6, 5);
	if (r->err != AG_CEDAR_OK)
		return NULL;
	b->forbid = effect != NULL && strcmp(effect, "forbid") == 0;
	if (!b->forbid && (effect == NULL || strcmp(effect, "permit") != 0))
		CEDAR_EST_REFUSE(r, "the member \"effect\" is permit or forbid");
	for (int dim = 0; dim < CEDAR_DIMS && r->err == AG_CEDAR_OK; dim++) {
		scope(r, from, dim, &b->scope[dim]);
		b->is_template |= b->scope[dim].has_slot;
	}
	conditions(r, json_object_get(from, "conditions"), b);
	annotations(r, json_object_get(from, "annotations"), b);
	b->id = cedar_str_copy(r->j.arena, id);
	if (b->id.p == NULL && r->err == AG_CEDAR_OK)
		r->err = cedar_no_memory(r->j.problem);
	return b;
}

static enum ag_cedar_err
add(struct ag_cedar_set *set_, struct cedar_est *r, struct ag_cedar_str id,
    const json_t *from)
{
	struct cedar_body *b;

	if (id.len > AG_CEDAR_ID_MAX)
		return cedar_problem(r->j.problem, AG_CEDAR_LIMIT, "the id has "
		    "more than %d bytes", AG_CEDAR_ID_MAX);
	b = body(r, id, from);
	if (r->err != AG_CEDAR_OK)
		return r->err;
	*cedar_set_tail(set_) = b;
	return cedar_set_add(set_, b, r->j.problem);
}

static enum ag_cedar_err
begin(struct ag_cedar_set *set_, struct cedar_est *r, const char *from,
    size_t len, struct ag_cedar_problem *problem, json_t **root)
{
	*root = NULL;
	memset(r, 0, sizeof(*r));
	if (set_->is_compiled)
		return cedar_problem(problem, AG_CEDAR_INVALID,
		    "the set is compiled, and so constant");
	return cedar_json_load(&r->j, &set_->arena, from, len, problem, root);
}

enum ag_cedar_err
ag_cedar_set_json(struct ag_cedar_set *set_, const char *id, const char *from,
    size_t len, struct ag_cedar_problem *problem)
{
	struct cedar_est r;
	json_t *root;
	enum ag_cedar_err err = begin(set_, &r, from, len, problem, &root);

	if (err == AG_CEDAR_OK)
		err = add(set_, &r, cedar_str(id), root);
	json_decref(root);
	return err;
}

static enum ag_cedar_err
add_all(struct ag_cedar_set *set_, struct cedar_est *r, const json_t *root,
    const char *name)
{
	enum ag_cedar_err err = AG_CEDAR_OK;
	size_t len = cedar_json_enter(&r->j, name), at;
	const char *key;
	json_t *value;

	json_object_foreach(json_object_get(root, name), key, value) {
		if (err != AG_CEDAR_OK)
			return err;
		at = cedar_json_enter(&r->j, key);
		err = add(set_, r, cedar_json_name(&r->j, key), value);
		if (err == AG_CEDAR_OK)
			cedar_json_leave(&r->j, at);
	}
	if (err == AG_CEDAR_OK)
		cedar_json_leave(&r->j, len);
	return err;
}

/* {"templateId","newId","values":{"?principal":uid}} */
static enum ag_cedar_err
link_one(struct ag_cedar_set *set_, struct cedar_est *r, const json_t *from)
{
	static const char *const names[] = { "templateId", "newId", "values" };
	static const char *const slots[] = { "?principal", "?resource" };
	const json_t *values = json_object_get(from, "values");
	struct ag_cedar_uid uids[2];
	const struct ag_cedar_uid *fill[2] = { NULL, NULL };
	struct ag_cedar_str template_id, id;

	r->err = cedar_json_members(&r->j, from, names, 3, 3);
	if (r->err == AG_CEDAR_OK)
		r->err = cedar_json_members(&r->j, values, slots, 2, 0);
	for (int i = 0; i < 2 && r->err == AG_CEDAR_OK; i++)
		if (json_object_get(values, slots[i]) != NULL) {
			r->err = cedar_json_uid(&r->j,
			    json_object_get(values, slots[i]), &uids[i]);
			fill[i] = &uids[i];
		}
	if (r->err != AG_CEDAR_OK || !cedar_est_text(r, from, "templateId", &template_id) ||
	    !cedar_est_text(r, from, "newId", &id))
		return r->err;
	return ag_cedar_set_link(set_, template_id.p, id.p, fill[0], fill[1],
	    r->j.problem);
}

enum ag_cedar_err
ag_cedar_set_json_all(struct ag_cedar_set *set_, const char *from, size_t len,
    struct ag_cedar_problem *problem)
{
	static const char *const names[] = { "staticPolicies", "templates",
		"templateLinks" };
	struct cedar_est r;
	json_t *root, *links;
	enum ag_cedar_err err = begin(set_, &r, from, len, problem, &root);

	if (err == AG_CEDAR_OK)
		err = cedar_json_members(&r.j, root, names, 3, 0);
	if (err == AG_CEDAR_OK)
		err = add_all(set_, &r, root, "staticPolicies");
	if (err == AG_CEDAR_OK)
		err = add_all(set_, &r, root, "templates");
	links = json_object_get(root, "templateLinks");
	for (size_t i = 0; err == AG_CEDAR_OK && i < json_array_size(links); i++)
		err = link_one(set_, &r, json_array_get(links, i));
	json_decref(root);
	return err;
}
