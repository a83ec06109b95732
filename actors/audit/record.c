/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record: what becomes of an outcome that is believed: one event of the request,
 * a late one, none because it was here before; and the answer to its plane.
 */
#include "audit.h"

#include <string.h>

/* -------------------------------------------------------------- delivering */

static void
deliver_to(struct ag_ctx *ctx, unsigned slot, const Ag__DeliverEvent *event)
{
	if (ag_slot_role(ctx, slot) != AG_ROLE_PLANE || !ag_slot_up(ctx, slot))
		return;
	if (ag_send(ctx, slot, AG_MSG_DELIVER_EVENT, event) != AG_OK)
		ag_log(ctx, AG_WARN, "AUDIT-UNDELIVERED", "n=%llu",
		    (unsigned long long)event->n);
}

static void
deliver(struct ag_ctx *ctx, const Ag__OutcomeEvent *o, const Ag__Grant *g,
    const struct boot *b, const Ag__Event *e)
{
	Ag__DeliverEvent event = AG__DELIVER_EVENT__INIT;

	event.n = e->plane_n;
	event.boot = e->plane_boot;
	event.status = e->status;
	event.event_id = e->event_id;
	event.refusal = o->refusal;
	if (o->refusal == NULL) {
		event.has_reply_type = o->has_reply_type;
		event.reply_type = o->reply_type;
		event.has_reply = o->has_reply;
		event.reply = o->reply;
		event.has_sealed = o->has_sealed;
		event.sealed = o->sealed;
		event.has_replayed = o->has_replayed;
		event.replayed = o->replayed;
	}
	for (size_t i = 0; i < o->n_params; i++)
		if (strcmp(o->params[i]->key, "provenance") == 0)
			event.provenance = o->params[i]->value;
	if (g != NULL) {
		event.rate = g->rate;
		event.n_rate = g->n_rate;
		event.has_under_way = g->has_under_way;
		event.under_way = g->under_way;
	}
	if (b->slot != AG_SLOT_NONE) {
		deliver_to(ctx, b->slot, &event);
		return;
	}
	/* iam refused it before it vouched for anything, and this boot has said
	 * nothing yet: every plane looks whether the boot is its own. */
	for (unsigned i = 0; i < ag_slot_count(ctx, AG_ROLE_PLANE); i++)
		deliver_to(ctx, ag_slot(ctx, AG_ROLE_PLANE, i), &event);
}

/* --------------------------------------------------------------- recording */

/* Only who writes to the journal has changes to deliver again. */
bool
record_is_redelivered(struct ag_ctx *ctx, const Ag__OutcomeEvent *o)
{
	return o->has_redelivered && o->redelivered && o->has_journal_seq &&
	    ag_route_allowed(ag_from_role(ctx), AG_ROLE_JOURNAL,
	        AG_GROUP_JOURNAL);
}

ag_err
record_append(struct audit *a, struct ag_ctx *ctx, Ag__Event *e)
{
	ag_err err = chain_append(a, ctx, e);

	if (err != AG_OK) {
		/* Not recorded, so not answered: the plane's deadline says 503.
		 * AG_FULL is the disk's; who names no tenant fills nothing. */
		a->full = a->full || err == AG_FULL;
		ag_metric_add(ctx, err == AG_BAD_MESSAGE ? M_REFUSED : M_FULL, 1);
		return err;
	}
	if (e->author != NULL && e->has_journal_seq)
		seen_mark(a, e->author, e->has_journal_prev ? e->journal_prev : 0,
		    e->journal_seq);
	return AG_OK;
}

static void
say_skipped(struct audit *a, struct ag_ctx *ctx, const struct boot *b,
    uint64_t skipped)
{
	Ag__Event e;
	char id[AG_ID_SIZE];

	event_own(ctx, &e, id, AG__EVENT_TYPE__V__unaccounted,
	    "system.unaccounted");
	e.plane = (char *)event_plane(ctx, b->slot);
	e.has_suppressed = true;
	e.suppressed = skipped;
	if (record_append(a, ctx, &e) == AG_OK)
		ag_metric_add(ctx, M_UNACCOUNTED, skipped);
}

