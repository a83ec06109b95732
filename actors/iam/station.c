/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The station on the ring: a plane's request comes with a credential and goes
 * on with a grant, or ends here. The first check that fails answers, in the
 * order of the public contract: credential, standing, hold, the principal's
 * rate, what the plane found wrong, the key's rate, scope, policies, existence.
 */
#include "call.h"
#include "ended.h"
#include "hold.h"
#include "rates.h"
#include "reach.h"

#include <stdio.h>
#include <string.h>

/* ------------------------------------------------------------------ grant */

static void
grant_begin(struct call *c)
{
	const Ag__Envelope *env = ag_env(c->ctx);
	const Ag__Request *rq = c->rq;
	Ag__Grant *g = &c->grant;

	ag__grant__init(g);
	g->request_id = rq->request_id;
	g->op = c->op->type;
	g->plane = ag_from(c->ctx);
	g->boot = rq->boot;
	g->n = rq->n;
	g->occurred_at = rq->occurred_at;
	g->received_us = rq->received_us;
	g->deadline_ms = env->deadline_ms;
	g->has_reply_key = rq->has_reply_key;
	g->reply_key = rq->reply_key;
	g->source_address = rq->source_address;
	g->user_agent = rq->user_agent;
	g->client_request_id = rq->client_request_id;
	g->trace_id = rq->trace_id;
	g->if_match = rq->if_match;
	g->has_items = rq->has_items;
	g->items = rq->items;
	g->has_prompt_hash = rq->has_prompt_hash;
	g->prompt_hash = rq->prompt_hash;
	g->model_asserted = rq->model_asserted;
	g->scope_op = rq->scope_op;
	g->session = rq->session;
}

/* ---------------------------------------------------------- what it is about */

static void
resolve_key(struct call *c)
{
	c->key = iam_key_find(c->iam, c->node->tenant, c->rq->selector);
	if (c->key == NULL)
		return;
	c->found = true;
	c->target = c->key->target;
	c->grant.resource_id = c->key->id;
	c->grant.resource_alias = (char *)c->key->target.alias;
}

static void
resolve_node(struct call *c, struct iam_node *node)
{
	if (node == NULL)
		return;
	c->found = true;
	c->subject = node;
	c->target.id = node->id;
	c->target.alias = node->parent == NULL ? node->name : NULL;
	c->grant.resource_id = node->id;
	c->grant.resource_alias = node->name;
}

/* {jti}: the scope's selector is whose token it is. */
static void
resolve_token(struct call *c)
{
	struct iam_token *token = iam_token_find(c->iam, c->rq->selector);

	if (token == NULL || token->node->tenant != c->node->tenant)
		return;
	c->subject_token = token;
	resolve_node(c, token->node);
	c->grant.resource_id = token->jti;
}

/* "<server>/<tool>". Whether there is one the gateway says, to whoever may call
 * it; what server it is of counts like a label. */
static void
resolve_tool(struct call *c)
{
	const char *selector = c->rq->selector;

	c->found = true;
	c->target.id = selector;
	c->grant.resource_id = (char *)selector;
	snprintf(c->server_name, sizeof(c->server_name), "%.*s",
	    (int)strcspn(selector, "/"), selector);
	c->server = (struct ag_scope_label){ "server", c->server_name };
	c->target.labels = &c->server;
	c->target.label_count = 1;
}

/* A batch is what its items are; NULL: they are nothing that may be batched. */
static const char *
name_op(const struct call *c)
{
	static const char *const batched[] = { "sign", "verify", "encrypt",
		"decrypt" };

	if ((c->op->flags & AG_OP_EITEM) == 0)
		return c->op->op;
	for (size_t i = 0; i < sizeof(batched) / sizeof(batched[0]); i++)
		if (c->rq->scope_op != NULL &&
		    strcmp(c->rq->scope_op, batched[i]) == 0)
			return batched[i];
	return NULL;
}

