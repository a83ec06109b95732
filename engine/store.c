/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables in one LMDB environment. One write transaction is always open: reads
 * happen in it and see what was put, and nothing is durable before
 * ag_db_commit. Only one process opens a folder.
 *
 * A value is stored behind eight bytes of BLAKE2b over the table's name, the
 * key and the value, so that a bit that flipped, or a row that moved, is
 * AG_CORRUPT and not an answer.
 *
 * When the map or the disk is full the whole batch since the last commit is
 * lost (LMDB cannot undo one put): that put, every later one and the commit
 * return AG_FULL, reads see the last commit, and after that commit the store
 * works again. Whoever keeps state in memory besides must read it anew.
 */
#include "engine.h"

#include <errno.h>
#include <lmdb.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	CHECK_BYTES = 8,
	KEY_BYTES_MAX = 255,
	FILE_MODE = 0600,
	DIR_MODE = 0700,
};

#define NUMBERS "#numbers" /* the table behind the caller's own */

struct table {
	MDB_dbi dbi;
	char *name;
};

struct ag_db {
	MDB_env *env;
	MDB_txn *txn;
	struct table tables[AG_TABLES_MAX + 1];
	unsigned count; /* of the caller's; tables[count] is NUMBERS */
	bool dirty;
	ag_err lost;      /* of the batch: see above; AG_OK as a rule */
	uint64_t changes; /* puts and dels: a scan looks whether it must seek */
	uint64_t batch;   /* transactions so far: each takes its cursors along */
	char *dir;
};

static ag_err
err_of(int rc)
{
	switch (rc) {
	case 0:
		return AG_OK;
	case MDB_NOTFOUND:
		return AG_ITEM_NOT_FOUND;
	case MDB_MAP_FULL:
	case ENOSPC:
	case EDQUOT:
		return AG_FULL;
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INVALID:
	case MDB_VERSION_MISMATCH:
	case MDB_INCOMPATIBLE:
		return AG_CORRUPT;
	case ENOMEM:
		return AG_NO_MEMORY;
	default:
		return AG_IO;
	}
}

static ag_err
say(const struct ag_db *db, const char *what, int rc)
{
	ag_err err = err_of(rc);

	if (err != AG_OK && err != AG_ITEM_NOT_FOUND)
		ag_log_plain(AG_ERROR, err == AG_FULL ? "STORE-FULL" :
		    "STORE-FAILED", "dir=%s call=%s error=%s", db->dir, what,
		    mdb_strerror(rc));
	return err;
}

/* The transaction is spoilt: back to the last commit, and the batch with it. */
static ag_err
lose(struct ag_db *db, const char *what, int rc)
{
	ag_err err = say(db, what, rc);

	if (db->txn != NULL)
		mdb_txn_abort(db->txn);
	db->txn = NULL;
	db->lost = err;
	db->changes++;
	db->batch++;
	/* A failed sync is never tried again: what the disk holds is unknown. */
	if (err == AG_FULL && mdb_txn_begin(db->env, NULL, 0, &db->txn) != 0)
		db->txn = NULL;
	return err;
}

static ag_err
usable(const struct ag_db *db, unsigned table, size_t key_len)
{
	if (table > db->count)
		ag_panic("store %s: table %u of %u", db->dir, table, db->count);
	if (key_len == 0 || key_len > KEY_BYTES_MAX)
		return AG_BAD_MESSAGE;
	return db->txn == NULL ? AG_IO : AG_OK;
}

static void
checksum(const struct table *t, const void *key, size_t key_len,
    const void *value, size_t value_len, uint8_t out[CHECK_BYTES])
{
	uint8_t sum[crypto_generichash_BYTES_MIN], len = (uint8_t)key_len;
	crypto_generichash_state state;

	crypto_generichash_init(&state, NULL, 0, sizeof(sum));
	/* With its NUL, and the key with its length: parts cannot be shifted. */
	crypto_generichash_update(&state, (const uint8_t *)t->name,
	    strlen(t->name) + 1);
	crypto_generichash_update(&state, &len, 1);
	crypto_generichash_update(&state, key, key_len);
	if (value_len > 0)
		crypto_generichash_update(&state, value, value_len);
	crypto_generichash_final(&state, sum, sizeof(sum));
	memcpy(out, sum, CHECK_BYTES);
}

