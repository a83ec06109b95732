/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one form of a text. It is made of the tokens and comments alone, so what
 * it gives, it gives back: a policy's parts have lines of their own; within a
 * condition, brackets and the operators && and || break where a line would
 * become too long; a comment stays behind the token that it was behind, or
 * before the one that it was before.
 */
#include "lex.h"

enum {
	WIDTH = 80,
	INDENT = 2,
	NEST = AG_CEDAR_NEST_MAX * 2,
};

struct piece {
	int kind;
	struct ag_cedar_str text;
	bool own_line;  /* a comment with nothing before it on its line */
	uint32_t close; /* of an open bracket: where it is closed */
	uint32_t width; /* of it and what it encloses, flat; at most WIDTH + 1 */
	bool has_comment; /* within it */
};

struct formatter {
	struct ag_cedar_arena *arena;
	struct piece *pieces;
	uint32_t count;
	char *out;
	size_t len, room;
	size_t column; /* of what was written last */
	bool no_memory, at_begin;
	/* Of the brackets that are open: does it break, and its indent. */
	bool broken[NEST];
	unsigned indents[NEST], nest;
};

/* --------------------------------------------------------------- output */

static void
put(struct formatter *f, struct ag_cedar_str s)
{
	if (f->len + s.len + 1 > f->room) {
		size_t room = (f->len + s.len + 64) * 2;
		char *bigger = ag_cedar_alloc(f->arena, room);

		if (bigger == NULL) {
			f->no_memory = true;
			return;
		}
		if (f->len != 0)
			memcpy(bigger, f->out, f->len);
		f->out = bigger;
		f->room = room;
	}
	if (s.len != 0)
		memcpy(f->out + f->len, s.p, s.len);
	f->len += s.len;
	f->out[f->len] = '\0';
	f->column += s.len;
	f->at_begin = false;
}

static void
line(struct formatter *f, unsigned indent)
{
	static const struct ag_cedar_str newline = { "\n", 1 }, space = { " ", 1 };

	if (!f->at_begin || f->column != 0)
		put(f, newline);
	f->column = 0;
	for (unsigned i = 0; i < indent; i++)
		put(f, space);
	f->at_begin = true;
}

static void
blank(struct formatter *f)
{
	if (!f->at_begin)
		put(f, (struct ag_cedar_str){ " ", 1 });
}

/* ---------------------------------------------------------------- reading */

static bool
is_word(const struct piece *p, const char *word)
{
	return p->kind == CEDAR_T_IDENT && cedar_is(p->text, word);
}

static bool
is_open(int kind)
{
	return kind == '(' || kind == '[' || kind == '{';
}

static bool
is_close(int kind)
{
	return kind == ')' || kind == ']' || kind == '}';
}

/* Is there a space between these two, on one line? */
static bool
apart(const struct piece *a, const struct piece *b, bool unary)
{
	static const int tight_before[] = { ',', ';', ')', ']', '.', ':',
		CEDAR_T_PATH };
	bool b_opens = b->kind == '(' || b->kind == '[';

	for (size_t i = 0; i < CEDAR_COUNT(tight_before); i++)
		if (b->kind == tight_before[i])
			return false;
	if (a->kind == '(' || a->kind == '[' || a->kind == '.' ||
	    a->kind == '@' || a->kind == CEDAR_T_PATH || unary)
		return false;
	/* A call or an index, but not `in [` or `when (`. */
	if (b_opens && (a->kind == ')' || a->kind == ']' || a->kind == '}' ||
	    a->kind == CEDAR_T_STRING))
		return false;
	if (b_opens && a->kind == CEDAR_T_IDENT)
		return is_word(a, "in") || is_word(a, "if") || is_word(a, "then") ||
		    is_word(a, "else") || is_word(a, "like") || is_word(a, "has");
	if (a->kind == '{' && b->kind == '}')
		return false;
	return true;
}

/* A minus or ! with nothing before it that could be an operand. */
static bool
is_unary(const struct formatter *f, uint32_t i)
{
	const struct piece *p = &f->pieces[i], *before;

	if (p->kind == '!')
		return true;
	if (p->kind != '-' || i == 0)
		return false;
	before = p - 1;
	while (before > f->pieces && before->kind == CEDAR_T_COMMENT)
		before--;
	return !(before->kind == CEDAR_T_NUMBER ||
	    before->kind == CEDAR_T_STRING || before->kind == CEDAR_T_SLOT ||
	    is_close(before->kind) || (before->kind == CEDAR_T_IDENT &&
	    !is_word(before, "in") && !is_word(before, "if") &&
	    !is_word(before, "then") && !is_word(before, "else")));
}

