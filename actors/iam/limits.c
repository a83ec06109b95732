/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sliding rate windows. A window is ten parts; the sum goes over eleven, the
 * part under way and ten whole ones before it, so no span of the window's
 * length, wherever it begins, ever holds more than the rate.
 */
#include "iam.h"

#include <string.h>

enum { SLOTS = IAM_WINDOW_PARTS + 1 };

static uint64_t
part_ms(const struct iam_limit *limit)
{
	uint64_t ms = (limit->window_ms + IAM_WINDOW_PARTS - 1) /
	    IAM_WINDOW_PARTS;

	return ms > 0 ? ms : 1;
}

static void
advance(struct iam_window *w, uint64_t epoch)
{
	uint64_t steps;

	if (epoch <= w->epoch)
		return; /* a clock that steps back only makes it stricter */
	steps = epoch - w->epoch;
	if (steps > SLOTS)
		steps = SLOTS;
	for (uint64_t i = 0; i < steps; i++)
		w->parts[(epoch - i) % SLOTS] = 0;
	w->epoch = epoch;
}

/* Whole seconds, rounded up, at least 1, until part `epoch` counts no more. */
static unsigned
leaves_in_s(uint64_t epoch, uint64_t part, uint64_t now_ms)
{
	uint64_t at = (epoch + SLOTS) * part;

	return at > now_ms ? (unsigned)((at - now_ms + 999) / 1000) : 1;
}

static unsigned
min_u(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

uint64_t
iam_window_sum(struct iam_window *w, const struct iam_limit *limit,
    uint64_t now_ms)
{
	uint64_t sum = 0;

	advance(w, now_ms / part_ms(limit));
	for (int i = 0; i < SLOTS; i++)
		sum += w->parts[i];
	return sum;
}

struct iam_room
iam_window_look(struct iam_window *w, const struct iam_limit *limit,
    uint64_t now_ms, uint32_t n)
{
	struct iam_room room = { .ok = true, .left = UINT32_MAX };
	uint64_t part = part_ms(limit), sum, over, freed = 0;

	if (limit->rate == 0)
		return room;
	sum = iam_window_sum(w, limit, now_ms);
	room.ok = sum + n <= limit->rate;
	room.left = room.ok ? (uint32_t)(limit->rate - sum - n) :
	    sum < limit->rate ? (uint32_t)(limit->rate - sum) : 0;
	over = room.ok ? 1 : sum + n - limit->rate;
	room.reset_s = room.retry_s = (limit->window_ms + 999) / 1000;
	for (uint64_t i = SLOTS; i-- > 0;) {
		uint64_t epoch = w->epoch >= i ? w->epoch - i : 0;

		if (w->parts[epoch % SLOTS] == 0)
			continue;
		if (freed == 0)
			room.reset_s = min_u(leaves_in_s(epoch, part, now_ms),
			    room.reset_s);
		freed += w->parts[epoch % SLOTS];
		if (freed >= over) {
			room.retry_s = leaves_in_s(epoch, part, now_ms);
			break;
		}
	}
	return room;
}

void
iam_window_take(struct iam_window *w, const struct iam_limit *limit,
    uint64_t now_ms, uint32_t n)
{
	if (limit->rate == 0)
		return;
	advance(w, now_ms / part_ms(limit));
	w->parts[w->epoch % SLOTS] += n;
}
