/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What people say to a request: yes, no, or never mind. Who asked, or stands
 * above who asked, never says yes or no to it, whatever role they hold; each
 * person counts once. Decisions about one request happen one after the other
 * (ag_enter), so of those that race, one ends it and the others are told.
 */
#include "approvals.h"

#include <aegis/event.h>

#include <stdio.h>
#include <string.h>

/* --------------------------------------------------------------- finding it */

static ag_err
not_found(struct ag_ctx *ctx)
{
	return ag_refuse(ctx, AG_ITEM_NOT_FOUND, NULL, NULL,
	    "There is no such approval.");
}

/* One that waits, entered; or *err. */
static Ag__Approval *
waiting(struct ag_ctx *ctx, ag_err *err)
{
	const char *id = ag_grant(ctx)->resource_id;
	char stream[APPROVAL_STREAM];
	Ag__Approval *a;

	if (id == NULL || !ag_id_valid(id, "apr")) {
		*err = not_found(ctx);
		return NULL;
	}
	snprintf(stream, sizeof(stream), "approval:%s", id);
	if ((*err = ag_enter(ctx, stream, true)) != AG_OK)
		return NULL;
	a = book_find(ctx, id);
	if (a == NULL || !book_visible(ctx, a)) {
		*err = not_found(ctx);
		return NULL;
	}
	ag_note_resource(ctx, "approval", a->id, NULL);
	*err = ag_if_match(ctx, a->revision);
	return *err == AG_OK ? a : NULL;
}

static ag_err
check_waits(struct ag_ctx *ctx, const Ag__Approval *a)
{
	if (approval_state_named(a->state) == APPROVAL_PENDING &&
	    ag_now_ms(ctx) < a->expires_at)
		return AG_OK;
	return ag_refuse(ctx, AG_ILLEGAL_OPERATION, "transition", NULL,
	    "The request for approval is %s.",
	    approval_state_named(a->state) == APPROVAL_PENDING ? "expired" :
	    a->state);
}

static ag_err
check_comment(struct ag_ctx *ctx, const Ag__ApprovalDecideAsk *ask)
{
	if (ask->comment == NULL)
		return AG_OK;
	if (strlen(ask->comment) > APPROVAL_COMMENT_MAX)
		return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range",
		    "/comment", "At most %d bytes.", APPROVAL_COMMENT_MAX);
	ag_note_reason(ctx, ask->comment);
	return AG_OK;
}

/* ------------------------------------------------------------ who may decide */

static bool
holds(const Ag__Grant *grant, const char *group)
{
	if (group[0] == '\0')
		return grant->approver;
	for (size_t i = 0; i < grant->n_roles; i++)
		if (strcmp(grant->roles[i], group) == 0)
			return true;
	return false;
}

/* For which of its groups this person counts; 0: for none. */
static size_t
groups_of(const Ag__Approval *a, const Ag__Grant *grant, char **out)
{
	size_t n = 0;

	for (size_t i = 0; i < a->n_needs; i++)
		if (holds(grant, a->needs[i]->group))
			out[n++] = a->needs[i]->group;
	return n;
}

static ag_err
check_decider(struct ag_ctx *ctx, const Ag__Approval *a)
{
	const Ag__Grant *grant = ag_grant(ctx);

	if (grant->actor_kind != AG__KIND__V__human)
		return ag_refuse(ctx, AG_PERMISSION_DENIED, "not_an_approver",
		    NULL, "Only people decide.");
	if (book_in_chain(a, grant->actor_id))
		return ag_refuse(ctx, AG_PERMISSION_DENIED, "own_request", NULL,
		    "Nobody decides about a request of their own, or of an agent "
		    "below them.");
	for (size_t i = 0; i < a->n_behind; i++)
		if (strcmp(a->behind[i], grant->actor_id) == 0)
			return ag_refuse(ctx, AG_PERMISSION_DENIED,
			    "own_request", NULL, "Nobody decides about a request "
			    "of what they issued.");
	for (size_t i = 0; i < a->n_decisions; i++)
		if (strcmp(a->decisions[i]->by, grant->actor_id) == 0)
			return ag_refuse(ctx, AG_CONFLICT, NULL, NULL,
			    "You have decided on this already.");
	return a->n_decisions < APPROVAL_DECISIONS_MAX ? AG_OK : AG_FULL;
}

bool
decide_met(const Ag__Approval *a)
{
	for (size_t i = 0; i < a->n_needs; i++) {
		const Ag__ApprovalNeed *need = a->needs[i];
		unsigned yes = 0;

		for (size_t k = 0; k < a->n_decisions; k++)
			for (size_t g = 0; g < a->decisions[k]->n_groups; g++)
				yes += strcmp(a->decisions[k]->decision,
				    "approved") == 0 && strcmp(
				    a->decisions[k]->groups[g], need->group) == 0;
		if (yes < need->quorum)
			return false;
	}
	return a->n_needs > 0; /* what nobody was asked about, nobody allowed */
}

/* --------------------------------------------------------------- deciding */

