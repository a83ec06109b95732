/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seen: exactly one outcome per request, at most one late one; and what never
 * had any. Keyed on the plane's boot (random, 64 bits) and its own n.
 */
#include "audit.h"

#include <stdlib.h>
#include <string.h>

static enum seen_state
get(const struct boot *b, uint64_t n)
{
	uint64_t i = n & (SEEN_WINDOW - 1);

	return b->bits[i / 4] >> 2 * (i % 4) & 3;
}

static void
put(struct boot *b, uint64_t n, enum seen_state state)
{
	uint64_t i = n & (SEEN_WINDOW - 1);
	unsigned shift = 2 * (i % 4);

	b->bits[i / 4] = (uint8_t)((b->bits[i / 4] & ~(3u << shift)) |
	    (unsigned)state << shift);
}

struct boot *
seen_boot(struct audit *a, uint64_t boot, unsigned slot)
{
	struct boot *oldest = &a->boots[0];
	uint8_t *bits;

	if (boot == 0)
		return NULL;
	for (unsigned i = 0; i < BOOTS_MAX; i++) {
		struct boot *b = &a->boots[i];

		if (b->boot == boot) {
			if (b->slot == AG_SLOT_NONE)
				b->slot = slot;
			b->used = a->ticks;
			return b;
		}
		if (b->boot == 0 || (oldest->boot != 0 && b->used < oldest->used))
			oldest = b;
	}
	bits = oldest->bits;
	if (bits == NULL && (bits = malloc(SEEN_WINDOW / 4)) == NULL)
		return NULL;
	memset(bits, 0, SEEN_WINDOW / 4);
	memset(oldest, 0, sizeof(*oldest));
	oldest->boot = boot;
	oldest->slot = slot;
	oldest->low = 1;
	oldest->bits = bits;
	oldest->used = a->ticks;
	return oldest;
}

/* Makes n the highest: forgets what falls out of the window. */
static uint64_t
advance(struct boot *b, uint64_t n)
{
	uint64_t skipped = 0, bottom;

	if (n - b->high >= SEEN_WINDOW) {
		/* Many were lost at once (audit was away): not one event each. */
		skipped = n - b->low;
		memset(b->bits, 0, SEEN_WINDOW / 4);
		b->low = n;
		b->high = n;
		return skipped;
	}
	bottom = n >= SEEN_WINDOW ? n - SEEN_WINDOW + 1 : 1;
	for (; b->low < bottom; b->low++)
		skipped += get(b, b->low) == STATE_NONE;
	while (b->high < n)
		put(b, ++b->high, STATE_NONE);
	return skipped;
}

enum seen
seen_look(struct audit *a, struct boot *b, uint64_t n, uint64_t *skipped)
{
	*skipped = 0;
	if (n == 0 || n == UINT64_MAX) /* low has to be able to pass it */
		return SEEN_STRANGE;
	if (n > b->high)
		*skipped = advance(b, n);
	if (b->high >= SEEN_WINDOW && n <= b->high - SEEN_WINDOW)
		return SEEN_AGAIN;
	switch (get(b, n)) {
	case STATE_NONE:
		/* Below low and unmarked: restored from a state record. */
		return n < b->low ? SEEN_AGAIN : SEEN_NEW;
	case STATE_OPEN:
		return SEEN_LATE;
	case STATE_FINAL:
	case STATE_LATE:
		break;
	}
	return SEEN_AGAIN;
}

void
seen_set(struct boot *b, uint64_t n, enum seen_state state)
{
	put(b, n, state);
	while (b->low <= b->high && get(b, b->low) != STATE_NONE)
		b->low++;
}

void
seen_restore(struct audit *a, const Ag__Event *event)
{
	enum seen_state state = STATE_FINAL;
	enum seen before;
	uint64_t skipped;
	struct boot *b;

	if (event->author != NULL && event->has_journal_seq)
		seen_mark(a, event->author, event->has_journal_prev ?
		    event->journal_prev : 0, event->journal_seq);
	if (event->event_type == AG__EVENT_TYPE__V__detection ||
	    event->event_type == AG__EVENT_TYPE__V__lifecycle ||
	    event->event_type == AG__EVENT_TYPE__V__response)
		seen_give(a, event->event_id);
	if (!event->has_plane_boot || !event->has_plane_n)
		return;
	b = seen_boot(a, event->plane_boot, AG_SLOT_NONE);
	if (b == NULL)
		return;
	if (event->event_type == AG__EVENT_TYPE__V__outcome_late)
		state = STATE_LATE;
	else if (event->outcome == AG__OUTCOME_KIND__V__unknown)
		state = STATE_OPEN;
	before = seen_look(a, b, event->plane_n, &skipped);
	if (before != SEEN_AGAIN && before != SEEN_STRANGE)
		seen_set(b, event->plane_n, state);
}

/* ------------------------------------------------------------------- gaps */

static ag_err
unaccounted(struct audit *a, struct ag_ctx *ctx, struct boot *b, uint64_t n)
{
	Ag__Event event;
	char id[AG_ID_SIZE];
	ag_err err;

	event_own(ctx, &event, id, AG__EVENT_TYPE__V__unaccounted,
	    "system.unaccounted");
	event.plane = (char *)event_plane(ctx, b->slot);
	event.has_plane_boot = event.has_plane_n = true;
	event.plane_boot = b->boot;
	event.plane_n = n;
	if ((err = chain_append(a, ctx, &event)) != AG_OK)
		return err;
	ag_metric_add(ctx, M_UNACCOUNTED, 1);
	return AG_OK;
}

