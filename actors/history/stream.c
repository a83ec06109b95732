/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream: GET /v1/audit/stream. Each stream walks the log on its own, sends
 * what its filter lets through while the plane gives it credit, and is closed
 * with `lagged` if its reader, having caught up once, falls behind, and with
 * `end` when the credential that opened it may no longer read: iam is asked, each
 * second and whenever something happened that may have ended it; until iam has
 * said so then, the stream waits.
 */
#include "history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct stream {
	unsigned slot; /* of the plane */
	uint64_t n, boot;
	char tenant[AG_SEG_TENANT_MAX + 1];
	Ag__AuditQueryAsk *ask;
	struct filter filter;
	struct ag_segs *reader;
	uint64_t next;      /* pos */
	uint64_t credit;
	uint64_t last_seq;
	uint8_t prev[AG_HASH_BYTES]; /* of the tenant's event before `next` */
	bool has_prev;
	bool caught_up;
	int64_t expires_at; /* of the credential; 0: never */
	char actor_id[AG_ID_SIZE];
	char jti[AG_UUID_TEXT]; /* "": another issuer's */
	char source[ADDRESS_TEXT];
	int64_t issued_at;
	bool stepped_up;
	bool asked;         /* iam is */
	bool doubted;       /* and has to be, when this turn is over */
	bool waits;         /* until iam has answered */
	uint64_t sure_ms;   /* monotonic: iam said yes */
};

static void
stream_free(struct stream *s)
{
	if (s == NULL)
		return;
	if (s->ask != NULL)
		ag__audit_query_ask__free_unpacked(s->ask, NULL);
	ag_segs_close(&s->reader);
	free(s);
}

static void
drop(struct history *h, unsigned i)
{
	stream_free(h->streams[i]);
	h->streams[i] = h->streams[--h->stream_count];
}

void
stream_fini(struct history *h)
{
	while (h->stream_count > 0)
		drop(h, 0);
}

void
stream_drop_slot(struct history *h, unsigned slot)
{
	for (unsigned i = h->stream_count; i-- > 0;) {
		if (h->streams[i]->slot == slot)
			drop(h, i);
	}
}

/* ------------------------------------------------------------------ saying */

static bool
say(struct ag_ctx *ctx, const struct stream *s, Ag__StreamItemEvent *item)
{
	item->stream = s->n;
	item->boot = s->boot;
	return ag_send(ctx, s->slot, AG_MSG_STREAM_ITEM_EVENT, item) == AG_OK;
}

static void
say_end(struct ag_ctx *ctx, const struct stream *s, bool lagged,
    const char *code)
{
	Ag__StreamItemEvent item = AG__STREAM_ITEM_EVENT__INIT;

	item.has_lagged_seq = lagged;
	item.lagged_seq = s->last_seq;
	item.end_code = (char *)code;
	if (!say(ctx, s, &item))
		ag_log(ctx, AG_WARN, "STREAM-END-UNSAID", "n=%llu",
		    (unsigned long long)s->n);
}

static bool
send_event(struct history *h, struct ag_ctx *ctx, struct stream *s,
    const struct ag_seg_record *record, Ag__Event *event)
{
	Ag__StreamItemEvent item = AG__STREAM_ITEM_EVENT__INIT;
	uint64_t pos, seq;

	if (!s->has_prev && index_previous(h, s->tenant, record->pos, s->prev,
	        &pos, &seq) != AG_OK)
		return false;
	event_public(event, record->hash, s->prev);
	item.event = event;
	if (!say(ctx, s, &item))
		return false;
	s->last_seq = event->seq;
	s->credit--;
	return true;
}

/* Looks at one record; false: stop here for now. */
static bool
step(struct history *h, struct ag_ctx *ctx, struct stream *s, unsigned *unpacked)
{
	struct ag_seg_record record;
	Ag__Event *event;
	bool ok = true;

	if (ag_segs_next(s->reader, &record) != AG_OK)
		return false;
	if (record.kind != AG_SEG_EVENT)
		return true;
	if (filter_maybe(&s->filter, &record)) {
		++*unpacked;
		event = ag_unpack(ctx, &ag__event__descriptor, record.body,
		    record.body_len);
		if (event != NULL && filter_match(&s->filter, event))
			ok = send_event(h, ctx, s, &record, event);
	}
	if (!ok) {
		/* The turn is full: this record again, next time. */
		if (ag_segs_seek(s->reader, record.segment, record.offset,
		        record.pos) != AG_OK)
			ag_segs_close(&s->reader);
		return false;
	}
	s->next = record.pos + 1;
	if (strcmp(record.tenant, s->tenant) == 0) {
		memcpy(s->prev, record.hash, AG_HASH_BYTES);
		s->has_prev = true;
	}
	return true;
}

