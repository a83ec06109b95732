/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decision: what the caller holds, and every link above it, now. No I/O,
 * no memory; asked anew on every call, so a change binds at once.
 */
#include "exec.h"
#include "iam.h"
#include "reach.h"

#include <string.h>

/* --------------------------------------------------------------- standing */

const struct iam_node *
iam_gone_by(const struct iam_node *node)
{
	for (; node != NULL; node = node->parent)
		if (node->state == IAM_GONE)
			return node;
	return NULL;
}

bool
iam_is_below(const struct iam_node *node, const struct iam_node *ancestor)
{
	for (node = node->parent; node != NULL; node = node->parent)
		if (node == ancestor)
			return true;
	return false;
}

enum iam_standing
iam_standing(const struct iam_node *node, int64_t now_ms)
{
	if (node->tenant->deleting || node->tenant->deleted)
		return IAM_SELF_GONE;
	if (!node->tenant->active)
		return IAM_TENANT_SUSPENDED;
	if (node->state == IAM_GONE)
		return IAM_SELF_GONE;
	if (iam_gone_by(node) != NULL)
		return IAM_ABOVE_GONE;
	if (node->parent != NULL && now_ms >= node->token.expires_at)
		return IAM_SELF_EXPIRED;
	if (node->state == IAM_SUSPENDED)
		return IAM_SELF_SUSPENDED;
	for (const struct iam_node *n = node->parent; n != NULL; n = n->parent)
		if (n->state != IAM_LIVE || (n->parent != NULL &&
		    now_ms >= n->token.expires_at))
			return IAM_ABOVE_SUSPENDED;
	return IAM_STANDS;
}

/* ------------------------------------------------------------------ scopes */

static bool
scope_allows(const struct ag_scope *scope, const struct iam_query *q)
{
	switch (q->how) {
	case IAM_Q_MATCH:
		return ag_scope_matches(scope, q->kind, q->op, q->target);
	case IAM_Q_WRITTEN:
		return scope->kind != AG_SCOPE_ANY && !scope->all_ops &&
		    ag_scope_matches(scope, q->kind, q->op, q->target);
	case IAM_Q_NAME:
		return ag_scope_names(scope, q->kind, q->op, q->selector);
	case IAM_Q_IMPLY:
		return ag_scope_implies(scope, q->asked, q->target);
	}
	return false;
}

static const struct ag_scope *
any_allows(const struct iam_scopes *scopes, const struct iam_query *q)
{
	for (size_t i = 0; i < scopes->count; i++)
		if (scope_allows(&scopes->items[i], q))
			return &scopes->items[i];
	return NULL;
}

static bool
role_counts(const struct iam_role_held *held, int64_t now_ms)
{
	return held->from <= now_ms && now_ms < held->until;
}

/* What it has for a while, an agent's scopes, or those of the roles that are
 * valid now. */
static const struct ag_scope *
link_allows(const struct iam_node *node, int64_t now_ms,
    const struct iam_query *q)
{
	const struct ag_scope *by;

	for (const struct iam_access *a = q->lasting ? NULL : node->access;
	    a != NULL; a = a->next)
		if (now_ms < a->expires_at &&
		    (by = any_allows(&a->scopes, q)) != NULL)
			return by;
	if (node->parent != NULL)
		return any_allows(&node->scopes, q);
	for (unsigned i = 0; i < node->role_count; i++) {
		const struct iam_role_held *held = &node->roles[i];

		if (role_counts(held, now_ms) &&
		    (by = any_allows(&held->role->scopes, q)) != NULL)
			return by;
	}
	return NULL;
}

/* Notes what allowed, or who did not. False: nothing did. */
static bool
trail(const struct iam_query *q, const struct ag_scope *by,
    const struct iam_node *node, const struct iam_scopes *credential)
{
	struct iam_trail *t = q->trail;

	if (t == NULL)
		return by != NULL;
	if (by == NULL) {
		t->refused_by = node;
		t->refused_credential = credential;
		return false;
	}
	if (t->count < IAM_TRAIL_MAX) {
		t->narrowed = t->narrowed || credential != NULL;
		t->by[t->count++] = by;
	}
	return true;
}

