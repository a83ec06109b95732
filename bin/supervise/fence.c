/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fence: which files each process may see (process.fence), as tables: what all
 * need of the machine, what each role has in the state directory, and whose
 * the files are that the configuration names.
 */
#include "supervisor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FULL = AG_FENCE_READ | AG_FENCE_WRITE, PATHS_BYTES = 64 << 10 };

/* Nothing here is the fleet's, and nothing a secret. */
static const struct ag_fence machine[] = {
	{ "/usr", AG_FENCE_READ }, { "/lib", AG_FENCE_READ },
	{ "/lib64", AG_FENCE_READ }, { "/bin", AG_FENCE_READ },
	{ "/sys", AG_FENCE_READ }, { "/proc/self", AG_FENCE_READ },
	{ "/proc/sys", AG_FENCE_READ }, { "/proc/cpuinfo", AG_FENCE_READ },
	{ "/proc/meminfo", AG_FENCE_READ }, { "/proc/stat", AG_FENCE_READ },
	{ "/dev/null", FULL }, { "/dev/zero", AG_FENCE_READ },
	{ "/dev/urandom", AG_FENCE_READ }, { "/dev/random", AG_FENCE_READ },
	{ "/etc/ld.so.cache", AG_FENCE_READ }, { "/etc/ld.so.preload", AG_FENCE_READ },
	{ "/etc/ssl/certs", AG_FENCE_READ }, { "/etc/ssl/openssl.cnf", AG_FENCE_READ },
	{ "/etc/ca-certificates", AG_FENCE_READ }, { "/etc/hosts", AG_FENCE_READ },
	{ "/etc/resolv.conf", AG_FENCE_READ }, { "/run/systemd/resolve", AG_FENCE_READ },
	{ "/etc/nsswitch.conf", AG_FENCE_READ }, { "/etc/host.conf", AG_FENCE_READ },
	{ "/etc/gai.conf", AG_FENCE_READ }, { "/etc/services", AG_FENCE_READ },
	{ "/etc/passwd", AG_FENCE_READ }, { "/etc/group", AG_FENCE_READ },
	{ "/etc/localtime", AG_FENCE_READ }, { "/etc/timezone", AG_FENCE_READ },
};

/* Of the state directory; %s is the process's name. role NULL: of all. */
static const struct {
	const char *role, *path;
	unsigned how;
	bool make; /* before it starts: it may not make it itself */
} places[] = {
	{ NULL, "run/metrics", FULL, false },
	{ NULL, "snapshots/%s", FULL, true }, /* but for who has no folder */
	{ "broker", "run/bus", AG_FENCE_SOCKET, false },
	{ "rot", "rot", FULL, true },
	{ "journal", "journal", FULL, true },
	{ "audit", "audit", FULL, true },
	{ "history", "audit", AG_FENCE_READ, false },
	{ "sink", "sinks", FULL, true },
	{ "sink", "run", AG_FENCE_SOCKET, false }, /* topics.sock */
	/* admin.token is in its root, and there is no right to a folder without
	 * what is below it: iam may write there, and read nothing. */
	{ "iam", ".", AG_FENCE_WRITE | AG_FENCE_LIST, false },
};

/* Whose the files are that a section of the configuration names. */
static const struct {
	const char *section, *process; /* NULL: the sink of that row */
	unsigned how;
	bool in_state; /* a relative one; else where the supervisor is */
	bool is_folder; /* made where it is not there, so that it can be filled */
} owners[] = {
	{ "rest.", "rest", AG_FENCE_READ, false, false },
	{ "mcp.", "mcp", AG_FENCE_READ, false, false },
	{ "agent.", "agent", AG_FENCE_READ, false, false },
	{ "gateway.secret_folder", "gateway", AG_FENCE_READ, true, true },
	{ "gateway.", "gateway", AG_FENCE_READ, true, false },
	{ "auth.", "iam", AG_FENCE_READ, false, false },
	{ "approvals.", "iam", AG_FENCE_READ, true, false },
	{ "across.", "across", AG_FENCE_READ, true, false },
	{ "journal.", "journal", AG_FENCE_READ, true, false },
	{ "shared.", "shared", AG_FENCE_READ, true, false },
	{ "policies.directory", "policies", AG_FENCE_READ, false, false },
	{ "policies.", "iam", AG_FENCE_READ, false, false },
	{ "opa.", "opa", AG_FENCE_READ, false, false },
	/* rekey makes the next one beside it */
	{ "rot.software.", "software", FULL, false, false },
	{ "sinks[].path", NULL, FULL, true, false },
	{ "sinks[].", NULL, AG_FENCE_READ, true, false },
};