static ag_err
check(const struct ag_db *db, const struct table *t, const MDB_val *k,
    const MDB_val *v)
{
	uint8_t sum[CHECK_BYTES];
	const uint8_t *bytes = v->mv_data;

	if (v->mv_size >= CHECK_BYTES) {
		checksum(t, k->mv_data, k->mv_size, bytes + CHECK_BYTES,
		    v->mv_size - CHECK_BYTES, sum);
		if (memcmp(sum, bytes, CHECK_BYTES) == 0)
			return AG_OK;
	}
	ag_log_plain(AG_ERROR, "STORE-CORRUPT", "dir=%s table=%s", db->dir,
	    t->name);
	return AG_CORRUPT;
}

/* ---------------------------------------------------------- open, close */

static ag_err
make_dirs(char *path)
{
	for (char *p = path + 1; *p != '\0'; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(path, DIR_MODE) != 0 && errno != EEXIST) {
			*p = '/';
			return AG_IO;
		}
		*p = '/';
	}
	return mkdir(path, DIR_MODE) == 0 || errno == EEXIST ? AG_OK : AG_IO;
}

static ag_err
open_env(struct ag_db *db, size_t map_bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	int rc;

	if ((rc = mdb_env_create(&db->env)) != 0)
		return say(db, "create", rc);
	mdb_env_set_maxdbs(db->env, AG_TABLES_MAX + 1);
	mdb_env_set_mapsize(db->env, (map_bytes + page - 1) / page * page);
	if ((rc = mdb_env_open(db->env, db->dir, 0, FILE_MODE)) != 0)
		return say(db, "open", rc);
	if ((rc = mdb_txn_begin(db->env, NULL, 0, &db->txn)) != 0)
		return say(db, "begin", rc);
	return AG_OK;
}

static ag_err
open_table(struct ag_db *db, unsigned i, const char *name)
{
	int rc;

	if ((db->tables[i].name = strdup(name)) == NULL)
		return AG_NO_MEMORY;
	rc = mdb_dbi_open(db->txn, name, MDB_CREATE, &db->tables[i].dbi);
	return rc == 0 ? AG_OK : say(db, "table", rc);
}

static ag_err
open_tables(struct ag_db *db, const char *const *tables)
{
	ag_err err = AG_OK;

	for (; tables != NULL && tables[db->count] != NULL; db->count++) {
		if (db->count == AG_TABLES_MAX)
			ag_panic("store %s: more than %d tables", db->dir,
			    AG_TABLES_MAX);
		err = open_table(db, db->count, tables[db->count]);
		if (err != AG_OK)
			return err;
	}
	if ((err = open_table(db, db->count, NUMBERS)) != AG_OK)
		return err;
	db->dirty = true; /* the tables themselves */
	return ag_db_commit(db);
}

ag_err
ag_db_open(const char *dir, const char *const *tables, size_t map_bytes,
    struct ag_db **out)
{
	struct ag_db *db = calloc(1, sizeof(*db));
	ag_err err = AG_NO_MEMORY;

	*out = NULL;
	if (db == NULL || (db->dir = strdup(dir)) == NULL)
		goto fail;
	if (sodium_init() < 0 || make_dirs(db->dir) != AG_OK) {
		err = AG_IO;
		goto fail;
	}
	if ((err = open_env(db, map_bytes)) != AG_OK ||
	    (err = open_tables(db, tables)) != AG_OK)
		goto fail;
	*out = db;
	return AG_OK;
fail:
	ag_db_close(&db);
	return err;
}

void
ag_db_close(struct ag_db **db)
{
	struct ag_db *d = *db;

	if (d == NULL)
		return;
	if (d->txn != NULL)
		mdb_txn_abort(d->txn);
	if (d->env != NULL)
		mdb_env_close(d->env);
	for (unsigned i = 0; i <= AG_TABLES_MAX; i++)
		free(d->tables[i].name);
	free(d->dir);
	free(d);
	*db = NULL;
}

