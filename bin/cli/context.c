/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which server, and as whom. First what the command line says, then the
 * environment, then a context that `aegis login` wrote, then the state
 * directory of a fleet on this machine. A context is used beside a state
 * directory that was named only when both mean the same server.
 *
 * Contexts: $XDG_CONFIG_HOME/aegis/contexts.json, tokens beside it (0600).
 */
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *
env(const char *name)
{
	const char *value = getenv(name);

	return value != NULL && value[0] != '\0' ? value : NULL;
}

const char *
cli_state_dir(const struct cli *cli, char *buf, size_t size)
{
	const char *home;

	if (cli->state != NULL)
		return cli->state;
	if (env("AEGIS_STATE") != NULL)
		return env("AEGIS_STATE");
	if (geteuid() == 0)
		return "/var/lib/aegis";
	if (env("XDG_STATE_HOME") != NULL) {
		(void)snprintf(buf, size, "%s/aegis", env("XDG_STATE_HOME"));
		return buf;
	}
	home = env("HOME");
	(void)snprintf(buf, size, "%s/.local/state/aegis", home == NULL ? "" : home);
	return buf;
}

static void
config_file(const char *name, char *buf, size_t size)
{
	const char *base = env("XDG_CONFIG_HOME"), *home = env("HOME");

	if (base != NULL)
		(void)snprintf(buf, size, "%s/aegis/%s", base, name);
	else
		(void)snprintf(buf, size, "%s/.config/aegis/%s",
		    home == NULL ? "" : home, name);
}

/* {current, contexts: {name: {server, ca_file, token_file}}}; never NULL. */
static json_t *
contexts_load(void)
{
	char file[CLI_PATH_MAX];
	json_t *all;

	config_file("contexts.json", file, sizeof(file));
	all = json_load_file(file, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(json_object_get(all, "contexts"))) {
		json_decref(all);
		all = json_pack("{s:s, s:{}}", "current", "default", "contexts");
	}
	if (all == NULL)
		ag_panic("out of memory");
	return all;
}

