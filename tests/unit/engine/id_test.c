/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <sodium.h>

static void
uuids_rise_and_carry_the_time(void **state)
{
	uint8_t last[16], next[16];
	int64_t ms = 0;

	ag_uuid7(INT64_C(1700000000123), last);
	for (int i = 0; i < 6; i++)
		ms = ms << 8 | last[i];
	assert_true(ms == INT64_C(1700000000123));
	assert_int_equal(last[6] >> 4, 7);
	assert_int_equal(last[8] >> 6, 2);
	/* Past the counter of a millisecond, and with the clock stepping back. */
	for (int i = 0; i < 20000; i++) {
		ag_uuid7(INT64_C(1700000000123) - (i > 10000 ? 5000 : 0), next);
		assert_true(memcmp(last, next, 16) < 0);
		memcpy(last, next, 16);
	}
}

static void
ids(void **state)
{
	static const uint8_t uuid[16] = { 1, 2, 3, 4, 5, 6, 0x77, 8, 0x89, 10,
		11, 12, 13, 14, 15, 0xff };
	char text[AG_UUID_TEXT], id[AG_ID_SIZE];

	ag_uuid_text(uuid, text);
	assert_string_equal(text, "01020304-0506-7708-890a-0b0c0d0e0fff");
	ag_id_from_uuid("evt", uuid, id);
	assert_string_equal(id, "evt_0102030405067708890a0b0c0d0e0fff");
	assert_true(ag_id_valid(id, "evt"));
	assert_true(ag_id_valid(id, NULL));
	assert_false(ag_id_valid(id, "key"));
	ag_id_make("agt", 1, id);
	assert_true(ag_id_valid(id, "agt"));
	assert_false(ag_id_valid("key_0102030405067708890A0b0c0d0e0fff", NULL));
	assert_false(ag_id_valid("key_0102030405067708890a0b0c0d0e0ff", NULL));
	assert_false(ag_id_valid("key_0102030405067708890a0b0c0d0e0fff0", NULL));
	assert_false(ag_id_valid("foo_0102030405067708890a0b0c0d0e0fff", NULL));
	assert_false(ag_id_valid("", NULL));
	assert_false(ag_id_valid("key", NULL));
}

static void
names_and_labels(void **state)
{
	char long_name[65], value[600];

	memset(long_name, 'a', 64);
	long_name[64] = '\0';
	assert_false(ag_name_valid(long_name));
	long_name[63] = '\0';
	assert_true(ag_name_valid(long_name));
	assert_true(ag_name_valid("invoice-2026"));
	assert_true(ag_name_valid("0.a_b"));
	assert_false(ag_name_valid(""));
	assert_false(ag_name_valid("-a"));
	assert_false(ag_name_valid("Abc"));
	assert_false(ag_name_valid("a/b"));
	assert_false(ag_name_valid("import"));
	assert_false(ag_name_valid("import-parameters"));

	assert_true(ag_label_valid("tier", "critical"));
	assert_true(ag_label_valid("tier", ""));
	assert_true(ag_label_valid("tier", "Gr\xc3\xbc\xc3\x9f" "e \xf0\x9f\x94\x91"));
	assert_false(ag_label_valid("1tier", "a"));
	assert_false(ag_label_valid("Tier", "a"));
	assert_false(ag_label_valid("tier", "a\nb"));
	assert_false(ag_label_valid("tier", "a\x7f"));
	assert_false(ag_label_valid("tier", "\xc2\x85"));         /* C1 */
	assert_false(ag_label_valid("tier", "\xe2\x80\xae" "abc")); /* turned */
	assert_false(ag_label_valid("tier", "\xc0\xaf"));         /* overlong */
	assert_false(ag_label_valid("tier", "\xed\xa0\x80"));     /* surrogate */
	assert_false(ag_label_valid("tier", "\xe2\x80"));         /* cut */
	value[0] = '\0';
	for (int i = 0; i < 128; i++)
		strcat(value, "\xc3\xbc");
	assert_true(ag_label_valid("tier", value));
	strcat(value, "x");
	assert_false(ag_label_valid("tier", value));
}

