/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is counted and what follows from it: blocks in the journal, bounds after
 * a crash, the limit of encryptions, rotations by policy.
 */
#include "keys_fixture.h"

enum { BLOCK = 65536 };

static ag_err
sign(struct fixture *f, const char *id)
{
	Ag__SignAsk ask = AG__SIGN_ASK__INIT;

	ask.message_b64 = TEXT("m");
	return operate(f, AG_MSG_KEY_SIGN, id, &ask);
}

static uint64_t
operations(struct fixture *f, const char *id, uint32_t version)
{
	return read_key(f, id)->versions[version - 1]->operations;
}

static const char *
new_rotating(struct fixture *f, int spec, int64_t every_s, uint64_t after, bool active)
{
	Ag__KeyCreateAsk ask = AG__KEY_CREATE_ASK__INIT;
	Ag__Rotation rotation = AG__ROTATION__INIT;
	const char *id = new_id(f);

	ask.key_spec = (Ag__KeySpec__V)spec;
	ask.has_activate = true;
	ask.activate = active;
	ask.rotation = &rotation;
	rotation.has_every_s = every_s != 0;
	rotation.every_s = every_s;
	rotation.has_after_operations = after != 0;
	rotation.after_operations = after;
	assert_int_equal(operate(f, AG_MSG_KEY_CREATE, id, &ask), AG_OK);
	return id;
}

/* ------------------------------------------------------------------- blocks */

static void
test_the_journal_hears_of_blocks(void **state)
{
	struct fixture f;
	const char *id, *small;
	unsigned appends;
	uint64_t revision;

	fixture_new(&f, NULL);
	id = new_key(&f, SPEC(ED25519), true);
	revision = read_key(&f, id)->revision;
	appends = f.appends;
	assert_int_equal(sign(&f, id), AG_OK);
	assert_int_equal(f.appends, appends + 1); /* before the first answer */
	for (int i = 0; i < 500; i++)
		assert_int_equal(sign(&f, id), AG_OK);
	assert_int_equal(f.appends, appends + 1);
	assert_int_equal(operations(&f, id, 1), 501);
	assert_int_equal(read_key(&f, id)->revision, revision); /* no change of the key */
	/* After N operations: blocks of an eighth of it, asked for at half. */
	small = new_rotating(&f, SPEC(ED25519), 0, 800, true);
	appends = f.appends;
	for (int i = 0; i < 500; i++)
		assert_int_equal(sign(&f, small), AG_OK);
	assert_in_range(f.appends - appends, 5, 11);
	assert_int_equal(operations(&f, small, 1), 500);
	fixture_free(&f);
}

static void
test_a_batch_is_counted_once(void **state)
{
	Ag__BatchAsk ask = AG__BATCH_ASK__INIT;
	Ag__SignAsk items[20], *list[20];
	struct fixture f;
	const char *id;

	fixture_new(&f, NULL);
	id = new_rotating(&f, SPEC(ED25519), 0, 24, true); /* blocks of three */
	for (int i = 0; i < 20; i++) {
		ag__sign_ask__init(&items[i]);
		items[i].message_b64 = TEXT("m");
		list[i] = &items[i];
	}
	ask.operation = AG__USAGE__V__sign;
	ask.sign = list;
	ask.n_sign = 20;
	f.scope_op = "sign";
	assert_int_equal(operate(&f, AG_MSG_KEY_BATCH, id, &ask), AG_OK);
	assert_int_equal(((const Ag__BatchReply *)f.reply)->failed, 0);
	assert_int_equal(operations(&f, id, 1), 20);
	fixture_free(&f);
}

