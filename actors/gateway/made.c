/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Servers that are added by API. What is kept of one is in the journal, without
 * its secret: that is a file of the operator's, in the tenant's own folder, so
 * that no tenant can have another's sent to an address of its own.
 */
#include "gateway.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --------------------------------------------------------------------- keeping */

static Ag__ToolServerFact *
read_row(const uint8_t *value, size_t len, uint64_t *version)
{
	if (len < 8)
		return NULL;
	memcpy(version, value, 8);
	return ag__tool_server_fact__unpack(NULL, len - 8, value + 8);
}

uint64_t
made_version(struct gateway *gateway, const char *tenant, const char *name)
{
	static const unsigned tables[] = { GATEWAY_T_PINS, GATEWAY_T_SERVERS };
	uint64_t version, newest = 0;
	char key[GATEWAY_KEY_SIZE];
	const uint8_t *value;
	size_t len, i;

	for (i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		if (ag_store_get(gateway->ctx, tables[i], key,
		    key_of(tenant, name, key), &value, &len) != AG_OK || len < 8)
			continue;
		memcpy(&version, value, 8);
		newest = version > newest ? version : newest;
	}
	return newest;
}

/* As the journal has it now. fact is taken over. */
static void
take(struct gateway *gateway, Ag__ToolServerFact *fact)
{
	struct server *server = server_named(gateway, fact->tenant, fact->server);
	ag_err err;

	/* A name that the configuration has since taken is the configuration's. */
	if (server != NULL && server->made == NULL) {
		if (fact->set != NULL)
			ag_log(gateway->ctx, AG_WARN, "GATEWAY-SHADOWED",
			    "server=%s", server->name);
		ag__tool_server_fact__free_unpacked(fact, NULL);
		return;
	}
	if (fact->set == NULL) {
		if (server != NULL)
			server_leave(server);
		ag__tool_server_fact__free_unpacked(fact, NULL);
		return;
	}
	if ((err = server_make(gateway, fact)) == AG_OK)
		return;
	ag_log(gateway->ctx, AG_ERROR, "GATEWAY-NO-ROOM", "server=%s error=%s",
	    fact->server, ag_err_row(err)->name);
	ag__tool_server_fact__free_unpacked(fact, NULL);
	/* The journal has it: there is room after the next start. */
}

ag_err
made_apply(struct gateway *gateway, const Ag__ToolServerFact *fact,
    uint64_t version)
{
	struct ag_ctx *ctx = gateway->ctx;
	char key[GATEWAY_KEY_SIZE];
	size_t key_len = key_of(fact->tenant, fact->server, key), len;
	uint8_t *packed = ag_pack(ctx, fact, &len), *value;
	Ag__ToolServerFact *own;
	struct server *server;
	ag_err err;

	if (packed == NULL || (value = ag_alloc(ctx, len + 8)) == NULL)
		return AG_NO_MEMORY;
	memcpy(value, &version, 8);
	memcpy(value + 8, packed, len);
	err = ag_store_put(ctx, GATEWAY_T_SERVERS, key, key_len, value, len + 8);
	if (err != AG_OK || !gateway->ready)
		return err;
	if ((own = ag__tool_server_fact__unpack(NULL, len, packed)) == NULL)
		return AG_NO_MEMORY;
	take(gateway, own);
	if (fact->set != NULL && (server = server_named(gateway, fact->tenant,
	    fact->server)) != NULL)
		err = pins_load(server);
	catalog_publish(gateway);
	return err;
}

static bool
on_row(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
    size_t len)
{
	struct gateway *gateway = arg;
	uint64_t version;
	Ag__ToolServerFact *fact = read_row(value, len, &version);

	(void)key;
	(void)key_len;
	if (fact == NULL)
		ag_log(gateway->ctx, AG_ERROR, "GATEWAY-LOAD", "why=a row is damaged");
	else
		take(gateway, fact);
	return true;
}

ag_err
made_load(struct gateway *gateway)
{
	return ag_store_scan(gateway->ctx, GATEWAY_T_SERVERS, NULL, 0, on_row,
	    gateway);
}

enum { DROP_MAX = 16 }; /* at a time */

struct ended {
	char prefix[AG_NAME_MAX + 2];
	char keys[DROP_MAX][GATEWAY_KEY_SIZE];
	size_t lens[DROP_MAX];
	unsigned count;
};

