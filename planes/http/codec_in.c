/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON values to members of messages. Everything that a client may get wrong
 * about a member is named here, with a JSON pointer to it.
 */
#include "bind.h"

#include <aegis/id.h>

#include <jansson.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATCH_NULLS_MAX = 16 };

/* One JSON value into one field's slot. */
typedef bool bind_fn(struct bind *bind, const ProtobufCFieldDescriptor *field,
    const struct path *path, json_t *value, void *slot);

/* --------------------------------------------------------------- refusals */

static size_t
pointer_write(const struct path *path, char *out, size_t size)
{
	size_t len = path->up == NULL ? 0 : pointer_write(path->up, out, size);
	const char *c;

	if (path->name == NULL && path->up == NULL)
		return 0;
	if (path->name == NULL)
		return len + (size_t)snprintf(out + len, size - len, "/%zu", path->index);
	if (len + 1 < size)
		out[len++] = '/';
	/* RFC 6901 §3; room for an escape and the end */
	for (c = path->name; *c != '\0' && len + 3 < size; c++) {
		if (*c == '~' || *c == '/') {
			out[len++] = '~';
			out[len++] = *c == '~' ? '0' : '1';
		} else {
			out[len++] = *c;
		}
	}
	out[len] = '\0';
	return len;
}

/* Cut names end at a whole character: the text is printed as UTF-8. */
static void
trim_utf8(char *text)
{
	size_t len = strlen(text), i = 0, step;

	while (i < len && (step = utf8_step((uint8_t *)text + i, len - i)) != 0)
		i += step;
	text[i] = '\0';
}

bool
bind_refuse_member(struct bind *bind, const struct path *path, ag_err err,
    const char *reason, const char *detail)
{
	/* Deep enough for every pointer of 16 levels; cut beyond. */
	char field[REFUSE_FIELD_SIZE + 32] = "";

	if (bind->query)
		snprintf(field, REFUSE_FIELD_SIZE, "?%s", path->name);
	else
		pointer_write(path, field, REFUSE_FIELD_SIZE);
	trim_utf8(field);
	refuse_set(bind->refuse, err, reason, field, "%s", detail);
	return false;
}

bool
bind_refuse_field(struct bind *bind, const struct path *path, const char *reason,
    const char *detail)
{
	return bind_refuse_member(bind, path, AG_INVALID_FIELD, reason, detail);
}

bool
bind_refuse_memory(struct bind *bind)
{
	refuse_set(bind->refuse, AG_REQUEST_TOO_LARGE, "json_memory", NULL,
	    "the body takes too much memory");
	return false;
}

/* ---------------------------------------------------------------- scalars */

static bool
bind_u32(struct bind *bind, const ProtobufCFieldDescriptor *field,
    const struct path *path, json_t *value, void *slot)
{
	if (!json_is_integer(value))
		return bind_refuse_field(bind, path, "wrong_type", "an integer is expected");
	if (json_integer_value(value) < 0 || json_integer_value(value) > UINT32_MAX)
		return bind_refuse_field(bind, path, "out_of_range", "0 to 4294967295");
	*(uint32_t *)slot = (uint32_t)json_integer_value(value);
	return true;
}

static bool
bind_u64(struct bind *bind, const ProtobufCFieldDescriptor *field,
    const struct path *path, json_t *value, void *slot)
{
	if (!json_is_integer(value))
		return bind_refuse_field(bind, path, "wrong_type", "an integer is expected");
	if (json_integer_value(value) < 0)
		return bind_refuse_field(bind, path, "out_of_range", "not negative");
	*(uint64_t *)slot = (uint64_t)json_integer_value(value);
	return true;
}

/* A string's bytes, wherever they are. */
static struct lifted
string_of(const struct bind *bind, const json_t *value)
{
	const char *text = json_string_value(value);
	const struct lifted *lifted = lift_find(&bind->lift, text);

	return lifted != NULL ? *lifted :
	    (struct lifted){ text, json_string_length(value) };
}

/* In the pool, with an end; NULL: no memory is left. */
static char *
text_of(const struct bind *bind, const json_t *value)
{
	const char *text = json_string_value(value);
	const struct lifted *lifted = lift_find(&bind->lift, text);

	return lifted == NULL ? (char *)(uintptr_t)text :
	    pool_strndup(bind->pool, lifted->at, lifted->len);
}

