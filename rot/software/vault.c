/* SPDX-License-Identifier: Apache-2.0 */
#include "vault.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	NONCE_BYTES = 12,
	KEY_BYTES = 32,
	TAG_BYTES = 16,
	BLOB_VERSION = 1,
	BLOB_HEAD = 5, /* version, slot */
	ID_BYTES_MAX = 160,
	PATH_BYTES = 4096,
};

/* ------------------------------------------------------------------ AES-GCM */

struct box {
	const uint8_t *key, *nonce, *aad;
	size_t aad_len;
};

static ag_err
gcm(const struct box *b, bool seal, const uint8_t *in, size_t len, uint8_t *out,
    uint8_t tag[TAG_BYTES])
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int n = 0;
	bool ok = ctx != NULL &&
	    EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, b->key, b->nonce, seal) == 1 &&
	    (seal || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag) == 1) &&
	    EVP_CipherUpdate(ctx, NULL, &n, b->aad, (int)b->aad_len) == 1 &&
	    EVP_CipherUpdate(ctx, out, &n, in, (int)len) == 1 &&
	    EVP_CipherFinal_ex(ctx, out + len, &n) == 1 &&
	    (!seal || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, tag) == 1);

	EVP_CIPHER_CTX_free(ctx); /* wipes the schedule */
	ERR_clear_error();
	if (ok)
		return AG_OK;
	ag_wipe(out, len);
	return seal ? AG_GENERAL_FAILURE : AG_CORRUPT;
}

struct id_bytes {
	uint8_t key[ID_BYTES_MAX]; /* of the table */
	uint8_t aad[ID_BYTES_MAX];
	size_t key_len, aad_len;
};

static uint8_t *
put_be32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
	return p + 4;
}

static uint32_t
get_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint8_t *
put_text(uint8_t *p, const char *s, size_t len)
{
	memcpy(p, s, len);
	return p + len;
}

static ag_err
id_bytes(const struct vault_id *id, struct id_bytes *out)
{
	size_t tenant = strlen(id->tenant), key = strlen(id->key_id);
	uint8_t *p;

	if (tenant == 0 || tenant > AG_NAME_MAX || key == 0 || key >= AG_ID_SIZE)
		return AG_INVALID_FIELD;
	p = put_text(out->key, id->tenant, tenant + 1);
	p = put_text(p, id->key_id, key + 1);
	out->key_len = (size_t)(put_be32(p, id->version) - out->key);
	p = put_text(put_be32(out->aad, (uint32_t)tenant), id->tenant, tenant);
	p = put_text(put_be32(p, (uint32_t)key), id->key_id, key);
	p = put_be32(put_be32(p, 4), id->version);
	out->aad_len = (size_t)(p - out->aad);
	return AG_OK;
}

/* ------------------------------------------------------------------- slots */

static ag_err
slot_write(struct vault *v, uint32_t slot, const uint8_t bytes[SLOT_BYTES])
{
	if (pwrite(v->fd, bytes, SLOT_BYTES, (off_t)slot * SLOT_BYTES) != SLOT_BYTES ||
	    fdatasync(v->fd) != 0)
		return AG_IO;
	return AG_OK;
}

static ag_err
slot_zero(struct vault *v, uint32_t slot)
{
	static const uint8_t zeros[SLOT_BYTES];

	return slot_write(v, slot, zeros);
}

static ag_err
slot_seal(struct vault *v, uint32_t slot, const uint8_t *key, const uint8_t *aad,
    size_t aad_len)
{
	uint8_t bytes[SLOT_BYTES] = { 1 };
	struct box box = { ag_secret_bytes(v->master), bytes + 4, aad, aad_len };
	ag_err err;

	if (RAND_bytes(bytes + 4, NONCE_BYTES) != 1)
		return AG_GENERAL_FAILURE;
	err = gcm(&box, true, key, KEY_BYTES, bytes + 16, bytes + 16 + KEY_BYTES);
	return err == AG_OK ? slot_write(v, slot, bytes) : err;
}

static ag_err
slot_open(struct vault *v, uint32_t slot, const uint8_t *aad, size_t aad_len,
    uint8_t *key)
{
	uint8_t bytes[SLOT_BYTES];
	struct box box = { ag_secret_bytes(v->master), bytes + 4, aad, aad_len };

	if (pread(v->fd, bytes, SLOT_BYTES, (off_t)slot * SLOT_BYTES) != SLOT_BYTES)
		return AG_IO;
	if (bytes[0] != 1)
		return AG_CORRUPT;
	return gcm(&box, false, bytes + 16, KEY_BYTES, key, bytes + 16 + KEY_BYTES);
}

