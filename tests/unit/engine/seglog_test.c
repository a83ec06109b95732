/* SPDX-License-Identifier: Apache-2.0 */
#include <aegis/aegis.h>
#include <aegis/seglog.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
/* cmocka wants the above first */
#include <cmocka.h>

struct fixture {
	char dir[64];
	struct ag_seglog *log;
	uint8_t hash[AG_HASH_BYTES];
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/aegis-seg-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(ag_seglog_create(f->dir, 8 << 20, &f->log), AG_OK);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;
	char command[128];

	ag_seglog_close(&f->log);
	snprintf(command, sizeof(command), "rm -r %s", f->dir);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

static bool
append(struct fixture *f, const char *body, size_t len)
{
	bool rolled;

	assert_int_equal(ag_seglog_room(f->log, ag_seglog_cost(1, len), &rolled),
	    AG_OK);
	ag_seg_link(f->hash, body, len, f->hash);
	ag_seglog_append(f->log, AG_SEG_EVENT, "t", 42, f->hash, body, len);
	return rolled;
}

static void
reads_back_what_was_written(void **state)
{
	struct fixture *f = *state;
	struct ag_seg_record record;
	struct ag_segs *segs;

	append(f, "one", 3);
	append(f, "two", 3);
	assert_int_equal(ag_seglog_sync(f->log), AG_OK);
	append(f, "three", 5);
	assert_int_equal(ag_seglog_sync(f->log), AG_OK);
	assert_int_equal(ag_seglog_next_pos(f->log), 4);
	assert_int_equal(ag_segs_open(f->dir, &segs), AG_OK);
	assert_int_equal(ag_segs_next(segs, &record), AG_OK);
	assert_int_equal(record.pos, 1);
	assert_int_equal(record.at, 42);
	assert_string_equal(record.tenant, "t");
	assert_memory_equal(record.body, "one", 3);
	assert_int_equal(ag_segs_next(segs, &record), AG_OK);
	assert_int_equal(record.batch, 1);
	assert_int_equal(ag_segs_next(segs, &record), AG_OK);
	assert_int_equal(record.batch, 2);
	assert_int_equal(record.body_len, 5);
	assert_int_equal(ag_segs_next(segs, &record), AG_ITEM_NOT_FOUND);
	/* A later write is seen by the same reader. */
	append(f, "four", 4);
	assert_int_equal(ag_seglog_sync(f->log), AG_OK);
	assert_int_equal(ag_segs_next(segs, &record), AG_OK);
	assert_memory_equal(record.body, "four", 4);
	ag_segs_close(&segs);
}

static void
goes_on_in_a_new_segment(void **state)
{
	struct fixture *f = *state;
	static char body[100000];
	struct ag_seg_record record;
	const uint64_t *firsts;
	struct ag_segs *segs;
	unsigned rolls = 0;
	size_t count;

	for (unsigned i = 0; i < 100; i++)
		rolls += append(f, body, sizeof(body));
	assert_int_equal(ag_seglog_sync(f->log), AG_OK);
	assert_true(rolls >= 2);
	assert_int_equal(ag_segs_open(f->dir, &segs), AG_OK);
	assert_int_equal(ag_segs_list(segs, &firsts, &count), AG_OK);
	assert_int_equal(count, rolls + 1);
	for (unsigned i = 1; i <= 100; i++) {
		assert_int_equal(ag_segs_next(segs, &record), AG_OK);
		assert_int_equal(record.pos, i);
	}
	assert_int_equal(ag_segs_next(segs, &record), AG_ITEM_NOT_FOUND);
	/* And by position. */
	assert_int_equal(ag_segs_find(segs, 60), AG_OK);
	assert_int_equal(ag_segs_next(segs, &record), AG_OK);
	assert_true(record.pos > 1 && record.pos <= 60);
	ag_segs_close(&segs);
}

static void
makes_the_spare_in_time(void **state)
{
	struct fixture *f = *state;
	static char body[100000];
	struct ag_seglog_spare spare;
	struct stat st;

	assert_false(ag_seglog_spare_due(f->log, &spare));
	for (unsigned i = 0; i < 15; i++)
		append(f, body, sizeof(body));
	assert_true(ag_seglog_spare_due(f->log, &spare));
	assert_false(ag_seglog_spare_due(f->log, &spare)); /* under way */
	assert_int_equal(spare.bytes, 8 << 20);
	assert_int_equal(ag_seglog_spare_make(&spare), AG_OK);
	assert_int_equal(stat(spare.path, &st), 0);
	assert_int_equal(st.st_size, 8 << 20);
	ag_seglog_spare_done(f->log, &spare, AG_OK);
	for (unsigned i = 0; i < 40; i++)
		append(f, body, sizeof(body));
	assert_int_not_equal(stat(spare.path, &st), 0); /* it is a segment now */
	assert_int_equal(ag_seglog_sync(f->log), AG_OK);
}

static void
poke_file(const struct fixture *f, off_t offset, const void *bytes, size_t len)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/0000000000000001.seg", f->dir);
	fd = open(path, O_WRONLY);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, len, offset), (ssize_t)len);
	close(fd);
}

