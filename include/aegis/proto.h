/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages: their numbers, their codecs, and the operations' table.
 */
#ifndef AEGIS_PROTO_H
#define AEGIS_PROTO_H

#include <stdbool.h>
#include <stdint.h>

#include "aegis.pb-c.h"
#include "api.pb-c.h"
#include "facts.pb-c.h"

enum ag_message_type {
#define MSG(number, name, proto, group) AG_MSG_##name = number,
#include "messages.def"
#undef MSG
#define OP(number, name, ask, reply, operation, executor, kind, op, flags) \
	AG_MSG_##name = number,
#include "operations.def"
#undef OP
};

enum ag_role {
	AG_ROLE_NONE = 0,
	AG_ROLE_PLANE,
	AG_ROLE_IAM,
	AG_ROLE_RISK,
	AG_ROLE_KEYS,
	AG_ROLE_JOURNAL,
	AG_ROLE_AUDIT,
	AG_ROLE_ANOMALY,
	AG_ROLE_RESPONDER,
	AG_ROLE_HISTORY,
	AG_ROLE_INVENTORY,
	AG_ROLE_ROT,
	AG_ROLE_SINK,
	AG_ROLE_GATEWAY,
	AG_ROLE_SUBSCRIBER, /* a guest that reads audit */
	AG_ROLE_GUEST,      /* a guest that is an actor */
	AG_ROLE_APPROVALS,
	AG_ROLE_WATCHER,    /* puts policies of a folder in force */
	AG_ROLE_EVALUATOR,  /* asks somebody else's policies */
	AG_ROLE_SHARED,     /* what several nodes have in common */
	AG_ROLE_COUNT
};

/* Groups of messages, as proto/routes.def names them. */
enum ag_group {
	AG_GROUP_NONE = 0,
	AG_GROUP_OPERATION,
	AG_GROUP_BUS,
	AG_GROUP_REPLY,
	AG_GROUP_JOURNAL,
	AG_GROUP_JOURNAL_READ,
	AG_GROUP_JOURNAL_PUSH,
	AG_GROUP_OUTCOME,
	AG_GROUP_DELIVER,
	AG_GROUP_AUDIT_READ,
	AG_GROUP_AUDIT_PUSH,
	AG_GROUP_MARKS,
	AG_GROUP_ASSESS,
	AG_GROUP_RULING,
	AG_GROUP_ACT,
	AG_GROUP_ROT_KEY,
	AG_GROUP_ROT_SIGN,
	AG_GROUP_PUBLIC,
	AG_GROUP_STREAM,
	AG_GROUP_STREAM_BACK,
	AG_GROUP_FACT,
	AG_GROUP_ROT_SECRET,
	AG_GROUP_ROT_SHRED,
	AG_GROUP_CHALLENGE,
	AG_GROUP_REFUSAL,
	AG_GROUP_SINK_ORDER,
	AG_GROUP_STANDING,
	AG_GROUP_TENANT,
	AG_GROUP_CATALOG,
	AG_GROUP_OFFER,
	AG_GROUP_EVALUATE,
	AG_GROUP_SHARED,
	AG_GROUP_SHARED_BACK,
	AG_GROUP_ENDED,
	AG_GROUP_COUNT
};

enum ag_op_kind {
	AG_KIND_ANY = 0,
	AG_KIND_KEY,
	AG_KIND_AGENT,
	AG_KIND_PRINCIPAL,
	AG_KIND_AUDIT,
	AG_KIND_POLICY,
	AG_KIND_TOOL,
	AG_KIND_SYSTEM,
	AG_KIND_COUNT
};

enum ag_op_flag {
	AG_OP_IDEM = 1 << 0,
	AG_OP_READ = 1 << 1,
	AG_OP_SECRET = 1 << 2,
	AG_OP_ALL = 1 << 3,
	AG_OP_SELF = 1 << 4,
	AG_OP_BELOW = 1 << 5,
	AG_OP_PEOPLE = 1 << 6,
	AG_OP_STREAM = 1 << 7,
	AG_OP_EITEM = 1 << 8,
	AG_OP_MAKES = 1 << 9,
	AG_OP_SLOW = 1 << 10,
	AG_OP_BASIC = 1 << 11,
	AG_OP_TOLD = 1 << 12,
};

struct ag_message {
	uint16_t type;
	enum ag_group group;
	const char *name; /* "JOURNAL_APPEND_ASK", "KEY_SIGN" */
	const ProtobufCMessageDescriptor *body;
};

struct ag_operation {
	uint16_t type;
	const char *name; /* "KEY_SIGN" */
	const ProtobufCMessageDescriptor *ask;
	const ProtobufCMessageDescriptor *reply;
	const char *operation; /* "key.sign": what audit says */
	enum ag_role executor;
	enum ag_op_kind kind;
	const char *op; /* "sign": third part of the scope */
	unsigned flags;
};

/* A message's or an operation's row; NULL if the number is unknown. O(1). */
const struct ag_message *ag_message_find(uint16_t type);
const struct ag_operation *ag_operation_find(uint16_t type);
/* The i-th operation in table order, NULL past the end. */
const struct ag_operation *ag_operation_at(unsigned i);
const struct ag_operation *ag_operation_named(const char *operation);
static inline bool
ag_is_operation(uint16_t type)
{
	return type >= 0x1000 && type <= 0x1fff;
}

const char *ag_role_name(enum ag_role role);   /* "keys" */
enum ag_role ag_role_named(const char *name);  /* AG_ROLE_NONE if unknown */
const char *ag_kind_name(enum ag_op_kind kind); /* "key" */
/* May `from` send messages of `group` to `to`? proto/routes.def says. */
bool ag_route_allowed(enum ag_role from, enum ag_role to, enum ag_group group);
/* Why a message of this type may not go from one to the other (static text);
 * NULL: it may. */
const char *ag_route_refusal(enum ag_role from, enum ag_role to, uint16_t type);
/* Do these two talk without the broker between them? proto/lines.def says. */
bool ag_line_between(enum ag_role from, enum ag_role to);

/* The value name of an enum field ("EC_P256"), or NULL. */
const char *ag_enum_name(const ProtobufCEnumDescriptor *d, int value);

#endif
