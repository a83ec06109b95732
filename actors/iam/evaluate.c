/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What somebody else's policies say besides (opa.url): asked last, when our own
 * permit a request, about everything that our own are asked about. Before them,
 * whoever is to be asked before something ends (opa.hook_url). Only a clear yes
 * in time lets it go on; and only if whoever asks still stands by then.
 */
#include "access.h"
#include "call.h"
#include "reach.h"
#include "ruling.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { MARGIN_MS = 25 }; /* behind the evaluator's own limit */

void
iam_evaluate_init(struct iam *iam, struct ag_ctx *ctx)
{
	iam->evaluates = ag_config_str(ctx, "opa.url", 0) != NULL;
	iam->evaluate_ms = (unsigned)ag_config_int(ctx, "opa.timeout_ms") +
	    MARGIN_MS;
	iam->ends_apart = ag_config_int(ctx, "break_glass.destructive") != 0;
	iam->hook = ag_config_str(ctx, "opa.hook_url", 0) != NULL;
	iam->hook_ms = (unsigned)ag_config_int(ctx, "opa.hook_timeout_ms") +
	    MARGIN_MS;
}

/* -------------------------------------------------------------- the question */

static json_t *
roles_said(const struct ag_rules_party *p)
{
	json_t *out = json_array();

	for (size_t i = 0; i < p->role_count; i++)
		json_array_append_new(out, json_string(p->roles[i]));
	return out;
}

/* Self first, the person at the root last. */
static json_t *
party_said(const struct ag_rules_party *p)
{
	static const char *const kinds[] = { [AG_RULES_HUMAN] = "human",
		[AG_RULES_SERVICE] = "service", [AG_RULES_AGENT] = "agent" };
	json_t *chain = json_array();

	for (size_t i = 0; i < p->count; i++)
		json_array_append_new(chain, json_pack("{s:s,s:s,s:s?,s:s?}",
		    "kind", kinds[p->links[i].kind], "id", p->links[i].id,
		    "name", p->links[i].name, "model", p->links[i].model));
	return json_pack("{s:o,s:o}", "chain", chain, "roles", roles_said(p));
}

static json_t *
resource_said(const struct ag_rules_resource *r)
{
	static const char *const types[] = { [AG_RULES_TENANT] = "tenant",
		[AG_RULES_KEY] = "key", [AG_RULES_PARTY] = "principal",
		[AG_RULES_TOOL] = "tool" };
	json_t *labels = json_object();

	for (size_t i = 0; i < r->label_count; i++)
		json_object_set_new(labels, r->labels[i].key,
		    json_string(r->labels[i].value));
	return json_pack("{s:s,s:b,s:s?,s:s?,s:s?,s:s?,s:s?,s:o,s:o}", "type",
	    types[r->about], "unknown", r->unknown, "id", r->id, "name", r->name,
	    "spec", r->spec, "state", r->state, "backend", r->backend, "labels",
	    labels, "party", party_said(&r->party));
}

static char *
question(const struct call *c, const struct ag_rules_ask *ask)
{
	char at[AG_TIME_TEXT], id[2 * AG_UUID_BYTES + 1];
	json_t *all;
	char *text;

	ag_time_text(ask->at_ms, at);
	ag_hex(c->rq->request_id.data, c->rq->request_id.len, id);
	all = json_pack("{s:{s:s,s:s,s:s,s:o,s:o,s:{s:s,s:s?,s:s?,s:I,s:b,s:b,"
	    "s:i}}}", "input", "request_id", id, "tenant", ask->tenant, "action",
	    ask->action, "principal", party_said(&ask->principal), "resource",
	    resource_said(&ask->resource), "context", "at", at, "source",
	    ask->source, "plane", ask->plane, "credential_age_ms",
	    (json_int_t)ask->credential_age_ms, "stepped_up", ask->stepped_up,
	    "break_glass", ask->break_glass, "items", (int)ask->items);
	text = all == NULL ? NULL : json_dumps(all, JSON_COMPACT);
	json_decref(all);
	return text;
}

/* ---------------------------------------------------------------- the answer */

/* The grant, as it was made before; the rest of the request is in the trip. */
struct waiting {
	uint8_t *grant; /* owned, as text is */
	size_t len;
	char *text;
	bool hook; /* it is asked, and not yet OPA */
};

