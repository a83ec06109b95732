/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aegis config init: asks a person the few questions that a first
 * configuration answers, and writes a file that `aegis config check` takes.
 * The configuration's own table judges each answer, and its own rules the
 * whole, before anything is written.
 */
#include "cli.h"

#include <cfg.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	ANSWER_MAX = 1024,
	TRIES_MAX = 5,
};

struct question {
	const char *key; /* of the configuration; its default is offered */
	const char *ask;
	const char *offer; /* instead of the default; NULL: that */
	bool (*wanted)(const json_t *answers); /* NULL: always */
};

static bool
is_prod(const json_t *answers)
{
	return strcmp(cli_member_text(answers, "environment"), "prod") == 0;
}

static bool
is_open(const json_t *answers)
{
	const char *listen = cli_member_text(answers, "rest.listen");

	return is_prod(answers) || (strncmp(listen, "127.", 4) != 0 &&
	    strncmp(listen, "localhost:", 10) != 0 &&
	    strncmp(listen, "[::1]:", 6) != 0);
}

static bool
has_certificate(const json_t *answers)
{
	return cli_member_text(answers, "rest.tls.certificate_file")[0] != '\0';
}

static const struct question questions[] = {
	{ "environment", "Is this to try things out (dev), or for real (prod)?", NULL, NULL },
	{ "rest.listen", "Where do clients reach it (HOST:PORT)?", NULL, NULL },
	{ "rest.tls.certificate_file", "The certificate's PEM file (aegis tls init makes one; - for none)?", "/etc/aegis/tls/server.pem", is_open },
	{ "rest.tls.key_file", "Its key's PEM file?", "/etc/aegis/tls/server.key", has_certificate },
	{ "rot.software.accept_risk", "All keys lie on this disk, wrapped under a key in a file beside them. Is that good enough (yes, no)?", "no", is_prod },
	{ "rot.software.passphrase", "Should that key be under a passphrase, which aegis up asks for (yes, no)?", "no", is_prod },
	{ "agents.ttl_max_s", "How long may an agent's credential live at most?", "1d", NULL },
	{ "responder.dry_run", "When an agent goes rogue: only say what would be done (yes), or do it (no)?", "no", NULL },
	{ "log.level", "How much goes to the log (debug, info, warn, error)?", NULL, NULL },
};

/* -------------------------------------------------------------- the file */

static const struct ag_config_key *
key_named(const char *path)
{
	const struct ag_config_key *key;

	for (unsigned i = 0; (key = ag_config_key_at(i)) != NULL; i++)
		if (strcmp(key->path, path) == 0)
			return key;
	ag_panic("%s: no such key of the configuration", path);
}

/* A JSON string is a YAML scalar, whatever is in it (YAML 1.2 §1.3). */
static void
put_scalar(const char *text, FILE *out)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./";
	json_t *string;
	char *quoted;

	if (text[0] != '\0' && strspn(text, plain) == strlen(text)) {
		fputs(text, out);
		return;
	}
	string = json_string(text);
	quoted = string == NULL ? NULL :
	    json_dumps(string, JSON_ENCODE_ANY);
	fputs(quoted == NULL ? "\"\"" : quoted, out);
	free(quoted);
	json_decref(string);
}

static void
put_level(const json_t *object, const char *path, unsigned depth, FILE *out)
{
	char inner[AG_CFG_PATH_MAX];
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)object, name, value) {
		(void)snprintf(inner, sizeof(inner), "%.60s%s%.30s", path,
		    path[0] == '\0' ? "" : ".", name);
		if (json_is_object(value)) {
			fprintf(out, "%*s%s:\n", (int)(2 * depth), "", name);
			put_level(value, inner, depth + 1, out);
			continue;
		}
		fprintf(out, "%*s%s: ", (int)(2 * depth), "", name);
		put_scalar(json_string_value(value), out);
		fprintf(out, "  # %s\n", key_named(inner)->help);
	}
}

static void
put_all(const json_t *answers, FILE *out)
{
	fputs("# Written by aegis config init. All keys: aegis doc config.\n", out);
	put_level(answers, "", 0, out);
}

/* --------------------------------------------------------------- questions */

/* false: not UTF-8. */
static bool
set_answer(json_t *object, const char *path, const char *text)
{
	const char *dot = strchr(path, '.');
	char head[64];
	json_t *inner;

	if (dot == NULL)
		return json_object_set_new(object, path, json_string(text)) == 0;
	(void)snprintf(head, sizeof(head), "%.*s", (int)(dot - path), path);
	inner = json_object_get(object, head);
	if (inner == NULL) {
		inner = json_object();
		(void)json_object_set_new(object, head, inner);
	}
	return set_answer(inner, dot + 1, text);
}

/* yes, y → true; the file's own words stay. */
static const char *
bool_word(const char *text)
{
	static const struct { const char *said, *word; } words[] = {
		{ "yes", "true" }, { "y", "true" }, { "no", "false" }, { "n", "false" },
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcasecmp(words[i].said, text) == 0)
			return words[i].word;
	return text;
}

