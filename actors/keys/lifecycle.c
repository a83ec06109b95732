/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where versions come from: create, rotate (import.c: from elsewhere). The root of trust makes
 * the material first; only then is there a fact. What crashes in between
 * leaves material that nobody was told of, never a key without material.
 */
#include "keys.h"

#include <string.h>

/* --------------------------------------------------------- what was asked for */

ag_err
keys_alias_check(struct ag_ctx *ctx, const char *alias)
{
	if (alias == NULL || ag_name_valid(alias))
		return AG_OK;
	return ag_refuse(ctx, AG_INVALID_FIELD, "bad_alias", "/alias",
	    "An alias is [a-z0-9][a-z0-9._-]{0,62}, not an id, not reserved.");
}

ag_err
keys_usage_check(struct ag_ctx *ctx, const struct spec *spec,
    const Ag__Usage__V *usage, size_t n, bool public_only)
{
	unsigned bits = 0;

	for (size_t i = 0; i < n; i++) {
		if ((bits & 1u << usage[i]) != 0)
			return ag_refuse(ctx, AG_INVALID_FIELD, "conflicting_fields",
			    "/usage", "A usage is given twice.");
		bits |= 1u << usage[i];
	}
	if (n == 0 || spec_usage_allowed(spec, bits, public_only))
		return AG_OK;
	return ag_refuse(ctx, AG_INVALID_FIELD, "conflicting_fields", "/usage",
	    "A key of this key_spec cannot have these usages.");
}

ag_err
keys_spec_check(struct ag_ctx *ctx, int id, const struct spec **out)
{
	*out = spec_find(id);
	if (*out != NULL)
		return AG_OK;
	return ag_refuse(ctx, AG_FEATURE_NOT_SUPPORTED, "key_spec", "/key_spec",
	    "This root of trust does not make keys of this key_spec.");
}

static ag_err
create_check(struct ag_ctx *ctx, const Ag__KeyCreateAsk *ask,
    const struct spec **spec)
{
	const Ag__Grant *grant = ag_grant(ctx);
	ag_err err;

	if ((err = keys_alias_check(ctx, ask->alias)) != AG_OK ||
	    (err = keys_labels_check(ctx, ask->labels, ask->n_labels, false)) != AG_OK ||
	    (err = keys_rotation_check(ctx, ask->rotation)) != AG_OK)
		return err;
	if (ask->rot != NULL && strcmp(ask->rot, "software") != 0)
		return ag_refuse(ctx, AG_FEATURE_NOT_SUPPORTED, "rot", "/rot",
		    "There is no such root of trust.");
	if ((err = keys_spec_check(ctx, ask->key_spec, spec)) != AG_OK ||
	    (err = keys_usage_check(ctx, *spec, ask->usage, ask->n_usage, false)) != AG_OK)
		return err;
	if (ask->has_honey && ask->honey && !(grant->has_sees_honey && grant->sees_honey))
		return ag_refuse(ctx, AG_PERMISSION_DENIED, "scope_missing", "/honey",
		    "The scope system:*:honey is missing.");
	return AG_OK;
}

/* -------------------------------------------------------------------- create */

ag_err
keys_fill_usage(struct ag_ctx *ctx, Ag__KeyCreatedFact *fact, const struct spec *spec,
    const Ag__Usage__V *usage, size_t n, bool public_only)
{
	unsigned bits = spec_usage_default(spec, public_only);

	fact->usage = ag_alloc(ctx, USAGES_MAX * sizeof(*fact->usage));
	if (fact->usage == NULL)
		return AG_NO_MEMORY;
	for (size_t i = 0; i < n; i++)
		fact->usage[fact->n_usage++] = usage[i];
	for (int u = 1; n == 0 && u <= USAGES_MAX; u++)
		if ((bits & 1u << u) != 0)
			fact->usage[fact->n_usage++] = (Ag__Usage__V)u;
	return AG_OK;
}

static ag_err
on_forgotten(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	return ag_refuse(ctx, AG_ALREADY_EXISTS, "alias", "/alias",
	    "The alias is taken.");
}

