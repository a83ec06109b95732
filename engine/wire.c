/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packed messages as they lie there: copying one without the fields that its
 * reader has no use for costs a tenth of unpacking them
 * (https://protobuf.dev/programming-guides/encoding).
 */
#include "engine.h"

#include <string.h>

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

/* Bytes taken, 0: it is cut off, or longer than ten. */
static size_t
varint(const uint8_t *p, size_t len, uint64_t *out)
{
	*out = 0;
	for (size_t i = 0; i < len && i < 10; i++) {
		*out |= (uint64_t)(p[i] & 0x7f) << 7 * i;
		if ((p[i] & 0x80) == 0)
			return i + 1;
	}
	return 0;
}

/* The length of the field at p with its tag, 0: this is no field. */
static size_t
field(const uint8_t *p, size_t len, uint64_t *number)
{
	uint64_t tag, n;
	size_t at = varint(p, len, &tag), more;

	if (at == 0)
		return 0;
	*number = tag >> 3;
	more = varint(p + at, len - at, &n);
	switch (tag & 7) {
	case WIRE_VARINT:
		return more == 0 ? 0 : at + more;
	case WIRE_BYTES:
		if (more == 0 || n > len - at - more)
			return 0;
		return at + more + (size_t)n;
	case WIRE_64:
		return len - at < 8 ? 0 : at + 8;
	case WIRE_32:
		return len - at < 4 ? 0 : at + 4;
	default:
		return 0;
	}
}

static bool
is_skipped(const uint8_t *skips, uint64_t number)
{
	for (; *skips != 0; skips++)
		if (*skips == number)
			return true;
	return false;
}

size_t
ag_wire_without(const uint8_t *bytes, size_t len, const uint8_t *skips,
    uint8_t *out)
{
	size_t n = 0, kept = 0, at = 0; /* kept: copied up to here */
	uint64_t number;

	while (at < len) {
		size_t size = field(bytes + at, len - at, &number);

		if (size == 0)
			break; /* unpacking what is left says so */
		if (is_skipped(skips, number)) {
			memcpy(out + n, bytes + kept, at - kept);
			n += at - kept;
			kept = at + size;
		}
		at += size;
	}
	memcpy(out + n, bytes + kept, len - kept);
	return n + len - kept;
}