static void
resolve(struct call *c)
{
	const struct ag_operation *op = c->op;
	const char *selector = c->rq->selector;

	c->scope_op = name_op(c);
	c->grant.resource_type = op->kind == AG_KIND_ANY ? NULL :
	    (char *)ag_kind_name(op->kind);
	if ((op->flags & AG_OP_ALL) != 0 || op->kind == AG_KIND_ANY) {
		c->grant.resource_id = (char *)selector;
		if (op->kind == AG_KIND_KEY && (op->flags & AG_OP_IDEM) != 0) {
			ag_id_new(c->ctx, "key", c->new_id);
			c->grant.resource_id = c->new_id;
		}
		return;
	}
	if (selector == NULL || strlen(selector) > AG_NAME_MAX)
		return;
	if (op->type == AG_MSG_TOKEN_REVOKE)
		resolve_token(c);
	else if (op->kind == AG_KIND_KEY)
		resolve_key(c);
	else if (op->kind == AG_KIND_TOOL)
		resolve_tool(c);
	else if (op->kind == AG_KIND_AGENT)
		resolve_node(c, iam_agent_recall(c->iam, c->ctx,
		    c->node->tenant, selector));
	else if (op->kind == AG_KIND_PRINCIPAL)
		resolve_node(c, iam_principal_find(c->iam, c->node->tenant,
		    selector));
}

/* ------------------------------------------------------------------- scope */

static ag_err
scope_missing(struct call *c, const char *reason)
{
	const char *selector = (c->op->flags & AG_OP_ALL) != 0 ||
	    c->rq->selector == NULL ? "*" : c->rq->selector;

	ag_refuse_rule(c->ctx, "scopes");
	if (c->new_id[0] != '\0') /* no such key: nothing was made */
		c->grant.resource_id = NULL;
	return REFUSE(c, AG_PERMISSION_DENIED, reason, NULL,
	    "The scope %s:%s:%s is not held.", ag_kind_name(c->op->kind),
	    selector, c->scope_op);
}

/* The agent stepped out of its scope: nothing more of it until the ruling. */
static ag_err
violation(struct call *c)
{
	c->grant.has_honey = true;
	c->grant.honey = c->key->honey;
	if (c->node->parent != NULL) {
		c->grant.has_held = true;
		c->grant.held = true;
		c->grant.has_tier_critical = true;
		c->grant.tier_critical = c->key->critical;
		iam_hold_begin(c->iam, c->ctx, c->node, ag_outcome_id(c->ctx));
	}
	return scope_missing(c, "scope_missing");
}

/* Delegation is a right of its own: an agent never holds `agent:*:issue`. */
static ag_err
check_delegate(struct call *c)
{
	const struct iam_node *parent = c->node->parent;

	if (c->node->max_depth > 0)
		return AG_OK;
	if (parent->parent != NULL && parent->max_depth == 1)
		return REFUSE(c, AG_DELEGATION_DEPTH_EXCEEDED, NULL, NULL,
		    "The delegation chain ends at this agent.");
	return REFUSE(c, AG_PERMISSION_DENIED, "delegate_not_allowed", NULL,
	    "This agent may not issue agents.");
}

static bool
may_without_scope(const struct call *c)
{
	unsigned flags = c->op->flags;

	if (c->op->kind == AG_KIND_ANY)
		return true;
	if (c->subject == NULL)
		return false;
	if (c->subject_token != NULL)
		return c->subject == c->node;
	return ((flags & AG_OP_SELF) != 0 && c->subject == c->node) ||
	    ((flags & AG_OP_BELOW) != 0 && iam_is_below(c->subject, c->node));
}

