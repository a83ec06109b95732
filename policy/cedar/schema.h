/* SPDX-License-Identifier: Apache-2.0 */
/* Schemas: what both syntaxes are read into, and what is made of that. */
#ifndef AEGIS_POLICY_CEDAR_SCHEMA_H
#define AEGIS_POLICY_CEDAR_SCHEMA_H

#include "core.h"

/* ------------------------------------------------------------------- types */

enum cedar_type_kind {
	CEDAR_TYPE_NEVER, /* of the elements of nothing */
	CEDAR_TYPE_TRUE,
	CEDAR_TYPE_FALSE,
	CEDAR_TYPE_BOOL,
	CEDAR_TYPE_LONG,
	CEDAR_TYPE_STRING,
	CEDAR_TYPE_SET,
	CEDAR_TYPE_RECORD,
	CEDAR_TYPE_ENTITY,
	CEDAR_TYPE_ANY_ENTITY, /* of a slot that nothing is known of */
	CEDAR_TYPE_EXT,
};

struct cedar_attr {
	struct ag_cedar_str name;
	const struct cedar_type *type;
	bool required;
};

struct cedar_type {
	uint8_t kind;
	uint8_t ext;    /* EXT: enum ag_cedar_kind */
	uint16_t depth; /* of sets and records */
	const struct cedar_type *element; /* SET; NULL: of anything */
	const struct cedar_attr *attrs;   /* RECORD, by name */
	uint32_t attr_count;
	struct ag_cedar_str name;         /* ENTITY */
};

/* One of another, without the step from one entity to any. */
bool cedar_subtype(const struct cedar_type *a, const struct cedar_type *b,
    uint64_t *steps);

/* The least type that both are of, in strict mode; NULL: there is none. */
const struct cedar_type *cedar_type_join(struct ag_cedar_arena *arena,
    const struct cedar_type *a, const struct cedar_type *b, uint64_t *steps);
extern const struct cedar_type cedar_type_never, cedar_type_true,
    cedar_type_false, cedar_type_bool, cedar_type_long, cedar_type_string;
const struct cedar_type *cedar_type_ext(enum ag_cedar_kind kind);

/* "Long", "Set<…>", for messages; cut to the room. */
void cedar_type_print(const struct cedar_type *type, char *out, size_t room);

/* NULL: none of this name, or no record. */
const struct cedar_attr *cedar_type_attr(const struct cedar_type *type,
    struct ag_cedar_str name);

/* ----------------------------------------------------------------- schemas */

struct cedar_etype {
	struct ag_cedar_str name;
	const struct cedar_type *shape; /* a record */
	const struct cedar_type *tags;  /* NULL: it has none */
	struct cedar_type tags_record;  /* any member is of the tags' type */
	struct cedar_attr any_tag;
	struct ag_cedar_str *choices;   /* of an enum */
	uint32_t choice_count;          /* 0: no enum */
	struct cedar_etype **parents;   /* as written */
	uint32_t parent_count;
	/* Those below it, itself not among them unless in a cycle. */
	struct cedar_etype **below;
	uint32_t below_count;
};

struct cedar_action {
	struct ag_cedar_uid uid;
	struct cedar_action **parents;
	uint32_t parent_count;
	struct cedar_action **above; /* all of them */
	uint32_t above_count;
	bool applies; /* to anything */
	struct cedar_etype **principals, **resources;
	uint32_t principal_count, resource_count;
	const struct cedar_type *context; /* a record */
	uint8_t mark;
};

struct ag_cedar_schema {
	struct ag_cedar_arena arena;
	struct cedar_etype **etypes; /* by name */
	uint32_t etype_count;
	struct cedar_action **actions; /* by uid, then as written */
	uint32_t action_count;
};

struct cedar_etype *cedar_schema_etype(const struct ag_cedar_schema *schema,
    struct ag_cedar_str name);
struct cedar_action *cedar_schema_action(const struct ag_cedar_schema *schema,
    const struct ag_cedar_uid *uid);
bool cedar_etype_below(const struct cedar_etype *a, const struct cedar_etype *b);
bool cedar_action_in(const struct cedar_action *a, const struct cedar_action *b);

struct cedar_json;
enum ag_cedar_err cedar_conforms_entity(const struct ag_cedar_schema *schema,
    const struct ag_cedar_entity *entity, struct cedar_json *j);
bool cedar_conforms(const struct ag_cedar_schema *schema,
    const struct ag_cedar_value *value, const struct cedar_type *type);

/* ------------------------------------------------- what the syntaxes give */

enum cedar_raw_kind {
	CEDAR_RAW_NAME,   /* of a common type, an entity type or a primitive */
	CEDAR_RAW_ENTITY, /* of an entity type only */
	CEDAR_RAW_COMMON, /* of a common type or a primitive */
	CEDAR_RAW_PRIMITIVE, /* one of Cedar's own: kind, ext */
	CEDAR_RAW_SET,
	CEDAR_RAW_RECORD,
};

struct cedar_raw_attr {
	struct ag_cedar_str name;
	struct cedar_raw_type *type;
	bool required;
};

struct cedar_raw_type {
	uint8_t kind, primitive, ext;
	uint8_t mark; /* of resolving: 1 on the way */
	size_t at;
	struct ag_cedar_str name;
	struct cedar_raw_type *element;
	struct cedar_raw_attr *attrs;
	uint32_t attr_count;
	const struct cedar_type *resolved;
};

struct cedar_raw_name {
	struct ag_cedar_str name;
	size_t at;
};

struct cedar_raw_entity {
	struct ag_cedar_str name; /* without namespace */
	size_t at;
	struct cedar_raw_name *parents;
	uint32_t parent_count;
	struct cedar_raw_type *shape, *tags; /* NULL: none */
	struct ag_cedar_str *choices;
	uint32_t choice_count;
};

struct cedar_raw_action {
	struct ag_cedar_str id;
	size_t at;
	/* Type may be empty: Action of the same namespace. */
	struct ag_cedar_uid *parents;
	uint32_t parent_count;
	bool applies;
	struct cedar_raw_name *principals, *resources;
	uint32_t principal_count, resource_count;
	struct cedar_raw_type *context; /* NULL: empty */
};

struct cedar_raw_common {
	struct ag_cedar_str name;
	size_t at;
	struct cedar_raw_type *type;
};

struct cedar_raw_namespace {
	struct ag_cedar_str name; /* empty: none */
	struct cedar_raw_entity *entities;
	struct cedar_raw_action *actions;
	struct cedar_raw_common *commons;
	uint32_t entity_count, action_count, common_count;
	struct cedar_raw_namespace *next;
};

/* Turns names into what they name, and computes the hierarchies. text: for the
 * places of problems; empty if it was JSON. */
enum ag_cedar_err cedar_schema_resolve(struct ag_cedar_schema *schema,
    struct cedar_raw_namespace *raw, struct ag_cedar_str text,
    struct ag_cedar_problem *problem);

/* The last step of it: below and above. INVALID, if an action is in itself. */
enum ag_cedar_err cedar_schema_close(struct ag_cedar_schema *schema,
    struct ag_cedar_problem *problem);

#endif