/* As kill -9 leaves it: the files of the last commit, while it runs. */
static void
test_counters_after_a_stop_and_a_crash(void **state)
{
	char dir[] = "/tmp/aegis-keys-XXXXXX", command[128], crashed[64];
	struct fixture f;
	struct ag_kit *kit;
	const char *id, *idle;

	assert_non_null(mkdtemp(dir));
	snprintf(crashed, sizeof(crashed), "%s.crashed", dir);
	fixture_new(&f, NULL);
	kit = f.keys;
	f.keys = ag_kit_new(&ag_actor_keys, NULL, dir);
	id = new_key(&f, SPEC(EC_P256), true);
	idle = new_key(&f, SPEC(EC_P256), true);
	for (int i = 0; i < 3; i++)
		assert_int_equal(sign(&f, id), AG_OK);
	ag_kit_free(&f.keys);
	/* In order: exact, and the block goes on. */
	f.keys = ag_kit_new(&ag_actor_keys, NULL, dir);
	assert_int_equal(operations(&f, id, 1), 3);
	f.appends = 0;
	for (int i = 0; i < 3; i++)
		assert_int_equal(sign(&f, id), AG_OK);
	assert_int_equal(f.appends, 0);
	assert_int_equal(operations(&f, id, 1), 6);
	snprintf(command, sizeof(command), "cp -r %s %s", dir, crashed);
	assert_int_equal(system(command), 0);
	ag_kit_free(&f.keys);
	f.keys = ag_kit_new(&ag_actor_keys, NULL, crashed);
	assert_int_equal(operations(&f, id, 1), BLOCK);
	assert_int_equal(operations(&f, idle, 1), 0); /* nothing was reserved for it */
	ag_kit_free(&f.keys);
	f.keys = ag_kit_new(&ag_actor_keys, NULL, crashed);
	assert_int_equal(operations(&f, id, 1), BLOCK); /* exact from then on */
	ag_kit_free(&f.keys);
	f.keys = kit;
	fixture_free(&f);
	snprintf(command, sizeof(command), "rm -rf %s %s", dir, crashed);
	assert_int_equal(system(command), 0);
}

/* The journal says no to a block: the next try asks again, nothing is lost. */
static void
test_a_block_refused_is_asked_for_again(void **state)
{
	Ag__SignAsk ask = AG__SIGN_ASK__INIT;
	const struct ag_kit_sent *sent;
	struct fixture f;
	const char *id;

	fixture_new(&f, NULL);
	id = new_key(&f, SPEC(ED25519), true);
	ask.message_b64 = TEXT("m");
	fixture_send(&f, AG_MSG_KEY_SIGN, id, &ask);
	while ((sent = ag_kit_next(f.keys)) != NULL && sent->type != AG_MSG_JOURNAL_APPEND_ASK)
		if (sent->to_role == AG_ROLE_ROT)
			fixture_ask_rot(&f, sent);
	assert_non_null(sent);
	ag_kit_answer_error(f.keys, sent, AG_CONFLICT, NULL);
	fixture_settle(&f);
	assert_int_equal(f.err, AG_OK);
	assert_int_equal(operations(&f, id, 1), 1);
	fixture_free(&f);
}

/* -------------------------------------------------------------------- limit */

static ag_err
encrypt(struct fixture *f, const char *id)
{
	Ag__EncryptAsk ask = AG__ENCRYPT_ASK__INIT;

	ask.plaintext_b64 = TEXT("plain");
	return operate(f, AG_MSG_KEY_ENCRYPT, id, &ask);
}

