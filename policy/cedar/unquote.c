/* SPDX-License-Identifier: Apache-2.0 */
/* What is between quotes: the escapes of strings and of patterns. */
#include "lex.h"

struct quoted {
	const struct cedar_lexer *lexer;
	const char *p; /* what is left of the source */
	size_t left;
	char *out;
	size_t len;
	bool *star; /* NULL: not a pattern */
};

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Never longer than its escape, so that the output fits. */
static void
put_utf8(struct quoted *q, uint32_t c)
{
	if (c < 0x80) {
		q->out[q->len++] = (char)c;
		return;
	}
	if (c < 0x800) {
		q->out[q->len++] = (char)(0xc0 | c >> 6);
	} else if (c < 0x10000) {
		q->out[q->len++] = (char)(0xe0 | c >> 12);
		q->out[q->len++] = (char)(0x80 | (c >> 6 & 0x3f));
	} else {
		q->out[q->len++] = (char)(0xf0 | c >> 18);
		q->out[q->len++] = (char)(0x80 | (c >> 12 & 0x3f));
		q->out[q->len++] = (char)(0x80 | (c >> 6 & 0x3f));
	}
	q->out[q->len++] = (char)(0x80 | (c & 0x3f));
}

/* \xHH, up to 7f. Returns the bytes after the x, 0 if it is none. */
static size_t
escape_x(struct quoted *q, const char *p, size_t left)
{
	int high = left < 1 ? -1 : hex_digit(p[0]);
	int low = left < 2 ? -1 : hex_digit(p[1]);

	if (high < 0 || high > 7 || low < 0)
		return 0;
	put_utf8(q, (uint32_t)(high << 4 | low));
	return 2;
}

/* \u{H…}: one to six digits, with '_' between or behind them. */
static size_t
escape_u(struct quoted *q, const char *p, size_t left)
{
	uint32_t c = 0;
	int digits = 0, digit;
	size_t n = 1;

	if (left < 2 || p[0] != '{' || p[1] == '_')
		return 0;
	for (; n < left && p[n] != '}'; n++) {
		if (p[n] == '_')
			continue;
		digit = hex_digit(p[n]);
		if (digit < 0 || ++digits > 6)
			return 0;
		c = c << 4 | (uint32_t)digit;
	}
	if (n >= left || digits == 0 || c > 0x10ffff ||
	    (c >= 0xd800 && c <= 0xdfff))
		return 0;
	put_utf8(q, c);
	return n + 1;
}

/* Behind a backslash. Returns the bytes taken, 0 if it is no escape. */
static size_t
escape(struct quoted *q)
{
	static const char from[] = "nrt\\0'\"", to[] = "\n\r\t\\\0'\"";
	const char *at;
	size_t n;

	if (q->left == 0)
		return 0;
	if (q->star != NULL && *q->p == '*') {
		q->out[q->len++] = '*';
		return 1;
	}
	if (*q->p == 'x' || *q->p == 'u') {
		n = (*q->p == 'x' ? escape_x : escape_u)(q, q->p + 1,
		    q->left - 1);
		return n == 0 ? 0 : n + 1;
	}
	at = *q->p == '\0' ? NULL : strchr(from, *q->p);
	if (at == NULL)
		return 0;
	q->out[q->len++] = to[at - from];
	return 1;
}

static enum ag_cedar_err
bad_escape(const struct quoted *q)
{
	size_t at = (size_t)(q->p - q->lexer->text.p) - 1;

	if (*(q->p - 1) == '\r')
		return cedar_lex_problem(q->lexer, AG_CEDAR_SYNTAX, at,
		    "a bare carriage return in a string; write \\r");
	return cedar_lex_problem(q->lexer, AG_CEDAR_SYNTAX, at,
	    "'\\%.*s' is no escape; there are \\n \\r \\t \\\\ \\0 \\' \\\" "
	    "\\x00 to \\x7f and \\u{1f600}%s", q->left == 0 ? 0 : 1, q->p,
	    q->star != NULL ? ", and \\* in a pattern" : "");
}

enum ag_cedar_err
cedar_unquote(struct ag_cedar_arena *arena, const struct cedar_lexer *lexer,
    const struct cedar_token *token, struct ag_cedar_str *out, bool **star)
{
	struct quoted q = { .lexer = lexer, .p = token->text.p + 1,
		.left = token->text.len - 2 };
	size_t n;

	q.out = ag_cedar_alloc(arena, q.left + 1);
	if (star != NULL)
		q.star = ag_cedar_alloc(arena, q.left + 1);
	if (q.out == NULL || (star != NULL && q.star == NULL))
		return cedar_no_memory(lexer->problem);
	while (q.left > 0) {
		char c = *q.p++;

		q.left--;
		n = 0;
		if (c == '\r' || (c == '\\' && (n = escape(&q)) == 0))
			return bad_escape(&q);
		if (c != '\\') {
			if (c == '*' && q.star != NULL)
				q.star[q.len] = true;
			q.out[q.len++] = c;
		}
		q.p += n;
		q.left -= n;
	}
	*out = (struct ag_cedar_str){ q.out, q.len };
	if (star != NULL)
		*star = q.star;
	return AG_CEDAR_OK;
}