static ag_err
add_decision(struct ag_ctx *ctx, Ag__Approval *a, const char *word,
    const char *comment)
{
	const Ag__Grant *grant = ag_grant(ctx);
	Ag__ApprovalDecision *d = ag_alloc(ctx, sizeof(*d));
	Ag__ApprovalDecision **list = ag_alloc(ctx,
	    (a->n_decisions + 1) * sizeof(*list));
	char **groups = ag_alloc(ctx, (a->n_needs + 1) * sizeof(*groups));

	if (d == NULL || list == NULL || groups == NULL)
		return AG_NO_MEMORY;
	ag__approval_decision__init(d);
	d->n_groups = groups_of(a, grant, groups);
	if (d->n_groups == 0)
		return ag_refuse(ctx, AG_PERMISSION_DENIED, "not_an_approver",
		    NULL, "You are in none of the groups that are asked.");
	d->groups = groups;
	d->by = grant->actor_id;
	d->name = grant->actor_name == NULL ? (char *)"" : grant->actor_name;
	d->decision = (char *)word;
	d->comment = (char *)comment;
	d->at = ag_now_ms(ctx);
	if (a->n_decisions > 0)
		memcpy(list, a->decisions, a->n_decisions * sizeof(*list));
	list[a->n_decisions++] = d;
	a->decisions = list;
	return AG_OK;
}

static void
note(struct ag_ctx *ctx, const Ag__Approval *a, const char *before)
{
	ag_note_param(ctx, "before", before);
	ag_note_param(ctx, "after", a->state);
	ag_note_param(ctx, "auto", "false");
	if (ag_type(ctx) == AG_MSG_APPROVAL_CALLBACK)
		ag_note_param(ctx, "click", "accepted");
	ag_note_param(ctx, "operation", a->operation);
	ag_note_param(ctx, "requester", a->requester->id);
	if (a->resource != NULL && a->resource->id != NULL)
		ag_note_param(ctx, "resource", a->resource->id);
}

static ag_err
keep(struct ag_ctx *ctx, Ag__Approval *a)
{
	Ag__ApprovalFact fact = AG__APPROVAL_FACT__INIT;
	struct ag_fact facts[1];
	uint64_t version = a->revision++;

	fact.approval = a;
	fact.at = ag_now_ms(ctx);
	fact.by = ag_grant(ctx)->actor_id;
	facts[0] = (struct ag_fact){ ag_printf(ctx, "approval:%s", a->id),
		version, AG_MSG_APPROVAL_FACT, &fact };
	if (facts[0].stream == NULL)
		return AG_NO_MEMORY;
	ag_metric_add(ctx, APPROVALS_M_DECIDED, 1);
	return ag_persist(ctx, facts, 1, ag_type(ctx), a, NULL, NULL, NULL, 0);
}

static void
end(Ag__Approval *a, enum approval_state state, int64_t now)
{
	a->state = (char *)approval_state_name(state);
	a->has_decided_at = true;
	a->decided_at = now;
}

/* The shortest window that was granted, or the house's. */
static int64_t
window_of(const struct approvals *state, const Ag__Approval *a)
{
	int64_t window_ms = state->window_ms;
	bool said = false;

	for (size_t i = 0; i < a->n_needs; i++) {
		int64_t ms = (int64_t)a->needs[i]->window_s * 1000;

		if (!a->needs[i]->has_window_s)
			continue;
		if (!said || ms < window_ms)
			window_ms = ms;
		said = true;
	}
	return window_ms;
}

void
decide_approve(const struct approvals *state, Ag__Approval *a, int64_t now)
{
	end(a, APPROVAL_APPROVED, now);
	a->has_usable_until_at = true;
	a->usable_until_at = now + window_of(state, a);
}

ag_err
on_approve(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__ApprovalDecideAsk *ask = msg;
	const char *before;
	Ag__Approval *a;
	ag_err err;

	if ((a = waiting(ctx, &err)) == NULL ||
	    (err = check_comment(ctx, ask)) != AG_OK ||
	    (err = check_decider(ctx, a)) != AG_OK ||
	    (err = check_waits(ctx, a)) != AG_OK ||
	    (err = add_decision(ctx, a, "approved", ask->comment)) != AG_OK)
		return err;
	before = a->state;
	if (decide_met(a))
		decide_approve(state, a, ag_now_ms(ctx));
	note(ctx, a, before);
	return keep(ctx, a);
}

ag_err
on_deny(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__ApprovalDecideAsk *ask = msg;
	const char *before;
	Ag__Approval *a;
	ag_err err;

	(void)state;
	if ((a = waiting(ctx, &err)) == NULL ||
	    (err = check_comment(ctx, ask)) != AG_OK ||
	    (err = check_decider(ctx, a)) != AG_OK ||
	    (err = check_waits(ctx, a)) != AG_OK ||
	    (err = add_decision(ctx, a, "denied", ask->comment)) != AG_OK)
		return err;
	before = a->state;
	end(a, APPROVAL_DENIED, ag_now_ms(ctx));
	note(ctx, a, before);
	return keep(ctx, a);
}