static ag_err
check_scope(struct call *c)
{
	struct iam_trail trail = { .count = 0 };
	struct iam_query q = { .how = IAM_Q_MATCH,
		.kind = (enum ag_scope_kind)c->op->kind, .op = c->scope_op,
		.target = c->found ? &c->target : NULL, .trail = &trail };
	bool all = (c->op->flags & AG_OP_ALL) != 0;
	enum iam_reach reach;

	if (may_without_scope(c)) {
		c->free = true;
		return AG_OK;
	}
	if (c->op->type == AG_MSG_AGENT_ISSUE && c->node->parent != NULL)
		return check_delegate(c);
	if (!all && !c->found) {
		q.how = IAM_Q_NAME;
		q.selector = c->rq->selector == NULL ? "" : c->rq->selector;
	}
	reach = iam_reach(c->node, c->token, c->now, &q);
	c->grant.reach = iam_trail_said(c->ctx, &q, c->now);
	if (c->grant.reach == NULL)
		return AG_NO_MEMORY;
	if (reach == IAM_HAS)
		return AG_OK;
	if (reach == IAM_OWN_MISSING && c->key != NULL)
		return violation(c);
	return scope_missing(c, reach == IAM_PARENT_MISSING ?
	    "parent_scope_missing" : "scope_missing");
}

static ag_err
check_honey(struct call *c)
{
	bool sees;

	/* What was found at a honey key is for the same eyes. */
	if (c->op->kind != AG_KIND_KEY && c->op->executor != AG_ROLE_RESPONDER)
		return AG_OK;
	sees = iam_holds(c->node, c->token, c->now, AG_SCOPE_SYSTEM, "honey",
	    NULL);
	c->grant.has_sees_honey = sees;
	c->grant.sees_honey = sees;
	if (c->key != NULL && c->key->honey && !sees)
		return violation(c);
	return AG_OK;
}

/* Keys are made elsewhere, but iam's directory must hold them all. */
static ag_err
check_quota(struct call *c)
{
	if ((c->op->type != AG_MSG_KEY_CREATE &&
	    c->op->type != AG_MSG_KEY_IMPORT) ||
	    iam_quota_room(c->iam, c->node->tenant, IAM_C_KEYS))
		return AG_OK;
	return iam_call_sign(c) != AG_OK ? AG_GENERAL_FAILURE :
	    iam_quota_refuse(c->ctx, IAM_C_KEYS);
}

static ag_err
check_op(struct call *c)
{
	if (c->scope_op != NULL)
		return AG_OK;
	return REFUSE(c, AG_INVALID_FIELD, "unknown_value", "/operation",
	    "The operation of a batch is sign, verify, encrypt or decrypt.");
}

static ag_err
check_people(struct call *c)
{
	if ((c->op->flags & AG_OP_PEOPLE) == 0 || c->node->parent == NULL)
		return AG_OK;
	return REFUSE(c, AG_PERMISSION_DENIED, "not_for_agents", NULL,
	    "Only people may do this.");
}

static ag_err
check_existence(struct call *c)
{
	if ((c->op->flags & AG_OP_ALL) != 0 || c->op->kind == AG_KIND_ANY ||
	    c->found)
		return AG_OK;
	return REFUSE(c, AG_ITEM_NOT_FOUND, NULL, NULL, "There is no such %s.",
	    c->op->type == AG_MSG_TOKEN_REVOKE ? "token" :
	    ag_kind_name(c->op->kind));
}

/* The body was bad: said now that the event has an actor. */
static ag_err
check_plane(struct call *c)
{
	const Ag__Refusal *r = c->rq->refusal;
	ag_err err;

	if (r == NULL)
		return AG_OK;
	err = r->err > AG_OK && r->err < AG_ERR_COUNT ? (ag_err)r->err :
	    AG_MALFORMED_REQUEST;
	if (r->hint != NULL)
		ag_refuse_hint(c->ctx, r->hint);
	if (r->has_retry_after_s)
		ag_refuse_retry(c->ctx, r->retry_after_s);
	return REFUSE(c, err, r->reason_code, r->field, "%s",
	    r->detail == NULL ? "" : r->detail);
}

/* ------------------------------------------------------------------- pass */

