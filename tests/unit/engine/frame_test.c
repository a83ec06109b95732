/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

/* Two parts: (type 0x1110, env "ab", body "xyz") and (0x0001, "", ""). */
static size_t
sample(uint8_t out[64])
{
	ag_frame_write_header(out, 7, 2);
	ag_part_write_header(out + 16, 5, 0x1110, 2);
	memcpy(out + 28, "abxyz", 5);
	ag_part_write_header(out + 33, 0, 0x0001, 0);
	return 45;
}

static void
reads_what_it_wrote(void **state)
{
	static const uint8_t want[] = {
		1, 0, 7, 0, 0x34, 0x12, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		5, 0, 0, 0, 0x10, 0x11, 0, 0, 2, 0, 0, 0, 'a', 'b', 'x', 'y', 'z',
		0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,
	};
	uint8_t bytes[64];
	size_t len = sample(bytes), at = AG_FRAME_HEADER;
	struct ag_frame frame;
	struct ag_part part;

	ag_frame_stamp(bytes, 0x1234);
	assert_int_equal(len, sizeof(want));
	assert_memory_equal(bytes, want, len); /* docs/framing.md */
	assert_int_equal(ag_frame_parse(bytes, len, &frame), AG_OK);
	assert_int_equal(frame.to, 7);
	assert_int_equal(frame.from, 0x1234);
	assert_int_equal(frame.count, 2);
	assert_int_equal(ag_frame_part(bytes, len, &at, &part), AG_OK);
	assert_int_equal(part.type, 0x1110);
	assert_int_equal(part.env_len, 2);
	assert_memory_equal(part.env, "ab", 2);
	assert_int_equal(part.body_len, 3);
	assert_memory_equal(part.body, "xyz", 3);
	assert_int_equal(ag_frame_part(bytes, len, &at, &part), AG_OK);
	assert_int_equal(part.type, 1);
	assert_int_equal(part.env_len + part.body_len, 0);
	assert_int_equal(at, len);
	assert_int_equal(ag_frame_part(bytes, len, &at, &part), AG_BAD_MESSAGE);
}

static void
refuses_short_and_long(void **state)
{
	uint8_t bytes[64] = { 0 };
	size_t len = sample(bytes);
	struct ag_frame frame;

	for (size_t n = 0; n < sizeof(bytes); n++) {
		/* A copy of its own size, so that reading past it is found. */
		uint8_t *exact = malloc(n == 0 ? 1 : n);

		memcpy(exact, bytes, n);
		assert_int_equal(ag_frame_parse(exact, n, &frame),
		    n == len ? AG_OK : AG_BAD_MESSAGE);
		free(exact);
	}
}

static void
refuses_what_is_not_defined(void **state)
{
	static const struct { unsigned at; uint8_t value; } wrong[] = {
		{ 0, 2 }, { 0, 0 }, { 1, 1 },   /* version */
		{ 6, 0 }, { 6, 3 }, { 7, 0xff }, /* count */
		{ 8, 1 }, { 15, 1 },            /* reserved */
		{ 16, 0xff }, { 19, 0xff }, { 16, 4 }, /* length */
		{ 22, 1 },                      /* flags */
		{ 24, 6 }, { 27, 0x80 },        /* envelope past the part */
	};
	uint8_t bytes[64];
	struct ag_frame frame;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		size_t len = sample(bytes);

		bytes[wrong[i].at] = wrong[i].value;
		assert_int_equal(ag_frame_parse(bytes, len, &frame),
		    AG_BAD_MESSAGE);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_it_wrote),
		cmocka_unit_test(refuses_short_and_long),
		cmocka_unit_test(refuses_what_is_not_defined),
	};

	return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
