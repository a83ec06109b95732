/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What several nodes share of rates, and of what is good once
 * (docs/decisions/0012). A node has permits of a window, which Redis has counted
 * already, and asks for more before it has none: a request waits only when
 * there are none at all, and then for one answer. While Redis is away each node
 * has its part of every rate.
 *
 * Without shared.enabled all of this is a NULL.
 */
#ifndef AEGIS_ACTORS_IAM_SHARES_H
#define AEGIS_ACTORS_IAM_SHARES_H

#include "windows.h"

struct iam;
struct call;
struct iam_share;
struct iam_shares;

/* From the configuration; AG_NO_MEMORY. */
ag_err iam_shares_init(struct iam *iam, struct ag_ctx *ctx) AG_MUST;
void iam_shares_fini(struct iam *iam);
/* May a limit or a code be another node's business? */
bool iam_shares_on(const struct iam *iam);
/* What one node may do of a limit that is not asked about, or not now: its part,
 * and at least one. */
struct iam_limit iam_shares_part(const struct iam *iam,
    const struct iam_limit *limit);

enum { IAM_BEGUN_MAX = 80 }; /* windows of one request: limits.rules and two */
/* A request is judged from here on. */
void iam_shares_request(struct iam *iam);
/* The share of this window, which the request is going to use; NULL: there is no
 * sharing, or no limit, or no room in the table (then it has its part). Asks for
 * permits where there are too few. */
struct iam_share *iam_share_begin(struct call *c, const char *kind,
    const char *name, const struct iam_limit *limit);
/* AG_PENDING: the request waits for an answer about one of the shares that it
 * has begun, and comes again. */
ag_err iam_shares_ready(struct call *c) AG_MUST;
/* As iam_window_look and iam_window_take; share: as iam_share_begin said. */
struct iam_room iam_share_look(struct call *c, struct iam_share *share,
    struct iam_window *w, const struct iam_limit *limit);
void iam_share_take(struct call *c, struct iam_share *share,
    struct iam_window *w, const struct iam_limit *limit);

ag_handler iam_on_shared_got, iam_on_shared_state;

#endif
