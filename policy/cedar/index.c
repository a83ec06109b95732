/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index: each policy lies where the part of its scope that it shares with
 * the fewest others leads, and there by the next part, and so on. A request
 * asks for its own keys only, so its cost follows what can match.
 *
 * Names are compared, not only their hashes: what the way to a leaf proved is
 * not asked again.
 */
#include "set.h"

#include <stdlib.h>

enum { LEAF_MAX = 4 }; /* policies that are not worth a split */

/* One policy's key in one part; several, if it lists actions. */
struct entry {
	uint64_t key; /* what and hash */
	struct ag_cedar_str type, id;
	uint32_t policy;
	uint32_t size; /* policies with this key */
	uint8_t dim, kind;
};

struct builder {
	struct ag_cedar_set *set;
	struct cedar_index *index;
	struct cedar_index_slot *made; /* what will be in the table */
	uint32_t made_count;
};

static int
key_order(const struct entry *x, const struct entry *y)
{
	int order;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	order = cedar_str_order(x->type, y->type);
	return order != 0 ? order : cedar_str_order(x->id, y->id);
}

static int
by_key(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int order = key_order(x, y);

	return order != 0 ? order :
	    (x->policy > y->policy) - (x->policy < y->policy);
}

static int
by_policy(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->policy != y->policy)
		return x->policy < y->policy ? -1 : 1;
	if (x->dim != y->dim)
		return x->dim < y->dim ? -1 : 1;
	return key_order(x, y);
}

static size_t
key_count(const struct cedar_policy *policy, int dim)
{
	const struct cedar_scope *scope = &policy->body->scope[dim];

	if (scope->kind == CEDAR_SCOPE_ANY)
		return 0;
	return dim == CEDAR_A ? scope->uid_count : 1;
}

static void
put_keys(struct entry *out, uint32_t policy_at,
    const struct cedar_policy *policy, int dim)
{
	const struct cedar_scope *scope = &policy->body->scope[dim];
	const struct ag_cedar_uid *uid = cedar_scope_uid(policy, dim);
	size_t count = key_count(policy, dim);

	for (size_t i = 0; i < count; i++) {
		out[i] = (struct entry){ .policy = policy_at,
			.dim = (uint8_t)dim };
		out[i].kind = scope->kind == CEDAR_SCOPE_IS ? CEDAR_KEY_IS :
		    scope->kind == CEDAR_SCOPE_EQ ? CEDAR_KEY_EQ : CEDAR_KEY_IN;
		out[i].key = (uint64_t)cedar_index_what(dim, out[i].kind) << 32 |
		    (scope->kind == CEDAR_SCOPE_IS ? scope->type_hash :
		    uid[i].hash);
		out[i].type = scope->kind == CEDAR_SCOPE_IS ? scope->type :
		    uid[i].type;
		if (scope->kind != CEDAR_SCOPE_IS)
			out[i].id = uid[i].id;
	}
}

/* All keys of the policies in the parts that are left. False: no memory. */
static bool
collect(struct builder *b, const uint32_t *list, size_t count, unsigned dims,
    struct entry **out, size_t *out_count)
{
	size_t n = 0;

	for (size_t i = 0; i < count; i++)
		for (int dim = 0; dim < CEDAR_DIMS; dim++)
			if (dims & 1u << dim)
				n += key_count(&b->set->policies[list[i]], dim);
	*out = malloc((n + 1) * sizeof(**out));
	*out_count = n;
	if (*out == NULL)
		return false;
	n = 0;
	for (size_t i = 0; i < count; i++)
		for (int dim = 0; dim < CEDAR_DIMS; dim++)
			if (dims & 1u << dim) {
				put_keys(*out + n, list[i],
				    &b->set->policies[list[i]], dim);
				n += key_count(&b->set->policies[list[i]], dim);
			}
	return true;
}

/* Keeps, of each policy, the keys of the part that it shares with the fewest;
 * returns how many keys are left, ordered by key. */
