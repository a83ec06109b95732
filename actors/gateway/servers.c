/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of servers, configured ones first, each with its secret, its
 * breaker and its tools.
 */
#include "gateway.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Of one that was added without saying it: as config.def has them. */
enum {
	MADE_TIMEOUT_MS = 5000,
	MADE_CONCURRENCY = 8,
	MADE_ANSWER_BYTES = 256 << 10,
};

static const char *const risks[] = {
	[RISK_READ] = "read", [RISK_WRITE] = "write",
	[RISK_DESTRUCTIVE] = "destructive",
};

const char *
risk_name(enum risk risk)
{
	return risks[risk];
}

const char *
tool_state_name(enum tool_state state)
{
	static const char *const names[] = {
		[TOOL_ACCEPTED] = "accepted", [TOOL_CHANGED] = "changed",
		[TOOL_NEW] = "new", [TOOL_UNFIT] = "unfit",
	};

	return names[state];
}

const char *
tool_why_not(const struct tool *tool)
{
	switch (tool->state) {
	case TOOL_CHANGED:
		return "its description or schema has changed since it was accepted";
	case TOOL_NEW:
		return "it was not there when the server's tools were accepted";
	case TOOL_UNFIT:
		return tool->unfit;
	case TOOL_ACCEPTED:
		break;
	}
	return tool->risk == RISK_DESTRUCTIVE && !tool->allowed ?
	    "it is destructive, and nothing allows it" : NULL;
}

/* ---------------------------------------------------------------------- secrets */

/* Changed, replaced or gone: then read again. The old one stays if the new one
 * is no good, so that a slip while it is replaced stops nothing. */
