/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plane that ends no wire protocol: the simulated client speaks to it in
 * messages. It has the manners of planes/http/request.c: it numbers, sets a
 * deadline, says "unknown" when it passes, waits for audit as long again, and
 * owes what could not be recorded.
 * Hears DELIVER_EVENT. Says operations (iam), OUTCOME_EVENT (audit).
 */
#include "sim.h"

#include <string.h>

enum { FLIGHTS_MAX = 64, SWEEP_MS = 50, TOLD_MS = AG_DEADLINE_MS };

struct flight {
	bool used, told;
	unsigned call;
	uint64_t n, due_ms;
	uint8_t request_id[AG_UUID_BYTES];
	int64_t occurred_at;
	uint64_t received_us;
	uint16_t op;
};
struct plane {
	uint64_t n, owed;
	struct flight flights[FLIGHTS_MAX];
};

static void
fill(struct ag_ctx *ctx, const struct flight *f, Ag__Request *request)
{
	ag__request__init(request);
	request->request_id.data = (uint8_t *)(uintptr_t)f->request_id;
	request->request_id.len = AG_UUID_BYTES;
	request->boot = ag_boot(ctx);
	request->n = f->n;
	request->occurred_at = f->occurred_at;
	request->received_us = f->received_us;
	request->source_address = (char *)(uintptr_t)"192.0.2.1";
	request->user_agent = (char *)(uintptr_t)"sim";
}

static void
unrecorded(struct plane *plane, struct flight *f)
{
	const struct answer answer = { .err = AG_UNAVAILABLE, .reason = "audit" };

	plane->owed++;
	f->used = false;
	client_answered(f->call, &answer);
}

/* Refused by ourselves: audit hears it, and the answer waits for that. */
static void
tell(struct plane *plane, struct ag_ctx *ctx, struct flight *f, ag_err err,
    const char *reason)
{
	Ag__OutcomeEvent outcome = AG__OUTCOME_EVENT__INIT;
	Ag__Refusal refusal = AG__REFUSAL__INIT;
	Ag__Request request;

	fill(ctx, f, &request);
	refusal.err = err;
	refusal.reason_code = (char *)(uintptr_t)reason;
	outcome.event_type = AG__EVENT_TYPE__V__request;
	outcome.request = &request;
	outcome.outcome = err == AG_DEADLINE_EXCEEDED ?
	    AG__OUTCOME_KIND__V__unknown : AG__OUTCOME_KIND__V__failed;
	outcome.operation =
	    (char *)(uintptr_t)ag_operation_find(f->op)->operation;
	outcome.refusal = &refusal;
	outcome.has_status = true;
	outcome.status = (uint32_t)ag_err_row(err)->http;
	f->told = true;
	f->due_ms = ag_mono_ms(ctx) + TOLD_MS;
	if (ag_send(ctx, ag_slot(ctx, AG_ROLE_AUDIT, 0), AG_MSG_OUTCOME_EVENT,
	        &outcome) != AG_OK)
		unrecorded(plane, f);
}

static void
pay_debt(struct plane *plane, struct ag_ctx *ctx)
{
	Ag__OutcomeEvent outcome = AG__OUTCOME_EVENT__INIT;
	Ag__Refusal refusal = AG__REFUSAL__INIT;

	if (plane->owed == 0)
		return;
	refusal.err = AG_UNAVAILABLE;
	refusal.reason_code = (char *)(uintptr_t)"audit";
	outcome.event_type = AG__EVENT_TYPE__V__system;
	outcome.outcome = AG__OUTCOME_KIND__V__failed;
	outcome.operation = (char *)(uintptr_t)"system.unrecorded";
	outcome.refusal = &refusal;
	outcome.has_suppressed = true;
	outcome.suppressed = plane->owed;
	if (ag_send(ctx, ag_slot(ctx, AG_ROLE_AUDIT, 0), AG_MSG_OUTCOME_EVENT,
	        &outcome) == AG_OK)
		plane->owed = 0;
}

static void
on_sweep(void *state, struct ag_ctx *ctx)
{
	struct plane *plane = state;

	for (unsigned i = 0; i < FLIGHTS_MAX; i++) {
		struct flight *f = &plane->flights[i];

		if (!f->used || f->due_ms > ag_mono_ms(ctx))
			continue;
		if (f->told)
			unrecorded(plane, f);
		else
			tell(plane, ctx, f, AG_DEADLINE_EXCEEDED,
			    "outcome_unknown");
	}
	pay_debt(plane, ctx);
}

