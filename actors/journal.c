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
 * said leaves before it. What it keeps them in is journal.kind: embedded.c or
 * shared.c.
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

static ag_err
on_idem(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__JournalIdemAsk *ask = msg;
	struct journal *j = state;

	if (ask->idem.len != IDEM_BYTES || ask->body_digest.len != 32)
		return AG_BAD_MESSAGE;
	return j->backend->idem(j, ctx, ask);
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

	/* Without a change it keeps the answer of a request that made none. */
	if (ask->n_changes == 0 && (!ask->has_idem || ask->has_outcome))
		return false;
	if (ask->n_changes > CHANGES_MAX ||
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

static ag_err
on_append(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__JournalAppendAsk *ask = msg;
	struct journal *j = state;

	if (!append_ok(ask))
		return ag_refuse(ctx, AG_BAD_MESSAGE, NULL, NULL,
		    "an append is out of bounds");
	return j->backend->append(j, ctx, ask);
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
	struct page *p = *out = ag_alloc(ctx, sizeof(*p));

	if (!j->whole)
		return ag_refuse(ctx, AG_UNAVAILABLE, "journal", NULL,
		    "the journal is not all here yet");
	if (p == NULL)
		return AG_NO_MEMORY;
	ag__journal_pull_reply__init(&p->reply);
	p->ctx = ctx;
	p->max = max == 0 || max > PULL_MAX ? PULL_MAX : max;
	p->reply.head_seq = j->head;
	p->reply.records = ag_alloc(ctx, p->max * sizeof(*p->reply.records));
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

static void
purge(void *state, struct ag_ctx *ctx)
{
	struct journal *j = state;

	j->backend->purge(j, ctx);
}

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
	j->backend = strcmp(ag_config_str(ctx, "journal.kind", 0), "postgres") == 0 ?
	    &journal_shared : &journal_embedded;
	if ((err = j->backend->open(j, ctx)) != AG_OK)
		return err;
	return ag_every(ctx, 60000, purge);
}

static ag_err
ready(void *state, struct ag_ctx *ctx)
{
	struct journal *j = state;

	ag_set_ready(ctx, j->whole, j->whole ? NULL : "waiting for the database");
	return AG_OK;
}

static void
peer(void *state, struct ag_ctx *ctx, unsigned slot, bool up)
{
	struct journal *j = state;

	if (up && j->backend->peer_up != NULL)
		j->backend->peer_up(j, ctx, slot);
}

static ag_err
flush(void *state, struct ag_ctx *ctx)
{
	struct journal *j = state;

	return j->backend->flush(j, ctx);
}

static void
fini(void *state, struct ag_ctx *ctx)
{
	struct journal *j = state;

	(void)ctx;
	if (j->backend != NULL)
		j->backend->close(j);
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
	[M_AWAY] = { "journal_database_away_total",
	    "Times that the database could not be reached any more", AG_COUNTER },
};

const struct ag_actor ag_actor_journal = {
	.name = "journal",
	.state_size = sizeof(struct journal),
	AG_ROWS(rows),
	AG_METRICS(metrics),
	.init = init,
	.ready = ready,
	.own_readiness = true,
	.fini = fini,
	.flush = flush,
	.peer = peer,
	.tables = journal_tables,
	.store_dir = "journal",
};
