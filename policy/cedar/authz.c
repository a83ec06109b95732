/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decides: takes the policies that can match out of the index, evaluates them,
 * and weighs: forbid over permit, and nothing said is a deny. A policy whose
 * evaluation fails says nothing, and is reported.
 */
#include "set.h"

enum {
	PREFETCH = 16, /* policies of one node */
	LINES = 3,     /* of cache, that most conditions fit in */
};

struct list {
	uint32_t *items;
	size_t count;
};

struct deciding {
	const struct ag_cedar_set *set;
	struct cedar_eval ev;
	const struct ag_cedar_uid *uid[CEDAR_DIMS];
	struct list permits, forbids;
	struct ag_cedar_failure *failures;
	size_t failure_count;
	bool no_memory;
};

/* ------------------------------------------------------------------ scopes */

static bool
in_scope(const struct deciding *d, const struct cedar_policy *policy, int dim)
{
	const struct cedar_scope *scope = &policy->body->scope[dim];
	const struct ag_cedar_uid *self = d->uid[dim], *uid;
	size_t count = dim == CEDAR_A ? scope->uid_count : 1;

	if (scope->kind == CEDAR_SCOPE_ANY)
		return true;
	if ((scope->kind == CEDAR_SCOPE_IS || scope->kind == CEDAR_SCOPE_IS_IN) &&
	    !cedar_str_equal(self->type, scope->type))
		return false;
	if (scope->kind == CEDAR_SCOPE_IS)
		return true;
	uid = cedar_scope_uid(policy, dim);
	if (scope->kind == CEDAR_SCOPE_EQ)
		return ag_cedar_uid_equal(self, uid);
	for (size_t i = 0; i < count; i++)
		if (cedar_entity_in(self, d->ev.known[dim], &uid[i]))
			return true;
	return false;
}

/* -------------------------------------------------------------- evaluation */

static void
keep(struct deciding *d, struct list *list, uint32_t policy)
{
	if (!cedar_grow(d->ev.scratch, &list->items, list->count,
	    sizeof(*list->items)))
		d->no_memory = true;
	else
		list->items[list->count++] = policy;
}

static void
keep_failure(struct deciding *d, const struct cedar_policy *policy,
    uint32_t at)
{
	struct ag_cedar_failure *f;

	/* What lacks memory might have forbidden: that is no answer at all. */
	if (d->ev.fault == AG_CEDAR_FAULT_MEMORY ||
	    !cedar_grow(d->ev.scratch, &d->failures, d->failure_count,
	    sizeof(*f))) {
		d->no_memory = true;
		return;
	}
	f = &d->failures[d->failure_count++];
	*f = (struct ag_cedar_failure){ .policy = at, .fault = d->ev.fault };
	if (policy->body->has_source)
		cedar_place(policy->body->source,
		    policy->body->at + d->ev.at->at, &f->line, &f->column);
}

static void
weigh(struct deciding *d, const struct cedar_leaf *leaf)
{
	bool yes = true;

	for (int dim = 0; leaf->check != 0 && dim < CEDAR_DIMS; dim++)
		if (leaf->check & 1u << dim &&
		    !in_scope(d, &d->set->policies[leaf->policy], dim))
			return;
	d->ev.fault = AG_CEDAR_FAULT_NONE;
	if (leaf->code != 0 && !cedar_evaluate_bool(&d->ev,
	    &d->set->coder.nodes[leaf->code - 1], &yes)) {
		keep_failure(d, &d->set->policies[leaf->policy], leaf->policy);
		return;
	}
	if (yes)
		keep(d, leaf->forbid ? &d->forbids : &d->permits, leaf->policy);
}

/* ------------------------------------------------------------------- index */

static void visit(struct deciding *d, uint32_t node);

static void
probe(struct deciding *d, uint32_t node, int dim, enum cedar_key_kind kind,
    const struct ag_cedar_uid *uid)
{
	uint32_t hash = kind == CEDAR_KEY_IS ? uid->type_hash : uid->hash;
	const struct cedar_index *x = &d->set->index;
	uint32_t what = cedar_index_what(dim, kind);
	size_t i = cedar_index_hash(node, what, hash) & (x->size - 1);

	for (; x->slots[i].what != 0; i = (i + 1) & (x->size - 1))
		if (x->slots[i].hash == hash && x->slots[i].parent == node &&
		    x->slots[i].what == what && (kind == CEDAR_KEY_IS ||
		    cedar_str_equal(x->slots[i].id, uid->id)) &&
		    cedar_str_equal(x->slots[i].type, uid->type)) {
			visit(d, x->slots[i].child);
			return;
		}
}

