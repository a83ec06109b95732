/* SPDX-License-Identifier: Apache-2.0 */
/*
 * iam with the rest of the ring played by hand: a root of trust that signs, a
 * journal that commits, a risk that allows. A test makes requests as a plane
 * does and sees how they end.
 */
#ifndef IAM_FLEET_H
#define IAM_FLEET_H

#include <aegis/kit.h>

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

extern const struct ag_actor ag_actor_iam;
/* What fleet_on runs: a test may put its own steps before iam's. */
static const struct ag_actor *fleet_actor = &ag_actor_iam;

struct fleet {
	struct ag_kit *kit;
	EVP_PKEY *issuer;
	char *admin; /* the admin's token */
	uint64_t key_seq;
	bool risk_waits; /* leave requests with risk: passed is set instead */
};

/* How a request ended. */
struct ended {
	bool passed; /* to keys, or left with risk; grant is set */
	bool over;   /* outcome is set */
	ag_err err;
	char reason[64], field[64], rule[32];
	unsigned retry_after_s;
	Ag__Grant *grant;   /* of the pass or of the outcome; NULL: none */
	unsigned to;
	void *reply;        /* unpacked, of the operation's type */
	Ag__OutcomeEvent *outcome;
};

static inline void
ended_free(struct ended *e)
{
	if (e->grant != NULL)
		ag__grant__free_unpacked(e->grant, NULL);
	if (e->reply != NULL)
		protobuf_c_message_free_unpacked(e->reply, NULL);
	if (e->outcome != NULL)
		ag__outcome_event__free_unpacked(e->outcome, NULL);
	memset(e, 0, sizeof(*e));
}

static inline void
rot_keys(struct fleet *f, const struct ag_kit_sent *ask)
{
	Ag__RotKeysReply reply = AG__ROT_KEYS_REPLY__INIT;
	Ag__RotKey key = AG__ROT_KEY__INIT, *keys[1] = { &key };

	key.key_id = (char *)"k1";
	key.public_key_der.len = (size_t)i2d_PUBKEY(f->issuer,
	    &key.public_key_der.data);
	key.from_at = 1;
	reply.keys = keys;
	reply.n_keys = 1;
	ag_kit_answer(f->kit, ask, AG_MSG_ROT_KEYS_REPLY, &reply);
	OPENSSL_free(key.public_key_der.data);
}

static inline void
rot_sign(struct fleet *f, const struct ag_kit_sent *sent)
{
	const Ag__RotSignAsk *ask = sent->body;
	Ag__RotSignReply reply = AG__ROT_SIGN_REPLY__INIT;
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	uint8_t signature[64];
	size_t len = sizeof(signature);

	assert_string_equal(ask->purpose, "issuer");
	assert_int_equal(EVP_DigestSignInit(md, NULL, NULL, NULL, f->issuer), 1);
	assert_int_equal(EVP_DigestSign(md, signature, &len, ask->message.data,
	    ask->message.len), 1);
	EVP_MD_CTX_free(md);
	reply.key_id = (char *)"k1";
	reply.signature.data = signature;
	reply.signature.len = len;
	ag_kit_answer(f->kit, sent, AG_MSG_ROT_SIGN_REPLY, &reply);
}

/* The kit's own seal: it seals to itself. */
static inline void
rot_secret(struct fleet *f, const struct ag_kit_sent *sent)
{
	const Ag__RotSecretAsk *ask = sent->body;
	Ag__RotSecretReply reply = AG__ROT_SECRET_REPLY__INIT;
	Ag__Sealed sealed = AG__SEALED__INIT;
	uint8_t key[32];

	memset(key, 7, sizeof(key));
	assert_true(strcmp(ask->purpose, "totp") == 0 ||
	    strcmp(ask->purpose, "prompts") == 0);
	assert_int_equal(ag_seal(ag_kit_ctx(f->kit), ask->reply_key.data, key,
	    sizeof(key), &sealed), AG_OK);
	reply.material = &sealed;
	ag_kit_answer(f->kit, sent, AG_MSG_ROT_SECRET_REPLY, &reply);
}

