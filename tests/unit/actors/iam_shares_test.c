/* SPDX-License-Identifier: Apache-2.0 */
/* Rates that several nodes share, with Redis played by hand: permits ahead,
 * a no, one that lies, one that does not answer. */
#include "iam_fleet.h"

#include "iam.h"

enum {
	RATE = 2000, NODES = 2, BLOCK = RATE / (100 * NODES),
	WINDOW_MS = 60000, PART_MS = WINDOW_MS / 10,
};

static struct fleet *f;

/* The other end: one window, whose uses do not end. */
static struct redis {
	enum { ANSWERS, SILENT, LIES, FAILS } is;
	uint64_t used;           /* by all nodes, permits in hands included */
	unsigned asked, needed;  /* questions; those that somebody waits for */
} redis;

static int
setup(void **state)
{
	f = fleet_new("limits: {principal: {rate: 0}, rules: [{tenant: default, "
	    "per: tenant, operation: key.sign, rate: 2000}]}\n"
	    "shared: {enabled: true, redis: \"unix:/none\", nodes: 2}\n");
	key(f, "default", "key_0123456789abcdef0123456789abcdef", "invoice",
	    NULL, NULL, false);
	memset(&redis, 0, sizeof(redis));
	return 0;
}

static int
teardown(void **state)
{
	fleet_free(f);
	return 0;
}

static void
redis_is(bool there, unsigned nodes)
{
	Ag__SharedStateEvent ev = AG__SHARED_STATE_EVENT__INIT;

	ev.there = there;
	ev.nodes = nodes;
	ag_kit_deliver(f->kit, AG_ROLE_SHARED, 0, AG_MSG_SHARED_STATE_EVENT,
	    NULL, &ev);
}

static void
redis_answers(const Ag__SharedWantOrder *o)
{
	Ag__SharedGotEvent ev = AG__SHARED_GOT_EVENT__INIT;
	uint64_t room;

	assert_int_equal(o->rate, RATE);
	assert_int_equal(o->window_ms, WINDOW_MS);
	assert_true(o->need <= o->want);
	if (o->has_give) {
		assert_true(o->give <= redis.used);
		redis.used -= o->give;
	}
	if (o->want == 0)
		return;
	redis.asked++;
	redis.needed += o->need > 0;
	if (redis.is == SILENT)
		return;
	ev.window = o->window;
	ev.asked_ms = o->asked_ms;
	if (redis.is != FAILS)
		ev.has_got = ev.has_left = ev.has_part = ev.has_part_ms =
		    ev.has_retry_ms = ev.has_reset_ms = true;
	room = RATE - redis.used;
	ev.got = redis.is == LIES ? UINT32_MAX : room < o->need ? 0 :
	    room < o->want ? (uint32_t)room : o->want;
	if (redis.is == ANSWERS)
		redis.used += ev.got;
	ev.left = (uint32_t)(RATE - redis.used);
	ev.part = 3;
	ev.part_ms = PART_MS;
	ev.retry_ms = 4200;
	ag_kit_deliver(f->kit, AG_ROLE_SHARED, 0, AG_MSG_SHARED_GOT_EVENT, NULL,
	    &ev);
}

/* Everybody else's part until nothing is left to do. */
static struct ended
go_on(void)
{
	const struct ag_kit_sent *sent;
	struct ended e = { 0 };

	while ((sent = ag_kit_next(f->kit)) != NULL) {
		if (sent->type == AG_MSG_SHARED_WANT_ORDER) {
			redis_answers(sent->body);
		} else if (sent->type == AG_MSG_OUTCOME_EVENT) {
			take_outcome(ag_kit_ctx(f->kit), sent, AG_MSG_KEY_SIGN,
			    &e);
		} else if (sent->type == AG_MSG_KEY_SIGN) {
			e.passed = true;
		}
	}
	return e;
}

static struct ended
use(void)
{
	struct asking as = ASK(.token = f->admin, .selector = "invoice");
	uint8_t id[AG_UUID_BYTES];

	deliver(f, AG_MSG_KEY_SIGN, &as, NULL, id);
	return go_on();
}

/* How many of n pass; the others must have been told to come again. */
static unsigned
uses(unsigned n)
{
	unsigned passed = 0;

	while (n-- > 0) {
		struct ended e = use();

		passed += e.passed;
		if (!e.passed) {
			assert_int_equal(e.err, AG_RATE_LIMITED);
			assert_true(e.retry_after_s > 0);
		}
		ended_free(&e);
	}
	return passed;
}

