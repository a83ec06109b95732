/* SPDX-License-Identifier: Apache-2.0 */
/*
 * there: the journal's tables in PostgreSQL, read page by page as one node sees
 * them.
 */
#include "move.h"

#include <row.h>

#include <stdlib.h>
#include <string.h>

static ag_err
find_schema(struct move *m, bool make)
{
	int64_t at;
	ag_err err = pg_schema_at(&m->link, &journal_schema, m->timeout_ms, &at);

	if (err != AG_OK || at == journal_schema.version)
		return err;
	if (at == 0 && make)
		return pg_migrate(&m->link, &journal_schema, m->timeout_ms);
	if (at == 0)
		return move_wrong(m, AG_CONFLICT, "the database has no journal");
	return move_wrong(m, AG_CONFLICT, "schema %s is at version %lld, this program's is %d: its owner runs "
	    "aegis init with the program that its nodes run", journal_schema.name,
	    (long long)at, journal_schema.version);
}

ag_err
there_connect(struct move *m, const struct pg_server *server, bool make)
{
	ag_err err = pg_connect(&m->link, server);

	if (err == AG_OK && (err = find_schema(m, make)) == AG_CONFLICT)
		return err;
	/* Statements here take as long as the journal is large. */
	if (err == AG_OK)
		err = pg_run(&m->link, "SET statement_timeout = 0",
		    server->timeout_ms, NULL);
	if (err == AG_OK && PQsetnonblocking(m->link.conn, 0) != 0)
		err = AG_IO;
	return err == AG_OK ? AG_OK : move_wrong(m, err, "%s%s%s", m->link.state,
	    m->link.state[0] == '\0' ? "" : " ", m->link.said);
}

ag_err
there_ask(struct move *m, const char *sql, unsigned count,
    const char *const *values, PGresult **out)
{
	uint64_t until_ms = pg_mono_ms() + m->timeout_ms;
	PGresult *result, *last = NULL;
	ag_err good = AG_OK, err = AG_IO;

	if (PQsendQueryParams(m->link.conn, sql, (int)count, NULL, values, NULL,
	        NULL, 1) == 1)
		while ((err = pg_result(&m->link, until_ms, &result)) == AG_OK &&
		    result != NULL) {
			if (good == AG_OK)
				good = pg_good(&m->link, result);
			PQclear(last);
			last = result;
		}
	if (err == AG_OK)
		err = good;
	if (err == AG_OK && out != NULL)
		*out = last;
	else
		PQclear(last);
	return err == AG_OK ? AG_OK : move_wrong(m, err, "%s%s%s", m->link.state,
	    m->link.state[0] == '\0' ? "" : " ", m->link.said);
}

/* ------------------------------------------------------------------- records */

/* sink: for each record, packed as it is kept here. */
typedef ag_err take_record(struct move *m, const Ag__JournalRecord *record,
    const void *packed, size_t len, void *arg);

static ag_err
pack_one(struct move *m, const PGresult *page, int row, uint64_t *at,
    take_record *take, void *arg)
{
	Ag__JournalRecord record;
	uint8_t *packed;
	size_t len;
	bool own;
	ag_err err;

	row_record(page, row, &record, &own);
	if (record.seq != *at + 1)
		return move_wrong(m, AG_CORRUPT, "the database has no record %llu",
		    (unsigned long long)*at + 1);
	*at = record.seq;
	len = ag__journal_record__get_packed_size(&record);
	if ((packed = malloc(len)) == NULL)
		return AG_NO_MEMORY;
	ag__journal_record__pack(&record, packed);
	err = take(m, &record, packed, len, arg);
	free(packed);
	move_went_by(m, *at);
	return err;
}

static ag_err
read_records(struct move *m, uint64_t at, take_record *take, void *arg)
{
	char from[24];
	const char *const values[] = { from, m->node };
	ag_err err = AG_OK;
	int rows = 1;

	while (err == AG_OK && rows > 0) {
		PGresult *page = NULL;

		snprintf(from, sizeof(from), "%llu", (unsigned long long)at);
		err = there_ask(m, "/* a page */ " ROW_PAGE, 2, values, &page);
		rows = PQntuples(page);
		for (int i = 0; err == AG_OK && i < rows; i++)
			err = pack_one(m, page, i, &at, take, arg);
		PQclear(page);
	}
	return err;
}

static ag_err
hash_record(struct move *m, const Ag__JournalRecord *record, const void *packed,
    size_t len, void *arg)
{
	(void)m;
	(void)record;
	move_hash_record(arg, packed, len);
	return AG_OK;
}

static ag_err
keep_record(struct move *m, const Ag__JournalRecord *record, const void *packed,
    size_t len, void *arg)
{
	(void)arg;
	return kept_record(record, packed, len, here_put, m);
}

