/* SPDX-License-Identifier: Apache-2.0 */
/* Agents after they were issued: listed, shown, suspended, resumed, revoked,
 * by people here and by the responder in act.c. */
#include "ended.h"
#include "exec.h"
#include "factors.h"
#include "handlers.h"
#include "hold.h"
#include "iam.h"
#include "reach.h"

#include <stdio.h>
#include <string.h>

enum { STREAM_MAX = 64, MANY_MAX = 10000, MANY_SHOWN = 100 };

static const struct iam_noun agent_noun = { iam_agent_find, "agent" };

/* --------------------------------------------------------------------- read */

ag_err
iam_on_agent_read(void *state, struct ag_ctx *ctx, const void *msg)
{
	struct iam_caller caller;
	struct iam_node *node = NULL;
	Ag__Agent *view;
	ag_err err = iam_subject(&agent_noun, state, ctx, &caller, false, &node);

	if (err != AG_OK)
		return err;
	view = iam_agent_view(ctx, node);
	return view == NULL ? AG_NO_MEMORY :
	    ag_reply(ctx, AG_MSG_AGENT_READ, view);
}

ag_err
iam_on_agent_chain(void *state, struct ag_ctx *ctx, const void *msg)
{
	Ag__ChainReply reply = AG__CHAIN_REPLY__INIT;
	Ag__ChainItem *items;
	struct iam_caller caller;
	struct iam_node *node = NULL;
	const struct iam_node *n;
	ag_err err = iam_subject(&agent_noun, state, ctx, &caller, false, &node);

	if (err != AG_OK)
		return err;
	reply.n_items = node->chain_len;
	reply.items = iam_array(ctx, reply.n_items);
	items = ag_alloc(ctx, reply.n_items * sizeof(*items));
	if (reply.items == NULL || items == NULL)
		return AG_NO_MEMORY;
	n = node;
	for (size_t i = reply.n_items; i-- > 0; n = n->parent) {
		ag__chain_item__init(&items[i]);
		items[i].id = (char *)n->id;
		items[i].kind = n->kind;
		items[i].name = n->name;
		items[i].state = (char *)iam_state_word(n, caller.now);
		reply.items[i] = &items[i];
	}
	return ag_reply(ctx, AG_MSG_AGENT_CHAIN, &reply);
}

/* --------------------------------------------------------------------- list */

/* parent and root may be given by name. */
static const char *
id_of(struct iam *iam, const struct iam_caller *caller, const char *selector)
{
	const struct iam_node *node = selector == NULL ? NULL :
	    iam_principal_find(iam, caller->tenant, selector);

	return node != NULL ? node->id : selector;
}

static bool
differs(const char *asked, const char *is)
{
	return asked != NULL && (is == NULL || strcmp(asked, is) != 0);
}

/* One that was recalled is among those that ended. */
static bool
is_listed(const struct iam_node *node, const struct iam_caller *caller,
    const Ag__AgentListAsk *ask)
{
	return node->tenant == caller->tenant && !node->recalled &&
	    !differs(ask->parent, node->parent->id) &&
	    !differs(ask->root, node->root->id) &&
	    !differs(ask->label, node->name) &&
	    !differs(ask->model, node->model) &&
	    !differs(ask->state, iam_state_word(node, caller->now));
}

static bool
is_ended_listed(const void *arg, const Ag__Agent *row)
{
	const Ag__AgentListAsk *ask = arg;

	return !differs(ask->parent, row->parent) &&
	    !differs(ask->root, row->root) &&
	    !differs(ask->label, row->label) &&
	    !differs(ask->model, row->model) && !differs(ask->state, row->state);
}

static bool
is_state(const char *word)
{
	return strcmp(word, "live") == 0 || strcmp(word, "suspended") == 0 ||
	    strcmp(word, "revoked") == 0 || strcmp(word, "expired") == 0;
}

/* The first max in memory after this UUID. */
static ag_err
list_memory(struct iam *iam, struct ag_ctx *ctx, const struct iam_caller *caller,
    const Ag__AgentListAsk *ask, const char *after, size_t max,
    struct iam_ended_page *out)
{
	out->items = iam_array(ctx, max);
	if (out->items == NULL)
		return AG_NO_MEMORY;
	for (size_t i = after == NULL ? 0 : iam_list_after(&iam->agents, after);
	    i < iam->agents.count && out->count < max; i++) {
		const struct iam_node *node = iam->agents.items[i];

		if (!is_listed(node, caller, ask))
			continue;
		out->items[out->count] = iam_agent_view(ctx, node);
		if (out->items[out->count++] == NULL)
			return AG_NO_MEMORY;
	}
	return AG_OK;
}

