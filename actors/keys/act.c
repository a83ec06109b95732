/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the responder wants done to a key. Idempotent: what is so already is
 * answered as not changed, and one recommendation rotates once.
 */
#include "keys.h"

#include <string.h>

struct act {
	const char *action;
	enum key_op op;
	ag_err (*run)(struct ag_ctx *ctx, struct hot *hot, const Ag__ActAsk *ask);
	bool (*is_so)(const Ag__KeyStored *s, const Ag__ActAsk *ask);
};

static ag_err
answer(struct ag_ctx *ctx, bool changed)
{
	Ag__ActReply reply = AG__ACT_REPLY__INIT;

	reply.changed = changed;
	reply.count = changed;
	reply.committed_at = ag_now_ms(ctx);
	return ag_reply(ctx, AG_MSG_ACT_REPLY, &reply);
}

static ag_err
on_acted(void *state, struct ag_ctx *ctx, ag_err status, const void *msg, void *memo)
{
	return status == AG_OK ? answer(ctx, true) : status;
}

static ag_err
persist_one(struct ag_ctx *ctx, const struct hot *hot, uint16_t type, const void *fact)
{
	struct ag_fact f = { keys_stream(ctx, hot->id), hot->stored->key->revision,
		type, fact };

	if (f.stream == NULL)
		return AG_NO_MEMORY;
	return ag_persist(ctx, &f, 1, 0, NULL, NULL, on_acted, NULL, 0);
}

static bool
is_frozen(const Ag__KeyStored *s, const Ag__ActAsk *ask)
{
	return s->key->frozen;
}

static ag_err
freeze(struct ag_ctx *ctx, struct hot *hot, const Ag__ActAsk *ask)
{
	Ag__KeyFrozenFact fact = AG__KEY_FROZEN_FACT__INIT;

	fact.key_id = hot->id;
	fact.frozen = true;
	fact.reason = ask->reason;
	fact.at = ag_now_ms(ctx);
	fact.by = ask->recommendation_id;
	return persist_one(ctx, hot, AG_MSG_KEY_FROZEN_FACT, &fact);
}

/* Whatever is not active is not used to sign any more: nothing to do. */
static bool
is_not_active(const Ag__KeyStored *s, const Ag__ActAsk *ask)
{
	return s->key->state != AG__KEY_STATE__V__Active;
}

static ag_err
deactivate(struct ag_ctx *ctx, struct hot *hot, const Ag__ActAsk *ask)
{
	Ag__KeyStateFact fact = AG__KEY_STATE_FACT__INIT;

	fact.key_id = hot->id;
	fact.state = AG__KEY_STATE__V__Deactivated;
	fact.has_version = true;
	fact.version = hot->stored->key->version;
	fact.reason = ask->reason;
	fact.at = ag_now_ms(ctx);
	fact.by = ask->recommendation_id;
	return persist_one(ctx, hot, AG_MSG_KEY_STATE_FACT, &fact);
}

static bool
is_rotated(const Ag__KeyStored *s, const Ag__ActAsk *ask)
{
	return is_not_active(s, ask) || (s->rotated_by != NULL &&
	    strcmp(s->rotated_by, ask->recommendation_id) == 0);
}

/* As in lifecycle.c: a timer may have taken the version that was made. */
static ag_err
on_rotated(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	const Ag__RotGenerateReply *made = msg;
	const uint32_t *version = memo;
	struct keys *k = state;
	Ag__KeyVersionFact fact = AG__KEY_VERSION_FACT__INIT;
	const Ag__ActAsk *ask;
	struct hot *hot;
	const uint8_t *body;
	size_t len;
	ag_err err;

	if (status != AG_OK)
		return keys_rot_failed(ctx, status);
	body = ag_body(ctx, &len);
	if ((ask = ag_unpack(ctx, &ag__act_ask__descriptor, body, len)) == NULL)
		return AG_NO_MEMORY;
	if ((hot = cache_key(&k->cache, ctx, ask->target)) == NULL)
		return AG_ITEM_NOT_FOUND;
	if ((err = keys_check(ctx, KEY_OP_ROTATE, hot->stored,
	    hot->stored->key->version)) != AG_OK)
		return err;
	if (hot->stored->key->version + 1 != *version)
		return keys_generate_next(ctx, hot->stored->key, on_rotated);
	fact.key_id = hot->id;
	fact.version = *version;
	fact.has_public_key_der = made->has_public_key_der;
	fact.public_key_der = made->public_key_der;
	fact.at = ag_now_ms(ctx);
	fact.by = ask->recommendation_id;
	return persist_one(ctx, hot, AG_MSG_KEY_VERSION_FACT, &fact);
}

static ag_err
rotate(struct ag_ctx *ctx, struct hot *hot, const Ag__ActAsk *ask)
{
	return keys_generate_next(ctx, hot->stored->key, on_rotated);
}

static const struct act acts[] = {
	{ "freeze_key", KEY_OP_FREEZE, freeze, is_frozen },
	{ "deactivate_key", KEY_OP_DEACTIVATE, deactivate, is_not_active },
	{ "rotate_key", KEY_OP_ROTATE, rotate, is_rotated },
};

ag_err
on_act_ask(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__ActAsk *ask = msg;
	const struct act *act = NULL;
	struct keys *k = state;
	struct hot *hot;
	ag_err err;

	for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++)
		if (strcmp(acts[i].action, ask->action) == 0)
			act = &acts[i];
	if (act == NULL || !ag_id_valid(ask->target, "key"))
		return ag_refuse(ctx, AG_INVALID_FIELD, "unknown_value", "/action",
		    "Keys do not know this action.");
	if ((err = ag_enter(ctx, keys_stream(ctx, ask->target), true)) != AG_OK)
		return err;
	if ((hot = cache_key(&k->cache, ctx, ask->target)) == NULL ||
	    strcmp(hot->stored->key->tenant, ask->tenant) != 0)
		return ag_refuse(ctx, AG_ITEM_NOT_FOUND, NULL, NULL, "There is no such key.");
	if (act->is_so(hot->stored, ask))
		return answer(ctx, false);
	if ((err = keys_check(ctx, act->op, hot->stored, hot->stored->key->version)) != AG_OK ||
	    (act->op == KEY_OP_ROTATE &&
	    (err = keys_rotates(ctx, hot->stored)) != AG_OK))
		return err;
	return act->run(ctx, hot, ask);
}
