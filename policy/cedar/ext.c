/* SPDX-License-Identifier: Apache-2.0 */
/* The table of the extensions' functions, and decimals. */
#include "ext.h"

#include "value.h"

#define B AG_CEDAR_BOOL
#define L AG_CEDAR_LONG
#define S AG_CEDAR_STRING
#define DEC AG_CEDAR_DECIMAL
#define IP AG_CEDAR_IPADDR
#define DT AG_CEDAR_DATETIME
#define DUR AG_CEDAR_DURATION

static const struct cedar_ext rows[] = {
	/* name, method, constructor, arguments, result, function */
	{ "decimal", false, true, 1, { S }, DEC, cedar_decimal_of },
	{ "lessThan", true, false, 2, { DEC, DEC }, B, cedar_decimal_less },
	{ "lessThanOrEqual", true, false, 2, { DEC, DEC }, B,
	    cedar_decimal_less_equal },
	{ "greaterThan", true, false, 2, { DEC, DEC }, B, cedar_decimal_greater },
	{ "greaterThanOrEqual", true, false, 2, { DEC, DEC }, B,
	    cedar_decimal_greater_equal },
	{ "ip", false, true, 1, { S }, IP, cedar_ip_of },
	{ "isIpv4", true, false, 1, { IP }, B, cedar_ip_is_v4 },
	{ "isIpv6", true, false, 1, { IP }, B, cedar_ip_is_v6 },
	{ "isLoopback", true, false, 1, { IP }, B, cedar_ip_is_loopback },
	{ "isMulticast", true, false, 1, { IP }, B, cedar_ip_is_multicast },
	{ "isInRange", true, false, 2, { IP, IP }, B, cedar_ip_in_range },
	{ "datetime", false, true, 1, { S }, DT, cedar_datetime_of },
	{ "offset", true, false, 2, { DT, DUR }, DT, cedar_datetime_offset },
	{ "durationSince", true, false, 2, { DT, DT }, DUR,
	    cedar_datetime_since },
	{ "toDate", true, false, 1, { DT }, DT, cedar_datetime_date },
	{ "toTime", true, false, 1, { DT }, DUR, cedar_datetime_time },
	{ "duration", false, true, 1, { S }, DUR, cedar_duration_of },
	{ "toMilliseconds", true, false, 1, { DUR }, L, cedar_duration_ms },
	{ "toSeconds", true, false, 1, { DUR }, L, cedar_duration_s },
	{ "toMinutes", true, false, 1, { DUR }, L, cedar_duration_m },
	{ "toHours", true, false, 1, { DUR }, L, cedar_duration_h },
	{ "toDays", true, false, 1, { DUR }, L, cedar_duration_d },
};

const struct cedar_ext *
cedar_ext_find(struct ag_cedar_str name)
{
	for (size_t i = 0; i < CEDAR_COUNT(rows); i++)
		if (cedar_is(name, rows[i].name))
			return &rows[i];
	return NULL;
}

const struct cedar_ext *
cedar_ext_constructor(enum ag_cedar_kind kind)
{
	for (size_t i = 0; i < CEDAR_COUNT(rows); i++)
		if (rows[i].is_constructor && rows[i].result == kind)
			return &rows[i];
	return NULL;
}

enum ag_cedar_err
ag_cedar_extension_value(struct ag_cedar_arena *arena, const char *function,
    struct ag_cedar_str text, struct ag_cedar_value *out)
{
	const struct cedar_ext *ext = cedar_ext_find(cedar_str(function));
	struct ag_cedar_value arg = ag_cedar_string(text);
	enum ag_cedar_fault fault;

	if (ext == NULL || !ext->is_constructor)
		return AG_CEDAR_UNKNOWN;
	fault = ext->call(arena, &arg, out);
	if (fault == AG_CEDAR_FAULT_MEMORY)
		return AG_CEDAR_NO_MEMORY;
	return fault == AG_CEDAR_FAULT_NONE ? AG_CEDAR_OK : AG_CEDAR_INVALID;
}

bool
cedar_digits(struct ag_cedar_str *p, size_t min_len, size_t max_len,
    uint64_t *out)
{
	size_t n = 0;
	uint64_t value = 0;

	for (; n < p->len && n < max_len && p->p[n] >= '0' && p->p[n] <= '9';
	    n++)
		if (__builtin_mul_overflow(value, UINT64_C(10), &value) ||
		    __builtin_add_overflow(value, (uint64_t)(p->p[n] - '0'),
		    &value))
			return false;
	if (n < min_len)
		return false;
	p->p += n;
	p->len -= n;
	*out = value;
	return true;
}

bool
cedar_add_units(int64_t *sum, uint64_t n, int64_t unit)
{
	int64_t product;

	/* The builtins compute as if without bounds, signs may differ. */
	return !__builtin_mul_overflow(n, unit, &product) &&
	    !__builtin_add_overflow(*sum, product, sum);
}

/* --------------------------------------------------------------- decimals */

/* -?digits.digits, one to four of the latter; in 1/10,000 within 64 bits. */
enum ag_cedar_fault
cedar_decimal_of(struct ag_cedar_arena *arena, const struct ag_cedar_value *args,
    struct ag_cedar_value *out)
{
	struct ag_cedar_str p = args[0].string;
	bool negative = p.len > 0 && p.p[0] == '-';
	uint64_t whole, part;
	int64_t value = 0, sign = negative ? -1 : 1;
	size_t before;

	(void)arena;
	if (negative) {
		p.p++;
		p.len--;
	}
	if (!cedar_digits(&p, 1, SIZE_MAX, &whole) || p.len == 0 ||
	    *p.p != '.')
		return AG_CEDAR_FAULT_EXTENSION;
	p.p++;
	before = --p.len;
	if (!cedar_digits(&p, 1, 4, &part) || p.len != 0)
		return AG_CEDAR_FAULT_EXTENSION;
	for (; before < 4; before++)
		part *= 10;
	if (!cedar_add_units(&value, whole, sign * 10000) ||
	    !cedar_add_units(&value, part, sign))
		return AG_CEDAR_FAULT_EXTENSION;
	*out = (struct ag_cedar_value){ .kind = AG_CEDAR_DECIMAL,
		.number = value };
	return AG_CEDAR_FAULT_NONE;
}

#define COMPARE(name, op) \
enum ag_cedar_fault \
name(struct ag_cedar_arena *arena, const struct ag_cedar_value *args, \
    struct ag_cedar_value *out) \
{ \
	(void)arena; \
	*out = ag_cedar_bool(args[0].number op args[1].number); \
	return AG_CEDAR_FAULT_NONE; \
}
COMPARE(cedar_decimal_less, <)
COMPARE(cedar_decimal_less_equal, <=)
COMPARE(cedar_decimal_greater, >)
COMPARE(cedar_decimal_greater_equal, >=)
