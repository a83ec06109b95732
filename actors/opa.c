/* SPDX-License-Identifier: Apache-2.0 */
/*
 * opa: asks an Open Policy Agent (opa.url) what its policies say of a request,
 * and the hook of what ends something (opa.hook_url), in the same words.
 * Hears evaluate_ask (iam). Says nothing by itself.
 * Keeps nothing. Its answer can only take away: what is not a clear yes, in
 * time, is a no, and says why.
 */
#include "fetch.h"

#include <aegis/aegis.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	QUESTIONS_MAX = 256,
	ANSWER_BYTES_MAX = 64 << 10,
	DECISION_ID_MAX = 128,
};

enum { M_ASKED, M_FAILED, M_LATENCY };

/* One request of a client that waits. */
struct question {
	struct opa *opa;
	bool used;
	uint64_t ticket, begun_us;
	bool allow;
	const char *why; /* NULL: it answered */
	char decision_id[DECISION_ID_MAX + 1];
};

enum whom { OPA, HOOK, WHOMS };
struct target {
	const char *url, *ca_file; /* url NULL: there is none */
	unsigned timeout_ms;
	struct ag_secret *token; /* NULL: none */
};

struct opa {
	struct ag_ctx *ctx;
	struct fetcher *fetcher;
	struct target targets[WHOMS];
	unsigned concurrency;
	struct question questions[QUESTIONS_MAX];
};

/* ------------------------------------------------------------------ answers */

/* A word of OPA's own log; nothing else is passed on. */
static void
take_id(struct question *q, const json_t *answer)
{
	const char *id = json_string_value(json_object_get(answer,
	    "decision_id"));
	size_t len = id == NULL ? 0 : strlen(id);

	if (len == 0 || len > DECISION_ID_MAX)
		return;
	for (size_t i = 0; i < len; i++)
		if (id[i] < '!' || id[i] > '~')
			return;
	memcpy(q->decision_id, id, len + 1);
}

/* {"result": true}, or {"result": {"allow": true}}. A document that is not
 * defined has no result: that is no yes. */
static void
judge(struct question *q, const struct fetch_answer *a)
{
	json_t *answer = json_loadb(a->bytes, a->len, JSON_REJECT_DUPLICATES,
	    NULL);
	const json_t *result = json_object_get(answer, "result");

	take_id(q, answer);
	if (json_is_object(result))
		result = json_object_get(result, "allow");
	q->allow = json_is_true(result);
	q->why = !json_is_object(answer) ? "malformed" :
	    json_is_boolean(result) ? NULL : "undefined";
	json_decref(answer);
}

static void
on_fetched(void *arg, const struct fetch_answer *a)
{
	struct question *q = arg;
	struct opa *opa = q->opa;

	if (a->timed_out)
		q->why = "timeout";
	else if (a->failure != NULL)
		q->why = a->cut ? "malformed" : "unreachable";
	else if (a->status != 200)
		q->why = "status";
	else
		judge(q, a);
	ag_resume(opa->ctx, q->ticket, AG_OK);
}

/* ---------------------------------------------------------------- questions */

static ag_err
answer(struct ag_ctx *ctx, bool allow, const char *id, const char *why)
{
	Ag__EvaluateReply reply = AG__EVALUATE_REPLY__INIT;

	reply.allow = allow && why == NULL;
	reply.decision_id = id == NULL || id[0] == '\0' ? NULL : (char *)id;
	reply.why = (char *)why;
	return ag_reply(ctx, AG_MSG_EVALUATE_REPLY, &reply);
}

static ag_err
on_answered(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct opa *opa = state;
	struct question *q = &opa->questions[*(const unsigned *)memo];
	ag_err err;

	(void)msg;
	ag_metric_observe_us(ctx, M_LATENCY, ag_mono_us(ctx) - q->begun_us);
	if (q->why != NULL || status != AG_OK)
		ag_metric_add(ctx, M_FAILED, 1);
	err = answer(ctx, q->allow && status == AG_OK, q->decision_id, q->why);
	q->used = false;
	return err;
}

static struct question *
question_new(struct opa *opa, unsigned *at)
{
	for (*at = 0; *at < opa->concurrency; (*at)++) {
		struct question *q = &opa->questions[*at];

		if (q->used)
			continue;
		memset(q, 0, sizeof(*q));
		q->opa = opa;
		q->used = true;
		return q;
	}
	return NULL;
}

