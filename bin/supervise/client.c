/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client: the verbs that ask a running supervisor: down, status, actor enroll.
 */
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	ANSWER_BYTES_MAX = 4 << 20,
	ANSWER_MS = 10000,
	DOWN_SPARE_MS = 5000, /* after its deadline the fleet is killed, then tidied */
	WATCH_S = 1,
};

/* Options of these verbs; the global ones that mean nothing here are taken. */
struct words {
	const char *state, *role, *out, *timeout;
	bool json, watch, quiet, help;
	const char *operands[4];
	int operand_count;
};

enum { OPT_STATE = 1, OPT_ROLE, OPT_OUT, OPT_TIMEOUT, OPT_JSON, OPT_WATCH,
	OPT_QUIET, OPT_HELP, OPT_IGNORED };

static const struct option long_options[] = {
	{ "state", required_argument, NULL, OPT_STATE },
	{ "role", required_argument, NULL, OPT_ROLE },
	{ "out", required_argument, NULL, OPT_OUT },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "watch", no_argument, NULL, OPT_WATCH },
	{ "quiet", no_argument, NULL, OPT_QUIET },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "server", required_argument, NULL, OPT_IGNORED },
	{ "ca-file", required_argument, NULL, OPT_IGNORED },
	{ "token-file", required_argument, NULL, OPT_IGNORED },
	{ "context", required_argument, NULL, OPT_IGNORED },
	{ NULL, 0, NULL, 0 },
};

static void
take_option(struct words *w, int option)
{
	switch (option) {
	case OPT_STATE: w->state = optarg; break;
	case OPT_ROLE: w->role = optarg; break;
	case OPT_OUT: w->out = optarg; break;
	case OPT_TIMEOUT: w->timeout = optarg; break;
	case OPT_JSON: w->json = true; break;
	case OPT_WATCH: w->watch = true; break;
	case OPT_QUIET: w->quiet = true; break;
	case OPT_HELP: w->help = true; break;
	}
}

/* false: complained (getopt did), or help was asked for and given. */
static bool
read_words(int argc, char **argv, const char *usage, struct words *w,
    int *exit_status)
{
	int option;

	memset(w, 0, sizeof(*w));
	optind = 0; /* glibc: start over, and permute */
	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (option == '?') {
			fprintf(stderr, "usage: %s\n", usage);
			*exit_status = EXIT_BAD_INPUT;
			return false;
		}
		take_option(w, option);
	}
	if (w->help) {
		printf("usage: %s\n", usage);
		*exit_status = EXIT_YES;
		return false;
	}
	for (; optind < argc; optind++)
		if (w->operand_count < 4)
			w->operands[w->operand_count++] = argv[optind];
	return true;
}

/* --------------------------------------------------------------- one question */

static int
connect_control(const char *verb, const char *state_option, int *exit_status)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	char dir[STATE_PATH_MAX];
	int fd, n;

	*exit_status = EXIT_TRY_AGAIN;
	if (!ag_state_dir_find(state_option, dir, sizeof(dir))) {
		ag_sup_complain(verb, "--state: no usable directory (name one)");
		*exit_status = EXIT_BAD_INPUT;
		return -1;
	}
	n = snprintf(at.sun_path, sizeof(at.sun_path), "%s/run/control.sock", dir);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (n < (int)sizeof(at.sun_path) && fd >= 0 &&
	    connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0)
		return fd;
	if (errno == EACCES || errno == EPERM)
		ag_sup_complain(verb, "%s: %s", dir, strerror(errno));
	else
		ag_sup_complain(verb, "no fleet runs in %s", dir);
	if (fd >= 0)
		close(fd);
	return -1;
}

/* One line, or NULL. */
static char *
read_line(int fd)
{
	size_t len = 0, room = 4096;
	char *text = malloc(room);
	struct pollfd p = { .fd = fd, .events = POLLIN };

	while (text != NULL && poll(&p, 1, ANSWER_MS) > 0) {
		ssize_t n = read(fd, text + len, room - len - 1);

		if (n <= 0)
			break;
		len += (size_t)n;
		text[len] = '\0';
		if (text[len - 1] == '\n')
			return text;
		if (room - len > 1)
			continue;
		room *= 2;
		char *more = room <= ANSWER_BYTES_MAX ? realloc(text, room) : NULL;

		if (more == NULL)
			break;
		text = more;
	}
	free(text);
	return NULL;
}

