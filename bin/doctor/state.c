/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state directory and what is in it: whose it is, who wrote it, whether
 * there is room, and how long the disk takes to keep a promise.
 */
#include "doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_INPUT = 2, EXIT_STATE = 6 };

enum {
	SPACE_WRONG_MB = 64,    /* less does not last a minute under load */
	SPACE_ODD_MB = 1024,
	FILES_ODD = 1000,       /* free inodes */
	SYNCS = 8,              /* of which the median counts */
	SYNC_ODD_US = 20000,    /* the ring waits for one per batch of answers */
	SYNC_WRONG_US = 1000000,
};

static bool
place(char path[PATH_MAX], const char *dir, const char *name)
{
	int n = snprintf(path, PATH_MAX, "%s/%s", dir, name);

	return n > 0 && n < PATH_MAX;
}

static bool
exists(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0;
}

/* --------------------------------------------------------- the directory */

void
ag_look_dir(const char *path, struct ag_finding *finding)
{
	struct stat st;

	if (lstat(path, &st) != 0) {
		ag_find_wrong(finding, EXIT_INPUT, "%s: %s", path, strerror(errno));
	} else if (!S_ISDIR(st.st_mode)) {
		ag_find_wrong(finding, EXIT_INPUT, "%s: is not a directory", path);
		ag_find_type(finding, "aegis up --state ANOTHER");
	} else if (st.st_uid != geteuid()) {
		ag_find_wrong(finding, EXIT_INPUT, "%s: belongs to uid %u, not to "
		    "you (%u)", path, st.st_uid, geteuid());
		ag_find_type(finding, "chown -R %u %s, or become uid %u", geteuid(),
		    path, st.st_uid);
	} else if (st.st_uid == 0 && (st.st_mode & 07777) == AG_STATE_SHARED_MODE) {
		ag_find(finding, AG_FINE, "%s: root's, with a part for each process "
		    "(process.uid_base)", path);
	} else if ((st.st_mode & 022) != 0) {
		ag_find_wrong(finding, EXIT_INPUT, "%s: others may write to it "
		    "(mode %o); it must be 0700", path, st.st_mode & 07777);
		ag_find_type(finding, "ls -la %s, and if nothing there is strange: "
		    "chmod 700 %s", path, path);
	} else if ((st.st_mode & 07777) != 0700) {
		ag_find(finding, AG_ODD, "%s: mode %04o; aegis up makes it 0700",
		    path, st.st_mode & 07777);
		ag_find_type(finding, "chmod 700 %s", path);
	} else {
		ag_find(finding, AG_FINE, "%s: ours, 0700", path);
	}
}

void
ag_look_state(const struct ag_site *site, struct ag_finding *finding)
{
	if (exists(site->state_dir))
		ag_look_dir(site->state_dir, finding);
	else
		ag_find(finding, AG_UNKNOWN, "%s: not there; the first aegis up "
		    "makes it", site->state_dir);
}

/* The first line of a small file; "": not there. */
static void
first_line(const char *path, char *line, int size)
{
	FILE *f = fopen(path, "re");

	line[0] = '\0';
	if (f == NULL)
		return;
	if (fgets(line, size, f) == NULL)
		line[0] = '\0';
	(void)fclose(f);
	line[strcspn(line, "\n")] = '\0';
}

void
ag_look_version(const char *state_dir, struct ag_finding *finding)
{
	char path[PATH_MAX], line[64];

	if (!place(path, state_dir, "VERSION"))
		return;
	first_line(path, line, sizeof(line));
	if (strverscmp(line, AG_VERSION) > 0) {
		ag_find_wrong(finding, EXIT_STATE, "%s: was written by version %s; "
		    "this is %s, which is older and may not understand it", path,
		    line, AG_VERSION);
		ag_find_type(finding, "install version %s or newer, or restore a "
		    "backup made by %s", line, AG_VERSION);
	} else if (line[0] == '\0') {
		ag_find(finding, AG_UNKNOWN, "nothing is written there yet");
	} else if (strcmp(line, AG_VERSION) != 0) {
		ag_find(finding, AG_FINE, "written by %s; the next aegis up makes "
		    "it %s", line, AG_VERSION);
	} else {
		ag_find(finding, AG_FINE, "%s, as this program", line);
	}
}

