/* SPDX-License-Identifier: Apache-2.0 */
/*
 * webauthn_keys: which FIDO2 keys a person has, as the journal's stream
 * webauthn:<person> tells it: enrolled, used (the counter moves on), removed.
 * The snapshot has one row a person, which stays when the last key went: with
 * it the stream's version.
 */
#include "exec.h"
#include "factors.h"
#include "webauthn.h"

#include <stdlib.h>
#include <string.h>

struct iam_webauthn_key *
iam_webauthn_named(const struct iam_node *node, const char *name)
{
	struct iam_webauthn_key *k = node->webauthn == NULL ? NULL :
	    node->webauthn->first;

	while (k != NULL && strcmp(k->name, name) != 0)
		k = k->next;
	return k;
}

struct iam_webauthn_key *
iam_webauthn_with(const struct iam_node *node, struct iam_bytes id)
{
	struct iam_webauthn_key *k = node->webauthn == NULL ? NULL :
	    node->webauthn->first;

	while (k != NULL && (k->key.id_len != id.len ||
	    memcmp(k->key.id, id.data, id.len) != 0))
		k = k->next;
	return k;
}

unsigned
iam_webauthn_count(const struct iam_node *node)
{
	unsigned n = 0;

	if (node->webauthn != NULL)
		for (const struct iam_webauthn_key *k = node->webauthn->first;
		    k != NULL; k = k->next)
			n++;
	return n;
}

bool
iam_second_factor(const struct iam_node *node)
{
	return iam_methods(node) != 0;
}

unsigned
iam_methods(const struct iam_node *node)
{
	return (iam_totp_enrolled(node) ? AG_METHOD_TOTP : 0) |
	    (iam_webauthn_count(node) > 0 ? AG_METHOD_WEBAUTHN : 0);
}

void
iam_webauthn_free(struct iam_node *node)
{
	struct iam_webauthn_key *k, *next;

	if (node->webauthn == NULL)
		return;
	for (k = node->webauthn->first; k != NULL; k = next) {
		next = k->next;
		free(k);
	}
	free(node->webauthn);
	node->webauthn = NULL;
}

/* -------------------------------------------------------------- one of them */

