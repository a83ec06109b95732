/* SPDX-License-Identifier: Apache-2.0 */
/* Entities: added one by one, then closed: who is in whom is computed once, so
 * that `in` is a search in a sorted array. */
#include "entity.h"

#include <stdlib.h>

enum {
	TABLE_FIRST = 64,
	DEPTH_MAX = 4096, /* of a hierarchy: a chain longer than this is refused */
};

enum ag_cedar_err
ag_cedar_entities_new(size_t max_bytes, struct ag_cedar_entities **out)
{
	struct ag_cedar_entities *e = calloc(1, sizeof(*e));

	*out = e;
	if (e == NULL)
		return AG_CEDAR_NO_MEMORY;
	ag_cedar_arena_init(&e->arena, max_bytes);
	return AG_CEDAR_OK;
}

void
ag_cedar_entities_free(struct ag_cedar_entities **entities)
{
	if (*entities == NULL)
		return;
	ag_cedar_arena_fini(&(*entities)->arena);
	free(*entities);
	*entities = NULL;
}

struct ag_cedar_entities *
ag_cedar_entities_over(void *bytes, size_t size)
{
	struct ag_cedar_arena arena;
	struct ag_cedar_entities *e;

	ag_cedar_arena_over(&arena, bytes, size);
	if ((e = ag_cedar_alloc(&arena, sizeof(*e))) != NULL)
		e->arena = arena;
	return e;
}

struct ag_cedar_arena *
ag_cedar_entities_arena(struct ag_cedar_entities *entities)
{
	return &entities->arena;
}

size_t
ag_cedar_entities_count(const struct ag_cedar_entities *entities)
{
	return entities->count;
}

/* The place of a name: its entity, or the free one. */
static struct cedar_entity **
place(const struct ag_cedar_entities *e, const struct ag_cedar_uid *uid)
{
	size_t i = uid->hash & (e->size - 1);

	while (e->table[i] != NULL && !ag_cedar_uid_equal(&e->table[i]->uid, uid))
		i = (i + 1) & (e->size - 1);
	return &e->table[i];
}

const struct cedar_entity *
cedar_entity_find(const struct ag_cedar_entities *entities,
    const struct ag_cedar_uid *uid)
{
	if (entities == NULL || entities->count == 0)
		return NULL;
	return *place(entities, uid);
}

static bool
table_grow(struct ag_cedar_entities *e)
{
	struct cedar_entity **old = e->table;
	size_t old_size = e->size;

	if (e->count * 2 < e->size)
		return true;
	e->size = old_size == 0 ? TABLE_FIRST : old_size * 2;
	e->table = ag_cedar_alloc(&e->arena, e->size * sizeof(struct cedar_entity *));
	if (e->table == NULL) {
		e->table = old;
		e->size = old_size;
		return false;
	}
	for (size_t i = 0; i < old_size; i++)
		if (old[i] != NULL)
			*place(e, &old[i]->uid) = old[i];
	return true;
}

/* The same entity again is no error, as in the reference. */
static bool
same(const struct cedar_entity *a, const struct ag_cedar_entity *b)
{
	const struct ag_cedar_value *attrs = b->attrs.kind == AG_CEDAR_RECORD ?
	    &b->attrs : &cedar_empty_record;
	const struct ag_cedar_value *tags = b->tags.kind == AG_CEDAR_RECORD ?
	    &b->tags : &cedar_empty_record;
	bool found = a->parent_count == b->parent_count;

	for (size_t i = 0; found && i < b->parent_count; i++) {
		found = false;
		for (size_t k = 0; k < a->parent_count && !found; k++)
			found = ag_cedar_uid_equal(&a->parents[k],
			    &b->parents[i]);
	}
	return found && ag_cedar_equal(&a->attrs, attrs) &&
	    ag_cedar_equal(&a->tags, tags);
}

/* Names of types are few and compared all the time: one copy of each. */
static struct ag_cedar_str
type_copy(struct ag_cedar_entities *e, struct ag_cedar_str type)
{
	struct ag_cedar_str copy;

	for (size_t i = 0; i < e->type_count; i++)
		if (cedar_str_equal(e->types[i], type))
			return e->types[i];
	copy = cedar_str_copy(&e->arena, type);
	if (copy.p != NULL && e->type_count < CEDAR_COUNT(e->types))
		e->types[e->type_count++] = copy;
	return copy;
}

static bool
uid_copy(struct ag_cedar_entities *e, const struct ag_cedar_uid *uid,
    struct ag_cedar_uid *out)
{
	*out = *uid;
	out->type = type_copy(e, uid->type);
	out->id = cedar_str_copy(&e->arena, uid->id);
	return out->type.p != NULL && out->id.p != NULL;
}

static bool
entity_copy(struct ag_cedar_entities *e, const struct ag_cedar_entity *from,
    struct cedar_entity *to)
{
	struct ag_cedar_uid *parents;
	size_t n = 0;

	if (!uid_copy(e, &from->uid, &to->uid))
		return false;
	parents = ag_cedar_alloc(&e->arena,
	    from->parent_count * sizeof(*parents));
	if (parents == NULL)
		return false;
	for (size_t i = 0; i < from->parent_count; i++) {
		bool twice = false;

		for (size_t k = 0; k < i && from->parent_count < 64; k++)
			twice |= ag_cedar_uid_equal(&from->parents[i],
			    &from->parents[k]);
		if (!twice && !uid_copy(e, &from->parents[i], &parents[n++]))
			return false;
	}
	to->parents = parents;
	to->parent_count = n;
	to->attrs = from->attrs.kind == AG_CEDAR_RECORD ? from->attrs :
	    cedar_empty_record;
	to->tags = from->tags.kind == AG_CEDAR_RECORD ? from->tags :
	    cedar_empty_record;
	return true;
}

