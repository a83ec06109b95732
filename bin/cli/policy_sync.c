/* SPDX-License-Identifier: Apache-2.0 */
/* Documents on the server and the same as files: pull, diff, push. */
#include "policy.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENDING POLICY_ENDING

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
pull_signature(const char *dir, const char *name, const char *signature)
{
	char file[PATH_SIZE];
	enum cli_exit status;
	FILE *out;

	(void)snprintf(file, sizeof(file), "%s/%s" ENDING SIGNATURE_ENDING, dir,
	    name);
	if ((status = cli_create(file, false, &out)) != CLI_OK)
		return status;
	fputs(signature, out);
	return cli_finish(out, file);
}

static enum cli_exit
pull_one(struct cli *cli, const char *dir, const char *name)
{
	char file[PATH_SIZE];
	json_t *answer = NULL;
	const char *text, *signature;
	enum cli_exit status;
	FILE *out;

	if (!ag_name_valid(name)) /* it becomes a file's name */
		return cli_fail(CLI_FAULT, "the server names a document \"%s\"",
		    name);
	if ((status = get_doc(cli, name, &answer)) != CLI_OK)
		return status;
	(void)snprintf(file, sizeof(file), "%s/%s" ENDING, dir, name);
	signature = json_string_value(json_object_get(answer, "signature"));
	text = json_string_value(json_object_get(answer, "text"));
	if ((status = cli_create(file, false, &out)) == CLI_OK) {
		if (text != NULL)
			fputs(text, out);
		status = cli_finish(out, file);
	}
	if (status == CLI_OK && signature != NULL)
		status = pull_signature(dir, name, signature);
	if (status == CLI_OK && !cli->quiet)
		cli_say("%s version %lld", file, version_of(answer));
	json_decref(answer);
	return status;
}

enum cli_exit
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

/* A signature that is only there counts as it is; one that is here must be. */
static bool
is_same(const json_t *answer, const struct doc *doc)
{
	const char *text = json_string_value(json_object_get(answer, "text"));
	const char *signature = json_string_value(json_object_get(answer,
	    "signature"));

	return text != NULL && strcmp(text, doc->text) == 0 &&
	    (doc->signature == NULL || (signature != NULL &&
	    strcmp(signature, doc->signature) == 0));
}

/* '=' the same, '~' another text or signature, '+' not on the server. */
static enum cli_exit
compare(struct cli *cli, const json_t *items, const struct doc *doc, char *how)
{
	json_t *item, *answer = NULL;
	enum cli_exit status;
	size_t i;

	*how = '+';
	json_array_foreach((json_t *)(uintptr_t)items, i, item) {
		if (strcmp(cli_member_text(item, "name"), doc->name) != 0)
			continue;
		if ((status = get_doc(cli, doc->name, &answer)) != CLI_OK)
			return status;
		*how = is_same(answer, doc) ? '=' : '~';
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

enum cli_exit
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
	json_t *answer = NULL, *body = json_pack("{s:s%,s:s*,s:s*}", "text",
	    doc->text, doc->len, "reason", reason, "signature", doc->signature);
	enum cli_exit status;

	if (body == NULL)
		return cli_fail(CLI_USAGE, "%s: it is not UTF-8", doc->path);
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
enum cli_exit
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
