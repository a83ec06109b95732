/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What would be decided, without doing it: the checks of the station that are
 * about rights (standing, networks, people only, scope, policies), asked for
 * anybody of the tenant. Rates, risk and the state of keys are not foretold.
 */
#include "iam.h"

#include <stdio.h>
#include <string.h>

enum {
	BULK_MAX = 100,
	EFFECTIVE_MAX = 100,     /* keys of a page */
	LOOKED_AT_MAX = 20000,   /* keys of all tenants, for a page */
	ATTRIBUTES_MAX = 48,
};

/* A question, with all names resolved. */
struct question {
	struct iam_node *node;
	const struct iam_token *token; /* the caller's own; else NULL */
	const struct ag_operation *op;
	const struct iam_key *key;
	const struct iam_node *subject;
	struct ag_scope_target target;
	bool found;
	struct iam_rules_query rules;
	int64_t now;
	bool sees_honey;
};

/* The answer: what is refused, by what, or what policies said. */
struct opinion {
	enum ag_rules_decision decision;
	const char *reason_code, *rule;
	bool asked; /* policies were */
	struct iam_trail trail;
	struct iam_rules_room room;
	struct ag_rules_ask ask;
	struct ag_rules_answer answer; /* good until the next decision */
	const struct ag_rules *set;
};

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
floor_says(const struct question *q, struct opinion *out)
{
	if (iam_standing(q->node, q->now) != IAM_STANDS)
		return no(out, "parent_inactive", "standing");
	if (q->rules.source != NULL && !is_near(q))
		return no(out, "source_address", "networks");
	if ((q->op->flags & AG_OP_PEOPLE) != 0 && q->node->parent != NULL)
		return no(out, "not_for_agents", "people");
	return may_without_scope(q) || scope_says(q, out);
}

static void
form_opinion(struct iam *iam, struct ag_ctx *ctx, const struct question *q,
    struct opinion *out)
{
	struct iam_tenant *tenant = q->node->tenant;

	memset(out, 0, sizeof(*out));
	out->decision = AG_RULES_ALLOW;
	if (!floor_says(q, out) || tenant->book == NULL || may_without_scope(q))
		return;
	if (!iam_rules_ask(&q->rules, &out->room, &out->ask))
		return; /* about policies themselves */
	out->asked = true;
	out->answer.decision = AG_RULES_DENY;
	if ((out->set = iam_rules_of(iam, ctx, tenant)) != NULL)
		ag_rules_decide(out->set, &out->ask, iam->rules_scratch,
		    &out->answer);
	out->decision = out->answer.decision;
	out->rule = out->answer.rule;
	if (out->decision != AG_RULES_DENY)
		return;
	out->reason_code = "no_matching_rule";
	if (out->rule == NULL)
		out->rule = "default-deny";
}

/* ------------------------------------------------------------ the question */

/* Why a question cannot be answered. */
struct trouble {
	const char *reason_code, *field, *detail;
};

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

static void
context_of(struct ag_ctx *ctx, const struct iam_caller *caller,
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
}

static bool
question_of(struct iam *iam, struct ag_ctx *ctx,
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
	context_of(ctx, caller, ask->context, &q->rules);
	q->rules.node = q->node;
	q->rules.op = q->op;
	q->rules.key = q->key;
	q->rules.subject = q->subject;
	q->rules.selector = ask->resource == NULL ? "" : ask->resource;
	return true;
}

/* --------------------------------------------------------------- the words */

