/* SPDX-License-Identifier: Apache-2.0 */
/* Fields taken out of packed messages. */
#include "test.h"

#include <aegis/event.h>

static size_t
pack(uint8_t *bytes)
{
	Ag__Event event = AG__EVENT__INIT;
	Ag__Verdict risk = AG__VERDICT__INIT;
	Ag__Reach reach = AG__REACH__INIT;
	Ag__Resource resource = AG__RESOURCE__INIT;

	event.event_id = (char *)"evt_1";
	event.seq = 300;
	event.tenant = (char *)"default";
	event.operation = (char *)"key.sign";
	resource.id = (char *)"key_1";
	event.resource = &resource;
	risk.decision = AG__DECISION__V__allow;
	risk.model_version = (char *)"1";
	event.risk = &risk;
	event.reach = &reach;
	event.has_recorded_us = true;
	event.recorded_us = UINT64_MAX;
	return ag__event__pack(&event, bytes);
}

static void
what_is_skipped_is_absent_and_the_rest_is_there(void **state)
{
	uint8_t bytes[512], out[512];
	size_t len = pack(bytes), n;
	Ag__Event *event;

	n = ag_wire_without(bytes, len, ag_event_reasons, out);
	assert_true(n < len);
	event = ag__event__unpack(NULL, n, out);
	assert_non_null(event);
	assert_null(event->risk);
	assert_null(event->reach);
	assert_string_equal(event->event_id, "evt_1");
	assert_string_equal(event->resource->id, "key_1");
	assert_true(event->recorded_us == UINT64_MAX);
	ag__event__free_unpacked(event, NULL);
}

static void
nothing_skipped_is_a_copy(void **state)
{
	static const uint8_t none[] = { 0 };
	uint8_t bytes[512], out[512];
	size_t len = pack(bytes);

	assert_int_equal(ag_wire_without(bytes, len, none, out), len);
	assert_memory_equal(out, bytes, len);
}

/* Cut anywhere: it writes no more than it was given, and what does not unpack
 * without us does not unpack with us, unless the cut field is one we skip. */
static void
cut_messages_stay_in_bounds(void **state)
{
	uint8_t bytes[512];
	size_t len = pack(bytes);

	for (size_t cut = 0; cut < len; cut++) {
		uint8_t *in = malloc(cut + 1), *out = malloc(cut + 1);

		memcpy(in, bytes, cut);
		assert_true(ag_wire_without(in, cut, ag_event_reasons, out) <= cut);
		free(in);
		free(out);
	}
}

static void
junk_is_kept_as_it_is(void **state)
{
	static const uint8_t junk[][12] = {
		{ 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
		{ 0xa2, 0x01, 0x7f, 1, 2, 3 }, /* risk, longer than there is */
		{ 0xa3, 0x01 },                /* a group: no longer in use */
	};
	uint8_t out[12];

	for (size_t i = 0; i < sizeof(junk) / sizeof(junk[0]); i++) {
		assert_int_equal(ag_wire_without(junk[i], 12, ag_event_reasons, out), 12);
		assert_memory_equal(out, junk[i], 12);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_skipped_is_absent_and_the_rest_is_there),
		cmocka_unit_test(nothing_skipped_is_a_copy),
		cmocka_unit_test(cut_messages_stay_in_bounds),
		cmocka_unit_test(junk_is_kept_as_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
