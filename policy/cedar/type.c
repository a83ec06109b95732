/* SPDX-License-Identifier: Apache-2.0 */
/* Types of the strict validator: which is of which, and what two share. Types
 * are shared, so a comparison could take exponential time: steps bound it. */
#include "schema.h"

#include <stdio.h>

const struct cedar_type cedar_type_never = { .kind = CEDAR_TYPE_NEVER };
const struct cedar_type cedar_type_true = { .kind = CEDAR_TYPE_TRUE };
const struct cedar_type cedar_type_false = { .kind = CEDAR_TYPE_FALSE };
const struct cedar_type cedar_type_bool = { .kind = CEDAR_TYPE_BOOL };
const struct cedar_type cedar_type_long = { .kind = CEDAR_TYPE_LONG };
const struct cedar_type cedar_type_string = { .kind = CEDAR_TYPE_STRING };

const struct cedar_type *
cedar_type_ext(enum ag_cedar_kind kind)
{
	static const struct cedar_type types[] = {
		{ .kind = CEDAR_TYPE_EXT, .ext = AG_CEDAR_DECIMAL },
		{ .kind = CEDAR_TYPE_EXT, .ext = AG_CEDAR_IPADDR },
		{ .kind = CEDAR_TYPE_EXT, .ext = AG_CEDAR_DATETIME },
		{ .kind = CEDAR_TYPE_EXT, .ext = AG_CEDAR_DURATION },
	};

	for (size_t i = 0; i < CEDAR_COUNT(types); i++)
		if (types[i].ext == (uint8_t)kind)
			return &types[i];
	return kind == AG_CEDAR_BOOL ? &cedar_type_bool :
	    kind == AG_CEDAR_LONG ? &cedar_type_long : &cedar_type_string;
}

static bool
spend(uint64_t *steps)
{
	if (*steps == 0)
		return false;
	--*steps;
	return true;
}

bool
cedar_subtype(const struct cedar_type *a, const struct cedar_type *b,
    uint64_t *steps)
{
	if (a == b || a->kind == CEDAR_TYPE_NEVER)
		return true;
	if (!spend(steps))
		return false;
	if (b->kind == CEDAR_TYPE_BOOL && a->kind <= CEDAR_TYPE_BOOL)
		return true;
	if (a->kind != b->kind)
		return false;
	switch ((enum cedar_type_kind)a->kind) {
	case CEDAR_TYPE_EXT:
		return a->ext == b->ext;
	case CEDAR_TYPE_ENTITY:
		return cedar_str_equal(a->name, b->name);
	case CEDAR_TYPE_SET:
		return b->element == NULL || (a->element != NULL &&
		    cedar_subtype(a->element, b->element, steps));
	case CEDAR_TYPE_RECORD:
		if (a->attr_count != b->attr_count)
			return false;
		for (uint32_t i = 0; i < a->attr_count; i++)
			if (!cedar_str_equal(a->attrs[i].name, b->attrs[i].name) ||
			    a->attrs[i].required != b->attrs[i].required ||
			    !cedar_subtype(a->attrs[i].type, b->attrs[i].type,
			    steps))
				return false;
		return true;
	case CEDAR_TYPE_NEVER:
	case CEDAR_TYPE_TRUE:
	case CEDAR_TYPE_FALSE:
	case CEDAR_TYPE_BOOL:
	case CEDAR_TYPE_LONG:
	case CEDAR_TYPE_STRING:
	case CEDAR_TYPE_ANY_ENTITY:
		return true;
	}
	return false;
}

static const struct cedar_type *
join_records(struct ag_cedar_arena *arena, const struct cedar_type *a,
    const struct cedar_type *b, uint64_t *steps)
{
	struct cedar_type *t;
	struct cedar_attr *attrs;

	if (a->attr_count != b->attr_count)
		return NULL;
	t = ag_cedar_alloc(arena, sizeof(*t));
	attrs = ag_cedar_alloc(arena, a->attr_count * sizeof(*attrs));
	if (t == NULL || attrs == NULL)
		return NULL;
	for (uint32_t i = 0; i < a->attr_count; i++) {
		if (!cedar_str_equal(a->attrs[i].name, b->attrs[i].name) ||
		    a->attrs[i].required != b->attrs[i].required)
			return NULL;
		attrs[i] = a->attrs[i];
		attrs[i].type = cedar_type_join(arena, a->attrs[i].type,
		    b->attrs[i].type, steps);
		if (attrs[i].type == NULL)
			return NULL;
	}
	*t = *a;
	t->attrs = attrs;
	return t;
}

const struct cedar_type *
cedar_type_join(struct ag_cedar_arena *arena, const struct cedar_type *a,
    const struct cedar_type *b, uint64_t *steps)
{
	const struct cedar_type *element;
	struct cedar_type *t;

	if (cedar_subtype(a, b, steps))
		return b;
	if (cedar_subtype(b, a, steps))
		return a;
	if (!spend(steps))
		return NULL;
	if (a->kind <= CEDAR_TYPE_BOOL && b->kind <= CEDAR_TYPE_BOOL)
		return &cedar_type_bool;
	if (a->kind != b->kind)
		return NULL;
	if (a->kind == CEDAR_TYPE_RECORD)
		return join_records(arena, a, b, steps);
	if (a->kind != CEDAR_TYPE_SET || a->element == NULL ||
	    b->element == NULL)
		return NULL;
	element = cedar_type_join(arena, a->element, b->element, steps);
	if (element == NULL || (t = ag_cedar_alloc(arena, sizeof(*t))) == NULL)
		return NULL;
	*t = (struct cedar_type){ .kind = CEDAR_TYPE_SET, .depth = a->depth,
		.element = element };
	return t;
}

void
cedar_type_print(const struct cedar_type *type, char *out, size_t room)
{
	static const char *const names[] = {
		[CEDAR_TYPE_NEVER] = "nothing", [CEDAR_TYPE_TRUE] = "true",
		[CEDAR_TYPE_FALSE] = "false", [CEDAR_TYPE_BOOL] = "Bool",
		[CEDAR_TYPE_LONG] = "Long", [CEDAR_TYPE_STRING] = "String",
		[CEDAR_TYPE_RECORD] = "a record",
		[CEDAR_TYPE_ANY_ENTITY] = "an entity",
	};
	static const char *const exts[] = { [AG_CEDAR_DECIMAL] = "decimal",
		[AG_CEDAR_IPADDR] = "ipaddr", [AG_CEDAR_DATETIME] = "datetime",
		[AG_CEDAR_DURATION] = "duration" };
	const struct cedar_type *inner = type;
	size_t sets = 0, len = 0;

	while (inner->kind == CEDAR_TYPE_SET && inner->element != NULL) {
		inner = inner->element;
		sets++;
	}
	out[0] = '\0';
	for (size_t i = 0; i < sets && len + 5 < room; i++)
		len += (size_t)snprintf(out + len, room - len, "Set<");
	if (inner->kind == CEDAR_TYPE_ENTITY)
		(void)snprintf(out + len, room - len, "%.*s",
		    (int)(inner->name.len > 80 ? 80 : inner->name.len),
		    inner->name.p);
	else
		(void)snprintf(out + len, room - len, "%s",
		    inner->kind == CEDAR_TYPE_EXT ? exts[inner->ext] :
		    inner->kind == CEDAR_TYPE_SET ? "a set" : names[inner->kind]);
	for (len = strlen(out); sets > 0 && len + 2 < room; sets--)
		len += (size_t)snprintf(out + len, room - len, ">");
}
