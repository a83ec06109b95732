/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The broker's judgement: whom a frame is for, and whether the topology
 * (proto/routes.def) lets it go there. Pure: no socket, clock or log.
 */
#ifndef AEGIS_BROKER_TOPOLOGY_H
#define AEGIS_BROKER_TOPOLOGY_H

#include <aegis/aegis.h>

enum {
	TOPOLOGY_SLOTS_MAX = 256,
	TOPOLOGY_NAME_SIZE = 64,
};

struct topology_row {
	char name[TOPOLOGY_NAME_SIZE]; /* empty: the slot is free */
	enum ag_role role;
};

struct topology {
	struct topology_row rows[TOPOLOGY_SLOTS_MAX];
};

enum judgement {
	JUDGED_PASS,    /* forward to `to` */
	JUDGED_HELLO,   /* to the broker: the row says that it is there */
	JUDGED_REFUSED, /* not listed; `type` and `why` say what */
	JUDGED_GARBAGE, /* not a frame */
};

struct judged {
	unsigned to;
	uint16_t type;   /* of the part that was refused */
	const char *why; /* static text */
};

/* Takes the slot for a row (or gives it another name and role).
 * AG_INVALID_FIELD: slot, name or role is none. */
ag_err topology_set(struct topology *t, unsigned slot, const char *name,
    const char *role) AG_MUST;
void topology_clear(struct topology *t, unsigned slot);
bool topology_has(const struct topology *t, unsigned slot);
/* The slot of the only row of a role (audit), or AG_SLOT_NONE. */
unsigned topology_find(const struct topology *t, enum ag_role role);

/*
 * Judges a whole frame by its headers and types; bodies and envelopes stay
 * closed. One refused part refuses the frame: what one turn of an actor
 * produced goes together or not at all.
 */
enum judgement topology_judge(const struct topology *t, unsigned from,
    const uint8_t *bytes, size_t len, struct judged *out) AG_MUST;

#endif
