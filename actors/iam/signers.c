/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose policies are believed (policies.signers). A signature is looked at when
 * a document is put, and where policies.enforce is set, again whenever a set is
 * made of what was kept: then it must have been good at the time it was put,
 * under a key that is still configured.
 */
#include "iam.h"
#include "issuers.h"
#include "rulebook.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { SIGNERS_MAX = 64 };

#define ROW "policies.signers[]."

static ag_err
read_signer(struct ag_ctx *ctx, struct ag_signer *signer, unsigned row)
{
	const char *file = ag_config_str(ctx, ROW "public_key_file", row);
	const char *until = ag_config_str(ctx, ROW "until", row);
	struct stat st;
	size_t len = 0;
	char *pem;

	signer->name = ag_config_str(ctx, ROW "name", row);
	signer->tenant = ag_config_str(ctx, ROW "tenant", row);
	signer->until = INT64_MAX;
	if (until != NULL && !ag_time_parse(until, &signer->until))
		return AG_USAGE; /* the configuration's check saw it before */
	errno = 0;
	if ((pem = iam_file_read(file, AG_SIGNED_PEM_MAX, &len, &st)) != NULL)
		signer->key = ag_signed_public(pem, len, signer->id);
	ag_log(ctx, signer->key == NULL ? AG_ERROR : AG_INFO,
	    signer->key == NULL ? "POLICY-SIGNER-BAD" : "POLICY-SIGNER",
	    "signer=%s file=%s %s=%s", signer->name, file, signer->key == NULL ?
	    "why" : "id", signer->key != NULL ? signer->id : pem == NULL ?
	    "unreadable" : "no Ed25519 public key in PEM");
	free(pem);
	return signer->key == NULL ? AG_USAGE : AG_OK;
}

ag_err
iam_signers_init(struct iam *iam, struct ag_ctx *ctx)
{
	unsigned n = ag_config_count(ctx, "policies.signers");
	ag_err err = AG_OK;

	iam->signers.enforce = ag_config_int(ctx, "policies.enforce") != 0;
	if (n > SIGNERS_MAX) {
		ag_log(ctx, AG_ERROR, "POLICY-SIGNER-BAD",
		    "why=more than %d signers", SIGNERS_MAX);
		return AG_USAGE;
	}
	iam->signers.list = calloc(n + 1, sizeof(*iam->signers.list));
	if (iam->signers.list == NULL)
		return AG_NO_MEMORY;
	for (unsigned i = 0; err == AG_OK && i < n; i++) {
		iam->signers.count = i + 1;
		err = read_signer(ctx, &iam->signers.list[i], i);
	}
	return err;
}

void
iam_signers_fini(struct iam *iam)
{
	for (unsigned i = 0; i < iam->signers.count; i++)
		EVP_PKEY_free(iam->signers.list[i].key);
	free(iam->signers.list);
	iam->signers.list = NULL;
	iam->signers.count = 0;
}

static const char *
name_of(const struct iam_signers *signers, const char *id)
{
	for (unsigned i = 0; i < signers->count; i++)
		if (strcmp(signers->list[i].id, id) == 0)
			return signers->list[i].name;
	return id;
}

ag_err
iam_signed_refuse(const struct iam *iam, struct ag_ctx *ctx,
    const struct iam_doc *doc, const Ag__PolicyFact *fact, const char *field)
{
	const struct iam_signers *signers = &iam->signers;
	struct ag_signed_want want = { .tenant = fact->tenant,
		.name = fact->name, .text = fact->text,
		.len = fact->text == NULL ? 0 : strlen(fact->text),
		.after = doc == NULL ? 0 : doc->signed_version, .now = fact->at };
	struct ag_signed said;
	enum ag_signed_fault fault;

	if (fact->signature == NULL && !signers->enforce)
		return AG_OK;
	want.again = doc != NULL && doc->signature != NULL &&
	    fact->signature != NULL &&
	    strcmp(doc->signature, fact->signature) == 0;
	fault = ag_signed_check(fact->signature, signers->list, signers->count,
	    &want, &said);
	if (said.signer[0] != '\0') {
		ag_note_param(ctx, "signer", name_of(signers, said.signer));
		ag_note_param(ctx, "signed_version", ag_printf(ctx, "%lld",
		    (long long)said.version));
	}
	if (fault == AG_SIGNED_OK)
		return AG_OK;
	ag_refuse_rule(ctx, "policies.signers");
	ag_refuse_hint(ctx, ag_printf(ctx, "aegis policy sign %s.cedar --tenant %s "
	    "--version %lld --key FILE%s", fact->name, fact->tenant,
	    (long long)want.after + 1, fact->text == NULL ? " --gone" : ""));
	return ag_refuse(ctx, AG_PERMISSION_DENIED, ag_signed_reason(fault),
	    field, "%s", ag_signed_detail(fault));
}

bool
iam_signed_stands(const struct iam *iam, struct ag_ctx *ctx,
    const struct iam_tenant *tenant, const struct iam_doc *doc)
{
	struct ag_signed_want want = { .tenant = tenant->name,
		.name = doc->name, .text = doc->text, .len = doc->len,
		.after = doc->signed_version, .again = true, .now = doc->at };
	struct ag_signed said;
	enum ag_signed_fault fault = ag_signed_check(doc->signature,
	    iam->signers.list, iam->signers.count, &want, &said);

	if (fault != AG_SIGNED_OK)
		ag_log(ctx, AG_ERROR, "POLICY-UNSIGNED", "tenant=%s document=%s "
		    "version=%llu why=%s", tenant->name, doc->name,
		    (unsigned long long)doc->version, ag_signed_reason(fault));
	return fault == AG_SIGNED_OK;
}
