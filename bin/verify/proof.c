/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proof: that an event is under a signed head, or that one head goes on where
 * another ended, from the answer of GET /v1/audit/{event_id}/proof or of GET
 * /v1/audit/consistency in a file and the public key; no log, no fleet.
 */
#include "walk.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

enum { PATH_MAX_LEN = AG_MERKLE_DEPTH_MAX };

static ag_err
not_a_proof(struct verify *v, const char *what)
{
	(void)verify_broken(v, 0, "it is not a proof: %s", what);
	return AG_USAGE;
}

static bool
path_of(const json_t *object, uint8_t path[PATH_MAX_LEN][AG_HASH_BYTES],
    size_t *len)
{
	const json_t *list = json_object_get(object, "path_b64"), *item;
	size_t i, n;

	*len = json_array_size(list);
	if (!json_is_array(list) || *len > PATH_MAX_LEN)
		return false;
	json_array_foreach(list, i, item) {
		const char *text = json_string_value(item);

		if (text == NULL || !ag_base64_parse(text, strlen(text), path[i],
		        AG_HASH_BYTES, &n) || n != AG_HASH_BYTES)
			return false;
	}
	return true;
}

static ag_err
check(struct verify *v, const json_t *object, const char *tenant)
{
	const char *event = json_string_value(json_object_get(object, "event_id"));
	const json_t *index = json_object_get(object, "index");
	uint8_t path[PATH_MAX_LEN][AG_HASH_BYTES], leaf[AG_HASH_BYTES];
	char at[AG_TIME_TEXT];
	struct head head;
	uint64_t n;
	size_t len;

	if (event == NULL || !ag_id_valid(event, "evt"))
		return not_a_proof(v, "event_id");
	if (!json_is_integer(index) || json_integer_value(index) < 0)
		return not_a_proof(v, "index");
	if (!kept_bytes(object, "leaf_hash_b64", leaf, sizeof(leaf)))
		return not_a_proof(v, "leaf_hash_b64");
	if (!path_of(object, path, &len))
		return not_a_proof(v, "path_b64");
	if (!kept_head(json_object_get(object, "checkpoint"), &head))
		return not_a_proof(v, "checkpoint");
	n = (uint64_t)json_integer_value(index);
	if (!verify_head_signed(v, tenant, &head))
		return verify_broken(v, n + 1,
		    "the head is not signed by this key for the tenant %s", tenant);
	/* The tree is the head's: what the proof says of its size is not needed. */
	if (!ag_merkle_proof_ok(leaf, n, head.size, path, len, head.root))
		return verify_broken(v, n + 1, "%s is not event %llu under the head",
		    event, (unsigned long long)n + 1);
	ag_time_text(head.created_at, at);
	printf("audit: %s is event %llu of %s, under the head of %llu events "
	    "signed at %s\n", event, (unsigned long long)n + 1, tenant,
	    (unsigned long long)head.size, at);
	return AG_OK;
}

/* A head that was kept must be one of the two, or they prove nothing of it. */
static ag_err
check_kept(struct verify *v, const struct head *first, const struct head *second,
    const char *tenant)
{
	const struct head *kept = &verify_chain(v, tenant)->kept, *same;

	if (kept->size == 0)
		return AG_OK;
	same = kept->size == first->size ? first :
	    kept->size == second->size ? second : NULL;
	if (same == NULL) {
		(void)verify_broken(v, 0, "the checkpoint that was kept covers %llu "
		    "events: ask for the proof from there", (unsigned long long)kept->size);
		return AG_USAGE;
	}
	if (memcmp(same->root, kept->root, AG_HASH_BYTES) != 0)
		return verify_broken(v, kept->size, "the head of %llu events is not "
		    "the one that was kept", (unsigned long long)kept->size);
	return AG_OK;
}

static ag_err
check_two(struct verify *v, const json_t *object, const char *tenant)
{
	uint8_t path[PATH_MAX_LEN][AG_HASH_BYTES];
	struct head first, second;
	size_t len;
	ag_err err;

	if (!kept_head(json_object_get(object, "first"), &first))
		return not_a_proof(v, "first");
	if (!kept_head(json_object_get(object, "second"), &second))
		return not_a_proof(v, "second");
	if (!path_of(object, path, &len))
		return not_a_proof(v, "path_b64");
	if (!verify_head_signed(v, tenant, &first) ||
	    !verify_head_signed(v, tenant, &second))
		return verify_broken(v, first.size,
		    "a head is not signed by this key for the tenant %s", tenant);
	if ((err = check_kept(v, &first, &second, tenant)) != AG_OK)
		return err;
	if (!ag_merkle_consistent(first.size, first.root, second.size, second.root,
	        (const uint8_t (*)[AG_HASH_BYTES])path, len))
		return verify_broken(v, first.size, "the %llu events do not begin with "
		    "the %llu", (unsigned long long)second.size,
		    (unsigned long long)first.size);
	printf("audit: the head of %llu events of %s goes on where the one of %llu "
	    "ended\n", (unsigned long long)second.size, tenant,
	    (unsigned long long)first.size);
	return AG_OK;
}

static ag_err
check_file(struct verify *v, const char *path, const char *tenant,
    ag_err (*one)(struct verify *v, const json_t *object, const char *tenant))
{
	json_error_t error;
	json_t *object = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
	ag_err err;

	if (!json_is_object(object)) {
		json_decref(object);
		return not_a_proof(v, "JSON");
	}
	err = one(v, object, tenant);
	json_decref(object);
	return err;
}

ag_err
proof_check(struct verify *v, const char *path, const char *tenant)
{
	return check_file(v, path, tenant, check);
}

ag_err
consistency_check(struct verify *v, const char *path, const char *tenant)
{
	return check_file(v, path, tenant, check_two);
}
