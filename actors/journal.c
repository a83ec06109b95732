/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal: the truth. Every change of state is a record of a stream, at the
 * version its writer expected; two writers that race conflict here.
 * Hears journal_append_ask, journal_pull_ask, journal_stream_ask,
 * journal_idem_ask. Says journal_record_event to who follows live (iam and
 * inventory, before the writer has its answer, so that a client reads its own
 * writes).
 * Keeps every record ever appended, and for a day the answers of requests with
 * an Idempotency-Key. One commit for everything of a turn; nothing that a turn
 * said leaves before it.
 */
#include "journal/journal.h"

#include <stdlib.h>
#include <string.h>

enum {
	CHANGES_MAX = 10240,        /* per append: a bulk revocation has 10,000 */
	FACT_BYTES_MAX = 256 << 10,
	APPEND_BYTES_MAX = 4 << 20, /* facts, reply and outcome together */
	TENANT_MAX = 63,
	AUTHOR_MAX = 63,
	PULL_MAX = 1024,
	PULL_BYTES_MAX = 1 << 20,
};

static const char *const tables[] = {
	"events",        /* seq → JournalRecord */
	"streams",       /* "v" stream → version; "s" stream 0 version → seq; "h" → head;
	                  * "a" author → its newest seq; "o" author → with an outcome */
	"authors",       /* author 0 seq → nothing: records that carry an outcome */
	"idem",          /* digest → time, body digest, reply type, reply */
	"idem_by_actor", /* actor 0 time digest → nothing; "#" actor → count */
	"idem_by_time",  /* time digest → actor */
	NULL
};

enum metric { M_RECORDS, M_CONFLICTS, M_COMMITS, M_COMMIT_US, M_HEAD, M_IDEM };

static ag_err
stream_version(struct ag_ctx *ctx, const char *stream, uint64_t *out)
{
	struct key key;

	key_text(&key, 'v', stream);
	return number_get(ctx, STREAMS, &key, out);
}

static ag_err
on_idem(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__JournalIdemAsk *ask = msg;
	Ag__JournalIdemReply reply = AG__JOURNAL_IDEM_REPLY__INIT;
	const uint8_t *value;
	size_t len;
	ag_err err;

	(void)state;
	if (ask->idem.len != IDEM_BYTES || ask->body_digest.len != 32)
		return AG_BAD_MESSAGE;
	err = idem_find(ctx, &ask->idem, &value, &len);
	if (err == AG_ITEM_NOT_FOUND)
		return ag_reply(ctx, AG_MSG_JOURNAL_IDEM_REPLY, &reply);
	if (err != AG_OK)
		return err;
	ag_metric_add(ctx, M_IDEM, 1);
	reply.known = reply.has_same = true;
	reply.same = memcmp(value + 8, ask->body_digest.data, 32) == 0;
	if (reply.same) {
		reply.has_reply_type = reply.has_reply = true;
		reply.reply_type = (uint32_t)value[40] << 8 | value[41];
		reply.reply.data = (uint8_t *)value + IDEM_HEAD;
		reply.reply.len = len - IDEM_HEAD;
	}
	return ag_reply(ctx, AG_MSG_JOURNAL_IDEM_REPLY, &reply);
}

/* ---------------------------------------------------------------- appending */

static bool
change_ok(const Ag__Change *change)
{
	const struct ag_message *m = ag_message_find((uint16_t)change->type);
	size_t len = strlen(change->stream);

	return change->type <= UINT16_MAX && m != NULL &&
	    m->group == AG_GROUP_FACT && len > 0 && len <= STREAM_MAX &&
	    change->event.len <= FACT_BYTES_MAX;
}

static bool
append_ok(const Ag__JournalAppendAsk *ask)
{
	size_t bytes = ask->reply.len + ask->outcome.len, tenant = strlen(ask->tenant);

	if (ask->n_changes == 0 || ask->n_changes > CHANGES_MAX ||
	    tenant == 0 || tenant > TENANT_MAX ||
	    (ask->actor_id != NULL && strlen(ask->actor_id) > ACTOR_MAX))
		return false;
	if (ask->has_idem && (ask->idem.len != IDEM_BYTES ||
	    !ask->has_body_digest || ask->body_digest.len != 32))
		return false;
	for (size_t i = 0; i < ask->n_changes; i++) {
		if (!change_ok(ask->changes[i]))
			return false;
		bytes += ask->changes[i]->event.len;
	}
	return bytes <= APPEND_BYTES_MAX;
}

/* Every stream is where its writer believes; changes of the same stream in one
 * append follow each other. */
