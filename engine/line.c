/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines: where two neighbours of the ring talk without the broker between
 * them (proto/lines.def). Who hears does here what the broker does elsewhere:
 * it stamps the sender, whom the line's token proves, and refuses what
 * proto/routes.def does not list.
 */
#include "ctx.h"

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
line_frame(void *arg, unsigned from, uint8_t *bytes, size_t len)
{
	struct ag_ctx *ctx = arg;

	if (!listed(ctx, from, bytes, len))
		return;
	ag_frame_stamp(bytes, (uint16_t)from);
	trip_frame(ctx, bytes, len);
}

ag_err
line_open_all(struct ag_ctx *ctx)
{
	Ag__Boot *boot = ctx->boot;
	ag_err err = AG_OK;

	for (size_t i = 0; err == AG_OK && i < boot->n_lines_from; i++) {
		const Ag__BootLine *line = boot->lines_from[i];
		struct ag_switch_row row = { .slot = line->slot,
			.name = ag_slot_name(ctx, line->slot),
			.endpoint = line->endpoint };

		if (line->token.len != sizeof(row.token_hash))
			return AG_USAGE;
		memcpy(row.token_hash, line->token.data, sizeof(row.token_hash));
		err = ag_bus_line_from(ctx->bus, boot->uid, &row);
	}
	for (size_t i = 0; err == AG_OK && i < boot->n_lines_to; i++) {
		const Ag__BootLine *line = boot->lines_to[i];

		if (line->token.len != 32)
			return AG_USAGE;
		err = ag_bus_line_to(ctx->bus, line->slot, line->endpoint,
		    boot->self->name, line->token.data);
		ag_wipe(line->token.data, line->token.len);
	}
	return err;
}
