/* SPDX-License-Identifier: Apache-2.0 */
/*
 * anomaly: what pattern is this event part of?
 * Hears the audit log, in order. Says detections to audit, and to the
 * responder what it found in an event: also that it found nothing, for an
 * event whose agent iam holds, because the hold waits for the ruling.
 * Keeps a row per detector and actor, and what is not settled yet, in the
 * store with the cursor: a restart goes on as if it had not happened. Events
 * that detection and response made themselves are never looked at. Two events
 * change what is usual by themselves: an agent was issued (its scopes seed its
 * line's rows), and a person dismissed a recommendation with `learn`.
 */
#include <aegis/aegis.h>
#include <aegis/event.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "anomaly/detector.h"
#include "anomaly/pending.h"
#include "habit.h"
#include "rows.h"

enum {
	DETECTORS_MAX = 16,
	ACTORS_MAX = 8192, /* rows of a detector; the one used longest ago goes */
};
#define TIME_MAX_MS INT64_C(253402300799000) /* the year 9999 */

enum { TABLE_ROWS, TABLE_PENDING };
static const char *const tables[] = { "rows", "pending", NULL };

enum { EVENTS, FOUND, PENDING };
static const struct ag_metric_row metrics[] = {
	{ "anomaly_events_total", "Events looked at", AG_COUNTER },
	{ "anomaly_detections_total", "Recommendations made", AG_COUNTER },
	{ "anomaly_pending", "Findings that are not settled", AG_GAUGE },
};

struct anomaly {
	struct anomaly_limits limits[DETECTORS_MAX];
	struct rows *rows[DETECTORS_MAX]; /* NULL: remembers nothing */
	struct pending_ring pending;
};

/* What one event led to; in the turn's memory. */
struct result {
	Ag__AssessPending pending;
	Ag__AssessAsk ask;
	Ag__Recommendation *recommendations[PENDING_DETECTIONS_MAX];
	Ag__OutcomeEvent *detections[PENDING_DETECTIONS_MAX];
};

struct pending_ring *
pending_ring_of(void *state)
{
	return &((struct anomaly *)state)->pending;
}

static const char *
severity_name(Ag__Severity__V severity)
{
	return ag_enum_name(&ag__severity__v__descriptor, (int)severity);
}

/* ------------------------------------------------------------- findings */

static const char *
suggestion(const struct anomaly_detector *detector, const Ag__Event *event,
    Ag__Severity__V severity)
{
	static const struct {
		const char *detector;
		Ag__Severity__V severity;
		const char *action;
	} suggestions[] = {
		{ "scope_violation", AG__SEVERITY__V__critical, "revoke_agent" },
		{ "scope_violation", AG__SEVERITY__V__high, "suspend_agent" },
		{ "honey_key", AG__SEVERITY__V__critical, "revoke_subtree" },
		{ "rate_spike", AG__SEVERITY__V__high, "suspend_agent" },
	};

	for (size_t i = 0; anomaly_is_agent(event) &&
	    i < sizeof(suggestions) / sizeof(suggestions[0]); i++)
		if (suggestions[i].severity == severity &&
		    strcmp(suggestions[i].detector, detector->name) == 0)
			return suggestions[i].action;
	return "alert";
}

static Ag__Pair **
pairs_new(struct ag_ctx *ctx, size_t count)
{
	Ag__Pair **list = ag_alloc(ctx, (count + 1) * sizeof(*list));
	Ag__Pair *pairs = ag_alloc(ctx, (count + 1) * sizeof(*pairs));

	for (size_t i = 0; list != NULL && pairs != NULL && i < count; i++) {
		ag__pair__init(&pairs[i]);
		list[i] = &pairs[i];
	}
	return pairs != NULL ? list : NULL;
}

/* The agent next to the person or service at the root. */
static char *
top_agent(const Ag__Event *event)
{
	for (size_t i = 0; i < event->n_chain; i++)
		if (event->chain[i]->kind == AG__KIND__V__agent)
			return event->chain[i]->id;
	return anomaly_is_agent(event) ? event->actor->id : NULL;
}