/* True: the stream lives. *more: it could go on in the next turn. */
static bool
pump_one(struct history *h, struct ag_ctx *ctx, struct stream *s, bool *more)
{
	unsigned looked = 0, unpacked = 0;

	if (s->waits)
		return true;
	if (s->reader == NULL) {
		if (ag_segs_open(h->dir, &s->reader) != AG_OK ||
		    block_seek(h, s->reader, block_of(s->next)) != AG_OK) {
			ag_segs_close(&s->reader);
			return true; /* not there yet */
		}
	}
	while (s->credit > 0 && s->next <= h->head && looked < SCAN_STEP &&
	    unpacked < 1000) {
		looked++;
		if (!step(h, ctx, s, &unpacked))
			break;
	}
	if (s->next > h->head)
		s->caught_up = true;
	else if (s->credit > 0)
		*more = true;
	if (s->caught_up && s->credit == 0 &&
	    s->next + STREAM_BEHIND_MAX <= h->head) {
		say_end(ctx, s, true, NULL);
		ag_metric_add(ctx, M_LAGGED, 1);
		return false;
	}
	return true;
}

void
stream_pump(struct history *h, struct ag_ctx *ctx)
{
	bool more = false;

	for (unsigned i = h->stream_count; i-- > 0;) {
		if (!pump_one(h, ctx, h->streams[i], &more))
			drop(h, i);
	}
	h->want_pump = h->want_pump || more;
}

/* ------------------------------------------------------------ its credential */

static struct stream *stream_of(struct history *h, unsigned slot, uint64_t boot,
    uint64_t n, unsigned *at);

/* Which stream iam was asked about. */
struct doubt {
	unsigned slot;
	uint64_t boot, n;
};

/* iam's word; or none, and then for so long only. */
static ag_err
on_standing(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	const struct doubt *doubt = memo;
	struct history *h = state;
	const char *code = ag_err_row(status)->code;
	struct stream *s;
	unsigned i;

	(void)msg;
	s = stream_of(h, doubt->slot, doubt->boot, doubt->n, &i);
	if (s == NULL)
		return AG_OK; /* closed meanwhile */
	s->asked = false;
	if (status == AG_OK) {
		s->sure_ms = ag_mono_ms(ctx);
		s->waits = s->doubted;
		h->want_pump = true;
		return AG_OK;
	}
	if (status != AG_UNAUTHENTICATED && status != AG_PERMISSION_DENIED &&
	    status != AG_PRINCIPAL_SUSPENDED) {
		if (ag_mono_ms(ctx) - s->sure_ms < STREAM_UNSURE_MS)
			return AG_OK; /* asked again with the next tick */
		code = ag_err_row(AG_UNAVAILABLE)->code;
	}
	say_end(ctx, s, false, code);
	drop(h, i);
	return AG_OK;
}

static void
ask_standing(struct ag_ctx *ctx, struct stream *s)
{
	Ag__StandingAsk ask = AG__STANDING_ASK__INIT;
	struct doubt doubt = { s->slot, s->boot, s->n };

	ask.tenant = s->tenant;
	ask.actor_id = s->actor_id;
	ask.jti = s->jti[0] == '\0' ? NULL : s->jti;
	ask.kind = AG_KIND_AUDIT;
	ask.op = (char *)"read";
	ask.has_operation = ask.has_plane = true;
	ask.operation = AG_MSG_AUDIT_STREAM;
	ask.plane = s->slot;
	ask.source_address = s->source;
	ask.has_credential_issued_at = ask.has_stepped_up = true;
	ask.credential_issued_at = s->issued_at;
	ask.stepped_up = s->stepped_up;
	/* Not there: the next tick asks again. */
	s->asked = ag_ask(ctx, ag_slot(ctx, AG_ROLE_IAM, 0), AG_MSG_STANDING_ASK,
	    &ask, AG_MSG_DONE_REPLY, ASK_MS, on_standing, &doubt,
	    sizeof(doubt)) == AG_PENDING;
	s->doubted = s->doubted && !s->asked;
}

/* One that is asked about already is asked about again, after the answer. */
void
stream_ask(struct history *h, struct ag_ctx *ctx)
{
	for (unsigned i = 0; i < h->stream_count; i++)
		if (h->streams[i]->doubted && !h->streams[i]->asked)
			ask_standing(ctx, h->streams[i]);
}

/* Once a second: a stream does not outlive the credential that opened it, nor
 * the right to read. */
