/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sinks: how far each sink is behind the log, and orders to them. What a sink
 * says of itself is in its block of run/metrics, which outlives it: so a dead
 * one is seen, too, and nobody has to be asked.
 */
#include "history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ORDER_MS = 1000 };

/* Sinks are the house's: they carry every tenant's events. */
static ag_err
house_only(struct ag_ctx *ctx)
{
	if (strcmp(ag_grant(ctx)->tenant, "default") == 0)
		return AG_OK;
	ag_refuse_rule(ctx, "scopes");
	return ag_refuse(ctx, AG_PERMISSION_DENIED, "scope_missing", NULL,
	    "Only the first tenant's people see and steer sinks.");
}

static uint64_t
value_of(const struct ag_metrics_block *block, const char *name)
{
	for (unsigned i = 0; block != NULL && i < block->count; i++)
		if (strcmp(block->metrics[i].name, name) == 0)
			return block->metrics[i].value;
	return 0;
}

/* "file.archive" is the sink archive of the kind file. Others (topics) have
 * no row in `sinks:` and no place in the log that counts. */
static const char *
sink_name(struct ag_ctx *ctx, unsigned slot)
{
	const char *dot = strchr(ag_slot_name(ctx, slot), '.');

	return dot == NULL ? NULL : dot + 1;
}

static const struct ag_metrics_block *
block_of_slot(struct ag_ctx *ctx, unsigned slot,
    const struct ag_metrics_block *blocks, size_t count)
{
	const char *name = ag_slot_name(ctx, slot);

	for (size_t i = 0; i < count; i++)
		if (strncmp(blocks[i].name, name, sizeof(blocks[i].name) - 1) == 0)
			return &blocks[i];
	return NULL;
}

/* A sink that is not there knew of nothing older than its last sign of life. */
static int64_t
lag_s(struct ag_ctx *ctx, const struct ag_metrics_block *block, bool alive)
{
	int64_t oldest = (int64_t)value_of(block, "sink_oldest_ms");
	int64_t now = ag_now_ms(ctx);

	if (oldest > 0)
		return now > oldest ? (now - oldest) / 1000 : 0;
	if (alive || block == NULL)
		return 0;
	return ((int64_t)ag_mono_ms(ctx) - (int64_t)block->beat_ms) / 1000;
}

static Ag__Sink *
describe(struct history *h, struct ag_ctx *ctx, unsigned slot,
    const struct ag_metrics_block *block)
{
	bool alive = ag_slot_up(ctx, slot) && block != NULL &&
	    ag_metrics_alive(block);
	const char *full = ag_slot_name(ctx, slot);
	Ag__Sink *sink = ag_alloc(ctx, sizeof(*sink));

	if (sink == NULL)
		return NULL;
	ag__sink__init(sink);
	sink->name = (char *)sink_name(ctx, slot);
	sink->kind = ag_printf(ctx, "%.*s", (int)strcspn(full, "."), full);
	sink->state = (char *)(!alive ? "down" :
	    value_of(block, "sink_paused") ? "paused" :
	    value_of(block, "sink_failing") ? "retrying" : "running");
	sink->cursor = value_of(block, "sink_cursor");
	if (sink->cursor > 0 && h->head >= sink->cursor) {
		sink->lag_events = h->head - sink->cursor + 1;
		sink->lag_s = lag_s(ctx, block, alive);
	}
	sink->sent = value_of(block, "sink_sent_total");
	sink->filtered = value_of(block, "sink_filtered_total");
	sink->retries = value_of(block, "sink_retries_total");
	sink->redelivered = value_of(block, "sink_redelivered_total");
	sink->dead_letters = value_of(block, "sink_dead_letters");
	if (block != NULL && block->error[0] != '\0') {
		sink->last_error = ag_strdup(ctx, block->error);
		sink->has_last_error_at = true;
		sink->last_error_at = (int64_t)block->error_at_ms;
	}
	return sink->kind == NULL ? NULL : sink;
}

/* The slot of the sink with this name, or AG_SLOT_NONE. */
static unsigned
slot_of(struct ag_ctx *ctx, const char *name)
{
	unsigned n = ag_slot_count(ctx, AG_ROLE_SINK);

	for (unsigned i = 0; name != NULL && i < n; i++) {
		unsigned slot = ag_slot(ctx, AG_ROLE_SINK, i);
		const char *its = slot == AG_SLOT_NONE ? NULL :
		    sink_name(ctx, slot);

		if (its != NULL && strcmp(its, name) == 0)
			return slot;
	}
	return AG_SLOT_NONE;
}

/* --------------------------------------------------------------- questions */

