/* SPDX-License-Identifier: Apache-2.0 */
/*
 * here: the journal's tables in a state directory, read and written without the
 * journal's process.
 */
#include "move.h"

#include <fact.h>

#include <string.h>

static ag_err
broken(struct move *m, ag_err err, const char *what)
{
	return move_wrong(m, err, "journal/ in the state directory: %s: %s", what,
	    ag_err_row(err)->name);
}

/* ---------------------------------------------------------- numbers, words */

static ag_err
get_number(struct move *m, const struct key *key, uint64_t *out)
{
	const uint8_t *value;
	size_t len;
	ag_err err = ag_db_get(m->db, STREAMS, key->bytes, key->len, &value, &len);

	*out = 0;
	if (err == AG_ITEM_NOT_FOUND)
		return AG_OK;
	if (err == AG_OK && len != 8)
		err = AG_CORRUPT;
	if (err != AG_OK)
		return broken(m, err, "a number");
	*out = get_u64(value);
	return AG_OK;
}

ag_err
here_head(struct move *m, uint64_t *out)
{
	struct key key;

	key_text(&key, 'h', "");
	return get_number(m, &key, out);
}

ag_err
here_word(struct move *m, const char *name, char out[64])
{
	const uint8_t *value;
	struct key key;
	size_t len;
	ag_err err;

	key_text(&key, 'w', name);
	out[0] = '\0';
	err = ag_db_get(m->db, STREAMS, key.bytes, key.len, &value, &len);
	if (err == AG_ITEM_NOT_FOUND)
		return AG_OK;
	if (err == AG_OK && len > 63)
		err = AG_CORRUPT;
	if (err != AG_OK)
		return broken(m, err, name);
	memcpy(out, value, len);
	out[len] = '\0';
	return AG_OK;
}

ag_err
here_say(struct move *m, const char *name, const char *word)
{
	struct key key;
	ag_err err;

	key_text(&key, 'w', name);
	if (word != NULL)
		return here_put(m, STREAMS, &key, word, strlen(word));
	err = ag_db_del(m->db, STREAMS, key.bytes, key.len);
	return err == AG_OK || err == AG_ITEM_NOT_FOUND ? AG_OK :
	    broken(m, err, name);
}

ag_err
here_put(void *arg, enum table table, const struct key *key, const void *value,
    size_t len)
{
	struct move *m = arg;
	ag_err err = ag_db_put(m->db, table, key->bytes, key->len, value, len);

	return err == AG_OK ? AG_OK : broken(m, err, "cannot be written");
}

/* ------------------------------------------------------------------ reading */

struct reading {
	struct move *move;
	const struct here_visitor *visitor;
	struct move_hash *hash;
	uint64_t next; /* record that comes now */
	ag_err err;
};

static ag_err
scan(struct reading *r, enum table table, char tag, ag_store_visit *visit)
{
	uint8_t from = (uint8_t)tag;
	ag_err err = ag_db_scan(r->move->db, table, tag == '\0' ? NULL : &from, 1,
	    visit, r);

	return err != AG_OK ? broken(r->move, err, "cannot be read") : r->err;
}

static bool
visit_record(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
    size_t len)
{
	struct reading *r = arg;
	Ag__JournalRecord *record;

	if (key_len != 8 || get_u64(key) != r->next++) {
		r->err = broken(r->move, AG_CORRUPT, "a record is missing");
		return false;
	}
	if (r->hash != NULL)
		move_hash_record(r->hash, value, len);
	if (r->visitor->record != NULL) {
		record = ag__journal_record__unpack(NULL, len, value);
		r->err = record == NULL ? broken(r->move, AG_CORRUPT, "a record") :
		    r->visitor->record(r->visitor->arg, record);
		if (record != NULL)
			ag__journal_record__free_unpacked(record, NULL);
	}
	move_went_by(r->move, r->next);
	return r->err == AG_OK;
}

ag_err
here_records(struct move *m, const struct here_visitor *v, struct move_hash *h)
{
	struct reading r = { .move = m, .visitor = v, .hash = h, .next = 1 };
	uint64_t head;
	ag_err err = here_head(m, &head);

	if (err == AG_OK)
		err = scan(&r, EVENTS, '\0', visit_record);
	return err != AG_OK || r.next == head + 1 ? err :
	    broken(m, AG_CORRUPT, "its end is not where it was noted");
}

