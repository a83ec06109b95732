/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Issuing an agent: what it asks for must be within what its parent holds now,
 * and within what the caller holds, so that nobody issues their way up.
 */
#include "credentials.h"
#include "ended.h"
#include "exec.h"
#include "handlers.h"
#include "iam.h"
#include "reach.h"

#include <stdio.h>
#include <string.h>

enum {
	TTL_S_DEFAULT = 3600, TTL_S_MIN = 60,
	LABEL_MAX = 128, MODEL_MAX = 128, PURPOSE_MAX = 256, /* bytes */
	ASKED_DEPTH_MAX = 10, STREAM_MAX = 64, USES_MAX = 1000000000,
	SCOPES_NOTED_MAX = 24, /* in the event: what seeds the agent's habits */
};

struct wish {
	struct iam *iam;
	struct ag_ctx *ctx;
	const Ag__AgentIssueAsk *ask;
	struct iam_caller caller;
	struct iam_node *parent;
	char **scopes;
	size_t scope_count;
	char *label, *model, *purpose;
	char **networks;
	size_t network_count;
	uint32_t ttl_s, max_depth;
	int64_t issued_at, expires_at;
};

static ag_err
invalid(struct wish *w, const char *reason, const char *field, const char *why)
{
	return ag_refuse(w->ctx, AG_INVALID_FIELD, reason, field, "%s", why);
}

/* ------------------------------------------------------------------- input */

static ag_err
check_texts(struct wish *w)
{
	const Ag__AgentIssueAsk *ask = w->ask;

	if (ask->label == NULL && ask->like == NULL)
		return invalid(w, "missing", "/label", "It needs a label.");
	if (ask->label != NULL && !iam_text_valid(ask->label, LABEL_MAX))
		return invalid(w, "out_of_range", "/label",
		    "1 to 128 printable characters.");
	if (ask->model != NULL && !iam_text_valid(ask->model, MODEL_MAX))
		return invalid(w, "out_of_range", "/model",
		    "1 to 128 printable characters.");
	if (ask->purpose != NULL && !iam_text_valid(ask->purpose, PURPOSE_MAX))
		return invalid(w, "out_of_range", "/purpose",
		    "1 to 256 printable characters.");
	w->label = ask->label;
	w->model = ask->model;
	w->purpose = ask->purpose;
	return AG_OK;
}

static ag_err
check_numbers(struct wish *w)
{
	const Ag__AgentIssueAsk *ask = w->ask;

	w->ttl_s = ask->has_ttl_s ? ask->ttl_s : TTL_S_DEFAULT;
	if (!ask->has_ttl_s && w->ttl_s > w->iam->ttl_max_s)
		w->ttl_s = w->iam->ttl_max_s;
	if (w->ttl_s < TTL_S_MIN || w->ttl_s > w->iam->ttl_max_s)
		return ag_refuse(w->ctx, AG_INVALID_FIELD, "out_of_range",
		    "/ttl_s", "%d to %u seconds.", TTL_S_MIN,
		    w->iam->ttl_max_s);
	w->max_depth = ask->has_max_depth ? ask->max_depth : 0;
	if (w->max_depth > ASKED_DEPTH_MAX)
		return invalid(w, "out_of_range", "/max_depth", "0 to 10.");
	if (ask->has_max_uses &&
	    (ask->max_uses < 1 || ask->max_uses > USES_MAX))
		return invalid(w, "out_of_range", "/max_uses",
		    "1 to 1000000000.");
	return AG_OK;
}

static ag_err
check_networks(struct wish *w)
{
	if (w->ask->n_source_cidrs > IAM_CIDRS_MAX)
		return invalid(w, "out_of_range", "/source_cidrs",
		    "At most 16 networks.");
	for (size_t i = 0; i < w->ask->n_source_cidrs; i++) {
		struct iam_cidr cidr;

		if (!iam_cidr_parse(w->ask->source_cidrs[i], &cidr))
			return invalid(w, "unknown_value",
			    ag_printf(w->ctx, "/source_cidrs/%zu", i),
			    "A network is address/bits, host bits zero.");
	}
	return AG_OK;
}

