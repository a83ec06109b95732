/* SPDX-License-Identifier: Apache-2.0 */
/* Strings, hashes, names, and how a problem is said. */
#include "core.h"

#include <stdio.h>

int
cedar_str_order(struct ag_cedar_str a, struct ag_cedar_str b)
{
	size_t len = a.len < b.len ? a.len : b.len;
	int order = len == 0 ? 0 : memcmp(a.p, b.p, len);

	return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* FNV-1a with a last mix, so that tables may mask off the high bits. */
uint32_t
cedar_hash(struct ag_cedar_str s, uint32_t seed)
{
	uint32_t hash = UINT32_C(2166136261) ^ seed;

	for (size_t i = 0; i < s.len; i++)
		hash = (hash ^ (uint8_t)s.p[i]) * UINT32_C(16777619);
	hash ^= hash >> 15;
	hash *= UINT32_C(0x85ebca6b);
	return hash ^ hash >> 13;
}

struct ag_cedar_str
cedar_str_copy(struct ag_cedar_arena *arena, struct ag_cedar_str s)
{
	char *p = ag_cedar_alloc(arena, s.len + 1);

	if (p != NULL && s.len != 0)
		memcpy(p, s.p, s.len);
	return (struct ag_cedar_str){ p, p == NULL ? 0 : s.len };
}

struct ag_cedar_uid
ag_cedar_uid(struct ag_cedar_str type, struct ag_cedar_str id)
{
	struct ag_cedar_uid uid = { type, id, 0, cedar_hash(type, 0) };

	uid.hash = cedar_hash(id, uid.type_hash);
	return uid;
}

bool
ag_cedar_uid_equal(const struct ag_cedar_uid *a, const struct ag_cedar_uid *b)
{
	return a == b || (a->hash == b->hash && cedar_str_equal(a->id, b->id) &&
	    cedar_str_equal(a->type, b->type));
}

bool
cedar_uid_copy(struct ag_cedar_arena *arena, const struct ag_cedar_uid *uid,
    struct ag_cedar_uid *out)
{
	struct ag_cedar_uid copy = *uid;

	copy.type = cedar_str_copy(arena, uid->type);
	copy.id = cedar_str_copy(arena, uid->id);
	*out = copy;
	return copy.type.p != NULL && copy.id.p != NULL;
}

/* -------------------------------------------------------------- problems */

enum ag_cedar_err
cedar_problem(struct ag_cedar_problem *p, enum ag_cedar_err code,
    const char *format, ...)
{
	va_list args;

	if (p == NULL)
		return code;
	p->code = code;
	va_start(args, format);
	(void)vsnprintf(p->text, sizeof(p->text), format, args);
	va_end(args);
	/* What is quoted from a text may hold anything: keep it one line. */
	for (char *c = p->text; *c != '\0'; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = ' ';
	return code;
}

enum ag_cedar_err
cedar_no_memory(struct ag_cedar_problem *p)
{
	return cedar_problem(p, AG_CEDAR_NO_MEMORY,
	    "the memory given for this is used up; give more, or less text");
}

void
cedar_place(struct ag_cedar_str text, size_t at, uint32_t *line,
    uint32_t *column)
{
	size_t begin = 0;

	*line = 1;
	if (at > text.len)
		at = text.len;
	for (size_t i = 0; i < at; i++)
		if (text.p[i] == '\n') {
			++*line;
			begin = i + 1;
		}
	*column = (uint32_t)(at - begin + 1);
}

/* ----------------------------------------------------------------- names */

bool
cedar_is_reserved(struct ag_cedar_str word)
{
	static const char *const words[] = { "true", "false", "if", "then",
		"else", "in", "is", "like", "has", "__cedar" };

	for (size_t i = 0; i < CEDAR_COUNT(words); i++)
		if (cedar_is(word, words[i]))
			return true;
	return false;
}

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

bool
cedar_is_ident(struct ag_cedar_str word)
{
	if (word.len == 0 || !is_letter(word.p[0]))
		return false;
	for (size_t i = 1; i < word.len; i++)
		if (!is_letter(word.p[i]) &&
		    (word.p[i] < '0' || word.p[i] > '9'))
			return false;
	return true;
}

/* Takes the first identifier off a path; false if there is none. */
static bool
path_step(struct ag_cedar_str *path, struct ag_cedar_str *word)
{
	size_t n = 0;

	while (n < path->len && path->p[n] != ':')
		n++;
	*word = (struct ag_cedar_str){ path->p, n };
	if (!cedar_is_ident(*word))
		return false;
	if (n == path->len) {
		path->len = 0;
		return true;
	}
	/* After "::" something must follow. */
	if (path->len - n < 3 || path->p[n + 1] != ':')
		return false;
	path->p += n + 2;
	path->len -= n + 2;
	return true;
}

bool
cedar_is_type_name(struct ag_cedar_str name)
{
	struct ag_cedar_str word;

	do
		if (!path_step(&name, &word) || cedar_is_reserved(word))
			return false;
	while (name.len != 0);
	return true;
}

bool
cedar_is_action_type(struct ag_cedar_str name)
{
	static const char tail[] = "::Action";
	size_t len = sizeof(tail) - 1;

	return cedar_is(name, "Action") || (name.len > len &&
	    memcmp(name.p + name.len - len, tail, len) == 0);
}
