/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trips: one message from its arrival to its answer. Here a frame becomes
 * handler calls, a grant is checked before anybody believes it, and a return
 * value becomes an answer.
 */
#include "ctx.h"

#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------ life of one */

static struct ag_trip *
trip_new(struct ag_ctx *ctx)
{
	struct ag_trip *trip = ctx->trip_pool;

	if (trip != NULL) {
		ctx->trip_pool = trip->next;
		trip->next = NULL;
		return trip;
	}
	trip = calloc(1, sizeof(*trip));
	if (trip == NULL)
		return NULL;
	trip->all = ctx->trip_all;
	ctx->trip_all = trip;
	return trip;
}

static void
refusal_clear(Ag__Refusal *r)
{
	free(r->reason_code);
	free(r->field);
	free(r->detail);
	free(r->hint);
	free(r->rule);
	free(r->challenge_id);
	free(r->approval_id);
	ag__refusal__init(r);
}

static void
notes_clear(struct ag_trip *trip)
{
	free(trip->resource_type);
	free(trip->resource_id);
	free(trip->resource_alias);
	free(trip->reason);
	for (size_t i = 0; i < trip->param_count; i++) {
		free(trip->params[i].key);
		free(trip->params[i].value);
	}
	free(trip->park_reason);
	free(trip->park_grant);
	refusal_clear(&trip->refusal);
}

/* Nothing of one request is left for the next. But a timer that finds the next
 * one here knows that it is not the one that it was set for. */
static void
trip_clear(struct ag_trip *trip)
{
	struct ag_trip *all = trip->all;
	uint64_t park = trip->park + 1;

	notes_clear(trip);
	if (trip->copy != NULL)
		ag_wipe(trip->copy, trip->env_len + trip->body_len);
	free(trip->copy);
	free(trip->trace);
	memset(trip, 0, sizeof(*trip));
	trip->all = all;
	trip->park = park;
}

static void
trip_free(struct ag_ctx *ctx, struct ag_trip *trip)
{
	trip_clear(trip);
	trip->next = ctx->trip_pool;
	ctx->trip_pool = trip;
}

/* At the process's end, those too that somebody still waits for. */
void
trip_drop_all(struct ag_ctx *ctx)
{
	while (ctx->trip_all != NULL) {
		struct ag_trip *trip = ctx->trip_all;

		ctx->trip_all = trip->all;
		trip_clear(trip);
		free(trip);
	}
	ctx->trip_pool = ctx->run_first = ctx->run_last = NULL;
}

ag_err
trip_keep(struct ag_ctx *ctx, struct ag_trip *trip)
{
	size_t len = trip->env_len + trip->body_len;

	if (trip->kept)
		return AG_OK;
	trip->copy = malloc(len == 0 ? 1 : len);
	if (trip->copy == NULL)
		return AG_NO_MEMORY;
	if (trip->env_len > 0)
		memcpy(trip->copy, trip->env_bytes, trip->env_len);
	if (trip->body_len > 0)
		memcpy(trip->copy + trip->env_len, trip->body, trip->body_len);
	trip->env_bytes = trip->copy;
	trip->body = trip->copy + trip->env_len;
	trip->kept = true;
	return AG_OK;
}

static bool
needs_answer(const struct ag_trip *trip)
{
	return ag_is_operation(trip->type) ||
	    (trip->env != NULL && trip->env->corr != 0);
}

static void
trip_end(struct ag_ctx *ctx, struct ag_trip *trip)
{
	if (trip->parked_on != NULL) {
		lock_forget_parked(ctx, trip);
		trip->waits--;
	}
	lock_release_all(ctx, trip);
	if (trip->waits == 0)
		trip_free(ctx, trip);
}

