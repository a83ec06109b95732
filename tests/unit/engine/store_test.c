/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const tables[] = { "things", "others", NULL };

static char base[64];

static int
setup(void **state)
{
	strcpy(base, "/tmp/aegis-store-XXXXXX");
	return mkdtemp(base) == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/a/b", base);
	if (ag_db_wipe(path) != AG_OK)
		return -1;
	rmdir(path);
	snprintf(path, sizeof(path), "%s/a", base);
	rmdir(path);
	return rmdir(base);
}

static struct ag_db *
opened(size_t map_bytes)
{
	char path[128];
	struct ag_db *db;
	struct stat st;

	snprintf(path, sizeof(path), "%s/a/b", base);
	assert_int_equal(ag_db_open(path, tables, map_bytes, &db), AG_OK);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	return db;
}

static void
put(struct ag_db *db, unsigned table, const char *key, const char *value)
{
	assert_int_equal(ag_db_put(db, table, key, strlen(key), value,
	    strlen(value)), AG_OK);
}

static void
holds(struct ag_db *db, unsigned table, const char *key, const char *value)
{
	const uint8_t *v;
	size_t n;
	ag_err err = ag_db_get(db, table, key, strlen(key), &v, &n);

	if (value == NULL) {
		assert_int_equal(err, AG_ITEM_NOT_FOUND);
		return;
	}
	assert_int_equal(err, AG_OK);
	assert_int_equal(n, strlen(value));
	assert_memory_equal(v, value, n);
}

static void
what_is_committed_stays(void **state)
{
	struct ag_db *db = opened(1 << 20);
	uint64_t n;

	assert_false(ag_db_dirty(db));
	put(db, 0, "a", "1");
	put(db, 1, "a", "other");
	put(db, 0, "a", "2");
	put(db, 0, "empty", "");
	assert_true(ag_db_dirty(db));
	holds(db, 0, "a", "2");
	assert_int_equal(ag_db_set_number(db, "seq", UINT64_MAX - 1), AG_OK);
	assert_int_equal(ag_db_commit(db), AG_OK);
	assert_false(ag_db_dirty(db));
	put(db, 0, "b", "lost");
	assert_int_equal(ag_db_del(db, 0, "a", 1), AG_OK);
	assert_int_equal(ag_db_del(db, 0, "a", 1), AG_ITEM_NOT_FOUND);
	holds(db, 0, "a", NULL);
	ag_db_close(&db);

	db = opened(1 << 20);
	holds(db, 0, "a", "2");
	holds(db, 1, "a", "other");
	holds(db, 0, "b", NULL);
	holds(db, 0, "empty", "");
	assert_int_equal(ag_db_number(db, "seq", &n), AG_OK);
	assert_true(n == UINT64_MAX - 1);
	assert_int_equal(ag_db_number(db, "nothing", &n), AG_OK);
	assert_int_equal(n, 0);
	assert_int_equal(ag_db_commit(db), AG_OK);
	ag_db_close(&db);
	assert_null(db);
}

static void
keys_are_bounded(void **state)
{
	struct ag_db *db = opened(1 << 20);
	char key[256];

	memset(key, 'k', sizeof(key));
	assert_int_equal(ag_db_put(db, 0, key, 255, "v", 1), AG_OK);
	assert_int_equal(ag_db_put(db, 0, key, 256, "v", 1), AG_BAD_MESSAGE);
	assert_int_equal(ag_db_put(db, 0, key, 0, "v", 1), AG_BAD_MESSAGE);
	ag_db_close(&db);
}

struct walk {
	struct ag_db *db;
	char seen[256];
	unsigned stop_after;
	bool change;
};

static bool
on_row(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
    size_t value_len)
{
	struct walk *w = arg;

	strncat(w->seen, (const char *)key, key_len);
	if (w->change) {
		char later[8];

		assert_int_equal(ag_db_del(w->db, 0, key, key_len), AG_OK);
		snprintf(later, sizeof(later), "%.*sx", (int)key_len,
		    (const char *)key);
		if (key_len == 1)
			put(w->db, 0, later, "put on the way");
		put(w->db, 1, "count", "changed");
	}
	return --w->stop_after > 0;
}

static void
scans_in_order_and_under_change(void **state)
{
	struct ag_db *db = opened(1 << 20);
	struct walk w = { .db = db, .stop_after = 99 };

	for (const char *k = "dbeca"; *k != '\0'; k++)
		assert_int_equal(ag_db_put(db, 0, k, 1, "v", 1), AG_OK);
	assert_int_equal(ag_db_scan(db, 0, NULL, 0, on_row, &w), AG_OK);
	assert_string_equal(w.seen, "abcde");
	w = (struct walk){ .db = db, .stop_after = 2 };
	assert_int_equal(ag_db_scan(db, 0, "bb", 2, on_row, &w), AG_OK);
	assert_string_equal(w.seen, "cd");
	w = (struct walk){ .db = db, .stop_after = 99, .change = true };
	assert_int_equal(ag_db_scan(db, 0, NULL, 0, on_row, &w), AG_OK);
	assert_string_equal(w.seen, "aaxbbxccxddxeex");
	w = (struct walk){ .db = db, .stop_after = 99 };
	assert_int_equal(ag_db_scan(db, 0, NULL, 0, on_row, &w), AG_OK);
	assert_string_equal(w.seen, "");
	ag_db_close(&db);
}

