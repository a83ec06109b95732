/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policies: any bytes are taken or refused with a place; what is taken is
 * formatted the same twice, goes through JSON, compiles and decides.
 */
#include "cedar.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MEMORY = 32 << 20 };

static void
must(bool ok)
{
	if (!ok)
		abort();
}

static void
formats(const char *text, size_t len)
{
	struct ag_cedar_arena arena;
	char *once, *twice;
	size_t n, m;

	ag_cedar_arena_init(&arena, MEMORY);
	if (ag_cedar_format(&arena, text, len, &once, &n, NULL) == AG_CEDAR_OK) {
		must(ag_cedar_format(&arena, once, n, &twice, &m, NULL) ==
		    AG_CEDAR_OK);
		must(n == m && memcmp(once, twice, n) == 0);
	}
	ag_cedar_arena_fini(&arena);
}

/* Each policy as JSON, read again, is the same JSON. */
static void
through_json(const struct ag_cedar_set *set)
{
	struct ag_cedar_problem p;
	struct ag_cedar_set *other;
	char *json, *again;

	for (size_t n = 0; n < 4 && ag_cedar_policy_json(set, n, &json) ==
	    AG_CEDAR_OK; n++) {
		must(ag_cedar_set_new(MEMORY, &other) == AG_CEDAR_OK);
		/* A tall tree nests deeper than the JSON reader goes. */
		if (ag_cedar_set_json(other, "p", json, strlen(json), &p) ==
		    AG_CEDAR_OK) {
			must(ag_cedar_policy_json(other, 0, &again) ==
			    AG_CEDAR_OK && strcmp(json, again) == 0);
			free(again);
		}
		free(json);
		ag_cedar_set_free(&other);
	}
}

static void
decides(struct ag_cedar_set *set)
{
	static uint8_t bytes[64 << 10];
	struct ag_cedar_request r = {
		.principal = ag_cedar_uid((struct ag_cedar_str){ "U", 1 },
		    (struct ag_cedar_str){ "a", 1 }),
		.action = ag_cedar_uid((struct ag_cedar_str){ "Action", 6 },
		    (struct ag_cedar_str){ "x", 1 }),
		.resource = ag_cedar_uid((struct ag_cedar_str){ "R", 1 },
		    (struct ag_cedar_str){ "r", 1 }),
	};
	struct ag_cedar_arena scratch;
	struct ag_cedar_answer a;
	enum ag_cedar_err err;

	if (ag_cedar_set_compile(set) != AG_CEDAR_OK)
		return;
	ag_cedar_arena_over(&scratch, bytes, sizeof(bytes));
	err = ag_cedar_decide(set, NULL, &r, &scratch, &a);
	must(err == AG_CEDAR_OK || (err == AG_CEDAR_NO_MEMORY && !a.allow));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ag_cedar_problem p;
	struct ag_cedar_set *set;
	enum ag_cedar_err err;

	must(ag_cedar_set_new(MEMORY, &set) == AG_CEDAR_OK);
	err = ag_cedar_set_text(set, "p", (const char *)data, size, &p);
	if (err != AG_CEDAR_OK) {
		must(p.text[0] != '\0' && (err == AG_CEDAR_NO_MEMORY ||
		    p.line != 0));
	} else {
		formats((const char *)data, size);
		through_json(set);
		decides(set);
	}
	ag_cedar_set_free(&set);
	return 0;
}
