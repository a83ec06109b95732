/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A folder of policies: <name>.cedar, and <name>.cedar.sig beside it. Files of
 * other names are not looked at, nor are folders in it; a link is refused, so
 * that nothing outside of it is read.
 */
#ifndef AEGIS_ACTORS_POLICIES_FOLDER_H
#define AEGIS_ACTORS_POLICIES_FOLDER_H

#include <aegis/aegis.h>

#include <rules.h>
#include <signed.h>

enum {
	FOLDER_ENTRIES_MAX = 4096, /* names in it, of whatever kind */
	FOLDER_PROBLEM = AG_CEDAR_PROBLEM_SIZE + 160,
};
#define FOLDER_ENDING ".cedar"
#define FOLDER_SIGNATURE ".sig"

struct folder_doc {
	char name[AG_NAME_MAX + 1];
	char *text;      /* NULL: only a signature, of its end */
	size_t len;
	char *signature; /* NULL: none */
};
struct folder {
	struct folder_doc docs[AG_RULES_DOCS_MAX]; /* by name */
	size_t count;
	size_t bytes;
};

/* Of names, sizes and times of what is looked at: another one, if something
 * changed. False: it cannot be read, and problem says why. */
bool folder_print(const char *path, uint8_t out[32],
    char problem[FOLDER_PROBLEM]);
/* All of it; NULL, and problem says what is wrong with which file. */
struct folder *folder_read(const char *path, char problem[FOLDER_PROBLEM]);
void folder_free(struct folder **folder);

#endif
