/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the actor of every HTTP plane does: hears deliver_event (audit):
 * recorded, now say it; sweeps what is due; drains; reads its settings.
 */
#include "plane.h"

#include <stdio.h>
#include <string.h>

enum { KEY_SIZE = 64 };

/* Before the answer: whatever its client asks next comes behind it. */
static void
say_ended(struct ag_ctx *ctx, const Ag__DeliverEvent *deliver)
{
	Ag__RequestEndedEvent event = AG__REQUEST_ENDED_EVENT__INIT;
	unsigned iam = ag_slot(ctx, AG_ROLE_IAM, 0);

	event.under_way = deliver->under_way;
	if (deliver->has_under_way && deliver->boot == ag_boot(ctx) &&
	    iam != AG_SLOT_NONE && ag_send(ctx, iam,
	    AG_MSG_REQUEST_ENDED_EVENT, &event) != AG_OK)
		ag_log(ctx, AG_WARN, "ENDED-UNSAID", "n=%llu",
		    (unsigned long long)deliver->n);
}

ag_err
plane_on_deliver(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__DeliverEvent *deliver = msg;
	struct plane *plane = state;
	struct conn *conn = deliver->boot == ag_boot(ctx) ?
	    request_find(plane, deliver->n) : NULL;

	plane->audit_seen = true;
	say_ended(ctx, deliver);
	if (conn == NULL ||
	    (conn->state != CONN_ASKED && conn->state != CONN_ASKED_SLOW &&
	    conn->state != CONN_TOLD))
		ag_metric_add(ctx, PM_LATE, 1); /* nobody waits any more */
	else
		answer_deliver(conn, deliver);
	request_admit_waiting(plane);
	return AG_OK;
}

static void
on_sweep(void *state, struct ag_ctx *ctx)
{
	struct plane *plane = state;

	request_admit_waiting(plane);
	conn_sweep(plane);
	ag_metric_set(ctx, PM_UNSENT, plane->unsent);
	limit_report(plane, false);
	if (plane->audit_seen && ag_slot_up(plane->ctx, plane_audit(plane)))
		request_pay_debt(plane, plane->draining);
	if (plane->draining && (plane->conn_count == 0 ||
	    ag_mono_ms(plane->ctx) >= plane->drained_ms))
		ag_stop(plane->ctx, 0);
}

/* SIGTERM: what is under way has its deadline, and as long again for audit. */
void
plane_drain(void *state, struct ag_ctx *ctx)
{
	struct plane *plane = state;

	limit_report(plane, true);
	plane->drained_ms = ag_mono_ms(ctx) + 2 * plane->state_ms[CONN_ASKED];
	conn_drain(plane);
}

void
plane_peer(void *state, struct ag_ctx *ctx, unsigned slot, bool up)
{
	struct plane *plane = state;

	(void)ctx;
	if (up && slot == plane_audit(plane))
		plane->audit_seen = true;
}

static void
key_of(struct plane *plane, const char *key, char out[KEY_SIZE])
{
	snprintf(out, KEY_SIZE, "%s.%s", plane->protocol->name, key);
}

int64_t
plane_config_int(struct plane *plane, const char *key)
{
	char path[KEY_SIZE];

	key_of(plane, key, path);
	return ag_config_int(plane->ctx, path);
}

const char *
plane_config_str(struct plane *plane, const char *key)
{
	char path[KEY_SIZE];

	key_of(plane, key, path);
	return ag_config_str(plane->ctx, path, 0);
}

static void
read_config(struct plane *plane)
{
	trace_config(plane);
	unsigned header_ms = (unsigned)plane_config_int(plane, "limits.header_s") * 1000;
	unsigned body_ms = (unsigned)plane_config_int(plane, "limits.body_s") * 1000;
	unsigned deadline_ms = (unsigned)plane_config_int(plane, "deadline_ms");
	const unsigned state_ms[CONN_STATES] = {
		[CONN_FRESH] = header_ms,
		[CONN_IDLE] = PLANE_IDLE_MS,
		[CONN_HEAD] = header_ms,
		[CONN_BODY] = body_ms,
		[CONN_CALM] = LIMIT_CALM_MS,
		[CONN_CREDIT] = PLANE_CREDIT_WAIT_MS,
		[CONN_ASKED] = deadline_ms,
		[CONN_ASKED_SLOW] = deadline_ms * AG_SLOW_FACTOR,
		[CONN_TOLD] = deadline_ms,
		[CONN_STREAM] = PLANE_KEEP_ALIVE_MS,
		[CONN_CLOSING] = PLANE_LINGER_MS,
	};

	memcpy(plane->state_ms, state_ms, sizeof(state_ms));
	plane->limits.header_bytes =
	    (size_t)plane_config_int(plane, "limits.header_bytes");
	plane->limits.body_bytes =
	    (size_t)plane_config_int(plane, "limits.body_bytes");
	plane->bodies.max = PLANE_BODIES_BYTES_MAX;
	plane->limits.bodies = &plane->bodies;
	plane->limits.batch_bytes = plane->limits.body_bytes * PLANE_BATCH_FACTOR;
	plane->conn_max = (unsigned)plane_config_int(plane, "limits.connections");
}

ag_err
plane_init(void *state, struct ag_ctx *ctx, const struct protocol *protocol)
{
	struct plane *plane = state;
	unsigned i;
	ag_err err;

	plane->protocol = protocol;
	plane->ctx = ctx;
	plane->base = ag_event_base(ctx);
	for (i = 0; i < CONN_STATES; i++)
		TAILQ_INIT(&plane->lists[i]);
	read_config(plane);
	address_trust(plane);
	codec_init();
	if (!pool_init(&plane->pool))
		return AG_NO_MEMORY;
	if ((err = limit_new(plane)) != AG_OK || (err = share_new(plane)) != AG_OK ||
	    (err = tls_init(plane)) != AG_OK)
		return err;
	return ag_every(ctx, PLANE_SWEEP_MS, on_sweep);
}

ag_err
plane_ready(void *state, struct ag_ctx *ctx)
{
	struct plane *plane = state;
	ag_err err = conn_listen(plane, PLANE_LISTEN_FD);

	if (err != AG_OK)
		ag_log(ctx, AG_ERROR, "NO-LISTENER", "descriptor=%d", PLANE_LISTEN_FD);
	return err;
}

void
plane_fini(void *state, struct ag_ctx *ctx)
{
	struct plane *plane = state;

	(void)ctx;
	if (plane->listener != NULL)
		evconnlistener_free(plane->listener);
	plane->listener = NULL;
	if (plane->limiter != NULL)
		limit_report(plane, true);
	conn_close_all(plane);
	limit_free(plane);
	share_free(plane);
	SSL_CTX_free(plane->tls);
	pool_fini(&plane->pool);
	text_fini(&plane->out);
}
