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
	ID_BYTES_MAX = VAULT_KEY_BYTES_MAX,
	PATH_BYTES = VAULT_PATH_BYTES,
};

struct id_bytes {
	uint8_t key[ID_BYTES_MAX]; /* of the table */
	uint8_t aad[ID_BYTES_MAX];
	size_t key_len, aad_len;
};

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
	out->key_len = (size_t)(slots_put_be32(p, id->version) - out->key);
	p = put_text(slots_put_be32(out->aad, (uint32_t)tenant), id->tenant, tenant);
	p = put_text(slots_put_be32(p, (uint32_t)key), id->key_id, key);
	p = slots_put_be32(slots_put_be32(p, 4), id->version);
	out->aad_len = (size_t)(p - out->aad);
	return AG_OK;
}

/* ------------------------------------------------------------------- slots */

/* While there are slots under a next master key, whether they are being made or
 * were left half done, what is erased is erased there, and there first: who finds
 * it zero here asks no more. */
static ag_err
slot_zero(struct vault *v, uint32_t slot)
{
	ag_err err = v->next.fd >= 0 ? slots_zero(&v->next, slot) : AG_OK;

	return err == AG_OK ? slots_zero(&v->now, slot) : err;
}

/* What is new goes there, too, while they are made. If that fails, it is the new
 * ones that are given up. */
static ag_err
slot_seal(struct vault *v, uint32_t slot, const uint8_t *key, const struct id_bytes *b)
{
	if (v->next.master != NULL &&
	    slots_seal(&v->next, slot, key, b->aad, b->aad_len) != AG_OK)
		v->next_bad = true;
	return slots_seal(&v->now, slot, key, b->aad, b->aad_len);
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
	struct slots_box box;
	ag_err err;

	if (blob == NULL)
		return AG_NO_MEMORY;
	blob[0] = BLOB_VERSION;
	nonce = slots_put_be32(blob + 1, slot);
	body = nonce + NONCE_BYTES;
	if (RAND_bytes(nonce, NONCE_BYTES) != 1)
		return AG_GENERAL_FAILURE;
	box = (struct slots_box){ key, nonce, b->aad, b->aad_len };
	err = slots_gcm(&box, true, ag_secret_bytes(material), len, body, body + len);
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
		err = slot_seal(v, slot, ag_secret_bytes(key), &b);
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
	struct slots_box box;
	size_t len;
	ag_err err;

	*material = NULL;
	if ((err = id_bytes(id, &b)) != AG_OK ||
	    (err = blob_get(ctx, &b, &blob, &len)) != AG_OK ||
	    (err = ag_secret_new(KEY_BYTES, &key)) != AG_OK)
		return err;
	err = slots_open(&v->now, slots_get_be32(blob + 1), b.aad, b.aad_len,
	    ag_secret_bytes(key));
	if (err != AG_OK)
		goto out;
	len -= BLOB_HEAD + NONCE_BYTES + TAG_BYTES;
	if ((err = ag_secret_new(len, material)) != AG_OK)
		goto out;
	box = (struct slots_box){ ag_secret_bytes(key), blob + BLOB_HEAD, b.aad, b.aad_len };
	blob += BLOB_HEAD + NONCE_BYTES;
	memcpy(tag, blob + len, TAG_BYTES);
	err = slots_gcm(&box, false, blob, len, ag_secret_bytes(*material), tag);
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
	slot = slots_get_be32(blob + 1);
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
	ag_err err = ag_secret_new(AG_MASTER_BYTES, &v->now.master);

	if (err != AG_OK)
		return err;
	if (RAND_priv_bytes(ag_secret_bytes(v->now.master), AG_MASTER_BYTES) != 1)
		return AG_GENERAL_FAILURE;
	if (ag_master_write(path, ag_master_lock(ctx), v->now.master) != AG_OK)
		return refuse(ctx, "ROT-MASTER", path, strerror(errno));
	ag_log(ctx, AG_INFO, "ROT-MASTER-MADE", "file=%s passphrase=%s", path,
	    ag_master_lock(ctx)->key != NULL ? "yes" : "no");
	return AG_OK;
}