static void
times(void **state)
{
	static const char *const bad[] = {
		"", "2026", "2026-11-20", "2026-11-20T21:33:14",
		"2026-11-20 21:33:14Z", "2026-13-20T21:33:14Z",
		"2026-02-29T21:33:14Z", "2026-11-31T21:33:14Z",
		"2026-11-20T24:00:00Z", "2026-11-20T21:60:14Z",
		"2026-11-20T21:33:60Z", "2026-11-20T21:33:14.Z",
		"2026-11-20T21:33:14Zx", "2026-11-20T21:33:14+2500",
		"2026-11-20T21:33:14+25:00", "2026-11-20T21:33:14+01:00x",
		"+026-11-20T21:33:14Z", "2026-11-20T21:33:14.1 Z",
	};
	char text[AG_TIME_TEXT];
	int64_t ms;

	ag_time_text(INT64_C(1795210394123), text);
	assert_string_equal(text, "2026-11-20T21:33:14.123Z");
	assert_true(ag_time_parse(text, &ms));
	assert_true(ms == INT64_C(1795210394123));
	assert_true(ag_time_parse("2026-11-20T22:33:14.1239+01:00", &ms));
	assert_true(ms == INT64_C(1795210394123));
	assert_true(ag_time_parse("2026-11-20t20:33:14-01:00", &ms));
	assert_true(ms == INT64_C(1795210394000));
	assert_true(ag_time_parse("2024-02-29T00:00:00Z", &ms));
	ag_time_text(-1, text);
	assert_string_equal(text, "1969-12-31T23:59:59.999Z");
	ag_time_text(0, text);
	assert_string_equal(text, "1970-01-01T00:00:00.000Z");
	ag_time_text(INT64_MAX, text);
	assert_string_equal(text, "9999-12-31T23:59:59.999Z");
	ag_time_text(INT64_MIN, text);
	assert_string_equal(text, "0000-01-01T00:00:00.000Z");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (ag_time_parse(bad[i], &ms))
			fail_msg("%s was taken", bad[i]);
}

static void
durations(void **state)
{
	int64_t s;

	assert_true(ag_duration_parse("90s", &s) && s == 90);
	assert_true(ag_duration_parse("15m", &s) && s == 900);
	assert_true(ag_duration_parse("1h", &s) && s == 3600);
	assert_true(ag_duration_parse("30d", &s) && s == 2592000);
	assert_true(ag_duration_parse("0", &s) && s == 0);
	assert_false(ag_duration_parse("", &s));
	assert_false(ag_duration_parse("-1", &s));
	assert_false(ag_duration_parse("1w", &s));
	assert_false(ag_duration_parse("1hh", &s));
	assert_false(ag_duration_parse("999999999999999999d", &s));
	assert_false(ag_duration_parse("99999999999999999999", &s));
}

