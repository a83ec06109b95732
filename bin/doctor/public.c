/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The listener, and the certificate that it shows.
 */
#include "doctor.h"

#include <errno.h>
#include <netdb.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EXIT_INPUT = 2, EXIT_TAKEN = 6 };

enum { SOON_DAYS = 30 };

static const char *
configured(const struct ag_site *site, const char *key)
{
	const char *value = site->config == NULL ? NULL :
	    ag_config_get_str(site->config, key, 0);

	return value != NULL && value[0] != '\0' ? value : NULL;
}

/* --------------------------------------------------------------- the port */

/* "host:port" or "[v6]:port"; false: neither. */
static bool
split(const char *listen, char host[256], char port[8])
{
	const char *colon = strrchr(listen, ':');
	size_t len = colon == NULL ? 0 : (size_t)(colon - listen);

	if (len > 2 && listen[0] == '[' && listen[len - 1] == ']') {
		listen++;
		len -= 2;
	}
	if (colon == NULL || len == 0 || len >= 256 || strlen(colon + 1) >= 8)
		return false;
	(void)snprintf(host, 256, "%.*s", (int)len, listen);
	(void)snprintf(port, 8, "%s", colon + 1);
	return true;
}

static const char *
listen_of(const struct ag_site *site)
{
	const char *text = site->listen != NULL ? site->listen :
	    configured(site, "rest.listen");

	return text == NULL ? "127.0.0.1:8470" : text;
}

/* Binds as a fleet would, for a moment. errno of it, 0: free. */
static int
try_bind(const struct addrinfo *at)
{
	int one = 1, error = 0;
	int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, at->ai_addr, at->ai_addrlen) != 0 || listen(fd, 1) != 0)
		error = errno;
	(void)close(fd);
	return error;
}

void
ag_look_port(const struct ag_site *site, struct ag_finding *finding)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV }, *found = NULL;
	const char *text = listen_of(site);
	char host[256], port[8];
	int error;

	if (site->status != NULL) {
		ag_find(finding, AG_FINE, "the fleet listens on %s",
		    json_string_value(json_object_get(site->status, "rest")));
		return;
	}
	if (!split(text, host, port)) {
		ag_find_wrong(finding, EXIT_INPUT, "%s: HOST:PORT is wanted, like "
		    "127.0.0.1:8470", text);
		return;
	}
	if ((error = getaddrinfo(host, port, &hints, &found)) != 0) {
		ag_find_wrong(finding, EXIT_INPUT, "%s: %s", text, gai_strerror(error));
		ag_find_type(finding, "aegis up --listen 127.0.0.1:8470");
		return;
	}
	error = try_bind(found);
	freeaddrinfo(found);
	if (error == 0) {
		ag_find(finding, AG_FINE, "%s is free", text);
		return;
	}
	ag_find_wrong(finding, error == EADDRINUSE ? EXIT_TAKEN : EXIT_INPUT,
	    "cannot listen on %s: %s", text, strerror(error));
	ag_find_type(finding, error == EADDRINUSE ?
	    "ss -ltnp 'sport = :%s' says who does; or aegis up --listen HOST:PORT" :
	    "aegis up --listen HOST:PORT", port);
}

/* -------------------------------------------------------- the certificate */

static X509 *
read_certificate(const char *file)
{
	FILE *f = fopen(file, "re");
	X509 *certificate;

	if (f == NULL)
		return NULL;
	errno = 0;
	certificate = PEM_read_X509(f, NULL, NULL, NULL);
	(void)fclose(f);
	return certificate;
}

static void
no_certificate(const char *file, struct ag_finding *finding)
{
	if (access(file, R_OK) != 0)
		ag_find_wrong(finding, EXIT_INPUT, "rest.tls.certificate_file: %s: %s",
		    file, strerror(errno));
	else
		ag_find_wrong(finding, EXIT_INPUT, "rest.tls.certificate_file: %s: "
		    "there is no PEM certificate in it", file);
	ag_find_type(finding, "aegis tls init --name HOST --out DIR");
}

/* Whole days from now; negative: over. */
static bool
days_until(const ASN1_TIME *time, int *days)
{
	int seconds;

	if (ASN1_TIME_diff(days, &seconds, NULL, time) != 1)
		return false;
	if (seconds < 0 && *days == 0)
		*days = -1;
	return true;
}

