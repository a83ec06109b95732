/* SPDX-License-Identifier: Apache-2.0 */
/* A feed whose batches are delivered by its own thread, as in a process: in
 * order, with trouble said from there, and ended while it is at it. `make tsan`
 * looks for what both threads touch. */
#include <setjmp.h>
#include <stdatomic.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <aegis/kit.h>
#include <ctx.h>
#include <event2/event.h>

#include "feed.h"

enum { EVENTS = 300 };

/* The receiver's, and so the delivering thread's. */
struct peer {
	uint64_t last;
	bool slow; /* it waits until it is told to stop */
};

static atomic_ulong delivered;
static uint64_t got; /* what it had when its feed ended */
static bool slow;

static ag_err
peer_open(void *own, struct feed *feed, struct ag_ctx *ctx)
{
	struct peer *peer = own;

	peer->slow = slow;
	return AG_OK;
}

static ag_err
peer_deliver(void *own, struct feed_batch *batch)
{
	struct peer *peer = own;

	feed_trouble(batch->feed, "%zu at once", batch->count);
	while (peer->slow && !feed_stopping(batch->feed))
		usleep(1000);
	if (peer->slow)
		return feed_fail(batch, AG_UNAVAILABLE, "told to stop");
	for (size_t i = 0; i < batch->count; i++) {
		if (batch->items[i].pos != peer->last + 1)
			return feed_fail(batch, AG_BAD_MESSAGE, "out of order");
		peer->last = batch->items[i].pos;
	}
	atomic_store(&delivered, peer->last);
	return AG_OK;
}

static void
peer_close(void *own)
{
	got = ((struct peer *)own)->last;
}

static const struct feed_sink sink = {
	.own_size = sizeof(struct peer), .batch_max = 8, .open = peer_open,
	.deliver = peer_deliver, .close = peer_close,
};

FEED_ACTOR(peer, sink);

static const char config[] =
    "sinks:\n  - {name: plain, kind: file, path: x, attempts: 2}\n";
static struct ag_kit *kit;
static struct event_base *base;

static void
begin(bool is_slow)
{
	slow = is_slow;
	got = 0;
	kit = ag_kit_new(&ag_actor_peer, config, NULL);
	base = event_base_new();
	assert_non_null(base);
	ag_kit_ctx(kit)->base = base; /* as in a process: jobs get a thread */
}

static void
end(void)
{
	struct ag_ctx *ctx = ag_kit_ctx(kit);

	if (ctx->work_event != NULL)
		event_free(ctx->work_event);
	ctx->work_event = NULL;
	ctx->base = NULL;
	ag_kit_free(&kit);
	event_base_free(base);
}

static ag_err
arrive(uint64_t pos)
{
	Ag__Event e = AG__EVENT__INIT;
	char id[AG_ID_SIZE];

	snprintf(id, sizeof(id), "evt_%032llx", (unsigned long long)pos);
	e.event_id = id;
	e.seq = pos;
	e.tenant = (char *)"default";
	e.event_type = AG__EVENT_TYPE__V__request;
	e.occurred_at = ag_kit_now(kit);
	e.operation = (char *)"key.sign";
	e.outcome = AG__OUTCOME_KIND__V__allowed;
	return ag_kit_audit(kit, &e, pos);
}

/* What the worker has done is taken up, and time passes. */
static void
turn(void)
{
	ag_kit_advance(kit, 50);
	event_base_loop(base, EVLOOP_NONBLOCK);
	usleep(300);
}

static void
test_in_order(void **state)
{
	begin(false);
	for (uint64_t pos = 1; pos <= EVENTS; pos++) {
		assert_int_equal(arrive(pos), AG_OK);
		if (pos % 10 == 0)
			turn();
	}
	for (unsigned i = 0; i < 100000 && atomic_load(&delivered) < EVENTS; i++)
		turn();
	end();
	assert_int_equal(got, EVENTS);
}

/* The end comes while a batch is under way: it is waited for, and not taken for
 * delivered. */
static void
test_ends_in_between(void **state)
{
	begin(true);
	for (uint64_t pos = 1; pos <= 20; pos++)
		assert_int_equal(arrive(pos), AG_OK);
	for (unsigned i = 0; i < 20; i++)
		turn();
	end();
	assert_int_equal(got, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_in_order),
		cmocka_unit_test(test_ends_in_between),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
