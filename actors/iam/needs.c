/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose agreement a request needs: what its tenant's policies say (@approval),
 * and what the configuration says of named operations (dual control), whatever
 * policies say. iam only says it in the grant; the approvals, behind risk, ask
 * people and count (docs/decisions/0011). And what the approvals must know of
 * a person who decides.
 */
#include "access.h"
#include "call.h"
#include "exec.h"
#include "reach.h"

#include <stdlib.h>
#include <string.h>

struct iam_dual {
	char *operation, *key, *value, *group; /* key NULL: any resource */
	unsigned quorum;
};

enum { AHEAD_NAME_MAX = 2 * AG_NAME_MAX + 1 }; /* "<server>/<tool>" */

static const char dual_rule[] = "dual-control";
static const char agents_rule[] = "agents-end-nothing-alone";

/* ----------------------------------------------------------- configuration */

static bool
dual_make(struct iam_dual *d, const char *operation, const char *label,
    const char *group, unsigned quorum)
{
	const char *equals = label == NULL ? NULL : strchr(label, '=');

	d->operation = strdup(operation);
	d->group = strdup(group == NULL ? "" : group);
	d->quorum = quorum;
	if (equals != NULL) {
		d->key = strndup(label, (size_t)(equals - label));
		d->value = strdup(equals + 1);
	}
	return d->operation != NULL && d->group != NULL &&
	    (equals == NULL || (d->key != NULL && d->value != NULL));
}

/* A row that can never fire would look like protection: approvals are not asked
 * about themselves, and only a key that is there has labels. */
static bool
dual_good(const struct ag_operation *op, const char *label)
{
	if (op == NULL || op->executor == AG_ROLE_APPROVALS ||
	    op->type == AG_MSG_ACCESS_LIST)
		return false;
	return label == NULL || (strchr(label, '=') != NULL &&
	    op->kind == AG_KIND_KEY && (op->flags & AG_OP_ALL) == 0);
}

ag_err
iam_duals_init(struct iam *iam, struct ag_ctx *ctx)
{
	static const char *const list = "approvals.dual_control";
	unsigned count = ag_config_count(ctx, list);

	iam->second_factor = ag_config_int(ctx, "approvals.second_factor") != 0;
	iam->agents_end = ag_config_int(ctx, "approvals.agents") == 0;
	iam->duals = calloc(count == 0 ? 1 : count, sizeof(*iam->duals));
	if (iam->duals == NULL)
		return AG_NO_MEMORY;
	iam->dual_count = count == 0 ? 1 : count;
	if (count == 0)
		return dual_make(&iam->duals[0], "key.destroy", "env=prod", NULL,
		    2) ? AG_OK : AG_NO_MEMORY;
	for (unsigned i = 0; i < count; i++) {
		const char *label = ag_config_str(ctx,
		    "approvals.dual_control[].label", i);

		if (!dual_good(ag_operation_named(ag_config_str(ctx,
		    "approvals.dual_control[].operation", i)), label)) {
			ag_log(ctx, AG_ERROR, "DUAL-CONTROL", "where=%s: an "
			    "operation (key.destroy) that people can be asked "
			    "about, and, of one with a key that is there, a label "
			    "k=v",
			    ag_config_get_where(ag_config(ctx),
			    "approvals.dual_control[].operation", i));
			return AG_USAGE;
		}
		if (!dual_make(&iam->duals[i],
		    ag_config_str(ctx, "approvals.dual_control[].operation", i),
		    ag_config_str(ctx, "approvals.dual_control[].label", i),
		    ag_config_str(ctx, "approvals.dual_control[].group", i),
		    (unsigned)ag_config_get_int(ag_config(ctx),
		    "approvals.dual_control[].quorum", i)))
			return AG_NO_MEMORY;
	}
	return AG_OK;
}

void
iam_duals_fini(struct iam *iam)
{
	for (size_t i = 0; i < iam->dual_count; i++) {
		free(iam->duals[i].operation);
		free(iam->duals[i].key);
		free(iam->duals[i].value);
		free(iam->duals[i].group);
	}
	free(iam->duals);
	iam->duals = NULL;
	iam->dual_count = 0;
}

/* ------------------------------------------------------------------- needs */

