/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs cases of the official corpus. Standard input has, for each, a line
 * `NAME N N N N` and then the bytes of its schema, policies, entities and
 * requests (with what the reference said), of which these are the sizes. Prints
 * a line for each difference, and at the end the counts as `= what right wrong`.
 */
#include "json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	MEMORY = 256 << 20,
	SCRATCH = 1 << 20,
	LINE_SIZE = 512,
	TEXT_SIZE = AG_CEDAR_PROBLEM_SIZE + 32,
};

enum part { SCHEMA, POLICIES, DATA, REQUESTS, PARTS };
enum what { DECISION, REASONS, ERRORS, VALIDATION, REQUEST, ENTITIES, WHATS };
static const char *const names[] = { "decision", "reasons", "errors",
	"validation", "request", "entities" };
static unsigned right[WHATS], wrong[WHATS];
static uint8_t scratch_bytes[SCRATCH];

struct test_case {
	char name[LINE_SIZE];
	char *text[PARTS];
	size_t len[PARTS];
	json_t *json;
	struct cedar_json reader; /* contexts have NUL in names */
	struct ag_cedar_arena json_arena;
	struct ag_cedar_schema *schema;
	struct ag_cedar_set *set;
	struct ag_cedar_entities *entities, *typed;
	struct ag_cedar_arena arena;
};

static void
count(const struct test_case *t, enum what what, bool ok, const char *more)
{
	if (ok) {
		right[what]++;
		return;
	}
	wrong[what]++;
	printf("%s %s: %s\n", t->name, names[what], more);
}

/* The next case of the input; false at its end. */
static bool
next_case(struct test_case *t)
{
	char line[LINE_SIZE];

	if (fgets(line, sizeof(line), stdin) == NULL)
		return false;
	if (sscanf(line, "%400s %zu %zu %zu %zu", t->name, &t->len[SCHEMA],
	    &t->len[POLICIES], &t->len[DATA], &t->len[REQUESTS]) != 5)
		exit(2);
	for (int i = 0; i < PARTS; i++) {
		t->text[i] = malloc(t->len[i] + 1);
		if (t->text[i] == NULL ||
		    fread(t->text[i], 1, t->len[i], stdin) != t->len[i])
			exit(2);
	}
	return true;
}

static void
must(const struct test_case *t, const char *what, enum ag_cedar_err err,
    const struct ag_cedar_problem *p)
{
	if (err == AG_CEDAR_OK)
		return;
	printf("%s %s: %u:%u %s\n", t->name, what, p->line, p->column, p->text);
	exit(1);
}

static void
load(struct test_case *t)
{
	struct ag_cedar_problem p;

	must(t, "schema", ag_cedar_schema_parse(t->text[SCHEMA], t->len[SCHEMA],
	    MEMORY, &t->schema, &p), &p);
	must(t, "set", ag_cedar_set_new(MEMORY, &t->set), &p);
	must(t, "policies", ag_cedar_set_text(t->set, "policy",
	    t->text[POLICIES], t->len[POLICIES], &p), &p);
	must(t, "compile", ag_cedar_set_compile(t->set), &p);
	must(t, "entities", ag_cedar_entities_new(MEMORY, &t->entities), &p);
	must(t, "entities", ag_cedar_entities_json(t->entities, NULL,
	    t->text[DATA], t->len[DATA], &p), &p);
	must(t, "entities", ag_cedar_entities_close(t->entities, &p), &p);
	must(t, "entities", ag_cedar_entities_new(MEMORY, &t->typed), &p);
	memset(&p, 0, sizeof(p));
	count(t, ENTITIES, ag_cedar_entities_json(t->typed, t->schema,
	    t->text[DATA], t->len[DATA], &p) == AG_CEDAR_OK, p.text);
	ag_cedar_arena_init(&t->json_arena, MEMORY);
	must(t, "json", cedar_json_load(&t->reader, &t->json_arena,
	    t->text[REQUESTS], t->len[REQUESTS], &p, &t->json), &p);
}

/* ------------------------------------------------------------ comparisons */

