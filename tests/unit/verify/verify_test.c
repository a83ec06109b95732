/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every way to tamper with a log, and what verify says.
 */
#include "audit_log.h"
#include "verify.h"

#include <aegis/seglog.h>

#include <openssl/pem.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka wants the above first */
#include <cmocka.h>

enum { EVENTS = 20, LAST_LINE_MAX = 512 };

struct place {
	uint64_t offset;
	size_t size;
	enum ag_seg_kind kind;
};

struct fixture {
	char dir[64], log_dir[80], segment[128], key[128];
	struct audit_log log;
	char line[LAST_LINE_MAX]; /* the last one that verify printed */
	struct place places[200];
	size_t place_count;
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/aegis-verify-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->log_dir, sizeof(f->log_dir), "%s/audit", f->dir);
	snprintf(f->segment, sizeof(f->segment), "%s/0000000000000001.seg",
	    f->log_dir);
	snprintf(f->key, sizeof(f->key), "%s/public-key.pem", f->log_dir);
	audit_log_open(&f->log, f->dir, NULL);
	audit_log_rot(&f->log);
	audit_log_events(&f->log, "default", EVENTS / 2);
	audit_log_sign(&f->log);
	audit_log_events(&f->log, "default", EVENTS / 2);
	audit_log_sign(&f->log);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;
	char command[128];

	if (f->log.kit != NULL)
		audit_log_close(&f->log);
	EVP_PKEY_free(f->log.key);
	EVP_PKEY_free(f->log.old);
	snprintf(command, sizeof(command), "rm -r %s", f->dir);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

/* The exit status; f->line is the last line of stdout. */
static int
verify(struct fixture *f, const char *option, const char *value)
{
	char *argv[] = { (char *)"verify", (char *)"--dir", f->log_dir,
		(char *)"--public-key", f->key, (char *)option, (char *)value, NULL };
	int out = dup(STDOUT_FILENO), file, status;
	char path[128], text[8192], *end, *begin;
	ssize_t len;

	snprintf(path, sizeof(path), "%s/stdout", f->dir);
	file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	fflush(stdout);
	dup2(file, STDOUT_FILENO);
	status = ag_cmd_audit_verify(option == NULL ? 5 : 7, argv);
	fflush(stdout);
	dup2(out, STDOUT_FILENO);
	close(out);
	len = pread(file, text, sizeof(text) - 1, 0);
	close(file);
	text[len < 0 ? 0 : len] = '\0';
	end = strrchr(text, '\n');
	if (end != NULL)
		*end = '\0';
	begin = strrchr(text, '\n');
	begin = begin == NULL ? text : begin + 1;
	assert_true(strlen(begin) < sizeof(f->line));
	strcpy(f->line, begin);
	return status;
}

static void
expect(struct fixture *f, int status, const char *line)
{
	int got = verify(f, NULL, NULL);

	if (strncmp(f->line, line, strlen(line)) != 0)
		fail_msg("said \"%s\", not \"%s\"", f->line, line);
	assert_int_equal(got, status);
}

/* Closes the log and finds every record. */
static void
places(struct fixture *f)
{
	uint64_t segment, offset, pos;
	struct ag_seg_record record;
	struct ag_segs *segs;

	audit_log_close(&f->log);
	f->place_count = 0;
	assert_int_equal(ag_segs_open(f->log_dir, &segs), AG_OK);
	while (ag_segs_next(segs, &record) == AG_OK) {
		struct place *p = &f->places[f->place_count++];

		ag_segs_where(segs, &segment, &offset, &pos);
		p->kind = record.kind;
		p->offset = record.offset;
		p->size = offset - record.offset;
	}
	ag_segs_close(&segs);
}

static uint64_t
log_end(const struct fixture *f)
{
	const struct place *last = &f->places[f->place_count - 1];

	return last->offset + last->size;
}

static void
get(const struct fixture *f, uint64_t offset, void *bytes, size_t len)
{
	int fd = open(f->segment, O_RDONLY);

	assert_int_equal(pread(fd, bytes, len, (off_t)offset), (ssize_t)len);
	close(fd);
}

static void
put(const struct fixture *f, uint64_t offset, const void *bytes, size_t len)
{
	int fd = open(f->segment, O_WRONLY);

	assert_int_equal(pwrite(fd, bytes, len, (off_t)offset), (ssize_t)len);
	close(fd);
}

