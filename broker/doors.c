/* SPDX-License-Identifier: Apache-2.0 */
#include "doors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct doors {
	struct door {
		struct doors *all;
		unsigned slot; /* who says */
		int fd;
		struct ag_pair_in *pair;
		unsigned parts; /* said since it was last looked at */
		size_t bytes;
		bool rests;
	} at[DOORS_MAX];
	unsigned count, resting;
	struct ag_switch *sw; /* once listening */
	struct ag_pair_out *to[AG_SLOTS_MAX]; /* NULL: not by a pair */
	bool waits; /* something does, for one of them */
	struct ag_pair_room *room;
	doors_on_frame *on_frame;
	void *arg;
};

static void
on_frame(void *arg, uint8_t *bytes, size_t len)
{
	struct door *door = arg;
	struct ag_frame frame;

	door->bytes += len;
	door->parts += ag_frame_parse(bytes, len, &frame) == AG_OK ?
	    frame.count : 1;
	door->all->on_frame(door->all->arg, door->slot, bytes, len);
}

/* Has all that was said been taken, or nearly? */
static bool
taken(const struct doors *doors)
{
	for (unsigned slot = 0; slot < AG_SLOTS_MAX; slot++)
		if (doors->to[slot] != NULL &&
		    ag_pair_out_unheard(doors->to[slot]) > DOOR_UNHEARD_MAX)
			return false;
	return true;
}

/* Alone it takes nothing from anybody. */
static bool
said_much(const struct doors *doors, const struct door *door)
{
	return doors->count > 1 && (door->parts > DOOR_PARTS_MAX ||
	    door->bytes > DOOR_BYTES_MAX);
}

static bool
must_rest(const struct doors *doors, struct door *door)
{
	if (doors->waits)
		return true;
	if (!said_much(doors, door))
		return false;
	if (!taken(doors))
		return true;
	door->parts = 0;
	door->bytes = 0;
	return false;
}

static void
on_ready(void *arg, unsigned n)
{
	struct doors *doors = arg;
	struct door *door = &doors->at[n];
	unsigned malformed = 0;
	uint8_t none[1] = { 0 };

	if (must_rest(doors, door)) {
		door->rests = true;
		doors->resting++;
		ag_switch_no_more(doors->sw, door->fd);
		return;
	}
	switch (ag_pair_in_turn(door->pair, doors->room, &malformed, on_frame,
	    door)) {
	case AG_OK:
		break;
	case AG_NOBODY: /* its row says it by the bus from now on */
		ag_log_plain(AG_ERROR, "DOOR-ENDED", "slot=%u", door->slot);
		ag_switch_no_more(doors->sw, door->fd);
		break;
	default:
		ag_panic("a door cannot be read: %s", strerror(errno));
	}
	while (malformed-- > 0)
		on_frame(door, none, 0);
}

static ag_err
open_from(struct doors *doors, const Ag__BootLine *boot)
{
	struct door *door = &doors->at[doors->count];

	if (doors->count == DOORS_MAX)
		return AG_FULL;
	doors->count++;
	door->all = doors;
	door->slot = boot->slot;
	door->fd = (int)boot->fd;
	return ag_pair_in_open(door->fd, &door->pair);
}

ag_err
doors_listen(struct doors *doors, struct ag_switch *sw)
{
	ag_err err = AG_OK;

	if (doors->sw != NULL)
		return AG_OK;
	doors->sw = sw;
	for (unsigned i = 0; i < doors->count && err == AG_OK; i++)
		err = ag_switch_also(sw, doors->at[i].fd, i, on_ready, doors);
	return err;
}

static ag_err
open_to(struct doors *doors, const Ag__BootLine *boot, unsigned queue_max)
{
	if (boot->slot >= AG_SLOTS_MAX || doors->to[boot->slot] != NULL)
		return AG_USAGE;
	return ag_pair_out_open((int)boot->fd, queue_max, &doors->to[boot->slot]);
}

bool
doors_has(const struct doors *doors, unsigned slot)
{
	return slot < AG_SLOTS_MAX && doors->to[slot] != NULL;
}

ag_err
doors_say(struct doors *doors, unsigned slot, const uint8_t *bytes, size_t len)
{
	ag_err err = ag_pair_out_send(doors->to[slot], bytes, len);

	doors->waits = doors->waits || ag_pair_out_waits(doors->to[slot]);
	return err;
}

void
doors_forget(struct doors *doors, unsigned slot)
{
	if (doors_has(doors, slot))
		ag_pair_out_forget(doors->to[slot]);
}

bool
doors_crowded(const struct doors *doors, unsigned slot)
{
	return doors_has(doors, slot) &&
	    ag_pair_out_is_crowded(doors->to[slot]);
}

static void
wake(struct doors *doors)
{
	bool all = taken(doors);

	for (unsigned i = 0; i < doors->count; i++) {
		struct door *door = &doors->at[i];

		if (!door->rests || (!all && said_much(doors, door)))
			continue;
		if (ag_switch_also(doors->sw, door->fd, i, on_ready, doors) !=
		    AG_OK)
			continue; /* a moment later */
		door->rests = false;
		doors->resting--;
		if (all) {
			door->parts = 0;
			door->bytes = 0;
		}
	}
}

bool
doors_flush(struct doors *doors)
{
	bool waits = false;

	for (unsigned slot = 0; doors->waits && slot < AG_SLOTS_MAX; slot++) {
		if (doors->to[slot] == NULL)
			continue;
		ag_pair_out_flush(doors->to[slot]);
		waits = waits || ag_pair_out_waits(doors->to[slot]);
	}
	doors->waits = waits;
	if (!waits && doors->resting > 0)
		wake(doors);
	return waits || doors->resting > 0;
}

ag_err
doors_open(const Ag__Boot *boot, unsigned queue_max, doors_on_frame *say,
    void *arg, struct doors **out)
{
	struct doors *doors = calloc(1, sizeof(*doors));
	ag_err err;

	if (doors == NULL)
		return AG_NO_MEMORY;
	doors->on_frame = say;
	doors->arg = arg;
	err = ag_pair_room_new(&doors->room);
	for (size_t i = 0; err == AG_OK && i < boot->n_lines_from; i++)
		err = open_from(doors, boot->lines_from[i]);
	for (size_t i = 0; err == AG_OK && i < boot->n_lines_to; i++)
		err = open_to(doors, boot->lines_to[i], queue_max);
	if (err != AG_OK)
		doors_free(&doors);
	*out = doors;
	return err;
}

void
doors_free(struct doors **doorsp)
{
	struct doors *doors = *doorsp;

	*doorsp = NULL;
	if (doors == NULL)
		return;
	for (unsigned i = 0; i < doors->count; i++)
		ag_pair_in_close(&doors->at[i].pair);
	for (unsigned slot = 0; slot < AG_SLOTS_MAX; slot++)
		ag_pair_out_close(&doors->to[slot], 0);
	ag_pair_room_free(&doors->room);
	free(doors);
}
