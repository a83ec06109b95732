/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls of tools. A request waits here, parked, while its server is asked; when
 * that has answered, the request is worked on again and finds its job done.
 * Nothing is tried twice: what a tool did when its answer did not come, nobody
 * knows.
 */
#include "gateway.h"

#include "sieve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ABANDONED_MS = 1000 }; /* past its time, a job's request is gone */

/* -------------------------------------------------------------------- the jobs */

static struct job *
job_of(struct gateway *gateway, const Ag__Grant *grant)
{
	unsigned i;

	for (i = 0; i < GATEWAY_CALLS_MAX; i++)
		if (gateway->jobs[i].used && memcmp(gateway->jobs[i].request_id,
		    grant->request_id.data, AG_UUID_BYTES) == 0)
			return &gateway->jobs[i];
	return NULL;
}

static struct job *
job_new(struct gateway *gateway, const Ag__Grant *grant)
{
	struct job *job = NULL;
	unsigned i;

	for (i = 0; i < GATEWAY_CALLS_MAX && job == NULL; i++)
		if (!gateway->jobs[i].used)
			job = &gateway->jobs[i];
	if (job == NULL)
		return NULL;
	memset(job, 0, sizeof(*job));
	job->used = true;
	memcpy(job->request_id, grant->request_id.data, AG_UUID_BYTES);
	memcpy(job->wake, "call:", 5);
	ag_hex(job->request_id, AG_UUID_BYTES, job->wake + 5);
	return job;
}

static void
job_free(struct job *job)
{
	json_decref(job->result);
	json_decref(job->params);
	if (job->session != NULL)
		session_release(job->session);
	if (job->server != NULL)
		server_release(job->server);
	memset(job, 0, sizeof(*job));
}

void
calls_fini(struct gateway *gateway)
{
	unsigned i;

	for (i = 0; i < GATEWAY_CALLS_MAX; i++)
		if (gateway->jobs[i].used)
			job_free(&gateway->jobs[i]);
}

/* Whoever waited has gone, by a deadline that came first. */
void
calls_sweep(struct gateway *gateway)
{
	uint64_t now = ag_mono_ms(gateway->ctx);
	unsigned i;

	for (i = 0; i < GATEWAY_CALLS_MAX; i++)
		if (gateway->jobs[i].used && gateway->jobs[i].done &&
		    now > gateway->jobs[i].due_ms + ABANDONED_MS)
			job_free(&gateway->jobs[i]);
}

static void
on_called(void *arg, const struct upstream_answer *answer)
{
	struct job *job = arg;
	struct server *server = job->server;

	server->calls--;
	job->lost = server->stateful && answer->lost;
	if (job->lost)
		job->session->lost = job->session->told = true;
	if (answer->cut) /* the caller's doing, who is not to close it for others */
		server->trying = false;
	else if (answer->lost && server->replica_count > 1 &&
	    server_has_live(server))
		server->trying = false; /* its replica's failure, not the server's */
	else if (answer->why != NULL)
		server_failed(server, answer->why);
	else
		server_answered(server);
	job->done = true;
	job->timed_out = answer->timed_out;
	job->bytes = answer->bytes;
	job->is_error = answer->is_error;
	snprintf(job->why, sizeof(job->why), "%s",
	    answer->why == NULL ? "" : answer->why);
	job->result = json_incref(answer->result);
	ag_stash_release(server->gateway->ctx, job->wake);
}

/* ----------------------------------------------------------------------- asked */

static ag_err
check_tool(struct ag_ctx *ctx, const struct tool *tool)
{
	const char *why = tool_why_not(tool);

	if (why == NULL && tool->risk == RISK_DESTRUCTIVE &&
	    ag_grant(ctx)->has_may_end && !ag_grant(ctx)->may_end)
		why = "it is destructive, and the scope system:*:break-glass is "
		    "not held";
	if (why == NULL)
		return AG_OK;
	if (tool->state != TOOL_ACCEPTED)
		return ag_refuse(ctx, AG_ILLEGAL_OPERATION, "tool_not_accepted",
		    NULL, "The tool stands still: %s.", why);
	ag_refuse_rule(ctx, "destructive");
	return ag_refuse(ctx, AG_PERMISSION_DENIED, "tool_destructive", NULL,
	    "The tool is not to be called: %s.", why);
}

/* Where others have servers, too, none may take all the room that there is for
 * calls: theirs would wait for its servers' slowness. */
static bool
has_its_share(const struct gateway *gateway, const char *tenant)
{
	unsigned i, calls = 0;
	bool others = false;

	for (i = 0; i < gateway->server_count && !others; i++)
		others = strcmp(gateway->servers[i]->tenant, tenant) != 0;
	for (i = 0; others && i < GATEWAY_CALLS_MAX; i++)
		calls += gateway->jobs[i].used &&
		    strcmp(gateway->jobs[i].server->tenant, tenant) == 0;
	return calls >= GATEWAY_TENANT_CALLS_MAX;
}

