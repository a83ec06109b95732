/* SPDX-License-Identifier: Apache-2.0 */
/*
 * responder: what is done about it?
 * Hears from anomaly what an event means. Acts first (iam, risk, a key's shard),
 * then records the action, then lets iam go of the hold, then keeps the
 * recommendation in the journal, and only then answers: so whatever dies in
 * between, anomaly asks again, and every step may be repeated.
 * Keeps the recommendations as the journal tells them, for readers.
 * Nothing that it says is ever an event that it hears of again.
 */
#include <aegis/aegis.h>
#include <aegis/event.h>

#include <stdio.h>
#include <string.h>

#include "responder/book.h"
#include "responder/rules.h"

enum { ACT_MS = 2000, RULE_MS = 1000, RECOMMENDATIONS_MAX = 8 };

static const char *const tables[] = { BOOK_TABLES, NULL };

enum { ACTIONS, ALERTS, ACTION_US };
static const struct ag_metric_row metrics[] = {
	{ "responder_actions_total", "Actions done", AG_COUNTER },
	{ "responder_alerts_total", "Recommendations that were only said",
	    AG_COUNTER },
	{ "responder_action_us", "From the event recorded to the action journaled",
	    AG_HISTOGRAM_US },
};

struct responder {
	struct rules rules;
};

/* How far the assessment of one event is; it travels as a memo. */
struct progress {
	uint32_t next;   /* recommendation */
	bool acted;      /* something was done about this event */
	struct {
		bool keep;  /* to the journal */
		bool acted;
		bool dry_run;
		uint64_t version;   /* of its stream, before */
		int64_t since;      /* occurred_at, before; 0: new */
		char action[24];
		char event_id[AG_ID_SIZE];
	} done[RECOMMENDATIONS_MAX];
};

static ag_err step(struct responder *responder, struct ag_ctx *ctx,
    const Ag__AssessAsk *ask, struct progress *progress);

/* ------------------------------------------------------------ the response */

struct response {
	const Ag__Recommendation *of;
	struct decision decision;
	const Ag__ActReply *reply; /* NULL: nothing was done */
	ag_err status;
};

static const char *
number(struct ag_ctx *ctx, uint64_t n)
{
	return ag_printf(ctx, "%llu", (unsigned long long)n);
}

static const char *
resource_type(const Ag__Recommendation *of, const struct decision *d)
{
	if (d->target == TARGET_KEY)
		return "key";
	return of->has_actor_kind && of->actor_kind != AG__KIND__V__agent ?
	    "principal" : "agent";
}

/* The audit event of what was done, or of what was not. */
static ag_err
record(struct ag_ctx *ctx, const Ag__AssessAsk *ask,
    const struct response *response, const char *event_id)
{
	const struct decision *d = &response->decision;
	Ag__OutcomeEvent o = AG__OUTCOME_EVENT__INIT;
	Ag__Pair pairs[7], *params[7];
	uint64_t elapsed_us = ag_mono_us(ctx) - ask->recorded_us;
#define PARAM(k, v) do { \
	ag__pair__init(&pairs[o.n_params]); \
	pairs[o.n_params].key = (char *)(k); \
	pairs[o.n_params].value = (char *)(v); \
	params[o.n_params] = &pairs[o.n_params]; \
	o.n_params++; \
} while (0)
	PARAM("recommendation", response->of->id);
	if (d->instead_of != NULL)
		PARAM("instead_of", d->instead_of);
	if (d->dry_run)
		PARAM("dry_run", "true");
	if (response->reply != NULL) {
		PARAM("changed", response->reply->changed ? "true" : "false");
		PARAM("count", number(ctx, response->reply->count));
	}
	if (response->status != AG_OK)
		PARAM("error", ag_err_row(response->status)->code);
	if (ask->has_recorded_us)
		PARAM("elapsed_us", number(ctx, elapsed_us));
