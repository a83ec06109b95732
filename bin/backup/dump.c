/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dump: a state directory into a backup, while its fleet runs. A store is read
 * in one read transaction of LMDB, which sees one commit and no later one.
 */
#include "state.h"

#include <aegis/seglog.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <lmdb.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE_BYTES = 64 << 10 };

struct dump {
	struct backup_stream *stream; /* NULL: only the hash */
	const char *state_dir;
	struct backup_sum *sum;
	EVP_MD_CTX *hash; /* while in the journal; else NULL */
	char *why;
	size_t why_size;
};

static ag_err
wrong(struct dump *d, ag_err err, const char *what, const char *why)
{
	snprintf(d->why, d->why_size, "%s: %s", what, why);
	return err;
}

static ag_err
put(struct dump *d, const void *bytes, size_t len)
{
	if (d->hash != NULL && EVP_DigestUpdate(d->hash, bytes, len) != 1)
		return AG_GENERAL_FAILURE;
	return d->stream != NULL ? backup_put(d->stream, bytes, len) : AG_OK;
}

static ag_err
put_number(struct dump *d, uint64_t n, unsigned bytes)
{
	uint8_t le[8];

	for (unsigned i = 0; i < bytes; i++)
		le[i] = (uint8_t)(n >> (8 * i));
	return put(d, le, bytes);
}

static ag_err
put_text(struct dump *d, char kind, const char *text, size_t len)
{
	ag_err err = put(d, &kind, 1);

	if (err == AG_OK)
		err = put_number(d, len, 2);
	return err == AG_OK ? put(d, text, len) : err;
}

/* ------------------------------------------------------------------ stores */

static ag_err
put_row(struct dump *d, const MDB_val *k, const MDB_val *v)
{
	ag_err err = put(d, "R", 1);

	if (err == AG_OK)
		err = put_number(d, k->mv_size, 2);
	if (err == AG_OK)
		err = put_number(d, v->mv_size, 4);
	if (err == AG_OK)
		err = put(d, k->mv_data, k->mv_size);
	if (err == AG_OK)
		err = put(d, v->mv_data, v->mv_size);
	if (d->hash != NULL)
		d->sum->rows++;
	return err;
}

static ag_err
dump_table(struct dump *d, MDB_txn *txn, const char *name)
{
	MDB_cursor *cursor;
	MDB_val k, v;
	MDB_dbi dbi;
	ag_err err = put_text(d, 'T', name, strlen(name));
	int rc = mdb_dbi_open(txn, name, 0, &dbi);

	if (rc == 0)
		rc = mdb_cursor_open(txn, dbi, &cursor);
	if (rc != 0)
		return wrong(d, AG_IO, name, mdb_strerror(rc));
	while (err == AG_OK && (rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) == 0)
		err = put_row(d, &k, &v);
	mdb_cursor_close(cursor);
	return err == AG_OK && rc != MDB_NOTFOUND ? wrong(d, AG_IO, name, mdb_strerror(rc)) :
	    err;
}

static ag_err
dump_tables(struct dump *d, MDB_txn *txn)
{
	char names[TABLES_MAX][256];
	unsigned count = 0;
	MDB_cursor *cursor;
	MDB_val k, v;
	MDB_dbi root;
	ag_err err = AG_OK;

	if (mdb_dbi_open(txn, NULL, 0, &root) != 0 ||
	    mdb_cursor_open(txn, root, &cursor) != 0)
		return AG_IO;
	while (err == AG_OK && mdb_cursor_get(cursor, &k, &v, MDB_NEXT) == 0) {
		if (count == TABLES_MAX || k.mv_size >= sizeof(names[0]))
			err = wrong(d, AG_IO, "store", "more tables than a store has");
		else
			snprintf(names[count++], sizeof(names[0]), "%.*s",
			    (int)k.mv_size, (const char *)k.mv_data);
	}
	mdb_cursor_close(cursor);
	for (unsigned i = 0; err == AG_OK && i < count; i++)
		err = dump_table(d, txn, names[i]);
	return err;
}

