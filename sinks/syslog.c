/* SPDX-License-Identifier: Apache-2.0 */
/*
 * syslog: one message of RFC 5424 an event, its text the event as JSON, over
 * UDP (RFC 5426), TCP or TLS with octet counting (RFC 6587 §3.4.1, RFC 5425),
 * or a Unix socket. Syslog has no answers: what was written to a connection
 * that broke is written again to the next, and what UDP loses is lost; who
 * needs every event takes TLS and looks at seq.
 */
#include "encode.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	FACILITY = 13,          /* log audit, RFC 5424 §6.2.1 */
	WARNING = 4, INFO = 6,  /* severities */
	SEND_S = 10,            /* a receiver that takes nothing for so long */
	HOST_MAX = 256,
	HEAD_MAX = 512,
	UDP_MAX = 60000,        /* longer ones do not fit a datagram */
};

enum transport { UDP, TCP, TLS, UNIX };

struct syslog {
	enum transport transport;
	enum encode_format format;
	char host[HOST_MAX];    /* UNIX: the path */
	char port[8];
	char hostname[HOST_MAX]; /* ours */
	int fd;                 /* -1: not connected */
	SSL_CTX *tls;           /* TLS only */
	SSL *ssl;
};

/* ---------------------------------------------------------- configuration */

/* scheme://host:port, scheme://[v6]:port, unix:///path */
static bool
parse_url(struct syslog *s, const char *url)
{
	static const struct {
		const char *scheme;
		enum transport transport;
		const char *port; /* unless it says one */
	} schemes[] = {
		{ "udp://", UDP, "514" }, { "tcp://", TCP, "601" },
		{ "tls://", TLS, "6514" }, { "unix://", UNIX, "" },
	};
	const char *rest = NULL, *colon, *end;
	size_t len;

	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		if (strncmp(url, schemes[i].scheme, strlen(schemes[i].scheme)) != 0)
			continue;
		rest = url + strlen(schemes[i].scheme);
		s->transport = schemes[i].transport;
		snprintf(s->port, sizeof(s->port), "%s", schemes[i].port);
	}
	if (rest == NULL)
		return false;
	end = rest + strlen(rest);
	colon = s->transport == UNIX ? NULL : strrchr(rest, ':');
	if (colon != NULL && (rest[0] != '[' || colon[-1] == ']')) {
		if (strlen(colon + 1) >= sizeof(s->port) || colon[1] == '\0')
			return false;
		strcpy(s->port, colon + 1);
		end = colon;
	}
	if (rest[0] == '[' && end > rest && end[-1] == ']') {
		rest++;
		end--;
	}
	len = (size_t)(end - rest);
	if (len == 0 || len >= sizeof(s->host))
		return false;
	memcpy(s->host, rest, len);
	s->host[len] = '\0';
	return true;
}

static ag_err
open_tls(struct syslog *s, struct feed *feed)
{
	const char *ca = feed_option(feed, "ca_file");
	char path[FEED_PATH_MAX];
	ag_err err = AG_OK;

	if ((s->tls = SSL_CTX_new(TLS_client_method())) == NULL)
		return AG_NO_MEMORY;
	SSL_CTX_set_min_proto_version(s->tls, TLS1_2_VERSION);
	SSL_CTX_set_verify(s->tls, SSL_VERIFY_PEER, NULL);
	if (ca != NULL && (err = feed_path(feed, ca, path)) != AG_OK)
		return err;
	if (ca != NULL ? SSL_CTX_load_verify_locations(s->tls, path, NULL) != 1 :
	    SSL_CTX_set_default_verify_paths(s->tls) != 1)
		return AG_USAGE;
	return AG_OK;
}

static ag_err
syslog_open(void *own, struct feed *feed, struct ag_ctx *ctx)
{
	const char *url = feed_option(feed, "url");
	struct syslog *s = own;

	s->fd = -1;
	s->format = encode_format_of(feed);
	if (gethostname(s->hostname, sizeof(s->hostname) - 1) != 0)
		strcpy(s->hostname, "-");
	if (url == NULL || !parse_url(s, url)) {
		ag_log(ctx, AG_ERROR, "SINK-URL", "url=%s", url == NULL ? "-" : url);
		return AG_USAGE;
	}
	return s->transport == TLS ? open_tls(s, feed) : AG_OK;
}

