/* SPDX-License-Identifier: Apache-2.0 */
/* tokens.c, draft.c: credentials, on their way through the root of trust */
#ifndef AEGIS_ACTORS_IAM_CREDENTIALS_H
#define AEGIS_ACTORS_IAM_CREDENTIALS_H

#include "iam.h"
#include "jwt.h"

/* ---- tokens.c: one for this principal, to be signed; *out NULL: none yet */
/* May all these be scopes? Otherwise 400, at this JSON pointer. */
ag_err iam_token_scopes(struct ag_ctx *ctx, const Ag__TokenIssueAsk *ask,
    const char *at) AG_MUST;
/* A token may not give its issuer more than the issuer has. */
ag_err iam_token_reach(struct iam *iam, struct ag_ctx *ctx,
    const struct iam_caller *caller, const struct iam_node *node,
    const Ag__TokenIssueAsk *ask) AG_MUST;
ag_err iam_token_draft(struct iam *iam, struct ag_ctx *ctx,
    struct iam_node *node, const Ag__TokenIssueAsk *ask, uint32_t ttl_s, const char *by,
    struct iam_draft **out) AG_MUST;
/* How long what this trip issues may live, at most what a policy's @max_ttl says. */
uint32_t iam_ttl_ruled(struct ag_ctx *ctx, uint32_t ttl_s);

/* draft is whose token is kept, and said by reply. */
ag_err iam_token_persist(struct ag_ctx *ctx, const struct iam_draft *draft,
    const void *reply, const void *replay) AG_MUST;

/* It ends now: in memory, and in the snapshot. */
ag_err iam_token_end(struct ag_ctx *ctx, struct iam_token *token,
    const char *reason, int64_t at) AG_MUST;

/* ---- draft.c: a credential on its way through the root of trust */
typedef void iam_unsigned(struct iam *iam, struct ag_ctx *ctx, ag_err err);
struct iam_draft {
	/* Told when no signature came, after iam_draft_sign had returned
	 * AG_PENDING; NULL: only the request is refused. */
	iam_unsigned *failed;
	char jti[AG_ID_SIZE];
	char *input;      /* what is signed */
	char *token;      /* once signed */
	char kid[64];
	bool retried;
	int64_t issued_at, expires_at;
	struct iam_node *node;  /* token: whose; a principal, so it stays */
	uint8_t *packed;        /* Agent; TokenIssuedFact; TenantDraft's principal */
	size_t packed_len;
	struct iam_claims claims;
	char **scopes;          /* for the informative claim */
	size_t scope_count;
};
typedef ag_err iam_signed(struct iam *iam, struct ag_ctx *ctx,
    struct iam_draft *draft);
/* claims, issued_at, expires_at set; AG_FULL. jti is made here. */
ag_err iam_draft_new(struct iam *iam, struct ag_ctx *ctx,
    struct iam_draft **out) AG_MUST;
/* Keeps a packed copy of msg, and of the scopes' text. */
ag_err iam_draft_keep(struct iam_draft *draft, const void *msg,
    char *const *scopes, size_t count) AG_MUST;
/* The root of trust that signs for us. */
unsigned iam_rot_slot(struct ag_ctx *ctx);
/* Asks the root of trust for the secret of this purpose. AG_PENDING: then runs. */
ag_err iam_rot_secret(struct ag_ctx *ctx, const char *purpose, ag_then *then)
    AG_MUST;
/* Takes the draft in any case. Runs `then` with draft->token set, and frees
 * the draft after it. AG_PENDING. */
ag_err iam_draft_sign(struct iam *iam, struct ag_ctx *ctx,
    struct iam_draft *draft, iam_signed *then) AG_MUST;

#endif
