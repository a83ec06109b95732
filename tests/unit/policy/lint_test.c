/* SPDX-License-Identifier: Apache-2.0 */
/* Lint: what is found in labelled documents, and that nothing else is. */
#include "rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const struct {
	const char *text, *found;
} rows[] = {
#define LINT(text, found) { text, found },
#include "lint_rows.def"
#undef LINT
};

static struct ag_cedar_schema *schema;

static int
setup(void **state)
{
	return ag_rules_schema_new(&schema) == AG_CEDAR_OK ? 0 : -1;
}

static int
teardown(void **state)
{
	ag_cedar_schema_free(&schema);
	return 0;
}

static struct ag_rules_findings *
lint(const struct ag_rules_doc *docs, size_t count)
{
	static struct ag_rules_findings found;

	assert_int_equal(ag_rules_lint(schema, docs, count, &found), AG_CEDAR_OK);
	return &found;
}

static struct ag_rules_findings *
lint_text(const char *text)
{
	struct ag_rules_doc doc = { "doc", text, strlen(text) };

	return lint(&doc, 1);
}

static void
print(const struct ag_rules_findings *found, char *out, size_t size)
{
	size_t at = 0;

	out[0] = '\0';
	for (size_t i = 0; i < found->count && at < size; i++) {
		const struct ag_rules_finding *f = &found->items[i];

		at += (size_t)snprintf(out + at, size - at, "%s%s %s %u:%u",
		    i == 0 ? "" : "\n", f->kind == NULL ? "error" : f->kind,
		    f->rule, f->line, f->column);
	}
}

/* Row by row exactly what is written there: no finding too few or too many. */
static void
test_labelled(void **state)
{
	char text[4096];
	bool good = true;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct ag_rules_findings *found = lint_text(rows[i].text);

		print(found, text, sizeof(text));
		if (strcmp(text, rows[i].found) == 0)
			continue;
		good = false;
		print_message("%s\nexpected: %s\nfound:    %s %s\n", rows[i].text,
		    rows[i].found, text, found->count > 0 ?
		    found->items[0].text : "");
	}
	assert_true(good);
}

/* Does this request come to the same with and without the i-th policy? */
static void
decide(const char *text, int64_t at_ms, uint32_t items, const char *plane,
    bool stepped_up, struct ag_rules_answer *out)
{
	static _Alignas(16) uint8_t scratch[AG_RULES_SCRATCH];
	struct ag_rules_doc doc = { "doc", text, strlen(text) };
	struct ag_rules_ask ask = { .tenant = "default", .action = "key.sign",
		.at_ms = at_ms, .items = items, .plane = plane,
		.stepped_up = stepped_up, .resource = { .about = AG_RULES_KEY,
		.id = "key_1", .name = "k", .spec = "EC_P256", .state = "Active",
		.backend = "software" } };
	struct ag_rules *rules;

	ask.principal.count = 1;
	ask.principal.links[0] = (struct ag_rules_link){ AG_RULES_HUMAN, "hum_1",
		"bob", NULL };
	assert_int_equal(ag_rules_new(&doc, 1, &rules), AG_CEDAR_OK);
	ag_rules_decide(rules, &ask, scratch, out);
	ag_rules_free(&rules);
}

/* The policy at this line is taken away. Lines are policies in these rows. */
static void
without_line(const char *text, uint32_t line, char out[4096])
{
	size_t n = 0;
	uint32_t at = 1;

	for (; *text != '\0'; text++) {
		if (at != line)
			out[n++] = *text;
		at += *text == '\n';
	}
	out[n] = '\0';
	assert_true(n < 4096);
}

/* What is said to be of no use is of none: over a grid of requests, decisions
 * are the same without it. */
static void
test_findings_are_true(void **state)
{
	static const char *const planes[] = { "rest", "mcp", "kmip" };
	static const uint32_t items[] = { 1, 4, 6, 60, 101 };
	size_t compared = 0;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct ag_rules_findings *f = lint_text(rows[i].text);
		struct ag_rules_answer a, b;
		char rest[4096];

		if (f->count != 1 || strcmp(f->items[0].kind, "vacuous") == 0 ||
		    strcmp(f->items[0].kind, "overlapping_windows") == 0)
			continue;
		without_line(rows[i].text, f->items[0].line, rest);
		for (int g = 0; g < 24 * 5 * 3 * 2; g++) {
			int64_t at = g % 24 * INT64_C(3600000) + 1;
			uint32_t n = items[g / 24 % 5];
			const char *plane = planes[g / 120 % 3];

			decide(rows[i].text, at, n, plane, g / 360 == 1, &a);
			decide(rest, at, n, plane, g / 360 == 1, &b);
			assert_int_equal(a.decision, b.decision);
			compared++;
		}
	}
	assert_true(compared > 10000);
}

/* Several documents are one set; places are those of their own document. */
static void
test_documents(void **state)
{
	static const char wide[] = "permit (principal, action, resource);",
	    narrow[] = "// a word\n\n  permit (principal is Aegis::Agent, action, "
	    "resource);";
	struct ag_rules_doc docs[] = { { "a", narrow, sizeof(narrow) - 1 },
		{ "b", wide, sizeof(wide) - 1 } };
	const struct ag_rules_findings *f = lint(docs, 2);

	assert_int_equal(f->count, 1);
	assert_int_equal(f->errors, 0);
	assert_int_equal(f->policies, 2);
	assert_string_equal(f->items[0].kind, "shadowed");
	assert_string_equal(f->items[0].rule, "a/0");
	assert_int_equal(f->items[0].line, 3);
	assert_int_equal(f->items[0].column, 3);
	assert_non_null(strstr(f->items[0].text, "b/0 (1:1) says all of this"));
	assert_int_equal(lint(docs, 0)->count, 0);
}

/* A document that is wrong is not looked at further: its errors are said. */
static void
test_errors(void **state)
{
	const struct ag_rules_findings *f = lint_text("permit (principal, action, "
	    "resource) when { principal.rol == 1 };");

	assert_int_equal(f->errors, 1);
	assert_true(f->items[0].is_error);
	assert_null(f->items[0].kind);
	f = lint_text("permit");
	assert_int_equal(f->errors, 1);
	assert_string_equal(f->items[0].rule, "doc");
}

/* As many policies as a tenant may have, all alike: bounded and quick. */
static void
test_many(void **state)
{
	static const char one[] =
	    "permit(principal,action,resource)when{context.items<9};\n";
	char *text = calloc(AG_RULES_COUNT_MAX, sizeof(one));
	const struct ag_rules_findings *f;

	for (size_t i = 0; i < AG_RULES_COUNT_MAX; i++)
		strcpy(text + i * (sizeof(one) - 1), one);
	f = lint_text(text);
	assert_int_equal(f->warnings, AG_RULES_COUNT_MAX - 1);
	assert_int_equal(f->count, AG_RULES_FINDINGS_MAX - 1);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_labelled),
		cmocka_unit_test(test_findings_are_true),
		cmocka_unit_test(test_documents),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
