/* SPDX-License-Identifier: Apache-2.0 */
/* Counters by agent, hour and operation. */
#include "iam_fleet.h"

#include "iam.h"

enum { HOUR_MS = 3600 * 1000 };

static struct fleet *f;
static uint64_t pos;

static int
setup(void **state)
{
	f = fleet_new("limits: {usage_kept_s: 7200}\n");
	pos = 0;
	return 0;
}

static int
teardown(void **state)
{
	fleet_free(f);
	return 0;
}

static void
event(const char *id, const char *operation, Ag__OutcomeKind__V outcome,
    Ag__EventType__V type, uint32_t items, int64_t at)
{
	Ag__Event e = AG__EVENT__INIT;
	Ag__EventActor actor = AG__EVENT_ACTOR__INIT;

	actor.id = (char *)id;
	e.event_id = (char *)"evt_00000000000000000000000000000001";
	e.tenant = (char *)"default";
	e.event_type = type;
	e.outcome = outcome;
	e.operation = (char *)operation;
	e.actor = &actor;
	e.has_items = items > 0;
	e.items = items;
	e.occurred_at = at;
	assert_int_equal(ag_kit_audit(f->kit, &e, ++pos), AG_OK);
}

#define SEEN(id, op, outcome, type, items, at) \
	event(id, op, AG__OUTCOME_KIND__V__##outcome, AG__EVENT_TYPE__V__##type, \
	    items, at)

static Ag__AgentUsageReply *
usage(const char *token, const char *id, Ag__AgentUsageAsk ask,
    struct ended *e)
{
	*e = request(f, AG_MSG_AGENT_USAGE, ASK(.token = token, .selector = id),
	    &ask);
	assert_int_equal(e->err, AG_OK);
	return e->reply;
}

static const Ag__AgentUsageAsk everything = AG__AGENT_USAGE_ASK__INIT;

static void
test_counts(void **state)
{
	struct agent a = agent_of(f, f->admin, "key:x:sign", 0);
	int64_t hour = ag_kit_now(f->kit) / HOUR_MS * HOUR_MS;
	Ag__AgentUsageReply *r;
	struct ended e;

	SEEN(a.id, "key.sign", allowed, request, 0, hour);
	SEEN(a.id, "key.sign", allowed, request, 0, hour + HOUR_MS - 1);
	SEEN(a.id, "key.sign", denied, request, 0, hour + 5);
	SEEN(a.id, "key.sign", failed, request, 0, hour + 6);
	SEEN(a.id, "key.sign", unknown, request, 0, hour + 7);
	SEEN(a.id, "key.sign", allowed, outcome_late, 0, hour + 7);
	SEEN(a.id, "key.sign", allowed, response, 0, hour + 8);
	SEEN(a.id, "key.batch", allowed, request, 40, hour + 9);
	SEEN(a.id, "key.batch", denied, request, 40, hour + 9);
	SEEN(a.id, "key.sign", allowed, request, 0, hour + HOUR_MS);
	SEEN("hum_00000000000000000000000000000001", "key.sign", allowed, request, 0, hour);
	r = usage(f->admin, a.id, everything, &e);
	assert_string_equal(r->agent_id, a.id);
	assert_int_equal(r->n_items, 3);
	assert_null(r->next_cursor);
	assert_string_equal(r->items[0]->operation, "key.batch");
	assert_int_equal(r->items[0]->items, 40);
	assert_int_equal(r->items[0]->denied, 1);
	assert_string_equal(r->items[1]->operation, "key.sign");
	assert_int_equal(r->items[1]->hour_at, hour);
	assert_int_equal(r->items[1]->allowed, 2);
	assert_int_equal(r->items[1]->denied, 1);
	assert_int_equal(r->items[1]->failed, 1);
	assert_int_equal(r->items[1]->unknown, 1);
	assert_int_equal(r->items[1]->late, 1);
	assert_int_equal(r->items[1]->items, 3);
	assert_int_equal(r->items[2]->hour_at, hour + HOUR_MS);
	ended_free(&e);
	agent_free(&a);
}

