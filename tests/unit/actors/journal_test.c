/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The same cases for every backend of the journal: embedded, and PostgreSQL
 * where tests/with_postgres says that there is one.
 */
#include <aegis/kit.h>
#include <engine.h>
#include <journal/journal.h>
#include <libpq-fe.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants the above first */
#include <cmocka.h>

extern const struct ag_actor ag_actor_journal;

static uint64_t corr;
static const char *postgres; /* its URL; NULL: embedded */
static char config[1024];

/* As somebody with psql. The first value, or what it was refused with. */
static const char *
by_hand(const char *sql)
{
	static char said[256];
	PGconn *conn = PQconnectdb(postgres);
	const char *state;
	PGresult *result = PQexec(conn, "SET client_min_messages = error");

	PQclear(result);
	result = PQexec(conn, sql);
	state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	snprintf(said, sizeof(said), "%s", state != NULL ? state :
	    PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "");
	PQclear(result);
	PQfinish(conn);
	return said;
}

static struct ag_kit *
journal_new(const char *dir)
{
	struct ag_kit *kit = ag_kit_new(&ag_actor_journal,
	    postgres == NULL ? NULL : config, dir);

	ag_kit_advance(kit, postgres == NULL ? 0 : 1000); /* it connects */
	return kit;
}

static int
setup(void **state)
{
	if (postgres != NULL)
		by_hand("DROP SCHEMA IF EXISTS aegis_journal CASCADE");
	*state = journal_new(NULL);
	return 0;
}

static int
teardown(void **state)
{
	struct ag_kit *kit = *state;

	ag_kit_free(&kit);
	return 0;
}

struct changes {
	Ag__Change one[4], *list[4];
	Ag__JournalAppendAsk ask;
	uint8_t idem[32], digest[32];
};

static void
prepare(struct changes *c)
{
	memset(c, 0, sizeof(*c));
	ag__journal_append_ask__init(&c->ask);
	c->ask.tenant = (char *)"default";
	c->ask.changes = c->list;
}

static void
change(struct changes *c, const char *stream, uint64_t expected)
{
	Ag__Change *one = &c->one[c->ask.n_changes];

	ag__change__init(one);
	one->stream = (char *)stream;
	one->expected_version = expected;
	one->type = AG_MSG_NAME_TAKEN_FACT;
	one->event.data = (uint8_t *)"fact";
	one->event.len = 4;
	c->list[c->ask.n_changes++] = one;
}

static void
deliver(struct ag_kit *kit, enum ag_role from, uint16_t type, const void *body)
{
	Ag__Envelope env = AG__ENVELOPE__INIT;

	env.has_corr = true;
	env.corr = ++corr;
	ag_kit_deliver(kit, from, 0, type, &env, body);
}

/* 0, or what it was refused with. */
static unsigned
appended(struct ag_kit *kit, struct changes *c)
{
	const struct ag_kit_sent *sent;

	deliver(kit, AG_ROLE_KEYS, AG_MSG_JOURNAL_APPEND_ASK, &c->ask);
	while ((sent = ag_kit_next(kit)) != NULL) {
		if (sent->type == AG_MSG_JOURNAL_APPEND_REPLY)
			return 0;
		if (sent->type == AG_MSG_ERROR_REPLY)
			return sent->env->status;
	}
	fail_msg("no answer");
	return 1;
}

static void
appends_and_tells_followers_first(void **state)
{
	struct ag_kit *kit = *state;
	const struct ag_kit_sent *sent;
	const Ag__JournalAppendReply *reply;
	const Ag__JournalRecord *record;
	struct changes c;
	unsigned pushes = 0, answers = 0;

	prepare(&c);
	change(&c, "key:key_1", 0);
	change(&c, "alias:default/a", 0);
	c.ask.has_outcome = true;
	c.ask.outcome.data = (uint8_t *)"outcome";
	c.ask.outcome.len = 7;
	deliver(kit, AG_ROLE_KEYS, AG_MSG_JOURNAL_APPEND_ASK, &c.ask);
	while ((sent = ag_kit_next(kit)) != NULL) {
		if (sent->type == AG_MSG_JOURNAL_HEARD_EVENT)
			continue; /* the lease, twice a second */
		if (sent->type == AG_MSG_JOURNAL_APPEND_REPLY) {
			/* Behind what its own shard was told. */
			assert_true(pushes >= (postgres == NULL ? 4 : 6));
			reply = sent->body;
			assert_int_equal(reply->first_seq, 1);
			answers++;
			continue;
		}
		assert_int_equal(sent->type, AG_MSG_JOURNAL_RECORD_EVENT);
		record = sent->body;
		assert_true(sent->to_role == AG_ROLE_IAM ||
		    sent->to_role == AG_ROLE_INVENTORY || (postgres != NULL &&
		    (sent->to_role == AG_ROLE_KEYS ||
		    sent->to_role == AG_ROLE_RESPONDER ||
		    sent->to_role == AG_ROLE_APPROVALS ||
		    sent->to_role == AG_ROLE_GATEWAY)));
		assert_false(record->has_outcome);
		pushes++;
	}
	/* Of a journal with other writers all hear that keep what it says. */
	assert_int_equal(pushes, postgres == NULL ? 4 : 14);
	assert_int_equal(answers, 1);
}

