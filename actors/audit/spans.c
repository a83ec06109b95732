/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spans: the marks that the stations of a traced request set, as spans of its
 * event: the plane's whole, in it the stations' (ours last, until the event is
 * recorded), and in each whom it asked. For people: nobody vouches for them.
 */
#include "audit.h"

/* Of a mark: the station's own span, or NULL. */
static uint32_t
station_span(const Ag__Event *e, const Ag__Trace *trace, const uint32_t *nth,
    const Ag__Mark *mark)
{
	for (size_t i = 0; i < trace->n_marks && trace->marks[i] != mark; i++)
		if (!trace->marks[i]->has_under && nth[i] != 0 &&
		    trace->marks[i]->slot == mark->under)
			return nth[i];
	return e->n_spans > 0 ? 1 : 0;
}

static ag_err
add_span(struct ag_ctx *ctx, Ag__Event *e, const char *name, uint64_t begin_us,
    uint64_t duration_us)
{
	Ag__Span *span = ag_alloc(ctx, sizeof(*span));

	if (span == NULL)
		return AG_NO_MEMORY;
	ag__span__init(span);
	span->name = (char *)name;
	span->begin_us = begin_us;
	span->duration_us = duration_us;
	e->spans[e->n_spans++] = span;
	return AG_OK;
}

static ag_err
add_marks(struct ag_ctx *ctx, const Ag__Trace *trace, uint64_t received_us,
    Ag__Event *e)
{
	uint64_t recorded_us = received_us + e->latency_us, end_us;
	uint32_t *nth = ag_alloc(ctx, (trace->n_marks + 1) * sizeof(*nth));
	const char *name;
	ag_err err;

	if (nth == NULL)
		return AG_NO_MEMORY;
	for (size_t i = 0; i < trace->n_marks; i++) {
		const Ag__Mark *m = trace->marks[i];

		/* Of another clock, or of nobody: a station that lies. */
		if (m->begin_us < received_us || m->end_us < m->begin_us ||
		    m->slot >= AG_SLOTS_MAX ||
		    (name = ag_slot_name(ctx, m->slot)) == NULL)
			continue;
		/* audit's own is closed after the event's time was taken. */
		end_us = m->end_us < recorded_us ? m->end_us : recorded_us;
		err = add_span(ctx, e, name, m->begin_us - received_us,
		    end_us > m->begin_us ? end_us - m->begin_us : 0);
		if (err != AG_OK)
			return err;
		nth[i] = (uint32_t)e->n_spans;
		e->spans[e->n_spans - 1]->has_under = true;
		e->spans[e->n_spans - 1]->under = m->has_under ?
		    station_span(e, trace, nth, m) : 1;
	}
	return AG_OK;
}

ag_err
event_spans(struct ag_ctx *ctx, const Ag__OutcomeEvent *o, const Ag__Grant *g,
    Ag__Event *e)
{
	const Ag__Trace *trace = ag_trace(ctx);
	uint64_t received_us;
	ag_err err;

	if (trace == NULL && o->request != NULL)
		trace = o->request->trace; /* refused by the plane itself */
	if (trace == NULL || trace->n_marks > AG_TRACE_MARKS_MAX ||
	    (g == NULL && o->request == NULL))
		return AG_OK; /* with more of them: a station that lies */
	received_us = g != NULL ? g->received_us : o->request->received_us;
	e->spans = ag_alloc(ctx, (trace->n_marks + 1) * sizeof(*e->spans));
	if (e->spans == NULL)
		return AG_NO_MEMORY;
	e->parent_id = trace->parent_id;
	err = add_span(ctx, e, e->plane == NULL ? "plane" : e->plane, 0,
	    e->latency_us);
	return err != AG_OK ? err : add_marks(ctx, trace, received_us, e);
}
