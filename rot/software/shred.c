/* SPDX-License-Identifier: Apache-2.0 */
#include "shred.h"

#include <stdio.h>
#include <string.h>

enum {
	SHRED_MAX = 256, /* at once: each waits for the disk */
	NOTE_MAX = 96,
	COUNT_BYTES = 8,
};

static size_t
note_key(const char *tenant, char out[NOTE_MAX])
{
	return (size_t)snprintf(out, NOTE_MAX, "gone:%s", tenant);
}

static bool
note_get(struct ag_ctx *ctx, const char *tenant, uint64_t *erased)
{
	char key[NOTE_MAX];
	const uint8_t *value;
	size_t len;

	*erased = 0;
	if (ag_store_get(ctx, VAULT_TABLE_NOTES, key, note_key(tenant, key),
	    &value, &len) != AG_OK)
		return false;
	for (size_t i = 0; i < COUNT_BYTES && i < len; i++)
		*erased = *erased << 8 | value[i];
	return true;
}

static ag_err
note_put(struct ag_ctx *ctx, const char *tenant, uint64_t erased)
{
	char key[NOTE_MAX];
	uint8_t value[COUNT_BYTES];
	ag_err err;

	for (int i = COUNT_BYTES - 1; i >= 0; i--, erased >>= 8)
		value[i] = (uint8_t)erased;
	err = ag_store_put(ctx, VAULT_TABLE_NOTES, key, note_key(tenant, key),
	    value, sizeof(value));
	return err == AG_OK ? ag_store_commit(ctx) : err;
}

bool
shred_gone(struct ag_ctx *ctx, const char *tenant)
{
	uint64_t erased;

	return strlen(tenant) <= AG_NAME_MAX && note_get(ctx, tenant, &erased);
}

struct found {
	const char *tenant;
	struct {
		char key_id[AG_ID_SIZE];
		uint32_t version;
	} ids[SHRED_MAX];
	unsigned count, max;
	uint64_t left; /* behind these */
	bool strange;
};

/* tenant 0 key id 0 version BE4 */
static bool
visit(void *arg, const uint8_t *key, size_t len, const uint8_t *value,
    size_t value_len)
{
	struct found *f = arg;
	size_t n = strlen(f->tenant) + 1, id_len;

	if (len < n || memcmp(key, f->tenant, n) != 0)
		return false;
	if (f->count == f->max) {
		f->left++;
		return true;
	}
	id_len = strnlen((const char *)key + n, len - n);
	if (id_len >= AG_ID_SIZE || n + id_len + 1 + 4 != len) {
		f->strange = true;
		return false;
	}
	memcpy(f->ids[f->count].key_id, key + n, id_len + 1);
	key += n + id_len + 1;
	f->ids[f->count++].version = (uint32_t)key[0] << 24 |
	    (uint32_t)key[1] << 16 | (uint32_t)key[2] << 8 | key[3];
	return true;
}

ag_err
shred_tenant(struct vault *v, struct ag_ctx *ctx, const char *tenant,
    unsigned max, struct shred *out)
{
	struct found *f = ag_alloc(ctx, sizeof(*f));
	ag_err err = AG_OK;

	memset(out, 0, sizeof(*out));
	if (f == NULL)
		return AG_NO_MEMORY;
	if (!note_get(ctx, tenant, &out->erased))
		err = note_put(ctx, tenant, 0);
	f->tenant = tenant;
	f->max = max < SHRED_MAX ? max : SHRED_MAX;
	if (err == AG_OK)
		err = ag_store_scan(ctx, VAULT_TABLE_BLOBS, tenant,
		    strlen(tenant) + 1, visit, f);
	if (err == AG_OK && f->strange)
		err = AG_CORRUPT;
	for (unsigned i = 0; err == AG_OK && i < f->count; i++) {
		struct vault_id id = { tenant, f->ids[i].key_id,
			f->ids[i].version };

		err = vault_destroy(v, ctx, &id);
	}
	if (err != AG_OK)
		return err;
	out->erased += f->count;
	out->left = f->left;
	return f->count > 0 ? note_put(ctx, tenant, out->erased) : AG_OK;
}
