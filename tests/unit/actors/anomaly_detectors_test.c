/* SPDX-License-Identifier: Apache-2.0 */
/* The detectors by themselves: boundaries, hysteresis, cool-down, what they
 * do not want to see. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "anomaly/detector.h"

struct fixture {
	const struct anomaly_detector *detector;
	struct anomaly_limits limits;
	void *row;
	struct anomaly_finding found;
	Ag__Event event;
	Ag__EventActor actor;
	Ag__Resource resource;
	char event_id[AG_ID_SIZE];
	unsigned n;
};

static const int64_t start_ms = INT64_C(1790000000000);

static void
begin(struct fixture *f, const struct anomaly_detector *detector)
{
	memset(f, 0, sizeof(*f));
	f->detector = detector;
	f->limits = (struct anomaly_limits){ .enabled = true, .low = 1,
		.medium = 2, .high = 3, .cooldown_ms = 300000,
		.window_ms = detector == &anomaly_scope_violation ? 600000 :
		    60000,
		.ordinary = 400 };
	f->row = calloc(1, detector->row_size + 1);
	ag__event__init(&f->event);
	ag__event_actor__init(&f->actor);
	ag__resource__init(&f->resource);
	f->event.event_id = f->event_id;
	f->event.tenant = (char *)"default";
	f->event.event_type = AG__EVENT_TYPE__V__request;
	f->event.occurred_at = start_ms;
	f->event.operation = (char *)"key.sign";
	f->event.actor = &f->actor;
	f->actor.id = (char *)"agt_0123456789abcdef0123456789abcdef";
	f->actor.has_kind = 1;
	f->actor.kind = AG__KIND__V__agent;
	f->event.resource = &f->resource;
	f->resource.type = (char *)"key";
	f->resource.id = (char *)"key_a";
}

static void
end(struct fixture *f)
{
	free(f->row);
}

/* The severity found, 0 for none. */
static int
see(struct fixture *f)
{
	memset(&f->found, 0, sizeof(f->found));
	snprintf(f->event_id, sizeof(f->event_id), "evt_%032x", ++f->n);
	if (!f->detector->wants(&f->event) ||
	    !f->detector->look(f->detector->row_size > 0 ? f->row : NULL,
	    &f->limits, &f->event, &f->found))
		return 0;
	return (int)f->found.severity;
}

/* With a limit of 400 a minute, 100 are usual: 200 are low, 300 medium, 400
 * high, and each is said once. */
static void
spike_boundaries(void **state)
{
	struct fixture f;
	char since[AG_ID_SIZE];

	begin(&f, &anomaly_rate_spike);
	for (unsigned i = 1; i <= 450; i++) {
		int expected = i == 200 ? AG__SEVERITY__V__low :
		    i == 300 ? AG__SEVERITY__V__medium :
		    i == 400 ? AG__SEVERITY__V__high : 0;

		if (see(&f) != expected)
			fail_msg("event %u: %d, not %d", i,
			    (int)f.found.severity, expected);
		if (i == 200) {
			memcpy(since, f.found.since, sizeof(since));
			assert_string_equal(since, f.event_id);
		} else if (expected != 0) {
			assert_string_equal(f.found.since, since);
		}
	}
	end(&f);
}

static void
spike_counts_batches(void **state)
{
	struct fixture f;

	begin(&f, &anomaly_rate_spike);
	f.event.has_items = 1;
	f.event.items = 199;
	assert_int_equal(see(&f), 0);
	f.event.has_items = 0;
	assert_int_equal(see(&f), AG__SEVERITY__V__low);
	end(&f);
}

static int
burst_of(struct fixture *f, unsigned n)
{
	int found = 0;

	for (unsigned i = 0; i < n; i++)
		found += see(f) != 0;
	return found;
}

/* What is 60 s old does not count: 50, 150 and 49 in two minutes are no 200. */
static void
spike_slides(void **state)
{
	struct fixture f;

	begin(&f, &anomaly_rate_spike);
	assert_int_equal(burst_of(&f, 50), 0);
	f.event.occurred_at += 60000;
	assert_int_equal(burst_of(&f, 150), 0);
	f.event.occurred_at += 59000;
	assert_int_equal(burst_of(&f, 49), 0);
	assert_int_equal(see(&f), AG__SEVERITY__V__low);
	end(&f);
}

/* One burst goes on while it does not fall under half of low (150 of 200);
 * the next is said only after the cool-down. */
