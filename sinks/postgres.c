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

#include <pg.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	MONTHS_MAX = 64,     /* partitions remembered */
	TEND_S = 3600,       /* between two looks for old ones */
	SQL_MAX = 512,
	TIMEOUT_MS = 15000,  /* of a batch; a pause follows, and another try */
};

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

static const struct pg_schema schema = {
	.name = "aegis_audit",
	.lock = INT64_C(7310589216140031854),
	.migrations = migrations,
	.version = sizeof(migrations) / sizeof(migrations[0]),
};

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
	struct pg_server server;
	struct pg_link link;
	int64_t retention_s;
	time_t tend_at;
	int months[MONTHS_MAX];     /* year * 12 + month: partitions that are */
	size_t month_count;
};

/* ---------------------------------------------------------- configuration */

static ag_err
postgres_open(void *own, struct feed *feed, struct ag_ctx *ctx)
{
	const char *ca = feed_option(feed, "ca_file");
	char path[FEED_PATH_MAX] = "";
	struct postgres *pg = own;
	const char *why;
	ag_err err;

	pg->feed = feed;
	pg->retention_s = feed_option_int(feed, "retention_s");
	pg->server.timeout_ms = TIMEOUT_MS;
	if (ca != NULL && (err = feed_path(feed, ca, path)) != AG_OK)
		return err;
	why = pg_server_set(&pg->server, feed_option(feed, "url"), path);
	if (why != NULL) {
		ag_log(ctx, AG_ERROR, "SINK-URL", "why=%s", why);
		return AG_USAGE;
	}
	return feed_secret(feed, "password_file", &pg->server.password);
}

/* -------------------------------------------------------------- connecting */

static void
hang_up(struct postgres *pg)
{
	pg_close(&pg->link);
	pg->month_count = 0;
}

/* Without the name of whom it asked, on one line. */
static ag_err
failed(struct postgres *pg, struct feed_batch *batch, ag_err err)
{
	const char *state = pg->link.state;

	if (err == AG_OK)
		return AG_OK;
	/* Class 22: the data is wrong. */
	return feed_fail(batch, strncmp(state, "22", 2) == 0 ? AG_BAD_MESSAGE :
	    AG_UNAVAILABLE, "%s%s%.96s", state, state[0] == '\0' ? "" : " ",
	    pg->link.said);
}

static ag_err
run(struct postgres *pg, struct feed_batch *batch, const char *sql)
{
	return failed(pg, batch, pg_run(&pg->link, sql, TIMEOUT_MS, NULL));
}

static ag_err
call(struct postgres *pg, struct feed_batch *batch)
{
	ag_err err = pg_connect(&pg->link, &pg->server);

	if (err == AG_OK)
		err = pg_migrate(&pg->link, &schema, TIMEOUT_MS);
	if ((err = failed(pg, batch, err)) != AG_OK)
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
	PGresult *result = NULL, *end = NULL;
	ag_err err = AG_NO_MEMORY;
	uint64_t until = pg_mono_ms() + TIMEOUT_MS;

	if (text == NULL)
		return err;
	err = AG_IO;
	if (PQsendQueryParams(pg->link.conn, insert, 1, NULL, values, NULL, NULL,
	        0) == 1 &&
	    (err = pg_result(&pg->link, until, &result)) == AG_OK)
		err = pg_good(&pg->link, result);
	if (result != NULL && pg_result(&pg->link, until, &end) != AG_OK)
		err = AG_IO;
	PQclear(end);
	PQclear(result);
	free(text);
	return failed(pg, batch, err);
}

static ag_err
postgres_deliver(void *own, struct feed_batch *batch)
{
	struct postgres *pg = own;
	ag_err err = AG_OK;

	if (pg->link.conn == NULL && (err = call(pg, batch)) != AG_OK)
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
	ag_secret_free(&pg->server.password);
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
