/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chance and time: what a run draws comes from its seed, and time passes when
 * the schedule says so.
 */
#include "sim.h"

#include <openssl/rand.h>
#include <sodium.h>
#include <string.h>
#include <time.h>

static const int64_t epoch_ms = INT64_C(1790000000000); /* 2026-09-21 */

/* splitmix64, to fill the state of the other (both: Vigna, public domain). */
static uint64_t
mix(uint64_t *x)
{
	uint64_t z = *x += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

void
rng_seed(struct rng *rng, uint64_t seed, uint64_t stream)
{
	uint64_t x = seed * UINT64_C(0x2545f4914f6cdd1d) + stream;

	for (unsigned i = 0; i < 4; i++)
		rng->s[i] = mix(&x);
}

/* xoshiro256** 1.0 */
uint64_t
rng_next(struct rng *rng)
{
	uint64_t *s = rng->s, x = s[1] * 5, t = s[1] << 17;
	uint64_t out = (x << 7 | x >> 57) * 9;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = s[3] << 45 | s[3] >> 19;
	return out;
}

unsigned
rng_below(struct rng *rng, unsigned n)
{
	return (unsigned)((rng_next(rng) >> 32) * n >> 32);
}

bool
rng_chance(struct rng *rng, unsigned per_mille)
{
	return rng_below(rng, 1000) < per_mille;
}

/* ------------------------------------------------------------------ secrets */

static void
draw(unsigned char *out, size_t len)
{
	for (size_t i = 0; i < len; i += 8) {
		uint64_t x = rng_next(&sim.crypto);

		memcpy(out + i, &x, len - i < 8 ? len - i : 8);
	}
}

static int
openssl_draw(unsigned char *out, int len)
{
	draw(out, (size_t)len);
	return 1;
}

static int
openssl_status(void)
{
	return 1;
}

static const char *
sodium_name(void)
{
	return "seed";
}

static uint32_t
sodium_draw(void)
{
	return (uint32_t)rng_next(&sim.crypto);
}

static void
sodium_fill(void *const out, const size_t len)
{
	draw(out, len);
}

void
machine_begin(uint64_t seed)
{
	/* OpenSSL has deprecated this door, and nothing else as simple. */
	static const RAND_METHOD method = { NULL, openssl_draw, NULL, NULL,
		openssl_draw, openssl_status };
	static randombytes_implementation sodium = {
		.implementation_name = sodium_name,
		.random = sodium_draw,
		.buf = sodium_fill,
	};

	rng_seed(&sim.chance, seed, 1);
	rng_seed(&sim.crypto, seed, 2);
	rng_seed(&sim.work, seed, 3);
	if (RAND_set_rand_method(&method) != 1 ||
	    randombytes_set_implementation(&sodium) != 0)
		ag_panic("chance cannot be ours");
	sim.seed = seed;
	sim.now_us = 1000 * UINT64_C(1000000);
	sim.machine = true;
}

/* --------------------------------------------------------------------- time */

int __real_clock_gettime(clockid_t id, struct timespec *out);
int __wrap_clock_gettime(clockid_t id, struct timespec *out);

int
__wrap_clock_gettime(clockid_t id, struct timespec *out)
{
	uint64_t us = sim.now_us;

	if (!sim.machine)
		return __real_clock_gettime(id, out);
	if (id == CLOCK_REALTIME)
		us += (uint64_t)(epoch_ms + sim.wall_shift_ms) * 1000;
	out->tv_sec = (time_t)(us / 1000000);
	out->tv_nsec = (long)(us % 1000000) * 1000;
	return 0;
}
