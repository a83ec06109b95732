/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rogue: what has taken the place of a plane, for tests. It knows what a plane
 * is told, tries what each line of run/metrics/.targets says, and writes beside
 * it how that went: the line, and errno (0: it worked).
 */
#include "engine.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int
try_open(const char *path, int flags)
{
	int fd = open(path, flags, 0600);

	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

static int
try_read(const char *path)
{
	return try_open(path, O_RDONLY);
}

static int
try_write(const char *path)
{
	return try_open(path, O_WRONLY | O_CREAT);
}

static int
try_trace(const char *pid)
{
	return ptrace(PTRACE_ATTACH, atoi(pid), NULL, NULL) == 0 ? 0 : errno;
}

static int
try_memory(const char *pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/mem", atoi(pid));
	return try_open(path, O_RDONLY);
}

static int
try_signal(const char *pid)
{
	return kill(atoi(pid), 0) == 0 ? 0 : errno;
}

static int
try_fork(const char *nothing)
{
	pid_t pid = fork();

	(void)nothing;
	if (pid == 0)
		_exit(0);
	if (pid < 0)
		return errno;
	waitpid(pid, NULL, 0);
	return 0;
}

/* 0: somebody answered. */
static int
try_ask(const char *path)
{
	static const char question[] = "{\"ask\":\"status\"}\n";
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	char answer[16];
	ssize_t n = -1;

	snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0 &&
	    send(fd, question, strlen(question), MSG_NOSIGNAL) > 0)
		n = recv(fd, answer, sizeof(answer), 0);
	if (fd >= 0)
		close(fd);
	return n > 0 ? 0 : n == 0 ? ECONNRESET : errno;
}

static const struct {
	const char *word;
	int (*try)(const char *);
} words[] = {
	{ "read", try_read }, { "write", try_write }, { "trace", try_trace },
	{ "memory", try_memory }, { "signal", try_signal }, { "fork", try_fork },
	{ "ask", try_ask },
};

static void
try_line(char *line, FILE *out)
{
	char *what = strchr(line, ' ');

	line[strcspn(line, "\n")] = '\0';
	if (what == NULL)
		return;
	*what++ = '\0';
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(words[i].word, line) == 0)
			fprintf(out, "%s %s %d\n", line, what, words[i].try(what));
}

int
main(void)
{
	char targets[4096], results[4096], done[4096], line[4096];
	Ag__Boot *boot = NULL;
	FILE *in, *out;

	if (ag_boot_read(AG_BOOT_FD, &boot) != AG_OK)
		return 2;
	snprintf(targets, sizeof(targets), "%s/metrics/.targets", boot->run_dir);
	snprintf(results, sizeof(results), "%s/metrics/.results", boot->run_dir);
	snprintf(done, sizeof(done), "%s/metrics/.done", boot->run_dir);
	while ((in = fopen(targets, "r")) == NULL)
		usleep(20000);
	if ((out = fopen(results, "w")) == NULL)
		return 2;
	while (fgets(line, sizeof(line), in) != NULL)
		try_line(line, out);
	fclose(in);
	if (fclose(out) != 0 || rename(results, done) != 0)
		return 2;
	for (;;)
		pause();
}
