/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent: the plane of functions, for models that call functions and hosts that
 * do not speak MCP. The tools are MCP's; a call is an operation, a refusal is
 * a problem (RFC 9457) with the status that REST would have.
 * Hears deliver_event (audit): recorded, now say it; tool_catalog (gateway).
 * Says the operations (to iam), outcome_event (audit: its own refusals and timeouts).
 * Keeps connections only.
 */
#include "plane.h"
#include "remote.h"
#include "tools.h"

#include <stdio.h>
#include <string.h>

enum { AGENT_ID_SIZE = 136 }; /* of a call, as JSON */

enum format { FORMAT_OPENAI, FORMAT_ANTHROPIC };

struct agent_conn {
	struct conn conn;
	enum format format;
	const struct tool *tool; /* NULL: none of ours is called */
	char remote[REMOTE_NAME_SIZE]; /* of another server; "": none is called */
	char id[AGENT_ID_SIZE];  /* the call's own, as JSON; "": none */
};

struct agent {
	struct plane plane;
	struct remotes remotes;
};

static struct agent_conn *
agent_of(const struct conn *conn)
{
	return (struct agent_conn *)(uintptr_t)conn;
}

/* --------------------------------------------------------------------- asked */

static bool
read_format(struct conn *conn, struct refuse *refuse)
{
	const char *query = http_query(&conn->in);
	struct agent_conn *ac = agent_of(conn);

	ac->format = FORMAT_OPENAI;
	if (query == NULL || *query == '\0' || strcmp(query, "format=openai") == 0)
		return true;
	if (strcmp(query, "format=anthropic") == 0) {
		ac->format = FORMAT_ANTHROPIC;
		return true;
	}
	if (strncmp(query, "format=", 7) == 0)
		refuse_set(refuse, AG_INVALID_FIELD, "unknown_value", "?format",
		    "format is openai or anthropic");
	else
		refuse_set(refuse, AG_INVALID_FIELD, "unknown_field", "?",
		    "the one parameter is format");
	return false;
}

static bool
keep_id(struct agent_conn *ac, const json_t *id, struct refuse *refuse)
{
	struct text text = { 0 };
	bool fits;

	ac->id[0] = '\0';
	if (id == NULL || json_is_null(id))
		return true;
	text_json(&text, json_string_value(id));
	fits = json_is_string(id) && !text.failed && text.len < AGENT_ID_SIZE;
	if (fits) {
		memcpy(ac->id, text.bytes, text.len);
		ac->id[text.len] = '\0';
	} else {
		refuse_set(refuse, AG_INVALID_FIELD, "wrong_type", "/id",
		    "a string of at most 128 characters is expected");
	}
	text_fini(&text);
	return fits;
}

/* The model's own words: an object (`arguments`, `input`), or the text of one
 * (OpenAI's `arguments`). False: refused. */
static bool
read_arguments(struct conn *conn, const json_t *root, json_t **arguments,
    struct refuse *refuse)
{
	json_t *given = json_object_get(root, "arguments");
	json_t *input = json_object_get(root, "input");

	if (given != NULL && input != NULL) {
		refuse_set(refuse, AG_INVALID_FIELD, "conflicting_fields", "/input",
		    "arguments or input, not both");
		return false;
	}
	*arguments = given != NULL ? given : input;
	if (!json_is_string(given))
		return true;
	*arguments = codec_load(&conn->plane->pool,
	    (const uint8_t *)json_string_value(given), json_string_length(given),
	    refuse);
	return *arguments != NULL;
}

static bool
check_members(const json_t *root, struct refuse *refuse)
{
	static const char *const known[] = { "name", "arguments", "input", "id",
		"type" };
	const char *name;
	json_t *value;
	size_t i;

	json_object_foreach((json_t *)(uintptr_t)root, name, value) {
		for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			if (strcmp(known[i], name) == 0)
				break;
		if (i < sizeof(known) / sizeof(known[0]))
			continue;
		refuse_set(refuse, AG_INVALID_FIELD, "unknown_field", NULL,
		    "name, arguments or input, id and type are known");
		return false;
	}
	return true;
}