static void
spike_hysteresis_and_cooldown(void **state)
{
	struct fixture f;

	begin(&f, &anomaly_rate_spike);
	assert_int_equal(burst_of(&f, 50), 0);
	f.event.occurred_at += 10000;
	assert_int_equal(burst_of(&f, 160), 1);
	f.event.occurred_at += 51000; /* 160 are left, and rise again */
	assert_int_equal(burst_of(&f, 60), 0);
	f.event.occurred_at += 70000; /* over; the next, within the cool-down */
	assert_int_equal(burst_of(&f, 250), 0);
	f.event.occurred_at += 300000;
	assert_int_equal(burst_of(&f, 250), 1);
	end(&f);
}

static void
spike_ignores_refusals(void **state)
{
	struct fixture f;

	begin(&f, &anomaly_rate_spike);
	f.event.outcome = AG__OUTCOME_KIND__V__denied;
	assert_int_equal(burst_of(&f, 1000), 0);
	f.event.outcome = AG__OUTCOME_KIND__V__allowed;
	assert_int_equal(burst_of(&f, 199), 0);
	end(&f);
}

/* 1,000 operations a minute for an hour are its usual; then 3,000 are not. */
static void
spike_learns_its_own(void **state)
{
	struct fixture f;

	begin(&f, &anomaly_rate_spike);
	f.limits.ordinary = 6000;
	for (unsigned minute = 0; minute < 60; minute++) {
		assert_int_equal(burst_of(&f, 1000), 0);
		f.event.occurred_at += 60000;
	}
	assert_int_equal(burst_of(&f, 1999), 0);
	assert_int_equal(see(&f), AG__SEVERITY__V__low);
	end(&f);
}

/* Poisoning: 2 % more an hour, day and night. It is told of within four
 * days, and a person may say that the new level is right. */
static void
spike_is_not_taught_by_drops(void **state)
{
	struct fixture f;
	double rate = 1000;
	int found = 0;
	unsigned hour;

	begin(&f, &anomaly_rate_spike);
	f.limits.ordinary = 6000;
	f.limits.cooldown_ms = 3600000;
	f.event.has_items = 1;
	for (hour = 0; hour < 24; hour++) /* ordinary */
		for (unsigned m = 0; m < 60; m++) {
			f.event.items = (uint32_t)rate;
			assert_int_equal(see(&f), 0);
			f.event.occurred_at += 60000;
		}
	for (hour = 0; found == 0 && hour < 240; hour++, rate *= 1.02)
		for (unsigned m = 0; m < 60; m++) {
			f.event.items = (uint32_t)rate;
			found += see(&f);
			f.event.occurred_at += 60000;
		}
	assert_int_equal(found, AG__SEVERITY__V__low);
	assert_true(rate < 5000);
	assert_true(hour < 80);
	f.detector->learn(f.row, &f.limits, start_ms);
	f.event.occurred_at += 86400000;
	for (unsigned m = 0; m < 60; m++) {
		f.event.items = (uint32_t)rate;
		assert_int_equal(see(&f), 0);
		f.event.occurred_at += 60000;
	}
	end(&f);
}

/* Two keys, 1,000 operations, default limits: nothing. */
static void
spike_clean_trace(void **state)
{
	struct fixture f;

	begin(&f, &anomaly_rate_spike);
	f.limits.ordinary = 6000;
	assert_int_equal(burst_of(&f, 1000), 0);
	f.limits.ordinary = 0; /* no limit, nothing known yet: no judgement */
	assert_int_equal(burst_of(&f, 100000), 0);
	end(&f);
}

static void
scope_severities(void **state)
{
	struct fixture f;

	begin(&f, &anomaly_scope_violation);
	f.limits.cooldown_ms = 0;
	f.event.outcome = AG__OUTCOME_KIND__V__denied;
	f.event.reason_code = (char *)"scope_missing";
	assert_int_equal(see(&f), AG__SEVERITY__V__high);
	assert_int_equal(see(&f), AG__SEVERITY__V__high);
	f.resource.id = (char *)"key_b";
	assert_int_equal(see(&f), AG__SEVERITY__V__high);
	f.event.occurred_at += 600001; /* the first two are forgotten */
	f.resource.id = (char *)"key_c";
	assert_int_equal(see(&f), AG__SEVERITY__V__high);
	f.resource.id = (char *)"key_a";
	assert_int_equal(see(&f), AG__SEVERITY__V__high);
	f.event.occurred_at += 600000; /* exactly ten minutes */
	f.resource.id = (char *)"key_d";
	assert_int_equal(see(&f), AG__SEVERITY__V__critical);
	end(&f);
}

static void
scope_tier_and_cooldown(void **state)
{
	struct fixture f;

	begin(&f, &anomaly_scope_violation);
	f.event.outcome = AG__OUTCOME_KIND__V__denied;
	f.event.reason_code = (char *)"scope_missing";
	assert_int_equal(see(&f), AG__SEVERITY__V__high);
	assert_int_equal(see(&f), 0); /* cool-down */
	f.event.has_tier_critical = f.event.tier_critical = 1;
	assert_int_equal(see(&f), AG__SEVERITY__V__critical);
	assert_int_equal(see(&f), 0);
	f.event.occurred_at += 300000;
	assert_int_equal(see(&f), AG__SEVERITY__V__critical);
	end(&f);
}