/* Of the same group the stricter word counts. */
static bool
merged(Ag__Grant *g, const char *group, unsigned quorum, unsigned window_s)
{
	for (size_t i = 0; i < g->n_needs; i++) {
		Ag__ApprovalNeed *has = g->needs[i];

		if (strcmp(has->group, group) != 0)
			continue;
		if (quorum > has->quorum)
			has->quorum = quorum;
		if (window_s < has->window_s)
			has->window_s = window_s;
		has->has_window_s = has->window_s > 0;
		return true;
	}
	return false;
}

ag_err
iam_need(struct call *c, const char *group, unsigned quorum, unsigned window_s,
    const char *rule)
{
	Ag__Grant *g = &c->grant;
	Ag__ApprovalNeed *need;

	if (merged(g, group, quorum, window_s))
		return AG_OK;
	if (g->needs == NULL && (g->needs = iam_array(c->ctx,
	    IAM_NEEDS_MAX)) == NULL)
		return AG_NO_MEMORY;
	if (g->n_needs == IAM_NEEDS_MAX)
		return AG_FULL;
	if ((need = ag_alloc(c->ctx, sizeof(*need))) == NULL)
		return AG_NO_MEMORY;
	ag__approval_need__init(need);
	need->rule = ag_strdup(c->ctx, rule);
	need->group = ag_strdup(c->ctx, group);
	if (need->rule == NULL || need->group == NULL)
		return AG_NO_MEMORY;
	need->quorum = quorum;
	need->has_window_s = window_s > 0;
	need->window_s = window_s;
	g->needs[g->n_needs++] = need;
	return AG_OK;
}

ag_err
iam_needs_ruled(struct call *c, const struct ag_rules_answer *answer)
{
	ag_err err = AG_OK;

	for (size_t i = 0; i < answer->need_count && err == AG_OK; i++)
		err = iam_need(c, answer->needs[i].group, answer->needs[i].quorum,
		    answer->needs[i].window_s, answer->needs[i].rule);
	return err;
}

/* Many at once is the operation, many times. */
static bool
is_of(const struct iam_dual *d, const struct call *c)
{
	const char *kind = ag_kind_name(c->op->kind);
	size_t len = strlen(kind);

	if (strcmp(d->operation, c->op->operation) == 0)
		return true;
	return (c->op->flags & AG_OP_EITEM) != 0 &&
	    strncmp(d->operation, kind, len) == 0 && d->operation[len] == '.' &&
	    strcmp(d->operation + len + 1, c->scope_op) == 0;
}

static bool
is_labelled(const struct iam_dual *d, const struct call *c)
{
	for (size_t i = 0; c->key != NULL && i < c->key->target.label_count; i++)
		if (strcmp(c->key->target.labels[i].key, d->key) == 0 &&
		    strcmp(c->key->target.labels[i].value, d->value) == 0)
			return true;
	return false;
}

/* Does the key lose the row's label by this? */
static bool
takes_away(const struct iam_dual *d, const Ag__KeyUpdateAsk *ask)
{
	bool taken = false, set = false;

	for (size_t i = 0; i < ask->n_nulls; i++)
		taken |= strcmp(ask->nulls[i], "/labels") == 0;
	for (size_t i = 0; i < ask->n_labels; i++) {
		const Ag__Pair *label = ask->labels[i];

		if (strcmp(label->key, d->key) != 0)
			continue;
		if (label->value == NULL || strcmp(label->value, d->value) != 0)
			return true;
		set = true;
	}
	return taken && !set;
}

/* update NULL: it is none. Who could take the label away alone would have
 * nobody to ask afterwards. */
static bool
fits(const struct iam_dual *d, const struct call *c,
    const Ag__KeyUpdateAsk *update)
{
	if (d->key == NULL)
		return is_of(d, c);
	return is_labelled(d, c) &&
	    (is_of(d, c) || (update != NULL && takes_away(d, update)));
}

static ag_err
check_duals(struct call *c)
{
	const Ag__KeyUpdateAsk *update = NULL;
	const uint8_t *body;
	ag_err err = AG_OK;
	size_t len;

	if (c->op->type == AG_MSG_KEY_UPDATE) {
		body = iam_call_body(c, &len);
		update = ag_unpack(c->ctx, &ag__key_update_ask__descriptor, body,
		    len);
		if (update == NULL)
			return AG_BAD_MESSAGE;
	}
	for (size_t i = 0; i < c->iam->dual_count && err == AG_OK; i++)
		if (fits(&c->iam->duals[i], c, update))
			err = iam_need(c, c->iam->duals[i].group,
			    c->iam->duals[i].quorum, 0, dual_rule);
	return err;
}

