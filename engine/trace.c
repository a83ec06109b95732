/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Traces: from when until when a request was at each station, and whose answers
 * it waited for there. The marks travel in the envelope, beside the request, and
 * end in its event. Whoever is not asked for them reads no clock.
 */
#include "ctx.h"

#include <stdlib.h>

enum {
	TRACE_ASKS_MAX = 8,   /* of one station that are told of */
	/* Of what came; one's own and one's asks' come to it. */
	TRACE_MARKS_MAX = AG_TRACE_MARKS_MAX - TRACE_ASKS_MAX - 1,
};

struct trace {
	uint64_t begun_us;
	unsigned count;
	struct {
		unsigned slot;
		uint64_t begin_us, end_us;
	} asked[TRACE_ASKS_MAX];
};

static const Ag__Trace *
trace_so_far(const Ag__Envelope *env)
{
	if (env->trace != NULL)
		return env->trace;
	return env->request == NULL ? NULL : env->request->trace;
}

void
trace_begin(struct ag_ctx *ctx, struct ag_trip *trip)
{
	if (trip->trace != NULL || trace_so_far(trip->env) == NULL)
		return;
	if ((trip->trace = calloc(1, sizeof(*trip->trace))) != NULL)
		trip->trace->begun_us = ag_mono_us(ctx);
}

void
trace_asked(struct ag_ctx *ctx, struct ag_trip *trip, unsigned slot,
    uint64_t begun_us)
{
	struct trace *trace = trip->trace;

	if (trace == NULL || slot == AG_SLOT_NONE ||
	    trace->count == TRACE_ASKS_MAX)
		return;
	trace->asked[trace->count].slot = slot;
	trace->asked[trace->count].begin_us = begun_us;
	trace->asked[trace->count++].end_us = ag_mono_us(ctx);
}

static void
mark(Ag__Mark *m, unsigned slot, uint64_t begin_us, uint64_t end_us)
{
	ag__mark__init(m);
	m->slot = slot;
	m->begin_us = begin_us;
	m->end_us = end_us;
}

/* Our own mark, and after it those of whom we asked. */
static void
add_own(struct ag_ctx *ctx, const struct trace *trace, Ag__Mark *own,
    Ag__Trace *out)
{
	mark(own, ctx->self, trace->begun_us, ag_mono_us(ctx));
	out->marks[out->n_marks++] = own;
	for (unsigned i = 0; i < trace->count; i++) {
		mark(&own[i + 1], trace->asked[i].slot, trace->asked[i].begin_us,
		    trace->asked[i].end_us);
		own[i + 1].has_under = true;
		own[i + 1].under = ctx->self;
		out->marks[out->n_marks++] = &own[i + 1];
	}
}

const Ag__Trace *
ag_trace(struct ag_ctx *ctx)
{
	const struct trace *trace = ctx->trip == NULL ? NULL : ctx->trip->trace;
	const Ag__Trace *before;
	Ag__Mark *own;
	Ag__Trace *out;

	if (trace == NULL || (before = trace_so_far(ctx->trip->env)) == NULL)
		return NULL;
	out = ag_alloc(ctx, sizeof(*out));
	own = ag_alloc(ctx, (trace->count + 1) * sizeof(*own));
	if (out == NULL || own == NULL)
		return NULL;
	ag__trace__init(out);
	out->parent_id = before->parent_id;
	out->marks = ag_alloc(ctx, (TRACE_MARKS_MAX + TRACE_ASKS_MAX + 1) *
	    sizeof(*out->marks));
	if (out->marks == NULL)
		return NULL;
	for (size_t i = 0; i < before->n_marks && i < TRACE_MARKS_MAX; i++)
		out->marks[out->n_marks++] = before->marks[i];
	add_own(ctx, trace, own, out);
	return out;
}
