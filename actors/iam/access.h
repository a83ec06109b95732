/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is had for a while, and whose agreement it needs: access.c, glass.c,
 * needs.c, callback.c.
 */
#ifndef AEGIS_ACTORS_IAM_ACCESS_H
#define AEGIS_ACTORS_IAM_ACCESS_H

#include "iam.h"

/* access.c: more scope for a while. */
ag_err iam_access_init(struct iam *iam, struct ag_ctx *ctx) AG_MUST;
void iam_access_fini(struct iam *iam);
void iam_access_free(struct iam_node *node);
ag_err iam_access_take(struct iam *iam, const Ag__AccessFact *fact) AG_MUST;
ag_err iam_access_apply(struct iam *iam, struct ag_ctx *ctx,
    const struct ag_fact_record *r) AG_MUST;
void iam_access_sweep(struct iam *iam, struct ag_ctx *ctx);
ag_err iam_on_access_request(void *state, struct ag_ctx *ctx, const void *msg);
ag_err iam_on_access_list(void *state, struct ag_ctx *ctx, const void *msg);
/* glass.c: one fact, from the journal or the snapshot. */
ag_err iam_glass_take(struct iam *iam, const Ag__BreakGlassFact *fact) AG_MUST;
ag_err iam_glass_apply(struct iam *iam, struct ag_ctx *ctx,
    const struct ag_fact_record *r) AG_MUST;
bool iam_glass_open(struct iam *iam, const char *id, int64_t now_ms);
/* A token is asked for under a broken glass: may it be, and for how long? */
ag_err iam_glass_token(struct iam *iam, struct ag_ctx *ctx,
    const struct iam_caller *caller, const Ag__TokenIssueAsk *ask,
    uint32_t *ttl_s) AG_MUST;
/* needs.c: named operations that people must agree to. */
ag_err iam_duals_init(struct iam *iam, struct ag_ctx *ctx) AG_MUST;
void iam_duals_fini(struct iam *iam);
/* callback.c: who may decide by a click */
ag_err iam_callback_init(struct iam *iam, struct ag_ctx *ctx) AG_MUST;
void iam_callback_fini(struct iam *iam);

/* ---- glass.c: what ends something (break_glass.destructive) */
bool iam_ends(const struct iam *iam, const struct ag_operation *op);
/* Holds it the scope for that, written out? */
bool iam_may_end(const struct iam_node *node, const struct iam_token *token,
    int64_t now_ms);

#endif
