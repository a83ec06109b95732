/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The master key's file, which the root of trust, the supervisor and the
 * offline commands read: 32 bytes as they are, or under a passphrase.
 *
 *   plain    32 random bytes
 *   locked   "AEGISMK1" ‖ kdf(25) ‖ nonce(24) ‖ the 32 bytes ‖ tag(16)
 *   kdf      1 (Argon2id 1.3) ‖ passes(4, BE) ‖ KiB(4, BE) ‖ salt(16)
 *
 * XChaCha20-Poly1305 under what Argon2id makes of the passphrase; magic and
 * kdf are its associated data. The file is 0600 and its owner's, or refused.
 */
#ifndef AEGIS_MASTER_H
#define AEGIS_MASTER_H

#include <aegis/secret.h>

enum {
	AG_MASTER_BYTES = 32,
	AG_MASTER_KDF_BYTES = 25,
	AG_PASSPHRASE_MIN = 8,    /* bytes, of a new one */
	AG_PASSPHRASE_MAX = 1024,
};

/* How the file is locked. key NULL: it is not. */
struct ag_master_lock {
	uint8_t kdf[AG_MASTER_KDF_BYTES];
	struct ag_secret *key; /* 32 bytes; owned */
};

/* A new kdf: today's parameters (docs/decisions), a salt of its own. */
void ag_master_kdf_new(uint8_t kdf[AG_MASTER_KDF_BYTES]);
/* lock->key from lock->kdf and the passphrase. Blocks for about a second and
 * needs 256 MiB for it. AG_CORRUPT: parameters that nobody would write. */
ag_err ag_master_lock_open(struct ag_master_lock *lock,
    struct ag_secret *passphrase) AG_MUST;
void ag_master_lock_free(struct ag_master_lock *lock);
/* What the supervisor gave this process; key NULL: nothing. Borrowed. */
const struct ag_master_lock *ag_master_lock(struct ag_ctx *ctx);
/* For tests: the kits that are made from now on get this one (NULL: none). */
void ag_kit_master_lock(const struct ag_master_lock *lock);

/* Is there a file, and is it locked (then kdf)? AG_ITEM_NOT_FOUND: none.
 * AG_USAGE: unusable, and *why says it. */
ag_err ag_master_look(const char *path, bool *locked,
    uint8_t kdf[AG_MASTER_KDF_BYTES], const char **why) AG_MUST;
/* AG_OK: 32 bytes, the caller's. AG_ITEM_NOT_FOUND. AG_USAGE: unusable, *why.
 * AG_UNAUTHENTICATED: locked, and lock does not open it. */
ag_err ag_master_read(const char *path, const struct ag_master_lock *lock,
    struct ag_secret **out, const char **why) AG_MUST;
/* Writes the file whole or not at all; never over another one (AG_IO, and
 * errno is EEXIST). */
ag_err ag_master_write(const char *path, const struct ag_master_lock *lock,
    struct ag_secret *master) AG_MUST;
/* The same over the one that is there; its old bytes are overwritten first
 * where they lay. */
ag_err ag_master_replace(const char *path, const struct ag_master_lock *lock,
    struct ag_secret *master) AG_MUST;
/* Overwrites the file with zeros and removes it. */
ag_err ag_file_erase(const char *path) AG_MUST;
/* made, which is whole and synced, gets path's name; what had it is then
 * overwritten and removed. A crash leaves path the one or the other, and
 * perhaps path.old, which ag_file_forget removes. */
ag_err ag_file_supersede(const char *made, const char *path) AG_MUST;
/* Removes path.old: the superseded file is overwritten first; if it is only
 * one more name of path (a crash before the rename), the name goes. */
ag_err ag_file_forget(const char *path) AG_MUST;
ag_err ag_dir_sync(const char *path_in_it) AG_MUST; /* fsync of the folder */

/* HKDF-SHA-256 of the master key: out_len bytes for one purpose. */
ag_err ag_master_derive(struct ag_secret *master, const char *label,
    const uint8_t *salt, size_t salt_len, uint8_t *out, size_t out_len) AG_MUST;

#endif
