/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a peer on the bus can send: frame, parts, envelope, and each body
 * unpacked through the arena as the message that its type says. A body that
 * unpacks packs again.
 */
#include "engine.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA_BYTES = 4 << 20 };

static void
check_packs(const ProtobufCMessage *m)
{
	size_t size = protobuf_c_message_get_packed_size(m);
	uint8_t *bytes = malloc(size == 0 ? 1 : size);

	if (bytes == NULL || protobuf_c_message_pack(m, bytes) != size)
		abort();
	free(bytes);
}

static void
unpack(struct ag_arena *arena, const ProtobufCMessageDescriptor *d,
    const uint8_t *bytes, size_t len)
{
	ProtobufCMessage *m = protobuf_c_message_unpack(d,
	    ag_arena_allocator(arena), len, bytes);

	if (m != NULL)
		check_packs(m);
}

static void
on_part(struct ag_arena *arena, const struct ag_part *part)
{
	const struct ag_message *message = ag_message_find(part->type);
	const struct ag_operation *op = ag_operation_find(part->type);

	unpack(arena, &ag__envelope__descriptor, part->env, part->env_len);
	if (message != NULL)
		unpack(arena, message->body, part->body, part->body_len);
	if (op != NULL) /* or it is the operation's answer */
		unpack(arena, op->reply, part->body, part->body_len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ag_arena *arena;
	struct ag_frame frame;
	struct ag_part part;
	size_t at = AG_FRAME_HEADER;

	if (ag_frame_parse(data, size, &frame) != AG_OK)
		return 0;
	if (ag_arena_new(ARENA_BYTES, &arena) != AG_OK)
		abort();
	for (unsigned i = 0; i < frame.count; i++) {
		if (ag_frame_part(data, size, &at, &part) != AG_OK)
			abort(); /* the whole frame was parsed */
		on_part(arena, &part);
		ag_arena_wipe(arena);
	}
	if (at != size)
		abort();
	ag_arena_free(&arena);
	return 0;
}
