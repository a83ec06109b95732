/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aegis tls init: an authority of one's own, and a certificate by it. The
 * authority's key is used here and never again until the next certificate, so
 * it lies apart. Run again with the same directory it makes a new certificate
 * by the same authority, which a running fleet takes by itself.
 */
#include "cli.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	SERVER_DAYS = 397,  /* what clients accept at most */
	CA_DAYS = 3650,
	EARLY_S = 3600,     /* clocks that are a little behind */
	SERIAL_BYTES = 16,
	NAMES_MAX = 64,
	HOST_MAX = 253,     /* RFC 1035 §2.3.4, as text */
	NAMES_TEXT = NAMES_MAX * (HOST_MAX + 8),
};

static const struct cli_option init_options[] = {
	{ "--name", "HOST", CLI_WORDS, NULL, true, "what clients will call it: a name or an address", NULL },
	{ "--out", "DIR", CLI_LOCAL, NULL, false, "where the files go; ./tls unless given", NULL },
	{ 0 },
};

struct paths {
	char dir[PATH_MAX], ca_dir[PATH_MAX];
	char ca[PATH_MAX], ca_key[PATH_MAX];
	char certificate[PATH_MAX], key[PATH_MAX];
};

struct pair {
	X509 *certificate;
	EVP_PKEY *key;
	bool found; /* it was there already */
};

static enum cli_exit
tls_fault(const char *what)
{
	const char *why = ERR_reason_error_string(ERR_peek_last_error());

	return cli_fail(CLI_FAULT, "%s: %s", what, why == NULL ? "failed" : why);
}

/* -------------------------------------------------------------------- names */

static bool
is_address(const char *name)
{
	unsigned char bytes[16];

	return inet_pton(AF_INET, name, bytes) == 1 ||
	    inet_pton(AF_INET6, name, bytes) == 1;
}

/* Labels of letters, digits and inner hyphens (RFC 1123 §2.1); a first label
 * may be a star. */
static bool
is_host(const char *name)
{
	const char *label = name, *p;
	size_t len;

	if (strlen(name) > HOST_MAX)
		return false;
	if (strncmp(name, "*.", 2) == 0)
		label += 2;
	for (;; label += len + 1) {
		len = strcspn(label, ".");
		if (len == 0 || len > 63 || label[0] == '-' || label[len - 1] == '-')
			return false;
		for (p = label; p < label + len; p++)
			if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
			        (*p >= '0' && *p <= '9') || *p == '-'))
				return false;
		if (label[len] == '\0')
			return true;
	}
}

/* DNS:a.example,IP:127.0.0.1 */
static enum cli_exit
alternative_names(const struct cli_value *names, char *text, size_t size)
{
	size_t used = 0;

	if (names->count > NAMES_MAX)
		return cli_fail(CLI_USAGE, "--name: at most %d", NAMES_MAX);
	for (unsigned i = 0; i < names->count; i++) {
		bool address = is_address(names->at[i]);

		if (!address && !is_host(names->at[i]))
			return cli_fail(CLI_USAGE, "--name %s: neither a host's name nor "
			    "an address", names->at[i]);
		used += (size_t)snprintf(text + used, size - used, "%s%s:%s",
		    i == 0 ? "" : ",", address ? "IP" : "DNS", names->at[i]);
	}
	return CLI_OK;
}

/* ------------------------------------------------------------- certificates */

static bool
extend(X509 *certificate, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *extension;
	bool ok;

	X509V3_set_ctx_nodb(&context);
	X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	ok = extension != NULL && X509_add_ext(certificate, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return ok;
}

static bool
number(X509 *certificate)
{
	unsigned char bytes[SERIAL_BYTES];
	BIGNUM *n;
	bool ok;

	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		return false;
	bytes[0] &= 0x7f; /* positive, RFC 5280 §4.1.2.2 */
	n = BN_bin2bn(bytes, sizeof(bytes), NULL);
	ok = n != NULL && BN_to_ASN1_INTEGER(n,
	    X509_get_serialNumber(certificate)) != NULL;
	BN_free(n);
	return ok;
}

/* Subject, times, key, number; not yet signed. */
static X509 *
draft(const char *name, EVP_PKEY *key, int days)
{
	X509 *certificate = X509_new();
	X509_NAME *subject;

	if (certificate == NULL)
		return NULL;
	subject = X509_get_subject_name(certificate);
	if (X509_set_version(certificate, X509_VERSION_3) == 1 &&
	    number(certificate) &&
	    X509_gmtime_adj(X509_getm_notBefore(certificate), -EARLY_S) != NULL &&
	    X509_gmtime_adj(X509_getm_notAfter(certificate),
	        days * 86400L - EARLY_S) != NULL &&
	    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
	        (const unsigned char *)name, -1, -1, 0) == 1 &&
	    X509_set_pubkey(certificate, key) == 1)
		return certificate;
	X509_free(certificate);
	return NULL;
}

