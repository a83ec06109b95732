/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS 1.3, and nothing older, when a certificate is configured. Its files are
 * looked at every second: new ones are taken for the connections that come,
 * those that are there keep what they have. Files that are no good, or are
 * only half replaced, change nothing and are said once.
 */
#include "plane.h"

#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>
#include <string.h>
#include <sys/stat.h>

enum { LOOK_MS = 1000 };

struct files {
	const char *certificate, *key, *client_ca; /* client_ca: NULL, none */
};

static struct files
files_of(struct plane *plane)
{
	struct files files = {
		plane_config_str(plane, "tls.certificate_file"),
		plane_config_str(plane, "tls.key_file"),
		plane_config_str(plane, "tls.client_ca_file"),
	};

	if (files.key == NULL || *files.key == '\0')
		files.key = files.certificate;
	if (files.client_ca != NULL && *files.client_ca == '\0')
		files.client_ca = NULL;
	return files;
}

static ag_err
tls_say(struct plane *plane, const char *event, const char *key, const char *file)
{
	const char *why = ERR_reason_error_string(ERR_peek_last_error());

	ag_log(plane->ctx, AG_ERROR, event, "key=%s.%s file=%s why=\"%s\"",
	    plane->protocol->name, key, file, why == NULL ? "?" : why);
	ERR_clear_error();
	return AG_USAGE;
}

/* A certificate that is over would lock everybody out. */
static ag_err
in_time(struct plane *plane, const char *event, SSL_CTX *tls, const char *file)
{
	const X509 *certificate = SSL_CTX_get0_certificate(tls);

	if (X509_cmp_current_time(X509_get0_notAfter(certificate)) > 0)
		return AG_OK;
	ag_log(plane->ctx, AG_ERROR, event,
	    "key=%s.tls.certificate_file file=%s why=\"it has ended\"",
	    plane->protocol->name, file);
	return AG_USAGE;
}

static ag_err
load(struct plane *plane, const char *event, const struct files *files,
    SSL_CTX *tls)
{
	SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION);
	SSL_CTX_set_options(tls, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
	if (SSL_CTX_use_certificate_chain_file(tls, files->certificate) != 1)
		return tls_say(plane, event, "tls.certificate_file",
		    files->certificate);
	if (SSL_CTX_use_PrivateKey_file(tls, files->key, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_check_private_key(tls) != 1)
		return tls_say(plane, event, "tls.key_file", files->key);
	if (files->client_ca == NULL)
		return in_time(plane, event, tls, files->certificate);
	if (SSL_CTX_load_verify_locations(tls, files->client_ca, NULL) != 1)
		return tls_say(plane, event, "tls.client_ca_file",
		    files->client_ca);
	SSL_CTX_set_client_CA_list(tls, SSL_load_client_CA_file(files->client_ca));
	SSL_CTX_set_verify(tls, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
	    NULL);
	return in_time(plane, event, tls, files->certificate);
}

/* The context in use is replaced only by one that is whole. Connections hold
 * a reference to theirs. */
static ag_err
take(struct plane *plane, const char *event)
{
	const struct files files = files_of(plane);
	SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
	ag_err err = tls == NULL ? AG_NO_MEMORY : load(plane, event, &files, tls);

	if (err != AG_OK) {
		SSL_CTX_free(tls);
		return err;
	}
	SSL_CTX_free(plane->tls);
	plane->tls = tls;
	return AG_OK;
}

/* Which files these are, and as of when: another one, another number. */
static uint64_t
stamp_of(struct plane *plane)
{
	const struct files files = files_of(plane);
	const char *const names[] = { files.certificate, files.key, files.client_ca };
	uint64_t stamp = 0xcbf29ce484222325u; /* FNV-1a, of 64-bit words */
	struct stat st;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		uint64_t words[5] = { 0 };

		if (names[i] != NULL && stat(names[i], &st) == 0) {
			words[0] = st.st_ino;
			words[1] = (uint64_t)st.st_size;
			words[2] = (uint64_t)st.st_mtim.tv_sec;
			words[3] = (uint64_t)st.st_mtim.tv_nsec;
			words[4] = st.st_dev;
		}
		for (size_t j = 0; j < sizeof(words) / sizeof(words[0]); j++)
			stamp = (stamp ^ words[j]) * 0x100000001b3u;
	}
	return stamp;
}

/* Files that still change are left alone until they rest for one look, so
 * that a certificate is not read before its key is there. */
static void
on_look(void *state, struct ag_ctx *ctx)
{
	struct plane *plane = state;
	uint64_t stamp = stamp_of(plane), last = plane->tls_seen;

	plane->tls_seen = stamp;
	if (stamp == plane->tls_tried || stamp != last)
		return;
	plane->tls_tried = stamp;
	if (take(plane, "TLS-KEPT") != AG_OK) {
		ag_metric_add(ctx, PM_TLS_KEPT, 1);
		return;
	}
	ag_metric_add(ctx, PM_TLS_RELOADS, 1);
	ag_log(ctx, AG_INFO, "TLS-RELOADED", "file=%s",
	    files_of(plane).certificate);
}

ag_err
tls_init(struct plane *plane)
{
	const char *certificate =
	    plane_config_str(plane, "tls.certificate_file");
	ag_err err;

	if (certificate == NULL || *certificate == '\0')
		return AG_OK;
	plane->tls_seen = plane->tls_tried = stamp_of(plane);
	if ((err = take(plane, "TLS-FILE")) != AG_OK)
		return err;
	return ag_every(plane->ctx, LOOK_MS, on_look);
}

struct bufferevent *
tls_bufferevent(struct plane *plane, int fd)
{
	SSL *ssl = SSL_new(plane->tls);
	struct bufferevent *bev;

	if (ssl == NULL)
		return NULL;
	bev = bufferevent_openssl_socket_new(plane->base, fd, ssl,
	    BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
	if (bev == NULL) {
		SSL_free(ssl);
		return NULL;
	}
	/* Clients close without close_notify; the framing tells what is whole. */
	bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
	return bev;
}
