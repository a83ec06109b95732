/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verbs about policies: documents on the server, the same as files, and what
 * would be decided. What needs no server (validate, format, test) is the same
 * code that the server runs.
 */
#include "cli.h"

#include <rules.h>
#include <vectors.h>

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	FILES_MAX = AG_RULES_DOCS_MAX,
	TEST_BYTES_MAX = 4 << 20,
	FORMAT_MEMORY = 64 << 20,
	PATH_SIZE = CLI_PATH_MAX + 80,
};
#define ENDING ".cedar"

#define NAME { "NAME", "NAME", CLI_STR, NULL, true, "a document's name", NULL }
#define REASON { "--reason", "TEXT", CLI_STR, "reason", true, "why; recorded", NULL }
#define POLICY_COLUMNS \
	"NAME:name,>VERSION:version,STATE:state,>POLICIES:policies,CHANGED:updated_at,BY:updated_by"

static const struct cli_option list_options[] = {
	{ "--limit", "N", CLI_LOCAL, NULL, false, "at most so many", NULL }, { 0 },
};
static const struct cli_option show_options[] = {
	NAME,
	{ "--version", "N", CLI_INT, "version", false, "an earlier one", NULL },
	{ 0 },
};
static const struct cli_option versions_options[] = {
	NAME, { "--limit", "N", CLI_LOCAL, NULL, false, "at most so many", NULL },
	{ 0 },
};
static const struct cli_option delete_options[] = { NAME, REASON, { 0 } };
static const struct cli_option rollback_options[] = {
	NAME,
	{ "VERSION", "VERSION", CLI_INT, "version", true, "which one to put in force again", NULL },
	REASON,
	{ 0 },
};
static const struct cli_option pull_options[] = {
	{ "DIR", "DIR", CLI_LOCAL, NULL, true, "where <name>.cedar files go", NULL }, { 0 },
};
#define PATHS { "PATHS", "PATH", CLI_WORDS, NULL, true, "<name>.cedar files, or folders of them", NULL }
static const struct cli_option diff_options[] = { PATHS, { 0 } };
static const struct cli_option push_options[] = {
	PATHS,
	{ "--reason", "TEXT", CLI_LOCAL, NULL, false, "why; recorded", NULL },
	{ "--yes", NULL, CLI_LOCAL, NULL, false, "do not ask", NULL },
	{ 0 },
};
static const struct cli_option format_options[] = {
	PATHS,
	{ "--check", NULL, CLI_LOCAL, NULL, false, "only say which are not in the one form; exit 1", NULL },
	{ 0 },
};
static const struct cli_option test_options[] = {
	{ "FILES", "FILE", CLI_WORDS, NULL, true, "tests as JSON files", NULL }, { 0 },
};
static const struct cli_option authz_options[] = {
	{ "--principal", "P", CLI_STR, "principal", false, "an id or name; oneself unless given", NULL },
	{ "--action", "A", CLI_STR, "action", true, "such as key.sign", NULL },
	{ "--resource", "R", CLI_STR, "resource", false, "id, alias or name of what it is about", NULL },
	{ "--at", "T", CLI_TIME, "context.occurred_at", false, "another time than now", NULL },
	{ "--source", "ADDRESS", CLI_STR, "context.source_address", false, "from another address", NULL },
	{ "--plane", "NAME", CLI_STR, "context.plane", false, "through another plane than rest", NULL },
	{ "--items", "N", CLI_INT, "context.items", false, "a batch of so many", NULL },
	{ "--stepped-up", NULL, CLI_FLAG, "context.stepped_up", false, "with a second factor", NULL },
	{ 0 },
};
static const struct cli_option effective_options[] = {
	{ "P", "P", CLI_STR, NULL, true, "a principal's id or name", NULL },
	{ "--limit", "N", CLI_LOCAL, NULL, false, "at most so many", NULL },
	{ 0 },
};

/* ------------------------------------------------------------------- files */

