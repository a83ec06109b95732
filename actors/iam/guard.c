/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How often a credential may be wrong: per address, and per account from
 * whatever address (limits.authentication). Only what would have to be
 * verified is looked at: who is known goes on, whoever shares the address.
 */
#include "call.h"

#include <stdlib.h>
#include <string.h>

struct iam_guard {
	struct iam_limit limit;
	struct iam_windows windows;
};

ag_err
iam_guard_init(struct iam *iam, struct ag_ctx *ctx)
{
	int64_t rate = ag_config_int(ctx, "limits.authentication.rate");
	int64_t window_s = ag_config_int(ctx, "limits.authentication.window_s");

	if (rate == 0)
		return AG_OK;
	if ((iam->guard = calloc(1, sizeof(*iam->guard))) == NULL)
		return AG_NO_MEMORY;
	iam->guard->limit.rate = (uint32_t)rate;
	iam->guard->limit.window_ms = (uint32_t)window_s * 1000;
	/* Nobody is asked about who may be anybody: each node has its part. */
	iam->guard->limit = iam_shares_part(iam, &iam->guard->limit);
	iam_windows_init(&iam->guard->windows, ag_now_ms(ctx));
	return AG_OK;
}

void
iam_guard_fini(struct iam *iam)
{
	free(iam->guard);
	iam->guard = NULL;
}

static ag_err
look(struct call *c, const char *kind, const char *name, const char *reason)
{
	struct iam_window *window = iam_windows_find(&c->iam->guard->windows,
	    kind, name, false);
	struct iam_room room;

	if (window == NULL)
		return AG_OK;
	room = iam_window_look(window, &c->iam->guard->limit, c->mono, 1);
	if (room.ok)
		return AG_OK;
	ag_metric_add(c->ctx, IAM_M_REFUSED, 1);
	ag_metric_add(c->ctx, IAM_M_LIMITED, 1);
	ag_refuse_retry(c->ctx, room.retry_s);
	return ag_refuse(c->ctx, AG_RATE_LIMITED, reason, NULL,
	    "Too many credentials were wrong; try again in %u s.", room.retry_s);
}

static void
count(struct call *c, const char *kind, const char *name)
{
	struct iam_window *window = iam_windows_find(&c->iam->guard->windows,
	    kind, name, true);

	if (window != NULL)
		iam_window_take(window, &c->iam->guard->limit, c->mono, 1);
}

ag_err
iam_guard_address(struct call *c)
{
	return c->iam->guard == NULL || c->rq->source_address == NULL ? AG_OK :
	    look(c, "a", c->rq->source_address, "address");
}

ag_err
iam_guard_account(struct call *c, const struct iam_node *node)
{
	return c->iam->guard == NULL ? AG_OK : look(c, "n", node->id, "account");
}

void
iam_guard_failed(struct call *c)
{
	if (c->iam->guard == NULL)
		return;
	if (c->rq->source_address != NULL)
		count(c, "a", c->rq->source_address);
	if (c->token != NULL && c->token->node != NULL)
		count(c, "n", c->token->node->id);
}