/* Every durable write goes through here; the one that a crash is to fall into
 * leaves `torn` of its bytes, from `torn_from` on, and is the last. */
static struct {
	const char *when; /* is there; NULL: no crash */
	size_t torn_from, torn;
	bool happened;
} crash;

ssize_t
pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
	const uint8_t *bytes = parts[0].iov_base;

	(void)flags;
	assert_int_equal(count, 1);
	if (crash.when == NULL || access(crash.when, F_OK) != 0)
		return pwrite(fd, bytes, parts[0].iov_len, offset);
	crash.happened = true;
	if (crash.torn > 0)
		assert_int_equal(pwrite(fd, bytes + crash.torn_from, crash.torn,
		    offset + (off_t)crash.torn_from), (ssize_t)crash.torn);
	errno = EIO;
	return -1;
}

/* Found by reading: the new segment was there before the events that its name
 * counts, so the log after this very crash was taken for damaged for ever. */
static void
a_crash_while_it_rolls_loses_nothing(void **state)
{
	static const struct { size_t from, len; } torn[] = { { 0, 0 }, { 0, 6 },
		{ 0, 30 }, { 40, 24 }, { 4, 1 }, { 0, AG_SEG_RECORD_BYTES } };
	struct fixture *f = *state;
	static char body[100000];
	struct ag_seg_record record;
	struct ag_segs *segs;
	char next[128];
	bool rolled;

	for (size_t i = 0; i < sizeof(torn) / sizeof(torn[0]); i++) {
		uint64_t events = 0, segment, offset, pos;

		teardown(state);
		setup(state);
		f = *state;
		/* As many as there is room for; the last two are not synced. */
		while (AG_SEG_HEADER_BYTES + AG_SEG_RECORD_BYTES + (events + 1) *
		    ag_seglog_cost(1, sizeof(body)) <= AG_SEG_BYTES_MIN) {
			append(f, body, sizeof(body));
			if (++events == 3)
				assert_int_equal(ag_seglog_sync(f->log), AG_OK);
		}
		snprintf(next, sizeof(next), "%s/%016llx.seg", f->dir,
		    (unsigned long long)events + 1);
		memset(&crash, 0, sizeof(crash));
		crash.when = next;
		crash.torn_from = torn[i].from;
		crash.torn = torn[i].len;
		assert_int_equal(ag_seglog_room(f->log,
		    ag_seglog_cost(1, sizeof(body)), &rolled), AG_IO);
		crash.when = NULL;
		assert_true(crash.happened);
		ag_seglog_close(&f->log);
		assert_int_equal(ag_segs_open(f->dir, &segs), AG_OK);
		for (uint64_t n = 1; n <= events; n++) {
			assert_int_equal(ag_segs_next(segs, &record), AG_OK);
			assert_int_equal(record.pos, n);
		}
		assert_int_equal(ag_segs_next(segs, &record), AG_ITEM_NOT_FOUND);
		ag_segs_where(segs, &segment, &offset, &pos);
		assert_int_equal(segment, events + 1);
		assert_int_equal(pos, events + 1);
		ag_segs_close(&segs);
		assert_int_equal(ag_seglog_resume(f->dir, 8 << 20, segment, offset,
		    pos, 1, &f->log), AG_OK);
		assert_false(append(f, "on", 2));
		assert_int_equal(ag_seglog_sync(f->log), AG_OK);
	}
}

/* What only looks like an END in part, or lies before no segment, is damage. */
static void
a_torn_end_is_nothing_else(void **state)
{
	struct fixture *f = *state;
	static char body[100000];
	struct ag_seg_record record;
	struct ag_segs *segs;
	uint64_t last = 0;

	while (!append(f, body, sizeof(body)))
		last++;
	assert_int_equal(ag_seglog_sync(f->log), AG_OK);
	assert_int_equal(ag_segs_open(f->dir, &segs), AG_OK);
	poke_file(f, (off_t)(AG_SEG_HEADER_BYTES +
	    last * ag_seglog_cost(1, sizeof(body))) + 12, "\1", 1);
	for (uint64_t n = 1; n <= last; n++)
		assert_int_equal(ag_segs_next(segs, &record), AG_OK);
	assert_int_equal(ag_segs_next(segs, &record), AG_CORRUPT);
	ag_segs_close(&segs);
}

