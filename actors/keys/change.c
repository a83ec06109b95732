/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes of a key: one fact each, answered with the key as it is after it.
 */
#include "keys.h"
#include "zones.h"

#include <string.h>

#define STATE(s) AG__KEY_STATE__V__##s

char *
keys_actor(struct ag_ctx *ctx)
{
	return ag_grant(ctx)->actor_id;
}

Ag__Key *
keys_shown(struct ag_ctx *ctx, Ag__KeyStored *stored)
{
	const Ag__Grant *grant = ag_grant(ctx);
	Ag__Key *key = stored->key;

	if (grant == NULL || !grant->has_sees_honey || !grant->sees_honey)
		key->has_honey = key->honey = false;
	return key;
}

Ag__KeyStored *
keys_copy(struct ag_ctx *ctx, const Ag__KeyStored *stored)
{
	size_t len;
	uint8_t *bytes = ag_pack(ctx, stored, &len);

	return bytes == NULL ? NULL : fold_unpack(ctx, bytes, len);
}

ag_err
keys_change(struct ag_ctx *ctx, const struct hot *hot, uint16_t type,
    const void *fact)
{
	Ag__KeyStored *after = keys_copy(ctx, hot->stored);
	struct ag_fact f = { keys_stream(ctx, hot->id), hot->stored->key->revision,
		type, fact };
	ag_err err;

	if (after == NULL || f.stream == NULL)
		return AG_NO_MEMORY;
	if ((err = fold(ctx, &after, type, fact, hot->stored->seq)) != AG_OK)
		return err;
	return ag_persist(ctx, &f, 1, (uint16_t)ag_grant(ctx)->op,
	    keys_shown(ctx, after), NULL, NULL, NULL, 0);
}

ag_err
keys_change_begin(struct keys *k, struct ag_ctx *ctx, enum key_op op,
    struct hot **out)
{
	const char *id = ag_grant(ctx)->resource_id;
	ag_err err;

	if (id != NULL && (err = ag_enter(ctx, keys_stream(ctx, id), true)) != AG_OK)
		return err;
	if ((err = keys_open(k, ctx, out)) != AG_OK ||
	    (err = ag_if_match(ctx, (*out)->stored->key->revision)) != AG_OK)
		return err;
	return keys_check(ctx, op, (*out)->stored, (*out)->stored->key->version);
}

static ag_err
reason_check(struct ag_ctx *ctx, const char *reason)
{
	if (reason[0] == '\0' || strlen(reason) > REASON_BYTES_MAX)
		return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range", "/reason",
		    "A reason of 1 to %d bytes is wanted.", REASON_BYTES_MAX);
	ag_note_reason(ctx, reason);
	return AG_OK;
}

/* -------------------------------------------------------------- read, update */

ag_err
on_key_read(void *state, struct ag_ctx *ctx, const void *msg)
{
	const char *id = ag_grant(ctx)->resource_id;
	Ag__KeyStored *copy;
	struct hot *hot;
	ag_err err;

	if (id != NULL && (err = ag_enter(ctx, keys_stream(ctx, id), false)) != AG_OK)
		return err;
	if ((err = keys_open(state, ctx, &hot)) != AG_OK)
		return err;
	if ((copy = keys_copy(ctx, hot->stored)) == NULL)
		return AG_NO_MEMORY;
	return ag_reply(ctx, AG_MSG_KEY_READ, keys_shown(ctx, copy));
}

/* When the key may be used: iam looks at it on every call. */
static ag_err
check_hours(struct ag_ctx *ctx, const char *text)
{
	char problem[AG_HOURS_PROBLEM];
	struct ag_hours hours;
	struct ag_zone *zone;

	if (!ag_hours_parse(text, &hours, problem))
		return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range",
		    "/labels/" AG_HOURS_LABEL, "%s", problem);
	if (hours.zone[0] == '\0')
		return AG_OK;
	if ((zone = zone_read(hours.zone)) == NULL)
		return ag_refuse(ctx, AG_INVALID_FIELD, "unknown_value",
		    "/labels/" AG_HOURS_LABEL, "\"%s\" is no time zone here; "
		    "America/New_York is one.", hours.zone);
	ag_zone_free(&zone);
	return AG_OK;
}

