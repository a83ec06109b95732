/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the two halves of the segment log share: the layout.
 */
#ifndef AEGIS_ENGINE_SEGLOG_H
#define AEGIS_ENGINE_SEGLOG_H

#include <aegis/seglog.h>

#include <string.h>

#define SEG_MAGIC "AGSEG1\n"

enum {
	SEG_MARK = 0x5ea1,
	/* of a record header */
	AT_LENGTH = 0,
	AT_KIND = 4,
	AT_TENANT_LEN = 5,
	AT_MARK = 6,
	AT_BATCH = 8,
	AT_ZERO = 12,
	AT_TIME = 16,
	AT_ZERO_TOO = 24,
	AT_HASH = 32,
	SEG_ALIGN = 8,
};

static inline uint64_t
seg_get(const uint8_t *p, unsigned bytes)
{
	uint64_t v = 0;

	while (bytes-- > 0)
		v = v << 8 | p[bytes];
	return v;
}

static inline void
seg_put(uint8_t *p, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++, v >>= 8)
		p[i] = (uint8_t)v;
}

static inline size_t
seg_aligned(size_t n)
{
	return (n + SEG_ALIGN - 1) & ~(size_t)(SEG_ALIGN - 1);
}

#endif
