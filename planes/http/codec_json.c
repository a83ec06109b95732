/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole bodies and queries to messages: jansson with the request's pool under
 * it, depth, duplicates, batches.
 */
#include "bind.h"

#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

/* jansson's allocator has no argument. */
static struct pool *json_pool;

static void *
json_from_pool(size_t size)
{
	return pool_alloc(json_pool, size);
}

static void
json_to_pool(void *p)
{
	(void)p; /* goes with the pool */
}

void
codec_init(void)
{
	size_t seed = 0;

	if (RAND_bytes((unsigned char *)&seed, sizeof(seed)) != 1)
		ag_panic("no random bytes");
	json_object_seed(seed | 1); /* or else jansson opens /dev/urandom, later */
}

/* jansson allocates from the pool while one request is bound, and not beyond:
 * others in this process may use it, too. */
static void
pool_enter(struct pool *pool)
{
	json_pool = pool;
	json_set_alloc_funcs(json_from_pool, json_to_pool);
}

static void
pool_leave(void)
{
	json_pool = NULL;
	json_set_alloc_funcs(malloc, free);
}

/* ------------------------------------------------------------------ batch */

/* {operation, items} → the repeated field of that operation. */
static void *
bind_batch(struct bind *bind, json_t *object, struct codec_batch *batch)
{
	static const struct path root;
	const struct path items_path = { .up = &root, .name = "items" };
	json_t *items = json_object_get(object, "items");
	json_t *rest = json_object(), *op = json_object_get(object, "operation");
	const ProtobufCMessageDescriptor *d = &ag__batch_ask__descriptor;
	const ProtobufCFieldDescriptor *field;
	struct path item = { .up = &root };
	Ag__BatchAsk *msg;
	const char *key;
	json_t *value;

	json_object_foreach(object, key, value) {
		item.name = key;
		if (strcmp(key, "items") != 0 && strcmp(key, "operation") != 0) {
			bind_refuse_unknown(bind, d, &item);
			return NULL;
		}
	}
	if (op != NULL)
		json_object_set(rest, "operation", op);
	if ((msg = bind_object(bind, d, &root, rest)) == NULL)
		return NULL;
	field = protobuf_c_message_descriptor_get_field_by_name(d,
	    codec_enum_text(&ag__usage__v__descriptor, (int)msg->operation));
	item.name = "operation";
	if (field == NULL) {
		bind_refuse_field(bind, &item, "unknown_value",
		    "sign, verify, encrypt or decrypt");
		return NULL;
	}
	if (items == NULL || json_is_null(items)) {
		bind_refuse_field(bind, &items_path, "missing", "this member is required");
		return NULL;
	}
	if (json_is_array(items) && json_array_size(items) > CODEC_BATCH_MAX) {
		bind_refuse_member(bind, &items_path, AG_REQUEST_TOO_LARGE, "batch",
		    "1 to 10000 items");
		return NULL;
	}
	if (json_is_array(items) && json_array_size(items) == 0) {
		bind_refuse_field(bind, &items_path, "out_of_range", "1 to 10000 items");
		return NULL;
	}
	if (!bind_array(bind, field, &items_path, items, msg))
		return NULL;
	batch->items = (unsigned)json_array_size(items);
	batch->scope_op = field->name;
	return msg;
}

/* ------------------------------------------------------------------- ahead */

/* {operation, resource, request, reason}: request as a body of that operation,
 * and in its bytes, so that whoever makes the request later makes the same. */
static void *
bind_ahead(struct bind *bind, json_t *object)
{
	static const struct path root;
	const struct path op_path = { .up = &root, .name = "operation" };
	const struct path request_path = { .up = &root, .name = "request" };
	json_t *request = json_incref(json_object_get(object, "request"));
	const struct ag_operation *op;
	Ag__ApprovalRequestAsk *msg;
	ProtobufCMessage *body;

	json_object_del(object, "request");
	msg = bind_object(bind, &ag__approval_request_ask__descriptor, &root,
	    object);
	if (msg == NULL)
		return NULL;
	op = ag_operation_named(msg->operation);
	if (op == NULL || (op->flags & (AG_OP_EITEM | AG_OP_STREAM)) != 0) {
		bind_refuse_field(bind, &op_path, "unknown_value",
		    "an operation that people can be asked about, as key.decrypt");
		return NULL;
	}
	if (request == NULL)
		request = json_object();
	if (!json_is_object(request)) {
		bind_refuse_field(bind, &request_path, "wrong_type",
		    "an object, as the body of the request");
		return NULL;
	}
	if ((body = bind_object(bind, op->ask, &request_path, request)) == NULL)
		return NULL;
	/* Of a patch: named as from its own root. */
	for (size_t i = 0; i < bind->null_count; i++)
		bind->nulls[i] += strlen("/request");
	msg->has_request = true;
	msg->request.len = protobuf_c_message_get_packed_size(body);
	msg->request.data = pool_alloc(bind->pool, msg->request.len + 1);
	if (msg->request.data == NULL) {
		bind_refuse_memory(bind);
		return NULL;
	}
	protobuf_c_message_pack(body, msg->request.data);
	return msg;
}

