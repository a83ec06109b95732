/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lines: which rows talk without the broker (proto/lines.def), and the token
 * of each line. A token is made of the fleet's own secret of this start and
 * the two names, so nobody has to keep a table of them and a process that is
 * started again finds the lines that its neighbours still hold. The one who
 * says is told the token, the one who hears its hash.
 */
#include "supervisor.h"

#include <stdio.h>
#include <string.h>

/* Who the two ends of a line are, seen from one of them. */
struct ends {
	const struct child *from, *to;
};

static bool
has_line(const struct ends *ends)
{
	return !ends->from->is_local && !ends->to->is_local &&
	    !ends->from->is_broker && !ends->to->is_broker &&
	    ag_line_between(ag_role_named(ends->from->role),
	        ag_role_named(ends->to->role));
}

static ag_err
make_token(struct ag_mac *mac, const struct ends *ends, uint8_t token[32])
{
	char text[2 * AG_FLEET_NAME_SIZE + 8];
	int n = snprintf(text, sizeof(text), "line %s %s", ends->from->name,
	    ends->to->name);

	return ag_mac_sign(mac, text, (size_t)n, token);
}

static ag_err
add(const struct supervisor *sup, struct ag_mac *mac, const struct ends *ends,
    const struct child *self, struct line_list *list)
{
	struct line_row *row = &list->rows[list->count];
	const struct child *peer = self == ends->to ? ends->from : ends->to;
	ag_err err = make_token(mac, ends, row->token);

	if (err != AG_OK)
		return err;
	if (self == ends->to)
		ag_sha256(row->token, sizeof(row->token), row->token);
	if (!ag_endpoint_line(sup->run_dir, ends->to->name, ends->from->name,
	        row->endpoint))
		return AG_FULL;
	ag__boot_line__init(&row->line);
	row->line.slot = peer->slot;
	row->line.endpoint = row->endpoint;
	row->line.token.data = row->token;
	row->line.token.len = sizeof(row->token);
	list->pointers[list->count++] = &row->line;
	return AG_OK;
}

ag_err
ag_lines_of(const struct supervisor *sup, const struct child *child,
    struct line_list *to, struct line_list *from)
{
	struct ag_mac *mac = NULL;
	ag_err err = ag_mac_new(sup->line_key, sizeof(sup->line_key), &mac);

	to->count = from->count = 0;
	for (unsigned i = 0; err == AG_OK && i < sup->count; i++) {
		const struct child *peer = &sup->children[i];
		struct ends out = { child, peer }, in = { peer, child };

		if (has_line(&out))
			err = add(sup, mac, &out, child, to);
		if (err == AG_OK && has_line(&in))
			err = add(sup, mac, &in, child, from);
	}
	ag_mac_free(&mac);
	return err;
}