ag_err
ag_db_wipe(const char *dir)
{
	static const char *const names[] = { "data.mdb", "lock.mdb" };
	char path[4096];

	for (unsigned i = 0; i < 2; i++) {
		if (snprintf(path, sizeof(path), "%s/%s", dir, names[i]) >=
		    (int)sizeof(path))
			return AG_IO;
		if (unlink(path) != 0 && errno != ENOENT)
			return AG_IO;
	}
	return AG_OK;
}

/* ---------------------------------------------------------------- rows */

static MDB_val
val(const void *p, size_t n)
{
	/* LMDB's one type for in and out; it does not write through a key. */
	return (MDB_val){ .mv_size = n, .mv_data = (void *)(uintptr_t)p };
}

ag_err
ag_db_put(struct ag_db *db, unsigned table, const void *key, size_t key_len,
    const void *value, size_t value_len)
{
	const struct table *t = &db->tables[table];
	MDB_val k = val(key, key_len), v = val(NULL, value_len + CHECK_BYTES);
	uint8_t sum[CHECK_BYTES];
	ag_err err;
	int rc;

	if (db->lost != AG_OK)
		return db->lost;
	if ((err = usable(db, table, key_len)) != AG_OK)
		return err;
	/* Room for both first, then both in place: no copy of the value. */
	checksum(t, key, key_len, value, value_len, sum);
	if ((rc = mdb_put(db->txn, t->dbi, &k, &v, MDB_RESERVE)) != 0)
		return lose(db, "put", rc);
	memcpy(v.mv_data, sum, CHECK_BYTES);
	if (value_len > 0)
		memcpy((uint8_t *)v.mv_data + CHECK_BYTES, value, value_len);
	db->dirty = true;
	db->changes++;
	return AG_OK;
}

ag_err
ag_db_get(struct ag_db *db, unsigned table, const void *key, size_t key_len,
    const uint8_t **value, size_t *value_len)
{
	const struct table *t = &db->tables[table];
	MDB_val k = val(key, key_len), v;
	ag_err err;
	int rc;

	*value = NULL;
	*value_len = 0;
	if ((err = usable(db, table, key_len)) != AG_OK)
		return err;
	if ((rc = mdb_get(db->txn, t->dbi, &k, &v)) != 0)
		return say(db, "get", rc);
	if ((err = check(db, t, &k, &v)) != AG_OK)
		return err;
	*value = (const uint8_t *)v.mv_data + CHECK_BYTES;
	*value_len = v.mv_size - CHECK_BYTES;
	return AG_OK;
}

ag_err
ag_db_del(struct ag_db *db, unsigned table, const void *key, size_t key_len)
{
	MDB_val k = val(key, key_len);
	ag_err err;
	int rc;

	if (db->lost != AG_OK)
		return db->lost;
	if ((err = usable(db, table, key_len)) != AG_OK)
		return err;
	rc = mdb_del(db->txn, db->tables[table].dbi, &k, NULL);
	if (rc == MDB_NOTFOUND)
		return AG_ITEM_NOT_FOUND;
	if (rc != 0)
		return lose(db, "del", rc);
	db->dirty = true;
	db->changes++;
	return AG_OK;
}

/* One row to the visitor; *go_on is its answer. The key is copied first: the
 * visitor may change the store. */
static ag_err
visit_row(struct ag_db *db, const struct table *t, const MDB_val *k,
    const MDB_val *v, uint8_t *at, size_t *at_len, ag_store_visit *visit,
    void *arg, bool *go_on)
{
	ag_err err = check(db, t, k, v);

	if (err != AG_OK)
		return err;
	if (k->mv_size > KEY_BYTES_MAX)
		return AG_CORRUPT;
	memcpy(at, k->mv_data, k->mv_size);
	*at_len = k->mv_size;
	*go_on = visit(arg, at, *at_len,
	    (const uint8_t *)v->mv_data + CHECK_BYTES, v->mv_size - CHECK_BYTES);
	return AG_OK;
}

