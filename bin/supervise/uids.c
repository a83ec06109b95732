/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uids: each process a uid of its own (process.uid_base), where the supervisor
 * is root and stays it. One that is taken over then cannot read another's
 * files, signal or trace it, whatever the kernel has of fences.
 *
 * All processes have the group `base`, by which they get to the bus and to
 * run/metrics, and each has one more of its uid's number, by which a folder is
 * opened to one of them. The state directory is walked once at the start, when
 * no process of the fleet lives: what commands of root's made there in the
 * meantime, or a fleet without uids, is given to whose it is.
 */
#include "supervisor.h"

#include "doctor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	BASE_MIN = 65536,  /* below are people's, packages', and nobody's */
	STRIDE = 128,      /* a program's: more than there are of any */
	LOCAL_UID = 16384, /* actors.d */
	WALK_FDS = 16,
	LOCKED_BYTES = 64 << 20, /* root had no bound */
	GROUPS_MAX = 64,
	UIDS = 20000,
	GONE_TRIES = 50,   /* of 100 ms: who was killed may still be going */
};

/* What is whose in the state directory; all else is root's, 0700. */
static const struct place {
	const char *path;  /* %s: the process's name */
	const char *owner; /* NULL: root; "*": each process with a folder */
	const char *group; /* whom it is open to; "*": all; NULL: nobody else */
	mode_t mode;
} places[] = {
	/* iam makes admin.token there and topics its socket; of the rest they
	 * change nothing (sticky) and see no name. */
	{ "", NULL, "iam", AG_STATE_SHARED_MODE },
	{ "run", NULL, "topics", AG_STATE_SHARED_MODE },
	{ "run/metrics", NULL, "*", 01770 },
	{ "run/bus", "broker", "*", 0710 },
	{ "snapshots", NULL, "*", 0710 },
	{ "snapshots/%s", "*", NULL, 0700 },
	{ "rot", "software", NULL, 0700 },
	{ "journal", "journal", NULL, 0700 },
	{ "audit", "audit", "history", 02750 },
	{ "sinks", NULL, "*", 01770 }, /* dead letters; each its own */
	{ "admin.token", "iam", NULL, 0600 },
};

static uid_t
base_of(const struct supervisor *sup)
{
	return (uid_t)ag_config_get_int(sup->config, "process.uid_base", 0);
}

/* The same as long as the program keeps its row in fleet.def. */
static uid_t
uid_of(const struct supervisor *sup, const struct child *child)
{
	const struct ag_proc *proc;
	size_t len = strcspn(child->name, ".");

	if (child->is_broker)
		return base_of(sup) + 1;
	if (child->is_local)
		return base_of(sup) + LOCAL_UID + child->slot;
	for (unsigned i = 0; (proc = ag_proc_at(i)) != NULL; i++)
		if (strlen(proc->name) == len &&
		    strncmp(proc->name, child->name, len) == 0)
			return base_of(sup) + (i + 1) * STRIDE + child->index;
	ag_panic("%s is in no row", child->name);
}

static uid_t
named(const struct supervisor *sup, const char *name)
{
	for (unsigned i = 0; i < sup->count; i++)
		if (strcmp(sup->children[i].name, name) == 0)
			return sup->children[i].uid;
	return 0; /* it is not in this fleet: nobody but root */
}

/* ------------------------------------------------------ the state directory */

static struct {
	uid_t uid, gid;
	bool shared; /* files are for the group to read */
	int error;
} giving; /* during a walk */

/* A file with another name elsewhere is not given away: the other may be
 * somebody else's. */
static int
give(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	bool is_file = S_ISREG(st->st_mode);

	(void)type;
	(void)ftw;
	if (is_file && st->st_nlink > 1)
		return 0;
	if ((st->st_uid != giving.uid || st->st_gid != giving.gid) &&
	    lchown(path, giving.uid, giving.gid) != 0)
		giving.error = errno;
	if (is_file && giving.shared && (st->st_mode & 0777) == 0600 &&
	    chmod(path, 0640) != 0)
		giving.error = errno;
	return 0;
}

static int
give_all(const char *path, uid_t uid, gid_t gid, bool shared)
{
	giving.uid = uid;
	giving.gid = gid;
	giving.shared = shared;
	giving.error = 0;
	if (nftw(path, give, WALK_FDS, FTW_PHYS | FTW_MOUNT) != 0 &&
	    errno != ENOENT)
		giving.error = errno;
	if (giving.error == 0)
		return EXIT_YES;
	ag_sup_complain("up", "%s: cannot be given to uid %u: %s", path, uid,
	    strerror(giving.error));
	return EXIT_FAULT;
}

