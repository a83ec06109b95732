/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests that need an audit log as audit writes it: the actor in the kit,
 * and a root of trust with a real Ed25519 key.
 */
#ifndef AEGIS_TESTS_AUDIT_LOG_H
#define AEGIS_TESTS_AUDIT_LOG_H

#include <aegis/kit.h>
#include <aegis/seglog.h>

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

extern const struct ag_actor ag_actor_audit;

struct audit_log {
	struct ag_kit *kit;
	EVP_PKEY *key;
	EVP_PKEY *old;  /* the one before, if it was replaced */
	uint64_t n;     /* of the plane */
	uint64_t boot;
};

static inline void
audit_log_open(struct audit_log *l, const char *state_dir, const char *config)
{
	if (l->key == NULL)
		l->key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	if (l->boot == 0)
		l->boot = 77;
	l->kit = ag_kit_new(&ag_actor_audit, config, state_dir);
}

/* A grant of alice's, in the tenant, with the plane's next n. */
static inline void
audit_log_grant(struct audit_log *l, Ag__Grant *g, const char *tenant)
{
	ag__grant__init(g);
	g->op = AG_MSG_KEY_SIGN;
	g->tenant = (char *)tenant;
	g->n = ++l->n;
	g->boot = l->boot;
	g->resource_type = (char *)"key";
	g->resource_id = (char *)"key_01890000000070008000000000000002";
	g->resource_alias = (char *)"invoice-2026";
}

static inline void
audit_log_say(struct audit_log *l, enum ag_role from, Ag__Grant *g,
    Ag__OutcomeEvent *o)
{
	Ag__Envelope env = AG__ENVELOPE__INIT;

	ag_kit_grant(l->kit, g, &env);
	o->has_grant = o->has_grant_mac = true;
	o->grant = env.grant;
	o->grant_mac = env.grant_mac;
	ag_kit_deliver(l->kit, from, 0, AG_MSG_OUTCOME_EVENT, NULL, o);
	free(env.grant.data);
	free(env.grant_mac.data);
	o->has_grant = o->has_grant_mac = false;
}

static inline void
audit_log_outcome(Ag__OutcomeEvent *o)
{
	ag__outcome_event__init(o);
	o->event_type = AG__EVENT_TYPE__V__request;
	o->outcome = AG__OUTCOME_KIND__V__allowed;
	o->operation = (char *)"key.sign";
	o->has_reply_type = o->has_reply = true;
	o->reply_type = AG_MSG_KEY_SIGN;
	o->reply.data = (uint8_t *)"answer";
	o->reply.len = 6;
}

static inline void
audit_log_events(struct audit_log *l, const char *tenant, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		Ag__OutcomeEvent o;
		Ag__Grant g;

		audit_log_grant(l, &g, tenant);
		audit_log_outcome(&o);
		audit_log_say(l, AG_ROLE_KEYS, &g, &o);
	}
}

static inline const char *
audit_log_key_id(const struct audit_log *l)
{
	return l->old == NULL ? "checkpoint-1" : "checkpoint-2";
}

static inline void
audit_log_sign_with(EVP_PKEY *key, const void *text, size_t text_len,
    uint8_t signature[64])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t len = 64;

	if (EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) != 1 ||
	    EVP_DigestSign(ctx, signature, &len, text, text_len) != 1)
		abort();
	EVP_MD_CTX_free(ctx);
}

static inline void
audit_log_answer_keys(struct audit_log *l, const struct ag_kit_sent *ask)
{
	Ag__RotKeysReply reply = AG__ROT_KEYS_REPLY__INIT;
	Ag__RotKey keys[2], *list[2] = { &keys[0], &keys[1] };
	unsigned char *der[2] = { NULL, NULL };
	EVP_PKEY *of[2] = { l->old == NULL ? l->key : l->old, l->key };
	uint8_t signature[64];
	char text[256];

	for (unsigned i = 0; i < (l->old == NULL ? 1u : 2u); i++) {
		Ag__RotKey *key = &keys[reply.n_keys++];

		ag__rot_key__init(key);
		key->key_id = (char *)(i == 0 ? "checkpoint-1" : "checkpoint-2");
		key->from_at = 1000 * (int64_t)i;
		key->public_key_der.len = (size_t)i2d_PUBKEY(of[i], &der[i]);
		key->public_key_der.data = der[i];
	}
	if (l->old != NULL) {
		audit_log_sign_with(l->old, text, ag_seg_key_text(text,
		    sizeof(text), keys[1].key_id, &keys[1].public_key_der,
		    keys[1].from_at), signature);
		keys[1].endorsed_by = (char *)"checkpoint-1";
		keys[1].has_endorsement = true;
		keys[1].endorsement.data = signature;
		keys[1].endorsement.len = sizeof(signature);
	}
	reply.keys = list;
	ag_kit_answer(l->kit, ask, AG_MSG_ROT_KEYS_REPLY, &reply);
	OPENSSL_free(der[0]);
	OPENSSL_free(der[1]);
}

/* From now on another key signs; the one before signs for it. Once. */
static inline void
audit_log_replace_key(struct audit_log *l)
{
	l->old = l->key;
	l->key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
}

static inline void
audit_log_answer_sign(struct audit_log *l, const struct ag_kit_sent *ask)
{
	const Ag__RotSignAsk *sign = ask->body;
	Ag__RotSignReply reply = AG__ROT_SIGN_REPLY__INIT;
	uint8_t signature[64];

	audit_log_sign_with(l->key, sign->message.data, sign->message.len,
	    signature);
	reply.key_id = (char *)audit_log_key_id(l);
	reply.signature.data = signature;
	reply.signature.len = sizeof(signature);
	ag_kit_answer(l->kit, ask, AG_MSG_ROT_SIGN_REPLY, &reply);
}

static inline void
audit_log_answer_secret(struct audit_log *l, const struct ag_kit_sent *ask)
{
	const Ag__RotSecretAsk *secret = ask->body;
	Ag__RotSecretReply reply = AG__ROT_SECRET_REPLY__INIT;
	Ag__Sealed sealed = AG__SEALED__INIT;
	uint8_t key[32];

	memset(key, 5, sizeof(key));
	if (ag_seal(ag_kit_ctx(l->kit), secret->reply_key.data, key, sizeof(key),
	        &sealed) != AG_OK)
		abort();
	reply.material = &sealed;
	ag_kit_answer(l->kit, ask, AG_MSG_ROT_SECRET_REPLY, &reply);
}

/* Plays the root of trust for everything that was asked; drops the rest. The
 * number of signatures. */
static inline unsigned
audit_log_rot(struct audit_log *l)
{
	const struct ag_kit_sent *sent;
	unsigned signatures = 0;

	while ((sent = ag_kit_next(l->kit)) != NULL) {
		if (sent->type == AG_MSG_ROT_KEYS_ASK)
			audit_log_answer_keys(l, sent);
		else if (sent->type == AG_MSG_ROT_SECRET_ASK)
			audit_log_answer_secret(l, sent);
		else if (sent->type == AG_MSG_ROT_SIGN_ASK) {
			audit_log_answer_sign(l, sent);
			signatures++;
		}
	}
	return signatures;
}

/* Heads of all that is new are signed. */
static inline void
audit_log_sign(struct audit_log *l)
{
	for (unsigned i = 0; i < 3; i++) {
		ag_kit_advance(l->kit, 200);
		audit_log_rot(l);
	}
}

static inline void
audit_log_close(struct audit_log *l)
{
	ag_kit_work(l->kit); /* a spare that is under way */
	ag_kit_free(&l->kit);
}

#endif