#undef PARAM
	o.params = params;
	o.event_type = AG__EVENT_TYPE__V__response;
	o.outcome = response->status == AG_OK ? AG__OUTCOME_KIND__V__allowed :
	    AG__OUTCOME_KIND__V__failed;
	o.operation = ag_printf(ctx, "response.%s", d->action);
	o.reason = ag_printf(ctx, "AnomalyAlert(%s)", response->of->id);
	o.event_id = (char *)event_id;
	o.cause_event_id = response->of->event_id;
	o.tenant = ask->tenant;
	o.actor_id = response->of->actor;
	o.n_chain = ask->n_chain;
	o.chain = ask->chain;
	o.resource_type = (char *)resource_type(response->of, d);
	o.resource_id = (char *)(d->id != NULL ? d->id : response->of->actor);
	if (o.operation == NULL || o.reason == NULL)
		return AG_NO_MEMORY;
	if (response->reply != NULL)
		ag_metric_observe_us(ctx, ACTION_US, elapsed_us);
	return ag_record(ctx, &o);
}

/* One recommendation is dealt with: say so, and remember it for the journal. */
static ag_err
conclude(struct ag_ctx *ctx, const Ag__AssessAsk *ask,
    const struct response *response, struct progress *progress)
{
	uint32_t i = progress->next++;
	bool acted = response->reply != NULL;

	snprintf(progress->done[i].action, sizeof(progress->done[i].action),
	    "%s", response->decision.action);
	ag_id_derive("evt", response->of->event_id, response->decision.action,
	    progress->done[i].event_id);
	progress->done[i].keep = true;
	progress->done[i].acted = acted;
	progress->done[i].dry_run = response->decision.dry_run;
	progress->acted |= acted;
	ag_metric_add(ctx, acted ? ACTIONS : ALERTS, 1);
	ag_log(ctx, AG_WARN, "RESPONSE", "action=%s recommendation=%s actor=%s",
	    response->decision.action, response->of->id, response->of->actor);
	return record(ctx, ask, response, progress->done[i].event_id);
}

/* ---------------------------------------------------------------- acting */

static const Ag__AssessAsk *
ask_again(struct ag_ctx *ctx)
{
	size_t len;
	const uint8_t *body = ag_body(ctx, &len);

	return ag_unpack(ctx, &ag__assess_ask__descriptor, body, len);
}

/* There is nothing left to act on; trying again would change nothing. Any
 * other failure is tried again, and the hold stays meanwhile. */
static bool
is_final(ag_err status)
{
	static const ag_err final[] = {
		AG_ITEM_NOT_FOUND, AG_ILLEGAL_OPERATION, AG_INVALID_KEY_STATE,
		AG_KEY_COMPROMISED, AG_INVALID_FIELD, AG_PERMISSION_DENIED,
		AG_FEATURE_NOT_SUPPORTED,
	};

	for (size_t i = 0; i < sizeof(final) / sizeof(final[0]); i++)
		if (final[i] == status)
			return true;
	return false;
}

struct acting {
	struct progress progress;
	char action[24];
	char target[AG_ID_SIZE];
	enum rule_target target_kind;
};

static ag_err
on_acted(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct responder *responder = state;
	struct acting *acting = memo;
	const Ag__AssessAsk *ask = ask_again(ctx);
	struct response response = { .reply = msg, .status = status };
	ag_err err;

	if (ask == NULL)
		return AG_NO_MEMORY;
	if (status != AG_OK) {
		rules_uncount(&responder->rules);
		if (!is_final(status))
			return status;
	}
	response.of = ask->recommendations[acting->progress.next];
	response.decision.action = acting->action;
	response.decision.target = acting->target_kind;
	response.decision.id = acting->target;
	err = conclude(ctx, ask, &response, &acting->progress);
	return err != AG_OK ? err :
	    step(responder, ctx, ask, &acting->progress);
}

static ag_err
act(struct responder *responder, struct ag_ctx *ctx,
    const Ag__Recommendation *r, const struct decision *decision,
    const struct progress *progress)
{
	Ag__ActAsk act = AG__ACT_ASK__INIT;
	struct acting acting = { .progress = *progress,
	    .target_kind = decision->target };
	unsigned to = decision->target == TARGET_KEY ?
	    ag_shard(ctx, AG_ROLE_KEYS, decision->id) :
	    ag_slot(ctx, decision->target == TARGET_ACTOR ? AG_ROLE_RISK :
	    AG_ROLE_IAM, 0);
	ag_err err;

	_Static_assert(sizeof(acting) <= AG_MEMO_BYTES_MAX, "memo");
	snprintf(acting.action, sizeof(acting.action), "%s", decision->action);
	snprintf(acting.target, sizeof(acting.target), "%s", decision->id);
	act.action = (char *)decision->action;
	act.tenant = r->tenant;
	act.target = (char *)decision->id;
	act.recommendation_id = r->id;
	act.cause_event_id = r->event_id;
	act.reason = ag_printf(ctx, "AnomalyAlert(%s)", r->id);
	if (act.reason == NULL)
		return AG_NO_MEMORY;
	err = ag_ask(ctx, to, AG_MSG_ACT_ASK, &act, AG_MSG_ACT_REPLY, ACT_MS,
	    on_acted, &acting, sizeof(acting));
	if (err == AG_PENDING)
		rules_count(&responder->rules, ag_mono_ms(ctx));
	return err;
}

