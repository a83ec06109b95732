/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a trip ends: how an answer or a refusal, with what was noted about it
 * (note.c), becomes one outcome to audit, one reply to who asked, or the next
 * station's work.
 */
#include "ctx.h"

#include <stdlib.h>
#include <string.h>

/* --------------------------------------------------------------- refusals */

/* Internal errors are told to clients as one of the public ones. */
static ag_err
public_error(ag_err err)
{
	if (err < AG_NO_MEMORY)
		return err;
	if (err == AG_FULL || err == AG_TIMEOUT || err == AG_NOBODY)
		return AG_UNAVAILABLE;
	return AG_GENERAL_FAILURE;
}

/*
 * Why, for the answer: what the handler said with ag_refuse; else what the
 * peer that was asked said; else the bare error. What is internal stays in the
 * log, under the request id.
 * A 403 always names a rule: as a rule, the one that its reason is named after.
 */
static void
why(struct ag_ctx *ctx, ag_err err, Ag__Refusal *out)
{
	const struct ag_trip *trip = ctx->trip;

	ag__refusal__init(out);
	if (trip->refusal.err == (uint32_t)err)
		*out = trip->refusal;
	else if (ctx->status_refusal.err == (uint32_t)err)
		*out = ctx->status_refusal;
	out->err = public_error(err);
	if (out->err == AG_UNAVAILABLE)
		ag_log(ctx, AG_WARN, "REQUEST-UNAVAILABLE", "error=%s reason=%s",
		    ag_err_row(err)->name,
		    out->reason_code == NULL ? "overloaded" : out->reason_code);
	if (out->err == AG_GENERAL_FAILURE) {
		ag_log(ctx, AG_ERROR, "REQUEST-FAILED", "error=%s detail=%s",
		    ag_err_row(err)->name,
		    out->detail == NULL ? "-" : out->detail);
		ag__refusal__init(out);
		out->err = AG_GENERAL_FAILURE;
	}
	if (ag_err_row(out->err)->http == 403 && out->rule == NULL)
		out->rule = out->reason_code != NULL ? out->reason_code :
		    (char *)"delegation_depth";
	if (out->err == AG_UNAVAILABLE && out->reason_code == NULL)
		out->reason_code = (char *)"overloaded";
	if (out->err == AG_UNAVAILABLE && !out->has_retry_after_s) {
		out->has_retry_after_s = true;
		out->retry_after_s = 1;
	}
}

static Ag__OutcomeKind__V
outcome_kind(ag_err err)
{
	int http = err == AG_OK ? 200 : ag_err_row(err)->http;

	if (err == AG_OK)
		return AG__OUTCOME_KIND__V__allowed;
	if (http == 401 || http == 403 || http == 429)
		return AG__OUTCOME_KIND__V__denied;
	if (http == 504)
		return AG__OUTCOME_KIND__V__unknown;
	return AG__OUTCOME_KIND__V__failed;
}

static void
outcome_identity(struct ag_ctx *ctx, Ag__OutcomeEvent *out)
{
	struct ag_trip *trip = ctx->trip;
	Ag__Request *request;

	if (trip->grant_bytes != NULL) {
		out->has_grant = out->has_grant_mac = true;
		out->grant.data = trip->grant_bytes;
		out->grant.len = trip->grant_len;
		out->grant_mac.data = trip->grant_mac;
		out->grant_mac.len = AG_MAC_BYTES;
	} else if (trip->grant != NULL) {
		out->has_grant = out->has_grant_mac = true;
		out->grant = trip->env->grant;
		out->grant_mac = trip->env->grant_mac;
	} else if (trip->env->request != NULL) {
		request = ag_alloc(ctx, sizeof(*request));
		if (request == NULL)
			return;
		*request = *trip->env->request;
		request->credential = NULL; /* ends here, always */
		request->step_up = NULL;
		request->prompt = NULL;
		request->dev_identity = NULL;
		request->has_reply_key = false;
		request->trace = NULL; /* in the envelope, as far as it came */
		out->request = request;
	}
}

enum { LIFTS = 5 };

/* Whose request this is, of one that reached its executor; NULL: it did not. */
static char *
provenance(struct ag_ctx *ctx)
{
	char stamp[AG_STAMP_SIZE];

	return trip_stamp(ctx, stamp) ? ag_strdup(ctx, stamp) : NULL;
}