/* Finds bytes in the environment's file and changes the last of them. */
static void
damage(const char *what)
{
	char path[128], *bytes, *at;
	struct stat st;
	int fd, hits = 0;

	snprintf(path, sizeof(path), "%s/a/b/data.mdb", base);
	fd = open(path, O_RDWR);
	assert_int_equal(fstat(fd, &st), 0);
	bytes = malloc((size_t)st.st_size);
	assert_int_equal(read(fd, bytes, (size_t)st.st_size), st.st_size);
	for (at = bytes; (at = memmem(at, (size_t)(bytes + st.st_size - at), what,
	    strlen(what))) != NULL; at += strlen(what), hits++)
		assert_int_equal(pwrite(fd, "?", 1, at - bytes), 1);
	assert_true(hits > 0);
	close(fd);
	free(bytes);
}

static void
a_changed_value_is_noticed(void **state)
{
	struct ag_db *db = opened(1 << 20);
	const uint8_t *v;
	size_t n;
	struct walk w = { .db = NULL, .stop_after = 99 };

	put(db, 0, "a", "precious-value");
	put(db, 0, "z", "fine");
	assert_int_equal(ag_db_commit(db), AG_OK);
	ag_db_close(&db);
	damage("precious-value");
	db = opened(1 << 20);
	assert_int_equal(ag_db_get(db, 0, "a", 1, &v, &n), AG_CORRUPT);
	assert_null(v);
	holds(db, 0, "z", "fine");
	assert_int_equal(ag_db_scan(db, 0, NULL, 0, on_row, &w), AG_CORRUPT);
	ag_db_close(&db);
}

static void
full_loses_the_batch_and_says_so(void **state)
{
	struct ag_db *db = opened(256 << 10);
	static char big[8000];
	ag_err err = AG_OK;
	char key[16];

	put(db, 0, "kept", "yes");
	assert_int_equal(ag_db_commit(db), AG_OK);
	put(db, 0, "batch", "lost");
	for (int i = 0; i < 1000 && err == AG_OK; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		err = ag_db_put(db, 0, key, strlen(key), big, sizeof(big));
	}
	assert_int_equal(err, AG_FULL);
	assert_int_equal(ag_db_put(db, 0, "x", 1, "y", 1), AG_FULL);
	assert_int_equal(ag_db_del(db, 0, "kept", 4), AG_FULL);
	holds(db, 0, "batch", NULL);
	holds(db, 0, "kept", "yes");
	assert_int_equal(ag_db_commit(db), AG_FULL);
	put(db, 0, "again", "works");
	assert_int_equal(ag_db_commit(db), AG_OK);
	ag_db_close(&db);
	db = opened(256 << 10);
	holds(db, 0, "again", "works");
	holds(db, 0, "kept", "yes");
	holds(db, 0, "k0", NULL);
	ag_db_close(&db);
}

static bool
fill(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
    size_t value_len)
{
	static char big[70000];
	struct walk *w = arg;

	w->stop_after++;
	return ag_db_put(w->db, 1, key, key_len, big, sizeof(big)) == AG_OK ||
	    w->stop_after < 20;
}

static void
full_during_a_scan(void **state)
{
	struct ag_db *db = opened(256 << 10);
	struct walk w = { .db = db };

	for (const char *k = "abcdefgh"; *k != '\0'; k++)
		assert_int_equal(ag_db_put(db, 0, k, 1, "v", 1), AG_OK);
	assert_int_equal(ag_db_commit(db), AG_OK);
	assert_int_equal(ag_db_scan(db, 0, NULL, 0, fill, &w), AG_OK);
	assert_int_equal(w.stop_after, 8);
	assert_int_equal(ag_db_commit(db), AG_FULL);
	ag_db_close(&db);
}

static void
not_a_store(void **state)
{
	char path[128];
	struct ag_db *db = opened(1 << 20);
	int fd;

	ag_db_close(&db);
	snprintf(path, sizeof(path), "%s/a/b/data.mdb", base);
	fd = open(path, O_RDWR | O_TRUNC);
	for (int i = 0; i < 10000; i++)
		assert_int_equal(write(fd, "garbage!", 8), 8);
	close(fd);
	snprintf(path, sizeof(path), "%s/a/b", base);
	assert_int_equal(ag_db_open(path, tables, 1 << 20, &db), AG_CORRUPT);
	assert_null(db);
	assert_int_equal(ag_db_wipe(path), AG_OK);
	db = opened(1 << 20);
	ag_db_close(&db);
	assert_int_equal(ag_db_open("/proc/nowhere/x", tables, 1 << 20, &db),
	    AG_IO);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_is_committed_stays),
		TEST(keys_are_bounded),
		TEST(scans_in_order_and_under_change),
		TEST(a_changed_value_is_noticed),
		TEST(full_loses_the_batch_and_says_so),
		TEST(full_during_a_scan),
		TEST(not_a_store),
	};

	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
