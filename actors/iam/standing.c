/* SPDX-License-Identifier: Apache-2.0 */
/*
 * May this credential be used now, and for this? Asked of every request, and
 * by history for as long as a stream is open: what was opened with a credential
 * ends with it.
 */
#include "iam.h"
#include "reach.h"
#include "ruling.h"

#include <string.h>

struct iam_no
iam_no(const struct iam_node *node, const struct iam_token *token,
    int64_t now_ms)
{
	static const struct iam_no nos[] = {
		[IAM_STANDS] = { AG_OK, NULL, NULL },
		[IAM_SELF_SUSPENDED] = { AG_PRINCIPAL_SUSPENDED, "by_person",
		    "The principal is suspended." },
		[IAM_SELF_GONE] = { AG_UNAUTHENTICATED, "token_revoked",
		    "The credential is revoked." },
		[IAM_SELF_EXPIRED] = { AG_UNAUTHENTICATED, "token_expired",
		    "The credential has expired." },
		[IAM_ABOVE_SUSPENDED] = { AG_UNAUTHENTICATED, "parent_inactive",
		    "A principal above is not active." },
		[IAM_ABOVE_GONE] = { AG_UNAUTHENTICATED, "token_revoked",
		    "The credential is revoked." },
		[IAM_TENANT_SUSPENDED] = { AG_UNAUTHENTICATED,
		    "tenant_suspended", "The tenant is suspended." },
	};
	enum iam_standing s = iam_standing(node, now_ms);
	struct iam_no no;

	if (token != NULL && token->revoked_at != 0 && s != IAM_TENANT_SUSPENDED)
		s = IAM_SELF_GONE;
	else if (token != NULL && now_ms >= token->expires_at && s == IAM_STANDS)
		s = IAM_SELF_EXPIRED;
	no = nos[s];
	if (s == IAM_SELF_SUSPENDED && node->by_responder)
		no.reason = "by_responder";
	return no;
}

ag_err
iam_on_standing(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__StandingAsk *ask = msg;
	const Ag__Done done = AG__DONE__INIT;
	struct iam *iam = state;
	struct iam_node *node = iam_node_find(iam, ask->actor_id);
	const struct iam_token *token = NULL;
	struct iam_no no;
	ag_err err;

	if (ask->kind == AG_KIND_ANY || ask->kind >= AG_KIND_COUNT)
		return AG_BAD_MESSAGE;
	if (!iam->ready)
		return AG_UNAVAILABLE;
	if (node == NULL || strcmp(node->tenant->name, ask->tenant) != 0 ||
	    (ask->jti != NULL &&
	    (token = iam_token_find(iam, ask->jti)) == NULL))
		return ag_refuse(ctx, AG_UNAUTHENTICATED, "token_revoked", NULL,
		    "The credential is revoked.");
	no = iam_no(node, token, ag_now_ms(ctx));
	if (no.err != AG_OK)
		return ag_refuse(ctx, no.err, no.reason, NULL, "%s", no.detail);
	if (!iam_holds(node, token, ag_now_ms(ctx),
	    (enum ag_scope_kind)ask->kind, ask->op, NULL))
		return ag_refuse(ctx, AG_PERMISSION_DENIED, "scope_missing",
		    NULL, "It may no longer do this.");
	err = iam_rules_stand(iam, ctx, node, ask);
	return err != AG_OK ? err : ag_reply(ctx, AG_MSG_DONE_REPLY, &done);
}
