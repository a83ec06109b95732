/* SPDX-License-Identifier: Apache-2.0 */
/*
 * webauthn: FIDO2 keys as the second factor of people. Whose it is enrols it:
 * freely as the first one, with a step-up when there is one already, or for a
 * challenge that somebody who may update them had made. A challenge is good
 * once, for one person and one purpose. Where a key's counter is is journaled
 * before its answer counts, so that a copy is found on every node and after
 * every crash.
 */
#include "exec.h"
#include "factors.h"
#include "webauthn.h"

#include <stdio.h>
#include <string.h>

enum { FIELD_MAX = 64 };

static const struct iam_noun person_noun = { iam_principal_find, "principal" };

ag_err
iam_webauthn_init(struct iam *iam, struct ag_ctx *ctx)
{
	struct iam_fido_party *party = &iam->party;
	const char *item;

	party->rp_id = ag_config_str(ctx, "auth.webauthn.rp_id", 0);
	party->verification = ag_config_int(ctx,
	    "auth.webauthn.user_verification") != 0;
	party->origins = iam->party_origins;
	while ((item = ag_config_get_item(ag_config(ctx),
	    "auth.webauthn.origins", 0, party->origin_count)) != NULL) {
		if (party->origin_count == IAM_ORIGINS_MAX) {
			ag_log(ctx, AG_ERROR, "WEBAUTHN-ORIGINS", "max=%d",
			    IAM_ORIGINS_MAX);
			return AG_USAGE;
		}
		iam->party_origins[party->origin_count++] = item;
	}
	if (party->origin_count == 0) {
		if ((size_t)snprintf(iam->party_own, sizeof(iam->party_own),
		    "https://%s", party->rp_id) >= sizeof(iam->party_own)) {
			ag_log(ctx, AG_ERROR, "WEBAUTHN-RP", "rp_id=%s",
			    party->rp_id);
			return AG_USAGE;
		}
		iam->party_origins[party->origin_count++] = iam->party_own;
	}
	return AG_OK;
}

/* --------------------------------------------------------------- what is said */

static char **
say_origins(const struct iam *iam)
{
	return (char **)(uintptr_t)iam->party.origins;
}

/* The ids of all keys of theirs; NULL: no memory. */
static ProtobufCBinaryData *
say_ids(struct ag_ctx *ctx, struct iam_node *node, size_t *count)
{
	ProtobufCBinaryData *ids = ag_alloc(ctx, IAM_WEBAUTHN_EACH *
	    sizeof(*ids));

	*count = 0;
	for (struct iam_webauthn_key *k = node->webauthn == NULL ? NULL :
	    node->webauthn->first; ids != NULL && k != NULL; k = k->next)
		ids[(*count)++] = (ProtobufCBinaryData){ k->key.id_len,
			k->key.id };
	return ids;
}

Ag__WebauthnRequest *
iam_webauthn_request(struct iam *iam, struct ag_ctx *ctx, struct iam_node *node,
    uint8_t challenge[IAM_FIDO_CHALLENGE])
{
	Ag__WebauthnRequest *rq = ag_alloc(ctx, sizeof(*rq));

	if (rq == NULL)
		return NULL;
	ag__webauthn_request__init(rq);
	rq->challenge_b64 = (ProtobufCBinaryData){ IAM_FIDO_CHALLENGE,
		challenge };
	rq->rp_id = (char *)(uintptr_t)iam->party.rp_id;
	rq->origins = say_origins(iam);
	rq->n_origins = iam->party.origin_count;
	rq->user_verification = iam->party.verification;
	rq->credential_ids_b64 = say_ids(ctx, node, &rq->n_credential_ids_b64);
	return rq->credential_ids_b64 == NULL ? NULL : rq;
}

static Ag__WebauthnKey *
view(struct ag_ctx *ctx, struct iam_webauthn_key *k)
{
	Ag__WebauthnKey *v = ag_alloc(ctx, sizeof(*v));
	uint8_t *aaguid = k->key.aaguid;
	char *text = ag_alloc(ctx, AG_UUID_TEXT);

	if (v == NULL || text == NULL)
		return NULL;
	ag__webauthn_key__init(v);
	ag_uuid_text(aaguid, text);
	v->name = k->name;
	v->credential_id_b64 = (ProtobufCBinaryData){ k->key.id_len, k->key.id };
	v->algorithm = (char *)(uintptr_t)iam_fido_algorithm(k->key.algorithm);
	v->attestation = (char *)(uintptr_t)k->key.attestation;
	v->aaguid = text;
	v->sign_count = k->key.sign_count;
	v->created_at = k->created_at;
	v->has_last_used_at = k->last_used_at != 0;
	v->last_used_at = k->last_used_at;
	return v;
}