/* ------------------------------------------------------------------ bodies */

/* jansson recurses and allows 2048 levels; so the depth is counted first. */
static bool
depth_ok(const uint8_t *body, size_t len)
{
	bool in_string = false;
	unsigned depth = 0;
	size_t i;

	for (i = 0; i < len; i++) {
		if (in_string) {
			if (body[i] == '\\')
				i++;
			else
				in_string = body[i] != '"';
			continue;
		}
		in_string = body[i] == '"';
		if (body[i] == '{' || body[i] == '[')
			depth++;
		else if ((body[i] == '}' || body[i] == ']') && depth > 0)
			depth--;
		if (depth > CODEC_DEPTH_MAX)
			return false;
	}
	return true;
}

static void
refuse_json(struct bind *bind, const json_error_t *error)
{
	const char *reason = "json";

	switch (json_error_code(error)) {
	case json_error_invalid_utf8:
		reason = "utf8";
		break;
	case json_error_duplicate_key:
		reason = "duplicate_member";
		break;
	case json_error_stack_overflow:
		reason = "depth";
		break;
	case json_error_numeric_overflow:
		refuse_set(bind->refuse, AG_INVALID_FIELD, "out_of_range", NULL,
		    "the number at line %d column %d is too large", error->line,
		    error->column);
		return;
	default: /* jansson's list is open */
		break;
	}
	/* Position only: the text quotes the body, which may hold a secret. */
	refuse_set(bind->refuse, AG_MALFORMED_REQUEST, reason, NULL,
	    "the body is not JSON as expected, line %d column %d",
	    error->line, error->column);
}

/* With what is long and plain lifted out of it; NULL: load it as it is, be it
 * for the words to refuse it with. */
static json_t *
load_lifted(struct bind *bind, const uint8_t *body, size_t len)
{
	const struct lift *lift = &bind->lift;
	json_t *object = NULL;

	if (lift_out(bind->pool, body, len, &bind->lift) &&
	    depth_ok((const uint8_t *)lift->text, lift->len))
		object = json_loadb(lift->text, lift->len, JSON_REJECT_DUPLICATES,
		    NULL);
	if (json_is_object(object))
		return object;
	bind->lift.count = 0;
	return NULL;
}

/* A JSON object in the pool; NULL: refused. */
static json_t *
load(struct bind *bind, const uint8_t *body, size_t len)
{
	json_error_t error;
	json_t *object;

	if (!depth_ok(body, len)) {
		refuse_set(bind->refuse, AG_MALFORMED_REQUEST, "depth", NULL,
		    "the body is nested more than %d deep", CODEC_DEPTH_MAX);
		return NULL;
	}
	object = json_loadb((const char *)body, len, JSON_REJECT_DUPLICATES, &error);
	if (bind->pool->full) {
		bind_refuse_memory(bind);
		return NULL;
	}
	if (object == NULL) {
		refuse_json(bind, &error);
		return NULL;
	}
	if (!json_is_object(object)) {
		refuse_set(bind->refuse, AG_MALFORMED_REQUEST, "json", NULL,
		    "the body must be a JSON object");
		return NULL;
	}
	return object;
}

static void *
bind_body(struct bind *bind, const ProtobufCMessageDescriptor *d,
    const uint8_t *body, size_t len, struct codec_batch *batch)
{
	static const struct path root;
	json_t *object = load_lifted(bind, body, len);

	if (object == NULL && (object = load(bind, body, len)) == NULL)
		return NULL;
	if (d == &ag__batch_ask__descriptor)
		return bind_batch(bind, object, batch);
	if (d == &ag__approval_request_ask__descriptor)
		return bind_ahead(bind, object);
	return bind_object(bind, d, &root, object);
}

void *
codec_bind_body(struct pool *pool, const ProtobufCMessageDescriptor *d,
    const uint8_t *body, size_t len, struct codec_batch *batch,
    struct refuse *refuse)
{
	struct bind bind = { .pool = pool, .refuse = refuse };
	void *msg;