void
stream_tick(struct history *h, struct ag_ctx *ctx)
{
	int64_t now_ms = ag_now_ms(ctx);

	for (unsigned i = h->stream_count; i-- > 0;) {
		struct stream *s = h->streams[i];
		bool unsure = ag_mono_ms(ctx) - s->sure_ms >= 2 * STREAM_UNSURE_MS;

		if (unsure || (s->expires_at != 0 && s->expires_at <= now_ms)) {
			say_end(ctx, s, false, ag_err_row(unsure ?
			    AG_UNAVAILABLE : AG_UNAUTHENTICATED)->code);
			drop(h, i);
		} else {
			s->doubted = true;
		}
	}
	ag_metric_set(ctx, M_STREAMS, h->stream_count);
}

/* What may end a credential, or what it may do, as it is recorded. */
static const char *const ends[] = {
	"principal.suspend", "principal.delete", "principal.revoke",
	"principal.ungrant", "principal.set-role", "principal.delete-role",
	"agent.suspend", "agent.revoke", "agent.revoke-many",
	"system.tenant-suspend", "system.tenant-delete",
	"response.suspend_agent", "response.revoke_agent",
	"response.revoke_subtree",
	"policy.update", "policy.delete", "policy.rollback",
};

/* Every event that is indexed while streams are open comes by here. */
void
stream_look(struct history *h, struct ag_ctx *ctx,
    const struct ag_seg_record *record)
{
	const Ag__Event *event;
	bool may_end = false;

	if (h->stream_count == 0 ||
	    (memmem(record->body, record->body_len, "suspend", 7) == NULL &&
	    memmem(record->body, record->body_len, "revoke", 6) == NULL &&
	    memmem(record->body, record->body_len, "ungrant", 7) == NULL &&
	    memmem(record->body, record->body_len, "-role", 5) == NULL &&
	    memmem(record->body, record->body_len, "policy.", 7) == NULL &&
	    memmem(record->body, record->body_len, "delete", 6) == NULL))
		return;
	event = ag_unpack(ctx, &ag__event__descriptor, record->body,
	    record->body_len);
	if (event == NULL || event->outcome != AG__OUTCOME_KIND__V__allowed)
		return;
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		may_end = may_end || strcmp(event->operation, ends[i]) == 0;
	for (unsigned i = 0; may_end && i < h->stream_count; i++)
		h->streams[i]->waits = h->streams[i]->doubted = true;
}

static void
opened_by(struct stream *s, struct ag_ctx *ctx, const Ag__Grant *g)
{
	snprintf(s->actor_id, sizeof(s->actor_id), "%s", g->actor_id);
	snprintf(s->jti, sizeof(s->jti), "%s",
	    g->jti == NULL || g->issuer != NULL ? "" : g->jti);
	s->expires_at = g->has_credential_expires_at ?
	    g->credential_expires_at : 0;
	snprintf(s->source, sizeof(s->source), "%s",
	    g->source_address == NULL ? "" : g->source_address);
	s->issued_at = g->credential_issued_at;
	s->stepped_up = g->step_up != NULL;
	s->sure_ms = ag_mono_ms(ctx);
}

/* ------------------------------------------------------------------ opening */

/* Where to begin: a tenant's seq is never above its pos, so the event with
 * from_seq lies at that pos or later; the filter leaves out the rest. */
static ag_err
start(struct history *h, struct stream *s, uint64_t *from_seq)
{
	uint8_t hash[AG_HASH_BYTES];
	uint64_t pos, seq;
	ag_err err;

	err = index_previous(h, s->tenant, h->head + 1, hash, &pos, &seq);
	if (err != AG_OK)
		return err;
	if (!s->ask->has_from_seq || s->ask->from_seq > seq) {
		s->next = h->head + 1;
		*from_seq = s->ask->has_from_seq ? s->ask->from_seq : seq + 1;
		memcpy(s->prev, hash, AG_HASH_BYTES);
		s->has_prev = true;
		s->last_seq = seq;
		return AG_OK;
	}
	*from_seq = s->ask->from_seq == 0 ? 1 : s->ask->from_seq;
	s->last_seq = *from_seq - 1;
	s->next = *from_seq;
	if (s->next > 1)
		s->next = block_of(s->next) * BLOCK_EVENTS + 1;
	if (s->next < h->first)
		s->next = h->first; /* what was before is gone */
	return AG_OK;
}