/* Back to iam, as risk sends it on. */
static inline void
from_risk(struct fleet *f, const struct ag_kit_sent *sent)
{
	Ag__Envelope env = *sent->env;
	Ag__Verdict verdict = AG__VERDICT__INIT;

	verdict.decision = AG__DECISION__V__allow;
	verdict.model_version = (char *)"kit";
	if (env.verdict == NULL && sent->to_role == AG_ROLE_RISK)
		env.verdict = &verdict;
	ag_kit_deliver(f->kit, AG_ROLE_RISK, 0, sent->type, &env, sent->body);
}

static inline void *
open_reply(struct ag_ctx *ctx, const struct ag_operation *row,
    const Ag__OutcomeEvent *out)
{
	Ag__Sealed *sealed = ag__sealed__unpack(NULL, out->reply.len,
	    out->reply.data);
	const uint8_t *plain;
	void *reply;
	size_t len;

	assert_non_null(sealed);
	assert_int_equal(ag_unseal_answer(ctx, sealed, &plain, &len), AG_OK);
	reply = protobuf_c_message_unpack(row->reply, NULL, len, plain);
	ag__sealed__free_unpacked(sealed, NULL);
	return reply;
}

static inline void
take_outcome(struct ag_ctx *ctx, const struct ag_kit_sent *sent, uint16_t op,
    struct ended *e)
{
	const Ag__OutcomeEvent *out = sent->body;
	const struct ag_operation *row = ag_operation_find(op);

	e->outcome = ag__outcome_event__unpack(NULL, sent->len, sent->bytes);
	out = e->outcome;
	e->over = true;
	if (out->has_grant)
		e->grant = ag__grant__unpack(NULL, out->grant.len,
		    out->grant.data);
	if (out->refusal != NULL) {
		e->err = (ag_err)out->refusal->err;
		e->retry_after_s = out->refusal->retry_after_s;
		snprintf(e->reason, sizeof(e->reason), "%s",
		    out->refusal->reason_code == NULL ? "" :
		    out->refusal->reason_code);
		snprintf(e->field, sizeof(e->field), "%s",
		    out->refusal->field == NULL ? "" : out->refusal->field);
		snprintf(e->rule, sizeof(e->rule), "%s",
		    out->refusal->rule == NULL ? "" : out->refusal->rule);
	}
	if (out->has_reply && row != NULL && out->has_sealed && out->sealed)
		e->reply = open_reply(ctx, row, out);
	else if (out->has_reply && row != NULL)
		e->reply = protobuf_c_message_unpack(row->reply, NULL,
		    out->reply.len, out->reply.data);
	/* What shows a secret comes sealed, or without it. */
	if (e->err == AG_OK && row != NULL &&
	    (row->flags & AG_OP_SECRET) != 0 && !out->replayed)
		assert_true(out->has_sealed && out->sealed);
}

