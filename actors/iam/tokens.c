/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens of people and services: issued, listed, revoked; and who one is. */
#include "access.h"
#include "credentials.h"
#include "ended.h"
#include "exec.h"
#include "handlers.h"
#include "iam.h"
#include "reach.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	TTL_S_DEFAULT = 12 * 3600, TTL_S_MIN = 60, TTL_S_MAX = 30 * 86400,
	STREAM_MAX = 96,
};

/* ------------------------------------------------------------------ issue */

ag_err
iam_token_scopes(struct ag_ctx *ctx, const Ag__TokenIssueAsk *ask,
    const char *at)
{
	if (ask->n_scopes > IAM_SCOPES_MAX)
		return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range", at,
		    "At most %d scopes.", IAM_SCOPES_MAX);
	for (size_t i = 0; i < ask->n_scopes; i++) {
		struct ag_scope scope;
		char field[32];

		snprintf(field, sizeof(field), "%s/%zu", at, i);
		if (!ag_scope_parse(ask->scopes[i], &scope) ||
		    !ag_scope_op_known(&scope))
			return ag_refuse(ctx, AG_INVALID_FIELD, "bad_scope", field,
			    "A scope is <kind>:<selector>:<op>.");
	}
	return AG_OK;
}

ag_err
iam_token_reach(struct iam *iam, struct ag_ctx *ctx, const struct iam_caller *caller,
    const struct iam_node *node, const Ag__TokenIssueAsk *ask)
{
	struct iam_scopes asked = { 0 };
	bool good = true;
	ag_err err = iam_scopes_make(ask->scopes, ask->n_scopes, &asked);

	if (err != AG_OK)
		return err;
	if (asked.count > 0)
		good = iam_may_give(iam, caller, &asked);
	for (unsigned i = 0; asked.count == 0 && good && i < node->role_count; i++)
		good = iam_may_give(iam, caller, &node->roles[i].role->scopes);
	iam_scopes_free(&asked);
	return good ? AG_OK : ag_refuse(ctx, AG_PERMISSION_DENIED,
	    "scope_missing", NULL,
	    "The token would hold scopes that you do not hold.");
}

ag_err
iam_token_persist(struct ag_ctx *ctx, const struct iam_draft *draft,
    const void *reply, const void *replay)
{
	Ag__TokenIssuedFact *fact = ag_unpack(ctx,
	    &ag__token_issued_fact__descriptor, draft->packed,
	    draft->packed_len);
	char stream[STREAM_MAX];
	struct ag_fact facts[1];

	if (fact == NULL)
		return AG_NO_MEMORY;
	if (draft->node->state != IAM_LIVE)
		return ag_refuse(ctx, AG_ILLEGAL_OPERATION, "transition", NULL,
		    "The principal is not active.");
	snprintf(stream, sizeof(stream), "token:%s", draft->jti);
	facts[0] = (struct ag_fact){ stream, 0, AG_MSG_TOKEN_ISSUED_FACT, fact };
	ag_note_param(ctx, "jti", draft->jti);
	return ag_persist(ctx, facts, 1, ag_type(ctx), reply, replay, NULL, NULL,
	    0);
}

static ag_err
token_signed(struct iam *iam, struct ag_ctx *ctx, struct iam_draft *draft)
{
	Ag__TokenIssueReply reply = AG__TOKEN_ISSUE_REPLY__INIT, replay;

	(void)iam;
	reply.token_type = (char *)"Bearer";
	reply.jti = draft->jti;
	reply.issued_at = draft->issued_at;
	reply.expires_at = draft->expires_at;
	replay = reply;
	reply.token = draft->token;
	return iam_token_persist(ctx, draft, &reply, &replay);
}

ag_err
iam_token_draft(struct iam *iam, struct ag_ctx *ctx, struct iam_node *node,
    const Ag__TokenIssueAsk *ask, uint32_t ttl_s, const char *by,
    struct iam_draft **out)
{
	Ag__TokenIssuedFact fact = AG__TOKEN_ISSUED_FACT__INIT;
	struct iam_draft *d;
	ag_err err = iam_draft_new(iam, ctx, &d);

	if (err != AG_OK)
		return err;
	*out = d;
	d->node = node;
	d->issued_at = ag_now_ms(ctx) / 1000 * 1000; /* as the claims have it */
	d->expires_at = d->issued_at + ttl_s * INT64_C(1000);
	snprintf(d->claims.sub, sizeof(d->claims.sub), "%s", node->id);
	snprintf(d->claims.kind, sizeof(d->claims.kind), "%s",
	    ag_enum_name(&ag__kind__v__descriptor, node->kind));
	snprintf(d->claims.tenant, sizeof(d->claims.tenant), "%s",
	    node->tenant->name);
	fact.jti = d->jti;
	fact.principal_id = node->id;
	fact.tenant = node->tenant->name;
	fact.issued_at = d->issued_at;
	fact.expires_at = d->expires_at;
	fact.scopes = ask->scopes;
	fact.n_scopes = ask->n_scopes;
	fact.issued_by = (char *)by;
	if (ag_grant(ctx) != NULL)
		fact.break_glass = ag_grant(ctx)->break_glass;
	return iam_draft_keep(d, &fact, ask->scopes, ask->n_scopes);
}

