/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes to tokens. Whitespace is Unicode's, comments run to the line's end. */
#include "lex.h"

#include <stdio.h>

enum ag_cedar_err
cedar_lex_problem(const struct cedar_lexer *lexer, enum ag_cedar_err code,
    size_t at, const char *format, ...)
{
	char text[AG_CEDAR_PROBLEM_SIZE];
	va_list args;

	if (lexer->problem == NULL)
		return code;
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	(void)cedar_problem(lexer->problem, code, "%s", text);
	lexer->problem->at = at;
	cedar_place(lexer->text, at, &lexer->problem->line,
	    &lexer->problem->column);
	return code;
}

/* ----------------------------------------------------------------- UTF-8 */

/* Bytes of the character at p, 0 if it is none (overlong, surrogate, cut). */
static size_t
utf8_len(const uint8_t *p, size_t left)
{
	static const struct {
		uint8_t mask, lead, first_min, first_max, len;
	} rows[] = {
		/* exceptions of the first continuation byte come first */
		{ 0x80, 0x00, 0, 0, 1 },
		{ 0xff, 0xe0, 0xa0, 0xbf, 3 },
		{ 0xff, 0xed, 0x80, 0x9f, 3 },
		{ 0xff, 0xf0, 0x90, 0xbf, 4 },
		{ 0xff, 0xf4, 0x80, 0x8f, 4 },
		{ 0xf0, 0xe0, 0x80, 0xbf, 3 },
		{ 0xfc, 0xf0, 0x80, 0xbf, 4 },
		{ 0xe0, 0xc0, 0x80, 0xbf, 2 },
	};

	if (p[0] == 0xc0 || p[0] == 0xc1)
		return 0;
	for (size_t i = 0; i < CEDAR_COUNT(rows); i++) {
		if ((p[0] & rows[i].mask) != rows[i].lead)
			continue;
		if (rows[i].len == 1)
			return 1;
		if (left < rows[i].len || p[1] < rows[i].first_min ||
		    p[1] > rows[i].first_max)
			return 0;
		for (size_t k = 2; k < rows[i].len; k++)
			if ((p[k] & 0xc0) != 0x80)
				return 0;
		return rows[i].len;
	}
	return 0;
}

bool
cedar_is_utf8(struct ag_cedar_str text, size_t *bad)
{
	for (size_t i = 0, n; i < text.len; i += n) {
		n = utf8_len((const uint8_t *)text.p + i, text.len - i);
		if (n == 0) {
			*bad = i;
			return false;
		}
	}
	return true;
}

/* ---------------------------------------------------------------- tokens */

enum ag_cedar_err
cedar_lex_begin(struct cedar_lexer *lexer, struct ag_cedar_str text,
    struct ag_cedar_problem *problem)
{
	size_t bad;

	*lexer = (struct cedar_lexer){ .text = text, .problem = problem };
	if (problem != NULL)
		memset(problem, 0, sizeof(*problem));
	if (text.len > AG_CEDAR_TEXT_MAX)
		return cedar_problem(problem, AG_CEDAR_LIMIT,
		    "the text has %zu bytes; at most %d are read", text.len,
		    AG_CEDAR_TEXT_MAX);
	if (!cedar_is_utf8(text, &bad))
		return cedar_lex_problem(lexer, AG_CEDAR_SYNTAX, bad,
		    "byte 0x%02x is not UTF-8; save the text as UTF-8",
		    (unsigned)(uint8_t)text.p[bad]);
	return AG_CEDAR_OK;
}

/* Bytes of the whitespace character at p: Unicode's White_Space. */
static size_t
space_len(const char *p, size_t left)
{
	static const char *const wide[] = { "\xc2\x85", "\xc2\xa0",
		"\xe1\x9a\x80", "\xe2\x80\xa8", "\xe2\x80\xa9", "\xe2\x80\xaf",
		"\xe2\x81\x9f", "\xe3\x80\x80" };

	if (*p == ' ' || (*p >= '\t' && *p <= '\r'))
		return 1;
	if (left >= 3 && memcmp(p, "\xe2\x80", 2) == 0 &&
	    (uint8_t)p[2] >= 0x80 && (uint8_t)p[2] <= 0x8a)
		return 3;
	for (size_t i = 0; (uint8_t)*p >= 0x80 && i < CEDAR_COUNT(wide); i++)
		if (strlen(wide[i]) <= left &&
		    memcmp(p, wide[i], strlen(wide[i])) == 0)
			return strlen(wide[i]);
	return 0;
}

