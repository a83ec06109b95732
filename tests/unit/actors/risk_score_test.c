/* SPDX-License-Identifier: Apache-2.0 */
/* The score: golden contexts, one factor at a time, first days, edges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "risk/kept.h"
#include "risk/score.h"

#define HOUR INT64_C(3600000)
#define DAY (24 * HOUR)
/* 2026-01-07, a Wednesday, 10:00 UTC. */
#define WEDNESDAY_10 (INT64_C(1767744000000) + 10 * HOUR)

enum { OP_SIGN = 5, OP_RARE = 6, OP_NEW = 7, HOME = 111, AWAY = 222,
	KEY_1 = 1001, KEY_2 = 1002, KEY_NEW = 1003 };

static struct risk_request
ordinary(void)
{
	return (struct risk_request){ .at_ms = WEDNESDAY_10, .per_s = 1,
		.op = OP_SIGN, .address = HOME, .key = KEY_1,
		.kind = RISK_HUMAN, .credential_age_ms = 0, .scope_count = 1,
		.items = 1 };
}

/* n requests as ever: one a second, two keys, Wednesdays at 10. */
static struct risk_baseline
watched(unsigned n)
{
	struct risk_baseline usual = { 0 };

	for (unsigned i = 0; i < n; i++) {
		struct risk_request r = ordinary();

		r.at_ms += i * INT64_C(1000);
		r.key = i % 2 ? KEY_1 : KEY_2;
		risk_learn(&usual, &r);
	}
	return usual;
}

/* What is odd about a context. */
enum { BURST = 1, ODD = 2, FROM = 4, OP = 8, KEY = 16, AGENT = 32, OLD = 64,
	BROAD = 128, PROD = 256, ALL = 511 };

static struct risk_request
context(unsigned odd)
{
	struct risk_request r = ordinary();

	if (odd & BURST)
		r.per_s = 5000;
	if (odd & ODD)
		r.at_ms += 4 * DAY - 7 * HOUR; /* Sunday, 03:00 */
	if (odd & FROM)
		r.address = AWAY;
	if (odd & OP)
		r.op = OP_NEW;
	if (odd & KEY)
		r.key = KEY_NEW;
	if (odd & AGENT)
		r.kind = RISK_AGENT;
	if (odd & OLD)
		r.credential_age_ms = 60 * DAY;
	if (odd & BROAD)
		r.scope_count = 64;
	r.prod = (odd & PROD) != 0;
	return r;
}

struct golden {
	unsigned odd;
	double score;
};
static const struct golden golden[] = {
	{ 0, 0.00 },
	{ BURST, 0.20 }, { ODD, 0.10 }, { FROM, 0.20 }, { OP, 0.15 },
	{ KEY, 0.10 }, { AGENT, 0.05 }, { OLD, 0.10 }, { BROAD, 0.05 },
	{ PROD, 0.05 }, { PROD | FROM | OP, 0.40 },
	{ AGENT | BURST, 0.25 }, { AGENT | OP, 0.20 }, { AGENT | KEY, 0.15 },
	{ AGENT | FROM, 0.25 }, { AGENT | OLD, 0.15 }, { AGENT | ODD, 0.15 },
	{ BURST | KEY, 0.30 }, { BURST | FROM, 0.40 }, { BURST | OP, 0.35 },
	{ FROM | ODD, 0.30 }, { FROM | OP, 0.35 }, { FROM | KEY, 0.30 },
	{ ODD | OP | KEY, 0.35 }, { OLD | BROAD | AGENT, 0.20 },
	{ AGENT | BURST | KEY, 0.35 }, { AGENT | FROM | OP, 0.40 },
	{ AGENT | FROM | OP | KEY, 0.50 }, { BURST | FROM | OP, 0.55 },
	{ BURST | FROM | OP | KEY, 0.65 }, { BURST | FROM | ODD | KEY, 0.60 },
	{ AGENT | BURST | FROM | OP | KEY, 0.70 },
	{ BURST | ODD | FROM | OP, 0.65 },
	{ AGENT | BURST | ODD | FROM | OP, 0.70 },
	{ BURST | ODD | FROM | OP | KEY, 0.75 },
	{ AGENT | BURST | ODD | FROM | OP | KEY, 0.80 },
	{ AGENT | OLD | BROAD | FROM | OP, 0.55 },
	{ AGENT | OLD | BROAD | FROM | OP | ODD, 0.65 },
	{ AGENT | OLD | BROAD | FROM | OP | BURST, 0.75 },
	{ ALL & ~KEY, 0.90 }, { ALL & ~OP, 0.85 }, { ALL & ~BURST, 0.80 },
	{ ALL & ~FROM, 0.80 }, { ALL & ~AGENT, 0.95 }, { ALL & ~OLD, 0.90 },
	{ ALL & ~BROAD, 0.95 }, { ALL & ~PROD, 0.95 }, { ALL & ~ODD, 0.90 }, { ALL, 1.00 },
};