/* A change, or a call of somebody's tool, is there whoever hears of it. */
static bool
has_effect(struct ag_ctx *ctx, const Ag__OutcomeEvent *o)
{
	return o->has_journal_seq || (ag_from_role(ctx) == AG_ROLE_GATEWAY &&
	    o->outcome != AG__OUTCOME_KIND__V__denied);
}

/*
 * A plane used this number before, or it is none, or another plane's: then
 * nobody is answered. But what iam vouched for was done, and a plane that spoils
 * its numbers must not keep it out of the log.
 */
static ag_err
record_unnumbered(struct audit *a, struct ag_ctx *ctx,
    const Ag__OutcomeEvent *o, const Ag__Grant *g)
{
	char id[AG_ID_SIZE];
	Ag__Event e;
	ag_err err = event_build(ctx, o, g, g->plane, ag_from(ctx), &e);

	if (err != AG_OK)
		return err;
	ag_id_from_uuid("evt", g->request_id.data, id);
	e.event_type = AG__EVENT_TYPE__V__outcome_late;
	e.cause_event_id = ag_strdup(ctx, id);
	e.has_plane_boot = e.has_plane_n = false;
	ag_id_new(ctx, "evt", id);
	e.event_id = id;
	ag_metric_add(ctx, M_LATE, 1);
	ag_log(ctx, AG_WARN, "AUDIT-NUMBER", "plane=%s operation=%s",
	    ag_slot_name(ctx, g->plane), e.operation);
	return record_append(a, ctx, &e);
}

/* The number was here before. What is told again from the journal has been, too:
 * that a number was used for something else does not show then. */
static ag_err
drop_again(struct audit *a, struct ag_ctx *ctx, const Ag__OutcomeEvent *o,
    const Ag__Grant *g)
{
	if (g != NULL && has_effect(ctx, o) && !record_is_redelivered(ctx, o))
		return record_unnumbered(a, ctx, o, g);
	ag_metric_add(ctx, M_DUPLICATES, 1);
	return AG_OK;
}

/* It is no number, or another plane's: no honest plane says so, now or again. */
static ag_err
record_strange(struct audit *a, struct ag_ctx *ctx, const Ag__OutcomeEvent *o,
    const Ag__Grant *g)
{
	if (g == NULL)
		return ag_refuse(ctx, AG_BAD_MESSAGE, NULL, NULL,
		    "this number is none, or another plane's");
	if (has_effect(ctx, o))
		return record_unnumbered(a, ctx, o, g);
	ag_metric_add(ctx, M_DUPLICATES, 1);
	return AG_OK;
}

/* The outcome of a request: the first, one late one, or one too many. */
static ag_err
record_request(struct audit *a, struct ag_ctx *ctx, const Ag__OutcomeEvent *o,
    const Ag__Grant *g, unsigned plane)
{
	uint64_t boot = g != NULL ? g->boot : o->request->boot;
	uint64_t n = g != NULL ? g->n : o->request->n, skipped;
	struct boot *b = seen_boot(a, boot, plane);
	char id[AG_ID_SIZE];
	enum seen seen;
	Ag__Event e;
	ag_err err;

	if (b == NULL || (plane != AG_SLOT_NONE && b->slot != plane))
		return record_strange(a, ctx, o, g);
	seen = seen_look(a, b, n, &skipped);
	if (skipped > 0)
		say_skipped(a, ctx, b, skipped);
	if (seen == SEEN_STRANGE)
		return record_strange(a, ctx, o, g);
	if (seen == SEEN_AGAIN || (seen == SEEN_LATE &&
	    o->outcome == AG__OUTCOME_KIND__V__unknown))
		return drop_again(a, ctx, o, g);
	if ((err = event_build(ctx, o, g, b->slot, ag_from(ctx), &e)) != AG_OK)
		return err;
	ag_id_from_uuid("evt", g != NULL ? g->request_id.data :
	    o->request->request_id.data, id);
	if (seen == SEEN_LATE) {
		e.event_type = AG__EVENT_TYPE__V__outcome_late;
		e.cause_event_id = ag_strdup(ctx, id);
		ag_id_new(ctx, "evt", id);
	}
	e.event_id = id;
	if ((err = record_append(a, ctx, &e)) != AG_OK)
		return err;
	seen_set(b, n, seen == SEEN_LATE ? STATE_LATE :
	    o->outcome == AG__OUTCOME_KIND__V__unknown ? STATE_OPEN : STATE_FINAL);
	if (seen == SEEN_LATE)
		ag_metric_add(ctx, M_LATE, 1);
	else if (!(o->has_redelivered && o->redelivered))
		deliver(ctx, o, g, b, &e);
	return AG_OK;
}

