/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an operation came to, as REST says it: the reply as JSON, with ETag,
 * Location and the status of its route.
 */
#include "rest.h"

#include <string.h>

static const void *
reply_field(const ProtobufCMessage *reply, const char *name,
    ProtobufCType type)
{
	const ProtobufCFieldDescriptor *field =
	    protobuf_c_message_descriptor_get_field_by_name(reply->descriptor, name);

	if (field == NULL || field->type != type ||
	    field->label != PROTOBUF_C_LABEL_REQUIRED)
		return NULL;
	return (const uint8_t *)reply + field->offset;
}

static void
add_resource(const struct conn *conn, struct text *out,
    const ProtobufCMessage *reply)
{
	const char *location = conn->in.match.route->location;
	const uint64_t *revision =
	    reply_field(reply, "revision", PROTOBUF_C_TYPE_UINT64);
	char *const *id = reply_field(reply, "id", PROTOBUF_C_TYPE_STRING);

	if (revision != NULL)
		text_printf(out, "ETag: \"%llu\"\r\n", (unsigned long long)*revision);
	if (location != NULL && id != NULL && *id != NULL)
		text_printf(out, "Location: %s%s\r\n", location, *id);
}

void
rest_reply(struct conn *conn, const Ag__DeliverEvent *deliver)
{
	struct text *out = &conn->plane->out;
	unsigned status = route_success(conn->in.match.route);
	size_t body_at;
	void *reply;

	if ((conn->op->flags & AG_OP_STREAM) != 0) {
		stream_open(conn, deliver);
		return;
	}
	if (conn->bev == NULL) { /* nobody there to hear it */
		conn_done(conn);
		return;
	}
	if ((reply = answer_open(conn, deliver)) == NULL)
		return;
	answer_head(conn, out, status);
	answer_rate(out, deliver);
	if (deliver->has_replayed && deliver->replayed)
		text_str(out, "Idempotency-Replayed: true\r\n");
	add_resource(conn, out, reply);
	body_at = answer_type(out, "application/json");
	codec_print(out, reply);
	answer_send(conn, status, body_at, answer_is_secret(conn->op));
}
