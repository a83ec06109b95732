/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the journal's files share.
 */
#ifndef AEGIS_JOURNAL_H
#define AEGIS_JOURNAL_H

#include <aegis/aegis.h>

enum {
	STREAM_MAX = 200,
	IDEM_BYTES = 32,
	IDEM_HEAD = 8 + 32 + 2, /* time, body digest, reply type; then the reply */
	ACTOR_MAX = 64,
};

enum table { EVENTS, STREAMS, AUTHORS, IDEM, IDEM_BY_ACTOR, IDEM_BY_TIME };

struct journal {
	uint64_t head; /* newest seq, committed or of this turn */
	bool dirty;
};

/* ---- key.c: tag, text, 0, number: sorted by text, then number */
struct key {
	uint8_t bytes[255];
	size_t len;
};
size_t put_u64(uint8_t *out, uint64_t v); /* big-endian; 8 */
uint64_t get_u64(const uint8_t *p);
void key_text(struct key *key, char tag, const char *text);
void key_number(struct key *key, uint64_t number);
/* 0 if it is not there. */
ag_err number_get(struct ag_ctx *ctx, enum table table, const struct key *key,
    uint64_t *out) AG_MUST;
ag_err number_put(struct ag_ctx *ctx, enum table table, const struct key *key,
    uint64_t number) AG_MUST;

/* ---- idem.c: answers of requests with an Idempotency-Key */
/* The row, younger than a day; AG_ITEM_NOT_FOUND. */
ag_err idem_find(struct ag_ctx *ctx, const ProtobufCBinaryData *idem,
    const uint8_t **value, size_t *len) AG_MUST;
ag_err idem_keep(struct ag_ctx *ctx, const Ag__JournalAppendAsk *ask) AG_MUST;
void idem_purge(void *state, struct ag_ctx *ctx);

#endif