/* Lists are filtered by what the caller may read, or call. */
static ag_err
say_reach(struct call *c)
{
	bool tools = c->op->type == AG_MSG_TOOL_SHOW;
	const char *op = tools ? "call" : "read";
	Ag__Grant *g = &c->grant;
	char **scopes;

	if (!tools && c->op->type != AG_MSG_KEY_LIST)
		return AG_OK;
	g->has_read_all = true;
	g->read_all = iam_holds(c->node, c->token, c->now,
	    tools ? AG_SCOPE_TOOL : AG_SCOPE_KEY, op, NULL);
	if (g->read_all)
		return AG_OK;
	g->n_read_scopes = iam_effective(c->iam, c->ctx, c->node, c->token,
	    op, &scopes);
	g->read_scopes = scopes;
	return scopes == NULL ? AG_NO_MEMORY : AG_OK;
}

/* A repeat of a create has a new id; it must meet the first one all the same,
 * so both go to the shard that the Idempotency-Key names. */
static ag_err
same_shard(struct call *c, const char *text)
{
	unsigned wanted = ag_shard(c->ctx, AG_ROLE_KEYS, text);

	if (c->grant.resource_id != c->new_id)
		return AG_OK;
	while (ag_shard(c->ctx, AG_ROLE_KEYS, c->new_id) != wanted)
		ag_id_new(c->ctx, "key", c->new_id);
	return AG_OK;
}

/* What it is about is a part of it: not every plane's route names it, and none
 * of the body does. Its length comes first: nothing moves from one to another. */
static ag_err
say_idem(struct call *c)
{
	Ag__Grant *g = &c->grant;
	const char *about = c->rq->selector == NULL ? "" : c->rq->selector;
	const char *text;
	uint8_t *hash;

	if (c->rq->idempotency_key == NULL || (c->op->flags & AG_OP_IDEM) == 0)
		return AG_OK;
	text = ag_printf(c->ctx, "%s\n%s\n%zu:%s\n%s", c->node->id,
	    c->rq->route == NULL ? c->op->name : c->rq->route, strlen(about),
	    about, c->rq->idempotency_key);
	hash = ag_alloc(c->ctx, 32);
	if (text == NULL || hash == NULL)
		return AG_NO_MEMORY;
	ag_sha256(text, strlen(text), hash);
	g->has_idem = true;
	g->idem.data = hash;
	g->idem.len = 32;
	return same_shard(c, text);
}

/* Not every fleet has every process. */
static ag_err
check_executor(struct call *c)
{
	if (ag_slot(c->ctx, c->op->executor, 0) != AG_SLOT_NONE)
		return AG_OK;
	return REFUSE(c, AG_FEATURE_NOT_SUPPORTED, NULL, NULL,
	    "This fleet has no %s.", ag_role_name(c->op->executor));
}

static unsigned
executor_slot(struct call *c)
{
	enum ag_role role = c->op->executor;

	if (role == AG_ROLE_IAM)
		return ag_self(c->ctx);
	if (role == AG_ROLE_KEYS && c->grant.resource_id != NULL)
		return ag_shard(c->ctx, role, c->grant.resource_id);
	return ag_slot(c->ctx, role, 0);
}

ag_err
iam_pass(struct call *c)
{
	unsigned to = ag_slot(c->ctx, AG_ROLE_RISK, 0);
	ag_err err;

	if (to == AG_SLOT_NONE || !ag_slot_up(c->ctx, to)) {
		if ((c->op->flags & AG_OP_READ) == 0)
			return REFUSE(c, AG_UNAVAILABLE, "risk", NULL,
			    "Risk is not there; only reads go on.");
		c->grant.has_degraded = true;
		c->grant.degraded = true;
		to = c->grant.n_needs > 0 ?
		    ag_slot(c->ctx, AG_ROLE_APPROVALS, 0) : executor_slot(c);
	}
	err = to == AG_SLOT_NONE ? AG_NOBODY :
	    ag_pass(c->ctx, to, &c->grant, NULL);
	if (err != AG_OK)
		return REFUSE(c, AG_UNAVAILABLE, "overloaded", NULL,
		    "The request could not be passed on.");
	ag_metric_add(c->ctx, IAM_M_PASSED, 1);
	ag_metric_add_for(c->ctx, IAM_M_TENANT_PASSED, c->node->tenant->name, 1);
	return AG_OK;
}