/* hash, if not NULL, covers its tables and rows. */
static ag_err
dump_hashed(struct dump *d, const char *name, EVP_MD_CTX *hash)
{
	char path[PATH_MAX], data[PATH_MAX + 16];
	MDB_env *env = NULL;
	MDB_txn *txn = NULL;
	ag_err err = AG_OK;
	int rc;

	snprintf(path, sizeof(path), "%s/%s", d->state_dir, name);
	snprintf(data, sizeof(data), "%s/data.mdb", path);
	if (access(data, F_OK) != 0) /* a row that keeps nothing, or kept it not yet */
		return strcmp(name, "journal") == 0 ?
		    wrong(d, AG_ITEM_NOT_FOUND, path, "there is no journal") : AG_OK;
	if (d->stream != NULL)
		err = put_text(d, 'E', name, strlen(name));
	rc = mdb_env_create(&env);
	if (rc == 0 && (rc = mdb_env_set_maxdbs(env, TABLES_MAX)) == 0 &&
	    (rc = mdb_env_open(env, path, MDB_RDONLY, 0600)) == 0)
		rc = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);
	if (rc != 0)
		err = wrong(d, AG_IO, path, mdb_strerror(rc));
	d->hash = hash;
	if (err == AG_OK)
		err = dump_tables(d, txn);
	d->hash = NULL;
	if (txn != NULL)
		mdb_txn_abort(txn);
	if (env != NULL)
		mdb_env_close(env);
	d->sum->stores++;
	return err;
}

static ag_err
dump_store(struct dump *d, const char *name)
{
	return dump_hashed(d, name, NULL);
}

static ag_err
dump_journal(struct dump *d)
{
	EVP_MD_CTX *hash = EVP_MD_CTX_new();
	unsigned n = 0;
	ag_err err;

	if (hash == NULL || EVP_DigestInit_ex(hash, EVP_sha256(), NULL) != 1) {
		EVP_MD_CTX_free(hash);
		return AG_NO_MEMORY;
	}
	err = dump_hashed(d, "journal", hash);
	if (err == AG_OK && EVP_DigestFinal_ex(hash, d->sum->hash, &n) != 1)
		err = AG_GENERAL_FAILURE;
	EVP_MD_CTX_free(hash);
	return err;
}

/* ------------------------------------------------------------------- files */

/* The first `len` bytes of it, which are there; what is appended meanwhile is
 * not looked at. */
static ag_err
dump_file(struct dump *d, const char *name, uint64_t len)
{
	static uint8_t piece[PIECE_BYTES];
	char path[PATH_MAX];
	ag_err err = put_text(d, 'F', name, strlen(name));
	int fd;

	snprintf(path, sizeof(path), "%s/%s", d->state_dir, name);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)) < 0)
		return wrong(d, AG_IO, path, strerror(errno));
	if (err == AG_OK)
		err = put_number(d, len, 8);
	while (err == AG_OK && len > 0) {
		ssize_t n = read(fd, piece, len < sizeof(piece) ? len : sizeof(piece));

		if (n <= 0)
			err = wrong(d, AG_IO, path, n < 0 ? strerror(errno) : "it became shorter");
		else if ((err = put(d, piece, (size_t)n)) == AG_OK)
			len -= (uint64_t)n;
	}
	close(fd);
	d->sum->files++;
	return err;
}

static ag_err
dump_whole(struct dump *d, const char *name)
{
	char path[PATH_MAX];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", d->state_dir, name);
	if (lstat(path, &st) != 0)
		return errno == ENOENT ? AG_OK : wrong(d, AG_IO, path, strerror(errno));
	return S_ISREG(st.st_mode) ? dump_file(d, name, (uint64_t)st.st_size) : AG_OK;
}