static void
test_encryptions_under_random_ivs_end(void **state)
{
	Ag__DecryptAsk decrypt = AG__DECRYPT_ASK__INIT;
	Ag__DataKeyAsk data_key = AG__DATA_KEY_ASK__INIT;
	Ag__EncryptAsk item = AG__ENCRYPT_ASK__INIT, *items[] = { &item, &item };
	Ag__BatchAsk batch = AG__BATCH_ASK__INIT;
	Ag__WrapAsk wrap = AG__WRAP_ASK__INIT;
	struct fixture f;
	struct keys *k;
	struct hot *hot;
	uint8_t bytes[128];
	size_t len;
	const char *id;

	fixture_new(&f, NULL);
	k = ag_kit_state(f.keys);
	id = new_key(&f, SPEC(AES_256), true);
	assert_int_equal(encrypt(&f, id), AG_OK);
	len = ((const Ag__EncryptReply *)f.reply)->ciphertext_b64.len;
	memcpy(bytes, ((const Ag__EncryptReply *)f.reply)->ciphertext_b64.data, len);
	hot = cache_key(&k->cache, ag_kit_ctx(f.keys), id);
	assert_int_equal(hot->stored->counts[0]->sealed, 1);
	hot->stored->counts[0]->sealed = UINT64_C(0xffffffff);
	item.plaintext_b64 = TEXT("plain");
	batch.operation = AG__USAGE__V__encrypt;
	batch.encrypt = items;
	batch.n_encrypt = 2;
	f.scope_op = "encrypt";
	assert_int_equal(operate(&f, AG_MSG_KEY_BATCH, id, &batch), AG_USAGE_LIMIT_EXCEEDED);
	assert_int_equal(encrypt(&f, id), AG_OK); /* the 2^32nd */
	assert_int_equal(encrypt(&f, id), AG_USAGE_LIMIT_EXCEEDED);
	assert_string_equal(f.reason_code, "gcm_invocations");
	data_key.data_key_spec = SPEC(AES_128);
	assert_int_equal(operate(&f, AG_MSG_KEY_DATA_KEY, id, &data_key), AG_USAGE_LIMIT_EXCEEDED);
	wrap.key_b64 = TEXT("0123456789abcdef");
	wrap.has_algorithm = true;
	wrap.algorithm = AG__ALGORITHM__V__AES_GCM;
	assert_int_equal(operate(&f, AG_MSG_KEY_WRAP, id, &wrap), AG_USAGE_LIMIT_EXCEEDED);
	wrap.algorithm = AG__ALGORITHM__V__AES_KWP; /* no IV of chance */
	assert_int_equal(operate(&f, AG_MSG_KEY_WRAP, id, &wrap), AG_OK);
	decrypt.ciphertext_b64 = (ProtobufCBinaryData){ len, bytes };
	assert_int_equal(operate(&f, AG_MSG_KEY_DECRYPT, id, &decrypt), AG_OK);
	assert_int_equal(operate_plain(&f, AG_MSG_KEY_ROTATE, id), AG_OK);
	assert_int_equal(encrypt(&f, id), AG_OK);
	assert_int_equal(((const Ag__EncryptReply *)f.reply)->key_version, 2);
	fixture_free(&f);
}

/* ---------------------------------------------------------------- rotations */

static const char *
param(const Ag__OutcomeEvent *event, const char *key)
{
	for (size_t i = 0; i < event->n_params; i++)
		if (strcmp(event->params[i]->key, key) == 0)
			return event->params[i]->value;
	return "";
}

static void
test_rotation_by_time(void **state)
{
	struct fixture f;
	const char *id, *idle;
	const Ag__Key *key;
	int64_t at;

	fixture_new(&f, NULL);
	id = new_rotating(&f, SPEC(EC_P256), 60, 0, false);
	idle = new_key(&f, SPEC(EC_P256), true);
	assert_false(read_key(&f, id)->rotation->has_next_at); /* not active yet */
	fixture_advance(&f, 3600000);
	assert_int_equal(read_key(&f, id)->version, 1);
	assert_int_equal(operate_plain(&f, AG_MSG_KEY_ACTIVATE, id), AG_OK);
	at = ag_kit_now(f.keys);
	assert_int_equal(read_key(&f, id)->rotation->next_at, at + 60000);
	fixture_advance(&f, 59000);
	assert_int_equal(read_key(&f, id)->version, 1);
	fixture_advance(&f, 1500);
	key = read_key(&f, id);
	assert_int_equal(key->version, 2);
	assert_int_equal(key->versions[0]->state, STATE(Deactivated));
	assert_int_equal(key->rotation->next_at, key->versions[1]->activated_at + 60000);
	assert_int_equal(f.events, 1);
	assert_string_equal(f.event->operation, "key.rotated");
	assert_string_equal(f.event->resource_id, id);
	assert_string_equal(param(f.event, "cause"), "every_s");
	assert_string_equal(param(f.event, "version"), "2");
	/* What was looked at again finds nothing to do. */
	for (int i = 0; i < 20; i++)
		fixture_advance(&f, 1000);
	assert_int_equal(read_key(&f, id)->version, 2);
	/* Whoever slept through five turns makes up for one. */
	fixture_advance(&f, 300000);
	for (int i = 0; i < 10; i++)
		fixture_advance(&f, 1000);
	assert_int_equal(read_key(&f, id)->version, 3);
	assert_int_equal(f.events, 2);
	assert_int_equal(read_key(&f, idle)->version, 1);
	fixture_free(&f);
}