static void
the_second_writer_conflicts(void **state)
{
	struct ag_kit *kit = *state;
	struct changes c;

	prepare(&c);
	change(&c, "alias:default/a", 0);
	assert_int_equal(appended(kit, &c), 0);
	/* All or nothing: the good change of a bad append is not kept. */
	prepare(&c);
	change(&c, "key:key_2", 0);
	change(&c, "alias:default/a", 0);
	assert_int_equal(appended(kit, &c), AG_CONFLICT);
	prepare(&c);
	change(&c, "key:key_2", 0);
	change(&c, "key:key_2", 1);
	assert_int_equal(appended(kit, &c), 0);
	prepare(&c);
	change(&c, "key:key_2", 1);
	assert_int_equal(appended(kit, &c), AG_CONFLICT);
}

static void
refuses_what_is_no_fact(void **state)
{
	struct ag_kit *kit = *state;
	static uint8_t large[300 << 10];
	static char long_name[256];
	struct changes c;

	prepare(&c);
	assert_int_not_equal(appended(kit, &c), 0); /* no change at all */
	prepare(&c);
	change(&c, "key:key_1", 0);
	c.one[0].type = AG_MSG_KEY_SIGN;
	assert_int_not_equal(appended(kit, &c), 0);
	prepare(&c);
	change(&c, "key:key_1", 0);
	c.one[0].event.data = large;
	c.one[0].event.len = sizeof(large);
	assert_int_not_equal(appended(kit, &c), 0);
	memset(long_name, 'x', sizeof(long_name) - 1);
	prepare(&c);
	change(&c, long_name, 0);
	assert_int_not_equal(appended(kit, &c), 0);
	prepare(&c);
	change(&c, "key:key_1", 0);
	assert_int_equal(appended(kit, &c), 0);
}

static const Ag__JournalPullReply *
pull(struct ag_kit *kit, uint64_t from, uint32_t max, const char *author)
{
	Ag__JournalPullAsk ask = AG__JOURNAL_PULL_ASK__INIT;
	const struct ag_kit_sent *sent;

	ask.from_seq = from;
	ask.max = max;
	ask.author = (char *)author;
	deliver(kit, AG_ROLE_KEYS, AG_MSG_JOURNAL_PULL_ASK, &ask);
	sent = ag_kit_find(kit, AG_MSG_JOURNAL_PULL_REPLY);
	assert_non_null(sent);
	return sent->body;
}

static void
hands_out_records(void **state)
{
	struct ag_kit *kit = *state;
	const Ag__JournalPullReply *reply;
	Ag__JournalStreamAsk stream = AG__JOURNAL_STREAM_ASK__INIT;
	const struct ag_kit_sent *sent;
	struct changes c;

	for (unsigned i = 0; i < 5; i++) {
		prepare(&c);
		change(&c, "key:key_1", i);
		c.ask.has_outcome = i == 3;
		c.ask.outcome.data = (uint8_t *)"outcome";
		c.ask.outcome.len = 7;
		assert_int_equal(appended(kit, &c), 0);
	}
	reply = pull(kit, 2, 3, NULL);
	assert_int_equal(reply->n_records, 3);
	assert_int_equal(reply->records[0]->seq, 2);
	assert_int_equal(reply->records[0]->version, 2);
	assert_false(reply->records[2]->has_outcome);
	assert_int_equal(reply->head_seq, 5);
	/* By author: what carries an outcome, to be delivered again. */
	reply = pull(kit, 1, 100, "keys.0");
	assert_int_equal(reply->n_records, 1);
	assert_int_equal(reply->records[0]->seq, 4);
	assert_true(reply->records[0]->has_outcome);
	reply = pull(kit, 1, 100, "iam");
	assert_int_equal(reply->n_records, 0);
	stream.stream = (char *)"key:key_1";
	stream.from_version = 4;
	deliver(kit, AG_ROLE_IAM, AG_MSG_JOURNAL_STREAM_ASK, &stream);
	sent = ag_kit_find(kit, AG_MSG_JOURNAL_PULL_REPLY);
	assert_non_null(sent);
	reply = sent->body;
	assert_int_equal(reply->n_records, 2);
	assert_int_equal(reply->records[1]->version, 5);
}

