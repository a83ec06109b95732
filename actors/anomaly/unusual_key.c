/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Somebody uses a key that it never used, and that no scope of its names: the
 * keys that a scope names are expected from the first day, so this is about
 * scopes for all keys or for a label. Keys that it made are its own.
 */
#include "novelty.h"

#include "../rows.h"
#include "seed.h"

#include <stdio.h>
#include <string.h>

static bool
wants(const Ag__Event *event)
{
	return anomaly_is_allowed(event) && event->resource != NULL &&
	    event->resource->id != NULL && event->resource->type != NULL &&
	    strcmp(event->resource->type, "key") == 0;
}

static bool
look(void *row, const struct anomaly_limits *limits, const Ag__Event *event,
    struct anomaly_finding *out)
{
	const Ag__Resource *key = event->resource;
	uint32_t item = rows_hash(key->id, strlen(key->id)), count;

	out->same = true;
	if (anomaly_key(event) == NULL || (key->alias != NULL &&
	    !novelty_knows(row, item) &&
	    novelty_knows(row, rows_hash(key->alias, strlen(key->alias))))) {
		novelty_add(row, event->occurred_at, item);
		out->same = false;
		return false;
	}
	if (!novelty_see(row, limits, event, item, &count, out))
		return false;
	snprintf(out->summary, sizeof(out->summary),
	    "%s on key %.64s, which it never used", event->operation,
	    key->alias != NULL ? key->alias : key->id);
	anomaly_detail(out, "operation", "%s", event->operation);
	anomaly_detail(out, "key", "%s", key->id);
	if (key->alias != NULL)
		anomaly_detail(out, "alias", "%s", key->alias);
	anomaly_detail(out, "new_keys", "%u", count);
	return true;
}

static void
seed(void *row, const Ag__Event *event, const char *scope)
{
	struct seed s;

	if (seed_parse(scope, &s) && s.key_len > 0)
		novelty_add(row, event->occurred_at, rows_hash(s.key, s.key_len));
}

static void
learn(void *row, const struct anomaly_limits *limits, int64_t since_ms)
{
	novelty_learn(row, limits, since_ms);
}

const struct anomaly_detector anomaly_unusual_key = {
	.name = "unusual_key",
	.row_size = sizeof(struct novelty),
	.of_line = true,
	.wants = wants,
	.look = look,
	.seed = seed,
	.learn = learn,
};
