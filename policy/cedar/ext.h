/* SPDX-License-Identifier: Apache-2.0 */
/* Extension types: their functions are rows of one table. */
#ifndef AEGIS_POLICY_CEDAR_EXT_H
#define AEGIS_POLICY_CEDAR_EXT_H

#include "core.h"

enum { CEDAR_EXT_ARGS_MAX = 2 };

struct cedar_ext {
	const char *name;
	bool is_method;      /* x.f(y), else f(x) */
	bool is_constructor; /* of a string; its argument is checked by the validator */
	uint8_t arg_count;
	uint8_t args[CEDAR_EXT_ARGS_MAX]; /* enum ag_cedar_kind */
	uint8_t result;                   /* enum ag_cedar_kind */
	/* Arguments have the right number and kinds. */
	enum ag_cedar_fault (*call)(struct ag_cedar_arena *arena,
	    const struct ag_cedar_value *args, struct ag_cedar_value *out);
};

/* NULL: there is none. */
const struct cedar_ext *cedar_ext_find(struct ag_cedar_str name);

/* The constructor of a type, and what it was called with, as text for JSON. */
const struct cedar_ext *cedar_ext_constructor(enum ag_cedar_kind kind);

/* ip: an address with a prefix, as numbers in network order. */
struct ag_cedar_ip {
	uint8_t bytes[16];
	uint8_t prefix;
	bool is_v6;
	struct ag_cedar_str text; /* as it was written */
};
int cedar_ip_order(const struct ag_cedar_ip *a, const struct ag_cedar_ip *b);

typedef enum ag_cedar_fault cedar_ext_fn(struct ag_cedar_arena *arena,
    const struct ag_cedar_value *args, struct ag_cedar_value *out);
cedar_ext_fn cedar_decimal_of, cedar_decimal_less, cedar_decimal_less_equal,
    cedar_decimal_greater, cedar_decimal_greater_equal;
cedar_ext_fn cedar_ip_of, cedar_ip_is_v4, cedar_ip_is_v6, cedar_ip_is_loopback,
    cedar_ip_is_multicast, cedar_ip_in_range;
cedar_ext_fn cedar_datetime_of, cedar_datetime_offset,
    cedar_datetime_since, cedar_datetime_date, cedar_datetime_time;
cedar_ext_fn cedar_duration_of, cedar_duration_ms, cedar_duration_s,
    cedar_duration_m, cedar_duration_h, cedar_duration_d;

/* Seconds, minutes … in digits at *p: false if there is none or it is above
 * max. Moves *p behind it. */
bool cedar_digits(struct ag_cedar_str *p, size_t min_len, size_t max_len,
    uint64_t *out);

/* *sum += n * unit; false if it overflows. */
bool cedar_add_units(int64_t *sum, uint64_t n, int64_t unit);

#endif
