/* SPDX-License-Identifier: Apache-2.0 */
/*
 * idem: answers of requests with an Idempotency-Key, for a day, and at most
 * 10,000 of one principal.
 */
#include "journal.h"

#include <string.h>

enum {
	IDEM_TTL_MS = 24 * 3600 * 1000,
	IDEM_PER_ACTOR_MAX = 10000,
	IDEM_PURGE_MAX = 256, /* at once; while there are more, again soon */
	IDEM_PURGE_AGAIN_MS = 50,
};

/* The answer of that time; the key may have been used anew since. */
static ag_err
answer_forget(struct ag_ctx *ctx, uint64_t at, const uint8_t digest[IDEM_BYTES])
{
	const uint8_t *value;
	size_t len;
	ag_err err = ag_store_get(ctx, IDEM, digest, IDEM_BYTES, &value, &len);

	if (err == AG_ITEM_NOT_FOUND)
		return AG_OK;
	if (err == AG_OK && len >= IDEM_HEAD && get_u64(value) != at)
		return AG_OK;
	return err != AG_OK ? err : ag_store_del(ctx, IDEM, digest, IDEM_BYTES);
}

static ag_err
idem_forget(struct ag_ctx *ctx, const char *actor, uint64_t at,
    const uint8_t digest[IDEM_BYTES])
{
	struct key key, count_key;
	uint64_t count;
	ag_err err;

	if ((err = answer_forget(ctx, at, digest)) != AG_OK)
		return err;
	key.len = put_u64(key.bytes, at);
	memcpy(key.bytes + 8, digest, IDEM_BYTES);
	err = ag_store_del(ctx, IDEM_BY_TIME, key.bytes, 8 + IDEM_BYTES);
	if (err != AG_OK && err != AG_ITEM_NOT_FOUND)
		return err;
	key_text(&key, '\0', actor);
	key_number(&key, at);
	memcpy(key.bytes + key.len, digest, IDEM_BYTES);
	key.len += IDEM_BYTES;
	err = ag_store_del(ctx, IDEM_BY_ACTOR, key.bytes, key.len);
	if (err == AG_ITEM_NOT_FOUND)
		return AG_OK;
	if (err != AG_OK)
		return err;
	key_text(&count_key, '#', actor);
	if ((err = number_get(ctx, IDEM_BY_ACTOR, &count_key, &count)) != AG_OK)
		return err;
	return number_put(ctx, IDEM_BY_ACTOR, &count_key, count > 0 ? count - 1 : 0);
}

struct oldest {
	struct key prefix; /* the actor's */
	uint64_t at;
	uint8_t digest[IDEM_BYTES];
	char actor[ACTOR_MAX + 1];
	bool found;
};

static bool
visit_actor(void *arg, const uint8_t *key, size_t len, const uint8_t *value,
    size_t value_len)
{
	struct oldest *o = arg;

	(void)value;
	(void)value_len;
	if (len != o->prefix.len + 8 + IDEM_BYTES ||
	    memcmp(key, o->prefix.bytes, o->prefix.len) != 0)
		return false;
	o->at = get_u64(key + o->prefix.len);
	memcpy(o->digest, key + o->prefix.len + 8, IDEM_BYTES);
	o->found = true;
	return false;
}

/* The 10,001st of a principal costs its oldest. */
static ag_err
idem_bound(struct ag_ctx *ctx, const char *actor, uint64_t count)
{
	struct oldest o = { .found = false };
	ag_err err;

	if (count < IDEM_PER_ACTOR_MAX)
		return AG_OK;
	key_text(&o.prefix, '\0', actor);
	err = ag_store_scan(ctx, IDEM_BY_ACTOR, o.prefix.bytes, o.prefix.len,
	    visit_actor, &o);
	if (err != AG_OK || !o.found)
		return err;
	return idem_forget(ctx, actor, o.at, o.digest);
}

static bool
visit_time(void *arg, const uint8_t *key, size_t len, const uint8_t *value,
    size_t value_len)
{
	struct oldest *o = arg;

	if (len != 8 + IDEM_BYTES || value_len > ACTOR_MAX)
		return false;
	o->at = get_u64(key);
	memcpy(o->digest, key + 8, IDEM_BYTES);
	memcpy(o->actor, value, value_len);
	o->actor[value_len] = '\0';
	o->found = true;
	return false;
}

