/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policies, above the floor of scopes: who asks, what it is about and from
 * where, put before the tenant's set. What scopes refuse never comes here, so
 * a policy can only take away. A tenant that never had one is not asked.
 *
 * Not asked is, besides, what everybody may do without a scope, and everything
 * about policies themselves: whatever a tenant's policies say, those who hold
 * `policy:*:update` can change them. Nor is what people say to a request that
 * waits for them: that would need an approval itself.
 */
#include "call.h"
#include "exec.h"
#include "rulebook.h"
#include "ruling.h"
#include "under_way.h"

#include <stdio.h>
#include <string.h>

enum { FAILED_MAX = 8 }; /* skipped policies that an event names */

/* ---------------------------------------------------------------- the ask */

static enum ag_rules_kind
kind_of(const struct iam_node *node)
{
	return node->parent != NULL ? AG_RULES_AGENT :
	    node->kind == AG__KIND__V__service ? AG_RULES_SERVICE :
	    AG_RULES_HUMAN;
}

static void
party(const struct iam_node *node, int64_t now, const char **roles,
    struct ag_rules_party *out)
{
	const struct iam_node *root = node;

	out->count = 0;
	for (; node != NULL && out->count < AG_RULES_CHAIN_MAX;
	    node = node->parent) {
		out->links[out->count++] = (struct ag_rules_link){ kind_of(node),
			node->id, node->name, node->model };
		root = node;
	}
	out->roles = roles;
	out->role_count = 0;
	for (unsigned i = 0; i < root->role_count; i++)
		if (root->roles[i].from <= now && now < root->roles[i].until)
			roles[out->role_count++] = root->roles[i].role->name;
}

static void
key_of(const struct iam_key *key, struct ag_rules_resource *out)
{
	/* A label here and one there are the same two strings. */
	_Static_assert(sizeof(struct ag_rules_label) ==
	    sizeof(struct ag_scope_label), "labels are shared");
	out->id = key->id;
	out->name = key->target.alias;
	out->spec = ag_enum_name(&ag__key_spec__v__descriptor, key->spec);
	out->state = ag_enum_name(&ag__key_state__v__descriptor, key->state);
	out->backend = key->backend;
	out->labels = (const struct ag_rules_label *)key->target.labels;
	out->label_count = key->target.label_count;
}

static void
resource(const struct iam_rules_query *q, struct iam_rules_room *room,
    struct ag_rules_resource *out)
{
	out->about = AG_RULES_TENANT;
	if ((q->op->flags & AG_OP_ALL) != 0)
		return;
	out->name = q->selector == NULL ? "" : q->selector;
	switch (q->op->kind) {
	case AG_KIND_KEY:
		out->about = AG_RULES_KEY;
		out->unknown = q->key == NULL;
		if (q->key != NULL)
			key_of(q->key, out);
		return;
	case AG_KIND_AGENT:
	case AG_KIND_PRINCIPAL:
		out->about = AG_RULES_PARTY;
		out->unknown = q->subject == NULL;
		out->party.links[0].kind = q->op->kind == AG_KIND_AGENT ?
		    AG_RULES_AGENT : AG_RULES_HUMAN;
		if (q->subject != NULL)
			party(q->subject, q->now, room->party_roles, &out->party);
		return;
	case AG_KIND_TOOL:
		out->about = AG_RULES_TOOL;
		return;
	case AG_KIND_ANY:
	case AG_KIND_AUDIT:
	case AG_KIND_POLICY:
	case AG_KIND_SYSTEM:
	case AG_KIND_COUNT:
		return;
	}
}

bool
iam_rules_ask(const struct iam_rules_query *q, struct iam_rules_room *room,
    struct ag_rules_ask *out)
{
	const char *group;

	memset(out, 0, sizeof(*out));
	out->action = q->op->operation;
	if ((q->op->flags & AG_OP_EITEM) != 0) {
		snprintf(room->action, sizeof(room->action), "%s.%s",
		    ag_kind_name(q->op->kind), q->scope_op);
		out->action = room->action;
	}
	if (!ag_rules_action_group(out->action, &group))
		return false;
	out->tenant = q->node->tenant->name;
	party(q->node, q->now, room->roles, &out->principal);
	resource(q, room, &out->resource);
	out->at_ms = q->now;
	out->source = q->source;
	out->plane = q->plane;
	out->credential_age_ms = q->credential_age_ms;
	out->stepped_up = q->stepped_up;
	out->break_glass = q->break_glass;
	out->tracked = q->tracked;
	out->items = q->items;
	out->has_since_step_up = q->has_since_step_up;
	out->since_step_up_ms = q->since_step_up_ms;
	out->has_since_approval = q->has_since_approval;
	out->since_approval_ms = q->since_approval_ms;
	out->bytes = q->bytes;
	out->under_way = q->under_way;
	out->recent = q->recent;
	return true;
}

