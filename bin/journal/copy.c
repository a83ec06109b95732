/* SPDX-License-Identifier: Apache-2.0 */
/*
 * copy: rows for PostgreSQL, in the binary format of COPY (its manual, "sql-copy",
 * Binary Format): a head, for each row the number of its columns, for each column
 * its length and bytes, and an end; big-endian.
 */
#include "move.h"

#include <string.h>

/* As lengths: -1. */
#define NULL_COLUMN UINT32_MAX
#define END_OF_ROWS UINT16_MAX

static void
flush(struct copy *c)
{
	struct pg_link *link = &c->move->link;

	if (c->err == AG_OK && c->len > 0 && PQputCopyData(link->conn,
	        (const char *)c->bytes, (int)c->len) != 1) {
		c->err = pg_good(link, NULL);
		c->err = move_wrong(c->move, AG_IO, "%s", link->said);
	}
	c->len = 0;
}

static void
put(struct copy *c, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;

	while (len > 0 && c->err == AG_OK) {
		size_t n = sizeof(c->bytes) - c->len;

		n = n < len ? n : len;
		memcpy(c->bytes + c->len, p, n);
		c->len += n;
		p += n;
		len -= n;
		if (c->len == sizeof(c->bytes))
			flush(c);
	}
}

static void
put_be(struct copy *c, unsigned size, uint64_t number)
{
	uint8_t bytes[8];

	put_u64(bytes, number);
	put(c, bytes + 8 - size, size);
}

void
copy_begin(struct copy *c, struct move *m, const char *table)
{
	static const uint8_t head[] = { 'P', 'G', 'C', 'O', 'P', 'Y', '\n', 0xff,
		'\r', '\n', 0, 0, 0, 0, 0, 0, 0, 0, 0 };
	PGresult *result = NULL;
	char sql[256];

	c->move = m;
	c->len = 0;
	snprintf(sql, sizeof(sql), "COPY aegis_journal.%s FROM STDIN "
	    "(FORMAT binary)", table);
	c->err = PQsendQuery(m->link.conn, sql) == 1 ? pg_result(&m->link,
	    pg_mono_ms() + m->timeout_ms, &result) : AG_IO;
	if (c->err == AG_OK && PQresultStatus(result) != PGRES_COPY_IN) {
		c->err = pg_good(&m->link, result) == AG_OK ? AG_IO :
		    AG_UNAVAILABLE;
		PQclear(result); /* and what ends the statement */
		(void)!pg_result(&m->link, pg_mono_ms() + m->timeout_ms, &result);
	}
	PQclear(result);
	if (c->err != AG_OK)
		c->err = move_wrong(m, c->err, "%s %s", m->link.state,
		    m->link.said);
	put(c, head, sizeof(head));
}

void
copy_row(struct copy *c, unsigned columns)
{
	put_be(c, 2, columns);
}

void
copy_number(struct copy *c, unsigned size, uint64_t number)
{
	put_be(c, 4, size);
	put_be(c, size, number);
}

void
copy_bytes(struct copy *c, const void *bytes, size_t len)
{
	put_be(c, 4, len);
	put(c, bytes, len);
}

void
copy_text(struct copy *c, const char *text)
{
	if (text == NULL)
		copy_null(c);
	else
		copy_bytes(c, text, strlen(text));
}

void
copy_null(struct copy *c)
{
	put_be(c, 4, NULL_COLUMN);
}

ag_err
copy_end(struct copy *c)
{
	struct move *m = c->move;
	PGresult *result;
	ag_err err = AG_OK;

	put_be(c, 2, END_OF_ROWS);
	flush(c);
	if (PQputCopyEnd(m->link.conn, c->err == AG_OK ? NULL :
	        "the rest does not come") != 1)
		return c->err != AG_OK ? c->err : move_wrong(m, AG_IO, "%s",
		    PQerrorMessage(m->link.conn));
	while ((err = pg_result(&m->link, pg_mono_ms() + m->timeout_ms,
	    &result)) == AG_OK && result != NULL) {
		if (c->err == AG_OK && pg_good(&m->link, result) != AG_OK)
			c->err = move_wrong(m, AG_UNAVAILABLE, "%s %s",
			    m->link.state, m->link.said);
		PQclear(result);
	}
	if (c->err == AG_OK && err != AG_OK)
		c->err = move_wrong(m, err, "%s", m->link.said);
	return c->err;
}