static ag_err
check_server(struct ag_ctx *ctx, struct server *server)
{
	if (server_is_open(server)) {
		uint64_t now = ag_mono_ms(ctx);

		ag_refuse_retry(ctx, server->open_until_ms <= now ? 1 :
		    (unsigned)((server->open_until_ms - now + 999) / 1000));
		return ag_refuse(ctx, AG_UNAVAILABLE, "tool", NULL,
		    "The tool's server has failed too often; it is left alone.");
	}
	if (server->calls >= server->concurrency)
		return ag_refuse(ctx, AG_UNAVAILABLE, "overloaded", NULL,
		    "The tool's server has as many calls as it may have.");
	if (has_its_share(server->gateway, server->tenant))
		return ag_refuse(ctx, AG_UNAVAILABLE, "overloaded", NULL,
		    "The tenant has as many calls of tools as it may have.");
	return AG_OK;
}

static ag_err
read_arguments(struct ag_ctx *ctx, const struct tool *tool,
    const Ag__ToolCallAsk *ask, json_t **out)
{
	struct misfit misfit = { 0 };

	*out = ask->has_arguments && ask->arguments.len > 0 ?
	    wire_parse((const char *)ask->arguments.data, ask->arguments.len) :
	    json_object();
	if (!json_is_object(*out))
		return ag_refuse(ctx, AG_INVALID_FIELD, "wrong_type", "/arguments",
		    "An object is expected, neither too large nor too deep.");
	if (arguments_fit(tool->parsed, *out, &misfit))
		return AG_OK;
	return ag_refuse(ctx, AG_INVALID_FIELD, misfit.reason, misfit.at,
	    "The argument does not fit the tool's schema: %s.", misfit.detail);
}

/* Within the request's deadline: its answer is to come from here. */
static unsigned
time_for(struct ag_ctx *ctx, const struct tool *tool)
{
	uint64_t now = ag_mono_ms(ctx), due = ag_grant(ctx)->deadline_ms;
	uint64_t left = due < now + GATEWAY_WORKER_MARGIN_MS ? 0 :
	    due - now - GATEWAY_WORKER_MARGIN_MS;

	return left < tool->timeout_ms ? (unsigned)left : tool->timeout_ms;
}

static void
end_job(struct job *job, const char *why, bool timed_out)
{
	const struct upstream_answer none = { .why = why, .timed_out = timed_out };

	on_called(job, &none);
}

static ag_err
send_call(struct job *job)
{
	uint64_t now = ag_mono_ms(job->server->gateway->ctx);
	json_t *params = job->params;

	job->params = NULL;
	if (now >= job->due_ms) {
		json_decref(params);
		return AG_DEADLINE_EXCEEDED;
	}
	return upstream_ask(job->server, job->session, "tools/call", params,
	    job->tool, (unsigned)(job->due_ms - now), on_called, job);
}

/* A client's session has begun, and its first call waits. Others of it, too. */
static void
on_session(void *arg, const struct upstream_answer *answer)
{
	struct job *job = arg;
	struct session *session = job->session;
	struct server *server = job->server;

	session->beginning = false;
	session->begun = answer->why == NULL && !answer->is_error;
	ag_stash_release(server->gateway->ctx, session->key);
	if (!session->begun) {
		on_called(job, answer);
		return;
	}
	upstream_tell(server, session, "notifications/initialized");
	if (send_call(job) != AG_OK)
		end_job(job, "its session took too long to begin", true);
}

static ag_err
begin_session(struct job *job, unsigned timeout_ms)
{
	ag_err err = upstream_ask(job->server, job->session, "initialize",
	    wire_initialize(), NULL, timeout_ms, on_session, job);

	job->session->beginning = err == AG_OK;
	return err;
}

static ag_err
start(struct gateway *gateway, struct server *server, struct session *session,
    const struct tool *tool, json_t *arguments, unsigned timeout_ms)
{
	struct job *job = job_new(gateway, ag_grant(gateway->ctx));
	ag_err err;

	if (job == NULL)
		return AG_FULL;
	job->server = server;
	job->session = session;
	server_hold(server);
	session_hold(session);
	job->due_ms = ag_mono_ms(gateway->ctx) + timeout_ms;
	snprintf(job->path, sizeof(job->path), "%s", tool->path);
	snprintf(job->tool, sizeof(job->tool), "%s", tool->name);
	job->params = json_pack("{s:s, s:O}", "name", tool->name, "arguments",
	    arguments);
	err = job->params == NULL ? AG_NO_MEMORY :
	    session == &server->own || session->begun ? send_call(job) :
	    begin_session(job, timeout_ms);
	if (err != AG_OK) {
		job_free(job);
		return err;
	}
	server->trying = server->open_until_ms != 0;
	server->calls++;
	ag_metric_add(gateway->ctx, GM_CALLS, 1);
	return ag_stash_on(gateway->ctx, job->wake,
	    timeout_ms + GATEWAY_WORKER_MARGIN_MS, "tool");
}

