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
	uint32_t wants; /* a version that must be brought in before run can go on */
	uint32_t used;  /* version that run has used, to be counted */
};

struct plan {
	const struct algorithm *algorithm;
	uint32_t version; /* 0: whichever it is good under */
	bool is_private;  /* needs what only the root of trust has */
	bool seals;       /* under a random IV: these are limited */
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

/* ---- count.c */
struct taking {
	uint32_t version;
	uint64_t operations, seals;
};
/* May so many more be used under this version at all? */
bool count_seals_left(const struct hot *hot, uint32_t version, uint64_t n);
/* AG_OK: they may be taken. AG_PENDING: the trip waits for the journal. */
ag_err count_ready(struct use *u, const struct taking *taking) AG_MUST;
void count_take(struct use *u, const struct taking *taking);
/* Which epoch is it? Then: from now on things are counted in it. At the end in
 * order: all that was counted is in the store. */
ag_err count_epoch_begin(struct cache *c, struct ag_ctx *ctx) AG_MUST;
ag_err count_epoch_running(struct cache *c, struct ag_ctx *ctx) AG_MUST;
ag_err count_epoch_end(struct cache *c, struct ag_ctx *ctx) AG_MUST;

const struct use_row *use_row_for(uint16_t type);
const struct use_row *use_row_for_usage(int usage);

/* The version as it may be used; NULL: not in memory (private), no such. */
struct parsed *use_private(struct use *u, uint32_t version);
struct parsed *use_public(struct use *u, uint32_t version);
/* The answer of run when a private version is not in memory: bring it in and
 * run again. */
ag_err use_wants(struct use *u, uint32_t version) AG_MUST;
/* Is it good under this version? */
typedef ag_err use_check(struct use *u, const void *ask, const struct plan *plan,
    uint32_t version, bool *valid);
/*
 * Under plan->version, or under the newest VERIFY_VERSIONS_MAX that may be
 * used, newest first. *version: the one that it is good under, else the newest
 * tried. Refused if none may be used: with the newest one's reason.
 */
ag_err use_versions(struct use *u, const void *ask, const struct plan *plan,
    use_check *check, uint32_t *version, bool *valid, struct why *why) AG_MUST;
/* n encryptions more: does the limit allow them? */
ag_err use_seals(const struct use *u, const struct plan *plan, uint64_t n,
    struct why *why) AG_MUST;
/* Which version a request is about: the named one, of which 0 is none. */
ag_err plan_version(bool has, uint32_t named, uint32_t unnamed,
    struct plan *plan, struct why *why) AG_MUST;
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
/* What a request binds a text to. */
struct binding {
	Ag__Pair *const *pairs;
	size_t n_pairs;
	bool has_aad;
	const ProtobufCBinaryData *aad;
	bool raw;
};
ag_err binding_aad(struct use *u, const struct binding *b, uint32_t version,
    struct text *t, struct why *why) AG_MUST;
/* Everything that encrypt and wrap may give out, in one buffer: header, iv,
 * ciphertext, tag. RSA and key wrapping have neither iv nor tag. */
struct sealed {
	uint8_t *bytes;
	size_t len;
	uint8_t *body, *iv, *tag;
	size_t body_len;
};
ag_err seal(struct use *u, const struct plan *plan, const struct text *t,
    struct sealed *s) AG_MUST;
/* Algorithm (one of list) and version as the ciphertext itself says them;
 * whatever is wrong with it is one and the same failure. */
ag_err header_read(const struct use *u, const ProtobufCBinaryData *c,
    const Ag__Algorithm__V *list, struct plan *plan) AG_MUST;
/* ---- wrapping.c */
ag_err plan_wrap(struct use *u, const void *ask, struct plan *plan, struct why *why);
ag_err run_wrap(struct use *u, const void *ask, const struct plan *plan,
    void *reply, struct why *why);
ag_err plan_unwrap(struct use *u, const void *ask, struct plan *plan, struct why *why);
ag_err run_unwrap(struct use *u, const void *ask, const struct plan *plan,
    void *reply, struct why *why);
/* ---- mac.c */
ag_err plan_mac(struct use *u, const void *ask, struct plan *plan, struct why *why);
ag_err run_mac(struct use *u, const void *ask, const struct plan *plan,
    void *reply, struct why *why);
ag_err plan_mac_verify(struct use *u, const void *ask, struct plan *plan,
    struct why *why);
ag_err run_mac_verify(struct use *u, const void *ask, const struct plan *plan,
    void *reply, struct why *why);
/* ---- batch.c */
/* The version that an item was done under, 0: it failed; under a random IV? */
struct mark {
	uint32_t version;
	bool seals;
};
/* Plans every item; the versions that must be brought in first. */
struct batch {
	const struct use_row *row;
	size_t count, done; /* of the items */
	struct part *part;  /* what was done in earlier turns; NULL: nothing */
	const void *const *items;
	struct plan *plans;
	ag_err *errs;
	struct why *whys;
	uint32_t versions[LOADS_MAX];
	size_t version_count;
	Ag__BatchResult **results; /* of this turn */
	struct mark *marks;
};
ag_err batch_plan(struct use *u, const Ag__BatchAsk *ask, struct batch *b) AG_MUST;
/* AG_PENDING: it goes on in another turn. */
ag_err batch_run(struct use *u, struct batch *b) AG_MUST;
/* A use that gave way to others: from its beginning, but for what it kept. */
ag_err use_resumed(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo);
/* ---- part.c */
/* Of the turn's request; NULL: it is at its beginning. */
struct part *part_find(struct use *u, size_t count);
size_t part_done(const struct part *part);
/* The results from first to done, into b->part, which it makes. AG_FULL. */
ag_err part_keep(struct use *u, struct batch *b, size_t first) AG_MUST;
/* All that was kept, into b's results and marks. */
ag_err part_fetch(struct use *u, struct batch *b) AG_MUST;
void part_drop(struct use *u, struct part *part); /* NULL: nothing to do */

#endif
