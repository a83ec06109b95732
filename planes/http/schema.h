/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Schemas of messages as clients see them: JSON Schema 2020-12, which is
 * OpenAPI 3.1's, too. Pure.
 */
#ifndef PLANE_SCHEMA_H
#define PLANE_SCHEMA_H

#include "codec.h"

enum { SCHEMAS_MAX = 176 };

/* Messages referred to so far; each is to be defined under `at`. */
struct schemas {
	const char *at; /* "#/components/schemas/" */
	struct {
		const ProtobufCMessageDescriptor *d;
		bool input;
	} rows[SCHEMAS_MAX];
	unsigned count;
};

/* {"$ref":…}; the message is in `schemas` from now on. */
void schema_ref(struct text *out, struct schemas *schemas,
    const ProtobufCMessageDescriptor *d, bool input);
/* "Name":{…}, which may add to `schemas`. */
void schema_define(struct text *out, struct schemas *schemas,
    const ProtobufCMessageDescriptor *d, bool input);
/* "member":{…}, … of a message, without braces, but for those of `without`
 * (ends in NULL; may be NULL). comma: before the first. */
void schema_members(struct text *out, struct schemas *schemas,
    const ProtobufCMessageDescriptor *d, bool input, const char *const *without,
    const char *comma);
void schema_required(struct text *out, const ProtobufCMessageDescriptor *d,
    bool input, const char *const *without, const char *comma);
/* The members of a scalar's schema object, without braces. */
void schema_scalar(struct text *out, const ProtobufCFieldDescriptor *field,
    bool null);

#endif