static ag_err
copy_like(struct wish *w)
{
	struct iam_node *like;
	Ag__Agent *view;

	w->scopes = w->ask->scopes;
	w->scope_count = w->ask->n_scopes;
	w->networks = w->ask->source_cidrs;
	w->network_count = w->ask->n_source_cidrs;
	if (w->ask->like == NULL)
		return AG_OK;
	like = iam_agent_recall(w->iam, w->ctx, w->caller.tenant, w->ask->like);
	if (like == NULL)
		return ag_refuse(w->ctx, AG_ITEM_NOT_FOUND, NULL, "/like",
		    "There is no such agent.");
	if (iam_gone_by(like) == NULL)
		return ag_refuse(w->ctx, AG_ILLEGAL_OPERATION, "transition",
		    "/like", "Only an agent that was revoked is copied.");
	view = iam_agent_view(w->ctx, like);
	if (view == NULL)
		return AG_NO_MEMORY;
	if (w->scope_count == 0) {
		w->scopes = view->scopes;
		w->scope_count = view->n_scopes;
	}
	/* No wider than it was, unless that is asked for. */
	if (w->network_count == 0) {
		w->networks = view->source_cidrs;
		w->network_count = view->n_source_cidrs;
	}
	if (w->label == NULL)
		w->label = view->label;
	if (w->model == NULL)
		w->model = view->model;
	if (w->purpose == NULL)
		w->purpose = view->purpose;
	return AG_OK;
}

static ag_err
check_scope_texts(struct wish *w)
{
	if (w->scope_count == 0)
		return invalid(w, "missing", "/scopes", "1 to 64 scopes.");
	if (w->scope_count > IAM_SCOPES_MAX)
		return invalid(w, "out_of_range", "/scopes", "1 to 64 scopes.");
	for (size_t i = 0; i < w->scope_count; i++) {
		const char *field = ag_printf(w->ctx, "/scopes/%zu", i);
		struct ag_scope scope;

		if (!ag_scope_parse(w->scopes[i], &scope) ||
		    !ag_scope_op_known(&scope))
			return invalid(w, "bad_scope", field,
			    "A scope is <kind>:<selector>:<op>.");
		if (scope.select == AG_SELECT_ALL)
			return invalid(w, "bad_scope", field,
			    "An agent's scope names what it is for.");
	}
	return AG_OK;
}

/* ------------------------------------------------------------------ rights */

static ag_err
find_parent(struct wish *w)
{
	const char *name = w->ask->parent;

	w->parent = w->caller.node;
	if (name == NULL)
		return AG_OK;
	w->parent = iam_agent_find(w->iam, w->caller.tenant, name);
	if (w->parent == NULL)
		w->parent = iam_principal_find(w->iam, w->caller.tenant, name);
	if (w->parent == NULL)
		return ag_refuse(w->ctx, AG_ITEM_NOT_FOUND, NULL, "/parent",
		    "There is no such principal.");
	if (w->caller.node->parent != NULL && w->parent != w->caller.node &&
	    !iam_is_below(w->parent, w->caller.node))
		return ag_refuse(w->ctx, AG_PERMISSION_DENIED,
		    "delegate_not_allowed", "/parent",
		    "An agent issues only below itself.");
	return AG_OK;
}

static ag_err
too_deep(struct wish *w)
{
	return ag_refuse(w->ctx, AG_DELEGATION_DEPTH_EXCEEDED, NULL,
	    "/max_depth", "The delegation chain would be too deep.");
}

/* max_depth is a budget: each link passes on at most one less than it has. */
static ag_err
check_depth(struct wish *w)
{
	const struct iam_node *p = w->parent;
	unsigned levels = p->depth; /* of sub-agents, with the new one */

	if (p->parent != NULL && p->max_depth == 0) {
		if (p->parent->parent != NULL && p->parent->max_depth == 1)
			return too_deep(w);
		return ag_refuse(w->ctx, AG_PERMISSION_DENIED,
		    "delegate_not_allowed", "/parent",
		    "The parent may not have agents of its own.");
	}
	if (p->parent != NULL && w->max_depth > p->max_depth - 1)
		return too_deep(w);
	if (levels > w->iam->depth_max || p->depth + 1 > IAM_DEPTH_MAX ||
	    w->max_depth > w->iam->depth_max - levels)
		return too_deep(w);
	return AG_OK;
}