static bool
on_ended(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
    size_t len)
{
	struct ended *ended = arg;
	size_t prefix = strlen(ended->prefix);

	(void)value;
	(void)len;
	if (key_len <= prefix || key_len > GATEWAY_KEY_SIZE ||
	    memcmp(key, ended->prefix, prefix) != 0)
		return false;
	memcpy(ended->keys[ended->count], key, key_len);
	ended->lens[ended->count++] = key_len;
	return ended->count < DROP_MAX;
}

bool
made_is_suspended(struct gateway *gateway, const char *tenant)
{
	const uint8_t *value;
	size_t len;

	return ag_store_get(gateway->ctx, GATEWAY_T_SUSPENDED, tenant,
	    strlen(tenant), &value, &len) == AG_OK;
}

static ag_err
suspend(struct gateway *gateway, const char *tenant, bool yes)
{
	ag_err err;

	if (yes)
		return ag_store_put(gateway->ctx, GATEWAY_T_SUSPENDED, tenant,
		    strlen(tenant), "", 1);
	err = ag_store_del(gateway->ctx, GATEWAY_T_SUSPENDED, tenant,
	    strlen(tenant));
	return err == AG_ITEM_NOT_FOUND ? AG_OK : err;
}

ag_err
made_tenant(struct gateway *gateway, const Ag__TenantFact *fact)
{
	struct ag_ctx *ctx = gateway->ctx;
	struct ended *ended;
	ag_err err = AG_OK;
	unsigned i;

	if (strcmp(fact->state, "deleting") != 0 &&
	    strcmp(fact->state, "deleted") != 0)
		return suspend(gateway, fact->name,
		    strcmp(fact->state, "suspended") == 0);
	if ((ended = ag_alloc(ctx, sizeof(*ended))) == NULL)
		return AG_NO_MEMORY;
	snprintf(ended->prefix, sizeof(ended->prefix), "%s/", fact->name);
	do {
		ended->count = 0;
		err = ag_store_scan(ctx, GATEWAY_T_SERVERS, ended->prefix,
		    strlen(ended->prefix), on_ended, ended);
		for (i = 0; err == AG_OK && i < ended->count; i++)
			err = ag_store_del(ctx, GATEWAY_T_SERVERS, ended->keys[i],
			    ended->lens[i]);
	} while (err == AG_OK && ended->count == DROP_MAX);
	for (i = gateway->server_count; i-- > 0;)
		if (gateway->servers[i]->made != NULL &&
		    strcmp(gateway->servers[i]->tenant, fact->name) == 0)
			server_leave(gateway->servers[i]);
	if (gateway->ready)
		catalog_publish(gateway);
	return err;
}

/* ---------------------------------------------------------------------- asked */

static unsigned
count_made(struct gateway *gateway, const char *tenant)
{
	unsigned i, count = 0;

	for (i = 0; i < gateway->server_count; i++)
		count += gateway->servers[i]->made != NULL &&
		    strcmp(gateway->servers[i]->tenant, tenant) == 0;
	return count;
}

static ag_err
check_made(struct ag_ctx *ctx, const struct server *server)
{
	if (server == NULL || server->made != NULL)
		return AG_OK;
	return ag_refuse(ctx, AG_ILLEGAL_OPERATION, NULL, NULL,
	    "The server is in the configuration; it is changed there.");
}

static ag_err
check_room(struct gateway *gateway, const struct server *server,
    const char *tenant)
{
	if (server == NULL && (gateway->server_count == GATEWAY_SERVERS_MAX ||
	    count_made(gateway, tenant) >= GATEWAY_MADE_MAX))
		return ag_refuse(gateway->ctx, AG_ILLEGAL_OPERATION, NULL, NULL,
		    "There are as many tool servers as there may be.");
	return AG_OK;
}

static char *
protocol_of(const Ag__ToolServerSetAsk *set)
{
	return set->protocol == NULL ? (char *)WIRE_THEN : set->protocol;
}

/* What was there. One that found no room in the table can be taken away, too:
 * that is how room is made for it. */
static ag_err
say_old(struct gateway *gateway, const struct server *server,
    const Ag__ToolServerFact *which, Ag__ToolServer *out)
{
	struct ag_ctx *ctx = gateway->ctx;
	const Ag__ToolServerFact *kept = NULL;
	char key[GATEWAY_KEY_SIZE];
	const uint8_t *value;
	size_t len;

	if (server != NULL)
		return fill_server(server, out);
	if (ag_store_get(ctx, GATEWAY_T_SERVERS, key, key_of(which->tenant,
	    which->server, key), &value, &len) == AG_OK && len >= 8)
		kept = ag_unpack(ctx, &ag__tool_server_fact__descriptor, value + 8,
		    len - 8);
	if (kept == NULL || kept->set == NULL)
		return ag_refuse(ctx, AG_ITEM_NOT_FOUND, NULL, NULL,
		    "There is no such tool server.");
	ag__tool_server__init(out);
	out->name = which->server;
	out->url = kept->set->url;
	out->protocol = protocol_of(kept->set);
	out->source = (char *)"api";
	return AG_OK;
}