static Ag__Recommendation *
recommendation_new(struct ag_ctx *ctx, const struct anomaly_detector *detector,
    const Ag__Event *event, const struct anomaly_finding *finding)
{
	Ag__Recommendation *r = ag_alloc(ctx, sizeof(*r));
	const char *since = finding->since[0] != '\0' ? finding->since :
	    event->event_id;
	bool later = strcmp(since, event->event_id) != 0;
	char id[AG_ID_SIZE], event_id[AG_ID_SIZE];

	if (r == NULL)
		return NULL;
	ag_id_derive("rec", since, detector->name, id);
	ag_id_derive("evt", id, severity_name(finding->severity), event_id);
	ag__recommendation__init(r);
	r->id = ag_strdup(ctx, id);
	r->event_id = ag_strdup(ctx, event_id);
	r->occurred_at = event->occurred_at;
	r->actor = event->actor->id;
	r->root = event->n_chain > 0 ? event->chain[0]->id : event->actor->id;
	r->detector = (char *)detector->name;
	r->severity = finding->severity;
	r->summary = ag_strdup(ctx, finding->summary);
	r->suggested_action = (char *)suggestion(detector, event,
	    finding->severity);
	r->state = (char *)"open";
	r->tenant = event->tenant;
	r->has_actor_kind = event->actor->has_kind;
	r->actor_kind = event->actor->kind;
	r->top_agent = top_agent(event);
	if (event->resource != NULL && event->resource->type != NULL &&
	    strcmp(event->resource->type, "key") == 0)
		r->key_id = event->resource->id;
	r->n_evidence = later ? 2 : 1;
	r->evidence = ag_alloc(ctx, 2 * sizeof(char *));
	r->n_details = finding->detail_count;
	r->details = pairs_new(ctx, finding->detail_count);
	if (r->id == NULL || r->event_id == NULL || r->summary == NULL ||
	    r->evidence == NULL || r->details == NULL)
		return NULL;
	r->evidence[0] = ag_strdup(ctx, since);
	r->evidence[1] = event->event_id;
	for (unsigned i = 0; i < finding->detail_count; i++) {
		r->details[i]->key = (char *)finding->details[i].key;
		r->details[i]->value = ag_strdup(ctx, finding->details[i].value);
		if (r->details[i]->value == NULL)
			return NULL;
	}
	return r->evidence[0] != NULL ? r : NULL;
}

/* The recommendation as an event of the audit log. */
static Ag__OutcomeEvent *
detection_new(struct ag_ctx *ctx, const Ag__Event *event,
    const Ag__Recommendation *r)
{
	Ag__OutcomeEvent *o = ag_alloc(ctx, sizeof(*o));

	if (o == NULL)
		return NULL;
	ag__outcome_event__init(o);
	o->event_type = AG__EVENT_TYPE__V__detection;
	o->outcome = AG__OUTCOME_KIND__V__allowed;
	o->operation = ag_printf(ctx, "detection.%s", r->detector);
	o->event_id = r->event_id;
	o->cause_event_id = event->event_id;
	o->tenant = event->tenant;
	o->actor_id = event->actor->id;
	o->n_chain = event->n_chain;
	o->chain = event->chain;
	o->reason = r->summary;
	if (event->resource != NULL) {
		o->resource_type = event->resource->type;
		o->resource_id = event->resource->id;
		o->resource_alias = event->resource->alias;
	}
	o->n_params = 2;
	if (o->operation == NULL || (o->params = pairs_new(ctx, 2)) == NULL)
		return NULL;
	o->params[0]->key = (char *)"recommendation";
	o->params[0]->value = r->id;
	o->params[1]->key = (char *)"severity";
	o->params[1]->value = (char *)severity_name(r->severity);
	return o;
}

