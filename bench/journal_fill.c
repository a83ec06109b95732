/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal_fill JOURNAL COUNT: appends so many records to the embedded journal of a
 * fleet that is stopped, through the rows that its actor writes: keys like the
 * first one that is there, each made and then given labels, ten records a key.
 */
#include <engine.h>
#include <journal.h>

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PER_KEY = 10, PER_COMMIT = 100000 };

struct filling {
	struct ag_db *db;
	Ag__JournalRecord *like; /* the first key_created_fact's */
	Ag__KeyCreatedFact *made;
	uint64_t head;
};

static void
need(ag_err err, const char *what)
{
	if (err == AG_OK)
		return;
	fprintf(stderr, "journal_fill: %s: %s\n", what, ag_err_row(err)->name);
	exit(1);
}

static ag_err
put(void *arg, enum table table, const struct key *key, const void *value,
    size_t len)
{
	struct filling *f = arg;

	return ag_db_put(f->db, table, key->bytes, key->len, value, len);
}

static bool
look(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
    size_t len)
{
	struct filling *f = arg;

	(void)key_len;
	f->head = get_u64(key);
	if (f->like != NULL)
		return true;
	f->like = ag__journal_record__unpack(NULL, len, value);
	if (f->like != NULL && f->like->type == AG_MSG_KEY_CREATED_FACT) {
		f->made = ag__key_created_fact__unpack(NULL, f->like->event.len,
		    f->like->event.data);
		return true;
	}
	if (f->like != NULL)
		ag__journal_record__free_unpacked(f->like, NULL);
	f->like = NULL;
	return true;
}

static void
append(struct filling *f, Ag__JournalRecord *record,
    const ProtobufCMessage *fact)
{
	static uint8_t bytes[4096], packed[8192];

	record->event.data = bytes;
	record->event.len = protobuf_c_message_pack(fact, bytes);
	record->seq = ++f->head;
	record->version++;
	need(kept_record(record, packed, ag__journal_record__pack(record, packed),
	    put, f), "a record");
	if (f->head % PER_COMMIT == 0)
		need(ag_db_commit(f->db), "a commit");
}

static void
one_key(struct filling *f)
{
	Ag__JournalRecord record = *f->like;
	Ag__KeyCreatedFact made = *f->made;
	Ag__KeyUpdatedFact updated = AG__KEY_UPDATED_FACT__INIT;
	Ag__Pair label = AG__PAIR__INIT, *labels[] = { &label };
	char id[AG_ID_SIZE], stream[AG_ID_SIZE + 8], value[16];
	uint8_t random[16];

	randombytes_buf(random, sizeof(random));
	ag_id_from_uuid("key", random, id);
	snprintf(stream, sizeof(stream), "key:%s", id);
	record.stream = stream;
	record.version = 0;
	record.has_outcome = record.has_prev_outcome = record.has_request_id = 0;
	made.key_id = updated.key_id = id;
	made.alias = NULL;
	append(f, &record, &made.base);
	record.type = AG_MSG_KEY_UPDATED_FACT;
	label.key = (char *)(uintptr_t)"turn";
	label.value = value;
	updated.labels = labels;
	updated.n_labels = 1;
	updated.at = made.at;
	for (int i = 1; i < PER_KEY; i++) {
		snprintf(value, sizeof(value), "%d", i);
		append(f, &record, &updated.base);
	}
}

int
main(int argc, char **argv)
{
	struct filling f = { .db = NULL };
	uint64_t until;
	struct key key;
	uint8_t head[8];

	if (argc != 3) {
		fprintf(stderr, "usage: journal_fill JOURNAL COUNT\n");
		return 2;
	}
	need(ag_db_open(argv[1], journal_tables, (size_t)1 << 36, &f.db), argv[1]);
	need(ag_db_scan(f.db, EVENTS, NULL, 0, look, &f), "reading");
	if (f.made == NULL) {
		fprintf(stderr, "journal_fill: there is no key to make others like\n");
		return 1;
	}
	for (until = f.head + strtoull(argv[2], NULL, 10); f.head < until;)
		one_key(&f);
	key_text(&key, 'h', "");
	need(put(&f, STREAMS, &key, head, put_u64(head, f.head)), "the head");
	need(ag_db_commit(f.db), "a commit");
	printf("%llu\n", (unsigned long long)f.head);
	ag_db_close(&f.db);
	ag__key_created_fact__free_unpacked(f.made, NULL);
	ag__journal_record__free_unpacked(f.like, NULL);
	return 0;
}
