/* SPDX-License-Identifier: Apache-2.0 */
/*
 * refusals: which refused frames audit hears of one by one.
 * Keeps a second's count and the number not told yet per row.
 */
#include "refusals.h"

static void
roll(struct refusals_row *row, uint64_t now_ms)
{
	if (row->window_ms != 0 &&
	    now_ms - row->window_ms < REFUSALS_WINDOW_MS)
		return;
	row->window_ms = now_ms;
	row->told = 0;
}

bool
refusals_note(struct refusals *r, unsigned from, const struct judged *what,
    uint64_t now_ms, uint64_t *suppressed)
{
	struct refusals_row *row = &r->rows[from];

	roll(row, now_ms);
	if (row->told >= REFUSALS_PER_S_MAX) {
		row->suppressed++;
		row->last = *what;
		return false;
	}
	row->told++;
	*suppressed = row->suppressed;
	row->suppressed = 0;
	return true;
}

void
refusals_return(struct refusals *r, unsigned from, const struct judged *what,
    uint64_t suppressed)
{
	r->rows[from].suppressed += suppressed + 1;
	r->rows[from].last = *what;
}

bool
refusals_due(struct refusals *r, uint64_t now_ms, unsigned *from,
    struct judged *what, uint64_t *suppressed)
{
	for (unsigned slot = 0; slot < TOPOLOGY_SLOTS_MAX; slot++) {
		struct refusals_row *row = &r->rows[slot];

		if (row->suppressed == 0 ||
		    now_ms - row->window_ms < REFUSALS_WINDOW_MS)
			continue;
		row->window_ms = now_ms;
		row->told = 1;
		*from = slot;
		*what = row->last;
		*suppressed = row->suppressed - 1; /* the one told is not */
		row->suppressed = 0;
		return true;
	}
	return false;
}