void
trip_leave(struct ag_ctx *ctx, ag_err result)
{
	struct ag_trip *trip = ctx->trip;

	if (result == AG_PENDING && trip->waits == 0) {
		ag_log(ctx, AG_ERROR, "TRIP-LOST",
		    "type=%#x: pending, but nothing will resume it", trip->type);
		result = AG_GENERAL_FAILURE;
	}
	if (result == AG_OK && !trip->ended && needs_answer(trip)) {
		ag_log(ctx, AG_ERROR, "TRIP-UNANSWERED", "type=%#x", trip->type);
		result = AG_GENERAL_FAILURE;
	}
	if (result != AG_OK && result != AG_PENDING && !trip->ended &&
	    trip_answer(ctx, result, 0, NULL, 0, false, false) != AG_OK)
		ag_log(ctx, AG_WARN, "TRIP-UNSAID", "type=%#x", trip->type);
	ctx->trip = NULL;
	if (result != AG_PENDING)
		trip->ended = true;
	if (trip->ended)
		trip_end(ctx, trip);
	ag__refusal__init(&ctx->status_refusal);
	ag_arena_wipe(ctx->arena);
}

static ag_err
unpack_envelope(struct ag_ctx *ctx, struct ag_trip *trip)
{
	trip->env = ag_unpack(ctx, &ag__envelope__descriptor, trip->env_bytes,
	    trip->env_len);
	trip->grant = NULL;
	trip->grant_bytes = NULL;
	trip->verdict = NULL;
	return trip->env == NULL ? AG_BAD_MESSAGE : AG_OK;
}

bool
ag_grant_verify(struct ag_ctx *ctx, const uint8_t *bytes, size_t len,
    const uint8_t *mac, size_t mac_len)
{
	return ctx->mac != NULL &&
	    ag_mac_verify(ctx->mac, bytes, len, mac, mac_len);
}

/* Nothing of an operation is believed before this. */
static ag_err
check_grant(struct ag_ctx *ctx, struct ag_trip *trip)
{
	const Ag__Envelope *env = trip->env;
	const Ag__Grant *grant;
	uint8_t digest[32];

	if (!env->has_grant || !env->has_grant_mac ||
	    !ag_grant_verify(ctx, env->grant.data, env->grant.len,
	        env->grant_mac.data, env->grant_mac.len))
		return AG_BAD_MESSAGE;
	grant = ag_unpack(ctx, &ag__grant__descriptor, env->grant.data,
	    env->grant.len);
	if (grant == NULL || grant->op != trip->type ||
	    grant->request_id.len != AG_UUID_BYTES ||
	    !grant->has_body_digest || grant->body_digest.len != sizeof(digest))
		return AG_BAD_MESSAGE;
	ag_sha256(trip->body, trip->body_len, digest);
	if (memcmp(digest, grant->body_digest.data, sizeof(digest)) != 0)
		return AG_BAD_MESSAGE;
	trip->grant = grant;
	return AG_OK;
}

ag_err
trip_enter(struct ag_ctx *ctx, struct ag_trip *trip)
{
	ag_err err = unpack_envelope(ctx, trip);

	ctx->trip = trip;
	if (err == AG_OK && trip->env->has_grant && ag_is_operation(trip->type))
		err = check_grant(ctx, trip);
	if (err != AG_OK) {
		ctx->trip = NULL;
		ag_arena_wipe(ctx->arena);
	}
	return err;
}

/* -------------------------------------------------------------- dispatch */

static ag_handler *
row_for(const struct ag_actor *actor, uint16_t type)
{
	for (size_t i = 0; i < actor->row_count; i++)
		if (actor->rows[i].type == type)
			return actor->rows[i].handle;
	return NULL;
}

static ag_err
call_row(struct ag_ctx *ctx, struct ag_trip *trip,
    const ProtobufCMessageDescriptor *body)
{
	ag_handler *handle = row_for(ctx->actor, trip->type);
	const void *msg;

	if (handle == NULL)
		return AG_BAD_MESSAGE;
	msg = ag_unpack(ctx, body, trip->body, trip->body_len);
	if (msg == NULL)
		return AG_BAD_MESSAGE;
	return handle(ctx->state, ctx, msg);
}

/* An executor works only on what risk has judged (F04: or on a read that iam
 * marked because risk is away). */
static ag_err
check_verdict(struct ag_ctx *ctx, struct ag_trip *trip,
    const struct ag_operation *op)
{
	if (trip->env->verdict != NULL ||
	    (trip->grant->degraded && (op->flags & AG_OP_READ) != 0))
		return AG_OK;
	return ag_refuse(ctx, AG_UNAVAILABLE, "risk", NULL,
	    "the request carries no risk verdict");
}

