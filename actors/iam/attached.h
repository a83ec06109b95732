/* SPDX-License-Identifier: Apache-2.0 */
/* attached.c: what a principal has besides its own row. */
#ifndef AEGIS_ACTORS_IAM_ATTACHED_H
#define AEGIS_ACTORS_IAM_ATTACHED_H

#include "iam.h"

/* A kind of thing that a principal has at most one of. Its facts are in the
 * principal's stream, and the principal shows something of it. */
struct iam_attached {
	uint16_t fact;              /* AG_MSG_… */
	enum iam_table_name table;  /* of the snapshot: the newest fact */
	/* What of this fact the principal shows. */
	void (*show)(Ag__Principal *p, const void *fact);
	/* Into memory. */
	ag_err (*take)(struct iam_node *node, const void *fact);
	/* Is there still one, for the snapshot to keep? */
	bool (*is_there)(const struct iam_node *node);
};

/* The principal as it is after this fact, which is of the time at; NULL: no
 * memory. */
Ag__Principal *iam_attached_view(struct ag_ctx *ctx,
    const struct iam_attached *kind, const struct iam_node *node,
    const void *fact, int64_t at, uint64_t revision);
/* A fact of the journal about the principal of this id: memory and the
 * snapshot's rows. What failed is taken again when it comes again. *out NULL:
 * it was known already. */
ag_err iam_attached_apply(struct iam *iam, struct ag_ctx *ctx,
    const struct iam_attached *kind, const char *id, int64_t at,
    const struct ag_fact_record *r, struct iam_node **out) AG_MUST;
/* As ag_persist, with this one fact about the node; then gets the node's id. */
ag_err iam_attached_persist(struct ag_ctx *ctx, const struct iam_attached *kind,
    const struct iam_node *node, const void *fact, const void *reply,
    const void *replay, ag_then *then) AG_MUST;

#endif
