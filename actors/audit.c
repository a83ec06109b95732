/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit: appends every outcome to the log, makes it durable, and only then
 * lets the answer go to its plane.
 * Hears outcome_event (whoever ends a trip, detects or responds),
 * audit_pull_ask and audit_marks_ask, refused_event (the broker).
 * Says deliver_event (plane), audit_poke_event, and asks the root of trust to
 * sign heads.
 * Keeps the log's segments; in memory the tail of every tenant's chain and
 * which request of which plane has its outcome. All of it is rebuilt from the
 * log at start (audit/recover.c).
 */
#include "audit/audit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REFUSED_PER_S = 20 /* broker refusals recorded one by one */ };

/* ------------------------------------------------------- what is believed */

static bool
from_station(enum ag_role role)
{
	return role != AG_ROLE_PLANE && role != AG_ROLE_NONE;
}

/*
 * Who may claim what. A plane speaks only of requests that nobody vouched for,
 * and never of success. Late and unaccounted are audit's own findings.
 */
static bool
claim_ok(enum ag_role role, const Ag__OutcomeEvent *o)
{
	bool success = o->outcome == AG__OUTCOME_KIND__V__allowed;

	switch (o->event_type) {
	case AG__EVENT_TYPE__V__request:
		if (o->has_grant)
			return from_station(role);
		if (o->request == NULL || success || o->has_reply)
			return false;
		return role == AG_ROLE_PLANE || role == AG_ROLE_IAM;
	case AG__EVENT_TYPE__V__detection:
		return role == AG_ROLE_ANOMALY || role == AG_ROLE_RESPONDER;
	case AG__EVENT_TYPE__V__response:
		return role == AG_ROLE_RESPONDER || role == AG_ROLE_IAM ||
		    role == AG_ROLE_KEYS;
	case AG__EVENT_TYPE__V__lifecycle:
	case AG__EVENT_TYPE__V__system:
		return from_station(role) ||
		    (o->has_suppressed && o->request == NULL && !o->has_grant);
	case AG__EVENT_TYPE__V__outcome_late:
	case AG__EVENT_TYPE__V__unaccounted:
		break;
	case _AG__EVENT_TYPE__V_IS_INT_SIZE:
		break;
	}
	return false;
}

/* Its operation is one that the sender itself executes. */
static bool
is_executors(struct ag_ctx *ctx, const Ag__Grant *g)
{
	const struct ag_operation *op = ag_operation_find((uint16_t)g->op);

	return op != NULL && op->executor == ag_from_role(ctx);
}

/* Of a change of before this start iam signed the grant with that start's key,
 * so who executed it is believed without; but of nobody else's operations. */
static ag_err
open_grant(struct ag_ctx *ctx, const Ag__OutcomeEvent *o, const Ag__Grant **out)
{
	bool signed_now = o->has_grant && o->has_grant_mac && ag_grant_verify(ctx,
	    o->grant.data, o->grant.len, o->grant_mac.data, o->grant_mac.len);

	*out = NULL;
	if (!o->has_grant)
		return AG_OK;
	if (signed_now || record_is_redelivered(ctx, o)) {
		*out = ag_unpack(ctx, &ag__grant__descriptor, o->grant.data,
		    o->grant.len);
		if (*out == NULL)
			return AG_BAD_MESSAGE;
	}
	if (*out != NULL && (signed_now || is_executors(ctx, *out)))
		return AG_OK;
	*out = NULL;
	ag_metric_add(ctx, M_BAD_MAC, 1);
	return ag_refuse(ctx, AG_BAD_MESSAGE, NULL, NULL,
	    "an outcome's grant is not iam's");
}

static ag_err
believe(struct ag_ctx *ctx, const Ag__OutcomeEvent *o, const Ag__Grant **g)
{
	if (claim_ok(ag_from_role(ctx), o))
		return open_grant(ctx, o, g);
	ag_metric_add(ctx, M_REFUSED, 1);
	return ag_refuse(ctx, AG_BAD_MESSAGE, NULL, NULL,
	    "this role may not say that");
}

static ag_err
on_outcome(void *state, struct ag_ctx *ctx, const void *msg)
{
	struct audit *a = state;
	const Ag__OutcomeEvent *o = msg;
	enum ag_role role = ag_from_role(ctx);
	const Ag__Grant *g = NULL;
	unsigned plane = AG_SLOT_NONE;
	ag_err err;

	if ((err = believe(ctx, o, &g)) != AG_OK) {
		if (record_is_redelivered(ctx, o))
			record_give_up(a, ctx, o, err);
		return err;
	}
	if (g != NULL)
		plane = g->plane;
	else if (role == AG_ROLE_PLANE)
		plane = ag_from(ctx);
	return record_outcome(a, ctx, o, g, plane);
}

