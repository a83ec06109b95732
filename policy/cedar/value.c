/* SPDX-License-Identifier: Apache-2.0 */
/* Values: sets and records are kept in order, so that they compare quickly. */
#include "value.h"

#include "ext.h"

static const struct ag_cedar_record no_fields;
const struct ag_cedar_value cedar_empty_record = { .kind = AG_CEDAR_RECORD,
	.record = &no_fields };

struct ag_cedar_value
ag_cedar_bool(bool value)
{
	return (struct ag_cedar_value){ .kind = AG_CEDAR_BOOL,
		.boolean = value };
}

struct ag_cedar_value
ag_cedar_long(int64_t value)
{
	return (struct ag_cedar_value){ .kind = AG_CEDAR_LONG,
		.number = value };
}

struct ag_cedar_value
ag_cedar_string(struct ag_cedar_str value)
{
	return (struct ag_cedar_value){ .kind = AG_CEDAR_STRING,
		.string = value };
}

struct ag_cedar_value
ag_cedar_entity(const struct ag_cedar_uid *uid)
{
	return (struct ag_cedar_value){ .kind = AG_CEDAR_ENTITY,
		.entity = uid };
}

struct ag_cedar_value
ag_cedar_datetime(int64_t ms_since_epoch)
{
	return (struct ag_cedar_value){ .kind = AG_CEDAR_DATETIME,
		.number = ms_since_epoch };
}

struct ag_cedar_value
ag_cedar_duration(int64_t ms)
{
	return (struct ag_cedar_value){ .kind = AG_CEDAR_DURATION,
		.number = ms };
}

const char *
cedar_kind_name(enum ag_cedar_kind kind)
{
	static const char *const names[] = {
		[AG_CEDAR_BOOL] = "a boolean", [AG_CEDAR_LONG] = "a long",
		[AG_CEDAR_STRING] = "a string", [AG_CEDAR_ENTITY] = "an entity",
		[AG_CEDAR_SET] = "a set", [AG_CEDAR_RECORD] = "a record",
		[AG_CEDAR_DECIMAL] = "a decimal",
		[AG_CEDAR_IPADDR] = "an ipaddr",
		[AG_CEDAR_DATETIME] = "a datetime",
		[AG_CEDAR_DURATION] = "a duration",
	};

	return (size_t)kind < CEDAR_COUNT(names) ? names[kind] : "nothing";
}

/* ------------------------------------------------------------------ order */

static int
uid_order(const struct ag_cedar_uid *a, const struct ag_cedar_uid *b)
{
	int order;

	if (ag_cedar_uid_equal(a, b))
		return 0;
	/* By hash, because it is quick; by name, because hashes collide. */
	if (a->hash != b->hash)
		return a->hash < b->hash ? -1 : 1;
	order = cedar_str_order(a->type, b->type);
	return order != 0 ? order : cedar_str_order(a->id, b->id);
}

static int
set_order(const struct ag_cedar_items *a, const struct ag_cedar_items *b)
{
	int order;

	if (a->count != b->count)
		return a->count < b->count ? -1 : 1;
	for (size_t i = 0; i < a->count; i++)
		if ((order = cedar_value_order(&a->items[i], &b->items[i])) != 0)
			return order;
	return 0;
}

static int
record_order(const struct ag_cedar_record *a, const struct ag_cedar_record *b)
{
	int order;

	if (a->count != b->count)
		return a->count < b->count ? -1 : 1;
	for (size_t i = 0; i < a->count; i++) {
		order = cedar_str_order(a->fields[i].name, b->fields[i].name);
		if (order == 0)
			order = cedar_value_order(&a->fields[i].value,
			    &b->fields[i].value);
		if (order != 0)
			return order;
	}
	return 0;
}

int
cedar_value_order(const struct ag_cedar_value *a, const struct ag_cedar_value *b)
{
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	switch (a->kind) {
	case AG_CEDAR_BOOL:
		return a->boolean - b->boolean;
	case AG_CEDAR_LONG:
	case AG_CEDAR_DECIMAL:
	case AG_CEDAR_DATETIME:
	case AG_CEDAR_DURATION:
		return (a->number > b->number) - (a->number < b->number);
	case AG_CEDAR_STRING:
		return cedar_str_order(a->string, b->string);
	case AG_CEDAR_ENTITY:
		return uid_order(a->entity, b->entity);
	case AG_CEDAR_SET:
		return set_order(a->set, b->set);
	case AG_CEDAR_RECORD:
		return record_order(a->record, b->record);
	case AG_CEDAR_IPADDR:
		return cedar_ip_order(a->ip, b->ip);
	}
	return 0;
}

bool
ag_cedar_equal(const struct ag_cedar_value *a, const struct ag_cedar_value *b)
{
	return cedar_value_order(a, b) == 0;
}

/* ------------------------------------------------------------------- sets */

static bool
value_less(const void *array, size_t a, size_t b)
{
	const struct ag_cedar_value *v = array;

	return cedar_value_order(&v[a], &v[b]) < 0;
}

static bool
field_less(const void *array, size_t a, size_t b)
{
	const struct ag_cedar_field *f = array;

	return cedar_str_order(f[a].name, f[b].name) < 0;
}

