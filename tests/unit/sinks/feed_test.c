/* SPDX-License-Identifier: Apache-2.0 */
/* What every sink is made of: order, the pause between tries, dead letters, the
 * cursor, the bound, pause and resume. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <aegis/kit.h>

#include "feed.h"

/* What the receiver does, and what it got. */
static struct {
	ag_err answer;
	uint64_t bad;     /* this position is refused for good; 0: none */
	size_t largest;   /* batch */
	unsigned calls;
	uint64_t got[FEED_EVENTS_MAX * 2];
	size_t count;
} peer;

static ag_err
peer_open(void *own, struct feed *feed, struct ag_ctx *ctx)
{
	return AG_OK;
}

static ag_err
peer_deliver(void *own, struct feed_batch *batch)
{
	peer.calls++;
	if (batch->count > peer.largest)
		peer.largest = batch->count;
	if (peer.answer != AG_OK)
		return feed_fail(batch, peer.answer, "away");
	for (size_t i = 0; i < batch->count; i++)
		if (batch->items[i].pos == peer.bad)
			return feed_fail(batch, AG_BAD_MESSAGE, "too odd");
	for (size_t i = 0; i < batch->count; i++)
		peer.got[peer.count++] = batch->items[i].pos;
	return AG_OK;
}

static const struct feed_sink sink = {
	.own_size = 1, .batch_max = 8, .open = peer_open,
	.deliver = peer_deliver,
};

FEED_ACTOR(peer, sink);

/* It looks after itself, and says what it finds then. */
static ag_err
idle_deliver(void *own, struct feed_batch *batch)
{
	if (peer.answer != AG_OK)
		feed_trouble(batch->feed, "nobody there");
	return AG_OK;
}

static const struct feed_sink idle_sink = {
	.own_size = 1, .batch_max = 8, .tends = true, .open = peer_open,
	.deliver = idle_deliver,
};

FEED_ACTOR(idle, idle_sink);

static const char plain[] =
    "sinks:\n  - {name: plain, kind: file, path: x, attempts: 2}\n";
static const char only_responses[] =
    "sinks:\n  - {name: plain, kind: file, path: x, event_types: [response]}\n";

static struct ag_kit *
start(const char *config, const char *dir)
{
	return ag_kit_new(&ag_actor_peer, config, dir);
}

static ag_err
arrive_as(struct ag_kit *kit, unsigned n, Ag__EventType__V type)
{
	Ag__Event e = AG__EVENT__INIT;
	char id[AG_ID_SIZE];

	snprintf(id, sizeof(id), "evt_%032x", n);
	e.event_id = id;
	e.seq = n;
	e.tenant = (char *)"default";
	e.event_type = type;
	e.occurred_at = ag_kit_now(kit);
	e.operation = (char *)"key.sign";
	e.outcome = AG__OUTCOME_KIND__V__allowed;
	return ag_kit_audit(kit, &e, n);
}

static void
arrive(struct ag_kit *kit, unsigned from, unsigned to)
{
	for (unsigned i = from; i <= to; i++)
		assert_int_equal(arrive_as(kit, i, AG__EVENT_TYPE__V__request),
		    AG_OK);
}

/* Lets it work for so long, in small steps. */
static void
pass(struct ag_kit *kit, unsigned ms)
{
	for (unsigned i = 0; i < ms; i += 50) {
		ag_kit_advance(kit, 50);
		ag_kit_work(kit);
	}
}

static uint64_t
metric(struct ag_kit *kit, const char *name)
{
	struct ag_metrics_block *blocks;
	uint64_t value = UINT64_MAX;
	size_t count;

	assert_int_equal(ag_metrics_read(ag_run_dir(ag_kit_ctx(kit)), &blocks,
	    &count), AG_OK);
	assert_int_equal(count, 1);
	for (unsigned i = 0; i < blocks[0].count; i++)
		if (strcmp(blocks[0].metrics[i].name, name) == 0)
			value = blocks[0].metrics[i].value;
	free(blocks);
	return value;
}

