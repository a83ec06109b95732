/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What people see: aligned columns, name and value, bytes.
 */
#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	COLUMNS_MAX = 16,
	CELL_MAX = 32768, /* bytes; 64 scopes, 32 labels fit */
	CELL_MIN = 6, /* columns that a cell keeps on a narrow terminal */
	COLUMN_GAP = 2,
};

void
cli_json_line(const json_t *value)
{
	char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

	puts(text == NULL ? "null" : text);
	free(text);
}

/* ---------------------------------------------------- members to a cell */

const json_t *
cli_member(const json_t *object, const char *path)
{
	char name[64];
	size_t len;

	while (object != NULL && *path != '\0') {
		len = strcspn(path, ".");
		(void)snprintf(name, sizeof(name), "%.*s", (int)len, path);
		object = json_object_get(object, name);
		path += len + (path[len] == '.');
	}
	return object;
}

const char *
cli_member_text(const json_t *object, const char *path)
{
	const char *text = json_string_value(cli_member(object, path));

	return text == NULL ? "" : text;
}

static void
cell_add(char *cell, const char *text)
{
	size_t used = strlen(cell);

	(void)snprintf(cell + used, CELL_MAX - used, "%s", text);
}

static void cell_object(char *cell, const json_t *object);

static void
cell_scalar(char *cell, const json_t *value)
{
	char number[64];

	if (json_is_string(value))
		cell_add(cell, json_string_value(value));
	else if (json_is_integer(value)) {
		(void)snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT,
		    json_integer_value(value));
		cell_add(cell, number);
	} else if (json_is_real(value)) {
		(void)snprintf(number, sizeof(number), "%.2f", json_real_value(value));
		cell_add(cell, number);
	} else if (json_is_boolean(value))
		cell_add(cell, json_is_true(value) ? "yes" : "no");
	else
		cell_add(cell, "-");
}

static void
cell_value(char *cell, const json_t *value)
{
	const json_t *item;
	size_t i;

	if (json_is_object(value)) {
		cell_object(cell, value);
		return;
	}
	if (!json_is_array(value)) {
		cell_scalar(cell, value);
		return;
	}
	if (json_array_size(value) == 0)
		cell_add(cell, "-");
	json_array_foreach((json_t *)value, i, item) {
		if (i > 0)
			cell_add(cell, json_is_object(item) ? " > " : ",");
		cell_value(cell, item);
	}
}

/* {id, kind, name}: the name; anything else k=v k=v. Depth is the server's
 * schema: two levels. */
static void
cell_object(char *cell, const json_t *object)
{
	const json_t *kind = json_object_get(object, "kind");
	const char *name = cli_member_text(object, "name"), *key;
	json_t *value;
	bool first = true;

	if (kind != NULL && json_object_get(object, "id") != NULL) {
		cell_add(cell, name[0] == '\0' ? cli_member_text(object, "id") : name);
		return;
	}
	json_object_foreach((json_t *)object, key, value) {
		if (json_is_null(value))
			continue;
		cell_add(cell, first ? "" : " ");
		cell_add(cell, key);
		cell_add(cell, "=");
		cell_value(cell, value);
		first = false;
	}
	if (first)
		cell_add(cell, "-");
}

/* The first of the alternatives ("a.b|c") that is there. */
static void
cell_of(char *cell, const json_t *object, const char *paths, size_t len)
{
	const json_t *value = NULL;
	char path[128];
	size_t n;

	while (len > 0 && (value == NULL || json_is_null(value))) {
		n = strcspn(paths, "|,");
		if (n > len)
			n = len;
		(void)snprintf(path, sizeof(path), "%.*s", (int)n, paths);
		value = cli_member(object, path);
		paths += n;
		len -= n;
		if (len > 0) {
			paths++;
			len--;
		}
	}
	cell[0] = '\0';
	cell_value(cell, value);
	if (cell[0] == '\0')
		cell_add(cell, "-");
}

/* ---------------------------------------------------------------- tables */

static const char *
colour_of(const char *cell)
{
	static const struct { const char *word, *colour; } words[] = {
		{ "denied", "\033[31m" }, { "failed", "\033[33m" },
		{ "unknown", "\033[33m" }, { "revoked", "\033[31m" },
		{ "Compromised", "\033[31m" }, { "Destroyed", "\033[2m" },
		{ "critical", "\033[31m" }, { "suspended", "\033[33m" },
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(cell, words[i].word) == 0)
			return words[i].colour;
	return NULL;
}

/* width 0: as it is. Numbers stand at the right of their column. */
struct cell_style {
	size_t width, width_max;
	bool right, last;
	const char *colour;
};