static ag_err
record_other(struct audit *a, struct ag_ctx *ctx, const Ag__OutcomeEvent *o,
    const Ag__Grant *g)
{
	unsigned plane = ag_from_role(ctx) == AG_ROLE_PLANE ? ag_from(ctx) :
	    AG_SLOT_NONE;
	char id[AG_ID_SIZE];
	Ag__Event e;
	ag_err err;

	if (o->event_id != NULL && !ag_id_valid(o->event_id, "evt"))
		return AG_BAD_MESSAGE;
	if (o->event_id != NULL && seen_given(a, o->event_id)) {
		ag_metric_add(ctx, M_DUPLICATES, 1);
		return AG_OK;
	}
	if ((err = event_build(ctx, o, g, plane, ag_from(ctx), &e)) != AG_OK)
		return err;
	if (plane != AG_SLOT_NONE)
		e.tenant = (char *)"system"; /* a plane speaks for no tenant */
	e.has_plane_boot = e.has_plane_n = false; /* it is no request's outcome */
	ag_id_new(ctx, "evt", id);
	e.event_id = o->event_id != NULL ? o->event_id : id;
	if ((err = record_append(a, ctx, &e)) != AG_OK)
		return err;
	if (o->event_id != NULL)
		seen_give(a, o->event_id);
	return AG_OK;
}

void
record_give_up(struct audit *a, struct ag_ctx *ctx, const Ag__OutcomeEvent *o,
    ag_err err)
{
	const char *author = ag_slot_name(ctx, ag_from(ctx));

	ag_log(ctx, AG_ERROR, "AUDIT-UNRECORDABLE",
	    "author=%s journal_seq=%llu error=%s", author,
	    (unsigned long long)o->journal_seq, ag_err_row(err)->name);
	seen_mark(a, author, o->has_journal_prev ? o->journal_prev : 0,
	    o->journal_seq);
}

/*
 * A change that is delivered again. It may have been here before the crash; and
 * what cannot be recorded at all must not keep its author's mark for ever. Want
 * of room is another matter: it comes again until there is some.
 */
static ag_err
record_again(struct audit *a, struct ag_ctx *ctx, const Ag__OutcomeEvent *o,
    const Ag__Grant *g, unsigned plane)
{
	const char *author = ag_slot_name(ctx, ag_from(ctx));
	ag_err err;

	if (seen_marked(a, author, o->journal_seq)) {
		ag_metric_add(ctx, M_DUPLICATES, 1);
		return AG_OK;
	}
	err = o->event_type == AG__EVENT_TYPE__V__request ?
	    record_request(a, ctx, o, g, plane) : record_other(a, ctx, o, g);
	if (err == AG_FULL || err == AG_NO_MEMORY || err == AG_IO)
		return err;
	if (err != AG_OK)
		record_give_up(a, ctx, o, err);
	else
		seen_mark(a, author, o->has_journal_prev ? o->journal_prev : 0,
		    o->journal_seq);
	return err;
}

ag_err
record_outcome(struct audit *a, struct ag_ctx *ctx, const Ag__OutcomeEvent *o,
    const Ag__Grant *g, unsigned plane)
{
	if (record_is_redelivered(ctx, o))
		return record_again(a, ctx, o, g, plane);
	return o->event_type == AG__EVENT_TYPE__V__request ?
	    record_request(a, ctx, o, g, plane) : record_other(a, ctx, o, g);
}
