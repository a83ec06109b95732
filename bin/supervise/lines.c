/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lines: which rows talk without the broker, and which by pairs with it
 * (proto/lines.def). Each line is a pair of sockets, made once for a start of the
 * fleet. Both ends stay here, so a process that is started again is given the
 * ends that its last one had, and its neighbours notice nothing.
 */
#include "supervisor.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static ag_err
make(struct supervisor *sup, unsigned from, unsigned to, unsigned whom)
{
	struct line *more, *line;
	ag_err err;

	more = realloc(sup->lines, (sup->line_count + 1) * sizeof(*more));
	if (more == NULL)
		return AG_NO_MEMORY;
	sup->lines = more;
	line = &more[sup->line_count];
	line->from = from;
	line->to = to;
	line->whom = whom;
	if ((err = ag_pair_make(line->ends)) == AG_OK)
		sup->line_count++;
	return err;
}

static ag_err
make_between(struct supervisor *sup, const struct child *from,
    const struct child *to)
{
	enum ag_role says = ag_role_named(from->role);
	enum ag_role hears = ag_role_named(to->role);

	if (from->is_local || to->is_local || to->is_broker)
		return AG_OK;
	if (from->is_broker ? ag_door_to(hears) : ag_line_between(says, hears))
		return make(sup, from->slot, to->slot, to->slot);
	if (!from->is_broker && ag_door_between(says, hears))
		return make(sup, from->slot, AG_SLOT_BROKER, to->slot);
	return AG_OK;
}

ag_err
ag_lines_make(struct supervisor *sup)
{
	ag_err err = AG_OK;

	for (unsigned i = 0; err == AG_OK && i < sup->count * sup->count; i++)
		err = make_between(sup, &sup->children[i / sup->count],
		    &sup->children[i % sup->count]);
	return err;
}

void
ag_lines_free(struct supervisor *sup)
{
	for (unsigned i = 0; i < sup->line_count; i++) {
		close(sup->lines[i].ends[0]);
		close(sup->lines[i].ends[1]);
	}
	free(sup->lines);
	sup->lines = NULL;
	sup->line_count = 0;
}

static void
add(struct line_ends *ends, unsigned peer, int fd, Ag__BootLine **pointers,
    size_t *count)
{
	Ag__BootLine *row = &ends->rows[ends->count];

	ag__boot_line__init(row);
	row->slot = peer;
	row->fd = LINE_FD + ends->count;
	ends->fds[ends->count++] = fd;
	pointers[(*count)++] = row;
}

void
ag_lines_of(const struct supervisor *sup, const struct child *child,
    struct line_ends *ends)
{
	ends->count = 0;
	ends->to_count = ends->from_count = 0;
	for (unsigned i = 0; i < sup->line_count; i++) {
		const struct line *line = &sup->lines[i];

		if (line->from == child->slot)
			add(ends, line->whom, line->ends[0], ends->to,
			    &ends->to_count);
		if (line->to == child->slot)
			add(ends, line->from, line->ends[1], ends->from,
			    &ends->from_count);
	}
}
