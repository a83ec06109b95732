/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between codec_json.c (whole bodies and queries) and codec_in.c (members).
 */
#ifndef PLANE_BIND_H
#define PLANE_BIND_H

#include "codec.h"
#include "lift.h"

#include <jansson.h>

struct path { /* of the member under way, innermost first */
	const struct path *up;
	const char *name; /* NULL: an index */
	size_t index;
};

struct bind {
	struct pool *pool;
	struct refuse *refuse;
	struct lift lift; /* out of the body; count 0: nothing was */
	bool query; /* fields are ?name */
	bool patch; /* nulls count */
	char **nulls; /* JSON pointers */
	size_t null_count;
};

bool bind_refuse_member(struct bind *bind, const struct path *path, ag_err err,
    const char *reason, const char *detail);
bool bind_refuse_field(struct bind *bind, const struct path *path,
    const char *reason, const char *detail);
bool bind_refuse_memory(struct bind *bind);
bool bind_refuse_unknown(struct bind *bind, const ProtobufCMessageDescriptor *d,
    const struct path *path);
/* NULL: refused. */
void *bind_object(struct bind *bind, const ProtobufCMessageDescriptor *d,
    const struct path *path, json_t *object);
bool bind_array(struct bind *bind, const ProtobufCFieldDescriptor *field,
    const struct path *path, json_t *value, void *msg);

#endif