ag_err
keys_labels_check(struct ag_ctx *ctx, Ag__Pair *const *labels, size_t n, bool patch)
{
	ag_err err;

	if (n > LABELS_MAX)
		return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range", "/labels",
		    "At most %d labels.", LABELS_MAX);
	for (size_t i = 0; i < n; i++) {
		const char *value = labels[i]->value;

		if (value == NULL && patch)
			value = "-"; /* removed: only the name matters */
		if (value == NULL || !ag_label_valid(labels[i]->key, value))
			return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range",
			    ag_pointer(ctx, "labels", labels[i]->key), "A label is [a-z][a-z0-9._-]{0,62} with a value of at most 128 printable characters.");
		if (labels[i]->value != NULL &&
		    strcmp(labels[i]->key, AG_HOURS_LABEL) == 0 &&
		    (err = check_hours(ctx, value)) != AG_OK)
			return err;
	}
	return AG_OK;
}

ag_err
keys_rotation_check(struct ag_ctx *ctx, const Ag__Rotation *r)
{
	if (r == NULL)
		return AG_OK;
	if (r->has_next_at)
		return ag_refuse(ctx, AG_PERMISSION_DENIED, "system_attribute",
		    "/rotation/next_at", "The server computes next_at.");
	if (r->has_every_s && (r->every_s < 1 || r->every_s > INT64_C(10) * 366 * 86400))
		return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range",
		    "/rotation/every_s", "1 second to 10 years.");
	if (r->has_after_operations && r->after_operations < 1)
		return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range",
		    "/rotation/after_operations", "At least 1.");
	return AG_OK;
}

static const Ag__Pair *
label_named(Ag__Pair *const *labels, size_t n, const char *key)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(labels[i]->key, key) == 0)
			return labels[i];
	return NULL;
}

static bool
is_null(const Ag__KeyUpdateAsk *ask, const char *pointer)
{
	for (size_t i = 0; i < ask->n_nulls; i++)
		if (strcmp(ask->nulls[i], pointer) == 0)
			return true;
	return false;
}

/*
 * The fact says every label that the key has afterwards, and without a value
 * those that it no longer has: so a reader may merge it or take it whole.
 */
static ag_err
merge_labels(struct ag_ctx *ctx, const Ag__Key *key, const Ag__KeyUpdateAsk *ask,
    Ag__KeyUpdatedFact *fact)
{
	size_t left = 0;

	fact->labels = ag_alloc(ctx, (key->n_labels + ask->n_labels + 1) *
	    sizeof(*fact->labels));
	if (fact->labels == NULL)
		return AG_NO_MEMORY;
	for (size_t i = 0; i < key->n_labels; i++) {
		Ag__Pair *kept = key->labels[i];

		if (label_named(ask->labels, ask->n_labels, kept->key) != NULL)
			continue;
		if (is_null(ask, "/labels")) {
			if ((kept = ag_alloc(ctx, sizeof(*kept))) == NULL)
				return AG_NO_MEMORY;
			*kept = *key->labels[i];
			kept->value = NULL;
		}
		fact->labels[fact->n_labels++] = kept;
	}
	for (size_t i = 0; i < ask->n_labels; i++)
		fact->labels[fact->n_labels++] = ask->labels[i];
	for (size_t i = 0; i < fact->n_labels; i++)
		left += fact->labels[i]->value != NULL;
	if (left > LABELS_MAX)
		return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range", "/labels",
		    "At most %d labels.", LABELS_MAX);
	return AG_OK;
}

/* Members given replace, null ones go, the others stay. *out NULL: as it was;
 * without members: no rotation. */
static ag_err
merge_rotation(struct ag_ctx *ctx, const Ag__Key *key, const Ag__KeyUpdateAsk *ask,
    Ag__Rotation **out)
{
	const Ag__Rotation *patch = ask->rotation;
	Ag__Rotation *r;

	*out = NULL;
	if (patch == NULL && !is_null(ask, "/rotation"))
		return AG_OK;
	if ((r = ag_alloc(ctx, sizeof(*r))) == NULL)
		return AG_NO_MEMORY;
	ag__rotation__init(r);
	*out = r;
	if (patch == NULL)
		return AG_OK;
	if (key->rotation != NULL)
		*r = *key->rotation;
	r->has_next_at = false;
	if (patch->has_every_s || is_null(ask, "/rotation/every_s")) {
		r->has_every_s = patch->has_every_s;
		r->every_s = patch->every_s;
	}
	if (patch->has_after_operations ||
	    is_null(ask, "/rotation/after_operations")) {
		r->has_after_operations = patch->has_after_operations;
		r->after_operations = patch->after_operations;
	}
	return AG_OK;
}

