/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spawn: fork, descriptors, exec; and the boot message, which tells a process
 * who it is and nothing that its role does not need. The only place where the
 * token of a start is in clear text, for as long as it takes to write it.
 * Descriptors of a child: 0 /dev/null, 1 and 2 the log (a stdout sink's 1 is
 * ours), 3 the supervisor, 4 a plane's listener, from 5 on its ends of lines.
 * Nothing else.
 */
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	ROWS_MAX = CHILDREN_MAX + GUESTS_MAX,
	EXEC_FAILED = 127,
	FDS_MOVED = LINE_FD + LINE_ENDS_MAX, /* above all that a child gets */
};

ag_err
ag_random_bytes(void *out, size_t len)
{
	return getrandom(out, len, 0) == (ssize_t)len ? AG_OK : AG_IO;
}

char *
ag_program_find(const char *name, char *tried, size_t tried_size)
{
	static const char *const places[] = { "%s/%s", "%s/../libexec/aegis/%s" };
	char self[PATH_MAX], beside[PATH_MAX + 64], installed[PATH_MAX + 96];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n <= 0) {
		snprintf(tried, tried_size, "/proc/self/exe: %s",
		    strerror(errno));
		return NULL;
	}
	self[n] = '\0';
	slash = strrchr(self, '/');
	*slash = '\0';
	snprintf(beside, sizeof(beside), places[0], self, name);
	snprintf(installed, sizeof(installed), places[1], self, name);
	if (access(beside, X_OK) == 0)
		return strdup(beside);
	if (access(installed, X_OK) == 0)
		return strdup(installed);
	snprintf(tried, tried_size, "%s and %s", beside, installed);
	return NULL;
}

/* --------------------------------------------------------- the boot message */

/* The table as children see it: slots, names, roles. For the broker also where
 * each knocks and the hash of what it will say. */
struct table {
	Ag__BootRow rows[ROWS_MAX];
	Ag__BootRow *pointers[ROWS_MAX];
	size_t count;
};

static void
add_row(struct table *t, unsigned slot, const char *name, const char *role,
    const char *endpoint, const uint8_t *hash, uid_t uid, bool for_broker)
{
	Ag__BootRow *row = &t->rows[t->count];

	ag__boot_row__init(row);
	row->slot = slot;
	row->name = (char *)name;
	row->role = (char *)role;
	if (for_broker) {
		row->endpoint = (char *)endpoint;
		row->has_token = 1;
		row->token.data = (uint8_t *)hash;
		row->token.len = 32;
		row->has_uid = uid != 0;
		row->uid = uid;
	}
	t->pointers[t->count++] = row;
}

static void
fill_table(const struct supervisor *sup, struct table *t, bool for_broker)
{
	t->count = 0;
	for (unsigned i = 0; i < sup->count; i++) {
		const struct child *c = &sup->children[i];

		/* A row that was never started has no door yet; the order to
		 * open it comes with its start. */
		if (!c->is_broker && !(for_broker && c->generation == 0))
			add_row(t, c->slot, c->name, c->role, c->endpoint,
			    c->token_hash, c->uid, for_broker);
	}
	for (unsigned i = 0; i < GUESTS_MAX; i++) {
		const struct guest *g = &sup->guests[i];

		if (g->slot != 0)
			add_row(t, g->slot, g->name, g->role, g->endpoint,
			    g->token_hash, 0, for_broker);
	}
}

static void
fill_common(const struct supervisor *sup, Ag__Boot *boot, struct table *t)
{
	boot->rows = t->pointers;
	boot->n_rows = t->count;
	boot->state_dir = (char *)sup->state_dir;
	boot->run_dir = (char *)sup->run_dir;
	boot->config = sup->config_text;
	boot->clock_file = sup->clock_option != NULL ?
	    (char *)sup->clock_file : NULL;
	boot->has_dev_identity = boot->dev_identity = sup->dev_identity;
	boot->has_clock_wall_ms = boot->has_clock_mono_ms = 1;
	boot->clock_wall_ms = sup->clock_wall_ms;
	boot->clock_mono_ms = sup->clock_mono_ms;
	boot->has_uid = 1;
	boot->uid = geteuid();
}

