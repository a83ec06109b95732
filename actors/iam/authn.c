/* SPDX-License-Identifier: Apache-2.0 */
/* Who is asking: the credential, whether its principal stands, and how often
 * they may ask. */
#include "call.h"
#include "reach.h"

#include <string.h>

static void
grant_actor(struct call *c)
{
	const struct iam_node *node = c->node;
	Ag__Grant *g = &c->grant;

	g->tenant = node->tenant->name;
	g->actor_id = (char *)node->id;
	g->has_actor_kind = true;
	g->actor_kind = node->kind;
	g->actor_name = node->name;
	if (node->parent != NULL) {
		g->actor_label = node->name;
		g->actor_model = node->model;
	}
	g->chain = (Ag__Link **)node->chain;
	g->n_chain = node->chain_len;
	g->jti = c->token->jti;
	if (c->token->foreign != NULL) {
		g->jti = c->token->foreign->jti;
		g->issuer = (char *)(uintptr_t)c->token->foreign->issuer;
	}
	g->has_credential_issued_at = g->has_credential_expires_at = true;
	g->credential_issued_at = c->token->issued_at;
	g->credential_expires_at = c->token->expires_at;
	g->has_scope_count = true;
	g->scope_count = (uint32_t)(node->parent != NULL ? node->scopes.count :
	    c->token->scopes.count > 0 ? c->token->scopes.count :
	    node->role_count);
}

ag_err
iam_call_sign(struct call *c)
{
	ag_metric_add(c->ctx, IAM_M_REFUSED, 1);
	ag_metric_add_for(c->ctx, IAM_M_TENANT_REFUSED, c->node->tenant->name, 1);
	return ag_set_grant(c->ctx, &c->grant);
}

/* ------------------------------------------------------------- credential */

ag_err
iam_unauthenticated(struct call *c, const char *reason, const char *detail)
{
	ag_metric_add(c->ctx, IAM_M_REFUSED, 1);
	if (strcmp(reason, "token_missing") != 0)
		iam_guard_failed(c);
	return ag_refuse(c->ctx, AG_UNAUTHENTICATED, reason, "Authorization",
	    "%s", detail != NULL ? detail : "The credential is not accepted.");
}

bool
iam_token_known(const struct iam_token *token, const struct iam_claims *claims)
{
	const struct iam_node *node = token->node;
	const char *kind = ag_enum_name(&ag__kind__v__descriptor, node->kind);

	if (strcmp(node->id, claims->sub) != 0)
		return false;
	if (claims->kind[0] != '\0' && strcmp(claims->kind, kind) != 0)
		return false;
	if (claims->tenant[0] != '\0' &&
	    strcmp(claims->tenant, node->tenant->name) != 0)
		return false;
	return node->parent == NULL ||
	    strcmp(node->parent->id, claims->parent) == 0;
}

static ag_err
verify(struct call *c, const char *text, size_t len, const uint8_t hash[32])
{
	struct iam *iam = c->iam;
	struct iam_claims claims;
	struct iam_jwt jwt;
	const char *why = iam_jwt_open(text, len, &jwt);
	bool expired;
	int64_t until;

	ag_metric_add(c->ctx, IAM_M_VERIFIED, 1);
	if (why != NULL)
		return iam_unauthenticated(c, why, NULL);
	if (iam->issuer_count > 0 && !iam_keyring_has(&iam->ring, &jwt))
		return iam_foreign(c, &jwt, hash);
	why = iam_jwt_verify(&iam->ring, iam->audience, &jwt, c->now, &claims);
	expired = why != NULL && strcmp(why, "token_expired") == 0;
	if (why != NULL && !expired)
		return iam_unauthenticated(c, why, NULL);
	c->token = iam_token_find(iam, claims.jti);
	if (c->token == NULL)
		return iam_unauthenticated(c, expired ? why : "token_revoked", NULL);
	if (!iam_token_known(c->token, &claims))
		return iam_unauthenticated(c, "token_claims", NULL);
	until = claims.exp_ms < c->token->expires_at ? claims.exp_ms :
	    c->token->expires_at;
	if (until > iam_keyring_until(&iam->ring, &jwt))
		until = iam_keyring_until(&iam->ring, &jwt);
	if (!expired && c->now < until)
		iam_cache_put(&iam->cache, hash, c->token, until);
	return AG_OK;
}

static ag_err
check_standing(struct call *c)
{
	struct iam_no no = iam_no(c->node, c->token, c->now);

	return no.err == AG_OK ? AG_OK :
	    REFUSE(c, no.err, no.reason, NULL, "%s", no.detail);
}

static bool
is_near(const struct iam_node *node, const char *address)
{
	for (unsigned i = 0; i < node->cidr_count; i++)
		if (iam_cidr_has(&node->cidrs[i], address))
			return true;
	return node->cidr_count == 0;
}

/* Every link's networks, so that no agent issues itself out of its own. */
ag_err
iam_check_networks(struct call *c)
{
	for (const struct iam_node *n = c->node; n != NULL; n = n->parent)
		if (!is_near(n, c->rq->source_address))
			return REFUSE(c, AG_PERMISSION_DENIED, "source_address",
			    NULL,
			    "This credential may not be used from this address.");
	return AG_OK;
}

