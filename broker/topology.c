/* SPDX-License-Identifier: Apache-2.0 */
/*
 * topology: may this frame go there?
 * Reads header, part headers and types; proto/routes.def is the law.
 */
#include "topology.h"

#include "engine.h"

#include <string.h>

ag_err
topology_set(struct topology *t, unsigned slot, const char *name,
    const char *role)
{
	enum ag_role number = ag_role_named(role);

	if (slot >= TOPOLOGY_SLOTS_MAX || number == AG_ROLE_NONE)
		return AG_INVALID_FIELD;
	if (name[0] == '\0' || strlen(name) >= TOPOLOGY_NAME_SIZE)
		return AG_INVALID_FIELD;
	memset(&t->rows[slot], 0, sizeof(t->rows[slot]));
	memcpy(t->rows[slot].name, name, strlen(name));
	t->rows[slot].role = number;
	return AG_OK;
}

void
topology_clear(struct topology *t, unsigned slot)
{
	if (slot < TOPOLOGY_SLOTS_MAX)
		memset(&t->rows[slot], 0, sizeof(t->rows[slot]));
}

bool
topology_has(const struct topology *t, unsigned slot)
{
	return slot < TOPOLOGY_SLOTS_MAX && t->rows[slot].name[0] != '\0';
}

unsigned
topology_find(const struct topology *t, enum ag_role role)
{
	for (unsigned slot = 0; slot < TOPOLOGY_SLOTS_MAX; slot++)
		if (topology_has(t, slot) && t->rows[slot].role == role)
			return slot;
	return AG_SLOT_NONE;
}

/* NULL: the part may go; otherwise why not. */
static const char *
judge_part(const struct topology *t, unsigned from, unsigned to, uint16_t type)
{
	if (ag_message_find(type) == NULL)
		return "unknown type";
	if (to == AG_SLOT_BROKER)
		return type == AG_MSG_HELLO_EVENT ? NULL : "not for the broker";
	if (!topology_has(t, to))
		return "no such row";
	return ag_route_refusal(t->rows[from].role, t->rows[to].role, type);
}

enum judgement
topology_judge(const struct topology *t, unsigned from, const uint8_t *bytes,
    size_t len, struct judged *out)
{
	struct ag_frame frame;
	struct ag_part part;
	size_t offset = AG_FRAME_HEADER;

	memset(out, 0, sizeof(*out));
	if (!topology_has(t, from) ||
	    ag_frame_parse(bytes, len, &frame) != AG_OK)
		return JUDGED_GARBAGE; /* all parts were looked at */
	out->to = frame.to;
	for (unsigned i = 0; i < frame.count; i++) {
		if (ag_frame_part(bytes, len, &offset, &part) != AG_OK)
			return JUDGED_GARBAGE;
		out->type = part.type;
		out->why = judge_part(t, from, frame.to, part.type);
		if (out->why != NULL)
			return JUDGED_REFUSED;
	}
	return frame.to == AG_SLOT_BROKER ? JUDGED_HELLO : JUDGED_PASS;
}