static json_t *
converse(int fd, json_t *ask)
{
	char *text = json_dumps(ask, JSON_COMPACT), *line;
	json_t *answer = NULL;
	size_t n;

	if (text == NULL)
		return NULL;
	n = strlen(text);
	text[n] = '\n';
	if (send(fd, text, n + 1, MSG_NOSIGNAL) == (ssize_t)(n + 1) &&
	    (line = read_line(fd)) != NULL) {
		answer = json_loads(line, 0, NULL);
		ag_wipe(line, strlen(line));
		free(line);
	}
	free(text);
	return answer;
}

json_t *
ag_control_ask(const char *verb, const char *state_option, json_t *ask,
    int *exit_status, int *fd_out)
{
	int fd = connect_control(verb, state_option, exit_status);
	const char *error = "the supervisor did not answer";
	json_t *answer = fd >= 0 ? converse(fd, ask) : NULL;

	json_decref(ask);
	if (fd < 0)
		return NULL;
	*exit_status = EXIT_YES;
	if (fd_out != NULL)
		*fd_out = fd;
	if (answer != NULL && json_is_true(json_object_get(answer, "ok"))) {
		if (fd_out == NULL)
			close(fd);
		return answer;
	}
	*exit_status = EXIT_TRY_AGAIN;
	if (answer != NULL &&
	    json_unpack(answer, "{s:i, s:s}", "exit", exit_status, "error",
	        &error) != 0)
		*exit_status = EXIT_FAULT;
	ag_sup_complain(verb, "%s", error);
	json_decref(answer);
	close(fd);
	return NULL;
}

/* ------------------------------------------------------------------------ down */

/* The process at the other end; its end is what `down` waits for. */
static int
pidfd_of(int fd)
{
	struct ucred who;
	socklen_t len = sizeof(who);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) != 0)
		return -1;
	return pidfd_open(who.pid, 0);
}

int
ag_cmd_down(int argc, char **argv)
{
	static const char usage[] = "aegis down [--timeout 30s] [--state DIR]";
	struct words w;
	int64_t timeout_s = DRAIN_MS / 1000;
	struct pollfd gone = { .events = POLLIN };
	int status, fd;
	json_t *answer;

	if (!read_words(argc, argv, usage, &w, &status))
		return status;
	if ((w.timeout != NULL && !ag_duration_parse(w.timeout, &timeout_s)) ||
	    timeout_s < 0 || timeout_s > 86400 || w.operand_count != 0) {
		ag_sup_complain("down", "usage: %s", usage);
		return EXIT_BAD_INPUT;
	}
	answer = ag_control_ask("down", w.state, json_pack("{s:s, s:I}", "verb",
	    "down", "timeout_ms", (json_int_t)timeout_s * 1000), &status, &fd);
	if (answer == NULL)
		return status;
	json_decref(answer);
	/* Without a pidfd (it is over already) the connection's end will do. */
	gone.fd = pidfd_of(fd);
	if (gone.fd < 0)
		gone.fd = fd;
	if (poll(&gone, 1, (int)timeout_s * 1000 + DOWN_SPARE_MS) == 1)
		return EXIT_YES;
	ag_sup_complain("down", "the fleet is still there after %lld s",
	    (long long)timeout_s);
	return EXIT_TRY_AGAIN;
}

/* ---------------------------------------------------------------------- status */

/* 37s 4m12s 3h05m 2d04h */
static void
uptime_text(json_int_t ms, char *out, size_t size)
{
	long long s = ms / 1000;

	if (s < 60)
		snprintf(out, size, "%llds", s);
	else if (s < 3600)
		snprintf(out, size, "%lldm%02llds", s / 60, s % 60);
	else if (s < 86400)
		snprintf(out, size, "%lldh%02lldm", s / 3600, s / 60 % 60);
	else
		snprintf(out, size, "%lldd%02lldh", s / 86400, s / 3600 % 24);
}

static void
print_process(json_t *p)
{
	const char *name = "", *role = "", *state = "";
	json_int_t pid = 0, uptime = 0, restarts = 0, queue = 0, rss = 0;
	char uptime_word[32], pid_word[24] = "-";

	json_unpack(p, "{s:s, s:s, s:s, s:I, s:I, s:I, s:I}", "name", &name,
	    "role", &role, "state", &state, "uptime_ms", &uptime, "restarts",
	    &restarts, "queue", &queue, "rss_bytes", &rss);
	pid = json_integer_value(json_object_get(p, "pid"));
	if (pid > 0)
		snprintf(pid_word, sizeof(pid_word), "%lld", (long long)pid);
	uptime_text(uptime, uptime_word, sizeof(uptime_word));
	printf("%-16s %-10s %7s %-8s %8s %8lld %6lld %5.1fM\n", name, role,
	    pid_word, state, pid > 0 ? uptime_word : "-", (long long)restarts,
	    (long long)queue, (double)rss / (1 << 20));
}

