/* SPDX-License-Identifier: Apache-2.0 */
/* The anomaly actor: what it tells whom, at least once, the same after a
 * restart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <aegis/kit.h>

#include "anomaly/pending.h"

extern const struct ag_actor ag_actor_anomaly;

struct event {
	Ag__Event event;
	Ag__EventActor actor;
	Ag__Resource resource;
	Ag__Link links[2], *chain[2];
	char id[AG_ID_SIZE];
};

static void
event_init(struct event *e, unsigned n)
{
	ag__event__init(&e->event);
	ag__event_actor__init(&e->actor);
	ag__resource__init(&e->resource);
	snprintf(e->id, sizeof(e->id), "evt_%032x", n);
	e->event.event_id = e->id;
	e->event.seq = n;
	e->event.tenant = (char *)"default";
	e->event.event_type = AG__EVENT_TYPE__V__request;
	e->event.occurred_at = INT64_C(1790000000000) + n;
	e->event.operation = (char *)"key.sign";
	e->event.outcome = AG__OUTCOME_KIND__V__allowed;
	e->event.actor = &e->actor;
	e->actor.id = (char *)"agt_0123456789abcdef0123456789abcdef";
	e->actor.has_kind = 1;
	e->actor.kind = AG__KIND__V__agent;
	e->event.resource = &e->resource;
	e->resource.type = (char *)"key";
	e->resource.id = (char *)"key_0123456789abcdef0123456789abcdef";
	e->resource.alias = (char *)"treasury-master";
	for (unsigned i = 0; i < 2; i++) {
		ag__link__init(&e->links[i]);
		e->chain[i] = &e->links[i];
	}
	e->links[0].id = (char *)"hum_0123456789abcdef0123456789abcdef";
	e->links[0].kind = AG__KIND__V__human;
	e->links[1].id = e->actor.id;
	e->links[1].kind = AG__KIND__V__agent;
	e->event.n_chain = 2;
	e->event.chain = e->chain;
	e->event.has_recorded_us = 1;
	e->event.recorded_us = 77;
}

static void
violate(struct event *e)
{
	e->event.outcome = AG__OUTCOME_KIND__V__denied;
	e->event.code = (char *)"PermissionDenied";
	e->event.reason_code = (char *)"scope_missing";
	e->event.has_held = e->event.held = 1;
}

static unsigned
pending(struct ag_kit *kit)
{
	return pending_count(pending_ring_of(ag_kit_state(kit)));
}

static void
tells_of_a_violation(void **state)
{
	struct ag_kit *kit = ag_kit_new(&ag_actor_anomaly, NULL, NULL);
	const struct ag_kit_sent *sent;
	struct event e;
	unsigned asks = 0, records = 0;
	char detection[AG_ID_SIZE] = "", recommendation[AG_ID_SIZE] = "";

	event_init(&e, 1);
	violate(&e);
	e.event.has_tier_critical = e.event.tier_critical = 1;
	assert_int_equal(ag_kit_audit(kit, &e.event, 1), AG_OK);
	while ((sent = ag_kit_next(kit)) != NULL) {
		if (sent->type == AG_MSG_OUTCOME_EVENT) {
			const Ag__OutcomeEvent *o = sent->body;

			records++;
			assert_int_equal(sent->to_role, AG_ROLE_AUDIT);
			assert_int_equal(o->event_type,
			    AG__EVENT_TYPE__V__detection);
			assert_string_equal(o->operation,
			    "detection.scope_violation");
			assert_string_equal(o->cause_event_id, e.id);
			assert_string_equal(o->actor_id, e.actor.id);
			assert_int_equal(o->n_chain, 2);
			assert_string_equal(o->tenant, "default");
			strcpy(detection, o->event_id);
		} else if (sent->type == AG_MSG_ASSESS_ASK) {
			const Ag__AssessAsk *ask = sent->body;
			const Ag__Recommendation *r;

			asks++;
			assert_int_equal(sent->to_role, AG_ROLE_RESPONDER);
			assert_true(ask->held);
			assert_int_equal(ask->recorded_us, 77);
			assert_int_equal(ask->n_recommendations, 1);
			r = ask->recommendations[0];
			assert_string_equal(r->detector, "scope_violation");
			assert_int_equal(r->severity, AG__SEVERITY__V__critical);
			assert_string_equal(r->suggested_action, "revoke_agent");
			assert_string_equal(r->actor, e.actor.id);
			assert_string_equal(r->root, e.links[0].id);
			assert_string_equal(r->top_agent, e.actor.id);
			assert_string_equal(r->evidence[0], e.id);
			assert_true(ag_id_valid(r->id, "rec"));
			strcpy(recommendation, r->event_id);
			ag_kit_answer(kit, sent, AG_MSG_DONE_REPLY,
			    &(Ag__Done)AG__DONE__INIT);
		}
	}
	assert_int_equal(asks, 1);
	assert_int_equal(records, 1);
	assert_string_equal(detection, recommendation);
	/* Answered; what is left is to see both in the log. */
	assert_int_equal(pending(kit), 1);
	event_init(&e, 2);
	e.event.event_type = AG__EVENT_TYPE__V__detection;
	e.event.event_id = detection;
	assert_int_equal(ag_kit_audit(kit, &e.event, 2), AG_OK);
	assert_int_equal(pending(kit), 1);
	event_init(&e, 3);
	e.event.event_type = AG__EVENT_TYPE__V__response;
	e.event.cause_event_id = detection;
	assert_int_equal(ag_kit_audit(kit, &e.event, 3), AG_OK);
	assert_int_equal(pending(kit), 0);
	ag_kit_advance(kit, 10000);
	assert_null(ag_kit_find(kit, AG_MSG_ASSESS_ASK));
	ag_kit_free(&kit);
}

