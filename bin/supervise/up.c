/* SPDX-License-Identifier: Apache-2.0 */
/*
 * up: `aegis up`. Prepares everything that can be wrong before a process
 * exists, then runs a machine of three phases (starting, running, draining)
 * over the table of children until nothing is left.
 */
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	HEALTH_MS = 20,   /* between looks while starting */
	IDLE_MS = 1000,
	POLL_MAX = CHILDREN_MAX + CLIENTS_MAX + 2,
};

enum { GO_ON = -1 };

/* ---------------------------------------------------------------- preparation */

static int
load_config(struct supervisor *sup)
{
	static const char *const levels[] = { "debug", "info", "warn", "error" };
	char message[1024] = "";
	const char *level;

	if (ag_config_load(sup->config_file, &sup->config, message,
	        sizeof(message)) != AG_OK) {
		ag_sup_complain("up", "%s", message);
		return EXIT_BAD_INPUT;
	}
	if (ag_config_pack(sup->config, &sup->config_text) != AG_OK) {
		ag_sup_complain("up", "out of memory");
		return EXIT_FAULT;
	}
	level = ag_config_get_str(sup->config, "log.level", 0);
	for (unsigned i = 0; level != NULL && i < 4; i++)
		if (strcmp(levels[i], level) == 0)
			ag_log_open("supervisor", (enum ag_level)i);
	return ag_config_check(sup);
}

/* The children are elsewhere; the file's name must not depend on where. */
static int
place_clock(struct supervisor *sup)
{
	char cwd[PATH_MAX] = "";
	int n;

	if (sup->clock_option == NULL)
		return EXIT_YES;
	if (sup->clock_option[0] != '/' && getcwd(cwd, sizeof(cwd)) == NULL)
		return EXIT_FAULT;
	n = snprintf(sup->clock_file, sizeof(sup->clock_file), "%s%s%s", cwd,
	    cwd[0] != '\0' ? "/" : "", sup->clock_option);
	if (n > 0 && n < (int)sizeof(sup->clock_file))
		return EXIT_YES;
	ag_sup_complain("up", "--unsafe-test-clock: too long a path");
	return EXIT_BAD_INPUT;
}

/* log.file, or what a detached fleet has instead of a terminal. */
static const char *
log_file(const struct supervisor *sup, char own[PATH_MAX])
{
	const char *file = ag_config_get_str(sup->config, "log.file", 0);

	snprintf(own, PATH_MAX, "%s/aegis.log", sup->state_dir);
	return file != NULL ? file : own;
}

static int
log_begin(const char *file)
{
	return open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int
open_log(struct supervisor *sup)
{
	char own[PATH_MAX];
	const char *file = log_file(sup, own);

	sup->stdout_fd = STDOUT_FILENO;
	if (sup->detach)
		sup->stdout_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (file == own && !sup->detach)
		return EXIT_YES;
	sup->log_fd = log_begin(file);
	if (sup->log_fd >= 0)
		return EXIT_YES;
	ag_sup_complain("up", "log.file: %s: %s", file, strerror(errno));
	return EXIT_BAD_INPUT;
}

/* What all processes hold the wall clock to, however often they start again. */
static int
start_clock(struct supervisor *sup)
{
	struct timespec wall;

	clock_gettime(CLOCK_REALTIME, &wall);
	sup->clock_wall_ms = wall.tv_sec * INT64_C(1000) +
	    wall.tv_nsec / 1000000;
	sup->clock_mono_ms = ag_sup_now_ms();
	return EXIT_YES;
}

static int
make_keys(struct supervisor *sup)
{
	if (ag_random_bytes(sup->mac_key, sizeof(sup->mac_key)) == AG_OK)
		return EXIT_YES;
	ag_sup_complain("up", "no random bytes: %s", strerror(errno));
	return EXIT_FAULT;
}

static int
make_lines(struct supervisor *sup)
{
	if (ag_lines_make(sup) == AG_OK)
		return EXIT_YES;
	ag_sup_complain("up", "no sockets for the ring's lines: %s",
	    strerror(errno));
	return EXIT_FAULT;
}

static int
catch_signals(struct supervisor *sup)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sup->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (sup->signal_fd >= 0)
		return EXIT_YES;
	ag_sup_complain("up", "signalfd: %s", strerror(errno));
	return EXIT_FAULT;
}

static int (*const preparations[])(struct supervisor *) = {
	load_config,
	ag_fence_check,
	ag_site_check,
	place_clock,
	ag_state_open,
	ag_unlock,
	open_log,
	ag_listen_open,
	ag_children_plan,
	ag_uids_take,
	ag_guests_load,
	make_keys,
	make_lines,
	start_clock,
	catch_signals,
	ag_control_open,
	ag_endpoints_write,
};