static ag_err
add(struct result *result, struct ag_ctx *ctx,
    const struct anomaly_detector *detector, const Ag__Event *event,
    const struct anomaly_finding *finding, const char *baseline)
{
	size_t n = result->ask.n_recommendations;
	Ag__Recommendation *r;
	Ag__OutcomeEvent *o;

	if (n == PENDING_DETECTIONS_MAX) {
		ag_log(ctx, AG_WARN, "DETECTED-MORE", "detector=%s actor=%s",
		    detector->name, event->actor->id);
		return AG_OK;
	}
	r = recommendation_new(ctx, detector, event, finding);
	o = r != NULL ? detection_new(ctx, event, r) : NULL;
	if (o == NULL)
		return AG_NO_MEMORY;
	if (baseline != NULL && (r->baseline = ag_strdup(ctx, baseline)) == NULL)
		return AG_NO_MEMORY;
	result->recommendations[n] = r;
	result->detections[n] = o;
	result->ask.n_recommendations = n + 1;
	result->pending.n_detections = n + 1;
	ag_metric_add(ctx, FOUND, 1);
	ag_log(ctx, AG_WARN, "DETECTED",
	    "detector=%s severity=%s actor=%s recommendation=%s",
	    detector->name, severity_name(r->severity), r->actor, r->id);
	return AG_OK;
}

/* ----------------------------------------------------------- the detectors */

static ag_err
row_of(struct anomaly *anomaly, struct ag_ctx *ctx, unsigned d,
    const char *id, void **row)
{
	char evicted[AG_ID_SIZE], key[128];
	int n;

	*row = NULL;
	if (anomaly->rows[d] == NULL)
		return AG_OK;
	if ((*row = rows_get(anomaly->rows[d], id, evicted)) == NULL)
		return AG_INVALID_FIELD;
	if (evicted[0] == '\0')
		return AG_OK;
	n = snprintf(key, sizeof(key), "%s:%s", anomaly_detectors[d]->name,
	    evicted);
	if (ag_store_del(ctx, TABLE_ROWS, key, (size_t)n) == AG_IO)
		ag_log(ctx, AG_WARN, "ANOMALY-STORE", "evicted=%s", evicted);
	return AG_OK;
}

static ag_err
look(struct anomaly *anomaly, struct ag_ctx *ctx, const Ag__Event *event,
    struct result *result)
{
	char line[AG_ID_SIZE];

	habit_line(event->actor->id, event->chain, event->n_chain, NULL, line);
	for (unsigned d = 0; d < anomaly_detector_count; d++) {
		const struct anomaly_detector *detector = anomaly_detectors[d];
		const char *id = detector->of_line ? line : event->actor->id;
		struct anomaly_finding finding = { 0 };
		bool found;
		void *row;
		ag_err err;

		if (!anomaly->limits[d].enabled || !detector->wants(event))
			continue;
		/* An actor without a proper id: nothing to remember it by. */
		if (row_of(anomaly, ctx, d, id, &row) != AG_OK)
			continue;
		found = detector->look(row, &anomaly->limits[d], event, &finding);
		if (row != NULL && !finding.same)
			rows_touch(anomaly->rows[d], row);
		if (!found)
			continue;
		err = add(result, ctx, detector, event, &finding,
		    detector->learn != NULL ? id : NULL);
		if (err != AG_OK)
			return err;
	}
	return AG_OK;
}

/* ------------------------------------------------------------- being told */

static const char *
param(const Ag__Event *event, const char *key)
{
	for (size_t i = 0; i < event->n_params; i++)
		if (strcmp(event->params[i]->key, key) == 0)
			return event->params[i]->value;
	return NULL;
}

/* The line of the agent that was issued. Of a chain that the caller is no part
 * of only the root is known, if the parent is one. */
static void
issued_line(const Ag__Event *event, char line[AG_ID_SIZE])
{
	const char *parent = param(event, "parent");
	Ag__Link root = AG__LINK__INIT, *chain = &root;

	line[0] = '\0';
	if (parent == NULL || event->resource == NULL ||
	    event->resource->alias == NULL)
		return;
	root.id = (char *)parent;
	if (strcmp(parent, event->actor->id) == 0)
		habit_line(parent, event->chain, event->n_chain,
		    event->resource->alias, line);
	else if (strncmp(parent, "agt_", 4) != 0)
		habit_line(parent, &chain, 1, event->resource->alias, line);
}

static void
seed_row(const struct anomaly_detector *detector, void *row,
    const Ag__Event *event)
{
	for (size_t i = 0; i < event->n_params; i++)
		if (strncmp(event->params[i]->key, "scope_", 6) == 0 &&
		    event->params[i]->value != NULL)
			detector->seed(row, event, event->params[i]->value);
}