/* Before Redis was reached, and when it is gone: this node's part, unasked. */
static void
test_local(void **state)
{
	assert_int_equal(uses(RATE), RATE / NODES);
	/* More nodes than the file says: a smaller part. */
	ag_kit_advance(f->kit, 2 * WINDOW_MS);
	redis_is(false, 8);
	assert_int_equal(uses(RATE), RATE / 8);
	/* Fewer are not believed. */
	ag_kit_advance(f->kit, 2 * WINDOW_MS);
	redis_is(false, 0);
	assert_int_equal(uses(RATE), RATE / NODES);
	assert_int_equal(redis.asked, 0);
}

static void
test_permits_ahead(void **state)
{
	redis_is(true, NODES);
	assert_int_equal(uses(RATE - 100), RATE - 100);
	assert_int_equal(redis.needed, 1); /* the first; then nobody waited */
	assert_in_range(redis.asked, RATE / BLOCK / 2, 2 * RATE / BLOCK);
	assert_in_range(redis.used, RATE - 100, RATE - 100 + 2 * BLOCK);
	assert_int_equal(uses(200), 100);
	assert_int_equal(redis.used, RATE);
	/* A no is kept for a while: a flood asks next to nothing. */
	redis.asked = 0;
	assert_int_equal(uses(1000), 0);
	assert_in_range(redis.asked, 0, 2);
}

/* What nobody uses goes back, and what the others leave can be had. */
static void
test_given_back(void **state)
{
	redis_is(true, NODES);
	redis.used = RATE - 5;
	assert_int_equal(uses(1), 1);
	assert_int_equal(redis.used, RATE);
	ag_kit_advance(f->kit, 600);
	(void)go_on();
	assert_int_equal(redis.used, RATE - 4);
	assert_int_equal(uses(10), 4);
	redis.used -= 3; /* another node gave back */
	ag_kit_advance(f->kit, 600);
	assert_int_equal(uses(10), 3);
}

/* Nor are permits used when their part of the window is over. */
static void
test_a_part_ends(void **state)
{
	redis_is(true, NODES);
	assert_int_equal(uses(1), 1);
	assert_int_equal(redis.needed, 1);
	ag_kit_advance(f->kit, PART_MS);
	(void)go_on();
	assert_int_equal(redis.used, 1);
	assert_int_equal(uses(1), 1);
	assert_int_equal(redis.needed, 2);
}

static void
test_redis_lies(void **state)
{
	redis_is(true, NODES);
	redis.is = LIES; /* more than was asked for is none */
	assert_int_equal(uses(10), 0);
	/* One that counts nothing: a node stops at the whole rate. */
	ag_kit_advance(f->kit, 2 * WINDOW_MS);
	redis.is = ANSWERS;
	for (unsigned i = 0; i < RATE; i++) {
		redis.used = 0;
		assert_int_equal(uses(1), 1);
	}
	redis.used = 0;
	assert_int_equal(uses(10), 0);
}

/* Waits for one answer, not for ever, and then not again for a second. */
static void
test_redis_is_silent(void **state)
{
	struct ended e;

	redis_is(true, NODES);
	redis.is = SILENT;
	e = use();
	assert_false(e.passed || e.over);
	ag_kit_advance(f->kit, 150);
	e = go_on();
	assert_false(e.passed || e.over);
	ag_kit_advance(f->kit, 150);
	e = go_on();
	assert_true(e.passed);
	ended_free(&e);
	assert_int_equal(uses(RATE), RATE / NODES - 1);
	assert_int_equal(redis.asked, 1);
	/* It answers again. */
	redis.is = ANSWERS;
	ag_kit_advance(f->kit, 2 * WINDOW_MS);
	assert_int_equal(uses(RATE + 1), RATE);
	/* And says that it does not know. */
	ag_kit_advance(f->kit, 2 * WINDOW_MS);
	redis.is = FAILS;
	assert_int_equal(uses(RATE), RATE / NODES);
}

/* An answer to a question that was not asked changes nothing. */
static void
test_nobody_asked(void **state)
{
	uint8_t window[16] = { 1 };
	Ag__SharedGotEvent ev = AG__SHARED_GOT_EVENT__INIT;

	ev.window = (ProtobufCBinaryData){ sizeof(window), window };
	ag_kit_deliver(f->kit, AG_ROLE_SHARED, 0, AG_MSG_SHARED_GOT_EVENT, NULL,
	    &ev);
	ev.window.len = 3;
	ag_kit_deliver(f->kit, AG_ROLE_SHARED, 0, AG_MSG_SHARED_GOT_EVENT, NULL,
	    &ev);
	assert_int_equal(uses(RATE), RATE / NODES);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_local, setup, teardown),
		cmocka_unit_test_setup_teardown(test_permits_ahead, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_given_back, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_a_part_ends, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_redis_lies, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_redis_is_silent, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_nobody_asked, setup,
		    teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
