/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cedar (language 4.5): policies, templates, entities, schemas, decisions.
 *
 * Pure: no clock, no I/O, no globals, no log. Time and facts come with the
 * request; memory comes from arenas with a ceiling; every recursion is bounded
 * by a named depth. Any bytes may be given to any function that takes text: it
 * answers, or says what is wrong, where, and what would be right.
 *
 * Order of use: a schema (optional) and a set are filled from text or JSON, the
 * set is validated and compiled, and is constant from then on; decisions need
 * the set, the entities, the request and scratch memory of the caller. A
 * compiled set is never written again, so putting another one in force is the
 * swap of one pointer, and many threads may decide with the same one.
 *
 * Nothing here blocks. Whoever gets an object from a _new frees it with the
 * _free of the same name, which also sets the pointer to NULL. Strings have a
 * length and may hold NUL bytes; they are borrowed until said otherwise.
 */
#ifndef AEGIS_POLICY_CEDAR_H
#define AEGIS_POLICY_CEDAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AG_CEDAR_MUST __attribute__((warn_unused_result))

enum {
	AG_CEDAR_TEXT_MAX = 10 << 20,  /* bytes of a policy, schema or JSON text */
	AG_CEDAR_NEST_MAX = 128,       /* brackets within brackets, in a text */
	AG_CEDAR_HEIGHT_MAX = 1000,    /* levels of an expression's tree */
	AG_CEDAR_VALUE_DEPTH_MAX = 64, /* sets and records within each other */
	AG_CEDAR_POLICY_MAX = 1 << 20, /* policies and links of one set */
	AG_CEDAR_ENTITY_MAX = 1 << 22, /* entities of one store */
	AG_CEDAR_ID_MAX = 255,         /* bytes of a policy's id */
	AG_CEDAR_PROBLEM_SIZE = 384,   /* bytes of a problem's text, with NUL */
};

enum ag_cedar_err {
	AG_CEDAR_OK,
	AG_CEDAR_NO_MEMORY, /* the arena's ceiling is met */
	AG_CEDAR_LIMIT,     /* one of the limits above is met */
	AG_CEDAR_SYNTAX,    /* the text is not of the language */
	AG_CEDAR_INVALID,   /* well-formed, but it cannot be: see the text */
	AG_CEDAR_DUPLICATE, /* the id is taken */
	AG_CEDAR_UNKNOWN,   /* there is no such policy or template */
};

/* What is wrong, where, and what would be right. Zeroed when all is well. */
struct ag_cedar_problem {
	enum ag_cedar_err code;
	size_t at;            /* byte offset in the text, 0 if without one */
	uint32_t line;        /* from 1; 0: the problem has no place in a text */
	uint32_t column;      /* in bytes, from 1 */
	char text[AG_CEDAR_PROBLEM_SIZE]; /* one line, UTF-8, NUL-terminated */
};

struct ag_cedar_str {
	const char *p; /* not terminated; may be NULL if len is 0 */
	size_t len;
};

/* ---------------------------------------------------------------- memory */

struct ag_cedar_chunk;

/* A bump allocator. Read its members through the functions only. */
struct ag_cedar_arena {
	uint8_t *at, *end;
	struct ag_cedar_chunk *chunks; /* NULL: over memory of the caller */
	uint8_t *begin;                /* of that memory */
	size_t left;                   /* bytes that may still be reserved */
	size_t max;                    /* the ceiling, for reset */
};

/* Grows by malloc, up to max bytes in all. */
void ag_cedar_arena_init(struct ag_cedar_arena *arena, size_t max);

/* Over the caller's bytes; never calls malloc. _fini is not needed. */
void ag_cedar_arena_over(struct ag_cedar_arena *arena, void *bytes, size_t size);

/* Everything that was taken is gone; the first chunk stays for what follows. */
void ag_cedar_arena_reset(struct ag_cedar_arena *arena);
void ag_cedar_arena_fini(struct ag_cedar_arena *arena);

