/* SPDX-License-Identifier: Apache-2.0 */
/*
 * risk and anomaly: one request's rate and score, what is learned of it, and
 * every detector's look at its event.
 */
#include "anomaly/detector.h"
#include "risk/score.h"
#include "turns.h"

#include <stdlib.h>
#include <string.h>

enum { ACTORS = 1024 };

struct actor {
	struct risk_baseline usual;
	struct risk_pulse pulse;
	void *rows[16]; /* a detector's each */
};

static struct actor *actors;
static const struct anomaly_limits limits = { .enabled = true, .low = 1e9,
	.medium = 2e9, .high = 3e9, .cooldown_ms = 60000, .window_ms = 60000 };
static double sum;

static void
look(struct actor *actor, const Ag__Event *event)
{
	struct anomaly_finding finding;

	for (unsigned d = 0; d < anomaly_detector_count; d++) {
		if (!anomaly_detectors[d]->wants(event))
			continue;
		memset(&finding, 0, sizeof(finding));
		if (anomaly_detectors[d]->look(actor->rows[d], &limits, event, &finding))
			sum += 1;
	}
}

static void
turn(void *arg, unsigned n)
{
	struct actor *actor = &actors[n * 2654435761u % ACTORS];
	int64_t now = INT64_C(1800000000000) + n;
	Ag__Resource resource = AG__RESOURCE__INIT;
	Ag__EventActor who = AG__EVENT_ACTOR__INIT;
	Ag__Event event = AG__EVENT__INIT;
	struct risk_request request = { .at_ms = now, .op = n % 8, .address = 7,
	    .key = 1 + n % 16, .kind = RISK_AGENT, .credential_age_ms = 1000,
	    .scope_count = 1, .items = 1 };
	struct risk_score score;

	(void)arg;
	request.per_s = risk_pulse(&actor->pulse, (uint64_t)now, 1);
	risk_score(&actor->usual, &request, &score);
	risk_learn(&actor->usual, &request);
	sum += score.score;
	resource.type = (char *)"key";
	resource.id = (char *)"key_0190a0c0000070008000000000000001";
	who.id = (char *)"agt_0190a0c0000070008000000000000002";
	who.has_kind = true;
	who.kind = AG__KIND__V__agent;
	event.event_id = (char *)"evt_0190a0c0000070008000000000000003";
	event.tenant = (char *)"default";
	event.event_type = AG__EVENT_TYPE__V__request;
	event.operation = (char *)"key.sign";
	event.outcome = AG__OUTCOME_KIND__V__allowed;
	event.occurred_at = now;
	event.source_address = (char *)"192.0.2.7";
	event.has_scope_count = true;
	event.scope_count = 3;
	event.resource = &resource;
	event.actor = &who;
	look(actor, &event);
}

int
main(void)
{
	actors = calloc(ACTORS, sizeof(*actors));
	if (actors == NULL || anomaly_detector_count > 16)
		return 1;
	for (unsigned a = 0; a < ACTORS; a++)
		for (unsigned d = 0; d < anomaly_detector_count; d++)
			if (anomaly_detectors[d]->row_size > 0 &&
			    (actors[a].rows[d] =
			            calloc(1, anomaly_detectors[d]->row_size)) == NULL)
				return 1;
	turns_measure(turn, NULL);
	return sum < 0 ? 1 : 0;
}