static int
prepare(struct supervisor *sup)
{
	for (size_t i = 0; i < sizeof(preparations) / sizeof(preparations[0]);
	    i++) {
		int status = preparations[i](sup);

		if (status != EXIT_YES)
			return status;
	}
	return EXIT_YES;
}

/* ------------------------------------------------------------------- starting */

static void
start_due(struct supervisor *sup)
{
	uint64_t now = ag_sup_now_ms();

	for (unsigned i = 0; i < sup->count; i++)
		if (sup->children[i].state == CHILD_BACKOFF &&
		    sup->children[i].pid == 0 && sup->children[i].next_ms <= now)
			ag_child_start(sup, &sup->children[i]);
}

static void
start_stage(struct supervisor *sup)
{
	for (unsigned i = 0; i < sup->count; i++)
		if (sup->children[i].stage == sup->stage)
			ag_child_start(sup, &sup->children[i]);
}

static bool
stage_ready(const struct supervisor *sup)
{
	for (unsigned i = 0; i < sup->count; i++) {
		const struct child *child = &sup->children[i];

		if (!child->is_local && child->stage <= sup->stage &&
		    child->state != CHILD_READY)
			return false;
	}
	return true;
}

static bool
alive(const struct child *child, const struct ag_metrics_block *blocks,
    size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (blocks[i].pid == (uint32_t)child->pid)
			return ag_metrics_alive(&blocks[i]);
	return false;
}

/* What /healthz/ready asks: every process of the fleet works. */
static bool
fleet_alive(const struct supervisor *sup)
{
	struct ag_metrics_block *blocks = NULL;
	size_t count = 0;
	bool all = true;

	if (ag_metrics_read(sup->run_dir, &blocks, &count) != AG_OK)
		return false;
	for (unsigned i = 0; i < sup->count; i++)
		all = all && (sup->children[i].is_local ||
		    alive(&sup->children[i], blocks, count));
	free(blocks);
	return all;
}

/* Ended again and again before the fleet ever was: it will not get better. */
static bool
gave_up(struct supervisor *sup)
{
	enum { EXEC_FAILED = 127 };

	for (unsigned i = 0; i < sup->count; i++) {
		const struct child *child = &sup->children[i];
		int code = WIFEXITED(child->status) ?
		    WEXITSTATUS(child->status) : 0;
		char text[64];

		if (child->deaths == 0 || child->is_local ||
		    (code != EXIT_BAD_INPUT && code != EXEC_FAILED &&
		        child->deaths < FIRST_TRIES_MAX))
			continue;
		ag_status_text(child->status, text, sizeof(text));
		ag_sup_complain("up", "%s ended before the fleet was ready (%s, "
		    "%u times); its log says why", child->name, text,
		    child->deaths);
		ag_drain(sup, code == EXIT_BAD_INPUT ? EXIT_BAD_INPUT : EXIT_FAULT,
		    DRAIN_MS);
		return true;
	}
	return false;
}

static void
complain_of_waiting(const struct supervisor *sup)
{
	struct ag_metrics_block *blocks = NULL;
	size_t count = 0;

	if (ag_metrics_read(sup->run_dir, &blocks, &count) != AG_OK)
		count = 0;
	for (unsigned i = 0; i < sup->count; i++) {
		const struct child *child = &sup->children[i];
		const char *detail = "";

		for (size_t j = 0; j < count; j++)
			if (blocks[j].pid == (uint32_t)child->pid)
				detail = blocks[j].detail;
		if (!child->is_local && (child->state != CHILD_READY ||
		        !alive(child, blocks, count)))
			ag_sup_complain("up", "%s is not ready after %d s (%s%s%s)",
			    child->name, FIRST_READY_MS / 1000,
			    ag_child_state_name(child),
			    detail[0] != '\0' ? ": " : "", detail);
	}
	free(blocks);
}

/* Ready: says so; a detached fleet lets go of the terminal and the parent. */
static void
announce(struct supervisor *sup)
{
	sup->phase = PHASE_RUNNING;
	for (unsigned i = 0; i < sup->count; i++)
		sup->children[i].backoff_ms = 0;
	if (!sup->had_admin_token && ag_state_has(sup, "admin.token"))
		printf("admin credential: %s/admin.token\n", sup->state_dir);
	if (!sup->quiet)
		printf("ready: %s\n", sup->listeners[0].url);
	fflush(stdout);
	ag_log_plain(AG_DEBUG, "FLEET-READY", "after_ms=%llu",
	    (unsigned long long)(ag_sup_now_ms() - sup->started_ms));
	ag_notify("READY=1\nSTATUS=serving");
	if (sup->log_fd >= 0)
		dup2(sup->log_fd, STDERR_FILENO);
	if (sup->ready_fd < 0)
		return;
	dup2(sup->stdout_fd, STDOUT_FILENO);
	if (write(sup->ready_fd, "", 1) != 1)
		ag_log_plain(AG_WARN, "DETACH", "error=%s", strerror(errno));
	close(sup->ready_fd);
	sup->ready_fd = -1;
}