static void
test_rotation_by_operations(void **state)
{
	struct fixture f;
	const char *id;

	fixture_new(&f, NULL);
	id = new_rotating(&f, SPEC(ED25519), 0, 100, true);
	for (int i = 0; i < 99; i++)
		assert_int_equal(sign(&f, id), AG_OK);
	fixture_advance(&f, 1000);
	assert_int_equal(read_key(&f, id)->version, 1);
	assert_int_equal(sign(&f, id), AG_OK);
	fixture_advance(&f, 1000);
	assert_int_equal(read_key(&f, id)->version, 2);
	assert_int_equal(f.events, 1);
	assert_string_equal(param(f.event, "cause"), "after_operations");
	for (int i = 0; i < 20; i++) {
		assert_int_equal(sign(&f, id), AG_OK);
		fixture_advance(&f, 1000);
	}
	assert_int_equal(read_key(&f, id)->version, 2);
	assert_int_equal(operations(&f, id, 1), 100);
	assert_int_equal(operations(&f, id, 2), 20);
	fixture_free(&f);
}

static void
test_rotation_waits_for_the_root_of_trust(void **state)
{
	struct fixture f;
	const char *id;
	unsigned generates;

	fixture_new(&f, NULL);
	id = new_rotating(&f, SPEC(EC_P256), 10, 0, true);
	f.rot_down = true;
	generates = f.generates;
	for (int i = 0; i < 15; i++)
		fixture_advance(&f, 1000);
	assert_int_equal(read_key(&f, id)->version, 1);
	assert_in_range(f.generates - generates, 2, 4); /* tried again, not hammered */
	f.rot_down = false;
	for (int i = 0; i < 5; i++)
		fixture_advance(&f, 1000);
	assert_int_equal(read_key(&f, id)->version, 2);
	assert_int_equal(f.events, 1);
	fixture_free(&f);
}

/* A store that is older than the table of what is due. */
static void
test_rotations_of_an_older_store(void **state)
{
	uint8_t row[DUE_KEY_BYTES];
	struct fixture f;
	struct ag_ctx *ctx;
	const char *id;
	size_t len;

	fixture_new(&f, NULL);
	ctx = ag_kit_ctx(f.keys);
	id = new_rotating(&f, SPEC(EC_P256), 60, 0, true);
	len = keys_due_key(ag_kit_now(f.keys) + 60000, id, row);
	assert_int_equal(ag_store_del(ctx, TABLE_ROTATE, row, len), AG_OK);
	fixture_advance(&f, 61000);
	assert_int_equal(read_key(&f, id)->version, 1);
	assert_int_equal(keys_replan_rotations(ctx), AG_OK);
	fixture_advance(&f, 1000);
	assert_int_equal(read_key(&f, id)->version, 2);
	fixture_free(&f);
}