static bool
make_ca(struct pair *ca)
{
	ca->key = EVP_EC_gen("P-256");
	if (ca->key == NULL ||
	    (ca->certificate = draft("Aegis private CA", ca->key, CA_DAYS)) == NULL)
		return false;
	return X509_set_issuer_name(ca->certificate,
	        X509_get_subject_name(ca->certificate)) == 1 &&
	    extend(ca->certificate, ca->certificate, NID_basic_constraints,
	        "critical,CA:TRUE,pathlen:0") &&
	    extend(ca->certificate, ca->certificate, NID_key_usage,
	        "critical,keyCertSign,cRLSign") &&
	    extend(ca->certificate, ca->certificate, NID_subject_key_identifier,
	        "hash") &&
	    X509_sign(ca->certificate, ca->key, EVP_sha256()) > 0;
}

static bool
make_server(struct pair *server, const struct pair *ca, const char *first,
    const char *names)
{
	char common[65]; /* ub-common-name is 64 */

	(void)snprintf(common, sizeof(common), "%s", first);
	server->key = EVP_EC_gen("P-256");
	if (server->key == NULL ||
	    (server->certificate = draft(common, server->key, SERVER_DAYS)) == NULL)
		return false;
	return X509_set_issuer_name(server->certificate,
	        X509_get_subject_name(ca->certificate)) == 1 &&
	    extend(server->certificate, ca->certificate, NID_basic_constraints,
	        "critical,CA:FALSE") &&
	    extend(server->certificate, ca->certificate, NID_key_usage,
	        "critical,digitalSignature") &&
	    extend(server->certificate, ca->certificate, NID_ext_key_usage,
	        "serverAuth") &&
	    extend(server->certificate, ca->certificate, NID_subject_key_identifier,
	        "hash") &&
	    extend(server->certificate, ca->certificate,
	        NID_authority_key_identifier, "keyid:always") &&
	    extend(server->certificate, ca->certificate, NID_subject_alt_name,
	        names) &&
	    X509_sign(server->certificate, ca->key, EVP_sha256()) > 0;
}

/* -------------------------------------------------------------------- files */

static enum cli_exit
make_dir(const char *path)
{
	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		return CLI_OK;
	return cli_fail(CLI_USAGE, "%s: %s", path, strerror(errno));
}

static enum cli_exit
find_paths(const char *out, struct paths *p)
{
	enum cli_exit status = make_dir(out);

	if (status != CLI_OK)
		return status;
	if (realpath(out, p->dir) == NULL || strlen(p->dir) > PATH_MAX - 32)
		return cli_fail(CLI_USAGE, "%s: %s", out, strerror(errno));
#define PLACE(member, leaf) \
	(void)snprintf(p->member, sizeof(p->member), "%.*s" leaf, \
	    PATH_MAX - 32, p->dir)
	PLACE(ca_dir, "/ca");
	PLACE(ca_key, "/ca/ca.key");
	PLACE(ca, "/ca.pem");
	PLACE(certificate, "/server.pem");
	PLACE(key, "/server.key");
#undef PLACE
	return make_dir(p->ca_dir);
}

/* Whole or not at all: written beside, synced, renamed. */
static enum cli_exit
put(const char *file, bool secret, const struct pair *pair, X509 *also)
{
	char part[PATH_MAX + 8];
	bool ok;
	FILE *f;
	int fd;

	(void)snprintf(part, sizeof(part), "%s.new", file);
	(void)unlink(part);
	fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
	    secret ? 0600 : 0644);
	f = fd < 0 ? NULL : fdopen(fd, "w");
	if (f == NULL)
		return cli_fail(CLI_USAGE, "%s: %s", part, strerror(errno));
	ok = secret ? PEM_write_PrivateKey(f, pair->key, NULL, NULL, 0, NULL,
	    NULL) == 1 : PEM_write_X509(f, pair->certificate) == 1 &&
	    (also == NULL || PEM_write_X509(f, also) == 1);
	ok = fflush(f) == 0 && fsync(fd) == 0 && ok;
	ok = fclose(f) == 0 && ok;
	if (ok && rename(part, file) == 0)
		return CLI_OK;
	(void)unlink(part);
	return cli_fail(CLI_FAULT, "%s: cannot be written", file);
}