/* Nor on what people must agree to, unless it comes from who asks them. */
static ag_err
check_needs(struct ag_ctx *ctx, const struct ag_trip *trip)
{
	if (trip->grant->n_needs == 0 ||
	    ag_slot_role(ctx, trip->from) == AG_ROLE_APPROVALS)
		return AG_OK;
	return ag_refuse(ctx, AG_PERMISSION_DENIED, "no_matching_rule", NULL,
	    "the request went past the approvals");
}

static bool
is_stale(struct ag_ctx *ctx)
{
	return ctx->stale || (ctx->stale_at_ms != UINT64_MAX &&
	    ag_mono_ms(ctx) >= ctx->stale_at_ms);
}

/* Who admits requests admits by credentials and policies that may have ended, so
 * only what anybody can do who has the public key. Elsewhere what reads goes on;
 * to verify a MAC reads, but with a key that somebody else may have by now. */
static bool
needs_hearing(const struct ag_operation *op, enum ag_role self)
{
	if (self == AG_ROLE_IAM)
		return op->type != AG_MSG_KEY_VERIFY &&
		    op->type != AG_MSG_KEY_PUBLIC;
	return (op->flags & AG_OP_READ) == 0 || op->type == AG_MSG_KEY_MAC_VERIFY;
}

static ag_err
call_operation(struct ag_ctx *ctx, struct ag_trip *trip)
{
	const struct ag_operation *op = ag_operation_find(trip->type);
	enum ag_role self = ctx->slots[ctx->self].role;
	ag_err err;

	/* Nor with a state that may lack a change the journal has. */
	if (!ctx->ready || ctx->resync || ctx->gap)
		return ag_refuse(ctx, AG_UNAVAILABLE, "starting", NULL,
		    "%s is starting", ctx->actor->name);
	if (is_stale(ctx) && needs_hearing(op, self))
		return ag_refuse(ctx, AG_UNAVAILABLE, "revocation_stale", NULL,
		    "what other nodes revoked has not been heard for too long");
	if (trip->grant == NULL || self == AG_ROLE_RISK) {
		if (ctx->actor->station == NULL)
			return AG_BAD_MESSAGE;
		return ctx->actor->station(ctx->state, ctx, NULL);
	}
	if ((err = check_verdict(ctx, trip, op)) != AG_OK)
		return err;
	if (self == AG_ROLE_APPROVALS && op->executor != self)
		return ctx->actor->station(ctx->state, ctx, NULL);
	if ((err = check_needs(ctx, trip)) != AG_OK)
		return err;
	if (trip->grant->has_idem && (op->flags & AG_OP_IDEM) != 0 &&
	    !trip->idem_checked)
		return persist_idem(ctx);
	return call_row(ctx, trip, op->ask);
}

/* The envelope's deadline is anybody's word, the grant's is iam's: a request
 * kept by a station in between is not worked on later. */
static bool
expired(struct ag_ctx *ctx, const struct ag_trip *trip)
{
	uint64_t now = ag_mono_ms(ctx);

	return (trip->env->deadline_ms != 0 && trip->env->deadline_ms < now) ||
	    (trip->grant != NULL && trip->grant->deadline_ms != 0 &&
	    trip->grant->deadline_ms < now);
}

/* Its time is over by a policy, and its asker still waits to hear of it. */
static bool
is_short(struct ag_ctx *ctx, const struct ag_trip *trip)
{
	return trip->grant != NULL && trip->grant->has_short_deadline &&
	    trip->grant->short_deadline && ag_is_operation(trip->type) &&
	    (trip->env->deadline_ms == 0 ||
	    ag_mono_ms(ctx) <= trip->env->deadline_ms);
}

