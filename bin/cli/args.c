/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words to options. A verb's own options win over those that every verb
 * takes, except where the value says otherwise: `key list --state DIR` has a
 * slash in it, `key encrypt --context NAME` has no `=`.
 */
#include "cli.h"

#include <string.h>

#define GLOBAL(name, arg, help) { name, arg, CLI_LOCAL, NULL, false, help, NULL }
const struct cli_option cli_globals[] = {
	GLOBAL("--json", NULL, "the server's answer; of a list one item a line"),
	GLOBAL("--csv", NULL, "of a list: its columns, for other programs (RFC 4180)"),
	GLOBAL("--quiet", NULL, "no heads, no remarks"),
	GLOBAL("--help", NULL, "this"),
	GLOBAL("--server", "URL", "which server (AEGIS_SERVER)"),
	GLOBAL("--ca-file", "FILE", "whom its certificate must be from (AEGIS_CA_FILE)"),
	GLOBAL("--token-file", "FILE", "as whom: a 0600 file; - is stdin (AEGIS_TOKEN_FILE)"),
	GLOBAL("--context", "NAME", "a server and token that login kept (AEGIS_CONTEXT)"),
	GLOBAL("--state", "DIR", "the state directory of a fleet here (AEGIS_STATE)"),
	GLOBAL("--approval", "ID", "people agreed to this request: apr_…"),
	GLOBAL("--break-glass", "ID", "override, with what break-glass open gave: brk_…"),
	GLOBAL("--why", "TEXT", "what it is for, in your words; whoever approves reads it"),
	GLOBAL("--code-file", "FILE", "a second factor's code, or the challenge that a key answered; - is stdin"),
	GLOBAL("--timeout", "D", "how long to wait; 10s unless given"),
	{ 0 },
};

/* Where each of them goes, in the same order. */
static const struct { size_t offset; bool flag; } places[] = {
	{ offsetof(struct cli, json), true },
	{ offsetof(struct cli, csv), true },
	{ offsetof(struct cli, quiet), true },
	{ offsetof(struct cli, help), true },
	{ offsetof(struct cli, server), false },
	{ offsetof(struct cli, ca_file), false },
	{ offsetof(struct cli, token_file), false },
	{ offsetof(struct cli, context), false },
	{ offsetof(struct cli, state), false },
	{ offsetof(struct cli, approval), false },
	{ offsetof(struct cli, break_glass), false },
	{ offsetof(struct cli, why), false },
	{ offsetof(struct cli, code_file), false },
	{ offsetof(struct cli, timeout), false },
};
_Static_assert(sizeof(places) / sizeof(places[0]) + 1 ==
    sizeof(cli_globals) / sizeof(cli_globals[0]), "a place for each option");

static size_t
name_len(const char *word)
{
	const char *equals = strchr(word, '=');

	return equals == NULL ? strlen(word) : (size_t)(equals - word);
}

static bool
same_name(const char *word, const char *name)
{
	return strlen(name) == name_len(word) &&
	    strncmp(word, name, name_len(word)) == 0;
}

/* The value of the option at argv[*i]: after "=", or the next word. */
static const char *
value_of(int argc, char **argv, int *i)
{
	const char *equals = strchr(argv[*i], '=');

	if (equals != NULL)
		return equals + 1;
	return *i + 1 < argc ? argv[++*i] : NULL;
}

static const struct cli_option *
global_named(const char *word, size_t *row)
{
	for (*row = 0; cli_globals[*row].name != NULL; (*row)++)
		if (same_name(word, cli_globals[*row].name) ||
		    (strcmp(word, "-h") == 0 && places[*row].offset ==
		        offsetof(struct cli, help)))
			return &cli_globals[*row];
	return NULL;
}

bool
cli_args_global(struct cli *cli, int argc, char **argv, int *i,
    enum cli_exit *exit_status)
{
	size_t row;
	const struct cli_option *option = global_named(argv[*i], &row);
	char *place = (char *)cli + (option == NULL ? 0 : places[row].offset);
	const char *value;

	if (option == NULL)
		return false;
	*exit_status = CLI_OK;
	if (places[row].flag) {
		*(bool *)place = true;
		if (strchr(argv[*i], '=') != NULL)
			*exit_status = cli_fail(CLI_USAGE, "%s takes no value",
			    option->name);
		return true;
	}
	value = value_of(argc, argv, i);
	if (value == NULL || *value == '\0')
		*exit_status = cli_fail(CLI_USAGE, "%s needs a value", option->name);
	*(const char **)place = value;
	return true;
}

bool
cli_is_positional(const struct cli_option *option)
{
	return option->name[0] != '-';
}

bool
cli_repeats(const struct cli_option *option)
{
	return option->type == CLI_LIST || option->type == CLI_WORDS ||
	    option->type == CLI_WHOLE || option->type == CLI_PAIRS;
}