void
ag_look_state_version(const struct ag_site *site, struct ag_finding *finding)
{
	ag_look_version(site->state_dir, finding);
}

/* Who has the lock of the state directory; 0: nobody. */
static long
lock_holder(const char *state_dir)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char path[PATH_MAX];
	long who = 0;
	int fd;

	if (!place(path, state_dir, "lock") ||
	    (fd = open(path, O_RDWR | O_CLOEXEC)) < 0)
		return 0;
	if (fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK)
		who = lock.l_pid;
	(void)close(fd);
	return who;
}

void
ag_look_leftovers(const struct ag_site *site, struct ag_finding *finding)
{
	long holder = lock_holder(site->state_dir);
	char run[PATH_MAX];

	if (!place(run, site->state_dir, "run"))
		return;
	if (site->status == NULL && holder > 0) {
		ag_find_wrong(finding, EXIT_STATE, "pid %ld holds the state directory "
		    "and does not answer on run/control.sock", holder);
		ag_find_type(finding, "ps -fp %ld; if it hangs: kill %ld", holder,
		    holder);
	} else if (site->status == NULL && exists(run)) {
		ag_find(finding, AG_ODD, "run/ was left by a fleet that could not "
		    "tidy up; the next aegis up does");
		ag_find_type(finding, "aegis up --state %s", site->state_dir);
	} else {
		ag_find(finding, AG_FINE, site->status == NULL ? "none" :
		    "none, a fleet runs (pid %ld)", holder);
	}
}

/* -------------------------------------------------------------- the disk */

/* The directory, or the nearest one above it that is there. */
static void
nearest(const char *dir, char path[PATH_MAX])
{
	char *slash;

	(void)snprintf(path, PATH_MAX, "%s", dir);
	while (!exists(path) && (slash = strrchr(path, '/')) != NULL)
		slash[slash == path] = '\0';
}

void
ag_look_disk(const struct ag_site *site, struct ag_finding *finding)
{
	char path[PATH_MAX];
	struct statvfs fs;
	unsigned long long mb;

	nearest(site->state_dir, path);
	if (statvfs(path, &fs) != 0) {
		ag_find(finding, AG_UNKNOWN, "%s: %s", path, strerror(errno));
		return;
	}
	mb = (unsigned long long)fs.f_bavail * fs.f_frsize >> 20;
	ag_find_type(finding, "df -h %s; when it is full nothing is answered, "
	    "because nothing can be recorded", path);
	if ((fs.f_flag & ST_RDONLY) != 0)
		ag_find_wrong(finding, EXIT_INPUT, "%s: mounted read-only", path);
	else if (mb < SPACE_WRONG_MB)
		ag_find_wrong(finding, EXIT_INPUT, "%llu MB free in %s", mb, path);
	else if (mb < SPACE_ODD_MB)
		ag_find(finding, AG_ODD, "only %llu MB free in %s", mb, path);
	else if (fs.f_files > 0 && fs.f_favail < FILES_ODD)
		ag_find(finding, AG_ODD, "only %llu files can still be made in %s",
		    (unsigned long long)fs.f_favail, path);
	else {
		ag_find(finding, AG_FINE, "%llu MB free in %s", mb, path);
		finding->type[0] = '\0';
	}
}

static int
by_size(const void *a, const void *b)
{
	long long x = *(const long long *)a, y = *(const long long *)b;

	return (x > y) - (x < y);
}

/* The median of some writes that are synced, in µs; -1: cannot be measured. */
static long long
sync_us(int fd)
{
	long long took[SYNCS];
	struct timespec a, b;
	char block[4096];

	memset(block, 'x', sizeof(block));
	for (int i = 0; i < SYNCS; i++) {
		(void)clock_gettime(CLOCK_MONOTONIC, &a);
		if (write(fd, block, sizeof(block)) != (ssize_t)sizeof(block) ||
		    fdatasync(fd) != 0)
			return -1;
		(void)clock_gettime(CLOCK_MONOTONIC, &b);
		took[i] = (b.tv_sec - a.tv_sec) * 1000000LL +
		    (b.tv_nsec - a.tv_nsec) / 1000;
	}
	qsort(took, SYNCS, sizeof(took[0]), by_size);
	return took[SYNCS / 2];
}