static bool
bind_i64(struct bind *bind, const ProtobufCFieldDescriptor *field,
    const struct path *path, json_t *value, void *slot)
{
	const char *text;

	if (!codec_is_time(field)) {
		if (!json_is_integer(value))
			return bind_refuse_field(bind, path, "wrong_type",
			    "an integer is expected");
		*(int64_t *)slot = json_integer_value(value);
		return true;
	}
	if (!json_is_string(value))
		return bind_refuse_field(bind, path, "wrong_type",
		    "a time is expected, such as 2026-11-20T21:33:14.123Z");
	if ((text = text_of(bind, value)) == NULL)
		return bind_refuse_memory(bind);
	if (!ag_time_parse(text, slot))
		return bind_refuse_field(bind, path, "out_of_range",
		    "a time is expected, such as 2026-11-20T21:33:14.123Z");
	return true;
}

static bool
bind_bool(struct bind *bind, const ProtobufCFieldDescriptor *field,
    const struct path *path, json_t *value, void *slot)
{
	if (!json_is_boolean(value))
		return bind_refuse_field(bind, path, "wrong_type", "true or false is expected");
	*(protobuf_c_boolean *)slot = json_is_true(value);
	return true;
}

static bool
bind_enum(struct bind *bind, const ProtobufCFieldDescriptor *field,
    const struct path *path, json_t *value, void *slot)
{
	const ProtobufCEnumDescriptor *d = field->descriptor;
	unsigned i;

	if (!json_is_string(value))
		return bind_refuse_field(bind, path, "wrong_type", "a string is expected");
	for (i = 0; i < d->n_values; i++)
		if (strcmp(codec_enum_text(d, d->values[i].value),
		    json_string_value(value)) == 0) {
			*(int *)slot = d->values[i].value;
			return true;
		}
	return bind_refuse_field(bind, path, "unknown_value", "not one of the known values");
}

static bool
bind_string(struct bind *bind, const ProtobufCFieldDescriptor *field,
    const struct path *path, json_t *value, void *slot)
{
	if (!json_is_string(value))
		return bind_refuse_field(bind, path, "wrong_type", "a string is expected");
	*(const char **)slot = text_of(bind, value);
	return *(const char **)slot != NULL || bind_refuse_memory(bind);
}

static bool
bind_bytes(struct bind *bind, const ProtobufCFieldDescriptor *field,
    const struct path *path, json_t *value, void *slot)
{
	ProtobufCBinaryData *data = slot;
	struct lifted text;

	if (!json_is_string(value))
		return bind_refuse_field(bind, path, "wrong_type", "a string is expected");
	text = string_of(bind, value);
	data->data = pool_alloc(bind->pool, text.len / 4 * 3 + 4);
	if (data->data == NULL)
		return bind_refuse_memory(bind);
	if (!ag_base64_parse(text.at, text.len, data->data, text.len / 4 * 3 + 4,
	    &data->len))
		return bind_refuse_field(bind, path, "bad_base64",
		    "standard base64 with padding is expected");
	return true;
}

static bool
bind_message(struct bind *bind, const ProtobufCFieldDescriptor *field,
    const struct path *path, json_t *value, void *slot)
{
	if (!json_is_object(value))
		return bind_refuse_field(bind, path, "wrong_type", "an object is expected");
	*(void **)slot = bind_object(bind, field->descriptor, path, value);
	return *(void **)slot != NULL;
}

struct scalar {
	bind_fn *bind;
	size_t size;
};
static const struct scalar scalars[] = {
	[PROTOBUF_C_TYPE_UINT32] = { bind_u32, sizeof(uint32_t) },
	[PROTOBUF_C_TYPE_UINT64] = { bind_u64, sizeof(uint64_t) },
	[PROTOBUF_C_TYPE_INT64] = { bind_i64, sizeof(int64_t) },
	[PROTOBUF_C_TYPE_BOOL] = { bind_bool, sizeof(protobuf_c_boolean) },
	[PROTOBUF_C_TYPE_ENUM] = { bind_enum, sizeof(int) },
	[PROTOBUF_C_TYPE_STRING] = { bind_string, sizeof(char *) },
	[PROTOBUF_C_TYPE_BYTES] = { bind_bytes, sizeof(ProtobufCBinaryData) },
	[PROTOBUF_C_TYPE_MESSAGE] = { bind_message, sizeof(void *) },
};