/* Found by a stranger: of people and services nothing was said. */
static void
scope_of_people_and_services(void **state)
{
	struct fixture f;

	begin(&f, &anomaly_scope_violation);
	f.event.outcome = AG__OUTCOME_KIND__V__denied;
	f.event.reason_code = (char *)"scope_missing";
	f.actor.kind = AG__KIND__V__human;
	f.limits.cooldown_ms = 0;
	f.limits.window_ms = 600000;
	assert_int_equal(see(&f), AG__SEVERITY__V__high);
	/* Nobody ends it, so it is said once, and once for each other key. */
	for (int i = 0; i < 100; i++) {
		f.event.occurred_at += 1000;
		assert_int_equal(see(&f), 0);
	}
	f.resource.id = (char *)"key_b";
	assert_int_equal(see(&f), AG__SEVERITY__V__high);
	f.event.occurred_at += 600001;
	assert_int_equal(see(&f), AG__SEVERITY__V__high);
	/* More keys than are told apart: no more findings than these. */
	for (int i = 0, said = 0; i < 1000; i++) {
		char id[16];

		snprintf(id, sizeof(id), "key_%d", i % 50);
		f.resource.id = id;
		said += see(&f) != 0;
		assert_true(said <= 8);
	}
	end(&f);
	begin(&f, &anomaly_scope_violation);
	f.event.outcome = AG__OUTCOME_KIND__V__denied;
	f.event.reason_code = (char *)"scope_missing";
	f.actor.kind = AG__KIND__V__service;
	assert_int_equal(see(&f), AG__SEVERITY__V__high);
	f.event.actor = NULL; /* nobody is known */
	assert_int_equal(see(&f), 0);
	end(&f);
}

static void
scope_not_wanted(void **state)
{
	struct fixture f;

	begin(&f, &anomaly_scope_violation);
	f.limits.cooldown_ms = 0;
	f.event.reason_code = (char *)"scope_missing";
	f.event.outcome = AG__OUTCOME_KIND__V__allowed;
	assert_int_equal(see(&f), 0);
	f.event.outcome = AG__OUTCOME_KIND__V__denied;
	f.resource.id = NULL; /* it does not exist */
	assert_int_equal(see(&f), 0);
	f.resource.id = (char *)"key_a";
	f.event.reason_code = (char *)"risk_deny";
	assert_int_equal(see(&f), 0);
	f.event.reason_code = NULL;
	assert_int_equal(see(&f), 0);
	f.event.resource = NULL;
	assert_int_equal(see(&f), 0);
	end(&f);
}

static void
refusals(void **state)
{
	struct fixture f;

	begin(&f, &anomaly_refusal_burst);
	f.limits.low = 10;
	f.limits.medium = 20;
	f.limits.high = 40;
	f.event.outcome = AG__OUTCOME_KIND__V__denied;
	f.event.code = (char *)"RateLimited";
	assert_int_equal(burst_of(&f, 100), 0);
	f.event.code = (char *)"PrincipalSuspended";
	assert_int_equal(burst_of(&f, 100), 0);
	f.event.code = (char *)"PermissionDenied";
	f.resource.id = NULL; /* unknown keys count */
	assert_int_equal(burst_of(&f, 9), 0);
	assert_int_equal(see(&f), AG__SEVERITY__V__low);
	assert_int_equal(burst_of(&f, 9), 0);
	assert_int_equal(see(&f), AG__SEVERITY__V__medium);
	assert_int_equal(burst_of(&f, 19), 0);
	assert_int_equal(see(&f), AG__SEVERITY__V__high);
	assert_int_equal(burst_of(&f, 1000), 0);
	end(&f);
}

/* A node whose clock or log lags empties no window that others filled; its own
 * node's clock, set back, does; and whoever is more than an hour behind. */
static void
laggards(void **state)
{
	static const struct {
		bool shared;
		int64_t behind_ms;
		int severity; /* of the tenth at the time of the first nine */
	} cases[] = {
		{ true, 600000, AG__SEVERITY__V__low },
		{ true, 3600000, AG__SEVERITY__V__low },
		{ true, 3661000, 0 },
		{ false, 600000, 0 },
	};
	struct fixture f;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin(&f, &anomaly_refusal_burst);
		f.limits.low = 10;
		f.limits.medium = 20;
		f.limits.high = 40;
		f.limits.shared = cases[i].shared;
		f.event.outcome = AG__OUTCOME_KIND__V__denied;
		f.event.code = (char *)"PermissionDenied";
		assert_int_equal(burst_of(&f, 9), 0);
		f.event.occurred_at -= cases[i].behind_ms;
		assert_int_equal(see(&f), 0);
		f.event.occurred_at += cases[i].behind_ms;
		assert_int_equal(see(&f), cases[i].severity);
		end(&f);
	}
}

