/* SPDX-License-Identifier: Apache-2.0 */
/*
 * move: the two directions, and what makes two journals the same.
 */
#include "move.h"

#include <row.h>

#include <sodium.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAP_BYTES ((size_t)1 << 36) /* of address space, as the fleet's */
#define LIVE_S "10" /* a node that runs is heard of four times a second */
enum { SHOW_EVERY = 4096 };

ag_err
move_wrong(struct move *m, ag_err err, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(m->why, sizeof(m->why), fmt, args);
	va_end(args);
	return err;
}

void
move_went_by(struct move *m, uint64_t records)
{
	if (m->moved != NULL && records % SHOW_EVERY == 0)
		m->moved(m->moved_arg, records);
}

/* ---------------------------------------------------------------- the hash */

static void
add(struct move_hash *h, const void *bytes, size_t len)
{
	if (h->ctx != NULL && EVP_DigestUpdate(h->ctx, bytes, len) != 1) {
		EVP_MD_CTX_free(h->ctx);
		h->ctx = NULL;
	}
}

static void
add_number(struct move_hash *h, unsigned size, uint64_t number)
{
	uint8_t bytes[8];

	put_u64(bytes, number);
	add(h, bytes + 8 - size, size);
}

void
move_hash_begin(struct move_hash *h, struct move_sum *sum)
{
	memset(sum, 0, sizeof(*sum));
	h->sum = sum;
	h->ctx = EVP_MD_CTX_new();
	if (h->ctx != NULL && EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL) != 1) {
		EVP_MD_CTX_free(h->ctx);
		h->ctx = NULL;
	}
}

void
move_hash_record(struct move_hash *h, const void *packed, size_t len)
{
	add(h, "R", 1);
	add_number(h, 4, len);
	add(h, packed, len);
	h->sum->records++;
}

void
move_hash_stream(struct move_hash *h, const char *name, uint64_t version)
{
	add(h, "S", 1);
	add(h, name, strlen(name) + 1);
	add_number(h, 8, version);
	h->sum->streams++;
}

void
move_hash_answer(struct move_hash *h, const struct kept_answer *answer)
{
	add(h, "A", 1);
	add(h, answer->digest, IDEM_BYTES);
	add(h, answer->value, IDEM_HEAD);
	add(h, answer->actor, strlen(answer->actor) + 1);
	add_number(h, 4, answer->len - IDEM_HEAD);
	add(h, answer->value + IDEM_HEAD, answer->len - IDEM_HEAD);
	h->sum->answers++;
}

ag_err
move_hash_end(struct move_hash *h)
{
	unsigned n = 0;
	bool ok = h->ctx != NULL &&
	    EVP_DigestFinal_ex(h->ctx, h->sum->hash, &n) == 1;

	EVP_MD_CTX_free(h->ctx);
	return ok ? AG_OK : AG_GENERAL_FAILURE;
}

bool
move_same(const struct move_sum *a, const struct move_sum *b)
{
	return a->records == b->records &&
	    memcmp(a->hash, b->hash, sizeof(a->hash)) == 0;
}

static ag_err
compare(struct move *m, const struct move_sum *there)
{
	if (move_same(&m->sum, there))
		return AG_OK;
	return move_wrong(m, AG_CORRUPT, "what arrived is not what went: %llu "
	    "records, %llu streams, %llu answers here; %llu, %llu, %llu there",
	    (unsigned long long)m->sum.records,
	    (unsigned long long)m->sum.streams,
	    (unsigned long long)m->sum.answers,
	    (unsigned long long)there->records,
	    (unsigned long long)there->streams,
	    (unsigned long long)there->answers);
}

/* ----------------------------------------------------------------- opening */

static ag_err
open_here(struct move *m, const char *state_dir)
{
	char dir[4096], data[4096 + 16];
	ag_err err;

	if (snprintf(dir, sizeof(dir), "%s/journal", state_dir) >=
	    (int)sizeof(dir))
		return move_wrong(m, AG_CONFLICT, "too long a path");
	snprintf(data, sizeof(data), "%s/data.mdb", dir);
	if (access(data, F_OK) != 0)
		return move_wrong(m, AG_ITEM_NOT_FOUND, "%s: there is no journal",
		    dir);
	err = ag_db_open(dir, journal_tables, MAP_BYTES, &m->db);
	return err == AG_OK ? AG_OK : move_wrong(m, err, "%s: cannot be opened: "
	    "%s", dir, ag_err_row(err)->name);
}

/* What the database says of itself; its row stays locked until the end. */
struct head {
	char id[64], moved[64], node[64];
	uint64_t seq, nodes, entered;
};

