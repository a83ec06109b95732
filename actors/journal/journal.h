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

enum metric { M_RECORDS, M_CONFLICTS, M_COMMITS, M_COMMIT_US, M_HEAD, M_IDEM,
	M_AWAY };

enum table { EVENTS, STREAMS, AUTHORS, IDEM, IDEM_BY_ACTOR, IDEM_BY_TIME };

struct journal;
struct shared;

/*
 * Where the truth is. Records are always read from this node's own tables: with
 * `embedded` they are the truth, with `shared` (PostgreSQL) a copy that is
 * always a part of it from the start. What differs is how a record becomes one.
 */
struct backend {
	const char *name;
	/* AG_USAGE: it cannot be what was configured. */
	ag_err (*open)(struct journal *j, struct ag_ctx *ctx);
	void (*close)(struct journal *j);
	/* A message whose bounds are checked: all its changes at the versions
	 * they expect, or none. Answers, or AG_PENDING until flush. */
	ag_err (*append)(struct journal *j, struct ag_ctx *ctx,
	    const Ag__JournalAppendAsk *ask);
	/* What an Idempotency-Key was answered with. Likewise. */
	ag_err (*idem)(struct journal *j, struct ag_ctx *ctx,
	    const Ag__JournalIdemAsk *ask);
	/* Makes durable what the turn appended, and answers it. */
	ag_err (*flush)(struct journal *j, struct ag_ctx *ctx);
	/* A row is there again; NULL: it makes no difference. */
	void (*peer_up)(struct journal *j, struct ag_ctx *ctx, unsigned slot);
	/* Once a minute: old answers go. */
	void (*purge)(struct journal *j, struct ag_ctx *ctx);
};
extern const struct backend journal_embedded, journal_shared;

struct journal {
	const struct backend *backend;
	uint64_t head; /* newest seq, committed or of this turn */
	bool dirty;    /* there is something to commit */
	bool purging;  /* more old answers are to go soon */
	bool whole;    /* what is here may be read */
	bool several;  /* nodes write to it: more than the usual two follow live */
	struct shared *shared;
};

/* ---- records.c: the tables that are read */
/* Stores it, moves the head to it and tells who follows live. */
ag_err record_take(struct journal *j, struct ag_ctx *ctx,
    Ag__JournalRecord *record) AG_MUST;
ag_err stream_version(struct ag_ctx *ctx, const char *stream, uint64_t *out)
    AG_MUST;
/* Writes down what the head is. */
void records_mark(struct journal *j, struct ag_ctx *ctx);
/* Durable from here on, with the head. Ends the process if it cannot be. */
void records_commit(struct journal *j, struct ag_ctx *ctx);
/* A word about these tables as a whole, ≤ 63 bytes; "": none. */
ag_err records_word(struct ag_ctx *ctx, const char *name, char out[64]) AG_MUST;
ag_err records_say(struct ag_ctx *ctx, const char *name, const char *word)
    AG_MUST;
/* The names of those words. */
#define WORD_SHARED "shared" /* the journal that this is a copy of */
#define WORD_NODE "node"     /* what this node is called there */

/* ---- key.c: tag, text, 0, number: sorted by text, then number */
extern const char *const journal_tables[]; /* by enum table; ends with NULL */
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

/* ---- kept.c: which rows a record and an answer are */
typedef ag_err kept_put(void *arg, enum table table, const struct key *key,
    const void *value, size_t len);
ag_err kept_in_store(void *ctx, enum table table, const struct key *key,
    const void *value, size_t len) AG_MUST; /* of the actor's context */
/* packed: the record; put is called for each of its rows until one fails. */
ag_err kept_record(const Ag__JournalRecord *record, const void *packed,
    size_t len, kept_put *put, void *arg) AG_MUST;
struct kept_answer {
	const uint8_t *digest; /* IDEM_BYTES */
	const char *actor;
	uint64_t at;
	const uint8_t *value; /* IDEM_HEAD, and the reply */
	size_t len;
};
void kept_answer_head(uint8_t head[IDEM_HEAD], uint64_t at,
    const uint8_t body_digest[32], uint16_t reply_type);
/* Without the count of the actor's, which is its caller's. */
ag_err kept_answer(const struct kept_answer *answer, kept_put *put, void *arg)
    AG_MUST;

/* ---- idem.c: answers of requests with an Idempotency-Key */
/* The row, younger than a day; AG_ITEM_NOT_FOUND. */
ag_err idem_find(struct ag_ctx *ctx, const ProtobufCBinaryData *idem,
    const uint8_t **value, size_t *len) AG_MUST;
ag_err idem_keep(struct ag_ctx *ctx, const Ag__JournalAppendAsk *ask) AG_MUST;
void idem_purge(struct journal *j, struct ag_ctx *ctx);
/* The answer to a journal_idem_ask; value NULL: it is not known. */
ag_err idem_answer(struct ag_ctx *ctx, const Ag__JournalIdemAsk *ask,
    const uint8_t *body_digest, uint32_t reply_type, const uint8_t *reply,
    size_t reply_len) AG_MUST;

#endif
