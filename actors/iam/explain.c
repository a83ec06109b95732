/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why something would be decided as it would (which scope of the chain, which
 * policy, from which attributes), and all that somebody may do now.
 */
#include "authz.h"
#include "exec.h"
#include "handlers.h"
#include "reach.h"

#include <string.h>

enum {
	EFFECTIVE_MAX = 100,     /* keys of a page */
	LOOKED_AT_MAX = 20000,   /* keys of all tenants, for a page */
	ATTRIBUTES_MAX = 64,
};

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

/* One that has no value is left out. */
static bool
attribute(struct ag_ctx *ctx, Ag__AuthzExplainReply *reply, const char *name,
    const char *value)
{
	Ag__Pair *pair;

	if (value == NULL || reply->n_attributes == ATTRIBUTES_MAX)
		return true;
	if (name == NULL || (pair = ag_alloc(ctx, sizeof(*pair))) == NULL)
		return false;
	ag__pair__init(pair);
	pair->key = (char *)name;
	pair->value = (char *)value;
	reply->attributes[reply->n_attributes++] = pair;
	return true;
}

/* A value that is made in the turn's memory; NULL: there was none. */
static bool
made(struct ag_ctx *ctx, Ag__AuthzExplainReply *reply, const char *name,
    const char *value)
{
	return value != NULL && attribute(ctx, reply, name, value);
}

static bool
explain_recent(struct ag_ctx *ctx, const struct ag_rules_recent *recent,
    Ag__AuthzExplainReply *reply)
{
	const struct {
		const char *name;
		int64_t count;
	} rows[] = { { "second", recent->second }, { "minute", recent->minute },
		{ "hour", recent->hour }, { "day", recent->day },
		{ "keys_hour", recent->keys_hour },
		{ "keys_day", recent->keys_day } };
	bool said = true;

	for (size_t i = 0; said && i < sizeof(rows) / sizeof(rows[0]); i++)
		said = attribute(ctx, reply, ag_printf(ctx, "context.recent.%s",
		    rows[i].name), ag_printf(ctx, "%lld",
		    (long long)rows[i].count));
	return said;
}

static bool
explain_attributes(struct ag_ctx *ctx, const struct opinion *o,
    Ag__AuthzExplainReply *reply)
{
	const struct ag_rules_ask *ask = &o->ask;
	const struct ag_rules_party *p = &ask->principal;
	const struct ag_rules_resource *r = &ask->resource;
	bool said = true;

	for (size_t i = 0; said && i < p->count; i++)
		said = attribute(ctx, reply, i == 0 ? "principal" :
		    ag_printf(ctx, "principal in %zu", i), p->links[i].kind ==
		    AG_RULES_AGENT ? p->links[i].id : p->links[i].name);
	for (size_t i = 0; said && i < p->role_count; i++)
		said = attribute(ctx, reply, ag_printf(ctx, "role %zu", i),
		    p->roles[i]);
	said = said &&
	    attribute(ctx, reply, "principal.label", p->links[0].kind ==
	    AG_RULES_AGENT ? p->links[0].name : NULL) &&
	    attribute(ctx, reply, "principal.model", p->links[0].model) &&
	    attribute(ctx, reply, "action", ask->action) &&
	    attribute(ctx, reply, "resource.id", r->id) &&
	    attribute(ctx, reply, "resource.alias", r->name) &&
	    attribute(ctx, reply, "resource.spec", r->spec) &&
	    attribute(ctx, reply, "resource.state", r->state) &&
	    attribute(ctx, reply, "resource.backend", r->backend);
	for (size_t i = 0; said && i < r->label_count; i++)
		said = attribute(ctx, reply, ag_printf(ctx, "resource tag %s",
		    r->labels[i].key), r->labels[i].value);
	if (o->set != NULL && ag_rules_wants_recent(o->set))
		said = said && explain_recent(ctx, &ask->recent, reply);
	if (o->set != NULL && ag_rules_wants_under_way(o->set))
		said = said && made(ctx, reply, "context.under_way",
		    ag_printf(ctx, "%lld", (long long)ask->under_way));
	if (ask->has_since_step_up)
		said = said && made(ctx, reply, "context.since_step_up",
		    ag_printf(ctx, "%lldms", (long long)ask->since_step_up_ms));
	if (ask->has_since_approval)
		said = said && made(ctx, reply, "context.since_approval",
		    ag_printf(ctx, "%lldms", (long long)ask->since_approval_ms));
	return said &&
	    made(ctx, reply, "context.at", ag_printf(ctx, "%lld",
	    (long long)ask->at_ms)) &&
	    attribute(ctx, reply, "context.source", ask->source == NULL ? "::" :
	    ask->source) &&
	    attribute(ctx, reply, "context.plane", ask->plane) &&
	    made(ctx, reply, "context.credential_age", ag_printf(ctx, "%lldms",
	    (long long)ask->credential_age_ms)) &&
	    attribute(ctx, reply, "context.stepped_up", ask->stepped_up ? "true" :
	    "false") &&
	    attribute(ctx, reply, "credential.tracked", ask->tracked ? "true" :
	    "false") &&
	    made(ctx, reply, "context.items", ag_printf(ctx, "%u", ask->items)) &&
	    made(ctx, reply, "context.bytes", ag_printf(ctx, "%lld",
	    (long long)ask->bytes));
}

ag_err
iam_on_authz_explain(void *state, struct ag_ctx *ctx, const void *msg)
{
	Ag__AuthzExplainReply reply = AG__AUTHZ_EXPLAIN_REPLY__INIT;
	Ag__AuthzCheckReply result;
	struct iam_caller caller;
	struct question q;
	struct opinion *o;
	ag_err err = iam_opinion_asked(state, ctx, msg, &caller, &q, &o);

	if (err != AG_OK)
		return err;
	reply.result = &result;
	reply.attributes = iam_array(ctx, ATTRIBUTES_MAX);
	if (reply.attributes == NULL)
		return AG_NO_MEMORY;
	if ((err = iam_opinion_say(ctx, caller.tenant, o, &result)) != AG_OK ||
	    (err = explain_scopes(ctx, &q, o, &reply)) != AG_OK ||
	    (err = explain_policies(ctx, o, &reply)) != AG_OK)
		return err;
	if (o->asked && !explain_attributes(ctx, o, &reply))
		return AG_NO_MEMORY;
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
	item->require_approval = iam_array(e->ctx, count);
	if (item->allow == NULL || item->step_up == NULL ||
	    item->require_approval == NULL)
		return AG_NO_MEMORY;
	for (unsigned i = 0; (op = ag_operation_at(i)) != NULL; i++) {
		bool all = (op->flags & AG_OP_ALL) != 0;

		if (op->kind == AG_KIND_ANY || (op->flags & AG_OP_EITEM) != 0 ||
		    all != tenant || (!all && op->kind != AG_KIND_KEY))
			continue;
		e->q.op = e->q.rules.op = op;
		iam_opinion_form(e->iam, e->ctx, &e->q, e->opinion);
		if (e->opinion->decision == AG_RULES_ALLOW)
			item->allow[item->n_allow++] = (char *)op->operation;
		else if (e->opinion->decision == AG_RULES_STEP_UP)
			item->step_up[item->n_step_up++] = (char *)op->operation;
		else if (e->opinion->decision == AG_RULES_APPROVAL)
			item->require_approval[item->n_require_approval++] =
			    (char *)op->operation;
	}
	if (item->n_allow + item->n_step_up + item->n_require_approval > 0)
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
	iam_question_context(ctx, &caller, &here, &e.q.rules);
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