/* The authority that was made here before, if both of its files are there. */
static enum cli_exit
find_ca(const struct paths *p, struct pair *ca)
{
	FILE *certificate = fopen(p->ca, "re"), *key = fopen(p->ca_key, "re");
	enum cli_exit status = CLI_OK;

	if (certificate != NULL)
		ca->certificate = PEM_read_X509(certificate, NULL, NULL, NULL);
	if (key != NULL)
		ca->key = PEM_read_PrivateKey(key, NULL, NULL, (void *)"");
	ca->found = certificate != NULL && key != NULL;
	if (certificate != NULL && key == NULL)
		status = cli_fail(CLI_CONFLICT, "%s: is there, and its key %s is not\n"
		    "hint: put the key back, or name another --out", p->ca, p->ca_key);
	else if (ca->found && (ca->certificate == NULL || ca->key == NULL ||
	             X509_check_private_key(ca->certificate, ca->key) != 1))
		status = cli_fail(CLI_CONFLICT, "%s and %s: not an authority and its "
		    "key\nhint: name another --out", p->ca, p->ca_key);
	if (certificate != NULL)
		(void)fclose(certificate);
	if (key != NULL)
		(void)fclose(key);
	return status;
}

static enum cli_exit
write_all(const struct paths *p, const struct pair *ca, const struct pair *server)
{
	enum cli_exit status = CLI_OK;

	if (!ca->found && (status = put(p->ca_key, true, ca, NULL)) == CLI_OK)
		status = put(p->ca, false, ca, NULL);
	/* The key first: a fleet that looks in between finds that they do not fit,
	 * and looks again. */
	if (status == CLI_OK)
		status = put(p->key, true, server, NULL);
	return status == CLI_OK ? put(p->certificate, false, server,
	                              ca->certificate) : status;
}

/* ----------------------------------------------------------------- the verb */

static void
say(const struct cli *cli, const struct paths *p, const struct pair *ca,
    const char *names, const char *first)
{
	json_t *answer = json_pack("{s:s, s:s, s:s, s:s, s:s, s:b}", "ca_file", p->ca,
	    "ca_key_file", p->ca_key, "certificate_file", p->certificate, "key_file",
	    p->key, "names", names, "ca_was_there", ca->found);
	bool v6 = strchr(first, ':') != NULL;

	if (cli->json)
		cli_json_line(answer);
	json_decref(answer);
	if (cli->json || cli->quiet)
		return;
	cli_say("authority    %s%s", p->ca, ca->found ? " (was there)" : "");
	cli_say("its key      %s", p->ca_key);
	cli_say("             only the next certificate needs it: keep it elsewhere");
	cli_say("certificate  %s", p->certificate);
	cli_say("             for %s, %d days", names, SERVER_DAYS);
	cli_say("key          %s", p->key);
	puts("\nIn the fleet's configuration:\n");
	cli_say("    rest:");
	cli_say("      tls:");
	cli_say("        certificate_file: %s", p->certificate);
	cli_say("        key_file: %s", p->key);
	puts("\nA fleet that has it takes a new certificate by itself. Clients:\n");
	cli_say("    aegis login --server https://%s%s%s:8470 --ca-file %s "
	        "--token-file FILE", v6 ? "[" : "", first, v6 ? "]" : "", p->ca);
}

static enum cli_exit
tls_init(struct cli *cli)
{
	const struct cli_value *wanted = cli_get_all(cli, "--name");
	const char *out = cli_get(cli, "--out");
	static char names[NAMES_TEXT];
	struct pair ca = { 0 }, server = { 0 };
	static struct paths paths;
	enum cli_exit status;

	if ((status = alternative_names(wanted, names, sizeof(names))) != CLI_OK ||
	    (status = find_paths(out == NULL ? "tls" : out, &paths)) != CLI_OK)
		return status;
	if ((status = find_ca(&paths, &ca)) != CLI_OK)
		goto done;
	if (!ca.found && !make_ca(&ca))
		status = tls_fault("the authority");
	else if (!make_server(&server, &ca, wanted->at[0], names))
		status = tls_fault("the certificate");
	else
		status = write_all(&paths, &ca, &server);
	if (status == CLI_OK)
		say(cli, &paths, &ca, names, wanted->at[0]);
done:
	X509_free(ca.certificate);
	EVP_PKEY_free(ca.key);
	X509_free(server.certificate);
	EVP_PKEY_free(server.key);
	return status;
}

const struct cli_verb cli_verbs_tls[] = {
	{ "tls", "init", init_options, NULL, NULL, CLI_SILENT, NULL, tls_init,
	    "an authority of your own, and a certificate by it", NULL,
	    "--name aegis.example --name 127.0.0.1 --out /etc/aegis/tls" },
	{ 0 },
};
