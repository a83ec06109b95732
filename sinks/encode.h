/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An event as sinks send it: JSON (schema Event of /openapi.json), protobuf
 * (message Event of proto/aegis.proto), or OCSF.
 */
#ifndef SINKS_ENCODE_H
#define SINKS_ENCODE_H

#include "feed.h"

enum encode_format { ENCODE_JSON, ENCODE_PROTOBUF, ENCODE_OCSF };

struct encoded {
	Ag__Event *event; /* as audit recorded it */
	char *bytes;      /* text ends with a NUL beyond len */
	size_t len;
};

/* sinks[].format of this sink. */
enum encode_format encode_format_of(struct feed *feed);
/* Any thread. AG_NO_MEMORY. encoded_free it, also after an error. */
ag_err encode_item(enum encode_format format, const struct feed_item *item,
    struct encoded *out) AG_MUST;
void encoded_free(struct encoded *e);

struct json_t;
/* The event as API Activity (class 6003) of OCSF 1.1. NULL: memory. */
struct json_t *encode_ocsf(const Ag__Event *event);

#endif
