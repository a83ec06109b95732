/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A key shard and a software root of trust, each in a kit of its own, with the
 * test as broker, journal and audit between them.
 */
#ifndef TESTS_KEYS_FIXTURE_H
#define TESTS_KEYS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <aegis/kit.h>
#include <keys.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const struct ag_actor ag_actor_keys;
extern const struct ag_actor ag_actor_software;

struct fixture {
	struct ag_kit *keys, *rot;
	uint8_t pk[32], sk[32]; /* the plane's */
	unsigned ids;
	/* The next operation's grant. */
	const char *tenant, *scope_op, *if_match;
	bool sees_honey, rot_down, risk_free;
	bool sealed; /* the last reply */
	uint32_t items;
	/* What came of it. */
	ag_err err;
	char reason_code[64], field[64], detail[512];
	ProtobufCMessage *reply;
	Ag__OutcomeEvent *event; /* the last lifecycle event */
	unsigned loads, generates, destroys, outcomes, appends, events;
	char stamp[80]; /* of the last ask to the root of trust; "": none */
	char provenance[80]; /* of the last outcome; "": none */
};

static inline void
fixture_new(struct fixture *f, const char *config)
{
	memset(f, 0, sizeof(*f));
	f->keys = ag_kit_new(&ag_actor_keys, config, NULL);
	f->rot = ag_kit_new(&ag_actor_software, NULL, NULL);
	crypto_box_keypair(f->pk, f->sk);
}

static inline void
fixture_drop_reply(struct fixture *f)
{
	if (f->reply != NULL)
		protobuf_c_message_free_unpacked(f->reply, NULL);
	f->reply = NULL;
}

static inline void
fixture_free(struct fixture *f)
{
	fixture_drop_reply(f);
	if (f->event != NULL)
		ag__outcome_event__free_unpacked(f->event, NULL);
	ag_kit_free(&f->keys);
	ag_kit_free(&f->rot);
}

static inline void
fixture_ask_rot(struct fixture *f, const struct ag_kit_sent *ask)
{
	const struct ag_kit_sent *reply;
	Ag__Envelope env = AG__ENVELOPE__INIT;

	snprintf(f->stamp, sizeof(f->stamp), "%s", ask->env->stamp == NULL ? "" :
	    ask->env->stamp);
	f->loads += ask->type == AG_MSG_ROT_LOAD_ASK;
	f->generates += ask->type == AG_MSG_ROT_GENERATE_ASK;
	f->destroys += ask->type == AG_MSG_ROT_DESTROY_ASK;
	if (f->rot_down) {
		ag_kit_answer_error(f->keys, ask, AG_NOBODY, NULL);
		return;
	}
	env.has_corr = true;
	env.corr = ask->env->corr;
	ag_kit_deliver(f->rot, AG_ROLE_KEYS, 0, ask->type, &env, ask->body);
	ag_kit_work(f->rot);
	reply = ag_kit_next(f->rot);
	assert_non_null(reply);
	if (reply->type == AG_MSG_ERROR_REPLY)
		ag_kit_answer_error(f->keys, ask, (ag_err)reply->env->status,
		    ((const Ag__ErrorReply *)reply->body)->refusal->reason_code);
	else
		ag_kit_answer(f->keys, ask, reply->type, reply->body);
}

static inline void
fixture_copy(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%s", from == NULL ? "" : from);
}

static inline void
fixture_reply(struct fixture *f, const Ag__OutcomeEvent *o)
{
	const struct ag_operation *op = ag_operation_find((uint16_t)o->reply_type);
	const uint8_t *bytes = o->reply.data;
	size_t len = o->reply.len;
	uint8_t *plain = NULL;

	f->sealed = o->has_sealed && o->sealed;
	if (f->sealed) {
		Ag__Sealed *s = ag__sealed__unpack(NULL, len, bytes);

		assert_non_null(s);
		len = s->box.len - crypto_box_MACBYTES;
		plain = malloc(len + 1);
		assert_int_equal(crypto_box_open_easy(plain, s->box.data, s->box.len,
		    s->nonce.data, s->sender.data, f->sk), 0);
		bytes = plain;
		ag__sealed__free_unpacked(s, NULL);
	}
	fixture_drop_reply(f);
	f->reply = protobuf_c_message_unpack(op->reply, NULL, len, bytes);
	assert_non_null(f->reply);
	free(plain);
}

