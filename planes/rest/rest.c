/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rest: the plane that speaks HTTP/1.1 and JSON.
 * Hears deliver_event (audit): recorded, now say it; stream_item_event
 * (history). Says the operations (to iam), outcome_event (audit: its own
 * refusals and timeouts), jwks_ask (iam), stream orders (history).
 * Keeps connections. It knows no policy, no key, and nothing of a request
 * that has ended.
 */
#include "rest.h"

static ag_err
on_stream_item(void *state, struct ag_ctx *ctx, const void *msg)
{
	(void)ctx;
	stream_item(state, msg);
	return AG_OK;
}

const struct protocol rest_protocol = {
	.name = "rest",
	.conn_size = sizeof(struct rest_conn),
	.page = page_answer,
	.bind = rest_bind,
	.problem = answer_problem,
	.reply = rest_reply,
	.forget = stream_forget,
	.stream = &rest_stream,
};

static ag_err
init(void *state, struct ag_ctx *ctx)
{
	return plane_init(state, ctx, &rest_protocol);
}

static void
fini(void *state, struct ag_ctx *ctx)
{
	struct rest *rest = state;

	plane_fini(state, ctx);
	health_free(rest);
	text_fini(&rest->openapi);
	text_fini(&rest->docs);
}

static const struct ag_row rows[] = {
	{ AG_MSG_DELIVER_EVENT, plane_on_deliver },
	{ AG_MSG_STREAM_ITEM_EVENT, on_stream_item },
};

static const struct ag_metric_row metrics[] = { PLANE_METRICS("rest") };

const struct ag_actor ag_actor_rest = {
	.name = "rest",
	.state_size = sizeof(struct rest),
	AG_ROWS(rows),
	.init = init,
	.ready = plane_ready,
	.peer = plane_peer,
	.drain = plane_drain,
	.fini = fini,
	AG_METRICS(metrics),
};
