/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A batch that takes longer than a turn may: others go on meanwhile, and it ends
 * as one that was done at once. The clock that the shard looks at is the test's.
 */
#include "keys_fixture.h"

#include <use.h>

enum { N = 10 };

static uint64_t passed_us, look_us; /* a look at the clock takes so long */

uint64_t __real_ag_mono_us(struct ag_ctx *ctx);
uint64_t __wrap_ag_mono_us(struct ag_ctx *ctx);

uint64_t
__wrap_ag_mono_us(struct ag_ctx *ctx)
{
	passed_us += look_us;
	return __real_ag_mono_us(ctx) + passed_us;
}

struct signs {
	Ag__BatchAsk ask;
	Ag__SignAsk items[N], *list[N];
	char texts[N][8];
};

/* The fourth cannot be done. */
static void
signs_of(struct fixture *f, struct signs *s)
{
	ag__batch_ask__init(&s->ask);
	for (int i = 0; i < N; i++) {
		snprintf(s->texts[i], sizeof(s->texts[i]), "m%d", i);
		ag__sign_ask__init(&s->items[i]);
		s->items[i].message_b64.data = (uint8_t *)s->texts[i];
		s->items[i].message_b64.len = strlen(s->texts[i]);
		s->list[i] = &s->items[i];
	}
	s->items[3].has_algorithm = true;
	s->items[3].algorithm = AG__ALGORITHM__V__AES_GCM;
	s->ask.operation = AG__USAGE__V__sign;
	s->ask.sign = s->list;
	s->ask.n_sign = N;
	f->scope_op = "sign";
	f->items = N;
}

static const struct keys *
shard(struct fixture *f)
{
	return ag_kit_state(f->keys);
}

/* Sent, and its first turn done. */
static void
begin(struct fixture *f, const char *id, const struct signs *s)
{
	fixture_drop_reply(f);
	fixture_send(f, AG_MSG_KEY_BATCH, id, &s->ask);
	fixture_settle(f);
}

static void
test_slices_are_one_batch(void **state)
{
	struct fixture f;
	struct signs s;
	const Ag__BatchReply *r;
	const char *id, *other;
	ProtobufCMessage *whole;
	unsigned outcomes, turns = 0;

	look_us = 0;
	fixture_new(&f, NULL);
	id = new_key(&f, SPEC(ED25519), true);
	other = new_key(&f, SPEC(ED25519), true);
	signs_of(&f, &s);
	assert_int_equal(operate(&f, AG_MSG_KEY_BATCH, id, &s.ask), AG_OK);
	whole = f.reply; /* done at once: Ed25519 signs the same again */
	f.reply = NULL;
	look_us = 4000;
	outcomes = f.outcomes;
	begin(&f, id, &s);
	assert_int_equal(f.outcomes, outcomes);
	assert_non_null(shard(&f)->parts);
	/* Somebody else's key does not wait for it. */
	f.items = 0;
	assert_int_equal(operate_plain(&f, AG_MSG_KEY_READ, other), AG_OK);
	while (f.outcomes == outcomes + 1 && turns++ < N)
		fixture_advance(&f, 1);
	assert_int_equal(f.outcomes, outcomes + 2); /* one event for all of it */
	assert_int_equal(f.err, AG_OK);
	assert_in_range(turns, 2, N - 1);
	r = (const Ag__BatchReply *)f.reply;
	assert_int_equal(r->n_results, N);
	assert_int_equal(r->failed, 1);
	assert_int_equal(r->results[3]->error->err, AG_INVALID_FIELD);
	for (int i = 0; i < N; i++) {
		const Ag__BatchResult *was =
		    ((const Ag__BatchReply *)whole)->results[i];

		if (i == 3)
			continue;
		assert_int_equal(r->results[i]->sign->signature_b64.len, 64);
		assert_memory_equal(r->results[i]->sign->signature_b64.data,
		    was->sign->signature_b64.data, 64);
	}
	assert_null(shard(&f)->parts);
	assert_int_equal(read_key(&f, id)->versions[0]->operations, 2 * (N - 1));
	protobuf_c_message_free_unpacked(whole, NULL);
	look_us = 0;
	fixture_free(&f);
}

/* What is wrong with the key refuses the whole, whenever it begins to be wrong. */
static void
ends_in_between(bool cold)
{
	struct fixture f;
	struct signs s;
	const char *id;
	unsigned outcomes;

	look_us = 0;
	fixture_new(&f, NULL);
	id = new_key(&f, SPEC(ED25519), true);
	signs_of(&f, &s);
	f.items = 0;
	if (!cold)
		assert_int_equal(operate(&f, AG_MSG_KEY_SIGN, id, &s.items[0]),
		    AG_OK);
	f.items = N;
	look_us = 4000;
	begin(&f, id, &s);
	assert_int_equal(f.loads, 1);
	assert_non_null(shard(&f)->parts);
	f.items = 0;
	assert_int_equal(operate_reason(&f, AG_MSG_KEY_FREEZE, id), AG_OK);
	outcomes = f.outcomes;
	for (int i = 0; i < N && f.outcomes == outcomes; i++)
		fixture_advance(&f, 1);
	assert_int_equal(f.err, AG_INVALID_KEY_STATE);
	assert_null(shard(&f)->parts);
	assert_int_equal(read_key(&f, id)->versions[0]->operations, cold ? 0 : 1);
	look_us = 0;
	fixture_free(&f);
}

static void
test_the_key_ends_in_between(void **state)
{
	ends_in_between(false);
}

