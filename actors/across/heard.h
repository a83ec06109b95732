/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What may pass for an event of another node. Whoever may produce to the topic
 * is believed in what it says, not in how long it is: nothing goes on from here
 * that this node's audit log, journal or tables could not keep.
 */
#ifndef ACROSS_HEARD_H
#define ACROSS_HEARD_H

#include <aegis/aegis.h>
#include <aegis/event.h>

enum {
	HEARD_BYTES_MAX = 64 << 10, /* a record */
	HEARD_CHAIN_MAX = 32,       /* links; agents.depth_max is 10 at most */
	HEARD_WORD_MAX = 128,       /* an operation, a type, a code */
	HEARD_TEXT_MAX = 1024,      /* an id of a resource, a name, an address */
	HEARD_LINK_NAME_MAX = 256,
};

/* The record as an event; protobuf-c's memory, the caller's to free. NULL: it is
 * none, or one that no node would write. */
Ag__Event *heard_event(const uint8_t *value, size_t len) AG_MUST;

#endif
