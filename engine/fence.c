/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which files a process may see: a Landlock ruleset (landlock(7)), taken by the
 * supervisor's child before it becomes the program, so that it holds whatever
 * the program turns out to be. Nothing of the file system is there but what is
 * listed, no other process can be traced, looked into or signalled, and there
 * is no capability but to lock memory. A file that is not there is no rule.
 */
#include "engine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* linux/landlock.h of Debian 12 ends with the second revision. */
enum {
	VERSION_ASK = 1 << 0,
	RULE_PATH_BENEATH = 1,
	REVISION_TRUNCATE = 3,
	REVISION_SCOPES = 6,
};
#define WRITE_FILE (1ULL << 1)
#define READ_FILE (1ULL << 2)
#define READ_DIR (1ULL << 3)
#define REMOVE_DIR (1ULL << 4)
#define REMOVE_FILE (1ULL << 5)
#define MAKE_DIR (1ULL << 7)
#define MAKE_REG (1ULL << 8)
#define MAKE_SOCK (1ULL << 9)
#define REFER (1ULL << 13)
#define TRUNCATE (1ULL << 14)
/* All but EXECUTE, which the jail forbids later and the program itself needs. */
#define FIRST ((1ULL << 13) - 2)
#define SCOPES 3ULL /* abstract sockets, signals */

struct ruleset {
	uint64_t files, network, scopes;
};

struct __attribute__((packed)) beneath {
	uint64_t rights;
	int32_t dir;
};

/* Of a file only these can be said. */
#define OF_A_FILE (WRITE_FILE | READ_FILE | TRUNCATE)

static uint64_t
rights_of(unsigned how)
{
	uint64_t rights = 0;

	if (how & AG_FENCE_READ)
		rights |= READ_FILE | READ_DIR;
	if (how & AG_FENCE_LIST)
		rights |= READ_DIR;
	if (how & AG_FENCE_WRITE)
		rights |= WRITE_FILE | TRUNCATE | MAKE_REG | MAKE_DIR |
		    REMOVE_FILE | REMOVE_DIR | REFER;
	if (how & AG_FENCE_SOCKET)
		rights |= MAKE_SOCK | REMOVE_FILE;
	return rights;
}

int
ag_fence_revision(void)
{
	long n = syscall(SYS_landlock_create_ruleset, NULL, 0, VERSION_ASK);

	return n < 0 ? 0 : (int)n;
}

static int
add(int rules, const struct ag_fence *row, uint64_t handled)
{
	struct beneath rule = { rights_of(row->how) & handled, -1 };
	struct stat st;
	int rc = 0;

	rule.dir = open(row->path, O_PATH | O_CLOEXEC);
	if (rule.dir < 0)
		return 0;
	if (fstat(rule.dir, &st) != 0)
		rc = -1;
	else if (!S_ISDIR(st.st_mode))
		rule.rights &= OF_A_FILE;
	if (rc == 0 && rule.rights != 0)
		rc = (int)syscall(SYS_landlock_add_rule, rules,
		    RULE_PATH_BENEATH, &rule, 0);
	close(rule.dir);
	return rc;
}

/* Of root's capabilities only the one to lock memory outlives the exec. */
static void
drop_capabilities(void)
{
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
		if (cap != CAP_IPC_LOCK)
			(void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
}

ag_err
ag_fence_enter(const struct ag_fence *rows, size_t count)
{
	int revision = ag_fence_revision(), rules, rc = 0;
	struct ruleset set = { FIRST, 0, 0 };
	size_t size = offsetof(struct ruleset, network);

	if (revision == 0)
		return AG_UNAVAILABLE;
	if (revision >= 2)
		set.files |= REFER;
	if (revision >= REVISION_TRUNCATE)
		set.files |= TRUNCATE;
	if (revision >= REVISION_SCOPES) {
		set.scopes = SCOPES;
		size = sizeof(set);
	}
	drop_capabilities();
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return AG_IO;
	rules = (int)syscall(SYS_landlock_create_ruleset, &set, size, 0);
	if (rules < 0)
		return AG_IO;
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = add(rules, &rows[i], set.files);
	if (rc == 0)
		rc = (int)syscall(SYS_landlock_restrict_self, rules, 0);
	close(rules);
	return rc == 0 ? ag_jail_ahead() : AG_IO;
}