/* Both in the order of their UUIDs; NULL: no more is known to come next. */
static Ag__Agent *
next_of(struct iam_ended_page *memory, struct iam_ended_page *ended)
{
	struct iam_ended_page *from = memory;

	if (ended->count > 0 && (memory->count == 0 ||
	    strcmp(ended->items[0]->id, memory->items[0]->id) < 0))
		from = ended;
	if (from->count == 0 || (ended->stopped != NULL &&
	    strcmp(from->items[0]->id + 4, ended->stopped) > 0))
		return NULL;
	from->count--;
	return *from->items++;
}

static ag_err
list(struct iam *iam, struct ag_ctx *ctx, const struct iam_caller *caller,
    const Ag__AgentListAsk *ask, const struct ag_page *page,
    Ag__AgentListReply *reply)
{
	struct iam_ended_page memory = { 0 }, ended = { 0 };
	bool may_be_ended = ask->state == NULL ||
	    strcmp(ask->state, "revoked") == 0 ||
	    strcmp(ask->state, "expired") == 0;
	const char *last = NULL, *after = iam_after(page);
	Ag__Agent *next;
	ag_err err = list_memory(iam, ctx, caller, ask, after, page->limit + 1,
	    &memory);

	if (err == AG_OK && may_be_ended)
		err = iam_ended_page(ctx, caller->tenant, after,
		    is_ended_listed, ask, page->limit + 1, &ended);
	if (err != AG_OK)
		return err;
	reply->items = iam_array(ctx, page->limit);
	if (reply->items == NULL)
		return AG_NO_MEMORY;
	while ((next = next_of(&memory, &ended)) != NULL) {
		if (reply->n_items == page->limit) {
			last = reply->items[page->limit - 1]->id + 4;
			break;
		}
		reply->items[reply->n_items++] = next;
	}
	if (next == NULL)
		last = ended.stopped;
	if (last != NULL)
		reply->next_cursor = iam_cursor(ctx, page, last);
	return AG_OK;
}

ag_err
iam_on_agent_list(void *state, struct ag_ctx *ctx, const void *msg)
{
	struct iam *iam = state;
	Ag__AgentListAsk ask = *(const Ag__AgentListAsk *)msg;
	Ag__AgentListReply reply = AG__AGENT_LIST_REPLY__INIT;
	struct iam_caller caller;
	struct ag_page page;
	ag_err err;

	if ((err = iam_caller(iam, ctx, &caller)) != AG_OK)
		return err;
	if (ask.state != NULL && !is_state(ask.state))
		return ag_refuse(ctx, AG_INVALID_FIELD, "unknown_value", "?state",
		    "live, suspended, revoked or expired.");
	ask.parent = (char *)id_of(iam, &caller, ask.parent);
	ask.root = (char *)id_of(iam, &caller, ask.root);
	if ((err = ag_page_read(ctx, &ask, &page)) != AG_OK)
		return err;
	if ((err = list(iam, ctx, &caller, &ask, &page, &reply)) != AG_OK)
		return err;
	return ag_reply(ctx, AG_MSG_AGENT_LIST, &reply);
}

/* ---------------------------------------------------------- suspend, resume */

static ag_err
change(struct iam *iam, struct ag_ctx *ctx, const Ag__ReasonAsk *ask,
    enum iam_state to, const char *word)
{
	Ag__AgentStateFact fact = AG__AGENT_STATE_FACT__INIT;
	struct iam_caller caller;
	struct iam_node *node = NULL;
	Ag__Agent *view;
	char stream[STREAM_MAX];
	struct ag_fact facts[1];
	ag_err err;