ag_err
on_key_update(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__KeyUpdateAsk *ask = msg;
	Ag__KeyUpdatedFact fact = AG__KEY_UPDATED_FACT__INIT;
	struct hot *hot;
	ag_err err;

	if ((err = keys_labels_check(ctx, ask->labels, ask->n_labels, true)) != AG_OK ||
	    (err = keys_rotation_check(ctx, ask->rotation)) != AG_OK ||
	    (err = keys_change_begin(state, ctx, KEY_OP_UPDATE, &hot)) != AG_OK ||
	    (err = merge_labels(ctx, hot->stored->key, ask, &fact)) != AG_OK)
		return err;
	if ((err = merge_rotation(ctx, hot->stored->key, ask, &fact.rotation)) !=
	    AG_OK)
		return err;
	fact.key_id = hot->id;
	fact.at = ag_now_ms(ctx);
	fact.by = keys_actor(ctx);
	return keys_change(ctx, hot, AG_MSG_KEY_UPDATED_FACT, &fact);
}

/* --------------------------------------------------------------------- state */

static ag_err
change_state(struct keys *k, struct ag_ctx *ctx, enum key_op op,
    Ag__KeyState__V to, const char *reason)
{
	Ag__KeyStateFact fact = AG__KEY_STATE_FACT__INIT;
	struct hot *hot;
	ag_err err;

	if (reason != NULL && (err = reason_check(ctx, reason)) != AG_OK)
		return err;
	if ((err = keys_change_begin(k, ctx, op, &hot)) != AG_OK)
		return err;
	fact.key_id = hot->id;
	fact.state = to;
	fact.has_version = true;
	fact.version = hot->stored->key->version;
	fact.reason = (char *)(uintptr_t)reason;
	fact.at = ag_now_ms(ctx);
	fact.by = keys_actor(ctx);
	return keys_change(ctx, hot, AG_MSG_KEY_STATE_FACT, &fact);
}

ag_err
on_key_activate(void *state, struct ag_ctx *ctx, const void *msg)
{
	return change_state(state, ctx, KEY_OP_ACTIVATE, STATE(Active), NULL);
}

ag_err
on_key_deactivate(void *state, struct ag_ctx *ctx, const void *msg)
{
	return change_state(state, ctx, KEY_OP_DEACTIVATE, STATE(Deactivated),
	    ((const Ag__ReasonAsk *)msg)->reason);
}

/* One version, or all of them. */
ag_err
on_key_compromise(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__KeyCompromiseAsk *ask = msg;
	const char *id = ag_grant(ctx)->resource_id;
	Ag__KeyStateFact fact = AG__KEY_STATE_FACT__INIT;
	struct hot *hot;
	ag_err err;

	if ((err = reason_check(ctx, ask->reason)) != AG_OK)
		return err;
	if (id != NULL && (err = ag_enter(ctx, keys_stream(ctx, id), true)) != AG_OK)
		return err;
	if ((err = keys_open(state, ctx, &hot)) != AG_OK ||
	    (err = ag_if_match(ctx, hot->stored->key->revision)) != AG_OK ||
	    (err = keys_check(ctx, KEY_OP_COMPROMISE, hot->stored, ask->has_version ?
	    ask->version : hot->stored->key->version)) != AG_OK)
		return err;
	fact.key_id = hot->id;
	fact.state = STATE(Compromised);
	fact.has_version = ask->has_version;
	fact.version = ask->version;
	fact.reason = ask->reason;
	fact.at = ag_now_ms(ctx);
	fact.by = keys_actor(ctx);
	return keys_change(ctx, hot, AG_MSG_KEY_STATE_FACT, &fact);
}

static ag_err
change_frozen(struct keys *k, struct ag_ctx *ctx, bool frozen, char *reason)
{
	Ag__KeyFrozenFact fact = AG__KEY_FROZEN_FACT__INIT;
	struct hot *hot;
	ag_err err;

	if ((err = reason_check(ctx, reason)) != AG_OK ||
	    (err = keys_change_begin(k, ctx, frozen ? KEY_OP_FREEZE : KEY_OP_UNFREEZE,
	    &hot)) != AG_OK)
		return err;
	fact.key_id = hot->id;
	fact.frozen = frozen;
	fact.reason = reason;
	fact.at = ag_now_ms(ctx);
	fact.by = keys_actor(ctx);
	return keys_change(ctx, hot, AG_MSG_KEY_FROZEN_FACT, &fact);
}