static const Ag__JournalIdemReply *
idem(struct ag_kit *kit, struct changes *c)
{
	Ag__JournalIdemAsk ask = AG__JOURNAL_IDEM_ASK__INIT;
	const struct ag_kit_sent *sent;

	ask.idem.data = c->idem;
	ask.idem.len = 32;
	ask.body_digest.data = c->digest;
	ask.body_digest.len = 32;
	deliver(kit, AG_ROLE_KEYS, AG_MSG_JOURNAL_IDEM_ASK, &ask);
	sent = ag_kit_find(kit, AG_MSG_JOURNAL_IDEM_REPLY);
	assert_non_null(sent);
	return sent->body;
}

static void
with_idem(struct changes *c, unsigned number, const char *stream)
{
	prepare(c);
	change(c, stream, 0);
	c->idem[0] = (uint8_t)number;
	c->idem[1] = (uint8_t)(number >> 8);
	c->ask.actor_id = (char *)"hum_01890000000070008000000000000001";
	c->ask.has_idem = c->ask.has_body_digest = true;
	c->ask.idem.data = c->idem;
	c->ask.idem.len = 32;
	c->ask.body_digest.data = c->digest;
	c->ask.body_digest.len = 32;
	c->ask.has_reply_type = c->ask.has_reply = true;
	c->ask.reply_type = AG_MSG_KEY_CREATE;
	c->ask.reply.data = (uint8_t *)"reply";
	c->ask.reply.len = 5;
}

static void
keeps_idempotent_answers_for_a_day(void **state)
{
	struct ag_kit *kit = *state;
	const Ag__JournalIdemReply *reply;
	struct changes c;

	with_idem(&c, 1, "key:key_1");
	assert_false(idem(kit, &c)->known);
	assert_int_equal(appended(kit, &c), 0);
	reply = idem(kit, &c);
	assert_true(reply->known && reply->same);
	assert_int_equal(reply->reply_type, AG_MSG_KEY_CREATE);
	assert_memory_equal(reply->reply.data, "reply", 5);
	/* Another body under the same key says so and shows no answer. */
	c.digest[0] = 1;
	reply = idem(kit, &c);
	assert_true(reply->known);
	assert_false(reply->same);
	assert_false(reply->has_reply);
	c.digest[0] = 0;
	/* Two at once: the second does not change anything. */
	with_idem(&c, 1, "key:key_2");
	assert_int_equal(appended(kit, &c), AG_CONFLICT);
	if (postgres == NULL)
		ag_kit_advance(kit, INT64_C(25) * 3600 * 1000);
	else /* it asks the database four times a second, all that day */
		by_hand("UPDATE aegis_journal.idem SET at = at - 90000000");
	assert_false(idem(kit, &c)->known);
}

