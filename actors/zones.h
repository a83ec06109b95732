/* SPDX-License-Identifier: Apache-2.0 */
/* Time zones of this machine, read when they are first asked for. */
#ifndef AEGIS_ACTORS_ZONES_H
#define AEGIS_ACTORS_ZONES_H

#include <hours.h>

enum { ZONES_MAX = 64 };

struct zones {
	struct {
		char name[AG_ZONE_NAME_MAX + 1];
		struct ag_zone *zone;
	} at[ZONES_MAX];
	unsigned count;
	unsigned next; /* who goes when all places are taken */
};

/* zone_read: from the machine's files; NULL: there is none of this name. Reads
 * a small file: for init and changes, not for every request. */
struct ag_zone *zone_read(const char *name);
/* Kept until the next zones_find. NULL: none of this name. */
const struct ag_zone *zones_find(struct zones *zones, const char *name);
void zones_fini(struct zones *zones);

#endif