/* Nothing found, but held: the ruling is still asked for. */
static void
asks_for_every_hold(void **state)
{
	struct ag_kit *kit = ag_kit_new(&ag_actor_anomaly,
	    "anomaly: {scope_violation: {enabled: false}}\n", NULL);
	const struct ag_kit_sent *sent;
	struct event e;

	event_init(&e, 1);
	violate(&e);
	assert_int_equal(ag_kit_audit(kit, &e.event, 1), AG_OK);
	sent = ag_kit_find(kit, AG_MSG_ASSESS_ASK);
	assert_non_null(sent);
	assert_int_equal(
	    ((const Ag__AssessAsk *)sent->body)->n_recommendations, 0);
	assert_true(((const Ag__AssessAsk *)sent->body)->held);
	ag_kit_answer(kit, sent, AG_MSG_DONE_REPLY,
	    &(Ag__Done)AG__DONE__INIT);
	assert_int_equal(pending(kit), 0);
	ag_kit_free(&kit);
}

/* A refusal that came too late for its plane is recorded under an id of its own;
 * the hold began under the first one's, and that one is ruled on. */
static void
rules_on_late_refusals(void **state)
{
	struct ag_kit *kit = ag_kit_new(&ag_actor_anomaly, NULL, NULL);
	const struct ag_kit_sent *sent;
	const Ag__AssessAsk *ask;
	struct event e;

	event_init(&e, 2);
	violate(&e);
	e.event.event_type = AG__EVENT_TYPE__V__outcome_late;
	e.event.cause_event_id = (char *)"evt_00000000000000000000000000000001";
	assert_int_equal(ag_kit_audit(kit, &e.event, 2), AG_OK);
	sent = ag_kit_find(kit, AG_MSG_ASSESS_ASK);
	assert_non_null(sent);
	ask = sent->body;
	assert_true(ask->held);
	assert_string_equal(ask->event_id, e.event.cause_event_id);
	assert_string_equal(ask->recommendations[0]->evidence[0], e.id);
	ag_kit_free(&kit);
}

/* What we made ourselves never sets us off. */
static void
never_by_its_own(void **state)
{
	static const Ag__EventType__V types[] = {
		AG__EVENT_TYPE__V__detection, AG__EVENT_TYPE__V__response,
		AG__EVENT_TYPE__V__system, AG__EVENT_TYPE__V__lifecycle,
		AG__EVENT_TYPE__V__unaccounted,
	};
	struct ag_kit *kit = ag_kit_new(&ag_actor_anomaly, NULL, NULL);
	struct event e;

	for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		event_init(&e, i);
		violate(&e);
		e.event.has_honey = e.event.honey = 1;
		e.event.event_type = types[i];
		assert_int_equal(ag_kit_audit(kit, &e.event, i + 1), AG_OK);
	}
	assert_null(ag_kit_next(kit));
	ag_kit_free(&kit);
}

