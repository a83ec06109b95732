/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What would be decided, without doing it: the checks of the station that are
 * about rights (standing, networks, people only, scope, policies), asked for
 * anybody of the tenant. Rates, risk and the state of keys are not foretold.
 */
#include "access.h"
#include "authz.h"
#include "ended.h"
#include "exec.h"
#include "handlers.h"
#include "reach.h"
#include "rulebook.h"
#include "ruling.h"

#include <stdio.h>
#include <string.h>

enum { BULK_MAX = 100 };

/* ------------------------------------------------------------- the opinion */

static bool
no(struct opinion *out, const char *reason_code, const char *rule)
{
	out->decision = AG_RULES_DENY;
	out->reason_code = reason_code;
	out->rule = rule;
	return false;
}

static bool
may_without_scope(const struct question *q)
{
	unsigned flags = q->op->flags;

	if (q->op->kind == AG_KIND_ANY)
		return true;
	if (q->subject == NULL)
		return false;
	return ((flags & AG_OP_SELF) != 0 && q->subject == q->node) ||
	    ((flags & AG_OP_BELOW) != 0 && iam_is_below(q->subject, q->node));
}

static bool
is_near(const struct question *q)
{
	for (const struct iam_node *n = q->node; n != NULL; n = n->parent) {
		unsigned i = 0;

		while (i < n->cidr_count &&
		    !iam_cidr_has(&n->cidrs[i], q->rules.source))
			i++;
		if (n->cidr_count > 0 && i == n->cidr_count)
			return false;
	}
	return true;
}

static bool
scope_says(const struct question *q, struct opinion *out)
{
	struct iam_query s = { .how = IAM_Q_MATCH,
		.kind = (enum ag_scope_kind)q->op->kind, .op = q->op->op,
		.target = q->found ? &q->target : NULL, .trail = &out->trail };
	enum iam_reach reach;

	if (q->op->type == AG_MSG_AGENT_ISSUE && q->node->parent != NULL)
		return q->node->max_depth > 0 ||
		    no(out, "delegate_not_allowed", "scopes");
	if ((q->op->flags & AG_OP_ALL) == 0 && !q->found) {
		s.how = IAM_Q_NAME;
		s.selector = q->rules.selector;
	}
	reach = iam_reach(q->node, q->token, q->now, &s);
	if (reach != IAM_HAS)
		return no(out, reach == IAM_OWN_MISSING ? "scope_missing" :
		    "parent_scope_missing", "scopes");
	/* Who may not see honey keys takes them for ordinary ones. */
	if (q->key != NULL && q->key->honey && q->sees_honey &&
	    !iam_holds(q->node, q->token, q->now, AG_SCOPE_SYSTEM, "honey", NULL))
		return no(out, "scope_missing", "scopes");
	return true;
}

static bool
floor_says(const struct iam *iam, const struct question *q, struct opinion *out)
{
	if (iam_standing(q->node, q->now) != IAM_STANDS)
		return no(out, "parent_inactive", "standing");
	if (q->rules.source != NULL && !is_near(q))
		return no(out, "source_address", "networks");
	if ((q->op->flags & AG_OP_PEOPLE) != 0 && q->node->parent != NULL)
		return no(out, "not_for_agents", "people");
	if (may_without_scope(q))
		return true;
	return scope_says(q, out) && (!iam_ends(iam, q->op) ||
	    iam_may_end(q->node, q->token, q->now) ||
	    no(out, "break_glass_scope_missing", "break-glass"));
}

/* Asked last, as at the station. */
static void
hours_say(struct iam *iam, const struct question *q, struct opinion *out)
{
	if (out->decision != AG_RULES_DENY && !iam_hours_open(iam, q->key,
	    q->op->operation, q->rules.now))
		(void)no(out, "outside_allowed_window", AG_HOURS_LABEL);
	if (out->decision != AG_RULES_DENY && q->rules.source != NULL &&
	    !iam_resides(iam, q->key, q->op->operation, q->rules.source))
		(void)no(out, "residency_violation", "residency");
}

static const char *
about_id(const struct question *q)
{
	return q->key != NULL ? q->key->id : q->subject != NULL ?
	    q->subject->id : q->rules.selector;
}

static void
form(struct iam *iam, struct ag_ctx *ctx, const struct question *q,
    struct opinion *out)
{
	struct iam_tenant *tenant = q->node->tenant;

