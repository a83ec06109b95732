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
	EVERY_SECOND_MS = 1000,
	DUE_AT_ONCE = 64,        /* destructions, or rotations, begun per tick */
	DUE_KEY_BYTES = 8 + AG_ID_SIZE,
	LABELS_MAX = 32,
	REASON_BYTES_MAX = 512,
	VERIFY_VERSIONS_MAX = 16,
	LOADS_MAX = 16,          /* versions that one request may bring in */
	BATCH_ITEMS_MAX = 10000,
	WINDOW_S_DEFAULT = 604800,
	WINDOW_S_MAX = 365 * 86400,
};

enum keys_metric { METRIC_LOADS, METRIC_HOT, METRIC_PARSED, METRIC_DESTROYED,
	METRIC_ROTATED, METRIC_BACKEND };

struct keys {
	struct cache cache;
	int64_t destroy_min_window_s;
	bool rot_missing; /* said so in the log */
	bool live;        /* the journal is followed: counters are our own */
	struct part *parts; /* batches under way (part.c) */
};
/* Of requests that ended elsewhere, in the queue of a count for instance.
 * Returns how many are left. */
size_t parts_drop_stale(struct keys *k, struct ag_ctx *ctx);
void parts_fini(struct keys *k);

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
/* Is it the root of trust of another node that has the key? */
bool keys_elsewhere(struct ag_ctx *ctx, ag_err status);
/* The root of trust did not do it: as an answer. What it said about the
 * caller's own bytes is passed on. */
ag_err keys_rot_failed(struct ag_ctx *ctx, ag_err status) AG_MUST;
/* A SubjectPublicKeyInfo as PEM, in the turn's memory; NULL: it is none. */
char *keys_pem(struct ag_ctx *ctx, const ProtobufCBinaryData *der);
unsigned keys_usage_bits(const Ag__Key *key);

/* ---- lifecycle.c */
ag_err keys_alias_check(struct ag_ctx *ctx, const char *alias) AG_MUST;
ag_err keys_spec_check(struct ag_ctx *ctx, int id, const struct spec **out) AG_MUST;
/* May it be for this? public_only: of a key whose private half is not here. */
ag_err keys_usage_check(struct ag_ctx *ctx, const struct spec *spec,
    const Ag__Usage__V *usage, size_t n, bool public_only) AG_MUST;
/* Into the fact: what was asked for, or the default. */
ag_err keys_fill_usage(struct ag_ctx *ctx, Ag__KeyCreatedFact *fact,
    const struct spec *spec, const Ag__Usage__V *usage, size_t n,
    bool public_only) AG_MUST;
/* Material for the version after the newest; then gets its number, a uint32_t,
 * as the memo: what was made is of that version only. */
ag_err keys_generate_next(struct ag_ctx *ctx, const Ag__Key *key, ag_then *then)
    AG_MUST;
/* Enters the new key's stream. */
ag_err keys_begin_new(struct ag_ctx *ctx) AG_MUST;
/* Key and alias, both or neither; answers with the key. */
ag_err keys_persist_created(struct ag_ctx *ctx, Ag__KeyCreatedFact *fact) AG_MUST;
/* Is more of it here than a public key? */
bool keys_has_material(const Ag__KeyStored *s);
/* The same, to make a new version of; refuses. */
ag_err keys_rotates(struct ag_ctx *ctx, const Ag__KeyStored *s) AG_MUST;
ag_err on_key_create(void *state, struct ag_ctx *ctx, const void *msg);
ag_err on_key_rotate(void *state, struct ag_ctx *ctx, const void *msg);
/* ---- import.c */
ag_err on_key_import_parameters(void *state, struct ag_ctx *ctx, const void *msg);
ag_err on_key_import(void *state, struct ag_ctx *ctx, const void *msg);
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
/* A record that no request waits for: key.<what>, with an id that follows from
 * the key's revision. Add the reason. */
ag_err keys_event(struct ag_ctx *ctx, const Ag__Key *key, const char *what,
    char id[AG_ID_SIZE], Ag__OutcomeEvent *event) AG_MUST;
/* Tables of what is due: time BE8 ‖ key id. */
struct keys_due_scan {
	int64_t now;
	unsigned count;
	int64_t at[DUE_AT_ONCE];
	char ids[DUE_AT_ONCE][AG_ID_SIZE];
};
size_t keys_due_key(int64_t at, const char *id, uint8_t out[DUE_KEY_BYTES]);
ag_err keys_due_look(struct ag_ctx *ctx, unsigned table, struct keys_due_scan *scan)
    AG_MUST;
/* Keeps the table of what is due as the key has it. */
ag_err keys_plan(struct ag_ctx *ctx, const char *id, bool had, int64_t before,
    bool has, int64_t after) AG_MUST;
/* ---- rotate.c */
void keys_rotate_due(void *state, struct ag_ctx *ctx);
/* Does so for every key in the store: one of before there was the table. */
ag_err keys_replan_rotations(struct ag_ctx *ctx) AG_MUST;
/* Notes when the key is to be looked at, if that has changed. */
ag_err keys_plan_rotation(struct ag_ctx *ctx, const Ag__Key *key, bool had,
    int64_t before) AG_MUST;
/* The newest version was used: is that enough? */
void keys_rotate_counted(struct ag_ctx *ctx, struct hot *hot);
/* ---- use.c, random.c, public.c: every use of a key, batches; public halves */
ag_err on_key_use(void *state, struct ag_ctx *ctx, const void *msg);
ag_err on_key_random(void *state, struct ag_ctx *ctx, const void *msg);
ag_err on_key_public(void *state, struct ag_ctx *ctx, const void *msg);
ag_err on_key_jwk(void *state, struct ag_ctx *ctx, const void *msg);
ag_err on_key_jwks(void *state, struct ag_ctx *ctx, const void *msg);

#endif