/* Into the journal; the answer is what it is from then on. */
static ag_err
keep(struct gateway *gateway, Ag__ToolServerFact *fact, uint64_t version,
    uint16_t type, Ag__ToolServer *reply)
{
	struct ag_ctx *ctx = gateway->ctx;
	char stream[STREAM_SIZE];
	const struct ag_fact row = { stream, version, AG_MSG_TOOL_SERVER_FACT, fact };

	stream_of(fact->tenant, fact->server, stream);
	fact->at = ag_now_ms(ctx);
	fact->by = ag_grant(ctx)->actor_id;
	reply->revision = version + 1;
	return ag_persist(ctx, &row, 1, type, reply, NULL, NULL, NULL, 0);
}

ag_err
on_tool_server_set(void *state, struct ag_ctx *ctx, const void *msg)
{
	Ag__ToolServerFact fact = AG__TOOL_SERVER_FACT__INIT;
	Ag__ToolServer reply = AG__TOOL_SERVER__INIT;
	const Ag__ToolServerSetAsk *ask = msg;
	const Ag__Grant *grant = ag_grant(ctx);
	struct gateway *gateway = state;
	const struct server *server;
	char stream[STREAM_SIZE];
	uint64_t version;
	ag_err err;

	fact.tenant = grant->tenant;
	fact.server = grant->resource_id == NULL ? (char *)"" : grant->resource_id;
	if ((err = made_check(gateway, fact.server, ask)) != AG_OK)
		return err;
	stream_of(fact.tenant, fact.server, stream);
	/* One after the other, whatever their names: what is on its way to the
	 * journal counts against the room that there is. */
	if ((err = ag_enter(ctx, stream, true)) != AG_OK ||
	    (err = ag_enter(ctx, "tool-servers", true)) != AG_OK)
		return err;
	server = server_named(gateway, fact.tenant, fact.server);
	version = made_version(gateway, fact.tenant, fact.server);
	if ((err = check_made(ctx, server)) != AG_OK ||
	    (err = check_room(gateway, server, fact.tenant)) != AG_OK ||
	    (err = ag_if_match(ctx, version)) != AG_OK)
		return err;
	ag_note_param(ctx, "url", ask->url);
	if (ask->reason != NULL)
		ag_note_reason(ctx, ask->reason);
	fact.set = (Ag__ToolServerSetAsk *)(uintptr_t)ask;
	fact.reason = ask->reason;
	reply.name = fact.server;
	reply.url = ask->url;
	reply.protocol = protocol_of(ask);
	reply.state = (char *)"down"; /* until it has said what it has */
	reply.source = (char *)"api";
	return keep(gateway, &fact, version, AG_MSG_TOOL_SERVER_SET, &reply);
}

ag_err
on_tool_server_delete(void *state, struct ag_ctx *ctx, const void *msg)
{
	Ag__ToolServerFact fact = AG__TOOL_SERVER_FACT__INIT;
	const Ag__ReasonAsk *ask = msg;
	const Ag__Grant *grant = ag_grant(ctx);
	struct gateway *gateway = state;
	const struct server *server;
	char stream[STREAM_SIZE];
	Ag__ToolServer reply;
	uint64_t version;
	ag_err err;

	fact.tenant = grant->tenant;
	fact.server = grant->resource_id == NULL ? (char *)"" : grant->resource_id;
	if (ask->reason[0] == '\0' ||
	    strlen(ask->reason) > GATEWAY_REASON_MAX)
		return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range", "?reason",
		    "A reason has 1 to 256 characters.");
	stream_of(fact.tenant, fact.server, stream);
	if ((err = ag_enter(ctx, stream, true)) != AG_OK)
		return err;
	server = server_named(gateway, fact.tenant, fact.server);
	version = made_version(gateway, fact.tenant, fact.server);
	if ((err = check_made(ctx, server)) != AG_OK ||
	    (err = say_old(gateway, server, &fact, &reply)) != AG_OK ||
	    (err = ag_if_match(ctx, version)) != AG_OK)
		return err;
	ag_note_reason(ctx, ask->reason);
	fact.reason = ask->reason;
	reply.state = (char *)"gone";
	return keep(gateway, &fact, version, AG_MSG_TOOL_SERVER_DELETE, &reply);
}