	if ((err = iam_reason(ctx, ask->reason)) != AG_OK ||
	    (err = iam_subject(&agent_noun, iam, ctx, &caller, true, &node)) != AG_OK)
		return err;
	if (iam_gone_by(node) != NULL || caller.now >= node->token.expires_at)
		return ag_refuse(ctx, AG_ILLEGAL_OPERATION, "transition", NULL,
		    "The agent is %s.", iam_state_word(node, caller.now));
	if (to == IAM_LIVE)
		iam_hold_clear(iam, ctx, node); /* people say that it may go on */
	view = iam_agent_view(ctx, node);
	if (view == NULL)
		return AG_NO_MEMORY;
	if (node->state == to)
		return ag_reply(ctx, ag_type(ctx), view);
	fact.agent_id = node->id;
	fact.state = view->state = (char *)word;
	fact.reason = ask->reason;
	fact.at = caller.now;
	fact.by = (char *)caller.id;
	view->revision = node->version + 1;
	view->cause_event_id = NULL;
	snprintf(stream, sizeof(stream), "agent:%s", node->id);
	facts[0] = (struct ag_fact){ stream, node->version,
		AG_MSG_AGENT_STATE_FACT, &fact };
	return ag_persist(ctx, facts, 1, ag_type(ctx), view, NULL, NULL, NULL, 0);
}

ag_err
iam_on_agent_suspend(void *state, struct ag_ctx *ctx, const void *msg)
{
	return change(state, ctx, msg, IAM_SUSPENDED, "suspended");
}

ag_err
iam_on_agent_resume(void *state, struct ag_ctx *ctx, const void *msg)
{
	return change(state, ctx, msg, IAM_LIVE, "live");
}

/* ------------------------------------------------------------------- revoke */

ag_err
iam_agent_end(struct iam *iam, struct ag_ctx *ctx, struct iam_node *node,
    const char *reason, const char *by, uint16_t reply_type, const void *reply)
{
	Ag__AgentStateFact fact = AG__AGENT_STATE_FACT__INIT;
	char stream[STREAM_MAX], count[16];
	struct ag_fact facts[1];

	fact.agent_id = node->id;
	fact.state = (char *)"revoked";
	fact.reason = (char *)reason;
	fact.at = ag_now_ms(ctx);
	fact.by = (char *)by;
	snprintf(count, sizeof(count), "%u", iam_live_below(node, fact.at));
	ag_note_param(ctx, "revoked", count);
	snprintf(stream, sizeof(stream), "agent:%s", node->id);
	facts[0] = (struct ag_fact){ stream, node->version,
		AG_MSG_AGENT_STATE_FACT, &fact };
	return ag_persist(ctx, facts, 1, reply_type, reply, NULL, NULL, NULL, 0);
}

ag_err
iam_on_agent_revoke(void *state, struct ag_ctx *ctx, const void *msg)
{
	struct iam *iam = state;
	const Ag__ReasonAsk *ask = msg;
	Ag__AgentRevokeReply reply = AG__AGENT_REVOKE_REPLY__INIT;
	struct iam_caller caller;
	struct iam_node *node = NULL;
	ag_err err;

	if ((err = iam_reason(ctx, ask->reason)) != AG_OK ||
	    (err = iam_subject(&agent_noun, iam, ctx, &caller, true, &node)) != AG_OK)
		return err;
	reply.agent_id = node->id;
	reply.event_id = (char *)ag_outcome_id(ctx);
	reply.already = iam_gone_by(node) != NULL;
	if (reply.already)
		return ag_reply(ctx, AG_MSG_AGENT_REVOKE, &reply);
	reply.revoked = iam_live_below(node, caller.now);
	return iam_agent_end(iam, ctx, node, ask->reason, caller.id,
	    AG_MSG_AGENT_REVOKE, &reply);
}

/* -------------------------------------------------------------- revoke many */

static bool
is_live(const struct iam_node *node, const struct iam_caller *caller)
{
	return node->tenant == caller->tenant && iam_gone_by(node) == NULL &&
	    caller->now < node->token.expires_at;
}

static bool
is_meant(const struct iam_node *node, const struct iam_caller *caller,
    const Ag__AgentRevokeManyAsk *ask)
{
	if (!is_live(node, caller))
		return false;
	if (ask->parent != NULL && strcmp(ask->parent, node->parent->id) != 0)
		return false;
	if (ask->root != NULL && strcmp(ask->root, node->root->id) != 0)
		return false;
	if (ask->label != NULL && strcmp(ask->label, node->name) != 0)
		return false;
	if (ask->jti != NULL && strcmp(ask->jti, node->token.jti) != 0)
		return false;
	return !ask->has_issued_after ||
	    node->token.issued_at >= ask->issued_after;
}

static bool
is_meant_above(const struct iam_node *node, const struct iam_caller *caller,
    const Ag__AgentRevokeManyAsk *ask)
{
	for (node = node->parent; node->parent != NULL; node = node->parent)
		if (is_meant(node, caller, ask))
			return true;
	return false;
}