static inline void
fixture_outcome(struct fixture *f, const Ag__OutcomeEvent *o, const struct ag_kit_sent *sent)
{
	if (o->event_type == AG__EVENT_TYPE__V__lifecycle) {
		if (f->event != NULL)
			ag__outcome_event__free_unpacked(f->event, NULL);
		f->event = ag__outcome_event__unpack(NULL, sent->len, sent->bytes);
		f->events++;
		return;
	}
	f->outcomes++;
	f->provenance[0] = '\0';
	for (size_t i = 0; i < o->n_params; i++)
		if (strcmp(o->params[i]->key, "provenance") == 0)
			fixture_copy(f->provenance, sizeof(f->provenance),
			    o->params[i]->value);
	f->err = o->refusal == NULL ? AG_OK : (ag_err)o->refusal->err;
	fixture_copy(f->reason_code, sizeof(f->reason_code),
	    o->refusal == NULL ? NULL : o->refusal->reason_code);
	fixture_copy(f->field, sizeof(f->field), o->refusal == NULL ? NULL : o->refusal->field);
	fixture_copy(f->detail, sizeof(f->detail), o->refusal == NULL ? NULL : o->refusal->detail);
	if (o->has_reply)
		fixture_reply(f, o);
}

/* Runs until nobody has anything to say. */
static inline void
fixture_settle(struct fixture *f)
{
	const struct ag_kit_sent *sent;

	for (;;) {
		if (ag_kit_journal(f->keys)) {
			f->appends++;
			continue;
		}
		if ((sent = ag_kit_next(f->keys)) == NULL)
			return;
		if (sent->type == AG_MSG_OUTCOME_EVENT)
			fixture_outcome(f, sent->body, sent);
		else if (sent->to_role == AG_ROLE_ROT)
			fixture_ask_rot(f, sent);
	}
}

static inline void
fixture_advance(struct fixture *f, int64_t ms)
{
	ag_kit_advance(f->rot, ms);
	ag_kit_advance(f->keys, ms);
	fixture_settle(f);
}

static inline void
fixture_send(struct fixture *f, uint16_t op, const char *id, const void *body)
{
	Ag__Grant grant = AG__GRANT__INIT;

	grant.tenant = (char *)(uintptr_t)f->tenant;
	grant.resource_id = (char *)(uintptr_t)id;
	grant.has_reply_key = true;
	grant.reply_key = (ProtobufCBinaryData){ sizeof(f->pk), f->pk };
	grant.scope_op = (char *)(uintptr_t)f->scope_op;
	grant.if_match = (char *)(uintptr_t)f->if_match;
	grant.has_sees_honey = true;
	grant.sees_honey = f->sees_honey;
	grant.has_items = f->items != 0;
	grant.items = f->items;
	ag_kit_operate(f->keys, op, &grant, body);
}

/* One operation from its arrival to its outcome: exactly one. */
static inline ag_err
operate(struct fixture *f, uint16_t op, const char *id, const void *body)
{
	unsigned before = f->outcomes;

	fixture_drop_reply(f);
	fixture_send(f, op, id, body);
	fixture_settle(f);
	assert_int_equal(f->outcomes, before + 1);
	f->if_match = NULL;
	return f->err;
}

static inline ag_err
operate_plain(struct fixture *f, uint16_t op, const char *id)
{
	Ag__Nothing nothing = AG__NOTHING__INIT;

	return operate(f, op, id, &nothing);
}

static inline ag_err
operate_reason(struct fixture *f, uint16_t op, const char *id)
{
	Ag__ReasonAsk ask = AG__REASON_ASK__INIT;

	ask.reason = (char *)(uintptr_t)"a test";
	return operate(f, op, id, &ask);
}

/* A new id that this shard owns. */
static inline const char *
new_id(struct fixture *f)
{
	static char ids[64][AG_ID_SIZE];
	char *id = ids[f->ids % 64];

	do {
		snprintf(id, AG_ID_SIZE, "key_0190a0000000700080000000%08x", f->ids++);
	} while (ag_shard(ag_kit_ctx(f->keys), AG_ROLE_KEYS, id) !=
	    ag_self(ag_kit_ctx(f->keys)));
	return id;
}

static inline const char *
new_key(struct fixture *f, int spec, bool active)
{
	Ag__KeyCreateAsk ask = AG__KEY_CREATE_ASK__INIT;
	const char *id = new_id(f);

	ask.key_spec = (Ag__KeySpec__V)spec;
	ask.has_activate = true;
	ask.activate = active;
	assert_int_equal(operate(f, AG_MSG_KEY_CREATE, id, &ask), AG_OK);
	return id;
}

static inline const Ag__Key *
read_key(struct fixture *f, const char *id)
{
	assert_int_equal(operate_plain(f, AG_MSG_KEY_READ, id), AG_OK);
	return (const Ag__Key *)f->reply;
}

static inline ag_err
destroy_key(struct fixture *f, const char *id, uint32_t window_s)
{
	Ag__KeyDestroyAsk ask = AG__KEY_DESTROY_ASK__INIT;

	ask.reason = (char *)(uintptr_t)"a test";
	ask.has_pending_window_s = true;
	ask.pending_window_s = window_s;
	return operate(f, AG_MSG_KEY_DESTROY, id, &ask);
}

#define TEXT(s) ((ProtobufCBinaryData){ sizeof(s) - 1, (uint8_t *)(uintptr_t)(s) })
#define SPEC(s) AG__KEY_SPEC__V__##s
#define STATE(s) AG__KEY_STATE__V__##s

#endif
