/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verbs about tools of other servers.
 */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

#define TOOL_COLUMNS "NAME:name,RISK:risk,STATE:state,WHY:why"
#define SERVER_COLUMNS "NAME:name,STATE:state,SOURCE:source,URL:url,REVISION:revision"

static const struct cli_option list[] = {
	{ "--server", "NAME", CLI_STR, "server", false, "of this server", NULL }, { 0 },
};

static const struct cli_option server[] = {
	{ "SERVER", "SERVER", CLI_STR, NULL, true, "its name", NULL }, { 0 },
};

static const struct cli_option servers[] = { { 0 } };

static const struct cli_option add[] = {
	{ "SERVER", "SERVER", CLI_STR, NULL, true, "what it is called here", NULL },
	{ "--url", "URL", CLI_STR, "url", true, "its MCP endpoint (Streamable HTTP)", NULL },
	{ "--replica", "URL", CLI_WORDS, "replicas", false, "a further endpoint of the same server", NULL },
	{ "--stateful", NULL, CLI_FLAG, "stateful", false, "each client's session has one of its own with it", NULL },
	{ "--protocol", "VERSION", CLI_STR, "protocol", false, "2025-11-25 (unless given) or 2026-07-28", NULL },
	{ "--secret", "NAME", CLI_STR, "secret", false, "a file in the tenant's folder in `gateway.secret_folder`", NULL },
	{ "--secret-header", "FIELD", CLI_STR, "secret_header", false, "where it is sent; unless given a bearer", NULL },
	{ "--risk", "RISK", CLI_STR, "risk", false, "read, write (unless given) or destructive", NULL },
	{ "--redact", "MEMBER", CLI_LIST, "redact", false, "of results: its value is taken out", NULL },
	{ "--rule", "RULE", CLI_WORDS, "rules", false, "of one tool: its name, then its risk, `allow`, `timeout_ms=N`, `redact=MEMBER,…`", NULL },
	{ "--timeout-ms", "N", CLI_INT, "timeout_ms", false, "how long a call may take, 5000 unless given", NULL },
	{ "--concurrency", "N", CLI_INT, "concurrency", false, "calls at once, 8 unless given", NULL },
	{ "--response-bytes", "N", CLI_INT, "response_bytes", false, "of one answer, 262144 unless given", NULL },
	{ "--server-ca", "FILE", CLI_TEXT_FILE, "ca_pem", false, "who signs its certificate, unless it is somebody that the gateway's machine trusts", NULL },
	{ "--reason", "TEXT", CLI_STR, "reason", false, "why; recorded", NULL }, { 0 },
};

static const struct cli_option take_away[] = {
	{ "SERVER", "SERVER", CLI_STR, NULL, true, "one that was added", NULL },
	{ "--reason", "TEXT", CLI_STR, "reason", true, "why; recorded", NULL }, { 0 },
};

static const struct cli_option accept[] = {
	{ "SERVER", "SERVER", CLI_STR, NULL, true, "its name", NULL },
	{ "--tool", "TOOL", CLI_LIST, "tools", false, "only <server>/<tool>; all unless given", NULL },
	{ "--digest", "HEX", CLI_LIST, "digests", false, "only while a tool has this digest: the one that you looked at", NULL },
	{ "--reason", "TEXT", CLI_STR, "reason", true, "why; recorded", NULL }, { 0 },
};

/* ------------------------------------------------------------- aegis tool add */

static enum cli_exit
bad_rule(const char *word)
{
	return cli_fail(CLI_USAGE, "--rule: %s: after the name of a tool, say read, "
	    "write or destructive, allow, timeout_ms=N, redact=MEMBER,…", word);
}

static json_t *
members_of(char *words)
{
	json_t *members = json_array();
	char *member;

	while ((member = strsep(&words, ",")) != NULL)
		(void)json_array_append_new(members, json_string(member));
	return members;
}