/* Refused or unanswered: asked again, the same; recorded again, the same. */
static void
asks_again(void **state)
{
	struct ag_kit *kit = ag_kit_new(&ag_actor_anomaly, NULL, NULL);
	const struct ag_kit_sent *sent;
	struct event e;
	char id[AG_ID_SIZE];

	event_init(&e, 1);
	violate(&e);
	assert_int_equal(ag_kit_audit(kit, &e.event, 1), AG_OK);
	sent = ag_kit_find(kit, AG_MSG_ASSESS_ASK);
	assert_non_null(sent);
	strcpy(id, ((const Ag__AssessAsk *)sent->body)->recommendations[0]->id);
	ag_kit_answer_error(kit, sent, AG_UNAVAILABLE, NULL);
	ag_kit_advance(kit, 300);
	sent = ag_kit_find(kit, AG_MSG_ASSESS_ASK);
	assert_non_null(sent);
	assert_string_equal(id,
	    ((const Ag__AssessAsk *)sent->body)->recommendations[0]->id);
	ag_kit_answer(kit, sent, AG_MSG_DONE_REPLY,
	    &(Ag__Done)AG__DONE__INIT);
	ag_kit_advance(kit, 3500);
	sent = ag_kit_find(kit, AG_MSG_OUTCOME_EVENT);
	assert_non_null(sent);
	assert_int_equal(pending(kit), 1);
	ag_kit_free(&kit);
}

/* What will never be taken is not said for ever. */
static void
gives_up_what_is_refused(void **state)
{
	static const ag_err permanent[] = { AG_BAD_MESSAGE,
		AG_REQUEST_TOO_LARGE, AG_INVALID_FIELD };
	struct ag_kit *kit = ag_kit_new(&ag_actor_anomaly, NULL, NULL);
	const struct ag_kit_sent *sent;
	struct event e;

	for (unsigned i = 0; i < 3; i++) {
		event_init(&e, i + 1);
		violate(&e);
		assert_int_equal(ag_kit_audit(kit, &e.event, i + 1), AG_OK);
		sent = ag_kit_find(kit, AG_MSG_ASSESS_ASK);
		assert_non_null(sent);
		assert_int_equal(pending(kit), 1);
		ag_kit_answer_error(kit, sent, permanent[i], NULL);
		assert_int_equal(pending(kit), 0);
	}
	while (ag_kit_next(kit) != NULL)
		continue;
	ag_kit_advance(kit, 10000);
	assert_null(ag_kit_find(kit, AG_MSG_ASSESS_ASK));
	ag_kit_free(&kit);
}

/* The response was done, but its record was lost with audit: asked again. */
static void
asks_again_for_a_lost_response(void **state)
{
	struct ag_kit *kit = ag_kit_new(&ag_actor_anomaly, NULL, NULL);
	const struct ag_kit_sent *sent;
	struct event e;

	event_init(&e, 1);
	violate(&e);
	assert_int_equal(ag_kit_audit(kit, &e.event, 1), AG_OK);
	sent = ag_kit_find(kit, AG_MSG_ASSESS_ASK);
	assert_non_null(sent);
	ag_kit_answer(kit, sent, AG_MSG_DONE_REPLY,
	    &(Ag__Done)AG__DONE__INIT);
	ag_kit_advance(kit, 2500);
	assert_null(ag_kit_find(kit, AG_MSG_ASSESS_ASK));
	ag_kit_advance(kit, 1000);
	assert_non_null(ag_kit_find(kit, AG_MSG_ASSESS_ASK));
	ag_kit_free(&kit);
}

