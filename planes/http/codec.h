/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON and query strings to messages, messages to JSON, driven by the
 * messages' descriptors: a field's name is its JSON name. Pure.
 */
#ifndef PLANE_CODEC_H
#define PLANE_CODEC_H

#include "http.h"
#include "memory.h"

#include <aegis/proto.h>
#include <jansson.h>

enum {
	CODEC_DEPTH_MAX = 16,
	CODEC_BATCH_MAX = 10000,
	CODEC_QUERY_MAX = 64, /* parameters */
};

/* What a field is in JSON, beyond its protobuf type. */
bool codec_is_time(const ProtobufCFieldDescriptor *field);
bool codec_is_object(const ProtobufCFieldDescriptor *field); /* repeated Pair */
/* Never shown: 40 and up in Event, 20 and up in Recommendation. */
bool codec_is_hidden(const ProtobufCMessageDescriptor *d,
    const ProtobufCFieldDescriptor *field);
/* Left out when absent, rather than null. */
bool codec_is_omitted(const ProtobufCMessageDescriptor *d,
    const ProtobufCFieldDescriptor *field);
/* Not taken from clients: of answers only, or from the path. */
bool codec_is_read_only(const ProtobufCMessageDescriptor *d,
    const ProtobufCFieldDescriptor *field);
/* A list that is given is not empty. */
bool codec_is_filled(const ProtobufCMessageDescriptor *d,
    const ProtobufCFieldDescriptor *field);
/* Clients must give it. */
bool codec_is_needed(const ProtobufCMessageDescriptor *d,
    const ProtobufCFieldDescriptor *field);
/* "generate-data-key" for Usage's generate_data_key, and so on. */
const char *codec_enum_text(const ProtobufCEnumDescriptor *d, int value);

/* Once per process, before any parsing: jansson allocates from pools. */
void codec_init(void);

/*
 * A message of d in the pool from a JSON body (len 0: `{}`); NULL when
 * refused, and refuse says why. items and scope_op: of a batch, else 0, NULL.
 */
struct codec_batch {
	unsigned items;
	const char *scope_op;
};
void *codec_bind_body(struct pool *pool, const ProtobufCMessageDescriptor *d,
    const uint8_t *body, size_t len, struct codec_batch *batch,
    struct refuse *refuse);
/* The two steps of it, for bodies that hold more than a message: what is loaded
 * is in the pool and is only read. object NULL: {}; `without` (or NULL) is
 * taken out first. */
json_t *codec_load(struct pool *pool, const uint8_t *body, size_t len,
    struct refuse *refuse);
void *codec_bind_object(struct pool *pool, const ProtobufCMessageDescriptor *d,
    json_t *object, const char *without, struct refuse *refuse);
/* The same from a query string, which is taken apart; NULL: none. */
void *codec_bind_query(struct pool *pool, const ProtobufCMessageDescriptor *d,
    char *query, struct refuse *refuse);
/* Sets the string member `name` (of the path). */
void codec_set_string(void *msg, const char *name, const char *value);

void codec_print(struct text *out, const void *msg);

#endif