void
iam_rules_step_up(const struct iam_node *node, int64_t now,
    struct iam_rules_query *q)
{
	q->has_since_step_up = node->stepped_up_at != 0;
	q->since_step_up_ms = now > node->stepped_up_at ?
	    now - node->stepped_up_at : 0;
}

void
iam_rules_recent(struct iam *iam, const struct ag_rules *rules,
    struct iam_node *node, const char *resource, bool real,
    struct ag_rules_ask *ask)
{
	struct iam_recent_query q = { .node = node, .action = ask->action,
		.resource = ask->resource.about == AG_RULES_TENANT ? NULL :
		resource, .is_key = ask->resource.about == AG_RULES_KEY,
		.now = ask->at_ms, .items = ask->items, .real = real };

	if (rules != NULL && ag_rules_wants_recent(rules))
		iam_recent_look(iam, &q, &ask->recent);
}

static void
under_way_query(struct iam *iam, struct ag_ctx *ctx, const struct iam_node *node,
    const struct ag_rules_ask *ask, const char *resource,
    struct iam_under_way_query *out)
{
	*out = (struct iam_under_way_query){ .who = node->id,
		.action = ask->action, .resource = ask->resource.about ==
		AG_RULES_TENANT ? NULL : resource, .now_ms = ag_mono_ms(ctx),
		.used = &node->tenant->under_way, .most = iam->tenant_count > 1 ?
		IAM_UNDER_WAY_PART : IAM_UNDER_WAY_MAX };
}

void
iam_rules_under_way(struct iam *iam, struct ag_ctx *ctx,
    const struct ag_rules *rules, const struct iam_node *node,
    const char *resource, struct ag_rules_ask *ask)
{
	struct iam_under_way_query q;

	if (rules == NULL || !ag_rules_wants_under_way(rules))
		return;
	under_way_query(iam, ctx, node, ask, resource, &q);
	ask->under_way = iam_under_way_look(iam->under_way, &q);
	if (ask->under_way < 0)
		ask->under_way = AG_RULES_MANY;
}

ag_err
iam_on_request_ended(void *state, struct ag_ctx *ctx, const void *msg)
{
	struct iam *iam = state;
	const Ag__RequestEndedEvent *event = msg;

	iam_under_way_end(iam->under_way, event->under_way, ag_from(ctx));
	return AG_OK;
}

/* ------------------------------------------------ what the event remembers */

static char **
models_said(struct ag_ctx *ctx, const struct ag_rules_party *p, size_t *count)
{
	char **out = iam_array(ctx, p->count);

	for (size_t i = 0; out != NULL && i < p->count; i++)
		if (p->links[i].kind == AG_RULES_AGENT)
			out[(*count)++] = (char *)(p->links[i].model == NULL ? "" :
			    p->links[i].model);
	return out;
}

static bool
labels_said(struct ag_ctx *ctx, const struct ag_rules_resource *r,
    Ag__PolicyInput *out)
{
	Ag__Pair *pairs = ag_alloc(ctx, (r->label_count + 1) * sizeof(*pairs));

	out->labels = iam_array(ctx, r->label_count);
	if (pairs == NULL || out->labels == NULL)
		return false;
	for (size_t i = 0; i < r->label_count; i++) {
		ag__pair__init(&pairs[i]);
		pairs[i].key = (char *)r->labels[i].key;
		pairs[i].value = (char *)r->labels[i].value;
		out->labels[out->n_labels++] = &pairs[i];
	}
	return true;
}