	memset(out, 0, sizeof(*out));
	out->decision = AG_RULES_ALLOW;
	if (!floor_says(iam, q, out) || tenant->book == NULL || may_without_scope(q))
		return;
	if (!iam_rules_ask(&q->rules, &out->room, &out->ask))
		return; /* about policies themselves */
	out->asked = true;
	out->answer.decision = AG_RULES_DENY;
	out->set = iam_rules_of(iam, ctx, tenant);
	if (!q->rules.has_since_approval)
		iam_rules_agreed(iam, q->node, about_id(q), &out->ask);
	if (!q->rules.has_recent)
		iam_rules_recent(iam, out->set, q->node, about_id(q), false,
		    &out->ask);
	if (!q->rules.has_under_way)
		iam_rules_under_way(iam, ctx, out->set, q->node, about_id(q),
		    &out->ask);
	if (out->set != NULL)
		ag_rules_decide(out->set, &out->ask, iam->rules_scratch,
		    &out->answer);
	out->decision = out->answer.decision;
	out->rule = out->answer.rule;
	if (out->decision != AG_RULES_DENY)
		return;
	out->reason_code = out->set == NULL ? "no_matching_rule" :
	    out->answer.reason_code;
	if (out->rule == NULL)
		out->rule = "default-deny";
}

void
iam_opinion_form(struct iam *iam, struct ag_ctx *ctx, const struct question *q,
    struct opinion *out)
{
	form(iam, ctx, q, out);
	hours_say(iam, q, out);
}

/* ------------------------------------------------------------ the question */

static bool
bad(struct trouble *t, const char *reason_code, const char *field,
    const char *detail)
{
	*t = (struct trouble){ reason_code, field, detail };
	return false;
}

static void
about(struct iam *iam, struct ag_ctx *ctx, struct question *q,
    const char *selector)
{
	const struct iam_tenant *tenant = q->node->tenant;
	struct iam_node *node = NULL;

	if (q->op->kind == AG_KIND_KEY) {
		q->key = iam_key_find(iam, tenant, selector);
		if (q->key != NULL)
			q->target = q->key->target;
		q->found = q->key != NULL;
		return;
	}
	if (q->op->kind == AG_KIND_AGENT)
		node = iam_agent_recall(iam, ctx, tenant, selector);
	else if (q->op->kind == AG_KIND_PRINCIPAL)
		node = iam_principal_find(iam, tenant, selector);
	if (node == NULL)
		return;
	q->found = true;
	q->subject = node;
	q->target.id = node->id;
	q->target.alias = node->parent == NULL ? node->name : NULL;
}

static bool
resource_of(struct iam *iam, struct ag_ctx *ctx, struct question *q,
    const char *resource, struct trouble *t)
{
	bool wants = (q->op->flags & AG_OP_ALL) == 0 && q->op->kind != AG_KIND_ANY;

	if (!wants && resource != NULL)
		return bad(t, "conflicting_fields", "/resource",
		    "This action is about no single thing.");
	if (wants && resource == NULL)
		return bad(t, "missing", "/resource",
		    "This action is about something: say its id, alias or name.");
	if (!wants)
		return true;
	if (*resource == '\0' || strlen(resource) > AG_NAME_MAX)
		return bad(t, "out_of_range", "/resource",
		    "An id, alias or name has 1 to 63 characters.");
	about(iam, ctx, q, resource);
	return true;
}

static bool
principal_of(struct iam *iam, struct ag_ctx *ctx,
    const struct iam_caller *caller, const char *name, struct question *q,
    struct trouble *t)
{
	q->node = caller->node;
	q->token = caller->token;
	if (name == NULL)
		return true;
	q->token = NULL;
	q->node = strlen(name) > AG_NAME_MAX ? NULL :
	    iam_principal_find(iam, caller->tenant, name);
	if (q->node == NULL && ag_id_valid(name, "agt"))
		q->node = iam_agent_recall(iam, ctx, caller->tenant, name);
	return q->node != NULL || bad(t, "unknown_value", "/principal",
	    "There is no such principal or agent; agents go by their id.");
}