static char paths[PATHS_BYTES]; /* of the plan that is being made */
static size_t used;

static ag_err
add(struct fence *out, unsigned how, const char *path)
{
	size_t size = strlen(path) + 1;

	for (unsigned i = 0; i < out->count; i++)
		if (strcmp(out->rows[i].path, path) == 0) {
			out->rows[i].how |= how;
			return AG_OK;
		}
	if (out->count == FENCE_ROWS_MAX || used + size > sizeof(paths))
		return AG_FULL;
	memcpy(paths + used, path, size);
	out->rows[out->count++] = (struct ag_fence){ paths + used, how };
	used += size;
	return AG_OK;
}

/* Whether the folder holds what is nobody's but the fleet's. */
static bool
holds(const char *folder, const char *path)
{
	size_t n = strlen(folder);

	return strncmp(folder, path, n) == 0 &&
	    (path[n] == '/' || path[n] == '\0' || n == 1);
}

/*
 * A file as configured: with the folder that it is in, so that another may be
 * put in its place; without, where the folder holds the state directory or the
 * master key, too. Then it is that very file, and has to be there.
 */
static ag_err
add_file(struct supervisor *sup, struct fence *out, unsigned how,
    bool in_state, const char *path)
{
	char full[PATH_MAX], folder[PATH_MAX], master[PATH_MAX];
	const char *base = path[0] == '/' ? "" : in_state ? sup->state_dir : ".";
	char *slash;
	int n = snprintf(full, sizeof(full), "%s%s%s", base,
	    base[0] != '\0' ? "/" : "", path);
	FILE *made;

	if (n < 0 || (size_t)n >= sizeof(full))
		return AG_FULL;
	slash = strrchr(full, '/');
	*slash = '\0';
	if (realpath(slash == full ? "/" : full, folder) == NULL)
		return AG_OK; /* it is not there; the process complains of it */
	*slash = '/';
	ag_master_path(sup->config, sup->state_dir, master, sizeof(master));
	if (!holds(folder, sup->state_dir) &&
	    ((how & AG_FENCE_WRITE) || !holds(folder, master)))
		return add(out, how, folder);
	/* A sink's file is begun here. */
	if ((how & AG_FENCE_WRITE) && (made = fopen(full, "ae")) != NULL)
		fclose(made);
	return add(out, how, full);
}

/* Itself, and nothing beside it. */
static ag_err
add_folder(struct supervisor *sup, struct fence *out, unsigned how,
    const char *path)
{
	char full[PATH_MAX];
	int n = snprintf(full, sizeof(full), "%s%s%s",
	    path[0] == '/' ? "" : sup->state_dir, path[0] == '/' ? "" : "/", path);

	if (n < 0 || (size_t)n >= sizeof(full))
		return AG_FULL;
	if (mkdir(full, 0700) != 0 && errno != EEXIST)
		return AG_OK; /* somebody else's to make; until then there is none */
	return add(out, how, full);
}

bool
ag_fence_is_owned(const char *key)
{
	for (size_t i = 0; i < sizeof(owners) / sizeof(owners[0]); i++)
		if (strncmp(key, owners[i].section, strlen(owners[i].section)) == 0)
			return true;
	return false;
}

/* The rows of one key; who NULL: the sink of that row. */
static ag_err
visit_key(struct supervisor *sup, const struct child *child, const char *key,
    const char *who, struct fence_file *file, fence_visit *visit, void *arg)
{
	unsigned row = who == NULL ? child->index : 0, end = row + 1;
	const char *list = strstr(key, "[]");
	char name[64];
	ag_err err = AG_OK;

	if (who != NULL && list != NULL) {
		snprintf(name, sizeof(name), "%.*s", (int)(list - key), key);
		end = ag_config_get_count(sup->config, name);
	}
	for (; err == AG_OK && row < end; row++)
		if ((file->path = ag_config_get_str(sup->config, key, row)) != NULL)
			err = visit(sup, arg, file);
	return err;
}