void
ag_look_sync(const struct ag_site *site, struct ag_finding *finding)
{
	long long us;
	int fd = open(site->state_dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0) {
		ag_find(finding, AG_UNKNOWN, exists(site->state_dir) ?
		    "cannot be measured: %s" : "not measured: %s", strerror(errno));
		return;
	}
	us = sync_us(fd);
	(void)close(fd);
	if (us < 0) {
		ag_find_wrong(finding, EXIT_INPUT, "a write there cannot be synced: %s",
		    strerror(errno));
		ag_find_type(finding, "dmesg | tail");
		return;
	}
	ag_find(finding, us >= SYNC_ODD_US ? AG_ODD : AG_FINE,
	    "%lld.%02lld ms for a write that stays", us / 1000, us / 10 % 100);
	if (us >= SYNC_ODD_US)
		ag_find_type(finding, "put the state directory on a faster disk: every "
		    "answer waits for its record (--state DIR)");
	if (us >= SYNC_WRONG_US)
		ag_find_wrong(finding, EXIT_INPUT, "%lld s for a write that stays: "
		    "answers would miss their deadline", us / 1000000);
}

/* ----------------------------------------------------------- secret files */

/* A file that only its owner may read, and who owns it is us. */
static void
look_secret(const char *path, const char *what, struct ag_finding *finding)
{
	struct stat st;

	if (lstat(path, &st) != 0) {
		ag_find(finding, AG_UNKNOWN, errno == ENOENT ? "%s: not there yet" :
		    "%s: cannot be seen", path);
	} else if (!S_ISREG(st.st_mode)) {
		ag_find_wrong(finding, EXIT_INPUT, "%s: is not a file", path);
	} else if (st.st_uid != geteuid() && geteuid() != 0) {
		ag_find_wrong(finding, EXIT_INPUT, "%s: belongs to uid %u, not to "
		    "you (%u)", path, st.st_uid, geteuid());
		ag_find_type(finding, "chown %u %s", geteuid(), path);
	} else if ((st.st_mode & 077) != 0) {
		ag_find_wrong(finding, EXIT_INPUT, "%s: mode %04o: others may read "
		    "%s; it must be 0600", path, st.st_mode & 07777, what);
		ag_find_type(finding, "chmod 600 %s, and think about who read it",
		    path);
	} else {
		ag_find(finding, AG_FINE, "%s: %04o", path, st.st_mode & 07777);
	}
}

void
ag_look_master_key(const struct ag_site *site, struct ag_finding *finding)
{
	const char *named = site->config == NULL ? NULL :
	    ag_config_get_str(site->config, "rot.software.master_key_file", 0);
	char path[PATH_MAX], store[PATH_MAX];

	if (!place(path, site->state_dir, "rot/master.key") ||
	    !place(store, site->state_dir, "rot/wrapping.keys"))
		return;
	if (named != NULL)
		(void)snprintf(path, sizeof(path), "%s", named);
	look_secret(path, "what all keys are wrapped under", finding);
	if (exists(path) || !exists(store))
		return;
	ag_find_wrong(finding, EXIT_INPUT, "%s: is not there, and keys are that "
	    "were wrapped under it", path);
	ag_find_type(finding, "put the master key back from where you keep a copy; "
	    "without it the keys are lost");
}

void
ag_look_admin_token(const struct ag_site *site, struct ag_finding *finding)
{
	char path[PATH_MAX];

	if (place(path, site->state_dir, "admin.token"))
		look_secret(path, "the admin's credential", finding);
}

/* -------------------------------------------------------- the configuration */

void
ag_look_config(const struct ag_site *site, struct ag_finding *finding)
{
	struct stat st;

	if (site->config == NULL) {
		ag_find_wrong(finding, EXIT_INPUT, "%s", site->config_mistake);
		ag_find_type(finding, "aegis doc config; then aegis config check %s",
		    site->config_file);
	} else if (site->config_file == NULL) {
		ag_find(finding, AG_FINE, "defaults only (name a file with --config)");
	} else if (stat(site->config_file, &st) == 0 && (st.st_mode & 022) != 0) {
		ag_find(finding, AG_ODD, "%s: others may write to it (mode %04o)",
		    site->config_file, st.st_mode & 07777);
		ag_find_type(finding, "chmod go-w %s", site->config_file);
	} else {
		ag_find(finding, AG_FINE, "%s: environment %s", site->config_file,
		    ag_config_get_str(site->config, "environment", 0));
	}
}