	batch->items = 0;
	batch->scope_op = NULL;
	if (len == 0) {
		body = (const uint8_t *)"{}";
		len = 2;
	}
	pool_enter(pool);
	msg = bind_body(&bind, d, body, len, batch);
	pool_leave();
	return msg;
}

json_t *
codec_load(struct pool *pool, const uint8_t *body, size_t len,
    struct refuse *refuse)
{
	struct bind bind = { .pool = pool, .refuse = refuse };
	json_t *object;

	pool_enter(pool);
	object = load(&bind, body, len);
	pool_leave();
	return object;
}

void *
codec_bind_object(struct pool *pool, const ProtobufCMessageDescriptor *d,
    json_t *object, const char *without, struct refuse *refuse)
{
	static const struct path root;
	struct bind bind = { .pool = pool, .refuse = refuse };
	void *msg = NULL;

	pool_enter(pool);
	if (object == NULL)
		object = json_object();
	if (object == NULL) {
		bind_refuse_memory(&bind);
	} else {
		if (without != NULL)
			json_object_del(object, without);
		msg = bind_object(&bind, d, &root, object);
	}
	pool_leave();
	return msg;
}

/* ----------------------------------------------------------------- queries */

/* A parameter's text as the JSON that its field expects; text that is no
 * number stays a string and is refused as wrong_type. */
static json_t *
query_value(const ProtobufCFieldDescriptor *field, const char *text)
{
	long long number;
	char *end;

	switch (field->type) {
	case PROTOBUF_C_TYPE_BOOL:
		if (strcmp(text, "1") == 0 || strcmp(text, "true") == 0)
			return json_true();
		if (strcmp(text, "0") == 0 || strcmp(text, "false") == 0)
			return json_false();
		return json_string(text);
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_UINT64:
		if (*text < '0' || *text > '9')
			return json_string(text);
		number = strtoll(text, &end, 10);
		return *end == '\0' ? json_integer(number) : json_string(text);
	default: /* all others are text in JSON, too */
		return json_string(text);
	}
}

static bool
query_param(struct bind *bind, const ProtobufCMessageDescriptor *d,
    json_t *object, char *text)
{
	char *value = strchr(text, '=');
	const ProtobufCFieldDescriptor *field;
	struct path path = { .name = text };
	bool sane;

	if (value != NULL)
		*value++ = '\0';
	sane = route_unescape(text, true) &&
	    (value == NULL || route_unescape(value, true));
	if (!sane) {
		refuse_set(bind->refuse, AG_MALFORMED_REQUEST, "utf8", NULL,
		    "the query is not percent-encoded UTF-8");
		return false;
	}
	field = protobuf_c_message_descriptor_get_field_by_name(d, text);
	if (field == NULL || field->label == PROTOBUF_C_LABEL_REPEATED ||
	    field->type == PROTOBUF_C_TYPE_MESSAGE || codec_is_read_only(d, field))
		return bind_refuse_unknown(bind, d, &path);
	if (json_object_get(object, text) != NULL)
		return bind_refuse_member(bind, &path, AG_MALFORMED_REQUEST,
		    "duplicate_member", "the parameter is repeated");
	if (json_object_set_new(object, text,
	    query_value(field, value == NULL ? "" : value)) != 0)
		return bind_refuse_memory(bind);
	return true;
}

static void *
bind_query(struct bind *bind, const ProtobufCMessageDescriptor *d, char *query)
{
	static const struct path root;
	json_t *object = json_object();
	unsigned n = 0;
	char *next;

	if (object == NULL) {
		bind_refuse_memory(bind);
		return NULL;
	}
	for (; query != NULL && *query != '\0'; query = next) {
		next = strchr(query, '&');
		if (next != NULL)
			*next++ = '\0';
		if (++n > CODEC_QUERY_MAX) {
			refuse_set(bind->refuse, AG_REQUEST_TOO_LARGE, "body", NULL,
			    "too many parameters");
			return NULL;
		}
		if (*query != '\0' && !query_param(bind, d, object, query))
			return NULL;
	}
	return bind_object(bind, d, &root, object);
}

void *
codec_bind_query(struct pool *pool, const ProtobufCMessageDescriptor *d,
    char *query, struct refuse *refuse)
{
	struct bind bind = { .pool = pool, .refuse = refuse, .query = true };
	void *msg;

	pool_enter(pool);
	msg = bind_query(&bind, d, query);
	pool_leave();
	return msg;
}
