/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jansson refuses NUL in the names of members, Cedar's attributes may have it.
 * So a text with \u0000 is masked before it is parsed: NUL becomes a pair of
 * characters that Unicode reserves for such use, and what is read is unmasked.
 */
#include "json.h"

/* U+FDD0, then U+FDD1 for NUL or U+FDD2 for U+FDD0 itself. */
#define LEAD "\xef\xb7\x90"
#define NUL_TAIL "\xef\xb7\x91"
#define LEAD_TAIL "\xef\xb7\x92"

enum { ESCAPE = 6, MARK = 3 }; /* bytes of \u0000, of a mark */

static bool
is_escape(const char *p, size_t left, const char *lower)
{
	if (left < ESCAPE)
		return false;
	for (int i = 0; i < ESCAPE; i++)
		if ((p[i] | (p[i] >= 'A' && p[i] <= 'Z' ? 0x20 : 0)) != lower[i])
			return false;
	return true;
}

bool
cedar_json_mask(struct ag_cedar_arena *arena, struct ag_cedar_str text,
    struct ag_cedar_str *out)
{
	char *p = ag_cedar_alloc(arena, text.len * 2 + 1);
	size_t n = 0;

	if (p == NULL)
		return false;
	for (size_t i = 0; i < text.len;) {
		const char *from = text.p + i;
		size_t left = text.len - i, take;
		bool is_nul = is_escape(from, left, "\\u0000");

		if (is_nul || is_escape(from, left, "\\ufdd0") ||
		    (left >= MARK && memcmp(from, LEAD, MARK) == 0)) {
			memcpy(p + n, LEAD, MARK);
			memcpy(p + n + MARK, is_nul ? NUL_TAIL : LEAD_TAIL, MARK);
			n += 2 * MARK;
			i += *from == '\\' ? ESCAPE : MARK;
			continue;
		}
		/* A backslash takes what follows with it. */
		take = *from == '\\' && left > 1 ? 2 : 1;
		memcpy(p + n, from, take);
		n += take;
		i += take;
	}
	*out = (struct ag_cedar_str){ p, n };
	return true;
}

/* In place: it only gets shorter. */
void
cedar_json_unmask(char *p, size_t *len)
{
	size_t n = 0;

	for (size_t i = 0; i < *len;) {
		if (*len - i >= 2 * MARK && memcmp(p + i, LEAD, MARK) == 0) {
			if (memcmp(p + i + MARK, NUL_TAIL, MARK) == 0) {
				p[n++] = '\0';
			} else {
				memmove(p + n, LEAD, MARK);
				n += MARK;
			}
			i += 2 * MARK;
			continue;
		}
		p[n++] = p[i++];
	}
	p[n] = '\0';
	*len = n;
}
