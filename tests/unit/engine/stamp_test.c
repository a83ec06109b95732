/* SPDX-License-Identifier: Apache-2.0 */
/* A request's stamp: read back as it was made, and nothing else is one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <aegis/stamp.h>

static void
test_round_trip(void **state)
{
	static const char *const kinds[] = { "hum", "svc", "agt" };
	char text[AG_STAMP_SIZE];
	struct ag_stamp said, stamp;

	for (unsigned i = 0; i < 300; i++) {
		memset(&stamp, 0, sizeof(stamp));
		ag_id_make(kinds[i % 3], 1790000000000 + i, stamp.principal);
		ag_uuid7(1790000000000 + i, stamp.request_id);
		stamp.approved = i % 2 == 0;
		assert_true(ag_stamp_text(&stamp, text));
		assert_int_equal(strlen(text), stamp.approved ? 62 : 60);
		assert_int_equal(strncmp(text, "sys:", 4), 0);
		assert_non_null(strstr(text, stamp.approved ? ":approval:" :
		    ":direct:"));
		assert_true(ag_stamp_parse(text, &said));
		assert_string_equal(said.principal, stamp.principal);
		assert_int_equal(said.approved, stamp.approved);
		assert_memory_equal(said.request_id, stamp.request_id,
		    AG_UUID_BYTES);
	}
}

/* A byte more, less or other is another request's stamp, or none. */
static void
test_one_form(void **state)
{
	char text[AG_STAMP_SIZE], again[AG_STAMP_SIZE];
	struct ag_stamp said, stamp = { .approved = true,
		.principal = "agt_0123456789abcdef0123456789abcdef",
		.request_id = { 1, 2, 3, 4, 5, 6, 7, 8, 9 } };
	size_t len;

	assert_true(ag_stamp_text(&stamp, text));
	assert_string_equal(text, "sys:agt_ASNFZ4mrze8BI0VniavN7w:approval:"
	    "AQIDBAUGBwgJAAAAAAAAAA");
	len = strlen(text);
	for (size_t i = 0; i < len; i++) {
		char was = text[i];

		text[i] = '\0';
		assert_false(ag_stamp_parse(text, &said));
		text[i] = ':';
		if (was != ':')
			assert_false(ag_stamp_parse(text, &said));
		text[i] = was == 'A' ? 'B' : 'A';
		if (ag_stamp_parse(text, &said)) {
			assert_true(ag_stamp_text(&said, again));
			assert_string_equal(again, text);
			assert_true(strcmp(said.principal, stamp.principal) != 0 ||
			    memcmp(said.request_id, stamp.request_id,
			    AG_UUID_BYTES) != 0);
		}
		text[i] = was;
	}
	assert_true(ag_stamp_parse(text, &said));
	strcat(text, "A");
	assert_false(ag_stamp_parse(text, &said));
}

static void
test_hostile(void **state)
{
	static const char *const texts[] = { "", "sys:", "sys:agt_::",
		"sys:agt_ASNFZ4mrze8BI0VniavN7w::AQIDBAUGBwgJAAAAAAAAAA",
		"sys:agt_ASNFZ4mrze8BI0VniavN7w:approved:AQIDBAUGBwgJAAAAAAAAAA",
		"SYS:agt_ASNFZ4mrze8BI0VniavN7w:direct:AQIDBAUGBwgJAAAAAAAAAA",
		"sys:xyz_ASNFZ4mrze8BI0VniavN7w:direct:AQIDBAUGBwgJAAAAAAAAAA",
		"sys:agt_ASNFZ4mrze8BI0VniavN7x:direct:AQIDBAUGBwgJAAAAAAAAAA",
		"sys:agt_ASNFZ4mrze8BI0VniavN7w:direct:AQIDBAUGBwgJAAAAAAAAAB",
		"sys:agt_ASNFZ4mrze8BI0VniavN7w:direct:AQIDBAUGBwgJAAAAAAAAA=",
		"sys:agt_ASNFZ4mrze8BI0VniavN7w:direct:direct:AQIDBAUGBwgJAAAAAAAAAA" };
	static const char *const nobody[] = { "", "agt_", "alice",
		"agt_0123456789ABCDEF0123456789abcdef",
		"agt_0123456789abcdef0123456789abcde" };
	struct ag_stamp said, stamp = { .approved = false };
	char out[AG_STAMP_SIZE];

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_false(ag_stamp_parse(texts[i], &said));
	for (size_t i = 0; i < sizeof(nobody) / sizeof(nobody[0]); i++) {
		snprintf(stamp.principal, sizeof(stamp.principal), "%s",
		    nobody[i]);
		assert_false(ag_stamp_text(&stamp, out));
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_one_form),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests_name("stamp", tests, NULL, NULL);
}
