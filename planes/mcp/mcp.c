/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mcp: the plane that speaks the Model Context Protocol over HTTP, both eras on
 * one endpoint.
 * Hears deliver_event (audit): recorded, now say it; tool_catalog (gateway).
 * Says the operations (to iam), outcome_event (audit: its own refusals and timeouts).
 * Keeps connections and the names of sessions. It knows no policy and no key;
 * a tool is an operation, and iam, risk and the executor decide on it.
 */
#include "mcp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct protocol protocol = {
	.name = "mcp",
	.conn_size = sizeof(struct mcp_conn),
	.check = mcp_check,
	.page = mcp_page,
	.bind = mcp_bind,
	.problem = mcp_problem,
	.reply = mcp_reply,
	.forget = session_forget,
	.stream = &mcp_stream,
};

static bool
is_loopback(const char *listen)
{
	return listen == NULL || strncmp(listen, "127.", 4) == 0 ||
	    strncmp(listen, "localhost:", 10) == 0 ||
	    strncmp(listen, "[::1]:", 6) == 0;
}

static const char *
yes(bool is)
{
	return is ? "true" : "false";
}

/* As tools/list has it. */
static void
print_tool(struct text *out, const struct tool *tool)
{
	bool read = (tool->hints & TOOL_READ) != 0;
	char scope[64];

	text_printf(out, "{\"name\":\"%s\",\"title\":", tool->name);
	text_json(out, tool->title);
	text_str(out, ",\"description\":");
	text_json(out, tool->description);
	text_str(out, ",\"inputSchema\":");
	tool_input(out, tool);
	text_str(out, ",\"outputSchema\":");
	tool_output(out, tool);
	text_printf(out, ",\"annotations\":{\"readOnlyHint\":%s,"
	    "\"destructiveHint\":%s,\"idempotentHint\":%s,"
	    "\"openWorldHint\":false},\"_meta\":{\"io.aegis/scope\":", yes(read),
	    yes((tool->hints & TOOL_ENDS) != 0), yes((tool->hints & TOOL_AGAIN) != 0));
	text_json(out, tool_scope(tool, scope));
	text_str(out, "}}");
}

static ag_err
print_tools(struct mcp *mcp)
{
	const struct tool *tool;
	unsigned n = 0, i;

	while (tool_at(n) != NULL)
		n++;
	mcp->definitions = calloc(n + 1, sizeof(*mcp->definitions));
	if (mcp->definitions == NULL)
		return AG_NO_MEMORY;
	for (i = 0; (tool = tool_at(i)) != NULL; i++) {
		print_tool(&mcp->definitions[i], tool);
		if (mcp->definitions[i].failed)
			return AG_NO_MEMORY;
	}
	return AG_OK;
}

static ag_err
init(void *state, struct ag_ctx *ctx)
{
	const char *url = ag_config_str(ctx, "mcp.public_url", 0);
	struct mcp *mcp = state;
	ag_err err;

	mcp->loopback = is_loopback(ag_config_str(ctx, "mcp.listen", 0));
	mcp->approvals_url = ag_config_str(ctx, "mcp.approvals_url", 0);
	snprintf(mcp->base, sizeof(mcp->base), "%s", url == NULL ? "" : url);
	if ((err = plane_init(state, ctx, &protocol)) != AG_OK ||
	    (err = session_init(mcp)) != AG_OK ||
	    (err = state_init(mcp)) != AG_OK)
		return err;
	return print_tools(mcp);
}

static void
fini(void *state, struct ag_ctx *ctx)
{
	struct mcp *mcp = state;
	unsigned i;

	plane_fini(state, ctx);
	session_fini(mcp);
	for (i = 0; mcp->definitions != NULL && tool_at(i) != NULL; i++)
		text_fini(&mcp->definitions[i]);
	free(mcp->definitions);
	text_fini(&mcp->scratch);
	remotes_fini(&mcp->remotes);
	ag_secret_free(&mcp->state_key);
}

/* Only the gateway may say so: the topology. */
static ag_err
on_tool_catalog(void *state, struct ag_ctx *ctx, const void *msg)
{
	(void)ctx;
	return remotes_take(&((struct mcp *)state)->remotes, msg);
}

static const struct ag_row rows[] = {
	{ AG_MSG_DELIVER_EVENT, plane_on_deliver },
	{ AG_MSG_TOOL_CATALOG_EVENT, on_tool_catalog },
};

static const struct ag_metric_row metrics[] = { PLANE_METRICS("mcp") };

const struct ag_actor ag_actor_mcp = {
	.name = "mcp",
	.state_size = sizeof(struct mcp),
	AG_ROWS(rows),
	.init = init,
	.ready = plane_ready,
	.peer = plane_peer,
	.drain = plane_drain,
	.fini = fini,
	AG_METRICS(metrics),
};
