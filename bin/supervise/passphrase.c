/* SPDX-License-Identifier: Apache-2.0 */
/*
 * passphrase: typed on the terminal, or from a file or descriptor; never in
 * arguments or the environment, which others can read.
 */
#include "passphrase.h"
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = AG_PASSPHRASE_MAX + 2 };

static int
take(const struct passphrase_ask *ask, const char *from, const char *bytes,
    size_t len, struct ag_secret **out)
{
	if (len > 0 && bytes[len - 1] == '\n')
		len--;
	if (len == 0 || len > AG_PASSPHRASE_MAX || memchr(bytes, '\0', len) != NULL) {
		ag_sup_complain(ask->verb, "%s: a passphrase is one line of 1 to %d "
		    "bytes", from, AG_PASSPHRASE_MAX);
		return EXIT_BAD_INPUT;
	}
	if (ask->is_new && len < AG_PASSPHRASE_MIN) {
		ag_sup_complain(ask->verb, "%s: a new passphrase has at least %d "
		    "bytes", from, AG_PASSPHRASE_MIN);
		return EXIT_BAD_INPUT;
	}
	if (ag_secret_copy(bytes, len, out) == AG_OK)
		return EXIT_YES;
	ag_sup_complain(ask->verb, "no locked memory: %s", strerror(errno));
	return EXIT_FAULT;
}

/* ------------------------------------------------------------- from a file */

/* A pipe or terminal is whose it is; a file must be nobody else's to read. */
static int
check_file(const struct passphrase_ask *ask, int fd)
{
	struct stat st;

	if (fd >= 0 && fstat(fd, &st) == 0 && (!S_ISREG(st.st_mode) ||
	    ((st.st_mode & 077) == 0 && st.st_uid == geteuid())))
		return EXIT_YES;
	ag_sup_complain(ask->verb, "%s: %s", ask->file, fd < 0 ? strerror(errno) :
	    "only its owner, who is you, may read it: chmod 600");
	return EXIT_BAD_INPUT;
}

static int
read_file(const struct passphrase_ask *ask, struct ag_secret **out)
{
	bool standard = strcmp(ask->file, "-") == 0;
	int fd = standard ? STDIN_FILENO : open(ask->file, O_RDONLY | O_CLOEXEC);
	char bytes[LINE_MAX_BYTES];
	size_t len = 0;
	ssize_t n = 1;
	int status = check_file(ask, fd);

	while (status == EXIT_YES && len < sizeof(bytes) && n > 0) {
		n = read(fd, bytes + len, sizeof(bytes) - len);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n > 0)
			len += (size_t)n;
		if (len > 0 && bytes[len - 1] == '\n')
			break;
	}
	if (status == EXIT_YES)
		status = take(ask, standard ? "standard input" : ask->file, bytes,
		    len, out);
	ag_wipe(bytes, sizeof(bytes));
	if (fd >= 0 && !standard)
		close(fd);
	return status;
}

/* --------------------------------------------------------- from a terminal */

/* A line without echo; -1 when nobody is there to type it any more. */
static ssize_t
type_line(const struct passphrase_ask *ask, int tty, const char *prompt,
    char *bytes, size_t size)
{
	struct pollfd fds[2] = { { .fd = tty, .events = POLLIN },
		{ .fd = ask->parent_fd } };
	struct termios was, quiet;
	ssize_t n = -1;

	if (tcgetattr(tty, &was) != 0)
		return -1;
	quiet = was;
	quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL);
	/* First no echo, and what was typed before is dropped; then the question. */
	if (tcsetattr(tty, TCSAFLUSH, &quiet) != 0)
		return -1;
	dprintf(tty, "%s: ", prompt);
	if (poll(fds, 2, -1) > 0 && fds[1].revents == 0)
		n = read(tty, bytes, size);
	tcsetattr(tty, TCSAFLUSH, &was);
	dprintf(tty, "\n");
	return n;
}

static int
type_once(const struct passphrase_ask *ask, int tty, const char *prompt,
    struct ag_secret **out)
{
	char bytes[LINE_MAX_BYTES];
	ssize_t n = type_line(ask, tty, prompt, bytes, sizeof(bytes));
	int status = EXIT_INTERRUPTED;

	if (n > 0)
		status = take(ask, "the terminal", bytes, (size_t)n, out);
	ag_wipe(bytes, sizeof(bytes));
	return status;
}

static int
type_both(const struct passphrase_ask *ask, int tty, struct ag_secret **out)
{
	struct ag_secret *again = NULL;
	int status = type_once(ask, tty, ask->prompt, out);

	if (status != EXIT_YES || !ask->is_new)
		return status;
	status = type_once(ask, tty, "the same again", &again);
	if (status == EXIT_YES && (ag_secret_len(*out) != ag_secret_len(again) ||
	    !ag_secret_equal(ag_secret_bytes(*out), ag_secret_bytes(again),
	        ag_secret_len(again)))) {
		ag_sup_complain(ask->verb, "the two are not the same");
		status = EXIT_BAD_INPUT;
	}
	ag_secret_free(&again);
	if (status != EXIT_YES)
		ag_secret_free(out);
	return status;
}

int
ag_passphrase_read(const struct passphrase_ask *ask, struct ag_secret **out)
{
	int tty = ask->tty_fd, status;

	*out = NULL;
	if (ag_secret_init() != AG_OK) {
		ag_sup_complain(ask->verb, "locked memory: %s", strerror(errno));
		return EXIT_FAULT;
	}
	if (ask->file != NULL)
		return read_file(ask, out);
	if (tty < 0)
		tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (tty < 0) {
		ag_sup_complain(ask->verb, "%s: no terminal to ask on; name a file "
		    "with %s", ask->prompt, ask->option);
		return EXIT_BAD_INPUT;
	}
	status = type_both(ask, tty, out);
	if (tty != ask->tty_fd)
		close(tty);
	return status;
}
