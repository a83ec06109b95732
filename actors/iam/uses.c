/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Agents that may be used a number of times. Counted in memory, exactly; the
 * journal has, ahead of it, how many may be gone: after a crash that many are,
 * so a crash takes some away and never gives any. What an agent's own agents
 * do counts for it, too, or it would issue its way out. What another node set
 * aside is used, as far as this one knows: two nodes that set aside at once meet
 * at the stream's version, and one asks again.
 *
 * A use is a call that iam passes on; what risk or the executor refuses then
 * is not given back.
 */
#include "call.h"

#include <stdio.h>
#include <string.h>

enum {
	BLOCK_MAX = 64,      /* most that a crash takes away */
	BLOCK_PART = 16,     /* and no more than this part of all */
	WAIT_MS = 2000,
	STREAM_MAX = 64,
};

static bool
is_over(const struct iam_node *node, uint32_t n)
{
	return node->max_uses != 0 && (n > node->max_uses ||
	    node->used > node->max_uses - n);
}

static const char *
park_name(struct ag_ctx *ctx, const struct iam_node *node)
{
	const char *name = ag_printf(ctx, "uses:%s", node->id);

	return name != NULL ? name : node->id;
}

static ag_err
on_reserved(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct iam_node *node = iam_node_find(state, memo);

	if (node == NULL)
		return AG_OK;
	node->reserving = false;
	if (status != AG_OK)
		ag_log(ctx, AG_WARN, "USES-NOT-RESERVED", "agent=%s err=%s",
		    node->id, ag_err_row(status)->name);
	/* Whoever waits asks again, until its deadline. */
	ag_stash_release(ctx, park_name(ctx, node));
	return AG_OK;
}

static ag_err
reserve(struct call *c, struct iam_node *node)
{
	Ag__AgentUsesFact fact = AG__AGENT_USES_FACT__INIT;
	uint64_t block = node->max_uses / BLOCK_PART;
	char stream[STREAM_MAX];
	struct ag_fact facts[1];
	ag_err err;

	if (block > BLOCK_MAX)
		block = BLOCK_MAX;
	if (block < 1)
		block = 1;
	fact.agent_id = node->id;
	fact.reserved_to = node->used + c->items + block - 1;
	if (fact.reserved_to > node->max_uses)
		fact.reserved_to = node->max_uses;
	fact.at = c->now;
	snprintf(stream, sizeof(stream), "uses:%s", node->id);
	facts[0] = (struct ag_fact){ stream, node->uses_version,
		AG_MSG_AGENT_USES_FACT, &fact };
	err = ag_persist_apart(c->ctx, facts, 1, on_reserved, node->id,
	    sizeof(node->id));
	node->reserving = err == AG_PENDING;
	return node->reserving ? AG_OK : err;
}

ag_err
iam_uses_ready(struct call *c)
{
	for (struct iam_node *n = c->node; n != NULL; n = n->parent) {
		ag_err err = AG_OK;

		if (n->max_uses == 0 || is_over(n, c->items) ||
		    n->used + c->items <= n->reserved)
			continue;
		if (!n->reserving && (err = reserve(c, n)) != AG_OK)
			return REFUSE(c, AG_UNAVAILABLE, "journal", NULL,
			    "The use could not be counted.");
		/* The grant is for the refusal, if the journal does not answer. */
		if ((err = ag_set_grant(c->ctx, &c->grant)) != AG_OK)
			return err;
		return ag_stash_on(c->ctx, park_name(c->ctx, n), WAIT_MS,
		    "journal");
	}
	return AG_OK;
}

ag_err
iam_check_uses(struct call *c)
{
	for (const struct iam_node *n = c->node; n != NULL; n = n->parent)
		if (is_over(n, c->items))
			return REFUSE(c, AG_USAGE_LIMIT_EXCEEDED, "max_uses",
			    NULL, n == c->node ? "The agent is used up." :
			    "An agent above is used up.");
	for (struct iam_node *n = c->node; n != NULL; n = n->parent)
		if (n->max_uses != 0)
			n->used += c->items;
	return AG_OK;
}

/* From the journal or the snapshot. What another node, or another life of this
 * process, set aside counts as used; what this one does is counted in memory. */
void
iam_uses_take(struct iam *iam, const Ag__AgentUsesFact *fact, bool elsewhere)
{
	struct iam_node *node = iam_node_find(iam, fact->agent_id);

	if (node == NULL || node->uses_version >= fact->revision)
		return;
	node->uses_version = fact->revision;
	if (!iam->ready)
		node->used = fact->reserved_to;
	else if (elsewhere && fact->reserved_to > node->reserved)
		node->used += fact->reserved_to - node->reserved;
	node->reserved = fact->reserved_to;
}
