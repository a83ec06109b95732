/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the responder asks for: an agent suspended, or revoked with all below
 * it. Asked twice, it is done once.
 */
#include "ended.h"
#include "exec.h"
#include "handlers.h"
#include "iam.h"
#include "reach.h"

#include <stdio.h>
#include <string.h>

enum { STREAM_MAX = 64 };

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
	struct iam_node *node = iam_agent_recall(iam, ctx, NULL, ask->target);
	bool revoke = strcmp(ask->action, "revoke_agent") == 0 ||
	    strcmp(ask->action, "revoke_subtree") == 0;
	char stream[STREAM_MAX];
	ag_err err;

	if (!revoke && strcmp(ask->action, "suspend_agent") != 0)
		return ag_refuse(ctx, AG_FEATURE_NOT_SUPPORTED, NULL, NULL,
		    "iam does not %s.", ask->action);
	if (node == NULL || strcmp(node->tenant->name, ask->tenant) != 0)
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
