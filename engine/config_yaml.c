/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration's text, as libyaml's events, so that each complaint can
 * name its line. Stops at the first mistake; so an unknown key ends it before
 * whatever is below that key, and the table bounds how deep this goes.
 */
#include "cfg.h"
#include "engine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

enum {
	MEMBER_MAX = 40,    /* of one member; the table's are shorter */
	MEMBERS_MAX = 32,   /* of one mapping; the table has fewer */
	DISTANCE_MAX = 3,   /* of a name that is suggested */
};

struct parser {
	yaml_parser_t yaml;
	yaml_event_t event; /* the current one; empty at first */
	const char *name;
	struct ag_config *config;
	char *message;
	size_t message_size;
	char path[AG_CFG_PATH_MAX];
};

static size_t
line_of(const struct parser *p)
{
	return p->event.start_mark.line + 1;
}

static ag_err __attribute__((format(printf, 3, 4)))
complain(struct parser *p, const char *key, const char *fmt, ...)
{
	va_list ap;
	int n = snprintf(p->message, p->message_size, "%s:%zu: %s: ", p->name,
	    line_of(p), key);

	if (n >= 0 && (size_t)n < p->message_size) {
		va_start(ap, fmt);
		vsnprintf(p->message + n, p->message_size - (size_t)n, fmt, ap);
		va_end(ap);
	}
	return AG_USAGE;
}

static ag_err
refuse_dressed(struct parser *p, const yaml_char_t *anchor,
    const yaml_char_t *tag)
{
	const char *key = *p->path == '\0' ? "syntax" : p->path;

	if (anchor != NULL)
		return complain(p, key, "the value itself; no anchors, no aliases");
	if (tag != NULL)
		return complain(p, key, "the value without a !tag");
	return AG_OK;
}

/* The next event, without anchors, aliases and tags. */
static ag_err
next(struct parser *p)
{
	const yaml_event_t *e = &p->event;

	yaml_event_delete(&p->event);
	if (!yaml_parser_parse(&p->yaml, &p->event)) {
		snprintf(p->message, p->message_size, "%s:%zu: syntax: %s",
		    p->name, p->yaml.problem_mark.line + 1,
		    p->yaml.problem != NULL ? p->yaml.problem : "readable YAML");
		memset(&p->event, 0, sizeof(p->event));
		return AG_USAGE;
	}
	if (e->type == YAML_SCALAR_EVENT)
		return refuse_dressed(p, e->data.scalar.anchor,
		    e->data.scalar.tag);
	if (e->type == YAML_MAPPING_START_EVENT)
		return refuse_dressed(p, e->data.mapping_start.anchor,
		    e->data.mapping_start.tag);
	if (e->type == YAML_SEQUENCE_START_EVENT)
		return refuse_dressed(p, e->data.sequence_start.anchor,
		    e->data.sequence_start.tag);
	if (e->type == YAML_ALIAS_EVENT)
		return refuse_dressed(p, e->data.alias.anchor, NULL);
	return AG_OK;
}

/* ---------------------------------------------------------- suggestions */

static unsigned
least(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;

	return m < c ? m : c;
}

/* Levenshtein distance; both at most MEMBER_MAX long. */
static unsigned
distance(const char *a, const char *b)
{
	unsigned row[MEMBER_MAX + 1], n = (unsigned)strlen(b), diagonal, up;

	for (unsigned j = 0; j <= n; j++)
		row[j] = j;
	for (unsigned i = 1; a[i - 1] != '\0'; i++) {
		diagonal = row[0];
		row[0] = i;
		for (unsigned j = 1; j <= n; j++) {
			up = row[j];
			row[j] = least(up + 1, row[j - 1] + 1,
			    diagonal + (a[i - 1] != b[j - 1]));
			diagonal = up;
		}
	}
	return row[n];
}

