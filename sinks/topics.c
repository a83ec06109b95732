/* SPDX-License-Identifier: Apache-2.0 */
/*
 * topics: the audit log on a ZeroMQ PUB socket, for subscribers outside.
 * Topic audit.<tenant>.<operation>, then the Event's bytes. A slow subscriber
 * loses events: each has its number (seq of its tenant), so it sees the gap
 * and can fetch the range. A topic is a hint; the log is the truth.
 */
#include <aegis/aegis.h>
#include <aegis/event.h>

#include "engine.h"

#include <stdio.h>

enum { SUBSCRIBER_QUEUE_MAX = 10000 }; /* events waiting for one subscriber */

enum { PUBLISHED };
static const struct ag_metric_row metrics[] = {
	{ "topics_published_total", "Events published", AG_COUNTER },
};

struct topics {
	struct ag_topics *socket;
	bool wanted;
	bool looked; /* in this turn */
};

/* Nobody subscribed: nothing to pack. Looking is a system call, and a turn has
 * hundreds of events. */
static bool
is_wanted(void *state)
{
	struct topics *topics = state;

	if (!topics->looked)
		topics->wanted = ag_topics_wanted(topics->socket);
	topics->looked = true;
	return topics->wanted;
}

static ag_err
on_audit(void *state, struct ag_ctx *ctx, const Ag__Event *event, uint64_t pos)
{
	struct topics *topics = state;
	const char *topic;
	Ag__Event shown;
	uint8_t *bytes;
	size_t len;

	topic = ag_printf(ctx, "audit.%s.%s", event->tenant, event->operation);
	ag_event_shown(event, &shown);
	bytes = ag_pack(ctx, &shown, &len);
	if (topic == NULL || bytes == NULL)
		return AG_NO_MEMORY;
	ag_metric_add(ctx, PUBLISHED, 1);
	return ag_topics_publish(topics->socket, topic, bytes, len);
}

static ag_err
flush(void *state, struct ag_ctx *ctx)
{
	struct topics *topics = state;

	topics->looked = false;
	return AG_OK;
}

static ag_err
init(void *state, struct ag_ctx *ctx)
{
	struct topics *topics = state;
	char endpoint[512];
	int n = snprintf(endpoint, sizeof(endpoint), "ipc://%s/topics.sock",
	    ag_run_dir(ctx));

	if (n < 0 || (size_t)n >= sizeof(endpoint))
		return AG_IO;
	return ag_topics_open(endpoint, SUBSCRIBER_QUEUE_MAX, &topics->socket);
}

static void
fini(void *state, struct ag_ctx *ctx)
{
	struct topics *topics = state;

	if (topics->socket != NULL)
		ag_topics_close(&topics->socket);
}

const struct ag_actor ag_actor_topics = {
	.name = "topics",
	.state_size = sizeof(struct topics),
	.init = init,
	.on_audit = on_audit,
	.audit_wanted = is_wanted,
	.audit_pace_ms = 10,
	.flush = flush,
	.fini = fini,
	AG_METRICS(metrics),
};
