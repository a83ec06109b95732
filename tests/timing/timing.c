/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does the time of a comparison tell what was compared? After dudect (Reparaz,
 * Balasch, Verbauwhede 2017): two classes of input in random order, Welch's
 * t-test on the cycles, the slowest samples cut off at several percentiles.
 * |t| above 10 is a leak, however small. The first row compares with memcmp
 * and must be found out: a test that finds nothing there finds nothing.
 * No part of `make test`: it measures, and wants a quiet machine.
 */
#include "jwk.h"

#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BATCH = 20000, CUTS = 20, BYTES = 1024 };
static const double LEAK = 10.0;

static inline uint64_t
ticks(void)
{
#if defined(__x86_64__)
	uint32_t lo, hi;

	__asm__ volatile("lfence\n\trdtsc\n\tlfence" : "=a"(lo), "=d"(hi) ::
	    "memory");
	return (uint64_t)hi << 32 | lo;
#else
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
#endif
}

/* ------------------------------------------------------------- Welch's test */

struct welch {
	double n[2], mean[2], m2[2];
};

static void
push(struct welch *w, int class, double x)
{
	double d = x - w->mean[class];

	w->n[class]++;
	w->mean[class] += d / w->n[class];
	w->m2[class] += d * (x - w->mean[class]);
}

static double
t_of(const struct welch *w)
{
	double v0, v1;

	if (w->n[0] < 1000 || w->n[1] < 1000)
		return 0;
	v0 = w->m2[0] / (w->n[0] - 1);
	v1 = w->m2[1] / (w->n[1] - 1);
	return v0 + v1 == 0 ? 0 : fabs(w->mean[0] - w->mean[1]) /
	    sqrt(v0 / w->n[0] + v1 / w->n[1]);
}

/* --------------------------------------------------------------- what is timed */

static uint8_t right[BYTES], inputs[BATCH][BYTES];
static volatile bool sink;
static struct ag_secret *key;

/* Class 0: equal. Class 1: different from the first byte on. */
static void
make_bytes(int class, uint8_t *input, size_t len)
{
	memcpy(input, right, len);
	if (class == 1)
		(void)RAND_bytes(input, (int)len);
}

static void
make_long(int class, uint8_t *input)
{
	make_bytes(class, input, BYTES);
}

static void
make_mac(int class, uint8_t *input)
{
	make_bytes(class, input, 32);
}

static void
time_memcmp(const uint8_t *input)
{
	sink = memcmp(input, right, BYTES) == 0;
}

static void
time_long(const uint8_t *input)
{
	sink = ag_secret_equal(input, right, BYTES);
}

static void
time_mac(const uint8_t *input)
{
	sink = ag_secret_equal(input, right, 32);
}

/* The right code of the step under way, or one that is right nowhere. */
static void
make_code(int class, uint8_t *input)
{
	char code[IAM_OTP_DIGITS + 1] = "";

	if (!iam_otp_code(right, IAM_OTP_SECRET, 59000000, code))
		exit(2);
	if (class == 1)
		code[0] = code[0] == '9' ? '0' : (char)(code[0] + 1);
	memcpy(input, code, sizeof(code));
}

static void
time_code(const uint8_t *input)
{
	uint64_t step;

	sink = iam_otp_match(right, IAM_OTP_SECRET, INT64_C(59000000) * 30000,
	    (const char *)input, &step);
}

/* A token of a shared secret: the signature right, or wrong from its start.
 * Its text is as long in both classes. */
static void
make_token(int class, uint8_t *input)
{
	static const char head[] = "eyJhbGciOiJIUzI1NiJ9.e30";
	uint8_t mac[32];
	unsigned len;

	if (HMAC(EVP_sha256(), right, 32, (const uint8_t *)head,
	    sizeof(head) - 1, mac, &len) == NULL)
		exit(2);
	if (class == 1)
		mac[0] ^= 0xff;
	strcpy((char *)input, head);
	strcat((char *)input, ".");
	ag_base64url(mac, sizeof(mac), (char *)input + strlen((char *)input));
}

static void
time_token(const uint8_t *input)
{
	struct iam_jwt jwt = { .header = (const char *)input, .header_len = 20,
		.payload = (const char *)input + 21, .payload_len = 3,
		.signature = (const char *)input + 25, .signature_len = 43 };

	sink = iam_hs256_verify(key, &jwt);
}

static const struct row {
	const char *name;
	void (*make)(int class, uint8_t *input);
	void (*time)(const uint8_t *input);
	bool leaks;
} rows[] = {
	{ "memcmp (control)", make_long, time_memcmp, true },
	{ "ag_secret_equal, 1024 bytes", make_long, time_long, false },
	{ "ag_secret_equal, 32 bytes", make_mac, time_mac, false },
	{ "iam_otp_match", make_code, time_code, false },
	{ "iam_hs256_verify", make_token, time_token, false },
};

/* --------------------------------------------------------------- measuring */

static int
by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The largest |t| over the cuts; the first batch sets them, and warms up. */
static double
measure(const struct row *row, unsigned batches)
{
	static double samples[BATCH], sorted[BATCH];
	static uint8_t classes[BATCH];
	struct welch cuts[CUTS + 1] = { 0 };
	double limits[CUTS + 1], worst = 0;

	for (unsigned b = 0; b <= batches; b++) {
		(void)RAND_bytes(classes, sizeof(classes));
		for (int i = 0; i < BATCH; i++)
			row->make(classes[i] &= 1, inputs[i]);
		for (int i = 0; i < BATCH; i++) {
			uint64_t from = ticks();

			row->time(inputs[i]);
			samples[i] = (double)(ticks() - from);
		}
		if (b == 0) {
			memcpy(sorted, samples, sizeof(sorted));
			qsort(sorted, BATCH, sizeof(sorted[0]), by_size);
			for (int c = 0; c < CUTS; c++)
				limits[c] = sorted[(size_t)(BATCH *
				    (1 - pow(0.5, 10.0 * (c + 1) / CUTS)))];
			limits[CUTS] = INFINITY;
			continue;
		}
		for (int i = 0; i < BATCH; i++)
			for (int c = 0; c <= CUTS; c++)
				if (samples[i] <= limits[c])
					push(&cuts[c], classes[i], samples[i]);
	}
	for (int c = 0; c <= CUTS; c++)
		worst = t_of(&cuts[c]) > worst ? t_of(&cuts[c]) : worst;
	return worst;
}

int
main(int argc, char **argv)
{
	unsigned batches = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 25;
	int failed = 0;

	if (ag_secret_init() != AG_OK || RAND_bytes(right, BYTES) != 1 ||
	    ag_secret_copy(right, 32, &key) != AG_OK)
		return 2;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		double t = measure(&rows[i], batches);
		bool leaks = t > LEAK;

		printf("%-30s |t| = %8.2f  %s\n", rows[i].name, t,
		    leaks == rows[i].leaks ? "as it should be" : leaks ?
		    "LEAKS" : "the control was not found out");
		failed += leaks != rows[i].leaks;
	}
	ag_secret_free(&key);
	return failed == 0 ? 0 : 1;
}
