/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verbs about policies that need no server (validate, format, test): the same
 * code that the server runs.
 */
#include "policy.h"

#include <vectors.h>

#include <stdlib.h>
#include <string.h>

enum { TEST_BYTES_MAX = 4 << 20, FORMAT_MEMORY = 64 << 20 };

static void
print_finding(struct cli *cli, const struct doc *doc,
    const struct ag_rules_finding *f)
{
	json_t *line;

	if (!cli->json) {
		cli_say("%s:%u:%u: %s: %s", doc->path, f->line, f->column,
		    f->is_error ? "error" : f->kind != NULL ? f->kind :
		    "warning", f->text);
		return;
	}
	line = json_pack("{s:s,s:i,s:i,s:s,s:s?,s:s,s:s}", "file", doc->path,
	    "line", (int)f->line, "column", (int)f->column, "severity",
	    f->is_error ? "error" : "warning", "kind", f->kind, "rule", f->rule,
	    "detail", f->text);
	cli_json_line(line);
	json_decref(line);
}

enum cli_exit
check_docs(struct cli *cli, const struct docs *docs, bool loud)
{
	struct ag_rules_findings *found = malloc(sizeof(*found));
	struct ag_cedar_schema *schema = NULL;
	enum cli_exit status = CLI_OK;
	size_t policies = 0;

	if (found == NULL || ag_rules_schema_new(&schema) != AG_CEDAR_OK) {
		free(found);
		return cli_fail(CLI_FAULT, "no memory");
	}
	for (size_t i = 0; i < docs->count; i++) {
		const struct doc *d = &docs->at[i];
		struct ag_rules_doc doc = { d->name, d->text, d->len };

		if (ag_rules_check(schema, &doc, found) != AG_CEDAR_OK) {
			status = cli_fail(CLI_FAULT, "no memory");
			break;
		}
		for (size_t k = 0; k < found->count; k++)
			print_finding(cli, d, &found->items[k]);
		if (found->errors > 0)
			status = CLI_USAGE;
		policies += found->policies;
	}
	if (status == CLI_OK && loud && !cli->json && !cli->quiet)
		cli_say("%zu documents, %zu policies: valid", docs->count, policies);
	ag_cedar_schema_free(&schema);
	free(found);
	return status;
}

enum cli_exit
policy_validate(struct cli *cli)
{
	struct docs *docs;
	enum cli_exit status = docs_read(cli, &docs);

	if (status != CLI_OK)
		return status;
	status = check_docs(cli, docs, true);
	docs_free(docs);
	return status;
}

/* -------------------------------------------------------------------- lint */

/* "<document>/<id>", or a document alone. */
static const struct doc *
doc_of(const struct docs *docs, const char *rule)
{
	size_t len = strcspn(rule, "/");

	for (size_t i = 0; i < docs->count; i++)
		if (strlen(docs->at[i].name) == len &&
		    strncmp(docs->at[i].name, rule, len) == 0)
			return &docs->at[i];
	return &docs->at[0];
}

static enum cli_exit
lint_files(struct cli *cli, const struct docs *docs)
{
	struct ag_rules_findings *found = malloc(sizeof(*found));
	struct ag_rules_doc set[FILES_MAX];
	struct ag_cedar_schema *schema = NULL;
	enum cli_exit status = CLI_OK;

	for (size_t i = 0; i < docs->count; i++)
		set[i] = (struct ag_rules_doc){ docs->at[i].name,
			docs->at[i].text, docs->at[i].len };
	if (found == NULL || ag_rules_schema_new(&schema) != AG_CEDAR_OK ||
	    ag_rules_lint(schema, set, docs->count, found) != AG_CEDAR_OK)
		status = cli_fail(CLI_FAULT, "no memory");
	for (size_t i = 0; status == CLI_OK && i < found->count; i++)
		print_finding(cli, doc_of(docs, found->items[i].rule),
		    &found->items[i]);
	if (status == CLI_OK && found->errors > 0)
		status = CLI_USAGE;
	else if (status == CLI_OK && found->warnings > 0)
		status = CLI_NO;
	else if (status == CLI_OK && !cli->json && !cli->quiet)
		cli_say("%zu policies: nothing found", found->policies);
	ag_cedar_schema_free(&schema);
	free(found);
	return status;
}