static ag_err
say(struct ag_ctx *ctx, const struct iam_tenant *tenant,
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
iam_on_authz_check(void *state, struct ag_ctx *ctx, const void *msg)
{
	Ag__AuthzCheckReply reply;
	struct iam_caller caller;
	struct question q;
	struct opinion *o = ag_alloc(ctx, sizeof(*o));
	struct trouble t;
	ag_err err;

	if (o == NULL)
		return AG_NO_MEMORY;
	if ((err = iam_caller(state, ctx, &caller)) != AG_OK)
		return err;
	if (!question_of(state, ctx, &caller, msg, &q, &t))
		return ag_refuse(ctx, AG_INVALID_FIELD, t.reason_code, t.field,
		    "%s", t.detail);
	form_opinion(state, ctx, &q, o);
	err = say(ctx, caller.tenant, o, &reply);
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
	if (question_of(iam, ctx, caller, ask, &q, &t)) {
		item->result = ag_alloc(ctx, sizeof(*item->result));
		if (item->result == NULL)
			return AG_NO_MEMORY;
		form_opinion(iam, ctx, &q, o);
		return say(ctx, caller->tenant, o, item->result);
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

/* ----------------------------------------------------------------- explain */

static ag_err
explain_scopes(struct ag_ctx *ctx, const struct question *q,
    const struct opinion *o, Ag__AuthzExplainReply *reply)
{
	const struct iam_node *node = q->node;
	size_t by = 0;

	reply->scopes = iam_array(ctx, q->node->chain_len);
	if (reply->scopes == NULL)
		return AG_NO_MEMORY;
	for (; node != NULL && o->trail.count + (o->trail.refused_by != NULL) > 0;
	    node = node->parent) {
		Ag__AuthzScope *s = ag_alloc(ctx, sizeof(*s));

		if (s == NULL)
			return AG_NO_MEMORY;
		ag__authz_scope__init(s);
		s->id = (char *)node->id;
		s->kind = (char *)ag_enum_name(&ag__kind__v__descriptor,
		    node->kind);
		s->name = node->name;
		if (node != o->trail.refused_by && by < o->trail.count)
			s->scope = (char *)o->trail.by[by++]->text;
		if (by == 1 && o->trail.narrowed && by < o->trail.count)
			s->scope = (char *)o->trail.by[by++]->text;
		reply->scopes[reply->n_scopes++] = s;
		if (node == o->trail.refused_by)
			break;
	}
	return AG_OK;
}

static Ag__AuthzPolicy *
explain_policy(struct ag_ctx *ctx, const struct opinion *o, uint32_t at,
    const char *said)
{
	Ag__AuthzPolicy *p = ag_alloc(ctx, sizeof(*p));
	const char *reason;
	bool forbid;

	if (p == NULL)
		return NULL;
	ag__authz_policy__init(p);
	ag_rules_place(o->set, at, &forbid, &reason, &p->line, &p->column);
	p->rule = (char *)ag_rules_name(o->set, at);
	p->effect = (char *)(forbid ? "forbid" : "permit");
	p->said = (char *)said;
	p->reason = (char *)reason;
	return p;
}

static ag_err
explain_policies(struct ag_ctx *ctx, const struct opinion *o,
    Ag__AuthzExplainReply *reply)
{
	const struct ag_cedar_answer *said = &o->answer.said;
	size_t n = 0;

	reply->policies = iam_array(ctx, said->reason_count +
	    said->failure_count);
	if (reply->policies == NULL)
		return AG_NO_MEMORY;
	for (size_t i = 0; i < said->reason_count; i++, n++)
		if ((reply->policies[n] = explain_policy(ctx, o,
		    said->reasons[i], "decided")) == NULL)
			return AG_NO_MEMORY;
	for (size_t i = 0; i < said->failure_count; i++, n++) {
		const struct ag_cedar_failure *f = &said->failures[i];

		if ((reply->policies[n] = explain_policy(ctx, o, f->policy,
		    "failed")) == NULL)
			return AG_NO_MEMORY;
		reply->policies[n]->detail = ag_printf(ctx, "%s at %u:%u",
		    ag_cedar_fault_name(f->fault), f->line, f->column);
	}
	reply->n_policies = n;
	return AG_OK;
}

static void
attribute(struct ag_ctx *ctx, Ag__AuthzExplainReply *reply, const char *name,
    const char *value)
{
	Ag__Pair *pair = ag_alloc(ctx, sizeof(*pair));

	if (pair == NULL || value == NULL || reply->n_attributes ==
	    ATTRIBUTES_MAX)
		return;
	ag__pair__init(pair);
	pair->key = (char *)name;
	pair->value = (char *)value;
	reply->attributes[reply->n_attributes++] = pair;
}

static void
explain_attributes(struct ag_ctx *ctx, const struct ag_rules_ask *ask,
    Ag__AuthzExplainReply *reply)
{
	const struct ag_rules_party *p = &ask->principal;
	const struct ag_rules_resource *r = &ask->resource;

	for (size_t i = 0; i < p->count; i++)
		attribute(ctx, reply, i == 0 ? "principal" : ag_printf(ctx,
		    "principal in %zu", i), p->links[i].kind == AG_RULES_AGENT ?
		    p->links[i].id : p->links[i].name);
	for (size_t i = 0; i < p->role_count; i++)
		attribute(ctx, reply, ag_printf(ctx, "role %zu", i), p->roles[i]);
	attribute(ctx, reply, "principal.label", p->links[0].kind ==
	    AG_RULES_AGENT ? p->links[0].name : NULL);
	attribute(ctx, reply, "principal.model", p->links[0].model);
	attribute(ctx, reply, "action", ask->action);
	attribute(ctx, reply, "resource.id", r->id);
	attribute(ctx, reply, "resource.alias", r->name);
	attribute(ctx, reply, "resource.spec", r->spec);
	for (size_t i = 0; i < r->label_count; i++)
		attribute(ctx, reply, ag_printf(ctx, "resource tag %s",
		    r->labels[i].key), r->labels[i].value);
	attribute(ctx, reply, "context.at", ag_printf(ctx, "%lld",
	    (long long)ask->at_ms));
	attribute(ctx, reply, "context.source", ask->source == NULL ? "::" :
	    ask->source);
	attribute(ctx, reply, "context.plane", ask->plane);
	attribute(ctx, reply, "context.credential_age", ag_printf(ctx, "%lldms",
	    (long long)ask->credential_age_ms));
	attribute(ctx, reply, "context.stepped_up", ask->stepped_up ? "true" :
	    "false");
	attribute(ctx, reply, "context.items", ag_printf(ctx, "%u", ask->items));
}

ag_err
iam_on_authz_explain(void *state, struct ag_ctx *ctx, const void *msg)
{
	Ag__AuthzExplainReply reply = AG__AUTHZ_EXPLAIN_REPLY__INIT;
	Ag__AuthzCheckReply result;
	struct iam_caller caller;
	struct question q;
	struct opinion *o = ag_alloc(ctx, sizeof(*o));
	struct trouble t;
	ag_err err;

	if (o == NULL)
		return AG_NO_MEMORY;
	if ((err = iam_caller(state, ctx, &caller)) != AG_OK)
		return err;
	if (!question_of(state, ctx, &caller, msg, &q, &t))
		return ag_refuse(ctx, AG_INVALID_FIELD, t.reason_code, t.field,
		    "%s", t.detail);
	form_opinion(state, ctx, &q, o);
	reply.result = &result;
	reply.attributes = iam_array(ctx, ATTRIBUTES_MAX);
	if (reply.attributes == NULL)
		return AG_NO_MEMORY;
	if ((err = say(ctx, caller.tenant, o, &result)) != AG_OK ||
	    (err = explain_scopes(ctx, &q, o, &reply)) != AG_OK ||
	    (err = explain_policies(ctx, o, &reply)) != AG_OK)
		return err;
	if (o->asked)
		explain_attributes(ctx, &o->ask, &reply);
	return ag_reply(ctx, AG_MSG_AUTHZ_EXPLAIN, &reply);
}

/* --------------------------------------------------------------- effective */

struct effective {
	struct iam *iam;
	struct ag_ctx *ctx;
	struct question q;
	struct opinion *opinion;
	Ag__EffectiveReply *reply;
	const char *after;
	unsigned limit, looked_at;
	bool stopped;
	ag_err err;
};

/* Every operation about this thing; the item only if one is possible. */
static ag_err
effective_item(struct effective *e, bool tenant, Ag__EffectiveItem *item)
{
	const struct ag_operation *op;
	size_t count = 0;

	while (ag_operation_at((unsigned)count) != NULL)
		count++;
	item->allow = iam_array(e->ctx, count);
	item->step_up = iam_array(e->ctx, count);
	if (item->allow == NULL || item->step_up == NULL)
		return AG_NO_MEMORY;
	for (unsigned i = 0; (op = ag_operation_at(i)) != NULL; i++) {
		bool all = (op->flags & AG_OP_ALL) != 0;

		if (op->kind == AG_KIND_ANY || (op->flags & AG_OP_EITEM) != 0 ||
		    all != tenant || (!all && op->kind != AG_KIND_KEY))
			continue;
		e->q.op = e->q.rules.op = op;
		form_opinion(e->iam, e->ctx, &e->q, e->opinion);
		if (e->opinion->decision == AG_RULES_ALLOW)
			item->allow[item->n_allow++] = (char *)op->operation;
		else if (e->opinion->decision == AG_RULES_STEP_UP)
			item->step_up[item->n_step_up++] = (char *)op->operation;
	}
	if (item->n_allow + item->n_step_up > 0)
		e->reply->items[e->reply->n_items++] = item;
	return AG_OK;
}

static Ag__EffectiveItem *
item_new(struct effective *e, const char *type, const char *id,
    const char *alias)
{
	Ag__EffectiveItem *item = ag_alloc(e->ctx, sizeof(*item));

	if (item == NULL)
		return NULL;
	ag__effective_item__init(item);
	item->type = (char *)type;
	item->id = (char *)id;
	item->alias = (char *)alias;
	return item;
}

static bool
visit_key(void *arg, const uint8_t *id, size_t id_len, const uint8_t *value,
    size_t value_len)
{
	struct effective *e = arg;
	char text[AG_ID_SIZE];
	Ag__EffectiveItem *item;
	const struct iam_key *key;

	if (id_len >= sizeof(text))
		return true;
	memcpy(text, id, id_len);
	text[id_len] = '\0';
	if (e->after != NULL && strcmp(text, e->after) == 0)
		return true;
	if (e->reply->n_items >= e->limit || e->looked_at++ >= LOOKED_AT_MAX) {
		e->stopped = true;
		return false;
	}
	key = iam_key_find(e->iam, e->q.node->tenant, text);
	e->after = key != NULL ? key->id : ag_strdup(e->ctx, text);
	if (key == NULL || (key->honey && !e->q.sees_honey))
		return true;
	e->q.key = e->q.rules.key = key;
	e->q.found = true;
	e->q.target = key->target;
	item = item_new(e, "key", key->id, key->target.alias);
	e->err = item == NULL ? AG_NO_MEMORY : effective_item(e, false, item);
	return e->err == AG_OK;
}

static ag_err
effective_tenant(struct effective *e)
{
	Ag__EffectiveItem *item = item_new(e, "tenant",
	    e->q.node->tenant->name, NULL);

	return item == NULL ? AG_NO_MEMORY : effective_item(e, true, item);
}

ag_err
iam_on_effective(void *state, struct ag_ctx *ctx, const void *msg)
{
	static const Ag__AuthzContext here = AG__AUTHZ_CONTEXT__INIT;
	Ag__EffectiveReply reply = AG__EFFECTIVE_REPLY__INIT;
	struct effective e = { .iam = state, .ctx = ctx, .reply = &reply };
	const Ag__Grant *grant = ag_grant(ctx);
	struct iam_caller caller;
	struct ag_page page;
	ag_err err;

	if ((err = iam_caller(state, ctx, &caller)) != AG_OK ||
	    (err = ag_page_read(ctx, msg, &page)) != AG_OK)
		return err;
	e.q.node = grant->resource_id == NULL ? NULL : iam_principal_find(state,
	    caller.tenant, grant->resource_id);
	if (e.q.node == NULL)
		return ag_refuse(ctx, AG_ITEM_NOT_FOUND, NULL, NULL,
		    "There is no such principal.");
	e.limit = page.limit < EFFECTIVE_MAX ? page.limit : EFFECTIVE_MAX;
	e.after = iam_after(&page);
	e.opinion = ag_alloc(ctx, sizeof(*e.opinion));
	reply.items = iam_array(ctx, e.limit + 1);
	if (e.opinion == NULL || reply.items == NULL)
		return AG_NO_MEMORY;
	e.q.now = caller.now;
	e.q.sees_honey = grant->sees_honey || iam_holds(caller.node,
	    caller.token, caller.now, AG_SCOPE_SYSTEM, "honey", NULL);
	context_of(ctx, &caller, &here, &e.q.rules);
	e.q.rules.node = e.q.node;
	e.q.rules.selector = "";
	if (e.after == NULL && (err = effective_tenant(&e)) != AG_OK)
		return err;
	err = ag_store_scan(ctx, IAM_T_KEYS, e.after, e.after == NULL ? 0 :
	    strlen(e.after), visit_key, &e);
	if (err == AG_OK)
		err = e.err;
	if (err == AG_OK && e.stopped && e.after != NULL)
		reply.next_cursor = iam_cursor(ctx, &page, e.after);
	return err != AG_OK ? err : ag_reply(ctx, AG_MSG_EFFECTIVE, &reply);
}
