/* SPDX-License-Identifier: Apache-2.0 */
/*
 * statedir: the state directory, who has it, and run/ in it.
 * 0700; VERSION; `lock` names the supervisor; run/ lives as long as the fleet.
 */
#include "supervisor.h"

#include "doctor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool
copy(char *out, size_t size, const char *text)
{
	int n = snprintf(out, size, "%s", text);

	return n >= 0 && (size_t)n < size;
}

/* Where state goes when nobody says. */
static bool
default_dir(char *out, size_t size)
{
	const char *xdg = getenv("XDG_STATE_HOME");
	const char *home = getenv("HOME");
	int n;

	if (geteuid() == 0)
		return copy(out, size, "/var/lib/aegis");
	if (xdg != NULL && xdg[0] == '/')
		n = snprintf(out, size, "%s/aegis", xdg);
	else if (home != NULL && home[0] == '/')
		n = snprintf(out, size, "%s/.local/state/aegis", home);
	else
		return false;
	return n >= 0 && (size_t)n < size;
}

bool
ag_state_dir_find(const char *option, char *out, size_t size)
{
	const char *env = getenv("AEGIS_STATE");
	char cwd[PATH_MAX];
	int n;

	if (option == NULL && env != NULL && env[0] != '\0')
		option = env;
	if (option == NULL)
		return default_dir(out, size);
	if (option[0] == '/')
		return copy(out, size, option);
	if (getcwd(cwd, sizeof(cwd)) == NULL)
		return false;
	n = snprintf(out, size, "%s/%s", cwd, option);
	return n >= 0 && (size_t)n < size;
}

/* Makes the directory and its parents, itself 0700. */
static int
make_dir(const char *path)
{
	char part[STATE_PATH_MAX + 64];

	if (!copy(part, sizeof(part), path))
		return -1;
	for (char *slash = strchr(part + 1, '/'); slash != NULL;
	    slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(part, 0755) != 0 && errno != EEXIST)
			return -1;
		*slash = '/';
	}
	return mkdir(part, 0700) != 0 && errno != EEXIST ? -1 : 0;
}

/* Ours and private, or nobody's business: a directory that others may write is
 * not repaired but refused; one that others may read is closed. */
static int
claim_dir(const char *path)
{
	struct ag_finding finding = { .grade = AG_UNKNOWN };

	if (make_dir(path) != 0) {
		ag_sup_complain("up", "%s: cannot be made: %s", path,
		    strerror(errno));
		return EXIT_BAD_INPUT;
	}
	ag_look_dir(path, &finding);
	if (finding.grade == AG_WRONG) {
		ag_sup_complain("up", "%s", finding.what);
		return finding.exit_status;
	}
	if (finding.grade == AG_ODD && chmod(path, 0700) != 0) {
		ag_sup_complain("up", "%s: chmod 0700: %s", path,
		    strerror(errno));
		return EXIT_BAD_INPUT;
	}
	return EXIT_YES;
}

ag_err
ag_state_put(const char *dir, const char *name, const void *bytes, size_t len)
{
	char path[PATH_MAX], temporary[PATH_MAX];
	int fd, n = snprintf(path, sizeof(path), "%s/%s", dir, name);
	bool ok;

	if (n < 0 || (size_t)n + 5 > sizeof(path))
		return AG_IO;
	snprintf(temporary, sizeof(temporary), "%.*s.new", n, path);
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
	    0600);
	if (fd < 0)
		return AG_IO;
	ok = write(fd, bytes, len) == (ssize_t)len && fsync(fd) == 0;
	ok = close(fd) == 0 && ok;
	if (!ok || rename(temporary, path) != 0) {
		unlink(temporary);
		return AG_IO;
	}
	return AG_OK;
}

bool
ag_state_has(const struct supervisor *sup, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", sup->state_dir, name);
	return access(path, F_OK) == 0;
}

static int
check_version(struct supervisor *sup)
{
	struct ag_finding finding = { .grade = AG_UNKNOWN };

	ag_look_version(sup->state_dir, &finding);
	if (finding.grade == AG_WRONG) {
		ag_sup_complain("up", "%s", finding.what);
		return finding.exit_status;
	}
	if (ag_state_put(sup->state_dir, "VERSION", AG_VERSION "\n",
	        strlen(AG_VERSION "\n")) != AG_OK) {
		ag_sup_complain("up", "%s/VERSION: %s", sup->state_dir,
		    strerror(errno));
		return EXIT_BAD_INPUT;
	}
	return EXIT_YES;
}

