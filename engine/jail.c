/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last act with privilege. After it a process can start no other program,
 * look into no other process and change nothing of the machine, whatever
 * happens to it later.
 *
 * The filter allows by default and denies by name, with EPERM: libzmq,
 * OpenSSL and LMDB call what they like of the rest, in this version and the
 * next. What a jail must not do is listed; that is the promise, no more.
 */
#include "engine.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* The sanitizers' runtimes fork, trace and map as they like. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define JAIL_SKIP 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) || \
    __has_feature(thread_sanitizer)
#define JAIL_SKIP 1
#endif
#endif
/* What was run is written to files when a process ends (make coverage). */
#ifdef AG_COVERAGE
#define JAIL_SKIP 1
#endif

enum jail { PURE = 1 << 0, WRITER = 1 << 1, LISTENER = 1 << 2, SENDER = 1 << 3 };

static const struct {
	const char *name;
	enum jail jail;
} jails[] = {
	{ "PURE", PURE },
	{ "WRITER", WRITER },
	{ "LISTENER", LISTENER },
	{ "SENDER", SENDER },
	{ "NONE", 0 }, /* guests and actors.d: somebody's own program */
};

/* Not before there is a program. */
static const int denied_last[] = { SCMP_SYS(execve), SCMP_SYS(execveat) };

/* What no jail may do. */
static const int denied[] = {
	/* other programs, other processes */
	SCMP_SYS(fork), SCMP_SYS(vfork), SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev), SCMP_SYS(process_madvise), SCMP_SYS(kcmp),
	SCMP_SYS(pidfd_getfd), SCMP_SYS(pidfd_send_signal),
	/* the machine */
	SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(move_mount),
	SCMP_SYS(open_tree), SCMP_SYS(fsopen), SCMP_SYS(fsconfig),
	SCMP_SYS(fsmount), SCMP_SYS(fspick), SCMP_SYS(pivot_root),
	SCMP_SYS(chroot), SCMP_SYS(setns), SCMP_SYS(unshare),
	SCMP_SYS(reboot), SCMP_SYS(swapon), SCMP_SYS(swapoff),
	SCMP_SYS(kexec_load), SCMP_SYS(kexec_file_load), SCMP_SYS(init_module),
	SCMP_SYS(finit_module), SCMP_SYS(delete_module), SCMP_SYS(iopl),
	SCMP_SYS(ioperm), SCMP_SYS(sethostname), SCMP_SYS(setdomainname),
	SCMP_SYS(settimeofday), SCMP_SYS(clock_settime), SCMP_SYS(adjtimex),
	SCMP_SYS(clock_adjtime), SCMP_SYS(acct), SCMP_SYS(quotactl),
	SCMP_SYS(syslog), SCMP_SYS(nfsservctl),
	/* wide doors of the kernel that nothing of ours needs */
	SCMP_SYS(bpf), SCMP_SYS(perf_event_open), SCMP_SYS(userfaultfd),
	SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter),
	SCMP_SYS(io_uring_register), SCMP_SYS(keyctl), SCMP_SYS(add_key),
	SCMP_SYS(request_key), SCMP_SYS(name_to_handle_at),
	SCMP_SYS(open_by_handle_at), SCMP_SYS(fanotify_init),
	SCMP_SYS(lookup_dcookie), SCMP_SYS(mbind), SCMP_SYS(move_pages),
	SCMP_SYS(migrate_pages), SCMP_SYS(personality), SCMP_SYS(uselib),
	SCMP_SYS(modify_ldt), SCMP_SYS(vhangup),
	/* privilege does not come back */
	SCMP_SYS(setuid), SCMP_SYS(setgid), SCMP_SYS(setreuid),
	SCMP_SYS(setregid), SCMP_SYS(setresuid), SCMP_SYS(setresgid),
	SCMP_SYS(setfsuid), SCMP_SYS(setfsgid), SCMP_SYS(setgroups),
	SCMP_SYS(capset), SCMP_SYS(mknod), SCMP_SYS(mknodat),
};

