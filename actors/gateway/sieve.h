/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sieve: what must not pass in what a tool server says: configured members,
 * what looks like a secret, and the secret that the server itself is told.
 * Pure.
 */
#ifndef GATEWAY_SIEVE_H
#define GATEWAY_SIEVE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum { SIEVE_FIELDS_MAX = 64 };

struct sieve {
	const char *fields[SIEVE_FIELDS_MAX]; /* names of members, at any depth */
	unsigned field_count;
	const char *secret; /* not terminated; NULL: none */
	size_t secret_len;
	unsigned taken; /* out: what was replaced; found: of it, what looked like a */
	unsigned found; /* secret and not like a configured member */
	bool failed;    /* out: no memory; nothing may pass */
};

/* The value without what must not pass; takes over the reference. NULL: failed. */
json_t *sieve_value(struct sieve *sieve, json_t *value);
/* The same of a text. malloc'd; NULL: nothing to take out, or failed. */
char *sieve_text(struct sieve *sieve, const char *text, size_t len);

/*
 * Why a text must not be shown to a model: it is too long, or holds characters
 * that a person does not see (control, bidirectional, zero-width, tags). NULL:
 * it is fine.
 */
const char *sieve_unfit(const char *text, size_t max);

#endif
