/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A log that is bounded: the oldest segments go, what is kept still verifies,
 * and questions about it are answered as before.
 */
#include "audit_log.h"
#include "verify.h"

#include <aegis/merkle.h>
#include <aegis/seglog.h>

#include <dirent.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka wants the above first */
#include <cmocka.h>

extern const struct ag_actor ag_actor_history;

enum { PARAM_BYTES = 4000, SEGMENT = 4 << 20, TEXT_BYTES = 16384 };

#define BOUNDED "audit: {segment_bytes: 4M, max_bytes: 16M}"

struct fixture {
	char dir[64], log_dir[80], key[128];
	struct audit_log log;
	struct ag_kit *kit; /* history */
	uint64_t head;
	uint64_t seq[2]; /* of "default" and "other" */
	char said[TEXT_BYTES];
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	/* Thousands of syncs: in memory, where there is such a place. */
	strcpy(f->dir, access("/dev/shm", W_OK) == 0 ?
	    "/dev/shm/aegis-retain-XXXXXX" : "/tmp/aegis-retain-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->log_dir, sizeof(f->log_dir), "%s/audit", f->dir);
	snprintf(f->key, sizeof(f->key), "%s/public-key.pem", f->log_dir);
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
	ag_kit_free(&f->kit);
	EVP_PKEY_free(f->log.key);
	EVP_PKEY_free(f->log.old);
	snprintf(command, sizeof(command), "rm -r %s", f->dir);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

/* The exit status; what was printed is in f->said. */
static int
verify(struct fixture *f, const char *option, const char *value)
{
	char *argv[] = { (char *)"verify", (char *)"--dir", f->log_dir,
		(char *)"--public-key", f->key, (char *)option, (char *)value, NULL };
	int out = dup(STDOUT_FILENO), file, status;
	char path[128];
	ssize_t len;

	snprintf(path, sizeof(path), "%s/stdout", f->dir);
	file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	fflush(stdout);
	dup2(file, STDOUT_FILENO);
	status = ag_cmd_audit_verify(option == NULL ? 5 : 7, argv);
	fflush(stdout);
	dup2(out, STDOUT_FILENO);
	close(out);
	len = pread(file, f->said, sizeof(f->said) - 1, 0);
	close(file);
	f->said[len < 0 ? 0 : len] = '\0';
	return status;
}

static void
says(struct fixture *f, int status, const char *text)
{
	int got = verify(f, NULL, NULL);

	if (strstr(f->said, text) == NULL || got != status)
		fail_msg("exit %d, said \"%s\", not \"%s\"", got, f->said, text);
}

/* Events of about 4 KB; every tenth is of the tenant "other". */
static void
events(struct fixture *f, unsigned count)
{
	static char text[PARAM_BYTES];
	Ag__Pair pair = AG__PAIR__INIT, *list[1] = { &pair };

	memset(text, 'x', sizeof(text) - 1);
	pair.key = (char *)"k";
	pair.value = text;
	for (unsigned i = 0; i < count; i++) {
		bool other = ++f->head % 10 == 0;
		Ag__OutcomeEvent o;
		Ag__Grant g;

		audit_log_grant(&f->log, &g, other ? "other" : "default");
		audit_log_outcome(&o);
		o.params = list;
		o.n_params = 1;
		audit_log_say(&f->log, AG_ROLE_KEYS, &g, &o);
		f->seq[other]++;
		while (ag_kit_next(f->log.kit) != NULL)
			;
	}
}

/* A second passes: heads and cuts are signed, removals done. */
static void
second(struct fixture *f)
{
	for (unsigned i = 0; i < 5; i++) {
		ag_kit_advance(f->log.kit, 200);
		audit_log_rot(&f->log);
		ag_kit_work(f->log.kit);
	}
}

static void
fill(struct fixture *f, unsigned count)
{
	for (; count > 0; count -= count < 100 ? count : 100) {
		events(f, count < 100 ? count : 100);
		second(f);
	}
}

static uint64_t
segments(const struct fixture *f, uint64_t *first, uint64_t *bytes)
{
	struct ag_segs *segs = NULL;
	const uint64_t *firsts;
	struct stat st;
	char path[160];
	size_t count;

	assert_int_equal(ag_segs_open(f->log_dir, &segs), AG_OK);
	assert_int_equal(ag_segs_list(segs, &firsts, &count), AG_OK);
	*first = firsts[0];
	*bytes = 0;
	for (size_t i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "%s/%016llx.seg", f->log_dir,
		    (unsigned long long)firsts[i]);
		assert_int_equal(stat(path, &st), 0);
		*bytes += (uint64_t)st.st_size;
	}
	ag_segs_close(&segs);
	return count;
}

static void
size_is_bounded_and_what_is_kept_verifies(void **state)
{
	struct fixture *f = *state;
	uint64_t first, bytes;
	char text[80];

	audit_log_open(&f->log, f->dir, BOUNDED);
	fill(f, 9000); /* some 37 MB */
	for (unsigned i = 0; i < 4; i++)
		second(f);
	segments(f, &first, &bytes);
	assert_true(first > 1);
	assert_true(bytes + SEGMENT <= 16 << 20); /* with the spare */
	says(f, 0, "events were removed, as signed at ");
	snprintf(text, sizeof(text), "cut: %llu events were removed",
	    (unsigned long long)first - 1);
	assert_non_null(strstr(f->said, text));
	assert_non_null(strstr(f->said, "cut: tenant default is kept from event "));
	assert_non_null(strstr(f->said, "unsigned 0\n"));
	assert_int_equal(verify(f, "--tenant", "other"), 0);
	/* After a restart it goes on, and still verifies. */
	audit_log_close(&f->log);
	audit_log_open(&f->log, f->dir, BOUNDED);
	fill(f, 2000);
	says(f, 0, "events were removed, as signed at ");
	assert_non_null(strstr(f->said, "head "));
}

/* The record of the key's replacement is gone with the first segment: who has
 * the old key follows by the state that the log begins with. */
static void
a_key_replaced_before_the_cut(void **state)
{
	struct fixture *f = *state;
	uint64_t first, bytes;
	FILE *file;

	audit_log_open(&f->log, f->dir, BOUNDED);
	fill(f, 100);
	audit_log_replace_key(&f->log);
	fill(f, 5000);
	for (unsigned i = 0; i < 4; i++)
		second(f);
	segments(f, &first, &bytes);
	assert_true(first > 200);
	says(f, 0, "events were removed, as signed at ");
	file = fopen(f->key, "w");
	assert_int_equal(PEM_write_PUBKEY(file, f->log.old), 1);
	assert_int_equal(fclose(file), 0);
	says(f, 0, "events were removed, as signed at ");
	assert_non_null(strstr(f->said, "unsigned 0\n"));
}

/* One and two segments are kept, whatever the clock says. */
static void
age_is_bounded(void **state)
{
	struct fixture *f = *state;
	uint64_t first, bytes, before;

	audit_log_open(&f->log, f->dir,
	    "audit: {segment_bytes: 4M, retention_s: 3600}");
	fill(f, 3500);
	before = segments(f, &first, &bytes);
	assert_true(before >= 4);
	assert_int_equal(first, 1); /* nothing is an hour old */
	ag_kit_advance(f->log.kit, 2 * 3600 * 1000);
	for (unsigned i = 0; i < 3 * before; i++)
		second(f);
	assert_int_equal(segments(f, &first, &bytes), 2);
	says(f, 0, "events were removed, as signed at ");
	fill(f, 10);
	assert_int_equal(segments(f, &first, &bytes), 2);
}

/* Without a bound nothing goes. */
static void
unbounded_by_default(void **state)
{
	struct fixture *f = *state;
	uint64_t first, bytes;

	audit_log_open(&f->log, f->dir, "audit: {segment_bytes: 4M}");
	fill(f, 5000);
	ag_kit_advance(f->log.kit, 2 * 3600 * 1000);
	second(f);
	segments(f, &first, &bytes);
	assert_int_equal(first, 1);
	says(f, 0, "audit: 5000 events verified");
}

static bool
is_cut(const Ag__RotSignAsk *ask)
{
	static const char head[] = "aegis audit cut v1\n";

	return ask->message.len >= sizeof(head) - 1 &&
	    memcmp(ask->message.data, head, sizeof(head) - 1) == 0;
}

/* The segment goes only when the record of it is durable; whoever dies in
 * between leaves a sound log, and the next start does it again. */
static void
a_crash_at_every_step_leaves_a_sound_log(void **state)
{
	struct fixture *f = *state;
	uint64_t first, bytes, again;
	const struct ag_kit_sent *sent;
	bool asked = false, cut;

	audit_log_open(&f->log, f->dir, "audit: {segment_bytes: 4M}");
	fill(f, 5000);
	for (unsigned step = 0; step < 3; step++) {
		audit_log_close(&f->log);
		audit_log_open(&f->log, f->dir, BOUNDED);
		segments(f, &first, &bytes);
		/* 0: ends while the cut is being signed; 1: when it is recorded; 2:
		 * with the file removed, before anybody heard of it. */
		for (unsigned i = 0; i < 5 && !asked; i++) {
			ag_kit_advance(f->log.kit, 200);
			while ((sent = ag_kit_next(f->log.kit)) != NULL) {
				if (sent->type != AG_MSG_ROT_SIGN_ASK)
					continue;
				cut = is_cut(sent->body);
				asked = asked || cut;
				if (!cut || step > 0)
					audit_log_answer_sign(&f->log, sent);
			}
		}
		assert_true(asked);
		asked = false;
		if (step == 2) {
			ag_kit_advance(f->log.kit, 1000);
			ag_kit_work(f->log.kit);
			segments(f, &again, &bytes);
			assert_true(again > first);
		}
		ag_kit_free(&f->log.kit);
		says(f, 0, "events verified, head ");
		audit_log_open(&f->log, f->dir, NULL);
	}
	audit_log_close(&f->log);
	audit_log_open(&f->log, f->dir, BOUNDED);
	for (unsigned i = 0; i < 8; i++)
		second(f);
	segments(f, &again, &bytes);
	assert_true(again > first);
	says(f, 0, "events were removed, as signed at ");
}

static void
path_of(const struct fixture *f, uint64_t first, char out[160])
{
	snprintf(out, 160, "%s/%016llx.seg", f->log_dir,
	    (unsigned long long)first);
}

/* Without the signed record a log has no business to begin in the middle. */
static void
a_cut_that_nobody_signed(void **state)
{
	struct fixture *f = *state;
	uint64_t first, bytes, offset = 0, size = 0;
	struct ag_seg_record record;
	struct ag_segs *segs = NULL;
	uint8_t zeros[4096] = { 0 };
	char path[160], aside[80];
	int fd;

	audit_log_open(&f->log, f->dir, BOUNDED);
	fill(f, 5500);
	for (unsigned i = 0; i < 4; i++)
		second(f);
	segments(f, &first, &bytes);
	assert_true(first > 1);
	audit_log_close(&f->log);
	says(f, 0, "events were removed, as signed at ");
	/* One segment more than was signed for. */
	path_of(f, first, path);
	snprintf(aside, sizeof(aside), "%s/aside", f->dir);
	assert_int_equal(rename(path, aside), 0);
	says(f, 1, "audit: broken at seq 1: deleted: the log's first segment is missing");
	assert_int_equal(rename(aside, path), 0);
	/* The chains' places at the beginning, written anew. */
	assert_int_equal(ag_segs_open(f->log_dir, &segs), AG_OK);
	assert_int_equal(ag_segs_find(segs, first), AG_OK);
	assert_int_equal(ag_segs_next(segs, &record), AG_OK);
	assert_int_equal(record.kind, AG_SEG_STATE);
	{
		Ag__LogState *s = ag__log_state__unpack(NULL, record.body_len,
		    record.body);
		uint8_t *body = malloc(record.body_len), hash[32];

		s->tenants[0]->peaks[0].data[0] ^= 1;
		assert_int_equal(ag__log_state__pack(s, body), record.body_len);
		ag_seg_hash(AG_SEG_STATE, "", body, record.body_len, hash);
		fd = open(path, O_RDWR);
		assert_int_equal(pwrite(fd, hash, 32, (off_t)record.offset + 32), 32);
		assert_int_equal(pwrite(fd, body, record.body_len,
		    (off_t)record.offset + 64), (ssize_t)record.body_len);
		says(f, 1, "audit: broken at seq ");
		memcpy(body, record.body, record.body_len);
		s->tenants[0]->peaks[0].data[0] ^= 1;
		ag__log_state__pack(s, body);
		ag_seg_hash(AG_SEG_STATE, "", body, record.body_len, hash);
		assert_int_equal(pwrite(fd, hash, 32, (off_t)record.offset + 32), 32);
		assert_int_equal(pwrite(fd, body, record.body_len,
		    (off_t)record.offset + 64), (ssize_t)record.body_len);
		close(fd);
		free(body);
		ag__log_state__free_unpacked(s, NULL);
	}
	says(f, 0, "events were removed, as signed at ");
	/* The signed record's signature, bent. */
	while (ag_segs_next(segs, &record) == AG_OK) {
		if (record.kind != AG_SEG_CUT)
			continue;
		offset = record.offset;
		size = record.body_len;
		path_of(f, record.segment, path);
	}
	ag_segs_close(&segs);
	assert_true(offset > 0);
	fd = open(path, O_RDWR);
	assert_int_equal(pwrite(fd, zeros, 8, (off_t)(offset + 64 + size - 8)), 8);
	close(fd);
	says(f, 1, "audit: broken at seq ");
}

/* ------------------------------------------------------------------ history */

static const struct ag_kit_sent *
wait_for(struct fixture *f, uint16_t type)
{
	Ag__AuditPullReply reply = AG__AUDIT_PULL_REPLY__INIT;
	const struct ag_kit_sent *sent;

	reply.head_pos = f->head;
	for (unsigned i = 0; i < 400; i++) {
		while ((sent = ag_kit_next(f->kit)) != NULL) {
			if (sent->type == type)
				return sent;
			if (sent->type != AG_MSG_AUDIT_PULL_ASK)
				continue;
			reply.next_pos = ((const Ag__AuditPullAsk *)sent->body)->from_pos;
			ag_kit_answer(f->kit, sent, AG_MSG_AUDIT_PULL_REPLY, &reply);
		}
		ag_kit_advance(f->kit, 1);
	}
	return NULL;
}

static void *
answer(struct fixture *f, uint16_t op, const char *tenant, const char *id,
    const void *body)
{
	const struct ag_kit_sent *sent;
	const Ag__OutcomeEvent *o;
	Ag__Grant g = AG__GRANT__INIT;
	void *reply;

	g.tenant = (char *)tenant;
	g.resource_id = (char *)id;
	ag_kit_operate(f->kit, op, &g, body);
	sent = wait_for(f, AG_MSG_OUTCOME_EVENT);
	assert_non_null(sent);
	o = sent->body;
	if (o->refusal != NULL)
		return NULL;
	reply = protobuf_c_message_unpack(ag_operation_find(op)->reply, NULL,
	    o->reply.len, o->reply.data);
	assert_non_null(reply);
	return reply;
}

/* Every event of the tenant that is kept, oldest first: gapless, linked, each
 * under a signed head. Its first seq. */
static uint64_t
walk(struct fixture *f, const char *tenant, uint64_t newest)
{
	Ag__AuditQueryAsk ask = AG__AUDIT_QUERY_ASK__INIT;
	uint8_t hash[AG_HASH_BYTES] = { 0 };
	uint64_t first = 0, seq = 0;
	char *cursor = NULL;

	ask.order = (char *)"asc";
	ask.has_limit = true;
	ask.limit = 500;
	do {
		Ag__AuditQueryReply *page;

		ask.cursor = cursor;
		page = answer(f, AG_MSG_AUDIT_QUERY, tenant, NULL, &ask);
		assert_non_null(page);
		free(cursor);
		cursor = page->next_cursor == NULL ? NULL : strdup(page->next_cursor);
		for (size_t i = 0; i < page->n_items; i++) {
			const Ag__Event *e = page->items[i];

			if (first == 0)
				first = e->seq;
			else
				assert_memory_equal(e->prev_hash_b64.data, hash, 32);
			assert_true(seq == 0 || e->seq == seq + 1);
			seq = e->seq;
			memcpy(hash, e->hash_b64.data, 32);
		}
		protobuf_c_message_free_unpacked(&page->base, NULL);
	} while (cursor != NULL);
	assert_int_equal(seq, newest);
	return first;
}

static Ag__Event *
event_with(struct fixture *f, const char *tenant, const char *order)
{
	Ag__AuditQueryAsk ask = AG__AUDIT_QUERY_ASK__INIT;
	Ag__AuditQueryReply *page;
	Ag__Event *e;

	ask.order = (char *)(uintptr_t)order;
	ask.has_limit = true;
	ask.limit = 1;
	page = answer(f, AG_MSG_AUDIT_QUERY, tenant, NULL, &ask);
	assert_int_equal(page->n_items, 1);
	e = page->items[0];
	page->n_items = 0;
	protobuf_c_message_free_unpacked(&page->base, NULL);
	return e;
}

static void
proof_holds(struct fixture *f, const char *tenant, const char *order)
{
	Ag__Event *e = event_with(f, tenant, order);
	uint8_t path[64][AG_HASH_BYTES], leaf[AG_HASH_BYTES];
	Ag__AuditProofReply *p;
	Ag__PageAsk ask = AG__PAGE_ASK__INIT;

	p = answer(f, AG_MSG_AUDIT_PROOF, tenant, e->event_id, &ask);
	assert_non_null(p);
	assert_int_equal(p->index, e->seq - 1);
	for (size_t i = 0; i < p->n_path_b64; i++)
		memcpy(path[i], p->path_b64[i].data, AG_HASH_BYTES);
	memcpy(leaf, p->leaf_hash_b64.data, AG_HASH_BYTES);
	assert_true(ag_merkle_proof_ok(leaf, p->index, p->size, path,
	    p->n_path_b64, p->checkpoint->root_b64.data));
	protobuf_c_message_free_unpacked(&p->base, NULL);
	ag__event__free_unpacked(e, NULL);
}

/* From the oldest head that is kept to the newest, across the cut. */
static void
heads_go_on(struct fixture *f, const char *tenant)
{
	Ag__AuditConsistencyAsk ask = AG__AUDIT_CONSISTENCY_ASK__INIT;
	Ag__AuditConsistencyReply *r;
	Ag__CheckpointListReply *page;
	Ag__PageAsk heads = AG__PAGE_ASK__INIT;
	uint8_t path[64][AG_HASH_BYTES];

	heads.has_limit = true;
	heads.limit = 1000;
	page = answer(f, AG_MSG_AUDIT_CHECKPOINTS, tenant, NULL, &heads);
	assert_true(page->n_items > 1);
	for (size_t k = 0; k < page->n_items; k++) {
		ask.first = page->items[k]->size;
		r = answer(f, AG_MSG_AUDIT_CONSISTENCY, tenant, NULL, &ask);
		assert_non_null(r);
		for (size_t i = 0; i < r->n_path_b64; i++)
			memcpy(path[i], r->path_b64[i].data, AG_HASH_BYTES);
		assert_true(ag_merkle_consistent(ask.first,
		    page->items[k]->root_b64.data, r->second->size,
		    r->second->root_b64.data, (const uint8_t (*)[AG_HASH_BYTES])path,
		    r->n_path_b64));
		protobuf_c_message_free_unpacked(&r->base, NULL);
	}
	protobuf_c_message_free_unpacked(&page->base, NULL);
}

static void
questions_about_what_is_kept(struct fixture *f)
{
	uint64_t first = walk(f, "default", f->seq[0]);

	assert_true(first > 1);
	walk(f, "other", f->seq[1]);
	proof_holds(f, "default", "asc"); /* the oldest kept: beside the cut */
	proof_holds(f, "default", "desc");
	proof_holds(f, "other", "asc");
	proof_holds(f, "other", "desc");
	heads_go_on(f, "default");
	heads_go_on(f, "other");
}

/* audit.cut is an event of `system` and takes a position of its own. */
static void
catch_up(struct fixture *f)
{
	struct ag_segs *segs = NULL;
	struct ag_seg_record record;

	assert_int_equal(ag_segs_open(f->log_dir, &segs), AG_OK);
	while (ag_segs_next(segs, &record) == AG_OK)
		f->head = record.kind == AG_SEG_EVENT ? record.pos : f->head;
	ag_segs_close(&segs);
}

static void
history_follows(void **state)
{
	struct fixture *f = *state;
	Ag__PageAsk ask = AG__PAGE_ASK__INIT;
	Ag__Event *oldest;
	char command[160];

	audit_log_open(&f->log, f->dir, "audit: {segment_bytes: 4M}");
	fill(f, 5000);
	f->kit = ag_kit_new(&ag_actor_history, NULL, f->dir);
	assert_int_equal(walk(f, "default", f->seq[0]), 1);
	proof_holds(f, "default", "asc");
	oldest = event_with(f, "default", "asc");
	/* While it runs. */
	audit_log_close(&f->log);
	audit_log_open(&f->log, f->dir, BOUNDED);
	for (unsigned i = 0; i < 12; i++)
		second(f);
	fill(f, 100);
	catch_up(f);
	questions_about_what_is_kept(f);
	assert_null(answer(f, AG_MSG_AUDIT_READ, "default", oldest->event_id, &ask));
	assert_null(answer(f, AG_MSG_AUDIT_PROOF, "default", oldest->event_id, &ask));
	ag__event__free_unpacked(oldest, NULL);
	/* From its snapshot, with more cut meanwhile. */
	ag_kit_free(&f->kit);
	fill(f, 2500);
	catch_up(f);
	f->kit = ag_kit_new(&ag_actor_history, NULL, f->dir);
	questions_about_what_is_kept(f);
	/* From nothing. */
	ag_kit_free(&f->kit);
	snprintf(command, sizeof(command), "rm -r %s/snapshots", f->dir);
	assert_int_equal(system(command), 0);
	f->kit = ag_kit_new(&ag_actor_history, NULL, f->dir);
	questions_about_what_is_kept(f);
}

/* Who asks for what is gone is told where the log begins. */
static void
a_late_consumer_is_told(void **state)
{
	struct fixture *f = *state;
	Ag__AuditPullAsk ask = AG__AUDIT_PULL_ASK__INIT;
	Ag__Envelope env = AG__ENVELOPE__INIT;
	const struct ag_kit_sent *sent;
	const Ag__AuditPullReply *reply;
	uint64_t first, bytes;

	audit_log_open(&f->log, f->dir, BOUNDED);
	fill(f, 5500);
	segments(f, &first, &bytes);
	ask.from_pos = 5;
	ask.max = 3;
	env.has_corr = true;
	env.corr = 4;
	ag_kit_deliver(f->log.kit, AG_ROLE_SINK, 0, AG_MSG_AUDIT_PULL_ASK, &env,
	    &ask);
	sent = ag_kit_find(f->log.kit, AG_MSG_AUDIT_PULL_REPLY);
	assert_non_null(sent);
	reply = sent->body;
	assert_int_equal(reply->first_pos, first);
	assert_int_equal(reply->n_items, 3);
	assert_int_equal(reply->items[0]->pos, first);
	assert_int_equal(reply->next_pos, first + 3);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(size_is_bounded_and_what_is_kept_verifies),
		TEST(a_key_replaced_before_the_cut),
		TEST(age_is_bounded),
		TEST(unbounded_by_default),
		TEST(a_crash_at_every_step_leaves_a_sound_log),
		TEST(a_cut_that_nobody_signed),
		TEST(history_follows),
		TEST(a_late_consumer_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
