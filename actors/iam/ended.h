/* SPDX-License-Identifier: Apache-2.0 */
/* ended.c: agents and tokens that left memory */
#ifndef AEGIS_ACTORS_IAM_ENDED_H
#define AEGIS_ACTORS_IAM_ENDED_H

#include "iam.h"

/* As iam_agent_find; one that left memory comes back for a while. tenant NULL:
 * of any. */
struct iam_node *iam_agent_recall(struct iam *iam, struct ag_ctx *ctx,
    const struct iam_tenant *tenant, const char *id);
/* It changed after all: it is an agent like others again. */
ag_err iam_ended_undo(struct iam *iam, struct ag_ctx *ctx, struct iam_node *node)
    AG_MUST;
/* Of its stream; 0: it did not leave memory. */
uint64_t iam_ended_version(struct ag_ctx *ctx, const char *id);
/* A request of it was recorded at that time, of so many operations. */
ag_err iam_ended_counted(struct ag_ctx *ctx, const char *id, bool allowed,
    uint32_t n, int64_t at) AG_MUST;
/* Who ended long ago leaves memory: at most max of those at [from, from +
 * window). Returns where to go on. */
size_t iam_ended_sweep(struct iam *iam, struct ag_ctx *ctx, size_t from,
    size_t window, unsigned max);
typedef bool iam_ended_wanted(const void *arg, const Ag__Agent *row);
struct iam_ended_page {
	Ag__Agent **items; /* in the order of their UUIDs */
	size_t count;
	const char *stopped; /* not NULL: no row after this UUID was looked at */
};
/* The first max of the tenant's after this UUID (NULL: of all). */
ag_err iam_ended_page(struct ag_ctx *ctx, const struct iam_tenant *tenant,
    const char *after, iam_ended_wanted *wanted, const void *arg, size_t max,
    struct iam_ended_page *out) AG_MUST;
/* Keeps its row elsewhere; the caller drops it then. */
ag_err iam_token_leave(struct iam *iam, struct ag_ctx *ctx,
    struct iam_token *token) AG_MUST;
/* The first max of the principal's after this jti (NULL: of all); how many. */
size_t iam_ended_tokens(struct ag_ctx *ctx, const struct iam_node *node,
    const char *after, Ag__Token **items, size_t max);

#endif