static void
skip_space(struct cedar_lexer *lexer)
{
	const struct ag_cedar_str *t = &lexer->text;
	size_t n;

	while (lexer->at < t->len) {
		n = space_len(t->p + lexer->at, t->len - lexer->at);
		if (n == 0 && !lexer->want_comments && t->len - lexer->at >= 2 &&
		    memcmp(t->p + lexer->at, "//", 2) == 0)
			while (lexer->at + n < t->len &&
			    t->p[lexer->at + n] != '\n' &&
			    t->p[lexer->at + n] != '\r')
				n++;
		if (n == 0)
			return;
		lexer->at += n;
	}
}

static bool
is_word_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
	    (c >= '0' && c <= '9');
}

/* Bytes of the identifier at p; 0 if there is none. */
static size_t
word_len(const char *p, size_t left)
{
	size_t n = 0;

	if (left == 0 || (*p >= '0' && *p <= '9'))
		return 0;
	while (n < left && is_word_char(p[n]))
		n++;
	return n;
}

/* Bytes of the string with its quotes; 0 if it does not end. */
static size_t
string_len(const char *p, size_t left)
{
	for (size_t n = 1; n < left; n++) {
		if (p[n] == '"')
			return n + 1;
		if (p[n] == '\\' && (++n >= left || p[n] == '\n'))
			return 0;
	}
	return 0;
}

static const struct {
	const char *text;
	int kind;
} doubles[] = {
	{ "::", CEDAR_T_PATH }, { "==", CEDAR_T_EQ }, { "!=", CEDAR_T_NEQ },
	{ "<=", CEDAR_T_LE }, { ">=", CEDAR_T_GE }, { "&&", CEDAR_T_AND },
	{ "||", CEDAR_T_OR },
};

static struct cedar_token
token(struct cedar_lexer *lexer, int kind, size_t len)
{
	struct cedar_token t = { kind, lexer->at,
		{ lexer->text.p + lexer->at, len } };

	lexer->at += len;
	return t;
}

static struct cedar_token
bad_token(struct cedar_lexer *lexer)
{
	const char *p = lexer->text.p + lexer->at;
	size_t left = lexer->text.len - lexer->at;
	size_t len = utf8_len((const uint8_t *)p, left);

	if (*p == '"')
		(void)cedar_lex_problem(lexer, AG_CEDAR_SYNTAX, lexer->at,
		    "the string that begins here does not end; close it with \"");
	else if (*p == '&' || *p == '|')
		(void)cedar_lex_problem(lexer, AG_CEDAR_SYNTAX, lexer->at,
		    "'%c' is no operator; write '%c%c'", *p, *p, *p);
	else
		(void)cedar_lex_problem(lexer, AG_CEDAR_SYNTAX, lexer->at,
		    "unexpected character '%.*s'; such a character may only be "
		    "in a string or a comment", (int)len, p);
	return token(lexer, CEDAR_T_BAD, len);
}

static struct cedar_token
comment(struct cedar_lexer *lexer, const char *p, size_t left)
{
	size_t n = 0;

	while (n < left && p[n] != '\n' && p[n] != '\r')
		n++;
	return token(lexer, CEDAR_T_COMMENT, n);
}

struct cedar_token
cedar_lex(struct cedar_lexer *lexer)
{
	const char *p;
	size_t left, n;

	skip_space(lexer);
	p = lexer->text.p + lexer->at;
	left = lexer->text.len - lexer->at;
	if (left == 0)
		return token(lexer, CEDAR_T_END, 0);
	if (lexer->want_comments && left >= 2 && memcmp(p, "//", 2) == 0)
		return comment(lexer, p, left);
	if ((n = word_len(p, left)) != 0)
		return token(lexer, CEDAR_T_IDENT, n);
	while (n < left && p[n] >= '0' && p[n] <= '9')
		n++;
	if (n != 0)
		return token(lexer, CEDAR_T_NUMBER, n);
	if (*p == '"' && (n = string_len(p, left)) != 0)
		return token(lexer, CEDAR_T_STRING, n);
	if (*p == '?' && (n = word_len(p + 1, left - 1)) != 0)
		return token(lexer, CEDAR_T_SLOT, n + 1);
	for (size_t i = 0; i < CEDAR_COUNT(doubles); i++)
		if (left >= 2 && memcmp(p, doubles[i].text, 2) == 0)
			return token(lexer, doubles[i].kind, 2);
	if (*p != '\0' && strchr("@.,;:(){}[]<>+-*/%!=?", *p) != NULL)
		return token(lexer, *p, 1);
	return bad_token(lexer);
}
