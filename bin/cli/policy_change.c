/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verbs about policies that are not in force: what they would have decided
 * (simulate), and what others' policies are in Cedar (import).
 */
#include "policy.h"

#include <import.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ACTORS_MAX = 256 /* in the sums at the end; more are counted as one */ };

/* ---------------------------------------------------------------- simulate */

/* Of one actor: how many decisions would be stricter or milder. */
struct actor {
	char name[128];
	long long count;
};
struct sums {
	struct actor actors[ACTORS_MAX];
	size_t actor_count;
	long long others, decisions, changed, unknown;
};

static void
count_actor(struct sums *sums, const char *name)
{
	size_t i = 0;

	while (i < sums->actor_count && strcmp(sums->actors[i].name, name) != 0)
		i++;
	if (i == ACTORS_MAX) {
		sums->others++;
		return;
	}
	if (i == sums->actor_count) {
		(void)snprintf(sums->actors[i].name,
		    sizeof(sums->actors[i].name), "%.127s", name);
		sums->actor_count++;
	}
	sums->actors[i].count++;
}

static long long
number(const json_t *object, const char *name)
{
	return (long long)json_integer_value(json_object_get(object, name));
}

static void
print_changes(struct cli *cli, const json_t *answer, struct sums *sums)
{
	json_t *items = json_object_get(answer, "items"), *item;
	size_t i;

	json_array_foreach(items, i, item) {
		count_actor(sums, cli_member_text(item, "actor_name"));
		if (cli->json)
			cli_json_line(item);
		else if (!cli->quiet)
			cli_line("AT:occurred_at,WHO:actor_name,ACTION:action,"
			    "RESOURCE:resource,BEFORE:before,BY:before_rule,"
			    "AFTER:after,BY:after_rule,EVENT:event_id", item);
	}
	sums->decisions += number(answer, "decisions");
	sums->changed += number(answer, "changed");
	sums->unknown += number(answer, "unknown");
	if (isatty(STDERR_FILENO) == 1 && !cli->quiet)
		fprintf(stderr, "\r%lld %%", number(answer, "percent"));
}

static void
print_sums(const struct cli *cli, const struct sums *sums)
{
	if (isatty(STDERR_FILENO) == 1 && !cli->quiet)
		fputs("\r     \r", stderr);
	if (cli->json || cli->quiet)
		return;
	for (size_t i = 0; i < sums->actor_count; i++)
		cli_say("%s: %lld would change", sums->actors[i].name,
		    sums->actors[i].count);
	if (sums->others > 0)
		cli_say("others: %lld would change", sums->others);
	cli_say("%lld decisions, %lld would change, %lld cannot be made again",
	    sums->decisions, sums->changed, sums->unknown);
}

static json_t *
simulate_body(struct cli *cli, const struct docs *docs)
{
	json_t *body = json_object(), *list = json_array();
	json_t *since = NULL;

	for (size_t i = 0; i < docs->count; i++)
		(void)json_array_append_new(list, json_pack("{s:s,s:s%}", "name",
		    docs->at[i].name, "text", docs->at[i].text,
		    docs->at[i].len));
	(void)json_object_set_new(body, "documents", list);
	(void)json_object_set_new(body, "limit", json_integer(1000));
	if (cli_get_all(cli, "--alone")->count > 0)
		(void)json_object_set_new(body, "alone", json_true());
	if (cli_get(cli, "--since") != NULL &&
	    cli_time("--since", cli_get(cli, "--since"), &since) != CLI_OK) {
		json_decref(body);
		return NULL;
	}
	if (since != NULL)
		(void)json_object_set_new(body, "since", since);
	return body;
}

/* Page by page, until all of the time was looked at. */
enum cli_exit
policy_simulate(struct cli *cli)
{
	struct sums *sums = calloc(1, sizeof(*sums));
	struct docs *docs = NULL;
	json_t *body = NULL, *answer = NULL, *next;
	enum cli_exit status = sums == NULL ? CLI_FAULT : docs_read(cli, &docs);

	if (status == CLI_OK)
		status = cli_resolve(cli, true);
	if (status == CLI_OK && (body = simulate_body(cli, docs)) == NULL)
		status = CLI_USAGE;
	while (status == CLI_OK) {
		status = cli_http(cli, "POST", "/v1/policy-tools/simulate", body,
		    &answer);
		if (status != CLI_OK)
			break;
		print_changes(cli, answer, sums);
		next = json_object_get(answer, "next_cursor");
		if (!json_is_string(next))
			break;
		(void)json_object_set(body, "cursor", next);
		json_decref(answer);
		answer = NULL;
	}
	json_decref(answer);
	json_decref(body);
	if (status == CLI_OK) {
		print_sums(cli, sums);
		status = sums->changed > 0 ? CLI_NO : CLI_OK;
	}
	free(sums);
	if (docs != NULL)
		docs_free(docs);
	return status;
}

/* ------------------------------------------------------------------ import */

static enum cli_exit
import_said(struct cli *cli, const char *path, struct ag_import *r)
{
	const char *to = cli_get(cli, "--out");
	enum cli_exit status = CLI_OK;
	FILE *out = stdout;

	if (r->text == NULL)
		return cli_fail(CLI_USAGE, "%s:%u:%u: %s", path, r->line,
		    r->column, r->problem);
	for (size_t i = 0; i < r->note_count && !cli->quiet; i++)
		fprintf(stderr, "%s: %s\n", path, r->notes[i]);
	if (to != NULL && (status = cli_create(to, false, &out)) != CLI_OK)
		return status;
	fputs(r->text, out);
	return to == NULL ? CLI_OK : cli_finish(out, to);
}

/* Needs no server. */
enum cli_exit
policy_import(struct cli *cli)
{
	const char *path = cli_get(cli, "FILE");
	struct ag_import *result = calloc(1, sizeof(*result));
	enum cli_exit status;
	char *text = NULL;
	size_t len;

	if (result == NULL)
		return cli_fail(CLI_FAULT, "no memory");
	status = cli_read(path, AG_RULES_TEXT_MAX, &text, &len);
	if (status == CLI_OK)
		status = ag_import_yaml(text, len, result) ?
		    import_said(cli, path, result) :
		    cli_fail(CLI_FAULT, "no memory");
	free(text);
	free(result->text);
	free(result);
	return status;
}