static void
read_call(struct conn *conn, struct tool_ask *ask, struct refuse *refuse)
{
	struct agent_conn *ac = agent_of(conn);
	const char *name;
	json_t *root, *arguments;

	if (!http_is_json(&conn->in)) {
		refuse_set(refuse, AG_UNSUPPORTED_MEDIA_TYPE, NULL, "Content-Type",
		    "application/json is expected");
		return;
	}
	root = codec_load(&conn->plane->pool, conn->in.body, conn->in.body_len,
	    refuse);
	if (root == NULL)
		return;
	name = json_string_value(json_object_get(root, "name"));
	ac->tool = name == NULL ? NULL : tool_named(name);
	if (ac->tool != NULL)
		ask->op = ac->tool->op; /* recorded as what it was to be */
	if (!check_members(root, refuse) ||
	    !keep_id(ac, json_object_get(root, "id"), refuse) ||
	    !read_arguments(conn, root, &arguments, refuse))
		return;
	if (ac->tool == NULL && name != NULL &&
	    ag_slot(conn->plane->ctx, AG_ROLE_GATEWAY, 0) != AG_SLOT_NONE &&
	    remote_bind(&conn->plane->pool, name, arguments, "/arguments", ask,
	    refuse))
		snprintf(ac->remote, sizeof(ac->remote), "%s", name);
	else if (ac->tool == NULL)
		refuse_set(refuse, AG_INVALID_FIELD, name == NULL ? "missing" :
		    "unknown_value", "/name", "there is no such function");
	else
		tool_bind(&conn->plane->pool, ac->tool, arguments, "/arguments", ask,
		    refuse);
}

static void *
agent_bind(struct conn *conn, Ag__Request *request, struct refuse *refuse)
{
	struct tool_ask ask = { .op = conn->op->type };
	struct agent_conn *ac = agent_of(conn);
	struct refuse other = { .err = AG_OK };

	ac->tool = NULL;
	ac->remote[0] = '\0';
	ac->id[0] = '\0';
	if (conn->in.match.route->method == METHOD_POST)
		read_call(conn, &ask, refuse);
	else if (read_format(conn, refuse))
		ask.msg = codec_bind_object(&conn->plane->pool, conn->op->ask, NULL,
		    NULL, refuse);
	request->selector = (char *)(uintptr_t)ask.selector;
	conn->op = ag_operation_find(ask.op);
	if (!request_conditions(conn, request, &other) && refuse->err == AG_OK)
		*refuse = other;
	if (request->route != NULL && ac->tool != NULL)
		request->route = (char *)(uintptr_t)ac->tool->name;
	return refuse->err == AG_OK ? ask.msg : NULL;
}

/* ------------------------------------------------------------------- answered */

static void
open_function(struct text *out, const char *name, const char *description,
    enum format format)
{
	bool openai = format == FORMAT_OPENAI;

	text_printf(out, openai ? "{\"type\":\"function\",\"function\":"
	    "{\"name\":\"%s\",\"description\":" : "{\"name\":\"%s\","
	    "\"description\":", name);
	text_json(out, description);
	text_str(out, openai ? ",\"parameters\":" : ",\"input_schema\":");
}

static void
close_function(struct text *out, enum format format)
{
	text_str(out, format == FORMAT_OPENAI ? "}}" : "}");
}