void
server_secret(struct server *server)
{
	struct ag_secret *fresh = NULL;
	const char *why;
	struct stat st;
	int64_t seen;

	if (server->secret_file[0] == '\0')
		return;
	seen = stat(server->secret_file, &st) != 0 ? 0 :
	    (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec +
	    (int64_t)st.st_ino;
	if (seen == server->secret_seen && server->secret != NULL)
		return;
	if ((why = ag_secret_read(server->secret_file, &fresh)) != NULL) {
		if (seen != server->secret_seen)
			ag_log(server->gateway->ctx, AG_ERROR, "GATEWAY-SECRET",
			    "server=%s file=%s why=%s", server->name,
			    server->secret_file, why);
		server->secret_seen = seen;
		return;
	}
	server->secret_seen = seen;
	if (server->secret != NULL && (ag_secret_len(server->secret) !=
	    ag_secret_len(fresh) || !ag_secret_equal(
	    ag_secret_bytes(server->secret), ag_secret_bytes(fresh),
	    ag_secret_len(fresh))))
		sessions_lose(server);
	ag_secret_free(&server->secret);
	server->secret = fresh;
	server->own.begun = false; /* whoever it was to the server is somebody else */
}

/* ---------------------------------------------------------------------- breaker */

bool
server_is_open(struct server *server)
{
	if (server->open_until_ms == 0)
		return false;
	return server->trying ||
	    ag_mono_ms(server->gateway->ctx) < server->open_until_ms;
}

void
server_failed(struct server *server, const char *why)
{
	struct gateway *gateway = server->gateway;
	bool was = server->open_until_ms != 0;

	snprintf(server->error, sizeof(server->error), "%s", why);
	server->trying = false;
	server->failures++;
	ag_metric_add(gateway->ctx, GM_FAILED, 1);
	if (server->failures < gateway->breaker_failures)
		return;
	server->open_until_ms = ag_mono_ms(gateway->ctx) + gateway->breaker_ms;
	if (was)
		return;
	ag_metric_add(gateway->ctx, GM_BREAKERS, 1);
	ag_log(gateway->ctx, AG_WARN, "GATEWAY-BREAKER", "server=%s failures=%u "
	    "why=%s", server->name, server->failures, why);
}

void
server_answered(struct server *server)
{
	server->failures = 0;
	server->open_until_ms = 0;
	server->trying = false;
	server->error[0] = '\0';
}

/* ---------------------------------------------------------------------- looking */

struct server *
server_named(struct gateway *gateway, const char *tenant, const char *name)
{
	unsigned i;

	for (i = 0; i < gateway->server_count; i++)
		if (strcmp(gateway->servers[i]->name, name) == 0 &&
		    strcmp(gateway->servers[i]->tenant, tenant) == 0)
			return gateway->servers[i];
	return NULL;
}

struct server *
server_of_key(struct gateway *gateway, const struct server_key *key)
{
	return server_named(gateway, key->tenant, key->name);
}

struct server_key
server_key(const struct server *server)
{
	struct server_key key = { 0 };

	snprintf(key.tenant, sizeof(key.tenant), "%s", server->tenant);
	snprintf(key.name, sizeof(key.name), "%s", server->name);
	return key;
}

struct tool *
tool_at_path(struct gateway *gateway, const char *tenant, const char *path,
    struct server **out)
{
	struct server *server;
	unsigned i, j;

	for (i = 0; i < gateway->server_count; i++) {
		server = gateway->servers[i];
		if (strcmp(server->tenant, tenant) != 0)
			continue;
		for (j = 0; j < server->tool_count; j++)
			if (strcmp(server->tools[j].path, path) == 0) {
				*out = server;
				return &server->tools[j];
			}
	}
	return NULL;
}

/* ---------------------------------------------------------------- configuration */

enum risk
risk_of(const char *name)
{
	return strcmp(name, "read") == 0 ? RISK_READ :
	    strcmp(name, "write") == 0 ? RISK_WRITE : RISK_DESTRUCTIVE;
}

/* As configured: absolute, or in the state directory. */
static ag_err
path_of(struct ag_ctx *ctx, const char *path, char out[GATEWAY_PATHS])
{
	int len;

	out[0] = '\0';
	if (path == NULL)
		return AG_OK;
	len = path[0] == '/' ? snprintf(out, GATEWAY_PATHS, "%s", path) :
	    snprintf(out, GATEWAY_PATHS, "%s/%s", ag_state_dir(ctx), path);
	return len < GATEWAY_PATHS ? AG_OK : AG_USAGE;
}

#define STR(member) ag_config_get_str(c, "gateway.servers[]." member, row)
#define INT(member) ag_config_get_int(c, "gateway.servers[]." member, row)

static bool
make_sessions(struct server *server)
{
	server->sessions = !server->stateful ? NULL :
	    calloc(GATEWAY_SESSIONS_MAX, sizeof(*server->sessions));
	return !server->stateful || server->sessions != NULL;
}

static ag_err
read_server(struct gateway *gateway, struct server *server, unsigned row)
{
	const struct ag_config *c = ag_config(gateway->ctx);
	const char *url;
	unsigned i;
	ag_err err;

	server->gateway = gateway;
	server->row = row;
	server->name = STR("name");
	server->tenant = STR("tenant");
	server->replicas[server->replica_count++].url = STR("url");
	for (i = 0; server->replica_count < GATEWAY_REPLICAS_MAX && (url =
	    ag_config_get_item(c, "gateway.servers[].replicas", row, i)) != NULL;
	    i++)
		server->replicas[server->replica_count++].url = url;
	server->stateful = INT("stateful") != 0;
	server->secret_header = STR("secret_header");
	server->modern = strcmp(STR("protocol"), WIRE_NOW) == 0;
	server->risk = risk_of(STR("risk"));
	server->timeout_ms = (unsigned)INT("timeout_ms");
	server->concurrency = (unsigned)INT("concurrency");
	server->answer_max = (size_t)INT("response_bytes");
	if ((err = path_of(gateway->ctx, STR("ca_file"), server->ca_file)) == AG_OK)
		err = path_of(gateway->ctx, STR("secret_file"),
		    server->secret_file);
	if (err == AG_OK && !make_sessions(server))
		err = AG_NO_MEMORY;
	if (err == AG_OK)
		server_secret(server);
	/* Without what it is to be told, it is not asked at all. */
	if (err == AG_OK && server->secret_file[0] != '\0' &&
	    server->secret == NULL)
		err = AG_USAGE;
	return err;
}

ag_err
servers_init(struct gateway *gateway)
{
	struct ag_ctx *ctx = gateway->ctx;
	unsigned n = ag_config_count(ctx, "gateway.servers"), i;
	ag_err err = AG_OK;

	if (n > GATEWAY_CONFIGURED_MAX) {
		ag_log(ctx, AG_ERROR, "GATEWAY-SERVERS", "count=%u max=%d", n,
		    GATEWAY_CONFIGURED_MAX);
		return AG_USAGE;
	}
	for (i = 0; err == AG_OK && i < n; i++) {
		struct server *server = calloc(1, sizeof(*server));

		if (server == NULL)
			return AG_NO_MEMORY;
		gateway->servers[gateway->server_count++] = server;
		err = read_server(gateway, server, i);
	}
	return err;
}

/* ------------------------------------------------------------------ come and go */

#define OR(member, otherwise) \
	(set->has_##member ? set->member : (otherwise))

ag_err
server_make(struct gateway *gateway, Ag__ToolServerFact *fact)
{
	struct server *old = server_named(gateway, fact->tenant, fact->server);
	struct server *server = calloc(1, sizeof(*server));
	const Ag__ToolServerSetAsk *set = fact->set;
	size_t i;

	if (server == NULL)
		return AG_NO_MEMORY;
	server->gateway = gateway;
	server->name = fact->server;
	server->tenant = fact->tenant;
	server->replicas[server->replica_count++].url = set->url;
	for (i = 0; i < set->n_replicas &&
	    server->replica_count < GATEWAY_REPLICAS_MAX; i++)
		server->replicas[server->replica_count++].url = set->replicas[i];
	server->stateful = set->has_stateful && set->stateful;
	server->secret_header = set->secret_header;
	server->modern = set->protocol != NULL &&
	    strcmp(set->protocol, WIRE_NOW) == 0;
	server->risk = set->risk == NULL ? RISK_WRITE : risk_of(set->risk);
	server->timeout_ms = OR(timeout_ms, MADE_TIMEOUT_MS);
	server->concurrency = OR(concurrency, MADE_CONCURRENCY);
	server->answer_max = OR(response_bytes, MADE_ANSWER_BYTES);
	if ((set->secret != NULL && !made_secret_path(gateway, fact->tenant,
	    set->secret, server->secret_file)) ||
	    (old == NULL && gateway->server_count == GATEWAY_SERVERS_MAX) ||
	    !make_sessions(server)) {
		free(server);
		return AG_FULL;
	}
	server_secret(server);
	if (old != NULL) {
		sessions_inherit(server, old);
		server_leave(old);
	}
	server->made = fact;
	gateway->servers[gateway->server_count++] = server;
	return AG_OK;
}

void
tool_free(struct tool *tool)
{
	free(tool->title);
	free(tool->description);
	free(tool->schema);
	json_decref(tool->parsed);
	memset(tool, 0, sizeof(*tool));
}

static void
server_free(struct server *server)
{
	unsigned i;

	for (i = 0; i < server->tool_count; i++)
		tool_free(&server->tools[i]);
	json_decref(server->listed);
	ag_secret_free(&server->secret);
	free(server->sessions);
	if (server->made != NULL)
		ag__tool_server_fact__free_unpacked(server->made, NULL);
	free(server);
}

void
server_hold(struct server *server)
{
	server->refs++;
}

void
server_release(struct server *server)
{
	if (--server->refs == 0 && server->gone)
		server_free(server);
}

void
server_leave(struct server *server)
{
	struct gateway *gateway = server->gateway;
	unsigned i;

	for (i = 0; gateway->servers[i] != server; i++)
		;
	gateway->server_count--;
	memmove(&gateway->servers[i], &gateway->servers[i + 1],
	    (gateway->server_count - i) * sizeof(gateway->servers[0]));
	server->gone = true;
	if (server->refs == 0)
		server_free(server);
}

void
servers_fini(struct gateway *gateway)
{
	unsigned i;

	for (i = 0; i < gateway->server_count; i++)
		server_free(gateway->servers[i]);
	gateway->server_count = 0;
}