static ag_err
refuse(struct ag_ctx *ctx, enum iam_fido_end end)
{
	const struct iam_fido_word *word = iam_fido_word(end);

	if (end == IAM_FIDO_NO_MEMORY)
		return AG_NO_MEMORY;
	if (end == IAM_FIDO_COUNT)
		ag_metric_add(ctx, IAM_M_REPLAYS, 1);
	return ag_refuse(ctx, AG_STEP_UP_FAILED, word->reason, NULL, "%s",
	    word->detail);
}

static uint64_t
version_of(const struct iam_node *node)
{
	return node->webauthn == NULL ? 0 : node->webauthn->version;
}

static ag_err
persist(struct ag_ctx *ctx, const struct iam_node *node, Ag__WebauthnFact *fact,
    struct ag_fact *facts, size_t count, const void *reply, ag_then *then,
    const void *memo, size_t memo_size)
{
	char stream[IAM_STREAM_MAX];

	fact->principal_id = (char *)(uintptr_t)node->id;
	snprintf(stream, sizeof(stream), "webauthn:%s", node->id);
	facts[0] = (struct ag_fact){ stream, version_of(node),
		AG_MSG_WEBAUTHN_FACT, fact };
	return ag_persist(ctx, facts, count, ag_type(ctx), reply, NULL, then,
	    memo, memo_size);
}

/* Whose key, and which, once it is journaled. */
struct done {
	char node[AG_ID_SIZE], name[AG_NAME_MAX + 1];
	uint64_t version; /* of the stream, before */
};

static struct done
done_of(const struct iam_node *node, const char *name)
{
	struct done done = { .version = version_of(node) };

	strcpy(done.node, node->id);
	snprintf(done.name, sizeof(done.name), "%s", name);
	return done;
}

/* ----------------------------------------------------------------- enrolling */

static ag_err
check_new(struct ag_ctx *ctx, const struct iam_node *node, const char *name)
{
	if (node->kind != AG__KIND__V__human)
		return ag_refuse(ctx, AG_ILLEGAL_OPERATION, "transition", NULL,
		    "Only people have a second factor.");
	if (node->state != IAM_LIVE)
		return ag_refuse(ctx, AG_ILLEGAL_OPERATION, "transition", NULL,
		    "The principal is not active.");
	if (!ag_name_valid(name))
		return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range", "/name",
		    "A name is [a-z0-9][a-z0-9._-]{0,62}.");
	if (iam_webauthn_named(node, name) != NULL)
		return ag_refuse(ctx, AG_ALREADY_EXISTS, "name", "/name",
		    "There is a key of this name.");
	if (iam_webauthn_count(node) >= IAM_WEBAUTHN_EACH)
		return ag_refuse(ctx, AG_ILLEGAL_OPERATION, "transition", NULL,
		    "A person has at most %d keys.", IAM_WEBAUTHN_EACH);
	return AG_OK;
}

ag_err
iam_on_webauthn_begin(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__WebauthnBeginAsk *ask = msg;
	Ag__WebauthnBeginReply reply = AG__WEBAUTHN_BEGIN_REPLY__INIT;
	struct iam *iam = state;
	struct iam_challenge *challenge;
	struct iam_caller caller;
	struct iam_node *node = NULL;
	ag_err err = iam_subject(&person_noun, iam, ctx, &caller, false, &node);

	if (err != AG_OK || (err = check_new(ctx, node, ask->name)) != AG_OK)
		return err;
	/* A stolen credential must not bring its own key. */
	if (node == caller.node &&
	    (err = iam_step_up_wanted(iam, ctx, &caller)) != AG_OK)
		return err;
	challenge = iam_challenge_enrol(iam, ctx, node, ask->name);
	ag_note_param(ctx, "credential", ask->name);
	reply.challenge_id = challenge->id;
	reply.challenge_b64 = (ProtobufCBinaryData){ IAM_FIDO_CHALLENGE,
		challenge->nonce };
	reply.rp_id = (char *)(uintptr_t)iam->party.rp_id;
	reply.origins = say_origins(iam);
	reply.n_origins = iam->party.origin_count;
	reply.user_id_b64 = (ProtobufCBinaryData){ strlen(node->id),
		(uint8_t *)node->id };
	reply.user_name = node->name;
	reply.algorithms = (int32_t *)(uintptr_t)iam_fido_algorithms;
	while (iam_fido_algorithms[reply.n_algorithms] != 0)
		reply.n_algorithms++;
	reply.exclude_b64 = say_ids(ctx, node, &reply.n_exclude_b64);
	reply.user_verification = iam->party.verification;
	reply.expires_at = challenge->expires_at;
	return reply.exclude_b64 == NULL ? AG_NO_MEMORY :
	    ag_reply(ctx, AG_MSG_WEBAUTHN_BEGIN, &reply);
}

