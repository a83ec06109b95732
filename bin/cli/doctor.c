/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aegis doctor: every question of bin/doctor, and whether the server answers.
 * Says what is wrong and what to type; exit 1 if something is.
 */
#include "cli.h"

#include <doctor.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <supervise.h>

static const struct { const char *word, *colour; } grades[] = {
	[AG_FINE] = { "ok", "\033[32m" },
	[AG_UNKNOWN] = { "–", "\033[2m" },
	[AG_ODD] = { "odd", "\033[33m" },
	[AG_WRONG] = { "wrong", "\033[31m" },
};
enum { GRADES = AG_WRONG + 1, NAME_COLUMN = 17 };

/* ------------------------------------------------------- what is only asked
 * with a client in hand */

static const char *
first_unwell(const json_t *answer)
{
	const json_t *check;
	size_t i;

	json_array_foreach(json_object_get(answer, "checks"), i, check)
		if (strcmp(cli_member_text(check, "status"), "ok") != 0)
			return cli_member_text(check, "name");
	return "something";
}

/* On this machine it is the fleet who shows the fleet's own certificate and has
 * its key, by whatever name and whoever signed it. */
static void
trust_own(struct cli *cli, const struct ag_site *site)
{
	const char *file = site->config == NULL ? NULL :
	    ag_config_get_str(site->config, "rest.tls.certificate_file", 0);

	if (cli->server != NULL || cli->ca_file != NULL || file == NULL ||
	    file[0] == '\0')
		return;
	(void)snprintf(cli->ca, sizeof(cli->ca), "%s", file);
	cli->nameless = true;
}

/* Does the fleet answer where it says it does, or where --server says that its
 * clients find it? */
static void
look_server(struct cli *cli, const struct ag_site *site,
    struct ag_finding *finding)
{
	const char *word = cli_member_text(site->status, "rest"), *why;
	json_t *answer = NULL;
	long status;

	if (word[0] == '\0') {
		ag_find(finding, AG_UNKNOWN, "no fleet runs");
		return;
	}
	if (cli->server != NULL)
		word = cli->server;
	(void)snprintf(cli->url, sizeof(cli->url), "%s", word);
	if (cli->ca_file != NULL)
		(void)snprintf(cli->ca, sizeof(cli->ca), "%s", cli->ca_file);
	trust_own(cli, site);
	why = cli_http_probe(cli, "/healthz/ready", &status, &answer);
	if (why != NULL) {
		ag_find_wrong(finding, 0, "%s: %s", word, why);
		ag_find_type(finding, strncmp(word, "https", 5) == 0 ?
		    "aegis doctor --ca-file CA; else aegis status" :
		    "aegis status; then the fleet's log");
	} else if (status != 200) {
		ag_find_wrong(finding, 0, "%s answers, but %s is %s", word,
		    first_unwell(answer), cli_member_text(answer, "status"));
		ag_find_type(finding, "curl %s/healthz/ready", word);
	} else if (strcmp(cli_member_text(answer, "status"), "ok") != 0) {
		ag_find(finding, AG_ODD, "%s answers, %s because of %s", word,
		    cli_member_text(answer, "status"), first_unwell(answer));
		ag_find_type(finding, "curl %s/healthz/ready", word);
	} else {
		ag_find(finding, AG_FINE, "%s answers, all checks are ok", word);
	}
	json_decref(answer);
}

/* ---------------------------------------------------------------- printing */

static void
print_json(const char *name, const struct ag_finding *finding)
{
	static const char *const words[] = { "ok", "unknown", "odd", "wrong" };
	json_t *line = json_pack("{s:s, s:s, s:s, s:o}", "name", name, "status",
	    words[finding->grade], "detail", finding->what, "type",
	    finding->type[0] == '\0' ? json_null() : json_string(finding->type));

	cli_json_line(line);
	json_decref(line);
}

static void
print_text(const char *name, const struct ag_finding *finding)
{
	bool colour = cli_colour(stdout);
	const char *word = grades[finding->grade].word;

	fputs(colour ? grades[finding->grade].colour : "", stdout);
	cli_put(stdout, word);
	fputs(colour ? "\033[0m" : "", stdout);
	printf("%*s%s%*s", 7 - (int)cli_width(word), "", name,
	    NAME_COLUMN - (int)cli_width(name), "");
	cli_put(stdout, finding->what);
	fputs("\n", stdout);
	if (finding->grade < AG_ODD || finding->type[0] == '\0')
		return;
	fputs("       type: ", stdout);
	cli_put(stdout, finding->type);
	fputs("\n", stdout);
}

static void
print(const struct cli *cli, const char *name, const struct ag_finding *finding,
    unsigned counts[GRADES])
{
	counts[finding->grade]++;
	if (cli->json)
		print_json(name, finding);
	else if (!cli->quiet || finding->grade >= AG_ODD)
		print_text(name, finding);
}

/* ------------------------------------------------------------------ the verb */

/* The file that was named, or that the running fleet has. */
static struct ag_config *
load(struct ag_site *site, char *mistake, size_t size)
{
	struct ag_config *config = NULL;
	const char *running = cli_member_text(site->status, "config");

	if (site->config_file == NULL && running[0] != '\0')
		site->config_file = running;
	if (ag_config_load(site->config_file, &config, mistake, size) == AG_OK)
		return config;
	if (mistake[0] == '\0')
		(void)snprintf(mistake, size, "%s: cannot be read",
		    site->config_file);
	return NULL;
}

enum cli_exit
cli_doctor(struct cli *cli)
{
	char dir[PATH_MAX], mistake[1024] = "";
	unsigned counts[GRADES] = { 0 };
	struct ag_finding finding;
	const struct ag_check *check;
	struct ag_config *config;
	json_t *status;
	int exit_status;
	struct ag_site site = { .state_dir = dir, .config_mistake = mistake,
		.config_file = cli_get(cli, "--config"),
		.listen = cli_get(cli, "--listen") };

	if (!ag_state_dir_find(cli->state, dir, sizeof(dir)))
		return cli_fail(CLI_USAGE, "--state: no usable directory (name one)");
	status = ag_control_ask(NULL, cli->state, json_pack("{s:s}", "verb",
	    "status"), &exit_status, NULL);
	site.status = status;
	config = load(&site, mistake, sizeof(mistake));
	site.config = config;
	for (unsigned i = 0; (check = ag_check_at(i)) != NULL; i++) {
		memset(&finding, 0, sizeof(finding));
		check->look(&site, &finding);
		print(cli, check->name, &finding, counts);
	}
	memset(&finding, 0, sizeof(finding));
	look_server(cli, &site, &finding);
	print(cli, "server", &finding, counts);
	if (!cli->json && !cli->quiet)
		printf("%u wrong, %u odd, %u ok\n", counts[AG_WRONG], counts[AG_ODD],
		    counts[AG_FINE]);
	ag_config_free(&config);
	json_decref(status);
	return counts[AG_WRONG] > 0 ? CLI_NO : CLI_OK;
}