static void
golden_contexts(void **state)
{
	struct risk_baseline usual = watched(1000);
	size_t n = sizeof(golden) / sizeof(golden[0]);

	assert_true(n >= 40);
	for (size_t i = 0; i < n; i++) {
		struct risk_request r = context(golden[i].odd);
		struct risk_score s, again;
		double sum = 0;

		risk_score(&usual, &r, &s);
		risk_score(&usual, &r, &again);
		if (s.score < golden[i].score - 0.001 ||
		    s.score > golden[i].score + 0.001)
			fail_msg("context %#x: %f, not %f", golden[i].odd,
			    s.score, golden[i].score);
		assert_memory_equal(&s.score, &again.score, sizeof(s.score));
		for (unsigned f = 0; f < RISK_FACTORS; f++) {
			/* The bits of a context are in the factors' order. */
			assert_true(s.values[f] ==
			    (golden[i].odd & 1u << f ? 1 : 0));
			sum += s.contributions[f];
		}
		assert_true(sum - s.score < 1e-6 && s.score - sum < 1e-6);
		assert_false(s.degraded);
	}
}

static void
names_and_weights(void **state)
{
	static const char *const names[] = { "rate", "hour", "address_set",
		"operation_mix", "key_set", "principal_kind", "credential_age",
		"scope_breadth", "environment" };
	double sum = 0;

	for (unsigned i = 0; i < RISK_FACTORS; i++) {
		assert_string_equal(risk_factor_names[i], names[i]);
		sum += risk_weights[i];
	}
	assert_true(sum > 0.999999 && sum < 1.000001);
}

static double
value(const struct risk_baseline *usual, struct risk_request r, unsigned f)
{
	struct risk_score s;

	risk_score(usual, &r, &s);
	return s.values[f];
}

/* Each factor alone, where it lies between its ends. */
static void
between(void **state)
{
	struct risk_baseline usual = watched(1000), half = watched(160);
	struct risk_request r = ordinary();

	r.per_s = 100;
	assert_true(value(&usual, r, RISK_RATE) == 0);
	r.per_s = 550;
	assert_float_equal(value(&usual, r, RISK_RATE), 0.5, 1e-6);
	r = ordinary();
	r.at_ms += DAY; /* the same hour, another day */
	assert_true(value(&usual, r, RISK_HOUR) == 0);
	r.at_ms = WEDNESDAY_10 + HOUR; /* the hour after */
	assert_true(value(&usual, r, RISK_HOUR) == 0);
	r.at_ms = WEDNESDAY_10 + 3 * HOUR;
	assert_true(value(&usual, r, RISK_HOUR) == 1);
	r = ordinary();
	r.op = OP_RARE;
	risk_learn(&usual, &r);
	assert_float_equal(value(&usual, r, RISK_OPERATION_MIX), 0.5, 1e-6);
	r = ordinary();
	r.address = AWAY; /* half acquainted */
	assert_float_equal(value(&half, r, RISK_ADDRESS_SET), 0.5, 1e-6);
	r = ordinary();
	r.kind = RISK_SERVICE;
	assert_float_equal(value(&usual, r, RISK_PRINCIPAL_KIND), 0.5, 1e-6);
	r.kind = RISK_AGENT;
	r.credential_age_ms = 4 * HOUR;
	assert_float_equal(value(&usual, r, RISK_CREDENTIAL_AGE), 0.5, 1e-6);
	r.kind = RISK_HUMAN;
	r.credential_age_ms = 15 * DAY;
	assert_float_equal(value(&usual, r, RISK_CREDENTIAL_AGE), 0.5, 1e-6);
	r.scope_count = 16;
	assert_float_equal(value(&usual, r, RISK_SCOPE_BREADTH), 15.0 / 31, 1e-6);
}

