/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One message of the Model Context Protocol, from a JSON-RPC body and the HTTP
 * fields that must agree with it. Two eras on one endpoint: a request of
 * 2026-07-28 says everything about itself; one of 2025-11-25 belongs to a
 * session. Pure: bytes in, a call out.
 */
#ifndef MCP_MESSAGE_H
#define MCP_MESSAGE_H

#include "codec.h"
#include "remote.h"
#include "tools.h"
#ifdef AG_MCP_FIXTURES
#include "fixtures.h"
#endif

#define MCP_NOW "2026-07-28"
#define MCP_THEN "2025-11-25"
#define MCP_BEFORE "2025-06-18" /* differs in nothing that we say */

enum {
	RPC_HEADER_MISMATCH = -32020,
	RPC_UNSUPPORTED_VERSION = -32022,
	RPC_RESOURCE_NOT_FOUND = -32002, /* of 2025-11-25 */
	RPC_INTERNAL = -32603,
	CALL_ID_SIZE = 136,      /* of a JSON-RPC id, as JSON */
	CALL_TEXT_SIZE = 260,    /* a prompt's argument, the uri of no resource */
	CALL_VERSION_SIZE = 40,
	CALL_PROMPT_HASH = 32,
	CALL_MODEL_SIZE = 132,
	CALL_PROMPT_MAX = 16 << 10, /* bytes of a prompt's text */
};

enum call_kind {
	CALL_NONE, /* nothing was understood yet */
	CALL_INITIALIZE,
	CALL_DISCOVER,
	CALL_PING,
	CALL_TOOLS_LIST,
	CALL_TOOLS_CALL,
	CALL_RESOURCES_LIST,
	CALL_RESOURCE_TEMPLATES,
	CALL_RESOURCES_READ,
	CALL_PROMPTS_LIST,
	CALL_PROMPTS_GET,
	CALL_LISTEN,
	CALL_NOTICE, /* a notification, or an answer that we did not ask for */
	CALL_STREAM, /* GET */
	CALL_END,    /* DELETE */
#ifdef AG_MCP_FIXTURES
	CALL_FIXTURE,
#endif
	CALL_COUNT,
};

/* The HTTP fields; NULL: absent. */
struct mcp_fields {
	const char *version, *method, *name, *session;
	const char *param; /* Mcp-Param-Key */
	bool gateway; /* is there one? Then other names may be tools, too */
};

/* What is remembered of a message until it is answered. */
struct call {
	enum call_kind kind;
	bool modern;   /* 2026-07-28 */
	bool envelope; /* refused for what is around the arguments */
	int code;      /* of that refusal in JSON-RPC; 0: its error's own */
	char id[CALL_ID_SIZE]; /* as JSON; "": none */
	char version[CALL_VERSION_SIZE]; /* that was asked for */
	const struct tool *tool;
	bool remote; /* a tool of another server is called */
	const struct mcp_resource *resource;
	const struct mcp_prompt *prompt;
	char text[CALL_TEXT_SIZE]; /* the prompt's argument, or a uri unknown */
	/* Claims of the host, for the log only. */
	bool has_prompt_hash;
	uint8_t prompt_hash[CALL_PROMPT_HASH];
	char model[CALL_MODEL_SIZE];
	/* While it is bound: what it brings of an approval. */
	const char *state, *approval;
	const char *prompt_text; /* of the host's claims */
	uint8_t arguments[32]; /* mcp_hash; where there is a state */
#ifdef AG_MCP_FIXTURES
	struct fixture fixture;
#endif
};

/* What can be read, and what can be prompted. */
struct mcp_resource {
	const char *uri, *name, *title, *description;
	uint16_t op;
};
struct mcp_prompt {
	const char *name, *title, *description;
	const char *argument, *argument_help;
	const char *text; /* the argument's value follows, quoted */
};
const struct mcp_resource *mcp_resource_at(unsigned i);
const struct mcp_prompt *mcp_prompt_at(unsigned i);

/* Reads the body. ask->msg NULL: refuse says why, and `call` what is known of
 * it all the same. The pool is not reset. */
void mcp_read(struct pool *pool, const struct mcp_fields *fields,
    const uint8_t *body, size_t len, struct call *call, struct tool_ask *ask,
    struct refuse *refuse);
/* ---- mirror.c: fields that repeat what the body says */
/* Without the white space around it, which is not part of it (RFC 9110 §5.5).
 * Borrowed or in the pool. NULL: absent, or no memory. */
const char *mirror_trimmed(struct pool *pool, const char *field);
/* Does the field, plain or as "=?base64?…?=", say the value? Not if one of them
 * is absent. */
bool mirror_agrees(struct pool *pool, const char *field, const char *value);

/* SHA-256 of which tool is called with which arguments, in whatever order their
 * members are. False: no memory. */
bool mcp_hash(const json_t *params, uint8_t out[32]);
/* "2026-07-28" …, as a JSON array. */
extern const char mcp_versions[];
bool mcp_is_legacy(const char *version);

#endif
