/* SPDX-License-Identifier: Apache-2.0 */
#include "sieve.h"

#include "wire.h"

#include "audit/guard.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ----------------------------------------------------------------------- texts */

/* A text being looked through: linear, whatever is in it. */
struct search {
	const struct sieve *sieve;
	struct guard guard;
	struct guard_hit seen; /* by its looks: the next one */
	bool has_seen;
	const char *own; /* the server's secret, from here on; NULL: no more of it */
};

static void
look_own(struct search *search, size_t from)
{
	const struct sieve *sieve = search->sieve;
	const char *at = search->guard.text + from;

	if (search->own != NULL && search->own < at)
		search->own = memmem(at, search->guard.len - from, sieve->secret,
		    sieve->secret_len);
}

/* What the guard of the log knows by its looks; numbers of cards are no
 * business of this one. What is left of one that was partly taken is taken. */
static void
look(struct search *search, size_t from)
{
	struct guard_hit *seen = &search->seen;

	while (search->has_seen && (seen->at + seen->len <= from ||
	    strcmp(seen->what, "card") == 0))
		search->has_seen = guard_next(&search->guard, seen);
	if (search->has_seen && seen->at < from) {
		seen->len -= from - seen->at;
		seen->at = from;
	}
}

static bool
find_next(struct search *search, size_t from, struct guard_hit *hit)
{
	const char *text = search->guard.text;

	look(search, from);
	look_own(search, from);
	*hit = search->seen;
	if (search->own == NULL || (search->has_seen &&
	    hit->at < (size_t)(search->own - text)))
		return search->has_seen;
	hit->what = "upstream_secret";
	hit->at = (size_t)(search->own - text);
	hit->len = search->sieve->secret_len;
	return true;
}

char *
sieve_text(struct sieve *sieve, const char *text, size_t len)
{
	struct search search = { .sieve = sieve };
	struct guard_hit hit;
	size_t from = 0, size;
	char *bytes = NULL;
	FILE *out = NULL;

	guard_begin(&search.guard, text, len);
	search.own = sieve->secret_len == 0 ? NULL : memmem(text, len, sieve->secret,
	    sieve->secret_len);
	search.has_seen = guard_next(&search.guard, &search.seen);
	while (find_next(&search, from, &hit)) {
		if (out == NULL && (out = open_memstream(&bytes, &size)) == NULL) {
			sieve->failed = true;
			return NULL;
		}
		fwrite(text + from, 1, hit.at - from, out);
		fprintf(out, "[redacted:%s]", hit.what);
		from = hit.at + hit.len;
		sieve->taken++;
		sieve->found++;
	}
	if (out == NULL)
		return NULL;
	fwrite(text + from, 1, len - from, out);
	if (fclose(out) == 0)
		return bytes;
	sieve->failed = true;
	free(bytes);
	return NULL;
}

/* ---------------------------------------------------------------------- values */

static json_t *sieve_inside(struct sieve *sieve, const char *text, size_t len);

static json_t *
sieve_string(struct sieve *sieve, json_t *value)
{
	const char *text = json_string_value(value);
	size_t len = json_string_length(value);
	json_t *inner = sieve_inside(sieve, text, len);
	char *clean;

	if (inner != NULL) {
		json_decref(value);
		value = inner;
		text = json_string_value(value);
		len = json_string_length(value);
	}
	if ((clean = sieve_text(sieve, text, len)) == NULL)
		return value;
	json_decref(value);
	value = json_stringn_nocheck(clean, strlen(clean));
	free(clean);
	return value;
}

static bool
is_field(const struct sieve *sieve, const char *name)
{
	unsigned i;

	for (i = 0; i < sieve->field_count; i++)
		if (strcmp(sieve->fields[i], name) == 0)
			return true;
	return false;
}

static json_t *
sieve_object(struct sieve *sieve, json_t *value)
{
	json_t *out = json_object(), *member, *clean;
	const char *name;
	char *other;
	int rc;

	json_object_foreach(value, name, member) {
		if (is_field(sieve, name)) {
			clean = json_string("[redacted]");
			sieve->taken++;
		} else {
			clean = sieve_value(sieve, json_incref(member));
		}
		other = sieve_text(sieve, name, strlen(name));
		rc = json_object_set_new(out, other == NULL ? name : other, clean);
		free(other);
		if (rc != 0)
			sieve->failed = true;
	}
	json_decref(value);
	return out;
}

