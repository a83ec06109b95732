/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway: tool servers that are not ours, and what is known of their tools.
 */
#ifndef GATEWAY_GATEWAY_H
#define GATEWAY_GATEWAY_H

#include "fetch.h"
#include "wire.h"

#include <aegis/aegis.h>

enum {
	GATEWAY_SERVERS_MAX = 32,
	GATEWAY_TOOLS_MAX = 64,        /* of one server; more are not looked at */
	GATEWAY_PAGES_MAX = 8,         /* of one list of tools */
	GATEWAY_CALLS_MAX = 256,       /* under way, of all servers */
	GATEWAY_DESCRIPTION_MAX = 4096,
	GATEWAY_SCHEMA_MAX = 32 << 10, /* bytes of one tool's */
	GATEWAY_CATALOG_MAX = 2 << 20,
	GATEWAY_ERROR_TEXT_MAX = 1024, /* of what a server says went wrong */
	GATEWAY_WORKER_MARGIN_MS = 100, /* an answer is there so long before its deadline */
	GATEWAY_LIST_MS = 10000,
	GATEWAY_TOOL_SIZE = 64,        /* of a tool's name, NUL included */
	GATEWAY_PATH_SIZE = 64,        /* "<server>/<tool>" */
	GATEWAY_PATHS = 4096,
};

enum risk { RISK_READ, RISK_WRITE, RISK_DESTRUCTIVE };
enum tool_state { TOOL_ACCEPTED, TOOL_CHANGED, TOOL_NEW, TOOL_UNFIT };

/* A tool as its server has it now. */
struct tool {
	char name[GATEWAY_TOOL_SIZE];
	char path[GATEWAY_PATH_SIZE];
	enum risk risk;
	bool allowed; /* destructive, and may be called all the same */
	enum tool_state state;
	const char *unfit; /* why */
	uint8_t digest[32];
	unsigned timeout_ms;
	int row; /* of gateway.tools; -1: none */
	char *title, *description, *schema; /* malloc'd */
	json_t *parsed; /* schema */
};

struct pin {
	char tool[GATEWAY_TOOL_SIZE];
	uint8_t digest[32];
};

struct server {
	struct gateway *gateway;
	unsigned row; /* of gateway.servers */
	const char *name, *tenant, *url;
	char ca_file[GATEWAY_PATHS], secret_file[GATEWAY_PATHS]; /* "": none */
	bool modern;
	enum risk risk;
	unsigned timeout_ms, concurrency;
	size_t answer_max;

	struct ag_secret *secret; /* NULL: none, or it could not be read */
	int64_t secret_seen;      /* of its file, as of then */
	uint64_t next_id;
	bool begun;               /* initialized; of the older revision */
	char session[FETCH_SESSION_SIZE];

	struct tool tools[GATEWAY_TOOLS_MAX];
	unsigned tool_count;
	struct pin pins[GATEWAY_TOOLS_MAX];
	unsigned pin_count;
	uint64_t version; /* of the pins; 0: never accepted */
	bool pinning;     /* a first acceptance is on its way to the journal */

	json_t *listed; /* what has come of the list so far; NULL: none asked for */
	unsigned pages;
	bool up;
	int64_t listed_at;
	uint64_t list_due_ms;

	unsigned calls, failures; /* in a row */
	uint64_t open_until_ms;   /* its breaker; 0: closed */
	bool trying;              /* the one call that may try */
	char error[128];          /* the last; "": none */
};

/* A call under way, between its start and the answer. */
struct job {
	bool used, done;
	uint8_t request_id[AG_UUID_BYTES];
	char wake[8 + 2 * AG_UUID_BYTES];
	struct server *server;
	char path[GATEWAY_PATH_SIZE];
	uint64_t due_ms; /* nobody waits after that */
	/* How it went. */
	bool timed_out;
	char why[128];  /* "": it was answered */
	size_t bytes;
	json_t *result; /* or its error */
	bool is_error;
};

struct gateway {
	struct ag_ctx *ctx;
	struct fetcher *fetcher;
	struct server *servers; /* GATEWAY_SERVERS_MAX */
	unsigned server_count;
	struct job jobs[GATEWAY_CALLS_MAX];
	unsigned breaker_failures;
	uint64_t breaker_ms, refresh_ms;
	bool block; /* what looks like a secret keeps the result back */
};

enum { GM_CALLS, GM_REDACTED, GM_FAILED, GM_BREAKERS, GM_CHANGED, GM_TOOLS };
enum { GATEWAY_T_PINS };

/* ---- servers.c: the configured ones, and what is known of them */
ag_err servers_init(struct gateway *gateway) AG_MUST;
void servers_fini(struct gateway *gateway);
struct server *server_named(struct gateway *gateway, const char *tenant,
    const char *name);
struct tool *tool_at_path(struct gateway *gateway, const char *tenant,
    const char *path, struct server **server);
void tool_free(struct tool *tool);
const char *risk_name(enum risk risk);
const char *tool_state_name(enum tool_state state);
/* Why it is not to be called; NULL: it may be. */
const char *tool_why_not(const struct tool *tool);
/* The secret as its file has it now. */
void server_secret(struct server *server);
const struct pin *pin_of(const struct server *server, const char *tool);
void server_failed(struct server *server, const char *why);
void server_answered(struct server *server);
bool server_is_open(struct server *server);

/* ---- upstream.c: asking one */
struct upstream_answer {
	const char *why; /* NULL: result is there */
	bool timed_out;
	bool cut;        /* the answer is too long; why says so */
	bool is_error;   /* result is the error that the server answered with */
	json_t *result;  /* borrowed */
	size_t bytes;
};
typedef void upstream_done(void *arg, const struct upstream_answer *answer);
/* params is taken over. name: of the tool, or NULL. */
ag_err upstream_ask(struct server *server, const char *method, json_t *params,
    const char *name, unsigned timeout_ms, upstream_done *done, void *arg)
    AG_MUST;
/* A notification; nobody hears whether it came. */
void upstream_tell(struct server *server, const char *method);

/* ---- listing.c: which tools there are */
void listing_due(struct gateway *gateway); /* asks whom it is time to ask */

/* ---- pins.c: which definitions were accepted */
ag_err pins_apply(struct gateway *gateway, const Ag__ToolPinsFact *fact,
    uint64_t version) AG_MUST;
ag_err pins_load(struct gateway *gateway) AG_MUST;
/* Of each tool, from what is accepted; says what changed. */
void pins_judge(struct server *server, const struct tool *before,
    unsigned before_count);
void pins_first(struct server *server); /* accepts what is there */
ag_err on_tool_accept(void *state, struct ag_ctx *ctx, const void *msg);

/* ---- calls.c */
ag_err on_tool_call(void *state, struct ag_ctx *ctx, const void *msg);
void calls_sweep(struct gateway *gateway);

/* ---- shows.c: what is said of tools, to people and to planes */
ag_err on_tool_show(void *state, struct ag_ctx *ctx, const void *msg);
ag_err on_tool_server(void *state, struct ag_ctx *ctx, const void *msg);
ag_err show_server(struct gateway *gateway, const struct server *server,
    uint16_t type);
void catalog_publish(struct gateway *gateway);
void catalog_send(struct gateway *gateway, unsigned slot);

/* ---- arguments.c: does a value fit a tool's schema? Pure. */
struct misfit {
	char at[160];   /* JSON pointer */
	const char *reason, *detail; /* static */
};
bool arguments_fit(const json_t *schema, const json_t *value,
    struct misfit *misfit);
/* Why such a schema is not taken; NULL: it is. Takes x-mcp-header out. */
const char *schema_unfit(json_t *schema);

#endif
