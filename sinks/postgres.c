/* SPDX-License-Identifier: Apache-2.0 */
/*
 * postgres: events as rows of aegis_audit.event, partitioned by month, with the
 * columns and indexes of the query API's filters and the whole event as jsonb.
 * A batch is one statement and one transaction; an event that comes twice is
 * not a second row. The schema is made and migrated by the sink; numbers only
 * grow, and one that is newer than this program is left alone. Whole months
 * older than retention_s are dropped.
 */
#include "encode.h"

#include <libpq-fe.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	MONTHS_MAX = 64,     /* partitions remembered */
	TEND_S = 3600,       /* between two looks for old ones */
	SQL_MAX = 512,
};

#define URI_SECRET "password" /* the member of a URI that must not be there */

static const char *const migrations[] = {
	/* 1 */
	"CREATE TABLE aegis_audit.event ("
	" event_id text NOT NULL, seq bigint NOT NULL, tenant text NOT NULL,"
	" event_type text NOT NULL, occurred_at timestamptz NOT NULL,"
	" operation text NOT NULL, outcome text NOT NULL, code text,"
	" request_id text, plane text, actor_id text, actor_kind text,"
	" model text, root_id text, resource_type text, resource_id text,"
	" resource_alias text, event jsonb NOT NULL,"
	" PRIMARY KEY (event_id, occurred_at)"
	") PARTITION BY RANGE (occurred_at);"
	"CREATE INDEX ON aegis_audit.event (tenant, occurred_at);"
	"CREATE INDEX ON aegis_audit.event (tenant, seq);"
	"CREATE INDEX ON aegis_audit.event (tenant, actor_id, occurred_at);"
	"CREATE INDEX ON aegis_audit.event (tenant, root_id, occurred_at);"
	"CREATE INDEX ON aegis_audit.event (tenant, resource_id, occurred_at);"
	"CREATE INDEX ON aegis_audit.event (tenant, operation, occurred_at);"
	"CREATE INDEX ON aegis_audit.event (request_id);",
};

enum { SCHEMA = sizeof(migrations) / sizeof(migrations[0]) };

static const char insert[] =
	"INSERT INTO aegis_audit.event SELECT"
	" e->>'event_id', (e->>'seq')::bigint, e->>'tenant',"
	" e->>'event_type', (e->>'occurred_at')::timestamptz,"
	" e->>'operation', e->>'outcome', e->>'code', e->>'request_id',"
	" e->>'plane', e#>>'{actor,id}', e#>>'{actor,kind}',"
	" e#>>'{actor,model}', coalesce(e#>>'{chain,0,id}', e#>>'{actor,id}'),"
	" e#>>'{resource,type}', e#>>'{resource,id}', e#>>'{resource,alias}', e"
	" FROM jsonb_array_elements($1::jsonb) AS e ON CONFLICT DO NOTHING";

struct postgres {
	struct feed *feed;
	PGconn *conn;               /* NULL: not connected */
	char url[2048];
	char ca[FEED_PATH_MAX];     /* "": none given */
	struct ag_secret *password; /* NULL: none */
	bool local;                 /* no network in between */
	int64_t retention_s;
	time_t tend_at;
	int months[MONTHS_MAX];     /* year * 12 + month: partitions that are */
	size_t month_count;
};

/* ---------------------------------------------------------- configuration */

static bool
is_local(const char *host)
{
	return host == NULL || host[0] == '\0' || host[0] == '/' ||
	    strncmp(host, "127.", 4) == 0 || strcmp(host, "localhost") == 0 ||
	    strcmp(host, "::1") == 0;
}

/* NULL: the URL is as it should be. */
static const char *
check_url(struct postgres *pg, const char *url)
{
	PQconninfoOption *options = PQconninfoParse(url, NULL);
	const char *why = NULL, *host = NULL;

	if (options == NULL)
		return "not a connection URI of PostgreSQL";
	for (PQconninfoOption *o = options; o->keyword != NULL; o++) {
		if (o->val == NULL)
			continue;
		if (strcmp(o->keyword, URI_SECRET) == 0)
			why = "the password belongs in password_file";
		if (strcmp(o->keyword, "host") == 0)
			host = o->val;
	}
	pg->local = is_local(host);
	PQconninfoFree(options);
	return why;
}

static ag_err
postgres_open(void *own, struct feed *feed, struct ag_ctx *ctx)
{
	const char *url = feed_option(feed, "url");
	const char *ca = feed_option(feed, "ca_file");
	struct postgres *pg = own;
	const char *why;
	ag_err err = AG_OK;

	pg->feed = feed;
	pg->retention_s = feed_option_int(feed, "retention_s");
	if (url == NULL || strlen(url) >= sizeof(pg->url))
		return AG_USAGE;
	strcpy(pg->url, url);
	if ((why = check_url(pg, url)) != NULL) {
		ag_log(ctx, AG_ERROR, "SINK-URL", "why=%s", why);
		return AG_USAGE;
	}
	if (ca != NULL)
		err = feed_path(feed, ca, pg->ca);
	if (err == AG_OK)
		err = feed_secret(feed, "password_file", &pg->password);
	return err;
}