/* `section` is where the unknown name stands. */
static ag_err
complain_unknown(struct parser *p, const char *section, const char *name)
{
	char child[AG_CFG_PATH_MAX], best[AG_CFG_PATH_MAX] = "", last[AG_CFG_PATH_MAX] = "";
	char all[1024] = "";
	unsigned best_distance = DISTANCE_MAX + 1, d;
	size_t used = 0;

	for (unsigned i = 0; ag_config_key_at(i) != NULL; i++) {
		if (!ag_cfg_child(i, section, child) || strcmp(child, last) == 0 ||
		    strlen(child) > MEMBER_MAX)
			continue;
		memcpy(last, child, sizeof(last));
		if (used < sizeof(all))
			used += (size_t)snprintf(all + used, sizeof(all) - used,
			    "%s%s", used == 0 ? "" : ", ", child);
		d = distance(name, child);
		if (d < best_distance && d < strlen(child)) {
			best_distance = d;
			memcpy(best, child, sizeof(best));
		}
	}
	if (*best != '\0')
		return complain(p, p->path, "unknown key; did you mean %s?", best);
	return complain(p, p->path, "unknown key; here may be %s", all);
}

/* --------------------------------------------------------------- values */

/* The event as a string; NULL if it is no scalar or a NUL is in it. */
static const char *
scalar(const struct parser *p)
{
	const char *text = (const char *)p->event.data.scalar.value;

	if (p->event.type != YAML_SCALAR_EVENT)
		return NULL;
	return strlen(text) == p->event.data.scalar.length ? text : NULL;
}

static bool
is_null(const struct parser *p)
{
	const char *text = scalar(p);

	return text != NULL &&
	    p->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	    (*text == '\0' || strcmp(text, "~") == 0 ||
	    strcmp(text, "null") == 0);
}

static ag_err
set(struct parser *p, int key, unsigned row)
{
	char want[AG_CFG_WANT_MAX] = "", *where;
	const char *text = scalar(p);
	ag_err err = AG_USAGE;

	ag_cfg_want(key, want);
	if (text != NULL && !is_null(p)) {
		if (asprintf(&where, "%s:%zu", p->name, line_of(p)) < 0)
			return AG_NO_MEMORY;
		err = ag_cfg_set(p->config, key, row, where, text, want);
		free(where);
	}
	if (err == AG_USAGE)
		return complain(p, p->path, "%s", want);
	if (err == AG_FULL)
		return complain(p, p->path, "at most %d items", AG_CFG_ITEMS_MAX);
	return err;
}

static ag_err
on_scalar(struct parser *p, unsigned row)
{
	int key = ag_cfg_find(p->path);
	char want[AG_CFG_WANT_MAX];

	if (key >= 0 && !ag_cfg_is_sequence(key))
		return set(p, key, row);
	if (key >= 0) {
		ag_cfg_want(key, want);
		return complain(p, p->path, "%s", want);
	}
	if (is_null(p)) /* a section with nothing in it, or only comments */
		return AG_OK;
	return complain(p, p->path, ag_cfg_is_list(p->path) ?
	    "a sequence of mappings" : "a mapping");
}

/* The strings of a sequence, up to its end. */
static ag_err
read_strings(struct parser *p, int key, unsigned row)
{
	char want[AG_CFG_WANT_MAX], *where;
	ag_err err;

	if (asprintf(&where, "%s:%zu", p->name, line_of(p)) < 0)
		return AG_NO_MEMORY;
	err = ag_cfg_set_empty(p->config, key, row, where);
	free(where);
	while (err == AG_OK && (err = next(p)) == AG_OK) {
		if (p->event.type == YAML_SEQUENCE_END_EVENT)
			return AG_OK;
		if (p->event.type == YAML_SCALAR_EVENT) {
			err = set(p, key, row);
			continue;
		}
		ag_cfg_want(key, want);
		err = complain(p, p->path, "%s", want);
	}
	return err;
}

static ag_err read_mapping(struct parser *p, unsigned row);

/* The rows of a list of mappings, up to its end. */
static ag_err
read_rows(struct parser *p)
{
	size_t at = strlen(p->path);
	unsigned row;
	ag_err err;

	while ((err = next(p)) == AG_OK) {
		if (p->event.type == YAML_SEQUENCE_END_EVENT)
			return AG_OK;
		if (p->event.type != YAML_MAPPING_START_EVENT)
			return complain(p, p->path, "a sequence of mappings");
		err = ag_cfg_add_row(p->config, p->path, &row);
		if (err == AG_FULL)
			return complain(p, p->path, "at most %d rows",
			    AG_CFG_ROWS_MAX);
		if (err != AG_OK)
			return err;
		memcpy(p->path + at, "[]", 3);
		if ((err = read_mapping(p, row)) != AG_OK)
			return err;
		p->path[at] = '\0';
	}
	return err;
}

