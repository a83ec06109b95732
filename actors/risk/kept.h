/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A baseline as it is stored. In memory operations are counted by their
 * position in the table of this build; here each count stands beside the
 * operation's number, which never changes, so that a new operation shifts
 * nobody's habits. Pure.
 */
#ifndef RISK_KEPT_H
#define RISK_KEPT_H

#include "score.h"

struct risk_kept {
	struct risk_baseline usual;
	uint16_t types[RISK_OPS]; /* of usual.ops; 0: others */
};

/* types: the number of the operation at each position, 0 where there is none. */
void risk_keep(const struct risk_baseline *usual,
    const uint16_t types[RISK_OPS], struct risk_kept *out);
/* Counts of operations that have no position any more are forgotten. False: it
 * is of another version. */
bool risk_unkeep(const struct risk_kept *kept, const uint16_t types[RISK_OPS],
    struct risk_baseline *out);

#endif
