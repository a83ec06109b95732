/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Using a key: one row per operation, in two halves. plan: what is wanted, is
 * it well-formed, which version does it take; no key is touched. run: do it.
 */
#ifndef KEYS_USE_H
#define KEYS_USE_H

#include "keys.h"

/* The key in use, and the turn. */
struct use {
	struct keys *k;
	struct ag_ctx *ctx;
	struct hot *hot;
	const struct spec *spec;
	unsigned usage;
};

struct plan {
	const struct algorithm *algorithm;
	uint32_t version; /* 0: whichever verifies */
	bool is_private;  /* needs what only the root of trust has */
};

struct use_row {
	uint16_t type;
	Ag__Usage__V usage;
	enum key_op op;
	ag_err (*plan)(struct use *u, const void *ask, struct plan *plan,
	    struct why *why);
	ag_err (*run)(struct use *u, const void *ask, const struct plan *plan,
	    void *reply, struct why *why);
	const ProtobufCMessageDescriptor *ask, *reply;
	/* Of a batch: where its items and results are (0: not in batches). */
	size_t count_at, items_at, result_at;
};

const struct use_row *use_row_for(uint16_t type);
const struct use_row *use_row_for_usage(int usage);

/* The version as it may be used; NULL: not in memory (private), no such. */
struct parsed *use_private(struct use *u, uint32_t version);
struct parsed *use_public(struct use *u, uint32_t version);
/* The table's verdict, into why. */
ag_err use_state(const struct use *u, enum key_op op, uint32_t version,
    struct why *why) AG_MUST;

/* ---- signing.c */
ag_err plan_sign(struct use *u, const void *ask, struct plan *plan, struct why *why);
ag_err run_sign(struct use *u, const void *ask, const struct plan *plan,
    void *reply, struct why *why);
ag_err plan_verify(struct use *u, const void *ask, struct plan *plan, struct why *why);
ag_err run_verify(struct use *u, const void *ask, const struct plan *plan,
    void *reply, struct why *why);
/* ---- sealing.c */
ag_err plan_encrypt(struct use *u, const void *ask, struct plan *plan, struct why *why);
ag_err run_encrypt(struct use *u, const void *ask, const struct plan *plan,
    void *reply, struct why *why);
ag_err plan_decrypt(struct use *u, const void *ask, struct plan *plan, struct why *why);
ag_err run_decrypt(struct use *u, const void *ask, const struct plan *plan,
    void *reply, struct why *why);
ag_err plan_data_key(struct use *u, const void *ask, struct plan *plan, struct why *why);
ag_err run_data_key(struct use *u, const void *ask, const struct plan *plan,
    void *reply, struct why *why);
/* ---- batch.c */
/* Plans every item; the versions that must be brought in first. */
struct batch {
	const struct use_row *row;
	size_t count;
	const void *const *items;
	struct plan *plans;
	ag_err *errs;
	struct why *whys;
	uint32_t versions[LOADS_MAX];
	size_t version_count;
};
ag_err batch_plan(struct use *u, const Ag__BatchAsk *ask, struct batch *b) AG_MUST;
ag_err batch_run(struct use *u, struct batch *b) AG_MUST;

#endif