static void
advance_starting(struct supervisor *sup)
{
	if (gave_up(sup))
		return;
	start_due(sup);
	while (sup->stage + 1 < sup->stage_count && stage_ready(sup)) {
		sup->stage++;
		start_stage(sup);
	}
	if (sup->stage + 1 == sup->stage_count && stage_ready(sup) &&
	    fleet_alive(sup)) {
		announce(sup);
	} else if (ag_sup_now_ms() >= sup->deadline_ms) {
		complain_of_waiting(sup);
		ag_drain(sup, EXIT_TRY_AGAIN, DRAIN_MS);
	}
}

static void (*const advance[])(struct supervisor *) = {
	[PHASE_STARTING] = advance_starting,
	[PHASE_RUNNING] = start_due,
	[PHASE_DRAINING] = ag_drain_advance,
};

/* ------------------------------------------------------------------- the loop */

static void
reap(struct supervisor *sup)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (unsigned i = 0; i < sup->count; i++)
			if (sup->children[i].pid == pid)
				ag_child_ended(sup, &sup->children[i], status);
}

/* The file's limits, for iam; kept for when it is started again. */
static void
reload_limits(struct supervisor *sup, const struct ag_config *config)
{
	char *text = NULL;

	if (ag_config_pack(config, &text) != AG_OK)
		return;
	free(sup->limits);
	sup->limits = text;
	for (unsigned i = 0; i < sup->count; i++)
		ag_child_limits(sup, &sup->children[i]);
}

/* SIGUSR1: log.level is read again, for this process and all its children, and
 * limits. A file that cannot be read changes nothing. */
static void
reload(struct supervisor *sup)
{
	struct ag_config *config = NULL;
	char message[1024] = "";

	if (ag_config_load(sup->config_file, &config, message,
	        sizeof(message)) != AG_OK) {
		ag_log_plain(AG_ERROR, "LEVEL-UNREAD", "%s", message);
		return;
	}
	ag_sup_copy(sup->level, sizeof(sup->level),
	    ag_config_get_str(config, "log.level", 0));
	reload_limits(sup, config);
	ag_config_free(&config);
	ag_log_turn(sup->level);
	for (unsigned i = 0; i < sup->count; i++)
		ag_child_level(sup, &sup->children[i], sup->level);
}

/* SIGHUP: the log's file was moved away; a new one is begun, here and in every
 * process. Until each has heard of it, it writes to the old one: no line is
 * lost. */
static void
reopen_log(struct supervisor *sup)
{
	char own[PATH_MAX];
	const char *file = log_file(sup, own);
	int fd = log_begin(file);

	if (fd < 0 || dup3(fd, sup->log_fd, O_CLOEXEC) < 0) {
		ag_log_plain(AG_ERROR, "LOG-NOT-OPENED", "file=%s error=%s", file,
		    strerror(errno));
		if (fd >= 0)
			close(fd);
		return;
	}
	close(fd);
	if (sup->phase != PHASE_STARTING)
		dup2(sup->log_fd, STDERR_FILENO);
	for (unsigned i = 0; i < sup->count; i++)
		ag_child_log(sup, &sup->children[i]);
	ag_log_plain(AG_INFO, "LOG-OPENED", "file=%s", file);
}

static void
take_signals(struct supervisor *sup)
{
	struct signalfd_siginfo info;

	while (read(sup->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGUSR1) {
			reload(sup);
			continue;
		}
		if (info.ssi_signo == SIGHUP && sup->log_fd >= 0) {
			reopen_log(sup);
			continue;
		}
		if (info.ssi_signo == SIGCHLD)
			continue;
		/* Once: in order. Again: now. */
		ag_drain(sup, info.ssi_signo == SIGINT ? EXIT_INTERRUPTED :
		    EXIT_YES, sup->phase == PHASE_DRAINING ? 0 : DRAIN_MS);
	}
}

