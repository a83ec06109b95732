/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The attacker has the victim's credential and adds requests to its ordinary
 * ones. Unless the family says otherwise, they come from the victim's network,
 * at an hour when it works, with an operation that it uses: only one thing is
 * odd at a time.
 */
#include "sim.h"

enum { RAMP_MAX = 400 }; /* requests a minute */

static struct sim_event
ordinary(const struct sim_actor *actor, int64_t at_ms)
{
	return (struct sim_event){ .at_ms = at_ms,
		.operation = sim_operations[actor->ops[0]],
		.key = actor->keys[0], .network = actor->networks[0],
		.scopes = actor->scopes, .hostile = true };
}

static bool
anybody(const struct sim_actor *actor)
{
	return true;
}

static bool
is_wide(const struct sim_actor *actor)
{
	return actor->wide;
}

static bool
is_narrow(const struct sim_actor *actor)
{
	return !actor->wide;
}

/* A long attack: one victim in five is enough. */
static bool
is_fifth(const struct sim_actor *actor)
{
	return actor->number / 20 % 5 == 0;
}

static bool
has_hours(const struct sim_actor *actor)
{
	return actor->kind == SIM_OFFICE || actor->kind == SIM_WIDE;
}

/* A key that is not the victim's. */
static unsigned
foreign(const struct sim_actor *actor, unsigned i)
{
	return SIM_KEYS + 1 + i;
}

static void
burst_keys(const struct sim_actor *actor, struct sim_random *random,
    unsigned strength, int64_t begin_ms, sim_sink *sink, void *arg)
{
	static const unsigned keys[SIM_STRENGTHS] = { 5, 50, 500 };

	for (unsigned i = 0; i < keys[strength]; i++) {
		struct sim_event e = ordinary(actor, begin_ms + i * 1000);

		e.key = foreign(actor, i);
		sink(arg, &e);
	}
}

static void
drip_keys(const struct sim_actor *actor, struct sim_random *random,
    unsigned strength, int64_t begin_ms, sim_sink *sink, void *arg)
{
	static const int64_t every_ms[SIM_STRENGTHS] = { SIM_DAY_MS,
		6 * SIM_HOUR_MS, SIM_HOUR_MS };
	unsigned i = 0;

	for (int64_t t = 0; t < 5 * (int64_t)SIM_DAY_MS; t += every_ms[strength]) {
		struct sim_event e = ordinary(actor, begin_ms + t);

		e.key = foreign(actor, i++);
		sink(arg, &e);
	}
}

/* More of the same, by 1 %, 10 %, 100 % of its busiest rate, for five days,
 * while it works. */
static void
drip_volume(const struct sim_actor *actor, struct sim_random *random,
    unsigned strength, int64_t begin_ms, sim_sink *sink, void *arg)
{
	static const double share[SIM_STRENGTHS] = { 0.01, 0.1, 1 };
	double every_ms = SIM_MINUTE_MS / (actor->per_minute * share[strength]);

	for (double t = 0; t < 5.0 * SIM_DAY_MS; t += every_ms) {
		struct sim_event e = ordinary(actor, begin_ms + (int64_t)t);

		e.key = actor->keys[sim_below(random, actor->key_count)];
		if (sim_works_at(actor, e.at_ms))
			sink(arg, &e);
	}
}

static void
repeat(const struct sim_actor *actor, unsigned strength, struct sim_event e,
    sim_sink *sink, void *arg)
{
	static const unsigned times[SIM_STRENGTHS] = { 1, 10, 100 };

	for (unsigned i = 0; i < times[strength]; i++, e.at_ms += 5000)
		sink(arg, &e);
}

static void
new_address(const struct sim_actor *actor, struct sim_random *random,
    unsigned strength, int64_t begin_ms, sim_sink *sink, void *arg)
{
	struct sim_event e = ordinary(actor, begin_ms);

	e.network = 5000 + sim_below(random, 1000);
	repeat(actor, strength, e, sink, arg);
}

/* Three o'clock in the victim's night. */
static void
off_hours(const struct sim_actor *actor, struct sim_random *random,
    unsigned strength, int64_t begin_ms, sim_sink *sink, void *arg)
{
	int64_t midnight = begin_ms - begin_ms % SIM_DAY_MS;

	repeat(actor, strength, ordinary(actor, midnight + SIM_DAY_MS +
	    (3 - actor->timezone_h) * (int64_t)SIM_HOUR_MS), sink, arg);
}

static void
new_operation(const struct sim_actor *actor, struct sim_random *random,
    unsigned strength, int64_t begin_ms, sim_sink *sink, void *arg)
{
	struct sim_event e = ordinary(actor, begin_ms);

	e.operation = "key.unwrap";
	repeat(actor, strength, e, sink, arg);
}

static void
scope_probe(const struct sim_actor *actor, struct sim_random *random,
    unsigned strength, int64_t begin_ms, sim_sink *sink, void *arg)
{
	static const unsigned probes[SIM_STRENGTHS] = { 1, 3, 10 };

	for (unsigned i = 0; i < probes[strength]; i++) {
		struct sim_event e = ordinary(actor, begin_ms + i * 60000);

		e.key = foreign(actor, i);
		e.denied = true;
		sink(arg, &e);
	}
}