static void
honey(void **state)
{
	struct fixture f;

	begin(&f, &anomaly_honey_key);
	f.event.outcome = AG__OUTCOME_KIND__V__denied;
	assert_int_equal(see(&f), 0);
	f.event.has_honey = f.event.honey = 1;
	assert_int_equal(see(&f), AG__SEVERITY__V__critical);
	f.event.outcome = AG__OUTCOME_KIND__V__allowed;
	assert_int_equal(see(&f), AG__SEVERITY__V__critical);
	f.actor.kind = AG__KIND__V__human; /* who tends it */
	assert_int_equal(see(&f), 0);
	f.event.resource = NULL;
	f.event.outcome = AG__OUTCOME_KIND__V__denied;
	assert_int_equal(see(&f), AG__SEVERITY__V__critical);
	end(&f);
}

/* Clocks that jump and names that are long cost nothing but the window. */
static void
hostile_times_and_names(void **state)
{
	static char name[4096];
	struct fixture f;

	memset(name, 'x', sizeof(name) - 1);
	begin(&f, &anomaly_rate_spike);
	f.event.occurred_at = INT64_MIN;
	assert_int_equal(see(&f), 0);
	f.event.occurred_at = INT64_MAX;
	assert_int_equal(see(&f), 0);
	f.event.occurred_at = start_ms;
	assert_int_equal(see(&f), 0);
	end(&f);
	begin(&f, &anomaly_scope_violation);
	f.event.outcome = AG__OUTCOME_KIND__V__denied;
	f.event.reason_code = (char *)"scope_missing";
	f.event.operation = f.resource.id = f.resource.alias = name;
	assert_int_equal(see(&f), AG__SEVERITY__V__high);
	assert_true(strlen(f.found.summary) < sizeof(f.found.summary));
	end(&f);
}

/* ------------------------------------------------------------- habits */

#define HOUR INT64_C(3600000)
#define DAY (24 * HOUR)
/* 2026-01-05, a Monday, midnight UTC. */
static const int64_t monday_ms = INT64_C(1767571200000);

static void
habits(struct fixture *f, const struct anomaly_detector *detector)
{
	begin(f, detector);
	f->limits.cooldown_ms = HOUR;
	f->limits.window_ms = HOUR;
	f->limits.history_ms = detector == &anomaly_off_hours ? 5 * DAY : 3 * DAY;
	if (detector == &anomaly_off_hours) {
		f->limits.low = 3;
		f->limits.medium = 6;
		f->limits.high = 9;
	}
	f->event.outcome = AG__OUTCOME_KIND__V__allowed;
	f->event.source_address = (char *)"10.1.2.3";
	f->resource.alias = (char *)"invoices";
}

/* Office hours (9 to 17), Monday to Friday, twice an hour, for n days; what was
 * found. Ends on day n, midnight. */
static int
office(struct fixture *f, int first_day, int days)
{
	int found = 0;

	for (int day = first_day; day < first_day + days; day++)
		for (int half = 18; day % 7 < 5 && half < 34; half++) {
			f->event.occurred_at = monday_ms + day * DAY +
			    half * HOUR / 2;
			found += see(f) != 0;
		}
	f->event.occurred_at = monday_ms + (first_day + days) * DAY;
	return found;
}

/* N04: a week of the ordinary, then 03:00, a new /24 and the first decrypt are
 * each found within one event. */
static void
each_within_one_event(void **state)
{
	struct fixture f;

	habits(&f, &anomaly_off_hours);
	assert_int_equal(office(&f, 0, 7), 0);
	f.event.occurred_at = monday_ms + 7 * DAY + 3 * HOUR;
	assert_int_equal(see(&f), AG__SEVERITY__V__medium);
	end(&f);
	habits(&f, &anomaly_new_address);
	assert_int_equal(office(&f, 0, 7), 0);
	f.event.source_address = (char *)"10.1.2.99"; /* the same network */
	assert_int_equal(see(&f), 0);
	f.event.source_address = (char *)"10.1.3.3";
	assert_int_equal(see(&f), AG__SEVERITY__V__low);
	assert_string_equal(f.found.details[0].value, "10.1.3.0/24");
	end(&f);
	habits(&f, &anomaly_new_operation);
	assert_int_equal(office(&f, 0, 7), 0);
	f.event.operation = (char *)"key.decrypt";
	assert_int_equal(see(&f), AG__SEVERITY__V__low);
	end(&f);
	habits(&f, &anomaly_unusual_key);
	assert_int_equal(office(&f, 0, 7), 0);
	f.resource.id = (char *)"key_b";
	f.resource.alias = (char *)"payroll";
	assert_int_equal(see(&f), AG__SEVERITY__V__low);
	end(&f);
}

