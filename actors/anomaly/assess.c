/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From an event to what is said about it: every detector looks, and what one
 * found becomes a recommendation, a detection for the audit log and a question
 * to the responder, with ids that follow from the event.
 */
#include "assess.h"

#include <aegis/event.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../habit.h"

#define TIME_MAX_MS INT64_C(253402300799000) /* the year 9999 */

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
	return &((struct assessor *)state)->pending;
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
	ag_metric_add(ctx, ASSESS_FOUND, 1);
	ag_log(ctx, AG_WARN, "DETECTED",
	    "detector=%s severity=%s actor=%s recommendation=%s",
	    detector->name, severity_name(r->severity), r->actor, r->id);
	return AG_OK;
}

/* ----------------------------------------------------------- the detectors */

static ag_err
row_of(struct assessor *assessor, struct ag_ctx *ctx, unsigned d,
    const char *id, void **row)
{
	char evicted[AG_ID_SIZE], key[128];
	int n;

	*row = NULL;
	if (assessor->rows[d] == NULL)
		return AG_OK;
	if ((*row = rows_get(assessor->rows[d], id, evicted)) == NULL)
		return AG_INVALID_FIELD;
	if (evicted[0] == '\0' || !assessor->stored)
		return AG_OK;
	n = snprintf(key, sizeof(key), "%s:%s", anomaly_detectors[d]->name,
	    evicted);
	if (ag_store_del(ctx, ASSESS_ROWS, key, (size_t)n) == AG_IO)
		ag_log(ctx, AG_WARN, "ANOMALY-STORE", "evicted=%s", evicted);
	return AG_OK;
}

static ag_err
look(struct assessor *assessor, struct ag_ctx *ctx, const Ag__Event *event,
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

		if (!assessor->limits[d].enabled || !detector->wants(event))
			continue;
		/* An actor without a proper id: nothing to remember it by. */
		if (row_of(assessor, ctx, d, id, &row) != AG_OK)
			continue;
		found = detector->look(row, &assessor->limits[d], event, &finding);
		if (row != NULL && !finding.same)
			rows_touch(assessor->rows[d], row);
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
seed(struct assessor *assessor, struct ag_ctx *ctx, const Ag__Event *event)
{
	char line[AG_ID_SIZE];
	void *row;

	issued_line(event, line);
	for (unsigned d = 0; d < anomaly_detector_count; d++) {
		if (anomaly_detectors[d]->seed == NULL ||
		    row_of(assessor, ctx, d, line, &row) != AG_OK)
			continue;
		seed_row(anomaly_detectors[d], row, event);
		rows_touch(assessor->rows[d], row);
	}
}

/* The responder wrote down what is to be learned: of which detector, for whom,
 * since when. */
static void
learn(struct assessor *assessor, struct ag_ctx *ctx, const Ag__Event *event)
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
		    row_of(assessor, ctx, d, baseline, &row) != AG_OK)
			continue;
		anomaly_detectors[d]->learn(row, &assessor->limits[d],
		    strtoll(since, NULL, 10));
		rows_touch(assessor->rows[d], row);
		ag_log(ctx, AG_INFO, "LEARNED", "detector=%s baseline=%s",
		    detector, baseline);
	}
}

