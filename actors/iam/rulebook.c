/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tenant's policy documents in memory, and the one set that is made of them.
 * The set is compiled when a document changes and swapped whole: a request
 * sees all of a change or nothing of it.
 *
 * Once a tenant has had a policy, policies decide: when the last one is gone,
 * everything is denied. Documents that make no set (which were checked before
 * they were kept, so that would be another program's doing), or which are not
 * signed where that is enforced, deny everything, too. Managing policies is not
 * asked of policies, so either can be mended.
 */
#include "iam.h"
#include "rulebook.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROW_KEY_MAX = 2 * AG_NAME_MAX + 16 };

ag_err
iam_rules_init(struct iam *iam)
{
	iam->rules_scratch = aligned_alloc(16, AG_RULES_SCRATCH);
	if (iam->rules_scratch == NULL ||
	    ag_rules_schema_new(&iam->schema) == AG_CEDAR_NO_MEMORY)
		return AG_NO_MEMORY;
	if (iam->schema == NULL)
		ag_panic("the schema of policies is none");
	return AG_OK;
}

static void
book_free(struct iam_rulebook *book)
{
	struct iam_doc *doc, *next;

	if (book == NULL)
		return;
	for (doc = book->docs; doc != NULL; doc = next) {
		next = doc->next;
		free(doc->text);
		free(doc->signature);
		free(doc);
	}
	ag_rules_free(&book->rules);
	free(book);
}

void
iam_rules_fini(struct iam *iam)
{
	for (size_t i = 0; i < iam->tenant_count; i++) {
		book_free(iam->tenant_list[i]->book);
		ag_rules_free(&iam->tenant_list[i]->offered);
	}
	ag_cedar_schema_free(&iam->schema);
	free(iam->rules_scratch);
}

/* --------------------------------------------------------------- documents */

struct iam_doc *
iam_doc_find(const struct iam_tenant *tenant, const char *name)
{
	struct iam_doc *doc = tenant->book == NULL ? NULL : tenant->book->docs;

	while (doc != NULL && strcmp(doc->name, name) != 0)
		doc = doc->next;
	return doc;
}

static ag_err
doc_new(struct iam_tenant *tenant, const char *name, struct iam_doc **out)
{
	struct iam_doc *doc, **at;

	if (strlen(name) > AG_NAME_MAX)
		return AG_CORRUPT;
	if (tenant->book == NULL &&
	    (tenant->book = calloc(1, sizeof(*tenant->book))) == NULL)
		return AG_NO_MEMORY;
	if ((doc = calloc(1, sizeof(*doc))) == NULL)
		return AG_NO_MEMORY;
	strcpy(doc->name, name);
	at = &tenant->book->docs;
	while (*at != NULL && strcmp((*at)->name, name) < 0)
		at = &(*at)->next;
	doc->next = *at;
	*at = doc;
	tenant->book->count++;
	*out = doc;
	return AG_OK;
}

/* Good when it was put; whether it still counts is asked when a set is made. */
static ag_err
take_signature(struct iam_doc *doc, const Ag__PolicyFact *fact)
{
	struct ag_signed said = { .version = 0 };
	char *signature = NULL;

	if (fact->signature != NULL &&
	    (signature = strdup(fact->signature)) == NULL)
		return AG_NO_MEMORY;
	free(doc->signature);
	doc->signature = signature;
	doc->at = fact->at;
	doc->offered = fact->has_offered && fact->offered;
	if (signature != NULL && ag_signed_read(signature, &said) &&
	    doc->signed_version < said.version)
		doc->signed_version = said.version;
	if (doc->signed_version < fact->signed_version)
		doc->signed_version = fact->signed_version;
	return AG_OK;
}

ag_err
iam_take_policy(struct iam *iam, const Ag__PolicyFact *fact)
{
	struct iam_tenant *tenant = iam_tenant_find(iam, fact->tenant);
	struct iam_doc *doc;
	char *text = NULL;
	ag_err err;

	if (tenant == NULL)
		return AG_CORRUPT;
	doc = iam_doc_find(tenant, fact->name);
	if (doc == NULL && (err = doc_new(tenant, fact->name, &doc)) != AG_OK)
		return err;
	if (doc->version >= fact->revision)
		return AG_OK;
	if (fact->text != NULL && (text = strdup(fact->text)) == NULL)
		return AG_NO_MEMORY;
	if ((err = take_signature(doc, fact)) != AG_OK) {
		free(text);
		return err;
	}
	iam->rules_bytes -= doc->len;
	free(doc->text);
	doc->text = text;
	doc->len = text == NULL ? 0 : strlen(text);
	doc->policies = fact->policies;
	doc->version = fact->revision;
	if (doc->first == 0)
		doc->first = doc->version;
	doc->kept += doc->len;
	iam->rules_bytes += doc->len;
	tenant->book->stale = true;
	if (tenant->book->version < fact->policy_version)
		tenant->book->version = fact->policy_version;
	return AG_OK;
}

static void
row_key(char key[ROW_KEY_MAX], const Ag__PolicyFact *fact, uint64_t version)
{
	snprintf(key, ROW_KEY_MAX, "%s/%s/%08llx", fact->tenant, fact->name,
	    (unsigned long long)version);
}

/* Old versions go, when there are too many or they are too long. */
static ag_err
drop_old(struct ag_ctx *ctx, struct iam_doc *doc, const Ag__PolicyFact *fact)
{
	while (doc->first < doc->version && (doc->version - doc->first >=
	    IAM_DOC_VERSIONS_MAX || doc->kept > IAM_DOC_KEPT_BYTES_MAX)) {
		const Ag__PolicyFact *old;
		const uint8_t *bytes;
		char key[ROW_KEY_MAX];
		size_t len;
		ag_err err;

		row_key(key, fact, doc->first);
		err = ag_store_get(ctx, IAM_T_POLICIES, key, strlen(key), &bytes,
		    &len);
		if (err == AG_OK) {
			old = ag_unpack(ctx, &ag__policy_fact__descriptor, bytes,
			    len);
			if (old == NULL)
				return AG_CORRUPT;
			doc->kept -= old->text == NULL ? 0 : strlen(old->text);
			err = ag_store_del(ctx, IAM_T_POLICIES, key, strlen(key));
		}
		if (err != AG_OK && err != AG_ITEM_NOT_FOUND)
			return err;
		doc->first++;
	}
	return AG_OK;
}

ag_err
iam_policy_apply(struct iam *iam, struct ag_ctx *ctx,
    const struct ag_fact_record *r)
{
	Ag__PolicyFact fact = *(const Ag__PolicyFact *)r->fact;
	const struct iam_tenant *tenant = iam_tenant_find(iam, fact.tenant);
	struct iam_doc *doc = tenant == NULL ? NULL :
	    iam_doc_find(tenant, fact.name);
	uint64_t before = doc == NULL ? 0 : doc->version;
	char key[ROW_KEY_MAX];
	ag_err err;

	if (before >= r->version)
		return AG_OK;
	fact.has_revision = true;
	fact.revision = r->version;
	if ((err = iam_take_policy(iam, &fact)) != AG_OK)
		return err;
	row_key(key, &fact, r->version);
	doc = iam_doc_find(tenant, fact.name);
	if ((err = iam_store_msg(ctx, IAM_T_POLICIES, key, &fact)) != AG_OK) {
		/* Not applied: it comes again, and must not look as if seen. */
		doc->version = before;
		doc->kept -= doc->len;
		return err;
	}
	return drop_old(ctx, doc, &fact);
}

/* --------------------------------------------------------------------- set */

/* Of the digests, so that no text runs into the next. */
void
iam_rules_digest(const struct ag_rules_doc *docs, size_t count,
    uint8_t out[32])
{
	uint8_t all[2 * AG_RULES_DOCS_MAX][32] = { { 0 } };

	for (size_t i = 0; i < count; i++) {
		ag_sha256(docs[i].name, strlen(docs[i].name), all[2 * i]);
		ag_sha256(docs[i].text, docs[i].len, all[2 * i + 1]);
	}
	ag_sha256(all, count * 64, out);
}

static bool
all_signed(const struct iam *iam, struct ag_ctx *ctx,
    const struct iam_tenant *tenant)
{
	bool good = true;

	if (!iam->signers.enforce)
		return true;
	for (const struct iam_doc *d = tenant->book->docs; d != NULL; d = d->next)
		/* A deletion of what was signed is signed, too: a forbid does
		 * not just vanish. */
		good = ((d->text == NULL && d->signed_version == 0) ||
		    iam_signed_stands(iam, ctx, tenant, d)) && good;
	return good;
}

static void
compile(const struct iam *iam, struct ag_ctx *ctx, struct iam_tenant *tenant)
{
	struct iam_rulebook *book = tenant->book;
	struct ag_rules_doc docs[AG_RULES_DOCS_MAX];
	struct ag_rules *rules = NULL;
	uint8_t digest[32];
	enum ag_cedar_err err = AG_CEDAR_OK;
	size_t n = 0;

	for (const struct iam_doc *d = book->docs; d != NULL; d = d->next) {
		if (d->text == NULL)
			continue;
		if (n == AG_RULES_DOCS_MAX) {
			err = AG_CEDAR_LIMIT;
			break;
		}
		docs[n++] = (struct ag_rules_doc){ d->name, d->text, d->len };
	}
	if (!all_signed(iam, ctx, tenant))
		err = AG_CEDAR_LIMIT;
	iam_rules_digest(docs, n, digest);
	if (err == AG_CEDAR_OK && tenant->offered != NULL && memcmp(digest, tenant->offered_digest,
	    sizeof(digest)) == 0) {
		rules = tenant->offered;
		tenant->offered = NULL;
	} else if (err == AG_CEDAR_OK) {
		err = ag_rules_new(docs, n, &rules);
	}
	book->broken = err != AG_CEDAR_OK;
	book->stale = false;
	ag_rules_free(&book->rules);
	book->rules = rules;
	ag_log(ctx, book->broken ? AG_ERROR : AG_INFO, book->broken ?
	    "POLICY-UNUSABLE" : "POLICY-IN-FORCE", "tenant=%s version=%llu "
	    "documents=%zu policies=%zu", tenant->name,
	    (unsigned long long)book->version, n,
	    rules == NULL ? 0 : ag_rules_count(rules));
}

void
iam_rules_offer(struct iam_tenant *tenant, struct ag_rules **rules,
    const uint8_t digest[32])
{
	ag_rules_free(&tenant->offered);
	tenant->offered = *rules;
	memcpy(tenant->offered_digest, digest, 32);
	*rules = NULL;
}

const struct ag_rules *
iam_rules_of(struct iam *iam, struct ag_ctx *ctx, struct iam_tenant *tenant)
{
	if (tenant->book->stale)
		compile(iam, ctx, tenant);
	return tenant->book->rules;
}