/* ------------------------------------------------------- ruling, keeping */

static Ag__Recommendation *
kept(struct ag_ctx *ctx, Ag__Recommendation *r, const struct progress *progress,
    size_t i)
{
	Ag__RecommendationAction *action = ag_alloc(ctx, sizeof(*action));

	if (action == NULL)
		return NULL;
	ag__recommendation_action__init(action);
	action->name = (char *)progress->done[i].action;
	action->event_id = (char *)progress->done[i].event_id;
	action->dry_run = progress->done[i].dry_run;
	action->occurred_at = ag_now_ms(ctx);
	r->action = action;
	r->state = (char *)(progress->done[i].acted ? "acted" : "open");
	if (progress->done[i].since != 0)
		r->occurred_at = progress->done[i].since;
	return r;
}

static ag_err
keep(struct ag_ctx *ctx, const Ag__AssessAsk *ask,
    const struct progress *progress)
{
	Ag__RecommendationFact facts[RECOMMENDATIONS_MAX];
	struct ag_fact list[RECOMMENDATIONS_MAX];
	Ag__Done done = AG__DONE__INIT;
	size_t n = 0;

	for (size_t i = 0; i < ask->n_recommendations; i++) {
		if (!progress->done[i].keep)
			continue;
		ag__recommendation_fact__init(&facts[n]);
		facts[n].recommendation = kept(ctx, ask->recommendations[i],
		    progress, i);
		facts[n].at = ag_now_ms(ctx);
		list[n].stream = ag_printf(ctx, "recommendation:%s",
		    ask->recommendations[i]->id);
		if (facts[n].recommendation == NULL || list[n].stream == NULL)
			return AG_NO_MEMORY;
		list[n].expected_version = progress->done[i].version;
		list[n].type = AG_MSG_RECOMMENDATION_FACT;
		list[n].fact = &facts[n];
		n++;
	}
	if (n == 0)
		return ag_reply(ctx, AG_MSG_DONE_REPLY, &done);
	return ag_persist(ctx, list, n, AG_MSG_DONE_REPLY, &done, NULL, NULL,
	    NULL, 0);
}

static ag_err
on_ruled(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	const Ag__AssessAsk *ask = ask_again(ctx);

	/* iam is away: anomaly asks again, and the hold stays meanwhile. */
	if (status != AG_OK)
		return status;
	return ask != NULL ? keep(ctx, ask, memo) : AG_NO_MEMORY;
}

/* Lets iam go of the hold, then keeps what was done. */
static ag_err
rule(struct ag_ctx *ctx, const Ag__AssessAsk *ask,
    const struct progress *progress)
{
	Ag__RulingAsk ruling = AG__RULING_ASK__INIT;

	_Static_assert(sizeof(*progress) <= AG_MEMO_BYTES_MAX, "memo");
	if (!ask->held)
		return keep(ctx, ask, progress);
	ruling.event_id = ask->event_id;
	ruling.agent_id = ask->agent_id;
	ruling.acted = progress->acted;
	return ag_ask(ctx, ag_slot(ctx, AG_ROLE_IAM, 0), AG_MSG_RULING_ASK,
	    &ruling, AG_MSG_DONE_REPLY, RULE_MS, on_ruled, progress,
	    sizeof(*progress));
}

/* ------------------------------------------------------- the assessment */

/* It was dealt with before: only its record may have been lost, so that is
 * said again. True if so. */
