/* SPDX-License-Identifier: Apache-2.0 */
/* Windows of the week: what can be written, and when they are open. */
#include "hours.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

static struct ag_zone *
zone_of(const char *name)
{
	static uint8_t bytes[AG_ZONE_BYTES_MAX];
	char path[128];
	struct ag_zone *zone;
	size_t len;
	FILE *file;

	if (name[0] == '\0')
		return NULL;
	(void)snprintf(path, sizeof(path), "/usr/share/zoneinfo/%s", name);
	file = fopen(path, "rb");
	assert_non_null(file);
	len = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	zone = ag_zone_parse(bytes, len);
	assert_non_null(zone);
	return zone;
}

/* "2026-03-08 06:59:59" in UTC */
static int64_t
utc(const char *text)
{
	struct tm tm = { 0 };

	assert_non_null(strptime(text, "%Y-%m-%d %H:%M:%S", &tm));
	return (int64_t)timegm(&tm) * 1000;
}

/* 2026-11-20 is a Friday. In New York, clocks go from 2 to 3 on 2026-03-08
 * (07:00 UTC), and from 2 to 1 on 2026-11-01 (06:00 UTC). */
static void
test_boundaries(void **state)
{
	static const char office[] = "mon-fri 08:00-18:00", night[] =
	    "fri 22:00-06:00", york[] = "daily 01:00-03:00 America/New_York";
	static const struct {
		const char *hours, *at;
		bool open;
	} rows[] = {
		{ office, "2026-11-20 07:59:59", false },
		{ office, "2026-11-20 08:00:00", true },
		{ office, "2026-11-20 17:59:59", true },
		{ office, "2026-11-20 18:00:00", false },
		{ office, "2026-11-21 12:00:00", false },
		{ office, "1969-12-31 12:00:00", true }, /* a Wednesday */
		{ night, "2026-11-20 21:59:59", false },
		{ night, "2026-11-20 22:00:00", true },
		{ night, "2026-11-20 23:59:59", true },
		{ night, "2026-11-21 00:00:00", true },
		{ night, "2026-11-21 05:59:59", true },
		{ night, "2026-11-21 06:00:00", false },
		{ night, "2026-11-21 22:00:00", false },
		{ night, "2026-11-20 05:00:00", false },
		{ "sat-mon 00:00-24:00", "2026-11-22 23:59:59", true },
		{ "sat-mon 00:00-24:00", "2026-11-24 00:00:00", false },
		{ "mon+fri 10:00-11:00, daily 12:00-13:00", "2026-11-20 10:30:00", true },
		{ "mon+fri 10:00-11:00, daily 12:00-13:00", "2026-11-19 10:30:00", false },
		{ "mon+fri 10:00-11:00, daily 12:00-13:00", "2026-11-19 12:30:00", true },
		{ "mon-fri 08:00-18:00 UTC", "2026-11-20 08:00:00", true },
		/* winter is UTC-5, summer UTC-4 */
		{ york, "2026-01-10 05:59:59", false },
		{ york, "2026-01-10 06:00:00", true },
		{ york, "2026-01-10 07:59:59", true },
		{ york, "2026-01-10 08:00:00", false },
		{ york, "2026-07-10 05:00:00", true },
		{ york, "2026-07-10 07:00:00", false },
		/* the gap: 01:59:59 is followed by 03:00:00 */
		{ york, "2026-03-08 06:59:59", true },
		{ york, "2026-03-08 07:00:00", false },
		/* the overlap: from 01:00 to 02:00 twice */
		{ york, "2026-11-01 04:59:59", false },
		{ york, "2026-11-01 05:00:00", true },
		{ york, "2026-11-01 05:59:59", true },
		{ york, "2026-11-01 06:00:00", true },
		{ york, "2026-11-01 07:59:59", true },
		{ york, "2026-11-01 08:00:00", false },
		/* by the rule, long after the last change of the file */
		{ york, "2101-07-10 05:00:00", true },
		{ york, "2101-01-10 05:00:00", false },
		{ "daily 00:00-01:00 Australia/Sydney", "2101-01-10 13:00:00", true },
		{ "daily 00:00-01:00 Australia/Sydney", "2101-07-10 13:00:00", false },
		{ "daily 00:00-01:00 Asia/Kolkata", "2101-07-10 18:30:00", true },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char problem[AG_HOURS_PROBLEM];
		struct ag_hours hours;
		struct ag_zone *zone;

		assert_true(ag_hours_parse(rows[i].hours, &hours, problem));
		zone = zone_of(hours.zone);
		if (ag_hours_open(&hours, zone, utc(rows[i].at)) != rows[i].open)
			fail_msg("%s at %s", rows[i].hours, rows[i].at);
		ag_zone_free(&zone);
	}
}

