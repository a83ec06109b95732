/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session: the connection to PostgreSQL. It is made without waiting, made again
 * when it is lost, and of use only when this node's copy has all that was
 * committed when it was made.
 */
#include "row.h"
#include "shared.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static const char prepare[] =
	"LISTEN aegis_journal;"
	"PREPARE append (text, bigint, bigint, int[], text[], text[], text[],"
	" bytea[], bytea[], bytea[], bytea[], int[], bytea[], text[], bigint[],"
	" int[], bytea[], boolean[]) AS SELECT * FROM aegis_journal.append("
	"$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,"
	" $17, $18);"
	"PREPARE tail (bigint, text) AS " ROW_PAGE ";"
	"PREPARE hear (text, bigint) AS SELECT aegis_journal.hear($1, $2);"
	"PREPARE lookup (bytea[], bigint) AS SELECT digest, body, reply_type,"
	" reply FROM aegis_journal.idem WHERE digest = ANY ($1)"
	" AND at > $2 - 86400000;"
	"PREPARE purge (bigint) AS SELECT aegis_journal.purge($1)";

static void step(struct shared *s);

/* -------------------------------------------------------------------- losing */

static void
forget(struct shared *s)
{
	if (s->readable != NULL)
		event_free(s->readable);
	s->readable = NULL;
	pg_close(&s->link);
	s->state = AWAY;
}

/* The next host is called at once, the first one again after a while. */
static void
pause(struct shared *s, bool all_called)
{
	s->call_at_ms = ag_mono_ms(s->ctx);
	if (!all_called)
		return;
	s->pause_ms = s->pause_ms == 0 ? PAUSE_MIN_MS : s->pause_ms * 2;
	if (s->pause_ms > PAUSE_MAX_MS)
		s->pause_ms = PAUSE_MAX_MS;
	s->call_at_ms += s->pause_ms;
}

void
session_away(struct shared *s)
{
	const char *why = s->link.said[0] != '\0' ? s->link.said : "no answer";
	unsigned host = pg_host(&s->link, &s->server);
	char detail[64];

	forget(s);
	pause(s, host + 1 == s->server.host_count);
	/* Another reason is news: the one of a start may hide what is wrong. */
	if (s->away && strcmp(s->why[host], why) == 0)
		return;
	if (!s->away)
		ag_metric_add(s->ctx, M_AWAY, 1);
	s->away = true;
	snprintf(s->why[host], sizeof(s->why[host]), "%s", why);
	ag_log(s->ctx, AG_WARN, "JOURNAL-AWAY", "%s%s%s", s->link.state,
	    s->link.state[0] == '\0' ? "" : " ", why);
	ag_note_error(s->ctx, why);
	snprintf(detail, sizeof(detail), "database: %.50s", why);
	if (s->journal->whole)
		ag_set_degraded(s->ctx, detail);
	else
		ag_set_ready(s->ctx, false, detail);
}

void
session_refused(struct shared *s)
{
	/* It ends the session, is a replica now, or we are not who we were. */
	static const char *const over[] = { "57P", "08", "25006", "AG001" };

	if (strcmp(s->link.state, "AG001") == 0) {
		ag_log(s->ctx, AG_ERROR, "JOURNAL-FENCED", "node=%s why=another "
		    "process has this state directory's name", s->node);
		ag_stop(s->ctx, 1);
	}
	for (size_t i = 0; i < sizeof(over) / sizeof(over[0]); i++)
		if (s->link.state[0] == '\0' || strncmp(s->link.state, over[i], strlen(over[i])) == 0) {
			session_away(s);
			return;
		}
	ag_log(s->ctx, AG_WARN, "JOURNAL-REFUSED", "%s %s", s->link.state,
	    s->link.said);
}

/* ------------------------------------------------------------------- finding */

