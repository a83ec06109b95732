/* SPDX-License-Identifier: Apache-2.0 */
/*
 * detection [--seed N] [--agents N] [--config FILE] [--json]
 *
 * Watches every actor for 30 days, then replays its last week once per attack
 * family and strength, and prints what was found, how soon, how many keys were
 * used before the stop, and what innocent people suffered; beside no detector
 * and a static rate limit. The same seed gives the same page.
 */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	AGENTS_MAX = 2000, ATTACK_MAX = 4 << 20, KEYS_SEEN = 1024,
	LIMIT_A_MINUTE = 60, /* the static rate limit: requests */
};

enum rules { RULES_DEFAULT, RULES_STRICT, RULES };

struct options {
	uint64_t seed;
	unsigned agents;
	bool json;
	struct ag_config *config;
};

/* What the rules of the contract stop an agent for; strict ones: for every
 * finding of severity high, too. */
static bool
stops(enum rules rules, const struct sim_alert *alert)
{
	const char *name = anomaly_detectors[alert->detector]->name;

	return strcmp(name, "honey_key") == 0 ||
	    strcmp(name, "scope_violation") == 0 ||
	    (alert->severity == AG__SEVERITY__V__high &&
	    (rules == RULES_STRICT || strcmp(name, "rate_spike") == 0));
}

/* ------------------------------------------------------------ ordinary days */

struct clean {
	uint64_t events, agent_days;
	uint64_t alerts[SIM_DETECTORS], all;
	/* Days with a stop: [rules, then the limit][on days of drift] */
	uint64_t false_stops[RULES + 1][2];
	uint64_t days[2];
};

/* A rate limit that counts calendar minutes. */
struct limit {
	int64_t minute;
	unsigned count;
	uint64_t blocked, hostile_blocked;
};

static bool
limit_passes(struct limit *limit, const struct sim_event *e)
{
	int64_t minute = e->at_ms / SIM_MINUTE_MS;

	if (minute != limit->minute)
		limit->count = 0;
	limit->minute = minute;
	if (++limit->count <= LIMIT_A_MINUTE)
		return true;
	limit->blocked++;
	limit->hostile_blocked += e->hostile;
	return false;
}

struct watching {
	struct sim_judge *judge;
	const struct sim_actor *actor;
	struct limit limit;
};

static void
watch(void *arg, const struct sim_event *e)
{
	struct watching *w = arg;

	limit_passes(&w->limit, e);
	sim_judge_see(w->judge, w->actor, e);
}

static void
clean_day(struct clean *clean, struct watching *w, uint64_t seed, int day)
{
	unsigned first = w->judge->alert_count;
	uint64_t events = w->judge->events, blocked = w->limit.blocked;
	bool drift = sim_day(w->actor, seed, day, watch, w);

	clean->events += w->judge->events - events;
	clean->agent_days++;
	clean->days[drift]++;
	clean->false_stops[RULES][drift] += w->limit.blocked > blocked;
	for (unsigned i = first; i < w->judge->alert_count; i++)
		clean->alerts[w->judge->alerts[i].detector]++;
	clean->all += w->judge->alert_count - first;
	for (enum rules r = 0; r < RULES; r++)
		for (unsigned i = first; i < w->judge->alert_count; i++)
			if (stops(r, &w->judge->alerts[i])) {
				clean->false_stops[r][drift]++;
				break;
			}
}

/* ------------------------------------------------------------------ attacks */

struct result {
	unsigned victims, found, found_in_budget;
	double *delays_ms; /* of those found */
	double keys[RULES + 2]; /* used before the stop; no detector; the limit */
	double limited;    /* share of victims where the limit blocked anything */
	uint64_t hostile, risky;
};

struct attack {
	struct sim_event *events;
	size_t count, next;
	struct watching w;
};

static void
collect(void *arg, const struct sim_event *e)
{
	struct attack *a = arg;

	if (a->count < ATTACK_MAX)
		a->events[a->count++] = *e;
}

static void
up_to(struct attack *a, int64_t at_ms)
{
	while (a->next < a->count && a->events[a->next].at_ms <= at_ms)
		watch(&a->w, &a->events[a->next++]);
}

