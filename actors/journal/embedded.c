/* SPDX-License-Identifier: Apache-2.0 */
/*
 * embedded: the truth is this node's own tables (LMDB). Appends are looked at
 * and stored as they come; one commit makes a turn's durable, and nothing that
 * the turn said leaves before it.
 */
#include "journal.h"

#include <stdlib.h>
#include <string.h>

struct place {
	const char *stream;
	size_t i; /* of the change */
};

static int
by_stream(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	int c = strcmp(x->stream, y->stream);

	return c != 0 ? c : (x->i > y->i) - (x->i < y->i);
}

static ag_err
conflict(struct ag_ctx *ctx, const Ag__Change *change, uint64_t version)
{
	ag_metric_add(ctx, M_CONFLICTS, 1);
	return ag_refuse(ctx, AG_CONFLICT, NULL, NULL,
	    "%s is at version %llu, not %llu", change->stream,
	    (unsigned long long)version,
	    (unsigned long long)change->expected_version);
}

/* Every stream is where its writer believes; changes of the same stream in one
 * append follow each other. Sorted: an append may have ten thousand. */
static ag_err
check_versions(struct ag_ctx *ctx, const Ag__JournalAppendAsk *ask)
{
	struct place *places = ag_alloc(ctx,
	    (ask->n_changes + 1) * sizeof(*places));
	uint64_t version = 0;
	ag_err err;

	if (places == NULL)
		return AG_NO_MEMORY;
	for (size_t i = 0; i < ask->n_changes; i++)
		places[i] = (struct place){ ask->changes[i]->stream, i };
	qsort(places, ask->n_changes, sizeof(*places), by_stream);
	for (size_t i = 0; i < ask->n_changes; i++) {
		const Ag__Change *change = ask->changes[places[i].i];

		if (i > 0 && strcmp(places[i - 1].stream, change->stream) == 0)
			version++;
		else if ((err = stream_version(ctx, change->stream,
		    &version)) != AG_OK)
			return err;
		if (version != change->expected_version)
			return conflict(ctx, change, version);
	}
	return AG_OK;
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
	return record_take(j, ctx, &record);
}

static ag_err
embedded_append(struct journal *j, struct ag_ctx *ctx,
    const Ag__JournalAppendAsk *ask)
{
	Ag__JournalAppendReply reply = AG__JOURNAL_APPEND_REPLY__INIT;
	int64_t now_ms = ag_now_ms(ctx);
	const uint8_t *value;
	size_t len;
	ag_err err;

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
	if (err == AG_OK && ask->n_changes > 0)
		err = author_moves(j, ctx, ask->has_outcome);
	if (err == AG_OK && ask->has_idem)
		err = idem_keep(ctx, ask);
	if (err != AG_OK)
		ag_panic("the journal's store does not write: %s",
		    ag_err_row(err)->name);
	return ag_reply(ctx, AG_MSG_JOURNAL_APPEND_REPLY, &reply);
}

static ag_err
embedded_idem(struct journal *j, struct ag_ctx *ctx,
    const Ag__JournalIdemAsk *ask)
{
	const uint8_t *value;
	size_t len;
	ag_err err = idem_find(ctx, &ask->idem, &value, &len);

	(void)j;
	if (err == AG_ITEM_NOT_FOUND)
		return idem_answer(ctx, ask, NULL, 0, NULL, 0);
	if (err != AG_OK)
		return err;
	return idem_answer(ctx, ask, value + 8,
	    (uint32_t)value[40] << 8 | value[41], value + IDEM_HEAD,
	    len - IDEM_HEAD);
}

static ag_err
embedded_open(struct journal *j, struct ag_ctx *ctx)
{
	char of[64];
	ag_err err = records_word(ctx, WORD_SHARED, of);

	if (err != AG_OK)
		return err;
	if (of[0] != '\0') {
		/* To append here would be a second truth. */
		ag_log(ctx, AG_ERROR, "JOURNAL-COPY", "why=this state directory "
		    "has a copy of the journal %s in PostgreSQL; it wants "
		    "journal.kind: postgres", of);
		return AG_USAGE;
	}
	j->whole = true;
	return AG_OK;
}

static void
embedded_close(struct journal *j)
{
	(void)j;
}

/* Everything of the turn in one durable transaction, then the turn speaks. */
static ag_err
embedded_flush(struct journal *j, struct ag_ctx *ctx)
{
	if (j->dirty)
		records_commit(j, ctx);
	return AG_OK;
}

const struct backend journal_embedded = {
	.name = "lmdb",
	.open = embedded_open,
	.close = embedded_close,
	.append = embedded_append,
	.idem = embedded_idem,
	.flush = embedded_flush,
	.purge = idem_purge,
};