/* What let it through (a second factor, people, a broken glass), and whose it
 * is. */
static size_t
add_lifts(struct ag_ctx *ctx, Ag__Pair **out)
{
	const Ag__Grant *grant = ctx->trip->grant;
	const struct { const char *key; char *value; } lifts[LIFTS] = {
		{ "step_up", grant == NULL ? NULL : grant->step_up },
		{ "approval", grant == NULL || grant->n_needs == 0 ? NULL :
		    grant->approval },
		{ "break_glass_id", grant == NULL ? NULL : grant->break_glass },
		{ "level", grant == NULL || grant->break_glass == NULL ? NULL :
		    (char *)"verbose" },
		{ "provenance", provenance(ctx) },
	};
	size_t n = 0;

	for (size_t i = 0; i < LIFTS; i++) {
		if (lifts[i].value == NULL ||
		    (out[n] = ag_alloc(ctx, sizeof(*out[n]))) == NULL)
			continue;
		ag__pair__init(out[n]);
		out[n]->key = (char *)lifts[i].key;
		out[n++]->value = lifts[i].value;
	}
	return n;
}

bool
trip_stamp(struct ag_ctx *ctx, char out[AG_STAMP_SIZE])
{
	const Ag__Grant *grant = ctx->trip == NULL ? NULL : ctx->trip->grant;
	const struct ag_operation *op = grant == NULL ? NULL :
	    ag_operation_find((uint16_t)grant->op);
	struct ag_stamp stamp = { .approved = false };

	/* Who signed the grant here is iam at the door, not yet an executor. */
	if (op == NULL || ctx->trip->grant_bytes != NULL ||
	    op->executor != ag_slot_role(ctx, ag_self(ctx)) ||
	    grant->actor_id == NULL || strlen(grant->actor_id) >= AG_ID_SIZE ||
	    grant->request_id.len != AG_UUID_BYTES)
		return false;
	strcpy(stamp.principal, grant->actor_id);
	/* The approvals alone pass on what needs them. */
	stamp.approved = grant->n_needs > 0 && grant->approval != NULL;
	memcpy(stamp.request_id, grant->request_id.data, AG_UUID_BYTES);
	return ag_stamp_text(&stamp, out);
}

void
trip_outcome(struct ag_ctx *ctx, ag_err err, Ag__OutcomeEvent *out)
{
	struct ag_trip *trip = ctx->trip;
	Ag__Pair **params;

	ag__outcome_event__init(out);
	out->event_type = AG__EVENT_TYPE__V__request;
	out->outcome = outcome_kind(err);
	out->operation = (char *)ag_operation_find(trip->type)->operation;
	outcome_identity(ctx, out);
	out->verdict = trip->verdict != NULL ? trip->verdict : trip->env->verdict;
	out->resource_type = trip->resource_type;
	out->resource_id = trip->resource_id;
	out->resource_alias = trip->resource_alias;
	out->reason = trip->reason;
	if (trip->has_items) {
		out->has_items = out->has_failed = true;
		out->items = trip->items;
		out->failed = trip->failed;
	}
	if (trip->journal_seq != 0) {
		out->has_journal_seq = true;
		out->journal_seq = trip->journal_seq;
		out->has_journal_prev = true;
		out->journal_prev = trip->journal_prev;
	}
	params = ag_alloc(ctx, (trip->param_count + LIFTS) * sizeof(*params));
	if (params == NULL)
		return;
	for (size_t i = 0; i < trip->param_count; i++)
		params[i] = &trip->params[i];
	out->params = params;
	out->n_params = trip->param_count + add_lifts(ctx,
	    &params[trip->param_count]);
}

/* ---------------------------------------------------------------- answers */

