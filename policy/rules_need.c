/* SPDX-License-Identifier: Apache-2.0 */
/* What annotations say: @approval "<role>[, quorum N][, window D]", @timeout
 * "200ms", @max_ttl "15m", @constraint "rate". */
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

struct unit {
	const char *name;
	unsigned times;
};

/* A number with one of these units, all of it at most max. */
static bool
measure(const char *text, const struct unit *units, unsigned long max,
    unsigned *out)
{
	const char *end;

	if (!number(text, max, out, &end))
		return false;
	for (; units->name != NULL; units++)
		if (strcmp(end, units->name) == 0) {
			uint64_t all = (uint64_t)*out * units->times;

			*out = (unsigned)all;
			return all <= max;
		}
	return false;
}

/* 90s 15m 1h 1d */
static const struct unit spans[] = { { "s", 1 }, { "m", 60 }, { "h", 3600 },
	{ "d", 86400 }, { NULL, 0 } };

/* All of the text is one measure from min to max. */
static bool
whole(const char *text, size_t len, const struct unit *units, unsigned min,
    unsigned max, unsigned *out)
{
	char copy[16];

	if (len == 0 || len >= sizeof(copy) || memchr(text, '\0', len) != NULL)
		return false;
	memcpy(copy, text, len);
	copy[len] = '\0';
	return measure(copy, units, max, out) && *out >= min;
}

bool
ag_rules_timeout_parse(const char *text, size_t len, unsigned *ms)
{
	static const struct unit units[] = { { "ms", 1 }, { "s", 1000 },
		{ NULL, 0 } };

	return whole(text, len, units, AG_RULES_TIMEOUT_MS_MIN,
	    AG_RULES_TIMEOUT_MS_MAX, ms);
}

bool
ag_rules_ttl_parse(const char *text, size_t len, unsigned *s)
{
	return whole(text, len, spans, AG_RULES_TTL_S_MIN, AG_RULES_TTL_S_MAX, s);
}

bool
ag_rules_issues(const char *operation)
{
	return strcmp(operation, "agent.issue") == 0 ||
	    strcmp(operation, "principal.issue") == 0;
}

static const struct {
	const char *value, *reason_code;
} constraints[] = {
	{ "rate", "constraint_rate" },
	{ "bytes", "constraint_bytes" },
	{ "operations", "constraint_operations" },
	{ "concurrency", "constraint_concurrency" },
};
enum { CONSTRAINTS = sizeof(constraints) / sizeof(constraints[0]) };

const char *
ag_rules_constraint(const char *value, size_t len)
{
	for (size_t i = 0; i < CONSTRAINTS; i++)
		if (strlen(constraints[i].value) == len &&
		    memcmp(constraints[i].value, value, len) == 0)
			return constraints[i].reason_code;
	return NULL;
}

bool
ag_rules_is_denial(const char *reason_code)
{
	if (reason_code == NULL)
		return false;
	for (size_t i = 0; i < CONSTRAINTS; i++)
		if (strcmp(constraints[i].reason_code, reason_code) == 0)
			return true;
	return strcmp(reason_code, "no_matching_rule") == 0 ||
	    strcmp(reason_code, AG_RULES_SESSION) == 0;
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
		    !measure(value, spans, AG_RULES_WINDOW_S_MAX,
		    &out->window_s)) {
			return false;
		}
	}
	return true;
}
