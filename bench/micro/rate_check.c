/* SPDX-License-Identifier: Apache-2.0 */
/*
 * iam: is there room in the sliding window of this key, and then it is counted;
 * a different one of 4,096 each time, so that its row is not in the first cache.
 */
#include "windows.h"
#include "turns.h"

#include <stdlib.h>

enum { NAMES = 4096 };

static struct iam_windows windows;
static char names[NAMES][AG_ID_SIZE];
static const struct iam_limit limit = { .rate = 1000000, .window_ms = 60000 };
static uint64_t passed;

static void
turn(void *arg, unsigned n)
{
	const char *name = names[n * 2654435761u % NAMES];
	struct iam_window *w = iam_windows_find(&windows, "key", name, true);
	uint64_t now_ms = 1000000 + n / 20; /* twenty in a millisecond */

	(void)arg;
	if (w != NULL && iam_window_look(w, &limit, now_ms, 1).ok) {
		iam_window_take(w, &limit, now_ms, 1);
		passed++;
	}
}

int
main(void)
{
	iam_windows_init(&windows, 1000000);
	for (unsigned i = 0; i < NAMES; i++)
		snprintf(names[i], sizeof(names[i]), "key_%032x", i);
	turns_measure(turn, NULL);
	return passed == (uint64_t)TURNS_A_RUN * RUNS ? 0 : 1;
}
