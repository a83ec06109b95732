/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which tools a server has: asked when it is first met and again from time to
 * time, page by page. Everything in a definition is a stranger's text.
 */
#include "gateway.h"

#include "sieve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RETRY_MS = 1000 };

static void list_page(struct server *server, const char *cursor);

/* ------------------------------------------------------------------ one of them */

/* A tool's name becomes part of a scope, of a field and of what models call. */
static bool
is_name(const char *name, const char *server)
{
	static const char rest[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789._-";
	size_t len = strlen(name);

	return len > 0 && strlen(server) + 1 + len < GATEWAY_PATH_SIZE &&
	    strspn(name, rest) == len && strchr("._-", name[0]) == NULL;
}

/* What a model is told of it, in one form whatever the order of its members. */
static bool
digest_of(const json_t *definition, uint8_t out[32])
{
	static const char *const said[] = { "name", "title", "description",
		"inputSchema", "outputSchema", "annotations" };
	json_t *whole = json_object();
	char *text = NULL;
	bool ok = whole != NULL;
	json_t *member;
	size_t i;

	for (i = 0; ok && i < sizeof(said) / sizeof(said[0]); i++)
		if ((member = json_object_get(definition, said[i])) != NULL)
			ok = json_object_set(whole, said[i], member) == 0;
	if (ok)
		text = json_dumps(whole, JSON_COMPACT | JSON_SORT_KEYS);
	if (text != NULL)
		ag_sha256(text, strlen(text), out);
	free(text);
	json_decref(whole);
	return text != NULL;
}

static void
take_rule(struct tool *tool, const char *risk, bool allow, unsigned timeout_ms)
{
	if (risk != NULL)
		tool->risk = risk_of(risk);
	tool->allowed = allow;
	if (timeout_ms > 0)
		tool->timeout_ms = timeout_ms;
}

/* What the configuration says of a tool of a configured server. */
static void
read_configured(struct server *server, struct tool *tool)
{
	const struct ag_config *c = ag_config(server->gateway->ctx);
	unsigned n = ag_config_get_count(c, "gateway.tools"), i;

	for (i = 0; i < n; i++) {
		if (strcmp(ag_config_get_str(c, "gateway.tools[].tool", i),
		    tool->path) != 0)
			continue;
		take_rule(tool, ag_config_get_str(c, "gateway.tools[].risk", i),
		    ag_config_get_int(c, "gateway.tools[].allow", i) != 0,
		    (unsigned)ag_config_get_int(c, "gateway.tools[].timeout_ms", i));
		return;
	}
}

static void
read_made(const struct server *server, struct tool *tool)
{
	const Ag__ToolServerSetAsk *set = server->made->set;
	size_t i;

	for (i = 0; i < set->n_rules; i++)
		if (strcmp(set->rules[i]->tool, tool->name) == 0) {
			take_rule(tool, set->rules[i]->risk,
			    set->rules[i]->has_allow && set->rules[i]->allow,
			    set->rules[i]->timeout_ms);
			return;
		}
}

/* What its owner says of it, and only upwards what it says itself. */
static void
read_rules(struct server *server, struct tool *tool, const json_t *definition)
{
	const json_t *hints = json_object_get(definition, "annotations");

	tool->risk = json_is_true(json_object_get(hints, "destructiveHint")) ?
	    RISK_DESTRUCTIVE : server->risk;
	tool->timeout_ms = server->timeout_ms;
	if (server->made != NULL)
		read_made(server, tool);
	else
		read_configured(server, tool);
}

static const char *
text_of(const json_t *definition, const char *member)
{
	const char *text = json_string_value(json_object_get(definition, member));

	return text == NULL ? "" : text;
}

static const char *
why_unfit(const struct tool *tool, json_t *schema)
{
	const char *why = sieve_unfit(tool->description, GATEWAY_DESCRIPTION_MAX);

	if (why == NULL)
		why = sieve_unfit(tool->title, 256);
	if (why == NULL && !json_is_object(schema))
		why = "it has no schema";
	if (why == NULL)
		why = schema_unfit(schema);
	return why;
}

/* False: no memory, or nothing that could be named. */
static bool
read_tool(struct server *server, struct tool *tool, const json_t *definition)
{
	const char *name = text_of(definition, "name");
	json_t *schema = json_object_get(definition, "inputSchema");

	if (!is_name(name, server->name))
		return false;
	snprintf(tool->name, sizeof(tool->name), "%s", name);
	snprintf(tool->path, sizeof(tool->path), "%.20s/%.42s", server->name, name);
	read_rules(server, tool, definition);
	if (!digest_of(definition, tool->digest))
		return false;
	tool->title = strdup(text_of(definition, "title"));
	tool->description = strdup(text_of(definition, "description"));
	if (tool->title == NULL || tool->description == NULL)
		return false;
	tool->parsed = json_deep_copy(schema);
	tool->unfit = why_unfit(tool, tool->parsed);
	tool->schema = tool->unfit != NULL ? strdup("{}") :
	    json_dumps(tool->parsed, JSON_COMPACT);
	if (tool->schema != NULL && tool->unfit == NULL)
		tool->unfit = sieve_unfit(tool->schema, GATEWAY_SCHEMA_MAX);
	return tool->schema != NULL;
}

/* ------------------------------------------------------------------ the list */

static bool
is_known(const struct server *server, const char *name)
{
	unsigned i;

	for (i = 0; i < server->tool_count; i++)
		if (strcmp(server->tools[i].name, name) == 0)
			return true;
	return false;
}

static void
take_list(struct server *server, const json_t *list)
{
	struct tool *before = calloc(GATEWAY_TOOLS_MAX, sizeof(*before));
	unsigned count = server->tool_count, i;
	const json_t *one;
	size_t at;

	if (before == NULL)
		return;
	memcpy(before, server->tools, sizeof(server->tools));
	memset(server->tools, 0, sizeof(server->tools));
	server->tool_count = 0;
	json_array_foreach(list, at, one) {
		struct tool *tool = &server->tools[server->tool_count];

		if (server->tool_count == GATEWAY_TOOLS_MAX ||
		    is_known(server, text_of(one, "name")))
			continue;
		if (read_tool(server, tool, one))
			server->tool_count++;
		else
			tool_free(tool);
	}
	if (json_array_size(list) != server->tool_count)
		ag_log(server->gateway->ctx, AG_WARN, "GATEWAY-TOOLS",
		    "server=%s listed=%zu taken=%u", server->name,
		    json_array_size(list), server->tool_count);
	pins_judge(server, before, count);
	for (i = 0; i < count; i++)
		tool_free(&before[i]);
	free(before);
}

/* Twice as long each time, up to as long as one that answers is left alone. */
static uint64_t
next_retry(const struct server *server)
{
	uint64_t ms = server->retry_ms == 0 ? RETRY_MS : 2 * server->retry_ms;

	return ms < server->gateway->refresh_ms ? ms : server->gateway->refresh_ms;
}

static void
end_list(struct server *server, const char *why)
{
	bool whole = why == NULL;
	struct gateway *gateway = server->gateway;
	json_t *list = server->listed;

	server->listed = NULL;
	if (server->gone) {
		json_decref(list);
		return;
	}
	server->retry_ms = whole ? 0 : next_retry(server);
	server->list_due_ms = ag_mono_ms(gateway->ctx) +
	    (whole ? gateway->refresh_ms : server->retry_ms);
	if (server->up != whole)
		ag_log(gateway->ctx, whole ? AG_INFO : AG_WARN, whole ? "GATEWAY-UP" :
		    "GATEWAY-DOWN", "server=%s why=%s", server->name,
		    whole ? "" : why);
	server->up = whole;
	if (!whole)
		snprintf(server->error, sizeof(server->error), "%s", why);
	if (whole) {
		server->listed_at = ag_now_ms(gateway->ctx);
		take_list(server, list);
		if (!server->pinned && !server->pinning)
			pins_first(server);
	}
	json_decref(list);
	catalog_publish(gateway);
}

static void
on_page(void *arg, const struct upstream_answer *answer)
{
	struct server *server = arg;
	json_t *tools = json_object_get(answer->result, "tools");
	const char *cursor = json_string_value(json_object_get(answer->result,
	    "nextCursor"));

	if (answer->why != NULL) {
		end_list(server, answer->why);
	} else if (answer->is_error || !json_is_array(tools) ||
	    json_array_extend(server->listed, tools) != 0) {
		end_list(server, "it does not list its tools");
	} else if (cursor != NULL && ++server->pages < GATEWAY_PAGES_MAX &&
	    json_array_size(server->listed) < GATEWAY_TOOLS_MAX) {
		list_page(server, cursor);
	} else {
		end_list(server, NULL);
	}
}

static void
list_page(struct server *server, const char *cursor)
{
	json_t *params = cursor == NULL ? NULL : json_pack("{s:s}", "cursor", cursor);

	if (upstream_ask(server, &server->own, "tools/list", params, NULL, GATEWAY_LIST_MS,
	    on_page, server) != AG_OK)
		end_list(server, "no memory");
}

static void
on_begun(void *arg, const struct upstream_answer *answer)
{
	struct server *server = arg;

	if (answer->why != NULL || answer->is_error) {
		end_list(server, answer->why != NULL ? answer->why :
		    "it does not speak " WIRE_THEN);
		return;
	}
	server->own.begun = true;
	upstream_tell(server, &server->own, "notifications/initialized");
	list_page(server, NULL);
}

static void
begin(struct server *server)
{
	server->pages = 0;
	if ((server->listed = json_array()) == NULL)
		return;
	server_secret(server);
	if (server->secret_file[0] != '\0' && server->secret == NULL) {
		end_list(server, "its secret cannot be read");
		return;
	}
	if (!server->own.begun)
		server->own.replica = replica_for(server, "");
	if (server->modern || server->own.begun)
		list_page(server, NULL);
	else if (upstream_ask(server, &server->own, "initialize", wire_initialize(), NULL,
	    GATEWAY_LIST_MS, on_begun, server) != AG_OK)
		end_list(server, "no memory");
}

void
listing_due(struct gateway *gateway)
{
	uint64_t now = ag_mono_ms(gateway->ctx);
	unsigned i;

	for (i = 0; i < gateway->server_count; i++) {
		struct server *server = gateway->servers[i];

		/* One that forgot us is asked again at once. */
		if (server->listed == NULL && (now >= server->list_due_ms ||
		    (!server->modern && !server->own.begun && server->up)) &&
		    !made_is_suspended(gateway, server->tenant))
			begin(server);
	}
}
