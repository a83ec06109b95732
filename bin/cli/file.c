/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of the aegis command: data in and out, secrets in and out.
 */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum cli_exit
read_all(int fd, const char *name, size_t max, char **bytes, size_t *len)
{
	size_t size = 65536, used = 0;
	char *buf = malloc(size + 1), *more;
	ssize_t n;

	while (buf != NULL && (n = read(fd, buf + used, size - used)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			free(buf);
			return cli_fail(CLI_USAGE, "%s: %s", name, strerror(errno));
		}
		used += (size_t)n;
		if (used > max) {
			free(buf);
			return cli_fail(CLI_USAGE, "%s: larger than %zu bytes", name, max);
		}
		if (used == size) {
			more = realloc(buf, 2 * size + 1);
			if (more == NULL)
				free(buf);
			buf = more;
			size *= 2;
		}
	}
	if (buf == NULL)
		return cli_fail(CLI_FAULT, "out of memory");
	buf[used] = '\0';
	*bytes = buf;
	*len = used;
	return CLI_OK;
}

enum cli_exit
cli_read(const char *name, size_t max, char **bytes, size_t *len)
{
	enum cli_exit status;
	int fd;

	if (strcmp(name, "-") == 0)
		return read_all(STDIN_FILENO, "standard input", max, bytes, len);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return cli_fail(CLI_USAGE, "%s: %s", name, strerror(errno));
	status = read_all(fd, name, max, bytes, len);
	(void)close(fd);
	return status;
}

/* A token that others may read is no longer one person's. */
static enum cli_exit
check_private(int fd, const char *name)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return cli_fail(CLI_USAGE, "%s: %s", name, strerror(errno));
	if (S_ISREG(st.st_mode) && (st.st_mode & 077) != 0)
		return cli_fail(CLI_USAGE,
		    "%s: mode %04o: others may read it; chmod 600 it", name,
		    (unsigned)(st.st_mode & 07777));
	return CLI_OK;
}

enum cli_exit
cli_read_private(const char *name, size_t max, char **bytes, size_t *len)
{
	bool is_stdin = strcmp(name, "-") == 0;
	int fd = is_stdin ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC);
	enum cli_exit status;

	if (fd < 0)
		return cli_fail(CLI_USAGE, "%s: %s", name, strerror(errno));
	status = is_stdin ? CLI_OK : check_private(fd, name);
	if (status == CLI_OK)
		status = read_all(fd, name, max, bytes, len);
	if (!is_stdin)
		(void)close(fd);
	return status;
}

enum cli_exit
cli_read_secret(const char *name, char *buf, size_t size)
{
	char *bytes = NULL;
	size_t len = 0;
	enum cli_exit status = cli_read_private(name, size - 1, &bytes, &len);

	if (status != CLI_OK)
		return status;
	while (len > 0 && strchr(" \t\r\n", bytes[len - 1]) != NULL)
		len--;
	memcpy(buf, bytes, len);
	buf[len] = '\0';
	ag_wipe(bytes, len);
	free(bytes);
	if (len == 0)
		return cli_fail(CLI_USAGE, "%s: empty", name);
	if (strpbrk(buf, " \t\r\n") != NULL)
		return cli_fail(CLI_USAGE, "%s: not a token", name);
	return CLI_OK;
}

enum cli_exit
cli_create(const char *name, bool secret, FILE **out)
{
	int fd;

	*out = stdout;
	if (name == NULL || strcmp(name, "-") == 0)
		return CLI_OK;
	fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
	    secret ? 0600 : 0666);
	/* The file may have been there with a wider mode. */
	if (fd < 0 || (secret && fchmod(fd, 0600) != 0))
		return cli_fail(CLI_USAGE, "%s: %s", name, strerror(errno));
	*out = fdopen(fd, "wb");
	if (*out == NULL)
		return cli_fail(CLI_FAULT, "%s: %s", name, strerror(errno));
	return CLI_OK;
}

enum cli_exit
cli_finish(FILE *out, const char *name)
{
	bool bad = fflush(out) != 0 || ferror(out) != 0;

	if (out != stdout)
		bad = fclose(out) != 0 || bad;
	if (bad)
		return cli_fail(CLI_FAULT, "%s: %s",
		    name == NULL ? "standard output" : name, strerror(errno));
	return CLI_OK;
}

char *
cli_base64_text(const void *bytes, size_t len)
{
	char *text = malloc(ag_base64_size(len));

	if (text != NULL)
		ag_base64(bytes, len, text);
	return text;
}
