/* SPDX-License-Identifier: Apache-2.0 */
#include "orders.h"

#include <errno.h>
#include <string.h>

static uint32_t
get_u32le(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
	    (uint32_t)p[3] << 24;
}

static bool
take(struct orders *o, orders_on_order *on_order, void *arg)
{
	while (o->len >= 4) {
		uint32_t len = get_u32le(o->bytes);

		if (len > ORDER_BYTES_MAX) { /* our own supervisor: a bug */
			ag_log_plain(AG_ERROR, "ORDER-TOO-LONG", "bytes=%u", len);
			return false;
		}
		if (o->len < 4 + (size_t)len)
			return true;
		on_order(arg, o->bytes + 4, len);
		o->len -= 4 + (size_t)len;
		memmove(o->bytes, o->bytes + 4 + len, o->len);
	}
	return true;
}

bool
orders_hear(struct orders *o, int fd, orders_on_order *on_order, void *arg)
{
	ssize_t n = ag_boot_hear(fd, o->bytes + o->len, sizeof(o->bytes) - o->len);

	if (n > 0) {
		o->len += (size_t)n;
		return take(o, on_order, arg);
	}
	return n < 0 && (errno == EAGAIN || errno == EINTR);
}
