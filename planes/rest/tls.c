/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS 1.3, and nothing older, when a certificate is configured. The files are
 * read at start, before the jail.
 */
#include "rest.h"

#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>

static ag_err
tls_say(struct rest *rest, const char *key, const char *file)
{
	const char *why = ERR_reason_error_string(ERR_peek_last_error());

	ag_log(rest->ctx, AG_ERROR, "TLS-FILE", "key=%s file=%s why=%s", key, file,
	    why == NULL ? "?" : why);
	return AG_USAGE;
}

ag_err
tls_init(struct rest *rest)
{
	const char *certificate =
	    ag_config_str(rest->ctx, "rest.tls.certificate_file", 0);
	const char *key = ag_config_str(rest->ctx, "rest.tls.key_file", 0);
	const char *ca = ag_config_str(rest->ctx, "rest.tls.client_ca_file", 0);

	if (certificate == NULL || *certificate == '\0')
		return AG_OK;
	if (key == NULL || *key == '\0')
		key = certificate;
	if ((rest->tls = SSL_CTX_new(TLS_server_method())) == NULL)
		return AG_NO_MEMORY;
	SSL_CTX_set_min_proto_version(rest->tls, TLS1_3_VERSION);
	SSL_CTX_set_options(rest->tls, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
	if (SSL_CTX_use_certificate_chain_file(rest->tls, certificate) != 1)
		return tls_say(rest, "rest.tls.certificate_file", certificate);
	if (SSL_CTX_use_PrivateKey_file(rest->tls, key, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_check_private_key(rest->tls) != 1)
		return tls_say(rest, "rest.tls.key_file", key);
	if (ca == NULL || *ca == '\0')
		return AG_OK;
	if (SSL_CTX_load_verify_locations(rest->tls, ca, NULL) != 1)
		return tls_say(rest, "rest.tls.client_ca_file", ca);
	SSL_CTX_set_client_CA_list(rest->tls, SSL_load_client_CA_file(ca));
	SSL_CTX_set_verify(rest->tls,
	    SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	return AG_OK;
}

struct bufferevent *
tls_bufferevent(struct rest *rest, int fd)
{
	SSL *ssl = SSL_new(rest->tls);
	struct bufferevent *bev;

	if (ssl == NULL)
		return NULL;
	bev = bufferevent_openssl_socket_new(rest->base, fd, ssl,
	    BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
	if (bev == NULL) {
		SSL_free(ssl);
		return NULL;
	}
	/* Clients close without close_notify; the framing tells what is whole. */
	bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
	return bev;
}
