/* SPDX-License-Identifier: Apache-2.0 */
/* rows.c: what the executors' handlers share, and what the public sees */
#ifndef AEGIS_ACTORS_IAM_EXEC_H
#define AEGIS_ACTORS_IAM_EXEC_H

#include "iam.h"

struct iam_caller {
	struct iam_node *node;
	const struct iam_token *token;
	struct iam_tenant *tenant;
	const char *id;
	int64_t now;
};
/* From the grant; refuses if the actor is gone meanwhile. */
ag_err iam_caller(struct iam *iam, struct ag_ctx *ctx, struct iam_caller *out)
    AG_MUST;
/* Agents and principals are found, locked and versioned in the same way. */
enum { IAM_STREAM_MAX = 64 };
struct iam_noun {
	struct iam_node *(*find)(struct iam *iam, const struct iam_tenant *tenant,
	    const char *selector);
	const char *name; /* "agent": of its stream, and for people */
};
/* Who asks, and whom the path names; exclusive: nobody else changes it
 * meanwhile, and If-Match holds. AG_ITEM_NOT_FOUND. */
ag_err iam_subject(const struct iam_noun *noun, struct iam *iam,
    struct ag_ctx *ctx, struct iam_caller *caller, bool exclusive,
    struct iam_node **out) AG_MUST;
ag_err iam_reason(struct ag_ctx *ctx, const char *reason) AG_MUST;
/* Array of n pointers in the arena. */
void *iam_array(struct ag_ctx *ctx, size_t n);
/* Does the caller hold everything that this role, or these scopes, give? */
bool iam_may_give(struct iam *iam, const struct iam_caller *caller,
    const struct iam_scopes *scopes);
/* Text given by people: 1 to max bytes, no control characters. */
bool iam_text_valid(const char *text, size_t max);
ag_err iam_labels(struct ag_ctx *ctx, Ag__Pair *const *labels, size_t count,
    bool patch) AG_MUST;
/* Pages whose places are names, or the UUID part (32 hex) of ids: the last one
 * seen; NULL: none. */
const char *iam_after(const struct ag_page *page);
char *iam_cursor(struct ag_ctx *ctx, const struct ag_page *page,
    const char *last);
size_t iam_list_after(const struct iam_list *list, const char *after);
void iam_list_insert(struct iam_list *list, struct iam_node *node);

/* ---- views: what the public sees, in the arena; NULL at its ceiling */
Ag__Principal *iam_principal_view(struct ag_ctx *ctx,
    const struct iam_node *node);
Ag__Role *iam_role_view(struct ag_ctx *ctx, const struct iam_role *role);
/* 404. */
ag_err iam_no_such_role(struct ag_ctx *ctx) AG_MUST;
Ag__Agent *iam_agent_view(struct ag_ctx *ctx, const struct iam_node *node);
const char *iam_state_word(const struct iam_node *node, int64_t now_ms);
/* Descendants (and itself, if agent) that are not gone or expired. */
unsigned iam_live_below(const struct iam_node *node, int64_t now_ms);

#endif