/* Where the last whole record of the log ends. */
static ag_err
log_end(struct dump *d, uint64_t *segment, uint64_t *offset)
{
	struct ag_seg_record record;
	struct ag_segs *segs = NULL;
	char path[AG_SEG_PATH_MAX];
	uint32_t batch = 0;
	uint64_t pos;
	ag_err err;

	*segment = *offset = 0;
	if (snprintf(path, sizeof(path), "%s/audit", d->state_dir) >= (int)sizeof(path))
		return wrong(d, AG_USAGE, d->state_dir, "too long a path");
	if ((err = ag_segs_open(path, &segs)) != AG_OK)
		return wrong(d, err, path, "cannot be read");
	err = ag_segs_find(segs, UINT64_MAX);
	while (err == AG_OK && (err = ag_segs_next(segs, &record)) == AG_OK)
		batch = record.batch;
	ag_segs_where(segs, segment, offset, &pos);
	/* What does not read is just being written, unless more lies behind it. */
	if (err == AG_CORRUPT && ag_segs_released_after(segs, batch))
		err = wrong(d, AG_CORRUPT, path, ag_segs_why(segs));
	else if (err == AG_CORRUPT || err == AG_ITEM_NOT_FOUND)
		err = AG_OK;
	ag_segs_close(&segs);
	return err;
}

static int
by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int
is_plain(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');

	return entry->d_name[0] != '.' && (dot == NULL || (strcmp(dot, ".new") != 0 &&
	    strcmp(dot, ".bad") != 0));
}

/* visit(d, "<folder>/<name>") for each, in the order of their names. */
static ag_err
each(struct dump *d, const char *folder, ag_err (*visit)(struct dump *, const char *))
{
	struct dirent **entries;
	char path[PATH_MAX], name[512];
	ag_err err = AG_OK;
	int n;

	snprintf(path, sizeof(path), "%s/%s", d->state_dir, folder);
	n = scandir(path, &entries, is_plain, by_name);
	for (int i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "%s/%s", folder, entries[i]->d_name);
		if (err == AG_OK)
			err = visit(d, name);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
	return err;
}

/* A segment after the end is one that was made ahead; the last one ends where
 * the log does, and is filled up with zeros again when it is restored. */
static ag_err
dump_audit_file(struct dump *d, const char *name)
{
	static uint64_t segment, offset;
	char last[64];
	ag_err err;

	if (strstr(name, ".seg") == NULL)
		return dump_whole(d, name);
	if (segment == 0 && offset == 0 && (err = log_end(d, &segment, &offset)) != AG_OK)
		return err;
	snprintf(last, sizeof(last), "audit/%016llx.seg", (unsigned long long)segment);
	if (strcmp(name, last) < 0)
		return dump_whole(d, name);
	return strcmp(name, last) == 0 ? dump_file(d, name, offset) : AG_OK;
}

/* Slots and key must belong together: no rekey may be under way. */
static ag_err
no_rekey(struct dump *d)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/rot/wrapping.keys.next", d->state_dir);
	return access(path, F_OK) == 0 ? wrong(d, AG_UNAVAILABLE, "rot",
	    "a rekey is under way; first finish it (aegis rot rekey --resume)") : AG_OK;
}

ag_err
backup_dump(struct backup_stream *s, const char *state_dir, struct backup_sum *sum,
    char *why, size_t why_size)
{
	struct dump d = { .stream = s, .state_dir = state_dir, .sum = sum, .why = why,
		.why_size = why_size };
	ag_err err;

	snprintf(why, why_size, "cannot be written");
	if ((err = no_rekey(&d)) != AG_OK ||
	    (err = each(&d, "snapshots", dump_store)) != AG_OK ||
	    (err = each(&d, "audit", dump_audit_file)) != AG_OK ||
	    (err = dump_journal(&d)) != AG_OK ||
	    (err = dump_store(&d, "rot/blobs")) != AG_OK ||
	    (err = dump_whole(&d, "rot/wrapping.keys")) != AG_OK ||
	    (err = no_rekey(&d)) != AG_OK ||
	    (err = dump_whole(&d, "VERSION")) != AG_OK ||
	    (err = put(&d, "S", 1)) != AG_OK ||
	    (err = put(&d, sum->hash, sizeof(sum->hash))) != AG_OK ||
	    (err = put_number(&d, sum->rows, 8)) != AG_OK)
		return err;
	return backup_end(s);
}

ag_err
backup_state_hash(const char *state_dir, struct backup_sum *sum, char *why,
    size_t why_size)
{
	struct dump d = { .state_dir = state_dir, .sum = sum, .why = why,
		.why_size = why_size };

	snprintf(why, why_size, "cannot be read");
	return dump_journal(&d);
}
