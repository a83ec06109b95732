/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verbs about the fleet, the program and the configuration.
 */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

static const struct cli_option check_options[] = {
	{ "FILE", "FILE", CLI_LOCAL, NULL, true, "a configuration file", NULL }, { 0 },
};
static const struct cli_option show_options[] = {
	{ "FILE", "FILE", CLI_LOCAL, NULL, false, "defaults only unless given", NULL }, { 0 },
};
static const struct cli_option init_options[] = {
	{ "--out", "FILE", CLI_LOCAL, NULL, false, "what is written; aegis.yaml unless given", NULL }, { 0 },
};
static const struct cli_option doc_options[] = {
	{ "PART", "PART", CLI_LOCAL, NULL, false,
	    "rest mcp errors messages routes config fleet events cli; or man", NULL },
	{ "NOUN", "NOUN", CLI_LOCAL, NULL, false, "of man: whose page", NULL },
	{ "--out", "DIR", CLI_LOCAL, NULL, false, "of man: all pages, as files there", NULL },
	{ 0 },
};
static const struct cli_option completion_options[] = {
	{ "SHELL", "bash|zsh|fish", CLI_LOCAL, NULL, true, "for which shell", NULL }, { 0 },
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

	json_t *answer = json_pack("{s:s, s:b}", "file", cli_get(cli, "FILE"),
	    "ok", 1);

	if (status == CLI_OK && cli->json)
		cli_json_line(answer);
	else if (status == CLI_OK && !cli->quiet)
		cli_say("%s: ok", cli_get(cli, "FILE"));
	json_decref(answer);
	ag_config_free(&config);
	return status;
}

static json_t *
values_of(const struct ag_config *config, const struct ag_config_key *key,
    unsigned row)
{
	json_t *values = json_array();
	const char *value;

	if (key->type != AG_CFG_STRINGS && key->type != AG_CFG_WORDS) {
		value = ag_config_get_str(config, key->path, row);
		if (value != NULL)
			(void)json_array_append_new(values, json_string(value));
		return values;
	}
	for (unsigned j = 0;
	    (value = ag_config_get_item(config, key->path, row, j)) != NULL; j++)
		(void)json_array_append_new(values, json_string(value));
	return values;
}

/* rest.listen: 127.0.0.1:8470  # default */
static void
show_value(const struct cli *cli, const struct ag_config *config,
    const struct ag_config_key *key, unsigned row)
{
	json_t *values = values_of(config, key, row), *item;
	const char *where = ag_config_get_where(config, key->path, row);
	bool listed = strstr(key->path, "[]") != NULL;
	size_t i;

	if (json_array_size(values) > 0 && cli->json) {
		item = json_pack("{s:s, s:o, s:O, s:s}", "key", key->path, "row",
		    listed ? json_integer(row + 1) : json_null(), "values", values,
		    "where", where);
		cli_json_line(item);
		json_decref(item);
	} else if (json_array_size(values) > 0) {
		fputs(key->path, stdout);
		if (listed)
			printf(" (%u)", row + 1);
		json_array_foreach(values, i, item) {
			fputs(i == 0 ? ": " : ", ", stdout);
			cli_put(stdout, json_string_value(item));
		}
		fputs("  # ", stdout);
		cli_put(stdout, where);
		putchar('\n');
	}
	json_decref(values);
}

/* Every key with its value, and where that comes from. */
static void
show(const struct cli *cli, const struct ag_config *config)
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
			show_value(cli, config, key, row);
	}
}

static enum cli_exit
config_show(struct cli *cli)
{
	struct ag_config *config = NULL;
	enum cli_exit status = config_load(cli_get(cli, "FILE"), &config);

	if (status == CLI_OK)
		show(cli, config);
	ag_config_free(&config);
	return status;
}

const struct cli_verb cli_verbs_system[] = {
	{ "version", "", NULL, NULL, NULL, CLI_SILENT, NULL, version,
	    "which version this is", NULL, NULL },
	{ "config", "init", init_options, NULL, NULL, CLI_SILENT, NULL,
	    cli_config_init, "answer a few questions, get a configuration file", NULL,
	    "--out aegis.yaml" },
	{ "config", "check", check_options, NULL, NULL, CLI_SILENT, NULL,
	    config_check, "is the file right?", NULL, NULL },
	{ "config", "show", show_options, NULL, NULL, CLI_SILENT, NULL,
	    config_show, "what it comes to, with all defaults", NULL, NULL },
	{ "doc", "", doc_options, NULL, NULL, CLI_SILENT, NULL, cli_doc,
	    "the reference, and the manual, printed from the tables", NULL,
	    "man key" },
	{ "completion", "", completion_options, NULL, NULL, CLI_SILENT, NULL,
	    cli_completion, "words that a shell completes; source what it prints",
	    NULL, "bash" },
	{ 0 },
};
