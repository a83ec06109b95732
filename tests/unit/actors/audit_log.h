/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests that need an audit log as audit writes it: the actor in the kit,
 * and a root of trust with a real Ed25519 key.
 */
#ifndef AEGIS_TESTS_AUDIT_LOG_H
#define AEGIS_TESTS_AUDIT_LOG_H

#include <aegis/kit.h>

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

extern const struct ag_actor ag_actor_audit;

struct audit_log {
	struct ag_kit *kit;
	EVP_PKEY *key;
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

static inline void
audit_log_answer_keys(struct audit_log *l, const struct ag_kit_sent *ask)
{
	Ag__RotKeysReply reply = AG__ROT_KEYS_REPLY__INIT;
	Ag__RotKey one = AG__ROT_KEY__INIT, *list[1] = { &one };
	unsigned char *der = NULL;

	one.key_id = (char *)"checkpoint-1";
	one.public_key_der.len = (size_t)i2d_PUBKEY(l->key, &der);
	one.public_key_der.data = der;
	reply.keys = list;
	reply.n_keys = 1;
	ag_kit_answer(l->kit, ask, AG_MSG_ROT_KEYS_REPLY, &reply);
	OPENSSL_free(der);
}

static inline void
audit_log_answer_sign(struct audit_log *l, const struct ag_kit_sent *ask)
{
	const Ag__RotSignAsk *sign = ask->body;
	Ag__RotSignReply reply = AG__ROT_SIGN_REPLY__INIT;
	uint8_t signature[64];
	size_t len = sizeof(signature);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	EVP_DigestSignInit(ctx, NULL, NULL, NULL, l->key);
	EVP_DigestSign(ctx, signature, &len, sign->message.data,
	    sign->message.len);
	EVP_MD_CTX_free(ctx);
	reply.key_id = (char *)"checkpoint-1";
	reply.signature.data = signature;
	reply.signature.len = len;
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