static void
order(struct ag_kit *kit, enum ag_role from, uint32_t op)
{
	Ag__SinkOrderAsk ask = AG__SINK_ORDER_ASK__INIT;
	Ag__Envelope env = AG__ENVELOPE__INIT;

	env.has_corr = true;
	env.corr = 7;
	ask.op = op;
	ag_kit_deliver(kit, from, 0, AG_MSG_SINK_ORDER_ASK, &env, &ask);
}

static int
forget(void **state)
{
	memset(&peer, 0, sizeof(peer));
	return 0;
}

static void
in_order_and_in_batches(void **state)
{
	struct ag_kit *kit = start(plain, NULL);

	arrive(kit, 1, 100);
	pass(kit, 100);
	assert_int_equal(peer.count, 100);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(peer.got[i], i + 1);
	assert_int_equal(peer.largest, 8);
	assert_int_equal(metric(kit, "sink_cursor"), 101);
	assert_int_equal(metric(kit, "sink_sent_total"), 100);
	ag_kit_free(&kit);
}

/* An hour's outage is a few hundred tries, no event lost, none out of order. */
static void
an_outage(void **state)
{
	struct ag_kit *kit = start(plain, NULL);
	unsigned tries;

	peer.answer = AG_UNAVAILABLE;
	arrive(kit, 1, 20);
	for (unsigned i = 0; i < 3600; i += 5) {
		ag_kit_advance(kit, 5000);
		ag_kit_work(kit);
	}
	tries = peer.calls;
	assert_in_range(tries, 3600 / 31, 3600 / 14);
	assert_int_equal(peer.count, 0);
	assert_int_equal(metric(kit, "sink_cursor"), 1);
	assert_int_equal(metric(kit, "sink_failing"), 1);
	assert_in_range(metric(kit, "audit_lag_seconds"), 3595, 3605);
	peer.answer = AG_OK;
	pass(kit, 31000);
	assert_int_equal(peer.count, 20);
	assert_int_equal(peer.got[0], 1);
	assert_int_equal(metric(kit, "sink_failing"), 0);
	assert_int_equal(metric(kit, "audit_lag_seconds"), 0);
	assert_int_equal(metric(kit, "sink_dead_letters"), 0);
	ag_kit_free(&kit);
}

/* One that is refused for good is put aside alone, and may be sent again. */
static void
a_dead_letter(void **state)
{
	struct ag_kit *kit = start(plain, NULL);
	char path[512];
	FILE *f;

	peer.bad = 13;
	arrive(kit, 1, 30);
	pass(kit, 5000);
	assert_int_equal(peer.count, 29);
	for (unsigned i = 0; i < 29; i++)
		assert_int_equal(peer.got[i], i < 12 ? i + 1 : i + 2);
	assert_int_equal(metric(kit, "sink_dead_letters"), 1);
	assert_int_equal(metric(kit, "sink_cursor"), 31);
	snprintf(path, sizeof(path), "%s/sinks/%s.dead", ag_kit_state_dir(kit),
	    ag_slot_name(ag_kit_ctx(kit), ag_self(ag_kit_ctx(kit))));
	f = fopen(path, "r");
	assert_non_null(f);
	fclose(f);

	/* Still refused: it is put aside again. */
	order(kit, AG_ROLE_HISTORY, AG_MSG_SINK_REDELIVER);
	pass(kit, 500);
	assert_int_equal(metric(kit, "sink_dead_letters"), 1);
	peer.bad = 0;
	order(kit, AG_ROLE_HISTORY, AG_MSG_SINK_REDELIVER);
	pass(kit, 500);
	assert_int_equal(peer.count, 30);
	assert_int_equal(peer.got[29], 13);
	assert_int_equal(metric(kit, "sink_dead_letters"), 0);
	assert_int_equal(metric(kit, "sink_redelivered_total"), 1);
	assert_null(fopen(path, "r"));
	ag_kit_free(&kit);
}