void
plane_ask(struct ag_ctx *ctx, const struct question *ask)
{
	struct plane *plane = ctx->state;
	const struct ag_operation *op = ag_operation_find(ask->op);
	struct flight *f = NULL;
	Ag__Request request;
	ag_err err;

	for (unsigned i = 0; f == NULL && i < FLIGHTS_MAX; i++)
		if (!plane->flights[i].used)
			f = &plane->flights[i];
	if (f == NULL)
		ag_panic("more requests than the simulated plane has room for");
	memset(f, 0, sizeof(*f));
	f->call = ask->call;
	f->op = ask->op;
	f->received_us = ag_mono_us(ctx);
	f->occurred_at = ag_now_ms(ctx);
	f->used = true;
	if (!ag_slot_up(ctx, ag_slot(ctx, AG_ROLE_AUDIT, 0))) {
		unrecorded(plane, f); /* fail closed, before anything is done */
		return;
	}
	ag_uuid7(f->occurred_at, f->request_id);
	f->n = ++plane->n;
	client_sent(ask->call, ag_boot(ctx), f->n);
	f->due_ms = ag_mono_ms(ctx) + AG_DEADLINE_MS *
	    ((op->flags & AG_OP_SLOW) != 0 ? AG_SLOW_FACTOR : 1);
	fill(ctx, f, &request);
	request.credential = (char *)(uintptr_t)ask->credential;
	request.selector = (char *)(uintptr_t)ask->selector;
	request.idempotency_key = (char *)(uintptr_t)ask->idempotency_key;
	request.approval = (char *)(uintptr_t)ask->approval;
	request.route = (char *)(uintptr_t)(ask->idempotency_key == NULL ? NULL :
	    op->operation);
	err = ag_request(ctx, ask->op, &request, f->due_ms, ask->body);
	if (err != AG_OK)
		tell(plane, ctx, f, AG_UNAVAILABLE, "starting");
}

static ag_err
unpack(struct ag_ctx *ctx, const Ag__DeliverEvent *event, struct answer *out)
{
	const struct ag_operation *op =
	    ag_operation_find((uint16_t)event->reply_type);
	const uint8_t *bytes = event->reply.data;
	size_t len = event->reply.len;
	const Ag__Sealed *sealed;

	if (op == NULL)
		return AG_BAD_MESSAGE;
	if (event->has_sealed && event->sealed) {
		sealed = ag_unpack(ctx, &ag__sealed__descriptor, bytes, len);
		if (sealed == NULL ||
		    ag_unseal_answer(ctx, sealed, &bytes, &len) != AG_OK)
			return AG_BAD_MESSAGE;
	}
	out->reply_type = op->type;
	out->reply = ag_unpack(ctx, op->reply, bytes, len);
	return out->reply == NULL ? AG_BAD_MESSAGE : AG_OK;
}

static ag_err
on_deliver(void *state, struct ag_ctx *ctx, const void *msg)
{
	struct plane *plane = state;
	const Ag__DeliverEvent *event = msg;
	struct answer answer = { .event_id = event->event_id, .recorded = true };

	if (event->boot != ag_boot(ctx))
		return AG_OK;
	for (unsigned i = 0; i < FLIGHTS_MAX; i++) {
		struct flight *f = &plane->flights[i];

		if (!f->used || f->n != event->n)
			continue;
		f->used = false;
		if (event->refusal != NULL) {
			answer.err = (ag_err)event->refusal->err;
			answer.reason = event->refusal->reason_code;
			answer.approval = event->refusal->approval_id;
		} else if (unpack(ctx, event, &answer) != AG_OK) {
			sim_wrong("an answer cannot be read");
		}
		client_answered(f->call, &answer);
		return AG_OK;
	}
	return AG_OK;
}

unsigned
plane_in_flight(void)
{
	const struct proc *p = proc_named("rest");
	unsigned n = 0;

	for (unsigned i = 0; p->ctx != NULL && i < FLIGHTS_MAX; i++)
		n += ((struct plane *)p->ctx->state)->flights[i].used;
	return n;
}

static ag_err
init(void *state, struct ag_ctx *ctx)
{
	(void)state;
	return ag_every(ctx, SWEEP_MS, on_sweep);
}

/* Whether it dies or stops: whoever waits for an answer gets none. */
static void
fini(void *state, struct ag_ctx *ctx)
{
	struct plane *plane = state;

	(void)ctx;
	for (unsigned i = 0; i < FLIGHTS_MAX; i++)
		if (plane->flights[i].used)
			client_lost(plane->flights[i].call);
}

static const struct ag_row rows[] = {
	{ AG_MSG_DELIVER_EVENT, on_deliver },
};

const struct ag_actor ag_actor_plane = {
	.name = "rest",
	.state_size = sizeof(struct plane),
	AG_ROWS(rows),
	.init = init,
	.fini = fini,
};