/* The alias was taken meanwhile: the material must not stay behind. */
static ag_err
forget_material(struct ag_ctx *ctx)
{
	const Ag__Grant *grant = ag_grant(ctx);
	Ag__RotDestroyAsk ask = AG__ROT_DESTROY_ASK__INIT;
	ag_err err;

	ask.tenant = grant->tenant;
	ask.key_id = grant->resource_id;
	ask.version = 1;
	err = ag_ask(ctx, ag_slot_named(ctx, "software"), AG_MSG_ROT_DESTROY_ASK,
	    &ask, AG_MSG_DONE_REPLY, ROT_TIMEOUT_MS, on_forgotten, NULL, 0);
	return err == AG_PENDING ? err : on_forgotten(NULL, ctx, err, NULL, NULL);
}

static ag_err
on_created(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	Ag__KeyStored *copy;
	struct hot *hot;
	ag_err err;

	if (status == AG_CONFLICT)
		return forget_material(ctx);
	if (status != AG_OK)
		return status;
	if ((err = keys_open(state, ctx, &hot)) != AG_OK)
		return err;
	if ((copy = keys_copy(ctx, hot->stored)) == NULL)
		return AG_NO_MEMORY;
	return ag_reply(ctx, (uint16_t)ag_grant(ctx)->op, keys_shown(ctx, copy));
}

/* Key and alias, both or neither. */
ag_err
keys_persist_created(struct ag_ctx *ctx, Ag__KeyCreatedFact *fact)
{
	const Ag__Grant *grant = ag_grant(ctx);
	Ag__NameTakenFact name = AG__NAME_TAKEN_FACT__INIT;
	Ag__KeyStored *stored = NULL;
	struct ag_fact facts[2];
	ag_err err;

	fact->key_id = grant->resource_id;
	fact->tenant = grant->tenant;
	fact->rot = (char *)(uintptr_t)"software";
	fact->at = ag_now_ms(ctx);
	fact->created_by = grant->actor_id;
	name.tenant = grant->tenant;
	name.name = fact->alias;
	name.id = fact->key_id;
	if ((err = fold(ctx, &stored, AG_MSG_KEY_CREATED_FACT, fact, 0)) != AG_OK)
		return err;
	facts[0] = (struct ag_fact){ keys_stream(ctx, fact->key_id), 0,
		AG_MSG_KEY_CREATED_FACT, fact };
	facts[1] = (struct ag_fact){ ag_printf(ctx, "alias:%s/%s", grant->tenant,
	    fact->alias == NULL ? "" : fact->alias), 0, AG_MSG_NAME_TAKEN_FACT, &name };
	ag_note_resource(ctx, "key", fact->key_id, fact->alias);
	return ag_persist(ctx, facts, fact->alias == NULL ? 1 : 2,
	    (uint16_t)grant->op, keys_shown(ctx, stored), NULL, on_created, NULL, 0);
}

static ag_err
on_generated(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	const Ag__RotGenerateReply *made = msg;
	const Ag__KeyCreateAsk *ask;
	Ag__KeyCreatedFact fact = AG__KEY_CREATED_FACT__INIT;
	const uint8_t *body;
	size_t len;
	ag_err err;

	if (status != AG_OK)
		return keys_rot_failed(ctx, status);
	body = ag_body(ctx, &len);
	ask = ag_unpack(ctx, &ag__key_create_ask__descriptor, body, len);
	if (ask == NULL)
		return AG_NO_MEMORY;
	if ((err = keys_fill_usage(ctx, &fact, spec_find(ask->key_spec), ask->usage,
	    ask->n_usage, false)) != AG_OK)
		return err;
	fact.alias = ask->alias;
	fact.key_spec = ask->key_spec;
	fact.labels = ask->labels;
	fact.n_labels = ask->n_labels;
	fact.rotation = ask->rotation;
	fact.active = ask->has_activate && ask->activate;
	fact.has_honey = ask->has_honey && ask->honey;
	fact.honey = fact.has_honey;
	fact.origin = (char *)(uintptr_t)"generated";
	fact.has_public_key_der = made->has_public_key_der;
	fact.public_key_der = made->public_key_der;
	return keys_persist_created(ctx, &fact);
}

