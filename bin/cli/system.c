/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verbs about the fleet, the program and the configuration.
 */
#include "cli.h"

#include <stdlib.h>
#include <string.h>
#ifdef AG_HAVE_SUPERVISE
#include <supervise.h>
#endif

static const struct cli_option check_options[] = {
	{ "FILE", "FILE", CLI_LOCAL, NULL, true, "a configuration file", NULL }, { 0 },
};
static const struct cli_option show_options[] = {
	{ "FILE", "FILE", CLI_LOCAL, NULL, false, "defaults only unless given", NULL }, { 0 },
};
static const struct cli_option doc_options[] = {
	{ "PART", "PART", CLI_LOCAL, NULL, false,
	    "rest errors messages routes config fleet events cli; also man, completion", NULL },
	{ 0 },
};

static enum cli_exit
version(struct cli *cli)
{
	if (cli->json)
		printf("{\"product\":\"aegis\",\"version\":\"%s\"}\n", AG_VERSION);
	else
		puts("aegis " AG_VERSION);
	return CLI_OK;
}

static enum cli_exit
config_load(const char *file, struct ag_config **config)
{
	char message[1024] = "";
	ag_err err = ag_config_load(file, config, message, sizeof(message));

	if (err == AG_OK)
		return CLI_OK;
	if (message[0] == '\0')
		return cli_fail(CLI_FAULT, "%s: cannot be read", file);
	return cli_fail(CLI_USAGE, "%s", message);
}

static enum cli_exit
config_check(struct cli *cli)
{
	struct ag_config *config = NULL;
	enum cli_exit status = config_load(cli_get(cli, "FILE"), &config);

	if (status == CLI_OK && !cli->quiet)
		printf("%s: ok\n", cli_get(cli, "FILE"));
	ag_config_free(&config);
	return status;
}

static void
show_value(const struct ag_config *config, const struct ag_config_key *key,
    unsigned row)
{
	bool many = key->type == AG_CFG_STRINGS || key->type == AG_CFG_WORDS;
	const char *value = many ? ag_config_get_item(config, key->path, row, 0)
	                         : ag_config_get_str(config, key->path, row);

	if (value == NULL)
		return;
	fputs(key->path, stdout);
	if (strstr(key->path, "[]") != NULL)
		printf(" (%u)", row + 1);
	printf(": %s", value);
	for (unsigned j = 1; many &&
	    (value = ag_config_get_item(config, key->path, row, j)) != NULL; j++)
		printf(", %s", value);
	printf("  # %s\n", ag_config_get_where(config, key->path, row));
}

/* Every key with its value, and where that comes from. */
static void
show(const struct ag_config *config)
{
	const struct ag_config_key *key;
	const char *brackets;
	char list[64];
	unsigned rows;

	for (unsigned i = 0; (key = ag_config_key_at(i)) != NULL; i++) {
		rows = 1;
		if ((brackets = strstr(key->path, "[].")) != NULL) {
			(void)snprintf(list, sizeof(list), "%.*s",
			    (int)(brackets - key->path), key->path);
			rows = ag_config_get_count(config, list);
		}
		for (unsigned row = 0; row < rows; row++)
			show_value(config, key, row);
	}
}

static enum cli_exit
config_show(struct cli *cli)
{
	struct ag_config *config = NULL;
	enum cli_exit status = config_load(cli_get(cli, "FILE"), &config);

	if (status == CLI_OK)
		show(config);
	ag_config_free(&config);
	return status;
}

#ifdef AG_HAVE_SUPERVISE
#define DISPATCH(noun, function, help, usage) \
	{ noun, "", NULL, NULL, NULL, CLI_SILENT, NULL, NULL, help, function, usage },
#else
#define DISPATCH(noun, function, help, usage)
#endif

const struct cli_verb cli_verbs_system[] = {
	DISPATCH("up", ag_cmd_up, "start the fleet and stay with it",
	    "[--config FILE] [--state DIR] [--listen HOST:PORT] [--detach] "
	    "[--unsafe-dev-identity] [--unsafe-test-clock FILE]")
	DISPATCH("down", ag_cmd_down, "drain and stop the fleet",
	    "[--state DIR] [--timeout 30s]")
	DISPATCH("status", ag_cmd_status, "the fleet's processes",
	    "[--state DIR] [--watch] [--json]")
	DISPATCH("actor", ag_cmd_actor, "let a process of yours join",
	    "enroll NAME --role subscriber|actor [--state DIR]")
	{ "version", "", NULL, NULL, NULL, CLI_SILENT, NULL, version,
	    "which version this is", NULL, NULL },
	{ "config", "check", check_options, NULL, NULL, CLI_SILENT, NULL,
	    config_check, "is the file right?", NULL, NULL },
	{ "config", "show", show_options, NULL, NULL, CLI_SILENT, NULL,
	    config_show, "what it comes to, with all defaults", NULL, NULL },
	{ "doc", "", doc_options, NULL, NULL, CLI_SILENT, NULL, cli_doc,
	    "the reference, printed from the tables", NULL, NULL },
	{ 0 },
};