static const struct scalar *
scalar_of(const ProtobufCFieldDescriptor *field)
{
	const struct scalar *scalar =
	    field->type < sizeof(scalars) / sizeof(scalars[0]) ?
	    &scalars[field->type] : NULL;

	if (scalar == NULL || scalar->bind == NULL)
		ag_panic("no JSON form for field %s", field->name);
	return scalar;
}

/* ------------------------------------------------------- arrays, objects */

/* Merge patch (RFC 7396): these messages tell null from absent. */
static bool
is_patch(const ProtobufCMessageDescriptor *d)
{
	return d == &ag__key_update_ask__descriptor ||
	    d == &ag__principal_update_ask__descriptor;
}

bool
bind_array(struct bind *bind, const ProtobufCFieldDescriptor *field,
    const struct path *path, json_t *value, void *msg)
{
	const struct scalar *scalar = scalar_of(field);
	size_t i, n = json_array_size(value);
	struct path item = { .up = path };
	uint8_t *list;

	if (!json_is_array(value))
		return bind_refuse_field(bind, path, "wrong_type", "an array is expected");
	if (n == 0)
		return true;
	if ((list = pool_zalloc(bind->pool, n * scalar->size)) == NULL)
		return bind_refuse_memory(bind);
	for (i = 0; i < n; i++) {
		item.index = i;
		if (!scalar->bind(bind, field, &item, json_array_get(value, i),
		    list + i * scalar->size))
			return false;
	}
	*(size_t *)((uint8_t *)msg + field->quantifier_offset) = n;
	*(void **)((uint8_t *)msg + field->offset) = list;
	return true;
}

static bool
bind_pairs(struct bind *bind, const ProtobufCFieldDescriptor *field,
    const struct path *path, json_t *value, void *msg, bool patch)
{
	size_t n = json_object_size(value), i = 0;
	struct path item = { .up = path };
	Ag__Pair **list;
	const char *key;
	json_t *text;

	if (!json_is_object(value))
		return bind_refuse_field(bind, path, "wrong_type", "an object is expected");
	list = pool_zalloc(bind->pool, n * sizeof(*list));
	if (list == NULL)
		return bind_refuse_memory(bind);
	json_object_foreach(value, key, text) {
		item.name = key;
		if (!json_is_string(text) && !(patch && json_is_null(text)))
			return bind_refuse_field(bind, &item, "wrong_type",
			    "a string is expected");
		if ((list[i] = pool_alloc(bind->pool, sizeof(**list))) == NULL)
			return bind_refuse_memory(bind);
		ag__pair__init(list[i]);
		list[i]->key = (char *)(uintptr_t)key;
		list[i]->value = json_is_null(text) ? NULL : text_of(bind, text);
		if (list[i++]->value == NULL && !json_is_null(text))
			return bind_refuse_memory(bind);
	}
	*(size_t *)((uint8_t *)msg + field->quantifier_offset) = n;
	*(void **)((uint8_t *)msg + field->offset) = n == 0 ? NULL : list;
	return true;
}

/* Of a patch: what was null is said, so that the owner may remove it. */
static bool
bind_removal(struct bind *bind, const struct path *path)
{
	char text[REFUSE_FIELD_SIZE + 32] = "", *copy;

	if (bind->null_count == PATCH_NULLS_MAX)
		return bind_refuse_field(bind, path, "out_of_range",
		    "too many members are null");
	if (bind->nulls == NULL)
		bind->nulls = pool_zalloc(bind->pool,
		    PATCH_NULLS_MAX * sizeof(*bind->nulls));
	pointer_write(path, text, REFUSE_FIELD_SIZE);
	copy = pool_alloc(bind->pool, strlen(text) + 1);
	if (bind->nulls == NULL || copy == NULL)
		return bind_refuse_memory(bind);
	strcpy(copy, text);
	bind->nulls[bind->null_count++] = copy;
	return true;
}

