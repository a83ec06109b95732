/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store's interface (engine.h), simulated: tables in memory that outlive
 * their process as of the last commit. What is proven with it is what actors
 * make of commits that are lost, refused or torn off; LMDB itself is proven by
 * kill -9 on the real fleet.
 */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

enum { STORES_MAX = 32 };

struct row {
	uint8_t *key, *value;
	size_t key_len, value_len;
};
struct table {
	struct row *rows; /* by key */
	size_t count, cap;
};
/* What a row was before: for the way back to the last commit. */
struct undo {
	unsigned table;
	struct row row;
	bool was; /* false: it was not there */
};
struct ag_db {
	char dir[SIM_PATH_MAX];
	struct table tables[AG_TABLES_MAX + 1];
	unsigned count;
	struct undo *undos;
	size_t undo_count, undo_cap;
	bool dirty, open;
	ag_err lost;
};

static struct ag_db *stores[STORES_MAX];

static void *
need(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

static void *
copy(const void *bytes, size_t len)
{
	void *p = need(malloc(len + 1));

	if (len > 0)
		memcpy(p, bytes, len);
	return p;
}

static int
compare(const struct row *row, const void *key, size_t len)
{
	size_t least = row->key_len < len ? row->key_len : len;
	int order = memcmp(row->key, key, least);

	return order != 0 ? order : (row->key_len > len) - (row->key_len < len);
}

/* The first row whose key is not less. */
static size_t
lower(const struct table *t, const void *key, size_t len)
{
	size_t from = 0, to = t->count;

	while (from < to) {
		size_t middle = (from + to) / 2;

		if (compare(&t->rows[middle], key, len) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

static struct row *
find(struct table *t, const void *key, size_t len)
{
	size_t i = lower(t, key, len);

	return i < t->count && compare(&t->rows[i], key, len) == 0 ?
	    &t->rows[i] : NULL;
}

static void
insert(struct table *t, struct row row)
{
	size_t i = lower(t, row.key, row.key_len);

	if (t->count == t->cap) {
		t->cap = t->cap == 0 ? 64 : t->cap * 2;
		t->rows = need(realloc(t->rows, t->cap * sizeof(*t->rows)));
	}
	memmove(&t->rows[i + 1], &t->rows[i], (t->count - i) * sizeof(*t->rows));
	t->rows[i] = row;
	t->count++;
}

static struct row
take(struct table *t, struct row *at)
{
	struct row row = *at;
	size_t i = (size_t)(at - t->rows);

	memmove(at, at + 1, (t->count - i - 1) * sizeof(*at));
	t->count--;
	return row;
}

static void
row_free(struct row *row)
{
	free(row->key);
	free(row->value);
}

static void
remember(struct ag_db *db, unsigned table, struct row row, bool was)
{
	if (db->undo_count == db->undo_cap) {
		db->undo_cap = db->undo_cap == 0 ? 64 : db->undo_cap * 2;
		db->undos = need(realloc(db->undos,
		    db->undo_cap * sizeof(*db->undos)));
	}
	db->undos[db->undo_count++] = (struct undo){ table, row, was };
}

/* Back to the last commit. */
static void
roll_back(struct ag_db *db)
{
	while (db->undo_count > 0) {
		struct undo *undo = &db->undos[--db->undo_count];
		struct table *t = &db->tables[undo->table];
		struct row *now = find(t, undo->row.key, undo->row.key_len);

		if (now != NULL) {
			struct row row = take(t, now);

			row_free(&row);
		}
		if (undo->was)
			insert(t, undo->row);
		else
			row_free(&undo->row);
	}
	db->dirty = false;
}

static void
keep(struct ag_db *db)
{
	for (size_t i = 0; i < db->undo_count; i++)
		row_free(&db->undos[i].row);
	db->undo_count = 0;
	db->dirty = false;
}

/* ------------------------------------------------------------- open, close */

static struct ag_db *
store_at(const char *dir, bool make)
{
	for (unsigned i = 0; i < STORES_MAX; i++) {
		if (stores[i] == NULL && make) {
			stores[i] = need(calloc(1, sizeof(*stores[i])));
			snprintf(stores[i]->dir, sizeof(stores[i]->dir), "%s", dir);
			return stores[i];
		}
		if (stores[i] != NULL && strcmp(stores[i]->dir, dir) == 0)
			return stores[i];
	}
	return NULL;
}

ag_err
ag_db_open(const char *dir, const char *const *tables, size_t map_bytes,
    struct ag_db **out)
{
	struct ag_db *db = store_at(dir, true);

	(void)map_bytes;
	*out = NULL;
	if (db == NULL || db->open)
		ag_panic("store %s: opened twice, or one too many", dir);
	db->count = 0;
	while (tables[db->count] != NULL)
		db->count++;
	db->open = true;
	db->lost = AG_OK;
	*out = db;
	return AG_OK;
}

void
ag_db_close(struct ag_db **dbp)
{
	struct ag_db *db = *dbp;

	*dbp = NULL;
	if (db == NULL)
		return;
	roll_back(db);
	db->open = false;
}

ag_err
ag_db_wipe(const char *dir)
{
	struct ag_db *db = store_at(dir, false);

	if (db == NULL || disk_operation())
		return AG_OK;
	if (db->open)
		ag_panic("store %s: wiped while it is open", dir);
	for (unsigned t = 0; t <= AG_TABLES_MAX; t++) {
		while (db->tables[t].count > 0)
			row_free(&db->tables[t].rows[--db->tables[t].count]);
	}
	return AG_OK;
}

/* -------------------------------------------------------------------- rows */

static ag_err
usable(const struct ag_db *db, unsigned table, size_t key_len)
{
	if (table > db->count)
		ag_panic("store %s: table %u of %u", db->dir, table, db->count);
	if (key_len == 0 || key_len > 255)
		return AG_BAD_MESSAGE;
	return db->lost;
}

ag_err
ag_db_put(struct ag_db *db, unsigned table, const void *key, size_t key_len,
    const void *value, size_t value_len)
{
	ag_err err = usable(db, table, key_len);
	struct row row, *old;

	if (err != AG_OK)
		return err;
	old = find(&db->tables[table], key, key_len);
	row = (struct row){ copy(key, key_len), copy(value, value_len), key_len,
		value_len };
	if (old != NULL) {
		remember(db, table, take(&db->tables[table], old), true);
	} else {
		remember(db, table, (struct row){ copy(key, key_len), NULL, key_len,
		    0 }, false);
	}
	insert(&db->tables[table], row);
	db->dirty = true;
	return AG_OK;
}

ag_err
ag_db_get(struct ag_db *db, unsigned table, const void *key, size_t key_len,
    const uint8_t **value, size_t *value_len)
{
	ag_err err = usable(db, table, key_len);
	struct row *row;

	*value = NULL;
	*value_len = 0;
	if (err == AG_IO || err == AG_BAD_MESSAGE)
		return err;
	if ((row = find(&db->tables[table], key, key_len)) == NULL)
		return AG_ITEM_NOT_FOUND;
	*value = row->value;
	*value_len = row->value_len;
	return AG_OK;
}

ag_err
ag_db_del(struct ag_db *db, unsigned table, const void *key, size_t key_len)
{
	ag_err err = usable(db, table, key_len);
	struct row *row;

	if (err != AG_OK)
		return err;
	if ((row = find(&db->tables[table], key, key_len)) == NULL)
		return AG_ITEM_NOT_FOUND;
	remember(db, table, take(&db->tables[table], row), true);
	db->dirty = true;
	return AG_OK;
}

/* The visitor may change the store: the next row is looked up by the key. */
ag_err
ag_db_scan(struct ag_db *db, unsigned table, const void *from, size_t from_len,
    ag_store_visit *visit, void *arg)
{
	struct table *t = &db->tables[table];
	uint8_t at[256];
	size_t len = from == NULL ? 0 : from_len, i;
	bool again = false, go_on = true;

	if (table > db->count || db->lost == AG_IO)
		return AG_IO;
	if (len > 0)
		memcpy(at, from, len);
	while (go_on) {
		i = len == 0 && !again ? 0 : lower(t, at, len);
		if (again && i < t->count && compare(&t->rows[i], at, len) == 0)
			i++;
		if (i >= t->count)
			break;
		len = t->rows[i].key_len;
		memcpy(at, t->rows[i].key, len);
		again = true;
		go_on = visit(arg, at, len, t->rows[i].value,
		    t->rows[i].value_len);
	}
	return AG_OK;
}

/* --------------------------------------------------------- numbers, commit */

ag_err
ag_db_number(struct ag_db *db, const char *name, uint64_t *out)
{
	const uint8_t *bytes;
	size_t len;
	ag_err err = ag_db_get(db, db->count, name, strlen(name), &bytes, &len);

	*out = 0;
	if (err == AG_OK)
		memcpy(out, bytes, sizeof(*out));
	return err == AG_ITEM_NOT_FOUND ? AG_OK : err;
}

ag_err
ag_db_set_number(struct ag_db *db, const char *name, uint64_t v)
{
	return ag_db_put(db, db->count, name, strlen(name), &v, sizeof(v));
}

bool
ag_db_dirty(const struct ag_db *db)
{
	return db->dirty;
}

/* As LMDB: all of it or nothing. A crash meanwhile may be before or after the
 * one write that makes it count; a failed sync leaves that open, too. */
ag_err
ag_db_commit(struct ag_db *db)
{
	struct proc *p = sim.now;
	bool was = p->zombie;

	if (db->lost != AG_OK)
		return db->lost;
	if (disk_operation()) {
		if (!was && rng_chance(&sim.chance, 500))
			keep(db);
		return AG_OK;
	}
	if (p->broken) {
		p->broken = false;
		p->excused = true;
		if (rng_chance(&sim.chance, 500))
			keep(db);
		db->lost = AG_IO;
		return AG_IO;
	}
	if (p->full && db->undo_count > 0) {
		p->excused = true;
		roll_back(db);
		return AG_FULL;
	}
	keep(db);
	return AG_OK;
}
