/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The label allowed_windows of a key: when it may be used. What cannot be
 * understood (the shards refuse it, so that is another program's label, or a
 * zone that this machine lacks) is never open.
 */
#include "call.h"
#include "ruling.h"

#include <stdlib.h>
#include <string.h>

/* Which label it is, or NULL. */
static const char *
label_of(const struct iam_key *key)
{
	for (size_t i = 0; i < key->target.label_count; i++)
		if (strcmp(key->labels[i].key, AG_HOURS_LABEL) == 0)
			return key->labels[i].value;
	return NULL;
}

ag_err
iam_hours_read(struct iam_key *key)
{
	const char *text = label_of(key);
	char problem[AG_HOURS_PROBLEM];

	if (text == NULL) {
		free(key->hours);
		key->hours = NULL;
		return AG_OK;
	}
	if (key->hours == NULL &&
	    (key->hours = calloc(1, sizeof(*key->hours))) == NULL)
		return AG_NO_MEMORY;
	if (!ag_hours_parse(text, key->hours, problem))
		memset(key->hours, 0, sizeof(*key->hours)); /* never open */
	return AG_OK;
}

bool
iam_hours_open(struct iam *iam, const struct iam_key *key, const char *action,
    int64_t now)
{
	const struct ag_zone *zone = NULL;
	const char *group;

	if (key == NULL || key->hours == NULL ||
	    !ag_rules_action_group(action, &group) || strcmp(group, "use") != 0)
		return true;
	if (key->hours->zone[0] != '\0' &&
	    (zone = zones_find(&iam->zones, key->hours->zone)) == NULL)
		return false;
	return ag_hours_open(key->hours, zone, now);
}

ag_err
iam_check_hours(struct call *c)
{
	const char *action = c->op->operation;

	if (c->key == NULL || c->key->hours == NULL)
		return AG_OK;
	/* A batch is what its items are. */
	if ((c->op->flags & AG_OP_EITEM) != 0 && (action = ag_printf(c->ctx,
	    "%s.%s", ag_kind_name(c->op->kind), c->scope_op)) == NULL)
		return AG_NO_MEMORY;
	if (iam_hours_open(c->iam, c->key, action, c->now))
		return AG_OK;
	ag_refuse_rule(c->ctx, AG_HOURS_LABEL);
	return REFUSE(c, AG_OUTSIDE_ALLOWED_WINDOW, NULL, NULL,
	    "This key may be used %s only.", label_of(c->key));
}
