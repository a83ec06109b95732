/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The aegis command. Options that every verb takes may stand before the noun
 * or anywhere after it; the verb's row says the rest (cli/cli.h).
 */
#include "cli/cli.h"

#include <curl/curl.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORDS_MAX = 1024 };

static bool
asks_help(int argc, char **argv)
{
	return argc > 0 && (strcmp(argv[argc - 1], "--help") == 0 ||
	    strcmp(argv[argc - 1], "-h") == 0);
}

static enum cli_exit
unknown(const char *noun, const char *verb)
{
	const char *near;

	if (noun == NULL) {
		cli_help_first(stderr);
		return CLI_USAGE;
	}
	if (!cli_noun_known(noun)) {
		near = cli_near_noun(noun);
		return cli_fail(CLI_USAGE, "%s: no such noun\nhint: %s%s%saegis --help",
		    noun, near == NULL ? "" : "did you mean ",
		    near == NULL ? "" : near, near == NULL ? "" : "? ");
	}
	near = verb == NULL ? NULL : cli_near_verb(noun, verb);
	if (near != NULL)
		return cli_fail(CLI_USAGE, "%s %s: no such verb\n"
		    "hint: did you mean %s? aegis %s --help", noun, verb, near, noun);
	(void)cli_fail(CLI_USAGE, "%s %s%s", noun, verb == NULL ? "needs a verb"
	                                                       : verb,
	    verb == NULL ? "" : ": no such verb");
	cli_help_noun(noun, stderr);
	return CLI_USAGE;
}

/* A verb that is a program of its own gets its options as words. */
static int
dispatch(const struct cli *cli)
{
	const struct cli_option *o = cli->verb->options;
	char *words[WORDS_MAX + 4];
	int n = 0;

	words[n++] = (char *)cli->verb->verb;
	for (unsigned i = 0; o != NULL && o[i].name != NULL; i++)
		for (unsigned j = 0; j < cli->values[i].count && n < WORDS_MAX; j++) {
			if (!cli_is_positional(&o[i]))
				words[n++] = (char *)o[i].name;
			if (o[i].arg != NULL)
				words[n++] = (char *)cli->values[i].at[j];
		}
	words[n] = NULL;
	return cli->verb->dispatch(n, words);
}

/* Finds the verb at argv: "key sign", or a noun alone. used: words it took. */
static const struct cli_verb *
find_verb(int argc, char **argv, int *used)
{
	const struct cli_verb *verb = NULL;

	*used = 2;
	if (argc > 1)
		verb = cli_verb_find(argv[0], argv[1]);
	if (verb == NULL) {
		*used = 1;
		verb = cli_verb_find(argv[0], "");
	}
	return verb;
}

/* `aegis help`, `aegis help key`, `aegis help key sign`, and --help wherever
 * there is no verb to take it. */
static bool
help(struct cli *cli, int argc, char **argv)
{
	const struct cli_verb *verb = NULL;
	bool named = argc > 0 && strcmp(argv[0], "help") == 0;
	int used;

	if (!named && (cli->verb != NULL || !(cli->help || asks_help(argc, argv))))
		return false;
	argc -= named;
	argv += named;
	if (named && argc > 0)
		verb = find_verb(argc, argv, &used);
	if (verb != NULL && (used == 2 || argc == 1))
		cli_help(verb, stdout);
	else if (argc > 0 && cli_noun_known(argv[0]))
		cli_help_noun(argv[0], stdout);
	else
		cli_help_all(stdout);
	return true;
}

static bool
takes_words(const struct cli_verb *verb)
{
	const struct cli_option *o = verb->options;

	for (; o != NULL && o->name != NULL; o++)
		if (cli_is_positional(o))
			return true;
	return false;
}

static int
run(struct cli *cli, int argc, char **argv)
{
	enum cli_exit status;
	int used;

	cli->verb = argc > 0 ? find_verb(argc, argv, &used) : NULL;
	if (help(cli, argc, argv))
		return CLI_OK;
	if (cli->verb == NULL)
		return unknown(argc > 0 ? argv[0] : NULL, argc > 1 ? argv[1] : NULL);
	if (argc > 1 && used == 1 && argv[1][0] != '-' && !takes_words(cli->verb) &&
	    cli_noun_has_verbs(argv[0]))
		return unknown(argv[0], argv[1]);
	if ((status = cli_args(cli, argc - used, argv + used)) != CLI_OK)
		return status;
	if (cli->help) {
		cli_help(cli->verb, stdout);
		return CLI_OK;
	}
	return cli->verb->dispatch != NULL ? dispatch(cli) : (int)cli_run(cli);
}

static void
on_interrupt(int sig)
{
	(void)sig;
	_exit(CLI_INTERRUPTED);
}

/* Everything printed must have arrived. */
static int
finish(int status)
{
	if ((fflush(stdout) != 0 || ferror(stdout) != 0) && status == CLI_OK)
		return cli_fail(CLI_FAULT, "standard output: cannot write");
	return status;
}

/* Options before the noun. */
static enum cli_exit
take_globals(struct cli *cli, int argc, char **argv, int *i)
{
	enum cli_exit status = CLI_OK;
	const char *near;

	for (; *i < argc && argv[*i][0] == '-' && status == CLI_OK; (*i)++) {
		if (cli_args_global(cli, argc, argv, i, &status))
			continue;
		near = cli_near_option(NULL, argv[*i]);
		status = cli_fail(CLI_USAGE, "%s: no such option\n"
		    "hint: %s%s%saegis --help", argv[*i],
		    near == NULL ? "" : "did you mean ", near == NULL ? "" : near,
		    near == NULL ? "" : "? ");
	}
	return status;
}

int
main(int argc, char **argv)
{
	static struct cli cli; /* large */
	static char *version[] = { (char *)"version", NULL };
	enum cli_exit status;
	int i = 1;

	(void)setlocale(LC_CTYPE, "C.UTF-8"); /* how wide a character is */
	if (getenv("AEGIS_TOKEN") != NULL)
		return cli_fail(CLI_USAGE, "AEGIS_TOKEN is refused: the environment is "
		    "not for secrets\nhint: put it into a 0600 file and name it with "
		    "--token-file or AEGIS_TOKEN_FILE");
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		argv = version;
		argc = 1;
		i = 0;
	}
	if ((status = take_globals(&cli, argc, argv, &i)) != CLI_OK)
		return (int)status;
	(void)signal(SIGINT, on_interrupt); /* the supervisor blocks it */
	(void)curl_global_init(CURL_GLOBAL_DEFAULT);
	status = (enum cli_exit)finish(run(&cli, argc - i, argv + i));
	ag_wipe(cli.token, sizeof(cli.token));
	curl_global_cleanup();
	return (int)status;
}
