/* SPDX-License-Identifier: Apache-2.0 */
/*
 * children: the table of processes and what happens to each: started, ready,
 * ended, started again after a back-off, stopped.
 */
#include "supervisor.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A stage is started when the one before is ready: whoever needs an answer to
 * become ready finds who gives it. The broker is stage 0. */
static const unsigned char stage_of[AG_ROLE_COUNT] = {
	[AG_ROLE_ROT] = 1,
	[AG_ROLE_JOURNAL] = 1,
	[AG_ROLE_SHARED] = 1,
	[AG_ROLE_AUDIT] = 2,
	[AG_ROLE_IAM] = 3,
	[AG_ROLE_KEYS] = 3,
	[AG_ROLE_INVENTORY] = 3,
	[AG_ROLE_HISTORY] = 3,
	[AG_ROLE_RISK] = 3,
	[AG_ROLE_APPROVALS] = 3,
	[AG_ROLE_RESPONDER] = 4,
	[AG_ROLE_ANOMALY] = 4,
	[AG_ROLE_SINK] = 4,
	[AG_ROLE_GATEWAY] = 4,
	[AG_ROLE_WATCHER] = 4,
	[AG_ROLE_EVALUATOR] = 4,
	[AG_ROLE_PLANE] = 5,
	[AG_ROLE_SUBSCRIBER] = 6,
	[AG_ROLE_GUEST] = 6,
};
enum { STAGE_COUNT = 7 };

/* Who vouches for callers, and who checks it. */
static const bool mac_for[AG_ROLE_COUNT] = {
	[AG_ROLE_IAM] = true,
	[AG_ROLE_RISK] = true,
	[AG_ROLE_KEYS] = true,
	[AG_ROLE_HISTORY] = true,
	[AG_ROLE_INVENTORY] = true,
	[AG_ROLE_RESPONDER] = true,
	[AG_ROLE_APPROVALS] = true,
	[AG_ROLE_GATEWAY] = true,
	[AG_ROLE_AUDIT] = true,
};

static const char *const state_names[] = {
	[CHILD_WAITING] = "waiting",
	[CHILD_STARTING] = "starting",
	[CHILD_READY] = "ready",
	[CHILD_BACKOFF] = "backoff",
	[CHILD_STOPPING] = "stopping",
	[CHILD_STOPPED] = "stopped",
};

uint64_t
ag_sup_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void
ag_sup_copy(char *out, size_t size, const char *text)
{
	size_t len = strnlen(text, size - 1);

	memcpy(out, text, len);
	out[len] = '\0';
}

void
ag_sup_complain(const char *verb, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	if (verb == NULL)
		return; /* the asker says it in its own words */
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fprintf(stderr, "aegis: %s: %s\n", verb, text);
}

const char *
ag_child_state_name(const struct child *child)
{
	return state_names[child->state];
}

bool
ag_child_gone(const struct child *child)
{
	return child->pid == 0;
}

unsigned
ag_backoff_next(unsigned last_ms, uint64_t lived_ms)
{
	if (last_ms == 0 || lived_ms >= BACKOFF_RESET_MS)
		return BACKOFF_MIN_MS;
	return last_ms >= BACKOFF_MAX_MS / 2 ? BACKOFF_MAX_MS : last_ms * 2;
}

void
ag_status_text(int status, char *out, size_t size)
{
	if (WIFSIGNALED(status))
		snprintf(out, size, "signal %d (%s)", WTERMSIG(status),
		    strsignal(WTERMSIG(status)));
	else
		snprintf(out, size, "exit status %d", WEXITSTATUS(status));
}

bool
ag_endpoint_name(const char *run_dir, const char *name, unsigned generation,
    char out[ENDPOINT_SIZE])
{
	int n = snprintf(out, ENDPOINT_SIZE, "ipc://%s/bus/%s.%u", run_dir, name,
	    generation);

	return n > 0 && n < ENDPOINT_SIZE;
}

void
ag_endpoint_remove(const char *endpoint)
{
	if (strncmp(endpoint, "ipc://", 6) == 0)
		unlink(endpoint + 6);
}