uint32_t
iam_ttl_ruled(struct ag_ctx *ctx, uint32_t ttl_s)
{
	const Ag__Grant *grant = ag_grant(ctx);

	if (grant == NULL || !grant->has_max_ttl_s || ttl_s <= grant->max_ttl_s)
		return ttl_s;
	ag_note_param(ctx, "max_ttl_rule", grant->max_ttl_rule);
	return grant->max_ttl_s;
}

ag_err
iam_on_token_issue(void *state, struct ag_ctx *ctx, const void *msg)
{
	struct iam *iam = state;
	const Ag__TokenIssueAsk *ask = msg;
	uint32_t ttl_s = ask->has_ttl_s ? ask->ttl_s : TTL_S_DEFAULT;
	struct iam_caller caller;
	struct iam_draft *draft = NULL;
	struct iam_node *node;
	ag_err err;

	if ((err = iam_caller(iam, ctx, &caller)) != AG_OK)
		return err;
	if (ttl_s < TTL_S_MIN || ttl_s > TTL_S_MAX)
		return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range", "/ttl_s",
		    "%d to %d seconds.", TTL_S_MIN, TTL_S_MAX);
	if ((err = iam_token_scopes(ctx, ask, "/scopes")) != AG_OK)
		return err;
	node = iam_principal_find(iam, caller.tenant, ag_grant(ctx)->resource_id);
	if (node == NULL)
		return ag_refuse(ctx, AG_ITEM_NOT_FOUND, NULL, NULL,
		    "There is no such principal.");
	if (node->state != IAM_LIVE)
		return ag_refuse(ctx, AG_ILLEGAL_OPERATION, "transition", NULL,
		    "The principal is not active.");
	if (ag_grant(ctx)->break_glass != NULL &&
	    (err = iam_glass_token(iam, ctx, &caller, ask, &ttl_s)) != AG_OK)
		return err;
	if ((err = iam_token_reach(iam, ctx, &caller, node, ask)) != AG_OK ||
	    (err = iam_quota_check(iam, ctx, caller.tenant, IAM_C_TOKENS)) !=
	    AG_OK)
		return err;
	ttl_s = iam_ttl_ruled(ctx, ttl_s);
	err = iam_token_draft(iam, ctx, node, ask, ttl_s,
	    node == caller.node ? NULL : caller.id, &draft);
	if (draft == NULL)
		return err;
	return iam_draft_sign(iam, ctx, draft, token_signed);
}

/* ------------------------------------------------------------------- list */

static int
by_jti(const void *a, const void *b)
{
	const Ag__Token *const *x = a, *const *y = b;

	return strcmp((*x)->jti, (*y)->jti);
}

static Ag__Token *
token_view(struct ag_ctx *ctx, const struct iam_token *token)
{
	Ag__Token *view = ag_alloc(ctx, sizeof(*view));

	if (view == NULL)
		return NULL;
	ag__token__init(view);
	view->jti = (char *)token->jti;
	view->issued_at = token->issued_at;
	view->expires_at = token->expires_at;
	view->has_last_used_at = token->last_used_at != 0;
	view->last_used_at = token->last_used_at;
	view->has_revoked_at = token->revoked_at != 0;
	view->revoked_at = token->revoked_at;
	view->break_glass = token->glass;
	return view;
}

/* Those in memory, and the first max of those that left it; in order. */
static Ag__Token **
tokens_after(struct ag_ctx *ctx, const struct iam_node *node, const char *after,
    size_t max, size_t *count)
{
	Ag__Token **list;
	size_t n = 0;

	for (const struct iam_token *t = node->tokens; t != NULL; t = t->next)
		n++;
	list = iam_array(ctx, n + max);
	if (list == NULL)
		return NULL;
	*count = iam_ended_tokens(ctx, node, after, list, max);
	for (const struct iam_token *t = node->tokens; t != NULL; t = t->next)
		if ((after == NULL || strcmp(t->jti, after) > 0) &&
		    (list[(*count)++] = token_view(ctx, t)) == NULL)
			return NULL;
	qsort(list, *count, sizeof(*list), by_jti);
	return list;
}

ag_err
iam_on_token_list(void *state, struct ag_ctx *ctx, const void *msg)
{
	struct iam *iam = state;
	Ag__TokenListReply reply = AG__TOKEN_LIST_REPLY__INIT;
	Ag__Token **list;
	struct iam_caller caller;
	const struct iam_node *node;
	struct ag_page page;
	size_t count;
	ag_err err;

	if ((err = iam_caller(iam, ctx, &caller)) != AG_OK)
		return err;
	node = iam_principal_find(iam, caller.tenant, ag_grant(ctx)->resource_id);
	if (node == NULL)
		return AG_ITEM_NOT_FOUND;
	if ((err = ag_page_read(ctx, msg, &page)) != AG_OK)
		return err;
	list = tokens_after(ctx, node, iam_after(&page), page.limit + 1,
	    &count);
	if (list == NULL)
		return AG_NO_MEMORY;
	reply.items = list;
	reply.n_items = count < page.limit ? count : page.limit;
	if (count > page.limit)
		reply.next_cursor = iam_cursor(ctx, &page,
		    list[page.limit - 1]->jti);
	return ag_reply(ctx, AG_MSG_TOKEN_LIST, &reply);
}

