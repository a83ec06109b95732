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
		.medium = 2, .high = 3, .cooldown_ms = 300000, .ordinary = 400 };
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
	f.actor.kind = AG__KIND__V__human;
	assert_int_equal(see(&f), 0);
	f.actor.kind = AG__KIND__V__agent;
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
		cmocka_unit_test(spike_clean_trace),
		cmocka_unit_test(scope_severities),
		cmocka_unit_test(scope_tier_and_cooldown),
		cmocka_unit_test(scope_not_wanted),
		cmocka_unit_test(refusals),
		cmocka_unit_test(honey),
		cmocka_unit_test(hostile_times_and_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
