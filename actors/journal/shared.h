/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the backend in PostgreSQL share.
 */
#ifndef AEGIS_JOURNAL_SHARED_H
#define AEGIS_JOURNAL_SHARED_H

#include "columns.h"
#include "journal.h"
#include <journal_schema.h>

#include <event2/event.h>

enum {
	ASKED_MAX = 4096,     /* appends and look-ups of one turn */
	TAIL_ROWS = 1024,     /* records read at once; and about a MiB of them */
	COMMIT_EVERY_MS = 1000, /* of the copy: PostgreSQL has it all */
	TICK_EVERY_MS = 250,  /* the net under a notification that got lost */
	STEP_MS = 20,         /* while connecting */
	PAUSE_MIN_MS = 100, PAUSE_MAX_MS = 2000, /* between two tries */
};

/* The parameters of append() from its fourth on, in its order. */
enum param {
	A_COUNT, A_TENANT, A_ACTOR, A_AUTHOR, A_REQUEST, A_OUTCOME, A_IDEM,
	A_BODY, A_REPLY_TYPE, A_REPLY, C_STREAM, C_EXPECTED, C_TYPE, C_FACT,
	C_ENDED, PARAM_COUNT
};

/* Who waits for the end of the turn. */
struct asked {
	uint64_t ticket;
	bool append; /* else a look-up */
};

struct shared {
	struct ag_ctx *ctx;
	struct journal *journal;
	struct pg_server server;
	struct pg_link link;
	enum { AWAY, CALLING, THERE } state;
	uint64_t call_at_ms, give_up_ms;
	unsigned pause_ms;
	bool planned;         /* a step is */
	bool away;           /* nobody answers: it was told */
	char why[PG_HOSTS_MAX][PG_SAID_MAX]; /* by each host, as it was told */
	char node[64], epoch[24];
	bool filling;         /* not yet at fill_to, where it was when we came */
	uint64_t fill_to;
	uint64_t entered_ms;  /* when it was asked where the journal is */
	uint64_t heard_ms;    /* when all that the database then had is here */
	uint64_t tell_at_ms;  /* when the shards are told of it again */
	bool stale;           /* that is longer ago than the lease: it was said */
	uint64_t commit_at_ms;
	struct event *readable;
	struct column params[PARAM_COUNT], lookups;
	struct asked *asked;  /* ASKED_MAX */
	size_t asked_count;
	int64_t at_ms;        /* when the turn's appends are committed */
	PGresult *appended;   /* one row an append, in order; NULL: none */
	PGresult *answers;    /* of the look-ups */
	uint64_t first, last; /* records of this turn's appends; 0: none */
};

/* ---- session.c: from nobody there to a copy that is whole */
ag_err session_open(struct shared *s) AG_MUST;
void session_close(struct shared *s);
/* It cannot be reached; says so once. It is called again after a pause. */
void session_away(struct shared *s);
/* Settles what a refusal of the server means for the connection. */
void session_refused(struct shared *s);
/* ---- lease.c: key shards must not use keys for ever without hearing */
/* Asks for what is new, and by a write, which neither a replica nor a process
 * whose place another took can do, whether that is all. */
ag_err lease_hear(struct shared *s) AG_MUST;
/* Looks at how long ago the database was heard, and tells what has changed. */
void lease_look(struct shared *s);
void lease_tell(struct journal *j, struct ag_ctx *ctx, unsigned slot);
/* ---- tail.c: reading what is new */
ag_err tail_send(struct shared *s) AG_MUST;
/* rows: how many there were. */
ag_err tail_receive(struct shared *s, uint64_t until_ms, int *rows) AG_MUST;
/* Reads until nothing is new; at most `pages` of them. */
ag_err tail_look(struct shared *s, unsigned pages, int *rows) AG_MUST;
/* One statement's result of the pipeline and the sync behind it. AG_UNAVAILABLE:
 * the server refused it, so nothing of it was done; AG_IO, AG_TIMEOUT: whether
 * it was is not known. */
ag_err pipeline_result(struct shared *s, uint64_t until_ms, PGresult **out)
    AG_MUST;
/* A prepared statement with parameters as text. False: the connection broke. */
bool pipeline_send(struct shared *s, const char *name, unsigned count,
    const char *const *values, bool binary);

#endif