static void
tells_a_torn_tail_from_damage(void **state)
{
	struct fixture *f = *state;
	uint64_t segment, offset, pos;
	struct ag_seg_record record;
	struct ag_segs *segs;
	const uint8_t *rest;
	size_t len;

	for (unsigned i = 0; i < 3; i++) {
		append(f, "event", 5);
		assert_int_equal(ag_seglog_sync(f->log), AG_OK);
	}
	assert_int_equal(ag_segs_open(f->dir, &segs), AG_OK);
	assert_int_equal(ag_segs_next(segs, &record), AG_OK);
	ag_segs_where(segs, &segment, &offset, &pos);
	/* The last record in part: nothing behind it, so it may be cut. */
	assert_int_equal(ag_segs_next(segs, &record), AG_OK);
	poke_file(f, (off_t)(record.offset + 72) + 6, "\xff", 1);
	assert_int_equal(ag_segs_next(segs, &record), AG_CORRUPT);
	assert_false(ag_segs_released_after(segs, 2));
	rest = ag_segs_rest(segs, &len);
	assert_non_null(rest);
	assert_true(len > 0);
	/* The middle one: a later batch shows that it was released. */
	assert_int_equal(ag_segs_seek(segs, segment, offset, pos), AG_OK);
	poke_file(f, (off_t)offset + 6, "\xff", 1);
	poke_file(f, (off_t)offset + 72 + 6, "\xa1", 1);
	assert_int_equal(ag_segs_next(segs, &record), AG_CORRUPT);
	assert_true(ag_segs_released_after(segs, 1));
	ag_segs_close(&segs);
}

static void
goes_on_after_a_cut(void **state)
{
	struct fixture *f = *state;
	struct ag_seg_record record;
	struct ag_segs *segs;

	append(f, "one", 3);
	assert_int_equal(ag_seglog_sync(f->log), AG_OK);
	ag_seglog_close(&f->log);
	poke_file(f, AG_SEG_HEADER_BYTES + 72, "torn", 4);
	assert_int_equal(ag_seglog_resume(f->dir, 8 << 20, 1,
	    AG_SEG_HEADER_BYTES + 72, 2, 1, &f->log), AG_OK);
	append(f, "two", 3);
	assert_int_equal(ag_seglog_sync(f->log), AG_OK);
	assert_int_equal(ag_segs_open(f->dir, &segs), AG_OK);
	assert_int_equal(ag_segs_next(segs, &record), AG_OK);
	assert_int_equal(ag_segs_next(segs, &record), AG_OK);
	assert_memory_equal(record.body, "two", 3);
	assert_int_equal(record.batch, 2);
	assert_int_equal(ag_segs_next(segs, &record), AG_ITEM_NOT_FOUND);
	ag_segs_close(&segs);
}

static void
refuses_a_file_cut_short(void **state)
{
	struct fixture *f = *state;
	struct ag_seg_record record;
	struct ag_segs *segs;
	char path[128];

	append(f, "one", 3);
	assert_int_equal(ag_seglog_sync(f->log), AG_OK);
	snprintf(path, sizeof(path), "%s/0000000000000001.seg", f->dir);
	assert_int_equal(truncate(path, 1000), 0);
	assert_int_equal(ag_segs_open(f->dir, &segs), AG_OK);
	assert_int_equal(ag_segs_next(segs, &record), AG_CORRUPT);
	assert_non_null(strstr(ag_segs_why(segs), "bytes long"));
	ag_segs_close(&segs);
}

/* Found by fuzzing: the reader went round in the first segment for ever. */
static void
an_end_before_any_event_is_no_way_on(void **state)
{
	struct fixture *f = *state;
	struct ag_seg_record record;
	struct ag_segs *segs;
	uint8_t hash[AG_HASH_BYTES];

	ag_seg_hash(AG_SEG_END, "", "", 0, hash);
	ag_seglog_append(f->log, AG_SEG_END, "", 0, hash, "", 0);
	assert_int_equal(ag_seglog_sync(f->log), AG_OK);
	assert_int_equal(ag_segs_open(f->dir, &segs), AG_OK);
	assert_int_equal(ag_segs_next(segs, &record), AG_CORRUPT);
	ag_segs_close(&segs);
}

/* RFC 6962's tree, computed the slow way. */
static void
slow_root(uint8_t (*leaves)[32], size_t n, uint8_t out[32])
{
	uint8_t left[32], right[32];
	size_t k = 1;

	if (n == 1) {
		memcpy(out, leaves[0], 32);
		return;
	}
	while (k * 2 < n)
		k *= 2;
	slow_root(leaves, k, left);
	slow_root(leaves + k, n - k, right);
	ag_merkle_node(left, right, out);
}