static ag_err
tell_boot(struct supervisor *sup, const struct child *child,
    const struct line_ends *ends, const uint8_t token[32], int fd)
{
	static struct table table; /* large, and used for the length of a call */
	Ag__Boot boot = AG__BOOT__INIT;
	Ag__BootRow self = AG__BOOT_ROW__INIT;
	uint8_t lock[AG_MASTER_KDF_BYTES + AG_MASTER_BYTES];
	ag_err err;

	boot.lines_to = (Ag__BootLine **)(uintptr_t)ends->to;
	boot.n_lines_to = ends->to_count;
	boot.lines_from = (Ag__BootLine **)(uintptr_t)ends->from;
	boot.n_lines_from = ends->from_count;
	fill_table(sup, &table, child->is_broker);
	fill_common(sup, &boot, &table);
	self.slot = child->slot;
	self.name = (char *)child->name;
	self.role = (char *)child->role;
	if (!child->is_broker) {
		self.endpoint = (char *)child->endpoint;
		self.has_token = 1;
		self.token.data = (uint8_t *)token;
		self.token.len = 32;
	}
	boot.self = &self;
	boot.jail = (char *)child->jail;
	boot.has_index = 1;
	boot.index = child->index;
	if (child->wants_mac) {
		boot.has_mac_key = 1;
		boot.mac_key.data = sup->mac_key;
		boot.mac_key.len = sizeof(sup->mac_key);
	}
	if (child->is_plane) {
		boot.has_credit_requests = boot.has_credit_bytes = 1;
		boot.credit_requests = CREDIT_REQUESTS / sup->plane_count;
		boot.credit_bytes = CREDIT_BYTES / sup->plane_count;
	}
	if (child->is_rot && sup->master_lock.key != NULL) {
		memcpy(lock, sup->master_lock.kdf, AG_MASTER_KDF_BYTES);
		memcpy(lock + AG_MASTER_KDF_BYTES,
		    ag_secret_bytes(sup->master_lock.key), AG_MASTER_BYTES);
		boot.has_master_lock = 1;
		boot.master_lock.data = lock;
		boot.master_lock.len = sizeof(lock);
	}
	err = ag_boot_write(fd, &boot);
	ag_wipe(lock, sizeof(lock));
	return err;
}

ag_err
ag_guest_boot(struct supervisor *sup, const struct guest *guest,
    const uint8_t token[32], uint8_t **bytes, size_t *len)
{
	static struct table table;
	Ag__Boot boot = AG__BOOT__INIT;
	Ag__BootRow self = AG__BOOT_ROW__INIT;
	size_t packed;

	fill_table(sup, &table, false);
	fill_common(sup, &boot, &table);
	boot.has_clock_wall_ms = boot.has_clock_mono_ms = 0; /* it outlives us */
	self.slot = guest->slot;
	self.name = (char *)guest->name;
	self.role = (char *)guest->role;
	self.endpoint = (char *)guest->endpoint;
	self.has_token = 1;
	self.token.data = (uint8_t *)token;
	self.token.len = 32;
	boot.self = &self;
	boot.jail = (char *)"NONE";
	packed = ag__boot__get_packed_size(&boot);
	if (packed > AG_BOOT_BYTES_MAX)
		return AG_FULL;
	if ((*bytes = malloc(4 + packed)) == NULL)
		return AG_NO_MEMORY;
	for (unsigned i = 0; i < 4; i++)
		(*bytes)[i] = (uint8_t)(packed >> (8 * i));
	*len = 4 + ag__boot__pack(&boot, *bytes + 4);
	return AG_OK;
}

/* As send(), with the log's descriptor (-1: without). */
static ssize_t
send_with(int fd, const void *bytes, size_t len, int flags, int log)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { .bytes = { 0 } };
	struct iovec part = { (void *)(uintptr_t)bytes, len };
	struct msghdr head = { .msg_iov = &part, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (log >= 0) {
		head.msg_control = control.bytes;
		head.msg_controllen = sizeof(control);
		c = CMSG_FIRSTHDR(&head);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(log));
		memcpy(CMSG_DATA(c), &log, sizeof(log));
	}
	return sendmsg(fd, &head, flags);
}

