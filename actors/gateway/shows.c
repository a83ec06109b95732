/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is said of tools: to people over REST, each their own; to the planes of
 * tools, all that may be called.
 */
#include "gateway.h"

#include <scope.h>
#include <string.h>

enum { SCOPES_MAX = 256 };

/* ------------------------------------------------------------------- to people */

static char *
hex_of(struct ag_ctx *ctx, const uint8_t digest[32])
{
	char *text = ag_alloc(ctx, 65);

	if (text != NULL)
		ag_hex(digest, 32, text);
	return text;
}

static Ag__ToolShown *
show_tool(struct ag_ctx *ctx, const struct server *server,
    const struct tool *tool)
{
	const struct pin *pin = pin_of(server, tool->name);
	Ag__ToolShown *out = ag_alloc(ctx, sizeof(*out));

	if (out == NULL)
		return NULL;
	ag__tool_shown__init(out);
	out->name = (char *)(uintptr_t)tool->path;
	out->title = tool->title;
	out->description = tool->state == TOOL_UNFIT ? (char *)"" :
	    tool->description;
	out->risk = (char *)(uintptr_t)risk_name(tool->risk);
	out->state = (char *)(uintptr_t)tool_state_name(tool->state);
	out->why = (char *)(uintptr_t)tool_why_not(tool);
	out->digest = hex_of(ctx, tool->digest);
	out->accepted = pin == NULL ? NULL : hex_of(ctx, pin->digest);
	out->input_schema = tool->schema;
	return out->digest == NULL ? NULL : out;
}

static bool
may_call(const Ag__Grant *grant, const struct ag_scope *scopes, size_t count,
    const struct server *server, const struct tool *tool)
{
	const struct ag_scope_label label = { "server", server->name };
	const struct ag_scope_target target = { tool->path, NULL, &label, 1 };
	size_t i;

	if (grant->has_read_all && grant->read_all)
		return true;
	for (i = 0; i < count; i++)
		if (ag_scope_matches(&scopes[i], AG_SCOPE_TOOL, "call", &target))
			return true;
	return false;
}

static size_t
read_scopes(struct ag_ctx *ctx, const Ag__Grant *grant, struct ag_scope **out)
{
	size_t i, count = 0;

	*out = ag_alloc(ctx, SCOPES_MAX * sizeof(**out));
	for (i = 0; *out != NULL && i < grant->n_read_scopes &&
	    count < SCOPES_MAX; i++)
		if (ag_scope_parse(grant->read_scopes[i], &(*out)[count]))
			count++;
	return count;
}

static ag_err
add_tools(struct ag_ctx *ctx, const struct server *server,
    Ag__ToolShown ***items, size_t *count)
{
	unsigned i;

	*items = ag_alloc(ctx, (server->tool_count + 1) * sizeof(**items));
	if (*items == NULL)
		return AG_NO_MEMORY;
	for (i = 0; i < server->tool_count; i++)
		if (((*items)[(*count)++] = show_tool(ctx, server,
		    &server->tools[i])) == NULL)
			return AG_NO_MEMORY;
	return AG_OK;
}

ag_err
on_tool_show(void *state, struct ag_ctx *ctx, const void *msg)
{
	Ag__ToolShowReply reply = AG__TOOL_SHOW_REPLY__INIT;
	const Ag__ToolShowAsk *ask = msg;
	const Ag__Grant *grant = ag_grant(ctx);
	struct gateway *gateway = state;
	struct ag_scope *scopes;
	size_t count = read_scopes(ctx, grant, &scopes);
	unsigned i, j;

	if (ag_config_int(ctx, "gateway.discovery") == 0)
		return ag_refuse(ctx, AG_ITEM_NOT_FOUND, NULL, NULL,
		    "Tools are not listed here.");
	reply.items = ag_alloc(ctx, ((size_t)gateway->server_count *
	    GATEWAY_TOOLS_MAX + 1) * sizeof(*reply.items));
	if (scopes == NULL || reply.items == NULL)
		return AG_NO_MEMORY;
	for (i = 0; i < gateway->server_count; i++) {
		const struct server *server = gateway->servers[i];

		if (strcmp(server->tenant, grant->tenant) != 0 ||
		    (ask->server != NULL && strcmp(server->name, ask->server) != 0))
			continue;
		for (j = 0; j < server->tool_count; j++) {
			if (!may_call(grant, scopes, count, server,
			    &server->tools[j]))
				continue;
			reply.items[reply.n_items] = show_tool(ctx, server,
			    &server->tools[j]);
			if (reply.items[reply.n_items++] == NULL)
				return AG_NO_MEMORY;
		}
	}
	return ag_reply(ctx, AG_MSG_TOOL_SHOW, &reply);
}