static ag_err
slot_take(struct vault *v, uint32_t *out)
{
	uint32_t slot = v->first_free, grown;
	uint8_t *used;

	while (slot < v->slots && v->used[slot] != 0)
		slot++;
	if (slot >= SLOTS_MAX)
		return AG_FULL;
	if (slot == v->slots) {
		grown = v->slots + 1024;
		if ((used = realloc(v->used, grown)) == NULL)
			return AG_NO_MEMORY;
		memset(used + v->slots, 0, grown - v->slots);
		v->used = used;
		v->slots = grown;
	}
	v->used[slot] = 1;
	v->first_free = slot + 1;
	*out = slot;
	return AG_OK;
}

static void
slot_give(struct vault *v, uint32_t slot)
{
	v->used[slot] = 0;
	if (slot < v->first_free)
		v->first_free = slot;
}

/* -------------------------------------------------------------- the vault */

bool
vault_has(struct ag_ctx *ctx, const struct vault_id *id)
{
	struct id_bytes b;
	const uint8_t *value;
	size_t len;

	return id_bytes(id, &b) == AG_OK &&
	    ag_store_get(ctx, VAULT_TABLE_BLOBS, b.key, b.key_len, &value, &len) == AG_OK;
}

static ag_err
blob_put(struct ag_ctx *ctx, const struct id_bytes *b, uint32_t slot,
    const uint8_t *key, struct ag_secret *material)
{
	size_t len = ag_secret_len(material);
	size_t size = BLOB_HEAD + NONCE_BYTES + len + TAG_BYTES;
	uint8_t *blob = ag_alloc(ctx, size), *nonce, *body;
	struct box box;
	ag_err err;

	if (blob == NULL)
		return AG_NO_MEMORY;
	blob[0] = BLOB_VERSION;
	nonce = put_be32(blob + 1, slot);
	body = nonce + NONCE_BYTES;
	if (RAND_bytes(nonce, NONCE_BYTES) != 1)
		return AG_GENERAL_FAILURE;
	box = (struct box){ key, nonce, b->aad, b->aad_len };
	err = gcm(&box, true, ag_secret_bytes(material), len, body, body + len);
	if (err == AG_OK)
		err = ag_store_put(ctx, VAULT_TABLE_BLOBS, b->key, b->key_len, blob, size);
	return err == AG_OK ? ag_store_commit(ctx) : err;
}

ag_err
vault_put(struct vault *v, struct ag_ctx *ctx, const struct vault_id *id,
    struct ag_secret *material)
{
	struct ag_secret *key = NULL;
	struct id_bytes b;
	uint32_t slot = 0;
	ag_err err;

	if (ag_secret_len(material) > MATERIAL_BYTES_MAX)
		return AG_INVALID_FIELD;
	if ((err = id_bytes(id, &b)) != AG_OK)
		return err;
	if (vault_has(ctx, id))
		return AG_ALREADY_EXISTS;
	if ((err = ag_secret_new(KEY_BYTES, &key)) != AG_OK)
		return err;
	if (RAND_priv_bytes(ag_secret_bytes(key), KEY_BYTES) != 1)
		err = AG_GENERAL_FAILURE;
	else
		err = slot_take(v, &slot);
	/* The slot first: a blob never names a slot that is not on disk. */
	if (err == AG_OK) {
		err = slot_seal(v, slot, ag_secret_bytes(key), b.aad, b.aad_len);
		if (err == AG_OK)
			err = blob_put(ctx, &b, slot, ag_secret_bytes(key), material);
		if (err != AG_OK && slot_zero(v, slot) == AG_OK)
			slot_give(v, slot);
	}
	ag_secret_free(&key);
	return err;
}

static ag_err
blob_get(struct ag_ctx *ctx, const struct id_bytes *b, const uint8_t **blob,
    size_t *len)
{
	ag_err err = ag_store_get(ctx, VAULT_TABLE_BLOBS, b->key, b->key_len, blob, len);

	if (err != AG_OK)
		return err;
	if (*len < BLOB_HEAD + NONCE_BYTES + TAG_BYTES || **blob != BLOB_VERSION)
		return AG_CORRUPT;
	return AG_OK;
}

ag_err
vault_get(struct vault *v, struct ag_ctx *ctx, const struct vault_id *id,
    struct ag_secret **material)
{
	struct ag_secret *key = NULL;
	struct id_bytes b;
	const uint8_t *blob;
	uint8_t tag[TAG_BYTES];
	struct box box;
	size_t len;
	ag_err err;

