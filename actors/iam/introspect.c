/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a token says, and whether it is good now (RFC 7662): for who runs the
 * place. Tokens of our own issuer; of any other thing, and of other tenants',
 * nothing is said but that it is not good.
 */
#include "exec.h"
#include "handlers.h"
#include "iam.h"
#include "reach.h"

#include <string.h>

static bool
is_live(struct iam *iam, const struct iam_caller *caller, const char *text,
    struct iam_claims *claims, const struct iam_token **out)
{
	size_t len = strnlen(text, IAM_TOKEN_BYTES_MAX + 1);
	const struct iam_token *token;
	struct iam_jwt jwt;

	if (len > IAM_TOKEN_BYTES_MAX || iam_jwt_open(text, len, &jwt) != NULL ||
	    iam_jwt_verify(&iam->ring, iam->audience, &jwt, caller->now,
	    claims) != NULL)
		return false;
	token = *out = iam_token_find(iam, claims->jti);
	return token != NULL && iam_token_known(token, claims) &&
	    token->node->tenant == caller->tenant &&
	    iam_no(token->node, token, caller->now).err == AG_OK;
}

/* RFC 6749 §3.3; NULL: one of them has a space in it. */
static ag_err
joined(struct ag_ctx *ctx, char *const *scopes, size_t count, char **out)
{
	size_t len = 1;
	char *at;

	*out = NULL;
	for (size_t i = 0; i < count; i++) {
		len += strlen(scopes[i]) + 1;
		if (strchr(scopes[i], ' ') != NULL)
			return AG_OK;
	}
	if ((*out = at = ag_alloc(ctx, len)) == NULL)
		return AG_NO_MEMORY;
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			*at++ = ' ';
		at = stpcpy(at, scopes[i]);
	}
	return AG_OK;
}

static ag_err
tell(struct iam *iam, struct ag_ctx *ctx, const struct iam_token *token,
    struct iam_claims *claims)
{
	Ag__TokenIntrospectReply reply = AG__TOKEN_INTROSPECT_REPLY__INIT;
	struct iam_node *node = token->node;
	char **scopes;
	size_t count = iam_effective(iam, ctx, node, token, NULL, &scopes);

	if (scopes == NULL || joined(ctx, scopes, count, &reply.scope) != AG_OK)
		return AG_NO_MEMORY;
	ag_note_param(ctx, "jti", token->jti);
	ag_note_param(ctx, "principal", node->id);
	reply.active = true;
	reply.client_id = reply.sub = node->id;
	reply.username = node->name;
	reply.token_type = (char *)"Bearer";
	reply.has_exp = reply.has_iat = true;
	reply.exp = token->expires_at / 1000;
	reply.iat = token->issued_at / 1000;
	reply.aud = iam->audience;
	reply.iss = (char *)IAM_ISSUER;
	reply.jti = claims->jti;
	reply.aegis_kind = claims->kind;
	reply.aegis_tenant = node->tenant->name;
	if (node->parent != NULL)
		reply.aegis_parent = node->parent->id;
	return ag_reply(ctx, AG_MSG_TOKEN_INTROSPECT, &reply);
}

ag_err
iam_on_token_introspect(void *state, struct ag_ctx *ctx, const void *msg)
{
	struct iam *iam = state;
	const Ag__TokenIntrospectAsk *ask = msg;
	Ag__TokenIntrospectReply no = AG__TOKEN_INTROSPECT_REPLY__INIT;
	const struct iam_token *token = NULL;
	struct iam_caller caller;
	struct iam_claims claims;
	ag_err err = iam_caller(iam, ctx, &caller);

	if (err != AG_OK)
		return err;
	return is_live(iam, &caller, ask->token, &claims, &token) ?
	    tell(iam, ctx, token, &claims) :
	    ag_reply(ctx, AG_MSG_TOKEN_INTROSPECT, &no);
}