static ag_err
refuse(struct call *c, bool hook, const char *why)
{
	ag_refuse_rule(c->ctx, hook ? "opa.hook" : "opa");
	if (why == NULL)
		return REFUSE(c, AG_PERMISSION_DENIED, hook ? "hook_denied" :
		    "evaluator_denied", NULL, "%s does not allow this.", hook ?
		    "Who is asked before something ends" :
		    "The external policies");
	return REFUSE(c, AG_PERMISSION_DENIED, hook ? "hook_unavailable" :
	    "evaluator_unavailable", NULL,
	    "%s gave no clear answer (%s): that is a no.", hook ?
	    "Who is asked before something ends" : "The external policies", why);
}

/* Whoever ended, or was stopped, while others thought about it goes no further. */
static bool
still_stands(struct call *c)
{
	const Ag__Grant *g = &c->grant;
	bool ours = g->jti != NULL && g->issuer == NULL; /* others' we keep none of */
	const struct iam_token *token = !ours ? NULL :
	    iam_token_find(c->iam, g->jti);

	c->node = iam_node_find(c->iam, g->actor_id);
	return c->node != NULL && c->node->hold == NULL &&
	    iam_standing(c->node, c->now) == IAM_STANDS && (!ours ||
	    (token != NULL && token->revoked_at == 0 &&
	    c->now < token->expires_at));
}

static void
waiting_free(struct waiting *w)
{
	free(w->grant);
	free(w->text);
}

static ag_then on_evaluated;

/* Owns w, if it waits for an answer. */
static ag_err
ask_them(struct call *c, struct waiting *w)
{
	Ag__EvaluateAsk ask = AG__EVALUATE_ASK__INIT;
	ag_err err;

	ask.input.data = (uint8_t *)w->text;
	ask.input.len = strlen(w->text);
	ask.has_hook = ask.hook = w->hook;
	err = ag_ask(c->ctx, ag_slot(c->ctx, AG_ROLE_EVALUATOR, 0),
	    AG_MSG_EVALUATE_ASK, &ask, AG_MSG_EVALUATE_REPLY, w->hook ?
	    c->iam->hook_ms : c->iam->evaluate_ms, on_evaluated, w, sizeof(*w));
	if (err == AG_PENDING)
		return err;
	waiting_free(w);
	return refuse(c, w->hook, "unreachable");
}

static ag_err
go_on(struct call *c, ag_err status, const Ag__EvaluateReply *reply,
    struct waiting *w)
{
	ag_err err = AG_OK;

	if (!w->hook && status == AG_OK && reply->decision_id != NULL)
		c->grant.decision_id = reply->decision_id;
	if (!still_stands(c))
		err = REFUSE(c, AG_UNAUTHENTICATED, "token_revoked",
		    "Authorization", "The credential ended meanwhile.");
	else if (status != AG_OK)
		err = refuse(c, w->hook, status == AG_TIMEOUT ? "timeout" :
		    "unreachable");
	else if (!reply->allow)
		err = refuse(c, w->hook, reply->why);
	if (err == AG_OK && w->hook && c->iam->evaluates) {
		w->hook = false;
		return ask_them(c, w);
	}
	waiting_free(w);
	return err != AG_OK ? err : iam_pass(c);
}

static ag_err
on_evaluated(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct waiting *w = memo;
	struct call *c = ag_alloc(ctx, sizeof(*c));
	const Ag__Grant *grant = ag_unpack(ctx, &ag__grant__descriptor, w->grant,
	    w->len);

	if (c == NULL || grant == NULL) {
		waiting_free(w);
		return AG_NO_MEMORY;
	}
	c->iam = state;
	c->ctx = ctx;
	c->op = ag_operation_find(ag_type(ctx));
	c->rq = ag_env(ctx)->request;
	c->now = ag_now_ms(ctx);
	c->grant = *grant;
	return go_on(c, status, msg, w);
}

ag_err
iam_evaluate(struct call *c)
{
	/* Nobody is asked ahead about what these say no to. */
	struct call *of = c->about == NULL ? c : c->about;
	struct ag_rules_ask *about = NULL;
	struct waiting w = { .hook = c->iam->hook && iam_ends(c->iam, of->op) };
	ag_err err;

	if ((!c->iam->evaluates && !w.hook) || of->free)
		return iam_pass(c);
	if ((err = iam_rules_about(of, &about)) != AG_OK)
		return err;
	if (about == NULL) /* about policies themselves, and the like */
		return iam_pass(c);
	w.text = question(c, about);
	w.len = protobuf_c_message_get_packed_size(&c->grant.base);
	w.grant = malloc(w.len + 1);
	if (w.text == NULL || w.grant == NULL) {
		waiting_free(&w);
		return AG_NO_MEMORY;
	}
	protobuf_c_message_pack(&c->grant.base, w.grant);
	return ask_them(c, &w);
}