static int
take_place(const struct supervisor *sup, const struct place *place,
    const char *name, uid_t uid)
{
	char path[PATH_MAX], below[256];
	bool shared = place->group != NULL, tree = uid != 0;
	gid_t gid = !shared ? uid : strcmp(place->group, "*") == 0 ?
	    base_of(sup) : named(sup, place->group);
	bool is_file = (place->mode & 0111) == 0;
	struct stat st;

	snprintf(below, sizeof(below), place->path, name);
	snprintf(path, sizeof(path), "%s%s%s", sup->state_dir,
	    below[0] != '\0' ? "/" : "", below);
	if (!is_file && mkdir(path, 0700) != 0 && errno != EEXIST) {
		ag_sup_complain("up", "%s: %s", path, strerror(errno));
		return EXIT_FAULT;
	}
	if (lstat(path, &st) != 0)
		return EXIT_YES; /* a file that is not there yet */
	if (is_file ? !S_ISREG(st.st_mode) : !S_ISDIR(st.st_mode)) {
		ag_sup_complain("up", "%s: is not a %s", path,
		    is_file ? "file" : "folder");
		return EXIT_BAD_INPUT;
	}
	if (tree && give_all(path, uid, gid, shared && !is_file) != EXIT_YES)
		return EXIT_FAULT;
	if ((!tree && lchown(path, 0, gid) != 0) || chmod(path, place->mode) != 0) {
		ag_sup_complain("up", "%s: %s", path, strerror(errno));
		return EXIT_FAULT;
	}
	return EXIT_YES;
}

static int
take_places(const struct supervisor *sup)
{
	int status = EXIT_YES;

	for (size_t i = 0; status == EXIT_YES &&
	    i < sizeof(places) / sizeof(places[0]); i++) {
		const struct place *place = &places[i];

		if (place->owner == NULL || strcmp(place->owner, "*") != 0) {
			status = take_place(sup, place, "", place->owner == NULL ?
			    0 : named(sup, place->owner));
			continue;
		}
		for (unsigned c = 0; status == EXIT_YES && c < sup->count; c++)
			if (!sup->children[c].is_broker &&
			    strcmp(sup->children[c].jail, "LISTENER") != 0)
				status = take_place(sup, place,
				    sup->children[c].name, sup->children[c].uid);
	}
	return status;
}

/* Dead letters of one sink, among others' of other uids. */
static int
take_dead(const struct supervisor *sup, const struct child *child)
{
	static const char *const ends[] = { "dead", "dead.again" };
	char path[PATH_MAX];
	int status = EXIT_YES;

	for (size_t i = 0; status == EXIT_YES && i < 2; i++) {
		snprintf(path, sizeof(path), "%s/sinks/%s.%s", sup->state_dir,
		    child->name, ends[i]);
		if (access(path, F_OK) == 0)
			status = give_all(path, child->uid, child->uid, false);
	}
	return status;
}

/* ---------------------------------------------------------- configured files */

struct looking {
	const struct child *child;
	int status;
};

static bool
may(const struct supervisor *sup, const struct child *child, const char *path,
    int how)
{
	gid_t groups[GROUPS_MAX], own = child->uid;
	int n = getgroups(GROUPS_MAX, groups);
	bool ok = n >= 0 && setgroups(1, &own) == 0 &&
	    setegid(base_of(sup)) == 0 && seteuid(child->uid) == 0 &&
	    faccessat(AT_FDCWD, path, how, AT_EACCESS) == 0;

	if (seteuid(0) != 0 || setegid(0) != 0 ||
	    setgroups((size_t)(n < 0 ? 0 : n), groups) != 0)
		ag_panic("root does not come back: %s", strerror(errno));
	return ok;
}

/* A file of root's own that a process is to read is told, not given: it is not
 * ours to give. */
static ag_err
look(struct supervisor *sup, void *arg, const struct fence_file *file)
{
	struct looking *l = arg;
	char path[PATH_MAX];
	int how = file->how & AG_FENCE_READ ? R_OK : W_OK;
	const char *base = file->path[0] == '/' ? "" :
	    file->in_state ? sup->state_dir : ".";
	struct stat st;
	int fd;

	if (file->is_folder)
		how |= X_OK;
	if (snprintf(path, sizeof(path), "%s%s%s", base,
	    base[0] != '\0' ? "/" : "", file->path) >= (int)sizeof(path))
		return AG_FULL;
	/* What a sink or the root of trust makes in the state directory. */
	if ((file->how & AG_FENCE_WRITE) && strncmp(path, sup->state_dir,
	    strlen(sup->state_dir)) == 0 && strstr(path, "..") == NULL) {
		/* Not waiting for the other end of what is no file. */
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW |
		    O_NONBLOCK, 0600);
		if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
		    st.st_nlink == 1 &&
		    strcmp(file->key, "sinks[].path") == 0)
			(void)!fchown(fd, l->child->uid, l->child->uid);
		if (fd >= 0)
			close(fd);
	}
	if (lstat(path, &st) != 0 || may(sup, l->child, path, how))
		return AG_OK; /* of one that is not there the process complains */
	ag_sup_complain("up", "%s: %s: %s is uid %u (process.uid_base) and may "
	    "not %s it; type: chown %u %s", path, file->key, l->child->name,
	    l->child->uid, how & W_OK ? "write" : "read", l->child->uid, path);
	l->status = EXIT_BAD_INPUT;
	return AG_OK; /* all of them are told */
}