/* F02: one input at a time, from ordinary to as odd as can be. Only its own
 * factor moves, and only upwards. */
static struct risk_request
step_of(enum risk_factor f, unsigned step)
{
	static const int64_t hours[] = { 0, 0, 3 * HOUR };
	static const uint32_t ops[] = { OP_SIGN, OP_RARE, OP_NEW };
	static const enum risk_kind kinds[] = { RISK_HUMAN, RISK_SERVICE,
		RISK_AGENT };
	struct risk_request r = ordinary();

	switch (f) {
	case RISK_RATE:
		r.per_s = 100 + 450 * step;
		break;
	case RISK_HOUR:
		r.at_ms += hours[step];
		break;
	case RISK_ADDRESS_SET:
		r.address = step == 2 ? AWAY : HOME;
		break;
	case RISK_OPERATION_MIX:
		r.op = ops[step];
		break;
	case RISK_KEY_SET:
		r.key = step == 2 ? KEY_NEW : KEY_2;
		break;
	case RISK_PRINCIPAL_KIND:
		r.kind = kinds[step];
		break;
	case RISK_CREDENTIAL_AGE:
		r.credential_age_ms = step * 15 * DAY;
		break;
	case RISK_SCOPE_BREADTH:
		r.scope_count = 1 + 16 * step;
		break;
	case RISK_ENVIRONMENT:
		r.prod = step == 2;
		break;
	case RISK_FACTORS:
		break;
	}
	return r;
}

static void
ablation(void **state)
{
	struct risk_baseline usual = watched(1000);
	struct risk_request r = ordinary();

	r.op = OP_RARE; /* once in a thousand */
	risk_learn(&usual, &r);
	for (unsigned f = 0; f < RISK_FACTORS; f++) {
		struct risk_score before, s;

		r = step_of(f, 0);
		risk_score(&usual, &r, &before);
		assert_true(before.values[f] == 0);
		for (unsigned step = 1; step < 3; step++) {
			r = step_of(f, step);
			risk_score(&usual, &r, &s);
			assert_true(s.score >= before.score);
			assert_true(s.values[f] >= before.values[f]);
			assert_false(s.degraded);
			for (unsigned g = 0; g < RISK_FACTORS; g++)
				assert_true(g == f ||
				    s.contributions[g] == before.contributions[g]);
			before = s;
		}
		assert_float_equal(s.score, risk_weights[f], 1e-6);
	}
}

/* What is not known counts half and says so: each by itself. */
static void
each_missing_is_neutral(void **state)
{
	static const enum risk_factor missing[] = { RISK_ADDRESS_SET,
		RISK_CREDENTIAL_AGE, RISK_SCOPE_BREADTH };
	struct risk_baseline usual = watched(1000);

	for (size_t i = 0; i < 3; i++) {
		struct risk_request r = ordinary();
		struct risk_score s;

		if (missing[i] == RISK_ADDRESS_SET)
			r.address = 0;
		else if (missing[i] == RISK_CREDENTIAL_AGE)
			r.credential_age_ms = -1;
		else
			r.scope_count = 0;
		risk_score(&usual, &r, &s);
		assert_true(s.degraded);
		assert_true(s.values[missing[i]] == 0.5);
		assert_float_equal(s.score, risk_weights[missing[i]] / 2, 1e-6);
	}
}