/* Every byte at every place: the alphabet's 64 are taken, and no other. */
static void
base64_takes_its_alphabet_only(void **state)
{
	static const char common[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789";
	uint8_t out[4];
	size_t len;

	for (int c = 0; c < 256; c++)
		for (size_t at = 0; at < 4; at++) {
			bool known = c != 0 && strchr(common, c) != NULL;
			char text[] = "AAAA";

			text[at] = (char)c;
			assert_int_equal(ag_base64_parse(text, 4, out,
			    sizeof(out), &len), known || c == '+' || c == '/' ||
			    (c == '=' && at == 3)); /* padding */
			assert_int_equal(ag_base64url_parse(text, 4, out,
			    sizeof(out), &len), known || c == '-' || c == '_');
		}
}

/* All lengths around a block, and what stands at every place of one, as
 * libsodium has it. */
static void
base64_is_libsodiums(void **state)
{
	enum { LEN = 400, ROOM = 4 * LEN };
	static uint8_t in[LEN], out[ROOM], want[ROOM];
	static char text[ROOM], right[ROOM];
	const int variants[] = { sodium_base64_VARIANT_ORIGINAL,
		sodium_base64_VARIANT_URLSAFE_NO_PADDING };

	(void)state;
	randombytes_buf(in, sizeof(in));
	for (size_t len = 0; len <= LEN; len++)
		for (unsigned url = 0; url < 2; url++) {
			size_t n, got, wanted, at = randombytes_uniform(ROOM);
			bool taken;

			(url ? ag_base64url : ag_base64)(in, len, text);
			sodium_bin2base64(right, sizeof(right), in, len,
			    variants[url]);
			assert_string_equal(text, right);
			n = strlen(text);
			assert_true((url ? ag_base64url_parse : ag_base64_parse)(
			    text, n, out, len, &got));
			assert_int_equal(got, len);
			assert_memory_equal(out, in, len);
			if (len > 0)
				assert_false((url ? ag_base64url_parse :
				    ag_base64_parse)(text, n, out, len - 1, &got));
			/* One digit another: both say the same of it. */
			if (n > 0)
				text[at % n] = (char)randombytes_uniform(128);
			taken = (url ? ag_base64url_parse : ag_base64_parse)(text,
			    n, out, ROOM, &got);
			assert_int_equal(taken, sodium_base642bin(want, ROOM, text,
			    n, NULL, &wanted, NULL, variants[url]) == 0);
			if (!taken)
				continue;
			assert_int_equal(got, wanted);
			assert_memory_equal(out, want, got);
		}
}

static void
percents(void **state)
{
	static const struct { const char *text; bool plus; const char *right; } rows[] = {
		{ "", true, "" }, { "a+b", true, "a b" }, { "a+b", false, "a+b" },
		{ "%7B%22a%22%7d", true, "{\"a\"}" }, { "%25%32%35", false, "%25" },
		{ "%", false, NULL }, { "%4", false, NULL }, { "%zz", false, NULL },
		{ "a%4g", false, NULL }, { "%00", false, NULL }, { "%%41", false, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[32];

		strcpy(text, rows[i].text);
		assert_int_equal(ag_percent_decode(text, rows[i].plus),
		    rows[i].right != NULL);
		if (rows[i].right != NULL)
			assert_string_equal(text, rows[i].right);
	}
}

static void
base64(void **state)
{
	static const char *const bad[] = { "Zg", "Zg=", "Zg===", "Zh==", "Zm9=",
		"Zm9v\n", " Zm9v", "Zm-v", "=", "Zg==Zg==", "Z" };
	uint8_t out[64];
	char text[64];
	size_t len;

	ag_base64((const uint8_t *)"foob", 4, text);
	assert_string_equal(text, "Zm9vYg==");
	assert_int_equal(strlen(text) + 1, ag_base64_size(4));
	assert_true(ag_base64_parse("Zm9vYg==", 8, out, sizeof(out), &len));
	assert_int_equal(len, 4);
	assert_memory_equal(out, "foob", 4);
	assert_true(ag_base64_parse("", 0, out, sizeof(out), &len));
	assert_int_equal(len, 0);
	assert_false(ag_base64_parse("Zm9vYg==", 8, out, 3, &len));
	assert_false(ag_base64_parse("Zm9v\0Yg==", 9, out, sizeof(out), &len));
	assert_false(ag_base64_parse("Zm9vYg==\0", 9, out, sizeof(out), &len));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (ag_base64_parse(bad[i], strlen(bad[i]), out, sizeof(out), &len))
			fail_msg("%s was taken", bad[i]);
	ag_base64url((const uint8_t *)"\xfb\xff", 2, text);
	assert_string_equal(text, "-_8");
	assert_true(ag_base64url_parse("-_8", 3, out, sizeof(out), &len));
	assert_int_equal(len, 2);
	assert_false(ag_base64url_parse("-_8=", 4, out, sizeof(out), &len));
	assert_false(ag_base64url_parse("-_9", 3, out, sizeof(out), &len));
	assert_false(ag_base64url_parse("+/8", 3, out, sizeof(out), &len));
	ag_hex((const uint8_t *)"\x00\xaf", 2, text);
	assert_string_equal(text, "00af");
	assert_true(ag_hex_parse("00af", out, 2));
	assert_false(ag_hex_parse("00a", out, 2));
	assert_false(ag_hex_parse("00ag", out, 2));
	assert_false(ag_hex_parse("00af00", out, 2));
	ag_sha256("abc", 3, out);
	ag_hex(out, 4, text);
	assert_string_equal(text, "ba7816bf");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(uuids_rise_and_carry_the_time),
		cmocka_unit_test(ids),
		cmocka_unit_test(names_and_labels),
		cmocka_unit_test(times),
		cmocka_unit_test(durations),
		cmocka_unit_test(percents),
		cmocka_unit_test(base64),
		cmocka_unit_test(base64_takes_its_alphabet_only),
		cmocka_unit_test(base64_is_libsodiums),
	};

	return cmocka_run_group_tests_name("id", tests, NULL, NULL);
}