static const char *
attestation_of(const char *word)
{
	static const char *const words[] = { "none", "self", "certificate" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (word != NULL && strcmp(words[i], word) == 0)
			return words[i];
	return NULL;
}

static bool
fill(struct iam_webauthn_key *k, const Ag__WebauthnFact *fact)
{
	struct iam_bytes key = { fact->public_key.data, fact->public_key.len };

	if (strlen(fact->name) >= sizeof(k->name) || !fact->has_credential_id ||
	    !fact->has_public_key || !fact->has_aaguid ||
	    fact->credential_id.len == 0 ||
	    fact->credential_id.len > sizeof(k->key.id) ||
	    key.len > sizeof(k->key.key) ||
	    fact->aaguid.len != sizeof(k->key.aaguid) ||
	    iam_fido_algorithm(fact->algorithm) == NULL)
		return false;
	strcpy(k->name, fact->name);
	memcpy(k->key.id, fact->credential_id.data, fact->credential_id.len);
	k->key.id_len = fact->credential_id.len;
	memcpy(k->key.key, key.data, key.len);
	k->key.key_len = key.len;
	memcpy(k->key.aaguid, fact->aaguid.data, sizeof(k->key.aaguid));
	k->key.algorithm = fact->algorithm;
	k->key.sign_count = fact->sign_count;
	k->key.attestation = attestation_of(fact->attestation);
	k->created_at = fact->at;
	return k->key.attestation != NULL;
}

static ag_err
enrolled(struct iam_node *node, const Ag__WebauthnFact *fact)
{
	struct iam_webauthn_key *k = iam_webauthn_named(node, fact->name);

	if (k != NULL) /* it comes again, because keeping it had failed */
		return fill(k, fact) ? AG_OK : AG_CORRUPT;
	if (iam_webauthn_count(node) >= IAM_WEBAUTHN_EACH)
		return AG_CORRUPT;
	if ((k = calloc(1, sizeof(*k))) == NULL)
		return AG_NO_MEMORY;
	if (!fill(k, fact)) {
		free(k);
		return AG_CORRUPT;
	}
	k->next = node->webauthn->first;
	node->webauthn->first = k;
	return AG_OK;
}

static void
removed(struct iam_node *node, const char *name)
{
	struct iam_webauthn_key **at = &node->webauthn->first, *k;

	while ((k = *at) != NULL && strcmp(k->name, name) != 0)
		at = &k->next;
	if (k == NULL)
		return;
	*at = k->next;
	free(k);
}

static ag_err
take(struct iam_node *node, const Ag__WebauthnFact *fact)
{
	struct iam_webauthn_key *k;

	if (node->webauthn == NULL && (node->webauthn = calloc(1,
	    sizeof(*node->webauthn))) == NULL)
		return AG_NO_MEMORY;
	if (strcmp(fact->state, "enrolled") == 0)
		return enrolled(node, fact);
	if (strcmp(fact->state, "removed") == 0) {
		removed(node, fact->name);
		return AG_OK;
	}
	k = iam_webauthn_named(node, fact->name);
	if (strcmp(fact->state, "used") != 0 || k == NULL)
		return AG_CORRUPT;
	k->key.sign_count = fact->sign_count;
	k->last_used_at = fact->at;
	return AG_OK;
}

/* ------------------------------------------------------------- the snapshot */

static Ag__WebauthnKeyRow *
row_of(struct ag_ctx *ctx, const struct iam_node *node,
    struct iam_webauthn_key *k)
{
	Ag__WebauthnKeyRow *row = ag_alloc(ctx, sizeof(*row));
	Ag__WebauthnFact *fact = ag_alloc(ctx, sizeof(*fact));

	if (row == NULL || fact == NULL)
		return NULL;
	ag__webauthn_key_row__init(row);
	ag__webauthn_fact__init(fact);
	fact->principal_id = (char *)(uintptr_t)node->id;
	fact->state = (char *)"enrolled";
	fact->at = k->created_at;
	iam_webauthn_describe(fact, k->name, &k->key);
	row->enrolled = fact;
	row->sign_count = k->key.sign_count;
	row->has_last_used_at = k->last_used_at != 0;
	row->last_used_at = k->last_used_at;
	return row;
}

static ag_err
keep(struct ag_ctx *ctx, const struct iam_node *node)
{
	Ag__WebauthnKeys keys = AG__WEBAUTHN_KEYS__INIT;

	keys.principal_id = (char *)(uintptr_t)node->id;
	keys.revision = node->webauthn->version;
	keys.rows = iam_array(ctx, IAM_WEBAUTHN_EACH);
	for (struct iam_webauthn_key *k = node->webauthn->first;
	    keys.rows != NULL && k != NULL; k = k->next)
		if ((keys.rows[keys.n_rows++] = row_of(ctx, node, k)) == NULL)
			return AG_NO_MEMORY;
	return keys.rows == NULL ? AG_NO_MEMORY :
	    iam_store_msg(ctx, IAM_T_WEBAUTHN, node->id, &keys);
}

void
iam_webauthn_describe(Ag__WebauthnFact *fact, const char *name,
    struct iam_fido_key *key)
{
	fact->name = (char *)(uintptr_t)name;
	fact->has_credential_id = fact->has_public_key = fact->has_aaguid =
	    fact->has_algorithm = fact->has_sign_count = true;
	fact->credential_id = (ProtobufCBinaryData){ key->id_len, key->id };
	fact->public_key = (ProtobufCBinaryData){ key->key_len, key->key };
	fact->aaguid = (ProtobufCBinaryData){ sizeof(key->aaguid), key->aaguid };
	fact->algorithm = key->algorithm;
	fact->sign_count = key->sign_count;
	fact->attestation = (char *)(uintptr_t)key->attestation;
}

/* What was begun before this factor came or went would be another that nobody
 * showed one for. */
static ag_err
end_begun(struct iam *iam, struct ag_ctx *ctx, struct iam_node *node,
    const Ag__WebauthnFact *fact)
{
	if (strcmp(fact->state, "used") == 0)
		return AG_OK;
	iam_challenges_end(iam, node);
	return iam_totp_drop(iam, ctx, node);
}

ag_err
iam_webauthn_apply(struct iam *iam, struct ag_ctx *ctx,
    const struct ag_fact_record *r)
{
	const Ag__WebauthnFact *fact = r->fact;
	struct iam_node *node = iam_node_find(iam, fact->principal_id);
	uint64_t before;
	ag_err err;

	if (node == NULL || node->parent != NULL)
		return AG_CORRUPT;
	before = node->webauthn == NULL ? 0 : node->webauthn->version;
	if (before >= r->version)
		return AG_OK;
	if ((err = take(node, fact)) != AG_OK)
		return err;
	node->webauthn->version = r->version;
	if ((err = end_begun(iam, ctx, node, fact)) != AG_OK ||
	    (err = keep(ctx, node)) != AG_OK)
		node->webauthn->version = before; /* it comes again */
	return err;
}

/* Of the snapshot: at the start, before any fact. */
static ag_err
load(struct iam *iam, const Ag__WebauthnKeys *keys)
{
	struct iam_node *node = iam_node_find(iam, keys->principal_id);
	struct iam_webauthn_key *k;
	ag_err err;

	if (node == NULL || keys->n_rows > IAM_WEBAUTHN_EACH)
		return AG_CORRUPT;
	if (node->webauthn == NULL && (node->webauthn = calloc(1,
	    sizeof(*node->webauthn))) == NULL)
		return AG_NO_MEMORY;
	/* Each is put before those that are there. */
	for (size_t i = keys->n_rows; i > 0; i--) {
		const Ag__WebauthnKeyRow *row = keys->rows[i - 1];

		if ((err = take(node, row->enrolled)) != AG_OK)
			return err;
		k = iam_webauthn_named(node, row->enrolled->name);
		k->key.sign_count = row->sign_count;
		k->last_used_at = row->last_used_at;
	}
	node->webauthn->version = keys->revision;
	return AG_OK;
}

ag_err
iam_webauthn_take(struct iam *iam, const void *msg)
{
	return load(iam, msg);
}