static ag_err
purge_more(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct journal *j = state;

	(void)status;
	(void)msg;
	(void)memo;
	j->purging = false;
	idem_purge(j, ctx);
	return AG_OK;
}

/* Once a minute: what is older than a day goes, a bounded number at a time. */
void
idem_purge(struct journal *j, struct ag_ctx *ctx)
{
	uint64_t now = (uint64_t)ag_now_ms(ctx);

	if (j->purging)
		return;
	for (unsigned i = 0; i < IDEM_PURGE_MAX; i++) {
		struct oldest o = { .found = false };

		if (ag_store_scan(ctx, IDEM_BY_TIME, NULL, 0, visit_time, &o) !=
		    AG_OK || !o.found || o.at + IDEM_TTL_MS > now)
			return;
		j->dirty = true;
		if (idem_forget(ctx, o.actor, o.at, o.digest) != AG_OK)
			ag_panic("the journal's store does not write");
	}
	j->purging = ag_after(ctx, IDEM_PURGE_AGAIN_MS, purge_more, NULL, 0) ==
	    AG_PENDING; /* else in a minute */
}

ag_err
idem_find(struct ag_ctx *ctx, const ProtobufCBinaryData *idem,
    const uint8_t **value, size_t *len)
{
	ag_err err = ag_store_get(ctx, IDEM, idem->data, idem->len, value, len);

	if (err != AG_OK)
		return err;
	if (*len < IDEM_HEAD)
		return AG_CORRUPT;
	if (get_u64(*value) + IDEM_TTL_MS <= (uint64_t)ag_now_ms(ctx))
		return AG_ITEM_NOT_FOUND;
	return AG_OK;
}

/* One more of the actor's, and the oldest goes if there are too many. */
static ag_err
idem_count(struct ag_ctx *ctx, const char *actor)
{
	struct key key;
	uint64_t count;
	ag_err err;

	key_text(&key, '#', actor);
	if ((err = number_get(ctx, IDEM_BY_ACTOR, &key, &count)) != AG_OK ||
	    (err = idem_bound(ctx, actor, count)) != AG_OK ||
	    (err = number_get(ctx, IDEM_BY_ACTOR, &key, &count)) != AG_OK)
		return err;
	return number_put(ctx, IDEM_BY_ACTOR, &key, count + 1);
}

ag_err
idem_keep(struct ag_ctx *ctx, const Ag__JournalAppendAsk *ask)
{
	struct kept_answer answer = { .digest = ask->idem.data,
		.actor = ask->actor_id == NULL ? "" : ask->actor_id,
		.at = (uint64_t)ag_now_ms(ctx) };
	size_t reply_len = ask->has_reply ? ask->reply.len : 0;
	uint8_t *value = ag_alloc(ctx, IDEM_HEAD + reply_len);
	ag_err err;

	if (value == NULL)
		return AG_NO_MEMORY;
	kept_answer_head(value, answer.at, ask->body_digest.data,
	    (uint16_t)ask->reply_type);
	if (reply_len > 0)
		memcpy(value + IDEM_HEAD, ask->reply.data, reply_len);
	answer.value = value;
	answer.len = IDEM_HEAD + reply_len;
	if ((err = idem_count(ctx, answer.actor)) != AG_OK)
		return err;
	return kept_answer(&answer, kept_in_store, ctx);
}

ag_err
idem_answer(struct ag_ctx *ctx, const Ag__JournalIdemAsk *ask,
    const uint8_t *body_digest, uint32_t reply_type, const uint8_t *reply,
    size_t reply_len)
{
	Ag__JournalIdemReply answer = AG__JOURNAL_IDEM_REPLY__INIT;

	if (body_digest == NULL)
		return ag_reply(ctx, AG_MSG_JOURNAL_IDEM_REPLY, &answer);
	ag_metric_add(ctx, M_IDEM, 1);
	answer.known = answer.has_same = true;
	answer.same = memcmp(body_digest, ask->body_digest.data, 32) == 0;
	if (answer.same) {
		answer.has_reply_type = answer.has_reply = true;
		answer.reply_type = reply_type;
		answer.reply.data = (uint8_t *)(uintptr_t)reply;
		answer.reply.len = reply_len;
	}
	return ag_reply(ctx, AG_MSG_JOURNAL_IDEM_REPLY, &answer);
}