static void
merge(void *arg, const struct sim_event *e)
{
	up_to(arg, e->at_ms);
	watch(&((struct attack *)arg)->w, e);
}

/* Distinct keys that the attacker used until then. */
static unsigned
keys_until(const struct attack *a, int64_t stop_ms)
{
	static uint8_t used[SIM_KEYS * 2];
	unsigned n = 0;

	memset(used, 0, sizeof(used));
	for (size_t i = 0; i < a->count && a->events[i].at_ms <= stop_ms; i++) {
		unsigned key = a->events[i].key % sizeof(used);

		n += !a->events[i].denied && !a->events[i].limited && !used[key];
		used[key] |= !a->events[i].denied && !a->events[i].limited;
	}
	return n;
}

static int64_t
stop_of(const struct sim_judge *judge, enum rules rules, int64_t from_ms)
{
	for (unsigned i = 0; i < judge->alert_count; i++)
		if (judge->alerts[i].at_ms >= from_ms &&
		    stops(rules, &judge->alerts[i]))
			return judge->alerts[i].at_ms + SIM_STOP_MS;
	return INT64_MAX;
}

static unsigned
keys_past_limit(const struct attack *a)
{
	struct limit limit = { 0 };
	struct attack passed = { .events = malloc((a->count + 1) *
	    sizeof(*a->events)) };
	unsigned n;

	if (passed.events == NULL)
		return 0;
	for (size_t i = 0; i < a->count; i++)
		if (limit_passes(&limit, &a->events[i]))
			passed.events[passed.count++] = a->events[i];
	n = keys_until(&passed, INT64_MAX);
	free(passed.events);
	return n;
}

/* One alert an agent and week is looked at: the most severe, then the first. */
static void
tally(struct result *result, const struct attack *a)
{
	const struct sim_judge *judge = a->w.judge;
	const struct sim_alert *first = NULL, *looked_at = NULL;
	int64_t begin_ms = a->events[0].at_ms;

	for (unsigned i = 0; i < judge->alert_count; i++) {
		const struct sim_alert *alert = &judge->alerts[i];

		if (first == NULL && alert->hostile)
			first = alert;
		if (looked_at == NULL || alert->severity > looked_at->severity)
			looked_at = alert;
	}
	if (first != NULL)
		result->delays_ms[result->found++] =
		    (double)(first->at_ms - begin_ms);
	result->found_in_budget += looked_at != NULL && looked_at->hostile;
	for (enum rules r = 0; r < RULES; r++)
		result->keys[r] += keys_until(a, stop_of(judge, r, begin_ms));
	result->keys[RULES] += keys_until(a, INT64_MAX);
	result->keys[RULES + 1] += keys_past_limit(a);
	result->limited += a->w.limit.hostile_blocked > 0;
	result->hostile += a->count;
	result->risky += judge->risky;
	result->victims++;
}

static void
attack(struct result *result, const struct sim_family *family,
    unsigned strength, const struct sim_actor *actor, struct attack *a,
    uint64_t seed)
{
	struct sim_random r = sim_random_of(seed, actor->number, 3 + strength,
	    (uint64_t)(family - sim_families));
	/* While it works, on the first day of the week that is judged. */
	int64_t begin_ms = sim_begin_ms + SIM_TRAINED * (int64_t)SIM_DAY_MS +
	    (actor->kind == SIM_NIGHTLY ? 2 : 10) * (int64_t)SIM_HOUR_MS -
	    actor->timezone_h * (int64_t)SIM_HOUR_MS + sim_below(&r, 3600000);

	a->count = a->next = 0;
	memset(&a->w.limit, 0, sizeof(a->w.limit));
	family->attack(actor, &r, strength, begin_ms, collect, a);
	for (int day = SIM_TRAINED; day < SIM_DAYS; day++)
		sim_day(actor, seed, day, merge, a);
	up_to(a, INT64_MAX);
	tally(result, a);
}

