/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hold: between a refusal for scope (or on a honey key) and the responder's
 * ruling, nothing of that agent goes on. Its requests wait, parked under the
 * agent's name, for agents.hold_ms; then they are refused and the hold stays.
 * A hold outlives this process: it is committed before the refusal that began
 * it is said (iam_flush), so that who is held gains nothing by a crash of ours.
 */
#include "hold.h"
#include "iam.h"

#include <stdlib.h>
#include <string.h>

struct iam_hold {
	char events[IAM_HOLD_EVENTS_MAX][AG_ID_SIZE];
	unsigned count;
	bool overflow; /* more events than fit: stays until this process ends */
	unsigned waiting;
	uint64_t waiting_since_ms;
};

/* When there is no memory for a hold, the agent still is held. */
static struct iam_hold no_memory_hold = { .overflow = true };

static const char *
park_name(struct ag_ctx *ctx, const struct iam_node *node)
{
	const char *name = ag_printf(ctx, "hold:%s", node->id);

	return name != NULL ? name : node->id;
}

/* The events that the agent waits for; none: no row. */
static void
keep(struct iam *iam, struct ag_ctx *ctx, const struct iam_node *node,
    const struct iam_hold *hold)
{
	ag_err err = hold->count == 0 ?
	    ag_store_del(ctx, IAM_T_HOLDS, node->id, strlen(node->id)) :
	    ag_store_put(ctx, IAM_T_HOLDS, node->id, strlen(node->id),
	    hold->events, hold->count * sizeof(hold->events[0]));

	if (err != AG_OK && err != AG_ITEM_NOT_FOUND)
		ag_log(ctx, AG_ERROR, "HOLD-ROW", "agent=%s", node->id);
	iam->store_changed = true;
}

ag_err
iam_hold_load(struct iam *iam, const char *agent_id, const void *events,
    size_t len)
{
	struct iam_node *node = iam_node_find(iam, agent_id);
	struct iam_hold *hold;

	if (node == NULL || node->hold != NULL)
		return AG_OK;
	if (len == 0 || len > sizeof(hold->events) ||
	    len % sizeof(hold->events[0]) != 0)
		return AG_CORRUPT;
	if ((hold = calloc(1, sizeof(*hold))) == NULL)
		return AG_NO_MEMORY;
	memcpy(hold->events, events, len);
	hold->count = (unsigned)(len / sizeof(hold->events[0]));
	for (unsigned i = 0; i < hold->count; i++)
		hold->events[i][AG_ID_SIZE - 1] = '\0';
	node->hold = hold;
	iam->holds++;
	return AG_OK;
}

bool
iam_hold_wait(struct iam *iam, struct ag_ctx *ctx, struct iam_node *node,
    ag_err *err)
{
	struct iam_hold *hold = node->hold;
	uint64_t now = ag_mono_ms(ctx);

	if (hold == NULL)
		return false;
	/* Whoever waited at the start of the span has left by its end, so at
	 * most twice the bound wait at any time. */
	if (now - hold->waiting_since_ms > iam->hold_ms) {
		hold->waiting_since_ms = now;
		hold->waiting = 0;
	}
	ag_metric_add(ctx, IAM_M_HELD, 1);
	if (hold->waiting >= IAM_HOLD_WAITING_MAX) {
		*err = ag_refuse(ctx, AG_UNAVAILABLE, "response", NULL,
		    "The response to an earlier refusal is under way.");
		return true;
	}
	hold->waiting++;
	*err = ag_stash_on(ctx, park_name(ctx, node), iam->hold_ms, "response");
	return true;
}

void
iam_hold_begin(struct iam *iam, struct ag_ctx *ctx, struct iam_node *node,
    const char *event_id)
{
	struct iam_hold *hold = node->hold;

	if (hold == &no_memory_hold) /* many agents', and it stays as it is */
		return;
	if (hold == NULL) {
		hold = iam->holds < IAM_HOLDS_MAX ? calloc(1, sizeof(*hold)) :
		    NULL;
		if (hold == NULL) {
			ag_log(ctx, AG_ERROR, "HOLD-FULL", "agent=%s", node->id);
			node->hold = &no_memory_hold;
			return;
		}
		node->hold = hold;
		iam->holds++;
		ag_metric_set(ctx, IAM_M_HOLDS, iam->holds);
	}
	if (hold->count == IAM_HOLD_EVENTS_MAX || event_id == NULL)
		hold->overflow = true;
	else
		strcpy(hold->events[hold->count++], event_id);
	keep(iam, ctx, node, hold);
}

static void
release(struct iam *iam, struct ag_ctx *ctx, struct iam_node *node)
{
	node->hold->count = 0;
	keep(iam, ctx, node, node->hold);
	free(node->hold);
	node->hold = NULL;
	iam->holds--;
	ag_metric_set(ctx, IAM_M_HOLDS, iam->holds);
	ag_stash_release(ctx, park_name(ctx, node));
}

void
iam_hold_clear(struct iam *iam, struct ag_ctx *ctx, struct iam_node *node)
{
	if (node->hold == &no_memory_hold)
		node->hold = NULL;
	else if (node->hold != NULL)
		release(iam, ctx, node);
}

void
iam_hold_free(struct iam_node *node)
{
	if (node->hold != &no_memory_hold)
		free(node->hold);
	node->hold = NULL;
}

/* Answered when the hold's row is committed (iam_flush): whoever ruled asks
 * until then, so that no crash of ours leaves an agent held for ever. */
ag_err
iam_on_ruling(void *state, struct ag_ctx *ctx, const void *msg)
{
	struct iam *iam = state;
	const Ag__RulingAsk *ask = msg;
	struct iam_node *node = iam_node_find(iam, ask->agent_id);
	struct iam_hold *hold = node == NULL ? NULL : node->hold;
	Ag__Done done = AG__DONE__INIT;

	if (hold == NULL || hold == &no_memory_hold) /* ruled twice */
		return ag_reply(ctx, AG_MSG_DONE_REPLY, &done);
	for (unsigned i = 0; i < hold->count; i++) {
		if (strcmp(hold->events[i], ask->event_id) != 0)
			continue;
		memmove(hold->events[i], hold->events[hold->count - 1],
		    AG_ID_SIZE);
		hold->count--;
		break;
	}
	if (hold->count == 0 && !hold->overflow)
		release(iam, ctx, node);
	else
		keep(iam, ctx, node, hold);
	return ag_reply(ctx, AG_MSG_DONE_REPLY, &done);
}
