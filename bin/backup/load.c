/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load: a backup read from its start to its end, and, if a directory is given,
 * written there. What does not follow the format is refused, however well it
 * was sealed.
 */
#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <lmdb.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	NAME_MAX_BYTES = 255,
	VALUE_BYTES_MAX = 8 << 20,
	ROWS_PER_COMMIT = 20000,
	SEGMENT_SIZE_AT = 16,
	PIECE_BYTES = 64 << 10,
};

struct load {
	struct backup_stream *stream;
	const char *dir; /* NULL: only read */
	struct backup_sum *sum;
	EVP_MD_CTX *hash;
	bool in_journal, had_journal;
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
	bool has_table;
	unsigned rows; /* since the last commit */
	uint8_t *value;
	char *why;
	size_t why_size;
};

static ag_err
wrong(struct load *l, ag_err err, const char *what, const char *why)
{
	snprintf(l->why, l->why_size, "%s: %s", what, why);
	return err;
}

static ag_err
get(struct load *l, void *bytes, size_t len)
{
	ag_err err = backup_get(l->stream, bytes, len);

	if (err != AG_OK)
		return wrong(l, err, "the backup", "it was changed or cut off");
	if (l->in_journal && EVP_DigestUpdate(l->hash, bytes, len) != 1)
		return AG_GENERAL_FAILURE;
	return AG_OK;
}

static ag_err
get_number(struct load *l, unsigned bytes, uint64_t *out)
{
	uint8_t le[8];
	ag_err err = get(l, le, bytes);

	*out = 0;
	while (err == AG_OK && bytes-- > 0)
		*out = *out << 8 | le[bytes];
	return err;
}

/* A relative name without "..", so that nothing is written elsewhere. */
static bool
name_ok(const char *name)
{
	return name[0] != '\0' && name[0] != '/' && strstr(name, "..") == NULL;
}

static ag_err
get_name(struct load *l, char out[NAME_MAX_BYTES + 1])
{
	uint64_t len;
	ag_err err = get_number(l, 2, &len);

	if (err == AG_OK && (len == 0 || len > NAME_MAX_BYTES))
		return wrong(l, AG_CORRUPT, "the backup", "a name of no good length");
	if (err == AG_OK && (err = get(l, out, len)) == AG_OK) {
		out[len] = '\0';
		if (strlen(out) != len || !name_ok(out))
			err = wrong(l, AG_CORRUPT, "the backup", "a name that leads elsewhere");
	}
	return err;
}

static ag_err
make_parents(struct load *l, char *path)
{
	for (char *p = path + strlen(l->dir) + 1; (p = strchr(p, '/')) != NULL; p++) {
		*p = '\0';
		if (mkdir(path, 0700) != 0 && errno != EEXIST)
			return wrong(l, AG_IO, path, strerror(errno));
		*p = '/';
	}
	return AG_OK;
}

/* ------------------------------------------------------------------ stores */

static ag_err
lmdb(struct load *l, int rc)
{
	return rc == 0 ? AG_OK : wrong(l, AG_IO, "a store", mdb_strerror(rc));
}

static ag_err
close_store(struct load *l)
{
	ag_err err = AG_OK;

	if (l->txn != NULL)
		err = lmdb(l, mdb_txn_commit(l->txn));
	l->txn = NULL;
	if (l->env != NULL)
		mdb_env_close(l->env);
	l->env = NULL;
	l->has_table = l->in_journal = false;
	return err;
}

static ag_err
on_store(struct load *l)
{
	char name[NAME_MAX_BYTES + 1], path[PATH_MAX];
	ag_err err = close_store(l);

	if (err != AG_OK || (err = get_name(l, name)) != AG_OK)
		return err;
	l->sum->stores++;
	l->in_journal = strcmp(name, "journal") == 0 && !l->had_journal;
	l->had_journal = l->had_journal || l->in_journal;
	if (l->dir == NULL)
		return AG_OK;
	snprintf(path, sizeof(path), "%s/%s/", l->dir, name);
	if ((err = make_parents(l, path)) != AG_OK ||
	    (err = lmdb(l, mdb_env_create(&l->env))) != AG_OK ||
	    (err = lmdb(l, mdb_env_set_maxdbs(l->env, TABLES_MAX))) != AG_OK ||
	    (err = lmdb(l, mdb_env_set_mapsize(l->env, (size_t)1 << 36))) != AG_OK ||
	    (err = lmdb(l, mdb_env_open(l->env, path, 0, 0600))) != AG_OK)
		return err;
	return lmdb(l, mdb_txn_begin(l->env, NULL, 0, &l->txn));
}

static ag_err
on_table(struct load *l)
{
	char name[NAME_MAX_BYTES + 1];
	ag_err err = get_name(l, name);

	if (err != AG_OK || l->dir == NULL)
		return err;
	if (l->txn == NULL)
		return wrong(l, AG_CORRUPT, "the backup", "a table of no store");
	l->has_table = true;
	return lmdb(l, mdb_dbi_open(l->txn, name, MDB_CREATE, &l->dbi));
}

/* In the order of the keys, as they were read: LMDB need not search. */
static ag_err
put_row(struct load *l, MDB_val *k, MDB_val *v)
{
	ag_err err;

	if (!l->has_table)
		return wrong(l, AG_CORRUPT, "the backup", "a row of no table");
	if ((err = lmdb(l, mdb_put(l->txn, l->dbi, k, v, MDB_APPEND))) != AG_OK ||
	    ++l->rows < ROWS_PER_COMMIT)
		return err;
	l->rows = 0;
	err = lmdb(l, mdb_txn_commit(l->txn));
	l->txn = NULL;
	return err == AG_OK ? lmdb(l, mdb_txn_begin(l->env, NULL, 0, &l->txn)) : err;
}

