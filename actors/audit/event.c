/* SPDX-License-Identifier: Apache-2.0 */
/*
 * event: the public event of an outcome. Who called, for whom and for what is
 * taken from the grant that iam signed; what came of it from who ended it.
 */
#include "audit.h"

#include <string.h>

const char *
event_plane(struct ag_ctx *ctx, unsigned slot)
{
	const char *name, *dot;
	char *cut;

	if (slot == AG_SLOT_NONE || (name = ag_slot_name(ctx, slot)) == NULL)
		return NULL;
	if ((dot = strchr(name, '.')) == NULL)
		return name;
	/* "rest.1" is the plane rest. */
	if ((cut = ag_strdup(ctx, name)) != NULL)
		cut[dot - name] = '\0';
	return cut;
}

static char *
uuid(struct ag_ctx *ctx, const ProtobufCBinaryData *id)
{
	char *text;

	if (id->len != AG_UUID_BYTES || (text = ag_alloc(ctx, AG_UUID_TEXT)) == NULL)
		return NULL;
	ag_uuid_text(id->data, text);
	return text;
}

static char *
hex(struct ag_ctx *ctx, const ProtobufCBinaryData *bytes)
{
	char *text;

	if (bytes->len > 64 || (text = ag_alloc(ctx, 2 * bytes->len + 1)) == NULL)
		return NULL;
	ag_hex(bytes->data, bytes->len, text);
	return text;
}

/* One that a host gave is a hash as it came; one of ours says which it is. */
static char *
prompt_hash(struct ag_ctx *ctx, const Ag__Grant *g)
{
	char *text = hex(ctx, &g->prompt_hash);

	if (text == NULL || !g->has_prompt_keyed || !g->prompt_keyed)
		return text;
	return ag_printf(ctx, "hmac:%s", text);
}

static ag_err
grant_actor(struct ag_ctx *ctx, const Ag__Grant *g, Ag__Event *e)
{
	Ag__EventActor *actor;

	if (g->actor_id == NULL)
		return AG_OK;
	if ((actor = ag_alloc(ctx, sizeof(*actor))) == NULL)
		return AG_NO_MEMORY;
	ag__event_actor__init(actor);
	actor->id = g->actor_id;
	actor->has_kind = g->has_actor_kind;
	actor->kind = g->actor_kind;
	actor->name = g->actor_name;
	actor->label = g->actor_label;
	actor->model = g->actor_model;
	actor->model_asserted = g->model_asserted;
	e->actor = actor;
	e->chain = g->chain;
	e->n_chain = g->n_chain;
	return AG_OK;
}

static ag_err
from_grant(struct ag_ctx *ctx, const Ag__Grant *g, Ag__Event *e)
{
	const struct ag_operation *op = ag_operation_find((uint16_t)g->op);

	e->tenant = g->tenant;
	e->occurred_at = g->occurred_at;
	e->request_id = uuid(ctx, &g->request_id);
	e->client_request_id = g->client_request_id;
	e->trace_id = g->trace_id;
	e->source_address = g->source_address;
	e->user_agent = g->user_agent;
	e->has_latency_us = true;
	e->latency_us = e->recorded_us - g->received_us;
	if (op != NULL)
		e->operation = (char *)op->operation;
	if (g->has_prompt_hash)
		e->prompt_hash = prompt_hash(ctx, g);
	e->has_held = e->held = g->has_held && g->held;
	e->has_tier_critical = e->tier_critical =
	    g->has_tier_critical && g->tier_critical;
	e->has_honey = e->honey = g->has_honey && g->honey;
	e->has_scope_count = g->has_scope_count;
	e->scope_count = g->scope_count;
	e->has_credential_issued_at = g->has_credential_issued_at;
	e->credential_issued_at = g->credential_issued_at;
	e->reach = g->reach;
	e->policy = g->policy;
	e->has_plane_boot = e->has_plane_n = true;
	e->plane_boot = g->boot;
	e->plane_n = g->n;
	return e->request_id == NULL ? AG_BAD_MESSAGE : grant_actor(ctx, g, e);
}

/* Nobody vouched for it: only what the plane saw, and no actor. */
static ag_err
from_request(struct ag_ctx *ctx, const Ag__Request *q, Ag__Event *e)
{
	e->occurred_at = q->occurred_at;
	e->request_id = uuid(ctx, &q->request_id);
	e->client_request_id = q->client_request_id;
	e->trace_id = q->trace_id;
	e->source_address = q->source_address;
	e->user_agent = q->user_agent;
	e->has_latency_us = true;
	e->latency_us = e->recorded_us - q->received_us;
	if (q->has_prompt_hash)
		e->prompt_hash = hex(ctx, &q->prompt_hash);
	e->has_plane_boot = e->has_plane_n = true;
	e->plane_boot = q->boot;
	e->plane_n = q->n;
	return e->request_id == NULL ? AG_BAD_MESSAGE : AG_OK;
}