/* A mapping of names to mappings: each name is a row, and its first member. */
static ag_err
read_keyed(struct parser *p, const char *member)
{
	size_t at = strlen(p->path);
	unsigned row;
	ag_err err;

	while ((err = next(p)) == AG_OK) {
		if (p->event.type == YAML_MAPPING_END_EVENT)
			return AG_OK;
		err = ag_cfg_add_row(p->config, p->path, &row);
		if (err == AG_FULL)
			return complain(p, p->path, "at most %d rows",
			    AG_CFG_ROWS_MAX);
		if (err != AG_OK)
			return err;
		snprintf(p->path + at, sizeof(p->path) - at, "[].%s", member);
		if ((err = set(p, ag_cfg_find(p->path), row)) != AG_OK)
			return err;
		memcpy(p->path + at, "[]", 3);
		if ((err = next(p)) != AG_OK)
			return err;
		if (p->event.type != YAML_MAPPING_START_EVENT)
			return complain(p, p->path, "a mapping");
		if ((err = read_mapping(p, row)) != AG_OK)
			return err;
		p->path[at] = '\0';
	}
	return err;
}

static ag_err
on_sequence(struct parser *p, unsigned row)
{
	int key = ag_cfg_find(p->path);
	char want[AG_CFG_WANT_MAX];

	if (key >= 0 && ag_cfg_is_sequence(key))
		return read_strings(p, key, row);
	if (key < 0 && ag_cfg_is_list(p->path) && ag_cfg_keyed(p->path) == NULL)
		return read_rows(p);
	if (key < 0)
		return complain(p, p->path, "a mapping");
	ag_cfg_want(key, want);
	return complain(p, p->path, "%s", want);
}

static ag_err
on_mapping(struct parser *p, unsigned row)
{
	int key = ag_cfg_find(p->path);
	char want[AG_CFG_WANT_MAX];

	if (key < 0 && ag_cfg_is_section(p->path))
		return read_mapping(p, row);
	if (key < 0 && ag_cfg_keyed(p->path) != NULL)
		return read_keyed(p, ag_cfg_keyed(p->path));
	if (key < 0)
		return complain(p, p->path, "a sequence of mappings");
	ag_cfg_want(key, want);
	return complain(p, p->path, "%s", want);
}

/* Appends the member's name to the path. It must exist and be the first of
 * its name in this mapping (names: those seen so far). */
static ag_err
enter_member(struct parser *p, char names[][MEMBER_MAX + 1], unsigned *count)
{
	char section[AG_CFG_PATH_MAX];
	const char *name = scalar(p);
	size_t at = strlen(p->path);

	if (name == NULL || strlen(name) > MEMBER_MAX || *name == '\0' ||
	    strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != strlen(name))
		return complain(p, at == 0 ? "syntax" : p->path,
		    "a key of small letters, digits and _");
	memcpy(section, p->path, sizeof(section));
	snprintf(p->path + at, sizeof(p->path) - at, "%s%s", at == 0 ? "" : ".",
	    name);
	if (ag_cfg_find(p->path) < 0 && !ag_cfg_is_section(p->path) &&
	    !ag_cfg_is_list(p->path))
		return complain_unknown(p, section, name);
	for (unsigned i = 0; i < *count; i++)
		if (strcmp(names[i], name) == 0)
			return complain(p, p->path, "once; it is here a second time");
	if (*count == MEMBERS_MAX)
		return complain(p, p->path, "at most %d members", MEMBERS_MAX);
	memcpy(names[(*count)++], name, strlen(name) + 1);
	return AG_OK;
}