static ag_err
look_there(struct move *m, struct head *head)
{
	PGresult *r = NULL;
	ag_err err = there_ask(m, "BEGIN", 0, NULL, NULL);

	memset(head, 0, sizeof(*head));
	if (err == AG_OK)
		err = there_ask(m, "SELECT id, seq, coalesce(moved, ''),"
		    " (SELECT count(*) FROM aegis_journal.node),"
		    " (SELECT coalesce(min(id), '') FROM aegis_journal.node),"
		    " (SELECT count(heard_at) FROM aegis_journal.node)"
		    " FROM aegis_journal.head FOR UPDATE", 0, NULL, &r);
	if (err == AG_OK && PQntuples(r) != 1)
		err = move_wrong(m, AG_CORRUPT, "aegis_journal.head is empty");
	if (err == AG_OK) {
		snprintf(head->id, sizeof(head->id), "%s", PQgetvalue(r, 0, 0));
		head->seq = row_number(r, 0, 1);
		snprintf(head->moved, sizeof(head->moved), "%s",
		    PQgetvalue(r, 0, 2));
		head->nodes = row_number(r, 0, 3);
		snprintf(head->node, sizeof(head->node), "%s",
		    PQgetvalue(r, 0, 4));
		head->entered = row_number(r, 0, 5);
		snprintf(m->id, sizeof(m->id), "%s", head->id);
	}
	PQclear(r);
	if (err == AG_UNAVAILABLE && strcmp(m->link.state, "42501") == 0)
		return move_wrong(m, AG_CONFLICT, "this role may not write to "
		    "schema aegis_journal; its owner moves a journal");
	return err;
}

/* -------------------------------------------------------------- to PostgreSQL */

struct sending {
	struct move *move;
	struct copy *copy;
};

static ag_err
send_record(void *arg, const Ag__JournalRecord *record)
{
	struct sending *s = arg;
	struct copy *c = s->copy;
	const char *slash = strchr(record->author, '/');

	copy_row(c, 13);
	copy_number(c, 8, record->seq);
	copy_text(c, record->stream);
	copy_number(c, 8, record->version);
	copy_number(c, 4, record->type);
	copy_bytes(c, record->event.data, record->event.len);
	copy_number(c, 8, (uint64_t)record->committed_at);
	copy_text(c, record->tenant);
	copy_text(c, record->actor_id);
	if (record->has_request_id)
		copy_bytes(c, record->request_id.data, record->request_id.len);
	else
		copy_null(c);
	/* Who was called "node/row" here wrote it on another node. */
	if (slash == NULL)
		copy_text(c, s->move->node);
	else
		copy_bytes(c, record->author, (size_t)(slash - record->author));
	copy_text(c, slash == NULL ? record->author : slash + 1);
	if (record->has_outcome)
		copy_bytes(c, record->outcome.data, record->outcome.len);
	else
		copy_null(c);
	if (record->has_prev_outcome)
		copy_number(c, 8, record->prev_outcome);
	else
		copy_null(c);
	return c->err;
}

static ag_err
send_stream(void *arg, const char *name, uint64_t version)
{
	struct sending *s = arg;
	bool ended;
	ag_err err = here_ended(s->move, name, version, &ended);

	if (err != AG_OK)
		return err;
	copy_row(s->copy, 3);
	copy_text(s->copy, name);
	copy_number(s->copy, 8, version);
	copy_number(s->copy, 1, ended);
	return s->copy->err;
}

static ag_err
send_author(void *arg, const char *name, uint64_t outcome)
{
	struct sending *s = arg;

	copy_row(s->copy, 3);
	copy_text(s->copy, s->move->node);
	copy_text(s->copy, name);
	copy_number(s->copy, 8, outcome);
	return s->copy->err;
}

static ag_err
send_answer(void *arg, const struct kept_answer *answer)
{
	struct copy *c = ((struct sending *)arg)->copy;
	const uint8_t *v = answer->value;

	copy_row(c, 6);
	copy_bytes(c, answer->digest, IDEM_BYTES);
	copy_text(c, answer->actor);
	copy_number(c, 8, answer->at);
	copy_bytes(c, v + 8, 32);
	copy_number(c, 4, (uint64_t)v[40] << 8 | v[41]);
	copy_bytes(c, v + IDEM_HEAD, answer->len - IDEM_HEAD);
	return c->err;
}

static ag_err
send_authors(struct move *m, const struct here_visitor *v, struct move_hash *h)
{
	(void)h; /* their numbers follow from the records */
	return here_authors(m, v);
}

