/* SPDX-License-Identifier: Apache-2.0 */
/*
 * With time: what expired is journaled and said, once each; what ended long
 * ago leaves memory. A part of the tables at a time, so that no request waits
 * for it.
 */
#include "access.h"
#include "ended.h"
#include "handlers.h"
#include "iam.h"
#include "reach.h"

#include <stdio.h>
#include <string.h>

enum {
	SWEEP_NODES = 4096,    /* looked at in a round: all in 16 s at most */
	EXPIRING_MAX = 512,    /* changes under way */
	LEAVE_EVERY_TICKS = 4, /* 1 s */
	LEAVE_WINDOW = 32768,
	LEAVE_MAX = 1024,
	TOKENS_EVERY_TICKS = 120, /* 30 s: the whole table is walked */
	TOKENS_LEAVE_MAX = 4096,
	STREAM_MAX = 64,
};

/* ------------------------------------------------------------------ expiry */

static ag_err
on_expired(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct iam *iam = state;
	struct iam_node *node = iam_node_find(iam, memo);

	iam->expiring--;
	if (node != NULL)
		node->expiring = false;
	/* Changed meanwhile, or no journal: the next round sees. */
	if (status != AG_OK)
		ag_log(ctx, AG_DEBUG, "EXPIRE-LATER", "agent=%s err=%s",
		    (const char *)memo, ag_err_row(status)->name);
	return AG_OK;
}

static void
expire(struct iam *iam, struct ag_ctx *ctx, struct iam_node *node)
{
	Ag__OutcomeEvent out = AG__OUTCOME_EVENT__INIT;
	Ag__AgentStateFact fact = AG__AGENT_STATE_FACT__INIT;
	char event_id[AG_ID_SIZE], stream[STREAM_MAX];
	struct ag_fact facts[1];

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
	fact.agent_id = node->id;
	fact.state = (char *)"expired";
	fact.reason = (char *)"its time is over";
	fact.at = node->token.expires_at;
	snprintf(stream, sizeof(stream), "agent:%s", node->id);
	facts[0] = (struct ag_fact){ stream, node->version,
		AG_MSG_AGENT_STATE_FACT, &fact };
	if (ag_persist_recorded(ctx, facts, 1, &out, on_expired, node->id,
	    sizeof(node->id)) != AG_PENDING)
		return; /* the next round */
	node->expiring = true;
	iam->expiring++;
}

static void
sweep_expired(struct iam *iam, struct ag_ctx *ctx, int64_t now)
{
	size_t n = iam->agents.count < SWEEP_NODES ? iam->agents.count :
	    SWEEP_NODES;

	while (n-- > 0 && iam->expiring < EXPIRING_MAX) {
		struct iam_node *node;

		if (iam->sweep_at >= iam->agents.count)
			iam->sweep_at = 0;
		node = iam->agents.items[iam->sweep_at++];
		if (!node->expired && !node->expiring && !node->recalled &&
		    now >= node->token.expires_at && iam_gone_by(node) == NULL)
			expire(iam, ctx, node);
	}
}

/* ------------------------------------------------------------------ tokens */

static bool
token_ended(const struct iam *iam, const struct iam_token *token, int64_t now)
{
	int64_t at = token->expires_at;

	if (token->node->parent != NULL)
		return false; /* an agent's goes with it */
	if (token->revoked_at != 0 && token->revoked_at < at)
		at = token->revoked_at;
	return at + iam->ended_kept_ms <= now;
}

void
iam_sweep_tokens(struct iam *iam, struct ag_ctx *ctx)
{
	int64_t now = ag_now_ms(ctx);
	struct iam_token *list[TOKENS_LEAVE_MAX];
	struct iam_table *t = &iam->tokens;
	unsigned count = 0;

	for (size_t i = 0; t->slots != NULL && i <= t->mask &&
	    count < TOKENS_LEAVE_MAX; i++) {
		struct iam_token *token = t->slots[i].item;

		if (token == NULL || !token_ended(iam, token, now) ||
		    iam_token_leave(iam, ctx, token) != AG_OK)
			continue;
		token->left = true;
		list[count++] = token;
	}
	if (count > 0)
		iam_cache_forget(&iam->cache);
	while (count > 0)
		iam_drop_token(iam, list[--count]);
}

void
iam_sweep(void *state, struct ag_ctx *ctx)
{
	struct iam *iam = state;
	int64_t now = ag_now_ms(ctx);

	if (!iam->ready)
		return;
	if (++iam->sweep_ticks % TOKENS_EVERY_TICKS == 0)
		iam_sweep_tokens(iam, ctx);
	if (iam->sweep_ticks % LEAVE_EVERY_TICKS == 0) {
		iam_shred(iam, ctx);
		iam->leave_at = iam_ended_sweep(iam, ctx, iam->leave_at,
		    LEAVE_WINDOW, LEAVE_MAX);
		iam_usage_sweep(&iam->usage, ctx);
		iam_recent_sweep(iam, ctx);
		iam_access_sweep(iam, ctx);
	}
	sweep_expired(iam, ctx, now);
}
