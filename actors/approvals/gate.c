/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate: the station behind risk for what people must agree to. Without an
 * approval, people are asked and the request is refused with the id of what
 * waits; with one, it is used up in the journal first, and only then does the
 * request go on to its executor (docs/decisions/0011). Everything about one
 * request, or one approval, happens one after the other (ag_enter), and here
 * alone: so of concurrent retries one goes on.
 */
#include "approvals.h"

#include <aegis/bytes.h>
#include <aegis/secret.h>

#include <stdio.h>
#include <string.h>

enum {
	IDEM_MS = 23 * 3600 * 1000, /* below what Idempotency-Keys are kept */
	JOURNAL_TIMEOUT_MS = 5000,
};

/* --------------------------------------------------------------- refusals */

static ag_err
refuse(struct ag_ctx *ctx, const Ag__Approval *a, const char *reason,
    const char *detail, const char *hint)
{
	struct draft_about about;

	if (a != NULL) {
		ag_refuse_approval(ctx, a->id, a->has_usable_until_at ?
		    a->usable_until_at : a->expires_at);
		ag_note_param(ctx, "approval_id", a->id);
	}
	ag_metric_add(ctx, APPROVALS_M_REFUSED, 1);
	if (draft_about(ctx, &about))
		ag_refuse_rule(ctx, about.needs[0]->rule);
	ag_refuse_hint(ctx, hint);
	return ag_refuse(ctx, AG_APPROVAL_REQUIRED, reason,
	    ag_grant(ctx)->approval == NULL ? NULL : "Aegis-Approval", "%s",
	    detail);
}

static const char again[] = "send it again without Aegis-Approval to ask anew";

/* The answer to who asks ahead. The event names what it is about, as that of the
 * request itself would. */
static ag_err
say(struct ag_ctx *ctx, const Ag__Approval *a)
{
	ag_note_param(ctx, "approval_id", a->id);
	ag_note_param(ctx, "operation", a->operation);
	return ag_reply(ctx, AG_MSG_APPROVAL_REQUEST, a);
}

/* Who asks ahead is told what waits; who makes the request, that it must. */
static ag_err
refuse_waiting(struct ag_ctx *ctx, const Ag__Approval *a)
{
	if (ag_type(ctx) == AG_MSG_APPROVAL_REQUEST)
		return say(ctx, a);
	return refuse(ctx, a, "pending", "People have to agree to this first.",
	    ag_printf(ctx, "once it is approved, send the same request with "
	    "Aegis-Approval: %s", a->id));
}

/* It ended without a yes. */
static ag_err
refuse_ended(struct ag_ctx *ctx, const Ag__Approval *a)
{
	static const struct { const char *state, *detail; } ended[] = {
		{ "denied", "Somebody said no to this." },
		{ "expired", "Nobody agreed to this in time." },
		{ "cancelled", "The request for approval was taken back." },
	};

	for (size_t i = 0; i < sizeof(ended) / sizeof(ended[0]); i++)
		if (strcmp(a->state, ended[i].state) == 0)
			return refuse(ctx, a, ended[i].state, ended[i].detail,
			    ag_grant(ctx)->approval == NULL ? NULL : again);
	return AG_CORRUPT;
}

/* --------------------------------------------------------------- going on */

static ag_err
go_on(struct ag_ctx *ctx)
{
	const Ag__Grant *grant = ag_grant(ctx);
	const struct ag_operation *op = ag_operation_find((uint16_t)grant->op);
	unsigned to;
	ag_err err;

	if (op->executor != AG_ROLE_KEYS)
		to = ag_slot(ctx, op->executor, 0);
	else
		to = grant->resource_id != NULL ?
		    ag_shard(ctx, AG_ROLE_KEYS, grant->resource_id) :
		    ag_slot(ctx, AG_ROLE_KEYS, (unsigned)(grant->n %
		    ag_slot_count(ctx, AG_ROLE_KEYS)));
	err = to == AG_SLOT_NONE ? AG_NOBODY : ag_pass(ctx, to, NULL, NULL);
	return err == AG_OK ? AG_OK : ag_refuse(ctx, AG_UNAVAILABLE,
	    "overloaded", NULL, "The request could not be passed on.");
}

/* ------------------------------------------------------------------ asking */

/* A window that is shorter by now, or none, is not outrun. */
static bool
outlasts(const Ag__ApprovalNeed *has, const Ag__ApprovalNeed *want)
{
	return has->has_window_s &&
	    (!want->has_window_s || want->window_s < has->window_s);
}

/* The approval speaks of at least what is wanted now. */
static bool
covers(struct ag_ctx *ctx, const Ag__Approval *a)
{
	struct draft_about about;

	if (!draft_about(ctx, &about))
		return false;
	for (size_t i = 0; i < about.n_needs; i++) {
		const Ag__ApprovalNeed *want = about.needs[i];
		size_t k = 0;

		while (k < a->n_needs &&
		    (strcmp(a->needs[k]->group, want->group) != 0 ||
		    a->needs[k]->quorum < want->quorum))
			k++;
		if (k == a->n_needs ||
		    (a->used > 0 && outlasts(a->needs[k], want)))
			return false;
	}
	return true;
}