static void
print_status(json_t *answer, bool as_json)
{
	json_t *p;
	size_t i;

	if (!as_json)
		printf("%-16s %-10s %7s %-8s %8s %8s %6s %6s\n", "NAME", "ROLE",
		    "PID", "STATE", "UPTIME", "RESTARTS", "QUEUE", "RSS");
	json_array_foreach(json_object_get(answer, "processes"), i, p) {
		if (!as_json) {
			print_process(p);
			continue;
		}
		json_dumpf(p, stdout, JSON_COMPACT);
		putchar('\n');
	}
	fflush(stdout);
}

int
ag_cmd_status(int argc, char **argv)
{
	static const char usage[] =
	    "aegis status [--watch] [--json] [--state DIR]";
	struct words w;
	int status;

	if (!read_words(argc, argv, usage, &w, &status))
		return status;
	if (w.operand_count != 0) {
		ag_sup_complain("status", "usage: %s", usage);
		return EXIT_BAD_INPUT;
	}
	for (;;) {
		json_t *answer = ag_control_ask("status", w.state,
		    json_pack("{s:s}", "verb", "status"), &status, NULL);

		if (answer == NULL)
			return status;
		if (w.watch && isatty(STDOUT_FILENO))
			printf("\033[H\033[J"); /* to the top, erase below */
		print_status(answer, w.json);
		json_decref(answer);
		if (!w.watch || ferror(stdout))
			return EXIT_YES;
		sleep(WATCH_S);
	}
}

/* ---------------------------------------------------------------- actor enroll */

/* A file that exists already is somebody's key: it is not overwritten. */
static int
write_file(const char *file, const uint8_t *bytes, size_t len)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	bool ok;

	if (fd < 0) {
		ag_sup_complain("actor enroll", "%s: %s", file, strerror(errno));
		return errno == EEXIST ? EXIT_CONFLICT : EXIT_BAD_INPUT;
	}
	ok = write(fd, bytes, len) == (ssize_t)len && fsync(fd) == 0;
	ok = close(fd) == 0 && ok;
	if (ok)
		return EXIT_YES;
	ag_sup_complain("actor enroll", "%s: %s", file, strerror(errno));
	unlink(file);
	return EXIT_FAULT;
}

static int
save_boot(json_t *answer, const char *file)
{
	const char *text =
	    json_string_value(json_object_get(answer, "boot_b64"));
	size_t text_len = text != NULL ? strlen(text) : 0, len = 0;
	uint8_t *bytes = malloc(text_len + 1);
	int status = EXIT_FAULT;

	if (bytes != NULL && text != NULL &&
	    ag_base64_parse(text, text_len, bytes, text_len + 1, &len))
		status = write_file(file, bytes, len);
	else
		ag_sup_complain("actor enroll", "the supervisor's answer is bad");
	if (bytes != NULL)
		ag_wipe(bytes, text_len + 1);
	free(bytes);
	return status;
}

int
ag_cmd_actor(int argc, char **argv)
{
	static const char usage[] = "aegis actor enroll NAME "
	    "--role subscriber|actor [--out FILE] [--state DIR]";
	char file[PATH_MAX];
	struct words w;
	json_t *answer;
	int status;

	if (!read_words(argc, argv, usage, &w, &status))
		return status;
	if (w.operand_count != 2 || strcmp(w.operands[0], "enroll") != 0 ||
	    w.role == NULL || ag_guest_role(w.role) == NULL) {
		ag_sup_complain("actor", "usage: %s", usage);
		return EXIT_BAD_INPUT;
	}
	snprintf(file, sizeof(file), "%s.actor", w.operands[1]);
	if (w.out != NULL)
		snprintf(file, sizeof(file), "%s", w.out);
	if (access(file, F_OK) == 0) { /* before the old key is made worthless */
		ag_sup_complain("actor enroll", "%s: exists already", file);
		return EXIT_CONFLICT;
	}
	answer = ag_control_ask("actor enroll", w.state, json_pack(
	    "{s:s, s:s, s:s}", "verb", "enroll", "name", w.operands[1], "role",
	    w.role), &status, NULL);
	if (answer == NULL)
		return status;
	status = save_boot(answer, file);
	json_decref(answer);
	if (status == EXIT_YES && !w.quiet)
		printf("enrolled: %s\n", file);
	return status;
}