/* The broker refused a message: the topology does not list it. */
static ag_err
on_refused(void *state, struct ag_ctx *ctx, const void *msg)
{
	struct audit *a = state;
	const Ag__RefusedEvent *refused = msg;
	const char *from = ag_slot_name(ctx, refused->from);
	const char *to = ag_slot_name(ctx, refused->to);
	const struct ag_message *m = ag_message_find((uint16_t)refused->type);
	Ag__Pair pairs[4], *list[4];
	const char *const keys[] = { "from", "to", "message", "why" };
	const char *const values[] = { from, to, m == NULL ? NULL : m->name,
		refused->why };
	char id[AG_ID_SIZE];
	Ag__Event e;

	/* The broker tells of everybody, a row of what it heard on its lines. */
	if (ag_from(ctx) != AG_SLOT_BROKER && ag_from(ctx) != refused->to)
		return AG_BAD_MESSAGE;
	if (refused->has_suppressed) /* the broker bounds what it tells, too */
		a->refused_count += refused->suppressed;
	if (a->refused_budget == 0) {
		a->refused_count++; /* said by the next that is recorded */
		return AG_OK;
	}
	a->refused_budget--;
	event_own(ctx, &e, id, AG__EVENT_TYPE__V__system, "bus.refused");
	e.outcome = AG__OUTCOME_KIND__V__denied;
	for (unsigned i = 0; i < 4; i++) {
		ag__pair__init(&pairs[i]);
		pairs[i].key = (char *)keys[i];
		pairs[i].value = (char *)values[i];
		list[i] = &pairs[i];
	}
	e.params = list;
	e.n_params = 4;
	e.has_suppressed = a->refused_count > 0;
	e.suppressed = a->refused_count;
	a->refused_count = 0;
	return record_append(a, ctx, &e);
}

/* ---------------------------------------------------------------- the disk */

/* A spare came, or a record found room for a segment by itself. */
static void
look_for_room(struct audit *a, struct ag_ctx *ctx)
{
	if (!a->full || !ag_seglog_is_roomy(a->log))
		return;
	a->full = false;
	ag_set_ready(ctx, true, "");
	ag_log(ctx, AG_WARN, "AUDIT-ROOM", "full=no");
}

static ag_err
spare_work(void *job)
{
	return ag_seglog_spare_make(job);
}

static ag_err
spare_done(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct audit *a = state;

	(void)msg;
	ag_seglog_spare_done(a->log, memo, status);
	look_for_room(a, ctx);
	if (status != AG_OK)
		ag_log(ctx, AG_ERROR, "AUDIT-NO-SPARE", "error=%s",
		    ag_err_row(status)->name);
	free(memo);
	return AG_OK;
}

static void
make_spare(struct audit *a, struct ag_ctx *ctx)
{
	struct ag_seglog_spare want, *job;

	if (!ag_seglog_spare_due(a->log, &want))
		return;
	if ((job = malloc(sizeof(*job))) != NULL) {
		*job = want;
		if (ag_work(ctx, spare_work, job, spare_done) == AG_PENDING)
			return;
		free(job);
	}
	ag_seglog_spare_done(a->log, &want, AG_NO_MEMORY);
}

/*
 * One write and one fdatasync for everything of the turn. If it fails nobody
 * knows what the disk has: no answer of this turn may leave, so we end here.
 */
static ag_err
flush(void *state, struct ag_ctx *ctx)
{
	struct audit *a = state;
	uint64_t begun_us = ag_mono_us(ctx);

	if (ag_seglog_pending(a->log)) {
		if (ag_seglog_sync(a->log) != AG_OK)
			ag_panic("the audit log cannot be made durable");
		ag_metric_add(ctx, M_SYNCS, 1);
		ag_metric_observe_us(ctx, M_SYNC_US, ag_mono_us(ctx) - begun_us);
		make_spare(a, ctx);
	}
	if (a->head_pos != ag_seglog_next_pos(a->log) - 1) {
		a->head_pos = ag_seglog_next_pos(a->log) - 1;
		ag_metric_set(ctx, M_HEAD, a->head_pos);
		pull_poke(a, ctx);
	}
	if (a->sign_due || a->sign_now)
		sign_heads(a, ctx, a->sign_now);
	a->sign_due = a->sign_now = false;
	return AG_OK;
}

/* ------------------------------------------------------------------ timers */

static void
on_tick(void *state, struct ag_ctx *ctx)
{
	struct audit *a = state;
	bool quiet = a->quiet_pos == a->head_pos;

	a->quiet_pos = a->head_pos;
	keys_ask(a, ctx);
	sign_cut(a, ctx);
	sign_heads(a, ctx, quiet);
}

static void
on_second(void *state, struct ag_ctx *ctx)
{
	struct audit *a = state;

	a->refused_budget = REFUSED_PER_S;
	ag_metric_set(ctx, M_REDACTED, a->redact.count);
	seen_tick(a, ctx);
	retain_tick(a, ctx);
	look_for_room(a, ctx);
	if (a->full) {
		ag_set_ready(ctx, false, "no space for the audit log");
		make_spare(a, ctx);
	}
}

/* ------------------------------------------------------------------- hooks */