/* What is not known counts half and says so. */
static void
neutral_when_missing(void **state)
{
	struct risk_baseline usual = watched(1000);
	struct risk_request r = ordinary();
	struct risk_score s;

	r.address = 0;
	r.credential_age_ms = -1;
	r.scope_count = 0;
	risk_score(&usual, &r, &s);
	assert_true(s.degraded);
	assert_float_equal(s.score, 0.175, 1e-6);
}

/* A first day: whatever a newcomer does is not odd yet. */
static void
cold_start(void **state)
{
	struct risk_baseline usual = { 0 };
	struct risk_score s;

	for (unsigned i = 0; i < RISK_COLD_MIN; i++) {
		struct risk_request r = context(FROM | OP | KEY | ODD | AGENT);

		r.op = i % RISK_OPS;
		r.key = 5000 + i;
		r.address = 900 + i;
		r.per_s = 49; /* the invoices of a batch, within one second */
		risk_score(&usual, &r, &s);
		assert_float_equal(s.score, 0.05, 1e-6);
		risk_learn(&usual, &r);
	}
}

/* 10,000 new keys by one admin, then all of them used, at any speed. */
static void
many_keys(void **state)
{
	struct risk_baseline usual = watched(300);
	struct risk_score s;

	for (unsigned i = 0; i < 20000; i++) {
		struct risk_request r = context(BROAD);

		r.at_ms += i / 500 * INT64_C(1000);
		r.per_s = 500;
		r.op = i < 10000 ? OP_RARE : OP_SIGN;
		r.key = i < 10000 ? 0 : 5000 + i;
		risk_score(&usual, &r, &s);
		assert_true(s.score < 0.5);
		risk_learn(&usual, &r);
	}
	assert_true(s.values[RISK_KEY_SET] == 0);
}

/* 20,000 requests a second, for ever: odd at first, then its own usual. */
static void
benchmark(void **state)
{
	struct risk_baseline usual = { 0 };
	struct risk_score s;

	for (unsigned second = 0; second < 30; second++)
		for (unsigned i = 0; i < 20000; i++) {
			struct risk_request r = ordinary();

			r.kind = RISK_AGENT;
			r.at_ms += second * INT64_C(1000);
			r.per_s = 20000;
			risk_score(&usual, &r, &s);
			assert_true(s.score <= 0.26);
			risk_learn(&usual, &r);
		}
	assert_float_equal(s.values[RISK_RATE], 0, 1e-6);
}

static void
histograms_never_overflow(void **state)
{
	struct risk_baseline usual = { 0 };

	for (unsigned i = 0; i < 200000; i++) {
		struct risk_request r = ordinary();

		r.items = i % 7 == 0 ? UINT32_MAX : 1; /* hostile */
		r.op = i % 3 == 0 ? UINT32_MAX : OP_SIGN;
		risk_learn(&usual, &r);
	}
	assert_true(usual.op_total <= 2 * 65535u);
	assert_true(usual.ops[OP_SIGN] > 0);
}

/* What is read off a baseline that was written by hand. */
static struct ag_risk_input
looked(const struct risk_baseline *usual, const struct risk_request *r)
{
	struct ag_risk_input in;

	risk_look(usual, r, &in);
	return in;
}

/* Mondays begin at bucket 0, also for the last hour before, and before 1970. */
static void
weeks_have_edges(void **state)
{
	static const struct {
		int64_t at_ms;
		unsigned hour;
	} edges[] = {
		{ WEDNESDAY_10 - 2 * DAY - 10 * HOUR, 0 },
		{ WEDNESDAY_10 - 2 * DAY - 10 * HOUR - 1, 167 },
		{ WEDNESDAY_10 - 2 * DAY - 9 * HOUR, 1 },
		{ -73 * HOUR, 167 }, { -74 * HOUR, 166 }, { -72 * HOUR, 0 },
	};

	for (size_t i = 0; i < sizeof(edges) / sizeof(edges[0]); i++) {
		struct risk_baseline usual = { 0 };
		struct risk_request r = ordinary();

		r.at_ms = edges[i].at_ms;
		risk_learn(&usual, &r);
		assert_int_equal(usual.hours[edges[i].hour], 1);
		assert_int_equal(usual.hour_total, 1);
	}
}