static json_t *
sieve_array(struct sieve *sieve, json_t *value)
{
	json_t *out = json_array(), *item;
	size_t i;

	json_array_foreach(value, i, item)
		if (json_array_append_new(out,
		    sieve_value(sieve, json_incref(item))) != 0)
			sieve->failed = true;
	json_decref(value);
	return out;
}

json_t *
sieve_value(struct sieve *sieve, json_t *value)
{
	if (json_is_object(value))
		value = sieve_object(sieve, value);
	else if (json_is_array(value))
		value = sieve_array(sieve, value);
	else if (json_is_string(value))
		value = sieve_string(sieve, value);
	if (value == NULL)
		sieve->failed = true;
	return value;
}

/* What we cannot decode others may: several objects, a number too large, a
 * member twice. It does not pass if it may name a member to be taken out, as it
 * is or with an escape. */
static json_t *
sieve_undecoded(struct sieve *sieve, const char *text)
{
	bool names = sieve->field_count > 0 && strstr(text, "\\u0") != NULL;
	json_t *out;
	unsigned i;

	for (i = 0; i < sieve->field_count && !names; i++)
		names = strstr(text, sieve->fields[i]) != NULL;
	if (!names)
		return NULL;
	sieve->taken++;
	if ((out = json_string("[redacted]")) == NULL)
		sieve->failed = true;
	return out;
}

/* Tools say their structured answer a second time as text: members are taken
 * out there, too, and secrets are looked for behind its escapes. NULL: it is no
 * such text, or holds nothing to take out. */
static json_t *
sieve_inside(struct sieve *sieve, const char *text, size_t len)
{
	size_t space = strspn(text, " \t\r\n");
	unsigned before = sieve->taken;
	json_t *root, *out;
	char *printed;

	if (text[space] != '{' && text[space] != '[')
		return NULL;
	if (sieve->field_count == 0 && strchr(text, '\\') == NULL)
		return NULL; /* decoded, it says what it says now */
	if (!wire_is_bounded(text, len)) { /* not to be looked into: not to pass */
		sieve->failed = true;
		return NULL;
	}
	if ((root = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL)) == NULL)
		return sieve_undecoded(sieve, text);
	root = sieve_value(sieve, root);
	printed = root == NULL || sieve->taken == before ? NULL :
	    json_dumps(root, JSON_COMPACT);
	json_decref(root);
	if (printed == NULL) {
		sieve->failed = sieve->failed || sieve->taken != before;
		return NULL;
	}
	if ((out = json_string_nocheck(printed)) == NULL)
		sieve->failed = true;
	free(printed);
	return out;
}

/* ------------------------------------------------------------ what is not seen */

static bool
is_hidden(uint32_t c)
{
	return (c < 0x20 && c != '\n' && c != '\t') || (c >= 0x7f && c < 0xa0) ||
	    c == 0xad || c == 0x34f || c == 0x61c || (c >= 0x200b && c <= 0x200f) ||
	    (c >= 0x202a && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) ||
	    (c >= 0xfe00 && c <= 0xfe0f) || c == 0xfeff ||
	    (c >= 0xe0000 && c <= 0xe0fff);
}

const char *
sieve_unfit(const char *text, size_t max)
{
	const uint8_t *s = (const uint8_t *)text;
	uint32_t c;
	unsigned more;

	if (strlen(text) > max)
		return "its description is too long";
	while (*s != 0) { /* jansson let valid UTF-8 through, nothing else */
		c = *s++;
		more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;
		c &= more == 3 ? 0x07 : more == 2 ? 0x0f : more == 1 ? 0x1f : 0x7f;
		for (; more > 0 && *s != 0; more--)
			c = c << 6 | (*s++ & 0x3f);
		if (is_hidden(c))
			return "its description holds characters that nobody sees";
	}
	return NULL;
}
