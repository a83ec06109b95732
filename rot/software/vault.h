/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the software root of trust keeps keys.
 *
 *   master.key      32 random bytes, 0600 (aegis/master.h)
 *   wrapping.keys   slots (slots.h)
 *   blobs/          store: tenant 0 key id 0 version BE4 → blob
 *
 *   blob  01 ‖ slot(4, BE) ‖ nonce(12) ‖ material ‖ tag(16), AES-256-GCM
 *         under the slot's wrapping key
 *   Both with AAD = tenant, key id, version (4, BE), each preceded by its
 *   length (4, BE): what is swapped between keys does not open.
 *
 * LMDB keeps deleted bytes until it needs the page, so a blob is erased by
 * erasing its slot, which is overwritten in place and synced. A crash leaves
 * at worst a slot without a blob, which the next start zeroes, or a blob
 * without a slot, which it deletes.
 */
#ifndef SOFTWARE_VAULT_H
#define SOFTWARE_VAULT_H

#include "slots.h"

#include <aegis/aegis.h>
#include <aegis/master.h>

enum {
	VAULT_TABLE_BLOBS,
	VAULT_TABLE_NOTES, /* purpose → when its key was made */
	MATERIAL_BYTES_MAX = 16384,
	VAULT_KEY_BYTES_MAX = 160, /* of a row of the blobs */
	VAULT_PATH_BYTES = 4096,
	VAULT_WALK_ROWS = 128, /* rewrapped in one turn: about a millisecond */
};

struct vault {
	struct slots now;
	struct slots next; /* fd -1: none; no master: left by one that did not end */
	bool next_bad; /* a change could not be written to next */
	char slots_file[VAULT_PATH_BYTES], slots_next[VAULT_PATH_BYTES];
	char master_file[VAULT_PATH_BYTES], master_next[VAULT_PATH_BYTES];
	uint8_t *used; /* a byte a slot */
	uint32_t slots; /* in the file */
	uint32_t first_free; /* no free slot below it */
};

struct vault_id {
	const char *tenant, *key_id;
	uint32_t version;
};

/* Everything opened, checked, swept. Says in the log why not. */
ag_err vault_open(struct vault *v, struct ag_ctx *ctx) AG_MUST;
void vault_close(struct vault *v);
/* Durable when it returns. AG_ALREADY_EXISTS, AG_FULL, AG_IO. */
ag_err vault_put(struct vault *v, struct ag_ctx *ctx, const struct vault_id *id,
    struct ag_secret *material) AG_MUST;
/* AG_ITEM_NOT_FOUND; AG_CORRUPT: it does not open. */
ag_err vault_get(struct vault *v, struct ag_ctx *ctx, const struct vault_id *id,
    struct ag_secret **material) AG_MUST;
bool vault_has(struct ag_ctx *ctx, const struct vault_id *id);
/* AG_OK also if there is nothing (any more). Durable when it returns. */
ag_err vault_destroy(struct vault *v, struct ag_ctx *ctx,
    const struct vault_id *id) AG_MUST;

/*
 * A new master key, while the old one serves (rekey.h says in which order).
 * vault_next_open: a new key and slots file beside those in use, or, with
 * resume, those that a crash left. AG_ALREADY_EXISTS: they are there (without
 * resume); AG_ITEM_NOT_FOUND: they are not (with it).
 */
ag_err vault_next_open(struct vault *v, struct ag_ctx *ctx, bool resume) AG_MUST;
/* How far a walk over all blobs has come. Zeroed: at the start. */
struct vault_walk {
	bool only_check; /* what is not there yet is AG_CORRUPT */
	uint32_t done;
	size_t at_len;
	uint8_t at[VAULT_KEY_BYTES_MAX];
};
/* The next VAULT_WALK_ROWS slots under the new key; *end: it was the last. */
ag_err vault_next_carry(struct vault *v, struct ag_ctx *ctx, struct vault_walk *walk,
    bool *end) AG_MUST;
uint32_t vault_count(const struct vault *v); /* of the wrapped keys */
/* Durable when it returns: the new key is the key, the old is overwritten.
 * AG_IO: nobody knows how far it came but the next start. */
ag_err vault_next_take(struct vault *v) AG_MUST;
/* Its files stay, for a resume; what is destroyed until then goes from them. */
void vault_next_drop(struct vault *v);

#endif
