/* SPDX-License-Identifier: Apache-2.0 */
/*
 * progress: see progress.h.
 */
#include "progress.h"

#include <stdbool.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { SHOW_MS = 250 };

static bool shown;

void
progress(const char *what, unsigned long long n)
{
	static struct timespec last;
	struct timespec now;
	long long ms;

	if (isatty(STDERR_FILENO) != 1 || clock_gettime(CLOCK_MONOTONIC, &now) != 0)
		return;
	ms = (now.tv_sec - last.tv_sec) * 1000LL +
	    (now.tv_nsec - last.tv_nsec) / 1000000;
	if (ms < SHOW_MS)
		return;
	last = now;
	shown = true;
	fprintf(stderr, "\r%llu %s\033[K", n, what);
}

void
progress_beside(const char *what, unsigned long long n)
{
	if (isatty(STDOUT_FILENO) != 1)
		progress(what, n);
}

void
progress_end(void)
{
	if (shown)
		fputs("\r\033[K", stderr);
	shown = false;
}