/* Zeroed and aligned for anything; NULL if the ceiling is met. */
void *ag_cedar_alloc(struct ag_cedar_arena *arena, size_t size);

/* ------------------------------------------------- entities and values */

/* An entity's name, such as Aegis::Key::"prod". Made by ag_cedar_uid. */
struct ag_cedar_uid {
	struct ag_cedar_str type, id;
	uint32_t hash, type_hash;
};

/* Borrows both strings. Does not check that type is a path of identifiers. */
struct ag_cedar_uid ag_cedar_uid(struct ag_cedar_str type,
    struct ag_cedar_str id);
bool ag_cedar_uid_equal(const struct ag_cedar_uid *a,
    const struct ag_cedar_uid *b);

enum ag_cedar_kind {
	AG_CEDAR_BOOL,
	AG_CEDAR_LONG,
	AG_CEDAR_STRING,
	AG_CEDAR_ENTITY,
	AG_CEDAR_SET,
	AG_CEDAR_RECORD,
	AG_CEDAR_DECIMAL,
	AG_CEDAR_IPADDR,
	AG_CEDAR_DATETIME,
	AG_CEDAR_DURATION,
};

struct ag_cedar_items;
struct ag_cedar_record;
struct ag_cedar_ip;

/* A value. Immutable once made; what it points to lives in an arena. */
struct ag_cedar_value {
	enum ag_cedar_kind kind;
	uint32_t depth; /* of nesting: 0 for all but sets and records */
	union {
		bool boolean;
		/* long; decimal: in 1/10,000; datetime: ms since the epoch;
		 * duration: ms */
		int64_t number;
		struct ag_cedar_str string;
		const struct ag_cedar_uid *entity;
		const struct ag_cedar_items *set;
		const struct ag_cedar_record *record;
		const struct ag_cedar_ip *ip;
	};
};

struct ag_cedar_field {
	struct ag_cedar_str name;
	struct ag_cedar_value value;
};

/* The values that programs build: those without memory of their own. */
struct ag_cedar_value ag_cedar_bool(bool value);
struct ag_cedar_value ag_cedar_long(int64_t value);
struct ag_cedar_value ag_cedar_string(struct ag_cedar_str value); /* borrowed */
struct ag_cedar_value ag_cedar_entity(const struct ag_cedar_uid *uid); /* borrowed */
struct ag_cedar_value ag_cedar_datetime(int64_t ms_since_epoch);
struct ag_cedar_value ag_cedar_duration(int64_t ms);

/* Of items: a set, sorted and without duplicates, in the arena. NO_MEMORY, or
 * LIMIT if it nests too deep. */
AG_CEDAR_MUST enum ag_cedar_err ag_cedar_set_value(struct ag_cedar_arena *arena,
    const struct ag_cedar_value *items, size_t count,
    struct ag_cedar_value *out);

/* A record; DUPLICATE if two fields have one name. Names are borrowed. */
AG_CEDAR_MUST enum ag_cedar_err ag_cedar_record_value(
    struct ag_cedar_arena *arena, const struct ag_cedar_field *fields,
    size_t count, struct ag_cedar_value *out);

/* decimal("1.5"), ip("10.0.0.0/8"), datetime("2024-01-01"), duration("1h"):
 * function is the constructor's name. INVALID if the text is none. */
AG_CEDAR_MUST enum ag_cedar_err ag_cedar_extension_value(
    struct ag_cedar_arena *arena, const char *function,
    struct ag_cedar_str text, struct ag_cedar_value *out);

/* Equal in the language's sense, which is also that of ==. */
bool ag_cedar_equal(const struct ag_cedar_value *a,
    const struct ag_cedar_value *b);

/* ------------------------------------------------------------- schemas */

struct ag_cedar_schema;