static bool
failures_said(struct ag_ctx *ctx, const struct ag_rules *rules,
    const struct ag_rules_answer *a, Ag__PolicyInput *out)
{
	size_t n = a->said.failure_count < FAILED_MAX ? a->said.failure_count :
	    FAILED_MAX;

	if (n == 0)
		return true;
	if ((out->failed = iam_array(ctx, n)) == NULL)
		return false;
	for (size_t i = 0; i < n; i++) {
		const struct ag_cedar_failure *f = &a->said.failures[i];

		out->failed[i] = ag_printf(ctx, "%s: %s at %u:%u",
		    ag_rules_name(rules, f->policy),
		    ag_cedar_fault_name(f->fault), f->line, f->column);
		if (out->failed[i] == NULL)
			return false;
		out->n_failed++;
	}
	return true;
}

static bool
resource_said(struct call *c, const struct ag_rules_ask *ask,
    Ag__PolicyInput *out)
{
	const struct ag_rules_resource *r = &ask->resource;

	out->about = r->about;
	out->has_unknown = out->unknown = r->unknown;
	out->id = (char *)r->id;
	out->name = (char *)r->name;
	out->spec = (char *)r->spec;
	out->state = (char *)r->state;
	out->backend = (char *)r->backend;
	if (r->about == AG_RULES_PARTY && !r->unknown) {
		out->name = NULL;
		out->party = c->subject->chain;
		out->n_party = c->subject->chain_len;
		out->party_roles = (char **)r->party.roles;
		out->n_party_roles = r->party.role_count;
		out->party_models = models_said(c->ctx, &r->party,
		    &out->n_party_models);
		return out->party_models != NULL;
	}
	return labels_said(c->ctx, r, out);
}

static Ag__PolicyRecent *
recent_said(struct ag_ctx *ctx, const struct ag_rules_recent *r)
{
	Ag__PolicyRecent *out = ag_alloc(ctx, sizeof(*out));

	if (out == NULL)
		return NULL;
	ag__policy_recent__init(out);
	out->second = r->second;
	out->minute = r->minute;
	out->hour = r->hour;
	out->day = r->day;
	out->keys_hour = r->keys_hour;
	out->keys_day = r->keys_day;
	return out;
}

/* With what the decision can be made again. In the turn's memory. */
static bool
said(struct call *c, const struct ag_rules *rules,
    const struct ag_rules_ask *ask, const struct ag_rules_answer *a)
{
	Ag__PolicyInput *out = ag_alloc(c->ctx, sizeof(*out));

	if (out == NULL)
		return false;
	ag__policy_input__init(out);
	out->version = c->node->tenant->book->version;
	out->action = (char *)ask->action;
	out->at = ask->at_ms;
	out->credential_age_ms = ask->credential_age_ms;
	out->stepped_up = ask->stepped_up;
	out->has_break_glass = out->break_glass = ask->break_glass;
	out->has_tracked = true;
	out->tracked = ask->tracked;
	out->items = ask->items;
	out->has_since_step_up_ms = ask->has_since_step_up;
	out->since_step_up_ms = ask->since_step_up_ms;
	out->has_since_approval_ms = ask->has_since_approval;
	out->since_approval_ms = ask->since_approval_ms;
	if (rules != NULL && ag_rules_wants_recent(rules) &&
	    (out->recent = recent_said(c->ctx, &ask->recent)) == NULL)
		return false;
	out->has_bytes = true;
	out->bytes = ask->bytes;
	out->has_under_way = rules != NULL && ag_rules_wants_under_way(rules);
	out->under_way = ask->under_way;
	out->has_timeout_ms = a->timeout_ms > 0;
	out->timeout_ms = a->timeout_ms;
	out->roles = (char **)ask->principal.roles;
	out->n_roles = ask->principal.role_count;
	out->models = models_said(c->ctx, &ask->principal, &out->n_models);
	out->plane = (char *)ask->plane;
	out->decision = (char *)ag_rules_decision_name(a->decision);
	out->rule = (char *)a->rule;
	if (out->models == NULL || !resource_said(c, ask, out) ||
	    (rules != NULL && !failures_said(c->ctx, rules, a, out)))
		return false;
	c->grant.policy = out;
	return true;
}

/* ---------------------------------------------------------------- the check */

