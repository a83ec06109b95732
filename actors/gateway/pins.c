/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which definitions were accepted. A server's first list is: whoever put it
 * into the configuration wanted its tools. From then on a tool that is not as
 * it was accepted, or was not there, stands still until a person accepts it.
 */
#include "gateway.h"

#include <aegis/event.h>

#include <stdio.h>
#include <string.h>

void
stream_of(const char *tenant, const char *server, char out[STREAM_SIZE])
{
	snprintf(out, STREAM_SIZE, "tools:%s/%s", tenant, server);
}

const struct pin *
pin_of(const struct server *server, const char *tool)
{
	unsigned i;

	for (i = 0; i < server->pin_count; i++)
		if (strcmp(server->pins[i].tool, tool) == 0)
			return &server->pins[i];
	return NULL;
}

/* --------------------------------------------------------------------- judging */

static enum tool_state
state_of(const struct server *server, const struct tool *tool)
{
	const struct pin *pin = pin_of(server, tool->name);

	if (tool->unfit != NULL)
		return TOOL_UNFIT;
	if (pin == NULL)
		return TOOL_NEW;
	return memcmp(pin->digest, tool->digest, sizeof(pin->digest)) == 0 ?
	    TOOL_ACCEPTED : TOOL_CHANGED;
}

static bool
was_said(const struct tool *tool, const struct tool *before, unsigned count)
{
	unsigned i;

	for (i = 0; i < count; i++)
		if (strcmp(before[i].name, tool->name) == 0)
			return before[i].state == tool->state && memcmp(
			    before[i].digest, tool->digest, sizeof(tool->digest)) == 0;
	return false;
}

static void
set_pair(Ag__Pair *pair, const char *key, const char *value)
{
	ag__pair__init(pair);
	pair->key = (char *)(uintptr_t)key;
	pair->value = (char *)(uintptr_t)value;
}

/* An event's id follows from what it says, so it counts once. */
static void
say_stopped(struct server *server, const struct tool *tool)
{
	const struct pin *pin = pin_of(server, tool->name);
	Ag__OutcomeEvent out = AG__OUTCOME_EVENT__INIT;
	Ag__Pair pairs[3], *params[3] = { &pairs[0], &pairs[1], &pairs[2] };
	char now[65], then[65] = "none", cause[256], id[AG_ID_SIZE];

	ag_hex(tool->digest, sizeof(tool->digest), now);
	if (pin != NULL)
		ag_hex(pin->digest, sizeof(pin->digest), then);
	snprintf(cause, sizeof(cause), "%s %s %s %llu", server->tenant, tool->path,
	    now, (unsigned long long)server->version);
	ag_id_derive("evt", "tool.changed", cause, id);
	set_pair(&pairs[0], "digest", now);
	set_pair(&pairs[1], "accepted", then);
	set_pair(&pairs[2], "state", tool_state_name(tool->state));
	out.event_type = AG__EVENT_TYPE__V__lifecycle;
	out.outcome = AG__OUTCOME_KIND__V__denied;
	out.operation = (char *)"tool.changed";
	out.tenant = (char *)(uintptr_t)server->tenant;
	out.resource_type = (char *)"tool";
	out.resource_id = (char *)(uintptr_t)tool->path;
	out.reason = (char *)(uintptr_t)tool_why_not(tool);
	out.params = params;
	out.n_params = 3;
	out.event_id = id;
	ag_metric_add(server->gateway->ctx, GM_CHANGED, 1);
	ag_log(server->gateway->ctx, AG_WARN, "GATEWAY-TOOL-STOPPED", "tool=%s "
	    "state=%s", tool->path, tool_state_name(tool->state));
	if (ag_record(server->gateway->ctx, &out) != AG_OK)
		ag_log(server->gateway->ctx, AG_WARN, "GATEWAY-UNRECORDED",
		    "tool=%s", tool->path);
}

void
pins_judge(struct server *server, const struct tool *before, unsigned count)
{
	unsigned i;

	for (i = 0; i < server->tool_count; i++) {
		struct tool *tool = &server->tools[i];

		tool->state = state_of(server, tool);
		if (server->pinned && tool->state != TOOL_ACCEPTED &&
		    !was_said(tool, before, count))
			say_stopped(server, tool);
	}
}

/* --------------------------------------------------------------------- keeping */

size_t
key_of(const char *tenant, const char *server, char out[GATEWAY_KEY_SIZE])
{
	return (size_t)snprintf(out, GATEWAY_KEY_SIZE, "%s/%s", tenant, server);
}

/* Did whoever accepts look at the tool as it is now? By digest, if they gave any. */
static bool
was_read(const Ag__ToolAcceptAsk *ask, const struct tool *tool)
{
	char now[65];
	size_t i;

	ag_hex(tool->digest, sizeof(tool->digest), now);
	for (i = 0; i < ask->n_digests; i++)
		if (strcmp(now, ask->digests[i]) == 0)
			return true;
	return ask->n_digests == 0;
}