/* Who loads a key keeps it from others for the load, not for the batch. */
static void
test_a_cold_key_ends_in_between(void **state)
{
	ends_in_between(true);
}

/* On to where the journal is asked for a block, which is not answered yet. */
static const struct ag_kit_sent *
until_it_waits(struct fixture *f)
{
	const struct ag_kit_sent *sent = NULL;

	for (int i = 0; i < 2 * N && sent == NULL; i++) {
		ag_kit_advance(f->keys, 1);
		while ((sent = ag_kit_next(f->keys)) != NULL &&
		    sent->type != AG_MSG_JOURNAL_APPEND_ASK)
			if (sent->to_role == AG_ROLE_ROT)
				fixture_ask_rot(f, sent);
	}
	assert_non_null(sent);
	return sent;
}

/* Nor for the counting, of one use as of many. */
static void
test_others_do_not_wait_for_the_journal(void **state)
{
	struct ag_kit_sent block;
	struct fixture f;
	struct signs s;
	Ag__Envelope env;
	const char *id;

	look_us = 0;
	fixture_new(&f, NULL);
	for (int many = 0; many < 2; many++) {
		id = new_key(&f, SPEC(ED25519), true);
		signs_of(&f, &s);
		fixture_drop_reply(&f);
		if (!many) {
			f.items = 0;
			f.scope_op = NULL;
		}
		fixture_send(&f, many ? AG_MSG_KEY_BATCH : AG_MSG_KEY_SIGN, id,
		    many ? (const void *)&s.ask : &s.items[0]);
		block = *until_it_waits(&f);
		env = *block.env;
		block.env = &env;
		f.items = 0;
		assert_int_equal(read_key(&f, id)->versions[0]->operations, 0);
		ag_kit_answer_error(f.keys, &block, AG_CONFLICT, NULL);
		fixture_settle(&f);
		assert_int_equal(f.err, AG_OK);
		assert_int_equal(read_key(&f, id)->versions[0]->operations,
		    many ? N - 1 : 1);
	}
	fixture_free(&f);
}

/* All is done but the counting: then the key ends, and nothing leaves. */
static void
test_the_key_ends_while_it_is_counted(void **state)
{
	struct ag_kit_sent block;
	struct fixture f;
	struct signs s;
	struct hot *hot;
	Ag__Envelope env;
	const char *id;
	unsigned outcomes;

	look_us = 0;
	fixture_new(&f, NULL);
	id = new_key(&f, SPEC(ED25519), true);
	signs_of(&f, &s);
	f.items = 0;
	assert_int_equal(operate(&f, AG_MSG_KEY_SIGN, id, &s.items[0]), AG_OK);
	hot = cache_key(&((struct keys *)ag_kit_state(f.keys))->cache,
	    ag_kit_ctx(f.keys), id);
	hot->stored->counts[0]->reserved = 1; /* the block is used up */
	f.items = N;
	look_us = 4000;
	begin(&f, id, &s);
	block = *until_it_waits(&f);
	env = *block.env;
	block.env = &env;
	assert_int_equal(part_done(shard(&f)->parts), N);
	f.items = 0;
	assert_int_equal(operate_reason(&f, AG_MSG_KEY_FREEZE, id), AG_OK);
	outcomes = f.outcomes;
	ag_kit_answer_error(f.keys, &block, AG_CONFLICT, NULL);
	fixture_settle(&f);
	assert_int_equal(f.outcomes, outcomes + 1);
	assert_int_equal(f.err, AG_INVALID_KEY_STATE);
	assert_null(shard(&f)->parts);
	assert_int_equal(read_key(&f, id)->versions[0]->operations, 1);
	look_us = 0;
	fixture_free(&f);
}

/* What nobody comes back for is not kept until the next long batch. */
static void
test_what_is_left_is_wiped_in_time(void **state)
{
	struct fixture f;
	struct signs s;
	const char *id;

	look_us = 0;
	fixture_new(&f, NULL);
	id = new_key(&f, SPEC(ED25519), true);
	signs_of(&f, &s);
	look_us = 4000;
	begin(&f, id, &s);
	(void)until_it_waits(&f);
	look_us = 0;
	assert_non_null(shard(&f)->parts);
	/* The journal says nothing, and the deadline passes. */
	for (int i = 0; i < 20 && shard(&f)->parts != NULL; i++)
		fixture_advance(&f, 1000);
	assert_null(shard(&f)->parts);
	fixture_free(&f);
}

/* A shard may end while one is under way. */
static void
test_the_shard_ends_in_between(void **state)
{
	struct fixture f;
	struct signs s;
	const char *id;

	look_us = 0;
	fixture_new(&f, NULL);
	id = new_key(&f, SPEC(ED25519), true);
	signs_of(&f, &s);
	look_us = 4000;
	begin(&f, id, &s);
	begin(&f, id, &s);
	look_us = 0;
	assert_non_null(shard(&f)->parts);
	fixture_free(&f); /* the sanitizer sees that it is */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slices_are_one_batch),
		cmocka_unit_test(test_the_key_ends_in_between),
		cmocka_unit_test(test_a_cold_key_ends_in_between),
		cmocka_unit_test(test_others_do_not_wait_for_the_journal),
		cmocka_unit_test(test_the_key_ends_while_it_is_counted),
		cmocka_unit_test(test_what_is_left_is_wiped_in_time),
		cmocka_unit_test(test_the_shard_ends_in_between),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