static ag_err
check_versions(struct ag_ctx *ctx, const Ag__JournalAppendAsk *ask)
{
	for (size_t i = 0; i < ask->n_changes; i++) {
		const Ag__Change *change = ask->changes[i];
		uint64_t version;
		ag_err err = stream_version(ctx, change->stream, &version);

		if (err != AG_OK)
			return err;
		for (size_t k = 0; k < i; k++)
			version += strcmp(ask->changes[k]->stream, change->stream) == 0;
		if (version == change->expected_version)
			continue;
		ag_metric_add(ctx, M_CONFLICTS, 1);
		return ag_refuse(ctx, AG_CONFLICT, NULL, NULL,
		    "%s is at version %llu, not %llu", change->stream,
		    (unsigned long long)version,
		    (unsigned long long)change->expected_version);
	}
	return AG_OK;
}

static ag_err
store_record(struct ag_ctx *ctx, const Ag__JournalRecord *record)
{
	struct key key;
	uint8_t *bytes;
	size_t len;
	ag_err err;

	if ((bytes = ag_pack(ctx, record, &len)) == NULL)
		return AG_NO_MEMORY;
	key.len = put_u64(key.bytes, record->seq);
	err = ag_store_put(ctx, EVENTS, key.bytes, key.len, bytes, len);
	if (err != AG_OK)
		return err;
	key_text(&key, 'v', record->stream);
	if ((err = number_put(ctx, STREAMS, &key, record->version)) != AG_OK)
		return err;
	key_text(&key, 's', record->stream);
	key_number(&key, record->version);
	if ((err = number_put(ctx, STREAMS, &key, record->seq)) != AG_OK ||
	    !record->has_outcome)
		return err;
	key_text(&key, '\0', record->author);
	key_number(&key, record->seq);
	return ag_store_put(ctx, AUTHORS, key.bytes, key.len, "", 0);
}

/* To who follows live; leaves with this turn's flush, before the answer. */
static void
push(struct ag_ctx *ctx, const Ag__JournalRecord *record)
{
	static const enum ag_role live[] = { AG_ROLE_IAM, AG_ROLE_INVENTORY };

	for (unsigned i = 0; i < sizeof(live) / sizeof(live[0]); i++) {
		for (unsigned k = 0; k < ag_slot_count(ctx, live[i]); k++) {
			unsigned slot = ag_slot(ctx, live[i], k);

			if (!ag_slot_up(ctx, slot))
				continue;
			if (ag_send(ctx, slot, AG_MSG_JOURNAL_RECORD_EVENT, record) !=
			    AG_OK)
				ag_log(ctx, AG_WARN, "JOURNAL-UNPUSHED", "seq=%llu",
				    (unsigned long long)record->seq);
		}
	}
}

/* What its writer appended before, so that whoever misses some of it knows. */
static ag_err
author_number(struct ag_ctx *ctx, char kind, bool put, uint64_t *number)
{
	struct key key;

	key_text(&key, kind, ag_slot_name(ctx, ag_from(ctx)));
	return put ? number_put(ctx, STREAMS, &key, *number) :
	    number_get(ctx, STREAMS, &key, number);
}

static ag_err
author_moves(struct journal *j, struct ag_ctx *ctx, bool outcome)
{
	ag_err err = author_number(ctx, 'a', true, &j->head);

	return err != AG_OK || !outcome ? err :
	    author_number(ctx, 'o', true, &j->head);
}

static ag_err
append_one(struct journal *j, struct ag_ctx *ctx, const Ag__JournalAppendAsk *ask,
    size_t i, int64_t now_ms, uint64_t prev_outcome)
{
	const Ag__Change *change = ask->changes[i];
	Ag__JournalRecord record = AG__JOURNAL_RECORD__INIT;
	ag_err err;

	record.seq = j->head + 1;
	record.stream = change->stream;
	record.version = change->expected_version + 1;
	record.type = change->type;
	record.event = change->event;
	record.committed_at = now_ms;
	record.tenant = ask->tenant;
	record.actor_id = ask->actor_id;
	record.has_request_id = ask->has_request_id;
	record.request_id = ask->request_id;
	record.author = (char *)ag_slot_name(ctx, ag_from(ctx));
	if (i == ask->n_changes - 1) {
		record.has_outcome = ask->has_outcome;
		record.outcome = ask->outcome;
		record.has_prev_outcome = ask->has_outcome;
		record.prev_outcome = prev_outcome;
	}
	if ((err = store_record(ctx, &record)) != AG_OK)
		return err;
	j->head++;
	/* An outcome is for its author, not for who follows. */
	record.has_outcome = record.has_prev_outcome = false;
	push(ctx, &record);
	ag_metric_add(ctx, M_RECORDS, 1);
	return AG_OK;
}