static bool
known(struct ag_ctx *ctx, const Ag__AssessAsk *ask, struct progress *progress,
    ag_err *err)
{
	struct response response = {
		.of = ask->recommendations[progress->next],
	};
	Ag__Recommendation *old = advice_find(ctx, response.of->id,
	    &progress->done[progress->next].version);
	char event_id[AG_ID_SIZE];

	if (old == NULL)
		return false;
	if (response.of->severity > old->severity || old->action == NULL) {
		/* The same burst, grown: decided anew, kept in its place. */
		progress->done[progress->next].since = old->occurred_at;
		return false;
	}
	progress->acted |= strcmp(old->state, "acted") == 0;
	progress->next++;
	response.decision.action = old->action->name;
	response.decision.dry_run = old->action->dry_run;
	ag_id_derive("evt", response.of->event_id, old->action->name, event_id);
	*err = record(ctx, ask, &response, event_id);
	return true;
}

static ag_err
step(struct responder *responder, struct ag_ctx *ctx, const Ag__AssessAsk *ask,
    struct progress *progress)
{
	ag_err err = AG_OK;

	while (err == AG_OK && progress->next < ask->n_recommendations) {
		struct response response = {
			.of = ask->recommendations[progress->next],
		};

		if (known(ctx, ask, progress, &err))
			continue;
		rules_decide(&responder->rules, response.of, ag_mono_ms(ctx),
		    &response.decision);
		if (response.decision.id != NULL && !response.decision.dry_run)
			return act(responder, ctx, response.of,
			    &response.decision, progress);
		err = conclude(ctx, ask, &response, progress);
	}
	return err == AG_OK ? rule(ctx, ask, progress) : err;
}

/* What is kept under it, or asked for by it, has its bounds. */
static bool
is_short(const char *text, size_t max)
{
	return text == NULL || strlen(text) <= max;
}

static bool
can_be_kept(const Ag__Recommendation *r)
{
	return r->event_id != NULL && is_short(r->event_id, AG_ID_SIZE - 1) &&
	    r->tenant != NULL && is_short(r->tenant, AG_NAME_MAX) &&
	    r->id[0] != '\0' && is_short(r->id, AG_ID_SIZE - 1) &&
	    is_short(r->actor, AG_ID_SIZE - 1) &&
	    is_short(r->key_id, AG_ID_SIZE - 1) &&
	    is_short(r->top_agent, AG_ID_SIZE - 1);
}

static ag_err
on_assess_ask(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__AssessAsk *ask = msg;
	struct progress progress = { 0 };

	if (ask->n_recommendations > RECOMMENDATIONS_MAX ||
	    !is_short(ask->tenant, AG_NAME_MAX))
		return AG_BAD_MESSAGE;
	for (size_t i = 0; i < ask->n_recommendations; i++)
		if (!can_be_kept(ask->recommendations[i]))
			return AG_BAD_MESSAGE;
	return step(state, ctx, ask, &progress);
}

/* ------------------------------------------------------------- for people */

static ag_err
on_list(void *state, struct ag_ctx *ctx, const void *msg)
{
	Ag__RecommendationListReply reply = AG__RECOMMENDATION_LIST_REPLY__INIT;
	ag_err err = advice_list(ctx, msg, &reply);

	return err != AG_OK ? err :
	    ag_reply(ctx, AG_MSG_RECOMMENDATION_LIST, &reply);
}

/* NULL: refused already, with *err. */
static Ag__Recommendation *
named(struct ag_ctx *ctx, uint64_t *version, ag_err *err)
{
	const char *id = ag_grant(ctx)->resource_id;
	Ag__Recommendation *r = NULL;

	if (id != NULL && ag_id_valid(id, "rec"))
		r = advice_find(ctx, id, version);
	if (r != NULL && advice_visible(ctx, r))
		return r;
	*err = ag_refuse(ctx, AG_ITEM_NOT_FOUND, NULL, NULL,
	    "There is no such recommendation");
	return NULL;
}

static ag_err
on_read(void *state, struct ag_ctx *ctx, const void *msg)
{
	uint64_t version;
	ag_err err;
	Ag__Recommendation *r = named(ctx, &version, &err);

	if (r == NULL)
		return err;
	advice_public(r);
	return ag_reply(ctx, AG_MSG_RECOMMENDATION_READ, r);
}

/* What anomaly reads in the audit log: so it is learned once, in order, and
 * whatever was learned can be read there. */