void
trip_start(struct ag_ctx *ctx, struct ag_trip *trip)
{
	const struct ag_message *m = ag_message_find(trip->type);
	ag_err err;

	if (trip_enter(ctx, trip) != AG_OK) {
		ag_em_add(ctx, EM_MALFORMED, 1);
		ag_log(ctx, AG_WARN, "MESSAGE-BAD", "type=%#x from=%s",
		    trip->type, ag_slot_name(ctx, trip->from));
		trip->ended = true;
		trip_end(ctx, trip);
		return;
	}
	if (expired(ctx, trip) && is_short(ctx, trip)) {
		trip_leave(ctx, ag_refuse(ctx, AG_DEADLINE_EXCEEDED,
		    "constraint_timeout", NULL,
		    "it took longer than a policy lets it take"));
		return;
	}
	if (expired(ctx, trip)) {
		/* Its asker has given up and said so: nobody works on it. */
		ag_em_add(ctx, EM_EXPIRED, 1);
		trip->ended = true;
		trip_leave(ctx, AG_OK);
		return;
	}
	trace_begin(ctx, trip);
	err = ag_is_operation(trip->type) ? call_operation(ctx, trip) :
	    call_row(ctx, trip, m->body);
	if (err == AG_BAD_MESSAGE)
		ag_em_add(ctx, EM_MALFORMED, 1);
	if (err != AG_OK && err != AG_PENDING && !needs_answer(trip))
		ag_log(ctx, AG_WARN, "HANDLER-ERROR", "type=%s error=%s",
		    m->name, ag_err_row(err)->name);
	trip_leave(ctx, err);
}

void
trip_run_queue(struct ag_ctx *ctx)
{
	while (ctx->run_first != NULL) {
		struct ag_trip *trip = ctx->run_first;

		ctx->run_first = trip->next;
		trip->next = NULL;
		trip->waits--;
		trip->park++; /* whatever timed its patience is void */
		if (!trip->ended)
			trip_start(ctx, trip);
		else if (trip->waits == 0) /* something else answered it */
			trip_free(ctx, trip);
	}
}

bool
trip_is_parked(const struct ag_trip *trip, uint64_t park)
{
	return trip->park == park && trip->parked_on != NULL;
}

void
trip_park_expired(struct ag_ctx *ctx, struct ag_trip *trip, uint64_t park)
{
	if (!trip_is_parked(trip, park))
		return;
	lock_forget_parked(ctx, trip);
	trip->waits--;
	if (trip_enter(ctx, trip) != AG_OK)
		return;
	if (trip->park_grant != NULL) {
		trip->grant_bytes = trip->park_grant;
		trip->grant_len = trip->park_grant_len;
		memcpy(trip->grant_mac, trip->park_mac, AG_MAC_BYTES);
	}
	trip_leave(ctx, ag_refuse(ctx, AG_UNAVAILABLE, trip->park_reason, NULL,
	    "waited for a ruling that did not come in time"));
}

/* A guest enrolled after this process was told the table. */
static void
note_guest(struct slot *slot, const Ag__PeerEvent *ev)
{
	if (ev->name == NULL || ev->role == NULL)
		return;
	snprintf(slot->name, sizeof(slot->name), "%s", ev->name);
	slot->role = ag_role_named(ev->role);
}

/* Guests are not in the boot message: the broker names them. */
static void
learn_peer(struct ag_ctx *ctx, const Ag__PeerEvent *ev)
{
	struct slot *slot = &ctx->slots[ev->slot];

	slot->up = ev->up;
	if (ev->name == NULL || ev->role == NULL)
		return;
	snprintf(slot->name, sizeof(slot->name), "%s", ev->name);
	slot->role = ag_role_named(ev->role);
	if (ev->slot >= ctx->slot_count)
		ctx->slot_count = ev->slot + 1;
}

static void
on_peer_event(struct ag_ctx *ctx, const uint8_t *body, size_t len)
{
	const Ag__PeerEvent *ev = ag_unpack(ctx, &ag__peer_event__descriptor,
	    body, len);
	bool changed;

	if (ev == NULL || ev->slot >= AG_SLOTS_MAX)
		return;
	note_guest(&ctx->slots[ev->slot], ev);
	if (ev->slot == ctx->self) {
		/* The broker says it last, after all who are there; down: it does
		 * not know us (it was restarted) and waits for a HELLO. */
		if (ev->up) {
			run_connected(ctx);
			return;
		}
		run_hello(ctx);
		if (ctx->connected) { /* it is not the first that we meet */
			ctx->marks_pending = true; /* outcomes went with it */
			follow_broker_new(ctx);
		}
		return;
	}
	changed = ctx->slots[ev->slot].up != (bool)ev->up;
	learn_peer(ctx, ev);
	if (changed && ctx->actor->peer != NULL)
		ctx->actor->peer(ctx->state, ctx, ev->slot, ev->up);
	if (!ev->up)
		ask_peer_down(ctx, ev->slot);
	else
		follow_peer_up(ctx, ev->slot, changed);
}