static void
send_order(struct supervisor *sup, const Ag__BootRow *row, int log)
{
	uint8_t order[512];
	size_t len = ag__boot_row__get_packed_size(row);
	int fd = sup->children[0].fd;

	if (fd < 0)
		return; /* it is told the whole table when it starts */
	if (len > sizeof(order) - 4)
		ag_panic("a row of %zu bytes", len);
	for (unsigned i = 0; i < 4; i++)
		order[i] = (uint8_t)(len >> (8 * i));
	ag__boot_row__pack(row, order + 4);
	if (send_with(fd, order, 4 + len, MSG_NOSIGNAL, log) !=
	    (ssize_t)(4 + len)) {
		/* Half an order would be worse than none: it starts anew. */
		ag_log_plain(AG_ERROR, "BROKER-ORDER", "row=%s error=%s",
		    row->name, strerror(errno));
		ag_child_signal(&sup->children[0], SIGKILL);
	}
}

void
ag_broker_order(struct supervisor *sup, unsigned slot, const char *name,
    const char *role, const char *endpoint, const uint8_t token_hash[32],
    uid_t uid)
{
	static struct table one;

	one.count = 0;
	add_row(&one, slot, name, role, endpoint, token_hash, uid, true);
	send_order(sup, &one.rows[0], -1);
}

static void
tell(struct child *child, const char *line, int log)
{
	char text[AG_WORD_MAX + 2];
	int n = snprintf(text, sizeof(text), "%s\n", line);

	if (child->fd >= 0 && send_with(child->fd, text, (size_t)n,
	    MSG_NOSIGNAL | MSG_DONTWAIT, log) != n)
		ag_log_plain(AG_WARN, "CHILD-UNTOLD", "name=%s error=%s",
		    child->name, strerror(errno));
}

void
ag_child_tell(struct child *child, const char *line)
{
	tell(child, line, -1);
}

static void
tell_level(struct supervisor *sup, struct child *child, const char *level,
    int log)
{
	Ag__BootRow order = AG__BOOT_ROW__INIT;
	char line[32];

	if (child->is_broker) {
		order.name = order.role = child->role;
		order.log_level = (char *)(uintptr_t)level;
		send_order(sup, &order, log);
	} else {
		snprintf(line, sizeof(line), "level %s", level);
		tell(child, line, log);
	}
}

void
ag_child_level(struct supervisor *sup, struct child *child, const char *level)
{
	tell_level(sup, child, level, -1);
}

/* A descriptor travels with words: with the level, which stays as it is. */
void
ag_child_log(struct supervisor *sup, struct child *child)
{
	tell_level(sup, child, sup->level[0] != '\0' ? sup->level :
	    ag_config_get_str(sup->config, "log.level", 0), sup->log_fd);
}

/* A line of ag_config_pack without the place in the file, which may be long. */
static void
tell_limit(struct child *child, char *line)
{
	char *row = strchr(line, '\t'), *where, *value, text[AG_WORD_MAX + 1];
	int n;

	if (strncmp(line, "limits.", 7) != 0 || row == NULL ||
	    (where = strchr(row + 1, '\t')) == NULL ||
	    (value = strchr(where + 1, '\t')) == NULL)
		return;
	n = snprintf(text, sizeof(text), "limits %.*s\t-%s", (int)(where - line),
	    line, value);
	if (n < 0 || (size_t)n >= sizeof(text))
		ag_log_plain(AG_WARN, "LIMIT-UNTOLD", "%s", line);
	else
		ag_child_tell(child, text);
}

void
ag_child_limits(struct supervisor *sup, struct child *child)
{
	char *text, *rest = NULL;

	if (sup->limits == NULL || strcmp(child->name, "iam") != 0 ||
	    (text = strdup(sup->limits)) == NULL)
		return;
	ag_child_tell(child, "limits begin");
	for (char *line = strtok_r(text, "\n", &rest); line != NULL;
	    line = strtok_r(NULL, "\n", &rest))
		tell_limit(child, line);
	ag_child_tell(child, "limits end");
	free(text);
}

/* ------------------------------------------------------------- in the child */

static _Noreturn void
fail(const char *what)
{
	fprintf(stderr, "aegis: up: %s: %s\n", what, strerror(errno));
	_exit(EXEC_FAILED);
}

