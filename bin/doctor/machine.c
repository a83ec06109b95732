/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the machine allows, and what time it thinks it is.
 */
#include "doctor.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_INPUT = 2 };

enum {
	FILES_SPARE = 128, /* beside the connections: bus, logs, libraries */
	AHEAD_ODD_S = 120, /* a file written so far in the future */
	SYNC_ODD_MS = 1000,
};

/* ------------------------------------------------------------------- limits */

void
ag_look_open_files(const struct ag_site *site, struct ag_finding *finding)
{
	unsigned long long wanted = FILES_SPARE;
	struct rlimit limit;

	if (site->config != NULL)
		wanted += (unsigned long long)ag_config_get_int(site->config,
		    "rest.limits.connections", 0);
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
		ag_find(finding, AG_UNKNOWN, "%s", strerror(errno));
	} else if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < wanted) {
		ag_find_wrong(finding, EXIT_INPUT, "open files: the hard limit is "
		    "%llu, and rest.limits.connections needs %llu (ulimit -n %llu)",
		    (unsigned long long)limit.rlim_max, wanted, wanted);
		ag_find_type(finding, "ulimit -n %llu, or LimitNOFILE=%llu in the unit",
		    wanted, wanted);
	} else {
		ag_find(finding, AG_FINE, "%llu allowed, %llu needed",
		    (unsigned long long)limit.rlim_max, wanted);
	}
}

/* Every process locks its secrets; whether one may is tried, not computed. */
void
ag_look_locked_memory(const struct ag_site *site, struct ag_finding *finding)
{
	struct rlimit limit = { 0 }, raised;
	void *region;
	bool locked;

	(void)site;
	if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0) {
		raised = limit;
		raised.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_MEMLOCK, &raised);
	}
	region = mmap(NULL, AG_SECRET_REGION_BYTES, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (region == MAP_FAILED) {
		ag_find(finding, AG_UNKNOWN, "no memory to try it with");
		return;
	}
	locked = mlock(region, AG_SECRET_REGION_BYTES) == 0;
	(void)munmap(region, AG_SECRET_REGION_BYTES);
	if (locked) {
		ag_find(finding, AG_FINE, "%d KiB can be locked",
		    AG_SECRET_REGION_BYTES / 1024);
		return;
	}
	ag_find_wrong(finding, EXIT_INPUT, "locked memory: each process needs %d "
	    "KiB, the limit is %llu KiB (ulimit -l %d, or LimitMEMLOCK= in the "
	    "unit)", AG_SECRET_REGION_BYTES / 1024,
	    (unsigned long long)(limit.rlim_max / 1024),
	    AG_SECRET_REGION_BYTES / 1024);
	ag_find_type(finding, "ulimit -l %d, or LimitMEMLOCK=%dK in the unit",
	    AG_SECRET_REGION_BYTES / 1024, AG_SECRET_REGION_BYTES / 1024);
}

/* ------------------------------------------------------------------- kernel */

static bool
has_seccomp(void)
{
	unsigned action = SECCOMP_RET_ERRNO;

	return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

static bool
has_pidfd(void)
{
	int fd = pidfd_open(getpid(), 0);

	if (fd >= 0)
		(void)close(fd);
	return fd >= 0;
}

static bool
has_close_range(void)
{
	return close_range(~0U - 1, ~0U - 1, 0) == 0;
}

static bool
has_dontdump(void)
{
	long page = sysconf(_SC_PAGESIZE);
	void *p = mmap(NULL, (size_t)page, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool ok;

	if (p == MAP_FAILED)
		return true;
	ok = madvise(p, (size_t)page, MADV_DONTDUMP) == 0;
	(void)munmap(p, (size_t)page);
	return ok;
}

static bool
has_peer_death(void)
{
	int signal = 0;

	return prctl(PR_GET_PDEATHSIG, &signal) == 0;
}

/* What the fleet uses of the kernel, and could not do without. */
static const struct { const char *name; bool (*there)(void); } features[] = {
	{ "seccomp filters", has_seccomp },
	{ "pidfd_open", has_pidfd },
	{ "close_range", has_close_range },
	{ "MADV_DONTDUMP", has_dontdump },
	{ "PR_SET_PDEATHSIG", has_peer_death },
};

void
ag_look_kernel(const struct ag_site *site, struct ag_finding *finding)
{
	(void)site;
	for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++)
		if (!features[i].there()) {
			ag_find_wrong(finding, EXIT_INPUT, "this kernel has no %s, "
			    "which every process of the fleet uses", features[i].name);
			ag_find_type(finding, "uname -r; Linux 5.9 or newer, outside of "
			    "sandboxes that hide it");
			return;
		}
	ag_find(finding, AG_FINE, "all %zu features that are used",
	    sizeof(features) / sizeof(features[0]));
}

/* -------------------------------------------------------------------- clock */

/* No clock that shows an earlier day is right. */
static int64_t
earliest_ms(void)
{
	int64_t ms = 0;

	return ag_time_parse("2025-01-01T00:00:00Z", &ms) ? ms : 0;
}

static int64_t
wall_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

/* The newest of what a fleet wrote here: the clock was at least there. */
static int64_t
last_written_s(const char *state_dir)
{
	static const char *const names[] = { "VERSION", "journal/data.mdb", "audit",
		"run/endpoints.json" };
	char path[4096];
	struct stat st;
	int64_t last = 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", state_dir, names[i]);
		if (stat(path, &st) == 0 && st.st_mtime > last)
			last = st.st_mtime;
	}
	return last;
}

void
ag_look_clock(const struct ag_site *site, struct ag_finding *finding)
{
	int64_t now = wall_ms(), last = last_written_s(site->state_dir);
	char text[AG_TIME_TEXT];

	ag_time_text(now, text);
	ag_find_type(finding, "timedatectl set-ntp true, or date --set; then aegis up");
	if (now < earliest_ms()) {
		ag_find_wrong(finding, EXIT_INPUT, "the clock says %s: tokens would be "
		    "issued for the past", text);
	} else if (last > now / 1000 + AHEAD_ODD_S) {
		ag_find(finding, AG_ODD, "the clock says %s, and a file here was "
		    "written %lld s after that: it was set back", text,
		    (long long)(last - now / 1000));
	} else {
		ag_find(finding, AG_FINE, "%s", text);
		finding->type[0] = '\0';
	}
}

void
ag_look_time_sync(const struct ag_site *site, struct ag_finding *finding)
{
	struct timex time = { .modes = 0 };
	int state = adjtimex(&time);

	(void)site;
	if (state < 0) {
		ag_find(finding, AG_UNKNOWN, "adjtimex: %s", strerror(errno));
		return;
	}
	if (state == TIME_ERROR || (time.status & STA_UNSYNC) != 0) {
		ag_find(finding, AG_ODD, "nothing keeps this clock right (the kernel "
		    "calls it unsynchronised); tokens live by it");
		ag_find_type(finding, "timedatectl set-ntp true");
	} else if (time.maxerror > SYNC_ODD_MS * 1000L) {
		ag_find(finding, AG_ODD, "kept, to within %ld ms", time.maxerror / 1000);
		ag_find_type(finding, "timedatectl timesync-status");
	} else {
		ag_find(finding, AG_FINE, "kept, to within %ld ms", time.maxerror / 1000);
	}
}
