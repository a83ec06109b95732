/* SPDX-License-Identifier: Apache-2.0 */
/*
 * orders: what the supervisor says to the broker after boot, a u32 length (LE)
 * and a packed BootRow each, as it arrives.
 */
#ifndef BROKER_ORDERS_H
#define BROKER_ORDERS_H

#include "engine.h"

enum { ORDER_BYTES_MAX = 4096 };

struct orders {
	size_t len;
	uint8_t bytes[4 + ORDER_BYTES_MAX];
};
typedef void orders_on_order(void *arg, const uint8_t *bytes, size_t len);

/* Takes what is there, and hands out what is whole. False: the supervisor is
 * gone, or says what it never would. Does not block on a non-blocking fd. */
bool orders_hear(struct orders *o, int fd, orders_on_order *on_order, void *arg);

#endif