static ag_err
confirmed(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	const struct done *done = memo;
	const struct iam_node *node = iam_node_find(state, done->node);
	struct iam_webauthn_key *k = node == NULL ? NULL :
	    iam_webauthn_named(node, done->name);
	Ag__WebauthnKey *reply;

	/* Of two streams: is it the person's own that has moved on? */
	if (status == AG_CONFLICT && node != NULL &&
	    version_of(node) == done->version)
		return ag_refuse(ctx, AG_ALREADY_EXISTS, "name", NULL,
		    "This key is enrolled, or was once.");
	if (status != AG_OK || k == NULL)
		return status != AG_OK ? status : AG_CONFLICT;
	reply = view(ctx, k);
	return reply == NULL ? AG_NO_MEMORY :
	    ag_reply(ctx, AG_MSG_WEBAUTHN_CONFIRM, reply);
}

/* §7.1, step 22: a credential is one person's, for ever. */
static ag_err
enrol(struct ag_ctx *ctx, const struct iam_caller *caller, const char *name,
    struct iam_fido_key *key)
{
	Ag__WebauthnFact fact = AG__WEBAUTHN_FACT__INIT;
	Ag__NameTakenFact taken = AG__NAME_TAKEN_FACT__INIT;
	struct done done = done_of(caller->node, name);
	char hex[65], stream[FIELD_MAX + 16];
	struct ag_fact facts[2];
	uint8_t hash[32];

	ag_sha256(key->id, key->id_len, hash);
	ag_hex(hash, sizeof(hash), hex);
	snprintf(stream, sizeof(stream), "credential:%s", hex);
	taken.tenant = caller->tenant->name;
	taken.name = hex;
	taken.id = (char *)(uintptr_t)caller->id;
	facts[1] = (struct ag_fact){ stream, 0, AG_MSG_NAME_TAKEN_FACT, &taken };
	iam_webauthn_describe(&fact, done.name, key);
	fact.state = (char *)"enrolled";
	fact.at = caller->now;
	fact.by = (char *)(uintptr_t)caller->id;
	ag_note_param(ctx, "credential", name);
	ag_note_param(ctx, "attestation", key->attestation);
	return persist(ctx, caller->node, &fact, facts, 2, NULL, confirmed,
	    &done, sizeof(done));
}

ag_err
iam_on_webauthn_confirm(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__WebauthnConfirmAsk *ask = msg;
	struct iam *iam = state;
	struct iam_challenge *challenge;
	struct iam_fido_key key = { .id_len = 0 };
	struct iam_caller caller;
	struct iam_node *node = NULL;
	enum iam_fido_end end;
	ag_err err = iam_subject(&person_noun, iam, ctx, &caller, true, &node);

	if (err != AG_OK)
		return err;
	if (node != caller.node)
		return ag_refuse(ctx, AG_PERMISSION_DENIED, "scope_missing", NULL,
		    "A second factor is confirmed by whose it is.");
	challenge = iam_challenge_enrolling(iam, ask->challenge_id, node,
	    caller.now);
	if (challenge == NULL)
		return ag_refuse(ctx, AG_STEP_UP_FAILED, "challenge_expired",
		    "/challenge_id", "The challenge has expired.");
	if ((err = check_new(ctx, node, challenge->name)) != AG_OK)
		return err;
	if (challenge->spent || challenge->tries >= IAM_CHALLENGE_TRIES)
		return ag_refuse(ctx, AG_STEP_UP_FAILED, "challenge_spent",
		    "/challenge_id",
		    "The challenge was answered, or tried too often.");
	challenge->tries++;
	end = iam_fido_register(&iam->party, challenge->nonce, (struct iam_bytes){
	    ask->client_data_json_b64.data, ask->client_data_json_b64.len },
	    (struct iam_bytes){ ask->attestation_object_b64.data,
	    ask->attestation_object_b64.len }, &key);
	if (end != IAM_FIDO_OK)
		return refuse(ctx, end);
	challenge->spent = true;
	return enrol(ctx, &caller, challenge->name, &key);
}

