/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The label residency of a key: from which regions it may be used, `eu` or
 * `eu+uk`. Where somebody is, their address says, and nothing that they say:
 * residency.regions has the networks of each region. An address in none of
 * them is nowhere, and nowhere is not in any region.
 */
#include "call.h"
#include "ruling.h"

#include <stdlib.h>
#include <string.h>

#define LABEL "residency"
#define PATH "residency.regions[]."

struct iam_region {
	const char *name;
	struct iam_cidr *networks;
	unsigned count;
};

static ag_err
read_region(struct ag_ctx *ctx, struct iam_region *region, unsigned row)
{
	const struct ag_config *config = ag_config(ctx);
	const char *text;
	unsigned n = 0;

	region->name = ag_config_str(ctx, PATH "name", row);
	while (ag_config_get_item(config, PATH "networks", row, n) != NULL)
		n++;
	region->networks = calloc(n + 1, sizeof(*region->networks));
	if (region->networks == NULL)
		return AG_NO_MEMORY;
	for (; (text = ag_config_get_item(config, PATH "networks", row,
	    region->count)) != NULL; region->count++)
		if (!iam_cidr_parse(text, &region->networks[region->count])) {
			ag_log(ctx, AG_ERROR, "REGION-BAD", "where=%s network=%s",
			    ag_config_get_where(config, PATH "name", row), text);
			return AG_USAGE;
		}
	return AG_OK;
}

ag_err
iam_regions_init(struct iam *iam, struct ag_ctx *ctx)
{
	unsigned n = ag_config_count(ctx, "residency.regions");
	ag_err err = AG_OK;

	if ((iam->regions = calloc(n + 1, sizeof(*iam->regions))) == NULL)
		return AG_NO_MEMORY;
	for (unsigned i = 0; err == AG_OK && i < n; i++) {
		iam->region_count = i + 1;
		err = read_region(ctx, &iam->regions[i], i);
	}
	return err;
}

void
iam_regions_fini(struct iam *iam)
{
	for (unsigned i = 0; i < iam->region_count; i++)
		free(iam->regions[i].networks);
	free(iam->regions);
	iam->regions = NULL;
	iam->region_count = 0;
}

static const char *
label_of(const struct iam_key *key)
{
	for (size_t i = 0; i < key->target.label_count; i++)
		if (strcmp(key->labels[i].key, LABEL) == 0)
			return key->labels[i].value;
	return NULL;
}

/* Is the region one of "eu+uk"? */
static bool
is_named(const char *label, const char *name)
{
	size_t len = strlen(name);

	for (; *label != '\0'; label += *label == '+') {
		size_t n = strcspn(label, "+");

		if (n == len && memcmp(label, name, n) == 0)
			return true;
		label += n;
	}
	return false;
}

static bool
is_in(const struct iam_region *region, const char *address)
{
	for (unsigned i = 0; i < region->count; i++)
		if (iam_cidr_has(&region->networks[i], address))
			return true;
	return false;
}

bool
iam_resides(const struct iam *iam, const struct iam_key *key,
    const char *action, const char *address)
{
	const char *label = key == NULL ? NULL : label_of(key), *group;

	if (label == NULL || !ag_rules_action_group(action, &group) ||
	    strcmp(group, "use") != 0)
		return true;
	for (unsigned i = 0; address != NULL && i < iam->region_count; i++)
		if (is_named(label, iam->regions[i].name) &&
		    is_in(&iam->regions[i], address))
			return true;
	return false;
}

ag_err
iam_check_residency(struct call *c)
{
	const char *action = c->op->operation;

	if (c->key == NULL || label_of(c->key) == NULL)
		return AG_OK;
	/* A batch is what its items are. */
	if ((c->op->flags & AG_OP_EITEM) != 0 && (action = ag_printf(c->ctx,
	    "%s.%s", ag_kind_name(c->op->kind), c->scope_op)) == NULL)
		return AG_NO_MEMORY;
	if (iam_resides(c->iam, c->key, action, c->rq->source_address))
		return AG_OK;
	ag_refuse_rule(c->ctx, LABEL);
	return REFUSE(c, AG_RESIDENCY_VIOLATION, NULL, NULL,
	    "This key may be used from %s only.", label_of(c->key));
}
