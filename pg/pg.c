/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pg: connecting, waiting with an end, and what a server said.
 */
#include "pg.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PORT_DEFAULT "5432"
#define URI_SECRET "password" /* the member of a URI that must not be there */

static bool
is_local(const char *host)
{
	return host == NULL || host[0] == '\0' || host[0] == '/' ||
	    strncmp(host, "127.", 4) == 0 || strcmp(host, "localhost") == 0 ||
	    strcmp(host, "::1") == 0;
}

/* How many a list with commas has; an absent one counts as one. */
static unsigned
listed(const char *list)
{
	unsigned n = 1;

	for (; list != NULL && (list = strchr(list, ',')) != NULL; list++)
		n++;
	return n;
}

/* The i-th of a list; of a list of one that one; NULL: of none. */
static const char *
nth(const char *list, unsigned i, char out[PG_URL_MAX])
{
	if (list == NULL)
		return NULL;
	for (i = listed(list) == 1 ? 0 : i; i > 0 && strchr(list, ',') != NULL; i--)
		list = strchr(list, ',') + 1;
	snprintf(out, PG_URL_MAX, "%.*s", (int)strcspn(list, ","), list);
	return out;
}

/* Whether one of several is empty: which host would that be? */
static bool
has_hole(const char *list)
{
	size_t len = list == NULL ? 0 : strlen(list);

	return listed(list) > 1 && (list[0] == ',' || list[len - 1] == ',' ||
	    strstr(list, ",,") != NULL);
}

const char *
pg_server_set(struct pg_server *server, const char *url, const char *ca)
{
	const char *why = NULL, *host = NULL, *hostaddr = NULL;
	PQconninfoOption *options;
	char one[PG_URL_MAX];

	if (url == NULL || strlen(url) >= sizeof(server->url) ||
	    (options = PQconninfoParse(url, NULL)) == NULL)
		return "not a connection URI of PostgreSQL";
	for (PQconninfoOption *o = options; o->keyword != NULL; o++) {
		if (o->val == NULL)
			continue;
		if (strcmp(o->keyword, URI_SECRET) == 0)
			why = "the password belongs in password_file";
		if (strcmp(o->keyword, "host") == 0)
			host = o->val;
		if (strcmp(o->keyword, "hostaddr") == 0)
			hostaddr = o->val;
	}
	server->host_count = listed(hostaddr != NULL ? hostaddr : host);
	if (server->host_count > PG_HOSTS_MAX)
		why = "more hosts than 8";
	if (has_hole(host) || has_hole(hostaddr))
		why = "one of several hosts is empty";
	server->local = true;
	for (unsigned i = 0; i < server->host_count; i++)
		server->local = server->local && is_local(nth(hostaddr, i, one)) &&
		    is_local(nth(host, i, one));
	PQconninfoFree(options);
	if (ca != NULL && strlen(ca) >= sizeof(server->ca))
		return "the path of ca_file is too long";
	strcpy(server->url, url);
	strcpy(server->ca, ca == NULL ? "" : ca);
	return why;
}

uint64_t
pg_mono_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---------------------------------------------------------------- connecting */

enum { SETTINGS_MAX = 320, PARAMS_MAX = 20, PASSWORD_MAX = 4096 };

static const char *const places[] = { "host", "hostaddr", "port" };
enum { PORT = 2, PLACES = sizeof(places) / sizeof(places[0]) };

struct place {
	char text[PLACES][PG_URL_MAX];
	const char *value[PLACES]; /* NULL: the URL does not say */
};

unsigned
pg_host(const struct pg_link *link, const struct pg_server *server)
{
	return link->calls == 0 ? 0 : (link->calls - 1) % server->host_count;
}

/* Where the i-th host of the URL is. */
static ag_err
find_place(const struct pg_server *server, unsigned i, struct place *p)
{
	PQconninfoOption *options = PQconninfoParse(server->url, NULL);

	*p = (struct place) { .value = { NULL } };
	if (options == NULL)
		return AG_NO_MEMORY; /* pg_server_set has read it */
	for (PQconninfoOption *o = options; o->keyword != NULL; o++)
		for (unsigned n = 0; n < PLACES; n++)
			if (o->val != NULL && strcmp(o->keyword, places[n]) == 0)
				p->value[n] = nth(o->val, i, p->text[n]);
	PQconninfoFree(options);
	/* libpq skips a value that is empty, and keeps the URL's list. */
	if (p->value[PORT] != NULL && p->value[PORT][0] == '\0')
		p->value[PORT] = PORT_DEFAULT;
	return AG_OK;
}