static bool
visit_stream(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
    size_t len)
{
	struct reading *r = arg;
	char name[STREAM_MAX + 1];

	if (key[0] != 'v')
		return false;
	if (len != 8 || key_len < 2 || key_len - 2 > STREAM_MAX) {
		r->err = broken(r->move, AG_CORRUPT, "a stream");
		return false;
	}
	memcpy(name, key + 1, key_len - 1); /* with its NUL */
	if (r->hash != NULL)
		move_hash_stream(r->hash, name, get_u64(value));
	if (r->visitor->stream != NULL)
		r->err = r->visitor->stream(r->visitor->arg, name,
		    get_u64(value));
	return r->err == AG_OK;
}

ag_err
here_streams(struct move *m, const struct here_visitor *v, struct move_hash *h)
{
	struct reading r = { .move = m, .visitor = v, .hash = h };

	return scan(&r, STREAMS, 'v', visit_stream);
}

/* Who it was said to stands beside the time that it was said at. */
static bool
visit_answer(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
    size_t len)
{
	struct reading *r = arg;
	struct kept_answer answer = { .digest = key, .value = value, .len = len };
	uint8_t when[8 + IDEM_BYTES];
	const uint8_t *who = NULL;
	char actor[ACTOR_MAX + 1];
	size_t who_len = 0;

	if (key_len != IDEM_BYTES || len < IDEM_HEAD) {
		r->err = broken(r->move, AG_CORRUPT, "a kept answer");
		return false;
	}
	answer.at = get_u64(value);
	put_u64(when, answer.at);
	memcpy(when + 8, key, IDEM_BYTES);
	r->err = ag_db_get(r->move->db, IDEM_BY_TIME, when, sizeof(when), &who,
	    &who_len);
	if (r->err != AG_OK || who_len > ACTOR_MAX) {
		r->err = broken(r->move, AG_CORRUPT, "whose a kept answer is");
		return false;
	}
	memcpy(actor, who, who_len);
	actor[who_len] = '\0';
	answer.actor = actor;
	if (r->hash != NULL)
		move_hash_answer(r->hash, &answer);
	if (r->visitor->answer != NULL)
		r->err = r->visitor->answer(r->visitor->arg, &answer);
	return r->err == AG_OK;
}

ag_err
here_answers(struct move *m, const struct here_visitor *v, struct move_hash *h)
{
	struct reading r = { .move = m, .visitor = v, .hash = h };

	return scan(&r, IDEM, '\0', visit_answer);
}

static bool
visit_author(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
    size_t len)
{
	struct reading *r = arg;
	char name[STREAM_MAX + 1];

	if (key[0] != 'o')
		return false;
	if (len != 8 || key_len < 2 || key_len - 2 > STREAM_MAX) {
		r->err = broken(r->move, AG_CORRUPT, "an author");
		return false;
	}
	memcpy(name, key + 1, key_len - 1);
	r->err = r->visitor->author(r->visitor->arg, name, get_u64(value));
	return r->err == AG_OK;
}

ag_err
here_authors(struct move *m, const struct here_visitor *v)
{
	struct reading r = { .move = m, .visitor = v };

	return scan(&r, STREAMS, 'o', visit_author);
}

ag_err
here_sum(struct move *m, struct move_sum *sum)
{
	static const struct here_visitor nobody = { .arg = NULL };
	struct move_hash h;
	ag_err err, ended;

	move_hash_begin(&h, sum);
	if ((err = here_records(m, &nobody, &h)) == AG_OK &&
	    (err = here_streams(m, &nobody, &h)) == AG_OK)
		err = here_answers(m, &nobody, &h);
	ended = move_hash_end(&h);
	return err == AG_OK ? ended : err;
}

/* ------------------------------------------------------------- what has ended */

/* -1, 0, 1: as fact_ends. */
static ag_err
record_ends(struct move *m, uint64_t seq, int *ends)
{
	Ag__JournalRecord *record = NULL;
	ProtobufCMessage *fact = NULL;
	const struct ag_message *kind;
	uint8_t key[8];
	const uint8_t *value;
	size_t len;
	ag_err err = ag_db_get(m->db, EVENTS, key, put_u64(key, seq), &value, &len);

	if (err == AG_OK &&
	    (record = ag__journal_record__unpack(NULL, len, value)) == NULL)
		err = AG_CORRUPT;
	if (err != AG_OK)
		return broken(m, err, "a record of a stream");
	kind = ag_message_find((uint16_t)record->type);
	if (kind != NULL && fact_tells((uint16_t)record->type))
		fact = protobuf_c_message_unpack(kind->body, NULL,
		    record->event.len, record->event.data);
	*ends = fact_ends((uint16_t)record->type, fact);
	protobuf_c_message_free_unpacked(fact, NULL);
	ag__journal_record__free_unpacked(record, NULL);
	return AG_OK;
}

