/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers as big-endian bytes, so that a store's keys sort as the numbers do.
 */
#ifndef AEGIS_BYTES_H
#define AEGIS_BYTES_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

static inline void
ag_put_be64(uint8_t *out, uint64_t v)
{
	v = htobe64(v);
	memcpy(out, &v, sizeof(v));
}

static inline uint64_t
ag_get_be64(const uint8_t *in)
{
	uint64_t v;

	memcpy(&v, in, sizeof(v));
	return be64toh(v);
}

static inline void
ag_put_be32(uint8_t *out, uint32_t v)
{
	v = htobe32(v);
	memcpy(out, &v, sizeof(v));
}

static inline uint32_t
ag_get_be32(const uint8_t *in)
{
	uint32_t v;

	memcpy(&v, in, sizeof(v));
	return be32toh(v);
}

#endif
