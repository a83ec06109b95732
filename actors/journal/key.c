/* SPDX-License-Identifier: Apache-2.0 */
/*
 * key: the journal's tables, their keys, and numbers kept under them.
 */
#include "journal.h"

#include <string.h>

const char *const journal_tables[] = {
	"events",        /* seq → JournalRecord */
	"streams",       /* "v" stream → version; "s" stream 0 version → seq; "h" → head;
	                  * "a" author → its newest seq; "o" author → with an outcome;
	                  * "w" name → a word */
	"authors",       /* author 0 seq → nothing: records that carry an outcome */
	"idem",          /* digest → time, body digest, reply type, reply */
	"idem_by_actor", /* actor 0 time digest → nothing; "#" actor → count */
	"idem_by_time",  /* time digest → actor */
	NULL
};

size_t
put_u64(uint8_t *out, uint64_t v)
{
	for (unsigned i = 0; i < 8; i++)
		out[i] = (uint8_t)(v >> (56 - 8 * i));
	return 8;
}

uint64_t
get_u64(const uint8_t *p)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < 8; i++)
		v = v << 8 | p[i];
	return v;
}

void
key_text(struct key *key, char tag, const char *text)
{
	size_t len = strlen(text);

	key->len = 0;
	if (tag != '\0')
		key->bytes[key->len++] = (uint8_t)tag;
	if (len > STREAM_MAX)
		len = STREAM_MAX; /* bounded by every caller */
	memcpy(key->bytes + key->len, text, len);
	key->len += len;
	key->bytes[key->len++] = '\0';
}

void
key_number(struct key *key, uint64_t number)
{
	key->len += put_u64(key->bytes + key->len, number);
}

ag_err
number_get(struct ag_ctx *ctx, enum table table, const struct key *key,
    uint64_t *out)
{
	const uint8_t *value;
	size_t len;
	ag_err err = ag_store_get(ctx, table, key->bytes, key->len, &value, &len);

	*out = 0;
	if (err == AG_ITEM_NOT_FOUND)
		return AG_OK;
	if (err != AG_OK)
		return err;
	if (len != 8)
		return AG_CORRUPT;
	*out = get_u64(value);
	return AG_OK;
}

ag_err
number_put(struct ag_ctx *ctx, enum table table, const struct key *key,
    uint64_t number)
{
	uint8_t value[8];

	put_u64(value, number);
	return ag_store_put(ctx, table, key->bytes, key->len, value, sizeof(value));
}