/* Every table, while the hash of what is read here is made. */
static ag_err
send_all(struct move *m)
{
	static struct copy copy; /* large */
	struct sending s = { .move = m, .copy = &copy };
	const struct {
		const char *table;
		ag_err (*read)(struct move *, const struct here_visitor *,
		    struct move_hash *);
		struct here_visitor visitor;
	} rows[] = {
		{ "event (seq, stream, version, type, fact, committed_at, tenant,"
		  " actor_id, request_id, node, author, outcome, prev_outcome)",
		    here_records, { .record = send_record, .arg = &s } },
		{ "stream (name, version, ended)", here_streams,
		    { .stream = send_stream, .arg = &s } },
		{ "idem (digest, actor, at, body, reply_type, reply)",
		    here_answers, { .answer = send_answer, .arg = &s } },
		{ "author (node, name, outcome)", send_authors,
		    { .author = send_author, .arg = &s } },
	};
	struct move_hash h;
	ag_err err = AG_OK, ended;

	move_hash_begin(&h, &m->sum);
	for (size_t i = 0; err == AG_OK && i < sizeof(rows) / sizeof(rows[0]); i++) {
		copy_begin(&copy, m, rows[i].table);
		err = copy.err == AG_OK ? rows[i].read(m, &rows[i].visitor, &h) :
		    copy.err;
		if (err != AG_OK && copy.err == AG_OK)
			copy.err = err;
		if ((ended = copy_end(&copy)) != AG_OK && err == AG_OK)
			err = ended;
	}
	ended = move_hash_end(&h);
	return err == AG_OK ? ended : err;
}

static ag_err
fill_there(struct move *m)
{
	char seq[24];
	const char *const node[] = { m->node }, *const head[] = { seq };
	struct move_sum there;
	ag_err err = send_all(m);

	snprintf(seq, sizeof(seq), "%llu", (unsigned long long)m->sum.records);
	if (err != AG_OK || (err = there_ask(m, "INSERT INTO aegis_journal.node "
	    "VALUES ($1, 1)", 1, node, NULL)) != AG_OK ||
	    (err = there_ask(m, "UPDATE aegis_journal.head SET seq = "
	    "$1::bigint", 1, head, NULL)) != AG_OK ||
	    (err = there_sum(m, &there)) != AG_OK ||
	    (err = compare(m, &there)) != AG_OK)
		return err;
	return there_ask(m, "COMMIT", 0, NULL, NULL);
}

/* Somebody's journal, unless it is this one: then a crash came between. */
static ag_err
recognize_there(struct move *m, const struct head *head)
{
	struct move_sum there;
	ag_err err;

	if (head->moved[0] != '\0')
		return move_wrong(m, AG_CONFLICT, "the journal %s there was moved to "
		    "the state directory of node %s; a new one needs another "
		    "database, or schema aegis_journal dropped", head->id,
		    head->moved);
	if (head->nodes != 1 || head->entered != 0 || head->seq == 0)
		return move_wrong(m, AG_CONFLICT, "the database is not empty: its "
		    "journal %s has %llu records and %llu nodes", head->id,
		    (unsigned long long)head->seq,
		    (unsigned long long)head->nodes);
	snprintf(m->node, sizeof(m->node), "%s", head->node);
	if ((err = here_sum(m, &m->sum)) != AG_OK ||
	    (err = there_sum(m, &there)) != AG_OK)
		return err;
	if (!move_same(&m->sum, &there))
		return move_wrong(m, AG_CONFLICT, "the database is not empty: its "
		    "journal %s has %llu records, which are not those here",
		    head->id, (unsigned long long)head->seq);
	m->resumed = true;
	return there_ask(m, "COMMIT", 0, NULL, NULL);
}

static void
name_node(struct move *m)
{
	uint8_t random[8];

	randombytes_buf(random, sizeof(random));
	ag_hex(random, sizeof(random), m->node);
}

/* Here is this node's copy of it from now on. */
static ag_err
become_copy(struct move *m)
{
	ag_err err;

	if ((err = here_clear(m)) != AG_OK ||
	    (err = here_say(m, WORD_SHARED, m->id)) != AG_OK ||
	    (err = here_say(m, WORD_NODE, m->node)) != AG_OK)
		return err;
	err = ag_db_commit(m->db);
	return err == AG_OK ? AG_OK : move_wrong(m, err, "journal/ in the state "
	    "directory cannot be written: %s; the database has all of it: make "
	    "room and type this again", ag_err_row(err)->name);
}

ag_err
move_there(struct move *m, const char *state_dir, const struct pg_server *server)
{
	struct head head;
	char of[64];
	ag_err err = open_here(m, state_dir);

	if (err == AG_OK)
		err = here_word(m, WORD_SHARED, of);
	if (err == AG_OK && of[0] != '\0')
		return move_wrong(m, AG_CONFLICT, "this state directory has a copy of "
		    "the journal %s in PostgreSQL already", of);
	if (err != AG_OK || (err = there_connect(m, server, true)) != AG_OK ||
	    (err = look_there(m, &head)) != AG_OK)
		return err;
	if (head.seq > 0 || head.nodes > 0 || head.moved[0] != '\0') {
		err = recognize_there(m, &head);
	} else {
		name_node(m);
		err = fill_there(m);
	}
	return err == AG_OK ? become_copy(m) : err;
}