static ag_err
generate(struct ag_ctx *ctx, const char *id, uint32_t version, int key_spec,
    const char *tenant, ag_then *then, const void *memo, size_t memo_size)
{
	Ag__RotGenerateAsk ask = AG__ROT_GENERATE_ASK__INIT;

	ask.tenant = (char *)(uintptr_t)tenant;
	ask.key_id = (char *)(uintptr_t)id;
	ask.version = version;
	ask.key_spec = (Ag__KeySpec__V)key_spec;
	return ag_ask(ctx, ag_slot_named(ctx, "software"), AG_MSG_ROT_GENERATE_ASK,
	    &ask, AG_MSG_ROT_GENERATE_REPLY, ROT_MAKE_TIMEOUT_MS, then, memo, memo_size);
}

ag_err
keys_generate_next(struct ag_ctx *ctx, const Ag__Key *key, ag_then *then)
{
	uint32_t version = key->version + 1;

	return generate(ctx, key->id, version, key->key_spec, key->tenant, then,
	    &version, sizeof(version));
}

/* The new id comes from iam, in the grant. */
ag_err
keys_begin_new(struct ag_ctx *ctx)
{
	const char *id = ag_grant(ctx)->resource_id;

	if (id == NULL || !ag_id_valid(id, "key"))
		return ag_refuse(ctx, AG_GENERAL_FAILURE, NULL, NULL,
		    "The grant names no new key.");
	return ag_enter(ctx, keys_stream(ctx, id), true);
}

ag_err
on_key_create(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__KeyCreateAsk *ask = msg;
	const Ag__Grant *grant = ag_grant(ctx);
	const struct spec *spec;
	ag_err err;

	if ((err = create_check(ctx, ask, &spec)) != AG_OK ||
	    (err = keys_begin_new(ctx)) != AG_OK)
		return err;
	ag_note_resource(ctx, "key", grant->resource_id, ask->alias);
	ag_note_param(ctx, "key_spec",
	    ag_enum_name(&ag__key_spec__v__descriptor, ask->key_spec));
	return generate(ctx, grant->resource_id, 1, ask->key_spec, grant->tenant,
	    on_generated, NULL, 0);
}

/* -------------------------------------------------------------------- rotate */

bool
keys_has_material(const Ag__KeyStored *s)
{
	return s->material || strcmp(s->key->versions[0]->origin, "generated") == 0;
}

ag_err
keys_rotates(struct ag_ctx *ctx, const Ag__KeyStored *s)
{
	if (keys_has_material(s))
		return AG_OK;
	return ag_refuse(ctx, AG_ILLEGAL_OPERATION, "transition", NULL,
	    "Only its public half is here: whoever has the other one makes a new one.");
}

/* The trip holds the stream, but a timer (rotate.c) does not ask for it: the
 * version that was made may be there by now, and this one's is the next. */
static ag_err
on_version_made(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	const Ag__RotGenerateReply *made = msg;
	const uint32_t *version = memo;
	Ag__KeyVersionFact fact = AG__KEY_VERSION_FACT__INIT;
	struct hot *hot;
	ag_err err;

	if (status != AG_OK)
		return keys_rot_failed(ctx, status);
	if ((err = keys_open(state, ctx, &hot)) != AG_OK ||
	    (err = ag_if_match(ctx, hot->stored->key->revision)) != AG_OK ||
	    (err = keys_check(ctx, KEY_OP_ROTATE, hot->stored,
	    hot->stored->key->version)) != AG_OK)
		return err;
	if (hot->stored->key->version + 1 != *version)
		return keys_generate_next(ctx, hot->stored->key, on_version_made);
	fact.key_id = hot->id;
	fact.version = *version;
	fact.has_public_key_der = made->has_public_key_der;
	fact.public_key_der = made->public_key_der;
	fact.at = ag_now_ms(ctx);
	fact.by = keys_actor(ctx);
	return keys_change(ctx, hot, AG_MSG_KEY_VERSION_FACT, &fact);
}

ag_err
on_key_rotate(void *state, struct ag_ctx *ctx, const void *msg)
{
	struct hot *hot;
	ag_err err;

	if ((err = keys_change_begin(state, ctx, KEY_OP_ROTATE, &hot)) != AG_OK ||
	    (err = keys_rotates(ctx, hot->stored)) != AG_OK)
		return err;
	return keys_generate_next(ctx, hot->stored->key, on_version_made);
}