/* A click: iam says whose it is and what for. Every rule is as for a call. */
ag_err
on_callback(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__ApprovalDecideAsk ask = AG__APPROVAL_DECIDE_ASK__INIT;
	const char *word = ag_grant(ctx)->scope_op;

	(void)msg;
	if (word != NULL && strcmp(word, "approve") == 0)
		return on_approve(state, ctx, &ask);
	if (word != NULL && strcmp(word, "deny") == 0)
		return on_deny(state, ctx, &ask);
	return AG_BAD_MESSAGE;
}

ag_err
on_cancel(void *state, struct ag_ctx *ctx, const void *msg)
{
	const char *before;
	Ag__Approval *a;
	ag_err err;

	(void)state;
	if ((a = waiting(ctx, &err)) == NULL ||
	    (err = check_comment(ctx, msg)) != AG_OK)
		return err;
	if (!book_in_chain(a, ag_grant(ctx)->actor_id))
		return ag_refuse(ctx, AG_PERMISSION_DENIED, "not_own_request",
		    NULL, "Only who asked, or stands above them, takes it back.");
	if ((err = check_waits(ctx, a)) != AG_OK)
		return err;
	before = a->state;
	end(a, APPROVAL_CANCELLED, ag_now_ms(ctx));
	note(ctx, a, before);
	return keep(ctx, a);
}

/* --------------------------------------------------------------- by itself */

static ag_err
on_kept(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	const Ag__Approval *a = book_find(ctx, memo);

	(void)state;
	(void)msg;
	/* Somebody decided meanwhile, or no journal: the next round sees. */
	if (status != AG_OK || a == NULL)
		ag_log(ctx, AG_DEBUG, "APPROVAL-LATER", "approval=%s err=%s",
		    (const char *)memo, ag_err_row(status)->name);
	else
		ag_metric_add(ctx, approval_state_named(a->state) ==
		    APPROVAL_EXPIRED ? APPROVALS_M_EXPIRED : APPROVALS_M_AUTO, 1);
	return AG_OK;
}

void
decide_pair(Ag__Pair *pair, const char *key, const char *value)
{
	ag__pair__init(pair);
	pair->key = (char *)key;
	pair->value = (char *)value;
}

void
decide_by_itself(struct ag_ctx *ctx, Ag__Approval *a, const char *operation,
    const char *approver)
{
	Ag__OutcomeEvent out = AG__OUTCOME_EVENT__INIT;
	Ag__ApprovalFact fact = AG__APPROVAL_FACT__INIT;
	Ag__Pair pairs[6], *params[6];
	char event_id[AG_ID_SIZE], stream[APPROVAL_STREAM];
	struct ag_fact facts[1];
	size_t n = 0;

	/* One request ends by itself once: its own number names the event. */
	snprintf(event_id, sizeof(event_id), "evt_%s", a->id + 4);
	decide_pair(&pairs[n++], "before",
	    approval_state_name(APPROVAL_PENDING));
	decide_pair(&pairs[n++], "after", a->state);
	decide_pair(&pairs[n++], "auto", "true");
	decide_pair(&pairs[n++], "operation", a->operation);
	decide_pair(&pairs[n++], "requester", a->requester->id);
	if (approver != NULL)
		decide_pair(&pairs[n++], "approver", approver);
	for (size_t i = 0; i < n; i++)
		params[i] = &pairs[i];
	out.params = params;
	out.n_params = n;
	out.event_type = AG__EVENT_TYPE__V__lifecycle;
	out.outcome = AG__OUTCOME_KIND__V__allowed;
	out.operation = (char *)operation;
	out.tenant = a->tenant;
	out.resource_type = (char *)"approval";
	out.resource_id = a->id;
	out.actor_id = a->requester->id;
	out.chain = a->chain;
	out.n_chain = a->n_chain;
	out.event_id = event_id;
	fact.approval = a;
	fact.at = a->decided_at;
	snprintf(stream, sizeof(stream), "approval:%s", a->id);
	facts[0] = (struct ag_fact){ stream, a->revision,
		AG_MSG_APPROVAL_FACT, &fact };
	if (ag_persist_recorded(ctx, facts, 1, &out, on_kept, a->id,
	    strlen(a->id) + 1) != AG_PENDING)
		ag_log(ctx, AG_DEBUG, "APPROVAL-LATER", "approval=%s", a->id);
}

void
decide_expire(void *state, struct ag_ctx *ctx)
{
	char ids[APPROVAL_EXPIRE_EACH][AG_ID_SIZE];
	unsigned n = book_due(ctx, T_DUE, ag_now_ms(ctx), ids,
	    APPROVAL_EXPIRE_EACH);

	(void)state;
	for (unsigned i = 0; i < n; i++) {
		Ag__Approval *a = book_find(ctx, ids[i]);

		if (a == NULL)
			continue;
		end(a, APPROVAL_EXPIRED, a->expires_at);
		decide_by_itself(ctx, a, "approval.expire", NULL);
	}
}