static size_t
choose(struct entry *e, size_t count)
{
	size_t kept = 0;

	qsort(e, count, sizeof(*e), by_key);
	for (size_t i = 0, k; i < count; i = k) {
		for (k = i; k < count && key_order(&e[k], &e[i]) == 0;)
			k++;
		for (size_t m = i; m < k; m++)
			e[m].size = (uint32_t)(k - i);
	}
	qsort(e, count, sizeof(*e), by_policy);
	for (size_t i = 0, k; i < count; i = k) {
		uint32_t worst[CEDAR_DIMS] = { 0 };
		int best = -1;

		for (k = i; k < count && e[k].policy == e[i].policy; k++)
			if (e[k].size > worst[e[k].dim])
				worst[e[k].dim] = e[k].size;
		for (int dim = 0; dim < CEDAR_DIMS; dim++)
			if (worst[dim] != 0 &&
			    (best < 0 || worst[dim] < worst[best]))
				best = dim;
		for (size_t m = i; m < k; m++)
			if (e[m].dim == best && (kept == 0 ||
			    e[kept - 1].policy != e[m].policy ||
			    key_order(&e[kept - 1], &e[m]) != 0))
				e[kept++] = e[m];
	}
	qsort(e, kept, sizeof(*e), by_key);
	return kept;
}

static bool
node_new(struct builder *b, uint32_t *out)
{
	struct cedar_index *x = b->index;

	if (!cedar_grow(&b->set->arena, &x->nodes, x->node_count,
	    sizeof(*x->nodes)))
		return false;
	*out = x->node_count++;
	x->nodes[*out] = (struct cedar_index_node){ .at = x->leaf_count };
	return true;
}

/* What is left to check, if the parts of `dims` were not on the way. */
static uint8_t
unproved(const struct cedar_body *body, unsigned dims)
{
	unsigned check = 0;

	for (unsigned dim = 0; dim < CEDAR_DIMS; dim++) {
		uint8_t kind = body->scope[dim].kind;

		/* `is T in x` lies where x leads, which says nothing of T. */
		if (kind == CEDAR_SCOPE_IS_IN ||
		    (kind != CEDAR_SCOPE_ANY && dims & 1u << dim))
			check |= 1u << dim;
	}
	return (uint8_t)check;
}

static bool
leaf_put(struct builder *b, uint32_t node, uint32_t policy, unsigned dims)
{
	struct cedar_index *x = b->index;
	struct cedar_body *body = b->set->policies[policy].body;

	if (!cedar_grow(&b->set->arena, &x->leaves, x->leaf_count,
	    sizeof(*x->leaves)))
		return false;
	/* In the order of the leaves, so that neighbours are neighbours. */
	b->set->coder.from = body->at;
	if (body->code == 0 && body->conditions != NULL)
		body->code = cedar_code_conditions(&b->set->coder,
		    body->conditions) + 1;
	x->leaves[x->leaf_count++] = (struct cedar_leaf){ .policy = policy,
		.code = body->code, .check = unproved(body, dims),
		.forbid = body->forbid };
	x->nodes[node].count++;
	return !b->set->coder.no_memory;
}

/* A child for each key that was chosen, and what is below it. Recursion ends
 * with the parts of the scope. */
static bool build(struct builder *b, uint32_t node, const uint32_t *list,
    size_t count, unsigned dims);

static bool
split(struct builder *b, uint32_t node, const struct entry *e, size_t count,
    unsigned dims)
{
	uint32_t *list = malloc((count + 1) * sizeof(*list));
	bool ok = list != NULL;

	for (size_t i = 0, k; ok && i < count; i = k) {
		uint32_t child = 0;

		for (k = i; k < count && key_order(&e[k], &e[i]) == 0;
		    k++)
			list[k - i] = e[k].policy;
		ok = node_new(b, &child) && cedar_grow(&b->set->arena, &b->made,
		    b->made_count, sizeof(*b->made));
		if (!ok)
			break;
		b->index->nodes[node].kinds[e[i].dim] |=
		    (uint8_t)(1u << e[i].kind);
		b->made[b->made_count++] = (struct cedar_index_slot){
			.parent = node, .hash = (uint32_t)e[i].key,
			.child = child, .what = (uint32_t)(e[i].key >> 32),
			.type = e[i].type, .id = e[i].id };
		ok = build(b, child, list, k - i, dims & ~(1u << e[i].dim));
	}
	free(list);
	return ok;
}

