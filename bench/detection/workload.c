/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ordinary days: office hours in several time zones, machines that never sleep,
 * nightly batches; with deploys (three times the rate for half an hour, now and
 * then from another network), changes of the model's version (one more
 * operation, half as much again to do) and people who travel.
 */
#include "sim.h"

#include <math.h>

const int64_t sim_begin_ms = INT64_C(1767571200000); /* 2026-01-05 */

const char *const sim_kind_names[SIM_KINDS] = {
	"office", "always", "nightly", "wide", "churn",
};
const char *const sim_operations[] = {
	"key.sign", "key.verify", "key.encrypt", "key.decrypt",
	"key.generate-data-key", "key.mac", "key.public-key", "key.read",
};
const unsigned sim_operation_count =
    sizeof(sim_operations) / sizeof(sim_operations[0]);

/* ------------------------------------------------------------------ random */

static uint64_t
next(struct sim_random *r)
{
	uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

struct sim_random
sim_random_of(uint64_t seed, uint64_t a, uint64_t b, uint64_t c)
{
	struct sim_random r = { seed };

	r.state = next(&r) ^ a;
	r.state = next(&r) ^ b;
	r.state = next(&r) ^ c;
	(void)next(&r);
	return r;
}

uint32_t
sim_below(struct sim_random *r, uint32_t n)
{
	return (uint32_t)(next(r) >> 32) % n;
}

static double
unit(struct sim_random *r)
{
	return (double)(next(r) >> 11) / 9007199254740992.0;
}

bool
sim_chance(struct sim_random *r, double p)
{
	return unit(r) < p;
}

uint32_t
sim_poisson(struct sim_random *r, double mean)
{
	double floor = exp(-mean), product = unit(r);
	uint32_t n = 0;

	while (product > floor && n < 1000) {
		product *= unit(r);
		n++;
	}
	return n;
}

/* ------------------------------------------------------------------ actors */

struct sim_actor
sim_actor_of(uint64_t seed, unsigned number)
{
	/* Of twenty: 7 office, 4 always, 3 nightly, 4 wide, 2 churn. */
	static const enum sim_kind kinds[20] = { 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1,
		2, 2, 2, 3, 3, 3, 3, 4, 4 };
	struct sim_random r = sim_random_of(seed, number, 1, 0);
	struct sim_actor a = { .number = number, .kind = kinds[number % 20] };

	a.wide = a.kind == SIM_WIDE || a.kind == SIM_CHURN;
	a.timezone_h = (int)sim_below(&r, 17) - 8;
	a.per_minute = 0.2 + sim_below(&r, 100) / 60.0;
	if (a.kind == SIM_NIGHTLY)
		a.per_minute *= 5;
	a.key_count = a.wide ? 6 + sim_below(&r, SIM_OWN_KEYS - 6) :
	    1 + sim_below(&r, 4);
	for (unsigned i = 0; i < a.key_count; i++)
		a.keys[i] = sim_below(&r, SIM_KEYS);
	a.op_count = 1 + sim_below(&r, 3);
	for (unsigned i = 0; i < a.op_count; i++)
		a.ops[i] = (sim_below(&r, 4) + i * 3) % sim_operation_count;
	for (unsigned i = 0; i < SIM_NETWORKS; i++)
		a.networks[i] = sim_below(&r, 4000);
	a.scopes = a.wide ? a.op_count : a.key_count * a.op_count;
	a.model_change_day = sim_chance(&r, 0.25) ?
	    SIM_TRAINED + (int)sim_below(&r, 7) : -1;
	return a;
}

/* Share of the busiest rate at this local hour. */
static double
rhythm(const struct sim_actor *actor, int weekday, unsigned hour)
{
	static const double office[24] = { [7] = 0.05, [8] = 0.5, [9] = 1, [10] = 1,
		[11] = 1, [12] = 0.4, [13] = 0.8, [14] = 1, [15] = 1, [16] = 0.9,
		[17] = 0.5, [18] = 0.1, [19] = 0.01 };

	switch (actor->kind) {
	case SIM_ALWAYS:
	case SIM_CHURN:
		return 0.3;
	case SIM_NIGHTLY:
		return hour == 2 ? 1 : hour == 3 ? 0.5 : 0;
	case SIM_OFFICE:
	case SIM_WIDE:
	case SIM_KINDS:
		break;
	}
	return weekday >= 5 ? 0.004 * office[hour] : office[hour];
}

static double
rhythm_at(const struct sim_actor *actor, int64_t at_ms)
{
	/* A week more, so that it is never negative. */
	int64_t local_h = (at_ms - sim_begin_ms) / SIM_HOUR_MS + 168 +
	    actor->timezone_h;

	return rhythm(actor, (int)(local_h / 24 % 7), (unsigned)(local_h % 24));
}

bool
sim_works_at(const struct sim_actor *actor, int64_t at_ms)
{
	return rhythm_at(actor, at_ms) >= 0.3;
}

struct day {
	bool deploy, travel, new_model;
	unsigned deploy_minute;
	unsigned network; /* of a traveller, or of a deploy */
};

static struct day
day_of(const struct sim_actor *actor, struct sim_random *r, int day)
{
	bool office = actor->kind == SIM_OFFICE || actor->kind == SIM_WIDE;
	struct day d = { 0 };

	d.deploy = sim_chance(r, 1.0 / 7);
	d.deploy_minute = sim_below(r, 1400);
	d.travel = office && sim_chance(r, 0.005);
	d.network = d.travel || sim_chance(r, 0.05) ? sim_below(r, 4000) :
	    actor->networks[0];
	d.new_model = actor->model_change_day >= 0 &&
	    day >= actor->model_change_day;
	return d;
}

static unsigned
network_at(const struct sim_actor *actor, const struct day *d, unsigned minute,
    struct sim_random *r)
{
	bool deploying = d->deploy && minute - d->deploy_minute < 30;

	if (d->travel || deploying)
		return d->network;
	return actor->networks[sim_chance(r, 0.9) ? 0 : sim_below(r, SIM_NETWORKS)];
}

static unsigned
key_at(const struct sim_actor *actor, struct sim_random *r)
{
	/* Churn: one use in twenty is of some other key of the tenant. */
	if (actor->kind == SIM_CHURN && sim_chance(r, 0.05))
		return sim_below(r, SIM_KEYS);
	return actor->keys[sim_below(r, actor->key_count)];
}

bool
sim_day(const struct sim_actor *actor, uint64_t seed, int day, sim_sink *sink,
    void *arg)
{
	struct sim_random r = sim_random_of(seed, actor->number, 2, (uint64_t)day);
	struct day d = day_of(actor, &r, day);

	for (unsigned minute = 0; minute < 1440; minute++) {
		int64_t at_ms = sim_begin_ms + day * (int64_t)SIM_DAY_MS +
		    minute * (int64_t)SIM_MINUTE_MS;
		double rate = actor->per_minute * rhythm_at(actor, at_ms);
		uint32_t n;

		if (d.deploy && minute - d.deploy_minute < 30)
			rate *= 3;
		if (d.new_model)
			rate *= 1.5;
		n = sim_poisson(&r, rate);
		for (uint32_t i = 0; i < n; i++) {
			unsigned op = actor->ops[sim_below(&r, actor->op_count)];
			struct sim_event e = { .scopes = actor->scopes };

			if (d.new_model && sim_chance(&r, 0.1))
				op = (actor->ops[0] + 1) % sim_operation_count;
			e.at_ms = at_ms + i * (SIM_MINUTE_MS / n);
			e.operation = sim_operations[op];
			e.key = key_at(actor, &r);
			e.network = network_at(actor, &d, minute, &r);
			sink(arg, &e);
		}
	}
	return d.deploy || d.travel || day == actor->model_change_day;
}