static ag_err
parent_missing(struct wish *w, size_t i)
{
	return ag_refuse(w->ctx, AG_PERMISSION_DENIED, "parent_scope_missing",
	    ag_printf(w->ctx, "/scopes/%zu", i), "The parent does not hold %s.",
	    w->scopes[i]);
}

static ag_err
check_scopes(struct wish *w)
{
	const struct iam_token *token = w->parent == w->caller.node ?
	    w->caller.token : NULL;
	/* What is below the caller ends with what the caller has for a while;
	 * what is not would keep it. */
	bool lasting = w->parent != w->caller.node &&
	    !iam_is_below(w->parent, w->caller.node);

	if (iam_standing(w->parent, w->caller.now) != IAM_STANDS)
		return ag_refuse(w->ctx, AG_PERMISSION_DENIED,
		    "parent_scope_missing", "/parent",
		    "The parent is not active.");
	for (size_t i = 0; i < w->scope_count; i++) {
		struct ag_scope scope;
		struct ag_scope_target target;
		struct iam_query q = { .how = IAM_Q_IMPLY, .asked = &scope };

		if (!ag_scope_parse(w->scopes[i], &scope))
			return AG_GENERAL_FAILURE;
		if (iam_resolve(w->iam, w->caller.tenant, &scope, &target))
			q.target = &target;
		if (iam_reach(w->parent, token, w->caller.now, &q) != IAM_HAS)
			return parent_missing(w, i);
		q.lasting = lasting;
		if (iam_reach(w->caller.node, w->caller.token, w->caller.now,
		    &q) != IAM_HAS)
			return parent_missing(w, i);
	}
	return AG_OK;
}

/* A child's credential ends no later than its parent's. */
static ag_err
set_times(struct wish *w)
{
	const Ag__Grant *grant = ag_grant(w->ctx);
	int64_t cap = INT64_MAX;

	w->issued_at = w->caller.now / 1000 * 1000; /* as the claims have it */
	w->expires_at = w->issued_at + iam_ttl_ruled(w->ctx, w->ttl_s) *
	    INT64_C(1000);
	if (w->parent->parent != NULL)
		cap = w->parent->token.expires_at;
	else if (w->parent == w->caller.node &&
	    grant->has_credential_expires_at)
		cap = grant->credential_expires_at;
	if (w->expires_at > cap)
		w->expires_at = cap / 1000 * 1000;
	return AG_OK;
}

/* ------------------------------------------------------------------- issue */

static ag_err
agent_signed(struct iam *iam, struct ag_ctx *ctx, struct iam_draft *draft)
{
	Ag__AgentIssueReply reply = AG__AGENT_ISSUE_REPLY__INIT, replay;
	Ag__AgentIssuedFact fact = AG__AGENT_ISSUED_FACT__INIT;
	Ag__Link self = AG__LINK__INIT;
	const struct iam_node *parent = iam_node_find(iam, draft->claims.parent);
	char stream[STREAM_MAX];
	struct ag_fact facts[1];

	fact.agent = ag_unpack(ctx, &ag__agent__descriptor, draft->packed,
	    draft->packed_len);
	reply.chain = iam_array(ctx, IAM_DEPTH_MAX + 1);
	if (fact.agent == NULL || reply.chain == NULL)
		return AG_NO_MEMORY;
	/* It took a while: the parent may be gone. */
	if (parent == NULL ||
	    iam_standing(parent, ag_now_ms(ctx)) != IAM_STANDS)
		return ag_refuse(ctx, AG_PERMISSION_DENIED,
		    "parent_scope_missing", "/parent",
		    "The parent is not active.");
	self.id = fact.agent->id;
	self.kind = AG__KIND__V__agent;
	self.name = fact.agent->label;
	memcpy(reply.chain, parent->chain,
	    parent->chain_len * sizeof(reply.chain[0]));
	reply.chain[parent->chain_len] = &self;
	reply.n_chain = parent->chain_len + 1;
	reply.agent_id = fact.agent->id;
	reply.label = fact.agent->label;
	reply.parent = fact.agent->parent;
	reply.scopes = fact.agent->scopes;
	reply.n_scopes = fact.agent->n_scopes;
	reply.token_type = (char *)"Bearer";
	reply.jti = fact.agent->jti;
	reply.issued_at = fact.agent->issued_at;
	reply.expires_at = fact.agent->expires_at;
	replay = reply;
	reply.token = draft->token;
	snprintf(stream, sizeof(stream), "agent:%s", fact.agent->id);
	facts[0] = (struct ag_fact){ stream, 0, AG_MSG_AGENT_ISSUED_FACT, &fact };
	return ag_persist(ctx, facts, 1, AG_MSG_AGENT_ISSUE, &reply, &replay,
	    NULL, NULL, 0);
}