/* A page from the sink at that place on, in the order of `sinks:`. */
static ag_err
gather(struct history *h, struct ag_ctx *ctx,
    const struct ag_metrics_block *blocks, size_t count,
    const struct ag_page *page, Ag__SinkListReply *reply)
{
	unsigned n = ag_slot_count(ctx, AG_ROLE_SINK);
	uint64_t place = cursor_place(page);

	reply->items = ag_alloc(ctx, (n + 1) * sizeof(*reply->items));
	if (reply->items == NULL)
		return AG_NO_MEMORY;
	for (unsigned i = place < n ? (unsigned)place : n; i < n; i++) {
		unsigned slot = ag_slot(ctx, AG_ROLE_SINK, i);
		Ag__Sink *sink;

		if (slot == AG_SLOT_NONE || sink_name(ctx, slot) == NULL)
			continue;
		if (reply->n_items == page->limit) {
			reply->next_cursor = cursor_make(ctx, page, i);
			return reply->next_cursor == NULL ? AG_NO_MEMORY : AG_OK;
		}
		sink = describe(h, ctx, slot, block_of_slot(ctx, slot, blocks,
		    count));
		if (sink == NULL)
			return AG_NO_MEMORY;
		reply->items[reply->n_items++] = sink;
	}
	return AG_OK;
}

static ag_err
on_list_head(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	Ag__SinkListReply reply = AG__SINK_LIST_REPLY__INIT;
	struct ag_metrics_block *blocks = NULL;
	struct history *h = state;
	size_t count = 0;
	ag_err err = status;

	(void)msg;
	if (err == AG_OK)
		err = ag_metrics_read(ag_run_dir(ctx), &blocks, &count);
	if (err == AG_OK)
		err = gather(h, ctx, blocks, count, memo, &reply);
	free(blocks);
	reply.head = h->head;
	return err != AG_OK ? err : ag_reply(ctx, AG_MSG_SINK_LIST, &reply);
}

ag_err
on_sink_list(void *state, struct ag_ctx *ctx, const void *msg)
{
	struct ag_page page;
	ag_err err = house_only(ctx);

	if (err == AG_OK)
		err = ag_page_read(ctx, msg, &page);
	return err != AG_OK ? err :
	    head_ask(state, ctx, on_list_head, &page, sizeof(page));
}

static ag_err
on_read_head(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct ag_metrics_block *blocks = NULL;
	unsigned slot = *(const unsigned *)memo;
	Ag__Sink *sink = NULL;
	size_t count = 0;
	ag_err err = status;

	(void)msg;
	if (err == AG_OK)
		err = ag_metrics_read(ag_run_dir(ctx), &blocks, &count);
	if (err == AG_OK)
		sink = describe(state, ctx, slot, block_of_slot(ctx, slot, blocks,
		    count));
	free(blocks);
	if (err == AG_OK && sink == NULL)
		err = AG_NO_MEMORY;
	return err != AG_OK ? err : ag_reply(ctx, ag_type(ctx), sink);
}

static ag_err
find(struct ag_ctx *ctx, unsigned *slot)
{
	ag_err err = house_only(ctx);

	if (err != AG_OK)
		return err;
	*slot = slot_of(ctx, ag_grant(ctx)->resource_id);
	return *slot != AG_SLOT_NONE ? AG_OK : ag_refuse(ctx,
	    AG_ITEM_NOT_FOUND, NULL, NULL, "There is no such sink.");
}

ag_err
on_sink_read(void *state, struct ag_ctx *ctx, const void *msg)
{
	unsigned slot;
	ag_err err = find(ctx, &slot);

	(void)msg;
	return err != AG_OK ? err : head_ask(state, ctx, on_read_head, &slot,
	    sizeof(slot));
}

/* ------------------------------------------------------------------ orders */

static ag_err
on_ordered(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	(void)msg;
	if (status == AG_NOBODY || status == AG_TIMEOUT)
		return ag_refuse(ctx, AG_UNAVAILABLE, "starting", NULL,
		    "The sink is not there now.");
	if (status != AG_OK)
		return status;
	return head_ask(state, ctx, on_read_head, memo, sizeof(unsigned));
}

/* Pause, resume, redeliver: the sink does it, and keeps it, before it answers. */
ag_err
on_sink_order(void *state, struct ag_ctx *ctx, const void *msg)
{
	Ag__SinkOrderAsk ask = AG__SINK_ORDER_ASK__INIT;
	unsigned slot;
	ag_err err = find(ctx, &slot);

	(void)state;
	(void)msg;
	if (err != AG_OK)
		return err;
	ask.op = ag_type(ctx);
	err = ag_ask(ctx, slot, AG_MSG_SINK_ORDER_ASK, &ask, AG_MSG_DONE_REPLY,
	    ORDER_MS, on_ordered, &slot, sizeof(slot));
	return err != AG_NOBODY ? err : ag_refuse(ctx, AG_UNAVAILABLE,
	    "starting", NULL, "The sink is not there now.");
}
