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

#include <string.h>

static ag_err
on_deliver(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__DeliverEvent *deliver = msg;
	struct rest *rest = state;
	struct conn *conn = deliver->boot == ag_boot(ctx) ?
	    request_find(rest, deliver->n) : NULL;

	rest->audit_seen = true;
	if (conn == NULL ||
	    (conn->state != CONN_ASKED && conn->state != CONN_ASKED_SLOW &&
	    conn->state != CONN_TOLD))
		ag_metric_add(ctx, RM_LATE, 1); /* nobody waits any more */
	else
		answer_deliver(conn, deliver);
	request_pay_debt(rest);
	request_admit_waiting(rest);
	return AG_OK;
}

static ag_err
on_stream_item(void *state, struct ag_ctx *ctx, const void *msg)
{
	(void)ctx;
	stream_item(state, msg);
	return AG_OK;
}

static void
on_sweep(void *state, struct ag_ctx *ctx)
{
	struct rest *rest = state;

	request_admit_waiting(rest);
	conn_sweep(rest);
	ag_metric_set(ctx, RM_UNSENT, rest->unsent);
	limit_report(rest, false);
	if (rest->audit_seen && ag_slot_up(rest->ctx, rest_audit(rest)))
		request_pay_debt(rest);
	if (rest->draining && (rest->conn_count == 0 ||
	    ag_mono_ms(rest->ctx) >= rest->drained_ms))
		ag_stop(rest->ctx, 0);
}

/* SIGTERM: what is under way has its deadline, and as long again for audit. */
static void
drain(void *state, struct ag_ctx *ctx)
{
	struct rest *rest = state;

	limit_report(rest, true);
	rest->drained_ms = ag_mono_ms(ctx) + 2 * rest->state_ms[CONN_ASKED];
	conn_drain(rest);
}

static void
on_peer(void *state, struct ag_ctx *ctx, unsigned slot, bool up)
{
	struct rest *rest = state;

	(void)ctx;
	if (up && slot == rest_audit(rest)) {
		rest->audit_seen = true;
		request_pay_debt(rest);
	}
}

static void
read_config(struct rest *rest)
{
	struct ag_ctx *ctx = rest->ctx;
	unsigned header_ms = (unsigned)ag_config_int(ctx, "rest.limits.header_s") * 1000;
	unsigned body_ms = (unsigned)ag_config_int(ctx, "rest.limits.body_s") * 1000;
	unsigned deadline_ms = (unsigned)ag_config_int(ctx, "rest.deadline_ms");
	const unsigned state_ms[CONN_STATES] = {
		[CONN_FRESH] = header_ms,
		[CONN_IDLE] = REST_IDLE_MS,
		[CONN_HEAD] = header_ms,
		[CONN_BODY] = body_ms,
		[CONN_CREDIT] = REST_CREDIT_WAIT_MS,
		[CONN_ASKED] = deadline_ms,
		[CONN_ASKED_SLOW] = deadline_ms * AG_SLOW_FACTOR,
		[CONN_TOLD] = deadline_ms,
		[CONN_STREAM] = REST_KEEP_ALIVE_MS,
		[CONN_CLOSING] = REST_LINGER_MS,
	};

	memcpy(rest->state_ms, state_ms, sizeof(state_ms));
	rest->limits.header_bytes =
	    (size_t)ag_config_int(ctx, "rest.limits.header_bytes");
	rest->limits.body_bytes =
	    (size_t)ag_config_int(ctx, "rest.limits.body_bytes");
	rest->bodies.max = REST_BODIES_BYTES_MAX;
	rest->limits.bodies = &rest->bodies;
	rest->limits.batch_bytes = rest->limits.body_bytes * REST_BATCH_FACTOR;
	rest->conn_max = (unsigned)ag_config_int(ctx, "rest.limits.connections");
}

