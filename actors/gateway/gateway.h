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
	GATEWAY_SERVERS_MAX = 64,
	GATEWAY_CONFIGURED_MAX = 32,
	GATEWAY_MADE_MAX = 16,         /* added by API, of one tenant */
	GATEWAY_TOOLS_MAX = 64,        /* of one server; more are not looked at */
	GATEWAY_PAGES_MAX = 8,         /* of one list of tools */
	GATEWAY_CALLS_MAX = 256,       /* under way, of all servers */
	GATEWAY_TENANT_CALLS_MAX = GATEWAY_CALLS_MAX / 4, /* where there are several */
	GATEWAY_DESCRIPTION_MAX = 4096,
	GATEWAY_SCHEMA_MAX = 32 << 10, /* bytes of one tool's */
	GATEWAY_CATALOG_MAX = 2 << 20,
	GATEWAY_ERROR_TEXT_MAX = 1024, /* of what a server says went wrong */
	GATEWAY_WORKER_MARGIN_MS = 100, /* an answer is there so long before its deadline */
	GATEWAY_LIST_MS = 10000,
	GATEWAY_TOOL_SIZE = 64,        /* of a tool's name, NUL included */
	GATEWAY_PATH_SIZE = 64,        /* "<server>/<tool>" */
	GATEWAY_REPLICAS_MAX = 8,
	GATEWAY_SESSIONS_MAX = 1024,   /* of one stateful server */
	GATEWAY_URL_SIZE = 513,
	SESSION_ID_MAX = 128,          /* of a client's with its plane */
	SESSION_KEY_SIZE = 65,
	GATEWAY_NAME_SIZE = 21,        /* of a server */
	GATEWAY_KEY_SIZE = 2 * AG_NAME_MAX + 2,
	GATEWAY_PATHS = 4096,
	GATEWAY_REASON_MAX = 256,
	GATEWAY_CA_MAX = 16 << 10, /* bytes of PEM */
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
	char *title, *description, *schema; /* malloc'd */
	json_t *parsed; /* schema */
};

struct pin {
	char tool[GATEWAY_TOOL_SIZE];
	uint8_t digest[32];
};

struct replica {
	const char *url;
	uint64_t down_until_ms; /* 0: it answers, as far as is known */
};

/* With one replica of a server: the gateway's own, or a client's. */
struct session {
	char key[SESSION_KEY_SIZE]; /* whose; "": nobody's */
	unsigned replica;
	bool begun;     /* initialized; of the older revision */
	bool beginning;
	bool lost;      /* what it held: its client is to be told, once */
	bool told;
	unsigned calls; /* under way */
	uint64_t used_ms;
	char id[FETCH_SESSION_SIZE];
};

struct server {
	struct gateway *gateway;
	unsigned row; /* of gateway.servers, unless it was made */
	Ag__ToolServerFact *made; /* by API; NULL: configured */
	unsigned refs; /* exchanges and jobs that still look at it */
	bool gone;     /* from the table: the last that looks at it frees it */
	const char *name, *tenant, *secret_header;
	struct replica replicas[GATEWAY_REPLICAS_MAX];
	unsigned replica_count; /* at least one */
	bool stateful;
	struct session own, *sessions; /* GATEWAY_SESSIONS_MAX; NULL: not stateful */
	char ca_file[GATEWAY_PATHS], secret_file[GATEWAY_PATHS]; /* "": none */
	bool modern;
	enum risk risk;
	unsigned timeout_ms, concurrency;
	size_t answer_max;

	struct ag_secret *secret; /* NULL: none, or it could not be read */
	int64_t secret_seen;      /* of its file, as of then */
	uint64_t next_id;

	struct tool tools[GATEWAY_TOOLS_MAX];
	unsigned tool_count;
	struct pin pins[GATEWAY_TOOLS_MAX];
	unsigned pin_count;
	uint64_t version; /* of its stream: pins, and how it was added */
	bool pinned;      /* its tools were accepted once */
	bool pinning;     /* a first acceptance is on its way to the journal */

	json_t *listed; /* what has come of the list so far; NULL: none asked for */
	unsigned pages;
	bool up;
	int64_t listed_at;
	uint64_t list_due_ms;
	uint64_t retry_ms; /* how long it was left alone after the last failure */

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
	struct session *session;
	json_t *params; /* until they are sent */
	char path[GATEWAY_PATH_SIZE], tool[GATEWAY_TOOL_SIZE];
	uint64_t due_ms; /* nobody waits after that */
	/* How it went. */
	bool timed_out, lost;
	char why[128];  /* "": it was answered */
	size_t bytes;
	json_t *result; /* or its error */
	bool is_error;
};

struct gateway {
	struct ag_ctx *ctx;
	bool ready; /* what the tables have is in the table below */
	struct fetcher *fetcher;
	struct server *servers[GATEWAY_SERVERS_MAX];
	unsigned server_count;
	struct job jobs[GATEWAY_CALLS_MAX];
	unsigned breaker_failures;
	uint64_t breaker_ms, refresh_ms;
	bool block; /* what looks like a secret keeps the result back */
	uint8_t said[32]; /* digest of the catalogue that the planes have */
	uint64_t said_ms;
};

enum { GM_CALLS, GM_REDACTED, GM_FAILED, GM_BREAKERS, GM_CHANGED, GM_TOOLS };
enum { GATEWAY_T_PINS, GATEWAY_T_SERVERS, GATEWAY_T_SUSPENDED };

/* Who a server is, for what waits while servers come and go. */
struct server_key {
	char tenant[AG_NAME_MAX + 1], name[GATEWAY_NAME_SIZE];
};