static ag_err
on_row(struct load *l)
{
	uint8_t key[NAME_MAX_BYTES];
	MDB_val row_key, row_value;
	uint64_t key_len, len;
	ag_err err;

	if ((err = get_number(l, 2, &key_len)) != AG_OK ||
	    (err = get_number(l, 4, &len)) != AG_OK)
		return err;
	if (key_len == 0 || key_len > sizeof(key) || len > VALUE_BYTES_MAX)
		return wrong(l, AG_CORRUPT, "the backup", "a row of no good length");
	if ((err = get(l, key, key_len)) != AG_OK || (err = get(l, l->value, len)) != AG_OK)
		return err;
	l->sum->rows += l->in_journal;
	row_key = (MDB_val){ key_len, key };
	row_value = (MDB_val){ len, l->value };
	return l->dir == NULL ? AG_OK : put_row(l, &row_key, &row_value);
}

/* ------------------------------------------------------------------- files */

static ag_err
fill(struct load *l, int fd, const char *path, uint64_t len)
{
	static uint8_t piece[PIECE_BYTES];
	uint64_t at = 0, size = 0;
	ag_err err = AG_OK;

	while (at < len && err == AG_OK) {
		size_t n = len - at < sizeof(piece) ? (size_t)(len - at) : sizeof(piece);

		if ((err = get(l, piece, n)) != AG_OK)
			break;
		for (unsigned i = 8; at == 0 && n >= 64 && i-- > 0;)
			size = size << 8 | piece[SEGMENT_SIZE_AT + i];
		if (fd >= 0 && write(fd, piece, n) != (ssize_t)n)
			err = wrong(l, AG_IO, path, strerror(errno));
		at += n;
	}
	/* A segment is as long as its head says: zeros follow its records. */
	if (err == AG_OK && fd >= 0 && strstr(path, ".seg") != NULL && size > len &&
	    size <= (uint64_t)4 << 30 && ftruncate(fd, (off_t)size) != 0)
		err = wrong(l, AG_IO, path, strerror(errno));
	return err;
}

static ag_err
on_file(struct load *l)
{
	char name[NAME_MAX_BYTES + 1], path[PATH_MAX] = "";
	uint64_t len;
	int fd = -1;
	ag_err err = close_store(l);

	if (err != AG_OK || (err = get_name(l, name)) != AG_OK ||
	    (err = get_number(l, 8, &len)) != AG_OK)
		return err;
	l->sum->files++;
	if (l->dir != NULL) {
		snprintf(path, sizeof(path), "%s/%s", l->dir, name);
		if ((err = make_parents(l, path)) != AG_OK)
			return err;
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd < 0)
			return wrong(l, AG_IO, path, strerror(errno));
	}
	err = fill(l, fd, path, len);
	if (fd >= 0 && close(fd) != 0 && err == AG_OK)
		err = wrong(l, AG_IO, path, strerror(errno));
	return err;
}

/* ----------------------------------------------------------------- the end */

static ag_err
on_sum(struct load *l)
{
	uint8_t hash[AG_HASH_BYTES];
	uint64_t rows;
	unsigned n = 0;
	ag_err err = close_store(l);

	if (err != AG_OK || (err = get(l, hash, sizeof(hash))) != AG_OK ||
	    (err = get_number(l, 8, &rows)) != AG_OK)
		return err;
	if (EVP_DigestFinal_ex(l->hash, l->sum->hash, &n) != 1)
		return AG_GENERAL_FAILURE;
	if (!l->had_journal || rows != l->sum->rows ||
	    memcmp(hash, l->sum->hash, sizeof(hash)) != 0)
		return wrong(l, AG_CORRUPT, "the backup", "its journal is not what it says");
	if (backup_is_end(l->stream) != AG_OK)
		return wrong(l, AG_CORRUPT, "the backup", "it was cut off, or something follows it");
	return AG_OK;
}

static const struct {
	char kind;
	ag_err (*take)(struct load *l);
} entries[] = {
	{ 'E', on_store }, { 'T', on_table }, { 'R', on_row }, { 'F', on_file }, { 'S', on_sum },
};

static ag_err
take_entry(struct load *l, char *kind)
{
	ag_err err = backup_get(l->stream, kind, 1);

	if (err != AG_OK)
		return wrong(l, err, "the backup", "it was changed or cut off");
	if (l->in_journal && (*kind == 'T' || *kind == 'R') &&
	    EVP_DigestUpdate(l->hash, kind, 1) != 1)
		return AG_GENERAL_FAILURE;
	for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++)
		if (entries[i].kind == *kind)
			return entries[i].take(l);
	return wrong(l, AG_CORRUPT, "the backup", "an entry of no known kind");
}

ag_err
backup_load(struct backup_stream *s, const char *dir, struct backup_sum *sum, char *why,
    size_t why_size)
{
	struct load l = { .stream = s, .dir = dir, .sum = sum, .hash = EVP_MD_CTX_new(),
		.value = malloc(VALUE_BYTES_MAX), .why = why, .why_size = why_size };
	ag_err err = AG_OK;
	char kind = 0;

	memset(sum, 0, sizeof(*sum));
	snprintf(why, why_size, "no memory");
	if (l.hash == NULL || l.value == NULL ||
	    EVP_DigestInit_ex(l.hash, EVP_sha256(), NULL) != 1)
		err = AG_NO_MEMORY;
	while (err == AG_OK && kind != 'S')
		err = take_entry(&l, &kind);
	if (l.txn != NULL)
		mdb_txn_abort(l.txn);
	if (l.env != NULL)
		mdb_env_close(l.env);
	EVP_MD_CTX_free(l.hash);
	free(l.value);
	return err;
}
