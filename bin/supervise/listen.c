/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listen: the public listeners (bound here, so that a restarted plane keeps its
 * port), and what the configuration and the machine must allow before a child
 * is started.
 */
#include "supervisor.h"

#include "doctor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 1024 };

bool
ag_listen_split(const char *text, char *host, size_t host_size, char *port,
    size_t port_size)
{
	const char *colon = strrchr(text, ':');
	size_t host_len;
	char *end;
	long number;

	if (colon == NULL || colon[1] == '\0')
		return false;
	host_len = (size_t)(colon - text);
	if (text[0] == '[') { /* [::1]:8470 */
		if (host_len < 3 || text[host_len - 1] != ']')
			return false;
		text++;
		host_len -= 2;
	} else if (memchr(text, ':', host_len) != NULL) {
		return false;
	}
	number = strtol(colon + 1, &end, 10);
	if (*end != '\0' || number < 0 || number > 65535 || colon[1] == '+' ||
	    colon[1] == '-' || host_len == 0 || host_len >= host_size)
		return false;
	memcpy(host, text, host_len);
	host[host_len] = '\0';
	return snprintf(port, port_size, "%ld", number) < (int)port_size;
}

static bool
is_loopback(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr)
		    >> 24 == 127;
	if (address->sa_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(
		    &((const struct sockaddr_in6 *)address)->sin6_addr);
	return false;
}

static bool
is_prod(const struct supervisor *sup)
{
	const char *word = ag_config_get_str(sup->config, "environment", 0);

	return word != NULL && strcmp(word, "prod") == 0;
}

/* A key of a plane's section. */
static const char *
key_of(const char *plane, const char *key, char path[64])
{
	snprintf(path, 64, "%s.%s", plane, key);
	return path;
}

static bool
has_tls(const struct supervisor *sup, const char *plane)
{
	char path[64];

	return ag_config_get_str(sup->config, key_of(plane,
	    "tls.certificate_file", path), 0) != NULL;
}

/* Does an issuer share its secret with us? */
static bool
has_hs256(const struct supervisor *sup)
{
	unsigned n = ag_config_get_count(sup->config, "auth.issuers");

	for (unsigned i = 0; i < n; i++)
		if (ag_config_get_str(sup->config,
		    "auth.issuers[].hs256_secret_file", i) != NULL)
			return true;
	return false;
}

/* Plain HTTP and what is only for trying things out are for loopback. */
static int
check_exposure(struct supervisor *sup, const char *plane,
    const struct sockaddr *address, const char *text)
{
	char path[64];

	if (is_loopback(address))
		return EXIT_YES;
	if (sup->clock_option != NULL) {
		ag_sup_complain("up", "--unsafe-test-clock: only on loopback, and "
		    "%s is not", text);
		return EXIT_BAD_INPUT;
	}
	if (sup->dev_identity) {
		ag_sup_complain("up", "--unsafe-dev-identity: only on loopback, "
		    "and %s is not", text);
		return EXIT_BAD_INPUT;
	}
	if (has_hs256(sup)) {
		ag_sup_complain("up", "auth.issuers: HS256 only on loopback, and "
		    "%s is not", text);
		return EXIT_BAD_INPUT;
	}
	if (has_tls(sup, plane))
		return EXIT_YES;
	if (is_prod(sup)) {
		ag_sup_complain("up", "%s.listen: plain HTTP on %s; environment "
		    "prod needs %s.tls.certificate_file and key_file", plane, text,
		    plane);
		return EXIT_BAD_INPUT;
	}
	if (ag_config_get_int(sup->config, key_of(plane, "allow_plain", path), 0) == 0) {
		ag_sup_complain("up", "%s.listen: plain HTTP on %s; off loopback "
		    "it needs %s.tls, or %s.allow_plain: true", plane, text, plane,
		    plane);
		return EXIT_BAD_INPUT;
	}
	return EXIT_YES;
}

static int
bind_socket(struct listener *listener, const struct addrinfo *at,
    const char *text)
{
	int one = 1;

	listener->fd = socket(at->ai_family,
	    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener->fd < 0 ||
	    setsockopt(listener->fd, SOL_SOCKET, SO_REUSEADDR, &one,
	        sizeof(one)) != 0 ||
	    bind(listener->fd, at->ai_addr, at->ai_addrlen) != 0 ||
	    listen(listener->fd, BACKLOG) != 0) {
		ag_sup_complain("up", "cannot listen on %s: %s", text,
		    strerror(errno));
		return errno == EADDRINUSE ? EXIT_CONFLICT : EXIT_BAD_INPUT;
	}
	return EXIT_YES;
}