static ag_err
answer_operation(struct ag_ctx *ctx, ag_err err, const Ag__Refusal *refusal,
    uint16_t type, const uint8_t *reply, size_t reply_len, bool sealed,
    bool replayed)
{
	Ag__Envelope env = AG__ENVELOPE__INIT;
	Ag__OutcomeEvent out;

	trip_outcome(ctx, err, &out);
	if (!out.has_grant && out.request == NULL)
		return AG_OK; /* nobody's: counted, and not to be recorded */
	if (err != AG_OK) {
		out.refusal = (Ag__Refusal *)refusal;
	} else {
		out.has_reply_type = out.has_reply = true;
		out.reply_type = type;
		out.reply.data = (uint8_t *)reply;
		out.reply.len = reply_len;
		out.has_sealed = sealed;
		out.sealed = sealed;
		out.has_replayed = replayed;
		out.replayed = replayed;
	}
	env.trace = (Ag__Trace *)ag_trace(ctx);
	/* No audit, no answer: the plane's deadline says so. */
	return out_add(ctx, ag_slot(ctx, AG_ROLE_AUDIT, 0), AG_MSG_OUTCOME_EVENT,
	    &env, &out.base);
}

static ag_err
answer_asker(struct ag_ctx *ctx, ag_err err, const Ag__Refusal *refusal,
    uint16_t type, const uint8_t *reply, size_t reply_len)
{
	Ag__Envelope env = AG__ENVELOPE__INIT;
	Ag__ErrorReply error = AG__ERROR_REPLY__INIT;

	if (ctx->trip->env->corr == 0)
		return AG_OK;
	env.has_corr = true;
	env.corr = ctx->trip->env->corr;
	if (err == AG_OK)
		return out_add_raw(ctx, ctx->trip->from, type, &env, reply,
		    reply_len);
	env.has_status = true;
	env.status = err;
	error.refusal = (Ag__Refusal *)refusal;
	return out_add(ctx, ctx->trip->from, AG_MSG_ERROR_REPLY, &env,
	    &error.base);
}

ag_err
trip_answer(struct ag_ctx *ctx, ag_err err, uint16_t type, const uint8_t *reply,
    size_t reply_len, bool sealed, bool replayed)
{
	struct ag_trip *trip = ctx->trip;
	Ag__Refusal refusal = AG__REFUSAL__INIT;

	if (trip == NULL || trip->ended)
		return AG_OK;
	trip->ended = true;
	if (err != AG_OK) {
		why(ctx, err, &refusal);
		ag_em_add(ctx, EM_REFUSED, 1);
	}
	ag_log(ctx, AG_DEBUG, "TRIP-ENDED", "type=%#x error=%s", trip->type,
	    err == AG_OK ? "none" : ag_err_row(err)->name);
	if (ag_is_operation(trip->type))
		return answer_operation(ctx,
		    err == AG_OK ? AG_OK : (ag_err)refusal.err, &refusal, type,
		    reply, reply_len, sealed, replayed);
	return answer_asker(ctx, err, &refusal, type, reply, reply_len);
}

/* A secret answer leaves this process only sealed to the plane's boot. */
static ag_err
seal_reply(struct ag_ctx *ctx, uint8_t **bytes, size_t *len)
{
	const Ag__Grant *grant = ctx->trip->grant;
	Ag__Sealed sealed = AG__SEALED__INIT;
	uint8_t *packed;
	ag_err err;

	if (!grant->has_reply_key || grant->reply_key.len != AG_SEAL_KEY_BYTES)
		return AG_BAD_MESSAGE;
	err = ag_seal(ctx, grant->reply_key.data, *bytes, *len, &sealed);
	if (err != AG_OK)
		return err;
	ag_wipe(*bytes, *len);
	packed = ag_pack(ctx, &sealed, len);
	if (packed == NULL)
		return AG_NO_MEMORY;
	*bytes = packed;
	return AG_OK;
}

/* The answer's bytes as they may leave; *bytes is wiped if it is replaced. */
static ag_err
seal_if_secret(struct ag_ctx *ctx, uint8_t **bytes, size_t *len, bool *sealed)
{
	const struct ag_operation *op = ag_operation_find(ctx->trip->type);

	*sealed = op != NULL && (op->flags & AG_OP_SECRET) != 0;
	return *sealed ? seal_reply(ctx, bytes, len) : AG_OK;
}

ag_err
trip_answer_packed(struct ag_ctx *ctx, uint16_t type, uint8_t *bytes, size_t len)
{
	bool sealed;
	ag_err err;

	if (ctx->trip == NULL || ctx->trip->ended)
		return AG_OK;
	err = seal_if_secret(ctx, &bytes, &len, &sealed);
	return err != AG_OK ? err :
	    trip_answer(ctx, AG_OK, type, bytes, len, sealed, false);
}

