/* SPDX-License-Identifier: Apache-2.0 */
/*
 * counter: an actor of your own, in one file. It follows the audit log and
 * counts what each agent was refused; a line of log for each, and its counts
 * survive a restart together with its place in the log.
 *
 * Hears the audit log. Says nothing to anybody. Keeps a table.
 *
 *     make
 *     aegis actor enroll counter --role actor --out counter.actor
 *     ./counter counter.actor
 */
#include <aegis/aegis.h>

#include <stdio.h>
#include <string.h>

enum { TABLE_REFUSED };
static const char *const tables[] = { "refused", NULL };

struct counter {
	uint64_t refused; /* of all agents, since this start */
};

static uint64_t
count_one(struct ag_ctx *ctx, const char *agent)
{
	const uint8_t *value;
	uint64_t count = 0;
	size_t len;

	if (ag_store_get(ctx, TABLE_REFUSED, agent, strlen(agent), &value,
	    &len) == AG_OK && len == sizeof(count))
		memcpy(&count, value, sizeof(count));
	count++;
	if (ag_store_put(ctx, TABLE_REFUSED, agent, strlen(agent), &count,
	    sizeof(count)) != AG_OK)
		ag_log(ctx, AG_WARN, "COUNTER-STORE", "agent=%s", agent);
	return count;
}

/* In order, each at least once; an error would stop the cursor here. */
static ag_err
on_audit(void *state, struct ag_ctx *ctx, const Ag__Event *event, uint64_t pos)
{
	struct counter *counter = state;
	const Ag__EventActor *actor = event->actor;

	(void)pos;
	if (event->event_type != AG__EVENT_TYPE__V__request ||
	    event->outcome != AG__OUTCOME_KIND__V__denied || actor == NULL ||
	    actor->id == NULL || actor->kind != AG__KIND__V__agent)
		return AG_OK;
	counter->refused++;
	ag_log(ctx, AG_INFO, "REFUSED", "agent=%s operation=%s reason=%s count=%llu",
	    actor->id, event->operation,
	    event->reason_code != NULL ? event->reason_code : "-",
	    (unsigned long long)count_one(ctx, actor->id));
	return AG_OK;
}

static ag_err
init(void *state, struct ag_ctx *ctx)
{
	(void)state;
	(void)ctx;
	return AG_OK;
}

static const struct ag_actor counter = {
	.name = "counter",
	.state_size = sizeof(struct counter),
	.init = init,
	.on_audit = on_audit,
	.tables = tables,
};

int
main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: counter FILE (of aegis actor enroll)\n");
		return 2;
	}
	return ag_main_join(&counter, argv[1]);
}
