/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is under way: requests that were admitted and have not ended, for
 * policies that look at context.under_way. The plane that a request came from
 * says when its outcome is there; where none comes, it counts until a moment
 * after its deadline.
 */
#ifndef AEGIS_ACTORS_IAM_UNDER_WAY_H
#define AEGIS_ACTORS_IAM_UNDER_WAY_H

#include <aegis/aegis.h>

enum {
	IAM_UNDER_WAY_MAX = 8192, /* of all tenants together */
	IAM_UNDER_WAY_PART = IAM_UNDER_WAY_MAX / 4, /* of one, where there are more */
};

struct iam_under_way;
struct iam_under_way_query {
	const char *who, *action, *resource; /* resource NULL: no single thing */
	uint64_t now_ms; /* monotonic */
	/* How many places the tenant has, counted here for as long as one is its;
	 * and how many it may have. NULL: nobody counts. */
	unsigned *used, most;
};

ag_err iam_under_way_new(struct iam_under_way **out) AG_MUST;
void iam_under_way_free(struct iam_under_way **u);
/* How many there would be with this request; -1: there is no room for it, or
 * none for its tenant. */
int64_t iam_under_way_look(struct iam_under_way *u,
    const struct iam_under_way_query *q);
/* It is admitted, for this plane. Its place, which is never 0; 0: no room. */
uint64_t iam_under_way_take(struct iam_under_way *u,
    const struct iam_under_way_query *q, unsigned plane, uint64_t deadline_ms);
/* It ended. What is no such place, or another plane's, changes nothing. */
void iam_under_way_end(struct iam_under_way *u, uint64_t place, unsigned plane);

#endif
