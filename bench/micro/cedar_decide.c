/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decisions by the Cedar engine: agents each have ten policies, which are in
 * the index by agent, group of keys and action, and have a condition on the key
 * and one on the context; ten are evaluated for each request. Prints a table
 * of 1 to 10,000 policies on stderr, and the microseconds at 10,000.
 */
#include "cedar.h"
#include "turns.h"

#include <stdlib.h>
#include <string.h>

enum {
	MEMORY = 256 << 20,
	OF_AN_AGENT = 10,
	AGENTS_MAX = 1000,
	GROUPS = 10,
	KEYS = 64,
	SCRATCH = 64 << 10,
};

struct bench {
	struct ag_cedar_set *set;
	struct ag_cedar_entities *entities;
	struct ag_cedar_request requests[AGENTS_MAX];
	unsigned agents;
	uint64_t allowed, decided;
	uint8_t scratch[SCRATCH];
};

static char names[AGENTS_MAX][8];

static struct ag_cedar_uid
uid(const char *type, const char *id)
{
	return ag_cedar_uid((struct ag_cedar_str){ type, strlen(type) },
	    (struct ag_cedar_str){ id, strlen(id) });
}

static void
must(bool ok)
{
	if (!ok)
		exit(1);
}

/* Policies of ten a agent, each for a group of keys. */
static struct ag_cedar_set *
policies(unsigned count)
{
	struct ag_cedar_problem p;
	struct ag_cedar_set *set;
	char *text = malloc(count * 300u + 1);
	size_t at = 0;

	must(text != NULL && ag_cedar_set_new(MEMORY, &set) == AG_CEDAR_OK);
	for (unsigned i = 0; i < count; i++)
		at += (size_t)sprintf(text + at, "permit(principal == "
		    "Aegis::Agent::\"%u\", action in Aegis::Action::\"use\", "
		    "resource in Aegis::Group::\"all\") when { resource.state == "
		    "\"active\" && context.risk < %u };\n", i / OF_AN_AGENT,
		    50 + i);
	must(ag_cedar_set_text(set, "policy", text, at, &p) == AG_CEDAR_OK);
	must(ag_cedar_set_compile(set) == AG_CEDAR_OK);
	free(text);
	return set;
}

static void
entities(struct bench *b)
{
	struct ag_cedar_uid all = uid("Aegis::Group", "all"), groups[GROUPS];
	struct ag_cedar_uid use = uid("Aegis::Action", "use");
	struct ag_cedar_entity e = { .parent_count = 1, .parents = &all };
	struct ag_cedar_field state = { { "state", 5 },
		ag_cedar_string((struct ag_cedar_str){ "active", 6 }) };
	struct ag_cedar_arena *arena;

	must(ag_cedar_entities_new(MEMORY, &b->entities) == AG_CEDAR_OK);
	arena = ag_cedar_entities_arena(b->entities);
	for (unsigned i = 0; i < GROUPS; i++) {
		groups[i] = e.uid = uid("Aegis::Group", names[i]);
		must(ag_cedar_entities_add(b->entities, &e) == AG_CEDAR_OK);
	}
	for (unsigned i = 0; i < KEYS; i++) {
		e.uid = uid("Aegis::Key", names[i]);
		e.parents = &groups[i % GROUPS];
		must(ag_cedar_record_value(arena, &state, 1, &e.attrs) ==
		    AG_CEDAR_OK);
		must(ag_cedar_entities_add(b->entities, &e) == AG_CEDAR_OK);
	}
	e = (struct ag_cedar_entity){ .uid = uid("Aegis::Action", "sign"),
		.parents = &use, .parent_count = 1 };
	must(ag_cedar_entities_add(b->entities, &e) == AG_CEDAR_OK);
	for (unsigned i = 0; i < AGENTS_MAX; i++) {
		e = (struct ag_cedar_entity){ .uid = uid("Aegis::Agent",
		    names[i]) };
		must(ag_cedar_entities_add(b->entities, &e) == AG_CEDAR_OK);
	}
	must(ag_cedar_entities_close(b->entities, NULL) == AG_CEDAR_OK);
}

static void
turn(void *arg, unsigned n)
{
	struct bench *b = arg;
	struct ag_cedar_arena scratch;
	struct ag_cedar_answer answer;

	ag_cedar_arena_over(&scratch, b->scratch, sizeof(b->scratch));
	if (ag_cedar_decide(b->set, b->entities,
	    &b->requests[n * 7u % b->agents], &scratch, &answer) ==
	    AG_CEDAR_OK)
		b->allowed += answer.allow;
	b->decided++;
}

static double
measure(struct bench *b)
{
	double best = 1e18, begin, us;

	/* Each agent's request once a run: short, so that some are undisturbed. */
	for (int run = 0; run < RUNS * TURNS_A_RUN / AGENTS_MAX; run++) {
		begin = turns_now_us();
		for (unsigned n = 0; n < AGENTS_MAX; n++)
			turn(b, n);
		us = (turns_now_us() - begin) / AGENTS_MAX;
		if (us < best)
			best = us;
	}
	return best;
}

int
main(void)
{
	static struct bench b;
	struct ag_cedar_field risk = { { "risk", 4 }, ag_cedar_long(10) };
	struct ag_cedar_arena arena;
	struct ag_cedar_value context;
	double us = 0;

	for (unsigned i = 0; i < AGENTS_MAX; i++)
		(void)sprintf(names[i], "%u", i);
	ag_cedar_arena_init(&arena, MEMORY);
	must(ag_cedar_record_value(&arena, &risk, 1, &context) == AG_CEDAR_OK);
	entities(&b);
	for (unsigned i = 0; i < AGENTS_MAX; i++)
		b.requests[i] = (struct ag_cedar_request){
			.principal = uid("Aegis::Agent", names[i]),
			.action = uid("Aegis::Action", "sign"),
			.resource = uid("Aegis::Key", names[i % KEYS]),
			.context = context };
	for (unsigned count = 1; count <= 10000; count *= 10) {
		b.set = policies(count);
		b.agents = (count + OF_AN_AGENT - 1) / OF_AN_AGENT;
		us = measure(&b);
		fprintf(stderr, "%5u policies: %.3f us, %.0f decisions/s\n", count,
		    us, 1e6 / us);
		ag_cedar_set_free(&b.set);
	}
	ag_cedar_entities_free(&b.entities);
	ag_cedar_arena_fini(&arena);
	printf("%.4f\n", us);
	return b.allowed == b.decided ? 0 : 1;
}
