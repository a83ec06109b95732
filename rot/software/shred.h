/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a tenant: every wrapping key of it is erased. A note says first,
 * durably, that the tenant is gone; from then on nothing of it is opened or
 * made, and whoever asks again goes on where a crash stopped.
 */
#ifndef SOFTWARE_SHRED_H
#define SOFTWARE_SHRED_H

#include "vault.h"

struct shred {
	uint64_t erased; /* versions of keys, since the first ask */
	uint64_t left;
};

/* Erases at most max. Durable when it returns; AG_OK also if none is left. */
ag_err shred_tenant(struct vault *v, struct ag_ctx *ctx, const char *tenant,
    unsigned max, struct shred *out) AG_MUST;
bool shred_gone(struct ag_ctx *ctx, const char *tenant);

#endif
