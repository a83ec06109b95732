/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tail: what is new in PostgreSQL becomes part of this node's copy, in order,
 * whoever wrote it. There is no other way into the copy.
 */
#include "row.h"
#include "shared.h"

#include <string.h>

bool
pipeline_send(struct shared *s, const char *name, unsigned count,
    const char *const *values, bool binary)
{
	return PQsendQueryPrepared(s->link.conn, name, (int)count, values, NULL,
	    NULL, binary) == 1 && PQpipelineSync(s->link.conn) == 1;
}

/*
 * Up to the sync that ends the statement: that is where it commits. What the
 * server refuses there is not done; but when it says that it goes away (57P), it
 * may have been.
 */
static ag_err
to_sync(struct shared *s, uint64_t until_ms)
{
	ag_err good = AG_OK;

	for (;;) {
		PGresult *result;
		ag_err err = pg_result(&s->link, until_ms, &result);
		ExecStatusType status = PQresultStatus(result);

		if (err != AG_OK)
			return err;
		if (result == NULL && PQstatus(s->link.conn) == CONNECTION_BAD)
			return AG_IO;
		if (result != NULL && good == AG_OK)
			good = pg_good(&s->link, result);
		PQclear(result);
		if (good != AG_OK && (s->link.state[0] == '\0' ||
		    strncmp(s->link.state, "57P", 3) == 0))
			return AG_IO;
		if (result != NULL && status == PGRES_PIPELINE_SYNC)
			return good;
	}
}

ag_err
pipeline_result(struct shared *s, uint64_t until_ms, PGresult **out)
{
	ag_err good, err = pg_result(&s->link, until_ms, out);

	if (err != AG_OK)
		return err;
	good = *out == NULL ? AG_IO : pg_good(&s->link, *out);
	/* Said by the library, not by the server: the connection broke. */
	if (good == AG_UNAVAILABLE && s->link.state[0] == '\0')
		good = AG_IO;
	if (good == AG_OK)
		good = to_sync(s, until_ms);
	else if (good == AG_UNAVAILABLE && strncmp(s->link.state, "57P", 3) != 0 &&
	    (err = to_sync(s, until_ms)) != AG_OK && err != AG_UNAVAILABLE)
		s->link.state[0] = '\0'; /* refused, and then it hung up */
	if (good != AG_OK) {
		PQclear(*out);
		*out = NULL;
	}
	return good;
}

ag_err
tail_send(struct shared *s)
{
	char from[24];
	const char *const values[] = { from, s->node };

	snprintf(from, sizeof(from), "%llu", (unsigned long long)s->journal->head);
	return pipeline_send(s, "tail", 2, values, true) ? AG_OK : AG_IO;
}

static ag_err
take_row(struct shared *s, const PGresult *r, int row)
{
	Ag__JournalRecord record;
	bool own;

	row_record(r, row, &record, &own);
	if (record.seq != s->journal->head + 1) {
		/* The schema makes it impossible; a hand in the database may not. */
		ag_log(s->ctx, AG_ERROR, "JOURNAL-GAP", "after=%llu next=%llu",
		    (unsigned long long)s->journal->head,
		    (unsigned long long)record.seq);
		return AG_CORRUPT;
	}
	if (own && (record.seq < s->first || record.seq > s->last))
		record.has_unanswered = record.unanswered = true;
	return record_take(s->journal, s->ctx, &record);
}

ag_err
tail_receive(struct shared *s, uint64_t until_ms, int *rows)
{
	PGresult *result;
	ag_err err = pipeline_result(s, until_ms, &result);

	*rows = PQntuples(result);
	for (int i = 0; err == AG_OK && i < *rows; i++)
		if ((err = take_row(s, result, i)) != AG_OK &&
		    err != AG_CORRUPT)
			ag_panic("the journal's store does not write: %s",
			    ag_err_row(err)->name);
	PQclear(result);
	return err;
}

ag_err
tail_look(struct shared *s, unsigned pages, int *rows)
{
	ag_err err = AG_OK;

	*rows = 1;
	while (err == AG_OK && pages-- > 0 && *rows > 0) {
		if ((err = tail_send(s)) == AG_OK)
			err = tail_receive(s, pg_mono_ms() + s->server.timeout_ms,
			    rows);
	}
	return err;
}