struct doc {
	char name[AG_RULES_NAME_MAX + 1];
	char path[PATH_SIZE];
	char *text;
	size_t len;
};
struct docs {
	struct doc at[FILES_MAX];
	size_t count;
};

static void
docs_free(struct docs *docs)
{
	for (size_t i = 0; i < docs->count; i++)
		free(docs->at[i].text);
	free(docs);
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(((const struct doc *)a)->name,
	    ((const struct doc *)b)->name);
}

static enum cli_exit
doc_add(struct docs *docs, const char *path)
{
	const char *base = strrchr(path, '/') == NULL ? path :
	    strrchr(path, '/') + 1;
	size_t len = strlen(base), end = sizeof(ENDING) - 1;
	struct doc *doc = &docs->at[docs->count];

	if (len <= end || strcmp(base + len - end, ENDING) != 0 ||
	    len - end >= sizeof(doc->name))
		return cli_fail(CLI_USAGE, "%s: a document is a file "
		    "<name>.cedar", path);
	if (docs->count == FILES_MAX)
		return cli_fail(CLI_USAGE, "at most %d documents", FILES_MAX);
	memset(doc, 0, sizeof(*doc));
	memcpy(doc->name, base, len - end);
	if (!ag_name_valid(doc->name))
		return cli_fail(CLI_USAGE, "%s: a document's name is "
		    "[a-z0-9][a-z0-9._-]{0,62}", path);
	(void)snprintf(doc->path, sizeof(doc->path), "%s", path);
	docs->count++;
	return cli_read(path, AG_RULES_TEXT_MAX, &doc->text, &doc->len);
}

static enum cli_exit
docs_of_folder(struct docs *docs, const char *path)
{
	enum cli_exit status = CLI_OK;
	DIR *dir = opendir(path);
	struct dirent *entry;

	if (dir == NULL)
		return cli_fail(CLI_USAGE, "%s: %s", path, strerror(errno));
	while (status == CLI_OK && (entry = readdir(dir)) != NULL) {
		size_t len = strlen(entry->d_name), end = sizeof(ENDING) - 1;
		char file[PATH_SIZE];

		if (len <= end || strcmp(entry->d_name + len - end, ENDING) != 0)
			continue;
		if (snprintf(file, sizeof(file), "%s/%s", path, entry->d_name) >=
		    (int)sizeof(file))
			status = cli_fail(CLI_USAGE, "%s: too long", path);
		else
			status = doc_add(docs, file);
	}
	(void)closedir(dir);
	return status;
}

/* All documents that the words name, by name; the caller frees. */
static enum cli_exit
docs_read(struct cli *cli, struct docs **out)
{
	const struct cli_value *paths = cli_get_all(cli, "PATHS");
	struct docs *docs = calloc(1, sizeof(*docs));
	enum cli_exit status = docs == NULL ? CLI_FAULT : CLI_OK;

	for (unsigned i = 0; i < paths->count && status == CLI_OK; i++) {
		struct stat st;

		if (stat(paths->at[i], &st) != 0)
			status = cli_fail(CLI_USAGE, "%s: %s",
			    paths->at[i], strerror(errno));
		else if (S_ISDIR(st.st_mode))
			status = docs_of_folder(docs, paths->at[i]);
		else
			status = doc_add(docs, paths->at[i]);
	}
	if (status == CLI_OK && docs->count == 0)
		status = cli_fail(CLI_USAGE, "there is no <name>.cedar file");
	if (status == CLI_OK)
		qsort(docs->at, docs->count, sizeof(docs->at[0]), by_name);
	for (size_t i = 1; status == CLI_OK && i < docs->count; i++)
		if (strcmp(docs->at[i].name, docs->at[i - 1].name) == 0)
			status = cli_fail(CLI_USAGE, "%s and %s are one document",
			    docs->at[i - 1].path, docs->at[i].path);
	*out = docs;
	if (status != CLI_OK && docs != NULL) {
		docs_free(docs);
		*out = NULL;
	}
	return status;
}

