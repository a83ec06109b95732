/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lines: which rows talk without the broker (proto/lines.def). Each line is a
 * pair of sockets, made once for a start of the fleet. Both ends stay here, so
 * a process that is started again is given the ends that its last one had, and
 * its neighbours notice nothing.
 */
#include "supervisor.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool
has_line(const struct child *from, const struct child *to)
{
	return !from->is_local && !to->is_local && !from->is_broker &&
	    !to->is_broker && ag_line_between(ag_role_named(from->role),
	    ag_role_named(to->role));
}

ag_err
ag_lines_make(struct supervisor *sup)
{
	for (unsigned i = 0; i < sup->count * sup->count; i++) {
		const struct child *from = &sup->children[i / sup->count];
		const struct child *to = &sup->children[i % sup->count];
		struct line *more, *line;
		ag_err err;

		if (!has_line(from, to))
			continue;
		more = realloc(sup->lines, (sup->line_count + 1) * sizeof(*more));
		if (more == NULL)
			return AG_NO_MEMORY;
		sup->lines = more;
		line = &more[sup->line_count];
		line->from = from->slot;
		line->to = to->slot;
		if ((err = ag_pair_make(line->ends)) != AG_OK)
			return err;
		sup->line_count++;
	}
	return AG_OK;
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
	for (unsigned i = 0; !child->is_broker && i < sup->line_count; i++) {
		const struct line *line = &sup->lines[i];

		if (line->from == child->slot)
			add(ends, line->to, line->ends[0], ends->to,
			    &ends->to_count);
		if (line->to == child->slot)
			add(ends, line->from, line->ends[1], ends->from,
			    &ends->from_count);
	}
}
