/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines: where two neighbours of the ring talk without the broker between
 * them (proto/lines.def). Who hears does here what the broker does elsewhere:
 * it stamps the sender, who alone holds the line's other end, and refuses what
 * proto/routes.def does not list. What the broker itself says on one, it has
 * judged and stamped.
 */
#include "ctx.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Audit hears of it, and bounds how many of these it records. It is not told
 * by those who hear nobody but audit: they would tell audit of itself. */
static void
refuse(struct ag_ctx *ctx, unsigned from, uint16_t type, const char *why)
{
	Ag__RefusedEvent event = AG__REFUSED_EVENT__INIT;
	unsigned audit = ag_slot(ctx, AG_ROLE_AUDIT, 0);

	ag_em_add(ctx, EM_REFUSED, 1);
	ag_log(ctx, AG_WARN, "FRAME-REFUSED", "from=%s type=%#x why=\"%s\"",
	    ag_slot_name(ctx, from), type, why);
	if (from == audit)
		return;
	event.from = from;
	event.to = ctx->self;
	event.type = type;
	event.why = (char *)(uintptr_t)why;
	if (ag_send(ctx, audit, AG_MSG_REFUSED_EVENT, &event.base) != AG_OK)
		ag_log(ctx, AG_WARN, "REFUSAL-UNSAID", "from=%s",
		    ag_slot_name(ctx, from));
}

/* A whole frame or nothing of it, as at the broker. */
static bool
listed(struct ag_ctx *ctx, unsigned from, const uint8_t *bytes, size_t len)
{
	enum ag_role role = ag_slot_role(ctx, from);
	enum ag_role self = ag_slot_role(ctx, ctx->self);
	size_t offset = AG_FRAME_HEADER;
	struct ag_frame frame;
	struct ag_part part;

	if (ag_frame_parse(bytes, len, &frame) != AG_OK ||
	    frame.to != ctx->self) {
		ag_em_add(ctx, EM_MALFORMED, 1);
		ag_log(ctx, AG_WARN, "FRAME-BAD", "from=%s bytes=%zu",
		    ag_slot_name(ctx, from), len);
		return false;
	}
	for (unsigned i = 0; i < frame.count; i++) {
		const char *why;

		if (ag_frame_part(bytes, len, &offset, &part) != AG_OK)
			return false; /* not after ag_frame_parse */
		why = ag_route_refusal(role, self, part.type);
		if (why == NULL)
			continue;
		refuse(ctx, from, part.type, why);
		return false;
	}
	return true;
}

void
line_frame(struct ag_ctx *ctx, unsigned from, uint8_t *bytes, size_t len)
{
	if (!listed(ctx, from, bytes, len))
		return;
	ag_frame_stamp(bytes, (uint16_t)from);
	trip_frame(ctx, bytes, len);
}

/* -------------------------------------------------------------- the sockets */

struct line_to {
	struct ag_pair_out *pair;
	struct event *room; /* while something waits */
};

struct line_from {
	struct line_from *next;
	struct ag_ctx *ctx;
	unsigned slot; /* who says */
	struct ag_pair_in *pair;
	struct event *event;
};

static void
on_room(evutil_socket_t fd, short what, void *arg)
{
	struct line_to *line = arg;

	(void)fd;
	(void)what;
	ag_pair_out_flush(line->pair);
	if (!ag_pair_out_waits(line->pair))
		event_del(line->room);
}

ag_err
line_send(struct line_to *line, const uint8_t *bytes, size_t len)
{
	ag_err err = ag_pair_out_send(line->pair, bytes, len);

	if (ag_pair_out_waits(line->pair) && event_add(line->room, NULL) != 0)
		return AG_FULL;
	return err;
}

static void
on_frame(void *arg, uint8_t *bytes, size_t len)
{
	const struct line_from *line = arg;

	if (line->slot == AG_SLOT_BROKER)
		trip_frame(line->ctx, bytes, len);
	else
		line_frame(line->ctx, line->slot, bytes, len);
}

