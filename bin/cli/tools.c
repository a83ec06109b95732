/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verbs about tools of other servers.
 */
#include "cli.h"

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

const struct cli_verb cli_verbs_tools[] = {
	{ "tool", "list", list, "GET", "/v1/tools", CLI_ITEMS, TOOL_COLUMNS, NULL,
	    "tools of other servers that you may call", NULL, NULL },
	{ "tool", "server", server, "GET", "/v1/tool-servers/{SERVER}", CLI_OBJECT,
	    NULL, NULL, "one server, and its tools as they are now", NULL, "weather" },
	{ "tool", "servers", servers, "GET", "/v1/tool-servers", CLI_ITEMS,
	    SERVER_COLUMNS, NULL, "the tool servers there are", NULL, NULL },
	{ "tool", "add", add, "PUT", "/v1/tool-servers/{SERVER}", CLI_LINE,
	    SERVER_COLUMNS, NULL, "add a tool server, or change one that was added",
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