ag_err
on_key_freeze(void *state, struct ag_ctx *ctx, const void *msg)
{
	return change_frozen(state, ctx, true, ((const Ag__ReasonAsk *)msg)->reason);
}

ag_err
on_key_unfreeze(void *state, struct ag_ctx *ctx, const void *msg)
{
	return change_frozen(state, ctx, false, ((const Ag__ReasonAsk *)msg)->reason);
}

/* --------------------------------------------------------------- destruction */

static ag_err
window_check(struct keys *k, struct ag_ctx *ctx, int64_t window_s)
{
	if (window_s >= k->destroy_min_window_s && window_s <= WINDOW_S_MAX)
		return AG_OK;
	return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range", "/pending_window_s",
	    "%lld to %d seconds.", (long long)k->destroy_min_window_s, WINDOW_S_MAX);
}

/* All of the key: every version of it must be ready to go, or gone. */
static ag_err
destroy_check(struct ag_ctx *ctx, const Ag__KeyStored *s, const Ag__KeyDestroyAsk *ask)
{
	uint32_t version = ask->has_version ? ask->version : s->key->version;

	if (s->key->has_destroy_at)
		return ag_refuse(ctx, AG_ILLEGAL_OPERATION, "transition", NULL,
		    "A destruction is planned already.");
	return keys_check(ctx, KEY_OP_DESTROY, s, version);
}

ag_err
on_key_destroy(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__KeyDestroyAsk *ask = msg;
	const char *id = ag_grant(ctx)->resource_id;
	Ag__KeyDestroyPlannedFact fact = AG__KEY_DESTROY_PLANNED_FACT__INIT;
	int64_t window_s = ask->has_pending_window_s ? ask->pending_window_s :
	    WINDOW_S_DEFAULT;
	struct hot *hot;
	ag_err err;

	if ((err = reason_check(ctx, ask->reason)) != AG_OK ||
	    (err = window_check(state, ctx, window_s)) != AG_OK)
		return err;
	if (id != NULL && (err = ag_enter(ctx, keys_stream(ctx, id), true)) != AG_OK)
		return err;
	if ((err = keys_open(state, ctx, &hot)) != AG_OK ||
	    (err = ag_if_match(ctx, hot->stored->key->revision)) != AG_OK ||
	    (err = destroy_check(ctx, hot->stored, ask)) != AG_OK)
		return err;
	fact.key_id = hot->id;
	fact.at = ag_now_ms(ctx);
	fact.has_destroy_at = true;
	fact.destroy_at = fact.at + window_s * 1000;
	fact.has_version = ask->has_version;
	fact.version = ask->version;
	fact.reason = ask->reason;
	fact.by = keys_actor(ctx);
	return keys_change(ctx, hot, AG_MSG_KEY_DESTROY_PLANNED_FACT, &fact);
}

ag_err
on_key_cancel_destroy(void *state, struct ag_ctx *ctx, const void *msg)
{
	const char *id = ag_grant(ctx)->resource_id;
	Ag__KeyDestroyPlannedFact fact = AG__KEY_DESTROY_PLANNED_FACT__INIT;
	uint32_t version;
	struct hot *hot;
	ag_err err;

	if (id != NULL && (err = ag_enter(ctx, keys_stream(ctx, id), true)) != AG_OK)
		return err;
	if ((err = keys_open(state, ctx, &hot)) != AG_OK ||
	    (err = ag_if_match(ctx, hot->stored->key->revision)) != AG_OK)
		return err;
	version = hot->stored->has_destroy_version ? hot->stored->destroy_version :
	    hot->stored->key->version;
	if ((err = keys_check(ctx, KEY_OP_CANCEL_DESTROY, hot->stored, version)) != AG_OK)
		return err;
	/* From the moment on the root of trust may have erased it. */
	if (hot->destroying || hot->stored->key->destroy_at <= ag_now_ms(ctx))
		return ag_refuse(ctx, AG_ILLEGAL_OPERATION, "transition", NULL,
		    "The window is over.");
	fact.key_id = hot->id;
	fact.at = ag_now_ms(ctx);
	fact.by = keys_actor(ctx);
	return keys_change(ctx, hot, AG_MSG_KEY_DESTROY_PLANNED_FACT, &fact);
}