/* 600 events of three agents; what is found in them, in order. */
static size_t
trace(struct ag_kit **kit, const char *dir, unsigned restart_every,
    char found[][AG_ID_SIZE], size_t max)
{
	static char agents[3][AG_ID_SIZE];
	const struct ag_kit_sent *sent;
	size_t n = 0;

	for (unsigned i = 1; i <= 600; i++) {
		struct event e;

		event_init(&e, i);
		snprintf(agents[i % 3], AG_ID_SIZE, "agt_%032u", i % 3);
		e.actor.id = e.links[1].id = agents[i % 3];
		e.event.occurred_at += i * 100;
		if (i % 10 == 0)
			violate(&e);
		if (i % 3 == 1) { /* one of them is a burst */
			e.event.has_items = 1;
			e.event.items = 20;
		}
		assert_int_equal(ag_kit_audit(*kit, &e.event, i), AG_OK);
		while ((sent = ag_kit_next(*kit)) != NULL) {
			const Ag__AssessAsk *ask = sent->body;

			if (sent->type != AG_MSG_ASSESS_ASK)
				continue;
			for (size_t k = 0; k < ask->n_recommendations; k++) {
				assert_true(n < max);
				strcpy(found[n++],
				    ask->recommendations[k]->event_id);
			}
			ag_kit_answer(*kit, sent, AG_MSG_DONE_REPLY,
			    &(Ag__Done)AG__DONE__INIT);
		}
		if (restart_every > 0 && i % restart_every == 0) {
			ag_kit_free(kit);
			*kit = ag_kit_new(&ag_actor_anomaly, NULL, dir);
		}
	}
	return n;
}

static void
same_after_restarts(void **state)
{
	static char once[300][AG_ID_SIZE], again[300][AG_ID_SIZE];
	char dir_a[] = "/tmp/aegis-anomaly-XXXXXX";
	char dir_b[] = "/tmp/aegis-anomaly-XXXXXX", command[128];
	struct ag_kit *a, *b;
	size_t n, m;

	assert_non_null(mkdtemp(dir_a));
	assert_non_null(mkdtemp(dir_b));
	a = ag_kit_new(&ag_actor_anomaly, NULL, dir_a);
	b = ag_kit_new(&ag_actor_anomaly, NULL, dir_b);
	n = trace(&a, dir_a, 0, once, 300);
	m = trace(&b, dir_b, 37, again, 300);
	assert_true(n > 60);
	assert_int_equal(n, m);
	for (size_t i = 0; i < n; i++)
		assert_string_equal(once[i], again[i]);
	ag_kit_free(&a);
	ag_kit_free(&b);
	snprintf(command, sizeof(command), "rm -rf %s %s", dir_a, dir_b);
	assert_int_equal(system(command), 0);
}

/* Twelve days of people's work with something new now and then; a restart at
 * random events. What was found goes to `found`. */
static size_t
habits(unsigned seed, const char *dir, bool restarts, char found[][AG_ID_SIZE],
    size_t max)
{
	static const char *const operations[] = { "key.sign", "key.verify",
		"key.encrypt", "key.decrypt", "key.rotate" };
	struct ag_kit *kit = ag_kit_new(&ag_actor_anomaly, NULL, dir);
	const struct ag_kit_sent *sent;
	char who[AG_ID_SIZE], key[AG_ID_SIZE], address[32];
	unsigned random = seed, restart = seed;
	size_t n = 0;

	for (unsigned i = 1; i <= 1500; i++) {
		struct event e;
		unsigned rare;

		random = random * 1103515245u + 12345u;
		restart = restart * 69069u + 1u;
		rare = (random >> 24) % 64 == 0;
		event_init(&e, i);
		snprintf(who, sizeof(who), "hum_%032u", (random >> 16) % 3);
		snprintf(key, sizeof(key), "key_%032u", (random >> 18) % 3 +
		    rare * ((random >> 12) % 9));
		snprintf(address, sizeof(address), "10.0.%u.1",
		    rare * ((random >> 14) % 9));
		e.actor.id = e.links[0].id = who;
		e.actor.kind = AG__KIND__V__human;
		e.event.n_chain = 1;
		e.resource.id = key;
		e.resource.alias = NULL;
		e.event.source_address = address;
		e.event.operation = (char *)operations[(random >> 20) % 2 +
		    rare * ((random >> 10) % 4)];
		/* Every 11 minutes, but at night only what is rare. */
		e.event.occurred_at = INT64_C(1767571200000) + i * 660000ll;
		if (e.event.occurred_at / 3600000 % 24 < 7 && !rare)
			continue;
		assert_int_equal(ag_kit_audit(kit, &e.event, i), AG_OK);
		while ((sent = ag_kit_next(kit)) != NULL) {
			const Ag__AssessAsk *ask = sent->body;

			if (sent->type != AG_MSG_ASSESS_ASK)
				continue;
			for (size_t k = 0; k < ask->n_recommendations; k++) {
				assert_true(n < max);
				strcpy(found[n++],
				    ask->recommendations[k]->event_id);
			}
			ag_kit_answer(kit, sent, AG_MSG_DONE_REPLY,
			    &(Ag__Done)AG__DONE__INIT);
		}
		if (restarts && (restart >> 20) % 40 == 0) {
			ag_kit_free(&kit);
			kit = ag_kit_new(&ag_actor_anomaly, NULL, dir);
		}
	}
	ag_kit_free(&kit);
	return n;
}