/* Makes the directories above file, 0700. */
static enum cli_exit
make_parents(const char *file)
{
	char path[CLI_PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s", file);
	for (char *p = path + 1; (p = strchr(p, '/')) != NULL; p++) {
		*p = '\0';
		if (mkdir(path, 0700) != 0 && errno != EEXIST)
			return cli_fail(CLI_USAGE, "%s: %s", path, strerror(errno));
		*p = '/';
	}
	return CLI_OK;
}

static enum cli_exit
put_file(const char *file, const char *text)
{
	enum cli_exit status;
	FILE *out;

	if ((status = make_parents(file)) != CLI_OK ||
	    (status = cli_create(file, true, &out)) != CLI_OK)
		return status;
	fputs(text, out);
	return cli_finish(out, file);
}

static enum cli_exit
contexts_save(json_t *all)
{
	char file[CLI_PATH_MAX];
	char *text = json_dumps(all, JSON_INDENT(2) | JSON_SORT_KEYS);
	enum cli_exit status;

	config_file("contexts.json", file, sizeof(file));
	status = text == NULL ? cli_fail(CLI_FAULT, "out of memory")
	                      : put_file(file, text);
	free(text);
	return status;
}

static const char *
context_name(const struct cli *cli, const json_t *all)
{
	const char *current = json_string_value(json_object_get(all, "current"));

	if (cli->context != NULL)
		return cli->context;
	if (env("AEGIS_CONTEXT") != NULL)
		return env("AEGIS_CONTEXT");
	return current == NULL ? "default" : current;
}

static bool
endpoint_of(const char *state_dir, char *url, size_t size)
{
	char file[CLI_PATH_MAX];
	json_t *endpoints;
	const char *rest;

	(void)snprintf(file, sizeof(file), "%s/run/endpoints.json", state_dir);
	endpoints = json_load_file(file, 0, NULL);
	rest = json_string_value(json_object_get(endpoints, "rest"));
	if (rest != NULL)
		(void)snprintf(url, size, "%s", rest);
	json_decref(endpoints);
	return rest != NULL;
}

/* What the context says, where nothing better is known. */
static void
apply_context(struct cli *cli, const json_t *context, char *token_file,
    size_t size)
{
	const char *server = json_string_value(json_object_get(context, "server"));
	const char *ca = json_string_value(json_object_get(context, "ca_file"));
	const char *token =
	    json_string_value(json_object_get(context, "token_file"));

	if (cli->url[0] == '\0' && server != NULL)
		(void)snprintf(cli->url, sizeof(cli->url), "%s", server);
	if (cli->ca[0] == '\0' && ca != NULL)
		(void)snprintf(cli->ca, sizeof(cli->ca), "%s", ca);
	if (token_file[0] == '\0' && token != NULL)
		(void)snprintf(token_file, size, "%s", token);
}

static void
first_of(char *buf, size_t size, const char *option, const char *variable)
{
	const char *value = option != NULL ? option : env(variable);

	(void)snprintf(buf, size, "%s", value == NULL ? "" : value);
}

/* Server, CA and token file, from the four places in their order. */
static enum cli_exit
find_server(struct cli *cli, char *token_file, size_t size)
{
	bool named_state = cli->state != NULL || env("AEGIS_STATE") != NULL;
	bool named_context = cli->context != NULL || env("AEGIS_CONTEXT") != NULL;
	char dir_buf[CLI_PATH_MAX], rest[CLI_URL_MAX] = "";
	const char *dir = cli_state_dir(cli, dir_buf, sizeof(dir_buf));
	json_t *all = contexts_load();
	const json_t *context = json_object_get(json_object_get(all, "contexts"),
	    context_name(cli, all));
	const char *context_server =
	    json_string_value(json_object_get(context, "server"));
	enum cli_exit status = CLI_OK;
	bool local;

	first_of(cli->url, sizeof(cli->url), cli->server, "AEGIS_SERVER");
	first_of(cli->ca, sizeof(cli->ca), cli->ca_file, "AEGIS_CA_FILE");
	first_of(token_file, size, cli->token_file, "AEGIS_TOKEN_FILE");
	local = endpoint_of(dir, rest, sizeof(rest));
	if (named_context && context == NULL)
		status = cli_fail(CLI_USAGE, "%s: no such context (aegis context list)",
		    context_name(cli, all));
	else if (context != NULL && context_server != NULL &&
	    (named_context || !named_state || strcmp(context_server, rest) == 0) &&
	    (cli->url[0] == '\0' || strcmp(cli->url, context_server) == 0))
		apply_context(cli, context, token_file, size);
	if (cli->url[0] == '\0')
		(void)snprintf(cli->url, sizeof(cli->url), "%s", rest);
	if (token_file[0] == '\0' && local && strcmp(cli->url, rest) == 0)
		(void)snprintf(token_file, size, "%s/admin.token", dir);
	if (status == CLI_OK && cli->url[0] == '\0')
		status = cli_fail(CLI_TRY_AGAIN,
		    "not running: %s/run/endpoints.json is not there\n"
		    "hint: start it with `aegis up`, or name a --server", dir);
	json_decref(all);
	return status;
}

/* A token goes in clear only to this very machine. */
static enum cli_exit
check_url(const char *url)
{
	const char *host = strstr(url, "://");
	bool sealed = strncmp(url, "https://", 8) == 0;

	if (host != NULL && strcspn(host += 3, "/?#") > 0 &&
	    (sealed || (strncmp(url, "http://", 7) == 0 && ag_is_loopback(host))))
		return CLI_OK;
	return cli_fail(CLI_USAGE,
	    "%s: use https://host[:port] (plain http only to loopback)", url);
}

enum cli_exit
cli_resolve(struct cli *cli, bool want_token)
{
	char token_file[CLI_PATH_MAX];
	enum cli_exit status;
	size_t len;

	if ((status = find_server(cli, token_file, sizeof(token_file))) != CLI_OK ||
	    (status = check_url(cli->url)) != CLI_OK)
		return status;
	for (len = strlen(cli->url); cli->url[len - 1] == '/';)
		cli->url[--len] = '\0';
	if (!want_token)
		return CLI_OK;
	if (token_file[0] == '\0')
		return cli_fail(CLI_UNAUTHENTICATED, "no credential\n"
		    "hint: aegis login --token-file FILE, or --token-file FILE");
	return cli_read_secret(token_file, cli->token, sizeof(cli->token));
}

/* ------------------------------------------------------------- the verbs */

static bool
good_context_name(const char *name)
{
	return ag_name_valid(name);
}

/* The token is tried before it is kept. */
static enum cli_exit
keep_context(struct cli *cli, json_t *all, const char *name)
{
	char file[CLI_PATH_MAX], leaf[128];
	json_t *context;
	enum cli_exit status;

	(void)snprintf(leaf, sizeof(leaf), "%s.token", name);
	config_file(leaf, file, sizeof(file));
	if ((status = put_file(file, cli->token)) != CLI_OK)
		return status;
	context = json_pack("{s:s, s:s, s:s*}", "server", cli->url, "token_file",
	    file, "ca_file", cli->ca[0] == '\0' ? NULL : cli->ca);
	if (json_object_set_new(json_object_get(all, "contexts"), name,
	        context) != 0 ||
	    json_object_set_new(all, "current", json_string(name)) != 0)
		return cli_fail(CLI_FAULT, "out of memory");
	return contexts_save(all);
}

static void
say_context(const char *name, const char *server)
{
	json_t *answer = json_pack("{s:s, s:s*}", "context", name, "server", server);

	cli_json_line(answer);
	json_decref(answer);
}

enum cli_exit
cli_login(struct cli *cli)
{
	const char *name = cli->context == NULL ? "default" : cli->context;
	json_t *all, *me = NULL;
	enum cli_exit status;

	if (cli->token_file == NULL)
		return cli_fail(CLI_USAGE, "--token-file is missing (- for stdin)");
	if (!good_context_name(name))
		return cli_fail(CLI_USAGE, "%s: not a name for a context", name);
	cli->context = NULL; /* it need not be there yet */
	if ((status = cli_resolve(cli, true)) != CLI_OK ||
	    (status = cli_http(cli, "GET", "/v1/whoami", NULL, &me)) != CLI_OK)
		return status;
	all = contexts_load();
	status = keep_context(cli, all, name);
	if (status == CLI_OK && cli->json)
		say_context(name, cli->url);
	else if (status == CLI_OK && !cli->quiet)
		cli_say("logged in as %s at %s (context %s)",
		    cli_member_text(me, "name"), cli->url, name);
	json_decref(all);
	json_decref(me);
	return status;
}

enum cli_exit
cli_logout(struct cli *cli)
{
	json_t *all = contexts_load();
	const char *name = context_name(cli, all);
	json_t *contexts = json_object_get(all, "contexts");
	const char *file = cli_member_text(json_object_get(contexts, name),
	    "token_file");
	enum cli_exit status;

	if (json_object_get(contexts, name) == NULL)
		status = cli_fail(CLI_NOT_FOUND, "%s: no such context", name);
	else if (unlink(file) != 0 && errno != ENOENT)
		status = cli_fail(CLI_FAULT, "%s: %s", file, strerror(errno));
	else {
		if (cli->json)
			say_context(name, NULL);
		else if (!cli->quiet)
			cli_say("logged out (context %s)", name);
		(void)json_object_del(contexts, name);
		status = contexts_save(all);
	}
	json_decref(all);
	return status;
}

enum cli_exit
cli_context_list(struct cli *cli)
{
	json_t *all = contexts_load(), *items = json_array(), *context;
	const char *name, *current = context_name(cli, all);
	struct cli_table table = { .columns = "CURRENT:current,NAME:name,SERVER:server" };
	size_t i;

	json_object_foreach(json_object_get(all, "contexts"), name, context)
		(void)json_array_append_new(items, json_pack("{s:s, s:s, s:O?}",
		    "current", strcmp(name, current) == 0 ? "*" : "", "name", name,
		    "server", json_object_get(context, "server")));
	if (cli->json)
		json_array_foreach(items, i, context)
			cli_json_line(context);
	else
		cli_rows(&table, items, !cli->quiet);
	json_decref(items);
	json_decref(all);
	return CLI_OK;
}

enum cli_exit
cli_context_use(struct cli *cli)
{
	const char *name = cli_get(cli, "NAME");
	json_t *all = contexts_load();
	enum cli_exit status;

	if (json_object_get(json_object_get(all, "contexts"), name) == NULL)
		status = cli_fail(CLI_NOT_FOUND,
		    "%s: no such context (aegis context list)", name);
	else if (json_object_set_new(all, "current", json_string(name)) != 0)
		status = cli_fail(CLI_FAULT, "out of memory");
	else if ((status = contexts_save(all)) == CLI_OK && cli->json)
		say_context(name, NULL);
	else if (status == CLI_OK && !cli->quiet)
		cli_say("context %s", name);
	json_decref(all);
	return status;
}