static ag_err
note_learning(struct ag_ctx *ctx, const Ag__Recommendation *r)
{
	const char *since = ag_printf(ctx, "%lld", (long long)r->occurred_at);

	if (since == NULL)
		return AG_NO_MEMORY;
	if (r->baseline == NULL)
		return ag_refuse(ctx, AG_INVALID_FIELD, "conflicting_fields",
		    "/learn", "%s has no idea of what is usual: there is "
		    "nothing to learn", r->detector);
	ag_note_param(ctx, "learn", "true");
	ag_note_param(ctx, "detector", r->detector);
	ag_note_param(ctx, "baseline", r->baseline);
	ag_note_param(ctx, "since_ms", since);
	return AG_OK;
}

static ag_err
on_dismiss(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__DismissAsk *ask = msg;
	Ag__RecommendationFact fact = AG__RECOMMENDATION_FACT__INIT;
	struct ag_fact list = { .type = AG_MSG_RECOMMENDATION_FACT,
	    .fact = &fact };
	Ag__Recommendation *r, shown;
	uint64_t version;
	ag_err err;

	if (ask->reason[0] == '\0')
		return ag_refuse(ctx, AG_INVALID_FIELD, "missing", "/reason",
		    "A reason is needed");
	if ((r = named(ctx, &version, &err)) == NULL)
		return err;
	list.stream = ag_printf(ctx, "recommendation:%s", r->id);
	if (list.stream == NULL)
		return AG_NO_MEMORY;
	if ((err = ag_enter(ctx, list.stream, true)) != AG_OK)
		return err;
	if (ask->learn && (err = note_learning(ctx, r)) != AG_OK)
		return err;
	ag_note_reason(ctx, ask->reason);
	shown = *r;
	shown.state = (char *)"dismissed";
	advice_public(&shown);
	if (strcmp(r->state, "dismissed") == 0)
		return ag_reply(ctx, AG_MSG_RECOMMENDATION_DISMISS, &shown);
	r->state = (char *)"dismissed";
	list.expected_version = version;
	fact.recommendation = r;
	fact.at = ag_now_ms(ctx);
	fact.by = ag_grant(ctx)->actor_id;
	fact.reason = ask->reason;
	return ag_persist(ctx, &list, 1, AG_MSG_RECOMMENDATION_DISMISS, &shown,
	    NULL, NULL, NULL, 0);
}

static ag_err
on_rules(void *state, struct ag_ctx *ctx, const void *msg)
{
	const struct rules *rules = &((struct responder *)state)->rules;
	Ag__ResponderRulesReply reply = AG__RESPONDER_RULES_REPLY__INIT;
	Ag__ResponderRule items[RULES_MAX], *list[RULES_MAX];

	for (size_t i = 0; i < rules->count; i++) {
		ag__responder_rule__init(&items[i]);
		items[i].detector = (char *)rules->rules[i].detector;
		items[i].has_severity = rules->rules[i].severity != 0;
		items[i].severity = rules->rules[i].severity;
		items[i].has_kind = rules->rules[i].kind != 0;
		items[i].kind = rules->rules[i].kind;
		items[i].action = (char *)rules->rules[i].action;
		list[i] = &items[i];
	}
	reply.dry_run = rules->dry_run;
	reply.max_actions_per_minute = rules->a_minute;
	reply.n_items = rules->count;
	reply.items = list;
	return ag_reply(ctx, AG_MSG_RESPONDER_RULES, &reply);
}

/* -------------------------------------------------------------------- life */

static ag_err
apply(void *state, struct ag_ctx *ctx, const struct ag_fact_record *record)
{
	const Ag__RecommendationFact *fact = record->fact;

	if (record->type != AG_MSG_RECOMMENDATION_FACT)
		return AG_OK;
	return advice_apply(ctx, fact->recommendation, record->version);
}

static ag_err
init(void *state, struct ag_ctx *ctx)
{
	rules_read(&((struct responder *)state)->rules, ctx);
	return AG_OK;
}

static const struct ag_row rows[] = {
	{ AG_MSG_ASSESS_ASK, on_assess_ask },
	{ AG_MSG_RECOMMENDATION_LIST, on_list },
	{ AG_MSG_RECOMMENDATION_READ, on_read },
	{ AG_MSG_RECOMMENDATION_DISMISS, on_dismiss },
	{ AG_MSG_RESPONDER_RULES, on_rules },
};

const struct ag_actor ag_actor_responder = {
	.name = "responder",
	.state_size = sizeof(struct responder),
	AG_ROWS(rows),
	.init = init,
	.apply = apply,
	.follow = AG_FOLLOW_START,
	.tables = tables,
	AG_METRICS(metrics),
};