/* ----------------------------------------------------------------- offline */

static void
print_finding(struct cli *cli, const struct doc *doc,
    const struct ag_rules_finding *f)
{
	json_t *line;

	if (!cli->json) {
		cli_say("%s:%u:%u: %s: %s", doc->path, f->line, f->column,
		    f->is_error ? "error" : "warning", f->text);
		return;
	}
	line = json_pack("{s:s,s:i,s:i,s:s,s:s,s:s}", "file", doc->path, "line",
	    (int)f->line, "column", (int)f->column, "severity",
	    f->is_error ? "error" : "warning", "rule", f->rule, "detail",
	    f->text);
	cli_json_line(line);
	json_decref(line);
}

static enum cli_exit
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

static enum cli_exit
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

static enum cli_exit
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

static enum cli_exit
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

/* ------------------------------------------------------------------ server */

static long long
version_of(const json_t *policy)
{
	return (long long)json_integer_value(json_object_get(policy, "version"));
}

static enum cli_exit
get_doc(struct cli *cli, const char *name, json_t **answer)
{
	char path[CLI_URL_MAX];

	(void)snprintf(path, sizeof(path), "/v1/policies/%s", name);
	return cli_http(cli, "GET", path, NULL, answer);
}

/* All names; an array of objects without text. */
static enum cli_exit
get_list(struct cli *cli, json_t **items)
{
	json_t *answer = NULL;
	enum cli_exit status = cli_http(cli, "GET", "/v1/policies?limit=1000",
	    NULL, &answer);

	*items = status == CLI_OK ?
	    json_incref(json_object_get(answer, "items")) : NULL;
	json_decref(answer);
	return status;
}

static enum cli_exit
policy_show(struct cli *cli)
{
	json_t *answer = NULL;
	enum cli_exit status = cli_request(cli, &answer);

	if (status == CLI_OK && cli->json)
		cli_json_line(answer);
	else if (status == CLI_OK)
		fputs(cli_member_text(answer, "text"), stdout);
	json_decref(answer);
	return status;
}

static enum cli_exit
policy_schema(struct cli *cli)
{
	json_t *answer = NULL;
	enum cli_exit status = cli_request(cli, &answer);

	if (status == CLI_OK && cli->json)
		cli_json_line(answer);
	else if (status == CLI_OK)
		fputs(cli_member_text(answer, "schema"), stdout);
	json_decref(answer);
	return status;
}

static enum cli_exit
pull_one(struct cli *cli, const char *dir, const char *name)
{
	char file[PATH_SIZE];
	json_t *answer = NULL;
	const char *text;
	enum cli_exit status;
	FILE *out;

	if (!ag_name_valid(name)) /* it becomes a file's name */
		return cli_fail(CLI_FAULT, "the server names a document \"%s\"",
		    name);
	if ((status = get_doc(cli, name, &answer)) != CLI_OK)
		return status;
	(void)snprintf(file, sizeof(file), "%s/%s" ENDING, dir, name);
	text = json_string_value(json_object_get(answer, "text"));
	if ((status = cli_create(file, false, &out)) == CLI_OK) {
		if (text != NULL)
			fputs(text, out);
		status = cli_finish(out, file);
	}
	if (status == CLI_OK && !cli->quiet)
		cli_say("%s version %lld", file, version_of(answer));
	json_decref(answer);
	return status;
}

static enum cli_exit
policy_pull(struct cli *cli)
{
	const char *dir = cli_get(cli, "DIR");
	json_t *items, *item;
	enum cli_exit status;
	size_t i;

	if ((status = cli_resolve(cli, true)) != CLI_OK ||
	    (status = get_list(cli, &items)) != CLI_OK)
		return status;
	(void)mkdir(dir, 0777);
	json_array_foreach(items, i, item) {
		if ((status = pull_one(cli, dir, cli_member_text(item, "name"))) !=
		    CLI_OK)
			break;
	}
	json_decref(items);
	return status;
}

