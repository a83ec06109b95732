/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A key shard's files, among themselves.
 */
#ifndef KEYS_KEYS_H
#define KEYS_KEYS_H

#include "cache.h"
#include "fold.h"
#include "state.h"

enum {
	ROT_TIMEOUT_MS = 5000,
	ROT_MAKE_TIMEOUT_MS = 9000, /* of AG_OP_SLOW: a large RSA key */
	DUE_EVERY_MS = 250,
	GAUGES_EVERY_MS = 1000,
	DUE_AT_ONCE = 64,        /* destructions begun per tick */
	LABELS_MAX = 32,
	REASON_BYTES_MAX = 512,
	VERIFY_VERSIONS_MAX = 16,
	LOADS_MAX = 16,          /* versions that one request may bring in */
	BATCH_ITEMS_MAX = 10000,
	WINDOW_S_DEFAULT = 604800,
	WINDOW_S_MAX = 365 * 86400,
};

enum keys_metric { METRIC_LOADS, METRIC_HOT, METRIC_PARSED, METRIC_DESTROYED };

struct keys {
	struct cache cache;
	int64_t destroy_min_window_s;
	bool rot_missing; /* said so in the log */
};

/* The key that the trip's grant names, if it is the tenant's; else refuses. */
ag_err keys_open(struct keys *k, struct ag_ctx *ctx, struct hot **out) AG_MUST;
/* "key:<id>" of the turn. */
const char *keys_stream(struct ag_ctx *ctx, const char *id);
bool keys_pending(const Ag__KeyStored *s, uint32_t version);
/* The table's verdict on this version; refuses. */
ag_err keys_check(struct ag_ctx *ctx, enum key_op op, const Ag__KeyStored *s,
    uint32_t version) AG_MUST;
/* ag_refuse with what a why says (nothing: the error alone). */
ag_err keys_refuse(struct ag_ctx *ctx, ag_err err, const struct why *why) AG_MUST;
/* The root of trust did not do it: as an answer. */
ag_err keys_rot_failed(struct ag_ctx *ctx, ag_err status) AG_MUST;
unsigned keys_usage_bits(const Ag__Key *key);

/* ---- lifecycle.c */
ag_err on_key_create(void *state, struct ag_ctx *ctx, const void *msg);
ag_err on_key_import(void *state, struct ag_ctx *ctx, const void *msg);
ag_err on_key_rotate(void *state, struct ag_ctx *ctx, const void *msg);
/* ---- change.c */
/* One of one's own, in the turn's memory; NULL at the ceiling. */
Ag__KeyStored *keys_copy(struct ag_ctx *ctx, const Ag__KeyStored *stored);
/* What this caller may see of it; changes *stored, which is a copy. */
Ag__Key *keys_shown(struct ag_ctx *ctx, Ag__KeyStored *stored);
/* Persists one fact and answers with the Key as it is then. */
ag_err keys_change(struct ag_ctx *ctx, const struct hot *hot, uint16_t type,
    const void *fact) AG_MUST;
/* Opens, enters exclusively, checks If-Match and the state of its newest version. */
ag_err keys_change_begin(struct keys *k, struct ag_ctx *ctx, enum key_op op,
    struct hot **out) AG_MUST;
ag_err keys_labels_check(struct ag_ctx *ctx, Ag__Pair *const *labels, size_t n,
    bool patch) AG_MUST;
ag_err keys_rotation_check(struct ag_ctx *ctx, const Ag__Rotation *r) AG_MUST;
char *keys_actor(struct ag_ctx *ctx);
ag_err on_key_read(void *state, struct ag_ctx *ctx, const void *msg);
ag_err on_key_update(void *state, struct ag_ctx *ctx, const void *msg);
ag_err on_key_activate(void *state, struct ag_ctx *ctx, const void *msg);
ag_err on_key_deactivate(void *state, struct ag_ctx *ctx, const void *msg);
ag_err on_key_compromise(void *state, struct ag_ctx *ctx, const void *msg);
ag_err on_key_destroy(void *state, struct ag_ctx *ctx, const void *msg);
ag_err on_key_cancel_destroy(void *state, struct ag_ctx *ctx, const void *msg);
ag_err on_key_freeze(void *state, struct ag_ctx *ctx, const void *msg);
ag_err on_key_unfreeze(void *state, struct ag_ctx *ctx, const void *msg);
/* ---- act.c: what the responder wants */
ag_err on_act_ask(void *state, struct ag_ctx *ctx, const void *msg);
/* ---- destroy.c */
void keys_due(void *state, struct ag_ctx *ctx);
/* Keeps the table of what is due as the key has it. */
ag_err keys_plan(struct ag_ctx *ctx, const char *id, bool had, int64_t before,
    bool has, int64_t after) AG_MUST;
/* ---- use.c, random.c, public.c: every use of a key, batches; public halves */
ag_err on_key_use(void *state, struct ag_ctx *ctx, const void *msg);
ag_err on_key_random(void *state, struct ag_ctx *ctx, const void *msg);
ag_err on_key_public(void *state, struct ag_ctx *ctx, const void *msg);
ag_err on_key_jwk(void *state, struct ag_ctx *ctx, const void *msg);
ag_err on_key_jwks(void *state, struct ag_ctx *ctx, const void *msg);

#endif