/* Near: the hours before and after, and the same hour of every day. */
static void
nearness(void **state)
{
	struct risk_baseline usual = { 0 };
	struct risk_request r = ordinary();
	unsigned h = 2 * 24 + 10;

	for (unsigned i = 0; i < RISK_HOURS; i++)
		usual.hours[i] = 1000; /* nothing of this is near … */
	usual.hours[h - 1] = 1;    /* … but this */
	usual.hours[h + 1] = 2;
	for (unsigned day = 0; day < 7; day++)
		usual.hours[day * 24 + 10] = 10;
	assert_int_equal(looked(&usual, &r).hour_near, 1 + 2 + 70);
}

/* Sets are looked at whole, and no further than they reach. */
static void
sets_have_edges(void **state)
{
	struct risk_baseline usual = { 0 };
	struct risk_request r = ordinary();

	usual.addresses[0] = 5;
	usual.addresses[RISK_ADDRESSES - 1] = 6;
	usual.address_stamps[0] = 7; /* what follows the addresses */
	usual.keys[0] = 15;
	usual.keys[RISK_KEYS - 1] = 16;
	for (r.address = 5; r.address <= 7; r.address++)
		assert_int_equal(looked(&usual, &r).address,
		    r.address == 7 ? RISK_NEW : RISK_KNOWN);
	for (r.key = 15; r.key <= 17; r.key++)
		assert_int_equal(looked(&usual, &r).key,
		    r.key == 17 ? RISK_NEW : RISK_KNOWN);
	r.address = r.key = 0;
	assert_int_equal(looked(&usual, &r).address, RISK_ABSENT);
	assert_int_equal(looked(&usual, &r).key, RISK_ABSENT);
}

/* Operations that the table has no room for share its last place. */
static void
unknown_operations(void **state)
{
	struct risk_baseline usual = { 0 };
	struct risk_request r = ordinary();

	r.op = RISK_OPS;
	risk_learn(&usual, &r);
	assert_int_equal(usual.ops[RISK_OPS - 1], 1);
	assert_int_equal(looked(&usual, &r).op_seen, 1);
	r.op = RISK_OPS - 1;
	assert_int_equal(looked(&usual, &r).op_seen, 1);
	r.op = RISK_OPS - 2;
	assert_int_equal(looked(&usual, &r).op_seen, 0);
}

/* Buckets are halved when one would overflow, not before, and all of them. */
static void
histograms_fade(void **state)
{
	struct risk_baseline usual = { 0 };
	struct risk_request r = ordinary();

	r.op = 0;
	r.items = 100;
	risk_learn(&usual, &r);
	r.op = OP_SIGN;
	r.items = UINT32_MAX; /* counts as half of a bucket at most */
	risk_learn(&usual, &r);
	assert_int_equal(usual.ops[OP_SIGN], 32767);
	risk_learn(&usual, &r);
	r.items = 1;
	risk_learn(&usual, &r);
	assert_int_equal(usual.ops[OP_SIGN], 65535);
	assert_int_equal(usual.op_total, 65635);
	risk_learn(&usual, &r);
	assert_int_equal(usual.ops[OP_SIGN], 32769);
	assert_int_equal(usual.ops[0], 50);
	assert_int_equal(usual.op_total, 32769 + 50);
}

