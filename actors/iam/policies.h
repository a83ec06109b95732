/* SPDX-License-Identifier: Apache-2.0 */
/* What is shown of a policy document, to who looks at it or changes it. */
#ifndef AEGIS_ACTORS_IAM_POLICIES_H
#define AEGIS_ACTORS_IAM_POLICIES_H

#include "iam.h"

ag_err iam_policy_missing(struct ag_ctx *ctx) AG_MUST; /* 404 */
/* Of a text, in hex, in the arena; NULL: no memory. */
char *iam_policy_sha(struct ag_ctx *ctx, const char *text);
/* Of a fact; NULL: no memory. */
Ag__Policy *iam_policy_view(struct ag_ctx *ctx, const Ag__PolicyFact *fact,
    bool with_text);
/* A version's row; AG_ITEM_NOT_FOUND. */
ag_err iam_policy_row(struct ag_ctx *ctx, const char *tenant, const char *name,
    uint64_t version, Ag__PolicyFact **out) AG_MUST;
/* Which one the path names; the event names it, too. */
ag_err iam_policy_name(struct ag_ctx *ctx, const char **name) AG_MUST;

#endif
