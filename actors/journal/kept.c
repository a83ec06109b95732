/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kept: which rows of the journal's tables a record is, and which an answer of a
 * request with an Idempotency-Key.
 */
#include "journal.h"

#include <string.h>

ag_err
kept_in_store(void *ctx, enum table table, const struct key *key,
    const void *value, size_t len)
{
	return ag_store_put(ctx, table, key->bytes, key->len, value, len);
}

static ag_err
put_number(kept_put *put, void *arg, enum table table, const struct key *key,
    uint64_t number)
{
	uint8_t value[8];

	return put(arg, table, key, value, put_u64(value, number));
}

ag_err
kept_record(const Ag__JournalRecord *record, const void *packed, size_t len,
    kept_put *put, void *arg)
{
	struct key key = { .len = 0 };
	ag_err err;

	key_number(&key, record->seq);
	if ((err = put(arg, EVENTS, &key, packed, len)) != AG_OK)
		return err;
	key_text(&key, 'v', record->stream);
	if ((err = put_number(put, arg, STREAMS, &key, record->version)) != AG_OK)
		return err;
	key_text(&key, 's', record->stream);
	key_number(&key, record->version);
	err = put_number(put, arg, STREAMS, &key, record->seq);
	if (err != AG_OK || !record->has_outcome)
		return err;
	key_text(&key, '\0', record->author);
	key_number(&key, record->seq);
	return put(arg, AUTHORS, &key, "", 0);
}

void
kept_answer_head(uint8_t head[IDEM_HEAD], uint64_t at,
    const uint8_t body_digest[32], uint16_t reply_type)
{
	put_u64(head, at);
	memcpy(head + 8, body_digest, 32);
	head[40] = (uint8_t)(reply_type >> 8);
	head[41] = (uint8_t)reply_type;
}

static void
key_digest(struct key *key, const uint8_t digest[IDEM_BYTES])
{
	memcpy(key->bytes + key->len, digest, IDEM_BYTES);
	key->len += IDEM_BYTES;
}

ag_err
kept_answer(const struct kept_answer *answer, kept_put *put, void *arg)
{
	struct key key = { .len = 0 };
	ag_err err;

	key_digest(&key, answer->digest);
	err = put(arg, IDEM, &key, answer->value, answer->len);
	if (err != AG_OK)
		return err;
	key_text(&key, '\0', answer->actor);
	key_number(&key, answer->at);
	key_digest(&key, answer->digest);
	if ((err = put(arg, IDEM_BY_ACTOR, &key, "", 0)) != AG_OK)
		return err;
	key.len = put_u64(key.bytes, answer->at);
	key_digest(&key, answer->digest);
	return put(arg, IDEM_BY_TIME, &key, answer->actor, strlen(answer->actor));
}
