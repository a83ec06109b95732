/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check.c: who may do what, now; no I/O. What such a decision is made again from,
 * and why a credential may not be used.
 */
#ifndef AEGIS_ACTORS_IAM_REACH_H
#define AEGIS_ACTORS_IAM_REACH_H

#include "iam.h"

enum iam_standing {
	IAM_STANDS, IAM_SELF_SUSPENDED, IAM_SELF_GONE, IAM_SELF_EXPIRED,
	IAM_ABOVE_SUSPENDED, IAM_ABOVE_GONE, IAM_TENANT_SUSPENDED,
};
enum iam_standing iam_standing(const struct iam_node *node, int64_t now_ms);
/* The link that makes it gone: itself or an ancestor; NULL: none. */
const struct iam_node *iam_gone_by(const struct iam_node *node);
bool iam_is_below(const struct iam_node *node, const struct iam_node *ancestor);

struct iam_query {
	/* WRITTEN: as MATCH, where neither kind nor operation is a star. */
	enum { IAM_Q_MATCH, IAM_Q_NAME, IAM_Q_IMPLY, IAM_Q_WRITTEN } how;
	enum ag_scope_kind kind;
	const char *op;
	const struct ag_scope_target *target; /* MATCH, WRITTEN; IMPLY: resolved */
	const char *selector;                 /* NAME */
	const struct ag_scope *asked;         /* IMPLY */
	bool lasting; /* what is held for a while does not count */
	struct iam_trail *trail;              /* NULL: nobody asks why */
};
enum { IAM_TRAIL_MAX = 16 /* of one chain, with its credential */ };
/* Why: what allowed at each link, or which link did not. Borrowed. */
struct iam_trail {
	const struct ag_scope *by[IAM_TRAIL_MAX]; /* self first, root last */
	unsigned count;
	bool narrowed; /* by[1] is of the credential */
	const struct iam_node *refused_by; /* NULL: nobody */
	const struct iam_scopes *refused_credential; /* … but its credential */
};
enum iam_reach { IAM_HAS, IAM_OWN_MISSING, IAM_PARENT_MISSING };
/* token: the credential in use; NULL: all that the node may. */
enum iam_reach iam_reach(const struct iam_node *node,
    const struct iam_token *token, int64_t now_ms, const struct iam_query *q);
bool iam_holds(const struct iam_node *node, const struct iam_token *token,
    int64_t now_ms, enum ag_scope_kind kind, const char *op,
    const struct ag_scope_target *target);
/* The caller's scopes as text that every link above implies; texts borrowed
 * from the directory, array in the arena. only_op NULL: all. */
size_t iam_effective(struct iam *iam, struct ag_ctx *ctx,
    const struct iam_node *node, const struct iam_token *token,
    const char *only_op, char ***out);
/* What a scope's selector names in this tenant; false: nothing known. */
bool iam_resolve(struct iam *iam, const struct iam_tenant *tenant,
    const struct ag_scope *scope, struct ag_scope_target *out);

/* ---- trail.c: what a decision about scope is made again from */
Ag__Reach *iam_trail_said(struct ag_ctx *ctx, const struct iam_query *q,
    int64_t now_ms); /* NULL: no memory */

/* ---- standing.c */
struct iam_no {
	ag_err err; /* AG_OK: nothing is against it */
	const char *reason, *detail;
};
/* Why it may not be used now. token NULL: another issuer's. */
struct iam_no iam_no(const struct iam_node *node, const struct iam_token *token,
    int64_t now_ms);
ag_handler iam_on_standing;

#endif
