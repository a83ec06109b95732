/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The manual, in roff: aegis(1) for the whole, aegis-NOUN(1) for the verbs of
 * each noun, from the rows that the command itself reads.
 */
#include "cli.h"

#include <string.h>
#include <wchar.h>

/* Text that means nothing to roff: no escapes, no requests, ASCII only. */
static void
put(FILE *out, const char *text)
{
	mbstate_t state = { 0 };
	wchar_t c;
	size_t n;

	if (*text == '.' || *text == '\'')
		fputs("\\&", out);
	for (; *text != '\0'; text += n) {
		n = mbrtowc(&c, text, strlen(text), &state);
		if (n == 0 || n > strlen(text))
			ag_panic("a row's text is not UTF-8: %s", text);
		if (c == '\\')
			fputs("\\e", out);
		else if (c == '-')
			fputs("\\-", out);
		else if (c >= 0x80)
			fprintf(out, "\\[u%04X]", (unsigned)c);
		else
			fputc((int)c, out);
	}
}

static void
line(FILE *out, const char *request, const char *text)
{
	fputs(request, out);
	put(out, text);
	fputc('\n', out);
}

/* ------------------------------------------------------------- the parts */

/* \fB--in\fR \fIFILE\fR */
static void
term(const struct cli_option *o, FILE *out)
{
	if (!cli_is_positional(o)) {
		fputs("\\fB", out);
		put(out, o->name);
		fputs("\\fR", out);
	}
	if (o->arg != NULL) {
		fputs(cli_is_positional(o) ? "\\fI" : " \\fI", out);
		put(out, o->arg);
		fputs("\\fR", out);
	}
}

static void
synopsis(const struct cli_verb *verb, FILE *out)
{
	const struct cli_option *o = verb->options;

	fputs(".B aegis ", out);
	put(out, verb->noun);
	fputs(verb->verb[0] == '\0' ? "" : " ", out);
	put(out, verb->verb);
	fputc('\n', out);
	for (; o != NULL && o->name != NULL; o++) {
		fputs(o->required ? "" : "[", out);
		term(o, out);
		fputs(o->required ? "" : "]", out);
		put(out, cli_repeats(o) ? "…" : "");
		fputc('\n', out);
	}
}

static void
options(const struct cli_option *o, FILE *out)
{
	for (; o != NULL && o->name != NULL; o++) {
		fputs(".TP\n", out);
		term(o, out);
		put(out, cli_repeats(o) ? "…" : "");
		fputc('\n', out);
		line(out, "", o->help == NULL ? "" : o->help);
	}
}

static void
exits(FILE *out)
{
	fputs(".SH EXIT STATUS\n", out);
	for (const struct cli_exit_row *row = cli_exits; row->meaning != NULL; row++) {
		fprintf(out, ".TP\n.B %d\n", (int)row->status);
		line(out, "", row->meaning);
	}
}

/* The example is plain text first, so that it is escaped like any other. */
static void
example(const struct cli_verb *verb, const char *request, FILE *out)
{
	char text[CLI_URL_MAX] = "";
	FILE *memory = fmemopen(text, sizeof(text), "w");

	if (memory == NULL)
		return;
	cli_example(verb, memory);
	(void)fclose(memory);
	line(out, request, text);
}

static const struct { const char *name, *what; } variables[] = {
	{ "AEGIS_STATE", "the state directory, as --state" },
	{ "AEGIS_SERVER", "the server, as --server" },
	{ "AEGIS_TOKEN_FILE", "the 0600 file with the token, as --token-file" },
	{ "AEGIS_CA_FILE", "whom the server's certificate must be from, as --ca-file" },
	{ "AEGIS_CONTEXT", "the context, as --context" },
	{ "AEGIS_TOKEN", "is refused: secrets are not for the environment" },
	{ "NO_COLOR", "no colour, even on a terminal" },
}, files[] = {
	{ "$XDG_CONFIG_HOME/aegis/contexts.json", "what aegis login kept, and the "
	    "tokens beside it (0600)" },
	{ "/var/lib/aegis, $XDG_STATE_HOME/aegis", "the state directory of root's "
	    "fleet, and of others'" },
	{ "admin.token", "in it: the first admin's credential (0600)" },
	{ "run/endpoints.json", "in it: where the running fleet listens" },
	{ "rot/master.key", "in it: what all keys are wrapped under (0600)" },
}, signals[] = {
	{ "SIGTERM, SIGINT", "aegis up drains and ends: what is under way is "
	    "finished, nothing new is taken. A second one ends it now" },
	{ "SIGUSR1", "aegis up reads log.level of its configuration file again, for "
	    "itself and every process of the fleet; nothing is restarted" },
	{ "SIGHUP", "with log.file or --detach the log's file is opened anew, after "
	    "it was moved away, by every process; no line is lost. Without, aegis up "
	    "drains and ends, as the terminal does. New files of rest.tls need no signal: they are taken as "
	    "soon as they are there" },
};