/* Of what is in force. */
static enum cli_exit
lint_server(struct cli *cli)
{
	json_t *body = json_object(), *answer = NULL, *f;
	enum cli_exit status = cli_resolve(cli, true);
	size_t i;

	if (status == CLI_OK)
		status = cli_http(cli, "POST", "/v1/policy-tools/lint", body,
		    &answer);
	json_decref(body);
	if (status != CLI_OK)
		return status;
	json_array_foreach(json_object_get(answer, "findings"), i, f) {
		if (cli->json)
			cli_json_line(f);
		else
			cli_say("%s:%lld:%lld: %s: %s", cli_member_text(f, "rule"),
			    (long long)json_integer_value(json_object_get(f,
			    "line")), (long long)json_integer_value(
			    json_object_get(f, "column")), cli_member_text(f,
			    "kind"), cli_member_text(f, "detail"));
	}
	if (!json_is_true(json_object_get(answer, "clean")))
		status = CLI_NO;
	else if (!cli->json && !cli->quiet)
		cli_say("%lld policies: nothing found",
		    (long long)json_integer_value(json_object_get(answer,
		    "policies")));
	json_decref(answer);
	return status;
}

enum cli_exit
policy_lint(struct cli *cli)
{
	struct docs *docs;
	enum cli_exit status;

	if (cli_get_all(cli, "PATHS")->count == 0)
		return lint_server(cli);
	if ((status = docs_read(cli, &docs)) != CLI_OK)
		return status;
	status = lint_files(cli, docs);
	docs_free(docs);
	return status;
}

/* ----------------------------------------------------------- format and test */

static enum cli_exit
format_one(struct cli *cli, const struct doc *doc, bool check)
{
	struct ag_cedar_problem problem;
	struct ag_cedar_arena arena;
	enum cli_exit status = CLI_OK;
	size_t len;
	char *text;
	FILE *out;

	ag_cedar_arena_init(&arena, FORMAT_MEMORY);
	if (ag_cedar_format(&arena, doc->text, doc->len, &text, &len,
	    &problem) != AG_CEDAR_OK) {
		status = cli_fail(CLI_USAGE, "%s:%u:%u: %s", doc->path,
		    problem.line, problem.column, problem.text);
	} else if (len != doc->len || memcmp(text, doc->text, len) != 0) {
		if (!cli->quiet || check)
			cli_say("%s", doc->path);
		if (check)
			status = CLI_NO;
		else if ((status = cli_create(doc->path, false, &out)) == CLI_OK) {
			fwrite(text, 1, len, out);
			status = cli_finish(out, doc->path);
		}
	}
	ag_cedar_arena_fini(&arena);
	return status;
}

enum cli_exit
policy_format(struct cli *cli)
{
	bool check = cli_get_all(cli, "--check")->count > 0;
	struct docs *docs;
	enum cli_exit status = docs_read(cli, &docs), one;

	if (status != CLI_OK)
		return status;
	for (size_t i = 0; i < docs->count; i++) {
		one = format_one(cli, &docs->at[i], check);
		status = one > status ? one : status;
	}
	docs_free(docs);
	return status;
}

struct testing {
	struct cli *cli;
	const char *file;
};

static void
print_result(void *arg, const struct ag_vector_result *r)
{
	const struct testing *t = arg;

	if (r->good)
		return;
	if (r->problem != NULL)
		cli_say("%s: %s/%zu: %s", t->file, r->name, r->index, r->problem);
	else
		cli_say("%s: %s/%zu: expected %s%s%s, it is %s by %s", t->file,
		    r->name, r->index, r->want, r->want_rule == NULL ? "" : " by ",
		    r->want_rule == NULL ? "" : r->want_rule, r->got,
		    r->got_rule == NULL ? "no policy" : r->got_rule);
}

enum cli_exit
policy_test(struct cli *cli)
{
	const struct cli_value *files = cli_get_all(cli, "FILES");
	struct testing t = { .cli = cli };
	struct ag_cedar_schema *schema = NULL;
	struct ag_vector_sums sums = { 0 };
	enum cli_exit status = CLI_OK;

	if (ag_rules_schema_new(&schema) != AG_CEDAR_OK)
		return cli_fail(CLI_FAULT, "no memory");
	for (unsigned i = 0; i < files->count && status == CLI_OK; i++) {
		char problem[256], *text;
		size_t len;

		t.file = files->at[i];
		status = cli_read(t.file, TEST_BYTES_MAX, &text, &len);
		if (status != CLI_OK)
			break;
		if (!ag_vectors_run(schema, text, len, print_result, &t, &sums,
		    problem))
			status = cli_fail(CLI_USAGE, "%s: %s", t.file, problem);
		free(text);
	}
	ag_cedar_schema_free(&schema);
	if (status != CLI_OK)
		return status;
	if (!cli->quiet)
		cli_say("%zu cases, %zu requests, %zu not as expected", sums.cases,
		    sums.requests, sums.bad);
	return sums.bad > 0 ? CLI_NO : CLI_OK;
}
