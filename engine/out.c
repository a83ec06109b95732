/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a turn says: gathered into one frame per destination, packed straight
 * into the frame, and sent when the turn's flush hook has agreed. So a reply
 * can never overtake the commit that it reports.
 */
#include "ctx.h"

#include <stdlib.h>
#include <string.h>

enum {
	FRAME_FIRST_CAP = 4096,
	FRAME_KEEP_CAP = OUT_FRAME_TARGET, /* what one large message took goes back */
};

/* The broker's own slot shares the table, behind the fleet's. */
static unsigned
out_index(unsigned to)
{
	return to == AG_SLOT_BROKER ? AG_SLOTS_MAX : to;
}

static struct out_frame *
frame_new(struct ag_ctx *ctx, unsigned to)
{
	struct out_frame *frame = ctx->frame_pool;
	unsigned i = out_index(to);

	if (frame != NULL)
		ctx->frame_pool = frame->next;
	else if ((frame = calloc(1, sizeof(*frame))) == NULL)
		return NULL;
	frame->next = NULL;
	frame->to = to;
	frame->count = 0;
	frame->len = AG_FRAME_HEADER;
	if (ctx->out[i] == NULL) {
		ctx->out_order[ctx->out_count++] = (uint16_t)i;
		ctx->out[i] = frame;
	} else { /* the tail is set with the first */
		ctx->out_tail[i]->next = frame; /* NOLINT(*NullDereference) */
	}
	ctx->out_tail[i] = frame;
	return frame;
}

static bool
frame_room(struct out_frame *frame, size_t more)
{
	size_t need = frame->len + more;
	size_t cap = frame->cap == 0 ? FRAME_FIRST_CAP : frame->cap;
	uint8_t *bytes;

	if (need <= frame->cap)
		return true;
	while (cap < need)
		cap *= 2;
	bytes = realloc(frame->bytes, cap);
	if (bytes == NULL)
		return false;
	frame->bytes = bytes;
	frame->cap = cap;
	return true;
}

/* Room for one part; where its envelope goes, or NULL. */
static uint8_t *
part_begin(struct ag_ctx *ctx, unsigned to, uint16_t type, size_t env_len,
    size_t body_len)
{
	size_t part = AG_PART_HEADER + env_len + body_len;
	struct out_frame *frame = ctx->out[out_index(to)] == NULL ?
	    NULL : ctx->out_tail[out_index(to)];
	uint8_t *at;

	if (part + AG_FRAME_HEADER > AG_FRAME_BYTES_MAX)
		return NULL;
	if (frame == NULL || frame->count >= AG_FRAME_PARTS_MAX ||
	    (frame->count > 0 && frame->len + part > OUT_FRAME_TARGET))
		frame = frame_new(ctx, to);
	if (frame == NULL || !frame_room(frame, part))
		return NULL;
	at = frame->bytes + frame->len;
	ag_part_write_header(at, (uint32_t)(part - AG_PART_HEADER), type,
	    (uint32_t)env_len);
	frame->len += part;
	frame->count++;
	ctx->turned = true;
	ag_em_add(ctx, EM_OUT, 1);
	return at + AG_PART_HEADER;
}

static ag_err
check_destination(struct ag_ctx *ctx, unsigned to)
{
	if (to == AG_SLOT_BROKER || to == ctx->self)
		return AG_OK;
	if (to >= AG_SLOTS_MAX)
		return AG_NOBODY;
	/* Who has just asked is there, even if the broker is yet to say so. */
	if (ctx->slots[to].up || (ctx->trip != NULL && ctx->trip->from == to))
		return AG_OK;
	return AG_NOBODY;
}

ag_err
out_add(struct ag_ctx *ctx, unsigned to, uint16_t type, const Ag__Envelope *env,
    const ProtobufCMessage *body)
{
	ag_err err = check_destination(ctx, to);
	size_t env_len, body_len;
	uint8_t *at;

	if (err != AG_OK)
		return err;
	env_len = ag__envelope__get_packed_size(env);
	body_len = protobuf_c_message_get_packed_size(body);
	at = part_begin(ctx, to, type, env_len, body_len);
	if (at == NULL)
		return AG_FULL;
	ag__envelope__pack(env, at);
	protobuf_c_message_pack(body, at + env_len);
	return AG_OK;
}