/* What a process without a folder has no reason to do to a file's name. */
static const int denied_names[] = {
	SCMP_SYS(rename), SCMP_SYS(renameat), SCMP_SYS(renameat2),
	SCMP_SYS(link), SCMP_SYS(linkat), SCMP_SYS(symlink),
	SCMP_SYS(symlinkat), SCMP_SYS(mkdir), SCMP_SYS(mkdirat),
	SCMP_SYS(rmdir), SCMP_SYS(truncate), SCMP_SYS(chmod), SCMP_SYS(fchmod),
	SCMP_SYS(fchmodat), SCMP_SYS(chown), SCMP_SYS(lchown),
	SCMP_SYS(fchown), SCMP_SYS(fchownat), SCMP_SYS(setxattr),
	SCMP_SYS(creat),
};

bool
ag_jail_skipped(void)
{
#ifdef JAIL_SKIP
	return true;
#else
	return false;
#endif
}

#ifndef JAIL_SKIP
static int
deny(scmp_filter_ctx filter, int call)
{
	int rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), call, 0);

	/* -EDOM: this kind of machine has no such call. */
	return rc == -EDOM ? 0 : rc;
}

/* Threads are clones that share memory; a clone that does not is a process.
 * clone3 hides its flags in memory: ENOSYS makes libc fall back to clone. */
static int
deny_processes(scmp_filter_ctx filter)
{
	int rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM),
	    SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));

	if (rc == 0)
		rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS),
		    SCMP_SYS(clone3), 0);
	return rc;
}

/* Only the bus: no sockets but those of AF_UNIX. */
static int
deny_network(scmp_filter_ctx filter)
{
	return seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socket),
	    1, SCMP_A0(SCMP_CMP_NE, AF_UNIX));
}

/* Signals to oneself only (abort and threads need those). */
static int
deny_signals(scmp_filter_ctx filter)
{
	static const int calls[] = {
		SCMP_SYS(kill), SCMP_SYS(tgkill), SCMP_SYS(rt_sigqueueinfo),
		SCMP_SYS(rt_tgsigqueueinfo),
	};
	int rc = deny(filter, SCMP_SYS(tkill)); /* names no process */

	for (size_t i = 0; rc == 0 && i < sizeof(calls) / sizeof(calls[0]); i++)
		rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), calls[i], 1,
		    SCMP_A0(SCMP_CMP_NE, (scmp_datum_t)getpid()));
	return rc;
}

/* A line of the ring outlives who holds an end of it: nobody may end it for the
 * next, or have the kernel throw away what comes, or leave it no room. HTTP shuts its own way out
 * (SHUT_WR); libraries that call servers shut both. */
static int
deny_ending_lines(scmp_filter_ctx filter, enum jail jail)
{
	static const int options[] = { SO_ATTACH_FILTER, SO_ATTACH_BPF,
		SO_LOCK_FILTER, SO_SNDBUF };
	int rc = 0;

	if (jail == PURE || jail == WRITER)
		rc = deny(filter, SCMP_SYS(shutdown));
	else if (jail == LISTENER)
		rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM),
		    SCMP_SYS(shutdown), 1, SCMP_A1(SCMP_CMP_NE, SHUT_WR));
	for (size_t i = 0; rc == 0 && i < sizeof(options) / sizeof(options[0]);
	    i++)
		rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM),
		    SCMP_SYS(setsockopt), 2, SCMP_A1(SCMP_CMP_EQ, SOL_SOCKET),
		    SCMP_A2(SCMP_CMP_EQ, (scmp_datum_t)options[i]));
	return rc;
}

/* Opening to read stays: OpenSSL, the resolver, metrics, the clock file.
 * Opening to write does not: what is written to is open by now. */