/* What this state directory has must be the beginning of what is there. */
static ag_err
recognize(struct shared *s, const char *id, uint64_t seq)
{
	const char *why = NULL;
	char of[64];
	ag_err err = records_word(s->ctx, WORD_SHARED, of);

	if (err != AG_OK)
		return err;
	if (of[0] == '\0' && s->journal->head > 0)
		why = "this state directory has a journal of its own; aegis "
		    "journal migrate --to postgres moves it";
	else if (of[0] != '\0' && strcmp(of, id) != 0)
		why = "this state directory has a copy of another journal";
	else if (seq < s->journal->head)
		why = "the database is older than this node's copy of it";
	if (why != NULL) {
		ag_log(s->ctx, AG_ERROR, "JOURNAL-OTHER", "id=%s seq=%llu "
		    "have=%s head=%llu why=%s", id, (unsigned long long)seq, of,
		    (unsigned long long)s->journal->head, why);
		ag_stop(s->ctx, 2);
		return AG_USAGE;
	}
	return of[0] != '\0' ? AG_OK : records_say(s->ctx, WORD_SHARED, id);
}

static ag_err
enter(struct shared *s)
{
	PGresult *result = NULL;
	char sql[160];
	ag_err err;

	snprintf(sql, sizeof(sql), "SELECT o_id, o_seq, o_epoch FROM "
	    "aegis_journal.enter('%s')", s->node);
	s->entered_ms = ag_mono_ms(s->ctx);
	if ((err = pg_run(&s->link, sql, s->server.timeout_ms, &result)) != AG_OK) {
		if (strcmp(s->link.state, "AG003") == 0) {
			ag_log(s->ctx, AG_ERROR, "JOURNAL-MOVED", "why=%s; this "
			    "node's part in it has ended", s->link.said);
			ag_stop(s->ctx, 2);
		}
		return err;
	}
	if (PQntuples(result) != 1 || strlen(PQgetvalue(result, 0, 0)) > 63) {
		err = AG_IO;
	} else {
		s->filling = true;
		s->fill_to = strtoull(PQgetvalue(result, 0, 1), NULL, 10);
		snprintf(s->epoch, sizeof(s->epoch), "%s",
		    PQgetvalue(result, 0, 2));
		err = recognize(s, PQgetvalue(result, 0, 0), s->fill_to);
	}
	PQclear(result);
	return err;
}

/* Somebody appended: told at once, wherever it was. */
static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct shared *s = arg;
	bool news = false;
	PGnotify *n;
	int rows;
	ag_err err;

	(void)fd;
	(void)what;
	if (PQconsumeInput(s->link.conn) != 1) {
		err = pg_good(&s->link, NULL);
		if (err != AG_OK)
			session_away(s);
		return;
	}
	while ((n = PQnotifies(s->link.conn)) != NULL) {
		news = news || strtoull(n->extra, NULL, 10) > s->journal->head;
		PQfreemem(n);
	}
	if (!news || !s->journal->whole)
		return;
	if ((err = tail_look(s, 1, &rows)) == AG_UNAVAILABLE)
		session_refused(s);
	else if (err != AG_OK)
		session_away(s);
}

static ag_err
begin(struct shared *s)
{
	struct event_base *base = ag_event_base(s->ctx);
	unsigned timeout_ms = s->server.timeout_ms;
	ag_err err;

	if ((err = pg_migrate(&s->link, &journal_schema, timeout_ms)) != AG_OK ||
	    (err = enter(s)) != AG_OK ||
	    (err = pg_run(&s->link, prepare, timeout_ms, NULL)) != AG_OK)
		return err;
	if (PQenterPipelineMode(s->link.conn) != 1)
		return AG_IO;
	if (base != NULL) { /* the kit has none: its tick is enough */
		s->readable = event_new(base, PQsocket(s->link.conn),
		    EV_READ | EV_PERSIST, on_readable, s);
		if (s->readable == NULL || event_add(s->readable, NULL) != 0)
			return AG_NO_MEMORY;
	}
	s->state = THERE;
	return AG_OK;
}

/* --------------------------------------------------------------------- steps */

static ag_err
then_step(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct journal *j = state;

	(void)ctx;
	(void)status;
	(void)msg;
	(void)memo;
	j->shared->planned = false;
	step(j->shared);
	return AG_OK;
}

static void
call(struct shared *s)
{
	s->give_up_ms = ag_mono_ms(s->ctx) + s->server.timeout_ms;
	if (pg_begin(&s->link, &s->server) == AG_OK)
		s->state = CALLING;
	else
		session_away(s);
}

