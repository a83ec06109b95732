/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON Schema 2020-12, printed from the messages' descriptors: so it cannot be
 * wrong about which members and words there are.
 */
#include "schema.h"

#include <string.h>

static bool
ends_with(const char *text, const char *tail)
{
	size_t len = strlen(text), tail_len = strlen(tail);

	return len >= tail_len && strcmp(text + len - tail_len, tail) == 0;
}

/* "Key", "KeyCreateAsk"; "RotationInput" for what clients send of a message
 * that answers have, too. */
static void
print_name(struct text *out, const ProtobufCMessageDescriptor *d, bool input)
{
	text_str(out, d->short_name);
	if (input && !ends_with(d->short_name, "Ask"))
		text_str(out, "Input");
}

void
schema_ref(struct text *out, struct schemas *schemas,
    const ProtobufCMessageDescriptor *d, bool input)
{
	unsigned i = 0;

	while (i < schemas->count &&
	    (schemas->rows[i].d != d || schemas->rows[i].input != input))
		i++;
	if (i == schemas->count) {
		if (i == SCHEMAS_MAX)
			ag_panic("SCHEMAS_MAX is too small");
		schemas->rows[i].d = d;
		schemas->rows[i].input = input;
		schemas->count++;
	}
	text_printf(out, "{\"$ref\":\"%s", schemas->at);
	print_name(out, d, input);
	text_str(out, "\"}");
}

/* ---------------------------------------------------------------- schemas */

static void
print_enum(struct text *out, const ProtobufCEnumDescriptor *d, bool nullable)
{
	unsigned i;

	text_str(out, "\"enum\":[");
	for (i = 0; i < d->n_values; i++) {
		text_str(out, i == 0 ? "" : ",");
		text_json(out, codec_enum_text(d, d->values[i].value));
	}
	text_str(out, nullable ? ",null]" : "]");
}

static void
print_type(struct text *out, const char *type, bool nullable, const char *more)
{
	if (nullable)
		text_printf(out, "\"type\":[\"%s\",\"null\"]%s", type, more);
	else
		text_printf(out, "\"type\":\"%s\"%s", type, more);
}

/* The members of a scalar's schema object, without braces. */
void
schema_scalar(struct text *out, const ProtobufCFieldDescriptor *field, bool null)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_UINT64:
		print_type(out, "integer", null, ",\"minimum\":0");
		break;
	case PROTOBUF_C_TYPE_INT64:
		if (codec_is_time(field))
			print_type(out, "string", null, ",\"format\":\"date-time\"");
		else
			print_type(out, "integer", null, "");
		break;
	case PROTOBUF_C_TYPE_SINT32:
		print_type(out, "integer", null, "");
		break;
	case PROTOBUF_C_TYPE_DOUBLE:
		print_type(out, "number", null, "");
		break;
	case PROTOBUF_C_TYPE_BOOL:
		print_type(out, "boolean", null, "");
		break;
	case PROTOBUF_C_TYPE_ENUM:
		print_type(out, "string", null, ",");
		print_enum(out, field->descriptor, null);
		break;
	case PROTOBUF_C_TYPE_BYTES:
		print_type(out, "string", null, ",\"contentEncoding\":\"base64\"");
		break;
	default: /* strings */
		print_type(out, "string", null, "");
		break;
	}
}

static void
print_element(struct text *out, struct schemas *schemas,
    const ProtobufCFieldDescriptor *field, bool input, bool null)
{
	if (field->type == PROTOBUF_C_TYPE_MESSAGE && null) {
		text_str(out, "{\"anyOf\":[");
		schema_ref(out, schemas, field->descriptor, input);
		text_str(out, ",{\"type\":\"null\"}]}");
	} else if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
		schema_ref(out, schemas, field->descriptor, input);
	} else {
		text_char(out, '{');
		schema_scalar(out, field, null);
		text_char(out, '}');
	}
}

static void
print_property(struct text *out, struct schemas *schemas,
    const ProtobufCMessageDescriptor *d, const ProtobufCFieldDescriptor *field,
    bool input)
{
	text_printf(out, "\"%s\":", field->name);
	if (codec_is_object(field)) {
		text_str(out, "{\"type\":\"object\",\"additionalProperties\":"
		    "{\"type\":[\"string\",\"null\"]}}");
	} else if (field->label == PROTOBUF_C_LABEL_REPEATED) {
		text_printf(out, "{\"type\":\"array\",%s\"items\":",
		    input && codec_is_filled(d, field) ? "\"minItems\":1," : "");
		print_element(out, schemas, field, input, false);
		text_char(out, '}');
	} else {
		print_element(out, schemas, field, input,
		    field->label == PROTOBUF_C_LABEL_OPTIONAL);
	}
}