static int
patience_ms(const struct supervisor *sup)
{
	uint64_t now = ag_sup_now_ms(), due = now + IDLE_MS;

	if (sup->phase == PHASE_STARTING)
		due = now + HEALTH_MS;
	if (sup->phase == PHASE_DRAINING && !sup->killed && sup->deadline_ms < due)
		due = sup->deadline_ms;
	for (unsigned i = 0; i < sup->count; i++)
		if (sup->children[i].state == CHILD_BACKOFF &&
		    sup->children[i].next_ms < due)
			due = sup->children[i].next_ms;
	return due > now ? (int)(due - now) : 0;
}

static unsigned
list_descriptors(const struct supervisor *sup, struct pollfd *fds)
{
	unsigned n = 0;

	fds[n++] = (struct pollfd){ .fd = sup->signal_fd, .events = POLLIN };
	fds[n++] = (struct pollfd){ .fd = sup->control_fd, .events = POLLIN };
	for (unsigned i = 0; i < CLIENTS_MAX; i++)
		fds[n++] = (struct pollfd){ .fd = sup->clients[i].fd,
			.events = POLLIN };
	for (unsigned i = 0; i < sup->count; i++)
		fds[n++] = (struct pollfd){ .fd = sup->children[i].fd,
			.events = POLLIN };
	return n;
}

static void
turn(struct supervisor *sup)
{
	struct pollfd fds[POLL_MAX];
	unsigned n = list_descriptors(sup, fds);

	if (poll(fds, n, patience_ms(sup)) > 0) {
		for (unsigned i = 0; i < sup->count; i++)
			if (fds[2 + CLIENTS_MAX + i].revents != 0)
				ag_child_hear(sup, &sup->children[i]);
		for (unsigned i = 0; i < CLIENTS_MAX; i++)
			if (fds[2 + i].revents != 0)
				ag_control_hear(sup, &sup->clients[i]);
		if (fds[1].revents != 0)
			ag_control_accept(sup);
		if (fds[0].revents != 0)
			take_signals(sup);
	}
	reap(sup);
	advance[sup->phase](sup);
}

static int
run(struct supervisor *sup)
{
	sup->started_ms = ag_sup_now_ms();
	sup->deadline_ms = sup->started_ms + FIRST_READY_MS;
	start_stage(sup); /* the broker */
	while (!ag_drain_done(sup))
		turn(sup);
	return sup->exit_status;
}

static void
finish(struct supervisor *sup)
{
	ag_control_close(sup);
	ag_listen_close(sup);
	ag_state_close(sup);
	ag_wipe(sup->mac_key, sizeof(sup->mac_key));
	ag_master_lock_free(&sup->master_lock);
	ag_lines_free(sup);
	ag_children_free(sup);
	ag_config_free(&sup->config);
	free(sup->config_text);
	free(sup->limits);
}

/* ------------------------------------------------------------------- --detach */

/* The parent's part: waits for the word, or for the child's end. */
static int
wait_for_ready(pid_t child, int fd)
{
	char word;
	int status;

	if (read(fd, &word, 1) == 1)
		return EXIT_YES;
	if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return EXIT_FAULT;
	return WEXITSTATUS(status) == EXIT_YES ? EXIT_FAULT :
	    WEXITSTATUS(status);
}

/* GO_ON in the child, its exit status in the parent. */
static int
detach(struct supervisor *sup)
{
	int pair[2], status;
	pid_t pid;

	if (pipe2(pair, O_CLOEXEC) != 0 || (pid = fork()) < 0) {
		ag_sup_complain("up", "--detach: %s", strerror(errno));
		return EXIT_FAULT;
	}
	if (pid > 0) {
		close(pair[1]);
		status = wait_for_ready(pid, pair[0]);
		close(pair[0]);
		return status;
	}
	close(pair[0]);
	sup->ready_fd = pair[1];
	setsid();
	return GO_ON;
}

int
ag_cmd_up(const struct ag_up *ask)
{
	static struct supervisor sup = { .lock_fd = -1, .log_fd = -1,
		 .stdout_fd = -1, .ready_fd = -1, .signal_fd = -1,
		.control_fd = -1, .tty_fd = -1 };
	int status = GO_ON;

	sup.config_file = ask->config_file;
	sup.state_option = ask->state;
	sup.listen = ask->listen;
	sup.clock_option = ask->clock_file;
	sup.dev_identity = ask->dev_identity;
	sup.detach = ask->detach;
	sup.quiet = ask->quiet;
	sup.passphrase_file = ask->passphrase_file;
	/* Before the session of its own, which has no terminal. */
	sup.tty_fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (sup.detach)
		status = detach(&sup);
	if (status != GO_ON)
		return status;
	ag_jail_early();
	ag_log_open("supervisor", AG_INFO);
	status = prepare(&sup);
	if (status == EXIT_YES)
		status = run(&sup);
	finish(&sup);
	return status;
}
