/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Servers that are added by API. What is kept of one is in the journal, without
 * its secret: that is a file of the operator's, in the tenant's own folder, so
 * that no tenant can have another's sent to an address of its own.
 */
#include "gateway.h"

#include "sieve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	HEADER_MAX = 64,
	REASON_MAX = 256,
	TIMEOUT_MS_MIN = 10,
	TIMEOUT_MS_MAX = 60000,
	CONCURRENCY_MAX = 64,
	ANSWER_MIN = 1 << 10,
	ANSWER_MAX = 1 << 20,
};

#define LOWER "abcdefghijklmnopqrstuvwxyz0123456789"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

/* Printable, and of these only: what it is is not left to how a library of HTTP
 * reads it. No user, no query: that is where secrets are put. */
#define URL_CHARS LOWER UPPER "-._~:/[]%!$&'()*+,;="

bool
made_secret_path(struct gateway *gateway, const char *tenant,
    const char *secret, char out[GATEWAY_PATHS])
{
	const char *folder = ag_config_str(gateway->ctx, "gateway.secret_folder", 0);
	bool absolute = folder[0] == '/';
	int len = snprintf(out, GATEWAY_PATHS, "%s%s%s/%s/%s",
	    absolute ? "" : ag_state_dir(gateway->ctx), absolute ? "" : "/", folder,
	    tenant, secret);

	return len > 0 && len < GATEWAY_PATHS;
}

/* ------------------------------------------------------------------ is it good? */

static ag_err
bad(struct ag_ctx *ctx, const char *reason, const char *field, const char *detail)
{
	return ag_refuse(ctx, AG_INVALID_FIELD, reason, field, "%s", detail);
}

static bool
is_server_name(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len < GATEWAY_NAME_SIZE && name[0] != '-' &&
	    strspn(name, LOWER "-") == len;
}

/* A name, never a path. */
static bool
is_file_name(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len <= AG_NAME_MAX && name[0] != '.' &&
	    strspn(name, LOWER UPPER "._-") == len;
}

static bool
is_member_name(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len <= 64 && strspn(name, LOWER UPPER "._-") == len;
}

static bool
is_allowed(struct ag_ctx *ctx, const char *url, size_t origin)
{
	const struct ag_config *c = ag_config(ctx);
	const char *one = ag_config_get_item(c, "gateway.origins", 0, 0);
	unsigned i;

	if (one == NULL)
		return true;
	for (i = 0; (one = ag_config_get_item(c, "gateway.origins", 0, i)) != NULL;
	    i++)
		if (strlen(one) == origin && strncmp(one, url, origin) == 0)
			return true;
	return false;
}

static ag_err
check_url(struct ag_ctx *ctx, const char *url, const char *field)
{
	bool far = strncmp(url, "https://", 8) == 0;
	size_t len = strlen(url), scheme = far ? 8 : 7, host;

	if (!far && strncmp(url, "http://", 7) != 0)
		return bad(ctx, "unknown_value", field, "https:// is expected, or "
		    "http:// on loopback.");
	host = strcspn(url + scheme, "/");
	if (len >= GATEWAY_URL_SIZE || host == 0 || strspn(url, URL_CHARS) != len)
		return bad(ctx, "out_of_range", field, "A host and a path of plain "
		    "characters are expected, without user, query or fragment, at "
		    "most 512 characters.");
	if (!far && !ag_is_loopback(url + scheme))
		return bad(ctx, "unknown_value", field,
		    "Plain HTTP is for loopback only.");
	/* What listens here is the operator's: it is for gateway.origins to say
	 * that others may have it asked. */
	if (!far && strcmp(ag_grant(ctx)->tenant, "default") != 0 &&
	    ag_config_get_item(ag_config(ctx), "gateway.origins", 0, 0) == NULL)
		return bad(ctx, "unknown_value", field,
		    "Nothing on this machine is for this tenant: gateway.origins "
		    "does not name it.");
	if (!is_allowed(ctx, url, scheme + host))
		return bad(ctx, "unknown_value", field,
		    "No server may be added there: it is not in gateway.origins.");
	return AG_OK;
}

static ag_err
check_replicas(struct ag_ctx *ctx, const Ag__ToolServerSetAsk *set)
{
	ag_err err = AG_OK;
	size_t i;

	if (set->n_replicas >= GATEWAY_REPLICAS_MAX)
		return bad(ctx, "out_of_range", "/replicas", "At most 7 are expected.");
	for (i = 0; i < set->n_replicas && err == AG_OK; i++)
		err = check_url(ctx, set->replicas[i], "/replicas");
	return err;
}

