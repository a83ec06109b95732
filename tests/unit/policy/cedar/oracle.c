/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers questions about policies, for differential.js to compare with the
 * reference: one JSON object a line in, one out. In: policies (text), entities,
 * links [{templateId, newId, values}], requests, schema, schema_json. Out:
 * parse, est, valid, schema, decisions; and same: the JSON form decides the
 * same, the formatted text is stable and has the same JSON form.
 */
#include "cedar.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MEMORY = 64 << 20, SCRATCH = 1 << 20 };
static uint8_t bytes[SCRATCH];
static struct ag_cedar_problem problem;

static json_t *
all_est(const struct ag_cedar_set *set)
{
	json_t *out = json_array();
	char *text;

	for (size_t n = 0; ag_cedar_policy_json(set, n, &text) == AG_CEDAR_OK;
	    n++) {
		(void)json_array_append_new(out, json_loads(text, JSON_ALLOW_NUL,
		    NULL));
		free(text);
	}
	return out;
}

/* Through JSON and back it is the same; so is what the formatter gives, whose
 * second pass changes nothing. */
static bool
round_trips(const char *text, const json_t *est)
{
	struct ag_cedar_set *a, *b;
	struct ag_cedar_arena arena;
	char *once, *twice, id[32], *one;
	size_t once_len, twice_len, i;
	const json_t *value;
	json_t *again;
	bool ok = ag_cedar_set_new(MEMORY, &a) == AG_CEDAR_OK &&
	    ag_cedar_set_new(MEMORY, &b) == AG_CEDAR_OK;

	json_array_foreach((json_t *)(uintptr_t)est, i, value) {
		one = json_dumps(value, 0);
		(void)snprintf(id, sizeof(id), "policy%zu", i);
		ok = ok && ag_cedar_set_json(a, id, one, strlen(one), &problem) ==
		    AG_CEDAR_OK;
		free(one);
	}
	again = all_est(a);
	ok = ok && json_equal(again, est);
	json_decref(again);
	ag_cedar_arena_init(&arena, MEMORY);
	ok = ok && ag_cedar_format(&arena, text, strlen(text), &once, &once_len,
	    &problem) == AG_CEDAR_OK && ag_cedar_format(&arena, once, once_len,
	    &twice, &twice_len, &problem) == AG_CEDAR_OK &&
	    once_len == twice_len && memcmp(once, twice, once_len) == 0 &&
	    ag_cedar_set_text(b, "policy", once, once_len, &problem) ==
	    AG_CEDAR_OK;
	again = all_est(b);
	ok = ok && json_equal(again, est);
	json_decref(again);
	ag_cedar_arena_fini(&arena);
	ag_cedar_set_free(&a);
	ag_cedar_set_free(&b);
	return ok;
}

static json_t *
ids(const struct ag_cedar_set *set, const uint32_t *at, size_t count,
    size_t stride)
{
	struct ag_cedar_policy_info info;
	json_t *out = json_array();

	for (size_t i = 0; i < count; i++) {
		ag_cedar_policy_info(set, *(const uint32_t *)(const void *)
		    ((const uint8_t *)at + i * stride), &info);
		(void)json_array_append_new(out, json_string(info.id));
	}
	return out;
}

static json_t *
decisions(const struct ag_cedar_set *set, const struct ag_cedar_entities *e,
    const json_t *requests)
{
	struct ag_cedar_arena arena, scratch;
	struct ag_cedar_request q;
	struct ag_cedar_answer a;
	json_t *out = json_array(), *r;
	size_t i;

	ag_cedar_arena_init(&arena, MEMORY);
	json_array_foreach((json_t *)(uintptr_t)requests, i, r) {
		char *text = json_dumps(r, 0);

		ag_cedar_arena_over(&scratch, bytes, sizeof(bytes));
		if (ag_cedar_request_json(&arena, text, strlen(text), &q,
		    &problem) != AG_CEDAR_OK || ag_cedar_decide(set, e, &q,
		    &scratch, &a) != AG_CEDAR_OK)
			(void)json_array_append_new(out, json_null());
		else
			(void)json_array_append_new(out, json_pack("[s,o,o]",
			    a.allow ? "allow" : "deny", ids(set, a.reasons,
			    a.reason_count, sizeof(*a.reasons)), ids(set,
			    a.failure_count == 0 ? NULL : &a.failures->policy,
			    a.failure_count, sizeof(*a.failures))));
		free(text);
	}
	ag_cedar_arena_fini(&arena);
	return out;
}