/* Before the history is long enough, nothing is odd. */
static void
nobody_is_judged_at_once(void **state)
{
	static const struct anomaly_detector *const all[] = {
		&anomaly_off_hours, &anomaly_new_address,
		&anomaly_new_operation, &anomaly_unusual_key };
	struct fixture f;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		habits(&f, all[i]);
		assert_int_equal(office(&f, 0, 2), 0);
		f.event.occurred_at = monday_ms + DAY + 3 * HOUR;
		f.event.source_address = (char *)"10.9.9.9";
		f.event.operation = (char *)"key.decrypt";
		f.resource.id = (char *)"key_b";
		assert_int_equal(see(&f), 0);
		end(&f);
	}
}

/* How many new ones there are in the window says how bad it is; then there is
 * silence for the cool-down. */
static void
novelties_escalate(void **state)
{
	struct fixture f;
	char key[16], since[AG_ID_SIZE];
	int expected[] = { AG__SEVERITY__V__low, AG__SEVERITY__V__medium,
		AG__SEVERITY__V__high, 0, 0 };

	habits(&f, &anomaly_unusual_key);
	assert_int_equal(office(&f, 0, 7), 0);
	f.resource.id = key;
	f.resource.alias = NULL;
	for (int i = 0; i < 5; i++) {
		snprintf(key, sizeof(key), "key_new%d", i);
		assert_int_equal(see(&f), expected[i]);
		if (i == 0)
			memcpy(since, f.found.since, sizeof(since));
		else if (expected[i] != 0)
			assert_string_equal(since, f.found.since);
		assert_int_equal(see(&f), 0); /* said once */
	}
	f.event.occurred_at += HOUR + HOUR / 2; /* a new window, no cool-down */
	snprintf(key, sizeof(key), "key_later");
	assert_int_equal(see(&f), AG__SEVERITY__V__low);
	end(&f);
}

/* What is odd stays odd for three different days; or a person says it is right. */
static void
probation_and_learning(void **state)
{
	struct fixture f;

	for (int learned = 0; learned < 2; learned++) {
		int64_t since;

		habits(&f, &anomaly_new_address);
		assert_int_equal(office(&f, 0, 7), 0);
		since = f.event.occurred_at;
		f.event.source_address = (char *)"192.0.2.1";
		assert_int_equal(see(&f), AG__SEVERITY__V__low);
		if (learned)
			f.detector->learn(f.row, &f.limits, since);
		/* A month later a probation is forgotten, knowledge is not. */
		f.event.source_address = (char *)"10.1.2.3";
		assert_int_equal(office(&f, 7, 28), 0);
		f.event.source_address = (char *)"192.0.2.1";
		assert_int_equal(see(&f) != 0, !learned);
		end(&f);
	}
	habits(&f, &anomaly_new_address);
	assert_int_equal(office(&f, 0, 7), 0);
	f.event.source_address = (char *)"192.0.2.1";
	assert_int_equal(see(&f), AG__SEVERITY__V__low);
	assert_int_equal(office(&f, 7, 3), 0); /* three days of it */
	f.event.source_address = (char *)"10.1.2.3";
	assert_int_equal(office(&f, 10, 28), 0);
	f.event.source_address = (char *)"192.0.2.1";
	assert_int_equal(see(&f), 0);
	end(&f);
}

/* N02: denied calls are never learned, nor looked at. */
static void
habits_ignore_refusals(void **state)
{
	static const struct anomaly_detector *const all[] = {
		&anomaly_off_hours, &anomaly_new_address,
		&anomaly_new_operation, &anomaly_unusual_key };
	struct fixture f;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		habits(&f, all[i]);
		assert_int_equal(office(&f, 0, 7), 0);
		f.event.occurred_at = monday_ms + 7 * DAY + 3 * HOUR;
		f.event.source_address = (char *)"10.9.9.9";
		f.event.operation = (char *)"key.decrypt";
		f.resource.id = (char *)"key_a";
		if (all[i] == &anomaly_unusual_key)
			f.resource.id = (char *)"key_b";
		f.resource.alias = NULL;
		f.event.outcome = AG__OUTCOME_KIND__V__denied;
		for (int n = 0; n < 1000; n++)
			assert_int_equal(see(&f), 0);
		f.event.outcome = AG__OUTCOME_KIND__V__allowed;
		assert_int_not_equal(see(&f), 0);
		end(&f);
	}
}

/* The first decrypt with a key that was only encrypted with, by who decrypts
 * with others. */
