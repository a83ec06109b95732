/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration's table, values and reads. Reads look the path up by
 * name: an actor reads at init and keeps what it needs.
 */
#include "cfg.h"
#include "engine.h"

#include <stdlib.h>
#include <string.h>

static const struct ag_config_key keys[] = {
#define CFG(path, type, fallback, range, help) \
	{ path, AG_CFG_##type, fallback, range, help },
#include <aegis/config.def>
#undef CFG
};
enum { KEY_COUNT = sizeof(keys) / sizeof(keys[0]) };

struct cell {
	char *where; /* NULL: not set, or a default */
	char *text;  /* NULL: no value (sequences have items) */
	char **items;
	unsigned item_count;
	int64_t integer;
	double number;
};

struct ag_config {
	struct cell *cells[KEY_COUNT]; /* by row; keys outside lists have one */
	unsigned rows[KEY_COUNT];
};

/* --------------------------------------------------------------- paths */

const struct ag_config_key *
ag_config_key_at(unsigned i)
{
	return i < KEY_COUNT ? &keys[i] : NULL;
}

int
ag_cfg_find(const char *path)
{
	for (unsigned i = 0; i < KEY_COUNT; i++)
		if (strcmp(keys[i].path, path) == 0)
			return (int)i;
	return -1;
}

static bool
below(unsigned key, const char *path, const char *how)
{
	size_t n = strlen(path);

	return strncmp(keys[key].path, path, n) == 0 &&
	    strncmp(keys[key].path + n, how, strlen(how)) == 0;
}

static bool
any_below(const char *path, const char *how)
{
	for (unsigned i = 0; i < KEY_COUNT; i++)
		if (below(i, path, how))
			return true;
	return false;
}

bool
ag_cfg_is_section(const char *path)
{
	return any_below(path, ".");
}

bool
ag_cfg_is_list(const char *path)
{
	return any_below(path, "[].");
}

const char *
ag_cfg_keyed(const char *path)
{
	return strcmp(path, "risk.per_tenant") == 0 ? "tenant" : NULL;
}

bool
ag_cfg_child(unsigned i, const char *path, char out[AG_CFG_PATH_MAX])
{
	const char *at;
	size_t n;

	if (*path != '\0' && !below(i, path, "."))
		return false;
	at = keys[i].path + (*path == '\0' ? 0 : strlen(path) + 1);
	n = strcspn(at, ".[");
	memcpy(out, at, n);
	out[n] = '\0';
	return true;
}

bool
ag_cfg_is_sequence(int key)
{
	return keys[key].type == AG_CFG_STRINGS ||
	    keys[key].type == AG_CFG_WORDS;
}

static bool
in_list(unsigned key)
{
	return strstr(keys[key].path, "[].") != NULL;
}

/* -------------------------------------------------------------- checks */

static bool
whole(const char *text, int64_t *out)
{
	static const char units[] = "KMG";
	size_t n = strspn(text, "0123456789");
	const char *unit;
	int64_t v = 0;

	if (n == 0 || n > 18)
		return false;
	for (size_t i = 0; i < n; i++)
		v = v * 10 + (text[i] - '0');
	if (text[n] != '\0') {
		unit = strchr(units, text[n]);
		if (unit == NULL || text[n + 1] != '\0' ||
		    __builtin_mul_overflow(v,
		        INT64_C(1) << (10 * (unit - units + 1)), &v))
			return false;
	}
	*out = v;
	return true;
}

/* "min..max" with the reader of the key's own type. */
static bool
within(const char *range, int64_t v, bool (*read)(const char *, int64_t *))
{
	char text[64];
	const char *dots = range == NULL ? NULL : strstr(range, "..");
	int64_t least, most;

	if (dots == NULL)
		return true;
	snprintf(text, sizeof(text), "%.*s", (int)(dots - range), range);
	if (!read(text, &least) || !read(dots + 2, &most))
		ag_panic("config.def: range %s", range);
	return v >= least && v <= most;
}

static bool
check_int(const struct ag_config_key *key, const char *text, struct cell *cell)
{
	return whole(text, &cell->integer) &&
	    within(key->range, cell->integer, whole);
}

static bool
check_duration(const struct ag_config_key *key, const char *text,
    struct cell *cell)
{
	return ag_duration_parse(text, &cell->integer) &&
	    within(key->range, cell->integer, ag_duration_parse);
}

static bool
check_number(const struct ag_config_key *key, const char *text,
    struct cell *cell)
{
	const char *dots = strstr(key->range, "..");
	char *end;
	double v;

	/* Neither hexadecimal nor infinite. */
	if (text[strspn(text, "0123456789.eE+-")] != '\0')
		return false;
	v = strtod(text, &end);
	if (end == text || *end != '\0')
		return false;
	cell->number = v;
	/* "0..1" begins with what strtod would take for "0.": whole minima only. */
	return v >= (double)strtol(key->range, NULL, 10) &&
	    v <= strtod(dots + 2, NULL);
}

static bool
check_bool(const struct ag_config_key *key, const char *text, struct cell *cell)
{
	(void)key;
	cell->integer = strcmp(text, "true") == 0;
	return cell->integer == 1 || strcmp(text, "false") == 0;
}

static bool
check_word(const struct ag_config_key *key, const char *text, struct cell *cell)
{
	size_t n = strlen(text), len;

	(void)cell;
	for (const char *w = key->range; ; w += len + 1) {
		len = strcspn(w, "|");
		if (len == n && memcmp(w, text, n) == 0)
			return true;
		if (w[len] == '\0')
			return false;
	}
}

/* 10.0.0.0/8, ::1: the characters and the width; the plane parses it. */
static bool
is_network(const char *text)
{
	size_t n = strspn(text, "0123456789abcdefABCDEF.:");
	int64_t bits;

	if (n < 2 || strpbrk(text, ".:") == NULL)
		return false;
	if (text[n] == '\0')
		return true;
	return text[n] == '/' && whole(text + n + 1, &bits) &&
	    bits <= (strchr(text, ':') != NULL ? 128 : 32);
}

static bool
check_string(const struct ag_config_key *key, const char *text,
    struct cell *cell)
{
	(void)cell;
	if (key->range != NULL && strcmp(key->range, "name") == 0)
		return ag_name_valid(text);
	if (key->range != NULL && strcmp(key->range, "cidr") == 0)
		return is_network(text);
	if (key->range != NULL && strcmp(key->range, "time") == 0)
		return ag_time_parse(text, &(int64_t){ 0 });
	return true;
}

static bool
check_listen(const struct ag_config_key *key, const char *text,
    struct cell *cell)
{
	const char *colon = strrchr(text, ':');
	int64_t port;

	(void)key;
	(void)cell;
	if (colon == NULL || colon == text || !whole(colon + 1, &port) ||
	    port > 65535 || strpbrk(text, " \t/") != NULL)
		return false;
	/* An IPv6 address has brackets, nothing else has colons. */
	return text[0] == '[' ? colon[-1] == ']' : strchr(text, ':') == colon;
}

/* By type: the check, and what would be right; %s is the range. */
static const struct {
	bool (*check)(const struct ag_config_key *key, const char *text,
	    struct cell *cell);
	const char *want;
} types[] = {
	[AG_CFG_STRING] = { check_string, "text" },
	[AG_CFG_PATH] = { check_string, "the path of a file" },
	[AG_CFG_WORD] = { check_word, "one of" },
	[AG_CFG_BOOL] = { check_bool, "true or false" },
	[AG_CFG_INT] = { check_int, "a whole number (K, M and G are taken)" },
	[AG_CFG_DURATION_S] = { check_duration,
	    "seconds, or a duration such as 90s, 15m, 1h or 30d" },
	[AG_CFG_NUMBER] = { check_number, "a number" },
	[AG_CFG_LISTEN] = { check_listen,
	    "host:port, such as 127.0.0.1:8470 or [::1]:8470" },
	[AG_CFG_STRINGS] = { check_string, "a sequence of texts" },
	[AG_CFG_WORDS] = { check_word, "a sequence of words, each one of" },
};

/* The end of "what would be right": the range, in words. */
static void
want_range(const char *range, FILE *out)
{
	const char *dots = strstr(range, "..");

	if (dots != NULL) {
		fprintf(out, ", from %.*s to %s", (int)(dots - range), range,
		    dots + 2);
	} else if (strcmp(range, "name") == 0) {
		fprintf(out, ": a name of a-z 0-9 . _ -, at most %d characters",
		    AG_NAME_MAX);
	} else if (strcmp(range, "cidr") == 0) {
		fputs(": addresses or networks such as 10.0.0.0/8", out);
	} else if (strcmp(range, "time") == 0) {
		fputs(": a time such as 2027-01-31T00:00:00Z", out);
	} else {
		for (fputc(' ', out); *range != '\0'; range++)
			fputs(*range == '|' ? ", " : (char[]){ *range, 0 }, out);
	}
}

void
ag_cfg_want(int key, char want[AG_CFG_WANT_MAX])
{
	FILE *out = fmemopen(want, AG_CFG_WANT_MAX, "w");

	*want = '\0';
	if (out == NULL)
		return;
	fputs(types[keys[key].type].want, out);
	if (keys[key].range != NULL)
		want_range(keys[key].range, out);
	fclose(out);
	want[AG_CFG_WANT_MAX - 1] = '\0';
}

/* -------------------------------------------------------------- values */

ag_err
ag_cfg_new(struct ag_config **out)
{
	struct ag_config *c = calloc(1, sizeof(*c));

	*out = NULL;
	if (c == NULL)
		return AG_NO_MEMORY;
	for (unsigned i = 0; i < KEY_COUNT; i++) {
		if (in_list(i))
			continue;
		if ((c->cells[i] = calloc(1, sizeof(struct cell))) == NULL) {
			ag_config_free(&c);
			return AG_NO_MEMORY;
		}
		c->rows[i] = 1;
	}
	*out = c;
	return AG_OK;
}

static void
cell_fini(struct cell *cell)
{
	free(cell->where);
	free(cell->text);
	for (unsigned i = 0; i < cell->item_count; i++)
		free(cell->items[i]);
	free(cell->items);
}

void
ag_config_free(struct ag_config **config)
{
	struct ag_config *c = *config;

	if (c == NULL)
		return;
	for (unsigned i = 0; i < KEY_COUNT; i++) {
		for (unsigned j = 0; j < c->rows[i]; j++)
			cell_fini(&c->cells[i][j]);
		free(c->cells[i]);
	}
	free(c);
	*config = NULL;
}

ag_err
ag_cfg_add_row(struct ag_config *c, const char *list, unsigned *row)
{
	struct cell *more;

	*row = AG_CFG_ROWS_MAX;
	for (unsigned i = 0; i < KEY_COUNT; i++) {
		if (!below(i, list, "[]."))
			continue;
		if (c->rows[i] >= AG_CFG_ROWS_MAX)
			return AG_FULL;
		more = realloc(c->cells[i], (c->rows[i] + 1) * sizeof(*more));
		if (more == NULL)
			return AG_NO_MEMORY;
		c->cells[i] = more;
		memset(&more[c->rows[i]], 0, sizeof(*more));
		*row = c->rows[i]++;
	}
	return AG_OK;
}

static struct cell *
cell_at(const struct ag_config *c, int key, unsigned row)
{
	return row < c->rows[key] ? &c->cells[key][row] : NULL;
}

unsigned
ag_cfg_rows(const struct ag_config *c, int key)
{
	return c->rows[key];
}

bool
ag_cfg_is_set(const struct ag_config *c, int key, unsigned row)
{
	const struct cell *cell = cell_at(c, key, row);

	return cell != NULL && cell->where != NULL;
}

static ag_err
mark(struct cell *cell, const char *where)
{
	if (where == NULL || cell->where != NULL)
		return AG_OK;
	if ((cell->where = strdup(where)) == NULL)
		return AG_NO_MEMORY;
	/* A file may have any name; the packed form is lines of columns. */
	for (char *p = cell->where; *p != '\0'; p++)
		if ((uint8_t)*p < 0x20)
			*p = '?';
	return AG_OK;
}

ag_err
ag_cfg_set_empty(struct ag_config *c, int key, unsigned row, const char *where)
{
	return mark(cell_at(c, key, row), where);
}

static ag_err
append(struct cell *cell, const char *text)
{
	char **more;

	if (cell->item_count >= AG_CFG_ITEMS_MAX)
		return AG_FULL;
	more = realloc(cell->items, (cell->item_count + 1) * sizeof(*more));
	if (more == NULL)
		return AG_NO_MEMORY;
	cell->items = more;
	if ((more[cell->item_count] = strdup(text)) == NULL)
		return AG_NO_MEMORY;
	cell->item_count++;
	return AG_OK;
}

/* Printable, not empty, bounded: for every type. */
static bool
is_clean(const char *text)
{
	size_t n = strnlen(text, AG_CFG_VALUE_MAX + 1);

	if (n == 0 || n > AG_CFG_VALUE_MAX)
		return false;
	for (size_t i = 0; i < n; i++)
		if ((uint8_t)text[i] < 0x20 || text[i] == 0x7f)
			return false;
	return true;
}

/* where NULL: a default. */
ag_err
ag_cfg_set(struct ag_config *c, int key, unsigned row, const char *where,
    const char *text, char want[AG_CFG_WANT_MAX])
{
	struct cell *cell = cell_at(c, key, row);
	ag_err err;

	if (cell == NULL)
		return AG_USAGE;
	if (!is_clean(text) || !types[keys[key].type].check(&keys[key], text,
	    cell)) {
		ag_cfg_want(key, want);
		return AG_USAGE;
	}
	if ((err = mark(cell, where)) != AG_OK)
		return err;
	if (ag_cfg_is_sequence(key))
		return append(cell, text);
	free(cell->text);
	cell->text = strdup(text);
	return cell->text == NULL ? AG_NO_MEMORY : AG_OK;
}

/* --------------------------------------------------------------- reads */

static const struct cell *
read_cell(const struct ag_config *c, const char *path, unsigned i,
    unsigned type_mask)
{
	for (unsigned k = 0; k < KEY_COUNT; k++) {
		if (strcmp(keys[k].path, path) != 0)
			continue;
		if ((type_mask >> keys[k].type & 1) == 0)
			ag_panic("configuration key %s has another type", path);
		return cell_at(c, (int)k, i);
	}
	ag_panic("configuration key %s is not in config.def", path);
}

#define MASK(type) (1u << AG_CFG_##type)

const char *
ag_config_get_str(const struct ag_config *c, const char *path, unsigned i)
{
	const struct cell *cell = read_cell(c, path, i,
	    ~(MASK(STRINGS) | MASK(WORDS)));

	return cell == NULL ? NULL : cell->text;
}

int64_t
ag_config_get_int(const struct ag_config *c, const char *path, unsigned i)
{
	const struct cell *cell = read_cell(c, path, i,
	    MASK(INT) | MASK(DURATION_S) | MASK(BOOL));

	return cell == NULL ? 0 : cell->integer;
}

double
ag_config_get_number(const struct ag_config *c, const char *path, unsigned i)
{
	const struct cell *cell = read_cell(c, path, i, MASK(NUMBER));

	return cell == NULL ? 0 : cell->number;
}

unsigned
ag_config_get_count(const struct ag_config *c, const char *list)
{
	for (unsigned i = 0; i < KEY_COUNT; i++)
		if (below(i, list, "[]."))
			return c->rows[i];
	ag_panic("configuration list %s is not in config.def", list);
}

const char *
ag_config_get_item(const struct ag_config *c, const char *path, unsigned i,
    unsigned j)
{
	const struct cell *cell = read_cell(c, path, i,
	    MASK(STRINGS) | MASK(WORDS));

	return cell == NULL || j >= cell->item_count ? NULL : cell->items[j];
}

const char *
ag_config_get_where(const struct ag_config *c, const char *path, unsigned i)
{
	const struct cell *cell = read_cell(c, path, i, ~0u);

	return cell == NULL || cell->where == NULL ? "default" : cell->where;
}