/* The gateway's own, unless each client has one. */
static ag_err
start_at(struct gateway *gateway, struct server *server, const struct tool *tool,
    json_t *arguments, unsigned timeout_ms)
{
	struct session *session = &server->own;
	ag_err err;

	if (timeout_ms == 0)
		return ag_refuse(gateway->ctx, AG_DEADLINE_EXCEEDED, NULL, NULL,
		    "No time is left to ask the tool's server.");
	server_secret(server); /* another one ends its sessions */
	if (server->stateful && (err = session_of(server, &session)) != AG_OK)
		return err;
	if (session->beginning)
		return ag_stash_on(gateway->ctx, session->key, timeout_ms, "tool");
	return start(gateway, server, session, tool, arguments, timeout_ms);
}

static ag_err
begin(struct gateway *gateway, const Ag__ToolCallAsk *ask)
{
	struct ag_ctx *ctx = gateway->ctx;
	const Ag__Grant *grant = ag_grant(ctx);
	struct server *server = NULL;
	struct tool *tool = grant->resource_id == NULL ? NULL : tool_at_path(gateway,
	    grant->tenant, grant->resource_id, &server);
	json_t *arguments = NULL;
	ag_err err;

	if (tool == NULL)
		return ag_refuse(ctx, AG_ITEM_NOT_FOUND, NULL, NULL,
		    "There is no such tool.");
	ag_note_param(ctx, "risk", risk_name(tool->risk));
	if ((err = check_tool(ctx, tool)) != AG_OK ||
	    (err = read_arguments(ctx, tool, ask, &arguments)) != AG_OK ||
	    (err = check_server(ctx, server)) != AG_OK)
		goto out;
	err = start_at(gateway, server, tool, arguments, time_for(ctx, tool));
out:
	json_decref(arguments);
	return err;
}

/* ------------------------------------------------------------------- answered */

static void
add_made(struct sieve *sieve, char *const *names, size_t count)
{
	size_t i;

	for (i = 0; i < count && sieve->field_count < SIEVE_FIELDS_MAX; i++)
		sieve->fields[sieve->field_count++] = names[i];
}

static void
fields_made(struct sieve *sieve, const Ag__ToolServerSetAsk *set,
    const char *path)
{
	const char *tool = strchr(path, '/') + 1;
	size_t i;

	add_made(sieve, set->redact, set->n_redact);
	for (i = 0; i < set->n_rules; i++)
		if (strcmp(set->rules[i]->tool, tool) == 0)
			add_made(sieve, set->rules[i]->redact,
			    set->rules[i]->n_redact);
}

static void
add_fields(struct sieve *sieve, const struct ag_config *c, const char *path,
    unsigned row)
{
	const char *name;
	unsigned i;

	for (i = 0; (name = ag_config_get_item(c, path, row, i)) != NULL &&
	    sieve->field_count < SIEVE_FIELDS_MAX; i++)
		sieve->fields[sieve->field_count++] = name;
}

static void
sieve_for(struct gateway *gateway, const struct job *job, struct sieve *sieve)
{
	const struct ag_config *c = ag_config(gateway->ctx);
	struct server *server = job->server;
	unsigned n = ag_config_get_count(c, "gateway.tools"), i;

	memset(sieve, 0, sizeof(*sieve));
	if (server->secret != NULL) {
		sieve->secret = (const char *)ag_secret_bytes(server->secret);
		sieve->secret_len = ag_secret_len(server->secret);
	}
	if (server->made != NULL) {
		fields_made(sieve, server->made->set, job->path);
		return;
	}
	add_fields(sieve, c, "gateway.servers[].redact", server->row);
	for (i = 0; i < n; i++)
		if (strcmp(ag_config_get_str(c, "gateway.tools[].tool", i),
		    job->path) == 0)
			add_fields(sieve, c, "gateway.tools[].redact", i);
}

/* What a server says went wrong is text for the model, and a short one. It is
 * sieved whole: half a secret does not look like one. */
