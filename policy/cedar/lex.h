/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens of policies and of the schema syntax, and what is in quotes. */
#ifndef AEGIS_POLICY_CEDAR_LEX_H
#define AEGIS_POLICY_CEDAR_LEX_H

#include "core.h"

/* A token of one character is that character. */
enum cedar_token_kind {
	CEDAR_T_END = 0,
	CEDAR_T_IDENT = 256,
	CEDAR_T_NUMBER,
	CEDAR_T_STRING, /* text has the quotes */
	CEDAR_T_SLOT,   /* ?name */
	CEDAR_T_PATH,   /* :: */
	CEDAR_T_EQ,
	CEDAR_T_NEQ,
	CEDAR_T_LE,
	CEDAR_T_GE,
	CEDAR_T_AND,
	CEDAR_T_OR,
	CEDAR_T_COMMENT, /* only if asked for */
	CEDAR_T_BAD,     /* the problem is filled in */
};

struct cedar_token {
	int kind;
	size_t at;
	struct ag_cedar_str text;
};

struct cedar_lexer {
	struct ag_cedar_str text;
	size_t at;
	bool want_comments;
	struct ag_cedar_problem *problem;
};

/* Refuses what is too long or no UTF-8. */
enum ag_cedar_err cedar_lex_begin(struct cedar_lexer *lexer,
    struct ag_cedar_str text, struct ag_cedar_problem *problem);
struct cedar_token cedar_lex(struct cedar_lexer *lexer);

/* A problem at a place of the text. */
enum ag_cedar_err cedar_lex_problem(const struct cedar_lexer *lexer,
    enum ag_cedar_err code, size_t at, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The content of a string token; a pattern's, if star is not NULL: then \* is
 * a star itself, and *star says which bytes are wildcards. */
enum ag_cedar_err cedar_unquote(struct ag_cedar_arena *arena,
    const struct cedar_lexer *lexer, const struct cedar_token *token,
    struct ag_cedar_str *out, bool **star);

bool cedar_is_utf8(struct ag_cedar_str text, size_t *bad);

#endif
