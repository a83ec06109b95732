/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The times at which a zone's offset changes, and the rule for all times behind
 * the last of them (the file's footer, in the form of POSIX's TZ).
 */
#include "zone.h"

#include <stdlib.h>
#include <string.h>

#define DAY_S INT64_C(86400)

enum { HEAD_BYTES = 44, TYPE_BYTES = 6, HOUR_S = 3600 };

/* "M3.2.0/2": the second Sunday of March, at 2 o'clock. */
struct day {
	int month, week, weekday; /* week 5: the last */
	int32_t at_s;
};
struct rule {
	bool is_there, has_summer;
	int32_t offset[2]; /* standard, summer */
	struct day from, to; /* of summer */
};
struct ag_zone {
	int64_t *changes;
	int32_t *offsets; /* from that change on */
	size_t count;
	int32_t first; /* before any */
	struct rule rule;
};

bool
ag_zone_name_valid(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-/";
	size_t len = strlen(name);

	return len > 0 && len <= AG_ZONE_NAME_MAX && name[0] != '/' &&
	    name[len - 1] != '/' && strspn(name, allowed) == len &&
	    strstr(name, "//") == NULL;
}

/* ------------------------------------------------------------------ footer */

static bool
number(const char **p, int min, int max, int *out)
{
	int n = 0, digits = 0;

	for (; **p >= '0' && **p <= '9' && digits < 4; (*p)++, digits++)
		n = 10 * n + (**p - '0');
	*out = n;
	return digits > 0 && n >= min && n <= max;
}

/* "EST" or "<-03>" */
static bool
skip_name(const char **p)
{
	const char *begin = *p;

	if (**p == '<') {
		while (**p != '\0' && **p != '>')
			(*p)++;
		return *(*p)++ == '>';
	}
	while ((**p >= 'A' && **p <= 'Z') || (**p >= 'a' && **p <= 'z'))
		(*p)++;
	return *p - begin >= 3;
}

/* "5", "-1", "+5:30", "167:00:00" */
static bool
clock_s(const char **p, int32_t *out)
{
	int sign = **p == '-' ? -1 : 1, h, m = 0, s = 0;

	if (**p == '-' || **p == '+')
		(*p)++;
	if (!number(p, 0, 167, &h))
		return false;
	if (**p == ':' && ((*p)++, !number(p, 0, 59, &m)))
		return false;
	if (**p == ':' && ((*p)++, !number(p, 0, 59, &s)))
		return false;
	*out = sign * (h * HOUR_S + m * 60 + s);
	return true;
}

static bool
day(const char **p, struct day *out)
{
	out->at_s = 2 * HOUR_S;
	if (*(*p)++ != 'M' || !number(p, 1, 12, &out->month) || *(*p)++ != '.' ||
	    !number(p, 1, 5, &out->week) || *(*p)++ != '.' ||
	    !number(p, 0, 6, &out->weekday))
		return false;
	return **p != '/' || ((*p)++, clock_s(p, &out->at_s));
}

/* "EST5EDT,M3.2.0,M11.1.0"; days of the year (Jn) are not read: the zone is
 * then refused. */
static bool
rule(const char *p, struct rule *out)
{
	int32_t west;

	if (!skip_name(&p) || !clock_s(&p, &west))
		return false;
	out->is_there = true;
	out->offset[0] = -west;
	out->offset[1] = -west + HOUR_S;
	if (*p == '\0')
		return true;
	out->has_summer = true;
	if (!skip_name(&p))
		return false;
	if (*p != ',' && *p != '\0') {
		if (!clock_s(&p, &west))
			return false;
		out->offset[1] = -west;
	}
	return *p++ == ',' && day(&p, &out->from) && *p++ == ',' &&
	    day(&p, &out->to) && *p == '\0';
}

/* Days since 1970 of the first of a month (proleptic Gregorian). */
static int64_t
days_to(int64_t year, int month)
{
	int64_t y = year - (month <= 2), era = (y >= 0 ? y : y - 399) / 400,
	    of_era = y - era * 400, m = (month + 9) % 12,
	    of_year = (153 * m + 2) / 5;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 +
	    of_year - 719468;
}

static int64_t
year_of(int64_t utc_s)
{
	int64_t year = 1970 + utc_s / (DAY_S * 366);

	while (days_to(year + 1, 1) * DAY_S <= utc_s)
		year++;
	return year;
}

/* Local time, in seconds since 1970. */
static int64_t
local_of(const struct day *d, int64_t year)
{
	int64_t first = days_to(year, d->month), weekday = (first % 7 + 11) % 7,
	    next = d->month == 12 ? days_to(year + 1, 1) :
	    days_to(year, d->month + 1),
	    on = first + (d->weekday - weekday + 7) % 7 + 7 * (d->week - 1);

	if (on >= next)
		on -= 7;
	return on * DAY_S + d->at_s;
}

