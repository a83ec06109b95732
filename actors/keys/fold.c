/* SPDX-License-Identifier: Apache-2.0 */
#include "fold.h"

#include <string.h>

#define STATE(s) AG__KEY_STATE__V__##s

const char *
fold_key_id(const char *stream)
{
	return strncmp(stream, "key:", 4) == 0 ? stream + 4 : NULL;
}

const char *
fold_counted_id(const char *stream)
{
	return strncmp(stream, "counted:", 8) == 0 ? stream + 8 : NULL;
}

Ag__KeyStored *
fold_unpack(struct ag_ctx *ctx, const uint8_t *bytes, size_t len)
{
	return ag_unpack(ctx, &ag__key_stored__descriptor, bytes, len);
}

Ag__KeyVersion *
fold_version(const Ag__KeyStored *stored, uint32_t version)
{
	const Ag__Key *key = stored->key;

	if (version == 0 || version > key->n_versions)
		return NULL;
	return key->versions[version - 1];
}

/* What is absent stays absent; false: no memory. */
static bool
dup_text(struct ag_ctx *ctx, const char *from, char **to)
{
	*to = from == NULL ? NULL : ag_strdup(ctx, from);
	return from == NULL || *to != NULL;
}

static bool
dup_bytes(struct ag_ctx *ctx, bool has, const ProtobufCBinaryData *from,
    ProtobufCBinaryData *to)
{
	*to = (ProtobufCBinaryData){ 0 };
	if (!has || from->len == 0)
		return true;
	if ((to->data = ag_alloc(ctx, from->len)) == NULL)
		return false;
	memcpy(to->data, from->data, from->len);
	to->len = from->len;
	return true;
}

/* Up to n rows of counters. */
static bool
add_count(struct ag_ctx *ctx, Ag__KeyStored *s, size_t n)
{
	Ag__KeyCount **rows = ag_alloc(ctx, n * sizeof(*rows));
	Ag__KeyCount *fresh = ag_alloc(ctx, n * sizeof(*fresh));

	if (rows == NULL || fresh == NULL)
		return false;
	for (size_t i = 0; i < n; i++) {
		ag__key_count__init(&fresh[i]);
		rows[i] = i < s->n_counts ? s->counts[i] : &fresh[i];
	}
	s->counts = rows;
	s->n_counts = n;
	return true;
}

/* One more version, with its public half. */
static ag_err
add_version(struct ag_ctx *ctx, Ag__KeyStored *s, Ag__KeyState__V state,
    const char *origin, bool has_der, const ProtobufCBinaryData *der, int64_t at)
{
	Ag__Key *key = s->key;
	size_t n = key->n_versions;
	Ag__KeyVersion **rows = ag_alloc(ctx, (n + 1) * sizeof(*rows));
	ProtobufCBinaryData *ders = ag_alloc(ctx, (n + 1) * sizeof(*ders));
	Ag__KeyVersion *v = ag_alloc(ctx, sizeof(*v));

	if (rows == NULL || ders == NULL || v == NULL || !add_count(ctx, s, n + 1))
		return AG_NO_MEMORY;
	if (n > 0) {
		memcpy(rows, key->versions, n * sizeof(*rows));
		memcpy(ders, s->public_key_der, n * sizeof(*ders));
	}
	ag__key_version__init(v);
	v->version = (uint32_t)n + 1;
	v->state = state;
	v->created_at = at;
	v->has_activated_at = state == STATE(Active);
	v->activated_at = at;
	if (!dup_text(ctx, origin, &v->origin) ||
	    !dup_bytes(ctx, has_der, der, &ders[n]))
		return AG_NO_MEMORY;
	rows[n] = v;
	key->versions = rows;
	key->n_versions = n + 1;
	key->version = v->version;
	key->state = state;
	s->public_key_der = ders;
	s->n_public_key_der = n + 1;
	return AG_OK;
}

