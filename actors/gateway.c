/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway: tools of other MCP servers, reached through Aegis.
 * Hears tool_call, tool_show, tool_server_read, _list, _set, _delete, _accept
 * (risk; iam while risk is away). Says tool_catalog (planes of tools): what may
 * be called. Keeps which servers were added and which definitions accepted
 * (journal), and in memory what each server has now. It is the only process that speaks with tool servers, and
 * the only one that has their secrets; who may call what iam has decided.
 */
#include "gateway/gateway.h"

#include <string.h>

enum { TICK_MS = 200 };

static void
on_tick(void *state, struct ag_ctx *ctx)
{
	(void)ctx;
	listing_due(state);
	calls_sweep(state);
}

static ag_err
init(void *state, struct ag_ctx *ctx)
{
	struct gateway *gateway = state;
	const char *secrets = ag_config_str(ctx, "gateway.secrets", 0);

	gateway->ctx = ctx;
	gateway->breaker_failures =
	    (unsigned)ag_config_int(ctx, "gateway.breaker_failures");
	gateway->breaker_ms =
	    (uint64_t)ag_config_int(ctx, "gateway.breaker_s") * 1000;
	gateway->refresh_ms =
	    (uint64_t)ag_config_int(ctx, "gateway.refresh_s") * 1000;
	gateway->block = strcmp(secrets, "block") == 0;
	return servers_init(gateway);
}

static ag_err
ready(void *state, struct ag_ctx *ctx)
{
	struct gateway *gateway = state;
	ag_err err = fetcher_new(ag_event_base(ctx), &gateway->fetcher);
	unsigned i;

	if (err == AG_OK)
		err = made_load(gateway);
	for (i = 0; err == AG_OK && i < gateway->server_count; i++)
		err = pins_load(gateway->servers[i]);
	gateway->ready = true;
	return err != AG_OK ? err : ag_every(ctx, TICK_MS, on_tick);
}

static ag_err
apply(void *state, struct ag_ctx *ctx, const struct ag_fact_record *record)
{
	(void)ctx;
	switch (record->type) {
	case AG_MSG_TOOL_PINS_FACT:
		return pins_apply(state, record->fact, record->version);
	case AG_MSG_TOOL_SERVER_FACT:
		return made_apply(state, record->fact, record->version);
	case AG_MSG_TENANT_FACT:
		return made_tenant(state, record->fact);
	default:
		return AG_OK;
	}
}

static void
peer(void *state, struct ag_ctx *ctx, unsigned slot, bool up)
{
	(void)ctx;
	if (up)
		catalog_send(state, slot);
}

static void
fini(void *state, struct ag_ctx *ctx)
{
	struct gateway *gateway = state;

	(void)ctx;
	fetcher_free(&gateway->fetcher);
	calls_fini(gateway);
	servers_fini(gateway);
}

static const struct ag_row rows[] = {
	{ AG_MSG_TOOL_CALL, on_tool_call },
	{ AG_MSG_TOOL_SHOW, on_tool_show },
	{ AG_MSG_TOOL_SERVER_READ, on_tool_server },
	{ AG_MSG_TOOL_SERVER_LIST, on_tool_server_list },
	{ AG_MSG_TOOL_SERVER_SET, on_tool_server_set },
	{ AG_MSG_TOOL_SERVER_DELETE, on_tool_server_delete },
	{ AG_MSG_TOOL_SERVER_ACCEPT, on_tool_accept },
};

static const char *const tables[] = { "pins", "servers", "suspended", NULL };

static const struct ag_metric_row metrics[] = {
	[GM_CALLS] = { "gateway_calls_total", "Calls that were sent to a tool server", AG_COUNTER },
	[GM_REDACTED] = { "gateway_redactions_total", "Values taken out of results", AG_COUNTER },
	[GM_FAILED] = { "gateway_failures_total", "Calls that a tool server did not answer", AG_COUNTER },
	[GM_BREAKERS] = { "gateway_breakers_total", "Tool servers that were left alone after failures", AG_COUNTER },
	[GM_CHANGED] = { "gateway_stopped_total", "Tools stopped because they are not as accepted", AG_COUNTER },
	[GM_TOOLS] = { "gateway_tools", "Tools that the servers have", AG_GAUGE },
};

const struct ag_actor ag_actor_gateway = {
	.name = "gateway",
	.state_size = sizeof(struct gateway),
	AG_ROWS(rows),
	.init = init,
	.ready = ready,
	.apply = apply,
	.peer = peer,
	.fini = fini,
	.follow = AG_FOLLOW_START,
	.tables = tables,
	AG_METRICS(metrics),
};