/* rest.1 is a rest, topics is nobody's row. */
static bool
is_owner(const struct child *child, const char *who)
{
	size_t len = who == NULL ? 0 : strlen(who);

	if (who == NULL)
		return strcmp(child->role, "sink") == 0 &&
		    strchr(child->name, '.') != NULL;
	return strncmp(child->name, who, len) == 0 &&
	    (child->name[len] == '\0' || child->name[len] == '.');
}

ag_err
ag_fence_files(struct supervisor *sup, const struct child *child,
    fence_visit *visit, void *arg)
{
	const struct ag_config_key *key;
	ag_err err = AG_OK;

	for (unsigned k = 0; err == AG_OK && (key = ag_config_key_at(k)) != NULL;
	    k++) {
		struct fence_file file = { .key = key->path };
		size_t i = 0;

		while (i < sizeof(owners) / sizeof(owners[0]) &&
		    strncmp(key->path, owners[i].section,
		        strlen(owners[i].section)) != 0)
			i++;
		if (key->type != AG_CFG_PATH ||
		    i == sizeof(owners) / sizeof(owners[0]) ||
		    !is_owner(child, owners[i].process))
			continue;
		file.how = owners[i].how;
		file.in_state = owners[i].in_state;
		file.is_folder = owners[i].is_folder;
		err = visit_key(sup, child, key->path, owners[i].process, &file,
		    visit, arg);
	}
	return err;
}

static ag_err
add_configured(struct supervisor *sup, void *arg, const struct fence_file *file)
{
	return file->is_folder ? add_folder(sup, arg, file->how, file->path) :
	    add_file(sup, arg, file->how, file->in_state, file->path);
}

static ag_err
add_places(struct supervisor *sup, struct fence *out, const struct child *child)
{
	char name[256], path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/snapshots", sup->state_dir);
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return AG_IO;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (places[i].role != NULL ? strcmp(places[i].role, child->role) != 0 :
		    places[i].make && strcmp(child->jail, "LISTENER") == 0)
			continue;
		snprintf(name, sizeof(name), places[i].path, child->name);
		snprintf(path, sizeof(path), "%s/%s", sup->state_dir, name);
		if (places[i].make && mkdir(path, 0700) != 0 && errno != EEXIST)
			return AG_IO;
		if (add(out, places[i].how, path) != AG_OK)
			return AG_FULL;
	}
	return AG_OK;
}

/* The program itself, and the library that it is linked to. */
static ag_err
add_program(struct fence *out, const struct child *child)
{
	static const char *const libraries[] = { "engine", "../lib", "../../lib" };
	char path[PATH_MAX];
	const char *slash = strrchr(child->program, '/');
	ag_err err = add(out, AG_FENCE_READ, child->program);

	for (size_t i = 0; err == AG_OK && slash != NULL &&
	    i < sizeof(libraries) / sizeof(libraries[0]); i++) {
		snprintf(path, sizeof(path), "%.*s/%s",
		    (int)(slash - child->program), child->program, libraries[i]);
		err = add(out, AG_FENCE_READ, path);
	}
	return err;
}

ag_err
ag_fence_plan(struct supervisor *sup, const struct child *child,
    struct fence *out)
{
	ag_err err = AG_OK;

	out->count = used = 0;
	if (child->is_local || ag_jail_skipped() ||
	    !ag_config_get_int(sup->config, "process.fence", 0))
		return AG_OK;
	for (size_t i = 0; err == AG_OK &&
	    i < sizeof(machine) / sizeof(machine[0]); i++)
		err = add(out, machine[i].how, machine[i].path);
	if (err == AG_OK)
		err = add_program(out, child);
	if (err == AG_OK && sup->clock_option != NULL)
		err = add_file(sup, out, AG_FENCE_READ, false, sup->clock_file);
	if (err == AG_OK)
		err = add_places(sup, out, child);
	if (err == AG_OK)
		err = ag_fence_files(sup, child, add_configured, out);
	if (err != AG_OK)
		ag_log_plain(AG_ERROR, "FENCE", "process=%s error=%s", child->name,
		    err == AG_FULL ? "too many files" : strerror(errno));
	return err;
}

int
ag_fence_check(struct supervisor *sup)
{
	if (!ag_config_get_int(sup->config, "process.fence", 0) ||
	    ag_jail_skipped() || ag_fence_revision() > 0)
		return EXIT_YES;
	ag_sup_complain("up", "process.fence: this kernel has no Landlock, or it is "
	    "not among lsm= of its command line; leave the key out, or use Linux "
	    "5.13 or later with it");
	return EXIT_BAD_INPUT;
}