/* The reader stands at `next`: behind the head it waits at the log's end. */
static ag_err
place(struct history *h, struct stream *s)
{
	struct ag_seg_record record;
	ag_err err = ag_segs_open(h->dir, &s->reader);

	if (err != AG_OK || h->head == 0)
		return err;
	if (s->next <= h->head)
		return block_seek(h, s->reader, block_of(s->next));
	err = block_seek(h, s->reader, block_of(h->head));
	while (err == AG_OK) {
		err = ag_segs_next(s->reader, &record);
		if (err == AG_OK && record.kind == AG_SEG_EVENT &&
		    record.pos == h->head)
			break;
	}
	return err;
}

static ag_err
check_room(const struct history *h, struct ag_ctx *ctx, const char *tenant)
{
	unsigned own = 0;

	if (h->stream_count == STREAMS_MAX || strlen(tenant) > AG_SEG_TENANT_MAX)
		return ag_refuse(ctx, AG_UNAVAILABLE, "overloaded", NULL,
		    "there are %d streams already", STREAMS_MAX);
	for (unsigned i = 0; i < h->stream_count; i++)
		own += strcmp(h->streams[i]->tenant, tenant) == 0;
	if (own < STREAMS_LAST || h->stream_count < STREAMS_MAX - STREAMS_LAST)
		return AG_OK;
	return ag_refuse(ctx, AG_UNAVAILABLE, "overloaded", NULL,
	    "the tenant has %u streams already, and few are left", own);
}

static ag_err
on_stream_head(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	Ag__StreamOpenReply reply = AG__STREAM_OPEN_REPLY__INIT;
	const Ag__Grant *g = ag_grant(ctx);
	struct history *h = state;
	struct stream *s;
	const uint8_t *body;
	size_t len;
	ag_err err = status;

	(void)msg;
	(void)memo;
	if (err != AG_OK || (err = check_room(h, ctx, g->tenant)) != AG_OK)
		return err;
	if ((s = calloc(1, sizeof(*s))) == NULL)
		return AG_NO_MEMORY;
	body = ag_body(ctx, &len);
	s->ask = ag__audit_query_ask__unpack(NULL, len, body);
	strcpy(s->tenant, g->tenant);
	s->slot = g->plane;
	s->n = g->n;
	s->boot = g->boot;
	opened_by(s, ctx, g);
	if (s->ask == NULL)
		err = AG_NO_MEMORY;
	if (err == AG_OK)
		err = start(h, s, &reply.from_seq);
	if (err == AG_OK)
		err = place(h, s);
	if (err != AG_OK) {
		stream_free(s);
		return err;
	}
	filter_init(&s->filter, s->ask, s->tenant);
	h->streams[h->stream_count++] = s;
	h->want_wait = true;
	/* Nothing goes out before the plane gives credit: it does so when its
	 * client has the answer's head, so no event overtakes that. */
	return ag_reply(ctx, AG_MSG_AUDIT_STREAM, &reply);
}

ag_err
on_audit_stream(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__AuditQueryAsk *ask = msg;

	if (ask->cursor != NULL)
		return ag_refuse(ctx, AG_INVALID_FIELD, "unknown_field", "?cursor",
		    "a stream goes on with Last-Event-ID or from_seq");
	if (ask->has_limit)
		return ag_refuse(ctx, AG_INVALID_FIELD, "unknown_field", "?limit",
		    "a stream has no pages");
	if (ask->order != NULL && strcmp(ask->order, "asc") != 0)
		return ag_refuse(ctx, AG_INVALID_FIELD, "unknown_value", "?order",
		    "a stream is in order: asc");
	return head_ask(state, ctx, on_stream_head, NULL, 0);
}

static struct stream *
stream_of(struct history *h, unsigned slot, uint64_t boot, uint64_t n,
    unsigned *at)
{
	for (unsigned i = 0; i < h->stream_count; i++) {
		struct stream *s = h->streams[i];

		if (s->slot == slot && s->boot == boot && s->n == n) {
			*at = i;
			return s;
		}
	}
	return NULL;
}

ag_err
on_stream_stop(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__StreamStopOrder *order = msg;
	struct history *h = state;
	unsigned i;

	if (stream_of(h, ag_from(ctx), order->boot, order->stream, &i) != NULL)
		drop(h, i);
	return AG_OK;
}

ag_err
on_stream_credit(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__StreamCreditOrder *order = msg;
	struct history *h = state;
	struct stream *s;
	unsigned i;

	s = stream_of(h, ag_from(ctx), order->boot, order->stream, &i);
	if (s == NULL)
		return AG_OK; /* closed meanwhile */
	s->credit += order->events;
	if (s->credit > 10 * STREAM_BEHIND_MAX)
		s->credit = 10 * STREAM_BEHIND_MAX;
	h->want_wait = h->want_pump = true;
	return AG_OK;
}
