/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verbs about tools of other servers.
 */
#include "cli.h"

#define TOOL_COLUMNS "NAME:name,RISK:risk,STATE:state,WHY:why"

static const struct cli_option list[] = {
	{ "--server", "NAME", CLI_STR, "server", false, "of this server", NULL }, { 0 },
};

static const struct cli_option server[] = {
	{ "SERVER", "SERVER", CLI_STR, NULL, true, "a name of `gateway.servers`", NULL }, { 0 },
};

static const struct cli_option accept[] = {
	{ "SERVER", "SERVER", CLI_STR, NULL, true, "a name of `gateway.servers`", NULL },
	{ "--tool", "TOOL", CLI_LIST, "tools", false, "only <server>/<tool>; all unless given", NULL },
	{ "--digest", "HEX", CLI_LIST, "digests", false, "only while a tool has this digest: the one that you looked at", NULL },
	{ "--reason", "TEXT", CLI_STR, "reason", true, "why; recorded", NULL }, { 0 },
};

const struct cli_verb cli_verbs_tools[] = {
	{ "tool", "list", list, "GET", "/v1/tools", CLI_ITEMS, TOOL_COLUMNS, NULL,
	    "tools of other servers that you may call", NULL, NULL },
	{ "tool", "server", server, "GET", "/v1/tool-servers/{SERVER}", CLI_OBJECT,
	    NULL, NULL, "one server, and its tools as they are now", NULL, "weather" },
	{ "tool", "accept", accept, "POST", "/v1/tool-servers/{SERVER}/accept",
	    CLI_LINE, "NAME:name,STATE:state,REVISION:revision", NULL,
	    "let its tools be called as they are now", NULL,
	    "weather --reason 'read it'" },
	{ 0 },
};
