/* SPDX-License-Identifier: Apache-2.0 */
/* What the two halves of the policy parser share. */
#ifndef AEGIS_POLICY_CEDAR_PARSE_H
#define AEGIS_POLICY_CEDAR_PARSE_H

#include "lex.h"

struct cedar_parser {
	struct cedar_lexer lexer;
	struct ag_cedar_arena *arena;
	struct cedar_token token; /* the one looked at */
	unsigned nest;            /* brackets open */
	enum ag_cedar_err err;    /* the first error; ends everything */
};

/* Each of these sets err at the first problem, and does nothing after it. */
void cedar_next(struct cedar_parser *p);
bool cedar_accept(struct cedar_parser *p, int kind); /* takes it, if it is */
bool cedar_expect(struct cedar_parser *p, int kind, const char *what);
bool cedar_at_word(const struct cedar_parser *p, const char *word);

/* "expected <what>, found …"; always false. */
bool cedar_unexpected(struct cedar_parser *p, const char *what);
#define CEDAR_REFUSE(p, place, ...) \
	((p)->err != AG_CEDAR_OK ? (p)->err : ((p)->err = \
	cedar_lex_problem(&(p)->lexer, AG_CEDAR_SYNTAX, place, __VA_ARGS__)))

/* One more bracket is open; false, if too many are. */
bool cedar_enter(struct cedar_parser *p);
void cedar_leave(struct cedar_parser *p);

/* Words joined by "::", the first of which is already known. In the arena. */
bool cedar_parse_path(struct cedar_parser *p, struct ag_cedar_str *out);

/* Path::"id"; `what` says what was expected, if it is something else. */
bool cedar_parse_uid(struct cedar_parser *p, const char *what,
    struct ag_cedar_uid *out);
struct cedar_expr *cedar_expression(struct cedar_parser *p);

/* A term with its signs: what operators join. */
struct cedar_expr *cedar_term(struct cedar_parser *p);

/* A name without quotes, which may be no reserved word; or one with quotes. */
bool cedar_attribute_word(struct cedar_parser *p, struct ag_cedar_str *out);
bool cedar_attribute_name(struct cedar_parser *p, struct ag_cedar_str *out);

/* Has it more levels than are allowed? Then that is the error. */
bool cedar_too_high(struct cedar_parser *p, const struct cedar_expr *e);
struct cedar_expr *cedar_node(struct cedar_parser *p, enum cedar_op op,
    size_t at, struct cedar_expr *a, struct cedar_expr *b, struct cedar_expr *c);

/* The same without a parser; NULL: no memory, or higher than allowed. */
struct cedar_expr *cedar_make(struct ag_cedar_arena *arena, enum cedar_op op,
    struct cedar_expr *a, struct cedar_expr *b, struct cedar_expr *c);

#endif