/* -------------------------------------------------------------- connecting */

static void
hang_up(struct syslog *s)
{
	if (s->ssl != NULL)
		SSL_free(s->ssl);
	s->ssl = NULL;
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

/* Sends that block longer than SEND_S fail; so does connecting. */
static int
socket_of(int family, int type)
{
	const struct timeval tv = { .tv_sec = SEND_S };
	int fd = socket(family, type | SOCK_CLOEXEC, 0);

	if (fd >= 0 &&
	    (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) != 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) != 0)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static ag_err
call_unix(struct syslog *s, struct feed_batch *batch)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };

	if (strlen(s->host) >= sizeof(to.sun_path))
		return feed_fail(batch, AG_USAGE, "too long a path");
	strcpy(to.sun_path, s->host);
	s->fd = socket_of(AF_UNIX, SOCK_DGRAM);
	if (s->fd >= 0 && connect(s->fd, (struct sockaddr *)&to,
	        sizeof(to)) == 0)
		return AG_OK;
	return feed_fail(batch, AG_UNAVAILABLE, "connect: %s", strerror(errno));
}

static ag_err
call_host(struct syslog *s, struct feed_batch *batch)
{
	struct addrinfo want = { .ai_socktype = s->transport == UDP ?
	    SOCK_DGRAM : SOCK_STREAM }, *found = NULL;
	int rc = getaddrinfo(s->host, s->port, &want, &found);

	if (rc != 0)
		return feed_fail(batch, AG_UNAVAILABLE, "%s: %s", s->host,
		    gai_strerror(rc));
	for (struct addrinfo *a = found; a != NULL && s->fd < 0; a = a->ai_next) {
		s->fd = socket_of(a->ai_family, a->ai_socktype);
		if (s->fd >= 0 && connect(s->fd, a->ai_addr, a->ai_addrlen) != 0) {
			rc = errno;
			close(s->fd);
			s->fd = -1;
		}
	}
	freeaddrinfo(found);
	return s->fd >= 0 ? AG_OK : feed_fail(batch, AG_UNAVAILABLE,
	    "connect: %s", strerror(rc));
}

static ag_err
shake_hands(struct syslog *s, struct feed_batch *batch)
{
	char why[96] = "closed";

	ERR_clear_error();
	s->ssl = SSL_new(s->tls);
	if (s->ssl != NULL && SSL_set_fd(s->ssl, s->fd) == 1 &&
	    SSL_set_tlsext_host_name(s->ssl, s->host) == 1 &&
	    (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(s->ssl), s->host) == 1 ||
	    SSL_set1_host(s->ssl, s->host) == 1) && SSL_connect(s->ssl) == 1)
		return AG_OK;
	if (ERR_peek_error() != 0)
		ERR_error_string_n(ERR_peek_error(), why, sizeof(why));
	return feed_fail(batch, AG_UNAVAILABLE, "TLS: %s", why);
}

static ag_err
call(struct syslog *s, struct feed_batch *batch)
{
	ag_err err = s->transport == UNIX ? call_unix(s, batch) :
	    call_host(s, batch);

	if (err == AG_OK && s->transport == TLS)
		err = shake_hands(s, batch);
	if (err != AG_OK)
		hang_up(s);
	return err;
}

/* ----------------------------------------------------------------- sending */

/* A stream that the receiver closed takes one more write without an error. */
static bool
is_gone(const struct syslog *s)
{
	struct pollfd in = { .fd = s->fd, .events = POLLIN | POLLRDHUP };
	char c;

	if (s->transport == UDP || s->transport == UNIX)
		return false;
	return poll(&in, 1, 0) > 0 && ((in.revents & (POLLRDHUP | POLLHUP |
	    POLLERR)) != 0 || recv(s->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) == 0);
}

static ag_err
say(struct syslog *s, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = s->ssl != NULL ?
		    SSL_write(s->ssl, bytes, (int)len) :
		    send(s->fd, bytes, len, MSG_NOSIGNAL);

		if (n <= 0 && s->ssl == NULL && errno == EINTR)
			continue;
		if (n <= 0)
			return AG_UNAVAILABLE;
		if (s->transport == UDP || s->transport == UNIX)
			return AG_OK;
		bytes += n;
		len -= (size_t)n;
	}
	return AG_OK;
}