enum iam_reach
iam_reach(const struct iam_node *node, const struct iam_token *token,
    int64_t now_ms, const struct iam_query *q)
{
	if (!trail(q, link_allows(node, now_ms, q), node, NULL))
		return IAM_OWN_MISSING;
	if (token != NULL && token->scopes.count > 0 &&
	    !trail(q, any_allows(&token->scopes, q), node, &token->scopes))
		return IAM_OWN_MISSING;
	for (node = node->parent; node != NULL; node = node->parent)
		if (!trail(q, link_allows(node, now_ms, q), node, NULL))
			return IAM_PARENT_MISSING;
	return IAM_HAS;
}

bool
iam_holds(const struct iam_node *node, const struct iam_token *token,
    int64_t now_ms, enum ag_scope_kind kind, const char *op,
    const struct ag_scope_target *target)
{
	struct iam_query q = { .how = IAM_Q_MATCH, .kind = kind, .op = op,
		.target = target };

	return iam_reach(node, token, now_ms, &q) == IAM_HAS;
}

/* ------------------------------------------------------- listing, resolving */

static void
resolve_node(const struct iam_node *node, struct ag_scope_target *out)
{
	out->id = node->id;
	out->alias = node->parent == NULL ? node->name : NULL;
}

bool
iam_resolve(struct iam *iam, const struct iam_tenant *tenant,
    const struct ag_scope *scope, struct ag_scope_target *out)
{
	char name[AG_SCOPE_NAME_MAX + 1];
	const struct iam_node *node = NULL;
	const struct iam_key *key;

	memset(out, 0, sizeof(*out));
	if (scope->select != AG_SELECT_NAME)
		return false;
	memcpy(name, scope->text + scope->name_at, scope->name_len);
	name[scope->name_len] = '\0';
	if (scope->kind == AG_SCOPE_KEY) {
		if ((key = iam_key_find(iam, tenant, name)) != NULL)
			*out = key->target;
		return key != NULL;
	}
	if (scope->kind == AG_SCOPE_PRINCIPAL)
		node = iam_principal_find(iam, tenant, name);
	else if (scope->kind == AG_SCOPE_AGENT)
		node = iam_agent_find(iam, tenant, name);
	if (node != NULL)
		resolve_node(node, out);
	return node != NULL;
}

struct gather {
	struct iam *iam;
	const struct iam_node *node;
	const struct iam_token *token;
	int64_t now_ms;
	const char *only_op;
	char **out;
	size_t count, max;
};

static void
gather(struct gather *g, const struct iam_scopes *scopes)
{
	for (size_t i = 0; i < scopes->count && g->count < g->max; i++) {
		const struct ag_scope *s = &scopes->items[i];
		struct ag_scope_target target;
		struct iam_query q = { .how = IAM_Q_IMPLY, .asked = s,
			.target = &target };
		size_t j = 0;

		if (g->only_op != NULL && !s->all_ops &&
		    strcmp(s->op, g->only_op) != 0)
			continue;
		if (!iam_resolve(g->iam, g->node->tenant, s, &target))
			q.target = NULL;
		if (iam_reach(g->node, g->token, g->now_ms, &q) != IAM_HAS)
			continue;
		while (j < g->count && strcmp(g->out[j], s->text) != 0)
			j++;
		if (j == g->count)
			g->out[g->count++] = (char *)s->text;
	}
}

/* Candidates are the own scopes and the token's: of `*:*:*` narrowed by a
 * token to one key, the token's is what remains. */
size_t
iam_effective(struct iam *iam, struct ag_ctx *ctx, const struct iam_node *node,
    const struct iam_token *token, const char *only_op, char ***out)
{
	struct gather g = { .iam = iam, .node = node, .token = token,
		.now_ms = ag_now_ms(ctx), .only_op = only_op };

	g.max = node->scopes.count + (token == NULL ? 0 : token->scopes.count);
	for (const struct iam_access *a = node->access; a != NULL; a = a->next)
		g.max += a->scopes.count;
	for (unsigned i = 0; i < node->role_count; i++)
		g.max += node->roles[i].role->scopes.count;
	g.out = iam_array(ctx, g.max);
	if (g.out == NULL)
		g.max = 0;
	if (token != NULL)
		gather(&g, &token->scopes);
	gather(&g, &node->scopes);
	for (const struct iam_access *a = node->access; a != NULL; a = a->next)
		if (g.now_ms < a->expires_at)
			gather(&g, &a->scopes);
	for (unsigned i = 0; i < node->role_count; i++)
		gather(&g, &node->roles[i].role->scopes);
	*out = g.out;
	return g.count;
}
