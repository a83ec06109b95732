/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a server that somebody wants to add is one: where it is, what it is to
 * be told, what is said of its tools. What is wrong is refused with its member.
 */
#include "gateway.h"

#include "sieve.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>

enum {
	HEADER_MAX = 64,
	TIMEOUT_MS_MIN = 10,
	TIMEOUT_MS_MAX = 60000,
	CONCURRENCY_MAX = 64,
	ANSWER_MIN = 1 << 10,
	ANSWER_MAX = 1 << 20,
};

#define LOWER "abcdefghijklmnopqrstuvwxyz0123456789"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

/* Printable, and of these only: what it is is not left to how a library of HTTP
 * reads it. No user, no query: that is where secrets are put. */
#define URL_CHARS LOWER UPPER "-._~:/[]%!$&'()*+,;="

bool
made_secret_path(struct gateway *gateway, const char *tenant,
    const char *secret, char out[GATEWAY_PATHS])
{
	const char *folder = ag_config_str(gateway->ctx, "gateway.secret_folder", 0);
	bool absolute = folder[0] == '/';
	int len = snprintf(out, GATEWAY_PATHS, "%s%s%s/%s/%s",
	    absolute ? "" : ag_state_dir(gateway->ctx), absolute ? "" : "/", folder,
	    tenant, secret);

	return len > 0 && len < GATEWAY_PATHS;
}

static ag_err
bad(struct ag_ctx *ctx, const char *reason, const char *field, const char *detail)
{
	return ag_refuse(ctx, AG_INVALID_FIELD, reason, field, "%s", detail);
}

static bool
is_server_name(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len < GATEWAY_NAME_SIZE && name[0] != '-' &&
	    strspn(name, LOWER "-") == len;
}

/* A name, never a path. */
static bool
is_file_name(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len <= AG_NAME_MAX && name[0] != '.' &&
	    strspn(name, LOWER UPPER "._-") == len;
}

static bool
is_member_name(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len <= 64 && strspn(name, LOWER UPPER "._-") == len;
}

static bool
is_allowed(struct ag_ctx *ctx, const char *url, size_t origin)
{
	const struct ag_config *c = ag_config(ctx);
	const char *one = ag_config_get_item(c, "gateway.origins", 0, 0);
	unsigned i;

	if (one == NULL)
		return true;
	for (i = 0; (one = ag_config_get_item(c, "gateway.origins", 0, i)) != NULL;
	    i++)
		if (strlen(one) == origin && strncmp(one, url, origin) == 0)
			return true;
	return false;
}

static ag_err
check_url(struct ag_ctx *ctx, const char *url, const char *field)
{
	bool far = strncmp(url, "https://", 8) == 0;
	size_t len = strlen(url), scheme = far ? 8 : 7, host;

	if (!far && strncmp(url, "http://", 7) != 0)
		return bad(ctx, "unknown_value", field, "https:// is expected, or "
		    "http:// on loopback.");
	host = strcspn(url + scheme, "/");
	if (len >= GATEWAY_URL_SIZE || host == 0 || strspn(url, URL_CHARS) != len)
		return bad(ctx, "out_of_range", field, "A host and a path of plain "
		    "characters are expected, without user, query or fragment, at "
		    "most 512 characters.");
	if (!far && !ag_is_loopback(url + scheme))
		return bad(ctx, "unknown_value", field,
		    "Plain HTTP is for loopback only.");
	/* What listens here is the operator's: it is for gateway.origins to say
	 * that others may have it asked. */
	if (!far && strcmp(ag_grant(ctx)->tenant, "default") != 0 &&
	    ag_config_get_item(ag_config(ctx), "gateway.origins", 0, 0) == NULL)
		return bad(ctx, "unknown_value", field,
		    "Nothing on this machine is for this tenant: gateway.origins "
		    "does not name it.");
	if (!is_allowed(ctx, url, scheme + host))
		return bad(ctx, "unknown_value", field,
		    "No server may be added there: it is not in gateway.origins.");
	return AG_OK;
}

static ag_err
check_replicas(struct ag_ctx *ctx, const Ag__ToolServerSetAsk *set)
{
	ag_err err = AG_OK;
	size_t i;

	if (set->n_replicas >= GATEWAY_REPLICAS_MAX)
		return bad(ctx, "out_of_range", "/replicas", "At most 7 are expected.");
	for (i = 0; i < set->n_replicas && err == AG_OK; i++)
		err = check_url(ctx, set->replicas[i], "/replicas");
	return err;
}

/* A server without what it is to be told is refused, not found out later. */
static ag_err
check_secret(struct gateway *gateway, const Ag__ToolServerSetAsk *set)
{
	struct ag_ctx *ctx = gateway->ctx;
	struct ag_secret *secret = NULL;
	char path[GATEWAY_PATHS];
	const char *why, *header = set->secret_header;
	size_t len = header == NULL ? 1 : strlen(header);

	if (len == 0 || len > HEADER_MAX ||
	    (header != NULL && strspn(header, LOWER UPPER "-") != len))
		return bad(ctx, "out_of_range", "/secret_header",
		    "The name of an HTTP field is expected.");
	if (set->secret == NULL)
		return header == NULL ? AG_OK : bad(ctx, "conflicting_fields",
		    "/secret_header", "There is no secret to be sent in it.");
	if (!is_file_name(set->secret) || !made_secret_path(gateway,
	    ag_grant(ctx)->tenant, set->secret, path))
		return bad(ctx, "out_of_range", "/secret", "The name of a file in the "
		    "tenant's folder of secrets is expected.");
	if ((why = ag_secret_read(path, &secret)) == NULL) {
		ag_secret_free(&secret);
		return AG_OK;
	}
	ag_log(ctx, AG_WARN, "GATEWAY-SECRET", "file=%s why=%s", path, why);
	return bad(ctx, "unknown_value", "/secret", "The tenant's folder of secrets "
	    "has no file of this name that only the gateway may read.");
}