static void
honey(const struct sim_actor *actor, struct sim_random *random,
    unsigned strength, int64_t begin_ms, sim_sink *sink, void *arg)
{
	struct sim_event e = ordinary(actor, begin_ms);

	e.key = SIM_KEYS;
	e.denied = e.honey = true;
	repeat(actor, strength, e, sink, arg);
}

/* It is issued with many more scopes, and uses what they name. */
static void
widening(const struct sim_actor *actor, struct sim_random *random,
    unsigned strength, int64_t begin_ms, sim_sink *sink, void *arg)
{
	static const unsigned more[SIM_STRENGTHS] = { 5, 12, 40 };

	for (unsigned i = 0; i < more[strength]; i++) {
		struct sim_event e = ordinary(actor, begin_ms + i * 60000);

		e.key = foreign(actor, i);
		e.scopes = actor->scopes + more[strength];
		sink(arg, &e);
	}
}

/* It grows by 2 %, 5 %, 20 % an hour of its work, for five days, up to 400 a
 * minute. */
static void
ramp(const struct sim_actor *actor, struct sim_random *random, unsigned strength,
    int64_t begin_ms, sim_sink *sink, void *arg)
{
	static const double growth[SIM_STRENGTHS] = { 1.02, 1.05, 1.2 };
	double rate = actor->per_minute;
	int full = 0, worked = 0;

	for (int minute = 0; minute < 5 * 1440; minute++) {
		uint32_t n;

		if (!sim_works_at(actor, begin_ms +
		    minute * (int64_t)SIM_MINUTE_MS))
			continue;
		n = sim_poisson(random, rate > RAMP_MAX ? RAMP_MAX : rate);
		for (uint32_t i = 0; i < n; i++) {
			struct sim_event e = ordinary(actor, begin_ms +
			    minute * (int64_t)SIM_MINUTE_MS +
			    i * (SIM_MINUTE_MS / n));

			e.key = actor->keys[sim_below(random, actor->key_count)];
			sink(arg, &e);
		}
		if (++worked % 60 == 0)
			rate *= growth[strength];
		if (rate >= RAMP_MAX && ++full > 60)
			return; /* for an hour: whoever finds it has found it */
	}
}

/* A hundred refused requests (for their rate, so that no finding ends it there)
 * are to make a network look usual; then it is used. */
static void
denied(const struct sim_actor *actor, struct sim_random *random,
    unsigned strength, int64_t begin_ms, sim_sink *sink, void *arg)
{
	unsigned network = 5000 + sim_below(random, 1000);

	for (unsigned i = 0; i < 100; i++) {
		struct sim_event e = ordinary(actor, begin_ms + i * 60000);

		e.network = network;
		e.key = foreign(actor, i % 10);
		e.limited = true;
		sink(arg, &e);
	}
	for (unsigned i = 0; i < (strength + 1) * 5; i++) {
		struct sim_event e = ordinary(actor, begin_ms + 2 * SIM_HOUR_MS +
		    i * 1000);

		e.network = network;
		sink(arg, &e);
	}
}

/* Everything at once: from elsewhere, at night, with keys and an operation that
 * the victim never used. */
static void
stolen(const struct sim_actor *actor, struct sim_random *random,
    unsigned strength, int64_t begin_ms, sim_sink *sink, void *arg)
{
	static const unsigned times[SIM_STRENGTHS] = { 1, 10, 100 };
	int64_t midnight = begin_ms - begin_ms % SIM_DAY_MS;
	unsigned network = 5000 + sim_below(random, 1000);

	for (unsigned i = 0; i < times[strength]; i++) {
		struct sim_event e = ordinary(actor, midnight + SIM_DAY_MS +
		    (3 - actor->timezone_h) * (int64_t)SIM_HOUR_MS + i * 1000);

		e.network = network;
		e.key = foreign(actor, i);
		e.operation = "key.unwrap";
		sink(arg, &e);
	}
}

const struct sim_family sim_families[] = {
	{ "honey key", { "1 use", "10 uses", "100 uses" }, anybody, honey },
	{ "scope probing", { "1 key", "3 keys", "10 keys" }, is_narrow,
	    scope_probe },
	{ "burst over keys", { "5 keys", "50 keys", "500 keys" }, is_wide,
	    burst_keys },
	{ "drip over keys", { "1 a day", "4 a day", "24 a day" }, is_wide,
	    drip_keys },
	{ "new address", { "1 use", "10 uses", "100 uses" }, anybody,
	    new_address },
	{ "off hours", { "1 use", "10 uses", "100 uses" }, has_hours, off_hours },
	{ "new operation", { "1 use", "10 uses", "100 uses" }, is_wide,
	    new_operation },
	{ "stolen credential", { "1 use", "10 uses", "100 uses" }, is_wide,
	    stolen },
	{ "key-set widening", { "5 scopes", "12 scopes", "40 scopes" },
	    is_narrow, widening },
	{ "drip of volume", { "+1 %", "+10 %", "+100 %" }, anybody,
	    drip_volume },
	{ "poisoning: ramp", { "2 %/h", "5 %/h", "20 %/h" }, is_fifth, ramp },
	{ "poisoning: denied", { "5 uses", "10 uses", "15 uses" }, anybody,
	    denied },
};
const unsigned sim_family_count =
    sizeof(sim_families) / sizeof(sim_families[0]);
