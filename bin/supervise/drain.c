/* SPDX-License-Identifier: Apache-2.0 */
/*
 * drain: the end, in order. Planes first, so that nothing new comes in; then
 * stage by stage backwards, so that whoever is asked outlives who asks; the
 * broker last. At the deadline what is left is killed.
 */
#include "supervisor.h"

#include <signal.h>

/* Stages of children.c, as they go: planes, actors.d, and back to the broker. */
static const unsigned char order[] = { 5, 6, 4, 3, 2, 1, 0 };
enum { ORDER_COUNT = sizeof(order) / sizeof(order[0]) };

static bool
stage_gone(const struct supervisor *sup, unsigned stage)
{
	for (unsigned i = 0; i < sup->count; i++)
		if (sup->children[i].stage == stage &&
		    !ag_child_gone(&sup->children[i]))
			return false;
	return true;
}

static void
stop_stage(struct supervisor *sup, unsigned stage)
{
	for (unsigned i = 0; i < sup->count; i++)
		if (sup->children[i].stage == stage)
			ag_child_signal(&sup->children[i], SIGTERM);
}

void
ag_drain(struct supervisor *sup, int exit_status, uint64_t timeout_ms)
{
	uint64_t deadline = ag_sup_now_ms() + timeout_ms;

	if (sup->phase == PHASE_DRAINING) { /* asked again: the sooner counts */
		if (deadline < sup->deadline_ms)
			sup->deadline_ms = deadline;
		return;
	}
	ag_notify("STOPPING=1\nSTATUS=answering what is under way");
	sup->phase = PHASE_DRAINING;
	sup->exit_status = exit_status;
	sup->deadline_ms = deadline;
	sup->stage = 0; /* from here on: the place in `order` */
	stop_stage(sup, order[0]);
}

void
ag_drain_advance(struct supervisor *sup)
{
	while (sup->stage < ORDER_COUNT && stage_gone(sup, order[sup->stage])) {
		if (++sup->stage < ORDER_COUNT)
			stop_stage(sup, order[sup->stage]);
	}
	if (sup->killed || sup->stage == ORDER_COUNT ||
	    ag_sup_now_ms() < sup->deadline_ms)
		return;
	sup->killed = true;
	for (unsigned i = 0; i < sup->count; i++) {
		if (ag_child_gone(&sup->children[i]))
			continue;
		ag_log_plain(AG_WARN, "CHILD-KILLED", "name=%s",
		    sup->children[i].name);
		ag_child_signal(&sup->children[i], SIGKILL);
	}
}

bool
ag_drain_done(const struct supervisor *sup)
{
	return sup->phase == PHASE_DRAINING && sup->stage == ORDER_COUNT;
}