/* What an agent ends does not come back, so a person is asked first; its own
 * credential and those below it are its own to end. On every plane: what a tool
 * of MCP needs, REST needs. */
static ag_err
check_agent(struct call *c)
{
	uint16_t op = c->op->type;

	if (c->node->parent == NULL || c->iam->agents_end)
		return AG_OK;
	if (op == AG_MSG_AGENT_REVOKE && (c->subject == c->node ||
	    (c->subject != NULL && iam_is_below(c->subject, c->node))))
		return AG_OK;
	return op != AG_MSG_KEY_DESTROY && op != AG_MSG_KEY_DEACTIVATE &&
	    op != AG_MSG_AGENT_REVOKE ? AG_OK :
	    iam_need(c, "", 1, 0, agents_rule);
}

/* Who decides is known by the roles that are valid now. */
static ag_err
say_person(struct call *c)
{
	Ag__Grant *g = &c->grant;
	const struct iam_node *node = c->node;

	g->has_approver = true;
	g->approver = node->parent == NULL && iam_holds(node, c->token, c->now,
	    AG_SCOPE_SYSTEM, "approve", NULL);
	if (node->parent != NULL)
		return AG_OK;
	if ((g->roles = iam_array(c->ctx, node->role_count)) == NULL)
		return AG_NO_MEMORY;
	for (unsigned i = 0; i < node->role_count; i++)
		if (node->roles[i].from <= c->now &&
		    c->now < node->roles[i].until)
			g->roles[g->n_roles++] = (char *)node->roles[i].role->name;
	return AG_OK;
}

/* Who issued what asks has a stake in it, as those above have. */
static ag_err
say_behind(struct call *c)
{
	Ag__Grant *g = &c->grant;

	g->behind = iam_array(c->ctx, c->node->depth + 1);
	if (g->behind == NULL)
		return AG_NO_MEMORY;
	if (c->token != NULL && c->token != &c->node->token &&
	    c->token->issued_by[0] != '\0')
		g->behind[g->n_behind++] = c->token->issued_by;
	for (struct iam_node *n = c->node; n != NULL; n = n->parent)
		if (n->token.issued_by[0] != '\0')
			g->behind[g->n_behind++] = n->token.issued_by;
	return AG_OK;
}

/* People take it for what the server knows, so it has only what a name has. */
static bool
is_name(const char *text)
{
	size_t len = strnlen(text, AHEAD_NAME_MAX + 1);

	for (size_t i = 0; i < len; i++)
		if (text[i] <= 0x20 || text[i] > 0x7e)
			return false;
	return len > 0 && len <= AHEAD_NAME_MAX;
}

/* What stands in the request for approval itself. */
static ag_err
check_ahead(struct call *c, const struct ag_operation *op,
    const Ag__ApprovalRequestAsk *ask)
{
	bool one = op != NULL && (op->flags & AG_OP_ALL) == 0 &&
	    op->kind != AG_KIND_ANY;

	if (!dual_good(op, NULL) || (op->flags & AG_OP_EITEM) != 0)
		return REFUSE(c, AG_INVALID_FIELD, "unknown_value", "/operation",
		    "An operation that people can be asked about, as key.decrypt.");
	if (ask->resource == NULL && one)
		return REFUSE(c, AG_INVALID_FIELD, "missing", "/resource",
		    "%s is about one %s: its id or name.", op->operation,
		    ag_kind_name(op->kind));
	if (ask->resource != NULL && (!is_name(ask->resource) ||
	    (!one && op->kind == AG_KIND_KEY)))
		return REFUSE(c, AG_INVALID_FIELD, "out_of_range", "/resource",
		    "What the operation is about: an id or a name, of 1 to %d "
		    "characters; none, if it makes a key.", AHEAD_NAME_MAX);
	if (!iam_text_valid(ask->reason, IAM_REASON_MAX))
		return REFUSE(c, AG_INVALID_FIELD, "out_of_range", "/reason",
		    "A reason has 1 to %d printable characters.",
		    IAM_REASON_MAX);
	return AG_OK;
}

