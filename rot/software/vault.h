/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the software root of trust keeps keys.
 *
 *   master.key      32 random bytes, 0600 (aegis/master.h)
 *   wrapping.keys   slots of 64 bytes; slot 0 proves the master key
 *   blobs/          store: tenant 0 key id 0 version BE4 → blob
 *
 *   slot  state(1: used) 0 0 0 ‖ nonce(12) ‖ wrapping key(32) ‖ tag(16),
 *         AES-256-GCM under the master key
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

#include <aegis/aegis.h>
#include <aegis/master.h>

enum {
	VAULT_TABLE_BLOBS,
	VAULT_TABLE_NOTES, /* purpose → when its key was made */
	SLOT_BYTES = 64,
	SLOTS_MAX = 1 << 22,
	MATERIAL_BYTES_MAX = 16384,
};

struct vault {
	int fd; /* wrapping.keys */
	struct ag_secret *master;
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

#endif