static void
new_operation_of_a_key(void **state)
{
	struct fixture f;

	habits(&f, &anomaly_new_operation);
	for (int n = 0; n < 100; n++) {
		f.event.occurred_at = monday_ms + n * HOUR;
		f.resource.id = (char *)(n % 2 ? "key_a" : "key_b");
		f.event.operation = (char *)(n % 2 ? "key.encrypt" : "key.decrypt");
		assert_int_equal(see(&f), 0);
	}
	f.resource.id = (char *)"key_a";
	f.event.operation = (char *)"key.decrypt";
	assert_int_equal(see(&f), AG__SEVERITY__V__low);
	assert_non_null(strstr(f.found.summary, "with this key"));
	f.resource.id = (char *)"key_c"; /* unusual_key's */
	assert_int_equal(see(&f), 0);
	end(&f);
}

/* N02: what an issued scope names is expected, by alias or id. */
static void
scopes_are_seeds(void **state)
{
	static const struct anomaly_detector *const both[] = {
		&anomaly_new_operation, &anomaly_unusual_key };
	struct fixture f;

	for (size_t i = 0; i < 2; i++) {
		habits(&f, both[i]);
		f.event.occurred_at = monday_ms;
		f.detector->seed(f.row, &f.event, "key:payroll:decrypt");
		f.detector->seed(f.row, &f.event, "key:key_c:encrypt");
		f.detector->seed(f.row, &f.event, "key:*:sign");
		f.detector->seed(f.row, &f.event, "key:label=env=prod:verify");
		f.detector->seed(f.row, &f.event, "key:everything:*");
		f.detector->seed(f.row, &f.event, "no scope");
		f.detector->seed(f.row, &f.event, "::");
		assert_int_equal(office(&f, 0, 7), 0);
		f.resource.id = (char *)"key_b";
		f.resource.alias = (char *)"payroll";
		f.event.operation = (char *)"key.decrypt";
		assert_int_equal(see(&f), 0);
		f.resource.id = (char *)"key_c";
		f.resource.alias = NULL;
		f.event.operation = (char *)"key.encrypt";
		assert_int_equal(see(&f), 0);
		f.resource.id = (char *)"key_d"; /* by neither */
		f.event.operation = (char *)"key.wrap";
		assert_int_equal(see(&f), AG__SEVERITY__V__low);
		end(&f);
	}
}

/* Who is known for many new keys an hour, is not told of for one more. */
static void
churn_is_usual_for_some(void **state)
{
	struct fixture f;
	char key[24];
	int found = 0;

	habits(&f, &anomaly_unusual_key);
	f.resource.id = key;
	f.resource.alias = NULL;
	for (int day = 0; day < 14; day++)
		for (int n = 0; n < 20; n++) {
			snprintf(key, sizeof(key), "key_%d_%d", day, n);
			f.event.occurred_at = monday_ms + day * DAY +
			    12 * HOUR + n * 60000;
			found += see(&f) != 0;
		}
	assert_int_equal(found, 0);
	for (int n = 0; n < 100; n++) {
		snprintf(key, sizeof(key), "key_burst_%d", n);
		f.event.occurred_at = monday_ms + 15 * DAY + n * 1000;
		found += see(&f) != 0;
	}
	assert_int_equal(found, 3); /* low, medium, high */
	end(&f);
}

/* N04: thirty days of several people's and machines' ordinary work: fewer than
 * one event in a thousand is called odd. */
static void
clean_trace(void **state)
{
	static const struct anomaly_detector *const all[] = {
		&anomaly_off_hours, &anomaly_new_address,
		&anomaly_new_operation, &anomaly_unusual_key };
	unsigned seen = 0, found = 0, random = 7;
	struct fixture f;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		habits(&f, all[i]);
		f.resource.alias = NULL;
		for (int hour = 0; hour < 30 * 24; hour++) {
			int day = hour / 24, h = hour % 24;

			if (day % 7 > 4 || h < 8 || h > 18)
				continue;
			for (int n = 0; n < 10; n++) {
				char key[16], address[32];

				random = random * 1103515245u + 12345u;
				snprintf(key, sizeof(key), "key_%u",
				    (random >> 16) % 12);
				snprintf(address, sizeof(address), "10.0.%u.9",
				    (random >> 20) % 3);
				f.resource.id = key;
				f.event.source_address = address;
				f.event.operation = (char *)
				    ((random >> 18) % 4 ? "key.sign" : "key.verify");
				f.event.occurred_at = monday_ms + hour * HOUR +
				    n * 300000;
				seen++;
				found += see(&f) != 0;
			}
		}
		end(&f);
	}
	assert_true(seen > 5000);
	assert_true(found * 1000 < seen);
}

