/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the rows say to people: usage, help, examples, what to type next, and
 * what was probably meant.
 */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

enum {
	WORD_MAX = 64,    /* longer words are not guessed at */
	NEAR_DIVISOR = 3, /* one slip for each so many letters */
	TERM_COLUMN = 26,
};

const struct cli_exit_row cli_exits[] = {
	{ CLI_OK, "yes, done" },
	{ CLI_NO, "the answer is no (signature invalid, audit broken)" },
	{ CLI_USAGE, "usage or bad input" },
	{ CLI_UNAUTHENTICATED, "not authenticated" },
	{ CLI_NOT_FOUND, "not found" },
	{ CLI_DENIED, "denied" },
	{ CLI_CONFLICT, "a conflict, or not in this state" },
	{ CLI_TRY_AGAIN, "try again later: limited, unavailable, not running" },
	{ CLI_FAULT, "a fault of the server" },
	{ CLI_INTERRUPTED, "interrupted" },
	{ 0, NULL },
};

static const struct { const char *noun, *help; } nouns[] = {
	{ "key", "keys, and what is done with them" },
	{ "agent", "credentials on a leash" },
	{ "principal", "people and services" },
	{ "role", "what a role may do" },
	{ "tenant", "walls between customers" },
	{ "policy", "what the house allows, in Cedar" },
	{ "authz", "what would be decided" },
	{ "audit", "who did what, and on whose behalf" },
	{ "approval", "what people must agree to" },
	{ "webauthn", "FIDO2 keys as a second factor" },
	{ "session", "credentials that are in use" },
	{ "grant", "more scope, for a while" },
	{ "break-glass", "what a person overrides in an emergency" },
	{ "demo", "a story on a fleet of its own" },
	{ "sink", "who gets the events" },
	{ "recommendation", "what the detectors saw" },
	{ "responder", "what is done about it" },
	{ "context", "the servers you are logged in to" },
	{ "config", "the configuration file" },
	{ "tls", "certificates" },
	{ "actor", "processes of yours in the fleet" },
};

const char *
cli_noun_help(const char *noun)
{
	const struct cli_verb *row;

	for (size_t i = 0; i < sizeof(nouns) / sizeof(nouns[0]); i++)
		if (strcmp(nouns[i].noun, noun) == 0)
			return nouns[i].help;
	for (unsigned i = 0; (row = cli_verb_at(i)) != NULL; i++)
		if (strcmp(row->noun, noun) == 0)
			return row->help;
	return "";
}

/* ------------------------------------------------------------ one verb */

static void
put_name(const struct cli_verb *verb, FILE *out)
{
	fprintf(out, "aegis %s%s%s", verb->noun, verb->verb[0] == '\0' ? "" : " ",
	    verb->verb);
}

void
cli_usage(const struct cli_verb *verb, FILE *out)
{
	const struct cli_option *o = verb->options;

	fputs("usage: ", out);
	put_name(verb, out);
	for (; o != NULL && o->name != NULL; o++)
		fprintf(out, " %s%s%s%s%s%s", o->required ? "" : "[",
		    cli_is_positional(o) ? "" : o->name,
		    cli_is_positional(o) || o->arg == NULL ? "" : " ",
		    o->arg == NULL ? "" : o->arg, o->required ? "" : "]",
		    cli_repeats(o) ? "…" : "");
	fputc('\n', out);
}

/* What stands for a value in an example. */
static const struct { const char *arg, *sample; } samples[] = {
	{ "A", "agt_0190d2c4b7a87c3e9f00112233445566" },
	{ "ALIAS", "invoice-2026" },
	{ "D", "30d" },
	{ "DIR", "./aegis-state" },
	{ "EVENT", "evt_0190d2c4b7a87c3e9f00112233445566" },
	{ "FILE", "data.bin" },
	{ "HOST", "aegis.example" },
	{ "K=V", "team=billing" },
	{ "K=V|K-", "team=billing" },
	{ "KEY", "invoice-2026" },
	{ "L", "invoice-bot" },
	{ "N", "32" },
	{ "NAME", "alice" },
	{ "P", "alice" },
	{ "R", "rec_0190d2c4b7a87c3e9f00112233445566" },
	{ "ROLE", "key-user" },
	{ "S", "key:invoice-2026:sign" },
	{ "SPEC", "EC_P256" },
	{ "T", "2h" },
	{ "TEXT", "'found in a log'" },
};

static void
put_sample(const char *arg, FILE *out)
{
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++)
		if (strcmp(samples[i].arg, arg) == 0) {
			fprintf(out, " %s", samples[i].sample);
			return;
		}
	fprintf(out, " %.*s", (int)strcspn(arg, "|"), arg); /* the first of them */
}

void
cli_example(const struct cli_verb *verb, FILE *out)
{
	const struct cli_option *o = verb->options;

	put_name(verb, out);
	if (verb->example != NULL) {
		fprintf(out, " %s", verb->example);
		return;
	}
	for (; o != NULL && o->name != NULL; o++) {
		if (!o->required)
			continue;
		if (!cli_is_positional(o))
			fprintf(out, " %s", o->name);
		if (o->arg != NULL)
			put_sample(o->arg, out);
	}
}

/* "  --in FILE              the data; …" */
static void
put_option(const struct cli_option *o, FILE *out)
{
	bool word = cli_is_positional(o);
	char term[WORD_MAX];

	(void)snprintf(term, sizeof(term), "%s%s%s%s", word ? "" : o->name,
	    word || o->arg == NULL ? "" : " ", o->arg == NULL ? "" : o->arg,
	    cli_repeats(o) ? "…" : "");
	fprintf(out, "  %s%*s  %s\n", term,
	    cli_width(term) >= TERM_COLUMN ? 0 :
	        (int)(TERM_COLUMN - cli_width(term)), "",
	    o->help == NULL ? "" : o->help);
}

