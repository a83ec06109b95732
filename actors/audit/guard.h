/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guard: what in a text looks like a secret that should not be there. A pure
 * scan: no memory, no pattern engine, time linear in the text.
 */
#ifndef AEGIS_AUDIT_GUARD_H
#define AEGIS_AUDIT_GUARD_H

#include <stdbool.h>
#include <stddef.h>

enum { GUARD_CARD_DIGITS_MAX = 19 /* ISO/IEC 7812-1 */ };

struct guard {
	const char *text;
	size_t len;
	size_t at;       /* where the scan goes on */
	size_t no_jwt;   /* up to here no token can begin: its run was looked at */
};

struct guard_hit {
	const char *what; /* "pem" "jwt" "cloud_key" "card" */
	size_t at, len;   /* in the text */
};

void guard_begin(struct guard *g, const char *text, size_t len);
/* The next one, from left to right; false: there is no more. */
bool guard_next(struct guard *g, struct guard_hit *hit);
/* A card number without its separators: two spellings are one value. out:
 * GUARD_CARD_DIGITS_MAX. Returns the digits. */
size_t guard_digits(const char *text, size_t len, char *out);

#endif
