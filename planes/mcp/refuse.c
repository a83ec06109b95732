/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How no is said. The error table has one MCP column: 0 is a result of the tool
 * that the model can read and act upon, 401 and 403 are HTTP's, all else is an
 * error of JSON-RPC. The problem of RFC 9457 is in each of them.
 */
#include "mcp.h"

#include <string.h>

static void
add_metadata(struct conn *conn, struct text *out)
{
	char base[MCP_BASE_SIZE];

	if (mcp_base(conn, base))
		text_printf(out, ", resource_metadata=\"%s"
		    "/.well-known/oauth-protected-resource/mcp\"", base);
	text_str(out, "\r\n");
}

/* RFC 6750 §3, RFC 9728 §5.1. 403: what is asked needs more than the credential
 * brings. */
static void
add_challenge(struct conn *conn, struct text *out, unsigned status,
    const Ag__Refusal *refusal)
{
	const struct tool *tool = mcp_conn_of(conn)->call.tool;
	const char *reason = refusal->reason_code;
	char scope[64];

	text_str(out, "WWW-Authenticate: Bearer realm=\"aegis\"");
	if (status == 403)
		text_str(out, ", error=\"insufficient_scope\", "
		    "acr_values=\"urn:aegis:acr:totp\"");
	else if (reason == NULL || strcmp(reason, "token_missing") != 0)
		text_str(out, ", error=\"invalid_token\"");
	if (tool != NULL && tool_scope(tool, scope) != NULL)
		text_printf(out, ", scope=\"%s\"", scope);
	add_metadata(conn, out);
}

static void
refuse_http(struct conn *conn, unsigned status, const Ag__Refusal *refusal,
    const Ag__DeliverEvent *deliver)
{
	struct text *out = &conn->plane->out;
	size_t body_at;

	answer_head(conn, out, status);
	answer_rate(out, deliver);
	add_challenge(conn, out, status, refusal);
	body_at = answer_type(out, "application/problem+json");
	answer_problem_print(conn, out, refusal);
	answer_send(conn, status, body_at, false);
}

static void
add_opening(const struct call *call, struct text *out)
{
	text_str(out, "{\"jsonrpc\":\"2.0\"");
	if (call->id[0] != '\0')
		text_printf(out, ",\"id\":%s", call->id);
}

/* SEP-2164: which resource it is that is not there, beside the problem. */
static void
add_unknown(struct conn *conn, struct text *out, const Ag__Refusal *refusal)
{
	struct text *scratch = &mcp_of(conn)->scratch;

	answer_problem_print(conn, scratch, refusal);
	text_add(scratch, "", 1);
	out->failed = out->failed || scratch->failed;
	text_str(out, "{\"uri\":");
	text_json(out, mcp_conn_of(conn)->call.text);
	text_char(out, ',');
	text_str(out, scratch->failed ? "" : scratch->bytes + 1); /* after its { */
	text_reset(scratch, false);
}

static void
add_data(struct conn *conn, struct text *out, int code,
    const Ag__Refusal *refusal)
{
	const struct call *call = &mcp_conn_of(conn)->call;

	text_str(out, ",\"data\":");
	if (code == RPC_UNSUPPORTED_VERSION) {
		text_printf(out, "{\"supported\":%s,\"requested\":", mcp_versions);
		text_json(out, call->version);
		text_char(out, '}');
	} else if (call->kind == CALL_RESOURCES_READ && call->resource == NULL &&
	    call->text[0] != '\0') {
		add_unknown(conn, out, refusal);
	} else {
		answer_problem_print(conn, out, refusal);
	}
}

/* A client of the older era takes another status than 200 for a broken
 * transport, so what answers its request is 200, and what is wrong with the
 * request itself is not. */
static unsigned
status_of(const struct call *call, const Ag__Refusal *refusal)
{
	const struct ag_err_row *row = ag_err_row((ag_err)refusal->err);

	if (call->kind == CALL_NOTICE || call->id[0] == '\0' || row->mcp == 0)
		return (unsigned)row->http;
	if (row->mcp == -32601)
		return call->modern ? 404 : 200;
	return call->envelope ? (unsigned)row->http : 200;
}

static void
refuse_rpc(struct conn *conn, const struct call *call,
    const Ag__Refusal *refusal, const Ag__DeliverEvent *deliver)
{
	const struct ag_err_row *row = ag_err_row((ag_err)refusal->err);
	int code = row->mcp == 0 ? RPC_INTERNAL : row->mcp;
	unsigned status = status_of(call, refusal);
	struct text *out = &conn->plane->out;
	size_t body_at;

	if (call->code != 0 && refusal->err == AG_INVALID_FIELD)
		code = call->code;
	if (code == RPC_RESOURCE_NOT_FOUND)
		status = 200;
	answer_head(conn, out, status);
	answer_rate(out, deliver);
	answer_retry(conn, out, refusal);
	body_at = answer_type(out, "application/json");
	add_opening(call, out);
	text_printf(out, ",\"error\":{\"code\":%d,\"message\":", code);
	text_json(out, refusal->detail != NULL && *refusal->detail != '\0' ?
	    refusal->detail : row->title);
	add_data(conn, out, code, refusal);
	text_str(out, "}}");
	answer_send(conn, status, body_at, false);
}

/* The model is told as data: the problem, nothing else. */
static void
refuse_tool(struct conn *conn, const struct call *call,
    const Ag__Refusal *refusal, const Ag__DeliverEvent *deliver)
{
	struct text *scratch = &mcp_of(conn)->scratch;
	struct text *out = &conn->plane->out;
	size_t body_at;

	answer_problem_print(conn, scratch, refusal);
	text_add(scratch, "", 1);
	answer_head(conn, out, 200);
	answer_rate(out, deliver);
	answer_retry(conn, out, refusal);
	body_at = answer_type(out, "application/json");
	add_opening(call, out);
	text_str(out, ",\"result\":{");
	mcp_result_open(call, out);
	text_str(out, "\"isError\":true,\"content\":[{\"type\":\"text\",\"text\":");
	text_json(out, scratch->failed ? "" : scratch->bytes);
	text_str(out, "}]}}");
	text_reset(scratch, false);
	answer_send(conn, 200, body_at, false);
}

void
mcp_problem(struct conn *conn, const Ag__Refusal *refusal,
    const Ag__DeliverEvent *deliver)
{
	static const struct call unknown;
	const struct ag_err_row *row = ag_err_row((ag_err)refusal->err);
	const struct call *call = conn->in.stage == STAGE_WHOLE ?
	    &mcp_conn_of(conn)->call : &unknown;

	if (conn->bev == NULL) /* nobody there to hear it */
		conn_done(conn);
	else if (conn->in.match.route == NULL || refusal->err ==
	    AG_METHOD_NOT_ALLOWED)
		answer_problem(conn, refusal, deliver);
	else if (row->mcp > 0)
		refuse_http(conn, (unsigned)row->mcp, refusal, deliver);
	else if (call->kind == CALL_TOOLS_CALL && row->mcp == 0 &&
	    !call->envelope)
		refuse_tool(conn, call, refusal, deliver);
	else
		refuse_rpc(conn, call, refusal, deliver);
}