/* A line without its end and the blanks around it. false: the end of input. */
static bool
read_line(char *line, size_t size)
{
	size_t len, lead;

	if (fgets(line, (int)size, stdin) == NULL)
		return false;
	len = strlen(line);
	while (len > 0 && strchr(" \t\r\n", line[len - 1]) != NULL)
		line[--len] = '\0';
	lead = strspn(line, " \t");
	memmove(line, line + lead, len - lead + 1);
	return true;
}

/* AG_USAGE: want says what would be right. */
static ag_err
judge(const char *key, const char *text, char want[AG_CFG_WANT_MAX])
{
	struct ag_config *config = NULL;
	ag_err err = ag_cfg_new(&config);

	if (err == AG_OK)
		err = ag_cfg_set(config, ag_cfg_find(key), 0, "here", text, want);
	ag_config_free(&config);
	return err;
}

static enum cli_exit
ask(json_t *answers, const struct question *q)
{
	const struct ag_config_key *key = key_named(q->key);
	const char *offer = q->offer != NULL ? q->offer : key->fallback, *text;
	char line[ANSWER_MAX], want[AG_CFG_WANT_MAX];

	for (unsigned tries = 0; tries < TRIES_MAX; tries++) {
		printf("%s [%s] ", q->ask, offer == NULL ? "" : offer);
		(void)fflush(stdout);
		if (!read_line(line, sizeof(line))) {
			putchar('\n');
			return cli_fail(CLI_USAGE, "not written: the answers ended");
		}
		text = line[0] == '\0' ? offer : line;
		if (text != NULL && key->type == AG_CFG_BOOL)
			text = bool_word(text);
		if (text == NULL || strcmp(text, "-") == 0)
			return CLI_OK;
		(void)snprintf(want, sizeof(want), "UTF-8");
		if (judge(q->key, text, want) == AG_OK &&
		    set_answer(answers, q->key, text))
			return CLI_OK;
		fputs("  no: ", stdout);
		cli_put(stdout, want);
		fputs(" is wanted\n", stdout);
	}
	return cli_fail(CLI_USAGE, "not written: %s", q->key);
}

static enum cli_exit
ask_all(json_t *answers)
{
	enum cli_exit status = CLI_OK;

	for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++)
		if (status == CLI_OK && (questions[i].wanted == NULL ||
		        questions[i].wanted(answers)))
			status = ask(answers, &questions[i]);
	return status;
}

/* ----------------------------------------------------------------- the verb */

/* Beside its place first: what the rules do not take is not left there. */
static enum cli_exit
write_file(const char *name, const json_t *answers)
{
	char part[CLI_PATH_MAX], message[1024] = "";
	struct ag_config *config = NULL;
	enum cli_exit status;
	FILE *out;

	(void)snprintf(part, sizeof(part), "%s.new", name);
	if ((status = cli_create(part, true, &out)) != CLI_OK)
		return status;
	put_all(answers, out);
	if ((status = cli_finish(out, part)) != CLI_OK)
		return status;
	if (ag_config_load(part, &config, message, sizeof(message)) != AG_OK)
		status = cli_fail(CLI_USAGE, "not written, as it could not be used: "
		    "%s", message);
	else if (link(part, name) != 0) /* unlike rename it replaces nothing */
		status = cli_fail(errno == EEXIST ? CLI_CONFLICT : CLI_USAGE,
		    "%s: %s", name, strerror(errno));
	(void)unlink(part);
	ag_config_free(&config);
	return status;
}

static void
say_next(const struct cli *cli, const char *name, const json_t *answers)
{
	const char *certificate = cli_member_text(answers, "rest.tls.certificate_file");
	json_t *answer = json_pack("{s:s}", "file", name);

	if (cli->json)
		cli_json_line(answer);
	json_decref(answer);
	if (cli->json || cli->quiet)
		return;
	putchar('\n');
	cli_say("written: %s", name);
	if (certificate[0] != '\0' && access(certificate, F_OK) != 0)
		cli_say("next: aegis tls init --name HOST --out DIR, for %s",
		    certificate);
	cli_say("next: aegis doctor --config %s", name);
	cli_say("then: aegis up --config %s --detach", name);
}

enum cli_exit
cli_config_init(struct cli *cli)
{
	const char *name = cli_get(cli, "--out");
	enum cli_exit status;
	json_t *answers;

	if (name == NULL)
		name = "aegis.yaml";
	if (isatty(STDIN_FILENO) != 1)
		return cli_fail(CLI_USAGE, "config init asks questions: it wants a "
		    "terminal\nhint: aegis doc config says what a file may hold");
	if (access(name, F_OK) == 0)
		return cli_fail(CLI_CONFLICT, "%s: is there already", name);
	answers = json_object();
	status = ask_all(answers);
	if (status == CLI_OK)
		status = write_file(name, answers);
	if (status == CLI_OK)
		say_next(cli, name, answers);
	json_decref(answers);
	return status;
}
