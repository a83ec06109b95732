/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is evaluated: an expression in 16 bytes a node, in the order in which it
 * is evaluated, so that a policy is a few lines of cache, one after the other.
 */
#ifndef AEGIS_POLICY_CEDAR_CODE_H
#define AEGIS_POLICY_CEDAR_CODE_H

#include "value.h"

/* The nodes that a set, a record or a call is made of. */
struct cedar_code_list {
	uint32_t count;
	const struct cedar_ext *ext;      /* CALL */
	const struct ag_cedar_str *names; /* RECORD_OF */
	uint32_t items[];                 /* offsets from the node */
};

/* Its first operand, if it has one, is the node right behind it. */
struct cedar_code {
	uint8_t op; /* enum cedar_op; TYPE_IS without `in` */
	uint32_t at; /* offset in the text, from `from` */
	union {
		int64_t number; /* LIT_LONG */
		const struct ag_cedar_value *value; /* LIT; GET, HAS, TYPE_IS: name */
		const struct cedar_pattern *pattern; /* LIKE */
		const struct cedar_code_list *list;
		struct {
			uint32_t b, c; /* offsets from the node */
		};
	};
};
_Static_assert(sizeof(struct cedar_code) == 16, "four nodes a cache line");

/* Nodes in one array; equal literals and names are one. */
struct cedar_coder {
	struct ag_cedar_arena *arena;
	struct cedar_code *nodes;
	uint32_t count;
	const struct ag_cedar_value **known; /* open addressing */
	size_t known_size, known_count;
	uint32_t from; /* where the text begins that the nodes are of */
	bool no_memory;
};

/* The one value that equals this one; NULL: no memory, which is noted. */
const struct ag_cedar_value *cedar_intern(struct cedar_coder *c,
    struct ag_cedar_value v);

/* Appends the expression; returns where it begins in nodes. */
uint32_t cedar_code_expr(struct cedar_coder *c, const struct cedar_expr *e);

/* Conditions as one expression: all of `when` and none of `unless`. There is
 * at least one. */
uint32_t cedar_code_conditions(struct cedar_coder *c,
    const struct cedar_condition *conditions);

#endif