/* ------------------------------------------------------------------- report */

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double
median_s(struct result *r)
{
	if (r->found == 0)
		return -1;
	qsort(r->delays_ms, r->found, sizeof(double), by_value);
	return r->delays_ms[r->found / 2] / 1000;
}

static void
print_time(double s)
{
	if (s < 0)
		printf(" – |");
	else if (s < 120)
		printf(" %.0f s |", s);
	else if (s < 7200)
		printf(" %.0f min |", s / 60);
	else
		printf(" %.1f h |", s / 3600);
}

static void
print_attacks(struct result results[][SIM_STRENGTHS])
{
	printf("| attack | strength | victims | recall | at 1 alert/week | "
	    "time to detect | keys: no detector | rate limit | default rules | "
	    "strict rules | refused by score |\n"
	    "|---|---|---|---|---|---|---|---|---|---|---|\n");
	for (unsigned f = 0; f < sim_family_count; f++)
		for (unsigned s = 0; s < SIM_STRENGTHS; s++) {
			struct result *r = &results[f][s];
			double n = r->victims > 0 ? r->victims : 1;

			printf("| %s | %s | %u | %.2f | %.2f |",
			    sim_families[f].name, sim_families[f].strengths[s],
			    r->victims, r->found / n, r->found_in_budget / n);
			print_time(median_s(r));
			printf(" %.1f | %.1f | %.1f | %.1f | %.0f %% |\n",
			    r->keys[RULES] / n, r->keys[RULES + 1] / n,
			    r->keys[RULES_DEFAULT] / n, r->keys[RULES_STRICT] / n,
			    r->hostile > 0 ? 100.0 * (double)r->risky /
			    (double)r->hostile : 0);
		}
}

static void
print_clean(const struct clean *c)
{
	double weeks = (double)c->agent_days / 7;

	printf("\n%llu ordinary requests in %llu agent-days, %llu of them with "
	    "drift: %llu alerts (%.3f per thousand requests, %.2f per agent and "
	    "week).\n\n| detector | alerts per agent and week |\n|---|---|\n",
	    (unsigned long long)c->events, (unsigned long long)c->agent_days,
	    (unsigned long long)c->days[1], (unsigned long long)c->all,
	    1000.0 * (double)c->all / (double)c->events, (double)c->all / weeks);
	for (unsigned d = 0; d < anomaly_detector_count; d++)
		printf("| %s | %.3f |\n", anomaly_detectors[d]->name,
		    (double)c->alerts[d] / weeks);
	printf("\n| false stops | on days of drift | on other days |\n|---|---|---|\n");
	for (unsigned r = 0; r <= RULES; r++)
		printf("| %s | %llu of %llu | %llu of %llu |\n",
		    r == RULES_DEFAULT ? "default rules" : r == RULES_STRICT ?
		    "strict rules" : "rate limit (60 a minute)",
		    (unsigned long long)c->false_stops[r][1],
		    (unsigned long long)c->days[1],
		    (unsigned long long)c->false_stops[r][0],
		    (unsigned long long)c->days[0]);
}

static void
print_json(struct result results[][SIM_STRENGTHS], const struct clean *c)
{
	printf("{\"false_positive_rate\":%.6f,\"alerts_per_agent_week\":%.4f,"
	    "\"false_stops\":%llu,\"attacks\":[",
	    (double)c->all / (double)c->events,
	    (double)c->all * 7 / (double)c->agent_days,
	    (unsigned long long)(c->false_stops[RULES_DEFAULT][0] +
	    c->false_stops[RULES_DEFAULT][1]));
	for (unsigned i = 0; i < sim_family_count * SIM_STRENGTHS; i++) {
		struct result *r = &results[i / SIM_STRENGTHS][i % SIM_STRENGTHS];
		double n = r->victims > 0 ? r->victims : 1;

		printf("%s{\"family\":\"%s\",\"strength\":%u,\"victims\":%u,"
		    "\"recall\":%.4f,\"budget_recall\":%.4f,\"median_s\":%.1f,"
		    "\"keys\":{\"none\":%.3f,\"limit\":%.3f,\"default\":%.3f,"
		    "\"strict\":%.3f}}", i > 0 ? "," : "",
		    sim_families[i / SIM_STRENGTHS].name, i % SIM_STRENGTHS,
		    r->victims, r->found / n, r->found_in_budget / n, median_s(r),
		    r->keys[RULES] / n, r->keys[RULES + 1] / n,
		    r->keys[RULES_DEFAULT] / n, r->keys[RULES_STRICT] / n);
	}
	printf("]}\n");
}