static ag_err
set_labels(struct ag_ctx *ctx, Ag__Key *key, Ag__Pair *const *labels, size_t n)
{
	key->labels = n == 0 ? NULL : ag_alloc(ctx, n * sizeof(*key->labels));
	key->n_labels = 0;
	if (n > 0 && key->labels == NULL)
		return AG_NO_MEMORY;
	for (size_t i = 0; i < n; i++) {
		Ag__Pair *pair;

		if (labels[i]->value == NULL)
			continue; /* removed */
		if ((pair = ag_alloc(ctx, sizeof(*pair))) == NULL)
			return AG_NO_MEMORY;
		ag__pair__init(pair);
		if (!dup_text(ctx, labels[i]->key, &pair->key) ||
		    !dup_text(ctx, labels[i]->value, &pair->value))
			return AG_NO_MEMORY;
		key->labels[key->n_labels++] = pair;
	}
	return AG_OK;
}

/* next_at counts from when the newest version became active; a key that is not
 * active has no next one. */
static void
plan_rotation(Ag__Key *key)
{
	const Ag__KeyVersion *newest = key->versions[key->n_versions - 1];
	Ag__Rotation *r = key->rotation;

	if (r == NULL)
		return;
	r->has_next_at = r->has_every_s && newest->state == STATE(Active);
	r->next_at = !r->has_next_at ? 0 :
	    newest->activated_at + r->every_s * INT64_C(1000);
}

/* One without members says that there is none. */
static ag_err
set_rotation(struct ag_ctx *ctx, Ag__Key *key, const Ag__Rotation *rotation)
{
	if (rotation == NULL)
		return AG_OK;
	key->rotation = NULL;
	if (!rotation->has_every_s && !rotation->has_after_operations)
		return AG_OK;
	if ((key->rotation = ag_alloc(ctx, sizeof(*key->rotation))) == NULL)
		return AG_NO_MEMORY;
	*key->rotation = *rotation;
	return AG_OK;
}

static ag_err
set_usage(struct ag_ctx *ctx, Ag__Key *key, const Ag__KeyCreatedFact *f)
{
	size_t size = f->n_usage * sizeof(*key->usage);

	if (f->n_usage == 0)
		return AG_OK;
	if ((key->usage = ag_alloc(ctx, size)) == NULL)
		return AG_NO_MEMORY;
	memcpy(key->usage, f->usage, size);
	key->n_usage = f->n_usage;
	return AG_OK;
}

static ag_err
on_created(struct ag_ctx *ctx, Ag__KeyStored **stored, const void *fact)
{
	const Ag__KeyCreatedFact *f = fact;
	Ag__KeyStored *s = ag_alloc(ctx, sizeof(*s));
	Ag__Key *key = ag_alloc(ctx, sizeof(*key));
	ag_err err;

	if (*stored != NULL)
		return AG_CORRUPT;
	if (s == NULL || key == NULL)
		return AG_NO_MEMORY;
	ag__key_stored__init(s);
	ag__key__init(key);
	s->key = key;
	if (!dup_text(ctx, f->key_id, &key->id) ||
	    !dup_text(ctx, f->alias, &key->alias) ||
	    !dup_text(ctx, f->tenant, &key->tenant) ||
	    !dup_text(ctx, f->rot, &key->rot) ||
	    !dup_text(ctx, f->created_by, &key->created_by))
		return AG_NO_MEMORY;
	key->key_spec = f->key_spec;
	key->created_at = key->updated_at = f->at;
	key->has_honey = key->honey = f->has_honey && f->honey;
	s->has_material = f->has_material && f->material;
	s->material = s->has_material;
	if ((err = set_usage(ctx, key, f)) != AG_OK ||
	    (err = set_labels(ctx, key, f->labels, f->n_labels)) != AG_OK ||
	    (err = set_rotation(ctx, key, f->rotation)) != AG_OK)
		return err;
	if ((err = add_version(ctx, s, f->active ? STATE(Active) :
	    STATE(PreActive), f->origin, f->has_public_key_der,
	    &f->public_key_der, f->at)) == AG_OK)
		*stored = s;
	return err;
}

