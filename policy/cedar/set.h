/* SPDX-License-Identifier: Apache-2.0 */
/* A set of policies, and the index over their scopes. */
#ifndef AEGIS_POLICY_CEDAR_SET_H
#define AEGIS_POLICY_CEDAR_SET_H

#include "eval.h"

enum cedar_key_kind { CEDAR_KEY_EQ, CEDAR_KEY_IN, CEDAR_KEY_IS };

/* A policy, where the index has it: what its evaluation needs, in one place. */
struct cedar_leaf {
	uint32_t policy;
	uint32_t code; /* where its condition begins, from 1; 0: it has none */
	uint8_t check; /* parts of the scope that the way here did not prove */
	bool forbid;
};

/*
 * A tree of at most three levels below the root: each level splits by one part
 * of the scope. The leaves of a node, which nothing more splits, are
 * [at, at + count).
 */
struct cedar_index_node {
	uint32_t at, count;
	/* Which kinds of keys there are below it, a bit each, by part. */
	uint8_t kinds[CEDAR_DIMS];
};

struct cedar_index_slot {
	uint32_t parent, hash, child;
	uint32_t what; /* of part and kind, from 1; 0: the slot is free */
	struct ag_cedar_str type, id; /* the name itself; IS: type only */
};

struct cedar_index {
	struct cedar_index_node *nodes;
	uint32_t node_count;
	struct cedar_index_slot *slots; /* open addressing, a power of two */
	size_t size;
	struct cedar_leaf *leaves;
	uint32_t leaf_count;
};

struct cedar_id_slot {
	struct ag_cedar_str id; /* p NULL: free */
	struct cedar_body *body;
};

struct ag_cedar_set {
	struct ag_cedar_arena arena;
	struct cedar_body *bodies; /* static policies and templates */
	struct cedar_body **tail;  /* NULL, or on the way to their end */
	struct cedar_policy *policies; /* static policies and links */
	size_t policy_count, template_count;
	struct cedar_id_slot *ids; /* of policies, links and templates */
	size_t id_size, id_count;
	struct cedar_index index;
	struct cedar_coder coder;
	bool is_compiled;
};

/* Adds a body that was read: gives it its id and makes a policy of it, unless
 * it is a template. */
enum ag_cedar_err cedar_set_add(struct ag_cedar_set *set,
    struct cedar_body *body, struct ag_cedar_problem *problem);

/* Where the next body goes. */
struct cedar_body **cedar_set_tail(struct ag_cedar_set *set);

/* The policy's uid in a part of its scope: written, or of its slot. */
const struct ag_cedar_uid *cedar_scope_uid(const struct cedar_policy *policy,
    int dim);

enum ag_cedar_err cedar_index_build(struct ag_cedar_set *set);

static inline uint32_t
cedar_index_what(int dim, enum cedar_key_kind kind)
{
	return (uint32_t)dim * 4 + (uint32_t)kind + 1;
}

/* Where the search for a child begins. */
static inline size_t
cedar_index_hash(uint32_t parent, uint32_t what, uint32_t hash)
{
	uint64_t x = ((uint64_t)parent << 32 | hash) +
	    what * UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 32) * UINT64_C(0xd6e8feb86659fd93);
	return (size_t)(x ^ x >> 32);
}

#endif
