/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Somebody does what it never did: an operation at all, or an operation with a
 * key that it only did other things with (the first decrypt with a key that it
 * encrypts with). Operations that a scope names are expected, with the key that
 * it names. A key that it used for less than SETTLED_DAYS has no habits yet; and
 * whether it should use it at all is unusual_key's business.
 */
#include "novelty.h"

#include "../rows.h"
#include "seed.h"

#include <stdio.h>
#include <string.h>

enum { KEYS_MAX = 64, SETTLED_DAYS = 3 };

struct row {
	struct novelty operations;
	struct novelty pairs; /* operation and key */
	struct {
		uint32_t key;
		uint16_t first; /* day of its first use here */
		uint16_t last;
	} keys[KEYS_MAX]; /* the one not used for longest gives way */
};

static uint32_t
pair(uint32_t operation, uint32_t key)
{
	uint32_t both[2] = { operation, key };

	return rows_hash((const char *)both, sizeof(both));
}

/* Has it been using the key for some days? */
static bool
is_settled(struct row *row, uint32_t key, uint16_t day,
    struct anomaly_finding *out)
{
	unsigned slot = 0;

	for (unsigned i = 0; i < KEYS_MAX; i++) {
		if (row->keys[i].key == key) {
			out->same &= row->keys[i].last >= day;
			if (row->keys[i].last < day)
				row->keys[i].last = day;
			return day - row->keys[i].first >= SETTLED_DAYS;
		}
		if (row->keys[i].last < row->keys[slot].last)
			slot = i;
	}
	out->same = false;
	row->keys[slot].key = key;
	row->keys[slot].first = row->keys[slot].last = day;
	return false;
}

/* A scope names the key by its alias: what holds for that, holds for the id. */
static void
take_alias(struct row *row, const Ag__Event *event, uint32_t operation,
    uint32_t key, struct anomaly_finding *out)
{
	const char *alias = event->resource->alias;
	uint32_t named = alias == NULL ? 0 : rows_hash(alias, strlen(alias));

	if (named == 0 || novelty_knows(&row->pairs, pair(operation, key)) ||
	    !novelty_knows(&row->pairs, pair(operation, named)))
		return;
	novelty_add(&row->pairs, event->occurred_at, pair(operation, key));
	out->same = false;
}

static bool
look_at_pair(struct row *row, const struct anomaly_limits *limits,
    const Ag__Event *event, uint32_t operation, uint32_t *count,
    struct anomaly_finding *out)
{
	const char *id = anomaly_key(event);
	uint32_t key = id == NULL ? 0 : rows_hash(id, strlen(id));

	/* Only what is usual for it at all is asked about each key. */
	if (key == 0 || !novelty_knows(&row->operations, operation))
		return false;
	/* One history for both. */
	row->pairs.since_ms = row->operations.since_ms;
	row->pairs.events = row->operations.events;
	take_alias(row, event, operation, key, out);
	if (!is_settled(row, key, anomaly_day(event->occurred_at), out)) {
		out->same &= novelty_knows(&row->pairs, pair(operation, key));
		if (!out->same)
			novelty_add(&row->pairs, event->occurred_at,
			    pair(operation, key));
		return false;
	}
	return novelty_see(&row->pairs, limits, event, pair(operation, key),
	    count, out);
}

static bool
look(void *memory, const struct anomaly_limits *limits, const Ag__Event *event,
    struct anomaly_finding *out)
{
	struct row *row = memory;
	uint32_t operation = rows_hash(event->operation,
	    strlen(event->operation)), count = 0;
	const char *with;

	out->same = true;
	if (novelty_see(&row->operations, limits, event, operation, &count, out))
		with = "";
	else if (look_at_pair(row, limits, event, operation, &count, out))
		with = " with this key";
	else
		return false;
	snprintf(out->summary, sizeof(out->summary),
	    "%s, which it never did%s", event->operation, with);
	anomaly_detail(out, "operation", "%s", event->operation);
	if (anomaly_key(event) != NULL)
		anomaly_detail(out, "key", "%s", anomaly_key(event));
	anomaly_detail(out, "new_operations", "%u", count);
	return true;
}

static void
seed(void *memory, const Ag__Event *event, const char *scope)
{
	struct row *row = memory;
	const struct ag_operation *op;
	struct seed s;

	if (!seed_parse(scope, &s))
		return;
	for (unsigned i = 0; (op = ag_operation_at(i)) != NULL; i++) {
		uint32_t h = rows_hash(op->operation, strlen(op->operation));
		uint32_t key;

		if (!seed_allows(&s, op))
			continue;
		novelty_add(&row->operations, event->occurred_at, h);
		if (s.key_len == 0)
			continue;
		key = rows_hash(s.key, s.key_len);
		novelty_add(&row->pairs, event->occurred_at, pair(h, key));
	}
}

static void
learn(void *memory, const struct anomaly_limits *limits, int64_t since_ms)
{
	struct row *row = memory;

	novelty_learn(&row->operations, limits, since_ms);
	novelty_learn(&row->pairs, limits, since_ms);
}

const struct anomaly_detector anomaly_new_operation = {
	.name = "new_operation",
	.row_size = sizeof(struct row),
	.of_line = true,
	.wants = anomaly_is_allowed,
	.look = look,
	.seed = seed,
	.learn = learn,
};