static void
put_cell(const char *cell, const struct cell_style *style)
{
	size_t n = cli_width(cell);

	if (style->width_max > 0 && n > style->width_max)
		n = style->width_max;
	for (size_t i = n; style->right && i < style->width; i++)
		fputc(' ', stdout);
	if (style->colour != NULL)
		fputs(style->colour, stdout);
	(void)cli_put_fit(stdout, cell,
	    style->width_max == 0 ? SIZE_MAX : style->width_max);
	if (style->colour != NULL)
		fputs("\033[0m", stdout);
	if (style->last)
		return;
	if (!style->right)
		for (; n < style->width; n++)
			fputc(' ', stdout);
	fprintf(stdout, "%*s", COLUMN_GAP, "");
}

struct column {
	const char *head, *paths;
	size_t head_len, paths_len;
	bool right;
};

static unsigned
columns_of(const char *spec, struct column *out)
{
	unsigned n = 0;
	const char *colon;

	while (*spec != '\0' && n < COLUMNS_MAX) {
		out[n].right = *spec == '>';
		spec += out[n].right;
		colon = strchr(spec, ':');
		out[n].head = spec;
		out[n].head_len = (size_t)(colon - spec);
		out[n].paths = colon + 1;
		out[n].paths_len = strcspn(colon + 1, ",");
		spec = out[n].paths + out[n].paths_len;
		spec += *spec == ',';
		n++;
	}
	return n;
}

/* Widths only grow, so that later pages stay under the same heads. */
static void
measure(struct cli_table *table, const json_t *items, const struct column *columns,
    unsigned n)
{
	char cell[CELL_MAX];
	const json_t *item;
	size_t i, w;

	for (unsigned c = 0; c < n; c++) {
		if (columns[c].head_len > table->widths[c])
			table->widths[c] = columns[c].head_len;
		json_array_foreach((json_t *)items, i, item) {
			cell_of(cell, item, columns[c].paths, columns[c].paths_len);
			w = cli_width(cell);
			if (w > table->widths[c])
				table->widths[c] = w;
		}
	}
}

/* On a terminal the widest columns give until a line fits; the first one, by
 * which a row is named, gives last. fit[c] 0: whole. */
static void
fit_columns(const struct cli_table *table, unsigned n, size_t *fit)
{
	size_t room = cli_terminal_width(), total = 0;
	unsigned widest;

	memset(fit, 0, n * sizeof(*fit));
	if (room == 0)
		return;
	for (unsigned c = 0; c < n; c++) {
		fit[c] = table->widths[c];
		total += fit[c] + (c + 1 < n ? COLUMN_GAP : 0);
	}
	while (total > room) {
		widest = n > 1 ? 1 : 0;
		for (unsigned c = widest + 1; c < n; c++)
			if (fit[c] > fit[widest])
				widest = c;
		if (fit[widest] <= CELL_MIN)
			widest = 0;
		if (fit[widest] <= CELL_MIN)
			return; /* as narrow as it gets: the terminal wraps */
		fit[widest]--;
		total--;
	}
}

static void
end_line(const struct cli_table *table)
{
	fputs(table->line_end == NULL ? "\n" : table->line_end, stdout);
}

static void
put_header(const struct cli_table *table, const struct column *columns,
    unsigned n, const size_t *fit)
{
	const size_t *widths = table->widths;
	const char *bold = cli_colour(stdout) ? "\033[1m" : NULL;
	char head[64];

	for (unsigned c = 0; c < n; c++) {
		(void)snprintf(head, sizeof(head), "%.*s", (int)columns[c].head_len,
		    columns[c].head);
		put_cell(head, &(struct cell_style){ .right = columns[c].right,
		    .width = fit[c] > 0 ? fit[c] : widths[c], .width_max = fit[c],
		    .last = c + 1 == n, .colour = bold });
	}
	end_line(table);
}

static void
put_row(const struct cli_table *table, const struct column *columns, unsigned n,
    const size_t *fit, const json_t *item)
{
	const size_t *widths = table->widths;
	bool colour = cli_colour(stdout);
	char cell[CELL_MAX];

	for (unsigned c = 0; c < n; c++) {
		cell_of(cell, item, columns[c].paths, columns[c].paths_len);
		put_cell(cell, &(struct cell_style){ .right = columns[c].right,
		    .width = fit[c] > 0 ? fit[c] : widths[c], .width_max = fit[c],
		    .last = c + 1 == n,
		    .colour = colour ? colour_of(cell) : NULL });
	}
	end_line(table);
}

/* RFC 4180 §2; characters that a terminal would obey are written as in columns.
 * What a spreadsheet would take for a formula is none: names and labels are
 * others' words. */
static void
put_csv(const char *cell)
{
	bool formula = cell[0] != '\0' && strchr("=+-@", cell[0]) != NULL;
	bool quoted = formula || strpbrk(cell, "\",") != NULL;
	char *text = NULL;
	size_t len = 0;
	FILE *to = open_memstream(&text, &len);

	if (to == NULL)
		return;
	(void)cli_put_fit(to, cell, SIZE_MAX);
	(void)fclose(to);
	if (quoted)
		fputs(formula ? "\"'" : "\"", stdout);
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '"')
			fputc('"', stdout);
		fputc(text[i], stdout);
	}
	if (quoted)
		fputc('"', stdout);
	free(text);
}

