/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration's way to a child: a line a value, in four columns with a
 * TAB between them: path, row, where it was written, value. Values and places
 * hold no control character. Defaults are not sent: both sides have the table.
 */
#include "cfg.h"
#include "engine.h"

#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 4 };

static void
pack_value(FILE *out, const struct ag_config *c, int key, unsigned row)
{
	const char *path = ag_config_key_at((unsigned)key)->path, *item;
	const char *where = ag_config_get_where(c, path, row);

	if (!ag_cfg_is_set(c, key, row))
		return;
	if (!ag_cfg_is_sequence(key)) {
		fprintf(out, "%s\t%u\t%s\t%s\n", path, row, where,
		    ag_config_get_str(c, path, row));
		return;
	}
	for (unsigned i = 0;
	    (item = ag_config_get_item(c, path, row, i)) != NULL; i++)
		fprintf(out, "%s\t%u\t%s\t%s\n", path, row, where, item);
}

ag_err
ag_config_pack(const struct ag_config *config, char **text)
{
	size_t size;
	FILE *out;

	*text = NULL;
	if ((out = open_memstream(text, &size)) == NULL)
		return AG_NO_MEMORY;
	for (unsigned i = 0; ag_config_key_at(i) != NULL; i++)
		for (unsigned j = 0; j < ag_cfg_rows(config, (int)i); j++)
			pack_value(out, config, (int)i, j);
	if (fclose(out) != 0) {
		free(*text);
		*text = NULL;
		return AG_NO_MEMORY;
	}
	return AG_OK;
}

/* The row's number; adds rows to the list up to it. */
static ag_err
reach_row(struct ag_config *c, int key, const char *path, const char *text,
    unsigned *row)
{
	char list[AG_CFG_PATH_MAX], *end;
	unsigned long number = strtoul(text, &end, 10);
	unsigned added;

	snprintf(list, sizeof(list), "%.*s", (int)strcspn(path, "["), path);
	if (*text < '0' || *text > '9' || *end != '\0' ||
	    number >= AG_CFG_ROWS_MAX)
		return AG_BAD_MESSAGE;
	*row = (unsigned)number;
	if (!ag_cfg_is_list(list))
		return *row == 0 ? AG_OK : AG_BAD_MESSAGE;
	while (*row >= ag_cfg_rows(c, key))
		if (ag_cfg_add_row(c, list, &added) != AG_OK)
			return AG_NO_MEMORY;
	return AG_OK;
}

static ag_err
unpack_line(struct ag_config *c, char *line)
{
	char *column[COLUMNS] = { line }, want[AG_CFG_WANT_MAX];
	unsigned row;
	ag_err err;
	int key;

	for (unsigned i = 1; i < COLUMNS; i++) {
		if ((column[i] = strchr(column[i - 1], '\t')) == NULL)
			return AG_BAD_MESSAGE;
		*column[i]++ = '\0';
	}
	if ((key = ag_cfg_find(column[0])) < 0)
		return AG_BAD_MESSAGE;
	err = reach_row(c, key, column[0], column[1], &row);
	if (err == AG_OK)
		err = ag_cfg_set(c, key, row, column[2], column[3], want);
	return err == AG_USAGE ? AG_BAD_MESSAGE : err;
}

ag_err
ag_config_unpack(const char *text, struct ag_config **out)
{
	char message[256], *copy = strdup(text), *rest = NULL;
	ag_err err;

	*out = NULL;
	if (copy == NULL)
		return AG_NO_MEMORY;
	if ((err = ag_cfg_new(out)) != AG_OK)
		goto out;
	for (char *line = strtok_r(copy, "\n", &rest);
	    line != NULL && err == AG_OK; line = strtok_r(NULL, "\n", &rest))
		err = unpack_line(*out, line);
	if (err == AG_OK)
		err = ag_cfg_finish(*out, "boot", message, sizeof(message));
	if (err == AG_USAGE)
		err = AG_BAD_MESSAGE;
	if (err != AG_OK)
		ag_config_free(out);
out:
	free(copy);
	return err;
}