static bool
linked(struct ag_cedar_set *set, const json_t *links)
{
	json_t *all = json_pack("{s:O}", "templateLinks", links);
	char *text = json_dumps(all, 0);
	bool ok = ag_cedar_set_json_all(set, text, strlen(text), &problem) ==
	    AG_CEDAR_OK;

	free(text);
	json_decref(all);
	return ok;
}

static void
schema(json_t *out, const json_t *in, const struct ag_cedar_set *set)
{
	const char *text = json_string_value(json_object_get(in, "schema"));
	struct ag_cedar_schema *s = NULL;
	size_t errors = 0;
	enum ag_cedar_err err;
	char *json = NULL;

	if (text != NULL) {
		err = ag_cedar_schema_parse(text, strlen(text), MEMORY, &s,
		    &problem);
	} else {
		if (json_object_get(in, "schema_json") == NULL)
			return;
		json = json_dumps(json_object_get(in, "schema_json"), 0);
		err = ag_cedar_schema_json(json, strlen(json), MEMORY, &s,
		    &problem);
		free(json);
	}
	(void)json_object_set_new(out, "schema", json_boolean(err ==
	    AG_CEDAR_OK));
	if (err != AG_CEDAR_OK) {
		(void)json_object_set_new(out, "said", json_string(problem.text));
		return;
	}
	if (set != NULL && ag_cedar_set_validate(set, s, MEMORY, NULL, NULL,
	    &errors) == AG_CEDAR_OK)
		(void)json_object_set_new(out, "valid", json_boolean(errors == 0));
	ag_cedar_schema_free(&s);
}

static json_t *
answer(const json_t *in)
{
	const char *text = json_string_value(json_object_get(in, "policies"));
	const json_t *links = json_object_get(in, "links");
	char *data = json_dumps(json_object_get(in, "entities"), 0);
	struct ag_cedar_entities *e = NULL;
	struct ag_cedar_set *set = NULL;
	json_t *out = json_object(), *est;
	bool ok = text != NULL && ag_cedar_set_new(MEMORY, &set) ==
	    AG_CEDAR_OK && ag_cedar_set_text(set, "policy", text, strlen(text),
	    &problem) == AG_CEDAR_OK;

	(void)json_object_set_new(out, "parse", json_boolean(ok));
	if (!ok && text != NULL)
		(void)json_object_set_new(out, "said", json_string(problem.text));
	schema(out, in, ok ? set : NULL);
	if (ok) {
		est = all_est(set);
		(void)json_object_set_new(out, "same",
		    json_boolean(round_trips(text, est)));
		(void)json_object_set_new(out, "est", est);
	}
	ok = ok && (links == NULL || linked(set, links)) &&
	    ag_cedar_set_compile(set) == AG_CEDAR_OK;
	if (ok && data != NULL && ag_cedar_entities_new(MEMORY, &e) ==
	    AG_CEDAR_OK) {
		if (ag_cedar_entities_json(e, NULL, data, strlen(data),
		    &problem) == AG_CEDAR_OK && ag_cedar_entities_close(e,
		    &problem) == AG_CEDAR_OK)
			(void)json_object_set_new(out, "decisions", decisions(set,
			    e, json_object_get(in, "requests")));
		else
			(void)json_object_set_new(out, "said",
			    json_string(problem.text));
	}
	free(data);
	ag_cedar_entities_free(&e);
	ag_cedar_set_free(&set);
	return out;
}

int
main(void)
{
	char *line = NULL, *text;
	size_t room = 0;
	ssize_t len;
	json_t *in, *out;

	while ((len = getline(&line, &room, stdin)) > 0) {
		in = json_loadb(line, (size_t)len, JSON_ALLOW_NUL, NULL);
		out = answer(in);
		text = json_dumps(out, JSON_COMPACT);
		puts(text);
		(void)fflush(stdout);
		free(text);
		json_decref(out);
		json_decref(in);
	}
	free(line);
	return 0;
}
