/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the journal and the postgres sink share: one connection to PostgreSQL
 * whose every wait has an end, and a schema that makes and migrates itself.
 */
#ifndef AEGIS_PG_H
#define AEGIS_PG_H

#include <aegis/err.h>
#include <aegis/secret.h>

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	PG_URL_MAX = 2048, PG_PATH_MAX = 4096, PG_SAID_MAX = 160,
	PG_HOSTS_MAX = 8, /* of one URL: a primary and who may become it */
};

struct pg_server {
	char url[PG_URL_MAX];       /* without a password */
	char ca[PG_PATH_MAX];       /* "": none given */
	struct ag_secret *password; /* NULL: none; owned */
	unsigned host_count;        /* that the URL names; 1: none, too */
	bool local;                 /* no network in between, to none of them */
	unsigned timeout_ms;        /* of connecting, and of each statement */
};

struct pg_link {
	PGconn *conn; /* NULL: there is none */
	PostgresPollingStatusType polling;
	unsigned calls; /* that were begun; the next one asks the next host */
	unsigned timeout_ms; /* of connecting, and of each statement */
	char said[PG_SAID_MAX]; /* what went wrong last; one line, no secret */
	char state[6];          /* its SQLSTATE; "": the server did not say it */
};

/* Takes the URL and the authorities' file. NULL: they are as they should be;
 * else what would be right. */
const char *pg_server_set(struct pg_server *server, const char *url,
    const char *ca);

/*
 * Begins to connect to one of the URL's hosts, each call to the next: who asks
 * them in one call, as libpq does, never gets past one that takes the connection
 * and says nothing. One that takes no writes (a replica) is refused. Does not
 * wait, but for a host's name to be resolved.
 */
ag_err pg_begin(struct pg_link *link, const struct pg_server *server) AG_MUST;
/* One step: AG_OK when it stands, AG_PENDING; AG_UNAVAILABLE, AG_IO, AG_TIMEOUT:
 * it does not. wait_ms: how long it may wait for the step; the last one waits for
 * one more answer. */
ag_err pg_step(struct pg_link *link, unsigned wait_ms) AG_MUST;
/* Which host was called last, counted from 0. */
unsigned pg_host(const struct pg_link *link, const struct pg_server *server);
/* Begins and waits until it stands with one host; for each at most
 * server->timeout_ms. */
ag_err pg_connect(struct pg_link *link, const struct pg_server *server) AG_MUST;
void pg_close(struct pg_link *link);

uint64_t pg_mono_ms(void);
/*
 * The next result of what was sent, to be PQcleared; *out NULL: that statement
 * has no more. AG_TIMEOUT at until_ms, AG_IO when the connection broke: either
 * way whether it was done is not known, and the link is of no use any more.
 */
ag_err pg_result(struct pg_link *link, uint64_t until_ms, PGresult **out)
    AG_MUST;
/* Says in link->said why this result is none. AG_OK if it is one. */
ag_err pg_good(struct pg_link *link, const PGresult *result) AG_MUST;
/* Statements without parameters. out: the last result, to be PQcleared; may be
 * NULL. AG_UNAVAILABLE when the server refused it. */
ag_err pg_run(struct pg_link *link, const char *sql, unsigned timeout_ms,
    PGresult **out) AG_MUST;
/* The number in the first row; 0: there is none. */
ag_err pg_number(struct pg_link *link, const char *sql, unsigned timeout_ms,
    int64_t *out) AG_MUST;

struct pg_schema {
	const char *name;
	int64_t lock; /* two nodes may start at once: only one migrates */
	const char *const *migrations; /* the i-th brings it to version i + 1 */
	int version;
};
/*
 * Brings the schema to its version, in one transaction; asks for no right that
 * it does not need: a role that may not create anything is fine where nothing
 * is to be done. A schema newer than the program is refused.
 */
ag_err pg_migrate(struct pg_link *link, const struct pg_schema *schema,
    unsigned timeout_ms) AG_MUST;
/* Which version is there; 0: no such schema. Changes nothing. */
ag_err pg_schema_at(struct pg_link *link, const struct pg_schema *schema,
    unsigned timeout_ms, int64_t *at) AG_MUST;

#endif