static void
seed(struct anomaly *anomaly, struct ag_ctx *ctx, const Ag__Event *event)
{
	char line[AG_ID_SIZE];
	void *row;

	issued_line(event, line);
	for (unsigned d = 0; d < anomaly_detector_count; d++) {
		if (anomaly_detectors[d]->seed == NULL ||
		    row_of(anomaly, ctx, d, line, &row) != AG_OK)
			continue;
		seed_row(anomaly_detectors[d], row, event);
		rows_touch(anomaly->rows[d], row);
	}
}

/* The responder wrote down what is to be learned: of which detector, for whom,
 * since when. */
static void
learn(struct anomaly *anomaly, struct ag_ctx *ctx, const Ag__Event *event)
{
	const char *detector = param(event, "detector");
	const char *baseline = param(event, "baseline");
	const char *since = param(event, "since_ms");
	void *row;

	if (param(event, "learn") == NULL || detector == NULL ||
	    baseline == NULL || since == NULL)
		return;
	for (unsigned d = 0; d < anomaly_detector_count; d++) {
		if (strcmp(anomaly_detectors[d]->name, detector) != 0 ||
		    anomaly_detectors[d]->learn == NULL ||
		    row_of(anomaly, ctx, d, baseline, &row) != AG_OK)
			continue;
		anomaly_detectors[d]->learn(row, &anomaly->limits[d],
		    strtoll(since, NULL, 10));
		rows_touch(anomaly->rows[d], row);
		ag_log(ctx, AG_INFO, "LEARNED", "detector=%s baseline=%s",
		    detector, baseline);
	}
}

/* What changes the idea of what is usual, besides what is done. */
static void
take_in(struct anomaly *anomaly, struct ag_ctx *ctx, const Ag__Event *event)
{
	if (!anomaly_is_allowed(event))
		return;
	if (strcmp(event->operation, "agent.issue") == 0)
		seed(anomaly, ctx, event);
	else if (strcmp(event->operation, "system.dismiss") == 0)
		learn(anomaly, ctx, event);
}

static void
result_init(struct result *result, const Ag__Event *event)
{
	ag__assess_pending__init(&result->pending);
	ag__assess_ask__init(&result->ask);
	result->pending.ask = &result->ask;
	result->pending.detections = result->detections;
	result->ask.recommendations = result->recommendations;
	/* iam holds for the outcome that came first; a late one is about it. */
	result->ask.event_id = event->event_type ==
	    AG__EVENT_TYPE__V__outcome_late && event->cause_event_id != NULL ?
	    event->cause_event_id : event->event_id;
	result->ask.agent_id = event->actor->id;
	result->ask.held = event->has_held && event->held;
	result->ask.tenant = event->tenant;
	result->ask.n_chain = event->n_chain;
	result->ask.chain = event->chain;
	result->ask.has_recorded_us = event->has_recorded_us;
	result->ask.recorded_us = event->recorded_us;
}

static ag_err
on_audit(void *state, struct ag_ctx *ctx, const Ag__Event *event, uint64_t pos)
{
	struct anomaly *anomaly = state;
	struct result result;
	Ag__Event bounded;
	ag_err err;

	if (event->event_type == AG__EVENT_TYPE__V__detection ||
	    event->event_type == AG__EVENT_TYPE__V__response)
		pending_seen(&anomaly->pending, ctx, event);
	if ((event->event_type != AG__EVENT_TYPE__V__request &&
	    event->event_type != AG__EVENT_TYPE__V__outcome_late) ||
	    event->actor == NULL || event->actor->id == NULL)
		return AG_OK;
	if (event->occurred_at < 0 || event->occurred_at > TIME_MAX_MS) {
		/* A plane's clock gone wild: no detector need fear for its sums. */
		bounded = *event;
		bounded.occurred_at = event->occurred_at < 0 ? 0 : TIME_MAX_MS;
		event = &bounded;
	}
	/* Before a row changes: the event will be looked at again. */
	if (pending_full(&anomaly->pending))
		return AG_FULL;
	ag_metric_add(ctx, EVENTS, 1);
	result_init(&result, event);
	take_in(anomaly, ctx, event);
	if ((err = look(anomaly, ctx, event, &result)) != AG_OK)
		return err;
	if (result.ask.n_recommendations == 0 && !result.ask.held)
		return AG_OK;
	err = pending_add(&anomaly->pending, ctx, pos, &result.pending);
	ag_metric_set(ctx, PENDING, pending_count(&anomaly->pending));
	return err;
}