static int
deny_writing(scmp_filter_ctx filter)
{
	static const uint64_t bits[] = { O_WRONLY, O_RDWR, O_CREAT, O_TRUNC };
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < sizeof(bits) / sizeof(bits[0]); i++) {
		rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM),
		    SCMP_SYS(open), 1,
		    SCMP_A1(SCMP_CMP_MASKED_EQ, bits[i], bits[i]));
		if (rc == 0)
			rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM),
			    SCMP_SYS(openat), 1,
			    SCMP_A2(SCMP_CMP_MASKED_EQ, bits[i], bits[i]));
	}
	/* Its flags are in memory, too. */
	if (rc == 0)
		rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS),
		    SCMP_SYS(openat2), 0);
	for (size_t i = 0; rc == 0 &&
	    i < sizeof(denied_names) / sizeof(denied_names[0]); i++)
		rc = deny(filter, denied_names[i]);
	return rc;
}

/* What is denied to all, from before the program is there. */
static int
deny_always(scmp_filter_ctx filter)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < sizeof(denied) / sizeof(denied[0]); i++)
		rc = deny(filter, denied[i]);
	if (rc == 0)
		rc = deny_processes(filter);
	return rc == 0 ? deny_signals(filter) : rc;
}

ag_err
ag_jail_ahead(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	int rc = filter == NULL ? -ENOMEM : deny_always(filter);

	if (rc == 0)
		rc = seccomp_load(filter);
	if (filter != NULL)
		seccomp_release(filter);
	errno = -rc;
	return rc == 0 ? AG_OK : AG_IO;
}

static ag_err
filter_load(enum jail jail)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	int rc = filter == NULL ? -ENOMEM : deny_always(filter);

	for (size_t i = 0; rc == 0 &&
	    i < sizeof(denied_last) / sizeof(denied_last[0]); i++)
		rc = deny(filter, denied_last[i]);
	if (rc == 0)
		rc = deny_ending_lines(filter, jail);
	if (rc == 0 && (jail == PURE || jail == WRITER))
		rc = deny_network(filter);
	if (rc == 0 && (jail == PURE || jail == LISTENER))
		rc = deny_writing(filter);
	/* For the threads that libraries have already started, too. */
	if (rc == 0)
		rc = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	if (rc == 0)
		rc = seccomp_load(filter);
	if (filter != NULL)
		seccomp_release(filter);
	if (rc == 0)
		return AG_OK;
	ag_log_plain(AG_ERROR, "JAIL-FAILED", "error=%s", strerror(-rc));
	return AG_IO;
}
#else
ag_err
ag_jail_ahead(void)
{
	return AG_OK; /* the program itself says that it has no jail */
}

static ag_err
filter_load(enum jail jail)
{
	(void)jail;
	(void)denied;
	(void)denied_last;
	(void)denied_names;
	ag_log_plain(AG_WARN, "JAIL-SKIPPED", "reason=instrumented");
	return AG_OK;
}
#endif

void
ag_jail_early(void)
{
	const struct rlimit none = { 0, 0 };

	/* Failing here would only be told again by ag_jail_enter. */
	if (prctl(PR_SET_DUMPABLE, 0) != 0 || setrlimit(RLIMIT_CORE, &none) != 0)
		ag_log_plain(AG_ERROR, "JAIL-EARLY", "error=%s", strerror(errno));
}

ag_err
ag_jail_enter(const char *jail)
{
	const struct rlimit none = { 0, 0 };

	for (size_t i = 0; i < sizeof(jails) / sizeof(jails[0]); i++) {
		if (strcmp(jails[i].name, jail) != 0)
			continue;
		if (prctl(PR_SET_DUMPABLE, 0) != 0 ||
		    setrlimit(RLIMIT_CORE, &none) != 0 ||
		    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
			ag_log_plain(AG_ERROR, "JAIL-FAILED", "error=%s",
			    strerror(errno));
			return AG_IO;
		}
		return jails[i].jail == 0 ? AG_OK : filter_load(jails[i].jail);
	}
	ag_log_plain(AG_ERROR, "JAIL-UNKNOWN", "jail=%s", jail);
	return AG_USAGE;
}