static ag_err
on_version(struct ag_ctx *ctx, Ag__KeyStored **stored, const void *fact)
{
	const Ag__KeyVersionFact *f = fact;
	Ag__KeyStored *s = *stored;
	Ag__KeyVersion *old = fold_version(s, s->key->version);

	if (old == NULL || f->version != s->key->version + 1)
		return AG_CORRUPT;
	if (old->state == STATE(Active)) {
		old->state = STATE(Deactivated);
		old->has_deactivated_at = true;
		old->deactivated_at = f->at;
	}
	if (!dup_text(ctx, f->by, &s->rotated_by))
		return AG_NO_MEMORY;
	return add_version(ctx, s, STATE(Active), "generated", f->has_public_key_der,
	    &f->public_key_der, f->at);
}

static bool
is_destroyed(const Ag__KeyVersion *v)
{
	return v->state == STATE(Destroyed) || v->state == STATE(DestroyedCompromised);
}

Ag__KeyState__V
fold_next_state(Ag__KeyState__V from, Ag__KeyState__V to)
{
	static const struct {
		Ag__KeyState__V from, to, next;
	} ways[] = {
		{ STATE(PreActive), STATE(Active), STATE(Active) },
		{ STATE(Active), STATE(Deactivated), STATE(Deactivated) },
		{ STATE(PreActive), STATE(Compromised), STATE(Compromised) },
		{ STATE(Active), STATE(Compromised), STATE(Compromised) },
		{ STATE(Deactivated), STATE(Compromised), STATE(Compromised) },
		{ STATE(Destroyed), STATE(Compromised), STATE(DestroyedCompromised) },
		{ STATE(PreActive), STATE(Destroyed), STATE(Destroyed) },
		{ STATE(Deactivated), STATE(Destroyed), STATE(Destroyed) },
		{ STATE(Compromised), STATE(Destroyed), STATE(DestroyedCompromised) },
	};

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		if (ways[i].from == from && ways[i].to == to)
			return ways[i].next;
	return from;
}

static void
move_version(Ag__KeyStored *s, Ag__KeyVersion *v, Ag__KeyState__V to, int64_t at)
{
	Ag__KeyState__V next = fold_next_state(v->state, to);
	bool was_destroyed = is_destroyed(v);

	if (next == v->state)
		return;
	v->state = next;
	if (to == STATE(Active)) {
		v->has_activated_at = true;
		v->activated_at = at;
	} else if (to == STATE(Deactivated)) {
		v->has_deactivated_at = true;
		v->deactivated_at = at;
	} else if (to == STATE(Compromised)) {
		v->has_compromised_at = true;
		v->compromised_at = at;
	}
	if (is_destroyed(v) && !was_destroyed) {
		v->has_destroyed_at = true;
		v->destroyed_at = at;
		s->public_key_der[v->version - 1] = (ProtobufCBinaryData){ 0 };
	}
}

static ag_err
on_state(struct ag_ctx *ctx, Ag__KeyStored **stored, const void *fact)
{
	const Ag__KeyStateFact *f = fact;
	Ag__KeyStored *s = *stored;
	Ag__Key *key = s->key;

	for (size_t i = 0; i < key->n_versions; i++)
		if (!f->has_version || f->version == key->versions[i]->version)
			move_version(s, key->versions[i], f->state, f->at);
	key->state = key->versions[key->n_versions - 1]->state;
	if (f->state == STATE(Destroyed)) {
		key->has_destroy_at = false;
		key->destroy_at = 0;
		s->has_destroy_version = false;
		s->destroy_version = 0;
	}
	return AG_OK;
}

static ag_err
on_frozen(struct ag_ctx *ctx, Ag__KeyStored **stored, const void *fact)
{
	(*stored)->key->frozen = ((const Ag__KeyFrozenFact *)fact)->frozen;
	return AG_OK;
}

