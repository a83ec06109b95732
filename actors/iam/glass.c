/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Breaking the glass: what ends something, where that is a matter of its own
 * (break_glass.destructive); and broken glass, as the approvals' facts tell it: who may, for which key and
 * until when, do what policies refuse and say may be overridden. Looked at on
 * every request that says Aegis-Break-Glass, or whose token was issued under
 * one: such a token is for that key alone and ends with the glass. The journal
 * tells of an end before the one who ended it is answered.
 */
#include "access.h"
#include "call.h"
#include "credentials.h"
#include "exec.h"
#include "reach.h"
#include "rulebook.h"

#include <stdio.h>
#include <string.h>

static struct iam_glass *
glass_find(struct iam *iam, const char *id)
{
	for (size_t i = 0; i < IAM_GLASS_MAX; i++)
		if (strcmp(iam->glass[i].id, id) == 0)
			return &iam->glass[i];
	return NULL;
}

static bool
fits(const char *text, size_t size)
{
	return text != NULL && strlen(text) < size;
}

ag_err
iam_glass_take(struct iam *iam, const Ag__BreakGlassFact *fact)
{
	const Ag__BreakGlass *g = fact->glass;
	struct iam_glass *slot = glass_find(iam, g->id);

	if (strcmp(g->state, "active") != 0) {
		if (slot != NULL)
			memset(slot, 0, sizeof(*slot));
		return AG_OK;
	}
	/* One that finds no room is not there: nothing is overridden by it. */
	if (slot == NULL && (slot = glass_find(iam, "")) == NULL)
		return AG_OK;
	if (!fits(g->id, sizeof(slot->id)) ||
	    !fits(g->principal->id, sizeof(slot->person)) ||
	    !fits(g->resource->id, sizeof(slot->key)))
		return AG_CORRUPT;
	strcpy(slot->id, g->id);
	strcpy(slot->person, g->principal->id);
	strcpy(slot->key, g->resource->id);
	slot->expires_at = g->expires_at;
	return AG_OK;
}

bool
iam_glass_open(struct iam *iam, const char *id, int64_t now_ms)
{
	const struct iam_glass *g = glass_find(iam, id);

	return g != NULL && now_ms < g->expires_at;
}

/* Every token that was issued under it. */
static ag_err
end_tokens(struct iam *iam, struct ag_ctx *ctx, const Ag__BreakGlassFact *fact)
{
	const struct iam_node *node = iam_node_find(iam,
	    fact->glass->principal->id);
	ag_err err = AG_OK;

	for (struct iam_token *t = node == NULL ? NULL : node->tokens;
	    err == AG_OK && t != NULL; t = t->next)
		if (t->glass != NULL && t->revoked_at == 0 &&
		    strcmp(t->glass, fact->glass->id) == 0)
			err = iam_token_end(ctx, t, "the break-glass is over",
			    fact->at);
	return err;
}

ag_err
iam_glass_apply(struct iam *iam, struct ag_ctx *ctx,
    const struct ag_fact_record *r)
{
	const Ag__BreakGlassFact *fact = r->fact;
	const char *id = fact->glass->id;
	ag_err err = iam_glass_take(iam, fact);

	if (err != AG_OK)
		return err;
	if (strcmp(fact->glass->state, "active") == 0)
		return iam_store_msg(ctx, IAM_T_GLASS, id, fact);
	if ((err = end_tokens(iam, ctx, fact)) != AG_OK)
		return err;
	err = ag_store_del(ctx, IAM_T_GLASS, id, strlen(id));
	return err == AG_ITEM_NOT_FOUND ? AG_OK : err;
}

/* ---------------------------------------------------------------- requests */

static ag_err
refused(struct call *c, const char *reason, const char *detail)
{
	ag_refuse_rule(c->ctx, "break-glass");
	return REFUSE(c, AG_PERMISSION_DENIED, reason, "Aegis-Break-Glass", "%s",
	    detail);
}

/* One's own token, which is then as the glass is. */
static bool
is_issue(const struct call *c)
{
	return c->op->type == AG_MSG_TOKEN_ISSUE && c->subject == c->node;
}

/* Its token says so; what is not about its key it does as any other. */
static ag_err
check_token(struct call *c)
{
	const struct iam_glass *g = glass_find(c->iam, c->token->glass);

	if (c->key == NULL || g == NULL || c->now >= g->expires_at ||
	    strcmp(g->key, c->key->id) != 0)
		return AG_OK;
	/* The token names the key only: its holder must still hold the right. */
	if (!iam_holds(c->node, NULL, c->now, AG_SCOPE_SYSTEM, "break-glass",
	    NULL))
		return refused(c, "break_glass_over",
		    "You may no longer break the glass.");
	c->grant.break_glass = c->token->glass;
	return AG_OK;
}