	*material = NULL;
	if ((err = id_bytes(id, &b)) != AG_OK ||
	    (err = blob_get(ctx, &b, &blob, &len)) != AG_OK ||
	    (err = ag_secret_new(KEY_BYTES, &key)) != AG_OK)
		return err;
	err = slot_open(v, get_be32(blob + 1), b.aad, b.aad_len, ag_secret_bytes(key));
	if (err != AG_OK)
		goto out;
	len -= BLOB_HEAD + NONCE_BYTES + TAG_BYTES;
	if ((err = ag_secret_new(len, material)) != AG_OK)
		goto out;
	box = (struct box){ ag_secret_bytes(key), blob + BLOB_HEAD, b.aad, b.aad_len };
	blob += BLOB_HEAD + NONCE_BYTES;
	memcpy(tag, blob + len, TAG_BYTES);
	err = gcm(&box, false, blob, len, ag_secret_bytes(*material), tag);
	if (err != AG_OK)
		ag_secret_free(material);
out:
	ag_secret_free(&key);
	return err;
}

ag_err
vault_destroy(struct vault *v, struct ag_ctx *ctx, const struct vault_id *id)
{
	struct id_bytes b;
	const uint8_t *blob;
	uint32_t slot;
	size_t len;
	ag_err err;

	if ((err = id_bytes(id, &b)) != AG_OK)
		return err;
	if ((err = blob_get(ctx, &b, &blob, &len)) != AG_OK)
		return err == AG_ITEM_NOT_FOUND ? AG_OK : err;
	slot = get_be32(blob + 1);
	if (slot == 0 || slot >= v->slots)
		return AG_CORRUPT;
	/* From here on the key is gone, whatever happens to the blob. */
	if ((err = slot_zero(v, slot)) != AG_OK ||
	    (err = ag_store_del(ctx, VAULT_TABLE_BLOBS, b.key, b.key_len)) != AG_OK ||
	    (err = ag_store_commit(ctx)) != AG_OK)
		return err;
	slot_give(v, slot);
	return AG_OK;
}

/* ------------------------------------------------------------------ opening */

static ag_err
refuse(struct ag_ctx *ctx, const char *event, const char *path, const char *what)
{
	ag_log(ctx, AG_ERROR, event, "file=%s why=\"%s\"", path, what);
	return AG_USAGE;
}

/* Never a new one over existing keys. */
static ag_err
master_create(struct vault *v, struct ag_ctx *ctx, const char *path)
{
	ag_err err = ag_secret_new(AG_MASTER_BYTES, &v->master);

	if (err != AG_OK)
		return err;
	if (RAND_priv_bytes(ag_secret_bytes(v->master), AG_MASTER_BYTES) != 1)
		return AG_GENERAL_FAILURE;
	if (ag_master_write(path, ag_master_lock(ctx), v->master) != AG_OK)
		return refuse(ctx, "ROT-MASTER", path, strerror(errno));
	ag_log(ctx, AG_INFO, "ROT-MASTER-MADE", "file=%s passphrase=%s", path,
	    ag_master_lock(ctx)->key != NULL ? "yes" : "no");
	return AG_OK;
}

static ag_err
master_open(struct vault *v, struct ag_ctx *ctx, const char *path, bool first_start)
{
	const char *why = NULL;
	ag_err err = ag_master_read(path, ag_master_lock(ctx), &v->master, &why);

	if (err == AG_ITEM_NOT_FOUND && first_start)
		return master_create(v, ctx, path);
	if (err == AG_ITEM_NOT_FOUND)
		return refuse(ctx, "ROT-MASTER", path,
		    "it is missing, and there are keys under it");
	if (err == AG_USAGE || err == AG_UNAUTHENTICATED)
		return refuse(ctx, "ROT-MASTER", path, why);
	return err;
}

static const uint8_t proof_aad[] = "aegis software root of trust v1";

/* Slot 0 holds nothing but the proof that this is the right master key. */
static ag_err
prove_master(struct vault *v, struct ag_ctx *ctx, const char *path, bool first_start)
{
	static const uint8_t zeros[KEY_BYTES];
	uint8_t key[KEY_BYTES];

	if (first_start)
		return slot_seal(v, 0, zeros, proof_aad, sizeof(proof_aad));
	if (slot_open(v, 0, proof_aad, sizeof(proof_aad), key) == AG_OK)
		return AG_OK;
	return refuse(ctx, "ROT-MASTER-WRONG", path,
	    "wrapping.keys was not made with this master key");
}

static bool
visit_any(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
    size_t value_len)
{
	*(bool *)arg = true;
	return false;
}

