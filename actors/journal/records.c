/* SPDX-License-Identifier: Apache-2.0 */
/*
 * records: the tables that the journal is read from, whatever it is kept in,
 * and who is told of a new record.
 */
#include "journal.h"

#include <string.h>

ag_err
stream_version(struct ag_ctx *ctx, const char *stream, uint64_t *out)
{
	struct key key;

	key_text(&key, 'v', stream);
	return number_get(ctx, STREAMS, &key, out);
}

static ag_err
store_record(struct ag_ctx *ctx, const Ag__JournalRecord *record)
{
	size_t len;
	uint8_t *bytes = ag_pack(ctx, record, &len);

	return bytes == NULL ? AG_NO_MEMORY :
	    kept_record(record, bytes, len, kept_in_store, ctx);
}

/* To who follows live; leaves with this turn's flush, before the answer. */
static void
push_to(struct ag_ctx *ctx, enum ag_role role, const Ag__JournalRecord *record)
{
	for (unsigned k = 0; k < ag_slot_count(ctx, role); k++) {
		unsigned slot = ag_slot(ctx, role, k);

		if (!ag_slot_up(ctx, slot))
			continue;
		if (ag_send(ctx, slot, AG_MSG_JOURNAL_RECORD_EVENT, record) !=
		    AG_OK)
			ag_log(ctx, AG_WARN, "JOURNAL-UNPUSHED", "seq=%llu",
			    (unsigned long long)record->seq);
	}
}

static void
push(const struct journal *j, struct ag_ctx *ctx,
    const Ag__JournalRecord *record)
{
	/* All but the first two know of what they append themselves, of a journal that
	 * nobody else appends to: the engine's AG_FOLLOW_START. */
	static const enum ag_role live[] = { AG_ROLE_IAM, AG_ROLE_INVENTORY,
		AG_ROLE_KEYS, AG_ROLE_RESPONDER, AG_ROLE_APPROVALS,
		AG_ROLE_GATEWAY };
	unsigned count = j->several ? sizeof(live) / sizeof(live[0]) : 2;

	for (unsigned i = 0; i < count; i++)
		push_to(ctx, live[i], record);
}

ag_err
record_take(struct journal *j, struct ag_ctx *ctx, Ag__JournalRecord *record)
{
	protobuf_c_boolean unanswered = record->has_unanswered;
	ag_err err;

	record->has_unanswered = false;
	if ((err = store_record(ctx, record)) != AG_OK)
		return err;
	j->head = record->seq;
	j->dirty = true;
	/* An outcome is for its author, not for who follows. */
	record->has_outcome = record->has_prev_outcome = false;
	record->has_unanswered = unanswered;
	if (j->whole)
		push(j, ctx, record);
	ag_metric_add(ctx, M_RECORDS, 1);
	return AG_OK;
}

void
records_mark(struct journal *j, struct ag_ctx *ctx)
{
	struct key key;

	key_text(&key, 'h', "");
	if (number_put(ctx, STREAMS, &key, j->head) != AG_OK)
		ag_panic("the journal's store does not write");
}

void
records_commit(struct journal *j, struct ag_ctx *ctx)
{
	uint64_t begun_us = ag_mono_us(ctx);

	records_mark(j, ctx);
	if (ag_store_commit(ctx) != AG_OK)
		ag_panic("the journal cannot be made durable");
	j->dirty = false;
	ag_metric_add(ctx, M_COMMITS, 1);
	ag_metric_observe_us(ctx, M_COMMIT_US, ag_mono_us(ctx) - begun_us);
	ag_metric_set(ctx, M_HEAD, j->head);
}

ag_err
records_word(struct ag_ctx *ctx, const char *name, char out[64])
{
	const uint8_t *value;
	struct key key;
	size_t len;
	ag_err err;

	out[0] = '\0';
	key_text(&key, 'w', name);
	err = ag_store_get(ctx, STREAMS, key.bytes, key.len, &value, &len);
	if (err == AG_ITEM_NOT_FOUND)
		return AG_OK;
	if (err != AG_OK || len > 63)
		return err == AG_OK ? AG_CORRUPT : err;
	memcpy(out, value, len);
	out[len] = '\0';
	return AG_OK;
}

ag_err
records_say(struct ag_ctx *ctx, const char *name, const char *word)
{
	struct key key;

	key_text(&key, 'w', name);
	return ag_store_put(ctx, STREAMS, key.bytes, key.len, word, strlen(word));
}
