/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Broken glass, as the approvals' facts tell it: who may, for which key and
 * until when, do what policies refuse and say may be overridden. Looked at on
 * every request that says Aegis-Break-Glass; the journal tells of an end
 * before the one who ended it is answered.
 */
#include "call.h"

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

ag_err
iam_check_glass(struct call *c)
{
	const char *id = c->rq->break_glass;
	const struct iam_glass *g;

	if (id == NULL)
		return AG_OK;
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
	if (c->key == NULL || strcmp(g->key, c->key->id) != 0)
		return refused(c, "break_glass_other", "It is for another key.");
	/* Who may no longer open one may no longer use one. */
	if (!iam_holds(c->node, c->token, c->now, AG_SCOPE_SYSTEM, "break-glass",
	    NULL))
		return refused(c, "break_glass_over",
		    "You may no longer break the glass.");
	c->grant.break_glass = (char *)id;
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
