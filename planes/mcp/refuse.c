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
	if (status == 403) {
		text_str(out, ", error=\"insufficient_scope\", ");
		answer_acr(out, refusal);
	} else if (reason == NULL || strcmp(reason, "token_missing") != 0)
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

/* Can the host lead a person to a page? */
static bool
can_lead(const struct mcp *mcp, const json_t *params)
{
	const json_t *capabilities = json_object_get(json_object_get(params, "_meta"),
	    "io.modelcontextprotocol/clientCapabilities");

	return mcp->approvals_url != NULL && json_is_object(json_object_get(
	    json_object_get(capabilities, "elicitation"), "url"));
}

static void
add_elicitation(struct text *out, const struct mcp *mcp,
    const Ag__Refusal *refusal)
{
	struct text url = { 0 };

	text_str(&url, mcp->approvals_url);
	text_str(&url, refusal->approval_id);
	text_add(&url, "", 1);
	text_str(out, "\"inputRequests\":{\"approval\":{\"method\":"
	    "\"elicitation/create\",\"params\":{\"mode\":\"url\",\"elicitationId\":");
	text_json(out, refusal->approval_id);
	text_str(out, ",\"url\":");
	text_json(out, url.failed ? "" : url.bytes);
	text_str(out, ",\"message\":\"People have to agree to this first. Whoever may "
	    "agree does so there; then the request goes on.\"}}},");
	out->failed = out->failed || url.failed;
	text_fini(&url);
}

/* The body is read a second time, for those few that come this far. */
static bool
make_state(struct conn *conn, const Ag__Refusal *refusal, bool leads,
    char out[STATE_TEXT_SIZE])
{
	struct refuse other = { .err = AG_OK };
	struct pool *pool = &conn->plane->pool;
	const json_t *params = json_object_get(codec_load(pool, conn->in.body,
	    conn->in.body_len, &other), "params");
	uint8_t arguments[32];
	bool made = (!leads || can_lead(mcp_of(conn), params)) &&
	    mcp_hash(params, arguments) && state_seal(conn, arguments,
	    refusal->approval_id, refusal->expires_at, out);

	pool_reset(pool);
	return made;
}

/* People are asked: the host leads somebody there, and comes again with the
 * state. When they have agreed it only has to come again. False: it is told as
 * a refusal like any other, which names the approval. */
static bool
ask_people(struct conn *conn, const struct call *call,
    const Ag__Refusal *refusal, const Ag__DeliverEvent *deliver)
{
	bool agreed = refusal->reason_code != NULL &&
	    strcmp(refusal->reason_code, "approved") == 0;
	struct text *out = &conn->plane->out;
	char state[STATE_TEXT_SIZE];
	size_t body_at;

	if (refusal->err != AG_APPROVAL_REQUIRED || !call->modern ||
	    refusal->approval_id == NULL || (!agreed &&
	    (refusal->reason_code == NULL ||
	    strcmp(refusal->reason_code, "pending") != 0)))
		return false;
	if (!make_state(conn, refusal, !agreed, state))
		return false;
	answer_head(conn, out, 200);
	answer_rate(out, deliver);
	body_at = answer_type(out, "application/json");
	add_opening(call, out);
	text_str(out, ",\"result\":{\"resultType\":\"input_required\",");
	if (!agreed)
		add_elicitation(out, mcp_of(conn), refusal);
	text_printf(out, "\"requestState\":\"%s\"}}", state);
	answer_send(conn, 200, body_at, false);
	return true;
}

void
mcp_problem(struct conn *conn, const Ag__Refusal *refusal,
    const Ag__DeliverEvent *deliver)
{
	static const struct call unknown;
	const struct ag_err_row *row = ag_err_row((ag_err)refusal->err);
	const struct call *call = conn->in.stage == STAGE_WHOLE ?
	    &mcp_conn_of(conn)->call : &unknown;
	Ag__Refusal plain = *refusal;

	/* What is wrong with a state is the log's alone. */
	if (state_is_fault(refusal->reason_code)) {
		plain.reason_code = (char *)"unknown_value";
		refusal = &plain;
	}

	if (conn->bev == NULL) /* nobody there to hear it */
		conn_done(conn);
	else if (conn->in.match.route == NULL || refusal->err ==
	    AG_METHOD_NOT_ALLOWED)
		answer_problem(conn, refusal, deliver);
	else if (row->mcp > 0)
		refuse_http(conn, (unsigned)row->mcp, refusal, deliver);
	else if (call->kind == CALL_TOOLS_CALL && row->mcp == 0 &&
	    !call->envelope && ask_people(conn, call, refusal, deliver))
		return;
	else if (call->kind == CALL_TOOLS_CALL && row->mcp == 0 &&
	    !call->envelope)
		refuse_tool(conn, call, refusal, deliver);
	else
		refuse_rpc(conn, call, refusal, deliver);
}