/* -------------------------------------------------------- listing and removing */

ag_err
iam_on_webauthn_list(void *state, struct ag_ctx *ctx, const void *msg)
{
	Ag__WebauthnListReply reply = AG__WEBAUTHN_LIST_REPLY__INIT;
	struct iam_caller caller;
	struct iam_node *node = NULL;
	ag_err err = iam_subject(&person_noun, state, ctx, &caller, false, &node);

	if (err != AG_OK)
		return err;
	if ((reply.items = iam_array(ctx, IAM_WEBAUTHN_EACH)) == NULL)
		return AG_NO_MEMORY;
	for (struct iam_webauthn_key *k = node->webauthn == NULL ? NULL :
	    node->webauthn->first; k != NULL; k = k->next)
		if ((reply.items[reply.n_items++] = view(ctx, k)) == NULL)
			return AG_NO_MEMORY;
	return ag_reply(ctx, AG_MSG_WEBAUTHN_LIST, &reply);
}

/* One's own goes with a step-up, while another factor is left. */
static ag_err
check_own(struct iam *iam, struct ag_ctx *ctx, const struct iam_caller *caller)
{
	if (!iam_totp_enrolled(caller->node) &&
	    iam_webauthn_count(caller->node) < 2)
		return ag_refuse(ctx, AG_PERMISSION_DENIED, "scope_missing", NULL,
		    "Somebody else must take one's last second factor away.");
	return iam_step_up_wanted(iam, ctx, caller);
}

ag_err
iam_on_webauthn_remove(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__WebauthnRemoveAsk *ask = msg;
	Ag__WebauthnFact fact = AG__WEBAUTHN_FACT__INIT;
	struct iam_webauthn_key *k;
	struct iam_caller caller;
	struct iam_node *node = NULL;
	struct ag_fact facts[1];
	Ag__WebauthnKey *reply;
	ag_err err;

	if ((err = iam_reason(ctx, ask->reason)) != AG_OK || (err = iam_subject(
	    &person_noun, state, ctx, &caller, true, &node)) != AG_OK)
		return err;
	k = ask->credential == NULL ? NULL :
	    iam_webauthn_named(node, ask->credential);
	if (k == NULL)
		return ag_refuse(ctx, AG_ITEM_NOT_FOUND, NULL, NULL,
		    "There is no key of this name.");
	if (node == caller.node &&
	    (err = check_own(state, ctx, &caller)) != AG_OK)
		return err;
	ag_note_param(ctx, "credential", k->name);
	if ((reply = view(ctx, k)) == NULL)
		return AG_NO_MEMORY;
	fact.name = k->name;
	fact.state = (char *)"removed";
	fact.at = caller.now;
	fact.by = (char *)(uintptr_t)caller.id;
	fact.reason = ask->reason;
	return persist(ctx, node, &fact, facts, 1, reply, NULL, NULL, 0);
}

/* ------------------------------------------------------------------ answering */

ag_err
iam_webauthn_answer(struct iam *iam, struct ag_ctx *ctx,
    const struct iam_node *node, const uint8_t challenge[IAM_FIDO_CHALLENGE],
    const Ag__WebauthnAssertion *answer, ag_then *then, const void *memo,
    size_t memo_size)
{
	Ag__WebauthnFact fact = AG__WEBAUTHN_FACT__INIT;
	struct iam_webauthn_key *k = iam_webauthn_with(node, (struct iam_bytes){
	    answer->credential_id_b64.data, answer->credential_id_b64.len });
	struct ag_fact facts[1];
	enum iam_fido_end end;

	if (k == NULL)
		return refuse(ctx, IAM_FIDO_CREDENTIAL);
	ag_note_param(ctx, "credential", k->name);
	end = iam_fido_assert(&iam->party, challenge, &k->key, (struct iam_bytes){
	    answer->client_data_json_b64.data, answer->client_data_json_b64.len },
	    (struct iam_bytes){ answer->authenticator_data_b64.data,
	    answer->authenticator_data_b64.len }, (struct iam_bytes){
	    answer->signature_b64.data, answer->signature_b64.len },
	    &fact.sign_count);
	if (end != IAM_FIDO_OK)
		return refuse(ctx, end);
	fact.name = k->name;
	fact.state = (char *)"used";
	fact.has_sign_count = true;
	fact.at = ag_now_ms(ctx);
	fact.by = (char *)(uintptr_t)node->id;
	return persist(ctx, node, &fact, facts, 1, NULL, then, memo, memo_size);
}
