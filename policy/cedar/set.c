/* SPDX-License-Identifier: Apache-2.0 */
/* Sets: filled, linked, compiled; constant from then on. */
#include "set.h"

#include <stdlib.h>

enum { IDS_FIRST = 64 };

enum ag_cedar_err
ag_cedar_set_new(size_t max_bytes, struct ag_cedar_set **out)
{
	struct ag_cedar_set *set = calloc(1, sizeof(*set));

	*out = set;
	if (set == NULL)
		return AG_CEDAR_NO_MEMORY;
	ag_cedar_arena_init(&set->arena, max_bytes);
	return AG_CEDAR_OK;
}

void
ag_cedar_set_free(struct ag_cedar_set **set)
{
	if (*set == NULL)
		return;
	ag_cedar_arena_fini(&(*set)->arena);
	free(*set);
	*set = NULL;
}

/* -------------------------------------------------------------------- ids */

static struct cedar_id_slot *
id_place(const struct ag_cedar_set *set, struct ag_cedar_str id)
{
	size_t i = cedar_hash(id, 0) & (set->id_size - 1);

	while (set->ids[i].id.p != NULL && !cedar_str_equal(set->ids[i].id, id))
		i = (i + 1) & (set->id_size - 1);
	return &set->ids[i];
}

static bool
ids_grow(struct ag_cedar_set *set)
{
	struct cedar_id_slot *old = set->ids;
	size_t old_size = set->id_size, size;

	if (set->id_count * 2 < set->id_size)
		return true;
	size = old_size == 0 ? IDS_FIRST : old_size * 2;
	set->ids = ag_cedar_alloc(&set->arena, size * sizeof(*set->ids));
	if (set->ids == NULL) {
		set->ids = old;
		return false;
	}
	set->id_size = size;
	for (size_t i = 0; i < old_size; i++)
		if (old[i].id.p != NULL)
			*id_place(set, old[i].id) = old[i];
	return true;
}

/* body: what the id is a template's name for; NULL: a policy's. */
static enum ag_cedar_err
id_take(struct ag_cedar_set *set, struct ag_cedar_str id,
    struct cedar_body *body, struct ag_cedar_problem *problem)
{
	struct cedar_id_slot *slot;

	if (set->policy_count + set->template_count >= AG_CEDAR_POLICY_MAX)
		return cedar_problem(problem, AG_CEDAR_LIMIT, "there are more "
		    "than %d policies", AG_CEDAR_POLICY_MAX);
	if (!ids_grow(set))
		return cedar_no_memory(problem);
	slot = id_place(set, id);
	if (slot->id.p != NULL)
		return cedar_problem(problem, AG_CEDAR_DUPLICATE, "the id "
		    "\"%.*s\" is there twice; ids are unique among policies, "
		    "links and templates", (int)id.len, id.p);
	*slot = (struct cedar_id_slot){ id, body };
	set->id_count++;
	return AG_CEDAR_OK;
}

static enum ag_cedar_err
policy_add(struct ag_cedar_set *set, const struct cedar_policy *policy,
    struct ag_cedar_problem *problem)
{
	if (!cedar_grow(&set->arena, &set->policies, set->policy_count,
	    sizeof(*policy)))
		return cedar_no_memory(problem);
	set->policies[set->policy_count++] = *policy;
	return AG_CEDAR_OK;
}

enum ag_cedar_err
cedar_set_add(struct ag_cedar_set *set, struct cedar_body *body,
    struct ag_cedar_problem *problem)
{
	enum ag_cedar_err err = id_take(set, body->id,
	    body->is_template ? body : NULL, problem);

	if (err != AG_CEDAR_OK)
		return err;
	if (body->is_template) {
		set->template_count++;
		return AG_CEDAR_OK;
	}
	return policy_add(set, &(struct cedar_policy){ .id = body->id,
		.body = body }, problem);
}

/* ----------------------------------------------------------------- filling */

struct cedar_body **
cedar_set_tail(struct ag_cedar_set *set)
{
	if (set->tail == NULL)
		set->tail = &set->bodies;
	while (*set->tail != NULL)
		set->tail = &(*set->tail)->next;
	return set->tail;
}

enum ag_cedar_err
ag_cedar_set_text(struct ag_cedar_set *set, const char *prefix,
    const char *text, size_t len, struct ag_cedar_problem *problem)
{
	struct cedar_body **link = cedar_set_tail(set);
	struct ag_cedar_str copy;
	enum ag_cedar_err err;

	if (set->is_compiled)
		return cedar_problem(problem, AG_CEDAR_INVALID,
		    "the set is compiled, and so constant");
	if (len > AG_CEDAR_TEXT_MAX)
		return cedar_problem(problem, AG_CEDAR_LIMIT, "the text has %zu "
		    "bytes; at most %d are read", len, AG_CEDAR_TEXT_MAX);
	copy = cedar_str_copy(&set->arena, (struct ag_cedar_str){ text, len });
	if (copy.p == NULL)
		return cedar_no_memory(problem);
	err = cedar_parse_policies(&set->arena, prefix, copy, link, problem);
	for (struct cedar_body *b = *link; b != NULL && err == AG_CEDAR_OK;
	    b = b->next)
		err = cedar_set_add(set, b, problem);
	return err;
}

