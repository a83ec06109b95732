/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
/* cmocka wants the above first */
#include <cmocka.h>

#define JWT_HEAD "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCJ9"
#define JWT JWT_HEAD ".eyJzdWIiOiJhZ3RfMSJ9.c2lnbmF0dXJl"
#define X36 "abcdefghijklmnopqrstuvwxyz0123456789"
#define BODY "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g"

/* Assembled from pieces, so that no scanner of source code stumbles here. */
#define BEGIN(label) "-----BEGIN " label "-----"
#define END(label) "-----END " label "-----"

static const struct row {
	const char *text;
	const char *what; /* NULL: a false friend, nothing is found */
	const char *hit;  /* NULL: all of it */
} rows[] = {
	/* private keys */
	{ BEGIN("PRIVATE KEY") "\n" BODY "\n" END("PRIVATE KEY"), "pem", NULL },
	{ "see " BEGIN("EC PRIVATE KEY") "x" END("EC PRIVATE KEY") " ok", "pem",
	    BEGIN("EC PRIVATE KEY") "x" END("EC PRIVATE KEY") },
	{ BEGIN("OPENSSH PRIVATE KEY") BODY, "pem", NULL }, /* cut short */
	{ BEGIN("PRIVATE KEY") "\\n" BODY "\\n" END("PRIVATE KEY"), "pem", NULL },
	{ "-----BEGIN RSA PRIV", "pem", NULL },
	{ BEGIN("PUBLIC KEY") BODY END("PUBLIC KEY"), NULL, NULL },
	{ BEGIN("CERTIFICATE") BODY END("CERTIFICATE"), NULL, NULL },
	{ "----- BEGIN here -----", NULL, NULL },
	{ "--------------------", NULL, NULL },
	/* tokens */
	{ JWT, "jwt", NULL },
	{ "Bearer " JWT ", please", "jwt", JWT },
	{ "token_" JWT, "jwt", JWT },
	{ JWT_HEAD ".a2V5.aXY.Y2lwaGVy.dGFn", "jwt", NULL },
	{ JWT_HEAD ".eyJzdWIiOiJhZ3RfMSJ9", "jwt", NULL }, /* cut short */
	{ JWT_HEAD, NULL, NULL },           /* a header alone is no secret */
	{ "eyJ.example.com", NULL, NULL },
	{ "abceyJhbGciOiJFZERTQSJ9.c3ViamVjdA.c2ln", NULL, NULL },
	{ "1.2.3 eyJhbGciOiJFZERTQSIsInR5cCI6 . end", NULL, NULL },
	/* keys of services */
	{ "AKIAIOSFODNN7EXAMPLE", "cloud_key", NULL },
	{ "key=ASIAIOSFODNN7EXAMPLE;", "cloud_key", "ASIAIOSFODNN7EXAMPLE" },
	{ "AIzaSyA-abcdefghijklmnopqrstuvwxyz01234", "cloud_key", NULL },
	{ "ghp_" X36, "cloud_key", NULL },
	{ "use glpat-abcdefghij0123456789", "cloud_key",
	    "glpat-abcdefghij0123456789" },
	{ "xoxb-123456789012-abcdefghijkl", "cloud_key", NULL },
	{ "sk-" X36, "cloud_key", NULL },
	{ "sk-ant-api03-" X36, "cloud_key", NULL },
	{ "hvs.CAESIabcdefghijklmnopqrstuvwxyz", "cloud_key", NULL },
	{ "AKIAIOSFODNN7EXAMPL", NULL, NULL },   /* one short */
	{ "AKIAIOSFODNN7EXAMPLEX", NULL, NULL }, /* one long */
	{ "AKIAiosfodnn7example", NULL, NULL },
	{ "MAKIAIOSFODNN7EXAMPLE", NULL, NULL }, /* inside a word */
	{ "sk-learn/1.4.2 (linux)", NULL, NULL },
	{ "task-abcdefghijklmnopqrstuvwxyz0123456789", NULL, NULL },
	{ "AIzawa", NULL, NULL },
	/* cards: the networks' own test numbers */
	{ "4111111111111111", "card", NULL },
	{ "4111 1111 1111 1111", "card", NULL },
	{ "card 4111-1111-1111-1111.", "card", "4111-1111-1111-1111" },
	{ "5555555555554444", "card", NULL },
	{ "2223003122003222", "card", NULL },
	{ "3782 822463 10005", "card", NULL },
	{ "6011111111111117", "card", NULL },
	{ "3530111333300000", "card", NULL },
	{ "order-4111111111111111", "card", "4111111111111111" },
	{ "4111111111111112", NULL, NULL },       /* wrong check digit */
	{ "4111-1111 1111-1111", NULL, NULL },    /* mixed separators */
	{ "41111111111111111", NULL, NULL },      /* 17 digits */
	{ "1700000000000", NULL, NULL },          /* a time in milliseconds */
	{ "1763712000000000", NULL, NULL },       /* … and in microseconds */
	{ "490154203237518", NULL, NULL },        /* an IMEI: passes Luhn */
	{ "01890000-4111-1111-1111-111111111111", NULL, NULL }, /* a UUID */
	{ "a4111111111111111", NULL, NULL },
	{ "4111111111111111f", NULL, NULL },
	{ "2026-11-20T21:33:14.123Z 10.0.0.1 +49 30 1234567", NULL, NULL },
	{ "0000000000000000", NULL, NULL },
	/* what events hold */
	{ "", NULL, NULL },
	{ "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101", NULL, NULL },
	{ "agt_01890000000070008000000000000001", NULL, NULL },
	{ "evt_4111111111111111411111111111111a", NULL, NULL },
	{ "key:invoice-2026:sign", NULL, NULL },
};