static ag_err
begin(struct opa *opa, struct question *q, const struct target *to,
    const Ag__EvaluateAsk *ask)
{
	struct fetch_ask out = { .url = to->url, .ca_file = to->ca_file,
		.fields = { "Content-Type: application/json" },
		.body = (const char *)ask->input.data,
		.body_len = ask->input.len, .timeout_ms = to->timeout_ms,
		.answer_max = ANSWER_BYTES_MAX };
	char bearer[AG_SECRET_FILE_MAX + 32];
	ag_err err;

	if (to->token != NULL) {
		snprintf(bearer, sizeof(bearer), "Authorization: Bearer %.*s",
		    (int)ag_secret_len(to->token),
		    (const char *)ag_secret_bytes(to->token));
		out.fields[1] = bearer;
	}
	err = fetch_start(opa->fetcher, &out, on_fetched, q);
	ag_wipe(bearer, sizeof(bearer));
	return err;
}

static ag_err
on_evaluate_ask(void *state, struct ag_ctx *ctx, const void *msg)
{
	struct opa *opa = state;
	const Ag__EvaluateAsk *ask = msg;
	const struct target *to = &opa->targets[ask->has_hook && ask->hook ?
	    HOOK : OPA];
	struct question *q;
	unsigned at;
	ag_err err;

	ag_metric_add(ctx, M_ASKED, 1);
	if (to->url == NULL)
		return answer(ctx, false, NULL, "unreachable");
	if (opa->fetcher == NULL || (q = question_new(opa, &at)) == NULL) {
		ag_metric_add(ctx, M_FAILED, 1);
		return answer(ctx, false, NULL, "full");
	}
	q->begun_us = ag_mono_us(ctx);
	err = ag_wait(ctx, on_answered, &at, sizeof(at), &q->ticket);
	if (err != AG_PENDING) {
		q->used = false;
		return err;
	}
	if (begin(opa, q, to, ask) == AG_OK)
		return AG_PENDING;
	ag_unwait(ctx, q->ticket);
	q->used = false;
	ag_metric_add(ctx, M_FAILED, 1);
	return answer(ctx, false, NULL, "full");
}

/* -------------------------------------------------------------------- start */

static ag_err
init(void *state, struct ag_ctx *ctx)
{
	static const struct {
		const char *url, *ca_file, *timeout_ms, *token_file;
	} keys[WHOMS] = {
		[OPA] = { "opa.url", "opa.ca_file", "opa.timeout_ms",
		    "opa.token_file" },
		[HOOK] = { "opa.hook_url", "opa.hook_ca_file",
		    "opa.hook_timeout_ms", "opa.hook_token_file" },
	};
	struct opa *opa = state;

	opa->ctx = ctx;
	opa->concurrency = (unsigned)ag_config_int(ctx, "opa.concurrency");
	for (unsigned i = 0; i < WHOMS; i++) {
		struct target *to = &opa->targets[i];
		const char *file = ag_config_str(ctx, keys[i].token_file, 0),
		    *why;

		to->url = ag_config_str(ctx, keys[i].url, 0);
		to->ca_file = ag_config_str(ctx, keys[i].ca_file, 0);
		to->timeout_ms = (unsigned)ag_config_int(ctx,
		    keys[i].timeout_ms);
		if (file == NULL ||
		    (why = ag_secret_read(file, &to->token)) == NULL)
			continue;
		ag_log(ctx, AG_ERROR, "OPA-TOKEN", "file=%s why=%s", file, why);
		return AG_USAGE;
	}
	return AG_OK;
}

static ag_err
ready(void *state, struct ag_ctx *ctx)
{
	struct opa *opa = state;

	return fetcher_new(ag_event_base(ctx), &opa->fetcher);
}

static void
fini(void *state, struct ag_ctx *ctx)
{
	struct opa *opa = state;

	(void)ctx;
	fetcher_free(&opa->fetcher);
	for (unsigned i = 0; i < WHOMS; i++)
		ag_secret_free(&opa->targets[i].token);
}

static const struct ag_row rows[] = {
	{ AG_MSG_EVALUATE_ASK, on_evaluate_ask },
};

static const struct ag_metric_row metrics[] = {
	[M_ASKED] = { "opa_asked_total", "Requests that OPA was asked about",
	    AG_COUNTER },
	[M_FAILED] = { "opa_failed_total",
	    "Questions that OPA did not answer in time, or not clearly",
	    AG_COUNTER },
	[M_LATENCY] = { "opa_latency", "How long OPA took", AG_HISTOGRAM_US },
};

const struct ag_actor ag_actor_opa = {
	.name = "opa",
	.state_size = sizeof(struct opa),
	AG_ROWS(rows),
	.init = init,
	.ready = ready,
	.fini = fini,
	AG_METRICS(metrics),
};
