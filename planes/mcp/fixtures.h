/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the official conformance suite of MCP wants to find at a server: tools,
 * prompts and resources that do nothing but answer. Only in a build with the
 * option mcp_fixtures, which no release build has. A call of one goes around
 * the ring like tools/list does: with a credential, and into the audit log.
 */
#ifndef MCP_FIXTURES_H
#define MCP_FIXTURES_H

#include "plane.h"

struct call;

enum { FIXTURE_TEXT_SIZE = 6144 };

struct fixture {
	bool error;  /* text is a JSON-RPC error, else the members of a result */
	bool stream; /* says `before` first */
	bool asks;   /* and then waits for the client's answer */
	bool input;  /* the result says that input is required */
	char before[FIXTURE_TEXT_SIZE]; /* messages, one a line */
	char text[FIXTURE_TEXT_SIZE];
};

/* Is this call one of a fixture? Then call->fixture is what it comes to, or
 * refuse says what is wrong. */
bool fixture_bind(struct call *call, const char *method, const char *name,
    json_t *params, const json_t *meta, struct refuse *refuse);
/* Does a field repeat this tool's argument `key` (x-mcp-header)? */
bool fixture_is_mirrored(const char *tool);
void fixture_answer(struct conn *conn);
/* The client answered what a stream asked. */
void fixture_answered(struct conn *conn);
/* More rows of each list. */
void fixture_tools(struct text *out);
void fixture_resources(struct text *out);
void fixture_templates(struct text *out);
void fixture_prompts(struct text *out);

#endif
