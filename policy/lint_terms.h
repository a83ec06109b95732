/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A policy's conditions as bounds on terms, so that two policies can be
 * compared without being evaluated: `x < 5 && !(y == "a")` is x in [min, 4] and
 * y none of {"a"}. Whatever else is said is a term that must be true or false.
 *
 * Only what is certain counts: where these functions say no, nothing is known.
 */
#ifndef AEGIS_POLICY_LINT_TERMS_H
#define AEGIS_POLICY_LINT_TERMS_H

#include "set.h"

enum { LINT_BOUNDS_MAX = 256 /* of one policy; more are not looked at */ };

enum lint_shape { LINT_RANGE, LINT_ONE_OF, LINT_NONE_OF };

struct lint_bound {
	const struct cedar_expr *term;
	const struct cedar_expr *said; /* the condition that it is from, … */
	bool negated;                  /* … and whether it must be false */
	enum lint_shape shape;
	enum ag_cedar_kind kind;       /* of the range's numbers */
	int64_t lo, hi;                /* RANGE: both included */
	const struct ag_cedar_value *values; /* ONE_OF, NONE_OF */
	size_t count;
	struct ag_cedar_value one; /* what values points to, if it is one */
};

/* All that must hold for a policy to match, besides its scope. */
struct lint_terms {
	struct lint_bound *at;
	size_t count;
	bool whole; /* false: there are more than fit */
};

/* Of a body's conditions, in the arena; room: LINT_BOUNDS_MAX of them, for the
 * time of the call. False: no memory. */
bool lint_terms_of(struct ag_cedar_arena *arena, const struct cedar_body *body,
    struct lint_bound *room, struct lint_terms *out);
/* Two bounds that cannot both hold, or one that never does (then both are
 * it). False: none is known. */
bool lint_contradiction(const struct lint_terms *terms,
    const struct lint_bound **a, const struct lint_bound **b);
/* Wherever all of these hold, this one does, and its evaluation cannot fail
 * where theirs does not. */
bool lint_implies(const struct lint_terms *terms, const struct lint_bound *one);
/* The same for all of them. */
bool lint_implies_all(const struct lint_terms *terms,
    const struct lint_terms *all);
/* The times from lo to hi, both included; x's and y's. */
struct lint_windows {
	enum ag_cedar_kind kind; /* DURATION: of the day; DATETIME */
	int64_t lo[2], hi[2];
};
/* Do both say the same but for their window of time, and do these windows
 * share some time? */
bool lint_overlap(const struct lint_terms *x, const struct lint_terms *y,
    struct lint_windows *out);

#endif
