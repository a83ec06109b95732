/* SPDX-License-Identifier: Apache-2.0 */
/* A tenant's documents as they would be with some others in their place. */
#ifndef AEGIS_IAM_CANDIDATE_H
#define AEGIS_IAM_CANDIDATE_H

#include "iam.h"

/* Owns its texts, so that a worker may read them. */
struct iam_candidate {
	struct ag_rules_doc docs[AG_RULES_DOCS_MAX]; /* by name */
	size_t count;
};

/* Those in force, unless alone, with the drafts in the place of those that have
 * their name; a draft without text takes one out. Refuses what cannot be. */
ag_err iam_candidate_new(struct ag_ctx *ctx, const struct iam_tenant *tenant,
    Ag__PolicyDraft *const *drafts, size_t count, bool alone,
    struct iam_candidate **out) AG_MUST;
void iam_candidate_free(struct iam_candidate *c);
/* Findings in the words of the answer. NULL: no memory. */
Ag__PolicyFinding **iam_findings_say(struct ag_ctx *ctx,
    const struct ag_rules_findings *found);

#endif