/* -------------------------------------------------------------- connecting */

static void
hang_up(struct postgres *pg)
{
	if (pg->conn != NULL)
		PQfinish(pg->conn);
	pg->conn = NULL;
	pg->month_count = 0;
}

/* Without the name of whom it asked, on one line. */
static ag_err
failed(struct postgres *pg, struct feed_batch *batch, const PGresult *result)
{
	const char *state = result == NULL ? NULL :
	    PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *said = result == NULL ? NULL :
	    PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	char text[96];

	snprintf(text, sizeof(text), "%s", said != NULL ? said :
	    PQerrorMessage(pg->conn));
	text[strcspn(text, "\n")] = '\0';
	/* Classes 22 and 23: the data is wrong. */
	return feed_fail(batch, state != NULL && strncmp(state, "22", 2) == 0 ?
	    AG_BAD_MESSAGE : AG_UNAVAILABLE, "%s%s%s", state == NULL ? "" :
	    state, state == NULL ? "" : " ", text);
}

static ag_err
run(struct postgres *pg, struct feed_batch *batch, const char *sql)
{
	PGresult *result = PQexec(pg->conn, sql);
	ExecStatusType status = PQresultStatus(result);
	ag_err err = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ?
	    AG_OK : failed(pg, batch, result);

	PQclear(result);
	return err;
}

/* The number in the first row; 0: there is none. */
static ag_err
run_number(struct postgres *pg, struct feed_batch *batch, const char *sql,
    int *out)
{
	PGresult *result = PQexec(pg->conn, sql);
	ag_err err = PQresultStatus(result) == PGRES_TUPLES_OK ? AG_OK :
	    failed(pg, batch, result);

	*out = err == AG_OK && PQntuples(result) > 0 ?
	    atoi(PQgetvalue(result, 0, 0)) : 0;
	PQclear(result);
	return err;
}

/* All in one transaction, under a lock: two nodes may start at once. */
static ag_err
migrate(struct postgres *pg, struct feed_batch *batch)
{
	char sql[SQL_MAX];
	int at = 0;
	ag_err err = run(pg, batch, "BEGIN;"
	    "SELECT pg_advisory_xact_lock(7310589216140031854);"
	    "CREATE SCHEMA IF NOT EXISTS aegis_audit;"
	    "CREATE TABLE IF NOT EXISTS aegis_audit.migration ("
	    " version int PRIMARY KEY, applied_at timestamptz NOT NULL);");

	if (err == AG_OK)
		err = run_number(pg, batch, "SELECT coalesce(max(version), 0) "
		    "FROM aegis_audit.migration", &at);
	if (err == AG_OK && at > SCHEMA)
		err = feed_fail(batch, AG_UNAVAILABLE, "schema %d is newer than "
		    "this program's %d", at, SCHEMA);
	for (; err == AG_OK && at < SCHEMA; at++) {
		if ((err = run(pg, batch, migrations[at])) != AG_OK)
			break;
		snprintf(sql, sizeof(sql), "INSERT INTO aegis_audit.migration "
		    "VALUES (%d, now())", at + 1);
		err = run(pg, batch, sql);
	}
	return err == AG_OK ? run(pg, batch, "COMMIT") : err;
}

static ag_err
call(struct postgres *pg, struct feed_batch *batch)
{
	char password[AG_SECRET_FILE_MAX + 1] = "";
	const char *names[16], *values[16];
	unsigned n = 0;
	ag_err err;

#define SET(name, value) (names[n] = (name), values[n++] = (value))
	SET("dbname", pg->url);
	if (pg->password != NULL) {
		snprintf(password, sizeof(password), "%.*s",
		    (int)ag_secret_len(pg->password),
		    (const char *)ag_secret_bytes(pg->password));
		SET("password", password);
	}
	if (pg->ca[0] != '\0') {
		SET("sslmode", "verify-full");
		SET("sslrootcert", pg->ca);
	} else if (!pg->local) {
		SET("sslmode", "require");
	}
	SET("connect_timeout", "5");
	SET("tcp_user_timeout", "10000");
	SET("keepalives_idle", "5");
	SET("application_name", "aegis");
	SET("options", "-c statement_timeout=15000 -c synchronous_commit=on "
	    "-c client_min_messages=warning");
	SET(NULL, NULL);
#undef SET
	pg->conn = PQconnectdbParams(names, values, 1);
	ag_wipe(password, sizeof(password));
	if (PQstatus(pg->conn) == CONNECTION_OK) {
		err = migrate(pg, batch);
	} else {
		err = failed(pg, batch, NULL);
	}
	if (err != AG_OK)
		hang_up(pg);
	return err;
}