static ag_err
slots_open(struct vault *v, struct ag_ctx *ctx, const char *path, bool *first_start)
{
	struct stat st;
	bool blobs = false;
	ag_err err;

	v->fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (v->fd < 0 || fstat(v->fd, &st) != 0)
		return refuse(ctx, "ROT-SLOTS", path, strerror(errno));
	if ((err = ag_store_scan(ctx, VAULT_TABLE_BLOBS, NULL, 0, visit_any, &blobs)) != AG_OK)
		return err;
	*first_start = st.st_size < SLOT_BYTES;
	if (*first_start && blobs)
		return refuse(ctx, "ROT-SLOTS", path, "it is missing, and there are keys under it");
	v->slots = (uint32_t)(st.st_size / SLOT_BYTES);
	if (v->slots == 0)
		v->slots = 1;
	if ((v->used = calloc(v->slots, 1)) == NULL)
		return AG_NO_MEMORY;
	v->used[0] = 1;
	v->first_free = 1;
	return ag_dir_sync(path);
}

/* --------------------------------------------------- the crash before this */

struct sweep {
	struct vault *v;
	bool lost; /* a blob whose slot is zero or missing */
	size_t key_len;
	uint8_t key[ID_BYTES_MAX];
};

static bool
visit_blob(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
    size_t value_len)
{
	struct sweep *s = arg;
	uint8_t bytes[SLOT_BYTES] = { 0 };
	uint32_t slot = value_len > BLOB_HEAD ? get_be32(value + 1) : 0;

	if (slot != 0 && slot < s->v->slots &&
	    pread(s->v->fd, bytes, SLOT_BYTES, (off_t)slot * SLOT_BYTES) == SLOT_BYTES &&
	    bytes[0] == 1) {
		s->v->used[slot] = 1;
		return true;
	}
	s->lost = key_len <= sizeof(s->key);
	s->key_len = s->lost ? key_len : 0;
	memcpy(s->key, key, s->key_len);
	return false;
}

static ag_err
sweep_slots(struct vault *v, struct ag_ctx *ctx)
{
	uint8_t bytes[SLOT_BYTES];
	ag_err err;

	for (uint32_t slot = 1; slot < v->slots; slot++) {
		if (v->used[slot] != 0 || pread(v->fd, bytes, SLOT_BYTES,
		    (off_t)slot * SLOT_BYTES) != SLOT_BYTES || bytes[0] == 0)
			continue;
		ag_log(ctx, AG_INFO, "ROT-SLOT-SWEPT", "slot=%u", slot);
		if ((err = slot_zero(v, slot)) != AG_OK)
			return err;
	}
	return AG_OK;
}

static ag_err
sweep(struct vault *v, struct ag_ctx *ctx)
{
	struct sweep s = { .v = v };
	ag_err err;

	do {
		s.lost = false;
		err = ag_store_scan(ctx, VAULT_TABLE_BLOBS, NULL, 0, visit_blob, &s);
		if (err == AG_OK && s.lost) {
			ag_log(ctx, AG_WARN, "ROT-BLOB-SWEPT", "its wrapping key is destroyed");
			err = ag_store_del(ctx, VAULT_TABLE_BLOBS, s.key, s.key_len);
		}
	} while (err == AG_OK && s.lost);
	if (err == AG_OK)
		err = ag_store_commit(ctx);
	return err == AG_OK ? sweep_slots(v, ctx) : err;
}

ag_err
vault_open(struct vault *v, struct ag_ctx *ctx)
{
	const char *configured = ag_config_str(ctx, "rot.software.master_key_file", 0);
	char dir[PATH_BYTES], master[PATH_BYTES], slots[PATH_BYTES + 16];
	bool first_start;
	ag_err err;

	v->fd = -1;
	snprintf(dir, sizeof(dir), "%s/rot", ag_state_dir(ctx));
	snprintf(slots, sizeof(slots), "%s/wrapping.keys", dir);
	if (configured != NULL)
		snprintf(master, sizeof(master), "%s", configured);
	else
		snprintf(master, sizeof(master), "%.4000s/master.key", dir);
	if (mkdir(dir, 0700) != 0 && errno != EEXIST)
		return refuse(ctx, "ROT-FOLDER", dir, strerror(errno));
	if ((err = slots_open(v, ctx, slots, &first_start)) != AG_OK ||
	    (err = master_open(v, ctx, master, first_start)) != AG_OK ||
	    (err = prove_master(v, ctx, master, first_start)) != AG_OK)
		return err;
	return sweep(v, ctx);
}

void
vault_close(struct vault *v)
{
	if (v->master == NULL && v->used == NULL)
		return; /* never opened */
	ag_secret_free(&v->master);
	free(v->used);
	v->used = NULL;
	if (v->fd >= 0)
		close(v->fd);
	v->fd = -1;
}
