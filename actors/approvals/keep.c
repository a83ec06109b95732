/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What nobody asks for: that a request is about to expire unanswered is said
 * once, as an event that sinks carry; and what ended long ago is forgotten, so
 * that the store is bounded. The audit log has it all the same.
 */
#include "approvals.h"

#include <stdio.h>
#include <string.h>

/* One request is told about once: its own number, but for a bit, names the event
 * (without the change it is the one of its end). */
static void
event_id_of(const Ag__Approval *a, char out[AG_ID_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	size_t last;

	snprintf(out, AG_ID_SIZE, "evt_%s", a->id + 4);
	last = strlen(out) - 1;
	out[last] = digits[(unsigned)(strchr(digits, out[last]) - digits) ^ 1];
}

static ag_err
remind(struct ag_ctx *ctx, const Ag__Approval *a)
{
	Ag__OutcomeEvent out = AG__OUTCOME_EVENT__INIT;
	char event_id[AG_ID_SIZE], at[AG_TIME_TEXT], *needs = draft_needs(ctx, a);
	Ag__Pair pairs[6 + DRAFT_ASKED_MAX], *params[6 + DRAFT_ASKED_MAX];
	size_t n = 0;
	ag_err err;

	if (needs == NULL)
		return AG_NO_MEMORY;
	ag_time_text(a->expires_at, at);
	decide_pair(&pairs[n++], "after", a->state);
	decide_pair(&pairs[n++], "operation", a->operation);
	decide_pair(&pairs[n++], "requester", a->requester->id);
	decide_pair(&pairs[n++], "needs", needs);
	decide_pair(&pairs[n++], "expires_at", at);
	if (a->resource != NULL && a->resource->id != NULL)
		decide_pair(&pairs[n++], "resource", a->resource->alias != NULL ?
		    a->resource->alias : a->resource->id);
	n += draft_asked(ctx, a, &pairs[n]);
	for (size_t i = 0; i < n; i++)
		params[i] = &pairs[i];
	event_id_of(a, event_id);
	out.params = params;
	out.n_params = n;
	out.event_type = AG__EVENT_TYPE__V__lifecycle;
	out.outcome = AG__OUTCOME_KIND__V__allowed;
	out.operation = (char *)"approval.remind";
	out.tenant = a->tenant;
	out.resource_type = (char *)"approval";
	out.resource_id = a->id;
	out.actor_id = a->requester->id;
	out.chain = a->chain;
	out.n_chain = a->n_chain;
	out.event_id = event_id;
	err = ag_record(ctx, &out);
	return err != AG_OK ? err : book_told(ctx, a);
}

void
keep_remind(void *state, struct ag_ctx *ctx)
{
	const struct approvals *s = state;
	char ids[APPROVAL_EXPIRE_EACH][AG_ID_SIZE];
	int64_t now = ag_now_ms(ctx);
	unsigned n;

	if (s->remind_ms == 0)
		return;
	n = book_soon(ctx, now + s->remind_ms, ids, APPROVAL_EXPIRE_EACH);
	for (unsigned i = 0; i < n; i++) {
		const Ag__Approval *a = book_find(ctx, ids[i]);

		/* Short ones would be told of at once: they were just asked. */
		if (a == NULL || now >= a->expires_at ||
		    now < a->requested_at + (a->expires_at - a->requested_at) / 2)
			continue;
		if (remind(ctx, a) != AG_OK)
			return; /* audit is away: the next round */
		ag_metric_add(ctx, APPROVALS_M_REMINDED, 1);
	}
}

void
keep_purge(void *state, struct ag_ctx *ctx)
{
	const struct approvals *s = state;
	int64_t before = ag_now_ms(ctx) - s->keep_ms;
	unsigned n = book_purge(ctx, before) + glass_purge(ctx, before);

	if (n > 0)
		ag_metric_add(ctx, APPROVALS_M_PURGED, n);
}
