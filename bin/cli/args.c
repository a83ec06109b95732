/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words to options. A verb's own options win over those that every verb
 * takes, except where the value says otherwise: `key list --state DIR` has a
 * slash in it, `key encrypt --context NAME` has no `=`.
 */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

struct global {
	const char *name;
	size_t offset;
	bool flag;
};

#define TEXT(n, member) { n, offsetof(struct cli, member), false }
#define FLAG(n, member) { n, offsetof(struct cli, member), true }
static const struct global globals[] = {
	FLAG("--json", json),
	FLAG("--quiet", quiet),
	FLAG("--help", help),
	FLAG("-h", help),
	TEXT("--server", server),
	TEXT("--ca-file", ca_file),
	TEXT("--token-file", token_file),
	TEXT("--context", context),
	TEXT("--state", state),
	TEXT("--timeout", timeout),
};

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

bool
cli_args_global(struct cli *cli, int argc, char **argv, int *i,
    enum cli_exit *exit_status)
{
	const char *word = argv[*i];
	const char **text;

	for (size_t g = 0; g < sizeof(globals) / sizeof(globals[0]); g++) {
		if (!same_name(word, globals[g].name))
			continue;
		*exit_status = CLI_OK;
		if (globals[g].flag) {
			*(bool *)((char *)cli + globals[g].offset) = true;
			return true;
		}
		text = (const char **)((char *)cli + globals[g].offset);
		*text = value_of(argc, argv, i);
		if (*text == NULL || **text == '\0')
			*exit_status = cli_fail(CLI_USAGE, "%s needs a value",
			    globals[g].name);
		return true;
	}
	return false;
}

static bool
is_positional(const struct cli_option *option)
{
	return option->name[0] != '-';
}

static bool
repeats(const struct cli_option *option)
{
	return option->type == CLI_LIST || option->type == CLI_WORDS ||
	    option->type == CLI_PAIRS;
}

static const struct cli_option *
option_named(const struct cli_verb *verb, const char *word, unsigned *row)
{
	const struct cli_option *o = verb->options;

	for (unsigned i = 0; o != NULL && o[i].name != NULL; i++)
		if (!is_positional(&o[i]) && same_name(word, o[i].name)) {
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

	if (v->count > 0 && !repeats(option))
		return cli_fail(CLI_USAGE, "%s is given twice", option->name);
	if (v->count == CLI_REPEAT_MAX)
		return cli_fail(CLI_USAGE, "%s is given more than %d times",
		    option->name, CLI_REPEAT_MAX);
	v->at[v->count++] = value;
	return CLI_OK;
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
	return cli_fail(CLI_USAGE, "%s: no such option here (aegis %s%s%s --help)",
	    argv[*i], cli->verb->noun, cli->verb->verb[0] == '\0' ? "" : " ",
	    cli->verb->verb);
}

static enum cli_exit
take_word(struct cli *cli, const char *word, unsigned *next)
{
	const struct cli_option *o = cli->verb->options;
	unsigned row = *next;

	while (o != NULL && o[row].name != NULL && !is_positional(&o[row]))
		row++;
	if (o == NULL || o[row].name == NULL)
		return cli_fail(CLI_USAGE, "%s: one word too many", word);
	*next = repeats(&o[row]) ? row : row + 1;
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

void
cli_usage(const struct cli_verb *verb, FILE *out)
{
	const struct cli_option *o = verb->options;

	fprintf(out, "usage: aegis %s%s%s", verb->noun,
	    verb->verb[0] == '\0' ? "" : " ", verb->verb);
	if (verb->usage != NULL)
		fprintf(out, " %s", verb->usage);
	for (; o != NULL && o->name != NULL; o++)
		fprintf(out, " %s%s%s%s%s%s", o->required ? "" : "[",
		    is_positional(o) ? "" : o->name,
		    is_positional(o) || o->arg == NULL ? "" : " ",
		    o->arg == NULL ? "" : o->arg, o->required ? "" : "]",
		    repeats(o) ? "…" : "");
	fputc('\n', out);
}