/* Of a request that changed nothing: the answer, and nothing else. */
static void
keeps_an_answer_without_a_change(void **state)
{
	struct ag_kit *kit = *state;
	const Ag__JournalAppendReply *reply;
	const struct ag_kit_sent *sent;
	struct changes c;
	uint64_t prev;

	/* Also as the first append that this journal does. */
	with_idem(&c, 9, "");
	c.ask.n_changes = 0;
	assert_int_equal(appended(kit, &c), 0);
	with_idem(&c, 1, "key:key_1");
	assert_int_equal(appended(kit, &c), 0);
	deliver(kit, AG_ROLE_IAM, AG_MSG_JOURNAL_APPEND_ASK, (with_idem(&c, 2,
	    "key:key_2"), &c.ask)); /* another's is the newest */
	while (ag_kit_next(kit) != NULL)
		;
	with_idem(&c, 3, "");
	c.ask.n_changes = 0;
	deliver(kit, AG_ROLE_KEYS, AG_MSG_JOURNAL_APPEND_ASK, &c.ask);
	while ((sent = ag_kit_next(kit)) != NULL &&
	    sent->type != AG_MSG_JOURNAL_APPEND_REPLY)
		assert_int_not_equal(sent->type, AG_MSG_JOURNAL_RECORD_EVENT);
	assert_non_null(sent);
	reply = sent->body;
	assert_int_equal(reply->first_seq, 3);
	prev = reply->prev_seq;
	assert_true(idem(kit, &c)->known);
	assert_int_equal(appended(kit, &c), AG_CONFLICT); /* it has its answer */
	/* Its writer is still where it was. */
	with_idem(&c, 4, "key:key_3");
	deliver(kit, AG_ROLE_KEYS, AG_MSG_JOURNAL_APPEND_ASK, &c.ask);
	while ((sent = ag_kit_next(kit)) != NULL &&
	    sent->type != AG_MSG_JOURNAL_APPEND_REPLY)
		;
	assert_non_null(sent);
	reply = sent->body;
	assert_int_equal(reply->first_seq, 3);
	assert_int_equal(reply->prev_seq, prev);
	/* Nothing at all is no append, nor is an outcome of no change. */
	prepare(&c);
	assert_int_equal(appended(kit, &c), AG_BAD_MESSAGE);
	with_idem(&c, 5, "");
	c.ask.n_changes = 0;
	c.ask.has_outcome = true;
	c.ask.outcome.data = (uint8_t *)"outcome";
	c.ask.outcome.len = 7;
	assert_int_equal(appended(kit, &c), AG_BAD_MESSAGE);
}

/* Found by reading: what is left of an answer that is too old went together with
 * the answer that the same key had by then. */
static void
an_old_answer_goes_alone(void **state)
{
	struct ag_kit *kit = *state;
	const int64_t day = INT64_C(24) * 3600 * 1000;
	struct changes c;

	if (postgres != NULL)
		return; /* one row, and its time is a column of it */
	ag_kit_advance(kit, 30000); /* between two purges */
	with_idem(&c, 1, "key:key_1");
	assert_int_equal(appended(kit, &c), 0);
	ag_kit_advance(kit, day + 1);
	assert_false(idem(kit, &c)->known);
	with_idem(&c, 1, "key:key_2");
	assert_int_equal(appended(kit, &c), 0);
	ag_kit_advance(kit, 60000);
	assert_true(idem(kit, &c)->known);
	ag_kit_advance(kit, day);
	assert_false(idem(kit, &c)->known);
}

static bool
visit_row(void *arg, const uint8_t *key, size_t len, const uint8_t *value,
    size_t value_len)
{
	++*(unsigned *)arg;
	return true;
}

/* Many appends in one frame, so in one commit. */
static void
append_many(struct ag_kit *kit, unsigned from, unsigned count)
{
	Ag__Envelope env = AG__ENVELOPE__INIT;
	uint8_t *frame = malloc(1 << 20);
	size_t at = AG_FRAME_HEADER, env_len, body_len;
	struct changes c;
	char stream[32];

	ag_frame_write_header(frame, 0, (uint16_t)count);
	for (unsigned i = from; i < from + count; i++) {
		snprintf(stream, sizeof(stream), "key:%u", i);
		with_idem(&c, i, stream);
		env.has_corr = true;
		env.corr = ++corr;
		env_len = ag__envelope__get_packed_size(&env);
		body_len = ag__journal_append_ask__get_packed_size(&c.ask);
		ag_part_write_header(frame + at, (uint32_t)(env_len + body_len),
		    AG_MSG_JOURNAL_APPEND_ASK, (uint32_t)env_len);
		at += AG_PART_HEADER;
		at += ag__envelope__pack(&env, frame + at);
		at += ag__journal_append_ask__pack(&c.ask, frame + at);
	}
	ag_kit_deliver_bytes(kit, AG_ROLE_KEYS, 0, frame, at);
	while (ag_kit_next(kit) != NULL)
		;
	free(frame);
}