static void
same_habits_after_random_restarts(void **state)
{
	static char once[400][AG_ID_SIZE], again[400][AG_ID_SIZE];
	char command[128];

	for (unsigned seed = 1; seed <= 3; seed++) {
		char dir_a[] = "/tmp/aegis-anomaly-XXXXXX";
		char dir_b[] = "/tmp/aegis-anomaly-XXXXXX";
		size_t n, m;

		assert_non_null(mkdtemp(dir_a));
		assert_non_null(mkdtemp(dir_b));
		n = habits(seed, dir_a, false, once, 400);
		m = habits(seed, dir_b, true, again, 400);
		assert_true(n > 10);
		assert_int_equal(n, m);
		for (size_t i = 0; i < n; i++)
			assert_string_equal(once[i], again[i]);
		snprintf(command, sizeof(command), "rm -rf %s %s", dir_a,
		    dir_b);
		assert_int_equal(system(command), 0);
	}
}

/* A person dismissed it with learn: what it was about is usual from then on;
 * and it stays so over a restart. */
static void
learns_what_people_dismiss(void **state)
{
	static char home[] = "10.0.0.1", away[] = "192.0.2.1";
	char dir[] = "/tmp/aegis-anomaly-XXXXXX", command[64], since[24];
	struct ag_kit *kit;
	const struct ag_kit_sent *sent;
	const Ag__Recommendation *r;
	Ag__Pair pairs[4], *params[4];
	char *values[4][2] = { { (char *)"learn", (char *)"true" },
		{ (char *)"detector", (char *)"new_address" },
		{ (char *)"baseline", NULL }, { (char *)"since_ms", since } };
	struct event e;
	char baseline[AG_ID_SIZE];
	unsigned pos = 1;

	assert_non_null(mkdtemp(dir));
	kit = ag_kit_new(&ag_actor_anomaly, NULL, dir);
	for (; pos <= 100; pos++) {
		event_init(&e, pos);
		e.event.occurred_at += pos * 3600000ll;
		e.event.source_address = home;
		assert_int_equal(ag_kit_audit(kit, &e.event, pos), AG_OK);
	}
	assert_null(ag_kit_find(kit, AG_MSG_ASSESS_ASK));
	event_init(&e, pos);
	e.event.occurred_at += pos * 3600000ll;
	e.event.source_address = away;
	assert_int_equal(ag_kit_audit(kit, &e.event, pos), AG_OK);
	sent = ag_kit_find(kit, AG_MSG_ASSESS_ASK);
	assert_non_null(sent);
	r = ((const Ag__AssessAsk *)sent->body)->recommendations[0];
	assert_string_equal(r->detector, "new_address");
	assert_non_null(r->baseline);
	strcpy(baseline, r->baseline);
	snprintf(since, sizeof(since), "%lld", (long long)r->occurred_at);
	ag_kit_answer(kit, sent, AG_MSG_DONE_REPLY,
	    &(Ag__Done)AG__DONE__INIT);
	event_init(&e, ++pos);
	values[2][1] = baseline;
	for (int i = 0; i < 4; i++) {
		ag__pair__init(&pairs[i]);
		pairs[i].key = values[i][0];
		pairs[i].value = values[i][1];
		params[i] = &pairs[i];
	}
	e.event.operation = (char *)"system.dismiss";
	e.event.params = params;
	e.event.n_params = 4;
	assert_int_equal(ag_kit_audit(kit, &e.event, pos), AG_OK);
	ag_kit_free(&kit);
	kit = ag_kit_new(&ag_actor_anomaly, NULL, dir);
	for (int day = 0; day < 30; day++) {
		event_init(&e, ++pos);
		e.event.occurred_at += 200 * 3600000ll + day * 86400000ll;
		e.event.source_address = day < 29 ? home : away;
		assert_int_equal(ag_kit_audit(kit, &e.event, pos), AG_OK);
	}
	/* (Earlier findings that were never settled are asked again.) */
	while ((sent = ag_kit_find(kit, AG_MSG_ASSESS_ASK)) != NULL) {
		const Ag__AssessAsk *ask = sent->body;

		for (size_t i = 0; i < ask->n_recommendations; i++)
			assert_false(strcmp(ask->recommendations[i]->detector,
			    "new_address") == 0 &&
			    strcmp(ask->event_id, e.id) == 0);
	}
	ag_kit_free(&kit);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
}