static ag_err
on_append(void *state, struct ag_ctx *ctx, const void *msg)
{
	struct journal *j = state;
	const Ag__JournalAppendAsk *ask = msg;
	Ag__JournalAppendReply reply = AG__JOURNAL_APPEND_REPLY__INIT;
	int64_t now_ms = ag_now_ms(ctx);
	const uint8_t *value;
	size_t len;
	ag_err err;

	if (!append_ok(ask))
		return ag_refuse(ctx, AG_BAD_MESSAGE, NULL, NULL,
		    "an append is out of bounds");
	if (ask->has_idem) {
		err = idem_find(ctx, &ask->idem, &value, &len);
		if (err == AG_OK)
			return ag_refuse(ctx, AG_CONFLICT, NULL, NULL,
			    "this Idempotency-Key has its answer");
		if (err != AG_ITEM_NOT_FOUND)
			return err;
	}
	if ((err = check_versions(ctx, ask)) != AG_OK)
		return err;
	if ((err = author_number(ctx, 'a', false, &reply.prev_seq)) != AG_OK ||
	    (err = author_number(ctx, 'o', false, &reply.prev_outcome)) != AG_OK)
		return err;
	reply.has_prev_seq = reply.has_prev_outcome = true;
	reply.first_seq = j->head + 1;
	reply.committed_at = now_ms;
	j->dirty = true;
	/* From here on all of it or nothing: half an append never commits. */
	for (size_t i = 0; err == AG_OK && i < ask->n_changes; i++)
		err = append_one(j, ctx, ask, i, now_ms, reply.prev_outcome);
	if (err == AG_OK)
		err = author_moves(j, ctx, ask->has_outcome);
	if (err == AG_OK && ask->has_idem)
		err = idem_keep(ctx, ask);
	if (err != AG_OK)
		ag_panic("the journal's store does not write: %s",
		    ag_err_row(err)->name);
	return ag_reply(ctx, AG_MSG_JOURNAL_APPEND_REPLY, &reply);
}

/* ------------------------------------------------------------------ reading */

struct page {
	struct ag_ctx *ctx;
	Ag__JournalPullReply reply;
	uint32_t max;
	size_t bytes;
	bool outcomes;
	struct key prefix; /* of an index; len 0: the events themselves */
	uint64_t seqs[PULL_MAX];
	size_t seq_count;
	ag_err err;
};

static bool
page_take(struct page *p, const uint8_t *value, size_t len)
{
	Ag__JournalRecord *record;

	if (p->bytes > 0 && p->bytes + len > PULL_BYTES_MAX)
		return false;
	record = ag_unpack(p->ctx, &ag__journal_record__descriptor, value, len);
	if (record == NULL) {
		p->err = AG_CORRUPT;
		return false;
	}
	if (!p->outcomes)
		record->has_outcome = false;
	p->reply.records[p->reply.n_records++] = record;
	p->bytes += len;
	return p->reply.n_records < p->max;
}

static bool
visit_event(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
    size_t len)
{
	(void)key;
	(void)key_len;
	return page_take(arg, value, len);
}

/* The seqs that an index names; the records are read afterwards. */
static bool
visit_index(void *arg, const uint8_t *key, size_t len, const uint8_t *value,
    size_t value_len)
{
	struct page *p = arg;

	if (len != p->prefix.len + 8 ||
	    memcmp(key, p->prefix.bytes, p->prefix.len) != 0)
		return false;
	p->seqs[p->seq_count++] = get_u64(value_len == 8 ? value :
	    key + p->prefix.len);
	return p->seq_count < p->max;
}

static ag_err
page_new(struct journal *j, struct ag_ctx *ctx, uint32_t max, struct page **out)
{
	struct page *p = ag_alloc(ctx, sizeof(*p));

	if (p == NULL)
		return AG_NO_MEMORY;
	ag__journal_pull_reply__init(&p->reply);
	p->ctx = ctx;
	p->max = max == 0 || max > PULL_MAX ? PULL_MAX : max;
	p->reply.head_seq = j->head;
	p->reply.records = ag_alloc(ctx, p->max * sizeof(*p->reply.records));
	*out = p;
	return p->reply.records == NULL ? AG_NO_MEMORY : AG_OK;
}