static json_t *
error_result(struct sieve *sieve, const json_t *error)
{
	json_t *message = json_object_get(error, "message");
	json_t *clean = json_is_string(message) ?
	    sieve_value(sieve, json_incref(message)) : NULL;
	char text[GATEWAY_ERROR_TEXT_MAX];
	size_t len;

	len = (size_t)snprintf(text, sizeof(text), "The tool's server answered with "
	    "an error: %s", clean == NULL ? "" : json_string_value(clean));
	json_decref(clean);
	if (len >= sizeof(text)) /* no half of a character */
		for (len = sizeof(text) - 1; len > 0 &&
		    (text[len - 1] & 0x80) != 0; len--)
			text[len - 1] = '\0';
	return json_pack("{s:b, s:[{s:s, s:s}]}", "isError", 1, "content", "type",
	    "text", "text", text);
}

/* The members of a result that we know; NULL: it is none. */
static json_t *
plain_result(const struct job *job, struct sieve *sieve)
{
	json_t *content = json_object_get(job->result, "content");
	json_t *structured = json_object_get(job->result, "structuredContent");
	const char *type = json_string_value(json_object_get(job->result,
	    "resultType"));
	json_t *out;

	if (job->is_error)
		return error_result(sieve, job->result);
	if (!json_is_array(content) ||
	    (type != NULL && strcmp(type, "complete") != 0))
		return NULL;
	out = json_pack("{s:b, s:O}", "isError",
	    json_is_true(json_object_get(job->result, "isError")), "content",
	    content);
	if (out != NULL && json_is_object(structured))
		json_object_set(out, "structuredContent", structured);
	return out;
}

static void
note(struct ag_ctx *ctx, const struct job *job, const struct sieve *sieve)
{
	char text[24];

	snprintf(text, sizeof(text), "%zu", job->bytes);
	ag_note_param(ctx, "bytes", text);
	if (job->is_error)
		ag_note_param(ctx, "tool_error", "true");
	if (sieve->taken == 0)
		return;
	snprintf(text, sizeof(text), "%u", sieve->taken);
	ag_note_param(ctx, "output_redacted", "true");
	ag_note_param(ctx, "redactions", text);
}

static ag_err
answer(struct gateway *gateway, const struct job *job)
{
	Ag__ToolCallReply reply = AG__TOOL_CALL_REPLY__INIT;
	struct ag_ctx *ctx = gateway->ctx;
	struct sieve sieve;
	json_t *result;
	char *text;
	ag_err err;

	sieve_for(gateway, job, &sieve);
	if ((result = plain_result(job, &sieve)) == NULL)
		return ag_refuse(ctx, AG_UNAVAILABLE, "tool", NULL,
		    "The tool's server answered with no result.");
	result = sieve_value(&sieve, result);
	note(ctx, job, &sieve);
	ag_metric_add(gateway->ctx, GM_REDACTED, sieve.taken);
	text = sieve.failed ? NULL : json_dumps(result, JSON_COMPACT);
	json_decref(result);
	if (text == NULL)
		return ag_refuse(ctx, AG_UNAVAILABLE, "tool", NULL,
		    "The tool's result could not be looked through.");
	if (gateway->block && sieve.found > 0) {
		ag_refuse_rule(ctx, "gateway.secrets");
		err = ag_refuse(ctx, AG_PERMISSION_DENIED, "output_secret", NULL,
		    "The tool's result holds what looks like a secret.");
	} else {
		reply.result.data = (uint8_t *)text;
		reply.result.len = strlen(text);
		err = ag_reply(ctx, AG_MSG_TOOL_CALL, &reply);
	}
	ag_wipe(text, strlen(text));
	free(text);
	return err;
}

/* Why a server failed is for the log and its owner; a client learns that. */
static ag_err
finish(struct gateway *gateway, struct job *job)
{
	struct ag_ctx *ctx = gateway->ctx;

	if (job->why[0] == '\0')
		return answer(gateway, job);
	ag_log(ctx, AG_WARN, "GATEWAY-FAILED", "tool=%s why=%s", job->path, job->why);
	ag_note_param(ctx, "error_class", job->timed_out ? "timeout" :
	    job->lost ? "session" : "upstream");
	if (job->lost)
		return session_refuse_lost(ctx);
	if (job->timed_out)
		return ag_refuse(ctx, AG_DEADLINE_EXCEEDED, "outcome_unknown", NULL,
		    "The tool did not answer in time; what it did is not known.");
	return ag_refuse(ctx, AG_UNAVAILABLE, "tool", NULL,
	    "The tool's server could not be asked.");
}

ag_err
on_tool_call(void *state, struct ag_ctx *ctx, const void *msg)
{
	struct gateway *gateway = state;
	struct job *job = job_of(gateway, ag_grant(ctx));
	ag_err err;

	if (job == NULL)
		return begin(gateway, msg);
	if (!job->done) /* the same request twice: nobody sends that */
		return AG_BAD_MESSAGE;
	err = finish(gateway, job);
	job_free(job);
	return err;
}
