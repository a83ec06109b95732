/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of this folder share: the tree of an expression, a policy,
 * and the small tools around strings, hashes and problems.
 */
#ifndef AEGIS_POLICY_CEDAR_CORE_H
#define AEGIS_POLICY_CEDAR_CORE_H

#include "cedar.h"

#include <stdarg.h>
#include <string.h>

#define CEDAR_COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* --------------------------------------------------------------- strings */

static inline struct ag_cedar_str
cedar_str(const char *text)
{
	return (struct ag_cedar_str){ text, strlen(text) };
}

static inline bool
cedar_str_equal(struct ag_cedar_str a, struct ag_cedar_str b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

static inline bool
cedar_is(struct ag_cedar_str a, const char *text)
{
	return a.len == strlen(text) && memcmp(a.p, text, a.len) == 0;
}

int cedar_str_order(struct ag_cedar_str a, struct ag_cedar_str b);
uint32_t cedar_hash(struct ag_cedar_str s, uint32_t seed);

/* In the arena, NUL-terminated; p is NULL if there is no memory. */
struct ag_cedar_str cedar_str_copy(struct ag_cedar_arena *arena,
    struct ag_cedar_str s);
bool cedar_uid_copy(struct ag_cedar_arena *arena, const struct ag_cedar_uid *uid,
    struct ag_cedar_uid *out);

/* An array in an arena that doubles; false if there is no memory. */
bool cedar_grow(struct ag_cedar_arena *arena, void *array, size_t count,
    size_t item_size);

/* Fills in the problem and returns its code. p may be NULL. */
enum ag_cedar_err cedar_problem(struct ag_cedar_problem *p,
    enum ag_cedar_err code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
enum ag_cedar_err cedar_no_memory(struct ag_cedar_problem *p);

/* Line and column of an offset, both from 1. */
void cedar_place(struct ag_cedar_str text, size_t at, uint32_t *line,
    uint32_t *column);

/* ------------------------------------------------------------ expressions */

enum cedar_op {
	CEDAR_LIT, /* a literal, or what was folded into one */
	CEDAR_PRINCIPAL,
	CEDAR_ACTION,
	CEDAR_RESOURCE,
	CEDAR_CONTEXT,
	CEDAR_SLOT_PRINCIPAL,
	CEDAR_SLOT_RESOURCE,
	CEDAR_IF,
	CEDAR_AND,
	CEDAR_OR,
	CEDAR_NOT,
	CEDAR_NEG,
	CEDAR_EQ,
	CEDAR_NEQ,
	CEDAR_LT,
	CEDAR_LE,
	CEDAR_GT,
	CEDAR_GE,
	CEDAR_IN,
	CEDAR_ADD,
	CEDAR_SUB,
	CEDAR_MUL,
	CEDAR_CONTAINS,
	CEDAR_CONTAINS_ALL,
	CEDAR_CONTAINS_ANY,
	CEDAR_IS_EMPTY,
	CEDAR_GET_TAG,
	CEDAR_HAS_TAG,
	CEDAR_GET,
	CEDAR_HAS,
	CEDAR_LIKE,
	CEDAR_TYPE_IS, /* with `in` folded in: b is not NULL */
	CEDAR_SET_OF,
	CEDAR_RECORD_OF,
	CEDAR_CALL,
	CEDAR_LIT_LONG, /* in code only */
};

/* A pattern of `like`: bytes, of which those in star are wildcards. */
struct cedar_pattern {
	struct ag_cedar_str text;
	const bool *star; /* one a byte of the text */
};

struct cedar_expr {
	uint8_t op;
	bool is_folded; /* LIT: the tree that it was is in `was` */
	uint16_t height;
	uint32_t at; /* offset in the text */
	union {
		struct ag_cedar_value lit;
		struct {
			struct cedar_expr *a, *b, *c;
			union {
				struct ag_cedar_str name; /* GET, HAS, TYPE_IS */
				struct cedar_pattern *pattern;
			};
		};
		struct {
			struct cedar_expr **items; /* SET_OF, RECORD_OF, CALL */
			struct ag_cedar_str *names; /* RECORD_OF; ascending */
			uint32_t count;
			const struct cedar_ext *ext; /* CALL */
		};
	};
	struct cedar_expr *was;
};

bool cedar_expr_equal(const struct cedar_expr *a, const struct cedar_expr *b);

/* --------------------------------------------------------------- policies */

enum cedar_scope_kind {
	CEDAR_SCOPE_ANY,
	CEDAR_SCOPE_EQ,
	CEDAR_SCOPE_IN,    /* for an action: in any of uids */
	CEDAR_SCOPE_IS,
	CEDAR_SCOPE_IS_IN,
};

struct cedar_scope {
	uint8_t kind;
	bool has_slot; /* in the place of the uid */
	bool is_list;  /* the action was written with brackets */
	uint32_t at;
	struct ag_cedar_str type; /* IS, IS_IN */
	uint32_t type_hash;
	struct ag_cedar_uid *uids;
	uint32_t uid_count;
};

enum { CEDAR_P, CEDAR_A, CEDAR_R, CEDAR_DIMS }; /* principal, action, resource */

struct cedar_annotation {
	struct ag_cedar_str name, value;
	bool has_value;
};

struct cedar_condition {
	bool is_unless;
	struct cedar_expr *expr;
	struct cedar_condition *next;
};

/* What was written: a static policy or a template. */
struct cedar_body {
	struct ag_cedar_str id;
	bool forbid;
	bool is_template;
	bool has_source;
	struct cedar_scope scope[CEDAR_DIMS];
	struct cedar_annotation *annotations;
	uint32_t annotation_count;
	struct cedar_condition *conditions;
	struct ag_cedar_str source; /* the text it is from */
	uint32_t at;
	uint32_t code; /* of compile: where its conditions begin, from 1 */
	struct cedar_body *next;
};

/* What is evaluated: a static policy or a link. */
struct cedar_policy {
	struct ag_cedar_str id;
	struct cedar_body *body;
	struct ag_cedar_uid *slot[CEDAR_DIMS]; /* NULL: none */
};

/* Reads a text; the bodies are appended to *bodies with ids prefix + number. */
enum ag_cedar_err cedar_parse_policies(struct ag_cedar_arena *arena,
    const char *prefix, struct ag_cedar_str text, struct cedar_body **bodies,
    struct ag_cedar_problem *problem);
enum ag_cedar_err cedar_parse_expr(struct ag_cedar_arena *arena,
    struct ag_cedar_str text, struct cedar_expr **out,
    struct ag_cedar_problem *problem);

/* --------------------------------------------------------- reserved names */

/* May it stand in an entity type or be an attribute without quotes? */
bool cedar_is_reserved(struct ag_cedar_str word);
bool cedar_is_ident(struct ag_cedar_str word);

/* A path of identifiers, none reserved, none of them __cedar. */
bool cedar_is_type_name(struct ag_cedar_str name);

/* Its last identifier is Action. */
bool cedar_is_action_type(struct ag_cedar_str name);

#endif