/* The usual peak: a quarter of the way up at once, slowly down. */
static void
peaks(void **state)
{
	struct risk_baseline usual = { 0 };
	struct risk_request r = ordinary();

	r.items = 0; /* counts as one */
	risk_learn(&usual, &r);
	assert_int_equal(usual.second_count, 1);
	assert_true(usual.peak_per_s == 0);
	r.items = 2;
	r.at_ms += 1000;
	risk_learn(&usual, &r);
	assert_true(usual.peak_per_s == 0.25f);
	assert_int_equal(usual.second_count, 2);
	r.at_ms += 1000;
	risk_learn(&usual, &r);
	assert_float_equal(usual.peak_per_s, 0.25 + 1.75 / 4, 1e-6);
	usual.peak_per_s = 102;
	r.at_ms += 1000;
	risk_learn(&usual, &r); /* two in the second before */
	assert_float_equal(usual.peak_per_s, 102 - 0.2, 1e-4);
}

/* The address that was not seen for longest makes room, the first of equals. */
static void
addresses_take_turns(void **state)
{
	struct risk_baseline usual = { 0 };
	struct risk_request r = ordinary();

	r.address = 1; /* hashes may be any number but 0 */
	risk_learn(&usual, &r);
	assert_int_equal(usual.addresses[0], 1);
	for (r.address = 2; r.address <= RISK_ADDRESSES; r.address++)
		risk_learn(&usual, &r);
	assert_int_equal(usual.addresses[RISK_ADDRESSES - 1], RISK_ADDRESSES);
	r.address = 1;
	risk_learn(&usual, &r); /* seen again, in its place */
	assert_int_equal(usual.addresses[0], 1);
	risk_learn(&usual, &r); /* and when others are older */
	assert_int_equal(usual.addresses[1], 2);
	r.address = 100;
	risk_learn(&usual, &r);
	assert_int_equal(usual.addresses[0], 1);
	assert_int_equal(usual.addresses[1], 100);
	r.address = 0;
	risk_learn(&usual, &r);
	assert_int_equal(usual.address_stamps[2], 3); /* nothing was taken in */
}

/* Keys are a ring; how often one is new is followed. */
static void
keys_take_turns(void **state)
{
	struct risk_baseline usual = { 0 };
	struct risk_request r = ordinary();

	r.key = 1;
	risk_learn(&usual, &r);
	assert_int_equal(usual.keys[0], 1);
	assert_int_equal(usual.key_next, 1);
	assert_float_equal(usual.new_key_share, 0.05, 1e-6);
	risk_learn(&usual, &r);
	assert_int_equal(usual.key_next, 1);
	assert_float_equal(usual.new_key_share, 0.05 * 0.95, 1e-6);
	for (r.key = 2; r.key <= RISK_KEYS; r.key++)
		risk_learn(&usual, &r);
	assert_int_equal(usual.keys[RISK_KEYS - 1], RISK_KEYS);
	assert_int_equal(usual.key_next, 0);
	r.key = 0;
	risk_learn(&usual, &r);
	assert_int_equal(usual.keys[0], 1);
}

static void
learned_saturates(void **state)
{
	struct risk_baseline usual = { .learned = UINT32_MAX - 1 };
	struct risk_request r = ordinary();

	risk_learn(&usual, &r);
	risk_learn(&usual, &r);
	assert_true(usual.learned == UINT32_MAX);
	assert_int_equal(usual.version, RISK_BASELINE_VERSION);
}

/* Each factor's arithmetic at its edges, without a baseline. */
static void
weighed(void **state)
{
	struct ag_risk_input in = { .learned = RISK_COLD_FULL, .hour_total = 0,
		.op_total = 200, .op_seen = 1, .address = RISK_KNOWN,
		.key = RISK_NEW, .new_key_share = 0.125f, .scope_count = 1 };
	struct risk_score s;

	ag_risk_weigh(&in, &s);
	assert_true(s.values[RISK_HOUR] == 0); /* no hours: none is odd */
	/* One of 200 is not rare; one of 201 is. */
	assert_true(s.values[RISK_OPERATION_MIX] == 0);
	assert_true(s.values[RISK_KEY_SET] == 0.5);
	in.op_total = 201;
	in.hour_total = 100;
	in.hour_near = 1; /* half of 2 % */
	in.new_key_share = 0.25f;
	ag_risk_weigh(&in, &s);
	assert_true(s.values[RISK_OPERATION_MIX] == 0.5);
	assert_float_equal(s.values[RISK_HOUR], 0.5, 1e-9);
	assert_true(s.values[RISK_KEY_SET] == 0);
}