static void
call_on(struct shared *s)
{
	ag_err err = pg_step(&s->link, ag_event_base(s->ctx) == NULL ? 1000 : 0);

	if (err == AG_OK)
		err = begin(s);
	if (err == AG_PENDING && ag_mono_ms(s->ctx) > s->give_up_ms) {
		snprintf(s->link.said, sizeof(s->link.said),
		    "no connection in %u ms", s->server.timeout_ms);
		s->link.state[0] = '\0';
		err = AG_TIMEOUT;
	}
	if (err != AG_OK && err != AG_PENDING)
		session_away(s);
}

static void
fill(struct shared *s)
{
	struct journal *j = s->journal;
	int rows;
	ag_err err = j->head >= s->fill_to ? AG_OK : tail_look(s, 1, &rows);

	if (err != AG_OK) {
		session_away(s);
		return;
	}
	if (j->head < s->fill_to)
		return;
	if (s->away || !j->whole)
		ag_log(s->ctx, AG_INFO, "JOURNAL-THERE", "head=%llu node=%s",
		    (unsigned long long)j->head, s->node);
	s->pause_ms = 0;
	s->away = false;
	memset(s->why, 0, sizeof(s->why));
	s->filling = false;
	s->heard_ms = s->entered_ms;
	j->whole = true;
	ag_set_ready(s->ctx, true, NULL);
	ag_set_degraded(s->ctx, NULL);
}

static void
step(struct shared *s)
{
	unsigned delay_ms;

	if (s->state == AWAY && ag_mono_ms(s->ctx) >= s->call_at_ms)
		call(s);
	else if (s->state == CALLING)
		call_on(s);
	else if (s->state == THERE && s->filling)
		fill(s);
	if (s->planned || s->state == AWAY ||
	    (s->state == THERE && !s->filling))
		return;
	delay_ms = s->state == CALLING ? STEP_MS : 1;
	s->planned = ag_after(s->ctx, delay_ms, then_step, NULL, 0) == AG_PENDING;
}

/* Also a look at whether the connection still is one. */
static void
on_tick(void *state, struct ag_ctx *ctx)
{
	struct journal *j = state;
	struct shared *s = j->shared;
	ag_err err;

	(void)ctx;
	if (s->state != THERE || s->filling)
		step(s);
	else if ((err = lease_hear(s)) == AG_UNAVAILABLE)
		session_refused(s);
	else if (err != AG_OK)
		session_away(s);
	lease_look(s);
}

/* ------------------------------------------------------------- configuration */

static ag_err
node_name(struct shared *s)
{
	uint8_t random[8];
	ag_err err = records_word(s->ctx, WORD_NODE, s->node);

	if (err != AG_OK || s->node[0] != '\0')
		return err;
	randombytes_buf(random, sizeof(random));
	ag_hex(random, sizeof(random), s->node);
	return records_say(s->ctx, WORD_NODE, s->node);
}

static const char *
path_of(struct shared *s, const char *key)
{
	return ag_state_path(s->ctx, ag_config_str(s->ctx, key, 0));
}

static ag_err
settings(struct shared *s)
{
	const char *password = path_of(s, "journal.postgres.password_file");
	const char *why;

	s->server.timeout_ms = (unsigned)ag_config_int(s->ctx,
	    "journal.postgres.timeout_ms");
	why = pg_server_set(&s->server, ag_config_str(s->ctx,
	    "journal.postgres.url", 0), path_of(s, "journal.postgres.ca_file"));
	if (why == NULL && password != NULL)
		why = ag_secret_read(password, &s->server.password);
	if (why == NULL)
		return AG_OK;
	ag_log(s->ctx, AG_ERROR, "JOURNAL-SETTINGS", "why=%s", why);
	return AG_USAGE;
}

ag_err
session_open(struct shared *s)
{
	ag_err err;

	s->heard_ms = ag_mono_ms(s->ctx);
	if ((err = settings(s)) != AG_OK || (err = node_name(s)) != AG_OK)
		return err;
	call(s);
	step(s);
	return ag_every(s->ctx, TICK_EVERY_MS, on_tick);
}

void
session_close(struct shared *s)
{
	forget(s);
	ag_secret_free(&s->server.password);
}