static bool
is_once(const Ag__Approval *a)
{
	for (size_t i = 0; i < a->n_needs; i++)
		if (!a->needs[i]->has_window_s)
			return true;
	return false;
}

static ag_err
asked(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	const Ag__Approval *a = book_find(ctx, memo);

	(void)msg;
	if (status != AG_OK)
		return status;
	if (a == NULL)
		return AG_CORRUPT;
	ag_metric_add(ctx, APPROVALS_M_ASKED, 1);
	ag_note_param(ctx, "after", a->state);
	draft_note(ctx, a);
	auto_asked(state, ctx, a);
	return refuse_waiting(ctx, a);
}

static ag_err
keep(struct ag_ctx *ctx, Ag__Approval *a, uint64_t version, ag_then *then)
{
	Ag__ApprovalFact fact = AG__APPROVAL_FACT__INIT;
	struct ag_fact facts[1];

	fact.approval = a;
	fact.at = ag_now_ms(ctx);
	fact.by = ag_grant(ctx)->actor_id;
	facts[0] = (struct ag_fact){ ag_printf(ctx, "approval:%s", a->id),
		version, AG_MSG_APPROVAL_FACT, &fact };
	if (facts[0].stream == NULL)
		return AG_NO_MEMORY;
	return ag_persist_before(ctx, facts, 1, then, a->id, strlen(a->id) + 1);
}

static ag_err
ask_people(struct approvals *state, struct ag_ctx *ctx,
    const uint8_t match[APPROVAL_MATCH])
{
	Ag__Approval *a = draft_new(state, ctx, match);
	unsigned own, all;

	if (a == NULL)
		return AG_NO_MEMORY;
	book_open(ctx, a->n_chain > 0 ? a->chain[0]->id : a->requester->id,
	    a->requester->id, &own, &all);
	if (own >= state->pending_max ||
	    all >= state->pending_max * APPROVAL_ROOT_FACTOR) {
		ag_metric_add(ctx, APPROVALS_M_CAPPED, 1);
		ag_refuse_retry(ctx, 60);
		return ag_refuse(ctx, AG_RATE_LIMITED, "account", NULL,
		    "Too many requests of %s wait for approval.",
		    own >= state->pending_max ? "this principal" :
		    "all below the same person");
	}
	return keep(ctx, a, 0, asked);
}

/* The newest of the same request says what to answer; NULL: ask anew. */
static bool
stands(const struct approvals *state, struct ag_ctx *ctx,
    const Ag__Approval *a, int64_t now)
{
	switch (approval_state_named(a->state)) {
	case APPROVAL_PENDING:
		return now < a->expires_at && covers(ctx, a);
	case APPROVAL_APPROVED:
		return now < a->usable_until_at && covers(ctx, a) &&
		    (a->used == 0 || !is_once(a));
	case APPROVAL_DENIED:
		return now < a->decided_at + state->denied_ms;
	case APPROVAL_EXPIRED:
	case APPROVAL_CANCELLED:
	case APPROVAL_STATES:
		break;
	}
	return false;
}

static ag_err
ask(struct approvals *state, struct ag_ctx *ctx,
    const uint8_t match[APPROVAL_MATCH])
{
	char name[APPROVAL_STREAM + 2 * APPROVAL_MATCH] = "match:";
	const Ag__Approval *a;
	ag_err err;

	ag_hex(match, APPROVAL_MATCH, name + strlen(name));
	if ((err = ag_enter(ctx, name, true)) != AG_OK)
		return err;
	a = book_match(ctx, match);
	if (a == NULL || !stands(state, ctx, a, ag_now_ms(ctx)))
		return ask_people(state, ctx, match);
	ag_metric_add(ctx, APPROVALS_M_COALESCED, 1);
	if (approval_state_named(a->state) == APPROVAL_PENDING) {
		auto_asked(state, ctx, a);
		return refuse_waiting(ctx, a);
	}
	if (approval_state_named(a->state) == APPROVAL_DENIED)
		return refuse_ended(ctx, a);
	if (ag_type(ctx) == AG_MSG_APPROVAL_REQUEST)
		return say(ctx, a);
	return refuse(ctx, a, "approved", "This was approved; say so.",
	    ag_printf(ctx, "send it with Aegis-Approval: %s", a->id));
}

/* ------------------------------------------------------------------- using */

static ag_err
used(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	(void)state;
	(void)msg;
	(void)memo;
	if (status != AG_OK)
		return status;
	ag_metric_add(ctx, APPROVALS_M_USED, 1);
	return go_on(ctx);
}

static bool
same_request(const Ag__Approval *a, const Ag__Grant *grant, int64_t now)
{
	return grant->has_idem && a->has_used_idem &&
	    grant->idem.len == a->used_idem.len &&
	    ag_secret_equal(grant->idem.data, a->used_idem.data,
	    grant->idem.len) && now < a->used_at + IDEM_MS;
}

