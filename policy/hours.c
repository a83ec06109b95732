/* SPDX-License-Identifier: Apache-2.0 */
/* Windows of the week, read and asked. */
#include "hours.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { DAY_S = 86400, WORD_MAX = 64 };

static const char *const names[] = { "mon", "tue", "wed", "thu", "fri", "sat",
	"sun" };

static bool __attribute__((format(printf, 2, 3)))
wrong(char problem[AG_HOURS_PROBLEM], const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(problem, AG_HOURS_PROBLEM, format, ap);
	va_end(ap);
	return false;
}

/* The next word; "": there is none. False: it is too long. */
static bool
word(const char **p, char out[WORD_MAX], const char *until)
{
	size_t n;

	*p += strspn(*p, " ");
	n = strcspn(*p, until);
	if (n >= WORD_MAX)
		return false;
	memcpy(out, *p, n);
	out[n] = '\0';
	*p += n;
	return true;
}

static int
day_of(const char *text, size_t len)
{
	for (int i = 0; i < 7; i++)
		if (len == 3 && strncmp(text, names[i], 3) == 0)
			return i;
	return -1;
}

/* "mon", "mon-fri", "sat-mon" */
static bool
some_days(const char *text, size_t len, uint8_t *out)
{
	const char *dash = memchr(text, '-', len);
	int from = day_of(text, dash == NULL ? len : (size_t)(dash - text)),
	    to = dash == NULL ? from : day_of(dash + 1,
	    len - (size_t)(dash - text) - 1);

	if (from < 0 || to < 0)
		return false;
	for (int d = from; ; d = (d + 1) % 7) {
		*out |= (uint8_t)(1 << d);
		if (d == to)
			return true;
	}
}

/* "daily", "mon-fri", "mon+wed+fri" */
static bool
days(const char *text, uint8_t *out)
{
	*out = 0;
	if (strcmp(text, "daily") == 0) {
		*out = 0x7f;
		return true;
	}
	for (;;) {
		size_t len = strcspn(text, "+");

		if (!some_days(text, len, out))
			return false;
		if (text[len] == '\0')
			return true;
		text += len + 1;
	}
}

/* "08:00"; 24:00 is the end of a day. */
static bool
time_of(const char *text, int32_t *out)
{
	int h, m, n = 0;

	if (strlen(text) != 5 || strspn(text, "0123456789:") != 5 ||
	    sscanf(text, "%2d:%2d%n", &h, &m, &n) != 2 || n != 5 || m > 59 ||
	    h * 60 + m > 24 * 60)
		return false;
	*out = (h * 60 + m) * 60;
	return true;
}

static bool
window(const char *when, const char *times, struct ag_hours *out,
    char problem[AG_HOURS_PROBLEM])
{
	char from[WORD_MAX];
	const char *dash = strchr(times, '-');
	size_t i = out->count;

	if (i == AG_HOURS_MAX)
		return wrong(problem, "there are more than %d windows",
		    AG_HOURS_MAX);
	if (!days(when, &out->at[i].days))
		return wrong(problem, "\"%s\" are no days; mon-fri, sat+sun or "
		    "daily are", when);
	if (dash != NULL)
		(void)snprintf(from, sizeof(from), "%.*s", (int)(dash - times),
		    times);
	if (dash == NULL || !time_of(from, &out->at[i].from) ||
	    !time_of(dash + 1, &out->at[i].to))
		return wrong(problem, "\"%s\" is no time; 08:00-18:00 and "
		    "22:00-06:00 are", times);
	if (out->at[i].from == out->at[i].to || out->at[i].from == DAY_S)
		return wrong(problem, "the window %s is empty; 00:00-24:00 is a "
		    "whole day", times);
	out->count++;
	return true;
}

bool
ag_hours_parse(const char *text, struct ag_hours *out,
    char problem[AG_HOURS_PROBLEM])
{
	char when[WORD_MAX], times[WORD_MAX], rest[WORD_MAX];
	const char *p = text;

	memset(out, 0, sizeof(*out));
	for (;;) {
		if (!word(&p, when, " ,") || !word(&p, times, " ,"))
			return wrong(problem, "it is too long");
		if (times[0] == '\0')
			return wrong(problem, "a window is days and times, such "
			    "as \"mon-fri 08:00-18:00\"");
		if (!window(when, times, out, problem))
			return false;
		p += strspn(p, " ");
		if (*p != ',')
			break;
		p++;
	}
	if (!word(&p, rest, " ") || *(p + strspn(p, " ")) != '\0' ||
	    (rest[0] != '\0' && !ag_zone_name_valid(rest)))
		return wrong(problem, "after the windows comes nothing or a time "
		    "zone, such as America/New_York");
	if (strcmp(rest, "UTC") != 0)
		(void)snprintf(out->zone, sizeof(out->zone), "%.48s", rest);
	return true;
}

bool
ag_hours_open(const struct ag_hours *hours, const struct ag_zone *zone,
    int64_t at_ms)
{
	int64_t utc = at_ms / 1000 - (at_ms % 1000 < 0),
	    local = utc + ag_zone_offset_s(zone, utc),
	    date = local / DAY_S - (local % DAY_S < 0), s = local - date * DAY_S;
	int today = (int)((date % 7 + 10) % 7); /* the epoch was a Thursday */
	int before = (today + 6) % 7;

	for (size_t i = 0; i < hours->count; i++) {
		int32_t from = hours->at[i].from, to = hours->at[i].to;
		bool begins = hours->at[i].days >> today & 1;

		if (from < to) {
			if (begins && s >= from && s < to)
				return true;
		} else if ((begins && s >= from) ||
		    ((hours->at[i].days >> before & 1) != 0 && s < to)) {
			return true;
		}
	}
	return false;
}
