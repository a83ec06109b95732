/* SPDX-License-Identifier: Apache-2.0 */
#include "stream.h"

#include <string.h>

enum {
	FLAG_RECOVERY = 1,
	SALT_AT = 9,
	ID_AT = SALT_AT + BACKUP_SALT_BYTES,
	ROOT_AT = BACKUP_FRONT_BYTES,
	KDF_AT = ROOT_AT + BACKUP_SLOT_BYTES,
	RECOVERY_AT = KDF_AT + AG_MASTER_KDF_BYTES,
	STREAM_AT = RECOVERY_AT + BACKUP_SLOT_BYTES,
	NONCE_BYTES = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
	KEY_BYTES = 32,
	TAG_BYTES = crypto_aead_xchacha20poly1305_ietf_ABYTES,
};

_Static_assert(NONCE_BYTES + KEY_BYTES + TAG_BYTES == BACKUP_SLOT_BYTES, "slot");
_Static_assert(crypto_secretstream_xchacha20poly1305_KEYBYTES == KEY_BYTES, "key");

static const char magic[] = "AEGISBK1";

/* ------------------------------------------------------------------- slots */

static void
slot_seal(struct backup_stream *s, size_t at, const uint8_t *under)
{
	uint8_t *nonce = s->head + at;

	randombytes_buf(nonce, NONCE_BYTES);
	crypto_aead_xchacha20poly1305_ietf_encrypt(nonce + NONCE_BYTES, NULL,
	    ag_secret_bytes(s->key), KEY_BYTES, s->head, BACKUP_FRONT_BYTES, NULL, nonce,
	    under);
}

static bool
slot_open(struct backup_stream *s, size_t at, const uint8_t *under)
{
	const uint8_t *nonce = s->head + at;

	return crypto_aead_xchacha20poly1305_ietf_decrypt(ag_secret_bytes(s->key), NULL,
	    NULL, nonce + NONCE_BYTES, KEY_BYTES + TAG_BYTES, s->head, BACKUP_FRONT_BYTES,
	    nonce, under) == 0;
}

static ag_err
root_key(const struct backup_stream *s, struct ag_secret *master, struct ag_secret **out)
{
	ag_err err = ag_secret_new(KEY_BYTES, out);

	if (err == AG_OK)
		err = ag_master_derive(master, "aegis backup v1", s->head + SALT_AT,
		    BACKUP_SALT_BYTES, ag_secret_bytes(*out), KEY_BYTES);
	return err;
}

static ag_err
root_id(struct ag_secret *master, uint8_t out[BACKUP_ID_BYTES])
{
	return ag_master_derive(master, "aegis master key id v1", NULL, 0, out,
	    BACKUP_ID_BYTES);
}

/* ----------------------------------------------------------------- writing */

ag_err
backup_begin(struct backup_stream *s, FILE *file, struct ag_secret *master,
    const struct ag_master_lock *recovery)
{
	struct ag_secret *under = NULL;
	ag_err err = ag_secret_new(KEY_BYTES, &s->key);

	s->file = file;
	if (err != AG_OK)
		return err;
	crypto_secretstream_xchacha20poly1305_keygen(ag_secret_bytes(s->key));
	memcpy(s->head, magic, SALT_AT - 1);
	s->head[SALT_AT - 1] = recovery != NULL ? FLAG_RECOVERY : 0;
	randombytes_buf(s->head + SALT_AT, BACKUP_SALT_BYTES);
	if ((err = root_id(master, s->head + ID_AT)) == AG_OK)
		err = root_key(s, master, &under);
	if (err == AG_OK) {
		slot_seal(s, ROOT_AT, ag_secret_bytes(under));
		if (recovery != NULL) {
			memcpy(s->head + KDF_AT, recovery->kdf, AG_MASTER_KDF_BYTES);
			slot_seal(s, RECOVERY_AT, ag_secret_bytes(recovery->key));
		}
		crypto_secretstream_xchacha20poly1305_init_push(&s->state,
		    s->head + STREAM_AT, ag_secret_bytes(s->key));
		if (fwrite(s->head, sizeof(s->head), 1, file) != 1)
			err = AG_IO;
	}
	ag_secret_free(&under);
	return err;
}

static void
moved(struct backup_stream *s, size_t len)
{
	s->bytes += len;
	if (s->moved != NULL)
		s->moved(s->moved_arg, s->bytes);
}

static ag_err
push(struct backup_stream *s, uint8_t tag)
{
	unsigned long long n = 0;
	uint8_t length[4];

	crypto_secretstream_xchacha20poly1305_push(&s->state, s->sealed, &n, s->plain,
	    s->len, s->begun ? NULL : s->head, s->begun ? 0 : sizeof(s->head), tag);
	for (unsigned i = 0; i < 4; i++)
		length[i] = (uint8_t)(n >> (8 * i));
	s->begun = true;
	moved(s, s->len);
	s->len = 0;
	return fwrite(length, 4, 1, s->file) == 1 && fwrite(s->sealed, n, 1, s->file) == 1 ?
	    AG_OK : AG_IO;
}