/* Of all planes, and of what takes longest (AG_OP_SLOW). */
void
seen_init(struct audit *a, struct ag_ctx *ctx)
{
	static const char *const paths[] = { "rest.deadline_ms",
		"mcp.deadline_ms", "agent.deadline_ms" };
	uint64_t longest = AG_DEADLINE_MS;

	for (unsigned i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		uint64_t ms = (uint64_t)ag_config_int(ctx, paths[i]);

		if (ms > longest)
			longest = ms;
	}
	a->gap_ms = 2 * longest * AG_SLOW_FACTOR;
}

/* The highest n that was there gap_ms ago. */
static uint64_t
high_then(const struct boot *b, uint64_t now_ms, uint64_t gap_ms)
{
	uint64_t high = 0;

	for (unsigned i = 0; i < GAP_TICKS; i++) {
		if (b->ticks[i].at_ms != 0 && b->ticks[i].at_ms + gap_ms <= now_ms &&
		    b->ticks[i].high > high)
			high = b->ticks[i].high;
	}
	return high;
}

/* As often as that the oldest is older than a gap when it is overwritten. */
static void
note_high(struct boot *b, uint64_t now_ms, uint64_t gap_ms)
{
	unsigned last = (b->tick_next + GAP_TICKS - 1) % GAP_TICKS;

	if (now_ms < b->ticks[last].at_ms + gap_ms / (GAP_TICKS - 2))
		return;
	b->ticks[b->tick_next].at_ms = now_ms;
	b->ticks[b->tick_next].high = b->high;
	b->tick_next = (b->tick_next + 1) % GAP_TICKS;
}

/* Once a second. */
void
seen_tick(struct audit *a, struct ag_ctx *ctx)
{
	uint64_t now_ms = ag_mono_ms(ctx);

	a->ticks++;
	for (unsigned i = 0; i < BOOTS_MAX; i++) {
		struct boot *b = &a->boots[i];
		uint64_t high;
		unsigned budget = 1000; /* the rest a second later */

		if (b->boot == 0)
			continue;
		high = high_then(b, now_ms, a->gap_ms);
		for (; b->low <= high && budget > 0; b->low++) {
			if (get(b, b->low) != STATE_NONE)
				continue;
			if (unaccounted(a, ctx, b, b->low) != AG_OK)
				return;
			put(b, b->low, STATE_OPEN);
			budget--;
		}
		note_high(b, now_ms, a->gap_ms);
	}
}

/* ----------------------------------------------------- given ids and marks */

static uint64_t
given_hash(const char *event_id)
{
	uint8_t digest[AG_HASH_BYTES];
	uint64_t h;

	ag_sha256(event_id, strlen(event_id), digest);
	memcpy(&h, digest, sizeof(h));
	return h | 1; /* 0 is a free entry */
}

bool
seen_given(struct audit *a, const char *event_id)
{
	uint64_t h = given_hash(event_id);

	for (unsigned i = 0; i < GIVEN_MAX; i++) {
		if (a->given[i] == h)
			return true;
	}
	return false;
}

void
seen_give(struct audit *a, const char *event_id)
{
	a->given[a->given_next] = given_hash(event_id);
	a->given_next = (a->given_next + 1) % GIVEN_MAX;
}

static struct mark *
mark_of(struct audit *a, const char *author)
{
	for (unsigned i = 0; i < a->mark_count; i++) {
		if (strcmp(a->marks[i].author, author) == 0)
			return &a->marks[i];
	}
	return NULL;
}

/* The mark moves on over what came before its predecessor did. */
static void
mark_join(struct mark *m)
{
	uint64_t before;

	do {
		before = m->journal_seq;
		for (unsigned i = 0; i < MARK_AHEAD_MAX; i++) {
			struct ahead *ahead = &m->ahead[i];

			if (ahead->seq == 0 || ahead->prev > m->journal_seq)
				continue;
			if (ahead->seq > m->journal_seq)
				m->journal_seq = ahead->seq;
			ahead->seq = 0;
		}
	} while (m->journal_seq != before);
}

static void
mark_ahead(struct mark *m, uint64_t prev, uint64_t seq)
{
	struct ahead *room = NULL;

	for (unsigned i = 0; i < MARK_AHEAD_MAX; i++) {
		if (m->ahead[i].seq == seq)
			return;
		if (m->ahead[i].seq == 0)
			room = &m->ahead[i];
	}
	if (room != NULL)
		*room = (struct ahead){ prev, seq };
}

/*
 * All up to the mark is recorded, without a gap: `prev` is the author's change
 * before this one. What does not fit ahead of a gap is no loss: the author
 * sees the mark stand still and delivers again from there.
 */
void
seen_mark(struct audit *a, const char *author, uint64_t prev,
    uint64_t journal_seq)
{
	struct mark *m = mark_of(a, author);

	if (m == NULL) {
		if (a->mark_count == AG_SLOTS_MAX || strlen(author) > AG_NAME_MAX)
			return;
		m = &a->marks[a->mark_count++];
		strcpy(m->author, author);
	}
	if (prev <= m->journal_seq) {
		if (m->journal_seq < journal_seq)
			m->journal_seq = journal_seq;
		mark_join(m);
		return;
	}
	mark_ahead(m, prev, journal_seq);
}

bool
seen_marked(struct audit *a, const char *author, uint64_t journal_seq)
{
	const struct mark *m = mark_of(a, author);

	return m != NULL && journal_seq <= m->journal_seq;
}