ag_err
ag_send(struct ag_ctx *ctx, unsigned to, uint16_t type, const void *msg)
{
	Ag__Envelope env = AG__ENVELOPE__INIT;

	return out_add(ctx, to, type, &env, msg);
}

ag_err
out_add_raw(struct ag_ctx *ctx, unsigned to, uint16_t type,
    const Ag__Envelope *env, const uint8_t *body, size_t body_len)
{
	ag_err err = check_destination(ctx, to);
	size_t env_len;
	uint8_t *at;

	if (err != AG_OK)
		return err;
	env_len = ag__envelope__get_packed_size(env);
	at = part_begin(ctx, to, type, env_len, body_len);
	if (at == NULL)
		return AG_FULL;
	ag__envelope__pack(env, at);
	if (body_len > 0)
		memcpy(at + env_len, body, body_len);
	return AG_OK;
}

static void
frame_done(struct ag_ctx *ctx, struct out_frame *frame)
{
	if (frame->cap > FRAME_KEEP_CAP) {
		free(frame->bytes);
		frame->bytes = NULL;
		frame->cap = 0;
	}
	frame->next = ctx->frame_pool;
	ctx->frame_pool = frame;
}

/* By the line to that row if there is one, else through the broker. A door that
 * an earlier process of this row has ended is none: the broker judges the same. */
static ag_err
give(struct ag_ctx *ctx, const struct out_frame *frame)
{
	uint8_t *bytes;
	ag_err err;

	if (frame->to < AG_SLOTS_MAX && ctx->lines_to[frame->to] != NULL) {
		err = line_send(ctx->lines_to[frame->to], frame->bytes,
		    frame->len);
		if (err != AG_IO || !ag_door_between(
		    ag_slot_role(ctx, ctx->self), ag_slot_role(ctx, frame->to)))
			return err;
	}
	if ((bytes = malloc(frame->len)) == NULL)
		return AG_NO_MEMORY;
	memcpy(bytes, frame->bytes, frame->len);
	return ag_bus_send(ctx->bus, bytes, frame->len);
}

static void
frame_send(struct ag_ctx *ctx, struct out_frame *frame)
{
	ag_frame_write_header(frame->bytes, (uint16_t)frame->to, frame->count);
	if (frame->to == ctx->self) {
		/* To oneself: no need to trouble the broker. Handlers may say
		 * more; that goes out with the next round. */
		ag_frame_stamp(frame->bytes, (uint16_t)ctx->self);
		trip_frame(ctx, frame->bytes, frame->len);
		return;
	}
	if (ctx->kit != NULL) {
		kit_capture(ctx->kit, frame->bytes, frame->len);
		return;
	}
	if (give(ctx, frame) != AG_OK) {
		/* Every mailbox holds the whole budget, so this is our bug or a
		 * dead broker; deadlines deal with what was in it. */
		ag_em_add(ctx, EM_FULL, frame->count);
		ag_log(ctx, AG_ERROR, "BUS-FULL", "to=%s parts=%u",
		    ag_slot_name(ctx, frame->to), frame->count);
	}
}

void
out_send_all(struct ag_ctx *ctx)
{
	unsigned count = ctx->out_count;
	struct out_frame *frames = NULL, **tail = &frames;

	/* Take everything first: sending to oneself adds more. */
	for (unsigned i = 0; i < count; i++) {
		unsigned slot = ctx->out_order[i];

		*tail = ctx->out[slot];
		tail = &ctx->out_tail[slot]->next;
		ctx->out[slot] = NULL;
	}
	ctx->out_count = 0;
	while (frames != NULL) {
		struct out_frame *frame = frames;

		frames = frame->next;
		frame_send(ctx, frame);
		frame_done(ctx, frame);
	}
}
