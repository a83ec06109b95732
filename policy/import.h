/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policies in YAML (version, rules with name, effect, conditions, reason) as
 * Cedar. There the first rule that matches decides, here every rule counts and
 * a forbid wins: what would mean something else is refused, with the two rules'
 * names. Pure.
 */
#ifndef AEGIS_POLICY_IMPORT_H
#define AEGIS_POLICY_IMPORT_H

#include "rules.h"

enum {
	AG_IMPORT_RULES_MAX = 500,
	AG_IMPORT_PROBLEM = 320,
	AG_IMPORT_NOTES_MAX = 16,
	AG_IMPORT_NOTE = 160,
};

struct ag_import {
	char *text; /* malloc'd: Cedar; NULL: it was refused */
	size_t policies;
	uint32_t line, column;           /* of the problem */
	char problem[AG_IMPORT_PROBLEM]; /* what is wrong, what would be right */
	char notes[AG_IMPORT_NOTES_MAX][AG_IMPORT_NOTE]; /* what was left out */
	size_t note_count;
};

/* False: no memory. Whether it was taken: out->text. */
bool ag_import_yaml(const char *text, size_t len, struct ag_import *out);

#endif
