/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What anomaly.c and risk.c do with one event, without their processes.
 */
#include "sim.h"

#include "habit.h"
#include "rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool
sim_judge_init(struct sim_judge *judge, const struct ag_config *config)
{
	memset(judge, 0, sizeof(*judge));
	judge->config = config;
	judge->day = -1;
	judge->step_up = ag_config_get_number(config, "risk.step_up", 0);
	for (unsigned d = 0; d < anomaly_detector_count; d++) {
		anomaly_limits_read(config, anomaly_detectors[d]->name,
		    &judge->limits[d]);
		judge->rows[d] = calloc(1, anomaly_detectors[d]->row_size + 1);
		if (judge->rows[d] == NULL)
			return false;
	}
	return true;
}

void
sim_judge_fini(struct sim_judge *judge)
{
	for (unsigned d = 0; d < anomaly_detector_count; d++)
		free(judge->rows[d]);
}

void
sim_judge_copy(struct sim_judge *to, const struct sim_judge *from)
{
	for (unsigned d = 0; d < anomaly_detector_count; d++)
		memcpy(to->rows[d], from->rows[d],
		    anomaly_detectors[d]->row_size);
	to->usual = from->usual;
	to->day = from->day;
	to->alert_count = 0;
	to->events = to->risky = 0;
}

/* A new day, a new agent of the same line: its own rows begin anew, and its
 * scopes are seeds. */
static void
reissue(struct sim_judge *judge, const struct sim_actor *actor,
    const struct sim_event *e, const Ag__Event *event)
{
	judge->day = (int)((e->at_ms - sim_begin_ms) / SIM_DAY_MS);
	for (unsigned d = 0; d < anomaly_detector_count; d++) {
		const struct anomaly_detector *detector = anomaly_detectors[d];

		if (!detector->of_line)
			memset(judge->rows[d], 0, detector->row_size);
		if (detector->seed == NULL)
			continue;
		for (unsigned o = 0; o < actor->op_count; o++)
			for (unsigned k = 0; k < (actor->wide ? 1 :
			    actor->key_count); k++) {
				const char *op = sim_operations[actor->ops[o]] + 4;
				char scope[96];

				if (actor->wide)
					snprintf(scope, sizeof(scope), "key:*:%s",
					    op);
				else
					snprintf(scope, sizeof(scope),
					    "key:key_%032u:%s", actor->keys[k], op);
				detector->seed(judge->rows[d], event, scope);
			}
	}
}

static void
look(struct sim_judge *judge, const struct sim_event *e, const Ag__Event *event)
{
	for (unsigned d = 0; d < anomaly_detector_count; d++) {
		const struct anomaly_detector *detector = anomaly_detectors[d];
		struct anomaly_finding found = { 0 };

		if (!judge->limits[d].enabled || !detector->wants(event) ||
		    !detector->look(judge->rows[d], &judge->limits[d], event,
		    &found) || judge->alert_count == 4096)
			continue;
		judge->alerts[judge->alert_count++] = (struct sim_alert){ d,
		    found.severity, e->at_ms, e->hostile };
	}
}

static void
score(struct sim_judge *judge, const struct sim_event *e, const Ag__Event *event,
    unsigned op)
{
	struct risk_request request = { .at_ms = e->at_ms, .per_s = 1, .op = op,
		.address = habit_network(event->source_address),
		.key = 1 + e->key, .kind = RISK_AGENT,
		.credential_age_ms = e->at_ms % SIM_DAY_MS,
		.scope_count = e->scopes, .items = 1 };
	struct risk_score s;

	risk_score(&judge->usual, &request, &s);
	if (e->hostile && s.score >= judge->step_up)
		judge->risky++;
	if (!e->denied && !e->limited)
		risk_learn(&judge->usual, &request);
}

/* What is in every event, written once. */
static struct {
	bool made;
	char keys[SIM_KEYS * 2][AG_ID_SIZE];
	char networks[8192][24];
} texts;

static void
texts_make(void)
{
	for (unsigned i = 0; i < SIM_KEYS * 2; i++)
		snprintf(texts.keys[i], AG_ID_SIZE, "key_%032u", i);
	for (unsigned i = 0; i < 8192; i++)
		snprintf(texts.networks[i], 24, "10.%u.%u.7", i >> 8, i & 255);
	texts.made = true;
}

void
sim_judge_see(struct sim_judge *judge, const struct sim_actor *actor,
    const struct sim_event *e)
{
	Ag__Event event = AG__EVENT__INIT;
	Ag__EventActor who = AG__EVENT_ACTOR__INIT;
	Ag__Resource resource = AG__RESOURCE__INIT;
	unsigned op = 0;

	if (!texts.made)
		texts_make();
	event.event_id = (char *)"evt_00000000000000000000000000000001";
	event.tenant = (char *)"default";
	event.event_type = AG__EVENT_TYPE__V__request;
	event.occurred_at = e->at_ms;
	event.operation = (char *)e->operation;
	event.outcome = e->denied || e->limited ? AG__OUTCOME_KIND__V__denied :
	    AG__OUTCOME_KIND__V__allowed;
	if (e->limited)
		event.code = (char *)"RateLimited";
	if (e->denied) {
		event.code = (char *)"PermissionDenied";
		event.reason_code = (char *)"scope_missing";
	}
	event.has_honey = event.honey = e->honey;
	event.source_address = texts.networks[e->network % 8192];
	event.has_scope_count = true;
	event.scope_count = e->scopes;
	event.actor = &who;
	who.id = (char *)"agt_00000000000000000000000000000001";
	who.has_kind = true;
	who.kind = AG__KIND__V__agent;
	event.resource = &resource;
	resource.type = (char *)"key";
	resource.id = texts.keys[e->key % (SIM_KEYS * 2)];
	if ((e->at_ms - sim_begin_ms) / SIM_DAY_MS != judge->day)
		reissue(judge, actor, e, &event);
	while (op < sim_operation_count &&
	    strcmp(sim_operations[op], e->operation) != 0)
		op++;
	judge->events++;
	score(judge, e, &event, op);
	look(judge, e, &event);
}