static void
swap(uint8_t *array, size_t size, size_t a, size_t b)
{
	uint8_t t[sizeof(struct ag_cedar_field)];

	memcpy(t, array + a * size, size);
	memcpy(array + a * size, array + b * size, size);
	memcpy(array + b * size, t, size);
}

/* A heap sort: qsort takes memory for large arrays, and hostile ones make it
 * slow. Short ones, which nearly all are, are sorted by insertion. */
void
cedar_sort(void *array, size_t count, size_t size,
    bool (*less)(const void *array, size_t a, size_t b))
{
	enum { SHORT = 12 };

	for (size_t i = 1; count <= SHORT && i < count; i++)
		for (size_t k = i; k > 0 && less(array, k, k - 1); k--)
			swap(array, size, k, k - 1);
	if (count <= SHORT)
		return;
	for (size_t begin = count / 2, end = count; end > 1;) {
		size_t root, child;

		if (begin > 0)
			begin--;
		else
			swap(array, size, --end, 0);
		for (root = begin; (child = 2 * root + 1) < end; root = child) {
			if (child + 1 < end && less(array, child, child + 1))
				child++;
			if (!less(array, root, child))
				break;
			swap(array, size, root, child);
		}
	}
}

enum ag_cedar_err
cedar_set_take(struct ag_cedar_arena *arena, struct ag_cedar_value *items,
    size_t count, struct ag_cedar_value *out)
{
	struct ag_cedar_items *set = ag_cedar_alloc(arena, sizeof(*set));
	uint32_t depth = 1;

	if (set == NULL)
		return AG_CEDAR_NO_MEMORY;
	for (size_t i = 0; i < count; i++)
		if (items[i].depth >= depth)
			depth = items[i].depth + 1;
	if (depth > AG_CEDAR_VALUE_DEPTH_MAX)
		return AG_CEDAR_LIMIT;
	cedar_sort(items, count, sizeof(*items), value_less);
	for (size_t i = 0; i < count; i++)
		if (set->count == 0 || cedar_value_order(&items[i],
		    &items[set->count - 1]) != 0)
			items[set->count++] = items[i];
	set->items = items;
	*out = (struct ag_cedar_value){ .kind = AG_CEDAR_SET, .depth = depth,
		.set = set };
	return AG_CEDAR_OK;
}

enum ag_cedar_err
ag_cedar_set_value(struct ag_cedar_arena *arena,
    const struct ag_cedar_value *items, size_t count,
    struct ag_cedar_value *out)
{
	struct ag_cedar_value *copy;

	if (count > SIZE_MAX / sizeof(*copy) / 2 ||
	    (copy = ag_cedar_alloc(arena, count * sizeof(*copy))) == NULL)
		return AG_CEDAR_NO_MEMORY;
	if (count != 0)
		memcpy(copy, items, count * sizeof(*copy));
	return cedar_set_take(arena, copy, count, out);
}

bool
cedar_set_has(const struct ag_cedar_value *set,
    const struct ag_cedar_value *item)
{
	size_t low = 0, high = set->set->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = cedar_value_order(&set->set->items[middle], item);

		if (order == 0)
			return true;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

/* ---------------------------------------------------------------- records */

enum ag_cedar_err
cedar_record_take(struct ag_cedar_arena *arena, struct ag_cedar_field *fields,
    size_t count, struct ag_cedar_value *out)
{
	struct ag_cedar_record *record = ag_cedar_alloc(arena, sizeof(*record));
	uint32_t depth = 1;

	if (record == NULL)
		return AG_CEDAR_NO_MEMORY;
	cedar_sort(fields, count, sizeof(*fields), field_less);
	for (size_t i = 0; i < count; i++) {
		if (fields[i].value.depth >= depth)
			depth = fields[i].value.depth + 1;
		if (i > 0 && cedar_str_equal(fields[i].name, fields[i - 1].name))
			return AG_CEDAR_DUPLICATE;
	}
	if (depth > AG_CEDAR_VALUE_DEPTH_MAX)
		return AG_CEDAR_LIMIT;
	record->fields = fields;
	record->count = count;
	*out = (struct ag_cedar_value){ .kind = AG_CEDAR_RECORD,
		.depth = depth, .record = record };
	return AG_CEDAR_OK;
}

enum ag_cedar_err
ag_cedar_record_value(struct ag_cedar_arena *arena,
    const struct ag_cedar_field *fields, size_t count,
    struct ag_cedar_value *out)
{
	struct ag_cedar_field *copy;

	if (count > SIZE_MAX / sizeof(*copy) / 2 ||
	    (copy = ag_cedar_alloc(arena, count * sizeof(*copy))) == NULL)
		return AG_CEDAR_NO_MEMORY;
	if (count != 0)
		memcpy(copy, fields, count * sizeof(*copy));
	return cedar_record_take(arena, copy, count, out);
}

const struct ag_cedar_value *
cedar_record_get(const struct ag_cedar_value *record, struct ag_cedar_str name)
{
	size_t low = 0, high;

	if (record->kind != AG_CEDAR_RECORD)
		return NULL;
	high = record->record->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct ag_cedar_field *f = &record->record->fields[middle];
		int order = cedar_str_order(f->name, name);

		if (order == 0)
			return &f->value;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}