/* ---- servers.c: which there are, and what is known of them */
ag_err servers_init(struct gateway *gateway) AG_MUST;
void servers_fini(struct gateway *gateway);
/* NULL: there is none. */
struct server *server_named(struct gateway *gateway, const char *tenant,
    const char *name);
struct server *server_of_key(struct gateway *gateway,
    const struct server_key *key);
struct server_key server_key(const struct server *server);
/* Puts one into the table, in the place of the one with its name if there is
 * one. fact is taken over. AG_FULL, AG_NO_MEMORY. */
ag_err server_make(struct gateway *gateway, Ag__ToolServerFact *fact) AG_MUST;
/* Out of the table at once; calls that are under way end as they would have. */
void server_leave(struct server *server);
void server_hold(struct server *server);
void server_release(struct server *server);
struct tool *tool_at_path(struct gateway *gateway, const char *tenant,
    const char *path, struct server **server);
void tool_free(struct tool *tool);
const char *risk_name(enum risk risk);
enum risk risk_of(const char *name); /* no name of one: destructive */
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
	bool lost;       /* the session is not known there any more, or nobody is */
	bool is_error;   /* result is the error that the server answered with */
	json_t *result;  /* borrowed */
	size_t bytes;
};
typedef void upstream_done(void *arg, const struct upstream_answer *answer);
/* params is taken over. name: of the tool, or NULL. */
ag_err upstream_ask(struct server *server, struct session *session,
    const char *method, json_t *params, const char *name, unsigned timeout_ms,
    upstream_done *done, void *arg) AG_MUST;
/* A notification; nobody hears whether it came. */
void upstream_tell(struct server *server, struct session *session,
    const char *method);

/* ---- sessions.c: replicas, and whose session is at which */
bool server_has_live(const struct server *server);
unsigned replica_for(const struct server *server, const char *key);
void replica_failed(struct server *server, unsigned replica);
void session_key(const Ag__Grant *grant, char out[SESSION_KEY_SIZE]);
/* Of whoever asks, at a stateful server; a new one if there is none. Refuses
 * who has lost one. */
ag_err session_of(struct server *server, struct session **out) AG_MUST;
ag_err session_refuse_lost(struct ag_ctx *ctx) AG_MUST;
/* All of them: the server is not the one that they began with. */
void sessions_lose(struct server *server);
/* Of one that is in the old one's place: who had a session there is told. */
void sessions_inherit(struct server *server, const struct server *old);
void session_hold(struct session *session);
void session_release(struct session *session);

/* ---- listing.c: which tools there are */
void listing_due(struct gateway *gateway); /* asks whom it is time to ask */

/* ---- made.c: servers that are added by API */
ag_err made_apply(struct gateway *gateway, const Ag__ToolServerFact *fact,
    uint64_t version) AG_MUST;
ag_err made_load(struct gateway *gateway) AG_MUST;
/* One that ends takes its servers with it; of one that is suspended nobody is
 * asked. */
ag_err made_tenant(struct gateway *gateway, const Ag__TenantFact *fact) AG_MUST;
bool made_is_suspended(struct gateway *gateway, const char *tenant);
ag_err on_tool_server_set(void *state, struct ag_ctx *ctx, const void *msg);
ag_err on_tool_server_delete(void *state, struct ag_ctx *ctx, const void *msg);

/* Of its stream, whether it is there or not; 0: it never was. */
uint64_t made_version(struct gateway *gateway, const char *tenant,
    const char *name);

/* ---- made_check.c */
/* Where the secret of that name of that tenant is; false: too long. */
bool made_secret_path(struct gateway *gateway, const char *tenant,
    const char *secret, char out[GATEWAY_PATHS]);
/* Refuses what is no server that whoever asks may have. */
ag_err made_check(struct gateway *gateway, const char *name,
    const Ag__ToolServerSetAsk *set) AG_MUST;

/* ---- pins.c: which definitions were accepted */
/* A server's row in both tables. Its length. */
size_t key_of(const char *tenant, const char *server,
    char out[GATEWAY_KEY_SIZE]);
/* "tools:<tenant>/<server>" is a server's stream. */
enum { STREAM_SIZE = 2 * AG_NAME_MAX + 10 };
void stream_of(const char *tenant, const char *server, char out[STREAM_SIZE]);
ag_err pins_apply(struct gateway *gateway, const Ag__ToolPinsFact *fact,
    uint64_t version) AG_MUST;
/* Of one that has just come into the table. */
ag_err pins_load(struct server *server) AG_MUST;
/* Of each tool, from what is accepted; says what changed. */
void pins_judge(struct server *server, const struct tool *before,
    unsigned before_count);
void pins_first(struct server *server); /* accepts what is there */
ag_err on_tool_accept(void *state, struct ag_ctx *ctx, const void *msg);

/* ---- calls.c */
ag_err on_tool_call(void *state, struct ag_ctx *ctx, const void *msg);
void calls_sweep(struct gateway *gateway);
void calls_fini(struct gateway *gateway);

/* ---- shows.c: what is said of tools, to people and to planes */
ag_err on_tool_show(void *state, struct ag_ctx *ctx, const void *msg);
ag_err on_tool_server(void *state, struct ag_ctx *ctx, const void *msg);
ag_err on_tool_server_list(void *state, struct ag_ctx *ctx, const void *msg);
/* The lists of it are in the turn's memory, the rest is the server's. */
ag_err fill_server(const struct server *server, Ag__ToolServer *out) AG_MUST;
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