static ag_err
take(struct call *c)
{
	ag_err err, limited;

	c->node = c->token->node;
	c->token->last_used_at = c->now;
	grant_actor(c);
	err = check_standing(c);
	if (err != AG_UNAUTHENTICATED)
		return err;
	if ((limited = iam_guard_account(c, c->node)) != AG_OK)
		return limited;
	iam_guard_failed(c);
	return err;
}

/* A token for this one request. */
ag_err
iam_call_assume(struct call *c, struct iam_node *node, const char *issuer)
{
	struct iam_foreign *foreign = ag_alloc(c->ctx, sizeof(*foreign));

	c->token = ag_alloc(c->ctx, sizeof(*c->token));
	if (c->token == NULL || foreign == NULL)
		return AG_NO_MEMORY;
	c->token->node = node;
	c->token->foreign = foreign;
	foreign->issuer = issuer;
	c->token->issued_at = c->now;
	c->token->expires_at = c->now + 1;
	return take(c);
}

/* Whoever says who they are is believed: for trying things out on one's own
 * machine, by an option whose name says what it is. */
static ag_err
believe(struct call *c)
{
	struct iam_tenant *tenant = iam_tenant_find(c->iam, IAM_FIRST_TENANT);
	struct iam_node *node = tenant == NULL ||
	    strlen(c->rq->dev_identity) > AG_NAME_MAX ? NULL :
	    iam_principal_find(c->iam, tenant, c->rq->dev_identity);

	if (node == NULL)
		return iam_unauthenticated(c, "token_claims",
		    "Nobody here has this name.");
	return iam_call_assume(c, node, "unsafe-dev-identity");
}

ag_err
iam_authenticate(struct call *c)
{
	const char *text = c->rq->credential;
	uint8_t hash[32];
	size_t len;
	ag_err err;

	if (c->op->type == AG_MSG_APPROVAL_CALLBACK) {
		err = iam_callback_take(c);
		return err != AG_OK ? err : take(c);
	}
	if ((c->op->flags & AG_OP_BASIC) != 0)
		return iam_client_authenticate(c);
	if (text == NULL || text[0] == '\0') {
		if (c->rq->dev_identity == NULL || !ag_dev_identity(c->ctx))
			return iam_unauthenticated(c, "token_missing", NULL);
		return believe(c);
	}
	len = strnlen(text, IAM_TOKEN_BYTES_MAX + 1);
	if (len > IAM_TOKEN_BYTES_MAX)
		return iam_unauthenticated(c, "token_malformed", NULL);
	ag_sha256(text, len, hash);
	c->token = iam_cache_get(&c->iam->cache, hash, c->now);
	if (c->token != NULL)
		ag_metric_add(c->ctx, IAM_M_CACHE_HITS, 1);
	else if ((err = iam_guard_address(c)) != AG_OK ||
	    (err = verify(c, text, len, hash)) != AG_OK)
		return err;
	return take(c);
}

/* ----------------------------------------------------------------- limits */

static char *
decimal(char *at, uint32_t n)
{
	char digits[10];
	int i = 0;

	do {
		digits[i++] = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	while (i > 0)
		*at++ = digits[--i];
	return at;
}

/* RateLimit, by hand: this is said on every request. */
static void
say_room(struct call *c, const char *name, char *policy,
    const struct iam_room *room)
{
	char *at = stpcpy(c->rate_text, name);

	at = stpcpy(at, ";r=");
	at = decimal(at, room->left);
	at = stpcpy(at, ";t=");
	at = decimal(at, room->reset_s);
	*at = '\0';
	c->rate[0] = policy;
	c->rate[1] = c->rate_text;
	c->grant.rate = c->rate;
	c->grant.n_rate = 2;
	c->least_left = room->left;
}

ag_err
iam_limited(struct call *c, const char *reason, const struct iam_room *room)
{
	ag_metric_add(c->ctx, IAM_M_LIMITED, 1);
	ag_refuse_retry(c->ctx, room->retry_s);
	return REFUSE(c, AG_RATE_LIMITED, reason, NULL,
	    "Too many requests of this %s; try again in %u s.", reason,
	    room->retry_s);
}

ag_err
iam_limit_principal(struct call *c)
{
	const struct iam_limit *limit = &c->iam->principal_limit;
	struct iam_room room;

	if (limit->rate == 0)
		return AG_OK;
	room = iam_share_look(c, c->principal_share, &c->node->window, limit);
	say_room(c, "\"principal\"", c->iam->policy_text, &room);
	if (!room.ok)
		return iam_limited(c, "principal", &room);
	iam_share_take(c, c->principal_share, &c->node->window, limit);
	return AG_OK;
}

ag_err
iam_limit_key(struct call *c)
{
	struct iam_room room;

	if (c->key == NULL || c->iam->key_limit.rate == 0)
		return AG_OK;
	room = iam_share_look(c, c->key_share, &c->key->window,
	    &c->iam->key_limit);
	if (!room.ok || room.left < c->least_left)
		say_room(c, "\"key\"", c->iam->key_policy_text, &room);
	return room.ok ? AG_OK : iam_limited(c, "key", &room);
}