static void
pulse(void **state)
{
	struct risk_pulse p = { 0 };

	assert_float_equal(risk_pulse(&p, 10000, 1), 1, 1e-6);
	assert_float_equal(risk_pulse(&p, 10500, 9), 10, 1e-6);
	assert_float_equal(risk_pulse(&p, 11499, 1), 1 + 10 * 0.5, 1e-6);
	assert_float_equal(risk_pulse(&p, 14000, 1), 1, 1e-6);
}

/* Not a benchmark: a bound that only a mistake can miss. */
static void
constant_time(void **state)
{
	struct risk_baseline usual = watched(1000);
	struct risk_request r = context(ALL);
	struct risk_score s;
	struct timespec a, b;
	double sum = 0, us;

	clock_gettime(CLOCK_MONOTONIC, &a);
	for (unsigned i = 0; i < 100000; i++) {
		r.key = i;
		risk_score(&usual, &r, &s);
		sum += s.score;
		risk_learn(&usual, &r);
	}
	clock_gettime(CLOCK_MONOTONIC, &b);
	us = ((double)(b.tv_sec - a.tv_sec) * 1e9 +
	    (double)(b.tv_nsec - a.tv_nsec)) / 1e3 / 100000;
	print_message("score and learn: %.3f us\n", us);
	assert_true(sum > 0 && us < 50);
}

/* A build with other operations: one came in the middle, one is gone, and all
 * that follow have another position. */
static void
habits_follow_the_operations(void **state)
{
	static const uint16_t before[RISK_OPS] = { 0x1001, 0x1002, 0x1003, 0x1101 };
	static const uint16_t after[RISK_OPS] = { 0x1001, 0x1003, 0x1004, 0x1101 };
	struct risk_baseline usual = { .version = RISK_BASELINE_VERSION,
		.learned = 77 }, got;
	struct risk_kept kept;

	usual.ops[0] = 10;
	usual.ops[1] = 20;
	usual.ops[2] = 30;
	usual.ops[3] = 40;
	usual.ops[RISK_OPS - 1] = 5;
	usual.op_total = 105;
	risk_keep(&usual, before, &kept);
	assert_true(risk_unkeep(&kept, before, &got));
	assert_memory_equal(&got, &usual, sizeof(got));
	assert_true(risk_unkeep(&kept, after, &got));
	assert_int_equal(got.ops[0], 10);
	assert_int_equal(got.ops[1], 30);
	assert_int_equal(got.ops[2], 0); /* new: nobody has done it */
	assert_int_equal(got.ops[3], 40);
	assert_int_equal(got.ops[RISK_OPS - 1], 5);
	assert_int_equal(got.op_total, 85);
	assert_int_equal(got.learned, 77);
	kept.usual.version--;
	assert_false(risk_unkeep(&kept, after, &got));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden_contexts),
		cmocka_unit_test(names_and_weights),
		cmocka_unit_test(between),
		cmocka_unit_test(neutral_when_missing),
		cmocka_unit_test(ablation),
		cmocka_unit_test(each_missing_is_neutral),
		cmocka_unit_test(cold_start),
		cmocka_unit_test(many_keys),
		cmocka_unit_test(benchmark),
		cmocka_unit_test(histograms_never_overflow),
		cmocka_unit_test(weeks_have_edges),
		cmocka_unit_test(nearness),
		cmocka_unit_test(sets_have_edges),
		cmocka_unit_test(unknown_operations),
		cmocka_unit_test(histograms_fade),
		cmocka_unit_test(peaks),
		cmocka_unit_test(addresses_take_turns),
		cmocka_unit_test(keys_take_turns),
		cmocka_unit_test(learned_saturates),
		cmocka_unit_test(weighed),
		cmocka_unit_test(pulse),
		cmocka_unit_test(constant_time),
		cmocka_unit_test(habits_follow_the_operations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