static ag_err
denied(struct call *c, const struct ag_rules_ask *ask,
    const struct ag_rules_answer *a)
{
	ag_metric_add(c->ctx, IAM_M_RULED_OUT, 1);
	for (size_t i = 0; i < c->grant.policy->n_failed; i++)
		ag_note_param(c->ctx, "policy_error", c->grant.policy->failed[i]);
	ag_refuse_rule(c->ctx, a->rule != NULL ? a->rule : "default-deny");
	if (a->rule == NULL)
		return REFUSE(c, AG_PERMISSION_DENIED, "no_matching_rule", NULL,
		    "No policy permits %s here.", ask->action);
	if (strcmp(a->reason_code, AG_RULES_SESSION) == 0)
		ag_refuse_hint(c->ctx, "use a credential that was issued here: "
		    "a token of a principal, or an agent's");
	return REFUSE(c, AG_PERMISSION_DENIED, a->reason_code, NULL,
	    "The policy %s forbids this%s%s", a->rule,
	    a->reason == NULL ? "." : ": ", a->reason == NULL ? "" : a->reason);
}

/* "rest.1" is the plane rest. */
static const char *
plane_of(struct ag_ctx *ctx, unsigned slot)
{
	const char *name = ag_slot_name(ctx, slot), *dot;
	char *cut;

	if (name == NULL || (dot = strchr(name, '.')) == NULL)
		return name == NULL ? "" : name;
	if ((cut = ag_strdup(ctx, name)) == NULL)
		return "";
	cut[dot - name] = '\0';
	return cut;
}

static const char *
resource_name(const struct call *c)
{
	return c->grant.resource_id != NULL ? c->grant.resource_id :
	    c->rq->selector;
}

static void
take_place(struct call *c)
{
	struct iam_under_way_query q;
	uint64_t place;

	under_way_query(c->iam, c->ctx, c->node, c->tracked, resource_name(c), &q);
	place = iam_under_way_take(c->iam->under_way, &q, ag_from(c->ctx),
	    c->grant.deadline_ms != 0 ? c->grant.deadline_ms :
	    c->mono + AG_DEADLINE_MS);
	c->grant.has_under_way = place != 0;
	c->grant.under_way = place;
}

void
iam_policies_take(struct call *c)
{
	struct iam_recent_query q = { .node = c->node, .now = c->now,
		.items = c->items };

	if (c->tracked != NULL)
		take_place(c);
	if (c->counted == NULL)
		return;
	q.action = c->counted->action;
	q.resource = c->counted->resource.about == AG_RULES_TENANT ? NULL :
	    resource_name(c);
	q.is_key = c->counted->resource.about == AG_RULES_KEY;
	iam_recent_take(c->iam, &q);
}

ag_err
iam_rules_about(struct call *c, struct ag_rules_ask **out)
{
	struct iam_rules_query q = { .node = c->node, .op = c->op,
		.scope_op = c->scope_op, .key = c->key, .subject = c->subject,
		.selector = c->rq->selector, .now = c->now,
		.source = c->rq->source_address,
		.stepped_up = c->grant.step_up != NULL, .items = c->items,
		.break_glass = c->grant.break_glass != NULL && c->key != NULL,
		.tracked = c->token->foreign == NULL };
	struct iam_rules_room *room = ag_alloc(c->ctx, sizeof(*room));
	struct ag_rules_ask *ask = ag_alloc(c->ctx, sizeof(*ask));
	size_t bytes;

	if (room == NULL || ask == NULL)
		return AG_NO_MEMORY;
	*out = NULL;
	(void)iam_call_body(c, &bytes);
	q.bytes = (int64_t)bytes;
	q.plane = plane_of(c->ctx, ag_from(c->ctx));
	q.credential_age_ms = c->now > c->token->issued_at ?
	    c->now - c->token->issued_at : 0;
	iam_rules_step_up(c->node, c->now, &q);
	if (!iam_rules_ask(&q, room, ask))
		return c->op->kind == AG_KIND_POLICY ||
		    c->op->kind == AG_KIND_ANY ||
		    c->op->executor == AG_ROLE_APPROVALS ? AG_OK :
		    AG_GENERAL_FAILURE;
	*out = ask;
	return AG_OK;
}

/* @timeout counts from when the request was received. */
static ag_err
shorten(struct call *c, const struct ag_rules_answer *a)
{
	uint64_t due = c->rq->received_us / 1000 + a->timeout_ms;

	if (a->timeout_ms == 0 || (c->grant.deadline_ms != 0 &&
	    due >= c->grant.deadline_ms))
		return AG_OK;
	c->grant.deadline_ms = due;
	c->grant.has_short_deadline = c->grant.short_deadline = true;
	if (c->mono <= due)
		return AG_OK;
	ag_refuse_rule(c->ctx, a->timeout_rule);
	return REFUSE(c, AG_DEADLINE_EXCEEDED, "constraint_timeout", NULL,
	    "The policy %s lets this take %u ms.", a->timeout_rule,
	    a->timeout_ms);
}