static bool
collect(struct formatter *f, struct cedar_lexer *lexer)
{
	uint32_t stack[NEST], depth = 0;
	size_t end = 0;

	for (;;) {
		struct cedar_token t = cedar_lex(lexer);
		struct piece *p;

		if (t.kind == CEDAR_T_END)
			return depth == 0;
		if (t.kind == CEDAR_T_BAD || !cedar_grow(f->arena, &f->pieces,
		    f->count, sizeof(*f->pieces)))
			return false;
		p = &f->pieces[f->count];
		*p = (struct piece){ .kind = t.kind, .text = t.text,
			.close = f->count };
		p->own_line = memchr(lexer->text.p + end, '\n', t.at - end) !=
		    NULL || f->count == 0;
		while (p->kind == CEDAR_T_COMMENT && p->text.len > 0 &&
		    (p->text.p[p->text.len - 1] == ' ' ||
		    p->text.p[p->text.len - 1] == '\t'))
			p->text.len--;
		end = t.at + t.text.len;
		if (is_open(t.kind)) {
			if (depth == NEST)
				return false;
			stack[depth++] = f->count;
		} else if (is_close(t.kind)) {
			if (depth == 0)
				return false;
			f->pieces[stack[--depth]].close = f->count;
		}
		f->count++;
	}
}

/* Widths from the last to the first, so that inner ones are known. */
static void
measure(struct formatter *f)
{
	for (uint32_t i = f->count; i-- > 0;) {
		struct piece *p = &f->pieces[i];
		uint64_t width = p->text.len;

		p->has_comment = p->kind == CEDAR_T_COMMENT;
		for (uint32_t k = i + 1; is_open(p->kind) && k <= p->close;
		    k = f->pieces[k].close + 1) {
			width += f->pieces[k].width + 1;
			p->has_comment |= f->pieces[k].has_comment;
		}
		/* A string may have lines of its own. */
		if (p->kind == CEDAR_T_STRING &&
		    memchr(p->text.p, '\n', p->text.len) != NULL)
			width = WIDTH + 1;
		p->width = width > WIDTH ? WIDTH + 1 : (uint32_t)width;
	}
}

/* ----------------------------------------------------------------- writing */

/* How wide is what is from here to the next place where a line may end? */
static size_t
ahead(const struct formatter *f, uint32_t i, uint32_t end)
{
	size_t width = 0;

	for (; i < end && width <= WIDTH; i = f->pieces[i].close + 1) {
		const struct piece *p = &f->pieces[i];

		width += p->width + 1;
		if (p->kind == ',' || p->kind == CEDAR_T_AND ||
		    p->kind == CEDAR_T_OR || p->kind == CEDAR_T_COMMENT)
			break;
	}
	return width;
}

static void
comment(struct formatter *f, const struct piece *p, unsigned indent)
{
	/* Behind a token it stays there; the next one begins a line anyway. */
	if (p->own_line && !f->at_begin)
		line(f, indent);
	else if (!p->own_line)
		blank(f);
	put(f, p->text);
	line(f, indent);
}

/* Tokens of one bracket, or of a policy, at an indent. broken: the comma ends
 * a line, and so do && and || that are in no inner bracket. */
static void
run(struct formatter *f, uint32_t i, uint32_t end, unsigned indent, bool broken)
{
	uint32_t before = i;

	for (; i < end && !f->no_memory; before = i, i++) {
		const struct piece *p = &f->pieces[i];
		const struct piece *last = i == 0 ? p : &f->pieces[i - 1];
		bool inner;

		(void)before;
		if (p->kind == CEDAR_T_COMMENT) {
			comment(f, p, indent);
			continue;
		}
		if (!f->at_begin && apart(last, p, i > 0 && is_unary(f, i - 1)))
			blank(f);
		put(f, p->text);
		if (is_open(p->kind) && p->close > i) {
			inner = p->has_comment || f->column - p->text.len +
			    p->width > WIDTH;
			if (inner && p->close > i + 1) {
				line(f, indent + INDENT);
				run(f, i + 1, p->close, indent + INDENT, true);
				line(f, indent);
			} else {
				run(f, i + 1, p->close, indent, false);
			}
			i = p->close;
			if (!f->at_begin && f->pieces[i].kind == '}' &&
			    f->pieces[i - 1].kind != '{')
				blank(f);
			put(f, f->pieces[i].text);
			p = &f->pieces[i];
		}
		if (i + 1 < end && f->pieces[i + 1].kind == CEDAR_T_COMMENT)
			continue;
		if (broken && (p->kind == ',' || p->kind == CEDAR_T_AND ||
		    p->kind == CEDAR_T_OR) && i + 1 < end)
			line(f, indent);
	}
}

