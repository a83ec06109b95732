/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The aegis command. Options that every verb takes may stand before the noun
 * or anywhere after it; the verb's row says the rest (cli/cli.h).
 */
#include "cli/cli.h"

#include <curl/curl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORDS_MAX = 1024 };

static void
help(FILE *out)
{
	const struct cli_verb *verb;

	fputs("usage: aegis [OPTION]... NOUN [VERB] [WORD]...\n\n", out);
	for (unsigned i = 0; (verb = cli_verb_at(i)) != NULL; i++)
		fprintf(out, "  %-14s %-15s %s\n", verb->noun, verb->verb, verb->help);
	fputs("\nEvery verb takes --json --server URL --ca-file FILE --token-file "
	      "FILE\n--context NAME --state DIR --timeout 10s --quiet --help.\n"
	      "The reference: aegis doc\n", out);
}

static void
noun_help(const char *noun, FILE *out)
{
	const struct cli_verb *row;

	for (unsigned i = 0; (row = cli_verb_at(i)) != NULL; i++)
		if (cli_verb_find(noun, row->verb) == row)
			cli_usage(row, out);
}

static bool
asks_help(int argc, char **argv)
{
	return argc > 0 && (strcmp(argv[argc - 1], "--help") == 0 ||
	    strcmp(argv[argc - 1], "-h") == 0 || strcmp(argv[0], "help") == 0);
}

static enum cli_exit
unknown(const char *noun, const char *verb)
{
	if (noun == NULL) {
		help(stderr);
		return CLI_USAGE;
	}
	if (!cli_noun_known(noun))
		return cli_fail(CLI_USAGE, "%s: no such noun (aegis --help)", noun);
	(void)cli_fail(CLI_USAGE, "%s %s: no such verb", noun,
	    verb == NULL ? "" : verb);
	noun_help(noun, stderr);
	return CLI_USAGE;
}

/* The supervisor's verbs read their own words; what stood before the noun is
 * handed on. */
static int
dispatch(const struct cli *cli, int argc, char **argv)
{
	char *words[WORDS_MAX + 4];
	int n = 0;

	if (argc > WORDS_MAX)
		return cli_fail(CLI_USAGE, "too many words");
	words[n++] = argv[0];
	if (cli->state != NULL) {
		words[n++] = (char *)"--state";
		words[n++] = (char *)cli->state;
	}
	for (int i = 1; i < argc; i++)
		words[n++] = argv[i];
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

static int
run(struct cli *cli, int argc, char **argv)
{
	enum cli_exit status;
	int used;

	cli->verb = argc > 0 ? find_verb(argc, argv, &used) : NULL;
	if (cli->verb == NULL && (cli->help || asks_help(argc, argv))) {
		argc > 0 && cli_noun_known(argv[0]) ? noun_help(argv[0], stdout)
		                                    : help(stdout);
		return CLI_OK;
	}
	if (cli->verb == NULL)
		return unknown(argc > 0 ? argv[0] : NULL, argc > 1 ? argv[1] : NULL);
	if (cli->verb->dispatch != NULL)
		return dispatch(cli, argc - used + 1, argv + used - 1);
	if ((status = cli_args(cli, argc - used, argv + used)) != CLI_OK)
		return status;
	if (cli->help) {
		cli_usage(cli->verb, stdout);
		printf("%s.\n", cli->verb->help);
		return CLI_OK;
	}
	return cli_run(cli);
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

int
main(int argc, char **argv)
{
	static struct cli cli; /* large */
	const char *token = getenv("AEGIS_TOKEN");
	enum cli_exit status = CLI_OK;
	const struct cli_verb *verb = NULL;
	int i, used;

	if (token != NULL)
		return cli_fail(CLI_USAGE, "AEGIS_TOKEN is refused: the environment is "
		    "not for secrets\nhint: put it into a 0600 file and name it with "
		    "--token-file or AEGIS_TOKEN_FILE");
	for (i = 1; i < argc && argv[i][0] == '-'; i++) {
		if (strcmp(argv[i], "--version") == 0)
			return run(&cli, 1, (char *[]){ (char *)"version", NULL });
		if (!cli_args_global(&cli, argc, argv, &i, &status))
			status = cli_fail(CLI_USAGE, "%s: no such option (aegis --help)",
			    argv[i]);
		if (status != CLI_OK)
			return status;
	}
	if (i < argc)
		verb = find_verb(argc - i, argv + i, &used);
	if (verb == NULL || verb->dispatch == NULL) /* the supervisor has its own */
		(void)signal(SIGINT, on_interrupt);
	(void)curl_global_init(CURL_GLOBAL_DEFAULT);
	status = (enum cli_exit)finish(run(&cli, argc - i, argv + i));
	ag_wipe(cli.token, sizeof(cli.token));
	curl_global_cleanup();
	return (int)status;
}
