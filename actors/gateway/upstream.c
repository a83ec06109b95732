/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One question to a tool server, and what came back. What is sent carries the
 * server's secret, so it goes to the configured address and nowhere else.
 */
#include "gateway.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIELD_SIZE = AG_SECRET_FILE_MAX + 256, TELL_MS = 5000 };

struct exchange {
	struct server *server;
	struct session *session;
	uint64_t id;
	bool begins; /* the session that the answer names is ours */
	upstream_done *done; /* NULL: nobody waits */
	void *arg;
};

/* ---------------------------------------------------------------------- asking */

struct fields {
	char version[64], session[FETCH_SESSION_SIZE + 32], method[64],
	    name[GATEWAY_TOOL_SIZE + 16], secret[FIELD_SIZE];
};

static void
say_secret(struct server *server, char out[FIELD_SIZE])
{
	const char *field = server->secret_header;

	snprintf(out, FIELD_SIZE, "%s: %s%.*s", field == NULL ? "Authorization" :
	    field, field == NULL ? "Bearer " : "",
	    (int)ag_secret_len(server->secret),
	    (const char *)ag_secret_bytes(server->secret));
}

static void
add(struct fetch_ask *ask, unsigned *n, const char *field)
{
	if (*n < FETCH_FIELDS_MAX)
		ask->fields[(*n)++] = field;
}

static void
say_fields(struct server *server, const struct session *session,
    const char *method, const char *name, struct fields *f,
    struct fetch_ask *ask)
{
	unsigned n = 0;

	add(ask, &n, "Content-Type: application/json");
	add(ask, &n, "Accept: application/json, text/event-stream");
	snprintf(f->version, sizeof(f->version), "MCP-Protocol-Version: %s",
	    server->modern ? WIRE_NOW : WIRE_THEN);
	add(ask, &n, f->version);
	if (server->modern) {
		snprintf(f->method, sizeof(f->method), "Mcp-Method: %s", method);
		add(ask, &n, f->method);
	}
	if (server->modern && name != NULL) {
		snprintf(f->name, sizeof(f->name), "Mcp-Name: %s", name);
		add(ask, &n, f->name);
	}
	if (!server->modern && session->id[0] != '\0') {
		snprintf(f->session, sizeof(f->session), "MCP-Session-Id: %s",
		    session->id);
		add(ask, &n, f->session);
	}
	if (server->secret != NULL) {
		say_secret(server, f->secret);
		add(ask, &n, f->secret);
	}
}

/* -------------------------------------------------------------------- answered */

/* Who added a server chose its address, and is not told by its failures what
 * is at that address: the log has it whole. */
static const char *
status_text(const struct server *server, long status, char out[32])
{
	if (server->made == NULL)
		snprintf(out, 32, "HTTP %ld", status);
	else
		snprintf(out, 32, "it answered with HTTP %cxx",
		    (char)('0' + status / 100 % 10));
	return out;
}

static const char *
failure_text(const struct server *server, const struct fetch_answer *got)
{
	if (got->failure == NULL || server->made == NULL)
		return got->failure;
	ag_log(server->gateway->ctx, AG_WARN, "GATEWAY-UPSTREAM", "server=%s why=%s",
	    server->name, got->failure);
	return got->timed_out ? "it did not answer in time" :
	    got->cut ? "its answer is too long" : "it cannot be reached";
}

/* An error of JSON-RPC is an answer, whatever status it came with. */
static void
read_answer(struct exchange *x, const struct fetch_answer *got,
    struct upstream_answer *answer, char text[32])
{
	json_t *root = wire_answer(got->bytes, got->len, got->stream, x->id);
	json_t *result = json_object_get(root, "result");
	json_t *error = json_object_get(root, "error");

	answer->result = root;
	if (got->status == 404 && !x->server->modern) {
		x->session->begun = false;
		answer->lost = true;
		answer->why = "it has forgotten us";
	} else if (json_is_object(error)) {
		answer->is_error = true;
	} else if (got->status != 200) {
		answer->why = status_text(x->server, got->status, text);
	} else if (!json_is_object(result)) {
		answer->why = "its answer is not one of MCP";
	} else if (x->begins) {
		snprintf(x->session->id, sizeof(x->session->id), "%s",
		    got->session);
	}
}

static void
on_answer(void *arg, const struct fetch_answer *got)
{
	struct exchange *x = arg;
	struct upstream_answer answer = {
		.why = failure_text(x->server, got),
		.timed_out = got->timed_out, .cut = got->cut, .bytes = got->len };
	json_t *root = NULL;
	char text[32];

	/* Nobody is there: not one that takes long, not one that says too much. */
	answer.lost = got->failure != NULL && !got->timed_out && !got->cut;
	if (answer.lost)
		replica_failed(x->server, x->session->replica);
	if (got->failure == NULL && x->done != NULL) {
		read_answer(x, got, &answer, text);
		root = answer.result;
		answer.result = json_object_get(root,
		    answer.is_error ? "error" : "result");
	}
	if (x->done != NULL)
		x->done(x->arg, &answer);
	json_decref(root);
	session_release(x->session);
	server_release(x->server);
	free(x);
}

static ag_err
send_it(struct exchange *x, const char *method, json_t *params,
    const char *name, unsigned timeout_ms)
{
	struct server *server = x->server;
	struct fetch_ask ask = { .timeout_ms = timeout_ms,
		.url = server->replicas[x->session->replica].url,
		.answer_max = server->answer_max };
	char *body = wire_request(server->modern, x->id, method, params);
	struct fields f = { 0 };
	ag_err err = AG_NO_MEMORY;

	if (server->ca_file[0] != '\0')
		ask.ca_file = server->ca_file;
	if (server->made != NULL)
		ask.ca_pem = server->made->set->ca_pem;
	if (body != NULL) {
		say_fields(server, x->session, method, name, &f, &ask);
		ask.body = body;
		ask.body_len = strlen(body);
		err = fetch_start(server->gateway->fetcher, &ask, on_answer, x);
		ag_wipe(&f, sizeof(f));
	}
	free(body);
	return err;
}

ag_err
upstream_ask(struct server *server, struct session *session,
    const char *method, json_t *params, const char *name, unsigned timeout_ms,
    upstream_done *done, void *arg)
{
	struct exchange *x = calloc(1, sizeof(*x));
	ag_err err;

	if (x == NULL) {
		json_decref(params);
		return AG_NO_MEMORY;
	}
	x->server = server;
	x->session = session;
	x->id = ++server->next_id;
	x->begins = strcmp(method, "initialize") == 0;
	x->done = done;
	x->arg = arg;
	if (x->begins)
		session->id[0] = '\0';
	if ((err = send_it(x, method, params, name, timeout_ms)) != AG_OK) {
		free(x);
		return err;
	}
	server_hold(server);
	session_hold(session);
	return AG_OK;
}

void
upstream_tell(struct server *server, struct session *session,
    const char *method)
{
	struct exchange *x = calloc(1, sizeof(*x));

	if (x == NULL)
		return;
	x->server = server;
	x->session = session;
	if (send_it(x, method, NULL, NULL, TELL_MS) != AG_OK) {
		free(x);
		return;
	}
	server_hold(server);
	session_hold(session);
}