static bool
bind_field(struct bind *bind, const ProtobufCMessageDescriptor *d,
    const ProtobufCFieldDescriptor *field, const struct path *path,
    json_t *value, void *msg)
{
	uint8_t *at = msg;

	if (json_is_null(value)) {
		if (bind->patch)
			return bind_removal(bind, path);
		if (codec_is_needed(d, field))
			return bind_refuse_field(bind, path, "missing", "this member is required");
		return true; /* null is absent */
	}
	if (codec_is_object(field))
		return bind_pairs(bind, field, path, value, msg, is_patch(d));
	if (json_is_array(value) && json_array_size(value) == 0 &&
	    codec_is_filled(d, field))
		return bind_refuse_field(bind, path, "out_of_range",
		    "at least one is expected");
	if (field->label == PROTOBUF_C_LABEL_REPEATED)
		return bind_array(bind, field, path, value, msg);
	if (!scalar_of(field)->bind(bind, field, path, value, at + field->offset))
		return false;
	if (field->label == PROTOBUF_C_LABEL_OPTIONAL &&
	    field->type != PROTOBUF_C_TYPE_STRING &&
	    field->type != PROTOBUF_C_TYPE_MESSAGE)
		*(protobuf_c_boolean *)(at + field->quantifier_offset) = 1;
	return true;
}

bool
bind_refuse_unknown(struct bind *bind, const ProtobufCMessageDescriptor *d,
    const struct path *path)
{
	/* A key's own attributes are not changed by anybody (contract §4). */
	if (d == &ag__key_update_ask__descriptor &&
	    protobuf_c_message_descriptor_get_field_by_name(&ag__key__descriptor,
	    path->name) != NULL)
		return bind_refuse_member(bind, path, AG_PERMISSION_DENIED,
		    "system_attribute", "this attribute is the system's");
	return bind_refuse_field(bind, path, "unknown_field",
	    bind->query ? "unknown parameter" : "unknown member");
}

static bool
check_required(struct bind *bind, const ProtobufCMessageDescriptor *d,
    const struct path *path, json_t *object)
{
	struct path item = { .up = path };
	unsigned i;

	for (i = 0; i < d->n_fields; i++) {
		if (!codec_is_needed(d, &d->fields[i]) ||
		    json_object_get(object, d->fields[i].name) != NULL)
			continue;
		item.name = d->fields[i].name;
		return bind_refuse_field(bind, &item, "missing",
		    bind->query ? "this parameter is required" :
		    "this member is required");
	}
	return true;
}

static void
say_nulls(const struct bind *bind, const ProtobufCMessageDescriptor *d, void *msg)
{
	const ProtobufCFieldDescriptor *field =
	    protobuf_c_message_descriptor_get_field_by_name(d, "nulls");

	*(size_t *)((uint8_t *)msg + field->quantifier_offset) = bind->null_count;
	*(char ***)((uint8_t *)msg + field->offset) = bind->nulls;
}

void *
bind_object(struct bind *bind, const ProtobufCMessageDescriptor *d,
    const struct path *path, json_t *object)
{
	ProtobufCMessage *msg = pool_alloc(bind->pool, d->sizeof_message);
	const ProtobufCFieldDescriptor *field;
	struct path item = { .up = path };
	const char *key;
	json_t *value;

	if (msg == NULL) {
		bind_refuse_memory(bind);
		return NULL;
	}
	protobuf_c_message_init(d, msg);
	if (is_patch(d))
		bind->patch = true;
	json_object_foreach(object, key, value) {
		item.name = key;
		field = protobuf_c_message_descriptor_get_field_by_name(d, key);
		if (field == NULL || codec_is_read_only(d, field)) {
			bind_refuse_unknown(bind, d, &item);
			return NULL;
		}
		if (!bind_field(bind, d, field, &item, value, msg))
			return NULL;
	}
	if (!check_required(bind, d, path, object))
		return NULL;
	if (is_patch(d) && bind->null_count > 0)
		say_nulls(bind, d, msg);
	return msg;
}

void
codec_set_string(void *msg, const char *name, const char *value)
{
	const ProtobufCMessage *m = msg;
	const ProtobufCFieldDescriptor *field =
	    protobuf_c_message_descriptor_get_field_by_name(m->descriptor, name);

	if (field == NULL || field->type != PROTOBUF_C_TYPE_STRING)
		ag_panic("%s has no string %s", m->descriptor->name, name);
	*(const char **)((uint8_t *)msg + field->offset) = value;
}