/* The i-th event's record. */
static const struct place *
event(const struct fixture *f, unsigned i)
{
	for (size_t k = 0; k < f->place_count; k++) {
		if (f->places[k].kind == AG_SEG_EVENT && --i == 0)
			return &f->places[k];
	}
	fail_msg("no such event");
	return NULL;
}

/* Replaces [offset, offset + old) by bytes; the rest moves up or down. */
static void
replace(struct fixture *f, uint64_t offset, size_t old, const void *bytes,
    size_t len)
{
	uint64_t end = log_end(f);
	size_t rest = end - offset - old;
	uint8_t *tail = calloc(1, rest + old + 8);

	get(f, offset + old, tail, rest);
	if (len > 0)
		put(f, offset, bytes, len);
	put(f, offset + len, tail, rest + (len < old ? old - len : 0));
	free(tail);
}

static void
a_sound_log(void **state)
{
	struct fixture *f = *state;

	expect(f, 0, "audit: 20 events verified, head 20 ");
	assert_non_null(strstr(f->line, ", unsigned 0"));
	audit_log_events(&f->log, "default", 3);
	expect(f, 0, "audit: 23 events verified, head 23 ");
	assert_non_null(strstr(f->line, ", unsigned 3"));
	/* One tenant of two. */
	audit_log_events(&f->log, "other", 2);
	assert_int_equal(verify(f, "--tenant", "other"), 0);
	assert_memory_equal(f->line, "audit: 2 events verified, head 2 ", 33);
	assert_int_equal(verify(f, "--tenant", "nobody"), 1);
	expect(f, 0, "audit: 25 events verified, head 2 ");
	assert_non_null(strstr(f->line, ", unsigned 5"));
}

static void
edited_event(void **state)
{
	struct fixture *f = *state;
	const struct place *p;
	uint8_t byte;

	places(f);
	p = event(f, 7);
	get(f, p->offset + p->size - 20, &byte, 1);
	byte ^= 1;
	put(f, p->offset + p->size - 20, &byte, 1);
	expect(f, 1, "audit: broken at seq 7: edited: ");
}

static void
deleted_event(void **state)
{
	struct fixture *f = *state;
	const struct place *p;

	places(f);
	p = event(f, 7);
	replace(f, p->offset, p->size, NULL, 0);
	expect(f, 1, "audit: broken at seq 7: deleted: event 7 of default is missing");
}

static void
reordered_events(void **state)
{
	struct fixture *f = *state;
	const struct place *a, *b;
	uint8_t one[2048], two[2048];

	places(f);
	a = event(f, 7);
	b = event(f, 8);
	get(f, a->offset, one, a->size);
	get(f, b->offset, two, b->size);
	put(f, a->offset, two, b->size);
	put(f, a->offset + b->size, one, a->size);
	expect(f, 1, "audit: broken at seq 7: reordered: ");
}

static void
inserted_event(void **state)
{
	struct fixture *f = *state;
	const struct place *p;
	uint8_t copy[2048];

	places(f);
	p = event(f, 7);
	get(f, p->offset, copy, p->size);
	replace(f, p->offset + p->size, 0, copy, p->size);
	expect(f, 1, "audit: broken at seq 7: inserted: ");
}

static void
cut_tail(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	places(f);
	assert_int_equal(stat(f->segment, &st), 0);
	/* The file made shorter, even between two records. */
	assert_int_equal(truncate(f->segment, (off_t)event(f, 15)->offset), 0);
	expect(f, 1, "audit: broken at seq ");
	/* The same, filled up with zeros again: the checkpoint that is left
	 * covers what is there. */
	assert_int_equal(truncate(f->segment, st.st_size), 0);
	expect(f, 0, "audit: 14 events verified, head 14 ");
	assert_non_null(strstr(f->line, ", unsigned 4"));
}

static void
events_cut_but_not_their_checkpoint(void **state)
{
	struct fixture *f = *state;
	const struct place *p;

	places(f);
	p = event(f, 20);
	replace(f, p->offset, p->size, NULL, 0);
	expect(f, 1, "audit: broken at seq 20: deleted: ");
}

