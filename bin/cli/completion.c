/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a shell completes, printed from the rows: nouns, verbs, options, and
 * the values of options that have few ("human|service"). Everything else that
 * an option takes is left to the shell's own file names.
 */
#include "cli.h"

#include <string.h>

/* In single quotes; one of them within ends the quotes for a moment. */
static void
quoted(const char *text)
{
	putchar('\'');
	for (; *text != '\0'; text++) {
		if (*text == '\'')
			fputs("'\\'", stdout);
		putchar(*text);
	}
	putchar('\'');
}

/* The words of "human|service"; other values are not listed. */
static bool
has_values(const struct cli_option *o)
{
	return o->arg != NULL && strchr(o->arg, '|') != NULL &&
	    strchr(o->arg, '=') == NULL;
}

static void
put_values(const char *arg)
{
	for (; *arg != '\0'; arg++)
		putchar(*arg == '|' ? ' ' : *arg);
}

static void
put_nouns(void)
{
	const struct cli_verb *verb;

	for (unsigned i = 0; (verb = cli_verb_at(i)) != NULL; i++)
		if (cli_is_first(i))
			printf("%s%s", i == 0 ? "" : " ", verb->noun);
}

static void
put_verbs(const char *noun)
{
	const struct cli_verb *verb;
	bool first = true;

	for (unsigned i = 0; (verb = cli_verb_at(i)) != NULL; i++)
		if (strcmp(verb->noun, noun) == 0 && verb->verb[0] != '\0') {
			printf("%s%s", first ? "" : " ", verb->verb);
			first = false;
		}
}

/* ------------------------------------------------------------------- bash */

static void
bash_options(const struct cli_verb *verb)
{
	const struct cli_option *o;
	bool first = true;

	printf("\t'%s %s')\n\t\toptions='", verb->noun, verb->verb);
	for (o = verb->options; o != NULL && o->name != NULL; o++)
		if (!cli_is_positional(o)) {
			printf("%s%s", first ? "" : " ", o->name);
			first = false;
		}
	puts("'");
	for (o = verb->options; o != NULL && o->name != NULL; o++) {
		if (!has_values(o))
			continue;
		if (cli_is_positional(o)) {
			fputs("\t\tvalues='", stdout);
			put_values(o->arg);
			puts("'");
			continue;
		}
		printf("\t\t[ \"$prev\" = %s ] && values='", o->name);
		put_values(o->arg);
		puts("'");
	}
	puts("\t\t;;");
}