/* The port may have been 0: what it came to. */
static void
name_url(const struct supervisor *sup, struct listener *listener,
    const char *host)
{
	struct sockaddr_storage bound;
	socklen_t len = sizeof(bound);
	char port[8] = "0";
	bool v6 = strchr(host, ':') != NULL;

	if (getsockname(listener->fd, (struct sockaddr *)&bound, &len) == 0)
		getnameinfo((struct sockaddr *)&bound, len, NULL, 0, port,
		    sizeof(port), NI_NUMERICSERV);
	snprintf(listener->url, sizeof(listener->url), "%s://%s%s%s:%s",
	    has_tls(sup, listener->plane) ? "https" : "http", v6 ? "[" : "", host, v6 ? "]" : "",
	    port);
}

/* what: where the text comes from, for complaints. */
static int
open_listener(struct supervisor *sup, const char *plane, const char *text,
    const char *what)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV }, *found = NULL;
	struct listener *listener = &sup->listeners[sup->listener_count];
	char host[256], port[8];
	int status, err;

	if (!ag_listen_split(text, host, sizeof(host), port, sizeof(port))) {
		ag_sup_complain("up", "%s %s: HOST:PORT is wanted, like "
		    "127.0.0.1:8470", what, text);
		return EXIT_BAD_INPUT;
	}
	err = getaddrinfo(host, port, &hints, &found);
	if (err != 0) {
		ag_sup_complain("up", "%s %s: %s", what, text, gai_strerror(err));
		return EXIT_BAD_INPUT;
	}
	listener->plane = plane;
	listener->fd = -1;
	sup->listener_count++;
	status = check_exposure(sup, plane, found->ai_addr, text);
	if (status == EXIT_YES)
		status = bind_socket(listener, found, text);
	freeaddrinfo(found);
	if (status == EXIT_YES)
		name_url(sup, listener, host);
	return status;
}

int
ag_listen_open(struct supervisor *sup)
{
	static const char *const others[] = { "mcp", "agent" };
	const char *text = sup->listen != NULL ? sup->listen :
	    ag_config_get_str(sup->config, "rest.listen", 0);
	char path[64];
	int status = open_listener(sup, "rest", text != NULL ? text :
	    "127.0.0.1:8470", "--listen");

	for (size_t i = 0; status == EXIT_YES &&
	    i < sizeof(others) / sizeof(others[0]); i++) {
		text = ag_config_get_str(sup->config,
		    key_of(others[i], "listen", path), 0);
		if (text != NULL)
			status = open_listener(sup, others[i], text, path);
	}
	return status;
}

void
ag_listen_close(struct supervisor *sup)
{
	for (unsigned i = 0; i < sup->listener_count; i++)
		if (sup->listeners[i].fd >= 0)
			close(sup->listeners[i].fd);
	sup->listener_count = 0;
}

const struct listener *
ag_listener_of(const struct supervisor *sup, const char *plane)
{
	for (unsigned i = 0; i < sup->listener_count; i++)
		if (strcmp(sup->listeners[i].plane, plane) == 0)
			return &sup->listeners[i];
	return NULL;
}

/* ------------------------------------------------- what only `up` can check */

/* The file has been checked as such; this is where it meets the options. */
int
ag_config_check(struct supervisor *sup)
{
	const char *unsafe = sup->clock_option != NULL ? "test-clock" :
	    sup->dev_identity ? "dev-identity" : NULL;

	if (!is_prod(sup) || unsafe == NULL)
		return EXIT_YES;
	ag_sup_complain("up", "--unsafe-%s: not in environment prod", unsafe);
	return EXIT_BAD_INPUT;
}

/* What would stop the fleet anyway is said now, in the words of the doctor. */
int
ag_site_check(struct supervisor *sup)
{
	char dir[STATE_PATH_MAX];
	const struct ag_site site = { .state_dir = dir, .config = sup->config,
		.config_file = sup->config_file, .listen = sup->listen };
	const struct ag_check *check;
	struct rlimit limit;

	if (!ag_state_dir_find(sup->state_option, dir, sizeof(dir))) {
		ag_sup_complain("up", "--state: no usable directory (name one)");
		return EXIT_BAD_INPUT;
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit); /* children inherit it */
	}
	for (unsigned i = 0; (check = ag_check_at(i)) != NULL; i++) {
		struct ag_finding finding = { .grade = AG_UNKNOWN };

		if (!check->at_start)
			continue;
		check->look(&site, &finding);
		if (finding.grade != AG_WRONG)
			continue;
		ag_sup_complain("up", "%s", finding.what);
		if (finding.type[0] != '\0')
			fprintf(stderr, "hint: %s\n", finding.type);
		return finding.exit_status;
	}
	return EXIT_YES;
}