/* --------------------------------------------------------------------- main */

static void
one_actor(const struct options *o, unsigned number, struct clean *clean,
    struct result results[][SIM_STRENGTHS], struct sim_judge *judge,
    struct sim_judge *trained, struct attack *a)
{
	struct sim_actor actor = sim_actor_of(o->seed, number);
	struct watching w = { .judge = judge, .actor = &actor };

	for (int day = 0; day < SIM_TRAINED; day++)
		clean_day(clean, &w, o->seed, day);
	sim_judge_copy(trained, judge);
	for (int day = SIM_TRAINED; day < SIM_DAYS; day++)
		clean_day(clean, &w, o->seed, day);
	a->w.actor = &actor;
	a->w.judge = judge;
	for (unsigned f = 0; f < sim_family_count; f++)
		for (unsigned s = 0; s < SIM_STRENGTHS &&
		    sim_families[f].fits(&actor); s++) {
			sim_judge_copy(judge, trained);
			attack(&results[f][s], &sim_families[f], s, &actor, a,
			    o->seed);
		}
}

static int
run(const struct options *o)
{
	static struct result results[32][SIM_STRENGTHS];
	static struct sim_judge judge, trained;
	struct clean clean = { 0 };
	struct attack a = { .events = malloc(ATTACK_MAX * sizeof(*a.events)) };

	if (a.events == NULL || sim_family_count > 32)
		return 1;
	for (unsigned i = 0; i < sim_family_count * SIM_STRENGTHS; i++) {
		struct result *r = &results[i / SIM_STRENGTHS][i % SIM_STRENGTHS];

		if ((r->delays_ms = calloc(o->agents, sizeof(double))) == NULL)
			return 1;
	}
	for (unsigned n = 0; n < o->agents; n++) {
		if (!sim_judge_init(&judge, o->config) ||
		    !sim_judge_init(&trained, o->config))
			return 1;
		one_actor(o, n, &clean, results, &judge, &trained, &a);
		sim_judge_fini(&judge);
		sim_judge_fini(&trained);
	}
	if (o->json) {
		print_json(results, &clean);
	} else {
		print_attacks(results);
		print_clean(&clean);
	}
	for (unsigned i = 0; i < sim_family_count * SIM_STRENGTHS; i++)
		free(results[i / SIM_STRENGTHS][i % SIM_STRENGTHS].delays_ms);
	free(a.events);
	return 0;
}

int
main(int argc, char **argv)
{
	struct options o = { .seed = 1, .agents = 200 };
	const char *file = NULL;
	char message[512];
	int status;

	for (int i = 1; i < argc; i++) {
		bool more = i + 1 < argc;

		if (strcmp(argv[i], "--json") == 0)
			o.json = true;
		else if (more && strcmp(argv[i], "--seed") == 0)
			o.seed = strtoull(argv[++i], NULL, 10);
		else if (more && strcmp(argv[i], "--agents") == 0)
			o.agents = (unsigned)strtoul(argv[++i], NULL, 10);
		else if (more && strcmp(argv[i], "--config") == 0)
			file = argv[++i];
		else
			o.agents = 0;
	}
	if (o.agents == 0 || o.agents > AGENTS_MAX) {
		fprintf(stderr, "usage: detection [--seed N] [--agents 1..%d] "
		    "[--config FILE] [--json]\n", AGENTS_MAX);
		return 2;
	}
	if (ag_config_load(file, &o.config, message, sizeof(message)) != AG_OK) {
		fprintf(stderr, "detection: %s\n", message);
		return 2;
	}
	status = run(&o);
	ag_config_free(&o.config);
	return status;
}