/* Memory is bounded, and what did not fit is asked for again. */
static void
a_full_queue(void **state)
{
	struct ag_kit *kit = start(plain, NULL);
	unsigned n = 0;

	peer.answer = AG_UNAVAILABLE;
	while (arrive_as(kit, n + 1, AG__EVENT_TYPE__V__request) == AG_OK)
		n++;
	assert_int_equal(n, FEED_EVENTS_MAX + FEED_PULL_EVENTS);
	assert_int_equal(metric(kit, "sink_queued_events"), n);
	peer.answer = AG_OK;
	pass(kit, 40000);
	assert_int_equal(peer.count, n);
	assert_int_equal(metric(kit, "sink_queued_bytes"), 0);
	arrive(kit, n + 1, n + 1);
	pass(kit, 100);
	assert_int_equal(peer.got[peer.count - 1], n + 1);
	ag_kit_free(&kit);
}

/* A person pauses it; that outlives the process. */
static void
paused(void **state)
{
	char dir[] = "/tmp/aegis-feed-XXXXXX", command[96];
	struct ag_kit *kit;

	assert_non_null(mkdtemp(dir));
	kit = start(plain, dir);
	order(kit, AG_ROLE_HISTORY, AG_MSG_SINK_PAUSE);
	assert_non_null(ag_kit_find(kit, AG_MSG_DONE_REPLY));
	arrive(kit, 1, 5);
	pass(kit, 2000);
	assert_int_equal(peer.count, 0);
	ag_kit_free(&kit);
	kit = start(plain, dir);
	assert_int_equal(metric(kit, "sink_paused"), 1);
	arrive(kit, 1, 5); /* the cursor stayed: they come again */
	pass(kit, 2000);
	assert_int_equal(peer.count, 0);
	order(kit, AG_ROLE_HISTORY, AG_MSG_SINK_RESUME);
	pass(kit, 100);
	assert_int_equal(peer.count, 5);
	ag_kit_free(&kit);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
}

/* Nobody but history gives orders, and only those that there are. */
static void
orders_of_others(void **state)
{
	struct ag_kit *kit = start(plain, NULL);

	order(kit, AG_ROLE_PLANE, AG_MSG_SINK_PAUSE);
	order(kit, AG_ROLE_AUDIT, AG_MSG_SINK_PAUSE);
	order(kit, AG_ROLE_HISTORY, AG_MSG_KEY_SIGN);
	assert_null(ag_kit_find(kit, AG_MSG_DONE_REPLY));
	assert_int_equal(metric(kit, "sink_paused"), 0);
	ag_kit_free(&kit);
}

static void
only_some_types(void **state)
{
	struct ag_kit *kit = start(only_responses, NULL);

	arrive(kit, 1, 10);
	assert_int_equal(arrive_as(kit, 11, AG__EVENT_TYPE__V__response), AG_OK);
	arrive(kit, 12, 15);
	pass(kit, 100);
	assert_int_equal(peer.count, 1);
	assert_int_equal(peer.got[0], 11);
	assert_int_equal(metric(kit, "sink_filtered_total"), 14);
	assert_int_equal(metric(kit, "sink_cursor"), 16);
	ag_kit_free(&kit);
}

/* Trouble that it is told of in between lasts until something is delivered. */
static void
trouble_without_events(void **state)
{
	struct ag_kit *kit = ag_kit_new(&ag_actor_idle, plain, NULL);

	pass(kit, 3000);
	assert_int_equal(metric(kit, "sink_failing"), 0);
	peer.answer = AG_UNAVAILABLE;
	pass(kit, 4000);
	assert_int_equal(metric(kit, "sink_failing"), 1);
	peer.answer = AG_OK;
	pass(kit, 4000);
	assert_int_equal(metric(kit, "sink_failing"), 1);
	arrive(kit, 1, 1);
	pass(kit, 100);
	assert_int_equal(metric(kit, "sink_failing"), 0);
	ag_kit_free(&kit);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(in_order_and_in_batches, forget),
		cmocka_unit_test_setup(an_outage, forget),
		cmocka_unit_test_setup(a_dead_letter, forget),
		cmocka_unit_test_setup(a_full_queue, forget),
		cmocka_unit_test_setup(paused, forget),
		cmocka_unit_test_setup(orders_of_others, forget),
		cmocka_unit_test_setup(only_some_types, forget),
		cmocka_unit_test_setup(trouble_without_events, forget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