static void
table(void **state)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *r = &rows[i];
		const char *want = r->hit == NULL ? r->text : r->hit;
		struct guard_hit hit = { 0 };
		struct guard g;
		bool found;

		guard_begin(&g, r->text, strlen(r->text));
		found = guard_next(&g, &hit);
		if (found != (r->what != NULL))
			fail_msg("row %zu: \"%s\"", i, r->text);
		if (!found)
			continue;
		assert_string_equal(hit.what, r->what);
		assert_int_equal(hit.len, strlen(want));
		assert_memory_equal(r->text + hit.at, want, hit.len);
	}
	(void)state;
}

static void
several(void **state)
{
	const char *text = "4111111111111111 and AKIAIOSFODNN7EXAMPLE and " JWT;
	struct guard_hit hit;
	struct guard g;

	guard_begin(&g, text, strlen(text));
	assert_true(guard_next(&g, &hit));
	assert_string_equal(hit.what, "card");
	assert_true(guard_next(&g, &hit));
	assert_string_equal(hit.what, "cloud_key");
	assert_true(guard_next(&g, &hit));
	assert_string_equal(hit.what, "jwt");
	assert_false(guard_next(&g, &hit));
	(void)state;
}

static void
one_card_however_it_is_written(void **state)
{
	char a[GUARD_CARD_DIGITS_MAX], b[GUARD_CARD_DIGITS_MAX];

	assert_int_equal(guard_digits("4111 1111 1111 1111", 19, a), 16);
	assert_int_equal(guard_digits("4111-1111-1111-1111", 19, b), 16);
	assert_memory_equal(a, b, 16);
	(void)state;
}

static uint64_t
scan_ns(const char *unit, size_t len)
{
	char *text = malloc(len);
	struct timespec begun, ended;
	struct guard_hit hit;
	struct guard g;
	uint64_t best = UINT64_MAX;

	for (size_t i = 0; i < len; i++)
		text[i] = unit[i % strlen(unit)];
	for (unsigned i = 0; i < 3; i++) {
		uint64_t ns;

		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begun);
		guard_begin(&g, text, len);
		while (guard_next(&g, &hit))
			;
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ended);
		ns = (uint64_t)((ended.tv_sec - begun.tv_sec) * 1000000000 +
		    ended.tv_nsec - begun.tv_nsec);
		best = ns < best ? ns : best;
	}
	free(text);
	return best;
}

/* Texts made to be looked at again and again: 16 times the text must not take
 * 16 × 16 times as long (four times the linear share is allowed for). */
static void
linear(void **state)
{
	static const char *const units[] = {
		"_eyJ", "eyJ-", "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCJ9.x.",
		"eyJhbGciOiJFZERTQSJ9.", "-----BEGIN ", "-----BEGIN PUBLIC KEY-----",
		"-", "4111 ", "4 ", "sk-", "xoxb-", "ghp_", "sk-ant-", "AKIA ",
	};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		uint64_t small = scan_ns(units[i], 64 << 10);
		uint64_t large = scan_ns(units[i], 1 << 20);

		if (large > 4 * 16 * small + 2000000)
			fail_msg("\"%s\": %llu ns, then %llu ns", units[i],
			    (unsigned long long)small, (unsigned long long)large);
	}
	(void)state;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table),
		cmocka_unit_test(several),
		cmocka_unit_test(one_card_however_it_is_written),
		cmocka_unit_test(linear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