static ag_err
master_open(struct vault *v, struct ag_ctx *ctx, const char *path, bool first_start)
{
	const char *why = NULL;
	ag_err err = ag_master_read(path, ag_master_lock(ctx), &v->now.master, &why);

	if (err == AG_ITEM_NOT_FOUND && first_start)
		return master_create(v, ctx, path);
	if (err == AG_ITEM_NOT_FOUND)
		return refuse(ctx, "ROT-MASTER", path,
		    "it is missing, and there are keys under it");
	if (err == AG_USAGE || err == AG_UNAUTHENTICATED)
		return refuse(ctx, "ROT-MASTER", path, why);
	return err;
}

/* A rekey got as far as the new slots having their name, and died: then the
 * key that proves them is the one that is still called the next. */
static bool
take_next_master(struct vault *v, struct ag_ctx *ctx)
{
	struct slots found = { .fd = v->now.fd };
	const char *why;

	if (ag_master_read(v->master_next, ag_master_lock(ctx), &found.master, &why) != AG_OK)
		return false;
	if (!slots_proved(&found) || ag_file_supersede(v->master_next, v->master_file) != AG_OK) {
		ag_secret_free(&found.master);
		return false;
	}
	ag_secret_free(&v->now.master);
	v->now.master = found.master;
	ag_log(ctx, AG_WARN, "ROT-REKEY-FINISHED", "file=%s", v->master_file);
	return true;
}

/* Slot 0 holds nothing but the proof that this is the right master key. */
static ag_err
prove_master(struct vault *v, struct ag_ctx *ctx, bool first_start)
{
	if (first_start)
		return slots_prove(&v->now);
	if (!slots_proved(&v->now) && !take_next_master(v, ctx))
		return refuse(ctx, "ROT-MASTER-WRONG", v->master_file,
		    "wrapping.keys was not made with this master key");
	if (ag_file_forget(v->slots_file) != AG_OK || ag_file_forget(v->master_file) != AG_OK)
		return refuse(ctx, "ROT-MASTER", v->master_file, strerror(errno));
	if (access(v->master_next, F_OK) == 0)
		ag_log(ctx, AG_WARN, "ROT-REKEY-HALF",
		    "a rekey was interrupted; go on with: aegis rot rekey --resume");
	return AG_OK;
}

static bool
visit_any(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
    size_t value_len)
{
	*(bool *)arg = true;
	return false;
}