ag_err
iam_check_policies(struct call *c)
{
	struct iam_tenant *tenant = c->node->tenant;
	const struct ag_rules *rules;
	struct ag_rules_answer answer = { .decision = AG_RULES_DENY };
	struct ag_rules_ask *ask;
	ag_err err;

	if (tenant->book == NULL || c->free)
		return AG_OK;
	if ((err = iam_rules_about(c, &ask)) != AG_OK || ask == NULL)
		return err;
	rules = iam_rules_of(c->iam, c->ctx, tenant);
	iam_rules_agreed(c->iam, c->node, resource_name(c), ask);
	iam_rules_recent(c->iam, rules, c->node, resource_name(c), true, ask);
	iam_rules_under_way(c->iam, c->ctx, rules, c->node, resource_name(c), ask);
	c->counted = rules != NULL && ag_rules_wants_recent(rules) ? ask : NULL;
	c->tracked = rules != NULL && ag_rules_wants_under_way(rules) ? ask :
	    NULL;
	if (rules != NULL)
		ag_rules_decide(rules, ask, c->iam->rules_scratch, &answer);
	ag_metric_add(c->ctx, IAM_M_RULED, 1);
	if (answer.said.failure_count > 0)
		ag_metric_add(c->ctx, IAM_M_RULES_FAILED,
		    answer.said.failure_count);
	if (!said(c, rules, ask, &answer))
		return AG_NO_MEMORY;
	if (answer.decision == AG_RULES_DENY)
		return denied(c, ask, &answer);
	c->wants_step_up = answer.step_up;
	if (answer.max_ttl_s > 0) {
		c->grant.has_max_ttl_s = true;
		c->grant.max_ttl_s = answer.max_ttl_s;
		c->grant.max_ttl_rule = (char *)answer.max_ttl_rule;
	}
	if ((err = shorten(c, &answer)) != AG_OK)
		return err;
	return iam_needs_ruled(c, &answer);
}

ag_err
iam_check_wanted(struct call *c)
{
	if (!c->wants_step_up || c->grant.step_up != NULL)
		return AG_OK;
	ag_refuse_rule(c->ctx, c->grant.policy != NULL ? c->grant.policy->rule :
	    "approvals.second_factor");
	return iam_step_up_asked(c);
}

ag_err
iam_rules_stand(struct iam *iam, struct ag_ctx *ctx,
    const struct iam_node *node, const Ag__StandingAsk *said)
{
	struct iam_tenant *tenant = node->tenant;
	struct iam_rules_query q = { .node = node, .now = ag_now_ms(ctx),
		.op = ag_operation_find((uint16_t)said->operation),
		.source = said->source_address, .stepped_up = said->stepped_up,
		.items = 1, .tracked = true /* as it began */ };
	struct ag_rules_answer answer = { .decision = AG_RULES_DENY };
	const struct ag_rules *rules;
	struct iam_rules_room *room;
	struct ag_rules_ask *ask;

	if (tenant->book == NULL || !said->has_operation)
		return AG_OK;
	if (q.op == NULL)
		return AG_BAD_MESSAGE;
	room = ag_alloc(ctx, sizeof(*room));
	ask = ag_alloc(ctx, sizeof(*ask));
	if (room == NULL || ask == NULL)
		return AG_NO_MEMORY;
	q.plane = plane_of(ctx, said->plane);
	q.credential_age_ms = q.now > said->credential_issued_at ?
	    q.now - said->credential_issued_at : 0;
	if (!iam_rules_ask(&q, room, ask))
		return AG_OK;
	rules = iam_rules_of(iam, ctx, tenant);
	if (rules != NULL)
		ag_rules_decide(rules, ask, iam->rules_scratch, &answer);
	if (answer.decision == AG_RULES_DENY ||
	    (answer.decision == AG_RULES_STEP_UP && !q.stepped_up))
		return ag_refuse(ctx, AG_PERMISSION_DENIED, "no_matching_rule", NULL,
		    "The policies no longer permit %s.", ask->action);
	return AG_OK;
}
