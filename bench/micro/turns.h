/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Microseconds a turn: the fastest of many short runs, because whatever else
 * the machine does only ever makes one slower.
 */
#ifndef BENCH_TURNS_H
#define BENCH_TURNS_H

#include <stdint.h>
#include <stdio.h>
#include <time.h>

enum { TURNS_A_RUN = 20000, RUNS = 50 };

static inline double
turns_now_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static inline void
turns_measure(void (*turn)(void *arg, unsigned n), void *arg)
{
	double best = 1e18, begin, us;

	for (int run = 0; run < RUNS; run++) {
		begin = turns_now_us();
		for (unsigned n = 0; n < TURNS_A_RUN; n++)
			turn(arg, n);
		us = (turns_now_us() - begin) / TURNS_A_RUN;
		if (us < best)
			best = us;
	}
	printf("%.4f\n", best);
}

#endif