/* More than one handful a minute may be kept, and so go. */
static void
old_answers_go_as_fast_as_they_came(void **state)
{
	struct ag_kit *kit = *state;
	unsigned rows = 0;

	if (postgres != NULL)
		return;
	for (unsigned i = 0; i < 10; i++)
		append_many(kit, i * 200, 200);
	ag_kit_advance(kit, INT64_C(24) * 3600 * 1000 + 1);
	for (unsigned i = 0; i < 61; i++)
		ag_kit_advance(kit, 1000);
	assert_int_equal(ag_store_scan(ag_kit_ctx(kit), IDEM_BY_TIME, NULL, 0,
	    visit_row, &rows), AG_OK);
	assert_int_equal(rows, 0);
}

static unsigned long compared;
int __real_strcmp(const char *a, const char *b);
int __wrap_strcmp(const char *a, const char *b);

int
__wrap_strcmp(const char *a, const char *b)
{
	compared++;
	return __real_strcmp(a, b);
}

/* Found by reading: the largest append there is compared every stream with every
 * other one, fifty million times. */
static void
checks_ten_thousand_streams(void **state)
{
	enum { COUNT = 10240 };
	static Ag__Change one[COUNT], *list[COUNT];
	static char names[COUNT][16];
	Ag__JournalAppendAsk ask = AG__JOURNAL_APPEND_ASK__INIT;
	struct changes c = { .ask = ask };
	struct ag_kit *kit = *state;

	for (unsigned i = 0; i < COUNT; i++) {
		snprintf(names[i], sizeof(names[i]), "key:%u", i * 7919 % COUNT);
		ag__change__init(&one[i]);
		one[i].stream = names[i];
		one[i].type = AG_MSG_NAME_TAKEN_FACT;
		one[i].event.data = (uint8_t *)"fact";
		one[i].event.len = 4;
		list[i] = &one[i];
	}
	/* Twice the same, the later one behind the earlier one. */
	one[COUNT - 1].stream = names[3];
	one[COUNT - 1].expected_version = 2;
	c.ask.tenant = (char *)"default";
	c.ask.changes = list;
	c.ask.n_changes = COUNT;
	assert_int_equal(appended(kit, &c), AG_CONFLICT);
	one[COUNT - 1].expected_version = 1;
	compared = 0;
	assert_int_equal(appended(kit, &c), 0);
	/* PostgreSQL compares by itself. */
	assert_in_range(compared, postgres == NULL ? 1 : 0, 1000000);
	assert_int_equal(appended(kit, &c), AG_CONFLICT);
}

static void
bounds_idempotent_answers(void **state)
{
	struct ag_kit *kit = *state;
	struct changes c;

	for (unsigned i = 0; i < 10000; i += 500) {
		append_many(kit, i, 500);
		ag_kit_advance(kit, 1);
	}
	append_many(kit, 10000, 1);
	ag_kit_advance(kit, postgres == NULL ? 0 : 60000);
	with_idem(&c, 0, "key:0");
	assert_false(idem(kit, &c)->known); /* the oldest went */
	with_idem(&c, 1, "key:1");
	assert_true(idem(kit, &c)->known);
	with_idem(&c, 10000, "key:0");
	assert_true(idem(kit, &c)->known);
}

static void
is_the_same_after_a_restart(void **state)
{
	char dir[] = "/tmp/aegis-journal-XXXXXX", command[64];
	struct ag_kit *kit;
	struct changes c;

	ag_kit_free((struct ag_kit **)state);
	assert_non_null(mkdtemp(dir));
	kit = journal_new(dir);
	prepare(&c);
	change(&c, "key:key_1", 0);
	assert_int_equal(appended(kit, &c), 0);
	ag_kit_free(&kit);
	kit = journal_new(dir);
	assert_int_equal(pull(kit, 1, 10, NULL)->n_records, 1);
	prepare(&c);
	change(&c, "key:key_1", 0);
	assert_int_equal(appended(kit, &c), AG_CONFLICT);
	prepare(&c);
	change(&c, "key:key_1", 1);
	assert_int_equal(appended(kit, &c), 0);
	assert_int_equal(pull(kit, 2, 10, NULL)->records[0]->seq, 2);
	ag_kit_free(&kit);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
}

/* ------------------------------------------------ what only PostgreSQL has */