/* The members of a mapping, up to its end; p->path is the mapping's. */
static ag_err
read_mapping(struct parser *p, unsigned row)
{
	char names[MEMBERS_MAX][MEMBER_MAX + 1];
	size_t at = strlen(p->path);
	unsigned count = 0;
	ag_err err;

	while ((err = next(p)) == AG_OK) {
		if (p->event.type == YAML_MAPPING_END_EVENT)
			return AG_OK;
		if ((err = enter_member(p, names, &count)) != AG_OK ||
		    (err = next(p)) != AG_OK)
			return err;
		if (p->event.type == YAML_SCALAR_EVENT)
			err = on_scalar(p, row);
		else if (p->event.type == YAML_SEQUENCE_START_EVENT)
			err = on_sequence(p, row);
		else
			err = on_mapping(p, row);
		if (err != AG_OK)
			return err;
		p->path[at] = '\0';
	}
	return err;
}

/* One document, which is a mapping or nothing. */
static ag_err
read_stream(struct parser *p)
{
	ag_err err;

	if ((err = next(p)) != AG_OK || (err = next(p)) != AG_OK)
		return err; /* stream start, document start */
	if (p->event.type == YAML_STREAM_END_EVENT)
		return AG_OK;
	if ((err = next(p)) != AG_OK)
		return err;
	if (p->event.type == YAML_MAPPING_START_EVENT)
		err = read_mapping(p, 0);
	else if (!is_null(p))
		return complain(p, "syntax", "a mapping, such as `environment: dev`");
	if (err != AG_OK || (err = next(p)) != AG_OK || (err = next(p)) != AG_OK)
		return err; /* document end, then nothing */
	if (p->event.type != YAML_STREAM_END_EVENT)
		return complain(p, "syntax", "one document");
	return AG_OK;
}

ag_err
ag_config_parse(const char *name, const char *text, size_t len,
    struct ag_config **out, char *message, size_t message_size)
{
	struct parser p = { .name = name, .message = message,
		.message_size = message_size };
	ag_err err;

	*out = NULL;
	if (message_size > 0)
		*message = '\0';
	if (len > AG_CFG_TEXT_MAX) {
		snprintf(message, message_size, "%s:1: size: at most %d bytes",
		    name, AG_CFG_TEXT_MAX);
		return AG_USAGE;
	}
	if (!yaml_parser_initialize(&p.yaml))
		return AG_NO_MEMORY;
	yaml_parser_set_encoding(&p.yaml, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&p.yaml, (const unsigned char *)text, len);
	if ((err = ag_cfg_new(&p.config)) == AG_OK &&
	    (err = read_stream(&p)) == AG_OK)
		err = ag_cfg_finish(p.config, name, message, message_size);
	yaml_event_delete(&p.event);
	yaml_parser_delete(&p.yaml);
	if (err != AG_OK)
		ag_config_free(&p.config);
	*out = p.config;
	return err;
}

/* The whole file; *text is the caller's. */
static ag_err
read_file(int fd, char **text, size_t *len)
{
	ssize_t n;

	*len = 0;
	*text = malloc(AG_CFG_TEXT_MAX + 1);
	if (*text == NULL)
		return AG_NO_MEMORY;
	while (*len <= AG_CFG_TEXT_MAX) {
		n = read(fd, *text + *len, AG_CFG_TEXT_MAX + 1 - *len);
		if (n == 0)
			break;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return AG_IO;
		*len += (size_t)n;
	}
	return AG_OK;
}

ag_err
ag_config_load(const char *file, struct ag_config **out, char *message,
    size_t message_size)
{
	char *text = NULL;
	size_t len = 0;
	ag_err err;
	int fd;

	*out = NULL;
	if (file == NULL)
		return ag_config_parse("default", "", 0, out, message,
		    message_size);
	if ((fd = open(file, O_RDONLY | O_CLOEXEC)) < 0) {
		snprintf(message, message_size, "%s: %s", file, strerror(errno));
		return AG_USAGE;
	}
	if ((err = read_file(fd, &text, &len)) == AG_IO) {
		snprintf(message, message_size, "%s: %s", file, strerror(errno));
		err = AG_USAGE;
	}
	close(fd);
	if (err == AG_OK)
		err = ag_config_parse(file, text, len, out, message,
		    message_size);
	free(text);
	return err;
}
