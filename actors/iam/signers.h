/* SPDX-License-Identifier: Apache-2.0 */
/* signers.c: whose policies are believed (policies.signers) */
#ifndef AEGIS_ACTORS_IAM_SIGNERS_H
#define AEGIS_ACTORS_IAM_SIGNERS_H

#include <aegis/aegis.h>

#include "directory.h"
#include "signed.h"

/* Whose policies are believed. */
struct iam_signers {
	struct ag_signer *list;
	unsigned count;
	bool enforce; /* what is not signed is not in force */
};

struct iam_doc;

/* AG_USAGE: what the configuration names is not usable; the log says why. */
ag_err iam_signers_init(struct iam *iam, struct ag_ctx *ctx) AG_MUST;
void iam_signers_fini(struct iam *iam);
/* May this become the document (NULL: there is none yet)? fact: what is to be
 * kept, its signature too. Refuses, as this field's fault, and notes for the
 * event who signed. */
ag_err iam_signed_refuse(const struct iam *iam, struct ag_ctx *ctx,
    const struct iam_doc *doc, const Ag__PolicyFact *fact, const char *field)
    AG_MUST;
/* Was it rightly put, when it was, by a signer of today? Where signatures are
 * enforced. The log says what is wrong. */
bool iam_signed_stands(const struct iam *iam, struct ag_ctx *ctx,
    const struct iam_tenant *tenant, const struct iam_doc *doc);

#endif