/* From Cedar's schema syntax. max_bytes: the ceiling of its memory. */
AG_CEDAR_MUST enum ag_cedar_err ag_cedar_schema_parse(const char *text,
    size_t len, size_t max_bytes, struct ag_cedar_schema **out,
    struct ag_cedar_problem *problem);

/* From Cedar's JSON schema format. */
AG_CEDAR_MUST enum ag_cedar_err ag_cedar_schema_json(const char *text,
    size_t len, size_t max_bytes, struct ag_cedar_schema **out,
    struct ag_cedar_problem *problem);
void ag_cedar_schema_free(struct ag_cedar_schema **schema);

/* ------------------------------------------------------------ entities */

struct ag_cedar_entities;

AG_CEDAR_MUST enum ag_cedar_err ag_cedar_entities_new(size_t max_bytes,
    struct ag_cedar_entities **out);
void ag_cedar_entities_free(struct ag_cedar_entities **entities);

/* A store within the caller's bytes: never calls malloc, is not freed. NULL:
 * they are too few. */
struct ag_cedar_entities *ag_cedar_entities_over(void *bytes, size_t size);

/* Where values for this store may be made, to live as long as it. */
struct ag_cedar_arena *ag_cedar_entities_arena(struct ag_cedar_entities *entities);

struct ag_cedar_entity {
	struct ag_cedar_uid uid;
	struct ag_cedar_value attrs; /* a record; zeroed: none */
	struct ag_cedar_value tags;  /* a record; zeroed: none */
	const struct ag_cedar_uid *parents;
	size_t parent_count;
};

/* Copies the entity's names, borrows what the values point to (make them in
 * the store's arena). DUPLICATE if its name is taken by another. */
AG_CEDAR_MUST enum ag_cedar_err ag_cedar_entities_add(
    struct ag_cedar_entities *entities, const struct ag_cedar_entity *entity);

/* All of a JSON array in Cedar's format. With a schema (may be NULL) values
 * are read as their attribute's type, and entities must be those of the
 * schema. On an error the store is to be freed. */
AG_CEDAR_MUST enum ag_cedar_err ag_cedar_entities_json(
    struct ag_cedar_entities *entities, const struct ag_cedar_schema *schema,
    const char *text, size_t len, struct ag_cedar_problem *problem);

/* Computes who is in whom; needed once, after the last add. INVALID, if the
 * hierarchy has a cycle. */
AG_CEDAR_MUST enum ag_cedar_err ag_cedar_entities_close(
    struct ag_cedar_entities *entities, struct ag_cedar_problem *problem);
size_t ag_cedar_entities_count(const struct ag_cedar_entities *entities);

/* Adds the schema's actions with their groups, as the reference does. */
AG_CEDAR_MUST enum ag_cedar_err ag_cedar_entities_actions(
    struct ag_cedar_entities *entities, const struct ag_cedar_schema *schema);

/* ------------------------------------------------------------ requests */

struct ag_cedar_request {
	struct ag_cedar_uid principal, action, resource;
	struct ag_cedar_value context; /* a record; zeroed: empty */
};

/* A context object, or a whole request with the members principal, action,
 * resource ({"type","id"}) and context. Everything lives in the arena. */
AG_CEDAR_MUST enum ag_cedar_err ag_cedar_context_json(
    struct ag_cedar_arena *arena, const char *text, size_t len,
    struct ag_cedar_value *out, struct ag_cedar_problem *problem);
AG_CEDAR_MUST enum ag_cedar_err ag_cedar_request_json(
    struct ag_cedar_arena *arena, const char *text, size_t len,
    struct ag_cedar_request *out, struct ag_cedar_problem *problem);

/* Is it one of the schema's: the action, the types and the context? */
AG_CEDAR_MUST enum ag_cedar_err ag_cedar_request_validate(
    const struct ag_cedar_schema *schema, const struct ag_cedar_request *request,
    struct ag_cedar_problem *problem);