/* Plays everybody else until nothing is left to do, or the request ended. */
static inline void
play(struct fleet *f, uint16_t op, struct ended *e)
{
	const struct ag_kit_sent *sent;
	unsigned self = ag_self(ag_kit_ctx(f->kit));

	for (;;) {
		ag_kit_work(f->kit);
		while (ag_kit_journal(f->kit))
			continue;
		if ((sent = ag_kit_next(f->kit)) == NULL)
			return;
		if (sent->type == AG_MSG_ROT_KEYS_ASK) {
			rot_keys(f, sent);
		} else if (sent->type == AG_MSG_ROT_SECRET_ASK) {
			rot_secret(f, sent);
		} else if (sent->type == AG_MSG_ROT_SIGN_ASK) {
			rot_sign(f, sent);
		} else if (sent->type == AG_MSG_OUTCOME_EVENT && e != NULL) {
			/* The sweeper speaks, too. */
			if (!e->over && ((const Ag__OutcomeEvent *)
			    sent->body)->event_type ==
			    AG__EVENT_TYPE__V__request)
				take_outcome(ag_kit_ctx(f->kit), sent, op, e);
		} else if (ag_is_operation(sent->type) && e != NULL) {
			const struct ag_operation *row = ag_operation_find(
			    sent->type);

			if (row->executor == AG_ROLE_IAM && !f->risk_waits) {
				/* A pass to self has no verdict: degraded. */
				assert_true(sent->to == self ||
				    sent->to_role == AG_ROLE_RISK);
				from_risk(f, sent);
				continue;
			}
			e->passed = true;
			e->to = sent->to;
			e->grant = ag__grant__unpack(NULL,
			    sent->env->grant.len, sent->env->grant.data);
		}
	}
}

struct asking {
	const char *token, *selector, *address, *if_match, *scope_op, *idem,
	    *step_up, *dev_identity, *prompt, *approval, *break_glass;
	uint32_t items;
	Ag__Refusal *refusal;
	unsigned plane, waited_ms;
};

static inline void
deliver(struct fleet *f, uint16_t op, const struct asking *a, const void *body,
    uint8_t request_id[AG_UUID_BYTES])
{
	static uint64_t n;
	Ag__Envelope env = AG__ENVELOPE__INIT;
	Ag__Request rq = AG__REQUEST__INIT;
	static const Ag__Nothing nothing = AG__NOTHING__INIT;

	ag_uuid7(ag_kit_now(f->kit), request_id);
	rq.request_id.data = request_id;
	rq.request_id.len = AG_UUID_BYTES;
	rq.boot = 1;
	rq.n = ++n;
	rq.occurred_at = ag_kit_now(f->kit);
	rq.received_us = ag_mono_us(ag_kit_ctx(f->kit)) -
	    UINT64_C(1000) * a->waited_ms;
	rq.credential = (char *)a->token;
	rq.selector = (char *)a->selector;
	rq.source_address = (char *)(a->address == NULL ? "192.0.2.1" :
	    a->address);
	rq.if_match = (char *)a->if_match;
	rq.scope_op = (char *)a->scope_op;
	rq.idempotency_key = (char *)a->idem;
	rq.step_up = (char *)a->step_up;
	rq.dev_identity = (char *)a->dev_identity;
	rq.prompt = (char *)a->prompt;
	rq.approval = (char *)a->approval;
	rq.break_glass = (char *)a->break_glass;
	rq.has_reply_key = true;
	rq.reply_key.data = (uint8_t *)(uintptr_t)ag_seal_key(ag_kit_ctx(f->kit));
	rq.reply_key.len = AG_SEAL_KEY_BYTES;
	rq.has_items = a->items != 0;
	rq.items = a->items;
	rq.refusal = a->refusal;
	env.request = &rq;
	ag_kit_deliver(f->kit, AG_ROLE_PLANE, a->plane, op, &env,
	    body == NULL ? &nothing : body);
}

static inline struct ended
request(struct fleet *f, uint16_t op, struct asking a, const void *body)
{
	struct ended e = { 0 };
	uint8_t id[AG_UUID_BYTES];

	deliver(f, op, &a, body, id);
	play(f, op, &e);
	return e;
}

#define ASK(...) (struct asking){ __VA_ARGS__ }

/* The end's error and reason, nothing kept. */
static inline void
expect(struct ended e, ag_err err, const char *reason)
{
	if (err == AG_OK ? e.err != AG_OK || (!e.over && !e.passed) :
	    e.err != err || (reason != NULL && strcmp(e.reason, reason) != 0))
		print_error("got %s/%s %s%s\n", e.err == AG_OK ? "OK" :
		    ag_err_row(e.err)->name, e.reason, e.passed ? "passed" : "",
		    e.over ? "over" : "");
	assert_int_equal(e.err, err);
	assert_true(e.over || e.passed);
	if (reason != NULL)
		assert_string_equal(e.reason, reason);
	ended_free(&e);
}

