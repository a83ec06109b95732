/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The backup file: a head and a stream of sealed chunks.
 *
 *   head    "AEGISBK1" ‖ flags(1; 1: recovery) ‖ salt(32) ‖ root id(16)
 *           ‖ root slot(72) ‖ recovery kdf(25) ‖ recovery slot(72) ‖ stream(24)
 *   slot    nonce(24) ‖ the file's key(32) ‖ tag(16), XChaCha20-Poly1305; its
 *           associated data is what stands before the first slot
 *   chunk   length(4, LE) ‖ that many bytes of libsodium's secretstream
 *           (XChaCha20-Poly1305); the first has the head as associated data,
 *           the last, and only the last, is marked final
 *
 * The file's key is random. The root slot's key is HKDF-SHA-256 of the master
 * key with the salt; the recovery slot's is Argon2id of a passphrase. A chunk
 * that is changed, moved, left out or cut off does not open.
 */
#ifndef AEGIS_BACKUP_STREAM_H
#define AEGIS_BACKUP_STREAM_H

#include <aegis/master.h>
#include <sodium.h>
#include <stdio.h>

enum {
	BACKUP_SALT_BYTES = 32,
	BACKUP_ID_BYTES = 16,
	BACKUP_SLOT_BYTES = 24 + 32 + 16,
	BACKUP_FRONT_BYTES = 8 + 1 + BACKUP_SALT_BYTES + BACKUP_ID_BYTES,
	BACKUP_HEAD_BYTES = BACKUP_FRONT_BYTES + BACKUP_SLOT_BYTES + AG_MASTER_KDF_BYTES +
	    BACKUP_SLOT_BYTES + crypto_secretstream_xchacha20poly1305_HEADERBYTES,
	BACKUP_CHUNK_BYTES = 64 << 10, /* of plain text */
};

struct backup_stream {
	/* Called with the bytes that went by so far, now and then; or NULL. */
	void (*moved)(void *arg, unsigned long long bytes);
	void *moved_arg;
	unsigned long long bytes;
	FILE *file;
	struct ag_secret *key; /* the file's */
	uint8_t head[BACKUP_HEAD_BYTES];
	crypto_secretstream_xchacha20poly1305_state state;
	bool begun, final;
	uint8_t plain[BACKUP_CHUNK_BYTES];
	size_t len, at; /* in plain: filled; read so far */
	uint8_t sealed[BACKUP_CHUNK_BYTES + crypto_secretstream_xchacha20poly1305_ABYTES];
};

/* Begins a file. recovery may be NULL. */
ag_err backup_begin(struct backup_stream *s, FILE *file, struct ag_secret *master,
    const struct ag_master_lock *recovery) AG_MUST;
ag_err backup_put(struct backup_stream *s, const void *bytes, size_t len) AG_MUST;
ag_err backup_end(struct backup_stream *s) AG_MUST; /* the final chunk */

/* Reads the head. AG_BAD_MESSAGE: no backup. */
ag_err backup_look(struct backup_stream *s, FILE *file) AG_MUST;
bool backup_has_recovery(const struct backup_stream *s, uint8_t kdf[AG_MASTER_KDF_BYTES]);
/* AG_CONFLICT: made under another master key. */
ag_err backup_unlock(struct backup_stream *s, struct ag_secret *master) AG_MUST;
/* AG_UNAUTHENTICATED: another passphrase. */
ag_err backup_unlock_recovery(struct backup_stream *s,
    const struct ag_master_lock *recovery) AG_MUST;
/* Exactly len bytes. AG_CORRUPT: changed or cut off. */
ag_err backup_get(struct backup_stream *s, void *bytes, size_t len) AG_MUST;
/* AG_OK: nothing is left, and the file ends here. */
ag_err backup_is_end(struct backup_stream *s) AG_MUST;
void backup_close(struct backup_stream *s); /* wipes; the file is the caller's */

#endif
