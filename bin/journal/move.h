/* SPDX-License-Identifier: Apache-2.0 */
/*
 * move: a journal from a state directory into PostgreSQL, and back, while its
 * fleet is stopped.
 *
 * Either way all of it or nothing: what is there is written in one transaction of
 * PostgreSQL, what is here in one of LMDB, and neither commits before both were
 * read back and are the same. There is one moment between the two commits; who
 * asks again after a crash in it finds what was done, compares it, and finishes.
 *
 *   to PostgreSQL  there commits first; here becomes this node's copy of it
 *   back           there is marked as moved to this node, so that no node goes on
 *                  with it (AG003); then here stops being a copy
 *
 * The same are two journals whose histories have the same SHA-256 over
 *   'R' length(4) record      each record as it is kept here, by its number
 *   'S' name 0 version(8)     each stream, by its name
 *   'A' digest(32) at(8) body digest(32) type(2) actor 0 length(4) reply
 *                             each kept answer, by its digest
 * numbers big-endian. Positions do not change, so snapshots, which say the
 * position that they were made at, stay good.
 */
#ifndef AEGIS_MOVE_H
#define AEGIS_MOVE_H

#include <engine.h>
#include <journal.h>
#include <journal_schema.h>

#include <aegis/merkle.h>
#include <openssl/evp.h>

enum { MOVE_WHY_MAX = 512, MOVE_AUTHORS_MAX = 256 };

struct move_sum {
	uint64_t records, streams, answers;
	uint8_t hash[AG_HASH_BYTES];
};

struct move {
	struct ag_db *db;       /* here */
	struct pg_link link;    /* there */
	unsigned timeout_ms;    /* of the whole of one statement */
	/* Called with the records that went by so far, now and then; or NULL. */
	void (*moved)(void *arg, unsigned long long records);
	void *moved_arg;
	char node[64], id[64];  /* this node there, and the journal's own name */
	bool resumed;           /* the greater part was done before */
	struct move_sum sum;
	char why[MOVE_WHY_MAX]; /* what went wrong, for people */
};

/*
 * AG_CONFLICT: what is here or there is not what it has to be, see why; nothing
 * was changed. AG_ITEM_NOT_FOUND: there is no journal here. AG_UNAVAILABLE,
 * AG_IO, AG_TIMEOUT: PostgreSQL refused or was lost. AG_CORRUPT: the two are not
 * the same. May block for as long as the journal is large.
 */
ag_err move_there(struct move *m, const char *state_dir,
    const struct pg_server *server) AG_MUST;
ag_err move_here(struct move *m, const char *state_dir,
    const struct pg_server *server) AG_MUST;
void move_close(struct move *m);

/* ---- move.c */
ag_err move_wrong(struct move *m, ag_err err, const char *fmt, ...)
    AG_PRINTF(3, 4);
void move_went_by(struct move *m, uint64_t records);
/* The hash of a history, as it goes by. */
struct move_hash {
	EVP_MD_CTX *ctx; /* NULL: it failed */
	struct move_sum *sum;
};
void move_hash_begin(struct move_hash *h, struct move_sum *sum);
void move_hash_record(struct move_hash *h, const void *packed, size_t len);
void move_hash_stream(struct move_hash *h, const char *name, uint64_t version);
void move_hash_answer(struct move_hash *h, const struct kept_answer *answer);
ag_err move_hash_end(struct move_hash *h) AG_MUST;
bool move_same(const struct move_sum *a, const struct move_sum *b);

/* ---- here.c: the state directory's tables */
ag_err here_word(struct move *m, const char *name, char out[64]) AG_MUST;
ag_err here_say(struct move *m, const char *name, const char *word) AG_MUST;
ag_err here_head(struct move *m, uint64_t *out) AG_MUST;
/* What stands in them, for whoever wants it; each may be NULL. A visitor's error
 * ends it. */
struct here_visitor {
	ag_err (*record)(void *arg, const Ag__JournalRecord *record);
	ag_err (*stream)(void *arg, const char *name, uint64_t version);
	ag_err (*answer)(void *arg, const struct kept_answer *answer);
	/* An author of this node and its newest record with an outcome. */
	ag_err (*author)(void *arg, const char *name, uint64_t outcome);
	void *arg;
};
ag_err here_records(struct move *m, const struct here_visitor *v,
    struct move_hash *h) AG_MUST;
ag_err here_streams(struct move *m, const struct here_visitor *v,
    struct move_hash *h) AG_MUST;
ag_err here_answers(struct move *m, const struct here_visitor *v,
    struct move_hash *h) AG_MUST;
ag_err here_authors(struct move *m, const struct here_visitor *v) AG_MUST;
/* All of it, for its hash. */
ag_err here_sum(struct move *m, struct move_sum *sum) AG_MUST;
/* Has that stream ended, for ever? */
ag_err here_ended(struct move *m, const char *stream, uint64_t version,
    bool *ended) AG_MUST;
ag_err here_put(void *m, enum table table, const struct key *key,
    const void *value, size_t len) AG_MUST;
/* Removes the answers and what authors' numbers there are. */
ag_err here_clear(struct move *m) AG_MUST;
/* Writes those numbers anew, out of the records. */
ag_err here_number_authors(struct move *m) AG_MUST;

/* ---- there.c: PostgreSQL's tables */
/* make: a schema that is not there yet. One that is there stays as it is: it may
 * be in use by programs of its version. */
ag_err there_connect(struct move *m, const struct pg_server *server, bool make)
    AG_MUST;
/* One statement with parameters as text, its result in binary; out may be NULL. */
ag_err there_ask(struct move *m, const char *sql, unsigned count,
    const char *const *values, PGresult **out) AG_MUST;
ag_err there_sum(struct move *m, struct move_sum *sum) AG_MUST;
/* What of it is not here yet, and its answers; goes into the tables here. */
ag_err there_fetch(struct move *m, uint64_t from) AG_MUST;

/* ---- copy.c: COPY … FROM STDIN (FORMAT binary) */
struct copy {
	struct move *move;
	uint8_t bytes[64 << 10];
	size_t len;
	ag_err err;
};
/* table: with its columns. Nothing else may be sent before copy_end. */
void copy_begin(struct copy *c, struct move *m, const char *table);
void copy_row(struct copy *c, unsigned columns);
void copy_number(struct copy *c, unsigned size, uint64_t number); /* 1, 4, 8 */
void copy_bytes(struct copy *c, const void *bytes, size_t len);
void copy_text(struct copy *c, const char *text); /* NULL: null */
void copy_null(struct copy *c);
/* The first thing that went wrong since it began. */
ag_err copy_end(struct copy *c) AG_MUST;

#endif