ag_err
fill_server(const struct server *server, Ag__ToolServer *out)
{
	struct ag_ctx *ctx = server->gateway->ctx;
	bool open = server->open_until_ms > ag_mono_ms(ctx);

	ag__tool_server__init(out);
	out->name = (char *)(uintptr_t)server->name;
	out->url = (char *)(uintptr_t)server->replicas[0].url;
	out->protocol = (char *)(server->modern ? WIRE_NOW : WIRE_THEN);
	out->state = (char *)(open ? "open" : server->up ? "up" : "down");
	out->calls = server->calls;
	out->has_listed_at = server->listed_at != 0;
	out->listed_at = server->listed_at;
	out->last_error = server->error[0] == '\0' ? NULL :
	    (char *)(uintptr_t)server->error;
	out->revision = server->version;
	out->source = (char *)(server->made != NULL ? "api" : "configuration");
	return add_tools(ctx, server, &out->tools, &out->n_tools);
}

ag_err
show_server(struct gateway *gateway, const struct server *server, uint16_t type)
{
	Ag__ToolServer out;

	return fill_server(server, &out) != AG_OK ? AG_NO_MEMORY :
	    ag_reply(gateway->ctx, type, &out);
}

ag_err
on_tool_server_list(void *state, struct ag_ctx *ctx, const void *msg)
{
	Ag__ToolServerListReply reply = AG__TOOL_SERVER_LIST_REPLY__INIT;
	struct gateway *gateway = state;
	Ag__ToolServer *all = ag_alloc(ctx, GATEWAY_SERVERS_MAX * sizeof(*all));
	unsigned i;

	(void)msg;
	reply.items = ag_alloc(ctx, GATEWAY_SERVERS_MAX * sizeof(*reply.items));
	if (all == NULL || reply.items == NULL)
		return AG_NO_MEMORY;
	for (i = 0; i < gateway->server_count; i++) {
		Ag__ToolServer *out = &all[reply.n_items];

		if (strcmp(gateway->servers[i]->tenant, ag_grant(ctx)->tenant) != 0)
			continue;
		if (fill_server(gateway->servers[i], out) != AG_OK)
			return AG_NO_MEMORY;
		/* Which tools it has is shown one by one. */
		out->n_tools = 0;
		reply.items[reply.n_items++] = out;
	}
	return ag_reply(ctx, AG_MSG_TOOL_SERVER_LIST, &reply);
}

ag_err
on_tool_server(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__Grant *grant = ag_grant(ctx);
	const struct server *server = server_named(state, grant->tenant,
	    grant->resource_id == NULL ? "" : grant->resource_id);

	(void)msg;
	if (server == NULL)
		return ag_refuse(ctx, AG_ITEM_NOT_FOUND, NULL, NULL,
		    "There is no such tool server.");
	return show_server(state, server, AG_MSG_TOOL_SERVER_READ);
}

/* ------------------------------------------------------------------ to planes */

static Ag__ToolOffered *
offer(struct ag_ctx *ctx, const struct server *server, const struct tool *tool)
{
	Ag__ToolOffered *out = ag_alloc(ctx, sizeof(*out));

	if (out == NULL)
		return NULL;
	ag__tool_offered__init(out);
	out->tenant = (char *)(uintptr_t)server->tenant;
	out->server = (char *)(uintptr_t)server->name;
	out->tool = (char *)(uintptr_t)tool->name;
	out->title = tool->title;
	out->description = tool->description;
	out->input_schema = tool->schema;
	out->risk = (char *)(uintptr_t)risk_name(tool->risk);
	return out;
}