static bool
same_ids(const struct test_case *t, const json_t *want, const uint32_t *got,
    size_t got_count, size_t stride)
{
	if (json_array_size(want) != got_count)
		return false;
	for (size_t i = 0; i < got_count; i++) {
		struct ag_cedar_policy_info info;
		bool found = false;

		ag_cedar_policy_info(t->set, *(const uint32_t *)(const void *)
		    ((const uint8_t *)got + i * stride), &info);
		for (size_t k = 0; k < json_array_size(want); k++)
			found |= strcmp(info.id, json_string_value(
			    json_array_get(want, k))) == 0;
		if (!found)
			return false;
	}
	return true;
}

static void
request(struct test_case *t, const json_t *r)
{
	const char *want = json_string_value(json_object_get(r, "decision"));
	struct ag_cedar_arena scratch;
	struct ag_cedar_request q;
	struct ag_cedar_problem p;
	struct ag_cedar_answer a;

	ag_cedar_arena_reset(&t->arena);
	t->reader.arena = &t->arena;
	t->reader.problem = &p;
	must(t, "principal", cedar_json_uid(&t->reader,
	    json_object_get(r, "principal"), &q.principal), &p);
	must(t, "action", cedar_json_uid(&t->reader,
	    json_object_get(r, "action"), &q.action), &p);
	must(t, "resource", cedar_json_uid(&t->reader,
	    json_object_get(r, "resource"), &q.resource), &p);
	must(t, "context", cedar_json_value(&t->reader,
	    json_object_get(r, "context"), NULL, &q.context), &p);
	count(t, REQUEST, (ag_cedar_request_validate(t->schema, &q, &p) ==
	    AG_CEDAR_OK) == json_is_true(json_object_get(r, "validateRequest")),
	    p.text);
	ag_cedar_arena_over(&scratch, scratch_bytes, sizeof(scratch_bytes));
	must(t, "decide", ag_cedar_decide(t->set, t->entities, &q, &scratch, &a),
	    &p);
	count(t, DECISION, a.allow == (strcmp(want, "allow") == 0), want);
	count(t, REASONS, same_ids(t, json_object_get(r, "reason"), a.reasons,
	    a.reason_count, sizeof(*a.reasons)), want);
	count(t, ERRORS, same_ids(t, json_object_get(r, "errors"),
	    a.failure_count == 0 ? NULL : &a.failures->policy, a.failure_count,
	    sizeof(*a.failures)), a.failure_count == 0 ? "none here" :
	    ag_cedar_fault_name(a.failures[0].fault));
}

static void
first_error(void *arg, const struct ag_cedar_finding *f)
{
	char *text = arg;

	if (f->is_error && text[0] == '\0')
		(void)snprintf(text, TEXT_SIZE, "%u:%u %s", f->problem.line,
		    f->problem.column, f->problem.text);
}

static void
run(struct test_case *t)
{
	char text[TEXT_SIZE] = "";
	struct ag_cedar_problem none = { .line = 0 };
	json_t *requests, *r;
	size_t i, errors;

	load(t);
	ag_cedar_arena_init(&t->arena, MEMORY);
	must(t, "validate", ag_cedar_set_validate(t->set, t->schema, MEMORY,
	    first_error, text, &errors), &none);
	count(t, VALIDATION, (errors == 0) == json_is_true(json_object_get(t->json,
	    "shouldValidate")), errors == 0 ? "no error here" : text);
	requests = json_object_get(t->json, "requests");
	json_array_foreach(requests, i, r)
		request(t, r);
	ag_cedar_arena_fini(&t->arena);
	ag_cedar_arena_fini(&t->json_arena);
	ag_cedar_entities_free(&t->entities);
	ag_cedar_entities_free(&t->typed);
	ag_cedar_set_free(&t->set);
	ag_cedar_schema_free(&t->schema);
	json_decref(t->json);
	for (int part = 0; part < PARTS; part++)
		free(t->text[part]);
}

int
main(void)
{
	struct test_case t = { .json = NULL };
	unsigned bad = 0;

	while (next_case(&t))
		run(&t);
	for (int i = 0; i < WHATS; i++) {
		printf("= %s %u %u\n", names[i], right[i], wrong[i]);
		bad += wrong[i];
	}
	return bad == 0 ? 0 : 1;
}