static int32_t
by_rule(const struct rule *r, int64_t utc_s)
{
	int64_t year, from, to;

	if (!r->has_summer)
		return r->offset[0];
	year = year_of(utc_s + r->offset[0]);
	from = local_of(&r->from, year) - r->offset[0];
	to = local_of(&r->to, year) - r->offset[1];
	if (from < to)
		return r->offset[utc_s >= from && utc_s < to];
	return r->offset[utc_s >= from || utc_s < to]; /* south of the equator */
}

/* -------------------------------------------------------------------- file */

static uint32_t
be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 |
	    p[3];
}

struct head {
	uint32_t isut, isstd, leap, time, type, chars;
};

static bool
head(const uint8_t *p, size_t len, struct head *out)
{
	if (len < HEAD_BYTES || memcmp(p, "TZif", 4) != 0 || p[4] < '2')
		return false;
	*out = (struct head){ be32(p + 20), be32(p + 24), be32(p + 28),
		be32(p + 32), be32(p + 36), be32(p + 40) };
	return out->isut <= 256 && out->isstd <= 256 && out->leap <= 256 &&
	    out->time <= AG_ZONE_CHANGES_MAX && out->type >= 1 &&
	    out->type <= 256 && out->chars <= 1024;
}

static size_t
block_bytes(const struct head *h, size_t time_bytes)
{
	return h->time * (time_bytes + 1) + h->type * TYPE_BYTES + h->chars +
	    h->leap * (time_bytes + 4) + h->isstd + h->isut;
}

static bool
read_changes(struct ag_zone *zone, const struct head *h, const uint8_t *p)
{
	const uint8_t *index = p + h->time * 8, *types = index + h->time;

	zone->changes = calloc(h->time + 1, sizeof(*zone->changes));
	zone->offsets = calloc(h->time + 1, sizeof(*zone->offsets));
	if (zone->changes == NULL || zone->offsets == NULL)
		return false;
	zone->first = (int32_t)be32(types);
	for (uint32_t i = 0; i < h->time; i++) {
		if (index[i] >= h->type)
			return false;
		zone->changes[i] = (int64_t)((uint64_t)be32(p + i * 8) << 32 |
		    be32(p + i * 8 + 4));
		zone->offsets[i] = (int32_t)be32(types + index[i] * TYPE_BYTES);
		if (i > 0 && zone->changes[i] <= zone->changes[i - 1])
			return false;
	}
	zone->count = h->time;
	return true;
}

/* "\n<rule>\n"; an empty one: the last change is for ever. */
static bool
read_footer(struct ag_zone *zone, const uint8_t *p, size_t len)
{
	const uint8_t *end;
	char text[128];

	if (len < 2 || p[0] != '\n' ||
	    (end = memchr(p + 1, '\n', len - 1)) == NULL ||
	    (size_t)(end - p - 1) >= sizeof(text))
		return false;
	memcpy(text, p + 1, (size_t)(end - p - 1));
	text[end - p - 1] = '\0';
	return text[0] == '\0' || rule(text, &zone->rule);
}

struct ag_zone *
ag_zone_parse(const uint8_t *bytes, size_t len)
{
	struct ag_zone *zone = calloc(1, sizeof(*zone));
	struct head h;
	size_t skip, block;

	if (zone == NULL)
		return NULL;
	/* The first block has 32-bit times: the second says it all again. */
	if (len <= AG_ZONE_BYTES_MAX && head(bytes, len, &h) &&
	    (skip = HEAD_BYTES + block_bytes(&h, 4)) < len &&
	    head(bytes + skip, len - skip, &h) &&
	    (block = skip + HEAD_BYTES + block_bytes(&h, 8)) < len &&
	    read_changes(zone, &h, bytes + skip + HEAD_BYTES) &&
	    read_footer(zone, bytes + block, len - block))
		return zone;
	ag_zone_free(&zone);
	return NULL;
}

void
ag_zone_free(struct ag_zone **zone)
{
	if (*zone == NULL)
		return;
	free((*zone)->changes);
	free((*zone)->offsets);
	free(*zone);
	*zone = NULL;
}

int32_t
ag_zone_offset_s(const struct ag_zone *zone, int64_t utc_s)
{
	size_t low = 0, high;

	if (zone == NULL)
		return 0;
	high = zone->count;
	while (low < high) {
		size_t middle = (low + high) / 2;

		if (zone->changes[middle] <= utc_s)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == zone->count && zone->rule.is_there)
		return by_rule(&zone->rule, utc_s);
	return low == 0 ? zone->first : zone->offsets[low - 1];
}