/* ---------------------------------------------------------------- policies */

/* Where the policy that begins at i ends: behind its semicolon. */
static uint32_t
policy_end(const struct formatter *f, uint32_t i)
{
	while (i < f->count && f->pieces[i].kind != ';')
		i = f->pieces[i].close + 1;
	return i < f->count ? i + 1 : f->count;
}

/* Annotations, effect and scope, conditions: each on a line of its own. */
static void
policy(struct formatter *f, uint32_t i, uint32_t end)
{
	while (i < end && !f->no_memory) {
		const struct piece *p = &f->pieces[i];
		bool breaks;
		uint32_t to;

		if (p->kind == CEDAR_T_COMMENT) {
			comment(f, p, 0);
			i++;
			continue;
		}
		if (p->kind == ';' || is_open(p->kind)) {
			breaks = p->kind == '{' || p->has_comment ||
			    f->column + p->width > WIDTH;
			if (p->kind == '{')
				blank(f);
			put(f, p->text);
			if (p->kind == ';') {
				i++;
				continue;
			}
			if (breaks)
				line(f, INDENT);
			run(f, i + 1, p->close, breaks ? INDENT : 0, breaks &&
			    (p->kind == '(' || p->has_comment ||
			    INDENT + ahead(f, i + 1, p->close) > WIDTH ||
			    p->width > WIDTH - INDENT));
			if (breaks)
				line(f, 0);
			put(f, f->pieces[p->close].text);
			i = p->close + 1;
			continue;
		}
		/* A word or an annotation begins a line. */
		if (!f->at_begin)
			line(f, 0);
		to = i;
		if (p->kind == '@')
			to = i + 1;
		for (; i <= to && i < end; i++)
			put(f, f->pieces[i].text);
	}
}

enum ag_cedar_err
ag_cedar_format(struct ag_cedar_arena *arena, const char *text, size_t len,
    char **out, size_t *out_len, struct ag_cedar_problem *problem)
{
	struct formatter f = { .arena = arena, .at_begin = true };
	struct ag_cedar_str source = { text, len };
	struct cedar_body *bodies = NULL;
	struct cedar_lexer lexer;
	enum ag_cedar_err err = cedar_parse_policies(arena, "policy", source,
	    &bodies, problem);

	if (err != AG_CEDAR_OK)
		return err;
	if ((err = cedar_lex_begin(&lexer, source, problem)) != AG_CEDAR_OK)
		return err;
	lexer.want_comments = true;
	if (!collect(&f, &lexer))
		return cedar_no_memory(problem);
	measure(&f);
	for (uint32_t i = 0, end; i < f.count && !f.no_memory; i = end) {
		end = policy_end(&f, i);
		/* A comment behind the semicolon is the policy's. */
		if (end < f.count && f.pieces[end].kind == CEDAR_T_COMMENT &&
		    !f.pieces[end].own_line)
			end++;
		policy(&f, i, end);
		if (!f.at_begin)
			line(&f, 0);
		if (end < f.count && f.pieces[end - 1].kind != CEDAR_T_COMMENT)
			put(&f, (struct ag_cedar_str){ "\n", 1 });
		else if (end < f.count)
			put(&f, (struct ag_cedar_str){ "\n", 1 });
		f.column = 0;
		f.at_begin = true;
	}
	if (f.no_memory)
		return cedar_no_memory(problem);
	if (f.out == NULL)
		put(&f, (struct ag_cedar_str){ "", 0 });
	*out = f.out;
	*out_len = f.len;
	return f.no_memory ? cedar_no_memory(problem) : AG_CEDAR_OK;
}