/* Detections, responses, lifecycle: no request of anybody. */
static ag_err
from_sender(struct ag_ctx *ctx, const Ag__OutcomeEvent *o, Ag__Event *e)
{
	Ag__EventActor *actor;
	const Ag__Link *self;

	if (o->tenant != NULL)
		e->tenant = o->tenant;
	e->occurred_at = ag_now_ms(ctx);
	e->chain = o->chain;
	e->n_chain = o->n_chain;
	if (o->actor_id == NULL)
		return AG_OK;
	if ((actor = ag_alloc(ctx, sizeof(*actor))) == NULL)
		return AG_NO_MEMORY;
	ag__event_actor__init(actor);
	actor->id = o->actor_id;
	self = o->n_chain == 0 ? NULL : o->chain[o->n_chain - 1];
	if (self != NULL && strcmp(self->id, o->actor_id) == 0) {
		actor->has_kind = true;
		actor->kind = self->kind;
		actor->name = self->name;
	}
	e->actor = actor;
	return AG_OK;
}

static ag_err
resource(struct ag_ctx *ctx, const Ag__OutcomeEvent *o, const Ag__Grant *g,
    Ag__Event *e)
{
	Ag__Resource *r;
	char *type = o->resource_type, *id = o->resource_id,
	    *alias = o->resource_alias;

	if (g != NULL && type == NULL)
		type = g->resource_type;
	if (g != NULL && id == NULL) {
		id = g->resource_id;
		alias = alias == NULL ? g->resource_alias : alias;
	} else if (g != NULL && alias == NULL && g->resource_id != NULL &&
	    strcmp(id, g->resource_id) == 0) {
		alias = g->resource_alias;
	}
	if (type == NULL && id == NULL && alias == NULL)
		return AG_OK;
	if ((r = ag_alloc(ctx, sizeof(*r))) == NULL)
		return AG_NO_MEMORY;
	ag__resource__init(r);
	r->type = type;
	r->id = id;
	r->alias = alias;
	e->resource = r;
	return AG_OK;
}

/* What the plane will answer: by the operation that the grant names. */
static uint32_t
success_status(const Ag__Grant *g)
{
	const struct ag_operation *op = g == NULL ? NULL :
	    ag_operation_find((uint16_t)g->op);

	return op != NULL && (op->flags & AG_OP_MAKES) != 0 ? 201 : 200;
}

static void
result(const Ag__OutcomeEvent *o, const Ag__Grant *g, Ag__Event *e)
{
	e->outcome = o->outcome;
	if (o->refusal != NULL) {
		const struct ag_err_row *row = ag_err_row((ag_err)o->refusal->err);

		e->has_status = true;
		e->status = (uint32_t)row->http;
		e->code = (char *)row->code;
		e->reason_code = o->refusal->reason_code;
		e->rule = o->refusal->rule;
	} else if (o->has_status || o->event_type == AG__EVENT_TYPE__V__request) {
		e->has_status = true;
		e->status = o->has_status ? o->status : success_status(g);
	}
	e->risk = o->verdict;
	e->params = o->params;
	e->n_params = o->n_params;
	e->has_items = o->has_items;
	e->items = o->items;
	e->has_failed = o->has_failed;
	e->failed = o->failed;
	e->has_suppressed = o->has_suppressed;
	e->suppressed = o->suppressed;
	e->cause_event_id = o->cause_event_id;
	e->reason = o->reason;
	e->has_journal_seq = o->has_journal_seq;
	e->journal_seq = o->journal_seq;
	e->has_journal_prev = o->has_journal_prev;
	e->journal_prev = o->journal_prev;
}

/* Of the grant: a parameter like the others, so what looks like a secret in it
 * is taken out. value NULL: there is none. */
static ag_err
add_param(struct ag_ctx *ctx, const char *key, char *value, Ag__Event *e)
{
	Ag__Pair **params, *pair;

	if (value == NULL)
		return AG_OK;
	params = ag_alloc(ctx, (e->n_params + 1) * sizeof(*params));
	pair = ag_alloc(ctx, sizeof(*pair));
	if (params == NULL || pair == NULL)
		return AG_NO_MEMORY;
	if (e->n_params > 0)
		memcpy(params, e->params, e->n_params * sizeof(*params));
	ag__pair__init(pair);
	pair->key = (char *)key;
	pair->value = value;
	params[e->n_params++] = pair;
	e->params = params;
	return AG_OK;
}

