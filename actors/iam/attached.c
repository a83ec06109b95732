/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a principal has besides its own row and shows something of: a second
 * factor, a client secret. Each change is a fact in the principal's stream, so
 * that changes of one principal have one order.
 */
#include "attached.h"
#include "exec.h"

#include <stdio.h>
#include <string.h>

Ag__Principal *
iam_attached_view(struct ag_ctx *ctx, const struct iam_attached *kind,
    const struct iam_node *node, const void *fact, int64_t at,
    uint64_t revision)
{
	Ag__Principal *p = iam_principal_view(ctx, node);

	if (p == NULL)
		return NULL;
	kind->show(p, fact);
	p->updated_at = at;
	p->revision = revision;
	return p;
}

static ag_err
store(struct ag_ctx *ctx, const struct iam_attached *kind,
    const struct iam_node *node, const void *fact)
{
	ag_err err;

	if (kind->is_there(node))
		return iam_store_msg(ctx, kind->table, node->id, fact);
	err = ag_store_del(ctx, kind->table, node->id, strlen(node->id));
	return err == AG_ITEM_NOT_FOUND ? AG_OK : err;
}

ag_err
iam_attached_apply(struct iam *iam, struct ag_ctx *ctx,
    const struct iam_attached *kind, const char *id, int64_t at,
    const struct ag_fact_record *r, struct iam_node **out)
{
	struct iam_node *node = iam_node_find(iam, id);
	Ag__Principal *p;
	uint64_t before;
	ag_err err;

	*out = NULL;
	if (node == NULL || node->parent != NULL)
		return AG_CORRUPT;
	if ((before = node->version) >= r->version)
		return AG_OK;
	p = iam_attached_view(ctx, kind, node, r->fact, at, r->version);
	if (p == NULL)
		return AG_NO_MEMORY;
	if ((err = kind->take(node, r->fact)) != AG_OK ||
	    (err = iam_take_principal(iam, p, &node)) != AG_OK ||
	    (err = iam_store_msg(ctx, IAM_T_PRINCIPALS, p->id, p)) != AG_OK ||
	    (err = store(ctx, kind, node, r->fact)) != AG_OK)
		node->version = before; /* it comes again, as if never seen */
	else
		*out = node;
	return err;
}

ag_err
iam_attached_persist(struct ag_ctx *ctx, const struct iam_attached *kind,
    const struct iam_node *node, const void *fact, const void *reply,
    const void *replay, ag_then *then)
{
	char stream[IAM_STREAM_MAX];
	struct ag_fact facts[1];

	snprintf(stream, sizeof(stream), "principal:%s", node->id);
	facts[0] = (struct ag_fact){ stream, node->version, kind->fact, fact };
	return ag_persist(ctx, facts, 1, ag_type(ctx), reply, replay, then,
	    then == NULL ? NULL : node->id, then == NULL ? 0 : sizeof(node->id));
}
