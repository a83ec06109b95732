/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aegis mcp: a host that starts its MCP servers as programs speaks with the MCP
 * plane. One JSON-RPC message a line on stdin, one on stdout, nothing else on
 * stdout; complaints go to stderr. The credential is in a 0600 file, which
 * --token-file or AEGIS_TOKEN_FILE names, and goes into no message.
 */
#include "cli.h"

#include <aegis/id.h>

#include <stdlib.h>
#include <string.h>

enum {
	LINE_MAX_BYTES = 1 << 20, /* as the plane's bodies */
	FIELD_SIZE = 2048,
	SESSION_SIZE = 128,
	FIELDS_MAX = 6,
};

#define META "io.modelcontextprotocol/"

struct bridge {
	struct cli *cli;
	char session[SESSION_SIZE]; /* of 2025-11-25; "": none */
	char version[48];           /* of the session */
	char fields[FIELDS_MAX][FIELD_SIZE];
	const char *list[FIELDS_MAX + 1];
	unsigned count;
};

static const struct cli_option mcp_options[] = {
	{ "--url", "URL", CLI_LOCAL, NULL, false,
	    "the MCP plane; where the fleet of this machine says unless given", NULL },
	{ 0 },
};

/* ------------------------------------------------------------------- fields */

static bool
is_plain(const char *value)
{
	size_t len = strlen(value);

	for (size_t i = 0; i < len; i++)
		if (value[i] < ' ' || value[i] > '~')
			return false;
	return len > 0 && value[0] != ' ' && value[len - 1] != ' ' &&
	    strncmp(value, "=?base64?", 9) != 0;
}

/* What does not fit into a field as it is goes as =?base64?…?=. */
static void
add_field(struct bridge *b, const char *name, const char *value)
{
	char *to, *coded;

	if (value == NULL || b->count == FIELDS_MAX ||
	    strlen(value) > FIELD_SIZE / 2)
		return; /* the plane says what is missing */
	to = b->fields[b->count];
	if (is_plain(value)) {
		(void)snprintf(to, FIELD_SIZE, "%s: %s", name, value);
	} else {
		coded = cli_base64_text(value, strlen(value));
		(void)snprintf(to, FIELD_SIZE, "%s: =?base64?%s?=", name,
		    coded == NULL ? "" : coded);
		free(coded);
	}
	b->list[b->count++] = to;
}