/* ----------------------------------------------------------------- the plan */

static char **
argv_of(const char *program, char *const *args, unsigned count)
{
	char **argv = calloc(count + 2, sizeof(*argv));

	if (argv == NULL)
		return NULL;
	argv[0] = strdup(program);
	for (unsigned i = 0; i < count; i++)
		argv[i + 1] = strdup(args[i]);
	return argv;
}

static struct child *
add_child(struct supervisor *sup, const char *name, enum ag_role role)
{
	struct child *child;

	if (sup->count == CHILDREN_MAX)
		return NULL;
	child = &sup->children[sup->count++];
	memset(child, 0, sizeof(*child));
	child->fd = -1;
	ag_sup_copy(child->name, sizeof(child->name), name);
	if (role == AG_ROLE_NONE)
		return child; /* the broker */
	ag_sup_copy(child->role, sizeof(child->role), ag_role_name(role));
	child->stage = stage_of[role];
	child->wants_mac = mac_for[role];
	child->is_plane = role == AG_ROLE_PLANE;
	child->is_rot = role == AG_ROLE_ROT;
	return child;
}

/* A name too long for its last generation is found out now, not in a year. */
static int
check_endpoint(const struct supervisor *sup, const char *name)
{
	enum { GENERATION_FAR = 99999 };
	char endpoint[ENDPOINT_SIZE];

	if (ag_endpoint_name(sup->run_dir, name, GENERATION_FAR, endpoint))
		return EXIT_YES;
	ag_sup_complain("up", "--state %s: too long a path: the socket "
	    "run/bus/%s.%d in it would have more than %zu bytes",
	    sup->state_dir, name, GENERATION_FAR,
	    sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
	return EXIT_BAD_INPUT;
}

static int
give_program(struct supervisor *sup, struct child *child, const char *program)
{
	char name[64], tried[2 * PATH_MAX];

	snprintf(name, sizeof(name), "aegis-%s", program);
	child->program = ag_program_find(name, tried, sizeof(tried));
	if (child->program == NULL) {
		ag_sup_complain("up", "%s: its program is missing; looked for %s",
		    child->name, tried);
		return EXIT_FAULT;
	}
	child->argv = argv_of(child->program, NULL, 0);
	return child->is_broker ? EXIT_YES : check_endpoint(sup, child->name);
}

static int
plan_broker(struct supervisor *sup)
{
	struct child *child = add_child(sup, "broker", AG_ROLE_NONE);

	child->is_broker = true;
	child->slot = AG_SLOT_BROKER;
	child->jail = "LISTENER"; /* sockets, nothing on disk */
	snprintf(child->role, sizeof(child->role), "broker");
	return give_program(sup, child, "broker");
}

/* The table's, but the network too for a journal that is in a database. */
static const char *
jail_of(const struct supervisor *sup, const struct ag_proc *proc)
{
	const char *kind = ag_config_get_str(sup->config, "journal.kind", 0);

	return proc->role == AG_ROLE_JOURNAL && strcmp(kind, "postgres") == 0 ?
	    "SENDER" : proc->jail;
}

static int
plan_rows(struct supervisor *sup)
{
	struct ag_fleet_row rows[AG_FLEET_ROWS_MAX];
	char message[512];
	unsigned count = 0;
	int status = EXIT_YES;

	if (ag_fleet_expand(sup->config, rows, &count, message,
	        sizeof(message)) != AG_OK) {
		ag_sup_complain("up", "%s", message);
		return EXIT_BAD_INPUT;
	}
	for (unsigned i = 0; status == EXIT_YES && i < count; i++) {
		struct child *child =
		    add_child(sup, rows[i].name, rows[i].proc->role);

		child->slot = i;
		child->index = rows[i].index;
		child->jail = jail_of(sup, rows[i].proc);
		child->is_stdout = child->stage == stage_of[AG_ROLE_SINK] &&
		    strcmp(rows[i].proc->name, "stdout") == 0;
		if (child->is_plane)
			child->listener = ag_listener_of(sup, rows[i].proc->name);
		sup->plane_count += child->is_plane;
		status = give_program(sup, child, rows[i].proc->name);
	}
	return status;
}

/* ---------------------------------------------------------- actors.d/NAME.yaml */

static bool
name_taken(const struct supervisor *sup, const char *name)
{
	for (unsigned i = 0; i < sup->count; i++)
		if (strcmp(sup->children[i].name, name) == 0)
			return true;
	return false;
}

static int
plan_local(struct supervisor *sup, const char *file, const char *name)
{
	struct local_actor actor;
	struct child *child;
	char message[512];

	if (!ag_name_valid(name) || name_taken(sup, name)) {
		ag_sup_complain("up", "%s: the file's name must be a free name "
		    "([a-z0-9._-]) and .yaml", file);
		return EXIT_BAD_INPUT;
	}
	if (ag_local_read(file, name, &actor, message, sizeof(message)) != AG_OK) {
		ag_sup_complain("up", "%s", message);
		return EXIT_BAD_INPUT;
	}
	child = add_child(sup, name, ag_role_named(actor.role));
	child->slot = LOCAL_SLOT + (sup->count - 1) % LOCAL_ACTORS_MAX;
	child->is_local = true;
	child->jail = "NONE"; /* its own program; ours to start, not to jail */
	child->program = strdup(actor.program);
	child->argv = argv_of(actor.program, actor.args, actor.arg_count);
	ag_local_free(&actor);
	return check_endpoint(sup, name);
}

static int
is_yaml(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return entry->d_name[0] != '.' && len > 5 &&
	    strcmp(entry->d_name + len - 5, ".yaml") == 0;
}

static int
plan_locals(struct supervisor *sup)
{
	struct dirent **entries;
	char dir[PATH_MAX], file[PATH_MAX + 256], name[256];
	int n, status = EXIT_YES;

	snprintf(dir, sizeof(dir), "%s/actors.d", sup->state_dir);
	n = scandir(dir, &entries, is_yaml, alphasort);
	if (n > LOCAL_ACTORS_MAX) {
		ag_sup_complain("up", "%s: at most %d actors", dir,
		    LOCAL_ACTORS_MAX);
		status = EXIT_BAD_INPUT;
	}
	for (int i = 0; i < n; i++) {
		snprintf(file, sizeof(file), "%s/%s", dir, entries[i]->d_name);
		snprintf(name, sizeof(name), "%.*s",
		    (int)(strlen(entries[i]->d_name) - 5), entries[i]->d_name);
		if (status == EXIT_YES)
			status = plan_local(sup, file, name);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
	return status;
}

int
ag_children_plan(struct supervisor *sup)
{
	int status;

	sup->stage_count = STAGE_COUNT;
	if ((status = plan_broker(sup)) != EXIT_YES ||
	    (status = plan_rows(sup)) != EXIT_YES)
		return status;
	return plan_locals(sup);
}

void
ag_children_free(struct supervisor *sup)
{
	for (unsigned i = 0; i < sup->count; i++) {
		struct child *child = &sup->children[i];

		for (char **arg = child->argv; arg != NULL && *arg != NULL; arg++)
			free(*arg);
		free(child->argv);
		free(child->program);
		if (child->fd >= 0)
			close(child->fd);
	}
	sup->count = 0;
}

/* ------------------------------------------------------------ a child's life */

/* A start is a new generation: another endpoint, another token. Whoever holds
 * those of the last start is nobody. */
static ag_err
renew(struct supervisor *sup, struct child *child, uint8_t token[32])
{
	ag_err err = ag_random_bytes(token, 32);

	if (err != AG_OK)
		return err;
	ag_sha256(token, 32, child->token_hash);
	ag_endpoint_remove(child->endpoint);
	child->generation++;
	if (!ag_endpoint_name(sup->run_dir, child->name, child->generation,
	        child->endpoint))
		return AG_FULL;
	ag_broker_order(sup, child->slot, child->name, child->role,
	    child->endpoint, child->token_hash, child->uid);
	return AG_OK;
}

static void
back_off(struct child *child, uint64_t now)
{
	uint64_t lived = child->started_ms == 0 ? 0 : now - child->started_ms;

	child->backoff_ms = ag_backoff_next(child->backoff_ms, lived);
	child->next_ms = now + child->backoff_ms;
	child->state = CHILD_BACKOFF;
}

void
ag_child_start(struct supervisor *sup, struct child *child)
{
	uint8_t token[32] = { 0 };
	uint64_t now = ag_sup_now_ms();
	ag_err err = AG_OK;

	/* The broker keeps no name of its own and its table does not change, so
	 * that everybody finds the way back to it. */
	if (!child->is_broker)
		err = renew(sup, child, token);
	if (err == AG_OK)
		err = ag_spawn(sup, child, token, &child->pid, &child->fd);
	ag_wipe(token, sizeof(token));
	child->line_len = 0;
	child->said[0] = '\0';
	child->started_ms = now;
	if (child->state == CHILD_BACKOFF)
		child->restarts++;
	if (err != AG_OK) {
		ag_log_plain(AG_ERROR, "CHILD-START", "name=%s error=%s",
		    child->name, strerror(errno));
		child->pid = 0;
		child->deaths++;
		back_off(child, now);
		return;
	}
	child->state = CHILD_STARTING;
	if (sup->level[0] != '\0')
		ag_child_level(sup, child, sup->level);
	ag_child_limits(sup, child);
	ag_log_plain(AG_DEBUG, "CHILD-STARTED", "name=%s pid=%d generation=%u",
	    child->name, (int)child->pid, child->generation);
}

static void
take_line(struct child *child)
{
	if (strcmp(child->line, "ready") == 0 && child->state == CHILD_STARTING) {
		child->state = CHILD_READY;
		ag_log_plain(AG_DEBUG, "CHILD-READY", "name=%s after_ms=%llu",
		    child->name, (unsigned long long)
		    (ag_sup_now_ms() - child->started_ms));
	} else {
		ag_sup_copy(child->said, sizeof(child->said), child->line);
	}
}

void
ag_child_hear(struct supervisor *sup, struct child *child)
{
	char bytes[64];
	ssize_t n = read(child->fd, bytes, sizeof(bytes));

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		close(child->fd); /* it ends, or closed it; waitpid says which */
		child->fd = -1;
		return;
	}
	for (ssize_t i = 0; i < n; i++) {
		if (bytes[i] == '\n') {
			child->line[child->line_len] = '\0';
			take_line(child);
			child->line_len = 0;
		} else if (child->line_len < sizeof(child->line) - 1) {
			child->line[child->line_len++] = bytes[i];
		}
	}
}

void
ag_child_ended(struct supervisor *sup, struct child *child, int status)
{
	char text[64];

	/* What it said before it died is still in the descriptor. */
	if (child->fd >= 0)
		ag_child_hear(sup, child);
	if (child->fd >= 0)
		close(child->fd);
	child->fd = -1;
	child->pid = 0;
	child->status = status;
	child->deaths++;
	ag_status_text(status, text, sizeof(text));
	if (sup->phase == PHASE_DRAINING || child->state == CHILD_STOPPING) {
		ag_log_plain(status == 0 ? AG_DEBUG : AG_WARN, "CHILD-STOPPED",
		    "name=%s how=\"%s\"", child->name, text);
		child->state = CHILD_STOPPED;
		return;
	}
	back_off(child, ag_sup_now_ms());
	ag_log_plain(AG_ERROR, "CHILD-ENDED",
	    "name=%s how=\"%s\" restart_in_ms=%u", child->name, text,
	    child->backoff_ms);
}

void
ag_child_signal(struct child *child, int signo)
{
	if (child->pid > 0)
		kill(child->pid, signo);
	if (signo != SIGTERM)
		return;
	child->state = child->pid > 0 ? CHILD_STOPPING : CHILD_STOPPED;
	/* The broker also ends when it is told nothing more: at once. */
	if (child->is_broker && child->fd >= 0) {
		close(child->fd);
		child->fd = -1;
	}
}