static Ag__ToolCatalogEvent *
catalog(struct gateway *gateway)
{
	Ag__ToolCatalogEvent *out = ag_alloc(gateway->ctx, sizeof(*out));
	size_t bytes = 0, more, room = (size_t)gateway->server_count * GATEWAY_TOOLS_MAX;
	unsigned i, j;

	if (out == NULL)
		return NULL;
	ag__tool_catalog_event__init(out);
	out->tools = ag_alloc(gateway->ctx, (room + 1) * sizeof(*out->tools));
	if (out->tools == NULL)
		return NULL;
	for (i = 0; i < gateway->server_count; i++)
		for (j = 0; j < gateway->servers[i]->tool_count; j++) {
			const struct tool *tool = &gateway->servers[i]->tools[j];

			more = strlen(tool->schema) + strlen(tool->description);
			if (tool_why_not(tool) != NULL ||
			    more > GATEWAY_CATALOG_MAX - bytes)
				continue;
			bytes += more;
			out->tools[out->n_tools] = offer(gateway->ctx,
			    gateway->servers[i], tool);
			if (out->tools[out->n_tools++] == NULL)
				return NULL;
		}
	return out;
}

static bool
is_of_tools(struct ag_ctx *ctx, unsigned slot)
{
	const char *name = ag_slot_name(ctx, slot);

	return ag_slot_role(ctx, slot) == AG_ROLE_PLANE && name != NULL &&
	    (strncmp(name, "mcp", 3) == 0 || strncmp(name, "agent", 5) == 0);
}

static void
send_to(struct gateway *gateway, unsigned slot,
    const Ag__ToolCatalogEvent *event)
{
	if (ag_send(gateway->ctx, slot, AG_MSG_TOOL_CATALOG_EVENT, event) == AG_OK)
		return;
	gateway->said_ms = 0;
	ag_log(gateway->ctx, AG_WARN, "GATEWAY-CATALOG", "to=%s why=not sent",
	    ag_slot_name(gateway->ctx, slot));
}

void
catalog_send(struct gateway *gateway, unsigned slot)
{
	const Ag__ToolCatalogEvent *event;

	if (is_of_tools(gateway->ctx, slot) &&
	    (event = catalog(gateway)) != NULL)
		send_to(gateway, slot, event);
}

/* Nothing else, and not long ago: a server that fails says nothing new. */
static bool
was_said(struct gateway *gateway, const Ag__ToolCatalogEvent *event)
{
	uint64_t now = ag_mono_ms(gateway->ctx);
	uint8_t digest[32];
	size_t len;
	const uint8_t *bytes = ag_pack(gateway->ctx, event, &len);

	if (bytes == NULL)
		return false;
	ag_sha256(bytes, len, digest);
	if (gateway->said_ms != 0 && now - gateway->said_ms < gateway->refresh_ms &&
	    memcmp(digest, gateway->said, sizeof(digest)) == 0)
		return true;
	memcpy(gateway->said, digest, sizeof(digest));
	gateway->said_ms = now;
	return false;
}

void
catalog_publish(struct gateway *gateway)
{
	unsigned n = ag_slot_count(gateway->ctx, AG_ROLE_PLANE), i, slot;
	const Ag__ToolCatalogEvent *event = catalog(gateway);
	unsigned tools = 0;

	for (i = 0; i < gateway->server_count; i++)
		tools += gateway->servers[i]->tool_count;
	ag_metric_set(gateway->ctx, GM_TOOLS, tools);
	if (event == NULL || was_said(gateway, event))
		return;
	for (i = 0; i < n; i++) {
		slot = ag_slot(gateway->ctx, AG_ROLE_PLANE, i);
		if (slot != AG_SLOT_NONE && ag_slot_up(gateway->ctx, slot) &&
		    is_of_tools(gateway->ctx, slot))
			send_to(gateway, slot, event);
	}
}