/* --------------------------------------------------------- policy sets */

struct ag_cedar_set;

AG_CEDAR_MUST enum ag_cedar_err ag_cedar_set_new(size_t max_bytes,
    struct ag_cedar_set **out);
void ag_cedar_set_free(struct ag_cedar_set **set);

/* Policies and templates of a text; the n-th (from 0) is called <prefix>n, so
 * with the prefix "policy" as in the reference. The text is copied. After an
 * error the set is to be freed: nothing is half in force. */
AG_CEDAR_MUST enum ag_cedar_err ag_cedar_set_text(struct ag_cedar_set *set,
    const char *prefix, const char *text, size_t len,
    struct ag_cedar_problem *problem);

/* One policy or template in Cedar's JSON policy format. */
AG_CEDAR_MUST enum ag_cedar_err ag_cedar_set_json(struct ag_cedar_set *set,
    const char *id, const char *text, size_t len,
    struct ag_cedar_problem *problem);

/* A whole policy set in JSON: staticPolicies, templates, templateLinks. */
AG_CEDAR_MUST enum ag_cedar_err ag_cedar_set_json_all(struct ag_cedar_set *set,
    const char *text, size_t len, struct ag_cedar_problem *problem);

/* A policy made of a template; a slot that the template lacks must be NULL,
 * one that it has must not. Names are copied. */
AG_CEDAR_MUST enum ag_cedar_err ag_cedar_set_link(struct ag_cedar_set *set,
    const char *template_id, const char *id,
    const struct ag_cedar_uid *principal, const struct ag_cedar_uid *resource,
    struct ag_cedar_problem *problem);

/* Builds the index; from then on the set is constant. */
AG_CEDAR_MUST enum ag_cedar_err ag_cedar_set_compile(struct ag_cedar_set *set);

/* How many policies (static ones and links) and templates there are. */
size_t ag_cedar_set_count(const struct ag_cedar_set *set);
size_t ag_cedar_template_count(const struct ag_cedar_set *set);

struct ag_cedar_policy_info {
	const char *id;
	const char *template_id; /* NULL: a static policy */
	bool forbid;
	uint32_t line, column; /* where it begins; 0: it came as JSON */
	size_t annotation_count;
};

/* Of the index-th policy; index < ag_cedar_set_count. */
void ag_cedar_policy_info(const struct ag_cedar_set *set, size_t index,
    struct ag_cedar_policy_info *out);

/* Its id alone: unlike _info, whose place is searched for, at no cost. */
const char *ag_cedar_policy_id(const struct ag_cedar_set *set, size_t index);

/* Its annotation by name; false if there is none. Without value: "". */
bool ag_cedar_policy_annotation(const struct ag_cedar_set *set, size_t index,
    const char *name, struct ag_cedar_str *out);

/* Its n-th annotation, in the order of writing. */
bool ag_cedar_policy_annotation_at(const struct ag_cedar_set *set, size_t index,
    size_t n, struct ag_cedar_str *name, struct ag_cedar_str *value);

/* ---------------------------------------------------------- validation */

struct ag_cedar_finding {
	const char *policy_id; /* of the policy or template */
	bool is_error;         /* false: a warning */
	struct ag_cedar_problem problem;
};

/* Called for each finding; its argument is gone when it returns. */
typedef void ag_cedar_finding_fn(void *arg,
    const struct ag_cedar_finding *finding);

/* Strict validation of every policy, template and link, in as many request
 * environments as the schema has. OK if it ran, whatever was found: *errors
 * has the number of errors, those beyond the first per place not counted. */
AG_CEDAR_MUST enum ag_cedar_err ag_cedar_set_validate(
    const struct ag_cedar_set *set, const struct ag_cedar_schema *schema,
    size_t max_bytes, ag_cedar_finding_fn *report, void *arg, size_t *errors);

/* ----------------------------------------------------------- decisions */

