/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The codec of frames (docs/framing.md). Nothing is allocated and nothing is
 * copied: a part points into the frame. All integers are little-endian.
 */
#include "engine.h"

#include <string.h>

static uint16_t
get16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t
get32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
	    (uint32_t)p[3] << 24;
}

static void
put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static void
put32(uint8_t *p, uint32_t v)
{
	put16(p, (uint16_t)v);
	put16(p + 2, (uint16_t)(v >> 16));
}

ag_err
ag_frame_part(const uint8_t *bytes, size_t len, size_t *offset,
    struct ag_part *out)
{
	const uint8_t *p;
	uint32_t part_len, env_len;

	if (*offset > len || len - *offset < AG_PART_HEADER)
		return AG_BAD_MESSAGE;
	p = bytes + *offset;
	part_len = get32(p);
	env_len = get32(p + 8);
	if (part_len > len - *offset - AG_PART_HEADER || env_len > part_len)
		return AG_BAD_MESSAGE;
	if (get16(p + 6) != 0) /* flags: none is defined */
		return AG_BAD_MESSAGE;
	out->type = get16(p + 4);
	out->env = p + AG_PART_HEADER;
	out->env_len = env_len;
	out->body = out->env + env_len;
	out->body_len = part_len - env_len;
	*offset += AG_PART_HEADER + part_len;
	return AG_OK;
}

ag_err
ag_frame_parse(const uint8_t *bytes, size_t len, struct ag_frame *out)
{
	static const uint8_t reserved[8];
	struct ag_part part;
	size_t offset = AG_FRAME_HEADER;
	ag_err err;

	if (len < AG_FRAME_HEADER || len > AG_FRAME_BYTES_MAX)
		return AG_BAD_MESSAGE;
	out->version = get16(bytes);
	out->to = get16(bytes + 2);
	out->from = get16(bytes + 4);
	out->count = get16(bytes + 6);
	if (out->version != AG_FRAME_VERSION || out->count == 0 ||
	    out->count > AG_FRAME_PARTS_MAX ||
	    memcmp(bytes + 8, reserved, sizeof(reserved)) != 0)
		return AG_BAD_MESSAGE;
	/* The whole frame or nothing: no part is worked on before a bad one. */
	for (unsigned i = 0; i < out->count; i++)
		if ((err = ag_frame_part(bytes, len, &offset, &part)) != AG_OK)
			return err;
	return offset == len ? AG_OK : AG_BAD_MESSAGE;
}

void
ag_frame_stamp(uint8_t *bytes, uint16_t from)
{
	put16(bytes + 4, from);
}

void
ag_frame_write_header(uint8_t *bytes, uint16_t to, uint16_t count)
{
	memset(bytes, 0, AG_FRAME_HEADER);
	put16(bytes, AG_FRAME_VERSION);
	put16(bytes + 2, to);
	put16(bytes + 6, count);
}

void
ag_part_write_header(uint8_t *bytes, uint32_t part_len, uint16_t type,
    uint32_t env_len)
{
	put32(bytes, part_len);
	put16(bytes + 4, type);
	put16(bytes + 6, 0);
	put32(bytes + 8, env_len);
}