/* A function's name may not have a dot; a tool that has one is MCP's only. */
static void
print_remotes(struct text *out, const struct agent *agent,
    const Ag__WhoamiReply *who, enum format format, const char *comma)
{
	const Ag__ToolOffered *tool;
	char name[REMOTE_NAME_SIZE];
	size_t i;

	for (i = 0; (tool = remote_at(&agent->remotes, i)) != NULL; i++) {
		if (strchr(tool->tool, '.') != NULL || !remote_is_shown(tool,
		    who->tenant, who->scopes, who->n_scopes))
			continue;
		remote_name(tool, name);
		text_str(out, comma);
		open_function(out, name, tool->description, format);
		text_str(out, tool->input_schema);
		close_function(out, format);
		comma = ",";
	}
}

static void
print_functions(struct text *out, const struct agent *agent,
    const Ag__WhoamiReply *who, enum format format)
{
	const struct tool *tool;
	const char *comma = "";
	unsigned i;

	text_str(out, "{\"tools\":[");
	for (i = 0; (tool = tool_at(i)) != NULL; i++) {
		if (!tool_is_shown(tool, who->scopes, who->n_scopes))
			continue;
		text_str(out, comma);
		open_function(out, tool->name, tool->description, format);
		tool_input(out, tool);
		close_function(out, format);
		comma = ",";
	}
	print_remotes(out, agent, who, format, comma);
	text_str(out, "]}");
}

static void
print_result(struct text *out, const struct agent_conn *ac, const void *reply)
{
	const Ag__ToolCallReply *other = reply;

	text_printf(out, "{\"id\":%s,\"name\":\"%s\",\"result\":",
	    ac->id[0] == '\0' ? "null" : ac->id,
	    ac->tool == NULL ? ac->remote : ac->tool->name);
	if (ac->tool == NULL)
		text_add(out, other->result.data, other->result.len);
	else
		codec_print(out, reply);
	text_char(out, '}');
}

static void
agent_reply(struct conn *conn, const Ag__DeliverEvent *deliver)
{
	struct agent_conn *ac = agent_of(conn);
	struct text *out = &conn->plane->out;
	const void *answer;
	size_t body_at;

	if (conn->bev == NULL) { /* nobody there to hear it */
		conn_done(conn);
		return;
	}
	if ((answer = answer_open(conn, deliver)) == NULL)
		return;
	answer_head(conn, out, 200);
	answer_rate(out, deliver);
	if (deliver->has_replayed && deliver->replayed)
		text_str(out, "Idempotency-Replayed: true\r\n");
	body_at = answer_type(out, "application/json");
	if (ac->tool == NULL && ac->remote[0] == '\0')
		print_functions(out, (struct agent *)conn->plane, answer, ac->format);
	else
		print_result(out, ac, answer);
	answer_send(conn, 200, body_at, answer_is_secret(conn->op));
}

static const struct protocol protocol = {
	.name = "agent",
	.conn_size = sizeof(struct agent_conn),
	.bind = agent_bind,
	.problem = answer_problem,
	.reply = agent_reply,
};

static ag_err
init(void *state, struct ag_ctx *ctx)
{
	return plane_init(state, ctx, &protocol);
}

static void
fini(void *state, struct ag_ctx *ctx)
{
	plane_fini(state, ctx);
	remotes_fini(&((struct agent *)state)->remotes);
}

/* Only the gateway may say so: the topology. */
static ag_err
on_tool_catalog(void *state, struct ag_ctx *ctx, const void *msg)
{
	(void)ctx;
	return remotes_take(&((struct agent *)state)->remotes, msg);
}

static const struct ag_row rows[] = {
	{ AG_MSG_DELIVER_EVENT, plane_on_deliver },
	{ AG_MSG_TOOL_CATALOG_EVENT, on_tool_catalog },
};

static const struct ag_metric_row metrics[] = { PLANE_METRICS("agent") };

const struct ag_actor ag_actor_agent = {
	.name = "agent",
	.state_size = sizeof(struct agent),
	AG_ROWS(rows),
	.init = init,
	.ready = plane_ready,
	.peer = plane_peer,
	.drain = plane_drain,
	.fini = fini,
	AG_METRICS(metrics),
};