static ag_err
judge(struct call *c)
{
	typedef ag_err check(struct call *c);
	static check *const checks[] = {
		iam_check_networks, iam_limit_principal, check_plane,
		check_op, iam_prompt, iam_limit_key, iam_rates_look, check_honey, check_people, check_scope,
		iam_check_end, iam_check_step_up, iam_check_glass, iam_check_policies,
		iam_check_hours, iam_check_residency,
		check_existence, check_executor,
		check_quota, say_reach, say_idem, iam_check_needs, iam_check_wanted,
		iam_check_uses,
	};
	ag_err err;

	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
		if ((err = checks[i](c)) != AG_OK)
			return err;
	if (c->key != NULL)
		iam_share_take(c, c->key_share, &c->key->window,
		    &c->iam->key_limit);
	iam_rates_take(c);
	iam_policies_take(c);
	return iam_evaluate(c);
}

/* Whether it would go on but for people, without going on: what counts uses, and
 * the second factor, are for the request itself. */
ag_err
iam_call_ahead(struct call *c)
{
	typedef ag_err check(struct call *c);
	static check *const checks[] = {
		check_honey, check_people, check_scope, iam_check_end,
		iam_check_policies, iam_check_hours, iam_check_residency,
		check_existence, check_executor, iam_check_needs,
	};
	ag_err err;

	resolve(c);
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
		if ((err = checks[i](c)) != AG_OK)
			return err;
	return AG_OK;
}

const uint8_t *
iam_call_body(struct call *c, size_t *len)
{
	if (c->ahead == NULL)
		return ag_body(c->ctx, len);
	*len = c->ahead->request.len;
	return c->ahead->request.data;
}

/* Every window that the request is going to use, so that one wait is for all. */
static ag_err
rates_ready(struct call *c)
{
	if (c->iam->shares == NULL)
		return AG_OK;
	iam_shares_request(c->iam);
	c->principal_share = iam_share_begin(c, "p", c->node->id,
	    &c->iam->principal_limit);
	if (c->key != NULL)
		c->key_share = iam_share_begin(c, "k", c->key->id,
		    &c->iam->key_limit);
	iam_rates_begin(c);
	return iam_shares_ready(c);
}

struct call *
iam_call_new(struct iam *iam, struct ag_ctx *ctx)
{
	struct call *c = ag_alloc(ctx, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->iam = iam;
	c->ctx = ctx;
	c->op = ag_operation_find(ag_type(ctx));
	c->rq = ag_env(ctx)->request;
	c->now = ag_now_ms(ctx);
	c->mono = ag_mono_ms(ctx);
	c->least_left = UINT32_MAX;
	c->items = c->rq->has_items && c->rq->items > 0 ? c->rq->items : 1;
	grant_begin(c);
	return c;
}

ag_err
iam_call_go_on(struct call *c)
{
	struct ag_ctx *ctx = c->ctx;
	ag_err err;

	resolve(c);
	if (c->node->hold != NULL) {
		/* The grant is for the refusal, if the ruling does not come. */
		if ((err = ag_set_grant(ctx, &c->grant)) != AG_OK)
			return err;
		if (iam_hold_wait(c->iam, ctx, c->node, &err))
			return err;
	}
	if ((err = iam_step_up_ready(c)) != AG_OK ||
	    (err = rates_ready(c)) != AG_OK ||
	    (err = iam_uses_ready(c)) != AG_OK)
		return err;
	return judge(c);
}

ag_err
iam_station(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__Envelope *env = ag_env(ctx);
	struct call *c;
	ag_err err;

	if (env->request == NULL || ag_from_role(ctx) != AG_ROLE_PLANE ||
	    env->request->request_id.len != AG_UUID_BYTES ||
	    env->request->boot == 0 || env->request->n == 0)
		return AG_BAD_MESSAGE;
	if ((c = iam_call_new(state, ctx)) == NULL)
		return AG_NO_MEMORY;
	err = iam_authenticate(c);
	return err != AG_OK ? err : iam_call_go_on(c);
}
