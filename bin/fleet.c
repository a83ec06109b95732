/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fleet: which processes there are, from bin/fleet.def and the configuration.
 */
#include "fleet.h"

#include <stdio.h>
#include <string.h>

/* fleet.def says the count as a number or a word: AG_COUNT_1 is "one". */
#define AG_COUNT_1 AG_FLEET_ONE
#define AG_COUNT_AG_SHARDS AG_FLEET_SHARDS
#define AG_COUNT_AG_PLANES AG_FLEET_PLANES
#define AG_COUNT_AG_LISTENS AG_FLEET_LISTENS
#define AG_COUNT_AG_WATCHES AG_FLEET_WATCHES
#define AG_COUNT_AG_CALLS AG_FLEET_CALLS
#define AG_COUNT_AG_ENABLED AG_FLEET_ENABLED
#define AG_COUNT_AG_SINKS AG_FLEET_SINKS

static const struct ag_proc procs[] = {
#define AG_PROC(name, folder, role, jail, count) \
	{ #name, #folder, AG_ROLE_##role, #jail, AG_COUNT_##count },
#include "fleet.def"
#undef AG_PROC
};

enum { PROC_COUNT = sizeof(procs) / sizeof(procs[0]) };

const struct ag_proc *
ag_proc_at(unsigned i)
{
	return i < PROC_COUNT ? &procs[i] : NULL;
}

struct expansion {
	const struct ag_config *config;
	struct ag_fleet_row *rows;
	unsigned count;
	char *message;
	size_t message_size;
};

static ag_err
add(struct expansion *e, const struct ag_proc *proc, unsigned index,
    const char *suffix)
{
	struct ag_fleet_row *row = &e->rows[e->count];

	if (e->count == AG_FLEET_ROWS_MAX) {
		snprintf(e->message, e->message_size,
		    "the fleet has at most %d processes", AG_FLEET_ROWS_MAX);
		return AG_FULL;
	}
	memset(row, 0, sizeof(*row));
	snprintf(row->name, sizeof(row->name), "%s%s%s", proc->name,
	    suffix[0] != '\0' ? "." : "", suffix);
	row->proc = proc;
	row->index = index;
	e->count++;
	return AG_OK;
}

/* first_bare: the first has no number. */
static ag_err
add_numbered(struct expansion *e, const struct ag_proc *proc, int64_t n,
    bool first_bare)
{
	ag_err err = AG_OK;

	for (unsigned i = 0; err == AG_OK && i < n; i++) {
		char suffix[12] = "";

		if (i > 0 || !first_bare)
			snprintf(suffix, sizeof(suffix), "%u", i);
		err = add(e, proc, i, suffix);
	}
	return err;
}

static ag_err
check_sink_name(struct expansion *e, unsigned i, const char *kind,
    const char *name)
{
	const char *where = ag_config_get_where(e->config, "sinks[].name", i);

	if (name == NULL || !ag_name_valid(name) ||
	    strlen(kind) + 1 + strlen(name) >= AG_FLEET_NAME_SIZE) {
		snprintf(e->message, e->message_size,
		    "%s: sinks[].name: a name like `archive` ([a-z0-9._-], at "
		    "most 50 characters)", where != NULL ? where : "sinks");
		return AG_USAGE;
	}
	for (unsigned j = 0; j < i; j++) {
		const char *other =
		    ag_config_get_str(e->config, "sinks[].name", j);

		if (other != NULL && strcmp(other, name) == 0) {
			snprintf(e->message, e->message_size,
			    "%s: sinks[].name: `%s` is taken by another sink",
			    where != NULL ? where : "sinks", name);
			return AG_USAGE;
		}
	}
	return AG_OK;
}

static ag_err
add_sinks(struct expansion *e, const struct ag_proc *proc)
{
	unsigned n = ag_config_get_count(e->config, "sinks");
	ag_err err = AG_OK;

	for (unsigned i = 0; err == AG_OK && i < n; i++) {
		const char *kind = ag_config_get_str(e->config, "sinks[].kind", i);
		const char *name = ag_config_get_str(e->config, "sinks[].name", i);

		if (kind == NULL || strcmp(kind, proc->name) != 0)
			continue;
		if ((err = check_sink_name(e, i, kind, name)) == AG_OK)
			err = add(e, proc, i, name);
	}
	return err;
}

static bool
is_enabled(const struct ag_config *config, const struct ag_proc *proc)
{
	char path[AG_FLEET_NAME_SIZE + sizeof(".enabled")];

	snprintf(path, sizeof(path), "%s.enabled", proc->name);
	return ag_config_get_int(config, path, 0) != 0;
}

static bool
is_configured(const struct ag_config *config, const struct ag_proc *proc,
    const char *by)
{
	char path[AG_FLEET_NAME_SIZE];

	snprintf(path, sizeof(path), "%s.%s", proc->name, by);
	return ag_config_get_str(config, path, 0) != NULL;
}

ag_err
ag_fleet_expand(const struct ag_config *config,
    struct ag_fleet_row rows[AG_FLEET_ROWS_MAX], unsigned *count, char *message,
    size_t message_size)
{
	struct expansion e = { config, rows, 0, message, message_size };
	ag_err err = AG_OK;

	for (unsigned i = 0; err == AG_OK && i < PROC_COUNT; i++) {
		const struct ag_proc *proc = &procs[i];

		switch (proc->count) {
		case AG_FLEET_ONE:
			err = add(&e, proc, 0, "");
			break;
		case AG_FLEET_SHARDS:
			err = add_numbered(&e, proc,
			    ag_config_get_int(config, "keys.shards", 0), false);
			break;
		case AG_FLEET_PLANES:
			err = add_numbered(&e, proc,
			    ag_config_get_int(config, "rest.processes", 0), true);
			break;
		case AG_FLEET_LISTENS:
			if (is_configured(config, proc, "listen"))
				err = add(&e, proc, 0, "");
			break;
		case AG_FLEET_WATCHES:
			if (is_configured(config, proc, "directory"))
				err = add(&e, proc, 0, "");
			break;
		case AG_FLEET_CALLS:
			if (is_configured(config, proc, "url") ||
			    is_configured(config, proc, "hook_url"))
				err = add(&e, proc, 0, "");
			break;
		case AG_FLEET_ENABLED:
			if (is_enabled(config, proc))
				err = add(&e, proc, 0, "");
			break;
		case AG_FLEET_SINKS:
			err = add_sinks(&e, proc);
			break;
		}
	}
	*count = e.count;
	return err;
}