/* A node's own policies, and those that a key of the request leads to. A child
 * splits by another part than its parent, so this goes three levels deep. */
static void
visit(struct deciding *d, uint32_t at)
{
	const struct cedar_index_node *node = &d->set->index.nodes[at];
	const struct cedar_leaf *leaf = node->count == 0 ? NULL :
	    &d->set->index.leaves[node->at];

	/* What comes next is asked for early: with many policies, waiting for
	 * memory would be most of the time. */
	for (uint32_t i = 0; i < node->count && i < PREFETCH; i++)
		for (uint32_t k = 0; k < LINES; k++)
			__builtin_prefetch((const void *)(
			    (uintptr_t)d->set->coder.nodes +
			    leaf[i].code * sizeof(struct cedar_code) + k * 64));
	for (uint32_t i = 0; i < node->count && !d->no_memory; i++)
		weigh(d, &leaf[i]);
	for (int dim = 0; dim < CEDAR_DIMS; dim++) {
		const struct ag_cedar_uid *uid = d->uid[dim];
		const struct cedar_entity *known = d->ev.known[dim];

		if (node->kinds[dim] & 1u << CEDAR_KEY_EQ)
			probe(d, at, dim, CEDAR_KEY_EQ, uid);
		if (node->kinds[dim] & 1u << CEDAR_KEY_IS)
			probe(d, at, dim, CEDAR_KEY_IS, uid);
		if (!(node->kinds[dim] & 1u << CEDAR_KEY_IN))
			continue;
		probe(d, at, dim, CEDAR_KEY_IN, uid);
		for (size_t i = 0; known != NULL && i < known->ancestor_count;
		    i++)
			probe(d, at, dim, CEDAR_KEY_IN, known->ancestors[i]);
	}
}

/* ------------------------------------------------------------------ answer */

static bool
number_less(const void *array, size_t a, size_t b)
{
	const uint32_t *n = array;

	return n[a] < n[b];
}

static bool
failure_less(const void *array, size_t a, size_t b)
{
	const struct ag_cedar_failure *f = array;

	return f[a].policy < f[b].policy;
}

/* Ascending; a policy that lists several actions may be there twice. */
static void
tidy(struct deciding *d, struct list *list)
{
	size_t n = 0;

	cedar_sort(list->items, list->count, sizeof(*list->items), number_less);
	for (size_t i = 0; i < list->count; i++)
		if (n == 0 || list->items[n - 1] != list->items[i])
			list->items[n++] = list->items[i];
	list->count = n;
	n = 0;
	cedar_sort(d->failures, d->failure_count, sizeof(*d->failures),
	    failure_less);
	for (size_t i = 0; i < d->failure_count; i++)
		if (n == 0 || d->failures[n - 1].policy != d->failures[i].policy)
			d->failures[n++] = d->failures[i];
	d->failure_count = n;
}

enum ag_cedar_err
ag_cedar_decide(const struct ag_cedar_set *set,
    const struct ag_cedar_entities *entities,
    const struct ag_cedar_request *request, struct ag_cedar_arena *scratch,
    struct ag_cedar_answer *out)
{
	struct deciding d = { .set = set,
		.uid = { &request->principal, &request->action,
		    &request->resource } };
	struct list *said;

	memset(out, 0, sizeof(*out));
	if (!set->is_compiled || (entities != NULL && !entities->is_closed &&
	    entities->count != 0))
		return AG_CEDAR_INVALID;
	cedar_eval_begin(&d.ev, scratch, entities, request);
	visit(&d, 0);
	if (d.no_memory)
		return AG_CEDAR_NO_MEMORY;
	said = d.forbids.count != 0 ? &d.forbids : &d.permits;
	tidy(&d, said);
	if (said == &d.forbids)
		tidy(&d, &d.permits);
	*out = (struct ag_cedar_answer){
		.allow = d.forbids.count == 0 && d.permits.count != 0,
		.reasons = said->items, .reason_count = said->count,
		.failures = d.failures, .failure_count = d.failure_count,
		.permits = said == &d.forbids ? d.permits.items : NULL,
		.permit_count = said == &d.forbids ? d.permits.count : 0,
	};
	return AG_CEDAR_OK;
}