static enum cli_exit
rule_word(json_t *rule, char *word)
{
	const char *member = "risk";
	json_t *value = NULL;
	long long number;
	char *end;

	if (strcmp(word, "read") == 0 || strcmp(word, "write") == 0 ||
	    strcmp(word, "destructive") == 0) {
		value = json_string(word);
	} else if (strcmp(word, "allow") == 0) {
		member = "allow";
		value = json_true();
	} else if (strncmp(word, "timeout_ms=", 11) == 0) {
		member = "timeout_ms";
		number = strtoll(word + 11, &end, 10);
		if (word[11] >= '0' && word[11] <= '9' && *end == '\0')
			value = json_integer(number);
	} else if (strncmp(word, "redact=", 7) == 0) {
		member = "redact";
		value = members_of(word + 7);
	}
	if (value == NULL || json_object_get(rule, member) != NULL) {
		json_decref(value);
		return bad_rule(word);
	}
	(void)json_object_set_new(rule, member, value);
	return CLI_OK;
}

/* "forget destructive allow": an object. */
static enum cli_exit
read_rule(const char *text, json_t **out)
{
	char *copy = strdup(text), *rest = copy, *word;
	enum cli_exit status = CLI_OK;

	*out = json_object();
	while (status == CLI_OK && (word = strsep(&rest, " ")) != NULL) {
		if (word[0] == '\0')
			continue;
		if (json_object_size(*out) == 0)
			(void)json_object_set_new(*out, "tool", json_string(word));
		else
			status = rule_word(*out, word);
	}
	if (status == CLI_OK && json_object_size(*out) == 0)
		status = bad_rule("nothing");
	free(copy);
	return status;
}

static enum cli_exit
run_add(struct cli *cli)
{
	json_t *body = NULL, *answer = NULL, *rules, *rule;
	char path[CLI_URL_MAX];
	enum cli_exit status;
	size_t i;

	if ((status = cli_resolve(cli, true)) != CLI_OK ||
	    (status = cli_path(cli, cli->verb->path, path, sizeof(path))) != CLI_OK)
		return status;
	status = cli_body(cli, &body);
	rules = json_object_get(body, "rules");
	if (status == CLI_OK &&
	    json_array_size(rules) != cli_get_all(cli, "--rule")->count)
		status = bad_rule("what is no UTF-8");
	for (i = 0; status == CLI_OK && i < json_array_size(rules); i++) {
		status = read_rule(json_string_value(json_array_get(rules, i)), &rule);
		(void)json_array_set_new(rules, i, rule);
	}
	if (status == CLI_OK)
		status = cli_http(cli, cli->verb->method, path, body, &answer);
	if (status == CLI_OK && cli->json)
		cli_json_line(answer);
	else if (status == CLI_OK && !cli->quiet)
		cli_line(cli->verb->columns, answer);
	json_decref(body);
	json_decref(answer);
	return status;
}

const struct cli_verb cli_verbs_tools[] = {
	{ "tool", "list", list, "GET", "/v1/tools", CLI_ITEMS, TOOL_COLUMNS, NULL,
	    "tools of other servers that you may call", NULL, NULL },
	{ "tool", "server", server, "GET", "/v1/tool-servers/{SERVER}", CLI_OBJECT,
	    NULL, NULL, "one server, and its tools as they are now", NULL, "weather" },
	{ "tool", "servers", servers, "GET", "/v1/tool-servers", CLI_ITEMS,
	    SERVER_COLUMNS, NULL, "the tool servers there are", NULL, NULL },
	{ "tool", "add", add, "PUT", "/v1/tool-servers/{SERVER}", CLI_LINE,
	    SERVER_COLUMNS, run_add, "add a tool server, or change one that was added",
	    NULL, "weather --url https://tools.example/mcp --secret weather" },
	{ "tool", "remove", take_away, "DELETE", "/v1/tool-servers/{SERVER}",
	    CLI_LINE, SERVER_COLUMNS, NULL, "take one away that was added", NULL,
	    "weather --reason moved" },
	{ "tool", "accept", accept, "POST", "/v1/tool-servers/{SERVER}/accept",
	    CLI_LINE, "NAME:name,STATE:state,REVISION:revision", NULL,
	    "let its tools be called as they are now", NULL,
	    "weather --reason 'read it'" },
	{ 0 },
};