static void
two_nodes_are_one_history(void **state)
{
	struct ag_kit *a = *state, *b = journal_new(NULL);
	const Ag__JournalPullReply *reply;
	const struct ag_kit_sent *sent;
	struct changes c;

	prepare(&c);
	change(&c, "key:key_1", 0);
	c.ask.has_outcome = true;
	c.ask.outcome.data = (uint8_t *)"outcome";
	c.ask.outcome.len = 7;
	assert_int_equal(appended(a, &c), 0);
	/* B has not heard yet: the database says who was second. */
	assert_int_equal(appended(b, &c), AG_CONFLICT);
	while (ag_kit_next(b) != NULL)
		;
	prepare(&c);
	change(&c, "key:key_2", 0);
	assert_int_equal(appended(a, &c), 0);
	ag_kit_advance(b, 1000);
	sent = ag_kit_find(b, AG_MSG_JOURNAL_RECORD_EVENT);
	assert_non_null(sent);
	assert_string_equal(((const Ag__JournalRecord *)sent->body)->stream,
	    "key:key_2");
	while (ag_kit_next(b) != NULL)
		;
	reply = pull(b, 1, 10, NULL);
	assert_int_equal(reply->n_records, 2);
	assert_non_null(strchr(reply->records[0]->author, '/'));
	/* What another node owes its audit log is not this one's to deliver. */
	assert_int_equal(pull(b, 1, 10, "keys.0")->n_records, 0);
	prepare(&c);
	change(&c, "key:key_1", 1);
	assert_int_equal(appended(b, &c), 0);
	assert_int_equal(appended(a, &c), AG_CONFLICT);
	ag_kit_free(&b);
}

static void
state_fact(struct changes *c, const char *stream, uint64_t expected,
    Ag__KeyState__V state)
{
	static uint8_t bytes[64];
	Ag__KeyStateFact fact = AG__KEY_STATE_FACT__INIT;

	prepare(c);
	change(c, stream, expected);
	fact.key_id = (char *)"key_1";
	fact.state = state;
	c->one[0].type = AG_MSG_KEY_STATE_FACT;
	c->one[0].event.data = bytes;
	c->one[0].event.len = ag__key_state_fact__pack(&fact, bytes);
}

static void
what_ended_stays_ended(void **state)
{
	struct ag_kit *kit = *state;
	struct changes c;

	state_fact(&c, "key:key_1", 0, AG__KEY_STATE__V__Compromised);
	assert_int_equal(appended(kit, &c), 0);
	state_fact(&c, "key:key_1", 1, AG__KEY_STATE__V__Active);
	assert_int_equal(appended(kit, &c), AG_CONFLICT);
	state_fact(&c, "key:key_1", 1, AG__KEY_STATE__V__Destroyed);
	assert_int_equal(appended(kit, &c), 0);
	/* Nor by hand. */
	assert_string_equal(by_hand("UPDATE aegis_journal.stream SET ended = "
	    "false, version = version + 1"), "AG002");
	assert_string_equal(by_hand("UPDATE aegis_journal.event SET fact = ''"),
	    "AG002");
	assert_string_equal(by_hand("DELETE FROM aegis_journal.event"), "AG002");
	assert_string_equal(by_hand("TRUNCATE aegis_journal.event"), "AG002");
	assert_string_equal(by_hand("UPDATE aegis_journal.head SET seq = 1"),
	    "AG002");
	assert_string_equal(by_hand("SELECT count(*) FROM aegis_journal.event"),
	    "2");
}

static void
approval_fact(struct changes *c, uint64_t expected, const char *word)
{
	static uint8_t bytes[256];
	Ag__ApprovalFact fact = AG__APPROVAL_FACT__INIT;
	Ag__Approval a = AG__APPROVAL__INIT;
	Ag__Link who = AG__LINK__INIT;

	prepare(c);
	change(c, "approval:apr_1", expected);
	who.id = (char *)"agt_1";
	a.id = (char *)"apr_1";
	a.state = (char *)word;
	a.operation = (char *)"key.decrypt";
	a.requester = &who;
	fact.approval = &a;
	c->one[0].type = AG_MSG_APPROVAL_FACT;
	c->one[0].event.data = bytes;
	assert_true(ag__approval_fact__get_packed_size(&fact) <= sizeof(bytes));
	c->one[0].event.len = ag__approval_fact__pack(&fact, bytes);
}