/* ----------------------------------------------------------- memory, life */

struct saving {
	struct ag_ctx *ctx;
	unsigned detector;
};

static ag_err
save_row(void *arg, const char *id, const void *row)
{
	const struct saving *s = arg;
	const struct anomaly_detector *detector = anomaly_detectors[s->detector];
	char key[128];
	int n = snprintf(key, sizeof(key), "%s:%s", detector->name, id);

	return ag_store_put(s->ctx, TABLE_ROWS, key, (size_t)n, row,
	    detector->row_size);
}

/* Once a turn, so that what a commit holds belongs to its cursor, and an actor
 * with a hundred events in the turn costs one write. */
static ag_err
flush(void *state, struct ag_ctx *ctx)
{
	struct anomaly *anomaly = state;

	for (unsigned d = 0; d < anomaly_detector_count; d++) {
		struct saving saving = { ctx, d };
		ag_err err;

		if (anomaly->rows[d] == NULL)
			continue;
		err = rows_save(anomaly->rows[d], ACTORS_MAX, save_row, &saving);
		if (err != AG_OK)
			return err;
	}
	return AG_OK;
}

static bool
load_row(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
    size_t value_len)
{
	struct anomaly *anomaly = arg;
	char text[128] = "", evicted[AG_ID_SIZE], *id;
	void *row;

	if (key_len >= sizeof(text))
		return true;
	memcpy(text, key, key_len);
	if ((id = strchr(text, ':')) == NULL)
		return true;
	*id++ = '\0';
	for (unsigned d = 0; d < anomaly_detector_count; d++) {
		const struct anomaly_detector *detector = anomaly_detectors[d];

		if (strcmp(text, detector->name) != 0 ||
		    value_len != detector->row_size ||
		    anomaly->rows[d] == NULL)
			continue;
		if ((row = rows_get(anomaly->rows[d], id, evicted)) != NULL)
			memcpy(row, value, value_len);
	}
	return true;
}

static ag_err
init(void *state, struct ag_ctx *ctx)
{
	struct anomaly *anomaly = state;

	if (anomaly_detector_count > DETECTORS_MAX)
		ag_panic("more than %d detectors", DETECTORS_MAX);
	anomaly->pending.table = TABLE_PENDING;
	for (unsigned d = 0; d < anomaly_detector_count; d++) {
		size_t size = anomaly_detectors[d]->row_size;

		anomaly_limits_read(ag_config(ctx), anomaly_detectors[d]->name,
		    &anomaly->limits[d]);
		if (size == 0)
			continue;
		anomaly->rows[d] = rows_new(ACTORS_MAX, size);
		if (anomaly->rows[d] == NULL)
			return AG_NO_MEMORY;
	}
	return AG_OK;
}

static void
on_retry(void *state, struct ag_ctx *ctx)
{
	pending_retry(pending_ring_of(state), ctx);
	ag_metric_set(ctx, PENDING, pending_count(pending_ring_of(state)));
}

static ag_err
ready(void *state, struct ag_ctx *ctx)
{
	struct anomaly *anomaly = state;
	ag_err err = ag_store_scan(ctx, TABLE_ROWS, NULL, 0, load_row, anomaly);

	if (err == AG_OK)
		err = pending_load(&anomaly->pending, ctx);
	return err == AG_OK ? ag_every(ctx, PENDING_RETRY_MS, on_retry) : err;
}

static void
fini(void *state, struct ag_ctx *ctx)
{
	struct anomaly *anomaly = state;

	for (unsigned d = 0; d < anomaly_detector_count; d++)
		rows_free(&anomaly->rows[d]);
}

const struct ag_actor ag_actor_anomaly = {
	.name = "anomaly",
	.state_size = sizeof(struct anomaly),
	.init = init,
	.ready = ready,
	.on_audit = on_audit,
	.audit_skips = ag_event_reasons,
	.audit_pace_ms = 2,
	.flush = flush,
	.fini = fini,
	.tables = tables,
	AG_METRICS(metrics),
};
