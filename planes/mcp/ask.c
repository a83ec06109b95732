/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole request as the message of its operation. What is wrong with it is
 * said to iam, which says who asked.
 */
#include "mcp.h"

#include <string.h>

/* A request of the older era belongs to a session, but for the one that begins
 * it. False: refused. */
static bool
check_session(struct conn *conn, struct refuse *refuse)
{
	const char *name = http_field(&conn->in, FIELD_MCP_SESSION);
	const char *version = http_field(&conn->in, FIELD_MCP_VERSION);
	struct call *call = &mcp_conn_of(conn)->call;

	if (call->modern || call->kind == CALL_INITIALIZE)
		return true;
	if (version != NULL && !mcp_is_legacy(version)) {
		refuse_set(refuse, AG_INVALID_FIELD, "unknown_value",
		    "MCP-Protocol-Version", "sessions speak " MCP_THEN);
	} else if (name == NULL) {
		refuse_set(refuse, AG_INVALID_FIELD, "missing", "MCP-Session-Id",
		    "a session begins with initialize");
	} else {
		if (session_named(conn) != NULL)
			return true;
		refuse_set(refuse, AG_ITEM_NOT_FOUND, NULL, "MCP-Session-Id",
		    "there is no such session");
	}
	call->envelope = true;
	return false;
}

/* GET and DELETE are of the older era alone. */
static bool
read_bare(struct conn *conn, struct refuse *refuse)
{
	const char *version = http_field(&conn->in, FIELD_MCP_VERSION);
	struct call *call = &mcp_conn_of(conn)->call;

	memset(call, 0, sizeof(*call));
	call->kind = conn->in.match.route->method == METHOD_GET ? CALL_STREAM :
	    CALL_END;
	if (version != NULL && !mcp_is_legacy(version)) {
		call->envelope = true;
		refuse_set(refuse, AG_METHOD_NOT_ALLOWED, NULL, NULL,
		    "this revision has POST alone");
		return false;
	}
	if (conn->in.body_len == 0)
		return true;
	call->envelope = true;
	refuse_set(refuse, AG_MALFORMED_REQUEST, "http", NULL, "%s takes no body",
	    http_method(&conn->in));
	return false;
}

static void
read_body(struct conn *conn, Ag__Request *request, struct tool_ask *ask,
    struct refuse *refuse)
{
	const struct mcp_fields fields = {
		.version = http_field(&conn->in, FIELD_MCP_VERSION),
		.method = http_field(&conn->in, FIELD_MCP_METHOD),
		.name = http_field(&conn->in, FIELD_MCP_NAME),
		.param = http_field(&conn->in, FIELD_MCP_PARAM),
		.session = http_field(&conn->in, FIELD_MCP_SESSION),
		.gateway = ag_slot(conn->plane->ctx, AG_ROLE_GATEWAY, 0) !=
		    AG_SLOT_NONE,
	};
	struct call *call = &mcp_conn_of(conn)->call;

	if (!http_is_json(&conn->in)) {
		call->envelope = true;
		refuse_set(refuse, AG_UNSUPPORTED_MEDIA_TYPE, NULL, "Content-Type",
		    "application/json is expected");
		return;
	}
	mcp_read(&conn->plane->pool, &fields, conn->in.body, conn->in.body_len,
	    call, ask, refuse);
	request->selector = (char *)(uintptr_t)ask->selector;
	if (call->has_prompt_hash) {
		request->has_prompt_hash = 1;
		request->prompt_hash.data = call->prompt_hash;
		request->prompt_hash.len = sizeof(call->prompt_hash);
	}
	if (!call->modern)
		request->session = (char *)(uintptr_t)fields.session;
	if (call->model[0] != '\0')
		request->model_asserted = call->model;
	request->prompt = (char *)(uintptr_t)call->prompt_text;
	call->prompt_text = NULL; /* the pool goes when the request is on its way */
}

/* Two tools under one Idempotency-Key are two requests. */
static void
name_route(struct conn *conn, Ag__Request *request)
{
	const struct tool *tool = mcp_conn_of(conn)->call.tool;
	size_t len = tool == NULL ? 0 : strlen(tool->name);
	char *route;

	if (request->route == NULL || tool == NULL)
		return;
	route = pool_zalloc(&conn->plane->pool, sizeof("tools/call ") + len);
	if (route != NULL) {
		memcpy(route, "tools/call ", 11);
		memcpy(route + 11, tool->name, len);
	}
	request->route = route;
}

/* The field of the head says it, too, and goes first. */
static void
bring_approval(struct conn *conn, Ag__Request *request, struct refuse *refuse)
{
	struct call *call = &mcp_conn_of(conn)->call;

	if (request->approval == NULL && call->approval != NULL)
		request->approval = (char *)(uintptr_t)call->approval;
	if (call->state != NULL && refuse->err == AG_OK)
		request->approval = (char *)(uintptr_t)state_open(conn,
		    call->arguments, call->state, refuse);
	/* The pool goes when the request is on its way. */
	call->state = call->approval = NULL;
}

void *
mcp_bind(struct conn *conn, Ag__Request *request, struct refuse *refuse)
{
	struct tool_ask ask = { .op = AG_MSG_TOOL_CONNECT };
	struct refuse other = { .err = AG_OK };
	bool fine = true;

	if (conn->in.match.route->method == METHOD_POST)
		read_body(conn, request, &ask, refuse);
	else
		fine = read_bare(conn, refuse);
	conn->op = ag_operation_find(ask.op);
	if (!request_conditions(conn, request, &other)) {
		if (refuse->err == AG_OK)
			*refuse = other;
		return NULL;
	}
	name_route(conn, request);
	bring_approval(conn, request, refuse);
	if (refuse->err != AG_OK || !fine ||
	    !check_session(conn, refuse))
		return NULL;
	if (ask.msg != NULL)
		return ask.msg;
	return codec_bind_object(&conn->plane->pool, conn->op->ask, NULL, NULL,
	    refuse);
}
