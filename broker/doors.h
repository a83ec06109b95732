/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doors: pairs on which rows say what the broker passes on, and on which it says
 * what it has for others (proto/lines.def). Whose the other end is was decided by
 * the supervisor, so that is who says or hears it.
 *
 * Nobody is heard while something waits for want of room: what a row says too
 * much stays with it, and the others are heard in their turn. Who has said much
 * rests until that was taken, so that one that floods is not all that is heard.
 */
#ifndef BROKER_DOORS_H
#define BROKER_DOORS_H

#include "engine.h"

enum {
	DOORS_MAX = 64,
	DOOR_PARTS_MAX = 2048,       /* of one row before the others' turn */
	DOOR_BYTES_MAX = 2 << 20,
	DOOR_UNHEARD_MAX = 32 << 10, /* as good as taken; bytes of the kernel's */
};

struct doors;
typedef void doors_on_frame(void *arg, unsigned slot, uint8_t *bytes, size_t len);

/* As booted. A frame is lent for the call; one that is none is of length 0. */
ag_err doors_open(const Ag__Boot *boot, unsigned queue_max,
    doors_on_frame *on_frame, void *arg, struct doors **out) AG_MUST;
/* From now on; what was said before has waited. */
ag_err doors_listen(struct doors *doors, struct ag_switch *sw) AG_MUST;
/* Has the row of this slot a pair for all that is said to it? */
bool doors_has(const struct doors *doors, unsigned slot);
/* Copies what has to wait. AG_FULL. */
ag_err doors_say(struct doors *doors, unsigned slot, const uint8_t *bytes,
    size_t len) AG_MUST;
/* The process that it was for is gone: what waits is dropped. */
void doors_forget(struct doors *doors, unsigned slot);
/* Does so much wait for that row that who floods it gets no more room? */
bool doors_crowded(const struct doors *doors, unsigned slot);
/* Says what waited, as far as there is room, and hears again who had to rest;
 * true: call it again soon. */
bool doors_flush(struct doors *doors);
void doors_free(struct doors **doors);

#endif
