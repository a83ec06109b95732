/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages to JSON, and what both directions know of a field: which fields
 * are times, hidden, left out, or not the client's to set.
 */
#include "codec.h"

#include <aegis/id.h>

#include <string.h>

struct quirk {
	const ProtobufCMessageDescriptor *d;
	const char *field; /* NULL: every one */
};

static const struct {
	const ProtobufCMessageDescriptor *d;
	unsigned from; /* field number */
} hidden[] = {
	{ &ag__event__descriptor, 40 },
	{ &ag__recommendation__descriptor, 20 },
	{ &ag__verdict__descriptor, 10 },
	{ &ag__approval__descriptor, 40 },
	{ &ag__break_glass__descriptor, 40 },
	{ &ag__access__descriptor, 40 },
	{ &ag__agent__descriptor, 40 },
};

static const struct quirk omitted[] = {
	{ &ag__jwk__descriptor, NULL },
	{ &ag__key__descriptor, "honey" },
	{ &ag__key__descriptor, "versions" }, /* in lists; a key has at least one */
	{ &ag__principal__descriptor, "revoked" },
	{ &ag__encrypt_reply__descriptor, "iv_b64" }, /* raw adds them */
	{ &ag__encrypt_reply__descriptor, "tag_b64" },
	{ &ag__token_introspect_reply__descriptor, NULL }, /* RFC 7662 §2.2 */
};

static const struct quirk read_only[] = {
	{ &ag__rotation__descriptor, "next_at" },
	{ &ag__role_grant_ask__descriptor, "role" },
	{ &ag__webauthn_remove_ask__descriptor, "credential" },
	{ &ag__key_update_ask__descriptor, "nulls" },
	{ &ag__principal_update_ask__descriptor, "nulls" },
	{ &ag__callback_ask__descriptor, "body" },
	{ &ag__callback_ask__descriptor, "signature" },
	{ &ag__callback_ask__descriptor, "timestamp" },
};

/* Lists that say something else when they are left out than when empty. */
static const struct quirk filled[] = {
	{ &ag__agent_issue_ask__descriptor, "scopes" },
	{ &ag__agent_issue_ask__descriptor, "source_cidrs" },
	{ &ag__token_issue_ask__descriptor, "scopes" },
	{ &ag__access_ask__descriptor, "scopes" },
	{ &ag__key_create_ask__descriptor, "usage" },
	{ &ag__key_import_ask__descriptor, "usage" },
};

/* And those that must be there, as a list of a message cannot say of itself. */
static const struct quirk needed[] = {
	{ &ag__role_set_ask__descriptor, "scopes" },
	{ &ag__access_ask__descriptor, "scopes" },
};

static const char *const time_names[] = { "since", "until", "valid_from",
	"valid_until", "issued_after" };

static bool
quirk_has(const struct quirk *list, size_t n, const ProtobufCMessageDescriptor *d,
    const ProtobufCFieldDescriptor *field)
{
	for (; n > 0; n--, list++)
		if (list->d == d &&
		    (list->field == NULL || strcmp(list->field, field->name) == 0))
			return true;
	return false;
}
#define QUIRK(list, d, field) \
	quirk_has(list, sizeof(list) / sizeof(list[0]), d, field)

bool
codec_is_time(const ProtobufCFieldDescriptor *field)
{
	size_t len = strlen(field->name), i;

	if (field->type != PROTOBUF_C_TYPE_INT64)
		return false;
	if (len > 3 && strcmp(field->name + len - 3, "_at") == 0)
		return true;
	for (i = 0; i < sizeof(time_names) / sizeof(time_names[0]); i++)
		if (strcmp(field->name, time_names[i]) == 0)
			return true;
	return false;
}

bool
codec_is_object(const ProtobufCFieldDescriptor *field)
{
	return field->label == PROTOBUF_C_LABEL_REPEATED &&
	    field->descriptor == &ag__pair__descriptor;
}

bool
codec_is_hidden(const ProtobufCMessageDescriptor *d,
    const ProtobufCFieldDescriptor *field)
{
	size_t i;

	for (i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++)
		if (hidden[i].d == d)
			return field->id >= hidden[i].from;
	return false;
}

bool
codec_is_omitted(const ProtobufCMessageDescriptor *d,
    const ProtobufCFieldDescriptor *field)
{
	return QUIRK(omitted, d, field);
}

bool
codec_is_read_only(const ProtobufCMessageDescriptor *d,
    const ProtobufCFieldDescriptor *field)
{
	return QUIRK(read_only, d, field);
}

bool
codec_is_filled(const ProtobufCMessageDescriptor *d,
    const ProtobufCFieldDescriptor *field)
{
	return QUIRK(filled, d, field);
}

bool
codec_is_needed(const ProtobufCMessageDescriptor *d,
    const ProtobufCFieldDescriptor *field)
{
	return field->label == PROTOBUF_C_LABEL_REQUIRED ||
	    QUIRK(needed, d, field);
}

const char *
codec_enum_text(const ProtobufCEnumDescriptor *d, int value)
{
	const char *name;

	if (d == &ag__usage__v__descriptor) {
		if (value == AG__USAGE__V__generate_data_key)
			return "generate-data-key";
		if (value == AG__USAGE__V__mac_verify)
			return "mac-verify";
	}
	name = ag_enum_name(d, value);
	return name == NULL ? "" : name;
}

/* ---------------------------------------------------------------- printing */

static void
print_time(struct text *out, int64_t ms)
{
	char text[AG_TIME_TEXT];

	ag_time_text(ms, text);
	text_char(out, '"');
	text_str(out, text);
	text_char(out, '"');
}