#define TERMS(out, heading, rows) do { \
	fputs(".SH " heading "\n", out); \
	for (size_t t_ = 0; t_ < sizeof(rows) / sizeof((rows)[0]); t_++) { \
		line(out, ".TP\n.B ", (rows)[t_].name); \
		line(out, "", (rows)[t_].what); \
	} \
} while (0)

/* ------------------------------------------------------------- the pages */

static void
head(const char *name, const char *what, FILE *out)
{
	fputs(".\\\" Printed by aegis doc man.\n.TH ", out);
	for (const char *p = name; *p != '\0'; p++)
		fputc(*p >= 'a' && *p <= 'z' ? *p - 'a' + 'A' : *p, out);
	fputs(" 1 \"" AG_MANUAL_DATE "\" \"aegis " AG_VERSION
	      "\" \"Aegis Manual\"\n.SH NAME\n", out);
	fputs(name, out);
	line(out, " \\- ", what);
}

static void
see_also(const char *but, FILE *out)
{
	const struct cli_verb *verb;

	fputs(".SH SEE ALSO\n", out);
	if (but != NULL)
		fputs(".BR aegis (1),\n", out);
	for (unsigned i = 0; (verb = cli_verb_at(i)) != NULL; i++)
		if (cli_is_first(i) && (but == NULL || strcmp(verb->noun, but) != 0))
			fprintf(out, ".BR aegis\\-%s (1),\n", verb->noun);
	fputs("and the reference, which\n.B aegis doc\nprints.\n", out);
}

void
cli_man_main(FILE *out)
{
	const struct cli_verb *verb;

	head("aegis", "an agent-native key control plane", out);
	fputs(".SH SYNOPSIS\n.B aegis\n[\\fIOPTION\\fR]... \\fINOUN\\fR "
	      "[\\fIVERB\\fR] [\\fIWORD\\fR]...\n.SH DESCRIPTION\n"
	      "Keys for people, services and agents; who may use them, on whose "
	      "behalf; and a record of every use.\n"
	      ".B aegis up\nruns a fleet; the other verbs ask it.\n"
	      ".SH VERBS\n", out);
	for (unsigned i = 0; (verb = cli_verb_at(i)) != NULL; i++) {
		fprintf(out, ".TP\n.B aegis %s%s", verb->noun,
		    verb->verb[0] == '\0' ? "" : " ");
		put(out, verb->verb);
		line(out, "\n", verb->help);
	}
	fputs(".SH OPTIONS\nEvery verb takes them, before the noun or after it.\n",
	    out);
	options(cli_globals, out);
	TERMS(out, "SIGNALS", signals);
	exits(out);
	TERMS(out, "ENVIRONMENT", variables);
	TERMS(out, "FILES", files);
	see_also(NULL, out);
}

void
cli_man_noun(const char *noun, FILE *out)
{
	const struct cli_verb *verb;
	char name[64];
	bool first = true;

	(void)snprintf(name, sizeof(name), "aegis-%s", noun);
	head(name, cli_noun_help(noun), out);
	fputs(".SH SYNOPSIS\n", out);
	for (unsigned i = 0; (verb = cli_verb_at(i)) != NULL; i++) {
		if (strcmp(verb->noun, noun) != 0)
			continue;
		fputs(first ? "" : ".br\n", out);
		synopsis(verb, out);
		first = false;
	}
	fputs(".SH DESCRIPTION\n", out);
	for (unsigned i = 0; (verb = cli_verb_at(i)) != NULL; i++) {
		if (strcmp(verb->noun, noun) != 0)
			continue;
		fprintf(out, ".SS aegis %s%s", noun, verb->verb[0] == '\0' ? "" : " ");
		put(out, verb->verb);
		line(out, "\n", verb->help);
		options(verb->options, out);
	}
	fputs(".SH OPTIONS OF EVERY VERB\n", out);
	options(cli_globals, out);
	exits(out);
	fputs(".SH EXAMPLES\n", out);
	first = true;
	for (unsigned i = 0; (verb = cli_verb_at(i)) != NULL; i++)
		if (strcmp(verb->noun, noun) == 0) {
			example(verb, first ? "" : ".br\n", out);
			first = false;
		}
	see_also(noun, out);
}

/* ------------------------------------------------------------- the verb */

static enum cli_exit
put_page(const char *dir, const char *noun)
{
	char file[CLI_PATH_MAX];
	enum cli_exit status;
	FILE *out;

	(void)snprintf(file, sizeof(file), "%s/aegis%s%s.1", dir,
	    noun == NULL ? "" : "-", noun == NULL ? "" : noun);
	if ((status = cli_create(file, false, &out)) != CLI_OK)
		return status;
	if (noun == NULL)
		cli_man_main(out);
	else
		cli_man_noun(noun, out);
	return cli_finish(out, file);
}

enum cli_exit
cli_man_files(const char *dir)
{
	const struct cli_verb *verb;
	enum cli_exit status = put_page(dir, NULL);

	for (unsigned i = 0; (verb = cli_verb_at(i)) != NULL; i++)
		if (status == CLI_OK && cli_is_first(i))
			status = put_page(dir, verb->noun);
	return status;
}