static inline struct fleet *
fleet_on(const char *config, const char *dir, EVP_PKEY *issuer)
{
	struct fleet *f = calloc(1, sizeof(*f));
	char path[600], text[4200];
	FILE *file;

	f->issuer = issuer;
	f->kit = ag_kit_new(fleet_actor, config, dir);
	play(f, 0, NULL);
	snprintf(path, sizeof(path), "%s/admin.token",
	    ag_kit_state_dir(f->kit));
	file = fopen(path, "r");
	assert_non_null(file);
	assert_non_null(fgets(text, sizeof(text), file));
	fclose(file);
	text[strcspn(text, "\n")] = '\0';
	f->admin = strdup(text);
	return f;
}

static inline struct fleet *
fleet_new(const char *config)
{
	return fleet_on(config, NULL, EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"));
}

static inline void
fleet_free(struct fleet *f)
{
	ag_kit_free(&f->kit);
	EVP_PKEY_free(f->issuer);
	free(f->admin);
	free(f);
}

/* A person or service with these roles; the id. */
static inline char *
person(struct fleet *f, const char *by, Ag__Kind__V kind, const char *name,
    const char *role)
{
	Ag__PrincipalCreateAsk ask = AG__PRINCIPAL_CREATE_ASK__INIT;
	char *roles[1] = { (char *)role }, *id;
	struct ended e;

	ask.kind = kind;
	ask.name = (char *)name;
	ask.roles = roles;
	ask.n_roles = role == NULL ? 0 : 1;
	e = request(f, AG_MSG_PRINCIPAL_CREATE, ASK(.token = by), &ask);
	assert_int_equal(e.err, AG_OK);
	assert_non_null(e.reply);
	id = strdup(((Ag__Principal *)e.reply)->id);
	ended_free(&e);
	return id;
}

static inline char *
token_of(struct fleet *f, const char *by, const char *who, const char *scope)
{
	Ag__TokenIssueAsk ask = AG__TOKEN_ISSUE_ASK__INIT;
	char *scopes[1] = { (char *)scope }, *token;
	struct ended e;

	ask.scopes = scopes;
	ask.n_scopes = scope == NULL ? 0 : 1;
	e = request(f, AG_MSG_TOKEN_ISSUE, ASK(.token = by, .selector = who),
	    &ask);
	assert_int_equal(e.err, AG_OK);
	assert_non_null(e.reply);
	token = strdup(((Ag__TokenIssueReply *)e.reply)->token);
	ended_free(&e);
	return token;
}

static inline Ag__AgentIssueAsk
agent_ask(char **scopes, size_t count)
{
	Ag__AgentIssueAsk ask = AG__AGENT_ISSUE_ASK__INIT;

	ask.label = (char *)"claude";
	ask.model = (char *)"model-x";
	ask.has_max_depth = true;
	ask.scopes = scopes;
	ask.n_scopes = count;
	return ask;
}

struct agent {
	char *id, *token, *jti;
};

static inline struct agent
agent_of(struct fleet *f, const char *by, const char *scope, unsigned max_depth)
{
	char *scopes[1] = { (char *)scope };
	Ag__AgentIssueAsk ask = agent_ask(scopes, 1);
	Ag__AgentIssueReply *reply;
	struct agent agent;
	struct ended e;

	ask.max_depth = max_depth;
	e = request(f, AG_MSG_AGENT_ISSUE, ASK(.token = by), &ask);
	if (e.err != AG_OK)
		print_error("issue: %s/%s %s\n", ag_err_row(e.err)->name,
		    e.reason, e.field);
	assert_int_equal(e.err, AG_OK);
	reply = e.reply;
	assert_non_null(reply);
	agent.id = strdup(reply->agent_id);
	agent.token = strdup(reply->token);
	agent.jti = strdup(reply->jti);
	ended_free(&e);
	return agent;
}

static inline void
agent_free(struct agent *agent)
{
	free(agent->id);
	free(agent->token);
	free(agent->jti);
}

/* A fact that another actor wrote. */
static inline void
fact(struct fleet *f, const char *stream, uint64_t version, uint16_t type,
    const void *msg)
{
	struct ag_fact_record r = { .seq = 1000000 + ++f->key_seq,
		.version = version, .stream = stream, .type = type, .fact = msg,
		.committed_at = ag_kit_now(f->kit), .tenant = "default",
		.author = "keys.0" };

	assert_int_equal(ag_actor_iam.apply(ag_kit_state(f->kit),
	    ag_kit_ctx(f->kit), &r), AG_OK);
}

static inline void
key(struct fleet *f, const char *tenant, const char *id, const char *alias,
    const char *label, const char *value, bool honey)
{
	Ag__KeyCreatedFact k = AG__KEY_CREATED_FACT__INIT;
	Ag__Pair pair = AG__PAIR__INIT, *pairs[1] = { &pair };
	char stream[64];

	k.key_id = (char *)id;
	k.alias = (char *)alias;
	k.key_spec = AG__KEY_SPEC__V__EC_P256;
	k.rot = (char *)"software";
	k.origin = (char *)"generated";
	k.tenant = (char *)tenant;
	k.has_honey = k.honey = honey;
	pair.key = (char *)label;
	pair.value = (char *)value;
	k.labels = pairs;
	k.n_labels = label == NULL ? 0 : 1;
	snprintf(stream, sizeof(stream), "key:%s", id);
	fact(f, stream, 1, AG_MSG_KEY_CREATED_FACT, &k);
}

static inline Ag__SignAsk
sign_ask(void)
{
	Ag__SignAsk ask = AG__SIGN_ASK__INIT;

	ask.message_b64.data = (uint8_t *)"x";
	ask.message_b64.len = 1;
	return ask;
}

static inline struct ended
sign(struct fleet *f, const char *token, const char *selector)
{
	Ag__SignAsk ask = sign_ask();

	return request(f, AG_MSG_KEY_SIGN, ASK(.token = token,
	    .selector = selector), &ask);
}

static inline void
because(struct fleet *f, uint16_t op, const char *token, const char *selector,
    ag_err err, const char *reason)
{
	Ag__ReasonAsk ask = AG__REASON_ASK__INIT;

	ask.reason = (char *)"because";
	expect(request(f, op, ASK(.token = token, .selector = selector), &ask),
	    err, reason);
}

/* Time passes, and the journal answers meanwhile. */
static inline void
later(struct fleet *f, int64_t ms)
{
	enum { STEP_MS = 500 };

	for (; ms > 0; ms -= STEP_MS) {
		ag_kit_advance(f->kit, ms < STEP_MS ? ms : STEP_MS);
		while (ag_kit_journal(f->kit))
			continue;
	}
}

/* Another tenant; its first admin's token. */
static inline char *
tenant_of(struct fleet *f, const char *name)
{
	Ag__TenantCreateAsk ask = AG__TENANT_CREATE_ASK__INIT;
	struct ended e;
	char *token;

	ask.name = (char *)name;
	ask.admin_name = (char *)"admin";
	e = request(f, AG_MSG_TENANT_CREATE, ASK(.token = f->admin), &ask);
	assert_int_equal(e.err, AG_OK);
	token = strdup(((Ag__Tenant *)e.reply)->admin->token);
	ended_free(&e);
	return token;
}

#define INVOICE "key_00000000000000000000000000000001"
#define TREASURY "key_00000000000000000000000000000002"
#define HONEY "key_00000000000000000000000000000003"
#define FOREIGN "key_00000000000000000000000000000004"

#endif
