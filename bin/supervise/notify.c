/* SPDX-License-Identifier: Apache-2.0 */
/*
 * notify: tells a service manager that the fleet is ready, or ends. The
 * protocol is one datagram to $NOTIFY_SOCKET, and stable (sd_notify(3), "Notes");
 * libsystemd would bring five libraries for it.
 */
#include "supervisor.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void
ag_notify(const char *words)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	size_t len = path == NULL ? 0 : strlen(path);
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	int fd;

	if (len == 0)
		return;
	if (len >= sizeof(to.sun_path) || (path[0] != '/' && path[0] != '@')) {
		ag_log_plain(AG_WARN, "NOTIFY", "NOTIFY_SOCKET=%s is no address",
		    path);
		return;
	}
	memcpy(to.sun_path, path, len);
	if (path[0] == '@') /* an abstract name */
		to.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || sendto(fd, words, strlen(words), MSG_NOSIGNAL,
	        (const struct sockaddr *)&to, size) < 0)
		ag_log_plain(AG_WARN, "NOTIFY", "socket=%s error=%s", path,
		    strerror(errno));
	if (fd >= 0)
		close(fd);
}