static void
creep(struct fixture *f)
{
	begin(f, &anomaly_scope_creep);
	f->limits = (struct anomaly_limits){ .enabled = true, .low = 5,
		.medium = 10, .high = 20, .cooldown_ms = DAY,
		.window_ms = 14 * DAY, .history_ms = 14 * DAY };
	f->event.outcome = AG__OUTCOME_KIND__V__allowed;
	f->event.has_scope_count = 1;
	f->event.occurred_at = monday_ms;
}

/* F05: twelve scopes, one used, for 14 days: one finding, and not another one
 * every day. */
static void
unused_scopes_are_told_of(void **state)
{
	struct fixture f;
	int found = 0;

	creep(&f);
	f.event.scope_count = 12;
	for (int hour = 0; hour < 14 * 24; hour++) {
		f.event.occurred_at = monday_ms + hour * HOUR;
		assert_int_equal(see(&f), 0);
	}
	f.event.occurred_at = monday_ms + 14 * DAY;
	assert_int_equal(see(&f), AG__SEVERITY__V__medium);
	assert_string_equal(f.found.details[0].value, "11");
	for (int hour = 1; hour < 13 * 24; hour++) {
		f.event.occurred_at = monday_ms + 14 * DAY + hour * HOUR;
		found += see(&f);
	}
	assert_int_equal(found, 0);
	f.event.occurred_at = monday_ms + 28 * DAY;
	assert_int_equal(see(&f), AG__SEVERITY__V__medium);
	f.detector->learn(f.row, &f.limits, 0);
	f.event.occurred_at = monday_ms + 60 * DAY;
	assert_int_equal(see(&f), 0);
	end(&f);
}

static void
used_scopes_are_not(void **state)
{
	struct fixture f;
	char key[16];

	creep(&f);
	f.event.scope_count = 12;
	f.resource.id = key;
	for (int hour = 0; hour < 30 * 24; hour++) {
		snprintf(key, sizeof(key), "key_%d", hour % 12);
		f.event.occurred_at = monday_ms + hour * HOUR;
		assert_int_equal(see(&f), 0);
	}
	end(&f);
	creep(&f);
	f.event.scope_count = 4; /* few are no creep */
	for (int hour = 0; hour < 30 * 24; hour++) {
		f.event.occurred_at = monday_ms + hour * HOUR;
		assert_int_equal(see(&f), 0);
	}
	end(&f);
}

/* F05: widened at once by much, and by little again and again; not by agents of
 * the line that hold less; at most once a day. */
static void
widened_scopes_are_told_of(void **state)
{
	struct fixture f;

	creep(&f);
	f.event.scope_count = 2;
	assert_int_equal(see(&f), 0);
	f.event.occurred_at += HOUR;
	f.event.scope_count = 12;
	assert_int_equal(see(&f), AG__SEVERITY__V__medium);
	assert_string_equal(f.found.details[0].value, "2");
	f.event.scope_count = 2;
	assert_int_equal(see(&f), 0);
	f.event.scope_count = 12;
	assert_int_equal(see(&f), 0);
	f.event.occurred_at += HOUR;
	f.event.scope_count = 40;
	assert_int_equal(see(&f), 0); /* told of tomorrow */
	f.event.occurred_at += DAY;
	assert_int_equal(see(&f), AG__SEVERITY__V__high);
	assert_int_equal(see(&f), 0);
	end(&f);
	creep(&f);
	for (int day = 0; day < 5; day++) { /* one more each day */
		f.event.scope_count = 2 + (uint32_t)day;
		f.event.occurred_at = monday_ms + day * DAY;
		assert_int_equal(see(&f), 0);
	}
	f.event.scope_count = 7;
	assert_int_equal(see(&f), AG__SEVERITY__V__low);
	end(&f);
}

/* Clocks that jump: no crash, and time goes on. */
static void
hostile_habits(void **state)
{
	/* anomaly.c bounds the event's time. */
	static const int64_t times[] = { 0, INT64_C(253402300799000), 1,
		INT64_C(1767571200000), 5, INT64_C(253402300798000), 7 };
	static const struct anomaly_detector *const all[] = {
		&anomaly_off_hours, &anomaly_new_address,
		&anomaly_new_operation, &anomaly_unusual_key,
		&anomaly_scope_creep };
	static char name[4096];
	struct fixture f;

	memset(name, ':', sizeof(name) - 1);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		habits(&f, all[i]);
		for (size_t n = 0; n < 7000; n++) {
			f.event.occurred_at = times[n % 7];
			f.event.source_address = (char *)(n % 3 ? name : "::");
			f.resource.id = f.event.operation = name;
			(void)see(&f);
			assert_true(strlen(f.found.summary) <
			    sizeof(f.found.summary));
		}
		if (f.detector->seed != NULL)
			f.detector->seed(f.row, &f.event, name);
		f.detector->learn(f.row, &f.limits, 0);
		f.detector->learn(f.row, &f.limits, INT64_C(253402300799000));
		end(&f);
	}
}