ag_err
backup_put(struct backup_stream *s, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	ag_err err = AG_OK;

	while (len > 0 && err == AG_OK) {
		size_t n = sizeof(s->plain) - s->len;

		n = n < len ? n : len;
		memcpy(s->plain + s->len, p, n);
		s->len += n;
		p += n;
		len -= n;
		if (s->len == sizeof(s->plain))
			err = push(s, crypto_secretstream_xchacha20poly1305_TAG_MESSAGE);
	}
	return err;
}

ag_err
backup_end(struct backup_stream *s)
{
	return push(s, crypto_secretstream_xchacha20poly1305_TAG_FINAL);
}

/* ----------------------------------------------------------------- reading */

ag_err
backup_look(struct backup_stream *s, FILE *file)
{
	s->file = file;
	if (fread(s->head, sizeof(s->head), 1, file) != 1 ||
	    memcmp(s->head, magic, SALT_AT - 1) != 0 ||
	    (s->head[SALT_AT - 1] & ~FLAG_RECOVERY) != 0)
		return AG_BAD_MESSAGE;
	return ag_secret_new(KEY_BYTES, &s->key);
}

bool
backup_has_recovery(const struct backup_stream *s, uint8_t kdf[AG_MASTER_KDF_BYTES])
{
	memcpy(kdf, s->head + KDF_AT, AG_MASTER_KDF_BYTES);
	return s->head[SALT_AT - 1] == FLAG_RECOVERY;
}

static ag_err
start_pull(struct backup_stream *s)
{
	return crypto_secretstream_xchacha20poly1305_init_pull(&s->state,
	    s->head + STREAM_AT, ag_secret_bytes(s->key)) == 0 ? AG_OK : AG_CORRUPT;
}

ag_err
backup_unlock(struct backup_stream *s, struct ag_secret *master)
{
	struct ag_secret *under = NULL;
	uint8_t id[BACKUP_ID_BYTES];
	ag_err err = root_id(master, id);

	if (err == AG_OK && memcmp(id, s->head + ID_AT, sizeof(id)) != 0)
		return AG_CONFLICT;
	if (err == AG_OK)
		err = root_key(s, master, &under);
	if (err == AG_OK)
		err = slot_open(s, ROOT_AT, ag_secret_bytes(under)) ? start_pull(s) :
		    AG_CORRUPT;
	ag_secret_free(&under);
	return err;
}

ag_err
backup_unlock_recovery(struct backup_stream *s, const struct ag_master_lock *recovery)
{
	return slot_open(s, RECOVERY_AT, ag_secret_bytes(recovery->key)) ? start_pull(s) :
	    AG_UNAUTHENTICATED;
}

static ag_err
pull(struct backup_stream *s)
{
	uint8_t length[4], tag = 0;
	unsigned long long n = 0;
	size_t len;

	if (s->final || fread(length, 4, 1, s->file) != 1)
		return AG_CORRUPT;
	len = (size_t)length[0] | (size_t)length[1] << 8 | (size_t)length[2] << 16 |
	    (size_t)length[3] << 24;
	if (len < crypto_secretstream_xchacha20poly1305_ABYTES || len > sizeof(s->sealed) ||
	    fread(s->sealed, len, 1, s->file) != 1 ||
	    crypto_secretstream_xchacha20poly1305_pull(&s->state, s->plain, &n, &tag,
	        s->sealed, len, s->begun ? NULL : s->head,
	        s->begun ? 0 : sizeof(s->head)) != 0)
		return AG_CORRUPT;
	s->begun = true;
	s->final = tag == crypto_secretstream_xchacha20poly1305_TAG_FINAL;
	s->len = (size_t)n;
	s->at = 0;
	moved(s, s->len);
	return AG_OK;
}

ag_err
backup_get(struct backup_stream *s, void *bytes, size_t len)
{
	uint8_t *out = bytes;
	ag_err err = AG_OK;

	while (len > 0 && err == AG_OK) {
		size_t n = s->len - s->at;

		if (n == 0) {
			err = pull(s);
			continue;
		}
		n = n < len ? n : len;
		memcpy(out, s->plain + s->at, n);
		s->at += n;
		out += n;
		len -= n;
	}
	return err;
}

ag_err
backup_is_end(struct backup_stream *s)
{
	ag_err err = AG_OK;

	if (s->at == s->len && !s->final)
		err = pull(s);
	return err == AG_OK && s->final && s->at == s->len && fgetc(s->file) == EOF ? AG_OK :
	    AG_CORRUPT;
}

void
backup_close(struct backup_stream *s)
{
	ag_secret_free(&s->key);
	ag_wipe(s, sizeof(*s));
}