/* -------------------------------------------------------------- partitions */

static int
month_of(int64_t ms)
{
	time_t s = (time_t)(ms / 1000);
	struct tm tm;

	gmtime_r(&s, &tm);
	return (tm.tm_year + 1900) * 12 + tm.tm_mon;
}

static ag_err
partition(struct postgres *pg, struct feed_batch *batch, int month)
{
	char sql[SQL_MAX];
	ag_err err;

	for (size_t i = 0; i < pg->month_count; i++)
		if (pg->months[i] == month)
			return AG_OK;
	snprintf(sql, sizeof(sql), "CREATE TABLE IF NOT EXISTS "
	    "aegis_audit.event_%04d%02d PARTITION OF aegis_audit.event "
	    "FOR VALUES FROM ('%04d-%02d-01T00:00:00Z') TO "
	    "('%04d-%02d-01T00:00:00Z')", month / 12, month % 12 + 1,
	    month / 12, month % 12 + 1, (month + 1) / 12, (month + 1) % 12 + 1);
	if ((err = run(pg, batch, sql)) != AG_OK)
		return err;
	if (pg->month_count == MONTHS_MAX)
		pg->month_count = 0; /* asked for again, no more */
	pg->months[pg->month_count++] = month;
	return AG_OK;
}

/* Drops what ended before the time that is kept. */
static ag_err
drop_old(struct postgres *pg, struct feed_batch *batch)
{
	char sql[SQL_MAX];

	if (pg->retention_s == 0 || time(NULL) < pg->tend_at)
		return AG_OK;
	pg->tend_at = time(NULL) + TEND_S;
	pg->month_count = 0;
	snprintf(sql, sizeof(sql), "DO $$ DECLARE p text; BEGIN FOR p IN "
	    "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = "
	    "i.inhrelid WHERE i.inhparent = 'aegis_audit.event'::regclass AND "
	    "to_date(right(c.relname, 6), 'YYYYMM') + interval '1 month' < "
	    "now() - interval '%lld seconds' LOOP EXECUTE "
	    "format('DROP TABLE aegis_audit.%%I', p); END LOOP; END $$",
	    (long long)pg->retention_s);
	return run(pg, batch, sql);
}

/* -------------------------------------------------------------- delivering */

/* A JSON array of the events. NULL: memory. */
static char *
array_of(const struct feed_batch *batch)
{
	size_t len = 0, room = 2;
	struct encoded *e = calloc(batch->count, sizeof(*e));
	char *text = NULL;
	bool ok = e != NULL;

	for (size_t i = 0; ok && i < batch->count; i++) {
		ok = encode_item(ENCODE_JSON, &batch->items[i], &e[i]) == AG_OK;
		room += e[i].len + 1;
	}
	if (ok && (text = malloc(room + 1)) != NULL) {
		for (size_t i = 0; i < batch->count; i++) {
			text[len++] = i == 0 ? '[' : ',';
			memcpy(text + len, e[i].bytes, e[i].len);
			len += e[i].len;
		}
		memcpy(text + len, "]", 2);
	}
	for (size_t i = 0; e != NULL && i < batch->count; i++)
		encoded_free(&e[i]);
	free(e);
	return text;
}

static ag_err
put(struct postgres *pg, struct feed_batch *batch)
{
	char *text = array_of(batch);
	const char *values[1] = { text };
	PGresult *result;
	ag_err err = AG_OK;

	if (text == NULL)
		return AG_NO_MEMORY;
	result = PQexecParams(pg->conn, insert, 1, NULL, values, NULL, NULL, 0);
	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		err = failed(pg, batch, result);
	PQclear(result);
	free(text);
	return err;
}

static ag_err
postgres_deliver(void *own, struct feed_batch *batch)
{
	struct postgres *pg = own;
	ag_err err = AG_OK;

	if (pg->conn == NULL && (err = call(pg, batch)) != AG_OK)
		return err;
	err = drop_old(pg, batch);
	for (size_t i = 0; err == AG_OK && i < batch->count; i++)
		err = partition(pg, batch, month_of(batch->items[i].at));
	if (err == AG_OK && batch->count > 0)
		err = put(pg, batch);
	if (err != AG_OK && err != AG_BAD_MESSAGE)
		hang_up(pg);
	return err;
}

static void
postgres_close(void *own)
{
	struct postgres *pg = own;

	hang_up(pg);
	ag_secret_free(&pg->password);
}

static const struct feed_sink sink = {
	.own_size = sizeof(struct postgres),
	.batch_max = 512,
	.tends = true,
	.open = postgres_open,
	.deliver = postgres_deliver,
	.close = postgres_close,
};

FEED_ACTOR(postgres, sink);