/* The pins in force, and those tools of the server that `ask` names (all, if
 * there are none) and has the digests of, as they are now. In the turn's memory. */
static ag_err
make_fact(struct server *server, const Ag__ToolAcceptAsk *ask,
    Ag__ToolPinsFact *fact)
{
	struct ag_ctx *ctx = server->gateway->ctx;
	Ag__ToolPin *pins = ag_alloc(ctx, GATEWAY_TOOLS_MAX * sizeof(*pins));
	unsigned i;
	size_t j;

	ag__tool_pins_fact__init(fact);
	fact->tenant = (char *)(uintptr_t)server->tenant;
	fact->server = (char *)(uintptr_t)server->name;
	fact->at = ag_now_ms(ctx);
	fact->pins = ag_alloc(ctx, GATEWAY_TOOLS_MAX * sizeof(*fact->pins));
	if (pins == NULL || fact->pins == NULL)
		return AG_NO_MEMORY;
	for (i = 0; i < server->tool_count; i++) {
		struct tool *tool = &server->tools[i];
		const struct pin *old = pin_of(server, tool->name);
		bool wanted = ask == NULL || ask->n_tools == 0;
		const uint8_t *digest = NULL;

		for (j = 0; ask != NULL && j < ask->n_tools; j++)
			wanted = wanted || strcmp(ask->tools[j], tool->path) == 0;
		if (wanted && tool->unfit == NULL &&
		    (ask == NULL || was_read(ask, tool)))
			digest = tool->digest;
		else if (old != NULL)
			digest = old->digest;
		if (digest == NULL)
			continue;
		ag__tool_pin__init(&pins[fact->n_pins]);
		pins[fact->n_pins].tool = tool->name;
		pins[fact->n_pins].digest.data = (uint8_t *)(uintptr_t)digest;
		pins[fact->n_pins].digest.len = sizeof(tool->digest);
		fact->pins[fact->n_pins] = &pins[fact->n_pins];
		fact->n_pins++;
	}
	return AG_OK;
}

static void
take_fact(struct server *server, const Ag__ToolPinsFact *fact, uint64_t version)
{
	size_t i;

	if (version > server->version)
		server->version = version;
	server->pinned = true;
	server->pin_count = 0;
	for (i = 0; i < fact->n_pins && i < GATEWAY_TOOLS_MAX; i++) {
		struct pin *pin = &server->pins[server->pin_count];

		if (fact->pins[i]->digest.len != sizeof(pin->digest))
			continue;
		snprintf(pin->tool, sizeof(pin->tool), "%s", fact->pins[i]->tool);
		memcpy(pin->digest, fact->pins[i]->digest.data, sizeof(pin->digest));
		server->pin_count++;
	}
	pins_judge(server, server->tools, server->tool_count);
}

/* The table has the fact with its version in front. */
ag_err
pins_apply(struct gateway *gateway, const Ag__ToolPinsFact *fact,
    uint64_t version)
{
	struct server *server = server_named(gateway, fact->tenant, fact->server);
	char key[GATEWAY_KEY_SIZE];
	size_t key_len = key_of(fact->tenant, fact->server, key), len;
	uint8_t *packed = ag_pack(gateway->ctx, fact, &len), *value;

	if (packed == NULL || (value = ag_alloc(gateway->ctx, len + 8)) == NULL)
		return AG_NO_MEMORY;
	memcpy(value, &version, 8);
	memcpy(value + 8, packed, len);
	if (server != NULL) {
		take_fact(server, fact, version);
		catalog_publish(gateway);
	}
	return ag_store_put(gateway->ctx, GATEWAY_T_PINS, key, key_len, value,
	    len + 8);
}

ag_err
pins_load(struct server *server)
{
	struct ag_ctx *ctx = server->gateway->ctx;
	const Ag__ToolPinsFact *fact;
	const uint8_t *value;
	uint64_t version;
	char key[GATEWAY_KEY_SIZE];
	size_t len;
	ag_err err;

	server->version = made_version(server->gateway, server->tenant,
	    server->name);
	err = ag_store_get(ctx, GATEWAY_T_PINS, key,
	    key_of(server->tenant, server->name, key), &value, &len);
	if (err == AG_ITEM_NOT_FOUND)
		return AG_OK;
	if (err != AG_OK)
		return err;
	if (len < 8 || (fact = ag_unpack(ctx, &ag__tool_pins_fact__descriptor,
	    value + 8, len - 8)) == NULL)
		return AG_CORRUPT;
	memcpy(&version, value, 8);
	take_fact(server, fact, version);
	return AG_OK;
}

/* ------------------------------------------------------------------- accepting */

static ag_err
on_first(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct server *server = server_of_key(state, memo);

	(void)msg;
	if (server != NULL)
		server->pinning = false; /* if not: with the next list */
	if (status != AG_OK)
		ag_log(ctx, AG_WARN, "GATEWAY-UNPINNED", "error=%s",
		    ag_err_row(status)->name);
	return AG_OK;
}