/* What is not said is as of a first request. */
static void
recent_of(const Ag__AuthzRecent *said, struct iam_rules_query *out)
{
	int64_t n = out->items;

	out->has_recent = true;
	out->recent = (struct ag_rules_recent){
		said->has_second ? said->second : n,
		said->has_minute ? said->minute : n,
		said->has_hour ? said->hour : n, said->has_day ? said->day : n,
		said->has_keys_hour ? said->keys_hour : 1,
		said->has_keys_day ? said->keys_day : 1 };
}

void
iam_question_context(struct ag_ctx *ctx, const struct iam_caller *caller,
    const Ag__AuthzContext *said, struct iam_rules_query *out)
{
	const Ag__Grant *grant = ag_grant(ctx);
	static const Ag__AuthzContext nothing = AG__AUTHZ_CONTEXT__INIT;

	if (said == NULL)
		said = &nothing;
	out->now = said->has_occurred_at ? said->occurred_at : caller->now;
	out->source = said->source_address != NULL ? said->source_address :
	    grant->source_address;
	out->plane = said->plane != NULL ? said->plane : "rest";
	out->credential_age_ms = said->has_credential_age_s ?
	    (int64_t)said->credential_age_s * 1000 :
	    caller->now - grant->credential_issued_at;
	out->stepped_up = said->has_stepped_up && said->stepped_up;
	out->items = said->has_items ? said->items : 1;
	if (said->recent != NULL)
		recent_of(said->recent, out);
	out->bytes = said->has_bytes ? said->bytes : 0;
	out->tracked = !said->has_tracked || said->tracked;
	out->has_under_way = said->has_under_way;
	out->under_way = said->under_way;
	if (said->has_since_step_up_s) {
		out->has_since_step_up = true;
		out->since_step_up_ms = (int64_t)said->since_step_up_s * 1000;
	}
	if (said->has_since_approval_s) {
		out->has_since_approval = true;
		out->since_approval_ms = (int64_t)said->since_approval_s * 1000;
	}
}

bool
iam_question_of(struct iam *iam, struct ag_ctx *ctx,
    const struct iam_caller *caller, const Ag__AuthzCheckAsk *ask,
    struct question *q, struct trouble *t)
{
	memset(q, 0, sizeof(*q));
	q->now = caller->now;
	q->op = ag_operation_named(ask->action);
	if (q->op == NULL || (q->op->flags & AG_OP_EITEM) != 0)
		return bad(t, "unknown_value", "/action", "An action is an "
		    "operation, such as key.sign; a batch is its items'.");
	if (!principal_of(iam, ctx, caller, ask->principal, q, t) ||
	    !resource_of(iam, ctx, q, ask->resource, t))
		return false;
	q->sees_honey = iam_holds(caller->node, caller->token, caller->now,
	    AG_SCOPE_SYSTEM, "honey", NULL);
	iam_question_context(ctx, caller, ask->context, &q->rules);
	q->rules.node = q->node;
	q->rules.op = q->op;
	q->rules.key = q->key;
	q->rules.subject = q->subject;
	q->rules.selector = ask->resource == NULL ? "" : ask->resource;
	if (!q->rules.has_since_step_up)
		iam_rules_step_up(q->node, q->rules.now, &q->rules);
	return true;
}

/* --------------------------------------------------------------- the words */

ag_err
iam_opinion_say(struct ag_ctx *ctx, const struct iam_tenant *tenant,
    const struct opinion *o, Ag__AuthzCheckReply *out)
{
	const struct ag_cedar_answer *said = &o->answer.said;

	ag__authz_check_reply__init(out);
	out->allowed = o->decision == AG_RULES_ALLOW;
	out->decision = (char *)ag_rules_decision_name(o->decision);
	out->reason_code = (char *)o->reason_code;
	out->rule = (char *)o->rule;
	if (!o->asked)
		return AG_OK;
	out->has_timeout_ms = o->answer.timeout_ms > 0;
	out->timeout_ms = o->answer.timeout_ms;
	out->has_max_ttl_s = o->answer.max_ttl_s > 0;
	out->max_ttl_s = o->answer.max_ttl_s;
	out->policy_version = ag_printf(ctx, "%llu",
	    (unsigned long long)tenant->book->version);
	out->reasons = iam_array(ctx, said->reason_count);
	out->errors = iam_array(ctx, said->failure_count);
	if (out->policy_version == NULL || out->reasons == NULL ||
	    out->errors == NULL)
		return AG_NO_MEMORY;
	for (size_t i = 0; i < said->reason_count; i++)
		out->reasons[out->n_reasons++] =
		    (char *)ag_rules_name(o->set, said->reasons[i]);
	for (size_t i = 0; i < said->failure_count; i++) {
		const struct ag_cedar_failure *f = &said->failures[i];

		out->errors[i] = ag_printf(ctx, "%s: %s at %u:%u",
		    ag_rules_name(o->set, f->policy),
		    ag_cedar_fault_name(f->fault), f->line, f->column);
		if (out->errors[i] == NULL)
			return AG_NO_MEMORY;
		out->n_errors++;
	}
	return AG_OK;
}