/* '=' the same, '~' another text, '+' not on the server. */
static enum cli_exit
compare(struct cli *cli, const json_t *items, const struct doc *doc, char *how)
{
	json_t *item, *answer = NULL;
	const char *text;
	enum cli_exit status;
	size_t i;

	*how = '+';
	json_array_foreach((json_t *)(uintptr_t)items, i, item) {
		if (strcmp(cli_member_text(item, "name"), doc->name) != 0)
			continue;
		if ((status = get_doc(cli, doc->name, &answer)) != CLI_OK)
			return status;
		text = json_string_value(json_object_get(answer, "text"));
		*how = text != NULL && strcmp(text, doc->text) == 0 ? '=' : '~';
		json_decref(answer);
	}
	return CLI_OK;
}

/* What a push would do, a line each; *changes of them. */
static enum cli_exit
differences(struct cli *cli, const struct docs *docs, char how[FILES_MAX],
    size_t *changes)
{
	json_t *items = NULL;
	enum cli_exit status = get_list(cli, &items);

	*changes = 0;
	for (size_t i = 0; i < docs->count && status == CLI_OK; i++) {
		status = compare(cli, items, &docs->at[i], &how[i]);
		if (status != CLI_OK || how[i] == '=')
			continue;
		(*changes)++;
		if (!cli->quiet)
			cli_say("%c %s", how[i], docs->at[i].name);
	}
	json_decref(items);
	return status;
}

static enum cli_exit
policy_diff(struct cli *cli)
{
	char how[FILES_MAX];
	struct docs *docs;
	size_t changes;
	enum cli_exit status = docs_read(cli, &docs);

	if (status != CLI_OK)
		return status;
	if ((status = cli_resolve(cli, true)) == CLI_OK)
		status = differences(cli, docs, how, &changes);
	docs_free(docs);
	return status != CLI_OK ? status : changes > 0 ? CLI_NO : CLI_OK;
}

static bool
agreed(struct cli *cli, size_t changes)
{
	char line[8] = "";

	if (cli_get_all(cli, "--yes")->count > 0 || isatty(STDIN_FILENO) != 1)
		return true;
	fprintf(stderr, "Put %zu documents in force? [y/N] ", changes);
	return fgets(line, sizeof(line), stdin) != NULL && line[0] == 'y';
}

static enum cli_exit
push_one(struct cli *cli, const struct doc *doc)
{
	const char *reason = cli_get(cli, "--reason");
	char path[CLI_URL_MAX];
	json_t *answer = NULL, *body = json_pack("{s:s%,s:s?}", "text", doc->text,
	    doc->len, "reason", reason);
	enum cli_exit status;

	if (body == NULL)
		return cli_fail(CLI_USAGE, "%s: it is not UTF-8", doc->path);
	if (reason == NULL)
		(void)json_object_del(body, "reason");
	(void)snprintf(path, sizeof(path), "/v1/policies/%s", doc->name);
	status = cli_http(cli, "PUT", path, body, &answer);
	if (status == CLI_OK && cli->json)
		cli_json_line(answer);
	else if (status == CLI_OK && !cli->quiet)
		cli_say("%s version %lld is in force", doc->name,
		    version_of(answer));
	json_decref(body);
	json_decref(answer);
	return status;
}

/* All are checked before the first is sent. */
static enum cli_exit
policy_push(struct cli *cli)
{
	char how[FILES_MAX];
	struct docs *docs;
	size_t changes = 0;
	enum cli_exit status = docs_read(cli, &docs);

	if (status != CLI_OK)
		return status;
	if ((status = check_docs(cli, docs, false)) == CLI_OK &&
	    (status = cli_resolve(cli, true)) == CLI_OK)
		status = differences(cli, docs, how, &changes);
	if (status == CLI_OK && changes > 0 && !agreed(cli, changes))
		status = cli_fail(CLI_NO, "nothing was changed");
	for (size_t i = 0; i < docs->count && status == CLI_OK; i++)
		if (how[i] != '=')
			status = push_one(cli, &docs->at[i]);
	docs_free(docs);
	return status;
}

