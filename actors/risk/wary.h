/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Of whom a second factor is wanted whatever the score says: the responder's
 * step_up. A person is free again when it came with one; who has none (agents,
 * services) is refused meanwhile. It ends by itself after WARY_MS, and it
 * survives a restart.
 */
#ifndef RISK_WARY_H
#define RISK_WARY_H

#include <aegis/aegis.h>

enum {
	WARY_MAX = 256, /* past it, the one that would end first is let go */
	WARY_MS = 15 * 60 * 1000,
};

struct wary {
	unsigned table; /* of the store */
	unsigned count;
	struct wary_row {
		char id[AG_ID_SIZE];    /* of the principal */
		char cause[AG_ID_SIZE]; /* the recommendation: acts once */
		int64_t until_ms;
	} rows[WARY_MAX];
};

bool wary_of(const struct wary *wary, const char *id, int64_t now_ms);
/* Committed when it returns AG_OK. *changed: it was not so for this cause. */
ag_err wary_add(struct wary *wary, struct ag_ctx *ctx, const char *id,
    const char *cause, protobuf_c_boolean *changed) AG_MUST;
/* It has shown its second factor; for the same cause it is not asked again. */
ag_err wary_drop(struct wary *wary, struct ag_ctx *ctx, const char *id) AG_MUST;
ag_err wary_load(struct wary *wary, struct ag_ctx *ctx) AG_MUST;

#endif