/* The database keeps to it, too, whatever the approvals think. */
static void
who_was_refused_stays_refused(void **state)
{
	static const char *const ends[] = { "denied", "expired", "cancelled" };
	struct ag_kit *kit = *state;
	struct changes c;

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		char name[32];

		snprintf(name, sizeof(name), "approval:apr_%s", ends[i]);
		approval_fact(&c, 0, "pending");
		c.one[0].stream = name;
		assert_int_equal(appended(kit, &c), 0);
		approval_fact(&c, 1, "approved"); /* and used, twice */
		c.one[0].stream = name;
		assert_int_equal(appended(kit, &c), 0);
		approval_fact(&c, 2, "approved");
		c.one[0].stream = name;
		assert_int_equal(appended(kit, &c), 0);
		approval_fact(&c, 3, ends[i]);
		c.one[0].stream = name;
		assert_int_equal(appended(kit, &c), 0);
		approval_fact(&c, 4, i == 0 ? "approved" : "pending");
		c.one[0].stream = name;
		assert_int_equal(appended(kit, &c), AG_CONFLICT);
	}
	assert_string_equal(by_hand("UPDATE aegis_journal.stream SET ended = "
	    "false, version = version + 1"), "AG002");
}

static void
a_former_process_is_shut_out(void **state)
{
	struct ag_kit *kit = *state;
	struct changes c;

	by_hand("UPDATE aegis_journal.node SET epoch = epoch + 1");
	prepare(&c);
	change(&c, "key:key_1", 0);
	assert_int_equal(appended(kit, &c), AG_UNAVAILABLE);
	assert_string_equal(by_hand("SELECT count(*) FROM aegis_journal.event"),
	    "0");
}

/* The first value of the last statement, or what one was refused with. */
static const char *
say(PGconn *conn, const char *sql)
{
	static char said[256];
	PGresult *result = PQexec(conn, sql);
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	snprintf(said, sizeof(said), "%s", state != NULL ? state :
	    PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "");
	PQclear(result);
	return said;
}

#define APPEND_ONE "SELECT o_status FROM aegis_journal.append((SELECT id FROM " \
	"aegis_journal.node), 1, 0, ARRAY[1], ARRAY['default'], ARRAY[NULL::text], " \
	"ARRAY['keys.0'], ARRAY[NULL::bytea], ARRAY[NULL::bytea], " \
	"ARRAY[NULL::bytea], ARRAY[NULL::bytea], ARRAY[0], ARRAY[NULL::bytea], " \
	"ARRAY['key:late'], ARRAY[0::bigint], ARRAY[1], ARRAY['x'::bytea], " \
	"ARRAY[NULL::boolean])"

/* What our settings ask for may not reach the server: a pooler drops them. */
static void
the_fence_needs_no_settings(void **state)
{
	static const char *const levels[] = { "READ COMMITTED", "REPEATABLE READ",
		"SERIALIZABLE" };
	PGconn *late = PQconnectdb(postgres);
	char begin[80];

	(void)state;
	assert_string_equal(say(late, "BEGIN; SET LOCAL synchronous_commit = off; "
	    APPEND_ONE), "0");
	assert_string_equal(say(late, "SHOW synchronous_commit"), "on");
	assert_string_equal(say(late, "ROLLBACK"), "");
	for (unsigned i = 0; i < 3; i++) {
		snprintf(begin, sizeof(begin), "BEGIN ISOLATION LEVEL %s; SELECT "
		    "epoch FROM aegis_journal.node", levels[i]);
		/* Its view of things is older than who takes its place. */
		assert_string_equal(say(late, begin), "1");
		by_hand("SELECT aegis_journal.enter(id) FROM aegis_journal.node");
		assert_string_equal(say(late, APPEND_ONE), i == 0 ? "AG001" :
		    "40001");
		assert_string_equal(say(late, "ROLLBACK"), "");
		by_hand("UPDATE aegis_journal.node SET epoch = 1");
	}
	assert_string_equal(by_hand("SELECT aegis_journal.hear(id, 1) FROM "
	    "aegis_journal.node"), "0");
	assert_string_equal(by_hand("SELECT aegis_journal.hear(id, 2) FROM "
	    "aegis_journal.node"), "AG001");
	PQfinish(late);
}