/* ------------------------------------------------------------------- streams */

static ag_err
read_streams(struct move *m, struct move_hash *h)
{
	char after[STREAM_MAX + 1] = "";
	const char *const values[] = { after };
	ag_err err = AG_OK;
	int rows = 1;

	while (err == AG_OK && rows > 0) {
		PGresult *page = NULL;

		err = there_ask(m, "SELECT name, version FROM aegis_journal.stream"
		    " WHERE name > $1 COLLATE \"C\" ORDER BY name LIMIT 4096", 1,
		    values, &page);
		rows = PQntuples(page);
		for (int i = 0; err == AG_OK && i < rows; i++) {
			snprintf(after, sizeof(after), "%s",
			    PQgetvalue(page, i, 0));
			move_hash_stream(h, after, row_number(page, i, 1));
		}
		PQclear(page);
	}
	return err;
}

/* ------------------------------------------------------------------- answers */

typedef ag_err take_answer(struct move *m, const struct kept_answer *answer,
    void *arg);

static ag_err
one_answer(struct move *m, const PGresult *page, int row, take_answer *take,
    void *arg)
{
	ProtobufCBinaryData digest, body, reply;
	struct kept_answer answer = { .actor = PQgetvalue(page, row, 1),
		.at = row_number(page, row, 2) };
	uint8_t *value;
	ag_err err;

	if (!row_bytes(page, row, 0, &digest) || digest.len != IDEM_BYTES ||
	    !row_bytes(page, row, 3, &body) || body.len != 32 ||
	    !row_bytes(page, row, 5, &reply) || strlen(answer.actor) > ACTOR_MAX)
		return move_wrong(m, AG_CORRUPT, "a kept answer in the database");
	if ((value = malloc(IDEM_HEAD + reply.len)) == NULL)
		return AG_NO_MEMORY;
	kept_answer_head(value, answer.at, body.data,
	    (uint16_t)row_number(page, row, 4));
	memcpy(value + IDEM_HEAD, reply.data, reply.len);
	answer.digest = digest.data;
	answer.value = value;
	answer.len = IDEM_HEAD + reply.len;
	err = take(m, &answer, arg);
	free(value);
	return err;
}

static ag_err
read_answers(struct move *m, take_answer *take, void *arg)
{
	char after[2 * IDEM_BYTES + 3] = "\\x";
	const char *const values[] = { after };
	ag_err err = AG_OK;
	int rows = 1;

	while (err == AG_OK && rows > 0) {
		PGresult *page = NULL;

		err = there_ask(m, "SELECT digest, actor, at, body, reply_type,"
		    " reply FROM aegis_journal.idem WHERE digest > $1::bytea"
		    " ORDER BY digest LIMIT 32", 1, values, &page);
		rows = PQntuples(page);
		for (int i = 0; err == AG_OK && i < rows; i++)
			err = one_answer(m, page, i, take, arg);
		if (err == AG_OK && rows > 0)
			ag_hex((const uint8_t *)PQgetvalue(page, rows - 1, 0),
			    IDEM_BYTES, after + 2);
		PQclear(page);
	}
	return err;
}

static ag_err
hash_answer(struct move *m, const struct kept_answer *answer, void *arg)
{
	(void)m;
	move_hash_answer(arg, answer);
	return AG_OK;
}

static ag_err
keep_answer(struct move *m, const struct kept_answer *answer, void *arg)
{
	const uint8_t *value;
	uint8_t number[8];
	uint64_t count = 0;
	struct key key;
	size_t len;
	ag_err err;

	(void)arg;
	key_text(&key, '#', answer->actor);
	err = ag_db_get(m->db, IDEM_BY_ACTOR, key.bytes, key.len, &value, &len);
	if (err == AG_OK && len == 8)
		count = get_u64(value);
	else if (err != AG_ITEM_NOT_FOUND)
		return move_wrong(m, AG_CORRUPT, "how many answers one has");
	put_u64(number, count + 1);
	err = here_put(m, IDEM_BY_ACTOR, &key, number, sizeof(number));
	return err == AG_OK ? kept_answer(answer, here_put, m) : err;
}

/* --------------------------------------------------------------- all of it */

ag_err
there_sum(struct move *m, struct move_sum *sum)
{
	struct move_hash h;
	ag_err err, ended;

	move_hash_begin(&h, sum);
	if ((err = read_records(m, 0, hash_record, &h)) == AG_OK &&
	    (err = read_streams(m, &h)) == AG_OK)
		err = read_answers(m, hash_answer, &h);
	ended = move_hash_end(&h);
	return err == AG_OK ? ended : err;
}

ag_err
there_fetch(struct move *m, uint64_t from)
{
	ag_err err = read_records(m, from, keep_record, NULL);

	return err == AG_OK ? read_answers(m, keep_answer, NULL) : err;
}