/* Or OpenSSL asks whoever sits at the terminal. */
static int
no_passphrase(char *buf, int size, int rwflag, void *u)
{
	(void)buf, (void)size, (void)rwflag, (void)u;
	return -1;
}

/* What a library of TLS passes over in a text, nobody finds out by a call that
 * fails: it is certificates, all of it that is anything. */
static bool
are_certificates(const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, (int)strlen(pem));
	unsigned long why;
	unsigned n = 0;
	X509 *one;

	if (bio == NULL)
		return false;
	ERR_clear_error();
	while ((one = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL)) != NULL) {
		X509_free(one);
		n++;
	}
	why = ERR_peek_last_error();
	ERR_clear_error();
	BIO_free(bio);
	/* It ended where no further one begins. */
	return n > 0 && ERR_GET_LIB(why) == ERR_LIB_PEM &&
	    ERR_GET_REASON(why) == PEM_R_NO_START_LINE;
}

static ag_err
check_ca(struct ag_ctx *ctx, const char *pem)
{
	if (pem == NULL || (strlen(pem) <= GATEWAY_CA_MAX && are_certificates(pem)))
		return AG_OK;
	return bad(ctx, "out_of_range", "/ca_pem", "Certificates in PEM are "
	    "expected, at most 16384 bytes of them.");
}

static bool
is_one_of(const char *word, const char *const *words)
{
	for (; word != NULL && *words != NULL; words++)
		if (strcmp(word, *words) == 0)
			return true;
	return word == NULL;
}

static const char *const risk_words[] = { "read", "write", "destructive", NULL };

static bool
are_members(char *const *names, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (!is_member_name(names[i]))
			return false;
	return count <= SIEVE_FIELDS_MAX / 2;
}

static ag_err
check_rules(struct ag_ctx *ctx, const Ag__ToolServerSetAsk *set)
{
	size_t i, k;

	if (set->n_rules > GATEWAY_TOOLS_MAX)
		return bad(ctx, "out_of_range", "/rules", "At most 64 are expected.");
	for (i = 0; i < set->n_rules; i++) {
		const Ag__ToolRule *rule = set->rules[i];

		if (strlen(rule->tool) >= GATEWAY_TOOL_SIZE ||
		    !is_member_name(rule->tool) ||
		    !is_one_of(rule->risk, risk_words) ||
		    rule->timeout_ms > TIMEOUT_MS_MAX ||
		    !are_members(rule->redact, rule->n_redact))
			return bad(ctx, "out_of_range", "/rules", "A rule has the name "
			    "of a tool, a risk of read, write or destructive, and at "
			    "most 60000 ms.");
		for (k = 0; k < i; k++)
			if (strcmp(set->rules[k]->tool, rule->tool) == 0)
				return bad(ctx, "conflicting_fields", "/rules",
				    "A tool has one rule.");
	}
	return AG_OK;
}

static bool
is_between(bool has, uint32_t value, uint32_t min, uint32_t max)
{
	return !has || (value >= min && value <= max);
}

ag_err
made_check(struct gateway *gateway, const char *name,
    const Ag__ToolServerSetAsk *set)
{
	static const char *const versions[] = { WIRE_THEN, WIRE_NOW, NULL };
	struct ag_ctx *ctx = gateway->ctx;
	ag_err err;

	if (!is_server_name(name))
		return bad(ctx, "bad_alias", NULL, "A server's name has at most 20 of "
		    "a-z, 0-9 and -.");
	if ((err = check_url(ctx, set->url, "/url")) != AG_OK)
		return err;
	if ((err = check_replicas(ctx, set)) != AG_OK)
		return err;
	if (!is_one_of(set->protocol, versions))
		return bad(ctx, "unknown_value", "/protocol",
		    WIRE_THEN " or " WIRE_NOW " is expected.");
	if (!is_one_of(set->risk, risk_words))
		return bad(ctx, "unknown_value", "/risk",
		    "read, write or destructive is expected.");
	if (!is_between(set->has_timeout_ms, set->timeout_ms, TIMEOUT_MS_MIN,
	    TIMEOUT_MS_MAX))
		return bad(ctx, "out_of_range", "/timeout_ms",
		    "10 to 60000 are expected.");
	if (!is_between(set->has_concurrency, set->concurrency, 1, CONCURRENCY_MAX))
		return bad(ctx, "out_of_range", "/concurrency",
		    "1 to 64 are expected.");
	if (!is_between(set->has_response_bytes, set->response_bytes, ANSWER_MIN,
	    ANSWER_MAX))
		return bad(ctx, "out_of_range", "/response_bytes",
		    "1024 to 1048576 are expected.");
	if (!are_members(set->redact, set->n_redact))
		return bad(ctx, "out_of_range", "/redact",
		    "A few names of members are expected.");
	if (set->reason != NULL && strlen(set->reason) > GATEWAY_REASON_MAX)
		return bad(ctx, "out_of_range", "/reason",
		    "At most 256 characters are expected.");
	if ((err = check_rules(ctx, set)) != AG_OK)
		return err;
	if ((err = check_ca(ctx, set->ca_pem)) != AG_OK)
		return err;
	return check_secret(gateway, set);
}