void
cli_help(const struct cli_verb *verb, FILE *out)
{
	const struct cli_option *o = verb->options;

	cli_usage(verb, out);
	fprintf(out, "\n%s.\n\n", verb->help);
	for (; o != NULL && o->name != NULL; o++)
		put_option(o, out);
	fprintf(out, "%sEvery verb takes:\n",
	    verb->options != NULL && verb->options->name != NULL ? "\n" : "");
	for (o = cli_globals; o->name != NULL; o++)
		put_option(o, out);
	fputs("\nExit status:\n", out);
	for (const struct cli_exit_row *row = cli_exits; row->meaning != NULL; row++)
		fprintf(out, "  %-4d%s\n", (int)row->status, row->meaning);
	fputs("\nExample:\n  ", out);
	cli_example(verb, out);
	fputc('\n', out);
}

/* --------------------------------------------------------- more than one */

void
cli_help_noun(const char *noun, FILE *out)
{
	const struct cli_verb *row;

	for (unsigned i = 0; (row = cli_verb_at(i)) != NULL; i++)
		if (strcmp(row->noun, cli_noun_of(noun)) == 0)
			cli_usage(row, out);
	fprintf(out, "\nMore of one verb: aegis %s%s --help, or man aegis-%s.\n",
	    cli_noun_of(noun), cli_noun_has_verbs(noun) ? " VERB" : "",
	    cli_noun_of(noun));
}

void
cli_help_all(FILE *out)
{
	const struct cli_verb *verb;

	fputs("usage: aegis [OPTION]... NOUN [VERB] [WORD]...\n\n", out);
	for (unsigned i = 0; (verb = cli_verb_at(i)) != NULL; i++)
		fprintf(out, "  %-14s %-15s %s\n", verb->noun, verb->verb, verb->help);
	fputs("\nEvery verb takes:\n", out);
	for (const struct cli_option *o = cli_globals; o->name != NULL; o++)
		put_option(o, out);
	fputs("\nMore: aegis NOUN VERB --help. The reference: aegis doc.\n", out);
}

static const struct { const char *type, *what; } first[] = {
	{ "aegis up --detach", "a fleet on this machine" },
	{ "aegis key create invoice --spec EC_P256 --activate", "a key" },
	{ "aegis key sign invoice --in FILE --out FILE.sig", "use it" },
	{ "aegis agent issue --scope key:invoice:sign --label bot --out bot.token",
	    "let an agent use it" },
	{ "aegis audit", "who did what, and on whose behalf" },
};

void
cli_help_first(FILE *out)
{
	fputs("usage: aegis [OPTION]... NOUN [VERB] [WORD]...\n\n", out);
	for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++)
		fprintf(out, "  %-72s %s\n", first[i].type, first[i].what);
	fputs("\nAll verbs: aegis --help. What is wrong here: aegis doctor.\n", out);
}

/* --------------------------------------------------------- what was meant */

static size_t
least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* How many letters must be changed, put in, left out or swapped with their
 * neighbour (optimal string alignment). */
static size_t
slips(const char *a, const char *b)
{
	size_t rows[3][WORD_MAX + 1], n = strlen(a), m = strlen(b), cost, best;
	size_t *before = rows[0], *last = rows[1], *now = rows[2], *swap;

	if (n > WORD_MAX || m > WORD_MAX)
		return WORD_MAX;
	for (size_t j = 0; j <= m; j++)
		last[j] = j;
	for (size_t i = 1; i <= n; i++) {
		now[0] = i;
		for (size_t j = 1; j <= m; j++) {
			cost = a[i - 1] != b[j - 1];
			best = least(least(last[j] + 1, now[j - 1] + 1),
			    last[j - 1] + cost);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1])
				best = least(best, before[j - 2] + 1);
			now[j] = best;
		}
		swap = before;
		before = last;
		last = now;
		now = swap;
	}
	return last[m];
}

/* Keeps the nearest; a word that begins as typed is near as well. */
struct guess {
	const char *typed, *found;
	size_t slips;
};

static void
consider(struct guess *guess, const char *word)
{
	size_t n = slips(guess->typed, word), len = strlen(guess->typed);

	if (n > len / NEAR_DIVISOR + (len < NEAR_DIVISOR) &&
	    (len < NEAR_DIVISOR || strncmp(word, guess->typed, len) != 0))
		return;
	if (guess->found != NULL && n >= guess->slips)
		return;
	guess->found = word;
	guess->slips = n;
}

const char *
cli_near_option(const struct cli_verb *verb, const char *typed)
{
	char name[WORD_MAX];
	struct guess guess = { .typed = name };
	const struct cli_option *o;

	(void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(typed, "="), typed);
	for (o = verb == NULL ? NULL : verb->options; o != NULL && o->name != NULL; o++)
		if (!cli_is_positional(o))
			consider(&guess, o->name);
	for (o = cli_globals; o->name != NULL; o++)
		consider(&guess, o->name);
	return guess.found;
}

const char *
cli_near_verb(const char *noun, const char *typed)
{
	struct guess guess = { .typed = typed };
	const struct cli_verb *row;

	for (unsigned i = 0; (row = cli_verb_at(i)) != NULL; i++)
		if (strcmp(row->noun, cli_noun_of(noun)) == 0 && row->verb[0] != '\0')
			consider(&guess, row->verb);
	return guess.found;
}

const char *
cli_near_noun(const char *typed)
{
	struct guess guess = { .typed = typed };
	const struct cli_verb *row;

	for (unsigned i = 0; (row = cli_verb_at(i)) != NULL; i++)
		consider(&guess, row->noun);
	return guess.found;
}