static void
bash(void)
{
	const struct cli_verb *verb;

	puts("# shellcheck shell=bash\n"
	     "# bash completion for aegis; printed by: aegis completion bash\n"
	     "_aegis() {\n"
	     "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
	     "\tlocal noun='' verb='' verbs='' options='' values='' words='' word i");
	fputs("\tlocal every='", stdout);
	for (const struct cli_option *o = cli_globals; o->name != NULL; o++)
		printf("%s%s", o == cli_globals ? "" : " ", o->name);
	puts("'\n\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	     "\t\tword=${COMP_WORDS[i]}\n\t\tcase $word in");
	fputs("\t\t", stdout);
	for (const struct cli_option *o = cli_globals, *last = NULL; o->name != NULL; o++)
		if (o->arg != NULL) {
			printf("%s%s", last == NULL ? "" : " | ", o->name);
			last = o;
		}
	puts(") i=$((i + 1)) ;;\n\t\t-*) ;;\n"
	     "\t\t*)\n\t\t\tif [ -z \"$noun\" ]; then\n\t\t\t\tnoun=$word\n"
	     "\t\t\telif [ -z \"$verb\" ]; then\n\t\t\t\tverb=$word\n"
	     "\t\t\tfi\n\t\t\t;;\n\t\tesac\n\tdone");
	puts("\t[ \"$noun\" = keys ] && noun=key\n"
	     "\t[ \"$noun\" = agents ] && noun=agent\n\tcase $noun in");
	for (unsigned i = 0; (verb = cli_verb_at(i)) != NULL; i++)
		if (cli_is_first(i) && cli_noun_has_verbs(verb->noun)) {
			printf("\t%s) verbs='", verb->noun);
			put_verbs(verb->noun);
			puts("' ;;");
		}
	puts("\tesac\n\t[ -n \"$verbs\" ] || verb=''\n"
	     "\tcase \"$noun $verb\" in");
	for (unsigned i = 0; (verb = cli_verb_at(i)) != NULL; i++)
		bash_options(verb);
	fputs("\tesac\n\tif [ -z \"$noun\" ]; then\n\t\twords='", stdout);
	put_nouns();
	puts(" help'\n\telif [ -n \"$verbs\" ] && [ -z \"$verb\" ]; then\n"
	     "\t\twords=$verbs\n\telse\n\t\twords=$values\n\tfi\n"
	     "\t[[ $cur == -* ]] && words=\"$options $every\"\n"
	     "\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
	     "}\ncomplete -o default -F _aegis aegis");
}

/* -------------------------------------------------------------------- zsh */

/* 'name:what it is'; a colon in the name would end it. */
static void
described(const char *name, const char *help)
{
	char text[512];

	(void)snprintf(text, sizeof(text), "%s:%s", name, help == NULL ? "" : help);
	putchar(' ');
	quoted(text);
}

static void
zsh_verb(const struct cli_verb *verb)
{
	const struct cli_option *o;

	printf("\t'%s %s')\n\t\toptions=(", verb->noun, verb->verb);
	for (o = verb->options; o != NULL && o->name != NULL; o++)
		if (!cli_is_positional(o))
			described(o->name, o->help);
	puts(" )");
	for (o = verb->options; o != NULL && o->name != NULL; o++) {
		if (!has_values(o))
			continue;
		if (cli_is_positional(o))
			fputs("\t\tvalues=( ", stdout);
		else
			printf("\t\t[[ ${words[CURRENT - 1]} == %s ]] && values=( ",
			    o->name);
		put_values(o->arg);
		puts(" )");
	}
	puts("\t\t;;");
}

static void
zsh(void)
{
	const struct cli_verb *verb;
	const struct cli_option *o;

	puts("#compdef aegis\n# zsh completion for aegis; printed by: aegis "
	     "completion zsh\n_aegis() {\n"
	     "\tlocal noun=${words[2]} verb=${words[3]}\n"
	     "\tlocal -a nouns verbs options values every");
	fputs("\tnouns=(", stdout);
	for (unsigned i = 0; (verb = cli_verb_at(i)) != NULL; i++)
		if (cli_is_first(i))
			described(verb->noun, cli_noun_help(verb->noun));
	fputs(" )\n\tevery=(", stdout);
	for (o = cli_globals; o->name != NULL; o++)
		described(o->name, o->help);
	puts(" )\n\t[[ $noun == keys ]] && noun=key\n"
	     "\t[[ $noun == agents ]] && noun=agent\n\tcase $noun in");
	for (unsigned i = 0; (verb = cli_verb_at(i)) != NULL; i++) {
		if (!cli_is_first(i) || !cli_noun_has_verbs(verb->noun))
			continue;
		printf("\t%s) verbs=(", verb->noun);
		for (unsigned j = 0; cli_verb_at(j) != NULL; j++)
			if (strcmp(cli_verb_at(j)->noun, verb->noun) == 0 &&
			    cli_verb_at(j)->verb[0] != '\0')
				described(cli_verb_at(j)->verb, cli_verb_at(j)->help);
		puts(" ) ;;");
	}
	puts("\tesac\n\t(( $#verbs )) || verb=''\n"
	     "\tif (( CURRENT == 2 )); then\n\t\t_describe noun nouns\n\t\treturn\n"
	     "\tfi\n\tif (( CURRENT == 3 && $#verbs )) && [[ $verb != -* ]]; then\n"
	     "\t\t_describe verb verbs\n\t\treturn\n\tfi\n"
	     "\tcase \"$noun $verb\" in");
	for (unsigned i = 0; (verb = cli_verb_at(i)) != NULL; i++)
		zsh_verb(verb);
	puts("\tesac\n\tif [[ ${words[CURRENT]} == -* ]]; then\n"
	     "\t\toptions+=( \"${every[@]}\" )\n\t\t_describe option options\n"
	     "\telif (( $#values )); then\n\t\tcompadd -- \"${values[@]}\"\n"
	     "\telse\n\t\t_files\n\tfi\n}\ncompdef _aegis aegis 2> /dev/null\n"
	     "[[ ${funcstack[1]} == _aegis ]] && _aegis \"$@\"\nreturn 0");
}

/* ------------------------------------------------------------------- fish */

static void
fish_option(const char *when, const struct cli_option *o)
{
	printf("complete -c aegis -n %s -l %s%s", when, o->name + 2,
	    o->arg == NULL ? "" : " -r");
	if (has_values(o)) {
		fputs(" -f -a '", stdout);
		put_values(o->arg);
		putchar('\'');
	}
	fputs(" -d ", stdout);
	quoted(o->help == NULL ? "" : o->help);
	putchar('\n');
}

static void
fish_verb(const struct cli_verb *verb)
{
	char when[256];
	const struct cli_option *o;

	(void)snprintf(when, sizeof(when), verb->verb[0] == '\0' ?
	    "'__aegis_at %s'" : "'__aegis_at %s %s'", verb->noun, verb->verb);
	for (o = verb->options; o != NULL && o->name != NULL; o++) {
		if (!cli_is_positional(o)) {
			fish_option(when, o);
			continue;
		}
		if (!has_values(o))
			continue;
		printf("complete -c aegis -n %s -f -a '", when);
		put_values(o->arg);
		puts("'");
	}
}

static void
fish(void)
{
	static const char every[] = "true";
	const struct cli_verb *verb;

	puts("# fish completion for aegis; printed by: aegis completion fish\n"
	     "function __aegis_at --description 'are these the noun and the verb?'\n"
	     "\tset -l words (string match -v -- '-*' (commandline -opc)[2..-1])\n"
	     "\tset -l n (count $argv)\n"
	     "\ttest (count $words) -ge $n; or return 1\n"
	     "\tif test $n -eq 0\n\t\ttest (count $words) -eq 0\n\t\treturn\n"
	     "\tend\n\ttest \"$words[1..$n]\" = \"$argv\"\nend");
	for (unsigned i = 0; (verb = cli_verb_at(i)) != NULL; i++) {
		if (cli_is_first(i)) {
			printf("complete -c aegis -n '__aegis_at' -f -a %s -d ",
			    verb->noun);
			quoted(cli_noun_help(verb->noun));
			putchar('\n');
		}
		if (verb->verb[0] != '\0') {
			printf("complete -c aegis -n '__aegis_at %s; and not "
			       "__fish_seen_subcommand_from ", verb->noun);
			put_verbs(verb->noun);
			printf("' -f -a %s -d ", verb->verb);
			quoted(verb->help);
			putchar('\n');
		}
		fish_verb(verb);
	}
	for (const struct cli_option *o = cli_globals; o->name != NULL; o++)
		fish_option(every, o);
}

static const struct { const char *name; void (*print)(void); } shells[] = {
	{ "bash", bash },
	{ "zsh", zsh },
	{ "fish", fish },
};

enum cli_exit
cli_completion(struct cli *cli)
{
	const char *shell = cli_get(cli, "SHELL");

	for (size_t i = 0; i < sizeof(shells) / sizeof(shells[0]); i++)
		if (strcmp(shells[i].name, shell) == 0) {
			shells[i].print();
			return CLI_OK;
		}
	return cli_fail(CLI_USAGE, "%s: bash, zsh or fish", shell);
}
