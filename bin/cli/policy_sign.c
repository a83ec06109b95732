/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signatures of documents, beside them as <name>.cedar.sig: made and looked at
 * without a server, by the same code that the server runs.
 */
#include "policy.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PUBLIC_KEYS_MAX = CLI_REPEAT_MAX, DAY_S = 86400 };
#define EXPIRES_FALLBACK "365d"
#define TENANT_FALLBACK "default"

static int64_t
now_s(void)
{
	return (int64_t)time(NULL);
}

static const char *
tenant_of(const struct cli *cli)
{
	const char *tenant = cli_get(cli, "--tenant");

	return tenant == NULL ? TENANT_FALLBACK : tenant;
}

static bool
is_gone(const struct cli *cli)
{
	return cli_get_all(cli, "--gone")->count > 0;
}

/* Those that shall be gone are not read; the others must be valid. */
static enum cli_exit
documents(struct cli *cli, bool check, struct docs **docs)
{
	enum cli_exit status;

	if (is_gone(cli))
		return docs_named(cli, docs);
	if ((status = docs_read(cli, docs)) != CLI_OK || !check)
		return status;
	if ((status = check_docs(cli, *docs, false)) != CLI_OK) {
		docs_free(*docs);
		*docs = NULL;
	}
	return status;
}

/* -------------------------------------------------------------------- sign */

static enum cli_exit
expiry(const struct cli *cli, int64_t *at)
{
	const char *text = cli_get(cli, "--expires");
	int64_t s;

	if (text == NULL)
		text = EXPIRES_FALLBACK;
	if (ag_duration_parse(text, &s) && s > 0 && s < INT64_C(100000) * DAY_S)
		*at = (now_s() + s) * 1000;
	else if (ag_time_parse(text, at) && *at > now_s() * 1000)
		*at -= *at % 1000;
	else
		return cli_fail(CLI_USAGE, "--expires %s: a time to come, like "
		    "2027-01-31T00:00:00Z, or a duration, like 90d", text);
	return CLI_OK;
}

/* 0: it follows the last signature's. */
static enum cli_exit
version_given(const struct cli *cli, int64_t *version)
{
	const char *text = cli_get(cli, "--version");
	char *end;

	*version = 0;
	if (text == NULL)
		return CLI_OK;
	*version = strtoll(text, &end, 10);
	return *version > 0 && *end == '\0' ? CLI_OK :
	    cli_fail(CLI_USAGE, "--version %s: a whole number, at least 1", text);
}

/* Says the same as this, and still may be put? */
static bool
is_current(const struct ag_signed *old, const struct ag_signed *next)
{
	return strcmp(old->sha256, next->sha256) == 0 &&
	    strcmp(old->tenant, next->tenant) == 0 &&
	    strcmp(old->name, next->name) == 0 &&
	    strcmp(old->signer, next->signer) == 0 &&
	    old->expires_at > now_s() * 1000;
}

static enum cli_exit
write_signature(const struct doc *doc, const char *text)
{
	char path[PATH_SIZE];
	enum cli_exit status = signature_path(doc, path);
	FILE *out;

	if (status != CLI_OK ||
	    (status = cli_create(path, false, &out)) != CLI_OK)
		return status;
	fputs(text, out);
	return cli_finish(out, path);
}

/* like: tenant, signer, expiry; version 0: the next. */
static enum cli_exit
sign_one(struct cli *cli, const struct doc *doc, const struct ag_signed *like,
    EVP_PKEY *key)
{
	struct ag_signed next = *like, old = { .version = 0 };
	char text[AG_SIGNED_TEXT_SIZE];
	enum cli_exit status;

	(void)snprintf(next.name, sizeof(next.name), "%s", doc->name);
	ag_signed_digest(doc->text, doc->len, next.sha256);
	if (doc->signature != NULL && !ag_signed_read(doc->signature, &old) &&
	    next.version == 0)
		return cli_fail(CLI_USAGE, "%s" SIGNATURE_ENDING " is no signature: "
		    "say --version", doc->path);
	if (next.version == 0 && old.version > 0 && is_current(&old, &next)) {
		if (!cli->quiet)
			cli_say("%s: version %lld stands", doc->path,
			    (long long)old.version);
		return CLI_OK;
	}
	if (next.version == 0)
		next.version = old.version + 1;
	if (!ag_signed_make(&next, key, text))
		return cli_fail(CLI_USAGE, "%s: it cannot be signed: the tenant is "
		    "\"%s\", the version %lld", doc->path, next.tenant,
		    (long long)next.version);
	status = write_signature(doc, text);
	if (status == CLI_OK && !cli->quiet)
		cli_say("%s: signed as version %lld", doc->path,
		    (long long)next.version);
	return status;
}

