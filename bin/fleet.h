/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bin/fleet.def as a table, for the supervisor, the command and the reference.
 */
#ifndef AEGIS_FLEET_H
#define AEGIS_FLEET_H

#include <aegis/aegis.h>

enum {
	AG_FLEET_ROWS_MAX = 96,  /* of fleet.def, expanded */
	AG_FLEET_NAME_SIZE = 64, /* "keys.12", "file.archive"; NUL included */
};

enum ag_fleet_count {
	AG_FLEET_ONE,
	AG_FLEET_SHARDS, /* keys.shards */
	AG_FLEET_PLANES, /* rest.processes */
	AG_FLEET_LISTENS, /* one if <name>.listen is set */
	AG_FLEET_WATCHES, /* one if <name>.directory is set */
	AG_FLEET_CALLS,   /* one if <name>.url is set */
	AG_FLEET_ENABLED, /* one if <name>.enabled is true */
	AG_FLEET_SINKS,  /* the rows of `sinks:` of this kind */
};

struct ag_proc {
	const char *name;   /* "keys"; its program is aegis-keys */
	const char *folder; /* where its source is */
	enum ag_role role;
	const char *jail;
	enum ag_fleet_count count;
};

/* The i-th line of fleet.def, NULL past the end. */
const struct ag_proc *ag_proc_at(unsigned i);

/* One process. The slot is its place in the expanded table. */
struct ag_fleet_row {
	char name[AG_FLEET_NAME_SIZE];
	const struct ag_proc *proc;
	unsigned index; /* keys.1: 1; a sink: its row of `sinks:` */
};

/*
 * The table under this configuration. Names: a shard is <name>.<i>; the first
 * plane <name>, further ones <name>.<i>; a sink <kind>.<its name>, so that its
 * cursor stays its own when the list is reordered. AG_FULL, or AG_USAGE (a bad
 * or repeated sink name) with a message.
 */
ag_err ag_fleet_expand(const struct ag_config *config,
    struct ag_fleet_row rows[AG_FLEET_ROWS_MAX], unsigned *count, char *message,
    size_t message_size) AG_MUST;

#endif