/* Several policies that changed at once. */
static ag_err
offered(struct ag_ctx *ctx, const Ag__OutcomeEvent *o, Ag__Event *e)
{
	const Ag__PolicyOfferReply *now = ag_unpack(ctx,
	    &ag__policy_offer_reply__descriptor, o->reply.data, o->reply.len);

	if (now == NULL)
		return AG_BAD_MESSAGE;
	e->policy_changes = now->changes;
	e->n_policy_changes = now->n_changes;
	return AG_OK;
}

/* The policies that decided; and a changed one whole, so that what it decides
 * from now on can be decided again from the log alone. */
static ag_err
policy(struct ag_ctx *ctx, const Ag__OutcomeEvent *o, const Ag__Grant *g,
    Ag__Event *e)
{
	const Ag__Policy *now;

	if (g != NULL && g->policy != NULL) {
		e->policy_version = ag_printf(ctx, "%llu",
		    (unsigned long long)g->policy->version);
		if (e->policy_version == NULL)
			return AG_NO_MEMORY;
		if (e->rule == NULL)
			e->rule = g->policy->rule;
	}
	if (!o->has_reply || o->outcome != AG__OUTCOME_KIND__V__allowed ||
	    (o->has_replayed && o->replayed))
		return AG_OK;
	if (o->reply_type == AG_MSG_POLICY_OFFER_REPLY)
		return offered(ctx, o, e);
	if (o->reply_type != AG_MSG_POLICY_SET &&
	    o->reply_type != AG_MSG_POLICY_DELETE &&
	    o->reply_type != AG_MSG_POLICY_ROLLBACK)
		return AG_OK;
	now = ag_unpack(ctx, &ag__policy__descriptor, o->reply.data,
	    o->reply.len);
	e->policy_change = ag_alloc(ctx, sizeof(*e->policy_change));
	if (now == NULL || e->policy_change == NULL)
		return now == NULL ? AG_BAD_MESSAGE : AG_NO_MEMORY;
	ag__policy_change__init(e->policy_change);
	e->policy_change->name = now->name;
	e->policy_change->policy_version = now->policy_version;
	e->policy_change->text = now->text;
	return AG_OK;
}

ag_err
event_build(struct ag_ctx *ctx, const Ag__OutcomeEvent *o, const Ag__Grant *g,
    unsigned plane, unsigned from, Ag__Event *e)
{
	ag_err err;

	ag__event__init(e);
	e->event_type = o->event_type;
	e->operation = o->operation;
	e->tenant = (char *)"system";
	e->has_recorded_us = true;
	e->recorded_us = ag_mono_us(ctx);
	e->author = (char *)ag_slot_name(ctx, from);
	e->plane = (char *)event_plane(ctx, plane);
	if (g != NULL)
		err = from_grant(ctx, g, e);
	else if (o->request != NULL)
		err = from_request(ctx, o->request, e);
	else
		err = from_sender(ctx, o, e);
	if (err != AG_OK)
		return err;
	if (e->latency_us > INT64_MAX)
		e->latency_us = 0; /* received after it was recorded: another clock */
	result(o, g, e);
	/* A grant has a prompt only where audit.prompts says so. */
	if (g != NULL && ((err = add_param(ctx, "prompt", g->prompt, e)) !=
	    AG_OK || (err = add_param(ctx, "opa_decision_id", g->decision_id,
	    e)) != AG_OK))
		return err;
	if ((err = policy(ctx, o, g, e)) != AG_OK ||
	    (err = resource(ctx, o, g, e)) != AG_OK)
		return err;
	return event_spans(ctx, o, g, e);
}

void
event_own(struct ag_ctx *ctx, Ag__Event *e, char id[AG_ID_SIZE],
    Ag__EventType__V type, const char *operation)
{
	ag__event__init(e);
	ag_id_new(ctx, "evt", id);
	e->event_id = id;
	e->tenant = (char *)"system";
	e->event_type = type;
	e->occurred_at = ag_now_ms(ctx);
	e->operation = (char *)operation;
	e->outcome = type == AG__EVENT_TYPE__V__unaccounted ?
	    AG__OUTCOME_KIND__V__unknown : AG__OUTCOME_KIND__V__allowed;
	e->author = (char *)ag_slot_name(ctx, ag_self(ctx));
	e->has_recorded_us = true;
	e->recorded_us = ag_mono_us(ctx);
}