/* ----------------------------------------------------------------- revoke */

ag_err
iam_on_token_revoke(void *state, struct ag_ctx *ctx, const void *msg)
{
	struct iam *iam = state;
	const Ag__ReasonAsk *ask = msg;
	Ag__TokenRevokeReply reply = AG__TOKEN_REVOKE_REPLY__INIT;
	Ag__TokenRevokedFact fact = AG__TOKEN_REVOKED_FACT__INIT;
	const Ag__Grant *grant = ag_grant(ctx);
	struct iam_caller caller;
	struct iam_token *token;
	char stream[STREAM_MAX];
	struct ag_fact facts[1];
	ag_err err;

	if ((err = iam_reason(ctx, ask->reason)) != AG_OK ||
	    (err = iam_caller(iam, ctx, &caller)) != AG_OK)
		return err;
	token = grant->resource_id == NULL ? NULL : iam_token_find(iam,
	    grant->resource_id);
	if (token == NULL || token->node->tenant != caller.tenant)
		return ag_refuse(ctx, AG_ITEM_NOT_FOUND, NULL, NULL,
		    "There is no such token.");
	snprintf(stream, sizeof(stream), "%s:%s", token->node->parent != NULL ?
	    "agent" : "token", token->node->parent != NULL ? token->node->id :
	    token->jti);
	if ((err = ag_enter(ctx, stream, true)) != AG_OK)
		return err;
	ag_note_param(ctx, "principal", token->node->id);
	reply.jti = token->jti;
	reply.revoked_at = caller.now;
	if (token->node->parent != NULL && iam_gone_by(token->node) == NULL)
		return iam_agent_end(iam, ctx, token->node, ask->reason,
		    caller.id, AG_MSG_TOKEN_REVOKE, &reply);
	if (token->node->parent != NULL || token->revoked_at != 0) {
		reply.already = true;
		reply.revoked_at = token->revoked_at != 0 ? token->revoked_at :
		    iam_gone_by(token->node)->state_at;
		return ag_reply(ctx, AG_MSG_TOKEN_REVOKE, &reply);
	}
	fact.jti = token->jti;
	fact.reason = ask->reason;
	fact.at = caller.now;
	fact.by = (char *)caller.id;
	facts[0] = (struct ag_fact){ stream, 1, AG_MSG_TOKEN_REVOKED_FACT, &fact };
	return ag_persist(ctx, facts, 1, AG_MSG_TOKEN_REVOKE, &reply, NULL, NULL,
	    NULL, 0);
}

/* ----------------------------------------------------------------- whoami */

static ag_err
whoami_roles(struct ag_ctx *ctx, const struct iam_caller *caller,
    Ag__WhoamiReply *reply)
{
	const struct iam_node *node = caller->node;

	reply->roles = iam_array(ctx, node->role_count);
	if (reply->roles == NULL)
		return AG_NO_MEMORY;
	for (unsigned i = 0; i < node->role_count; i++)
		if (node->roles[i].from <= caller->now &&
		    caller->now < node->roles[i].until)
			reply->roles[reply->n_roles++] =
			    (char *)node->roles[i].role->name;
	return AG_OK;
}

ag_err
iam_on_whoami(void *state, struct ag_ctx *ctx, const void *msg)
{
	Ag__WhoamiReply reply = AG__WHOAMI_REPLY__INIT;
	Ag__Credential credential = AG__CREDENTIAL__INIT;
	const Ag__Grant *grant = ag_grant(ctx);
	struct iam_caller caller;
	ag_err err;

	if ((err = iam_caller(state, ctx, &caller)) != AG_OK ||
	    (err = whoami_roles(ctx, &caller, &reply)) != AG_OK)
		return err;
	reply.id = caller.node->id;
	reply.kind = caller.node->kind;
	reply.name = caller.node->name;
	reply.tenant = caller.tenant->name;
	reply.chain = (Ag__Link **)caller.node->chain;
	reply.n_chain = caller.node->chain_len;
	reply.n_scopes = iam_effective(state, ctx, caller.node, caller.token,
	    NULL, &reply.scopes);
	if (reply.scopes == NULL)
		return AG_NO_MEMORY;
	credential.jti = grant->jti == NULL ? (char *)"" : grant->jti;
	credential.issuer = grant->issuer != NULL ? grant->issuer :
	    (char *)IAM_ISSUER;
	credential.issued_at = grant->credential_issued_at;
	credential.expires_at = grant->credential_expires_at;
	reply.credential = &credential;
	reply.client_address = grant->source_address == NULL ? (char *)"" :
	    grant->source_address;
	return ag_reply(ctx, (uint16_t)grant->op, &reply); /* one of its rows */
}