static const char *
text_of(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

/* The body's own words again, or the session's. */
static void
set_fields(struct bridge *b, const json_t *message)
{
	const json_t *params = json_object_get(message, "params");
	const char *version = text_of(json_object_get(params, "_meta"),
	    META "protocolVersion");
	const char *name = text_of(params, "name");

	b->count = 0;
	b->list[b->count++] = "Accept: application/json, text/event-stream";
	if (version != NULL) {
		add_field(b, "MCP-Protocol-Version", version);
		add_field(b, "Mcp-Method", text_of(message, "method"));
		add_field(b, "Mcp-Name", name != NULL ? name : text_of(params, "uri"));
	} else if (b->session[0] != '\0') {
		add_field(b, "MCP-Protocol-Version", b->version);
		add_field(b, "MCP-Session-Id", b->session);
	}
	b->list[b->count] = NULL;
}

/* ------------------------------------------------------------------ messages */

static void
put_message(json_t *message)
{
	char *line = json_dumps(message, JSON_COMPACT);

	if (line != NULL) {
		puts(line);
		(void)fflush(stdout);
		ag_wipe(line, strlen(line)); /* it may hold plaintext */
	}
	free(line);
	json_decref(message);
}

/* data is taken; NULL: none. */
static void
put_error(const json_t *id, int code, const char *text, json_t *data)
{
	json_t *error = json_pack("{s:i, s:s}", "code", code, "message", text);
	json_t *message = json_pack("{s:s, s:o}", "jsonrpc", "2.0", "error", error);

	if (data != NULL)
		(void)json_object_set_new(error, "data", data);
	if (id != NULL)
		(void)json_object_set(message, "id", (json_t *)(uintptr_t)id);
	put_message(message);
}

/* What a session is called, and which version it speaks. */
static void
keep_session(struct bridge *b, const char *session, const json_t *answer)
{
	const char *version = text_of(json_object_get(answer, "result"),
	    "protocolVersion");

	if (session[0] == '\0' || version == NULL)
		return;
	(void)snprintf(b->session, sizeof(b->session), "%s", session);
	(void)snprintf(b->version, sizeof(b->version), "%s", version);
}

static void
forward(struct bridge *b, const json_t *message, const char *line)
{
	const json_t *id = json_object_get(message, "id");
	char session[SESSION_SIZE] = "", *bytes = NULL;
	const char *failed;
	json_t *answer;
	long status = 0;

	set_fields(b, message);
	failed = cli_http_post(b->cli, "/mcp", b->list, line, &status, &bytes,
	    "MCP-Session-Id", session, sizeof(session));
	answer = bytes == NULL ? NULL : json_loads(bytes, 0, NULL);
	if (bytes != NULL)
		ag_wipe(bytes, strlen(bytes));
	free(bytes);
	if (failed != NULL) {
		fprintf(stderr, "aegis: %s: %s\n", b->cli->url, failed);
		if (id != NULL)
			put_error(id, -32603, "the server cannot be reached", NULL);
	} else if (json_object_get(answer, "jsonrpc") != NULL) {
		keep_session(b, session, answer);
		put_message(json_incref(answer));
	} else if (id != NULL) { /* HTTP's own no: the problem goes along */
		put_error(id, -32603, answer == NULL ? "refused" :
		    cli_member_text(answer, "detail"), json_incref(answer));
	}
	json_decref(answer);
}

static void
on_line(struct bridge *b, const char *line)
{
	json_t *message = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
	const char *method = text_of(message, "method");

	if (!json_is_object(message))
		put_error(NULL, -32600, "a line is one JSON-RPC message", NULL);
	else if (method != NULL && strcmp(method, "subscriptions/listen") == 0)
		/* No list changes without being asked for, so there is nothing to
		 * wait for; a stream would hold up all other messages. */
		put_error(json_object_get(message, "id"), -32601,
		    "there is no such method", NULL);
	else
		forward(b, message, line);
	json_decref(message);
}

/* --------------------------------------------------------------------- start */

/* The MCP plane takes the place of REST in cli->url. */
static enum cli_exit
find_plane(struct cli *cli)
{
	char dir_buf[CLI_PATH_MAX], file[CLI_PATH_MAX + 32];
	const char *url = cli_get(cli, "--url"), *found;
	enum cli_exit status;
	json_t *endpoints;

	if (url != NULL)
		cli->server = url;
	if ((status = cli_resolve(cli, true)) != CLI_OK || url != NULL)
		return status;
	(void)snprintf(file, sizeof(file), "%s/run/endpoints.json",
	    cli_state_dir(cli, dir_buf, sizeof(dir_buf)));
	endpoints = json_load_file(file, 0, NULL);
	found = text_of(endpoints, "mcp");
	if (found == NULL)
		status = cli_fail(CLI_TRY_AGAIN, "%s names no MCP plane\n"
		    "hint: `mcp: {listen: 127.0.0.1:8471}` in the configuration, or "
		    "--url", file);
	else
		(void)snprintf(cli->url, sizeof(cli->url), "%s", found);
	json_decref(endpoints);
	return status;
}

static enum cli_exit
mcp(struct cli *cli)
{
	static struct bridge bridge;
	enum cli_exit status = find_plane(cli);
	char *line = NULL;
	size_t size = 0;
	ssize_t len;

	if (status != CLI_OK)
		return status;
	bridge.cli = cli;
	while ((len = getline(&line, &size, stdin)) >= 0) {
		if (len > 0 && line[len - 1] == '\n')
			line[--len] = '\0';
		if (len > LINE_MAX_BYTES || strlen(line) != (size_t)len)
			put_error(NULL, -32600, "the message is too large, or holds "
			    "a NUL", NULL);
		else if (len > 0)
			on_line(&bridge, line);
		ag_wipe(line, (size_t)len);
	}
	free(line);
	return CLI_OK;
}

const struct cli_verb cli_verbs_mcp[] = {
	{ "mcp", "", mcp_options, NULL, NULL, CLI_SILENT, NULL, mcp,
	    "an MCP server on stdin and stdout, for hosts that start one", NULL,
	    "--token-file agent.token" },
	{ 0 },
};
