/* SPDX-License-Identifier: Apache-2.0 */
#include "slots.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>
#include <unistd.h>

enum { NONCE_AT = 4, KEY_AT = NONCE_AT + SLOTS_NONCE_BYTES, TAG_AT = KEY_AT + SLOTS_KEY_BYTES };

_Static_assert(TAG_AT + SLOTS_TAG_BYTES == SLOT_BYTES, "slot");

static const uint8_t proof_aad[] = "aegis software root of trust v1";

uint8_t *
slots_put_be32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
	return p + 4;
}

uint32_t
slots_get_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

ag_err
slots_gcm(const struct slots_box *b, bool seal, const uint8_t *in, size_t len, uint8_t *out,
    uint8_t tag[SLOTS_TAG_BYTES])
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int n = 0;
	bool ok = ctx != NULL &&
	    EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, b->key, b->nonce, seal) == 1 &&
	    (seal || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, SLOTS_TAG_BYTES, tag) == 1) &&
	    EVP_CipherUpdate(ctx, NULL, &n, b->aad, (int)b->aad_len) == 1 &&
	    EVP_CipherUpdate(ctx, out, &n, in, (int)len) == 1 &&
	    EVP_CipherFinal_ex(ctx, out + len, &n) == 1 &&
	    (!seal || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, SLOTS_TAG_BYTES, tag) == 1);

	EVP_CIPHER_CTX_free(ctx); /* wipes the schedule */
	ERR_clear_error();
	if (ok)
		return AG_OK;
	ag_wipe(out, len);
	return seal ? AG_GENERAL_FAILURE : AG_CORRUPT;
}

static ag_err
put(const struct slots *s, uint32_t slot, const uint8_t bytes[SLOT_BYTES])
{
	return pwrite(s->fd, bytes, SLOT_BYTES, (off_t)slot * SLOT_BYTES) == SLOT_BYTES ?
	    AG_OK : AG_IO;
}

static ag_err
sync_slots(const struct slots *s)
{
	return fdatasync(s->fd) == 0 ? AG_OK : AG_IO;
}

ag_err
slots_zero(const struct slots *s, uint32_t slot)
{
	static const uint8_t zeros[SLOT_BYTES];
	ag_err err = put(s, slot, zeros);

	return err == AG_OK ? sync_slots(s) : err;
}

ag_err
slots_seal_later(const struct slots *s, uint32_t slot, const uint8_t *key,
    const uint8_t *aad, size_t aad_len)
{
	uint8_t bytes[SLOT_BYTES] = { 1 };
	struct slots_box box = { ag_secret_bytes(s->master), bytes + NONCE_AT, aad, aad_len };
	ag_err err;

	if (RAND_bytes(bytes + NONCE_AT, SLOTS_NONCE_BYTES) != 1)
		return AG_GENERAL_FAILURE;
	err = slots_gcm(&box, true, key, SLOTS_KEY_BYTES, bytes + KEY_AT, bytes + TAG_AT);
	return err == AG_OK ? put(s, slot, bytes) : err;
}

ag_err
slots_seal(const struct slots *s, uint32_t slot, const uint8_t *key, const uint8_t *aad,
    size_t aad_len)
{
	ag_err err = slots_seal_later(s, slot, key, aad, aad_len);

	return err == AG_OK ? sync_slots(s) : err;
}

ag_err
slots_open(const struct slots *s, uint32_t slot, const uint8_t *aad, size_t aad_len,
    uint8_t *key)
{
	uint8_t bytes[SLOT_BYTES] = { 0 };
	struct slots_box box = { ag_secret_bytes(s->master), bytes + NONCE_AT, aad, aad_len };

	/* Past the end of the file is as good as empty. */
	if (pread(s->fd, bytes, SLOT_BYTES, (off_t)slot * SLOT_BYTES) < 0)
		return AG_IO;
	if (bytes[0] != 1)
		return AG_CORRUPT;
	return slots_gcm(&box, false, bytes + KEY_AT, SLOTS_KEY_BYTES, key, bytes + TAG_AT);
}

ag_err
slots_prove(const struct slots *s)
{
	static const uint8_t zeros[SLOTS_KEY_BYTES];

	return slots_seal(s, 0, zeros, proof_aad, sizeof(proof_aad));
}

bool
slots_proved(const struct slots *s)
{
	uint8_t key[SLOTS_KEY_BYTES];

	return slots_open(s, 0, proof_aad, sizeof(proof_aad), key) == AG_OK;
}

void
slots_close(struct slots *s)
{
	ag_secret_free(&s->master);
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}