ag_err
iam_opinion_asked(void *state, struct ag_ctx *ctx, const void *msg,
    struct iam_caller *caller, struct question *q, struct opinion **o)
{
	struct trouble t;
	ag_err err;

	if ((*o = ag_alloc(ctx, sizeof(**o))) == NULL)
		return AG_NO_MEMORY;
	if ((err = iam_caller(state, ctx, caller)) != AG_OK)
		return err;
	if (!iam_question_of(state, ctx, caller, msg, q, &t))
		return ag_refuse(ctx, AG_INVALID_FIELD, t.reason_code, t.field,
		    "%s", t.detail);
	iam_opinion_form(state, ctx, q, *o);
	return AG_OK;
}

ag_err
iam_on_authz_check(void *state, struct ag_ctx *ctx, const void *msg)
{
	Ag__AuthzCheckReply reply;
	struct iam_caller caller;
	struct question q;
	struct opinion *o;
	ag_err err = iam_opinion_asked(state, ctx, msg, &caller, &q, &o);

	if (err == AG_OK)
		err = iam_opinion_say(ctx, caller.tenant, o, &reply);
	return err != AG_OK ? err : ag_reply(ctx, AG_MSG_AUTHZ_CHECK, &reply);
}

/* Each stands for itself: a bad one is an error in its place. */
static ag_err
bulk_item(struct iam *iam, struct ag_ctx *ctx, const struct iam_caller *caller,
    const Ag__AuthzCheckAsk *ask, struct opinion *o, Ag__AuthzBulkItem *item)
{
	struct trouble t;
	struct question q;

	ag__authz_bulk_item__init(item);
	if (iam_question_of(iam, ctx, caller, ask, &q, &t)) {
		item->result = ag_alloc(ctx, sizeof(*item->result));
		if (item->result == NULL)
			return AG_NO_MEMORY;
		iam_opinion_form(iam, ctx, &q, o);
		return iam_opinion_say(ctx, caller->tenant, o, item->result);
	}
	if ((item->error = ag_alloc(ctx, sizeof(*item->error))) == NULL)
		return AG_NO_MEMORY;
	ag__authz_error__init(item->error);
	item->error->code = (char *)ag_err_row(AG_INVALID_FIELD)->code;
	item->error->reason_code = (char *)t.reason_code;
	item->error->field = (char *)t.field;
	item->error->detail = (char *)t.detail;
	return AG_OK;
}

ag_err
iam_on_authz_bulk(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__AuthzBulkAsk *ask = msg;
	Ag__AuthzBulkReply reply = AG__AUTHZ_BULK_REPLY__INIT;
	Ag__AuthzBulkItem *items;
	struct opinion *o;
	struct iam_caller caller;
	uint32_t failed = 0;
	ag_err err;

	if (ask->n_items == 0 || ask->n_items > BULK_MAX)
		return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range", "/items",
		    "1 to %d questions.", BULK_MAX);
	if ((err = iam_caller(state, ctx, &caller)) != AG_OK)
		return err;
	items = ag_alloc(ctx, ask->n_items * sizeof(*items));
	reply.items = iam_array(ctx, ask->n_items);
	o = ag_alloc(ctx, sizeof(*o));
	if (items == NULL || reply.items == NULL || o == NULL)
		return AG_NO_MEMORY;
	for (size_t i = 0; i < ask->n_items; i++) {
		if ((err = bulk_item(state, ctx, &caller, ask->items[i], o,
		    &items[i])) != AG_OK)
			return err;
		failed += items[i].error != NULL;
		reply.items[reply.n_items++] = &items[i];
	}
	ag_note_items(ctx, (uint32_t)ask->n_items, failed);
	return ag_reply(ctx, AG_MSG_AUTHZ_BULK, &reply);
}