/* ------------------------------------------------------------ and back again */

/* It must be the journal that this node has a copy of, and nobody else's now. */
static ag_err
check_back(struct move *m, const struct head *head, const char *of)
{
	const char *const values[] = { m->node };
	uint64_t here;
	PGresult *r = NULL;
	ag_err err = here_head(m, &here);

	if (err != AG_OK)
		return err;
	if (strcmp(head->id, of) != 0)
		return move_wrong(m, AG_CONFLICT, "this state directory has a copy "
		    "of the journal %s; the database has %s", of, head->id);
	if (here > head->seq)
		return move_wrong(m, AG_CONFLICT, "the database ends at record %llu, "
		    "this node's copy at %llu: it was restored from before",
		    (unsigned long long)head->seq, (unsigned long long)here);
	if (head->moved[0] != '\0' && strcmp(head->moved, m->node) != 0)
		return move_wrong(m, AG_CONFLICT, "the journal was moved to the "
		    "state directory of node %s", head->moved);
	m->resumed = head->moved[0] != '\0';
	err = there_ask(m, "SELECT id, (1000 * extract(epoch FROM "
	    "clock_timestamp() - heard_at))::bigint FROM aegis_journal.node "
	    "WHERE id <> $1 AND heard_at > clock_timestamp() - interval '"
	    LIVE_S " s' ORDER BY heard_at DESC LIMIT 1", 1, values, &r);
	if (err == AG_OK && PQntuples(r) > 0)
		err = move_wrong(m, AG_CONFLICT, "node %s uses it (heard of %llu ms "
		    "ago); stop it, and try again " LIVE_S " s later",
		    PQgetvalue(r, 0, 0),
		    (unsigned long long)row_number(r, 0, 1));
	PQclear(r);
	return err;
}

static ag_err
fill_here(struct move *m)
{
	struct move_sum there;
	struct key key;
	uint8_t value[8];
	uint64_t head;
	ag_err err;

	if ((err = here_head(m, &head)) != AG_OK ||
	    (err = here_clear(m)) != AG_OK ||
	    (err = there_fetch(m, head)) != AG_OK ||
	    (err = there_sum(m, &there)) != AG_OK)
		return err;
	key_text(&key, 'h', "");
	if ((err = here_put(m, STREAMS, &key, value, put_u64(value,
	        there.records))) != AG_OK ||
	    (err = here_number_authors(m)) != AG_OK ||
	    (err = here_sum(m, &m->sum)) != AG_OK)
		return err;
	return compare(m, &there);
}

/* From here on no node goes on with what is there. */
static ag_err
end_there(struct move *m)
{
	const char *const values[] = { m->node };
	ag_err err;

	if ((err = there_ask(m, "UPDATE aegis_journal.head SET moved = $1, entries "
	    "= entries + 1", 1, values, NULL)) != AG_OK ||
	    (err = there_ask(m, "UPDATE aegis_journal.node SET epoch = epoch + 1",
	    0, NULL, NULL)) != AG_OK)
		return err;
	return there_ask(m, "COMMIT", 0, NULL, NULL);
}

ag_err
move_here(struct move *m, const char *state_dir, const struct pg_server *server)
{
	struct head head;
	char of[64];
	ag_err err = open_here(m, state_dir);

	if (err == AG_OK && (err = here_word(m, WORD_SHARED, of)) == AG_OK)
		err = here_word(m, WORD_NODE, m->node);
	if (err == AG_OK && (of[0] == '\0' || m->node[0] == '\0'))
		return move_wrong(m, AG_CONFLICT, "this state directory has a "
		    "journal of its own, not a copy of one in PostgreSQL");
	if (err != AG_OK || (err = there_connect(m, server, false)) != AG_OK ||
	    (err = look_there(m, &head)) != AG_OK ||
	    (err = check_back(m, &head, of)) != AG_OK ||
	    (err = fill_here(m)) != AG_OK || (err = end_there(m)) != AG_OK ||
	    (err = here_say(m, WORD_SHARED, NULL)) != AG_OK ||
	    (err = here_say(m, WORD_NODE, NULL)) != AG_OK)
		return err;
	err = ag_db_commit(m->db);
	return err == AG_OK ? AG_OK : move_wrong(m, err, "journal/ in the state "
	    "directory cannot be written: %s; the database keeps all of it: make "
	    "room and type this again", ag_err_row(err)->name);
}

void
move_close(struct move *m)
{
	ag_db_close(&m->db); /* without a commit */
	pg_close(&m->link);
}