/* Did somebody decide who issued what asks now, or its credential? */
static bool
decided_behind(const Ag__Approval *a, const Ag__Grant *grant)
{
	for (size_t i = 0; i < grant->n_behind; i++)
		for (size_t k = 0; k < a->n_decisions; k++)
			if (strcmp(grant->behind[i], a->decisions[k]->by) == 0)
				return true;
	return false;
}

static ag_err
spend(struct ag_ctx *ctx, Ag__Approval *a, int64_t now)
{
	const Ag__Grant *grant = ag_grant(ctx);

	if (a->used > 0 && is_once(a))
		return refuse(ctx, a, "used", "This approval was used.", again);
	if (now >= a->usable_until_at)
		return refuse(ctx, a, "expired",
		    "This approval was not used in time.", again);
	if (!covers(ctx, a))
		return refuse(ctx, a, "changed",
		    "More is needed now than was approved.", again);
	if (decided_behind(a, grant))
		return refuse(ctx, a, "changed",
		    "Who agreed issued the credential.", again);
	a->used++;
	a->has_used_at = true;
	a->used_at = now;
	a->has_used_idem = grant->has_idem;
	a->used_idem = grant->idem;
	return keep(ctx, a, a->revision, used);
}

static ag_err
on_known(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	const Ag__JournalIdemReply *reply = msg;
	Ag__Approval *a;

	(void)state;
	if (status != AG_OK)
		return status;
	if (reply->known && reply->has_same && reply->same)
		return go_on(ctx); /* to the first answer; nothing is done again */
	a = book_find(ctx, memo);
	return a == NULL ? AG_CORRUPT : spend(ctx, a, ag_now_ms(ctx));
}

/* A repeat goes on without another yes only if its answer is in the journal:
 * what a crash took between use and answer may have been done, or not. */
static ag_err
use(struct ag_ctx *ctx, Ag__Approval *a, int64_t now)
{
	const Ag__Grant *grant = ag_grant(ctx);
	Ag__JournalIdemAsk ask = AG__JOURNAL_IDEM_ASK__INIT;

	if (a->used == 0 || !same_request(a, grant, now))
		return spend(ctx, a, now);
	ask.idem = grant->idem;
	ask.body_digest = grant->body_digest;
	return ag_ask(ctx, ag_slot(ctx, AG_ROLE_JOURNAL, 0),
	    AG_MSG_JOURNAL_IDEM_ASK, &ask, AG_MSG_JOURNAL_IDEM_REPLY,
	    JOURNAL_TIMEOUT_MS, on_known, a->id, strlen(a->id) + 1);
}

static ag_err
bring(struct ag_ctx *ctx, const uint8_t match[APPROVAL_MATCH])
{
	const Ag__Grant *grant = ag_grant(ctx);
	char stream[APPROVAL_STREAM];
	Ag__Approval *a;
	ag_err err;

	snprintf(stream, sizeof(stream), "approval:%s", grant->approval);
	if ((err = ag_enter(ctx, stream, true)) != AG_OK)
		return err;
	a = book_find(ctx, grant->approval);
	/* Another's looks like none. */
	if (a == NULL || strcmp(a->tenant, grant->tenant) != 0 ||
	    strcmp(a->requester->id, grant->actor_id) != 0)
		return refuse(ctx, NULL, "unknown", "There is no such approval.",
		    again);
	if (!ag_secret_equal(a->match.data, match, APPROVAL_MATCH))
		return refuse(ctx, NULL, "mismatch",
		    "This approval is for another request.", again);
	switch (approval_state_named(a->state)) {
	case APPROVAL_PENDING:
		return refuse_waiting(ctx, a);
	case APPROVAL_APPROVED:
		return use(ctx, a, ag_now_ms(ctx));
	case APPROVAL_DENIED:
	case APPROVAL_EXPIRED:
	case APPROVAL_CANCELLED:
		return refuse_ended(ctx, a);
	case APPROVAL_STATES:
		break;
	}
	return AG_CORRUPT;
}

ag_err
gate_station(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__Grant *grant = ag_grant(ctx);
	uint8_t match[APPROVAL_MATCH];
	ag_err err;

	(void)msg;
	if (grant == NULL || grant->n_needs == 0)
		return AG_BAD_MESSAGE; /* nothing to be asked: who sent it here? */
	if ((err = draft_match(ctx, match)) != AG_OK)
		return err;
	return grant->approval == NULL ? ask(state, ctx, match) :
	    bring(ctx, match);
}

ag_err
on_request(void *state, struct ag_ctx *ctx, const void *msg)
{
	uint8_t match[APPROVAL_MATCH];
	ag_err err = ag_grant(ctx)->ahead == NULL ? AG_BAD_MESSAGE :
	    draft_match(ctx, match);

	(void)msg;
	return err != AG_OK ? err : ask(state, ctx, match);
}