static void
the_tree_is_rfc_6962s(void **state)
{
	struct ag_merkle tree = { 0 };
	uint8_t leaves[70][32], root[32], want[32];
	/* The empty tree and the empty leaf, from the RFC's reference tests. */
	static const uint8_t empty[4] = { 0xe3, 0xb0, 0xc4, 0x42 };
	static const uint8_t empty_leaf[4] = { 0x6e, 0x34, 0x0b, 0x9c };

	(void)state;
	ag_merkle_root(&tree, root);
	assert_memory_equal(root, empty, 4);
	ag_merkle_leaf("", 0, root);
	assert_memory_equal(root, empty_leaf, 4);
	for (unsigned i = 0; i < 70; i++) {
		ag_merkle_leaf(&i, sizeof(i), leaves[i]);
		ag_merkle_add(&tree, leaves[i]);
		ag_merkle_root(&tree, root);
		slow_root(leaves, i + 1, want);
		assert_memory_equal(root, want, 32);
	}
}

/* SUBPROOF of RFC 6962 §2.1.2, word for word. */
static size_t
slow_proof(uint8_t (*leaves)[32], size_t m, size_t n, bool whole,
    uint8_t (*out)[32])
{
	size_t k = 1, len;

	if (m == n) {
		if (!whole)
			slow_root(leaves, n, out[0]);
		return whole ? 0 : 1;
	}
	while (k * 2 < n)
		k *= 2;
	if (m <= k) {
		len = slow_proof(leaves, m, k, whole, out);
		slow_root(leaves + k, n - k, out[len]);
	} else {
		len = slow_proof(leaves + k, m - k, n - k, false, out);
		slow_root(leaves, k, out[len]);
	}
	return len + 1;
}

/* One bit of anything that is compared, one step more or less. */
static void
bent_is_refused(size_t m, uint8_t *older, size_t n, uint8_t *newer,
    uint8_t (*path)[32], size_t len)
{
	const uint8_t (*said)[32] = (const uint8_t (*)[32])path;

	for (size_t i = 0; i < len; i++) {
		path[i][i % 32] ^= 1;
		assert_false(ag_merkle_consistent(m, older, n, newer, said, len));
		path[i][i % 32] ^= 1;
	}
	older[3] ^= 4;
	assert_false(ag_merkle_consistent(m, older, n, newer, said, len));
	older[3] ^= 4;
	newer[31] ^= 128;
	assert_false(ag_merkle_consistent(m, older, n, newer, said, len));
	newer[31] ^= 128;
	memcpy(path[len], newer, 32);
	assert_false(ag_merkle_consistent(m, older, n, newer, said, len + 1));
	if (len > 0)
		assert_false(ag_merkle_consistent(m, older, n, newer, said, len - 1));
	if (m != n)
		assert_false(ag_merkle_consistent(n, older, m, newer, said, len));
	assert_false(ag_merkle_consistent(0, older, n, newer, said, len));
}

static void
consistency_is_rfc_6962s(void **state)
{
	uint8_t leaves[70][32], path[64][32], older[32], newer[32];

	(void)state;
	for (unsigned i = 0; i < 70; i++)
		ag_merkle_leaf(&i, sizeof(i), leaves[i]);
	for (size_t n = 1; n <= 70; n++)
		for (size_t m = 1; m <= n; m++) {
			size_t len = slow_proof(leaves, m, n, true, path);

			slow_root(leaves, m, older);
			slow_root(leaves, n, newer);
			assert_true(ag_merkle_consistent(m, older, n, newer,
			    (const uint8_t (*)[32])path, len));
			bent_is_refused(m, older, n, newer, path, len);
		}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(reads_back_what_was_written, setup, teardown),
		cmocka_unit_test_setup_teardown(goes_on_in_a_new_segment, setup, teardown),
		cmocka_unit_test_setup_teardown(makes_the_spare_in_time, setup, teardown),
		cmocka_unit_test_setup_teardown(tells_a_torn_tail_from_damage, setup, teardown),
		cmocka_unit_test_setup_teardown(a_crash_while_it_rolls_loses_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(a_torn_end_is_nothing_else, setup, teardown),
		cmocka_unit_test_setup_teardown(goes_on_after_a_cut, setup, teardown),
		cmocka_unit_test_setup_teardown(refuses_a_file_cut_short, setup, teardown),
		cmocka_unit_test_setup_teardown(an_end_before_any_event_is_no_way_on, setup, teardown),
		cmocka_unit_test(the_tree_is_rfc_6962s),
		cmocka_unit_test(consistency_is_rfc_6962s),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
