/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What else comes from outside: the first byte says what the rest is. Each is
 * taken, or refused with a reason; an expression that gives a value gives the
 * same when it is asked again.
 */
#include "cedar.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MEMORY = 32 << 20 };

static void
refused(enum ag_cedar_err err, const struct ag_cedar_problem *p)
{
	if (err != AG_CEDAR_OK && p->text[0] == '\0')
		abort();
}

static void
entities(const char *text, size_t len)
{
	struct ag_cedar_problem p;
	struct ag_cedar_entities *e;
	enum ag_cedar_err err;

	if (ag_cedar_entities_new(MEMORY, &e) != AG_CEDAR_OK)
		return;
	err = ag_cedar_entities_json(e, NULL, text, len, &p);
	if (err == AG_CEDAR_OK)
		err = ag_cedar_entities_close(e, &p);
	refused(err, &p);
	ag_cedar_entities_free(&e);
}

static void
schema(const char *text, size_t len, bool is_json)
{
	static const char policy[] = "permit(principal,action,resource) when { "
	    "principal has a && principal.a == resource && context has x };";
	struct ag_cedar_problem p;
	struct ag_cedar_schema *s;
	struct ag_cedar_set *set;
	size_t errors;
	enum ag_cedar_err err = (is_json ? ag_cedar_schema_json :
	    ag_cedar_schema_parse)(text, len, MEMORY, &s, &p);

	refused(err, &p);
	if (err == AG_CEDAR_OK && ag_cedar_set_new(MEMORY, &set) ==
	    AG_CEDAR_OK) {
		if (ag_cedar_set_text(set, "p", policy, sizeof(policy) - 1, &p) !=
		    AG_CEDAR_OK)
			abort();
		err = ag_cedar_set_validate(set, s, MEMORY, NULL, NULL, &errors);
		ag_cedar_set_free(&set);
	}
	ag_cedar_schema_free(&s);
}

static void
expression(const char *text, size_t len)
{
	struct ag_cedar_arena arena;
	struct ag_cedar_problem p;
	struct ag_cedar_value a, b;
	enum ag_cedar_err err;

	ag_cedar_arena_init(&arena, MEMORY);
	err = ag_cedar_evaluate(&arena, text, len, NULL, NULL, &a, &p);
	refused(err, &p);
	if (err == AG_CEDAR_OK) {
		char *json = ag_cedar_value_json(&a);

		if (ag_cedar_evaluate(&arena, text, len, NULL, NULL, &b, &p) ==
		    AG_CEDAR_OK && !ag_cedar_equal(&a, &b))
			abort();
		free(json);
	}
	ag_cedar_arena_fini(&arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data + 1;

	if (size == 0)
		return 0;
	switch (data[0] % 4) {
	case 0:
		expression(text, size - 1);
		break;
	case 1:
		entities(text, size - 1);
		break;
	case 2:
		schema(text, size - 1, false);
		break;
	case 3:
		schema(text, size - 1, true);
		break;
	}
	return 0;
}
