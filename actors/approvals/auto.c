/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Agreement that nobody needs to give: a row of approvals.auto speaks for a group
 * about an operation, in its hours, up to a time, and the decision says which row
 * it was (policy:<name>). Never for more than one person of a group, never for
 * what dual control wants. What no row speaks for waits for people.
 */
#include "approvals.h"

#include <hours.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct auto_rule {
	const char *name, *operation, *group; /* of the configuration */
	const char *kind;                     /* NULL: of whoever asks */
	int64_t ttl_max_s;                    /* of a grant; 0: any */
	bool has_hours;
	struct ag_hours hours; /* UTC */
};

/* ----------------------------------------------------------- configuration */

static const char *
text_of(struct ag_ctx *ctx, const char *member, unsigned row)
{
	char path[64];

	snprintf(path, sizeof(path), "approvals.auto[].%s", member);
	return ag_config_str(ctx, path, row);
}

static ag_err
complain(struct ag_ctx *ctx, unsigned row, const char *what)
{
	ag_log(ctx, AG_ERROR, "AUTO-RULE", "where=%s: %s", ag_config_get_where(
	    ag_config(ctx), "approvals.auto[].name", row), what);
	return AG_USAGE;
}

static ag_err
read_rule(struct ag_ctx *ctx, struct auto_rule *rule, unsigned row)
{
	const char *hours = text_of(ctx, "hours", row);
	const struct ag_operation *op;
	char problem[AG_HOURS_PROBLEM];

	rule->name = text_of(ctx, "name", row);
	rule->operation = text_of(ctx, "operation", row);
	rule->group = text_of(ctx, "group", row);
	rule->kind = text_of(ctx, "kind", row);
	rule->ttl_max_s = ag_config_get_int(ag_config(ctx),
	    "approvals.auto[].ttl_max_s", row);
	op = ag_operation_named(rule->operation);
	if (op == NULL || op->executor == AG_ROLE_APPROVALS)
		return complain(ctx, row, "an operation that people can be asked "
		    "about, as key.decrypt");
	if (rule->ttl_max_s > 0 && op->type != AG_MSG_ACCESS_REQUEST)
		return complain(ctx, row, "ttl_max_s is of grant.request only");
	if (hours == NULL)
		return AG_OK;
	rule->has_hours = true;
	if (!ag_hours_parse(hours, &rule->hours, problem))
		return complain(ctx, row, problem);
	return rule->hours.zone[0] == '\0' ? AG_OK :
	    complain(ctx, row, "these hours are in UTC, without a zone");
}

ag_err
auto_init(struct approvals *state, struct ag_ctx *ctx)
{
	unsigned n = ag_config_count(ctx, "approvals.auto");
	ag_err err = AG_OK;

	if (n == 0)
		return AG_OK;
	if ((state->autos = calloc(n, sizeof(*state->autos))) == NULL)
		return AG_NO_MEMORY;
	state->auto_count = n;
	for (unsigned i = 0; i < n && err == AG_OK; i++)
		err = read_rule(ctx, &state->autos[i], i);
	return err;
}

void
auto_fini(struct approvals *state)
{
	free(state->autos);
	state->autos = NULL;
	state->auto_count = 0;
}

/* ----------------------------------------------------------------- deciding */

static bool
is_short(const struct auto_rule *rule, const Ag__Approval *a)
{
	if (rule->ttl_max_s == 0)
		return true;
	for (size_t i = 0; i < a->n_asked; i++)
		if (strcmp(a->asked[i]->key, "ttl_s") == 0)
			return strtoll(a->asked[i]->value, NULL, 10) <=
			    rule->ttl_max_s;
	return false;
}

static bool
speaks(const struct auto_rule *rule, const Ag__Approval *a,
    const Ag__ApprovalNeed *need, int64_t now)
{
	return strcmp(rule->operation, a->operation) == 0 &&
	    strcmp(rule->group, need->group) == 0 &&
	    (rule->kind == NULL || strcmp(rule->kind, ag_enum_name(
	    &ag__kind__v__descriptor, a->requester->kind)) == 0) &&
	    (!rule->has_hours || ag_hours_open(&rule->hours, NULL, now)) &&
	    is_short(rule, a);
}

static const struct auto_rule *
rule_for(const struct approvals *state, const Ag__Approval *a,
    const Ag__ApprovalNeed *need, int64_t now)
{
	if (need->quorum != 1 || strcmp(need->rule, "dual-control") == 0)
		return NULL;
	for (size_t i = 0; i < state->auto_count; i++)
		if (speaks(&state->autos[i], a, need, now))
			return &state->autos[i];
	return NULL;
}

bool
auto_fits(const struct approvals *state, const Ag__Approval *a, int64_t now)
{
	for (size_t i = 0; i < a->n_needs; i++)
		if (rule_for(state, a, a->needs[i], now) == NULL)
			return false;
	return a->n_needs > 0;
}

static Ag__ApprovalDecision *
decision(struct ag_ctx *ctx, const struct auto_rule *rule,
    Ag__ApprovalNeed *need, int64_t now)
{
	Ag__ApprovalDecision *d = ag_alloc(ctx, sizeof(*d));

	if (d == NULL)
		return NULL;
	ag__approval_decision__init(d);
	d->by = ag_printf(ctx, "policy:%s", rule->name);
	d->name = d->by;
	d->decision = (char *)"approved";
	d->at = now;
	d->groups = &need->group;
	d->n_groups = 1;
	return d->by == NULL ? NULL : d;
}

static void
agree(const struct approvals *state, struct ag_ctx *ctx, Ag__Approval *a,
    int64_t now)
{
	Ag__ApprovalDecision **list = ag_alloc(ctx, a->n_needs * sizeof(*list));

	for (size_t i = 0; list != NULL && i < a->n_needs; i++)
		if ((list[i] = decision(ctx, rule_for(state, a, a->needs[i], now),
		    a->needs[i], now)) == NULL)
			return; /* no memory: people may still decide */
	if (list == NULL)
		return;
	a->decisions = list;
	a->n_decisions = a->n_needs;
	decide_approve(state, a, now);
	decide_by_itself(ctx, a, "approval.auto", list[0]->by);
}

void
auto_asked(struct approvals *state, struct ag_ctx *ctx, const Ag__Approval *a)
{
	if (!auto_fits(state, a, ag_now_ms(ctx)))
		return;
	for (unsigned i = 0; i < state->fresh_count; i++)
		if (strcmp(state->fresh[i], a->id) == 0)
			return;
	/* With no room it waits for people, or for its next try. */
	if (state->fresh_count < APPROVAL_FRESH_MAX)
		snprintf(state->fresh[state->fresh_count++], AG_ID_SIZE, "%s",
		    a->id);
}

void
auto_tick(void *state, struct ag_ctx *ctx)
{
	struct approvals *s = state;
	int64_t now = ag_now_ms(ctx);

	for (unsigned i = 0; i < s->fresh_count; i++) {
		Ag__Approval *a = book_find(ctx, s->fresh[i]);

		if (a != NULL && a->n_decisions == 0 &&
		    approval_state_named(a->state) == APPROVAL_PENDING &&
		    now < a->expires_at && auto_fits(s, a, now))
			agree(s, ctx, a, now);
	}
	s->fresh_count = 0;
}