/* ------------------------------------------------------------------- authz */

static enum cli_exit
authz(struct cli *cli)
{
	json_t *answer = NULL;
	const json_t *result;
	enum cli_exit status = cli_request(cli, &answer);

	if (status != CLI_OK)
		return status;
	result = json_object_get(answer, "result");
	if (result == NULL)
		result = answer;
	if (cli->json)
		cli_json_line(answer);
	else if (result != answer)
		cli_object(answer);
	else if (!cli->quiet)
		cli_line("DECISION:decision,WHY:reason_code,RULE:rule,"
		    "POLICIES:policy_version", answer);
	if (!json_is_true(json_object_get(result, "allowed")))
		status = CLI_NO;
	json_decref(answer);
	return status;
}

const struct cli_verb cli_verbs_policy[] = {
	{ "policy", "list", list_options, "GET", "/v1/policies", CLI_TABLE,
	    POLICY_COLUMNS, NULL, "the documents in force", NULL, NULL },
	{ "policy", "show", show_options, "GET", "/v1/policies/{NAME}", CLI_SILENT,
	    NULL, policy_show, "the text of one", NULL, NULL },
	{ "policy", "versions", versions_options, "GET",
	    "/v1/policies/{NAME}/versions", CLI_TABLE, POLICY_COLUMNS, NULL,
	    "what it said before", NULL, NULL },
	{ "policy", "pull", pull_options, NULL, NULL, CLI_SILENT, NULL, policy_pull,
	    "write all documents into a folder", NULL, "policies" },
	{ "policy", "diff", diff_options, NULL, NULL, CLI_SILENT, NULL, policy_diff,
	    "which files are not what is in force; exit 1", NULL, "policies" },
	{ "policy", "push", push_options, NULL, NULL, CLI_SILENT, NULL, policy_push,
	    "put the files that differ in force, if all are valid", NULL,
	    "policies --reason \"payroll moves\"" },
	{ "policy", "rollback", rollback_options, "POST",
	    "/v1/policies/{NAME}/rollback", CLI_LINE, POLICY_COLUMNS, NULL,
	    "put an earlier version in force again", NULL, NULL },
	{ "policy", "delete", delete_options, "DELETE", "/v1/policies/{NAME}",
	    CLI_LINE, POLICY_COLUMNS, NULL,
	    "take it out of force; without any, everything is denied", NULL, NULL },
	{ "policy", "validate", diff_options, NULL, NULL, CLI_SILENT, NULL,
	    policy_validate, "check files; needs no server", NULL, "payroll.cedar" },
	{ "policy", "format", format_options, NULL, NULL, CLI_SILENT, NULL,
	    policy_format, "bring files into the one form; needs no server", NULL,
	    "payroll.cedar" },
	{ "policy", "test", test_options, NULL, NULL, CLI_SILENT, NULL, policy_test,
	    "run tests of policies; needs no server", NULL, "payroll.json" },
	{ "policy", "schema", NULL, "GET", "/v1/policy-schema", CLI_SILENT, NULL,
	    policy_schema, "what policies may speak of", NULL, NULL },
	{ "authz", "check", authz_options, "POST", "/v1/authz/check", CLI_SILENT,
	    NULL, authz, "would it be allowed? exit 0 or 1", NULL,
	    "--principal alice --action key.sign --resource payroll" },
	{ "authz", "explain", authz_options, "POST", "/v1/authz/explain",
	    CLI_SILENT, NULL, authz, "the same, and why", NULL,
	    "--principal alice --action key.sign --resource payroll" },
	{ "authz", "effective", effective_options, "GET",
	    "/v1/principals/{P}/effective", CLI_TABLE,
	    "TYPE:type,ALIAS:alias|id,ALLOW:allow,STEP-UP:step_up", NULL,
	    "all that a principal may do", NULL, "alice" },
	{ 0 },
};