static ag_err
keep_agent(struct wish *w, struct iam_draft *d, const char *id)
{
	Ag__Agent agent = AG__AGENT__INIT;

	agent.id = (char *)id;
	agent.label = w->label;
	agent.tenant = w->caller.tenant->name;
	agent.state = (char *)"live";
	agent.parent = w->parent->id;
	agent.root = w->parent->root->id;
	agent.depth = w->parent->depth + 1;
	agent.max_depth = w->max_depth;
	agent.scopes = w->scopes;
	agent.n_scopes = w->scope_count;
	agent.model = w->model;
	agent.purpose = w->purpose;
	agent.source_cidrs = w->networks;
	agent.n_source_cidrs = w->network_count;
	agent.has_max_uses = w->ask->has_max_uses;
	agent.max_uses = w->ask->max_uses;
	agent.jti = d->jti;
	agent.issued_at = d->issued_at;
	agent.expires_at = d->expires_at;
	agent.revision = 1;
	if (w->parent != w->caller.node)
		agent.issued_by = (char *)w->caller.id;
	return iam_draft_keep(d, &agent, w->scopes, w->scope_count);
}

static ag_err
issue(struct wish *w)
{
	struct iam_draft *d;
	char id[AG_ID_SIZE];
	ag_err err;

	if ((err = iam_quota_check(w->iam, w->ctx, w->caller.tenant,
	    IAM_C_AGENTS)) != AG_OK ||
	    (err = iam_draft_new(w->iam, w->ctx, &d)) != AG_OK)
		return err;
	ag_id_new(w->ctx, "agt", id);
	d->issued_at = w->issued_at;
	d->expires_at = w->expires_at;
	snprintf(d->claims.sub, sizeof(d->claims.sub), "%s", id);
	snprintf(d->claims.kind, sizeof(d->claims.kind), "agent");
	snprintf(d->claims.tenant, sizeof(d->claims.tenant), "%s",
	    w->caller.tenant->name);
	snprintf(d->claims.parent, sizeof(d->claims.parent), "%s",
	    w->parent->id);
	ag_note_resource(w->ctx, "agent", id, w->label);
	ag_note_param(w->ctx, "parent", w->parent->id);
	ag_note_param(w->ctx, "model", w->model == NULL ? "" : w->model);
	for (size_t i = 0; i < w->scope_count && i < SCOPES_NOTED_MAX; i++)
		ag_note_param(w->ctx, ag_printf(w->ctx, "scope_%zu", i),
		    w->scopes[i]);
	if ((err = keep_agent(w, d, id)) != AG_OK)
		ag_log(w->ctx, AG_ERROR, "ISSUE-MEMORY", "agent=%s", id);
	return iam_draft_sign(w->iam, w->ctx, d, agent_signed);
}

ag_err
iam_on_agent_issue(void *state, struct ag_ctx *ctx, const void *msg)
{
	typedef ag_err step(struct wish *w);
	static step *const steps[] = {
		check_texts, check_numbers, check_networks, copy_like,
		check_scope_texts, find_parent, check_depth, check_scopes,
		set_times, issue,
	};
	struct wish w = { .iam = state, .ctx = ctx, .ask = msg };
	ag_err err = iam_caller(state, ctx, &w.caller);

	for (size_t i = 0; err == AG_OK && i < sizeof(steps) / sizeof(steps[0]);
	    i++)
		err = steps[i](&w);
	return err;
}