static void
on_said(evutil_socket_t fd, short what, void *arg)
{
	struct line_from *line = arg;
	struct ag_ctx *ctx = line->ctx;
	unsigned malformed = 0;
	ag_err err;

	(void)fd;
	(void)what;
	run_clock(ctx);
	err = ag_pair_in_turn(line->pair, ctx->line_room, &malformed, on_frame,
	    line);
	if (err == AG_NOBODY) {
		ag_log(ctx, AG_ERROR, "LINE-ENDED", "from=%s",
		    ag_slot_name(ctx, line->slot));
		event_del(line->event);
	} else if (err != AG_OK) {
		ag_log(ctx, AG_ERROR, "LINE-BROKEN", "from=%s error=%s",
		    ag_slot_name(ctx, line->slot), strerror(errno));
		ag_stop(ctx, 1); /* started again, it finds all its lines */
	}
	ag_em_add(ctx, EM_MALFORMED, malformed);
}

static ag_err
open_to(struct ag_ctx *ctx, const Ag__BootLine *boot)
{
	struct line_to *line;
	int fd = (int)boot->fd;

	if (boot->slot >= AG_SLOTS_MAX || ctx->lines_to[boot->slot] != NULL)
		return AG_USAGE;
	if ((line = calloc(1, sizeof(*line))) == NULL)
		return AG_NO_MEMORY;
	ctx->lines_to[boot->slot] = line;
	line->room = event_new(ctx->base, fd, EV_WRITE | EV_PERSIST, on_room,
	    line);
	return line->room == NULL ? AG_NO_MEMORY :
	    ag_pair_out_open(fd, QUEUE_MAX, &line->pair);
}

static ag_err
open_from(struct ag_ctx *ctx, const Ag__BootLine *boot)
{
	struct line_from *line = calloc(1, sizeof(*line));
	int fd = (int)boot->fd;
	ag_err err;

	if (line == NULL)
		return AG_NO_MEMORY;
	line->next = ctx->lines_from;
	ctx->lines_from = line;
	line->ctx = ctx;
	line->slot = boot->slot;
	line->event = event_new(ctx->base, fd, EV_READ | EV_PERSIST, on_said,
	    line);
	if (line->event == NULL)
		return AG_NO_MEMORY;
	if ((err = ag_pair_in_open(fd, &line->pair)) != AG_OK ||
	    line->slot != AG_SLOT_BROKER)
		return err;
	/* What it had for the process before this one is not for this one, which
	 * is yet to say HELLO; what it answers comes here. */
	ag_pair_in_skip(line->pair);
	return event_add(line->event, NULL) == 0 ? AG_OK : AG_IO;
}

void
line_listen(struct ag_ctx *ctx)
{
	for (struct line_from *l = ctx->lines_from; l != NULL; l = l->next)
		if (event_add(l->event, NULL) != 0) {
			ag_log(ctx, AG_ERROR, "LINE-DEAF", "from=%s",
			    ag_slot_name(ctx, l->slot));
			ag_stop(ctx, 1);
		}
}

ag_err
line_open_all(struct ag_ctx *ctx)
{
	const Ag__Boot *boot = ctx->boot;
	ag_err err = AG_OK;

	if (boot->n_lines_from > 0)
		err = ag_pair_room_new(&ctx->line_room);
	for (size_t i = 0; err == AG_OK && i < boot->n_lines_from; i++)
		err = open_from(ctx, boot->lines_from[i]);
	for (size_t i = 0; err == AG_OK && i < boot->n_lines_to; i++)
		err = open_to(ctx, boot->lines_to[i]);
	return err;
}

void
line_close_all(struct ag_ctx *ctx, unsigned linger_ms)
{
	for (unsigned slot = 0; slot < AG_SLOTS_MAX; slot++) {
		struct line_to *line = ctx->lines_to[slot];

		ctx->lines_to[slot] = NULL;
		if (line == NULL)
			continue;
		if (line->room != NULL)
			event_free(line->room);
		ag_pair_out_close(&line->pair, linger_ms);
		free(line);
	}
	while (ctx->lines_from != NULL) {
		struct line_from *line = ctx->lines_from;

		ctx->lines_from = line->next;
		if (line->event != NULL)
			event_free(line->event);
		ag_pair_in_close(&line->pair);
		free(line);
	}
	ag_pair_room_free(&ctx->line_room);
}
