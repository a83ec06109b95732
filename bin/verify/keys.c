/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keys: whose signatures are believed: those of the public keys that were
 * given, and of the keys that these signed for in the log, one after another.
 */
#include "walk.h"

#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>

enum { TEXT_MAX = 512 };

bool
verify_keys_read(struct verify *v, const char *path)
{
	FILE *file = fopen(path, "re");
	EVP_PKEY *key;

	if (file == NULL)
		return false;
	while (v->key_count < VERIFY_KEYS_MAX &&
	    (key = PEM_read_PUBKEY(file, NULL, NULL, NULL)) != NULL) {
		if (EVP_PKEY_get_id(key) == EVP_PKEY_ED25519)
			v->keys[v->key_count++] = key;
		else
			EVP_PKEY_free(key);
	}
	fclose(file);
	return v->key_count > 0;
}

void
verify_keys_free(struct verify *v)
{
	for (size_t i = 0; i < v->key_count; i++)
		EVP_PKEY_free(v->keys[i]);
	v->key_count = 0;
}

/* Nothing is learned: no room, no Ed25519 key, or nobody who is believed
 * signed for it. Then what it signs is not believed either. */
void
verify_keys_learn(struct verify *v, const Ag__LogKey *key)
{
	const uint8_t *der = key->public_key_der.data;
	char text[TEXT_MAX];
	EVP_PKEY *new;
	size_t len;

	if (v->key_count == VERIFY_KEYS_MAX || !key->has_endorsement)
		return;
	new = d2i_PUBKEY(NULL, &der, (long)key->public_key_der.len);
	if (new == NULL)
		return;
	for (size_t i = 0; i < v->key_count; i++)
		if (EVP_PKEY_eq(v->keys[i], new) == 1) {
			EVP_PKEY_free(new);
			return;
		}
	len = ag_seg_key_text(text, sizeof(text), key->key_id,
	    &key->public_key_der, key->from_at);
	if (EVP_PKEY_get_id(new) == EVP_PKEY_ED25519 && len > 0 &&
	    verify_signature(v, text, len, key->endorsement.data,
	        key->endorsement.len))
		v->keys[v->key_count++] = new;
	else
		EVP_PKEY_free(new);
}

ag_err
verify_keys_take(struct verify *v, const struct ag_seg_record *record)
{
	Ag__LogKey *key = ag__log_key__unpack(NULL, record->body_len,
	    record->body);

	if (key == NULL)
		return verify_broken(v, verify_next_seq(v),
		    "edited: a key record is damaged");
	verify_keys_learn(v, key);
	ag__log_key__free_unpacked(key, NULL);
	return AG_OK;
}
