/* SPDX-License-Identifier: Apache-2.0 */
/* What @approval says: "<role>[, quorum N][, window D]". */
#include "rules.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS_MAX = 3, TEXT_MAX = 128 };

static bool
is_group(const char *text)
{
	size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789._-");

	return len > 0 && len <= AG_RULES_NAME_MAX && text[len] == '\0' &&
	    strchr("._-", text[0]) == NULL;
}

/* A number from 1 to max, with at most five digits; the end is behind it. */
static bool
number(const char *text, unsigned long max, unsigned *out, const char **end)
{
	size_t digits = strspn(text, "0123456789");
	unsigned long n;

	if (digits == 0 || digits > 5)
		return false;
	n = strtoul(text, NULL, 10);
	*out = (unsigned)n;
	*end = text + digits;
	return n > 0 && n <= max;
}

/* 90s 15m 1h 1d */
static bool
window(const char *text, unsigned *out)
{
	static const struct { char unit; unsigned seconds; } units[] = {
		{ 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
	const char *end;

	if (!number(text, AG_RULES_WINDOW_S_MAX, out, &end))
		return false;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (end[0] == units[i].unit && end[1] == '\0') {
			uint64_t s = (uint64_t)*out * units[i].seconds;

			*out = (unsigned)s;
			return s <= AG_RULES_WINDOW_S_MAX;
		}
	return false;
}

static const char *
after(const char *text, const char *word)
{
	size_t len = strlen(word);

	return strncmp(text, word, len) == 0 ? text + len : NULL;
}

bool
ag_rules_need_parse(const char *text, size_t len, struct ag_rules_need *out)
{
	char copy[TEXT_MAX], *words[WORDS_MAX], *rest = copy;
	const char *value, *end;
	size_t count = 0;

	if (len == 0 || len >= sizeof(copy) || memchr(text, '\0', len) != NULL)
		return false;
	memcpy(copy, text, len);
	copy[len] = '\0';
	for (char *comma = copy; comma != NULL; rest = comma + 2) {
		if (count == WORDS_MAX)
			return false;
		words[count++] = rest;
		if ((comma = strstr(rest, ", ")) == NULL)
			break;
		*comma = '\0';
	}
	if (!is_group(words[0]))
		return false;
	strcpy(out->group, words[0]);
	out->quorum = 1;
	out->window_s = 0;
	for (size_t i = 1; i < count; i++) {
		if (i == 1 && (value = after(words[i], "quorum ")) != NULL) {
			if (!number(value, AG_RULES_QUORUM_MAX, &out->quorum,
			    &end) || *end != '\0')
				return false;
		} else if (i != count - 1 ||
		    (value = after(words[i], "window ")) == NULL ||
		    !window(value, &out->window_s)) {
			return false;
		}
	}
	return true;
}