/* What was not answered before a restart is asked after it. */
static void
pending_survives(void **state)
{
	char dir[] = "/tmp/aegis-anomaly-XXXXXX", command[64];
	struct ag_kit *kit;
	struct event e;

	assert_non_null(mkdtemp(dir));
	kit = ag_kit_new(&ag_actor_anomaly, NULL, dir);
	event_init(&e, 1);
	violate(&e);
	assert_int_equal(ag_kit_audit(kit, &e.event, 1), AG_OK);
	ag_kit_free(&kit);
	kit = ag_kit_new(&ag_actor_anomaly, NULL, dir);
	ag_kit_advance(kit, 300);
	assert_non_null(ag_kit_find(kit, AG_MSG_ASSESS_ASK));
	ag_kit_free(&kit);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
}

/* Nobody answers: the cursor waits, nothing is dropped. */
static void
stops_when_full(void **state)
{
	struct ag_kit *kit = ag_kit_new(&ag_actor_anomaly, NULL, NULL);
	const struct ag_kit_sent *sent;
	struct event e;
	unsigned i;

	for (i = 1; i <= PENDING_MAX; i++) {
		event_init(&e, i);
		violate(&e);
		assert_int_equal(ag_kit_audit(kit, &e.event, i), AG_OK);
	}
	event_init(&e, i);
	assert_int_equal(ag_kit_audit(kit, &e.event, i), AG_FULL);
	sent = ag_kit_find(kit, AG_MSG_ASSESS_ASK);
	assert_non_null(sent);
	ag_kit_free(&kit);
}

static void
survives_odd_events(void **state)
{
	static char name[5000];
	struct ag_kit *kit = ag_kit_new(&ag_actor_anomaly, NULL, NULL);
	struct event e;

	memset(name, 'n', sizeof(name) - 1);
	event_init(&e, 1);
	violate(&e);
	e.event.actor = NULL;
	assert_int_equal(ag_kit_audit(kit, &e.event, 1), AG_OK);
	event_init(&e, 2);
	violate(&e);
	e.actor.id = NULL;
	assert_int_equal(ag_kit_audit(kit, &e.event, 2), AG_OK);
	event_init(&e, 3);
	violate(&e);
	e.actor.id = name;
	e.event.n_chain = 0;
	e.event.operation = name;
	assert_int_equal(ag_kit_audit(kit, &e.event, 3), AG_OK);
	event_init(&e, 4);
	violate(&e);
	e.event.resource = NULL;
	assert_int_equal(ag_kit_audit(kit, &e.event, 4), AG_OK);
	ag_kit_free(&kit);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_of_a_violation),
		cmocka_unit_test(asks_for_every_hold),
		cmocka_unit_test(rules_on_late_refusals),
		cmocka_unit_test(never_by_its_own),
		cmocka_unit_test(asks_again),
		cmocka_unit_test(gives_up_what_is_refused),
		cmocka_unit_test(asks_again_for_a_lost_response),
		cmocka_unit_test(same_after_restarts),
		cmocka_unit_test(same_habits_after_random_restarts),
		cmocka_unit_test(learns_what_people_dismiss),
		cmocka_unit_test(pending_survives),
		cmocka_unit_test(stops_when_full),
		cmocka_unit_test(survives_odd_events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
