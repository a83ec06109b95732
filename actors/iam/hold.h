/* SPDX-License-Identifier: Apache-2.0 */
/* hold.c: agents that wait for a ruling */
#ifndef AEGIS_ACTORS_IAM_HOLD_H
#define AEGIS_ACTORS_IAM_HOLD_H

#include "iam.h"

/* True: the trip must wait; *err is what to return. */
bool iam_hold_wait(struct iam *iam, struct ag_ctx *ctx, struct iam_node *node,
    ag_err *err);
void iam_hold_begin(struct iam *iam, struct ag_ctx *ctx, struct iam_node *node,
    const char *event_id);
/* People let go of it themselves. */
void iam_hold_clear(struct iam *iam, struct ag_ctx *ctx, struct iam_node *node);
void iam_hold_free(struct iam_node *node);
/* From the snapshot. */
ag_err iam_hold_load(struct iam *iam, const char *agent_id, const void *events,
    size_t len) AG_MUST;
ag_handler iam_on_ruling;

#endif