ag_err
pg_begin(struct pg_link *link, const struct pg_server *server)
{
	char password[PASSWORD_MAX + 1] = "";
	const char *names[PARAMS_MAX], *values[PARAMS_MAX];
	struct place place;
	unsigned n = 0;
	ag_err err;

	pg_close(link);
	link->timeout_ms = server->timeout_ms;
	link->calls++;
	if ((err = find_place(server, pg_host(link, server), &place)) != AG_OK)
		return err;
#define SET(name, value) (names[n] = (name), values[n++] = (value))
	SET("dbname", server->url);
	for (unsigned i = 0; server->host_count > 1 && i < PLACES; i++)
		if (place.value[i] != NULL)
			SET(places[i], place.value[i]);
	if (server->password != NULL) {
		snprintf(password, sizeof(password), "%.*s",
		    (int)ag_secret_len(server->password),
		    (const char *)ag_secret_bytes(server->password));
		SET("password", password);
	}
	if (server->ca[0] != '\0') {
		SET("sslmode", "verify-full");
		SET("sslrootcert", server->ca);
	} else if (!server->local) {
		SET("sslmode", "require");
	}
	SET("gssencmode", "disable");
	SET("target_session_attrs", "read-write"); /* no replica */
	SET("client_encoding", "UTF8");
	SET("tcp_user_timeout", "10000");
	SET("keepalives_idle", "5");
	SET("application_name", "aegis");
	SET(NULL, NULL);
#undef SET
	link->conn = PQconnectStartParams(names, values, 1);
	ag_wipe(password, sizeof(password));
	link->polling = PGRES_POLLING_WRITING;
	if (link->conn != NULL && PQstatus(link->conn) != CONNECTION_BAD)
		return AG_OK;
	if (link->conn == NULL)
		return AG_NO_MEMORY;
	return pg_good(link, NULL);
}

/* False: not before until_ms. */
static bool
wait_for(PGconn *conn, short what, uint64_t until_ms)
{
	struct pollfd fd = { .fd = PQsocket(conn), .events = what };

	for (;;) {
		uint64_t now = pg_mono_ms();
		int n = poll(&fd, 1, now >= until_ms ? 0 :
		    (int)(until_ms - now));

		if (n > 0)
			return true;
		if (n == 0 || errno != EINTR)
			return false;
	}
}

/* Statements, not options of the connection: a pooler in between refuses those, or
 * drops them. */
static ag_err
set_up(struct pg_link *link)
{
	char sql[SETTINGS_MAX];

	snprintf(sql, sizeof(sql), "SET statement_timeout = %u;"
	    "SET lock_timeout = %u;SET synchronous_commit = on;"
	    "SET client_min_messages = warning;SET search_path = pg_catalog;"
	    /* who waited for a lock sees what was done under it */
	    "SET default_transaction_isolation = 'read committed'",
	    link->timeout_ms, link->timeout_ms);
	return pg_run(link, sql, link->timeout_ms, NULL);
}

ag_err
pg_step(struct pg_link *link, unsigned wait_ms)
{
	short what = link->polling == PGRES_POLLING_READING ? POLLIN : POLLOUT;

	if (!wait_for(link->conn, what, pg_mono_ms() + wait_ms))
		return AG_PENDING;
	link->polling = PQconnectPoll(link->conn);
	if (link->polling == PGRES_POLLING_FAILED)
		return pg_good(link, NULL);
	if (link->polling != PGRES_POLLING_OK)
		return AG_PENDING;
	if (PQsetnonblocking(link->conn, 1) != 0)
		return pg_good(link, NULL);
	return set_up(link);
}

static ag_err
connect_one(struct pg_link *link, const struct pg_server *server)
{
	uint64_t until = pg_mono_ms() + server->timeout_ms;
	ag_err err = pg_begin(link, server);

	if (err != AG_OK)
		return err;
	while ((err = pg_step(link, 20)) == AG_PENDING)
		if (pg_mono_ms() >= until) {
			snprintf(link->said, sizeof(link->said),
			    "no connection in %u ms", server->timeout_ms);
			return AG_UNAVAILABLE;
		}
	return err;
}

ag_err
pg_connect(struct pg_link *link, const struct pg_server *server)
{
	ag_err err = AG_OK;

	for (unsigned i = 0; i < server->host_count; i++)
		if ((err = connect_one(link, server)) == AG_OK)
			break;
	return err;
}

void
pg_close(struct pg_link *link)
{
	if (link->conn != NULL)
		PQfinish(link->conn);
	link->conn = NULL;
}

/* ------------------------------------------------------------------- results */

static ag_err
broke(struct pg_link *link)
{
	ag_err err = pg_good(link, NULL);

	(void)err; /* it says why */
	return AG_IO;
}

ag_err
pg_result(struct pg_link *link, uint64_t until_ms, PGresult **out)
{
	int rest;

	*out = NULL;
	while ((rest = PQflush(link->conn)) != 0 || PQisBusy(link->conn)) {
		if (rest < 0)
			return broke(link);
		if (!wait_for(link->conn, rest > 0 ? POLLIN | POLLOUT : POLLIN,
		        until_ms)) {
			snprintf(link->said, sizeof(link->said),
			    "no answer in time");
			link->state[0] = '\0';
			return AG_TIMEOUT;
		}
		if (PQconsumeInput(link->conn) != 1)
			return broke(link);
	}
	*out = PQgetResult(link->conn);
	return AG_OK;
}

