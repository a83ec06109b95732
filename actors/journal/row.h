/* SPDX-License-Identifier: Apache-2.0 */
/*
 * row: a record as PostgreSQL has it. Read by a node's process and by
 * `aegis journal migrate`.
 */
#ifndef AEGIS_JOURNAL_ROW_H
#define AEGIS_JOURNAL_ROW_H

#include <aegis.pb-c.h>
#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A page of records after $1, as node $2 sees them: as many as fit into about a
 * MiB, and at least one. Its result is read in binary. */
#define ROW_PAGE \
	"SELECT seq, stream, version, type, fact, committed_at, tenant, actor_id," \
	" request_id, CASE WHEN node = $2 THEN author" \
	" ELSE node || '/' || author END," \
	" CASE WHEN node = $2 THEN outcome END, prev_outcome, node = $2" \
	" FROM (SELECT *, sum(length(fact) + coalesce(length(outcome), 0))" \
	" OVER (ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)" \
	" AS before FROM (SELECT * FROM aegis_journal.event WHERE seq > $1" \
	" ORDER BY seq LIMIT 1024) AS page) AS sized" \
	" WHERE coalesce(before, 0) < 1048576 ORDER BY seq"

/* Big-endian, of up to eight bytes. */
uint64_t row_number(const PGresult *r, int row, int column);
/* False: null. What out points to is the result's. */
bool row_bytes(const PGresult *r, int row, int column, ProtobufCBinaryData *out);
/* A row of ROW_PAGE; what out points to is the result's. own: this node wrote it. */
void row_record(const PGresult *r, int row, Ag__JournalRecord *out, bool *own);

#endif