/* A server without what it is to be told is refused, not found out later. */
static ag_err
check_secret(struct gateway *gateway, const Ag__ToolServerSetAsk *set)
{
	struct ag_ctx *ctx = gateway->ctx;
	struct ag_secret *secret = NULL;
	char path[GATEWAY_PATHS];
	const char *why, *header = set->secret_header;
	size_t len = header == NULL ? 1 : strlen(header);

	if (len == 0 || len > HEADER_MAX ||
	    (header != NULL && strspn(header, LOWER UPPER "-") != len))
		return bad(ctx, "out_of_range", "/secret_header",
		    "The name of an HTTP field is expected.");
	if (set->secret == NULL)
		return header == NULL ? AG_OK : bad(ctx, "conflicting_fields",
		    "/secret_header", "There is no secret to be sent in it.");
	if (!is_file_name(set->secret) || !made_secret_path(gateway,
	    ag_grant(ctx)->tenant, set->secret, path))
		return bad(ctx, "out_of_range", "/secret", "The name of a file in the "
		    "tenant's folder of secrets is expected.");
	if ((why = ag_secret_read(path, &secret)) == NULL) {
		ag_secret_free(&secret);
		return AG_OK;
	}
	ag_log(ctx, AG_WARN, "GATEWAY-SECRET", "file=%s why=%s", path, why);
	return bad(ctx, "unknown_value", "/secret", "The tenant's folder of secrets "
	    "has no file of this name that only the gateway may read.");
}

static bool
is_one_of(const char *word, const char *const *words)
{
	for (; word != NULL && *words != NULL; words++)
		if (strcmp(word, *words) == 0)
			return true;
	return word == NULL;
}

static const char *const risk_words[] = { "read", "write", "destructive", NULL };

static bool
are_members(char *const *names, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (!is_member_name(names[i]))
			return false;
	return count <= SIEVE_FIELDS_MAX / 2;
}

static ag_err
check_rules(struct ag_ctx *ctx, const Ag__ToolServerSetAsk *set)
{
	size_t i, k;

	if (set->n_rules > GATEWAY_TOOLS_MAX)
		return bad(ctx, "out_of_range", "/rules", "At most 64 are expected.");
	for (i = 0; i < set->n_rules; i++) {
		const Ag__ToolRule *rule = set->rules[i];

		if (strlen(rule->tool) >= GATEWAY_TOOL_SIZE ||
		    !is_member_name(rule->tool) ||
		    !is_one_of(rule->risk, risk_words) ||
		    rule->timeout_ms > TIMEOUT_MS_MAX ||
		    !are_members(rule->redact, rule->n_redact))
			return bad(ctx, "out_of_range", "/rules", "A rule has the name "
			    "of a tool, a risk of read, write or destructive, and at "
			    "most 60000 ms.");
		for (k = 0; k < i; k++)
			if (strcmp(set->rules[k]->tool, rule->tool) == 0)
				return bad(ctx, "conflicting_fields", "/rules",
				    "A tool has one rule.");
	}
	return AG_OK;
}

static bool
is_between(bool has, uint32_t value, uint32_t min, uint32_t max)
{
	return !has || (value >= min && value <= max);
}

static ag_err
check_set(struct gateway *gateway, const char *name,
    const Ag__ToolServerSetAsk *set)
{
	static const char *const versions[] = { WIRE_THEN, WIRE_NOW, NULL };
	struct ag_ctx *ctx = gateway->ctx;
	ag_err err;

	if (!is_server_name(name))
		return bad(ctx, "bad_alias", NULL, "A server's name has at most 20 of "
		    "a-z, 0-9 and -.");
	if ((err = check_url(ctx, set->url, "/url")) != AG_OK)
		return err;
	if ((err = check_replicas(ctx, set)) != AG_OK)
		return err;
	if (!is_one_of(set->protocol, versions))
		return bad(ctx, "unknown_value", "/protocol",
		    WIRE_THEN " or " WIRE_NOW " is expected.");
	if (!is_one_of(set->risk, risk_words))
		return bad(ctx, "unknown_value", "/risk",
		    "read, write or destructive is expected.");
	if (!is_between(set->has_timeout_ms, set->timeout_ms, TIMEOUT_MS_MIN,
	    TIMEOUT_MS_MAX))
		return bad(ctx, "out_of_range", "/timeout_ms",
		    "10 to 60000 are expected.");
	if (!is_between(set->has_concurrency, set->concurrency, 1, CONCURRENCY_MAX))
		return bad(ctx, "out_of_range", "/concurrency",
		    "1 to 64 are expected.");
	if (!is_between(set->has_response_bytes, set->response_bytes, ANSWER_MIN,
	    ANSWER_MAX))
		return bad(ctx, "out_of_range", "/response_bytes",
		    "1024 to 1048576 are expected.");
	if (!are_members(set->redact, set->n_redact))
		return bad(ctx, "out_of_range", "/redact",
		    "A few names of members are expected.");
	if (set->reason != NULL && strlen(set->reason) > REASON_MAX)
		return bad(ctx, "out_of_range", "/reason",
		    "At most 256 characters are expected.");
	if ((err = check_rules(ctx, set)) != AG_OK)
		return err;
	return check_secret(gateway, set);
}

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
	if ((err = check_set(gateway, fact.server, ask)) != AG_OK)
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
	if (ask->reason[0] == '\0' || strlen(ask->reason) > REASON_MAX)
		return bad(ctx, "out_of_range", "?reason",
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