static bool
build(struct builder *b, uint32_t node, const uint32_t *list, size_t count,
    unsigned dims)
{
	struct entry *e = NULL;
	size_t kept = 0, at = 0;
	bool ok = true;

	b->index->nodes[node].at = b->index->leaf_count;
	if (count > LEAF_MAX && dims != 0) {
		if (!collect(b, list, count, dims, &e, &kept))
			return false;
		kept = choose(e, kept);
	}
	/* Those without a key stay here, contiguous, before any child's. */
	if (kept > 0)
		qsort(e, kept, sizeof(*e), by_policy);
	for (size_t i = 0; i < count && ok; i++) {
		size_t policy_keys;
		const struct cedar_policy *p = &b->set->policies[list[i]];

		while (at < kept && e[at].policy < list[i])
			at++;
		/* `action in []` has no key in any part, and never matches. */
		policy_keys = at < kept && e[at].policy == list[i];
		if (policy_keys == 0 &&
		    !(p->body->scope[CEDAR_A].kind != CEDAR_SCOPE_ANY &&
		    p->body->scope[CEDAR_A].uid_count == 0))
			ok = leaf_put(b, node, list[i], dims);
	}
	if (ok && kept > 0) {
		qsort(e, kept, sizeof(*e), by_key);
		ok = split(b, node, e, kept, dims);
	}
	free(e);
	return ok;
}

/* Names that are often compared are one, and so in the cache. */
static struct ag_cedar_str
one_name(struct builder *b, struct ag_cedar_str name)
{
	const struct ag_cedar_value *one = cedar_intern(&b->set->coder,
	    ag_cedar_string(name));

	return one == NULL ? name : one->string;
}

/* The table of what was made, at most half full. */
static bool
table_make(struct builder *b)
{
	struct cedar_index *x = b->index;
	size_t k;

	for (x->size = 16; x->size < (size_t)b->made_count * 2;)
		x->size *= 2;
	x->slots = ag_cedar_alloc(&b->set->arena, x->size * sizeof(*x->slots));
	if (x->slots == NULL)
		return false;
	for (uint32_t i = 0; i < b->made_count; i++) {
		const struct cedar_index_slot *m = &b->made[i];

		for (k = cedar_index_hash(m->parent, m->what, m->hash);
		    x->slots[k & (x->size - 1)].what != 0;)
			k++;
		x->slots[k & (x->size - 1)] = *m;
		x->slots[k & (x->size - 1)].type = one_name(b, m->type);
		x->slots[k & (x->size - 1)].id = one_name(b, m->id);
	}
	return !b->set->coder.no_memory;
}

enum ag_cedar_err
cedar_index_build(struct ag_cedar_set *set)
{
	struct builder b = { .set = set, .index = &set->index };
	uint32_t root, *list = malloc((set->policy_count + 1) * sizeof(*list));
	bool ok;

	set->index = (struct cedar_index){ .size = 0 };
	set->coder = (struct cedar_coder){ .arena = &set->arena };
	ok = list != NULL && node_new(&b, &root);
	for (size_t i = 0; ok && i < set->policy_count; i++)
		list[i] = (uint32_t)i;
	ok = ok && build(&b, root, list, set->policy_count,
	    (1u << CEDAR_DIMS) - 1) && table_make(&b);
	free(list);
	return ok ? AG_CEDAR_OK : AG_CEDAR_NO_MEMORY;
}
