/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages as JSON, by their descriptors: one printer for everything that
 * leaves the house. It appends text as it goes; what is not as plain as it
 * looks (escapes, characters beyond ASCII, fractions, a name that comes twice)
 * jansson writes, in its place.
 */
#include "engine.h"

#include <aegis/event.h>
#include <aegis/id.h>

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	TEXT_FIRST_BYTES = 2048, /* most events fit */
	NUMBER_MAX = 20,         /* characters of an int64_t */
	PAIRS_MAX = 32,          /* whose names are compared with each other here */
	FORM = JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15),
};

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

/* -------------------------------------------------------------------- text */

struct text {
	char *bytes;
	size_t len, cap;
	bool lost; /* no memory, or there is no JSON for it */
};

/* Where so many bytes may be put; NULL: lost. */
static char *
room(struct text *t, size_t bytes)
{
	size_t cap = t->cap;
	char *grown;

	if (bytes <= t->cap - t->len)
		return t->bytes + t->len;
	while (cap - t->len < bytes)
		cap *= 2;
	if ((grown = realloc(t->bytes, cap)) == NULL) {
		t->lost = true;
		return NULL;
	}
	t->bytes = grown;
	t->cap = cap;
	return t->bytes + t->len;
}

static void
put(struct text *t, const char *bytes, size_t len)
{
	char *at = room(t, len);

	if (at == NULL)
		return;
	memcpy(at, bytes, len);
	t->len += len;
}

#define PUT(t, literal) put(t, literal, sizeof(literal) - 1)

/* By jansson; takes the value. */
static void
put_json(struct text *t, json_t *value)
{
	size_t left = t->cap - t->len;
	size_t n = value == NULL ? 0 :
	    json_dumpb(value, t->bytes + t->len, left, FORM);

	if (n > left && room(t, n) != NULL)
		n = json_dumpb(value, t->bytes + t->len, n, FORM);
	json_decref(value);
	if (n == 0)
		t->lost = true;
	if (!t->lost)
		t->len += n;
}

/* ------------------------------------------------------------------ values */

static void
put_number(struct text *t, int64_t v)
{
	uint64_t left = v < 0 ? -(uint64_t)v : (uint64_t)v;
	char digits[NUMBER_MAX];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + left % 10);
		left /= 10;
	} while (left != 0);
	if (v < 0)
		digits[--at] = '-';
	put(t, digits + at, sizeof(digits) - at);
}

static void
put_real(struct text *t, double v)
{
	if (v == 0 && !signbit(v))
		PUT(t, "0.0"); /* most factors of a score */
	else
		put_json(t, json_real(v));
}

static bool
is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

static json_t *
string_value(const char *s)
{
	json_t *value = json_string(s);

	/* Not UTF-8: bytes of a peer must not cost the whole answer. */
	return value != NULL ? value : json_string("\xef\xbf\xbd");
}

static void
put_string(struct text *t, const char *s)
{
	size_t len = s == NULL ? 0 : strlen(s), n = 0;
	char *at = room(t, len + 2);

	if (at == NULL)
		return;
	at[0] = '"';
	for (; n < len && is_plain((unsigned char)s[n]); n++)
		at[n + 1] = s[n];
	if (s == NULL || n < len) {
		put_json(t, string_value(s));
		return;
	}
	at[len + 1] = '"';
	t->len += len + 2;
}

static void
put_time(struct text *t, int64_t ms)
{
	char text[AG_TIME_TEXT];

	ag_time_text(ms, text);
	put_string(t, text);
}

static void
put_bytes(struct text *t, const ProtobufCBinaryData *bytes)
{
	size_t size = ag_base64_size(bytes->len);
	char *at = room(t, size + 2);

	if (at == NULL)
		return;
	at[0] = '"';
	ag_base64(bytes->data, bytes->len, at + 1);
	at[size] = '"'; /* the NUL's place */
	t->len += size + 1;
}

static void
put_enum(struct text *t, const ProtobufCEnumDescriptor *d, int v)
{
	const char *name = ag_enum_name(d, v);

	if (name != NULL && strcmp(name, "generate_data_key") == 0)
		name = "generate-data-key";
	else if (name != NULL && strcmp(name, "mac_verify") == 0)
		name = "mac-verify";
	if (name != NULL)
		put_string(t, name);
	else
		PUT(t, "null");
}

static void put_message(struct text *t, const ProtobufCMessage *msg);