static const struct cli_option *
option_named(const struct cli_verb *verb, const char *word, unsigned *row)
{
	const struct cli_option *o = verb->options;

	for (unsigned i = 0; o != NULL && o[i].name != NULL; i++)
		if (!cli_is_positional(&o[i]) && same_name(word, o[i].name)) {
			*row = i;
			return &o[i];
		}
	return NULL;
}

/* Does the value say that the option for every verb is meant? */
static bool
means_global(const char *name, const char *value)
{
	if (value == NULL)
		return false;
	if (strcmp(name, "--state") == 0)
		return strchr(value, '/') != NULL;
	if (strcmp(name, "--context") == 0)
		return strchr(value, '=') == NULL;
	return false;
}

static enum cli_exit
add_value(struct cli *cli, unsigned row, const char *value)
{
	const struct cli_option *option = &cli->verb->options[row];
	struct cli_value *v = &cli->values[row];

	if (v->count > 0 && !cli_repeats(option))
		return cli_fail(CLI_USAGE, "%s is given twice", option->name);
	if (v->count == CLI_REPEAT_MAX)
		return cli_fail(CLI_USAGE, "%s is given more than %d times",
		    option->name, CLI_REPEAT_MAX);
	v->at[v->count++] = value;
	return CLI_OK;
}

static enum cli_exit
unknown_option(const struct cli_verb *verb, const char *word)
{
	const char *near = cli_near_option(verb, word);

	return cli_fail(CLI_USAGE, "%.*s: no such option of aegis %s%s%s\n"
	    "hint: %s%s%saegis %s%s%s --help", (int)name_len(word), word,
	    verb->noun, verb->verb[0] == '\0' ? "" : " ", verb->verb,
	    near == NULL ? "" : "did you mean ", near == NULL ? "" : near,
	    near == NULL ? "" : "? ", verb->noun,
	    verb->verb[0] == '\0' ? "" : " ", verb->verb);
}

static enum cli_exit
take_option(struct cli *cli, int argc, char **argv, int *i)
{
	const struct cli_option *option;
	enum cli_exit status;
	const char *value;
	unsigned row = 0;
	int at = *i;

	option = option_named(cli->verb, argv[*i], &row);
	if (option != NULL && option->arg == NULL) {
		if (strchr(argv[*i], '=') != NULL)
			return cli_fail(CLI_USAGE, "%s takes no value", option->name);
		return add_value(cli, row, "true");
	}
	if (option != NULL) {
		value = value_of(argc, argv, &at);
		if (!means_global(option->name, value)) {
			*i = at;
			if (value == NULL)
				return cli_fail(CLI_USAGE, "%s needs a value",
				    option->name);
			return add_value(cli, row, value);
		}
	}
	if (cli_args_global(cli, argc, argv, i, &status))
		return status;
	return unknown_option(cli->verb, argv[*i]);
}

static enum cli_exit
take_word(struct cli *cli, const char *word, unsigned *next)
{
	const struct cli_option *o = cli->verb->options;
	unsigned row = *next;

	while (o != NULL && o[row].name != NULL && !cli_is_positional(&o[row]))
		row++;
	if (o == NULL || o[row].name == NULL)
		return cli_fail(CLI_USAGE, "%s: nothing is expected here\n"
		    "hint: aegis %s%s%s --help", word, cli->verb->noun,
		    cli->verb->verb[0] == '\0' ? "" : " ", cli->verb->verb);
	*next = cli_repeats(&o[row]) ? row : row + 1;
	return add_value(cli, row, word);
}

static enum cli_exit
check_required(const struct cli *cli)
{
	const struct cli_option *o = cli->verb->options;

	for (unsigned i = 0; o != NULL && o[i].name != NULL; i++)
		if (o[i].required && cli->values[i].count == 0) {
			(void)cli_fail(CLI_USAGE, "%s is missing", o[i].name);
			cli_usage(cli->verb, stderr);
			return CLI_USAGE;
		}
	return CLI_OK;
}

enum cli_exit
cli_args(struct cli *cli, int argc, char **argv)
{
	enum cli_exit status = CLI_OK;
	bool words_only = false;
	unsigned next = 0;

	for (int i = 0; i < argc && status == CLI_OK; i++) {
		if (!words_only && strcmp(argv[i], "--") == 0)
			words_only = true;
		else if (!words_only && argv[i][0] == '-' && argv[i][1] != '\0')
			status = take_option(cli, argc, argv, &i);
		else
			status = take_word(cli, argv[i], &next);
	}
	if (status != CLI_OK || cli->help)
		return status;
	return check_required(cli);
}

const struct cli_value *
cli_get_all(const struct cli *cli, const char *name)
{
	const struct cli_option *o = cli->verb->options;

	for (unsigned i = 0; o != NULL && o[i].name != NULL; i++)
		if (strcmp(o[i].name, name) == 0)
			return &cli->values[i];
	ag_panic("aegis %s %s has no option %s", cli->verb->noun,
	    cli->verb->verb, name);
}

const char *
cli_get(const struct cli *cli, const char *name)
{
	const struct cli_value *v = cli_get_all(cli, name);

	return v->count == 0 ? NULL : v->at[0];
}
