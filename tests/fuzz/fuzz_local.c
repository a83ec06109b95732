/* SPDX-License-Identifier: Apache-2.0 */
/*
 * actors.d/NAME.yaml. What is taken names an absolute program and a role;
 * what is refused says where.
 */
#include "supervisor.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char path[] = "/tmp/aegis-fuzz-local-XXXXXX";

static void
clean(void)
{
	unlink(path);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	int fd = mkstemp(path);

	(void)argc;
	(void)argv;
	if (fd < 0)
		abort();
	close(fd);
	atexit(clean);
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct local_actor actor;
	char message[512] = "";
	int fd;

	if (size > 65536)
		return 0;
	fd = open(path, O_WRONLY | O_TRUNC);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	close(fd);
	if (ag_local_read(path, "mine", &actor, message, sizeof(message)) !=
	    AG_OK) {
		if (message[0] == '\0' || actor.program != NULL)
			abort();
		return 0;
	}
	if (actor.program == NULL || actor.program[0] != '/' ||
	    actor.role[0] == '\0' || strcmp(actor.name, "mine") != 0 ||
	    (actor.args != NULL && actor.args[actor.arg_count] != NULL))
		abort();
	ag_local_free(&actor);
	return 0;
}