/* Whoever is below one that is meant goes with it, and is counted before as it
 * is after: one fact for the top. */
static ag_err
find_many(struct iam *iam, struct ag_ctx *ctx, const struct iam_caller *caller,
    const Ag__AgentRevokeManyAsk *ask, struct iam_node **tops, size_t *count,
    Ag__AgentRevokeManyReply *reply)
{
	*count = 0;
	for (size_t i = 0; i < iam->agents.count; i++) {
		struct iam_node *node = iam->agents.items[i];
		bool meant = is_meant(node, caller, ask);

		if (is_meant_above(node, caller, ask)) {
			if (!meant && !is_live(node, caller))
				continue;
		} else if (!meant) {
			continue;
		} else if (*count == MANY_MAX) {
			return ag_refuse(ctx, AG_REQUEST_TOO_LARGE, "batch", NULL,
			    "More than %d agents; narrow it.", MANY_MAX);
		} else {
			tops[(*count)++] = node;
		}
		reply->matched++;
		if (reply->n_items < MANY_SHOWN)
			reply->items[reply->n_items++] = node->id;
	}
	reply->revoked = reply->matched;
	return AG_OK;
}

static ag_err
persist_many(struct ag_ctx *ctx, const struct iam_caller *caller,
    const char *reason, struct iam_node **tops, size_t count,
    const Ag__AgentRevokeManyReply *reply)
{
	struct ag_fact *facts = ag_alloc(ctx, count * sizeof(*facts));
	Ag__AgentStateFact *states = ag_alloc(ctx, count * sizeof(*states));

	if (facts == NULL || states == NULL)
		return AG_NO_MEMORY;
	for (size_t i = 0; i < count; i++) {
		ag__agent_state_fact__init(&states[i]);
		states[i].agent_id = tops[i]->id;
		states[i].state = (char *)"revoked";
		states[i].reason = (char *)reason;
		states[i].at = caller->now;
		states[i].by = (char *)caller->id;
		facts[i] = (struct ag_fact){
			ag_printf(ctx, "agent:%s", tops[i]->id),
			tops[i]->version, AG_MSG_AGENT_STATE_FACT, &states[i] };
		if (facts[i].stream == NULL)
			return AG_NO_MEMORY;
	}
	return ag_persist(ctx, facts, count, AG_MSG_AGENT_REVOKE_MANY, reply,
	    NULL, NULL, NULL, 0);
}

ag_err
iam_on_agent_revoke_many(void *state, struct ag_ctx *ctx, const void *msg)
{
	struct iam *iam = state;
	Ag__AgentRevokeManyAsk ask = *(const Ag__AgentRevokeManyAsk *)msg;
	Ag__AgentRevokeManyReply reply = AG__AGENT_REVOKE_MANY_REPLY__INIT;
	struct iam_caller caller;
	struct iam_node **tops;
	char number[16];
	size_t count;
	ag_err err;

	if ((err = iam_reason(ctx, ask.reason)) != AG_OK ||
	    (err = iam_caller(iam, ctx, &caller)) != AG_OK)
		return err;
	if (ask.parent == NULL && ask.root == NULL && ask.label == NULL &&
	    ask.jti == NULL)
		return ag_refuse(ctx, AG_INVALID_FIELD, "missing", "/parent",
		    "One of parent, root, label and jti.");
	if (!(ask.has_dry_run && ask.dry_run) &&
	    (err = iam_step_up_wanted(iam, ctx, &caller)) != AG_OK)
		return err;
	ask.parent = (char *)id_of(iam, &caller, ask.parent);
	ask.root = (char *)id_of(iam, &caller, ask.root);
	tops = iam_array(ctx, MANY_MAX);
	reply.items = iam_array(ctx, MANY_SHOWN);
	if (tops == NULL || reply.items == NULL)
		return AG_NO_MEMORY;
	if ((err = find_many(iam, ctx, &caller, &ask, tops, &count, &reply)) !=
	    AG_OK)
		return err;
	snprintf(number, sizeof(number), "%u", reply.revoked);
	ag_note_param(ctx, "revoked", number);
	if (ask.has_dry_run && ask.dry_run)
		reply.revoked = 0;
	if (count == 0 || (ask.has_dry_run && ask.dry_run))
		return ag_reply(ctx, AG_MSG_AGENT_REVOKE_MANY, &reply);
	return persist_many(ctx, &caller, ask.reason, tops, count, &reply);
}
