/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the responder asks for: an agent suspended, or revoked with all below
 * it. Asked twice, it is done once. Then, with time: what expired is said.
 */
#include "iam.h"

#include <stdio.h>
#include <string.h>

enum {
	STREAM_MAX = 64,
	SWEEP_NODES = 4096,
	TOKEN_KEPT_MS = 7 * 86400 * 1000,
	TOKENS_EVERY_TICKS = 2400, /* 10 min: the whole table is walked */
};

struct act_memo {
	char id[AG_ID_SIZE];
	uint32_t count;
};

static ag_err
acted(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct iam *iam = state;
	const struct act_memo *m = memo;
	Ag__ActReply reply = AG__ACT_REPLY__INIT;

	if (status != AG_OK)
		return status;
	reply.changed = true;
	reply.count = m->count;
	reply.committed_at = iam->committed_at;
	return ag_reply(ctx, AG_MSG_ACT_REPLY, &reply);
}

static ag_err
persist_act(struct iam *iam, struct ag_ctx *ctx, const Ag__ActAsk *ask,
    const struct iam_node *node, bool revoke)
{
	Ag__AgentStateFact fact = AG__AGENT_STATE_FACT__INIT;
	struct act_memo memo = { .count = 1 };
	char stream[STREAM_MAX];
	struct ag_fact facts[1];

	fact.agent_id = (char *)node->id;
	fact.state = (char *)(revoke ? "revoked" : "suspended");
	fact.reason = ask->reason;
	fact.at = ag_now_ms(ctx);
	fact.by = (char *)"responder";
	fact.cause_event_id = ask->cause_event_id;
	fact.has_by_responder = fact.by_responder = true;
	if (revoke)
		memo.count = iam_live_below(node, fact.at);
	strcpy(memo.id, node->id);
	snprintf(stream, sizeof(stream), "agent:%s", node->id);
	facts[0] = (struct ag_fact){ stream, node->version,
		AG_MSG_AGENT_STATE_FACT, &fact };
	return ag_persist(ctx, facts, 1, 0, NULL, NULL, acted, &memo,
	    sizeof(memo));
}

ag_err
iam_on_act(void *state, struct ag_ctx *ctx, const void *msg)
{
	struct iam *iam = state;
	const Ag__ActAsk *ask = msg;
	Ag__ActReply reply = AG__ACT_REPLY__INIT;
	struct iam_node *node = iam_node_find(iam, ask->target);
	bool revoke = strcmp(ask->action, "revoke_agent") == 0 ||
	    strcmp(ask->action, "revoke_subtree") == 0;
	char stream[STREAM_MAX];
	ag_err err;

	if (!revoke && strcmp(ask->action, "suspend_agent") != 0)
		return ag_refuse(ctx, AG_FEATURE_NOT_SUPPORTED, NULL, NULL,
		    "iam does not %s.", ask->action);
	if (node == NULL || node->parent == NULL ||
	    strcmp(node->tenant->name, ask->tenant) != 0)
		return ag_refuse(ctx, AG_ITEM_NOT_FOUND, NULL, NULL,
		    "There is no such agent.");
	snprintf(stream, sizeof(stream), "agent:%s", node->id);
	if ((err = ag_enter(ctx, stream, true)) != AG_OK)
		return err;
	if (iam_gone_by(node) != NULL ||
	    (!revoke && node->state == IAM_SUSPENDED)) {
		const struct iam_node *by = iam_gone_by(node);

		reply.committed_at = by != NULL ? by->state_at : node->state_at;
		return ag_reply(ctx, AG_MSG_ACT_REPLY, &reply);
	}
	return persist_act(iam, ctx, ask, node, revoke);
}

/* -------------------------------------------------------------- the sweeper */

enum { EXPIRED_AGAIN_MS = 60000 };

static void
say_expired(struct iam *iam, struct ag_ctx *ctx, struct iam_node *node)
{
	Ag__OutcomeEvent out = AG__OUTCOME_EVENT__INIT;
	char event_id[AG_ID_SIZE];

	/* One agent expires once: its own number names the event. */
	snprintf(event_id, sizeof(event_id), "evt_%s", node->id + 4);
	out.event_type = AG__EVENT_TYPE__V__lifecycle;
	out.outcome = AG__OUTCOME_KIND__V__allowed;
	out.operation = (char *)"agent.expire";
	out.tenant = node->tenant->name;
	out.resource_type = (char *)"agent";
	out.resource_id = node->id;
	out.resource_alias = node->name;
	out.actor_id = node->id;
	out.chain = (Ag__Link **)node->chain;
	out.n_chain = node->chain_len;
	out.event_id = event_id;
	if (ag_record(ctx, &out) != AG_OK)
		return; /* the next round */
	node->told_expired = true;
	iam_mark_dirty(iam, node);
}

static void
sweep_tokens(struct iam *iam, struct ag_ctx *ctx, int64_t now)
{
	struct iam_table *t = &iam->tokens;
	bool dropped = false;

	for (size_t i = 0; t->slots != NULL && i <= t->mask; i++) {
		struct iam_token *token = t->slots[i].item;

		if (token == NULL || token == &token->node->token ||
		    token->expires_at + TOKEN_KEPT_MS > now)
			continue;
		if (!dropped)
			iam_cache_clear(&iam->cache);
		dropped = true;
		if (ag_store_del(ctx, IAM_T_TOKENS, token->jti,
		    strlen(token->jti)) != AG_OK || ag_store_del(ctx,
		    IAM_T_TOKEN_ENDS, token->jti, strlen(token->jti)) != AG_OK)
			ag_log(ctx, AG_DEBUG, "TOKEN-ROW", "jti=%s", token->jti);
		iam_drop_token(iam, token);
		i--; /* another may have moved here */
	}
}

/* audit was away, and what it was told last may have been lost: it is said
 * again under the same number, which counts once. */
void
iam_peer(void *state, struct ag_ctx *ctx, unsigned slot, bool up)
{
	struct iam *iam = state;
	int64_t since = ag_now_ms(ctx) - EXPIRED_AGAIN_MS;

	if (!up || ag_slot_role(ctx, slot) != AG_ROLE_AUDIT)
		return;
	for (size_t i = 0; i < iam->agents.count; i++) {
		struct iam_node *node = iam->agents.items[i];

		if (node->told_expired && node->token.expires_at >= since)
			node->told_expired = false;
	}
}

/* A part of the agents at a time, so that no request waits for the sweep. */
void
iam_sweep(void *state, struct ag_ctx *ctx)
{
	struct iam *iam = state;
	int64_t now = ag_now_ms(ctx);
	size_t n = iam->agents.count < SWEEP_NODES ? iam->agents.count :
	    SWEEP_NODES;

	if (!iam->ready)
		return;
	if (++iam->sweep_ticks % TOKENS_EVERY_TICKS == 0)
		sweep_tokens(iam, ctx, now);
	while (n-- > 0) {
		struct iam_node *node;

		if (iam->sweep_at >= iam->agents.count)
			iam->sweep_at = 0;
		node = iam->agents.items[iam->sweep_at++];
		if (!node->told_expired && now >= node->token.expires_at &&
		    iam_gone_by(node) == NULL)
			say_expired(iam, ctx, node);
	}
}