static void
put_csv_rows(struct cli_table *table, const struct column *columns, unsigned n,
    const json_t *items, bool header)
{
	char cell[CELL_MAX];
	const json_t *item;
	size_t i;

	for (unsigned c = 0; header && c < n; c++)
		fprintf(stdout, "%.*s%s", (int)columns[c].head_len,
		    columns[c].head, c + 1 < n ? "," : "\r\n");
	json_array_foreach((json_t *)items, i, item)
		for (unsigned c = 0; c < n; c++) {
			cell_of(cell, item, columns[c].paths,
			    columns[c].paths_len);
			if (strcmp(cell, "-") != 0) /* absent */
				put_csv(cell);
			fputs(c + 1 < n ? "," : "\r\n", stdout);
		}
}

void
cli_rows(struct cli_table *table, const json_t *items, bool header)
{
	struct column columns[COLUMNS_MAX] = { 0 };
	unsigned n = columns_of(table->columns, columns);
	size_t fit[COLUMNS_MAX];
	const json_t *item;
	size_t i;

	if (table->csv) {
		put_csv_rows(table, columns, n, items, header && !table->begun);
		table->begun = true;
		return;
	}
	measure(table, items, columns, n);
	fit_columns(table, n, fit);
	if (header && !table->begun)
		put_header(table, columns, n, fit);
	table->begun = true;
	json_array_foreach((json_t *)items, i, item)
		put_row(table, columns, n, fit, item);
}

void
cli_line(const char *spec, const json_t *object)
{
	struct column columns[COLUMNS_MAX];
	unsigned n = columns_of(spec, columns);
	char cell[CELL_MAX];

	for (unsigned c = 0; c < n; c++) {
		cell_of(cell, object, columns[c].paths, columns[c].paths_len);
		put_cell(cell, &(struct cell_style){ .last = c + 1 == n });
	}
	fputc('\n', stdout);
}

/* ------------------------------------------------------ objects and bytes */

/* A text of several lines (PEM) keeps them, under one another. */
static void
put_text(const char *text, size_t indent)
{
	char line[CELL_MAX];
	size_t len, take;

	while (*text != '\0') {
		len = strcspn(text, "\n");
		for (size_t at = 0; at < len; at += take) {
			take = len - at < sizeof(line) - 1 ? len - at : sizeof(line) - 1;
			while (at + take < len && take > 1 &&
			    ((unsigned char)text[at + take] & 0xc0) == 0x80)
				take--; /* not within a character */
			(void)snprintf(line, sizeof(line), "%.*s", (int)take, text + at);
			cli_put(stdout, line);
		}
		text += len;
		if (*text == '\n' && *++text != '\0')
			printf("\n%*s", (int)(indent + COLUMN_GAP), "");
	}
}

static void
put_member(const char *name, const json_t *value, size_t width)
{
	const struct cell_style left = { .width = width };
	char cell[CELL_MAX] = "";
	const json_t *item;
	size_t i;

	/* An array of things that have no name: one a line. */
	if (json_is_array(value) && json_array_size(value) > 0 &&
	    json_is_object(json_array_get(value, 0)) &&
	    json_object_get(json_array_get(value, 0), "kind") == NULL) {
		json_array_foreach((json_t *)value, i, item) {
			cell[0] = '\0';
			cell_value(cell, item);
			put_cell(i == 0 ? name : "", &left);
			cli_put(stdout, cell);
			fputc('\n', stdout);
		}
		return;
	}
	put_cell(name, &left);
	if (json_is_string(value)) /* whole, however long */
		put_text(json_string_value(value), width);
	else {
		cell_value(cell, value);
		cli_put(stdout, cell);
	}
	fputc('\n', stdout);
}

void
cli_object(const json_t *object)
{
	const char *name;
	json_t *value;
	size_t width = 0;

	json_object_foreach((json_t *)object, name, value)
		if (cli_width(name) > width)
			width = cli_width(name);
	json_object_foreach((json_t *)object, name, value)
		put_member(name, value, width);
}

enum cli_exit
cli_data(struct cli *cli, const char *text, bool secret)
{
	const char *name = cli_get(cli, "--out");
	size_t len = strlen(text), size = len + 4;
	uint8_t *bytes = malloc(size);
	enum cli_exit status;
	FILE *out;

	if (bytes == NULL || !ag_base64_parse(text, len, bytes, size, &len)) {
		free(bytes);
		return cli_fail(CLI_FAULT, "the answer is not base64");
	}
	status = cli_create(name, secret, &out);
	if (status == CLI_OK) {
		if (cli_get(cli, "--base64") != NULL ||
		    (out == stdout && isatty(STDOUT_FILENO) == 1))
			fprintf(out, "%s\n", text);
		else
			(void)fwrite(bytes, 1, len, out);
		status = cli_finish(out, name);
	}
	ag_wipe(bytes, size);
	free(bytes);
	return status;
}
