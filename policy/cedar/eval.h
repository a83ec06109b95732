/* SPDX-License-Identifier: Apache-2.0 */
/* Evaluation of one expression for one request. */
#ifndef AEGIS_POLICY_CEDAR_EVAL_H
#define AEGIS_POLICY_CEDAR_EVAL_H

#include "code.h"
#include "entity.h"

struct cedar_eval {
	struct ag_cedar_arena *scratch; /* for values that are built */
	const struct ag_cedar_entities *entities;
	const struct ag_cedar_request *request; /* NULL: constants only */
	/* The request's entities, looked up once; NULL: unknown. */
	const struct cedar_entity *known[3];
	enum ag_cedar_fault fault;
	const struct cedar_code *at; /* what failed */
};

/* Looks the request's entities up. */
void cedar_eval_begin(struct cedar_eval *ev, struct ag_cedar_arena *scratch,
    const struct ag_cedar_entities *entities,
    const struct ag_cedar_request *request);

/* False: fault and at say what and where. Recursion is bounded by the
 * expression's height. */
bool cedar_evaluate(struct cedar_eval *ev, const struct cedar_code *e,
    struct ag_cedar_value *out);
bool cedar_evaluate_bool(struct cedar_eval *ev, const struct cedar_code *e,
    bool *out);

bool cedar_matches(const struct cedar_pattern *pattern, struct ag_cedar_str text);

/* Replaces what is constant by its value, from the leaves up; what it was
 * stays in `was`. False: no memory. */
bool cedar_fold(struct ag_cedar_arena *arena, struct cedar_expr *e);

#endif
