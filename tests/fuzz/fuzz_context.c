/* SPDX-License-Identifier: Apache-2.0 */
/*
 * contexts.json, and run/endpoints.json (first byte odd), of the aegis
 * command. Whatever they say, a token goes in clear to loopback only, and what
 * is refused is said.
 */
#include "cli/cli.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[] = "/tmp/aegis-fuzz-context-XXXXXX";
static char files[4][128];

static void
clean(void)
{
	static const char *const folders[] = { "aegis", "run" };
	char path[128];

	for (unsigned i = 0; i < 2; i++)
		unlink(files[i]);
	for (unsigned i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, folders[i]);
		rmdir(path);
	}
	rmdir(dir);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char path[128];

	(void)argc;
	(void)argv;
	if (mkdtemp(dir) == NULL)
		abort();
	snprintf(path, sizeof(path), "%s/aegis", dir);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/run", dir);
	mkdir(path, 0700);
	snprintf(files[0], sizeof(files[0]), "%s/aegis/contexts.json", dir);
	snprintf(files[1], sizeof(files[1]), "%s/run/endpoints.json", dir);
	setenv("XDG_CONFIG_HOME", dir, 1);
	setenv("AEGIS_STATE", dir, 1);
	unsetenv("AEGIS_SERVER");
	unsetenv("AEGIS_CONTEXT");
	if (freopen("/dev/null", "w", stdout) == NULL)
		abort();
	atexit(clean);
	return 0;
}

/* Said here once more, by another way than the command's. */
static bool
is_safe(const char *url)
{
	static const char *const to[] = { "http://127.", "http://localhost",
		"http://[::1]" };
	const char *rest;

	if (strncmp(url, "https://", 8) == 0)
		return url[8] != '\0';
	for (unsigned i = 0; i < 3; i++)
		if (strncmp(url, to[i], strlen(to[i])) == 0) {
			rest = url + strlen(to[i]);
			rest += i == 0 ? strspn(rest, "0123456789.") : 0;
			return *rest == '\0' || strchr(":/?#", *rest) != NULL;
		}
	return false;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct cli cli;
	int fd;

	if (size < 1 || size > 65536)
		return 0;
	fd = open(files[data[0] % 2], O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || write(fd, data + 1, size - 1) != (ssize_t)(size - 1))
		abort();
	close(fd);
	memset(&cli, 0, sizeof(cli));
	if (cli_resolve(&cli, false) == CLI_OK && !is_safe(cli.url))
		abort();
	memset(&cli, 0, sizeof(cli));
	cli.json = true;
	if (cli_context_list(&cli) != CLI_OK)
		abort();
	return 0;
}