static void
cut_back_to_an_older_checkpoint(void **state)
{
	struct fixture *f = *state;
	static const uint8_t zeros[64 << 10];
	char kept[96];

	snprintf(kept, sizeof(kept), "%s/kept", f->dir);
	assert_int_equal(verify(f, "--write-checkpoint", kept), 0);
	assert_int_equal(verify(f, "--checkpoint", kept), 0);
	places(f);
	put(f, event(f, 11)->offset, zeros, log_end(f) - event(f, 11)->offset);
	/* A sound log, by itself; not for who kept the newer checkpoint. */
	expect(f, 0, "audit: 10 events verified, head 10 ");
	assert_non_null(strstr(f->line, ", unsigned 0"));
	assert_int_equal(verify(f, "--checkpoint", kept), 1);
	assert_memory_equal(f->line, "audit: broken at seq 11: tail cut: ", 35);
}

static void
another_log_than_the_kept_checkpoints(void **state)
{
	struct fixture *f = *state;
	char kept[96], command[160];

	snprintf(kept, sizeof(kept), "%s/kept", f->dir);
	assert_int_equal(verify(f, "--write-checkpoint", kept), 0);
	/* Written anew, with the same key and as many events. */
	audit_log_close(&f->log);
	snprintf(command, sizeof(command), "rm -r %s", f->log_dir);
	assert_int_equal(system(command), 0);
	f->log.n = 0;
	audit_log_open(&f->log, f->dir, NULL);
	audit_log_rot(&f->log);
	audit_log_events(&f->log, "default", 25);
	audit_log_sign(&f->log);
	expect(f, 0, "audit: 25 events verified");
	assert_int_equal(verify(f, "--checkpoint", kept), 1);
	assert_memory_equal(f->line, "audit: broken at seq 20: edited: ", 33);
}

static void
a_checkpoint_of_another_key(void **state)
{
	struct fixture *f = *state;
	EVP_PKEY *other = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	FILE *file = fopen(f->key, "w");

	PEM_write_PUBKEY(file, other);
	fclose(file);
	EVP_PKEY_free(other);
	expect(f, 1, "audit: broken at seq 10: edited: the checkpoint");
}

static void
no_head_at_the_end(void **state)
{
	struct fixture *f = *state;
	static const uint8_t zeros[1024];
	const struct place *last;

	places(f);
	last = &f->places[f->place_count - 1];
	assert_int_equal(last->kind, AG_SEG_CHECKPOINT);
	put(f, last->offset, zeros, last->size);
	expect(f, 0, "audit: 20 events verified, head 20 ");
	assert_non_null(strstr(f->line, ", unsigned 10"));
	/* Half of it is damage, not an end. */
	put(f, last->offset, "\x90\x00\x00\x00\x02", 5);
	expect(f, 1, "audit: broken at seq 21: damaged: ");
}

static void
an_empty_log(void **state)
{
	struct fixture *f = *state;
	static const uint8_t zeros[64 << 10];
	char command[160];

	places(f);
	put(f, AG_SEG_HEADER_BYTES, zeros, log_end(f) - AG_SEG_HEADER_BYTES);
	expect(f, 1, "audit: broken at seq 0: the log is empty");
	snprintf(command, sizeof(command), "rm %s", f->segment);
	assert_int_equal(system(command), 0);
	expect(f, 1, "audit: broken at seq 0: the log is empty");
}

static void
a_missing_segment(void **state)
{
	struct fixture *f = *state;
	char text[100000], path[128];
	Ag__Pair pair = AG__PAIR__INIT, *list[1] = { &pair };

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	pair.key = (char *)"k";
	pair.value = text;
	for (unsigned i = 0; i < 90; i++) {
		Ag__OutcomeEvent o;
		Ag__Grant g;

		audit_log_grant(&f->log, &g, "default");
		audit_log_outcome(&o);
		o.params = list;
		o.n_params = 1;
		audit_log_say(&f->log, AG_ROLE_KEYS, &g, &o);
	}
	audit_log_sign(&f->log);
	expect(f, 0, "audit: 110 events verified, head 110 ");
	/* The last one gone: the one before says that it goes on. */
	for (unsigned first = 110; first > 1; first--) {
		snprintf(path, sizeof(path), "%s/%016x.seg", f->log_dir, first);
		if (unlink(path) == 0)
			break;
	}
	expect(f, 1, "audit: broken at seq ");
	assert_non_null(strstr(f->line, "the next segment is missing"));
	snprintf(path, sizeof(path), "%s", f->segment);
	assert_int_equal(unlink(path), 0);
	expect(f, 1, "audit: broken at seq 1: deleted: the log's first segment");
}