static void
test_rotation_only_of_what_may_rotate(void **state)
{
	Ag__KeyUpdateAsk ask = AG__KEY_UPDATE_ASK__INIT;
	char *nulls[] = { (char *)"/rotation" };
	struct fixture f;
	const char *ended, *spared, *by_hand;

	fixture_new(&f, NULL);
	ended = new_rotating(&f, SPEC(EC_P256), 10, 0, true);
	spared = new_rotating(&f, SPEC(EC_P256), 10, 0, true);
	by_hand = new_rotating(&f, SPEC(EC_P256), 10, 0, true);
	assert_int_equal(operate_reason(&f, AG_MSG_KEY_DEACTIVATE, ended), AG_OK);
	assert_false(((const Ag__Key *)f.reply)->rotation->has_next_at);
	ask.nulls = nulls;
	ask.n_nulls = 1;
	assert_int_equal(operate(&f, AG_MSG_KEY_UPDATE, spared, &ask), AG_OK);
	assert_null(((const Ag__Key *)f.reply)->rotation);
	fixture_advance(&f, 9000);
	assert_int_equal(operate_plain(&f, AG_MSG_KEY_ROTATE, by_hand), AG_OK);
	fixture_advance(&f, 2000);
	assert_int_equal(read_key(&f, ended)->version, 1);
	assert_int_equal(read_key(&f, spared)->version, 1);
	assert_int_equal(read_key(&f, by_hand)->version, 2); /* counted from the hand's */
	fixture_advance(&f, 9000);
	assert_int_equal(read_key(&f, by_hand)->version, 3);
	fixture_free(&f);
}

/* Found by reading: both asked for version 2, and the slower one's material was
 * written down as version 3's, which nobody had made. */
static void
test_a_rotation_meets_another(void **state)
{
	Ag__ActAsk act = AG__ACT_ASK__INIT;
	Ag__Envelope env = AG__ENVELOPE__INIT;
	Ag__Nothing nothing = AG__NOTHING__INIT;

	for (int by_hand = 0; by_hand < 2; by_hand++) {
		struct fixture f;
		const Ag__Key *key;
		const char *id;
		unsigned generates;

		fixture_new(&f, NULL);
		id = new_rotating(&f, SPEC(ED25519), 60, 0, true);
		generates = f.generates;
		ag_kit_advance(f.rot, 60500);
		ag_kit_advance(f.keys, 60500); /* its policy asks for version 2 */
		act.action = (char *)(uintptr_t)"rotate_key";
		act.tenant = (char *)(uintptr_t)"default";
		act.target = (char *)(uintptr_t)id;
		act.recommendation_id = (char *)(uintptr_t)"rec_1";
		act.cause_event_id =
		    (char *)(uintptr_t)"evt_0190a000000070008000000000000001";
		act.reason = (char *)(uintptr_t)"detected";
		env.has_corr = true;
		env.corr = 77;
		if (by_hand)
			fixture_send(&f, AG_MSG_KEY_ROTATE, id, &nothing);
		else
			ag_kit_deliver(f.keys, AG_ROLE_RESPONDER, 0, AG_MSG_ACT_ASK,
			    &env, &act);
		fixture_settle(&f);
		assert_int_equal(f.events, 1);
		assert_int_equal(f.generates, generates + 3);
		assert_int_equal(f.err, AG_OK);
		key = read_key(&f, id);
		assert_int_equal(key->version, 3);
		assert_int_equal(sign(&f, id), AG_OK); /* its material is there */
		fixture_free(&f);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_journal_hears_of_blocks),
		cmocka_unit_test(test_a_batch_is_counted_once),
		cmocka_unit_test(test_counters_after_a_stop_and_a_crash),
		cmocka_unit_test(test_a_block_refused_is_asked_for_again),
		cmocka_unit_test(test_encryptions_under_random_ivs_end),
		cmocka_unit_test(test_rotation_by_time),
		cmocka_unit_test(test_rotation_by_operations),
		cmocka_unit_test(test_rotation_waits_for_the_root_of_trust),
		cmocka_unit_test(test_rotations_of_an_older_store),
		cmocka_unit_test(test_rotation_only_of_what_may_rotate),
		cmocka_unit_test(test_a_rotation_meets_another),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