ag_err
iam_check_glass(struct call *c)
{
	const char *id = c->rq->break_glass;
	const struct iam_glass *g;

	if (id == NULL)
		return c->token->glass == NULL ? AG_OK : check_token(c);
	if (!ag_id_valid(id, "brk"))
		return REFUSE(c, AG_INVALID_FIELD, "wrong_type",
		    "Aegis-Break-Glass", "It is the id of a broken glass, brk_….");
	if (c->node->parent != NULL || c->node->kind != AG__KIND__V__human)
		return refused(c, "not_for_agents", "Only people break the glass.");
	g = glass_find(c->iam, id);
	/* Another's looks like none. */
	if (g == NULL || strcmp(g->person, c->node->id) != 0 ||
	    c->now >= g->expires_at)
		return refused(c, "break_glass_over", "It is not open for you.");
	if (!is_issue(c) &&
	    (c->key == NULL || strcmp(g->key, c->key->id) != 0))
		return refused(c, "break_glass_other", "It is for another key.");
	/* Who may no longer open one may no longer use one. */
	if (!iam_holds(c->node, c->token, c->now, AG_SCOPE_SYSTEM, "break-glass",
	    NULL))
		return refused(c, "break_glass_over",
		    "You may no longer break the glass.");
	c->grant.break_glass = (char *)id;
	return AG_OK;
}

ag_err
iam_glass_token(struct iam *iam, struct ag_ctx *ctx,
    const struct iam_caller *caller, const Ag__TokenIssueAsk *ask,
    uint32_t *ttl_s)
{
	const struct iam_glass *g = glass_find(iam, ag_grant(ctx)->break_glass);
	int64_t left_s = g == NULL ? 0 : (g->expires_at - caller->now) / 1000;

	if (left_s < 1)
		return ag_refuse(ctx, AG_PERMISSION_DENIED, "break_glass_over",
		    "Aegis-Break-Glass", "It is not open for you.");
	if (ask->n_scopes == 0)
		return ag_refuse(ctx, AG_INVALID_FIELD, "missing", "/scopes",
		    "A token under a broken glass says what it is for.");
	for (size_t i = 0; i < ask->n_scopes; i++) {
		struct ag_scope scope;
		char name[AG_NAME_MAX + 1] = "";
		const struct iam_key *key = NULL;

		if (ag_scope_parse(ask->scopes[i], &scope) &&
		    scope.kind == AG_SCOPE_KEY && scope.select == AG_SELECT_NAME &&
		    scope.name_len < sizeof(name)) {
			memcpy(name, scope.text + scope.name_at, scope.name_len);
			key = iam_key_find(iam, caller->tenant, name);
		}
		if (key == NULL || strcmp(key->id, g->key) != 0)
			return ag_refuse(ctx, AG_INVALID_FIELD, "bad_scope",
			    ag_printf(ctx, "/scopes/%zu", i),
			    "A token under a broken glass is for its key alone.");
	}
	if (*ttl_s > left_s)
		*ttl_s = (uint32_t)left_s;
	return AG_OK;
}

/* The body names the key; what it comes to is iam's to say. */
ag_err
iam_glass_opening(struct call *c)
{
	struct iam_tenant *tenant = c->node->tenant;
	const struct ag_rules *rules = NULL;
	const Ag__BreakGlassOpenAsk *ask;
	const uint8_t *body;
	size_t len;

	if (c->node->kind != AG__KIND__V__human)
		return refused(c, "not_for_agents", "Only people break the glass.");
	body = ag_body(c->ctx, &len);
	ask = ag_unpack(c->ctx, &ag__break_glass_open_ask__descriptor, body, len);
	if (ask == NULL)
		return AG_BAD_MESSAGE;
	if (tenant->book != NULL)
		rules = iam_rules_of(c->iam, c->ctx, tenant);
	if (rules == NULL || !ag_rules_overridable(rules))
		return refused(c, "nothing_overridable",
		    "No policy says that it may be overridden.");
	if (strlen(ask->key) <= AG_NAME_MAX)
		c->key = iam_key_find(c->iam, tenant, ask->key);
	if (c->key == NULL)
		return REFUSE(c, AG_ITEM_NOT_FOUND, NULL, "/key",
		    "There is no such key.");
	c->grant.resource_type = (char *)"key";
	c->grant.resource_id = c->key->id;
	c->grant.resource_alias = (char *)c->key->target.alias;
	c->wants_step_up = true;
	return AG_OK;
}

/* ------------------------------------------------------ what ends something */

static bool
is_destructive(const struct ag_operation *op)
{
	const char *group;

	return ag_rules_action_group(op->operation, &group) &&
	    strcmp(group, "destroy") == 0;
}

bool
iam_ends(const struct iam *iam, const struct ag_operation *op)
{
	return iam->ends_apart && is_destructive(op);
}

bool
iam_may_end(const struct iam_node *node, const struct iam_token *token,
    int64_t now_ms)
{
	struct iam_query q = { .how = IAM_Q_WRITTEN, .kind = AG_SCOPE_SYSTEM,
		.op = "break-glass" };

	return iam_reach(node, token, now_ms, &q) == IAM_HAS;
}

/* Which tools are destructive the gateway knows. */
ag_err
iam_check_end(struct call *c)
{
	if (c->iam->ends_apart && c->op->kind == AG_KIND_TOOL) {
		c->grant.has_may_end = true;
		c->grant.may_end = iam_may_end(c->node, c->token, c->now);
		return AG_OK;
	}
	if (!iam_ends(c->iam, c->op) || iam_may_end(c->node, c->token, c->now))
		return AG_OK;
	ag_refuse_rule(c->ctx, "break-glass");
	ag_refuse_hint(c->ctx, "a role with the scope system:*:break-glass, "
	    "written so, lets somebody end things");
	return REFUSE(c, AG_PERMISSION_DENIED, "break_glass_scope_missing", NULL,
	    "This ends something: the scope system:*:break-glass is not held.");
}