enum cli_exit
policy_sign(struct cli *cli)
{
	const char *file = cli_get(cli, "--key");
	struct ag_signed like = { .version = 0 };
	struct docs *docs = NULL;
	EVP_PKEY *key = NULL;
	char *pem = NULL;
	size_t len = 0;
	enum cli_exit status;

	(void)snprintf(like.tenant, sizeof(like.tenant), "%s", tenant_of(cli));
	if ((status = expiry(cli, &like.expires_at)) != CLI_OK ||
	    (status = version_given(cli, &like.version)) != CLI_OK ||
	    (status = documents(cli, true, &docs)) != CLI_OK)
		return status;
	status = cli_read_private(file, AG_SIGNED_PEM_MAX, &pem, &len);
	if (status == CLI_OK &&
	    (key = ag_signed_private(pem, len, like.signer)) == NULL)
		status = cli_fail(CLI_USAGE, "%s: no Ed25519 private key in PEM "
		    "without a passphrase; openssl genpkey -algorithm ED25519 makes "
		    "one", file);
	if (pem != NULL)
		ag_wipe(pem, len);
	free(pem);
	for (size_t i = 0; i < docs->count && status == CLI_OK; i++)
		status = sign_one(cli, &docs->at[i], &like, key);
	EVP_PKEY_free(key);
	docs_free(docs);
	return status;
}

/* ------------------------------------------------------------------ verify */

struct signers {
	struct ag_signer at[PUBLIC_KEYS_MAX];
	size_t count;
};

static enum cli_exit
read_signers(struct cli *cli, struct signers *out)
{
	const struct cli_value *files = cli_get_all(cli, "--public-key");

	for (unsigned i = 0; i < files->count; i++) {
		struct ag_signer *signer = &out->at[out->count];
		enum cli_exit status;
		char *pem = NULL;
		size_t len = 0;

		status = cli_read(files->at[i], AG_SIGNED_PEM_MAX, &pem, &len);
		if (status != CLI_OK)
			return status;
		signer->name = files->at[i];
		signer->until = INT64_MAX;
		signer->key = ag_signed_public(pem, len, signer->id);
		free(pem);
		if (signer->key == NULL)
			return cli_fail(CLI_USAGE, "%s: no Ed25519 public key in PEM",
			    files->at[i]);
		out->count++;
	}
	return CLI_OK;
}

static void
say_verified(const struct cli *cli, const struct doc *doc,
    enum ag_signed_fault fault, const struct ag_signed *said)
{
	char until[AG_TIME_TEXT];
	json_t *line;

	ag_time_text(said->expires_at, until);
	if (cli->json) {
		line = json_pack("{s:s,s:b,s:s?,s:I,s:s,s:s}", "file", doc->path,
		    "valid", fault == AG_SIGNED_OK, "reason_code",
		    fault == AG_SIGNED_OK ? NULL : ag_signed_reason(fault),
		    "version", (json_int_t)said->version, "expires_at", until,
		    "signer", said->signer);
		cli_json_line(line);
		json_decref(line);
	} else if (fault != AG_SIGNED_OK) {
		cli_say("%s: %s: %s", doc->path, ag_signed_reason(fault),
		    ag_signed_detail(fault));
	} else if (!cli->quiet) {
		cli_say("%s: version %lld, good until %s", doc->path,
		    (long long)said->version, until);
	}
}

enum cli_exit
policy_verify(struct cli *cli)
{
	struct signers *signers = calloc(1, sizeof(*signers));
	struct docs *docs = NULL;
	enum cli_exit status = signers == NULL ? CLI_FAULT :
	    read_signers(cli, signers);

	if (status == CLI_OK)
		status = documents(cli, false, &docs);
	for (size_t i = 0; docs != NULL && i < docs->count; i++) {
		const struct doc *doc = &docs->at[i];
		struct ag_signed_want want = { .tenant = tenant_of(cli),
			.name = doc->name, .text = doc->text, .len = doc->len,
			.now = now_s() * 1000 };
		struct ag_signed said;
		enum ag_signed_fault fault = ag_signed_check(doc->signature,
		    signers->at, signers->count, &want, &said);

		say_verified(cli, doc, fault, &said);
		if (fault != AG_SIGNED_OK)
			status = CLI_NO;
	}
	for (size_t i = 0; signers != NULL && i < signers->count; i++)
		EVP_PKEY_free(signers->at[i].key);
	free(signers);
	if (docs != NULL)
		docs_free(docs);
	return status;
}
