/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A simulated month of 200 actors, and what the detectors and the risk score
 * make of it: the very code of actors/anomaly and actors/risk, with its default
 * configuration, without a fleet around it. Everything follows from the seed.
 */
#ifndef BENCH_SIM_H
#define BENCH_SIM_H

#include <aegis/aegis.h>

#include "anomaly/detector.h"
#include "risk/score.h"

enum {
	SIM_DAYS = 30,
	SIM_TRAINED = 23,     /* days before the week that is judged */
	SIM_DETECTORS = 16,
	SIM_KEYS = 2000,      /* of the tenant */
	SIM_OWN_KEYS = 24,    /* at most, that one uses habitually */
	SIM_NETWORKS = 3,
	SIM_MINUTE_MS = 60000,
	SIM_HOUR_MS = 3600000,
	SIM_DAY_MS = 86400000,
	SIM_STOP_MS = 50,     /* from a finding to the response in force */
};

/* ---- workload.c: splitmix64 */
struct sim_random { uint64_t state; };
/* A stream of its own for each (seed, a, b, c). */
struct sim_random sim_random_of(uint64_t seed, uint64_t a, uint64_t b,
    uint64_t c);
uint32_t sim_below(struct sim_random *r, uint32_t n);
bool sim_chance(struct sim_random *r, double p);
uint32_t sim_poisson(struct sim_random *r, double mean);

/* who they are and what they do on an ordinary day */
enum sim_kind { SIM_OFFICE, SIM_ALWAYS, SIM_NIGHTLY, SIM_WIDE, SIM_CHURN,
	SIM_KINDS };
extern const char *const sim_kind_names[SIM_KINDS];

struct sim_actor {
	unsigned number;
	enum sim_kind kind;
	bool wide;            /* its scope is for all keys: key:*:… */
	int timezone_h;
	double per_minute;    /* at its busiest */
	unsigned key_count, keys[SIM_OWN_KEYS];
	unsigned op_count, ops[4];
	unsigned networks[SIM_NETWORKS];
	unsigned scopes;
	int model_change_day; /* -1: none */
};

/* One request, as the audit log would tell of it. */
struct sim_event {
	int64_t at_ms;
	const char *operation;
	unsigned key;
	unsigned network;
	unsigned scopes;
	bool denied;     /* scope_missing, on an existing key */
	bool limited;    /* refused for its rate: nobody's finding */
	bool honey;
	bool hostile;    /* the attacker's */
};
typedef void sim_sink(void *arg, const struct sim_event *event);

struct sim_actor sim_actor_of(uint64_t seed, unsigned number);
/* The day's requests in order of time. Returns whether it was a day of drift
 * (deploy, new model version, travel). */
bool sim_day(const struct sim_actor *actor, uint64_t seed, int day,
    sim_sink *sink, void *arg);
/* Would it, at this time of its week, on an ordinary day? */
bool sim_works_at(const struct sim_actor *actor, int64_t at_ms);
/* The instant when simulated time begins: a Monday, midnight UTC. */
extern const int64_t sim_begin_ms;
extern const char *const sim_operations[];
extern const unsigned sim_operation_count;

/* ---- judge.c: one actor under the eyes of all detectors */
struct sim_alert {
	unsigned detector;
	Ag__Severity__V severity;
	int64_t at_ms;
	bool hostile;
};
struct sim_judge {
	const struct ag_config *config;
	struct anomaly_limits limits[SIM_DETECTORS];
	void *rows[SIM_DETECTORS];
	struct risk_baseline usual;
	double step_up;
	int day;          /* of the agent's id: it lives for a day */
	struct sim_alert alerts[4096];
	unsigned alert_count;
	uint64_t events;
	uint64_t risky;   /* hostile ones that the score alone would refuse */
};
/* False: no memory. */
bool sim_judge_init(struct sim_judge *judge, const struct ag_config *config);
void sim_judge_fini(struct sim_judge *judge);
void sim_judge_copy(struct sim_judge *to, const struct sim_judge *from);
void sim_judge_see(struct sim_judge *judge, const struct sim_actor *actor,
    const struct sim_event *event);

/* ---- attacks.c: what an attacker adds to a victim's days */
enum { SIM_STRENGTHS = 3 };
struct sim_family {
	const char *name;
	const char *strengths[SIM_STRENGTHS]; /* in words */
	bool (*fits)(const struct sim_actor *actor);
	/* All of the attack, in order of time, from begin_ms on. */
	void (*attack)(const struct sim_actor *actor, struct sim_random *random,
	    unsigned strength, int64_t begin_ms, sim_sink *sink, void *arg);
};
extern const struct sim_family sim_families[];
extern const unsigned sim_family_count;

#endif