ag_err
pg_good(struct pg_link *link, const PGresult *result)
{
	ExecStatusType status = result == NULL ? PGRES_FATAL_ERROR :
	    PQresultStatus(result);
	const char *state, *said;

	if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ||
	    status == PGRES_SINGLE_TUPLE || status == PGRES_PIPELINE_SYNC)
		return AG_OK;
	state = result == NULL ? NULL :
	    PQresultErrorField(result, PG_DIAG_SQLSTATE);
	said = result == NULL ? NULL :
	    PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	snprintf(link->state, sizeof(link->state), "%s",
	    state == NULL ? "" : state);
	snprintf(link->said, sizeof(link->said), "%s",
	    said != NULL ? said : PQerrorMessage(link->conn));
	link->said[strcspn(link->said, "\r\n")] = '\0';
	return AG_UNAVAILABLE;
}

ag_err
pg_run(struct pg_link *link, const char *sql, unsigned timeout_ms,
    PGresult **out)
{
	uint64_t until = pg_mono_ms() + timeout_ms;
	PGresult *result, *last = NULL;
	ag_err err = AG_OK, good = AG_OK;

	if (PQsendQuery(link->conn, sql) != 1)
		return broke(link);
	while ((err = pg_result(link, until, &result)) == AG_OK &&
	    result != NULL) {
		if (good == AG_OK)
			good = pg_good(link, result);
		PQclear(last);
		last = result;
	}
	if (err == AG_OK)
		err = good;
	if (err == AG_OK && out != NULL)
		*out = last;
	else
		PQclear(last);
	return err;
}

ag_err
pg_number(struct pg_link *link, const char *sql, unsigned timeout_ms,
    int64_t *out)
{
	PGresult *result = NULL;
	ag_err err = pg_run(link, sql, timeout_ms, &result);

	*out = 0;
	if (err == AG_OK && result != NULL && PQntuples(result) > 0)
		*out = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
	PQclear(result);
	return err;
}

/* ----------------------------------------------------------------- migrating */

enum { SQL_MAX = 512 };

ag_err
pg_schema_at(struct pg_link *link, const struct pg_schema *schema,
    unsigned timeout_ms, int64_t *at)
{
	char sql[SQL_MAX];
	int64_t there;
	ag_err err;

	*at = 0;
	snprintf(sql, sizeof(sql), "SELECT count(*) FROM pg_tables WHERE "
	    "schemaname = '%s' AND tablename = 'migration'", schema->name);
	if ((err = pg_number(link, sql, timeout_ms, &there)) != AG_OK ||
	    there == 0)
		return err;
	snprintf(sql, sizeof(sql), "SELECT coalesce(max(version), 0) "
	    "FROM %s.migration", schema->name);
	return pg_number(link, sql, timeout_ms, at);
}

static ag_err
migrate_from(struct pg_link *link, const struct pg_schema *schema,
    unsigned timeout_ms, int64_t at)
{
	char sql[SQL_MAX];
	ag_err err = AG_OK;

	if (at == 0) {
		snprintf(sql, sizeof(sql), "CREATE SCHEMA IF NOT EXISTS %s;"
		    "CREATE TABLE IF NOT EXISTS %s.migration (version int PRIMARY "
		    "KEY, applied_at timestamptz NOT NULL)", schema->name,
		    schema->name);
		err = pg_run(link, sql, timeout_ms, NULL);
	}
	for (; err == AG_OK && at < schema->version; at++) {
		if ((err = pg_run(link, schema->migrations[at], timeout_ms,
		        NULL)) != AG_OK)
			break;
		snprintf(sql, sizeof(sql), "INSERT INTO %s.migration VALUES "
		    "(%lld, now())", schema->name, (long long)at + 1);
		err = pg_run(link, sql, timeout_ms, NULL);
	}
	return err;
}

ag_err
pg_migrate(struct pg_link *link, const struct pg_schema *schema,
    unsigned timeout_ms)
{
	char sql[SQL_MAX];
	int64_t at;
	ag_err err = pg_schema_at(link, schema, timeout_ms, &at);

	if (err == AG_OK && at < schema->version) {
		snprintf(sql, sizeof(sql),
		    "BEGIN; SELECT pg_advisory_xact_lock(%lld)",
		    (long long)schema->lock);
		if ((err = pg_run(link, sql, timeout_ms, NULL)) == AG_OK &&
		    (err = pg_schema_at(link, schema, timeout_ms, &at)) == AG_OK &&
		    (err = migrate_from(link, schema, timeout_ms, at)) == AG_OK)
			err = pg_run(link, "COMMIT", timeout_ms, NULL);
	}
	if (err == AG_UNAVAILABLE && at < schema->version &&
	    strcmp(link->state, "42501") == 0)
		snprintf(link->said, sizeof(link->said), "schema %s is at version "
		    "%lld, this program needs %d, and this role may not bring it "
		    "there: its owner runs aegis init", schema->name,
		    (long long)at, schema->version);
	if (err != AG_OK || at <= schema->version)
		return err;
	strcpy(link->state, "AG004"); /* to come again is of no use */
	snprintf(link->said, sizeof(link->said), "schema %s is at version %lld, "
	    "newer than this program's %d", schema->name, (long long)at,
	    schema->version);
	return AG_UNAVAILABLE;
}