/* Only the one public key, as somebody kept it. */
static void
keep_only(struct fixture *f, EVP_PKEY *key)
{
	FILE *file = fopen(f->key, "w");

	assert_non_null(file);
	assert_int_equal(PEM_write_PUBKEY(file, key), 1);
	assert_int_equal(fclose(file), 0);
}

static unsigned
keys_in_file(const struct fixture *f)
{
	FILE *file = fopen(f->key, "r");
	char line[256];
	unsigned n = 0;

	assert_non_null(file);
	while (fgets(line, sizeof(line), file) != NULL)
		n += strncmp(line, "-----BEGIN", 10) == 0;
	fclose(file);
	return n;
}

/* No head of the new key stands before the record that says whose it is, so
 * who has the old one can follow. */
static void
a_key_that_is_replaced(void **state)
{
	struct fixture *f = *state;
	unsigned n = 0;

	audit_log_replace_key(&f->log);
	audit_log_events(&f->log, "default", 10);
	audit_log_sign(&f->log);
	audit_log_sign(&f->log);
	assert_int_equal(keys_in_file(f), 2);
	expect(f, 0, "audit: 30 events verified, head 30 ");
	assert_non_null(strstr(f->line, "unsigned 0"));
	keep_only(f, f->log.old);
	expect(f, 0, "audit: 30 events verified, head 30 ");
	keep_only(f, f->log.key);
	expect(f, 1, "audit: broken at seq ");
	assert_non_null(strstr(f->line, "is not signed by this key"));
	/* After a restart both are known; nothing is recorded again. */
	audit_log_close(&f->log);
	audit_log_open(&f->log, f->dir, NULL);
	audit_log_rot(&f->log);
	audit_log_events(&f->log, "default", 10);
	audit_log_sign(&f->log);
	assert_int_equal(keys_in_file(f), 2);
	places(f);
	for (size_t i = 0; i < f->place_count; i++)
		n += f->places[i].kind == AG_SEG_KEY;
	assert_int_equal(n, 2);
	keep_only(f, f->log.old);
	expect(f, 0, "audit: 40 events verified, head 40 ");
}

/* Somebody writes a key of their own into the log, and heads of it. */
static void
a_key_that_nobody_signed_for(void **state)
{
	struct fixture *f = *state;
	EVP_PKEY *first = f->log.key, *stranger;

	stranger = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	f->log.key = stranger; /* signs for the next, and for nobody else */
	audit_log_replace_key(&f->log);
	audit_log_events(&f->log, "default", 10);
	audit_log_sign(&f->log);
	audit_log_sign(&f->log);
	keep_only(f, first);
	expect(f, 1, "audit: broken at seq 30: edited: the checkpoint at event 30");
	EVP_PKEY_free(first);
}

static void
bad_input(void **state)
{
	struct fixture *f = *state;
	char *argv[] = { (char *)"verify", (char *)"--dir", f->log_dir, NULL };
	char kept[96];
	FILE *file;

	assert_int_equal(ag_cmd_audit_verify(3, argv), 2);
	assert_int_equal(verify(f, "--sideways", "x"), 2);
	assert_int_equal(verify(f, "--checkpoint", "/nonexistent"), 2);
	snprintf(kept, sizeof(kept), "%s/kept", f->dir);
	file = fopen(kept, "w");
	fputs("{\"size\":3}", file);
	fclose(file);
	assert_int_equal(verify(f, "--checkpoint", kept), 2);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_sound_log),
		TEST(edited_event),
		TEST(deleted_event),
		TEST(reordered_events),
		TEST(inserted_event),
		TEST(cut_tail),
		TEST(events_cut_but_not_their_checkpoint),
		TEST(cut_back_to_an_older_checkpoint),
		TEST(another_log_than_the_kept_checkpoints),
		TEST(a_checkpoint_of_another_key),
		TEST(no_head_at_the_end),
		TEST(an_empty_log),
		TEST(a_missing_segment),
		TEST(a_key_that_is_replaced),
		TEST(a_key_that_nobody_signed_for),
		TEST(bad_input),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