enum ag_cedar_fault {
	AG_CEDAR_FAULT_NONE,
	AG_CEDAR_FAULT_TYPE,      /* a value of the wrong type */
	AG_CEDAR_FAULT_NO_ENTITY, /* attribute or tag of an unknown entity */
	AG_CEDAR_FAULT_NO_ATTR,   /* the attribute is not there */
	AG_CEDAR_FAULT_NO_TAG,    /* the tag is not there */
	AG_CEDAR_FAULT_OVERFLOW,  /* beyond 64 bits */
	AG_CEDAR_FAULT_ARITY,     /* wrong number of arguments */
	AG_CEDAR_FAULT_EXTENSION, /* the text is no decimal, ip, … */
	AG_CEDAR_FAULT_DEPTH,     /* a value would nest too deep */
	AG_CEDAR_FAULT_MEMORY,    /* the scratch is too small */
};

/* The name of a fault, for an audit record: "type", "no_entity", … */
const char *ag_cedar_fault_name(enum ag_cedar_fault fault);

struct ag_cedar_failure {
	uint32_t policy; /* index in the set */
	enum ag_cedar_fault fault;
	uint32_t line, column; /* of the expression that failed */
};

struct ag_cedar_answer {
	bool allow; /* false unless a permit said so and no forbid did */
	/* The policies that determined the decision, ascending; none if it is
	 * the default deny. They, and the failures, live in the scratch. */
	const uint32_t *reasons;
	size_t reason_count;
	/* Policies that were skipped because their evaluation failed. */
	const struct ag_cedar_failure *failures;
	size_t failure_count;
	/* Permits that matched although a forbid won. */
	const uint32_t *permits;
	size_t permit_count;
};

/*
 * Decides. scratch: memory that is only used meanwhile and for the answer; over
 * bytes of the caller, nothing is allocated. 64 KiB is enough unless policies
 * build large sets, or thousands of policies match. NO_MEMORY if it was not:
 * then the answer is to deny, whatever the policies say.
 * The set must be compiled and the entities closed.
 */
AG_CEDAR_MUST enum ag_cedar_err ag_cedar_decide(const struct ag_cedar_set *set,
    const struct ag_cedar_entities *entities,
    const struct ag_cedar_request *request, struct ag_cedar_arena *scratch,
    struct ag_cedar_answer *out);

/* ------------------------------------------------------ text and JSON out */

/*
 * The text in the one form of it: same tokens, same comments, canonical space.
 * Stable: what it gave, it gives back. The result is NUL-terminated and lives
 * in the arena. SYNTAX if the text is not a policy set.
 */
AG_CEDAR_MUST enum ag_cedar_err ag_cedar_format(struct ag_cedar_arena *arena,
    const char *text, size_t len, char **out, size_t *out_len,
    struct ag_cedar_problem *problem);

/* The n-th static policy or template (in order of adding; n < templates +
 * static policies) as Cedar's JSON policy format, in malloc's memory: free()
 * it. UNKNOWN if there is none. */
AG_CEDAR_MUST enum ag_cedar_err ag_cedar_policy_json(
    const struct ag_cedar_set *set, size_t n, char **out);

/* The value as Cedar's JSON, in malloc's memory; NULL: no memory. */
char *ag_cedar_value_json(const struct ag_cedar_value *value);

/*
 * Parses one expression, evaluates it over the request (may be NULL: only
 * constants) and the entities, and gives the value. For tests, `explain` and
 * fuzzing. A failed evaluation is AG_CEDAR_INVALID with the fault's name in
 * the problem.
 */
AG_CEDAR_MUST enum ag_cedar_err ag_cedar_evaluate(struct ag_cedar_arena *arena,
    const char *text, size_t len, const struct ag_cedar_entities *entities,
    const struct ag_cedar_request *request, struct ag_cedar_value *out,
    struct ag_cedar_problem *problem);

#endif
