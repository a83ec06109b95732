/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client: the verbs that ask a running supervisor: down, status, actor enroll.
 */
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
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
};

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
ag_cmd_down(const char *state, int64_t timeout_s)
{
	struct pollfd gone = { .events = POLLIN };
	int status, fd;
	json_t *answer;

	if (timeout_s < 0)
		timeout_s = DRAIN_MS / 1000;
	answer = ag_control_ask("down", state, json_pack("{s:s, s:I}", "verb",
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
ag_cmd_enroll(const char *state, const char *name, const char *role,
    const char *out, char *file, size_t size)
{
	json_t *answer;
	int status;

	if (ag_guest_role(role) == NULL) {
		ag_sup_complain("actor enroll", "--role %s: subscriber or actor",
		    role);
		return EXIT_BAD_INPUT;
	}
	snprintf(file, size, "%s%s", out != NULL ? out : name,
	    out != NULL ? "" : ".actor");
	if (access(file, F_OK) == 0) { /* before the old key is made worthless */
		ag_sup_complain("actor enroll", "%s: exists already", file);
		return EXIT_CONFLICT;
	}
	answer = ag_control_ask("actor enroll", state, json_pack(
	    "{s:s, s:s, s:s}", "verb", "enroll", "name", name, "role", role),
	    &status, NULL);
	if (answer == NULL)
		return status;
	status = save_boot(answer, file);
	json_decref(answer);
	return status;
}