enum ag_cedar_err
ag_cedar_entities_add(struct ag_cedar_entities *e,
    const struct ag_cedar_entity *entity)
{
	struct cedar_entity *copy, **at;

	if (e->count >= AG_CEDAR_ENTITY_MAX)
		return AG_CEDAR_LIMIT;
	if (!table_grow(e))
		return AG_CEDAR_NO_MEMORY;
	at = place(e, &entity->uid);
	if (*at != NULL)
		return same(*at, entity) ? AG_CEDAR_OK : AG_CEDAR_DUPLICATE;
	copy = ag_cedar_alloc(&e->arena, sizeof(*copy));
	if (copy == NULL || !entity_copy(e, entity, copy) ||
	    !cedar_grow(&e->arena, &e->order, e->count, sizeof(*e->order)))
		return AG_CEDAR_NO_MEMORY;
	*at = copy;
	e->order[e->count++] = copy;
	e->is_closed = false;
	return AG_CEDAR_OK;
}

/* -------------------------------------------------------------- hierarchy */

struct closing {
	struct ag_cedar_entities *e;
	const struct ag_cedar_uid **found;
	size_t count;
	struct ag_cedar_problem *problem;
};

static int
by_hash(const void *a, const void *b)
{
	const struct ag_cedar_uid *x = *(const struct ag_cedar_uid *const *)a;
	const struct ag_cedar_uid *y = *(const struct ag_cedar_uid *const *)b;

	return (x->hash > y->hash) - (x->hash < y->hash);
}

static bool
found_add(struct closing *c, const struct ag_cedar_uid *uid)
{
	if (!cedar_grow(&c->e->arena, &c->found, c->count, sizeof(*c->found)))
		return false;
	c->found[c->count++] = uid;
	return true;
}

/* Sorted by hash; none twice. */
static size_t
unique(const struct ag_cedar_uid **list, size_t count)
{
	size_t n = 0;

	if (count == 0)
		return 0;
	qsort(list, count, sizeof(*list), by_hash);
	for (size_t i = 0; i < count; i++) {
		bool twice = false;

		for (size_t k = n; k-- > 0 && list[k]->hash == list[i]->hash &&
		    !twice;)
			twice = ag_cedar_uid_equal(list[k], list[i]);
		if (!twice)
			list[n++] = list[i];
	}
	return n;
}

/* Parents first; depth bounds the recursion. */
static enum ag_cedar_err
close_one(struct ag_cedar_entities *e, struct cedar_entity *entity,
    unsigned depth, struct ag_cedar_problem *problem)
{
	struct closing c = { .e = e, .problem = problem };
	struct cedar_entity *parent;
	enum ag_cedar_err err;

	if (entity->mark == 2)
		return AG_CEDAR_OK;
	if (entity->mark == 1)
		return cedar_problem(problem, AG_CEDAR_INVALID, "the hierarchy "
		    "has a cycle: %.*s::\"%.*s\" is in itself; take one parent "
		    "away", (int)entity->uid.type.len, entity->uid.type.p,
		    (int)entity->uid.id.len, entity->uid.id.p);
	if (depth > DEPTH_MAX)
		return cedar_problem(problem, AG_CEDAR_LIMIT, "the hierarchy is "
		    "more than %d levels high", DEPTH_MAX);
	entity->mark = 1;
	for (size_t i = 0; i < entity->parent_count; i++) {
		if (!found_add(&c, &entity->parents[i]))
			return cedar_no_memory(problem);
		parent = *place(e, &entity->parents[i]);
		if (parent == NULL)
			continue;
		err = close_one(e, parent, depth + 1, problem);
		if (err != AG_CEDAR_OK)
			return err;
		for (size_t k = 0; k < parent->ancestor_count; k++)
			if (!found_add(&c, parent->ancestors[k]))
				return cedar_no_memory(problem);
	}
	entity->ancestors = c.found;
	entity->ancestor_count = unique(c.found, c.count);
	entity->mark = 2;
	return AG_CEDAR_OK;
}

enum ag_cedar_err
ag_cedar_entities_close(struct ag_cedar_entities *e,
    struct ag_cedar_problem *problem)
{
	enum ag_cedar_err err = AG_CEDAR_OK;

	if (problem != NULL)
		memset(problem, 0, sizeof(*problem));
	for (size_t i = 0; i < e->count; i++)
		e->order[i]->mark = 0;
	for (size_t i = 0; i < e->count && err == AG_CEDAR_OK; i++)
		err = close_one(e, e->order[i], 0, problem);
	e->is_closed = err == AG_CEDAR_OK;
	return err;
}

bool
cedar_entity_in(const struct ag_cedar_uid *a,
    const struct cedar_entity *entity, const struct ag_cedar_uid *b)
{
	size_t low = 0, high;

	if (ag_cedar_uid_equal(a, b))
		return true;
	if (entity == NULL)
		return false;
	high = entity->ancestor_count;
	while (low < high) { /* the first with this hash */
		size_t middle = low + (high - low) / 2;

		if (entity->ancestors[middle]->hash < b->hash)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < entity->ancestor_count &&
	    entity->ancestors[low]->hash == b->hash; low++)
		if (ag_cedar_uid_equal(entity->ancestors[low], b))
			return true;
	return false;
}
