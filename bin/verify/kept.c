/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kept: checkpoints that a verifier keeps elsewhere, so that a log cut back to
 * an older checkpoint of its own is noticed. One JSON object a line; a
 * checkpoint, a page of them or a proof as REST answers it will do, too.
 */
#include "walk.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MAX = 1 << 20 };

bool
kept_bytes(const json_t *object, const char *name, uint8_t *out, size_t want)
{
	const char *text = json_string_value(json_object_get(object, name));
	size_t len;

	return text != NULL && ag_base64_parse(text, strlen(text), out, want,
	    &len) && len == want;
}

bool
kept_head(const json_t *object, struct head *out)
{
	const json_t *size = json_object_get(object, "size");
	const char *at = json_string_value(json_object_get(object, "created_at"));
	const char *key = json_string_value(json_object_get(object, "key_id"));

	memset(out, 0, sizeof(*out));
	if (!json_is_integer(size) || json_integer_value(size) < 1 || at == NULL ||
	    !ag_time_parse(at, &out->created_at))
		return false;
	out->size = (uint64_t)json_integer_value(size);
	if (key != NULL && strlen(key) < sizeof(out->key_id))
		strcpy(out->key_id, key);
	return kept_bytes(object, "root_b64", out->root, AG_HASH_BYTES) &&
	    kept_bytes(object, "signature_b64", out->signature,
	        sizeof(out->signature));
}

static bool
take_object(struct verify *v, const json_t *object, const char *fallback,
    const char **message)
{
	const char *tenant = json_string_value(json_object_get(object, "tenant"));
	struct chain *c;
	struct head head;

	if (tenant == NULL)
		tenant = fallback;
	if (strlen(tenant) > AG_SEG_TENANT_MAX || !kept_head(object, &head)) {
		*message = "it is not a checkpoint";
		return false;
	}
	if (v->tenant != NULL && strcmp(v->tenant, tenant) != 0)
		return true; /* not asked about */
	if (!verify_head_signed(v, tenant, &head)) {
		*message = "it is not signed by this key";
		return false;
	}
	c = verify_chain(v, tenant);
	if (head.size > c->kept.size)
		c->kept = head;
	return true;
}

static bool
take_any(struct verify *v, const json_t *value, const char *fallback,
    const char **message)
{
	const json_t *items = json_object_get(value, "items");
	const json_t *inner = json_object_get(value, "checkpoint");
	const json_t *item;
	size_t i;

	if (json_is_object(inner))
		return take_object(v, inner, fallback, message);
	if (!json_is_array(items))
		return take_object(v, value, fallback, message);
	json_array_foreach(items, i, item) {
		if (!take_object(v, item, fallback, message))
			return false;
	}
	return true;
}

bool
kept_read(struct verify *v, const char *path, const char *tenant,
    const char **message)
{
	FILE *file = fopen(path, "re");
	json_error_t error;
	json_t *value;
	bool ok = true;
	unsigned n = 0;

	*message = "it cannot be read";
	if (file == NULL)
		return false;
	while (ok) {
		value = json_loadf(file, JSON_DISABLE_EOF_CHECK |
		    JSON_REJECT_DUPLICATES, &error);
		if (value == NULL)
			break;
		ok = take_any(v, value, tenant, message);
		json_decref(value);
		n++;
	}
	if (ok && (n == 0 ||
	    json_error_code(&error) != json_error_premature_end_of_input)) {
		*message = "it is not JSON";
		ok = false;
	}
	fclose(file);
	return ok;
}

bool
kept_write(const struct verify *v, const char *path, const char **message)
{
	FILE *file = fopen(path, "we");
	unsigned n = 0;

	*message = "it cannot be written";
	if (file == NULL)
		return false;
	for (size_t i = 0; i < v->chain_count; i++) {
		const struct chain *c = v->chains[i];
		char root[64], signature[128], at[AG_TIME_TEXT];

		if (c->signed_head.size == 0)
			continue;
		ag_base64(c->signed_head.root, AG_HASH_BYTES, root);
		ag_base64(c->signed_head.signature, sizeof(c->signed_head.signature),
		    signature);
		ag_time_text(c->signed_head.created_at, at);
		fprintf(file, "{\"tenant\":\"%s\",\"size\":%llu,\"root_b64\":\"%s\","
		    "\"created_at\":\"%s\",\"key_id\":\"%s\",\"signature_b64\":\"%s\"}\n",
		    c->tenant, (unsigned long long)c->signed_head.size, root, at,
		    c->signed_head.key_id, signature);
		n++;
	}
	if (fclose(file) != 0)
		return false;
	*message = "no checkpoint is signed yet";
	return n > 0;
}