/* What the engine itself hears. False: it is for the actor. */
static bool
engine_message(struct ag_ctx *ctx, unsigned from, const struct ag_part *part)
{
	enum ag_role role = ag_slot_role(ctx, from);

	if (part->type == AG_MSG_PEER_EVENT) {
		if (from == AG_SLOT_BROKER)
			on_peer_event(ctx, part->body, part->body_len);
		return true;
	}
	if (part->type == AG_MSG_JOURNAL_RECORD_EVENT &&
	    role == AG_ROLE_JOURNAL && ctx->live) {
		follow_journal_record(ctx, part->body, part->body_len);
		return true;
	}
	if (part->type == AG_MSG_JOURNAL_HEARD_EVENT && role == AG_ROLE_JOURNAL) {
		const Ag__JournalHeardEvent *ev = ag_unpack(ctx,
		    &ag__journal_heard_event__descriptor, part->body, part->body_len);

		ctx->stale = ev != NULL && !ev->heard;
		ctx->stale_at_ms = ev != NULL && ev->has_left_ms ?
		    ag_mono_ms(ctx) + ev->left_ms : UINT64_MAX;
		return true;
	}
	if (part->type == AG_MSG_AUDIT_POKE_EVENT && role == AG_ROLE_AUDIT &&
	    ctx->actor->on_audit != NULL) {
		follow_poke(ctx);
		return true;
	}
	return false;
}

static bool
is_reply(const struct ag_message *m)
{
	return m != NULL && m->group == AG_GROUP_REPLY;
}

static void
take_reply(struct ag_ctx *ctx, unsigned from, const struct ag_part *part)
{
	const Ag__Envelope *env = ag_unpack(ctx, &ag__envelope__descriptor,
	    part->env, part->env_len);

	if (env == NULL)
		ag_em_add(ctx, EM_MALFORMED, 1);
	else
		ask_reply(ctx, from, part->type, env, part->body, part->body_len);
	ag_arena_wipe(ctx->arena);
}

static void
take_part(struct ag_ctx *ctx, unsigned from, const struct ag_part *part)
{
	const struct ag_message *m = ag_message_find(part->type);
	struct ag_trip *trip;

	ag_em_add(ctx, EM_IN, 1);
	if (m == NULL) {
		ag_em_add(ctx, EM_MALFORMED, 1);
		return;
	}
	if (is_reply(m)) {
		take_reply(ctx, from, part);
		return;
	}
	if (engine_message(ctx, from, part)) {
		ag_arena_wipe(ctx->arena);
		return;
	}
	trip = trip_new(ctx);
	if (trip == NULL) {
		ag_em_add(ctx, EM_FULL, 1);
		return;
	}
	ag__refusal__init(&trip->refusal);
	trip->from = from;
	trip->type = part->type;
	trip->env_bytes = part->env;
	trip->env_len = part->env_len;
	trip->body = part->body;
	trip->body_len = part->body_len;
	trip_start(ctx, trip);
}

void
trip_frame(struct ag_ctx *ctx, const uint8_t *bytes, size_t len)
{
	struct ag_frame frame;
	struct ag_part part;
	size_t offset = AG_FRAME_HEADER;

	ctx->turned = true;
	if (ag_frame_parse(bytes, len, &frame) != AG_OK) {
		ag_em_add(ctx, EM_MALFORMED, 1);
		ag_log(ctx, AG_WARN, "FRAME-BAD", "bytes=%zu", len);
		return;
	}
	for (unsigned i = 0; i < frame.count; i++) {
		if (ag_frame_part(bytes, len, &offset, &part) != AG_OK) {
			ag_em_add(ctx, EM_MALFORMED, 1);
			return;
		}
		take_part(ctx, frame.from, &part);
		trip_run_queue(ctx);
		/* A large frame must not travel on as one lump: the next
		 * station would idle until the last of it is done. Who must
		 * flush first (journal, audit) gains from the lump instead. */
		if (ctx->actor->flush == NULL &&
		    ++ctx->turn_messages % TURN_MESSAGES_MAX == 0)
			out_send_all(ctx);
	}
}
