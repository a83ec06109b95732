/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the approvals share. */
#ifndef ACTORS_APPROVALS_H
#define ACTORS_APPROVALS_H

#include <aegis/aegis.h>

#include "state.h"

enum {
	APPROVAL_MATCH = 32,         /* bytes of what makes two requests one */
	APPROVAL_TEXT_MAX = 200,     /* bytes of what a caller says */
	APPROVAL_COMMENT_MAX = 500,  /* of a decision */
	APPROVAL_DECISIONS_MAX = 64, /* people who have decided on one */
	APPROVAL_ROOT_FACTOR = 5,    /* times pending_max: of all below a person */
	APPROVAL_EXPIRE_EACH = 64,   /* a second */
	APPROVAL_STREAM = 64,
};

enum approvals_metric {
	APPROVALS_M_ASKED, APPROVALS_M_COALESCED, APPROVALS_M_CAPPED,
	APPROVALS_M_USED, APPROVALS_M_REFUSED, APPROVALS_M_DECIDED,
	APPROVALS_M_EXPIRED,
};

struct approvals {
	int64_t ttl_ms, window_ms, denied_ms;
	unsigned pending_max;
};

/* ---- book.c: the requests as the journal tells them, in the actor's store */
#define APPROVALS_TABLES "by_id", "by_time", "by_match", "open", "due"
/* Takes in one fact; what may not follow is logged and left out. */
ag_err book_apply(struct ag_ctx *ctx, const Ag__Approval *a, uint64_t version)
    AG_MUST;
/* In the turn's memory, revision filled in; NULL: there is none. */
Ag__Approval *book_find(struct ag_ctx *ctx, const char *id);
/* The newest about the same request, or NULL. */
Ag__Approval *book_match(struct ag_ctx *ctx, const uint8_t match[APPROVAL_MATCH]);
/* How many wait of this requester, and of all below its root. */
void book_open(struct ag_ctx *ctx, const char *root, const char *requester,
    unsigned *own, unsigned *all);
/* Ids of those that wait past `now`; returns how many, at most max. */
unsigned book_due(struct ag_ctx *ctx, int64_t now, char ids[][AG_ID_SIZE],
    unsigned max);
ag_err book_list(struct ag_ctx *ctx, const Ag__ApprovalListAsk *ask,
    Ag__ApprovalListReply *reply) AG_MUST;
/* May the trip's caller know of it? Its own, or of those below it; all of its
 * tenant if it may approve. */
bool book_visible(struct ag_ctx *ctx, const Ag__Approval *a);
/* Is this somebody in its requester's chain, the requester included? */
bool book_in_chain(const Ag__Approval *a, const char *id);

/* ---- draft.c: a request for approval as the server knows it */
ag_err draft_match(struct ag_ctx *ctx, uint8_t match[APPROVAL_MATCH]) AG_MUST;
/* In the turn's memory; NULL: no memory. */
Ag__Approval *draft_new(const struct approvals *state, struct ag_ctx *ctx,
    const uint8_t match[APPROVAL_MATCH]);

/* ---- gate.c: the station behind risk */
ag_err gate_station(void *state, struct ag_ctx *ctx, const void *msg);

/* ---- decide.c: what people say */
ag_err on_approve(void *state, struct ag_ctx *ctx, const void *msg);
ag_err on_deny(void *state, struct ag_ctx *ctx, const void *msg);
ag_err on_cancel(void *state, struct ag_ctx *ctx, const void *msg);
/* Is every need met? */
bool decide_met(const Ag__Approval *a);
/* Once a second: what waited too long. */
void decide_expire(void *state, struct ag_ctx *ctx);

#endif
