/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key bytes: in locked memory, out of core files, wiped when freed, sealed
 * when they travel.
 */
#ifndef AEGIS_SECRET_H
#define AEGIS_SECRET_H

#include <aegis/err.h>
#include <aegis/proto.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ag_ctx;
struct ag_secret; /* bytes in the process's one locked region */

enum {
	AG_SECRET_REGION_BYTES = 4 << 20,
	AG_SEAL_KEY_BYTES = 32,
	AG_MAC_BYTES = 32,
	AG_SECRET_FILE_MAX = 4096,
};

/* Makes the locked region (OpenSSL's secure heap, AG_SECRET_REGION_BYTES,
 * mlocked, MADV_DONTDUMP). Once per process, before any secret. AG_IO with
 * errno when locking fails: never degrade. */
ag_err ag_secret_init(void) AG_MUST;
size_t ag_secret_used(void); /* bytes of the region in use */
/* len zero bytes; AG_FULL when the region is full. Owned by the caller. */
ag_err ag_secret_new(size_t len, struct ag_secret **out) AG_MUST;
ag_err ag_secret_copy(const void *bytes, size_t len, struct ag_secret **out)
    AG_MUST;
/* What the file holds, without its last newline; at most AG_SECRET_FILE_MAX
 * bytes. NULL: read. Otherwise why not, in plain words: it is no file, is empty,
 * or others may read it. Blocks. */
const char *ag_secret_read(const char *path, struct ag_secret **out) AG_MUST;
void ag_secret_free(struct ag_secret **secret); /* wipes, nulls; NULL is fine */
uint8_t *ag_secret_bytes(struct ag_secret *secret);
size_t ag_secret_len(const struct ag_secret *secret);
/* Constant time in len. */
bool ag_secret_equal(const void *a, const void *b, size_t len);
void ag_wipe(void *p, size_t len);

/*
 * Sealing between processes: X25519 + XSalsa20-Poly1305 (libsodium
 * crypto_box), from this process's boot key to the peer's boot public key.
 * The result's buffers are in the turn's arena.
 */
const uint8_t *ag_seal_key(struct ag_ctx *ctx); /* own public key, 32 bytes */
ag_err ag_seal(struct ag_ctx *ctx, const uint8_t to[AG_SEAL_KEY_BYTES],
    const void *plain, size_t len, Ag__Sealed *out) AG_MUST;
ag_err ag_unseal(struct ag_ctx *ctx, const Ag__Sealed *sealed,
    struct ag_secret **out) AG_MUST;
/*
 * For a plane that is about to write the answer out: opens into the turn's
 * arena (wiped with it, in no core file, but not locked), because an answer of
 * a batch may be larger than the locked region. Never for a key.
 */
ag_err ag_unseal_answer(struct ag_ctx *ctx, const Ag__Sealed *sealed,
    const uint8_t **plain, size_t *len) AG_MUST;

#endif