/* The same caller, now, about something else. */
static struct call *
call_ahead(struct call *c, const struct ag_operation *op,
    const Ag__ApprovalRequestAsk *ask)
{
	Ag__Request *rq = ag_alloc(c->ctx, sizeof(*rq));
	struct call *in = ag_alloc(c->ctx, sizeof(*in));

	if (rq == NULL || in == NULL)
		return NULL;
	*rq = *c->rq;
	rq->selector = ask->resource;
	*in = *c;
	in->rq = rq;
	in->ahead = ask;
	in->free = false;
	in->op = op;
	in->grant.said = ask->reason;
	return in;
}

/* What its needs are is for the approvals to ask for; it goes nowhere. */
static ag_err
grant_ahead(struct call *c, struct call *in)
{
	Ag__Ahead *ahead = ag_alloc(c->ctx, sizeof(*ahead));
	uint8_t *digest = ag_alloc(c->ctx, 32);

	if (ahead == NULL || digest == NULL)
		return AG_NO_MEMORY;
	ag__ahead__init(ahead);
	ag_sha256(in->ahead->request.data, in->ahead->request.len, digest);
	ahead->op = in->op->type;
	ahead->digest.data = digest;
	ahead->digest.len = 32;
	ahead->needs = in->grant.needs;
	ahead->n_needs = in->grant.n_needs;
	c->grant = in->grant;
	c->grant.needs = NULL;
	c->grant.n_needs = 0;
	c->grant.approval = NULL;
	c->grant.ahead = ahead;
	c->about = in;
	return AG_OK;
}

/* Ahead of a request: it is judged as if it came now, and again when it does. */
static ag_err
say_ahead(struct call *c)
{
	const Ag__ApprovalRequestAsk *ask;
	const struct ag_operation *op;
	const uint8_t *body;
	struct call *in;
	size_t len;
	ag_err err;

	body = ag_body(c->ctx, &len);
	ask = ag_unpack(c->ctx, &ag__approval_request_ask__descriptor, body, len);
	if (ask == NULL)
		return AG_BAD_MESSAGE;
	op = ag_operation_named(ask->operation);
	if ((err = check_ahead(c, op, ask)) != AG_OK)
		return err;
	if ((in = call_ahead(c, op, ask)) == NULL)
		return AG_NO_MEMORY;
	if ((err = iam_call_ahead(in)) != AG_OK)
		return err;
	if (in->grant.n_needs == 0)
		return REFUSE(in, AG_ILLEGAL_OPERATION, "no_approval_needed", NULL,
		    "Nobody has to agree to this: send the request itself.");
	return grant_ahead(c, in);
}

ag_err
iam_check_needs(struct call *c)
{
	const char *id = c->rq->approval;
	ag_err err = AG_OK;

	if (id != NULL && !ag_id_valid(id, "apr"))
		return REFUSE(c, AG_INVALID_FIELD, "wrong_type", "Aegis-Approval",
		    "It is the id of an approval, apr_….");
	if (c->op->type == AG_MSG_APPROVAL_REQUEST)
		return say_ahead(c);
	if (c->op->executor == AG_ROLE_APPROVALS) {
		c->wants_step_up |= c->iam->second_factor &&
		    c->op->type == AG_MSG_APPROVAL_APPROVE;
		if (c->op->type == AG_MSG_BREAK_GLASS_OPEN &&
		    (err = iam_glass_opening(c)) != AG_OK)
			return err;
		return say_person(c);
	}
	if (c->op->type == AG_MSG_ACCESS_LIST)
		return say_person(c);
	if (c->op->type == AG_MSG_ACCESS_REQUEST &&
	    (err = iam_access_asked(c)) != AG_OK && err != AG_FULL)
		return err;
	if (err == AG_OK)
		err = check_duals(c);
	if (err == AG_OK)
		err = check_agent(c);
	if (err == AG_FULL)
		return REFUSE(c, AG_PERMISSION_DENIED, "no_matching_rule", NULL,
		    "More groups would have to agree than anybody can ask.");
	if (err != AG_OK || c->grant.n_needs == 0)
		return err;
	c->grant.approval = (char *)id;
	if (c->grant.said == NULL)
		c->grant.said = c->rq->said;
	return say_behind(c);
}