static ag_err
init(void *state, struct ag_ctx *ctx)
{
	struct rest *rest = state;
	unsigned i;
	ag_err err;

	rest->ctx = ctx;
	rest->base = ag_event_base(ctx);
	for (i = 0; i < CONN_STATES; i++)
		TAILQ_INIT(&rest->lists[i]);
	read_config(rest);
	address_trust(rest);
	codec_init();
	if (!pool_init(&rest->pool))
		return AG_NO_MEMORY;
	if ((err = limit_new(rest)) != AG_OK || (err = tls_init(rest)) != AG_OK)
		return err;
	return ag_every(ctx, REST_SWEEP_MS, on_sweep);
}

static ag_err
ready(void *state, struct ag_ctx *ctx)
{
	struct rest *rest = state;
	ag_err err = conn_listen(rest, REST_LISTEN_FD);

	if (err != AG_OK)
		ag_log(ctx, AG_ERROR, "NO-LISTENER", "descriptor=%d", REST_LISTEN_FD);
	return err;
}

static void
fini(void *state, struct ag_ctx *ctx)
{
	struct rest *rest = state;

	(void)ctx;
	if (rest->listener != NULL)
		evconnlistener_free(rest->listener);
	rest->listener = NULL;
	if (rest->limiter != NULL)
		limit_report(rest, true);
	conn_close_all(rest);
	limit_free(rest);
	SSL_CTX_free(rest->tls);
	pool_fini(&rest->pool);
	text_fini(&rest->out);
	text_fini(&rest->openapi);
	text_fini(&rest->docs);
}

static const struct ag_row rows[] = {
	{ AG_MSG_DELIVER_EVENT, on_deliver },
	{ AG_MSG_STREAM_ITEM_EVENT, on_stream_item },
};

static const struct ag_metric_row metrics[] = {
	[RM_REQUESTS] = { "rest_requests_total", "Requests received", AG_COUNTER },
	[RM_2XX] = { "rest_answers_2xx_total", "Answers of success", AG_COUNTER },
	[RM_4XX] = { "rest_answers_4xx_total", "Answers that refuse", AG_COUNTER },
	[RM_5XX] = { "rest_answers_5xx_total", "Answers of failure", AG_COUNTER },
	[RM_LATENCY] = { "rest_latency_seconds", "From the request's last byte to its answer", AG_HISTOGRAM_US },
	[RM_FRAMING] = { "rest_bad_framing_total", "Requests that are not HTTP, too large or too slow", AG_COUNTER },
	[RM_CONNECTIONS] = { "rest_connections", "Open connections", AG_GAUGE },
	[RM_REFUSED_CONNECTIONS] = { "rest_connections_refused_total", "Connections beyond the bound", AG_COUNTER },
	[RM_IN_FLIGHT] = { "rest_in_flight", "Requests under way, streams included", AG_GAUGE },
	[RM_OVERLOADS] = { "rest_overloads_total", "Requests refused for want of credit", AG_COUNTER },
	[RM_UNRECORDED] = { "rest_unrecorded_total", "Answers 503 without a record", AG_COUNTER },
	[RM_ADDRESS_LIMITED] = { "rest_address_limited_total", "Requests beyond an address's limit", AG_COUNTER },
	[RM_TIMEOUTS] = { "rest_timeouts_total", "Requests whose deadline passed", AG_COUNTER },
	[RM_STREAMS] = { "rest_streams_total", "Event streams opened", AG_COUNTER },
	[RM_UNSENT] = { "rest_unsent_bytes", "Output that waits for slow readers", AG_GAUGE },
	[RM_UNSENT_DROPPED] = { "rest_unsent_dropped_total", "Connections closed because output waited beyond its bound", AG_COUNTER },
	[RM_TLS_RELOADS] = { "rest_tls_reloads_total", "New certificates taken while running", AG_COUNTER },
	[RM_TLS_KEPT] = { "rest_tls_kept_total", "New certificates that were no good: the old one stays", AG_COUNTER },
	[RM_LATE] = { "rest_late_total", "Answers that nobody waited for any more", AG_COUNTER },
};

const struct ag_actor ag_actor_rest = {
	.name = "rest",
	.state_size = sizeof(struct rest),
	AG_ROWS(rows),
	.init = init,
	.ready = ready,
	.peer = on_peer,
	.drain = drain,
	.fini = fini,
	AG_METRICS(metrics),
};
