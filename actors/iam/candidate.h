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
/* Says the first error, as this field's fault. There is one. */
ag_err iam_findings_refuse(struct ag_ctx *ctx,
    const struct ag_rules_findings *found, const char *field) AG_MUST;

/* What a tenant's documents would come to, and all tenants' texts with them. */
struct iam_rules_size {
	size_t documents, policies, bytes, names, bytes_of_all;
};
/* Is there room for that? Refuses as this field's fault; AG_FULL. */
ag_err iam_rules_fit(struct ag_ctx *ctx, const struct iam_rules_size *size,
    const char *field) AG_MUST;

/* A worker has looked at a job: what comes of it, and then it is freed. */
typedef ag_err iam_job_keep(struct iam *iam, struct ag_ctx *ctx, void *job);
typedef void iam_job_free(void *job);
ag_err iam_job_done(struct iam *iam, struct ag_ctx *ctx, ag_err status,
    void *job, iam_job_keep *keep, iam_job_free *release) AG_MUST;

#endif