/* One value at p, whatever its label. */
static void
put_value(struct text *t, const ProtobufCFieldDescriptor *f, const void *p)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
		put_number(t, *(const int32_t *)p);
		break;
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		if (is_time(f))
			put_time(t, *(const int64_t *)p);
		else
			put_number(t, *(const int64_t *)p);
		break;
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		put_number(t, *(const uint32_t *)p);
		break;
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		put_number(t, (int64_t)*(const uint64_t *)p);
		break;
	case PROTOBUF_C_TYPE_FLOAT:
		put_real(t, *(const float *)p);
		break;
	case PROTOBUF_C_TYPE_DOUBLE:
		put_real(t, *(const double *)p);
		break;
	case PROTOBUF_C_TYPE_BOOL:
		if (*(const protobuf_c_boolean *)p)
			PUT(t, "true");
		else
			PUT(t, "false");
		break;
	case PROTOBUF_C_TYPE_ENUM:
		put_enum(t, f->descriptor, *(const int *)p);
		break;
	case PROTOBUF_C_TYPE_STRING:
		put_string(t, *(char *const *)p);
		break;
	case PROTOBUF_C_TYPE_BYTES:
		put_bytes(t, p);
		break;
	case PROTOBUF_C_TYPE_MESSAGE:
		put_message(t, *(ProtobufCMessage *const *)p);
		break;
	}
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

/* ----------------------------------------------------------------- messages */

/* Names that no object would take together, or as they are, are jansson's. */
static bool
are_names_plain(size_t count, Ag__Pair *const *pairs)
{
	if (count > PAIRS_MAX)
		return false;
	for (size_t i = 0; i < count; i++) {
		const char *name = pairs[i]->key;

		for (const char *c = name; *c != '\0'; c++)
			if (!is_plain((unsigned char)*c))
				return false;
		for (size_t k = 0; k < i; k++)
			if (strcmp(pairs[k]->key, name) == 0)
				return false;
	}
	return true;
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

static void
put_pairs(struct text *t, size_t count, Ag__Pair *const *pairs)
{
	if (!are_names_plain(count, pairs)) {
		put_json(t, pairs_value(count, pairs));
		return;
	}
	PUT(t, "{");
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			PUT(t, ",");
		put_string(t, pairs[i]->key);
		PUT(t, ":");
		if (pairs[i]->value != NULL)
			put_string(t, pairs[i]->value);
		else
			PUT(t, "null");
	}
	PUT(t, "}");
}

static void
put_list(struct text *t, const ProtobufCFieldDescriptor *f, size_t count,
    const char *items)
{
	PUT(t, "[");
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			PUT(t, ",");
		put_value(t, f, items + i * size_of(f));
	}
	PUT(t, "]");
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

static void
put_field(struct text *t, const ProtobufCFieldDescriptor *f, const char *base)
{
	const char *p = base + f->offset;
	size_t count;

	if (f->label != PROTOBUF_C_LABEL_REPEATED) {
		if (is_there(f, base))
			put_value(t, f, p);
		else
			PUT(t, "null");
		return;
	}
	count = *(const size_t *)(const void *)(base + f->quantifier_offset);
	if (is_pairs(f))
		put_pairs(t, count, *(Ag__Pair *const *const *)(const void *)p);
	else
		put_list(t, f, count, *(char *const *)(const void *)p);
}

/* `,"name":`; our own names are plain. */
static void
put_name(struct text *t, const char *name, bool first)
{
	size_t len = strlen(name);
	char *at = room(t, len + 4);

	if (at == NULL)
		return;
	if (!first)
		*at++ = ',';
	*at++ = '"';
	at = mempcpy(at, name, len);
	*at++ = '"';
	*at++ = ':';
	t->len = (size_t)(at - t->bytes);
}

static void
put_message(struct text *t, const ProtobufCMessage *msg)
{
	const ProtobufCMessageDescriptor *d = msg->descriptor;
	const char *base = (const char *)msg;
	uint32_t limit = hidden_from(d);
	bool first = true;

	PUT(t, "{");
	for (unsigned i = 0; i < d->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &d->fields[i];

		if (f->id >= limit || (f->label != PROTOBUF_C_LABEL_REPEATED &&
		    !is_there(f, base) && is_omitted(d, f->name)))
			continue;
		put_name(t, f->name, first);
		put_field(t, f, base);
		first = false;
	}
	PUT(t, "}");
}

ag_err
ag_json_text(const ProtobufCMessage *msg, char **out)
{
	struct text t = { .bytes = malloc(TEXT_FIRST_BYTES),
		.cap = TEXT_FIRST_BYTES };

	*out = NULL;
	if (t.bytes == NULL)
		return AG_NO_MEMORY;
	put_message(&t, msg);
	put(&t, "", 1);
	if (t.lost) {
		free(t.bytes);
		return AG_NO_MEMORY;
	}
	*out = t.bytes;
	return AG_OK;
}

json_t *
ag_json_message(const ProtobufCMessage *msg)
{
	char *text;
	json_t *value;

	if (ag_json_text(msg, &text) != AG_OK)
		return NULL;
	value = json_loads(text, 0, NULL);
	free(text);
	return value;
}