static void
test_texts(void **state)
{
	static const struct {
		const char *text, *problem;
	} rows[] = {
		{ "", "a window is days and times" },
		{ "mon", "a window is days and times" },
		{ "mon-fri 08:00", "is no time" },
		{ "mon-fri 8:00-18:00", "is no time" },
		{ "mon-fri 08:00-24:01", "is no time" },
		{ "mon-fri 08:60-18:00", "is no time" },
		{ "mon-fri 08:00-18:00-19:00", "is no time" },
		{ "mon-fri -8:00-18:00", "is no time" },
		{ "mon-fri 08:00-08:00", "is empty" },
		{ "mon-fri 24:00-08:00", "is empty" },
		{ "monday 08:00-18:00", "are no days" },
		{ "mon- 08:00-18:00", "are no days" },
		{ "mon+ 08:00-18:00", "are no days" },
		{ "mon-fri 08:00-18:00,", "a window is days and times" },
		{ "mon-fri 08:00-18:00 ../etc/passwd", "time zone" },
		{ "mon-fri 08:00-18:00 /etc", "time zone" },
		{ "mon-fri 08:00-18:00 UTC UTC", "time zone" },
		{ "daily 00:00-01:00,daily 00:00-01:00,daily 00:00-01:00,daily "
		    "00:00-01:00,daily 00:00-01:00,daily 00:00-01:00,daily "
		    "00:00-01:00,daily 00:00-01:00,daily 00:00-01:00,daily "
		    "00:00-01:00,daily 00:00-01:00,daily 00:00-01:00,daily "
		    "00:00-01:00", "more than 12" },
	};
	char problem[AG_HOURS_PROBLEM];
	struct ag_hours hours;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (ag_hours_parse(rows[i].text, &hours, problem) ||
		    strstr(problem, rows[i].problem) == NULL)
			fail_msg("%s", rows[i].text);
	}
}

/* As the C library has it, over two centuries. */
static void
test_as_the_library(void **state)
{
	static const char *const names[] = { "America/New_York", "Europe/Berlin",
		"Australia/Lord_Howe", "Asia/Kolkata", "America/Sao_Paulo",
		"Africa/Casablanca", "Pacific/Apia", "Europe/Dublin",
		"America/St_Johns", "Etc/GMT+5" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct ag_zone *zone = zone_of(names[i]);

		assert_int_equal(setenv("TZ", names[i], 1), 0);
		tzset();
		for (int64_t s = INT64_C(-2000000000); s < INT64_C(4200000000);
		    s += 3600 * 37 + 1) {
			time_t t = (time_t)s;
			struct tm tm;

			assert_non_null(localtime_r(&t, &tm));
			if (ag_zone_offset_s(zone, s) != tm.tm_gmtoff)
				fail_msg("%s at %lld: %d, not %ld", names[i],
				    (long long)s, ag_zone_offset_s(zone, s),
				    tm.tm_gmtoff);
		}
		ag_zone_free(&zone);
	}
	unsetenv("TZ");
}

/* Whatever is cut off or changed is refused or read, and never read beyond. */
static void
test_hostile_files(void **state)
{
	uint8_t bytes[8192], *copy;
	FILE *file = fopen("/usr/share/zoneinfo/America/New_York", "rb");
	struct ag_zone *zone;
	size_t len;

	assert_non_null(file);
	len = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	for (size_t n = 0; n < len; n++) {
		copy = malloc(n + 1);
		memcpy(copy, bytes, n);
		zone = ag_zone_parse(copy, n);
		assert_null(zone);
		free(copy);
	}
	for (size_t n = 0; n < len; n++) {
		uint8_t was = bytes[n];

		bytes[n] = (uint8_t)(was ^ 0xff);
		zone = ag_zone_parse(bytes, len);
		(void)ag_zone_offset_s(zone, INT64_C(4000000000));
		ag_zone_free(&zone);
		bytes[n] = was;
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_boundaries),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_as_the_library),
		cmocka_unit_test(test_hostile_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
