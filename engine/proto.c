/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables of the contract (the .def files of proto) as the process reads them: rows by
 * number through two direct indexes, the topology as one mask a pair of roles.
 */
#include "engine.h"

#include <aegis/proto.h>

#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "descriptors.h"

enum {
	OPERATION_BASE = 0x1000,
	MESSAGE_NUMBERS = 0x1000,   /* past the highest in messages.def */
	OPERATION_NUMBERS = 0x1000, /* past the highest in operations.def */
};

static const struct ag_message messages[] = {
#define MSG(number, name, proto, group) \
	{ number, AG_GROUP_##group, #name, &AG_D_##proto },
#include "messages.def"
#undef MSG
#define OP(number, name, ask, reply, operation, executor, kind, op, flags) \
	{ number, AG_GROUP_OPERATION, #name, &AG_D_##ask },
#include "operations.def"
#undef OP
};

static const struct ag_operation operations[] = {
#define OP(number, name, ask, reply, operation, executor, kind, op, flags) \
	{ number, #name, &AG_D_##ask, &AG_D_##reply, operation, \
	    AG_ROLE_##executor, AG_KIND_##kind, op, flags },
#include "operations.def"
#undef OP
};
enum { OPERATION_COUNT = sizeof(operations) / sizeof(operations[0]) };

/* Places in `messages`, plus one (0: no such number). */
enum {
	PLACE_NONE,
#define MSG(number, name, proto, group) PLACE_##name,
#include "messages.def"
#undef MSG
	PLACE_OPERATIONS, /* of the first operation: it shares the number */
	PLACE_BEFORE_OPERATIONS = PLACE_OPERATIONS - 1,
#define OP(number, name, ask, reply, operation, executor, kind, op, flags) \
	PLACE_##name,
#include "operations.def"
#undef OP
};

static const uint16_t message_places[MESSAGE_NUMBERS] = {
#define MSG(number, name, proto, group) [number] = PLACE_##name,
#include "messages.def"
#undef MSG
};
static const uint16_t operation_places[OPERATION_NUMBERS] = {
#define OP(number, name, ask, reply, operation, executor, kind, op, flags) \
	[number - OPERATION_BASE] = PLACE_##name,
#include "operations.def"
#undef OP
};

static const struct {
	uint8_t from, to, group;
} routes[] = {
#define ROUTE(from, to, group) \
	{ AG_ROLE_##from, AG_ROLE_##to, AG_GROUP_##group },
#include "routes.def"
#undef ROUTE
};
_Static_assert(AG_GROUP_COUNT <= 64, "a group is a bit of a route mask");

static const struct {
	uint8_t from, to;
} lines[] = {
#define LINE(from, to) { AG_ROLE_##from, AG_ROLE_##to },
#define DOOR(from, to)
#include "lines.def"
#undef LINE
#undef DOOR
}, doors[] = {
#define LINE(from, to)
#define DOOR(from, to) { AG_ROLE_##from, AG_ROLE_##to },
#include "lines.def"
#undef LINE
#undef DOOR
};

static uint64_t route_masks[AG_ROLE_COUNT][AG_ROLE_COUNT];

/* Before main, so that nobody has to remember it and no thread races. */
__attribute__((constructor)) static void
fill_route_masks(void)
{
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
		route_masks[routes[i].from][routes[i].to] |=
		    UINT64_C(1) << routes[i].group;
}

static const char *const role_names[AG_ROLE_COUNT] = {
	[AG_ROLE_NONE] = "none",
	[AG_ROLE_PLANE] = "plane",
	[AG_ROLE_IAM] = "iam",
	[AG_ROLE_RISK] = "risk",
	[AG_ROLE_KEYS] = "keys",
	[AG_ROLE_JOURNAL] = "journal",
	[AG_ROLE_AUDIT] = "audit",
	[AG_ROLE_ANOMALY] = "anomaly",
	[AG_ROLE_RESPONDER] = "responder",
	[AG_ROLE_GATEWAY] = "gateway",
	[AG_ROLE_HISTORY] = "history",
	[AG_ROLE_INVENTORY] = "inventory",
	[AG_ROLE_ROT] = "rot",
	[AG_ROLE_SINK] = "sink",
	[AG_ROLE_SUBSCRIBER] = "subscriber",
	[AG_ROLE_GUEST] = "guest",
	[AG_ROLE_APPROVALS] = "approvals",
	[AG_ROLE_WATCHER] = "watcher",
	[AG_ROLE_EVALUATOR] = "evaluator",
	[AG_ROLE_SHARED] = "shared",
};

static const char *const kind_names[AG_KIND_COUNT] = {
	[AG_KIND_ANY] = "any",
	[AG_KIND_KEY] = "key",
	[AG_KIND_AGENT] = "agent",
	[AG_KIND_PRINCIPAL] = "principal",
	[AG_KIND_AUDIT] = "audit",
	[AG_KIND_POLICY] = "policy",
	[AG_KIND_TOOL] = "tool",
	[AG_KIND_SYSTEM] = "system",
};

/* The place of a number in `messages`, plus one; 0 if it is unknown. */
static unsigned
place(uint16_t type)
{
	if (type < MESSAGE_NUMBERS)
		return message_places[type];
	if (type >= OPERATION_BASE &&
	    type < OPERATION_BASE + OPERATION_NUMBERS)
		return operation_places[type - OPERATION_BASE];
	return 0;
}

const struct ag_message *
ag_message_find(uint16_t type)
{
	unsigned at = place(type);

	return at == 0 ? NULL : &messages[at - 1];
}

const struct ag_operation *
ag_operation_find(uint16_t type)
{
	unsigned at = ag_is_operation(type) ? place(type) : 0;

	return at == 0 ? NULL : &operations[at - PLACE_OPERATIONS];
}

const struct ag_operation *
ag_operation_at(unsigned i)
{
	return i < OPERATION_COUNT ? &operations[i] : NULL;
}

const struct ag_operation *
ag_operation_named(const char *operation)
{
	for (unsigned i = 0; i < OPERATION_COUNT; i++)
		if (strcmp(operations[i].operation, operation) == 0)
			return &operations[i];
	return NULL;
}

const char *
ag_role_name(enum ag_role role)
{
	return (unsigned)role < AG_ROLE_COUNT ? role_names[role] : "none";
}

enum ag_role
ag_role_named(const char *name)
{
	for (unsigned i = AG_ROLE_NONE + 1; i < AG_ROLE_COUNT; i++)
		if (strcasecmp(role_names[i], name) == 0)
			return (enum ag_role)i;
	return AG_ROLE_NONE;
}

const char *
ag_kind_name(enum ag_op_kind kind)
{
	return (unsigned)kind < AG_KIND_COUNT ? kind_names[kind] : "none";
}

bool
ag_route_allowed(enum ag_role from, enum ag_role to, enum ag_group group)
{
	if ((unsigned)from >= AG_ROLE_COUNT || (unsigned)to >= AG_ROLE_COUNT ||
	    group == AG_GROUP_NONE || (unsigned)group >= AG_GROUP_COUNT)
		return false;
	return (route_masks[from][to] >> group & 1) != 0;
}

const char *
ag_route_refusal(enum ag_role from, enum ag_role to, uint16_t type)
{
	const struct ag_message *message = ag_message_find(type);

	if (message == NULL)
		return "unknown type";
	return ag_route_allowed(from, to, message->group) ? NULL :
	    "no such route";
}

bool
ag_line_between(enum ag_role from, enum ag_role to)
{
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		if (lines[i].from == from && lines[i].to == to)
			return true;
	return false;
}

bool
ag_door_between(enum ag_role from, enum ag_role to)
{
	for (size_t i = 0; i < sizeof(doors) / sizeof(doors[0]); i++)
		if (doors[i].from == from && doors[i].to == to)
			return true;
	return false;
}

bool
ag_door_to(enum ag_role to)
{
	for (size_t i = 0; i < sizeof(doors) / sizeof(doors[0]); i++)
		if (doors[i].to == to)
			return true;
	return false;
}

const char *
ag_enum_name(const ProtobufCEnumDescriptor *d, int value)
{
	const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(d,
	    value);

	return v == NULL ? NULL : v->name;
}
