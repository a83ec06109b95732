/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The recommendations, as the journal tells them: by id, and per tenant newest
 * first. A projection in the actor's store.
 */
#ifndef RESPONDER_BOOK_H
#define RESPONDER_BOOK_H

#include <aegis/aegis.h>

enum { BOOK_BY_ID, BOOK_BY_TIME };
#define BOOK_TABLES "by_id", "by_time"

/* Takes in one fact; version: of its stream. */
ag_err advice_apply(struct ag_ctx *ctx, const Ag__Recommendation *r,
    uint64_t version) AG_MUST;
/* In the turn's memory; NULL: there is none. */
Ag__Recommendation *advice_find(struct ag_ctx *ctx, const char *id,
    uint64_t *version);
/* A page of the trip's tenant, or a refusal. */
ag_err advice_list(struct ag_ctx *ctx, const Ag__RecommendationListAsk *ask,
    Ag__RecommendationListReply *reply) AG_MUST;
/* May the trip's caller know of it? Its tenant, and honey keys only if it may
 * see those. */
bool advice_visible(struct ag_ctx *ctx, const Ag__Recommendation *r);
/* Takes away what is the house's business. */
void advice_public(Ag__Recommendation *r);

#endif