/* What changes the idea of what is usual, besides what is done. */
static void
take_in(struct assessor *assessor, struct ag_ctx *ctx, const Ag__Event *event)
{
	if (!anomaly_is_allowed(event))
		return;
	if (strcmp(event->operation, "agent.issue") == 0)
		seed(assessor, ctx, event);
	else if (strcmp(event->operation, "system.dismiss") == 0)
		learn(assessor, ctx, event);
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

ag_err
assess(struct assessor *assessor, struct ag_ctx *ctx, const Ag__Event *event,
    uint64_t pos)
{
	struct result result;
	Ag__Event bounded;
	ag_err err;

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
	if (pending_full(&assessor->pending))
		return AG_FULL;
	ag_metric_add(ctx, ASSESS_EVENTS, 1);
	result_init(&result, event);
	if (assessor->stored)
		take_in(assessor, ctx, event);
	else
		result.ask.held = result.ask.has_recorded_us = false;
	if ((err = look(assessor, ctx, event, &result)) != AG_OK)
		return err;
	if (result.ask.n_recommendations == 0 && !result.ask.held)
		return AG_OK;
	err = pending_add(&assessor->pending, ctx, pos, &result.pending);
	ag_metric_set(ctx, ASSESS_PENDING, pending_count(&assessor->pending));
	return err;
}

void
assess_seen(struct assessor *assessor, struct ag_ctx *ctx,
    const Ag__Event *event)
{
	if (event->event_type == AG__EVENT_TYPE__V__detection ||
	    event->event_type == AG__EVENT_TYPE__V__response)
		pending_seen(&assessor->pending, ctx, event);
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

	return ag_store_put(s->ctx, ASSESS_ROWS, key, (size_t)n, row,
	    detector->row_size);
}

/* Once a turn, so that what a commit holds belongs to its cursor, and an actor
 * with a hundred events in the turn costs one write. */
ag_err
assess_flush(struct assessor *assessor, struct ag_ctx *ctx)
{
	for (unsigned d = 0; d < anomaly_detector_count; d++) {
		struct saving saving = { ctx, d };
		ag_err err;

		if (assessor->rows[d] == NULL)
			continue;
		err = rows_save(assessor->rows[d], ACTORS_MAX, save_row, &saving);
		if (err != AG_OK)
			return err;
	}
	return AG_OK;
}

static bool
load_row(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
    size_t value_len)
{
	struct assessor *assessor = arg;
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
		    assessor->rows[d] == NULL)
			continue;
		if ((row = rows_get(assessor->rows[d], id, evicted)) != NULL)
			memcpy(row, value, value_len);
	}
	return true;
}

ag_err
assess_init(struct assessor *assessor, struct ag_ctx *ctx, bool stored)
{
	if (anomaly_detector_count > ASSESS_DETECTORS_MAX)
		ag_panic("more than %d detectors", ASSESS_DETECTORS_MAX);
	assessor->pending.table = ASSESS_UNSETTLED;
	assessor->stored = stored;
	assessor->pending.shared = !stored;
	for (unsigned d = 0; d < anomaly_detector_count; d++) {
		size_t size = anomaly_detectors[d]->row_size;

		anomaly_limits_read(ag_config(ctx), anomaly_detectors[d]->name,
		    &assessor->limits[d]);
		assessor->limits[d].shared = !stored;
		if (size == 0)
			continue;
		assessor->rows[d] = rows_new(ACTORS_MAX, size);
		if (assessor->rows[d] == NULL)
			return AG_NO_MEMORY;
	}
	return AG_OK;
}

ag_err
assess_forget(struct assessor *assessor)
{
	for (unsigned d = 0; d < anomaly_detector_count; d++) {
		if (assessor->rows[d] == NULL)
			continue;
		rows_free(&assessor->rows[d]);
		assessor->rows[d] = rows_new(ACTORS_MAX,
		    anomaly_detectors[d]->row_size);
		if (assessor->rows[d] == NULL)
			return AG_NO_MEMORY;
	}
	return AG_OK;
}

static void
on_retry(void *state, struct ag_ctx *ctx)
{
	pending_retry(pending_ring_of(state), ctx);
	ag_metric_set(ctx, ASSESS_PENDING,
	    pending_count(pending_ring_of(state)));
}

ag_err
assess_ready(struct assessor *assessor, struct ag_ctx *ctx)
{
	ag_err err = AG_OK;

	if (assessor->stored)
		err = ag_store_scan(ctx, ASSESS_ROWS, NULL, 0, load_row,
		    assessor);
	if (err == AG_OK)
		err = pending_load(&assessor->pending, ctx);
	return err == AG_OK ? ag_every(ctx, PENDING_RETRY_MS, on_retry) : err;
}

void
assess_fini(struct assessor *assessor)
{
	for (unsigned d = 0; d < anomaly_detector_count; d++)
		rows_free(&assessor->rows[d]);
}