static void
print_one(struct text *out, const ProtobufCFieldDescriptor *field,
    const uint8_t *at)
{
	const ProtobufCBinaryData *data = (const void *)at;

	switch (field->type) {
	case PROTOBUF_C_TYPE_UINT32:
		text_u64(out, *(const uint32_t *)(const void *)at);
		break;
	case PROTOBUF_C_TYPE_SINT32:
		text_i64(out, *(const int32_t *)(const void *)at);
		break;
	case PROTOBUF_C_TYPE_UINT64:
		text_u64(out, *(const uint64_t *)(const void *)at);
		break;
	case PROTOBUF_C_TYPE_INT64:
		if (codec_is_time(field))
			print_time(out, *(const int64_t *)(const void *)at);
		else
			text_i64(out, *(const int64_t *)(const void *)at);
		break;
	case PROTOBUF_C_TYPE_DOUBLE:
		text_number(out, *(const double *)(const void *)at);
		break;
	case PROTOBUF_C_TYPE_BOOL:
		text_str(out, *(const protobuf_c_boolean *)(const void *)at ?
		    "true" : "false");
		break;
	case PROTOBUF_C_TYPE_ENUM:
		text_json(out, codec_enum_text(field->descriptor,
		    *(const int *)(const void *)at));
		break;
	case PROTOBUF_C_TYPE_STRING:
		text_json(out, *(char *const *)(const void *)at);
		break;
	case PROTOBUF_C_TYPE_BYTES:
		text_base64(out, data->data, data->len);
		break;
	case PROTOBUF_C_TYPE_MESSAGE:
		codec_print(out, *(void *const *)(const void *)at);
		break;
	default: /* types that our messages do not use */
		ag_panic("no JSON form for field %s", field->name);
	}
}

static bool
is_present(const ProtobufCFieldDescriptor *field, const uint8_t *msg)
{
	if (field->label == PROTOBUF_C_LABEL_REPEATED)
		return *(const size_t *)(const void *)(msg + field->quantifier_offset) > 0;
	if (field->type == PROTOBUF_C_TYPE_STRING ||
	    field->type == PROTOBUF_C_TYPE_MESSAGE)
		return *(void *const *)(const void *)(msg + field->offset) != NULL;
	return field->label == PROTOBUF_C_LABEL_REQUIRED ||
	    *(const protobuf_c_boolean *)(const void *)
	    (msg + field->quantifier_offset);
}

static size_t
element_size(const ProtobufCFieldDescriptor *field)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_ENUM:
		return sizeof(uint32_t);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	default: /* 64-bit numbers and pointers */
		return sizeof(uint64_t);
	}
}

static void
print_pairs(struct text *out, Ag__Pair *const *pairs, size_t n)
{
	size_t i;

	text_char(out, '{');
	for (i = 0; i < n; i++) {
		if (i > 0)
			text_char(out, ',');
		text_json(out, pairs[i]->key);
		text_char(out, ':');
		text_json(out, pairs[i]->value);
	}
	text_char(out, '}');
}

static void
print_repeated(struct text *out, const ProtobufCFieldDescriptor *field,
    const uint8_t *msg)
{
	size_t n = *(const size_t *)(const void *)(msg + field->quantifier_offset);
	const uint8_t *list = *(uint8_t *const *)(const void *)(msg + field->offset);
	size_t i, size = element_size(field);

	if (codec_is_object(field)) {
		print_pairs(out, (Ag__Pair *const *)(const void *)list, n);
		return;
	}
	text_char(out, '[');
	for (i = 0; i < n; i++) {
		if (i > 0)
			text_char(out, ',');
		print_one(out, field, list + i * size);
	}
	text_char(out, ']');
}

/* An item's answer, bare, or {error:{code,reason_code,detail}}. */
static void
print_batch_result(struct text *out, const Ag__BatchResult *result)
{
	const ProtobufCMessage *const answers[] = {
		(const void *)result->sign, (const void *)result->verify,
		(const void *)result->encrypt, (const void *)result->decrypt,
	};
	size_t i;

	for (i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
		if (answers[i] != NULL) {
			codec_print(out, answers[i]);
			return;
		}
	text_str(out, "{\"error\":{\"code\":");
	if (result->error == NULL) {
		text_str(out, "\"GeneralFailure\",\"reason_code\":null,\"detail\":null}}");
		return;
	}
	text_json(out, ag_err_row((ag_err)result->error->err)->code);
	text_str(out, ",\"reason_code\":");
	text_json(out, result->error->reason_code);
	text_str(out, ",\"detail\":");
	text_json(out, result->error->detail);
	text_str(out, "}}");
}

void
codec_print(struct text *out, const void *msg)
{
	const ProtobufCMessageDescriptor *d =
	    ((const ProtobufCMessage *)msg)->descriptor;
	const ProtobufCFieldDescriptor *field;
	bool first = true, present;
	unsigned i;

	if (d == &ag__batch_result__descriptor) {
		print_batch_result(out, msg);
		return;
	}
	text_char(out, '{');
	for (i = 0; i < d->n_fields; i++) {
		field = &d->fields[i];
		present = is_present(field, msg);
		if (codec_is_hidden(d, field) ||
		    (!present && codec_is_omitted(d, field)))
			continue;
		text_str(out, first ? "\"" : ",\"");
		first = false;
		text_str(out, field->name);
		text_str(out, "\":");
		if (field->label == PROTOBUF_C_LABEL_REPEATED)
			print_repeated(out, field, msg);
		else if (present)
			print_one(out, field, (const uint8_t *)msg + field->offset);
		else
			text_str(out, "null");
	}
	text_char(out, '}');
}