/* A name of RFC 5424's structured data holds none of these. */
static void
put_value(char *out, size_t size, const char *text)
{
	size_t n = 0;

	for (; text != NULL && *text != '\0' && n + 2 < size; text++) {
		if (*text == '"' || *text == '\\' || *text == ']')
			out[n++] = '\\';
		out[n++] = *text;
	}
	out[n] = '\0';
}

/* <pri>1 time host aegis - msgid [aegis@32473 …] json. 32473 is the number that
 * RFC 5612 sets aside for those who have none. */
static ag_err
message_of(const struct syslog *s, const struct encoded *e, char **out,
    size_t *len)
{
	const Ag__Event *event = e->event;
	bool well = event->outcome == AG__OUTCOME_KIND__V__allowed &&
	    event->event_type == AG__EVENT_TYPE__V__request;
	char at[AG_TIME_TEXT], tenant[160], head[HEAD_MAX], count[24];
	int n, m;

	ag_time_text(event->occurred_at, at);
	put_value(tenant, sizeof(tenant), event->tenant);
	n = snprintf(head, sizeof(head), "<%d>1 %s %s aegis - %.32s "
	    "[aegis@32473 event_id=\"%s\" tenant=\"%s\" seq=\"%llu\"] ",
	    FACILITY * 8 + (well ? INFO : WARNING), at, s->hostname,
	    event->operation, event->event_id, tenant,
	    (unsigned long long)event->seq);
	if (n < 0 || (size_t)n >= sizeof(head))
		return AG_BAD_MESSAGE;
	m = s->transport == TCP || s->transport == TLS ?
	    snprintf(count, sizeof(count), "%zu ", (size_t)n + e->len) : 0;
	*len = (size_t)m + (size_t)n + e->len;
	if ((*out = malloc(*len + 1)) == NULL)
		return AG_NO_MEMORY;
	memcpy(*out, count, (size_t)m);
	memcpy(*out + m, head, (size_t)n);
	memcpy(*out + m + n, e->bytes, e->len);
	return AG_OK;
}

static ag_err
send_one(struct syslog *s, struct feed_batch *batch,
    const struct feed_item *item)
{
	struct encoded e;
	char *message = NULL;
	size_t len = 0;
	ag_err err = encode_item(s->format, item, &e);

	if (err == AG_OK)
		err = message_of(s, &e, &message, &len);
	if (err == AG_OK && s->transport == UDP && len > UDP_MAX)
		err = feed_fail(batch, AG_BAD_MESSAGE, "longer than a datagram");
	else if (err == AG_OK && (err = say(s, message, len)) != AG_OK)
		(void)feed_fail(batch, err, "send: %s", strerror(errno));
	encoded_free(&e);
	free(message);
	return err;
}

static ag_err
syslog_deliver(void *own, struct feed_batch *batch)
{
	struct syslog *s = own;
	ag_err err = AG_OK;

	if (s->fd >= 0 && is_gone(s))
		hang_up(s);
	if (s->fd < 0 && (err = call(s, batch)) != AG_OK)
		return err;
	for (size_t i = 0; err == AG_OK && i < batch->count; i++)
		if ((err = send_one(s, batch, &batch->items[i])) == AG_BAD_MESSAGE)
			batch->done = i;
	/* Of a stream that broke nobody knows how far it got: the whole batch
	 * again. */
	if (err == AG_OK && batch->count > 0 && is_gone(s))
		err = feed_fail(batch, AG_UNAVAILABLE, "closed by the receiver");
	if (err != AG_OK && err != AG_BAD_MESSAGE)
		hang_up(s);
	return err;
}

static void
syslog_close(void *own)
{
	struct syslog *s = own;

	if (s->ssl != NULL)
		(void)SSL_shutdown(s->ssl);
	hang_up(s);
	SSL_CTX_free(s->tls);
}

static const struct feed_sink sink = {
	.own_size = sizeof(struct syslog),
	.batch_max = 256,
	.open = syslog_open,
	.deliver = syslog_deliver,
	.close = syslog_close,
};

FEED_ACTOR(syslog, sink);