/* From `at` on until the visitor stops or changes the store; then *at is where
 * it was, and the caller begins a new cursor there. */
static ag_err
scan_unchanged(struct ag_db *db, const struct table *t, uint8_t *at,
    size_t *at_len, bool skip_equal, ag_store_visit *visit, void *arg,
    bool *go_on)
{
	uint64_t changes = db->changes, batch = db->batch;
	MDB_cursor *cursor;
	MDB_val k = val(at, *at_len), v;
	ag_err err = AG_OK;
	int rc;

	if ((rc = mdb_cursor_open(db->txn, t->dbi, &cursor)) != 0)
		return say(db, "cursor", rc);
	rc = mdb_cursor_get(cursor, &k, &v,
	    *at_len == 0 ? MDB_FIRST : MDB_SET_RANGE);
	if (rc == 0 && skip_equal && k.mv_size == *at_len &&
	    memcmp(k.mv_data, at, *at_len) == 0)
		rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
	while (rc == 0) {
		err = visit_row(db, t, &k, &v, at, at_len, visit, arg, go_on);
		if (err != AG_OK || !*go_on || db->changes != changes)
			break;
		rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
	}
	if (rc != 0)
		*go_on = false;
	if (db->batch == batch)
		mdb_cursor_close(cursor);
	return rc == 0 || rc == MDB_NOTFOUND ? err : say(db, "scan", rc);
}

ag_err
ag_db_scan(struct ag_db *db, unsigned table, const void *from, size_t from_len,
    ag_store_visit *visit, void *arg)
{
	uint8_t at[KEY_BYTES_MAX];
	size_t at_len = from == NULL ? 0 : from_len;
	bool go_on = true, again = false;
	ag_err err = usable(db, table, at_len == 0 ? 1 : at_len);

	if (err != AG_OK)
		return err;
	if (at_len > 0)
		memcpy(at, from, at_len);
	for (; err == AG_OK && go_on; again = true) {
		if (db->txn == NULL)
			return AG_IO;
		err = scan_unchanged(db, &db->tables[table], at, &at_len, again,
		    visit, arg, &go_on);
	}
	return err;
}

/* ------------------------------------------------------ numbers, commit */

ag_err
ag_db_number(struct ag_db *db, const char *name, uint64_t *out)
{
	const uint8_t *bytes;
	size_t len;
	ag_err err = ag_db_get(db, db->count, name, strlen(name), &bytes, &len);

	*out = 0;
	if (err == AG_ITEM_NOT_FOUND)
		return AG_OK;
	if (err != AG_OK)
		return err;
	if (len != sizeof(*out))
		return AG_CORRUPT;
	for (unsigned i = 0; i < sizeof(*out); i++)
		*out |= (uint64_t)bytes[i] << (8 * i);
	return AG_OK;
}

ag_err
ag_db_set_number(struct ag_db *db, const char *name, uint64_t v)
{
	uint8_t bytes[sizeof(v)];

	for (unsigned i = 0; i < sizeof(v); i++)
		bytes[i] = (uint8_t)(v >> (8 * i));
	return ag_db_put(db, db->count, name, strlen(name), bytes,
	    sizeof(bytes));
}

bool
ag_db_dirty(const struct ag_db *db)
{
	return db->dirty;
}

ag_err
ag_db_commit(struct ag_db *db)
{
	ag_err err = db->lost;
	int rc;

	if (db->txn == NULL)
		return err == AG_OK ? AG_IO : err;
	db->dirty = false;
	if (err != AG_OK) { /* the batch is told once that it is lost */
		db->lost = AG_OK;
		return err;
	}
	db->changes++;
	db->batch++;
	rc = mdb_txn_commit(db->txn);
	db->txn = NULL;
	if (rc == 0)
		rc = mdb_txn_begin(db->env, NULL, 0, &db->txn);
	if (rc == 0)
		return AG_OK;
	err = lose(db, "commit", rc);
	if (err == AG_FULL)
		db->lost = AG_OK; /* told now */
	return err;
}
