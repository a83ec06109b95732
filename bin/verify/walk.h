/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the check's files share.
 */
#ifndef AEGIS_VERIFY_WALK_H
#define AEGIS_VERIFY_WALK_H

#include <aegis/aegis.h>
#include <aegis/seglog.h>

#include <openssl/evp.h>

enum { VERIFY_KEYS_MAX = 64, VERIFY_WHAT_MAX = 256 };

/* A signed head: the log's newest, or one that the verifier kept. */
struct head {
	uint64_t size; /* 0: none */
	uint8_t root[AG_HASH_BYTES];
	int64_t created_at;
	char key_id[65];
	uint8_t signature[64];
};

/* One tenant's chain, as far as it was read. Memory: the tree's peaks at the
 * newest checkpoint, and the leaves since (about a second's worth). */
struct chain {
	char tenant[AG_SEG_TENANT_MAX + 1];
	uint64_t seq;
	uint8_t hash[AG_HASH_BYTES];
	struct ag_merkle anchor;
	uint8_t (*leaves)[AG_HASH_BYTES];
	size_t leaf_count, leaf_cap;
	struct head signed_head;
	struct head kept; /* size 0: none */
	bool kept_met;
	/* Where the log was cut: everything up to here is gone. */
	uint64_t base_seq;
	uint8_t base_hash[AG_HASH_BYTES], base_root[AG_HASH_BYTES];
};

struct verify {
	struct ag_segs *segs;
	const char *tenant; /* only this one; NULL: all */
	EVP_PKEY *keys[VERIFY_KEYS_MAX];
	size_t key_count;
	struct chain **chains;
	size_t chain_count;
	struct chain *last; /* of the newest event */
	uint64_t events;
	uint64_t cuts, cut_bytes; /* RECOVERED records */
	uint64_t cuts_unsigned;
	uint64_t first;  /* position that the log begins with */
	int64_t first_signed_at; /* of the CUT record that says so; 0: none yet */
	/* The first thing that is wrong. */
	uint64_t bad_seq;
	bool certain; /* no writer at work could explain it */
	char what[VERIFY_WHAT_MAX];
};

/* ---- walk.c */
/* Reads the whole log. AG_OK: sound; AG_CORRUPT: bad_seq and what say where. */
ag_err verify_walk(struct verify *v) AG_MUST;
struct chain *verify_chain(struct verify *v, const char *tenant);
bool verify_signature(const struct verify *v, const char *text, size_t len,
    const uint8_t *signature, size_t signature_len);
bool verify_head_signed(const struct verify *v, const char *tenant,
    const struct head *head);

/* Notes what is wrong first, and where; AG_CORRUPT. */
ag_err verify_broken(struct verify *v, uint64_t seq, const char *fmt, ...)
    AG_PRINTF(3, 4);
bool verify_concerns(const struct verify *v, const char *tenant);
/* Where the log breaks off: the event that should have come. */
uint64_t verify_next_seq(const struct verify *v);

/* ---- keys.c: whose signatures to believe */
/* Every PEM block of the file; text between them is allowed. False: none. */
bool verify_keys_read(struct verify *v, const char *path);
/* A key that the log names is believed if one that is believed signed for it. */
ag_err verify_keys_take(struct verify *v, const struct ag_seg_record *record)
    AG_MUST;
void verify_keys_learn(struct verify *v, const Ag__LogKey *key);
void verify_keys_free(struct verify *v);

/* ---- cut.c: a log whose beginning was removed */
bool verify_cut_begin(struct verify *v, const Ag__LogTenant *t);
ag_err verify_cut_take(struct verify *v, const struct ag_seg_record *record)
    AG_MUST;
/* A log without its beginning is broken there, whatever else is wrong. */
void verify_cut_blame(struct verify *v);

/* ---- kept.c: checkpoints in files, one JSON object a line */
struct json_t;
/* Members of a checkpoint as REST writes it; false: it is none. */
bool kept_head(const struct json_t *object, struct head *out);
/* A member of exactly `want` bytes in base64. */
bool kept_bytes(const struct json_t *object, const char *name, uint8_t *out,
    size_t want);
/* False: message says why. tenant: for objects that name none. */
bool kept_read(struct verify *v, const char *path, const char *tenant,
    const char **message);
bool kept_write(const struct verify *v, const char *path, const char **message);

/* ---- proof.c: one event, without the log */
/* AG_CORRUPT: v->what says what does not hold; AG_USAGE: what the file lacks. */
ag_err proof_check(struct verify *v, const char *path, const char *tenant)
    AG_MUST;
/* The same for two heads; one that was kept must be among them. */
ag_err consistency_check(struct verify *v, const char *path,
    const char *tenant) AG_MUST;

#endif
