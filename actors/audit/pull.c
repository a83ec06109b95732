/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pull: hands recorded events to who asks, from the segments' page cache; each
 * asker has a reader of its own that stays where it was. Pokes who has read
 * all and waits: detectors at once, the others a little later, together.
 */
#include "audit.h"

#include <string.h>

/*
 * What an asker could do nothing with is not sent to it: iam counts what agents
 * do, and an agent's event has its id in it.
 */
static bool
is_wanted(struct ag_ctx *ctx, unsigned slot, const struct ag_seg_record *record)
{
	return ag_slot_role(ctx, slot) != AG_ROLE_IAM ||
	    memmem(record->body, record->body_len, "agt_", 4) != NULL;
}

/* Brings the asker's reader to `pos`. */
static ag_err
reader_at(struct audit *a, unsigned slot, uint64_t pos, struct ag_segs **out)
{
	struct ag_segs **reader = &a->pullers[slot];
	uint64_t segment, offset, at = 0;
	struct ag_seg_record record;
	ag_err err;

	if (*reader == NULL && (err = ag_segs_open(a->dir, reader)) != AG_OK)
		return err;
	ag_segs_where(*reader, &segment, &offset, &at);
	if (segment == 0 || at > pos || pos - at > PULL_ITEMS_MAX) {
		/* From the head of its segment: at most one file of frames. */
		if ((err = ag_segs_find(*reader, pos)) != AG_OK)
			return err;
		ag_segs_where(*reader, &segment, &offset, &at);
	}
	for (; at < pos; at = record.kind == AG_SEG_EVENT ? record.pos + 1 : at) {
		if ((err = ag_segs_next(*reader, &record)) != AG_OK)
			return err;
	}
	*out = *reader;
	return AG_OK;
}

static ag_err
gather(struct audit *a, struct ag_ctx *ctx, unsigned slot, uint64_t pos,
    uint32_t max, Ag__AuditPullReply *reply)
{
	struct ag_seg_record record;
	struct ag_segs *reader;
	Ag__AuditItem *items;
	size_t bytes = 0, looked = 0;
	ag_err err;

	if (max > PULL_ITEMS_MAX)
		max = PULL_ITEMS_MAX;
	reply->items = ag_alloc(ctx, max * sizeof(*reply->items));
	items = ag_alloc(ctx, max * sizeof(*items));
	if (reply->items == NULL || items == NULL)
		return AG_NO_MEMORY;
	if ((err = reader_at(a, slot, pos, &reader)) != AG_OK)
		return err;
	while (pos <= a->head_pos && looked < max &&
	    bytes < PULL_BYTES_MAX) {
		Ag__AuditItem *item = &items[reply->n_items];

		if ((err = ag_segs_next(reader, &record)) != AG_OK)
			return err;
		if (record.kind != AG_SEG_EVENT)
			continue;
		looked++;
		pos = record.pos + 1; /* what was asked for may be cut off */
		if (!is_wanted(ctx, slot, &record))
			continue;
		ag__audit_item__init(item);
		item->pos = record.pos;
		item->event.data = (uint8_t *)record.body;
		item->event.len = record.body_len;
		reply->items[reply->n_items++] = item;
		bytes += record.body_len;
	}
	reply->next_pos = pos;
	return AG_OK;
}

ag_err
on_audit_pull(void *state, struct ag_ctx *ctx, const void *msg)
{
	struct audit *a = state;
	const Ag__AuditPullAsk *ask = msg;
	Ag__AuditPullReply reply = AG__AUDIT_PULL_REPLY__INIT;
	unsigned slot = ag_from(ctx);
	uint64_t pos = ask->from_pos == 0 ? 1 : ask->from_pos;
	ag_err err;

	if (slot >= AG_SLOTS_MAX)
		return AG_BAD_MESSAGE;
	reply.next_pos = pos;
	reply.head_pos = a->head_pos;
	reply.has_first_pos = a->first_pos > 1;
	reply.first_pos = a->first_pos;
	if (pos <= a->head_pos && ask->max > 0) {
		err = gather(a, ctx, slot, pos, ask->max, &reply);
		if (err != AG_OK) {
			ag_segs_close(&a->pullers[slot]);
			return ag_refuse(ctx, err == AG_NO_MEMORY ? err : AG_CORRUPT,
			    NULL, NULL, "the log cannot be read");
		}
	}
	a->waiting[slot] = reply.next_pos > a->head_pos;
	return ag_reply(ctx, AG_MSG_AUDIT_PULL_REPLY, &reply);
}

ag_err
on_audit_marks(void *state, struct ag_ctx *ctx, const void *msg)
{
	struct audit *a = state;
	Ag__AuditMarksReply reply = AG__AUDIT_MARKS_REPLY__INIT;
	Ag__AuditMark *marks;

	(void)msg;
	marks = ag_alloc(ctx, (a->mark_count + 1) * sizeof(*marks));
	reply.marks = ag_alloc(ctx, (a->mark_count + 1) * sizeof(*reply.marks));
	if (marks == NULL || reply.marks == NULL)
		return AG_NO_MEMORY;
	for (unsigned i = 0; i < a->mark_count; i++) {
		ag__audit_mark__init(&marks[i]);
		marks[i].author = a->marks[i].author;
		marks[i].journal_seq = a->marks[i].journal_seq;
		reply.marks[reply.n_marks++] = &marks[i];
	}
	return ag_reply(ctx, AG_MSG_AUDIT_MARKS_REPLY, &reply);
}

static void
poke(struct audit *a, struct ag_ctx *ctx, bool urgent_only)
{
	Ag__AuditPokeEvent event = AG__AUDIT_POKE_EVENT__INIT;

	event.head_pos = a->head_pos;
	for (unsigned slot = 0; slot < AG_SLOTS_MAX; slot++) {
		if (!a->waiting[slot])
			continue;
		if (urgent_only && ag_slot_role(ctx, slot) != AG_ROLE_ANOMALY) {
			a->poke_planned = true;
			continue;
		}
		a->waiting[slot] = false;
		if (ag_send(ctx, slot, AG_MSG_AUDIT_POKE_EVENT, &event) == AG_OK)
			ag_metric_add(ctx, M_POKES, 1);
	}
}

static ag_err
poke_later(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct audit *a = state;

	(void)status;
	(void)msg;
	(void)memo;
	a->poke_planned = false;
	poke(a, ctx, false);
	return AG_OK;
}

/* After a sync that made new events durable. */
void
pull_poke(struct audit *a, struct ag_ctx *ctx)
{
	bool planned = a->poke_planned;

	poke(a, ctx, true);
	if (!a->poke_planned || planned)
		return;
	if (ag_after(ctx, POKE_DELAY_MS, poke_later, NULL, 0) != AG_PENDING)
		poke_later(a, ctx, AG_OK, NULL, NULL);
}

void
pull_forget(struct audit *a, uint64_t first)
{
	uint64_t segment, offset, pos;

	for (unsigned slot = 0; slot < AG_SLOTS_MAX; slot++) {
		if (a->pullers[slot] == NULL)
			continue;
		ag_segs_where(a->pullers[slot], &segment, &offset, &pos);
		if (segment < first)
			ag_segs_close(&a->pullers[slot]);
	}
}

void
pull_fini(struct audit *a)
{
	for (unsigned slot = 0; slot < AG_SLOTS_MAX; slot++)
		ag_segs_close(&a->pullers[slot]);
}