static ag_err
page_by_index(struct page *p, enum table index, uint64_t from)
{
	struct key key = p->prefix;
	const uint8_t *value;
	size_t len;
	ag_err err;

	key_number(&key, from);
	err = ag_store_scan(p->ctx, index, key.bytes, key.len, visit_index, p);
	for (size_t i = 0; err == AG_OK && i < p->seq_count; i++) {
		key.len = put_u64(key.bytes, p->seqs[i]);
		err = ag_store_get(p->ctx, EVENTS, key.bytes, key.len, &value, &len);
		if (err == AG_OK && !page_take(p, value, len))
			break;
	}
	return err == AG_ITEM_NOT_FOUND ? AG_CORRUPT : err;
}

static ag_err
page_reply(struct ag_ctx *ctx, struct page *p, ag_err err)
{
	if (err == AG_OK)
		err = p->err;
	if (err != AG_OK)
		return err;
	return ag_reply(ctx, AG_MSG_JOURNAL_PULL_REPLY, &p->reply);
}

static ag_err
on_pull(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__JournalPullAsk *ask = msg;
	struct page *p;
	uint8_t key[8];
	ag_err err;

	if (ask->author != NULL && strlen(ask->author) > AUTHOR_MAX)
		return AG_BAD_MESSAGE;
	if ((err = page_new(state, ctx, ask->max, &p)) != AG_OK)
		return err;
	if (ask->author != NULL) {
		p->outcomes = true;
		key_text(&p->prefix, '\0', ask->author);
		return page_reply(ctx, p, page_by_index(p, AUTHORS, ask->from_seq));
	}
	put_u64(key, ask->from_seq);
	return page_reply(ctx, p, ag_store_scan(ctx, EVENTS, key, sizeof(key),
	    visit_event, p));
}

static ag_err
on_stream(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__JournalStreamAsk *ask = msg;
	struct page *p;
	ag_err err;

	if (strlen(ask->stream) > STREAM_MAX)
		return AG_BAD_MESSAGE;
	if ((err = page_new(state, ctx, 0, &p)) != AG_OK)
		return err;
	key_text(&p->prefix, 's', ask->stream);
	return page_reply(ctx, p, page_by_index(p, STREAMS, ask->from_version));
}

/* -------------------------------------------------------------------- hooks */

static ag_err
init(void *state, struct ag_ctx *ctx)
{
	struct journal *j = state;
	struct key key;
	ag_err err;

	key_text(&key, 'h', "");
	if ((err = number_get(ctx, STREAMS, &key, &j->head)) != AG_OK)
		return err;
	ag_metric_set(ctx, M_HEAD, j->head);
	return ag_every(ctx, 60000, idem_purge);
}

/* Everything of the turn in one durable transaction, then the turn speaks. */
static ag_err
flush(void *state, struct ag_ctx *ctx)
{
	struct journal *j = state;
	uint64_t begun_us;
	struct key key;

	if (!j->dirty)
		return AG_OK;
	begun_us = ag_mono_us(ctx);
	key_text(&key, 'h', "");
	if (number_put(ctx, STREAMS, &key, j->head) != AG_OK ||
	    ag_store_commit(ctx) != AG_OK)
		ag_panic("the journal cannot be made durable");
	j->dirty = false;
	ag_metric_add(ctx, M_COMMITS, 1);
	ag_metric_observe_us(ctx, M_COMMIT_US, ag_mono_us(ctx) - begun_us);
	ag_metric_set(ctx, M_HEAD, j->head);
	return AG_OK;
}

static const struct ag_row rows[] = {
	{ AG_MSG_JOURNAL_APPEND_ASK, on_append },
	{ AG_MSG_JOURNAL_PULL_ASK, on_pull },
	{ AG_MSG_JOURNAL_STREAM_ASK, on_stream },
	{ AG_MSG_JOURNAL_IDEM_ASK, on_idem },
};

static const struct ag_metric_row metrics[] = {
	[M_RECORDS] = { "journal_records_total", "Records appended", AG_COUNTER },
	[M_CONFLICTS] = { "journal_conflicts_total",
	    "Appends refused because the stream had moved", AG_COUNTER },
	[M_COMMITS] = { "journal_commits_total", "Durable transactions", AG_COUNTER },
	[M_COMMIT_US] = { "journal_commit_us", "Duration of a commit",
	    AG_HISTOGRAM_US },
	[M_HEAD] = { "journal_head", "Newest sequence number", AG_GAUGE },
	[M_IDEM] = { "journal_idem_hits_total",
	    "Repeats of a request with an Idempotency-Key", AG_COUNTER },
};

const struct ag_actor ag_actor_journal = {
	.name = "journal",
	.state_size = sizeof(struct journal),
	AG_ROWS(rows),
	AG_METRICS(metrics),
	.init = init,
	.flush = flush,
	.tables = tables,
	.store_dir = "journal",
};