static ag_err
on_planned(struct ag_ctx *ctx, Ag__KeyStored **stored, const void *fact)
{
	const Ag__KeyDestroyPlannedFact *f = fact;
	Ag__KeyStored *s = *stored;

	s->key->has_destroy_at = f->has_destroy_at;
	s->key->destroy_at = f->destroy_at;
	s->has_destroy_version = f->has_destroy_at && f->has_version;
	s->destroy_version = s->has_destroy_version ? f->version : 0;
	return AG_OK;
}

static ag_err
on_updated(struct ag_ctx *ctx, Ag__KeyStored **stored, const void *fact)
{
	const Ag__KeyUpdatedFact *f = fact;
	Ag__Key *key = (*stored)->key;
	ag_err err = set_labels(ctx, key, f->labels, f->n_labels);

	if (err != AG_OK)
		return err;
	return set_rotation(ctx, key, f->rotation);
}

static ag_err
on_counted(struct ag_ctx *ctx, Ag__KeyStored *s, const Ag__KeyCountedFact *f)
{
	Ag__KeyCount *count;

	if (fold_version(s, f->version) == NULL)
		return AG_CORRUPT;
	if (s->n_counts < s->key->n_versions && !add_count(ctx, s, s->key->n_versions))
		return AG_NO_MEMORY;
	count = s->counts[f->version - 1];
	if (f->reserved_to > count->reserved)
		count->reserved = f->reserved_to;
	if (f->has_sealed_to && f->sealed_to > count->sealed_reserved)
		count->sealed_reserved = f->sealed_to;
	s->has_counted = true;
	s->counted++;
	return AG_OK;
}

void
fold_bound(Ag__KeyStored *stored)
{
	for (size_t i = 0; i < stored->n_counts && i < stored->key->n_versions; i++) {
		Ag__KeyCount *count = stored->counts[i];
		Ag__KeyVersion *v = stored->key->versions[i];

		if (v->operations < count->reserved)
			v->operations = count->reserved;
		if (count->sealed < count->sealed_reserved)
			count->sealed = count->sealed_reserved;
	}
}

static const struct {
	uint16_t type;
	ag_err (*fold)(struct ag_ctx *ctx, Ag__KeyStored **stored, const void *fact);
	size_t at_offset;
} folds[] = {
	{ AG_MSG_KEY_CREATED_FACT, on_created, offsetof(Ag__KeyCreatedFact, at) },
	{ AG_MSG_KEY_VERSION_FACT, on_version, offsetof(Ag__KeyVersionFact, at) },
	{ AG_MSG_KEY_STATE_FACT, on_state, offsetof(Ag__KeyStateFact, at) },
	{ AG_MSG_KEY_FROZEN_FACT, on_frozen, offsetof(Ag__KeyFrozenFact, at) },
	{ AG_MSG_KEY_DESTROY_PLANNED_FACT, on_planned,
	    offsetof(Ag__KeyDestroyPlannedFact, at) },
	{ AG_MSG_KEY_UPDATED_FACT, on_updated, offsetof(Ag__KeyUpdatedFact, at) },
};

ag_err
fold(struct ag_ctx *ctx, Ag__KeyStored **stored, uint16_t type,
    const void *fact, uint64_t seq)
{
	ag_err err;

	if (type != AG_MSG_KEY_CREATED_FACT && *stored == NULL)
		return AG_CORRUPT;
	if (type == AG_MSG_KEY_COUNTED_FACT) { /* no revision */
		(*stored)->seq = seq;
		return on_counted(ctx, *stored, fact);
	}
	for (size_t i = 0; i < sizeof(folds) / sizeof(folds[0]); i++) {
		if (folds[i].type != type)
			continue;
		if ((err = folds[i].fold(ctx, stored, fact)) != AG_OK)
			return err;
		plan_rotation((*stored)->key);
		memcpy(&(*stored)->key->updated_at,
		    (const char *)fact + folds[i].at_offset, sizeof(int64_t));
		(*stored)->key->revision++;
		(*stored)->seq = seq;
		return AG_OK;
	}
	return AG_CORRUPT;
}
