/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A decision by a tenant's policies as iam makes it: entities, index, policies,
 * the strictest word. Each person has ten policies on their agents' use of
 * keys. Prints a table of 10 to 2,000 policies on stderr, and the microseconds
 * at 500; with the word `p99`, those that 99 of 100 decisions at 500 stay under,
 * each measured by itself, first ones included.
 */
#include "rules.h"
#include "turns.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OF_A_PERSON = 10, AT = 500, PEOPLE_MAX = 200, BLOCK = 1000 };

static _Alignas(16) uint8_t scratch[AG_RULES_SCRATCH];
static char names[PEOPLE_MAX][8];

static struct ag_rules *
policies(unsigned count)
{
	char *text = malloc(count * 256u + 1);
	struct ag_rules_doc doc = { "bench", text, 0 };
	struct ag_rules *rules;

	if (text == NULL)
		exit(1);
	for (unsigned i = 0; i < count; i++)
		doc.len += (size_t)sprintf(text + doc.len, "permit (principal in "
		    "Aegis::Human::\"%u\", action in Aegis::Action::\"use\", "
		    "resource is Aegis::Key) when { resource.hasTag(\"team\") && "
		    "resource.getTag(\"team\") == \"%u\" };\n", i / OF_A_PERSON,
		    i % OF_A_PERSON);
	if (ag_rules_new(&doc, 1, &rules) != AG_CEDAR_OK)
		exit(1);
	free(text);
	return rules;
}

/* What the n-th of so many people's agents asks is permitted. */
static void
decide(const struct ag_rules *rules, unsigned n, unsigned people)
{
	static const char *const roles[] = { "key-user" };
	static const struct ag_rules_label labels[] = { { "env", "prod" },
		{ "team", "7" } };
	static struct ag_rules_ask ask = { .tenant = "default", .action = "key.sign",
		.principal = { .links = { { AG_RULES_AGENT,
		"agt_01a1fe1196757264abfdd4e9c13d1c7a", "clerk", "model-x" },
		{ AG_RULES_HUMAN, "hum_01a1fe1196757264abfdd4e9c13d1c7b", "0",
		NULL } }, .count = 2, .roles = roles, .role_count = 1 },
		.resource = { .about = AG_RULES_KEY, .id =
		"key_01a1fe1196757264abfdd4e9c13d1c7c", .name = "payroll", .spec =
		"EC_P256", .labels = labels, .label_count = 2 }, .at_ms =
		INT64_C(1767614400000), .source = "10.0.0.1", .plane = "rest",
		.credential_age_ms = 60000, .items = 1 };
	struct ag_rules_answer answer;

	ask.principal.links[1].name = names[n * 7u % people];
	ag_rules_decide(rules, &ask, scratch, &answer);
	if (answer.decision != AG_RULES_ALLOW)
		exit(1);
}

static double
measure(const struct ag_rules *rules, unsigned people)
{
	double best = 1e18, begin, us;

	for (int run = 0; run < RUNS * TURNS_A_RUN / BLOCK; run++) {
		begin = turns_now_us();
		for (unsigned n = 0; n < BLOCK; n++)
			decide(rules, n, people);
		us = (turns_now_us() - begin) / BLOCK;
		if (us < best)
			best = us;
	}
	return best;
}

static int
by_time(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double
tail(const struct ag_rules *rules, unsigned people)
{
	static double took[TURNS_A_RUN];

	for (unsigned n = 0; n < TURNS_A_RUN; n++) {
		double begin = turns_now_us();

		decide(rules, n, people);
		took[n] = turns_now_us() - begin;
	}
	qsort(took, TURNS_A_RUN, sizeof(took[0]), by_time);
	return took[TURNS_A_RUN * 99 / 100];
}

int
main(int argc, char **argv)
{
	static const unsigned counts[] = { 10, 100, 500, 2000 };
	double us, at_500 = 0;

	for (unsigned i = 0; i < PEOPLE_MAX; i++)
		(void)sprintf(names[i], "%u", i);
	if (argc > 1 && strcmp(argv[1], "p99") == 0) {
		struct ag_rules *rules = policies(AT);

		printf("%.3f\n", tail(rules, AT / OF_A_PERSON));
		ag_rules_free(&rules);
		return 0;
	}
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		struct ag_rules *rules = policies(counts[i]);

		us = measure(rules, counts[i] / OF_A_PERSON);
		if (counts[i] == AT)
			at_500 = us;
		fprintf(stderr, "%6u policies %8.2f us\n", counts[i], us);
		ag_rules_free(&rules);
	}
	printf("%.3f\n", at_500);
	return 0;
}
