/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration between its files: config.c has the table, the values and
 * the reads, config_yaml.c reads the text, config_rules.c has what concerns
 * several keys, config_pack.c the way to a child.
 */
#ifndef ENGINE_CFG_H
#define ENGINE_CFG_H

#include <aegis/config.h>

enum {
	AG_CFG_TEXT_MAX = 256 << 10, /* of the file */
	AG_CFG_VALUE_MAX = 4095,     /* of one value */
	AG_CFG_ROWS_MAX = 64,        /* of a list of mappings */
	AG_CFG_ITEMS_MAX = 64,       /* of a sequence of strings */
	AG_CFG_PATH_MAX = 96,
	AG_CFG_WANT_MAX = 512,       /* "what would be right" */
};

/* The place of a path in the table, or -1. */
int ag_cfg_find(const char *path);
bool ag_cfg_is_section(const char *path); /* some key is path.… */
bool ag_cfg_is_list(const char *path);    /* some key is path[].… */
/* A list whose rows are written as a mapping: the member that is the name. */
const char *ag_cfg_keyed(const char *path);
/* The name directly below section `path` ("" is the top) that the i-th key of
 * the table has; false if that key is not below it. */
bool ag_cfg_child(unsigned i, const char *path, char out[AG_CFG_PATH_MAX]);

ag_err ag_cfg_new(struct ag_config **out) AG_MUST;
/* One more row of a list; AG_FULL past AG_CFG_ROWS_MAX. */
ag_err ag_cfg_add_row(struct ag_config *c, const char *list, unsigned *row)
    AG_MUST;
unsigned ag_cfg_rows(const struct ag_config *c, int key); /* 1 outside lists */
bool ag_cfg_is_set(const struct ag_config *c, int key, unsigned row);
/* Sets a value, or appends one of a sequence. AG_USAGE: `want` says what would
 * be right. */
ag_err ag_cfg_set(struct ag_config *c, int key, unsigned row,
    const char *where, const char *text, char want[AG_CFG_WANT_MAX]) AG_MUST;
/* An empty sequence was given. */
ag_err ag_cfg_set_empty(struct ag_config *c, int key, unsigned row,
    const char *where) AG_MUST;
bool ag_cfg_is_sequence(int key); /* STRINGS or WORDS */
void ag_cfg_want(int key, char want[AG_CFG_WANT_MAX]);
/* Defaults, then what concerns several keys. name: of the file. */
ag_err ag_cfg_finish(struct ag_config *c, const char *name, char *message,
    size_t message_size) AG_MUST;

#endif