static bool
is_shown(const ProtobufCMessageDescriptor *d,
    const ProtobufCFieldDescriptor *field, bool input)
{
	return input ? !codec_is_read_only(d, field) : !codec_is_hidden(d, field);
}

static bool
is_left_out(const char *const *without, const char *name)
{
	for (; without != NULL && *without != NULL; without++)
		if (strcmp(*without, name) == 0)
			return true;
	return false;
}

void
schema_members(struct text *out, struct schemas *schemas,
    const ProtobufCMessageDescriptor *d, bool input, const char *const *without,
    const char *comma)
{
	unsigned i;

	for (i = 0; i < d->n_fields; i++) {
		if (!is_shown(d, &d->fields[i], input) ||
		    is_left_out(without, d->fields[i].name))
			continue;
		text_str(out, comma);
		print_property(out, schemas, d, &d->fields[i], input);
		comma = ",";
	}
}

void
schema_required(struct text *out, const ProtobufCMessageDescriptor *d,
    bool input, const char *const *without, const char *comma)
{
	unsigned i;

	for (i = 0; i < d->n_fields; i++) {
		/* Answers say null rather than nothing. */
		if (!is_shown(d, &d->fields[i], input) ||
		    is_left_out(without, d->fields[i].name) || (input ?
		    !codec_is_needed(d, &d->fields[i]) :
		    codec_is_omitted(d, &d->fields[i])))
			continue;
		text_printf(out, "%s\"%s\"", comma, d->fields[i].name);
		comma = ",";
	}
}

static void
print_batch(struct text *out, struct schemas *schemas, bool input)
{
	static const ProtobufCMessageDescriptor *const asks[] = {
		&ag__sign_ask__descriptor, &ag__verify_ask__descriptor,
		&ag__encrypt_ask__descriptor, &ag__decrypt_ask__descriptor };
	static const ProtobufCMessageDescriptor *const replies[] = {
		&ag__sign_reply__descriptor, &ag__verify_reply__descriptor,
		&ag__encrypt_reply__descriptor, &ag__decrypt_reply__descriptor };
	unsigned i;

	if (input)
		text_printf(out, "{\"type\":\"object\",\"additionalProperties\":false,"
		    "\"required\":[\"operation\",\"items\"],\"properties\":{"
		    "\"operation\":{\"type\":\"string\",\"enum\":[\"sign\",\"verify\","
		    "\"encrypt\",\"decrypt\"]},\"items\":{\"type\":\"array\","
		    "\"minItems\":1,\"maxItems\":%d,\"items\":", CODEC_BATCH_MAX);
	text_str(out, "{\"anyOf\":[");
	for (i = 0; i < 4; i++) {
		text_str(out, i == 0 ? "" : ",");
		schema_ref(out, schemas, input ? asks[i] : replies[i], input);
	}
	text_str(out, input ? "]}}}}" : ",{\"type\":\"object\",\"required\":"
	    "[\"error\"],\"properties\":{\"error\":{\"type\":\"object\","
	    "\"properties\":{\"code\":{\"type\":\"string\"},\"reason_code\":"
	    "{\"type\":[\"string\",\"null\"]},\"detail\":"
	    "{\"type\":[\"string\",\"null\"]}}}}}]}");
}

static void
print_ahead(struct text *out)
{
	text_str(out, "{\"type\":\"object\",\"additionalProperties\":false,"
	    "\"required\":[\"operation\",\"reason\"],\"properties\":{"
	    "\"operation\":{\"type\":\"string\"},"
	    "\"resource\":{\"type\":[\"string\",\"null\"]},"
	    "\"request\":{\"type\":\"object\"},"
	    "\"reason\":{\"type\":\"string\"}}}");
}

void
schema_define(struct text *out, struct schemas *schemas,
    const ProtobufCMessageDescriptor *d, bool input)
{
	text_char(out, '"');
	print_name(out, d, input);
	text_str(out, "\":");
	if (d == &ag__batch_ask__descriptor || d == &ag__batch_result__descriptor) {
		print_batch(out, schemas, input);
		return;
	}
	if (d == &ag__approval_request_ask__descriptor) {
		print_ahead(out);
		return;
	}
	text_str(out, "{\"type\":\"object\",\"properties\":{");
	schema_members(out, schemas, d, input, NULL, "");
	text_str(out, "},\"required\":[");
	schema_required(out, d, input, NULL, "");
	text_str(out, input ? "],\"additionalProperties\":false}" : "]}");
}