/* Sources are moved out of the way first, so that no dup2 hits another's. */
static int
moved(int fd)
{
	int high = fcntl(fd, F_DUPFD_CLOEXEC, FDS_MOVED);

	if (high < 0)
		fail("descriptors");
	return high;
}

static void
place(int high, int fd)
{
	if (dup2(high, fd) < 0)
		fail("descriptors");
}

/* Where nothing is placed there is nothing: what was there is closed. */
static void
arrange(const struct supervisor *sup, const struct child *child,
    const struct line_ends *ends, int boot_fd)
{
	int log = sup->log_fd >= 0 ? sup->log_fd : STDERR_FILENO;
	int in_high = moved(open("/dev/null", O_RDWR | O_CLOEXEC));
	int out_high = moved(child->is_stdout ? sup->stdout_fd : log);
	int log_high = moved(log), boot_high = moved(boot_fd);
	int listen_high = child->is_plane ? moved(child->listener->fd) : -1;
	int line_high[LINE_ENDS_MAX];

	for (unsigned i = 0; i < ends->count; i++)
		line_high[i] = moved(ends->fds[i]);
	place(in_high, 0);
	place(out_high, 1);
	place(log_high, 2);
	place(boot_high, AG_BOOT_FD);
	close(LISTEN_FD);
	if (child->is_plane)
		place(listen_high, LISTEN_FD);
	for (unsigned i = 0; i < ends->count; i++)
		place(line_high[i], LINE_FD + (int)i);
	close_range(LINE_FD + ends->count, ~0U, 0);
}

static _Noreturn void
become(const struct supervisor *sup, const struct child *child,
    const struct line_ends *ends, const struct fence *fence, int boot_fd,
    pid_t parent)
{
	static char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:"
	    "/usr/bin:/sbin:/bin";
	char *environment[4] = { path };
	unsigned n = 1;
	sigset_t none;

#ifdef __SANITIZE_ADDRESS__
	static const char *const names[] = { "ASAN_OPTIONS", "UBSAN_OPTIONS" };

	for (unsigned i = 0; i < 2; i++) { /* a test build: its settings */
		char *text = NULL;

		if (getenv(names[i]) != NULL &&
		    asprintf(&text, "%s=%s", names[i], getenv(names[i])) > 0)
			environment[n++] = text;
	}
#endif
	environment[n] = NULL;
	umask(077);
	arrange(sup, child, ends, boot_fd);
	if (child->uid != 0 && ag_uid_become(sup, child) != AG_OK)
		fail("process.uid_base");
	/* When the supervisor dies, however it dies, so do we. After the uid,
	 * which takes this away. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
		fail("PR_SET_PDEATHSIG");
	if (getppid() != parent)
		_exit(EXEC_FAILED);
	setpgid(0, 0); /* a terminal's ^C is for the supervisor, who drains */
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (fence->count > 0 &&
	    ag_fence_enter(fence->rows, fence->count) != AG_OK)
		fail("process.fence");
	execve(child->program, child->argv, environment);
	fail(child->program);
}

/* ------------------------------------------------------------ in the parent */

ag_err
ag_spawn(struct supervisor *sup, const struct child *child,
    const uint8_t token[32], pid_t *pid, int *fd)
{
	/* Large, and used for the length of a call. */
	static struct line_ends ends;
	static struct fence fence;
	int pair[2];
	pid_t parent = getpid();
	ag_err err;

	*pid = 0;
	*fd = -1;
	if ((err = ag_fence_plan(sup, child, &fence)) != AG_OK)
		return err;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		return AG_IO;
	ag_lines_of(sup, child, &ends);
	*pid = fork();
	if (*pid == 0)
		become(sup, child, &ends, &fence, pair[1], parent);
	close(pair[1]);
	err = *pid < 0 ? AG_IO : tell_boot(sup, child, &ends, token, pair[0]);
	if (err != AG_OK) {
		if (*pid > 0)
			kill(*pid, SIGKILL); /* reaped like any other */
		close(pair[0]);
		return *pid > 0 ? AG_OK : err;
	}
	fcntl(pair[0], F_SETFL, fcntl(pair[0], F_GETFL) | O_NONBLOCK);
	*fd = pair[0];
	return AG_OK;
}
