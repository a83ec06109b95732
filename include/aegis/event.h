/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Audit events for readers outside: what of them is public, and as JSON.
 */
#ifndef AEGIS_EVENT_H
#define AEGIS_EVENT_H

#include <aegis/err.h>
#include <aegis/proto.h>

#include <stddef.h>
#include <stdint.h>

struct json_t;

/*
 * A message as the REST contract writes it: every member there, null if
 * absent, bytes in base64, times (…_at) in RFC 3339, pairs as an object; what
 * the .proto comments as "not shown" is left out. jansson's json_t, owned by
 * the caller (json_decref); NULL without memory.
 */
struct json_t *ag_json_message(const ProtobufCMessage *msg);

/*
 * For ag_actor.audit_skips: how the decision came about (risk, reach, policy),
 * the larger half of an event, which only readers and replays want.
 */
extern const uint8_t ag_event_reasons[];

/* A shallow copy without the members that readers do not see. Borrows all of
 * event's strings. */
void ag_event_shown(const Ag__Event *event, Ag__Event *out);
/* The event as one line of JSON without a newline; free(*out). */
ag_err ag_event_json(const Ag__Event *event, char **out) AG_MUST;

/*
 * The id of what follows from something: prefix ("evt", "rec") and a UUIDv7 of
 * the time that is in `what`, if that is an id, and of SHA-256 over `what`, a
 * NUL, `from` instead of chance. The same cause gives the same id, so that a
 * repeat is recognised. out: AG_ID_SIZE.
 */
void ag_id_derive(const char *prefix, const char *what, const char *from,
    char *out);

#endif