ag_err
ag_reply(struct ag_ctx *ctx, uint16_t type, const void *msg)
{
	struct ag_trip *trip = ctx->trip;
	size_t len;
	uint8_t *bytes;
	bool sealed;
	ag_err err;

	if (trip == NULL || trip->ended)
		return AG_OK;
	if (persist_is_owed(ctx))
		return persist_answer(ctx, type, msg);
	bytes = ag_pack(ctx, msg, &len);
	if (bytes == NULL)
		return AG_NO_MEMORY;
	if ((err = seal_if_secret(ctx, &bytes, &len, &sealed)) != AG_OK)
		return err;
	err = trip_answer(ctx, AG_OK, type, bytes, len, sealed, false);
	if (err != AG_OK)
		ag_log(ctx, AG_WARN, "REPLY-UNSAID", "type=%#x error=%s", type,
		    ag_err_row(err)->name);
	return AG_OK;
}

/* ------------------------------------------------------ stations, records */

void
ag_set_verdict(struct ag_ctx *ctx, Ag__Verdict *verdict)
{
	ctx->trip->verdict = verdict;
}

ag_err
ag_set_grant(struct ag_ctx *ctx, Ag__Grant *grant)
{
	struct ag_trip *trip = ctx->trip;
	uint8_t *digest;

	if (ctx->mac == NULL)
		return AG_PERMISSION_DENIED;
	if (!grant->has_body_digest) {
		if ((digest = ag_alloc(ctx, 32)) == NULL)
			return AG_NO_MEMORY;
		ag_sha256(trip->body, trip->body_len, digest);
		grant->has_body_digest = true;
		grant->body_digest.data = digest;
		grant->body_digest.len = 32;
	}
	trip->grant_bytes = ag_pack(ctx, grant, &trip->grant_len);
	if (trip->grant_bytes == NULL)
		return AG_NO_MEMORY;
	trip->grant = grant;
	return ag_mac_sign(ctx->mac, trip->grant_bytes, trip->grant_len,
	    trip->grant_mac);
}

ag_err
ag_pass(struct ag_ctx *ctx, unsigned to, Ag__Grant *grant, Ag__Verdict *verdict)
{
	struct ag_trip *trip = ctx->trip;
	Ag__Envelope env = AG__ENVELOPE__INIT;
	ag_err err;

	if (grant != NULL && (err = ag_set_grant(ctx, grant)) != AG_OK)
		return err;
	env.has_deadline_ms = trip->env->has_deadline_ms;
	env.deadline_ms = trip->env->deadline_ms;
	env.has_grant = env.has_grant_mac = true;
	if (trip->grant_bytes != NULL) {
		env.grant.data = trip->grant_bytes;
		env.grant.len = trip->grant_len;
		env.grant_mac.data = trip->grant_mac;
		env.grant_mac.len = AG_MAC_BYTES;
	} else {
		env.grant = trip->env->grant;
		env.grant_mac = trip->env->grant_mac;
	}
	env.verdict = verdict != NULL ? verdict :
	    trip->verdict != NULL ? trip->verdict : trip->env->verdict;
	env.trace = (Ag__Trace *)ag_trace(ctx);
	err = out_add_raw(ctx, to, trip->type, &env, trip->body, trip->body_len);
	if (err == AG_OK)
		trip->ended = true;
	return err;
}

ag_err
ag_record(struct ag_ctx *ctx, Ag__OutcomeEvent *outcome)
{
	Ag__Envelope env = AG__ENVELOPE__INIT;

	return out_add(ctx, ag_slot(ctx, AG_ROLE_AUDIT, 0), AG_MSG_OUTCOME_EVENT,
	    &env, &outcome->base);
}

ag_err
ag_request(struct ag_ctx *ctx, uint16_t op, Ag__Request *request,
    uint64_t deadline_ms, const void *body)
{
	Ag__Envelope env = AG__ENVELOPE__INIT;

	request->boot = ctx->boot_id;
	request->has_reply_key = true;
	request->reply_key.data = ctx->seal_pk;
	request->reply_key.len = AG_SEAL_KEY_BYTES;
	env.has_deadline_ms = true;
	env.deadline_ms = deadline_ms;
	env.request = request;
	return out_add(ctx, ag_slot(ctx, AG_ROLE_IAM, 0), op, &env, body);
}
