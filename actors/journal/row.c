/* SPDX-License-Identifier: Apache-2.0 */
/*
 * row: a record out of a row of ROW_PAGE.
 */
#include "row.h"

enum {
	T_SEQ, T_STREAM, T_VERSION, T_TYPE, T_FACT, T_AT, T_TENANT, T_ACTOR,
	T_REQUEST, T_AUTHOR, T_OUTCOME, T_PREV, T_OWN
};

uint64_t
row_number(const PGresult *r, int row, int column)
{
	const uint8_t *p = (const uint8_t *)PQgetvalue(r, row, column);
	uint64_t v = 0;

	for (int i = 0; i < PQgetlength(r, row, column); i++)
		v = v << 8 | p[i];
	return v;
}

bool
row_bytes(const PGresult *r, int row, int column, ProtobufCBinaryData *out)
{
	if (PQgetisnull(r, row, column))
		return false;
	out->data = (uint8_t *)PQgetvalue(r, row, column);
	out->len = (size_t)PQgetlength(r, row, column);
	return true;
}

void
row_record(const PGresult *r, int row, Ag__JournalRecord *out, bool *own)
{
	ag__journal_record__init(out);
	out->seq = row_number(r, row, T_SEQ);
	out->stream = PQgetvalue(r, row, T_STREAM);
	out->version = row_number(r, row, T_VERSION);
	out->type = (uint32_t)row_number(r, row, T_TYPE);
	(void)row_bytes(r, row, T_FACT, &out->event); /* never null */
	out->committed_at = (int64_t)row_number(r, row, T_AT);
	out->tenant = PQgetvalue(r, row, T_TENANT);
	if (!PQgetisnull(r, row, T_ACTOR))
		out->actor_id = PQgetvalue(r, row, T_ACTOR);
	out->has_request_id = row_bytes(r, row, T_REQUEST, &out->request_id);
	out->author = PQgetvalue(r, row, T_AUTHOR);
	out->has_outcome = row_bytes(r, row, T_OUTCOME, &out->outcome);
	out->has_prev_outcome = out->has_outcome && !PQgetisnull(r, row, T_PREV);
	out->prev_outcome = row_number(r, row, T_PREV);
	*own = PQgetvalue(r, row, T_OWN)[0] != 0;
}
