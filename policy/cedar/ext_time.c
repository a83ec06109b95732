/* SPDX-License-Identifier: Apache-2.0 */
/* datetime and duration: milliseconds in 64 bits, no zone, no leap second. */
#include "ext.h"

enum {
	S_MS = 1000,
	M_MS = 60 * S_MS,
	H_MS = 60 * M_MS,
	D_MS = 24 * H_MS,
};

static bool
take(struct ag_cedar_str *p, char c)
{
	if (p->len == 0 || *p->p != c)
		return false;
	p->p++;
	p->len--;
	return true;
}

/* Exactly so many digits, at most max. */
static bool
field(struct ag_cedar_str *p, size_t digits, uint64_t max, int64_t *out)
{
	uint64_t n;

	if (!cedar_digits(p, digits, digits, &n) || n > max)
		return false;
	*out = (int64_t)n;
	return true;
}

/* Days from 1970-01-01 in the proleptic Gregorian calendar: years are counted
 * from March, so that the leap day is the last one of a year. */
static int64_t
days(int64_t year, int64_t month, int64_t day)
{
	int64_t y = year - (month <= 2), era = (y + 400) / 400 - 1;
	int64_t of_era = y - era * 400;
	int64_t of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 +
	    of_year - 719468;
}

static bool
is_date(int64_t year, int64_t month, int64_t day)
{
	static const uint8_t lengths[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30,
		31, 30, 31 };
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return month >= 1 && month <= 12 && day >= 1 &&
	    day <= lengths[month - 1] + (leap && month == 2);
}

/* Z, or +hhmm, or -hhmm, to the end. */
static bool
zone(struct ag_cedar_str *p, int64_t *offset_ms)
{
	int64_t hours, minutes;
	bool minus;

	*offset_ms = 0;
	if (take(p, 'Z'))
		return p->len == 0;
	minus = take(p, '-');
	if ((!minus && !take(p, '+')) || !field(p, 2, 23, &hours) ||
	    !field(p, 2, 59, &minutes))
		return false;
	*offset_ms = (hours * H_MS + minutes * M_MS) * (minus ? -1 : 1);
	return p->len == 0;
}

/* YYYY-MM-DD, or with Thh:mm:ss[.SSS](Z|+hhmm|-hhmm). */
enum ag_cedar_fault
cedar_datetime_of(struct ag_cedar_arena *arena,
    const struct ag_cedar_value *args, struct ag_cedar_value *out)
{
	struct ag_cedar_str p = args[0].string;
	int64_t year, month, day, hour = 0, minute = 0, second = 0, ms = 0;
	int64_t offset = 0;

	(void)arena;
	if (!field(&p, 4, 9999, &year) || !take(&p, '-') ||
	    !field(&p, 2, 12, &month) || !take(&p, '-') ||
	    !field(&p, 2, 31, &day) || !is_date(year, month, day))
		return AG_CEDAR_FAULT_EXTENSION;
	if (p.len != 0 && (!take(&p, 'T') || !field(&p, 2, 23, &hour) ||
	    !take(&p, ':') || !field(&p, 2, 59, &minute) || !take(&p, ':') ||
	    !field(&p, 2, 59, &second) ||
	    (take(&p, '.') && !field(&p, 3, 999, &ms)) || !zone(&p, &offset)))
		return AG_CEDAR_FAULT_EXTENSION;
	*out = ag_cedar_datetime(days(year, month, day) * D_MS + hour * H_MS +
	    minute * M_MS + second * S_MS + ms - offset);
	return AG_CEDAR_FAULT_NONE;
}

enum ag_cedar_fault
cedar_datetime_offset(struct ag_cedar_arena *arena,
    const struct ag_cedar_value *args, struct ag_cedar_value *out)
{
	int64_t at;

	(void)arena;
	if (__builtin_add_overflow(args[0].number, args[1].number, &at))
		return AG_CEDAR_FAULT_OVERFLOW;
	*out = ag_cedar_datetime(at);
	return AG_CEDAR_FAULT_NONE;
}

enum ag_cedar_fault
cedar_datetime_since(struct ag_cedar_arena *arena,
    const struct ag_cedar_value *args, struct ag_cedar_value *out)
{
	int64_t ms;

	(void)arena;
	if (__builtin_sub_overflow(args[0].number, args[1].number, &ms))
		return AG_CEDAR_FAULT_OVERFLOW;
	*out = ag_cedar_duration(ms);
	return AG_CEDAR_FAULT_NONE;
}

/* Since midnight, never negative. */
static int64_t
of_day(int64_t at)
{
	int64_t rest = at % D_MS;

	return rest < 0 ? rest + D_MS : rest;
}

enum ag_cedar_fault
cedar_datetime_date(struct ag_cedar_arena *arena,
    const struct ag_cedar_value *args, struct ag_cedar_value *out)
{
	int64_t at;

	(void)arena;
	if (__builtin_sub_overflow(args[0].number, of_day(args[0].number), &at))
		return AG_CEDAR_FAULT_OVERFLOW;
	*out = ag_cedar_datetime(at);
	return AG_CEDAR_FAULT_NONE;
}

enum ag_cedar_fault
cedar_datetime_time(struct ag_cedar_arena *arena,
    const struct ag_cedar_value *args, struct ag_cedar_value *out)
{
	(void)arena;
	*out = ag_cedar_duration(of_day(args[0].number));
	return AG_CEDAR_FAULT_NONE;
}

/* -?[nd][nh][nm][ns][nms], in this order, at least one. */
enum ag_cedar_fault
cedar_duration_of(struct ag_cedar_arena *arena,
    const struct ag_cedar_value *args, struct ag_cedar_value *out)
{
	static const struct {
		const char *name;
		int64_t ms;
	} units[] = { { "d", D_MS }, { "h", H_MS }, { "m", M_MS },
		{ "s", S_MS }, { "ms", 1 } };
	struct ag_cedar_str p = args[0].string, next;
	bool minus = take(&p, '-');
	int64_t sum = 0;
	uint64_t n;

	(void)arena;
	if (p.len == 0)
		return AG_CEDAR_FAULT_EXTENSION;
	for (size_t i = 0; p.len > 0 && i < CEDAR_COUNT(units); i++) {
		next = p;
		if (!cedar_digits(&next, 1, SIZE_MAX, &n))
			return AG_CEDAR_FAULT_EXTENSION;
		/* "m" is not the beginning of "ms". */
		if (!take(&next, units[i].name[0]) || (units[i].ms == 1 ?
		    !take(&next, 's') : units[i].ms == M_MS && next.len > 0 &&
		    *next.p == 's'))
			continue;
		if (!cedar_add_units(&sum, n, minus ? -units[i].ms : units[i].ms))
			return AG_CEDAR_FAULT_EXTENSION;
		p = next;
	}
	if (p.len != 0)
		return AG_CEDAR_FAULT_EXTENSION;
	*out = ag_cedar_duration(sum);
	return AG_CEDAR_FAULT_NONE;
}

#define IN_UNITS(name, ms) \
enum ag_cedar_fault \
name(struct ag_cedar_arena *arena, const struct ag_cedar_value *args, \
    struct ag_cedar_value *out) \
{ \
	(void)arena; \
	*out = ag_cedar_long(args[0].number / (ms)); \
	return AG_CEDAR_FAULT_NONE; \
}
IN_UNITS(cedar_duration_ms, 1)
IN_UNITS(cedar_duration_s, S_MS)
IN_UNITS(cedar_duration_m, M_MS)
IN_UNITS(cedar_duration_h, H_MS)
IN_UNITS(cedar_duration_d, D_MS)