/* A host that clients are told, so that the certificate must be for it. */
static bool
is_named(const char *host)
{
	static const char *const any[] = { "0.0.0.0", "::", "*" };

	for (size_t i = 0; i < sizeof(any) / sizeof(any[0]); i++)
		if (strcmp(host, any[i]) == 0)
			return false;
	return true;
}

static void
look_name(const struct ag_site *site, X509 *certificate, int days,
    struct ag_finding *finding)
{
	char host[256], port[8];

	ag_find(finding, AG_FINE, "ends in %d days", days);
	if (!split(listen_of(site), host, port) || !is_named(host))
		return;
	if (X509_check_host(certificate, host, 0, 0, NULL) == 1 ||
	    X509_check_ip_asc(certificate, host, 0) == 1) {
		ag_find(finding, AG_FINE, "for %s, ends in %d days", host, days);
		return;
	}
	ag_find(finding, AG_ODD, "is not for %s, where the fleet listens: clients "
	    "that ask for that name refuse it", host);
	ag_find_type(finding, "aegis tls init --name %s --name … --out DIR", host);
}

void
ag_look_certificate(const struct ag_site *site, struct ag_finding *finding)
{
	const char *file = configured(site, "rest.tls.certificate_file");
	X509 *certificate;
	int from = 0, until = 0;

	if (file == NULL) {
		ag_find(finding, AG_UNKNOWN, "none: plain HTTP, for loopback only");
		return;
	}
	if ((certificate = read_certificate(file)) == NULL) {
		no_certificate(file, finding);
		return;
	}
	if (!days_until(X509_get0_notBefore(certificate), &from) ||
	    !days_until(X509_get0_notAfter(certificate), &until))
		ag_find_wrong(finding, EXIT_INPUT, "%s: its times cannot be read", file);
	else if (until < 0)
		ag_find_wrong(finding, EXIT_INPUT, "%s: ended %d days ago", file,
		    -until);
	else if (from > 0)
		ag_find_wrong(finding, EXIT_INPUT, "%s: begins in %d days", file, from);
	else if (until < SOON_DAYS)
		ag_find(finding, AG_ODD, "%s: ends in %d days", file, until);
	else
		look_name(site, certificate, until, finding);
	if (finding->type[0] == '\0' && finding->grade > AG_FINE)
		ag_find_type(finding, "put a new one there (aegis tls init); a running "
		    "fleet takes it by itself");
	X509_free(certificate);
}

static bool
is_for(const char *certificate_file, const char *key_file)
{
	X509 *certificate = read_certificate(certificate_file);
	FILE *f = fopen(key_file, "re");
	EVP_PKEY *key = f == NULL ? NULL : PEM_read_PrivateKey(f, NULL, NULL,
	    (void *)"");
	bool same = certificate != NULL && key != NULL &&
	    X509_check_private_key(certificate, key) == 1;

	if (f != NULL)
		(void)fclose(f);
	EVP_PKEY_free(key);
	X509_free(certificate);
	return same;
}

void
ag_look_certificate_key(const struct ag_site *site, struct ag_finding *finding)
{
	const char *certificate = configured(site, "rest.tls.certificate_file");
	const char *key = configured(site, "rest.tls.key_file");
	struct stat st;

	if (certificate == NULL) {
		ag_find(finding, AG_UNKNOWN, "none");
		return;
	}
	if (key == NULL)
		key = certificate;
	if (stat(key, &st) != 0) {
		ag_find_wrong(finding, EXIT_INPUT, "rest.tls.key_file: %s: %s", key,
		    strerror(errno));
		ag_find_type(finding, "aegis tls init --name HOST --out DIR");
	} else if ((st.st_mode & 077) != 0) {
		ag_find(finding, AG_ODD, "rest.tls.key_file: %s: mode %04o: others may "
		    "read it", key, st.st_mode & 07777);
		ag_find_type(finding, "chmod 600 %s", key);
	} else {
		ag_find(finding, AG_FINE, "%s: %04o, and it fits", key,
		    st.st_mode & 07777);
	}
	if (finding->grade != AG_WRONG && !is_for(certificate, key)) {
		ag_find_wrong(finding, EXIT_INPUT, "rest.tls.key_file: %s: is not the "
		    "key of %s", key, certificate);
		ag_find_type(finding, "aegis tls init --name HOST --out DIR");
	}
}