static void
test_filters_and_pages(void **state)
{
	struct agent a = agent_of(f, f->admin, "key:x:sign", 0);
	int64_t hour = ag_kit_now(f->kit) / HOUR_MS * HOUR_MS;
	Ag__AgentUsageAsk ask = AG__AGENT_USAGE_ASK__INIT;
	Ag__AgentUsageReply *r;
	struct ended e;
	unsigned seen = 0;
	char *cursor = NULL;

	for (int i = 0; i < 5; i++) {
		SEEN(a.id, "key.sign", allowed, request, 0, hour + i * HOUR_MS);
		SEEN(a.id, "key.mac", allowed, request, 0, hour + i * HOUR_MS);
	}
	ask.has_since = ask.has_until = true;
	ask.since = hour + HOUR_MS + 10; /* in that hour */
	ask.until = hour + 3 * HOUR_MS;  /* not the one that begins then */
	r = usage(f->admin, a.id, ask, &e);
	assert_int_equal(r->n_items, 4);
	assert_int_equal(r->items[0]->hour_at, hour + HOUR_MS);
	assert_int_equal(r->items[3]->hour_at, hour + 2 * HOUR_MS);
	ended_free(&e);
	ask = everything;
	ask.operation = (char *)"key.mac";
	ask.has_limit = true;
	ask.limit = 2;
	do {
		ask.cursor = cursor;
		r = usage(f->admin, a.id, ask, &e);
		for (size_t i = 0; i < r->n_items; i++)
			assert_int_equal(r->items[i]->hour_at,
			    hour + seen++ * (int64_t)HOUR_MS);
		free(cursor);
		cursor = r->next_cursor == NULL ? NULL : strdup(r->next_cursor);
		ended_free(&e);
	} while (cursor != NULL);
	assert_int_equal(seen, 5);
	agent_free(&a);
}

static void
test_who_sees(void **state)
{
	struct agent a = agent_of(f, f->admin, "key:x:sign", 0);
	struct agent b = agent_of(f, f->admin, "key:x:sign", 0);
	char *other = tenant_of(f, "acme");
	struct ended e;

	usage(a.token, a.id, everything, &e);
	ended_free(&e);
	expect(request(f, AG_MSG_AGENT_USAGE, ASK(.token = b.token,
	    .selector = a.id), &everything), AG_PERMISSION_DENIED,
	    "scope_missing");
	expect(request(f, AG_MSG_AGENT_USAGE, ASK(.token = other,
	    .selector = a.id), &everything), AG_ITEM_NOT_FOUND, NULL);
	free(other);
	agent_free(&a);
	agent_free(&b);
}

/* More rows in a turn than are kept in memory, and names that are none. */
static void
test_many_and_hostile(void **state)
{
	struct agent a = agent_of(f, f->admin, "key:x:sign", 0);
	int64_t hour = ag_kit_now(f->kit) / HOUR_MS * HOUR_MS;
	Ag__AgentUsageAsk ask = AG__AGENT_USAGE_ASK__INIT;
	Ag__AgentUsageReply *r;
	struct ended e;
	char name[64], id[AG_ID_SIZE];
	uint64_t sum = 0;

	for (unsigned i = 0; i < 2000; i++) {
		snprintf(name, sizeof(name), "key.op%u", i % 400);
		SEEN(a.id, name, allowed, request, 0, hour);
		snprintf(id, sizeof(id), "agt_%032x", i);
		SEEN(id, "key.sign", allowed, request, 0, hour);
	}
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	SEEN(a.id, name, allowed, request, 0, hour);
	SEEN("agt_../../x", "key.sign", allowed, request, 0, hour);
	SEEN(a.id, "key.sign", allowed, request, 0, -1);
	ask.has_limit = true;
	ask.limit = 1000;
	r = usage(f->admin, a.id, ask, &e);
	assert_int_equal(r->n_items, 400);
	for (size_t i = 0; i < r->n_items; i++)
		sum += r->items[i]->allowed;
	assert_int_equal(sum, 2000);
	ended_free(&e);
	ask.cursor = (char *)"AAAA";
	expect(request(f, AG_MSG_AGENT_USAGE, ASK(.token = f->admin,
	    .selector = a.id), &ask), AG_INVALID_FIELD, "bad_cursor");
	agent_free(&a);
}

static void
test_old_hours_go(void **state)
{
	struct agent a = agent_of(f, f->admin, "key:x:sign", 0);
	int64_t hour = ag_kit_now(f->kit) / HOUR_MS * HOUR_MS;
	struct ended e;

	SEEN(a.id, "key.sign", allowed, request, 0, hour - 4 * HOUR_MS);
	SEEN(a.id, "key.sign", allowed, request, 0, hour);
	ag_kit_advance(f->kit, 2500);
	assert_int_equal(usage(f->admin, a.id, everything, &e)->n_items, 1);
	ended_free(&e);
	agent_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_counts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_filters_and_pages, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_who_sees, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_and_hostile, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_old_hours_go, setup,
		    teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