static ag_err
init(void *state, struct ag_ctx *ctx)
{
	struct audit *a = state;
	int64_t every_s = ag_config_int(ctx, "audit.checkpoint.every_s");
	ag_err err;

	if ((size_t)snprintf(a->dir, sizeof(a->dir), "%s/audit",
	        ag_state_dir(ctx)) >= sizeof(a->dir))
		return AG_USAGE;
	a->every_events =
	    (unsigned)ag_config_int(ctx, "audit.checkpoint.every_events");
	a->every_ms = every_s < 1 ? HEAD_MS : (unsigned)every_s * 1000;
	if (a->every_ms > HEAD_MS)
		a->every_ms = HEAD_MS; /* the head is never older than a second */
	a->refused_budget = REFUSED_PER_S;
	seen_init(a, ctx);
	if ((err = redact_init(&a->redact, ctx)) != AG_OK)
		return err;
	if ((err = recover(a, ctx)) != AG_OK ||
	    (err = retain_init(a, ctx)) != AG_OK)
		return err;
	if ((err = ag_every(ctx, TICK_MS, on_tick)) != AG_OK)
		return err;
	return ag_every(ctx, 1000, on_second);
}

static ag_err
ready(void *state, struct ag_ctx *ctx)
{
	keys_ask(state, ctx);
	sign_cut(state, ctx);
	return AG_OK;
}

/* Somebody left: maybe everybody does, so the head is signed now. */
static void
peer(void *state, struct ag_ctx *ctx, unsigned slot, bool up)
{
	struct audit *a = state;

	if (up || slot >= AG_SLOTS_MAX)
		return;
	a->waiting[slot] = false;
	ag_segs_close(&a->pullers[slot]);
	a->sign_now = true;
	(void)ctx;
}

static void
fini(void *state, struct ag_ctx *ctx)
{
	struct audit *a = state;

	(void)ctx;
	if (a->log != NULL && ag_seglog_sync(a->log) != AG_OK)
		ag_panic("the audit log cannot be made durable");
	ag_seglog_close(&a->log);
	pull_fini(a);
	for (unsigned i = 0; i < a->tenant_count; i++)
		free(a->tenants[i]);
	for (unsigned i = 0; i < BOOTS_MAX; i++)
		free(a->boots[i].bits);
	free(a->scratch);
	redact_fini(&a->redact);
	retain_fini(a);
}

static const struct ag_row rows[] = {
	{ AG_MSG_OUTCOME_EVENT, on_outcome },
	{ AG_MSG_AUDIT_PULL_ASK, on_audit_pull },
	{ AG_MSG_AUDIT_MARKS_ASK, on_audit_marks },
	{ AG_MSG_REFUSED_EVENT, on_refused },
};

static const struct ag_metric_row metrics[] = {
	[M_EVENTS] = { "audit_events_total", "Events recorded", AG_COUNTER },
	[M_DUPLICATES] = { "audit_duplicates_total",
	    "Outcomes that came a second time and were dropped", AG_COUNTER },
	[M_LATE] = { "audit_late_total", "Late outcomes recorded", AG_COUNTER },
	[M_UNACCOUNTED] = { "audit_unaccounted_total",
	    "Requests that never had an outcome", AG_COUNTER },
	[M_REFUSED] = { "audit_refused_total",
	    "Outcomes that their sender may not claim", AG_COUNTER },
	[M_BAD_MAC] = { "audit_bad_mac_total",
	    "Outcomes whose grant iam did not sign", AG_COUNTER },
	[M_SYNCS] = { "audit_syncs_total", "Group commits", AG_COUNTER },
	[M_SYNC_US] = { "audit_sync_us", "Duration of a group commit",
	    AG_HISTOGRAM_US },
	[M_CHECKPOINTS] = { "audit_checkpoints_total", "Heads signed", AG_COUNTER },
	[M_HEAD] = { "audit_head", "Position of the newest event", AG_GAUGE },
	[M_FULL] = { "audit_full_total", "Outcomes not recorded for want of space",
	    AG_COUNTER },
	[M_POKES] = { "audit_pokes_total", "Readers told that there is more",
	    AG_COUNTER },
	[M_REDACTED] = { "audit_redacted_total",
	    "Values that were replaced by their keyed hash", AG_COUNTER },
	[M_CUTS] = { "audit_segments_removed_total",
	    "Oldest segments removed by retention", AG_COUNTER },
	[M_FIRST] = { "audit_first", "Position of the oldest event kept", AG_GAUGE },
	[M_BYTES] = { "audit_bytes", "Size of the log's files", AG_GAUGE },
};

const struct ag_actor ag_actor_audit = {
	.name = "audit",
	.state_size = sizeof(struct audit),
	AG_ROWS(rows),
	AG_METRICS(metrics),
	.init = init,
	.ready = ready,
	.own_readiness = true, /* with the key file there: verify needs it */
	.flush = flush,
	.peer = peer,
	.fini = fini,
};