/* The slot of a link must be there exactly if the template has it. */
static enum ag_cedar_err
slot_fill(struct ag_cedar_set *set, struct cedar_policy *policy, int dim,
    const struct ag_cedar_uid *uid, struct ag_cedar_problem *problem)
{
	const char *name = dim == CEDAR_P ? "?principal" : "?resource";

	if (policy->body->scope[dim].has_slot != (uid != NULL))
		return cedar_problem(problem, AG_CEDAR_INVALID, uid == NULL ?
		    "the template has the slot %s, which the link leaves open" :
		    "the template has no slot %s, which the link fills", name);
	if (uid == NULL)
		return AG_CEDAR_OK;
	policy->slot[dim] = ag_cedar_alloc(&set->arena, sizeof(*uid));
	if (policy->slot[dim] == NULL ||
	    !cedar_uid_copy(&set->arena, uid, policy->slot[dim]))
		return cedar_no_memory(problem);
	return AG_CEDAR_OK;
}

enum ag_cedar_err
ag_cedar_set_link(struct ag_cedar_set *set, const char *template_id,
    const char *id, const struct ag_cedar_uid *principal,
    const struct ag_cedar_uid *resource, struct ag_cedar_problem *problem)
{
	struct cedar_policy policy = { .id = cedar_str(id) };
	struct cedar_id_slot *slot = set->id_size == 0 ? NULL :
	    id_place(set, cedar_str(template_id));
	enum ag_cedar_err err;

	if (set->is_compiled)
		return cedar_problem(problem, AG_CEDAR_INVALID,
		    "the set is compiled, and so constant");
	if (slot == NULL || slot->body == NULL)
		return cedar_problem(problem, AG_CEDAR_UNKNOWN,
		    "there is no template \"%s\"", template_id);
	if (policy.id.len > AG_CEDAR_ID_MAX)
		return cedar_problem(problem, AG_CEDAR_LIMIT, "the id has more "
		    "than %d bytes", AG_CEDAR_ID_MAX);
	policy.body = slot->body;
	policy.id = cedar_str_copy(&set->arena, policy.id);
	if (policy.id.p == NULL)
		return cedar_no_memory(problem);
	err = slot_fill(set, &policy, CEDAR_P, principal, problem);
	if (err == AG_CEDAR_OK)
		err = slot_fill(set, &policy, CEDAR_R, resource, problem);
	if (err == AG_CEDAR_OK)
		err = id_take(set, policy.id, NULL, problem);
	return err == AG_CEDAR_OK ? policy_add(set, &policy, problem) : err;
}

enum ag_cedar_err
ag_cedar_set_compile(struct ag_cedar_set *set)
{
	enum ag_cedar_err err;

	if (set->is_compiled)
		return AG_CEDAR_OK;
	for (struct cedar_body *b = set->bodies; b != NULL; b = b->next)
		for (struct cedar_condition *c = b->conditions; c != NULL;
		    c = c->next)
			if (!cedar_fold(&set->arena, c->expr))
				return AG_CEDAR_NO_MEMORY;
	err = cedar_index_build(set);
	set->is_compiled = err == AG_CEDAR_OK;
	return err;
}

/* ------------------------------------------------------------------ asking */

const struct ag_cedar_uid *
cedar_scope_uid(const struct cedar_policy *policy, int dim)
{
	const struct cedar_scope *scope = &policy->body->scope[dim];

	return scope->has_slot ? policy->slot[dim] : scope->uids;
}

size_t
ag_cedar_set_count(const struct ag_cedar_set *set)
{
	return set->policy_count;
}

size_t
ag_cedar_template_count(const struct ag_cedar_set *set)
{
	return set->template_count;
}

const char *
ag_cedar_policy_id(const struct ag_cedar_set *set, size_t index)
{
	return set->policies[index].id.p;
}

void
ag_cedar_policy_info(const struct ag_cedar_set *set, size_t index,
    struct ag_cedar_policy_info *out)
{
	const struct cedar_policy *policy = &set->policies[index];
	const struct cedar_body *body = policy->body;

	*out = (struct ag_cedar_policy_info){ .id = policy->id.p,
		.template_id = body->is_template ? body->id.p : NULL,
		.forbid = body->forbid,
		.annotation_count = body->annotation_count };
	if (body->has_source)
		cedar_place(body->source, body->at, &out->line, &out->column);
}

bool
ag_cedar_policy_annotation(const struct ag_cedar_set *set, size_t index,
    const char *name, struct ag_cedar_str *out)
{
	const struct cedar_body *body = set->policies[index].body;

	for (uint32_t i = 0; i < body->annotation_count; i++)
		if (cedar_is(body->annotations[i].name, name)) {
			*out = body->annotations[i].value;
			return true;
		}
	return false;
}

bool
ag_cedar_policy_annotation_at(const struct ag_cedar_set *set, size_t index,
    size_t n, struct ag_cedar_str *name, struct ag_cedar_str *value)
{
	const struct cedar_body *body = set->policies[index].body;

	if (n >= body->annotation_count)
		return false;
	*name = body->annotations[n].name;
	*value = body->annotations[n].value;
	return true;
}
