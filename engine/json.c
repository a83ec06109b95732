/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages as JSON, by their descriptors: one printer for everything that
 * leaves the house. jansson writes; nothing here builds text by hand.
 */
#include <aegis/event.h>
#include <aegis/id.h>

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* Members from this number on are for the house only. */
static const struct {
	const ProtobufCMessageDescriptor *message;
	uint32_t hidden_from;
} hidden[] = {
	{ &ag__event__descriptor, 40 },
	{ &ag__recommendation__descriptor, 20 },
	{ &ag__verdict__descriptor, 10 },
};

/* Members that are left out instead of null: a message, or one field of it. */
static const struct {
	const ProtobufCMessageDescriptor *message;
	const char *field; /* NULL: all of them */
} omitted[] = {
	{ &ag__jwk__descriptor, NULL },
	{ &ag__key__descriptor, "honey" },
	{ &ag__principal__descriptor, "revoked" },
};

static uint32_t
hidden_from(const ProtobufCMessageDescriptor *d)
{
	for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++)
		if (hidden[i].message == d)
			return hidden[i].hidden_from;
	return UINT32_MAX;
}

static bool
is_omitted(const ProtobufCMessageDescriptor *d, const char *field)
{
	for (size_t i = 0; i < sizeof(omitted) / sizeof(omitted[0]); i++)
		if (omitted[i].message == d &&
		    (omitted[i].field == NULL ||
		    strcmp(omitted[i].field, field) == 0))
			return true;
	return false;
}

static bool
ends_in(const char *name, const char *end)
{
	size_t n = strlen(name), e = strlen(end);

	return n >= e && strcmp(name + n - e, end) == 0;
}

static bool
is_time(const ProtobufCFieldDescriptor *f)
{
	return f->type == PROTOBUF_C_TYPE_INT64 && (ends_in(f->name, "_at") ||
	    strcmp(f->name, "since") == 0 || strcmp(f->name, "until") == 0 ||
	    strncmp(f->name, "valid_", 6) == 0 ||
	    strcmp(f->name, "issued_after") == 0);
}

static bool
is_pairs(const ProtobufCFieldDescriptor *f)
{
	return f->label == PROTOBUF_C_LABEL_REPEATED &&
	    f->type == PROTOBUF_C_TYPE_MESSAGE &&
	    f->descriptor == (const void *)&ag__pair__descriptor;
}

static json_t *
time_value(int64_t ms)
{
	char text[AG_TIME_TEXT];

	ag_time_text(ms, text);
	return json_string(text);
}

static json_t *
bytes_value(const ProtobufCBinaryData *bytes)
{
	char *text = malloc(ag_base64_size(bytes->len));
	json_t *value;

	if (text == NULL)
		return NULL;
	ag_base64(bytes->data, bytes->len, text);
	value = json_string(text);
	free(text);
	return value;
}

static json_t *
enum_value(const ProtobufCEnumDescriptor *d, int v)
{
	const char *name = ag_enum_name(d, v);

	if (name != NULL && strcmp(name, "generate_data_key") == 0)
		name = "generate-data-key";
	else if (name != NULL && strcmp(name, "mac_verify") == 0)
		name = "mac-verify";
	return name != NULL ? json_string(name) : json_null();
}

static json_t *
string_value(const char *s)
{
	json_t *value = json_string(s);

	/* Not UTF-8: bytes of a peer must not cost the whole answer. */
	return value != NULL ? value : json_string("\xef\xbf\xbd");
}

/* One value at p, whatever its label. */
static json_t *
value_at(const ProtobufCFieldDescriptor *f, const void *p)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
		return json_integer(*(const int32_t *)p);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		return is_time(f) ? time_value(*(const int64_t *)p) :
		    json_integer(*(const int64_t *)p);
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		return json_integer(*(const uint32_t *)p);
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		return json_integer((json_int_t)*(const uint64_t *)p);
	case PROTOBUF_C_TYPE_FLOAT:
		return json_real(*(const float *)p);
	case PROTOBUF_C_TYPE_DOUBLE:
		return json_real(*(const double *)p);
	case PROTOBUF_C_TYPE_BOOL:
		return json_boolean(*(const protobuf_c_boolean *)p);
	case PROTOBUF_C_TYPE_ENUM:
		return enum_value(f->descriptor, *(const int *)p);
	case PROTOBUF_C_TYPE_STRING:
		return string_value(*(char *const *)p);
	case PROTOBUF_C_TYPE_BYTES:
		return bytes_value(p);
	case PROTOBUF_C_TYPE_MESSAGE:
		return ag_json_message(*(ProtobufCMessage *const *)p);
	}
	return NULL;
}

static size_t
size_of(const ProtobufCFieldDescriptor *f)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return 8;
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
	case PROTOBUF_C_TYPE_ENUM:
		return 4;
	}
	return 0;
}

static json_t *
pairs_value(size_t count, Ag__Pair *const *pairs)
{
	json_t *object = json_object();

	for (size_t i = 0; i < count; i++)
		if (json_object_set_new(object, pairs[i]->key,
		    pairs[i]->value != NULL ? string_value(pairs[i]->value) :
		    json_null()) != 0) {
			json_decref(object);
			return NULL;
		}
	return object;
}

static json_t *
list_value(const ProtobufCFieldDescriptor *f, size_t count, const char *items)
{
	json_t *array = json_array();

	for (size_t i = 0; i < count; i++)
		if (json_array_append_new(array,
		    value_at(f, items + i * size_of(f))) != 0) {
			json_decref(array);
			return NULL;
		}
	return array;
}

static bool
is_there(const ProtobufCFieldDescriptor *f, const char *base)
{
	const char *p = base + f->offset;

	if (f->label == PROTOBUF_C_LABEL_REQUIRED)
		return true;
	if (f->type == PROTOBUF_C_TYPE_STRING ||
	    f->type == PROTOBUF_C_TYPE_MESSAGE)
		return *(void *const *)p != NULL;
	return *(const protobuf_c_boolean *)(base + f->quantifier_offset);
}

static json_t *
field_value(const ProtobufCFieldDescriptor *f, const char *base)
{
	const char *p = base + f->offset;
	size_t count;

	if (f->label != PROTOBUF_C_LABEL_REPEATED)
		return is_there(f, base) ? value_at(f, p) : json_null();
	count = *(const size_t *)(const void *)(base + f->quantifier_offset);
	if (is_pairs(f))
		return pairs_value(count, *(Ag__Pair *const *const *)
		    (const void *)p);
	return list_value(f, count, *(char *const *)(const void *)p);
}

json_t *
ag_json_message(const ProtobufCMessage *msg)
{
	const ProtobufCMessageDescriptor *d = msg->descriptor;
	uint32_t limit = hidden_from(d);
	json_t *object = json_object();

	for (unsigned i = 0; i < d->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &d->fields[i];
		const char *base = (const char *)msg;

		if (f->id >= limit || (f->label != PROTOBUF_C_LABEL_REPEATED &&
		    !is_there(f, base) && is_omitted(d, f->name)))
			continue;
		/* Our own names are UTF-8. */
		if (json_object_set_new_nocheck(object, f->name,
		    field_value(f, base)) != 0) {
			json_decref(object);
			return NULL;
		}
	}
	return object;
}