/* Of a journal that went into a state directory nothing goes on. */
static void
what_was_moved_has_ended(void **state)
{
	struct ag_kit *kit = *state;
	struct changes c;

	prepare(&c);
	change(&c, "key:key_1", 0);
	assert_int_equal(appended(kit, &c), 0);
	by_hand("UPDATE aegis_journal.head SET moved = 'there'");
	prepare(&c);
	change(&c, "key:key_1", 1);
	assert_int_equal(appended(kit, &c), AG_UNAVAILABLE);
	assert_string_equal(by_hand("SELECT aegis_journal.enter('other')"),
	    "AG003");
	assert_string_equal(by_hand("UPDATE aegis_journal.head SET moved = NULL"),
	    "AG002");
	assert_string_equal(by_hand("SELECT count(*) FROM aegis_journal.event"),
	    "1");
}

static void
without_the_database_it_refuses_and_heals(void **state)
{
	struct ag_kit *kit = *state;
	struct changes c;

	prepare(&c);
	change(&c, "key:key_1", 0);
	assert_int_equal(appended(kit, &c), 0);
	/* One connection is ended under it: who notices first is refused. */
	by_hand("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
	    "WHERE application_name = 'aegis'");
	prepare(&c);
	change(&c, "key:key_1", 1);
	assert_int_not_equal(appended(kit, &c), 0);
	assert_int_equal(appended(kit, &c), AG_UNAVAILABLE);
	/* What is known here still is read. */
	assert_int_equal(pull(kit, 1, 10, NULL)->n_records, 1);
	ag_kit_advance(kit, 3000);
	assert_int_equal(appended(kit, &c), 0);
	assert_int_equal(pull(kit, 1, 10, NULL)->n_records, 2);
}

/* A program must not go on where a newer one has been. */
static void
a_newer_schema_is_refused(void **state)
{
	struct ag_kit *kit = *state;
	struct changes c;

	by_hand("INSERT INTO aegis_journal.migration VALUES (99, now())");
	by_hand("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
	    "WHERE application_name = 'aegis'");
	ag_kit_advance(kit, 3000);
	prepare(&c);
	change(&c, "key:key_1", 0);
	assert_int_equal(appended(kit, &c), AG_UNAVAILABLE);
	by_hand("DELETE FROM aegis_journal.migration WHERE version = 99");
	ag_kit_advance(kit, 3000);
	assert_int_equal(appended(kit, &c), 0);
}

static int
read_environment(void)
{
	const char *file = getenv("AEGIS_TEST_PASSWORD_FILE");

	if ((postgres = getenv("AEGIS_TEST_POSTGRES")) == NULL || file == NULL)
		return 1;
	setenv("PGPASSFILE", getenv("AEGIS_TEST_PGPASS"), 1);
	snprintf(config, sizeof(config), "journal: {kind: postgres, postgres: "
	    "{url: '%s', password_file: '%s', timeout_ms: 10000}}\n", postgres, file);
	return 0;
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest shared[] = {
		cmocka_unit_test_setup_teardown(two_nodes_are_one_history, setup, teardown),
		cmocka_unit_test_setup_teardown(what_ended_stays_ended, setup, teardown),
		cmocka_unit_test_setup_teardown(who_was_refused_stays_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_former_process_is_shut_out, setup, teardown),
		cmocka_unit_test_setup_teardown(the_fence_needs_no_settings, setup, teardown),
		cmocka_unit_test_setup_teardown(what_was_moved_has_ended, setup, teardown),
		cmocka_unit_test_setup_teardown(a_newer_schema_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(without_the_database_it_refuses_and_heals, setup, teardown),
	};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(appends_and_tells_followers_first, setup, teardown),
		cmocka_unit_test_setup_teardown(the_second_writer_conflicts, setup, teardown),
		cmocka_unit_test_setup_teardown(refuses_what_is_no_fact, setup, teardown),
		cmocka_unit_test_setup_teardown(hands_out_records, setup, teardown),
		cmocka_unit_test_setup_teardown(keeps_idempotent_answers_for_a_day, setup, teardown),
		cmocka_unit_test_setup_teardown(keeps_an_answer_without_a_change, setup, teardown),
		cmocka_unit_test_setup_teardown(an_old_answer_goes_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(old_answers_go_as_fast_as_they_came, setup, teardown),
		cmocka_unit_test_setup_teardown(checks_ten_thousand_streams, setup, teardown),
		cmocka_unit_test_setup_teardown(bounds_idempotent_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(is_the_same_after_a_restart, setup, teardown),
	};

	if (argc > 1 && strcmp(argv[1], "postgres") == 0) {
		if (read_environment() != 0)
			return 77;
		if (cmocka_run_group_tests(shared, NULL, NULL) != 0)
			return 1;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