/* -------------------------------------------------------------------- public */

static int
check(const struct supervisor *sup)
{
	if (geteuid() != 0) {
		ag_sup_complain("up", "process.uid_base: only root may give "
		    "processes uids of their own; leave the key out, or start as "
		    "root");
		return EXIT_BAD_INPUT;
	}
	if (base_of(sup) >= BASE_MIN)
		return EXIT_YES;
	ag_sup_complain("up", "process.uid_base: %u: %d or more, with 20,000 uids "
	    "behind it that nobody has", base_of(sup), BASE_MIN);
	return EXIT_BAD_INPUT;
}

/* Whose real uid is one of ours; 0: nobody's. */
static long
survivor(uid_t base)
{
	DIR *processes = opendir("/proc");
	const struct dirent *entry;
	long found = processes == NULL ? -1 : 0;

	while (found == 0 && (entry = readdir(processes)) != NULL) {
		char path[64], line[128];
		long pid = strtol(entry->d_name, NULL, 10);
		unsigned uid = 0;
		FILE *status;

		if (pid <= 0)
			continue;
		snprintf(path, sizeof(path), "/proc/%ld/status", pid);
		if ((status = fopen(path, "re")) == NULL)
			continue; /* it has ended */
		while (fgets(line, sizeof(line), status) != NULL &&
		    sscanf(line, "Uid: %u", &uid) != 1)
			;
		fclose(status);
		if (uid >= base && uid - base < UIDS)
			found = pid;
	}
	if (processes != NULL)
		closedir(processes);
	return found;
}

/* Root walks through folders of theirs: one that lived on, taken over, could
 * put a link in its way. */
static int
check_alone(uid_t base)
{
	const struct timespec pause = { .tv_nsec = 100000000 };
	long pid;

	for (unsigned i = 0; (pid = survivor(base)) != 0 && i < GONE_TRIES; i++)
		(void)nanosleep(&pause, NULL);
	if (pid == 0)
		return EXIT_YES;
	ag_sup_complain("up", "process.uid_base: pid %ld is one of these uids: of "
	    "another fleet, which needs a base of its own, or of this one's last "
	    "life: ps -fp %ld", pid, pid);
	return EXIT_CONFLICT;
}

/* After a fleet that had uids: all is root's again. Whose they were snapshots'
 * group says. */
static int
take_back(struct supervisor *sup)
{
	char path[PATH_MAX];
	struct stat st;
	int status;

	if (geteuid() != 0 || stat(sup->state_dir, &st) != 0 ||
	    (st.st_mode & 07777) != AG_STATE_SHARED_MODE)
		return EXIT_YES;
	snprintf(path, sizeof(path), "%s/snapshots", sup->state_dir);
	if (lstat(path, &st) == 0 && st.st_gid >= BASE_MIN &&
	    (status = check_alone(st.st_gid)) != EXIT_YES)
		return status;
	if (give_all(sup->state_dir, 0, 0, false) != EXIT_YES)
		return EXIT_FAULT;
	return chmod(sup->state_dir, 0700) == 0 ? EXIT_YES : EXIT_FAULT;
}

int
ag_uids_take(struct supervisor *sup)
{
	int status;

	if (base_of(sup) == 0)
		return take_back(sup);
	if ((status = check(sup)) != EXIT_YES ||
	    (status = check_alone(base_of(sup))) != EXIT_YES)
		return status;
	for (unsigned i = 0; i < sup->count; i++)
		sup->children[i].uid = uid_of(sup, &sup->children[i]);
	/* Who is in the table no more has nothing more: its uid may be
	 * another's. */
	if ((status = give_all(sup->state_dir, 0, 0, false)) != EXIT_YES ||
	    (status = take_places(sup)) != EXIT_YES)
		return status;
	for (unsigned i = 0; status == EXIT_YES && i < sup->count; i++) {
		struct looking l = { &sup->children[i], EXIT_YES };

		status = take_dead(sup, l.child);
		if (status == EXIT_YES &&
		    ag_fence_files(sup, l.child, look, &l) != AG_OK)
			status = EXIT_FAULT;
		if (status == EXIT_YES)
			status = l.status;
	}
	return status;
}

ag_err
ag_uid_become(const struct supervisor *sup, const struct child *child)
{
	const struct rlimit locked = { LOCKED_BYTES, LOCKED_BYTES };
	gid_t own = child->uid, all = base_of(sup);

	/* Where root may not, the limit is what it was; `up` has looked at it. */
	(void)setrlimit(RLIMIT_MEMLOCK, &locked);
	if (setgroups(1, &own) != 0 || setresgid(all, all, all) != 0 ||
	    setresuid(child->uid, child->uid, child->uid) != 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return AG_IO;
	umask(child->is_broker ? 007 : 027); /* its sockets are for all */
	return AG_OK;
}