ag_err
here_ended(struct move *m, const char *stream, uint64_t version, bool *ended)
{
	ag_err err = AG_OK;

	*ended = false;
	for (uint64_t v = 1; err == AG_OK && v <= version && !*ended; v++) {
		struct key key;
		uint64_t seq;
		int ends = -1;

		key_text(&key, 's', stream);
		key_number(&key, v);
		if ((err = get_number(m, &key, &seq)) == AG_OK)
			err = record_ends(m, seq, &ends);
		*ended = ends == 1;
	}
	return err;
}

/* ------------------------------------------------------------------ changing */

struct clearing {
	struct move *move;
	enum table table;
	char tag; /* '\0': all of it */
	ag_err err;
};

static bool
visit_cleared(void *arg, const uint8_t *key, size_t key_len,
    const uint8_t *value, size_t len)
{
	struct clearing *c = arg;

	(void)value;
	(void)len;
	if (c->tag != '\0' && key[0] != (uint8_t)c->tag)
		return false;
	c->err = ag_db_del(c->move->db, c->table, key, key_len);
	return c->err == AG_OK;
}

ag_err
here_clear(struct move *m)
{
	static const struct { enum table table; char tag; } rows[] = {
		{ IDEM, '\0' }, { IDEM_BY_ACTOR, '\0' }, { IDEM_BY_TIME, '\0' },
		{ STREAMS, 'a' }, { STREAMS, 'o' },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct clearing c = { .move = m, .table = rows[i].table,
			.tag = rows[i].tag };
		uint8_t from = (uint8_t)c.tag;
		ag_err err = ag_db_scan(m->db, c.table, c.tag == '\0' ? NULL :
		    &from, 1, visit_cleared, &c);

		if (err != AG_OK || c.err != AG_OK)
			return broken(m, err != AG_OK ? err : c.err,
			    "cannot be written");
	}
	return AG_OK;
}

struct authors {
	struct move *move;
	struct { char name[STREAM_MAX + 1]; uint64_t newest, outcome; }
	    at[MOVE_AUTHORS_MAX];
	unsigned count;
};

static ag_err
note_author(void *arg, const Ag__JournalRecord *record)
{
	struct authors *a = arg;
	unsigned i = 0;

	if (strchr(record->author, '/') != NULL)
		return AG_OK; /* of another node: its numbers are its own */
	while (i < a->count && strcmp(a->at[i].name, record->author) != 0)
		i++;
	if (i == MOVE_AUTHORS_MAX || strlen(record->author) > STREAM_MAX)
		return move_wrong(a->move, AG_FULL, "more than %d authors",
		    MOVE_AUTHORS_MAX);
	if (i == a->count)
		strcpy(a->at[a->count++].name, record->author);
	a->at[i].newest = record->seq;
	if (record->has_outcome)
		a->at[i].outcome = record->seq;
	return AG_OK;
}

static ag_err
say_author(struct move *m, char tag, const char *name, uint64_t seq)
{
	struct key key;
	uint8_t value[8];

	if (seq == 0)
		return AG_OK;
	key_text(&key, tag, name);
	return here_put(m, STREAMS, &key, value, put_u64(value, seq));
}

ag_err
here_number_authors(struct move *m)
{
	static struct authors authors; /* large */
	struct here_visitor v = { .record = note_author, .arg = &authors };
	ag_err err;

	memset(&authors, 0, sizeof(authors));
	authors.move = m;
	/* An append ends with the record that carries its outcome, and with its
	 * author's newest record: these are the numbers that it left. */
	err = here_records(m, &v, NULL);
	for (unsigned i = 0; err == AG_OK && i < authors.count; i++)
		if ((err = say_author(m, 'a', authors.at[i].name,
		        authors.at[i].newest)) == AG_OK)
			err = say_author(m, 'o', authors.at[i].name,
			    authors.at[i].outcome);
	return err;
}
