/* SPDX-License-Identifier: Apache-2.0 */
/*
 * approvals: who else must agree?
 * Hears operations that a policy, or the configuration, does not leave to one
 * alone (risk; iam while risk is away), and what people say to them. Says facts
 * (journal), outcomes (audit), and the operations that people agreed to
 * (whoever executes them).
 * Keeps the requests for approval as the journal tells them. It is the one
 * place where an approval is used up.
 */
#include "approvals/approvals.h"

enum { EXPIRE_MS = 1000 };

static const char *const tables[] = { APPROVALS_TABLES, NULL };

static const struct ag_metric_row metrics[] = {
	[APPROVALS_M_ASKED] = { "approvals_asked_total",
	    "Requests for approval", AG_COUNTER },
	[APPROVALS_M_COALESCED] = { "approvals_coalesced_total",
	    "Requests that met one that was there already", AG_COUNTER },
	[APPROVALS_M_CAPPED] = { "approvals_capped_total",
	    "Requests refused because too many wait", AG_COUNTER },
	[APPROVALS_M_USED] = { "approvals_used_total",
	    "Requests that went on with an approval", AG_COUNTER },
	[APPROVALS_M_REFUSED] = { "approvals_refused_total",
	    "Requests refused for want of an approval", AG_COUNTER },
	[APPROVALS_M_DECIDED] = { "approvals_decided_total",
	    "Decisions of people", AG_COUNTER },
	[APPROVALS_M_REMINDED] = { "approvals_reminded_total",
	    "Requests of which was said that they are about to expire",
	    AG_COUNTER },
	[APPROVALS_M_PURGED] = { "approvals_purged_total",
	    "Ended requests and broken glass that were forgotten", AG_COUNTER },
	[APPROVALS_M_AUTO] = { "approvals_auto_total",
	    "Requests that a rule of the configuration agreed to", AG_COUNTER },
	[APPROVALS_M_EXPIRED] = { "approvals_expired_total",
	    "Requests that nobody decided on in time", AG_COUNTER },
};

static ag_err
on_list(void *state, struct ag_ctx *ctx, const void *msg)
{
	Ag__ApprovalListReply reply = AG__APPROVAL_LIST_REPLY__INIT;
	ag_err err = book_list(ctx, msg, &reply);

	(void)state;
	return err != AG_OK ? err : ag_reply(ctx, AG_MSG_APPROVAL_LIST, &reply);
}

static ag_err
on_read(void *state, struct ag_ctx *ctx, const void *msg)
{
	const char *id = ag_grant(ctx)->resource_id;
	const Ag__Approval *a = NULL;

	(void)state;
	(void)msg;
	if (id != NULL && ag_id_valid(id, "apr"))
		a = book_find(ctx, id);
	if (a == NULL || !book_visible(ctx, a))
		return ag_refuse(ctx, AG_ITEM_NOT_FOUND, NULL, NULL,
		    "There is no such approval.");
	ag_note_resource(ctx, "approval", a->id, NULL);
	return ag_reply(ctx, AG_MSG_APPROVAL_READ, a);
}

static ag_err
apply(void *state, struct ag_ctx *ctx, const struct ag_fact_record *record)
{
	const Ag__ApprovalFact *fact = record->fact;
	const Ag__BreakGlassFact *broken = record->fact;

	(void)state;
	if (record->type == AG_MSG_BREAK_GLASS_FACT)
		return glass_apply(ctx, broken->glass, record->version);
	if (record->type != AG_MSG_APPROVAL_FACT)
		return AG_OK;
	return book_apply(ctx, fact->approval, record->version);
}

static ag_err
init(void *state, struct ag_ctx *ctx)
{
	struct approvals *s = state;
	ag_err err;

	s->ttl_ms = ag_config_int(ctx, "approvals.ttl_s") * 1000;
	s->window_ms = ag_config_int(ctx, "approvals.window_s") * 1000;
	s->denied_ms = ag_config_int(ctx, "approvals.denied_s") * 1000;
	s->remind_ms = ag_config_int(ctx, "approvals.remind_s") * 1000;
	s->keep_ms = ag_config_int(ctx, "approvals.keep_s") * 1000;
	s->pending_max = (unsigned)ag_config_int(ctx, "approvals.pending_max");
	glass_init(s, ctx);
	if ((err = auto_init(s, ctx)) != AG_OK ||
	    (err = ag_every(ctx, EXPIRE_MS, auto_tick)) != AG_OK ||
	    (err = ag_every(ctx, EXPIRE_MS, glass_expire)) != AG_OK ||
	    (err = ag_every(ctx, EXPIRE_MS, keep_remind)) != AG_OK ||
	    (err = ag_every(ctx, EXPIRE_MS, keep_purge)) != AG_OK)
		return err;
	return ag_every(ctx, EXPIRE_MS, decide_expire);
}

static void
fini(void *state, struct ag_ctx *ctx)
{
	(void)ctx;
	auto_fini(state);
}

static const struct ag_row rows[] = {
	{ AG_MSG_APPROVAL_REQUEST, on_request },
	{ AG_MSG_APPROVAL_LIST, on_list },
	{ AG_MSG_APPROVAL_READ, on_read },
	{ AG_MSG_APPROVAL_APPROVE, on_approve },
	{ AG_MSG_APPROVAL_DENY, on_deny },
	{ AG_MSG_APPROVAL_CANCEL, on_cancel },
	{ AG_MSG_APPROVAL_CALLBACK, on_callback },
	{ AG_MSG_BREAK_GLASS_OPEN, on_glass_open },
	{ AG_MSG_BREAK_GLASS_LIST, on_glass_list },
	{ AG_MSG_BREAK_GLASS_READ, on_glass_read },
	{ AG_MSG_BREAK_GLASS_CLOSE, on_glass_close },
};

const struct ag_actor ag_actor_approvals = {
	.name = "approvals",
	.state_size = sizeof(struct approvals),
	AG_ROWS(rows),
	.station = gate_station,
	.init = init,
	.fini = fini,
	.apply = apply,
	.follow = AG_FOLLOW_START,
	.tables = tables,
	AG_METRICS(metrics),
};
