/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was admitted lately, for policies that look at context.recent: how often
 * by one principal of one action and resource, and about how many keys.
 */
#ifndef AEGIS_ACTORS_IAM_RECENT_H
#define AEGIS_ACTORS_IAM_RECENT_H

#include "rules.h"
#include "windows.h"

enum {
	IAM_RECENT_SPANS = 4,           /* second, minute, hour, day */
	IAM_RECENT_USES_MAX = 1024,     /* actions × resources of one principal */
	IAM_RECENT_KEYS_MAX = 1024,     /* keys of one principal */
	/* Of a tenant together; 5 MiB with those below. */
	IAM_RECENT_TENANT_USES = 16384,
	IAM_RECENT_TENANT_KEYS = 65536,
};

struct iam;
struct iam_node;
struct call;
struct iam_recent; /* of a node */

/* What is asked: by whom, what, about which thing. */
struct iam_recent_query {
	struct iam_node *node;
	const char *action, *resource; /* resource NULL: no single thing */
	bool is_key;
	int64_t now;
	uint32_t items;
	bool real; /* now is now; else a time that somebody asks about */
};

/* As it would be with this request. Counts nothing. Where there is no room to
 * count it, all counts are AG_RULES_MANY. */
void iam_recent_look(struct iam *iam, const struct iam_recent_query *q,
    struct ag_rules_recent *out);
/* It is admitted. */
void iam_recent_take(struct iam *iam, const struct iam_recent_query *q);
/* Of the snapshot, which has all but what a crash took: a second at most. */
ag_err iam_recent_load(struct iam *iam, struct ag_ctx *ctx) AG_MUST;
ag_err iam_recent_flush(struct iam *iam, struct ag_ctx *ctx) AG_MUST;
/* What a day has passed over goes, a part at a time. */
void iam_recent_sweep(struct iam *iam, struct ag_ctx *ctx);
void iam_recent_free(struct iam *iam, struct iam_node *node);

#endif