/* A record lock goes when its process does, however that ends, and tells who
 * holds it. Children do not inherit it. */
int
ag_state_take(const char *verb, const char *dir, int *fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct flock holder = lock;
	char path[PATH_MAX], pid[24];
	int n;

	snprintf(path, sizeof(path), "%s/lock", dir);
	*fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (*fd < 0) {
		ag_sup_complain(verb, "%s: %s", path, strerror(errno));
		return EXIT_BAD_INPUT;
	}
	if (fcntl(*fd, F_SETLK, &lock) != 0) {
		long who = 0;

		if (fcntl(*fd, F_GETLK, &holder) == 0 &&
		    holder.l_type != F_UNLCK)
			who = holder.l_pid;
		ag_sup_complain(verb, "%s: a fleet runs here already (aegis up, "
		    "pid %ld); stop it with: aegis down --state %s",
		    dir, who, dir);
		close(*fd);
		*fd = -1; /* nothing here is ours to tidy up */
		return EXIT_CONFLICT;
	}
	n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
	if (ftruncate(*fd, 0) != 0 || write(*fd, pid, n) != n)
		ag_log_plain(AG_WARN, "LOCK-NOTE", "error=%s", strerror(errno));
	return EXIT_YES;
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	remove(path);
	return 0; /* what cannot be removed is met again when it is made */
}

static void
sweep(const char *path)
{
	nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static int
make_run(struct supervisor *sup)
{
	static const char *const folders[] = { "run", "run/bus", "run/metrics",
		"guests", "actors.d" };
	char path[PATH_MAX];

	sweep(sup->run_dir); /* of a fleet that could not tidy up */
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		int status;

		snprintf(path, sizeof(path), "%s/%s", sup->state_dir, folders[i]);
		if ((status = claim_dir(path)) != EXIT_YES)
			return status;
	}
	return EXIT_YES;
}

int
ag_state_open(struct supervisor *sup)
{
	char resolved[PATH_MAX];
	int status;

	if (!ag_state_dir_find(sup->state_option, sup->state_dir,
	        sizeof(sup->state_dir))) {
		ag_sup_complain("up", "--state: no usable directory (name one)");
		return EXIT_BAD_INPUT;
	}
	if ((status = claim_dir(sup->state_dir)) != EXIT_YES)
		return status;
	if (realpath(sup->state_dir, resolved) == NULL ||
	    !copy(sup->state_dir, sizeof(sup->state_dir), resolved)) {
		ag_sup_complain("up", "%s: %s", sup->state_dir, strerror(errno));
		return EXIT_BAD_INPUT;
	}
	snprintf(sup->run_dir, sizeof(sup->run_dir), "%s/run", sup->state_dir);
	if ((status = ag_state_take("up", sup->state_dir, &sup->lock_fd)) != EXIT_YES ||
	    (status = check_version(sup)) != EXIT_YES ||
	    (status = make_run(sup)) != EXIT_YES)
		return status;
	sup->had_admin_token = ag_state_has(sup, "admin.token");
	return EXIT_YES;
}

void
ag_state_close(struct supervisor *sup)
{
	if (sup->lock_fd < 0)
		return;
	if (sup->run_dir[0] != '\0')
		sweep(sup->run_dir);
	if (ftruncate(sup->lock_fd, 0) != 0)
		ag_log_plain(AG_WARN, "LOCK-NOTE", "error=%s", strerror(errno));
	close(sup->lock_fd);
	sup->lock_fd = -1;
}

int
ag_endpoints_write(struct supervisor *sup)
{
	const struct listener *mcp = ag_listener_of(sup, "mcp");
	const struct listener *agent = ag_listener_of(sup, "agent");
	json_t *root = json_pack("{s:s, s:s?, s:s?, s:o, s:o}", "rest",
	    sup->listeners[0].url, "mcp", mcp == NULL ? NULL : mcp->url,
	    "agent", agent == NULL ? NULL : agent->url,
	    "broker", json_sprintf("ipc://%s/bus", sup->run_dir),
	    "topics", json_sprintf("ipc://%s/topics.sock", sup->run_dir));
	char *text = root != NULL ? json_dumps(root, JSON_COMPACT) : NULL;
	ag_err err = text == NULL ? AG_NO_MEMORY :
	    ag_state_put(sup->run_dir, "endpoints.json", text, strlen(text));

	free(text);
	json_decref(root);
	if (err == AG_OK)
		return EXIT_YES;
	ag_sup_complain("up", "%s/endpoints.json: %s", sup->run_dir,
	    strerror(errno));
	return EXIT_FAULT;
}