static ag_err
open_slots(struct vault *v, struct ag_ctx *ctx, const char *path, bool *first_start)
{
	struct stat st;
	bool blobs = false;
	ag_err err;

	v->now.fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (v->now.fd < 0 || fstat(v->now.fd, &st) != 0)
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
	uint32_t slot = value_len > BLOB_HEAD ? slots_get_be32(value + 1) : 0;

	if (slot != 0 && slot < s->v->slots &&
	    pread(s->v->now.fd, bytes, SLOT_BYTES, (off_t)slot * SLOT_BYTES) == SLOT_BYTES &&
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
		if (v->used[slot] != 0 || pread(v->now.fd, bytes, SLOT_BYTES,
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

/* Under the next master key there is no slot of what is destroyed. */
static ag_err
next_sweep(struct vault *v)
{
	uint8_t bytes[SLOT_BYTES];
	struct stat st;
	ag_err err;

	if (fstat(v->next.fd, &st) != 0)
		return AG_IO;
	for (uint32_t slot = 1; slot < st.st_size / SLOT_BYTES; slot++) {
		if ((slot < v->slots && v->used[slot] != 0) || pread(v->next.fd, bytes,
		    SLOT_BYTES, (off_t)slot * SLOT_BYTES) != SLOT_BYTES || bytes[0] == 0)
			continue;
		if ((err = slots_zero(&v->next, slot)) != AG_OK)
			return err;
	}
	return AG_OK;
}

/* The slots that an interrupted rekey left: nobody can add to them before it is
 * resumed, but what is destroyed must go from them. */
static ag_err
next_left(struct vault *v, struct ag_ctx *ctx)
{
	v->next.fd = open(v->slots_next, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (v->next.fd < 0 && errno == ENOENT)
		return AG_OK;
	if (v->next.fd < 0)
		return refuse(ctx, "ROT-SLOTS", v->slots_next, strerror(errno));
	return next_sweep(v);
}

static bool
name_files(struct vault *v, struct ag_ctx *ctx)
{
	const char *configured = ag_config_str(ctx, "rot.software.master_key_file", 0);
	const char *dir = ag_state_dir(ctx);
	int n = configured != NULL ?
	    snprintf(v->master_file, PATH_BYTES, "%s", configured) :
	    snprintf(v->master_file, PATH_BYTES, "%s/rot/master.key", dir);

	return n < PATH_BYTES && (size_t)snprintf(v->slots_file, PATH_BYTES,
	    "%s/rot/wrapping.keys", dir) < PATH_BYTES &&
	    snprintf(v->master_next, PATH_BYTES, "%s.next", v->master_file) < PATH_BYTES &&
	    snprintf(v->slots_next, PATH_BYTES, "%s.next", v->slots_file) < PATH_BYTES;
}

ag_err
vault_open(struct vault *v, struct ag_ctx *ctx)
{
	char dir[PATH_BYTES];
	bool first_start;
	ag_err err;

	v->now.fd = v->next.fd = -1;
	if (!name_files(v, ctx))
		return refuse(ctx, "ROT-FOLDER", ag_state_dir(ctx), "too long a path");
	snprintf(dir, sizeof(dir), "%s/rot", ag_state_dir(ctx));
	if (mkdir(dir, 0700) != 0 && errno != EEXIST)
		return refuse(ctx, "ROT-FOLDER", dir, strerror(errno));
	if ((err = open_slots(v, ctx, v->slots_file, &first_start)) != AG_OK ||
	    (err = master_open(v, ctx, v->master_file, first_start)) != AG_OK ||
	    (err = prove_master(v, ctx, first_start)) != AG_OK ||
	    (err = sweep(v, ctx)) != AG_OK)
		return err;
	return next_left(v, ctx);
}

void
vault_close(struct vault *v)
{
	if (v->now.master == NULL && v->used == NULL)
		return; /* never opened */
	slots_close(&v->now);
	slots_close(&v->next);
	free(v->used);
	v->used = NULL;
}

/* ------------------------------------------------------- a new master key */

ag_err
vault_next_open(struct vault *v, struct ag_ctx *ctx, bool resume)
{
	bool half = access(v->master_next, F_OK) == 0;
	const char *why;
	ag_err err;

	if (half != resume)
		return half ? AG_ALREADY_EXISTS : AG_ITEM_NOT_FOUND;
	v->next_bad = false;
	if (resume) {
		err = ag_master_read(v->master_next, ag_master_lock(ctx), &v->next.master, &why);
	} else if ((err = ag_secret_new(AG_MASTER_BYTES, &v->next.master)) == AG_OK) {
		err = RAND_priv_bytes(ag_secret_bytes(v->next.master), AG_MASTER_BYTES) == 1 ?
		    ag_master_write(v->master_next, ag_master_lock(ctx), v->next.master) :
		    AG_GENERAL_FAILURE;
	}
	if (err == AG_OK) {
		if (v->next.fd >= 0)
			close(v->next.fd); /* it may be another file by now */
		v->next.fd = open(v->slots_next, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
		err = v->next.fd < 0 ? AG_IO : slots_prove(&v->next);
	}
	if (err == AG_OK)
		err = next_sweep(v);
	if (err != AG_OK)
		vault_next_drop(v);
	return err;
}

struct carrying {
	struct vault *v;
	struct vault_walk *walk;
	struct ag_secret *was, *is;
	unsigned rows;
	ag_err err;
};

/* The slot under the new key: there already and right, or written now. */
static ag_err
carry(struct carrying *c, const struct id_bytes *b, uint32_t slot)
{
	struct vault *v = c->v;
	uint8_t *was = ag_secret_bytes(c->was), *is = ag_secret_bytes(c->is);
	ag_err err = slots_open(&v->now, slot, b->aad, b->aad_len, was);

	if (err != AG_OK)
		return err;
	if (slots_open(&v->next, slot, b->aad, b->aad_len, is) == AG_OK &&
	    ag_secret_equal(was, is, KEY_BYTES))
		return AG_OK;
	if (c->walk->only_check)
		return AG_CORRUPT;
	return slots_seal_later(&v->next, slot, was, b->aad, b->aad_len);
}

static bool
visit_carry(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
    size_t value_len)
{
	struct carrying *c = arg;
	struct vault_walk *walk = c->walk;
	const char *tenant = (const char *)key;
	size_t tenant_len = strnlen(tenant, key_len) + 1;
	struct id_bytes b;
	struct vault_id id;

	if (walk->at_len == key_len && memcmp(walk->at, key, key_len) == 0)
		return true; /* where the last turn ended */
	if (c->rows == VAULT_WALK_ROWS)
		return false;
	c->err = AG_CORRUPT;
	if (value_len <= BLOB_HEAD || key_len > sizeof(walk->at) || key_len < tenant_len + 5)
		return false;
	id = (struct vault_id){ tenant, tenant + tenant_len, slots_get_be32(key + key_len - 4) };
	if (tenant[key_len - 5] != '\0' || id_bytes(&id, &b) != AG_OK ||
	    b.key_len != key_len)
		return false;
	c->err = carry(c, &b, slots_get_be32(value + 1));
	if (c->err != AG_OK)
		return false;
	memcpy(walk->at, key, key_len);
	walk->at_len = key_len;
	walk->done++;
	c->rows++;
	return true;
}

ag_err
vault_next_carry(struct vault *v, struct ag_ctx *ctx, struct vault_walk *walk, bool *end)
{
	struct carrying c = { .v = v, .walk = walk };
	ag_err err;

	if ((err = ag_secret_new(KEY_BYTES, &c.was)) == AG_OK)
		err = ag_secret_new(KEY_BYTES, &c.is);
	if (err == AG_OK)
		err = ag_store_scan(ctx, VAULT_TABLE_BLOBS, walk->at_len > 0 ? walk->at : NULL,
		    walk->at_len, visit_carry, &c);
	ag_secret_free(&c.was);
	ag_secret_free(&c.is);
	*end = err == AG_OK && c.err == AG_OK && c.rows < VAULT_WALK_ROWS;
	return err != AG_OK ? err : v->next_bad ? AG_IO : c.err;
}

uint32_t
vault_count(const struct vault *v)
{
	uint32_t count = 0;

	for (uint32_t slot = 1; slot < v->slots; slot++)
		count += v->used[slot] != 0;
	return count;
}

ag_err
vault_next_take(struct vault *v)
{
	if (fdatasync(v->next.fd) != 0 || ag_dir_sync(v->slots_next) != AG_OK ||
	    ag_dir_sync(v->master_next) != AG_OK ||
	    ag_file_supersede(v->slots_next, v->slots_file) != AG_OK)
		return AG_IO;
	slots_close(&v->now);
	v->now = v->next;
	v->next = (struct slots){ .fd = -1 };
	return ag_file_supersede(v->master_next, v->master_file);
}

void
vault_next_drop(struct vault *v)
{
	ag_secret_free(&v->next.master);
}