void
pins_first(struct server *server)
{
	struct ag_ctx *ctx = server->gateway->ctx;
	Ag__OutcomeEvent out = AG__OUTCOME_EVENT__INIT;
	const struct server_key key = server_key(server);
	char stream[STREAM_SIZE], id[AG_ID_SIZE];
	struct ag_fact row = { stream, server->version, AG_MSG_TOOL_PINS_FACT, NULL };
	Ag__ToolPinsFact fact;

	if (make_fact(server, NULL, &fact) != AG_OK)
		return;
	stream_of(server->tenant, server->name, stream);
	ag_id_derive("evt", "tool.pinned", stream, id);
	fact.reason = (char *)"its first list";
	row.fact = &fact;
	out.event_type = AG__EVENT_TYPE__V__lifecycle;
	out.outcome = AG__OUTCOME_KIND__V__allowed;
	out.operation = (char *)"tool.pinned";
	out.tenant = (char *)(uintptr_t)server->tenant;
	out.resource_type = (char *)"tool";
	out.resource_id = (char *)(uintptr_t)server->name;
	out.reason = fact.reason;
	out.has_items = true;
	out.items = (uint32_t)fact.n_pins;
	out.event_id = id;
	server->pinning = ag_persist_recorded(ctx, &row, 1, &out, on_first,
	    &key, sizeof(key)) == AG_PENDING;
}

static ag_err
on_accepted(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	const struct server *server = server_of_key(state, memo);

	(void)msg;
	if (status != AG_OK)
		return status;
	return server != NULL ? show_server(state, server, ag_type(ctx)) :
	    AG_CONFLICT; /* taken away meanwhile */
}

/* What somebody looked at is what is accepted: a digest that is given must be
 * that of a tool as it is now. */
static ag_err
check_digests(struct server *server, const Ag__ToolAcceptAsk *ask)
{
	char now[65];
	unsigned j;
	size_t i;

	for (i = 0; i < ask->n_digests; i++) {
		for (j = 0; j < server->tool_count; j++) {
			ag_hex(server->tools[j].digest, 32, now);
			if (strcmp(now, ask->digests[i]) == 0)
				break;
		}
		if (j == server->tool_count)
			return ag_refuse(server->gateway->ctx, AG_CONFLICT, NULL,
			    "/digests", "No tool of the server has this digest now.");
	}
	return AG_OK;
}

static ag_err
check_accept(struct server *server, const Ag__ToolAcceptAsk *ask)
{
	struct ag_ctx *ctx = server->gateway->ctx;
	unsigned j;
	size_t i;

	if (ask->reason[0] == '\0' || strlen(ask->reason) > 256)
		return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range", "/reason",
		    "A reason has 1 to 256 characters.");
	if (server->listed_at == 0)
		return ag_refuse(ctx, AG_UNAVAILABLE, "tool", NULL,
		    "The server has not said which tools it has.");
	for (i = 0; i < ask->n_tools; i++) {
		for (j = 0; j < server->tool_count; j++)
			if (strcmp(server->tools[j].path, ask->tools[i]) == 0)
				break;
		if (j == server->tool_count)
			return ag_refuse(ctx, AG_INVALID_FIELD, "unknown_value",
			    "/tools", "The server has no such tool.");
		if (!was_read(ask, &server->tools[j]))
			return ag_refuse(ctx, AG_CONFLICT, NULL, "/digests",
			    "A tool that is named has none of the digests now.");
	}
	return check_digests(server, ask);
}

ag_err
on_tool_accept(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__ToolAcceptAsk *ask = msg;
	const Ag__Grant *grant = ag_grant(ctx);
	struct server *server = server_named(state, grant->tenant,
	    grant->resource_id == NULL ? "" : grant->resource_id);
	struct server_key key;
	char stream[STREAM_SIZE];
	struct ag_fact row = { stream, 0, AG_MSG_TOOL_PINS_FACT, NULL };
	Ag__ToolPinsFact fact;
	ag_err err;

	if (server == NULL)
		return ag_refuse(ctx, AG_ITEM_NOT_FOUND, NULL, NULL,
		    "There is no such tool server.");
	key = server_key(server);
	stream_of(server->tenant, server->name, stream);
	if ((err = ag_enter(ctx, stream, true)) != AG_OK ||
	    (err = ag_if_match(ctx, server->version)) != AG_OK ||
	    (err = check_accept(server, ask)) != AG_OK ||
	    (err = make_fact(server, ask, &fact)) != AG_OK)
		return err;
	ag_note_reason(ctx, ask->reason);
	ag_note_items(ctx, (uint32_t)fact.n_pins, 0);
	fact.by = grant->actor_id;
	fact.reason = ask->reason;
	row.expected_version = server->version;
	row.fact = &fact;
	return ag_persist(ctx, &row, 1, AG_MSG_TOOL_SERVER_ACCEPT, NULL, NULL,
	    on_accepted, &key, sizeof(key));
}
