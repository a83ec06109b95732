/* SPDX-License-Identifier: Apache-2.0 */
/* rulebook.c: policy documents of a tenant, and the set made of them */
#ifndef AEGIS_ACTORS_IAM_RULEBOOK_H
#define AEGIS_ACTORS_IAM_RULEBOOK_H

#include "iam.h"

struct iam_doc {
	char name[AG_NAME_MAX + 1];
	char *text; /* NULL: deleted */
	size_t len;
	uint32_t policies;
	uint64_t version;
	char *signature; /* of text, or of its absence; NULL: it is not signed */
	int64_t signed_version; /* the newest that was ever signed; 0: none */
	int64_t at;     /* when it was put */
	bool offered;   /* by the folder that is watched */
	uint64_t first; /* the oldest version that is kept */
	size_t kept;    /* bytes of those */
	struct iam_doc *next; /* by name */
};
struct iam_rulebook {
	struct iam_doc *docs; /* deleted ones too: their versions go on */
	unsigned count;       /* of docs */
	uint64_t version;     /* of all together: 1, 2, 3 … */
	struct ag_rules *rules; /* in force */
	bool stale;  /* documents changed since */
	bool broken; /* they make no set: everything is denied */
};
ag_err iam_rules_init(struct iam *iam) AG_MUST;
void iam_rules_fini(struct iam *iam);
ag_err iam_take_policy(struct iam *iam, const Ag__PolicyFact *fact) AG_MUST;
struct iam_doc *iam_doc_find(const struct iam_tenant *tenant, const char *name);
/* Takes the set that was made of these documents, for when they are in force. */
void iam_rules_offer(struct iam_tenant *tenant, struct ag_rules **rules,
    const uint8_t digest[32]);
/* Of documents in the order of their names. Pure. */
void iam_rules_digest(const struct ag_rules_doc *docs, size_t count,
    uint8_t out[32]);
/* The set in force; NULL: it makes none. The tenant has a book. */
const struct ag_rules *iam_rules_of(struct iam *iam, struct ag_ctx *ctx,
    struct iam_tenant *tenant);
/* A fact of the journal: memory and the snapshot's row. */
ag_err iam_policy_apply(struct iam *iam, struct ag_ctx *ctx,
    const struct ag_fact_record *record) AG_MUST;

#endif