/* Budgets are by operation and clock hour; batches count as their items. */
static void
budget(void **state)
{
	struct fixture f;

	begin(&f, &anomaly_budget);
	f.limits.window_ms = 3600000;
	f.limits.low = 3;
	f.limits.medium = 5;
	f.limits.high = 10;
	f.event.occurred_at -= f.event.occurred_at % f.limits.window_ms;
	for (unsigned i = 1; i <= 3; i++)
		assert_int_equal(see(&f), 0);
	f.event.operation = (char *)"key.mac";
	assert_int_equal(see(&f), 0); /* another budget */
	f.event.operation = (char *)"key.sign";
	f.event.outcome = AG__OUTCOME_KIND__V__denied;
	assert_int_equal(see(&f), 0);
	f.event.outcome = AG__OUTCOME_KIND__V__allowed;
	assert_int_equal(see(&f), AG__SEVERITY__V__low);
	assert_string_equal(f.found.since, f.event_id);
	assert_int_equal(see(&f), 0);
	f.event.has_items = 1;
	f.event.items = 6;
	assert_int_equal(see(&f), AG__SEVERITY__V__high);
	assert_string_not_equal(f.found.since, f.event_id);
	assert_string_equal(f.found.details[1].value, "11");
	assert_int_equal(see(&f), 0);
	f.event.occurred_at += f.limits.window_ms; /* the next hour */
	assert_int_equal(see(&f), AG__SEVERITY__V__medium);
	f.event.occurred_at -= 1; /* late: of an hour that is over */
	assert_int_equal(see(&f), 0);
	end(&f);
}

static void
budget_is_optional(void **state)
{
	struct fixture f;

	begin(&f, &anomaly_budget);
	f.limits.low = f.limits.medium = f.limits.high = 0;
	for (unsigned i = 0; i < 1000; i++) {
		assert_int_equal(see(&f), 0);
		assert_true(f.found.same);
	}
	f.limits.high = 3; /* alone */
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(see(&f), 0);
	assert_int_equal(see(&f), AG__SEVERITY__V__high);
	f.actor.kind = AG__KIND__V__human;
	f.event.has_items = 1;
	f.event.items = 1000;
	assert_int_equal(see(&f), 0);
	end(&f);
}

/* More kinds than are remembered: the much used one is not forgotten. */
static void
budget_of_many(void **state)
{
	struct fixture f;
	char name[600];
	int found = 0;

	begin(&f, &anomaly_budget);
	f.limits.low = 0;
	f.limits.medium = 0;
	f.limits.high = 150;
	f.limits.window_ms = INT64_C(3600000);
	for (unsigned i = 0; i <= 150; i++) {
		f.event.operation = (char *)"key.sign";
		found += see(&f) != 0;
		memset(name, 'a' + (int)(i % 26), sizeof(name) - 1);
		name[sizeof(name) - 1] = '\0';
		f.event.operation = name;
		see(&f);
	}
	assert_int_equal(found, 1);
	end(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spike_boundaries),
		cmocka_unit_test(spike_counts_batches),
		cmocka_unit_test(spike_slides),
		cmocka_unit_test(spike_hysteresis_and_cooldown),
		cmocka_unit_test(spike_ignores_refusals),
		cmocka_unit_test(spike_learns_its_own),
		cmocka_unit_test(spike_is_not_taught_by_drops),
		cmocka_unit_test(spike_clean_trace),
		cmocka_unit_test(scope_severities),
		cmocka_unit_test(scope_tier_and_cooldown),
		cmocka_unit_test(scope_of_people_and_services),
		cmocka_unit_test(scope_not_wanted),
		cmocka_unit_test(refusals),
		cmocka_unit_test(laggards),
		cmocka_unit_test(honey),
		cmocka_unit_test(hostile_times_and_names),
		cmocka_unit_test(each_within_one_event),
		cmocka_unit_test(nobody_is_judged_at_once),
		cmocka_unit_test(novelties_escalate),
		cmocka_unit_test(probation_and_learning),
		cmocka_unit_test(habits_ignore_refusals),
		cmocka_unit_test(new_operation_of_a_key),
		cmocka_unit_test(scopes_are_seeds),
		cmocka_unit_test(churn_is_usual_for_some),
		cmocka_unit_test(clean_trace),
		cmocka_unit_test(unused_scopes_are_told_of),
		cmocka_unit_test(used_scopes_are_not),
		cmocka_unit_test(widened_scopes_are_told_of),
		cmocka_unit_test(hostile_habits),
		cmocka_unit_test(budget),
		cmocka_unit_test(budget_is_optional),
		cmocka_unit_test(budget_of_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
