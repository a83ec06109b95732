/* SPDX-License-Identifier: Apache-2.0 */
/* The file sink: a line an event, a new file when the old one is moved, no
 * event twice in order, none missing after a restart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include <aegis/kit.h>

extern const struct ag_actor ag_actor_file;

static const char config[] =
    "sinks:\n  - {name: plain, kind: file, path: audit.jsonl}\n";

static ag_err
deliver(struct ag_kit *kit, unsigned n)
{
	Ag__Event e = AG__EVENT__INIT;
	char id[AG_ID_SIZE];

	snprintf(id, sizeof(id), "evt_%032x", n);
	e.event_id = id;
	e.seq = n;
	e.tenant = (char *)"default";
	e.event_type = AG__EVENT_TYPE__V__request;
	e.occurred_at = ag_kit_now(kit);
	e.operation = (char *)"key.sign";
	e.outcome = AG__OUTCOME_KIND__V__allowed;
	if (ag_kit_audit(kit, &e, n) != AG_OK)
		return AG_FULL;
	ag_kit_work(kit);
	return AG_OK;
}

/* Every line is whole JSON; their number, and the first one's seq. */
static unsigned
lines_of(const char *path, unsigned *first)
{
	FILE *f = fopen(path, "r");
	char *line = NULL;
	size_t cap = 0;
	unsigned n = 0;

	if (f == NULL)
		return 0;
	while (getline(&line, &cap, f) > 0) {
		json_t *o = json_loads(line, 0, NULL);

		assert_non_null(o);
		if (n++ == 0)
			*first = (unsigned)json_integer_value(
			    json_object_get(o, "seq"));
		json_decref(o);
	}
	free(line);
	fclose(f);
	return n;
}

static void
appends_and_follows_a_move(void **state)
{
	char dir[] = "/tmp/aegis-file-XXXXXX", path[64], old[64], command[96];
	struct ag_kit *kit;
	unsigned first = 0;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/audit.jsonl", dir);
	snprintf(old, sizeof(old), "%s/audit.jsonl.1", dir);
	kit = ag_kit_new(&ag_actor_file, config, dir);
	for (unsigned i = 1; i <= 10; i++)
		assert_int_equal(deliver(kit, i), AG_OK);
	assert_int_equal(lines_of(path, &first), 10);
	assert_int_equal(rename(path, old), 0);
	ag_kit_advance(kit, 1100);
	ag_kit_work(kit);
	for (unsigned i = 11; i <= 15; i++)
		assert_int_equal(deliver(kit, i), AG_OK);
	assert_int_equal(lines_of(old, &first), 10);
	assert_int_equal(lines_of(path, &first), 5);
	assert_int_equal(first, 11);
	ag_kit_free(&kit);
	/* Another start appends. */
	kit = ag_kit_new(&ag_actor_file, config, dir);
	assert_int_equal(deliver(kit, 16), AG_OK);
	assert_int_equal(lines_of(path, &first), 6);
	ag_kit_free(&kit);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
}

/* What a line may not exceed is left out, and it stays whole JSON. */
static void
long_events(void **state)
{
	char dir[] = "/tmp/aegis-file-XXXXXX", path[64], command[96];
	static char value[200000];
	struct ag_kit *kit;
	Ag__Event e = AG__EVENT__INIT;
	Ag__Pair pair = AG__PAIR__INIT, *pairs = &pair;
	unsigned first = 0;

	memset(value, 'v', sizeof(value) - 1);
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/audit.jsonl", dir);
	kit = ag_kit_new(&ag_actor_file, config, dir);
	e.event_id = (char *)"evt_0";
	e.seq = 9;
	e.tenant = (char *)"default";
	e.event_type = AG__EVENT_TYPE__V__request;
	e.operation = (char *)"key.sign";
	e.outcome = AG__OUTCOME_KIND__V__allowed;
	pair.key = (char *)"long";
	pair.value = value;
	e.n_params = 1;
	e.params = &pairs;
	assert_int_equal(ag_kit_audit(kit, &e, 1), AG_OK);
	ag_kit_work(kit);
	assert_int_equal(lines_of(path, &first), 1);
	assert_int_equal(first, 9);
	ag_kit_free(&kit);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(appends_and_follows_a_move),
		cmocka_unit_test(long_events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
