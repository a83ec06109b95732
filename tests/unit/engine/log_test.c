/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <fcntl.h>
#include <jansson.h>
#include <unistd.h>

static char text[16384];
static size_t text_len;
static int saved = -1, in = -1;

static void
catch_stderr(void)
{
	int p[2];

	assert_int_equal(pipe2(p, O_NONBLOCK), 0);
	saved = dup(2);
	dup2(p[1], 2);
	close(p[1]);
	in = p[0];
}

/* One line, parsed; NULL if nothing was written. */
static json_t *
caught(void)
{
	json_error_t error;
	json_t *line;
	ssize_t n = read(in, text, sizeof(text) - 1);

	dup2(saved, 2);
	close(saved);
	close(in);
	if (n <= 0)
		return NULL;
	text_len = (size_t)n;
	text[n] = '\0';
	assert_int_equal(text[n - 1], '\n');
	assert_ptr_equal(strchr(text, '\n'), text + n - 1);
	assert_true(n <= 4096);
	line = json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, &error);
	if (line == NULL)
		fail_msg("%s: %s", error.text, text);
	return line;
}

static const char *
member(const json_t *line, const char *name)
{
	return json_string_value(json_object_get(line, name));
}

static void
a_line_has_its_members(void **state)
{
	json_t *line;
	int64_t at;

	catch_stderr();
	ag_log_plain(AG_WARN, "GRANT-FULL", "key=%s n=%d", "k1", 7);
	line = caught();
	assert_string_equal(member(line, "process"), "keys.0");
	assert_string_equal(member(line, "level"), "warn");
	assert_string_equal(member(line, "event"), "GRANT-FULL");
	assert_string_equal(member(line, "message"), "key=k1 n=7");
	assert_true(ag_time_parse(member(line, "at"), &at));
	assert_null(member(line, "request_id"));
	json_decref(line);
	catch_stderr();
	ag_log_plain(AG_DEBUG, "QUIET", "x");
	assert_null(caught());
	ag_log_least("debug");
	ag_log_least("nonsense");
	catch_stderr();
	ag_log_plain(AG_DEBUG, "HEARD", "x");
	line = caught();
	assert_string_equal(member(line, "level"), "debug");
	json_decref(line);
	ag_log_least("info");
}

static unsigned
lines_caught(void)
{
	unsigned lines = 0;
	ssize_t n;

	while ((n = read(in, text, sizeof(text))) > 0)
		for (ssize_t i = 0; i < n; i++)
			lines += text[i] == '\n';
	dup2(saved, 2);
	close(saved);
	close(in);
	return lines;
}

/* Found by attacking: half a gigabyte in ten seconds, of two lines in turn. */
static void
a_flood_of_warnings_is_no_flood_of_lines(void **state)
{
	const char *unsaid = NULL;
	json_t *line = NULL;

	catch_stderr();
	for (unsigned i = 0; i < 2000; i++) {
		ag_log_plain(AG_WARN, "FLOOD-A", "x");
		ag_log_plain(AG_ERROR, "FLOOD-B", "x");
	}
	assert_in_range(lines_caught(), 2, 300); /* of three seconds at most */
	catch_stderr();
	for (unsigned i = 0; i < 200; i++)
		ag_log_plain(AG_INFO, "NO-WARNING", "x");
	assert_int_equal(lines_caught(), 200);
	/* A second later one more is said, with how many were not. */
	for (unsigned i = 0; unsaid == NULL && i < 3000; i++) {
		usleep(1000);
		catch_stderr();
		ag_log_plain(AG_WARN, "FLOOD-A", "x");
		if ((line = caught()) != NULL)
			unsaid = member(line, "unsaid");
		if (unsaid == NULL)
			json_decref(line);
	}
	assert_non_null(unsaid);
	assert_true(atoi(unsaid) > 0);
	json_decref(line);
}

static void __attribute__((format(printf, 2, 3)))
with_id(const uint8_t *id, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	ag_log_line(AG_INFO, "E", id, fmt, ap);
	va_end(ap);
}

static void
the_request_id_is_a_member(void **state)
{
	static const uint8_t id[16] = { 1 };
	json_t *line;

	catch_stderr();
	with_id(id, "a=%d", 1);
	line = caught();
	assert_string_equal(member(line, "request_id"),
	    "01000000-0000-0000-0000-000000000000");
	json_decref(line);
}

static void
hostile_text_stays_on_its_line(void **state)
{
	static const char *const bad[] = {
		"a\nb", "\x1b[31mred", "quote\" back\\slash", "\x7f", "\r\n{}",
		"\xff\xfe", "\xc3", "\xe2\x80", "\xc0\x80", "\xed\xa0\x80",
		"\xf4\x90\x80\x80", "\xc2\x9b" "1m", "\xf0\x80\x80\x80",
	};
	json_t *line;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		catch_stderr();
		ag_log_plain(AG_ERROR, "E", "v=%s", bad[i]);
		line = caught();
		assert_non_null(member(line, "message"));
		for (size_t j = 0; j + 1 < text_len; j++)
			assert_true((uint8_t)text[j] >= 0x20 && text[j] != 0x7f);
		assert_null(strstr(text, "\xc2\x9b"));
		json_decref(line);
	}
}

static void
a_long_line_is_cut(void **state)
{
	static char big[9000];
	json_t *line;
	const char *message;

	for (int round = 0; round < 2; round++) {
		memset(big, round == 0 ? 'x' : '\n', sizeof(big) - 1);
		catch_stderr();
		ag_log_plain(AG_ERROR, "E", "%s", big);
		line = caught();
		message = member(line, "message");
		assert_string_equal(message + strlen(message) - 5, "[cut]");
		json_decref(line);
	}
	catch_stderr();
	ag_log_plain(AG_ERROR, big, "x");
	line = caught();
	assert_string_equal(member(line, "message"), "x");
	json_decref(line);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_has_its_members),
		cmocka_unit_test(a_flood_of_warnings_is_no_flood_of_lines),
		cmocka_unit_test(the_request_id_is_a_member),
		cmocka_unit_test(hostile_text_stays_on_its_line),
		cmocka_unit_test(a_long_line_is_cut),
	};

	ag_log_open("keys.0", AG_INFO);
	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
